/* A mux inside of a channel of another: opened by both sides, carrying whatever is said in it, ending with either. */
#include "protomux_fixture.h"

#include "crypto/sign.h"
#include "support/fail_alloc.h"
#include "wire/bee_channel.h"

struct peer {
	struct side side;
	struct hf_bee_channel *channel;
	struct hf_protomux *mux; /* nested */
	struct hf_channel *nested;
	struct hf_secret_stream_pool *pool;
	uint8_t secret[HF_SIGN_SECRET_BYTES];
	size_t received_bytes;
	bool is_quiet;
};

static uint64_t now_us;

static uint64_t monotonic_us(struct hf_env *env)
{
	return now_us;
}

static uint64_t wall_ms(struct hf_env *env)
{
	return 1700000000000;
}

static void fill(struct hf_env *env, void *out, size_t length)
{
	static uint8_t next;

	for (size_t i = 0; i < length; i++)
		((uint8_t *)out)[i] = next++;
}

static struct hf_env env = {.monotonic_us = monotonic_us, .wall_ms = wall_ms, .random = fill};

static int on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct peer *p = context;

	p->received_bytes += body.length;
	if (body.length < 20)
		side_log(&p->side, "message %.*s", (int)body.length, (const char *)body.data);
	return HF_OK;
}

static void on_nested_closed(struct hf_channel *channel, void *context, enum hf_channel_end end)
{
	((struct peer *)context)->nested = NULL;
}

static void on_drain(struct hf_channel *channel, void *context)
{
	side_log(&((struct peer *)context)->side, "drain");
}

static void on_opened(void *context, struct hf_bee_channel *channel, struct hf_protomux *mux,
	const uint8_t handshake_hash[HF_STATIC HF_HANDSHAKE_HASH_BYTES])
{
	static const struct hf_channel_events nested_events = {
		.message_types = 1, .message = on_message, .close = on_nested_closed, .drain = on_drain};
	struct peer *p = context;
	const struct hf_channel_options options = {.protocol = HF_SLICE_LITERAL("nested"), .events = &nested_events, .context = p};

	p->mux = mux;
	assert_int_equal(hf_protomux_open(mux, &options, &p->nested), HF_OK);
	side_log(&p->side, "opened");
}

static void on_closed(void *context, struct hf_bee_channel *channel, int code, const char *why)
{
	struct peer *p = context;

	assert_null(p->nested);
	if (!p->is_quiet)
		side_log(&p->side, "closed %s %s", hf_error_name(code), why);
}

static const struct hf_bee_channel_events events = {.opened = on_opened, .closed = on_closed};

static int start(struct peer *p, bool is_initiator, const uint8_t *bee_key)
{
	const struct hf_bee_channel_options options = {.is_initiator = is_initiator,
		.is_upload = !is_initiator,
		.bee_key = bee_key,
		.env = &env,
		.pool = p->pool,
		.static_secret = p->secret,
		.events = &events,
		.context = p};

	return hf_bee_channel_new(p->side.mux, &options, &p->channel);
}

static void set_up(struct peer *p, struct peer *other, uint8_t seed_byte)
{
	uint8_t seed[HF_SIGN_SEED_BYTES] = {seed_byte}, public_key[HF_SIGN_PUBLIC_BYTES];

	*p = (struct peer){0};
	side_init(&p->side, &other->side, NULL);
	hf_sign_keypair_from_seed(public_key, p->secret, seed);
	assert_int_equal(hf_secret_stream_pool_new(&p->pool), HF_OK);
}

static void begin(struct peer *a, struct peer *b, const uint8_t *a_key, const uint8_t *b_key)
{
	set_up(a, b, 1);
	set_up(b, a, 2);
	assert_int_equal(start(a, true, a_key), HF_OK);
	assert_int_equal(start(b, false, b_key), HF_OK);
	side_exchange(&a->side, &b->side);
}

static void finish(struct peer *p)
{
	p->is_quiet = true;
	hf_bee_channel_free(p->channel);
	side_done(&p->side);
	hf_secret_stream_pool_free(p->pool);
}

static void end(struct peer *a, struct peer *b)
{
	finish(a);
	finish(b);
}

static const uint8_t key[32] = {1}, other_key[32] = {2};

static void test_what_is_said_inside_arrives(void **state)
{
	struct peer a, b;

	begin(&a, &b, NULL, key);
	side_expect(&a.side, "opened\n");
	side_expect(&b.side, "opened\n");
	assert_memory_equal(hf_bee_channel_remote_key(a.channel), key, 32);
	assert_null(hf_bee_channel_remote_key(b.channel));
	assert_int_equal(side_say(a.nested, 0, "hello"), HF_OK);
	assert_int_equal(side_say(b.nested, 0, "back"), HF_OK);
	side_exchange(&a.side, &b.side);
	side_expect(&a.side, "message back\n");
	side_expect(&b.side, "message hello\n");
	end(&a, &b);
}

static void test_another_bee_is_refused(void **state)
{
	struct peer a, b;

	begin(&a, &b, other_key, key);
	side_expect(&a.side, "closed HF_EDENIED The remote replicates another bee.\n");
	assert_null(a.mux);
	assert_null(b.mux);
	end(&a, &b);
}

static void test_both_end_when_one_closes(void **state)
{
	struct peer a, b;

	begin(&a, &b, key, key);
	a.is_quiet = true;
	hf_bee_channel_free(a.channel);
	a.channel = NULL;
	side_exchange(&a.side, &b.side);
	side_expect(&b.side, "opened\nclosed HF_ECLOSED The remote has closed it.\n");
	assert_true(hf_bee_channel_deadline_ms(b.channel) == UINT64_MAX);
	hf_bee_channel_tick(b.channel);
	end(&a, &b);
}

static void test_bytes_that_are_no_nested_stream_end_it_alone(void **state)
{
	struct peer a, b;

	begin(&a, &b, key, key);
	assert_int_equal(side_recv(&a.side, "0100" "04" "01000077"), HF_OK);
	side_expect(&a.side, "opened\nclosed HF_EMALFORMED The nested stream is refused.\n");
	assert_int_equal(hf_protomux_channel_count(a.side.mux), 0);
	assert_int_equal(side_recv(&a.side, "00"), HF_EMALFORMED); /* the outer mux had been well */
	end(&a, &b);
}

static void test_what_waits_for_the_outer_stream_goes_when_it_drains(void **state)
{
	static char large[200001];
	struct peer a, b;

	memset(large, 'x', sizeof large - 1);
	begin(&a, &b, key, key);
	a.side.is_congested = true;
	assert_true(hf_protomux_is_congested(a.mux));
	assert_int_equal(side_say(a.nested, 0, large), HF_OK);
	side_exchange(&a.side, &b.side);
	assert_int_equal(b.received_bytes, 0);
	a.side.is_congested = false;
	hf_protomux_drained(a.side.mux);
	side_exchange(&a.side, &b.side);
	assert_int_equal(b.received_bytes, sizeof large - 1);
	side_expect(&a.side, "opened\ndrain\n");
	end(&a, &b);
}

static void test_it_keeps_itself_alive(void **state)
{
	struct peer a, b;

	begin(&a, &b, key, key);
	unsigned frames = a.side.frame_count;
	now_us = hf_bee_channel_deadline_ms(a.channel) * 1000;
	hf_bee_channel_tick(a.channel);
	assert_int_equal(a.side.frame_count, frames + 1);
	side_exchange(&a.side, &b.side);
	side_expect(&b.side, "opened\n");
	end(&a, &b);
	now_us = 0;
}

static void test_without_memory_it_ends(void **state)
{
	for (uint64_t n = 1;; n++) {
		struct peer a, b;

		set_up(&a, &b, 1);
		set_up(&b, &a, 2);
		a.is_quiet = b.is_quiet = true;
		assert_int_equal(start(&b, false, key), HF_OK);
		fail_alloc_arm(n, false);
		int status = start(&a, true, key);
		bool failed = fail_alloc_disarm();
		if (!failed)
			side_exchange(&a.side, &b.side);
		assert_true(status == HF_OK || failed);
		assert_true(failed || (a.mux != NULL && b.mux != NULL));
		end(&a, &b);
		if (!failed)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_said_inside_arrives),
		cmocka_unit_test(test_another_bee_is_refused),
		cmocka_unit_test(test_both_end_when_one_closes),
		cmocka_unit_test(test_bytes_that_are_no_nested_stream_end_it_alone),
		cmocka_unit_test(test_what_waits_for_the_outer_stream_goes_when_it_drains),
		cmocka_unit_test(test_it_keeps_itself_alive),
		cmocka_unit_test(test_without_memory_it_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
