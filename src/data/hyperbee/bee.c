/* Opening, views, and reading one key. */
#include "data/hyperbee/bee_private.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/options.h"

/* ---- Opening ---- */

static void on_core(struct hf_core_listener *listener, enum hf_core_event event, uint64_t from, uint64_t to)
{
	struct hf_bee *bee = HF_CONTAINER_OF(listener, struct hf_bee, listener);

	(void)from;
	(void)to;
	if (event == HF_CORE_FAILED) {
		bee->generation++;
		hf_bee_cache_clear(&bee->cache);
		hf_bee_tree_drop(bee);
	}
	if (event == HF_CORE_GREW || event == HF_CORE_TRUNCATED)
		hf_bee_tell_watches(bee);
}

int hf_bee_open(struct hf_bee **out, const struct hf_bee_options *given)
{
	static const struct hf_bee_header plain;
	struct hf_bee_options own, *options = &own;
	struct hf_bee *bee;
	int status = hf_options_take(options, sizeof *options, given);

	if (status != HF_OK)
		return status;
	bee = calloc(1, sizeof *bee);
	if (bee == NULL)
		return HF_ENOMEM;
	if (hf_bee_header_encode(options->header != NULL ? options->header : &plain, &bee->header) != HF_OK) {
		hf_buffer_free(&bee->header);
		free(bee);
		return HF_ENOMEM;
	}
	bee->core = hf_core_ref(options->core);
	bee->cache.bytes_max = options->cache_bytes_max > 0 ? options->cache_bytes_max : HF_BEE_CACHE_BYTES;
	bee->hinter = options->hinter;
	bee->fork = hf_core_fork(bee->core);
	bee->latest.bee = bee;
	bee->listener.event = on_core;
	hf_core_listen(bee->core, &bee->listener);
	*out = bee;
	return HF_OK;
}

void hf_bee_close(struct hf_bee *bee)
{
	if (bee == NULL)
		return;
	hf_core_unlisten(bee->core, &bee->listener);
	hf_bee_tree_drop(bee);
	hf_bee_cache_clear(&bee->cache);
	hf_buffer_free(&bee->header);
	hf_buffer_free(&bee->scratch);
	hf_buffer_free(&bee->hinted_key);
	hf_core_unref(bee->core);
	free(bee);
}

struct hf_core *hf_bee_core(const struct hf_bee *bee)
{
	return bee->core;
}

uint64_t hf_bee_version(const struct hf_bee *bee)
{
	uint64_t length = hf_core_length(bee->core);

	return length > 0 ? length : 1;
}

void hf_bee_refresh(struct hf_bee *bee)
{
	bee->want_count = 0;
	if (bee->fork == hf_core_fork(bee->core))
		return;
	bee->fork = hf_core_fork(bee->core);
	bee->generation++;
	hf_bee_cache_clear(&bee->cache);
}

/* ---- Views ---- */

static int make_view(struct hf_bee *bee, uint64_t version, struct hf_bee_view **out)
{
	struct hf_bee_view *view = calloc(1, sizeof *view);
	int status;

	if (view == NULL)
		return HF_ENOMEM;
	hf_bee_refresh(bee);
	view->bee = bee;
	view->version = version > 0 ? version : 1;
	view->generation = bee->generation;
	view->cache.bytes_max = bee->cache.bytes_max;
	/* Of the whole core: nothing of the tree is needed, which need not be held at that length. */
	status = hf_core_snapshot(bee->core, &view->snapshot);
	if (status != HF_OK) {
		free(view);
		return status;
	}
	*out = view;
	return HF_OK;
}

int hf_bee_snapshot(struct hf_bee *bee, struct hf_bee_view **out)
{
	return make_view(bee, hf_bee_version(bee), out);
}

int hf_bee_checkout(struct hf_bee *bee, uint64_t version, struct hf_bee_view **out)
{
	return version > hf_bee_version(bee) ? HF_EINVAL : make_view(bee, version, out);
}

void hf_bee_view_free(struct hf_bee_view *view)
{
	if (view == NULL)
		return;
	hf_core_snapshot_free(view->snapshot);
	hf_bee_cache_clear(&view->cache);
	free(view);
}

uint64_t hf_bee_view_version(const struct hf_bee_view *view)
{
	return view->snapshot == NULL ? hf_bee_version(view->bee) : view->version;
}

void hf_bee_view_trace(struct hf_bee_view *view, void (*read)(void *context, uint64_t seq), void *context)
{
	view->traced = read;
	view->trace_context = context;
}

struct hf_bee_view *hf_bee_latest(struct hf_bee *bee)
{
	return &bee->latest;
}

void hf_bee_view_begin(struct hf_bee_view *view)
{
	hf_bee_refresh(view->bee);
	hf_bee_cache_trim(&view->bee->cache);
	hf_bee_cache_trim(&view->cache);
	if (view->snapshot == NULL) {
		view->generation = view->bee->generation;
		view->version = hf_bee_version(view->bee);
	}
}

/* ---- Blocks ---- */

const uint64_t *hf_bee_wants(const struct hf_bee *bee, size_t *count)
{
	*count = bee->want_count;
	return bee->wants;
}

static struct hf_bee_cache *cache_of(struct hf_bee_view *view)
{
	return view->generation == view->bee->generation ? &view->bee->cache : &view->cache;
}

static void add_want(struct hf_bee *bee, uint64_t seq)
{
	for (size_t i = 0; i < bee->want_count; i++)
		if (bee->wants[i] == seq)
			return;
	if (bee->want_count < HF_BEE_WANT_COUNT_MAX)
		bee->wants[bee->want_count++] = seq;
}

void hf_bee_want(struct hf_bee_view *view, uint64_t seq)
{
	if (view->generation == view->bee->generation && !hf_bitfield_get(hf_core_blocks(view->bee->core), seq)
		&& hf_u64_map_get(&view->bee->cache.places, seq) == NULL)
		add_want(view->bee, seq);
}

void hf_bee_want_node(struct hf_bee_view *view, const struct hf_bee_node *node, int from, bool reverse)
{
	int step = reverse ? -1 : 1;

	for (int place = from; place >= 0 && place <= 2 * node->key_count; place += step) {
		if (place % 2 == 1)
			hf_bee_want(view, node->keys[place / 2].seq);
		else if (node->child_count > 0)
			hf_bee_want(view, node->children[place / 2].seq);
	}
}

/* Into the bee's scratch, where it may be already: a search ends at the block that was read for its key. */
static int read_content(struct hf_bee_view *view, uint64_t seq, struct hf_bee_content *content)
{
	struct hf_bee *bee = view->bee;
	int status = HF_OK;

	if (bee->read_seq != seq || bee->read_generation != view->generation) {
		bee->read_seq = 0;
		hf_buffer_clear(&bee->scratch);
		if (view->generation == bee->generation)
			status = hf_core_get(bee->core, seq, &bee->scratch);
		else
			status = hf_core_snapshot_get(view->snapshot, seq, &bee->scratch);
	}
	if (status == HF_EWAIT)
		add_want(bee, seq);
	if (status == HF_OK)
		status = hf_bee_content_decode(hf_buffer_slice(&bee->scratch), content);
	if (status == HF_OK) {
		bee->read_seq = seq;
		bee->read_generation = view->generation;
	}
	return status;
}

static int keep(struct hf_bee_cache *cache, struct hf_slice key, uint64_t seq, uint32_t *hint, struct hf_bee_block **out)
{
	int status = hf_bee_block_new(key, seq, out);

	if (status != HF_OK)
		return status;
	status = hf_bee_cache_add(cache, *out, hint);
	if (status != HF_OK)
		hf_bee_block_free(*out);
	return status;
}

static int load(struct hf_bee_view *view, uint64_t seq, uint32_t *hint, bool with_levels, struct hf_bee_block **out)
{
	struct hf_bee_cache *cache = cache_of(view);
	struct hf_bee_content content;
	int status = read_content(view, seq, &content);

	if (status == HF_OK && *out == NULL)
		status = keep(cache, content.key, seq, hint, out);
	if (status != HF_OK || !with_levels)
		return status;
	cache->bytes -= (*out)->bytes;
	status = hf_bee_block_inflate(*out, content.index);
	cache->bytes += (*out)->bytes;
	return status;
}

static void trace(struct hf_bee_view *view, uint64_t seq)
{
	if (view->traced != NULL)
		view->traced(view->trace_context, seq);
}

int hf_bee_block_at(struct hf_bee_view *view, uint64_t seq, uint32_t *hint, struct hf_bee_block **out)
{
	trace(view, seq);
	*out = hf_bee_cache_find(cache_of(view), seq, hint);
	return *out != NULL ? HF_OK : load(view, seq, hint, false, out);
}

int hf_bee_node_at(struct hf_bee_view *view, uint64_t seq, uint32_t level, uint32_t *hint, struct hf_bee_block **block,
	const struct hf_bee_node **node)
{
	int status = HF_OK;

	trace(view, seq);
	*block = hf_bee_cache_find(cache_of(view), seq, hint);
	if (*block == NULL || (*block)->levels == NULL)
		status = load(view, seq, hint, true, block);
	if (status != HF_OK)
		return status;
	if (level >= (*block)->level_count || !(*block)->levels[level].is_sound)
		return HF_EMALFORMED;
	*node = &(*block)->levels[level];
	return HF_OK;
}

int hf_bee_entry_at(struct hf_bee_view *view, uint64_t seq, struct hf_bee_entry *entry)
{
	struct hf_bee_content content;
	int status;

	trace(view, seq);
	status = read_content(view, seq, &content);
	if (status == HF_OK)
		*entry = (struct hf_bee_entry){.seq = seq, .key = content.key, .value = content.value, .has_value = content.has_value};
	return status;
}

int hf_bee_change_at(struct hf_bee_view *view, uint64_t seq, struct hf_bee_entry *entry)
{
	int status = hf_bee_entry_at(view, seq, entry);
	struct hf_bee_block *block;
	uint32_t hint = UINT32_MAX;

	if (status != HF_OK || entry->has_value)
		return status;
	block = hf_bee_cache_find(cache_of(view), seq, &hint);
	if (block == NULL || block->levels == NULL)
		status = load(view, seq, &hint, true, &block);
	if (status == HF_OK)
		entry->is_deletion = !hf_bee_block_has_own_key(block);
	return status;
}

int hf_bee_key_at(struct hf_bee_view *view, const struct hf_bee_block *own, struct hf_bee_reference *key, struct hf_slice *out)
{
	struct hf_bee_block *block;

	if (key->seq == own->seq) {
		*out = hf_bee_block_key(own);
		return HF_OK;
	}
	int status = hf_bee_block_at(view, key->seq, &key->hint, &block);

	if (status == HF_OK)
		*out = hf_bee_block_key(block);
	return status;
}

int hf_bee_search(struct hf_bee_view *view, const struct hf_bee_block *block, const struct hf_bee_node *node, struct hf_slice key,
	unsigned *index, bool *is_there)
{
	unsigned start = 0, end = node->key_count;
	struct hf_slice found;

	*is_there = false;
	while (start < end) {
		unsigned middle = (start + end) / 2;
		int status = hf_bee_key_at(view, block, &node->keys[middle], &found);

		if (status == HF_EWAIT)
			hf_bee_want_node(view, node, 0, false);
		if (status != HF_OK)
			return status;
		int order = hf_slice_compare(key, found);

		if (order == 0) {
			*index = middle;
			*is_there = true;
			return HF_OK;
		}
		if (order < 0)
			end = middle;
		else
			start = middle + 1;
	}
	*index = start;
	return HF_OK;
}

/* ---- Reading ---- */

int hf_bee_get_header(struct hf_bee *bee, struct hf_bee_header *header)
{
	int status;

	hf_bee_refresh(bee);
	bee->read_seq = 0;
	hf_buffer_clear(&bee->scratch);
	status = hf_core_get(bee->core, 0, &bee->scratch);
	if (status == HF_EWAIT)
		add_want(bee, 0);
	return status == HF_OK ? hf_bee_header_decode(hf_buffer_slice(&bee->scratch), header) : status;
}

int hf_bee_get_seq(struct hf_bee_view *view, uint64_t seq, struct hf_bee_entry *entry)
{
	hf_bee_view_begin(view);
	return seq == 0 || seq >= view->version ? HF_ENOTFOUND : hf_bee_change_at(view, seq, entry);
}

int hf_bee_target_at(struct hf_bee_view *view, uint64_t seq, struct hf_bee_entry *entry)
{
	int status = hf_bee_change_at(view, seq, entry);

	return status == HF_OK && entry->is_deletion ? HF_ENOTFOUND : status;
}

/* Tells of a get once, however often it is run again. */
static void tell_hinter(struct hf_bee_view *view, struct hf_slice key)
{
	struct hf_bee *bee = view->bee;

	if (bee->hinter == NULL || (bee->hinted_version == view->version && hf_slice_equal(hf_buffer_slice(&bee->hinted_key), key)))
		return;
	hf_buffer_clear(&bee->hinted_key);
	if (key.length > 0 && hf_buffer_append(&bee->hinted_key, key.data, key.length) != HF_OK)
		return;
	bee->hinted_version = view->version;
	bee->hinter->get(bee->hinter, view->version, key);
}

static int get(struct hf_bee_view *view, struct hf_slice key, struct hf_bee_entry *entry)
{
	const struct hf_bee_node *node;
	struct hf_bee_block *block;
	uint32_t root_hint = UINT32_MAX, level = 0, *hint = &root_hint;
	unsigned index;
	bool is_there;
	int status;

	uint64_t seq = view->version - 1;

	for (unsigned depth = 0; depth < HF_BEE_DEPTH_MAX; depth++) {
		status = hf_bee_node_at(view, seq, level, hint, &block, &node);
		if (status != HF_OK)
			return status;
		if (hf_slice_equal(hf_bee_block_key(block), key))
			return hf_bee_target_at(view, seq, entry);
		status = hf_bee_search(view, block, node, key, &index, &is_there);
		if (status != HF_OK)
			return status;
		if (is_there)
			return hf_bee_entry_at(view, node->keys[index].seq, entry);
		if (node->child_count == 0)
			return HF_ENOTFOUND;
		seq = node->children[index].seq;
		level = node->children[index].level;
		hint = &node->children[index].hint;
	}
	return HF_EMALFORMED;
}

int hf_bee_get(struct hf_bee_view *view, struct hf_slice key, struct hf_bee_entry *entry)
{
	int status;

	hf_bee_view_begin(view);
	status = view->version < 2 ? HF_ENOTFOUND : get(view, key, entry);
	if (status == HF_EWAIT)
		tell_hinter(view, key);
	return status;
}
