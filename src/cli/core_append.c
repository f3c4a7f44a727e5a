/* core_append: blocks from standard input or a file. What has been read is committed in batches, and whenever the input pauses, so that
 * whoever follows the core sees it soon. */
#include <stdio.h>

#include "base/text.h"
#include "cli/core.h"
#include "cli/core_append.h"
#include "cli/core_net.h"
#include "cli/input.h"
#include "cli/terminal.h"
#include "crypto/block_cipher.h"

#define BATCH_COUNT_MAX 1000
#define BATCH_BYTES_MAX (4u << 20)
#define BLOCK_BYTES_MAX (HF_CORE_BLOCK_BYTES_MAX - HF_BLOCK_PADDING_BYTES) /* room for encryption is kept, whether it is used or not */

struct appending {
	struct hf_cli_target target;
	struct hf_progress progress;
	json_t *arguments, *sizes;
	struct hf_cli_input input;
	struct hf_buffer batch;        /* blocks that are not committed yet */
	uint64_t block_bytes;          /* 0: a block is a line; else so many bytes */
	uint64_t appended, length, byte_length;
};

static int commit(struct appending *a, struct hf_failure *failure)
{
	struct hf_buffer out = {0};
	json_error_t error;
	size_t count = json_array_size(a->sizes);
	if (count == 0)
		return HF_OK;
	json_object_set(a->arguments, "sizes", a->sizes);
	int r = hf_cli_core_run(&a->target, "core/append", a->arguments, hf_buffer_slice(&a->batch), &out, failure);
	json_t *answer = r == HF_OK ? json_loadb((const char *)out.data, out.length, 0, &error) : NULL;
	a->length = answer ? (uint64_t)json_integer_value(json_object_get(answer, "length")) : a->length;
	a->byte_length = answer ? (uint64_t)json_integer_value(json_object_get(answer, "byte_length")) : a->byte_length;
	a->appended += r == HF_OK ? count : 0;
	json_decref(answer);
	hf_buffer_free(&out);
	hf_buffer_clear(&a->batch);
	json_array_clear(a->sizes);
	hf_progress_show(&a->progress, a->appended, a->input.total_bytes && a->input.read_bytes
		? a->appended * a->input.total_bytes / a->input.read_bytes : 0);
	return r;
}

static int add_block(struct appending *a, const uint8_t *data, size_t length, struct hf_failure *failure)
{
	if (length > BLOCK_BYTES_MAX)
		return hf_fail(failure, HF_ETOOBIG, "Block %llu of the input is longer than %u bytes, which is the most that a block can have.%s",
			(unsigned long long)(a->appended + json_array_size(a->sizes) + 1), BLOCK_BYTES_MAX,
			a->block_bytes ? " Cut the file into smaller ones with --block-size." : "");
	int r = a->batch.length + length > BATCH_BYTES_MAX ? commit(a, failure) : HF_OK;
	if (r < 0)
		return r;
	r = length ? hf_buffer_append(&a->batch, data, length) : HF_OK;
	if (r == HF_OK && json_array_append_new(a->sizes, json_integer((json_int_t)length)) < 0)
		r = HF_ENOMEM;
	if (r < 0)
		return hf_fail(failure, r, "Out of memory.");
	return json_array_size(a->sizes) >= BATCH_COUNT_MAX || a->batch.length >= BATCH_BYTES_MAX ? commit(a, failure) : HF_OK;
}

/* Where the next block of the input ends; false when more must be read. *used counts its end mark, too. */
static bool next_block(const struct appending *a, size_t at, size_t *length, size_t *used)
{
	size_t left = a->input.bytes.length - at;
	if (!a->block_bytes)
		return hf_cli_input_line(&a->input, at, BLOCK_BYTES_MAX, length, used);
	*length = *used = left < a->block_bytes ? left : (size_t)a->block_bytes;
	return left >= a->block_bytes || (left > 0 && (a->input.at_end || left > BLOCK_BYTES_MAX));
}

static int cut_blocks(struct appending *a, struct hf_failure *failure)
{
	size_t at = 0, length, used;
	int r = HF_OK;
	while (r == HF_OK && next_block(a, at, &length, &used)) {
		r = add_block(a, a->input.bytes.data + at, length, failure);
		at += used;
	}
	hf_buffer_consume(&a->input.bytes, at);
	return r;
}

/* Reads what there is, and commits before it waits for more. */
static int read_some(struct appending *a, struct hf_failure *failure)
{
	int r = json_array_size(a->sizes) > 0 && hf_cli_input_pauses(&a->input) ? commit(a, failure) : HF_OK;
	return r == HF_OK ? hf_cli_input_read(&a->input, failure) : r;
}

static int append_all(struct appending *a, bool is_one_block, struct hf_failure *failure)
{
	int r = HF_OK;
	while (r == HF_OK && !a->input.at_end) {
		r = read_some(a, failure);
		if (r == HF_OK)
			r = cut_blocks(a, failure);
	}
	if (r == HF_OK && is_one_block && a->input.read_bytes == 0)
		r = add_block(a, NULL, 0, failure);
	return r == HF_OK ? commit(a, failure) : r;
}

/* Where the blocks come from, and how they are cut. */
static int open_input(struct hf_cli *cli, struct appending *a, bool *is_one_block, struct hf_failure *failure)
{
	const char *path = hf_cli_option(cli, "file"), *size = hf_cli_option(cli, "block-size");
	*is_one_block = path && !size;
	a->block_bytes = *is_one_block ? (uint64_t)BLOCK_BYTES_MAX + 1 : 0;
	if (size && (hf_text_to_bytes(size, &a->block_bytes) < 0 || a->block_bytes == 0 || a->block_bytes > BLOCK_BYTES_MAX))
		return hf_fail(failure, HF_EINVAL, "--block-size is a size from 1 to %u bytes, like 64k.", BLOCK_BYTES_MAX);
	int r = hf_cli_input_open(&a->input, path, failure);
	if (r < 0)
		return r;
	if (*is_one_block && a->input.total_bytes > BLOCK_BYTES_MAX)
		return hf_fail(failure, HF_ETOOBIG, "%s is larger than a block can be, which is %u bytes; cut it into several with --block-size.", path,
			BLOCK_BYTES_MAX);
	if (hf_cli_input_is_terminal(&a->input))
		fprintf(stderr, "Each line becomes a block; end with Ctrl-D.\n");
	return HF_OK;
}

/* The core is looked up first, so that a wrong one is told before anything is read. */
static int look_up(struct appending *a, struct hf_failure *failure)
{
	struct hf_buffer out = {0};
	json_error_t error;
	int r = hf_cli_core_run(&a->target, "core/info", a->arguments, (struct hf_slice){0}, &out, failure);
	json_t *facts = r == HF_OK ? json_loadb((const char *)out.data, out.length, 0, &error) : NULL;
	if (facts) {
		a->length = (uint64_t)json_integer_value(json_object_get(facts, "length"));
		a->byte_length = (uint64_t)json_integer_value(json_object_get(facts, "byte_length"));
		if (!json_is_true(json_object_get(facts, "writable")))
			r = hf_fail(failure, HF_EDENIED, "The core cannot be appended to: its secret key is not in this data directory.");
		else if (json_is_true(json_object_get(facts, "encrypted")) && !json_object_get(a->arguments, "encryption_key"))
			r = hf_fail(failure, HF_EDENIED, "The core is encrypted; give its --encryption-key to append to it.");
	}
	json_decref(facts);
	hf_buffer_free(&out);
	return failure->code = r;
}

static void report(const struct hf_cli *cli, const struct appending *a)
{
	unsigned long long appended = a->appended, length = a->length, bytes = a->byte_length;

	if (cli->json)
		printf("{\"appended\":%llu,\"length\":%llu,\"byte_length\":%llu}\n", appended, length, bytes);
	else
		printf("%llu block%s appended; the core has %llu now, %llu bytes\n", appended, appended == 1 ? "" : "s", length, bytes);
	fflush(stdout);
}

int hf_cli_core_append(struct hf_cli *cli)
{
	return hf_cli_core_is_remote(cli) ? hf_cli_core_append_serving(cli) : hf_cli_core_append_until(cli, NULL);
}

int hf_cli_core_append_until(struct hf_cli *cli, atomic_bool *stop)
{
	struct appending a = {.sizes = json_array(), .input.stop = stop};
	struct hf_failure failure = {0};
	unsigned next;
	bool is_one_block, is_open = false;
	a.arguments = hf_cli_core_arguments(cli, &next);
	if (!a.arguments || open_input(cli, &a, &is_one_block, &failure) < 0) {
		int code = !a.arguments ? HF_CLI_USAGE : failure.code == HF_EINVAL ? hf_cli_core_usage(cli, failure.text) : hf_cli_core_fail(&failure);
		json_decref(a.arguments);
		json_decref(a.sizes);
		hf_cli_input_close(&a.input);
		return code;
	}
	json_object_set_new(a.arguments, "disk", json_boolean(hf_cli_option(cli, "disk") != NULL));
	failure.code = hf_cli_target_open(&a.target, cli, false, &failure);
	int code = failure.code < 0 ? hf_cli_fail(&failure) : HF_CLI_OK;
	is_open = code == HF_CLI_OK;
	if (is_open && look_up(&a, &failure) == HF_OK) {
		hf_progress_begin(&a.progress, &cli->env, "blocks");
		failure.code = append_all(&a, is_one_block, &failure);
		hf_progress_end(&a.progress);
		if (failure.code == HF_OK || a.appended > 0)
			report(cli, &a);
	}
	if (is_open && failure.code < 0)
		code = hf_cli_core_fail(&failure);
	if (is_open)
		hf_cli_target_close(&a.target);
	json_decref(a.arguments);
	json_decref(a.sizes);
	hf_cli_input_close(&a.input);
	hf_buffer_free(&a.batch);
	return code;
}
