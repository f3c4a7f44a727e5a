/* Random trees, random requests: what one side builds the other accepts, and what is not true gets in nowhere. */
#include "core_model.h"

#include "data/hypercore/reorg.h"
#include "data/hypercore/seek.h"

#define TREES 120
#define STEPS_PER_TREE 60
#define LENGTH_MAX 300
#define FLIPPED_PROOFS 300
#define FLIPPED_SIGNED_PROOFS 40 /* signatures are slow */

static int set_up(void **state) { return hf_crypto_init(); }

struct exchange {
	struct core *writer, *reader;
	struct core_signer signer;
	struct hf_proof_check check;
	struct hf_buffer nodes, again, signature, message;
	uint64_t random;
};

static void exchange_init(struct exchange *x, uint64_t seed)
{
	uint8_t key_seed[32] = {1};

	*x = (struct exchange){.writer = core_new(), .reader = core_new(), .random = seed * 0x9e3779b97f4a7c15u + 1};
	x->writer->random = x->random + 1;
	x->reader->random = x->random + 2;
	core_signer_init(&x->signer, key_seed);
}

static void exchange_free(struct exchange *x)
{
	free(x->writer);
	free(x->reader);
	hf_proof_check_free(&x->check);
	hf_buffer_free(&x->nodes);
	hf_buffer_free(&x->again);
	hf_buffer_free(&x->signature);
	hf_buffer_free(&x->message);
}

static void grow(struct exchange *x, struct core *core, uint64_t count)
{
	for (; count > 0 && core->tree.length < LENGTH_MAX; count--) {
		uint8_t block[CORE_BLOCK_BYTES_MAX];
		size_t length = core_below(&x->random, 8) == 0 ? 0 : core_below(&x->random, 24);

		for (size_t i = 0; i < length; i++)
			block[i] = (uint8_t)core_random(&x->random);
		core_append(core, hf_slice(block, length));
	}
}

/* What a reader may ask by what it holds; false when there is nothing to ask. */
static bool make_request(struct exchange *x, struct hf_proof_request *out)
{
	struct hf_tree_reader nodes = core_reader(x->reader);
	uint64_t ours = x->reader->tree.length, theirs = x->writer->tree.length;

	*out = (struct hf_proof_request){.has_block = false};
	out->has_upgrade = theirs > ours && (ours == 0 || core_below(&x->random, 3) == 0);
	if (out->has_upgrade) {
		out->upgrade.start = ours;
		out->upgrade.length = 1 + core_below(&x->random, theirs - ours);
	}
	uint64_t end = out->has_upgrade ? ours + out->upgrade.length : ours;
	if (end == 0)
		return false;
	switch (core_below(&x->random, out->has_upgrade ? 4 : 2)) {
	case 0:
		out->has_block = true;
		out->block.index = core_below(&x->random, end);
		assert_int_equal(hf_seek_missing(&x->reader->tree, &nodes, 2 * out->block.index, &out->block.nodes), HF_OK);
		break;
	case 1:
		out->has_hash = true;
		out->hash.index = core_below(&x->random, 2 * end - 1);
		if (hf_flat_right_span(out->hash.index) >= 2 * end)
			out->hash.index &= ~(uint64_t)1;
		if (hf_flat_left_span(out->hash.index) < 2 * ours && hf_flat_right_span(out->hash.index) >= 2 * ours)
			out->hash.index &= ~(uint64_t)1;
		assert_int_equal(hf_seek_missing(&x->reader->tree, &nodes, out->hash.index, &out->hash.nodes), HF_OK);
		break;
	default:
		break;
	}
	out->has_seek = core_below(&x->random, 3) == 0;
	out->seek.bytes = core_below(&x->random, x->writer->tree.byte_length + 2);
	return true;
}

/* The answer, with reads that are not ready now and then; it may not differ from the one without. */
static int answer(struct exchange *x, const struct hf_proof_request *request, struct hf_proof *proof)
{
	struct hf_tree_reader nodes = core_reader(x->writer);
	struct hf_proof other;
	int status, again;

	hf_buffer_clear(&x->nodes);
	hf_buffer_clear(&x->again);
	status = hf_proof_build(&x->writer->tree, &nodes, 0, request, &x->nodes, proof);
	x->writer->wait_percent = 10;
	while ((again = hf_proof_build(&x->writer->tree, &nodes, 0, request, &x->again, &other)) == HF_EWAIT)
		assert_int_equal(x->again.length, 0);
	x->writer->wait_percent = 0;
	assert_int_equal(status, again);
	assert_true(hf_slice_equal(hf_buffer_slice(&x->nodes), hf_buffer_slice(&x->again)));
	if (status != HF_OK)
		return status;
	if (proof->has_block)
		proof->block.value = core_block(x->writer, proof->block.index);
	if (proof->has_upgrade) {
		core_sign(&x->signer, &x->writer->tree, &x->signature);
		proof->upgrade.signature = hf_buffer_slice(&x->signature);
	}
	return HF_OK;
}

static bool is_true(const struct exchange *x, const struct hf_tree_node *node)
{
	return node->index < CORE_NODES_MAX && x->writer->held[node->index]
		&& memcmp(node, &x->writer->nodes[node->index], sizeof *node) == 0;
}

static void expect_truth(struct exchange *x, const struct hf_proof *proof)
{
	for (size_t i = 0; i < x->check.node_count; i++)
		assert_true(is_true(x, &x->check.nodes[i]));
	if (x->check.has_upgrade) {
		assert_int_equal(x->check.tree.length, x->writer->tree.length);
		for (uint32_t i = 0; i < x->check.tree.root_count; i++)
			assert_true(is_true(x, &x->check.tree.roots[i]));
	}
	if (proof->has_block)
		assert_true(hf_slice_equal(proof->block.value, core_block(x->writer, proof->block.index)));
}

/* False when there was nothing to ask, or the seek lies outside of what was asked for. */
static bool exchange_once(struct exchange *x)
{
	struct hf_proof_request request;
	struct hf_proof proof, received;

	if (!make_request(x, &request))
		return false;
	int status = answer(x, &request, &proof);
	if (status == HF_EINVAL && request.has_seek) {
		request.has_seek = false;
		status = answer(x, &request, &proof);
	}
	assert_int_equal(status, HF_OK);
	core_data_write(&x->message, 1, &proof);
	assert_int_equal(core_data_read(hf_buffer_slice(&x->message), &received), HF_OK);
	x->reader->wait_percent = 20;
	assert_int_equal(core_accept(x->reader, &x->signer.manifest, x->signer.key, &received, &x->check), HF_OK);
	x->reader->wait_percent = 0;
	expect_truth(x, &received);
	return true;
}

static void test_what_is_built_is_accepted_and_true(void **state)
{
	size_t exchanged = 0;

	for (uint64_t tree = 1; tree <= TREES; tree++) {
		struct exchange x;

		exchange_init(&x, tree);
		for (int step = 0; step < STEPS_PER_TREE; step++) {
			if (core_below(&x.random, 6) == 0 || x.writer->tree.length == 0)
				grow(&x, x.writer, 1 + core_below(&x.random, 3 * tree));
			exchanged += exchange_once(&x);
		}
		exchange_free(&x);
	}
	assert_true(exchanged > TREES * STEPS_PER_TREE * 9 / 10);
}

/* Turns every bit of the last message, before it is stored. */
static void flip_all(struct exchange *x)
{
	for (size_t bit = 0; bit < 8 * x->message.length; bit++) {
		struct hf_tree_reader nodes = core_reader(x->reader);
		struct hf_proof proof;

		x->message.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (core_data_read(hf_buffer_slice(&x->message), &proof) == HF_OK && proof.fork == x->reader->tree.fork
			&& hf_proof_verify(&proof, &x->reader->tree, &nodes, NULL, &x->check) == HF_OK
			&& (!x->check.has_upgrade || hf_signature_verify(&x->signer.manifest, x->signer.key, &x->check.tree,
				proof.upgrade.signature) == HF_OK))
			expect_truth(x, &proof);
		x->message.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void test_a_flipped_bit_is_refused_or_changes_nothing(void **state)
{
	size_t flipped = 0, flipped_signed = 0;

	for (uint64_t tree = 1; flipped < FLIPPED_PROOFS; tree++) {
		struct exchange x;

		exchange_init(&x, tree + 1000);
		grow(&x, x.writer, 1 + core_below(&x.random, LENGTH_MAX / 2));
		for (int step = 0; step < 20 && flipped < FLIPPED_PROOFS; step++) {
			struct hf_proof_request request;
			struct hf_proof proof;

			exchange_once(&x);
			if (core_below(&x.random, 4) == 0)
				grow(&x, x.writer, 1 + core_below(&x.random, 9));
			if (!make_request(&x, &request) || answer(&x, &request, &proof) != HF_OK)
				continue;
			if (proof.has_upgrade && flipped_signed++ >= FLIPPED_SIGNED_PROOFS)
				continue;
			core_data_write(&x.message, 1, &proof);
			flip_all(&x);
			flipped++;
		}
		exchange_free(&x);
	}
	assert_true(flipped_signed > FLIPPED_SIGNED_PROOFS / 2);
}

/* The number of blocks that two cores share is found with whatever the reader holds, when it holds all of it. */
static void test_the_common_ancestor_is_found(void **state)
{
	for (uint64_t round = 1; round <= 150; round++) {
		struct hf_tree_reader old, nothing, nodes;
		struct core *empty = core_new();
		struct hf_reorg reorg = {0};
		struct hf_proof_request request;
		struct hf_proof proof;
		struct exchange x;

		exchange_init(&x, round);
		grow(&x, x.reader, 1 + core_below(&x.random, 2 * round > LENGTH_MAX ? LENGTH_MAX : 2 * round));
		uint64_t old_length = x.reader->tree.length, shared = core_below(&x.random, old_length + 1);

		for (uint64_t i = 0; i < shared; i++)
			core_append(x.writer, core_block(x.reader, i));
		if (shared == 0 || core_below(&x.random, 8) > 0) /* else the new fork is the old one cut off */
			core_append(x.writer, hf_slice_text("another"));
		if (x.writer->tree.length > shared)
			grow(&x, x.writer, core_below(&x.random, 40));
		x.writer->tree.fork = 3;
		nodes = core_reader(x.writer);
		old = core_reader(x.reader);
		nothing = core_reader(empty);
		request = (struct hf_proof_request){.has_upgrade = true, .upgrade = {0, x.writer->tree.length}};
		assert_int_equal(answer(&x, &request, &proof), HF_OK);
		assert_int_equal(hf_proof_verify(&proof, &empty->tree, &nothing, NULL, &x.check), HF_OK);
		assert_int_equal(hf_reorg_start(&reorg, &x.check, old_length), HF_OK);
		x.reader->wait_percent = 20;
		for (int requests = 0;; requests++) {
			int status = hf_reorg_step(&reorg, &old);

			if (status == HF_EWAIT)
				continue;
			assert_int_equal(status, HF_OK);
			if (reorg.finished)
				break;
			hf_buffer_clear(&x.nodes);
			hf_reorg_request(&reorg, reorg.want_start + core_below(&x.random, reorg.want_end - reorg.want_start), &request);
			assert_int_equal(hf_proof_build(&x.writer->tree, &nodes, 0, &request, &x.nodes, &proof), HF_OK);
			assert_int_equal(hf_reorg_feed(&reorg, &proof), HF_OK);
		}
		assert_int_equal(reorg.ancestors, shared);
		for (size_t i = 0; i < reorg.node_count; i++) {
			assert_true(is_true(&x, &reorg.nodes[i]));
			assert_true(i == 0 || reorg.nodes[i].index > reorg.nodes[i - 1].index);
		}
		hf_reorg_free(&reorg);
		exchange_free(&x);
		free(empty);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_built_is_accepted_and_true),
		cmocka_unit_test(test_a_flipped_bit_is_refused_or_changes_nothing),
		cmocka_unit_test(test_the_common_ancestor_is_found),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
