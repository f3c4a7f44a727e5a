/* fanout: an event's JSON is written once, the message once for each distinct subscription id, and shared.
 *
 * Clients of one program tend to use the same ids, so the messages of one fan-out are kept in a small table by id. */
#include "service/relay/internal.h"

#include "base/list.h"

#define MESSAGE_SLOT_COUNT 64 /* a power of two */

struct slot {
	struct hf_slice id; /* borrowed from the subscription it was made for */
	struct hf_websocket_message *message;
};

struct round {
	struct hf_relay *relay;
	const struct hf_event *event;
	bool is_private;
	uint64_t expires_s;
	size_t delivered_count;
	struct slot slots[MESSAGE_SLOT_COUNT];
};

/* The message for that subscription id, borrowed from the slot; NULL when out of memory. */
static struct hf_websocket_message *message_for(struct round *round, struct hf_slice id)
{
	struct hf_relay *relay = round->relay;
	struct slot *slot = &round->slots[hf_hash64(id.data, id.length, relay->in_flight.seed) & (MESSAGE_SLOT_COUNT - 1)];
	if (slot->message && hf_slice_equal(slot->id, id))
		return slot->message;
	if (relay->json.length == 0 && hf_event_to_json(round->event, &relay->json) < 0)
		return NULL;
	hf_buffer_clear(&relay->reply);
	if (hf_nostr_append_event_head(&relay->reply, id) < 0)
		return NULL;
	const struct hf_slice parts[] = {hf_buffer_slice(&relay->reply), hf_buffer_slice(&relay->json), HF_SLICE_LITERAL(HF_NOSTR_EVENT_TAIL)};
	struct hf_websocket_message *message = hf_websocket_message_new(relay->loop, parts, 3);
	hf_buffer_clear(&relay->reply);
	if (!message)
		return NULL;
	if (slot->message)
		hf_websocket_message_unref(slot->message);
	*slot = (struct slot){id, message};
	return message;
}

static void each(void *context, struct hf_subscription *subscription)
{
	struct round *round = context;
	struct hf_relay_question *request =
		HF_CONTAINER_OF(subscription, struct hf_relay_question, subscription);
	struct hf_relay_connection *c = request->connection;
	if (!c->link || (round->is_private && !hf_relay_auth_is_involved(c->auth, round->event)))
		return;
	struct hf_slice id = hf_slice(request->id, request->id_length);
	struct hf_websocket_message *message = message_for(round, id);
	if (!message) {
		c->transport->close(c->link, 1011, "out of memory"); /* better than a gap that nobody sees */
		return;
	}
	hf_relay_query_deliver(request, message, round->relay->json.length, round->expires_s);
	round->delivered_count++;
}

void hf_relay_fan_out(struct hf_relay *relay, const struct hf_event *event, uint64_t position)
{
	if (hf_subscriptions_count(relay->subscriptions) == 0)
		return;
	struct round round;
	round.expires_s = hf_event_expiration(event);
	if (round.expires_s <= hf_env_wall_s(relay->env)) /* on its way to the disk */
		return;
	round.relay = relay;
	round.event = event;
	round.is_private = relay->policy.private_reads && hf_relay_kind_is_private(event->kind);
	round.delivered_count = 0;
	memset(round.slots, 0, sizeof round.slots);
	relay->is_fanning_out = true;
	hf_subscriptions_match(relay->subscriptions, event, position, each, &round);
	relay->is_fanning_out = false;
	if (round.delivered_count > 0) {
		for (size_t i = 0; i < MESSAGE_SLOT_COUNT; i++)
			if (round.slots[i].message)
				hf_websocket_message_unref(round.slots[i].message);
		hf_counter_add(&relay->metrics.delivered, round.delivered_count);
	}
	hf_buffer_clear(&relay->json);
	hf_relay_connection_reap(relay);
}
