/* The cache is four-way: a key's set is its seeded hash, so that nobody can aim keys at one set. A new key takes the
 * last way and every hit moves it one way forward, so that a flood of keys used once only ever replaces the
 * last way. The keys stand apart from the parsed forms: a lookup reads 128 bytes. */
#include "crypto/schnorr.h"

#include <secp256k1.h>
#include <secp256k1_ecdh.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_preallocated.h>
#include <secp256k1_schnorrsig.h>
#include <stdlib.h>

#include "base/map.h"
#include "crypto/secret.h"

#define WAY_COUNT 4
#define CACHE_KEYS_MAX (1u << 24)

struct set {
	uint8_t keys[WAY_COUNT][HF_SCHNORR_PUBLIC_BYTES];
	secp256k1_xonly_pubkey parsed[WAY_COUNT];
	unsigned used_count;
};

struct hf_schnorr {
	secp256k1_context *context;
	struct hf_env *env;
	uint64_t seed;
	size_t set_count; /* a power of two, or 0 */
	struct set sets[];
};

int hf_schnorr_new(struct hf_schnorr **out, struct hf_env *env, size_t cache_key_count)
{
	*out = NULL;
	if (cache_key_count > CACHE_KEYS_MAX)
		return HF_EINVAL;
	size_t set_count = cache_key_count ? 1 : 0;
	while (set_count * WAY_COUNT < cache_key_count)
		set_count *= 2;
	struct hf_schnorr *schnorr = calloc(1, sizeof *schnorr + set_count * sizeof(struct set));
	if (!schnorr)
		return HF_ENOMEM;
	/* A preallocated context, since secp256k1_context_create ends the process when memory is out. */
	void *memory = malloc(secp256k1_context_preallocated_size(SECP256K1_CONTEXT_NONE));
	if (!memory) {
		free(schnorr);
		return HF_ENOMEM;
	}
	schnorr->context = secp256k1_context_preallocated_create(memory, SECP256K1_CONTEXT_NONE);
	schnorr->env = env;
	schnorr->set_count = set_count;
	env->random(env, &schnorr->seed, sizeof schnorr->seed);
	/* Blinds the multiplications with secrets against side channels. */
	uint8_t blinding[32];
	env->random(env, blinding, sizeof blinding);
	(void)!secp256k1_context_randomize(schnorr->context, blinding);
	hf_wipe(blinding, sizeof blinding);
	*out = schnorr;
	return HF_OK;
}

void hf_schnorr_free(struct hf_schnorr *schnorr)
{
	if (!schnorr)
		return;
	secp256k1_context_preallocated_destroy(schnorr->context);
	free(schnorr->context);
	free(schnorr);
}

static void swap_ways(struct set *set, unsigned a, unsigned b)
{
	uint8_t key[HF_SCHNORR_PUBLIC_BYTES];
	memcpy(key, set->keys[a], sizeof key);
	memcpy(set->keys[a], set->keys[b], sizeof key);
	memcpy(set->keys[b], key, sizeof key);
	secp256k1_xonly_pubkey parsed = set->parsed[a];
	set->parsed[a] = set->parsed[b];
	set->parsed[b] = parsed;
}

/* The parsed key: cached, or in *fresh when there is no cache. NULL when it is not on the curve. */
static const secp256k1_xonly_pubkey *parse(struct hf_schnorr *schnorr, const uint8_t *key,
					   secp256k1_xonly_pubkey *fresh)
{
	if (schnorr->set_count == 0)
		return secp256k1_xonly_pubkey_parse(schnorr->context, fresh, key) ? fresh : NULL;
	uint64_t hash = hf_hash64(key, HF_SCHNORR_PUBLIC_BYTES, schnorr->seed);
	struct set *set = &schnorr->sets[hash & (schnorr->set_count - 1)];
	for (unsigned way = 0; way < set->used_count; way++) {
		if (memcmp(set->keys[way], key, HF_SCHNORR_PUBLIC_BYTES) != 0)
			continue;
		if (way == 0)
			return &set->parsed[0];
		swap_ways(set, way, way - 1);
		return &set->parsed[way - 1];
	}
	if (!secp256k1_xonly_pubkey_parse(schnorr->context, fresh, key))
		return NULL;
	unsigned way = set->used_count < WAY_COUNT ? set->used_count++ : WAY_COUNT - 1;
	memcpy(set->keys[way], key, HF_SCHNORR_PUBLIC_BYTES);
	set->parsed[way] = *fresh;
	return &set->parsed[way];
}

int hf_schnorr_verify(struct hf_schnorr *schnorr, const uint8_t signature[static HF_SCHNORR_SIGNATURE_BYTES],
		      const uint8_t message[static HF_SCHNORR_MESSAGE_BYTES],
		      const uint8_t public_key[static HF_SCHNORR_PUBLIC_BYTES])
{
	secp256k1_xonly_pubkey fresh;
	const secp256k1_xonly_pubkey *parsed = parse(schnorr, public_key, &fresh);
	if (!parsed || !secp256k1_schnorrsig_verify(schnorr->context, signature, message, HF_SCHNORR_MESSAGE_BYTES,
						    parsed))
		return HF_EBADSIG;
	return HF_OK;
}

int hf_schnorr_sign_with(struct hf_schnorr *schnorr, uint8_t signature[static HF_SCHNORR_SIGNATURE_BYTES],
			 const uint8_t message[static HF_SCHNORR_MESSAGE_BYTES],
			 const uint8_t secret[static HF_SCHNORR_SECRET_BYTES], const uint8_t auxiliary[static 32])
{
	secp256k1_keypair pair;
	int ok = secp256k1_keypair_create(schnorr->context, &pair, secret) &&
		 secp256k1_schnorrsig_sign32(schnorr->context, signature, message, &pair, auxiliary);
	hf_wipe(&pair, sizeof pair);
	return ok ? HF_OK : HF_EINVAL;
}

int hf_schnorr_sign(struct hf_schnorr *schnorr, uint8_t signature[static HF_SCHNORR_SIGNATURE_BYTES],
		    const uint8_t message[static HF_SCHNORR_MESSAGE_BYTES],
		    const uint8_t secret[static HF_SCHNORR_SECRET_BYTES])
{
	uint8_t auxiliary[32];
	schnorr->env->random(schnorr->env, auxiliary, sizeof auxiliary);
	return hf_schnorr_sign_with(schnorr, signature, message, secret, auxiliary);
}

int hf_schnorr_public_key(struct hf_schnorr *schnorr, uint8_t public_key[static HF_SCHNORR_PUBLIC_BYTES],
			  const uint8_t secret[static HF_SCHNORR_SECRET_BYTES])
{
	secp256k1_keypair pair;
	secp256k1_xonly_pubkey parsed;
	int ok = secp256k1_keypair_create(schnorr->context, &pair, secret) &&
		 secp256k1_keypair_xonly_pub(schnorr->context, &parsed, NULL, &pair) &&
		 secp256k1_xonly_pubkey_serialize(schnorr->context, public_key, &parsed);
	hf_wipe(&pair, sizeof pair);
	return ok ? HF_OK : HF_EINVAL;
}

static int take_x(unsigned char *out, const unsigned char *x, const unsigned char *y, void *data)
{
	memcpy(out, x, 32);
	return 1;
}

int hf_schnorr_shared_x(struct hf_schnorr *schnorr, uint8_t shared[static 32], const uint8_t secret[static HF_SCHNORR_SECRET_BYTES],
	const uint8_t public_key[static HF_SCHNORR_PUBLIC_BYTES])
{
	uint8_t compressed[1 + HF_SCHNORR_PUBLIC_BYTES] = {0x02};
	secp256k1_pubkey parsed;
	memcpy(compressed + 1, public_key, HF_SCHNORR_PUBLIC_BYTES);
	int ok = secp256k1_ec_pubkey_parse(schnorr->context, &parsed, compressed, sizeof compressed) &&
		 secp256k1_ecdh(schnorr->context, shared, &parsed, secret, take_x, NULL);
	return ok ? HF_OK : HF_EINVAL;
}

void hf_schnorr_generate(struct hf_schnorr *schnorr, uint8_t secret[static HF_SCHNORR_SECRET_BYTES],
			 uint8_t public_key[static HF_SCHNORR_PUBLIC_BYTES])
{
	/* All but one in 2^127 draws is a valid secret. */
	do
		schnorr->env->random(schnorr->env, secret, HF_SCHNORR_SECRET_BYTES);
	while (hf_schnorr_public_key(schnorr, public_key, secret) != HF_OK);
}
