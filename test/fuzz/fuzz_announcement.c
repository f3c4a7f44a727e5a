/* Announcements of gateways: read, written again to the same, and, signed anew, refused for nothing but time and address.
 *
 * Covers: src/wire/announcement.c
 */
#include "fuzz.h"

#include "crypto/hash.h"
#include "wire/announcement.h"

static uint8_t key[32], secret[64];

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const uint8_t seed[32] = {1};
	(void)argc;
	(void)argv;
	hf_crypto_init();
	hf_sign_keypair_from_seed(key, secret, seed);
	return 0;
}

static void write_again(const struct hf_announcement *once)
{
	struct hf_announcement again;
	struct hf_buffer bytes = {0}, twice = {0};
	FUZZ_CHECK(hf_announcement_encode(once, &bytes) == HF_OK);
	FUZZ_CHECK(hf_announcement_decode(hf_buffer_slice(&bytes), &again) == HF_OK);
	FUZZ_CHECK(hf_announcement_encode(&again, &twice) == HF_OK && hf_slice_equal(hf_buffer_slice(&bytes), hf_buffer_slice(&twice)));
	hf_buffer_free(&bytes);
	hf_buffer_free(&twice);
}

static void sign_again(struct hf_announcement *a)
{
	struct hf_announcement read;
	struct hf_buffer bytes = {0};
	uint64_t since_ms;
	int r = hf_announcement_add_predecessor(a, secret, key, 1);
	FUZZ_CHECK(r == HF_OK || r == HF_ETOOBIG);
	FUZZ_CHECK(hf_announcement_sign(a, secret) == HF_OK);
	FUZZ_CHECK(hf_announcement_encode(a, &bytes) == HF_OK);
	FUZZ_CHECK(hf_announcement_decode(hf_buffer_slice(&bytes), &read) == HF_OK);
	enum hf_announcement_refusal refusal = hf_announcement_check(&read, read.timestamp_ms, false);
	FUZZ_CHECK(refusal == HF_ANNOUNCEMENT_TAKEN || refusal == HF_ANNOUNCEMENT_BAD_TTL || refusal == HF_ANNOUNCEMENT_BAD_URL);
	FUZZ_CHECK(hf_announcement_succeeds(&read, key, &since_ms) || r == HF_ETOOBIG || read.predecessor_count > 1);
	hf_announcement_check(&read, 0, false);
	hf_announcement_check(&read, UINT64_MAX, true);
	read.seal[0] ^= 1;
	FUZZ_CHECK(hf_announcement_check(&read, read.timestamp_ms, false) == HF_ANNOUNCEMENT_BAD_SIGNATURE);
	read.signature_key[0] ^= 1;
	FUZZ_CHECK(hf_announcement_check(&read, read.timestamp_ms, false) == HF_ANNOUNCEMENT_KEYS_DIFFER);
	FUZZ_CHECK(hf_announcement_refusal_name(refusal) != NULL);
	hf_buffer_free(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_announcement a;
	if (hf_announcement_decode(hf_slice(data, size), &a) != HF_OK)
		return 0;
	hf_announcement_check(&a, a.timestamp_ms, true);
	write_again(&a);
	sign_again(&a);
	return 0;
}
