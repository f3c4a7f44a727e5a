/* The lists of an answer go into one buffer one after the other. The upgrade is walked first; the subtree in it that holds the
 * block, hash or seek asked for is left out there, and its path is written after it. */
#include "data/hypercore/proof.h"

#include "data/hypercore/seek.h"

#define LEVELS_MAX 54
#define NO_NODE UINT64_MAX

struct list_place {
	size_t start, end, count;
};

struct build {
	const struct hf_tree *tree;
	const struct hf_tree_reader *reader;
	const struct hf_proof_request *request;
	struct hf_compact_writer out;
	bool has_node;
	uint64_t node;            /* tree index of the block or hash */
	uint64_t from, to, head;  /* in indices */
	uint64_t seek;            /* where the seek leads; NO_NODE */
	uint64_t target;          /* what the upgrade leaves out; NO_NODE */
	uint64_t path_root;       /* where the path of node and seek ends; NO_NODE */
	struct list_place node_list, seek_list, upgrade, additional;
	bool wrote_seek;
};

static int write_node(struct build *build, struct list_place *list, uint64_t index)
{
	struct hf_tree_node node;
	int status = hf_tree_node(build->tree, build->reader, index, &node);

	if (status != HF_OK)
		return status;
	hf_tree_node_write(&build->out, &node);
	list->count++;
	return build->out.status;
}

static void list_begin(struct build *build, struct list_place *list) { list->start = build->out.out->length; }
static void list_end(struct build *build, struct list_place *list) { list->end = build->out.out->length; }

static struct hf_node_list list_of(const struct build *build, const struct list_place *list)
{
	if (list->count == 0)
		return (struct hf_node_list){.count = 0};
	return (struct hf_node_list){.encoded = hf_slice(build->out.out->data + list->start, list->end - list->start), .count = list->count};
}

/* Below root to the node whose right or left edge the byte is, as far as nodes are held. */
static int seek_trusted(struct build *build, uint64_t root, uint64_t bytes, uint64_t *found)
{
	uint64_t at = root;

	*found = root;
	while (bytes > 0 && hf_flat_depth(at) > 0) {
		struct hf_tree_node left;
		uint64_t size;
		int status = build->reader->node(build->reader->context, hf_flat_left_child(at), &left);

		if (status == HF_ENOTFOUND)
			break;
		if (status != HF_OK)
			return status;
		if (!hf_seek_unpadded(left.size, hf_flat_leaf_count(left.index), build->request->seek.padding, &size))
			return HF_EINVAL;
		at = left.index;
		if (size == bytes)
			break;
		if (size < bytes) {
			bytes -= size;
			at = hf_flat_sibling(at);
		}
	}
	*found = at;
	return HF_OK;
}

/* The seek of a block or hash: within the subtree that the request is for. Where our nodes do not tell its offset, the answer has
 * no seek part; peers do without one. */
static int seek_below(struct build *build, uint64_t root, uint64_t *found)
{
	uint64_t padding = build->request->seek.padding, bytes = build->request->seek.bytes, offset, size;
	struct hf_tree_node node;
	int status = hf_seek_offset(build->tree, build->reader, root, 0, &offset);

	*found = root;
	if (status == HF_OK)
		status = hf_tree_node(build->tree, build->reader, root, &node);
	if (status != HF_OK)
		return status == HF_ENOTFOUND ? HF_OK : status;
	if (!hf_seek_unpadded(offset, hf_flat_left_span(root) / 2, padding, &offset)
		|| !hf_seek_unpadded(node.size, hf_flat_leaf_count(root), padding, &size) || offset > bytes)
		return HF_EINVAL;
	if (offset == bytes)
		return HF_OK;
	if (size <= bytes - offset)
		return HF_EINVAL;
	return seek_trusted(build, root, bytes - offset, found);
}

/* The seek of an upgrade: within the tree it leads to. */
static int seek_upgrade(struct build *build, uint64_t *found)
{
	struct hf_flat_roots at = {.end = build->to};
	uint64_t root, bytes = build->request->seek.bytes, size;
	struct hf_tree_node node;

	while (hf_flat_roots_next(&at, &root)) {
		int status = hf_tree_node(build->tree, build->reader, root, &node);

		if (status != HF_OK)
			return status;
		if (!hf_seek_unpadded(node.size, hf_flat_leaf_count(root), build->request->seek.padding, &size))
			return HF_EINVAL;
		if (bytes < size)
			return seek_trusted(build, root, bytes, found);
		*found = root;
		if (bytes == size)
			return HF_OK;
		bytes -= size;
	}
	*found = NO_NODE;
	return HF_OK;
}

/* What the walk below does with a node. */
static int emit(struct build *build, struct list_place *list, uint64_t index)
{
	if (build->target == NO_NODE || !hf_flat_contains(index, build->target))
		return write_node(build, list, index);
	build->target = NO_NODE;
	build->path_root = index;
	return HF_OK;
}

/* From the last leaf before from up to root: what is to its right. */
static int emit_connection(struct build *build, struct list_place *list, uint64_t from, uint64_t root)
{
	int status = HF_OK;

	for (uint64_t at = from - 2; at != root && status == HF_OK; at = hf_flat_parent(at))
		if (hf_flat_is_left(at))
			status = emit(build, list, hf_flat_sibling(at));
	return status;
}

/* The nodes that lead from one length to another. */
static int emit_upgrade(struct build *build, struct list_place *list, uint64_t from, uint64_t to)
{
	struct hf_flat_roots at = {.end = to};
	bool connected = from == 0;
	uint64_t root;
	int status = HF_OK;

	list_begin(build, list);
	while (status == HF_OK && hf_flat_roots_next(&at, &root)) {
		if (hf_flat_right_span(root) + 1 < from)
			continue;
		if (!connected && hf_flat_contains(root, from - 2))
			status = emit_connection(build, list, from, root);
		else
			status = emit(build, list, root);
		connected = true;
	}
	list_end(build, list);
	return status;
}

/* From the seek's node up to root, which the reader computes. */
static int write_seek_path(struct build *build, uint64_t root)
{
	int status;

	build->wrote_seek = true;
	list_begin(build, &build->seek_list);
	status = write_node(build, &build->seek_list, build->seek);
	for (uint64_t at = build->seek; at != root && status == HF_OK; at = hf_flat_parent(at))
		status = write_node(build, &build->seek_list, hf_flat_sibling(at));
	list_end(build, &build->seek_list);
	return status;
}

/* The path from the node up to root, without the sibling that the seek's path leads to; then that path. */
static int write_paths(struct build *build)
{
	uint64_t root = build->path_root, seek_root = NO_NODE;
	int status = HF_OK;

	if (!build->has_node)
		return write_seek_path(build, root);
	if (!hf_flat_contains(root, build->node))
		return HF_EINVAL;
	list_begin(build, &build->node_list);
	if (!build->request->has_block)
		status = write_node(build, &build->node_list, build->node);
	for (uint64_t at = build->node; at != root && status == HF_OK; at = hf_flat_parent(at)) {
		uint64_t sibling = hf_flat_sibling(at);

		if (build->seek != NO_NODE && sibling != build->seek && hf_flat_contains(sibling, build->seek))
			seek_root = sibling;
		else
			status = write_node(build, &build->node_list, sibling);
	}
	list_end(build, &build->node_list);
	if (status == HF_OK && seek_root != NO_NODE)
		status = write_seek_path(build, seek_root);
	return status;
}

/* A node that the reader can tie to what it holds: nodes levels up. */
static int plan_below(struct build *build)
{
	const struct hf_proof_request *request = build->request;
	uint64_t levels = request->has_block ? request->block.nodes : request->hash.nodes, root = build->node;

	if (levels > LEVELS_MAX)
		return HF_EINVAL;
	while (levels-- > 0)
		root = hf_flat_parent(root);
	if (hf_flat_right_span(root) >= build->to)
		return HF_EINVAL;
	build->path_root = root;
	return request->has_seek ? seek_below(build, root, &build->seek) : HF_OK;
}

/* The tree is proved as far as the prologue goes, so that it is compared with the manifest: but to who wants a block beyond with it that is
 * no answer, and the packages take more. */
static bool is_beyond(const struct build *build, uint64_t prologue_length)
{
	return build->has_node && hf_flat_right_span(build->node) / 2 >= prologue_length;
}

static int plan(struct build *build, uint64_t prologue_length)
{
	const struct hf_proof_request *request = build->request;
	uint64_t start = request->has_upgrade ? request->upgrade.start : 0;
	uint64_t length = request->has_upgrade ? request->upgrade.length : build->tree->length;
	int status;

	build->has_node = request->has_block || request->has_hash;
	if (build->has_node) {
		if ((request->has_block ? request->block.index : request->hash.index) > HF_COMPACT_UINT_MAX)
			return HF_EINVAL;
		build->node = request->has_block ? 2 * request->block.index : request->hash.index;
	}
	if (request->has_upgrade && start < prologue_length) {
		length = is_beyond(build, prologue_length) && length <= build->tree->length ? start + length : prologue_length;
		start = 0;
	}
	build->head = 2 * build->tree->length;
	if (length == 0 || start > build->tree->length || length > build->tree->length - start)
		return HF_EINVAL;
	build->from = 2 * start;
	build->to = build->from + 2 * length;
	if (build->has_node) {
		if (hf_flat_right_span(build->node) >= build->to)
			return HF_EINVAL;
		if (!request->has_upgrade)
			return plan_below(build);
		if (request->has_seek && build->node >= build->from)
			return HF_EINVAL;
		if (hf_flat_right_span(build->node) / 2 < start)
			return plan_below(build);
	}
	if (!request->has_upgrade || (!build->has_node && !request->has_seek))
		return HF_OK;
	if (!request->has_seek) {
		build->target = build->node;
		return HF_OK;
	}
	status = seek_upgrade(build, &build->seek);
	build->target = build->seek;
	return status;
}

static int write_all(struct build *build)
{
	int status = HF_OK;

	if (build->request->has_upgrade) {
		status = emit_upgrade(build, &build->upgrade, build->from, build->to);
		build->target = NO_NODE;
		if (status == HF_OK && build->head > build->to)
			status = emit_upgrade(build, &build->additional, build->to, build->head);
	}
	if (status == HF_OK && build->path_root != NO_NODE)
		return write_paths(build);
	return status == HF_OK && build->has_node ? HF_EINVAL : status;
}

static void fill(const struct build *build, struct hf_proof *proof)
{
	const struct hf_proof_request *request = build->request;

	proof->has_block = request->has_block;
	proof->has_hash = !request->has_block && request->has_hash;
	proof->has_seek = build->wrote_seek;
	proof->has_upgrade = request->has_upgrade;
	if (proof->has_block) {
		proof->block.index = request->block.index;
		proof->block.nodes = list_of(build, &build->node_list);
	} else if (proof->has_hash) {
		proof->hash.index = request->hash.index;
		proof->hash.nodes = list_of(build, &build->node_list);
	}
	if (proof->has_seek) {
		proof->seek.bytes = request->seek.bytes;
		proof->seek.nodes = list_of(build, &build->seek_list);
	}
	if (proof->has_upgrade) {
		proof->upgrade.start = build->from / 2;
		proof->upgrade.length = (build->to - build->from) / 2;
		proof->upgrade.nodes = list_of(build, &build->upgrade);
		proof->upgrade.additional_nodes = list_of(build, &build->additional);
	}
}

int hf_proof_build(const struct hf_tree *tree, const struct hf_tree_reader *reader, uint64_t prologue_length,
	const struct hf_proof_request *request, struct hf_buffer *nodes, struct hf_proof *proof)
{
	struct build build = {.tree = tree, .reader = reader, .request = request, .out = hf_compact_writer(nodes),
		.seek = NO_NODE, .target = NO_NODE, .path_root = NO_NODE};
	size_t before = nodes->length;
	int status;

	*proof = (struct hf_proof){.fork = tree->fork};
	if (tree->length == 0)
		return HF_OK;
	status = plan(&build, prologue_length);
	if (status == HF_OK)
		status = write_all(&build);
	if (status != HF_OK) {
		nodes->length = before;
		return status;
	}
	fill(&build, proof);
	return HF_OK;
}
