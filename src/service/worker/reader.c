/* reader: a client who reads a gateway's relay from the replica. What it asks for is answered from one version of the bee; then what came
 * since is caught up with, block by block, and from there on it is live with all others, who are told together.
 *
 *     LOOKING  stored events, from the snapshot; then EOSE
 *     CATCHING the events between the snapshot and where the replica's own follower stands
 *     LIVE     filed among the subscriptions
 *
 * The first two wait for blocks of their own, and for room. */
#include "service/worker/internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"

#define REASON_LATE "error: the query took too long; ask for less"
#define REASON_UNREADABLE "error: the worker's copy of the relay cannot be read"

enum state { LOOKING, CATCHING, LIVE };

struct hf_worker_request {
	struct hf_subscription subscription;
	struct hf_worker_request *next, *previous; /* of the reader */
	struct hf_worker_reader *reader;
	enum state state;
	struct hf_bee_view *view;
	struct hf_relay_bee_query *query;
	struct hf_relay_bee_follower follower;
	struct hf_bee_waiter waiter;
	struct hf_timer turn, late;
	struct hf_arena arena;
	struct hf_filter *filters;
	uint32_t filter_count;
	uint64_t started_us;
	bool is_filed, waits_for_room, is_stepping, is_canceled, has_failed;
	uint32_t id_length;
	uint8_t id[];
};

struct hf_worker_reader {
	struct hf_worker_reader *next, *previous; /* of the replica */
	struct hf_worker_replica *replica;
	const struct hf_relay_transport *transport;
	void *link;                               /* NULL once closed */
	struct hf_worker_request *requests;
	uint32_t request_count;
	bool may_publish, tells_version;
};

static void step(struct hf_worker_request *q);

struct hf_worker_reader *hf_worker_reader_next(struct hf_worker_reader *reader)
{
	return reader->next;
}

/* ---- Saying something ---- */

static void send_reply(struct hf_worker_reader *reader, int status)
{
	struct hf_buffer *reply = &reader->replica->node->reply;
	if (status == HF_OK && reader->link)
		reader->transport->send_text(reader->link, hf_buffer_slice(reply));
	else if (reader->link)
		reader->transport->close(reader->link, 1011, "out of memory");
	hf_buffer_clear(reply);
}

void hf_worker_reader_reply_ok(struct hf_worker_reader *reader, const uint8_t id[static 32], bool accepted, const char *reason)
{
	send_reply(reader, hf_nostr_append_ok(&reader->replica->node->reply, id, accepted, reason));
}

static void reply_closed(struct hf_worker_reader *reader, struct hf_slice id, const char *reason)
{
	send_reply(reader, hf_nostr_append_closed(&reader->replica->node->reply, id, reason));
}

/* ---- A request's life ---- */

static struct hf_slice id_of(const struct hf_worker_request *q)
{
	return hf_slice(q->id, q->id_length);
}

static void free_request(struct hf_worker_request *q)
{
	hf_arena_free(&q->arena);
	free(q);
}

static void end_query(struct hf_worker_request *q)
{
	struct hf_worker_replica *replica = q->reader->replica;
	if (q->state == LOOKING)
		replica->query_count--;
	hf_bee_wait_cancel(&q->waiter);
	hf_relay_bee_query_close(q->query);
	hf_bee_view_free(q->view);
	q->query = NULL;
	q->view = NULL;
	hf_loop_timer_cancel(replica->node->loop, &q->late);
}

static void cancel(struct hf_worker_request *q)
{
	struct hf_worker_reader *reader = q->reader;
	end_query(q);
	if (q->is_filed)
		hf_subscriptions_remove(reader->replica->subscriptions, &q->subscription);
	hf_relay_bee_follower_free(&q->follower);
	hf_loop_timer_cancel(reader->replica->node->loop, &q->turn);
	HF_LIST_REMOVE(reader->requests, q);
	reader->request_count--;
	q->is_canceled = true;
	if (!q->is_stepping)
		free_request(q);
}

static void refuse(struct hf_worker_request *q, const char *reason)
{
	struct hf_worker_replica *replica = q->reader->replica;
	hf_counter_add(&replica->node->stats.query_failures, 1);
	replica->errors++;
	reply_closed(q->reader, id_of(q), reason);
	cancel(q);
}

static struct hf_worker_request *find(struct hf_worker_reader *reader, struct hf_slice id)
{
	for (struct hf_worker_request *q = reader->requests; q; q = q->next)
		if (hf_slice_equal(id, id_of(q)))
			return q;
	return NULL;
}

void hf_worker_reader_cancel_all(struct hf_worker_reader *reader, const char *reason)
{
	while (reader->requests) {
		if (reason)
			reply_closed(reader, id_of(reader->requests), reason);
		cancel(reader->requests);
	}
}

/* ---- Events out ---- */

/* Kinds that are for those involved only; who a reader is nobody has proved here. */
static bool is_readable(void *context, const struct hf_event *event)
{
	return event->kind != 4 && event->kind != 1059;
}

static int give(struct hf_worker_request *q, const struct hf_event *event)
{
	struct hf_worker_reader *reader = q->reader;
	struct hf_worker_node *node = reader->replica->node;
	if (!reader->link)
		return HF_ECANCELED;
	if (reader->transport->room(reader->link) == 0)
		return HF_ETOOBIG;
	hf_buffer_clear(&node->json);
	int r = hf_nostr_append_event_head(&node->json, id_of(q));
	if (r == HF_OK)
		r = hf_event_to_json(event, &node->json);
	if (r == HF_OK)
		r = hf_buffer_append_text(&node->json, HF_NOSTR_EVENT_TAIL);
	if (r == HF_OK && reader->transport->send_text(reader->link, hf_buffer_slice(&node->json)) < 0)
		r = HF_ECANCELED;
	hf_buffer_clear(&node->json);
	return r;
}

static int emit(void *context, const struct hf_event *event)
{
	return give(context, event);
}

struct round {
	struct hf_worker_replica *replica;
	const struct hf_event *event;
};

static void each(void *context, struct hf_subscription *subscription)
{
	const struct round *round = context;
	struct hf_worker_request *q = HF_CONTAINER_OF(subscription, struct hf_worker_request, subscription);
	struct hf_worker_reader *reader = q->reader;
	struct hf_worker_node *node = round->replica->node;
	struct hf_slice head;
	if (!reader->link)
		return;
	/* Live events do not wait for room: past its bound the client's own queue ends it, so that there is no gap that nobody sees. */
	hf_buffer_clear(&node->reply);
	if (hf_nostr_append_event_head(&node->reply, id_of(q)) < 0)
		return;
	head = hf_buffer_slice(&node->reply);
	const struct hf_slice parts[] = {head, hf_buffer_slice(&node->json), HF_SLICE_LITERAL(HF_NOSTR_EVENT_TAIL)};
	struct hf_websocket_message *message = hf_websocket_message_new(node->loop, parts, 3);
	hf_buffer_clear(&node->reply);
	if (!message) {
		reader->transport->close(reader->link, 1011, "out of memory");
		return;
	}
	reader->transport->send_shared(reader->link, message);
	hf_websocket_message_unref(message);
	hf_counter_add(&node->stats.delivered, 1);
}

void hf_worker_deliver(struct hf_worker_replica *replica, const struct hf_event *event, uint64_t block)
{
	struct hf_worker_node *node = replica->node;
	struct round round = {replica, event};
	if (!is_readable(NULL, event) || hf_event_expiration(event) <= hf_env_wall_s(node->env))
		return;
	hf_buffer_clear(&node->json);
	if (hf_event_to_json(event, &node->json) == HF_OK)
		hf_subscriptions_match(replica->subscriptions, event, block, each, &round);
	hf_buffer_clear(&node->json);
}

/* ---- Steps ---- */

static void go_on_later(struct hf_worker_request *q)
{
	hf_loop_timer_set(q->reader->replica->node->loop, &q->turn, 0);
}

static void on_turn(struct hf_timer *timer)
{
	struct hf_worker_request *q = HF_CONTAINER_OF(timer, struct hf_worker_request, turn);
	if (q->has_failed)
		refuse(q, REASON_UNREADABLE);
	else
		step(q);
}

static void on_ready(struct hf_bee_waiter *waiter, int status)
{
	struct hf_worker_request *q = waiter->context;
	q->has_failed = status < 0;
	go_on_later(q); /* it may come from within another's read */
}

static void on_late(struct hf_timer *timer)
{
	refuse(HF_CONTAINER_OF(timer, struct hf_worker_request, late), REASON_LATE);
}

/* Where it did not go on, says when it will. */
static void pause_or_refuse(struct hf_worker_request *q, int status)
{
	struct hf_worker_replica *replica = q->reader->replica;
	if (status == HF_EWAIT)
		status = hf_bee_wait(replica->bee, &q->waiter);
	else if (status == HF_ETOOBIG)
		q->waits_for_room = true;
	else if (status == HF_EBUSY)
		go_on_later(q);
	if (status < 0 && status != HF_ETOOBIG && status != HF_EBUSY && status != HF_ECANCELED)
		refuse(q, REASON_UNREADABLE);
}

static void note_answered(struct hf_worker_request *q)
{
	struct hf_worker_replica *replica = q->reader->replica;
	struct hf_worker_node *node = replica->node;
	uint64_t took_us = hf_env_monotonic_us(node->env) - q->started_us;
	replica->latency_us = replica->latency_us ? (7 * replica->latency_us + took_us) / 8 : took_us;
	replica->served++;
	replica->served_events += hf_relay_bee_query_count(q->query);
	replica->last_served_ms = hf_env_wall_ms(node->env);
	hf_counter_add(&node->stats.queries, 1);
	hf_counter_add(&node->stats.query_events, hf_relay_bee_query_count(q->query));
}

static void tell_version(struct hf_worker_request *q, uint64_t version)
{
	struct hf_worker_replica *replica = q->reader->replica;
	send_reply(q->reader, hf_buffer_printf(&replica->node->reply,
		"[\"SNAPSHOT\",\"%.*s\",{\"version\":%llu,\"fork\":%llu,\"limit\":%u}]", (int)q->id_length, (const char *)q->id,
		(unsigned long long)version, (unsigned long long)hf_core_fork(replica->core), (unsigned)HF_WORKER_READER_LIMIT_MAX));
}

static int look(struct hf_worker_request *q)
{
	struct hf_worker_replica *replica = q->reader->replica;
	int r = hf_relay_bee_query_step(q->query, HF_WORKER_STEP_VISITS_MAX);
	if (r < 0)
		return r;
	uint64_t version = hf_bee_view_version(q->view);
	if (q->reader->tells_version)
		tell_version(q, version);
	note_answered(q);
	end_query(q);
	q->state = CATCHING;
	send_reply(q->reader, hf_nostr_append_eose(&replica->node->reply, id_of(q)));
	hf_relay_bee_follow(&q->follower, replica->bee, version);
	return HF_OK;
}

static bool matches(const struct hf_worker_request *q, const struct hf_event *event)
{
	for (uint32_t i = 0; i < q->filter_count; i++)
		if (hf_filter_matches(&q->filters[i], event))
			return is_readable(NULL, event);
	return false;
}

/* HF_OK: it is where the replica's follower is. */
static int catch_up(struct hf_worker_request *q)
{
	struct hf_worker_replica *replica = q->reader->replica;
	const struct hf_event *event;
	for (uint32_t i = 0; i < HF_WORKER_STEP_VISITS_MAX; i++) {
		if (q->follower.next >= replica->follower.next)
			return HF_OK;
		struct hf_relay_bee_follower before = q->follower;
		int r = hf_relay_bee_follower_next(&q->follower, &event);
		if (r == HF_ENOTFOUND)
			return HF_OK;
		if (r == HF_OK && matches(q, event) && (r = give(q, event)) == HF_ETOOBIG) {
			q->follower.next = before.next;
			q->follower.jumped_from = before.jumped_from;
		}
		if (r < 0)
			return r;
	}
	return HF_EBUSY;
}

static int go_live(struct hf_worker_request *q)
{
	struct hf_worker_replica *replica = q->reader->replica;
	q->subscription.filters = q->filters;
	q->subscription.filter_count = q->filter_count;
	q->subscription.from_position = q->follower.jumped_from ? q->follower.jumped_from : q->follower.next; /* behind the last that it saw */
	int r = hf_subscriptions_add(replica->subscriptions, &q->subscription);
	if (r < 0)
		return r;
	q->is_filed = true;
	q->state = LIVE;
	hf_relay_bee_follower_free(&q->follower);
	return HF_OK;
}

static void step(struct hf_worker_request *q)
{
	int r = HF_OK;
	q->waits_for_room = false;
	q->is_stepping = true;
	if (q->state == LOOKING)
		r = look(q);
	if (r == HF_OK && q->state == CATCHING && !q->is_canceled) {
		hf_worker_replica_follow(q->reader->replica);
		r = catch_up(q);
		if (r == HF_OK)
			r = go_live(q);
	}
	q->is_stepping = false;
	if (q->is_canceled)
		free_request(q);
	else if (r < 0)
		pause_or_refuse(q, r);
}

void hf_worker_reader_writable(struct hf_worker_reader *reader)
{
	for (struct hf_worker_request *q = reader->requests; q && reader->link; q = q->next)
		if (q->waits_for_room) {
			q->waits_for_room = false;
			go_on_later(q);
		}
}

/* ---- Messages ---- */

static struct hf_worker_request *new_request(struct hf_worker_reader *reader, const struct hf_nostr_message *message)
{
	struct hf_worker_node *node = reader->replica->node;
	struct hf_worker_request *q = calloc(1, sizeof *q + message->subscription_id.length);
	if (!q)
		return NULL;
	q->reader = reader;
	q->turn.fire = on_turn;
	q->late.fire = on_late;
	q->waiter.ready = on_ready;
	q->waiter.context = q;
	q->arena = node->arena;
	node->arena = (struct hf_arena){.limit_bytes = HF_WORKER_FILTER_BYTES_MAX};
	q->filters = message->filters;
	q->filter_count = message->filter_count;
	q->started_us = hf_env_monotonic_us(node->env);
	q->id_length = (uint32_t)message->subscription_id.length;
	memcpy(q->id, message->subscription_id.data, q->id_length);
	HF_LIST_PUSH(reader->requests, q);
	reader->request_count++;
	reader->replica->query_count++;
	return q;
}

static int open_query(struct hf_worker_request *q)
{
	struct hf_worker_replica *replica = q->reader->replica;
	int r = hf_bee_snapshot(replica->bee, &q->view);
	if (r < 0)
		return r;
	struct hf_relay_bee_query_options options = {.view = q->view, .filters = q->filters, .filter_count = q->filter_count,
		.limit_max = HF_WORKER_READER_LIMIT_MAX, .now_s = hf_env_wall_s(replica->node->env), .readable = is_readable, .emit = emit,
		.context = q};
	r = hf_relay_bee_query_open(&q->query, &options);
	return r == HF_OK ? hf_loop_timer_set(replica->node->loop, &q->late, HF_WORKER_QUERY_TIMEOUT_MS) : r;
}

static void take_request(struct hf_worker_reader *reader, const struct hf_nostr_message *message)
{
	struct hf_worker_request *old = find(reader, message->subscription_id);
	if (old)
		cancel(old);
	if (reader->request_count >= HF_WORKER_READER_REQUEST_COUNT_MAX) {
		reply_closed(reader, message->subscription_id, "rate-limited: too many subscriptions on this connection");
		return;
	}
	struct hf_worker_request *q = new_request(reader, message);
	if (!q) {
		reply_closed(reader, message->subscription_id, "error: out of memory");
		return;
	}
	if (open_query(q) < 0)
		refuse(q, "error: out of memory");
	else
		step(q);
}

static void take_event(struct hf_worker_reader *reader, const struct hf_event *event, struct hf_slice text)
{
	if (reader->may_publish)
		hf_worker_publish(reader, reader->replica->node, reader->replica->gateway, event, text);
	else
		hf_worker_reader_reply_ok(reader, event->id, false, "restricted: this is a worker's copy of the relay, which is only read");
}

static void dispatch(struct hf_worker_reader *reader, const struct hf_nostr_message *message, struct hf_slice text)
{
	switch (message->type) {
	case HF_NOSTR_EVENT:
		take_event(reader, &message->event, text);
		break;
	case HF_NOSTR_AUTH:
		hf_worker_reader_reply_ok(reader, message->event.id, false, "restricted: this copy of the relay does not ask for authentication");
		break;
	case HF_NOSTR_REQ:
		take_request(reader, message);
		break;
	case HF_NOSTR_COUNT:
		reply_closed(reader, message->subscription_id, "unsupported: this copy of the relay does not count");
		break;
	case HF_NOSTR_CLOSE:
		if (find(reader, message->subscription_id))
			cancel(find(reader, message->subscription_id));
		break;
	}
}

static void refuse_message(struct hf_worker_reader *reader, const struct hf_nostr_error *error)
{
	struct hf_buffer *reply = &reader->replica->node->reply;
	if (error->refusal == HF_NOSTR_REFUSE_OK)
		hf_worker_reader_reply_ok(reader, error->event_id, false, error->reason);
	else if (error->refusal == HF_NOSTR_REFUSE_CLOSED)
		reply_closed(reader, error->subscription_id, error->reason);
	else
		send_reply(reader, hf_nostr_append_notice(reply, error->reason));
}

void hf_worker_reader_message(struct hf_worker_reader *reader, bool is_text, struct hf_slice text)
{
	struct hf_worker_node *node = reader->replica->node;
	static const struct hf_nostr_limits limits = {.event_bytes_max = HF_EVENT_BYTES_MAX, .filter_count_max = HF_NOSTR_FILTER_COUNT_MAX,
		.filter_items_max = HF_FILTER_ITEMS_MAX, .takes_resume = true};
	struct hf_nostr_message message;
	struct hf_nostr_error error;
	if (!is_text) {
		send_reply(reader, hf_nostr_append_notice(&node->reply, "invalid: messages are text, not binary"));
		return;
	}
	hf_buffer_clear(&node->text);
	int r = hf_nostr_decode(text, &limits, &node->text, &node->arena, &message, &error);
	/* When blocks came a copy does not know; what is asked for by date, which stands in front, it does. */
	while (r == HF_OK && message.type == HF_NOSTR_REQ && message.filter_count > 1 && message.filters[0].arrived_within_s == 0 &&
		message.filters[message.filter_count - 1].arrived_within_s > 0)
		message.filter_count--;
	if (r == HF_OK)
		dispatch(reader, &message, text);
	else
		refuse_message(reader, &error);
	if (node->arena.used_bytes > 0)
		hf_arena_reset(&node->arena);
}

/* ---- Coming and going ---- */

int hf_worker_reader_new(struct hf_worker_replica *replica, const struct hf_worker_reader_options *options, struct hf_worker_reader **out)
{
	struct hf_worker_reader *reader = *out = calloc(1, sizeof *reader);
	if (!reader)
		return HF_ENOMEM;
	reader->replica = replica;
	reader->transport = options->transport;
	reader->link = options->link;
	reader->may_publish = options->may_publish;
	reader->tells_version = options->tells_version;
	HF_LIST_PUSH(replica->readers, reader);
	hf_gauge_add(&replica->node->stats.readers, 1);
	return HF_OK;
}

void hf_worker_reader_attach(struct hf_worker_reader *reader, void *link)
{
	reader->link = link;
}

void hf_worker_reader_closed(struct hf_worker_reader *reader)
{
	struct hf_worker_replica *replica = reader->replica;
	reader->link = NULL;
	hf_worker_reader_cancel_all(reader, NULL);
	hf_worker_publish_forget(replica->gateway, reader);
	HF_LIST_REMOVE(replica->readers, reader);
	hf_gauge_add(&replica->node->stats.readers, -1);
	free(reader);
}
