/* core_read: blocks to standard output, a page at a time: get and tail. */
#include <stdio.h>

#include "cli/core.h"
#include "cli/follow.h"
#include "cli/terminal.h"
#include "codec/base64.h"
#include "codec/hex.h"

#define TAIL_COUNT 10    /* blocks that tail begins with */

/* ---- Pages ---- */

void hf_cli_core_page_free(struct hf_cli_page *page)
{
	hf_buffer_free(&page->out);
	json_decref(page->head);
	page->head = NULL;
}

int hf_cli_core_page(struct hf_cli_target *target, json_t *arguments, uint64_t from, uint64_t to, bool is_partial, struct hf_cli_page *page,
	struct hf_failure *failure)
{
	json_object_set_new(arguments, "from", json_integer((json_int_t)from));
	json_object_set_new(arguments, "to", to == UINT64_MAX ? json_null() : json_integer((json_int_t)to));
	json_object_set_new(arguments, "partial", json_boolean(is_partial));
	int r = hf_cli_core_ask(target, "core/get", arguments, (struct hf_slice){0}, &page->out, &page->head, &page->at, failure);
	if (r < 0)
		return r;
	page->count = json_array_size(json_object_get(page->head, "sizes"));
	page->to = (uint64_t)json_integer_value(json_object_get(page->head, "to"));
	page->length = (uint64_t)json_integer_value(json_object_get(page->head, "length"));
	page->fork = (uint64_t)json_integer_value(json_object_get(page->head, "fork"));
	return HF_OK;
}

/* ---- Printing ---- */

struct printing {
	bool is_json, is_hex, is_lines;
	struct hf_buffer text;
};

static int print_json(struct printing *p, uint64_t index, struct hf_slice block)
{
	hf_buffer_clear(&p->text);
	int r = hf_buffer_printf(&p->text, "{\"index\":%llu,\"value\":\"", (unsigned long long)index);
	if (r == HF_OK)
		r = hf_buffer_reserve(&p->text, 2 * block.length + 8);
	if (r < 0)
		return r;
	if (p->is_hex)
		hf_hex_encode(p->text.data + p->text.length, block.data, block.length);
	p->text.length += p->is_hex ? 2 * block.length : hf_base64_encode(p->text.data + p->text.length, block.data, block.length);
	r = hf_buffer_append_text(&p->text, "\"}\n");
	return r < 0 ? r : fwrite(p->text.data, 1, p->text.length, stdout) == p->text.length ? HF_OK : HF_EIO;
}

static int print_block(struct printing *p, uint64_t index, struct hf_slice block)
{
	if (p->is_json)
		return print_json(p, index, block);
	if (block.length && fwrite(block.data, 1, block.length, stdout) != block.length)
		return HF_EIO;
	return p->is_lines && putchar('\n') == EOF ? HF_EIO : HF_OK;
}

static int print_page(struct printing *p, struct hf_cli_page *page, uint64_t from, struct hf_failure *failure)
{
	json_t *sizes = json_object_get(page->head, "sizes");
	int r = HF_OK;
	for (size_t i = 0; r == HF_OK && i < page->count; i++) {
		size_t size = (size_t)json_integer_value(json_array_get(sizes, i));
		if (size > page->out.length - page->at)
			r = HF_EMALFORMED;
		else
			r = print_block(p, from + i, hf_slice(page->out.data + page->at, size));
		page->at += size;
	}
	if (r == HF_OK && fflush(stdout) != 0)
		r = HF_EIO;
	return r < 0 ? failure->code = hf_fail(failure, r, "Writing the blocks failed: %s.", hf_error_text(r)) : r;
}

static bool read_printing(const struct hf_cli *cli, bool is_lines, struct printing *p)
{
	const char *encoding = hf_cli_option(cli, "encoding");
	*p = (struct printing){.is_json = cli->json, .is_hex = encoding && strcmp(encoding, "hex") == 0, .is_lines = is_lines};
	if (!encoding || p->is_hex || strcmp(encoding, "base64") == 0)
		return true;
	hf_cli_core_usage(cli, "--encoding is base64 or hex.");
	return false;
}

/* ---- Get ---- */

static int get_range(struct hf_cli *cli, struct hf_cli_target *target, json_t *arguments, struct hf_cli_range range,
	struct printing *printing)
{
	struct hf_cli_page page = {0};
	struct hf_failure failure = {0};
	struct hf_progress progress;
	uint64_t at = range.from, to = range.to;
	hf_progress_begin(&progress, &cli->env, "blocks");
	do {
		if (hf_cli_core_page(target, arguments, at, to, false, &page, &failure) < 0)
			break;
		to = to == UINT64_MAX ? page.to : to;
		if (print_page(printing, &page, at, &failure) < 0)
			break;
		at += page.count;
		hf_progress_show(&progress, at - range.from, to - range.from);
	} while (at < to);
	hf_progress_end(&progress);
	hf_cli_core_page_free(&page);
	return failure.code < 0 ? hf_cli_core_fail(&failure) : HF_CLI_OK;
}

int hf_cli_core_get(struct hf_cli *cli)
{
	struct hf_cli_target target;
	struct hf_failure failure = {0};
	struct hf_cli_range range;
	struct printing printing;
	unsigned next;
	int code = HF_CLI_USAGE;
	json_t *arguments = hf_cli_core_arguments(cli, &next);
	if (!arguments)
		return code;
	if (next >= cli->argument_count)
		hf_cli_core_usage(cli, "say which block: INDEX, or START..END for all from START to before END.");
	else if (!hf_cli_core_range(cli->arguments[next], &range))
		hf_cli_core_usage(cli, "a range of blocks is written 7, 3..9, 3.. or ..9, the end not among them.");
	else if (read_printing(cli, hf_cli_option(cli, "lines") != NULL, &printing)) {
		failure.code = hf_cli_target_open(&target, cli, false, &failure);
		code = failure.code < 0 ? hf_cli_fail(&failure) : get_range(cli, &target, arguments, range, &printing);
		if (failure.code == HF_OK)
			hf_cli_target_close(&target);
		hf_buffer_free(&printing.text);
	}
	json_decref(arguments);
	return code;
}

/* ---- Tail ---- */

struct tailing {
	struct hf_cli_follow follow;
	struct printing printing;
	json_t *arguments;
	uint64_t from, at, fork;
	bool is_placed;
};

/* From where on: --from, or the last few. */
static int place(struct tailing *t, struct hf_failure *failure)
{
	struct hf_cli_page page = {0};
	int r = hf_cli_core_page(&t->follow.target, t->arguments, 0, 0, true, &page, failure);
	t->at = t->from != UINT64_MAX ? t->from : page.length > TAIL_COUNT ? page.length - TAIL_COUNT : 0;
	t->fork = page.fork;
	t->is_placed = r == HF_OK;
	hf_cli_core_page_free(&page);
	return r;
}

/* Prints what there is from t->at on. */
static int print_new(void *context, struct hf_failure *failure)
{
	struct tailing *t = context;
	struct hf_cli_page page = {0};
	int r = t->is_placed ? HF_OK : place(t, failure);
	if (r < 0)
		return r;
	do {
		r = hf_cli_core_page(&t->follow.target, t->arguments, t->at, UINT64_MAX, !t->follow.is_once, &page, failure);
		if (r == HF_OK && page.fork != t->fork && page.length < t->at) {
			fprintf(stderr, "holdfast: the core went back to %llu blocks, on fork %llu.\n", (unsigned long long)page.length,
				(unsigned long long)page.fork);
			t->at = page.length;
		}
		if (r == HF_OK)
			r = print_page(&t->printing, &page, t->at, failure);
		t->fork = page.fork;
		t->at += page.count;
	} while (r == HF_OK && page.count > 0);
	hf_cli_core_page_free(&page);
	return r;
}

int hf_cli_core_tail(struct hf_cli *cli)
{
	struct tailing t = {.follow = {.cli = cli, .is_once = !hf_cli_option(cli, "follow"), .look = print_new, .context = &t}};
	unsigned next;
	int code = HF_CLI_USAGE;
	t.arguments = hf_cli_core_arguments(cli, &next);
	if (t.arguments && read_printing(cli, hf_cli_option(cli, "raw") == NULL, &t.printing) &&
		hf_cli_core_option_number(cli, "from", UINT64_MAX, &t.from))
		code = hf_cli_follow(&t.follow);
	json_decref(t.arguments);
	hf_buffer_free(&t.printing.text);
	return code;
}
