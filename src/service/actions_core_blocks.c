/* actions_core_blocks: what is done with the blocks of a core. Blocks travel as they are, behind a line that says how long each is. */
#include <stdio.h>
#include <stdlib.h>

#include "crypto/block_cipher.h"
#include "data/hypercore/signature.h"
#include "service/actions_private.h"

#define VERIFY_BYTES (16u << 20)       /* read by one call */
#define VERIFY_COUNT_MAX 16384

typedef unsigned long long ull;

/* ---- Appending ---- */

static int cut_blocks(struct hf_action_run *run, struct hf_slice **blocks, size_t *count)
{
	json_t *sizes = json_object_get(run->arguments, "sizes");
	struct hf_slice data = run->data;
	*count = json_array_size(sizes);
	*blocks = calloc(*count + 1, sizeof **blocks);
	if (!*blocks)
		return HF_ENOMEM;
	for (size_t i = 0; i < *count; i++) {
		json_int_t size = json_integer_value(json_array_get(sizes, i));
		if (size < 0 || (uint64_t)size > data.length)
			return hf_fail(&run->call->failure, HF_EINVAL, "The sizes of the blocks do not match the bytes that follow.");
		(*blocks)[i] = hf_slice(data.data, (size_t)size);
		data.data += size;
		data.length -= (size_t)size;
	}
	return data.length == 0 ? HF_OK : hf_fail(&run->call->failure, HF_EINVAL, "More bytes follow than the blocks have.");
}

static int append(struct hf_action_run *run, struct hf_core *core, const struct hf_slice *blocks, size_t count)
{
	struct hf_failure *failure = &run->call->failure;
	bool is_synced = json_is_true(json_object_get(run->arguments, "disk"));
	if (hf_action_core_is_sealed(core) && !hf_core_is_encrypted(core))
		return hf_fail(failure, HF_EDENIED, "The core is encrypted; give its --encryption-key to append to it.");
	int r = hf_core_append(core, blocks, count, NULL);
	if (r == HF_OK)
		r = hf_core_commit_wait(core, is_synced ? HF_DURABLE_DISK : HF_DURABLE_OS);
	switch (r) {
	case HF_OK: return HF_OK;
	case HF_EDENIED: return hf_fail(failure, r, "The core cannot be appended to: its secret key is not in this data directory.");
	case HF_EBADSIG: return hf_fail(failure, r, "The core was made with other first blocks: its manifest has a hash of them.");
	case HF_ETOOBIG: return hf_fail(failure, r, "A block has %u bytes at most.", HF_CORE_BLOCK_BYTES_MAX - HF_BLOCK_PADDING_BYTES);
	case HF_ENOSPC: return hf_fail(failure, r, "The blocks were not stored: the disk, or the quota of store.quota, is full.");
	default: return hf_fail(failure, r, "The blocks were not stored: %s.", hf_error_text(r));
	}
}

int hf_action_core_append(struct hf_action_run *run)
{
	struct hf_slice *blocks = NULL;
	struct hf_core *core;
	size_t count;
	int r = cut_blocks(run, &blocks, &count);
	if (r == HF_OK)
		r = hf_action_open_core(run, &core);
	if (r < 0) {
		free(blocks);
		return r;
	}
	r = append(run, core, blocks, count);
	if (r == HF_OK)
		r = hf_action_append(&run->call->out, json_pack("{s:I, s:I}", "length", (json_int_t)hf_core_length(core), "byte_length",
			(json_int_t)hf_core_tree(core)->byte_length));
	hf_core_unref(core);
	free(blocks);
	return r;
}

/* ---- Reading ---- */

static int fail_block(struct hf_action_run *run, const struct hf_core *core, uint64_t index, int status)
{
	struct hf_failure *failure = &run->call->failure;
	switch (status) {
	case HF_EWAIT:
		return hf_fail(failure, HF_ENOTFOUND, "Block %llu is not held here; `holdfast core fetch --blocks %llu` brings it from a peer.",
			(ull)index,
			(ull)index);
	case HF_ENOTFOUND:
		return hf_fail(failure, HF_ENOTFOUND, "There is no block %llu: the core has %llu, counted from 0.", (ull)index,
			(ull)hf_core_length(core));
	case HF_EMALFORMED:
		return hf_fail(failure, status, "Block %llu is too short for an encrypted one: this core is not encrypted.", (ull)index);
	default:
		return hf_fail(failure, status, "Block %llu cannot be read: %s.", (ull)index, hf_error_text(status));
	}
}

/* Blocks [from, to) as far as a page goes. With "partial", a page ends before a block that is not there; else that is an error when it is
 * the first. */
int hf_action_core_get(struct hf_action_run *run)
{
	struct hf_buffer bytes = {0};
	struct hf_core *core;
	uint64_t from, to, at;
	bool is_partial = json_is_true(json_object_get(run->arguments, "partial"));
	json_t *sizes = json_array();
	int r = hf_action_number(run, "from", 0, &from), status = HF_OK;
	if (r == HF_OK)
		r = hf_action_number(run, "to", UINT64_MAX, &to);
	if (r == HF_OK)
		r = hf_action_open_core(run, &core);
	if (r < 0) {
		json_decref(sizes);
		return r;
	}
	if (to == UINT64_MAX && from <= hf_core_length(core))
		to = hf_core_length(core);
	for (at = from; status == HF_OK && at < to && bytes.length < HF_ACTION_PAGE_BYTES && at - from < HF_ACTION_PAGE_COUNT_MAX;) {
		size_t before = bytes.length;
		status = hf_core_get(core, at, &bytes);
		if (status == HF_OK && json_array_append_new(sizes, json_integer((json_int_t)(bytes.length - before))) < 0)
			status = HF_ENOMEM;
		at += status == HF_OK;
	}
	bool is_missing = status == HF_EWAIT || status == HF_ENOTFOUND;
	if (status < 0 && !(is_missing && (is_partial || at > from)))
		r = fail_block(run, core, at, status);
	if (r == HF_OK)
		r = hf_action_append(&run->call->out, json_pack("{s:O, s:I, s:I, s:I}", "sizes", sizes, "to", (json_int_t)to, "length",
			(json_int_t)hf_core_length(core), "fork", (json_int_t)hf_core_fork(core)));
	if (r == HF_OK)
		r = hf_buffer_append(&run->call->out, bytes.data, bytes.length);
	json_decref(sizes);
	hf_buffer_free(&bytes);
	hf_core_unref(core);
	return r;
}

int hf_action_core_seek(struct hf_action_run *run)
{
	struct hf_failure *failure = &run->call->failure;
	struct hf_core_place place;
	struct hf_core *core;
	uint64_t bytes;
	int r = hf_action_number(run, "bytes", 0, &bytes);
	if (r == HF_OK)
		r = hf_action_open_core(run, &core);
	if (r < 0)
		return r;
	r = hf_core_seek(core, bytes, &place);
	if (r == HF_OK)
		r = hf_action_append(&run->call->out, json_pack("{s:I, s:I}", "block", (json_int_t)place.block, "offset", (json_int_t)place.offset));
	else if (r == HF_ENOTFOUND)
		hf_fail(failure, r, "There is no byte %llu: the core has %llu, counted from 0.", (ull)bytes, (ull)hf_core_byte_length(core));
	else if (r == HF_EWAIT)
		hf_fail(failure, HF_ENOTFOUND,
			"Too little of the core is held to find byte %llu: it lies in one of the blocks %llu to %llu; fetch some of them.",
			(ull)bytes, (ull)place.from, (ull)(place.to ? place.to - 1 : 0));
	hf_core_unref(core);
	return r == HF_EWAIT ? HF_ENOTFOUND : r;
}

/* ---- Changing ---- */

int hf_action_core_truncate(struct hf_action_run *run)
{
	struct hf_failure *failure = &run->call->failure;
	struct hf_core *core;
	uint64_t length, fork;
	int r = hf_action_number(run, "length", 0, &length);
	if (r == HF_OK)
		r = hf_action_number(run, "fork", UINT64_MAX, &fork);
	if (r == HF_OK)
		r = hf_action_open_core(run, &core);
	if (r < 0)
		return r;
	uint64_t old_length = hf_core_length(core), old_fork = hf_core_fork(core);
	if (length > old_length)
		r = hf_fail(failure, HF_EINVAL, "The core has %llu blocks; it cannot be truncated to %llu.", (ull)old_length, (ull)length);
	else if (fork <= old_fork)
		r = hf_fail(failure, HF_EINVAL, "The core is on fork %llu; a new fork must have a higher number than that.", (ull)old_fork);
	else if (length < hf_core_prologue_length(core) && old_length >= hf_core_prologue_length(core))
		r = hf_fail(failure, HF_EINVAL, "The first %llu blocks of the core are what its manifest says; they cannot be truncated.",
			(ull)hf_core_prologue_length(core));
	if (r == HF_OK)
		r = hf_core_truncate(core, length, fork == UINT64_MAX ? HF_CORE_NEXT_FORK : fork);
	if (r == HF_OK)
		r = hf_core_commit_wait(core, HF_DURABLE_DISK);
	if (r == HF_OK)
		r = hf_action_append(&run->call->out, json_pack("{s:I, s:I}", "length", (json_int_t)hf_core_length(core), "fork",
			(json_int_t)hf_core_fork(core)));
	else if (r == HF_EDENIED)
		hf_fail(failure, r, "The core cannot be truncated: its secret key is not in this data directory.");
	hf_core_unref(core);
	return r;
}

/* Of a large range as much at a time as may wait for its commit. */
static int clear_in_parts(struct hf_core *core, uint64_t from, uint64_t to)
{
	int r = HF_EBUSY, committed = HF_OK;
	while (r == HF_EBUSY && committed == HF_OK) {
		r = from < to ? hf_core_clear(core, from, to) : HF_OK;
		committed = r == HF_OK || r == HF_EBUSY ? hf_core_commit_wait(core, HF_DURABLE_OS) : r;
	}
	return committed;
}

int hf_action_core_clear(struct hf_action_run *run)
{
	struct hf_core *core;
	uint64_t from, to;
	int r = hf_action_number(run, "from", 0, &from);
	if (r == HF_OK)
		r = hf_action_number(run, "to", 0, &to);
	if (r == HF_OK)
		r = hf_action_open_core(run, &core);
	if (r < 0)
		return r;
	if (from > to)
		r = hf_fail(&run->call->failure, HF_EINVAL, "START is %llu and END %llu: there is nothing between them.", (ull)from, (ull)to);
	to = to < hf_core_length(core) ? to : hf_core_length(core);
	if (r == HF_OK)
		r = clear_in_parts(core, from, to);
	if (r == HF_OK)
		r = hf_action_append(&run->call->out, json_pack("{s:I}", "blocks_held", (json_int_t)hf_bitfield_count(hf_core_blocks(core))));
	hf_core_unref(core);
	return r;
}

/* ---- Verifying ---- */

struct verifying {
	struct hf_core *core;
	struct hf_tree_reader reader;
	struct hf_buffer block;
	json_t *faults;
	uint64_t blocks, bytes;
};

static void note_fault(struct verifying *v, uint64_t index, const char *what)
{
	char text[160];
	snprintf(text, sizeof text, "block %llu: %s", (ull)index, what);
	if (json_array_size(v->faults) < HF_ACTION_FAULT_COUNT_MAX)
		json_array_append_new(v->faults, json_string(text));
}

/* From a leaf up to the root above it: every node is the hash of its children. What sits on a left side has been climbed from the block
 * before, up to where the ways meet. */
static const char *climb(struct verifying *v, const struct hf_tree_node *leaf)
{
	const struct hf_tree *tree = hf_core_tree(v->core);
	struct hf_tree_node at = *leaf, sibling, parent, kept;
	if (hf_tree_node(tree, &v->reader, at.index, &kept) != HF_OK)
		return "its hash is missing";
	if (memcmp(kept.hash, at.hash, sizeof kept.hash) != 0 || kept.size != at.size)
		return "it does not match its hash in the tree";
	while (!hf_tree_root(tree, at.index)) {
		if (hf_tree_node(tree, &v->reader, hf_flat_sibling(at.index), &sibling) != HF_OK)
			return "a hash on its way to the root is missing";
		bool is_left = hf_flat_is_left(at.index);
		if (hf_tree_parent(&parent, is_left ? &at : &sibling, is_left ? &sibling : &at) != HF_OK ||
			hf_tree_node(tree, &v->reader, parent.index, &kept) != HF_OK)
			return "a hash on its way to the root is missing";
		if (memcmp(kept.hash, parent.hash, sizeof kept.hash) != 0 || kept.size != parent.size)
			return "a hash on its way to the root is wrong";
		at = parent;
	}
	return NULL;
}

static int verify_block(struct verifying *v, uint64_t index)
{
	struct hf_tree_node leaf;
	hf_buffer_clear(&v->block);
	int r = hf_core_get_stored(v->core, index, &v->block);
	v->blocks++;
	if (r == HF_ENOMEM)
		return r;
	if (r < 0) {
		note_fault(v, index, hf_error_text(r));
		return HF_OK;
	}
	v->bytes += v->block.length;
	hf_tree_leaf(&leaf, index, hf_buffer_slice(&v->block));
	const char *fault = climb(v, &leaf);
	if (fault)
		note_fault(v, index, fault);
	return HF_OK;
}

static void verify_signature(struct verifying *v)
{
	const struct hf_tree *tree = hf_core_committed_tree(v->core);
	const struct hf_manifest *manifest = hf_core_manifest(v->core);
	if (tree->length == 0)
		return;
	if (!manifest)
		json_array_append_new(v->faults, json_string("the manifest is missing"));
	else if (hf_signature_verify(manifest, hf_core_key(v->core), tree, hf_core_signature(v->core)) != HF_OK)
		json_array_append_new(v->faults, json_string("the signature of the tree does not verify"));
}

int hf_action_core_verify(struct hf_action_run *run)
{
	struct verifying v = {.faults = json_array()};
	uint64_t from;
	int r = hf_action_number(run, "from", 0, &from);
	if (r == HF_OK)
		r = hf_action_open_core(run, &v.core);
	if (r < 0) {
		json_decref(v.faults);
		return r;
	}
	const struct hf_bitfield *held = hf_core_blocks(v.core);
	uint64_t length = hf_core_length(v.core), at = hf_bitfield_next_set(held, from, length);
	v.reader = hf_core_nodes(v.core);
	if (from == 0)
		verify_signature(&v);
	while (r == HF_OK && at < length && v.bytes < VERIFY_BYTES && v.blocks < VERIFY_COUNT_MAX) {
		r = verify_block(&v, at);
		at = hf_bitfield_next_set(held, at + 1, length);
	}
	if (r == HF_OK)
		r = hf_action_append(&run->call->out, json_pack("{s:I, s:I, s:I, s:O, s:o}", "blocks", (json_int_t)v.blocks, "bytes", (json_int_t)v.bytes,
			"blocks_held", (json_int_t)hf_bitfield_count(held), "faults", v.faults, "next", at < length ? json_integer((json_int_t)at)
				: json_null()));
	hf_buffer_free(&v.block);
	json_decref(v.faults);
	hf_core_unref(v.core);
	return r;
}
