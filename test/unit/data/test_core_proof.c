/* Proofs against the packages' messages: built byte for byte, accepted, and refused where they refuse. */
#include "core_model.h"

#include "data/hypercore/reorg.h"
#include "support/fail_alloc.h"
#include "support/vectors.h"

#define MANIFEST_BYTES_MAX 256

static int set_up(void **state) { return hf_crypto_init(); }

struct both {
	struct core *writer, *reader;
	struct core_signer signer;
	struct hf_proof_check check;
	struct hf_buffer request, data, nodes, signature, message;
};

static void both_init(struct both *both, const json_t *file)
{
	uint8_t seed[32];

	*both = (struct both){.writer = core_new(), .reader = core_new()};
	vectors_bytes(seed, 32, file, "keyPairSeed");
	core_signer_init(&both->signer, seed);
	vectors_expect(file, "manifest", both->signer.bytes, sizeof both->signer.bytes);
}

static void both_free(struct both *both)
{
	free(both->writer);
	free(both->reader);
	hf_proof_check_free(&both->check);
	hf_buffer_free(&both->request);
	hf_buffer_free(&both->data);
	hf_buffer_free(&both->nodes);
	hf_buffer_free(&both->signature);
	hf_buffer_free(&both->message);
}

/* The writer's answer to a request message must be the data message. */
static void expect_answer(struct both *both, const json_t *step, struct hf_proof *proof)
{
	struct hf_tree_reader nodes = core_reader(both->writer);
	struct hf_proof_request request;
	uint64_t id = core_request_read(vectors_hex(&both->request, step, "requestHex"), &request);

	hf_buffer_clear(&both->nodes);
	assert_int_equal(hf_proof_build(&both->writer->tree, &nodes, 0, &request, &both->nodes, proof), HF_OK);
	if (proof->has_block)
		proof->block.value = core_block(both->writer, proof->block.index);
	if (proof->has_upgrade) {
		core_sign(&both->signer, &both->writer->tree, &both->signature);
		proof->upgrade.signature = hf_buffer_slice(&both->signature);
	}
	proof->has_manifest = request.wants_manifest;
	proof->manifest = hf_slice(both->signer.bytes, sizeof both->signer.bytes);
	core_data_write(&both->message, id, proof);
	vectors_expect(step, "dataHex", both->message.data, both->message.length);
}

static void expect_reader(const json_t *after, const struct core *reader)
{
	uint8_t hash[32];
	json_t *block;
	size_t i;

	assert_int_equal(reader->tree.length, vectors_uint(after, "length"));
	assert_int_equal(reader->tree.byte_length, vectors_uint(after, "byteLength"));
	assert_int_equal(reader->tree.fork, vectors_uint(after, "fork"));
	hf_tree_hash(&reader->tree, hash);
	vectors_expect(after, "treeHash", hash, 32);
	json_array_foreach(vectors_get(after, "blocks"), i, block)
		assert_true(reader->block_bytes[json_integer_value(block)] > 0);
}

static void run_step(struct both *both, const json_t *step)
{
	struct hf_proof built, proof;

	core_append_numbered(both->writer, vectors_uint(step, "writerLength"));
	expect_answer(both, step, &built);
	assert_int_equal(core_data_read(vectors_hex(&both->data, step, "dataHex"), &proof), HF_OK);
	both->reader->wait_percent = 30;
	assert_int_equal(core_accept(both->reader, &both->signer.manifest, both->signer.key, &proof, &both->check), HF_OK);
	both->reader->wait_percent = 0;
	for (size_t i = 0; i < both->check.node_count; i++)
		assert_memory_equal(&both->check.nodes[i], &both->writer->nodes[both->check.nodes[i].index], sizeof both->check.nodes[i]);
	expect_reader(vectors_get(step, "readerAfter"), both->reader);
}

/* Returns the request for a block that is wanted. */
static void expect_want(const json_t *message, struct hf_reorg *reorg)
{
	json_t *want = vectors_get(message, "want");

	assert_int_equal(reorg->finished, vectors_bool(message, "finished"));
	assert_int_equal(reorg->ancestors, vectors_uint(message, "ancestors"));
	if (json_is_null(want))
		return;
	assert_int_equal(reorg->want_nodes, vectors_uint(want, "nodes"));
	assert_int_equal(reorg->want_start, vectors_uint(want, "start"));
	assert_int_equal(reorg->want_end, vectors_uint(want, "end"));
}

static void run_reorg(struct both *both, const json_t *scenario)
{
	json_t *blocks = vectors_get(scenario, "forkBlocks"), *messages = vectors_array(scenario, "reorg", 3), *item;
	struct hf_tree_reader nothing = core_reader(core_new()), old = core_reader(both->reader);
	struct core *empty = nothing.context;
	struct hf_reorg reorg = {0};
	struct hf_proof built, proof;
	size_t i;

	core_truncate(both->writer, 5, 1);
	json_array_foreach(blocks, i, item)
		core_append(both->writer, hf_slice_text(json_string_value(item)));
	json_array_foreach(messages, i, item) {
		struct hf_proof_request request;

		expect_answer(both, item, &built);
		assert_int_equal(core_data_read(vectors_hex(&both->data, item, "dataHex"), &proof), HF_OK);
		if (i == 0) {
			assert_int_equal(hf_proof_verify(&proof, &empty->tree, &nothing, &both->signer.manifest, &both->check), HF_OK);
			assert_int_equal(hf_signature_verify(&both->signer.manifest, both->signer.key, &both->check.tree,
				proof.upgrade.signature), HF_OK);
			assert_int_equal(hf_reorg_start(&reorg, &both->check, both->reader->tree.length), HF_OK);
		} else {
			struct hf_proof_request expected;

			core_request_read(vectors_hex(&both->request, item, "requestHex"), &expected);
			hf_reorg_request(&reorg, expected.hash.index / 2, &request);
			assert_int_equal(request.hash.index, expected.hash.index);
			assert_int_equal(request.hash.nodes, expected.hash.nodes);
			assert_true(request.hash.index / 2 >= reorg.want_start && request.hash.index / 2 < reorg.want_end);
			proof.fork++;
			assert_int_equal(hf_reorg_feed(&reorg, &proof), HF_EBADSIG);
			proof.fork--;
			both->data.data[12] ^= 1;
			assert_int_equal(hf_reorg_feed(&reorg, &proof), HF_EBADSIG);
			both->data.data[12] ^= 1;
			assert_int_equal(hf_reorg_feed(&reorg, &proof), HF_OK);
		}
		both->reader->wait_percent = 60;
		int status;
		while ((status = hf_reorg_step(&reorg, &old)) == HF_EWAIT)
			;
		assert_int_equal(status, HF_OK);
		both->reader->wait_percent = 0;
		expect_want(item, &reorg);
	}
	assert_int_equal(hf_reorg_feed(&reorg, &proof), HF_EBADSIG);
	core_truncate(both->reader, reorg.ancestors, 1);
	core_store(both->reader, reorg.nodes, reorg.node_count);
	hf_tree_copy(&both->reader->tree, &reorg.tree);
	expect_reader(vectors_get(scenario, "readerAfter"), both->reader);
	hf_reorg_free(&reorg);
	free(empty);
}

static void test_answers_are_the_packages_and_are_accepted(void **state)
{
	json_t *file = vectors_load("hypercore/proofs.json"), *scenario, *step;
	size_t i, j, step_count = 0, reorg_count = 0;

	json_array_foreach(vectors_array(file, "scenarios", 18), i, scenario) {
		struct both both;

		both_init(&both, file);
		json_array_foreach(vectors_get(scenario, "steps"), j, step) {
			run_step(&both, step);
			step_count++;
		}
		if (json_object_get(scenario, "reorg") != NULL) {
			run_reorg(&both, scenario);
			reorg_count++;
		}
		both_free(&both);
	}
	assert_int_equal(step_count, 49);
	assert_int_equal(reorg_count, 1);
	json_decref(file);
}

/* A reader that knows a key and nothing else. */
static int accept_of_key(struct core *reader, const uint8_t *key, struct hf_slice message, struct hf_slice known_manifest,
	struct hf_proof_check *check)
{
	struct hf_manifest manifest;
	uint8_t bytes[HF_MANIFEST_DEFAULT_BYTES];
	struct hf_proof proof;
	int status = core_data_read(message, &proof);

	if (status == HF_OK)
		status = hf_manifest_of_key(&manifest, key, proof.has_manifest ? proof.manifest : known_manifest, bytes);
	return status == HF_OK ? core_accept(reader, &manifest, key, &proof, check) : status;
}

static void test_all_kinds_of_signers_are_accepted(void **state)
{
	json_t *file = vectors_load("hypercore/proofs-special.json"), *item;
	size_t i;

	json_array_foreach(vectors_array(file, "accept", 5), i, item) {
		struct core *reader = core_new();
		struct hf_proof_check check = {0};
		struct hf_buffer message = {0};
		uint8_t key[32], remote_key[32], discovery_key[32], hash[32];
		struct hf_proof proof;

		vectors_bytes(key, 32, item, "key");
		vectors_hex(&message, item, "dataHex");
		assert_int_equal(accept_of_key(reader, key, hf_buffer_slice(&message), hf_slice(NULL, 0), &check), HF_OK);
		assert_int_equal(reader->tree.length, vectors_uint(item, "length"));
		hf_tree_hash(&reader->tree, hash);
		vectors_expect(item, "treeHash", hash, 32);
		assert_int_equal(core_data_read(hf_buffer_slice(&message), &proof), HF_OK);
		vectors_expect(item, "signature", proof.upgrade.signature.data, proof.upgrade.signature.length);

		/* as push notifications carry it: only of one signer or none, and never without the manifest */
		hf_discovery_key(discovery_key, key);
		int status = hf_proof_verify_remote(&proof, discovery_key, &check, remote_key);

		assert_int_equal(status, i == 0 ? HF_EBADSIG : i == 2 || i == 3 ? HF_EDENIED : HF_OK);
		if (status == HF_OK) {
			assert_memory_equal(remote_key, key, 32);
			assert_int_equal(check.tree.length, 3);
			proof.block.index = 2;
			assert_int_equal(hf_proof_verify_remote(&proof, discovery_key, &check, remote_key), HF_EBADSIG);
			proof.has_block = false;
			assert_int_equal(hf_proof_verify_remote(&proof, discovery_key, &check, remote_key), HF_EBADSIG);
			assert_int_equal(check.node_count, 0);
			discovery_key[0] ^= 1;
			assert_int_equal(hf_proof_verify_remote(&proof, discovery_key, &check, remote_key), HF_EBADSIG);
			proof.manifest.length--;
			assert_int_equal(hf_proof_verify_remote(&proof, discovery_key, &check, remote_key), HF_EMALFORMED);
		}
		hf_proof_check_free(&check);
		hf_buffer_free(&message);
		free(reader);
	}
	json_decref(file);
}

static void test_what_the_packages_refuse_is_refused(void **state)
{
	json_t *file = vectors_load("hypercore/proofs-special.json"), *reject = vectors_get(file, "reject"), *item, *first;
	uint8_t key[32];
	size_t i, j;

	vectors_bytes(key, 32, reject, "key");
	json_array_foreach(vectors_array(reject, "cases", 12), i, item) {
		struct core *reader = core_new(), *before = core_new();
		struct hf_proof_check check = {0};
		struct hf_buffer message = {0}, earlier = {0};
		struct hf_slice known = hf_slice(NULL, 0);
		struct hf_proof proof;

		json_array_foreach(vectors_get(item, "applyFirst"), j, first) {
			vectors_from_hex(&earlier, json_string_value(first));
			assert_int_equal(accept_of_key(reader, key, hf_buffer_slice(&earlier), known, &check), HF_OK);
			assert_int_equal(core_data_read(hf_buffer_slice(&earlier), &proof), HF_OK);
			known = proof.manifest;
		}
		*before = *reader;
		assert_int_not_equal(accept_of_key(reader, key, vectors_hex(&message, item, "dataHex"), known, &check), HF_OK);
		assert_memory_equal(reader, before, sizeof *reader);
		hf_proof_check_free(&check);
		hf_buffer_free(&message);
		hf_buffer_free(&earlier);
		free(reader);
		free(before);
	}
	json_decref(file);
}

static int build(struct core *core, const struct hf_proof_request *request)
{
	struct hf_tree_reader reader = core_reader(core);
	struct hf_buffer nodes = {0};
	struct hf_proof proof;
	int status = hf_proof_build(&core->tree, &reader, 0, request, &nodes, &proof);

	assert_true(status == HF_OK || nodes.length == 0);
	hf_buffer_free(&nodes);
	return status;
}

static void test_requests_that_cannot_be_answered_are_invalid(void **state)
{
	const uint64_t huge = HF_COMPACT_UINT_MAX;
	const struct hf_proof_request invalid[] = {
		{.has_block = true, .block = {13, 0}},
		{.has_block = true, .block = {huge, 0}},
		{.has_block = true, .block = {UINT64_MAX, UINT64_MAX}},
		{.has_block = true, .block = {0, 4}},
		{.has_block = true, .block = {0, huge}},
		{.has_block = true, .block = {12, 1}},
		{.has_hash = true, .hash = {15, 0}},
		{.has_hash = true, .hash = {26, 0}},
		{.has_hash = true, .hash = {huge, 0}},
		{.has_upgrade = true, .upgrade = {0, 0}},
		{.has_upgrade = true, .upgrade = {0, 14}},
		{.has_upgrade = true, .upgrade = {13, 1}},
		{.has_upgrade = true, .upgrade = {huge, huge}},
		{.has_upgrade = true, .upgrade = {UINT64_MAX, 2}},
		{.has_upgrade = true, .upgrade = {5, 5}, .has_block = true, .block = {10, 0}},
		{.has_upgrade = true, .upgrade = {5, 5}, .has_block = true, .block = {6, 0}, .has_seek = true, .seek = {3, 0}},
		{.has_upgrade = true, .upgrade = {5, 8}, .has_hash = true, .hash = {7, 0}},
		{.has_upgrade = true, .upgrade = {5, 8}, .has_hash = true, .hash = {7, 0}, .has_seek = true, .seek = {100, 0}},
		{.has_upgrade = true, .upgrade = {0, 8}, .has_seek = true, .seek = {3, 30}},
		{.has_upgrade = true, .upgrade = {0, 8}, .has_seek = true, .seek = {3, huge}},
		{.has_block = true, .block = {0, 3}, .has_seek = true, .seek = {1000, 0}},
		{.has_block = true, .block = {4, 2}, .has_seek = true, .seek = {3, 0}},
		{.has_block = true, .block = {4, 2}, .has_seek = true, .seek = {3, huge}},
	};
	struct core *core = core_new();
	struct hf_proof_request seek = {.has_seek = true, .seek = {3, 0}}, block = {.has_block = true, .block = {0, 3}};

	assert_int_equal(build(core, &invalid[0]), HF_OK); /* an empty core answers with nothing */
	core_append_numbered(core, 13);
	for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
		if (build(core, &invalid[i]) != HF_EINVAL)
			fail_msg("request %zu", i);
	assert_int_equal(build(core, &seek), HF_OK);
	assert_int_equal(build(core, &block), HF_OK);
	core->held[2] = false;
	assert_int_equal(build(core, &block), HF_ENOTFOUND);
	free(core);
}

static void test_an_upgrade_into_the_prologue_gives_all_of_it(void **state)
{
	struct core *writer = core_new(), *reader = core_new();
	struct hf_tree_reader nodes = core_reader(writer), nothing = core_reader(reader);
	struct hf_manifest manifest = {.version = 1, .has_prologue = true, .prologue = {.length = 6}};
	struct hf_proof_request request = {.has_upgrade = true, .upgrade = {2, 1}, .has_block = true, .block = {4, 0}};
	struct hf_proof_check check = {0};
	struct hf_buffer out = {0};
	struct hf_proof proof;

	core_append_numbered(writer, 6);
	hf_tree_hash(&writer->tree, manifest.prologue.hash);
	core_append_numbered(writer, 9);
	assert_int_equal(hf_proof_build(&writer->tree, &nodes, 6, &request, &out, &proof), HF_OK);
	assert_int_equal(proof.upgrade.start, 0);
	assert_int_equal(proof.upgrade.length, 6);
	proof.block.value = core_block(writer, 4);
	assert_int_equal(hf_proof_verify(&proof, &reader->tree, &nothing, &manifest, &check), HF_OK);
	assert_true(check.has_upgrade);
	assert_int_equal(check.tree.length, 9);
	manifest.prologue.hash[0] ^= 1;
	assert_int_equal(hf_proof_verify(&proof, &reader->tree, &nothing, &manifest, &check), HF_EBADSIG);
	assert_false(check.has_upgrade);
	manifest.prologue.hash[0] ^= 1;
	manifest.prologue.length = 7;
	assert_int_equal(hf_proof_verify(&proof, &reader->tree, &nothing, &manifest, &check), HF_EBADSIG);
	hf_buffer_clear(&out);
	request = (struct hf_proof_request){.has_upgrade = true, .upgrade = {7, 2}};
	assert_int_equal(hf_proof_build(&writer->tree, &nodes, 6, &request, &out, &proof), HF_OK);
	assert_int_equal(proof.upgrade.start, 7);
	hf_buffer_free(&out);
	hf_proof_check_free(&check);
	free(writer);
	free(reader);
}

/* The tree as far as the prologue goes would not have it. */
static void test_a_block_beyond_the_prologue_comes_with_the_tree(void **state)
{
	struct core *writer = core_new(), *reader = core_new();
	struct hf_tree_reader nodes = core_reader(writer), nothing = core_reader(reader);
	struct hf_manifest manifest = {.version = 1, .has_prologue = true, .prologue = {.length = 6}};
	struct hf_proof_check check = {0};
	struct hf_buffer out = {0};
	struct hf_proof proof;

	core_append_numbered(writer, 6);
	hf_tree_hash(&writer->tree, manifest.prologue.hash);
	core_append_numbered(writer, 13);
	for (uint64_t start = 0; start < 6; start++) {
		for (uint64_t end = 7; end <= 13; end++) {
			struct hf_proof_request request = {.has_upgrade = true, .upgrade = {start, end - start}, .has_block = true, .block = {end - 1, 0}};

			hf_buffer_clear(&out);
			assert_int_equal(hf_proof_build(&writer->tree, &nodes, 6, &request, &out, &proof), HF_OK);
			assert_int_equal(proof.upgrade.start, 0);
			assert_int_equal(proof.upgrade.length, end);
			proof.block.value = core_block(writer, end - 1);
			assert_int_equal(hf_proof_verify(&proof, &reader->tree, &nothing, &manifest, &check), HF_OK);
			assert_int_equal(check.tree.length, 13);
			assert_memory_equal(check.tree.roots, writer->tree.roots, writer->tree.root_count * sizeof *check.tree.roots);
		}
	}
	struct hf_proof_request request = {.has_upgrade = true, .upgrade = {2, 5}, .has_block = true, .block = {7, 0}};

	assert_int_equal(hf_proof_build(&writer->tree, &nodes, 6, &request, &out, &proof), HF_EINVAL);
	request.upgrade.length = UINT64_MAX;
	assert_int_equal(hf_proof_build(&writer->tree, &nodes, 6, &request, &out, &proof), HF_EINVAL);
	request = (struct hf_proof_request){.has_upgrade = true, .upgrade = {0, 13}, .has_hash = true, .hash = {2 * 12, 0}};
	assert_int_equal(hf_proof_build(&writer->tree, &nodes, 6, &request, &out, &proof), HF_OK);
	assert_int_equal(hf_proof_verify(&proof, &reader->tree, &nothing, &manifest, &check), HF_OK);
	hf_buffer_free(&out);
	hf_proof_check_free(&check);
	free(writer);
	free(reader);
}

static void test_sizes_and_lengths_that_run_over_are_refused(void **state)
{
	struct core *reader = core_new();
	struct hf_tree_reader nodes = core_reader(reader);
	struct hf_buffer out = {0};
	struct hf_compact_writer writer = hf_compact_writer(&out);
	struct hf_tree_node node = {.index = 2, .size = HF_TREE_BYTES_MAX};
	struct hf_proof_check check = {0};
	struct hf_proof proof = {.has_block = true, .block = {.value = hf_slice("x", 1)}};

	hf_tree_node_write(&writer, &node);
	proof.block.nodes = (struct hf_node_list){.encoded = hf_buffer_slice(&out), .count = 1};
	assert_int_equal(hf_proof_verify(&proof, &reader->tree, &nodes, NULL, &check), HF_ETOOBIG);
	proof.block.index = HF_TREE_LENGTH_MAX;
	assert_int_equal(hf_proof_verify(&proof, &reader->tree, &nodes, NULL, &check), HF_ETOOBIG);
	proof = (struct hf_proof){.has_upgrade = true, .upgrade = {.start = UINT64_MAX, .length = 2}};
	assert_int_equal(hf_proof_verify(&proof, &reader->tree, &nodes, NULL, &check), HF_ETOOBIG);
	proof.upgrade.start = 2;
	proof.upgrade.length = UINT64_MAX;
	assert_int_equal(hf_proof_verify(&proof, &reader->tree, &nodes, NULL, &check), HF_ETOOBIG);
	proof.upgrade.start = proof.upgrade.length = 0;
	proof.upgrade.additional_nodes = (struct hf_node_list){.encoded = hf_buffer_slice(&out), .count = 1};
	assert_int_equal(hf_proof_verify(&proof, &reader->tree, &nodes, NULL, &check), HF_EBADSIG);
	hf_buffer_free(&out);
	hf_proof_check_free(&check);
	free(reader);
}

/* A node that comes alone is compared by its hash, so a size that is not true must not get in. */
static void test_a_lone_hash_is_taken_with_the_size_we_know(void **state)
{
	struct core *core = core_new();
	struct hf_tree_reader nodes = core_reader(core);
	struct hf_buffer out = {0};
	struct hf_compact_writer writer = hf_compact_writer(&out);
	struct hf_proof_check check = {0};
	struct hf_tree_node node;

	core_append_numbered(core, 8);
	node = core->nodes[3];
	node.size++;
	hf_tree_node_write(&writer, &node);
	struct hf_proof proof = {.has_hash = true,
		.hash = {.index = 3, .nodes = {.encoded = hf_buffer_slice(&out), .count = 1}}};

	assert_int_equal(hf_proof_verify(&proof, &core->tree, &nodes, NULL, &check), HF_OK);
	assert_int_equal(check.node_count, 1);
	assert_int_equal(check.nodes[0].size, core->nodes[3].size);
	core->held[3] = false;
	assert_int_equal(hf_proof_verify(&proof, &core->tree, &nodes, NULL, &check), HF_ENOTFOUND);
	core->wait_percent = 100;
	assert_int_equal(hf_proof_verify(&proof, &core->tree, &nodes, NULL, &check), HF_EWAIT);
	proof.hash.index = 1;
	assert_int_equal(hf_proof_verify(&proof, &core->tree, &nodes, NULL, &check), HF_EBADSIG);
	proof.hash.nodes = (struct hf_node_list){.count = 0};
	assert_int_equal(hf_proof_verify(&proof, &core->tree, &nodes, NULL, &check), HF_EBADSIG);
	hf_buffer_free(&out);
	hf_proof_check_free(&check);
	free(core);
}

static void test_no_memory_is_said_and_can_be_tried_again(void **state)
{
	struct core *writer = core_new(), *reader = core_new();
	struct hf_tree_reader nodes = core_reader(writer), nothing = core_reader(reader);
	struct hf_proof_request request = {.has_upgrade = true, .upgrade = {0, 100}, .has_block = true, .block = {63, 0}};
	struct hf_proof_check check = {0};
	struct hf_buffer out = {0};
	struct hf_proof proof;

	core_append_numbered(writer, 100);
	for (uint64_t n = 1;; n++) {
		fail_alloc_arm(n, false);
		int status = hf_proof_build(&writer->tree, &nodes, 0, &request, &out, &proof);

		proof.block.value = core_block(writer, 63);
		if (status == HF_OK)
			status = hf_proof_verify(&proof, &reader->tree, &nothing, NULL, &check);
		bool failed = fail_alloc_disarm();

		assert_int_equal(status, failed ? HF_ENOMEM : HF_OK);
		if (!failed)
			break;
		assert_int_equal(check.node_count, 0);
		hf_buffer_free(&out);
		hf_proof_check_free(&check);
	}
	hf_buffer_clear(&out);
	fail_alloc_arm(1, false); /* the steady state allocates nothing */
	assert_int_equal(hf_proof_build(&writer->tree, &nodes, 0, &request, &out, &proof), HF_OK);
	proof.block.value = core_block(writer, 63);
	assert_int_equal(hf_proof_verify(&proof, &reader->tree, &nothing, NULL, &check), HF_OK);
	assert_false(fail_alloc_disarm());
	hf_buffer_free(&out);
	hf_proof_check_free(&check);
	free(writer);
	free(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_are_the_packages_and_are_accepted),
		cmocka_unit_test(test_all_kinds_of_signers_are_accepted),
		cmocka_unit_test(test_what_the_packages_refuse_is_refused),
		cmocka_unit_test(test_requests_that_cannot_be_answered_are_invalid),
		cmocka_unit_test(test_an_upgrade_into_the_prologue_gives_all_of_it),
		cmocka_unit_test(test_a_block_beyond_the_prologue_comes_with_the_tree),
		cmocka_unit_test(test_sizes_and_lengths_that_run_over_are_refused),
		cmocka_unit_test(test_a_lone_hash_is_taken_with_the_size_we_know),
		cmocka_unit_test(test_no_memory_is_said_and_can_be_tried_again),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
