/* admission: how an event gets into a relay: one store commit that decides and keeps in one go.
 *
 * The decision is made on the store's writer thread, where it sees every earlier event, so two versions of a
 * replaceable event can never both stay. In order: known already (HF_EDUPLICATE); deleted by its
 * author (NIP-09: by id, or by address up to the deletion's created_at); replaceable or
 * addressable and an equal or newer version is kept (created_at, then lowest id); else it is put, older versions are
 * deleted, and a kind 5 deletes what it names (same author only, never other deletions, `a` for
 * addressable and replaceable kinds up to its own created_at). */
#ifndef HF_DATA_EVENT_ADMISSION_H
#define HF_DATA_EVENT_ADMISSION_H

#include "data/event/event.h"
#include "store/store.h"

struct hf_admission {
	struct hf_commit commit;    /* the caller sets commit.done and commit.durability, then hf_admission_init */
	uint32_t collection;
	const struct hf_event *event;   /* borrowed until done */
	struct hf_event_meta meta;
	/* Outcome, for done: commit status is HF_OK (kept), HF_EDUPLICATE, HF_EDENIED (see reason), or a store error. */
	uint64_t position;
	const char *reason;         /* "blocked: the author has deleted this event", "duplicate: a newer version is kept", … or NULL */
};

void hf_admission_init(struct hf_admission *admission, void (*done)(struct hf_commit *commit, int status));

/* A commit that deletes up to `batch` events that expired before now_s (NIP-40), looking through expiry buckets
 * in (*hour_from .. now); sets *hour_from on. Waits; for a worker thread. Returns the number deleted or an error. */
int hf_admission_sweep_expired(struct hf_store *store, uint32_t collection, uint64_t now_s, uint64_t *hour_from, uint32_t batch);

#endif
