/* Channels, from open to close. */
#include "wire/protomux_private.h"

#include <stdlib.h>

void hf_protomux_local_free(struct hf_protomux *mux, uint32_t id)
{
	mux->locals[id - 1].next = mux->local_free;
	mux->local_free = id;
}

/* Makes sure that an id can be taken. */
static int reserve_local(struct hf_protomux *mux)
{
	if (mux->local_free != 0)
		return HF_OK;
	if (mux->local_count >= mux->limits.channels_max)
		return HF_ETOOBIG;
	if (mux->local_count < mux->local_capacity)
		return HF_OK;
	uint32_t capacity = mux->local_capacity > 0 ? 2 * mux->local_capacity : 4;
	struct protomux_local *locals = realloc(mux->locals, capacity * sizeof *locals);

	if (locals == NULL)
		return HF_ENOMEM;
	mux->locals = locals;
	mux->local_capacity = capacity;
	return HF_OK;
}

/* The id that was freed last, or the next. */
static uint32_t take_local(struct hf_protomux *mux, struct hf_channel *channel)
{
	uint32_t id = mux->local_free;

	if (id != 0)
		mux->local_free = mux->locals[id - 1].next;
	else
		id = ++mux->local_count;
	mux->locals[id - 1] = (struct protomux_local){.channel = channel};
	return id;
}

/* ---- What the remote does to a channel ---- */

static int judge(struct hf_channel *channel, int error, const char *what)
{
	struct hf_protomux *mux = channel->mux;

	if (error != HF_OK)
		hf_protomux_fail(mux, error, "%s of the remote's channel %.*s is refused: %s.", what, (int)channel->protocol_length,
			channel->protocol, hf_error_text(error));
	return mux->error;
}

int hf_protomux_channel_opened(struct hf_channel *channel, struct hf_slice handshake)
{
	channel->is_open = true;
	if (channel->events->open == NULL)
		return HF_OK;
	return judge(channel, channel->events->open(channel, channel->context, handshake), "The handshake");
}

int hf_protomux_channel_deliver(struct hf_channel *channel, uint32_t type, struct hf_slice body)
{
	if (type >= channel->events->message_types)
		return HF_OK;
	return judge(channel, channel->events->message(channel, channel->context, type, body), "A message");
}

/* Takes the channel out of everything; `close` is still to be called. */
static void detach(struct hf_channel *channel)
{
	struct hf_protomux *mux = channel->mux;
	struct protomux_pairing *pairing = channel->pairing;
	struct protomux_local *local = &mux->locals[channel->local_id - 1];

	channel->is_open = false;
	channel->is_closed = true;
	channel->pairing = NULL;
	if (channel->remote_id != 0)
		mux->remotes[channel->remote_id - 1] = (struct protomux_remote){0};
	local->channel = NULL;
	if (local->pairing == NULL)
		hf_protomux_local_free(mux, channel->local_id);
	mux->channel_count--;
	pairing->opened--;
	if (!mux->has_ended) /* else all of them go at once */
		hf_protomux_pairing_collect(mux, pairing);
	channel->next_dead = mux->dead;
	mux->dead = channel;
}

void hf_protomux_channel_end(struct hf_channel *channel, enum hf_channel_end end)
{
	detach(channel);
	if (channel->events->close != NULL)
		channel->events->close(channel, channel->context, end);
}

void hf_channel_close(struct hf_channel *channel)
{
	struct hf_protomux *mux = channel->mux;

	if (channel->is_closed)
		return;
	hf_protomux_enter(mux);
	detach(channel);
	if (!mux->has_ended)
		hf_protomux_put_control(mux, PROTOMUX_CLOSE, channel->local_id);
	if (channel->events->close != NULL)
		channel->events->close(channel, channel->context, HF_CHANNEL_LOCAL);
	hf_protomux_leave(mux);
}

/* ---- Opening ---- */

static int check_options(const struct hf_channel_options *options, struct protomux_key *key)
{
	if (!hf_protomux_key_make(key, options->protocol, options->id) || options->handshake.length > HF_PROTOMUX_HANDSHAKE_BYTES_MAX ||
		options->alias_count > HF_PROTOMUX_ALIASES_MAX)
		return HF_EINVAL;
	for (uint32_t i = 0; i < options->alias_count; i++)
		if (options->aliases[i].length > HF_PROTOMUX_PROTOCOL_BYTES_MAX)
			return HF_EINVAL;
	return HF_OK;
}

static struct hf_channel *new_channel(struct hf_protomux *mux, const struct hf_channel_options *options)
{
	struct hf_channel *channel = calloc(1, sizeof *channel + options->protocol.length);

	if (channel == NULL)
		return NULL;
	channel->mux = mux;
	channel->events = options->events;
	channel->context = options->context;
	channel->protocol_length = options->protocol.length;
	if (options->protocol.length > 0)
		memcpy(channel->protocol, options->protocol.data, options->protocol.length);
	return channel;
}

static int put_open(struct hf_protomux *mux, uint32_t id, const struct hf_channel_options *options)
{
	uint8_t number[HF_COMPACT_UINT_BYTES_MAX], lengths[2][HF_COMPACT_UINT_BYTES_MAX];
	const struct iovec parts[] = {
		{number, hf_compact_put_uint(number, id)},
		{lengths[0], hf_compact_put_uint(lengths[0], options->protocol.length)},
		{(void *)options->protocol.data, options->protocol.length},
		{lengths[1], hf_compact_put_uint(lengths[1], options->id.length)},
		{(void *)options->id.data, options->id.length},
		{(void *)options->handshake.data, options->handshake.length},
	};

	return hf_protomux_put(mux, 0, PROTOMUX_OPEN, parts, sizeof parts / sizeof *parts);
}

static int prepare(struct hf_protomux *mux, const struct hf_channel_options *options, struct hf_channel **channel)
{
	struct protomux_key key, alias;
	struct protomux_pairing *pairing;
	int error = check_options(options, &key);

	if (error == HF_OK)
		error = reserve_local(mux);
	if (error == HF_OK)
		error = hf_protomux_pairing_get(mux, &key, &pairing);
	if (error != HF_OK)
		return error;
	if (pairing->opened > 0 && !options->may_repeat)
		return HF_EEXISTS;
	for (uint32_t i = 0; i < options->alias_count && error == HF_OK; i++) {
		hf_protomux_key_make(&alias, options->aliases[i], options->id);
		error = hf_protomux_pairing_add_alias(mux, pairing, &alias);
	}
	*channel = error == HF_OK ? new_channel(mux, options) : NULL;
	if (*channel == NULL) {
		hf_protomux_pairing_collect(mux, pairing);
		return HF_ENOMEM;
	}
	(*channel)->pairing = pairing;
	return HF_OK;
}

/* Enters the channel into everything; returns the remote's open if that waits. */
static struct protomux_pending *attach(struct hf_channel *channel)
{
	struct hf_protomux *mux = channel->mux;
	struct protomux_pairing *pairing = channel->pairing;
	struct protomux_pending *pending = pairing->incoming;

	channel->local_id = take_local(mux, channel);
	pairing->opened++;
	mux->channel_count++;
	if (pending == NULL) {
		hf_protomux_outgoing_add(mux, pairing, channel->local_id);
		return NULL;
	}
	hf_protomux_incoming_remove(mux, pairing, pending);
	if (pairing->asking == 0 && pairing->owed > 0)
		pairing->owed--;
	channel->remote_id = pending->remote_id;
	mux->remotes[pending->remote_id - 1].channel = channel;
	return pending;
}

/* Hands over what was kept. More may come meanwhile, and goes behind it. */
static void deliver_kept(struct hf_channel *channel, struct protomux_pending *pending)
{
	struct hf_protomux *mux = channel->mux;
	struct protomux_kept *kept;

	if (!channel->is_closed)
		hf_protomux_channel_opened(channel, hf_slice(pending->handshake, pending->handshake_length));
	while (!channel->is_closed && (kept = hf_protomux_pending_take(mux, pending)) != NULL) {
		hf_protomux_channel_deliver(channel, kept->type, hf_slice(kept->body, kept->length));
		free(kept);
	}
	if (!channel->is_closed) {
		mux->remotes[channel->remote_id - 1].pending = NULL;
		if (pending->is_closed)
			hf_protomux_channel_end(channel, HF_CHANNEL_REMOTE);
	}
	hf_protomux_pending_free(mux, pending);
}

int hf_protomux_open(struct hf_protomux *mux, const struct hf_channel_options *options, struct hf_channel **channel)
{
	struct protomux_pairing *pairing;
	struct protomux_pending *pending;
	int error = mux->has_ended ? HF_ECLOSED : prepare(mux, options, channel);

	if (error != HF_OK) {
		*channel = NULL;
		return error;
	}
	struct hf_channel *opened = *channel;

	hf_protomux_enter(mux);
	pairing = opened->pairing;
	pairing->uses++;
	pending = attach(opened);
	error = put_open(mux, opened->local_id, options);
	if (error != HF_OK)
		hf_protomux_fail(mux, error, "A channel could not be opened: %s.", hf_error_text(error));
	if (pending != NULL)
		deliver_kept(opened, pending);
	if (!mux->has_ended) {
		pairing->uses--;
		hf_protomux_pairing_settle(mux, pairing);
	}
	if (opened->is_closed)
		error = HF_ECANCELED;
	hf_protomux_leave(mux);
	return error;
}

bool hf_channel_is_open(const struct hf_channel *channel)
{
	return channel->is_open;
}

bool hf_channel_is_closed(const struct hf_channel *channel)
{
	return channel->is_closed;
}

struct hf_protomux *hf_channel_mux(const struct hf_channel *channel)
{
	return channel->mux;
}

void *hf_channel_context(const struct hf_channel *channel)
{
	return channel->context;
}
