/* index_private: what index.c, iterator.c, checkpoint.c and index_check.c share. (Private to the index.) */
#ifndef HF_STORE_INDEX_PRIVATE_H
#define HF_STORE_INDEX_PRIVATE_H

#include <pthread.h>

#include "store/index.h"
#include "store/memtable.h"
#include "store/merge.h"
#include "store/segment.h"

#define HF_INDEX_TIER_SEGMENTS_MAX 8 /* as many of a tier become one of the next */
#define HF_INDEX_TIER_MAX 16

struct hf_index_view {
	_Atomic uint32_t references;
	uint32_t memtable_count, segment_count;
	uint64_t seed;
	int (*read_id)(void *context, uint64_t position, uint8_t id[static HF_STORE_ID_BYTES]);
	void *context;
	struct hf_memtable **memtables; /* newest first; the first takes inserts */
	struct hf_segment **segments;   /* by number, newest first */
	void *parts[];
};

/* A file that a durable manifest may still name. */
struct hf_index_old_file {
	struct hf_index_old_file *next;
	bool superseded; /* a checkpoint that does not name it was taken */
	char name[32];
};

struct hf_index {
	struct hf_index_options options;
	char *directory;
	pthread_mutex_t lock;       /* view, flags of parts, old_files */
	pthread_mutex_t seal_lock;  /* one seal at a time */
	pthread_mutex_t merge_lock; /* one merge at a time */
	pthread_mutex_t checkpoint_lock;
	bool names_unsynced;        /* dead files were written, the directory not synced yet; under the checkpoint lock */
	struct hf_index_view *view;
	struct hf_index_old_file *old_files;
	struct hf_memtable *active; /* the writer's */
	struct hf_memtable_pool memtables;
	_Atomic uint64_t corrupt_count;
};

/* A new view with room for so many parts; counts are set, parts are for the caller to fill (each with a reference). */
struct hf_index_view *hf_index_view_new(struct hf_index *index, uint32_t memtable_count, uint32_t segment_count);
/* Remembers a file to unlink after a checkpoint; the index lock is held. Without memory the file stays until the
 * store sweeps its directory at open. */
void hf_index_retire_file(struct hf_index *index, const char *name);

#endif
