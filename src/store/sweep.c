/* Files that the manifest does not name are left over from a crash, or from an upgrade. */
#include "store/manifest.h"

#include <stdio.h>

struct sweep {
	struct hf_store *store;
	const struct hf_manifest *manifest;
	const char *directory;
	bool (*wanted)(const struct hf_manifest *manifest, const char *name);
};

static bool index_wanted(const struct hf_manifest *m, const char *name)
{
	char known[48];

	for (size_t i = 0; i < m->segment_count; i++) {
		snprintf(known, sizeof known, "%08x.idx", m->segments[i].info.number);
		if (strcmp(name, known) == 0)
			return true;
		snprintf(known, sizeof known, "%08x.dead-%u", m->segments[i].info.number, m->segments[i].dead_generation);
		if (strcmp(name, known) == 0)
			return true;
	}
	return false;
}

static bool table_wanted(const struct hf_manifest *m, const char *name)
{
	char known[24];

	snprintf(known, sizeof known, "%08x.tbl", m->table_file);
	return strcmp(name, known) == 0;
}

static bool block_wanted(const struct hf_manifest *m, const char *name)
{
	char known[24];

	for (size_t i = 0; i < m->run_count; i++) {
		snprintf(known, sizeof known, "%08x.blk", m->runs[i]);
		if (strcmp(name, known) == 0)
			return true;
	}
	return false;
}

/* Of log files only other generations of known segments go: nothing else may hold the only copy of a record. */
static bool log_wanted(const struct hf_manifest *m, const char *name)
{
	unsigned number, generation;

	if (sscanf(name, "%8x-%x.log", &number, &generation) != 2)
		return true;
	for (size_t i = 0; i < m->log_count; i++)
		if (m->logs[i].number == number)
			return m->logs[i].generation == generation;
	/* One with a number that is missing between them is gone; one behind the last was begun after the manifest. */
	return m->log_count == 0 || number > m->logs[m->log_count - 1].number;
}

static int sweep_one(void *context, const char *name)
{
	struct sweep *sweep = context;
	struct hf_fs *fs = sweep->store->env->fs;
	char path[HF_PATH_BYTES_MAX];

	if (!sweep->wanted(sweep->manifest, name) && hf_path_join(path, sweep->directory, name) == HF_OK)
		fs->unlink(fs, path);
	return 0;
}

void hf_store_sweep(struct hf_store *store, const struct hf_manifest *m)
{
	struct sweep sweeps[] = {
		{store, m, store->index_directory, index_wanted}, {store, m, store->table_directory, table_wanted},
		{store, m, store->block_directory, block_wanted}, {store, m, store->log_directory, log_wanted},
	};

	if (store->read_only)
		return;
	for (size_t i = 0; i < sizeof sweeps / sizeof sweeps[0]; i++)
		store->env->fs->list(store->env->fs, sweeps[i].directory, sweep_one, &sweeps[i]);
}
