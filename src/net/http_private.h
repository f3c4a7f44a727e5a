/* http_private: the server, its connections and their exchanges, as its three parts see them. Private to net/.
 *
 * http_server.c listens, counts, limits and drains; http_exchange.c reads requests and finds their routes;
 * http_answer.c writes answers, http_pieces.c those whose bodies come in pieces.
 */
#ifndef HF_NET_HTTP_PRIVATE_H
#define HF_NET_HTTP_PRIVATE_H

#include "base/map.h"
#include "net/http_server.h"
#include "net/loop_private.h"
#include "net/stream.h"
#include "net/tls_private.h"
#include "net/websocket_private.h"
#include "wire/http.h"

struct hf_http_listener;

enum {
	HF_HTTP_REFUSED_FULL,
	HF_HTTP_REFUSED_ADDRESS,
	HF_HTTP_REFUSED_MEMORY,
	HF_HTTP_REFUSED_ACCEPT,
	HF_HTTP_REFUSED_UNTRUSTED, /* at a listener behind proxies, and no proxy */
	HF_HTTP_REFUSED_PROXY,     /* its header of the PROXY protocol is missing or wrong */
	HF_HTTP_REFUSED_COUNT
};

struct hf_http_counters {
	struct hf_counter requests[5]; /* by class of status, 1xx to 5xx */
	struct hf_counter accepted, evicted, refused[HF_HTTP_REFUSED_COUNT], timeouts;
	struct hf_counter certificates[HF_TLS_REFUSAL_COUNT]; /* refused */
	struct hf_gauge sockets;
};

struct hf_http_server {
	struct hf_http_server_options options; /* zeros replaced by defaults */
	unsigned references;                   /* the owner's, and one for each stream and exchange */
	struct hf_http_listener *listeners;
	struct hf_stream *streams;
	uint32_t stream_count;
	struct hf_map addresses; /* how many connections an address has */
	bool is_draining;
	uint64_t told_us; /* when a refusal was logged last; 0: never */
	struct hf_timer drain_timer;
	void (*drained)(void *context);
	void *drained_context;
	struct hf_http_counters counters;
	struct hf_stream_counters stream_counters;
	struct hf_websocket_counters websocket_counters;
};

/* One connection that speaks HTTP, and its request: there is one at a time. */
struct hf_http_exchange {
	struct hf_http_server *server;
	struct hf_stream *stream; /* NULL: gone, or not ours any more */
	struct hf_http_session *session;
	struct hf_buffer leftover; /* read behind the request being answered */
	struct hf_address client;
	const char *allow_origin;
	char *who;                 /* whom options.authorize let in; NULL: nobody said */
	size_t last_pending_bytes;
	size_t held_bytes; /* that are counted */
	const struct hf_http_pieces *pieces; /* NULL: the answer is not one of pieces, or nobody hears of it any more */
	void *pieces_context;
	uint64_t length_left;                /* of the body; HF_HTTP_LENGTH_UNKNOWN: sent in chunks or until the end */
	bool is_unix, is_busy, is_eating, keep_alive, has_peer_ended;
	bool is_chunked, drops_body, is_full;
};

void hf_http_server_ref(struct hf_http_server *server);
void hf_http_server_unref(struct hf_http_server *server);

/* Begins to read requests from a stream; HF_ENOMEM leaves it with the caller. */
int hf_http_exchange_new(struct hf_http_server *server, struct hf_stream *stream);
/* The answer is in the queue: goes on with the connection or ends it. May free the exchange. */
void hf_http_exchange_answered(struct hf_http_exchange *x);
/* The stream belongs to somebody else now. May free the exchange. */
void hf_http_exchange_handed_over(struct hf_http_exchange *x);
const struct hf_http_message *hf_http_exchange_message(const struct hf_http_exchange *x);
/* Ends the connection at once; the exchange stays until it is answered. */
void hf_http_exchange_break(struct hf_http_exchange *x);
/* The head of an answer whose body has so many bytes (HF_HTTP_LENGTH_UNKNOWN: it is not said). HF_ENOMEM. */
int hf_http_build_head(struct hf_http_exchange *x, struct hf_buffer *head, int status, const char *content_type, uint64_t length,
	const char *extra_fields);
bool hf_http_host_address(struct hf_slice host, struct hf_address *address); /* numeric or localhost, with or without a port */
bool hf_http_answer_has_body(struct hf_http_exchange *x, int status); /* HEAD, 204 and 304 have none */

/* ---- http_pieces.c ---- */
void hf_http_pieces_progress(struct hf_http_exchange *x); /* some of the queue was sent */
void hf_http_pieces_gone(struct hf_http_exchange *x);     /* the connection is gone: tells the owner, the exchange is over */

/* ---- http_proxied.c ---- */
/* Reads the header of the PROXY protocol off a connection of a trusted proxy, and goes on with hf_http_server_welcome. HF_ENOMEM leaves the
 * stream with the caller. */
int hf_http_proxied_new(struct hf_http_server *server, struct hf_stream *stream, struct hf_tls *tls);
/* A connection whose address is known begins to speak, or is refused. */
void hf_http_server_welcome(struct hf_http_server *server, struct hf_stream *stream, struct hf_tls *tls, bool is_welcome);
/* It is somebody else's: counts it as one of that address; false at the limit. */
bool hf_http_server_readdress(struct hf_http_server *server, struct hf_stream *stream, const struct hf_address *address);
/* A TLS handshake failed: counts and logs it when it was for the client's certificate. */
void hf_http_server_note_handshake(struct hf_http_server *server, const struct hf_stream *stream);
/* Ends a connection, counted; is_plain: with a 503. why (may be NULL) is logged, of many within ten seconds the first. */
void hf_http_server_refuse(struct hf_http_server *server, struct hf_stream *stream, bool is_plain, int reason, const char *why);

void hf_http_count_status(struct hf_http_server *server, int status);

#endif
