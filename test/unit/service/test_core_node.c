/* Two core nodes over a disk on which every first read is cold: their loops never wait for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/hash.h"
#include "service/core_node.h"
#include "support/cold_fs.h"
#include "support/scratch.h"

#define BLOCKS 500
#define TURNS_MAX 200000

struct fixture {
	struct hf_env env;
	char scratch[SCRATCH_PATH_BYTES];
	struct hf_config *configs[2];
	struct hf_core_node *nodes[2];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct hf_failure failure = {0};
	char path[SCRATCH_PATH_BYTES + 8];
	assert_int_equal(hf_crypto_init(), HF_OK);
	cold_fs_init();
	hf_env_system(&f->env);
	f->env.fs = &cold_fs;
	scratch_make(f->scratch);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(hf_config_new(&f->configs[i]), HF_OK);
		snprintf(path, sizeof path, "%s/%d", f->scratch, i);
		assert_int_equal(hf_config_set_flag(f->configs[i], "data", path, &failure), HF_OK);
	}
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 2; i++)
		hf_config_free(f->configs[i]);
	scratch_remove(f->scratch);
	free(f);
	return 0;
}

static void open_node(struct fixture *f, int number)
{
	struct hf_core_node_options options = {.size = sizeof options, .env = &f->env, .config = f->configs[number], .create = true};
	struct hf_failure failure = {0};
	if (hf_core_node_open(&f->nodes[number], &options, &failure) != HF_OK)
		fail_msg("%s", failure.text);
}

static struct hf_core *open_core(struct fixture *f, int number, const uint8_t *key)
{
	struct hf_core_options options = {.size = sizeof options, .key = key, .name = HF_SLICE_LITERAL("log")};
	struct hf_core *core;
	assert_int_equal(hf_corestore_get(hf_core_node_cores(f->nodes[number]), &options, &core, NULL), HF_OK);
	return core;
}

/* What the first node has, written and closed. */
static void fill(struct fixture *f, uint8_t key[static 32])
{
	static char bytes[3000];
	struct hf_slice block = hf_slice(bytes, sizeof bytes);
	open_node(f, 0);
	struct hf_core *core = open_core(f, 0, NULL);
	memcpy(key, hf_core_key(core), 32);
	for (int i = 0; i < BLOCKS; i++)
		assert_int_equal(hf_core_append(core, &block, 1, NULL), HF_OK);
	assert_int_equal(hf_core_commit_wait(core, HF_DURABLE_OS), HF_OK);
	hf_core_unref(core);
	hf_core_node_close(f->nodes[0]);
}

static bool is_done;

static void note_done(struct hf_download *download)
{
	is_done = true;
}

static void test_peers_that_fetch_what_is_cold_do_not_stop_the_loop(void **state)
{
	struct fixture *f = *state;
	struct hf_download download = {.from = 0, .to = BLOCKS, .done = note_done};
	struct hf_replication *replication;
	char address[HF_ADDRESS_TEXT_BYTES];
	struct hf_address bound;
	uint8_t key[32];
	fill(f, key);
	open_node(f, 0);
	open_node(f, 1);
	struct hf_core *copy = open_core(f, 1, key);
	cold_cool_down();
	assert_int_equal(hf_replicator_join(hf_core_node_replicator(f->nodes[1]), copy, &replication), HF_OK);
	hf_download_start(replication, &download);
	assert_int_equal(hf_core_node_listen(f->nodes[0], "127.0.0.1:0", false, &bound, NULL), HF_OK);
	assert_int_equal(hf_core_node_dial(f->nodes[1], hf_address_text(&bound, true, address), true, false, NULL), HF_OK);
	for (int node = 0; node < 2; node++)
		hf_corestore_set_blocking(hf_core_node_cores(f->nodes[node]), false);
	cold_is_turning = true;
	for (int i = 0; i < TURNS_MAX && !is_done; i++)
		for (int node = 0; node < 2; node++)
			hf_loop_poll(hf_core_node_loop(f->nodes[node]), false);
	cold_is_turning = false;
	assert_true(is_done);
	assert_true(cold_waits > 0);
	assert_int_equal(cold_stalls, 0);
	hf_replication_leave(replication);
	hf_core_unref(copy);
	hf_core_node_close(f->nodes[1]);
	hf_core_node_close(f->nodes[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_peers_that_fetch_what_is_cold_do_not_stop_the_loop, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
