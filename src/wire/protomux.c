/* Coming and going, and what the remote says. Every decoder of control messages is here. */
#include "wire/protomux_private.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int hf_protomux_new(const struct hf_protomux_events *events, void *owner, uint64_t seed, const struct hf_protomux_limits *limits,
	struct hf_protomux **mux)
{
	static const struct hf_protomux_limits defaults = {
		.channels_max = HF_PROTOMUX_CHANNELS_MAX,
		.pending_opens_max = HF_PROTOMUX_PENDING_OPENS_MAX,
		.pending_bytes_max = HF_PROTOMUX_PENDING_BYTES_MAX,
	};
	struct hf_protomux *m = calloc(1, sizeof *m);

	*mux = m;
	if (m == NULL)
		return HF_ENOMEM;
	m->events = events;
	m->owner = owner;
	m->limits = limits != NULL ? *limits : defaults;
	m->writer = hf_compact_writer(&m->out);
	hf_map_init(&m->pairings, seed);
	hf_map_init(&m->handlers, seed);
	return HF_OK;
}

void hf_protomux_enter(struct hf_protomux *mux)
{
	mux->depth++;
}

void hf_protomux_leave(struct hf_protomux *mux)
{
	assert(mux->depth > 0);
	if (--mux->depth > 0)
		return;
	while (mux->dead != NULL) {
		struct hf_channel *channel = mux->dead;

		mux->dead = channel->next_dead;
		free(channel);
	}
	if (!mux->is_freed)
		return;
	free(mux->locals);
	free(mux->remotes);
	hf_buffer_free(&mux->out);
	free(mux);
}

static void end_channels(struct hf_protomux *mux)
{
	for (uint32_t i = 0; i < mux->local_count; i++)
		if (mux->locals[i].channel != NULL)
			hf_protomux_channel_end(mux->locals[i].channel, HF_CHANNEL_DESTROYED);
	for (uint32_t i = 0; i < mux->remote_count; i++)
		if (mux->remotes[i].pending != NULL)
			hf_protomux_pending_free(mux, mux->remotes[i].pending);
	mux->remote_count = 0;
	hf_buffer_free(&mux->out);
	hf_protomux_pairings_free(mux);
}

void hf_protomux_free(struct hf_protomux *mux)
{
	if (mux == NULL)
		return;
	hf_protomux_enter(mux);
	if (!mux->has_ended) {
		mux->has_ended = true;
		mux->error = HF_ECLOSED;
		end_channels(mux);
	}
	mux->is_freed = true;
	hf_protomux_leave(mux);
}

void hf_protomux_fail(struct hf_protomux *mux, int code, const char *format, ...)
{
	struct hf_failure failure = {.code = code};
	va_list arguments;

	if (mux->has_ended)
		return;
	va_start(arguments, format);
	vsnprintf(failure.text, sizeof failure.text, format, arguments);
	va_end(arguments);
	hf_protomux_enter(mux);
	mux->has_ended = true;
	mux->error = code;
	end_channels(mux);
	if (!mux->is_freed)
		mux->events->error(mux->owner, &failure);
	hf_protomux_leave(mux);
}

void hf_protomux_drained(struct hf_protomux *mux)
{
	hf_protomux_enter(mux);
	for (uint32_t i = 0; i < mux->local_count && !mux->has_ended; i++) {
		struct hf_channel *channel = mux->locals[i].channel;

		if (channel != NULL && channel->events->drain != NULL)
			channel->events->drain(channel, channel->context);
	}
	hf_protomux_leave(mux);
}

int hf_protomux_error(const struct hf_protomux *mux)
{
	return mux->has_ended ? mux->error : HF_OK;
}

uint32_t hf_protomux_channel_count(const struct hf_protomux *mux)
{
	return mux->channel_count;
}

/* ---- What the remote says ---- */

static int malformed(struct hf_protomux *mux, const struct hf_compact_reader *in, const char *what)
{
	hf_protomux_fail(mux, in->status, "The remote sent %s that cannot be read: %s.", what, hf_error_text(in->status));
	return in->status;
}

static struct protomux_remote *remote_of(struct hf_protomux *mux, uint64_t id)
{
	return id > 0 && id <= mux->remote_count ? &mux->remotes[id - 1] : NULL;
}

/* The remote may use any id that is free, or the next after the highest. */
static int take_remote_id(struct hf_protomux *mux, uint64_t id)
{
	struct protomux_remote *remote = remote_of(mux, id);

	if (id == 0 || id > (uint64_t)mux->remote_count + 1 || (remote != NULL && (remote->channel != NULL || remote->pending != NULL))) {
		hf_protomux_fail(mux, HF_EMALFORMED, "The remote opened channel %llu, which is not free.", (unsigned long long)id);
		return HF_EMALFORMED;
	}
	if (remote != NULL)
		return HF_OK;
	if (id > mux->limits.channels_max) {
		hf_protomux_fail(mux, HF_ETOOBIG, "The remote opened more than %u channels.", mux->limits.channels_max);
		return HF_ETOOBIG;
	}
	if (mux->remote_count == mux->remote_capacity) {
		uint32_t capacity = mux->remote_capacity > 0 ? 2 * mux->remote_capacity : 4;
		struct protomux_remote *remotes = realloc(mux->remotes, capacity * sizeof *remotes);

		if (remotes == NULL) {
			hf_protomux_fail(mux, HF_ENOMEM, "There is no memory for a channel that the remote opened.");
			return HF_ENOMEM;
		}
		mux->remotes = remotes;
		mux->remote_capacity = capacity;
	}
	mux->remotes[mux->remote_count++] = (struct protomux_remote){0};
	return HF_OK;
}

/* An open that answers ours. */
static int complete(struct hf_protomux *mux, struct protomux_pairing *pairing, uint32_t remote_id, struct hf_slice handshake)
{
	uint32_t local_id = pairing->outgoing;
	struct hf_channel *channel = mux->locals[local_id - 1].channel;

	hf_protomux_outgoing_remove(mux, local_id);
	if (channel == NULL) { /* we have closed it since; the remote knows, or will */
		hf_protomux_local_free(mux, local_id);
		hf_protomux_pairing_collect(mux, pairing);
		return HF_OK;
	}
	mux->remotes[remote_id - 1].channel = channel;
	channel->remote_id = remote_id;
	return hf_protomux_channel_opened(channel, handshake);
}

static int take_open(struct hf_protomux *mux, struct hf_compact_reader *in)
{
	uint64_t id = hf_compact_read_uint(in);
	struct hf_slice protocol = hf_compact_read_buffer(in), channel_id = hf_compact_read_buffer(in);
	struct hf_slice handshake = hf_compact_read_raw(in);
	struct protomux_pairing *pairing;
	struct protomux_key key;
	int error;

	if (in->status != HF_OK)
		return malformed(mux, in, "an open message");
	error = take_remote_id(mux, id);
	if (error != HF_OK)
		return error;
	if (!hf_protomux_key_make(&key, protocol, channel_id) || handshake.length > HF_PROTOMUX_HANDSHAKE_BYTES_MAX) {
		hf_protomux_put_control(mux, PROTOMUX_REJECT, (uint32_t)id);
		return mux->error;
	}
	pairing = hf_map_get(&mux->pairings, key.slice);
	if (pairing != NULL && pairing->outgoing != 0)
		return complete(mux, pairing, (uint32_t)id, handshake);
	if (mux->pending_count >= mux->limits.pending_opens_max || !hf_protomux_keeps(mux, handshake.length)) {
		hf_protomux_put_control(mux, PROTOMUX_REJECT, (uint32_t)id);
		return mux->error;
	}
	error = hf_protomux_pairing_get(mux, &key, &pairing);
	if (error == HF_OK)
		error = hf_protomux_pending_add(mux, pairing, (uint32_t)id, handshake);
	if (error == HF_ENOMEM)
		hf_protomux_fail(mux, error, "There is no memory for a channel that the remote opened.");
	return error != HF_OK ? error : hf_protomux_ask(mux, pairing, protocol, channel_id);
}

static int take_reject(struct hf_protomux *mux, struct hf_compact_reader *in)
{
	uint64_t id = hf_compact_read_uint(in);
	struct protomux_local *local = id > 0 && id <= mux->local_count ? &mux->locals[id - 1] : NULL;

	if (in->status != HF_OK)
		return malformed(mux, in, "a reject message");
	if (local == NULL || local->pairing == NULL) {
		hf_protomux_fail(mux, HF_EMALFORMED, "The remote rejected channel %llu, whose opening it was not asked about.",
			(unsigned long long)id);
		return HF_EMALFORMED;
	}
	struct protomux_pairing *pairing = local->pairing;
	struct hf_channel *channel = local->channel;

	hf_protomux_outgoing_remove(mux, (uint32_t)id);
	if (channel != NULL)
		hf_protomux_channel_end(channel, HF_CHANNEL_REMOTE);
	else {
		hf_protomux_local_free(mux, (uint32_t)id);
		hf_protomux_pairing_collect(mux, pairing);
	}
	return mux->error;
}

static int take_close(struct hf_protomux *mux, struct hf_compact_reader *in)
{
	struct protomux_remote *remote = remote_of(mux, hf_compact_read_uint(in));

	if (in->status != HF_OK)
		return malformed(mux, in, "a close message");
	if (remote != NULL && remote->channel != NULL)
		hf_protomux_channel_end(remote->channel, HF_CHANNEL_REMOTE);
	else if (remote != NULL && remote->pending != NULL)
		remote->pending->is_closed = true;
	return mux->error;
}

static int take_batch(struct hf_protomux *mux, struct hf_compact_reader *in);

static int take_control(struct hf_protomux *mux, uint64_t type, struct hf_compact_reader *in, bool in_batch)
{
	switch (type) {
	case PROTOMUX_BATCH:
		if (!in_batch)
			return take_batch(mux, in);
		hf_protomux_fail(mux, HF_EMALFORMED, "The remote sent a batch inside a batch.");
		return HF_EMALFORMED;
	case PROTOMUX_OPEN: return take_open(mux, in);
	case PROTOMUX_REJECT: return take_reject(mux, in);
	case PROTOMUX_CLOSE: return take_close(mux, in);
	default: return HF_OK; /* for what may come */
	}
}

static int take_message(struct hf_protomux *mux, uint64_t id, struct hf_compact_reader *in, bool in_batch)
{
	uint64_t type = hf_compact_read_uint(in);
	struct protomux_remote *remote = remote_of(mux, id);
	struct hf_slice body;

	if (in->status != HF_OK)
		return malformed(mux, in, "a message");
	if (id == 0)
		return take_control(mux, type, in, in_batch);
	if (remote == NULL || type > UINT32_MAX) /* sent before it heard of our close, or a type that we do not know */
		return HF_OK;
	body = hf_compact_read_raw(in);
	if (remote->pending != NULL)
		return hf_protomux_pending_keep(mux, remote->pending, (uint32_t)type, body);
	return remote->channel != NULL ? hf_protomux_channel_deliver(remote->channel, (uint32_t)type, body) : HF_OK;
}

/* A message that claims more than is left ends where the batch does, as in the package. */
static int take_batch(struct hf_protomux *mux, struct hf_compact_reader *in)
{
	uint64_t id = hf_compact_read_uint(in);
	bool corked = false;
	int error = HF_OK;

	while (hf_compact_left(in) > 0 && error == HF_OK && !mux->has_ended) {
		uint64_t length = hf_compact_read_uint(in);

		if (length == 0) {
			id = hf_compact_read_uint(in);
			continue;
		}
		if (length > hf_compact_left(in))
			length = hf_compact_left(in);
		struct hf_compact_reader item = hf_compact_reader(hf_slice(in->at, length));

		in->at += length;
		if (!corked && hf_compact_left(in) > 0) {
			corked = true;
			hf_protomux_cork(mux);
		}
		error = take_message(mux, id, &item, true);
	}
	if (error == HF_OK && in->status != HF_OK)
		error = malformed(mux, in, "a batch");
	if (corked)
		hf_protomux_uncork(mux);
	return error;
}

int hf_protomux_recv(struct hf_protomux *mux, struct hf_slice message)
{
	struct hf_compact_reader in = hf_compact_reader(message);

	if (mux->has_ended)
		return HF_ECLOSED;
	if (message.length == 0)
		return HF_OK;
	hf_protomux_enter(mux);
	uint64_t id = hf_compact_read_uint(&in);

	take_message(mux, id, &in, false);
	int error = mux->error;

	hf_protomux_leave(mux);
	return error;
}
