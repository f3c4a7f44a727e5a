/* fuzz_core: for targets on what a core holds: one core of ours, in a store in memory. */
#ifndef TEST_FUZZ_FUZZ_CORE_H
#define TEST_FUZZ_FUZZ_CORE_H

#include "fuzz_files.h"

#include "data/corestore.h"

static struct hf_env env;
static struct hf_store *store;
static struct hf_corestore *cores;
static struct hf_core *core; /* NULL before fuzz_prepare_core */

static void fuzz_close_core(void)
{
	hf_core_unref(core);
	hf_corestore_close(cores);
	hf_store_close(store);
}

/* Once. */
static inline void fuzz_prepare_core(const char *name)
{
	static const char *const folders[] = {NULL};
	static uint8_t primary_key[32] = {1};
	struct hf_store_options options = {.size = sizeof options, .env = &env, .schema = {.describe = hf_corestore_describe}};
	struct hf_corestore_options core_options = {.size = sizeof core_options, .env = &env, .primary_key = hf_slice(primary_key, 32),
		.blocking = true};
	struct hf_core_options which = {.size = sizeof which, .name = hf_slice_text(name)};
	struct hf_failure failure;

	fuzz_prepare_files(name, folders);
	atexit(fuzz_close_core);
	hf_env_system(&env);
	options.directory = fuzz_directory;
	FUZZ_CHECK(hf_store_open(&store, &options, &failure) == HF_OK);
	core_options.store = store;
	FUZZ_CHECK(hf_corestore_open(&cores, &core_options, &failure) == HF_OK);
	FUZZ_CHECK(hf_corestore_get(cores, &which, &core, &failure) == HF_OK);
}

#endif
