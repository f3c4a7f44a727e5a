/* core_model: a whole core in memory, or as much of it as a reader has, and the request and data messages of the wire, written and
 * read here for the vectors alone. */
#ifndef HF_TEST_DATA_CORE_MODEL_H
#define HF_TEST_DATA_CORE_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "data/hypercore/proof.h"
#include "data/hypercore/signature.h"

#define CORE_BLOCKS_MAX 320
#define CORE_NODES_MAX 1024
#define CORE_BLOCK_BYTES_MAX 64

struct core {
	struct hf_tree tree;
	bool held[CORE_NODES_MAX];
	struct hf_tree_node nodes[CORE_NODES_MAX];
	uint8_t blocks[CORE_BLOCKS_MAX][CORE_BLOCK_BYTES_MAX];
	size_t block_bytes[CORE_BLOCKS_MAX];
	uint64_t random;     /* xorshift */
	uint32_t wait_percent; /* how often a read answers HF_EWAIT */
};

static inline uint64_t core_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1du;
}

static inline uint64_t core_below(uint64_t *state, uint64_t bound) { return (core_random(state) >> 16) % bound; }

static inline struct core *core_new(void)
{
	struct core *core = calloc(1, sizeof *core);

	assert_non_null(core);
	core->random = 88172645463325252u;
	return core;
}

static inline int core_node(void *context, uint64_t index, struct hf_tree_node *out)
{
	struct core *core = context;

	if (core->wait_percent > 0 && core_below(&core->random, 100) < core->wait_percent)
		return HF_EWAIT;
	if (index >= CORE_NODES_MAX || !core->held[index])
		return HF_ENOTFOUND;
	*out = core->nodes[index];
	return HF_OK;
}

static inline struct hf_tree_reader core_reader(struct core *core)
{
	return (struct hf_tree_reader){.context = core, .node = core_node};
}

static inline void core_store(struct core *core, const struct hf_tree_node *nodes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		assert_true(nodes[i].index < CORE_NODES_MAX);
		core->nodes[nodes[i].index] = nodes[i];
		core->held[nodes[i].index] = true;
	}
}

static inline void core_append(struct core *core, struct hf_slice block)
{
	struct hf_tree_node leaf, nodes[HF_TREE_APPEND_NODES_MAX];
	uint64_t number = core->tree.length;
	uint32_t count;

	assert_true(block.length <= CORE_BLOCK_BYTES_MAX && number < CORE_BLOCKS_MAX);
	memcpy(core->blocks[number], block.data, block.length);
	core->block_bytes[number] = block.length;
	hf_tree_leaf(&leaf, number, block);
	assert_int_equal(hf_tree_append(&core->tree, block.length, leaf.hash, nodes, &count), HF_OK);
	assert_int_equal(count, 1 + __builtin_ctzll(~number));
	core_store(core, nodes, count);
}

/* The vectors' blocks: "block-<number>", once to four times. */
static inline void core_append_numbered(struct core *core, uint64_t length)
{
	while (core->tree.length < length) {
		char text[CORE_BLOCK_BYTES_MAX] = "", one[16];
		uint64_t number = core->tree.length;

		snprintf(one, sizeof one, "block-%u", (unsigned)number);
		for (uint64_t i = 0; i <= number % 4; i++)
			strcat(text, one);
		core_append(core, hf_slice_text(text));
	}
}

static inline struct hf_slice core_block(const struct core *core, uint64_t number)
{
	return hf_slice(core->blocks[number], core->block_bytes[number]);
}

/* Back to a length, as a writer truncates. */
static inline void core_truncate(struct core *core, uint64_t length, uint64_t fork)
{
	struct hf_tree shorter;
	struct hf_tree_reader reader = core_reader(core);

	assert_int_equal(hf_tree_at(&core->tree, &reader, length, &shorter), HF_OK);
	core->tree = shorter;
	core->tree.fork = fork;
	for (uint64_t i = 0; i < CORE_NODES_MAX; i++)
		if (hf_flat_right_span(i) >= 2 * length)
			core->held[i] = false;
}

/* Stores what a verified proof gave. */
static inline void core_adopt(struct core *core, const struct hf_proof_check *check, const struct hf_proof *proof)
{
	core_store(core, check->nodes, check->node_count);
	if (check->has_upgrade)
		hf_tree_copy(&core->tree, &check->tree);
	if (proof->has_block) {
		memcpy(core->blocks[proof->block.index], proof->block.value.data, proof->block.value.length);
		core->block_bytes[proof->block.index] = proof->block.value.length;
	}
}

/* Whoever signs alone: default manifest, or compat. */
struct core_signer {
	uint8_t public_key[32], secret_key[64], key[32], bytes[HF_MANIFEST_DEFAULT_BYTES];
	struct hf_manifest manifest;
};

static inline void core_signer_init(struct core_signer *signer, const uint8_t seed[static 32])
{
	hf_sign_keypair_from_seed(signer->public_key, signer->secret_key, seed);
	hf_manifest_default(&signer->manifest, signer->bytes, signer->public_key);
	assert_int_equal(hf_manifest_key(&signer->manifest, signer->key), HF_OK);
}

static inline void core_sign(const struct core_signer *signer, const struct hf_tree *tree, struct hf_buffer *out)
{
	uint8_t hash[32], signable[HF_SIGNABLE_BYTES_MAX], signature[64];
	struct hf_signature_part part = {.signature = signature};

	hf_tree_hash(tree, hash);
	hf_sign(signature, hf_slice(signable, hf_signature_signable(signable, &signer->manifest, signer->key, 0, hash, tree->length,
		tree->fork)), signer->secret_key);
	hf_buffer_clear(out);
	assert_int_equal(hf_signature_assemble(&signer->manifest, signer->key, &part, 1, out), HF_OK);
}

static inline uint64_t core_request_read(struct hf_slice message, struct hf_proof_request *out)
{
	struct hf_compact_reader in = hf_compact_reader(message);
	uint64_t flags = hf_compact_read_uint(&in), id = hf_compact_read_uint(&in);

	hf_compact_read_uint(&in);
	*out = (struct hf_proof_request){.has_block = flags & 1, .has_hash = flags & 2, .has_seek = flags & 4, .has_upgrade = flags & 8,
		.wants_manifest = flags & 16};
	if (out->has_block) {
		out->block.index = hf_compact_read_uint(&in);
		out->block.nodes = hf_compact_read_uint(&in);
	}
	if (out->has_hash) {
		out->hash.index = hf_compact_read_uint(&in);
		out->hash.nodes = hf_compact_read_uint(&in);
	}
	if (out->has_seek) {
		out->seek.bytes = hf_compact_read_uint(&in);
		out->seek.padding = hf_compact_read_uint(&in);
	}
	if (out->has_upgrade) {
		out->upgrade.start = hf_compact_read_uint(&in);
		out->upgrade.length = hf_compact_read_uint(&in);
	}
	assert_int_equal(in.status, HF_OK);
	return id;
}

static inline void core_data_write(struct hf_buffer *message, uint64_t id, const struct hf_proof *proof)
{
	struct hf_compact_writer out = hf_compact_writer(message);

	hf_buffer_clear(message);
	hf_compact_write_uint(&out, (proof->has_block ? 1 : 0) | (proof->has_hash ? 2 : 0) | (proof->has_seek ? 4 : 0)
		| (proof->has_upgrade ? 8 : 0) | (proof->has_manifest ? 16 : 0));
	hf_compact_write_uint(&out, id);
	hf_compact_write_uint(&out, proof->fork);
	if (proof->has_block) {
		hf_compact_write_uint(&out, proof->block.index);
		hf_compact_write_buffer(&out, proof->block.value);
		hf_node_list_write(&out, &proof->block.nodes);
	}
	if (proof->has_hash) {
		hf_compact_write_uint(&out, proof->hash.index);
		hf_node_list_write(&out, &proof->hash.nodes);
	}
	if (proof->has_seek) {
		hf_compact_write_uint(&out, proof->seek.bytes);
		hf_node_list_write(&out, &proof->seek.nodes);
	}
	if (proof->has_upgrade) {
		hf_compact_write_uint(&out, proof->upgrade.start);
		hf_compact_write_uint(&out, proof->upgrade.length);
		hf_node_list_write(&out, &proof->upgrade.nodes);
		hf_node_list_write(&out, &proof->upgrade.additional_nodes);
		hf_compact_write_buffer(&out, proof->upgrade.signature);
	}
	if (proof->has_manifest)
		hf_compact_write_fixed(&out, proof->manifest.data, proof->manifest.length);
	assert_int_equal(out.status, HF_OK);
}

static inline int core_data_read(struct hf_slice message, struct hf_proof *out)
{
	struct hf_compact_reader in = hf_compact_reader(message);
	uint64_t flags = hf_compact_read_uint(&in);

	hf_compact_read_uint(&in);
	*out = (struct hf_proof){.fork = hf_compact_read_uint(&in), .has_block = flags & 1, .has_hash = flags & 2, .has_seek = flags & 4,
		.has_upgrade = flags & 8, .has_manifest = flags & 16};
	if (out->has_block) {
		out->block.index = hf_compact_read_uint(&in);
		out->block.value = hf_compact_read_buffer(&in);
		out->block.nodes = hf_node_list_read(&in);
	}
	if (out->has_hash) {
		out->hash.index = hf_compact_read_uint(&in);
		out->hash.nodes = hf_node_list_read(&in);
	}
	if (out->has_seek) {
		out->seek.bytes = hf_compact_read_uint(&in);
		out->seek.nodes = hf_node_list_read(&in);
	}
	if (out->has_upgrade) {
		out->upgrade.start = hf_compact_read_uint(&in);
		out->upgrade.length = hf_compact_read_uint(&in);
		out->upgrade.nodes = hf_node_list_read(&in);
		out->upgrade.additional_nodes = hf_node_list_read(&in);
		out->upgrade.signature = hf_compact_read_buffer(&in);
	}
	if (out->has_manifest) {
		const uint8_t *start = in.at;
		struct hf_manifest manifest;

		hf_manifest_read(&in, &manifest);
		out->manifest = hf_slice(start, (size_t)(in.at - start));
	}
	return in.status;
}

/* All that a reader does with a proof of its own fork: nothing is changed unless it is HF_OK. */
static inline int core_accept(struct core *reader, const struct hf_manifest *manifest, const uint8_t *key, const struct hf_proof *proof,
	struct hf_proof_check *check)
{
	struct hf_tree_reader nodes = core_reader(reader);
	int status;

	if (proof->fork != reader->tree.fork)
		return HF_EBADSIG;
	while ((status = hf_proof_verify(proof, &reader->tree, &nodes, manifest, check)) == HF_EWAIT)
		;
	if (status == HF_OK && check->has_upgrade)
		status = hf_signature_verify(manifest, key, &check->tree, proof->upgrade.signature);
	if (status == HF_OK)
		core_adopt(reader, check, proof);
	return status;
}

#endif
