/* state: what the parts of the store share. (Private to store/.)
 *
 * Directory of a store: MANIFEST (manifest.h), log/, index/, table/, block/.
 *
 * Three positions order everything:
 *   committed   records below it are visible; raised when a group is as durable as its commits asked
 *   applied     the effects of records below it (dead marks, tables, blocks) are in memory; at or just behind committed
 *   synced      log.h: on the disk whatever happens. A derived file may hold effects of records up to `applied`, so
 *               the log is synced up to there before a manifest names the file.
 */
#ifndef HF_STORE_STATE_H
#define HF_STORE_STATE_H

#include <pthread.h>

#include "base/log.h"
#include "base/map.h"
#include "store/blocks.h"
#include "store/index.h"
#include "store/kills.h"
#include "store/log.h"
#include "store/record.h"
#include "store/table.h"

#define HF_STORE_GROUP_COMMITS_MAX 1000
#define HF_STORE_GROUP_BYTES_MAX (4u << 20)
#define HF_STORE_FROZEN_MAX 4               /* memtables that wait to be sealed before the writer waits for them */
#define HF_STORE_REPLAY_BYTES_MAX (64u << 20) /* of log, before a quiet collection is frozen */

/* A collection and its index. A dropped one lives on while snapshots hold it. */
struct hf_collection {
	_Atomic uint32_t references;
	uint32_t number;
	uint64_t position;          /* documents below it are in segments: at open */
	uint32_t memtable_docs;     /* the writer's count of what the memtable may hold */
	_Atomic bool freeze_wanted;
	bool is_new;                /* begun by the group being staged */
	struct hf_index *index;
	struct hf_store *store;
};

/* The document index of one collection as a snapshot reads it. */
struct hf_snapshot_part {
	struct hf_collection *collection;
	struct hf_index_view *view;
};

struct hf_snapshot {
	struct hf_store *store;
	uint64_t position;
	struct hf_log_set *set;
	const struct hf_tx *tx; /* staged documents and kills, or NULL */
	struct hf_kills_reader reader; /* of those that hf_store_snapshot gives */
	struct hf_buffer scratch; /* for confirmations */
	struct hf_snapshot_part parts[HF_STORE_COLLECTION_COUNT_MAX];
};

struct hf_writer;
struct hf_background;

struct hf_store_metrics {
	struct hf_histogram commit_seconds, sync_seconds;
	struct hf_counter groups, commits, written_bytes, failed_groups;
	struct hf_gauge corrupt, log_bytes, index_bytes, frozen, live_permille;
};

struct hf_old_file {
	struct hf_old_file *next;
	char path[];
};

struct hf_store {
	struct hf_env *env;
	struct hf_store_schema schema;
	char directory[HF_PATH_BYTES_MAX - 128];
	char log_directory[HF_PATH_BYTES_MAX - 64], index_directory[HF_PATH_BYTES_MAX - 64];
	char table_directory[HF_PATH_BYTES_MAX - 64], block_directory[HF_PATH_BYTES_MAX - 64];
	uint64_t quota_bytes;
	uint32_t sync_interval_ms, log_segment_bytes, memtable_docs_max;
	bool read_only, no_background;

	uint8_t uuid[HF_LOG_UUID_BYTES];
	uint64_t seed;

	struct hf_log *log;
	struct hf_tables tables;
	struct hf_blocks *blocks;
	struct hf_writer *writer;
	struct hf_background *background;

	pthread_mutex_t lock; /* collections */
	struct hf_collection *collections[HF_STORE_COLLECTION_COUNT_MAX];

	_Atomic uint64_t committed, applied;
	struct hf_kills kills;
	_Atomic uint32_t next_file_number;
	_Atomic uint64_t corrupt_count, commit_count, group_count, sync_count, written_bytes;
	_Atomic uint64_t disk_bytes;   /* as of the last count, for the quota */
	_Atomic uint64_t index_bytes, index_segment_count;
	_Atomic int write_status;      /* of the last group that was written, or commit that the quota refused */
	_Atomic bool manifest_wanted;  /* a set of index segments changed */
	_Atomic bool sync_wanted;      /* much was written that nobody has synced */
	_Atomic bool write_back_wanted; /* some was written that the disk has not begun with */
	_Atomic bool incomplete;       /* memory lacks a committed change: only a replay mends it, so no manifest may pass it */
	bool rebuild_wanted[HF_STORE_COLLECTION_COUNT_MAX]; /* at open: the index was damaged */
	uint64_t replayed_records, replay_us;

	pthread_mutex_t collect_lock; /* one collection of a log segment at a time, and none while an index is rebuilt; taken before the next */
	/* Under the checkpoint lock. */
	pthread_mutex_t checkpoint_lock;
	struct hf_old_file *old_files; /* to unlink after the next manifest */
	uint32_t table_file;           /* the snapshot that the last manifest names; 0: none */
	uint64_t table_file_position, table_file_bytes;
	_Atomic uint64_t replay_position; /* where the next open begins to read, as of the last manifest */

	struct hf_metrics *metrics;
	struct hf_store_metrics metric;
};

extern struct hf_log_module hf_store_module; /* log lines of the store */

/* ---- collection.c ---- */
struct hf_collection *hf_collection_ref(struct hf_store *store, uint32_t number); /* NULL when there is none */
void hf_collection_unref(struct hf_collection *collection);
/* Makes a collection with an empty index, or with the given segments. Does not publish it. */
int hf_collection_new(struct hf_collection **out, struct hf_store *store, uint32_t number,
	const struct hf_index_segment_info *segments, size_t segment_count, struct hf_failure *failure);
/* Puts it in the place of what is there (NULL: nothing); the old one loses the store's reference. */
void hf_collection_publish(struct hf_store *store, uint32_t number, struct hf_collection *collection);
/* The same, and the files of the old one go: no checkpoint from now on names them. */
int hf_collection_replace(struct hf_store *store, uint32_t number, struct hf_collection *collection);
/* Indexes the document of a record that is read from the log; one that cannot be understood is counted and left out. terms has
 * room for HF_STORE_TERM_COUNT_MAX. By the index's one writer. */
int hf_collection_insert(struct hf_collection *collection, const struct hf_log_record *record, uint64_t *terms);
int hf_store_describe(struct hf_store *store, uint32_t collection, struct hf_slice payload, struct hf_doc_key *key, uint64_t *terms);
/* Fills id from a payload. */
int hf_store_identify(struct hf_store *store, uint32_t collection, struct hf_slice payload, uint8_t id[static HF_STORE_ID_BYTES]);

/* ---- store_stats.c ---- */
/* Puts store->metric into store->metrics, which may be NULL, and takes it out again. */
void hf_store_register_metrics(struct hf_store *store);
void hf_store_unregister_metrics(struct hf_store *store);

/* ---- recover.c ---- */
/* Reads the log from `from` on, cuts off a torn tail, and brings all derived parts up to its end. */
int hf_store_recover(struct hf_store *store, uint64_t from, uint64_t synced, uint64_t counted, struct hf_failure *failure);
/* Applies what a committed record means for tables, blocks and collections; documents and dead marks are not its affair. */
int hf_store_apply(struct hf_store *store, const struct hf_log_record *record);

/* ---- rebuild.c ---- */
/* A new index for the collection, before the store's threads run. */
int hf_store_rebuild_at_open(struct hf_store *store, uint32_t collection);

/* ---- store_checkpoint.c ---- */
/* Writes what changed of the derived parts and a manifest. all: tables and blocks too, however little changed. */
int hf_store_checkpoint(struct hf_store *store, bool all);
int hf_store_checkpoint_locked(struct hf_store *store, bool all); /* the caller holds the checkpoint lock */
/* Removes the file once the next manifest is durable. Under the checkpoint lock. */
void hf_store_unlink_later(struct hf_store *store, const char *path);
/* The same for all index files of a collection that is being replaced. */
int hf_store_forget_files(struct hf_store *store, struct hf_collection *collection);
/* Adds up what the files take. */
void hf_store_count_disk(struct hf_store *store);

/* ---- background.c ---- */
int hf_background_start(struct hf_store *store);
/* Lets the threads end after what they are at. */
void hf_background_stop(struct hf_store *store);
void hf_background_wake(struct hf_store *store);
/* Waits (a little while) for a memtable to be sealed. */
void hf_background_wait_sealed(struct hf_store *store);
/* One round of everything there is to do; in the writer when no_background. */
void hf_background_run(struct hf_store *store);

/* ---- snapshot.c ---- */
void hf_snapshot_init(struct hf_snapshot *snapshot, struct hf_store *store, uint64_t position);
void hf_snapshot_clear(struct hf_snapshot *snapshot);
/* The view of a collection; NULL when there is no such collection (or no memory: *status tells). */
struct hf_index_view *hf_snapshot_view(struct hf_snapshot *snapshot, uint32_t collection, int *status);
/* Finds the live document and leaves its record in snapshot->scratch when it was read (record->position set, else 0). */
int hf_snapshot_find(struct hf_snapshot *snapshot, uint32_t collection, const uint8_t id[static HF_STORE_ID_BYTES],
	uint64_t before, enum hf_read_mode mode, struct hf_buffer *scratch, struct hf_index_hit *hit, struct hf_log_record *record);
int hf_snapshot_read(struct hf_snapshot *snapshot, uint64_t position, enum hf_read_mode mode, struct hf_buffer *scratch,
	struct hf_log_record *record);

#endif
