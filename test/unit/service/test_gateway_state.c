/* The shared state: what it promises is the same in the store and in Redis; and gateways that share a Redis see each other's changes. */
#include "gateway_fixture.h"

#include "service/gateway/redis.h"

static struct redis_server redis;
static const char *place; /* NULL: the store */

static struct hf_state_op op_of(enum hf_state_op_kind kind, const char *key, const char *value)
{
	return (struct hf_state_op){.kind = kind, .space = HF_STATE_RECORDS, .key = hf_slice_text(key), .value = hf_slice_text(value)};
}

static int commit_one(struct ground *g, struct hf_state_op op) { return commit_ops(g, &op, 1); }

static const char *value_at(struct ground *g, const char *key, uint64_t *revision)
{
	static char text[256];
	struct hf_state_entry entry;
	if (hf_state_get(g->state, HF_STATE_RECORDS, hf_slice_text(key), &entry) < 0)
		return NULL;
	snprintf(text, sizeof text, "%.*s", (int)entry.value.length, (const char *)entry.value.data);
	if (revision)
		*revision = entry.revision;
	return text;
}

static void test_what_is_put_is_read_after_its_commit_and_after_a_restart(void **state)
{
	struct ground *g = ground_new(place);
	uint64_t first = 0, second = 0;
	struct outcome outcome = {0};
	struct hf_state_op op = op_of(HF_STATE_PUT, "a", "one\n two");
	assert_int_equal(hf_state_commit(g->state, &op, 1, note_status, &outcome), HF_OK);
	assert_null(value_at(g, "a", NULL));
	turn_until(g, NULL, &outcome.is_done);
	assert_int_equal(outcome.status, HF_OK);
	assert_string_equal(value_at(g, "a", &first), "one\n two");
	assert_int_equal(commit_one(g, op_of(HF_STATE_PUT, "a", "")), HF_OK);
	assert_string_equal(value_at(g, "a", &second), "");
	assert_true(second > first);
	assert_int_equal(commit_one(g, op_of(HF_STATE_PUT, "b", "three")), HF_OK);
	assert_int_equal(commit_one(g, op_of(HF_STATE_DELETE, "b", "")), HF_OK);
	assert_int_equal(commit_one(g, op_of(HF_STATE_DELETE, "b", "")), HF_OK);
	assert_null(value_at(g, "b", NULL));
	hf_state_close(g->state);
	hf_store_close(g->store);
	ground_open_store(g);
	ground_open_state(g);
	assert_string_equal(value_at(g, "a", NULL), "");
	assert_null(value_at(g, "b", NULL));
	assert_int_equal(commit_one(g, op_of(HF_STATE_DELETE, "a", "")), HF_OK);
	ground_free(g);
}

static void test_conditions_hold_for_all_of_a_change(void **state)
{
	struct ground *g = ground_new(place);
	uint64_t revision = 0;
	assert_int_equal(commit_one(g, op_of(HF_STATE_PUT_NEW, "c", "1")), HF_OK);
	assert_int_equal(commit_one(g, op_of(HF_STATE_PUT_NEW, "c", "2")), HF_EEXISTS);
	assert_string_equal(value_at(g, "c", &revision), "1");
	struct hf_state_op ops[2] = {op_of(HF_STATE_PUT, "d", "x"), op_of(HF_STATE_PUT_IF, "c", "3")};
	ops[1].revision = revision + 1;
	assert_int_equal(commit_ops(g, ops, 2), HF_EBUSY);
	assert_null(value_at(g, "d", NULL));
	ops[1].revision = revision;
	assert_int_equal(commit_ops(g, ops, 2), HF_OK);
	assert_string_equal(value_at(g, "d", NULL), "x");
	assert_string_equal(value_at(g, "c", NULL), "3");
	ops[1].revision = 0;
	assert_int_equal(commit_ops(g, &ops[1], 1), HF_EBUSY);
	struct hf_state_op gone = op_of(HF_STATE_DELETE_IF, "c", "");
	gone.revision = revision;
	assert_int_equal(commit_one(g, gone), HF_EBUSY);
	value_at(g, "c", &gone.revision);
	assert_int_equal(commit_one(g, gone), HF_OK);
	assert_null(value_at(g, "c", NULL));
	ops[1].key = hf_slice_text("c");
	assert_int_equal(commit_ops(g, &ops[1], 1), HF_OK); /* revision 0: there is none */
	assert_int_equal(commit_one(g, op_of(HF_STATE_DELETE, "c", "")), HF_OK);
	assert_int_equal(commit_one(g, op_of(HF_STATE_DELETE, "d", "")), HF_OK);
	ground_free(g);
}

static void test_what_has_ended_is_gone_and_may_come_again(void **state)
{
	struct ground *g = ground_new(place);
	struct hf_state_op op = op_of(HF_STATE_PUT_NEW, "e", "1"), nonce = op_of(HF_STATE_PUT_NEW, "nonce", "1");
	nonce.space = HF_STATE_NONCES;
	op.end_ms = nonce.end_ms = hf_env_wall_ms(&g->env) + 100000;
	assert_int_equal(commit_one(g, op), HF_OK);
	assert_int_equal(commit_one(g, nonce), HF_OK);
	assert_int_equal(commit_one(g, nonce), HF_EEXISTS);
	assert_string_equal(value_at(g, "e", NULL), "1");
	clock_ahead_ms = 100001;
	assert_null(value_at(g, "e", NULL));
	/* Redis ends nonces by its own clock. */
	nonce.key = HF_SLICE_LITERAL("short");
	nonce.end_ms = hf_env_wall_ms(&g->env) + 1;
	assert_int_equal(commit_one(g, nonce), HF_OK);
	usleep(20000);
	op.end_ms = nonce.end_ms = hf_env_wall_ms(&g->env) + 100000;
	assert_int_equal(commit_one(g, op), HF_OK);
	assert_int_equal(commit_one(g, nonce), HF_OK);
	assert_int_equal(commit_one(g, op_of(HF_STATE_DELETE, "e", "")), HF_OK);
	clock_ahead_ms = 0;
	ground_free(g);
}

static void test_sequences_rise_and_secrets_stay(void **state)
{
	struct ground *g = ground_new(place);
	struct hf_failure failure;
	uint8_t secret[32], again[32], other[32];
	uint64_t first = next_number(g, "relay");
	assert_int_equal(next_number(g, "relay"), first + 1);
	assert_int_equal(next_number(g, "another"), 1);
	assert_int_equal(hf_state_secret(g->state, "tokens", secret, &failure), HF_OK);
	assert_int_equal(hf_state_secret(g->state, "others", other, &failure), HF_OK);
	assert_memory_not_equal(secret, other, 32);
	hf_state_close(g->state);
	hf_store_close(g->store);
	ground_open_store(g);
	ground_open_state(g);
	assert_int_equal(next_number(g, "relay"), first + 2);
	assert_int_equal(hf_state_secret(g->state, "tokens", again, &failure), HF_OK);
	assert_memory_equal(secret, again, 32);
	ground_free(g);
}

static void test_sizes_are_bounded(void **state)
{
	struct ground *g = ground_new(place);
	static char long_text[HF_STATE_VALUE_BYTES_MAX + 2];
	memset(long_text, 'x', sizeof long_text - 1);
	struct hf_state_op op = op_of(HF_STATE_PUT, "", "1"), many[HF_STATE_OPS_MAX + 1];
	assert_int_equal(hf_state_commit(g->state, &op, 1, NULL, NULL), HF_EINVAL);
	op = op_of(HF_STATE_PUT, "k", long_text);
	assert_int_equal(hf_state_commit(g->state, &op, 1, NULL, NULL), HF_EINVAL);
	op = op_of(HF_STATE_PUT, long_text, "1");
	assert_int_equal(hf_state_commit(g->state, &op, 1, NULL, NULL), HF_EINVAL);
	for (size_t i = 0; i <= HF_STATE_OPS_MAX; i++)
		many[i] = op_of(HF_STATE_PUT, "k", "1");
	assert_int_equal(hf_state_commit(g->state, many, HF_STATE_OPS_MAX + 1, NULL, NULL), HF_EINVAL);
	ground_free(g);
}

/* ---- Several gateways ---- */

struct heard {
	int is_heard;
	char value[64];
};

static int hear(void *context, enum hf_state_space space, struct hf_slice key, struct hf_slice value)
{
	struct heard *h = context;
	if (!hf_slice_equal(key, HF_SLICE_LITERAL("shared")))
		return HF_OK;
	h->is_heard = 1;
	snprintf(h->value, sizeof h->value, "%.*s", value.data ? (int)value.length : 4, value.data ? (const char *)value.data : "gone");
	return HF_OK;
}

static void test_gateways_that_share_redis_hear_of_each_others_changes(void **state)
{
	struct ground *a = ground_new(redis.url), *b = ground_new(redis.url);
	struct heard heard = {0};
	assert_int_equal(hf_state_listen(b->state, &(struct hf_state_events){.changed = hear, .context = &heard}), HF_OK);
	assert_int_equal(commit_one(a, op_of(HF_STATE_PUT, "shared", "by a")), HF_OK);
	turn_until(b, a, &heard.is_heard);
	assert_string_equal(heard.value, "by a");
	heard.is_heard = 0;
	assert_int_equal(commit_one(a, op_of(HF_STATE_DELETE, "shared", "")), HF_OK);
	turn_until(b, a, &heard.is_heard);
	assert_string_equal(heard.value, "gone");
	ground_free(a);
	ground_free(b);
}

static void test_numbers_of_a_shared_sequence_are_given_once(void **state)
{
	struct ground *grounds[2] = {ground_new(redis.url), ground_new(redis.url)};
	struct outcome outcomes[200] = {0};
	bool seen[201] = {0};
	for (int i = 0; i < 200; i++)
		assert_int_equal(hf_state_next(grounds[i % 2]->state, HF_SLICE_LITERAL("raced"), note_number, &outcomes[i]), HF_OK);
	for (int i = 0; i < 200; i++)
		turn_until(grounds[i % 2], grounds[1 - i % 2], &outcomes[i].is_done);
	for (int i = 0; i < 200; i++) {
		assert_in_range(outcomes[i].number, 1, 200);
		assert_false(seen[outcomes[i].number]);
		seen[outcomes[i].number] = true;
	}
	ground_free(grounds[0]);
	ground_free(grounds[1]);
}

static void test_a_record_that_two_gateways_change_keeps_one_of_both(void **state)
{
	struct ground *a = ground_new(redis.url), *b = ground_new(redis.url);
	struct outcome outcomes[2] = {0};
	struct hf_state_op op = op_of(HF_STATE_PUT_IF, "raced", "a");
	assert_int_equal(hf_state_commit(a->state, &op, 1, note_status, &outcomes[0]), HF_OK);
	op.value = HF_SLICE_LITERAL("b");
	assert_int_equal(hf_state_commit(b->state, &op, 1, note_status, &outcomes[1]), HF_OK);
	turn_until(a, b, &outcomes[0].is_done);
	turn_until(a, b, &outcomes[1].is_done);
	assert_int_equal(outcomes[0].status + outcomes[1].status, HF_EBUSY);
	ground_free(a);
	ground_free(b);
}

static void test_without_redis_reading_goes_on_and_what_was_missed_comes_later(void **state)
{
	struct ground *a = ground_new(redis.url);
	struct heard heard = {0};
	assert_int_equal(commit_one(a, op_of(HF_STATE_PUT, "shared", "kept")), HF_OK);
	assert_int_equal(hf_state_listen(a->state, &(struct hf_state_events){.changed = hear, .context = &heard}), HF_OK);
	redis_stop(&redis);
	assert_int_equal(commit_one(a, op_of(HF_STATE_PUT, "new", "x")), HF_EIO);
	assert_string_equal(value_at(a, "shared", NULL), "kept");
	for (int i = 0; i < 30000 && hf_state_is_connected(a->state); i++) {
		hf_loop_poll(a->loop, false);
		usleep(1000);
	}
	assert_false(hf_state_is_connected(a->state));
	/* It comes back empty, as after a loss: what it does not know is gone here, too. */
	redis_start(&redis);
	turn_until(a, NULL, &heard.is_heard);
	assert_string_equal(heard.value, "gone");
	assert_true(hf_state_is_connected(a->state));
	assert_int_equal(commit_one(a, op_of(HF_STATE_PUT, "new", "x")), HF_OK);
	ground_free(a);
}

/* ---- Addresses ---- */

static void test_addresses_of_redis_are_taken_apart(void **state)
{
	struct hf_redis_address a;
	struct hf_failure failure = {0};
	assert_int_equal(hf_redis_address_parse("redis://localhost", &a, &failure), HF_OK);
	assert_string_equal(a.host, "localhost");
	assert_int_equal(a.port, 6379);
	assert_int_equal(hf_redis_address_parse("redis://:p%40ss@[::1]:7000/3", &a, &failure), HF_OK);
	assert_string_equal(a.host, "::1");
	assert_string_equal(a.password, "p@ss");
	assert_string_equal(a.user, "");
	assert_int_equal(a.port, 7000);
	assert_int_equal(a.database, 3);
	assert_int_equal(hf_redis_address_parse("redis://me:secret@10.0.0.1", &a, &failure), HF_OK);
	assert_string_equal(a.user, "me");
	assert_int_equal(hf_redis_address_parse("unix:///run/redis.sock?db=2", &a, &failure), HF_OK);
	assert_string_equal(a.path, "/run/redis.sock");
	assert_int_equal(a.database, 2);
	assert_int_equal(hf_redis_address_parse("unix://:pw@/run/redis.sock", &a, &failure), HF_OK);
	assert_string_equal(a.password, "pw");
	assert_int_equal(hf_redis_address_parse("/run/redis.sock", &a, &failure), HF_OK);
	static const char *const wrong[] = {"", "redis://", "redis://host:0", "redis://host:70000", "redis://host/x", "http://host", "unix://relative",
		"unix:///a?x=1", "redis://user@host", "redis://host:6379/99999", "redis://a%00b", NULL};
	for (const char *const *w = wrong; *w; w++)
		assert_int_equal(hf_redis_address_parse(*w, &a, &failure), HF_EINVAL);
	assert_int_equal(hf_redis_address_parse("rediss://host", &a, &failure), HF_EINVAL);
	assert_non_null(strstr(failure.text, "stunnel"));
}

static void test_a_redis_that_is_not_there_is_said_at_the_start(void **state)
{
	struct ground *g = ground_new(NULL);
	struct hf_failure failure = {0};
	struct hf_state *other;
	struct hf_state_options options = {.size = sizeof options, .loop = g->loop, .store = g->store, .redis_url = "unix:///nowhere/redis.sock"};
	assert_int_equal(hf_state_open(&other, &options, &failure), HF_EADDR);
	assert_non_null(strstr(failure.text, "/nowhere/redis.sock"));
	ground_free(g);
}

static int in_store(void **state)
{
	place = NULL;
	return 0;
}

static int in_redis(void **state)
{
	redis_stop(&redis);
	redis_start(&redis);
	place = redis.url;
	return 0;
}

static int begin(void **state)
{
	redis_new(&redis);
	return 0;
}

static int end(void **state)
{
	redis_end(&redis);
	return 0;
}

#define IN_BOTH(test) cmocka_unit_test_setup(test, in_store), cmocka_unit_test_setup(test, in_redis)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOTH(test_what_is_put_is_read_after_its_commit_and_after_a_restart),
		IN_BOTH(test_conditions_hold_for_all_of_a_change),
		IN_BOTH(test_what_has_ended_is_gone_and_may_come_again),
		IN_BOTH(test_sequences_rise_and_secrets_stay),
		IN_BOTH(test_sizes_are_bounded),
		cmocka_unit_test_setup(test_gateways_that_share_redis_hear_of_each_others_changes, in_redis),
		cmocka_unit_test_setup(test_numbers_of_a_shared_sequence_are_given_once, in_redis),
		cmocka_unit_test_setup(test_a_record_that_two_gateways_change_keeps_one_of_both, in_redis),
		cmocka_unit_test_setup(test_without_redis_reading_goes_on_and_what_was_missed_comes_later, in_redis),
		cmocka_unit_test(test_addresses_of_redis_are_taken_apart),
		cmocka_unit_test(test_a_redis_that_is_not_there_is_said_at_the_start),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
