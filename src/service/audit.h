/* audit: who did what that matters later, in a chain that shows when something was taken out or changed.
 *
 * A record is the canonical JSON object {"at": Unix ms, "fields": {...}, "kind", "previous": hash, "seq"}; the hash of a record is the
 * SHA-256 of that text, and the first record's "previous" is 64 zeros. Records lie in a log of the store; the newest record's hash is
 * kept with them in the same commit. Who needs to show that the end was not cut off exports now and then and keeps the last line.
 *
 * Writing is queued and never waits; at the bound a record is dropped and counted, and the next one says how many were lost.
 */
#ifndef HF_SERVICE_AUDIT_H
#define HF_SERVICE_AUDIT_H

#include "base/metrics.h"
#include "store/store.h"

#define HF_AUDIT_LOG 1                   /* of the store: numbers below 8 are no core's */
#define HF_AUDIT_TABLE 4                 /* "head": le64 of the next number, and the hash of the newest record */
#define HF_AUDIT_FIELDS_BYTES_MAX 8192
#define HF_AUDIT_QUEUE_COUNT_MAX 4096
#define HF_AUDIT_KEEP_COUNT 1000000      /* older ones are forgotten; the chain begins with the oldest that is there */

struct hf_audit;
int hf_audit_open(struct hf_audit **out, struct hf_store *store, struct hf_env *env, struct hf_metrics *metrics);
/* Waits until what is queued is committed. NULL is fine. */
void hf_audit_close(struct hf_audit *audit);
/* kind: "registration.merged", "token.issued"…; fields: a JSON object. NULL as audit does nothing. Any thread. */
void hf_audit_write(struct hf_audit *audit, const char *kind, struct hf_slice fields);

/* Called with each record's number and text when it is committed, on the store's thread or the caller's; it must not block. NULL ends it:
 * none comes any more when this has returned. */
void hf_audit_listen(struct hf_audit *audit, void (*written)(void *context, uint64_t number, struct hf_slice record), void *context);

struct hf_audit_check {
	uint64_t from, count;   /* the first number, and how many are there */
	uint8_t head[32];       /* the newest record's hash */
	bool is_sound;
	uint64_t fault;         /* the number of the first record that does not fit; when not sound */
};
/* Reads the chain and calls each (may be NULL) with every record's text and hash, from number `from` on; what it returns below 0 ends it
 * and is returned. Blocking. HF_OK, also when it is not sound; HF_EIO, HF_ENOMEM. */
int hf_audit_read(struct hf_store *store, uint64_t from, int (*each)(void *context, uint64_t number, struct hf_slice record,
	const uint8_t hash[static 32]), void *context, struct hf_audit_check *check);
/* The newest records only, oldest first, without checking the chain. */
int hf_audit_tail(struct hf_store *store, uint64_t count, int (*each)(void *context, uint64_t number, struct hf_slice record),
	void *context);

#endif
