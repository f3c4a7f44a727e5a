/* Raw deflate, and our own parameters for what goes out: level 1 is most of the gain on JSON for a third of the time. A stream is reset
 * before each message, which is what "no context takeover" means, unless it is a connection's own and keeps its window. Such windows are
 * small: 4 KiB remember the last few events, which is most of the gain, and a connection's share of memory stays below 50 kB.
 * zlib cannot make raw streams with a window of 8 bits, so an offer that insists on one is not taken. */
#include "wire/websocket_deflate.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <zlib.h>

#define BUFFER_BYTES_KEPT 65536
#define DEFLATE_LEVEL 1
#define DEFLATE_WINDOW_BITS 15
#define DEFLATE_MEMORY_LEVEL 8
#define OWN_WINDOW_BITS 12
#define OWN_MEMORY_LEVEL 5
#define STATE_BYTES 8192 /* of zlib, beside windows: 7 kB to inflate, 6 kB to deflate */

struct hf_websocket_deflate {
	z_stream in, out;
	uint8_t in_bits, out_bits, memory_level;
	bool has_in, has_out; /* they are made for the first message */
	bool is_out_used;     /* since the last rest */
	struct hf_buffer inflated, deflated;
	bool keeps_in, keeps_out, is_own; /* the windows, from message to message */
};

static int make(struct hf_websocket_deflate **out, uint8_t in_bits, uint8_t out_bits, uint8_t memory_level)
{
	struct hf_websocket_deflate *d = calloc(1, sizeof *d);
	if (!d)
		return HF_ENOMEM;
	d->in_bits = in_bits;
	d->out_bits = out_bits;
	d->memory_level = memory_level;
	*out = d;
	return HF_OK;
}

static int ensure_in(struct hf_websocket_deflate *d)
{
	d->has_in = d->has_in || inflateInit2(&d->in, -(int)d->in_bits) == Z_OK;
	return d->has_in ? HF_OK : HF_ENOMEM;
}

static int ensure_out(struct hf_websocket_deflate *d)
{
	d->has_out = d->has_out ||
		deflateInit2(&d->out, DEFLATE_LEVEL, Z_DEFLATED, -(int)d->out_bits, d->memory_level, Z_DEFAULT_STRATEGY) == Z_OK;
	return d->has_out ? HF_OK : HF_ENOMEM;
}

int hf_websocket_deflate_new(struct hf_websocket_deflate **out)
{
	int error = make(out, 15, DEFLATE_WINDOW_BITS, DEFLATE_MEMORY_LEVEL);
	if (error)
		return error;
	if (ensure_in(*out) == HF_OK && ensure_out(*out) == HF_OK)
		return HF_OK;
	hf_websocket_deflate_free(*out);
	*out = NULL;
	return HF_ENOMEM;
}

int hf_websocket_deflate_new_own(struct hf_websocket_deflate **out, const struct hf_websocket_deflate_terms *terms)
{
	int error = make(out, terms->client_bits, terms->server_bits, OWN_MEMORY_LEVEL);
	if (error)
		return error;
	(*out)->is_own = true;
	(*out)->keeps_in = terms->client_takeover;
	(*out)->keeps_out = terms->server_takeover;
	return HF_OK;
}

size_t hf_websocket_deflate_bytes(const struct hf_websocket_deflate *d)
{
	return sizeof *d + (d->has_in ? STATE_BYTES + ((size_t)1 << d->in_bits) : 0) +
		(d->has_out ? STATE_BYTES + ((size_t)1 << (d->out_bits + 2)) + ((size_t)1 << (d->memory_level + 9)) : 0);
}

/* A message that refers to none before it is right in every stream; what the client sends refers to what it has sent. */
void hf_websocket_deflate_rest(struct hf_websocket_deflate *d)
{
	if (d->is_own && d->has_out && !d->is_out_used) {
		deflateEnd(&d->out);
		d->has_out = false;
	}
	if (d->is_own && d->has_in && !d->keeps_in) {
		inflateEnd(&d->in);
		d->has_in = false;
	}
	d->is_out_used = false;
}

bool hf_websocket_deflate_has_output(const struct hf_websocket_deflate *d)
{
	return d->has_out;
}

bool hf_websocket_deflate_keeps_output(const struct hf_websocket_deflate *d)
{
	return d->keeps_out;
}

void hf_websocket_deflate_free(struct hf_websocket_deflate *d)
{
	if (!d)
		return;
	if (d->has_in)
		inflateEnd(&d->in);
	if (d->has_out)
		deflateEnd(&d->out);
	hf_buffer_free(&d->inflated);
	hf_buffer_free(&d->deflated);
	free(d);
}

static void trim_buffer(const struct hf_websocket_deflate *d, struct hf_buffer *buffer)
{
	if (d->is_own || buffer->capacity > BUFFER_BYTES_KEPT)
		hf_buffer_free(buffer);
}

void hf_websocket_deflate_trim(struct hf_websocket_deflate *d)
{
	trim_buffer(d, &d->deflated);
}

void hf_websocket_inflate_trim(struct hf_websocket_deflate *d)
{
	trim_buffer(d, &d->inflated);
}

/* Feeds one piece of input; the output may be one byte past the limit, which shows that it was passed. */
static int inflate_piece(struct hf_websocket_deflate *d, struct hf_slice piece, size_t length_bytes_max)
{
	d->in.next_in = (uint8_t *)(uintptr_t)piece.data;
	d->in.avail_in = (unsigned)piece.length;
	for (;;) {
		size_t room = length_bytes_max + 1 - d->inflated.length;
		if (room > d->inflated.capacity - d->inflated.length) {
			size_t more = d->inflated.length + 4096;
			if (hf_buffer_reserve(&d->inflated, more < room ? more : room))
				return HF_ENOMEM;
			if (room > d->inflated.capacity - d->inflated.length)
				room = d->inflated.capacity - d->inflated.length;
		}
		d->in.next_out = d->inflated.data + d->inflated.length;
		d->in.avail_out = (unsigned)room;
		int result = inflate(&d->in, Z_SYNC_FLUSH);
		d->inflated.length += room - d->in.avail_out;
		if (d->inflated.length > length_bytes_max)
			return HF_ETOOBIG;
		if (result == Z_STREAM_END || (result != Z_OK && result != Z_BUF_ERROR))
			return HF_EMALFORMED; /* a final block is not part of a message whose tail was cut */
		if (d->in.avail_out > 0)
			return HF_OK; /* it stops early only for want of input */
	}
}

int hf_websocket_inflate(
	struct hf_websocket_deflate *d, struct hf_slice compressed, size_t length_bytes_max, struct hf_slice *message)
{
	static const uint8_t tail[] = {0x00, 0x00, 0xff, 0xff};
	d->inflated.length = 0;
	if (compressed.length > UINT32_MAX || length_bytes_max >= UINT32_MAX)
		return HF_ETOOBIG;
	int error = ensure_in(d);
	if (error)
		return error;
	if (!d->keeps_in && inflateReset(&d->in) != Z_OK)
		return HF_EINVAL;
	error = inflate_piece(d, compressed, length_bytes_max);
	if (!error)
		error = inflate_piece(d, hf_slice(tail, sizeof tail), length_bytes_max);
	*message = hf_buffer_slice(&d->inflated);
	return error;
}

int hf_websocket_deflate(struct hf_websocket_deflate *d, struct hf_slice message, struct hf_slice *compressed)
{
	if (message.length > UINT32_MAX / 2)
		return HF_ETOOBIG;
	int error = ensure_out(d);
	if (error)
		return error;
	d->is_out_used = true;
	if (!d->keeps_out && deflateReset(&d->out) != Z_OK)
		return HF_EINVAL;
	d->deflated.length = 0;
	error = hf_buffer_reserve(&d->deflated, deflateBound(&d->out, message.length) + 16);
	if (error)
		return error;
	d->out.next_in = (uint8_t *)(uintptr_t)message.data;
	d->out.avail_in = (unsigned)message.length;
	d->out.next_out = d->deflated.data;
	d->out.avail_out = (unsigned)d->deflated.capacity;
	int result = deflate(&d->out, Z_SYNC_FLUSH);
	size_t length = d->deflated.capacity - d->out.avail_out;
	if (result != Z_OK || d->out.avail_in || length < 4)
		return HF_EINVAL;
	*compressed = hf_slice(d->deflated.data, length - 4);
	return HF_OK;
}

/* ---- Negotiation ---- */

static struct hf_slice trim(struct hf_slice s)
{
	while (s.length && (*s.data == ' ' || *s.data == '\t'))
		s.data++, s.length--;
	while (s.length && (s.data[s.length - 1] == ' ' || s.data[s.length - 1] == '\t'))
		s.length--;
	return s;
}

/* Cuts the part before the separator off *rest, which has NULL data after the last one. */
static struct hf_slice cut(struct hf_slice *rest, char separator)
{
	const uint8_t *place = memchr(rest->data, separator, rest->length);
	struct hf_slice part = *rest;
	if (place) {
		part.length = (size_t)(place - rest->data);
		*rest = hf_slice(place + 1, rest->length - part.length - 1);
	} else {
		*rest = hf_slice(NULL, 0);
	}
	return trim(part);
}

static bool text_equal(struct hf_slice s, const char *text)
{
	return s.length == strlen(text) && strncasecmp((const char *)s.data, text, s.length) == 0;
}

enum { SERVER_NO_TAKEOVER = 1, CLIENT_NO_TAKEOVER = 2, SERVER_BITS = 4, CLIENT_BITS = 8 };

/* One of the four parameters of RFC 7692, 7.1; 0 for anything else. *bits is 15 when none are given. */
static unsigned parse_parameter(struct hf_slice parameter, unsigned *bits)
{
	static const struct {
		const char *name;
		unsigned flag;
	} parameters[] = {
		{"server_no_context_takeover", SERVER_NO_TAKEOVER},
		{"client_no_context_takeover", CLIENT_NO_TAKEOVER},
		{"server_max_window_bits", SERVER_BITS},
		{"client_max_window_bits", CLIENT_BITS},
	};
	bool has_value = memchr(parameter.data, '=', parameter.length) != NULL;
	struct hf_slice name = cut(&parameter, '='), value = trim(parameter);
	if (value.length >= 2 && value.data[0] == '"' && value.data[value.length - 1] == '"')
		value = hf_slice(value.data + 1, value.length - 2);
	*bits = 15;
	if (has_value) {
		if (value.length == 1 && value.data[0] >= '8' && value.data[0] <= '9')
			*bits = (unsigned)(value.data[0] - '0');
		else if (value.length == 2 && value.data[0] == '1' && value.data[1] >= '0' && value.data[1] <= '5')
			*bits = 10u + (unsigned)(value.data[1] - '0');
		else
			return 0;
	}
	for (size_t i = 0; i < 4; i++)
		if (text_equal(name, parameters[i].name))
			return has_value && i < 2 ? 0 : parameters[i].flag;
	return 0;
}

/* Reads one extension; the bits are 15 where none are given. False when it is not permessage-deflate. */
static bool parse_extension(struct hf_slice extension, unsigned *flags, uint8_t *server_bits, uint8_t *client_bits)
{
	struct hf_slice rest = extension;
	*flags = 0;
	*server_bits = *client_bits = 15;
	if (!text_equal(cut(&rest, ';'), "permessage-deflate"))
		return false;
	while (rest.data) {
		unsigned bits, flag = parse_parameter(cut(&rest, ';'), &bits);
		if (!flag || (*flags & flag))
			return false;
		*flags |= flag;
		if (flag == SERVER_BITS)
			*server_bits = (uint8_t)bits;
		else if (flag == CLIENT_BITS)
			*client_bits = (uint8_t)bits;
	}
	return true;
}

/* The shared compressor has one window, of 15 bits. */
static bool agree(unsigned flags, bool takes_over, struct hf_websocket_deflate_terms *terms)
{
	terms->server_takeover = takes_over && !(flags & SERVER_NO_TAKEOVER);
	terms->client_takeover = takes_over && !(flags & CLIENT_NO_TAKEOVER);
	if (!terms->server_takeover && !terms->client_takeover)
		return terms->server_bits == 15;
	if (terms->server_bits > OWN_WINDOW_BITS)
		terms->server_bits = OWN_WINDOW_BITS;
	if ((flags & CLIENT_BITS) && terms->client_bits > OWN_WINDOW_BITS)
		terms->client_bits = OWN_WINDOW_BITS;
	return terms->server_bits > 8;
}

static void write_answer(unsigned flags, const struct hf_websocket_deflate_terms *terms,
	char answer[static HF_WEBSOCKET_DEFLATE_ANSWER_BYTES])
{
	bool is_own = terms->server_takeover || terms->client_takeover;
	char server_bits[32] = "", client_bits[32] = "";
	if (is_own || (flags & SERVER_BITS))
		snprintf(server_bits, sizeof server_bits, "; server_max_window_bits=%u", terms->server_bits);
	if (is_own && (flags & CLIENT_BITS))
		snprintf(client_bits, sizeof client_bits, "; client_max_window_bits=%u", terms->client_bits);
	snprintf(answer, HF_WEBSOCKET_DEFLATE_ANSWER_BYTES, "permessage-deflate%s%s%s%s",
		terms->server_takeover ? "" : "; server_no_context_takeover",
		terms->client_takeover ? "" : "; client_no_context_takeover", server_bits, client_bits);
}

bool hf_websocket_deflate_accept(struct hf_slice offers, bool takes_over, struct hf_websocket_deflate_terms *terms,
	char answer[static HF_WEBSOCKET_DEFLATE_ANSWER_BYTES])
{
	unsigned flags;
	while (offers.data)
		if (parse_extension(cut(&offers, ','), &flags, &terms->server_bits, &terms->client_bits) && agree(flags, takes_over, terms)) {
			write_answer(flags, terms, answer);
			return true;
		}
	return false;
}

bool hf_websocket_deflate_confirm(struct hf_slice answer)
{
	unsigned flags;
	uint8_t server_bits, client_bits;
	return parse_extension(answer, &flags, &server_bits, &client_bits) && (flags & SERVER_NO_TAKEOVER) && !(flags & CLIENT_BITS);
}
