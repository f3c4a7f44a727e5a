/* state: the copy in memory, who is told of changes, and the changes' way to the place that keeps them and back. Memory changes only when a
 * change has come back, so what is read is always committed. */
#include "service/gateway/state_private.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"

static struct hf_log_module log_module = HF_LOG_MODULE("state");

static const char space_letters[HF_STATE_SPACE_COUNT + 1] = "rtnfsk";

int hf_state_space_index(enum hf_state_space space)
{
	const char *found = space ? strchr(space_letters, (int)space) : NULL;
	return found ? (int)(found - space_letters) : HF_EINVAL;
}

/* ---- Memory ---- */

static struct hf_slice key_of(const struct hf_state_memory *m) { return hf_slice(m->bytes, m->key_length); }
static struct hf_slice value_of(const struct hf_state_memory *m) { return hf_slice(m->bytes + m->key_length, m->value_length); }

static bool has_ended(const struct hf_state *s, const struct hf_state_memory *m)
{
	return m->end_ms != 0 && m->end_ms <= hf_env_wall_ms(s->env);
}

static struct hf_state_memory *new_memory(struct hf_slice key, struct hf_slice value, uint64_t end_ms)
{
	struct hf_state_memory *m = malloc(sizeof *m + key.length + value.length);
	if (!m)
		return NULL;
	*m = (struct hf_state_memory){.end_ms = end_ms, .key_length = key.length, .value_length = value.length};
	memcpy(m->bytes, key.data, key.length);
	if (value.length > 0)
		memcpy(m->bytes + key.length, value.data, value.length);
	return m;
}

/* HF_ENOMEM when one of them has to hear of it again. */
static int tell(struct hf_state *s, enum hf_state_space space, struct hf_slice key, struct hf_slice value)
{
	int r = HF_OK;
	for (size_t i = 0; i < s->listener_count; i++)
		if (s->listeners[i].changed(s->listeners[i].context, space, key, value) == HF_ENOMEM)
			r = HF_ENOMEM;
	return r;
}

/* The timer is armed from the opening to the end, so that moving it needs no memory. */
static void tell_of(struct hf_state *s, struct hf_state_memory *m)
{
	m->is_untold = tell(s, m->space, key_of(m), value_of(m)) < 0;
	if (!m->is_untold || s->is_closing)
		return;
	s->untold_count++;
	hf_loop_timer_set(s->loop, &s->sweep_timer, HF_STATE_RETELL_MS);
}

static void retell(struct hf_state *s)
{
	s->untold_count = 0;
	for (int i = 0; i < HF_STATE_SPACE_COUNT; i++) {
		size_t cursor = 0;
		for (struct hf_state_memory *m; (m = hf_map_next(&s->spaces[i], &cursor)) != NULL;)
			if (m->is_untold)
				tell_of(s, m);
	}
}

/* So that the order of bytes is that of numbers. */
static void store_in_order(uint8_t out[static 8], uint64_t value)
{
	hf_store_le64(out, __builtin_bswap64(value));
}

static void take_out(struct hf_state *s, struct hf_map *map, struct hf_state_memory *m)
{
	hf_map_remove(map, key_of(m));
	if (m->end_ms != 0)
		hf_ordered_remove(&s->ends, &m->end);
	s->entry_count--;
}

static void forget(struct hf_state *s, struct hf_map *map, struct hf_state_memory *m)
{
	take_out(s, map, m);
	tell(s, m->space, key_of(m), (struct hf_slice){0});
	free(m);
}

/* Takes m. Where there is an entry of that key, or room was reserved, it needs no memory. HF_ENOMEM: it is not there. */
static int put(struct hf_state *s, enum hf_state_space space, struct hf_state_memory *m)
{
	struct hf_map *map = &s->spaces[hf_state_space_index(space)];
	struct hf_state_memory *old = hf_map_get(map, key_of(m));
	if (old && old->revision >= m->revision) {
		free(m);
		return HF_OK;
	}
	/* The key of a map's entry lies in its value, so the old one goes first. */
	if (old)
		take_out(s, map, old);
	int r = hf_map_put(map, key_of(m), m, NULL);
	if (r < 0) {
		free(m);
		return r;
	}
	s->entry_count++;
	m->space = space;
	if (m->end_ms != 0) {
		store_in_order(m->end_key, m->end_ms);
		store_in_order(m->end_key + 8, (uintptr_t)m);
		hf_ordered_put(&s->ends, &m->end, hf_slice(m->end_key, sizeof m->end_key));
	}
	tell_of(s, m);
	free(old);
	return HF_OK;
}

int hf_state_apply(struct hf_state *s, enum hf_state_space space, struct hf_slice key, struct hf_slice value, uint64_t revision,
	uint64_t end_ms)
{
	struct hf_map *map = &s->spaces[hf_state_space_index(space)];
	struct hf_state_memory *old = hf_map_get(map, key);
	if (old && old->revision >= revision)
		return HF_OK;
	if (!value.data) {
		if (old)
			forget(s, map, old);
		return HF_OK;
	}
	struct hf_state_memory *m = new_memory(key, value, end_ms);
	if (!m)
		return HF_ENOMEM;
	m->revision = revision;
	return put(s, space, m);
}

static void fill(const struct hf_state_memory *m, struct hf_state_entry *entry)
{
	*entry = (struct hf_state_entry){.key = key_of(m), .value = value_of(m), .revision = m->revision, .end_ms = m->end_ms};
}

int hf_state_get(const struct hf_state *s, enum hf_state_space space, struct hf_slice key, struct hf_state_entry *entry)
{
	int index = hf_state_space_index(space);
	const struct hf_state_memory *m = index < 0 ? NULL : hf_map_get(&s->spaces[index], key);
	if (!m || has_ended(s, m))
		return HF_ENOTFOUND;
	fill(m, entry);
	return HF_OK;
}

bool hf_state_next_entry(const struct hf_state *s, enum hf_state_space space, size_t *cursor, struct hf_state_entry *entry)
{
	int index = hf_state_space_index(space);
	for (const struct hf_state_memory *m; index >= 0 && (m = hf_map_next(&s->spaces[index], cursor)) != NULL;)
		if (!has_ended(s, m)) {
			fill(m, entry);
			return true;
		}
	return false;
}

uint64_t hf_state_count(const struct hf_state *s, enum hf_state_space space)
{
	int index = hf_state_space_index(space);
	return index < 0 ? 0 : s->spaces[index].count;
}

bool hf_state_is_shared(const struct hf_state *s) { return s->is_shared; }
bool hf_state_is_connected(const struct hf_state *s) { return s->is_connected; }

int hf_state_listen(struct hf_state *s, const struct hf_state_events *events)
{
	if (s->listener_count == HF_STATE_LISTENERS_MAX)
		return HF_ENOMEM;
	s->listeners[s->listener_count++] = *events;
	return HF_OK;
}

/* ---- Changes ---- */

/* Whether what an op has put is kept in memory here. */
static bool is_kept(const struct hf_state *s, const struct hf_state_op *op)
{
	return op->kind <= HF_STATE_PUT_IF && op->space != HF_STATE_SEQUENCES && !(s->is_shared && op->space == HF_STATE_NONCES);
}

static void apply_ops(struct hf_state *s, struct hf_state_change *c)
{
	for (size_t i = 0; i < c->op_count; i++) {
		const struct hf_state_op *op = &c->ops[i];
		if (op->kind > HF_STATE_PUT_IF) {
			hf_state_apply(s, op->space, op->key, (struct hf_slice){0}, c->revision, 0);
			continue;
		}
		if (!is_kept(s, op))
			continue;
		c->memory[i]->revision = c->revision;
		if (put(s, op->space, c->memory[i]) < 0)
			hf_log_error(&log_module, "out of memory; a change is committed but not seen here", NULL);
		c->memory[i] = NULL;
	}
}

static void free_change(struct hf_state_change *c)
{
	for (size_t i = 0; i < c->op_count; i++)
		free(c->memory[i]);
	free(c);
}

static void deliver(struct hf_loop_mail *mail)
{
	struct hf_state_change *c = HF_CONTAINER_OF(mail, struct hf_state_change, mail);
	struct hf_state *s = c->state;
	s->pending_count--;
	s->sweep_count -= c->is_sweep;
	hf_gauge_set(&s->pending_gauge, s->pending_count);
	if (c->status == HF_OK && !c->is_next)
		apply_ops(s, c);
	else if (c->status == HF_EIO || c->status == HF_ENOSPC)
		hf_counter_add(&s->failed, 1);
	hf_gauge_set(&s->entries_gauge, (int64_t)s->entry_count);
	if (c->is_next)
		c->next_done(c->context, c->status, c->number);
	else if (c->done)
		c->done(c->context, c->status);
	free_change(c);
}

void hf_state_return(struct hf_state_change *c)
{
	c->mail.deliver = deliver;
	hf_loop_post(c->state->loop, &c->mail);
}

/* With all the memory that it takes when it is committed. */
static struct hf_state_change *new_change(struct hf_state *s, const struct hf_state_op *ops, size_t count)
{
	size_t more = ((size_t)s->pending_count + 1) * HF_STATE_OPS_MAX;
	struct hf_state_change *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->state = s;
	c->now_ms = hf_env_wall_ms(s->env);
	for (size_t i = 0; i < count; i++) {
		struct hf_state_memory *m = new_memory(ops[i].key, ops[i].value, ops[i].end_ms);
		bool has_room = m && (!is_kept(s, &ops[i]) || hf_map_reserve(&s->spaces[hf_state_space_index(ops[i].space)], more) == HF_OK);
		c->memory[i] = m;
		c->op_count = i + 1;
		if (!has_room) {
			free_change(c);
			return NULL;
		}
		c->ops[i] = ops[i];
		c->ops[i].key = key_of(m);
		c->ops[i].value = value_of(m);
	}
	return c;
}

static void submit(struct hf_state *s, struct hf_state_change *c)
{
	s->pending_count++;
	hf_gauge_set(&s->pending_gauge, s->pending_count);
	s->place->submit(s, c);
}

static int check_ops(const struct hf_state *s, const struct hf_state_op *ops, size_t count)
{
	size_t added = 0;
	if (s->is_closing)
		return HF_ECLOSED;
	if (s->pending_count >= HF_STATE_PENDING_MAX)
		return HF_EBUSY;
	if (count == 0 || count > HF_STATE_OPS_MAX)
		return HF_EINVAL;
	for (size_t i = 0; i < count; i++) {
		const struct hf_state_op *op = &ops[i];
		int index = hf_state_space_index(op->space);
		if (index < 0 || op->key.length == 0 || op->key.length > HF_STATE_KEY_BYTES_MAX || op->value.length > HF_STATE_VALUE_BYTES_MAX)
			return HF_EINVAL;
		added += op->kind <= HF_STATE_PUT_IF && !hf_map_get(&s->spaces[index], op->key);
	}
	return added > 0 && s->entry_count + s->pending_count + added > s->entries_max ? HF_ETOOBIG : HF_OK;
}

int hf_state_commit(struct hf_state *s, const struct hf_state_op *ops, size_t count, void (*done)(void *context, int status), void *context)
{
	int r = check_ops(s, ops, count);
	struct hf_state_change *c = r == HF_OK ? new_change(s, ops, count) : NULL;
	if (!c)
		return r < 0 ? r : HF_ENOMEM;
	c->done = done;
	c->context = context;
	submit(s, c);
	return HF_OK;
}

int hf_state_next(struct hf_state *s, struct hf_slice key, void (*done)(void *context, int status, uint64_t number), void *context)
{
	const struct hf_state_op op = {.kind = HF_STATE_PUT, .space = HF_STATE_SEQUENCES, .key = key};
	int r = check_ops(s, &op, 1);
	struct hf_state_change *c = r == HF_OK ? new_change(s, &op, 1) : NULL;
	if (!c)
		return r < 0 ? r : HF_ENOMEM;
	c->is_next = true;
	c->next_done = done;
	c->context = context;
	submit(s, c);
	return HF_OK;
}

int hf_state_secret(struct hf_state *s, const char *name, uint8_t out[static 32], struct hf_failure *failure)
{
	return s->place->secret(s, name, out, failure);
}

/* ---- What has ended ---- */

/* True: there is more. */
static bool sweep(struct hf_state *s)
{
	struct hf_ordered_node *node = hf_ordered_after(&s->ends, (struct hf_slice){0});
	size_t count = 0;
	/* One by one: another gateway may have swept some of them, and a condition that does not hold would keep all others. */
	for (; node && count < HF_STATE_SWEEP_OPS && s->pending_count < HF_STATE_PENDING_MAX; node = hf_ordered_after(&s->ends, node->key)) {
		const struct hf_state_memory *m = HF_CONTAINER_OF(node, struct hf_state_memory, end);
		if (!has_ended(s, m))
			return false;
		const struct hf_state_op op = {.kind = HF_STATE_DELETE_IF, .space = m->space, .key = key_of(m), .revision = m->revision};
		struct hf_state_change *c = new_change(s, &op, 1);
		if (!c)
			return true;
		c->is_sweep = true;
		s->sweep_count++;
		submit(s, c);
		count++;
	}
	return node != NULL;
}

static void sweep_now(struct hf_timer *timer)
{
	struct hf_state *s = HF_CONTAINER_OF(timer, struct hf_state, sweep_timer);
	hf_loop_timer_set(s->loop, timer, HF_STATE_SWEEP_MS);
	if (s->untold_count > 0)
		retell(s);
	/* What was swept before is on its way still, and would be swept twice. */
	if (s->is_connected && s->sweep_count == 0 && sweep(s))
		hf_loop_timer_set(s->loop, timer, HF_STATE_RETELL_MS);
}

/* ---- The whole ---- */

static void register_metrics(struct hf_state *s)
{
	hf_gauge_register(s->metrics, &s->entries_gauge, "holdfast_state_entries", "", "Registrations, tokens and what else gateways share");
	hf_gauge_register(s->metrics, &s->pending_gauge, "holdfast_state_pending", "", "Changes of the shared state that are not committed yet");
	hf_gauge_register(s->metrics, &s->connected_gauge, "holdfast_state_connected", "",
		"1: the shared state can be changed, and others' changes come");
	hf_counter_register(s->metrics, &s->failed, "holdfast_state_failed_total", "", "Changes of the shared state that failed");
}

static void unregister_metrics(struct hf_state *s)
{
	hf_metric_unregister(s->metrics, &s->entries_gauge.link);
	hf_metric_unregister(s->metrics, &s->pending_gauge.link);
	hf_metric_unregister(s->metrics, &s->connected_gauge.link);
	hf_metric_unregister(s->metrics, &s->failed.link);
}

static void free_state(struct hf_state *s)
{
	for (int i = 0; i < HF_STATE_SPACE_COUNT; i++) {
		size_t cursor = 0;
		for (void *m; (m = hf_map_next(&s->spaces[i], &cursor)) != NULL;)
			free(m);
		hf_map_free(&s->spaces[i]);
	}
	free(s);
}

int hf_state_open(struct hf_state **out, const struct hf_state_options *options, struct hf_failure *failure)
{
	bool is_redis = options->redis_url && options->redis_url[0];
	struct hf_state *s = calloc(1, sizeof *s);
	uint64_t seed;
	*out = NULL;
	if (!s)
		return hf_fail(failure, HF_ENOMEM, "Out of memory while opening the shared state.");
	s->loop = options->loop;
	s->env = hf_loop_env(options->loop);
	s->store = options->store;
	s->metrics = options->metrics;
	s->is_shared = is_redis;
	s->entries_max = options->entries_max ? options->entries_max : HF_STATE_ENTRIES_MAX;
	s->sweep_timer.fire = sweep_now;
	s->env->random(s->env, &seed, sizeof seed);
	for (int i = 0; i < HF_STATE_SPACE_COUNT; i++)
		hf_map_init(&s->spaces[i], seed);
	s->ends.seed = seed;
	int r = hf_loop_timer_set(s->loop, &s->sweep_timer, HF_STATE_SWEEP_MS);
	if (r < 0) {
		free_state(s);
		return hf_fail(failure, r, "Out of memory while opening the shared state.");
	}
	r = is_redis ? hf_state_redis_open(s, options->redis_url, options->redis_prefix ? options->redis_prefix : "holdfast:", failure) :
		hf_state_store_open(s, failure);
	if (r < 0) {
		hf_loop_timer_cancel(s->loop, &s->sweep_timer);
		free_state(s);
		return r;
	}
	register_metrics(s);
	hf_gauge_set(&s->entries_gauge, (int64_t)s->entry_count);
	hf_gauge_set(&s->connected_gauge, 1);
	*out = s;
	return HF_OK;
}

void hf_state_close(struct hf_state *s)
{
	if (!s)
		return;
	s->is_closing = true;
	for (size_t i = 0; i < s->listener_count; i++)
		if (s->listeners[i].closing)
			s->listeners[i].closing(s->listeners[i].context);
	hf_loop_timer_cancel(s->loop, &s->sweep_timer);
	while (s->pending_count > 0)
		hf_loop_poll(s->loop, true);
	if (s->place->close)
		s->place->close(s);
	unregister_metrics(s);
	free_state(s);
}
