/* publish: events for a gateway's relay, which only the gateway can write: over a WebSocket to it, one for all that publish here. It is
 * opened with the first event and closed after a while without one. An event waits for the gateway's OK, which goes to who sent it; when
 * the connection ends before, he is told so. After a connection that failed the next is tried no sooner than a wait that grows. */
#include <jansson.h>
#include <stdlib.h>

#include "base/list.h"
#include "codec/hex.h"
#include "service/worker/internal.h"

#define IDLE_MS 60000

struct pending {
	struct pending *next, *previous;
	struct hf_worker_reader *reader; /* NULL: gone */
	uint8_t id[32];
	struct hf_buffer text;           /* until it is sent */
};

struct hf_worker_publisher {
	struct hf_worker_node *node;
	struct hf_websocket *ws;         /* open */
	bool is_connecting, is_freed;
	struct pending *pending;
	uint32_t pending_count, failures;
	uint64_t retry_us;
	struct hf_timer idle;
};

static void conclude(struct hf_worker_publisher *p, struct pending *e, bool accepted, const char *reason)
{
	struct hf_worker_reader *reader = e->reader;
	uint8_t id[32];
	memcpy(id, e->id, sizeof id);
	HF_LIST_REMOVE(p->pending, e);
	p->pending_count--;
	hf_buffer_free(&e->text);
	free(e);
	hf_counter_add(accepted ? &p->node->stats.published : &p->node->stats.publish_failures, 1);
	if (reader)
		hf_worker_reader_reply_ok(reader, id, accepted, reason);
}

static void fail_all(struct hf_worker_publisher *p, const char *reason)
{
	while (p->pending)
		conclude(p, p->pending, false, reason);
}

static void try_later(struct hf_worker_publisher *p)
{
	const struct hf_config *c = p->node->options.config;
	uint64_t wait_ms = hf_worker_backoff_ms(c->worker_publish_retry_ms, c->worker_publish_retry_max_ms, p->failures++);
	p->retry_us = hf_loop_now_us(p->node->loop) + hf_worker_jitter(p->node, wait_ms) * 1000;
}

/* ---- The gateway ---- */

static void on_message(void *context, struct hf_websocket *ws, bool is_text, struct hf_slice message)
{
	struct hf_worker_publisher *p = context;
	uint8_t bytes[32];
	json_t *frame = is_text ? json_loadb((const char *)message.data, message.length, JSON_ALLOW_NUL, NULL) : NULL;
	const char *type = json_string_value(json_array_get(frame, 0)), *id = json_string_value(json_array_get(frame, 1));
	const char *reason = json_string_value(json_array_get(frame, 3));
	if (type && strcmp(type, "OK") == 0 && id && strlen(id) == 64 && hf_hex_decode(bytes, id, 32))
		for (struct pending *e = p->pending, *next; e; e = next) {
			next = e->next;
			if (memcmp(e->id, bytes, sizeof bytes) == 0)
				conclude(p, e, json_is_true(json_array_get(frame, 2)), reason ? reason : "");
		}
	json_decref(frame);
	p->failures = 0;
}

static void on_closed(void *context, struct hf_websocket *ws, uint16_t code)
{
	struct hf_worker_publisher *p = context;
	p->ws = NULL;
	if (p->is_freed) {
		free(p);
		return;
	}
	if (p->pending)
		try_later(p);
	fail_all(p, "error: the gateway went before it answered; the event may be stored, publish it again");
}

static const struct hf_websocket_handler handler = {.message = on_message, .closed = on_closed};

static void send_event(struct hf_worker_publisher *p, struct pending *e)
{
	if (e->text.length > 0)
		hf_websocket_send_text(p->ws, hf_buffer_slice(&e->text));
	hf_buffer_free(&e->text);
}

static void on_opened(void *context, struct hf_websocket *ws, int status, const char *detail)
{
	struct hf_worker_publisher *p = context;
	p->is_connecting = false;
	if (p->is_freed) {
		if (ws)
			hf_websocket_close(ws, 1001, ""); /* freed when it has closed */
		else
			free(p);
		p->ws = ws;
		return;
	}
	p->ws = ws;
	if (!ws) {
		try_later(p);
		fail_all(p, "error: the gateway cannot be reached");
		return;
	}
	for (struct pending *e = p->pending; e && p->ws; e = e->next)
		send_event(p, e);
	hf_loop_timer_set(p->node->loop, &p->idle, IDLE_MS);
}

static void on_idle(struct hf_timer *timer)
{
	struct hf_worker_publisher *p = HF_CONTAINER_OF(timer, struct hf_worker_publisher, idle);
	if (p->pending)
		hf_loop_timer_set(p->node->loop, timer, IDLE_MS);
	else if (p->ws)
		hf_websocket_close(p->ws, 1000, "");
}

/* ---- Events ---- */

static struct hf_worker_publisher *publisher_of(struct hf_worker_gateway *gateway, struct hf_worker_node *node)
{
	struct hf_worker_publisher *p = gateway->publisher ? gateway->publisher : calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->node = node;
	p->idle.fire = on_idle;
	gateway->publisher = p;
	return p;
}

static const char *take(struct hf_worker_publisher *p, struct hf_worker_reader *reader, struct hf_worker_gateway *gateway,
	const struct hf_event *event, struct hf_slice text)
{
	struct hf_worker_node *node = p->node;
	if (p->pending_count >= HF_WORKER_PUBLISH_COUNT_MAX)
		return "rate-limited: too many events wait for the gateway";
	if (!p->ws && !p->is_connecting && hf_loop_now_us(node->loop) < p->retry_us)
		return "error: the gateway cannot be reached; try again later";
	struct pending *e = calloc(1, sizeof *e);
	if (!e || hf_buffer_append(&e->text, text.data, text.length) < 0) {
		free(e);
		return "error: out of memory";
	}
	e->reader = reader;
	memcpy(e->id, event->id, sizeof e->id);
	HF_LIST_PUSH(p->pending, e);
	p->pending_count++;
	if (p->ws)
		send_event(p, e);
	else if (!p->is_connecting) {
		static const struct hf_websocket_limits limits = {0}; /* the defaults */
		p->is_connecting = true;
		int r = hf_websocket_connect(node->loop, gateway->url, NULL, &limits, &handler, p, on_opened);
		if (r < 0) {
			p->is_connecting = false;
			try_later(p);
			fail_all(p, "error: the gateway cannot be reached");
		}
	}
	return NULL;
}

void hf_worker_publish(struct hf_worker_reader *reader, struct hf_worker_node *node, struct hf_worker_gateway *gateway,
	const struct hf_event *event, struct hf_slice text)
{
	struct hf_worker_publisher *p = gateway->url[0] ? publisher_of(gateway, node) : NULL;
	const char *refusal = !gateway->url[0] ? "error: the address of the gateway's relay is not configured here"
		: !p ? "error: out of memory" : take(p, reader, gateway, event, text);
	if (refusal)
		hf_worker_reader_reply_ok(reader, event->id, false, refusal);
}

void hf_worker_publish_forget(struct hf_worker_gateway *gateway, const struct hf_worker_reader *reader)
{
	struct hf_worker_publisher *p = gateway->publisher;
	for (struct pending *e = p ? p->pending : NULL; e; e = e->next)
		if (e->reader == reader)
			e->reader = NULL;
}

void hf_worker_publisher_free(struct hf_worker_publisher *p)
{
	if (!p)
		return;
	for (struct pending *e = p->pending; e; e = e->next)
		e->reader = NULL;
	fail_all(p, "");
	hf_loop_timer_cancel(p->node->loop, &p->idle);
	p->is_freed = true;
	if (p->ws)
		hf_websocket_close(p->ws, 1001, "");
	else if (!p->is_connecting)
		free(p);
}
