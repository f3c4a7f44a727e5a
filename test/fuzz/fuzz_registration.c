/* Bodies of registrations, from the first byte on: each input is read as if everything in it were signed as it should be, which the fuzzer
 * cannot make, and as it is. What is taken is taken again from its canonical text with the same outcome.
 *
 * Covers: src/service/gateway/registration.c src/service/gateway/registration_relay.c
 */
#include "fuzz.h"

#include "codec/hex.h"
#include "crypto/hash.h"
#include "service/gateway/registration.h"

#define NOW_MS UINT64_C(1700000000000)

static uint8_t peer_key[32], peer_secret[64];
static struct hf_env env;
static struct hf_schnorr *schnorr;

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const uint8_t seed[32] = {1};
	(void)argc;
	(void)argv;
	hf_crypto_init();
	hf_env_system(&env);
	hf_sign_keypair_from_seed(peer_key, peer_secret, seed);
	return hf_schnorr_new(&schnorr, &env, 0);
}

static int open_body(struct hf_slice text, const uint8_t *channel_peer, bool is_compatible, struct hf_registration_body *body)
{
	const struct hf_registration_door door = {.secret = HF_SLICE_LITERAL("secret"), .gateway_key = peer_key, .is_compatible = is_compatible,
		.schnorr = schnorr};
	const char *refusal = NULL;
	int r = hf_registration_open(body, &door, text, channel_peer, NOW_MS, &refusal);
	FUZZ_CHECK((r == HF_OK) == (refusal == NULL));
	for (size_t i = 0; r == HF_OK && i < body->relay_count; i++)
		FUZZ_CHECK(body->relays[i].key.length > 0 && body->relays[i].key.length <= HF_REGISTRATION_KEY_BYTES_MAX);
	return r;
}

static void try_body(struct hf_slice text, const uint8_t *channel_peer, bool is_compatible)
{
	struct hf_registration_body once, again;
	int r = open_body(text, channel_peer, is_compatible, &once);
	if (once.text.length > 0) {
		FUZZ_CHECK(open_body(hf_buffer_slice(&once.text), channel_peer, is_compatible, &again) == r);
		FUZZ_CHECK(again.relay_count == once.relay_count && hf_slice_equal(hf_buffer_slice(&once.text), hf_buffer_slice(&again.text)));
		hf_registration_body_free(&again);
	}
	hf_registration_body_free(&once);
}

/* The input as an array of relays, or as further members, of a body that is signed. */
static void try_made(struct hf_slice input, bool as_relays)
{
	struct hf_buffer out = {0}, proof = {0};
	uint8_t digest[32];
	struct hf_registration_draft draft = {.relays = as_relays ? input : HF_SLICE_LITERAL("[\"a\"]"),
		.more = as_relays ? (struct hf_slice){0} : input, .peer_secret_key = peer_secret, .gateway_key = peer_key,
		.secret = HF_SLICE_LITERAL("secret"), .now_ms = NOW_MS};
	if (hf_registration_digest(&draft, digest) == HF_OK && hf_registration_make(&draft, &out) == HF_OK)
		try_body(hf_buffer_slice(&out), NULL, false);
	hf_buffer_clear(&out);
	draft.owner_event = input;
	if (hf_registration_make(&draft, &out) == HF_OK)
		try_body(hf_buffer_slice(&out), peer_key, false);
	FUZZ_CHECK(hf_registration_make_proof(peer_key, hf_slice(input.data, input.length < 64 ? input.length : 64), peer_secret, peer_key, NOW_MS,
		&proof) == HF_OK);
	hf_buffer_free(&proof);
	hf_buffer_free(&out);
}

/* The input as a registration under the shared secret. */
static void try_shared(struct hf_slice input)
{
	struct hf_buffer canonical = {0}, out = {0};
	char signature[HF_SCHEME_A_BYTES + 1] = {0};
	if (hf_canonical(input, &canonical) == HF_OK) {
		hf_scheme_a_sign(signature, HF_SLICE_LITERAL("secret"), hf_buffer_slice(&canonical));
		hf_buffer_printf(&out, "{\"signature\":\"%s\",\"registration\":", signature);
		hf_buffer_append(&out, canonical.data, canonical.length);
		hf_buffer_append(&out, "}", 1);
		try_body(hf_buffer_slice(&out), NULL, true);
		try_body(hf_buffer_slice(&out), NULL, false);
	}
	hf_buffer_free(&canonical);
	hf_buffer_free(&out);
}

/* One relay with a proof, and one with a consent, that are right. */
static void try_proved(void)
{
	struct hf_buffer proof = {0}, consent = {0}, relays = {0};
	char hex[65] = {0};
	hf_hex_encode(hex, peer_key, 32);
	hf_registration_make_proof(peer_key, (struct hf_slice){0}, peer_secret, peer_key, NOW_MS, &proof);
	hf_registration_make_consent(HF_SLICE_LITERAL("a"), peer_secret, peer_key, NOW_MS, &consent);
	hf_buffer_printf(&relays, "[{\"relayKey\":\"%s\",\"proof\":%.*s},{\"relayKey\":\"a\",\"consent\":%.*s}]", hex, (int)proof.length, (char *)proof.data,
		(int)consent.length, (char *)consent.data);
	try_made(hf_buffer_slice(&relays), true);
	hf_buffer_free(&proof);
	hf_buffer_free(&consent);
	hf_buffer_free(&relays);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_slice input = hf_slice(data, size);
	try_body(input, NULL, false);
	try_body(input, peer_key, true);
	try_made(input, true);
	try_made(input, false);
	try_shared(input);
	if (size == 0)
		try_proved();
	return 0;
}
