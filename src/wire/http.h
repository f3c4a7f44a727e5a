/* http: HTTP/1.1 messages in, without I/O. (RFC 9110, 9112)
 *
 * A session eats the bytes of one connection and stops at the end of each message, so that pipelined requests
 * are answered in order: the caller answers, calls hf_http_session_next, and goes on with the bytes left over.
 *
 * Anything that two parsers could read in two ways is refused: Content-Length beside Transfer-Encoding, more than one
 * of either, other codings than "chunked", folded lines, bare LF or CR, space before a colon, control characters,
 * chunk sizes that are not plain hexadecimal.
 */
#ifndef HF_WIRE_HTTP_H
#define HF_WIRE_HTTP_H

#include "base/bytes.h"
#include "base/error.h"

#define HF_HTTP_FIELD_COUNT_MAX 100
#define HF_HTTP_HEADER_BYTES_LIMIT 65536 /* header_bytes_max is cut to this */

enum hf_http_role {
	HF_HTTP_SERVER, /* requests come in */
	HF_HTTP_CLIENT, /* responses come in */
};

struct hf_http_limits {
	uint32_t header_bytes_max; /* start line and fields; chunk extensions and trailers together */
	uint32_t body_bytes_max;
};

struct hf_http_field {
	struct hf_slice name, value; /* without the white space around */
};

/* A whole message. Everything lives until hf_http_session_next or _free. */
struct hf_http_message {
	struct hf_slice method; /* requests */
	struct hf_slice target; /* as it came */
	struct hf_slice path;   /* percent-decoded; begins with '/' (or is "*"); no NUL, no ".." segment */
	struct hf_slice query;  /* raw, without '?' */
	unsigned status;        /* responses */
	unsigned minor_version; /* 0 or 1 */
	bool keep_alive;
	bool upgrade; /* "Connection: upgrade" and an Upgrade field */
	const struct hf_http_field *fields;
	size_t field_count;
	struct hf_slice body;
};

struct hf_http_session;

enum hf_http_progress {
	HF_HTTP_MORE = 0,     /* all bytes were consumed */
	HF_HTTP_CONTINUE = 1, /* the other side waits for "100 Continue": send it and call recv again */
	HF_HTTP_MESSAGE = 2,  /* a whole message: hf_http_session_message */
};

int hf_http_session_new(struct hf_http_session **out, enum hf_http_role role, const struct hf_http_limits *limits);
void hf_http_session_free(struct hf_http_session *session); /* NULL is fine */

/* Eats up to *consumed bytes. Returns an hf_http_progress or an error that ends the connection: HF_EMALFORMED,
 * HF_ETOOBIG, HF_ENOMEM; hf_http_session_status says what to answer then. */
int hf_http_session_recv(struct hf_http_session *session, struct hf_slice bytes, size_t *consumed);
/* The other side closed. HF_HTTP_MESSAGE when that ends a response without a length, HF_OK between messages, else
 * HF_ECLOSED. */
int hf_http_session_end(struct hf_http_session *session);
const struct hf_http_message *hf_http_session_message(const struct hf_http_session *session);
/* Forgets the message and begins the next one; keeps no buffer. */
void hf_http_session_next(struct hf_http_session *session);
/* Client: the next response answers HEAD and has no body. */
void hf_http_session_expect_no_body(struct hf_http_session *session);
unsigned hf_http_session_status(const struct hf_http_session *session); /* 400, 413, 414, 431, 500, 501 or 505 */
bool hf_http_session_in_head(const struct hf_http_session *session);    /* a head has begun and is not whole */
bool hf_http_session_in_body(const struct hf_http_session *session);
size_t hf_http_session_bytes(const struct hf_http_session *session); /* read for the message so far */

/* The first field of that name in any case; data is NULL when there is none. */
struct hf_slice hf_http_message_field(const struct hf_http_message *message, const char *name);
/* Whether a comma-separated list field (all of that name) holds the token, in any case. */
bool hf_http_message_has_token(const struct hf_http_message *message, const char *name, const char *token);

/* For heads that come by other ways: whether method, target and field could stand in a message as they are. */
bool hf_http_method_is_strict(struct hf_slice method);
bool hf_http_target_is_strict(struct hf_slice target); /* begins with '/' */
bool hf_http_field_is_strict(const struct hf_http_field *field);

bool hf_http_name_equal(struct hf_slice name, const char *text); /* ASCII, in any case */
const char *hf_http_reason(int status);                          /* "Not Found" */
/* Percent-decodes a path. HF_EMALFORMED for bad escapes, NUL, and segments that are ".." before or after decoding. */
int hf_http_decode_path(struct hf_slice raw, struct hf_buffer *out);

#endif
