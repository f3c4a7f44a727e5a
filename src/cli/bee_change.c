/* bee_change: put and del: one key that stands in the command, or one for each line of standard input, in batches. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "cli/bee.h"
#include "cli/input.h"
#include "cli/terminal.h"

#define BATCH_COUNT 1000
#define BATCH_BYTES_MAX (4u << 20)
#define LINE_BYTES_MAX (2 * HF_CORE_BLOCK_BYTES_MAX) /* hexadecimal */

struct changing {
	struct hf_cli_bee bee;
	struct hf_cli_target target;
	struct hf_progress progress;
	json_t *sizes;
	struct hf_buffer expected, batch; /* batch: keys and values that are not committed yet */
	struct hf_cli_input input;
	bool is_del, is_jsonl, has_expected;
	uint64_t batch_count, line_count, bad_line; /* bad_line: which cannot be taken; those before it are */
	json_int_t put, deleted, refused, missing, same, version;
};

/* ---- Batches ---- */

static void take_answer(struct changing *c, const struct hf_buffer *out)
{
	json_error_t error;
	json_t *answer = json_loadb((const char *)out->data, out->length, 0, &error);
	c->put += json_integer_value(json_object_get(answer, "put"));
	c->deleted += json_integer_value(json_object_get(answer, "deleted"));
	c->refused += json_integer_value(json_object_get(answer, "refused"));
	c->missing += json_integer_value(json_object_get(answer, "missing"));
	c->same += json_integer_value(json_object_get(answer, "same"));
	c->version = json_integer_value(json_object_get(answer, "version"));
	json_decref(answer);
}

static int commit(struct changing *c, struct hf_failure *failure)
{
	struct hf_buffer out = {0}, data = {0};
	if (json_array_size(c->sizes) == 0)
		return HF_OK;
	json_object_set(c->bee.arguments, "sizes", c->sizes);
	int r = c->expected.length ? hf_buffer_append(&data, c->expected.data, c->expected.length) : HF_OK;
	if (r == HF_OK && c->batch.length)
		r = hf_buffer_append(&data, c->batch.data, c->batch.length);
	if (r == HF_OK)
		r = hf_cli_core_run(&c->target, "bee/change", c->bee.arguments, hf_buffer_slice(&data), &out, failure);
	else
		hf_fail(failure, r, "Out of memory.");
	if (r == HF_OK)
		take_answer(c, &out);
	hf_buffer_free(&out);
	hf_buffer_free(&data);
	hf_buffer_clear(&c->batch);
	json_array_clear(c->sizes);
	uint64_t done = c->line_count, total = c->input.total_bytes;
	hf_progress_show(&c->progress, done, total && c->input.read_bytes ? done * total / c->input.read_bytes : 0);
	return r;
}

static int add(struct changing *c, size_t key_bytes, json_int_t value_bytes, struct hf_failure *failure)
{
	if (json_array_append_new(c->sizes, json_integer((json_int_t)key_bytes)) < 0 ||
		json_array_append_new(c->sizes, json_integer(value_bytes)) < 0)
		return hf_fail(failure, HF_ENOMEM, "Out of memory.");
	return HF_OK;
}

static bool is_full(const struct changing *c)
{
	return json_array_size(c->sizes) / 2 >= c->batch_count || c->batch.length >= BATCH_BYTES_MAX;
}

/* ---- Lines ---- */

/* "key TAB value", or "key" of a del. */
static int parse_plain(struct changing *c, struct hf_slice text, struct hf_cli_bee_line *line)
{
	const uint8_t *tab = c->is_del || !text.length ? NULL : memchr(text.data, '\t', text.length);
	size_t start = c->batch.length, key_length = tab ? (size_t)(tab - text.data) : text.length;
	if (!c->is_del && !tab)
		return HF_EINVAL;
	int r = hf_cli_bee_key(&c->bee, hf_slice(text.data, key_length), &c->batch);
	line->key_bytes = c->batch.length - start;
	line->value_bytes = HF_ACTION_BEE_NOTHING;
	if (r == HF_OK && tab) {
		r = hf_cli_bee_parse(c->bee.value_encoding, hf_slice(tab + 1, text.length - key_length - 1), &c->batch);
		line->value_bytes = (json_int_t)(c->batch.length - start - line->key_bytes);
	}
	return r;
}

static int add_line(struct changing *c, struct hf_slice text, struct hf_failure *failure)
{
	struct hf_cli_bee_line line;
	unsigned long long number = ++c->line_count;
	c->bad_line = number; /* until it is seen to be a good one */
	if (text.length > LINE_BYTES_MAX)
		return hf_fail(failure, HF_ETOOBIG, "Line %llu is longer than a key and a value can be.", number);
	int r = c->batch.length + text.length > BATCH_BYTES_MAX ? commit(c, failure) : HF_OK;
	size_t start = c->batch.length;
	if (r < 0)
		return r;
	r = c->is_jsonl ? hf_cli_bee_parse_line(&c->bee, text, c->is_del, &c->batch, &line) : parse_plain(c, text, &line);
	if (r < 0)
		c->batch.length = start;
	switch (r) {
	case HF_OK:
		c->bad_line = 0;
		r = add(c, line.key_bytes, line.value_bytes, failure);
		return r == HF_OK && is_full(c) ? commit(c, failure) : r;
	case HF_EINVAL: return hf_fail(failure, r, "Line %llu has no tab, which stands between a key and its value (--jsonl reads JSON).", number);
	case HF_EMALFORMED:
		return hf_fail(failure, r, "Line %llu is not %s with a key that is %s and a value that is %s.", number,
			c->is_jsonl ? "a JSON object" : "a line", hf_cli_bee_encoding_name(c->bee.key_encoding),
			hf_cli_bee_encoding_name(c->bee.value_encoding));
	default: return hf_fail(failure, r, "Out of memory.");
	}
}

static int add_lines(struct changing *c, struct hf_failure *failure)
{
	size_t at = 0, length, used;
	int r = HF_OK;
	while (r == HF_OK && hf_cli_input_line(&c->input, at, LINE_BYTES_MAX, &length, &used)) {
		r = add_line(c, hf_slice(c->input.bytes.data + at, length), failure);
		at += used;
	}
	hf_buffer_consume(&c->input.bytes, at);
	return r;
}

static int change_lines(struct changing *c, struct hf_failure *failure)
{
	int r = HF_OK;
	if (hf_cli_input_is_terminal(&c->input))
		fprintf(stderr, "Each line is %s; end with Ctrl-D.\n", c->is_jsonl ? "a JSON object with key and value"
			: c->is_del ? "a key" : "a key, a tab, and its value");
	while (r == HF_OK && !c->input.at_end) {
		if (json_array_size(c->sizes) > 0 && hf_cli_input_pauses(&c->input))
			r = commit(c, failure);
		if (r == HF_OK)
			r = hf_cli_input_read(&c->input, failure);
		if (r == HF_OK)
			r = add_lines(c, failure);
	}
	if (r == HF_OK)
		return commit(c, failure);
	struct hf_failure other = {0};
	if (c->bad_line && json_array_size(c->sizes) > 0 && commit(c, &other) < 0)
		*failure = other;
	return failure->code;
}

/* ---- One ---- */

/* The key and value of the command line into the batch; false when it has been said what is wrong. */
static bool read_file(struct changing *c, const char *path)
{
	struct hf_failure failure = {0};
	int r = hf_cli_input_open(&c->input, path, &failure);
	while (r == HF_OK && !c->input.at_end && c->input.bytes.length <= HF_CORE_BLOCK_BYTES_MAX)
		r = hf_cli_input_read(&c->input, &failure);
	if (r == HF_OK && c->input.bytes.length)
		r = hf_buffer_append(&c->batch, c->input.bytes.data, c->input.bytes.length);
	if (r < 0)
		hf_terminal_fail(failure.text);
	return r == HF_OK;
}

static bool parse_argument(struct changing *c, const char *what, enum hf_bee_encoding encoding, const char *text, struct hf_buffer *out)
{
	char sentence[200];
	snprintf(sentence, sizeof sentence, "the %s \"%.60s\" is not %s, which --%s-encoding says it is.", what, text,
		hf_cli_bee_encoding_name(encoding), what);
	int r = hf_cli_bee_parse(encoding, hf_slice_text(text), out);
	if (r < 0)
		hf_cli_core_usage(c->bee.cli, sentence);
	return r == HF_OK;
}

static int read_one(struct changing *c)
{
	struct hf_cli *cli = c->bee.cli;
	const char *path = c->is_del ? NULL : hf_cli_option(cli, "file");
	unsigned next = c->bee.next;
	struct hf_failure failure = {0};
	if (c->bee.has_sub && hf_bee_sub_key(&c->bee.sub, (struct hf_slice){0}, &c->batch) < 0)
		return HF_CLI_FAILED;
	if (!parse_argument(c, "key", c->bee.key_encoding, cli->arguments[next], &c->batch))
		return HF_CLI_USAGE;
	size_t key_bytes = c->batch.length;
	if (path ? cli->argument_count != next + 1 : cli->argument_count != next + (c->is_del ? 1 : 2))
		return hf_cli_core_usage(cli, c->is_del ? "one key is deleted, or those that standard input has."
			: "give a key and its value, or --file FILE with the value, or neither and lines on standard input.");
	if (path && !read_file(c, path))
		return HF_CLI_FAILED;
	if (!path && !c->is_del && !parse_argument(c, "value", c->bee.value_encoding, cli->arguments[next + 1], &c->batch))
		return HF_CLI_USAGE;
	return add(c, key_bytes, c->is_del ? HF_ACTION_BEE_NOTHING : (json_int_t)(c->batch.length - key_bytes), &failure) < 0
		? hf_cli_core_fail(&failure) : HF_CLI_OK;
}

/* What became of one change that was not made. */
static int report_one(const struct changing *c)
{
	if (c->refused)
		fprintf(stderr, "holdfast: Nothing was changed: the key has %s.\n",
			c->has_expected ? "another value than --if says, or none" : "a value already");
	else if (c->missing)
		fprintf(stderr, "holdfast: There is no such key.\n");
	return c->refused || c->missing ? HF_CLI_FAILED : HF_CLI_OK;
}

/* ---- The commands ---- */

static void report(const struct changing *c)
{
	if (c->bee.cli->json)
		printf("{\"put\":%lld,\"deleted\":%lld,\"refused\":%lld,\"missing\":%lld,\"same\":%lld,\"version\":%lld}\n", (long long)c->put,
			(long long)c->deleted, (long long)c->refused, (long long)c->missing, (long long)c->same, (long long)c->version);
	else
		printf("%lld put, %lld deleted, %lld left as they were; the bee is at version %lld\n", (long long)c->put, (long long)c->deleted,
			(long long)(c->refused + c->missing + c->same), (long long)c->version);
	fflush(stdout);
}

static int read_options(struct changing *c)
{
	struct hf_cli *cli = c->bee.cli;
	const char *expected = hf_cli_option(cli, "if");
	bool if_absent = hf_cli_option(cli, "if-absent") != NULL, is_one = cli->argument_count > c->bee.next;
	c->is_jsonl = hf_cli_option(cli, "jsonl") != NULL;
	c->has_expected = expected != NULL;
	if (!hf_cli_core_option_number(cli, "batch", BATCH_COUNT, &c->batch_count))
		return HF_CLI_USAGE;
	if (c->batch_count == 0 || c->batch_count > HF_BEE_PENDING_COUNT_MAX)
		return hf_cli_core_usage(cli, "--batch is a number of changes from 1 to 65536.");
	if (expected && (if_absent || !is_one))
		return hf_cli_core_usage(cli, "--if is for one change, and not together with --if-absent.");
	if (expected && !parse_argument(c, "value", c->bee.value_encoding, expected, &c->expected))
		return HF_CLI_USAGE;
	if (expected)
		json_object_set_new(c->bee.arguments, "if", json_integer((json_int_t)c->expected.length));
	json_object_set_new(c->bee.arguments, "if_absent", json_boolean(if_absent));
	json_object_set_new(c->bee.arguments, "skip_same", json_boolean(hf_cli_option(cli, "skip-same") != NULL));
	json_object_set_new(c->bee.arguments, "disk", json_boolean(hf_cli_option(cli, "disk") != NULL));
	return is_one ? read_one(c) : HF_CLI_OK;
}

static int run(struct changing *c)
{
	struct hf_cli *cli = c->bee.cli;
	struct hf_failure failure = {0};
	bool is_one = json_array_size(c->sizes) > 0;
	failure.code = hf_cli_target_open(&c->target, cli, false, &failure);
	if (failure.code < 0)
		return hf_cli_fail(&failure);
	hf_progress_begin(&c->progress, &cli->env, "changes");
	failure.code = is_one ? commit(c, &failure) : change_lines(c, &failure);
	hf_progress_end(&c->progress);
	hf_cli_target_close(&c->target);
	int code = failure.code < 0 ? hf_cli_core_fail(&failure) : is_one ? report_one(c) : HF_CLI_OK;
	if (is_one ? code == HF_CLI_OK && cli->json : code == HF_CLI_OK || c->version > 0)
		report(c);
	return code;
}

static int change(struct hf_cli *cli, bool is_del)
{
	struct changing c = {.is_del = is_del, .sizes = json_array()};
	int code = c.sizes && hf_cli_bee_read(cli, &c.bee) ? read_options(&c) : HF_CLI_USAGE;
	if (code == HF_CLI_OK)
		code = run(&c);
	hf_cli_input_close(&c.input);
	hf_buffer_free(&c.expected);
	hf_buffer_free(&c.batch);
	json_decref(c.sizes);
	hf_cli_bee_free(&c.bee);
	return code;
}

int hf_cli_bee_put(struct hf_cli *cli)
{
	return change(cli, false);
}

int hf_cli_bee_del(struct hf_cli *cli)
{
	return change(cli, true);
}
