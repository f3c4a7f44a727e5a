/* PEER_HANDSHAKE: payloads and envelopes of the package both ways, its whole recorded handshake from both sides, kinds of addresses. */
#include "dht_json.h"

#include "crypto/hash.h"

#define PAYLOAD_COUNT 5
#define ENVELOPE_COUNT 6

static void payload_of(const json_t *fields, struct hf_dht_noise_payload *payload)
{
	size_t i;
	json_t *item, *part;

	*payload = (struct hf_dht_noise_payload){.version = 1, .error = vectors_uint(fields, "error"),
		.firewall = vectors_uint(fields, "firewall")};
	json_addresses(fields, "addresses4", &payload->addresses4);
	json_addresses(fields, "addresses6", &payload->addresses6);
	payload->has_relay_addresses = json_addresses(fields, "relayAddresses", &payload->relay_addresses);
	payload->has_secret_stream = json_has(fields, "secretStream");
	if ((payload->has_holepunch = json_has(fields, "holepunch"))) {
		part = json_object_get(fields, "holepunch");
		payload->holepunch.id = vectors_uint(part, "id");
		json_array_foreach(json_object_get(part, "relays"), i, item)
			payload->holepunch.relays[payload->holepunch.relay_count++] = (struct hf_dht_punch_relay){
				.relay = json_address(json_object_get(item, "relayAddress")),
				.peer = json_address(json_object_get(item, "peerAddress"))};
	}
	if ((payload->has_udx = json_has(fields, "udx"))) {
		part = json_object_get(fields, "udx");
		payload->udx.reusable_socket = vectors_bool(part, "reusableSocket");
		payload->udx.id = (uint32_t)vectors_uint(part, "id");
		payload->udx.seq = (uint32_t)vectors_uint(part, "seq");
	}
	if ((payload->has_relay_through = json_has(fields, "relayThrough"))) {
		part = json_object_get(fields, "relayThrough");
		vectors_bytes(payload->relay_through.public_key, 32, part, "publicKey");
		vectors_bytes(payload->relay_through.token, 32, part, "token");
	}
}

static void expect_payload(const struct hf_dht_noise_payload *read, const struct hf_dht_noise_payload *expected)
{
	assert_int_equal(read->version, expected->version);
	assert_int_equal(read->error, expected->error);
	assert_int_equal(read->firewall, expected->firewall);
	assert_int_equal(read->has_holepunch, expected->has_holepunch);
	assert_int_equal(read->has_udx, expected->has_udx);
	assert_int_equal(read->has_secret_stream, expected->has_secret_stream);
	assert_int_equal(read->has_relay_through, expected->has_relay_through);
	assert_int_equal(read->has_relay_addresses, expected->has_relay_addresses);
	assert_int_equal(read->holepunch.id, expected->holepunch.id);
	assert_int_equal(read->holepunch.relay_count, expected->holepunch.relay_count);
	for (size_t i = 0; i < read->holepunch.relay_count; i++) {
		assert_true(hf_address_equal(&read->holepunch.relays[i].relay, &expected->holepunch.relays[i].relay));
		assert_true(hf_address_equal(&read->holepunch.relays[i].peer, &expected->holepunch.relays[i].peer));
	}
	expect_addresses(&read->addresses4, &expected->addresses4);
	expect_addresses(&read->addresses6, &expected->addresses6);
	expect_addresses(&read->relay_addresses, &expected->relay_addresses);
	assert_memory_equal(&read->udx, &expected->udx, sizeof read->udx);
	assert_memory_equal(&read->relay_through, &expected->relay_through, sizeof read->relay_through);
}

static void test_payloads_are_the_package_s_both_ways(void **state)
{
	json_t *root = vectors_load("swarm/noise-handshake.json"), *vector;
	struct hf_buffer bytes = {0}, written = {0};
	struct hf_dht_noise_payload expected, read;
	size_t i;

	(void)state;
	json_array_foreach(vectors_array(root, "payloads", PAYLOAD_COUNT), i, vector) {
		payload_of(vectors_get(vector, "fields"), &expected);
		vectors_hex(&bytes, vector, "hex");
		assert_int_equal(hf_dht_noise_decode(hf_buffer_slice(&bytes), &read), HF_OK);
		expect_payload(&read, &expected);
		hf_buffer_clear(&written);
		assert_int_equal(hf_dht_noise_encode(&expected, &written), HF_OK);
		vectors_expect(vector, "hex", written.data, written.length);
		for (size_t cut = 0; cut < bytes.length; cut++)
			assert_int_equal(hf_dht_noise_decode(hf_slice(bytes.data, cut), &read), HF_EMALFORMED);
	}
	hf_buffer_free(&bytes);
	hf_buffer_free(&written);
	json_decref(root);
}

static void test_another_version_is_told_and_nothing_else_read(void **state)
{
	static const uint8_t later[] = {2, 0xff, 0xff};
	struct hf_dht_noise_payload read;

	(void)state;
	assert_int_equal(hf_dht_noise_decode(hf_slice(later, sizeof later), &read), HF_OK);
	assert_int_equal(read.version, 2);
	assert_false(read.has_udx || read.has_holepunch);
}

static void test_lists_beyond_what_is_kept_are_read_and_forgotten(void **state)
{
	struct hf_buffer bytes = {0};
	struct hf_compact_writer out = hf_compact_writer(&bytes);
	struct hf_address address = hf_dht_address((const uint8_t[4]){1, 2, 3, 4}, 5);
	struct hf_dht_noise_payload read;

	(void)state;
	for (const uint8_t *head = (const uint8_t[]){1, 2 | 8, 0, 0, 100}, *end = head + 5; head < end; head++)
		hf_compact_write_uint(&out, *head);
	for (unsigned i = 0; i < 100; i++, address.port++)
		hf_dht_write_address(&out, &address);
	for (const uint8_t *udx = (const uint8_t[]){1, 0, 77, 0}, *end = udx + 4; udx < end; udx++)
		hf_compact_write_uint(&out, *udx);
	assert_int_equal(hf_dht_noise_decode(hf_buffer_slice(&bytes), &read), HF_OK);
	assert_int_equal(read.addresses4.count, HF_DHT_ADDRESSES_MAX);
	assert_int_equal(read.addresses4.list[15].port, 20);
	assert_int_equal(read.udx.id, 77);
	hf_buffer_free(&bytes);
}

static void test_a_stream_id_has_32_bits(void **state)
{
	static const uint8_t bytes[] = {1, 8, 0, 0, 1, 0, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 0};
	struct hf_dht_noise_payload read;

	(void)state;
	assert_int_equal(hf_dht_noise_decode(hf_slice(bytes, sizeof bytes), &read), HF_ETOOBIG);
}

static void test_envelopes_are_the_package_s_both_ways(void **state)
{
	json_t *root = vectors_load("swarm/hyperdht-messages.json"), *vector;
	struct hf_buffer bytes = {0}, noise = {0}, written = {0};
	struct hf_dht_peer_handshake read, expected = {.hop = HF_DHT_REPLY};
	size_t i;

	(void)state;
	json_array_foreach(vectors_array(root, "peerHandshake", ENVELOPE_COUNT), i, vector) {
		json_t *fields = vectors_get(vector, "fields");
		expected.hop = (enum hf_dht_hop)vectors_uint(fields, "mode");
		expected.noise = vectors_hex(&noise, fields, "noise");
		expected.has_peer_address = json_optional_address(fields, "peerAddress", &expected.peer_address);
		expected.has_relay_address = json_optional_address(fields, "relayAddress", &expected.relay_address);
		vectors_hex(&bytes, vector, "hex");
		assert_int_equal(hf_dht_peer_handshake_decode(hf_buffer_slice(&bytes), &read), HF_OK);
		assert_int_equal(read.hop, expected.hop);
		assert_true(hf_slice_equal(read.noise, expected.noise));
		assert_int_equal(read.has_peer_address, expected.has_peer_address);
		assert_int_equal(read.has_relay_address, expected.has_relay_address);
		assert_true(!read.has_peer_address || hf_address_equal(&read.peer_address, &expected.peer_address));
		assert_true(!read.has_relay_address || hf_address_equal(&read.relay_address, &expected.relay_address));
		hf_buffer_clear(&written);
		assert_int_equal(hf_dht_peer_handshake_encode(&expected, &written), HF_OK);
		vectors_expect(vector, "hex", written.data, written.length);
		bytes.data[1] = HF_DHT_REPLY + 1;
		assert_int_equal(hf_dht_peer_handshake_decode(hf_buffer_slice(&bytes), &read), HF_EMALFORMED);
	}
	hf_buffer_free(&bytes);
	hf_buffer_free(&noise);
	hf_buffer_free(&written);
	json_decref(root);
}

/* ---- The handshake ---- */

static void give_seed(struct hf_env *env, void *out, size_t length)
{
	assert_int_equal(length, 32);
	memcpy(out, env->context, 32);
}

struct side {
	struct hf_noise noise;
	struct hf_env env;
	struct hf_noise_result result;
	uint8_t seed[32], public_key[32], secret[64];
};

static void set_up(struct side *side, const json_t *handshake, const char *who, const char *ephemeral, const uint8_t *remote_key)
{
	uint8_t seed[32];

	vectors_bytes(seed, 32, vectors_get(handshake, who), "seed");
	hf_sign_keypair_from_seed(side->public_key, side->secret, seed);
	vectors_bytes(side->seed, 32, vectors_get(handshake, ephemeral), "seed");
	side->env = (struct hf_env){.context = side->seed, .random = give_seed};
	hf_dht_handshake_init(&side->noise, side->secret, remote_key, &side->env);
}

static void pass(struct side *from, struct side *to, const json_t *handshake, const char *payload_name, const char *message_name)
{
	struct hf_buffer payload = {0};
	uint8_t message[HF_DHT_NOISE_BYTES_MAX], read[HF_DHT_NOISE_BYTES_MAX];
	size_t length, read_length;

	vectors_hex(&payload, handshake, payload_name);
	assert_int_equal(hf_noise_send(&from->noise, hf_buffer_slice(&payload), message, &length), HF_OK);
	vectors_expect(handshake, message_name, message, length);
	assert_int_equal(hf_noise_recv(&to->noise, hf_slice(message, length), read, &read_length), HF_OK);
	vectors_expect(handshake, payload_name, read, read_length);
	hf_buffer_free(&payload);
}

static void test_the_recorded_handshake_from_both_sides(void **state)
{
	json_t *root = vectors_load("swarm/noise-handshake.json"), *handshake = vectors_get(root, "handshake");
	struct side client, server;
	uint8_t secret[32];

	(void)state;
	set_up(&server, handshake, "server", "serverEphemeral", NULL);
	set_up(&client, handshake, "client", "clientEphemeral", server.public_key);
	pass(&client, &server, handshake, "payload1", "message1");
	pass(&server, &client, handshake, "payload2", "message2");
	hf_noise_split(&client.noise, &client.result);
	hf_noise_split(&server.noise, &server.result);
	vectors_expect(handshake, "clientTx", client.result.tx, 32);
	vectors_expect(handshake, "clientRx", client.result.rx, 32);
	vectors_expect(handshake, "handshakeHash", server.result.handshake_hash, 64);
	assert_memory_equal(server.result.remote_static, client.public_key, 32);
	hf_dht_holepunch_secret(secret, server.result.handshake_hash);
	vectors_expect(handshake, "holepunchSecret", secret, 32);
	json_decref(root);
}

/* ---- Kinds of addresses ---- */

static void test_kinds_of_addresses(void **state)
{
	static const struct {
		const char *text;
		bool is_private, is_reserved;
	} cases[] = {
		{"10.255.0.1:1", true, false}, {"100.63.255.255:1", false, false}, {"100.64.0.0:1", true, false}, {"100.127.1.1:1", true, false},
		{"127.0.0.1:1", true, false}, {"169.254.9.9:1", true, false}, {"172.15.0.1:1", false, false}, {"172.31.0.1:1", true, false},
		{"172.32.0.1:1", false, false}, {"192.168.1.1:1", true, false}, {"192.169.1.1:1", false, false}, {"0.1.2.3:1", false, true},
		{"192.0.0.9:1", false, true}, {"192.0.1.9:1", false, false}, {"192.0.2.9:1", false, true}, {"198.18.0.1:1", false, true},
		{"198.19.0.1:1", false, true}, {"198.20.0.1:1", false, false}, {"198.51.100.1:1", false, true}, {"203.0.113.1:1", false, true},
		{"224.0.0.1:1", false, true}, {"255.255.255.255:1", false, true}, {"8.8.8.8:1", false, false}, {"9.9.0.101:1", false, false},
		{"[2001:db8::1]:1", false, true},
	};
	struct hf_address address;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(hf_address_parse(cases[i].text, &address, NULL), HF_OK);
		assert_int_equal(hf_dht_address_is_private(&address), cases[i].is_private);
		assert_int_equal(hf_dht_address_is_reserved(&address), cases[i].is_reserved);
		assert_int_equal(hf_dht_address_is_bogon(&address), cases[i].is_private || cases[i].is_reserved);
	}
}

static void test_only_ipv4_is_written(void **state)
{
	struct hf_buffer bytes = {0};
	struct hf_dht_peer_handshake message = {.hop = HF_DHT_REPLY, .has_peer_address = true, .peer_address = {.ip = {0x20}, .port = 1}};

	(void)state;
	assert_int_equal(hf_dht_peer_handshake_encode(&message, &bytes), HF_EINVAL);
	hf_buffer_free(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_payloads_are_the_package_s_both_ways),
		cmocka_unit_test(test_another_version_is_told_and_nothing_else_read),
		cmocka_unit_test(test_lists_beyond_what_is_kept_are_read_and_forgotten),
		cmocka_unit_test(test_a_stream_id_has_32_bits),
		cmocka_unit_test(test_envelopes_are_the_package_s_both_ways),
		cmocka_unit_test(test_the_recorded_handshake_from_both_sides),
		cmocka_unit_test(test_kinds_of_addresses),
		cmocka_unit_test(test_only_ipv4_is_written),
	};

	return hf_crypto_init() == HF_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
