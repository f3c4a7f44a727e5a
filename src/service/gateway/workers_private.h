/* workers_private: what the parts of the pool share. (Private to service/gateway/workers*.) */
#ifndef HF_SERVICE_GATEWAY_WORKERS_PRIVATE_H
#define HF_SERVICE_GATEWAY_WORKERS_PRIVATE_H

#include "base/list.h"
#include "base/map.h"
#include "base/metrics.h"
#include "service/gateway/workers.h"
#include "wire/bee_channel.h"
#include "wire/relay_stream.h"

#define HF_WORKERS_TICK_MS HF_WORKERS_POLL_MS /* deadlines, health, polls: none of them is finer */
#define HF_WORKERS_PULSE_MS 100u              /* signs of life, while there are streams */

struct hf_workers {
	struct hf_workers_options options;
	uint8_t public_key[32], bee_key[32], secret[HF_SIGN_SECRET_BYTES]; /* the last: a key pair for nested handshakes, of this run */
	struct hf_secret_stream_pool *pool;
	struct hf_swarm_session *session, *own; /* where workers wait; by our own key */
	struct hf_timer look;
	uint32_t look_ms;
	struct hf_worker *workers;      /* every socket that may become one */
	struct hf_map by_key;           /* those that are connected */
	struct hf_timer tick, pulse;
	uint64_t ticked_us, pulsed_us;  /* the last time; pulsed_us 0: the timer does not run */
	struct hf_loop_deferred sweep;  /* workers that have ended, streams that something waits for */
	struct hf_gauge connected_now, hypertuna_now, streams_now;
	struct hf_counter connected, refused, replaced, unhealthy, requests, polls, telemetry_refused, silent;
	bool is_closing;
};

struct hf_worker {
	struct hf_worker *next, *previous;
	struct hf_workers *pool;
	struct hf_peer_socket *socket;
	uint8_t key[32];
	struct hf_relay_channel *channel; /* NULL: not opened by us yet, or not at all */
	struct hf_relay_streams *relay_streams;
	struct hf_bee_channel *bee;
	struct hf_replicator_stream *replication;
	struct hf_worker_stream *streams;
	uint32_t stream_count;
	struct hf_telemetry telemetry;
	uint64_t opened_us, checked_us, connected_at_ms;
	uint64_t pulsed_us, asked_us, answer_us; /* of the pulse: last asked; 0: answered; how long that takes */
	uint64_t heard_us, heard_bytes;
	uint64_t checked_bytes;  /* received before the oldest health check that is under way, */
	uint32_t checks_out;     /* of so many */
	void *context;
	enum hf_worker_end why;
	bool is_connected; /* the owner was told */
	bool is_hypertuna, can_resume, is_ill, is_silent, has_telemetry, has_ended, bee_has_ended;
};

/* A message of the client's, or a part of the answer, that waits. */
struct hf_worker_message {
	struct hf_worker_message *next;
	size_t length;
	uint8_t data[];
};

/* Of a subscription at one of Hypertuna's: its id's hash, and whether its EOSE was passed on. */
struct hf_worker_subscription {
	uint64_t hash;
	bool has_ended;
};
#define HF_WORKER_SUBSCRIPTIONS_MAX 64

struct hf_worker_stream {
	struct hf_worker_stream *next, *previous;
	struct hf_worker *worker; /* NULL: it went */
	enum hf_worker_stream_kind kind;
	const struct hf_worker_stream_events *events;
	void *context;
	struct hf_relay_stream *stream; /* of ours */

	/* Of Hypertuna's. */
	char connection_key[33];
	struct hf_buffer post_path, poll_path, auth_token;
	struct hf_worker_message *first, **last; /* to post, whole */
	struct hf_buffer partial;                /* a message that is not whole yet */
	size_t queued_bytes;                     /* in both */
	struct hf_buffer answer;                 /* of HTTP: what was not given yet, from answer_at on */
	size_t answer_at, unacknowledged;
	struct hf_worker_subscription subscriptions[HF_WORKER_SUBSCRIPTIONS_MAX];
	size_t subscription_count;
	uint64_t request, poll; /* ids, while they are outstanding */
	bool is_requesting, is_polling, polls_for_ever, owes_head, wants_writable, has_answer;

	int end_code; /* with has_ended: to be told from the sweep */
	const char *end_why;
	uint32_t uses; /* callbacks under way */
	bool has_ended, needs_turn, is_closed;
};

/* ---- workers.c ---- */
void hf_workers_settle(struct hf_workers *pool); /* asks for the sweep */
/* Ends it from the sweep; the first reason counts. */
void hf_worker_note_end(struct hf_worker *worker, enum hf_worker_end why);

/* ---- worker.c ---- */
int hf_worker_open_channel(struct hf_worker *worker);
void hf_worker_tick(struct hf_worker *worker, uint64_t now_us);
/* Ends its streams, frees its channels, tells `gone` if it was connected, and frees it. Not from within its mux. */
void hf_worker_finish(struct hf_worker *worker);
void hf_worker_end_bee(struct hf_worker *worker);
int hf_worker_check(struct hf_worker *worker, hf_relay_channel_reply *answered); /* a health check; answered calls: */
void hf_worker_checked(struct hf_worker *worker, int result);

/* ---- worker_pulse.c ---- */
void hf_workers_pulse(struct hf_workers *pool); /* there is a stream */

/* ---- worker_stream.c ---- */
void hf_worker_stream_enter(struct hf_worker_stream *stream);
void hf_worker_stream_leave(struct hf_worker_stream *stream); /* may free it */
/* Tells `ended` from the sweep. */
void hf_worker_stream_note_end(struct hf_worker_stream *stream, int code, const char *why);
/* What is due from the sweep: the end, or what waits to be given. */
void hf_worker_stream_turn(struct hf_worker_stream *stream);
/* The worker goes: tells `ended` now. */
void hf_worker_stream_abandon(struct hf_worker_stream *stream);

/* ---- worker_hypertuna.c: the same face on requests ---- */
int hf_worker_hypertuna_open(struct hf_worker_stream *stream, const struct hf_worker_request *request);
int hf_worker_hypertuna_send(struct hf_worker_stream *stream, struct hf_slice bytes, bool is_end_of_message);
void hf_worker_hypertuna_turn(struct hf_worker_stream *stream);
void hf_worker_hypertuna_poll(struct hf_worker_stream *stream);
size_t hf_worker_hypertuna_room(const struct hf_worker_stream *stream);
void hf_worker_hypertuna_release(struct hf_worker_stream *stream); /* memory, and requests that are under way */

#endif
