/* client: the load side of the relay benchmark, many WebSocket clients on one epoll.
 *
 * The server under test shares the machine with this program, so everything here is as cheap as it can be: messages
 * are queued and leave in one write per connection and round, a received message is handed over where it lies in the
 * read buffer, and frames are masked with a key of zeros, which the protocol allows and which needs no pass over the
 * bytes. Errors end the connection; a row sees them as missing answers. */
#ifndef HF_BENCH_CLIENT_H
#define HF_BENCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a message that spans two reads only this much is kept; the rest is counted and dropped. */
#define HF_BENCH_HEAD_BYTES_MAX 512u

enum hf_bench_kind {
	HF_BENCH_EVENT,
	HF_BENCH_EOSE,
	HF_BENCH_OK,
	HF_BENCH_CLOSED,
	HF_BENCH_NOTICE,
	HF_BENCH_AUTH,
	HF_BENCH_OTHER,
};

struct hf_bench_message {
	enum hf_bench_kind kind; /* OTHER when compressed */
	bool compressed;
	const char *head; /* the message, or its beginning */
	size_t head_bytes;
	uint64_t bytes; /* of the whole message */
};

struct hf_bench_conn {
	struct hf_bench_hub *hub;
	int fd;       /* -1 once closed */
	bool deflate; /* the server agreed to permessage-deflate */
	bool writable_awaited;
	size_t number; /* the row's own */
	size_t in_flight;
	int64_t sent_at_us;

	uint8_t frame_header[14];
	size_t frame_header_bytes;
	uint64_t frame_left_bytes;
	bool message_compressed;
	uint64_t message_bytes;
	char head[HF_BENCH_HEAD_BYTES_MAX];
	size_t head_bytes;

	char *out;
	size_t out_begin;
	size_t out_end;
	size_t out_capacity_bytes;
};

struct hf_bench_hub {
	int epoll_fd;
	char *read_buffer;
	uint64_t lost_count; /* connections that ended before the row closed them */
	void *context;
	void (*on_message)(struct hf_bench_conn *conn, const struct hf_bench_message *message);
	/* After all messages of one read; here a row tops up what it keeps in flight. May be NULL. */
	void (*on_round)(struct hf_bench_conn *conn);
};

int64_t hf_bench_now_us(void);

bool hf_bench_hub_open(struct hf_bench_hub *hub);
void hf_bench_hub_close(struct hf_bench_hub *hub);

/* Waits up to timeout_us for something to arrive and hands it out. */
void hf_bench_hub_poll(struct hf_bench_hub *hub, int64_t timeout_us);

/* Connects to 127.0.0.1 and shakes hands; NULL with a line on stderr when that fails. */
struct hf_bench_conn *hf_bench_conn_open(struct hf_bench_hub *hub, int port, bool offer_deflate);
void hf_bench_conn_close(struct hf_bench_conn *conn);

/* Opens `count`, or none; false when one failed. Numbers them from 0. */
bool hf_bench_conns_open(struct hf_bench_hub *hub, struct hf_bench_conn **conns, size_t count, int port, bool deflate);
void hf_bench_conns_close(struct hf_bench_conn **conns, size_t count);

/* Queues a text message made of three parts (any may be empty). Nothing leaves before the flush. */
void hf_bench_conn_text(struct hf_bench_conn *conn, const char *a, size_t a_bytes, const char *b, size_t b_bytes,
	const char *c, size_t c_bytes);
void hf_bench_conn_string(struct hf_bench_conn *conn, const char *text);
/* Queues a message that the caller has deflated. */
void hf_bench_conn_deflated(struct hf_bench_conn *conn, const char *bytes, size_t count);
void hf_bench_conn_flush(struct hf_bench_conn *conn);

/* TCP segments with data that arrived here; on loopback that is about one per write of the server. */
uint64_t hf_bench_conn_segments(const struct hf_bench_conn *conn);

#endif
