/* bee_read: entries to standard output, a page at a time: get, list, history, diff and watch. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "cli/bee.h"
#include "cli/follow.h"
#include "codec/hex.h"

/* ---- Pages ---- */

void hf_cli_bee_page_free(struct hf_cli_bee_page *page)
{
	hf_buffer_free(&page->out);
	json_decref(page->head);
	*page = (struct hf_cli_bee_page){0};
}

int hf_cli_bee_page(struct hf_cli_target *target, const char *action, const json_t *arguments, struct hf_slice data,
	struct hf_cli_bee_page *page, struct hf_failure *failure)
{
	int r = hf_cli_core_ask(target, action, arguments, data, &page->out, &page->head, &page->at, failure);
	if (r < 0)
		return r;
	page->next = 0;
	page->entries = json_object_get(page->head, "entries");
	page->version = (uint64_t)json_integer_value(json_object_get(page->head, "version"));
	page->fork = (uint64_t)json_integer_value(json_object_get(page->head, "fork"));
	page->more = json_is_true(json_object_get(page->head, "more"));
	return HF_OK;
}

int hf_cli_bee_next(struct hf_cli_bee_page *page, struct hf_cli_bee_entry *entry)
{
	json_int_t numbers[3];
	if (page->next + 3 > json_array_size(page->entries))
		return HF_ENOTFOUND;
	for (size_t i = 0; i < 3; i++)
		numbers[i] = json_integer_value(json_array_get(page->entries, page->next++));
	size_t left = page->out.length - page->at, key_bytes = (size_t)numbers[1], value_bytes = numbers[2] > 0 ? (size_t)numbers[2] : 0;
	if (key_bytes > left || value_bytes > left - key_bytes)
		return HF_EMALFORMED;
	const uint8_t *at = page->out.data + page->at;
	*entry = (struct hf_cli_bee_entry){numbers[0], hf_slice(at, key_bytes), hf_slice(at + key_bytes, value_bytes), numbers[2]};
	page->at += key_bytes + value_bytes;
	return HF_OK;
}

/* ---- Ranges ---- */

static int set_bound(json_t *arguments, const char *name, struct hf_slice key)
{
	char *text = malloc(2 * key.length + 1);
	if (!text)
		return HF_ENOMEM;
	hf_hex_encode(text, key.data, key.length);
	int r = json_object_set_new(arguments, name, json_stringn(text, 2 * key.length)) < 0 ? HF_ENOMEM : HF_OK;
	free(text);
	return r;
}

static int set_range(json_t *arguments, const struct hf_bee_range *range)
{
	int r = range->has_gt ? set_bound(arguments, "gt", range->gt) : HF_OK;
	if (r == HF_OK && range->has_gte)
		r = set_bound(arguments, "gte", range->gte);
	if (r == HF_OK && range->has_lt)
		r = set_bound(arguments, "lt", range->lt);
	return r == HF_OK && range->has_lte ? set_bound(arguments, "lte", range->lte) : r;
}

static bool read_bound(struct hf_cli_bee *bee, const char *option, struct hf_buffer *bytes, bool *has, struct hf_slice *out)
{
	const char *text = hf_cli_option(bee->cli, option);
	char sentence[160];
	*has = text != NULL;
	if (!text)
		return true;
	int r = hf_cli_bee_parse(bee->key_encoding, hf_slice_text(text), bytes);
	*out = hf_buffer_slice(bytes);
	snprintf(sentence, sizeof sentence, "--%s \"%.60s\" is not %s, which --key-encoding says it is.", option, text,
		hf_cli_bee_encoding_name(bee->key_encoding));
	if (r < 0)
		hf_cli_core_usage(bee->cli, sentence);
	return r == HF_OK;
}

/* --gt, --gte, --lt, --lte, of the sub; or one key alone (may be NULL). Into the arguments. */
static bool read_range(struct hf_cli_bee *bee, const char *key)
{
	struct hf_buffer bounds[5] = {{0}};
	struct hf_bee_range range = {0}, whole;
	bool ok = read_bound(bee, "gt", &bounds[0], &range.has_gt, &range.gt) && read_bound(bee, "gte", &bounds[1], &range.has_gte, &range.gte) &&
		read_bound(bee, "lt", &bounds[2], &range.has_lt, &range.lt) && read_bound(bee, "lte", &bounds[3], &range.has_lte, &range.lte);
	if (ok && key) {
		ok = hf_cli_bee_parse(bee->key_encoding, hf_slice_text(key), &bounds[0]) == HF_OK;
		range = (struct hf_bee_range){.has_gte = true, .has_lte = true, .gte = hf_buffer_slice(&bounds[0]), .lte = hf_buffer_slice(&bounds[0])};
		if (!ok)
			hf_cli_core_usage(bee->cli, "the key is not of the encoding that --key-encoding says.");
	}
	if (ok && bee->has_sub) {
		ok = hf_bee_sub_range(&bee->sub, &range, &bounds[4], &whole) == HF_OK;
		range = whole;
	}
	ok = ok && set_range(bee->arguments, &range) == HF_OK;
	for (size_t i = 0; i < 5; i++)
		hf_buffer_free(&bounds[i]);
	return ok;
}

/* ---- Printing ---- */

static int fail_encoding(struct hf_failure *failure, const char *what, enum hf_bee_encoding encoding, json_int_t seq, int r)
{
	if (r != HF_EMALFORMED)
		return hf_fail(failure, r, "Out of memory.");
	return hf_fail(failure, r, "The %s in block %lld is not %s; --%s-encoding binary shows it in hexadecimal.", what, (long long)seq,
		hf_cli_bee_encoding_name(encoding), what);
}

static int write_key(const struct hf_cli_bee *bee, const struct hf_cli_bee_entry *entry, struct hf_buffer *out, struct hf_failure *failure)
{
	struct hf_slice key = entry->key;
	if (bee->has_sub && hf_bee_sub_strip(&bee->sub, entry->key, &key) < 0)
		key = entry->key;
	int r = (bee->cli->json ? hf_cli_bee_write_json : hf_cli_bee_write_text)(bee->key_encoding, key, out);
	return r < 0 ? fail_encoding(failure, "key", bee->key_encoding, entry->seq, r) : r;
}

static int write_value(const struct hf_cli_bee *bee, const struct hf_cli_bee_entry *entry, struct hf_buffer *out,
	struct hf_failure *failure)
{
	if (entry->value_bytes < 0)
		return bee->cli->json || entry->value_bytes == HF_ACTION_BEE_NULL ? hf_buffer_append_text(out, "null") : HF_OK;
	int r = (bee->cli->json ? hf_cli_bee_write_json : hf_cli_bee_write_text)(bee->value_encoding, entry->value, out);
	return r < 0 ? fail_encoding(failure, "value", bee->value_encoding, entry->seq, r) : r;
}

static int write_out(struct hf_buffer *line, struct hf_failure *failure)
{
	int r = fwrite(line->data, 1, line->length, stdout) == line->length ? HF_OK : hf_fail(failure, HF_EIO, "Writing the entries failed.");
	hf_buffer_clear(line);
	return r;
}

/* {"seq", "key", "value"}, and of a history "type"; as text "key TAB value", after mark. */
static int print_entry(const struct hf_cli_bee *bee, const char *mark, const char *type, const struct hf_cli_bee_entry *entry,
	struct hf_buffer *line, struct hf_failure *failure)
{
	bool is_json = bee->cli->json, has_value = entry->value_bytes != HF_ACTION_BEE_NOTHING;
	const char *quoted = !type ? "" : strcmp(type, "del") == 0 ? "\"type\":\"del\"," : "\"type\":\"put\",";
	int r = is_json ? hf_buffer_printf(line, "{\"seq\":%lld,%s\"key\":", (long long)entry->seq, quoted) : hf_buffer_append_text(line, mark);
	if (r == HF_OK)
		r = write_key(bee, entry, line, failure);
	if (r == HF_OK && has_value)
		r = hf_buffer_append_text(line, is_json ? ",\"value\":" : "\t");
	if (r == HF_OK && has_value)
		r = write_value(bee, entry, line, failure);
	if (r == HF_OK)
		r = hf_buffer_append_text(line, is_json ? "}\n" : "\n");
	return r == HF_OK ? write_out(line, failure) : r;
}

/* ---- Get ---- */

static int print_value(const struct hf_cli_bee *bee, const struct hf_cli_bee_entry *entry, struct hf_failure *failure)
{
	struct hf_buffer line = {0};
	int r;
	if (bee->cli->json) {
		r = print_entry(bee, "", NULL, entry, &line, failure);
	} else if (hf_cli_option(bee->cli, "raw")) {
		r = entry->value.length == 0 || fwrite(entry->value.data, 1, entry->value.length, stdout) == entry->value.length ? HF_OK
			: hf_fail(failure, HF_EIO, "Writing the value failed.");
	} else {
		r = bee->value_encoding == HF_BEE_UTF8 && hf_bee_encoding_check(HF_BEE_UTF8, entry->value) == HF_OK && entry->value_bytes >= 0
			? hf_buffer_append(&line, entry->value.data, entry->value.length) : write_value(bee, entry, &line, failure);
		if (r == HF_OK)
			r = hf_buffer_append(&line, "\n", 1);
		if (r == HF_OK)
			r = write_out(&line, failure);
	}
	hf_buffer_free(&line);
	return r;
}

static int get_one(struct hf_cli_bee *bee, struct hf_slice key)
{
	struct hf_cli_target target;
	struct hf_cli_remote remote;
	struct hf_cli_bee_page page = {0};
	struct hf_cli_bee_entry entry;
	struct hf_failure failure = {0};
	int code;
	if (!hf_cli_bee_open(bee, &remote, &target, &code))
		return code;
	int r = hf_cli_bee_page(&target, "bee/get", bee->arguments, key, &page, &failure);
	if (r == HF_OK)
		r = hf_cli_bee_next(&page, &entry);
	if (r == HF_OK)
		r = print_value(bee, &entry, &failure);
	hf_cli_bee_page_free(&page);
	hf_cli_target_close(&target);
	failure.code = r;
	return r < 0 ? hf_cli_core_fail(&failure) : HF_CLI_OK;
}

int hf_cli_bee_get(struct hf_cli *cli)
{
	struct hf_cli_bee bee;
	struct hf_buffer key = {0};
	int code = HF_CLI_USAGE;
	if (!hf_cli_bee_read(cli, &bee))
		return code;
	if (cli->argument_count != bee.next + 1)
		hf_cli_core_usage(cli, "say which key.");
	else if (hf_cli_bee_key(&bee, hf_slice_text(cli->arguments[bee.next]), &key) < 0)
		hf_cli_core_usage(cli, "the key is not of the encoding that --key-encoding says.");
	else
		code = get_one(&bee, hf_buffer_slice(&key));
	hf_buffer_free(&key);
	hf_cli_bee_free(&bee);
	return code;
}

/* ---- Walks: list, history, diff ---- */

struct walk {
	struct hf_cli_bee *bee;
	struct hf_cli_target *target;
	const char *action;
	int (*print)(struct walk *walk, struct hf_failure *failure); /* the next of the page; HF_ENOTFOUND at its end */
	bool reverse, is_history;
	uint64_t limit;          /* left to print; UINT64_MAX: no limit */
	struct hf_cli_bee_page page;
	struct hf_buffer line, last; /* last: the key of the entry printed last */
	json_int_t last_seq;
	uint64_t count;
};

static int keep_last(struct walk *walk, const struct hf_cli_bee_entry *entry)
{
	hf_buffer_clear(&walk->last);
	walk->last_seq = entry->seq;
	return entry->key.length ? hf_buffer_append(&walk->last, entry->key.data, entry->key.length) : HF_OK;
}

static int print_listed(struct walk *walk, struct hf_failure *failure)
{
	struct hf_cli_bee_entry entry;
	int r = hf_cli_bee_next(&walk->page, &entry);
	if (r == HF_OK)
		r = keep_last(walk, &entry);
	if (r < 0 || !walk->is_history)
		return r < 0 ? r : print_entry(walk->bee, "", NULL, &entry, &walk->line, failure);
	const char *type = entry.value_bytes == HF_ACTION_BEE_NOTHING ? "del" : "put";
	char mark[64];
	snprintf(mark, sizeof mark, "%lld %s ", (long long)entry.seq, type);
	return print_entry(walk->bee, mark, type, &entry, &walk->line, failure);
}

/* One side of a difference in JSON. */
static int write_side(struct walk *walk, const struct hf_cli_bee_entry *entry, struct hf_failure *failure)
{
	if (entry->value_bytes == HF_ACTION_BEE_NOTHING)
		return hf_buffer_append_text(&walk->line, "null");
	int r = hf_buffer_printf(&walk->line, "{\"seq\":%lld,\"value\":", (long long)entry->seq);
	if (r == HF_OK)
		r = write_value(walk->bee, entry, &walk->line, failure);
	return r == HF_OK ? hf_buffer_append(&walk->line, "}", 1) : r;
}

/* {"key", "before", "after"}; as text a line for each that is there, with - and +. */
static int print_difference(struct walk *walk, struct hf_failure *failure)
{
	struct hf_cli_bee_entry before, after;
	int r = hf_cli_bee_next(&walk->page, &before);
	if (r == HF_OK && (r = hf_cli_bee_next(&walk->page, &after)) == HF_ENOTFOUND)
		r = HF_EMALFORMED;
	if (r < 0)
		return r;
	bool had = before.value_bytes != HF_ACTION_BEE_NOTHING, has = after.value_bytes != HF_ACTION_BEE_NOTHING;
	r = keep_last(walk, has ? &after : &before);
	if (!walk->bee->cli->json) {
		if (r == HF_OK && had)
			r = print_entry(walk->bee, "- ", NULL, &before, &walk->line, failure);
		return r == HF_OK && has ? print_entry(walk->bee, "+ ", NULL, &after, &walk->line, failure) : r;
	}
	if (r == HF_OK)
		r = hf_buffer_append_text(&walk->line, "{\"key\":");
	if (r == HF_OK)
		r = write_key(walk->bee, has ? &after : &before, &walk->line, failure);
	if (r == HF_OK)
		r = hf_buffer_append_text(&walk->line, ",\"before\":");
	if (r == HF_OK)
		r = write_side(walk, &before, failure);
	if (r == HF_OK)
		r = hf_buffer_append_text(&walk->line, ",\"after\":");
	if (r == HF_OK)
		r = write_side(walk, &after, failure);
	if (r == HF_OK)
		r = hf_buffer_append_text(&walk->line, "}\n");
	return r == HF_OK ? write_out(&walk->line, failure) : r;
}

/* The next page begins after what was printed last, in the same version. */
static int turn_page(struct walk *walk)
{
	json_t *arguments = walk->bee->arguments;
	json_object_set_new(arguments, "at", json_integer((json_int_t)walk->page.version));
	if (!walk->is_history) {
		json_object_del(arguments, walk->reverse ? "lte" : "gte");
		return set_bound(arguments, walk->reverse ? "lt" : "gt", hf_buffer_slice(&walk->last));
	}
	json_object_del(arguments, walk->reverse ? "lte" : "gte");
	json_object_set_new(arguments, walk->reverse ? "lt" : "gt", json_integer(walk->last_seq));
	return HF_OK;
}

static int walk_all(struct walk *walk, struct hf_failure *failure)
{
	uint64_t fork = UINT64_MAX;
	int r;
	do {
		if (walk->limit != UINT64_MAX)
			json_object_set_new(walk->bee->arguments, "limit", json_integer((json_int_t)walk->limit));
		r = hf_cli_bee_page(walk->target, walk->action, walk->bee->arguments, (struct hf_slice){0}, &walk->page, failure);
		if (r == HF_OK && fork != UINT64_MAX && fork != walk->page.fork)
			r = hf_fail(failure, HF_ECANCELED, "The bee was truncated while it was read.");
		fork = walk->page.fork;
		while (r == HF_OK && (r = walk->print(walk, failure)) == HF_OK) {
			walk->count++;
			walk->limit -= walk->limit != UINT64_MAX;
		}
		if (r == HF_ENOTFOUND)
			r = walk->page.more && walk->limit > 0 ? turn_page(walk) : HF_OK;
	} while (r == HF_OK && walk->page.more && walk->limit > 0);
	if (r == HF_OK && fflush(stdout) != 0)
		r = hf_fail(failure, HF_EIO, "Writing the entries failed.");
	return failure->code = r;
}

static void free_walk(struct walk *walk)
{
	hf_cli_bee_page_free(&walk->page);
	hf_buffer_free(&walk->line);
	hf_buffer_free(&walk->last);
}

static int run_walk(struct walk *walk)
{
	struct hf_cli *cli = walk->bee->cli;
	struct hf_cli_target target;
	struct hf_cli_remote remote;
	struct hf_failure failure = {0};
	int code;
	if (!hf_cli_core_option_number(cli, "limit", UINT64_MAX, &walk->limit))
		return HF_CLI_USAGE;
	walk->reverse = hf_cli_option(cli, "reverse") != NULL;
	json_object_set_new(walk->bee->arguments, "reverse", json_boolean(walk->reverse));
	if (!hf_cli_bee_open(walk->bee, &remote, &target, &code))
		return code;
	walk->target = &target;
	int r = walk_all(walk, &failure);
	free_walk(walk);
	hf_cli_target_close(&target);
	return r < 0 ? hf_cli_core_fail(&failure) : HF_CLI_OK;
}

int hf_cli_bee_list(struct hf_cli *cli)
{
	struct hf_cli_bee bee;
	struct walk walk = {.bee = &bee, .action = "bee/list", .print = print_listed};
	int code = hf_cli_bee_read(cli, &bee) && read_range(&bee, NULL) ? run_walk(&walk) : HF_CLI_USAGE;
	hf_cli_bee_free(&bee);
	return code;
}

/* A version or block as an option: negative ones count back from the end. */
static bool read_signed(struct hf_cli_bee *bee, const char *option)
{
	const char *text = hf_cli_option(bee->cli, option);
	char sentence[160];
	uint64_t number;
	bool is_negative = text && text[0] == '-';
	if (!text)
		return true;
	if (hf_text_to_u64(text + is_negative, &number) < 0 || number > INT64_MAX) {
		snprintf(sentence, sizeof sentence, "--%s is the number of a block, or one that counts back from the end, like -10; not \"%.40s\".",
			option, text);
		hf_cli_core_usage(bee->cli, sentence);
		return false;
	}
	json_object_set_new(bee->arguments, option, json_integer(is_negative ? -(json_int_t)number : (json_int_t)number));
	return true;
}

int hf_cli_bee_history(struct hf_cli *cli)
{
	struct hf_cli_bee bee;
	struct walk walk = {.bee = &bee, .action = "bee/history", .print = print_listed, .is_history = true};
	int code = hf_cli_bee_read(cli, &bee) && read_signed(&bee, "gt") && read_signed(&bee, "gte") && read_signed(&bee, "lt") &&
		read_signed(&bee, "lte") ? run_walk(&walk) : HF_CLI_USAGE;
	hf_cli_bee_free(&bee);
	return code;
}

int hf_cli_bee_diff(struct hf_cli *cli)
{
	struct hf_cli_bee bee;
	struct walk walk = {.bee = &bee, .action = "bee/diff", .print = print_difference};
	uint64_t from, to = UINT64_MAX;
	int code = HF_CLI_USAGE;
	if (hf_cli_bee_read(cli, &bee) && read_range(&bee, NULL) && hf_cli_core_number(cli, bee.next, "FROM", &from) &&
		(cli->argument_count <= bee.next + 1 || hf_cli_core_number(cli, bee.next + 1, "TO", &to))) {
		json_object_set_new(bee.arguments, "from", json_integer((json_int_t)from));
		if (to != UINT64_MAX)
			json_object_set_new(bee.arguments, "at", json_integer((json_int_t)to));
		code = run_walk(&walk);
	}
	hf_cli_bee_free(&bee);
	return code;
}

/* ---- Watch ---- */

struct watching {
	struct hf_cli_follow follow;
	struct hf_cli_bee bee;
	uint64_t version, fork;
	bool has_begun;
};

static int look_up(struct watching *w, uint64_t *version, uint64_t *fork, struct hf_failure *failure)
{
	struct hf_cli_bee_page page = {0};
	json_t *arguments = json_copy(w->bee.arguments);
	json_object_set_new(arguments, "limit", json_integer(0));
	int r = hf_cli_bee_page(&w->follow.target, "bee/list", arguments, (struct hf_slice){0}, &page, failure);
	*version = page.version;
	*fork = page.fork;
	hf_cli_bee_page_free(&page);
	json_decref(arguments);
	return r;
}

/* What differs from the version that was printed last. */
static int print_new(void *context, struct hf_failure *failure)
{
	struct watching *w = context;
	uint64_t version, fork;
	int r = look_up(w, &version, &fork, failure);
	if (r < 0 || (w->has_begun && version == w->version && fork == w->fork))
		return r;
	if (w->has_begun && fork != w->fork)
		fprintf(stderr, "holdfast: the bee went back, to version %llu on fork %llu.\n", (unsigned long long)version, (unsigned long long)fork);
	if (w->has_begun) {
		struct hf_cli_bee now = w->bee;
		struct walk walk = {.bee = &now, .target = &w->follow.target, .action = "bee/diff", .print = print_difference, .limit = UINT64_MAX};
		now.arguments = json_copy(w->bee.arguments);
		json_object_set_new(now.arguments, "from", json_integer((json_int_t)(w->version < version ? w->version : version)));
		r = walk_all(&walk, failure);
		version = r == HF_OK ? walk.page.version : version;
		fork = r == HF_OK ? walk.page.fork : fork;
		free_walk(&walk);
		json_decref(now.arguments);
	}
	if (r < 0)
		return r;
	w->version = version;
	w->fork = fork;
	w->has_begun = true;
	return HF_OK;
}

int hf_cli_bee_watch(struct hf_cli *cli)
{
	struct watching w = {.follow = {.cli = cli, .look = print_new, .context = &w}};
	struct hf_cli_remote remote;
	int code = HF_CLI_USAGE;
	if (hf_cli_bee_read(cli, &w.bee) && read_range(&w.bee, cli->argument_count > w.bee.next ? cli->arguments[w.bee.next] : NULL)) {
		w.follow.is_open = hf_cli_core_is_remote(cli) && hf_cli_bee_open(&w.bee, &remote, &w.follow.target, &code);
		if (w.follow.is_open || !hf_cli_core_is_remote(cli))
			code = hf_cli_follow(&w.follow);
	}
	hf_cli_bee_free(&w.bee);
	return code;
}
