/* blind-relay: messages and frames of the package both ways; pairs that are joined, doubled, unpaired, left; bounds. */
#include "support/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/blind_relay.h"

#define PAIR_COUNT 2
#define UNPAIR_COUNT 1
#define FRAME_COUNT 3
#define ENDS_MAX 4

static void test_messages_are_the_package_s_both_ways(void **state)
{
	json_t *root = vectors_load("swarm/blind-relay.json"), *vector;
	struct hf_buffer bytes = {0}, written = {0};
	struct hf_blind_relay_pair pair;
	uint8_t token[32], expected[32];
	size_t i;

	(void)state;
	json_array_foreach(vectors_array(root, "pair", PAIR_COUNT), i, vector) {
		vectors_hex(&bytes, vector, "hex");
		assert_int_equal(hf_blind_relay_pair_decode(hf_buffer_slice(&bytes), &pair), HF_OK);
		assert_int_equal(pair.is_initiator, vectors_bool(vector, "isInitiator"));
		assert_int_equal(pair.id, vectors_uint(vector, "id"));
		assert_int_equal(pair.seq, vectors_uint(vector, "seq"));
		vectors_expect(vector, "token", pair.token, 32);
		hf_buffer_clear(&written);
		assert_int_equal(hf_blind_relay_pair_encode(&pair, &written), HF_OK);
		vectors_expect(vector, "hex", written.data, written.length);
		for (size_t cut = 0; cut < bytes.length; cut++)
			assert_int_equal(hf_blind_relay_pair_decode(hf_slice(bytes.data, cut), &pair), HF_EMALFORMED);
	}
	json_array_foreach(vectors_array(root, "unpair", UNPAIR_COUNT), i, vector) {
		vectors_hex(&bytes, vector, "hex");
		assert_int_equal(hf_blind_relay_unpair_decode(hf_buffer_slice(&bytes), token), HF_OK);
		vectors_bytes(expected, 32, vector, "token");
		assert_memory_equal(token, expected, 32);
		hf_buffer_clear(&written);
		assert_int_equal(hf_blind_relay_unpair_encode(token, &written), HF_OK);
		vectors_expect(vector, "hex", written.data, written.length);
		assert_int_equal(hf_blind_relay_unpair_decode(hf_slice(bytes.data, 32), token), HF_EMALFORMED);
	}
	hf_buffer_free(&bytes);
	hf_buffer_free(&written);
	json_decref(root);
}

/* ---- Muxes, back to back ---- */

struct end {
	struct hf_protomux *mux;
	struct end *other;
	struct hf_buffer sent; /* messages with their lengths in front */
	struct hf_blind_relay_client *client;
	unsigned paired, closed;
	struct hf_blind_relay_pair pair;
};

static int on_send(void *owner, const struct iovec *parts, int count)
{
	struct end *end = owner;
	uint32_t length = 0;

	for (int i = 0; i < count; i++)
		length += (uint32_t)parts[i].iov_len;
	hf_buffer_append(&end->sent, &length, sizeof length);
	for (int i = 0; i < count; i++)
		hf_buffer_append(&end->sent, parts[i].iov_base, parts[i].iov_len);
	return HF_OK;
}

static bool on_is_congested(void *owner)
{
	return false;
}

static void on_error(void *owner, const struct hf_failure *failure)
{
}

static const struct hf_protomux_events mux_events = {.send = on_send, .is_congested = on_is_congested, .error = on_error};

static bool pass(struct end *from)
{
	struct hf_buffer sent = from->sent;
	size_t at = 0;

	from->sent = (struct hf_buffer){0};
	while (at < sent.length) {
		uint32_t length;
		memcpy(&length, sent.data + at, sizeof length);
		hf_protomux_recv(from->other->mux, hf_slice(sent.data + at + sizeof length, length));
		at += sizeof length + length;
	}
	hf_buffer_free(&sent);
	return at > 0;
}

struct net {
	struct hf_blind_relay *relay;
	struct end clients[ENDS_MAX], servers[ENDS_MAX];
	size_t count;
	unsigned joined, left;
	uint32_t remote_ids[2];
	int join_error;
};

static void settle(struct net *net)
{
	bool moved;

	do {
		moved = false;
		for (size_t i = 0; i < net->count; i++)
			moved |= pass(&net->clients[i]) | pass(&net->servers[i]);
	} while (moved);
}

static int on_join(void *context, const uint32_t remote_ids[static 2], uint32_t ids[static 2], void **link)
{
	struct net *net = context;

	if (net->join_error != HF_OK)
		return net->join_error;
	memcpy(net->remote_ids, remote_ids, sizeof net->remote_ids);
	ids[0] = 70;
	ids[1] = 71;
	*link = net->remote_ids;
	net->joined++;
	return HF_OK;
}

static void on_leave(void *context, void *link)
{
	struct net *net = context;

	assert_ptr_equal(link, net->remote_ids);
	net->left++;
}

static const struct hf_blind_relay_events relay_events = {.join = on_join, .leave = on_leave};

static void on_paired(void *context, const struct hf_blind_relay_pair *pair)
{
	struct end *end = context;

	end->paired++;
	end->pair = *pair;
}

static void on_closed(void *context)
{
	((struct end *)context)->closed++;
}

static const struct hf_blind_relay_client_events client_events = {.paired = on_paired, .closed = on_closed};

static void set_up(struct net *net, size_t count, const struct hf_blind_relay_limits *limits)
{
	struct hf_blind_relay_options options = {.limits = limits, .events = &relay_events, .context = net, .seed = 7};

	*net = (struct net){.count = count};
	assert_int_equal(hf_blind_relay_new(&net->relay, &options), HF_OK);
	for (size_t i = 0; i < count; i++) {
		uint8_t key[32] = {(uint8_t)(i + 1)};
		net->clients[i].other = &net->servers[i];
		net->servers[i].other = &net->clients[i];
		assert_int_equal(hf_protomux_new(&mux_events, &net->clients[i], 1, NULL, &net->clients[i].mux), HF_OK);
		assert_int_equal(hf_protomux_new(&mux_events, &net->servers[i], 2, NULL, &net->servers[i].mux), HF_OK);
		assert_int_equal(hf_blind_relay_client_open(&net->clients[i].client, net->clients[i].mux, key, &client_events, &net->clients[i]), HF_OK);
		assert_int_equal(hf_blind_relay_accept(net->relay, net->servers[i].mux, key), HF_OK);
	}
	settle(net);
}

static void tear_down(struct net *net)
{
	for (size_t i = 0; i < net->count; i++) {
		hf_blind_relay_client_free(net->clients[i].client);
		hf_protomux_free(net->clients[i].mux);
	}
	hf_blind_relay_free(net->relay);
	for (size_t i = 0; i < net->count; i++) {
		hf_protomux_free(net->servers[i].mux);
		hf_buffer_free(&net->clients[i].sent);
		hf_buffer_free(&net->servers[i].sent);
	}
}

static void ask(struct net *net, size_t client, bool is_initiator, uint8_t token, uint32_t id)
{
	struct hf_blind_relay_pair pair = {.is_initiator = is_initiator, .token = {token}, .id = id};

	assert_int_equal(hf_blind_relay_client_pair(net->clients[client].client, &pair), HF_OK);
	settle(net);
}

static struct hf_blind_relay_stats stats(struct net *net)
{
	struct hf_blind_relay_stats stats;

	hf_blind_relay_read_stats(net->relay, &stats);
	return stats;
}

static void test_frames_are_the_package_s(void **state)
{
	json_t *root = vectors_load("swarm/blind-relay.json"), *frames = vectors_array(root, "protomuxFrames", FRAME_COUNT);
	struct end end = {.sent = {0}};
	struct hf_buffer expected = {0}, frame = {0};
	uint8_t id[32], token[32];
	struct hf_blind_relay_pair pair = {.is_initiator = true, .id = 0xcafe};
	size_t i;
	json_t *vector;

	(void)state;
	vectors_bytes(id, 32, root, "clientId");
	memset(token, 0xee, sizeof token);
	memcpy(pair.token, token, sizeof pair.token);
	assert_int_equal(hf_protomux_new(&mux_events, &end, 1, NULL, &end.mux), HF_OK);
	assert_int_equal(hf_blind_relay_client_open(&end.client, end.mux, id, &client_events, &end), HF_OK);
	assert_int_equal(hf_blind_relay_client_pair(end.client, &pair), HF_OK);
	assert_int_equal(hf_blind_relay_client_unpair(end.client, token), HF_OK);
	json_array_foreach(frames, i, vector) {
		uint32_t length = (uint32_t)vectors_hex(&frame, vector, "hex").length;
		hf_buffer_append(&expected, &length, sizeof length);
		hf_buffer_append(&expected, frame.data, frame.length);
	}
	assert_int_equal(end.sent.length, expected.length);
	assert_memory_equal(end.sent.data, expected.data, expected.length);
	hf_blind_relay_client_free(end.client);
	hf_protomux_free(end.mux);
	hf_buffer_free(&end.sent);
	hf_buffer_free(&expected);
	hf_buffer_free(&frame);
	json_decref(root);
}

static void test_two_halves_are_joined_and_told_their_streams(void **state)
{
	struct net net;

	(void)state;
	set_up(&net, 2, NULL);
	ask(&net, 0, true, 9, 100);
	assert_int_equal(net.joined + net.clients[0].paired, 0);
	assert_int_equal(stats(&net).waiting_count, 1);
	ask(&net, 1, false, 9, 200);
	assert_int_equal(net.joined, 1);
	assert_true(net.remote_ids[1] == 100 && net.remote_ids[0] == 200);
	assert_true(net.clients[0].paired == 1 && net.clients[0].pair.id == 71 && net.clients[0].pair.is_initiator);
	assert_true(net.clients[1].paired == 1 && net.clients[1].pair.id == 70 && !net.clients[1].pair.is_initiator);
	assert_int_equal(stats(&net).joined_count, 1);
	ask(&net, 1, false, 9, 201); /* again means nothing */
	assert_true(net.joined == 1 && net.clients[1].paired == 1);
	tear_down(&net);
	assert_int_equal(net.left, 1);
}

static void test_the_same_half_twice_is_not_a_pair(void **state)
{
	struct net net;

	(void)state;
	set_up(&net, 2, NULL);
	ask(&net, 0, true, 9, 100);
	ask(&net, 1, true, 9, 200);
	assert_int_equal(net.joined, 0);
	ask(&net, 1, false, 9, 200);
	assert_true(net.joined == 1 && net.remote_ids[1] == 100);
	tear_down(&net);
}

static void test_a_pair_ends_with_either_side(void **state)
{
	struct net net;
	uint8_t token[32] = {9}, other[32] = {8};

	(void)state;
	set_up(&net, 3, NULL);
	ask(&net, 0, true, 9, 1);
	assert_int_equal(hf_blind_relay_client_unpair(net.clients[2].client, token), HF_OK); /* not its own */
	settle(&net);
	assert_int_equal(stats(&net).waiting_count, 1);
	assert_int_equal(hf_blind_relay_client_unpair(net.clients[0].client, token), HF_OK);
	settle(&net);
	assert_int_equal(stats(&net).waiting_count, 0);
	ask(&net, 0, true, 8, 1);
	ask(&net, 1, false, 8, 2);
	assert_int_equal(hf_blind_relay_client_unpair(net.clients[1].client, other), HF_OK);
	settle(&net);
	assert_int_equal(net.left, 1);
	ask(&net, 0, true, 7, 1);
	ask(&net, 1, false, 7, 2);
	hf_blind_relay_client_free(net.clients[0].client);
	net.clients[0].client = NULL;
	settle(&net);
	assert_int_equal(net.left, 2);
	assert_int_equal(stats(&net).session_count, 2);
	ask(&net, 2, true, 6, 1);
	ask(&net, 1, false, 6, 2);
	hf_blind_relay_left(net.relay, net.remote_ids);
	assert_true(net.left == 2 && stats(&net).joined_count == 0);
	tear_down(&net);
	assert_int_equal(net.left, 2);
}

static void test_what_waits_goes_with_its_session(void **state)
{
	struct net net;

	(void)state;
	set_up(&net, 2, NULL);
	ask(&net, 0, true, 9, 1);
	hf_protomux_free(net.servers[0].mux);
	net.servers[0].mux = NULL;
	assert_int_equal(stats(&net).waiting_count, 0);
	assert_int_equal(stats(&net).pairs_cancelled, 1);
	assert_int_equal(hf_protomux_new(&mux_events, &net.servers[0], 2, NULL, &net.servers[0].mux), HF_OK);
	tear_down(&net);
}

static void test_bounds(void **state)
{
	struct hf_blind_relay_limits limits = {.session_count_max = 2, .pair_count_max = 3, .session_pairs_max = 2};
	struct net net;
	struct end extra = {.other = &extra};
	uint8_t key[32] = {99};

	(void)state;
	set_up(&net, 2, &limits);
	assert_int_equal(hf_protomux_new(&mux_events, &extra, 1, NULL, &extra.mux), HF_OK);
	assert_int_equal(hf_blind_relay_accept(net.relay, extra.mux, key), HF_EBUSY);
	for (uint8_t token = 1; token <= 3; token++)
		ask(&net, 0, true, token, token);
	assert_int_equal(stats(&net).waiting_count, 2);
	for (uint8_t token = 11; token <= 12; token++)
		ask(&net, 1, true, token, token);
	assert_int_equal(stats(&net).waiting_count, 3);
	assert_int_equal(stats(&net).pairs_refused, 2);
	net.join_error = HF_EBUSY;
	ask(&net, 1, false, 1, 5);
	assert_true(net.joined == 0 && stats(&net).waiting_count == 2);
	hf_protomux_free(extra.mux);
	hf_buffer_free(&extra.sent);
	tear_down(&net);
}

static void test_a_client_hears_that_the_relay_is_gone(void **state)
{
	struct net net;

	(void)state;
	set_up(&net, 1, NULL);
	hf_blind_relay_free(net.relay);
	net.relay = NULL;
	settle(&net);
	assert_int_equal(net.clients[0].closed, 1);
	struct hf_blind_relay_pair pair = {.id = 1};
	assert_int_equal(hf_blind_relay_client_pair(net.clients[0].client, &pair), HF_ECLOSED);
	assert_int_equal(hf_blind_relay_client_unpair(net.clients[0].client, pair.token), HF_ECLOSED);
	tear_down(&net);
}

static void test_malformed_messages_end_the_mux(void **state)
{
	struct net net;
	struct hf_buffer body = {0};
	struct hf_blind_relay_pair pair;
	static const uint8_t large[] = {1, [33] = 0xff, [38] = 1, [42] = 0};

	(void)state;
	assert_int_equal(hf_blind_relay_pair_decode(hf_slice(large, sizeof large), &pair), HF_ETOOBIG);
	set_up(&net, 1, NULL);
	hf_protomux_recv(net.servers[0].mux, hf_slice((const uint8_t[]){1, 0, 1}, 3));
	assert_int_equal(stats(&net).session_count, 0);
	hf_buffer_free(&body);
	tear_down(&net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_are_the_package_s_both_ways),
		cmocka_unit_test(test_frames_are_the_package_s),
		cmocka_unit_test(test_two_halves_are_joined_and_told_their_streams),
		cmocka_unit_test(test_the_same_half_twice_is_not_a_pair),
		cmocka_unit_test(test_a_pair_ends_with_either_side),
		cmocka_unit_test(test_what_waits_goes_with_its_session),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_a_client_hears_that_the_relay_is_gone),
		cmocka_unit_test(test_malformed_messages_end_the_mux),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
