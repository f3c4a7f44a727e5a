/* Two threads: one seals memtables, so that a full one never waits for a merge, and syncs ahead; the other merges, collects
 * log garbage and checkpoints. Whoever changed a set of segments writes the manifest. */
#include "store/collect.h"
#include "store/writer.h"

#include <stdlib.h>
#include <time.h>

#define RETRY_MS 1000          /* after an error, and the longest sleep */
#define SEAL_WAIT_MS 10
#define CHECKPOINT_EVERY_BYTES (64u << 20)

struct worker {
	struct hf_background *background;
	pthread_t thread;
	bool started;
	bool poked;
	void (*begin)(struct hf_store *store); /* may be NULL */
	bool (*round)(struct hf_store *store); /* true: there may be more to do at once */
};

struct hf_background {
	struct hf_store *store;
	pthread_mutex_t lock;
	pthread_cond_t wake, sealed;
	bool stopping;
	struct worker seal, upkeep;
};

/* One piece of that kind of work for every collection. */
static bool work_all(struct hf_store *store, enum hf_index_job job)
{
	bool more = false;

	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX; i++) {
		struct hf_collection *collection = hf_collection_ref(store, i);

		if (collection == NULL)
			continue;
		int status = hf_index_work(collection->index, job);

		more |= status == 1;
		if (status < 0)
			hf_log_warn(&hf_store_module, job == HF_INDEX_SEAL ? "sealing failed; it is tried again" : "merging failed; it is tried again",
				"collection=%u error=%s", i, hf_error_name(status));
		hf_collection_unref(collection);
	}
	return more;
}

/* The first thing that the upkeep thread does: until a block of a segment was checked, reads that may not wait
 * cannot use it. An index is derived: a damaged one is made anew from the log. */
static void warm_all(struct hf_store *store)
{
	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX; i++) {
		struct hf_collection *collection = hf_collection_ref(store, i);

		if (collection == NULL)
			continue;
		int status = hf_index_warm(collection->index);

		hf_collection_unref(collection);
		if (status != HF_ECORRUPT)
			continue;
		status = hf_store_rebuild_index(store, i, NULL, NULL);
		if (status == HF_OK)
			hf_log_warn(&hf_store_module, "a damaged index was made anew from the log", "collection=%u", i);
		else
			hf_log_error(&hf_store_module, "a damaged index could not be made anew; what it lists is partly out of reach",
				"collection=%u error=%s", i, hf_error_name(status));
	}
}

static bool checkpoint_if_wanted(struct hf_store *store)
{
	if (!atomic_load(&store->manifest_wanted))
		return false;
	return hf_store_checkpoint(store, false) == HF_OK;
}

static void write_back_if_wanted(struct hf_store *store)
{
	if (atomic_exchange(&store->write_back_wanted, false))
		hf_log_write_back(store->log);
}

static void sync_if_wanted(struct hf_store *store)
{
	if (!atomic_exchange(&store->sync_wanted, false))
		return;
	hf_log_sync(store->log); /* when it fails, the next group does, too */
	atomic_fetch_add_explicit(&store->sync_count, 1, memory_order_relaxed);
}

static bool seal_round(struct hf_store *store)
{
	bool more = work_all(store, HF_INDEX_SEAL);

	write_back_if_wanted(store);
	sync_if_wanted(store);
	checkpoint_if_wanted(store);
	if (store->background != NULL) {
		pthread_mutex_lock(&store->background->lock);
		pthread_cond_broadcast(&store->background->sealed);
		pthread_mutex_unlock(&store->background->lock);
	}
	return more;
}

static bool upkeep_round(struct hf_store *store)
{
	bool more = work_all(store, HF_INDEX_MERGE);

	if (atomic_load(&store->kills.count) > 0)
		hf_writer_wake(store); /* snapshots that were in the way may be gone */
	if (atomic_load(&store->applied) > atomic_load(&store->replay_position) + CHECKPOINT_EVERY_BYTES ||
	    hf_blocks_memory_bytes(store->blocks) >= HF_BLOCKS_MEMORY_BYTES)
		atomic_store(&store->manifest_wanted, true);
	checkpoint_if_wanted(store);
	return hf_collect_one(store, HF_COLLECT_LIVE_PERCENT, false) == 1 || more;
}

void hf_background_run(struct hf_store *store)
{
	while (seal_round(store))
		;
	while (upkeep_round(store))
		;
}

static void sleep_until_poked(struct hf_background *background, struct worker *worker)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += RETRY_MS / 1000;
	pthread_mutex_lock(&background->lock);
	while (!worker->poked && !background->stopping &&
	       pthread_cond_timedwait(&background->wake, &background->lock, &until) == 0)
		;
	worker->poked = false;
	pthread_mutex_unlock(&background->lock);
}

static bool is_stopping(struct hf_background *background)
{
	pthread_mutex_lock(&background->lock);
	bool stopping = background->stopping;

	pthread_mutex_unlock(&background->lock);
	return stopping;
}

static void *worker_main(void *argument)
{
	struct worker *worker = argument;
	struct hf_background *background = worker->background;

	if (worker->begin != NULL)
		worker->begin(background->store);
	while (!is_stopping(background))
		if (!worker->round(background->store))
			sleep_until_poked(background, worker);
	return NULL;
}

static int worker_start(struct worker *worker, struct hf_background *background, bool (*round)(struct hf_store *store), const char *name)
{
	worker->background = background;
	worker->round = round;
	if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
		return HF_ENOMEM;
	worker->started = true;
	pthread_setname_np(worker->thread, name);
	return HF_OK;
}

int hf_background_start(struct hf_store *store)
{
	struct hf_background *background;
	pthread_condattr_t monotonic;
	int status;

	if (store->no_background || store->read_only)
		return HF_OK;
	background = calloc(1, sizeof *background);
	if (background == NULL)
		return HF_ENOMEM;
	background->store = store;
	pthread_mutex_init(&background->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&background->wake, &monotonic);
	pthread_cond_init(&background->sealed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	store->background = background;
	background->upkeep.begin = warm_all;
	status = worker_start(&background->seal, background, seal_round, "hf-seal");
	if (status == HF_OK)
		status = worker_start(&background->upkeep, background, upkeep_round, "hf-merge");
	return status;
}

void hf_background_stop(struct hf_store *store)
{
	struct hf_background *background = store->background;

	if (background == NULL)
		return;
	pthread_mutex_lock(&background->lock);
	background->stopping = true;
	pthread_cond_broadcast(&background->wake);
	pthread_mutex_unlock(&background->lock);
	if (background->seal.started)
		pthread_join(background->seal.thread, NULL);
	if (background->upkeep.started)
		pthread_join(background->upkeep.thread, NULL);
	store->background = NULL;
	pthread_mutex_destroy(&background->lock);
	pthread_cond_destroy(&background->wake);
	pthread_cond_destroy(&background->sealed);
	free(background);
}

void hf_background_wake(struct hf_store *store)
{
	struct hf_background *background = store->background;

	if (background == NULL)
		return;
	pthread_mutex_lock(&background->lock);
	background->seal.poked = background->upkeep.poked = true;
	pthread_cond_broadcast(&background->wake);
	pthread_mutex_unlock(&background->lock);
}

void hf_background_wait_sealed(struct hf_store *store)
{
	struct hf_background *background = store->background;
	struct timespec until;

	if (background == NULL)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += SEAL_WAIT_MS * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&background->lock);
	if (!background->stopping)
		pthread_cond_timedwait(&background->sealed, &background->lock, &until);
	pthread_mutex_unlock(&background->lock);
}
