/* mirror: a folder and a drive made equal, as the package mirror-drive does it: what is not in the source is removed from the target,
 * unless it is told to keep it; files are compared by size and then by content, and links by what they say. */
#include "cli/mirror.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FAILURES_SHOWN_MAX 20

/* ---- Telling ---- */

void hf_mirror_tell(struct hf_mirror *m, const char *what, struct hf_slice name, uint64_t bytes)
{
	m->added += what[0] == 'a';
	m->changed += what[0] == 'c';
	m->removed += what[0] == 'r';
	m->bytes += what[0] == 'r' ? 0 : bytes;
	if (!m->cli->json && !m->is_dry && !hf_cli_option(m->cli, "verbose"))
		return;
	hf_progress_end(&m->progress);
	if (!m->cli->json) {
		printf("%c ", what[0] == 'a' ? '+' : what[0] == 'c' ? '~' : '-');
		hf_terminal_text(stdout, name);
		putchar('\n');
		return;
	}
	json_t *line = json_pack("{s:s, s:s%, s:I}", "op", what, "path", (const char *)name.data, name.length, "bytes", (json_int_t)bytes);
	char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	if (text)
		puts(text);
	free(text);
	json_decref(line);
}

/* Those of one file are told and passed over; a full disk, say, ends it. */
int hf_mirror_fail(struct hf_mirror *m, const struct hf_failure *failure)
{
	bool is_of_one = failure->code == HF_EDENIED || failure->code == HF_EEXISTS || failure->code == HF_EINVAL || failure->code == HF_ETOOBIG ||
		failure->code == HF_ENOTFOUND || failure->code == HF_EMALFORMED || failure->code == HF_EBUSY;
	if (!is_of_one || m->is_over) {
		m->failure = *failure;
		return failure->code;
	}
	hf_progress_end(&m->progress);
	if (m->failed++ < FAILURES_SHOWN_MAX)
		hf_terminal_fail(failure->text);
	else if (m->failed == FAILURES_SHOWN_MAX + 1)
		fprintf(stderr, "…further files that fail are only counted\n");
	return HF_OK;
}

void hf_mirror_show(struct hf_mirror *m, uint64_t more_bytes)
{
	m->done_bytes += more_bytes;
	hf_progress_show(&m->progress, m->done_bytes, m->total_bytes);
}

bool hf_mirror_is_ignored(const struct hf_mirror *m, struct hf_slice name)
{
	json_t *value;
	size_t i;
	json_array_foreach(m->ignored, i, value) {
		size_t length = json_string_length(value);
		if (name.length >= length && memcmp(name.data, json_string_value(value), length) == 0 &&
			(name.length == length || name.data[length] == '/'))
			return true;
	}
	return false;
}

/* ---- Comparing ---- */

struct comparing {
	struct hf_mirror *mirror;
	int descriptor;
	uint64_t at;
	bool is_same;
	struct hf_buffer bytes;
};

static int compare_bytes(void *context, struct hf_slice bytes)
{
	struct comparing *c = context;
	hf_buffer_clear(&c->bytes);
	if (hf_buffer_reserve(&c->bytes, bytes.length) < 0)
		return HF_ENOMEM;
	while (c->bytes.length < bytes.length) {
		ssize_t got = pread(c->descriptor, c->bytes.data + c->bytes.length, bytes.length - c->bytes.length,
			(off_t)(c->at + c->bytes.length));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return hf_error_from_errno(errno);
		if (got == 0)
			break;
		c->bytes.length += (size_t)got;
	}
	c->at += bytes.length;
	c->is_same = hf_slice_equal(hf_buffer_slice(&c->bytes), bytes);
	hf_progress_show(&c->mirror->progress, c->mirror->done_bytes + c->at, c->mirror->total_bytes);
	return c->is_same ? HF_OK : HF_ECANCELED;
}

int hf_mirror_same_content(struct hf_mirror *m, json_t *blob, int descriptor, uint64_t length, bool *is_same, struct hf_failure *failure)
{
	struct comparing c = {.mirror = m, .descriptor = descriptor, .is_same = true};
	json_t *more = json_pack("{s:O}", "blob", blob);
	char byte;
	if (length != UINT64_MAX)
		json_object_set_new(more, "length", json_integer((json_int_t)length));
	int r = hf_cli_drive_copy(&m->drive, more, compare_bytes, &c, failure);
	if (r == HF_ECANCELED && !c.is_same) {
		*failure = (struct hf_failure){0};
		r = HF_OK;
	}
	if (r == HF_OK && c.is_same && length != UINT64_MAX)
		c.is_same = c.at == length;
	else if (r == HF_OK && c.is_same)
		c.is_same = pread(descriptor, &byte, 1, (off_t)c.at) == 0;
	*is_same = c.is_same;
	hf_buffer_free(&c.bytes);
	return r;
}

uint64_t hf_mirror_size(const json_t *entry)
{
	return (uint64_t)json_integer_value(json_object_get(json_object_get(entry, "blob"), "byteLength"));
}

static int compare_file(struct hf_mirror *m, struct hf_slice name, const json_t *in_drive, const struct hf_folder_entry *in_folder,
	bool *is_same, struct hf_failure *failure)
{
	json_t *blob = json_object_get(in_drive, "blob");
	int descriptor, r;
	*is_same = !json_is_object(blob) && in_folder->size == 0;
	if (!json_is_object(blob) || (!json_is_true(json_object_get(blob, "blockMap")) && hf_mirror_size(in_drive) != in_folder->size))
		return HF_OK;
	r = hf_folder_read(&m->folder, name, &descriptor, failure);
	if (r < 0)
		return r;
	r = hf_mirror_same_content(m, blob, descriptor, UINT64_MAX, is_same, failure);
	close(descriptor);
	return r;
}

int hf_mirror_compare(struct hf_mirror *m, struct hf_slice name, const json_t *in_drive, const struct hf_folder_entry *in_folder,
	enum hf_mirror_difference *out, struct hf_failure *failure)
{
	const json_t *link = json_object_get(in_drive, "link");
	bool is_same = false;
	int r = HF_OK;
	*out = HF_MIRROR_OTHER;
	if (!in_drive || json_is_true(json_object_get(in_drive, "unreadable")))
		return r;
	if (json_is_string(link) || in_folder->type == HF_FOLDER_LINK)
		is_same = json_is_string(link) && in_folder->type == HF_FOLDER_LINK &&
			hf_slice_equal(hf_buffer_slice(&in_folder->link), hf_slice(json_string_value(link), json_string_length(link)));
	else if (in_folder->type == HF_FOLDER_FILE)
		r = compare_file(m, name, in_drive, in_folder, &is_same, failure);
	if (is_same)
		*out = !json_is_string(link) && json_is_true(json_object_get(in_drive, "executable")) != in_folder->is_executable ? HF_MIRROR_MODE
			: HF_MIRROR_SAME;
	return r;
}

json_t *hf_mirror_find(struct hf_mirror *m, struct hf_slice name, struct hf_failure *failure)
{
	json_t *entry = hf_cli_drive_ask(&m->drive, "drive/entry", json_pack("{s:s%}", "path", (const char *)name.data, name.length),
		(struct hf_slice){0}, failure);
	if (failure->code == HF_ENOTFOUND)
		*failure = (struct hf_failure){0};
	return entry;
}

/* ---- The command ---- */

/* --ignore, normalised, so that a name in the folder can be compared with it. */
static bool read_ignored(struct hf_mirror *m)
{
	m->ignored = json_array();
	for (size_t i = 0; i < m->cli->option_count; i++) {
		struct hf_buffer name = {0};
		if (strcmp(m->cli->options[i].name, "ignore") != 0)
			continue;
		bool ok = json_array_size(m->ignored) < HF_DRIVE_IGNORE_COUNT_MAX &&
			hf_drive_name(hf_slice_text(m->cli->options[i].value), &name) == HF_OK;
		if (ok)
			json_array_append_new(m->ignored, json_stringn((const char *)name.data, name.length));
		hf_buffer_free(&name);
		if (!ok) {
			hf_cli_core_usage(m->cli, "--ignore is the path of a file or folder, of which there are 64 at most.");
			return false;
		}
	}
	return true;
}

static void print_result(const struct hf_mirror *m)
{
	if (m->cli->json) {
		printf("{\"files\":%llu,\"added\":%llu,\"changed\":%llu,\"removed\":%llu,\"failed\":%llu,\"bytes\":%llu}\n", (unsigned long long)m->files,
			(unsigned long long)m->added, (unsigned long long)m->changed, (unsigned long long)m->removed, (unsigned long long)m->failed,
			(unsigned long long)m->bytes);
		return;
	}
	printf("%llu files: %llu %s, %llu changed, %llu removed", (unsigned long long)m->files, (unsigned long long)m->added,
		m->is_dry ? "to be added" : "added", (unsigned long long)m->changed, (unsigned long long)m->removed);
	if (m->failed)
		printf(", %llu failed", (unsigned long long)m->failed);
	putchar('\n');
}

static int run(struct hf_mirror *m, const char *into, const char *from)
{
	enum hf_folder_missing missing = !into ? HF_FOLDER_MISSING_FAILS : m->is_dry ? HF_FOLDER_MISSING_IS_EMPTY : HF_FOLDER_MISSING_IS_MADE;
	int code, r;
	if (!hf_cli_drive_open(&m->drive, &code))
		return code;
	/* Also keeps the drive's cores open. */
	json_t *facts = hf_cli_drive_ask(&m->drive, "drive/info", json_object(), (struct hf_slice){0}, &m->failure);
	r = m->failure.code;
	if (r == HF_OK && from && !json_is_true(json_object_get(facts, "writable")))
		r = hf_fail(&m->failure, HF_EDENIED, "The drive cannot be changed: its secret key is not in this data directory.");
	json_decref(facts);
	if (r == HF_OK && (r = hf_folder_open(&m->folder, into ? into : from, missing, &m->failure)) == HF_OK) {
		m->folder.syncs = m->syncs;
		hf_progress_begin(&m->progress, &m->cli->env, "bytes");
		r = into ? hf_mirror_into_folder(m) : hf_mirror_into_drive(m);
		hf_progress_end(&m->progress);
		hf_folder_close(&m->folder);
		if (r == HF_OK)
			print_result(m);
	}
	m->failure.code = r;
	code = r < 0 ? hf_cli_core_fail(&m->failure) : m->failed ? HF_CLI_FAILED : HF_CLI_OK;
	hf_cli_drive_close(&m->drive);
	return code;
}

int hf_cli_drive_mirror(struct hf_cli *cli)
{
	const char *into = hf_cli_option(cli, "to"), *from = hf_cli_option(cli, "from");
	struct hf_mirror m = {.cli = cli, .is_dry = hf_cli_option(cli, "dry-run") != NULL, .keeps = hf_cli_option(cli, "keep") != NULL,
		.syncs = hf_cli_option(cli, "disk") != NULL, .folder = {.root = -1, .directory = -1}};
	int code = HF_CLI_USAGE;
	if (!into == !from)
		return hf_cli_core_usage(cli, "say --to FOLDER, to make it what the drive is, or --from FOLDER, to make the drive what it is.");
	if (from && (hf_cli_core_is_remote(cli) || hf_cli_option(cli, "at")))
		return hf_cli_core_usage(cli, "--tcp, --bootstrap and --at are of drives that are read: they go with --to.");
	if (hf_cli_drive_read(cli, &m.drive) && read_ignored(&m))
		code = run(&m, into, from);
	json_decref(m.ignored);
	hf_cli_drive_free(&m.drive);
	return code;
}
