/* What peers say to each other through nodes of HyperDHT. The first byte chooses the decoder; what was read is written, read and written
 * again, and both writings are the same. Punches are sealed and opened as well; a NAT is judged from samples.
 *
 * Covers: src/wire/dht/address.c src/wire/dht/handshake.c src/wire/dht/holepunch.c src/wire/dht/nat.c
 */
#include "fuzz.h"

#include "wire/dht/holepunch.h"
#include "wire/dht/nat.h"

static const uint8_t secret[32] = {1}, nonce[24] = {2};

static void expect_same(struct hf_buffer *once, struct hf_buffer *again)
{
	FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(once), hf_buffer_slice(again)));
	hf_buffer_free(once);
	hf_buffer_free(again);
}

static void go_around_noise(struct hf_slice bytes)
{
	struct hf_buffer once = {0}, again = {0};
	struct hf_dht_noise_payload payload;

	if (hf_dht_noise_decode(bytes, &payload) != HF_OK || payload.version != HF_DHT_NOISE_VERSION)
		return;
	FUZZ_CHECK(hf_dht_noise_encode(&payload, &once) == HF_OK);
	FUZZ_CHECK(hf_dht_noise_decode(hf_buffer_slice(&once), &payload) == HF_OK);
	FUZZ_CHECK(hf_dht_noise_encode(&payload, &again) == HF_OK);
	expect_same(&once, &again);
	for (size_t i = 0; i < payload.addresses4.count; i++) {
		const struct hf_address *address = &payload.addresses4.list[i];
		FUZZ_CHECK(!(hf_dht_address_is_private(address) && hf_dht_address_is_reserved(address)));
		FUZZ_CHECK(hf_dht_address_is_bogon(address) == (hf_dht_address_is_private(address) || hf_dht_address_is_reserved(address)));
		FUZZ_CHECK(hf_dht_addresses_have(&payload.addresses4, address));
	}
}

static void go_around_handshake(struct hf_slice bytes)
{
	struct hf_buffer once = {0}, again = {0};
	struct hf_dht_peer_handshake message;

	if (hf_dht_peer_handshake_decode(bytes, &message) != HF_OK)
		return;
	FUZZ_CHECK(hf_dht_peer_handshake_encode(&message, &once) == HF_OK);
	FUZZ_CHECK(hf_dht_peer_handshake_decode(hf_buffer_slice(&once), &message) == HF_OK);
	FUZZ_CHECK(hf_dht_peer_handshake_encode(&message, &again) == HF_OK);
	expect_same(&once, &again);
}

static void go_around_holepunch(struct hf_slice bytes)
{
	struct hf_buffer once = {0}, again = {0};
	struct hf_dht_peer_holepunch message;

	if (hf_dht_peer_holepunch_decode(bytes, &message) != HF_OK)
		return;
	FUZZ_CHECK(hf_dht_peer_holepunch_encode(&message, &once) == HF_OK);
	FUZZ_CHECK(hf_dht_peer_holepunch_decode(hf_buffer_slice(&once), &message) == HF_OK);
	FUZZ_CHECK(hf_dht_peer_holepunch_encode(&message, &again) == HF_OK);
	expect_same(&once, &again);
}

static void go_around_punch(struct hf_slice bytes)
{
	struct hf_buffer once = {0}, again = {0};
	struct hf_dht_punch punch, opened;
	uint8_t token[32], same[32];

	if (hf_dht_punch_decode(bytes, &punch) != HF_OK)
		return;
	FUZZ_CHECK(hf_dht_punch_seal(&punch, nonce, secret, &once) == HF_OK);
	FUZZ_CHECK(hf_dht_punch_open(hf_buffer_slice(&once), secret, &opened) == HF_OK);
	FUZZ_CHECK(hf_dht_punch_seal(&opened, nonce, secret, &again) == HF_OK);
	expect_same(&once, &again);
	if (!punch.has_remote_address)
		return;
	hf_dht_punch_token(token, &punch.remote_address, secret);
	punch.remote_address.port++;
	hf_dht_punch_token(same, &punch.remote_address, secret);
	FUZZ_CHECK(memcmp(token, same, 32) == 0);
}

static void judge(struct hf_slice bytes)
{
	struct hf_dht_nat nat;
	unsigned hits = 0;

	hf_dht_nat_init(&nat, bytes.length == 0 || bytes.data[0] & 1);
	for (size_t i = 1; i + 1 < bytes.length; i += 2) {
		struct hf_address seen = hf_dht_address((const uint8_t[4]){1, 1, 1, bytes.data[i] >> 6}, bytes.data[i] & 7);
		struct hf_address node = hf_dht_address((const uint8_t[4]){9, 9, 9, 9}, bytes.data[i + 1]);
		hf_dht_nat_add(&nat, &seen, &node);
		FUZZ_CHECK(hf_dht_nat_knows_node(&nat, &node) || nat.sample_count == HF_DHT_NAT_SAMPLES_MAX);
		if (bytes.data[i] == 0xff)
			hf_dht_nat_freeze(&nat);
	}
	for (unsigned i = 0; i < nat.full_count; i++) {
		FUZZ_CHECK(i == 0 || nat.full[i].hits <= nat.full[i - 1].hits);
		hits += nat.full[i].hits;
	}
	FUZZ_CHECK(hits == nat.sample_count);
	FUZZ_CHECK(nat.firewall != HF_DHT_FIREWALL_CONSISTENT || (nat.addresses.count > 0 && hf_dht_nat_is_settled(&nat)));
	FUZZ_CHECK(hf_dht_firewall_is_consistent(nat.firewall) || nat.is_firewalled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const targets[])(struct hf_slice) = {
		go_around_noise, go_around_handshake, go_around_holepunch, go_around_punch, judge};
	struct hf_dht_punch punch;
	struct hf_noise noise;
	struct hf_noise_result result = {.tx = {0}};
	uint8_t derived[32], key[64] = {0};

	if (size == 0)
		return 0;
	struct hf_slice rest = hf_slice(data + 1, size - 1);
	if (data[0] < sizeof targets / sizeof *targets) {
		targets[data[0]](rest);
		return 0;
	}
	FUZZ_CHECK(hf_dht_punch_open(rest, secret, &punch) != HF_OK); /* nobody can seal by chance */
	hf_dht_handshake_init(&noise, key, NULL, NULL);
	FUZZ_CHECK(!hf_noise_is_sending(&noise) && !hf_noise_is_done(&noise));
	hf_noise_wipe(&noise);
	hf_dht_holepunch_secret(derived, result.handshake_hash);
	return 0;
}
