/* udx_pair: two UDX sessions with a stream each, connected to each other, whose packets a test carries by hand. */
#ifndef TEST_UNIT_WIRE_UDX_PAIR_H
#define TEST_UNIT_WIRE_UDX_PAIR_H

#include <stdlib.h>

#include "wire/udx/packet.h"
#include "wire/udx/udx.h"

struct pair;
struct pair_end {
	struct pair *pair;
	struct hf_udx *udx;
	struct hf_udx_stream *stream;
	struct hf_udx_path path; /* to the other end; its socket is the pair_end itself */
	struct hf_buffer data;   /* received */
	struct hf_buffer last_message;
	unsigned message_count, end_count, closed_count, drained_count, changed_count, firewall_count, wake_count;
	int code;
	bool welcomes, keeps; /* the firewall's answer; whether `closed` leaves the stream to the test */
	void (*on_data)(struct pair_end *end);
};
struct pair {
	uint64_t now_us, random;
	struct hf_env env;
	struct pair_end a, b;
	uint8_t packet[65536];
};

extern const struct hf_udx_events end_events; /* of both ends' streams; context: the pair_end */

/* id 0: random. */
void pair_open(struct pair *p, uint32_t id_a, uint32_t id_b);
void pair_open_unconnected(struct pair *p, uint32_t id_a, uint32_t id_b, const struct hf_udx_options *options);
void pair_connect(struct pair *p, struct pair_end *end);
void pair_close(struct pair *p);
/* The one packet that an end wants to send, as one piece; fails when it is not exactly one. */
struct hf_slice pair_pull_one(struct pair *p, struct pair_end *end);
/* A packet of somebody's for end a. */
bool pair_feed(struct pair *p, uint8_t type, uint32_t seq, uint32_t ack, uint32_t window, struct hf_slice payload);
struct hf_udx_header pair_header(struct hf_slice packet);
/* Drops all that it wants to send; how many packets. The last one is in p->packet. */
size_t pair_drop(struct pair *p, struct pair_end *end);
/* Carries all that one end wants to send now to the other one; how many packets. */
size_t pair_carry(struct pair *p, struct pair_end *from);
/* Carries both ways until both are silent. */
void pair_settle(struct pair *p);
/* Moves the time on, deadline by deadline, carrying nothing: all that is sent is dropped. Returns how many packets were. */
size_t pair_wait_deaf(struct pair *p, struct pair_end *end, uint64_t us);

#endif
