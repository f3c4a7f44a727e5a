/* A lookup is a query whose replies are read as peers. Whoever wants to be gone from a topic, or to be there anew, takes its key away from
 * each node that gives it, or that gives so many peers that it may be among those not given. */
#include "peer/dht_node_lookup.h"

#include <stdlib.h>

#include "peer/dht_node_private.h"

struct hf_dht_lookup_clearing {
	struct hf_dht_request request;
	struct hf_dht_lookup *lookup; /* NULL: it is cancelled, or over */
	struct hf_dht_lookup_clearing *next, *previous;
};

/* ---- One announce ---- */

static int write_announce(struct hf_buffer *out, enum hf_dht_command command, const uint8_t *target, const uint8_t *id,
	const uint8_t *token, const uint8_t *secret_key, const struct hf_address *relays, size_t relay_count, uint64_t bump)
{
	uint8_t signable[HF_DHT_SIGNABLE_BYTES], signature[HF_SIGN_SIGNATURE_BYTES];
	struct hf_buffer peer = {0};
	struct hf_dht_announce announce = {.has_peer = true, .signature = signature, .bump = bump};
	int r = hf_dht_peer_write(hf_sign_public_key(secret_key), relays, relay_count, &peer);

	if (r == HF_OK) {
		announce.peer.bytes = hf_buffer_slice(&peer);
		hf_dht_announce_signable(signable, command, target, id, token, announce.peer.bytes, NULL);
		hf_sign(signature, hf_slice(signable, sizeof signable), secret_key);
		r = hf_dht_announce_write(&announce, out);
	}
	hf_buffer_free(&peer);
	return r;
}

int hf_dht_announce_at(struct hf_dht_node *node, struct hf_dht_request *request, bool remove,
	const uint8_t target[static HF_DHT_ID_BYTES], const uint8_t id[static HF_DHT_ID_BYTES],
	const uint8_t token[static HF_DHT_TOKEN_BYTES], const uint8_t secret_key[static HF_SIGN_SECRET_BYTES],
	const struct hf_address *relays, size_t relay_count)
{
	struct hf_buffer value = {0};
	int r;

	request->is_internal = false;
	request->command = remove ? HF_DHT_UNANNOUNCE : HF_DHT_ANNOUNCE;
	r = write_announce(&value, request->command, target, id, token, secret_key, relays, relay_count, 0);
	if (r == HF_OK) {
		request->target = target;
		request->token = token;
		request->has_value = true;
		request->value = hf_buffer_slice(&value);
		r = hf_dht_request_start(node, request);
	}
	hf_buffer_free(&value);
	return r;
}

/* ---- Clearing ---- */

static void end_clearing(struct hf_dht_lookup_clearing *clearing)
{
	HF_LIST_REMOVE(clearing->lookup->clearings, clearing);
	free(clearing);
}

static void look_if_done(struct hf_dht_lookup *lookup);

static void clearing_done(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct hf_dht_lookup_clearing *clearing = HF_CONTAINER_OF(request, struct hf_dht_lookup_clearing, request);
	struct hf_dht_lookup *lookup = clearing->lookup;

	(void)code; /* it is no worse than before */
	(void)reply;
	end_clearing(clearing);
	look_if_done(lookup);
}

static void clear_at(struct hf_dht_lookup *lookup, const struct hf_dht_reply *reply)
{
	struct hf_dht_lookup_clearing *clearing;

	if (!reply->token || !reply->id)
		return;
	clearing = calloc(1, sizeof *clearing);
	if (!clearing)
		return;
	clearing->lookup = lookup;
	clearing->request.to = reply->from;
	clearing->request.done = clearing_done;
	clearing->request.force = lookup->force;
	HF_LIST_PUSH(lookup->clearings, clearing);
	if (hf_dht_announce_at(lookup->node, &clearing->request, true, lookup->target, reply->id, reply->token, lookup->secret_key, NULL, 0) < 0)
		end_clearing(clearing);
}

static bool has_our_key(const struct hf_dht_lookup *lookup, const struct hf_dht_lookup_reply *reply)
{
	for (size_t i = 0; i < reply->count; i++)
		if (memcmp(reply->peers[i].public_key, hf_sign_public_key(lookup->secret_key), HF_SIGN_PUBLIC_BYTES) == 0)
			return true;
	return reply->count >= HF_DHT_K;
}

/* ---- The query ---- */

static void on_reply(struct hf_dht_query *query, const struct hf_dht_reply *reply)
{
	struct hf_dht_lookup *lookup = HF_CONTAINER_OF(query, struct hf_dht_lookup, query);
	struct hf_dht_lookup_reply peers = {.count = 1};
	int r;

	if (!reply->has_value)
		return;
	if (lookup->kind == HF_DHT_FIND)
		r = hf_dht_peer_read(reply->value, &peers.peers[0]);
	else
		r = hf_dht_lookup_reply_read(reply->value, &peers);
	if (r < 0)
		return;
	if (peers.bump > lookup->bump_seen)
		lookup->bump_seen = peers.bump;
	if ((lookup->kind == HF_DHT_REMOVE || (lookup->kind == HF_DHT_ADD && lookup->clear)) && has_our_key(lookup, &peers))
		clear_at(lookup, reply);
	if (lookup->peers)
		lookup->peers(lookup, reply, peers.peers, peers.count);
}

static int on_commit(struct hf_dht_query *query, const struct hf_dht_closest *to, struct hf_buffer *value)
{
	struct hf_dht_lookup *lookup = HF_CONTAINER_OF(query, struct hf_dht_lookup, query);

	return write_announce(value, HF_DHT_ANNOUNCE, lookup->target, to->node.id, to->token, lookup->secret_key, lookup->relays,
		lookup->relay_count, lookup->bump);
}

/* Done when the query is and nothing is being cleared. */
static void look_if_done(struct hf_dht_lookup *lookup)
{
	if (!lookup->is_found_out || lookup->clearings)
		return;
	lookup->is_found_out = false;
	lookup->done(lookup, lookup->code);
}

static void on_done(struct hf_dht_query *query, int code)
{
	struct hf_dht_lookup *lookup = HF_CONTAINER_OF(query, struct hf_dht_lookup, query);

	lookup->is_found_out = true;
	lookup->code = code;
	hf_dht_query_contacts(query, lookup->closest);
	hf_dht_query_closest(query, &lookup->closest_count);
	look_if_done(lookup);
}

int hf_dht_lookup_start(struct hf_dht_node *node, struct hf_dht_lookup *lookup)
{
	struct hf_dht_query *query = &lookup->query;
	bool is_signed = lookup->kind == HF_DHT_ADD || lookup->kind == HF_DHT_REMOVE;

	if ((is_signed && !lookup->secret_key) || lookup->relay_count > HF_DHT_RECORD_RELAYS_MAX)
		return HF_EINVAL;
	lookup->node = node;
	lookup->clearings = NULL;
	lookup->is_found_out = false;
	lookup->bump_seen = 0;
	*query = (struct hf_dht_query){
		.command = lookup->kind == HF_DHT_FIND ? HF_DHT_FIND_PEER : HF_DHT_LOOKUP,
		.only_closest = lookup->only_closest,
		.force = lookup->force,
		.start = lookup->start,
		.start_count = lookup->start_count,
		.reply = on_reply,
		.done = on_done,
	};
	memcpy(query->target, lookup->target, HF_DHT_ID_BYTES);
	if (lookup->kind == HF_DHT_ADD) {
		query->commit = on_commit;
		query->commit_command = HF_DHT_ANNOUNCE;
	}
	if (is_signed && node->records)
		hf_dht_record_store_remove(node->records, lookup->target, hf_sign_public_key(lookup->secret_key));
	return hf_dht_query_start(node, query);
}

void hf_dht_lookup_cancel(struct hf_dht_lookup *lookup)
{
	hf_dht_query_cancel(&lookup->query);
	while (lookup->clearings) {
		hf_dht_request_cancel(&lookup->clearings->request);
		end_clearing(lookup->clearings);
	}
	lookup->is_found_out = false;
}
