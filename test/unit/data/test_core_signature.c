/* Signatures of several signers, with and without patches. */
#include "core_model.h"

#include "support/fail_alloc.h"
#include "support/vectors.h"

#define PARTS_MAX 4

static int set_up(void **state) { return hf_crypto_init(); }

struct fixture {
	struct core *core; /* of more blocks than are signed */
	struct hf_tree tree;
	struct hf_buffer encoded, signature, nodes[PARTS_MAX];
	struct hf_manifest manifest;
	uint8_t key[32], signatures[PARTS_MAX][64];
	struct hf_signature_part parts[PARTS_MAX];
	size_t part_count;
};

/* A part as the signer makes it: signs its own tree and takes the nodes from the length of the tree to its own. */
static void make_part(struct fixture *f, const json_t *input, const uint8_t secret_key[static 64])
{
	struct hf_signature_part *part = &f->parts[f->part_count];
	uint8_t hash[32], signable[HF_SIGNABLE_BYTES_MAX], *signature = f->signatures[f->part_count];
	struct hf_buffer *nodes = &f->nodes[f->part_count++];
	struct hf_tree_reader reader = core_reader(f->core);
	struct hf_tree signed_tree;
	struct hf_proof proof;

	*part = (struct hf_signature_part){.signer = vectors_uint(input, "signer"), .signature = signature,
		.patch = vectors_uint(input, "patch")};
	assert_int_equal(hf_tree_at(&f->core->tree, &reader, vectors_uint(input, "signedLength"), &signed_tree), HF_OK);
	hf_tree_hash(&signed_tree, hash);
	hf_sign(signature, hf_slice(signable, hf_signature_signable(signable, &f->manifest, f->key, part->signer, hash,
		signed_tree.length, signed_tree.fork)), secret_key);
	vectors_expect(input, "signature", signature, 64);
	if (part->patch == 0)
		return;
	struct hf_proof_request request = {.has_upgrade = true, .upgrade = {f->tree.length, part->patch}};

	assert_int_equal(hf_proof_build(&signed_tree, &reader, 0, &request, nodes, &proof), HF_OK);
	part->nodes = proof.upgrade.nodes;
	json_t *expected = vectors_get(input, "nodes"), *item;
	struct hf_compact_reader at = hf_compact_reader(part->nodes.encoded);
	struct hf_tree_node node;
	size_t i;

	json_array_foreach(expected, i, item) {
		assert_true(hf_node_list_next(&at, &node));
		assert_int_equal(node.index, vectors_uint(item, "index"));
		vectors_expect(item, "hash", node.hash, 32);
	}
	assert_int_equal(i, part->nodes.count);
}

static void load(struct fixture *f, const json_t *file, const json_t *item)
{
	struct hf_tree_reader reader;
	uint8_t hash[32];
	json_t *input;
	size_t i;

	*f = (struct fixture){.core = core_new()};
	core_append_numbered(f->core, 8);
	reader = core_reader(f->core);
	assert_int_equal(hf_tree_at(&f->core->tree, &reader, vectors_uint(item, "length"), &f->tree), HF_OK);
	f->tree.fork = vectors_uint(item, "fork");
	hf_tree_hash(&f->tree, hash);
	vectors_expect(item, "treeHash", hash, 32);
	assert_int_equal(hf_manifest_decode(&f->manifest, vectors_hex(&f->encoded, item, "manifest")), HF_OK);
	vectors_bytes(f->key, 32, item, "key");
	vectors_hex(&f->signature, item, "signature");
	json_array_foreach(vectors_array(item, "inputs", 2), i, input) {
		json_t *signer = json_array_get(vectors_get(file, "signers"), vectors_uint(input, "signer"));
		uint8_t seed[32], public_key[32], secret_key[64];

		vectors_bytes(seed, 32, signer, "seed");
		hf_sign_keypair_from_seed(public_key, secret_key, seed);
		vectors_expect(signer, "publicKey", public_key, 32);
		make_part(f, input, secret_key);
	}
}

static void unload(struct fixture *f)
{
	free(f->core);
	hf_buffer_free(&f->encoded);
	hf_buffer_free(&f->signature);
	for (size_t i = 0; i < PARTS_MAX; i++)
		hf_buffer_free(&f->nodes[i]);
}

static int verify(struct fixture *f, struct hf_slice signature)
{
	return hf_signature_verify(&f->manifest, f->key, &f->tree, signature);
}

static int verify_parts(struct fixture *f, const struct hf_signature_part *parts, size_t count)
{
	struct hf_buffer out = {0};

	assert_int_equal(hf_signature_assemble(&f->manifest, f->key, parts, count, &out), HF_OK);
	int status = verify(f, hf_buffer_slice(&out));

	hf_buffer_free(&out);
	return status;
}

static void test_signatures_are_put_together_and_verified_like_the_packages(void **state)
{
	json_t *file = vectors_load("hypercore/multisig.json"), *item;
	size_t i;

	json_array_foreach(vectors_array(file, "cases", 4), i, item) {
		struct hf_signature_part parts[PARTS_MAX];
		struct hf_node_list nodes;
		size_t count = PARTS_MAX;
		struct hf_buffer out = {0};
		struct fixture f;

		load(&f, file, item);
		assert_int_equal(verify(&f, hf_buffer_slice(&f.signature)), vectors_bool(item, "valid") ? HF_OK : HF_EBADSIG);
		assert_int_equal(hf_signature_assemble(&f.manifest, f.key, f.parts, f.part_count, &out), HF_OK);
		assert_true(hf_slice_equal(hf_buffer_slice(&out), hf_buffer_slice(&f.signature)));
		assert_int_equal(hf_signature_parts(&f.manifest, f.key, hf_buffer_slice(&out), parts, &count, &nodes), HF_OK);
		assert_int_equal(count, f.part_count);
		for (size_t j = 0; j < count; j++) {
			assert_int_equal(parts[j].signer, f.parts[j].signer);
			assert_int_equal(parts[j].patch, f.parts[j].patch);
			assert_memory_equal(parts[j].signature, f.parts[j].signature, 64);
		}
		count = 1;
		assert_int_equal(hf_signature_parts(&f.manifest, f.key, hf_buffer_slice(&out), parts, &count, &nodes), HF_ETOOBIG);
		for (size_t length = 0; length < out.length; length++)
			assert_int_equal(verify(&f, hf_slice(out.data, length)), HF_EBADSIG);
		hf_buffer_free(&out);
		unload(&f);
	}
	json_decref(file);
}

static void test_too_few_or_the_same_signer_twice_is_no_quorum(void **state)
{
	json_t *file = vectors_load("hypercore/multisig.json"), *item;
	size_t i;

	json_array_foreach(vectors_array(file, "cases", 4), i, item) {
		struct fixture f;

		load(&f, file, item);
		struct hf_signature_part twice[] = {f.parts[0], f.parts[0], f.parts[1]};
		struct hf_signature_part unknown[] = {f.parts[0], f.parts[1]};
		struct hf_signature_part wrong[] = {f.parts[0], f.parts[1]};
		struct hf_signature_part back[] = {f.parts[1], f.parts[0]};

		unknown[1].signer = 3;
		wrong[1].signer = 2;
		assert_int_equal(verify_parts(&f, f.parts, 1), HF_EBADSIG);
		assert_int_equal(verify_parts(&f, twice, 3), HF_EBADSIG);
		assert_int_equal(verify_parts(&f, unknown, 2), HF_EBADSIG);
		assert_int_equal(verify_parts(&f, wrong, 2), HF_EBADSIG);
		assert_int_equal(verify_parts(&f, back, 2), HF_OK);
		f.tree.fork++;
		assert_int_equal(verify_parts(&f, back, 2), HF_EBADSIG);
		f.tree.fork--;
		f.manifest.quorum = 0;
		assert_int_equal(verify_parts(&f, back, 2), HF_EBADSIG);
		unload(&f);
	}
	json_decref(file);
}

static void test_patches_must_lead_to_what_was_signed(void **state)
{
	json_t *file = vectors_load("hypercore/multisig.json");

	for (size_t i = 1; i < 4; i += 2) {
		struct fixture f;

		load(&f, file, json_array_get(vectors_get(file, "cases"), i));
		struct hf_signature_part parts[] = {f.parts[0], f.parts[1]};

		parts[0].patch = 1;
		assert_int_equal(verify_parts(&f, parts, 2), HF_EBADSIG);
		parts[0].patch = HF_COMPACT_UINT_MAX;
		assert_int_equal(verify_parts(&f, parts, 2), HF_EBADSIG);
		parts[0].patch = 2;
		f.nodes[0].data[20] ^= 1;
		assert_int_equal(verify_parts(&f, parts, 2), HF_EBADSIG);
		f.nodes[0].data[20] ^= 1;
		assert_int_equal(verify_parts(&f, parts, 2), HF_OK);
		parts[1] = parts[0];
		parts[1].signer = 1;
		struct hf_buffer out = {0};
		struct hf_node_list nodes;
		size_t count = 2;

		assert_int_equal(hf_signature_assemble(&f.manifest, f.key, parts, 2, &out), HF_OK);
		assert_int_equal(hf_signature_parts(&f.manifest, f.key, hf_buffer_slice(&out), parts, &count, &nodes), HF_OK);
		assert_int_equal(nodes.count, f.parts[0].nodes.count);
		hf_buffer_clear(&out);
		f.manifest.allow_patch = false;
		assert_int_equal(hf_signature_assemble(&f.manifest, f.key, f.parts, 2, &out), HF_EINVAL);
		assert_int_equal(verify(&f, hf_buffer_slice(&f.signature)), HF_EBADSIG);
		hf_buffer_free(&out);
		unload(&f);
	}
	json_decref(file);
}

static void test_one_signature_is_raw_for_compat_cores_and_version_0(void **state)
{
	struct core *core = core_new();
	struct core_signer signer;
	struct hf_buffer out = {0};
	uint8_t seed[32] = {7};
	struct hf_signature_part parts[2];

	core_append_numbered(core, 3);
	core_signer_init(&signer, seed);
	core_sign(&signer, &core->tree, &out);
	assert_int_equal(out.length, HF_SIGNATURE_SINGLE_BYTES_MAX);
	assert_int_equal(hf_signature_verify(&signer.manifest, signer.key, &core->tree, hf_buffer_slice(&out)), HF_OK);
	assert_int_equal(hf_signature_assemble(&signer.manifest, signer.key, parts, 0, &out), HF_EINVAL);
	memcpy(signer.key, signer.public_key, 32);
	core_sign(&signer, &core->tree, &out);
	assert_int_equal(out.length, 64);
	assert_int_equal(hf_signature_verify(&signer.manifest, signer.key, &core->tree, hf_buffer_slice(&out)), HF_OK);
	assert_int_equal(hf_signature_verify(&signer.manifest, signer.key, &core->tree, hf_slice(out.data, 63)), HF_EBADSIG);
	memset(parts, 0, sizeof parts);
	assert_int_equal(hf_signature_assemble(&signer.manifest, signer.key, parts, 2, &out), HF_EINVAL);
	signer.manifest.version = 0;
	signer.key[0] ^= 1;
	core_sign(&signer, &core->tree, &out);
	assert_int_equal(out.length, 64);
	assert_int_equal(hf_signature_verify(&signer.manifest, signer.key, &core->tree, hf_buffer_slice(&out)), HF_OK);
	hf_buffer_free(&out);
	free(core);
}

static void test_the_prologue_needs_no_signature(void **state)
{
	json_t *file = vectors_load("hypercore/manifest.json"), *item = vectors_get(file, "staticCore");
	struct hf_buffer encoded = {0};
	struct core *core = core_new();
	struct hf_manifest manifest;
	uint8_t key[32];

	assert_int_equal(hf_manifest_decode(&manifest, vectors_hex(&encoded, item, "manifest")), HF_OK);
	vectors_bytes(key, 32, item, "key");
	vectors_expect(item, "prologueHash", manifest.prologue.hash, 32);
	core_append_numbered(core, 2);
	assert_int_equal(hf_signature_verify(&manifest, key, &core->tree, hf_slice(NULL, 0)), HF_EBADSIG);
	core_append_numbered(core, 3);
	assert_int_equal(hf_signature_verify(&manifest, key, &core->tree, hf_slice(NULL, 0)), HF_OK);
	assert_int_equal(hf_signature_verify(&manifest, key, &core->tree, hf_slice("any", 3)), HF_OK);
	core->tree.roots[0].hash[0] ^= 1;
	assert_int_equal(hf_signature_verify(&manifest, key, &core->tree, hf_slice(NULL, 0)), HF_EBADSIG);
	core->tree.roots[0].hash[0] ^= 1;
	core_append_numbered(core, 4);
	assert_int_equal(hf_signature_verify(&manifest, key, &core->tree, hf_slice(NULL, 0)), HF_EBADSIG);
	hf_buffer_free(&encoded);
	free(core);
	json_decref(file);
}

static void test_a_fork_at_the_prologue_is_signed(void **state)
{
	struct core *core = core_new();
	struct core_signer signer;
	struct hf_buffer out = {0};
	uint8_t seed[32] = {7};

	core_append_numbered(core, 3);
	core_signer_init(&signer, seed);
	signer.manifest.has_prologue = true;
	signer.manifest.prologue.length = 3;
	hf_tree_hash(&core->tree, signer.manifest.prologue.hash);
	assert_int_equal(hf_manifest_key(&signer.manifest, signer.key), HF_OK);
	assert_int_equal(hf_signature_verify(&signer.manifest, signer.key, &core->tree, hf_slice(NULL, 0)), HF_OK);
	core->tree.fork = 9;
	assert_int_equal(hf_signature_verify(&signer.manifest, signer.key, &core->tree, hf_slice(NULL, 0)), HF_EBADSIG);
	core_sign(&signer, &core->tree, &out);
	assert_int_equal(hf_signature_verify(&signer.manifest, signer.key, &core->tree, hf_buffer_slice(&out)), HF_OK);
	core->tree.fork = 10;
	assert_int_equal(hf_signature_verify(&signer.manifest, signer.key, &core->tree, hf_buffer_slice(&out)), HF_EBADSIG);
	/* Nobody signs for a static core: it has no forks. */
	core->tree.fork = 9;
	signer.manifest.signer_count = 0;
	signer.manifest.quorum = 0;
	assert_int_equal(hf_signature_verify(&signer.manifest, signer.key, &core->tree, hf_buffer_slice(&out)), HF_EBADSIG);
	hf_buffer_free(&out);
	free(core);
}

static void test_the_quorum_vouches_for_its_shortest_length(void **state)
{
	uint64_t lengths[] = {3, 9, 5, 5};

	assert_int_equal(hf_signature_length(lengths, 4, 1), 9);
	assert_int_equal(hf_signature_length(lengths, 4, 2), 5);
	assert_int_equal(hf_signature_length(lengths, 4, 4), 3);
	assert_int_equal(hf_signature_length(lengths, 4, 5), 0);
	assert_int_equal(hf_signature_length(lengths, 4, 0), 0);
}

static void test_no_memory_leaves_what_was_written_before(void **state)
{
	json_t *file = vectors_load("hypercore/multisig.json");
	struct fixture f;

	load(&f, file, json_array_get(vectors_get(file, "cases"), 3));
	for (uint64_t n = 1;; n++) {
		struct hf_buffer out = {0};

		fail_alloc_arm(n, false);
		int status = hf_signature_assemble(&f.manifest, f.key, f.parts, f.part_count, &out);
		bool failed = fail_alloc_disarm();

		assert_int_equal(status, failed ? HF_ENOMEM : HF_OK);
		assert_int_equal(out.length, failed ? 0 : f.signature.length);
		hf_buffer_free(&out);
		if (!failed)
			break;
	}
	unload(&f);
	json_decref(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signatures_are_put_together_and_verified_like_the_packages),
		cmocka_unit_test(test_too_few_or_the_same_signer_twice_is_no_quorum),
		cmocka_unit_test(test_patches_must_lead_to_what_was_signed),
		cmocka_unit_test(test_one_signature_is_raw_for_compat_cores_and_version_0),
		cmocka_unit_test(test_the_prologue_needs_no_signature),
		cmocka_unit_test(test_a_fork_at_the_prologue_is_signed),
		cmocka_unit_test(test_the_quorum_vouches_for_its_shortest_length),
		cmocka_unit_test(test_no_memory_leaves_what_was_written_before),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
