/* transfer: import and export: JSON lines on pipes, a chunk or a page at a time, so that memory stays bounded. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/target.h"
#include "cli/terminal.h"

#define CHUNK_BYTES (4u << 20)
#define REFUSALS_PRINTED_MAX 20

/* ---- Import ---- */

struct importing {
	struct hf_cli *cli;
	struct hf_cli_target target;
	struct hf_progress progress;
	struct hf_buffer chunk; /* whole lines at its front */
	char *arguments;
	uint64_t stored, duplicates, refused, lines, bytes, bytes_total, printed;
	bool at_end;
};

static int read_more(struct importing *in, struct hf_failure *failure)
{
	while (!in->at_end && in->chunk.length < CHUNK_BYTES) {
		int r = hf_buffer_reserve(&in->chunk, CHUNK_BYTES);
		if (r < 0)
			return hf_fail(failure, r, "Out of memory.");
		ssize_t got = read(STDIN_FILENO, in->chunk.data + in->chunk.length, CHUNK_BYTES);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return hf_fail(failure, HF_EIO, "Reading standard input failed.");
		in->at_end = got == 0;
		in->chunk.length += (size_t)got;
		in->bytes += (uint64_t)got;
	}
	return HF_OK;
}

static void refuse(struct importing *in, uint64_t line, const char *reason)
{
	if (in->printed++ < REFUSALS_PRINTED_MAX) {
		hf_progress_end(&in->progress);
		fprintf(stderr, "line %llu: ", (unsigned long long)line);
		hf_terminal_text(stderr, hf_slice_text(reason));
		putc('\n', stderr);
	} else if (in->printed == REFUSALS_PRINTED_MAX + 1) {
		fprintf(stderr, "…further refusals are only counted\n");
	}
}

static void take_report(struct importing *in, const struct hf_buffer *out)
{
	json_error_t error;
	json_t *report = json_loadb((const char *)out->data, out->length, 0, &error);
	json_t *refusals = json_object_get(report, "refusals");
	in->stored += (uint64_t)json_integer_value(json_object_get(report, "stored"));
	in->duplicates += (uint64_t)json_integer_value(json_object_get(report, "duplicates"));
	in->refused += (uint64_t)json_integer_value(json_object_get(report, "refused"));
	for (size_t i = 0; i < json_array_size(refusals); i++) {
		json_t *one = json_array_get(refusals, i);
		refuse(in, in->lines + (uint64_t)json_integer_value(json_object_get(one, "line")), json_string_value(json_object_get(one, "reason")));
	}
	json_decref(report);
}

/* Whole lines of the chunk, as many as one action takes. *skip: the first line is too long and is left out. */
static size_t cut_lines(const struct importing *in, bool *skip)
{
	size_t length = in->chunk.length < CHUNK_BYTES ? in->chunk.length : CHUNK_BYTES;
	*skip = false;
	if (in->at_end && length == in->chunk.length)
		return length;
	const uint8_t *end = memrchr(in->chunk.data, '\n', length);
	if (end)
		return (size_t)(end - in->chunk.data) + 1;
	*skip = true;
	return length;
}

static uint64_t count_lines(const uint8_t *data, size_t length)
{
	uint64_t count = 0;
	for (size_t i = 0; i < length; i++)
		count += data[i] == '\n';
	return count;
}

static int import_all(struct importing *in, struct hf_failure *failure)
{
	struct hf_buffer out = {0};
	bool is_long = false;
	int r = read_more(in, failure);
	while (r == HF_OK && in->chunk.length > 0) {
		bool skip;
		size_t length = cut_lines(in, &skip);
		if (skip || is_long) {
			/* The parts of a line that no event could be as long as: thrown away up to its end. */
			const uint8_t *end = memchr(in->chunk.data, '\n', length);
			if (!is_long) {
				in->refused++;
				refuse(in, in->lines + 1, "invalid: the line is longer than any event");
			}
			is_long = !end;
			length = end ? (size_t)(end - in->chunk.data) + 1 : length;
		} else {
			hf_buffer_clear(&out);
			r = hf_cli_target_run(&in->target, "relay/import", in->arguments, hf_slice(in->chunk.data, length), &out, failure);
			if (out.length > 0)
				take_report(in, &out);
		}
		in->lines += count_lines(in->chunk.data, length);
		hf_buffer_consume(&in->chunk, length);
		hf_progress_show(&in->progress, in->stored + in->duplicates + in->refused, in->bytes_total && in->bytes
			? (in->stored + in->duplicates + in->refused) * in->bytes_total / in->bytes : 0);
		if (r == HF_OK)
			r = read_more(in, failure);
	}
	hf_buffer_free(&out);
	return r;
}

static char *relay_line(const struct hf_cli *cli)
{
	const char *relay = hf_cli_option(cli, "relay");
	json_t *arguments = json_pack("{s:s}", "relay", relay ? relay : "main");
	char *line = arguments ? json_dumps(arguments, JSON_COMPACT) : NULL;
	json_decref(arguments);
	return line;
}

int hf_cli_relay_import(struct hf_cli *cli)
{
	struct importing in = {.cli = cli, .arguments = relay_line(cli)};
	struct hf_failure failure = {0};
	struct stat status;
	if (fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode))
		in.bytes_total = (uint64_t)status.st_size;
	if (isatty(STDIN_FILENO) == 1)
		fprintf(stderr, "Reading events from the terminal, one JSON object a line; end with Ctrl-D.\n");
	int r = in.arguments ? hf_cli_target_open(&in.target, cli, true, &failure) : hf_fail(&failure, HF_ENOMEM, "Out of memory.");
	if (r == HF_OK) {
		hf_progress_begin(&in.progress, &cli->env, "events");
		r = import_all(&in, &failure);
		hf_progress_end(&in.progress);
		hf_cli_target_close(&in.target);
		printf(cli->json ? "{\"stored\":%llu,\"duplicates\":%llu,\"refused\":%llu}\n"
			: "%llu stored, %llu known already, %llu refused\n", (unsigned long long)in.stored, (unsigned long long)in.duplicates,
			(unsigned long long)in.refused);
	}
	hf_buffer_free(&in.chunk);
	free(in.arguments);
	failure.code = r;
	return r < 0 ? hf_cli_fail(&failure) : HF_CLI_OK;
}

/* ---- Export ---- */

struct exporting {
	struct hf_progress progress;
	uint64_t count, bytes_written;
	struct hf_buffer tail; /* the last line seen, which may be the page's end mark */
};

static int write_lines(const void *data, size_t length)
{
	return length == 0 || fwrite(data, 1, length, stdout) == length ? HF_OK : HF_EIO;
}

/* All but the last line is events. */
static int flush_export(void *context, struct hf_buffer *out)
{
	int r = write_lines(out->data, out->length);
	hf_buffer_clear(out);
	return r;
}

static void show(void *context, uint64_t done, uint64_t total)
{
	struct exporting *e = context;
	hf_progress_show(&e->progress, done, total);
}

/* Writes a page without its last line, which says where the next begins; *next is -1 at the end. */
static int write_page(struct exporting *e, const struct hf_buffer *page, json_int_t *next)
{
	json_error_t error;
	const uint8_t *end = page->length > 1 ? memrchr(page->data, '\n', page->length - 1) : NULL;
	size_t events = end ? (size_t)(end - page->data) + 1 : 0;
	json_t *mark = json_loadb((const char *)page->data + events, page->length - events, 0, &error);
	json_t *position = json_object_get(mark, "next");
	*next = json_is_integer(position) ? json_integer_value(position) : -1;
	e->count += count_lines(page->data, events);
	bool known = position != NULL;
	json_decref(mark);
	return known ? write_lines(page->data, events) : HF_EMALFORMED;
}

int hf_cli_relay_export(struct hf_cli *cli)
{
	struct exporting e = {0};
	struct hf_cli_target target;
	struct hf_failure failure = {0};
	const char *relay = hf_cli_option(cli, "relay");
	json_int_t next = 0;
	int r = hf_cli_target_open(&target, cli, false, &failure);
	if (r == HF_OK) {
		hf_progress_begin(&e.progress, &cli->env, "events");
		target.flush = flush_export;
		target.progress = show;
		target.context = &e;
	}
	bool is_open = r == HF_OK;
	while (r == HF_OK && next >= 0) {
		struct hf_buffer page = {0};
		json_t *arguments = json_pack("{s:s, s:I}", "relay", relay ? relay : "main", "from", next);
		char *line = arguments ? json_dumps(arguments, JSON_COMPACT) : NULL;
		json_decref(arguments);
		r = line ? hf_cli_target_run(&target, "relay/export", line, (struct hf_slice){0}, &page, &failure) : HF_ENOMEM;
		if (r == HF_OK && (r = write_page(&e, &page, &next)) < 0)
			hf_fail(&failure, r, "Writing the events failed.");
		hf_progress_show(&e.progress, e.count, 0);
		free(line);
		hf_buffer_free(&page);
	}
	if (is_open) {
		hf_progress_end(&e.progress);
		hf_cli_target_close(&target);
	}
	if (r == HF_OK && fflush(stdout) != 0)
		r = hf_fail(&failure, HF_EIO, "Writing the events failed.");
	failure.code = r;
	return r < 0 ? hf_cli_fail(&failure) : HF_CLI_OK;
}
