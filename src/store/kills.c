/* Deaths are in order of their groups, so those that may be marked are in front, and are forgotten from the front. Marks are
 * made without the table's lock, because finding a document may read the disk. */
#include "store/state.h"

#include <stdlib.h>

void hf_kills_init(struct hf_kills *kills)
{
	*kills = (struct hf_kills){.next_number = 1};
	hf_map_init(&kills->table, 0);
	pthread_rwlock_init(&kills->lock, NULL);
	pthread_mutex_init(&kills->readers_lock, NULL);
}

void hf_kills_free(struct hf_kills *kills)
{
	while (kills->first != NULL) {
		struct hf_kill *kill = kills->first;

		kills->first = kill->next;
		free(kill);
	}
	hf_map_free(&kills->table);
	pthread_rwlock_destroy(&kills->lock);
	pthread_mutex_destroy(&kills->readers_lock);
}

/* ---- Snapshots ---- */

uint64_t hf_kills_open_reader(struct hf_kills *kills, struct hf_kills_reader *reader, const _Atomic uint64_t *committed)
{
	pthread_mutex_lock(&kills->readers_lock);
	*reader = (struct hf_kills_reader){
		.previous = kills->newest, .position = atomic_load_explicit(committed, memory_order_acquire), .number = kills->next_number++};
	if (kills->newest != NULL)
		kills->newest->next = reader;
	else
		kills->oldest = reader;
	kills->newest = reader;
	pthread_mutex_unlock(&kills->readers_lock);
	return reader->position;
}

void hf_kills_close_reader(struct hf_kills *kills, struct hf_kills_reader *reader)
{
	pthread_mutex_lock(&kills->readers_lock);
	if (reader->previous != NULL)
		reader->previous->next = reader->next;
	else
		kills->oldest = reader->next;
	if (reader->next != NULL)
		reader->next->previous = reader->previous;
	else
		kills->newest = reader->previous;
	pthread_mutex_unlock(&kills->readers_lock);
}

/* The position and number of the oldest snapshot; without one, higher than any and the next number. */
static struct hf_kills_reader oldest_reader(struct hf_kills *kills)
{
	pthread_mutex_lock(&kills->readers_lock);
	struct hf_kills_reader oldest = {.position = UINT64_MAX, .number = kills->next_number};

	if (kills->oldest != NULL)
		oldest = *kills->oldest;
	pthread_mutex_unlock(&kills->readers_lock);
	return oldest;
}

static uint64_t next_reader(struct hf_kills *kills)
{
	pthread_mutex_lock(&kills->readers_lock);
	uint64_t number = kills->next_number;

	pthread_mutex_unlock(&kills->readers_lock);
	return number;
}

/* ---- The table ---- */

int hf_kills_add(struct hf_kills *kills, const struct hf_kill *given)
{
	struct hf_kill *kill = malloc(sizeof *kill);
	int status;

	if (kill == NULL)
		return HF_ENOMEM;
	*kill = *given;
	kill->next = NULL;
	atomic_init(&kill->marked, 0);
	pthread_rwlock_wrlock(&kills->lock);
	status = hf_map_put(&kills->table, hf_slice(&kill->position, sizeof kill->position), kill, NULL);
	if (status == HF_OK) {
		if (kills->last != NULL)
			kills->last->next = kill;
		else
			kills->first = kill;
		kills->last = kill;
		atomic_fetch_add_explicit(&kills->count, 1, memory_order_release);
	}
	pthread_rwlock_unlock(&kills->lock);
	if (status != HF_OK)
		free(kill);
	return status;
}

static struct hf_kill *find(const struct hf_kills *kills, uint64_t position)
{
	return hf_map_get(&kills->table, hf_slice(&position, sizeof position));
}

bool hf_kills_hide(struct hf_kills *kills, uint64_t position, uint64_t before)
{
	if (atomic_load_explicit(&kills->count, memory_order_acquire) == 0)
		return false;
	pthread_rwlock_rdlock(&kills->lock);
	const struct hf_kill *kill = find(kills, position);
	bool hidden = kill != NULL && kill->at < before;

	pthread_rwlock_unlock(&kills->lock);
	return hidden;
}

uint64_t hf_kills_floor(struct hf_kills *kills)
{
	uint64_t floor = UINT64_MAX;

	pthread_rwlock_rdlock(&kills->lock);
	for (const struct hf_kill *kill = kills->first; kill != NULL && floor == UINT64_MAX; kill = kill->next)
		if (atomic_load(&kill->marked) == 0)
			floor = kill->at;
	pthread_rwlock_unlock(&kills->lock);
	return floor;
}

/* ---- Marks ---- */

void hf_kills_mark_now(struct hf_store *store, struct hf_kill *kill)
{
	struct hf_collection *collection = hf_collection_ref(store, kill->collection);

	if (collection != NULL)
		hf_index_kill(collection->index, kill->id, kill->position);
	hf_collection_unref(collection);
	hf_log_count_dead(store->log, kill->position, kill->record_bytes);
	atomic_store(&kill->marked, next_reader(&store->kills));
}

static bool is_forgettable(const struct hf_kill *kill, uint64_t oldest_number)
{
	uint64_t marked = atomic_load(&kill->marked);

	return marked != 0 && marked <= oldest_number;
}

static void forget(struct hf_kills *kills, uint64_t oldest_number)
{
	pthread_rwlock_wrlock(&kills->lock);
	while (kills->first != NULL && is_forgettable(kills->first, oldest_number)) {
		struct hf_kill *kill = kills->first;

		kills->first = kill->next;
		if (kills->first == NULL)
			kills->last = NULL;
		hf_map_remove(&kills->table, hf_slice(&kill->position, sizeof kill->position));
		atomic_fetch_sub_explicit(&kills->count, 1, memory_order_release);
		free(kill);
	}
	pthread_rwlock_unlock(&kills->lock);
}

void hf_kills_settle(struct hf_store *store, bool all)
{
	struct hf_kills *kills = &store->kills;
	size_t left = atomic_load(&kills->count);
	uint64_t committed = atomic_load(&store->committed);

	if (left == 0)
		return;
	uint64_t seen = oldest_reader(kills).position;

	/* Only this thread changes the list. */
	for (struct hf_kill *kill = kills->first; kill != NULL; kill = kill->next, left--) {
		bool due = all || left > HF_KILLS_MAX || kill->at + HF_KILLS_AGE_BYTES < committed;

		if (kill->at >= seen && !due)
			break;
		if (atomic_load(&kill->marked) == 0)
			hf_kills_mark_now(store, kill);
	}
	forget(kills, oldest_reader(kills).number);
}

void hf_kills_mark(struct hf_store *store, uint64_t position)
{
	pthread_rwlock_rdlock(&store->kills.lock);
	struct hf_kill *kill = find(&store->kills, position);

	pthread_rwlock_unlock(&store->kills.lock);
	if (kill != NULL && atomic_load(&kill->marked) == 0)
		hf_kills_mark_now(store, kill);
}
