/* What is written waits in one queue from the first byte that is not acknowledged to the last one written; packets point into it. Long
 * pieces stay where the owner has them. Short ones are copied into chunks, so that a packet of many does not need a
 * vector of many. */
#include "wire/udx/udx_private.h"

#define CHUNK_BYTES 960u
#define SPARE_COUNT_MAX 256u

static struct hf_udx_write *new_node(struct hf_udx *udx, size_t room)
{
	struct hf_udx_write *write;
	if (room == 0 && udx->spare_writes) {
		write = udx->spare_writes;
		udx->spare_writes = write->next;
		udx->spare_write_count--;
	} else {
		write = malloc(sizeof *write + room);
		if (!write)
			return NULL;
	}
	*write = (struct hf_udx_write){.room = room};
	if (room)
		write->data = write->chunk;
	return write;
}

static void free_node(struct hf_udx *udx, struct hf_udx_write *write)
{
	if (write->release)
		write->release(write->owner);
	if (write->room || udx->spare_write_count >= SPARE_COUNT_MAX) {
		free(write);
		return;
	}
	write->next = udx->spare_writes;
	udx->spare_writes = write;
	udx->spare_write_count++;
}

static bool is_copied(struct hf_slice bytes)
{
	return bytes.length <= HF_UDX_COPY_BYTES_MAX;
}

static void copy(struct hf_udx_write *chunk, struct hf_slice bytes)
{
	if (bytes.length == 0)
		return;
	memcpy(chunk->chunk + chunk->length, bytes.data, bytes.length);
	chunk->length += bytes.length;
}

/* The nodes that pieces need, beyond `room` bytes of copies that the last one has. Fills all but what goes there. */
static int build(struct hf_udx *udx, const struct hf_udx_piece *pieces, size_t count, size_t room, struct hf_udx_write **first,
	struct hf_udx_write **last)
{
	for (size_t i = 0; i < count; i++) {
		struct hf_slice bytes = pieces[i].bytes;
		struct hf_udx_write *tail = *last;
		if (is_copied(bytes) && !tail && bytes.length <= room) {
			room -= bytes.length;
			continue;
		}
		if (!is_copied(bytes) || !tail || !tail->room || tail->room - tail->length < bytes.length) {
			struct hf_udx_write *write = new_node(udx, is_copied(bytes) ? CHUNK_BYTES : 0);
			if (!write)
				return HF_ENOMEM;
			if (tail)
				tail->next = write;
			else
				*first = write;
			*last = tail = write;
		}
		if (is_copied(bytes)) {
			copy(tail, bytes);
		} else {
			tail->data = bytes.data;
			tail->length = bytes.length;
			tail->owner = pieces[i].owner;
		}
	}
	return HF_OK;
}

static void append(struct hf_udx_write_queue *writes, struct hf_udx_write *first, struct hf_udx_write *last)
{
	if (!first)
		return;
	if (writes->last)
		writes->last->next = first;
	else
		writes->first = first;
	writes->last = last;
	if (!writes->unsent) {
		writes->unsent = first;
		writes->unsent_offset = 0;
	}
}

static int may_write(const struct hf_udx_stream *stream, size_t length)
{
	if (!hf_udx_is_live(stream) || stream->is_ending)
		return HF_ECLOSED;
	if (length > HF_UDX_PENDING_BYTES_MAX || stream->writes.pending_bytes > HF_UDX_PENDING_BYTES_MAX - length)
		return HF_EBUSY;
	return HF_OK;
}

static void count_in(struct hf_udx_stream *stream, size_t length)
{
	struct hf_udx_write_queue *writes = &stream->writes;
	writes->pending_bytes += length;
	writes->unsent_bytes += length;
	if (writes->unsent_bytes > HF_UDX_LOW_BYTES)
		stream->is_above_low = true;
	if (length)
		hf_udx_make_ready(stream);
}

int hf_udx_stream_write(struct hf_udx_stream *stream, const struct hf_udx_piece *pieces, size_t count)
{
	struct hf_udx_write_queue *writes = &stream->writes;
	struct hf_udx_write *first = NULL, *last = NULL, *tail = writes->last;
	size_t length = 0;
	for (size_t i = 0; i < count; i++)
		length += pieces[i].bytes.length;
	int code = may_write(stream, length);
	if (code)
		return code;
	size_t room = tail && tail->room ? tail->room - tail->length : 0;
	if (build(stream->udx, pieces, count, room, &first, &last)) {
		while ((last = first)) {
			first = last->next;
			free_node(stream->udx, last);
		}
		return HF_ENOMEM;
	}
	for (size_t i = 0; i < count && is_copied(pieces[i].bytes) && pieces[i].bytes.length <= room; i++) {
		room -= pieces[i].bytes.length;
		copy(tail, pieces[i].bytes);
	}
	append(writes, first, last);
	/* Nothing can fail any more: owners may be told. */
	for (size_t i = 0; i < count; i++) {
		if (is_copied(pieces[i].bytes)) {
			if (pieces[i].release)
				pieces[i].release(pieces[i].owner);
			continue;
		}
		while (first->room)
			first = first->next;
		first->release = pieces[i].release;
		first = first->next;
	}
	count_in(stream, length);
	return HF_OK;
}

int hf_udx_stream_write_copy(struct hf_udx_stream *stream, struct hf_slice bytes)
{
	if (is_copied(bytes))
		return hf_udx_stream_write(stream, &(struct hf_udx_piece){.bytes = bytes}, 1);
	int code = may_write(stream, bytes.length);
	if (code)
		return code;
	struct hf_udx_write *write = new_node(stream->udx, bytes.length);
	if (!write)
		return HF_ENOMEM;
	copy(write, bytes);
	append(&stream->writes, write, write);
	count_in(stream, bytes.length);
	return HF_OK;
}

size_t hf_udx_stream_pending_bytes(const struct hf_udx_stream *stream)
{
	return stream->writes.pending_bytes;
}

size_t hf_udx_stream_unsent_bytes(const struct hf_udx_stream *stream)
{
	return stream->writes.unsent_bytes;
}

/* Steps over nodes that are used up, so that `unsent` points to a byte if there is one. */
static void settle_unsent(struct hf_udx_write_queue *writes)
{
	while (writes->unsent && writes->unsent_offset == writes->unsent->length && writes->unsent->next) {
		writes->unsent = writes->unsent->next;
		writes->unsent_offset = 0;
	}
}

size_t hf_udx_writes_take(struct hf_udx_write_queue *writes, size_t length, struct hf_udx_write **first, uint32_t *offset)
{
	size_t taken = 0;
	settle_unsent(writes);
	*first = writes->unsent;
	*offset = (uint32_t)writes->unsent_offset;
	for (size_t pieces = 0; pieces < HF_UDX_PIECE_COUNT_MAX && taken < length && taken < writes->unsent_bytes; pieces++) {
		settle_unsent(writes);
		size_t rest = writes->unsent->length - writes->unsent_offset;
		size_t part = rest < length - taken ? rest : length - taken;
		writes->unsent_offset += part;
		taken += part;
	}
	writes->unsent_bytes -= taken;
	return taken;
}

size_t hf_udx_writes_pieces(struct hf_udx_write *write, uint32_t offset, size_t length, struct iovec *pieces)
{
	size_t count = 0;
	while (length > 0) {
		size_t part = write->length - offset < length ? write->length - offset : length;
		if (part > 0)
			pieces[count++] = (struct iovec){(void *)(uintptr_t)(write->data + offset), part};
		length -= part;
		offset = 0;
		write = write->next;
	}
	return count;
}

void hf_udx_writes_release(struct hf_udx *udx, struct hf_udx_write_queue *writes, size_t length)
{
	writes->pending_bytes -= length;
	for (;;) {
		struct hf_udx_write *write = writes->first;
		if (!write)
			return;
		size_t part = write->length - write->released < length ? write->length - write->released : length;
		write->released += part;
		length -= part;
		if (write->released < write->length)
			return;
		/* A chunk that has room and is the last one may still grow, but an idle stream keeps nothing. */
		if (writes->unsent == write) {
			writes->unsent = write->next;
			writes->unsent_offset = 0;
		}
		writes->first = write->next;
		if (!writes->first)
			writes->last = NULL;
		free_node(udx, write);
	}
}

void hf_udx_writes_free(struct hf_udx *udx, struct hf_udx_write_queue *writes)
{
	struct hf_udx_write *write;
	while ((write = writes->first)) {
		writes->first = write->next;
		free_node(udx, write);
	}
	*writes = (struct hf_udx_write_queue){0};
}
