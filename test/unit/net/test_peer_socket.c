/* Connections between peers: what both sides hear, what they hold, and remotes that do wrong. */
#include "peer_fixture.h"

#include "support/fail_alloc.h"

#define MIB (1u << 20)
#define FRAMES_BYTES 4096 /* around what is pending at most: frames, channel numbers */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED true
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED false
#endif

/* On the heap: it is large. */
static struct fixture *fixture(void)
{
	struct fixture *f = calloc(1, sizeof *f);
	assert_non_null(f);
	return f;
}

static void done(struct fixture *f, struct end *end)
{
	fixture_close(f);
	if (end)
		hf_buffer_free(&end->last);
	free(f);
}

static bool heard(const struct end *end, const char *text)
{
	return hf_slice_equal(hf_buffer_slice(&end->last), hf_slice_text(text));
}

/* ---- Two that get on ---- */

static void converse(bool listener_initiates)
{
	struct fixture *f = fixture();
	struct end client = {0};
	f->options.listener_initiates = listener_initiates;
	f->model.echoes = true;
	fixture_open(f);
	end_dial(f, &client);
	turn_until(f, &client.counts[CHANNEL_OPENED], 1);
	struct end *server = &f->accepted[0];
	assert_int_equal(f->accepted_count, 1);
	assert_int_equal(server->is_initiator, listener_initiates);
	assert_int_equal(client.is_initiator, !listener_initiates);
	assert_memory_equal(server->remote_key, hf_sign_public_key(f->there_secret), HF_SIGN_PUBLIC_BYTES);
	assert_memory_equal(client.remote_key, hf_sign_public_key(f->here_secret), HF_SIGN_PUBLIC_BYTES);
	assert_memory_equal(client.handshake_hash, server->handshake_hash, HF_HANDSHAKE_HASH_BYTES);
	assert_int_equal(hf_peer_socket_address(client.socket)->port, f->address.port);

	assert_int_equal(end_say(&client, "hello", 5), HF_OK);
	turn_until(f, &client.counts[CHANNEL_MESSAGE], 1);
	assert_true(heard(server, "hello"));
	assert_true(heard(&client, "hello"));
	assert_true(server->counts[SETTLED] > 0);

	assert_int_equal(end_say(&client, "goodbye", 7), HF_OK);
	hf_peer_socket_close(client.socket);
	turn_until(f, &server->counts[CLOSED], 1);
	turn_until(f, &client.counts[CLOSED], 1);
	assert_true(heard(server, "goodbye"));
	assert_int_equal(client.code, HF_OK);
	assert_int_equal(server->code, HF_ECLOSED);
	assert_string_equal(server->why, "The remote has closed the connection.");
	assert_int_equal(client.counts[CHANNEL_CLOSED], 1);
	assert_int_equal(server->counts[CHANNEL_CLOSED], 1);
	turn_for(f, 10);
	assert_int_equal(client.counts[CLOSED] + server->counts[CLOSED], 2);
	assert_int_equal(hf_peer_listener_connection_count(f->listener), 0);
	done(f, &client);
}

static void test_the_dialler_initiates_and_messages_pass_both_ways(void **state)
{
	converse(false);
}

static void test_the_listener_may_initiate(void **state)
{
	converse(true);
}

static void test_what_is_sent_when_settled_leaves_in_the_same_iteration(void **state)
{
	struct fixture *f = fixture();
	struct end client = {0};
	f->model.says_when_settled = "reply";
	fixture_open(f);
	end_dial(f, &client);
	turn_until(f, &client.counts[CHANNEL_OPENED], 1);
	turn_for(f, 10);
	unsigned settled = f->accepted[0].counts[SETTLED];
	for (int i = 0; i < 10; i++)
		assert_int_equal(end_say(&client, "question", 8), HF_OK);
	hf_loop_poll(f->there, false);
	poll(NULL, 0, 5);
	hf_loop_poll(f->here, false);
	assert_int_equal(f->accepted[0].counts[CHANNEL_MESSAGE], 10);
	assert_int_equal(f->accepted[0].counts[SETTLED], settled + 1);
	poll(NULL, 0, 5);
	hf_loop_poll(f->there, false);
	assert_true(heard(&client, "reply"));

	settled = client.counts[SETTLED];
	turn_for(f, 5);
	assert_int_equal(client.counts[SETTLED], settled);
	hf_peer_socket_settle(client.socket);
	turn_for(f, 5);
	assert_int_equal(client.counts[SETTLED], settled + 1);
	done(f, &client);
}

/* ---- Bare secret streams ---- */

struct bare {
	struct hf_buffer heard;
	unsigned closed;
	int code;
};

static void bare_on_opened_and_says(void *context, struct hf_peer_socket *socket)
{
	assert_int_equal(hf_peer_socket_write(socket, hf_slice_text("all there ")), HF_OK);
	assert_int_equal(hf_peer_socket_write(socket, hf_slice_text("is to say")), HF_OK);
	hf_peer_socket_close(socket);
	assert_int_equal(hf_peer_socket_write(socket, hf_slice_text("and more")), HF_ECLOSED);
}

static void bare_on_opened(void *context, struct hf_peer_socket *socket)
{
}

static void bare_on_message(void *context, struct hf_peer_socket *socket, struct hf_slice message)
{
	assert_int_equal(hf_buffer_append(&((struct bare *)context)->heard, message.data, message.length), HF_OK);
}

static void bare_on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct bare *bare = context;
	bare->code = code;
	bare->closed++;
}

static const struct hf_peer_socket_events bare_speaker = {.opened = bare_on_opened_and_says, .message = bare_on_message, .closed = bare_on_closed},
	bare_hearer = {.opened = bare_on_opened, .message = bare_on_message, .closed = bare_on_closed};

static void test_a_bare_stream_has_messages_and_no_mux(void **state)
{
	struct fixture *f = fixture();
	struct bare here = {0}, there = {0};
	struct hf_peer_listener *listener;
	struct hf_peer_socket *socket;
	struct hf_address bound;
	char where[HF_ADDRESS_TEXT_BYTES];
	fixture_open(f);
	struct hf_peer_socket_options options = f->options;
	options.events = &bare_speaker;
	options.context = &here;
	assert_int_equal(hf_peer_listener_new(&listener, &options, "127.0.0.1:0", &bound, NULL), HF_OK);
	options = dial_options(f, NULL);
	options.events = &bare_hearer;
	options.context = &there;
	assert_int_equal(hf_peer_socket_connect(&socket, &options, hf_address_text(&bound, true, where), NULL), HF_OK);
	assert_int_equal(hf_peer_socket_write(socket, hf_slice_text("too early")), HF_EWAIT);
	turn_until(f, &there.closed, 1);
	assert_int_equal(there.code, HF_ECLOSED);
	assert_int_equal(here.closed, 1);
	assert_int_equal(here.code, HF_OK);
	assert_true(hf_slice_equal(hf_buffer_slice(&there.heard), hf_slice_text("all there is to say")));
	assert_int_equal(here.heard.length, 0);
	hf_buffer_free(&there.heard);
	hf_peer_listener_free(listener);
	done(f, NULL);
}

static void test_keep_alive_holds_a_silent_connection(void **state)
{
	struct fixture *f = fixture();
	struct end client = {0};
	f->options.keep_alive_ms = 20;
	f->options.idle_timeout_ms = 200;
	fixture_open(f);
	end_dial(f, &client);
	turn_until(f, &client.counts[CHANNEL_OPENED], 1);
	turn_for(f, 500);
	assert_int_equal(client.counts[CLOSED] + f->accepted[0].counts[CLOSED], 0);
	done(f, &client);
}

/* ---- Back-pressure ---- */

static void test_a_bulk_of_64_mib_passes_with_little_pending(void **state)
{
	struct fixture *f = fixture();
	struct end client = {.to_send_blocks = 1024, .block_bytes = 65536};
	fixture_open(f);
	end_dial(f, &client);
	turn_until(f, &client.counts[OPENED], 1);
	while (f->accepted_count == 0)
		turn(f);
	struct end *server = &f->accepted[0];
	while (server->received_bytes < 64 * MIB) {
		hf_loop_poll(f->there, false);
		hf_loop_poll(f->there, false);
		hf_loop_poll(f->here, false); /* half as often */
	}
	assert_int_equal(client.to_send_blocks, 0);
	assert_int_equal(server->received_bytes, 64 * MIB);
	assert_true(client.counts[CHANNEL_DRAINED] > 4);
	assert_in_range(client.pending_max, HF_PEER_SOCKET_HIGH_BYTES, HF_PEER_SOCKET_HIGH_BYTES + 65536 + FRAMES_BYTES);
	turn_for(f, 10);
	assert_int_equal(hf_peer_socket_pending_bytes(client.socket), 0);
	assert_int_equal(hf_loop_memory(f->there)->kinds[HF_MEMORY_SEND], 0);
	assert_int_equal(hf_loop_memory(f->here)->kinds[HF_MEMORY_RECEIVE], 0);
	done(f, &client);
}

static void test_who_sends_on_while_congested_is_cut_off(void **state)
{
	struct fixture *f = fixture();
	struct end client = {0};
	static const uint8_t block[MIB];
	int error = HF_OK;
	fixture_open(f);
	end_dial(f, &client);
	turn_until(f, &client.counts[CHANNEL_OPENED], 1);
	for (unsigned i = 0; i < 100 && !error; i++) {
		error = end_say(&client, block, sizeof block);
		hf_loop_poll(f->there, false);
	}
	assert_int_equal(error, HF_ECLOSED);
	turn_until(f, &client.counts[CLOSED], 1);
	assert_int_equal(client.code, HF_EBUSY);
	assert_in_range(client.pending_max, HF_PEER_SOCKET_PENDING_BYTES_MAX, HF_PEER_SOCKET_PENDING_BYTES_MAX + MIB + FRAMES_BYTES);
	assert_int_equal(hf_loop_memory(f->there)->kinds[HF_MEMORY_SEND], 0);
	done(f, &client);
}

static void test_reading_pauses_while_a_channel_waits_for_its_answer(void **state)
{
	struct fixture *f = fixture();
	struct end client = {.to_send_blocks = 400, .block_bytes = 65536};
	f->model.waits = true;
	fixture_open(f);
	end_dial(f, &client);
	turn_until(f, &client.counts[OPENED], 1);
	turn_for(f, 100);
	struct end *server = &f->accepted[0];
	assert_true(client.to_send_blocks > 100); /* the rest is held up */
	assert_true(hf_protomux_is_congested(hf_peer_socket_mux(client.socket)));
	assert_int_equal(server->counts[CLOSED], 0);
	assert_int_equal(end_open_channel(server), HF_OK);
	while (server->received_bytes < 400 * 65536)
		turn(f);
	assert_int_equal(client.to_send_blocks, 0);
	done(f, &client);
}

static void test_a_remote_that_never_reads_is_given_up(void **state)
{
	struct fixture *f = fixture();
	struct raw raw;
	f->options.stall_timeout_ms = 100;
	f->options.keep_alive_ms = 20;
	f->model.to_send_blocks = 1024;
	f->model.block_bytes = 65536;
	fixture_open(f);
	raw_open(f, &raw);
	turn_until(f, &f->accepted[0].counts[CLOSED], 1);
	assert_int_equal(f->accepted[0].code, HF_ETIMEOUT);
	assert_string_equal(f->accepted[0].why, "The remote has taken nothing for 100 ms of what was sent.");
	assert_in_range(f->accepted[0].pending_max, 0, HF_PEER_SOCKET_HIGH_BYTES + 65536 + FRAMES_BYTES);
	assert_int_equal(hf_loop_memory(f->here)->kinds[HF_MEMORY_SEND], 0);
	raw_close(&raw);
	done(f, NULL);
}

static void test_a_remote_that_reads_slowly_is_kept(void **state)
{
	struct fixture *f = fixture();
	struct raw raw;
	f->options.stall_timeout_ms = 150;
	f->options.keep_alive_ms = 20;
	f->model.to_send_blocks = 800;
	f->model.block_bytes = 65536;
	fixture_open(f);
	raw_open(f, &raw);
	uint64_t until = hf_env_monotonic_ms(&f->env) + 1000;
	while (hf_env_monotonic_ms(&f->env) < until) {
		assert_true(raw_hear(&raw));
		turn_for(f, 20); /* 64 KiB each: long enough for the kernel's buffers to seem stuck */
	}
	assert_int_equal(f->accepted[0].counts[CLOSED], 0);
	assert_true(f->accepted[0].to_send_blocks > 0 || hf_peer_socket_pending_bytes(f->accepted[0].socket) > 0);
	raw_close(&raw);
	done(f, NULL);
}

/* ---- Remotes that do wrong ---- */

static void test_garbage_ends_the_connection_and_the_listener_goes_on(void **state)
{
	struct fixture *f = fixture();
	struct end client = {0};
	struct raw raw;
	fixture_open(f);
	raw_dial(f, &raw);
	raw_say(&raw, "GET / HTTP/1.1\r\n\r\n", 18);
	turn_until(f, &f->lobby.counts[CLOSED], 1);
	assert_int_equal(f->lobby.code, HF_EMALFORMED);
	assert_int_equal(f->accepted_count, 0);
	assert_string_equal(f->lobby.why, "The remote sent what is no handshake of the secret stream.");
	raw_close(&raw);
	end_dial(f, &client);
	turn_until(f, &client.counts[CHANNEL_OPENED], 1);
	assert_int_equal(f->lobby.counts[CLOSED], 1);
	done(f, &client);
}

static void test_half_a_handshake_and_silence_times_out(void **state)
{
	struct fixture *f = fixture();
	struct raw raw;
	f->options.handshake_timeout_ms = 60;
	fixture_open(f);
	raw_dial(f, &raw);
	raw_flush(&raw); /* the first of three */
	turn_for(f, 30);
	assert_int_equal(hf_peer_listener_connection_count(f->listener), 1);
	assert_int_equal(f->lobby.counts[CLOSED], 0);
	turn_until(f, &f->lobby.counts[CLOSED], 1);
	assert_int_equal(f->lobby.code, HF_ETIMEOUT);
	assert_string_equal(f->lobby.why, "The remote has not finished the handshake within 60 ms.");
	assert_int_equal(hf_peer_listener_connection_count(f->listener), 0);
	raw_close(&raw);
	done(f, NULL);
}

static void test_leaving_within_the_handshake_is_told(void **state)
{
	struct fixture *f = fixture();
	struct raw raw;
	fixture_open(f);
	raw_dial(f, &raw);
	raw_flush(&raw);
	shutdown(raw.fd, SHUT_WR);
	turn_until(f, &f->lobby.counts[CLOSED], 1);
	assert_int_equal(f->lobby.code, HF_ECLOSED);
	assert_string_equal(f->lobby.why, "The remote has closed the connection before the handshake was finished.");
	raw_close(&raw);
	done(f, NULL);
}

/* A remote that has finished the handshake sends these bytes and perhaps leaves. */
static void expect_end(const void *bytes, size_t length, bool leaves, int code, const char *why)
{
	struct fixture *f = fixture();
	struct raw raw;
	f->options.message_bytes_max = 1000;
	fixture_open(f);
	raw_open(f, &raw);
	raw_say(&raw, bytes, length);
	if (leaves)
		shutdown(raw.fd, SHUT_WR);
	turn_until(f, &f->accepted[0].counts[CLOSED], 1);
	assert_int_equal(f->accepted[0].code, code);
	assert_string_equal(f->accepted[0].why, why);
	assert_int_equal(f->accepted[0].counts[CHANNEL_CLOSED], 1);
	assert_int_equal(f->lobby.counts[CLOSED], 0);
	raw_close(&raw);
	done(f, NULL);
}

static void test_a_frame_above_the_limit_ends_the_connection(void **state)
{
	expect_end("\xfa\x03\x00", 3, false, HF_ETOOBIG, "The remote sent a message above the limit."); /* 1001 and 17 */
}

static void test_a_frame_that_is_not_sealed_ends_the_connection(void **state)
{
	expect_end("\x14\x00\x00 twenty bytes, made up", 23, false, HF_EBADSIG,
		"The remote sent what it has not sealed with the keys of the handshake.");
}

static void test_leaving_within_a_frame_is_told(void **state)
{
	expect_end("\xf9\x03\x00 the beginning", 17, true, HF_ECLOSED, "The remote has closed the connection within a message.");
}

static void test_a_message_that_is_no_protomux_ends_the_connection(void **state)
{
	struct fixture *f = fixture();
	struct raw raw;
	struct iovec open_twice = {(void *)(uintptr_t)"\x00\x01\x09\x01p\x00", 6}; /* channel 9 before 1 */
	fixture_open(f);
	raw_open(f, &raw);
	assert_int_equal(hf_secret_stream_write(raw.secret, 0, &open_twice, 1), HF_OK);
	raw_flush(&raw);
	turn_until(f, &f->accepted[0].counts[CLOSED], 1);
	assert_int_equal(f->accepted[0].code, HF_EMALFORMED);
	assert_string_equal(f->accepted[0].why, "The remote opened channel 9, which is not free.");
	raw_close(&raw);
	done(f, NULL);
}

static void test_silence_ends_the_connection_where_it_is_limited(void **state)
{
	struct fixture *f = fixture();
	struct raw raw;
	f->options.idle_timeout_ms = 60;
	fixture_open(f);
	raw_open(f, &raw);
	turn_until(f, &f->accepted[0].counts[CLOSED], 1);
	assert_int_equal(f->accepted[0].code, HF_ETIMEOUT);
	assert_string_equal(f->accepted[0].why, "Nothing came from the remote for 60 ms.");
	raw_close(&raw);
	done(f, NULL);
}

static void test_a_reset_is_an_error(void **state)
{
	struct fixture *f = fixture();
	struct raw raw;
	struct linger now = {.l_onoff = 1};
	fixture_open(f);
	raw_open(f, &raw);
	setsockopt(raw.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(raw.fd);
	raw.fd = -1;
	turn_until(f, &f->accepted[0].counts[CLOSED], 1);
	assert_int_equal(f->accepted[0].code, HF_EIO);
	raw_close(&raw);
	done(f, NULL);
}

/* ---- Dialling and listening ---- */

static void test_addresses_that_cannot_be_used_are_refused(void **state)
{
	static const char *const bad[] = {"", ":1", "host", "host:", "host:0", "host:65536", "host:1x", "::1:80", "[]:80", "[::1]80"};
	struct fixture *f = fixture();
	struct end client = {0};
	struct hf_failure failure = {0};
	struct hf_peer_listener *listener;
	struct hf_peer_socket *socket;
	fixture_open(f);
	struct hf_peer_socket_options options = dial_options(f, &client);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		failure.text[0] = 0;
		assert_int_equal(hf_peer_socket_connect(&socket, &options, bad[i], &failure), HF_EADDR);
		assert_null(socket);
		assert_true(failure.text[0]);
	}
	assert_int_equal(hf_peer_listener_new(&listener, &f->options, "somewhere", NULL, &failure), HF_EADDR);
	assert_int_equal(hf_peer_listener_new(&listener, &f->options, f->address_text, NULL, &failure), HF_EADDR);
	assert_non_null(strstr(failure.text, f->address_text));
	turn_for(f, 5);
	assert_int_equal(client.counts[CLOSED], 0);
	done(f, &client);
}

static void test_a_peer_that_cannot_be_reached_is_told(void **state)
{
	struct fixture *f = fixture();
	struct end client = {0}, freed = {0};
	fixture_open(f);
	hf_peer_listener_free(f->listener);
	f->listener = NULL;
	turn_for(f, 5);
	end_dial(f, &client);
	end_dial(f, &freed);
	hf_peer_socket_free(freed.socket);
	turn_until(f, &client.counts[CLOSED], 1);
	assert_int_equal(client.code, HF_EADDR);
	assert_int_equal(client.counts[OPENED], 0);
	assert_non_null(strstr(client.why, "refused"));
	turn_for(f, 10);
	assert_int_equal(freed.counts[CLOSED], 0);
	done(f, &client);
}

static void test_a_dialler_may_close_before_it_is_connected(void **state)
{
	struct fixture *f = fixture();
	struct end client = {0};
	fixture_open(f);
	end_dial(f, &client);
	hf_peer_socket_close(client.socket);
	turn_until(f, &client.counts[CLOSED], 1);
	assert_int_equal(client.code, HF_OK);
	assert_int_equal(client.counts[OPENED], 0);
	done(f, &client);
}

static void test_connections_past_the_most_are_closed_at_once(void **state)
{
	struct fixture *f = fixture();
	struct end clients[8] = {{0}};
	f->options.connection_count_max = 2;
	fixture_open(f);
	for (size_t i = 0; i < 8; i++) {
		end_dial(f, &clients[i]);
		turn_for(f, i < 2 ? 20 : 0);
	}
	turn_for(f, 50);
	assert_int_equal(clients[0].counts[OPENED] + clients[1].counts[OPENED], 2);
	for (size_t i = 2; i < 8; i++) {
		turn_until(f, &clients[i].counts[CLOSED], 1);
		assert_int_equal(clients[i].counts[OPENED], 0);
	}
	assert_int_equal(hf_peer_listener_connection_count(f->listener), 2);
	hf_peer_socket_free(clients[0].socket);
	turn_until(f, &f->accepted[0].counts[CLOSED], 1);
	struct end late = {0};
	end_dial(f, &late);
	turn_until(f, &late.counts[OPENED], 1);
	done(f, NULL);
}

static void test_a_freed_listener_takes_unfinished_handshakes_with_it(void **state)
{
	struct fixture *f = fixture();
	struct end client = {0};
	struct raw raw;
	fixture_open(f);
	end_dial(f, &client);
	turn_until(f, &client.counts[CHANNEL_OPENED], 1);
	raw_dial(f, &raw);
	raw_flush(&raw);
	turn_for(f, 10);
	assert_int_equal(hf_peer_listener_connection_count(f->listener), 2);
	hf_peer_listener_free(f->listener);
	f->listener = NULL;
	turn_for(f, 10);
	assert_int_equal(f->lobby.counts[CLOSED], 0);
	while (raw_hear(&raw))
		turn(f);
	assert_int_equal(end_say(&client, "still", 5), HF_OK);
	turn_until(f, &f->accepted[0].counts[CHANNEL_MESSAGE], 1);
	raw_close(&raw);
	done(f, &client);
}

static void test_a_loop_that_is_freed_closes_its_connections(void **state)
{
	struct fixture *f = fixture();
	struct end client = {0}, dialling = {0}, closing = {0};
	fixture_open(f);
	end_dial(f, &client);
	end_dial(f, &closing);
	turn_until(f, &client.counts[CHANNEL_OPENED], 1);
	turn_until(f, &closing.counts[CHANNEL_OPENED], 1);
	end_dial(f, &dialling);
	hf_peer_socket_close(closing.socket);
	hf_loop_free(f->there);
	assert_int_equal(client.counts[CLOSED], 1);
	assert_int_equal(client.code, HF_ECANCELED);
	assert_int_equal(closing.code, HF_OK);
	assert_int_equal(closing.counts[CLOSED], 1);
	assert_int_equal(dialling.counts[CLOSED], 1);
	assert_int_equal(hf_loop_new(&f->there, &f->env), HF_OK);
	done(f, NULL);
}

/* ---- Ending in any event ---- */

static void end_in(enum place place, enum act act)
{
	struct fixture *f = fixture();
	struct end client = {.to_send_blocks = 64, .block_bytes = 65536}; /* enough to drain */
	f->model.echoes = true;
	f->model.to_send_blocks = 64;
	f->model.block_bytes = 65536;
	f->model.acts[place] = act;
	fixture_open(f);
	end_dial(f, &client);
	uint64_t until = hf_env_monotonic_ms(&f->env) + 2000;
	while (client.counts[CLOSED] == 0 && hf_env_monotonic_ms(&f->env) < until) {
		turn(f);
		if (client.channel && client.counts[CHANNEL_MESSAGE] > 70 && client.socket)
			hf_peer_socket_close(client.socket); /* for the events at the end */
	}
	turn_for(f, 20);
	struct end *server = &f->accepted[0];
	assert_int_equal(client.counts[CLOSED], 1);
	assert_int_equal(f->accepted_count, 1);
	assert_true(server->counts[place] > 0);
	assert_null(server->channel);
	assert_int_equal(server->counts[CHANNEL_CLOSED], 1);
	assert_int_equal(server->counts[CLOSED], act == FREE && place != CLOSED ? 0 : 1);
	assert_int_equal(hf_peer_listener_connection_count(f->listener), 0);
	assert_int_equal(hf_loop_memory(f->here)->kinds[HF_MEMORY_RECEIVE], 0);
	done(f, &client);
}

static void test_each_event_may_close_or_free(void **state)
{
	for (enum place place = 0; place < PLACE_COUNT; place++) {
		end_in(place, CLOSE);
		end_in(place, FREE);
	}
}

/* ---- Many ---- */

static double made_kib(void)
{
	double kib = 0;
	char line[256];
	FILE *status = fopen("/proc/self/status", "r");
	assert_non_null(status);
	while (fgets(line, sizeof line, status))
		sscanf(line, "RssAnon: %lf", &kib);
	fclose(status);
	return kib;
}

static void test_200_connections_exchange_messages_and_hold_little(void **state)
{
	enum { COUNT = 200 };
	struct fixture *f = fixture();
	struct end *clients = calloc(COUNT, sizeof *clients);
	f->model.waits = true;
	fixture_open(f);
	for (size_t i = 0; i < COUNT; i++)
		clients[i].waits = true; /* no channels yet */
	end_dial(f, &clients[0]);
	turn_until(f, &clients[0].counts[OPENED], 1);
	double before = made_kib();
	for (size_t i = 1; i < COUNT; i++) {
		end_dial(f, &clients[i]);
		turn_until(f, &clients[i].counts[OPENED], 1);
	}
	while (f->accepted_count < COUNT)
		turn(f);
	turn_for(f, 20);
	double each = (made_kib() - before) / (2 * (COUNT - 1));
	print_message("an idle connection without channels holds %.2f KiB\n", each);
	assert_true(IS_SANITIZED || each < 8);
	for (size_t i = 0; i < COUNT; i++) {
		f->accepted[i].echoes = true;
		assert_int_equal(end_open_channel(&f->accepted[i]), HF_OK);
		assert_int_equal(end_open_channel(&clients[i]), HF_OK);
		assert_int_equal(end_say(&clients[i], "hello", 5), HF_OK);
	}
	for (size_t i = 0; i < COUNT; i++) {
		turn_until(f, &clients[i].counts[CHANNEL_MESSAGE], 1);
		assert_true(heard(&clients[i], "hello"));
		hf_buffer_free(&clients[i].last);
	}
	for (size_t i = 0; i < COUNT; i++)
		hf_peer_socket_close(i % 2 ? clients[i].socket : f->accepted[i].socket);
	for (size_t i = 0; i < COUNT; i++) {
		turn_until(f, &clients[i].counts[CLOSED], 1);
		turn_until(f, &f->accepted[i].counts[CLOSED], 1);
	}
	assert_int_equal(hf_peer_listener_connection_count(f->listener), 0);
	done(f, NULL);
	free(clients);
}

/* ---- Out of memory ---- */

static void test_each_failing_allocation_is_survived(void **state)
{
	uint64_t n = 1;
	for (bool failed = true; failed; n++) {
		struct fixture *f = fixture();
		struct end client = {0}, next = {0};
		f->model.to_send_blocks = 4;
		f->model.block_bytes = 300000;
		fixture_open(f);
		struct hf_peer_socket_options options = dial_options(f, &client);
		fail_alloc_arm(n, false);
		int error = hf_peer_socket_connect(&client.socket, &options, f->address_text, NULL);
		for (int i = 0; i < 60 && !error; i++) {
			turn(f);
			poll(NULL, 0, i < 20);
		}
		failed = fail_alloc_disarm();
		assert_true(!error || failed);
		if (client.counts[CLOSED] && !f->accepted_count)
			assert_true(failed);
		end_dial(f, &next);
		turn_until(f, &next.counts[CHANNEL_OPENED], 1);
		done(f, NULL);
	}
	assert_in_range(n, 15, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_dialler_initiates_and_messages_pass_both_ways),
		cmocka_unit_test(test_the_listener_may_initiate),
		cmocka_unit_test(test_what_is_sent_when_settled_leaves_in_the_same_iteration),
		cmocka_unit_test(test_a_bare_stream_has_messages_and_no_mux),
		cmocka_unit_test(test_keep_alive_holds_a_silent_connection),
		cmocka_unit_test(test_a_bulk_of_64_mib_passes_with_little_pending),
		cmocka_unit_test(test_who_sends_on_while_congested_is_cut_off),
		cmocka_unit_test(test_reading_pauses_while_a_channel_waits_for_its_answer),
		cmocka_unit_test(test_a_remote_that_never_reads_is_given_up),
		cmocka_unit_test(test_a_remote_that_reads_slowly_is_kept),
		cmocka_unit_test(test_garbage_ends_the_connection_and_the_listener_goes_on),
		cmocka_unit_test(test_half_a_handshake_and_silence_times_out),
		cmocka_unit_test(test_leaving_within_the_handshake_is_told),
		cmocka_unit_test(test_a_frame_above_the_limit_ends_the_connection),
		cmocka_unit_test(test_a_frame_that_is_not_sealed_ends_the_connection),
		cmocka_unit_test(test_leaving_within_a_frame_is_told),
		cmocka_unit_test(test_a_message_that_is_no_protomux_ends_the_connection),
		cmocka_unit_test(test_silence_ends_the_connection_where_it_is_limited),
		cmocka_unit_test(test_a_reset_is_an_error),
		cmocka_unit_test(test_addresses_that_cannot_be_used_are_refused),
		cmocka_unit_test(test_a_peer_that_cannot_be_reached_is_told),
		cmocka_unit_test(test_a_dialler_may_close_before_it_is_connected),
		cmocka_unit_test(test_connections_past_the_most_are_closed_at_once),
		cmocka_unit_test(test_a_freed_listener_takes_unfinished_handshakes_with_it),
		cmocka_unit_test(test_a_loop_that_is_freed_closes_its_connections),
		cmocka_unit_test(test_each_event_may_close_or_free),
		cmocka_unit_test(test_200_connections_exchange_messages_and_hold_little),
		cmocka_unit_test(test_each_failing_allocation_is_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
