/* The walk of a query, the records of a store, and what limits them, without a network. */
#include "dht_json.h"

#include "crypto/hash.h"
#include "wire/dht/rate.h"
#include "wire/dht/record_store.h"
#include "wire/dht/walk.h"

static struct hf_dht_contact contact_at(unsigned number)
{
	uint8_t ip[4] = {10, 0, (uint8_t)(number >> 8), (uint8_t)number};
	struct hf_dht_contact contact = {.address = hf_dht_address(ip, 1000)};

	hf_dht_id(contact.id, &contact.address);
	return contact;
}

/* ---- Walks ---- */

static const uint8_t target[HF_DHT_ID_BYTES] = {0x5a}, own[HF_DHT_ID_BYTES] = {0xff};

static unsigned down_count;

static void count_down(void *context, const struct hf_dht_contact *told, const struct hf_address *dead)
{
	(void)context;
	(void)told;
	(void)dead;
	down_count++;
}

static void answer(struct hf_dht_walk *walk, uint32_t number, const struct hf_dht_contact *from, struct hf_slice closer)
{
	struct hf_dht_message message = {.is_reply = true, .to = from->address, .closer = closer, .token = own};

	assert_int_equal(hf_dht_walk_answered(walk, number, &from->address, from->id, &message), HF_OK);
}

static void test_the_nearest_are_found_however_they_are_named(void **state)
{
	struct hf_dht_walk walk;
	struct hf_dht_contact contact;
	uint32_t number;
	uint8_t closer[HF_DHT_K * HF_DHT_ADDRESS_BYTES];
	unsigned named = 1, asked = 0;

	(void)state;
	hf_dht_walk_init(&walk, target, own);
	walk.is_from_table = true;
	contact = contact_at(0);
	assert_int_equal(hf_dht_walk_add(&walk, &contact), HF_OK);
	while (hf_dht_walk_next(&walk, &number, &contact)) {
		unsigned count = 0;
		for (; count < HF_DHT_K && named < 300; count++, named++) {
			struct hf_dht_contact other = contact_at(named);
			memcpy(closer + count * HF_DHT_ADDRESS_BYTES, hf_dht_ipv4(&other.address), 4);
			hf_store_le16(closer + count * HF_DHT_ADDRESS_BYTES + 4, 1000);
		}
		answer(&walk, number, &contact, hf_slice(closer, count * HF_DHT_ADDRESS_BYTES));
		asked++;
	}
	assert_int_equal(hf_dht_walk_state(&walk), HF_DHT_WALK_FINISHED);
	assert_int_equal(walk.closest_count, HF_DHT_K);
	assert_int_equal(walk.answered, asked);
	for (size_t i = 1; i < walk.closest_count; i++)
		assert_true(hf_dht_compare(target, walk.closest[i - 1].node.id, walk.closest[i].node.id) < 0);
	assert_true(walk.closest[0].has_token);
	hf_dht_walk_free(&walk);
}

static void test_ten_are_asked_at_once_and_slow_ones_do_not_count(void **state)
{
	struct hf_dht_walk walk;
	struct hf_dht_contact contact;
	uint32_t numbers[40], count = 0;

	(void)state;
	hf_dht_walk_init(&walk, target, own);
	walk.is_from_table = true;
	for (unsigned i = 0; i < 15; i++) {
		contact = contact_at(i);
		assert_int_equal(hf_dht_walk_add(&walk, &contact), HF_OK);
	}
	assert_int_equal(hf_dht_walk_room(&walk), 5);
	while (hf_dht_walk_next(&walk, &numbers[count], &contact))
		count++;
	assert_int_equal(count, 10);
	assert_int_equal(hf_dht_walk_state(&walk), HF_DHT_WALK_GOES_ON);
	hf_dht_walk_slow(&walk, numbers[0]);
	hf_dht_walk_slow(&walk, numbers[0]);
	while (hf_dht_walk_next(&walk, &numbers[count], &contact))
		count++;
	assert_int_equal(count, 11);
	for (uint32_t i = 0; i < count; i++)
		hf_dht_walk_failed(&walk, numbers[i], true);
	assert_true(hf_dht_walk_next(&walk, &numbers[0], &contact));
	hf_dht_walk_free(&walk);
}

static void test_given_nodes_come_first_and_the_table_if_they_fail(void **state)
{
	struct hf_dht_walk walk;
	struct hf_dht_contact contact;
	uint32_t number, numbers[40], count = 0;

	(void)state;
	hf_dht_walk_init(&walk, target, own);
	for (unsigned i = 0; i < HF_DHT_K; i++) {
		contact = contact_at(i);
		assert_int_equal(hf_dht_walk_add(&walk, &contact), HF_OK);
	}
	assert_int_equal(hf_dht_walk_room(&walk), 0);
	while (hf_dht_walk_next(&walk, &numbers[count], &contact))
		count++;
	assert_int_equal(count, 10);
	hf_dht_walk_failed(&walk, numbers[0], true); /* nine under way: more than three, so nobody else is asked */
	assert_false(hf_dht_walk_next(&walk, &number, &contact));
	for (uint32_t i = 1; i < count; i++)
		hf_dht_walk_failed(&walk, numbers[i], true);
	while (hf_dht_walk_next(&walk, &number, &contact))
		hf_dht_walk_failed(&walk, number, true);
	assert_int_equal(hf_dht_walk_state(&walk), HF_DHT_WALK_WANTS_MORE);
	walk.is_from_table = true;
	assert_int_equal(hf_dht_walk_state(&walk), HF_DHT_WALK_FINISHED);
	hf_dht_walk_free(&walk);
}

static void test_who_named_a_dead_node_is_told(void **state)
{
	struct hf_dht_walk walk;
	struct hf_dht_contact first = contact_at(1), second = contact_at(2), contact;
	uint8_t closer[HF_DHT_ADDRESS_BYTES] = {10, 0, 9, 9, 0xe8, 3};
	uint32_t a, b, dead;

	(void)state;
	hf_dht_walk_init(&walk, target, own);
	walk.is_from_table = true;
	walk.down = count_down;
	down_count = 0;
	hf_dht_walk_add(&walk, &first);
	hf_dht_walk_add(&walk, &second);
	assert_true(hf_dht_walk_next(&walk, &a, &contact) && hf_dht_walk_next(&walk, &b, &contact));
	answer(&walk, a, &second, hf_slice(closer, sizeof closer));
	assert_true(hf_dht_walk_next(&walk, &dead, &contact));
	hf_dht_walk_failed(&walk, dead, true);
	assert_int_equal(down_count, 1);
	answer(&walk, b, &first, hf_slice(closer, sizeof closer)); /* named after it was found dead */
	assert_int_equal(down_count, 2);
	assert_false(hf_dht_walk_next(&walk, &dead, &contact));
	assert_int_equal(walk.hops, 1);
	hf_dht_walk_free(&walk);
}

static void assert_named(const struct hf_dht_walk *walk, uint32_t number, unsigned alive, unsigned dead)
{
	unsigned alive_seen, dead_seen;

	hf_dht_walk_named(walk, number, &alive_seen, &dead_seen);
	assert_int_equal(alive_seen, alive);
	assert_int_equal(dead_seen, dead);
}

static void test_what_became_of_those_that_a_node_named_is_known(void **state)
{
	struct hf_dht_walk walk;
	struct hf_dht_contact first = contact_at(1), second = contact_at(2), contact;
	uint8_t three[3 * HF_DHT_ADDRESS_BYTES] = {10, 0, 9, 9, 0xe8, 3, 10, 0, 9, 8, 0xe8, 3, 10, 0, 9, 9, 0xe8, 3}; /* one of them twice */
	uint32_t a, b, c, d;

	(void)state;
	hf_dht_walk_init(&walk, target, own);
	walk.is_from_table = true;
	hf_dht_walk_add(&walk, &first);
	hf_dht_walk_add(&walk, &second);
	assert_true(hf_dht_walk_next(&walk, &a, &contact) && hf_dht_walk_next(&walk, &b, &contact));
	answer(&walk, a, &second, hf_slice(three, sizeof three));
	assert_true(hf_dht_walk_next(&walk, &c, &contact) && hf_dht_walk_next(&walk, &d, &contact));
	assert_named(&walk, a, 0, 0);
	hf_dht_walk_failed(&walk, c, true);
	answer(&walk, d, &contact, hf_slice(NULL, 0));
	assert_named(&walk, a, 1, 1);
	answer(&walk, b, &first, hf_slice(three, sizeof three)); /* when it is known of both */
	assert_named(&walk, b, 1, 1);
	assert_named(&walk, c, 0, 0);
	hf_dht_walk_free(&walk);
}

static void test_only_given_nodes_are_asked_when_that_is_wanted(void **state)
{
	struct hf_dht_walk walk;
	struct hf_dht_contact given = contact_at(1), other = contact_at(2), contact;
	uint8_t closer[HF_DHT_ADDRESS_BYTES] = {10, 0, 9, 9, 0xe8, 3};
	uint32_t number;

	(void)state;
	hf_dht_walk_init(&walk, target, own);
	hf_dht_walk_add(&walk, &given);
	walk.only_given = walk.is_from_table = true;
	hf_dht_walk_add(&walk, &other);
	assert_true(hf_dht_walk_next(&walk, &number, &contact));
	answer(&walk, number, &contact, hf_slice(closer, sizeof closer));
	assert_false(hf_dht_walk_next(&walk, &number, &contact));
	assert_int_equal(hf_dht_walk_state(&walk), HF_DHT_WALK_FINISHED);
	hf_dht_walk_free(&walk);
}

/* ---- Records ---- */

static uint64_t now_us = 1000000, drawn;

static uint64_t monotonic_us(struct hf_env *env)
{
	(void)env;
	return now_us;
}

static uint64_t wall_ms(struct hf_env *env)
{
	(void)env;
	return 1700000000000 + now_us / 1000;
}

static void draw(struct hf_env *env, void *out, size_t length)
{
	(void)env;
	drawn++;
	memset(out, 0, length);
	memcpy(out, &drawn, length < sizeof drawn ? length : sizeof drawn);
}

static struct hf_env env = {.monotonic_us = monotonic_us, .wall_ms = wall_ms, .random = draw};

struct keys {
	uint8_t public_key[32], secret_key[64], hash[32];
};

static struct keys keys_of(uint32_t number)
{
	struct keys keys;
	uint8_t seed[32] = {0};

	memcpy(seed, &number, sizeof number);
	hf_sign_keypair_from_seed(keys.public_key, keys.secret_key, seed);
	hf_blake2b(keys.hash, 32, (struct hf_slice){0}, hf_slice(keys.public_key, 32));
	return keys;
}

static int announce(struct hf_dht_record_store *store, const struct keys *keys, const uint8_t *topic, enum hf_dht_command command,
	unsigned relay_count, const uint8_t *refresh, uint64_t bump)
{
	static const uint8_t token[32] = {7};
	struct hf_address relays[8], from = contact_at(77).address;
	uint8_t signable[HF_DHT_SIGNABLE_BYTES], signature[64];
	struct hf_buffer peer = {0}, value = {0};

	for (unsigned i = 0; i < relay_count; i++)
		relays[i] = contact_at(i).address;
	assert_int_equal(hf_dht_peer_write(keys->public_key, relays, relay_count, &peer), HF_OK);
	hf_dht_announce_signable(signable, command, topic, own, token, hf_buffer_slice(&peer), refresh);
	hf_sign(signature, hf_slice(signable, sizeof signable), keys->secret_key);
	struct hf_dht_announce a = {.has_peer = true, .peer.bytes = hf_buffer_slice(&peer), .signature = signature, .refresh = refresh,
		.bump = bump};
	assert_int_equal(hf_dht_announce_write(&a, &value), HF_OK);
	struct hf_dht_store_request request = {.target = topic, .id = own, .token = token, .from = &from, .value = hf_buffer_slice(&value)};
	int r = command == HF_DHT_ANNOUNCE ? hf_dht_record_store_announce(store, &request) : hf_dht_record_store_unannounce(store, &request);
	hf_buffer_free(&peer);
	hf_buffer_free(&value);
	return r;
}

static size_t look_up(struct hf_dht_record_store *store, const uint8_t *topic, struct hf_dht_lookup_reply *reply, struct hf_buffer *out)
{
	hf_buffer_clear(out);
	if (hf_dht_record_store_lookup(store, topic, out) == HF_ENOTFOUND)
		return 0;
	assert_int_equal(hf_dht_lookup_reply_read(hf_buffer_slice(out), reply), HF_OK);
	return reply->count;
}

static void test_peers_are_kept_at_topics_and_forgotten(void **state)
{
	static const uint8_t topic[32] = {1}, other[32] = {2};
	struct hf_dht_record_store *store;
	struct hf_dht_lookup_reply reply;
	struct hf_buffer out = {0};
	struct keys keys;

	(void)state;
	assert_int_equal(hf_dht_record_store_new(&store, 1000, &env), HF_OK);
	for (uint32_t i = 0; i < 30; i++) {
		keys = keys_of(i);
		assert_int_equal(announce(store, &keys, topic, HF_DHT_ANNOUNCE, 5, NULL, 0), HF_OK);
	}
	assert_int_equal(look_up(store, topic, &reply, &out), HF_DHT_K);
	assert_int_equal(hf_dht_closer_count(reply.peers[0].relays), HF_DHT_RECORD_RELAYS_MAX);
	assert_int_equal(look_up(store, other, &reply, &out), 0);
	for (uint32_t i = 1; i < 30; i++) {
		keys = keys_of(i);
		assert_int_equal(announce(store, &keys, topic, HF_DHT_ANNOUNCE, 1, NULL, 0), HF_OK); /* renewed, not doubled */
		assert_int_equal(announce(store, &keys, topic, HF_DHT_UNANNOUNCE, 0, NULL, 0), HF_OK);
	}
	assert_int_equal(look_up(store, topic, &reply, &out), 1);
	keys = keys_of(0);
	assert_memory_equal(reply.peers[0].public_key, keys.public_key, 32);
	now_us += HF_DHT_RECORD_LIFE_MS * 700ull; /* two thirds: the old generation is still there */
	hf_dht_record_store_tick(store);
	assert_int_equal(look_up(store, topic, &reply, &out), 1);
	now_us += HF_DHT_RECORD_LIFE_MS * 700ull;
	hf_dht_record_store_tick(store);
	assert_int_equal(look_up(store, topic, &reply, &out), 0);
	hf_dht_record_store_free(store);
	hf_buffer_free(&out);
}

static void test_a_server_s_own_announce_is_a_route(void **state)
{
	struct hf_dht_record_store *store;
	struct hf_dht_lookup_reply reply;
	struct hf_buffer out = {0};
	struct hf_address relay, from = contact_at(77).address;
	struct keys keys = keys_of(5), other = keys_of(6);

	(void)state;
	assert_int_equal(hf_dht_record_store_new(&store, 1000, &env), HF_OK);
	assert_null(hf_dht_record_store_route(store, keys.hash, &relay).data);
	assert_int_equal(announce(store, &keys, keys.hash, HF_DHT_ANNOUNCE, 0, NULL, 0), HF_OK);
	assert_non_null(hf_dht_record_store_route(store, keys.hash, &relay).data);
	assert_true(hf_address_equal(&relay, &from));
	assert_int_equal(look_up(store, keys.hash, &reply, &out), 1);
	assert_int_equal(announce(store, &other, keys.hash, HF_DHT_ANNOUNCE, 0, NULL, 0), HF_OK); /* a topic for others */
	assert_int_equal(look_up(store, keys.hash, &reply, &out), 2);
	assert_int_equal(announce(store, &keys, keys.hash, HF_DHT_UNANNOUNCE, 0, NULL, 0), HF_OK);
	assert_null(hf_dht_record_store_route(store, keys.hash, &relay).data);
	hf_dht_record_store_free(store);
	hf_buffer_free(&out);
}

static void test_who_knows_what_was_hashed_may_renew(void **state)
{
	static const uint8_t topic[32] = {1};
	struct hf_dht_record_store *store;
	struct hf_dht_lookup_reply reply;
	struct hf_buffer out = {0}, value = {0};
	struct hf_address from = contact_at(3).address;
	uint8_t last[32] = {9}, middle[32], first[32];
	struct keys keys = keys_of(1);

	(void)state;
	hf_blake2b(middle, 32, (struct hf_slice){0}, hf_slice(last, 32));
	hf_blake2b(first, 32, (struct hf_slice){0}, hf_slice(middle, 32));
	assert_int_equal(hf_dht_record_store_new(&store, 1000, &env), HF_OK);
	assert_int_equal(announce(store, &keys, topic, HF_DHT_ANNOUNCE, 2, first, 0), HF_OK);
	hf_dht_record_store_remove(store, topic, keys.public_key);
	assert_int_equal(look_up(store, topic, &reply, &out), 0);
	struct hf_dht_announce a = {.refresh = middle};
	assert_int_equal(hf_dht_announce_write(&a, &value), HF_OK);
	struct hf_dht_store_request request = {.target = topic, .id = own, .token = own, .from = &from, .value = hf_buffer_slice(&value)};
	assert_int_equal(hf_dht_record_store_announce(store, &request), HF_OK);
	assert_int_equal(look_up(store, topic, &reply, &out), 1);
	assert_int_equal(hf_dht_record_store_announce(store, &request), HF_ENOTFOUND); /* each only once */
	hf_buffer_clear(&value);
	a.refresh = last;
	assert_int_equal(hf_dht_announce_write(&a, &value), HF_OK);
	request.value = hf_buffer_slice(&value);
	assert_int_equal(hf_dht_record_store_announce(store, &request), HF_OK);
	hf_dht_record_store_free(store);
	hf_buffer_free(&out);
	hf_buffer_free(&value);
}

static void test_bumps_only_grow_and_not_into_the_future(void **state)
{
	static const uint8_t topic[32] = {1};
	struct hf_dht_record_store *store;
	struct hf_dht_lookup_reply reply;
	struct hf_buffer out = {0};
	struct keys keys = keys_of(1);
	uint64_t now_ms = wall_ms(&env);
	const uint64_t bumps[][2] = {{5, 5}, {3, 5}, {now_ms, now_ms}, {now_ms + 2 * HF_DHT_BUMP_DRIFT_MS, now_ms}};

	(void)state;
	assert_int_equal(hf_dht_record_store_new(&store, 1000, &env), HF_OK);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(announce(store, &keys, topic, HF_DHT_ANNOUNCE, 0, NULL, bumps[i][0]), HF_OK);
		assert_int_equal(look_up(store, topic, &reply, &out), 1);
		assert_int_equal(reply.bump, bumps[i][1]);
	}
	hf_dht_record_store_free(store);
	hf_buffer_free(&out);
}

static int put(struct hf_dht_record_store *store, const struct keys *keys, uint64_t seq, const char *text, uint64_t *error)
{
	uint8_t signable[HF_DHT_SIGNABLE_BYTES], signature[64];
	struct hf_dht_mutable m = {.public_key = keys->public_key, .seq = seq, .value = hf_slice_text(text), .signature = signature};
	struct hf_buffer value = {0};

	hf_dht_mutable_signable(signable, seq, m.value);
	hf_sign(signature, hf_slice(signable, sizeof signable), keys->secret_key);
	assert_int_equal(hf_dht_mutable_put_write(&m, &value), HF_OK);
	int r = hf_dht_record_store_put_mutable(store, keys->hash, hf_buffer_slice(&value), error);
	if (r == HF_OK) {
		value.data[40] ^= 1;
		assert_int_equal(hf_dht_record_store_put_mutable(store, keys->hash, hf_buffer_slice(&value), error), HF_EBADSIG);
	}
	hf_buffer_free(&value);
	return r;
}

static void test_mutable_values_only_go_forward(void **state)
{
	struct hf_dht_record_store *store;
	struct keys keys = keys_of(1);
	uint64_t error = 0;

	(void)state;
	assert_int_equal(hf_dht_record_store_new(&store, 1000, &env), HF_OK);
	assert_int_equal(put(store, &keys, 3, "three", &error), HF_OK);
	assert_int_equal(put(store, &keys, 3, "three", &error), HF_OK);
	assert_int_equal(put(store, &keys, 3, "other", &error), HF_EDENIED);
	assert_int_equal(error, HF_DHT_SEQ_REUSED);
	assert_int_equal(put(store, &keys, 2, "two", &error), HF_EDENIED);
	assert_int_equal(error, HF_DHT_SEQ_TOO_LOW);
	assert_non_null(hf_dht_record_store_get_mutable(store, keys.hash, 3).data);
	assert_null(hf_dht_record_store_get_mutable(store, keys.hash, 4).data);
	assert_int_equal(hf_dht_record_store_put_immutable(store, keys.hash, hf_slice(keys.public_key, 32)), HF_OK);
	assert_int_equal(hf_dht_record_store_put_immutable(store, keys.hash, hf_slice(keys.public_key, 31)), HF_EBADSIG);
	assert_int_equal(hf_dht_record_store_get_immutable(store, keys.hash).length, 32);
	hf_dht_record_store_free(store);
}

static void test_a_store_has_a_limit(void **state)
{
	struct hf_dht_record_store *store;
	struct hf_dht_record_store_figures figures;
	uint8_t topic[32] = {0};

	(void)state;
	assert_int_equal(hf_dht_record_store_new(&store, 100, &env), HF_OK);
	for (uint32_t i = 0; i < 250; i++) {
		struct keys keys = keys_of(i);
		uint8_t hash[32];
		topic[0] = (uint8_t)(i % 7);
		assert_int_equal(announce(store, &keys, topic, HF_DHT_ANNOUNCE, 1, NULL, 0), HF_OK);
		hf_blake2b(hash, 32, (struct hf_slice){0}, hf_slice(&i, sizeof i));
		assert_int_equal(hf_dht_record_store_put_immutable(store, hash, hf_slice(&i, sizeof i)), HF_OK);
		assert_int_equal(hf_dht_record_store_get_immutable(store, hash).length, sizeof i);
		hf_dht_record_store_read_figures(store, &figures);
		assert_true(figures.records <= 100 && figures.immutables <= 50);
	}
	assert_true(figures.evicted > 0 && figures.bytes > 0);
	hf_dht_record_store_free(store);
}

static void test_a_host_has_so_many_requests_a_second(void **state)
{
	struct hf_dht_rate rate = {.seed = 5};
	struct hf_address host = contact_at(1).address, other = contact_at(2).address;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		assert_true(hf_dht_rate_take(&rate, &host, 5000, 1, 10));
	assert_false(hf_dht_rate_take(&rate, &host, 5999, 1, 10));
	host.port++;
	assert_false(hf_dht_rate_take(&rate, &host, 5999, 1, 10));
	assert_true(hf_dht_rate_take(&rate, &other, 5999, 1, 10));
	assert_true(hf_dht_rate_take(&rate, &host, 6000, 1, 10));
	other.ip[15] = 200; /* the whole network together */
	assert_true(hf_dht_rate_take_network(&rate, &host, 7000, 600, 1000));
	assert_false(hf_dht_rate_take_network(&rate, &other, 7000, 600, 1000));
	other.ip[14] ^= 1;
	assert_true(hf_dht_rate_take_network(&rate, &other, 7000, 600, 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_nearest_are_found_however_they_are_named),
		cmocka_unit_test(test_ten_are_asked_at_once_and_slow_ones_do_not_count),
		cmocka_unit_test(test_given_nodes_come_first_and_the_table_if_they_fail),
		cmocka_unit_test(test_who_named_a_dead_node_is_told),
		cmocka_unit_test(test_what_became_of_those_that_a_node_named_is_known),
		cmocka_unit_test(test_only_given_nodes_are_asked_when_that_is_wanted),
		cmocka_unit_test(test_peers_are_kept_at_topics_and_forgotten),
		cmocka_unit_test(test_a_server_s_own_announce_is_a_route),
		cmocka_unit_test(test_who_knows_what_was_hashed_may_renew),
		cmocka_unit_test(test_bumps_only_grow_and_not_into_the_future),
		cmocka_unit_test(test_mutable_values_only_go_forward),
		cmocka_unit_test(test_a_store_has_a_limit),
		cmocka_unit_test(test_a_host_has_so_many_requests_a_second),
	};

	if (hf_crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
