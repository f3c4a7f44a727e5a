/* plan: counts first, then the fewest clauses that pay.
 *
 * An intersecting clause costs a seek in each of its lists for every document of the driving clause and spares a
 * payload for every document that is not in it. It pays when most documents are not in it, its lists are few, and
 * the driving clause is more than a handful. A single candidate is taken without asking for its counts. */
#include "data/event/plan.h"

#include <stdlib.h>

#include "data/event/terms.h"

#define ESTIMATE_SAMPLE_COUNT 64     /* lists longer than this are estimated from so many of their terms */
#define ESTIMATE_MAX (UINT64_C(1) << 40) /* of one term: what is not known counts as this */
#define INTERSECT_TERM_COUNT_MAX 128
#define INTERSECT_DRIVER_DOCS_MIN 16 /* fewer are cheaper to read than to intersect */

const char *hf_plan_name(enum hf_plan plan)
{
	static const char *const names[HF_PLAN_COUNT] = {
		[HF_PLAN_IDS] = "ids", [HF_PLAN_AUTHOR_KIND] = "author_kind", [HF_PLAN_TAG] = "tag",
		[HF_PLAN_AUTHOR] = "author", [HF_PLAN_KIND] = "kind", [HF_PLAN_TIME] = "time",
		[HF_PLAN_ARRIVAL] = "arrival", [HF_PLAN_NOTHING] = "nothing",
	};
	return plan < HF_PLAN_COUNT ? names[plan] : "unknown";
}

struct candidate {
	enum hf_plan kind;
	struct hf_clause clause;
	uint64_t estimate;
};

struct candidates {
	struct candidate list[HF_FILTER_TAGS_MAX + 2];
	uint32_t count;
	uint64_t *free_terms; /* where the next candidate's terms go */
};

_Static_assert(HF_FILTER_TAGS_MAX + 2 <= HF_QUERY_CLAUSES_MAX, "every member can be a clause");

static bool has_small_product(const struct hf_filter *f)
{
	return f->has_authors && f->has_kinds && (uint64_t)f->author_count * f->kind_count <= HF_PLAN_PRODUCT_COUNT_MAX;
}

static size_t term_count_of(const struct hf_filter *f)
{
	size_t n = has_small_product(f) ? (size_t)f->author_count * f->kind_count
		: (size_t)(f->has_authors ? f->author_count : 0) + (f->has_kinds ? f->kind_count : 0);
	for (uint32_t i = 0; i < f->tag_count; i++)
		n += f->tags[i].value_count;
	return n;
}

static void add(struct candidates *c, enum hf_plan kind, const uint64_t *end)
{
	struct candidate *new = &c->list[c->count++];
	new->kind = kind;
	new->clause.terms = c->free_terms;
	new->clause.term_count = (uint32_t)(end - c->free_terms);
	new->estimate = 0;
	c->free_terms += new->clause.term_count;
}

static void collect(struct candidates *c, const struct hf_store *store, const struct hf_filter *f)
{
	uint64_t *at = c->free_terms;
	if (has_small_product(f)) {
		for (uint32_t a = 0; a < f->author_count; a++)
			for (uint32_t k = 0; k < f->kind_count; k++)
				*at++ = hf_term_author_kind(store, f->authors[a], f->kinds[k]);
		add(c, HF_PLAN_AUTHOR_KIND, at);
	} else {
		if (f->has_authors) {
			for (uint32_t a = 0; a < f->author_count; a++)
				*at++ = hf_term_author(store, f->authors[a]);
			add(c, HF_PLAN_AUTHOR, at);
		}
		if (f->has_kinds) {
			for (uint32_t k = 0; k < f->kind_count; k++)
				*at++ = hf_term_kind(store, f->kinds[k]);
			add(c, HF_PLAN_KIND, at);
		}
	}
	for (uint32_t t = 0; t < f->tag_count; t++) {
		for (uint32_t v = 0; v < f->tags[t].value_count; v++)
			*at++ = hf_term_tag(store, f->tags[t].letter, f->tags[t].values[v]);
		add(c, HF_PLAN_TAG, at);
	}
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t estimate(struct hf_snapshot *snapshot, uint32_t collection, const struct hf_clause *clause)
{
	uint32_t step = clause->term_count > ESTIMATE_SAMPLE_COUNT ? clause->term_count / ESTIMATE_SAMPLE_COUNT : 1;
	uint64_t sum = 0;
	for (uint32_t i = 0; i < clause->term_count; i += step)
		sum += least(hf_snapshot_estimate(snapshot, collection, clause->terms[i]), ESTIMATE_MAX);
	return sum * step;
}

static bool intersecting_pays(const struct candidate *driver, const struct candidate *other, uint64_t doc_count)
{
	return driver->estimate >= INTERSECT_DRIVER_DOCS_MIN && other->clause.term_count <= INTERSECT_TERM_COUNT_MAX &&
		other->estimate < doc_count / 2;
}

/* Puts the rarest first and drops what does not pay. */
static void choose(struct candidates *c, struct hf_snapshot *snapshot, uint32_t collection)
{
	uint32_t rarest = 0, kept = 1;
	for (uint32_t i = 0; i < c->count; i++) {
		c->list[i].estimate = estimate(snapshot, collection, &c->list[i].clause);
		if (c->list[i].estimate < c->list[rarest].estimate)
			rarest = i;
	}
	struct candidate driver = c->list[rarest];
	c->list[rarest] = c->list[0];
	c->list[0] = driver;
	uint64_t doc_count = hf_snapshot_doc_count(snapshot, collection);
	for (uint32_t i = 1; i < c->count; i++)
		if (intersecting_pays(&driver, &c->list[i], doc_count))
			c->list[kept++] = c->list[i];
	c->count = kept;
}

int hf_filter_plan_make(struct hf_filter_plan *plan, const struct hf_store *store, struct hf_snapshot *snapshot,
	uint32_t collection, const struct hf_filter *filter, uint64_t limit)
{
	*plan = (struct hf_filter_plan){.kind = HF_PLAN_NOTHING};
	if (filter->matches_nothing || limit == 0)
		return HF_OK;
	if (filter->has_ids) {
		plan->kind = HF_PLAN_IDS;
		plan->cost = filter->id_count;
		return HF_OK;
	}
	size_t term_count = term_count_of(filter);
	if (term_count == 0) {
		plan->kind = HF_PLAN_TIME;
		plan->cost = least(limit, hf_snapshot_doc_count(snapshot, collection));
		return HF_OK;
	}
	uint64_t *terms = malloc(term_count * sizeof *terms + (HF_FILTER_TAGS_MAX + 2) * sizeof(struct hf_clause));
	if (!terms)
		return HF_ENOMEM;
	struct candidates c = {.count = 0};
	c.free_terms = terms;
	collect(&c, store, filter);
	uint32_t all = c.count;
	if (all > 1)
		choose(&c, snapshot, collection);
	else if (limit == UINT64_MAX)
		c.list[0].estimate = estimate(snapshot, collection, &c.list[0].clause);

	plan->memory = terms;
	plan->kind = c.list[0].kind;
	plan->clauses = (struct hf_clause *)(terms + term_count);
	plan->clause_count = c.count;
	for (uint32_t i = 0; i < c.count; i++)
		plan->clauses[i] = c.list[i].clause;
	plan->cost = (all == 1 && limit != UINT64_MAX ? limit : c.list[0].estimate) + term_count / 8;
	return HF_OK;
}

void hf_filter_plan_free(struct hf_filter_plan *plan)
{
	free(plan->memory);
	plan->memory = NULL;
}
