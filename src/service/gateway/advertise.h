/* advertise: tells who comes to the meeting point of gateways (HF_ANNOUNCEMENT_TOPIC) what this one is. (spec: gateway, section 7)
 *
 * Who comes there says nothing: it is told one announcement, and the stream ends. Hyperswarm does not tell a server for which topic it was
 * dialled, so this one is a swarm of its own, on the node of the gateway's: with a key that is derived from the gateway's, and so as stable
 * as that is, and a server on which nothing but this is ever said.
 */
#ifndef HF_SERVICE_GATEWAY_ADVERTISE_H
#define HF_SERVICE_GATEWAY_ADVERTISE_H

#include "base/metrics.h"
#include "peer/swarm.h"
#include "wire/announcement.h"

#define HF_ADVERTISE_LISTENER_COUNT_MAX 256u /* at a time; others try again */

struct hf_advertiser;

struct hf_advertiser_options {
	size_t size; /* sizeof this struct */
	struct hf_loop *loop;
	struct hf_dht_connector *connector;
	const uint8_t *secret_key; /* HF_SIGN_SECRET_BYTES: the gateway's; borrowed until free */
	struct hf_metrics *metrics; /* may be NULL */
	/* Fills in all but what signing sets. It is asked when the last announcement is half of refresh_ms old, by somebody's coming. */
	void (*describe)(void *context, struct hf_announcement *announcement, uint64_t *refresh_ms);
	void *context;
};
/* HF_ENOMEM and what hf_swarm_new returns. */
int hf_advertiser_new(struct hf_advertiser **out, const struct hf_advertiser_options *options, struct hf_failure *failure);
/* Says goodbye to the network, in the background, while the loop goes on. NULL is fine, here and below. */
void hf_advertiser_close(struct hf_advertiser *advertiser);
void hf_advertiser_free(struct hf_advertiser *advertiser);

#endif
