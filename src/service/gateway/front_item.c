/* Items end in many ways, some of them in the middle of a walk over their list: walks therefore begin anew after every step, by a round
 * that they note in each item. */
#include "service/gateway/front_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/hex.h"

#define SEEN_MARGIN_S 60 /* kept beyond the overlap */

/* ---- Items ---- */

static struct hf_slice item_id(const struct hf_front_item *item)
{
	return hf_slice(item->bytes, item->id_length);
}

static struct hf_slice item_message(const struct hf_front_item *item)
{
	return hf_slice(item->bytes + item->id_length, item->message_length);
}

static struct hf_front_item *find_item(struct hf_front_session *s, enum hf_nostr_frame_type type, struct hf_slice id)
{
	for (struct hf_front_item *item = s->items; item; item = item->next)
		if (item->type == type && hf_slice_equal(item_id(item), id))
			return item;
	return NULL;
}

static void count_item(struct hf_front_session *s, const struct hf_front_item *item, int change)
{
	size_t bytes = (size_t)item->id_length + item->message_length;
	if (item->type == HF_NOSTR_FRAME_EVENT) {
		s->publish_count += (uint32_t)change;
		s->publish_bytes += change > 0 ? bytes : (size_t)0 - bytes;
		return;
	}
	s->request_count += (uint32_t)change;
	s->request_bytes += change > 0 ? bytes : (size_t)0 - bytes;
	if (item->type == HF_NOSTR_FRAME_REQ)
		s->front->stats.subscription_count += (uint64_t)(int64_t)change;
}

static struct hf_front_item *add_item(struct hf_front_session *s, enum hf_nostr_frame_type type, struct hf_slice id,
	struct hf_slice message)
{
	struct hf_front_item *item = calloc(1, sizeof *item + id.length + message.length);
	if (!item)
		return NULL;
	item->session = s;
	item->type = type;
	item->job.kind = HF_FRONT_ASK;
	item->id_length = (uint16_t)id.length;
	item->message_length = (uint32_t)message.length;
	memcpy(item->bytes, id.data, id.length);
	memcpy(item->bytes + id.length, message.data, message.length);
	item->previous = s->items_last;
	if (s->items_last)
		s->items_last->next = item;
	else
		s->items = item;
	s->items_last = item;
	count_item(s, item, 1);
	return item;
}

/* What the outcome makes the dispatcher tell comes last. */
static void end_item(struct hf_front_item *item, enum hf_dispatch_outcome outcome)
{
	struct hf_front_session *s = item->session;
	struct hf_front *front = s->front;
	struct hf_front_job job = item->job;
	if (item == s->items_last)
		s->items_last = item->previous;
	HF_LIST_REMOVE(s->items, item);
	count_item(s, item, -1);
	hf_front_seen_free(&item->seen);
	free(item);
	hf_front_session_read_or_pause(s);
	hf_front_job_over(front, &job, outcome);
}

void hf_front_items_free(struct hf_front_session *s)
{
	while (s->items)
		end_item(s->items, HF_DISPATCH_ABANDONED);
}

/* ---- What the client is told ---- */

static void say_notice(struct hf_front_session *s, const char *text)
{
	hf_front_session_say(s, hf_nostr_append_notice(&s->front->scratch, text));
}

static void say_refusal(struct hf_front_session *s, enum hf_nostr_frame_type type, struct hf_slice id, const char *reason)
{
	struct hf_buffer *out = &s->front->scratch;
	hf_front_session_say(s, type == HF_NOSTR_FRAME_EVENT ? hf_nostr_append_ok(out, id.data, false, reason)
		: hf_nostr_append_closed(out, id, reason));
}

/* The session may end by that, and the item with it. */
void hf_front_item_refuse(struct hf_front_item *item, enum hf_front_refusal refusal, const char *reason)
{
	struct hf_front_session *s = item->session;
	bool was_open = s->state != HF_FRONT_CLOSING;
	hf_front_refuse(s->front, refusal);
	say_refusal(s, item->type, item_id(item), reason);
	if (!was_open || s->state != HF_FRONT_CLOSING)
		end_item(item, HF_DISPATCH_ABANDONED);
}

void hf_front_items_refuse(struct hf_front_session *s, enum hf_front_refusal refusal, const char *reason)
{
	while (s->items)
		hf_front_item_refuse(s->items, refusal, reason);
}

/* ---- To a worker ---- */

/* Where all that was delivered is known, all can be asked for again: so what the other worker alone has is found, too. With a limit, stored
 * events would come that the client did not want, unless there were none. */
static bool can_ask_for_all(const struct hf_front_item *item)
{
	struct hf_slice message = item_message(item);
	return item->seen.newest_s == 0 || (!item->seen.has_forgotten && !memmem(message.data, message.length, "\"limit\"", 7));
}

/* What is dated so long ago is not asked for by date any more. */
static uint64_t back_to_s(const struct hf_front_item *item, uint32_t further_s)
{
	const struct hf_front *front = item->session->front;
	uint64_t latest_s = hf_front_seen_latest_s(&item->seen, hf_env_wall_s(front->env));
	uint64_t back_s = (uint64_t)front->options.overlap_s + further_s;
	return latest_s > back_s ? latest_s - back_s : 1;
}

/* How a subscription that another worker has answered is asked for. What came to this one while nobody was asked has any date, so it is
 * asked for by when it came: for as long as the subscription was without a worker, and for as long as it may take to see that it is, but
 * not from before the client asked. Beside that by date, since before it came here it may have been at the other one. A worker that cannot
 * tell what came when is asked by date alone, and what is dated further back and came in that moment is missed. */
static int resume(struct hf_front_item *item, struct hf_buffer *out)
{
	struct hf_front *front = item->session->front;
	const struct hf_worker *worker = hf_workers_find(front->options.workers, item->session->peer);
	bool asks_for_all = can_ask_for_all(item), can_resume = worker && hf_worker_can_resume(worker);
	uint64_t now_us = hf_front_now_us(front), since_s = asks_for_all ? 0 : back_to_s(item, 0);
	uint64_t gap_s = (now_us - item->left_us) / 1000000 + HF_FRONT_GAP_S, age_s = (now_us - item->asked_us) / 1000000 + 1;
	if (can_resume && item->message_length < front->options.message_bytes_max / 2 - 64)
		return hf_nostr_frame_append_resume(out, item_message(item), since_s, gap_s < age_s ? gap_s : age_s);
	item->since_s = since_s;
	return asks_for_all ? HF_OK : hf_nostr_frame_append_since(out, item_message(item), since_s);
}

void hf_front_item_send(struct hf_front_item *item)
{
	struct hf_front_session *s = item->session;
	struct hf_front *front = s->front;
	struct hf_slice message = item_message(item);
	struct hf_buffer again = {0};
	if (!s->stream) {
		hf_front_job_over(front, &item->job, HF_DISPATCH_ABANDONED);
		return;
	}
	item->since_s = 0;
	if (item->type == HF_NOSTR_FRAME_REQ && item->has_eose && resume(item, &again) < 0) {
		hf_buffer_free(&again);
		hf_front_session_close(s, 1011, "Internal error");
		return;
	}
	if (again.length > 0)
		message = hf_buffer_slice(&again);
	if (item->asked_us == 0)
		item->asked_us = hf_front_now_us(front);
	item->is_sent = true;
	hf_front_session_post(s, message);
	hf_buffer_free(&again);
}

void hf_front_item_dispatch(struct hf_front_item *item)
{
	struct hf_front_session *s = item->session;
	struct hf_front *front = s->front;
	const struct hf_registration *record = hf_front_record(front, s->key);
	uint8_t peer[32];
	item->round = s->round;
	if (!record || s->state != HF_FRONT_OPENED || hf_front_auth_holds(s))
		return;
	uint32_t weight = item->type == HF_NOSTR_FRAME_EVENT ? 1 : HF_FRONT_REQUEST_WEIGHT;
	int status = hf_front_schedule(front, &item->job, record, s->peer, NULL, weight, s->number, peer);
	bool is_here = hf_workers_find(front->options.workers, s->peer) != NULL;
	if (status == HF_ENOTFOUND && is_here)
		status = HF_EDENIED; /* it is here, but is to get nothing more */
	if (status == HF_OK)
		hf_front_item_send(item);
	else if (status == HF_EDENIED && hf_front_has_worker(front, record, s->peer))
		hf_front_session_move(s, false);
	else if (status == HF_EDENIED)
		hf_front_item_refuse(item, HF_FRONT_WORKER_FAILED, "error: the relay's worker fails; try again later");
	else if (status == HF_EBUSY)
		hf_front_item_refuse(item, HF_FRONT_BUSY, "error: the relay's workers are busy; try again later");
	else if (status == HF_ENOMEM)
		hf_front_item_refuse(item, HF_FRONT_FULL, "error: out of memory");
	/* HF_ENOTFOUND: the worker has just gone, of which the stream will tell. */
}

static struct hf_front_item *next_unsent(struct hf_front_session *s, uint32_t round)
{
	for (struct hf_front_item *item = s->items; item; item = item->next)
		if (!item->is_sent && item->job.number == 0 && item->round < round)
			return item;
	return NULL;
}

void hf_front_items_dispatch(struct hf_front_session *s)
{
	struct hf_front_item *item;
	uint32_t round = ++s->round;
	while (s->state == HF_FRONT_OPENED && s->stream && (item = next_unsent(s, round)))
		hf_front_item_dispatch(item);
}

void hf_front_items_moved(struct hf_front_session *s)
{
	struct hf_front *front = s->front;
	uint64_t now_us = hf_front_now_us(front);
	struct hf_front_item *item;
	do {
		for (item = s->items; item && item->job.number == 0; item = item->next)
			continue;
		if (item)
			hf_front_job_over(front, &item->job, HF_DISPATCH_ABANDONED);
	} while (item);
	for (item = s->items; item; item = item->next) {
		item->is_sent = false;
		if (item->type != HF_NOSTR_FRAME_REQ)
			continue;
		if (item->left_us == 0)
			item->left_us = now_us;
		hf_front_seen_check(&item->seen);
	}
}

/* ---- From the client ---- */

/* HF_OK, or the refusal was said. */
static int check_rate(struct hf_front_session *s, enum hf_limit_act act, enum hf_nostr_frame_type type, struct hf_slice id)
{
	struct hf_front *front = s->front;
	uint64_t now_us = hf_front_now_us(front), retry_ms = 0;
	int status = hf_limits_take_address(front->limits, now_us, act, &s->client, &retry_ms);
	if (status == HF_OK && s->has_pubkey)
		status = hf_limits_take(front->limits, now_us, HF_LIMIT_KEY, act, hf_slice(s->pubkey, 32), &retry_ms);
	if (status == HF_OK && s->stream)
		status = hf_limits_take(front->limits, now_us, HF_LIMIT_PEER, act, hf_slice(s->peer, 32), &retry_ms);
	if (status == HF_OK)
		return status;
	char reason[80];
	snprintf(reason, sizeof reason, "rate-limited: too much at once; try again in %llu s", (unsigned long long)(retry_ms / 1000 + 1));
	hf_front_refuse(front, HF_FRONT_RATE);
	say_refusal(s, type, id, reason);
	return status;
}

static void give_out(struct hf_front_session *s, struct hf_front_item *item)
{
	if (!item)
		hf_front_session_close(s, 1011, "Internal error");
	else if (s->state == HF_FRONT_OPENED)
		hf_front_item_dispatch(item);
	else if (s->state == HF_FRONT_IDLE)
		hf_front_session_seek(s);
}

static void take_event(struct hf_front_session *s, const struct hf_nostr_frame *frame, struct hf_slice message)
{
	struct hf_slice id = hf_slice(frame->event_id, sizeof frame->event_id);
	if (!frame->has_event) {
		hf_front_refuse(s->front, HF_FRONT_MALFORMED);
		say_notice(s, "Invalid EVENT payload");
		return;
	}
	if (find_item(s, HF_NOSTR_FRAME_EVENT, id) || check_rate(s, HF_LIMIT_PUBLISH, HF_NOSTR_FRAME_EVENT, id) < 0)
		return;
	struct hf_front_item *item = add_item(s, HF_NOSTR_FRAME_EVENT, id, message);
	hf_front_session_read_or_pause(s);
	give_out(s, item);
}

static void take_request(struct hf_front_session *s, const struct hf_nostr_frame *frame, struct hf_slice message)
{
	struct hf_slice id = frame->subscription_id;
	if (id.length == 0) {
		hf_front_refuse(s->front, HF_FRONT_MALFORMED);
		say_notice(s, frame->type == HF_NOSTR_FRAME_REQ ? "REQ frame missing subscription id" : "COUNT frame missing subscription id");
		return;
	}
	if (check_rate(s, HF_LIMIT_SUBSCRIBE, frame->type, id) < 0)
		return;
	struct hf_front_item *old = find_item(s, frame->type, id);
	if (old)
		end_item(old, HF_DISPATCH_ABANDONED); /* the worker's is replaced by the new one */
	bool is_full = s->request_count >= s->front->options.subscriptions_max;
	if (is_full || s->request_bytes + id.length + message.length > HF_FRONT_REQUEST_BYTES_MAX) {
		hf_front_refuse(s->front, HF_FRONT_FULL);
		say_refusal(s, frame->type, id, "error: too many subscriptions");
		return;
	}
	give_out(s, add_item(s, frame->type, id, message));
}

static void take_close(struct hf_front_session *s, const struct hf_nostr_frame *frame, struct hf_slice message)
{
	struct hf_front_item *item = find_item(s, HF_NOSTR_FRAME_REQ, frame->subscription_id);
	bool was_sent = item && item->is_sent;
	if (item)
		end_item(item, HF_DISPATCH_ABANDONED);
	if (was_sent && s->stream)
		hf_front_session_post(s, message);
}

static void take_token(struct hf_front_session *s, const struct hf_nostr_frame *frame)
{
	uint8_t token[HF_FRONT_TOKEN_BYTES_MAX];
	size_t length = frame->text.length <= sizeof token ? hf_json_unescape(frame->text, token) : 0;
	if (length > 0) {
		hf_front_admit(s, hf_slice(token, length));
		return;
	}
	hf_front_refuse(s->front, HF_FRONT_TOKEN_INVALID);
	hf_front_session_close(s, 4403, "Invalid token");
}

/* Kinds of messages that are the relay's own affair. */
static void pass_on(struct hf_front_session *s, struct hf_slice message)
{
	if (s->stream)
		hf_front_session_post(s, message);
	else
		say_notice(s, "error: no worker of this relay can be reached");
}

static void take_frame(struct hf_front_session *s, const struct hf_nostr_frame *frame, struct hf_slice message)
{
	switch (frame->type) {
	case HF_NOSTR_FRAME_AUTH_TOKEN:
		take_token(s, frame);
		break;
	case HF_NOSTR_FRAME_EVENT:
		take_event(s, frame, message);
		break;
	case HF_NOSTR_FRAME_REQ:
	case HF_NOSTR_FRAME_COUNT:
		take_request(s, frame, message);
		break;
	case HF_NOSTR_FRAME_CLOSE:
		take_close(s, frame, message);
		break;
	case HF_NOSTR_FRAME_AUTH:
		hf_front_auth_take(s, frame, message);
		break;
	case HF_NOSTR_FRAME_OTHER:
		pass_on(s, message);
		break;
	default:
		hf_front_refuse(s->front, HF_FRONT_MALFORMED);
		say_notice(s, "Malformed Nostr frame");
	}
}

void hf_front_take_message(struct hf_front_session *s, struct hf_slice message)
{
	struct hf_nostr_frame frame;
	int status = message.length > s->front->options.message_bytes_max ? HF_ETOOBIG : hf_nostr_frame_read(message, &frame);
	if (s->state == HF_FRONT_AWAITS_TOKEN && (status < 0 || frame.type != HF_NOSTR_FRAME_AUTH_TOKEN)) {
		hf_front_refuse(s->front, HF_FRONT_TOKEN_REQUIRED);
		hf_front_session_close(s, 4403, "Token required");
		return;
	}
	if (status == HF_OK) {
		take_frame(s, &frame, message);
		return;
	}
	hf_front_refuse(s->front, HF_FRONT_MALFORMED);
	say_notice(s, status == HF_EINVAL ? "Malformed Nostr frame" : "Invalid message payload");
}

/* ---- From the worker ---- */

static void forward(struct hf_front_session *s, struct hf_slice message)
{
	hf_websocket_send_text(s->ws, message);
}

static void deliver(struct hf_front_session *s, const struct hf_nostr_frame *frame, struct hf_slice message)
{
	struct hf_front *front = s->front;
	struct hf_front_item *item = find_item(s, HF_NOSTR_FRAME_REQ, frame->subscription_id);
	if (!item || !frame->has_event)
		return;
	/* What was not asked for again was delivered, whatever the worker thinks of "since". */
	if (hf_front_seen_knows(&item->seen, frame->event_id) || (item->seen.is_checking && frame->created_at_s < item->since_s)) {
		hf_counter_add(&front->repeated, 1);
		return;
	}
	uint64_t since_s = item->has_eose ? back_to_s(item, SEEN_MARGIN_S) : 0;
	if (hf_front_seen_note(&item->seen, frame->event_id, frame->created_at_s, hf_front_now_us(front), since_s) < 0) {
		hf_front_session_close(s, 1011, "Internal error"); /* rather than that it comes twice */
		return;
	}
	hf_counter_add(&front->delivered, 1);
	forward(s, message);
}

/* Stored events are over: those long ago will not be asked for again. */
static void end_stored(struct hf_front_session *s, const struct hf_nostr_frame *frame, struct hf_slice message)
{
	struct hf_front *front = s->front;
	struct hf_front_item *item = find_item(s, HF_NOSTR_FRAME_REQ, frame->subscription_id);
	if (!item)
		return;
	bool was_told = item->has_eose;
	item->has_eose = true;
	item->left_us = 0;
	hf_front_seen_end_check(&item->seen);
	hf_front_seen_trim(&item->seen, hf_front_now_us(front), back_to_s(item, SEEN_MARGIN_S));
	if (!was_told)
		forward(s, message);
	hf_front_job_over(front, &item->job, HF_DISPATCH_OK);
}

static void end_request(struct hf_front_session *s, enum hf_nostr_frame_type type, const struct hf_nostr_frame *frame,
	struct hf_slice message)
{
	struct hf_front_item *item = find_item(s, type, frame->subscription_id);
	if (!item)
		return;
	forward(s, message);
	end_item(item, HF_DISPATCH_OK);
}

static void end_publish(struct hf_front_session *s, const struct hf_nostr_frame *frame, struct hf_slice message)
{
	struct hf_front_item *item = frame->has_event ? find_item(s, HF_NOSTR_FRAME_EVENT, hf_slice(frame->event_id, 32)) : NULL;
	if (!item) {
		hf_front_auth_answered(s, frame, message); /* or the second answer to an event that was sent again */
		return;
	}
	if (frame->is_accepted)
		hf_counter_add(&s->front->published, 1);
	forward(s, message);
	end_item(item, HF_DISPATCH_OK);
}

void hf_front_take_answer(struct hf_front_session *s, struct hf_slice message)
{
	struct hf_nostr_frame frame;
	if (hf_nostr_frame_read(message, &frame) < 0)
		return;
	switch (frame.type) {
	case HF_NOSTR_FRAME_EVENT:
		deliver(s, &frame, message);
		break;
	case HF_NOSTR_FRAME_EOSE:
		end_stored(s, &frame, message);
		break;
	case HF_NOSTR_FRAME_CLOSED:
		end_request(s, find_item(s, HF_NOSTR_FRAME_REQ, frame.subscription_id) ? HF_NOSTR_FRAME_REQ : HF_NOSTR_FRAME_COUNT, &frame,
			message);
		break;
	case HF_NOSTR_FRAME_COUNT:
		end_request(s, HF_NOSTR_FRAME_COUNT, &frame, message);
		break;
	case HF_NOSTR_FRAME_OK:
		end_publish(s, &frame, message);
		break;
	case HF_NOSTR_FRAME_AUTH:
		hf_front_auth_challenged(s, message);
		break;
	case HF_NOSTR_FRAME_NOTICE:
	case HF_NOSTR_FRAME_OTHER:
		forward(s, message);
		break;
	default:
		break; /* what only clients and the gateway itself say */
	}
}
