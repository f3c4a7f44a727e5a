/* Datagrams of dht-rpc: those of the package are read, and written byte for byte; ids, tokens and base encodings are its own. */
#include "dht_json.h"

#include "crypto/hash.h"
#include "crypto/namespace.h"
#include "crypto/sign.h"
#include "wire/dht/record.h"
#include "wire/dht/token.h"

#define REQUEST_COUNT 13
#define REPLY_COUNT 7
#define NODE_ID_COUNT 5

static const uint8_t *optional_bytes(const json_t *fields, const char *key, uint8_t out[static 32])
{
	if (!json_has(fields, key))
		return NULL;
	vectors_bytes(out, 32, fields, key);
	return out;
}

/* What the vector says, with room for what it points to. */
struct expected {
	struct hf_dht_message message;
	uint8_t id[32], token[32], target[32];
	struct hf_buffer value, closer;
};

static void expect_from(struct expected *e, const json_t *fields, bool is_reply)
{
	struct hf_dht_message *m = &e->message;
	struct hf_dht_addresses closer = {.count = 0};

	*m = (struct hf_dht_message){.is_reply = is_reply, .tid = (uint16_t)vectors_uint(fields, "tid"),
		.to = json_address(vectors_get(fields, "to")), .id = optional_bytes(fields, "id", e->id),
		.token = optional_bytes(fields, "token", e->token), .has_value = json_has(fields, "value")};
	if (m->has_value)
		m->value = vectors_hex(&e->value, fields, "value");
	if (!is_reply) {
		m->is_internal = vectors_bool(fields, "internal");
		m->command = vectors_uint(fields, "command");
		m->target = optional_bytes(fields, "target", e->target);
		return;
	}
	m->error = vectors_uint(fields, "error");
	json_addresses(fields, "closerNodes", &closer);
	struct hf_compact_writer w = hf_compact_writer(&e->closer);
	hf_buffer_clear(&e->closer);
	for (size_t i = 0; i < closer.count; i++)
		hf_dht_write_address(&w, &closer.list[i]);
	m->closer = hf_buffer_slice(&e->closer);
}

static void expect_bytes(const uint8_t *read, const uint8_t *expected)
{
	assert_int_equal(read != NULL, expected != NULL);
	if (read)
		assert_memory_equal(read, expected, 32);
}

static void expect_message(const struct hf_dht_message *read, const struct hf_dht_message *expected)
{
	assert_int_equal(read->is_reply, expected->is_reply);
	assert_int_equal(read->tid, expected->tid);
	assert_true(hf_address_equal(&read->to, &expected->to));
	expect_bytes(read->id, expected->id);
	expect_bytes(read->token, expected->token);
	expect_bytes(read->target, expected->target);
	assert_int_equal(read->is_internal, expected->is_internal);
	assert_int_equal(read->command, expected->command);
	assert_int_equal(read->error, expected->error);
	assert_int_equal(read->has_value, expected->has_value);
	assert_true(hf_slice_equal(read->value, expected->value));
	assert_true(hf_slice_equal(read->closer, expected->closer));
}

static void check_messages(const char *key, size_t count, bool is_reply)
{
	json_t *file = vectors_load("swarm/dht-rpc.json"), *item;
	struct hf_buffer bytes = {0}, written = {0};
	struct expected expected = {0};
	struct hf_dht_message read;
	size_t i;

	json_array_foreach(vectors_array(file, key, count), i, item) {
		struct hf_slice datagram = vectors_hex(&bytes, item, "hex");
		expect_from(&expected, vectors_get(item, "fields"), is_reply);
		assert_int_equal(hf_dht_message_read(datagram, &read), HF_OK);
		expect_message(&read, &expected.message);
		hf_buffer_clear(&written);
		assert_int_equal(hf_dht_message_write(&expected.message, &written), HF_OK);
		assert_true(hf_slice_equal(hf_buffer_slice(&written), datagram));
		for (size_t cut = 0; cut < datagram.length; cut++)
			assert_int_equal(hf_dht_message_read(hf_slice(datagram.data, cut), &read), HF_EMALFORMED);
		assert_int_equal(hf_buffer_append(&bytes, "more", 4), HF_OK);
		assert_int_equal(hf_dht_message_read(hf_buffer_slice(&bytes), &read), HF_OK);
	}
	hf_buffer_free(&bytes);
	hf_buffer_free(&written);
	hf_buffer_free(&expected.value);
	hf_buffer_free(&expected.closer);
	json_decref(file);
}

static void test_requests_are_the_package_s(void **state)
{
	(void)state;
	check_messages("requests", REQUEST_COUNT, false);
}

static void test_replies_are_the_package_s(void **state)
{
	(void)state;
	check_messages("responses", REPLY_COUNT, true);
}

static void test_other_first_bytes_are_refused(void **state)
{
	uint8_t bytes[] = {0x03, 0x04, 0x34, 0x12, 192, 168, 1, 2, 0x49, 0xc2, 0x00};
	struct hf_dht_message message;

	(void)state;
	assert_int_equal(hf_dht_message_read(hf_slice(bytes, sizeof bytes), &message), HF_OK);
	for (unsigned first = 0; first < 256; first++) {
		bytes[0] = (uint8_t)first;
		if (first != 0x03 && first != 0x13)
			assert_int_equal(hf_dht_message_read(hf_slice(bytes, sizeof bytes), &message), HF_EMALFORMED);
	}
}

static void test_ipv6_is_not_written(void **state)
{
	struct hf_dht_message message = {.command = HF_DHT_PING};
	struct hf_buffer out = {0};

	(void)state;
	assert_int_equal(hf_address_parse("[::1]:80", &message.to, NULL), HF_OK);
	assert_int_equal(hf_dht_message_write(&message, &out), HF_EINVAL);
	hf_buffer_free(&out);
}

static void test_ids_are_hashes_of_addresses(void **state)
{
	json_t *file = vectors_load("swarm/dht-rpc.json"), *item;
	uint8_t id[HF_DHT_ID_BYTES];
	size_t i;

	(void)state;
	json_array_foreach(vectors_array(file, "nodeIds", NODE_ID_COUNT), i, item) {
		struct hf_address address = json_address(item);
		hf_dht_id(id, &address);
		vectors_expect(item, "id", id, sizeof id);
	}
	json_decref(file);
}

static void test_compare_is_by_xor(void **state)
{
	uint8_t target[32] = {0x80}, near_by[32] = {0x81}, far[32] = {0x01}, same[32] = {0x81};

	(void)state;
	assert_true(hf_dht_compare(target, near_by, far) < 0);
	assert_true(hf_dht_compare(target, far, near_by) > 0);
	assert_int_equal(hf_dht_compare(target, near_by, same), 0);
}

static void test_tokens_turn_as_in_the_package(void **state)
{
	json_t *file = vectors_load("swarm/dht-rpc.json"), *tokens = vectors_get(file, "tokens"), *rotation = vectors_get(tokens, "rotation");
	struct hf_address host = {.port = 0}, other;
	struct hf_dht_tokens t;
	uint8_t secrets[64], token[HF_DHT_TOKEN_BYTES], first[HF_DHT_TOKEN_BYTES], older[HF_DHT_TOKEN_BYTES];
	char text[64];

	(void)state;
	snprintf(text, sizeof text, "%s:1234", vectors_text(tokens, "host"));
	assert_int_equal(hf_address_parse(text, &host, NULL), HF_OK);
	assert_int_equal(hf_address_parse("192.168.1.3:1234", &other, NULL), HF_OK);
	memset(secrets, 0x11, 32);
	memset(secrets + 32, 0x22, 32);
	hf_dht_tokens_init(&t, secrets);
	for (unsigned i = 0; i < 3 * HF_DHT_TOKEN_TICKS; i++) /* nothing turns before there was a token */
		hf_dht_tokens_tick(&t);
	hf_dht_token_make(&t, first, &host);
	vectors_expect(tokens, "issued", first, sizeof first);
	vectors_bytes(older, sizeof older, tokens, "alsoAccepted");
	assert_true(hf_dht_token_is_good(&t, first, &host) && hf_dht_token_is_good(&t, older, &host));
	assert_false(hf_dht_token_is_good(&t, first, &other));
	host.port++;
	assert_true(hf_dht_token_is_good(&t, first, &host));
	for (unsigned i = 0; i < HF_DHT_TOKEN_TICKS; i++)
		hf_dht_tokens_tick(&t);
	hf_dht_token_make(&t, token, &host);
	vectors_expect(rotation, "issuedAfter", token, sizeof token);
	assert_true(hf_dht_token_is_good(&t, first, &host) && hf_dht_token_is_good(&t, token, &host));
	assert_false(hf_dht_token_is_good(&t, older, &host));
	for (unsigned i = 0; i < HF_DHT_TOKEN_TICKS; i++)
		hf_dht_tokens_tick(&t);
	assert_false(hf_dht_token_is_good(&t, first, &host));
	json_decref(file);
}

/* ---- Base encodings ---- */

static void test_numbers_and_buffers_are_the_package_s(void **state)
{
	json_t *file = vectors_load("swarm/primitives.json"), *item;
	struct hf_buffer bytes = {0}, written = {0}, input = {0};
	size_t i;

	(void)state;
	json_array_foreach(vectors_array(file, "uint", 12), i, item) {
		struct hf_compact_reader in = hf_compact_reader(vectors_hex(&bytes, item, "hex"));
		struct hf_compact_writer w = hf_compact_writer(&written);
		assert_int_equal(hf_compact_read_uint(&in), vectors_uint(item, "value"));
		hf_buffer_clear(&written);
		hf_compact_write_uint(&w, vectors_uint(item, "value"));
		assert_true(hf_slice_equal(hf_buffer_slice(&written), hf_buffer_slice(&bytes)));
	}
	json_array_foreach(vectors_array(file, "buffer", 3), i, item) {
		struct hf_compact_reader in = hf_compact_reader(vectors_hex(&bytes, item, "hex"));
		struct hf_compact_writer w = hf_compact_writer(&written);
		assert_true(hf_slice_equal(hf_compact_read_buffer(&in), vectors_hex(&input, item, "input")));
		hf_buffer_clear(&written);
		hf_compact_write_buffer(&w, hf_buffer_slice(&input));
		assert_true(hf_slice_equal(hf_buffer_slice(&written), hf_buffer_slice(&bytes)));
	}
	hf_buffer_free(&bytes);
	hf_buffer_free(&written);
	hf_buffer_free(&input);
	json_decref(file);
}

static void test_addresses_are_the_package_s(void **state)
{
	json_t *file = vectors_load("swarm/primitives.json"), *item;
	struct hf_buffer bytes = {0}, written = {0};
	size_t i;

	(void)state;
	json_array_foreach(vectors_array(file, "ipv4Address", 3), i, item) {
		struct hf_compact_reader in = hf_compact_reader(vectors_hex(&bytes, item, "hex"));
		struct hf_compact_writer w = hf_compact_writer(&written);
		struct hf_address read = hf_dht_read_address(&in), expected = json_address(item);
		assert_true(hf_address_equal(&read, &expected));
		hf_buffer_clear(&written);
		hf_dht_write_address(&w, &expected);
		assert_true(hf_slice_equal(hf_buffer_slice(&written), hf_buffer_slice(&bytes)));
	}
	json_array_foreach(vectors_array(file, "ipv6Address", 2), i, item) {
		struct hf_address expected = json_address(item);
		struct hf_compact_writer w = hf_compact_writer(&written);
		hf_buffer_clear(&written);
		hf_dht_write_addresses6(&w, &expected, 1);
		assert_true(hf_slice_equal(hf_slice(written.data + 1, written.length - 1), vectors_hex(&bytes, item, "hex")));
	}
	hf_buffer_free(&bytes);
	hf_buffer_free(&written);
	json_decref(file);
}

static void test_namespaces_keys_and_topics_are_the_package_s(void **state)
{
	json_t *file = vectors_load("swarm/primitives.json"), *namespaces = vectors_get(file, "namespaces"), *topics = vectors_get(file, "topics");
	json_t *item;
	uint8_t bytes[64], public_key[32], seed[32];
	size_t i;

	(void)state;
	json_array_foreach(vectors_array(namespaces, "hyperswarm/dht", 6), i, item) {
		hf_dht_namespace(bytes, (enum hf_dht_command)vectors_uint(item, "id"));
		vectors_expect(item, "hex", bytes, 32);
	}
	json_array_foreach(vectors_array(file, "keyPairs", 7), i, item) {
		vectors_bytes(seed, sizeof seed, item, "seed");
		hf_sign_keypair_from_seed(public_key, bytes, seed);
		vectors_expect(item, "publicKey", public_key, sizeof public_key);
		vectors_expect(item, "secretKey", bytes, 64);
	}
	item = vectors_get(topics, "discoveryKey");
	vectors_bytes(public_key, sizeof public_key, item, "publicKey");
	hf_discovery_key(bytes, public_key);
	vectors_expect(item, "topic", bytes, 32);
	item = vectors_get(topics, "peerTarget");
	vectors_bytes(public_key, sizeof public_key, item, "publicKey");
	hf_blake2b(bytes, 32, (struct hf_slice){0}, hf_slice(public_key, sizeof public_key));
	vectors_expect(item, "target", bytes, 32);
	json_decref(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_are_the_package_s),
		cmocka_unit_test(test_replies_are_the_package_s),
		cmocka_unit_test(test_other_first_bytes_are_refused),
		cmocka_unit_test(test_ipv6_is_not_written),
		cmocka_unit_test(test_ids_are_hashes_of_addresses),
		cmocka_unit_test(test_compare_is_by_xor),
		cmocka_unit_test(test_tokens_turn_as_in_the_package),
		cmocka_unit_test(test_numbers_and_buffers_are_the_package_s),
		cmocka_unit_test(test_addresses_are_the_package_s),
		cmocka_unit_test(test_namespaces_keys_and_topics_are_the_package_s),
	};

	if (hf_crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
