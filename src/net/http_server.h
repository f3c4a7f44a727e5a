/* http_server: HTTP/1.1 on a listener, TLS or not, with routes, static files and the door to WebSocket. (RFC 9110,
 * 9112)
 *
 * One loop. Keep-alive, pipelining in order, chunked bodies both ways, limits and timeouts on everything,
 * ranges and ETag for static content, CORS as the route asks, HEAD from GET, 405 with Allow.
 * A route declares who may use it; one that declares nothing does not compile (HF_ROUTE takes all members).
 */
#ifndef HF_NET_HTTP_SERVER_H
#define HF_NET_HTTP_SERVER_H

#include "base/address.h"
#include "net/loop.h"
#include "net/tls.h"
#include "net/websocket.h"
#include "base/metrics.h"

struct hf_http_server;
struct hf_http_exchange; /* one request and its answer */

enum hf_access {
	HF_ACCESS_PUBLIC = 1, /* anybody */
	HF_ACCESS_LOCAL,      /* loopback peers without a forwarding header, and admin.sock */
	HF_ACCESS_ADMIN,      /* admin.sock, or whom options.authorize lets in */
	HF_ACCESS_SOCKET,     /* admin.sock alone */
	HF_ACCESS_SIGNED,     /* whose request is signed: the handler checks that */
};

struct hf_http_route {
	const char *method;
	const char *path; /* exact, or a prefix when it ends in "/…" written as "/" "*" */
	enum hf_access access;
	void (*handle)(void *context, struct hf_http_exchange *exchange);
};
#define HF_ROUTE(method_, path_, access_, handle_)                                                                     \
	{                                                                                                              \
		.method = (method_), .path = (path_), .access = (access_) + 0 * sizeof(char[(access_) ? 1 : -1]),      \
		.handle = (handle_)                                                                                    \
	}

struct hf_http_server_options {
	size_t size;
	struct hf_loop *loop;
	struct hf_metrics *metrics;         /* may be NULL */
	const struct hf_http_route *routes; /* borrowed */
	size_t route_count;
	void *context; /* for handlers */
	/* For HF_ACCESS_ADMIN: lets in, or has answered that it does not. NULL: only admin.sock. */
	bool (*authorize)(void *context, struct hf_http_exchange *exchange);
	const struct hf_address_range *trusted_proxies; /* X-Forwarded-For is believed from these only; borrowed */
	size_t trusted_proxy_count;
	uint32_t connection_count_max;        /* 0: 50,000; further ones are refused with 503 and closed */
	uint32_t connections_per_address_max; /* of an IPv4 address or IPv6 /64, trusted proxies aside; 0: none */
	uint32_t header_bytes_max;            /* 0: 16 KiB */
	uint32_t body_bytes_max;              /* 0: 1 MiB */
	uint32_t header_timeout_ms, body_timeout_ms, idle_timeout_ms; /* 0: 10 s, 30 s, 60 s */
	struct hf_websocket_limits websocket;
};

int hf_http_server_new(struct hf_http_server **out, const struct hf_http_server_options *options);
/* tls may be NULL. Several listeners per server. *bound (may be NULL) gets the real port. */
int hf_http_server_listen(struct hf_http_server *server, const struct hf_address *address, struct hf_tls *tls,
	struct hf_address *bound, struct hf_failure *failure);
/* The same for proxies: each connection begins with a header of the PROXY protocol, whose address counts as the client's. Only
 * trusted_proxies may connect. */
int hf_http_server_listen_proxied(struct hf_http_server *server, const struct hf_address *address, struct hf_tls *tls,
	struct hf_address *bound, struct hf_failure *failure);
int hf_http_server_listen_unix(
	struct hf_http_server *server, const char *path, unsigned mode, struct hf_failure *failure);
/* Stops accepting, finishes exchanges, closes WebSockets with 1001, then calls drained (within timeout_ms). */
void hf_http_server_drain(
	struct hf_http_server *server, uint32_t timeout_ms, void (*drained)(void *context), void *context);
void hf_http_server_free(struct hf_http_server *server);
/* Ends those connections that hold most until about so many bytes are on their way out; for hf_memory_limit. Two walks over all
 * connections, so ask for many bytes at a time. Returns how many were ended. */
size_t hf_http_server_relieve(struct hf_http_server *server, size_t bytes);
/* New limits and proxies take effect for new connections. */
void hf_http_server_reconfigure(struct hf_http_server *server, const struct hf_http_server_options *options);

/* ---- Inside a handler. All slices live until the exchange is answered. ---- */
struct hf_slice hf_http_method(struct hf_http_exchange *x);
struct hf_slice hf_http_path(struct hf_http_exchange *x);  /* decoded, without the query; no "..", no NUL */
struct hf_slice hf_http_query(struct hf_http_exchange *x); /* raw, without '?' */
struct hf_slice hf_http_header(
	struct hf_http_exchange *x, const char *name); /* case-insensitive; data NULL when absent */
struct hf_slice hf_http_body(struct hf_http_exchange *x);
const struct hf_address *hf_http_client(struct hf_http_exchange *x); /* behind trusted proxies: the real one */
/* Whom options.authorize let in, until the exchange is answered. Copies. HF_ENOMEM. */
int hf_http_set_who(struct hf_http_exchange *x, const char *who);
const char *hf_http_who(const struct hf_http_exchange *x); /* NULL: nobody said */

/* The certificate that the client itself has proved to own, on this very connection (and checked anew, so that what was revoked since
 * is none). Fields of the request that tell of one are not looked at, and it is nobody's when the request was passed on: when it comes
 * from one of trusted_proxies, or has a field of such. */
bool hf_http_client_certificate(struct hf_http_exchange *x, struct hf_tls_client *out);

#define HF_HTTP_HOST_BYTES_MAX 262 /* a name, and a port */
#define HF_HTTP_BASE_URL_BYTES (HF_HTTP_HOST_BYTES_MAX + 9)
enum hf_http_base {
	HF_HTTP_BASE_NONE,      /* not known; out is "" */
	HF_HTTP_BASE_FORWARDED, /* as a trusted proxy has it: X-Forwarded-Proto and -Host, else its Host */
	HF_HTTP_BASE_LOCAL,     /* of the listener and the Host field, which is localhost or a loopback address */
	HF_HTTP_BASE_CLAIMED,   /* the same with another Host: any client may claim any */
};
/* "https://host:port" by which the client came. */
enum hf_http_base hf_http_base_url(struct hf_http_exchange *x, char out[static HF_HTTP_BASE_URL_BYTES]);

/* Answers. body is copied. May be called later than the handler returns. extra_headers: "Name: value\r\n"… or NULL. */
void hf_http_respond(struct hf_http_exchange *x, int status, const char *content_type, struct hf_slice body,
	const char *extra_headers);
/* Static content: ETag (strong, of the bytes), If-None-Match, Range (one range), HEAD, Cache-Control. Bytes are
 * borrowed for ever. */
void hf_http_respond_static(
	struct hf_http_exchange *x, const char *content_type, struct hf_slice body, const char *cache_control);
/* A file of a directory through the same rules; refuses anything outside it. */
void hf_http_respond_file(struct hf_http_exchange *x, const char *directory, struct hf_slice relative_path);
void hf_http_allow_origin(struct hf_http_exchange *x, const char *origin); /* CORS headers on the answer */

/* ---- An answer whose body comes in pieces ---- */

#define HF_HTTP_LENGTH_UNKNOWN UINT64_MAX
#define HF_HTTP_PIECES_BYTES_SOFT (256u << 10) /* hf_http_room is 0 from here on */
#define HF_HTTP_PIECES_BYTES_MAX (4u << 20)    /* no more can be queued */

/* Both come from the loop, never from within the calls below. */
struct hf_http_pieces {
	void (*writable)(void *context, struct hf_http_exchange *x); /* there is room after there was none */
	void (*gone)(void *context, struct hf_http_exchange *x);     /* the client went: the last call, and x is over */
};
/* Sends the head, after which the exchange is the caller's until _end, _abort or `gone`. The body has so many bytes, or
 * HF_HTTP_LENGTH_UNKNOWN: it is sent in chunks, to HTTP/1.0 until the connection ends. What is written of a body that the answer may not
 * have (to HEAD; 204, 304) is dropped. HF_ECLOSED: the client has gone and x is over, as with HF_ENOMEM. */
int hf_http_begin(struct hf_http_exchange *x, int status, const char *content_type, uint64_t length, const char *extra_headers,
	const struct hf_http_pieces *pieces, void *context);
/* Copies. HF_EBUSY: past HF_HTTP_PIECES_BYTES_MAX, HF_ETOOBIG: past the length, HF_ENOMEM: nothing was queued. */
int hf_http_write(struct hf_http_exchange *x, struct hf_slice bytes);
size_t hf_http_room(const struct hf_http_exchange *x); /* bytes until writers should wait for `writable` */
/* The body is whole; when it is short of its length, as _abort. */
void hf_http_end(struct hf_http_exchange *x);
/* It will not be whole: the connection ends so that the client sees that. */
void hf_http_abort(struct hf_http_exchange *x);

bool hf_http_wants_websocket(struct hf_http_exchange *x);
/* Answers 101 and turns the connection into a WebSocket. On error an HTTP error was answered. */
int hf_http_upgrade(struct hf_http_exchange *x, const struct hf_websocket_handler *handler, void *context,
	struct hf_websocket **out);

#endif
