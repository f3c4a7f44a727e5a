/* fuzz_proof: whatever a peer sends, a reader ends up with true nodes of the core or with none; manifests keep their key; seeks,
 * signatures and the search of a common ancestor take any bytes. The first byte says what the rest is, the second how long the
 * reader's tree is, the third which of its nodes it does not hold.
 * Covers: src/data/hypercore/tree.c src/data/hypercore/tree_node.c src/data/hypercore/proof.c src/data/hypercore/proof_verify.c
 * src/data/hypercore/manifest.c src/data/hypercore/signature.c src/data/hypercore/seek.c src/data/hypercore/reorg.c */
#include "fuzz.h"

#include <stdio.h>

#include "data/hypercore/reorg.h"
#include "data/hypercore/seek.h"
#include "data/hypercore/signature.h"

#define BLOCKS 100
#define NODES (2 * BLOCKS)

enum { PROOF, REQUEST, MANIFEST, REORG, SEEK, KIND_COUNT };

/* The core, and what a reader has of it. */
static struct world {
	bool ready;
	struct hf_tree tree;
	bool is[NODES];
	struct hf_tree_node nodes[NODES];
	char blocks[BLOCKS][64];
	struct hf_manifest manifest;
	uint8_t manifest_bytes[HF_MANIFEST_DEFAULT_BYTES], key[32];
} world;

struct reader {
	uint64_t length;
	uint8_t mask;
	unsigned wait_every, reads;
};

static void make_world(void)
{
	uint8_t seed[32], public_key[32], secret_key[64];

	FUZZ_CHECK(hf_crypto_init() == HF_OK);
	memset(seed, 0x2a, sizeof seed); /* the key pair and blocks of test/vectors/hypercore, so that its signatures hold */
	hf_sign_keypair_from_seed(public_key, secret_key, seed);
	hf_manifest_default(&world.manifest, world.manifest_bytes, public_key);
	FUZZ_CHECK(hf_manifest_key(&world.manifest, world.key) == HF_OK);
	for (unsigned i = 0; i < BLOCKS; i++) {
		struct hf_tree_node leaf, nodes[HF_TREE_APPEND_NODES_MAX];
		uint32_t count;

		for (unsigned j = 0; j <= i % 4; j++)
			sprintf(world.blocks[i] + strlen(world.blocks[i]), "block-%u", i);
		hf_tree_leaf(&leaf, i, hf_slice_text(world.blocks[i]));
		FUZZ_CHECK(hf_tree_append(&world.tree, leaf.size, leaf.hash, nodes, &count) == HF_OK);
		for (uint32_t j = 0; j < count; j++) {
			world.nodes[nodes[j].index] = nodes[j];
			world.is[nodes[j].index] = true;
		}
	}
	world.ready = true;
}

static int read_node(void *context, uint64_t index, struct hf_tree_node *out)
{
	struct reader *reader = context;

	if (reader->wait_every > 0 && ++reader->reads % reader->wait_every == 0)
		return HF_EWAIT;
	if (index >= NODES || !world.is[index] || hf_flat_right_span(index) >= 2 * reader->length || (reader->mask >> index % 8 & 1) != 0)
		return HF_ENOTFOUND;
	*out = world.nodes[index];
	return HF_OK;
}

static int read_any(void *context, uint64_t index, struct hf_tree_node *out)
{
	struct reader all = {.length = BLOCKS};

	return read_node(&all, index, out);
}

static void read_proof(struct hf_compact_reader *in, struct hf_proof *out)
{
	uint64_t flags = hf_compact_read_uint(in);

	*out = (struct hf_proof){.has_block = flags & 1, .has_hash = flags & 2, .has_seek = flags & 4, .has_upgrade = flags & 8,
		.has_manifest = flags & 16};
	hf_compact_read_uint(in);
	out->fork = hf_compact_read_uint(in);
	if (out->has_block) {
		out->block.index = hf_compact_read_uint(in);
		out->block.value = hf_compact_read_buffer(in);
		out->block.nodes = hf_node_list_read(in);
	}
	if (out->has_hash) {
		out->hash.index = hf_compact_read_uint(in);
		out->hash.nodes = hf_node_list_read(in);
	}
	if (out->has_seek) {
		out->seek.bytes = hf_compact_read_uint(in);
		out->seek.nodes = hf_node_list_read(in);
	}
	if (out->has_upgrade) {
		out->upgrade.start = hf_compact_read_uint(in);
		out->upgrade.length = hf_compact_read_uint(in);
		out->upgrade.nodes = hf_node_list_read(in);
		out->upgrade.additional_nodes = hf_node_list_read(in);
		out->upgrade.signature = hf_compact_read_buffer(in);
	}
	if (out->has_manifest)
		out->manifest = hf_compact_read_raw(in);
}

static bool lists(struct hf_node_list list, uint64_t index)
{
	struct hf_compact_reader at = hf_compact_reader(list.encoded);
	struct hf_tree_node node;

	while (hf_node_list_next(&at, &node))
		if (node.index == index)
			return true;
	return false;
}

static bool gives(const struct hf_proof *proof, uint64_t index)
{
	return lists(proof->block.nodes, index) || lists(proof->hash.nodes, index) || lists(proof->seek.nodes, index)
		|| lists(proof->upgrade.nodes, index) || lists(proof->upgrade.additional_nodes, index);
}

/* Of two siblings that are both given only the sum of sizes is vouched for: see proof.h. */
static void expect_truth(const struct hf_proof *proof, const struct hf_proof_check *check)
{
	for (size_t i = 0; i < check->node_count; i++) {
		const struct hf_tree_node *node = &check->nodes[i];

		FUZZ_CHECK(node->index < NODES && world.is[node->index]);
		FUZZ_CHECK(memcmp(node->hash, world.nodes[node->index].hash, sizeof node->hash) == 0);
		if (!gives(proof, node->index) || !gives(proof, hf_flat_sibling(node->index)))
			FUZZ_CHECK(node->size == world.nodes[node->index].size);
	}
	if (proof->has_block)
		FUZZ_CHECK(hf_slice_equal(proof->block.value, hf_slice_text(world.blocks[proof->block.index])));
}

static void judge(const struct hf_proof *proof, struct reader *reader)
{
	struct hf_tree_reader all = {.node = read_any}, nodes = {.context = reader, .node = read_node};
	struct hf_proof_check check = {0}, again = {0};
	struct hf_tree ours;
	int status, repeated;

	FUZZ_CHECK(hf_tree_at(&world.tree, &all, reader->length, &ours) == HF_OK);
	status = hf_proof_verify(proof, &ours, &nodes, &world.manifest, &check);
	reader->wait_every = 2;
	while ((repeated = hf_proof_verify(proof, &ours, &nodes, &world.manifest, &again)) == HF_EWAIT)
		FUZZ_CHECK(again.node_count == 0);
	reader->wait_every = 0;
	FUZZ_CHECK(status == repeated && check.node_count == again.node_count);
	if (proof->fork == 0 && status == HF_OK && (!check.has_upgrade
		|| hf_signature_verify(&world.manifest, world.key, &check.tree, proof->upgrade.signature) == HF_OK))
		expect_truth(proof, &check);
	FUZZ_CHECK(status == HF_OK || (check.node_count == 0 && !check.has_upgrade));
	hf_proof_check_free(&check);
	hf_proof_check_free(&again);
}

static void try_proof(struct hf_compact_reader *in, struct reader *reader)
{
	struct hf_proof_check check = {0};
	uint8_t discovery_key[32], key[32];
	struct hf_proof proof;

	read_proof(in, &proof);
	if (in->status != HF_OK)
		return;
	judge(&proof, reader);
	hf_discovery_key(discovery_key, world.key);
	if (hf_proof_verify_remote(&proof, discovery_key, &check, key) == HF_OK && proof.fork == 0)
		expect_truth(&proof, &check);
	hf_proof_check_free(&check);
}

/* What the whole core answers, the reader may judge. */
static void try_request(struct hf_compact_reader *in, struct reader *reader)
{
	struct hf_tree_reader all = {.node = read_any}, some = {.context = reader, .node = read_node};
	uint64_t flags = hf_compact_read_uint(in), prologue_length = hf_compact_read_uint(in);
	struct hf_proof_request request = {.has_block = flags & 1, .has_hash = flags & 2, .has_seek = flags & 4, .has_upgrade = flags & 8};
	struct hf_buffer out = {0};
	struct hf_tree ours;
	struct hf_proof proof;

	hf_compact_read_uint(in);
	if (request.has_block) {
		request.block.index = hf_compact_read_uint(in);
		request.block.nodes = hf_compact_read_uint(in);
	}
	if (request.has_hash) {
		request.hash.index = hf_compact_read_uint(in);
		request.hash.nodes = hf_compact_read_uint(in);
	}
	if (request.has_seek) {
		request.seek.bytes = hf_compact_read_uint(in);
		request.seek.padding = hf_compact_read_uint(in);
	}
	if (request.has_upgrade) {
		request.upgrade.start = hf_compact_read_uint(in);
		request.upgrade.length = hf_compact_read_uint(in);
	}
	if (hf_proof_build(&world.tree, &all, flags & 64 ? prologue_length : 0, &request, &out, &proof) == HF_OK) {
		if (proof.has_block)
			proof.block.value = hf_slice_text(world.blocks[proof.block.index]);
		judge(&proof, reader);
	} else {
		FUZZ_CHECK(out.length == 0);
	}
	hf_buffer_clear(&out);
	FUZZ_CHECK(hf_tree_at(&world.tree, &all, reader->length, &ours) == HF_OK);
	if (hf_proof_build(&ours, &some, 0, &request, &out, &proof) != HF_OK)
		FUZZ_CHECK(out.length == 0);
	hf_buffer_free(&out);
}

static void try_parts(const struct hf_manifest *manifest, const uint8_t *key, struct hf_slice signature)
{
	struct hf_signature_part parts[8];
	struct hf_node_list nodes;
	struct hf_buffer out = {0};
	size_t count = 8, again = 8;

	if (hf_signature_parts(manifest, key, signature, parts, &count, &nodes) == HF_OK
		&& hf_signature_assemble(manifest, key, parts, count, &out) == HF_OK) {
		FUZZ_CHECK(hf_signature_parts(manifest, key, hf_buffer_slice(&out), parts, &again, &nodes) == HF_OK);
		FUZZ_CHECK(count == again);
	}
	hf_buffer_free(&out);
}

static void try_manifest(struct hf_compact_reader *in, struct reader *reader)
{
	struct hf_slice encoded = hf_compact_read_buffer(in), signature = hf_compact_read_raw(in);
	struct hf_tree_reader all = {.node = read_any};
	struct hf_manifest manifest, other;
	struct hf_manifest_signer signer;
	uint8_t key[32], bytes[HF_MANIFEST_DEFAULT_BYTES];
	struct hf_buffer again = {0};
	struct hf_tree tree;

	if (in->status != HF_OK || hf_manifest_decode(&manifest, encoded) != HF_OK)
		return;
	FUZZ_CHECK(hf_manifest_key(&manifest, key) == HF_OK);
	FUZZ_CHECK(hf_manifest_encode(&manifest, &again) == HF_OK && again.length <= HF_MANIFEST_BYTES_MAX);
	FUZZ_CHECK(hf_manifest_of_key(&other, key, hf_buffer_slice(&again), bytes) == HF_OK);
	FUZZ_CHECK(other.signer_count == manifest.signer_count && other.quorum == manifest.quorum);
	FUZZ_CHECK(hf_tree_at(&world.tree, &all, reader->length, &tree) == HF_OK);
	hf_signature_verify(&manifest, key, &tree, signature);
	try_parts(&manifest, key, signature);
	if (hf_manifest_signer(&manifest, 0, &signer)) {
		memcpy(key, signer.public_key, sizeof key);
		FUZZ_CHECK(hf_manifest_is_compat(&manifest, key) == (manifest.signer_count == 1));
		hf_signature_verify(&manifest, key, &tree, signature);
		try_parts(&manifest, key, signature);
	}
	hf_buffer_free(&again);
}

/* The first proof is a whole tree, the others answers to what is wanted. */
static void try_reorg(struct hf_compact_reader *in, struct reader *reader)
{
	struct hf_tree_reader all = {.node = read_any}, nothing = {.context = &(struct reader){.length = 0}, .node = read_node};
	static const struct hf_tree empty;
	struct hf_proof_check check = {0};
	struct hf_reorg reorg = {0};
	struct hf_proof proof;
	uint64_t before = 0;

	read_proof(in, &proof);
	if (in->status == HF_OK && hf_proof_verify(&proof, &empty, &nothing, NULL, &check) == HF_OK && check.has_upgrade) {
		FUZZ_CHECK(hf_reorg_start(&reorg, &check, reader->length) == HF_OK);
		do {
			FUZZ_CHECK(hf_reorg_step(&reorg, &all) == HF_OK);
			FUZZ_CHECK(reorg.ancestors >= before && reorg.ancestors <= reorg.tree.length);
			before = reorg.ancestors;
			if (!reorg.finished)
				FUZZ_CHECK(reorg.want_start < reorg.want_end && reorg.want_end <= reorg.tree.length);
			read_proof(in, &proof);
		} while (in->status == HF_OK && hf_reorg_feed(&reorg, &proof) == HF_OK);
	}
	hf_reorg_free(&reorg);
	hf_proof_check_free(&check);
}

static void try_seek(struct hf_compact_reader *in, struct reader *reader)
{
	uint64_t bytes = hf_compact_read_uint(in), padding = hf_compact_read_uint(in), node = hf_compact_read_uint(in), number;
	struct hf_tree_reader all = {.node = read_any}, some = {.context = reader, .node = read_node};
	struct hf_seek seek;
	struct hf_tree tree;

	FUZZ_CHECK(hf_tree_at(&world.tree, &all, reader->length, &tree) == HF_OK);
	if (hf_seek(&tree, &some, bytes, padding, &seek) == HF_OK) {
		struct hf_seek exact;

		FUZZ_CHECK(hf_seek(&tree, &all, bytes, padding, &exact) != HF_OK || !exact.needs_network);
		if (seek.needs_network)
			FUZZ_CHECK(seek.start < seek.end && seek.end <= tree.length);
		else
			FUZZ_CHECK(seek.block <= tree.length);
	}
	if (hf_seek_offset(&tree, &some, node, padding, &number) == HF_OK)
		FUZZ_CHECK(number <= tree.byte_length);
	if (hf_seek_missing(&tree, &some, node, &number) == HF_OK)
		FUZZ_CHECK(number < 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!world.ready)
		make_world();
	if (size < 3)
		return 0;
	struct reader reader = {.length = data[1] % (BLOCKS + 1), .mask = data[2]};
	struct hf_compact_reader in = hf_compact_reader(hf_slice(data + 3, size - 3));

	switch (data[0] % KIND_COUNT) {
	case PROOF:
		try_proof(&in, &reader);
		break;
	case REQUEST:
		try_request(&in, &reader);
		break;
	case MANIFEST:
		try_manifest(&in, &reader);
		break;
	case REORG:
		try_reorg(&in, &reader);
		break;
	default:
		try_seek(&in, &reader);
	}
	return 0;
}
