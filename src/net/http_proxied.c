/* Until its header has come, a connection of a proxy belongs to this. What was read behind the header goes to whom it belongs then. The
 * whole header has one time, which more bytes do not extend. */
#include <stdlib.h>

#include "net/http_private.h"
#include "wire/proxy_protocol.h"

struct proxied {
	struct hf_http_server *server;
	struct hf_stream *stream;
	struct hf_tls *tls;
	struct hf_buffer bytes; /* so far */
};

static void free_proxied(struct proxied *p)
{
	hf_memory_release(&p->server->options.loop->memory, HF_MEMORY_RECEIVE, p->bytes.length);
	hf_buffer_free(&p->bytes);
	free(p);
}

/* The stream may have ended by itself. */
static void refuse(struct proxied *p, const char *why)
{
	hf_http_server_refuse(p->server, p->stream, false, HF_HTTP_REFUSED_PROXY, why);
	free_proxied(p);
}

static const char *reason_of(int error)
{
	switch (error) {
	case HF_ETOOBIG: return "the header of the PROXY protocol is too long";
	case HF_ECORRUPT: return "the checksum of the PROXY protocol's header is wrong";
	default: return "the connection does not begin with a header of the PROXY protocol";
	}
}

/* The header is whole: the connection is the client's from here on. */
static void begin(struct proxied *p, const struct hf_proxy_header *header)
{
	struct hf_stream *stream = p->stream;
	bool is_welcome = !header->has_source || hf_http_server_readdress(p->server, stream, &header->source);
	stream->is_proxied = true;
	hf_http_server_welcome(p->server, stream, p->tls, is_welcome);
	if (is_welcome && p->bytes.length > header->length)
		hf_stream_give(stream, p->bytes.data + header->length, p->bytes.length - header->length);
	free_proxied(p);
}

static void on_read(void *owner, uint8_t *data, size_t length)
{
	struct proxied *p = owner;
	struct hf_proxy_header header;
	if (hf_buffer_append(&p->bytes, data, length)) {
		refuse(p, "out of memory");
		return;
	}
	hf_memory_hold(&p->server->options.loop->memory, HF_MEMORY_RECEIVE, length);
	int r = hf_proxy_header_read(hf_buffer_slice(&p->bytes), &header);
	if (r == HF_OK)
		begin(p, &header);
	else if (r != HF_EWAIT)
		refuse(p, reason_of(r));
}

static void on_end(void *owner, int error)
{
	struct proxied *p = owner;
	hf_stream_close(p->stream);
	free_proxied(p);
}

static void on_timeout(void *owner)
{
	refuse(owner, "no header of the PROXY protocol came in time");
}

static void on_drain(void *owner)
{
	on_end(owner, HF_ECANCELED);
}

static size_t held(const void *owner)
{
	return ((const struct proxied *)owner)->bytes.length;
}

static const struct hf_stream_events stream_events = {
	.read = on_read,
	.end = on_end,
	.timeout = on_timeout,
	.drain = on_drain,
	.held = held,
	.evict = on_drain,
};

int hf_http_proxied_new(struct hf_http_server *server, struct hf_stream *stream, struct hf_tls *tls)
{
	struct proxied *p = calloc(1, sizeof *p);
	if (!p)
		return HF_ENOMEM;
	*p = (struct proxied){.server = server, .stream = stream, .tls = tls};
	hf_stream_own(stream, &stream_events, p);
	hf_stream_set_timeout(stream, server->options.header_timeout_ms);
	hf_stream_start_reading(stream);
	return HF_OK;
}
