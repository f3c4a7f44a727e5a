/* udp: datagram sockets in batches, and the timers and the time that go with them, from whoever gives them: a loop, or a simulated
 * network in tests.
 *
 * A loop's sockets are non-blocking, never fragment (IP_MTU_DISCOVER = PROBE), receive with recvmmsg (and UDP_GRO) and send with
 * sendmmsg (and UDP_SEGMENT for a run of packets of equal size to one address). Nothing is queued here: a packet that cannot be sent
 * now is the caller's, who drops it, or keeps it until `writable`.
 *
 * Callbacks come from the loop only, never from inside a call. In any of them any socket may be closed.
 */
#ifndef HF_NET_UDP_H
#define HF_NET_UDP_H

#include <sys/uio.h>

#include "base/address.h"
#include "base/env.h"
#include "base/timers.h"
#include "net/loop.h"

#define HF_UDP_DATAGRAM_BYTES_MAX 65507 /* over IPv4 */
#define HF_UDP_TTL 64

struct hf_udp;
struct hf_udp_host;

struct hf_udp_packet {
	struct hf_address address;
	const struct iovec *pieces;
	size_t piece_count;
	uint8_t ttl; /* 0: HF_UDP_TTL */
};
struct hf_udp_datagram {
	struct hf_address from;
	uint8_t *data; /* may be written to; valid until the callback returns */
	size_t length;
};

struct hf_udp_events {
	void (*received)(void *context, struct hf_udp *udp, const struct hf_udp_datagram *datagrams, size_t count);
	/* Once after a send that took less than it was given; may be NULL. */
	void (*writable)(void *context, struct hf_udp *udp);
};

struct hf_udp_options {
	struct hf_address address; /* to bind to; port 0: any */
	const struct hf_udp_events *events;
	void *context;
	uint32_t receive_buffer_bytes; /* of the system, for this socket; 0: HF_UDP_RECEIVE_BUFFER_BYTES, or what one gets */
	uint32_t send_buffer_bytes;    /* 0: HF_UDP_SEND_BUFFER_BYTES */
};
#define HF_UDP_RECEIVE_BUFFER_BYTES 4194304 /* a window full, while the process does not run */
#define HF_UDP_SEND_BUFFER_BYTES 212992

struct hf_udp_host_ops {
	int (*open)(struct hf_udp_host *host, struct hf_udp **out, const struct hf_udp_options *options, struct hf_failure *failure);
	int (*timer_set)(struct hf_udp_host *host, struct hf_timer *timer, uint64_t delay_us);
	void (*timer_cancel)(struct hf_udp_host *host, struct hf_timer *timer);
	uint64_t (*now_us)(struct hf_udp_host *host);
	void (*defer)(struct hf_udp_host *host, struct hf_loop_deferred *deferred);
	void (*cancel_deferred)(struct hf_udp_host *host, struct hf_loop_deferred *deferred);
};
struct hf_udp_host {
	const struct hf_udp_host_ops *ops;
	struct hf_env *env;
};

struct hf_udp_ops {
	size_t (*send)(struct hf_udp *udp, const struct hf_udp_packet *packets, size_t count);
	void (*close)(struct hf_udp *udp);
};
struct hf_udp_counters {
	uint64_t sent_packets, sent_bytes, received_packets, received_bytes;
	uint64_t refused_packets; /* not taken by a send: the system's buffer was full */
	uint64_t failed_packets;  /* taken and lost: too big for the link, no route, … */
	uint64_t send_calls, receive_calls; /* of the system */
};
struct hf_udp {
	const struct hf_udp_ops *ops;
	struct hf_udp_host *host;
	struct hf_address address; /* as bound, with its port */
	struct hf_udp_counters counters;
};

/* The loop's host; the loop owns it. NULL: out of memory. */
HF_API struct hf_udp_host *hf_udp_host_of_loop(struct hf_loop *loop);

/* HF_EADDR: it cannot be bound (in use, not ours); HF_EBUSY: too many open files. */
static inline int hf_udp_open(
	struct hf_udp_host *host, struct hf_udp **out, const struct hf_udp_options *options, struct hf_failure *failure)
{
	return host->ops->open(host, out, options, failure);
}
/* Sends in order and returns how many packets are done with; fewer than count: the system takes no more now, and `writable` follows. A
 * packet that the system refuses for its own sake (too big, no route) is done with, and counted. Nothing is kept of the pieces. */
static inline size_t hf_udp_send(struct hf_udp *udp, const struct hf_udp_packet *packets, size_t count)
{
	return udp->ops->send(udp, packets, count);
}
/* No callback comes any more; NULL is fine. */
static inline void hf_udp_close(struct hf_udp *udp)
{
	if (udp)
		udp->ops->close(udp);
}
static inline const struct hf_address *hf_udp_address(const struct hf_udp *udp) { return &udp->address; }

static inline int hf_udp_timer_set(struct hf_udp_host *host, struct hf_timer *timer, uint64_t delay_ms)
{
	return host->ops->timer_set(host, timer, delay_ms * 1000);
}
static inline int hf_udp_timer_set_us(struct hf_udp_host *host, struct hf_timer *timer, uint64_t delay_us)
{
	return host->ops->timer_set(host, timer, delay_us);
}
static inline void hf_udp_timer_cancel(struct hf_udp_host *host, struct hf_timer *timer) { host->ops->timer_cancel(host, timer); }
static inline uint64_t hf_udp_now_us(struct hf_udp_host *host) { return host->ops->now_us(host); } /* monotonic, of this iteration */
static inline uint64_t hf_udp_now_ms(struct hf_udp_host *host) { return host->ops->now_us(host) / 1000; }
/* As hf_loop_defer: runs at the end of the current iteration. */
static inline void hf_udp_defer(struct hf_udp_host *host, struct hf_loop_deferred *deferred) { host->ops->defer(host, deferred); }
static inline void hf_udp_cancel_deferred(struct hf_udp_host *host, struct hf_loop_deferred *deferred)
{
	host->ops->cancel_deferred(host, deferred);
}

#endif
