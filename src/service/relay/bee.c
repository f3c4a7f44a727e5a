/* A feeder in one of these states: it rests, a batch is collected on a worker, it is put into the bee, it is committed. One batch is
 * under way at a time; the store has the rest.
 *
 * Operations on the bee that have to wait for a cold block are made again when it is there, so each step can be. */
#include "service/relay/bee.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "data/event/removals.h"
#include "data/relay_bee.h"
#include "service/relay/bee_batch.h"
#include "service/relay/bee_private.h"

static struct hf_log_module log_module = HF_LOG_MODULE("bee");

#define RETRY_MS 1000
#define LOOK_AT_CLOCK_EVERY 16 /* rows */

static void start(struct hf_relay_bee *bee);
static void next_batch(struct hf_relay_bee *bee);

static void arm(struct hf_relay_bee *bee, uint64_t delay_ms)
{
	if (!bee->is_ending)
		hf_loop_timer_set(bee->loop, &bee->timer, delay_ms);
}

/* Gives the batch up and begins again from what is committed. */
static void give_up(struct hf_relay_bee *bee, const char *what, int status)
{
	hf_log_error(&log_module, "the bee is behind; it is tried again", "relay=%s what=\"%s\" error=%s", bee->instance, what,
		hf_error_name(status));
	hf_bee_wait_cancel(&bee->waiter);
	bee->state = HF_BEE_RESTS;
	bee->must_reopen = bee->rewrites = true; /* what is staged stays so, and may be half an event */
	arm(bee, RETRY_MS);
}

/* ---- Into the bee ---- */

static void on_ready(struct hf_bee_waiter *waiter, int status)
{
	struct hf_relay_bee *bee = HF_CONTAINER_OF(waiter, struct hf_relay_bee, waiter);
	hf_loop_post(bee->loop, &bee->step_mail);
}

static int delete_row(struct hf_relay_bee *bee, struct hf_slice key)
{
	int r = hf_bee_del(bee->bee, key, NULL);
	if (r == HF_OK) {
		hf_counter_add(&bee->metrics.deletes, 1);
		bee->notes.event_count -= key.length == 32;
	}
	return r == HF_ENOTFOUND ? HF_OK : r;
}

static int add_index_row(void *context, struct hf_slice key, struct hf_slice value)
{
	return key.length == 32 ? HF_OK : hf_bee_rows_add(context, key, value);
}

/* The rows of the next event that is gone, from its own row, which comes last: as long as it is there, the others can be found. One that
 * never was in the bee has none. */
static int find_rows(struct hf_relay_bee *bee)
{
	struct hf_bee_batch *b = &bee->batch;
	struct hf_bee_entry entry;
	struct hf_event event;
	const char *reason;
	int r = hf_bee_get_pending(bee->bee, hf_slice(b->removed.data + bee->removed_at, 32), &entry);
	if (r < 0 && r != HF_ENOTFOUND)
		return r;
	bee->removed_at += 32;
	if (r == HF_ENOTFOUND || !entry.has_value)
		return HF_OK;
	struct hf_json json;
	hf_json_init(&json, entry.value, HF_JSON_DEPTH_MAX);
	hf_buffer_clear(&bee->text);
	r = hf_event_parse(&json, &bee->text, HF_EVENT_BYTES_MAX, &event, &reason);
	if (r == HF_OK)
		r = hf_relay_bee_rows(&event, hf_slice(NULL, 0), add_index_row, &bee->old_rows);
	return r == HF_OK ? hf_bee_rows_add(&bee->old_rows, hf_slice(event.id, 32), hf_slice(NULL, 0)) : r;
}

/* An event that is committed has all its rows: they came together. */
static int put_row(struct hf_relay_bee *bee, struct hf_slice key, struct hf_slice value)
{
	struct hf_bee_change change = {.skip_same = true};
	bool is_event = key.length == 32;
	if (!is_event && bee->skips_event)
		return HF_OK;
	int r = hf_bee_put(bee->bee, key, &value, is_event ? &change : NULL);
	if (is_event && (r == HF_OK || r == HF_EDUPLICATE))
		bee->skips_event = r == HF_EDUPLICATE && !bee->rewrites;
	if (r == HF_OK) {
		hf_counter_add(&bee->metrics.puts, 1);
		bee->notes.event_count += is_event;
	}
	return r == HF_EDUPLICATE ? HF_OK : r;
}

/* One operation; *over: there is none left. */
static int do_one(struct hf_relay_bee *bee, bool *over)
{
	struct hf_bee_rows *rows = bee->old_rows.at < bee->old_rows.bytes.length ? &bee->old_rows : &bee->batch.rows;
	struct hf_slice key, value;
	size_t at = rows->at;
	if (rows != &bee->old_rows && bee->removed_at < bee->batch.removed.length) {
		hf_bee_rows_clear(&bee->old_rows);
		return find_rows(bee);
	}
	*over = !hf_bee_rows_next(rows, &key, &value);
	if (*over)
		return HF_OK;
	int r = rows == &bee->old_rows ? delete_row(bee, key) : put_row(bee, key, value);
	if (r < 0)
		rows->at = at;
	return r;
}

/* ---- The commit ---- */

static void on_part(void *context, int status)
{
	struct hf_relay_bee *bee = context;
	if (status < 0)
		give_up(bee, "commit", status);
	else
		hf_loop_post(bee->loop, &bee->step_mail);
}

static void committed(void *context, int status)
{
	struct hf_relay_bee *bee = context;
	struct hf_bee_batch *b = &bee->batch;
	if (status < 0) {
		give_up(bee, "commit", status);
		return;
	}
	uint64_t now_us = hf_env_monotonic_us(bee->env);
	hf_counter_add(&bee->metrics.batches, 1);
	hf_histogram_record_us(&bee->metrics.append_seconds, bee->commit_us - bee->put_us);
	hf_histogram_record_us(&bee->metrics.commit_seconds, now_us - bee->commit_us);
	bee->committed = bee->notes;
	bee->rewrites = false;
	struct hf_buffer forgotten = b->forget;
	b->forget = b->notes;
	b->notes = forgotten;
	next_batch(bee);
}

static int commit_with_notes(struct hf_relay_bee *bee, void (*done)(void *context, int status))
{
	uint8_t bytes[HF_BEE_NOTES_BYTES];
	hf_bee_notes_encode(&bee->notes, bytes);
	int r = hf_core_set_user_data(bee->core, HF_BEE_NOTES_NAME, hf_slice(bytes, sizeof bytes));
	return r == HF_OK ? hf_core_commit(bee->core, HF_DURABLE_DISK, done, bee) : r;
}

static void commit(struct hf_relay_bee *bee)
{
	bee->notes.position = bee->batch.to;
	bee->state = HF_BEE_COMMITS;
	bee->commit_us = hf_env_monotonic_us(bee->env);
	int r = hf_bee_flush(bee->bee);
	if (r == HF_OK)
		r = commit_with_notes(bee, committed);
	if (r < 0)
		give_up(bee, "append", r);
}

/* So many removals that they are committed in parts: the bee stays true to where it is, and removing twice is removing. */
static bool has_part(const struct hf_relay_bee *bee)
{
	return bee->removed_at < bee->batch.removed.length && hf_core_staged_bytes(bee->core) > HF_RELAY_BEE_PART_BYTES;
}

static void step(struct hf_relay_bee *bee)
{
	uint64_t start_us = hf_env_monotonic_us(bee->env), now_us = start_us;
	bool over = false;
	int r = HF_OK;
	for (unsigned i = 1; r == HF_OK && !over && !has_part(bee) && now_us - start_us < HF_RELAY_BEE_SLICE_US; i++) {
		r = do_one(bee, &over);
		if (r == HF_EBUSY || (r == HF_OK && hf_bee_pending_count(bee->bee) >= HF_RELAY_BEE_FLUSH_ROWS)) {
			r = hf_bee_flush(bee->bee);
			now_us = hf_env_monotonic_us(bee->env);
		}
		if (i % LOOK_AT_CLOCK_EVERY == 0)
			now_us = hf_env_monotonic_us(bee->env);
	}
	if (r == HF_OK && over)
		commit(bee);
	else if (r == HF_OK && has_part(bee))
		r = commit_with_notes(bee, on_part);
	else if (r == HF_OK)
		hf_loop_post(bee->loop, &bee->step_mail);
	else if (r == HF_EWAIT)
		r = hf_bee_wait(bee->bee, &bee->waiter);
	hf_counter_add(&bee->metrics.busy_us, hf_env_monotonic_us(bee->env) - start_us);
	if (r < 0)
		give_up(bee, "change", r);
}

static void on_step(struct hf_loop_mail *mail)
{
	struct hf_relay_bee *bee = HF_CONTAINER_OF(mail, struct hf_relay_bee, step_mail);
	if (bee->state == HF_BEE_PUTS)
		step(bee);
}

/* ---- Batches ---- */

static void run_collect(struct hf_work *work)
{
	struct hf_relay_bee *bee = HF_CONTAINER_OF(work, struct hf_relay_bee, work);
	bee->collect_status = hf_bee_batch_collect(&bee->batch);
	hf_loop_post(bee->loop, &bee->collected_mail);
}

static void on_collected(struct hf_loop_mail *mail)
{
	struct hf_relay_bee *bee = HF_CONTAINER_OF(mail, struct hf_relay_bee, collected_mail);
	struct hf_bee_batch *b = &bee->batch;
	bee->state = HF_BEE_RESTS;
	if (bee->collect_status < 0) {
		give_up(bee, "read", bee->collect_status);
	} else if (bee->is_ending || bee->wants_rebuild) {
		next_batch(bee);
	} else if (b->rows.count == 0 && b->removed.length == 0) {
		/* True up to there, but nothing worth a commit. */
		bee->committed.position = bee->notes.position = b->to;
		hf_buffer_append(&b->forget, b->notes.data, b->notes.length);
		next_batch(bee);
	} else {
		bee->notes = bee->committed;
		bee->removed_at = 0;
		bee->skips_event = false;
		hf_bee_rows_clear(&bee->old_rows);
		bee->state = HF_BEE_PUTS;
		bee->put_us = hf_env_monotonic_us(bee->env);
		step(bee);
	}
}

static void collect(struct hf_relay_bee *bee)
{
	struct hf_bee_batch *b = &bee->batch;
	bee->seen_count = bee->noted_count;
	bee->next_since_us = 0;
	bee->seen_position = hf_store_position(bee->store);
	b->from = bee->committed.position;
	b->now_s = hf_env_wall_s(bee->env);
	b->event_count_max = bee->settings.batch_count;
	b->leaves_out_private = bee->settings.leaves_out_private;
	bee->state = HF_BEE_COLLECTS;
	if (bee->executor->submit(bee->executor, &bee->work) < 0) {
		bee->state = HF_BEE_RESTS;
		arm(bee, bee->settings.interval_ms);
	}
}

static void start(struct hf_relay_bee *bee)
{
	hf_loop_timer_cancel(bee->loop, &bee->timer);
	if (bee->must_reopen || bee->wants_rebuild) {
		int r = hf_bee_feeder_reopen(bee, bee->wants_rebuild);
		if (r < 0) {
			give_up(bee, "open", r);
			return;
		}
		bee->must_reopen = bee->wants_rebuild = false;
	}
	collect(bee);
}

/* Which version has what of the store, as of now. */
static void mark_version(struct hf_relay_bee *bee)
{
	const struct hf_tree *tree = hf_core_committed_tree(bee->core);
	if (bee->mark_fork != tree->fork)
		bee->mark_count = 0;
	bee->mark_fork = tree->fork;
	bool is_same = bee->mark_count > 0 && bee->marks[(bee->mark_count - 1) % HF_BEE_MARK_COUNT].version == tree->length;
	bee->mark_count += !is_same;
	bee->marks[(bee->mark_count - 1) % HF_BEE_MARK_COUNT] = (struct hf_bee_mark){tree->length, bee->committed.position};
}

int hf_relay_bee_position_at(const struct hf_relay_bee *bee, uint64_t version, uint64_t fork, uint64_t *position)
{
	size_t oldest = bee->mark_count > HF_BEE_MARK_COUNT ? bee->mark_count - HF_BEE_MARK_COUNT : 0;
	if (fork != bee->mark_fork || version > hf_core_committed_tree(bee->core)->length)
		return HF_ENOTFOUND;
	for (size_t i = bee->mark_count; i > oldest; i--) {
		const struct hf_bee_mark *mark = &bee->marks[(i - 1) % HF_BEE_MARK_COUNT];
		if (mark->version <= version) {
			*position = mark->position;
			return HF_OK;
		}
	}
	return HF_ENOTFOUND;
}

/* After a batch, or without one. */
static void next_batch(struct hf_relay_bee *bee)
{
	struct hf_bee_batch *b = &bee->batch;
	bee->state = HF_BEE_RESTS;
	mark_version(bee);
	if (bee->is_ending)
		return;
	if (b->is_complete) {
		bee->fed_count = bee->seen_count;
		bee->since_us = bee->next_since_us;
	}
	uint64_t backlog = b->doc_count > bee->committed.event_count ? b->doc_count - bee->committed.event_count : 0;
	bee->backlog_count = b->is_complete ? 0 : backlog;
	if (!b->is_complete || b->forget.length > 0 || bee->wants_rebuild || bee->noted_count - bee->seen_count >= bee->settings.batch_count)
		start(bee);
	else
		arm(bee, bee->noted_count != bee->seen_count ? bee->settings.interval_ms : HF_RELAY_BEE_IDLE_MS);
}

static void on_timer(struct hf_timer *timer)
{
	struct hf_relay_bee *bee = HF_CONTAINER_OF(timer, struct hf_relay_bee, timer);
	bool has_news = bee->noted_count != bee->seen_count || bee->batch.forget.length > 0 || bee->must_reopen || bee->wants_rebuild ||
		hf_store_position(bee->store) != bee->seen_position;
	if (bee->state != HF_BEE_RESTS)
		return;
	if (has_news)
		start(bee);
	else
		arm(bee, HF_RELAY_BEE_IDLE_MS);
}

void hf_relay_bee_note(struct hf_relay_bee *bee)
{
	uint64_t now_us = hf_loop_now_us(bee->loop);
	uint64_t *since_us = bee->state == HF_BEE_RESTS ? &bee->since_us : &bee->next_since_us;
	if (*since_us == 0)
		*since_us = now_us;
	bool is_first = bee->noted_count++ == bee->seen_count;
	if (bee->state != HF_BEE_RESTS || bee->must_reopen || bee->is_ending)
		return;
	if (bee->noted_count - bee->seen_count >= bee->settings.batch_count)
		start(bee);
	else if (is_first)
		arm(bee, bee->settings.interval_ms);
}

void hf_relay_bee_rebuild(struct hf_relay_bee *bee)
{
	bee->wants_rebuild = true;
	if (bee->state == HF_BEE_RESTS && !bee->is_ending)
		start(bee);
}

/* ---- Life ---- */

void hf_bee_feeder_init(struct hf_relay_bee *bee)
{
	bee->timer.fire = on_timer;
	bee->work.run = run_collect;
	bee->collected_mail.deliver = on_collected;
	bee->step_mail.deliver = on_step;
	bee->waiter.ready = on_ready;
	arm(bee, 0);
}

void hf_relay_bee_configure(struct hf_relay_bee *bee, const struct hf_relay_bee_settings *settings)
{
	bee->settings = *settings;
}

void hf_relay_bee_end(struct hf_relay_bee *bee)
{
	bee->is_ending = true;
	hf_loop_timer_cancel(bee->loop, &bee->timer);
}

bool hf_relay_bee_is_idle(const struct hf_relay_bee *bee)
{
	return bee->state == HF_BEE_RESTS;
}
