/* http_client: one request, one answer, over TCP, TLS or a Unix socket. (RFC 9110, 9112) No redirects, no cookies, no
 * connection kept: for command lines, checks between nodes, and admin.sock.
 */
#ifndef HF_NET_HTTP_CLIENT_H
#define HF_NET_HTTP_CLIENT_H

#include "net/loop.h"
#include "net/tls.h"

struct hf_http_client_request {
	size_t size;
	const char *method;        /* NULL: GET */
	const char *url;           /* "https://host/path"; with unix_path "http://localhost/path" */
	const char *unix_path;     /* connect to this socket; NULL: by the URL */
	const char *content_type;  /* of the body; may be NULL */
	const char *extra_headers; /* "Name: value\r\n"…, or NULL */
	struct hf_slice body;
	struct hf_tls *tls;      /* NULL: the system's trust */
	uint32_t timeout_ms;     /* for all of it; 0: 30 s */
	uint32_t body_bytes_max; /* of the answer; 0: 16 MiB */
};

struct hf_http_client_answer {
	int error; /* 0, or HF_EINVAL, HF_EADDR, HF_ETIMEOUT, HF_EMALFORMED, HF_ETOOBIG, HF_ECLOSED, HF_ENOMEM, … */
	const char *detail; /* with an error: a sentence */
	unsigned status;    /* without */
	struct hf_slice content_type, body;
};

struct hf_http_client;

/* All of *request is copied. done is called once, from the loop; the answer is borrowed until it returns, and the
 * client is gone after it. An error that is returned here is not reported again. */
int hf_http_client_start(struct hf_http_client **out, struct hf_loop *loop,
	const struct hf_http_client_request *request,
	void (*done)(void *context, const struct hf_http_client_answer *answer), void *context,
	struct hf_failure *failure);
/* done is not called any more. */
void hf_http_client_cancel(struct hf_http_client *client);

/* Waits for the answer on a loop of its own. *status and *body (appended to) are set when 0 is returned, whatever the
 * status is. */
int hf_http_client_fetch(struct hf_env *env, const struct hf_http_client_request *request, unsigned *status,
	struct hf_buffer *body, struct hf_failure *failure);

#endif
