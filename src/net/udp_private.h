/* udp_private: sending in batches, and what the loop keeps for its sockets. Not for other layers. */
#ifndef HF_NET_UDP_PRIVATE_H
#define HF_NET_UDP_PRIVATE_H

#include "net/loop_private.h"
#include "net/udp.h"

struct hf_udp_sender;

void hf_udp_host_free(struct hf_udp_host *host);

/* The vectors and names of a batch, shared by all sockets of a host; NULL: out of memory. */
struct hf_udp_sender *hf_udp_sender_new(void);
void hf_udp_sender_free(struct hf_udp_sender *sender);
/* As hf_udp_send. */
size_t hf_udp_sender_send(struct hf_udp_sender *sender, int fd, struct hf_udp_counters *counters, const struct hf_udp_packet *packets,
	size_t count);

#endif
