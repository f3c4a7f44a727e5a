/* The store's own affairs: opening, what comes back from other threads, cold reads, locked memory for keys. Which core is meant and how
 * it is made: corestore_get.c. */
#include "data/hypercore/core_private.h"

#include <stdlib.h>

#include "base/options.h"

/* ---- Open and close ---- */

static int read_next_number(struct hf_corestore *store)
{
	struct hf_buffer value = {0};
	int status = hf_store_table_get(store->store, HF_LAYOUT_TABLE, HF_SLICE_LITERAL("next"), &value);

	store->next_number = 1;
	if (status == HF_OK)
		store->next_number = value.length == 8 ? hf_load_le64(value.data) : 0;
	hf_buffer_free(&value);
	if (status == HF_ENOTFOUND)
		return HF_OK;
	return status == HF_OK && store->next_number == 0 ? HF_ECORRUPT : status;
}

int hf_corestore_open(struct hf_corestore **out, const struct hf_corestore_options *given, struct hf_failure *failure)
{
	struct hf_corestore_options own, *options = &own;
	struct hf_corestore *store;
	uint64_t seed;
	int status = hf_options_take(options, sizeof *options, given);

	if (status != HF_OK)
		return hf_fail(failure, status, "the options of the corestore: %s", hf_error_text(status));
	store = calloc(1, sizeof *store);
	if (store == NULL)
		return hf_fail(failure, HF_ENOMEM, "out of memory");
	store->store = options->store;
	store->env = options->env;
	store->read_mode = options->blocking ? HF_READ_BLOCKING : HF_READ_RESIDENT;
	store->wake = options->wake;
	store->context = options->context;
	store->next_tag = 1;
	store->arrived_end = &store->arrived;
	store->env->random(store->env, &seed, sizeof seed);
	hf_map_init(&store->open, seed);
	hf_mailbox_init(&store->mailbox, options->wake, options->context);
	pthread_mutex_init(&store->mutex, NULL);
	pthread_cond_init(&store->finished, NULL);
	store->nodes = calloc(HF_CORE_NODE_CACHE_COUNT, sizeof *store->nodes);
	store->pages = calloc(HF_CORE_PAGE_CACHE_COUNT, sizeof *store->pages);
	status = store->nodes == NULL || store->pages == NULL ? HF_ENOMEM : hf_secret_copy(&store->primary_key, options->primary_key);
	if (status == HF_OK && options->primary_key.length != 32)
		status = HF_EINVAL;
	if (status == HF_OK)
		status = read_next_number(store);
	if (status != HF_OK) {
		hf_corestore_close(store);
		return hf_fail(failure, status, "the corestore cannot be opened: %s", hf_error_text(status));
	}
	*out = store;
	return HF_OK;
}

void hf_corestore_close(struct hf_corestore *store)
{
	if (store == NULL)
		return;
	hf_corestore_settle(store);
	hf_map_free(&store->open);
	hf_secret_free(&store->primary_key);
	while (store->key_chunks != NULL)
		hf_corestore_free_key_chunk(store);
	/* Who posted the last mail may not have left yet. */
	pthread_mutex_lock(&store->mutex);
	pthread_mutex_unlock(&store->mutex);
	pthread_mutex_destroy(&store->mutex);
	pthread_cond_destroy(&store->finished);
	free(store->cold);
	hf_buffer_free(&store->scratch);
	for (size_t i = 0; i < store->spare_count; i++)
		hf_buffer_free(&store->spares[i]);
	free(store->nodes);
	free(store->pages);
	free(store);
}

bool hf_corestore_set_blocking(struct hf_corestore *store, bool blocking)
{
	bool was_blocking = store->read_mode == HF_READ_BLOCKING;

	store->read_mode = blocking ? HF_READ_BLOCKING : HF_READ_RESIDENT;
	return was_blocking;
}

/* ---- What comes back ---- */

void hf_corestore_wake(struct hf_corestore *store)
{
	if (store->wake != NULL)
		store->wake(store->context);
}

static void deliver_ready(struct hf_corestore *store)
{
	while (store->has_ready) {
		struct hf_core *core = NULL;
		size_t cursor = 0;

		store->has_ready = false;
		/* A waiter may open and close cores, so the walk begins again after each core that had some. */
		while ((core = hf_map_next(&store->open, &cursor)) != NULL && core->ready == NULL) {
		}
		if (core == NULL)
			return;
		store->has_ready = true;
		hf_core_deliver_ready(core);
	}
}

bool hf_corestore_poll(struct hf_corestore *store)
{
	struct hf_mail *mail = hf_mailbox_take(&store->mailbox);
	bool had_any = mail != NULL || store->has_ready;

	*store->arrived_end = mail;
	while (*store->arrived_end != NULL)
		store->arrived_end = &(*store->arrived_end)->next;
	/* A callback may poll again, and must find what has not been delivered yet, in order. */
	while ((mail = store->arrived) != NULL) {
		struct hf_core_mail *letter = (struct hf_core_mail *)mail;

		store->arrived = mail->next;
		if (store->arrived == NULL)
			store->arrived_end = &store->arrived;
		letter->deliver(letter);
	}
	deliver_ready(store);
	return had_any;
}

void hf_corestore_settle(struct hf_corestore *store)
{
	while (store->in_flight_count > 0 || store->thawing != NULL) {
		pthread_mutex_lock(&store->mutex);
		while (store->arrived == NULL && atomic_load(&store->mailbox.head) == NULL)
			pthread_cond_wait(&store->finished, &store->mutex);
		pthread_mutex_unlock(&store->mutex);
		hf_corestore_poll(store);
	}
	hf_corestore_poll(store);
}

/* ---- Cold reads ---- */

#define COLD_MAX 4096 /* reads that one thaw takes up */

struct hf_thaw_job {
	struct hf_work work;
	struct hf_core_mail mail;
	struct hf_corestore *store;
	struct hf_corestore_thaw *waiting;
	struct hf_cold *cold;
	size_t count;
};

int hf_corestore_cold(struct hf_corestore *store, const struct hf_cold *cold)
{
	/* The rest will be found cold again when it is tried after the thaw. */
	if (store->cold_count == COLD_MAX)
		return HF_EWAIT;
	if (hf_array_reserve(&store->cold, &store->cold_capacity, store->cold_count + 1, sizeof *store->cold) != HF_OK)
		return HF_ENOMEM;
	store->cold[store->cold_count++] = *cold;
	return HF_EWAIT;
}

static int pass_over(void *context, uint64_t from, uint64_t to)
{
	(void)context;
	(void)from;
	(void)to;
	return 0;
}

static void read_cold(struct hf_store *store, const struct hf_cold *cold, struct hf_buffer *scratch)
{
	struct hf_snapshot *snapshot;
	struct hf_doc doc;

	hf_buffer_clear(scratch);
	if (cold->kind == HF_COLD_BLOCK)
		hf_store_log_get(store, cold->log, cold->index, HF_READ_BLOCKING, scratch);
	if (cold->kind == HF_COLD_RUNS)
		hf_store_log_runs(store, cold->log, cold->index, cold->to, HF_READ_BLOCKING, pass_over, NULL);
	if (cold->kind != HF_COLD_DOCUMENT)
		return;
	snapshot = hf_store_snapshot(store);
	if (snapshot == NULL)
		return;
	hf_snapshot_get(snapshot, (uint32_t)cold->log, cold->id, HF_READ_BLOCKING, scratch, &doc);
	hf_snapshot_release(snapshot);
}

/* On an executor's thread. What fails fails again when it is read in earnest. */
static void thaw(struct hf_work *work)
{
	struct hf_thaw_job *job = (struct hf_thaw_job *)work;
	struct hf_corestore *store = job->store;
	struct hf_buffer scratch = {0};

	for (size_t i = 0; i < job->count; i++)
		read_cold(store->store, &job->cold[i], &scratch);
	hf_buffer_free(&scratch);
	pthread_mutex_lock(&store->mutex);
	hf_mailbox_post(&store->mailbox, &job->mail.mail);
	pthread_cond_broadcast(&store->finished);
	pthread_mutex_unlock(&store->mutex);
}

static int start_thaw(struct hf_corestore *store);

/* What they ask for could not be started: they find out when they try again. */
static void call_thaw_waiting(struct hf_corestore *store)
{
	struct hf_corestore_thaw *waiting = store->thaw_waiting, *next;

	store->thaw_waiting = NULL;
	for (; waiting != NULL; waiting = next) {
		next = waiting->next;
		waiting->done(waiting);
	}
}

static void deliver_thawed(struct hf_core_mail *mail)
{
	struct hf_thaw_job *job = HF_CONTAINER_OF(mail, struct hf_thaw_job, mail);
	struct hf_corestore_thaw *waiting = job->waiting, *next;
	struct hf_corestore *store = job->store;

	store->thawing = NULL;
	free(job->cold);
	free(job);
	if (store->thaw_waiting != NULL && start_thaw(store) != HF_OK)
		call_thaw_waiting(store);
	for (; waiting != NULL; waiting = next) {
		next = waiting->next;
		waiting->done(waiting);
	}
}

static int start_thaw(struct hf_corestore *store)
{
	struct hf_thaw_job *job = calloc(1, sizeof *job);
	int status;

	if (job == NULL)
		return HF_ENOMEM;
	*job = (struct hf_thaw_job){.work.run = thaw, .mail.deliver = deliver_thawed, .store = store, .waiting = store->thaw_waiting,
		.cold = store->cold, .count = store->cold_count};
	status = store->env->executor->submit(store->env->executor, &job->work);
	if (status != HF_OK) {
		free(job);
		return status;
	}
	store->thawing = job;
	store->thaw_waiting = NULL;
	store->cold = NULL;
	store->cold_count = store->cold_capacity = 0;
	return HF_OK;
}

int hf_corestore_thaw(struct hf_corestore *store, struct hf_corestore_thaw *waiting)
{
	waiting->next = store->thaw_waiting;
	store->thaw_waiting = waiting;
	if (store->thawing != NULL)
		return HF_OK;
	int status = start_thaw(store);

	if (status != HF_OK)
		store->thaw_waiting = waiting->next;
	return status;
}

/* ---- Keys ---- */

#define KEY_SLOTS 64

struct hf_key_chunk {
	struct hf_key_chunk *next;
	struct hf_secret memory;
	uint64_t used;
};

uint8_t *hf_corestore_key_slot(struct hf_corestore *store)
{
	struct hf_key_chunk *chunk = store->key_chunks;

	while (chunk != NULL && chunk->used == UINT64_MAX)
		chunk = chunk->next;
	if (chunk == NULL) {
		chunk = calloc(1, sizeof *chunk);
		if (chunk == NULL || hf_secret_new(&chunk->memory, KEY_SLOTS * HF_SIGN_SECRET_BYTES) != HF_OK) {
			free(chunk);
			return NULL;
		}
		chunk->next = store->key_chunks;
		store->key_chunks = chunk;
	}
	unsigned slot = (unsigned)__builtin_ctzll(~chunk->used);

	chunk->used |= (uint64_t)1 << slot;
	return chunk->memory.data + slot * HF_SIGN_SECRET_BYTES;
}

void hf_corestore_free_key_slot(struct hf_corestore *store, uint8_t *slot)
{
	if (slot == NULL)
		return;
	for (struct hf_key_chunk *chunk = store->key_chunks; chunk != NULL; chunk = chunk->next) {
		if (slot < chunk->memory.data || slot >= chunk->memory.data + chunk->memory.length)
			continue;
		hf_wipe(slot, HF_SIGN_SECRET_BYTES);
		chunk->used &= ~((uint64_t)1 << (size_t)(slot - chunk->memory.data) / HF_SIGN_SECRET_BYTES);
		return;
	}
}

void hf_corestore_free_key_chunk(struct hf_corestore *store)
{
	struct hf_key_chunk *chunk = store->key_chunks;

	store->key_chunks = chunk->next;
	hf_secret_free(&chunk->memory);
	free(chunk);
}
