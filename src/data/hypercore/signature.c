/* Three encodings: the raw 64 bytes; parts with the number of blocks patched; and version 0's parts with a list of nodes each. */
#include "data/hypercore/signature.h"

#include <stdlib.h>

#define PART_BYTES_MIN 66 /* flags or patch, signer, signature */

static bool is_raw(const struct hf_manifest *manifest, const uint8_t *key)
{
	return hf_manifest_is_compat(manifest, key) || (manifest->version == 0 && manifest->signer_count == 1 && !manifest->allow_patch);
}

size_t hf_signature_signable(uint8_t out[static HF_SIGNABLE_BYTES_MAX], const struct hf_manifest *manifest,
	const uint8_t key[static HF_CORE_KEY_BYTES], uint64_t signer, const uint8_t tree_hash[static HF_TREE_HASH_BYTES],
	uint64_t length, uint64_t fork)
{
	struct hf_manifest_signer who;
	const uint8_t *context = key;

	if (!hf_manifest_signer(manifest, signer, &who))
		return 0;
	if (hf_manifest_is_compat(manifest, key))
		context = NULL;
	else if (manifest->version == 0)
		context = who.signer_namespace;
	return hf_signable(out, context, tree_hash, length, fork);
}

static int verify_one(const struct hf_manifest *manifest, const uint8_t *key, uint64_t signer, const struct hf_tree *tree,
	const uint8_t *signature)
{
	struct hf_manifest_signer who;
	uint8_t tree_hash[HF_TREE_HASH_BYTES], signable[HF_SIGNABLE_BYTES_MAX];
	size_t length;

	hf_tree_hash(tree, tree_hash);
	length = hf_signature_signable(signable, manifest, key, signer, tree_hash, tree->length, tree->fork);
	if (length == 0 || !hf_manifest_signer(manifest, signer, &who))
		return HF_EBADSIG;
	return hf_verify(signature, hf_slice(signable, length), who.public_key);
}

static int take_patch_node(void *context, uint64_t index, struct hf_tree_node *out)
{
	const struct hf_node_list *nodes = context;
	struct hf_compact_reader at = hf_compact_reader(nodes->encoded);

	while (hf_node_list_next(&at, out))
		if (out->index == index)
			return HF_OK;
	return HF_EBADSIG;
}

static int verify_patched(const struct hf_manifest *manifest, const uint8_t *key, const struct hf_signature_part *part,
	const struct hf_tree *tree)
{
	struct hf_node_list nodes = part->nodes;
	struct hf_tree_source source = {.context = &nodes, .take = take_patch_node};
	struct hf_tree grown;

	if (part->patch > HF_TREE_LENGTH_MAX - tree->length)
		return HF_EBADSIG;
	hf_tree_copy(&grown, tree);
	if (hf_tree_grow(&grown, tree->length + part->patch, &source) != HF_OK)
		return HF_EBADSIG;
	return verify_one(manifest, key, part->signer, &grown, part->signature);
}

static void read_part(struct hf_compact_reader *in, uint32_t version, struct hf_signature_part *out)
{
	bool has_patch = version == 0 && (hf_compact_read_uint(in) & 1) != 0;

	*out = (struct hf_signature_part){.signer = hf_compact_read_uint(in)};
	out->signature = hf_compact_read_fixed(in, HF_SIGN_SIGNATURE_BYTES);
	if (version > 0) {
		out->patch = hf_compact_read_uint(in);
	} else if (has_patch) {
		hf_compact_read_uint(in);
		out->patch = hf_compact_read_uint(in);
		for (size_t i = hf_compact_read_count(in, HF_SIGNATURE_NODES_MAX, 1); i > 0; i--)
			hf_compact_read_uint(in);
	}
}

int hf_signature_parts(const struct hf_manifest *manifest, const uint8_t key[static HF_CORE_KEY_BYTES], struct hf_slice signature,
	struct hf_signature_part *parts, size_t *part_count, struct hf_node_list *nodes)
{
	struct hf_compact_reader in = hf_compact_reader(signature);
	size_t room = *part_count, count;

	*nodes = (struct hf_node_list){.count = 0};
	*part_count = 0;
	if (is_raw(manifest, key)) {
		if (signature.length != HF_SIGN_SIGNATURE_BYTES)
			return HF_EMALFORMED;
		if (room == 0)
			return HF_ETOOBIG;
		parts[0] = (struct hf_signature_part){.signature = signature.data};
		*part_count = 1;
		return HF_OK;
	}
	count = hf_compact_read_count(&in, room < HF_SIGNATURE_PARTS_MAX ? room : HF_SIGNATURE_PARTS_MAX, PART_BYTES_MIN);
	for (size_t i = 0; i < count; i++)
		read_part(&in, manifest->version, &parts[i]);
	*nodes = hf_node_list_read(&in);
	if (nodes->count > HF_SIGNATURE_NODES_MAX)
		hf_compact_fail(&in, HF_ETOOBIG);
	if (in.status != HF_OK)
		return in.status;
	for (size_t i = 0; i < count; i++)
		parts[i].nodes = *nodes;
	*part_count = count;
	return HF_OK;
}

int hf_signature_verify(const struct hf_manifest *manifest, const uint8_t key[static HF_CORE_KEY_BYTES], const struct hf_tree *tree,
	struct hf_slice signature)
{
	struct hf_signature_part parts[HF_SIGNATURE_PARTS_MAX];
	struct hf_node_list nodes;
	bool used[HF_MANIFEST_SIGNERS_MAX] = {false}, raw = is_raw(manifest, key);
	size_t count = HF_SIGNATURE_PARTS_MAX;
	int status = HF_OK;

	if (manifest->version > 0 && manifest->has_prologue && !hf_manifest_is_compat(manifest, key)
		&& tree->length <= manifest->prologue.length) {
		uint8_t tree_hash[HF_TREE_HASH_BYTES];

		hf_tree_hash(tree, tree_hash);
		if (tree->length != manifest->prologue.length || memcmp(tree_hash, manifest->prologue.hash, sizeof tree_hash) != 0)
			return HF_EBADSIG;
		if (tree->fork == 0)
			return HF_OK;
	}
	if (hf_signature_parts(manifest, key, signature, parts, &count, &nodes) != HF_OK)
		return HF_EBADSIG;
	if (raw)
		return verify_one(manifest, key, 0, tree, parts[0].signature);
	if (manifest->quorum == 0 || count < manifest->quorum)
		return HF_EBADSIG;
	for (size_t i = 0; i < manifest->quorum && status == HF_OK; i++) {
		if (parts[i].signer >= manifest->signer_count || used[parts[i].signer])
			return HF_EBADSIG;
		used[parts[i].signer] = true;
		if (parts[i].patch > 0 && manifest->allow_patch)
			status = verify_patched(manifest, key, &parts[i], tree);
		else
			status = verify_one(manifest, key, parts[i].signer, tree, parts[i].signature);
	}
	return status;
}

/* The place of a node in the shared list; its length when it is not there. */
static size_t place_of(struct hf_node_list shared, uint64_t index)
{
	struct hf_compact_reader at = hf_compact_reader(shared.encoded);
	struct hf_tree_node node;
	size_t place = 0;

	while (hf_node_list_next(&at, &node) && node.index != index)
		place++;
	return place;
}

static struct hf_node_list shared_list(const struct hf_buffer *shared, size_t count)
{
	return (struct hf_node_list){.encoded = hf_buffer_slice(shared), .count = count};
}

/* All nodes of all parts, each once. */
static int share_nodes(const struct hf_signature_part *parts, size_t part_count, struct hf_buffer *shared, size_t *count)
{
	struct hf_compact_writer out = hf_compact_writer(shared);

	*count = 0;
	for (size_t i = 0; i < part_count; i++) {
		struct hf_compact_reader at = hf_compact_reader(parts[i].nodes.encoded);
		struct hf_tree_node node;

		while (parts[i].patch > 0 && hf_node_list_next(&at, &node)) {
			if (place_of(shared_list(shared, *count), node.index) < *count)
				continue;
			if (*count == HF_SIGNATURE_NODES_MAX)
				return HF_ETOOBIG;
			hf_tree_node_write(&out, &node);
			++*count;
		}
	}
	return out.status;
}

static void write_part(struct hf_compact_writer *out, uint32_t version, const struct hf_signature_part *part, struct hf_node_list shared)
{
	struct hf_compact_reader at = hf_compact_reader(part->nodes.encoded);
	struct hf_tree_node node = {.index = 0};

	if (version == 0)
		hf_compact_write_uint(out, part->patch > 0);
	hf_compact_write_uint(out, part->signer);
	hf_compact_write_fixed(out, part->signature, HF_SIGN_SIGNATURE_BYTES);
	if (version > 0)
		hf_compact_write_uint(out, part->patch);
	if (version > 0 || part->patch == 0)
		return;
	while (hf_node_list_next(&at, &node))
		;
	hf_compact_write_uint(out, hf_flat_right_span(node.index) / 2 + 1);
	hf_compact_write_uint(out, part->patch);
	hf_compact_write_uint(out, part->nodes.count);
	at = hf_compact_reader(part->nodes.encoded);
	while (hf_node_list_next(&at, &node))
		hf_compact_write_uint(out, place_of(shared, node.index));
}

static int assemble(uint32_t version, const struct hf_signature_part *parts, size_t part_count, struct hf_buffer *out)
{
	struct hf_compact_writer writer = hf_compact_writer(out);
	struct hf_buffer shared = {0};
	size_t node_count, before = out->length;
	int status = share_nodes(parts, part_count, &shared, &node_count);

	if (status == HF_OK) {
		struct hf_node_list nodes = shared_list(&shared, node_count);

		hf_compact_write_uint(&writer, part_count);
		for (size_t i = 0; i < part_count; i++)
			write_part(&writer, version, &parts[i], nodes);
		hf_node_list_write(&writer, &nodes);
		status = writer.status;
	}
	if (status != HF_OK)
		out->length = before;
	hf_buffer_free(&shared);
	return status;
}

int hf_signature_assemble(const struct hf_manifest *manifest, const uint8_t key[static HF_CORE_KEY_BYTES],
	const struct hf_signature_part *parts, size_t part_count, struct hf_buffer *out)
{
	if (part_count == 0 || part_count > HF_SIGNATURE_PARTS_MAX)
		return HF_EINVAL;
	for (size_t i = 0; i < part_count; i++)
		if (parts[i].patch > 0 && (!manifest->allow_patch || parts[i].nodes.count == 0))
			return HF_EINVAL;
	if (!is_raw(manifest, key))
		return assemble(manifest->version, parts, part_count, out);
	if (part_count > 1 || parts[0].patch > 0)
		return HF_EINVAL;
	return hf_buffer_append(out, parts[0].signature, HF_SIGN_SIGNATURE_BYTES);
}

static int compare_longer_first(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left < right) - (left > right);
}

uint64_t hf_signature_length(uint64_t *lengths, size_t count, uint64_t quorum)
{
	if (quorum == 0 || quorum > count)
		return 0;
	qsort(lengths, count, sizeof *lengths, compare_longer_first);
	return lengths[quorum - 1];
}
