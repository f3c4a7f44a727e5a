/* drive_fetch: a drive, or some of its files, from a peer. The bee is fetched whole, and of the blobs those blocks that files of the
 * present version have; with --all or --live all of both cores. */
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "cli/drive.h"
#include "cli/terminal.h"
#include "codec/core_key.h"

#define PART_COUNT 64 /* ranges that are fetched at a time */

struct part {
	struct hf_download download;
	struct fetching *fetching;
	bool is_running;
};

struct fetching {
	struct hf_cli_drive drive;
	struct part parts[PART_COUNT];
	size_t running_count;
	uint64_t from, to;      /* of the blobs' blocks: gathered, and not asked for yet */
	uint64_t file_count;
	struct hf_progress progress;
};

/* ---- Blocks ---- */

static void part_done(struct hf_download *download)
{
	struct part *part = HF_CONTAINER_OF(download, struct part, download);
	part->is_running = false;
	part->fetching->running_count--;
}

static struct hf_replicator_stats stats_of(const struct fetching *f)
{
	struct hf_replicator_stats stats, others = {0};
	hf_replication_stats(f->drive.remote.replication, &stats);
	if (f->drive.remote.other_replication)
		hf_replication_stats(f->drive.remote.other_replication, &others);
	stats.blocks_received += others.blocks_received;
	stats.bytes_received += others.bytes_received;
	return stats;
}

static int turn_until(struct fetching *f, size_t running_max, struct hf_failure *failure)
{
	int r = HF_OK;
	while (r == HF_OK && f->running_count > running_max) {
		r = hf_cli_remote_turn(&f->drive.remote, failure);
		hf_progress_show(&f->progress, stats_of(f).blocks_received, 0);
	}
	return r;
}

static int start_part(struct fetching *f, struct hf_replication *replication, uint64_t from, uint64_t to, struct hf_failure *failure)
{
	int r = from < to ? turn_until(f, PART_COUNT - 1, failure) : HF_OK;
	if (r < 0 || from >= to)
		return r;
	struct part *part = f->parts;
	while (part->is_running)
		part++;
	*part = (struct part){.download = {.from = from, .to = to, .done = part_done}, .fetching = f, .is_running = true};
	f->running_count++;
	hf_download_start(replication, &part->download);
	return HF_OK;
}

static void cancel_parts(struct fetching *f)
{
	for (size_t i = 0; i < PART_COUNT; i++)
		if (f->parts[i].is_running)
			hf_download_cancel(&f->parts[i].download);
}

/* ---- Files ---- */

static int flush_range(struct fetching *f, struct hf_failure *failure)
{
	int r = start_part(f, f->drive.remote.other_replication, f->from, f->to, failure);
	f->from = f->to = 0;
	return r;
}

static int drop_bytes(void *context, struct hf_slice bytes)
{
	(void)context;
	(void)bytes;
	return HF_OK;
}

/* Blobs that lie side by side are fetched as one range. Those with a map are read, which fetches them. */
static int fetch_file(struct fetching *f, const json_t *entry, struct hf_failure *failure)
{
	json_t *blob = json_object_get(entry, "blob");
	uint64_t from = (uint64_t)json_integer_value(json_object_get(blob, "blockOffset"));
	uint64_t to = from + (uint64_t)json_integer_value(json_object_get(blob, "blockLength"));
	f->file_count++;
	if (json_is_true(json_object_get(blob, "blockMap")))
		return hf_cli_drive_copy(&f->drive, json_pack("{s:O}", "blob", blob), drop_bytes, NULL, failure);
	if (!json_is_object(blob) || from == to)
		return HF_OK;
	int r = from == f->to ? HF_OK : flush_range(f, failure);
	if (f->from == f->to)
		f->from = from;
	f->to = to;
	return r;
}

static int fetch_folder(struct fetching *f, const char *folder, struct hf_failure *failure)
{
	struct hf_cli_drive_walk walk = {.drive = &f->drive, .action = "drive/list", .more = json_pack("{s:s}", "folder", folder)};
	json_t *entry;
	int r = HF_OK;
	while (r == HF_OK && (entry = hf_cli_drive_walk_next(&walk, failure)) != NULL) {
		r = fetch_file(f, entry, failure);
		json_decref(entry);
	}
	hf_cli_drive_walk_free(&walk);
	return r == HF_OK ? failure->code : r;
}

static bool is_root(const char *path)
{
	struct hf_buffer name = {0};
	bool is_empty = hf_drive_folder(hf_slice_text(path), &name) == HF_OK && name.length == 0;
	hf_buffer_free(&name);
	return is_empty;
}

/* A path is a file, or a folder, or both. */
static int fetch_path(struct fetching *f, const char *path, struct hf_failure *failure)
{
	uint64_t before = f->file_count;
	if (is_root(path))
		return fetch_folder(f, path, failure);
	json_t *entry = hf_cli_drive_ask(&f->drive, "drive/entry", json_pack("{s:s, s:b}", "path", path, "follow", true), (struct hf_slice){0},
		failure);
	int r = failure->code == HF_ENOTFOUND ? HF_OK : failure->code;
	if (entry)
		r = fetch_file(f, entry, failure);
	json_decref(entry);
	failure->code = r;
	if (r == HF_OK)
		r = fetch_folder(f, path, failure);
	if (r == HF_OK && f->file_count == before)
		r = hf_fail(failure, HF_ENOTFOUND, "There is no \"%.120s\" in the drive.", path);
	return r;
}

static int fetch_files(struct fetching *f, struct hf_failure *failure)
{
	const struct hf_cli *cli = f->drive.cli;
	int r = start_part(f, f->drive.remote.replication, 0, hf_core_length(f->drive.remote.core), failure);
	if (r == HF_OK && cli->argument_count <= f->drive.next)
		r = fetch_folder(f, "/", failure);
	for (unsigned i = f->drive.next; r == HF_OK && i < cli->argument_count; i++)
		r = fetch_path(f, cli->arguments[i], failure);
	if (r == HF_OK)
		r = flush_range(f, failure);
	return r == HF_OK ? turn_until(f, 0, failure) : r;
}

static int fetch_all(struct fetching *f, bool is_live, struct hf_failure *failure)
{
	struct hf_cli_remote *remote = &f->drive.remote;
	int r = start_part(f, remote->replication, 0, is_live ? UINT64_MAX : hf_core_length(remote->core), failure);
	if (r == HF_OK)
		r = start_part(f, remote->other_replication, 0, is_live ? UINT64_MAX : hf_core_length(remote->other), failure);
	if (r == HF_OK)
		r = turn_until(f, 0, failure);
	return is_live && r == HF_ECANCELED ? HF_OK : r;
}

/* ---- The command ---- */

static void print_result(const struct fetching *f, bool is_whole)
{
	struct hf_replicator_stats stats = stats_of(f);
	const struct hf_core *core = f->drive.remote.core;
	char id[HF_CORE_ID_BYTES];
	hf_core_key_encode(id, hf_core_key(core));
	if (f->drive.cli->json)
		printf("{\"key\":\"%s\",\"version\":%llu,\"files\":%llu,\"blocks_fetched\":%llu,\"bytes_fetched\":%llu}\n", id,
			(unsigned long long)hf_core_length(core), (unsigned long long)f->file_count, (unsigned long long)stats.blocks_received,
			(unsigned long long)stats.bytes_received);
	else if (is_whole)
		printf("%s: version %llu, all blocks; %llu fetched\n", id, (unsigned long long)hf_core_length(core),
			(unsigned long long)stats.blocks_received);
	else
		printf("%s: version %llu, %llu files; %llu blocks fetched\n", id, (unsigned long long)hf_core_length(core),
			(unsigned long long)f->file_count, (unsigned long long)stats.blocks_received);
}

int hf_cli_drive_fetch(struct hf_cli *cli)
{
	struct fetching *f = calloc(1, sizeof *f);
	struct hf_failure failure = {0};
	bool is_live = hf_cli_option(cli, "live") != NULL, is_whole = is_live || hf_cli_option(cli, "all");
	int code = HF_CLI_USAGE;
	if (!f)
		return HF_CLI_FAILED;
	if (!hf_cli_drive_read(cli, &f->drive)) {
		free(f);
		return code;
	}
	f->drive.is_remote = true;
	if (hf_cli_drive_open(&f->drive, &code)) {
		hf_progress_begin(&f->progress, &cli->env, "blocks");
		failure.code = is_whole ? fetch_all(f, is_live, &failure) : fetch_files(f, &failure);
		hf_progress_end(&f->progress);
		cancel_parts(f);
		if (failure.code == HF_OK)
			print_result(f, is_whole);
		code = failure.code < 0 ? hf_cli_core_fail(&failure) : HF_CLI_OK;
		hf_cli_drive_close(&f->drive);
	}
	hf_cli_drive_free(&f->drive);
	free(f);
	return code;
}
