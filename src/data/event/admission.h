/* admission: how an event gets into a relay: one store commit that decides and keeps in one go.
 *
 * The decision is made on the store's writer thread, where it sees every earlier event, so two versions of a
 * replaceable event can never both stay. In order: deleted by its author (NIP-09: by id, or by address up to the
 * deletion's created_at); replaceable or addressable and an equal or newer version is kept (created_at, then lowest
 * id); known already (HF_EDUPLICATE); else it is put, the older version is deleted, and a kind 5 deletes what it names:
 * of the same author only, never other deletions, `a` for addressable and replaceable kinds up to its own created_at.
 * It does not matter which comes first, a deletion or what it deletes.
 *
 * A missing d tag is an empty d value. A deletion stays in force when it has an expiration that passed.
 *
 * The event's form and signature, and the relay's policy, are the caller's affair; ephemeral kinds are refused with
 * HF_EINVAL, as they are never stored.
 *
 * Use: set collection, event, meta and commit.durability; init; prepare (where the signature is checked, say);
 * hf_store_submit(&admission->commit); in done, read the outcome and clear. */
#ifndef HF_DATA_EVENT_ADMISSION_H
#define HF_DATA_EVENT_ADMISSION_H

#include "data/event/event.h"
#include "store/store.h"

#define HF_ADMISSION_TERMS_INLINE_COUNT 12

struct hf_admission {
	struct hf_commit commit;        /* the first member: done finds the admission by a cast */
	uint32_t collection;
	const struct hf_event *event;   /* borrowed until done, with the text it points into */
	struct hf_event_meta meta;      /* HF_EVENT_HAS_EXPIRATION is set by prepare */
	/* Outcome, for done: its status is HF_OK (kept), HF_EDUPLICATE, HF_EDENIED (see reason), or a store error. */
	uint64_t position;
	uint32_t removed_count;         /* older versions and deleted events that went with this commit */
	const char *reason;             /* static: "blocked: the author has deleted this event", …; NULL without one */
	/* Prepared. */
	struct hf_buffer payload;
	uint64_t *terms;                /* inline_terms or allocated */
	uint64_t author_deletions;      /* term: kind 5 of the author */
	uint32_t term_count;
	int prepared;                   /* 1, or 0: not yet, or the error */
	uint64_t inline_terms[HF_ADMISSION_TERMS_INLINE_COUNT];
};

/* Leaves collection, event, meta and commit.durability as the caller set them. */
void hf_admission_init(struct hf_admission *admission, void (*done)(struct hf_commit *commit, int status));
/* Packs the event and computes its terms, from any thread, before submit: what the writer then need not do. It may be
 * left out. HF_EDENIED with a reason when the event had expired at meta.received_ms (NIP-40), HF_EINVAL for
 * ephemeral kinds, HF_ETOOBIG, HF_ENOMEM; a commit submitted nevertheless ends with the same error. */
int hf_admission_prepare(struct hf_admission *admission, const struct hf_store *store);
/* Frees what prepare made. Fine after init, and twice. */
void hf_admission_clear(struct hf_admission *admission);

/* Deletes up to `batch` events that expired at or before now_s (NIP-40), looking through the hours from *hour_from
 * (0 at first) to now's, and sets *hour_from on. Waits; for a worker thread. Returns the number deleted or a store
 * error. A full batch means that there may be more. */
int hf_admission_sweep_expired(struct hf_store *store, uint32_t collection, uint64_t now_s, uint64_t *hour_from,
	uint32_t batch);

#endif
