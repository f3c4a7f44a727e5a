/* The set of parts is an immutable view behind one pointer; every change builds a new view and swaps it under the index
 * lock, which is never held while a file is read or written. Marks of dead documents are set under the same lock, so
 * that a seal or merge carries over what was marked while it ran and none is lost at the switch. */
#include "store/index_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

static struct hf_log_module index_log = HF_LOG_MODULE("store");

/* ---- Views ---- */

struct hf_index_view *hf_index_view_new(struct hf_index *index, uint32_t memtable_count, uint32_t segment_count)
{
	struct hf_index_view *view =
		calloc(1, sizeof *view + ((size_t)memtable_count + segment_count) * sizeof(void *));
	if (!view)
		return NULL;
	atomic_init(&view->references, 1);
	view->memtable_count = memtable_count;
	view->segment_count = segment_count;
	view->seed = index->options.seed;
	view->read_id = index->options.read_id;
	view->context = index->options.context;
	view->memtables = (struct hf_memtable **)view->parts;
	view->segments = (struct hf_segment **)view->parts + memtable_count;
	return view;
}

struct hf_index_view *hf_index_acquire(struct hf_index *index)
{
	pthread_mutex_lock(&index->lock);
	struct hf_index_view *view = index->view;
	atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
	pthread_mutex_unlock(&index->lock);
	return view;
}

void hf_index_view_release(struct hf_index_view *view)
{
	if (!view || atomic_fetch_sub_explicit(&view->references, 1, memory_order_acq_rel) != 1)
		return;
	for (uint32_t i = 0; i < view->memtable_count; i++)
		hf_memtable_unref(view->memtables[i]);
	for (uint32_t i = 0; i < view->segment_count; i++)
		hf_segment_unref(view->segments[i]);
	free(view);
}

static int segment_order(const void *a, const void *b)
{
	const struct hf_segment *x = *(struct hf_segment *const *)a, *y = *(struct hf_segment *const *)b;
	return x->position_max < y->position_max ? 1 : x->position_max > y->position_max ? -1 : 0;
}

/* The present view without some parts and with others. The index lock is held. add_* may be NULL; both get a reference.
 */
static struct hf_index_view *derive(struct hf_index *index, struct hf_memtable *add_memtable,
	struct hf_memtable *drop_memtable, struct hf_segment *add_segment, const struct hf_merge_input *drop_segments,
	uint32_t drop_count)
{
	struct hf_index_view *old = index->view;
	uint32_t memtables = 0, segments = 0;
	struct hf_index_view *view =
		hf_index_view_new(index, old->memtable_count + (add_memtable != NULL) - (drop_memtable != NULL),
			old->segment_count + (add_segment != NULL) - drop_count);
	if (!view)
		return NULL;
	if (add_memtable)
		view->memtables[memtables++] = hf_memtable_ref(add_memtable);
	for (uint32_t i = 0; i < old->memtable_count; i++)
		if (old->memtables[i] != drop_memtable)
			view->memtables[memtables++] = hf_memtable_ref(old->memtables[i]);
	if (add_segment)
		view->segments[segments++] = hf_segment_ref(add_segment);
	for (uint32_t i = 0; i < old->segment_count; i++) {
		uint32_t d = 0;
		while (d < drop_count && drop_segments[d].segment != old->segments[i])
			d++;
		if (d == drop_count)
			view->segments[segments++] = hf_segment_ref(old->segments[i]);
	}
	qsort(view->segments, segments, sizeof(struct hf_segment *), segment_order);
	return view;
}

static void retire_segment(struct hf_index *index, struct hf_segment *s)
{
	char name[32];
	s->retired = true;
	snprintf(name, sizeof name, "%08x.idx", s->number);
	hf_index_retire_file(index, name);
	if (s->dead_generation) {
		snprintf(name, sizeof name, "%08x.dead-%u", s->number, s->dead_generation);
		hf_index_retire_file(index, name);
	}
}

/* ---- Open and close ---- */

static int open_segments(
	struct hf_index *index, const struct hf_index_segment_info *segments, size_t count, struct hf_failure *failure)
{
	const struct hf_index_options *o = &index->options;
	index->view = hf_index_view_new(index, 1, (uint32_t)count);
	if (!index->view)
		return hf_fail(failure, HF_ENOMEM, "Out of memory opening the index.");
	index->view->segment_count = 0;
	index->view->memtables[0] = index->active = hf_memtable_new(&index->memtables, o->memtable_docs_max);
	if (!index->active)
		return hf_fail(
			failure, HF_ENOMEM, "Out of memory for a memtable of %u documents.", o->memtable_docs_max);
	for (size_t i = 0; i < count; i++) {
		struct hf_segment **s = &index->view->segments[i];
		int r = hf_segment_open(s, o->env->fs, o->directory, segments[i].number, segments[i].tier,
			o->collection, segments[i].file_bytes, o->seed, failure);
		if (r)
			return r;
		(*s)->corrupt_count = &index->corrupt_count;
		index->view->segment_count++;
	}
	qsort(index->view->segments, count, sizeof(struct hf_segment *), segment_order);
	return HF_OK;
}

int hf_index_open(struct hf_index **out, const struct hf_index_options *options,
	const struct hf_index_segment_info *segments, size_t segment_count, struct hf_failure *failure)
{
	struct hf_index *index = calloc(1, sizeof *index);
	if (!index)
		return hf_fail(failure, HF_ENOMEM, "Out of memory opening the index.");
	index->options = *options;
	pthread_mutex_init(&index->lock, NULL);
	pthread_mutex_init(&index->seal_lock, NULL);
	pthread_mutex_init(&index->merge_lock, NULL);
	pthread_mutex_init(&index->checkpoint_lock, NULL);
	hf_memtable_pool_init(&index->memtables);
	index->directory = strdup(options->directory);
	index->options.directory = index->directory;
	int r = index->directory ? open_segments(index, segments, segment_count, failure)
				 : hf_fail(failure, HF_ENOMEM, "Out of memory opening the index.");
	if (r) {
		hf_index_close(index);
		return r;
	}
	*out = index;
	return HF_OK;
}

void hf_index_close(struct hf_index *index)
{
	if (!index)
		return;
	hf_index_view_release(index->view);
	while (index->old_files) {
		struct hf_index_old_file *file = index->old_files;
		index->old_files = file->next;
		free(file);
	}
	pthread_mutex_destroy(&index->lock);
	pthread_mutex_destroy(&index->seal_lock);
	pthread_mutex_destroy(&index->merge_lock);
	pthread_mutex_destroy(&index->checkpoint_lock);
	hf_memtable_pool_free(&index->memtables);
	free(index->directory);
	free(index);
}

/* ---- The writer ---- */

int hf_index_insert(struct hf_index *index, const struct hf_doc_key *key, uint64_t position)
{
	return hf_memtable_insert(index->active, key, position, hf_segment_id_hash(key->id, index->options.seed));
}

bool hf_index_has_room(const struct hf_index *index, uint32_t term_count)
{
	return hf_memtable_has_room(index->active, term_count);
}

void hf_index_abort(struct hf_index *index, uint64_t position)
{
	hf_memtable_abort(index->active, position);
}

/* Where a document is: exactly one of the two is set. */
struct place {
	struct hf_memtable *memtable;
	struct hf_segment *segment;
	uint32_t doc;
};

static int find_in_segment(struct hf_segment *s, uint64_t hash, uint64_t position, struct place *place)
{
	uint32_t entry, end;
	int r = hf_segment_find_id(s, hash, HF_READ_BLOCKING, &entry, &end);
	for (; !r && entry < end; entry++) {
		uint64_t at;
		uint32_t doc = hf_segment_id_doc(s, entry);
		r = hf_segment_value(s, HF_SECTION_POSITION, doc, HF_READ_BLOCKING, &at);
		if (!r && at == position) {
			place->segment = s;
			place->doc = doc;
			return HF_OK;
		}
	}
	return r ? r : HF_ENOTFOUND;
}

static int locate(struct hf_index *index, struct hf_index_view *view, const uint8_t id[static HF_STORE_ID_BYTES],
	uint64_t position, struct place *place)
{
	uint64_t hash = hf_segment_id_hash(id, index->options.seed);
	*place = (struct place){0};
	for (uint32_t i = 0; i < view->memtable_count; i++) {
		uint32_t doc = hf_memtable_find(view->memtables[i], id, hash, position, position + 1);
		if (doc != HF_MEMTABLE_NONE) {
			place->memtable = view->memtables[i];
			place->doc = doc;
			return HF_OK;
		}
	}
	int failed = HF_ENOTFOUND;
	for (uint32_t i = 0; i < view->segment_count; i++) {
		struct hf_segment *s = view->segments[i];
		if (position < s->position_min || position > s->position_max)
			continue;
		int r = find_in_segment(s, hash, position, place);
		if (!r)
			return r;
		if (r != HF_ENOTFOUND)
			failed = r;
	}
	return failed;
}

int hf_index_kill(struct hf_index *index, const uint8_t id[static HF_STORE_ID_BYTES], uint64_t position)
{
	for (;;) {
		struct place place;
		struct hf_index_view *view = hf_index_acquire(index);
		int r = locate(index, view, id, position, &place);
		bool retired = false;
		if (!r) {
			pthread_mutex_lock(&index->lock);
			retired = place.memtable ? place.memtable->retired : place.segment->retired;
			if (!retired && place.memtable)
				hf_memtable_mark_dead(place.memtable, place.doc);
			else if (!retired)
				hf_segment_mark_dead(place.segment, place.doc);
			pthread_mutex_unlock(&index->lock);
		}
		hf_index_view_release(view);
		if (!retired)
			return r;
	}
}

int hf_index_freeze(struct hf_index *index)
{
	if (!atomic_load_explicit(&index->active->doc_count, memory_order_relaxed))
		return HF_OK;
	struct hf_memtable *fresh = hf_memtable_new(&index->memtables, index->options.memtable_docs_max);
	if (!fresh)
		return HF_ENOMEM;
	pthread_mutex_lock(&index->lock);
	struct hf_index_view *old = index->view, *view = derive(index, fresh, NULL, NULL, NULL, 0);
	if (view) {
		index->view = view;
		index->active = fresh;
	}
	pthread_mutex_unlock(&index->lock);
	hf_memtable_unref(fresh);
	if (!view)
		return HF_ENOMEM;
	hf_index_view_release(old);
	index->options.work_ready(index->options.context);
	return HF_OK;
}

unsigned hf_index_frozen_count(const struct hf_index *index)
{
	struct hf_index *i = (struct hf_index *)index;
	pthread_mutex_lock(&i->lock);
	unsigned count = i->view->memtable_count - 1;
	pthread_mutex_unlock(&i->lock);
	return count;
}

/* ---- Background work ---- */

static struct hf_merge_target target_for(struct hf_index *index, uint32_t tier)
{
	const struct hf_index_options *o = &index->options;
	return (struct hf_merge_target){.fs = o->env->fs,
		.directory = o->directory,
		.number = o->next_number(o->context),
		.tier = tier,
		.collection = o->collection,
		.seed = o->seed,
		.read_id = o->read_id,
		.context = o->context};
}

/* Makes the view current whose parts were chosen under the lock; tells the owner. */
static void publish(struct hf_index *index, struct hf_index_view *old)
{
	hf_index_view_release(old);
	index->options.changed(index->options.context);
	index->options.work_ready(index->options.context);
}

static int seal_one(struct hf_index *index, struct hf_memtable *table)
{
	struct hf_merge_target target = target_for(index, 0);
	struct hf_segment *segment;
	uint32_t *map;
	int r = hf_seal(&target, table, &segment, &map);
	if (r)
		return r;
	if (segment) {
		segment->corrupt_count = &index->corrupt_count;
		hf_seal_carry(table, map, segment);
	}
	pthread_mutex_lock(&index->lock);
	struct hf_index_view *old = index->view, *view = derive(index, NULL, table, segment, NULL, 0);
	if (view) {
		if (segment)
			hf_seal_carry(table, map, segment);
		table->retired = true;
		index->view = view;
	} else if (segment) {
		retire_segment(index, segment);
	}
	pthread_mutex_unlock(&index->lock);
	free(map);
	hf_segment_unref(segment);
	if (!view)
		return HF_ENOMEM;
	publish(index, old);
	return 1;
}

static int work_seal(struct hf_index *index)
{
	if (pthread_mutex_trylock(&index->seal_lock))
		return 0;
	struct hf_index_view *view = hf_index_acquire(index);
	/* The oldest first: what is in memory stays the end of the log. */
	int r = view->memtable_count > 1 ? seal_one(index, view->memtables[view->memtable_count - 1]) : 0;
	hf_index_view_release(view);
	pthread_mutex_unlock(&index->seal_lock);
	return r;
}

static bool mostly_dead(const struct hf_segment *s)
{
	return atomic_load_explicit(&s->dead_count, memory_order_relaxed) * 2 > s->doc_count;
}

/* Chooses what to merge next: a full tier, the lowest first, its oldest segments; else a segment that is mostly dead.
 * Returns the count of inputs, each with a reference. */
static uint32_t pick(struct hf_index *index, struct hf_merge_input *inputs, uint32_t *tier)
{
	pthread_mutex_lock(&index->lock);
	const struct hf_index_view *view = index->view;
	uint32_t count = 0;
	for (*tier = 0; *tier < HF_INDEX_TIER_MAX && count < HF_INDEX_TIER_SEGMENTS_MAX; ++*tier) {
		uint64_t docs = 0, postings = 0;
		count = 0;
		for (uint32_t i = view->segment_count; i-- > 0 && count < HF_INDEX_TIER_SEGMENTS_MAX;) {
			struct hf_segment *s = view->segments[i];
			if (s->tier != *tier || s->damaged || docs + s->doc_count > HF_SEGMENT_DOCS_MAX ||
				postings + s->section_bytes[HF_SECTION_POSTINGS] > HF_SEGMENT_POSTINGS_BYTES_MAX)
				continue;
			docs += s->doc_count;
			postings += s->section_bytes[HF_SECTION_POSTINGS];
			inputs[count++].segment = s;
		}
	}
	if (count < HF_INDEX_TIER_SEGMENTS_MAX) {
		count = 0;
		for (uint32_t i = 0; i < view->segment_count && !count; i++) {
			if (mostly_dead(view->segments[i]) && !view->segments[i]->damaged) {
				inputs[count++].segment = view->segments[i];
				*tier = view->segments[i]->tier;
			}
		}
	}
	for (uint32_t i = 0; i < count; i++)
		hf_segment_ref(inputs[i].segment);
	pthread_mutex_unlock(&index->lock);
	return count;
}

/* Checks the inputs' blocks. A damaged input is taken out of merging until the index is rebuilt. */
static int warm_inputs(struct hf_index *index, struct hf_merge_input *inputs, uint32_t count)
{
	int first = HF_OK;
	for (uint32_t i = 0; i < count; i++) {
		int r = hf_segment_warm(inputs[i].segment);
		if (r == HF_ECORRUPT) {
			pthread_mutex_lock(&index->lock);
			inputs[i].segment->damaged = true;
			pthread_mutex_unlock(&index->lock);
			hf_log_error(&index_log, "damaged index file is left out of merges", "file=%08x.idx",
				inputs[i].segment->number);
		}
		first = first ? first : r;
	}
	return first;
}

static void mark_damaged(struct hf_index *index, struct hf_merge_input *inputs, uint32_t count)
{
	pthread_mutex_lock(&index->lock);
	for (uint32_t i = 0; i < count; i++)
		inputs[i].segment->damaged = true;
	pthread_mutex_unlock(&index->lock);
	hf_log_error(&index_log, "index files cannot be merged", "first=%08x.idx count=%u", inputs[0].segment->number,
		count);
}

/* Merges the inputs into one segment of that tier and switches. The merge lock is held. Drops the references. */
static int merge_inputs(struct hf_index *index, struct hf_merge_input *inputs, uint32_t count, uint32_t tier)
{
	struct hf_segment *segment = NULL;
	struct hf_index_view *old = NULL, *view = NULL;
	int r = warm_inputs(index, inputs, count);
	if (!r) {
		struct hf_merge_target target = target_for(index, tier);
		r = hf_merge(&target, inputs, count, &segment);
		if (r == HF_ECORRUPT || r == HF_ETOOBIG)
			mark_damaged(index, inputs, count);
	}
	if (!r) {
		if (segment) {
			segment->corrupt_count = &index->corrupt_count;
			hf_merge_carry(inputs, count, segment);
		}
		pthread_mutex_lock(&index->lock);
		old = index->view;
		view = derive(index, NULL, NULL, segment, inputs, count);
		if (view) {
			if (segment)
				hf_merge_carry(inputs, count, segment);
			for (uint32_t i = 0; i < count; i++)
				retire_segment(index, inputs[i].segment);
			index->view = view;
		} else if (segment) {
			retire_segment(index, segment);
		}
		pthread_mutex_unlock(&index->lock);
		r = view ? 1 : HF_ENOMEM;
	}
	hf_merge_release(inputs, count);
	for (uint32_t i = 0; i < count; i++)
		hf_segment_unref(inputs[i].segment);
	hf_segment_unref(segment);
	if (view)
		publish(index, old);
	return r;
}

static int work_merge(struct hf_index *index)
{
	struct hf_merge_input inputs[HF_INDEX_TIER_SEGMENTS_MAX] = {0};
	uint32_t tier;
	if (pthread_mutex_trylock(&index->merge_lock))
		return 0;
	uint32_t count = pick(index, inputs, &tier);
	int r = count ? merge_inputs(index, inputs, count, tier) : 0;
	pthread_mutex_unlock(&index->merge_lock);
	return r;
}

int hf_index_work(struct hf_index *index, enum hf_index_job job)
{
	return job == HF_INDEX_SEAL ? work_seal(index) : work_merge(index);
}

/* As many as fit into one, the newest first, unless that is one segment without dead documents. */
static uint32_t pick_all(struct hf_index *index, struct hf_merge_input *inputs, uint32_t *tier)
{
	uint64_t docs = 0, postings = 0;
	uint32_t count = 0;
	bool dead = false;
	*tier = 0;
	pthread_mutex_lock(&index->lock);
	for (uint32_t i = 0; i < index->view->segment_count && count < HF_MERGE_INPUTS_MAX; i++) {
		struct hf_segment *s = index->view->segments[i];
		if (s->damaged || docs + s->doc_count > HF_SEGMENT_DOCS_MAX ||
			postings + s->section_bytes[HF_SECTION_POSTINGS] > HF_SEGMENT_POSTINGS_BYTES_MAX)
			continue;
		docs += s->doc_count;
		postings += s->section_bytes[HF_SECTION_POSTINGS];
		dead = dead || atomic_load(&s->dead_count);
		*tier = s->tier > *tier ? s->tier : *tier;
		inputs[count++].segment = s;
	}
	if (count == 1 && !dead)
		count = 0;
	for (uint32_t i = 0; i < count; i++)
		hf_segment_ref(inputs[i].segment);
	pthread_mutex_unlock(&index->lock);
	return count;
}

int hf_index_merge_all(struct hf_index *index)
{
	int r = 1;
	pthread_mutex_lock(&index->merge_lock);
	pthread_mutex_lock(&index->lock);
	uint32_t passes = 2 + index->view->segment_count / (HF_MERGE_INPUTS_MAX - 1);
	pthread_mutex_unlock(&index->lock);
	/* Under load new segments are sealed during each pass: what was there at the start is enough, or it never ends. */
	while (r > 0 && passes-- > 0) {
		struct hf_merge_input inputs[HF_MERGE_INPUTS_MAX] = {0};
		uint32_t tier, count = pick_all(index, inputs, &tier);
		r = count ? merge_inputs(index, inputs, count, tier) : 0;
	}
	pthread_mutex_unlock(&index->merge_lock);
	return r < 0 ? r : HF_OK;
}

int hf_index_warm(struct hf_index *index)
{
	struct hf_index_view *view = hf_index_acquire(index);
	int first = HF_OK;
	for (uint32_t i = 0; i < view->segment_count; i++) {
		int r = hf_segment_warm(view->segments[i]);
		first = first ? first : r;
	}
	hf_index_view_release(view);
	return first;
}

uint64_t hf_index_corrupt_count(const struct hf_index *index)
{
	return atomic_load_explicit(&index->corrupt_count, memory_order_relaxed);
}

int hf_index_verify(struct hf_index *index, void (*report)(void *context, const char *sentence), void *context)
{
	struct hf_index_view *view = hf_index_acquire(index);
	uint64_t fault_count = 0;
	int r = HF_OK;
	for (uint32_t i = 0; i < view->segment_count && !r; i++)
		r = hf_segment_check(view->segments[i], report, context, &fault_count);
	hf_index_view_release(view);
	return r ? r : fault_count ? HF_ECORRUPT : HF_OK;
}
