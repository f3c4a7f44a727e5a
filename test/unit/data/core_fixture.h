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
	uint64_t quota_bytes; /* from the next opening on; 0: none */
	struct hf_store *store;
	struct hf_corestore *cores;
};

static inline void core_node_open(struct core_node *node)
{
	struct hf_failure failure = {0};
	struct hf_store_options options = {.size = sizeof options, .directory = node->directory, .env = &node->env,
		.schema = {.describe = hf_corestore_describe}, .quota_bytes = node->quota_bytes};
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
	node->quota_bytes = 0;
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

/* Appends blocks that tell their place and the fork that they were written on. */
static inline void core_fill(struct hf_core *core, unsigned count)
{
	char text[40];

	for (unsigned i = 0; i < count; i++) {
		struct hf_slice block;

		snprintf(text, sizeof text, "%llu of fork %llu", (unsigned long long)hf_core_length(core), (unsigned long long)hf_core_fork(core));
		block = hf_slice_text(text);
		assert_int_equal(hf_core_append(core, &block, 1, NULL), HF_OK);
	}
}

static inline void core_assert_text(const struct hf_buffer *block, uint64_t index, uint64_t fork)
{
	char text[40];

	snprintf(text, sizeof text, "%llu of fork %llu", (unsigned long long)index, (unsigned long long)fork);
	assert_true(hf_slice_equal(hf_buffer_slice(block), hf_slice_text(text)));
}

static inline void core_assert_filled(struct hf_core *core, uint64_t from, uint64_t to, uint64_t fork)
{
	struct hf_buffer block = {0};

	for (uint64_t i = from; i < to; i++) {
		hf_buffer_clear(&block);
		assert_int_equal(hf_core_get(core, i, &block), HF_OK);
		core_assert_text(&block, i, fork);
	}
	hf_buffer_free(&block);
}

static inline void core_truncate(struct hf_core *core, uint64_t length)
{
	assert_int_equal(hf_core_truncate(core, length, HF_CORE_NEXT_FORK), HF_OK);
}

/* Closes it with its store, and opens both again. */
static inline void core_reopen(struct core_node *node, struct hf_core **core)
{
	uint8_t key[32];

	memcpy(key, hf_core_key(*core), sizeof key);
	hf_core_unref(*core);
	core_node_close(node);
	core_node_open(node);
	*core = core_by_key(node, key);
}

#endif
