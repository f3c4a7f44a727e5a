/* What the store tells of itself: metrics, which its parts count as they work, and stats, which are added up when asked for.
 * Both are read while the store is in use, so numbers of one answer may be of slightly different moments. */
#include "store/state.h"

/* ---- Metrics ---- */

static int64_t read_corrupt(void *context)
{
	return (int64_t)atomic_load(&((struct hf_store *)context)->corrupt_count);
}

void hf_store_register_metrics(struct hf_store *store)
{
	struct hf_store_metrics *m = &store->metric;

	m->corrupt.read = read_corrupt;
	m->corrupt.context = store;
	hf_histogram_register(store->metrics, &m->commit_seconds, "holdfast_store_commit_seconds", "",
		"Time to write and sync a group of commits");
	hf_histogram_register(store->metrics, &m->sync_seconds, "holdfast_store_sync_seconds", "", "Time of a sync of the log");
	hf_counter_register(store->metrics, &m->groups, "holdfast_store_groups_total", "", "Groups written");
	hf_counter_register(store->metrics, &m->commits, "holdfast_store_commits_total", "", "Commits ended, failed ones too");
	hf_counter_register(store->metrics, &m->failed_groups, "holdfast_store_failed_groups_total", "", "Groups that could not be written");
	hf_counter_register(store->metrics, &m->written_bytes, "holdfast_store_written_bytes_total", "", "Bytes appended to the log");
	hf_gauge_register(store->metrics, &m->corrupt, "holdfast_store_corrupt", "", "Records and blocks that failed their checksum since open");
	hf_gauge_register(store->metrics, &m->log_bytes, "holdfast_store_log_bytes", "", "Bytes of log files at the last checkpoint");
	hf_gauge_register(store->metrics, &m->index_bytes, "holdfast_store_index_bytes", "", "Bytes of index files at the last checkpoint");
	hf_gauge_register(store->metrics, &m->frozen, "holdfast_store_frozen_memtables", "", "Memtables that wait to be sealed");
	hf_gauge_register(store->metrics, &m->live_permille, "holdfast_store_live_permille", "", "Live share of the log at the last checkpoint");
}

void hf_store_unregister_metrics(struct hf_store *store)
{
	struct hf_store_metrics *m = &store->metric;
	struct hf_metric_link *links[] = {
		&m->commit_seconds.link, &m->sync_seconds.link, &m->groups.link, &m->commits.link, &m->failed_groups.link,
		&m->written_bytes.link, &m->corrupt.link, &m->log_bytes.link, &m->index_bytes.link, &m->frozen.link, &m->live_permille.link,
	};

	for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
		hf_metric_unregister(store->metrics, links[i]);
}

/* ---- Stats ---- */

void hf_store_stats(struct hf_store *store, struct hf_store_stats *stats)
{
	struct hf_log_set *set = hf_log_pin(store->log);

	*stats = (struct hf_store_stats){.position = hf_store_position(store)};
	stats->log_segment_count = hf_log_set_count(set);
	for (size_t i = 0; i < hf_log_set_count(set); i++) {
		struct hf_log_segment_info info = hf_log_set_info(set, i);

		stats->log_bytes += info.file_bytes;
		stats->log_live_bytes += info.file_bytes > info.dead_bytes ? info.file_bytes - info.dead_bytes : 0;
	}
	hf_log_unpin(set);
	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX; i++) {
		struct hf_collection *collection = hf_collection_ref(store, i);
		uint64_t dead = 0;

		if (collection == NULL)
			continue;
		struct hf_index_view *view = hf_index_acquire(collection->index);

		if (view != NULL) {
			uint64_t count = hf_index_doc_count(view, &dead);

			stats->doc_count += count > dead ? count - dead : 0;
			stats->dead_count += dead;
			hf_index_view_release(view);
		}
		hf_collection_unref(collection);
	}
	stats->index_bytes = atomic_load(&store->index_bytes);
	stats->segment_count = atomic_load(&store->index_segment_count);
	pthread_rwlock_rdlock(&store->tables.lock);
	stats->table_bytes = store->tables.bytes;
	pthread_rwlock_unlock(&store->tables.lock);
	stats->disk_bytes = atomic_load(&store->disk_bytes);
	stats->commit_count = atomic_load(&store->commit_count);
	stats->group_count = atomic_load(&store->group_count);
	stats->sync_count = atomic_load(&store->sync_count);
	stats->written_bytes = atomic_load(&store->written_bytes);
	stats->corrupt_count = atomic_load(&store->corrupt_count);
	stats->replayed_records = store->replayed_records;
	stats->replay_us = store->replay_us;
	stats->write_status = atomic_load(&store->write_status);
}
