/* A filter has SOURCES, each a range of the bee read backwards. A source gathers the rows of one second, whose ids come highest first
 * that way, and gives them from the back; so all sources give rows in the order of answers, and the next row is the first of all heads.
 *
 * Ids have no range. Their events are looked up, and those that match are put in order, as the rows of one source that has no more to
 * read, and then looked up again, which is where they are given.
 *
 * Whatever gives HF_EWAIT is done again: a source goes on with the rows that it has gathered; a row stays in hand until its event was
 * given or left out. */
#include "data/relay_bee_query.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/map.h"
#include "codec/hex.h"

#define TIME_DIGITS 10
#define TIME_MAX UINT64_C(9999999999)
#define ROW_TAIL_BYTES (TIME_DIGITS + 4 + 64) /* "<ts10>:id:<id>" */
#define GIVEN_BLOCK_COUNT 256

struct row {
	uint64_t time_s, seq; /* seq: of the row's block; 0: none */
	uint8_t id[32];
};

struct source {
	struct hf_bee_iterator *iterator; /* NULL: not begun, or nothing is left */
	uint32_t number;          /* of its value in the filter */
	size_t head_bytes;        /* of its keys, before the time */
	struct row *rows;         /* of the second in hand, the next is the last */
	size_t row_count, row_capacity;
	struct row ahead;         /* the first row behind them */
	bool has_ahead, is_ready, is_over;
};

/* What a filter's rows are walked by. */
enum way { BY_IDS, BY_TAG, BY_AUTHOR, BY_KIND, BY_TIME };

/* Ids that were given, which the map points to. */
struct given {
	struct given *next;
	size_t count;
	uint8_t ids[GIVEN_BLOCK_COUNT][32];
};

struct hf_relay_bee_query {
	struct hf_relay_bee_query_options options;
	uint32_t filter_at;
	enum way way;
	const struct hf_filter_tag *tag;
	struct source *sources;
	size_t source_count;
	uint32_t id_at;          /* of those that are looked up */
	uint64_t left;           /* of the filter's limit */
	bool is_started;         /* the filter at filter_at */
	bool has_row, has_event; /* in hand */
	struct row row;
	struct hf_event event;
	struct hf_buffer text, key;
	struct given *given;
	struct hf_map given_ids;
	uint64_t count;
	uint32_t visits_left;
};

/* ---- Events ---- */

/* Reads an event from an entry's value; *text is its memory. HF_EMALFORMED: there is none. */
static int parse_event(const struct hf_bee_entry *entry, struct hf_buffer *text, struct hf_event *event)
{
	struct hf_json json;
	const char *reason;
	hf_buffer_clear(text);
	if (entry->key.length != 32 || !entry->has_value)
		return HF_EMALFORMED;
	hf_json_init(&json, entry->value, HF_JSON_DEPTH_MAX);
	int r = hf_event_parse(&json, text, HF_EVENT_BYTES_MAX, event, &reason);
	if (r == HF_ENOMEM)
		return r;
	return r == HF_OK && memcmp(event->id, entry->key.data, 32) == 0 ? HF_OK : HF_EMALFORMED;
}

/* How far before a row of that way its event's block stands, in a bee that is written as relay_bee.h has it; 0: not known. */
static uint64_t distance(enum way way)
{
	return way == BY_TIME ? 1 : way == BY_KIND ? 2 : way == BY_AUTHOR ? 3 : 0;
}

/* The entry of the row's event: from its own block where that is known, which spares the way down the tree. */
static int find_event(struct hf_relay_bee_query *q, struct hf_bee_entry *entry)
{
	uint64_t before = distance(q->way);
	if (before > 0 && q->row.seq > before) {
		int r = hf_bee_get_seq(q->options.view, q->row.seq - before, entry);
		if (r < 0 && r != HF_ENOTFOUND)
			return r;
		if (r == HF_OK && !entry->is_deletion && hf_slice_equal(entry->key, hf_slice(q->row.id, 32)))
			return HF_OK;
	}
	return hf_bee_get(q->options.view, hf_slice(q->row.id, 32), entry);
}

static bool is_wanted(const struct hf_relay_bee_query *q, const struct hf_event *event)
{
	const struct hf_relay_bee_query_options *o = &q->options;
	return hf_filter_matches(&o->filters[q->filter_at], event) && hf_event_expiration(event) > o->now_s &&
		(!o->readable || o->readable(o->context, event));
}

/* ---- What was given ---- */

static bool was_given(const struct hf_relay_bee_query *q, const uint8_t id[static 32])
{
	return hf_map_get(&q->given_ids, hf_slice(id, 32)) != NULL;
}

static int note_given(struct hf_relay_bee_query *q, const uint8_t id[static 32])
{
	if (!q->given || q->given->count == GIVEN_BLOCK_COUNT) {
		struct given *more = malloc(sizeof *more);
		if (!more)
			return HF_ENOMEM;
		more->next = q->given;
		more->count = 0;
		q->given = more;
	}
	uint8_t *place = q->given->ids[q->given->count];
	memcpy(place, id, 32);
	int r = hf_map_put(&q->given_ids, hf_slice(place, 32), place, NULL);
	q->given->count += r == HF_OK;
	return r;
}

/* ---- Sources ---- */

static int add_row(struct source *s, const struct row *row)
{
	if (s->row_count == s->row_capacity) {
		size_t capacity = s->row_capacity ? 2 * s->row_capacity : 4;
		struct row *more = realloc(s->rows, capacity * sizeof *more);
		if (!more)
			return HF_ENOMEM;
		s->rows = more;
		s->row_capacity = capacity;
	}
	s->rows[s->row_count++] = *row;
	return HF_OK;
}

/* False: it is no row of this source, as "x:created_at:…" as a tag's value is none of "x". */
static bool parse_row(const struct source *s, const struct hf_bee_entry *entry, struct row *row)
{
	if (entry->key.length != s->head_bytes + ROW_TAIL_BYTES)
		return false;
	const uint8_t *tail = entry->key.data + s->head_bytes;
	*row = (struct row){.seq = entry->seq};
	for (size_t i = 0; i < TIME_DIGITS; i++) {
		if (tail[i] < '0' || tail[i] > '9')
			return false;
		row->time_s = row->time_s * 10 + (uint64_t)(tail[i] - '0');
	}
	return memcmp(tail + TIME_DIGITS, ":id:", 4) == 0 && hf_hex_decode(row->id, (const char *)tail + TIME_DIGITS + 4, 32);
}

static int append_head(struct hf_relay_bee_query *q, const struct hf_filter *filter, uint32_t number)
{
	char author[64 + 1] = {0};
	struct hf_slice value;
	int r;
	switch (q->way) {
	case BY_TAG:
		value = q->tag->values[number];
		r = hf_buffer_printf(&q->key, "tagKey:%c:tagValue:", q->tag->letter);
		if (r == HF_OK)
			r = hf_buffer_reserve(&q->key, value.length);
		if (r == HF_OK && value.length > 0)
			q->key.length += hf_json_unescape(value, q->key.data + q->key.length);
		return r == HF_OK ? hf_buffer_append_text(&q->key, ":") : r;
	case BY_AUTHOR:
		hf_hex_encode(author, filter->authors[number], 32);
		return hf_buffer_printf(&q->key, "pubkey:%s:", author);
	case BY_KIND:
		return hf_buffer_printf(&q->key, "kind:%05" PRIu32 ":", filter->kinds[number]);
	default:
		return HF_OK;
	}
}

/* The range is [since, until], with every id of both seconds: ';' is what comes behind ':'. */
static int begin_source(struct hf_relay_bee_query *q, struct source *s)
{
	const struct hf_filter *filter = &q->options.filters[q->filter_at];
	uint64_t until = filter->until < TIME_MAX ? filter->until : TIME_MAX;
	if (filter->since > until) {
		s->is_over = true;
		return HF_OK;
	}
	hf_buffer_clear(&q->key);
	int r = append_head(q, filter, s->number);
	if (r == HF_OK)
		r = hf_buffer_append_text(&q->key, "created_at:");
	size_t head = s->head_bytes = q->key.length;
	if (r == HF_OK)
		r = hf_buffer_printf(&q->key, "%010" PRIu64 ":id:", filter->since);
	size_t low_bytes = q->key.length;
	struct hf_buffer high = {0};
	if (r == HF_OK)
		r = hf_buffer_append(&high, q->key.data, head);
	if (r == HF_OK)
		r = hf_buffer_printf(&high, "%010" PRIu64 ":id;", until);
	if (r == HF_OK) {
		struct hf_bee_range range = {.has_gte = true, .gte = hf_slice(q->key.data, low_bytes), .has_lt = true,
			.lt = hf_buffer_slice(&high), .reverse = true};
		r = hf_bee_iterate(q->options.view, &range, &s->iterator);
	}
	hf_buffer_free(&high);
	return r;
}

/* Gathers the rows of the source's next second. */
static int fill(struct hf_relay_bee_query *q, struct source *s)
{
	struct hf_bee_entry entry;
	struct row row;
	int r = HF_OK;
	if (!s->iterator && !s->is_over)
		r = begin_source(q, s);
	if (r == HF_OK && s->has_ahead) {
		r = add_row(s, &s->ahead);
		s->has_ahead = r < 0;
	}
	while (r == HF_OK && !s->is_over && !s->has_ahead && s->row_count < HF_RELAY_BEE_SECOND_COUNT_MAX) {
		r = q->visits_left > 0 ? hf_bee_iterator_next(s->iterator, &entry) : HF_EBUSY;
		if (r == HF_ENOTFOUND) {
			s->is_over = true;
			r = HF_OK;
		} else if (r == HF_OK) {
			q->visits_left--;
			if (!parse_row(s, &entry, &row))
				continue;
			s->has_ahead = s->row_count > 0 && row.time_s != s->rows[0].time_s;
			if (s->has_ahead)
				s->ahead = row;
			else
				r = add_row(s, &row);
		}
	}
	s->is_ready = r == HF_OK;
	return r;
}

static void free_sources(struct hf_relay_bee_query *q)
{
	for (size_t i = 0; i < q->source_count; i++) {
		hf_bee_iterator_free(q->sources[i].iterator);
		free(q->sources[i].rows);
	}
	free(q->sources);
	q->sources = NULL;
	q->source_count = 0;
}

/* ---- The way ---- */

static const struct hf_filter_tag *shortest_tag(const struct hf_filter *filter)
{
	const struct hf_filter_tag *best = NULL;
	for (uint32_t i = 0; i < filter->tag_count; i++)
		if (!best || filter->tags[i].value_count < best->value_count)
			best = &filter->tags[i];
	return best && best->value_count <= HF_RELAY_BEE_SOURCES_MAX ? best : NULL;
}

static size_t choose_way(struct hf_relay_bee_query *q, const struct hf_filter *filter)
{
	q->tag = shortest_tag(filter);
	q->way = filter->has_ids ? BY_IDS : q->tag ? BY_TAG
		: filter->has_authors && filter->author_count <= HF_RELAY_BEE_SOURCES_MAX ? BY_AUTHOR
		: filter->has_kinds && filter->kind_count <= HF_RELAY_BEE_SOURCES_MAX ? BY_KIND : BY_TIME;
	switch (q->way) {
	case BY_TAG: return q->tag->value_count;
	case BY_AUTHOR: return filter->author_count;
	case BY_KIND: return filter->kind_count;
	default: return 1;
	}
}

static int begin_filter(struct hf_relay_bee_query *q)
{
	const struct hf_filter *filter = &q->options.filters[q->filter_at];
	q->left = filter->limit < q->options.limit_max ? filter->limit : q->options.limit_max;
	if (filter->matches_nothing)
		q->left = 0;
	size_t count = choose_way(q, filter);
	q->sources = calloc(count + 1, sizeof *q->sources);
	if (!q->sources)
		return HF_ENOMEM;
	q->source_count = count;
	for (size_t i = 0; i < count; i++)
		q->sources[i].number = (uint32_t)i;
	if (q->way == BY_IDS)
		q->sources[0].is_over = true;
	q->id_at = 0;
	q->is_started = true;
	return HF_OK;
}

static void end_filter(struct hf_relay_bee_query *q)
{
	free_sources(q);
	q->filter_at++;
	q->is_started = false;
}

/* ---- Ids ---- */

static int oldest_first(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	if (x->time_s != y->time_s)
		return x->time_s < y->time_s ? -1 : 1;
	return memcmp(y->id, x->id, sizeof x->id);
}

static int look_up_ids(struct hf_relay_bee_query *q)
{
	const struct hf_filter *filter = &q->options.filters[q->filter_at];
	struct hf_bee_entry entry;
	struct source *s = &q->sources[0];
	for (; q->id_at < filter->id_count; q->id_at++) {
		if (q->visits_left == 0)
			return HF_EBUSY;
		int r = hf_bee_get(q->options.view, hf_slice(filter->ids[q->id_at], 32), &entry);
		if (r < 0 && r != HF_ENOTFOUND)
			return r;
		q->visits_left--;
		if (r == HF_OK)
			r = parse_event(&entry, &q->text, &q->event);
		if (r == HF_ENOMEM)
			return r;
		if (r < 0 || !is_wanted(q, &q->event))
			continue;
		struct row row = {.time_s = q->event.created_at};
		memcpy(row.id, q->event.id, sizeof row.id);
		r = add_row(s, &row);
		if (r < 0)
			return r;
	}
	if (s->row_count > 1)
		qsort(s->rows, s->row_count, sizeof *s->rows, oldest_first);
	s->is_ready = true;
	return HF_OK;
}

/* ---- Rows, events ---- */

static int make_ready(struct hf_relay_bee_query *q)
{
	for (size_t i = 0; i < q->source_count; i++) {
		struct source *s = &q->sources[i];
		if (s->is_ready && (s->row_count > 0 || (s->is_over && !s->has_ahead)))
			continue;
		int r = q->way == BY_IDS ? look_up_ids(q) : fill(q, s);
		if (r < 0)
			return r;
	}
	return HF_OK;
}

/* Takes the first of the sources' heads. HF_ENOTFOUND: there is none left. */
static int take_row(struct hf_relay_bee_query *q)
{
	struct source *best = NULL;
	int r = make_ready(q);
	if (r < 0)
		return r;
	for (size_t i = 0; i < q->source_count; i++) {
		struct source *s = &q->sources[i];
		if (s->row_count > 0 && (!best || oldest_first(&s->rows[s->row_count - 1], &best->rows[best->row_count - 1]) > 0))
			best = s;
	}
	if (!best)
		return HF_ENOTFOUND;
	q->row = best->rows[--best->row_count];
	q->has_row = true;
	return HF_OK;
}

/* Makes an event of the row in hand; without one, the row was in vain. */
static int load_event(struct hf_relay_bee_query *q)
{
	struct hf_bee_entry entry;
	if (was_given(q, q->row.id)) {
		q->has_row = false;
		return HF_OK;
	}
	if (q->visits_left == 0)
		return HF_EBUSY;
	int r = find_event(q, &entry);
	if (r < 0 && r != HF_ENOTFOUND)
		return r;
	q->visits_left--;
	if (r == HF_OK)
		r = parse_event(&entry, &q->text, &q->event);
	if (r == HF_ENOMEM)
		return r;
	q->has_row = false;
	q->has_event = r == HF_OK && is_wanted(q, &q->event);
	return HF_OK;
}

static int give_event(struct hf_relay_bee_query *q)
{
	int r = note_given(q, q->event.id);
	if (r == HF_OK && (r = q->options.emit(q->options.context, &q->event)) < 0) {
		hf_map_remove(&q->given_ids, hf_slice(q->event.id, 32));
		q->given->count--;
	}
	if (r < 0)
		return r;
	q->has_event = false;
	q->count++;
	q->left--;
	return HF_OK;
}

static int one_step(struct hf_relay_bee_query *q)
{
	if (!q->is_started)
		return begin_filter(q);
	if (q->has_event)
		return give_event(q);
	if (q->has_row)
		return load_event(q);
	int r = q->left > 0 ? take_row(q) : HF_ENOTFOUND;
	if (r == HF_ENOTFOUND)
		end_filter(q);
	return r == HF_ENOTFOUND ? HF_OK : r;
}

int hf_relay_bee_query_step(struct hf_relay_bee_query *q, uint32_t visits_max)
{
	int r = HF_OK;
	q->visits_left = visits_max;
	while (r == HF_OK && q->filter_at < q->options.filter_count)
		r = one_step(q);
	return r;
}

int hf_relay_bee_query_open(struct hf_relay_bee_query **out, const struct hf_relay_bee_query_options *options)
{
	struct hf_relay_bee_query *q = *out = calloc(1, sizeof *q);
	if (!q)
		return HF_ENOMEM;
	q->options = *options;
	hf_map_init(&q->given_ids, (uint64_t)(uintptr_t)q); /* ids are hashes already */
	return HF_OK;
}

uint64_t hf_relay_bee_query_count(const struct hf_relay_bee_query *q)
{
	return q->count;
}

size_t hf_relay_bee_query_bytes(const struct hf_relay_bee_query *q)
{
	size_t bytes = sizeof *q + q->text.capacity + q->key.capacity + q->given_ids.capacity * sizeof *q->given_ids.slots;
	for (const struct given *given = q->given; given; given = given->next)
		bytes += sizeof *given;
	for (size_t i = 0; i < q->source_count; i++)
		bytes += sizeof *q->sources + q->sources[i].row_capacity * sizeof(struct row);
	return bytes;
}

void hf_relay_bee_query_close(struct hf_relay_bee_query *q)
{
	if (!q)
		return;
	free_sources(q);
	while (q->given) {
		struct given *next = q->given->next;
		free(q->given);
		q->given = next;
	}
	hf_map_free(&q->given_ids);
	hf_buffer_free(&q->text);
	hf_buffer_free(&q->key);
	free(q);
}

/* ---- Following ---- */

void hf_relay_bee_follow(struct hf_relay_bee_follower *f, struct hf_bee *bee, uint64_t version)
{
	f->bee = bee;
	f->next = version > 0 ? version : 1;
	f->fork = hf_core_fork(hf_bee_core(bee));
	f->jumped_from = 0;
}

static uint64_t row_count(const struct hf_event *event)
{
	uint64_t count = 4;
	struct hf_tag tag;
	size_t cursor = 0;
	while (hf_event_next_tag(event, &cursor, &tag))
		count += tag.element_count > 1;
	return count;
}

/* Behind an event stand its rows: the next one is looked for where they end. If what stands there is no event, the jump may have been too
 * far, and it is gone block by block from where it began. */
int hf_relay_bee_follower_next(struct hf_relay_bee_follower *f, const struct hf_event **event)
{
	struct hf_bee_entry entry;
	for (;;) {
		if (hf_core_fork(hf_bee_core(f->bee)) != f->fork)
			return HF_ECANCELED;
		int r = hf_bee_get_seq(hf_bee_latest(f->bee), f->next, &entry);
		if (r < 0)
			return r;
		bool is_event = !entry.is_deletion && entry.key.length == 32 && entry.has_value;
		if (!is_event && f->jumped_from > 0) {
			f->next = f->jumped_from;
			f->jumped_from = 0;
			continue;
		}
		r = is_event ? parse_event(&entry, &f->text, &f->event) : HF_EMALFORMED;
		if (r == HF_ENOMEM)
			return r;
		f->next++;
		f->jumped_from = 0;
		if (r == HF_OK) {
			f->jumped_from = f->next;
			f->next += row_count(&f->event) - 1;
			*event = &f->event;
			return HF_OK;
		}
	}
}

void hf_relay_bee_follower_free(struct hf_relay_bee_follower *f)
{
	hf_buffer_free(&f->text);
	*f = (struct hf_relay_bee_follower){0};
}
