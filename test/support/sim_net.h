/* sim_net: a network that exists only in virtual time: the second implementation of net/udp.h's table of functions, for tests.
 *
 * Everything that happens follows from the seed: loss, order, delays, random numbers. The clock jumps from event to event, so that an
 * hour of retransmissions takes no time. A hash over all that was delivered, and when, shows that two runs were the same.
 */
#ifndef TEST_SUPPORT_SIM_NET_H
#define TEST_SUPPORT_SIM_NET_H

#include "net/udp.h"

struct sim_net;

/* What happens to packets of one machine on their way out. Zero: they arrive, in order, at once. */
struct sim_link {
	uint32_t loss_permille, duplicate_permille;
	uint32_t reorder_permille; /* those are held up for reorder_us, and overtaken */
	uint32_t reorder_us;
	uint32_t delay_us, jitter_us; /* jitter keeps the order */
	uint64_t bytes_per_s;         /* 0: no limit */
	uint32_t queue_bytes;         /* in front of that limit; more is lost. 0: 256 KiB */
	uint32_t mtu;                 /* larger IP packets vanish; 0: none do */
	uint32_t refuse_every;        /* each so many-th packet, the system takes no more for a millisecond; 0: never */
	bool is_cut;                  /* nothing arrives */
};

struct sim_counters {
	uint64_t sent, delivered, lost, too_big, queue_full, unreachable, refused;
};

struct sim_net *sim_net_new(uint64_t seed);
void sim_net_free(struct sim_net *net); /* sockets are closed before (asserted) */
/* A machine with that IPv4 address, such as "10.0.0.1"; it goes with the network. Sockets bound to 0.0.0.0 have its address. */
struct hf_udp_host *sim_net_host(struct sim_net *net, const char *ip);
void sim_net_set_link(struct hf_udp_host *host, const struct sim_link *link);
/* From now on the machine gets only what comes from where the same socket has sent to before. */
void sim_net_firewall(struct hf_udp_host *host);
/* Two machines that cannot reach each other, as behind NATs that no hole can be punched through: what one sends to the other is lost. One
 * pair of a network; NULL: none any more. */
void sim_net_part(struct sim_net *net, struct hf_udp_host *one, struct hf_udp_host *other);
/* The machine's address is another from now on, that of its sockets, too; what is on its way to the old one is lost. */
void sim_net_move(struct hf_udp_host *host, const char *ip);
/* All clocks stand so much later at once, with nothing done in between: what is due by then happens late, as after a sleep. */
void sim_net_jump(struct sim_net *net, uint64_t us);
/* Runs until nothing is left to happen, or `until_us` (virtual, since the beginning), or *stop becomes true (stop may be NULL). */
void sim_net_run(struct sim_net *net, uint64_t until_us, const bool *stop);
uint64_t sim_net_now_us(const struct sim_net *net);
/* A random number below `bound`, from the seed. */
uint32_t sim_net_random(struct sim_net *net, uint32_t bound);
uint64_t sim_net_trace(const struct sim_net *net);
void sim_net_counters(const struct sim_net *net, struct sim_counters *counters);

#endif
