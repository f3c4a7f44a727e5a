/* event_model: random events and filters from a small world, where everything collides, and a relay that keeps
 * events in an array and answers by looking at all of them. Shares no code with what it is compared to. */
#ifndef HF_TEST_DATA_EVENT_MODEL_H
#define HF_TEST_DATA_EVENT_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "data/event/filter.h"

#define MODEL_EVENT_COUNT_MAX 4096
#define MODEL_TAG_COUNT_MAX 8
#define MODEL_AUTHOR_COUNT 6
#define MODEL_TIME_BASE 10000
#define MODEL_TIME_SPAN 300

struct model_random {
	uint64_t state;
};

static inline uint64_t model_next(struct model_random *random)
{
	random->state ^= random->state >> 12;
	random->state ^= random->state << 25;
	random->state ^= random->state >> 27;
	return random->state * 0x2545f4914f6cdd1du;
}

static inline uint32_t model_below(struct model_random *random, uint32_t bound)
{
	return (uint32_t)((model_next(random) >> 32) % bound);
}

static inline bool model_chance(struct model_random *random, uint32_t percent)
{
	return model_below(random, 100) < percent;
}

struct model_tag {
	char name[16], value[112];
};

struct model_event {
	struct hf_event event; /* tags and content point into this struct */
	struct model_tag tags[MODEL_TAG_COUNT_MAX];
	uint32_t tag_count;
	uint64_t expiration;
	bool alive;
	char tags_text[MODEL_TAG_COUNT_MAX * 144 + 8];
	char content_text[64];
};

struct model {
	struct model_random random;
	struct model_event *events; /* in order of arrival, refused ones too */
	uint32_t count;
};

static const uint32_t model_kinds[] = {1, 1, 1, 1, 7, 0, 3, 10002, 30023, 30023, 30000, 1059};
static const char *const model_words[] = {
	"a", "b", "nostr", "with \\\"quotes\\\"", "back\\\\slash", "\xc3\xa4", "", "longer than sixteen bytes"};
#define MODEL_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline void model_hex(char *out, const uint8_t *data, size_t length)
{
	for (size_t i = 0; i < length; i++)
		sprintf(out + 2 * i, "%02x", data[i]);
}

static inline void model_author(uint8_t out[static 32], uint32_t number)
{
	memset(out, 0xa0 + (int)number, 32);
	out[31] = (uint8_t)number;
}

/* Many ids share their first bytes, so that ties are told apart only by the rest. */
static inline void model_id(struct model_random *random, uint8_t out[static 32])
{
	for (int i = 0; i < 32; i++)
		out[i] = (uint8_t)model_next(random);
	if (model_chance(random, 30))
		memset(out, 7, 1 + model_below(random, 12));
}

static inline void model_add_tag(struct model_event *e, const char *name, const char *value)
{
	if (e->tag_count == MODEL_TAG_COUNT_MAX)
		return;
	struct model_tag *tag = &e->tags[e->tag_count++];
	snprintf(tag->name, sizeof tag->name, "%s", name);
	snprintf(tag->value, sizeof tag->value, "%s", value);
}

static inline void model_finish(struct model_event *e)
{
	char *at = e->tags_text;
	*at++ = '[';
	for (uint32_t i = 0; i < e->tag_count; i++)
		at += sprintf(at, "%s[\"%s\",\"%s\"]", i ? "," : "", e->tags[i].name, e->tags[i].value);
	*at++ = ']';
	*at = 0;
	e->event.tags = hf_slice_text(e->tags_text);
	e->event.content = hf_slice_text(e->content_text);
}

static inline const struct model_event *model_any(struct model *m)
{
	return m->count ? &m->events[model_below(&m->random, m->count)] : NULL;
}

/* An address that often is one of an event here, and sometimes a malformed one. */
static inline void model_random_address(struct model *m, const struct model_event *own, char *out, size_t size)
{
	static const char *const forms[] = {
		"%u:%s:%s", "%u:%s:%s", "%u:%s:%s", "%u:%s:%s", "0%u:%s:%s", "%u:%s%s", "%u;%s:%s"};
	uint8_t author[32];
	char hex[65];
	memcpy(author, own->event.pubkey, 32);
	if (model_chance(&m->random, 15))
		model_author(author, model_below(&m->random, MODEL_AUTHOR_COUNT));
	model_hex(hex, author, 32);
	uint32_t kind = model_kinds[4 + model_below(&m->random, MODEL_COUNT(model_kinds) - 4)];
	bool has_d = (kind >= 30000) != model_chance(&m->random, 10);
	const char *form = forms[model_below(&m->random, MODEL_COUNT(forms))];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(out, size, form, kind, hex, has_d ? model_words[model_below(&m->random, 7)] : "");
#pragma GCC diagnostic pop
}

static inline void model_random_tags(struct model *m, struct model_event *e)
{
	struct model_random *random = &m->random;
	char text[112];
	uint8_t bytes[32];
	if (e->event.kind >= 30000 && model_chance(random, 85))
		model_add_tag(e, "d", model_words[model_below(random, 7)]);
	for (uint32_t i = model_below(random, 5); i > 0; i--) {
		const struct model_event *other = model_any(m);
		switch (model_below(random, 6)) {
		case 0:
			if (other)
				memcpy(bytes, other->event.id, 32);
			else
				model_id(random, bytes);
			model_hex(text, bytes, 32);
			model_add_tag(e, "e", text);
			break;
		case 1:
			model_author(bytes, model_below(random, MODEL_AUTHOR_COUNT));
			model_hex(text, bytes, 32);
			model_add_tag(e, "p", text);
			break;
		case 2:
			model_random_address(m, e, text, sizeof text);
			model_add_tag(e, "a", text);
			break;
		case 3:
			model_add_tag(e, "client", "not a letter");
			break;
		default:
			model_add_tag(e, model_chance(random, 90) ? "t" : "T", model_words[model_below(random, MODEL_COUNT(model_words))]);
		}
	}
}

/* Deletions mostly name earlier events of their author, some of which have not arrived, or never will. */
static inline void model_random_deletion(struct model *m, struct model_event *e)
{
	char text[112];
	for (uint32_t i = 1 + model_below(&m->random, 3); i > 0; i--) {
		const struct model_event *other = model_any(m);
		for (int tries = 0; other && memcmp(other->event.pubkey, e->event.pubkey, 32) != 0 && tries < 8; tries++)
			other = model_any(m);
		if (other && model_chance(&m->random, 60)) {
			model_hex(text, other->event.id, 32);
			model_add_tag(e, "e", text);
		} else {
			model_random_address(m, e, text, sizeof text);
			model_add_tag(e, "a", text);
		}
	}
}

/* Makes the next event, which is not yet in the model: model_admit does that. */
static inline struct model_event *model_make(struct model *m)
{
	struct model_random *random = &m->random;
	assert_true(m->count < MODEL_EVENT_COUNT_MAX);
	struct model_event *e = &m->events[m->count];
	const struct model_event *other = model_any(m);
	if (other && model_chance(random, 6)) { /* one more copy of something */
		*e = *other;
		e->alive = false;
		model_finish(e);
		return e;
	}
	memset(e, 0, sizeof *e);
	model_id(random, e->event.id);
	model_author(e->event.pubkey, model_below(random, MODEL_AUTHOR_COUNT));
	for (int i = 0; i < 64; i++)
		e->event.sig[i] = (uint8_t)model_next(random);
	e->event.created_at = MODEL_TIME_BASE + model_below(random, MODEL_TIME_SPAN);
	e->event.kind = model_chance(random, 10) ? 5 : model_kinds[model_below(random, MODEL_COUNT(model_kinds))];
	e->expiration = UINT64_MAX;
	if (e->event.kind == 5)
		model_random_deletion(m, e);
	else
		model_random_tags(m, e);
	if (model_chance(random, 8) && e->tag_count < MODEL_TAG_COUNT_MAX) {
		char text[24];
		e->expiration = MODEL_TIME_BASE + model_below(random, 2 * MODEL_TIME_SPAN);
		snprintf(text, sizeof text, "%llu", (unsigned long long)e->expiration);
		model_add_tag(e, "expiration", text);
	}
	snprintf(e->content_text, sizeof e->content_text, "event %u", m->count);
	model_finish(e);
	return e;
}

/* ---- The naive relay ---- */

static inline bool model_same_author(const struct model_event *a, const struct model_event *b)
{
	return memcmp(a->event.pubkey, b->event.pubkey, 32) == 0;
}

static inline const char *model_d(const struct model_event *e)
{
	for (uint32_t i = 0; e->event.kind >= 30000 && i < e->tag_count; i++)
		if (strcmp(e->tags[i].name, "d") == 0)
			return e->tags[i].value;
	return "";
}

static inline bool model_is_versioned(uint32_t kind)
{
	return kind == 0 || kind == 3 || (kind >= 10000 && kind < 20000) || (kind >= 30000 && kind < 40000);
}

static inline bool model_same_address(const struct model_event *a, const struct model_event *b)
{
	return a->event.kind == b->event.kind && model_is_versioned(a->event.kind) && model_same_author(a, b) &&
		strcmp(model_d(a), model_d(b)) == 0;
}

static inline bool model_deletes(const struct model_event *deletion, const struct model_event *e)
{
	char hex[65], pubkey[65], address[256], bare[256];
	if (deletion->event.kind != 5 || e->event.kind == 5 || !model_same_author(deletion, e))
		return false;
	model_hex(hex, e->event.id, 32);
	model_hex(pubkey, e->event.pubkey, 32);
	snprintf(address, sizeof address, "%u:%s:%s", e->event.kind, pubkey, model_d(e));
	snprintf(bare, sizeof bare, "%u:%s", e->event.kind, pubkey);
	for (uint32_t i = 0; i < deletion->tag_count; i++) {
		const struct model_tag *tag = &deletion->tags[i];
		if (strcmp(tag->name, "e") == 0 && strcmp(tag->value, hex) == 0)
			return true;
		if (strcmp(tag->name, "a") == 0 && model_is_versioned(e->event.kind) &&
			deletion->event.created_at >= e->event.created_at &&
			(strcmp(tag->value, address) == 0 || (e->event.kind < 30000 && strcmp(tag->value, bare) == 0)))
			return true;
	}
	return false;
}

static inline bool model_is_newer(const struct model_event *a, const struct model_event *b)
{
	return a->event.created_at != b->event.created_at ? a->event.created_at > b->event.created_at :
		memcmp(a->event.id, b->event.id, 32) < 0;
}

/* Takes in what model_make made; the status that a relay should give. */
static inline int model_admit(struct model *m)
{
	struct model_event *new = &m->events[m->count++];
	for (uint32_t i = 0; i + 1 < m->count; i++) {
		const struct model_event *old = &m->events[i];
		if (old->alive && memcmp(old->event.id, new->event.id, 32) == 0)
			return HF_EDUPLICATE;
	}
	for (uint32_t i = 0; i + 1 < m->count; i++) {
		const struct model_event *old = &m->events[i];
		if (old->alive && (model_deletes(old, new) || (model_same_address(old, new) && !model_is_newer(new, old))))
			return HF_EDENIED;
	}
	new->alive = true;
	for (uint32_t i = 0; i + 1 < m->count; i++) {
		struct model_event *old = &m->events[i];
		if (model_deletes(new, old) || model_same_address(old, new))
			old->alive = false;
	}
	return HF_OK;
}

static inline bool model_matches(const struct hf_filter *f, const struct model_event *e)
{
	bool found = !f->has_ids;
	for (uint32_t i = 0; i < f->id_count; i++)
		found = found || memcmp(f->ids[i], e->event.id, 32) == 0;
	if (!found)
		return false;
	found = !f->has_authors;
	for (uint32_t i = 0; i < f->author_count; i++)
		found = found || memcmp(f->authors[i], e->event.pubkey, 32) == 0;
	if (!found)
		return false;
	found = !f->has_kinds;
	for (uint32_t i = 0; i < f->kind_count; i++)
		found = found || f->kinds[i] == e->event.kind;
	for (uint32_t t = 0; found && t < f->tag_count; t++) {
		found = false;
		for (uint32_t v = 0; v < f->tags[t].value_count; v++)
			for (uint32_t i = 0; i < e->tag_count; i++)
				found = found || (e->tags[i].name[0] == f->tags[t].letter && e->tags[i].name[1] == 0 &&
					hf_slice_equal(hf_slice_text(e->tags[i].value), f->tags[t].values[v]));
	}
	return found && e->event.created_at >= f->since && e->event.created_at <= f->until;
}

/* ---- Random filters ---- */

#define MODEL_LIST_COUNT_MAX 12
struct model_filter {
	struct hf_filter filter;
	uint8_t ids[MODEL_LIST_COUNT_MAX][32], authors[MODEL_AUTHOR_COUNT][32];
	uint32_t kinds[MODEL_LIST_COUNT_MAX];
	struct hf_slice values[3][MODEL_LIST_COUNT_MAX];
	char texts[3][MODEL_LIST_COUNT_MAX][112];
};

static inline int model_compare_32(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

static inline int model_compare_kind(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static inline int model_compare_slice(const void *a, const void *b)
{
	const struct hf_slice *x = a, *y = b;
	return hf_slice_compare(*x, *y);
}

static inline uint32_t model_distinct(void *items, uint32_t count, size_t size,
	int (*compare)(const void *, const void *))
{
	uint8_t *at = items;
	uint32_t kept = 0;
	qsort(items, count, size, compare);
	for (uint32_t i = 0; i < count; i++)
		if (kept == 0 || compare(at + (kept - 1) * size, at + i * size) != 0)
			memmove(at + kept++ * size, at + i * size, size);
	return kept;
}

static inline void model_random_filter_tag(struct model *m, struct model_filter *f, char letter)
{
	uint32_t place = f->filter.tag_count++, count = 1 + model_below(&m->random, 3);
	uint8_t bytes[32];
	for (uint32_t i = 0; i < count; i++) {
		char *text = f->texts[place][i];
		const struct model_event *other = model_any(m);
		if (letter == 'e') {
			if (other)
				memcpy(bytes, other->event.id, 32);
			else
				model_id(&m->random, bytes);
			model_hex(text, bytes, 32);
		} else if (letter == 'p') {
			model_author(bytes, model_below(&m->random, MODEL_AUTHOR_COUNT));
			model_hex(text, bytes, 32);
		} else {
			snprintf(text, sizeof f->texts[place][i], "%s", model_words[model_below(&m->random, MODEL_COUNT(model_words))]);
		}
		f->values[place][i] = hf_slice_text(text);
	}
	count = model_distinct(f->values[place], count, sizeof f->values[place][0], model_compare_slice);
	f->filter.tags[place] = (struct hf_filter_tag){letter, count, f->values[place]};
}

static inline void model_random_filter(struct model *m, struct model_filter *f)
{
	struct model_random *random = &m->random;
	memset(&f->filter, 0, sizeof f->filter);
	f->filter.until = f->filter.limit = UINT64_MAX;
	f->filter.ids = (const uint8_t (*)[32])f->ids;
	f->filter.authors = (const uint8_t (*)[32])f->authors;
	f->filter.kinds = f->kinds;
	if (model_chance(random, 15)) {
		f->filter.has_ids = true;
		f->filter.id_count = 1 + model_below(random, MODEL_LIST_COUNT_MAX);
		for (uint32_t i = 0; i < f->filter.id_count; i++) {
			const struct model_event *other = model_any(m);
			if (other && model_chance(random, 90))
				memcpy(f->ids[i], other->event.id, 32);
			else
				model_id(random, f->ids[i]);
		}
		f->filter.id_count = model_distinct(f->ids, f->filter.id_count, 32, model_compare_32);
	}
	if (model_chance(random, 35)) {
		f->filter.has_authors = true;
		f->filter.author_count = 1 + model_below(random, MODEL_AUTHOR_COUNT - 1);
		for (uint32_t i = 0; i < f->filter.author_count; i++)
			model_author(f->authors[i], model_below(random, MODEL_AUTHOR_COUNT));
		f->filter.author_count = model_distinct(f->authors, f->filter.author_count, 32, model_compare_32);
	}
	if (model_chance(random, 40)) {
		f->filter.has_kinds = true;
		f->filter.kind_count = 1 + model_below(random, 4);
		for (uint32_t i = 0; i < f->filter.kind_count; i++)
			f->kinds[i] = model_chance(random, 20) ? 5 : model_kinds[model_below(random, MODEL_COUNT(model_kinds))];
		f->filter.kind_count = model_distinct(f->kinds, f->filter.kind_count, sizeof f->kinds[0], model_compare_kind);
	}
	if (model_chance(random, 25))
		model_random_filter_tag(m, f, 't');
	if (model_chance(random, 12))
		model_random_filter_tag(m, f, 'e');
	if (model_chance(random, 12))
		model_random_filter_tag(m, f, model_chance(random, 70) ? 'p' : 'd');
	if (model_chance(random, 25))
		f->filter.since = MODEL_TIME_BASE + model_below(random, MODEL_TIME_SPAN);
	if (model_chance(random, 25))
		f->filter.until = MODEL_TIME_BASE + model_below(random, MODEL_TIME_SPAN);
	if (model_chance(random, 50))
		f->filter.limit = model_below(random, 25);
	f->filter.matches_nothing = f->filter.since > f->filter.until;
}

static inline void model_new(struct model *m, uint64_t seed)
{
	m->random.state = seed * 0x9e3779b97f4a7c15u + 1;
	m->count = 0;
	m->events = calloc(MODEL_EVENT_COUNT_MAX, sizeof *m->events);
	assert_non_null(m->events);
}

static inline void model_free(struct model *m)
{
	free(m->events);
}

#endif
