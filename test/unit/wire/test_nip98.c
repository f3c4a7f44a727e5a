/* nip98: which signed requests are taken, and that every way to be wrong is refused for its own reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/base64.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "support/fail_alloc.h"
#include "wire/nip98.h"

#define NOW_S 1700000000
#define URL "https://relay.example.org/api/admin/tokens/revoke?x=1"

static const uint8_t secret[32] = {[0] = 1, [31] = 7};

struct fixture {
	struct hf_env env;
	struct hf_schnorr *schnorr;
	struct hf_buffer field;
	struct hf_nip98 nip98;
};

static const struct hf_nip98_request usual = {.method = HF_SLICE_LITERAL("POST"), .url = HF_SLICE_LITERAL(URL),
	.body = HF_SLICE_LITERAL("{\"relayKey\":\"x\"}"), .now_s = NOW_S};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	hf_env_system(&f->env);
	assert_int_equal(hf_schnorr_new(&f->schnorr, &f->env, 0), HF_OK);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	hf_nip98_free(&f->nip98);
	hf_buffer_free(&f->field);
	hf_schnorr_free(f->schnorr);
	free(f);
	return 0;
}

static int make(struct fixture *f, const struct hf_nip98_request *request)
{
	hf_buffer_clear(&f->field);
	return hf_nip98_make(&f->field, f->schnorr, secret, request);
}

/* Exactly as long as the field, so that a sanitizer sees a byte read past it. */
static int parse_bytes(struct fixture *f, struct hf_slice field)
{
	uint8_t *copy = malloc(field.length + 1);
	memcpy(copy, field.data, field.length);
	uint8_t *exact = realloc(copy, field.length ? field.length : 1);
	hf_nip98_free(&f->nip98);
	int r = hf_nip98_parse(&f->nip98, hf_slice(exact, field.length));
	free(exact);
	return r;
}

static void take(struct fixture *f, const struct hf_nip98_request *request)
{
	assert_int_equal(make(f, request), HF_OK);
	assert_int_equal(parse_bytes(f, hf_buffer_slice(&f->field)), HF_OK);
}

static void assert_denied(struct fixture *f, const struct hf_nip98_request *request, const char *word)
{
	const char *reason = NULL;
	assert_int_equal(hf_nip98_check(&f->nip98, request, &reason), HF_EDENIED);
	assert_non_null(reason);
	if (!strstr(reason, word))
		fail_msg("\"%s\" does not tell of %s", reason, word);
}

static void test_what_was_made_for_a_request_lets_it_in(void **state)
{
	struct fixture *f = *state;
	const char *reason;
	uint8_t key[32];
	take(f, &usual);
	assert_int_equal(hf_nip98_check(&f->nip98, &usual, &reason), HF_OK);
	assert_int_equal(hf_nip98_verify(&f->nip98, f->schnorr), HF_OK);
	assert_int_equal(hf_schnorr_public_key(f->schnorr, key, secret), HF_OK);
	assert_memory_equal(f->nip98.event.pubkey, key, 32);
	f->nip98.event.sig[5] ^= 1;
	assert_int_equal(hf_nip98_verify(&f->nip98, f->schnorr), HF_EBADSIG);
}

static void test_a_request_without_a_body_needs_no_payload(void **state)
{
	struct fixture *f = *state;
	struct hf_nip98_request request = usual;
	struct hf_slice value;
	const char *reason;
	request.method = HF_SLICE_LITERAL("GET");
	request.body = (struct hf_slice){0};
	take(f, &request);
	assert_false(hf_event_find_tag(&f->nip98.event, "payload", &value));
	assert_int_equal(hf_nip98_check(&f->nip98, &request, &reason), HF_OK);
	request.body = HF_SLICE_LITERAL("{}");
	assert_denied(f, &request, "body");
}

static void test_another_request_is_refused(void **state)
{
	struct fixture *f = *state;
	struct hf_nip98_request other = usual;
	take(f, &usual);
	other.url = HF_SLICE_LITERAL("https://relay.example.org/api/admin/tokens/revoke?x=2");
	assert_denied(f, &other, "URL");
	other.url = HF_SLICE_LITERAL("https://relay.example.org/api/admin/tokens/revoke");
	assert_denied(f, &other, "URL");
	other = usual;
	other.method = HF_SLICE_LITERAL("GET");
	assert_denied(f, &other, "method");
	other = usual;
	other.body = HF_SLICE_LITERAL("{\"relayKey\":\"y\"}");
	assert_denied(f, &other, "body");
}

static void test_time_is_within_a_minute_both_ways(void **state)
{
	struct fixture *f = *state;
	struct hf_nip98_request later = usual;
	const char *reason;
	take(f, &usual);
	later.now_s = NOW_S + 60;
	assert_int_equal(hf_nip98_check(&f->nip98, &later, &reason), HF_OK);
	later.now_s = NOW_S + 61;
	assert_denied(f, &later, "created_at");
	later.now_s = NOW_S - 60;
	assert_int_equal(hf_nip98_check(&f->nip98, &later, &reason), HF_OK);
	later.now_s = NOW_S - 61;
	assert_denied(f, &later, "created_at");
}

/* An event with its hash right, in a field. */
static void put_event(struct fixture *f, unsigned kind, const char *tags, const char *after)
{
	struct hf_buffer text = {0}, object = {0};
	uint8_t hash[32];
	char id[65] = {0}, key[65], sig[129];
	memset(key, 'a', 64);
	memset(sig, 'b', 128);
	key[64] = sig[128] = 0;
	hf_buffer_printf(&text, "[0,\"%s\",%d,%u,%s,\"\"]", key, NOW_S, kind, tags);
	hf_sha256(hash, hf_buffer_slice(&text));
	hf_hex_encode(id, hash, 32);
	hf_buffer_printf(&object, "{\"id\":\"%s\",\"pubkey\":\"%s\",\"created_at\":%d,\"kind\":%u,\"tags\":%s,\"content\":\"\",\"sig\":\"%s\"}%s", id,
		key, NOW_S, kind, tags, sig, after);
	hf_buffer_clear(&f->field);
	hf_buffer_append_text(&f->field, "Nostr ");
	hf_buffer_reserve(&f->field, HF_BASE64_ENCODED_BYTES(object.length));
	f->field.length += hf_base64_encode(f->field.data + f->field.length, object.data, object.length);
	hf_buffer_free(&text);
	hf_buffer_free(&object);
}

static void test_events_of_other_kinds_or_without_tags_are_refused(void **state)
{
	static const char all[] = "[[\"u\",\"" URL "\"],[\"method\",\"POST\"]]";
	struct fixture *f = *state;
	struct hf_nip98_request request = usual;
	const char *reason;
	request.body = (struct hf_slice){0};
	put_event(f, 27235, all, "");
	assert_int_equal(parse_bytes(f, hf_buffer_slice(&f->field)), HF_OK);
	assert_int_equal(hf_nip98_check(&f->nip98, &request, &reason), HF_OK);
	assert_int_equal(hf_nip98_verify(&f->nip98, f->schnorr), HF_EBADSIG);
	put_event(f, 22242, all, "");
	assert_int_equal(parse_bytes(f, hf_buffer_slice(&f->field)), HF_OK);
	assert_denied(f, &request, "kind");
	put_event(f, 27235, "[[\"u\",\"" URL "\"],[\"method\",\"post\"]]", "");
	assert_int_equal(parse_bytes(f, hf_buffer_slice(&f->field)), HF_OK);
	assert_int_equal(hf_nip98_check(&f->nip98, &request, &reason), HF_OK);
	put_event(f, 27235, "[[\"u\",\"" URL "\"],[\"method\",\"POS\"]]", "");
	assert_int_equal(parse_bytes(f, hf_buffer_slice(&f->field)), HF_OK);
	assert_denied(f, &request, "method");
	put_event(f, 27235, "[[\"method\",\"POST\"]]", "");
	assert_int_equal(parse_bytes(f, hf_buffer_slice(&f->field)), HF_OK);
	assert_denied(f, &request, "URL");
	put_event(f, 27235, "[[\"u\",\"" URL "\"]]", "");
	assert_int_equal(parse_bytes(f, hf_buffer_slice(&f->field)), HF_OK);
	assert_denied(f, &request, "method");
}

static void test_fields_that_are_no_signed_request(void **state)
{
	struct fixture *f = *state;
	static char long_one[HF_NIP98_FIELD_BYTES_MAX + 8];
	memset(long_one, 'A', sizeof long_one);
	memcpy(long_one, "Nostr ", 6);
	assert_int_equal(parse_bytes(f, HF_SLICE_LITERAL("")), HF_EINVAL);
	assert_int_equal(parse_bytes(f, HF_SLICE_LITERAL("Nost")), HF_EINVAL);
	assert_int_equal(parse_bytes(f, HF_SLICE_LITERAL("Bearer abcd")), HF_EINVAL);
	assert_int_equal(parse_bytes(f, HF_SLICE_LITERAL("Nostr ")), HF_EMALFORMED);
	assert_int_equal(parse_bytes(f, HF_SLICE_LITERAL("Nostr abc")), HF_EMALFORMED);
	assert_int_equal(parse_bytes(f, HF_SLICE_LITERAL("Nostr e30=")), HF_EMALFORMED); /* {} */
	assert_int_equal(parse_bytes(f, hf_slice(long_one, sizeof long_one)), HF_ETOOBIG);
	put_event(f, 27235, "[]", " ");
	assert_int_equal(parse_bytes(f, hf_buffer_slice(&f->field)), HF_OK);
	put_event(f, 27235, "[]", "{}");
	assert_int_equal(parse_bytes(f, hf_buffer_slice(&f->field)), HF_EMALFORMED);
	take(f, &usual);
	f->field.data[0] = 'n'; /* schemes are without regard to case */
	assert_int_equal(parse_bytes(f, hf_buffer_slice(&f->field)), HF_OK);
}

static void test_what_cannot_be_signed(void **state)
{
	struct fixture *f = *state;
	static const uint8_t zero[32];
	struct hf_nip98_request request = usual;
	request.url = HF_SLICE_LITERAL("https://x/\"");
	assert_int_equal(make(f, &request), HF_EINVAL);
	request.url = HF_SLICE_LITERAL("https://x/ y");
	assert_int_equal(make(f, &request), HF_EINVAL);
	request = usual;
	request.method = HF_SLICE_LITERAL("");
	assert_int_equal(make(f, &request), HF_EINVAL);
	assert_int_equal(hf_nip98_make(&f->field, f->schnorr, zero, &usual), HF_EINVAL);
}

static void test_short_of_memory(void **state)
{
	struct fixture *f = *state;
	int r = HF_ENOMEM;
	for (uint64_t n = 1; r != HF_OK && n < 100; n++) {
		hf_buffer_free(&f->field);
		fail_alloc_arm(n, false);
		r = hf_nip98_make(&f->field, f->schnorr, secret, &usual);
		fail_alloc_disarm();
		assert_true(r == HF_OK || r == HF_ENOMEM);
	}
	assert_int_equal(r, HF_OK);
	fail_alloc_arm(1, false);
	r = hf_nip98_parse(&f->nip98, hf_buffer_slice(&f->field));
	assert_true(fail_alloc_disarm());
	assert_int_equal(r, HF_ENOMEM);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_was_made_for_a_request_lets_it_in),
		TEST(test_a_request_without_a_body_needs_no_payload),
		TEST(test_another_request_is_refused),
		TEST(test_time_is_within_a_minute_both_ways),
		TEST(test_events_of_other_kinds_or_without_tags_are_refused),
		TEST(test_fields_that_are_no_signed_request),
		TEST(test_what_cannot_be_signed),
		TEST(test_short_of_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
