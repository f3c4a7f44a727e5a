/* admin_events: who watches the gateway: a snapshot a second as server-sent events, and each record of the audit log as it is written.
 *
 * Nothing runs while nobody watches. A snapshot is made once for all readers; a reader whose queue is full is let go rather than waited
 * for. Audit records come from the store's thread, as mail. (HTML, server-sent events) */
#include <jansson.h>
#include <stdlib.h>

#include "base/list.h"
#include "service/audit.h"
#include "service/gateway/internal.h"

#define INTERVAL_MS 1000
#define READER_COUNT_MAX 32
#define MAIL_COUNT_MAX 256 /* records on their way to readers; more are left out, and are in the log all the same */

struct reader {
	struct reader *next;
	struct hf_admin_events *events;
	struct hf_http_exchange *exchange;
};

struct hf_admin_events {
	struct hf_gateway *gateway;
	struct reader *readers;
	size_t reader_count;
	struct hf_timer timer;
	HF_ATOMIC(uint32_t) mail_count;
	struct hf_gauge streams;
	bool is_closing;
};

struct record {
	struct hf_loop_mail mail;
	struct hf_admin_events *events;
	uint64_t number;
	struct hf_buffer text;
};

/* ---- Readers ---- */

static void forget(struct reader *r)
{
	struct hf_admin_events *e = r->events;
	for (struct reader **at = &e->readers; *at; at = &(*at)->next)
		if (*at == r) {
			*at = r->next;
			break;
		}
	free(r);
	hf_gauge_set(&e->streams, (int64_t)--e->reader_count);
	if (e->reader_count > 0)
		return;
	hf_loop_timer_cancel(e->gateway->loop, &e->timer);
	hf_audit_listen(e->gateway->audit, NULL, NULL);
}

static void on_writable(void *context, struct hf_http_exchange *x) { }

static void on_gone(void *context, struct hf_http_exchange *x)
{
	forget(context);
}

static const struct hf_http_pieces pieces = {.writable = on_writable, .gone = on_gone};

/* To one of them; a reader that is full, or for whom there is no memory, is let go. */
static void pass(struct reader *r, struct hf_slice text)
{
	if (hf_http_room(r->exchange) > 0 && hf_http_write(r->exchange, text) == HF_OK)
		return;
	hf_http_abort(r->exchange);
	forget(r);
}

static void send_all(struct hf_admin_events *e, struct hf_slice text)
{
	for (struct reader *r = e->readers, *next; r; r = next) {
		next = r->next;
		pass(r, text);
	}
}

/* ---- Snapshots ---- */

static int make_snapshot(struct hf_gateway *g, struct hf_buffer *out)
{
	json_t *snapshot = hf_gateway_snapshot(g);
	char *text = snapshot ? json_dumps(snapshot, JSON_COMPACT) : NULL;
	int r = text ? hf_buffer_append_text(out, "event: snapshot\ndata: ") : HF_ENOMEM;
	if (r == HF_OK)
		r = hf_buffer_append_text(out, text);
	if (r == HF_OK)
		r = hf_buffer_append_text(out, "\n\n");
	free(text);
	json_decref(snapshot);
	return r;
}

static void send_snapshot(struct hf_admin_events *e)
{
	struct hf_buffer text = {0};
	if (make_snapshot(e->gateway, &text) == HF_OK)
		send_all(e, hf_buffer_slice(&text));
	hf_buffer_free(&text);
}

/* Whose certificate was revoked, has expired or is not named any more watches no longer. */
static void dismiss_strangers(struct hf_admin_events *e)
{
	for (struct reader *r = e->readers, *next; r; r = next) {
		next = r->next;
		if (hf_gateway_may_watch(e->gateway, r->exchange))
			continue;
		hf_http_end(r->exchange);
		forget(r);
	}
}

static void on_second(struct hf_timer *timer)
{
	struct hf_admin_events *e = HF_CONTAINER_OF(timer, struct hf_admin_events, timer);
	hf_loop_timer_set(e->gateway->loop, timer, INTERVAL_MS);
	dismiss_strangers(e);
	send_snapshot(e);
}

/* ---- Audit records ---- */

static void deliver_record(struct hf_loop_mail *mail)
{
	struct record *r = HF_CONTAINER_OF(mail, struct record, mail);
	struct hf_buffer text = {0};
	int status = hf_buffer_printf(&text, "event: audit\nid: %llu\ndata: %.*s\n\n", (unsigned long long)r->number, (int)r->text.length,
		(const char *)r->text.data);
	if (status == HF_OK)
		send_all(r->events, hf_buffer_slice(&text));
	hf_buffer_free(&text);
	atomic_fetch_sub(&r->events->mail_count, 1);
	hf_buffer_free(&r->text);
	free(r);
}

static void on_record(void *context, uint64_t number, struct hf_slice text)
{
	struct hf_admin_events *e = context;
	struct record *r = atomic_load(&e->mail_count) < MAIL_COUNT_MAX ? calloc(1, sizeof *r) : NULL;
	if (!r)
		return;
	if (hf_buffer_append(&r->text, text.data, text.length) < 0) {
		free(r);
		return;
	}
	r->mail.deliver = deliver_record;
	r->events = e;
	r->number = number;
	atomic_fetch_add(&e->mail_count, 1);
	hf_loop_post(e->gateway->loop, &r->mail);
}

/* ---- Coming and going ---- */

static struct reader *new_reader(struct hf_admin_events *e, struct hf_http_exchange *x)
{
	bool is_full = e->reader_count >= READER_COUNT_MAX || e->gateway->is_draining || e->is_closing;
	struct reader *r = is_full ? NULL : calloc(1, sizeof *r);
	if (!r) {
		hf_gateway_refuse(x, 503, HF_EBUSY, "The gateway is ending, or as many as may are watching already.", "Retry-After: 10\r\n");
		return NULL;
	}
	r->events = e;
	r->exchange = x;
	return r;
}

void hf_gateway_handle_events(void *context, struct hf_http_exchange *x)
{
	static const char fields[] = "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n"; /* the second is for nginx */
	struct hf_gateway *g = context;
	struct hf_admin_events *e = g->events;
	struct hf_buffer first = {0};
	if (hf_slice_equal(hf_http_method(x), HF_SLICE_LITERAL("HEAD"))) {
		hf_http_respond(x, 200, "text/event-stream", (struct hf_slice){0}, NULL);
		return;
	}
	struct reader *r = new_reader(e, x);
	if (!r)
		return;
	if (hf_http_begin(x, 200, "text/event-stream", HF_HTTP_LENGTH_UNKNOWN, fields, &pieces, r) < 0) {
		free(r);
		return;
	}
	r->next = e->readers;
	e->readers = r;
	hf_gauge_set(&e->streams, (int64_t)e->reader_count + 1);
	if (e->reader_count++ == 0) {
		hf_loop_timer_set(g->loop, &e->timer, INTERVAL_MS);
		hf_audit_listen(g->audit, on_record, e);
	}
	if (make_snapshot(g, &first) == HF_OK)
		pass(r, hf_buffer_slice(&first));
	hf_buffer_free(&first);
}

void hf_gateway_end_events(struct hf_gateway *g, bool with_snapshot)
{
	struct hf_admin_events *e = g->events;
	if (e->readers && with_snapshot)
		send_snapshot(e);
	for (struct reader *r = e->readers, *next; r; r = next) {
		next = r->next;
		hf_http_end(r->exchange);
		forget(r);
	}
}

int hf_gateway_open_events(struct hf_gateway *g)
{
	g->events = calloc(1, sizeof *g->events);
	if (!g->events)
		return HF_ENOMEM;
	g->events->gateway = g;
	g->events->timer.fire = on_second;
	hf_gauge_register(g->metrics, &g->events->streams, "holdfast_admin_streams", "", "Who watches the gateway");
	return HF_OK;
}

void hf_gateway_hush_events(struct hf_gateway *g)
{
	if (!g->events)
		return;
	g->events->is_closing = true;
	hf_gateway_end_events(g, false);
	hf_audit_listen(g->audit, NULL, NULL);
}

bool hf_gateway_events_are_idle(const struct hf_gateway *g)
{
	return !g->events || atomic_load(&g->events->mail_count) == 0;
}

void hf_gateway_close_events(struct hf_gateway *g)
{
	if (g->events)
		hf_metric_unregister(g->metrics, &g->events->streams.link);
	free(g->events);
	g->events = NULL;
}
