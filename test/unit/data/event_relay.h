/* event_relay: a store of events in a temporary directory, for tests: open, admit and wait, reopen, close. */
#ifndef HF_TEST_DATA_EVENT_RELAY_H
#define HF_TEST_DATA_EVENT_RELAY_H

#include <ftw.h>
#include <pthread.h>
#include <unistd.h>

#include "data/event/admission.h"
#include "data/event/terms.h"
#include "event_model.h"

#define RELAY_COLLECTION 3

struct relay {
	struct hf_env env;
	struct hf_store *store;
	char directory[64];
	uint32_t memtable_docs_max;
	bool no_background;
};

static inline void relay_open(struct relay *relay)
{
	struct hf_failure failure = {0};
	struct hf_store_options options = {.size = sizeof options, .directory = relay->directory, .env = &relay->env,
		.schema = {NULL, hf_event_describe, hf_event_identify}, .memtable_docs_max = relay->memtable_docs_max,
		.no_background = relay->no_background};
	if (hf_store_open(&relay->store, &options, &failure) < 0)
		fail_msg("store does not open: %s", failure.text);
}

static inline void relay_new(struct relay *relay, uint32_t memtable_docs_max, bool no_background)
{
	memset(relay, 0, sizeof *relay);
	hf_env_system(&relay->env);
	snprintf(relay->directory, sizeof relay->directory, "/tmp/hf-test-relay-XXXXXX");
	assert_non_null(mkdtemp(relay->directory));
	relay->memtable_docs_max = memtable_docs_max;
	relay->no_background = no_background;
	relay_open(relay);
}

static inline int relay_remove_entry(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
	return remove(path);
}

static inline void relay_free(struct relay *relay)
{
	hf_store_close(relay->store);
	nftw(relay->directory, relay_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

struct relay_admission {
	struct hf_admission admission;
	struct relay_wait *wait;
	int status;
};

struct relay_wait {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t left;
};

static inline void relay_done(struct hf_commit *commit, int status)
{
	struct relay_admission *a = (struct relay_admission *)(void *)commit;
	struct relay_wait *wait = a->wait;
	a->status = status;
	pthread_mutex_lock(&wait->lock);
	if (--wait->left == 0)
		pthread_cond_signal(&wait->changed);
	pthread_mutex_unlock(&wait->lock);
}

static inline void relay_prepare(struct relay_admission *a, const struct hf_event *event)
{
	memset(a, 0, sizeof *a);
	a->admission.commit.durability = HF_DURABLE_OS;
	a->admission.collection = RELAY_COLLECTION;
	a->admission.event = event;
	hf_admission_init(&a->admission, relay_done);
}

/* Submits all at once and waits; the outcomes are in each status. */
static inline void relay_run(struct relay *relay, struct relay_admission *list, uint32_t count)
{
	struct relay_wait wait = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, count};
	for (uint32_t i = 0; i < count; i++) {
		list[i].wait = &wait;
		hf_store_submit(relay->store, &list[i].admission.commit);
	}
	pthread_mutex_lock(&wait.lock);
	while (wait.left > 0)
		pthread_cond_wait(&wait.changed, &wait.lock);
	pthread_mutex_unlock(&wait.lock);
}

static inline int relay_admit(struct relay *relay, const struct hf_event *event)
{
	struct relay_admission a;
	relay_prepare(&a, event);
	relay_run(relay, &a, 1);
	hf_admission_clear(&a.admission);
	return a.status;
}

static inline bool relay_has(struct relay *relay, const uint8_t id[static 32])
{
	struct hf_buffer scratch = {0};
	struct hf_doc doc;
	struct hf_snapshot *snapshot = hf_store_snapshot(relay->store);
	int r = hf_snapshot_get(snapshot, RELAY_COLLECTION, id, HF_READ_BLOCKING, &scratch, &doc);
	assert_true(r == HF_OK || r == HF_ENOTFOUND);
	hf_snapshot_release(snapshot);
	hf_buffer_free(&scratch);
	return r == HF_OK;
}

/* Makes events and lets relay and model take them in; both must agree on every one. */
static inline void relay_grow(struct relay *relay, struct model *m, uint32_t count)
{
	struct relay_admission *list = calloc(count, sizeof *list);
	int *expected = calloc(count, sizeof *expected);
	uint32_t first = m->count;
	assert_non_null(list);
	assert_non_null(expected);
	for (uint32_t i = 0; i < count; i++) {
		model_make(m);
		expected[i] = model_admit(m);
		relay_prepare(&list[i], &m->events[first + i].event);
		if (model_chance(&m->random, 50))
			assert_int_equal(hf_admission_prepare(&list[i].admission, relay->store), HF_OK);
	}
	for (uint32_t done = 0, step; done < count; done += step) {
		step = 1 + model_below(&m->random, 40);
		step = step < count - done ? step : count - done;
		relay_run(relay, list + done, step);
	}
	for (uint32_t i = 0; i < count; i++) {
		if (list[i].status != expected[i])
			fail_msg("event %u (kind %u): status %d instead of %d", first + i, m->events[first + i].event.kind,
				list[i].status, expected[i]);
		assert_true((list[i].admission.reason != NULL) == (expected[i] == HF_EDENIED));
		hf_admission_clear(&list[i].admission);
	}
	free(list);
	free(expected);
}

#endif
