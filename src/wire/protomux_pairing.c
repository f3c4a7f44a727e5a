/* Which open belongs to which, and what is kept until that is known. */
#include "wire/protomux_private.h"

#include <stdlib.h>

bool hf_protomux_key_make(struct protomux_key *key, struct hf_slice protocol, struct hf_slice id)
{
	if (protocol.length > HF_PROTOMUX_PROTOCOL_BYTES_MAX || id.length > HF_PROTOMUX_ID_BYTES_MAX)
		return false;
	key->bytes[0] = (uint8_t)protocol.length;
	if (protocol.length > 0)
		memcpy(key->bytes + 1, protocol.data, protocol.length);
	if (id.length > 0)
		memcpy(key->bytes + 1 + protocol.length, id.data, id.length);
	key->slice = hf_slice(key->bytes, 1 + protocol.length + id.length);
	return true;
}

int hf_protomux_pairing_get(struct hf_protomux *mux, const struct protomux_key *key, struct protomux_pairing **pairing)
{
	struct protomux_pairing *p = hf_map_get(&mux->pairings, key->slice);

	*pairing = p;
	if (p != NULL)
		return HF_OK;
	p = calloc(1, sizeof *p + key->slice.length);
	if (p == NULL)
		return HF_ENOMEM;
	memcpy(p->bytes, key->slice.data, key->slice.length);
	p->key = hf_slice(p->bytes, key->slice.length);
	if (hf_map_put(&mux->pairings, p->key, p, NULL) != HF_OK) {
		free(p);
		return HF_ENOMEM;
	}
	*pairing = p;
	return HF_OK;
}

/* A name that is in use already stays with whom it is. */
int hf_protomux_pairing_add_alias(struct hf_protomux *mux, struct protomux_pairing *pairing, const struct protomux_key *key)
{
	struct protomux_alias *alias;

	if (hf_map_get(&mux->pairings, key->slice) != NULL)
		return HF_OK;
	alias = malloc(sizeof *alias + key->slice.length);
	if (alias == NULL)
		return HF_ENOMEM;
	memcpy(alias->bytes, key->slice.data, key->slice.length);
	alias->key = hf_slice(alias->bytes, key->slice.length);
	if (hf_map_put(&mux->pairings, alias->key, pairing, NULL) != HF_OK) {
		free(alias);
		return HF_ENOMEM;
	}
	alias->next = pairing->aliases;
	pairing->aliases = alias;
	return HF_OK;
}

static void free_pairing(struct protomux_pairing *pairing)
{
	while (pairing->aliases != NULL) {
		struct protomux_alias *alias = pairing->aliases;

		pairing->aliases = alias->next;
		free(alias);
	}
	free(pairing);
}

void hf_protomux_pairing_collect(struct hf_protomux *mux, struct protomux_pairing *pairing)
{
	bool is_empty = pairing->opened == 0 && pairing->outgoing == 0 && pairing->incoming == NULL && pairing->uses == 0;

	if (!is_empty)
		return;
	hf_map_remove(&mux->pairings, pairing->key);
	for (struct protomux_alias *alias = pairing->aliases; alias != NULL; alias = alias->next)
		hf_map_remove(&mux->pairings, alias->key);
	free_pairing(pairing);
}

void hf_protomux_pairing_settle(struct hf_protomux *mux, struct protomux_pairing *pairing)
{
	if (pairing->incoming == NULL)
		pairing->owed = 0;
	while (pairing->asking == 0 && pairing->owed == 0 && pairing->incoming != NULL) {
		struct protomux_pending *pending = pairing->incoming;
		uint32_t remote_id = pending->remote_id;

		hf_protomux_incoming_remove(mux, pairing, pending);
		mux->remotes[remote_id - 1].pending = NULL;
		pairing->uses++;
		hf_protomux_pending_free(mux, pending);
		if (!mux->has_ended)
			hf_protomux_put_control(mux, PROTOMUX_REJECT, remote_id);
		if (mux->has_ended) /* and the pairing is gone */
			return;
		pairing->uses--;
	}
	hf_protomux_pairing_collect(mux, pairing);
}

/* ---- Opens of ours that the remote has not answered ---- */

void hf_protomux_outgoing_add(struct hf_protomux *mux, struct protomux_pairing *pairing, uint32_t id)
{
	struct protomux_local *local = &mux->locals[id - 1];

	local->pairing = pairing;
	local->next = 0;
	local->previous = pairing->outgoing_last;
	if (pairing->outgoing_last != 0)
		mux->locals[pairing->outgoing_last - 1].next = id;
	else
		pairing->outgoing = id;
	pairing->outgoing_last = id;
}

void hf_protomux_outgoing_remove(struct hf_protomux *mux, uint32_t id)
{
	struct protomux_local *local = &mux->locals[id - 1];
	struct protomux_pairing *pairing = local->pairing;

	if (local->previous != 0)
		mux->locals[local->previous - 1].next = local->next;
	else
		pairing->outgoing = local->next;
	if (local->next != 0)
		mux->locals[local->next - 1].previous = local->previous;
	else
		pairing->outgoing_last = local->previous;
	local->pairing = NULL;
}

/* ---- Opens of the remote that we have not answered ---- */

static void watch_kept(struct hf_protomux *mux)
{
	bool is_above = mux->kept_bytes > HF_PROTOMUX_PAUSE_BYTES;

	if (is_above == mux->is_paused)
		return;
	mux->is_paused = is_above;
	if (mux->events->pause != NULL && !mux->has_ended)
		mux->events->pause(mux->owner, is_above);
}

bool hf_protomux_keeps(const struct hf_protomux *mux, size_t bytes)
{
	return bytes <= mux->limits.pending_bytes_max - mux->kept_bytes;
}

int hf_protomux_pending_add(struct hf_protomux *mux, struct protomux_pairing *pairing, uint32_t remote_id, struct hf_slice handshake)
{
	struct protomux_pending *pending = calloc(1, sizeof *pending + handshake.length);

	if (pending == NULL) {
		hf_protomux_pairing_collect(mux, pairing);
		return HF_ENOMEM;
	}
	pending->remote_id = remote_id;
	pending->handshake_length = handshake.length;
	if (handshake.length > 0)
		memcpy(pending->handshake, handshake.data, handshake.length);
	pending->previous = pairing->incoming_last;
	if (pairing->incoming_last != NULL)
		pairing->incoming_last->next = pending;
	else
		pairing->incoming = pending;
	pairing->incoming_last = pending;
	mux->remotes[remote_id - 1].pending = pending;
	mux->pending_count++;
	pending->kept_bytes = handshake.length;
	mux->kept_bytes += handshake.length;
	return HF_OK;
}

void hf_protomux_incoming_remove(struct hf_protomux *mux, struct protomux_pairing *pairing, struct protomux_pending *pending)
{
	if (pending->previous != NULL)
		pending->previous->next = pending->next;
	else
		pairing->incoming = pending->next;
	if (pending->next != NULL)
		pending->next->previous = pending->previous;
	else
		pairing->incoming_last = pending->previous;
	mux->pending_count--;
}

int hf_protomux_pending_keep(struct hf_protomux *mux, struct protomux_pending *pending, uint32_t type, struct hf_slice body)
{
	size_t bytes = body.length + HF_PROTOMUX_PENDING_OVERHEAD_BYTES;
	struct protomux_kept *kept;

	if (pending->is_closed)
		return HF_OK;
	if (!hf_protomux_keeps(mux, bytes)) {
		hf_protomux_fail(mux, HF_ETOOBIG, "The remote sent more than %zu bytes to channels that were not open yet.",
			mux->limits.pending_bytes_max);
		return HF_ETOOBIG;
	}
	kept = malloc(sizeof *kept + body.length);
	if (kept == NULL) {
		hf_protomux_fail(mux, HF_ENOMEM, "There is no memory for a message to a channel that was not open yet.");
		return HF_ENOMEM;
	}
	*kept = (struct protomux_kept){.type = type, .length = body.length};
	if (body.length > 0)
		memcpy(kept->body, body.data, body.length);
	if (pending->last != NULL)
		pending->last->next = kept;
	else
		pending->first = kept;
	pending->last = kept;
	pending->kept_bytes += bytes;
	mux->kept_bytes += bytes;
	watch_kept(mux);
	return mux->error;
}

struct protomux_kept *hf_protomux_pending_take(struct hf_protomux *mux, struct protomux_pending *pending)
{
	struct protomux_kept *kept = pending->first;

	if (kept == NULL)
		return NULL;
	pending->first = kept->next;
	if (kept->next == NULL)
		pending->last = NULL;
	pending->kept_bytes -= kept->length + HF_PROTOMUX_PENDING_OVERHEAD_BYTES;
	mux->kept_bytes -= kept->length + HF_PROTOMUX_PENDING_OVERHEAD_BYTES;
	return kept;
}

void hf_protomux_pending_free(struct hf_protomux *mux, struct protomux_pending *pending)
{
	for (struct protomux_kept *kept = pending->first, *next; kept != NULL; kept = next) {
		next = kept->next;
		free(kept);
	}
	mux->kept_bytes -= pending->kept_bytes;
	free(pending);
	watch_kept(mux);
}

/* ---- Whom to ask about them ---- */

static struct protomux_handler *find_handler(struct hf_protomux *mux, struct hf_slice protocol, struct hf_slice id)
{
	struct protomux_key key;

	return hf_protomux_key_make(&key, protocol, id) ? hf_map_get(&mux->handlers, key.slice) : NULL;
}

int hf_protomux_ask(struct hf_protomux *mux, struct protomux_pairing *pairing, struct hf_slice protocol, struct hf_slice id)
{
	struct protomux_handler *handler = find_handler(mux, protocol, id);
	int answer = HF_OK;

	if (handler == NULL)
		handler = find_handler(mux, protocol, hf_slice(NULL, 0));
	if (handler != NULL) {
		pairing->asking++;
		pairing->uses++;
		answer = handler->notify(handler->context, mux, protocol, id);
		if (mux->has_ended) /* and the pairing is gone */
			return mux->error;
		pairing->uses--;
		pairing->asking--;
	}
	if (answer == HF_EWAIT)
		pairing->owed++;
	else if (answer != HF_OK) {
		hf_protomux_fail(mux, answer, "A channel %.*s that the remote opened cannot be served: %s.", (int)protocol.length,
			(const char *)protocol.data, hf_error_text(answer));
		return answer;
	}
	hf_protomux_pairing_settle(mux, pairing);
	if (!mux->has_ended)
		watch_kept(mux);
	return mux->error;
}

int hf_protomux_pair(struct hf_protomux *mux, struct hf_slice protocol, struct hf_slice id, hf_protomux_notify *notify, void *context)
{
	struct protomux_handler *handler = find_handler(mux, protocol, id);
	struct protomux_key key;

	if (mux->has_ended)
		return HF_ECLOSED;
	if (!hf_protomux_key_make(&key, protocol, id))
		return HF_EINVAL;
	if (handler == NULL) {
		if (mux->handlers.count >= mux->limits.channels_max)
			return HF_ETOOBIG;
		handler = malloc(sizeof *handler + key.slice.length);
		if (handler == NULL)
			return HF_ENOMEM;
		memcpy(handler->bytes, key.slice.data, key.slice.length);
		handler->key = hf_slice(handler->bytes, key.slice.length);
		if (hf_map_put(&mux->handlers, handler->key, handler, NULL) != HF_OK) {
			free(handler);
			return HF_ENOMEM;
		}
	}
	handler->notify = notify;
	handler->context = context;
	return HF_OK;
}

void hf_protomux_unpair(struct hf_protomux *mux, struct hf_slice protocol, struct hf_slice id)
{
	struct protomux_handler *handler = find_handler(mux, protocol, id);

	if (handler == NULL)
		return;
	hf_map_remove(&mux->handlers, handler->key);
	free(handler);
}

int hf_protomux_reject(struct hf_protomux *mux, struct hf_slice protocol, struct hf_slice id)
{
	struct protomux_pairing *pairing = NULL;
	struct protomux_key key;

	if (hf_protomux_key_make(&key, protocol, id))
		pairing = hf_map_get(&mux->pairings, key.slice);
	if (pairing == NULL || pairing->owed == 0)
		return HF_ENOTFOUND;
	hf_protomux_enter(mux);
	pairing->owed--;
	hf_protomux_pairing_settle(mux, pairing);
	hf_protomux_leave(mux);
	return HF_OK;
}

/* With the mux: everything is gone from the lists already. */
void hf_protomux_pairings_free(struct hf_protomux *mux)
{
	struct protomux_pairing *pairing, *all = NULL;
	struct protomux_handler *handler;
	size_t cursor = 0;

	while ((pairing = hf_map_next(&mux->pairings, &cursor)) != NULL) /* comes once for each of its names */
		if (!pairing->is_doomed) {
			pairing->is_doomed = true;
			pairing->next_doomed = all;
			all = pairing;
		}
	hf_map_free(&mux->pairings);
	while (all != NULL) {
		pairing = all;
		all = pairing->next_doomed;
		free_pairing(pairing);
	}
	cursor = 0;
	while ((handler = hf_map_next(&mux->handlers, &cursor)) != NULL)
		free(handler);
	hf_map_free(&mux->handlers);
}
