/* Bees on cores of a store of their own, for tests. */
#ifndef HF_TEST_BEE_FIXTURE_H
#define HF_TEST_BEE_FIXTURE_H

#include "core_fixture.h"

#include "crypto/sign.h"
#include "data/hyperbee/bee.h"

/* The core of the vectors' key pair. */
static inline struct hf_core *bee_core(struct core_node *node, uint8_t seed_byte)
{
	uint8_t seed[32], public_key[32], secret_key[64];
	struct hf_core_options options = {.size = sizeof options, .secret_key = secret_key};
	struct hf_failure failure = {0};
	struct hf_core *core;

	memset(seed, seed_byte, sizeof seed);
	hf_sign_keypair_from_seed(public_key, secret_key, seed);
	if (hf_corestore_get(node->cores, &options, &core, &failure) != HF_OK)
		fail_msg("%s", failure.text);
	return core;
}

/* Takes the caller's reference to the core. */
static inline struct hf_bee *bee_on(struct hf_core *core)
{
	struct hf_bee_options options = {.size = sizeof options, .core = core};
	struct hf_bee *bee;

	assert_int_equal(hf_bee_open(&bee, &options), HF_OK);
	hf_core_unref(core);
	return bee;
}

static inline void bee_put(struct hf_bee *bee, const char *key, const char *value)
{
	struct hf_slice bytes = value == NULL ? hf_slice(NULL, 0) : hf_slice_text(value);

	assert_int_equal(hf_bee_put(bee, hf_slice_text(key), value == NULL ? NULL : &bytes, NULL), HF_OK);
}

static inline void bee_flush(struct hf_bee *bee)
{
	assert_int_equal(hf_bee_flush(bee), HF_OK);
	assert_int_equal(hf_bee_pending_count(bee), 0);
}

#endif
