/* A checkpoint in order: note `applied` and `committed`; let the indexes write their dead marks and say what they consist of;
 * write tables and blocks when due; sync the log, so that no derived file knows of a record that a power cut could
 * take; then the manifest; then remove what only older manifests named. */
#include "store/manifest.h"
#include "store/writer.h"

#include <stdio.h>
#include <stdlib.h>

#define SEGMENTS_MAX 4096
#define TABLE_SNAPSHOT_EVERY_BYTES (64u << 20) /* of log */

struct checkpoint {
	struct hf_store *store;
	struct hf_manifest manifest;
	uint64_t committed, applied, floor; /* floor: marks of dead documents are missing from there on */
	bool all;
	uint32_t old_table_file;
	struct hf_collection *collections[HF_STORE_COLLECTION_COUNT_MAX];
	uint64_t index_bytes;
};

static void lower(uint64_t *value, uint64_t other)
{
	if (other < *value)
		*value = other;
}

static int add_index(struct checkpoint *c, uint32_t number, struct hf_index_checkpoint *segments)
{
	uint64_t position = UINT64_MAX, limit;
	size_t count = 0;
	int status = hf_index_checkpoint(c->collections[number]->index, segments, SEGMENTS_MAX, &count, &position);

	if (status != HF_OK)
		return status;
	if (count > SEGMENTS_MAX)
		return HF_ETOOBIG;
	limit = c->committed < c->applied ? c->committed : c->applied;
	/* What was put and sealed since `applied` was noted: memory is sealed in order, so a replay must not put it again. */
	for (size_t i = 0; i < count; i++)
		if (segments[i].info.position_max >= limit)
			limit = segments[i].info.position_max + 1;
	lower(&position, limit);
	c->manifest.collection_present[number] = true;
	c->manifest.collection_position[number] = position;
	lower(&c->manifest.replay, position);
	for (size_t i = 0; i < count; i++) {
		struct hf_manifest_segment *segment = hf_manifest_add_segment(&c->manifest);

		if (segment == NULL)
			return HF_ENOMEM;
		*segment = (struct hf_manifest_segment){
			.collection = number, .dead_generation = segments[i].dead_generation, .info = segments[i].info};
		c->index_bytes += segments[i].info.file_bytes;
	}
	return HF_OK;
}

static int add_indexes(struct checkpoint *c)
{
	struct hf_index_checkpoint *segments = malloc(SEGMENTS_MAX * sizeof *segments);
	int status = segments == NULL ? HF_ENOMEM : HF_OK;

	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX && status == HF_OK; i++) {
		c->collections[i] = hf_collection_ref(c->store, i);
		if (c->collections[i] != NULL)
			status = add_index(c, i, segments);
	}
	free(segments);
	return status;
}

static int table_path(struct hf_store *store, uint32_t number, char path[static HF_PATH_BYTES_MAX])
{
	char name[24];

	snprintf(name, sizeof name, "%08x.tbl", number);
	return hf_path_join(path, store->table_directory, name);
}

static int write_tables(struct checkpoint *c)
{
	struct hf_store *store = c->store;
	uint32_t number = atomic_fetch_add(&store->next_file_number, 1);
	char path[HF_PATH_BYTES_MAX];
	struct hf_buffer file = {0};
	uint64_t position;
	int status = hf_tables_encode(&store->tables, store->uuid, &position, &file);

	if (status == HF_OK)
		status = table_path(store, number, path);
	if (status == HF_OK)
		status = hf_fs_replace(store->env->fs, path, file.data, file.length);
	if (status == HF_OK) {
		store->table_file = number;
		store->table_file_position = c->applied > position ? c->applied : position;
		store->table_file_bytes = file.length;
	}
	hf_buffer_free(&file);
	return status;
}

static int add_tables(struct checkpoint *c)
{
	struct hf_store *store = c->store;
	int status = HF_OK;

	pthread_rwlock_rdlock(&store->tables.lock);
	bool dirty = store->tables.position > store->table_file_position;

	pthread_rwlock_unlock(&store->tables.lock);
	c->old_table_file = store->table_file;
	if (!dirty) /* nothing was changed below `applied`: the file that there is says it all */
		store->table_file_position = c->applied;
	else if (c->all || c->applied > store->table_file_position + TABLE_SNAPSHOT_EVERY_BYTES)
		status = write_tables(c);
	c->manifest.table_file = store->table_file;
	c->manifest.table_position = store->table_file_position;
	lower(&c->manifest.replay, store->table_file_position);
	return status;
}

static int add_blocks(struct checkpoint *c)
{
	struct hf_store *store = c->store;
	uint32_t runs[HF_BLOCKS_RUNS_MAX * 2];
	uint64_t position;
	size_t count = 0;
	int status = hf_blocks_checkpoint(store->blocks, c->all, c->applied, runs, sizeof runs / sizeof runs[0], &count, &position);

	for (size_t i = 0; i < count && status == HF_OK; i++) {
		uint32_t *run = hf_manifest_add_run(&c->manifest);

		if (run == NULL)
			return HF_ENOMEM;
		*run = runs[i];
	}
	c->manifest.block_position = position;
	lower(&c->manifest.replay, position);
	return status;
}

static int add_logs(struct checkpoint *c)
{
	struct hf_log_set *set = hf_log_pin(c->store->log);
	int status = HF_OK;

	for (size_t i = 0; i < hf_log_set_count(set) && status == HF_OK; i++) {
		struct hf_log_segment_info *info = hf_manifest_add_log(&c->manifest);

		if (info == NULL)
			status = HF_ENOMEM;
		else
			*info = hf_log_set_info(set, i);
	}
	hf_log_unpin(set);
	return status;
}

/* A second MANIFEST, for when the first rots. Without it the store is whole, so a failure here is none of the checkpoint's. */
static void write_copy(struct hf_store *store, struct hf_slice text)
{
	char path[HF_PATH_BYTES_MAX];

	if (hf_path_join(path, store->directory, "MANIFEST.copy") == HF_OK)
		hf_fs_replace(store->env->fs, path, text.data, text.length);
}

static int write_manifest(struct checkpoint *c)
{
	struct hf_store *store = c->store;
	struct hf_manifest *m = &c->manifest;
	char path[HF_PATH_BYTES_MAX];
	struct hf_buffer text = {0};
	int status = hf_log_sync(store->log);

	if (status == HF_OK)
		status = add_logs(c);
	memcpy(m->uuid, store->uuid, sizeof m->uuid);
	m->seed = store->seed;
	m->next_file = atomic_load(&store->next_file_number);
	m->synced = hf_log_synced(store->log);
	m->counted = c->applied < c->floor ? c->applied : c->floor;
	if (status == HF_OK && atomic_load(&store->incomplete))
		status = HF_ENOMEM;
	if (status == HF_OK)
		status = hf_manifest_print(m, &text);
	if (status == HF_OK)
		status = hf_path_join(path, store->directory, "MANIFEST");
	if (status == HF_OK)
		status = hf_fs_replace(store->env->fs, path, text.data, text.length);
	if (status == HF_OK)
		write_copy(store, hf_buffer_slice(&text));
	hf_buffer_free(&text);
	return status;
}

/* A quiet collection may hold back the place where a replay begins: its memtable is frozen, then sealed. */
static void hurry_quiet(struct checkpoint *c)
{
	bool wake = false;

	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX; i++) {
		if (c->collections[i] == NULL || c->manifest.collection_position[i] + HF_STORE_REPLAY_BYTES_MAX >= c->committed)
			continue;
		atomic_store(&c->collections[i]->freeze_wanted, true);
		wake = true;
	}
	if (wake && c->store->writer != NULL)
		hf_writer_wake(c->store);
}

void hf_store_unlink_later(struct hf_store *store, const char *path)
{
	struct hf_old_file *file = malloc(sizeof *file + strlen(path) + 1);

	if (file == NULL)
		return; /* the next open sweeps it up */
	strcpy(file->path, path);
	file->next = store->old_files;
	store->old_files = file;
}

int hf_store_forget_files(struct hf_store *store, struct hf_collection *collection)
{
	struct hf_index_checkpoint *segments = malloc(SEGMENTS_MAX * sizeof *segments);
	char name[48], path[HF_PATH_BYTES_MAX];
	uint64_t position;
	size_t count = 0;
	int status;

	if (store->read_only || segments == NULL) {
		free(segments);
		return store->read_only ? HF_OK : HF_ENOMEM;
	}
	pthread_mutex_lock(&store->checkpoint_lock);
	status = hf_index_checkpoint(collection->index, segments, SEGMENTS_MAX, &count, &position);
	for (size_t i = 0; i < count && i < SEGMENTS_MAX && status == HF_OK; i++) {
		snprintf(name, sizeof name, "%08x.idx", segments[i].info.number);
		if (hf_path_join(path, store->index_directory, name) == HF_OK)
			hf_store_unlink_later(store, path);
		snprintf(name, sizeof name, "%08x.dead-%u", segments[i].info.number, segments[i].dead_generation);
		if (segments[i].dead_generation != 0 && hf_path_join(path, store->index_directory, name) == HF_OK)
			hf_store_unlink_later(store, path);
	}
	pthread_mutex_unlock(&store->checkpoint_lock);
	free(segments);
	return status;
}

static void unlink_old(struct hf_store *store)
{
	while (store->old_files != NULL) {
		struct hf_old_file *file = store->old_files;

		store->old_files = file->next;
		store->env->fs->unlink(store->env->fs, file->path);
		free(file);
	}
}

static void release_old(struct checkpoint *c)
{
	struct hf_store *store = c->store;
	char path[HF_PATH_BYTES_MAX];

	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX; i++)
		if (c->collections[i] != NULL)
			hf_index_release_old(c->collections[i]->index);
	hf_blocks_release_old(store->blocks);
	unlink_old(store);
	if (c->old_table_file != 0 && c->old_table_file != store->table_file && table_path(store, c->old_table_file, path) == HF_OK)
		store->env->fs->unlink(store->env->fs, path);
	atomic_store(&store->replay_position, c->manifest.replay);
	atomic_store(&store->index_bytes, c->index_bytes);
	atomic_store(&store->index_segment_count, c->manifest.segment_count);
	hf_store_count_disk(store);
}

void hf_store_count_disk(struct hf_store *store)
{
	uint64_t log_bytes = 0, dead_bytes = 0, index_bytes = atomic_load(&store->index_bytes);
	struct hf_log_set *set = hf_log_pin(store->log);
	unsigned frozen = 0;

	for (size_t i = 0; i < hf_log_set_count(set); i++) {
		struct hf_log_segment_info info = hf_log_set_info(set, i);

		log_bytes += info.file_bytes;
		dead_bytes += info.dead_bytes;
	}
	hf_log_unpin(set);
	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX; i++) {
		struct hf_collection *collection = hf_collection_ref(store, i);

		frozen += collection == NULL ? 0 : hf_index_frozen_count(collection->index);
		hf_collection_unref(collection);
	}
	atomic_store(&store->disk_bytes, log_bytes + index_bytes + store->table_file_bytes + hf_blocks_file_bytes(store->blocks));
	hf_gauge_set(&store->metric.log_bytes, (int64_t)log_bytes);
	hf_gauge_set(&store->metric.index_bytes, (int64_t)index_bytes);
	hf_gauge_set(&store->metric.frozen, frozen);
	hf_gauge_set(&store->metric.live_permille, log_bytes <= dead_bytes ? 0 : (int64_t)((log_bytes - dead_bytes) * 1000 / log_bytes));
}

int hf_store_checkpoint_locked(struct hf_store *store, bool all)
{
	struct checkpoint c = {.store = store, .all = all};
	int status;

	atomic_store(&store->manifest_wanted, false);
	c.applied = atomic_load_explicit(&store->applied, memory_order_acquire);
	c.committed = atomic_load_explicit(&store->committed, memory_order_acquire);
	c.floor = hf_kills_floor(&store->kills);
	c.manifest.format = HF_STORE_FORMAT_VERSION;
	c.manifest.replay = c.applied;
	lower(&c.manifest.replay, c.floor);
	status = add_indexes(&c);
	if (status == HF_OK)
		status = add_tables(&c);
	if (status == HF_OK)
		status = add_blocks(&c);
	if (status == HF_OK)
		status = write_manifest(&c);
	if (status == HF_OK) {
		release_old(&c);
		hurry_quiet(&c);
	} else {
		atomic_store(&store->manifest_wanted, true);
		hf_log_warn(&hf_store_module, "a checkpoint failed; it is tried again", "error=%s", hf_error_name(status));
	}
	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX; i++)
		hf_collection_unref(c.collections[i]);
	hf_manifest_free(&c.manifest);
	return status;
}

int hf_store_checkpoint(struct hf_store *store, bool all)
{
	int status;

	if (store->read_only)
		return HF_OK;
	pthread_mutex_lock(&store->checkpoint_lock);
	status = hf_store_checkpoint_locked(store, all);
	pthread_mutex_unlock(&store->checkpoint_lock);
	return status;
}
