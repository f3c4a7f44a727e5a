/* drive: which drive is meant, where it is, and the commands that print what one action tells. */
#include "cli/drive.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/terminal.h"
#include "codec/core_key.h"

bool hf_cli_drive_read(struct hf_cli *cli, struct hf_cli_drive *drive)
{
	uint64_t version;
	*drive = (struct hf_cli_drive){.cli = cli, .target = {.directory = {.lock_descriptor = -1}}};
	if (!hf_cli_core_option_number(cli, "at", UINT64_MAX, &version))
		return false;
	drive->arguments = hf_cli_core_arguments(cli, &drive->next);
	if (drive->arguments && version != UINT64_MAX)
		json_object_set_new(drive->arguments, "at", json_integer((json_int_t)version));
	return drive->arguments != NULL;
}

void hf_cli_drive_free(struct hf_cli_drive *drive)
{
	json_decref(drive->arguments);
	drive->arguments = NULL;
}

/* ---- Where it is ---- */

static int keep_open(struct hf_cli_drive *drive, struct hf_corestore *cores, const uint8_t *key, struct hf_failure *failure)
{
	struct hf_drive_options options = {.size = sizeof options, .cores = cores, .key = key};
	const char *encryption_key = json_string_value(json_object_get(drive->arguments, "encryption_key"));
	uint8_t bytes[32];
	if (encryption_key && hf_cli_core_hex(bytes, encryption_key, sizeof bytes))
		options.encryption_key = bytes;
	return hf_drive_open(&drive->kept, &options, failure);
}

static void on_ready(struct hf_bee_waiter *waiter, int status)
{
	(void)status;
	*(bool *)waiter->context = true;
}

/* Without its encryption key, an encrypted drive can be kept and passed on, but not read: the core of its blobs follows from the other. */
static int join_blind(struct hf_cli_drive *drive, struct hf_failure *failure)
{
	struct hf_core *core = drive->remote.core, *blobs;
	uint8_t key[HF_CORE_KEY_BYTES];
	struct hf_core_options options = {.size = sizeof options, .key = key};
	int r = hf_core_manifest(core) ? hf_drive_blobs_key(hf_core_manifest(core), hf_core_key(core), key) : HF_EINVAL;
	if (r < 0)
		return hf_fail(failure, r, "The core is no drive, or one whose blobs cannot be found without its encryption key.");
	r = hf_corestore_get(hf_core_node_cores(drive->remote.node), &options, &blobs, failure);
	if (r < 0)
		return r;
	r = hf_cli_remote_join(&drive->remote, blobs, failure);
	hf_core_unref(blobs);
	return r;
}

/* Opens the drive at the peer, and finds the core of its blobs: the first block of the bee tells which it is. */
static int find_blobs(struct hf_cli_drive *drive, struct hf_bee_waiter *waiter, bool *is_ready, struct hf_failure *failure)
{
	bool waits = drive->remote.endpoint.keeps;
	int r = keep_open(drive, hf_core_node_cores(drive->remote.node), hf_core_key(drive->remote.core), failure);
	while (r == HF_OK && ((r = hf_drive_ready(drive->kept)) == HF_EWAIT || (r == HF_ENOTFOUND && waits))) {
		*is_ready = r == HF_ENOTFOUND;
		r = *is_ready ? hf_cli_remote_turn(&drive->remote, failure) : hf_bee_wait(hf_drive_bee(drive->kept), waiter);
		while (r == HF_OK && !*is_ready)
			r = hf_cli_remote_turn(&drive->remote, failure);
	}
	return r;
}

static int join_blobs(struct hf_cli_drive *drive, struct hf_failure *failure)
{
	bool is_ready = false, is_blind = !json_object_get(drive->arguments, "encryption_key") &&
		(hf_cli_option(drive->cli, "live") || hf_cli_option(drive->cli, "all"));
	struct hf_bee_waiter waiter = {.ready = on_ready, .context = &is_ready};
	int r = find_blobs(drive, &waiter, &is_ready, failure);
	if (drive->kept)
		hf_bee_wait_cancel(&waiter);
	/* A connection that was lost, say, has its sentence. */
	if (failure->text[0])
		return r;
	if (r == HF_EMALFORMED && is_blind)
		return join_blind(drive, failure);
	if (r == HF_ENOTFOUND)
		return hf_fail(failure, r, "The drive is empty, so far.");
	if (r == HF_EMALFORMED)
		return hf_fail(failure, r, "The core is no drive, or it is encrypted: its first block is not the header of a drive's.");
	return r == HF_OK ? hf_cli_remote_join(&drive->remote, hf_drive_blobs(drive->kept), failure) : r;
}

bool hf_cli_drive_open(struct hf_cli_drive *drive, int *code)
{
	struct hf_failure failure = {0};
	if (!drive->is_remote && !hf_cli_core_is_remote(drive->cli)) {
		failure.code = hf_cli_target_open(&drive->target, drive->cli, false, &failure);
		*code = failure.code < 0 ? hf_cli_fail(&failure) : HF_CLI_OK;
		return failure.code == HF_OK;
	}
	if (!hf_cli_remote_open(&drive->remote, drive->cli, drive->arguments, code))
		return false;
	drive->target = (struct hf_cli_target){.cli = drive->cli, .remote = &drive->remote, .directory = {.lock_descriptor = -1}};
	failure.code = join_blobs(drive, &failure);
	if (failure.code == HF_OK)
		return true;
	*code = hf_cli_core_fail(&failure);
	hf_cli_drive_close(drive);
	return false;
}

void hf_cli_drive_close(struct hf_cli_drive *drive)
{
	hf_drive_close(drive->kept);
	drive->kept = NULL;
	hf_cli_target_close(&drive->target);
}

json_t *hf_cli_drive_ask(struct hf_cli_drive *drive, const char *action, json_t *more, struct hf_slice data, struct hf_failure *failure)
{
	struct hf_buffer out = {0};
	json_error_t error;
	json_t *arguments = json_copy(drive->arguments), *answer = NULL;
	int r = arguments && more && json_object_update(arguments, more) == 0 ? HF_OK : hf_fail(failure, HF_ENOMEM, "Out of memory.");
	if (r == HF_OK)
		r = hf_cli_core_run(&drive->target, action, arguments, data, &out, failure);
	if (r == HF_OK)
		answer = json_loadb((const char *)out.data, out.length, JSON_ALLOW_NUL, &error);
	if (r == HF_OK && !answer)
		r = hf_fail(failure, HF_EMALFORMED, "The answer of the process that holds the data directory cannot be read.");
	/* From now on the cores stay open. */
	if (r == HF_OK && !drive->kept && drive->target.cores) {
		struct hf_failure ignored = {0};
		struct hf_cli_drive *d = drive;
		const char *key = json_string_value(json_object_get(answer, "key"));
		uint8_t bytes[HF_CORE_KEY_BYTES];
		if (key && hf_core_key_decode(bytes, hf_slice_text(key)) == HF_OK)
			keep_open(d, drive->target.cores, bytes, &ignored);
	}
	failure->code = r;
	json_decref(arguments);
	json_decref(more);
	hf_buffer_free(&out);
	return answer;
}

/* ---- One action ---- */

int hf_cli_drive_create(struct hf_cli *cli)
{
	return hf_cli_core_create_as(cli, "drive/create");
}

int hf_cli_drive_info(struct hf_cli *cli)
{
	return hf_cli_core_info_as(cli, "drive/info");
}

/* Prints an answer as it is, or as a sentence made of its numbers. */
static int finish(struct hf_cli_drive *drive, json_t *answer, const char *sentence, const char *number, const struct hf_failure *failure)
{
	if (!answer)
		return hf_cli_core_fail(failure);
	if (drive->cli->json)
		hf_terminal_json(answer);
	else
		printf(sentence, (long long)json_integer_value(json_object_get(answer, number)),
			(long long)json_integer_value(json_object_get(answer, "version")));
	json_decref(answer);
	return HF_CLI_OK;
}

/* The paths after KEY, as the file of each, or as they are. */
static json_t *paths(const struct hf_cli_drive *drive, bool are_deleted)
{
	json_t *list = json_array();
	for (unsigned i = drive->next; i < drive->cli->argument_count; i++) {
		json_t *path = json_string(drive->cli->arguments[i]);
		json_array_append_new(list, are_deleted && path ? json_pack("{s:o, s:b}", "path", path, "del", true) : path);
	}
	return list;
}

/* The drive of a command on paths, open. False with the exit code: it has been said why, with `ask` when none is named. */
static bool open_for_paths(struct hf_cli *cli, struct hf_cli_drive *drive, const char *ask, int *code)
{
	*code = HF_CLI_USAGE;
	if (!hf_cli_drive_read(cli, drive))
		return false;
	if (cli->argument_count <= drive->next)
		hf_cli_core_usage(cli, ask);
	else if (hf_cli_drive_open(drive, code))
		return true;
	hf_cli_drive_free(drive);
	return false;
}

int hf_cli_drive_rm(struct hf_cli *cli)
{
	struct hf_cli_drive drive;
	struct hf_failure failure = {0};
	int code;
	if (!open_for_paths(cli, &drive, "say which file.", &code))
		return code;
	json_t *answer = hf_cli_drive_ask(&drive, "drive/change", json_pack("{s:o}", "files", paths(&drive, true)), (struct hf_slice){0},
		&failure);
	json_int_t missing = json_integer_value(json_object_get(answer, "missing"));
	code = finish(&drive, answer, "%lld deleted; the drive is at version %lld\n", "deleted", &failure);
	if (missing > 0) {
		fprintf(stderr, "holdfast: %lld of them were not in the drive.\n", (long long)missing);
		code = HF_CLI_FAILED;
	}
	hf_cli_drive_close(&drive);
	hf_cli_drive_free(&drive);
	return code;
}

int hf_cli_drive_clear(struct hf_cli *cli)
{
	struct hf_cli_drive drive;
	struct hf_failure failure = {0};
	int code;
	if (!open_for_paths(cli, &drive, "say of which file.", &code))
		return code;
	json_t *answer = hf_cli_drive_ask(&drive, "drive/clear", json_pack("{s:o}", "paths", paths(&drive, false)), (struct hf_slice){0},
		&failure);
	code = finish(&drive, answer, "the blocks of %lld files are not held any more\n", "cleared", &failure);
	hf_cli_drive_close(&drive);
	hf_cli_drive_free(&drive);
	return code;
}

int hf_cli_drive_truncate(struct hf_cli *cli)
{
	struct hf_cli_drive drive;
	struct hf_failure failure = {0};
	uint64_t version;
	int code = HF_CLI_USAGE;
	if (hf_cli_drive_read(cli, &drive) && hf_cli_core_number(cli, drive.next, "VERSION", &version) && hf_cli_drive_open(&drive, &code)) {
		json_t *answer = hf_cli_drive_ask(&drive, "drive/truncate", json_pack("{s:I}", "version", (json_int_t)version), (struct hf_slice){0},
			&failure);
		code = finish(&drive, answer, "the drive is on fork %lld, at version %lld\n", "fork", &failure);
		hf_cli_drive_close(&drive);
	}
	hf_cli_drive_free(&drive);
	return code;
}
