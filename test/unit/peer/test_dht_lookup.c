/* What nodes keep for others, over a simulated network: topics, peers, values, tokens; and handshakes that they pass on. */
#include "dht_fixture.h"

struct keys {
	uint8_t public_key[32], secret_key[64], hash[32];
};

static struct keys keys_of(uint8_t number)
{
	struct keys keys;
	uint8_t seed[32] = {number};

	hf_sign_keypair_from_seed(keys.public_key, keys.secret_key, seed);
	hf_blake2b(keys.hash, 32, (struct hf_slice){0}, hf_slice(keys.public_key, 32));
	return keys;
}

/* ---- Lookups ---- */

struct looked {
	struct hf_dht_lookup lookup;
	unsigned done, replies, peers, relays;
	int code;
	uint8_t seen[64][32];
	size_t seen_count;
	bool cancels;
};

static void on_peers(struct hf_dht_lookup *lookup, const struct hf_dht_reply *reply, const struct hf_dht_peer *peers, size_t count)
{
	struct looked *l = HF_CONTAINER_OF(lookup, struct looked, lookup);

	assert_non_null(reply->token);
	l->replies++;
	for (size_t i = 0; i < count; i++) {
		bool is_new = true;
		for (size_t k = 0; k < l->seen_count; k++)
			is_new &= memcmp(l->seen[k], peers[i].public_key, 32) != 0;
		if (is_new && l->seen_count < 64)
			memcpy(l->seen[l->seen_count++], peers[i].public_key, 32);
		l->relays = (unsigned)hf_dht_closer_count(peers[i].relays);
	}
	if (l->cancels)
		hf_dht_lookup_cancel(lookup);
}

static void on_done(struct hf_dht_lookup *lookup, int code)
{
	struct looked *l = HF_CONTAINER_OF(lookup, struct looked, lookup);

	l->done++;
	l->code = code;
}

static int start(struct dht_fixture *f, struct looked *l, unsigned at, enum hf_dht_lookup_kind kind, const uint8_t *target,
	const struct keys *keys)
{
	*l = (struct looked){.lookup = {.kind = kind, .peers = on_peers, .done = on_done, .secret_key = keys ? keys->secret_key : NULL}};
	memcpy(l->lookup.target, target, 32);
	return hf_dht_lookup_start(f->nodes[at], &l->lookup);
}

static void look(struct dht_fixture *f, struct looked *l, unsigned at, enum hf_dht_lookup_kind kind, const uint8_t *target,
	const struct keys *keys)
{
	assert_int_equal(start(f, l, at, kind, target, keys), HF_OK);
	run_for(f, 10 * SECOND);
	assert_int_equal(l->done, 1);
	assert_false(hf_dht_lookup_is_active(&l->lookup));
}

static void test_peers_are_announced_found_and_taken_back(void **state)
{
	static const uint8_t topic[32] = {1, 2, 3};
	struct dht_fixture f;
	struct looked l;
	struct keys keys[3] = {keys_of(1), keys_of(2), keys_of(3)};

	(void)state;
	begin_network(&f, 30);
	look(&f, &l, 3, HF_DHT_LOOK_UP, topic, NULL);
	assert_true(l.code == HF_OK && l.seen_count == 0);
	for (unsigned i = 0; i < 3; i++) {
		look(&f, &l, 4 + i, HF_DHT_ADD, topic, &keys[i]);
		assert_int_equal(l.code, HF_OK);
		assert_int_equal(l.lookup.closest_count, HF_DHT_K);
	}
	look(&f, &l, 20, HF_DHT_LOOK_UP, topic, NULL);
	assert_int_equal(l.seen_count, 3);
	assert_true(l.replies >= HF_DHT_K - 1);
	look(&f, &l, 21, HF_DHT_REMOVE, topic, &keys[1]);
	assert_int_equal(l.code, HF_OK);
	look(&f, &l, 20, HF_DHT_LOOK_UP, topic, NULL);
	assert_int_equal(l.seen_count, 2);
	assert_int_equal(start(&f, &l, 20, HF_DHT_ADD, topic, NULL), HF_EINVAL);
	/* Twenty minutes later and a bit nobody remembers. */
	run_for(&f, 1700 * SECOND);
	look(&f, &l, 20, HF_DHT_LOOK_UP, topic, NULL);
	assert_int_equal(l.seen_count, 0);
	end_network(&f);
}

static void test_what_was_found_may_be_given_again(void **state)
{
	static const uint8_t topic[32] = {9};
	struct dht_fixture f;
	struct looked first, again;
	struct keys keys = keys_of(1);

	(void)state;
	begin_network(&f, 30);
	look(&f, &first, 3, HF_DHT_ADD, topic, &keys);
	assert_int_equal(start(&f, &again, 25, HF_DHT_LOOK_UP, topic, NULL), HF_OK);
	hf_dht_lookup_cancel(&again.lookup);
	again = (struct looked){.lookup = {.kind = HF_DHT_LOOK_UP, .peers = on_peers, .done = on_done, .only_closest = true,
		.start = first.lookup.closest, .start_count = 2}};
	memcpy(again.lookup.target, topic, 32);
	assert_int_equal(hf_dht_lookup_start(f.nodes[25], &again.lookup), HF_OK);
	run_for(&f, 10 * SECOND);
	assert_int_equal(again.done, 1);
	assert_int_equal(again.replies, 2);
	assert_int_equal(again.lookup.closest_count, 2);
	end_network(&f);
}

static void test_a_lookup_may_be_cancelled_in_its_callback(void **state)
{
	static const uint8_t topic[32] = {9};
	struct dht_fixture f;
	struct looked l;
	struct keys keys = keys_of(1);

	(void)state;
	begin_network(&f, 10);
	look(&f, &l, 3, HF_DHT_ADD, topic, &keys);
	assert_int_equal(start(&f, &l, 4, HF_DHT_LOOK_UP, topic, NULL), HF_OK);
	l.cancels = true;
	run_for(&f, 10 * SECOND);
	assert_int_equal(l.replies, 1);
	assert_int_equal(l.done, 0);
	assert_int_equal(stats_of(&f, 4).inflight_count, 0);
	assert_int_equal(stats_of(&f, 4).query_count, 0);
	end_network(&f);
}

static void test_nobody_to_announce_to_is_told(void **state)
{
	struct dht_fixture f = {.net = sim_net_new(3)};
	struct looked l;
	struct keys keys = keys_of(1);

	(void)state;
	add_node(&f, HF_DHT_ADAPTIVE);
	look(&f, &l, 0, HF_DHT_ADD, keys.hash, &keys);
	assert_int_equal(l.code, HF_ENOTFOUND);
	end_network(&f);
}

/* ---- Values ---- */

struct valued {
	struct hf_dht_value value;
	unsigned done;
	int code;
};

static void on_value(struct hf_dht_value *value, int code)
{
	struct valued *v = HF_CONTAINER_OF(value, struct valued, value);

	v->done++;
	v->code = code;
}

static void finish(struct dht_fixture *f, struct valued *v)
{
	run_for(f, 10 * SECOND);
	assert_int_equal(v->done, 1);
}

static void put_mutable(struct dht_fixture *f, struct valued *v, const struct keys *keys, uint64_t seq, const char *text)
{
	*v = (struct valued){.value = {.done = on_value, .secret_key = keys->secret_key, .seq = seq, .value = hf_slice_text(text)}};
	assert_int_equal(hf_dht_mutable_put(f->nodes[2], &v->value), HF_OK);
	finish(f, v);
}

static void test_values_are_put_found_and_only_go_forward(void **state)
{
	struct dht_fixture f;
	struct valued v;
	struct keys keys = keys_of(1);
	uint8_t large[HF_DHT_VALUE_BYTES_MAX + 1] = {1}, hash[32];

	(void)state;
	begin_network(&f, 25);
	v = (struct valued){.value = {.done = on_value, .value = hf_slice(large, HF_DHT_VALUE_BYTES_MAX)}};
	assert_int_equal(hf_dht_immutable_put(f.nodes[2], &v.value), HF_OK);
	finish(&f, &v);
	assert_int_equal(v.code, HF_OK);
	assert_int_equal(v.value.stored_count, HF_DHT_K);
	memcpy(hash, v.value.hash, 32);
	v = (struct valued){.value = {.done = on_value}};
	memcpy(v.value.hash, hash, 32);
	assert_int_equal(hf_dht_immutable_get(f.nodes[20], &v.value), HF_OK);
	finish(&f, &v);
	assert_true(v.code == HF_OK && hf_slice_equal(hf_buffer_slice(&v.value.found), hf_slice(large, HF_DHT_VALUE_BYTES_MAX)));
	hf_dht_value_free(&v.value);
	v = (struct valued){.value = {.done = on_value, .value = hf_slice(large, sizeof large)}};
	assert_int_equal(hf_dht_immutable_put(f.nodes[2], &v.value), HF_ETOOBIG);
	assert_int_equal(hf_dht_mutable_put(f.nodes[2], &v.value), HF_ETOOBIG);
	v.value.value.length = 3;
	assert_int_equal(hf_dht_mutable_put(f.nodes[2], &v.value), HF_EINVAL);

	put_mutable(&f, &v, &keys, 5, "five");
	assert_int_equal(v.code, HF_OK);
	put_mutable(&f, &v, &keys, 5, "other");
	assert_true(v.code == HF_EDENIED && v.value.value_error == HF_DHT_SEQ_REUSED);
	put_mutable(&f, &v, &keys, 4, "four");
	assert_true(v.code == HF_EDENIED && v.value.value_error == HF_DHT_SEQ_TOO_LOW);
	for (unsigned first = 0; first < 2; first++) {
		v = (struct valued){.value = {.done = on_value, .seq = 5, .first = first}};
		memcpy(v.value.public_key, keys.public_key, 32);
		assert_int_equal(hf_dht_mutable_get(f.nodes[20], &v.value), HF_OK);
		finish(&f, &v);
		assert_true(v.code == HF_OK && v.value.found_seq == 5);
		assert_true(hf_slice_equal(hf_buffer_slice(&v.value.found), hf_slice_text("five")));
		hf_dht_value_free(&v.value);
	}
	v = (struct valued){.value = {.done = on_value, .seq = 6}};
	memcpy(v.value.public_key, keys.public_key, 32);
	assert_int_equal(hf_dht_mutable_get(f.nodes[20], &v.value), HF_OK);
	finish(&f, &v);
	assert_int_equal(v.code, HF_ENOTFOUND);
	hf_dht_value_free(&v.value);
	end_network(&f);
}

/* ---- Tokens ---- */

struct asked {
	struct hf_dht_request request;
	unsigned done;
	int code;
	uint64_t error;
	uint8_t token[32], id[32];
	bool has_token;
	struct hf_address from;
	struct hf_buffer value;
};

static void on_reply(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct asked *a = HF_CONTAINER_OF(request, struct asked, request);

	a->done++;
	a->code = code;
	if (!reply)
		return;
	a->error = reply->error;
	a->from = reply->from;
	a->has_token = reply->token != NULL;
	if (reply->token)
		memcpy(a->token, reply->token, 32);
	if (reply->id)
		memcpy(a->id, reply->id, 32);
	hf_buffer_clear(&a->value);
	assert_int_equal(hf_buffer_append(&a->value, reply->value.data, reply->value.length), HF_OK);
}

static void get_token(struct dht_fixture *f, struct asked *a, unsigned from, unsigned to, const uint8_t *target)
{
	*a = (struct asked){.request = {.to = address_of(f, to), .command = HF_DHT_LOOKUP, .target = target, .done = on_reply}};
	assert_int_equal(hf_dht_request_start(f->nodes[from], &a->request), HF_OK);
	run_for(f, SECOND / 10);
	assert_true(a->done == 1 && a->has_token);
}

static void test_tokens_are_for_one_host_and_a_few_seconds(void **state)
{
	struct dht_fixture f;
	struct asked token, a;
	struct keys keys = keys_of(1);

	(void)state;
	begin_network(&f, 4);
	get_token(&f, &token, 1, 2, keys.hash);
	const unsigned who[] = {1, 3, 1};
	const uint64_t error[] = {HF_DHT_OK, HF_DHT_INVALID_TOKEN, HF_DHT_INVALID_TOKEN};
	for (unsigned i = 0; i < 3; i++) {
		a = (struct asked){.request = {.to = address_of(&f, 2), .done = on_reply}};
		if (i == 2)
			run_for(&f, 16 * SECOND);
		assert_int_equal(hf_dht_announce_at(f.nodes[who[i]], &a.request, false, keys.hash, token.id, token.token, keys.secret_key, NULL, 0),
			HF_OK);
		run_for(&f, SECOND);
		assert_true(a.done == 1 && a.code == HF_OK && a.error == error[i]);
		assert_int_equal(a.has_token, i > 0); /* a new one comes with the refusal */
	}
	assert_int_equal(stats_of(&f, 2).bad_tokens, 2);
	hf_buffer_free(&a.value);
	hf_buffer_free(&token.value);
	end_network(&f);
}

/* ---- Handshakes that are passed on ---- */

struct server {
	struct dht_fixture *f;
	unsigned at, handshakes, holepunches;
	struct hf_dht_route route;
	uint64_t id;
	uint8_t heard[8];
	bool from_client_socket;
};

static void on_handshake(void *context, const struct hf_dht_route *route, struct hf_slice noise)
{
	struct server *s = context;
	struct hf_udx_socket *socket = s->from_client_socket ? hf_dht_node_client_socket(s->f->nodes[s->at]) : NULL;

	s->handshakes++;
	s->route = *route;
	memcpy(s->heard, noise.data, noise.length < sizeof s->heard ? noise.length : sizeof s->heard);
	assert_int_equal(hf_dht_answer_handshake(s->f->nodes[s->at], route, hf_slice_text("answer"), socket), HF_OK);
}

static void on_holepunch(void *context, const struct hf_dht_route *route, uint64_t id, struct hf_slice payload)
{
	struct server *s = context;

	s->holepunches++;
	s->route = *route;
	s->id = id;
	memcpy(s->heard, payload.data, payload.length < sizeof s->heard ? payload.length : sizeof s->heard);
	assert_int_equal(hf_dht_answer_holepunch(s->f->nodes[s->at], route, hf_slice_text("punched"), NULL), HF_OK);
}

static const struct hf_dht_listener listener = {on_handshake, on_holepunch};

static void shake(struct dht_fixture *f, struct asked *a, unsigned from, unsigned to, const uint8_t *target, const struct hf_address *relay)
{
	struct hf_dht_peer_handshake hs = {.hop = HF_DHT_FROM_CLIENT, .noise = hf_slice_text("hello"), .has_relay_address = relay != NULL};
	struct hf_buffer value = {0};

	hf_buffer_free(&a->value);
	if (relay)
		hs.relay_address = *relay;
	assert_int_equal(hf_dht_peer_handshake_encode(&hs, &value), HF_OK);
	*a = (struct asked){.request = {.to = address_of(f, to), .command = HF_DHT_PEER_HANDSHAKE, .target = target, .has_value = true,
		.value = hf_buffer_slice(&value), .once = true, .done = on_reply}};
	assert_int_equal(hf_dht_request_start(f->nodes[from], &a->request), HF_OK);
	hf_buffer_free(&value);
	run_for(f, 2 * SECOND);
	assert_int_equal(a->done, 1);
}

static struct hf_dht_peer_handshake handshake_in(const struct asked *a)
{
	struct hf_dht_peer_handshake hs;

	assert_int_equal(hf_dht_peer_handshake_decode(hf_buffer_slice(&a->value), &hs), HF_OK);
	return hs;
}

/* The server at node 5 announces itself at node 2. */
static void begin_server(struct dht_fixture *f, struct server *s, const struct keys *keys)
{
	struct asked token, a = {.request = {.done = on_reply}};

	*s = (struct server){.f = f, .at = 5};
	assert_int_equal(hf_dht_node_listen(f->nodes[5], keys->hash, &listener, s), HF_OK);
	assert_int_equal(hf_dht_node_listen(f->nodes[5], keys->hash, &listener, s), HF_EEXISTS);
	get_token(f, &token, 5, 2, keys->hash);
	a.request.to = address_of(f, 2);
	assert_int_equal(hf_dht_announce_at(f->nodes[5], &a.request, false, keys->hash, token.id, token.token, keys->secret_key, NULL, 0), HF_OK);
	run_for(f, SECOND);
	assert_true(a.done == 1 && a.error == HF_DHT_OK);
	hf_buffer_free(&a.value);
	hf_buffer_free(&token.value);
}

static void test_handshakes_come_through_relays_and_back(void **state)
{
	struct dht_fixture f;
	struct server s;
	struct asked a = {.done = 0};
	struct keys keys = keys_of(1);
	struct hf_address client, relay, server, found;

	(void)state;
	begin_network(&f, 7);
	begin_server(&f, &s, &keys);
	client = address_of(&f, 6);
	relay = address_of(&f, 2);
	server = address_of(&f, 5);
	assert_true(hf_dht_node_find_local(f.nodes[2], keys.hash, &found) && hf_address_equal(&found, &server));
	assert_false(hf_dht_node_find_local(f.nodes[3], keys.hash, &found));

	/* Through the node that it is announced at. */
	shake(&f, &a, 6, 2, keys.hash, NULL);
	assert_int_equal(a.code, HF_OK);
	struct hf_dht_peer_handshake hs = handshake_in(&a);
	assert_true(hs.hop == HF_DHT_REPLY && hf_slice_equal(hs.noise, hf_slice_text("answer")));
	assert_true(hs.has_peer_address && hf_address_equal(&hs.peer_address, &server));
	assert_true(hf_address_equal(&a.from, &relay) && !a.has_token);
	assert_true(s.route.is_relayed && hf_address_equal(&s.route.peer, &client) && hf_address_equal(&s.route.from, &relay));
	assert_memory_equal(s.heard, "hello", 5);
	assert_int_equal(stats_of(&f, 2).relayed, 2);

	/* Directly. */
	shake(&f, &a, 6, 5, keys.hash, NULL);
	hs = handshake_in(&a);
	assert_true(hs.hop == HF_DHT_REPLY && !hs.has_peer_address && !s.route.is_relayed);
	assert_true(hf_address_equal(&a.from, &server));

	/* Through a node that knows nothing, but is told where to. */
	shake(&f, &a, 6, 3, keys.hash, &relay);
	hs = handshake_in(&a);
	assert_true(hs.hop == HF_DHT_REPLY && s.route.hop == HF_DHT_FROM_SECOND_RELAY && s.route.has_relay);

	/* From a socket that says where the server will be. */
	s.from_client_socket = true;
	shake(&f, &a, 6, 2, keys.hash, NULL);
	hs = handshake_in(&a);
	assert_int_equal(hs.peer_address.port, hf_udx_socket_address(hf_dht_node_client_socket(f.nodes[5]))->port);

	/* Nobody knows it: the way to others is shown. */
	shake(&f, &a, 6, 3, keys.hash, NULL);
	assert_true(a.code == HF_OK && a.value.length == 0 && !a.has_token);
	assert_int_equal(s.handshakes, 4);
	hf_dht_node_unlisten(f.nodes[5], keys.hash);
	shake(&f, &a, 6, 2, keys.hash, NULL);
	assert_int_equal(a.code, HF_ETIMEOUT);
	hf_buffer_free(&a.value);
	end_network(&f);
}

static void test_holepunches_come_through_relays_and_back(void **state)
{
	struct dht_fixture f;
	struct server s;
	struct keys keys = keys_of(1);
	struct hf_dht_peer_holepunch hp = {.hop = HF_DHT_FROM_CLIENT, .id = 7, .payload = hf_slice_text("punch")};
	struct hf_buffer value = {0};

	(void)state;
	begin_network(&f, 7);
	begin_server(&f, &s, &keys);
	struct hf_address server = address_of(&f, 5), client = address_of(&f, 6);
	for (unsigned named = 0; named < 2; named++) { /* by the announce, or by the client through any node */
		struct asked a = {.request = {.to = address_of(&f, named ? 3 : 2), .command = HF_DHT_PEER_HOLEPUNCH, .target = keys.hash,
			.has_value = true, .once = true, .done = on_reply}};
		hp.has_peer_address = named;
		hp.peer_address = server;
		hf_buffer_clear(&value);
		assert_int_equal(hf_dht_peer_holepunch_encode(&hp, &value), HF_OK);
		a.request.value = hf_buffer_slice(&value);
		assert_int_equal(hf_dht_request_start(f.nodes[6], &a.request), HF_OK);
		run_for(&f, 2 * SECOND);
		assert_true(a.done == 1 && a.code == HF_OK);
		struct hf_dht_peer_holepunch answer;
		assert_int_equal(hf_dht_peer_holepunch_decode(hf_buffer_slice(&a.value), &answer), HF_OK);
		assert_true(answer.hop == HF_DHT_REPLY && hf_slice_equal(answer.payload, hf_slice_text("punched")));
		assert_true(hf_address_equal(&answer.peer_address, &server));
		assert_true(s.id == 7 && hf_address_equal(&s.route.peer, &client));
		hf_buffer_free(&a.value);
	}
	hf_buffer_free(&value);
	assert_int_equal(s.holepunches, 2);
	end_network(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peers_are_announced_found_and_taken_back),
		cmocka_unit_test(test_what_was_found_may_be_given_again),
		cmocka_unit_test(test_a_lookup_may_be_cancelled_in_its_callback),
		cmocka_unit_test(test_nobody_to_announce_to_is_told),
		cmocka_unit_test(test_values_are_put_found_and_only_go_forward),
		cmocka_unit_test(test_tokens_are_for_one_host_and_a_few_seconds),
		cmocka_unit_test(test_handshakes_come_through_relays_and_back),
		cmocka_unit_test(test_holepunches_come_through_relays_and_back),
	};

	if (hf_crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
