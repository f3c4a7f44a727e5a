/* bee_driver: the commands of core_driver on bees. */
#include <stdlib.h>
#include <string.h>

#include "codec/hex.h"
#include "core_driver.h"
#include "data/hyperbee/sub.h"

/* ---- Opening ---- */

void close_bee(struct slot *slot)
{
	for (size_t i = 0; i < DRIVER_VIEWS_MAX; i++) {
		hf_bee_view_free(slot->views[i]);
		slot->views[i] = NULL;
	}
	hf_bee_close(slot->bee);
	slot->bee = NULL;
}

static struct hf_bee *bee_of(struct slot *slot)
{
	struct hf_bee_options options = {.size = sizeof options, .core = slot->core};

	if (slot->bee == NULL && hf_bee_open(&slot->bee, &options) != HF_OK)
		die("no memory");
	return slot->bee;
}

/* Takes a snapshot into a place, or a checkout of a version. */
static int do_view(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	uint64_t place = number(command, "view");
	struct hf_bee *bee = bee_of(slot);

	if (place >= DRIVER_VIEWS_MAX)
		die("view");
	hf_bee_view_free(slot->views[place]);
	slot->views[place] = NULL;
	return json_object_get(command, "version") == NULL ? hf_bee_snapshot(bee, &slot->views[place])
		: hf_bee_checkout(bee, number(command, "version"), &slot->views[place]);
}

/* The view that a member names; the latest without it. */
static struct hf_bee_view *view_of(struct slot *slot, const json_t *command, const char *name)
{
	struct hf_bee *bee = bee_of(slot);

	if (json_object_get(command, name) == NULL)
		return hf_bee_latest(bee);
	uint64_t place = number(command, name);

	if (place >= DRIVER_VIEWS_MAX || slot->views[place] == NULL)
		die(name);
	return slot->views[place];
}

/* ---- Arguments ---- */

/* The sub that an array of names says; false without one. */
static bool sub_of(const json_t *command, struct hf_bee_sub *sub)
{
	json_t *names = json_object_get(command, "sub"), *name;
	size_t i;

	*sub = (struct hf_bee_sub){.kind = HF_BEE_SUB};
	json_array_foreach(names, i, name) {
		struct hf_bee_sub inner;

		if (hf_bee_sub_init(&inner, HF_BEE_SUB, i > 0 ? sub : NULL, hf_slice_text(json_string_value(name)), 0) != HF_OK)
			die("sub");
		hf_bee_sub_free(sub);
		*sub = inner;
	}
	return json_array_size(names) > 0;
}

/* A key, with the sub's prefix. */
static void read_key(const json_t *command, struct hf_buffer *out)
{
	struct hf_bee_sub sub;
	size_t length = 0;
	uint8_t *key = bytes(command, "key", &length);

	if (key == NULL)
		die("key");
	if ((sub_of(command, &sub) ? hf_bee_sub_key(&sub, hf_slice(key, length), out) : hf_buffer_append(out, key, length)) != HF_OK)
		die("no memory");
	hf_bee_sub_free(&sub);
	free(key);
}

struct bounds {
	uint8_t *gt, *gte, *lt, *lte;
	struct hf_bee_sub sub;
	struct hf_buffer of_sub;
	struct hf_bee_range range;
};

static void read_range(const json_t *command, struct bounds *b)
{
	struct hf_bee_range whole = {.reverse = json_is_true(json_object_get(command, "reverse")),
		.has_limit = json_object_get(command, "limit") != NULL};

	*b = (struct bounds){.gt = bytes(command, "gt", &whole.gt.length), .gte = bytes(command, "gte", &whole.gte.length),
		.lt = bytes(command, "lt", &whole.lt.length), .lte = bytes(command, "lte", &whole.lte.length)};
	whole.gt.data = b->gt;
	whole.gte.data = b->gte;
	whole.lt.data = b->lt;
	whole.lte.data = b->lte;
	whole.has_gt = b->gt != NULL;
	whole.has_gte = b->gte != NULL;
	whole.has_lt = b->lt != NULL;
	whole.has_lte = b->lte != NULL;
	whole.limit = whole.has_limit ? number(command, "limit") : 0;
	b->range = whole;
	if (sub_of(command, &b->sub) && hf_bee_sub_range(&b->sub, &whole, &b->of_sub, &b->range) != HF_OK)
		die("no memory");
}

static void free_range(struct bounds *b)
{
	free(b->gt);
	free(b->gte);
	free(b->lt);
	free(b->lte);
	hf_bee_sub_free(&b->sub);
	hf_buffer_free(&b->of_sub);
}

/* ---- Answers ---- */

static json_t *hex(struct hf_slice bytes_)
{
	char *text = malloc(2 * bytes_.length + 1);

	if (text == NULL)
		die("no memory");
	hf_hex_encode(text, bytes_.data, bytes_.length);
	json_t *value = json_stringn(text, 2 * bytes_.length);

	free(text);
	return value;
}

/* [block, key, value or null], and "del" in a history. */
static json_t *entry_of(const struct hf_bee_entry *entry)
{
	json_t *list = json_pack("[I, o, o]", (json_int_t)entry->seq, hex(entry->key), entry->has_value ? hex(entry->value) : json_null());

	if (entry->is_deletion)
		json_array_append_new(list, json_string("del"));
	return list;
}

/* ---- Changing ---- */

struct condition {
	uint8_t *expected;
	size_t length;
};

static bool has_expected(void *context, const struct hf_bee_entry *now, const struct hf_bee_entry *next)
{
	const struct condition *condition = context;

	(void)next;
	return now->has_value && hf_slice_equal(now->value, hf_slice(condition->expected, condition->length));
}

static int change(struct slot *slot, const json_t *command, json_t *answer, bool is_del)
{
	struct hf_bee *bee = bee_of(slot);
	struct hf_buffer key = {0};
	struct condition condition = {.length = 0};
	size_t value_length = 0;
	uint8_t *value = bytes(command, "value", &value_length);
	struct hf_slice value_slice = hf_slice(value, value_length);

	condition.expected = bytes(command, "if", &condition.length);
	read_key(command, &key);
	struct hf_bee_change how = {.check = condition.expected != NULL ? has_expected : NULL, .context = &condition,
		.skip_same = json_is_true(json_object_get(command, "skip_same"))};
	int status = is_del ? hf_bee_del(bee, hf_buffer_slice(&key), &how)
		: hf_bee_put(bee, hf_buffer_slice(&key), value != NULL ? &value_slice : NULL, &how);

	json_object_set_new(answer, "result", json_string(hf_error_name(status)));
	free(value);
	free(condition.expected);
	hf_buffer_free(&key);
	return status == HF_ECANCELED || status == HF_ENOTFOUND || status == HF_EDUPLICATE ? HF_OK : status;
}

static int do_put(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	return change(slot, command, answer, false);
}

static int do_del(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	return change(slot, command, answer, true);
}

static int do_flush(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	int status = hf_bee_flush(bee_of(slot));

	if (status == HF_OK)
		status = hf_core_commit_wait(slot->core, HF_DURABLE_OS);
	set_number(answer, "version", hf_bee_version(slot->bee));
	return status;
}

static int do_abandon(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	hf_bee_abandon(bee_of(slot));
	return HF_OK;
}

/* ---- Reading ---- */

static int do_get(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	struct hf_buffer key = {0};
	struct hf_bee_entry entry;

	read_key(command, &key);
	int status = json_is_true(json_object_get(command, "pending")) ? hf_bee_get_pending(bee_of(slot), hf_buffer_slice(&key), &entry)
		: hf_bee_get(view_of(slot, command, "view"), hf_buffer_slice(&key), &entry);

	hf_buffer_free(&key);
	json_object_set_new(answer, "entry", status == HF_OK ? entry_of(&entry) : json_null());
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static int do_list(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	struct hf_bee_iterator *iterator = NULL;
	struct hf_bee_entry entry;
	struct bounds bounds;
	json_t *list = json_array();

	read_range(command, &bounds);
	int status = hf_bee_iterate(view_of(slot, command, "view"), &bounds.range, &iterator);

	while (status == HF_OK && (status = hf_bee_iterator_next(iterator, &entry)) == HF_OK) {
		if (bounds.sub.prefix.length > 0 && hf_bee_sub_strip(&bounds.sub, entry.key, &entry.key) != HF_OK)
			die("a key of another sub");
		json_array_append_new(list, entry_of(&entry));
	}
	json_object_set_new(answer, "entries", list);
	hf_bee_iterator_free(iterator);
	free_range(&bounds);
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static int do_diff(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	struct hf_bee_diff *diff = NULL;
	struct hf_bee_difference found;
	struct bounds bounds;
	json_t *list = json_array();

	read_range(command, &bounds);
	int status = hf_bee_diff(view_of(slot, command, "left"), view_of(slot, command, "right"), &bounds.range, &diff);

	while (status == HF_OK && (status = hf_bee_diff_next(diff, &found)) == HF_OK)
		json_array_append_new(list, json_pack("[o, o]", found.has_left ? entry_of(&found.left) : json_null(),
			found.has_right ? entry_of(&found.right) : json_null()));
	json_object_set_new(answer, "differences", list);
	hf_bee_diff_free(diff);
	free_range(&bounds);
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static bool signed_number(const json_t *command, const char *name, int64_t *out)
{
	*out = json_integer_value(json_object_get(command, name));
	return json_object_get(command, name) != NULL;
}

static int do_history(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	struct hf_bee_history_range range = {.reverse = json_is_true(json_object_get(command, "reverse")),
		.has_limit = json_object_get(command, "limit") != NULL};
	struct hf_bee_history history;
	struct hf_bee_entry entry;
	json_t *list = json_array();

	signed_number(command, "gt", &range.gt);
	signed_number(command, "gte", &range.gte);
	range.has_lt = signed_number(command, "lt", &range.lt);
	range.has_lte = signed_number(command, "lte", &range.lte);
	range.limit = range.has_limit ? number(command, "limit") : 0;
	int status = hf_bee_history_start(&history, view_of(slot, command, "view"), &range);

	while (status == HF_OK && (status = hf_bee_history_next(&history, &entry)) == HF_OK)
		json_array_append_new(list, entry_of(&entry));
	json_object_set_new(answer, "entries", list);
	return status == HF_ENOTFOUND ? HF_OK : status;
}

const struct driver_command bee_commands[] = {
	{"bee_view", do_view}, {"bee_put", do_put}, {"bee_del", do_del}, {"bee_flush", do_flush}, {"bee_abandon", do_abandon},
	{"bee_get", do_get}, {"bee_list", do_list}, {"bee_diff", do_diff}, {"bee_history", do_history}, {NULL, NULL},
};
