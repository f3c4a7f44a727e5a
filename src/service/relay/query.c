/* query: a REQ is filed for live events with the position of a snapshot, then its stored part runs on that
 * snapshot; live events that arrive meanwhile are held until EOSE. So each event is on one side of the position, and none is
 * missed or sent twice.
 *
 * The stored part runs at once on the loop when it is small and its pages are resident. Else it runs on a worker in turns of
 * bounded visits and bytes; a connection has one turn at a time there, so one with many long queries takes
 * its share and not theirs. What a turn gave is sent as the socket has room, then the next turn is asked for; a
 * connection without room has no turn, so that what waits for a reader is one turn's output and not each query's.
 *
 * A request belongs to the loop, but query, out and status to the worker while is_on_worker is set. CLOSE unlinks it
 * and sets canceled; a turn that is away brings it back to be freed. */
#include "service/relay/internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"

static const char REASON_LATE[] = "error: the query took too long; ask for less";

#define MESSAGE_BYTES_MORE 512 /* of an EVENT message around its event, about */
#define LATE_AGAIN_MS 100      /* a late query that is on the worker is looked at again then */

static void proceed(struct hf_relay_question *q);

/* ---- Memory ---- */

static uint64_t value_count(const struct hf_relay_question *q)
{
	uint64_t count = 0;
	for (uint32_t i = 0; i < q->filter_count; i++) {
		const struct hf_filter *filter = &q->filters[i];
		count += (uint64_t)filter->id_count + filter->author_count + filter->kind_count;
		for (uint32_t t = 0; t < filter->tag_count; t++)
			count += filter->tags[t].value_count;
	}
	return count;
}

/* Counts what the request holds. What a worker may be changing is counted as of the last turn. Messages that wait for EOSE are
 * counted where they were made, and here for the connection only. */
static void count_memory(struct hf_relay_question *q)
{
	struct hf_relay_connection *c = q->connection;
	size_t now = sizeof *q + q->base_bytes + q->turn_bytes + q->held_capacity * sizeof *q->held;
	c->held_bytes -= q->counted_bytes + q->counted_held_bytes;
	hf_memory_change(hf_loop_memory(c->relay->loop), HF_MEMORY_REQUESTS, &q->counted_bytes, now);
	q->counted_held_bytes = q->held_bytes;
	c->held_bytes += q->counted_bytes + q->counted_held_bytes;
}

void hf_relay_query_count_turn(struct hf_relay_question *q)
{
	q->turn_bytes = q->out.capacity + (q->query ? hf_event_query_bytes(q->query) : 0) + hf_relay_delegate_bytes(q);
	count_memory(q);
}

static void forget_memory(struct hf_relay_question *q)
{
	q->connection->held_bytes -= q->counted_bytes + q->counted_held_bytes;
	hf_memory_change(hf_loop_memory(q->connection->relay->loop), HF_MEMORY_REQUESTS, &q->counted_bytes, 0);
}

/* ---- Lifetime ---- */

static void free_request(struct hf_relay_question *q)
{
	struct hf_relay *relay = q->connection->relay;
	hf_loop_timer_cancel(relay->loop, &q->late);
	hf_relay_delegate_free(q);
	hf_event_query_close(q->query);
	for (uint32_t i = 0; i < q->held_count; i++)
		hf_websocket_message_unref(q->held[i].message);
	free(q->held);
	hf_buffer_free(&q->out);
	q->connection->filter_bytes -= q->arena.used_bytes;
	forget_memory(q);
	hf_relay_auth_unref(q->auth);
	if (!relay->arena.chunk) {
		hf_arena_reset(&q->arena);
		relay->arena = q->arena;
	} else {
		hf_arena_free(&q->arena);
	}
	hf_relay_connection_unref(q->connection);
	free(q);
}

static void leave_turns(struct hf_relay_question *q)
{
	struct hf_relay_connection *c = q->connection;
	struct hf_relay_question *last = NULL;
	for (struct hf_relay_question **at = &c->turn_first; *at; at = &(*at)->next_turn) {
		if (*at == q) {
			*at = q->next_turn;
			if (c->turn_last == q)
				c->turn_last = last;
			hf_gauge_add(&c->relay->metrics.turns, -1);
			c->relay->busy_count--;
			return;
		}
		last = *at;
	}
}

/* Takes the request out of everything; frees it unless a turn is away. */
static void cancel(struct hf_relay_question *q)
{
	struct hf_relay_connection *c = q->connection;
	struct hf_relay *relay = c->relay;
	atomic_store_explicit(&q->canceled, true, memory_order_relaxed);
	if (q->previous)
		q->previous->next = q->next;
	else
		c->requests = q->next;
	if (q->next)
		q->next->previous = q->previous;
	c->request_count--;
	if (q->is_filed) {
		hf_subscriptions_remove(relay->subscriptions, &q->subscription);
		hf_gauge_add(&relay->metrics.subscriptions, -1);
		q->is_filed = false;
	}
	leave_turns(q);
	hf_relay_delegate_cancel(q);
	if (!q->is_on_worker && !q->is_on_loop)
		free_request(q);
}

void hf_relay_query_cancel_all(struct hf_relay_connection *c)
{
	hf_relay_connection_ref(c);
	while (c->requests)
		cancel(c->requests);
	hf_relay_connection_unref(c);
}

static struct hf_relay_question *find(struct hf_relay_connection *c, struct hf_slice id)
{
	for (struct hf_relay_question *q = c->requests; q; q = q->next)
		if (hf_slice_equal(id, hf_slice(q->id, q->id_length)))
			return q;
	return NULL;
}

void hf_relay_query_close(struct hf_relay_connection *c, struct hf_slice id)
{
	struct hf_relay_question *q = find(c, id);
	if (q)
		cancel(q);
}

/* ---- The stored part ---- */

static bool is_readable(void *context, const struct hf_event *head, struct hf_slice payload)
{
	const struct hf_relay_question *q = context;
	return !hf_relay_kind_is_private(head->kind) || hf_relay_auth_is_involved_payload(q->auth, head, payload);
}

int hf_relay_query_append_event(const struct hf_relay_question *q, struct hf_slice payload, struct hf_buffer *out)
{
	int r = hf_nostr_append_event_head(out, hf_slice(q->id, q->id_length));
	if (r == HF_OK)
		r = hf_event_payload_to_json(payload, out);
	return r == HF_OK ? hf_buffer_append(out, HF_NOSTR_EVENT_TAIL, sizeof HF_NOSTR_EVENT_TAIL - 1) : r;
}

/* HF_ETOOBIG pauses the query: there is no room. A payload that cannot be read is left out, as the store leaves out
 * one that fails its checksum. */
static int emit_on_loop(void *context, const struct hf_doc *doc)
{
	struct hf_relay_question *q = context;
	struct hf_relay_connection *c = q->connection;
	struct hf_relay *relay = c->relay;
	if (!c->link || q->canceled)
		return HF_ECANCELED;
	if (c->transport->room(c->link) == 0)
		return HF_ETOOBIG;
	hf_buffer_clear(&relay->json);
	int r = hf_relay_query_append_event(q, doc->payload, &relay->json);
	if (r == HF_OK)
		r = c->transport->send_text(c->link, hf_buffer_slice(&relay->json)) < 0 ? HF_ECANCELED : HF_OK;
	hf_buffer_clear(&relay->json);
	return r == HF_EMALFORMED || r == HF_EVERSION ? HF_OK : r;
}

static int emit_on_worker(void *context, const struct hf_doc *doc)
{
	struct hf_relay_question *q = context;
	size_t before = q->out.length;
	if (atomic_load_explicit(&q->canceled, memory_order_relaxed))
		return HF_ECANCELED;
	if (before > 0 && before + doc->payload.length + MESSAGE_BYTES_MORE > HF_RELAY_SLICE_BYTES_MAX)
		return HF_ETOOBIG;
	uint8_t length[4] = {0};
	int r = hf_buffer_append(&q->out, length, sizeof length);
	if (r == HF_OK)
		r = hf_relay_query_append_event(q, doc->payload, &q->out);
	if (r < 0) {
		q->out.length = before;
		return r == HF_EMALFORMED || r == HF_EVERSION ? HF_OK : r;
	}
	hf_store_le32(q->out.data + before, (uint32_t)(q->out.length - before - 4));
	return HF_OK;
}

static int emit(void *context, const struct hf_doc *doc)
{
	const struct hf_relay_question *q = context;
	return q->is_on_worker ? emit_on_worker(context, doc) : emit_on_loop(context, doc);
}

static void turn_over(struct hf_loop_mail *mail);

static void run_turn(struct hf_work *work)
{
	struct hf_relay_question *q = HF_CONTAINER_OF(work, struct hf_relay_question, work);
	struct hf_relay *relay = q->connection->relay;
	hf_event_query_set_now(q->query, hf_env_wall_s(relay->env));
	if (q->canceled || !hf_relay_delegate_check(q))
		q->status = q->canceled ? HF_ECANCELED : hf_event_query_step(q->query, HF_READ_BLOCKING, HF_RELAY_SLICE_VISITS_MAX);
	hf_loop_post(relay->loop, &q->mail);
}

/* Sends the connection's next request to the worker when none of it is there and there is room for what it will give. */
static void next_turn(struct hf_relay_connection *c)
{
	struct hf_relay *relay = c->relay;
	while (!c->on_worker && c->turn_first && c->link && c->transport->room(c->link) > 0) {
		struct hf_relay_question *q = c->turn_first;
		c->turn_first = q->next_turn;
		if (!c->turn_first)
			c->turn_last = NULL;
		hf_gauge_add(&relay->metrics.turns, -1);
		q->is_on_worker = true;
		c->on_worker = q;
		relay->work_count++;
		if (relay->query_executor->submit(relay->query_executor, &q->work) == HF_OK)
			return;
		relay->work_count--;
		relay->busy_count--;
		q->is_on_worker = false;
		c->on_worker = NULL;
		q->status = HF_EBUSY;
		hf_relay_reply_closed(c, hf_slice(q->id, q->id_length), "rate-limited: too many queries are waiting");
		cancel(q);
	}
}

/* It goes on later: from now on its time is watched. */
static void watch_time(struct hf_relay_question *q)
{
	struct hf_relay *relay = q->connection->relay;
	uint64_t spent_us = hf_env_monotonic_us(relay->env) - q->started_us, max_us = relay->policy.query_timeout_us;
	if (q->late.place == 0)
		hf_loop_timer_set(relay->loop, &q->late, spent_us < max_us ? (max_us - spent_us) / 1000 + 1 : 1);
}

static void wait_for_room(struct hf_relay_question *q)
{
	q->waits_for_room = true;
	watch_time(q);
}

void hf_relay_query_take_turn(struct hf_relay_question *q)
{
	struct hf_relay_connection *c = q->connection;
	c->relay->busy_count++;
	watch_time(q);
	q->next_turn = NULL;
	if (c->turn_last)
		c->turn_last->next_turn = q;
	else
		c->turn_first = q;
	c->turn_last = q;
	hf_gauge_add(&c->relay->metrics.turns, 1);
	next_turn(c);
}

static void turn_over(struct hf_loop_mail *mail)
{
	struct hf_relay_question *q = HF_CONTAINER_OF(mail, struct hf_relay_question, mail);
	struct hf_relay_connection *c = q->connection;
	hf_relay_connection_ref(c);
	q->is_on_worker = false;
	c->on_worker = NULL;
	c->relay->work_count--;
	c->relay->busy_count--;
	hf_relay_query_count_turn(q);
	if (!q->canceled)
		hf_relay_delegate_settle(q);
	if (q->canceled)
		free_request(q);
	else
		proceed(q);
	next_turn(c);
	hf_relay_connection_unref(c);
}

/* ---- The end of the stored part ---- */

static void end_query(struct hf_relay_question *q)
{
	struct hf_relay *relay = q->connection->relay;
	hf_histogram_record_us(&relay->metrics.query_time, hf_env_monotonic_us(relay->env) - q->started_us);
	hf_counter_add(&relay->metrics.query_events, hf_event_query_count(q->query));
	hf_event_query_close(q->query);
	q->query = NULL;
	q->snapshot = NULL;
	hf_buffer_free(&q->out);
	hf_relay_query_count_turn(q);
	hf_loop_timer_cancel(relay->loop, &q->late);
}

static void refuse(struct hf_relay_question *q, const char *reason)
{
	struct hf_relay_connection *c = q->connection;
	hf_relay_refused(c->relay, reason);
	hf_relay_reply_closed(c, hf_slice(q->id, q->id_length), reason);
	cancel(q);
}

static void finish(struct hf_relay_question *q)
{
	struct hf_relay_connection *c = q->connection;
	struct hf_relay *relay = c->relay;
	struct hf_slice id = hf_slice(q->id, q->id_length);
	uint64_t count = hf_event_query_count(q->query);
	end_query(q);
	if (q->held_overflow) {
		refuse(q, "error: more live events came than could be held while stored ones were read");
		return;
	}
	int r = q->is_count ? hf_nostr_append_count(&relay->reply, id, count) : hf_nostr_append_eose(&relay->reply, id);
	if (r == HF_OK && c->link)
		c->transport->send_text(c->link, hf_buffer_slice(&relay->reply));
	hf_buffer_clear(&relay->reply);
	uint64_t now_s = hf_env_wall_s(relay->env);
	for (uint32_t i = 0; i < q->held_count; i++) {
		if (c->link && q->held[i].expires_s > now_s)
			c->transport->send_shared(c->link, q->held[i].message);
		hf_websocket_message_unref(q->held[i].message);
	}
	free(q->held);
	q->held = NULL;
	q->held_count = q->held_capacity = q->held_bytes = 0;
	count_memory(q);
	if (q->is_count)
		cancel(q);
}

/* Sends what a worker gave. False when the socket has no room for the rest. */
static bool flush(struct hf_relay_question *q)
{
	struct hf_relay_connection *c = q->connection;
	while (q->out_at < q->out.length) {
		if (c->transport->room(c->link) == 0)
			return false;
		uint32_t length = hf_load_le32(q->out.data + q->out_at);
		if (c->transport->send_text(c->link, hf_slice(q->out.data + q->out_at + 4, length)) < 0)
			return false;
		q->out_at += 4 + length;
	}
	hf_buffer_clear(&q->out);
	q->out_at = 0;
	return true;
}

static const char *reason_of(int status)
{
	return status == HF_ENOMEM ? "error: out of memory" : "error: stored events cannot be read";
}

static bool is_late(const struct hf_relay_question *q)
{
	const struct hf_relay *relay = q->connection->relay;
	return hf_env_monotonic_us(relay->env) - q->started_us > relay->policy.query_timeout_us;
}

/* A query that waits for its reader, or for its turn, ends in time all the same, so that nobody can hold a snapshot for long. */
static void on_late(struct hf_timer *timer)
{
	struct hf_relay_question *q = HF_CONTAINER_OF(timer, struct hf_relay_question, late);
	if (q->is_on_worker)
		hf_loop_timer_set(q->connection->relay->loop, timer, LATE_AGAIN_MS);
	else
		refuse(q, REASON_LATE);
}

/* After a step, or when there is room again: sends, goes on, or ends. */
static void proceed(struct hf_relay_question *q)
{
	q->waits_for_room = false;
	if (!q->connection->link)
		return;
	if (!flush(q)) {
		wait_for_room(q);
		return;
	}
	if (q->status == HF_OK)
		finish(q);
	else if (is_late(q))
		refuse(q, REASON_LATE);
	else if (q->status == HF_EBUSY || q->status == HF_EWAIT || q->status == HF_ETOOBIG)
		hf_relay_query_take_turn(q);
	else
		refuse(q, reason_of(q->status));
}

/* The first step of a small query. */
static void run_on_loop(struct hf_relay_question *q)
{
	struct hf_relay_connection *c = q->connection;
	hf_relay_connection_ref(c);
	q->is_on_loop = true;
	q->status = hf_event_query_step(q->query, HF_READ_RESIDENT, HF_RELAY_INLINE_VISITS_MAX);
	q->is_on_loop = false;
	hf_relay_query_count_turn(q);
	if (q->canceled) {
		free_request(q);
	} else if (q->status == HF_ETOOBIG) {
		wait_for_room(q);
	} else {
		hf_counter_add(q->status == HF_OK ? &c->relay->metrics.on_loop : &c->relay->metrics.on_worker, 1);
		proceed(q);
	}
	hf_relay_connection_unref(c);
}

void hf_relay_query_writable(struct hf_relay_connection *c)
{
	hf_relay_connection_ref(c);
	/* A request that goes on may end others' room, or itself: begin anew after each. */
	for (struct hf_relay_question *q = c->requests; q && c->link && c->transport->room(c->link) > 0;) {
		if (q->waits_for_room) {
			proceed(q);
			q = c->requests;
		} else {
			q = q->next;
		}
	}
	next_turn(c);
	hf_relay_connection_unref(c);
}

/* ---- Live events ---- */

static void hold(struct hf_relay_question *q, struct hf_websocket_message *message, size_t bytes, uint64_t expires_s)
{
	struct hf_relay_metrics *metrics = &q->connection->relay->metrics;
	if (q->held_overflow)
		return;
	bool full = q->held_count == HF_RELAY_HELD_COUNT_MAX || q->held_bytes + bytes > HF_RELAY_HELD_BYTES_MAX;
	if (!full && q->held_count == q->held_capacity) {
		uint32_t capacity = q->held_capacity ? 2 * q->held_capacity : 8;
		struct hf_relay_held *more = realloc(q->held, capacity * sizeof *more);
		full = !more;
		if (more) {
			q->held = more;
			q->held_capacity = capacity;
		}
	}
	if (full) {
		q->held_overflow = true;
		hf_counter_add(&metrics->held_overflows, 1);
		return;
	}
	q->held[q->held_count++] = (struct hf_relay_held){hf_websocket_message_ref(message), expires_s};
	q->held_bytes += (uint32_t)bytes;
	count_memory(q);
	hf_counter_add(&metrics->held, 1);
}

void hf_relay_query_deliver(struct hf_relay_question *q, struct hf_websocket_message *message, size_t bytes, uint64_t expires_s)
{
	if (q->query)
		hold(q, message, bytes, expires_s);
	else
		q->connection->transport->send_shared(q->connection->link, message);
}

/* ---- A new request ---- */

static struct hf_relay_question *new_request(struct hf_relay_connection *c, const struct hf_nostr_message *message)
{
	struct hf_relay *relay = c->relay;
	struct hf_relay_question *q = calloc(1, sizeof *q + message->subscription_id.length);
	if (!q)
		return NULL;
	q->work.run = run_turn;
	q->mail.deliver = turn_over;
	q->late.fire = on_late;
	q->connection = c;
	hf_relay_connection_ref(c);
	q->auth = c->auth;
	if (q->auth)
		q->auth->references++;
	q->arena = relay->arena;
	relay->arena = (struct hf_arena){.limit_bytes = q->arena.limit_bytes};
	c->filter_bytes += q->arena.used_bytes;
	q->filters = message->filters;
	q->filter_count = message->filter_count;
	q->base_bytes = q->arena.used_bytes + value_count(q) * HF_RELAY_ENTRY_BYTES;
	count_memory(q);
	q->is_count = message->type == HF_NOSTR_COUNT;
	q->started_us = hf_env_monotonic_us(relay->env);
	q->id_length = (uint32_t)message->subscription_id.length;
	memcpy(q->id, message->subscription_id.data, q->id_length);
	q->next = c->requests;
	if (q->next)
		q->next->previous = q;
	c->requests = q;
	c->request_count++;
	return q;
}

/* Wall clocks are set: what arrived before a jump forward is dated by as much too early, and is looked for further back. */
static uint64_t arrival_now_ms(struct hf_relay *relay)
{
	uint64_t now_ms = hf_env_wall_ms(relay->env);
	int64_t ahead_ms = (int64_t)now_ms - (int64_t)hf_env_monotonic_ms(relay->env) - relay->opened_ahead_ms;
	return ahead_ms > 0 && (uint64_t)ahead_ms < now_ms ? now_ms - (uint64_t)ahead_ms : now_ms;
}

/* Files the subscription and opens the query on one snapshot. */
static int open_request(struct hf_relay_question *q)
{
	struct hf_relay *relay = q->connection->relay;
	struct hf_snapshot *snapshot = hf_store_snapshot(relay->store);
	if (!snapshot)
		return HF_ENOMEM;
	if (!q->is_count) {
		q->subscription.filters = q->filters;
		q->subscription.filter_count = q->filter_count;
		q->subscription.from_position = hf_snapshot_position(snapshot);
		int r = hf_subscriptions_add(relay->subscriptions, &q->subscription);
		if (r < 0) {
			hf_snapshot_release(snapshot);
			return r;
		}
		q->is_filed = true;
		hf_gauge_add(&relay->metrics.subscriptions, 1);
	}
	struct hf_event_query_options options = {
		.collection = relay->collection, .filters = q->filters, .filter_count = q->filter_count,
		.limit_max = relay->policy.limit_max, .now_s = hf_env_wall_s(relay->env), .arrival_now_ms = arrival_now_ms(relay),
		.count_only = q->is_count,
		.readable = relay->policy.private_reads ? is_readable : NULL, .emit = emit, .context = q,
	};
	q->snapshot = snapshot;
	return hf_event_query_open(&q->query, relay->store, snapshot, &options);
}

static const char *refuses(const struct hf_relay_connection *c, const struct hf_nostr_message *message)
{
	const struct hf_relay_policy *policy = &c->relay->policy;
	if (policy->private_reads && !c->auth && hf_relay_policy_only_private(message->filters, message->filter_count))
		return "auth-required: kinds 4 and 1059 are read by those involved only";
	if (c->request_count >= policy->subscriptions_max)
		return "rate-limited: too many subscriptions on this connection";
	if (c->filter_bytes + c->relay->arena.used_bytes > HF_RELAY_FILTER_BYTES_MAX)
		return "rate-limited: the filters of this connection take too much memory; close some subscriptions";
	if (hf_memory_lacks(hf_loop_memory(c->relay->loop), sizeof(struct hf_relay_question) + c->relay->arena.used_bytes))
		return "rate-limited: all connections together hold too much memory; try again soon";
	return NULL;
}

void hf_relay_query(struct hf_relay_connection *c, const struct hf_nostr_message *message, struct hf_slice text)
{
	struct hf_relay *relay = c->relay;
	hf_relay_query_close(c, message->subscription_id);
	const char *reason = refuses(c, message);
	struct hf_relay_question *q = reason ? NULL : new_request(c, message);
	if (!q) {
		reason = reason ? reason : "error: out of memory";
		hf_relay_refused(relay, reason);
		hf_relay_reply_closed(c, message->subscription_id, reason);
		return;
	}
	int r = open_request(q);
	if (r < 0) {
		refuse(q, reason_of(r));
		return;
	}
	hf_counter_add(&relay->metrics.plans[hf_event_query_plan(q->query)], 1);
	uint64_t cost = hf_event_query_cost(q->query);
	if (hf_relay_delegate_try(q, text)) {
		watch_time(q);
		return;
	}
	if (cost <= HF_RELAY_INLINE_VISITS_MAX && c->read_visits + cost <= HF_RELAY_READ_VISITS_MAX) {
		c->read_visits += (uint32_t)cost + 1;
		run_on_loop(q);
	} else {
		hf_counter_add(&relay->metrics.on_worker, 1);
		hf_relay_query_take_turn(q);
	}
}
