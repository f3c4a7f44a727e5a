/* What UDX streams hold, and for how long: kept packets, written pieces, allocations that fail, numbers of streams, rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/fail_alloc.h"
#include "udx_pair.h"
#include "wire/udx/udx_private.h"

#define S UINT64_C(1000000)

static const struct hf_udx_events other_events = {0};

static unsigned released;

static void on_release(void *owner)
{
	(void)owner;
	released++;
}

static void test_a_paused_stream_keeps_a_bounded_amount_and_closes_its_window(void **state)
{
	static uint8_t payload[1000];
	struct hf_udx_options options = {.receive_bytes_max = 100000};
	struct hf_udx_stats stats;
	struct pair p;
	uint32_t seq = 0;
	(void)state;
	pair_open_unconnected(&p, 0, 0, &options);
	pair_connect(&p, &p.a);
	hf_udx_stream_pause(p.a.stream);
	for (; seq < 100; seq++)
		pair_feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
	assert_int_equal(p.a.data.length, 0);
	hf_udx_stream_read_stats(p.a.stream, &stats);
	assert_int_equal(stats.kept_bytes, 100000);
	struct hf_udx_header header = pair_header(pair_pull_one(&p, &p.a));
	assert_int_equal(header.ack, 100);
	assert_int_equal(header.window_bytes, 0);
	/* What was on its way then is kept, too; more is not, however small it is. */
	for (; seq < 1000; seq++)
		pair_feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
	hf_udx_stream_read_stats(p.a.stream, &stats);
	assert_int_equal(stats.kept_bytes, HF_UDX_EARLY_FACTOR * 100000);
	for (seq = 401; seq < 100000; seq++)
		pair_feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, 1));
	hf_udx_stream_read_stats(p.a.stream, &stats);
	assert_int_equal(stats.kept_bytes, HF_UDX_EARLY_FACTOR * 100000);
	pair_drop(&p, &p.a);
	/* Reading opens the window, and says so by itself. */
	hf_udx_stream_resume(p.a.stream);
	header = pair_header(pair_pull_one(&p, &p.a));
	assert_int_equal(p.a.data.length, HF_UDX_EARLY_FACTOR * 100000);
	assert_int_equal(header.window_bytes, 100000);
	pair_close(&p);
}

static void test_all_streams_together_keep_a_bounded_amount(void **state)
{
	static uint8_t payload[1000];
	struct hf_udx_options options = {.kept_bytes_max = 150000};
	struct hf_udx_counters counters;
	struct hf_udx_stats stats;
	struct pair p;
	(void)state;
	pair_open_unconnected(&p, 0, 0, &options);
	pair_connect(&p, &p.a);
	hf_udx_stream_pause(p.a.stream);
	for (uint32_t seq = 0; seq < 1000; seq++)
		pair_feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
	hf_udx_read_counters(p.a.udx, &counters);
	assert_int_equal(counters.kept_bytes, 150000);
	assert_int_equal(pair_header(pair_pull_one(&p, &p.a)).window_bytes, 0);
	/* Another one still has its share, and what comes in order is not kept at all. */
	struct hf_udx_stream *first = p.a.stream;
	assert_int_equal(hf_udx_stream_new(&p.a.stream, p.a.udx, 0, &end_events, &p.a), HF_OK);
	pair_connect(&p, &p.a);
	for (uint32_t seq = 1; seq < 1000; seq++)
		pair_feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
	hf_udx_stream_read_stats(p.a.stream, &stats);
	assert_int_equal(stats.kept_bytes, 66000);
	pair_feed(&p, HF_UDX_DATA, 0, 0, 1, hf_slice(payload, sizeof payload));
	assert_int_equal(p.a.data.length, 67000);
	for (uint32_t seq = 67; seq < 500; seq++)
		pair_feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
	assert_int_equal(p.a.data.length, 500000);
	hf_udx_stream_free(first);
	hf_udx_read_counters(p.a.udx, &counters);
	assert_int_equal(counters.kept_bytes, 0);
	pair_close(&p);
}

static void test_early_packets_are_kept_up_to_the_bound(void **state)
{
	static uint8_t payload[1000];
	struct hf_udx_stats stats;
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	for (uint32_t seq = 1; seq < 20000; seq++)
		pair_feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, 1));
	pair_feed(&p, HF_UDX_DATA, UINT32_MAX / 2, 0, 1, hf_slice(payload, 1));
	hf_udx_stream_read_stats(p.a.stream, &stats);
	assert_true(stats.kept_bytes <= 16383);
	pair_feed(&p, HF_UDX_DATA, 0, 0, 1, hf_slice(payload, 1));
	assert_int_equal(p.a.data.length, 16384);
	pair_close(&p);
}

static void test_what_comes_before_connect_is_kept_and_handed_over_after_it(void **state)
{
	static uint8_t payload[1000];
	struct pair p;
	(void)state;
	pair_open_unconnected(&p, 0x11, 0x22, NULL);
	pair_feed(&p, HF_UDX_DATA, 0, 0, 1, hf_slice_text("refused"));
	assert_int_equal(p.a.firewall_count, 1);
	p.a.welcomes = true;
	for (uint32_t seq = 0; seq < 200; seq++)
		pair_feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
	assert_int_equal(p.a.data.length, 0);
	assert_int_equal(pair_drop(&p, &p.a), 0);
	pair_connect(&p, &p.a);
	struct hf_udx_header header = pair_header(pair_pull_one(&p, &p.a));
	assert_int_equal(header.ack, 66);
	assert_int_equal(p.a.data.length, 66 * sizeof payload);
	assert_true(p.a.data.length <= HF_UDX_UNCONNECTED_BYTES_MAX + sizeof payload);
	pair_close(&p);
}

static void test_pieces_are_released_once_whatever_becomes_of_them(void **state)
{
	static uint8_t large[300000];
	struct hf_udx_piece pieces[] = {
		{hf_slice(large, 10), NULL, on_release},
		{hf_slice(large, 1000), NULL, on_release},
		{hf_slice(large, 0), NULL, on_release},
		{hf_slice(large, sizeof large), NULL, on_release},
		{hf_slice(large, 256), NULL, on_release},
	};
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	released = 0;
	assert_int_equal(hf_udx_stream_write(p.a.stream, pieces, 5), HF_OK);
	assert_int_equal(released, 3); /* the short ones were copied */
	pair_settle(&p);
	assert_int_equal(released, 5);
	assert_int_equal(p.b.data.length, 301266);
	assert_int_equal(hf_udx_stream_write(p.a.stream, pieces, 5), HF_OK);
	pair_drop(&p, &p.a);
	hf_udx_stream_free(p.a.stream);
	p.a.stream = NULL;
	assert_int_equal(released, 10);
	pair_close(&p);
}

static void test_a_write_past_the_bound_is_refused(void **state)
{
	static uint8_t small[1000];
	struct hf_udx_piece huge = {hf_slice(small, HF_UDX_PENDING_BYTES_MAX), NULL, on_release};
	struct pair p;
	(void)state;
	pair_open_unconnected(&p, 0, 0, NULL);
	released = 0;
	assert_int_equal(hf_udx_stream_write(p.a.stream, &huge, 1), HF_OK); /* nothing is read of it before connect */
	assert_int_equal(hf_udx_stream_write_copy(p.a.stream, hf_slice_text("x")), HF_EBUSY);
	assert_int_equal(hf_udx_stream_write(p.a.stream, &huge, 1), HF_EBUSY);
	assert_int_equal(released, 0);
	hf_udx_stream_free(p.a.stream);
	p.a.stream = NULL;
	assert_int_equal(released, 1);
	pair_close(&p);
}

static void test_drained_is_told_when_the_rest_is_small(void **state)
{
	static uint8_t large[HF_UDX_LOW_BYTES + 100000];
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	hf_udx_stream_write_copy(p.a.stream, hf_slice_text("small"));
	pair_settle(&p);
	assert_int_equal(p.a.drained_count, 0);
	unsigned wakes = p.a.wake_count;
	hf_udx_stream_write_copy(p.a.stream, hf_slice(large, sizeof large));
	assert_true(p.a.wake_count > wakes);
	pair_settle(&p);
	assert_int_equal(p.a.drained_count, 1);
	assert_int_equal(p.b.data.length, 5 + sizeof large);
	pair_close(&p);
}

/* Whichever allocation fails: what was refused can be tried again, what was taken arrives. */
static void test_no_failed_allocation_loses_anything(void **state)
{
	static uint8_t large[40000];
	bool failed = true;
	(void)state;
	for (uint64_t n = 1; failed; n++) {
		struct pair p;
		size_t written = 0;
		pair_open(&p, 0, 0);
		/* Room, so that the test itself allocates nothing. */
		assert_int_equal(hf_buffer_reserve(&p.b.data, 100000), HF_OK);
		fail_alloc_arm(n, false);
		for (size_t i = 0; i < 4; i++) {
			struct hf_slice bytes = hf_slice(large, i % 2 ? 100 : sizeof large / 2);
			struct hf_udx_piece piece = {.bytes = bytes};
			int code = i < 2 ? hf_udx_stream_write_copy(p.a.stream, bytes) : hf_udx_stream_write(p.a.stream, &piece, 1);
			if (code)
				assert_int_equal(code, HF_ENOMEM);
			else
				written += bytes.length;
		}
		pair_drop(&p, &p.a); /* lost, so that what follows comes early */
		hf_udx_stream_write_copy(p.a.stream, hf_slice(large, 1)) ? 0 : written++;
		for (int i = 0; i < 40; i++) {
			pair_carry(&p, &p.a);
			pair_carry(&p, &p.b);
			p.now_us += 200000;
			hf_udx_tick(p.a.udx, p.now_us);
		}
		hf_udx_stream_end(p.b.stream);
		hf_udx_stream_end(p.a.stream);
		pair_carry(&p, &p.a);
		pair_carry(&p, &p.b);
		failed = fail_alloc_disarm();
		pair_settle(&p);
		assert_int_equal(p.b.data.length, written);
		assert_int_equal(p.a.code, HF_OK);
		assert_int_equal(p.a.closed_count, 1);
		pair_close(&p);
	}
}

static void test_a_session_or_stream_without_memory_is_not_there(void **state)
{
	struct pair p;
	struct hf_udx *udx;
	struct hf_udx_stream *stream;
	bool failed = true;
	(void)state;
	pair_open(&p, 0, 0);
	for (uint64_t n = 1; failed; n++) {
		struct hf_udx_options options = {.env = &p.env};
		fail_alloc_arm(n, false);
		int code = hf_udx_new(&udx, &options);
		if (!code) {
			code = hf_udx_stream_new(&stream, udx, 0, NULL, NULL);
			if (!code)
				hf_udx_stream_free(stream);
			hf_udx_free(udx);
		}
		failed = fail_alloc_disarm();
		assert_int_equal(code, failed ? HF_ENOMEM : HF_OK);
	}
	pair_close(&p);
}

static void test_ids_are_unique_and_streams_are_counted(void **state)
{
	struct hf_udx_options options = {.stream_count_max = 3};
	struct hf_udx_stream *two, *three;
	struct pair p;
	(void)state;
	pair_open_unconnected(&p, 5, 6, &options);
	assert_int_equal(hf_udx_stream_new(&two, p.a.udx, 5, NULL, NULL), HF_EEXISTS);
	assert_int_equal(hf_udx_stream_new(&two, p.a.udx, 6, NULL, NULL), HF_OK);
	assert_int_equal(hf_udx_stream_new(&three, p.a.udx, 0, NULL, NULL), HF_OK);
	assert_int_equal(hf_udx_stream_new(&three, p.a.udx, 0, NULL, NULL), HF_EBUSY);
	struct hf_udx_stream *last = NULL;
	hf_udx_stream_free(two);
	assert_int_equal(hf_udx_stream_new(&last, p.a.udx, 0, NULL, NULL), HF_OK);
	hf_udx_stream_free(last);
	struct hf_udx_counters counters;
	hf_udx_read_counters(p.a.udx, &counters);
	assert_int_equal(counters.stream_count, 2);
	hf_udx_forget_socket(p.a.udx, NULL);
	hf_udx_stream_free(three);
	pair_close(&p);
}

static void test_relaying_keeps_to_its_rate(void **state)
{
	static uint8_t payload[980];
	struct hf_udx_stream *other;
	struct pair p;
	size_t passed;
	(void)state;
	pair_open(&p, 0, 0);
	assert_int_equal(hf_udx_stream_new(&other, p.a.udx, 0, &other_events, &p.a), HF_OK);
	assert_int_equal(hf_udx_stream_connect(other, &p.a.path, 1), HF_OK);
	assert_int_equal(hf_udx_stream_relay_to(p.a.stream, other), HF_OK);
	hf_udx_stream_set_relay_rate(p.a.stream, 20000);
	for (uint32_t seq = 0; seq < 100; seq++)
		pair_feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
	assert_int_equal(pair_drop(&p, &p.a), 20);
	passed = 20;
	for (uint32_t i = 0; i < 3000; i++) {
		p.now_us += 1000;
		pair_feed(&p, HF_UDX_DATA, i, 0, 1, hf_slice(payload, sizeof payload));
		passed += pair_drop(&p, &p.a);
	}
	assert_in_range(passed, 79, 80);
	assert_int_equal(hf_udx_stream_relayed_bytes(p.a.stream), passed * 1000);
	hf_udx_stream_set_relay_rate(p.a.stream, 0);
	for (uint32_t seq = 0; seq < 100; seq++)
		pair_feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
	assert_int_equal(pair_drop(&p, &p.a), 100);
	hf_udx_stream_free(other);
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_paused_stream_keeps_a_bounded_amount_and_closes_its_window),
		cmocka_unit_test(test_all_streams_together_keep_a_bounded_amount),
		cmocka_unit_test(test_early_packets_are_kept_up_to_the_bound),
		cmocka_unit_test(test_what_comes_before_connect_is_kept_and_handed_over_after_it),
		cmocka_unit_test(test_pieces_are_released_once_whatever_becomes_of_them),
		cmocka_unit_test(test_a_write_past_the_bound_is_refused),
		cmocka_unit_test(test_drained_is_told_when_the_rest_is_small),
		cmocka_unit_test(test_no_failed_allocation_loses_anything),
		cmocka_unit_test(test_a_session_or_stream_without_memory_is_not_there),
		cmocka_unit_test(test_ids_are_unique_and_streams_are_counted),
		cmocka_unit_test(test_relaying_keeps_to_its_rate),
	};
	return cmocka_run_group_tests_name("wire/udx_bounds", tests, NULL, NULL);
}
