/* What a relay's bee gets next, from a store alone. */
#include "../data/event_relay.h"
#include "data/event/removals.h"
#include "service/relay/bee_batch.h"

#define AUTHOR 1
#define ADDRESSABLE 30023

static struct relay relay;
static struct hf_bee_batch batch;

static int keep(void *context, struct hf_tx *tx)
{
	return hf_removals_keep(tx, RELAY_COLLECTION, HF_SLICE_LITERAL("mark"));
}

static int open_relay(void **state)
{
	relay_new(&relay, 8, true);
	assert_int_equal(hf_store_commit_wait(relay.store, HF_DURABLE_OS, keep, NULL), HF_OK);
	batch = (struct hf_bee_batch){.store = relay.store, .collection = RELAY_COLLECTION, .event_count_max = 100, .now_s = 1000};
	return 0;
}

static int close_relay(void **state)
{
	hf_bee_batch_free(&batch);
	relay_free(&relay);
	return 0;
}

static void make(struct model_event *e, uint8_t id, uint32_t kind, uint64_t created_at)
{
	memset(e, 0, sizeof *e);
	memset(e->event.id, id, 32);
	model_author(e->event.pubkey, AUTHOR);
	e->event.kind = kind;
	e->event.created_at = created_at;
	model_finish(e);
}

static void admit(struct model_event *e, uint8_t id, uint32_t kind, uint64_t created_at)
{
	make(e, id, kind, created_at);
	assert_int_equal(relay_admit(&relay, &e->event), HF_OK);
}

static void delete_by_id(uint8_t id, const struct model_event *named)
{
	struct model_event e;
	char hex[65];
	make(&e, id, 5, 500);
	model_hex(hex, named->event.id, 32);
	model_add_tag(&e, "e", hex);
	model_finish(&e);
	assert_int_equal(relay_admit(&relay, &e.event), HF_OK);
}

/* The next batch, from where the last one ended. */
static void collect(uint32_t events, size_t removed)
{
	batch.from = batch.to;
	assert_int_equal(hf_bee_batch_collect(&batch), HF_OK);
	assert_int_equal(batch.event_count, events);
	assert_int_equal(batch.removed.length, 32 * removed);
}

static bool has_event(uint8_t first_byte)
{
	struct hf_slice key, value;
	bool found = false;
	for (batch.rows.at = 0; hf_bee_rows_next(&batch.rows, &key, &value);)
		found = found || (key.length == 32 && key.data[0] == first_byte);
	return found;
}

static void test_batches_go_on_where_the_last_one_ended_and_miss_nothing(void **state)
{
	struct model_event e;
	for (uint8_t i = 1; i <= 25; i++)
		admit(&e, i, 1, 100 + i);
	batch.event_count_max = 10;
	collect(10, 0);
	assert_false(batch.is_complete);
	assert_true(has_event(1) && has_event(10) && !has_event(11));
	collect(10, 0);
	admit(&e, 26, 1, 50);
	collect(6, 0);
	assert_true(batch.is_complete);
	assert_true(has_event(26) && !has_event(20));
	collect(0, 0);
}

static void test_what_was_removed_before_it_was_read_never_comes(void **state)
{
	struct model_event e;
	admit(&e, 1, 1, 100);
	delete_by_id(2, &e);
	collect(1, 1);
	assert_true(has_event(2) && !has_event(1));
}

static void test_notes_are_read_until_they_are_forgotten(void **state)
{
	struct model_event e;
	admit(&e, 1, 1, 100);
	collect(1, 0);
	delete_by_id(2, &e);
	collect(1, 1);
	assert_int_equal(batch.removed.data[0], 1);
	collect(0, 1);
	assert_int_equal(hf_buffer_append(&batch.forget, batch.notes.data, batch.notes.length), HF_OK);
	collect(0, 0);
	assert_int_equal(batch.notes.length, 0);
}

/* A note may be older than the event that it names. */
static void test_an_event_that_came_again_is_not_taken_out(void **state)
{
	struct model_event old, new;
	admit(&old, 1, ADDRESSABLE, 100);
	admit(&new, 2, ADDRESSABLE, 200);
	delete_by_id(3, &new);
	assert_int_equal(relay_admit(&relay, &old.event), HF_OK);
	collect(2, 1);
	assert_int_equal(batch.removed.data[0], 2);
	assert_true(has_event(1) && has_event(3) && !has_event(2));
}

static void test_private_and_expired_events_are_left_out(void **state)
{
	struct model_event e;
	admit(&e, 1, 4, 100);
	admit(&e, 2, 1059, 100);
	make(&e, 3, 1, 100);
	model_add_tag(&e, "expiration", "900");
	model_finish(&e);
	assert_int_equal(relay_admit(&relay, &e.event), HF_OK);
	admit(&e, 4, 1, 100);
	batch.leaves_out_private = true;
	collect(1, 0);
	assert_true(has_event(4));
	batch.leaves_out_private = false;
	batch.to = 0;
	collect(3, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_batches_go_on_where_the_last_one_ended_and_miss_nothing, open_relay, close_relay),
		cmocka_unit_test_setup_teardown(test_what_was_removed_before_it_was_read_never_comes, open_relay, close_relay),
		cmocka_unit_test_setup_teardown(test_notes_are_read_until_they_are_forgotten, open_relay, close_relay),
		cmocka_unit_test_setup_teardown(test_an_event_that_came_again_is_not_taken_out, open_relay, close_relay),
		cmocka_unit_test_setup_teardown(test_private_and_expired_events_are_left_out, open_relay, close_relay),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
