/* A data directory's worth of store and corestore, for tests of cores. */
#ifndef HF_TEST_CORE_FIXTURE_H
#define HF_TEST_CORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/corestore.h"
#include "support/scratch.h"

struct core_node {
	struct hf_env env;
	char directory[64];
	uint8_t primary_key[32];
	struct hf_store *store;
	struct hf_corestore *cores;
};

static inline void core_node_open(struct core_node *node)
{
	struct hf_failure failure = {0};
	struct hf_store_options options = {.size = sizeof options, .directory = node->directory, .env = &node->env,
		.schema = {.describe = hf_corestore_describe}};
	struct hf_corestore_options cores = {.size = sizeof cores, .env = &node->env, .primary_key = hf_slice(node->primary_key, 32),
		.blocking = true};

	if (hf_store_open(&node->store, &options, &failure) != HF_OK)
		fail_msg("%s", failure.text);
	cores.store = node->store;
	if (hf_corestore_open(&node->cores, &cores, &failure) != HF_OK)
		fail_msg("%s", failure.text);
}

static inline void core_node_close(struct core_node *node)
{
	hf_corestore_close(node->cores);
	hf_store_close(node->store);
}

static inline void core_node_make(struct core_node *node, uint8_t key_byte)
{
	hf_env_system(&node->env);
	strcpy(node->directory, "/tmp/hf-core-XXXXXX");
	assert_non_null(mkdtemp(node->directory));
	memset(node->primary_key, key_byte, sizeof node->primary_key);
	core_node_open(node);
}

static inline void core_node_remove(struct core_node *node)
{
	core_node_close(node);
	scratch_remove(node->directory);
}

static inline struct hf_core *core_by_name(struct core_node *node, const char *name)
{
	struct hf_core_options options = {.size = sizeof options, .name = hf_slice_text(name)};
	struct hf_failure failure = {0};
	struct hf_core *core;

	if (hf_corestore_get(node->cores, &options, &core, &failure) != HF_OK)
		fail_msg("%s", failure.text);
	return core;
}

static inline struct hf_core *core_by_key(struct core_node *node, const uint8_t *key)
{
	struct hf_core_options options = {.size = sizeof options, .key = key};
	struct hf_failure failure = {0};
	struct hf_core *core;

	if (hf_corestore_get(node->cores, &options, &core, &failure) != HF_OK)
		fail_msg("%s", failure.text);
	return core;
}

static inline void core_commit(struct hf_core *core)
{
	assert_int_equal(hf_core_commit_wait(core, HF_DURABLE_OS), HF_OK);
}

#endif
