/* dials: which peers the gateway calls, because records name them. A peer is wanted once for every record that names it, and let go with
 * the last one. How many peers a record, and whoever is behind it, can make the gateway call is bounded; those whom the operator let in by
 * name or secret have bounds of their own, all others share one. Who is past a bound can still come by itself.
 *
 * No I/O. One loop.
 */
#ifndef HF_SERVICE_GATEWAY_DIALS_H
#define HF_SERVICE_GATEWAY_DIALS_H

#include "service/gateway/registry.h"

#define HF_DIALS_RECORD_MAX 8u      /* peers of one record */
#define HF_DIALS_PRINCIPAL_MAX 64u  /* of all records of one principal */
#define HF_DIALS_STRANGERS_MAX 32u  /* of all records of strangers together */
#define HF_DIALS_MAX 1024u          /* in all */

struct hf_dials;

struct hf_dials_options {
	size_t size;
	uint64_t seed;
	struct hf_metrics *metrics; /* may be NULL */
	uint32_t record_max, principal_max, strangers_max, dials_max; /* 0: the above */
	/* Whether the operator lets in whoever is behind the record; others are strangers, who come where registration is open. */
	bool (*knows)(void *context, const struct hf_registration *record);
	bool (*is_here)(void *context, const uint8_t peer[static 32]); /* it is connected: it need not be called */
	int (*want)(void *context, const uint8_t peer[static 32]);     /* below 0: it is not called */
	void (*unwant)(void *context, const uint8_t peer[static 32]);
	void *context;
};
int hf_dials_new(struct hf_dials **out, const struct hf_dials_options *options); /* HF_ENOMEM */
void hf_dials_free(struct hf_dials *dials); /* after the registry; nobody is unwanted; NULL is fine */
/* From now on the registry's records are taken and dropped, those that are there at once. HF_ENOMEM. */
int hf_dials_follow(struct hf_dials *dials, struct hf_registry *registry);

/* A record is new or has changed: peers that it names no more are let go, those that it names now and that are not here are called, the
 * ones that proved their key first. Without memory for one it is called with the record's next change. */
void hf_dials_take(struct hf_dials *dials, const struct hf_registration *record);
void hf_dials_drop(struct hf_dials *dials, const char *key); /* the record is gone; none of that key is fine */

struct hf_dials_stats {
	uint64_t wanted;    /* peers, now */
	uint64_t strangers; /* of them, calls for records of strangers */
	uint64_t refused;   /* calls that a bound forbade, so far */
};
void hf_dials_stats(const struct hf_dials *dials, struct hf_dials_stats *stats);

#endif
