/* drive_read: what is in a drive: ls, cat, get, diff and watch. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/drive.h"
#include "cli/follow.h"
#include "cli/terminal.h"

/* ---- Pages ---- */

/* {"next"} ends a page; it is NULL at the end of all. */
static int next_page(struct hf_cli_drive_walk *walk, struct hf_failure *failure)
{
	json_t *arguments = json_copy(walk->drive->arguments);
	json_object_update(arguments, walk->more);
	if (walk->after)
		json_object_set(arguments, "after", walk->after);
	hf_buffer_clear(&walk->page);
	walk->at = 0;
	walk->is_started = true;
	int r = hf_cli_core_run(&walk->drive->target, walk->action, arguments, (struct hf_slice){0}, &walk->page, failure);
	json_decref(arguments);
	return r;
}

static json_t *next_line(struct hf_cli_drive_walk *walk)
{
	const uint8_t *start = walk->page.data + walk->at;
	size_t left = walk->page.length - walk->at;
	const uint8_t *end = left ? memchr(start, '\n', left) : NULL;
	json_error_t error;
	if (!end)
		return NULL;
	walk->at += (size_t)(end + 1 - start);
	return json_loadb((const char *)start, (size_t)(end - start), JSON_ALLOW_NUL, &error);
}

/* A page begins behind the one before: a walk comes to its end. */
static bool is_behind(const json_t *next, const json_t *after)
{
	return !json_is_string(next) || strcmp(json_string_value(next), after ? json_string_value(after) : "") > 0;
}

json_t *hf_cli_drive_walk_next(struct hf_cli_drive_walk *walk, struct hf_failure *failure)
{
	while (!walk->is_last) {
		if (!walk->is_started && next_page(walk, failure) < 0)
			return NULL;
		json_t *line = next_line(walk), *next = json_object_get(line, "next");
		if (!line || (next && !is_behind(next, walk->after))) {
			failure->code = hf_fail(failure, HF_EMALFORMED, "The answer of the process that holds the data directory cannot be read.");
			json_decref(line);
			return NULL;
		}
		if (!next)
			return line;
		json_decref(walk->after);
		walk->after = json_incref(next);
		walk->is_last = !json_is_string(next);
		walk->is_started = false;
		json_decref(line);
	}
	return NULL;
}

void hf_cli_drive_walk_free(struct hf_cli_drive_walk *walk)
{
	json_decref(walk->more);
	json_decref(walk->after);
	hf_buffer_free(&walk->page);
}

/* ---- Printing ---- */

static void print_json(json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT);
	if (text)
		puts(text);
	free(text);
}

/* A path as a terminal can have it. */
static void print_text(const json_t *text)
{
	hf_terminal_text(stdout, hf_slice(json_string_value(text), json_string_length(text)));
}

/* "x  1.2 MiB  /path -> link" */
static void print_entry(const json_t *entry, const char *mark)
{
	const json_t *blob = json_object_get(entry, "blob"), *link = json_object_get(entry, "link"), *path = json_object_get(entry, "path");
	char size[32] = "";
	if (json_is_object(blob) && !json_is_true(json_object_get(blob, "blockMap")))
		hf_text_from_bytes(size, sizeof size, (uint64_t)json_integer_value(json_object_get(blob, "byteLength")));
	printf("%s%c %10s  ", mark, json_is_true(json_object_get(entry, "executable")) ? 'x' : json_is_string(link) ? 'l'
		: json_is_true(json_object_get(entry, "unreadable")) ? '!' : '-', size);
	print_text(path ? path : json_object_get(entry, "path_hex"));
	if (json_is_string(link)) {
		fputs(" -> ", stdout);
		print_text(link);
	}
	putchar('\n');
}

static void print_listed(json_t *entry)
{
	if (!json_is_true(json_object_get(entry, "is_folder"))) {
		print_entry(entry, "");
		return;
	}
	printf("d %10s  ", "");
	print_text(json_object_get(entry, "child"));
	puts("/");
}

/* ---- Ls ---- */

static int list(struct hf_cli_drive *drive, json_t *more)
{
	struct hf_cli_drive_walk walk = {.drive = drive, .action = "drive/list", .more = more};
	struct hf_failure failure = {0};
	json_t *entry;
	while ((entry = hf_cli_drive_walk_next(&walk, &failure)) != NULL) {
		if (drive->cli->json)
			print_json(entry);
		else
			print_listed(entry);
		json_decref(entry);
	}
	hf_cli_drive_walk_free(&walk);
	return failure.code < 0 ? hf_cli_core_fail(&failure) : HF_CLI_OK;
}

/* --ignore, which may be given again and again. */
static json_t *ignored(const struct hf_cli *cli)
{
	json_t *names = json_array();
	for (size_t i = 0; i < cli->option_count; i++)
		if (strcmp(cli->options[i].name, "ignore") == 0)
			json_array_append_new(names, json_string(cli->options[i].value));
	return names;
}

int hf_cli_drive_ls(struct hf_cli *cli)
{
	struct hf_cli_drive drive;
	int code = HF_CLI_USAGE;
	if (hf_cli_drive_read(cli, &drive) && hf_cli_drive_open(&drive, &code)) {
		code = list(&drive, json_pack("{s:s, s:b, s:o}", "folder", cli->argument_count > drive.next ? cli->arguments[drive.next] : "/",
			"shallow", !hf_cli_option(cli, "recursive"), "ignore", ignored(cli)));
		hf_cli_drive_close(&drive);
	}
	hf_cli_drive_free(&drive);
	return code;
}

/* ---- Cat, get ---- */

static int to_descriptor(void *context, struct hf_slice bytes)
{
	int descriptor = *(int *)context;
	while (bytes.length > 0) {
		ssize_t written = write(descriptor, bytes.data, bytes.length);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return hf_error_from_errno(errno);
		bytes = hf_slice(bytes.data + written, bytes.length - (size_t)written);
	}
	return HF_OK;
}

/* {"path"}, and what part of it. NULL: it has been said what is wrong. */
static json_t *read_range(const struct hf_cli_drive *drive)
{
	struct hf_cli *cli = drive->cli;
	uint64_t start, length;
	if (cli->argument_count <= drive->next) {
		hf_cli_core_usage(cli, "say which file.");
		return NULL;
	}
	if (!hf_cli_core_option_number(cli, "start", 0, &start) || !hf_cli_core_option_number(cli, "length", UINT64_MAX, &length))
		return NULL;
	json_t *more = json_pack("{s:s, s:b, s:I}", "path", cli->arguments[drive->next], "follow", true, "start", (json_int_t)start);
	if (length != UINT64_MAX)
		json_object_set_new(more, "length", json_integer((json_int_t)length));
	return more;
}

int hf_cli_drive_cat(struct hf_cli *cli)
{
	struct hf_cli_drive drive;
	struct hf_failure failure = {0};
	int code = HF_CLI_USAGE, descriptor = STDOUT_FILENO;
	json_t *more = hf_cli_drive_read(cli, &drive) ? read_range(&drive) : NULL;
	if (more && hf_cli_drive_open(&drive, &code)) {
		code = hf_cli_drive_copy(&drive, json_incref(more), to_descriptor, &descriptor, &failure) < 0 ? hf_cli_core_fail(&failure) : HF_CLI_OK;
		hf_cli_drive_close(&drive);
	}
	json_decref(more);
	hf_cli_drive_free(&drive);
	return code;
}

/* Into a file of its own beside the one that is meant, which takes its place when it is whole. */
static int get_file(struct hf_cli_drive *drive, json_t *more, const char *path, struct hf_failure *failure)
{
	json_t *entry = hf_cli_drive_ask(drive, "drive/entry", json_pack("{s:O, s:b}", "path", json_object_get(more, "path"), "follow", true),
		(struct hf_slice){0}, failure);
	mode_t mode = json_is_true(json_object_get(entry, "executable")) ? 0777 : 0666;
	char part[HF_PATH_BYTES_MAX];
	uint64_t unique;
	json_decref(entry);
	if (failure->code < 0)
		return failure->code;
	drive->cli->env.random(&drive->cli->env, &unique, sizeof unique);
	if (snprintf(part, sizeof part, "%s.%016llx.part", path, (unsigned long long)unique) >= (int)sizeof part)
		return failure->code = hf_fail(failure, HF_ETOOBIG, "The path of the file is too long.");
	int descriptor = open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (descriptor < 0)
		return failure->code = hf_fail(failure, hf_error_from_errno(errno), "The file %s cannot be made: %s.", part, strerror(errno));
	int r = hf_cli_drive_copy(drive, json_incref(more), to_descriptor, &descriptor, failure);
	if (close(descriptor) < 0 && r == HF_OK)
		r = hf_fail(failure, hf_error_from_errno(errno), "Writing %s failed: %s.", part, strerror(errno));
	if (r == HF_OK && rename(part, path) < 0)
		r = hf_fail(failure, hf_error_from_errno(errno), "The file %s cannot be made: %s.", path, strerror(errno));
	if (r < 0)
		unlink(part);
	return failure->code = r;
}

int hf_cli_drive_get(struct hf_cli *cli)
{
	struct hf_cli_drive drive;
	struct hf_failure failure = {0};
	int code = HF_CLI_USAGE;
	json_t *more = hf_cli_drive_read(cli, &drive) ? read_range(&drive) : NULL;
	if (more && hf_cli_drive_open(&drive, &code)) {
		const char *path = cli->arguments[drive.next], *slash = strrchr(path, '/'), *given = NULL;
		if (cli->argument_count > drive.next + 1)
			given = cli->arguments[drive.next + 1];
		code = get_file(&drive, more, given ? given : slash ? slash + 1 : path, &failure) < 0 ? hf_cli_core_fail(&failure) : HF_CLI_OK;
		hf_cli_drive_close(&drive);
	}
	json_decref(more);
	hf_cli_drive_free(&drive);
	return code;
}

/* ---- Diff, watch ---- */

static void print_difference(struct hf_cli *cli, json_t *difference)
{
	const json_t *before = json_object_get(difference, "before"), *after = json_object_get(difference, "after");
	if (cli->json) {
		print_json(difference);
		return;
	}
	if (json_is_object(before))
		print_entry(before, "- ");
	if (json_is_object(after))
		print_entry(after, "+ ");
}

/* What differs in a folder since a version, up to the one that the drive's arguments say. */
static int diff(struct hf_cli_drive *drive, uint64_t from, const char *folder, struct hf_failure *failure)
{
	struct hf_cli_drive_walk walk = {.drive = drive, .action = "drive/diff",
		.more = json_pack("{s:I, s:s}", "from", (json_int_t)from, "folder", folder)};
	json_t *difference;
	while ((difference = hf_cli_drive_walk_next(&walk, failure)) != NULL) {
		print_difference(drive->cli, difference);
		json_decref(difference);
	}
	hf_cli_drive_walk_free(&walk);
	fflush(stdout);
	return failure->code;
}

int hf_cli_drive_diff(struct hf_cli *cli)
{
	struct hf_cli_drive drive;
	struct hf_failure failure = {0};
	uint64_t from, to;
	const char *folder = hf_cli_option(cli, "folder");
	int code = HF_CLI_USAGE;
	if (!hf_cli_drive_read(cli, &drive) || !hf_cli_core_number(cli, drive.next, "FROM", &from) ||
		(cli->argument_count > drive.next + 1 && !hf_cli_core_number(cli, drive.next + 1, "TO", &to))) {
		hf_cli_drive_free(&drive);
		return code;
	}
	if (cli->argument_count > drive.next + 1)
		json_object_set_new(drive.arguments, "at", json_integer((json_int_t)to));
	if (hf_cli_drive_open(&drive, &code)) {
		code = diff(&drive, from, folder ? folder : "/", &failure) < 0 ? hf_cli_core_fail(&failure) : HF_CLI_OK;
		hf_cli_drive_close(&drive);
	}
	hf_cli_drive_free(&drive);
	return code;
}

struct watching {
	struct hf_cli_follow follow;
	struct hf_cli_drive drive;
	const char *folder;
	uint64_t version, fork;
	bool has_begun;
};

/* What differs from the version that was printed last. */
static int print_new(void *context, struct hf_failure *failure)
{
	struct watching *w = context;
	w->drive.target = w->follow.target;
	json_t *facts = hf_cli_drive_ask(&w->drive, "drive/info", json_object(), (struct hf_slice){0}, failure);
	uint64_t version = (uint64_t)json_integer_value(json_object_get(facts, "version"));
	uint64_t fork = (uint64_t)json_integer_value(json_object_get(facts, "fork"));
	int r = failure->code;
	json_decref(facts);
	if (r == HF_OK && w->has_begun && fork != w->fork)
		fprintf(stderr, "holdfast: the drive went back, to version %llu on fork %llu.\n", (unsigned long long)version,
			(unsigned long long)fork);
	if (r == HF_OK && w->has_begun && (version != w->version || fork != w->fork)) {
		json_object_set_new(w->drive.arguments, "at", json_integer((json_int_t)version));
		r = diff(&w->drive, w->version < version ? w->version : version, w->folder, failure);
		json_object_del(w->drive.arguments, "at");
	}
	/* The directory may be let go of after each look. */
	hf_drive_close(w->drive.kept);
	w->drive.kept = NULL;
	w->follow.target = w->drive.target;
	if (r < 0)
		return r;
	w->version = version;
	w->fork = fork;
	w->has_begun = true;
	return HF_OK;
}

int hf_cli_drive_watch(struct hf_cli *cli)
{
	struct watching w = {.folder = "/", .follow = {.cli = cli, .look = print_new, .context = &w}};
	int code = HF_CLI_USAGE;
	if (hf_cli_drive_read(cli, &w.drive)) {
		if (cli->argument_count > w.drive.next)
			w.folder = cli->arguments[w.drive.next];
		w.follow.is_open = hf_cli_core_is_remote(cli) && hf_cli_drive_open(&w.drive, &code);
		w.follow.target = w.drive.target;
		if (w.follow.is_open || !hf_cli_core_is_remote(cli))
			code = hf_cli_follow(&w.follow);
	}
	hf_cli_drive_free(&w.drive);
	return code;
}
