/* The queue is a list under a mutex; the writer takes all of it at once and works through it group by group. A signal is
 * sent only when the writer sleeps.
 *
 * Who holds the baton is the writer: as a rule the writer thread, while it works; but a thread that would wait for its commit takes
 * it when the writer sleeps and nothing is queued, and runs the group itself, which saves two changes of thread. Everything
 * that is said to be the writer's is that of the baton's holder; it changes hands under the lock. */
#include "store/writer_private.h"

#include <stdlib.h>
#include <time.h>

/* ---- Submitting ---- */

/* The lock is held. */
static void enqueue(struct hf_writer *writer, struct hf_commit *first, struct hf_commit *last, size_t count)
{
	if (writer->last != NULL)
		writer->last->next = first;
	else
		writer->first = first;
	writer->last = last;
	writer->queued += count;
}

void hf_store_submit_chain(struct hf_store *store, struct hf_commit *first, struct hf_commit *last)
{
	struct hf_writer *writer = store->writer;
	size_t count = 1;
	bool closed, signal;

	for (struct hf_commit *c = first; c != last; c = c->next)
		count++;
	last->next = NULL;
	pthread_mutex_lock(&writer->lock);
	closed = writer->stopping || store->read_only;
	signal = writer->sleeping && !writer->baton;
	if (!closed)
		enqueue(writer, first, last, count);
	pthread_mutex_unlock(&writer->lock);
	if (signal && !closed)
		pthread_cond_signal(&writer->wake);
	while (closed && first != NULL) {
		struct hf_commit *next = first->next;

		first->done(first, store->read_only ? HF_EDENIED : HF_ECLOSED);
		first = next;
	}
}

void hf_store_submit(struct hf_store *store, struct hf_commit *commit)
{
	hf_store_submit_chain(store, commit, commit);
}

bool hf_store_commit_now(struct hf_store *store, struct hf_commit *commit)
{
	struct hf_writer *writer = store->writer;
	bool idle, signal;

	pthread_mutex_lock(&writer->lock);
	/* Not when the thread waits its turn, to sync perhaps: it would wait for ever. */
	idle = writer->started && writer->sleeping && !writer->baton && !writer->wanted && !writer->stopping && !writer->poked &&
		writer->first == NULL;
	writer->baton |= idle;
	pthread_mutex_unlock(&writer->lock);
	if (!idle) {
		hf_store_submit(store, commit);
		return false;
	}
	bool was_synced = writer->unsynced_since_us == 0;

	commit->next = NULL;
	writer->pending = commit;
	writer->pending_count = 1;
	hf_writer_run_group(writer);
	pthread_mutex_lock(&writer->lock);
	writer->baton = false;
	/* The thread has to know when the next sync is due. */
	signal = writer->wanted || writer->first != NULL || writer->poked || writer->stopping ||
		(was_synced && writer->unsynced_since_us != 0);
	pthread_mutex_unlock(&writer->lock);
	if (signal)
		pthread_cond_signal(&writer->wake);
	return true;
}

void hf_writer_wake(struct hf_store *store)
{
	struct hf_writer *writer = store->writer;

	pthread_mutex_lock(&writer->lock);
	writer->poked = true;
	pthread_mutex_unlock(&writer->lock);
	pthread_cond_signal(&writer->wake);
}

struct waiting_commit {
	struct hf_commit commit;
	int (*stage)(void *context, struct hf_tx *tx);
	void *context;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool over;
	int status;
};

static int waiting_stage(struct hf_commit *commit, struct hf_tx *tx)
{
	struct waiting_commit *waiting = (struct waiting_commit *)commit;

	return waiting->stage(waiting->context, tx);
}

static void waiting_done(struct hf_commit *commit, int status)
{
	struct waiting_commit *waiting = (struct waiting_commit *)commit;

	pthread_mutex_lock(&waiting->lock);
	waiting->status = status;
	waiting->over = true;
	pthread_cond_signal(&waiting->wake);
	pthread_mutex_unlock(&waiting->lock);
}

int hf_store_commit_wait(struct hf_store *store, enum hf_durability durability,
	int (*stage)(void *context, struct hf_tx *tx), void *context)
{
	struct waiting_commit waiting = {
		.commit = {.stage = waiting_stage, .done = waiting_done, .durability = durability},
		.stage = stage, .context = context, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER,
	};

	if (!hf_store_commit_now(store, &waiting.commit)) {
		pthread_mutex_lock(&waiting.lock);
		while (!waiting.over)
			pthread_cond_wait(&waiting.wake, &waiting.lock);
		pthread_mutex_unlock(&waiting.lock);
	}
	pthread_mutex_destroy(&waiting.lock);
	pthread_cond_destroy(&waiting.wake);
	return waiting.status;
}

int hf_writer_run(struct hf_store *store, int (*run)(struct hf_store *store, void *context), void *context)
{
	struct hf_writer *writer = store->writer;
	struct hf_writer_job job = {.run = run, .context = context, .wake = PTHREAD_COND_INITIALIZER};

	pthread_mutex_lock(&writer->lock);
	if (writer->stopping || !writer->started) {
		pthread_mutex_unlock(&writer->lock);
		return HF_ECLOSED;
	}
	job.next = writer->jobs;
	writer->jobs = &job;
	writer->poked = true;
	pthread_cond_signal(&writer->wake);
	while (!job.over)
		pthread_cond_wait(&job.wake, &writer->lock);
	pthread_mutex_unlock(&writer->lock);
	pthread_cond_destroy(&job.wake);
	return job.status;
}

static void run_jobs(struct hf_writer *writer)
{
	pthread_mutex_lock(&writer->lock);
	while (writer->jobs != NULL) {
		struct hf_writer_job *job = writer->jobs;

		writer->jobs = job->next;
		pthread_mutex_unlock(&writer->lock);
		job->status = job->run(writer->store, job->context);
		pthread_mutex_lock(&writer->lock);
		job->over = true;
		pthread_cond_signal(&job->wake);
	}
	pthread_mutex_unlock(&writer->lock);
}

/* ---- The thread ---- */

/* Sleeps until it is woken, or a sync is due: false. The lock is held, and nobody holds the baton. */
static bool nap(struct hf_writer *writer)
{
	struct hf_store *store = writer->store;
	struct timespec until;

	if (writer->unsynced_since_us == 0) {
		pthread_cond_wait(&writer->wake, &writer->lock);
		return true;
	}
	uint64_t age_us = hf_env_monotonic_us(store->env) - writer->unsynced_since_us;
	uint64_t interval_us = (uint64_t)store->sync_interval_ms * 1000;
	uint64_t nap_ns = (age_us < interval_us ? interval_us - age_us : 1000) * 1000;

	clock_gettime(CLOCK_MONOTONIC, &until);
	nap_ns += (uint64_t)until.tv_nsec;
	until.tv_sec += (time_t)(nap_ns / 1000000000);
	until.tv_nsec = (long)(nap_ns % 1000000000);
	return pthread_cond_timedwait(&writer->wake, &writer->lock, &until) == 0;
}

/* Takes the baton and what was submitted, sleeping until there is something. False when it is time to end. */
static bool take(struct hf_writer *writer)
{
	bool more = true, due = false;

	pthread_mutex_lock(&writer->lock);
	writer->sleeping = true;
	while (writer->baton || (writer->first == NULL && !writer->stopping && !writer->poked && !due)) {
		writer->wanted = writer->baton;
		if (writer->baton)
			pthread_cond_wait(&writer->wake, &writer->lock);
		else
			due = !nap(writer);
	}
	writer->sleeping = writer->wanted = writer->poked = false;
	writer->baton = true;
	if (writer->first != NULL) {
		writer->pending = writer->first;
		writer->pending_count = writer->queued;
		writer->first = writer->last = NULL;
		writer->queued = 0;
	} else if (writer->stopping) {
		more = false;
	}
	writer->refuse = writer->stopping && !writer->drain;
	pthread_mutex_unlock(&writer->lock);
	return more;
}

static void give_back(struct hf_writer *writer)
{
	pthread_mutex_lock(&writer->lock);
	writer->baton = false;
	pthread_mutex_unlock(&writer->lock);
}

static void fail_pending(struct hf_writer *writer)
{
	while (writer->pending != NULL) {
		struct hf_commit *commit = writer->pending;

		writer->pending = commit->next;
		writer->pending_count--;
		commit->done(commit, HF_ECLOSED);
	}
}

static void *writer_main(void *argument)
{
	struct hf_writer *writer = argument;
	struct hf_store *store = writer->store;

	while (take(writer)) {
		if (writer->refuse)
			fail_pending(writer);
		while (writer->pending != NULL)
			hf_writer_run_group(writer);
		hf_writer_freeze_full(writer);
		hf_kills_settle(store, false);
		run_jobs(writer);
		if (writer->unsynced_since_us != 0 &&
		    hf_env_monotonic_us(store->env) - writer->unsynced_since_us >= (uint64_t)store->sync_interval_ms * 1000 &&
		    hf_writer_sync(writer) != HF_OK)
			writer->unsynced_since_us = 0;
		give_back(writer);
	}
	run_jobs(writer);
	return NULL;
}

int hf_writer_start(struct hf_store *store)
{
	struct hf_writer *writer = calloc(1, sizeof *writer);
	pthread_condattr_t monotonic;

	if (writer == NULL)
		return HF_ENOMEM;
	writer->store = store;
	if (hf_tx_init(&writer->tx, store) != HF_OK) {
		free(writer);
		return HF_ENOMEM;
	}
	pthread_mutex_init(&writer->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&writer->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	store->writer = writer;
	if (store->read_only)
		return HF_OK;
	if (pthread_create(&writer->thread, NULL, writer_main, writer) != 0)
		return HF_ENOMEM;
	writer->started = true;
	pthread_setname_np(writer->thread, "hf-writer");
	return HF_OK;
}

void hf_writer_stop(struct hf_store *store, bool drain)
{
	struct hf_writer *writer = store->writer;

	if (writer == NULL || !writer->started)
		return;
	pthread_mutex_lock(&writer->lock);
	writer->stopping = true;
	writer->drain = drain;
	pthread_mutex_unlock(&writer->lock);
	pthread_cond_signal(&writer->wake);
	pthread_join(writer->thread, NULL);
	writer->started = false;
}

void hf_writer_free(struct hf_store *store)
{
	struct hf_writer *writer = store->writer;

	if (writer == NULL)
		return;
	hf_tx_free(&writer->tx);
	pthread_mutex_destroy(&writer->lock);
	pthread_cond_destroy(&writer->wake);
	free(writer);
	store->writer = NULL;
}
