/* exchange: an HTTP request of a gateway's client, by a stream: a file, or what a relay says of itself. */
#include "service/worker/internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"

#define FIELD_COUNT_MAX 8

struct hf_worker_exchange {
	struct hf_relay_stream *stream; /* NULL: it is over */
	struct hf_worker_answer *answer;
	bool is_head;
};

static void free_exchange(struct hf_worker_exchange *x)
{
	hf_worker_answer_cancel(x->answer);
	free(x);
}

/* ---- Out ---- */

static void sink_head(void *link, int status, const char *content_type, uint64_t length, const struct hf_http_field *given,
	size_t given_count)
{
	struct hf_worker_exchange *x = link;
	struct hf_http_field fields[FIELD_COUNT_MAX];
	char number[24];
	size_t count = 0;
	snprintf(number, sizeof number, "%llu", (unsigned long long)length);
	fields[count++] = (struct hf_http_field){HF_SLICE_LITERAL("content-type"), hf_slice_text(content_type)};
	if (status != 304)
		fields[count++] = (struct hf_http_field){HF_SLICE_LITERAL("content-length"), hf_slice_text(number)};
	for (size_t i = 0; i < given_count && count < FIELD_COUNT_MAX; i++)
		fields[count++] = given[i];
	if (x->stream)
		hf_relay_stream_send_head(x->stream, status, fields, count);
}

static int sink_body(void *link, struct hf_slice bytes)
{
	struct hf_worker_exchange *x = link;
	if (x->is_head || bytes.length == 0)
		return HF_OK;
	return x->stream ? hf_relay_stream_send(x->stream, bytes, false) : HF_ECLOSED;
}

static void sink_end(void *link, int status)
{
	struct hf_worker_exchange *x = link;
	x->answer = NULL;
	if (!x->stream)
		return;
	if (status == HF_OK)
		hf_relay_stream_end(x->stream); /* ended comes once the remote has, too */
	else
		hf_relay_stream_reset(x->stream, HF_RELAY_STREAM_FAILED, HF_SLICE_LITERAL("the file cannot be read"));
	if (status < 0) {
		x->stream = NULL;
		free_exchange(x);
	}
}

static const struct hf_worker_sink sink = {.head = sink_head, .body = sink_body, .end = sink_end};

/* ---- In ---- */

static void on_data(void *context, struct hf_relay_stream *stream, struct hf_slice bytes, bool is_end_of_message)
{
	hf_relay_stream_consumed(stream, bytes.length); /* nothing that is asked for here has a body */
}

static void on_writable(void *context, struct hf_relay_stream *stream)
{
	struct hf_worker_exchange *x = context;
	hf_worker_answer_writable(x->answer);
}

static void on_ended(void *context, struct hf_relay_stream *stream, int code, uint32_t reset_code, struct hf_slice reason)
{
	struct hf_worker_exchange *x = context;
	x->stream = NULL;
	free_exchange(x);
}

static const struct hf_relay_stream_events stream_events = {.data = on_data, .writable = on_writable, .ended = on_ended};

static bool begins(struct hf_slice path, const char *text)
{
	return path.length >= strlen(text) && memcmp(path.data, text, strlen(text)) == 0;
}

static void say(struct hf_worker_exchange *x, int status, const char *content_type, struct hf_slice body)
{
	sink_head(x, status, content_type, body.length, NULL, 0);
	sink_body(x, body);
	sink_end(x, HF_OK);
}

/* What a relay says to a client that asks what it is (NIP-11): what its bee is only to those who may read it. */
static void describe_relay(struct hf_worker_exchange *x, const struct hf_worker_relay *relay, bool with_bee)
{
	struct hf_buffer text = {0};
	if (hf_relay_information_append(relay->relay, with_bee, &text) == HF_OK)
		say(x, 200, "application/nostr+json", hf_buffer_slice(&text));
	else
		say(x, 503, "text/plain", HF_SLICE_LITERAL("out of memory\n"));
	hf_buffer_free(&text);
}

void hf_worker_exchange_open(struct hf_worker_link *link, struct hf_relay_stream *stream, const struct hf_relay_stream_open *open)
{
	struct hf_slice path = hf_worker_without_query(open->path), name = hf_worker_field(open, "x-relay-key");
	struct hf_worker_exchange *x = calloc(1, sizeof *x);
	if (!x)
		return;
	x->stream = stream;
	x->is_head = hf_slice_equal(open->method, HF_SLICE_LITERAL("HEAD"));
	hf_relay_stream_accept(stream, &stream_events, x);
	if (!x->is_head && !hf_slice_equal(open->method, HF_SLICE_LITERAL("GET"))) {
		say(x, 405, "text/plain", HF_SLICE_LITERAL("method not allowed\n"));
		return;
	}
	if (begins(path, "/drive/") || begins(path, "/pfp/")) {
		struct hf_worker_question question = {.is_head = x->is_head, .path = path, .range = hf_worker_field(open, "range"),
			.if_none_match = hf_worker_field(open, "if-none-match"), .auth_token = hf_worker_field(open, "x-auth-token")};
		hf_worker_answer(link->node, &question, &sink, x, &x->answer);
		return;
	}
	struct hf_worker_relay *relay = hf_worker_find_relay(link->node, name.length > 0 ? name : path);
	if (relay)
		describe_relay(x, relay, hf_worker_relay_admits(link->node, relay, hf_worker_field(open, "x-auth-token")));
	else
		say(x, 404, "text/plain", HF_SLICE_LITERAL("not found\n"));
}
