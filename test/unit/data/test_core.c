/* A core against a plain array of blocks: appended, truncated, cleared, opened again, and handed by proofs to a reader that has only the
 * key, through random sequences of all that. */
#include "core_fixture.h"

#include "crypto/merkle_hash.h"

#define MODEL_BLOCKS 4000

struct model {
	uint64_t length, fork;
	uint32_t seeds[MODEL_BLOCKS]; /* a block's bytes follow from its seed */
};

static uint64_t random_state;

static uint64_t draw(uint64_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % below;
}

static size_t block_of(uint32_t seed, uint8_t out[static 9000])
{
	size_t length = seed % 97 == 0 ? 0 : seed % 53 == 0 ? 5000 + seed % 3000 : seed % 300;

	for (size_t i = 0; i < length; i++)
		out[i] = (uint8_t)(seed * 31 + i * 7);
	return length;
}

static void tree_hash_of(const struct model *model, uint64_t length, uint8_t out[static 32])
{
	struct hf_tree_node nodes[HF_TREE_APPEND_NODES_MAX];
	struct hf_tree tree = {0};
	uint8_t block[9000], hash[32];
	uint32_t count;

	for (uint64_t i = 0; i < length; i++) {
		struct iovec piece = {block, block_of(model->seeds[i], block)};

		hf_leaf_hash(hash, &piece, 1);
		assert_int_equal(hf_tree_append(&tree, piece.iov_len, hash, nodes, &count), HF_OK);
	}
	hf_tree_hash(&tree, out);
}

static void append_some(struct hf_core *core, struct model *model, size_t count)
{
	static uint8_t bytes[64][9000];
	struct hf_slice blocks[64];
	uint64_t first;

	for (size_t i = 0; i < count; i++) {
		uint32_t seed = (uint32_t)draw(1000000);

		model->seeds[model->length + i] = seed;
		blocks[i] = hf_slice(bytes[i], block_of(seed, bytes[i]));
	}
	assert_int_equal(hf_core_append(core, blocks, count, &first), HF_OK);
	assert_int_equal(first, model->length);
	model->length += count;
}

static void assert_block(struct hf_core *core, const struct model *model, uint64_t index)
{
	struct hf_buffer block = {0};
	uint8_t expected[9000];
	size_t length = block_of(model->seeds[index], expected);

	assert_int_equal(hf_core_get(core, index, &block), HF_OK);
	assert_int_equal(block.length, length);
	if (length > 0)
		assert_memory_equal(block.data, expected, length);
	hf_buffer_free(&block);
}

static void assert_tree(struct hf_core *core, const struct model *model)
{
	uint8_t expected[32], hash[32];

	assert_int_equal(hf_core_length(core), model->length);
	assert_int_equal(hf_core_fork(core), model->fork);
	tree_hash_of(model, model->length, expected);
	hf_tree_hash(hf_core_tree(core), hash);
	assert_memory_equal(hash, expected, 32);
}

/* One request of the reader's, answered by the writer. */
static int exchange(struct hf_core *writer, struct hf_core *reader, const struct hf_proof_request *request)
{
	struct hf_failure failure = {0};
	struct hf_buffer bytes = {0};
	struct hf_proof proof;
	bool grew;
	int status = hf_core_prove(writer, hf_core_fork(reader), request, &bytes, &proof);

	if (status == HF_OK)
		status = hf_core_put_proof(reader, &proof, &grew, &failure);
	if (failure.text[0] != '\0')
		print_message("%s\n", failure.text);
	hf_buffer_free(&bytes);
	return status;
}

static void follow_fork(struct hf_core *writer, struct hf_core *reader)
{
	const struct hf_tree *tree = hf_core_committed_tree(writer);
	struct hf_proof_request request = {.has_upgrade = true, .upgrade = {0, tree->length}, .wants_manifest = true};
	struct hf_tree_reader old = hf_core_nodes(reader);
	struct hf_proof_check check = {0};
	struct hf_buffer bytes = {0}, signature = {0};
	struct hf_reorg reorg = {0};
	struct hf_proof proof;

	assert_int_equal(hf_core_prove(writer, tree->fork, &request, &bytes, &proof), HF_OK);
	assert_int_equal(hf_core_check_fork(reader, &proof, &check, NULL), HF_OK);
	hf_buffer_append(&signature, proof.upgrade.signature.data, proof.upgrade.signature.length);
	assert_int_equal(hf_reorg_start(&reorg, &check, hf_core_length(reader)), HF_OK);
	while (hf_reorg_step(&reorg, &old) == HF_OK && !reorg.finished) {
		hf_reorg_request(&reorg, reorg.want_start, &request);
		hf_buffer_clear(&bytes);
		assert_int_equal(hf_core_prove(writer, tree->fork, &request, &bytes, &proof), HF_OK);
		assert_int_equal(hf_reorg_feed(&reorg, &proof), HF_OK);
	}
	assert_int_equal(hf_core_adopt(reader, &reorg, hf_buffer_slice(&signature)), HF_OK);
	hf_reorg_free(&reorg);
	hf_proof_check_free(&check);
	hf_buffer_free(&bytes);
	hf_buffer_free(&signature);
}

static void replicate_some(struct hf_core *writer, struct hf_core *reader, const struct model *model, int rounds)
{
	const struct hf_tree *theirs = hf_core_committed_tree(writer);

	if (hf_core_fork(reader) < theirs->fork && theirs->length > 0)
		follow_fork(writer, reader);
	if (hf_core_fork(reader) != theirs->fork)
		return;
	for (int i = 0; i < rounds && theirs->length > 0; i++) {
		uint64_t ours = hf_core_length(reader);
		struct hf_proof_request request = {.wants_manifest = true, .has_block = draw(5) > 0, .has_upgrade = ours < theirs->length && draw(2) == 0,
			.block.index = draw(theirs->length), .upgrade = {ours, theirs->length - ours}};

		request.has_upgrade |= request.has_block && request.block.index >= ours;
		if (!hf_bitfield_get(hf_core_blocks(writer), request.block.index))
			request.has_block = false;
		if (!request.has_block && !request.has_upgrade)
			continue;
		if (request.has_block && request.block.index < ours)
			assert_int_equal(hf_core_missing_nodes(reader, request.block.index, &request.block.nodes), HF_OK);
		assert_int_equal(exchange(writer, reader, &request), HF_OK);
		if (request.has_block)
			assert_block(reader, model, request.block.index);
	}
}

static void reopen(struct core_node *node, struct hf_core **core, const char *name)
{
	uint8_t key[32];

	memcpy(key, hf_core_key(*core), sizeof key);
	core_commit(*core);
	hf_core_unref(*core);
	core_node_close(node);
	core_node_open(node);
	*core = name != NULL ? core_by_name(node, name) : core_by_key(node, key);
}

static void random_sequence(uint64_t seed, int steps)
{
	struct core_node ours, theirs;
	struct model *model = calloc(1, sizeof *model);
	struct hf_core *writer, *reader;

	random_state = seed;
	core_node_make(&ours, 1);
	core_node_make(&theirs, 2);
	writer = core_by_name(&ours, "log");
	reader = core_by_key(&theirs, hf_core_key(writer));
	for (int step = 0; step < steps; step++) {
		switch (draw(10)) {
		case 0: case 1: case 2: case 3:
			if (model->length + 64 < MODEL_BLOCKS)
				append_some(writer, model, 1 + draw(draw(2) ? 4 : 64));
			break;
		case 4:
			if (draw(3) == 0 && model->length > 0) {
				model->length = draw(model->length + 1);
				assert_int_equal(hf_core_truncate(writer, model->length, HF_CORE_NEXT_FORK), HF_OK);
				model->fork++;
			}
			break;
		case 5:
			if (draw(4) == 0 && model->length > 0) {
				uint64_t from = draw(model->length), to = from + 1 + draw(6);
				struct hf_core *side = draw(2) ? writer : reader;

				if (side == reader || to < model->length / 2)
					assert_int_equal(hf_core_clear(side, from < hf_core_length(side) ? from : 0, to), HF_OK);
			}
			break;
		case 6: core_commit(draw(2) ? writer : reader); break;
		case 7:
			if (draw(6) == 0)
				reopen(&ours, &writer, "log");
			else if (draw(6) == 0)
				reopen(&theirs, &reader, NULL);
			break;
		default:
			core_commit(writer);
			replicate_some(writer, reader, model, 20);
		}
		assert_tree(writer, model);
		for (int i = 0; i < 5 && model->length > 0; i++) {
			uint64_t index = draw(model->length);

			if (hf_bitfield_get(hf_core_blocks(writer), index))
				assert_block(writer, model, index);
		}
	}
	core_commit(writer);
	replicate_some(writer, reader, model, 4000);
	core_commit(reader);
	if (hf_core_fork(reader) == model->fork && hf_core_length(reader) == model->length)
		assert_tree(reader, model);
	for (uint64_t i = 0; i < hf_core_length(reader) && hf_core_fork(reader) == model->fork; i++)
		if (hf_bitfield_get(hf_core_blocks(reader), i))
			assert_block(reader, model, i);
	hf_core_unref(writer);
	hf_core_unref(reader);
	core_node_remove(&ours);
	core_node_remove(&theirs);
	free(model);
}

static void test_random_sequences_agree_with_an_array(void **state)
{
	const char *scale = getenv("SCALE");
	uint64_t count = 12 * (scale != NULL ? (uint64_t)atoi(scale) : 1);

	(void)state;
	for (uint64_t seed = 1; seed <= count; seed++) {
		print_message("seed %llu\n", (unsigned long long)seed);
		random_sequence(seed, 150);
	}
}

int main(void)
{
	hf_crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_sequences_agree_with_an_array),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
