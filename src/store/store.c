/* Opening puts the parts together from the manifest and lets recovery bring them up to the end of the log; closing brings
 * everything in memory to the disk, so that the next open replays nothing. */
#include "base/options.h"
#include "store/upgrade.h"
#include "store/writer.h"

#include <stdio.h>
#include <stdlib.h>

struct hf_log_module hf_store_module = HF_LOG_MODULE("store");

#define LOG_SEGMENT_BYTES_DEFAULT (256u << 20)
#define LOG_SEGMENT_BYTES_MAX (1u << 30) /* extents count in 32 bits, and a group may pass the limit */
#define MEMTABLE_DOCS_DEFAULT 8192
#define SYNC_INTERVAL_MS_DEFAULT 1000
#define TABLE_FILE_BYTES_MAX ((size_t)4 << 30)

/* ---- Open ---- */

static int take_options(struct hf_store *store, const struct hf_store_options *given, struct hf_failure *failure)
{
	struct hf_store_options own, *o = &own;
	int status = hf_options_take(o, sizeof *o, given);

	if (status != HF_OK)
		return hf_fail(failure, status, "the options of the store: %s", hf_error_text(status));
	if (o->directory == NULL || o->env == NULL || o->schema.describe == NULL)
		return hf_fail(failure, HF_EINVAL, "the options of the store are not complete");
	if (strlen(o->directory) >= sizeof store->directory)
		return hf_fail(failure, HF_ETOOBIG, "the path of the store is longer than %zu bytes", sizeof store->directory - 1);
	store->env = o->env;
	store->schema = o->schema;
	store->metrics = o->metrics;
	store->quota_bytes = o->quota_bytes;
	store->sync_interval_ms = o->sync_interval_ms != 0 ? o->sync_interval_ms : SYNC_INTERVAL_MS_DEFAULT;
	store->log_segment_bytes = o->log_segment_bytes != 0 ? o->log_segment_bytes : LOG_SEGMENT_BYTES_DEFAULT;
	if (store->log_segment_bytes > LOG_SEGMENT_BYTES_MAX)
		store->log_segment_bytes = LOG_SEGMENT_BYTES_MAX;
	store->memtable_docs_max = o->memtable_docs_max != 0 ? o->memtable_docs_max : MEMTABLE_DOCS_DEFAULT;
	store->read_only = o->read_only;
	store->no_background = o->no_background;
	strcpy(store->directory, o->directory);
	snprintf(store->log_directory, sizeof store->log_directory, "%s/log", o->directory);
	snprintf(store->index_directory, sizeof store->index_directory, "%s/index", o->directory);
	snprintf(store->table_directory, sizeof store->table_directory, "%s/table", o->directory);
	snprintf(store->block_directory, sizeof store->block_directory, "%s/block", o->directory);
	return HF_OK;
}

static int make_directories(struct hf_store *store, struct hf_failure *failure)
{
	const char *paths[] = {store->directory, store->log_directory, store->index_directory, store->table_directory, store->block_directory};
	char parent[HF_PATH_BYTES_MAX];
	char *slash;
	bool made = false;

	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		int status = store->env->fs->make_directory(store->env->fs, paths[i], 0700);

		if (status != HF_OK && status != HF_EEXISTS)
			return hf_fail(failure, status, "%s cannot be created (%s)", paths[i], hf_error_text(status));
		made |= status == HF_OK;
	}
	if (!made)
		return HF_OK;
	snprintf(parent, sizeof parent, "%s", store->directory);
	slash = strrchr(parent, '/');
	if (slash != NULL && slash != parent)
		*slash = '\0';
	int status = hf_fs_sync_directory(store->env->fs, store->directory);

	if (status == HF_OK)
		status = hf_fs_sync_directory(store->env->fs, slash == NULL ? "." : slash == parent ? "/" : parent);
	return status == HF_OK ? HF_OK : hf_fail(failure, status, "%s cannot be synced (%s)", store->directory, hf_error_text(status));
}

static int open_log(struct hf_store *store, const struct hf_manifest *m, struct hf_failure *failure)
{
	struct hf_log_options options = {
		.fs = store->env->fs, .directory = store->log_directory, .segment_bytes_max = store->log_segment_bytes,
		.read_only = store->read_only, .corrupt_count = &store->corrupt_count,
	};

	memcpy(options.uuid, store->uuid, sizeof options.uuid);
	return hf_log_open(&store->log, &options, m->logs, m->log_count, failure);
}

static void block_dead(void *context, uint64_t position, uint64_t record_bytes)
{
	hf_log_count_dead(((struct hf_store *)context)->log, position, record_bytes);
}

static int open_blocks(struct hf_store *store, const struct hf_manifest *m, struct hf_failure *failure)
{
	struct hf_blocks_options options = {
		.fs = store->env->fs, .directory = store->block_directory, .corrupt_count = &store->corrupt_count,
		.next_number = &store->next_file_number, .dead = block_dead, .context = store,
	};

	memcpy(options.uuid, store->uuid, sizeof options.uuid);
	return hf_blocks_open(&store->blocks, &options, m->runs, m->run_count, m->block_position, failure);
}

static int open_tables(struct hf_store *store, const struct hf_manifest *m, struct hf_failure *failure)
{
	char name[24], path[HF_PATH_BYTES_MAX];
	struct hf_buffer file = {0};
	int status;

	store->table_file = m->table_file;
	store->table_file_position = m->table_position;
	if (m->table_file == 0)
		return HF_OK;
	snprintf(name, sizeof name, "%08x.tbl", m->table_file);
	status = hf_path_join(path, store->table_directory, name);
	if (status == HF_OK)
		status = hf_fs_read_all(store->env->fs, path, TABLE_FILE_BYTES_MAX, &file);
	if (status == HF_OK)
		status = hf_tables_decode(&store->tables, store->uuid, hf_buffer_slice(&file));
	store->table_file_bytes = file.length;
	hf_buffer_free(&file);
	store->tables.position = m->table_position;
	if (status != HF_OK)
		return hf_fail(failure, status == HF_ENOTFOUND ? HF_ECORRUPT : status,
			"table/%s cannot be read: its checksum at the end of the file does not match, or it is missing (%s); restore the store from a backup",
			name, hf_error_text(status));
	return HF_OK;
}

static int open_collection(struct hf_store *store, const struct hf_manifest *m, uint32_t number, struct hf_failure *failure)
{
	struct hf_index_segment_info *infos = calloc(m->segment_count + 1, sizeof *infos);
	struct hf_collection *collection;
	size_t count = 0;
	int status;

	if (infos == NULL)
		return hf_fail(failure, HF_ENOMEM, "out of memory");
	for (size_t i = 0; i < m->segment_count; i++)
		if (m->segments[i].collection == number)
			infos[count++] = m->segments[i].info;
	status = hf_collection_new(&collection, store, number, infos, count, failure);
	free(infos);
	if (status != HF_OK)
		return status;
	collection->position = m->collection_position[number];
	hf_collection_publish(store, number, collection);
	for (size_t i = 0; i < m->segment_count && status == HF_OK; i++)
		if (m->segments[i].collection == number && m->segments[i].dead_generation != 0)
			status = hf_index_load_dead(collection->index, m->segments[i].info.number, m->segments[i].dead_generation, failure);
	return status;
}

/* An index that cannot be opened costs time, not documents: it begins empty and is made anew once the log is read. */
static int begin_anew(struct hf_store *store, uint32_t number, struct hf_failure *failure)
{
	struct hf_collection *collection;
	int status;

	atomic_fetch_add(&store->corrupt_count, 1);
	hf_log_error(&hf_store_module, "an index cannot be read and is made anew from the log", "collection=%u reason=\"%s\"", number,
		failure->text);
	status = hf_collection_new(&collection, store, number, NULL, 0, failure);
	if (status != HF_OK)
		return status;
	hf_collection_publish(store, number, collection);
	store->rebuild_wanted[number] = true;
	return HF_OK;
}

static int open_parts(struct hf_store *store, const struct hf_manifest *m, struct hf_failure *failure)
{
	int status;

	memcpy(store->uuid, m->uuid, sizeof store->uuid);
	store->seed = m->seed;
	store->next_file_number = m->next_file;
	store->replay_position = m->replay;
	for (size_t i = 0; i < m->segment_count; i++)
		store->index_bytes += m->segments[i].info.file_bytes;
	store->index_segment_count = m->segment_count;
	status = open_log(store, m, failure);
	if (status == HF_OK)
		status = open_blocks(store, m, failure);
	if (status == HF_OK)
		status = open_tables(store, m, failure);
	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX && status == HF_OK; i++)
		if (m->collection_present[i]) {
			struct hf_failure reason = {0};

			status = open_collection(store, m, i, &reason);
			if (status == HF_ECORRUPT || status == HF_ENOTFOUND)
				status = begin_anew(store, i, &reason);
			if (status != HF_OK)
				hf_fail(failure, status, "%s", reason.text[0] ? reason.text : hf_error_text(status));
		}
	return status;
}

/* ---- Open, the whole ---- */

static int grown_log(void *context, const char *name)
{
	struct hf_store *store = context;
	char path[HF_PATH_BYTES_MAX];
	struct hf_file file;
	uint64_t size = 0;
	size_t length = strlen(name);

	if (length < 4 || strcmp(name + length - 4, ".log") != 0 || hf_path_join(path, store->log_directory, name) != HF_OK ||
	    hf_file_open(store->env->fs, &file, path, HF_FILE_READ) != HF_OK)
		return 0;
	hf_file_size(&file, &size);
	hf_file_close(&file);
	return size > HF_LOG_FILE_HEADER_BYTES;
}

static int create_store(struct hf_store *store, struct hf_failure *failure)
{
	struct hf_manifest m = {.next_file = 1};
	int status;

	if (store->read_only)
		return hf_fail(failure, HF_ENOTFOUND, "there is no store in %s", store->directory);
	if (store->env->fs->list(store->env->fs, store->log_directory, grown_log, store) != 0)
		return hf_fail(failure, HF_ECORRUPT, "%s has log files but no MANIFEST; restore the store from a backup", store->directory);
	store->env->random(store->env, m.uuid, sizeof m.uuid);
	store->env->random(store->env, &m.seed, sizeof m.seed);
	status = open_parts(store, &m, failure);
	if (status != HF_OK)
		return status;
	store->committed = store->applied = store->replay_position = hf_log_end(store->log);
	status = hf_store_checkpoint(store, false);
	return status == HF_OK ? HF_OK : hf_fail(failure, status, "the new store in %s cannot be written (%s)",
		store->directory, hf_error_text(status));
}

static int load_store(struct hf_store *store, const struct hf_manifest *m, struct hf_failure *failure)
{
	int status = open_parts(store, m, failure);

	if (status == HF_OK)
		status = hf_store_recover(store, m->replay, m->synced, m->counted, failure);
	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX && status == HF_OK; i++)
		if (store->rebuild_wanted[i]) {
			status = hf_store_rebuild_at_open(store, i);
			if (status != HF_OK)
				hf_fail(failure, status, "the index of collection %u cannot be made anew (%s)", i, hf_error_text(status));
		}
	return status;
}

static int read_manifest(struct hf_store *store, const char *name, struct hf_manifest *m, struct hf_failure *failure)
{
	char path[HF_PATH_BYTES_MAX];
	struct hf_buffer text = {0};
	int status = hf_path_join(path, store->directory, name);

	if (status == HF_OK)
		status = hf_fs_read_all(store->env->fs, path, HF_MANIFEST_BYTES_MAX, &text);
	if (status == HF_OK)
		status = hf_manifest_parse(m, hf_buffer_slice(&text), failure);
	else
		hf_fail(failure, status, "%s cannot be read (%s)", path, hf_error_text(status));
	hf_buffer_free(&text);
	return status;
}

/* The copy stands in for a MANIFEST that rotted. It may be one write behind, so nothing is deleted on its word. */
static int open_by_copy(struct hf_store *store, int status, struct hf_failure *failure)
{
	struct hf_manifest m;

	if (read_manifest(store, "MANIFEST.copy", &m, NULL) != HF_OK)
		return status == HF_ENOTFOUND ? create_store(store, failure) : status;
	atomic_fetch_add(&store->corrupt_count, 1);
	hf_log_error(&hf_store_module, "MANIFEST cannot be read; its copy is used", "reason=\"%s\"", failure ? failure->text : "");
	if (failure != NULL)
		*failure = (struct hf_failure){0};
	status = hf_store_upgrade(store, "MANIFEST.copy", &m, hf_upgrade_steps, HF_STORE_FORMAT_VERSION, failure);
	if (status == HF_OK)
		status = load_store(store, &m, failure);
	hf_manifest_free(&m);
	atomic_store(&store->manifest_wanted, true);
	return status;
}

static void store_free(struct hf_store *store)
{
	hf_background_stop(store);
	hf_writer_free(store);
	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX; i++)
		hf_collection_unref(store->collections[i]);
	hf_kills_free(&store->kills);
	hf_blocks_close(store->blocks);
	hf_tables_free(&store->tables);
	hf_log_close(store->log);
	hf_store_unregister_metrics(store);
	pthread_mutex_destroy(&store->lock);
	pthread_mutex_destroy(&store->checkpoint_lock);
	pthread_mutex_destroy(&store->collect_lock);
	while (store->old_files != NULL) {
		struct hf_old_file *file = store->old_files;

		store->old_files = file->next;
		free(file);
	}
	free(store);
}

static int start(struct hf_store *store, struct hf_failure *failure)
{
	struct hf_manifest m;
	int status = store->read_only ? HF_OK : make_directories(store, failure);

	if (status != HF_OK)
		return status;
	status = read_manifest(store, "MANIFEST", &m, failure);
	if (status == HF_OK) {
		status = hf_store_upgrade(store, "MANIFEST", &m, hf_upgrade_steps, HF_STORE_FORMAT_VERSION, failure);
		if (status == HF_OK) {
			hf_store_sweep(store, &m);
			status = load_store(store, &m, failure);
		}
		hf_manifest_free(&m);
	} else if (status == HF_ECORRUPT || status == HF_ENOTFOUND) {
		status = open_by_copy(store, status, failure);
	}
	if (status == HF_OK)
		status = hf_writer_start(store);
	if (status == HF_OK)
		status = hf_background_start(store);
	if (status != HF_OK && failure != NULL && failure->text[0] == '\0')
		hf_fail(failure, status, "the store's threads cannot be started (%s)", hf_error_text(status));
	return status;
}

int hf_store_open(struct hf_store **out, const struct hf_store_options *options, struct hf_failure *failure)
{
	struct hf_store *store = calloc(1, sizeof *store);
	int status;

	if (failure != NULL)
		*failure = (struct hf_failure){0};
	if (store == NULL)
		return hf_fail(failure, HF_ENOMEM, "out of memory");
	pthread_mutex_init(&store->lock, NULL);
	pthread_mutex_init(&store->checkpoint_lock, NULL);
	pthread_mutex_init(&store->collect_lock, NULL);
	hf_kills_init(&store->kills);
	status = hf_tables_init(&store->tables);
	if (status == HF_OK)
		status = take_options(store, options, failure);
	hf_store_register_metrics(store);
	if (status == HF_OK)
		status = start(store, failure);
	if (status != HF_OK) {
		hf_writer_stop(store, false);
		store_free(store);
		return status;
	}
	hf_store_count_disk(store);
	*out = store;
	return HF_OK;
}

/* ---- Close ---- */

static int seal_everything(struct hf_store *store)
{
	int status = HF_OK;

	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX && status == HF_OK; i++) {
		struct hf_collection *collection = store->collections[i];

		if (collection == NULL)
			continue;
		if (collection->memtable_docs > 0)
			status = hf_index_freeze(collection->index);
		if (status == HF_OK)
			collection->memtable_docs = 0;
		do
			status = status < 0 ? status : hf_index_work(collection->index, HF_INDEX_SEAL);
		while (status == 1);
	}
	return status;
}

void hf_store_close(struct hf_store *store)
{
	int status = HF_OK;

	if (store == NULL)
		return;
	hf_writer_stop(store, true);
	hf_background_stop(store);
	if (!store->read_only) {
		hf_kills_settle(store, true);
		status = seal_everything(store);
		if (status == HF_OK)
			status = hf_store_checkpoint(store, true);
		if (status == HF_OK)
			status = hf_log_cut(store->log, hf_log_end(store->log));
		else
			hf_log_sync(store->log); /* what was acknowledged without a sync waits no longer */
	}
	if (status != HF_OK)
		hf_log_warn(&hf_store_module, "not everything could be sealed at close; the next open replays more of the log",
			"error=%s", hf_error_name(status));
	store_free(store);
}

void hf_store_abandon(struct hf_store *store)
{
	if (store == NULL)
		return;
	hf_writer_stop(store, false);
	store_free(store);
}
