/* What is said, alone or in a batch.
 *
 * While corked, `out` holds a batch from its first byte on, or nothing. It is written as it is sent: 00 00, the first channel, and
 * for each message its length in front, with 00 and a channel before it where that changes. A message as large as a batch goes by
 * itself. Otherwise `out` is empty between calls, and a message that is written in place has it for itself.
 */
#include "wire/protomux_private.h"

#include <assert.h>

#define OUT_KEPT_BYTES_MAX (128u << 10) /* what an idle mux may hold on to */

static int transmit(struct hf_protomux *mux, const struct iovec *parts, int count)
{
	int error = mux->events->send(mux->owner, parts, count);

	if (error == HF_OK)
		return HF_OK;
	hf_protomux_fail(mux, error, "A message could not be sent: %s.", hf_error_text(error));
	return HF_ECLOSED;
}

/* Sends the first `length` bytes of `out`. */
static int transmit_out(struct hf_protomux *mux, size_t length)
{
	struct iovec part = {mux->out.data, length};

	return transmit(mux, &part, 1);
}

static void clear_out(struct hf_protomux *mux)
{
	hf_buffer_clear(&mux->out);
	if (mux->out.capacity > OUT_KEPT_BYTES_MAX)
		hf_buffer_free(&mux->out);
}

static int flush(struct hf_protomux *mux)
{
	int error = mux->has_ended ? HF_ECLOSED : mux->out.length > 0 ? transmit_out(mux, mux->out.length) : HF_OK;

	clear_out(mux);
	return error;
}

/* What stands before a message's length; room is HF_COMPACT_UINT_BYTES_MAX + 2. Returns its length. */
static size_t put_batch_head(const struct hf_protomux *mux, uint32_t id, uint8_t *at)
{
	size_t length = 0;

	if (mux->out.length > 0 && mux->batch_channel == id)
		return 0;
	at[length++] = 0;
	if (mux->out.length == 0)
		at[length++] = PROTOMUX_BATCH;
	return length + hf_compact_put_uint(at + length, id);
}

/* Sends the batch if a message of so many bytes, length and channel with it, should not or cannot join it. */
static int make_room(struct hf_protomux *mux, size_t bytes)
{
	bool joins = mux->out.length < HF_PROTOMUX_BATCH_BYTES && mux->out.length + bytes <= HF_PROTOMUX_MESSAGE_BYTES_MAX;

	return joins ? HF_OK : flush(mux);
}

static int put_in_batch(struct hf_protomux *mux, uint32_t id, uint32_t type, const struct iovec *parts, int count, size_t body_bytes)
{
	uint8_t head[4 * HF_COMPACT_UINT_BYTES_MAX];
	size_t length = body_bytes + hf_compact_uint_bytes(type), head_length;
	int error = make_room(mux, length + sizeof head);

	if (error == HF_OK)
		error = hf_buffer_reserve(&mux->out, length + sizeof head);
	if (error != HF_OK)
		return error;
	head_length = put_batch_head(mux, id, head);
	head_length += hf_compact_put_uint(head + head_length, length);
	head_length += hf_compact_put_uint(head + head_length, type);
	hf_buffer_append(&mux->out, head, head_length);
	for (int i = 0; i < count; i++)
		hf_buffer_append(&mux->out, parts[i].iov_base, parts[i].iov_len);
	mux->batch_channel = id;
	return HF_OK;
}

static int put(struct hf_protomux *mux, uint32_t id, uint32_t type, const struct iovec *parts, int count)
{
	struct iovec all[1 + HF_CHANNEL_PARTS_MAX];
	uint8_t head[2 * HF_COMPACT_UINT_BYTES_MAX];
	size_t bytes = 0, head_length;

	assert(count <= HF_CHANNEL_PARTS_MAX);
	if (mux->has_ended)
		return HF_ECLOSED;
	for (int i = 0; i < count; i++) {
		all[1 + i] = parts[i];
		bytes += parts[i].iov_len;
		if (bytes > HF_PROTOMUX_MESSAGE_BYTES_MAX - 4 * HF_COMPACT_UINT_BYTES_MAX)
			return HF_ETOOBIG;
	}
	if (mux->corked > 0 && bytes < HF_PROTOMUX_BATCH_BYTES)
		return put_in_batch(mux, id, type, parts, count, bytes);
	if (mux->corked > 0) {
		/* It would be a batch of its own: sealed from where it lies instead. */
		int error = flush(mux);

		if (error != HF_OK)
			return error;
	}
	head_length = hf_compact_put_uint(head, id);
	head_length += hf_compact_put_uint(head + head_length, type);
	all[0] = (struct iovec){head, head_length};
	return transmit(mux, all, 1 + count);
}

int hf_protomux_put(struct hf_protomux *mux, uint32_t id, uint32_t type, const struct iovec *parts, int count)
{
	hf_protomux_enter(mux); /* what cannot be sent fails the mux, and who hears of it may free it */
	int error = put(mux, id, type, parts, count);

	hf_protomux_leave(mux);
	return error;
}

void hf_protomux_put_control(struct hf_protomux *mux, enum protomux_control type, uint32_t id)
{
	uint8_t body[HF_COMPACT_UINT_BYTES_MAX];
	struct iovec part = {body, hf_compact_put_uint(body, id)};

	hf_protomux_enter(mux);
	int error = put(mux, 0, type, &part, 1);

	if (error != HF_OK)
		hf_protomux_fail(mux, error, "A channel could not be closed: %s.", hf_error_text(error));
	hf_protomux_leave(mux);
}

int hf_channel_send(struct hf_channel *channel, uint32_t type, const struct iovec *parts, int count)
{
	return channel->is_closed ? HF_ECLOSED : hf_protomux_put(channel->mux, channel->local_id, type, parts, count);
}

struct hf_compact_writer *hf_channel_begin(struct hf_channel *channel, uint32_t type)
{
	struct hf_protomux *mux = channel->mux;
	uint8_t head[3 * HF_COMPACT_UINT_BYTES_MAX];
	size_t length;

	hf_protomux_enter(mux); /* until end: sending a full batch may fail, and close the channel */
	mux->writer.status = channel->is_closed ? HF_ECLOSED : mux->corked > 0 ? make_room(mux, 0) : HF_OK;
	mux->begun_length = mux->out.length;
	mux->begun_channel = mux->batch_channel;
	mux->begun_id = channel->local_id;
	if (mux->writer.status != HF_OK)
		return &mux->writer;
	if (mux->corked > 0) {
		length = put_batch_head(mux, channel->local_id, head);
		hf_compact_write_fixed(&mux->writer, head, length);
		mux->begun_frame = hf_compact_frame_begin(&mux->writer);
		mux->batch_channel = channel->local_id;
		length = hf_compact_put_uint(head, type);
	} else {
		length = hf_compact_put_uint(head, channel->local_id);
		length += hf_compact_put_uint(head + length, type);
	}
	hf_compact_write_fixed(&mux->writer, head, length);
	return &mux->writer;
}

static int take_back(struct hf_protomux *mux, int error)
{
	mux->out.length = mux->begun_length;
	mux->batch_channel = mux->begun_channel;
	return error;
}

/* The batch would become too long with the last message: sends what was there before, and begins the next with it. */
static int begin_next_batch(struct hf_protomux *mux)
{
	uint8_t head[2 + HF_COMPACT_UINT_BYTES_MAX];
	size_t at = mux->begun_frame - 1, length = mux->out.length - at, head_length;
	int error = transmit_out(mux, mux->begun_length);

	if (error != HF_OK)
		return error;
	mux->out.length = 0;
	head_length = put_batch_head(mux, mux->begun_id, head);
	memmove(mux->out.data + head_length, mux->out.data + at, length);
	memcpy(mux->out.data, head, head_length);
	mux->out.length = head_length + length;
	return HF_OK;
}

static int finish(struct hf_protomux *mux)
{
	if (mux->writer.status != HF_OK)
		return take_back(mux, mux->writer.status);
	if (mux->out.length - mux->begun_length > HF_PROTOMUX_MESSAGE_BYTES_MAX - 4 * HF_COMPACT_UINT_BYTES_MAX)
		return take_back(mux, HF_ETOOBIG);
	if (mux->corked == 0)
		return flush(mux);
	hf_compact_frame_end(&mux->writer, mux->begun_frame);
	if (mux->writer.status != HF_OK)
		return take_back(mux, mux->writer.status);
	return mux->out.length > HF_PROTOMUX_MESSAGE_BYTES_MAX ? begin_next_batch(mux) : HF_OK;
}

int hf_channel_end(struct hf_channel *channel)
{
	struct hf_protomux *mux = channel->mux;
	int error = finish(mux);

	hf_protomux_leave(mux);
	return error;
}

void hf_protomux_cork(struct hf_protomux *mux)
{
	mux->corked++;
}

void hf_protomux_uncork(struct hf_protomux *mux)
{
	assert(mux->corked > 0);
	if (--mux->corked > 0)
		return;
	hf_protomux_enter(mux);
	flush(mux);
	hf_protomux_leave(mux);
}

bool hf_protomux_is_congested(const struct hf_protomux *mux)
{
	return mux->events->is_congested(mux->owner);
}
