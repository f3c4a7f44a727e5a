/* Canonical JSON, client tokens and control frames. What is canonical stays as it is; readers of it stay within it; a token that was made
 * opens to what it was made of; nothing signed otherwise opens.
 *
 * Covers: src/service/gateway/canonical.c src/service/gateway/canonical_number.c src/service/gateway/signature.c src/service/gateway/token_frame.c
 */
#include "fuzz.h"

#include "crypto/hash.h"
#include "service/gateway/tokens.h"

static uint8_t key[32], secret[64];

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const uint8_t seed[32] = {1};
	(void)argc;
	(void)argv;
	hf_sign_keypair_from_seed(key, secret, seed);
	return hf_crypto_init();
}

static void walk(struct hf_slice value, unsigned depth)
{
	struct hf_slice name, item, text;
	uint64_t number;
	uint8_t bytes[4];
	size_t cursor = 0;
	while (depth < HF_JSON_DEPTH_MAX && hf_canonical_next_member(value, &cursor, &name, &item)) {
		FUZZ_CHECK(item.length > 0 && item.data + item.length < value.data + value.length);
		walk(item, depth + 1);
	}
	for (cursor = 0; depth < HF_JSON_DEPTH_MAX && hf_canonical_next_item(value, &cursor, &item);) {
		FUZZ_CHECK(item.length > 0 && item.data + item.length < value.data + value.length);
		walk(item, depth + 1);
	}
	hf_canonical_plain(value, "a", &text);
	hf_canonical_u64(value, "a", &number);
	hf_canonical_hex(value, "a", bytes, sizeof bytes);
	hf_canonical_bool(value, "a", false);
}

static void check_canonical(struct hf_slice text)
{
	static const char *const names[] = {"a", "b", NULL};
	struct hf_buffer again = {0}, merged = {0}, less = {0}, token = {0}, opened = {0};
	FUZZ_CHECK(text.length > HF_CANONICAL_BYTES_MAX || hf_canonical(text, &again) == HF_OK);
	FUZZ_CHECK(text.length > HF_CANONICAL_BYTES_MAX || hf_slice_equal(hf_buffer_slice(&again), text));
	walk(text, 0);
	if (hf_canonical_is_object(text) && hf_canonical_merge(text, text, &merged) == HF_OK)
		FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&merged), text));
	if (hf_canonical_is_object(text) && hf_canonical_without(text, names, &less) == HF_OK) {
		struct hf_slice gone;
		FUZZ_CHECK(!hf_canonical_member(hf_buffer_slice(&less), "a", &gone));
	}
	if (hf_client_token_make(text, HF_SLICE_LITERAL("s"), &token) == HF_OK) {
		FUZZ_CHECK(hf_client_token_open(hf_buffer_slice(&token), HF_SLICE_LITERAL("s"), &opened) == HF_OK);
		FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&opened), text));
		FUZZ_CHECK(hf_client_token_open(hf_buffer_slice(&token), HF_SLICE_LITERAL("t"), &opened) == HF_EBADSIG);
	}
	struct hf_buffer *all[] = {&again, &merged, &less, &token, &opened};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		hf_buffer_free(all[i]);
}

static void check_frames(struct hf_slice input)
{
	struct hf_buffer frame = {0};
	uint64_t sequence;
	uint8_t next[32];
	FUZZ_CHECK(hf_signer_frame_verify(input, key, next) != HF_OK);
	FUZZ_CHECK(hf_signer_frame_make(secret, secret, 1, &frame) == HF_OK);
	FUZZ_CHECK(hf_signer_frame_verify(hf_buffer_slice(&frame), key, next) == HF_OK && memcmp(next, secret, sizeof next) == 0);
	FUZZ_CHECK(hf_token_frame_verify(hf_buffer_slice(&frame), key, 0, &sequence) == HF_EMALFORMED);
	hf_buffer_clear(&frame);
	FUZZ_CHECK(hf_token_frame_verify(input, key, 0, &sequence) != HF_OK);
	FUZZ_CHECK(hf_token_frame_make(secret, HF_SLICE_LITERAL("relay"), HF_SLICE_LITERAL("why"), 2, 1, &frame) == HF_OK);
	FUZZ_CHECK(hf_token_frame_verify(hf_buffer_slice(&frame), key, 1, &sequence) == HF_OK && sequence == 2);
	hf_buffer_free(&frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_buffer canonical = {0}, opened = {0};
	struct hf_slice input = hf_slice(data, size);
	char signature[HF_KEY_SIGNATURE_TEXT_BYTES];
	if (hf_canonical(input, &canonical) == HF_OK)
		check_canonical(hf_buffer_slice(&canonical));
	else
		FUZZ_CHECK(canonical.length == 0);
	hf_client_token_open(input, HF_SLICE_LITERAL("test-secret"), &opened);
	FUZZ_CHECK(hf_key_sign(signature, HF_SIGNED_CONSENT, input, secret) == HF_OK);
	FUZZ_CHECK(hf_key_verify(hf_slice(signature, sizeof signature), HF_SIGNED_CONSENT, input, key) == HF_OK);
	check_frames(input);
	hf_buffer_free(&canonical);
	hf_buffer_free(&opened);
	return 0;
}
