/* A message is its whole frame, header and payload, in one allocation; the compressed frame is made by the first
 * connection that wants it and shared from then on. Messages belong to the loop's thread, so the count is a plain one.
 */
#include <stdlib.h>

#include "net/memory.h"
#include "net/websocket_message.h"
#include "wire/websocket_deflate.h"

struct hf_websocket_message *hf_websocket_message_new(struct hf_loop *loop, const struct hf_slice *parts, size_t part_count)
{
	size_t length = 0;
	for (size_t i = 0; i < part_count; i++)
		length += parts[i].length;
	uint8_t header[HF_WEBSOCKET_HEADER_BYTES_MAX];
	size_t header_length = hf_websocket_frame_header(header, HF_WEBSOCKET_TEXT, false, length, NULL);
	struct hf_websocket_message *m = malloc(sizeof *m + header_length + length);
	if (!m)
		return NULL;
	*m = (struct hf_websocket_message){
		.references = 1,
		.memory = hf_loop_memory(loop),
		.payload_length = length,
		.frame_length = header_length + length,
		.is_incompressible = length < HF_WEBSOCKET_DEFLATE_BYTES_MIN,
	};
	hf_memory_hold(m->memory, HF_MEMORY_SEND, sizeof *m + m->frame_length);
	memcpy(m->frame, header, header_length);
	uint8_t *place = m->frame + header_length;
	for (size_t i = 0; i < part_count; i++) {
		if (parts[i].length)
			memcpy(place, parts[i].data, parts[i].length);
		place += parts[i].length;
	}
	return m;
}

struct hf_websocket_message *hf_websocket_message_ref(struct hf_websocket_message *m)
{
	m->references++;
	return m;
}

void hf_websocket_message_unref(struct hf_websocket_message *m)
{
	if (!m || --m->references)
		return;
	hf_memory_release(m->memory, HF_MEMORY_SEND, sizeof *m + m->frame_length + (m->compressed ? m->compressed->length : 0));
	hf_shared_unref(m->compressed);
	free(m);
}

struct hf_slice hf_websocket_message_payload(const struct hf_websocket_message *m)
{
	return hf_slice(m->frame + m->frame_length - m->payload_length, m->payload_length);
}

struct hf_shared *hf_websocket_compressed_frame(struct hf_websocket_deflate *deflate, struct hf_slice payload)
{
	struct hf_slice packed;
	if (hf_websocket_deflate(deflate, payload, &packed))
		return NULL;
	if (packed.length >= payload.length && !hf_websocket_deflate_keeps_output(deflate))
		return NULL;
	uint8_t header[HF_WEBSOCKET_HEADER_BYTES_MAX];
	size_t header_length = hf_websocket_frame_header(header, HF_WEBSOCKET_TEXT, true, packed.length, NULL);
	struct hf_shared *frame = hf_shared_new(header_length + packed.length);
	if (frame) {
		memcpy(frame->data, header, header_length);
		memcpy(frame->data + header_length, packed.data, packed.length);
	}
	hf_websocket_deflate_trim(deflate);
	return frame;
}

struct hf_slice hf_websocket_message_frame(struct hf_websocket_message *m, struct hf_websocket_deflate *deflate)
{
	if (deflate && !m->compressed && !m->is_incompressible) {
		m->compressed = hf_websocket_compressed_frame(deflate, hf_websocket_message_payload(m));
		m->is_incompressible = !m->compressed;
		if (m->compressed)
			hf_memory_hold(m->memory, HF_MEMORY_SEND, m->compressed->length);
	}
	if (deflate && m->compressed)
		return hf_slice(m->compressed->data, m->compressed->length);
	return hf_slice(m->frame, m->frame_length);
}
