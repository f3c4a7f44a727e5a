/* PEER_HOLEPUNCH: payloads, sealed ones and envelopes of the package both ways; tokens; what kind of NAT samples tell of. */
#include "dht_json.h"

#include "crypto/hash.h"
#include "wire/dht/holepunch.h"
#include "wire/dht/nat.h"

#define PAYLOAD_COUNT 8
#define ENVELOPE_COUNT 4
#define NAT_COUNT 5

static void punch_of(const json_t *fields, struct hf_dht_punch *punch)
{
	*punch = (struct hf_dht_punch){
		.error = vectors_uint(fields, "error"),
		.firewall = vectors_uint(fields, "firewall"),
		.round = vectors_uint(fields, "round"),
		.is_connected = vectors_bool(fields, "connected"),
		.is_punching = vectors_bool(fields, "punching"),
		.has_token = json_has(fields, "token"),
		.has_remote_token = json_has(fields, "remoteToken"),
	};
	punch->has_addresses = json_addresses(fields, "addresses", &punch->addresses);
	punch->has_remote_address = json_optional_address(fields, "remoteAddress", &punch->remote_address);
	if (punch->has_token)
		vectors_bytes(punch->token, 32, fields, "token");
	if (punch->has_remote_token)
		vectors_bytes(punch->remote_token, 32, fields, "remoteToken");
}

static void expect_punch(const struct hf_dht_punch *read, const struct hf_dht_punch *expected)
{
	assert_int_equal(read->error, expected->error);
	assert_int_equal(read->firewall, expected->firewall);
	assert_int_equal(read->round, expected->round);
	assert_int_equal(read->is_connected, expected->is_connected);
	assert_int_equal(read->is_punching, expected->is_punching);
	assert_int_equal(read->has_addresses, expected->has_addresses);
	assert_int_equal(read->has_remote_address, expected->has_remote_address);
	assert_int_equal(read->has_token, expected->has_token);
	assert_int_equal(read->has_remote_token, expected->has_remote_token);
	expect_addresses(&read->addresses, &expected->addresses);
	assert_true(hf_address_equal(&read->remote_address, &expected->remote_address));
	assert_memory_equal(read->token, expected->token, 32);
	assert_memory_equal(read->remote_token, expected->remote_token, 32);
}

static void test_payloads_are_the_package_s_both_ways(void **state)
{
	json_t *root = vectors_load("swarm/holepunch.json"), *vector;
	struct hf_buffer bytes = {0}, written = {0};
	struct hf_dht_punch expected, read;
	uint8_t secret[32], nonce[24];
	size_t i;

	(void)state;
	vectors_bytes(secret, 32, root, "secret");
	vectors_bytes(nonce, 24, root, "nonce");
	json_array_foreach(vectors_array(root, "payloads", PAYLOAD_COUNT), i, vector) {
		punch_of(vectors_get(vector, "fields"), &expected);
		vectors_hex(&bytes, vector, "encoded");
		assert_int_equal(hf_dht_punch_decode(hf_buffer_slice(&bytes), &read), HF_OK);
		expect_punch(&read, &expected);
		for (size_t cut = 0; cut < bytes.length; cut++)
			assert_int_equal(hf_dht_punch_decode(hf_slice(bytes.data, cut), &read), HF_EMALFORMED);
		hf_buffer_clear(&written);
		assert_int_equal(hf_dht_punch_encode(&expected, &written), HF_OK);
		vectors_expect(vector, "encoded", written.data, written.length);
		hf_buffer_clear(&written);
		assert_int_equal(hf_dht_punch_seal(&expected, nonce, secret, &written), HF_OK);
		vectors_expect(vector, "sealed", written.data, written.length);
		assert_int_equal(hf_dht_punch_open(hf_buffer_slice(&written), secret, &read), HF_OK);
		expect_punch(&read, &expected);
	}
	hf_buffer_free(&bytes);
	hf_buffer_free(&written);
	json_decref(root);
}

static void test_what_the_other_side_has_not_sealed_is_refused(void **state)
{
	struct hf_dht_punch punch = {.round = 1}, read;
	struct hf_buffer sealed = {0};
	uint8_t secret[32] = {1}, nonce[24] = {2}, large[HF_DHT_PUNCH_BYTES_MAX + 1] = {0};

	(void)state;
	assert_int_equal(hf_dht_punch_seal(&punch, nonce, secret, &sealed), HF_OK);
	for (size_t i = 0; i < sealed.length; i++) {
		sealed.data[i] ^= 1;
		assert_int_equal(hf_dht_punch_open(hf_buffer_slice(&sealed), secret, &read), HF_EBADSIG);
		sealed.data[i] ^= 1;
	}
	secret[31] ^= 1;
	assert_int_equal(hf_dht_punch_open(hf_buffer_slice(&sealed), secret, &read), HF_EBADSIG);
	assert_int_equal(hf_dht_punch_open(hf_slice(sealed.data, HF_DHT_PUNCH_OVERHEAD_BYTES), secret, &read), HF_EMALFORMED);
	assert_int_equal(hf_dht_punch_open(hf_slice(large, sizeof large), secret, &read), HF_ETOOBIG);
	hf_buffer_free(&sealed);
}

static void test_tokens_are_the_package_s(void **state)
{
	json_t *root = vectors_load("swarm/holepunch.json"), *vector = vectors_get(root, "token");
	uint8_t secret[32], token[32];
	char text[HF_ADDRESS_TEXT_BYTES];
	struct hf_address host;

	(void)state;
	vectors_bytes(secret, 32, vector, "localSecret");
	snprintf(text, sizeof text, "%s:9", vectors_text(vector, "host"));
	assert_int_equal(hf_address_parse(text, &host, NULL), HF_OK);
	hf_dht_punch_token(token, &host, secret);
	vectors_expect(vector, "token", token, 32);
	json_decref(root);
}

static void test_envelopes_are_the_package_s_both_ways(void **state)
{
	json_t *root = vectors_load("swarm/hyperdht-messages.json"), *vector;
	struct hf_buffer bytes = {0}, payload = {0}, written = {0};
	struct hf_dht_peer_holepunch read, expected = {.hop = HF_DHT_REPLY};
	size_t i;

	(void)state;
	json_array_foreach(vectors_array(root, "peerHolepunch", ENVELOPE_COUNT), i, vector) {
		json_t *fields = vectors_get(vector, "fields");
		expected.hop = (enum hf_dht_hop)vectors_uint(fields, "mode");
		expected.id = vectors_uint(fields, "id");
		expected.payload = vectors_hex(&payload, fields, "payload");
		expected.has_peer_address = json_optional_address(fields, "peerAddress", &expected.peer_address);
		vectors_hex(&bytes, vector, "hex");
		assert_int_equal(hf_dht_peer_holepunch_decode(hf_buffer_slice(&bytes), &read), HF_OK);
		assert_int_equal(read.hop, expected.hop);
		assert_int_equal(read.id, expected.id);
		assert_true(hf_slice_equal(read.payload, expected.payload));
		assert_int_equal(read.has_peer_address, expected.has_peer_address);
		assert_true(!read.has_peer_address || hf_address_equal(&read.peer_address, &expected.peer_address));
		hf_buffer_clear(&written);
		assert_int_equal(hf_dht_peer_holepunch_encode(&expected, &written), HF_OK);
		vectors_expect(vector, "hex", written.data, written.length);
		bytes.data[1] = HF_DHT_REPLY + 1;
		assert_int_equal(hf_dht_peer_holepunch_decode(hf_buffer_slice(&bytes), &read), HF_EMALFORMED);
	}
	hf_buffer_free(&bytes);
	hf_buffer_free(&payload);
	hf_buffer_free(&written);
	json_decref(root);
}

/* ---- NATs ---- */

static void test_nats_are_told_apart_as_by_the_package(void **state)
{
	json_t *root = vectors_load("swarm/holepunch.json"), *vector, *step;
	struct hf_dht_nat nat;
	struct hf_dht_addresses expected;
	size_t i, j;

	(void)state;
	json_array_foreach(vectors_array(root, "natClassification", NAT_COUNT), i, vector) {
		hf_dht_nat_init(&nat, true);
		json_array_foreach(vectors_get(vector, "steps"), j, step) {
			struct hf_address seen = json_address(vectors_get(step, "add"));
			struct hf_address node = hf_dht_address((const uint8_t[4]){9, 9, 9, 9}, (uint16_t)(j + 1));
			hf_dht_nat_add(&nat, &seen, &node);
			hf_dht_nat_add(&nat, &seen, &node); /* a node counts once */
			assert_int_equal(nat.firewall, vectors_uint(step, "firewall"));
			assert_int_equal(nat.has_addresses, json_addresses(step, "addresses", &expected));
			expect_addresses(&nat.addresses, &expected);
		}
	}
	json_decref(root);
}

static void sample(struct hf_dht_nat *nat, uint8_t host, uint16_t port, uint8_t node)
{
	struct hf_address seen = hf_dht_address((const uint8_t[4]){1, 1, 1, host}, port);
	struct hf_address from = hf_dht_address((const uint8_t[4]){9, 9, 9, node}, 1);

	hf_dht_nat_add(nat, &seen, &from);
}

static void test_asking_ends_with_four_samples_or_a_consistent_nat(void **state)
{
	struct hf_dht_nat nat;

	(void)state;
	hf_dht_nat_init(&nat, true);
	for (uint8_t i = 1; i <= 3; i++) {
		assert_false(hf_dht_nat_is_settled(&nat));
		sample(&nat, 1, i, i);
	}
	assert_false(hf_dht_nat_is_settled(&nat)); /* random so far */
	sample(&nat, 1, 9, 4);
	assert_true(hf_dht_nat_is_settled(&nat));
	hf_dht_nat_init(&nat, true);
	for (uint8_t i = 1; i <= 3; i++)
		sample(&nat, 1, 7, i);
	assert_true(hf_dht_nat_is_settled(&nat));
	hf_dht_nat_init(&nat, false);
	assert_true(hf_dht_nat_is_settled(&nat) && nat.firewall == HF_DHT_FIREWALL_OPEN);
	sample(&nat, 1, 7, 1);
	assert_true(nat.firewall == HF_DHT_FIREWALL_OPEN && !nat.has_addresses);
}

static void test_what_was_told_does_not_change(void **state)
{
	struct hf_dht_nat nat;

	(void)state;
	hf_dht_nat_init(&nat, true);
	for (uint8_t i = 1; i <= 3; i++)
		sample(&nat, 1, i, i);
	assert_int_equal(nat.firewall, HF_DHT_FIREWALL_RANDOM);
	hf_dht_nat_freeze(&nat);
	for (uint8_t i = 4; i <= 40; i++)
		sample(&nat, 1, 1, i);
	assert_int_equal(nat.firewall, HF_DHT_FIREWALL_RANDOM);
	assert_int_equal(nat.addresses.list[0].port, 0);
	assert_int_equal(nat.sample_count, HF_DHT_NAT_SAMPLES_MAX);
}

static void test_an_address_that_others_see_alike_comes_before_one_seen_once(void **state)
{
	struct hf_dht_nat nat;

	(void)state;
	hf_dht_nat_init(&nat, true);
	sample(&nat, 1, 1, 1);
	for (uint8_t i = 2; i <= 4; i++)
		sample(&nat, 2, 2, i);
	assert_int_equal(nat.firewall, HF_DHT_FIREWALL_CONSISTENT);
	assert_int_equal(nat.addresses.count, 2);
	assert_int_equal(nat.addresses.list[0].port, 2);
	assert_int_equal(nat.addresses.list[1].port, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_payloads_are_the_package_s_both_ways),
		cmocka_unit_test(test_what_the_other_side_has_not_sealed_is_refused),
		cmocka_unit_test(test_tokens_are_the_package_s),
		cmocka_unit_test(test_envelopes_are_the_package_s_both_ways),
		cmocka_unit_test(test_nats_are_told_apart_as_by_the_package),
		cmocka_unit_test(test_asking_ends_with_four_samples_or_a_consistent_nat),
		cmocka_unit_test(test_what_was_told_does_not_change),
		cmocka_unit_test(test_an_address_that_others_see_alike_comes_before_one_seen_once),
	};

	return hf_crypto_init() == HF_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
