/* query: filters run in turn, each a cursor (or a list of ids), until its limit.
 *
 * All that a step needs to go on is in the struct: a document that was found but not yet taken by emit stays in
 * `doc`, whose payload is in `payload` (or in `held`), and nothing touches either before it is delivered. So a
 * step can end anywhere, and the next one can run in the other mode on another thread.
 *
 * An event that several filters match: queries remember the positions that were emitted; counts, which have no limit
 * and may be of millions, ask instead whether an earlier filter matches. With limits the second would be wrong, as
 * the earlier filter may have stopped before the event.
 *
 * Ids come in no useful order, so their documents are gathered, sorted and then emitted. Payloads are kept up to
 * HELD_BYTES_MAX; beyond, they are read again when their turn comes. */
#include "data/event/query.h"

#include <stdlib.h>

#include "data/event/arrival.h"
#include "data/event/plan.h"

#define HELD_BYTES_MAX (256u << 10)
#define NOT_HELD UINT32_MAX
#define EMITTED_CAPACITY_MIN 64
#define ARRIVAL_BY_INDEX_DOCS_MAX 1024 /* more candidates are not looked at for what arrived lately */

struct held {
	uint64_t rank, position;
	uint32_t id;             /* index in the filter's ids */
	uint32_t offset, length; /* of the payload in held_bytes; NOT_HELD */
};

struct hf_event_query {
	struct hf_store *store;
	struct hf_snapshot *snapshot;
	struct hf_event_query_options options;
	struct hf_filter_plan *plans;
	uint32_t at;              /* the filter that runs */
	uint64_t filter_emitted;
	uint64_t count;
	enum hf_read_mode mode;
	uint32_t visits_left;     /* of this step */

	struct hf_cursor *cursor;
	struct hf_buffer payload;
	struct hf_doc doc;
	bool pending;             /* doc waits to be delivered */

	uint64_t arrival_next;    /* position; 0: not looked for yet */

	struct held *held;        /* ids: what was found; sorted once next_id has reached the end */
	uint32_t next_id, held_count, held_at;
	bool held_sorted;
	struct hf_buffer held_bytes;

	uint64_t *emitted;        /* open addressing; positions plus one, 0 is free */
	size_t emitted_capacity, emitted_count;
};

/* ---- Positions already emitted ---- */

static size_t emitted_place(const uint64_t *slots, size_t capacity, uint64_t value)
{
	size_t i = (size_t)(value * 0x9e3779b97f4a7c15u >> 32) & (capacity - 1);
	while (slots[i] != 0 && slots[i] != value)
		i = (i + 1) & (capacity - 1);
	return i;
}

static bool was_emitted(const struct hf_event_query *q, uint64_t position)
{
	return q->emitted_count > 0 && q->emitted[emitted_place(q->emitted, q->emitted_capacity, position + 1)] != 0;
}

static int emitted_reserve(struct hf_event_query *q)
{
	if (q->emitted_count * 2 < q->emitted_capacity)
		return HF_OK;
	size_t capacity = q->emitted_capacity ? q->emitted_capacity * 2 : EMITTED_CAPACITY_MIN;
	uint64_t *slots = calloc(capacity, sizeof *slots);
	if (!slots)
		return HF_ENOMEM;
	for (size_t i = 0; i < q->emitted_capacity; i++)
		if (q->emitted[i] != 0)
			slots[emitted_place(slots, capacity, q->emitted[i])] = q->emitted[i];
	free(q->emitted);
	q->emitted = slots;
	q->emitted_capacity = capacity;
	return HF_OK;
}

static void emitted_add(struct hf_event_query *q, uint64_t position)
{
	q->emitted[emitted_place(q->emitted, q->emitted_capacity, position + 1)] = position + 1;
	q->emitted_count++;
}

/* ---- One document ---- */

static bool was_given(struct hf_event_query *q, const struct hf_doc *doc)
{
	if (!q->options.count_only)
		return was_emitted(q, doc->position);
	for (uint32_t i = 0; i < q->at; i++)
		if (hf_filter_matches_payload(&q->options.filters[i], doc->payload))
			return true;
	return false;
}

/* 0: of any time. */
static uint64_t arrived_since_ms(const struct hf_event_query *q)
{
	uint64_t within_s = q->options.filters[q->at].arrived_within_s, now_ms = q->options.arrival_now_ms;
	return within_s > 0 && within_s < now_ms / 1000 ? now_ms - within_s * 1000 : 0;
}

static bool is_wanted(struct hf_event_query *q, const struct hf_doc *doc)
{
	struct hf_event head;
	struct hf_event_meta meta;
	return hf_event_unpack_head(doc->payload, &head, &meta) == HF_OK && meta.received_ms >= arrived_since_ms(q) &&
		hf_filter_matches_payload(&q->options.filters[q->at], doc->payload) &&
		!((meta.flags & HF_EVENT_HAS_EXPIRATION) && hf_event_payload_expiration(doc->payload) <= q->options.now_s) &&
		!was_given(q, doc) &&
		(!q->options.readable || q->options.readable(q->options.context, &head, doc->payload));
}

static int deliver(struct hf_event_query *q)
{
	if (!q->options.count_only) {
		bool remember = q->options.filter_count > 1;
		int r = remember ? emitted_reserve(q) : HF_OK;
		if (r == HF_OK)
			r = q->options.emit(q->options.context, &q->doc);
		if (r < 0)
			return r;
		if (remember)
			emitted_add(q, q->doc.position);
	}
	q->pending = false;
	q->filter_emitted++;
	q->count++;
	return HF_OK;
}

static uint64_t limit_of(const struct hf_event_query *q, const struct hf_filter *filter)
{
	if (q->options.count_only)
		return UINT64_MAX;
	if (filter->arrived_within_s > 0)
		return filter->limit;
	return filter->limit < q->options.limit_max ? filter->limit : q->options.limit_max;
}

/* ---- By index ---- */

static int open_cursor(struct hf_event_query *q)
{
	const struct hf_filter *filter = &q->options.filters[q->at];
	const struct hf_filter_plan *plan = &q->plans[q->at];
	struct hf_query query;
	query.collection = q->options.collection;
	query.clause_count = plan->clause_count;
	if (plan->clause_count)
		memcpy(query.clauses, plan->clauses, plan->clause_count * sizeof *plan->clauses);
	query.rank_min = filter->since;
	query.rank_max = filter->until;
	return hf_cursor_open(&q->cursor, q->snapshot, &query, q->mode);
}

static int run_cursor(struct hf_event_query *q)
{
	int r = q->cursor ? HF_OK : open_cursor(q);
	if (r < 0)
		return r;
	uint64_t limit = limit_of(q, &q->options.filters[q->at]);
	while (q->pending || q->filter_emitted < limit) {
		if (!q->pending) {
			if (q->visits_left == 0)
				return HF_EBUSY;
			r = hf_cursor_next(q->cursor, &q->payload, &q->doc);
			if (r == HF_ENOTFOUND)
				return HF_OK;
			if (r < 0 && r != HF_ECORRUPT)
				return r;
			q->visits_left--;
			if (r == HF_ECORRUPT || !is_wanted(q, &q->doc))
				continue;
			q->pending = true;
		}
		r = deliver(q);
		if (r < 0)
			return r;
	}
	return HF_OK;
}

/* ---- By ids ---- */

static int hold(struct hf_event_query *q, uint32_t id)
{
	const struct hf_filter *filter = &q->options.filters[q->at];
	if (!q->held) {
		q->held = malloc(filter->id_count * sizeof *q->held);
		if (!q->held)
			return HF_ENOMEM;
	}
	struct held *new = &q->held[q->held_count];
	*new = (struct held){q->doc.rank, q->doc.position, id, NOT_HELD, (uint32_t)q->doc.payload.length};
	if (q->held_bytes.length + q->doc.payload.length <= HELD_BYTES_MAX) {
		new->offset = (uint32_t)q->held_bytes.length;
		int r = hf_buffer_append(&q->held_bytes, q->doc.payload.data, q->doc.payload.length);
		if (r < 0)
			return r;
	}
	q->held_count++;
	return HF_OK;
}

/* Newest first; the filter's ids are sorted, so their order settles ties. */
static int compare_held(const void *a, const void *b)
{
	const struct held *x = a, *y = b;
	if (x->rank != y->rank)
		return x->rank > y->rank ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* A single document needs no gathering, nor does a count. */
static int gather(struct hf_event_query *q)
{
	const struct hf_filter *filter = &q->options.filters[q->at];
	while (q->next_id < filter->id_count) {
		if (q->visits_left == 0)
			return HF_EBUSY;
		int r = hf_snapshot_get(q->snapshot, q->options.collection, filter->ids[q->next_id], q->mode, &q->payload, &q->doc);
		if (r < 0 && r != HF_ENOTFOUND && r != HF_ECORRUPT)
			return r;
		q->visits_left--;
		if (r == HF_OK && is_wanted(q, &q->doc)) {
			if (q->options.count_only)
				r = deliver(q);
			else if (filter->id_count == 1)
				q->pending = true;
			else
				r = hold(q, q->next_id);
			if (r == HF_ENOMEM)
				return r;
		}
		q->next_id++;
	}
	if (!q->held_sorted && q->held_count > 1)
		qsort(q->held, q->held_count, sizeof *q->held, compare_held);
	q->held_sorted = true;
	return HF_OK;
}

static int run_ids(struct hf_event_query *q)
{
	const struct hf_filter *filter = &q->options.filters[q->at];
	uint64_t limit = limit_of(q, filter);
	int r = q->held_sorted ? HF_OK : gather(q);
	while (r == HF_OK) {
		if (q->pending) {
			r = deliver(q);
			continue;
		}
		if (q->held_at == q->held_count || q->filter_emitted >= limit)
			return HF_OK;
		const struct held *next = &q->held[q->held_at];
		if (next->offset != NOT_HELD) {
			q->doc = (struct hf_doc){next->position, next->rank, hf_slice(q->held_bytes.data + next->offset, next->length)};
		} else if (q->visits_left == 0) {
			return HF_EBUSY;
		} else {
			r = hf_snapshot_get(q->snapshot, q->options.collection, filter->ids[next->id], q->mode, &q->payload, &q->doc);
			if (r < 0 && r != HF_ENOTFOUND && r != HF_ECORRUPT)
				return r;
			q->visits_left--;
		}
		q->held_at++;
		q->pending = r == HF_OK;
		r = HF_OK;
	}
	return r;
}

/* ---- By arrival ---- */

static int take_arrival(void *context, const struct hf_doc *doc)
{
	struct hf_event_query *q = context;
	if (q->visits_left == 0)
		return HF_EBUSY;
	q->visits_left--;
	q->arrival_next = doc->position;
	if (is_wanted(q, doc)) {
		q->doc = *doc;
		int r = deliver(q);
		if (r < 0)
			return r;
	}
	q->arrival_next = doc->position + 1;
	return q->filter_emitted < q->options.filters[q->at].limit ? HF_OK : HF_ENOTFOUND;
}

/* Reading in the order of arrival may wait for the disk. */
static int run_arrivals(struct hf_event_query *q)
{
	if (q->mode == HF_READ_RESIDENT)
		return HF_EWAIT;
	if (q->arrival_next == 0) {
		int r = hf_arrival_position(q->snapshot, q->options.collection, arrived_since_ms(q), &q->arrival_next);
		if (r < 0)
			return r;
	}
	int r = hf_snapshot_scan(q->snapshot, q->options.collection, q->arrival_next, take_arrival, q);
	return r == HF_ENOTFOUND ? HF_OK : r;
}

/* ---- The whole ---- */

static void end_filter(struct hf_event_query *q)
{
	hf_cursor_close(q->cursor);
	q->cursor = NULL;
	free(q->held);
	q->held = NULL;
	q->next_id = q->held_count = q->held_at = 0;
	q->held_sorted = false;
	hf_buffer_clear(&q->held_bytes);
	q->filter_emitted = 0;
	q->arrival_next = 0;
	q->at++;
}

int hf_event_query_step(struct hf_event_query *q, enum hf_read_mode mode, uint32_t visits_max)
{
	q->mode = mode;
	q->visits_left = visits_max;
	if (q->cursor)
		hf_cursor_set_mode(q->cursor, mode);
	while (q->at < q->options.filter_count) {
		enum hf_plan plan = q->plans[q->at].kind;
		int r = plan == HF_PLAN_NOTHING ? HF_OK : plan == HF_PLAN_IDS ? run_ids(q) : plan == HF_PLAN_ARRIVAL ? run_arrivals(q)
			: run_cursor(q);
		if (r < 0)
			return r;
		end_filter(q);
	}
	return HF_OK;
}

int hf_event_query_open(struct hf_event_query **out, struct hf_store *store, struct hf_snapshot *snapshot,
	const struct hf_event_query_options *options)
{
	struct hf_event_query *q = calloc(1, sizeof *q + options->filter_count * sizeof *q->plans);
	*out = NULL;
	if (!q) {
		hf_snapshot_release(snapshot);
		return HF_ENOMEM;
	}
	q->store = store;
	q->snapshot = snapshot;
	q->options = *options;
	q->plans = (struct hf_filter_plan *)(q + 1);
	for (uint32_t i = 0; i < options->filter_count; i++) {
		const struct hf_filter *filter = &options->filters[i];
		bool is_by_arrival = filter->arrived_within_s > 0; /* not newest first: a limit does not tell how many are looked at */
		int r = hf_filter_plan_make(&q->plans[i], store, snapshot, options->collection, filter, is_by_arrival ? UINT64_MAX : limit_of(q, filter));
		if (r < 0) {
			hf_event_query_close(q);
			return r;
		}
		if (is_by_arrival && q->plans[i].cost > ARRIVAL_BY_INDEX_DOCS_MAX)
			q->plans[i].kind = HF_PLAN_ARRIVAL;
	}
	*out = q;
	return HF_OK;
}

void hf_event_query_set_now(struct hf_event_query *q, uint64_t now_s)
{
	q->options.now_s = now_s;
}

uint64_t hf_event_query_count(const struct hf_event_query *q)
{
	return q->count;
}

enum hf_plan hf_event_query_plan(const struct hf_event_query *q)
{
	uint32_t count = q->options.filter_count;
	return count == 0 ? HF_PLAN_NOTHING : q->plans[q->at < count ? q->at : count - 1].kind;
}

uint64_t hf_event_query_cost(const struct hf_event_query *q)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < q->options.filter_count; i++)
		sum += q->plans[i].cost;
	return sum;
}

size_t hf_event_query_bytes(const struct hf_event_query *q)
{
	size_t held = q->held ? q->options.filters[q->at].id_count * sizeof *q->held : 0;
	return sizeof *q + q->options.filter_count * sizeof *q->plans + (q->cursor ? hf_cursor_bytes(q->cursor) : 0) + held +
		q->payload.capacity + q->held_bytes.capacity + q->emitted_capacity * sizeof *q->emitted;
}

void hf_event_query_close(struct hf_event_query *q)
{
	if (!q)
		return;
	hf_cursor_close(q->cursor);
	for (uint32_t i = 0; i < q->options.filter_count; i++)
		hf_filter_plan_free(&q->plans[i]);
	hf_snapshot_release(q->snapshot);
	free(q->held);
	free(q->emitted);
	hf_buffer_free(&q->held_bytes);
	hf_buffer_free(&q->payload);
	free(q);
}
