/* Records of HyperDHT: those of the package are read, and written byte for byte, and what is signed is what it signs. */
#include "dht_json.h"

#include "crypto/hash.h"
#include "wire/dht/record.h"

/* ---- Announces ---- */

static void check_announce(const json_t *item, enum hf_dht_command command)
{
	uint8_t target[32], id[32], token[32], secret_key[64], signable[HF_DHT_SIGNABLE_BYTES], signature[64], refresh[32];
	struct hf_buffer value = {0}, peer = {0}, written = {0};
	struct hf_dht_addresses relays;
	struct hf_dht_announce announce;
	bool has_refresh = json_has(item, "refresh");

	vectors_bytes(target, 32, item, "target");
	vectors_bytes(id, 32, item, "nodeId");
	vectors_bytes(token, 32, item, "token");
	vectors_bytes(secret_key, 64, item, "secretKey");
	if (has_refresh)
		vectors_bytes(refresh, 32, item, "refresh");
	json_addresses(item, "relayAddresses", &relays);
	assert_int_equal(hf_dht_announce_read(vectors_hex(&value, item, "value"), &announce), HF_OK);
	assert_true(announce.has_peer && announce.signature);
	assert_int_equal(announce.refresh != NULL, has_refresh);
	assert_int_equal(announce.bump, vectors_uint(item, "bump"));
	assert_int_equal(hf_dht_closer_count(announce.peer.relays), relays.count);
	vectors_expect(item, "publicKey", announce.peer.public_key, 32);
	vectors_expect(item, "peerEncoding", announce.peer.bytes.data, announce.peer.bytes.length);
	vectors_expect(item, "signature", announce.signature, 64);

	assert_int_equal(hf_dht_peer_write(secret_key + 32, relays.list, relays.count, &peer), HF_OK);
	vectors_expect(item, "peerEncoding", peer.data, peer.length);
	hf_dht_announce_signable(signable, command, target, id, token, hf_buffer_slice(&peer), has_refresh ? refresh : NULL);
	vectors_expect(item, "signable", signable, sizeof signable);
	hf_sign(signature, hf_slice(signable, sizeof signable), secret_key);
	announce.signature = signature;
	announce.peer.bytes = hf_buffer_slice(&peer);
	assert_int_equal(hf_dht_announce_write(&announce, &written), HF_OK);
	vectors_expect(item, "value", written.data, written.length);
	for (size_t cut = 0; cut < value.length; cut++)
		assert_int_equal(hf_dht_announce_read(hf_slice(value.data, cut), &announce), HF_EMALFORMED);
	hf_buffer_free(&value);
	hf_buffer_free(&peer);
	hf_buffer_free(&written);
}

static void test_announces_are_the_package_s(void **state)
{
	json_t *file = vectors_load("swarm/hyperdht-messages.json"), *item;
	size_t i;

	(void)state;
	json_array_foreach(vectors_array(file, "announce", 4), i, item)
		check_announce(item, HF_DHT_ANNOUNCE);
	json_array_foreach(vectors_array(file, "unannounce", 2), i, item)
		check_announce(item, HF_DHT_UNANNOUNCE);
	json_decref(file);
}

static void test_a_refresh_is_the_package_s(void **state)
{
	json_t *file = vectors_load("swarm/hyperdht-messages.json"), *item = vectors_get(file, "refreshOnly");
	struct hf_buffer value = {0}, written = {0};
	struct hf_dht_announce announce;

	(void)state;
	assert_int_equal(hf_dht_announce_read(vectors_hex(&value, item, "value"), &announce), HF_OK);
	assert_true(!announce.has_peer && !announce.signature && announce.refresh);
	vectors_expect(item, "preimage", announce.refresh, 32);
	assert_int_equal(hf_dht_announce_write(&announce, &written), HF_OK);
	vectors_expect(item, "value", written.data, written.length);
	hf_buffer_free(&value);
	hf_buffer_free(&written);
	json_decref(file);
}

/* ---- Peers and lookups ---- */

static void test_peers_are_the_package_s(void **state)
{
	json_t *file = vectors_load("swarm/hyperdht-messages.json"), *item;
	struct hf_buffer bytes = {0}, written = {0};
	struct hf_dht_addresses relays;
	struct hf_dht_peer peer;
	size_t i;

	(void)state;
	json_array_foreach(vectors_array(file, "peerRecord", 2), i, item) {
		assert_int_equal(hf_dht_peer_read(vectors_hex(&bytes, item, "hex"), &peer), HF_OK);
		vectors_expect(item, "publicKey", peer.public_key, 32);
		json_addresses(item, "relayAddresses", &relays);
		assert_int_equal(hf_dht_closer_count(peer.relays), relays.count);
		for (size_t k = 0; k < relays.count; k++) {
			struct hf_address relay = hf_dht_closer_at(peer.relays, k);
			assert_true(hf_address_equal(&relay, &relays.list[k]));
		}
		hf_buffer_clear(&written);
		assert_int_equal(hf_dht_peer_write(peer.public_key, relays.list, relays.count, &written), HF_OK);
		vectors_expect(item, "hex", written.data, written.length);
	}
	hf_buffer_free(&bytes);
	hf_buffer_free(&written);
	json_decref(file);
}

static void test_lookup_replies_are_the_package_s(void **state)
{
	json_t *file = vectors_load("swarm/hyperdht-messages.json"), *item, *peer;
	struct hf_buffer bytes = {0}, written = {0}, records = {0};
	struct hf_dht_lookup_reply reply;
	size_t i, k;

	(void)state;
	json_array_foreach(vectors_array(file, "lookupReply", 2), i, item) {
		json_t *peers = vectors_get(item, "peers");
		hf_buffer_clear(&records);
		assert_int_equal(hf_dht_lookup_reply_read(vectors_hex(&bytes, item, "hex"), &reply), HF_OK);
		assert_int_equal(reply.count, json_array_size(peers));
		assert_int_equal(reply.bump, vectors_uint(item, "bump"));
		json_array_foreach(peers, k, peer) {
			struct hf_buffer record = {0};
			assert_true(hf_slice_equal(reply.peers[k].bytes, vectors_from_hex(&record, json_string_value(peer))));
			assert_int_equal(hf_buffer_append(&records, record.data, record.length), HF_OK);
			hf_buffer_free(&record);
		}
		hf_buffer_clear(&written);
		assert_int_equal(hf_dht_lookup_reply_write(hf_buffer_slice(&records), reply.count, reply.bump, &written), HF_OK);
		vectors_expect(item, "hex", written.data, written.length);
	}
	/* Nodes of old do not say the bump. */
	assert_int_equal(hf_dht_lookup_reply_read(hf_slice("\0", 1), &reply), HF_OK);
	assert_int_equal(reply.bump, 0);
	hf_buffer_free(&bytes);
	hf_buffer_free(&written);
	hf_buffer_free(&records);
	json_decref(file);
}

static void test_of_many_peers_the_first_are_kept(void **state)
{
	struct hf_buffer bytes = {0};
	struct hf_dht_lookup_reply reply;
	uint8_t peer[HF_SIGN_PUBLIC_BYTES + 1] = {0};

	(void)state;
	assert_int_equal(hf_buffer_append(&bytes, &(uint8_t){HF_DHT_LOOKUP_PEERS_MAX + 3}, 1), HF_OK);
	for (unsigned i = 0; i < HF_DHT_LOOKUP_PEERS_MAX + 3; i++) {
		peer[0] = (uint8_t)i;
		assert_int_equal(hf_buffer_append(&bytes, peer, sizeof peer), HF_OK);
	}
	assert_int_equal(hf_buffer_append(&bytes, "\x09", 1), HF_OK);
	assert_int_equal(hf_dht_lookup_reply_read(hf_buffer_slice(&bytes), &reply), HF_OK);
	assert_int_equal(reply.count, HF_DHT_LOOKUP_PEERS_MAX);
	assert_int_equal(reply.peers[HF_DHT_LOOKUP_PEERS_MAX - 1].public_key[0], HF_DHT_LOOKUP_PEERS_MAX - 1);
	assert_int_equal(reply.bump, 9);
	hf_buffer_free(&bytes);
}

/* ---- Values ---- */

static void test_mutable_values_are_the_package_s(void **state)
{
	json_t *file = vectors_load("swarm/hyperdht-messages.json"), *item;
	struct hf_buffer bytes = {0}, value = {0}, written = {0};
	uint8_t signable[HF_DHT_SIGNABLE_BYTES];
	struct hf_dht_mutable put, kept;
	size_t i;

	(void)state;
	json_array_foreach(vectors_array(file, "mutable", 3), i, item) {
		assert_int_equal(hf_dht_mutable_put_read(vectors_hex(&bytes, item, "putRequestValue"), &put), HF_OK);
		vectors_expect(item, "publicKey", put.public_key, 32);
		vectors_expect(item, "signature", put.signature, 64);
		assert_int_equal(put.seq, vectors_uint(item, "seq"));
		assert_true(hf_slice_equal(put.value, vectors_hex(&value, item, "value")));
		hf_dht_mutable_signable(signable, put.seq, put.value);
		vectors_expect(item, "signable", signable, sizeof signable);
		assert_int_equal(hf_verify(put.signature, hf_slice(signable, sizeof signable), put.public_key), HF_OK);
		hf_buffer_clear(&written);
		assert_int_equal(hf_dht_mutable_put_write(&put, &written), HF_OK);
		vectors_expect(item, "putRequestValue", written.data, written.length);
		hf_buffer_clear(&written);
		assert_int_equal(hf_dht_mutable_write(&put, &written), HF_OK);
		vectors_expect(item, "getResponseValue", written.data, written.length);
		assert_int_equal(hf_dht_mutable_read(hf_buffer_slice(&written), &kept), HF_OK);
		assert_int_equal(kept.seq, put.seq);
		assert_true(hf_slice_equal(kept.value, put.value));
	}
	hf_buffer_free(&bytes);
	hf_buffer_free(&value);
	hf_buffer_free(&written);
	json_decref(file);
}

static void test_immutable_values_are_found_by_their_hash(void **state)
{
	json_t *file = vectors_load("swarm/hyperdht-messages.json"), *item;
	struct hf_buffer value = {0};
	uint8_t hash[32];
	size_t i;

	(void)state;
	json_array_foreach(vectors_array(file, "immutable", 2), i, item) {
		hf_blake2b(hash, sizeof hash, (struct hf_slice){0}, vectors_hex(&value, item, "value"));
		vectors_expect(item, "target", hash, sizeof hash);
	}
	hf_buffer_free(&value);
	json_decref(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_announces_are_the_package_s),
		cmocka_unit_test(test_a_refresh_is_the_package_s),
		cmocka_unit_test(test_peers_are_the_package_s),
		cmocka_unit_test(test_lookup_replies_are_the_package_s),
		cmocka_unit_test(test_of_many_peers_the_first_are_kept),
		cmocka_unit_test(test_mutable_values_are_the_package_s),
		cmocka_unit_test(test_immutable_values_are_found_by_their_hash),
	};

	if (hf_crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
