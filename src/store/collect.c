/* The segment is read through a pin, what is alive goes to a new generation, and the manifest switches to it; a segment in which
 * nothing is alive is removed. The old file
 * is unlinked then; readers that pinned it keep it open. Written at a bounded rate, so that commits find the disk free. */
#include "store/collect.h"

#include <time.h>

#define RATE_BYTES_PER_SECOND (64u << 20)
#define NAP_EVERY_BYTES (1u << 20)
#define GARBAGE_PART_MIN 16 /* of a whole segment: less is not worth a file */

struct collection_run {
	struct hf_store *store;
	struct hf_log_set *set;
	size_t segment;
	struct hf_log_segment_info info;
	struct hf_snapshot snapshot;
	uint64_t written, kept;
};

static bool is_empty(const struct hf_log_segment_info *info)
{
	return info->generation > 0 && info->file_bytes <= HF_LOG_EMPTY_FILE_BYTES;
}

static bool pick(struct collection_run *run, unsigned live_percent)
{
	uint64_t replay = atomic_load(&run->store->replay_position), best = 0;

	for (size_t i = 0; i + 1 < hf_log_set_count(run->set); i++) {
		struct hf_log_segment_info info = hf_log_set_info(run->set, i);
		uint64_t share = info.dead_bytes * 1000 / info.file_bytes;

		if (is_empty(&info)) { /* as older programs left them */
			run->segment = i;
			run->info = info;
			break;
		}
		if (info.base + info.length > replay || info.dead_bytes == 0 || share < (100 - live_percent) * 10u || share < best)
			continue;
		if (live_percent < 100 && info.dead_bytes < run->store->log_segment_bytes / GARBAGE_PART_MIN)
			continue;
		best = share;
		run->segment = i;
		run->info = info;
		if (live_percent == 100)
			break; /* from the front: deletions can go once their victims have */
	}
	return run->info.number != 0;
}

static int is_here(void *context, uint64_t position)
{
	return position == *(uint64_t *)context ? HF_OK : HF_ENOTFOUND;
}

static int doc_lives(struct collection_run *run, const struct hf_log_record *record, bool *lives)
{
	uint64_t position = record->position;
	uint8_t id[HF_STORE_ID_BYTES];
	struct hf_index_hit hit;
	int status;
	struct hf_index_view *view = hf_snapshot_view(&run->snapshot, record->stream, &status);

	*lives = false;
	if (view == NULL)
		return status;
	if (hf_store_identify(run->store, record->stream, record->payload, id) != HF_OK) {
		*lives = true; /* not understood is not garbage */
		return HF_OK;
	}
	status = hf_index_find(view, id, UINT64_MAX, HF_READ_BLOCKING, is_here, &position, &hit);
	*lives = status == HF_OK && hit.position == record->position;
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static int block_lives(struct collection_run *run, const struct hf_log_record *record, bool *lives)
{
	uint64_t values[2], position, bytes;
	struct hf_slice rest;
	int status;

	*lives = true;
	if (!hf_record_read_varints(record->payload, values, 2, &rest))
		return HF_OK;
	status = hf_blocks_find(run->store->blocks, values[0], values[1], HF_READ_BLOCKING, &position, &bytes);
	*lives = status == HF_OK && position == record->position;
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static bool victim_remains(struct collection_run *run, const struct hf_log_record *record)
{
	struct hf_record_delete gone;
	uint64_t bytes;

	if (!hf_record_read_delete(record->payload, &gone))
		return false;
	if (gone.position >= run->info.base && gone.position < run->info.base + run->info.length)
		return false; /* dead, so this rewrite leaves it out too */
	return hf_log_record_size(run->set, gone.position, &bytes) != HF_ENOTFOUND;
}

static int record_lives(struct collection_run *run, const struct hf_log_record *record, bool *lives)
{
	switch (record->type) {
	case HF_RECORD_DOC: return doc_lives(run, record, lives);
	case HF_RECORD_BLOCK: return block_lives(run, record, lives);
	case HF_RECORD_DELETE: *lives = victim_remains(run, record); return HF_OK;
	case HF_RECORD_DROP: *lives = run->segment > 0; return HF_OK; /* what it drops may be in front of it */
	default: *lives = false; return HF_OK;
	}
}

static void nap(struct collection_run *run)
{
	struct timespec pause = {.tv_nsec = (long)((uint64_t)NAP_EVERY_BYTES * 1000000000 / RATE_BYTES_PER_SECOND)};

	if (run->written < NAP_EVERY_BYTES || run->store->no_background)
		return;
	run->written = 0;
	nanosleep(&pause, NULL);
}

static int copy_live(struct collection_run *run, struct hf_log_rewrite *rewrite)
{
	struct hf_log_reader reader;
	struct hf_log_record record;
	int status;

	hf_log_reader_start(&reader, run->set, run->segment, 0);
	while ((status = hf_log_reader_next(&reader, &record)) == HF_OK) {
		bool lives;

		status = record_lives(run, &record, &lives);
		if (status == HF_OK && lives) {
			status = hf_log_rewrite_keep(rewrite, &record);
			run->kept += hf_log_record_bytes(record.payload.length);
			run->written += hf_log_record_bytes(record.payload.length);
		}
		if (status != HF_OK)
			break;
		nap(run);
	}
	hf_log_reader_free(&reader);
	return status == HF_ENOTFOUND ? HF_OK : status;
}

/* The new file takes the place of the old one; when nothing lives, none does. */
static int switch_over(struct collection_run *run, struct hf_log_rewrite *rewrite)
{
	struct hf_store *store = run->store;
	char name[32], path[HF_PATH_BYTES_MAX];
	int status;

	hf_log_file_name(run->info.number, run->info.generation, name);
	pthread_mutex_lock(&store->checkpoint_lock);
	status = run->kept > 0 ? hf_log_rewrite_install(rewrite) : hf_log_remove_segment(store->log, run->info.number);
	if (status == HF_OK && hf_path_join(path, store->log_directory, name) == HF_OK)
		hf_store_unlink_later(store, path);
	if (status == HF_OK)
		status = hf_store_checkpoint_locked(store, false);
	pthread_mutex_unlock(&store->checkpoint_lock);
	return status;
}

static int rewrite_segment(struct collection_run *run)
{
	struct hf_log_rewrite *rewrite;
	int status = hf_log_rewrite_begin(&rewrite, run->store->log, &run->info);

	if (status != HF_OK)
		return status;
	status = copy_live(run, rewrite);
	if (status == HF_OK && run->kept > 0)
		status = hf_log_rewrite_finish(rewrite);
	if (status == HF_OK)
		status = switch_over(run, rewrite);
	hf_log_rewrite_free(rewrite);
	return status;
}

int hf_collect_one(struct hf_store *store, unsigned live_percent, bool wait)
{
	struct collection_run run = {.store = store};
	int status = 0;

	if (wait)
		pthread_mutex_lock(&store->collect_lock);
	else if (pthread_mutex_trylock(&store->collect_lock) != 0)
		return 0;
	run.set = hf_log_pin(store->log);
	if (!store->read_only && pick(&run, live_percent)) {
		hf_snapshot_init(&run.snapshot, store, hf_store_position(store));
		status = rewrite_segment(&run);
		hf_snapshot_clear(&run.snapshot);
		if (status == HF_OK)
			hf_log_info(&hf_store_module, "log segment collected", "segment=%u before_bytes=%llu after_bytes=%llu", run.info.number,
				(unsigned long long)run.info.file_bytes, (unsigned long long)run.kept);
		else
			hf_log_warn(&hf_store_module, "a log segment could not be collected", "segment=%u error=%s", run.info.number,
				hf_error_name(status));
		if (status == HF_ECORRUPT)
			hf_log_set_dead(store->log, run.info.number, 0); /* what is left of it stays where it is */
		status = status == HF_OK ? 1 : status;
	}
	hf_log_unpin(run.set);
	pthread_mutex_unlock(&store->collect_lock);
	return status;
}
