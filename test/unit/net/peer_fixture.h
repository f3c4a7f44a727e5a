/* peer_fixture: a listener on one loop, diallers on another, and plain sockets, all in one thread: the loops are turned while somebody
 * waits. */
#ifndef HF_TEST_PEER_FIXTURE_H
#define HF_TEST_PEER_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/sign.h"
#include "net/memory.h"
#include "net/peer_socket.h"

#define ENDS_MAX 256

enum act { NOTHING, CLOSE, FREE };
enum place { OPENED, SETTLED, CLOSED, CHANNEL_OPENED, CHANNEL_MESSAGE, CHANNEL_DRAINED, CHANNEL_CLOSED, PLACE_COUNT };

/* One side of a connection, or, for those that a listener has not opened, all of them together. */
struct end {
	struct fixture *fixture;
	struct hf_peer_socket *socket; /* NULL once it is gone */
	struct hf_channel *channel;
	unsigned counts[PLACE_COUNT];
	enum act acts[PLACE_COUNT];
	int code; /* of closed */
	char why[HF_FAILURE_TEXT_BYTES];
	uint8_t remote_key[HF_SIGN_PUBLIC_BYTES], handshake_hash[HF_HANDSHAKE_HASH_BYTES];
	bool is_initiator, is_lobby;
	bool echoes, waits; /* answers each message; does not open its channel by itself */
	const char *says_when_settled;
	struct hf_buffer last; /* message */
	uint64_t received_bytes;
	uint64_t to_send_blocks;
	size_t block_bytes, pending_max;
};

struct fixture {
	struct hf_env env;
	struct hf_loop *here, *there; /* the listener's and the diallers' */
	struct hf_peer_listener *listener;
	struct hf_address address;
	char address_text[HF_ADDRESS_TEXT_BYTES];
	uint8_t here_secret[HF_SIGN_SECRET_BYTES], there_secret[HF_SIGN_SECRET_BYTES];
	struct hf_peer_socket_options options; /* of the listener */
	struct end lobby, model;               /* model: what accepted ends begin as */
	struct end accepted[ENDS_MAX];
	unsigned accepted_count;
};

static void end_at(struct end *end, enum place place)
{
	struct hf_peer_socket *socket = end->socket;
	end->counts[place]++;
	if (socket && end->acts[place] == CLOSE)
		hf_peer_socket_close(socket);
	if (socket && end->acts[place] == FREE) {
		end->socket = NULL;
		hf_peer_socket_free(socket);
	}
}

static int end_say(struct end *end, const void *data, size_t length)
{
	struct iovec part = {(void *)(uintptr_t)data, length};
	int error = hf_channel_send(end->channel, 0, &part, 1);
	size_t pending = end->socket ? hf_peer_socket_pending_bytes(end->socket) : 0;
	if (pending > end->pending_max)
		end->pending_max = pending;
	return error;
}

/* As many blocks as fit before the socket is congested. */
static void end_send_blocks(struct end *end)
{
	static const uint8_t block[1u << 20];
	while (end->to_send_blocks > 0 && end->channel && !hf_protomux_is_congested(hf_channel_mux(end->channel))) {
		if (end_say(end, block, end->block_bytes))
			return;
		end->to_send_blocks--;
	}
}

static int end_on_open(struct hf_channel *channel, void *context, struct hf_slice handshake)
{
	end_at(context, CHANNEL_OPENED);
	return HF_OK;
}

static int end_on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct end *end = context;
	end->received_bytes += body.length;
	if (body.length < 100) {
		hf_buffer_clear(&end->last);
		assert_int_equal(hf_buffer_append(&end->last, body.data, body.length), HF_OK);
	}
	end_at(end, CHANNEL_MESSAGE);
	if (end->echoes && end->socket)
		end_say(end, body.data, body.length);
	return HF_OK;
}

static void end_on_channel_close(struct hf_channel *channel, void *context, enum hf_channel_end how)
{
	struct end *end = context;
	end->channel = NULL;
	end_at(end, CHANNEL_CLOSED);
}

static void end_on_drain(struct hf_channel *channel, void *context)
{
	struct end *end = context;
	end_at(end, CHANNEL_DRAINED);
	if (end->socket)
		end_send_blocks(end);
}

static const struct hf_channel_events end_channel_events = {
	.message_types = 1, .open = end_on_open, .message = end_on_message, .close = end_on_channel_close, .drain = end_on_drain};

static int end_open_channel(struct end *end)
{
	struct hf_channel_options options = {.protocol = HF_SLICE_LITERAL("test"), .events = &end_channel_events, .context = end};
	return hf_protomux_open(hf_peer_socket_mux(end->socket), &options, &end->channel);
}

static int end_on_notify(void *context, struct hf_protomux *mux, struct hf_slice protocol, struct hf_slice id)
{
	return HF_EWAIT;
}

static void end_on_opened(void *context, struct hf_peer_socket *socket)
{
	struct end *end = context;
	if (end->is_lobby) {
		struct fixture *f = end->fixture;
		assert_true(f->accepted_count < ENDS_MAX);
		end = &f->accepted[f->accepted_count++];
		*end = f->model;
		end->fixture = f;
		hf_peer_socket_set_context(socket, end);
		assert_ptr_equal(hf_peer_socket_context(socket), end);
	}
	end->socket = socket;
	end->is_initiator = hf_peer_socket_is_initiator(socket);
	memcpy(end->remote_key, hf_peer_socket_remote_key(socket), sizeof end->remote_key);
	memcpy(end->handshake_hash, hf_peer_socket_handshake_hash(socket), sizeof end->handshake_hash);
	if (end->waits)
		hf_protomux_pair(hf_peer_socket_mux(socket), HF_SLICE_LITERAL("test"), hf_slice(NULL, 0), end_on_notify, end);
	else
		end_open_channel(end);
	end_at(end, OPENED);
	if (end->socket)
		end_send_blocks(end);
}

static void end_on_settled(void *context, struct hf_peer_socket *socket)
{
	struct end *end = context;
	if (end->says_when_settled && end->counts[CHANNEL_MESSAGE] > 0) {
		end_say(end, end->says_when_settled, strlen(end->says_when_settled));
		end->says_when_settled = NULL;
	}
	end_at(end, SETTLED);
}

static void end_on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct end *end = context;
	assert_null(end->channel);
	end->code = code;
	snprintf(end->why, sizeof end->why, "%s", why);
	end->socket = socket;
	end_at(end, CLOSED);
	end->socket = NULL;
}

static const struct hf_peer_socket_events end_events = {.opened = end_on_opened, .settled = end_on_settled, .closed = end_on_closed};

/* f->options, f->lobby and f->model may be set before. */
static inline void fixture_open(struct fixture *f)
{
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES];
	hf_env_system(&f->env);
	hf_sign_keypair_generate(public_key, f->here_secret, &f->env);
	hf_sign_keypair_generate(public_key, f->there_secret, &f->env);
	assert_int_equal(hf_loop_new(&f->here, &f->env), HF_OK);
	assert_int_equal(hf_loop_new(&f->there, &f->env), HF_OK);
	f->lobby.is_lobby = true;
	f->lobby.fixture = f;
	f->options.size = sizeof f->options;
	f->options.loop = f->here;
	f->options.static_secret = f->here_secret;
	f->options.events = &end_events;
	f->options.context = &f->lobby;
	assert_int_equal(hf_peer_listener_new(&f->listener, &f->options, "127.0.0.1:0", &f->address, NULL), HF_OK);
	hf_address_text(&f->address, true, f->address_text);
}

static inline void fixture_close(struct fixture *f)
{
	hf_peer_listener_free(f->listener);
	hf_loop_free(f->there);
	hf_loop_free(f->here);
	for (unsigned i = 0; i < f->accepted_count; i++)
		hf_buffer_free(&f->accepted[i].last);
}

/* What a dialler is like: the listener's options but for the key. */
static inline struct hf_peer_socket_options dial_options(struct fixture *f, struct end *end)
{
	struct hf_peer_socket_options options = f->options;
	options.loop = f->there;
	options.static_secret = f->there_secret;
	options.context = end;
	return options;
}

static inline void end_dial(struct fixture *f, struct end *end)
{
	struct hf_peer_socket_options options = dial_options(f, end);
	end->fixture = f;
	assert_int_equal(hf_peer_socket_connect(&end->socket, &options, f->address_text, NULL), HF_OK);
}

static inline void turn(struct fixture *f)
{
	hf_loop_poll(f->there, false);
	hf_loop_poll(f->here, false);
}

static inline void turn_for(struct fixture *f, unsigned ms)
{
	uint64_t until = hf_env_monotonic_ms(&f->env) + ms;
	do {
		turn(f);
		poll(NULL, 0, 1);
	} while (hf_env_monotonic_ms(&f->env) < until);
}

/* Turns the loops until a count is reached. */
static inline void turn_until(struct fixture *f, const unsigned *count, unsigned wanted)
{
	uint64_t until = hf_env_monotonic_ms(&f->env) + 20000;
	while (*count < wanted) {
		turn(f);
		if (hf_env_monotonic_ms(&f->env) > until)
			fail_msg("waited in vain: %u of %u", *count, wanted);
	}
}

/* ---- A peer on a plain socket, with a secret stream of its own ---- */

struct raw {
	int fd;
	struct hf_secret_stream_pool *pool;
	struct hf_secret_stream *secret;
	unsigned opened;
	uint64_t received_bytes;
};

static void raw_on_handshake(void *context, const uint8_t remote_key[static HF_SIGN_PUBLIC_BYTES],
	const uint8_t handshake_hash[static HF_HANDSHAKE_HASH_BYTES])
{
	((struct raw *)context)->opened++;
}

static void raw_on_message(void *context, uint8_t *data, size_t length)
{
	((struct raw *)context)->received_bytes += length;
}

static const struct hf_secret_stream_events raw_events = {.handshake = raw_on_handshake, .message = raw_on_message};

static inline void raw_dial(struct fixture *f, struct raw *raw)
{
	struct sockaddr_storage name;
	socklen_t length = hf_address_to_sockaddr(&f->address, &name);
	*raw = (struct raw){.fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	assert_true(raw->fd >= 0);
	setsockopt(raw->fd, SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int)); /* so that it is soon full */
	assert_int_equal(connect(raw->fd, (struct sockaddr *)&name, length), 0);
	fcntl(raw->fd, F_SETFL, O_NONBLOCK);
	struct hf_secret_stream_options options = {
		.is_initiator = true, .static_secret = f->there_secret, .env = &f->env, .events = &raw_events, .context = raw};
	assert_int_equal(hf_secret_stream_pool_new(&raw->pool), HF_OK);
	options.pool = raw->pool;
	assert_int_equal(hf_secret_stream_new(&raw->secret, &options, 0), HF_OK);
}

static inline void raw_say(struct raw *raw, const void *data, size_t length)
{
	assert_int_equal(send(raw->fd, data, length, MSG_NOSIGNAL), length);
}

static inline void raw_flush(struct raw *raw)
{
	struct hf_secret_stream_slice slice;
	while (hf_secret_stream_send(raw->secret, &slice, 1) == 1) {
		raw_say(raw, slice.data, slice.length);
		hf_secret_stream_release(slice.chunk);
	}
}

/* Takes what has come; false at the end. */
static inline bool raw_hear(struct raw *raw)
{
	uint8_t bytes[65536];
	ssize_t got = recv(raw->fd, bytes, sizeof bytes, 0);
	if (got > 0)
		hf_secret_stream_recv(raw->secret, 0, bytes, (size_t)got);
	return got > 0 || (got < 0 && errno == EAGAIN);
}

/* Until both sides have finished the handshake. */
static inline void raw_open(struct fixture *f, struct raw *raw)
{
	unsigned before = f->accepted_count;
	raw_dial(f, raw);
	while (!raw->opened || f->accepted_count == before) {
		raw_flush(raw);
		turn(f);
		assert_true(raw_hear(raw));
	}
	raw_flush(raw);
	turn_for(f, 10);
}

static inline void raw_close(struct raw *raw)
{
	if (raw->fd >= 0)
		close(raw->fd);
	hf_secret_stream_free(raw->secret);
	hf_secret_stream_pool_free(raw->pool);
}

#endif
