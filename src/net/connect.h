/* connect: from a URL to a connected stream: names looked up, addresses tried in turn, TLS begun. Private to net/. */
#ifndef HF_NET_CONNECT_H
#define HF_NET_CONNECT_H

#include "net/stream.h"
#include "net/tls.h"

#define HF_URL_HOST_BYTES_MAX 255

struct hf_url {
	bool is_secure;                             /* https, wss */
	bool is_websocket;                          /* ws, wss */
	char host[HF_URL_HOST_BYTES_MAX + 1];       /* without brackets */
	char authority[HF_URL_HOST_BYTES_MAX + 10]; /* for the Host field: brackets, and the port unless it is usual */
	uint16_t port;
	const char *target; /* path and query, within the text that was parsed; "" is "/" */
};

/* http, https, ws and wss; no user names. HF_EADDR. */
int hf_url_parse(struct hf_url *url, const char *text, struct hf_failure *failure);

struct hf_connect;

/* Calls done once, later: with a stream that the callee owns (without events, not reading), or NULL and an error with a
 * sentence. tls is needed for secure URLs; unix_path, when given, is connected to instead. */
int hf_connect_start(struct hf_connect **out, struct hf_loop *loop, const struct hf_url *url, const char *unix_path,
	struct hf_tls *tls, uint32_t timeout_ms,
	void (*done)(void *context, struct hf_stream *stream, int error, const char *detail), void *context);
/* done is not called any more. */
void hf_connect_cancel(struct hf_connect *connect);

/* The loop's trust in the system's certificates, made at first use; NULL with *failure. */
struct hf_tls *hf_loop_client_tls(struct hf_loop *loop, struct hf_failure *failure);

#endif
