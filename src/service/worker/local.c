/* local: clients of our own listener, who are served whether a gateway is there or not: files, and a gateway's relay from its replica. */
#include <stdio.h>
#include <stdlib.h>

#include "service/worker/internal.h"

#define HEAD_BYTES 512

/* ---- Files ---- */

struct local_file {
	struct hf_http_exchange *exchange; /* NULL: over */
	struct hf_worker_answer *answer;
	bool is_begun;
};

static void on_writable(void *context, struct hf_http_exchange *exchange)
{
	hf_worker_answer_writable(((struct local_file *)context)->answer);
}

static void on_gone(void *context, struct hf_http_exchange *exchange)
{
	struct local_file *f = context;
	hf_worker_answer_cancel(f->answer);
	free(f);
}

static const struct hf_http_pieces pieces = {.writable = on_writable, .gone = on_gone};

static void sink_head(void *link, int status, const char *content_type, uint64_t length, const struct hf_http_field *fields,
	size_t field_count)
{
	struct local_file *f = link;
	char head[HEAD_BYTES] = "";
	size_t used = 0;
	for (size_t i = 0; i < field_count && used < sizeof head; i++)
		used += (size_t)snprintf(head + used, sizeof head - used, "%.*s: %.*s\r\n", (int)fields[i].name.length, (const char *)fields[i].name.data,
			(int)fields[i].value.length, (const char *)fields[i].value.data);
	if (used >= sizeof head)
		head[0] = '\0';
	f->is_begun = hf_http_begin(f->exchange, status, content_type, length, head[0] ? head : NULL, &pieces, f) == HF_OK;
	if (!f->is_begun)
		f->exchange = NULL;
}

static int sink_body(void *link, struct hf_slice bytes)
{
	struct local_file *f = link;
	if (!f->exchange)
		return HF_ECLOSED;
	return hf_http_room(f->exchange) > 0 ? hf_http_write(f->exchange, bytes) : HF_EBUSY;
}

static void sink_end(void *link, int status)
{
	struct local_file *f = link;
	if (f->exchange && status == HF_OK)
		hf_http_end(f->exchange);
	else if (f->exchange && f->is_begun)
		hf_http_abort(f->exchange);
	else if (f->exchange)
		hf_http_respond(f->exchange, 503, "text/plain", HF_SLICE_LITERAL("the file cannot be read\n"), NULL);
	free(f);
}

static const struct hf_worker_sink sink = {.head = sink_head, .body = sink_body, .end = sink_end};

static void answer_file(struct hf_worker_node *node, struct hf_http_exchange *exchange)
{
	struct hf_worker_question question = {.is_head = hf_slice_equal(hf_http_method(exchange), HF_SLICE_LITERAL("HEAD")),
		.path = hf_http_path(exchange), .range = hf_http_header(exchange, "Range"),
		.if_none_match = hf_http_header(exchange, "If-None-Match"), .auth_token = hf_http_header(exchange, "X-Auth-Token")};
	struct local_file *f = calloc(1, sizeof *f);
	struct hf_worker_answer *answer;
	if (!f) {
		hf_http_respond(exchange, 503, "text/plain", HF_SLICE_LITERAL("out of memory\n"), NULL);
		return;
	}
	f->exchange = exchange;
	hf_worker_answer(node, &question, &sink, f, &answer);
	if (answer)
		f->answer = answer;
}

/* ---- A gateway's relay ---- */

static void on_message(void *context, struct hf_websocket *ws, bool is_text, struct hf_slice message)
{
	hf_worker_reader_message(context, is_text, message);
}

static void on_socket_writable(void *context, struct hf_websocket *ws)
{
	hf_worker_reader_writable(context);
}

static void on_closed(void *context, struct hf_websocket *ws, uint16_t code)
{
	hf_worker_reader_closed(context);
}

static const struct hf_websocket_handler handler = {.message = on_message, .writable = on_socket_writable, .closed = on_closed};

static void answer_socket(struct hf_worker_replica *replica, struct hf_http_exchange *exchange)
{
	struct hf_worker_reader_options options = {.transport = &hf_relay_websocket_transport, .may_publish = true};
	struct hf_worker_reader *reader;
	if (hf_worker_reader_new(replica, &options, &reader) < 0) {
		hf_http_respond(exchange, 503, "text/plain", HF_SLICE_LITERAL("out of memory\n"), NULL);
		return;
	}
	struct hf_websocket *ws;
	if (hf_http_upgrade(exchange, &handler, reader, &ws) < 0)
		hf_worker_reader_closed(reader);
	else
		hf_worker_reader_attach(reader, ws);
}

/* /gateway, the first that has a replica, or /gateway/NUMBER, as they stand in the configuration from 1. */
static struct hf_worker_replica *replica_at(struct hf_worker_node *node, struct hf_slice path)
{
	size_t number = 0;
	for (size_t i = sizeof "/gateway/" - 1; i < path.length; i++)
		number = path.data[i] >= '0' && path.data[i] <= '9' && number < 1000 ? number * 10 + path.data[i] - '0' : SIZE_MAX / 16;
	for (size_t i = 0; i < node->gateway_count; i++)
		if (node->gateways[i].replica && (number == 0 || number == i + 1))
			return node->gateways[i].replica;
	return NULL;
}

void hf_worker_node_answer(struct hf_worker_node *node, struct hf_http_exchange *exchange)
{
	struct hf_slice path = hf_http_path(exchange);
	if (path.length < 8 || memcmp(path.data, "/gateway", 8) != 0) {
		answer_file(node, exchange);
		return;
	}
	struct hf_worker_replica *replica = node->is_ending ? NULL : replica_at(node, path);
	if (replica && hf_http_wants_websocket(exchange))
		answer_socket(replica, exchange);
	else if (replica)
		hf_http_respond(exchange, 426, "text/plain", HF_SLICE_LITERAL("A copy of a gateway's relay, for Nostr clients.\n"),
			"Upgrade: websocket\r\n");
	else
		hf_http_respond(exchange, 404, "text/plain", HF_SLICE_LITERAL("No gateway has told of its relay yet.\n"), NULL);
}
