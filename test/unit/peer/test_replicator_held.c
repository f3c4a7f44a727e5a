/* Data messages that wait for others, so that large blocks are hashed together: in order with all else, and not lost. */
#include "replicator_fixture.h"

#define BLOCKS 30
#define BLOCK_BYTES 40000 /* too large for a message of the stream to hold two */

static struct end *writer_end, *reader_end;
static struct peer *writer, *reader;

static void deliver_first(struct end *end)
{
	struct letter *letter = end->first;

	end->first = letter->next;
	if (letter->next == NULL)
		end->last = &end->first;
	if (end->mux != NULL)
		hf_protomux_recv(end->mux, hf_slice(letter->data, letter->length));
	free(letter);
}

static void lose_letters(struct end *end)
{
	struct letter *letter;

	while ((letter = end->first) != NULL) {
		end->first = letter->next;
		free(letter);
	}
	end->last = &end->first;
}

static size_t letter_count(const struct end *end)
{
	size_t count = 0;

	for (const struct letter *letter = end->first; letter != NULL; letter = letter->next)
		count++;
	return count;
}

static void append_large(struct peer *peer, unsigned count)
{
	uint8_t bytes[BLOCK_BYTES];

	for (unsigned i = 0; i < count; i++) {
		struct hf_slice block = hf_slice(bytes, BLOCK_BYTES - i);

		memset(bytes, (int)i, sizeof bytes);
		assert_int_equal(hf_core_append(peer->core, &block, 1, NULL), HF_OK);
	}
	core_commit(peer->core);
}

/* The reader has asked for all blocks, whose data lie before it. */
static void bring_data(void)
{
	writer = add_peer();
	reader = add_peer();
	now_ms = 1000000;
	start_pair(writer, reader, 0);
	append_large(writer, BLOCKS);
	writer_end = connect_peers(writer, reader);
	reader_end = writer_end->other;
	assert_int_equal(hf_replication_update(reader->replication, count_heard, NULL), HF_OK);
	settle();
	assert_int_equal(hf_core_length(reader->core), BLOCKS);
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 0, .to = UINT64_MAX}));
	hf_replicator_flush(reader->replicator, now_ms);
	while (writer_end->first != NULL)
		deliver_first(writer_end);
	assert_in_range(letter_count(reader_end), 10, BLOCKS);
}

static uint64_t blocks_of_reader(void)
{
	return hf_bitfield_next_clear(hf_core_blocks(reader->core), 0, BLOCKS);
}

/* It is read although it is on no disk yet. */
static void expect_staged(uint64_t block)
{
	struct hf_buffer bytes = {0};

	assert_true(hf_core_uncommitted_bytes(reader->core) > 9 * BLOCK_BYTES);
	assert_int_equal(hf_core_get(reader->core, block, &bytes), HF_OK);
	assert_int_equal(bytes.length, BLOCK_BYTES - block);
	assert_int_equal(bytes.data[0], block);
	assert_int_equal(bytes.data[bytes.length - 1], block);
	hf_buffer_free(&bytes);
}

static void test_large_blocks_wait_for_eight_or_the_end_of_the_round(void **state)
{
	(void)state;
	bring_data();
	for (unsigned i = 0; i < 10; i++)
		deliver_first(reader_end);
	assert_int_equal(blocks_of_reader(), 8);
	assert_true(reader->pending);
	hf_replicator_flush(reader->replicator, now_ms);
	assert_int_equal(blocks_of_reader(), 10);
	expect_staged(3);
	expect_staged(9);
	settle();
	assert_same_cores(writer->core, reader->core);
}

static void test_what_comes_before_another_message_is_taken_before_it(void **state)
{
	(void)state;
	bring_data();
	for (unsigned i = 0; i < 5; i++)
		deliver_first(reader_end);
	assert_int_equal(blocks_of_reader(), 0);
	lose_letters(reader_end);
	append_numbers(writer, 1);
	deliver_first(reader_end); /* which tells of it */
	assert_int_equal(blocks_of_reader(), 5);
	assert_int_equal(reader->replicator->held.count, 0);
	assert_string_equal(reader_end->failure, "");
}

static void test_what_comes_before_the_end_of_the_stream_is_kept(void **state)
{
	(void)state;
	bring_data();
	for (unsigned i = 0; i < 5; i++)
		deliver_first(reader_end);
	hf_protomux_fail(reader_end->mux, HF_ECLOSED, "the connection was closed");
	assert_int_equal(blocks_of_reader(), 5);
	settle();
	assert_int_equal(blocks_of_reader(), 5);
}

static void test_what_is_held_goes_with_a_channel_that_we_close(void **state)
{
	(void)state;
	bring_data();
	for (unsigned i = 0; i < 5; i++)
		deliver_first(reader_end);
	drop_end(reader_end);
	settle();
	assert_int_equal(blocks_of_reader(), 0);
	assert_int_equal(reader->replicator->held.count, 0);
}

static void test_a_false_block_among_others_ends_the_stream(void **state)
{
	struct letter *letter;

	(void)state;
	bring_data();
	letter = reader_end->first->next->next->next;
	letter->data[letter->length / 2] ^= 1;
	for (unsigned i = 0; i < 8; i++)
		deliver_first(reader_end);
	assert_int_equal(blocks_of_reader(), 3);
	for (unsigned i = 0; i < 100 && reader_end->failure[0] == 0; i++) { /* the writer is asked for another signature before */
		now_ms += 1000;
		settle();
	}
	assert_non_null(strstr(reader_end->failure, "does not hold"));
	assert_false(hf_bitfield_get(hf_core_blocks(reader->core), 3));
}

static void test_a_message_that_cannot_be_read_ends_the_stream_in_its_place(void **state)
{
	struct letter *letter;

	(void)state;
	bring_data();
	letter = reader_end->first->next->next;
	memset(letter->data + 2, 0xff, 30);
	for (unsigned i = 0; i < 8; i++)
		deliver_first(reader_end);
	assert_int_equal(blocks_of_reader(), 2);
	assert_non_null(strstr(reader_end->failure, "malformed"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_large_blocks_wait_for_eight_or_the_end_of_the_round, tear_down),
		cmocka_unit_test_teardown(test_what_comes_before_another_message_is_taken_before_it, tear_down),
		cmocka_unit_test_teardown(test_what_comes_before_the_end_of_the_stream_is_kept, tear_down),
		cmocka_unit_test_teardown(test_what_is_held_goes_with_a_channel_that_we_close, tear_down),
		cmocka_unit_test_teardown(test_a_false_block_among_others_ends_the_stream, tear_down),
		cmocka_unit_test_teardown(test_a_message_that_cannot_be_read_ends_the_stream_in_its_place, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
