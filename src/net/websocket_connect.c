/* The opening handshake of a client: a request, and an answer that proves that the other side speaks WebSocket.
 * (RFC 6455, 4.1) What comes behind the answer is handed to the connection that it becomes. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/connect.h"
#include "net/websocket_private.h"
#include "wire/http.h"
#include "wire/websocket_deflate.h"

#define HANDSHAKE_TIMEOUT_MS 15000
#define HEADER_BYTES_MAX 16384
#define REFUSAL_BYTES_MAX 65536 /* the page that says no */

struct opening {
	struct hf_loop *loop;
	struct hf_connect *connect;
	struct hf_stream *stream;
	struct hf_http_session *session;
	struct hf_buffer request;
	char key[HF_WEBSOCKET_KEY_BYTES];
	struct hf_websocket_limits limits;
	const struct hf_websocket_handler *handler;
	void *context;
	void (*opened)(void *context, struct hf_websocket *ws, int status, const char *detail);
};

static void free_opening(struct opening *o)
{
	if (o->stream)
		hf_stream_close(o->stream);
	hf_http_session_free(o->session);
	hf_buffer_free(&o->request);
	free(o);
}

static void fail(struct opening *o, int error, const char *detail)
{
	o->opened(o->context, NULL, error, detail);
	free_opening(o);
}

/* NULL, or what is wrong with the answer. */
static const char *check_answer(struct opening *o, const struct hf_http_message *m, bool *deflate)
{
	char accept[HF_WEBSOCKET_ACCEPT_BYTES];
	hf_websocket_accept_key(hf_slice_text(o->key), accept);
	if (m->status != 101)
		return "the server does not upgrade to WebSocket";
	if (!hf_http_message_has_token(m, "Upgrade", "websocket") ||
		!hf_http_message_has_token(m, "Connection", "upgrade"))
		return "the server upgraded to something else";
	if (!hf_slice_equal(hf_http_message_field(m, "Sec-WebSocket-Accept"), hf_slice_text(accept)))
		return "the server did not prove that it speaks WebSocket";
	struct hf_slice extensions = hf_http_message_field(m, "Sec-WebSocket-Extensions");
	*deflate = o->limits.deflate && extensions.length;
	if (extensions.length && (!*deflate || !hf_websocket_deflate_confirm(extensions)))
		return "the server chose an extension that was not offered";
	return NULL;
}

static void finish_opening(struct opening *o, struct hf_slice early)
{
	const struct hf_http_message *m = hf_http_session_message(o->session);
	static const struct hf_websocket_deflate_terms shared = {.server_bits = 15, .client_bits = 15};
	bool deflate = false;
	char text[160];
	const char *wrong = check_answer(o, m, &deflate);
	if (wrong) {
		snprintf(text, sizeof text, "%s (HTTP status %u)", wrong, m->status);
		fail(o, HF_EMALFORMED, text);
		return;
	}
	struct hf_websocket *ws;
	int error = hf_websocket_new(&ws, o->stream, HF_WEBSOCKET_CLIENT, deflate ? &shared : NULL, &o->limits, o->handler, o->context,
		&o->stream->peer, early, NULL);
	if (error) {
		fail(o, error, "out of memory");
		return;
	}
	o->stream = NULL;
	o->opened(o->context, ws, HF_OK, NULL);
	free_opening(o);
}

static void on_read(void *owner, uint8_t *data, size_t length)
{
	struct opening *o = owner;
	size_t consumed;
	int result = hf_http_session_recv(o->session, hf_slice(data, length), &consumed);
	if (result < 0)
		fail(o, result, "the answer is not HTTP");
	else if (result == HF_HTTP_MESSAGE)
		finish_opening(o, hf_slice(data + consumed, length - consumed));
}

static void on_end(void *owner, int error)
{
	struct opening *o = owner;
	if (error == HF_EMALFORMED)
		fail(o, HF_EDENIED, hf_stream_tls_error(o->stream));
	else
		fail(o, HF_ECLOSED, "the connection was closed during the handshake");
}

static void on_timeout(void *owner)
{
	fail(owner, HF_ETIMEOUT, "no answer in time");
}

static const struct hf_stream_events stream_events = {.read = on_read, .end = on_end, .timeout = on_timeout};

static void on_connected(void *context, struct hf_stream *stream, int error, const char *detail)
{
	struct opening *o = context;
	if (error) {
		fail(o, error, detail);
		return;
	}
	o->stream = stream;
	hf_stream_own(stream, &stream_events, o);
	hf_stream_set_timeout(stream, HANDSHAKE_TIMEOUT_MS);
	hf_stream_start_reading(stream);
	if (hf_stream_send_copy(stream, hf_buffer_slice(&o->request)))
		fail(o, HF_ENOMEM, "out of memory");
}

static int build_request(struct opening *o, const struct hf_url *url)
{
	uint8_t nonce[16];
	struct hf_env *env = hf_loop_env(o->loop);
	env->random(env, nonce, sizeof nonce);
	EVP_EncodeBlock((unsigned char *)o->key, nonce, sizeof nonce);
	return hf_buffer_printf(&o->request,
		"GET %s%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nUser-Agent: holdfast\r\n%s\r\n",
		*url->target == '/' ? "" : "/", url->target, url->authority, o->key,
		o->limits.deflate ? "Sec-WebSocket-Extensions: " HF_WEBSOCKET_DEFLATE_OFFER "\r\n" : "");
}

int hf_websocket_connect(struct hf_loop *loop, const char *text, struct hf_tls *tls,
	const struct hf_websocket_limits *limits, const struct hf_websocket_handler *handler, void *context,
	void (*opened)(void *context, struct hf_websocket *ws, int status, const char *detail))
{
	struct hf_url url;
	struct hf_http_limits http_limits = {HEADER_BYTES_MAX, REFUSAL_BYTES_MAX};
	int error = hf_url_parse(&url, text, NULL);
	if (error || !url.is_websocket)
		return HF_EADDR;
	if (url.is_secure && !tls && !(tls = hf_loop_client_tls(loop, NULL)))
		return HF_EINVAL;
	struct opening *o = calloc(1, sizeof *o);
	if (!o)
		return HF_ENOMEM;
	o->loop = loop;
	o->limits = *limits;
	o->handler = handler;
	o->context = context;
	o->opened = opened;
	error = hf_http_session_new(&o->session, HF_HTTP_CLIENT, &http_limits);
	if (!error)
		error = build_request(o, &url);
	if (!error)
		error = hf_connect_start(&o->connect, loop, &url, NULL, tls, HANDSHAKE_TIMEOUT_MS, on_connected, o);
	if (error)
		free_opening(o);
	return error;
}
