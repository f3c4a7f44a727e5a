/* Announcements of gateways: those of the first generation byte for byte, what is believed of them, and who follows whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/compact.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "support/vectors.h"
#include "wire/announcement.h"

#define NOW_MS UINT64_C(1700000000000)

static json_t *vector;
static uint8_t keys[4][32], secrets[4][64];

static void from_hex(const char *text, struct hf_buffer *out)
{
	assert_int_equal(hf_buffer_reserve(out, strlen(text) / 2), HF_OK);
	assert_true(hf_hex_decode(out->data, text, strlen(text) / 2));
	out->length = strlen(text) / 2;
}

static struct hf_announcement read_vector(struct hf_buffer *bytes)
{
	struct hf_announcement a;
	from_hex(vectors_text(vector, "encodedHex"), bytes);
	assert_int_equal(hf_announcement_decode(hf_buffer_slice(bytes), &a), HF_OK);
	return a;
}

static void expect_hex(const void *bytes, size_t length, const json_t *object, const char *name)
{
	char text[129] = {0};
	hf_hex_encode(text, bytes, length);
	assert_string_equal(text, vectors_text(object, name));
}

static void test_the_package_s_announcement_is_read_and_written_byte_for_byte(void **state)
{
	const json_t *fields = vectors_get(vector, "fields");
	struct hf_buffer bytes = {0}, again = {0};
	struct hf_announcement a = read_vector(&bytes);
	assert_int_equal(json_object_size(fields), 26);
	expect_hex(a.gateway_key, 32, fields, "gatewayId");
	expect_hex(a.signature_key, 32, fields, "signatureKey");
	expect_hex(a.signature, 64, fields, "signature");
	expect_hex(a.relay_key, 32, fields, "relayKey");
	expect_hex(a.relay_discovery_key, 32, fields, "relayDiscoveryKey");
	assert_string_equal(a.ws_url, vectors_text(fields, "wsUrl"));
	assert_string_equal(a.public_url, vectors_text(fields, "publicUrl"));
	assert_string_equal(a.secret_url, vectors_text(fields, "secretUrl"));
	assert_string_equal(a.secret_hash, vectors_text(fields, "secretHash"));
	assert_string_equal(a.secret_version, vectors_text(fields, "sharedSecretVersion"));
	assert_string_equal(a.display_name, "GW");
	assert_string_equal(a.region, "eu");
	assert_string_equal(a.replication_topic, "");
	assert_true(a.is_open && a.has_relay_key && a.has_relay_discovery_key && !a.has_extension);
	assert_true(a.timestamp_ms == NOW_MS && a.ttl_s == 60 && a.protocol_version == 1 && a.token_ttl_s == 3600 && a.token_refresh_window_s == 300);
	assert_true(a.max_concurrent == 3 && a.in_flight_weight == 25 && a.latency_weight == 1 && a.failure_weight == 500);
	assert_true(a.reassign_lag_blocks == 500 && a.breaker_threshold == 5 && a.breaker_timeout_ms == 60000);
	assert_int_equal(hf_announcement_encode(&a, &again), HF_OK);
	assert_int_equal(again.length, json_integer_value(json_object_get(vector, "encodedLength")));
	assert_true(hf_slice_equal(hf_buffer_slice(&bytes), hf_buffer_slice(&again)));
	hf_buffer_free(&bytes);
	hf_buffer_free(&again);
}

static void test_its_signature_is_checked_and_made_again(void **state)
{
	struct hf_buffer bytes = {0};
	struct hf_announcement a = read_vector(&bytes);
	const char *seed_text = vectors_text(vector, "keySeed");
	uint8_t seed[32], key[32], secret[64], signature[64];
	assert_int_equal(hf_announcement_check(&a, NOW_MS, false), HF_ANNOUNCEMENT_TAKEN);
	hf_sha256(seed, hf_slice_text(seed_text));
	hf_sign_keypair_from_seed(key, secret, seed);
	memcpy(signature, a.signature, sizeof signature);
	memset(a.signature, 0, sizeof a.signature);
	assert_int_equal(hf_announcement_check(&a, NOW_MS, false), HF_ANNOUNCEMENT_BAD_SIGNATURE);
	assert_int_equal(hf_announcement_sign(&a, secret), HF_OK);
	assert_memory_equal(a.signature, signature, sizeof signature);
	hf_buffer_free(&bytes);
}

static struct hf_announcement make(void)
{
	struct hf_announcement a = {.timestamp_ms = NOW_MS, .ttl_s = 60, .protocol_version = 1, .has_extension = true, .has_relay_key = true,
		.relay_key = {7}, .token_ttl_s = 3600};
	snprintf(a.ws_url, sizeof a.ws_url, "wss://gateway.example");
	snprintf(a.public_url, sizeof a.public_url, "https://gateway.example");
	snprintf(a.display_name, sizeof a.display_name, "The \"village\" \\ gateway, für alle");
	return a;
}

static void test_who_signs_for_another_key_is_not_believed(void **state)
{
	struct hf_announcement a = make();
	struct hf_buffer text = {0};
	a.has_extension = false;
	memcpy(a.gateway_key, keys[0], 32);
	memcpy(a.signature_key, keys[1], 32);
	assert_int_equal(hf_announcement_signed_text(&a, &text), HF_OK);
	hf_sign(a.signature, hf_buffer_slice(&text), secrets[1]);
	assert_int_equal(hf_announcement_check(&a, NOW_MS, false), HF_ANNOUNCEMENT_KEYS_DIFFER);
	assert_int_equal(hf_announcement_check(&a, NOW_MS, true), HF_ANNOUNCEMENT_TAKEN); /* as the first generation does */
	a.signature[5] ^= 1;
	assert_int_equal(hf_announcement_check(&a, NOW_MS, true), HF_ANNOUNCEMENT_BAD_SIGNATURE);
	hf_buffer_free(&text);
}

static enum hf_announcement_refusal check_signed(struct hf_announcement *a, uint64_t now_ms)
{
	assert_int_equal(hf_announcement_sign(a, secrets[0]), HF_OK);
	return hf_announcement_check(a, now_ms, false);
}

static void test_times_and_addresses_have_bounds(void **state)
{
	static const char *const bad[] = {"", "https://x", "wss://", "wss:///path", "wss://:80", "wss://a b", "wss://a\"b", "wss://u@host", "file:///x"};
	struct hf_announcement a = make();
	assert_int_equal(check_signed(&a, NOW_MS), HF_ANNOUNCEMENT_TAKEN);
	assert_int_equal(check_signed(&a, NOW_MS + 60000 + HF_ANNOUNCEMENT_SKEW_MS), HF_ANNOUNCEMENT_TAKEN);
	assert_int_equal(check_signed(&a, NOW_MS + 60001 + HF_ANNOUNCEMENT_SKEW_MS), HF_ANNOUNCEMENT_EXPIRED);
	assert_int_equal(check_signed(&a, NOW_MS - HF_ANNOUNCEMENT_SKEW_MS), HF_ANNOUNCEMENT_TAKEN);
	assert_int_equal(check_signed(&a, NOW_MS - HF_ANNOUNCEMENT_SKEW_MS - 1), HF_ANNOUNCEMENT_FROM_FUTURE);
	a.ttl_s = 0;
	assert_int_equal(check_signed(&a, NOW_MS), HF_ANNOUNCEMENT_BAD_TTL);
	a.ttl_s = HF_ANNOUNCEMENT_TTL_S_MAX + 1;
	assert_int_equal(check_signed(&a, NOW_MS), HF_ANNOUNCEMENT_BAD_TTL);
	a.ttl_s = 60;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(a.ws_url, sizeof a.ws_url, "%s", bad[i]);
		assert_int_equal(check_signed(&a, NOW_MS), HF_ANNOUNCEMENT_BAD_URL);
	}
	snprintf(a.ws_url, sizeof a.ws_url, "ws://[::1]:7777/path");
	assert_int_equal(check_signed(&a, NOW_MS), HF_ANNOUNCEMENT_TAKEN);
	snprintf(a.secret_url, sizeof a.secret_url, "gopher://x");
	assert_int_equal(check_signed(&a, NOW_MS), HF_ANNOUNCEMENT_BAD_URL);
}

static void test_one_that_is_cut_short_anywhere_is_never_believed(void **state)
{
	struct hf_announcement a = make(), b;
	struct hf_buffer bytes = {0};
	size_t taken = 0;
	assert_int_equal(hf_announcement_add_predecessor(&a, secrets[1], keys[0], NOW_MS), HF_OK);
	assert_int_equal(check_signed(&a, NOW_MS), HF_ANNOUNCEMENT_TAKEN);
	assert_int_equal(hf_announcement_encode(&a, &bytes), HF_OK);
	for (size_t length = 0; length < bytes.length; length++)
		if (hf_announcement_decode(hf_slice(bytes.data, length), &b) == HF_OK && hf_announcement_check(&b, NOW_MS, false) == HF_ANNOUNCEMENT_TAKEN) {
			assert_true(b.predecessor_count == 0 && b.token_ttl_s == 3600); /* without its extension it is one of the first generation */
			taken++;
		}
	assert_in_range(taken, 1, 20);
	assert_int_equal(hf_announcement_decode(hf_buffer_slice(&bytes), &b), HF_OK);
	assert_int_equal(hf_announcement_check(&b, NOW_MS, false), HF_ANNOUNCEMENT_TAKEN);
	assert_int_equal(b.predecessor_count, 1);
	hf_buffer_append_text(&bytes, "what later versions add");
	assert_int_equal(hf_announcement_decode(hf_buffer_slice(&bytes), &b), HF_OK);
	assert_int_equal(hf_announcement_check(&b, NOW_MS, false), HF_ANNOUNCEMENT_TAKEN);
	hf_buffer_free(&bytes);
}

static void test_every_changed_byte_is_noticed(void **state)
{
	struct hf_announcement a = make(), b;
	struct hf_buffer bytes = {0};
	assert_int_equal(hf_announcement_add_predecessor(&a, secrets[1], keys[0], NOW_MS), HF_OK);
	assert_int_equal(check_signed(&a, NOW_MS), HF_ANNOUNCEMENT_TAKEN);
	assert_int_equal(hf_announcement_encode(&a, &bytes), HF_OK);
	for (size_t i = 0; i < bytes.length; i++) {
		uint64_t since_ms;
		bytes.data[i] ^= 1;
		/* A name of the extension that is not ours is somebody else's: nobody is followed then. */
		if (hf_announcement_decode(hf_buffer_slice(&bytes), &b) == HF_OK && hf_announcement_check(&b, NOW_MS, false) == HF_ANNOUNCEMENT_TAKEN)
			assert_false(hf_announcement_succeeds(&b, keys[1], &since_ms));
		bytes.data[i] ^= 1;
	}
	hf_buffer_free(&bytes);
}

static void test_a_gateway_is_followed_only_by_the_word_of_its_old_key(void **state)
{
	struct hf_announcement a = make(), b;
	struct hf_buffer bytes = {0};
	uint64_t since_ms = 0;
	assert_int_equal(hf_announcement_add_predecessor(&a, secrets[1], keys[0], 5), HF_OK);
	assert_int_equal(hf_announcement_add_predecessor(&a, secrets[2], keys[3], 6), HF_OK); /* it goes on under another key than this */
	assert_int_equal(check_signed(&a, NOW_MS), HF_ANNOUNCEMENT_TAKEN);
	assert_int_equal(hf_announcement_encode(&a, &bytes), HF_OK);
	assert_int_equal(hf_announcement_decode(hf_buffer_slice(&bytes), &b), HF_OK);
	assert_true(hf_announcement_succeeds(&b, keys[1], &since_ms));
	assert_int_equal(since_ms, 5);
	assert_false(hf_announcement_succeeds(&b, keys[2], &since_ms));
	assert_false(hf_announcement_succeeds(&b, keys[3], &since_ms));
	b.predecessors[0].since_ms++;
	assert_false(hf_announcement_succeeds(&b, keys[1], &since_ms));
	while (a.predecessor_count < HF_ANNOUNCEMENT_PREDECESSOR_COUNT_MAX)
		assert_int_equal(hf_announcement_add_predecessor(&a, secrets[1], keys[0], 5), HF_OK);
	assert_int_equal(hf_announcement_add_predecessor(&a, secrets[1], keys[0], 5), HF_ETOOBIG);
	hf_buffer_free(&bytes);
}

static void test_texts_and_sizes_have_bounds(void **state)
{
	static uint8_t big[HF_ANNOUNCEMENT_BYTES_MAX + 1];
	static const char *const bad[] = {"a\nb", "\x1b[31m", "\x7f", "\xc2\x85", "\xff", "\xed\xa0\x80"};
	struct hf_announcement a = make(), b;
	struct hf_buffer bytes = {0};
	assert_int_equal(hf_announcement_decode(hf_slice(big, sizeof big), &b), HF_ETOOBIG);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(a.display_name, sizeof a.display_name, "%s", bad[i]);
		hf_buffer_clear(&bytes);
		assert_int_equal(hf_announcement_encode(&a, &bytes), HF_OK);
		assert_int_equal(hf_announcement_decode(hf_buffer_slice(&bytes), &b), HF_EMALFORMED);
	}
	hf_buffer_clear(&bytes);
	struct hf_compact_writer out = hf_compact_writer(&bytes);
	hf_compact_write_buffer(&out, HF_SLICE_LITERAL("1111111111111111111111111111111111111111111111111111111111111111"));
	hf_compact_write_uint(&out, NOW_MS);
	hf_compact_write_uint(&out, 60);
	hf_compact_write_buffer(&out, hf_slice(big, HF_ANNOUNCEMENT_URL_BYTES_MAX + 1));
	assert_int_equal(hf_announcement_decode(hf_buffer_slice(&bytes), &b), HF_ETOOBIG);
	hf_buffer_free(&bytes);
	for (unsigned i = 0; i < HF_ANNOUNCEMENT_REFUSAL_COUNT; i++)
		assert_non_null(hf_announcement_refusal_name(i));
	assert_null(hf_announcement_refusal_name(HF_ANNOUNCEMENT_REFUSAL_COUNT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_package_s_announcement_is_read_and_written_byte_for_byte),
		cmocka_unit_test(test_its_signature_is_checked_and_made_again),
		cmocka_unit_test(test_who_signs_for_another_key_is_not_believed),
		cmocka_unit_test(test_times_and_addresses_have_bounds),
		cmocka_unit_test(test_one_that_is_cut_short_anywhere_is_never_believed),
		cmocka_unit_test(test_every_changed_byte_is_noticed),
		cmocka_unit_test(test_a_gateway_is_followed_only_by_the_word_of_its_old_key),
		cmocka_unit_test(test_texts_and_sizes_have_bounds),
	};
	json_t *all = vectors_load("gateway-auth.json");
	vector = vectors_get(all, "announcement");
	hf_crypto_init();
	for (uint8_t i = 0; i < 4; i++) {
		uint8_t seed[32] = {i};
		hf_sign_keypair_from_seed(keys[i], secrets[i], seed);
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	json_decref(all);
	return failed;
}
