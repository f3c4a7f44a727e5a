/* Questions about a bee, and their answers, between two hosts over TCP. */
#include "host_fixture.h"

#include "../data/bee_fixture.h"
#include "wire/bee_hint.h"

#define KEY_COUNT 3000

static struct peer writer, reader;
static struct hf_peer_listener *listener;
static struct hf_bee_asker *asker;

static bool is_long_enough(struct peer *a, struct peer *b)
{
	return hf_core_length(b->core) == hf_core_length(a->core) && hf_replication_peer_count(b->replication) == 1;
}

static void fill(struct hf_bee *bee)
{
	char text[32];

	for (unsigned i = 0; i < KEY_COUNT; i++) {
		snprintf(text, sizeof text, "key %u", i * 7919 % KEY_COUNT);
		bee_put(bee, text, "value");
	}
	bee_flush(bee);
	core_commit(writer.core);
}

/* A bee at the writer; the reader knows its length, and holds no block. */
static void meet(void)
{
	struct hf_address address;

	open_peer(&writer, 1);
	open_peer(&reader, 2);
	join(&writer, NULL);
	struct hf_bee *bee = bee_on(hf_core_ref(writer.core));

	fill(bee);
	hf_bee_close(bee);
	join(&reader, hf_core_key(writer.core));
	assert_int_equal(hf_bee_hints_ask(hf_core_host_bee_hints(reader.host), reader.replication, &asker), HF_OK);
	listener = listen_on(&writer, &address);
	dial(&reader, &address);
	turn_until(&writer, &reader, is_long_enough);
}

static void part(void)
{
	hf_bee_asker_free(asker);
	hf_peer_listener_free(listener);
	close_peer(&reader);
	close_peer(&writer);
}

static uint64_t held_count(const struct peer *peer)
{
	return hf_bitfield_count(hf_core_blocks(peer->core));
}

/* So many turns that everything under way has come, if it comes. */
static void turn_for(unsigned ms)
{
	uint64_t until = hf_env_monotonic_ms(&reader.node.env) + ms;

	while (hf_env_monotonic_ms(&reader.node.env) < until) {
		hf_loop_poll(writer.loop, false);
		hf_loop_poll(reader.loop, false);
	}
}

static struct hf_slice wanted = {(const uint8_t *)"key 1234", 8};
static struct hf_bee *reading;

static bool get_is_done(struct peer *a, struct peer *b)
{
	struct hf_bee_entry entry;

	(void)a;
	(void)b;
	return hf_bee_get(hf_bee_latest(reading), wanted, &entry) == HF_OK;
}

static void test_one_question_brings_all_that_a_get_comes_to(void **state)
{
	(void)state;
	meet();
	reading = bee_on(hf_core_ref(reader.core)); /* it has no hinter, and asks for nothing by itself */
	struct hf_bee_hinter *hinter = hf_bee_asker_hinter(asker);

	hinter->get(hinter, KEY_COUNT + 1, wanted);
	turn_until(&writer, &reader, get_is_done);
	turn_for(50);
	assert_in_range(held_count(&reader), 4, 40);
	hf_bee_close(reading);
	part();
}

static bool holds_many(struct peer *a, struct peer *b)
{
	(void)a;
	return held_count(b) >= HF_BEE_HINTS_ANSWER_COUNT_MAX;
}

static void test_an_answer_has_a_bound(void **state)
{
	struct hf_bee_range all = {.reverse = false};

	(void)state;
	meet();
	struct hf_bee_hinter *hinter = hf_bee_asker_hinter(asker);

	hinter->range(hinter, KEY_COUNT + 1, &all, NULL, 0);
	turn_until(&writer, &reader, holds_many);
	turn_for(100);
	assert_int_equal(held_count(&reader), HF_BEE_HINTS_ANSWER_COUNT_MAX);
	part();
}

static void ignore(struct hf_extension *extension, struct hf_core *core, struct hf_channel *from, struct hf_slice message)
{
	(void)extension;
	(void)core;
	(void)from;
	(void)message;
}

static void test_what_was_not_asked_for_is_not_fetched(void **state)
{
	static const uint64_t blocks[] = {10, 20, 30, 1u << 30};
	struct hf_extension stranger = {.name = HF_BEE_HINT_NAME, .message = ignore};
	struct hf_buffer message = {0};

	(void)state;
	meet();
	assert_int_equal(hf_bee_hint_encode_cache(blocks, 4, &message), HF_OK);
	hf_extension_broadcast(&stranger, writer.replication, hf_buffer_slice(&message));
	turn_for(100);
	assert_int_equal(held_count(&reader), 0);
	hf_buffer_free(&message);
	part();
}

static unsigned answer_count;

static void count_answer(struct hf_extension *extension, struct hf_core *core, struct hf_channel *from, struct hf_slice message)
{
	(void)extension;
	(void)core;
	(void)from;
	(void)message;
	answer_count++;
}

static void test_questions_beyond_the_bound_are_dropped(void **state)
{
	struct hf_extension flood = {.name = HF_BEE_HINT_NAME, .message = count_answer};
	struct hf_bee_range all = {.reverse = false};
	struct hf_buffer message = {0};
	unsigned per_answer = (HF_BEE_HINTS_ANSWER_COUNT_MAX + HF_BEE_HINT_BLOCK_COUNT_MAX - 1) / HF_BEE_HINT_BLOCK_COUNT_MAX;

	(void)state;
	meet();
	answer_count = 0;
	assert_int_equal(hf_bee_hint_encode_range(KEY_COUNT + 1, &all, NULL, 0, &message), HF_OK);
	hf_replication_add_extension(reader.replication, &flood);
	for (unsigned i = 0; i < 1000; i++)
		hf_extension_broadcast(&flood, reader.replication, hf_buffer_slice(&message));
	turn_for(100);
	/* A tick or two may have come between. */
	assert_in_range(answer_count, 1, 3 * (HF_BEE_HINTS_READ_COUNT_MAX / HF_BEE_HINTS_ANSWER_COUNT_MAX + 1) * per_answer);
	hf_replication_remove_extension(reader.replication, &flood);
	hf_buffer_free(&message);
	part();
}

int main(void)
{
	hf_crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_question_brings_all_that_a_get_comes_to),
		cmocka_unit_test(test_an_answer_has_a_bound),
		cmocka_unit_test(test_what_was_not_asked_for_is_not_fetched),
		cmocka_unit_test(test_questions_beyond_the_bound_are_dropped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
