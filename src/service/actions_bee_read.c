/* actions_bee_read: entries of a bee, a page at a time. Keys and values travel as they are, behind a line that says how long each is. */
#include <stdio.h>

#include "codec/hex.h"
#include "service/actions_private.h"

typedef unsigned long long ull;

/* A page in the making. */
struct page {
	struct hf_action_run *run;
	struct hf_bee *bee;
	struct hf_bee_view *view;   /* that "at" means */
	struct hf_buffer bytes;
	json_t *entries;            /* for each: its block, bytes of its key, bytes of its value or HF_ACTION_BEE_… */
	bool is_full;
};

/* ---- Arguments ---- */

/* The version that an argument says; the present one when it is not there. */
static int open_view(struct hf_action_run *run, struct hf_bee *bee, const char *name, struct hf_bee_view **out)
{
	uint64_t version;
	int r = hf_action_number(run, name, UINT64_MAX, &version);
	if (r < 0)
		return r;
	do
		r = version == UINT64_MAX ? hf_bee_snapshot(bee, out) : hf_bee_checkout(bee, version, out);
	while (hf_action_bee_again(run, bee, &r));
	if (r == HF_EINVAL)
		return hf_fail(&run->call->failure, r, "There is no version %llu: the bee has come to %llu.", (ull)version, (ull)hf_bee_version(bee));
	return r < 0 && !run->call->failure.text[0] ? hf_action_bee_fail(run, bee, r) : r;
}

static int read_bound(struct hf_action_run *run, const char *name, struct hf_buffer *bytes, bool *has, struct hf_slice *out)
{
	const char *text = hf_action_text(run, name);
	size_t length = text ? strlen(text) / 2 : 0, start = bytes->length;
	*has = text != NULL;
	if (hf_buffer_reserve(bytes, length + 1) < 0)
		return HF_ENOMEM;
	if (text && (strlen(text) % 2 || !hf_hex_decode(bytes->data + start, text, length)))
		return hf_fail(&run->call->failure, HF_EINVAL, "\"%s\" is a key in hexadecimal.", name);
	bytes->length += length;
	*out = hf_slice(NULL, length); /* placed when all are there */
	return HF_OK;
}

/* The bounds point into *bytes. */
static int read_range(struct hf_action_run *run, struct hf_buffer *bytes, struct hf_bee_range *range)
{
	*range = (struct hf_bee_range){.reverse = json_is_true(json_object_get(run->arguments, "reverse"))};
	int r = read_bound(run, "gt", bytes, &range->has_gt, &range->gt);
	if (r == HF_OK)
		r = read_bound(run, "gte", bytes, &range->has_gte, &range->gte);
	if (r == HF_OK)
		r = read_bound(run, "lt", bytes, &range->has_lt, &range->lt);
	if (r == HF_OK)
		r = read_bound(run, "lte", bytes, &range->has_lte, &range->lte);
	if (r == HF_OK)
		r = hf_action_number(run, "limit", UINT64_MAX, &range->limit);
	range->has_limit = range->limit != UINT64_MAX;
	struct hf_slice *bounds[] = {&range->gt, &range->gte, &range->lt, &range->lte};
	const uint8_t *at = bytes->data;
	for (size_t i = 0; r == HF_OK && i < 4; at += bounds[i++]->length)
		bounds[i]->data = at;
	return r;
}

/* ---- Pages ---- */

static int open_page(struct page *page, struct hf_action_run *run)
{
	*page = (struct page){.run = run, .entries = json_array()};
	int r = page->entries ? hf_action_open_bee(run, &page->bee) : HF_ENOMEM;
	if (r == HF_OK && (r = open_view(run, page->bee, "at", &page->view)) < 0) {
		hf_action_close_bee(run, page->bee);
		page->bee = NULL;
	}
	if (r < 0)
		json_decref(page->entries);
	return r;
}

/* An entry, or NULL where there is none. */
static int add_entry(struct page *page, const struct hf_bee_entry *entry)
{
	bool is_nothing = !entry || entry->is_deletion;
	json_int_t value_bytes = is_nothing ? HF_ACTION_BEE_NOTHING : entry->has_value ? (json_int_t)entry->value.length : HF_ACTION_BEE_NULL;
	if (json_array_append_new(page->entries, json_integer(entry ? (json_int_t)entry->seq : 0)) < 0 ||
		json_array_append_new(page->entries, json_integer(entry ? (json_int_t)entry->key.length : 0)) < 0 ||
		json_array_append_new(page->entries, json_integer(value_bytes)) < 0)
		return HF_ENOMEM;
	int r = entry && entry->key.length ? hf_buffer_append(&page->bytes, entry->key.data, entry->key.length) : HF_OK;
	if (r == HF_OK && value_bytes > 0)
		r = hf_buffer_append(&page->bytes, entry->value.data, entry->value.length);
	page->is_full = page->bytes.length >= HF_ACTION_PAGE_BYTES || json_array_size(page->entries) / 3 >= HF_ACTION_PAGE_COUNT_MAX;
	return r;
}

/* Writes the page, unless something went wrong, and lets go of everything. */
static int close_page(struct page *page, int r)
{
	struct hf_action_run *run = page->run;
	if (r == HF_OK)
		r = hf_action_append(&run->call->out, json_pack("{s:I, s:I, s:b, s:O}", "version", (json_int_t)hf_bee_view_version(page->view), "fork",
			(json_int_t)hf_core_fork(hf_bee_core(page->bee)), "more", page->is_full, "entries", page->entries));
	if (r == HF_OK && page->bytes.length > 0)
		r = hf_buffer_append(&run->call->out, page->bytes.data, page->bytes.length);
	if (r < 0 && !run->call->failure.text[0])
		r = hf_action_bee_fail(run, page->bee, r);
	json_decref(page->entries);
	hf_buffer_free(&page->bytes);
	hf_bee_view_free(page->view);
	hf_action_close_bee(run, page->bee);
	return r;
}

/* ---- The actions ---- */

int hf_action_bee_get(struct hf_action_run *run)
{
	struct hf_bee_entry entry;
	struct page page;
	int r = open_page(&page, run);
	if (r < 0)
		return r;
	do
		r = hf_bee_get(page.view, run->data, &entry);
	while (hf_action_bee_again(run, page.bee, &r));
	if (r == HF_OK)
		r = add_entry(&page, &entry);
	return close_page(&page, r);
}

int hf_action_bee_list(struct hf_action_run *run)
{
	struct hf_bee_iterator *iterator = NULL;
	struct hf_buffer bounds = {0};
	struct hf_bee_range range;
	struct hf_bee_entry entry;
	struct page page;
	int r = open_page(&page, run);
	if (r < 0)
		return r;
	r = read_range(run, &bounds, &range);
	if (r == HF_OK)
		r = hf_bee_iterate(page.view, &range, &iterator);
	while (r == HF_OK && !page.is_full) {
		do
			r = hf_bee_iterator_next(iterator, &entry);
		while (hf_action_bee_again(run, page.bee, &r));
		if (r == HF_OK)
			r = add_entry(&page, &entry);
	}
	hf_bee_iterator_free(iterator);
	hf_buffer_free(&bounds);
	return close_page(&page, r == HF_ENOTFOUND ? HF_OK : r);
}

int hf_action_bee_diff(struct hf_action_run *run)
{
	struct hf_bee_view *before = NULL;
	struct hf_bee_diff *diff = NULL;
	struct hf_buffer bounds = {0};
	struct hf_bee_range range;
	struct hf_bee_difference found;
	struct page page;
	int r = open_page(&page, run);
	if (r < 0)
		return r;
	r = read_range(run, &bounds, &range);
	if (r == HF_OK)
		r = open_view(run, page.bee, "from", &before);
	if (r == HF_OK)
		r = hf_bee_diff(page.view, before, &range, &diff);
	while (r == HF_OK && !page.is_full) {
		do
			r = hf_bee_diff_next(diff, &found);
		while (hf_action_bee_again(run, page.bee, &r));
		if (r == HF_OK)
			r = add_entry(&page, found.has_right ? &found.right : NULL);
		if (r == HF_OK)
			r = add_entry(&page, found.has_left ? &found.left : NULL);
	}
	hf_bee_diff_free(diff);
	hf_bee_view_free(before);
	hf_buffer_free(&bounds);
	return close_page(&page, r == HF_ENOTFOUND ? HF_OK : r);
}

static int signed_number(struct hf_action_run *run, const char *name, bool *has, int64_t *out)
{
	json_t *value = json_object_get(run->arguments, name);
	*has = value && !json_is_null(value);
	if (*has && !json_is_integer(value))
		return hf_fail(&run->call->failure, HF_EINVAL, "\"%s\" is a whole number.", name);
	*out = *has ? json_integer_value(value) : 0;
	return HF_OK;
}

int hf_action_bee_history(struct hf_action_run *run)
{
	struct hf_bee_history_range range = {.reverse = json_is_true(json_object_get(run->arguments, "reverse"))};
	struct hf_bee_history history;
	struct hf_bee_entry entry;
	struct page page;
	bool has;
	int r = open_page(&page, run);
	if (r < 0)
		return r;
	r = signed_number(run, "gt", &has, &range.gt);
	if (r == HF_OK)
		r = signed_number(run, "gte", &has, &range.gte);
	if (r == HF_OK)
		r = signed_number(run, "lt", &range.has_lt, &range.lt);
	if (r == HF_OK)
		r = signed_number(run, "lte", &range.has_lte, &range.lte);
	if (r == HF_OK)
		r = hf_action_number(run, "limit", UINT64_MAX, &range.limit);
	range.has_limit = range.limit != UINT64_MAX;
	if (r == HF_OK)
		r = hf_bee_history_start(&history, page.view, &range);
	while (r == HF_OK && !page.is_full) {
		do
			r = hf_bee_history_next(&history, &entry);
		while (hf_action_bee_again(run, page.bee, &r));
		if (r == HF_OK)
			r = add_entry(&page, &entry);
	}
	return close_page(&page, r == HF_ENOTFOUND ? HF_OK : r);
}
