/* The head is collected until its empty line and taken apart at once (http_head.c), so that every slice of a message
 * points into one buffer. Body framing is decided here, from fields seen exactly once, and decoded here.
 *
 * Invariants: in HEAD, `head` holds no complete head; from BODY on, `head` does not change until the next message;
 * a state is never left with bytes both consumed and still to be looked at. */
#include "wire/http.h"

#include <stdlib.h>
#include <strings.h>

#include "wire/http_head.h"

enum state {
	HEAD,
	BODY_LENGTH, /* remaining bytes by Content-Length */
	BODY_CLOSE,  /* a response until the connection closes */
	CHUNK_SIZE,  /* hexadecimal digits */
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	TRAILER_START, /* the first byte of a line after the last chunk */
	TRAILER_LINE,
	TRAILER_LF,
	TRAILER_END_LF,
	COMPLETE,
	BROKEN,
};

struct hf_http_session {
	enum hf_http_role role;
	enum state state;
	struct hf_http_limits limits;
	unsigned status;
	bool expects_no_body, continue_due;
	struct hf_buffer head, path, body;
	size_t scanned_bytes;    /* of head, known to hold no empty line */
	uint64_t remaining;      /* of the body or the chunk */
	unsigned digit_count;    /* of the chunk size */
	uint32_t overhead_bytes; /* chunk extensions and trailers */
	struct hf_http_head parsed;
	struct hf_http_message message;
};

int hf_http_session_new(struct hf_http_session **out, enum hf_http_role role, const struct hf_http_limits *limits)
{
	struct hf_http_session *s = calloc(1, sizeof *s);
	if (!s)
		return HF_ENOMEM;
	s->role = role;
	s->limits = *limits;
	if (s->limits.header_bytes_max > HF_HTTP_HEADER_BYTES_LIMIT)
		s->limits.header_bytes_max = HF_HTTP_HEADER_BYTES_LIMIT;
	*out = s;
	return HF_OK;
}

void hf_http_session_free(struct hf_http_session *s)
{
	if (!s)
		return;
	hf_buffer_free(&s->head);
	hf_buffer_free(&s->path);
	hf_buffer_free(&s->body);
	free(s);
}

void hf_http_session_next(struct hf_http_session *s)
{
	hf_buffer_free(&s->head);
	hf_buffer_free(&s->path);
	hf_buffer_free(&s->body);
	s->message = (struct hf_http_message){0};
	s->state = HEAD;
	s->scanned_bytes = 0;
	s->overhead_bytes = 0;
	s->expects_no_body = s->continue_due = false;
}

static int refuse(struct hf_http_session *s, unsigned status, int code)
{
	s->state = BROKEN;
	s->status = status;
	return code;
}

/* ---- Paths ---- */

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool has_parent_segment(struct hf_slice path)
{
	for (size_t start = 0; start <= path.length;) {
		size_t end = start;
		while (end < path.length && path.data[end] != '/' && path.data[end] != '\\')
			end++;
		if (end - start == 2 && path.data[start] == '.' && path.data[start + 1] == '.')
			return true;
		start = end + 1;
	}
	return false;
}

int hf_http_decode_path(struct hf_slice raw, struct hf_buffer *out)
{
	int error = hf_buffer_reserve(out, raw.length + 1);
	if (error)
		return error;
	size_t start = out->length;
	for (size_t i = 0; i < raw.length; i++) {
		uint8_t c = raw.data[i];
		if (c == '%') {
			int high = i + 2 < raw.length ? hex_digit(raw.data[i + 1]) : -1;
			int low = i + 2 < raw.length ? hex_digit(raw.data[i + 2]) : -1;
			if (high < 0 || low < 0)
				return HF_EMALFORMED;
			c = (uint8_t)(high << 4 | low);
			i += 2;
		}
		if (c == 0)
			return HF_EMALFORMED;
		out->data[out->length++] = c;
	}
	if (has_parent_segment(hf_slice(out->data + start, out->length - start)))
		return HF_EMALFORMED;
	return HF_OK;
}

/* Origin form, absolute form (its authority is dropped), or "*". (RFC 9112, 3.2) */
static int split_target(struct hf_http_session *s)
{
	struct hf_slice target = s->parsed.target, raw = target;
	struct hf_http_message *message = &s->message;
	if (raw.length > 7 && strncasecmp((const char *)raw.data, "http://", 7) == 0) {
		const uint8_t *slash = memchr(raw.data + 7, '/', raw.length - 7);
		if (!slash)
			return HF_EMALFORMED;
		raw = hf_slice(slash, (size_t)(target.data + target.length - slash));
	}
	const uint8_t *mark = memchr(raw.data, '?', raw.length);
	message->target = target;
	message->query = hf_slice(NULL, 0);
	if (mark) {
		message->query = hf_slice(mark + 1, (size_t)(raw.data + raw.length - mark - 1));
		raw.length = (size_t)(mark - raw.data);
	}
	bool is_star = raw.length == 1 && raw.data[0] == '*';
	if (raw.length == 0 || (raw.data[0] != '/' && !is_star) || memchr(target.data, '#', target.length))
		return HF_EMALFORMED;
	int error = hf_http_decode_path(raw, &s->path);
	message->path = hf_buffer_slice(&s->path);
	return error;
}

/* ---- Framing ---- */

static size_t count_fields(const struct hf_http_message *message, const char *name)
{
	size_t count = 0;
	for (size_t i = 0; i < message->field_count; i++)
		count += hf_http_name_equal(message->fields[i].name, name);
	return count;
}

static int parse_content_length(struct hf_slice text, uint64_t *value)
{
	if (text.length == 0 || text.length > 18)
		return HF_EMALFORMED;
	*value = 0;
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return HF_EMALFORMED;
		*value = *value * 10 + (uint64_t)(text.data[i] - '0');
	}
	return HF_OK;
}

static bool response_has_no_body(const struct hf_http_session *s)
{
	unsigned status = s->message.status;
	return s->expects_no_body || status / 100 == 1 || status == 204 || status == 304;
}

/* RFC 9112, 6.3, with every ambiguity refused. */
static int choose_framing(struct hf_http_session *s)
{
	const struct hf_http_message *message = &s->message;
	size_t length_count = count_fields(message, "Content-Length");
	size_t coding_count = count_fields(message, "Transfer-Encoding");
	if (length_count + coding_count > 1)
		return refuse(s, 400, HF_EMALFORMED);
	s->remaining = 0;
	s->digit_count = 0;
	if (coding_count) {
		if (message->minor_version == 0)
			return refuse(s, 400, HF_EMALFORMED);
		if (!hf_http_name_equal(hf_http_message_field(message, "Transfer-Encoding"), "chunked"))
			return refuse(s, 501, HF_EMALFORMED);
		s->state = CHUNK_SIZE;
	} else if (length_count) {
		if (parse_content_length(hf_http_message_field(message, "Content-Length"), &s->remaining))
			return refuse(s, 400, HF_EMALFORMED);
		s->state = s->remaining ? BODY_LENGTH : COMPLETE;
	} else {
		s->state = s->role == HF_HTTP_SERVER ? COMPLETE : BODY_CLOSE;
	}
	if (s->role == HF_HTTP_CLIENT && response_has_no_body(s))
		s->state = COMPLETE;
	if (s->state == BODY_LENGTH && s->remaining > s->limits.body_bytes_max)
		return refuse(s, 413, HF_ETOOBIG);
	return HF_OK;
}

static int finish_request_head(struct hf_http_session *s)
{
	struct hf_http_message *message = &s->message;
	size_t host_count = count_fields(message, "Host");
	if (host_count > 1 || (host_count == 0 && message->minor_version == 1))
		return refuse(s, 400, HF_EMALFORMED);
	int error = split_target(s);
	if (error)
		return refuse(s, error == HF_ENOMEM ? 500 : 400, error);
	error = choose_framing(s);
	if (error)
		return error;
	s->continue_due = s->state != COMPLETE && message->minor_version == 1 &&
			  hf_http_name_equal(hf_http_message_field(message, "Expect"), "100-continue");
	return HF_OK;
}

static int finish_head(struct hf_http_session *s)
{
	int error = hf_http_head_parse(hf_buffer_slice(&s->head), s->role, &s->parsed);
	if (error)
		return refuse(s, error == HF_ETOOBIG ? 431 : 400, error);
	if (s->parsed.major_version != 1 || s->parsed.minor_version > 1)
		return refuse(s, 505, HF_EMALFORMED);
	s->message = (struct hf_http_message){
		.method = s->parsed.method,
		.status = s->parsed.status,
		.minor_version = s->parsed.minor_version,
		.keep_alive = s->parsed.keep_alive,
		.upgrade = s->parsed.upgrade,
		.fields = s->parsed.fields,
		.field_count = s->parsed.field_count,
	};
	return s->role == HF_HTTP_SERVER ? finish_request_head(s) : choose_framing(s);
}

/* Empty lines before a request are skipped (RFC 9112, 2.2), also when they are cut in two. */
static int skip_empty_lines(struct hf_http_session *s, struct hf_slice bytes, size_t *skipped)
{
	for (*skipped = 0; *skipped < bytes.length; ++*skipped) {
		uint8_t c = bytes.data[*skipped];
		if (s->head.length == 1 && s->head.data[0] == '\r' && c == '\n')
			s->head.length = 0;
		else if (s->head.length || c != '\r')
			break;
		else if (hf_buffer_append(&s->head, &c, 1))
			return refuse(s, 500, HF_ENOMEM);
	}
	return HF_OK;
}

/* Appends up to the empty line and no further. */
static int recv_head(struct hf_http_session *s, struct hf_slice bytes, size_t *consumed)
{
	size_t i;
	int error = skip_empty_lines(s, bytes, &i);
	if (error)
		return error;
	size_t room = s->limits.header_bytes_max - s->head.length;
	size_t take = bytes.length - i < room ? bytes.length - i : room;
	size_t before = s->head.length;
	if (hf_buffer_append(&s->head, bytes.data + i, take))
		return refuse(s, 500, HF_ENOMEM);
	if (s->head.length <= 1) {
		*consumed = i + take;
		return HF_OK;
	}
	size_t from = s->scanned_bytes > 3 ? s->scanned_bytes - 3 : 0;
	const uint8_t *end = memmem(s->head.data + from, s->head.length - from, "\r\n\r\n", 4);
	s->scanned_bytes = s->head.length;
	if (end) {
		s->head.length = (size_t)(end + 4 - s->head.data);
		*consumed = i + s->head.length - before;
		return finish_head(s);
	}
	*consumed = i + take;
	if (s->head.length == s->limits.header_bytes_max)
		return refuse(s, memchr(s->head.data, '\n', s->head.length) ? 431 : 414, HF_ETOOBIG);
	/* A bare LF LF would never end the head: refuse it now instead of waiting for the limit. */
	if (memmem(s->head.data + (from > 0 ? from - 1 : 0), s->head.length - (from > 0 ? from - 1 : 0), "\n\n", 2))
		return refuse(s, 400, HF_EMALFORMED);
	return HF_OK;
}

static int recv_body(struct hf_http_session *s, struct hf_slice bytes, size_t *consumed)
{
	size_t take = bytes.length;
	if (s->state != BODY_CLOSE && take > s->remaining)
		take = (size_t)s->remaining;
	if (take > s->limits.body_bytes_max - s->body.length)
		return refuse(s, 413, HF_ETOOBIG);
	if (hf_buffer_append(&s->body, bytes.data, take))
		return refuse(s, 500, HF_ENOMEM);
	*consumed = take;
	if (s->state == BODY_CLOSE)
		return HF_OK;
	s->remaining -= take;
	if (s->remaining == 0)
		s->state = s->state == CHUNK_DATA ? CHUNK_DATA_CR : COMPLETE;
	return HF_OK;
}

static int end_chunk_size(struct hf_http_session *s)
{
	if (s->remaining > s->limits.body_bytes_max - s->body.length)
		return refuse(s, 413, HF_ETOOBIG);
	s->state = s->remaining ? CHUNK_DATA : TRAILER_START;
	s->digit_count = 0;
	return HF_OK;
}

static int recv_chunk_size(struct hf_http_session *s, uint8_t c)
{
	int digit = hex_digit(c);
	if (digit >= 0) {
		if (++s->digit_count > 15)
			return refuse(s, 413, HF_ETOOBIG);
		s->remaining = s->remaining << 4 | (uint64_t)digit;
		return HF_OK;
	}
	if (s->digit_count == 0 || (c != '\r' && c != ';'))
		return refuse(s, 400, HF_EMALFORMED);
	s->state = c == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
	return HF_OK;
}

static bool is_line_character(uint8_t c)
{
	return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* One byte of chunk framing. */
static int recv_chunk_byte(struct hf_http_session *s, uint8_t c)
{
	static const struct {
		enum state state;
		uint8_t byte;
		enum state next;
	} fixed[] = {
		{CHUNK_DATA_CR, '\r', CHUNK_DATA_LF},
		{CHUNK_DATA_LF, '\n', CHUNK_SIZE},
		{TRAILER_LF, '\n', TRAILER_START},
		{TRAILER_END_LF, '\n', COMPLETE},
	};
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		if (fixed[i].state == s->state) {
			if (c != fixed[i].byte)
				return refuse(s, 400, HF_EMALFORMED);
			s->state = fixed[i].next;
			s->remaining = 0;
			return HF_OK;
		}
	if (s->state == CHUNK_SIZE)
		return recv_chunk_size(s, c);
	if (s->state == CHUNK_SIZE_LF)
		return c == '\n' ? end_chunk_size(s) : refuse(s, 400, HF_EMALFORMED);
	if (++s->overhead_bytes > s->limits.header_bytes_max)
		return refuse(s, 431, HF_ETOOBIG);
	if (c == '\r')
		s->state = s->state == CHUNK_EXTENSION ? CHUNK_SIZE_LF
			   : s->state == TRAILER_START ? TRAILER_END_LF
						       : TRAILER_LF;
	else if (!is_line_character(c))
		return refuse(s, 400, HF_EMALFORMED);
	else if (s->state == TRAILER_START)
		s->state = TRAILER_LINE;
	return HF_OK;
}

static int step(struct hf_http_session *s, struct hf_slice bytes, size_t *consumed)
{
	switch (s->state) {
	case HEAD:
		return recv_head(s, bytes, consumed);
	case BODY_LENGTH:
	case BODY_CLOSE:
	case CHUNK_DATA:
		return recv_body(s, bytes, consumed);
	case COMPLETE:
		return HF_OK;
	case BROKEN:
		return HF_EMALFORMED;
	default:
		*consumed = 1;
		return recv_chunk_byte(s, bytes.data[0]);
	}
}

int hf_http_session_recv(struct hf_http_session *s, struct hf_slice bytes, size_t *consumed)
{
	*consumed = 0;
	while (s->state != COMPLETE && *consumed < bytes.length) {
		size_t eaten = 0;
		int error = step(s, hf_slice(bytes.data + *consumed, bytes.length - *consumed), &eaten);
		*consumed += eaten;
		if (error)
			return error;
		if (s->continue_due && *consumed == bytes.length && s->body.length == 0 && s->state != COMPLETE) {
			s->continue_due = false;
			return HF_HTTP_CONTINUE;
		}
	}
	if (s->state == BROKEN)
		return HF_EMALFORMED;
	if (s->state != COMPLETE)
		return HF_HTTP_MORE;
	s->message.body = hf_buffer_slice(&s->body);
	return HF_HTTP_MESSAGE;
}

int hf_http_session_end(struct hf_http_session *s)
{
	if (s->state == BODY_CLOSE) {
		s->state = COMPLETE;
		s->message.body = hf_buffer_slice(&s->body);
		s->message.keep_alive = false;
		return HF_HTTP_MESSAGE;
	}
	return s->state == HEAD && s->head.length == 0 ? HF_OK : HF_ECLOSED;
}

const struct hf_http_message *hf_http_session_message(const struct hf_http_session *s)
{
	return &s->message;
}

void hf_http_session_expect_no_body(struct hf_http_session *s)
{
	s->expects_no_body = true;
}

unsigned hf_http_session_status(const struct hf_http_session *s)
{
	return s->status;
}

bool hf_http_session_in_head(const struct hf_http_session *s)
{
	return s->state == HEAD && s->head.length > 0;
}

bool hf_http_session_in_body(const struct hf_http_session *s)
{
	return s->state > HEAD && s->state < COMPLETE;
}

size_t hf_http_session_bytes(const struct hf_http_session *s)
{
	return s->head.length + s->body.length;
}

/* ---- Fields ---- */

bool hf_http_name_equal(struct hf_slice name, const char *text)
{
	size_t length = strlen(text);
	return name.length == length && strncasecmp((const char *)name.data, text, length) == 0;
}

struct hf_slice hf_http_message_field(const struct hf_http_message *message, const char *name)
{
	for (size_t i = 0; i < message->field_count; i++)
		if (hf_http_name_equal(message->fields[i].name, name))
			return message->fields[i].value.data ? message->fields[i].value : HF_SLICE_LITERAL("");
	return hf_slice(NULL, 0);
}

static bool list_has_token(struct hf_slice list, const char *token)
{
	for (size_t start = 0; start < list.length;) {
		size_t end = start;
		while (end < list.length && list.data[end] != ',')
			end++;
		size_t first = start, last = end;
		while (first < last && (list.data[first] == ' ' || list.data[first] == '\t'))
			first++;
		while (last > first && (list.data[last - 1] == ' ' || list.data[last - 1] == '\t'))
			last--;
		if (hf_http_name_equal(hf_slice(list.data + first, last - first), token))
			return true;
		start = end + 1;
	}
	return false;
}

bool hf_http_message_has_token(const struct hf_http_message *message, const char *name, const char *token)
{
	for (size_t i = 0; i < message->field_count; i++)
		if (hf_http_name_equal(message->fields[i].name, name) &&
			list_has_token(message->fields[i].value, token))
			return true;
	return false;
}

const char *hf_http_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{101, "Switching Protocols"},
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{204, "No Content"},
		{206, "Partial Content"},
		{301, "Moved Permanently"},
		{302, "Found"},
		{303, "See Other"},
		{304, "Not Modified"},
		{307, "Temporary Redirect"},
		{308, "Permanent Redirect"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{410, "Gone"},
		{411, "Length Required"},
		{413, "Content Too Large"},
		{414, "URI Too Long"},
		{415, "Unsupported Media Type"},
		{416, "Range Not Satisfiable"},
		{422, "Unprocessable Content"},
		{426, "Upgrade Required"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
		{507, "Insufficient Storage"},
	};
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Status";
}
