/* A client is a connect, then a stream with an HTTP session. It ends in `conclude`, which frees it before the callback
 * returns to the loop. */
#include "net/http_client.h"

#include <stdlib.h>

#include "base/options.h"
#include "net/connect.h"
#include "wire/http.h"

#define TIMEOUT_MS_DEFAULT 30000
#define BODY_BYTES_MAX_DEFAULT (16u << 20)
#define HEADER_BYTES_MAX 32768

struct hf_http_client {
	struct hf_loop *loop;
	struct hf_connect *connect;
	struct hf_stream *stream;
	struct hf_http_session *session;
	struct hf_buffer request;
	uint64_t deadline_us;
	void (*done)(void *context, const struct hf_http_client_answer *answer);
	void *context;
};

static void free_client(struct hf_http_client *c)
{
	if (c->connect)
		hf_connect_cancel(c->connect);
	if (c->stream)
		hf_stream_close(c->stream);
	hf_http_session_free(c->session);
	hf_buffer_free(&c->request);
	free(c);
}

void hf_http_client_cancel(struct hf_http_client *c)
{
	free_client(c);
}

static void conclude(struct hf_http_client *c, const struct hf_http_client_answer *answer)
{
	c->done(c->context, answer);
	free_client(c);
}

static void fail(struct hf_http_client *c, int error, const char *detail)
{
	conclude(c, &(struct hf_http_client_answer){.error = error, .detail = detail});
}

static void succeed(struct hf_http_client *c)
{
	const struct hf_http_message *m = hf_http_session_message(c->session);
	conclude(c, &(struct hf_http_client_answer){
			    .status = m->status,
			    .content_type = hf_http_message_field(m, "Content-Type"),
			    .body = m->body,
		    });
}

static void on_read(void *owner, uint8_t *data, size_t length)
{
	struct hf_http_client *c = owner;
	while (length) {
		size_t consumed;
		int result = hf_http_session_recv(c->session, hf_slice(data, length), &consumed);
		if (result < 0) {
			fail(c, result, result == HF_ETOOBIG ? "the answer is too big" : "the answer is not HTTP");
			return;
		}
		if (result == HF_HTTP_MESSAGE && hf_http_session_message(c->session)->status >= 200) {
			succeed(c);
			return;
		}
		if (result == HF_HTTP_MESSAGE)
			hf_http_session_next(c->session); /* 1xx: the answer is still to come */
		data += consumed;
		length -= consumed;
	}
}

static void on_end(void *owner, int error)
{
	struct hf_http_client *c = owner;
	if (error == HF_ECLOSED && hf_http_session_end(c->session) == HF_HTTP_MESSAGE)
		succeed(c);
	else if (error == HF_EMALFORMED)
		fail(c, HF_EDENIED, hf_stream_tls_error(c->stream));
	else
		fail(c, HF_ECLOSED, "the connection was closed before the answer was whole");
}

static void on_timeout(void *owner)
{
	fail(owner, HF_ETIMEOUT, "no answer in time");
}

static const struct hf_stream_events stream_events = {.read = on_read, .end = on_end, .timeout = on_timeout};

static void on_connected(void *context, struct hf_stream *stream, int error, const char *detail)
{
	struct hf_http_client *c = context;
	c->connect = NULL;
	if (error) {
		fail(c, error, detail);
		return;
	}
	c->stream = stream;
	hf_stream_own(stream, &stream_events, c);
	uint64_t now_us = hf_loop_now_us(c->loop);
	hf_stream_set_timeout(stream, c->deadline_us > now_us ? (c->deadline_us - now_us) / 1000 : 0);
	hf_stream_start_reading(stream);
	if (hf_stream_send_copy(stream, hf_buffer_slice(&c->request)))
		fail(c, HF_ENOMEM, "out of memory");
}

static int build_request(
	struct hf_http_client *c, const struct hf_http_client_request *request, const struct hf_url *url)
{
	const char *slash = *url->target == '/' ? "" : "/";
	hf_buffer_printf(&c->request,
		"%s %s%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nAccept: */*\r\nUser-Agent: holdfast\r\n",
		request->method ? request->method : "GET", slash, url->target, url->authority);
	if (request->content_type)
		hf_buffer_printf(&c->request, "Content-Type: %s\r\n", request->content_type);
	if (request->body.length)
		hf_buffer_printf(&c->request, "Content-Length: %zu\r\n", request->body.length);
	if (request->extra_headers)
		hf_buffer_append_text(&c->request, request->extra_headers);
	int error = hf_buffer_append_text(&c->request, "\r\n");
	return error ? error : hf_buffer_append(&c->request, request->body.data, request->body.length);
}

int hf_http_client_start(struct hf_http_client **out, struct hf_loop *loop, const struct hf_http_client_request *given,
	void (*done)(void *context, const struct hf_http_client_answer *answer), void *context,
	struct hf_failure *failure)
{
	struct hf_http_client_request request;
	struct hf_url url;
	int error = hf_options_take(&request, sizeof request, given);
	if (error)
		return hf_fail(failure, error, "the request is not one: %s", hf_error_text(error));
	error = hf_url_parse(&url, request.url, failure);
	if (error)
		return error;
	struct hf_tls *tls = request.tls;
	if (url.is_secure && !request.unix_path && !tls && !(tls = hf_loop_client_tls(loop, failure)))
		return HF_EINVAL;
	struct hf_http_client *c = calloc(1, sizeof *c);
	if (!c)
		return hf_fail(failure, HF_ENOMEM, "cannot ask %s: out of memory", request.url);
	uint32_t timeout_ms = request.timeout_ms ? request.timeout_ms : TIMEOUT_MS_DEFAULT;
	struct hf_http_limits limits = {
		HEADER_BYTES_MAX, request.body_bytes_max ? request.body_bytes_max : BODY_BYTES_MAX_DEFAULT};
	c->loop = loop;
	c->done = done;
	c->context = context;
	c->deadline_us = hf_loop_now_us(loop) + timeout_ms * 1000ull;
	error = hf_http_session_new(&c->session, HF_HTTP_CLIENT, &limits);
	if (!error && request.method && strcmp(request.method, "HEAD") == 0)
		hf_http_session_expect_no_body(c->session);
	if (!error)
		error = build_request(c, &request, &url);
	if (!error)
		error = hf_connect_start(&c->connect, loop, &url, request.unix_path, tls, timeout_ms, on_connected, c);
	if (error) {
		free_client(c);
		return hf_fail(failure, error, "cannot ask %s: %s", request.url, hf_error_text(error));
	}
	*out = c;
	return HF_OK;
}

/* ---- Waiting for it ---- */

struct fetch {
	bool is_done;
	int error;
	unsigned *status;
	struct hf_buffer *body;
	struct hf_failure *failure;
	const char *url;
};

static void on_fetched(void *context, const struct hf_http_client_answer *answer)
{
	struct fetch *f = context;
	f->is_done = true;
	f->error = answer->error;
	if (answer->error) {
		hf_fail(f->failure, answer->error, "cannot ask %s: %s", f->url, answer->detail);
		return;
	}
	*f->status = answer->status;
	if (hf_buffer_append(f->body, answer->body.data, answer->body.length))
		f->error = hf_fail(f->failure, HF_ENOMEM, "cannot ask %s: out of memory", f->url);
}

int hf_http_client_fetch(struct hf_env *env, const struct hf_http_client_request *request, unsigned *status,
	struct hf_buffer *body, struct hf_failure *failure)
{
	struct hf_loop *loop;
	struct hf_http_client *client;
	struct fetch f = {.status = status,
		.body = body,
		.failure = failure,
		.url = request->unix_path ? request->unix_path : request->url};
	int error = hf_loop_new(&loop, env);
	if (error)
		return hf_fail(failure, error, "cannot ask %s: out of memory", f.url);
	error = hf_http_client_start(&client, loop, request, on_fetched, &f, failure);
	while (!error && !f.is_done)
		hf_loop_poll(loop, true);
	hf_loop_free(loop);
	return error ? error : f.error;
}
