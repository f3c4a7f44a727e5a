/* Raw deflate with the largest window for what comes in, and our own parameters for what goes out: level 1 is most of
 * the gain on JSON for a third of the time. Both streams are reset before each message, which is what "no context
 * takeover" means. */
#include "wire/websocket_deflate.h"

#include <stdlib.h>
#include <strings.h>
#include <zlib.h>

#define BUFFER_BYTES_KEPT 65536
#define DEFLATE_LEVEL 1
#define DEFLATE_WINDOW_BITS 15
#define DEFLATE_MEMORY_LEVEL 8

struct hf_websocket_deflate {
	z_stream in, out;
	struct hf_buffer inflated, deflated;
};

int hf_websocket_deflate_new(struct hf_websocket_deflate **out)
{
	struct hf_websocket_deflate *d = calloc(1, sizeof *d);
	if (!d)
		return HF_ENOMEM;
	if (inflateInit2(&d->in, -15) != Z_OK)
		goto out_struct;
	if (deflateInit2(&d->out, DEFLATE_LEVEL, Z_DEFLATED, -DEFLATE_WINDOW_BITS, DEFLATE_MEMORY_LEVEL,
		    Z_DEFAULT_STRATEGY) != Z_OK)
		goto out_inflate;
	*out = d;
	return HF_OK;
out_inflate:
	inflateEnd(&d->in);
out_struct:
	free(d);
	return HF_ENOMEM;
}

void hf_websocket_deflate_free(struct hf_websocket_deflate *d)
{
	if (!d)
		return;
	inflateEnd(&d->in);
	deflateEnd(&d->out);
	hf_buffer_free(&d->inflated);
	hf_buffer_free(&d->deflated);
	free(d);
}

void hf_websocket_deflate_trim(struct hf_websocket_deflate *d)
{
	if (d->inflated.capacity > BUFFER_BYTES_KEPT)
		hf_buffer_free(&d->inflated);
	if (d->deflated.capacity > BUFFER_BYTES_KEPT)
		hf_buffer_free(&d->deflated);
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
	if (inflateReset(&d->in) != Z_OK)
		return HF_EINVAL;
	int error = inflate_piece(d, compressed, length_bytes_max);
	if (!error)
		error = inflate_piece(d, hf_slice(tail, sizeof tail), length_bytes_max);
	*message = hf_buffer_slice(&d->inflated);
	return error;
}

int hf_websocket_deflate(struct hf_websocket_deflate *d, struct hf_slice message, struct hf_slice *compressed)
{
	if (message.length > UINT32_MAX / 2)
		return HF_ETOOBIG;
	if (deflateReset(&d->out) != Z_OK)
		return HF_EINVAL;
	d->deflated.length = 0;
	int error = hf_buffer_reserve(&d->deflated, deflateBound(&d->out, message.length) + 16);
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

/* Reads one extension. False when it is not permessage-deflate in terms that can be met: any window of the client's is
 * fine, a smaller one of ours is not, as the compressor is shared. */
static bool parse_extension(struct hf_slice extension, unsigned *flags)
{
	struct hf_slice rest = extension;
	*flags = 0;
	if (!text_equal(cut(&rest, ';'), "permessage-deflate"))
		return false;
	while (rest.data) {
		unsigned bits, flag = parse_parameter(cut(&rest, ';'), &bits);
		if (!flag || (*flags & flag) || (flag == SERVER_BITS && bits != 15))
			return false;
		*flags |= flag;
	}
	return true;
}

bool hf_websocket_deflate_accept(struct hf_slice offers, const char **answer)
{
	unsigned flags;
	while (offers.data)
		if (parse_extension(cut(&offers, ','), &flags)) {
			*answer = flags & SERVER_BITS ? HF_WEBSOCKET_DEFLATE_OFFER "; server_max_window_bits=15"
						      : HF_WEBSOCKET_DEFLATE_OFFER;
			return true;
		}
	return false;
}

bool hf_websocket_deflate_confirm(struct hf_slice answer)
{
	unsigned flags;
	return parse_extension(answer, &flags) && (flags & SERVER_NO_TAKEOVER) && !(flags & CLIENT_BITS);
}
