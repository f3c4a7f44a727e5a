/* What is said when somebody joins a relay, and what the challenges allow. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/hex.h"
#include "crypto/hash.h"
#include "crypto/schnorr.h"
#include "service/worker/join_message.h"
#include "support/fail_alloc.h"
#include "support/vectors.h"

#define NOW_US UINT64_C(5000000)
#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct hf_env env;

/* ---- Challenges ---- */

static struct hf_challenge_owner owner_of(unsigned user, unsigned peer)
{
	struct hf_challenge_owner owner = {.event_id = {(uint8_t)user, 1}, .relay = 1};
	memcpy(owner.pubkey, &user, sizeof user);
	memcpy(owner.peer, &peer, sizeof peer);
	return owner;
}

static const struct hf_challenge *give(struct hf_challenges *c, unsigned user, unsigned peer, uint64_t now_us)
{
	const struct hf_challenge_owner owner = owner_of(user, peer);
	const struct hf_challenge *challenge = NULL;
	return hf_challenges_give(c, &owner, now_us, &challenge) == HF_OK ? challenge : NULL;
}

static const struct hf_challenge *try(struct hf_challenges *c, unsigned user, unsigned peer, uint64_t now_us)
{
	const struct hf_challenge_owner owner = owner_of(user, peer);
	return hf_challenges_try(c, owner.pubkey, owner.peer, now_us);
}

static void test_a_challenge_is_good_for_five_attempts(void **state)
{
	struct hf_challenges *c;
	assert_int_equal(hf_challenges_new(&c, &env), HF_OK);
	assert_non_null(give(c, 1, 1, NOW_US));
	for (unsigned i = 0; i < HF_CHALLENGE_ATTEMPT_COUNT_MAX; i++)
		assert_non_null(try(c, 1, 1, NOW_US));
	assert_null(try(c, 1, 1, NOW_US));
	assert_int_equal(hf_challenges_count(c), 0);
	hf_challenges_free(c);
}

static void test_a_challenge_expires_and_is_swept(void **state)
{
	struct hf_challenges *c;
	assert_int_equal(hf_challenges_new(&c, &env), HF_OK);
	assert_non_null(give(c, 1, 1, NOW_US));
	assert_non_null(give(c, 2, 1, NOW_US + 10));
	assert_non_null(try(c, 1, 1, NOW_US + HF_CHALLENGE_TTL_US - 1));
	assert_null(try(c, 1, 1, NOW_US + HF_CHALLENGE_TTL_US));
	hf_challenges_sweep(c, NOW_US + HF_CHALLENGE_TTL_US);
	assert_int_equal(hf_challenges_count(c), 1);
	hf_challenges_sweep(c, NOW_US + 10 + HF_CHALLENGE_TTL_US);
	assert_int_equal(hf_challenges_count(c), 0);
	hf_challenges_free(c);
}

static void test_a_challenge_that_was_met_is_none_any_more(void **state)
{
	struct hf_challenges *c;
	const struct hf_challenge_owner owner = owner_of(1, 1), other = owner_of(2, 1);
	assert_int_equal(hf_challenges_new(&c, &env), HF_OK);
	assert_non_null(give(c, 1, 1, NOW_US));
	hf_challenges_end(c, other.pubkey);
	assert_int_equal(hf_challenges_count(c), 1);
	hf_challenges_end(c, owner.pubkey);
	assert_null(try(c, 1, 1, NOW_US));
	hf_challenges_free(c);
}

static void test_another_peer_neither_answers_nor_counts(void **state)
{
	struct hf_challenges *c;
	assert_int_equal(hf_challenges_new(&c, &env), HF_OK);
	assert_non_null(give(c, 1, 1, NOW_US));
	for (unsigned i = 0; i < 2 * HF_CHALLENGE_ATTEMPT_COUNT_MAX; i++)
		assert_null(try(c, 1, 2, NOW_US));
	assert_non_null(try(c, 1, 1, NOW_US));
	hf_challenges_free(c);
}

static void test_a_key_has_one_challenge_and_a_request_the_same_again(void **state)
{
	struct hf_challenges *c;
	struct hf_challenge_owner owner = owner_of(1, 1);
	char first[HF_CHALLENGE_TEXT_BYTES];
	assert_int_equal(hf_challenges_new(&c, &env), HF_OK);
	strcpy(first, give(c, 1, 1, NOW_US)->text);
	assert_int_equal(hf_hex_run(first, 64), 64);
	assert_string_equal(hf_challenges_given(c, &owner, NOW_US)->text, first);
	owner.relay = 2;
	assert_null(hf_challenges_given(c, &owner, NOW_US));
	owner.relay = 1;
	owner.event_id[1] = 2;
	assert_null(hf_challenges_given(c, &owner, NOW_US));
	assert_string_not_equal(give(c, 1, 1, NOW_US)->text, first);
	assert_int_equal(hf_challenges_count(c), 1);
	hf_challenges_free(c);
}

static void test_challenges_are_bounded_by_peer_and_in_all(void **state)
{
	struct hf_challenges *c;
	assert_int_equal(hf_challenges_new(&c, &env), HF_OK);
	for (unsigned i = 0; i < HF_CHALLENGE_PEER_COUNT_MAX; i++)
		assert_non_null(give(c, i, 1, NOW_US));
	assert_null(give(c, HF_CHALLENGE_PEER_COUNT_MAX, 1, NOW_US));
	for (unsigned i = HF_CHALLENGE_PEER_COUNT_MAX; i < HF_CHALLENGE_COUNT_MAX; i++)
		assert_non_null(give(c, i, i, NOW_US));
	assert_null(give(c, HF_CHALLENGE_COUNT_MAX, HF_CHALLENGE_COUNT_MAX, NOW_US));
	assert_non_null(give(c, HF_CHALLENGE_COUNT_MAX, 1, NOW_US + HF_CHALLENGE_TTL_US)); /* the old ones have gone */
	assert_int_equal(hf_challenges_count(c), 1);
	hf_challenges_free(c);
}

/* ---- Bodies for the host ---- */

/* An event whose id is right, with kind and tags as given; the signature is nothing. */
static void make_event(struct hf_buffer *out, unsigned kind, const char *tags)
{
	struct hf_buffer text = {0};
	uint8_t id[32];
	char hex[65] = {0};
	assert_int_equal(hf_buffer_printf(&text, "[0,\"" HEX64 "\",1700000000,%u,%s,\"\"]", kind, tags), HF_OK);
	hf_sha256(id, hf_buffer_slice(&text));
	hf_hex_encode(hex, id, 32);
	hf_buffer_clear(out);
	assert_int_equal(hf_buffer_printf(out, "{\"id\":\"%s\",\"pubkey\":\"" HEX64 "\",\"created_at\":1700000000,\"kind\":%u,\"tags\":%s,"
		"\"content\":\"\",\"sig\":\"" HEX64 HEX64 "\"}", hex, kind, tags), HF_OK);
	hf_buffer_free(&text);
}

static int parse_request(struct hf_slice body, const char *refusal_expected)
{
	struct hf_join_request request;
	const char *refusal;
	int r = hf_join_request_parse(&request, body, &refusal);
	if (refusal_expected)
		assert_string_equal(refusal, refusal_expected);
	hf_join_request_free(&request);
	return r;
}

static void test_a_request_is_an_event_of_its_kind(void **state)
{
	struct hf_buffer event = {0}, body = {0};
	struct hf_join_request request;
	struct hf_slice value;
	const char *refusal;
	make_event(&event, 9021, "[[\"h\",\"npub1x:club\"]]");
	assert_int_equal(hf_join_request_make(hf_buffer_slice(&event), &body), HF_OK);
	assert_int_equal(hf_join_request_parse(&request, hf_buffer_slice(&body), &refusal), HF_OK);
	assert_true(hf_event_find_tag(&request.event, "h", &value) && hf_slice_equal(value, HF_SLICE_LITERAL("npub1x:club")));
	hf_join_request_free(&request);
	make_event(&event, 9022, "[]");
	hf_buffer_clear(&body);
	assert_int_equal(hf_join_request_make(hf_buffer_slice(&event), &body), HF_OK);
	assert_int_equal(parse_request(hf_buffer_slice(&body), "Invalid event kind"), HF_EINVAL);
	body.data[20] = body.data[20] == '0' ? '1' : '0'; /* within its id */
	assert_true(parse_request(hf_buffer_slice(&body), "Invalid event") < 0);
	hf_buffer_free(&event);
	hf_buffer_free(&body);
}

static void test_a_request_that_is_none_is_refused(void **state)
{
	static const char *const bodies[] = {"{}", "{\"event\":null}", "{\"event\":\"x\"}", "[]", "", "{\"event\":{}} x", "{\"event\":{}",
		"{\"a\":1}"};
	struct hf_buffer large = {0};
	for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
		assert_true(parse_request(hf_slice_text(bodies[i]), NULL) < 0);
	assert_int_equal(parse_request(HF_SLICE_LITERAL("{\"other\":[1,{\"event\":2}]}"), "Missing required fields"), HF_EINVAL);
	assert_int_equal(hf_buffer_reserve(&large, HF_JOIN_BODY_BYTES_MAX + 1), HF_OK);
	memset(large.data, ' ', large.length = HF_JOIN_BODY_BYTES_MAX + 1);
	assert_int_equal(parse_request(hf_buffer_slice(&large), NULL), HF_ETOOBIG);
	hf_buffer_free(&large);
}

/* The vector's proof, with its parts replaced where they are given. */
static bool meets_vector(const json_t *join, const char *ciphertext, const char *iv, const char *challenge, bool accepts_variant)
{
	struct hf_buffer body = {0};
	struct hf_join_proof proof;
	static const uint8_t host[32];
	uint8_t key[32];
	vectors_bytes(key, sizeof key, join, "sharedSecretX");
	assert_int_equal(hf_buffer_printf(&body, "{\"pubkey\":\"%s\",\"ciphertext\":\"%s\",\"iv\":\"%s\"}", vectors_text(join, "userPubXonly"),
		ciphertext ? ciphertext : vectors_text(join, "ciphertextBase64"), iv ? iv : vectors_text(join, "ivBase64")), HF_OK);
	assert_int_equal(hf_join_proof_parse(&proof, hf_buffer_slice(&body)), HF_OK);
	hf_buffer_free(&body);
	return hf_join_proof_meets(&proof, challenge ? challenge : vectors_text(join, "challengeHexString"), key, host, accepts_variant);
}

static void test_the_vectors_proof_is_taken_where_the_variant_is(void **state)
{
	json_t *vectors = vectors_load("gateway-crypto.json");
	const json_t *join = vectors_get(vectors, "joinChallenge");
	const char *right = vectors_text(join, "ciphertextBase64");
	char other[200];
	assert_int_equal(json_object_size(join), 12);
	assert_true(meets_vector(join, NULL, NULL, NULL, true));
	assert_false(meets_vector(join, NULL, NULL, NULL, false));
	assert_false(meets_vector(join, NULL, NULL, HEX64, true));
	assert_false(meets_vector(join, NULL, "AAAAAAAAAAAAAAAAAAAAAA==", NULL, true));
	assert_false(meets_vector(join, NULL, "!", NULL, true));
	assert_false(meets_vector(join, "rubbish", NULL, NULL, true));
	for (size_t at = 0; right[at] && right[at] != '='; at++) { /* each character, in the padding's block too, spoils it */
		snprintf(other, sizeof other, "%s", right);
		other[at] = other[at] == 'A' ? 'B' : 'A';
		assert_false(meets_vector(join, other, NULL, NULL, true));
	}
	snprintf(other, sizeof other, "%.64s", right); /* three blocks */
	assert_false(meets_vector(join, other, NULL, NULL, true));
	json_decref(vectors);
}

static void test_a_proof_needs_all_of_its_members(void **state)
{
	static const char *const bodies[] = {"", "[]", "{}", "{\"pubkey\":\"" HEX64 "\"}", "{\"pubkey\":\"" HEX64 "\",\"iv\":\"a\"}",
		"{\"pubkey\":\"" HEX64 "\",\"iv\":\"\",\"ciphertext\":\"a\"}", "{\"pubkey\":\"00\",\"iv\":\"a\",\"ciphertext\":\"a\"}",
		"{\"pubkey\":1,\"iv\":\"a\",\"ciphertext\":\"a\"}"};
	struct hf_join_proof proof;
	for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
		assert_int_equal(hf_join_proof_parse(&proof, hf_slice_text(bodies[i])), HF_EINVAL);
}

/* ---- Bodies for the joiner ---- */

static void check_round(enum hf_cbc_cipher cipher, const char *cipher_member)
{
	struct hf_buffer body = {0};
	struct hf_join_answer answer;
	struct hf_join_proof proof;
	uint8_t key[32], pubkey[32] = {9}, iv[16], host[32] = {7}, other[32] = {8};
	env.random(&env, key, sizeof key);
	env.random(&env, iv, sizeof iv);
	assert_int_equal(hf_buffer_printf(&body, "{\"challenge\":\"" HEX64 "\",\"relayPubkey\":\"" HEX64 "\"%s}", cipher_member), HF_OK);
	assert_int_equal(hf_join_answer_parse(&answer, hf_buffer_slice(&body)), HF_OK);
	assert_false(answer.is_pending);
	assert_string_equal(answer.challenge, HEX64);
	assert_int_equal(answer.cipher, cipher);
	hf_buffer_clear(&body);
	assert_int_equal(hf_join_proof_make(&answer, pubkey, key, iv, host, &body), HF_OK);
	assert_int_equal(hf_join_proof_parse(&proof, hf_buffer_slice(&body)), HF_OK);
	assert_memory_equal(proof.pubkey, pubkey, 32);
	assert_true(hf_join_proof_meets(&proof, HEX64, key, host, true));
	assert_int_equal(hf_join_proof_meets(&proof, HEX64, key, host, false), cipher == HF_CBC_AES_256);
	assert_int_equal(hf_join_proof_meets(&proof, HEX64, key, other, true), cipher != HF_CBC_AES_256); /* only AES is bound to a host */
	hf_buffer_free(&body);
}

static void test_a_joiner_answers_in_the_cipher_that_the_host_has(void **state)
{
	check_round(HF_CBC_HYPERTUNA, "");
	check_round(HF_CBC_AES_256, ",\"cipher\":\"aes-256-cbc\"");
}

static void test_what_a_host_says_is_read_strictly(void **state)
{
	static const char *const wrong[] = {"", "{}", "[]", "{\"status\":\"ok\"}", "{\"challenge\":\"00\",\"relayPubkey\":\"" HEX64 "\"}",
		"{\"challenge\":\"" HEX64 "\"}", "{\"challenge\":\"" HEX64 "\",\"relayPubkey\":\"x\"}",
		"{\"challenge\":\"x" HEX64 "\",\"relayPubkey\":\"" HEX64 "\"}"};
	struct hf_join_answer answer;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(hf_join_answer_parse(&answer, hf_slice_text(wrong[i])), HF_EMALFORMED);
	assert_int_equal(hf_join_answer_parse(&answer, HF_SLICE_LITERAL("{\"status\":\"pending\"}")), HF_OK);
	assert_true(answer.is_pending);
	assert_int_equal(hf_join_answer_parse(&answer, HF_SLICE_LITERAL("{\"challenge\":\"" HEX64 "\",\"relayPubkey\":\"" HEX64
		"\",\"cipher\":\"rot13\"}")), HF_EVERSION);
}

static void test_a_membership_is_whole(void **state)
{
	static const char *const wrong[] = {"{}", "{\"success\":true}", "{\"success\":false,\"relayKey\":\"" HEX64 "\",\"authToken\":\"t\"}",
		"{\"success\":true,\"relayKey\":\"" HEX64 "\",\"authToken\":\"\"}",
		"{\"success\":true,\"relayKey\":\"" HEX64 "\",\"authToken\":\"a\\u001bb\"}",
		"{\"success\":true,\"relayKey\":\"x\",\"authToken\":\"t\"}"};
	struct hf_join_membership membership;
	char error[HF_JOIN_TEXT_BYTES_MAX];
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(hf_join_membership_parse(&membership, hf_slice_text(wrong[i])), HF_EMALFORMED);
	assert_int_equal(hf_join_membership_parse(&membership, HF_SLICE_LITERAL("{\"success\":true,\"relayKey\":\"" HEX64
		"\",\"publicIdentifier\":\"a:b\",\"authToken\":\"t\\u0031\",\"relayUrl\":\"ws://h/a/b?token=t1\"}")), HF_OK);
	assert_string_equal(membership.token, "t1");
	assert_string_equal(membership.identifier, "a:b");
	assert_string_equal(membership.url, "ws://h/a/b?token=t1");
	hf_join_error_parse(error, HF_SLICE_LITERAL("{\"error\":\"Relay not found\"}"));
	assert_string_equal(error, "Relay not found");
	hf_join_error_parse(error, HF_SLICE_LITERAL("{\"error\":\"\\u001b[2J\"}"));
	assert_string_equal(error, "");
	hf_join_error_parse(error, HF_SLICE_LITERAL("no JSON"));
	assert_string_equal(error, "");
}

/* ---- Without memory ---- */

static int do_all(const struct hf_buffer *event)
{
	struct hf_challenges *c = NULL;
	struct hf_join_request request = {0};
	struct hf_buffer body = {0}, proof = {0};
	struct hf_join_answer answer = {.challenge = HEX64};
	const struct hf_challenge_owner owner = owner_of(1, 1), other = owner_of(2, 1);
	const struct hf_challenge *first, *second;
	const char *refusal;
	uint8_t key[32] = {0};
	int r = hf_challenges_new(&c, &env);
	if (r == HF_OK)
		r = hf_challenges_give(c, &owner, NOW_US, &first);
	if (r == HF_OK) {
		r = hf_challenges_give(c, &other, NOW_US, &second);
		assert_int_equal(hf_challenges_count(c), r == HF_OK ? 2 : 1); /* the first is still there */
	}
	if (r == HF_OK)
		r = hf_join_request_make(hf_buffer_slice(event), &body);
	if (r == HF_OK)
		r = hf_join_request_parse(&request, hf_buffer_slice(&body), &refusal);
	if (r == HF_OK)
		r = hf_join_proof_make(&answer, key, key, key, key, &proof);
	hf_join_request_free(&request);
	hf_challenges_free(c);
	hf_buffer_free(&body);
	hf_buffer_free(&proof);
	return r;
}

static void test_without_memory_nothing_is_lost(void **state)
{
	struct hf_buffer event = {0};
	make_event(&event, 9021, "[[\"h\",\"npub1x:club\"]]");
	for (uint64_t n = 1;; n++) {
		fail_alloc_arm(n, false);
		int r = do_all(&event);
		bool has_failed = fail_alloc_disarm();
		assert_int_equal(r, has_failed ? HF_ENOMEM : HF_OK);
		if (!has_failed)
			break;
		assert_true(n < 100);
	}
	hf_buffer_free(&event);
}

static int set_up(void **state)
{
	hf_env_system(&env);
	return hf_crypto_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_challenge_is_good_for_five_attempts),
		cmocka_unit_test(test_a_challenge_expires_and_is_swept),
		cmocka_unit_test(test_a_challenge_that_was_met_is_none_any_more),
		cmocka_unit_test(test_another_peer_neither_answers_nor_counts),
		cmocka_unit_test(test_a_key_has_one_challenge_and_a_request_the_same_again),
		cmocka_unit_test(test_challenges_are_bounded_by_peer_and_in_all),
		cmocka_unit_test(test_a_request_is_an_event_of_its_kind),
		cmocka_unit_test(test_a_request_that_is_none_is_refused),
		cmocka_unit_test(test_the_vectors_proof_is_taken_where_the_variant_is),
		cmocka_unit_test(test_a_proof_needs_all_of_its_members),
		cmocka_unit_test(test_a_joiner_answers_in_the_cipher_that_the_host_has),
		cmocka_unit_test(test_what_a_host_says_is_read_strictly),
		cmocka_unit_test(test_a_membership_is_whole),
		cmocka_unit_test(test_without_memory_nothing_is_lost),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
