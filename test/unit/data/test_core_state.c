/* What a core keeps beside its blocks: what it was (snapshots, checkouts, and the shelf under them), notes, signatures that others made,
 * keys, and that it is frozen. Each is looked at with the change staged, committed, failed, and after the store was opened again. */
#include "core_fixture.h"

#include <sys/stat.h>

#include "crypto/block_cipher.h"
#include "crypto/merkle_hash.h"
#include "crypto/sign.h"
#include "data/hypercore/layout.h"
#include "data/hypercore/signature.h"
#include "support/power_fs.h"

#define SIGNERS 3

/* Outlive a test that fails: their threads go on. */
static struct core_node node, other;
static struct power_fs *power;

static void make_node_that_can_fail(void)
{
	core_node_make(&node, 1);
	core_node_remove(&node);
	power = power_fs_new();
	node.env.fs = power_fs_fs(power);
	assert_int_equal(mkdir(node.directory, 0700), 0);
	core_node_open(&node);
}

static void remove_node_that_can_fail(void)
{
	core_node_remove(&node);
	power_fs_free(power);
}

static void append_text(struct hf_core *core, const char *text)
{
	struct hf_slice block = hf_slice_text(text);

	assert_int_equal(hf_core_append(core, &block, 1, NULL), HF_OK);
}

static void append_numbered(struct hf_core *core, unsigned count)
{
	char text[40];

	for (unsigned i = 0; i < count; i++) {
		snprintf(text, sizeof text, "%llu of fork %llu", (unsigned long long)hf_core_length(core), (unsigned long long)hf_core_fork(core));
		append_text(core, text);
	}
}

static void truncate_to(struct hf_core *core, uint64_t length)
{
	assert_int_equal(hf_core_truncate(core, length, HF_CORE_NEXT_FORK), HF_OK);
}

static void assert_text(const struct hf_buffer *block, uint64_t index, uint64_t fork)
{
	char text[40];

	snprintf(text, sizeof text, "%llu of fork %llu", (unsigned long long)index, (unsigned long long)fork);
	assert_true(hf_slice_equal(hf_buffer_slice(block), hf_slice_text(text)));
}

/* That its blocks [from, to) are those of that fork. */
static void assert_snapshot(struct hf_core_snapshot *snapshot, uint64_t from, uint64_t to, uint64_t fork)
{
	struct hf_buffer block = {0};

	for (uint64_t i = from; i < to; i++) {
		hf_buffer_clear(&block);
		assert_int_equal(hf_core_snapshot_get(snapshot, i, &block), HF_OK);
		assert_text(&block, i, fork);
	}
	assert_int_equal(hf_core_snapshot_get(snapshot, hf_core_snapshot_tree(snapshot)->length, &block), HF_ENOTFOUND);
	hf_buffer_free(&block);
}

static void assert_core(struct hf_core *core, uint64_t from, uint64_t to, uint64_t fork)
{
	struct hf_buffer block = {0};

	for (uint64_t i = from; i < to; i++) {
		hf_buffer_clear(&block);
		assert_int_equal(hf_core_get(core, i, &block), HF_OK);
		assert_text(&block, i, fork);
	}
	hf_buffer_free(&block);
}

static void reopen(struct hf_core **core)
{
	uint8_t key[32];

	memcpy(key, hf_core_key(*core), sizeof key);
	hf_core_unref(*core);
	core_node_close(&node);
	core_node_open(&node);
	*core = core_by_key(&node, key);
}

/* Whether the first core of the node has something on its shelf in the store. */
static bool has_shelved(void)
{
	struct hf_buffer bytes = {0};
	int status = hf_store_log_get(node.store, hf_layout_log(1, HF_LAYOUT_SHELF), 0, HF_READ_BLOCKING, &bytes);

	hf_buffer_free(&bytes);
	assert_true(status == HF_OK || status == HF_ENOTFOUND);
	return status == HF_OK;
}

/* ---- Snapshots ---- */

static void test_a_snapshot_reads_what_was_truncated_after_it(void **state)
{
	struct hf_core_snapshot *first, *second;
	struct hf_core *core;

	(void)state;
	core_node_make(&node, 1);
	core = core_by_name(&node, "log");
	append_numbered(core, 20);
	core_commit(core);
	assert_int_equal(hf_core_snapshot(core, &first), HF_OK);
	truncate_to(core, 12);
	append_numbered(core, 8);
	assert_snapshot(first, 0, 20, 0); /* staged */
	assert_int_equal(hf_core_commit(core, HF_DURABLE_OS, NULL, NULL), HF_OK);
	assert_snapshot(first, 0, 20, 0); /* on its way */
	hf_corestore_settle(node.cores);
	assert_snapshot(first, 0, 20, 0);
	assert_true(has_shelved());
	assert_core(core, 12, 20, 1);

	/* Of what the next truncation takes each needs its own part. */
	assert_int_equal(hf_core_snapshot(core, &second), HF_OK);
	truncate_to(core, 5);
	append_numbered(core, 30);
	core_commit(core);
	assert_snapshot(first, 0, 20, 0);
	assert_snapshot(second, 0, 12, 0);
	assert_snapshot(second, 12, 20, 1);
	assert_core(core, 0, 5, 0);
	assert_core(core, 5, 35, 2);
	assert_int_equal(hf_core_snapshot_tree(first)->fork, 0);
	assert_int_equal(hf_core_snapshot_tree(second)->fork, 1);

	hf_core_snapshot_free(first);
	assert_snapshot(second, 12, 20, 1);
	hf_core_snapshot_free(second);
	core_commit(core);
	assert_false(has_shelved());
	hf_core_unref(core);
	core_node_remove(&node);
}

static void test_without_a_snapshot_nothing_is_put_aside(void **state)
{
	struct hf_core_snapshot *snapshot;
	struct hf_core *core;

	(void)state;
	core_node_make(&node, 1);
	core = core_by_name(&node, "log");
	append_numbered(core, 10);
	core_commit(core);
	truncate_to(core, 5);
	core_commit(core);
	assert_false(has_shelved());
	/* Nor what none of them reaches. */
	assert_int_equal(hf_core_checkout(core, 3, &snapshot), HF_OK);
	truncate_to(core, 4);
	core_commit(core);
	assert_false(has_shelved());
	assert_snapshot(snapshot, 0, 3, 0);
	hf_core_snapshot_free(snapshot);
	hf_core_unref(core);
	core_node_remove(&node);
}

static void test_a_checkout_is_the_core_at_an_earlier_length(void **state)
{
	struct hf_core_snapshot *snapshot, *none;
	struct hf_core *core;
	struct hf_tree seventh;
	uint8_t expected[32], hash[32];

	(void)state;
	core_node_make(&node, 1);
	core = core_by_name(&node, "log");
	append_numbered(core, 7);
	hf_tree_copy(&seventh, hf_core_tree(core));
	append_numbered(core, 13);
	core_commit(core);
	assert_int_equal(hf_core_checkout(core, 21, &none), HF_EINVAL);
	assert_int_equal(hf_core_checkout(core, 7, &snapshot), HF_OK);
	hf_tree_hash(&seventh, expected);
	hf_tree_hash(hf_core_snapshot_tree(snapshot), hash);
	assert_memory_equal(hash, expected, sizeof hash);
	assert_int_equal(hf_core_snapshot_tree(snapshot)->byte_length, seventh.byte_length);
	assert_snapshot(snapshot, 0, 7, 0);
	truncate_to(core, 0);
	append_numbered(core, 3);
	core_commit(core);
	assert_snapshot(snapshot, 0, 7, 0);
	hf_core_snapshot_free(snapshot);
	hf_core_unref(core);
	core_node_remove(&node);
}

static void test_what_is_cleared_is_gone_from_snapshots_too(void **state)
{
	struct hf_core_snapshot *snapshot;
	struct hf_buffer block = {0};
	struct hf_core *core;

	(void)state;
	core_node_make(&node, 1);
	core = core_by_name(&node, "log");
	append_numbered(core, 10);
	core_commit(core);
	assert_int_equal(hf_core_snapshot(core, &snapshot), HF_OK);
	assert_int_equal(hf_core_clear(core, 6, 8), HF_OK);
	assert_int_equal(hf_core_snapshot_get(snapshot, 6, &block), HF_EWAIT);
	truncate_to(core, 4);
	core_commit(core);
	assert_int_equal(hf_core_snapshot_get(snapshot, 6, &block), HF_ECANCELED);
	assert_snapshot(snapshot, 0, 6, 0);
	assert_snapshot(snapshot, 8, 10, 0);
	hf_core_snapshot_free(snapshot);
	hf_core_unref(core);
	hf_buffer_free(&block);
	core_node_remove(&node);
}

/* The program ended before the last snapshot did. */
static void test_a_shelf_that_was_left_is_void_when_the_store_is_opened(void **state)
{
	struct hf_core_snapshot *snapshot;
	struct hf_core *core;

	(void)state;
	make_node_that_can_fail();
	core = core_by_name(&node, "log");
	append_numbered(core, 10);
	core_commit(core);
	assert_int_equal(hf_core_snapshot(core, &snapshot), HF_OK);
	truncate_to(core, 5);
	core_commit(core);
	power_fs_die_now(power);
	hf_core_snapshot_free(snapshot);
	hf_core_unref(core);
	hf_corestore_close(node.cores);
	hf_store_abandon(node.store);
	assert_int_equal(power_fs_cut(power, 1, POWER_FS_KEEP_ALL), HF_OK);
	core_node_open(&node);
	assert_true(has_shelved());
	core = core_by_name(&node, "log");
	assert_core(core, 0, 5, 0);
	core_commit(core);
	assert_false(has_shelved());
	hf_core_unref(core);
	remove_node_that_can_fail();
}

static void test_a_truncation_that_was_not_committed_leaves_snapshots_what_they_had(void **state)
{
	struct hf_core_snapshot *before, *within;
	struct hf_buffer block = {0};
	struct hf_core *core;

	(void)state;
	make_node_that_can_fail();
	core = core_by_name(&node, "log");
	append_numbered(core, 20);
	core_commit(core);
	assert_int_equal(hf_core_snapshot(core, &before), HF_OK);
	truncate_to(core, 12);
	append_numbered(core, 8);
	assert_int_equal(hf_core_snapshot(core, &within), HF_OK);
	power_fs_fail_write(power, 1);
	assert_int_equal(hf_core_commit_wait(core, HF_DURABLE_OS), HF_EIO);
	assert_int_equal(hf_core_fork(core), 0);
	assert_snapshot(before, 0, 20, 0);
	assert_int_equal(hf_core_snapshot_get(within, 15, &block), HF_ECANCELED);

	/* What is truncated from now on is theirs again. */
	hf_core_snapshot_free(within);
	assert_int_equal(hf_core_snapshot(core, &within), HF_OK);
	truncate_to(core, 10);
	append_numbered(core, 15);
	core_commit(core);
	assert_snapshot(before, 0, 20, 0);
	assert_snapshot(within, 0, 20, 0);
	assert_core(core, 10, 25, 1);
	hf_core_snapshot_free(before);
	hf_core_snapshot_free(within);
	hf_core_unref(core);
	hf_buffer_free(&block);
	remove_node_that_can_fail();
}

/* ---- Notes ---- */

static void set_note(struct hf_core *core, const char *name, const char *value, int status)
{
	assert_int_equal(hf_core_set_user_data(core, hf_slice_text(name), hf_slice_text(value)), status);
}

static void assert_note(struct hf_core *core, const char *name, const char *value)
{
	struct hf_buffer found = {0};
	int status = hf_core_get_user_data(core, hf_slice_text(name), &found);

	assert_int_equal(status, value == NULL ? HF_ENOTFOUND : HF_OK);
	if (value != NULL)
		assert_true(hf_slice_equal(hf_buffer_slice(&found), hf_slice_text(value)));
	hf_buffer_free(&found);
}

static void test_notes_are_kept_replaced_and_removed(void **state)
{
	static const char *const names[] = {"middle", "a", "z", "mid", "middles"};
	struct hf_core *core;

	(void)state;
	core_node_make(&node, 1);
	core = core_by_name(&node, "log");
	assert_note(core, "a", NULL);
	for (size_t i = 0; i < 5; i++)
		set_note(core, names[i], names[4 - i], HF_OK);
	set_note(core, "mid", "replaced by something longer", HF_OK);
	set_note(core, "z", "", HF_OK);
	set_note(core, "was never there", "", HF_OK);
	core_commit(core);
	for (int round = 0; round < 2; round++) {
		assert_note(core, "middle", "middles");
		assert_note(core, "a", "mid");
		assert_note(core, "z", NULL);
		assert_note(core, "mid", "replaced by something longer");
		assert_note(core, "middles", "middle");
		assert_note(core, "midd", NULL);
		reopen(&core);
	}
	assert_int_equal(hf_core_length(core), 0);
	hf_core_unref(core);
	core_node_remove(&node);
}

static void test_notes_are_bounded_together(void **state)
{
	static char large[HF_CORE_USER_DATA_BYTES_MAX / 2 + 1];
	struct hf_core *core;

	(void)state;
	memset(large, 'x', sizeof large - 1);
	core_node_make(&node, 1);
	core = core_by_name(&node, "log");
	set_note(core, "one", large, HF_OK);
	set_note(core, "two", large, HF_ETOOBIG);
	assert_note(core, "two", NULL);
	assert_note(core, "one", large);
	set_note(core, "one", "small", HF_OK);
	set_note(core, "two", large, HF_OK);
	core_commit(core);
	reopen(&core);
	assert_note(core, "one", "small");
	assert_note(core, "two", large);
	hf_core_unref(core);
	core_node_remove(&node);
}

/* ---- Signed elsewhere ---- */

struct quorum {
	uint8_t secret[SIGNERS][HF_SIGN_SECRET_BYTES], public_key[SIGNERS][32];
	struct hf_buffer signers;
	struct hf_manifest manifest;
};

static void make_quorum(struct quorum *q)
{
	*q = (struct quorum){.manifest = {.version = 1, .signer_count = SIGNERS, .quorum = 2}};
	for (uint8_t i = 0; i < SIGNERS; i++) {
		uint8_t seed[32] = {i, 77};

		hf_sign_keypair_from_seed(q->public_key[i], q->secret[i], seed);
		assert_int_equal(hf_manifest_signer_write(&q->signers, hf_namespaces[HF_NAMESPACE_DEFAULT], q->public_key[i]), HF_OK);
	}
	q->manifest.signers = hf_buffer_slice(&q->signers);
}

/* The tree that a block makes of the core's. */
static void tree_with(struct hf_core *core, const char *text, struct hf_tree *tree)
{
	struct hf_tree_node leaf, nodes[HF_TREE_APPEND_NODES_MAX];
	uint32_t count;

	hf_tree_copy(tree, hf_core_tree(core));
	hf_tree_leaf(&leaf, tree->length, hf_slice_text(text));
	assert_int_equal(hf_tree_append(tree, leaf.size, leaf.hash, nodes, &count), HF_OK);
}

static int append_signed(struct hf_core *core, const struct quorum *q, const char *text, const char *signed_text, const unsigned *who,
	size_t count)
{
	uint8_t hash[32], signable[HF_SIGNABLE_BYTES_MAX], signatures[SIGNERS][64];
	struct hf_signature_part parts[SIGNERS];
	struct hf_buffer signature = {0};
	struct hf_slice block = hf_slice_text(text);
	struct hf_tree tree;
	int status;

	tree_with(core, signed_text, &tree);
	hf_tree_hash(&tree, hash);
	for (size_t i = 0; i < count; i++) {
		size_t length = hf_signature_signable(signable, &q->manifest, hf_core_key(core), who[i], hash, tree.length, tree.fork);

		hf_sign(signatures[i], hf_slice(signable, length), q->secret[who[i]]);
		parts[i] = (struct hf_signature_part){.signer = who[i], .signature = signatures[i]};
	}
	assert_int_equal(hf_signature_assemble(&q->manifest, hf_core_key(core), parts, count, &signature), HF_OK);
	status = hf_core_append_signed(core, &block, 1, hf_buffer_slice(&signature));
	hf_buffer_free(&signature);
	return status;
}

static void test_a_core_of_several_grows_by_what_enough_of_them_signed(void **state)
{
	static const unsigned both[] = {2, 0}, twice[] = {1, 1}, all[] = {0, 1, 2};
	struct hf_slice alone = HF_SLICE_LITERAL("alone");
	struct hf_core_options options = {.size = sizeof options};
	struct hf_buffer block = {0};
	struct hf_core *core;
	struct quorum q;

	(void)state;
	core_node_make(&node, 1);
	make_quorum(&q);
	options.manifest = &q.manifest;
	options.secret_key = q.secret[0];
	assert_int_equal(hf_corestore_get(node.cores, &options, &core, NULL), HF_OK);
	assert_false(hf_core_is_writable(core));
	assert_int_equal(hf_core_append(core, &alone, 1, NULL), HF_EDENIED);
	assert_int_equal(append_signed(core, &q, "one", "one", both, 2), HF_OK);
	core_commit(core);
	for (int round = 0; round < 2; round++) {
		uint64_t length = hf_core_length(core);

		assert_int_equal(append_signed(core, &q, "two", "two", both, 1), HF_EBADSIG);
		assert_int_equal(append_signed(core, &q, "two", "two", twice, 2), HF_EBADSIG);
		assert_int_equal(append_signed(core, &q, "two", "too", both, 2), HF_EBADSIG);
		assert_int_equal(hf_core_length(core), length);
		assert_int_equal(hf_bitfield_count(hf_core_blocks(core)), length);
		assert_int_equal(append_signed(core, &q, "two", "two", all, 3), HF_OK);
		core_commit(core);
		assert_int_equal(hf_core_length(core), length + 1);
		assert_int_equal(hf_signature_verify(&q.manifest, hf_core_key(core), hf_core_committed_tree(core), hf_core_signature(core)), HF_OK);
		reopen(&core);
	}
	assert_int_equal(hf_core_length(core), 3);
	assert_int_equal(hf_core_get(core, 0, &block), HF_OK);
	assert_true(hf_slice_equal(hf_buffer_slice(&block), HF_SLICE_LITERAL("one")));
	hf_core_unref(core);
	hf_buffer_free(&block);
	hf_buffer_free(&q.signers);
	core_node_remove(&node);
}

/* ---- Encrypted ---- */

static const uint8_t right_key[32] = {1, 2, 3}, wrong_key[32] = {3, 2, 1};

static struct hf_core *open_encrypted(struct core_node *at, const uint8_t *core_key, const uint8_t *key)
{
	struct hf_core_options options = {.size = sizeof options, .name = HF_SLICE_LITERAL("secret"), .key = core_key, .encryption_key = key};
	struct hf_core *core;

	assert_int_equal(hf_corestore_get(at->cores, &options, &core, NULL), HF_OK);
	return core;
}

static void close_and_open(void)
{
	core_node_close(&node);
	core_node_open(&node);
}

static void test_an_encrypted_core_is_read_again_with_its_key_alone(void **state)
{
	struct hf_core_options options = {.size = sizeof options, .name = HF_SLICE_LITERAL("secret"), .encryption_key = wrong_key};
	struct hf_buffer block = {0};
	struct hf_core *core, *again;
	uint64_t plain_bytes;

	(void)state;
	core_node_make(&node, 1);
	core = open_encrypted(&node, NULL, right_key);
	append_numbered(core, 10);
	core_commit(core);
	plain_bytes = hf_core_byte_length(core);
	hf_core_unref(core);
	close_and_open();

	core = open_encrypted(&node, NULL, right_key);
	assert_true(hf_core_is_encrypted(core));
	assert_int_equal(hf_core_byte_length(core), plain_bytes);
	assert_int_equal(hf_core_tree(core)->byte_length, plain_bytes + 10 * HF_BLOCK_PADDING_BYTES);
	assert_core(core, 0, 10, 0);
	assert_int_equal(hf_corestore_get(node.cores, &options, &again, NULL), HF_EEXISTS);
	truncate_to(core, 4);
	append_numbered(core, 4);
	core_commit(core);
	hf_core_unref(core);
	close_and_open();

	core = open_encrypted(&node, NULL, right_key);
	assert_core(core, 0, 4, 0);
	assert_core(core, 4, 8, 1);
	hf_core_unref(core);
	core = open_encrypted(&node, NULL, NULL);
	assert_false(hf_core_is_encrypted(core));
	assert_int_equal(hf_core_get(core, 0, &block), HF_OK);
	assert_int_equal(block.length, HF_BLOCK_PADDING_BYTES + strlen("0 of fork 0"));
	assert_memory_not_equal(block.data + HF_BLOCK_PADDING_BYTES, "0 of fork 0", strlen("0 of fork 0"));
	hf_core_unref(core);
	core = open_encrypted(&node, NULL, wrong_key);
	hf_buffer_clear(&block);
	assert_int_equal(hf_core_get(core, 0, &block), HF_OK);
	assert_memory_not_equal(block.data, "0 of fork 0", strlen("0 of fork 0"));
	hf_core_unref(core);
	hf_buffer_free(&block);
	core_node_remove(&node);
}

static void test_a_snapshot_of_an_encrypted_core_is_opened(void **state)
{
	struct hf_core_snapshot *snapshot;
	struct hf_core *core;

	(void)state;
	core_node_make(&node, 1);
	core = open_encrypted(&node, NULL, right_key);
	append_numbered(core, 10);
	core_commit(core);
	assert_int_equal(hf_core_snapshot(core, &snapshot), HF_OK);
	truncate_to(core, 3);
	append_numbered(core, 7);
	core_commit(core);
	assert_snapshot(snapshot, 0, 10, 0);
	hf_core_snapshot_free(snapshot);
	hf_core_unref(core);
	core_node_remove(&node);
}

static void bring_block(struct hf_core *from, struct hf_core *to)
{
	struct hf_proof_request request = {.has_block = true, .has_upgrade = true, .upgrade = {0, 1}, .wants_manifest = true};
	struct hf_buffer bytes = {0};
	struct hf_proof proof;
	bool grew;

	assert_int_equal(hf_core_prove(from, 0, &request, &bytes, &proof), HF_OK);
	assert_int_equal(hf_core_put_proof(to, &proof, &grew, NULL), HF_OK);
	core_commit(to);
	hf_buffer_free(&bytes);
}

/* Whether a core is a compat one shows in its manifest, which comes with the first block. */
static void test_the_encryption_key_may_come_before_the_manifest(void **state)
{
	uint8_t secret[HF_SIGN_SECRET_BYTES], public_key[32], seed[32] = {5};

	(void)state;
	hf_sign_keypair_from_seed(public_key, secret, seed);
	core_node_make(&node, 1);
	core_node_make(&other, 2);
	for (int compat = 0; compat < 2; compat++) {
		struct hf_core_options options = {.size = sizeof options, .secret_key = secret, .compat = compat, .encryption_key = right_key};
		struct hf_core *writer, *reader;

		assert_int_equal(hf_corestore_get(other.cores, &options, &writer, NULL), HF_OK);
		append_numbered(writer, 1);
		core_commit(writer);
		reader = open_encrypted(&node, hf_core_key(writer), right_key);
		assert_null(hf_core_manifest(reader));
		assert_int_equal(hf_core_set_encryption_key(reader, wrong_key, false), HF_EEXISTS);
		bring_block(writer, reader);
		assert_int_equal(hf_core_is_compat(reader), compat);
		assert_core(reader, 0, 1, 0);
		assert_int_equal(hf_core_set_encryption_key(reader, right_key, false), HF_OK);
		assert_int_equal(hf_core_set_encryption_key(reader, wrong_key, false), HF_EEXISTS);
		hf_core_unref(reader);
		hf_core_unref(writer);
	}
	core_node_remove(&node);
	core_node_remove(&other);
}

/* ---- Frozen ---- */

static void assert_frozen(struct hf_core *core)
{
	struct hf_slice block = HF_SLICE_LITERAL("more");

	assert_true(hf_core_is_frozen(core));
	assert_int_equal(hf_core_append(core, &block, 1, NULL), HF_EDENIED);
	assert_int_equal(hf_core_truncate(core, 1, HF_CORE_NEXT_FORK), HF_EDENIED);
	assert_int_equal(hf_core_clear(core, 0, 1), HF_EDENIED);
	assert_int_equal(hf_core_set_user_data(core, HF_SLICE_LITERAL("a"), HF_SLICE_LITERAL("b")), HF_EDENIED);
}

static void test_a_frozen_core_is_frozen_when_it_is_opened_again(void **state)
{
	struct hf_core *core, *sound;

	(void)state;
	core_node_make(&node, 1);
	core = core_by_name(&node, "log");
	sound = core_by_name(&node, "sound");
	append_numbered(core, 5);
	core_commit(core);
	append_numbered(core, 2); /* goes with it */
	hf_core_freeze(core);
	assert_frozen(core);
	for (int round = 0; round < 3; round++) {
		hf_core_unref(sound);
		reopen(&core);
		assert_frozen(core);
		assert_int_equal(hf_core_length(core), 7);
		assert_core(core, 0, 7, 0);
		sound = core_by_name(&node, "sound");
		assert_false(hf_core_is_frozen(sound));
		append_numbered(sound, 1);
		core_commit(sound);
	}
	hf_core_unref(core);
	hf_core_unref(sound);
	core_node_remove(&node);
}

static void test_a_core_that_froze_under_a_snapshot_opens_again(void **state)
{
	struct hf_core_snapshot *snapshot;
	struct hf_core *core;

	(void)state;
	core_node_make(&node, 1);
	core = core_by_name(&node, "log");
	append_numbered(core, 5);
	core_commit(core);
	assert_int_equal(hf_core_snapshot(core, &snapshot), HF_OK);
	truncate_to(core, 2);
	core_commit(core);
	hf_core_freeze(core);
	assert_snapshot(snapshot, 0, 5, 0);
	hf_core_snapshot_free(snapshot);
	reopen(&core);
	assert_frozen(core);
	assert_core(core, 0, 2, 0);
	hf_core_unref(core);
	core_node_remove(&node);
}

/* It is tried once more: what failed may have been the other one. */
static void test_a_core_freezes_although_the_commit_before_it_failed(void **state)
{
	struct hf_core *core;

	(void)state;
	make_node_that_can_fail();
	core = core_by_name(&node, "log");
	append_numbered(core, 5);
	core_commit(core);
	append_numbered(core, 5);
	power_fs_fail_write(power, 1);
	assert_int_equal(hf_core_commit(core, HF_DURABLE_OS, NULL, NULL), HF_OK);
	hf_core_freeze(core);
	hf_corestore_settle(node.cores);
	assert_frozen(core);
	hf_corestore_settle(node.cores);
	reopen(&core);
	assert_frozen(core);
	hf_core_unref(core);
	remove_node_that_can_fail();
}

/* As every head was written before there was a flag for it. */
static void test_heads_of_version_1_are_read(void **state)
{
	const uint8_t record[] = {1, 3, 7, 5, 50, 4, 2, 'a', 'b'}, later[] = {3, 0, 0, 0, 0, 0, 0};
	struct hf_layout_head head;
	struct hf_buffer out = {0};

	(void)state;
	assert_int_equal(hf_layout_head_decode(&head, hf_slice(record, sizeof record)), HF_OK);
	assert_true(head.has_shelf && !head.is_frozen);
	assert_true(head.fork == 7 && head.length == 5 && head.byte_length == 50 && head.contiguous == 4 && head.signature.length == 2);
	assert_int_equal(hf_layout_head_encode(&head, &out), HF_OK);
	assert_int_equal(out.data[0], 1);
	assert_int_equal(out.data[1], 1);
	hf_buffer_clear(&out);
	head.is_frozen = true;
	assert_int_equal(hf_layout_head_encode(&head, &out), HF_OK);
	assert_int_equal(out.data[0], 2);
	assert_int_equal(hf_layout_head_decode(&head, hf_slice(later, sizeof later)), HF_EVERSION);
	hf_buffer_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_snapshot_reads_what_was_truncated_after_it),
		cmocka_unit_test(test_without_a_snapshot_nothing_is_put_aside),
		cmocka_unit_test(test_a_checkout_is_the_core_at_an_earlier_length),
		cmocka_unit_test(test_what_is_cleared_is_gone_from_snapshots_too),
		cmocka_unit_test(test_a_shelf_that_was_left_is_void_when_the_store_is_opened),
		cmocka_unit_test(test_a_truncation_that_was_not_committed_leaves_snapshots_what_they_had),
		cmocka_unit_test(test_notes_are_kept_replaced_and_removed),
		cmocka_unit_test(test_notes_are_bounded_together),
		cmocka_unit_test(test_a_core_of_several_grows_by_what_enough_of_them_signed),
		cmocka_unit_test(test_an_encrypted_core_is_read_again_with_its_key_alone),
		cmocka_unit_test(test_a_snapshot_of_an_encrypted_core_is_opened),
		cmocka_unit_test(test_the_encryption_key_may_come_before_the_manifest),
		cmocka_unit_test(test_a_frozen_core_is_frozen_when_it_is_opened_again),
		cmocka_unit_test(test_a_core_that_froze_under_a_snapshot_opens_again),
		cmocka_unit_test(test_a_core_freezes_although_the_commit_before_it_failed),
		cmocka_unit_test(test_heads_of_version_1_are_read),
	};

	if (hf_crypto_init() != HF_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
