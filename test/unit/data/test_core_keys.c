/* Who may write a core and who may read it: signatures that several made elsewhere, and encryption keys, also after the store was opened
 * again. */
#include "core_fixture.h"

#include "crypto/block_cipher.h"
#include "crypto/sign.h"
#include "data/hypercore/signature.h"

#define SIGNERS 3

/* Outlive a test that fails: their threads go on. */
static struct core_node node, other;

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
		core_reopen(&node, &core);
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
	core_fill(core, 10);
	core_commit(core);
	plain_bytes = hf_core_byte_length(core);
	hf_core_unref(core);
	close_and_open();

	core = open_encrypted(&node, NULL, right_key);
	assert_true(hf_core_is_encrypted(core));
	assert_int_equal(hf_core_byte_length(core), plain_bytes);
	assert_int_equal(hf_core_tree(core)->byte_length, plain_bytes + 10 * HF_BLOCK_PADDING_BYTES);
	core_assert_filled(core, 0, 10, 0);
	assert_int_equal(hf_corestore_get(node.cores, &options, &again, NULL), HF_EEXISTS);
	core_truncate(core, 4);
	core_fill(core, 4);
	core_commit(core);
	hf_core_unref(core);
	close_and_open();

	core = open_encrypted(&node, NULL, right_key);
	core_assert_filled(core, 0, 4, 0);
	core_assert_filled(core, 4, 8, 1);
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
	struct hf_buffer block = {0};
	struct hf_core *core;

	(void)state;
	core_node_make(&node, 1);
	core = open_encrypted(&node, NULL, right_key);
	core_fill(core, 10);
	core_commit(core);
	assert_int_equal(hf_core_snapshot(core, &snapshot), HF_OK);
	core_truncate(core, 3);
	core_fill(core, 7);
	core_commit(core);
	for (uint64_t i = 0; i < 10; i++) {
		hf_buffer_clear(&block);
		assert_int_equal(hf_core_snapshot_get(snapshot, i, &block), HF_OK);
		core_assert_text(&block, i, 0);
	}
	hf_buffer_free(&block);
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
		core_fill(writer, 1);
		core_commit(writer);
		reader = open_encrypted(&node, hf_core_key(writer), right_key);
		assert_null(hf_core_manifest(reader));
		assert_int_equal(hf_core_set_encryption_key(reader, wrong_key, false), HF_EEXISTS);
		bring_block(writer, reader);
		assert_int_equal(hf_core_is_compat(reader), compat);
		core_assert_filled(reader, 0, 1, 0);
		assert_int_equal(hf_core_set_encryption_key(reader, right_key, false), HF_OK);
		assert_int_equal(hf_core_set_encryption_key(reader, wrong_key, false), HF_EEXISTS);
		hf_core_unref(reader);
		hf_core_unref(writer);
	}
	core_node_remove(&node);
	core_node_remove(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_core_of_several_grows_by_what_enough_of_them_signed),
		cmocka_unit_test(test_an_encrypted_core_is_read_again_with_its_key_alone),
		cmocka_unit_test(test_a_snapshot_of_an_encrypted_core_is_opened),
		cmocka_unit_test(test_the_encryption_key_may_come_before_the_manifest),
	};

	if (hf_crypto_init() != HF_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
