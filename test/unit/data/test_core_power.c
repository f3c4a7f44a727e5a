/* The plug is pulled while cores are appended to, truncated, cleared and fetched from a peer. Afterwards each core's signature is over
 * its tree, every block that it says it holds is the tree's, what was synced is there, and it can be gone on with. SCALE
 * multiplies the cuts. */
#include "core_fixture.h"

#include "data/hypercore/signature.h"
#include "support/power_fs.h"
#include "support/quiet.h"

#define CUTS 60

static struct core_node node, source;
static struct power_fs *power;
static struct hf_core *truth;
static uint64_t random_state;

static uint64_t draw(uint64_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % below;
}

static int open_node(void)
{
	struct hf_store_options options = {.size = sizeof options, .directory = node.directory, .env = &node.env,
		.schema = {.describe = hf_corestore_describe}, .log_segment_bytes = 64 << 10, .sync_interval_ms = 5, .memtable_docs_max = 64};
	struct hf_corestore_options cores = {.size = sizeof cores, .env = &node.env, .primary_key = hf_slice(node.primary_key, 32), .blocking = true};
	int status = hf_store_open(&node.store, &options, NULL);

	if (status != HF_OK)
		return status;
	cores.store = node.store;
	status = hf_corestore_open(&node.cores, &cores, NULL);
	if (status != HF_OK)
		hf_store_close(node.store);
	return status;
}

static struct hf_core *open_core(const uint8_t *key)
{
	struct hf_core_options options = {.size = sizeof options, .key = key, .name = HF_SLICE_LITERAL("log")};
	struct hf_core *core;

	return hf_corestore_get(node.cores, &options, &core, NULL) == HF_OK ? core : NULL;
}

static void check_core(struct hf_core *core)
{
	struct hf_buffer block = {0};
	struct hf_tree_node leaf, given;

	if (hf_core_length(core) > 0)
		assert_int_equal(hf_signature_verify(hf_core_manifest(core), hf_core_key(core), hf_core_tree(core), hf_core_signature(core)), HF_OK);
	for (uint64_t i = 0; i < hf_core_length(core); i++) {
		int status;

		hf_buffer_clear(&block);
		status = hf_core_get_stored(core, i, &block);
		assert_int_equal(status, hf_bitfield_get(hf_core_blocks(core), i) ? HF_OK : HF_EWAIT);
		if (status != HF_OK)
			continue;
		hf_tree_leaf(&leaf, i, hf_buffer_slice(&block));
		assert_int_equal(hf_core_node(core, 2 * i, &given), HF_OK);
		assert_memory_equal(leaf.hash, given.hash, sizeof leaf.hash);
	}
	hf_buffer_free(&block);
}

static int append_some(struct hf_core *core)
{
	static char bytes[5000];
	struct hf_slice blocks[4];
	size_t count = 1 + draw(4);

	memset(bytes, (int)draw(256), sizeof bytes);
	for (size_t i = 0; i < count; i++)
		blocks[i] = hf_slice(bytes, draw(4) == 0 ? sizeof bytes : draw(50));
	return hf_core_append(core, blocks, count, NULL);
}

static int fetch_some(struct hf_core *reader)
{
	struct hf_proof_request request = {.has_block = true, .wants_manifest = true, .block.index = draw(hf_core_length(truth))};
	struct hf_buffer bytes = {0};
	struct hf_proof proof;
	bool grew;
	int status = HF_OK;

	if (hf_core_length(reader) < hf_core_length(truth)) {
		request.has_upgrade = true;
		request.upgrade.start = hf_core_length(reader);
		request.upgrade.length = hf_core_length(truth) - hf_core_length(reader);
	}
	if (request.block.index < hf_core_length(reader))
		status = hf_core_missing_nodes(reader, request.block.index, &request.block.nodes);
	request.has_block = !request.has_upgrade || request.block.index >= request.upgrade.start;
	if (status == HF_OK)
		status = hf_core_prove(truth, 0, &request, &bytes, &proof);
	if (status == HF_OK)
		status = hf_core_put_proof(reader, &proof, &grew, NULL);
	hf_buffer_free(&bytes);
	return status;
}

/* What is on the disk for certain: of one fork so many blocks. */
struct synced {
	uint64_t fork, length;
};

static int change(struct hf_core *core)
{
	uint64_t length = hf_core_length(core), from;

	switch (draw(12)) {
	case 0: return length > 0 ? hf_core_truncate(core, draw(length), HF_CORE_NEXT_FORK) : HF_OK;
	case 1:
		from = draw(length + 1);
		return hf_core_clear(core, from, from + draw(9));
	default: return append_some(core);
	}
}

static void work(struct synced *synced, struct synced *read_synced)
{
	struct hf_core *writer = open_core(NULL), *reader = writer == NULL ? NULL : open_core(hf_core_key(truth));
	int status = reader == NULL ? HF_EIO : HF_OK;

	for (unsigned i = 0; i < 120 && status == HF_OK; i++) {
		bool is_read = draw(3) == 0, disk = draw(3) == 0;
		struct hf_core *core = is_read ? reader : writer;

		status = is_read ? fetch_some(reader) : change(writer);
		if (status == HF_OK && draw(3) != 0)
			continue;
		if (status == HF_OK)
			status = hf_core_commit_wait(core, disk ? HF_DURABLE_DISK : HF_DURABLE_OS);
		if (status == HF_OK && disk)
			*(is_read ? read_synced : synced) = (struct synced){hf_core_fork(core), hf_core_length(core)};
	}
	hf_core_unref(writer);
	hf_core_unref(reader);
	if (draw(16) == 0) {
		assert_int_equal(append_some(truth), HF_OK);
		core_commit(truth);
	}
}

static void cut_once(uint64_t number, struct synced *synced, struct synced *read_synced)
{
	static const enum power_fs_mode modes[] = {POWER_FS_RANDOM, POWER_FS_GARBAGE, POWER_FS_DROP_ALL, POWER_FS_KEEP_ALL};
	struct hf_core *writer, *reader;

	power_fs_die_at_sync(power, 1 + draw(90));
	if (open_node() == HF_OK) {
		work(synced, read_synced);
		hf_corestore_close(node.cores);
		hf_store_abandon(node.store);
	}
	if (!power_fs_is_dead(power))
		power_fs_die_now(power);
	assert_int_equal(power_fs_cut(power, number, modes[number % 4]), HF_OK);
	assert_int_equal(open_node(), HF_OK);
	writer = open_core(NULL);
	reader = open_core(hf_core_key(truth));
	assert_non_null(writer);
	assert_non_null(reader);
	check_core(writer);
	check_core(reader);
	assert_true(hf_core_fork(writer) > synced->fork || (hf_core_fork(writer) == synced->fork && hf_core_length(writer) >= synced->length));
	assert_true(hf_core_length(reader) >= read_synced->length);
	assert_int_equal(append_some(writer), HF_OK);
	assert_int_equal(fetch_some(reader), HF_OK);
	assert_int_equal(hf_core_commit_wait(writer, HF_DURABLE_DISK), HF_OK);
	assert_int_equal(hf_core_commit_wait(reader, HF_DURABLE_DISK), HF_OK);
	check_core(writer);
	check_core(reader);
	*synced = (struct synced){hf_core_fork(writer), hf_core_length(writer)};
	*read_synced = (struct synced){hf_core_fork(reader), hf_core_length(reader)};
	hf_core_unref(writer);
	hf_core_unref(reader);
	hf_corestore_close(node.cores);
	hf_store_abandon(node.store);
}

static void test_power_cuts_leave_signed_cores(void **state)
{
	const char *scale = getenv("SCALE");
	uint64_t cuts = CUTS * (scale != NULL && strtoull(scale, NULL, 10) > 0 ? strtoull(scale, NULL, 10) : 1);
	struct synced synced = {0}, read_synced = {0};

	(void)state;
	core_node_make(&source, 2);
	truth = core_by_name(&source, "log");
	for (int i = 0; i < 60; i++)
		assert_int_equal(append_some(truth), HF_OK);
	core_commit(truth);
	for (uint64_t i = 0; i < cuts; i++) {
		if (i % 15 == 0) {
			core_node_make(&node, 1);
			core_node_remove(&node);
			power = power_fs_new();
			node.env.fs = power_fs_fs(power);
			strcpy(node.directory, "/tmp/hf-core-XXXXXX");
			assert_non_null(mkdtemp(node.directory));
			assert_int_equal(open_node(), HF_OK);
			struct hf_core *core = open_core(NULL);

			assert_int_equal(append_some(core), HF_OK);
			assert_int_equal(hf_core_commit_wait(core, HF_DURABLE_DISK), HF_OK);
			synced = (struct synced){0, hf_core_length(core)};
			read_synced = (struct synced){0, 0};
			hf_core_unref(core);
			hf_corestore_close(node.cores);
			hf_store_close(node.store);
		}
		cut_once(i + 1, &synced, &read_synced);
		if (i % 15 == 14 || i + 1 == cuts) {
			power_fs_free(power);
			scratch_remove(node.directory);
		}
	}
	print_message("%llu cuts\n", (unsigned long long)cuts);
	hf_core_unref(truth);
	core_node_remove(&source);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_cuts_leave_signed_cores),
	};

	random_state = 1;
	if (hf_crypto_init() != HF_OK)
		return 1;
	quiet_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
