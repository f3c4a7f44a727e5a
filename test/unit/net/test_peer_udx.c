/* Peer sockets over UDX: all that is heard over TCP, and datagrams; ends, and remotes that vanish. */
#include "peer_fixture.h"

#include "crypto/hash.h"
#include "net/peer_udx.h"
#include "support/fail_alloc.h"

#define MIB (1u << 20)

struct udx_fixture {
	struct fixture f; /* its loops and keys */
	struct hf_udx_net *nets[2];
	struct hf_udx_socket *sockets[2];
	struct hf_udx_stream *streams[2];
	struct end ends[2];
	struct hf_peer_socket_events events;
	struct hf_buffer datagrams[2];
	unsigned datagram_counts[2], ended[2], gone[2], heard[2], observed_opened, observed_closed;
	struct watch {
		struct udx_fixture *u;
		int at;
	} watches[2];
	struct hf_peer_socket_observer observer;
	int observed_code;
};

static void on_datagram(void *context, struct hf_peer_socket *socket, struct hf_slice datagram)
{
	struct end *end = context;
	struct udx_fixture *u = (struct udx_fixture *)(void *)end->fixture;
	int at = end == &u->ends[1];

	u->datagram_counts[at]++;
	hf_buffer_clear(&u->datagrams[at]);
	assert_int_equal(hf_buffer_append(&u->datagrams[at], datagram.data, datagram.length), HF_OK);
}

static void on_ended(void *context)
{
	struct watch *watch = context;
	watch->u->ended[watch->at]++;
}

static void on_gone(void *context)
{
	struct watch *watch = context;
	assert_int_equal(watch->u->ended[watch->at], 1);
	watch->u->gone[watch->at]++;
}

static void on_heard(void *context, struct hf_udx_stream *stream)
{
	struct watch *watch = context;
	watch->u->heard[watch->at]++;
}

static const struct hf_peer_udx_watch watch = {.heard = on_heard, .ended = on_ended, .gone = on_gone};

static void on_observed_opened(struct hf_peer_socket_observer *observer, struct hf_peer_socket *socket)
{
	struct udx_fixture *u = (struct udx_fixture *)(void *)((char *)observer - offsetof(struct udx_fixture, observer));

	assert_int_equal(u->ends[0].counts[OPENED], 0);
	u->observed_opened++;
}

static void on_observed_closed(struct hf_peer_socket_observer *observer, struct hf_peer_socket *socket, int code, const char *why)
{
	struct udx_fixture *u = (struct udx_fixture *)(void *)((char *)observer - offsetof(struct udx_fixture, observer));

	u->observed_code = code;
	u->observed_closed++;
}

/* Made up: what a handshake would have come to. */
static void make_keys(struct udx_fixture *u, struct hf_noise_result keys[2])
{
	u->f.env.random(&u->f.env, &keys[0], sizeof keys[0]);
	keys[1] = keys[0];
	memcpy(keys[1].tx, keys[0].rx, sizeof keys[1].tx);
	memcpy(keys[1].rx, keys[0].tx, sizeof keys[1].rx);
}

static struct hf_loop *loop_at(struct udx_fixture *u, int at)
{
	return at == 0 ? u->f.here : u->f.there;
}

static void connect_streams(struct udx_fixture *u)
{
	for (int at = 0; at < 2; at++) {
		struct hf_udx_path path = {u->sockets[at], *hf_udx_socket_address(u->sockets[!at])};
		assert_int_equal(hf_udx_stream_connect(u->streams[at], &path, hf_udx_stream_id(u->streams[!at])), HF_OK);
	}
}

static void open_side(struct udx_fixture *u, int at, const struct hf_noise_result *keys)
{
	struct hf_peer_socket_options options = u->f.options;
	struct hf_peer_udx udx = {.host = hf_udx_net_host(u->nets[at]), .stream = u->streams[at], .is_initiator = at == 1,
		.handshake = keys, .watch = &watch, .context = &u->watches[at]};

	u->watches[at] = (struct watch){u, at};
	options.loop = loop_at(u, at);
	options.events = &u->events;
	options.context = &u->ends[at];
	options.observer = at == 0 ? &u->observer : NULL;
	u->ends[at].fixture = &u->f;
	assert_int_equal(hf_peer_socket_over_udx(&u->ends[at].socket, &options, &udx), HF_OK);
	assert_ptr_equal(hf_peer_socket_udx_stream(u->ends[at].socket), u->streams[at]);
}

static struct udx_fixture *set_up(bool mismatched)
{
	struct udx_fixture *u = calloc(1, sizeof *u);
	struct hf_address any = {.port = 0};
	struct hf_noise_result keys[2];

	assert_non_null(u);
	u->f.options.keep_alive_ms = 5000;
	fixture_open(&u->f);
	u->events = end_events;
	u->events.datagram = on_datagram;
	u->observer = (struct hf_peer_socket_observer){on_observed_opened, on_observed_closed};
	assert_int_equal(hf_address_parse("127.0.0.1:0", &any, NULL), HF_OK);
	for (int at = 0; at < 2; at++) {
		assert_int_equal(hf_udx_net_new(&u->nets[at], hf_udp_host_of_loop(loop_at(u, at)), NULL), HF_OK);
		assert_int_equal(hf_udx_socket_open(&u->sockets[at], u->nets[at], &any, NULL, NULL, NULL), HF_OK);
		assert_int_equal(hf_udx_stream_new(&u->streams[at], hf_udx_net_session(u->nets[at]), 0, NULL, NULL), HF_OK);
	}
	connect_streams(u);
	make_keys(u, keys);
	if (mismatched)
		keys[1].handshake_hash[0] ^= 1;
	for (int at = 0; at < 2; at++)
		open_side(u, at, &keys[at]);
	return u;
}

static void tear_down(struct udx_fixture *u)
{
	for (int at = 0; at < 2; at++)
		hf_peer_socket_free(u->ends[at].socket);
	for (int at = 0; at < 2; at++) {
		uint64_t until = hf_env_monotonic_ms(&u->f.env) + 15000;
		while (u->gone[at] == 0 && hf_env_monotonic_ms(&u->f.env) < until)
			turn(&u->f);
		assert_int_equal(u->gone[at], 1);
		hf_udx_net_free(u->nets[at]);
		hf_buffer_free(&u->datagrams[at]);
		hf_buffer_free(&u->ends[at].last);
	}
	fixture_close(&u->f);
	free(u);
}

static void open_both(struct udx_fixture *u)
{
	for (int at = 0; at < 2; at++)
		turn_until(&u->f, &u->ends[at].counts[CHANNEL_OPENED], 1);
}

static void test_both_open_without_waiting_and_messages_pass(void **state)
{
	struct udx_fixture *u = set_up(false);

	u->ends[0].echoes = true;
	assert_null(hf_peer_socket_mux(u->ends[0].socket));
	open_both(u);
	assert_true(u->ends[1].is_initiator && !u->ends[0].is_initiator);
	assert_int_equal(u->observed_opened, 1);
	assert_int_equal(hf_peer_socket_address(u->ends[0].socket)->port, hf_udx_socket_address(u->sockets[1])->port);
	assert_int_equal(end_say(&u->ends[1], "hello", 5), HF_OK);
	turn_until(&u->f, &u->ends[1].counts[CHANNEL_MESSAGE], 1);
	assert_true(hf_slice_equal(hf_buffer_slice(&u->ends[1].last), HF_SLICE_LITERAL("hello")));
	assert_true(u->ends[0].counts[SETTLED] > 0 && u->heard[0] > 0);
	assert_int_equal(hf_peer_socket_sent_bytes(u->ends[1].socket), hf_peer_socket_received_bytes(u->ends[0].socket));
	assert_true(hf_peer_socket_sent_bytes(u->ends[1].socket) > 0);
	tear_down(u);
}

static void test_one_that_closes_sends_what_waits(void **state)
{
	struct udx_fixture *u = set_up(false);

	open_both(u);
	u->ends[1].to_send_blocks = 16;
	u->ends[1].block_bytes = 65536;
	end_send_blocks(&u->ends[1]);
	hf_peer_socket_close(u->ends[1].socket);
	turn_until(&u->f, &u->ends[0].counts[CLOSED], 1);
	turn_until(&u->f, &u->ends[1].counts[CLOSED], 1);
	assert_int_equal(u->ends[0].received_bytes, (16 - u->ends[1].to_send_blocks) * 65536);
	assert_int_equal(u->ends[0].to_send_blocks, 0);
	assert_int_equal(u->ends[1].code, HF_OK);
	assert_int_equal(u->ends[0].code, HF_ECLOSED);
	assert_string_equal(u->ends[0].why, "The remote has closed the connection.");
	assert_int_equal(u->observed_closed, 1);
	assert_int_equal(u->observed_code, HF_ECLOSED);
	turn_until(&u->f, &u->gone[0], 1);
	turn_until(&u->f, &u->gone[1], 1);
	tear_down(u);
}

static void test_one_that_is_freed_is_seen_at_once(void **state)
{
	struct udx_fixture *u = set_up(false);

	open_both(u);
	hf_peer_socket_free(u->ends[0].socket);
	u->ends[0].socket = NULL;
	assert_int_equal(u->observed_code, HF_ECANCELED);
	assert_int_equal(u->ends[0].counts[CLOSED], 0);
	turn_until(&u->f, &u->ends[1].counts[CLOSED], 1);
	assert_int_equal(u->ends[1].code, HF_EIO);
	tear_down(u);
}

static void test_one_that_fails_says_why_on_its_side_and_drops_what_waits(void **state)
{
	struct udx_fixture *u = set_up(false);

	open_both(u);
	u->ends[0].to_send_blocks = 4;
	u->ends[0].block_bytes = 65536;
	end_send_blocks(&u->ends[0]);
	hf_peer_socket_fail(u->ends[0].socket, HF_EDUPLICATE, "There is another connection to this peer.");
	assert_int_equal(u->ends[0].counts[CLOSED], 0);
	turn_until(&u->f, &u->ends[0].counts[CLOSED], 1);
	assert_int_equal(u->ends[0].code, HF_EDUPLICATE);
	assert_string_equal(u->ends[0].why, "There is another connection to this peer.");
	turn_until(&u->f, &u->ends[1].counts[CLOSED], 1);
	assert_int_equal(u->ends[1].code, HF_EIO);
	assert_int_equal(u->ends[1].received_bytes, 0);
	tear_down(u);
}

static void test_datagrams_pass_sealed_beside_the_stream(void **state)
{
	struct udx_fixture *u = set_up(false);
	uint8_t large[HF_PEER_SOCKET_DATAGRAM_BYTES_MAX + 1] = {7};

	assert_int_equal(hf_peer_socket_send_datagram(u->ends[0].socket, HF_SLICE_LITERAL("early")), HF_EWAIT);
	open_both(u);
	size_t largest = hf_peer_socket_datagram_bytes_max(u->ends[0].socket);
	assert_in_range(largest, 1000, HF_PEER_SOCKET_DATAGRAM_BYTES_MAX);
	assert_int_equal(hf_peer_socket_send_datagram(u->ends[0].socket, hf_slice(large, largest + 1)), HF_ETOOBIG);
	assert_int_equal(hf_peer_socket_send_datagram(u->ends[0].socket, hf_slice(large, largest)), HF_OK);
	turn_until(&u->f, &u->datagram_counts[1], 1);
	assert_int_equal(u->datagrams[1].length, largest);
	assert_memory_equal(u->datagrams[1].data, large, largest);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(hf_peer_socket_send_datagram(u->ends[1].socket, hf_slice(&i, sizeof i)), HF_OK);
		turn_until(&u->f, &u->datagram_counts[0], i + 1);
		assert_memory_equal(u->datagrams[0].data, &i, sizeof i);
	}
	assert_int_equal(hf_udx_stream_send_message(u->streams[1], HF_SLICE_LITERAL("twenty-four bytes, or more, that nobody sealed")), HF_OK);
	turn_for(&u->f, 20);
	assert_int_equal(u->datagram_counts[0], 100);
	tear_down(u);
}

static void test_tcp_has_no_datagrams(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct end client = {0};

	fixture_open(f);
	end_dial(f, &client);
	turn_until(f, &client.counts[CHANNEL_OPENED], 1);
	assert_int_equal(hf_peer_socket_datagram_bytes_max(client.socket), 0);
	assert_int_equal(hf_peer_socket_send_datagram(client.socket, HF_SLICE_LITERAL("x")), HF_EINVAL);
	assert_null(hf_peer_socket_udx_stream(client.socket));
	fixture_close(f);
	free(f);
}

static void test_64_mib_pass_with_little_waiting(void **state)
{
	struct udx_fixture *u = set_up(false);

	u->ends[1].to_send_blocks = 1024;
	u->ends[1].block_bytes = 65536;
	open_both(u);
	while (u->ends[0].received_bytes < 64 * MIB)
		turn(&u->f);
	assert_int_equal(u->ends[0].received_bytes, 64 * MIB);
	assert_true(u->ends[1].pending_max <= HF_PEER_SOCKET_HIGH_BYTES + 2 * 65536);
	assert_true(u->ends[1].counts[CHANNEL_DRAINED] > 0);
	tear_down(u);
}

static void test_a_remote_with_another_handshake_is_refused(void **state)
{
	struct udx_fixture *u = set_up(true);

	turn_until(&u->f, &u->ends[0].counts[CLOSED], 1);
	turn_until(&u->f, &u->ends[1].counts[CLOSED], 1);
	assert_int_equal(u->ends[0].counts[OPENED] + u->ends[1].counts[OPENED], 0);
	assert_true(u->ends[0].code == HF_EMALFORMED || u->ends[1].code == HF_EMALFORMED);
	tear_down(u);
}

static void test_a_keep_alive_is_heard_and_means_nothing_more(void **state)
{
	struct udx_fixture *u = set_up(false);

	open_both(u);
	turn_for(&u->f, 50);
	unsigned heard = u->heard[1];
	hf_peer_socket_send_keep_alive(u->ends[0].socket);
	turn_until(&u->f, &u->heard[1], heard + 1);
	turn_for(&u->f, 20);
	assert_int_equal(u->ends[1].counts[CHANNEL_MESSAGE] + u->ends[1].counts[CLOSED], 0);
	tear_down(u);
}

static void test_without_memory_the_stream_stays_the_caller_s(void **state)
{
	struct udx_fixture *u = set_up(false);
	struct hf_noise_result keys[2];
	struct hf_udx_stream *stream;
	struct hf_udx_path path = {u->sockets[0], *hf_udx_socket_address(u->sockets[1])};
	struct hf_peer_socket_options options = u->f.options;
	struct hf_peer_socket *socket;
	int error;

	open_both(u);
	make_keys(u, keys);
	assert_int_equal(hf_udx_stream_new(&stream, hf_udx_net_session(u->nets[0]), 0, NULL, NULL), HF_OK);
	assert_int_equal(hf_udx_stream_connect(stream, &path, 1), HF_OK);
	struct hf_peer_udx udx = {.host = hf_udx_net_host(u->nets[0]), .stream = stream, .handshake = &keys[0]};
	options.loop = u->f.here;
	options.events = &u->events;
	options.context = &u->ends[0];
	for (uint64_t nth = 1;; nth++) {
		fail_alloc_arm(nth, false);
		error = hf_peer_socket_over_udx(&socket, &options, &udx);
		bool failed = fail_alloc_disarm();
		if (!failed)
			break;
		assert_int_equal(error, HF_ENOMEM);
	}
	assert_int_equal(error, HF_OK);
	hf_peer_socket_free(socket);
	tear_down(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_open_without_waiting_and_messages_pass),
		cmocka_unit_test(test_one_that_closes_sends_what_waits),
		cmocka_unit_test(test_one_that_is_freed_is_seen_at_once),
		cmocka_unit_test(test_one_that_fails_says_why_on_its_side_and_drops_what_waits),
		cmocka_unit_test(test_datagrams_pass_sealed_beside_the_stream),
		cmocka_unit_test(test_tcp_has_no_datagrams),
		cmocka_unit_test(test_64_mib_pass_with_little_waiting),
		cmocka_unit_test(test_a_remote_with_another_handshake_is_refused),
		cmocka_unit_test(test_a_keep_alive_is_heard_and_means_nothing_more),
		cmocka_unit_test(test_without_memory_the_stream_stays_the_caller_s),
	};

	return hf_crypto_init() == HF_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
