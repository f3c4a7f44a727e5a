/* Bodies of the flow by which somebody joins a relay, each read as every one of them; and the input as the event of a request, its id put
 * right, since no mutation hits a hash.
 * Covers: src/service/worker/join_message.c src/service/worker/challenges.c */
#include "fuzz.h"

#include "codec/hex.h"
#include "crypto/hash.h"
#include "service/worker/join_message.h"

static struct hf_env env;

static const uint8_t key[32] = {7};

static int read_request(struct hf_slice body)
{
	struct hf_join_request request;
	const char *refusal = NULL;
	int r = hf_join_request_parse(&request, body, &refusal);
	FUZZ_CHECK(r == HF_OK || refusal != NULL);
	FUZZ_CHECK(r != HF_OK || request.event.kind == HF_JOIN_KIND);
	hf_join_request_free(&request);
	return r;
}

static void read_event(struct hf_slice object)
{
	struct hf_buffer copy = {0}, text = {0}, body = {0};
	struct hf_json json;
	struct hf_event event = {0};
	const char *reason;
	uint8_t hash[32], wrong[64];
	FUZZ_CHECK(hf_buffer_append(&copy, object.data, object.length) == HF_OK);
	hf_json_init(&json, object, 8);
	if (hf_event_parse(&json, &text, HF_JOIN_BODY_BYTES_MAX, &event, &reason) < 0 && text.length > 0) {
		hf_sha256(hash, hf_buffer_slice(&text));
		hf_hex_encode(wrong, event.id, 32);
		uint8_t *at = memmem(copy.data, copy.length, wrong, 64);
		if (at)
			hf_hex_encode(at, hash, 32);
	}
	FUZZ_CHECK(hf_join_request_make(hf_buffer_slice(&copy), &body) == HF_OK);
	read_request(hf_buffer_slice(&body));
	hf_buffer_free(&copy);
	hf_buffer_free(&text);
	hf_buffer_free(&body);
}

/* What a joiner makes of a challenge, the host takes. */
static void meet(const struct hf_join_answer *answer)
{
	struct hf_buffer body = {0};
	struct hf_join_proof proof;
	static const uint8_t iv[HF_CBC_BLOCK_BYTES] = {3};
	FUZZ_CHECK(hf_join_proof_make(answer, answer->relay_pubkey, key, iv, key, &body) == HF_OK);
	FUZZ_CHECK(hf_join_proof_parse(&proof, hf_buffer_slice(&body)) == HF_OK && proof.is_right);
	FUZZ_CHECK(hf_join_proof_meets(&proof, answer->challenge, key, key, true));
	FUZZ_CHECK(hf_join_proof_meets(&proof, answer->challenge, key, key, false) == (answer->cipher == HF_CBC_AES_256));
	hf_buffer_free(&body);
}

/* Each byte an act of one of a few users and peers, at a time that passes. */
static void use_challenges(struct hf_slice acts)
{
	struct hf_challenges *challenges;
	uint64_t now_us = 1;
	FUZZ_CHECK(hf_challenges_new(&challenges, &env) == HF_OK);
	for (size_t i = 0; i < acts.length && i < 4096; i++) {
		const struct hf_challenge *challenge = NULL;
		struct hf_challenge_owner owner = {.pubkey = {acts.data[i] & 7, (uint8_t)(i >> 3)}, .peer = {acts.data[i] >> 3 & 1}};
		if (acts.data[i] >= 0xf0)
			now_us += HF_CHALLENGE_TTL_US / 4;
		if (acts.data[i] & 0x20) {
			owner.pubkey[1] = 0;
			challenge = hf_challenges_try(challenges, owner.pubkey, owner.peer, now_us);
			FUZZ_CHECK(!challenge || (challenge->expires_us > now_us && challenge->attempt_count <= HF_CHALLENGE_ATTEMPT_COUNT_MAX));
		} else if (acts.data[i] & 0x40) {
			hf_challenges_end(challenges, owner.pubkey);
		} else if (hf_challenges_give(challenges, &owner, now_us, &challenge) == HF_OK) {
			FUZZ_CHECK(hf_challenges_given(challenges, &owner, now_us) == challenge);
		}
		FUZZ_CHECK(hf_challenges_count(challenges) <= HF_CHALLENGE_COUNT_MAX);
	}
	hf_challenges_sweep(challenges, now_us + HF_CHALLENGE_TTL_US);
	FUZZ_CHECK(hf_challenges_count(challenges) == 0);
	hf_challenges_free(challenges);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_slice input = hf_slice(data, size);
	struct hf_join_answer answer;
	struct hf_join_proof proof;
	struct hf_join_membership membership;
	char error[HF_JOIN_TEXT_BYTES_MAX];
	if (!env.random)
		hf_env_system(&env);
	read_request(input);
	read_event(input);
	if (hf_join_answer_parse(&answer, input) == HF_OK && !answer.is_pending)
		meet(&answer);
	if (hf_join_proof_parse(&proof, input) == HF_OK)
		FUZZ_CHECK(!hf_join_proof_meets(&proof, "0000000000000000000000000000000000000000000000000000000000000000", key, key, true) || proof.is_right);
	if (hf_join_membership_parse(&membership, input) == HF_OK)
		FUZZ_CHECK(membership.token[0]);
	hf_join_error_parse(error, input);
	if (size > 0 && data[0] != '{')
		use_challenges(input);
	return 0;
}
