/* discovery: hears what gateways announce: looks for those that are at their meeting point, dials each, and takes what it says, once a
 * round. (spec: gateway, section 7)
 *
 *     hf_discovery_new(&discovery, {… .connector, .events, .context}, &failure);
 *     hf_discovery_look(discovery);   // and from then on every interval_ms
 *
 * Anybody can be there and say anything: each is dialled by one of HF_DISCOVERY_PARALLEL_MAX, heard for HF_DISCOVERY_HEAR_MS and
 * HF_ANNOUNCEMENT_BYTES_MAX, and checked; what does not hold is counted by its reason. Who said something that is of use is asked again in
 * the next round, whether it was found then or not, so that strangers cannot crowd it out.
 *
 * It all belongs to the loop's thread. Events come from the loop; it is not freed in one.
 */
#ifndef HF_SERVICE_DISCOVERY_H
#define HF_SERVICE_DISCOVERY_H

#include "base/metrics.h"
#include "peer/connector.h"
#include "wire/announcement.h"

#define HF_DISCOVERY_ADVERTISER_COUNT_MAX 64u /* of a round; further ones are not dialled, and counted */
#define HF_DISCOVERY_PARALLEL_MAX 4u
#define HF_DISCOVERY_HEAR_MS 12000u           /* from dialling on */
#define HF_DISCOVERY_SEEN_COUNT_MAX 256u      /* gateways of which the last time is known */

struct hf_discovery;

struct hf_discovery_events {
	/* One that holds. advertiser: who said it, which proves nothing. True: it is of use. */
	bool (*heard)(void *context, const struct hf_announcement *announcement, const uint8_t advertiser[static 32]);
	/* announcement: NULL where it could not be read. May be NULL. */
	void (*refused)(void *context, enum hf_announcement_refusal refusal, const struct hf_announcement *announcement,
		const uint8_t advertiser[static 32]);
	/* A round is over; code: of the lookup. May be NULL. */
	void (*looked)(void *context, int code);
};

struct hf_discovery_options {
	size_t size; /* sizeof this struct */
	struct hf_loop *loop;
	struct hf_dht_connector *connector;
	uint32_t interval_ms;          /* between rounds, a fifth more or less, also before the first; 0: there is one for each call of look */
	bool takes_foreign_keys;       /* see hf_announcement_check */
	struct hf_metrics *metrics;    /* may be NULL */
	const struct hf_discovery_events *events;
	void *context;
};
/* HF_EINVAL, HF_ENOMEM. */
int hf_discovery_new(struct hf_discovery **out, const struct hf_discovery_options *options, struct hf_failure *failure);
void hf_discovery_free(struct hf_discovery *discovery); /* NULL is fine */
/* Now, unless a round is under way. */
void hf_discovery_look(struct hf_discovery *discovery);

#endif
