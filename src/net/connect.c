/* A connect is over when `done` was called or it was cancelled; the struct stays until libuv's last request that points
 * into it has called back. */
#include "net/connect.h"

#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/un.h>

#include "base/list.h"
#include "base/text.h"
#include "net/loop_private.h"

struct hf_connect {
	struct hf_loop *loop;
	struct hf_tls *tls;
	char host[HF_URL_HOST_BYTES_MAX + 1];
	bool is_over;
	unsigned request_count; /* out at libuv */
	uv_getaddrinfo_t lookup;
	uv_connect_t request;
	struct addrinfo *found, *candidate;
	struct hf_stream *stream; /* being connected */
	struct hf_timer timer;
	int last_error; /* libuv's */
	void (*done)(void *context, struct hf_stream *stream, int error, const char *detail);
	void *context;
};

/* ---- URLs ---- */

static bool host_is_clean(const char *host)
{
	for (; *host; host++)
		if (!isalnum((unsigned char)*host) && !strchr("-._:", *host))
			return false;
	return true;
}

int hf_url_parse(struct hf_url *url, const char *text, struct hf_failure *failure)
{
	static const struct {
		const char *scheme;
		bool is_secure, is_websocket;
	} schemes[] = {
		{"http://", false, false},
		{"https://", true, false},
		{"ws://", false, true},
		{"wss://", true, true},
	};
	const char *rest = NULL;
	*url = (struct hf_url){0};
	for (size_t i = 0; i < 4 && !rest; i++)
		if (strncasecmp(text, schemes[i].scheme, strlen(schemes[i].scheme)) == 0) {
			rest = text + strlen(schemes[i].scheme);
			url->is_secure = schemes[i].is_secure;
			url->is_websocket = schemes[i].is_websocket;
		}
	if (!rest)
		return hf_fail(failure, HF_EADDR,
			"\"%.128s\" is not a URL: it begins with http://, https://, ws:// or wss://", text);
	size_t length = strcspn(rest, "/?#");
	url->target = rest + length;
	const char *start = rest, *end = rest + length, *port = NULL;
	bool has_brackets = *rest == '[';
	if (has_brackets) {
		start = rest + 1;
		end = memchr(rest, ']', length);
		if (!end)
			return hf_fail(failure, HF_EADDR, "\"%.128s\" has no ] behind its address", text);
		port = end[1] == ':' ? end + 2 : NULL;
	} else if ((port = memchr(rest, ':', length))) {
		end = port++;
	}
	uint64_t number = url->is_secure ? 443 : 80;
	bool is_usual = !port;
	if (port) {
		char digits[8] = "";
		size_t count = (size_t)(rest + length - port);
		if (count < sizeof digits)
			memcpy(digits, port, count);
		if (hf_text_to_u64(digits, &number) || number == 0 || number > 65535)
			return hf_fail(
				failure, HF_EADDR, "\"%.128s\" has no port from 1 to 65535 behind its colon", text);
	}
	if (end <= start || (size_t)(end - start) > HF_URL_HOST_BYTES_MAX)
		return hf_fail(failure, HF_EADDR, "\"%.128s\" names no host", text);
	memcpy(url->host, start, (size_t)(end - start));
	url->port = (uint16_t)number;
	if (!host_is_clean(url->host))
		return hf_fail(
			failure, HF_EADDR, "\"%.128s\" has characters in its host that do not belong there", text);
	for (const char *c = url->target; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == '#')
			return hf_fail(failure, HF_EADDR,
				"\"%.128s\" has a space, '#' or control character in its path", text);
	int written = snprintf(url->authority, sizeof url->authority, has_brackets ? "[%s]" : "%s", url->host);
	if (!is_usual)
		snprintf(url->authority + written, sizeof url->authority - (size_t)written, ":%u", url->port);
	return HF_OK;
}

struct hf_tls *hf_loop_client_tls(struct hf_loop *loop, struct hf_failure *failure)
{
	if (!loop->client_tls && hf_tls_client_new(&loop->client_tls, NULL, failure))
		loop->client_tls = NULL;
	return loop->client_tls;
}

/* ---- Connecting ---- */

static void free_if_idle(struct hf_connect *c)
{
	if (!c->is_over || c->request_count)
		return;
	if (c->found)
		uv_freeaddrinfo(c->found);
	free(c);
}

/* Takes the stream out of the connect, when there is one. */
static void conclude(struct hf_connect *c, struct hf_stream *stream, int error, const char *detail)
{
	c->is_over = true;
	hf_loop_timer_cancel(c->loop, &c->timer);
	if (c->stream && c->stream != stream)
		hf_stream_close(c->stream);
	c->stream = NULL;
	void (*done)(void *context, struct hf_stream *stream, int error, const char *detail) = c->done;
	c->done = NULL;
	if (done)
		done(c->context, stream, error, detail);
	free_if_idle(c);
}

static void try_next(struct hf_connect *c);

static void on_connect(uv_connect_t *request, int status)
{
	struct hf_connect *c = request->data;
	c->request_count--;
	if (c->is_over) {
		free_if_idle(c);
		return;
	}
	if (status < 0) {
		c->last_error = status;
		hf_stream_close(c->stream);
		c->stream = NULL;
		try_next(c);
		return;
	}
	hf_stream_connected(c->stream);
	if (c->tls && hf_stream_start_tls(c->stream, c->tls, c->host))
		conclude(c, NULL, HF_ENOMEM, "cannot begin TLS");
	else
		conclude(c, c->stream, HF_OK, NULL);
}

/* The next address of the list, or the verdict. */
static void try_next(struct hf_connect *c)
{
	struct addrinfo *candidate = c->candidate;
	if (!candidate) {
		char detail[160];
		snprintf(detail, sizeof detail, "cannot connect: %s",
			c->last_error ? uv_strerror(c->last_error) : "no address");
		conclude(c, NULL, HF_EADDR, detail);
		return;
	}
	c->candidate = candidate->ai_next;
	if (hf_stream_new(&c->stream, c->loop, false)) {
		conclude(c, NULL, HF_ENOMEM, "out of memory");
		return;
	}
	c->request.data = c;
	int result = uv_tcp_connect(&c->request, &c->stream->uv.tcp, candidate->ai_addr, on_connect);
	if (result == 0) {
		c->request_count++;
		return;
	}
	c->last_error = result;
	hf_stream_close(c->stream);
	c->stream = NULL;
	try_next(c); /* as deep as the list of addresses of one name, which the resolver bounds */
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct hf_connect *c = request->data;
	c->request_count--;
	c->found = found;
	if (c->is_over) {
		free_if_idle(c);
		return;
	}
	c->last_error = status;
	c->candidate = status == 0 ? found : NULL;
	try_next(c);
}

static int connect_unix(struct hf_connect *c, const char *path)
{
	if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
		return HF_EADDR;
	int error = hf_stream_new(&c->stream, c->loop, true);
	if (error)
		return error;
	c->request.data = c;
	c->request_count++;
	uv_pipe_connect(&c->request, &c->stream->uv.pipe, path, on_connect);
	return HF_OK;
}

static int look_up(struct hf_connect *c, uint16_t port)
{
	char service[8];
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
	snprintf(service, sizeof service, "%u", port);
	c->lookup.data = c;
	/* Addresses are no names: AI_ADDRCONFIG would refuse ::1 where only loopback has IPv6. */
	if (strchr(c->host, ':') || strspn(c->host, "0123456789.") == strlen(c->host))
		hints.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST;
	if (uv_getaddrinfo(&c->loop->uv, &c->lookup, on_found, c->host, service, &hints))
		return HF_ENOMEM;
	c->request_count++;
	return HF_OK;
}

static void fire_timer(struct hf_timer *timer)
{
	struct hf_connect *c = HF_CONTAINER_OF(timer, struct hf_connect, timer);
	conclude(c, NULL, HF_ETIMEOUT, "cannot connect: no answer in time");
}

int hf_connect_start(struct hf_connect **out, struct hf_loop *loop, const struct hf_url *url, const char *unix_path,
	struct hf_tls *tls, uint32_t timeout_ms,
	void (*done)(void *context, struct hf_stream *stream, int error, const char *detail), void *context)
{
	struct hf_connect *c = calloc(1, sizeof *c);
	if (!c)
		return HF_ENOMEM;
	c->loop = loop;
	c->tls = url->is_secure && !unix_path ? tls : NULL;
	c->done = done;
	c->context = context;
	c->timer.fire = fire_timer;
	memcpy(c->host, url->host, sizeof c->host);
	int error = unix_path ? connect_unix(c, unix_path) : look_up(c, url->port);
	if (!error)
		error = hf_loop_timer_set(loop, &c->timer, timeout_ms);
	if (error) {
		c->done = NULL;
		c->is_over = true;
		if (c->stream)
			hf_stream_close(c->stream);
		free_if_idle(c);
		return error;
	}
	*out = c;
	return HF_OK;
}

void hf_connect_cancel(struct hf_connect *c)
{
	c->done = NULL;
	conclude(c, NULL, HF_ECANCELED, NULL);
}
