/* A frame is eaten in two steps: its header, gathered in 14 bytes when it comes in pieces, then its payload, piece by
 * piece. When the piece is the whole payload of an unfragmented message it is handed over where it lies; otherwise it
 * goes behind what `message` already holds. Control frames may stand between fragments, so an unfinished control
 * payload is kept behind the message and cut off again; that needs no second buffer.
 *
 * Text is checked as it arrives, so that a wrong byte ends the connection before the message is whole; compressed text
 * is checked after inflating. */
#include "wire/websocket.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "wire/websocket_deflate.h"

void hf_websocket_session_init(struct hf_websocket_session *s, enum hf_websocket_role role, uint32_t message_bytes_max,
	const struct hf_websocket_events *events, void *context)
{
	*s = (struct hf_websocket_session){
		.events = events,
		.context = context,
		.message_bytes_max = message_bytes_max,
		.is_client = role == HF_WEBSOCKET_CLIENT,
		.close_code = HF_WEBSOCKET_CLOSE_ABNORMAL,
	};
}

void hf_websocket_session_free(struct hf_websocket_session *s)
{
	hf_buffer_free(&s->message);
}

/* ---- Frames out ---- */

size_t hf_websocket_frame_header(uint8_t out[static HF_WEBSOCKET_HEADER_BYTES_MAX], enum hf_websocket_opcode opcode,
	bool is_compressed, uint64_t payload_length, const uint8_t *mask)
{
	size_t length = 2;
	out[0] = (uint8_t)(0x80 | (is_compressed ? 0x40 : 0) | opcode);
	if (payload_length < 126) {
		out[1] = (uint8_t)payload_length;
	} else if (payload_length < 65536) {
		out[1] = 126;
		hf_store_be16(out + 2, (uint16_t)payload_length);
		length = 4;
	} else {
		out[1] = 127;
		hf_store_be64(out + 2, payload_length);
		length = 10;
	}
	if (!mask)
		return length;
	out[1] |= 0x80;
	memcpy(out + length, mask, 4);
	return length + 4;
}

void hf_websocket_mask(uint8_t *data, size_t length, const uint8_t mask[static 4])
{
	uint32_t word;
	memcpy(&word, mask, 4);
	uint64_t wide = (uint64_t)word << 32 | word;
	size_t i = 0;
	for (; i + 32 <= length; i += 32) {
		uint64_t lanes[4];
		memcpy(lanes, data + i, 32);
		for (size_t lane = 0; lane < 4; lane++)
			lanes[lane] ^= wide;
		memcpy(data + i, lanes, 32);
	}
	for (; i < length; i++)
		data[i] ^= mask[i & 3];
}

static void put_control(
	struct hf_websocket_session *s, enum hf_websocket_opcode opcode, const void *payload, size_t length)
{
	uint8_t mask[4];
	uint8_t frame[HF_WEBSOCKET_HEADER_BYTES_MAX + HF_WEBSOCKET_CONTROL_BYTES_MAX];
	if (s->is_client)
		s->events->mask(s->context, mask);
	size_t header = hf_websocket_frame_header(frame, opcode, false, length, s->is_client ? mask : NULL);
	if (length)
		memcpy(frame + header, payload, length);
	if (s->is_client)
		hf_websocket_mask(frame + header, length, mask);
	s->events->output(s->context, hf_slice(frame, header + length));
}

void hf_websocket_session_ping(struct hf_websocket_session *s)
{
	if (!s->close_sent)
		put_control(s, HF_WEBSOCKET_PING, NULL, 0);
}

void hf_websocket_session_close(struct hf_websocket_session *s, uint16_t code, const char *reason)
{
	if (s->close_sent)
		return;
	s->close_sent = true;
	uint8_t payload[HF_WEBSOCKET_CONTROL_BYTES_MAX];
	size_t length = reason ? strlen(reason) : 0;
	if (length > sizeof payload - 2)
		length = sizeof payload - 2;
	while (length > 0 && reason[length] && ((uint8_t)reason[length] & 0xc0) == 0x80)
		length--; /* a character is not cut in two */
	hf_store_be16(payload, code);
	if (length)
		memcpy(payload + 2, reason, length);
	put_control(s, HF_WEBSOCKET_CLOSE, payload, length + 2);
}

bool hf_websocket_session_is_over(const struct hf_websocket_session *s)
{
	return s->close_sent && s->close_received;
}

bool hf_websocket_close_code_is_valid(unsigned code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/* ---- Frames in ---- */

/* The other side broke the protocol: nothing it says counts any more. */
static int fail(struct hf_websocket_session *s, uint16_t close_code, const char *reason, int code)
{
	hf_websocket_session_close(s, close_code, reason);
	s->close_received = true;
	s->close_code = close_code;
	hf_buffer_free(&s->message);
	return code;
}

static size_t header_bytes_needed(const uint8_t header[2])
{
	unsigned length = header[1] & 0x7f;
	return 2 + (length == 126 ? 2u : length == 127 ? 8u : 0u) + (header[1] & 0x80 ? 4u : 0u);
}

static int check_control_header(struct hf_websocket_session *s, bool reserved_1)
{
	if (!s->is_final)
		return fail(s, HF_WEBSOCKET_CLOSE_PROTOCOL, "fragmented control frame", HF_EMALFORMED);
	if (s->remaining > HF_WEBSOCKET_CONTROL_BYTES_MAX)
		return fail(s, HF_WEBSOCKET_CLOSE_PROTOCOL, "control frame over 125 bytes", HF_EMALFORMED);
	if (reserved_1)
		return fail(s, HF_WEBSOCKET_CLOSE_PROTOCOL, "reserved bit set", HF_EMALFORMED);
	s->control_length = 0;
	return HF_OK;
}

static int check_data_header(struct hf_websocket_session *s, bool reserved_1)
{
	if (s->frame_opcode == HF_WEBSOCKET_CONTINUATION) {
		if (!s->message_opcode)
			return fail(s, HF_WEBSOCKET_CLOSE_PROTOCOL, "continuation of nothing", HF_EMALFORMED);
		if (reserved_1)
			return fail(s, HF_WEBSOCKET_CLOSE_PROTOCOL, "reserved bit set", HF_EMALFORMED);
	} else {
		if (s->message_opcode)
			return fail(s, HF_WEBSOCKET_CLOSE_PROTOCOL, "message inside a message", HF_EMALFORMED);
		if (reserved_1 && !s->deflate)
			return fail(s, HF_WEBSOCKET_CLOSE_PROTOCOL, "reserved bit set", HF_EMALFORMED);
		s->message_opcode = s->frame_opcode;
		s->is_compressed = reserved_1;
		s->utf8_state = 0;
	}
	if (s->remaining > s->message_bytes_max - s->message.length)
		return fail(s, HF_WEBSOCKET_CLOSE_TOO_BIG, "message too big", HF_ETOOBIG);
	return HF_OK;
}

/* Takes a whole header apart. */
static int begin_frame(struct hf_websocket_session *s, const uint8_t *header)
{
	unsigned short_length = header[1] & 0x7f;
	size_t place = 2;
	s->frame_opcode = header[0] & 0x0f;
	s->is_final = header[0] & 0x80;
	s->is_masked = header[1] & 0x80;
	s->remaining = short_length;
	if (header[0] & 0x30)
		return fail(s, HF_WEBSOCKET_CLOSE_PROTOCOL, "reserved bit set", HF_EMALFORMED);
	if ((s->frame_opcode & 7) > 2)
		return fail(s, HF_WEBSOCKET_CLOSE_PROTOCOL, "unknown opcode", HF_EMALFORMED);
	if (s->is_masked == s->is_client)
		return fail(s, HF_WEBSOCKET_CLOSE_PROTOCOL, s->is_client ? "masked frame" : "unmasked frame",
			HF_EMALFORMED);
	if (short_length == 126) {
		s->remaining = hf_load_be16(header + 2);
		place = 4;
	} else if (short_length == 127) {
		s->remaining = hf_load_be64(header + 2);
		place = 10;
	}
	if ((place == 4 && s->remaining < 126) || (place == 10 && s->remaining < 65536))
		return fail(s, HF_WEBSOCKET_CLOSE_PROTOCOL, "length not in its shortest form", HF_EMALFORMED);
	if (s->is_masked)
		memcpy(s->mask, header + place, 4);
	s->in_frame = true;
	bool reserved_1 = header[0] & 0x40;
	return s->frame_opcode & 8 ? check_control_header(s, reserved_1) : check_data_header(s, reserved_1);
}

/* Eats header bytes; the frame has begun when the header is whole. */
static int recv_header(struct hf_websocket_session *s, const uint8_t *data, size_t length, size_t *eaten)
{
	if (s->header_length == 0 && length >= 2 && length >= header_bytes_needed(data)) {
		*eaten = header_bytes_needed(data);
		return begin_frame(s, data);
	}
	*eaten = 0;
	while (*eaten < length) {
		s->header[s->header_length++] = data[(*eaten)++];
		if (s->header_length >= 2 && s->header_length == header_bytes_needed(s->header)) {
			s->header_length = 0;
			return begin_frame(s, s->header);
		}
	}
	return HF_OK;
}

static int finish_close(struct hf_websocket_session *s, const uint8_t *payload, size_t length)
{
	unsigned code = HF_WEBSOCKET_CLOSE_NONE;
	if (length == 1)
		return fail(s, HF_WEBSOCKET_CLOSE_PROTOCOL, "close frame of one byte", HF_EMALFORMED);
	if (length >= 2) {
		code = hf_load_be16(payload);
		if (!hf_websocket_close_code_is_valid(code))
			return fail(s, HF_WEBSOCKET_CLOSE_PROTOCOL, "close code not allowed", HF_EMALFORMED);
		if (!hf_utf8_valid(payload + 2, length - 2))
			return fail(s, HF_WEBSOCKET_CLOSE_TEXT, "close reason is not UTF-8", HF_EMALFORMED);
	}
	s->close_received = true;
	s->close_code = (uint16_t)code;
	if (!s->close_sent) {
		s->close_sent = true;
		put_control(s, HF_WEBSOCKET_CLOSE, payload, length ? 2 : 0);
	}
	hf_buffer_free(&s->message);
	return HF_ECLOSED;
}

static int finish_control(struct hf_websocket_session *s, const uint8_t *payload, size_t length)
{
	if (s->frame_opcode == HF_WEBSOCKET_CLOSE)
		return finish_close(s, payload, length);
	if (s->frame_opcode == HF_WEBSOCKET_PING) {
		if (!s->close_sent)
			put_control(s, HF_WEBSOCKET_PONG, payload, length);
	} else if (s->events->pong) {
		s->events->pong(s->context);
	}
	return HF_OK;
}

/* The message is whole. */
static int finish_message(struct hf_websocket_session *s, struct hf_slice message)
{
	bool is_text = s->message_opcode == HF_WEBSOCKET_TEXT;
	s->message_opcode = 0;
	if (s->is_compressed) {
		int error = hf_websocket_inflate(s->deflate, message, s->message_bytes_max, &message);
		s->inflated_bytes += error ? s->message_bytes_max : message.length;
		if (error)
			hf_websocket_inflate_trim(s->deflate);
		if (error == HF_ETOOBIG)
			return fail(s, HF_WEBSOCKET_CLOSE_TOO_BIG, "message too big", error);
		if (error == HF_ENOMEM)
			return fail(s, HF_WEBSOCKET_CLOSE_INTERNAL, "out of memory", error);
		if (error)
			return fail(s, HF_WEBSOCKET_CLOSE_TEXT, "message cannot be inflated", error);
		if (is_text && !hf_utf8_valid(message.data, message.length))
			return fail(s, HF_WEBSOCKET_CLOSE_TEXT, "text is not UTF-8", HF_EMALFORMED);
	}
	/* After our own close, what still comes is not for anybody. */
	if (!s->close_sent)
		s->events->message(s->context, is_text, message);
	if (s->is_compressed)
		hf_websocket_inflate_trim(s->deflate);
	return HF_OK;
}

static int check_text(struct hf_websocket_session *s, const uint8_t *data, size_t length, bool is_last)
{
	if (s->message_opcode != HF_WEBSOCKET_TEXT || s->is_compressed)
		return HF_OK;
	bool is_valid = is_last && s->utf8_state == 0 ? hf_utf8_valid(data, length)
						      : hf_utf8_check(&s->utf8_state, data, length);
	if (!is_valid || (is_last && s->utf8_state != 0))
		return fail(s, HF_WEBSOCKET_CLOSE_TEXT, "text is not UTF-8", HF_EMALFORMED);
	return HF_OK;
}

static int recv_data_piece(struct hf_websocket_session *s, uint8_t *data, size_t length)
{
	bool is_last = s->remaining == 0 && s->is_final;
	int error = check_text(s, data, length, is_last);
	if (error)
		return error;
	if (is_last && s->message.length == 0)
		return finish_message(s, hf_slice(data, length));
	if (hf_buffer_append(&s->message, data, length))
		return fail(s, HF_WEBSOCKET_CLOSE_INTERNAL, "out of memory", HF_ENOMEM);
	if (!is_last)
		return HF_OK;
	struct hf_buffer whole = s->message;
	s->message = (struct hf_buffer){0};
	error = finish_message(s, hf_buffer_slice(&whole));
	hf_buffer_free(&whole);
	return error;
}

static int recv_control_piece(struct hf_websocket_session *s, uint8_t *data, size_t length)
{
	if (s->remaining == 0 && s->control_length == 0)
		return finish_control(s, data, length);
	if (hf_buffer_append(&s->message, data, length))
		return fail(s, HF_WEBSOCKET_CLOSE_INTERNAL, "out of memory", HF_ENOMEM);
	s->control_length = (uint8_t)(s->control_length + length);
	if (s->remaining)
		return HF_OK;
	uint8_t payload[HF_WEBSOCKET_CONTROL_BYTES_MAX];
	size_t payload_length = s->control_length;
	s->message.length -= payload_length;
	memcpy(payload, s->message.data + s->message.length, payload_length);
	if (s->message.length == 0 && !s->message_opcode)
		hf_buffer_free(&s->message);
	return finish_control(s, payload, payload_length);
}

/* Eats payload bytes, at least one unless the frame has none. */
static int recv_payload(struct hf_websocket_session *s, uint8_t *data, size_t length, size_t *eaten)
{
	size_t piece = length < s->remaining ? length : (size_t)s->remaining;
	*eaten = piece;
	if (s->is_masked) {
		hf_websocket_mask(data, piece, s->mask);
		uint8_t turned[4];
		for (size_t i = 0; i < 4; i++)
			turned[i] = s->mask[(piece + i) & 3];
		memcpy(s->mask, turned, 4);
	}
	s->remaining -= piece;
	s->in_frame = s->remaining > 0;
	return s->frame_opcode & 8 ? recv_control_piece(s, data, piece) : recv_data_piece(s, data, piece);
}

int hf_websocket_session_recv(struct hf_websocket_session *s, uint8_t *data, size_t length)
{
	while (!s->close_received) {
		size_t eaten = 0;
		int error = HF_OK;
		if (!s->in_frame && length)
			error = recv_header(s, data, length, &eaten);
		else if (s->in_frame && (length || s->remaining == 0))
			error = recv_payload(s, data, length, &eaten);
		else
			return HF_OK;
		if (error)
			return error;
		data += eaten;
		length -= eaten;
	}
	return HF_ECLOSED;
}
