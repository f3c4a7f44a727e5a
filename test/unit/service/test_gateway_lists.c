/* What lists and questions cost as registrations grow, counted in records and map entries that are looked at, not in time; and that a list
 * which is read in pages leaves nothing out and tells nothing twice, whatever changes meanwhile. */
#include "registrar_fixture.h"

#include "base/map.h"
#include "base/ordered.h"
#include "service/gateway/front.h"
#include "service/gateway/internal.h"
#include "service/gateway/workers.h"

#define FEW 100
#define MANY 10000
#define WORKER_COUNT 3
#define RELAYS_OF_WORKER 20
#define BODY_RELAYS 250

/* ---- What is counted: each step of a walk over a map or an order, wherever it is made ---- */

static uint64_t steps;

void *__real_hf_map_next(const struct hf_map *map, size_t *cursor);
void *__wrap_hf_map_next(const struct hf_map *map, size_t *cursor);
void *__wrap_hf_map_next(const struct hf_map *map, size_t *cursor)
{
	steps++;
	return __real_hf_map_next(map, cursor);
}

struct hf_ordered_node *__real_hf_ordered_after(const struct hf_ordered *set, struct hf_slice key);
struct hf_ordered_node *__wrap_hf_ordered_after(const struct hf_ordered *set, struct hf_slice key);
struct hf_ordered_node *__wrap_hf_ordered_after(const struct hf_ordered *set, struct hf_slice key)
{
	steps++;
	return __real_hf_ordered_after(set, key);
}

/* ---- Workers that are here, without connections ---- */

static struct peer workers[WORKER_COUNT];
static struct hf_dispatcher *dispatcher;

struct hf_worker *__wrap_hf_workers_next(struct hf_workers *pool, size_t *cursor);
struct hf_worker *__wrap_hf_workers_next(struct hf_workers *pool, size_t *cursor)
{
	return *cursor < WORKER_COUNT ? (struct hf_worker *)(void *)&workers[(*cursor)++] : NULL;
}
const uint8_t *__wrap_hf_worker_key(const struct hf_worker *worker);
const uint8_t *__wrap_hf_worker_key(const struct hf_worker *worker) { return ((const struct peer *)(const void *)worker)->key; }
bool __wrap_hf_worker_is_hypertuna(const struct hf_worker *worker);
bool __wrap_hf_worker_is_hypertuna(const struct hf_worker *worker) { return false; }
bool __wrap_hf_worker_is_healthy(const struct hf_worker *worker);
bool __wrap_hf_worker_is_healthy(const struct hf_worker *worker) { return true; }
const struct hf_telemetry *__wrap_hf_worker_telemetry(const struct hf_worker *worker);
const struct hf_telemetry *__wrap_hf_worker_telemetry(const struct hf_worker *worker) { return NULL; }
uint64_t __wrap_hf_worker_connected_at_ms(const struct hf_worker *worker);
uint64_t __wrap_hf_worker_connected_at_ms(const struct hf_worker *worker) { return 1; }
uint32_t __wrap_hf_worker_stream_count(const struct hf_worker *worker);
uint32_t __wrap_hf_worker_stream_count(const struct hf_worker *worker) { return 0; }
struct hf_dispatcher *__wrap_hf_front_dispatcher(const struct hf_front *front);
struct hf_dispatcher *__wrap_hf_front_dispatcher(const struct hf_front *front) { return dispatcher; }
void __wrap_hf_front_stats(const struct hf_front *front, struct hf_front_stats *stats);
void __wrap_hf_front_stats(const struct hf_front *front, struct hf_front_stats *stats) { *stats = (struct hf_front_stats){0}; }

/* ---- Registrations ---- */

static void add_relays(struct desk *d, const struct peer *peer, const char *prefix, size_t from, size_t count)
{
	struct hf_buffer relays = {0};
	hf_buffer_append_text(&relays, "[");
	for (size_t i = from; i < from + count; i++)
		hf_buffer_printf(&relays, "%s{\"relayKey\":\"%s%06zu\",\"metadata\":{\"isPublic\":true,\"requiresAuth\":false}}", i > from ? "," : "", prefix,
			i);
	hf_buffer_append(&relays, "]", 2);
	assert_int_equal(register_relays(d, peer, (char *)relays.data), 200);
	hf_buffer_free(&relays);
}

/* The workers' own first, which are as many whatever there is beside. */
static struct desk *desk_with(size_t count)
{
	struct desk *d = desk_new(NULL, "", "", true, false);
	size_t made = 0;
	for (uint8_t i = 0; i < WORKER_COUNT; i++, made += RELAYS_OF_WORKER) {
		workers[i] = peer_of((uint8_t)(200 + i));
		add_relays(d, &workers[i], "w", made, RELAYS_OF_WORKER);
	}
	for (uint8_t i = 0; made < count; i++) {
		struct peer peer = peer_of(i);
		size_t some = count - made < BODY_RELAYS ? count - made : BODY_RELAYS;
		add_relays(d, &peer, "r", made, some);
		made += some;
	}
	assert_int_equal(hf_registry_count(d->registry), count);
	return d;
}

/* ---- Costs ---- */

struct costs {
	uint64_t registration, again, removal, coming, going, second, page, avatar;
	uint64_t served, unserved;
};

static void note_removed(void *context, int status, const char *refusal) { note_status(context, status); }

static void measure_registrations(struct desk *d, struct costs *c)
{
	struct peer newcomer = peer_of(100);
	const struct hf_registry_principal operator = {.is_operator = true};
	struct outcome removed = {0};
	const char *refusal;
	steps = 0;
	assert_int_equal(register_relays(d, &newcomer, "[\"new\"]"), 200);
	c->registration = steps;
	steps = 0;
	assert_int_equal(register_relays(d, &newcomer, "[\"new\"]"), 200);
	c->again = steps;
	steps = 0;
	assert_int_equal(hf_registry_remove(d->registry, HF_SLICE_LITERAL("new"), &operator, note_removed, &removed, &refusal), HF_OK);
	turn_until(d->ground, NULL, &removed.is_done);
	c->removal = steps;
}

static void measure_workers(struct desk *d, struct costs *c)
{
	steps = 0;
	for (size_t i = 0; i < WORKER_COUNT; i++)
		assert_int_equal(hf_registry_peer_is_reachable(d->registry, workers[i].key, true), HF_OK);
	c->coming = steps;
	steps = 0;
	const struct hf_registration *record = hf_registry_after_open(d->registry, (struct hf_slice){0});
	assert_string_equal(record->key, "w000000");
	c->avatar = steps;
	steps = 0;
	hf_registry_peer_is_reachable(d->registry, workers[0].key, false);
	c->going = steps;
}

/* What a gateway that is watched does each second: a snapshot, for which all metrics are read. */
static void measure_second(struct desk *d, struct costs *c)
{
	struct hf_gateway g = {.env = d->ground->env, .store = d->ground->store, .state = d->ground->state, .registry = d->registry,
		.tokens = d->tokens, .front = (struct hf_front *)(void *)workers, .metrics = hf_metrics_new()};
	const struct hf_dispatcher_options options = {.size = sizeof options, .seed = 1};
	assert_non_null(g.metrics);
	assert_int_equal(hf_config_new(&g.config), HF_OK);
	assert_int_equal(hf_dispatcher_new(&dispatcher, &options), HF_OK);
	snprintf(g.directory.path, sizeof g.directory.path, "%s", d->ground->scratch);
	assert_int_equal(hf_gateway_open_vitals(&g), HF_OK);
	steps = 0;
	json_t *snapshot = hf_gateway_snapshot(&g);
	c->second = steps;
	json_t *list = json_object_get(snapshot, "workers");
	assert_int_equal(json_array_size(list), WORKER_COUNT);
	json_t *paths = json_object_get(json_array_get(list, 1), "relays");
	assert_int_equal(json_array_size(paths), RELAYS_OF_WORKER);
	assert_string_equal(json_string_value(json_array_get(paths, 0)), "w000020"); /* in order, so that a list does not flicker */
	json_decref(snapshot);
	c->served = hf_registry_served_count(d->registry);
	c->unserved = hf_registry_count(d->registry) - c->served;
	hf_gateway_close_vitals(&g);
	hf_dispatcher_free(dispatcher);
	hf_config_free(g.config);
	hf_metrics_free(g.metrics);
}

static void measure_page(struct desk *d, struct costs *c)
{
	struct hf_slice after = {0};
	steps = 0;
	for (size_t i = 0; i < 10; i++)
		after = hf_slice_text(hf_registry_after(d->registry, after)->key);
	c->page = steps;
}

static struct costs measure(size_t count)
{
	struct costs c;
	struct desk *d = desk_with(count);
	measure_registrations(d, &c);
	measure_workers(d, &c);
	measure_second(d, &c);
	measure_page(d, &c);
	print_message("%5zu registrations: %llu steps for a new one, %llu again, %llu to remove one; %llu for %d workers that come, %llu for one that goes; "
		"%llu a second; %llu a page of 10; %llu for an avatar\n", count, (unsigned long long)c.registration, (unsigned long long)c.again,
		(unsigned long long)c.removal, (unsigned long long)c.coming, WORKER_COUNT, (unsigned long long)c.going, (unsigned long long)c.second,
		(unsigned long long)c.page, (unsigned long long)c.avatar);
	desk_free(d);
	return c;
}

static void test_costs_do_not_grow_with_the_number_of_registrations(void **state)
{
	struct costs few = measure(FEW), many = measure(MANY);
	assert_int_equal(few.served, (WORKER_COUNT - 1) * RELAYS_OF_WORKER);
	assert_int_equal(many.served, few.served);
	assert_int_equal(many.unserved - few.unserved, MANY - FEW);
	assert_int_equal(many.registration, few.registration);
	assert_int_equal(many.again, few.again);
	assert_int_equal(many.removal, few.removal);
	assert_int_equal(many.coming, few.coming);
	assert_int_equal(many.going, few.going);
	assert_int_equal(many.second, few.second);
	assert_int_equal(many.page, few.page);
	assert_int_equal(many.avatar, few.avatar);
	assert_in_range(many.registration, 0, 2);
	assert_in_range(many.second, 0, (WORKER_COUNT + 1) * (RELAYS_OF_WORKER + 2));
}

/* ---- Counters ---- */

static void test_counts_follow_records_and_peers(void **state)
{
	struct desk *d = desk_new(NULL, "", "", true, false);
	struct peer one = peer_of(1), stranger = peer_of(2);
	hf_registry_peer_is_reachable(d->registry, one.key, true);
	add_relays(d, &one, "a", 0, 3);
	assert_int_equal(hf_registry_served_count(d->registry), 3);
	add_relays(d, &stranger, "b", 0, 2);
	assert_int_equal(hf_registry_served_count(d->registry), 3);
	add_relays(d, &one, "a", 1, 1);
	assert_int_equal(hf_registry_served_count(d->registry), 3);
	hf_registry_peer_is_reachable(d->registry, one.key, false);
	assert_int_equal(hf_registry_served_count(d->registry), 0);
	assert_null(hf_registry_after_open(d->registry, (struct hf_slice){0}));
	assert_true(hf_registry_find(d->registry, HF_SLICE_LITERAL("a000001"))->peers[0].unreachable_since_ms > 0);
	hf_registry_peer_is_reachable(d->registry, one.key, true);
	hf_registry_peer_is_reachable(d->registry, one.key, true);
	assert_int_equal(hf_registry_served_count(d->registry), 3);
	/* Not everybody may read it. */
	assert_int_equal(register_relays(d, &one, "[{\"relayKey\":\"a000000\",\"metadata\":{\"requiresAuth\":true}}]"), 200);
	assert_string_equal(hf_registry_after_open(d->registry, (struct hf_slice){0})->key, "a000001");
	assert_int_equal(hf_registry_served_count(d->registry), 3);
	const struct hf_state_op gone = {.kind = HF_STATE_DELETE, .space = HF_STATE_RECORDS, .key = HF_SLICE_LITERAL("a000001")};
	assert_int_equal(commit_ops(d->ground, &gone, 1), HF_OK);
	assert_int_equal(hf_registry_served_count(d->registry), 2);
	assert_string_equal(hf_registry_after_open(d->registry, (struct hf_slice){0})->key, "a000002");
	assert_string_equal(hf_registry_after_of_peer(d->registry, one.key, HF_SLICE_LITERAL("a000000"))->key, "a000002");
	assert_null(hf_registry_after_of_peer(d->registry, one.key, HF_SLICE_LITERAL("a000002")));
	desk_free(d);
}

static void test_a_peers_own_are_counted_down_when_they_go(void **state)
{
	struct desk *d = desk_new(NULL, "", "", true, false);
	struct peer peer = peer_of(1);
	add_relays(d, &peer, "r", 0, HF_REGISTRATION_RELAY_COUNT_MAX);
	assert_int_equal(register_relays(d, &peer, "[\"more\"]"), 429);
	const struct hf_state_op gone = {.kind = HF_STATE_DELETE, .space = HF_STATE_RECORDS, .key = HF_SLICE_LITERAL("r000007")};
	assert_int_equal(commit_ops(d->ground, &gone, 1), HF_OK);
	assert_int_equal(register_relays(d, &peer, "[\"more\"]"), 200);
	assert_int_equal(register_relays(d, &peer, "[\"and-more\"]"), 429);
	desk_free(d);
}

/* ---- Pages ---- */

static void remove_record(struct desk *d, const char *key)
{
	const struct hf_state_op gone = {.kind = HF_STATE_DELETE, .space = HF_STATE_RECORDS, .key = hf_slice_text(key)};
	assert_int_equal(commit_ops(d->ground, &gone, 1), HF_OK);
}

/* Between all pages records come, go and change, the one of the cursor among them. */
static void read_registrations(struct desk *d)
{
	struct peer peer = peer_of(1), other = peer_of(2);
	char after[64] = "", text[64];
	size_t seen[300] = {0}, count = 0;
	add_relays(d, &peer, "m", 0, 100);
	for (const struct hf_registration *r; (r = hf_registry_after(d->registry, hf_slice_text(after))) != NULL; count++) {
		assert_true(strcmp(r->key, after) > 0);
		snprintf(after, sizeof after, "%s", r->key);
		if (r->key[0] == 'm')
			seen[strtoul(r->key + 1, NULL, 10)]++;
		if (count % 10 != 9)
			continue;
		snprintf(text, sizeof text, "[\"a%zu\",\"z%zu\"]", count, count);
		assert_int_equal(register_relays(d, &other, text), 200);
		if (strcmp(after, "m000049") == 0)
			remove_record(d, after);
		if (after[0] == 'm')
			add_relays(d, &peer, "m", 60, 10);
	}
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(seen[i], 1);
}

static void test_pages_are_whole_whatever_changes(void **state)
{
	struct desk *d = desk_new(NULL, "", "", true, false);
	read_registrations(d);
	desk_free(d);
	struct redis_server server;
	redis_new(&server);
	d = desk_new(server.url, "", "", true, false);
	read_registrations(d);
	desk_free(d);
	redis_end(&server);
}

static void test_tokens_are_listed_by_their_ids(void **state)
{
	struct desk *d = desk_new(NULL, "", "", true, false);
	struct peer peer = peer_of(1);
	struct hf_token_claims claims;
	const char *name;
	char after[2 * HF_TOKEN_ID_BYTES + 1] = "", next[sizeof after] = "";
	size_t count = 0;
	add_relays(d, &peer, "r", 0, 1);
	for (int i = 0; i < 50; i++)
		assert_int_equal(token_by(d, &peer, HF_REGISTRAR_ISSUE, ",\"relayKey\":\"r000000\",\"relayAuthToken\":\"x\""), 200);
	for (; hf_tokens_after(d->tokens, hf_slice_text(after), &claims, &name); count++) {
		hf_hex_encode(next, claims.id, sizeof claims.id);
		assert_true(strcmp(next, after) > 0);
		strcpy(after, next);
		/* One more, and its own end, between any two. */
		if (count == 10) {
			const struct hf_state_op gone = {.kind = HF_STATE_DELETE, .space = HF_STATE_TOKENS, .key = hf_slice_text(after)};
			assert_int_equal(commit_ops(d->ground, &gone, 1), HF_OK);
		}
	}
	assert_int_equal(count, 50);
	desk_free(d);
}

/* ---- What has ended ---- */

static uint64_t (*real_monotonic_us)(struct hf_env *env);
static uint64_t late_monotonic_us(struct hf_env *env) { return real_monotonic_us(env) + HF_STATE_SWEEP_MS * 1000ull; }

static void do_nothing(struct hf_timer *timer) {}

static void test_what_has_ended_is_swept_without_looking_at_the_rest(void **state)
{
	struct desk *d = desk_new(NULL, "", "", true, false);
	struct peer peer = peer_of(1);
	char key[32];
	struct hf_timer waker = {.fire = do_nothing}; /* the loop looks at its clock */
	add_relays(d, &peer, "r", 0, 200);
	for (int i = 0; i < 600; i++) {
		snprintf(key, sizeof key, "nonce%d", i);
		const struct hf_state_op op = {.kind = HF_STATE_PUT, .space = HF_STATE_NONCES, .key = hf_slice_text(key), .value = HF_SLICE_LITERAL("x"),
			.end_ms = now_of(d) + 1000};
		assert_int_equal(hf_state_commit(d->ground->state, &op, 1, NULL, NULL), HF_OK);
	}
	while (hf_state_count(d->ground->state, HF_STATE_NONCES) < 600)
		hf_loop_poll(d->ground->loop, true);
	clock_ahead_ms = 5000;
	steps = 0;
	/* More than a sweep takes: the next ones follow at once. */
	hf_loop_timer_set(d->ground->loop, &waker, 1);
	real_monotonic_us = d->ground->env.monotonic_us;
	d->ground->env.monotonic_us = late_monotonic_us;
	uint64_t until_ms = hf_env_monotonic_ms(&d->ground->env) + 20000;
	while (hf_state_count(d->ground->state, HF_STATE_NONCES) > 1 && hf_env_monotonic_ms(&d->ground->env) < until_ms)
		hf_loop_poll(d->ground->loop, false);
	assert_int_equal(hf_state_count(d->ground->state, HF_STATE_NONCES), 1); /* that of the registration */
	assert_in_range(steps, 600, 610);
	clock_ahead_ms = 0;
	desk_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_costs_do_not_grow_with_the_number_of_registrations),
		cmocka_unit_test(test_counts_follow_records_and_peers),
		cmocka_unit_test(test_a_peers_own_are_counted_down_when_they_go),
		cmocka_unit_test(test_pages_are_whole_whatever_changes),
		cmocka_unit_test(test_tokens_are_listed_by_their_ids),
		cmocka_unit_test(test_what_has_ended_is_swept_without_looking_at_the_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
