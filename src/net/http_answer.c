/* Heads are made on the stack and copied into the stream's tail with the body, so that an answer of a usual size is one
 * buffer; static bodies are sent from where they lie. */
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "net/http_private.h"
#include "wire/websocket_deflate.h"

#define FILE_BYTES_MAX (64u << 20)
#define HEAD_BYTES_MAX 640 /* of an answer, beside what the caller gives */

/* The HTTP date of the loop's wall clock. (RFC 9110, 5.6.7) */
static void append_date(struct hf_http_server *server, struct hf_buffer *head)
{
	struct tm tm;
	char text[64];
	time_t now = (time_t)hf_env_wall_s(hf_loop_env(server->options.loop));
	gmtime_r(&now, &tm);
	strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
	hf_buffer_append_text(head, text);
}

static bool is_head_request(struct hf_http_exchange *x)
{
	return hf_http_name_equal(hf_http_exchange_message(x)->method, "HEAD");
}

bool hf_http_answer_has_body(struct hf_http_exchange *x, int status)
{
	return status != 204 && status != 304 && !is_head_request(x);
}

/* All of it, or nothing: its room is made first. */
int hf_http_build_head(struct hf_http_exchange *x, struct hf_buffer *head, int status, const char *content_type, uint64_t length,
	const char *extra_fields)
{
	size_t given_bytes = (content_type ? strlen(content_type) : 0) + (x->allow_origin ? strlen(x->allow_origin) : 0) +
		(extra_fields ? strlen(extra_fields) : 0);
	int error = hf_buffer_reserve(head, HEAD_BYTES_MAX + given_bytes);
	if (error)
		return error;
	hf_buffer_printf(head, "HTTP/1.1 %d %s\r\n", status, hf_http_reason(status));
	append_date(x->server, head);
	if (status != 204 && status != 304) {
		if (length != HF_HTTP_LENGTH_UNKNOWN)
			hf_buffer_printf(head, "Content-Length: %llu\r\n", (unsigned long long)length);
		if (content_type)
			hf_buffer_printf(head, "Content-Type: %s\r\n", content_type);
	}
	hf_buffer_append_text(head, "X-Content-Type-Options: nosniff\r\n");
	if (x->allow_origin) {
		hf_buffer_printf(head, "Access-Control-Allow-Origin: %s\r\n", x->allow_origin);
		if (hf_http_name_equal(hf_http_exchange_message(x)->method, "OPTIONS"))
			hf_buffer_append_text(head, "Access-Control-Allow-Methods: GET, POST, PUT, DELETE, OPTIONS\r\n"
						    "Access-Control-Allow-Headers: *, Authorization\r\n"
						    "Access-Control-Max-Age: 86400\r\n");
	}
	if (extra_fields)
		hf_buffer_append_text(head, extra_fields);
	if (!x->keep_alive)
		hf_buffer_append_text(head, "Connection: close\r\n");
	else if (hf_http_exchange_message(x)->minor_version == 0)
		hf_buffer_append_text(head, "Connection: keep-alive\r\n");
	return hf_buffer_append_text(head, "\r\n");
}

/* body is copied, or referred to when it is static. */
static void answer(struct hf_http_exchange *x, int status, const char *content_type, struct hf_slice body,
	const char *extra_fields, bool is_static)
{
	hf_http_count_status(x->server, status);
	if (!x->stream) {
		hf_http_exchange_answered(x);
		return;
	}
	struct hf_buffer head = {0};
	int error = hf_http_build_head(x, &head, status, content_type, body.length, extra_fields);
	if (!error)
		error = hf_stream_send_copy(x->stream, hf_buffer_slice(&head));
	hf_buffer_free(&head);
	bool has_body = body.length && hf_http_answer_has_body(x, status);
	if (!error && has_body)
		error = is_static ? hf_stream_send_shared(x->stream, body, NULL, NULL)
				  : hf_stream_send_copy(x->stream, body);
	if (error)
		x->keep_alive = false;
	hf_http_exchange_answered(x);
}

void hf_http_respond(struct hf_http_exchange *x, int status, const char *content_type, struct hf_slice body,
	const char *extra_headers)
{
	answer(x, status, content_type, body, extra_headers, false);
}

/* ---- Static content ---- */

/* Digits at the front of *text, saturating; false when there are none. */
static bool cut_number(struct hf_slice *text, uint64_t *number)
{
	size_t count = 0;
	*number = 0;
	for (; count < text->length && text->data[count] >= '0' && text->data[count] <= '9'; count++)
		*number = *number < UINT64_MAX / 16 ? *number * 10 + (uint64_t)(text->data[count] - '0') : UINT64_MAX;
	*text = hf_slice(text->data + count, text->length - count);
	return count > 0;
}

/* One range of bytes: "bytes=1-2", "bytes=1-", "bytes=-2". (RFC 9110, 14.1.2) False: not one that we take, send
 * everything. */
static bool parse_range(struct hf_slice field, size_t length, size_t *first, size_t *last, bool *is_satisfiable)
{
	uint64_t from, to;
	if (field.length < 7 || memcmp(field.data, "bytes=", 6) != 0)
		return false;
	struct hf_slice rest = hf_slice(field.data + 6, field.length - 6);
	bool has_from = cut_number(&rest, &from);
	if (rest.length == 0 || rest.data[0] != '-')
		return false;
	rest = hf_slice(rest.data + 1, rest.length - 1);
	bool has_to = cut_number(&rest, &to);
	if (rest.length || (!has_from && !has_to) || (has_from && has_to && to < from))
		return false;
	*last = has_from && has_to && to < length ? (size_t)to : length - 1;
	if (has_from)
		*first = (size_t)from;
	else
		*first = to < length ? length - (size_t)to : 0;
	*is_satisfiable = has_from ? from < length : to > 0 && length > 0;
	return true;
}

/* If-None-Match: a list of tags, weak or not, or "*". */
static bool tag_matches(struct hf_slice field, const char *tag)
{
	if (field.length == 1 && field.data[0] == '*')
		return true;
	return field.length && memmem(field.data, field.length, tag, strlen(tag)) != NULL;
}

/* keep: body lives for ever. */
static void answer_content(struct hf_http_exchange *x, const char *content_type, struct hf_slice body,
	const char *cache_control, bool keep)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	char tag[36], fields[320];
	SHA256(body.data, body.length, digest);
	tag[0] = '"';
	for (size_t i = 0; i < 16; i++)
		snprintf(tag + 1 + 2 * i, 3, "%02x", digest[i]);
	tag[33] = '"';
	tag[34] = 0;
	size_t first, last;
	bool is_satisfiable;
	int length = snprintf(fields, sizeof fields, "ETag: %s\r\nAccept-Ranges: bytes\r\nCache-Control: %.128s\r\n",
		tag, cache_control ? cache_control : "no-cache");
	struct hf_slice if_range = hf_http_header(x, "If-Range");
	bool range_applies = !if_range.data || hf_slice_equal(if_range, hf_slice_text(tag));
	if (tag_matches(hf_http_header(x, "If-None-Match"), tag)) {
		answer(x, 304, NULL, hf_slice(NULL, 0), fields, false);
	} else if (!range_applies ||
		   !parse_range(hf_http_header(x, "Range"), body.length, &first, &last, &is_satisfiable)) {
		answer(x, 200, content_type, body, fields, keep);
	} else if (!is_satisfiable) {
		snprintf(
			fields + length, sizeof fields - (size_t)length, "Content-Range: bytes */%zu\r\n", body.length);
		answer(x, 416, content_type, hf_slice(NULL, 0), fields, false);
	} else {
		snprintf(fields + length, sizeof fields - (size_t)length, "Content-Range: bytes %zu-%zu/%zu\r\n", first,
			last, body.length);
		answer(x, 206, content_type, hf_slice(body.data + first, last - first + 1), fields, keep);
	}
}

void hf_http_respond_static(
	struct hf_http_exchange *x, const char *content_type, struct hf_slice body, const char *cache_control)
{
	answer_content(x, content_type, body, cache_control, true);
}

static const char *type_of(const char *name)
{
	static const struct {
		const char *ending, *type;
	} types[] = {
		{".html", "text/html; charset=utf-8"},
		{".css", "text/css; charset=utf-8"},
		{".js", "text/javascript; charset=utf-8"},
		{".json", "application/json"},
		{".svg", "image/svg+xml"},
		{".png", "image/png"},
		{".jpg", "image/jpeg"},
		{".ico", "image/x-icon"},
		{".txt", "text/plain; charset=utf-8"},
		{".woff2", "font/woff2"},
		{".wasm", "application/wasm"},
		{".webmanifest", "application/manifest+json"},
	};
	const char *ending = strrchr(name, '.');
	for (size_t i = 0; ending && i < sizeof types / sizeof *types; i++)
		if (strcmp(ending, types[i].ending) == 0)
			return types[i].type;
	return "application/octet-stream";
}

/* Opens a regular file below the directory, part by part, following no link. -1 when there is none. */
static int open_below(const char *directory, char *path)
{
	int parent = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *rest = path, *part;
	while (parent >= 0 && (part = strsep(&rest, "/"))) {
		if (!*part && rest)
			continue;
		bool is_last = !rest;
		bool is_hidden = *part == '.' || !*part;
		int flags = O_NOFOLLOW | O_CLOEXEC | (is_last ? O_RDONLY | O_NONBLOCK : O_PATH | O_DIRECTORY);
		int next = is_hidden ? -1 : openat(parent, part, flags);
		close(parent);
		parent = next;
	}
	return parent;
}

static int read_open_file(int descriptor, struct hf_buffer *out)
{
	struct stat status;
	if (fstat(descriptor, &status) || !S_ISREG(status.st_mode))
		return HF_ENOTFOUND;
	if (status.st_size > FILE_BYTES_MAX)
		return HF_ETOOBIG;
	if (hf_buffer_reserve(out, (size_t)status.st_size + 1))
		return HF_ENOMEM;
	while (out->length < (size_t)status.st_size) {
		ssize_t got = read(descriptor, out->data + out->length, (size_t)status.st_size - out->length);
		if (got <= 0)
			return got < 0 ? HF_EIO : HF_OK;
		out->length += (size_t)got;
	}
	return HF_OK;
}

void hf_http_respond_file(struct hf_http_exchange *x, const char *directory, struct hf_slice relative_path)
{
	char path[HF_PATH_BYTES_MAX], name[HF_PATH_BYTES_MAX];
	struct hf_buffer bytes = {0};
	int error = HF_ENOTFOUND;
	if (relative_path.length < sizeof path && !memchr(relative_path.data, 0, relative_path.length)) {
		memcpy(path, relative_path.data, relative_path.length);
		path[relative_path.length] = 0;
		memcpy(name, path, relative_path.length + 1);
		int descriptor = open_below(directory, path);
		if (descriptor >= 0) {
			error = read_open_file(descriptor, &bytes);
			close(descriptor);
		}
	}
	if (error)
		hf_http_respond(x, error == HF_ENOTFOUND ? 404 : 500, "text/plain; charset=utf-8",
			error == HF_ENOTFOUND ? HF_SLICE_LITERAL("not found\n") : HF_SLICE_LITERAL("cannot be read\n"),
			NULL);
	else
		answer_content(x, type_of(name), hf_buffer_slice(&bytes), NULL, false);
	hf_buffer_free(&bytes);
}

/* ---- WebSocket ---- */

bool hf_http_wants_websocket(struct hf_http_exchange *x)
{
	const struct hf_http_message *m = hf_http_exchange_message(x);
	return m->upgrade && hf_http_message_has_token(m, "Upgrade", "websocket");
}

static int refuse_upgrade(struct hf_http_exchange *x, int status, const char *text, const char *fields, int code)
{
	hf_http_respond(x, status, "text/plain; charset=utf-8", hf_slice_text(text), fields);
	return code;
}

static bool key_is_valid(struct hf_slice key)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	if (key.length != HF_WEBSOCKET_KEY_BYTES - 1 || key.data[22] != '=' || key.data[23] != '=')
		return false;
	for (size_t i = 0; i < 22; i++)
		if (!key.data[i] || !strchr(alphabet, key.data[i]))
			return false;
	return true;
}

/* A window for each connection is for when there is plenty. */
static bool may_take_over(const struct hf_http_exchange *x)
{
	const struct hf_memory *memory = &x->server->options.loop->memory;
	return x->server->options.websocket.deflate_takeover && !hf_memory_lacks(memory, memory->max_bytes / 4);
}

int hf_http_upgrade(struct hf_http_exchange *x, const struct hf_websocket_handler *handler, void *context,
	struct hf_websocket **out)
{
	const struct hf_http_message *m = hf_http_exchange_message(x);
	struct hf_slice key = hf_http_message_field(m, "Sec-WebSocket-Key");
	if (!x->stream) {
		hf_http_exchange_answered(x);
		return HF_ECLOSED;
	}
	if (x->has_peer_ended)
		return refuse_upgrade(x, 400, "a WebSocket needs both ways\n", NULL, HF_ECLOSED);
	if (x->server->is_draining)
		return refuse_upgrade(x, 503, "going away\n", NULL, HF_ECLOSED);
	if (!hf_http_wants_websocket(x) || m->minor_version == 0 || !hf_http_name_equal(m->method, "GET"))
		return refuse_upgrade(x, 426, "this is a WebSocket address\n",
			"Upgrade: websocket\r\nConnection: Upgrade\r\n", HF_EMALFORMED);
	if (!hf_http_name_equal(hf_http_message_field(m, "Sec-WebSocket-Version"), "13"))
		return refuse_upgrade(
			x, 426, "only WebSocket version 13\n", "Sec-WebSocket-Version: 13\r\n", HF_EVERSION);
	if (!key_is_valid(key) || m->body.length)
		return refuse_upgrade(x, 400, "bad WebSocket handshake\n", NULL, HF_EMALFORMED);
	char extension[HF_WEBSOCKET_DEFLATE_ANSWER_BYTES];
	struct hf_websocket_deflate_terms terms;
	struct hf_slice offers = hf_http_message_field(m, "Sec-WebSocket-Extensions");
	bool deflate = x->server->options.websocket.deflate && offers.length &&
		       hf_websocket_deflate_accept(offers, may_take_over(x), &terms, extension);
	char accept[HF_WEBSOCKET_ACCEPT_BYTES], head[400];
	hf_websocket_accept_key(key, accept);
	int length = snprintf(head, sizeof head,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
		"Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s%s%s\r\n",
		accept, deflate ? "Sec-WebSocket-Extensions: " : "", deflate ? extension : "", deflate ? "\r\n" : "");
	struct hf_stream *stream = x->stream;
	/* Within a handler, the eating loop hands over what is left; otherwise it waits here. */
	struct hf_slice early = hf_buffer_slice(&x->leftover);
	int error = hf_websocket_new(out, stream, HF_WEBSOCKET_SERVER, deflate ? &terms : NULL, &x->server->options.websocket, handler,
		context, &x->client, early, &x->server->websocket_counters);
	if (error)
		return refuse_upgrade(x, 503, "out of memory\n", NULL, error);
	if (hf_stream_send_copy(stream, hf_slice(head, (size_t)length)))
		hf_websocket_doom(*out); /* a frame without a head before it is nothing that a client can read */
	hf_stream_start_reading(stream);
	hf_http_count_status(x->server, 101);
	hf_http_exchange_handed_over(x);
	return HF_OK;
}
