/* A question waits on the loop until it is answered, then has one turn on the worker, where the answer is checked and what the client gets
 * is put together. It is the request's query that says which snapshot that is about, and which is run if nothing comes of it. */
#include "service/relay/delegate.h"

#include <stdlib.h>

#include "base/array.h"
#include "service/relay/internal.h"

struct candidate {
	uint64_t created_at, filters, position; /* filters: a bit for each that matches */
	size_t at;                              /* of its message in json */
	uint32_t length;
	uint8_t id[32];
	bool is_given;
};

struct hf_relay_delegated {
	struct hf_relay_delegate delegate;
	void *handle;                  /* NULL: over */
	struct hf_buffer events;       /* le32 length, JSON */
	uint32_t event_count;
	bool is_answered, hides_private;
	uint64_t position, limit_max, now_s; /* position: the copy has what is below */
	enum hf_relay_verdict verdict;
	/* The worker's. */
	struct candidate *candidates;
	size_t candidate_count, candidate_capacity;
	struct hf_snapshot *later;     /* NULL: nothing was looked for in it yet */
	struct hf_buffer json, text, payload;
	uint32_t tail_count;
};

#define UNUSABLE 1 /* not an error: it ends the check */

/* ---- Asking ---- */

void hf_relay_set_delegate(struct hf_relay *relay, const struct hf_relay_delegate *delegate)
{
	relay->delegate = delegate ? *delegate : (struct hf_relay_delegate){0};
}

static bool may_match_private(const struct hf_filter *filter)
{
	for (uint32_t i = 0; i < filter->kind_count; i++)
		if (hf_relay_kind_is_private(filter->kinds[i]))
			return true;
	return !filter->has_kinds;
}

/* Copies do not give private kinds: they are asked only where the client would not get those either. */
static bool is_for_copies(const struct hf_relay_question *q)
{
	if (q->is_count || q->filter_count > HF_RELAY_DELEGATE_FILTERS_MAX)
		return false;
	for (uint32_t i = 0; i < q->filter_count; i++)
		if (may_match_private(&q->filters[i]) && (q->auth || !q->connection->relay->policy.private_reads))
			return false;
	return true;
}

bool hf_relay_delegate_try(struct hf_relay_question *q, struct hf_slice message)
{
	struct hf_relay *relay = q->connection->relay;
	if (!relay->delegate.ask || !relay->bee || relay->busy_count < relay->delegate.queue_min || !is_for_copies(q))
		return false;
	struct hf_relay_delegated *d = calloc(1, sizeof *d);
	if (!d)
		return false;
	d->delegate = relay->delegate;
	d->hides_private = relay->policy.private_reads;
	q->delegated = d;
	if (d->delegate.ask(d->delegate.context, q, message, &d->handle) == HF_OK)
		return true;
	d->handle = NULL;
	hf_relay_delegate_free(q);
	return false;
}

void hf_relay_delegate_cancel(struct hf_relay_question *q)
{
	struct hf_relay_delegated *d = q->delegated;
	void *handle = d ? d->handle : NULL;
	if (!handle)
		return;
	d->handle = NULL;
	d->delegate.cancel(d->delegate.context, handle);
}

void hf_relay_delegate_free(struct hf_relay_question *q)
{
	struct hf_relay_delegated *d = q->delegated;
	if (!d)
		return;
	hf_relay_delegate_cancel(q);
	hf_buffer_free(&d->events);
	hf_buffer_free(&d->json);
	hf_buffer_free(&d->text);
	hf_buffer_free(&d->payload);
	if (d->later)
		hf_snapshot_release(d->later);
	free(d->candidates);
	free(d);
	q->delegated = NULL;
}

size_t hf_relay_delegate_bytes(const struct hf_relay_question *q)
{
	const struct hf_relay_delegated *d = q->delegated;
	return d ? sizeof *d + d->events.capacity + d->json.capacity + d->candidate_capacity * sizeof *d->candidates : 0;
}

/* ---- The answer ---- */

int hf_relay_delegate_event(struct hf_relay_question *q, struct hf_slice event)
{
	struct hf_relay_delegated *d = q->delegated;
	uint8_t length[4];
	if (d->event_count >= HF_RELAY_DELEGATE_EVENTS_MAX || event.length > HF_RELAY_DELEGATE_BYTES_MAX - d->events.length)
		return HF_ETOOBIG;
	int r = hf_buffer_reserve(&d->events, sizeof length + event.length);
	if (r < 0)
		return r;
	hf_store_le32(length, (uint32_t)event.length);
	hf_buffer_append(&d->events, length, sizeof length);
	hf_buffer_append(&d->events, event.data, event.length);
	d->event_count++;
	hf_relay_query_count_turn(q);
	return HF_OK;
}

void hf_relay_delegate_failed(struct hf_relay_question *q)
{
	q->delegated->handle = NULL;
	hf_counter_add(&q->connection->relay->metrics.delegated[HF_DELEGATED_FAILED], 1);
	hf_relay_delegate_free(q);
	hf_relay_query_take_turn(q);
}

static void judge(struct hf_relay_question *q, enum hf_relay_verdict verdict)
{
	static const enum hf_relay_delegated_end ends[] = {[HF_RELAY_ANSWER_TRUE] = HF_DELEGATED_TRUE,
		[HF_RELAY_ANSWER_UNUSABLE] = HF_DELEGATED_UNUSABLE, [HF_RELAY_ANSWER_FALSE] = HF_DELEGATED_FALSE};
	struct hf_relay_delegated *d = q->delegated;
	void *handle = d->handle;
	struct hf_relay_delegate delegate = d->delegate;
	hf_counter_add(&q->connection->relay->metrics.delegated[ends[verdict]], 1);
	d->handle = NULL;
	hf_relay_delegate_free(q);
	if (handle)
		delegate.judged(delegate.context, handle, verdict);
}

static bool gives_enough(const struct hf_relay_question *q, uint64_t limit_max)
{
	uint64_t ours = q->connection->relay->policy.limit_max;
	for (uint32_t i = 0; i < q->filter_count; i++) {
		uint64_t limit = q->filters[i].limit < ours ? q->filters[i].limit : ours;
		if (limit > limit_max)
			return false;
	}
	return true;
}

void hf_relay_delegate_answered(struct hf_relay_question *q, uint64_t version, uint64_t fork, uint64_t limit_max)
{
	struct hf_relay_delegated *d = q->delegated;
	struct hf_relay *relay = q->connection->relay;
	bool is_usable = relay->bee && hf_relay_bee_position_at(relay->bee, version, fork, &d->position) == HF_OK && gives_enough(q, limit_max);
	d->is_answered = is_usable;
	d->limit_max = relay->policy.limit_max;
	if (!is_usable)
		judge(q, HF_RELAY_ANSWER_UNUSABLE);
	hf_relay_query_take_turn(q);
}

/* ---- The check, on the worker ---- */

static uint64_t matching(const struct hf_relay_question *q, const struct hf_event *event, struct hf_slice payload)
{
	uint64_t filters = 0;
	for (uint32_t i = 0; i < q->filter_count; i++)
		if (event ? hf_filter_matches(&q->filters[i], event) : hf_filter_matches_payload(&q->filters[i], payload))
			filters |= UINT64_C(1) << i;
	return filters;
}

static bool is_expired(const struct hf_relay_delegated *d, struct hf_slice payload)
{
	return hf_event_payload_expiration(payload) <= d->now_s;
}

static int add_candidate(struct hf_relay_question *q, const struct hf_event *head, struct hf_slice payload, uint64_t position,
	uint64_t filters)
{
	struct hf_relay_delegated *d = q->delegated;
	size_t at = d->json.length;
	int r = hf_array_reserve(&d->candidates, &d->candidate_capacity, d->candidate_count + 1, sizeof *d->candidates);
	if (r == HF_OK)
		r = hf_relay_query_append_event(q, payload, &d->json);
	if (r < 0)
		return r;
	struct candidate *c = &d->candidates[d->candidate_count++];
	*c = (struct candidate){.created_at = head->created_at, .filters = filters, .position = position, .at = at,
		.length = (uint32_t)(d->json.length - at)};
	memcpy(c->id, head->id, sizeof c->id);
	return HF_OK;
}

/* An event that the snapshot does not have. The copy may be newer: then the event comes live, behind EOSE. Else it was deleted since, or is
 * made up. */
static int check_unknown(struct hf_relay_question *q, const struct hf_event *event)
{
	struct hf_relay_delegated *d = q->delegated;
	struct hf_relay *relay = q->connection->relay;
	struct hf_schnorr *schnorr;
	struct hf_doc doc;
	if (!d->later && !(d->later = hf_store_snapshot(relay->store)))
		return HF_ENOMEM;
	int r = hf_snapshot_get(d->later, relay->collection, event->id, HF_READ_BLOCKING, &d->payload, &doc);
	if (r == HF_OK && doc.position >= hf_snapshot_position(q->snapshot))
		return HF_OK;
	r = hf_schnorr_new(&schnorr, relay->env, 0);
	if (r < 0)
		return r;
	r = hf_schnorr_verify(schnorr, event->sig, event->id, event->pubkey);
	hf_schnorr_free(schnorr);
	return r == HF_OK ? UNUSABLE : HF_EBADSIG;
}

static int check_event(struct hf_relay_question *q, struct hf_snapshot *snapshot, struct hf_slice text)
{
	struct hf_relay_delegated *d = q->delegated;
	struct hf_event event, head;
	struct hf_json json;
	struct hf_doc doc;
	const char *reason;
	hf_buffer_clear(&d->text);
	hf_json_init(&json, text, HF_JSON_DEPTH_MAX);
	int r = hf_event_parse(&json, &d->text, HF_EVENT_BYTES_MAX, &event, &reason);
	if (r < 0)
		return r == HF_ENOMEM ? r : HF_EBADSIG;
	uint64_t filters = matching(q, &event, hf_slice(NULL, 0));
	if (filters == 0)
		return HF_EBADSIG;
	r = hf_snapshot_get(snapshot, q->connection->relay->collection, event.id, HF_READ_BLOCKING, &d->payload, &doc);
	if (r == HF_ENOTFOUND)
		return check_unknown(q, &event);
	if (r < 0 || (r = hf_event_unpack_head(doc.payload, &head, NULL)) < 0)
		return r;
	if (memcmp(head.sig, event.sig, sizeof head.sig) != 0)
		return HF_EBADSIG;
	if (doc.position >= d->position || is_expired(d, doc.payload))
		return UNUSABLE; /* it was put again meanwhile, or is over */
	return add_candidate(q, &head, doc.payload, doc.position, filters);
}

static int check_events(struct hf_relay_question *q, struct hf_snapshot *snapshot)
{
	struct hf_relay_delegated *d = q->delegated;
	int r = HF_OK;
	for (size_t at = 0; r == HF_OK && at < d->events.length && !q->canceled;) {
		uint32_t length = hf_load_le32(d->events.data + at);
		r = check_event(q, snapshot, hf_slice(d->events.data + at + 4, length));
		at += 4 + length;
	}
	return r;
}

/* What came after the copy's version. */
static int take_later(void *context, const struct hf_doc *doc)
{
	struct hf_relay_question *q = context;
	struct hf_relay_delegated *d = q->delegated;
	struct hf_event head;
	if (++d->tail_count > HF_RELAY_DELEGATE_TAIL_MAX || d->json.length > 2 * HF_RELAY_DELEGATE_BYTES_MAX)
		return UNUSABLE;
	if (hf_event_unpack_head(doc->payload, &head, NULL) < 0)
		return HF_OK; /* what cannot be read is left out, as by the query */
	bool is_hidden = d->hides_private && hf_relay_kind_is_private(head.kind);
	uint64_t filters = is_hidden || is_expired(d, doc->payload) ? 0 : matching(q, NULL, doc->payload);
	return filters ? add_candidate(q, &head, doc->payload, doc->position, filters) : HF_OK;
}

static int compare(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->created_at != y->created_at)
		return x->created_at > y->created_at ? -1 : 1;
	return memcmp(x->id, y->id, sizeof x->id);
}

static int append_message(struct hf_relay_question *q, const struct candidate *c)
{
	uint8_t length[4];
	hf_store_le32(length, c->length);
	int r = hf_buffer_append(&q->out, length, sizeof length);
	return r == HF_OK ? hf_buffer_append(&q->out, q->delegated->json.data + c->at, c->length) : r;
}

/* As the query gives them: filter by filter, each newest first up to its limit, none twice. */
static int put_together(struct hf_relay_question *q)
{
	struct hf_relay_delegated *d = q->delegated;
	int r = HF_OK;
	if (d->candidate_count > 0)
		qsort(d->candidates, d->candidate_count, sizeof *d->candidates, compare);
	for (size_t i = 1; i < d->candidate_count; i++) /* an answer may say something twice */
		if (memcmp(d->candidates[i].id, d->candidates[i - 1].id, 32) == 0)
			d->candidates[i].is_given = true;
	for (uint32_t f = 0; f < q->filter_count; f++) {
		uint64_t left = q->filters[f].limit < d->limit_max ? q->filters[f].limit : d->limit_max;
		for (size_t i = 0; r == HF_OK && left > 0 && i < d->candidate_count; i++) {
			struct candidate *c = &d->candidates[i];
			if (c->is_given || !(c->filters >> f & 1))
				continue;
			r = append_message(q, c);
			c->is_given = true;
			left--;
		}
	}
	return r;
}

bool hf_relay_delegate_check(struct hf_relay_question *q)
{
	struct hf_relay_delegated *d = q->delegated;
	struct hf_relay *relay = q->connection->relay;
	if (!d || !d->is_answered)
		return false;
	d->now_s = hf_env_wall_s(relay->env);
	int r = check_events(q, q->snapshot);
	if (r == HF_OK)
		r = hf_snapshot_scan(q->snapshot, relay->collection, d->position, take_later, q);
	if (r == HF_OK)
		r = put_together(q);
	d->verdict = r == HF_OK ? HF_RELAY_ANSWER_TRUE : r == HF_EBADSIG ? HF_RELAY_ANSWER_FALSE : HF_RELAY_ANSWER_UNUSABLE;
	q->status = HF_OK;
	return true;
}

void hf_relay_delegate_settle(struct hf_relay_question *q)
{
	if (!q->delegated)
		return;
	enum hf_relay_verdict verdict = q->delegated->verdict;
	if (verdict != HF_RELAY_ANSWER_TRUE) {
		hf_buffer_clear(&q->out);
		q->status = HF_EBUSY; /* nothing was looked at yet */
	}
	judge(q, verdict);
	hf_relay_query_count_turn(q);
}
