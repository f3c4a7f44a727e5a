/* UDX streams packet by packet: order, ends, bounds, timeouts, windows, firewall, changes of path, relaying. */
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

static struct hf_slice text(const char *t)
{
	return hf_slice_text(t);
}

/* A packet of somebody's for end a. */
static bool feed(struct pair *p, uint8_t type, uint32_t seq, uint32_t ack, uint32_t window, struct hf_slice payload)
{
	static uint8_t packet[65536];
	struct hf_udx_header header = {type, 0, hf_udx_stream_id(p->a.stream), window, seq, ack};
	hf_udx_header_encode(&header, packet);
	if (payload.length)
		memcpy(packet + HF_UDX_HEADER_BYTES, payload.data, payload.length);
	return hf_udx_recv(p->a.udx, p->now_us, &p->a, &p->a.path.remote, packet, HF_UDX_HEADER_BYTES + payload.length);
}

static struct hf_udx_header header_of(struct hf_slice packet)
{
	struct hf_udx_header header;
	assert_true(hf_udx_header_decode(&header, packet));
	return header;
}

static void test_both_ends_close_when_both_have_ended(void **state)
{
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	assert_int_equal(hf_udx_stream_write_copy(p.a.stream, text("hello")), HF_OK);
	hf_udx_stream_end(p.a.stream);
	assert_int_equal(hf_udx_stream_write_copy(p.a.stream, text("late")), HF_ECLOSED);
	pair_settle(&p);
	assert_int_equal(p.b.end_count, 1);
	assert_int_equal(p.a.closed_count + p.b.closed_count, 0);
	assert_int_equal(hf_udx_stream_write_copy(p.b.stream, text("world")), HF_OK);
	hf_udx_stream_end(p.b.stream);
	pair_settle(&p);
	assert_memory_equal(p.b.data.data, "hello", 5);
	assert_memory_equal(p.a.data.data, "world", 5);
	assert_int_equal(p.a.closed_count, 1);
	assert_int_equal(p.b.closed_count, 1);
	assert_int_equal(p.a.code, HF_OK);
	assert_int_equal(p.b.code, HF_OK);
	pair_close(&p);
}

/* libudx does not: its remote would wait 13 seconds and fail. */
static void test_an_end_that_comes_again_after_the_close_is_acknowledged_again(void **state)
{
	struct pair p;
	(void)state;
	pair_open(&p, 0x11, 0x22);
	hf_udx_stream_end(p.b.stream);
	pair_carry(&p, &p.b);
	pair_carry(&p, &p.a);
	hf_udx_stream_end(p.a.stream);
	pair_carry(&p, &p.a);
	struct hf_slice lost = pair_pull_one(&p, &p.b); /* the last acknowledgement */
	assert_int_equal(header_of(lost).ack, 1);
	assert_int_equal(p.b.closed_count, 1);
	assert_int_equal(p.a.closed_count, 0);
	p.now_us += 2 * S;
	hf_udx_tick(p.a.udx, p.now_us);
	pair_settle(&p);
	assert_int_equal(p.a.closed_count, 1);
	assert_int_equal(p.a.code, HF_OK);
	pair_close(&p);
}

static void test_destroy_is_told_once_and_resets_the_other_end(void **state)
{
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	hf_udx_stream_write_copy(p.a.stream, text("never sent"));
	hf_udx_stream_destroy(p.a.stream);
	assert_int_equal(pair_carry(&p, &p.a), 1);
	pair_settle(&p);
	assert_int_equal(p.a.code, HF_ECANCELED);
	assert_int_equal(p.b.code, HF_ECLOSED);
	assert_int_equal(p.b.data.length, 0);
	pair_close(&p);
}

/* Recorded of udx-native: packets at 0, 1, 3, 5, 7, 9 and 11 s, given up at 13 s, silently. */
static void test_the_seventh_timeout_closes_the_stream(void **state)
{
	static const unsigned seconds[] = {0, 1, 3, 5, 7, 9, 11};
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	hf_udx_stream_write_copy(p.a.stream, text("hey"));
	uint64_t start_us = p.now_us;
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(pair_wait_deaf(&p, &p.a, start_us + seconds[i] * S + 100000 - p.now_us), 1);
		assert_int_equal(header_of(hf_slice(p.packet, HF_UDX_HEADER_BYTES)).seq, 0);
	}
	assert_int_equal(pair_wait_deaf(&p, &p.a, 1800000), 0);
	assert_int_equal(p.a.closed_count, 0);
	assert_int_equal(pair_wait_deaf(&p, &p.a, 200000), 0);
	assert_int_equal(p.a.closed_count, 1);
	assert_int_equal(p.a.code, HF_ETIMEOUT);
	pair_close(&p);
}

static void test_packets_of_every_length_arrive(void **state)
{
	static uint8_t payload[65507];
	struct pair p;
	(void)state;
	for (size_t i = 0; i < sizeof payload; i++)
		payload[i] = (uint8_t)(i * 31);
	pair_open(&p, 0, 0);
	uint32_t seq = 0;
	for (size_t length = 0; length + HF_UDX_HEADER_BYTES <= sizeof payload; length += length < 3000 ? 1 : 487) {
		hf_buffer_clear(&p.a.data);
		/* One in order, and one that waits for it. */
		assert_true(feed(&p, HF_UDX_DATA, seq + 1, 0, 1, hf_slice(payload, length)));
		assert_true(feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, length)));
		seq += 2;
		assert_int_equal(p.a.data.length, 2 * length);
		if (length) {
			assert_memory_equal(p.a.data.data, payload, length);
			assert_memory_equal(p.a.data.data + length, payload, length);
		}
		assert_int_equal(header_of(pair_pull_one(&p, &p.a)).ack, seq);
	}
	/* And of every length as a datagram, header and all, whatever it is. */
	for (size_t length = 0; length <= sizeof payload; length++)
		hf_udx_recv(p.a.udx, p.now_us, &p.a, &p.a.path.remote, payload, length);
	pair_close(&p);
}

static void test_data_offset_is_skipped_and_too_large_a_one_drops_the_packet(void **state)
{
	struct pair p;
	uint8_t packet[64] = {0};
	struct hf_udx_header header = {HF_UDX_DATA, 40, 0, 1000, 0, 0};
	(void)state;
	pair_open(&p, 0, 0);
	header.id = hf_udx_stream_id(p.a.stream);
	hf_udx_header_encode(&header, packet);
	memcpy(packet + 60, "tail", 4);
	assert_true(hf_udx_recv(p.a.udx, p.now_us, &p.a, &p.a.path.remote, packet, 59));
	assert_int_equal(pair_drop(&p, &p.a), 0);
	assert_true(hf_udx_recv(p.a.udx, p.now_us, &p.a, &p.a.path.remote, packet, 64));
	assert_memory_equal(p.a.data.data, "tail", 4);
	assert_int_equal(header_of(pair_pull_one(&p, &p.a)).ack, 1);
	pair_close(&p);
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
		feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
	assert_int_equal(p.a.data.length, 0);
	hf_udx_stream_read_stats(p.a.stream, &stats);
	assert_int_equal(stats.kept_bytes, 100000);
	struct hf_udx_header header = header_of(pair_pull_one(&p, &p.a));
	assert_int_equal(header.ack, 100);
	assert_int_equal(header.window_bytes, 0);
	/* What was on its way then is kept, too; more is not, however small it is. */
	for (; seq < 1000; seq++)
		feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
	hf_udx_stream_read_stats(p.a.stream, &stats);
	assert_int_equal(stats.kept_bytes, HF_UDX_EARLY_FACTOR * 100000);
	for (seq = 401; seq < 100000; seq++)
		feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, 1));
	hf_udx_stream_read_stats(p.a.stream, &stats);
	assert_int_equal(stats.kept_bytes, HF_UDX_EARLY_FACTOR * 100000);
	pair_drop(&p, &p.a);
	/* Reading opens the window, and says so by itself. */
	hf_udx_stream_resume(p.a.stream);
	header = header_of(pair_pull_one(&p, &p.a));
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
		feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
	hf_udx_read_counters(p.a.udx, &counters);
	assert_int_equal(counters.kept_bytes, 150000);
	assert_int_equal(header_of(pair_pull_one(&p, &p.a)).window_bytes, 0);
	/* Another one still has its share, and what comes in order is not kept at all. */
	struct hf_udx_stream *first = p.a.stream;
	assert_int_equal(hf_udx_stream_new(&p.a.stream, p.a.udx, 0, &end_events, &p.a), HF_OK);
	pair_connect(&p, &p.a);
	for (uint32_t seq = 1; seq < 1000; seq++)
		feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
	hf_udx_stream_read_stats(p.a.stream, &stats);
	assert_int_equal(stats.kept_bytes, 66000);
	feed(&p, HF_UDX_DATA, 0, 0, 1, hf_slice(payload, sizeof payload));
	assert_int_equal(p.a.data.length, 67000);
	for (uint32_t seq = 67; seq < 500; seq++)
		feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
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
		feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, 1));
	feed(&p, HF_UDX_DATA, UINT32_MAX / 2, 0, 1, hf_slice(payload, 1));
	hf_udx_stream_read_stats(p.a.stream, &stats);
	assert_true(stats.kept_bytes <= 16383);
	feed(&p, HF_UDX_DATA, 0, 0, 1, hf_slice(payload, 1));
	assert_int_equal(p.a.data.length, 16384);
	pair_close(&p);
}

static void test_the_sender_stops_at_a_closed_window_and_asks(void **state)
{
	static uint8_t payload[50000];
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	hf_udx_stream_write_copy(p.a.stream, text("x"));
	assert_int_equal(pair_drop(&p, &p.a), 1);
	feed(&p, 0, 0, 1, 0, hf_slice(NULL, 0)); /* acknowledged, and no more */
	hf_udx_stream_write_copy(p.a.stream, hf_slice(payload, sizeof payload));
	assert_int_equal(pair_wait_deaf(&p, &p.a, 900000), 0);
	assert_int_equal(pair_wait_deaf(&p, &p.a, 200000), 1);
	assert_int_equal(header_of(hf_slice(p.packet, HF_UDX_HEADER_BYTES)).type, HF_UDX_HEARTBEAT);
	assert_int_equal(pair_wait_deaf(&p, &p.a, 4 * S), 2);
	/* Less than a packet's room is room for one. */
	feed(&p, 0, 0, 1, 1, hf_slice(NULL, 0));
	assert_int_equal(pair_drop(&p, &p.a), 1);
	assert_int_equal(header_of(hf_slice(p.packet, HF_UDX_HEADER_BYTES)).type, HF_UDX_DATA);
	pair_close(&p);
}

static void test_a_heartbeat_is_answered_with_an_acknowledgement(void **state)
{
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	feed(&p, HF_UDX_HEARTBEAT, 77, 99, 5, text("ignored"));
	struct hf_udx_header header = header_of(pair_pull_one(&p, &p.a));
	assert_int_equal(header.type, 0);
	assert_int_equal(header.ack, 0);
	hf_udx_stream_set_keep_alive(p.a.stream, 100);
	assert_int_equal(pair_wait_deaf(&p, &p.a, 350000), 3);
	assert_int_equal(header_of(hf_slice(p.packet, HF_UDX_HEADER_BYTES)).type, HF_UDX_HEARTBEAT);
	hf_udx_stream_set_keep_alive(p.a.stream, 0);
	assert_int_equal(pair_wait_deaf(&p, &p.a, 350000), 0);
	pair_close(&p);
}

static void test_what_comes_before_connect_is_kept_and_handed_over_after_it(void **state)
{
	static uint8_t payload[1000];
	struct pair p;
	(void)state;
	pair_open_unconnected(&p, 0x11, 0x22, NULL);
	feed(&p, HF_UDX_DATA, 0, 0, 1, text("refused"));
	assert_int_equal(p.a.firewall_count, 1);
	p.a.welcomes = true;
	for (uint32_t seq = 0; seq < 200; seq++)
		feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
	assert_int_equal(p.a.data.length, 0);
	assert_int_equal(pair_drop(&p, &p.a), 0);
	pair_connect(&p, &p.a);
	struct hf_udx_header header = header_of(pair_pull_one(&p, &p.a));
	assert_int_equal(header.ack, 66);
	assert_int_equal(p.a.data.length, 66 * sizeof payload);
	assert_true(p.a.data.length <= HF_UDX_UNCONNECTED_BYTES_MAX + sizeof payload);
	pair_close(&p);
}

static void test_messages_arrive_also_empty_ones_and_are_never_sent_again(void **state)
{
	uint8_t large[1153];
	struct pair p;
	(void)state;
	memset(large, 7, sizeof large);
	pair_open(&p, 0, 0);
	assert_int_equal(hf_udx_stream_send_message(p.a.stream, hf_slice(large, sizeof large)), HF_ETOOBIG);
	assert_int_equal(hf_udx_stream_send_message(p.a.stream, hf_slice(large, sizeof large - 1)), HF_OK);
	pair_carry(&p, &p.a);
	assert_int_equal(p.b.last_message.length, sizeof large - 1);
	assert_int_equal(hf_udx_stream_send_message(p.a.stream, hf_slice(NULL, 0)), HF_OK);
	pair_carry(&p, &p.a);
	assert_int_equal(p.b.message_count, 2);
	assert_int_equal(p.b.last_message.length, 0);
	assert_int_equal(pair_wait_deaf(&p, &p.a, 20 * S), 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(hf_udx_stream_send_message(p.a.stream, text("m")), HF_OK);
	assert_int_equal(pair_carry(&p, &p.a), HF_UDX_MESSAGE_COUNT_MAX);
	pair_close(&p);
}

static void test_acknowledgements_of_what_was_never_sent_are_ignored(void **state)
{
	struct pair p;
	uint8_t blocks[16];
	(void)state;
	pair_open(&p, 0, 0);
	hf_udx_stream_write_copy(p.a.stream, text("one"));
	assert_int_equal(pair_drop(&p, &p.a), 1);
	feed(&p, 0, 0, 2, 1, hf_slice(NULL, 0));
	feed(&p, 0, 0, 0x80000000, 1, hf_slice(NULL, 0));
	hf_udx_block_encode((struct hf_udx_block){0, 2}, blocks);
	hf_udx_block_encode((struct hf_udx_block){1, 0}, blocks + 8);
	feed(&p, HF_UDX_SACK, 0, 0, 1, hf_slice(blocks, sizeof blocks));
	assert_int_equal(hf_udx_stream_pending_bytes(p.a.stream), 3);
	feed(&p, 0, 0, 1, 1, hf_slice(NULL, 0));
	assert_int_equal(hf_udx_stream_pending_bytes(p.a.stream), 0);
	pair_close(&p);
}

static void test_packets_in_flight_at_a_change_of_remote_are_sent_again_to_the_old_one(void **state)
{
	struct hf_udx_packet packets[HF_UDX_SEND_COUNT_MAX];
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	hf_udx_stream_write_copy(p.a.stream, text("old"));
	assert_int_equal(pair_drop(&p, &p.a), 1);
	struct hf_udx_path path = p.a.path;
	path.remote.port = 99;
	assert_int_equal(hf_udx_stream_change_remote(p.a.stream, &path, 1234), HF_OK);
	hf_udx_stream_write_copy(p.a.stream, text("new"));
	assert_int_equal(hf_udx_send(p.a.udx, p.now_us, packets, HF_UDX_SEND_COUNT_MAX), 1);
	assert_int_equal(packets[0].remote.port, 99);
	assert_int_equal(p.a.changed_count, 0);
	p.now_us += S;
	hf_udx_tick(p.a.udx, p.now_us);
	assert_int_equal(hf_udx_send(p.a.udx, p.now_us, packets, HF_UDX_SEND_COUNT_MAX), 1);
	assert_int_equal(packets[0].remote.port, 2);
	assert_int_equal(header_of(hf_slice(packets[0].pieces[0].iov_base, HF_UDX_HEADER_BYTES)).id, hf_udx_stream_id(p.b.stream));
	feed(&p, 0, 0, 1, 100000, hf_slice(NULL, 0));
	hf_udx_send(p.a.udx, p.now_us, packets, HF_UDX_SEND_COUNT_MAX);
	assert_int_equal(p.a.changed_count, 1);
	pair_close(&p);
}

static void test_a_probe_that_is_acknowledged_after_a_change_of_remote_says_nothing(void **state)
{
	static uint8_t payload[20000];
	struct hf_udx_stats stats;
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	hf_udx_stream_write_copy(p.a.stream, text("x"));
	pair_settle(&p);
	hf_udx_stream_write_copy(p.a.stream, hf_slice(payload, sizeof payload));
	size_t sent = pair_drop(&p, &p.a); /* a probe among them */
	assert_int_equal(hf_udx_stream_change_remote(p.a.stream, &p.a.path, hf_udx_stream_id(p.b.stream)), HF_OK);
	feed(&p, 0, 0, 1 + (uint32_t)sent, 100000, hf_slice(NULL, 0));
	hf_udx_stream_read_stats(p.a.stream, &stats);
	assert_int_equal(stats.packet_bytes, 1200);
	assert_int_equal(stats.in_flight_packets, 0);
	hf_udx_stream_write_copy(p.a.stream, hf_slice(payload, sizeof payload));
	assert_in_range(pair_drop(&p, &p.a), 10, 40);
	pair_close(&p);
}

static void test_refused_packets_come_again_when_the_socket_takes_more(void **state)
{
	struct hf_udx_packet packets[HF_UDX_SEND_COUNT_MAX];
	static uint8_t payload[5000];
	struct hf_udx_stats stats;
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	hf_udx_stream_write_copy(p.a.stream, hf_slice(payload, sizeof payload));
	size_t count = hf_udx_send(p.a.udx, p.now_us, packets, HF_UDX_SEND_COUNT_MAX);
	assert_int_equal(count, 5);
	hf_udx_refused(p.a.udx, 3);
	assert_int_equal(hf_udx_send(p.a.udx, p.now_us, packets, HF_UDX_SEND_COUNT_MAX), 0);
	hf_udx_writable(p.a.udx, &p.a);
	assert_int_equal(hf_udx_send(p.a.udx, p.now_us, packets, HF_UDX_SEND_COUNT_MAX), 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(header_of(hf_slice(packets[i].pieces[0].iov_base, HF_UDX_HEADER_BYTES)).seq, i + 2);
	hf_udx_stream_read_stats(p.a.stream, &stats);
	assert_int_equal(stats.retransmitted_packets, 0);
	assert_int_equal(stats.in_flight_packets, 5);
	pair_close(&p);
}

static void test_a_closed_socket_closes_its_streams(void **state)
{
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	hf_udx_forget_socket(p.a.udx, &p.a);
	assert_int_equal(pair_drop(&p, &p.a), 0);
	assert_int_equal(p.a.code, HF_ECLOSED);
	pair_close(&p);
}

static void free_in_event(struct pair_end *end)
{
	hf_udx_stream_free(end->stream);
	end->stream = NULL;
}

static void test_a_stream_may_be_freed_in_its_events(void **state)
{
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	p.a.on_data = free_in_event;
	feed(&p, HF_UDX_DATA, 1, 0, 1, text("two"));
	feed(&p, HF_UDX_DATA | HF_UDX_END, 2, 0, 1, text("three"));
	uint32_t id = hf_udx_stream_id(p.a.stream);
	feed(&p, HF_UDX_DATA, 0, 0, 1, text("one"));
	assert_int_equal(p.a.data.length, 3);
	assert_int_equal(p.a.end_count + p.a.closed_count, 0);
	assert_int_equal(header_of(pair_pull_one(&p, &p.a)).type, HF_UDX_DESTROY);
	struct hf_udx_stream *again;
	assert_int_equal(hf_udx_stream_new(&again, p.a.udx, id, NULL, NULL), HF_OK);
	hf_udx_stream_free(again);
	pair_close(&p);
}

static void test_a_relayed_packet_goes_on_as_it_was_but_for_the_id(void **state)
{
	struct hf_udx_stream *other;
	struct hf_udx_path path;
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	assert_int_equal(hf_udx_stream_new(&other, p.a.udx, 0, &other_events, &p.a), HF_OK);
	assert_int_equal(hf_udx_stream_relay_to(p.a.stream, p.a.stream), HF_EINVAL);
	assert_int_equal(hf_udx_stream_relay_to(p.a.stream, other), HF_OK);
	feed(&p, HF_UDX_DATA, 5, 6, 7, text("dropped: the other is not connected"));
	assert_int_equal(pair_drop(&p, &p.a), 0);
	path = p.a.path;
	path.remote.port = 77;
	assert_int_equal(hf_udx_stream_connect(other, &path, 0xabcdef), HF_OK);
	feed(&p, HF_UDX_DATA | HF_UDX_HEARTBEAT, 5, 6, 7, text("passes"));
	struct hf_slice sent = pair_pull_one(&p, &p.a);
	struct hf_udx_header header = header_of(sent);
	assert_int_equal(header.id, 0xabcdef);
	assert_int_equal(header.type, HF_UDX_DATA | HF_UDX_HEARTBEAT);
	assert_true(header.seq == 5 && header.ack == 6 && header.window_bytes == 7);
	assert_memory_equal(sent.data + HF_UDX_HEADER_BYTES, "passes", 6);
	assert_int_equal(hf_udx_stream_relayed_bytes(p.a.stream), 26);
	assert_int_equal(p.a.data.length, 0);
	/* DESTROY passes, too, and ends the relaying; nothing is said of our own. */
	feed(&p, HF_UDX_DESTROY, 9, 0, 0, hf_slice(NULL, 0));
	assert_int_equal(header_of(pair_pull_one(&p, &p.a)).type, HF_UDX_DESTROY);
	assert_int_equal(p.a.code, HF_ECLOSED);
	hf_udx_stream_free(other);
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
		feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
	assert_int_equal(pair_drop(&p, &p.a), 20);
	passed = 20;
	for (uint32_t i = 0; i < 3000; i++) {
		p.now_us += 1000;
		feed(&p, HF_UDX_DATA, i, 0, 1, hf_slice(payload, sizeof payload));
		passed += pair_drop(&p, &p.a);
	}
	assert_in_range(passed, 79, 80);
	assert_int_equal(hf_udx_stream_relayed_bytes(p.a.stream), passed * 1000);
	hf_udx_stream_set_relay_rate(p.a.stream, 0);
	for (uint32_t seq = 0; seq < 100; seq++)
		feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, sizeof payload));
	assert_int_equal(pair_drop(&p, &p.a), 100);
	hf_udx_stream_free(other);
	pair_close(&p);
}

/* As if four thousand million packets had gone before. */
static void go_on_from(struct hf_udx_stream *sender, struct hf_udx_stream *receiver, uint32_t seq)
{
	sender->una = sender->next_seq = sender->rack.next_seq = sender->rack.delivered_seq = sender->window_ack = seq;
	receiver->ack = receiver->taken_seq = receiver->window_seq = seq;
}

static void test_sequence_numbers_wrap(void **state)
{
	static uint8_t large[400000];
	struct pair p;
	(void)state;
	for (size_t i = 0; i < sizeof large; i++)
		large[i] = (uint8_t)(i * 7 / 3);
	for (uint32_t before = 0; before < 60; before += 7) {
		pair_open(&p, 0, 0);
		go_on_from(p.a.stream, p.b.stream, 0u - before);
		go_on_from(p.b.stream, p.a.stream, 0x80000000u - before);
		hf_udx_stream_write_copy(p.a.stream, hf_slice(large, sizeof large));
		hf_udx_stream_write_copy(p.b.stream, hf_slice(large, sizeof large));
		for (int i = 0; i < 20; i++) {
			i % 3 == 1 ? pair_drop(&p, &p.a) : pair_carry(&p, &p.a);
			i % 4 == 2 ? pair_drop(&p, &p.b) : pair_carry(&p, &p.b);
			p.now_us += 1000;
			hf_udx_tick(p.a.udx, p.now_us);
			hf_udx_tick(p.b.udx, p.now_us);
		}
		hf_udx_stream_end(p.a.stream);
		hf_udx_stream_end(p.b.stream);
		for (int i = 0; i < 10 && p.a.data.length + p.b.data.length < 2 * sizeof large; i++) {
			p.now_us += S;
			pair_settle(&p);
		}
		pair_settle(&p);
		assert_int_equal(p.a.data.length, sizeof large);
		assert_int_equal(p.b.data.length, sizeof large);
		assert_memory_equal(p.a.data.data, large, sizeof large);
		assert_memory_equal(p.b.data.data, large, sizeof large);
		assert_int_equal(p.a.code, HF_OK);
		assert_int_equal(p.a.closed_count + p.b.closed_count, 2);
		pair_close(&p);
	}
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

static unsigned released;

static void on_release(void *owner)
{
	(void)owner;
	released++;
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
	assert_int_equal(hf_udx_stream_write_copy(p.a.stream, text("x")), HF_EBUSY);
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
	hf_udx_stream_write_copy(p.a.stream, text("small"));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ends_close_when_both_have_ended),
		cmocka_unit_test(test_an_end_that_comes_again_after_the_close_is_acknowledged_again),
		cmocka_unit_test(test_destroy_is_told_once_and_resets_the_other_end),
		cmocka_unit_test(test_the_seventh_timeout_closes_the_stream),
		cmocka_unit_test(test_packets_of_every_length_arrive),
		cmocka_unit_test(test_data_offset_is_skipped_and_too_large_a_one_drops_the_packet),
		cmocka_unit_test(test_a_paused_stream_keeps_a_bounded_amount_and_closes_its_window),
		cmocka_unit_test(test_all_streams_together_keep_a_bounded_amount),
		cmocka_unit_test(test_early_packets_are_kept_up_to_the_bound),
		cmocka_unit_test(test_the_sender_stops_at_a_closed_window_and_asks),
		cmocka_unit_test(test_a_heartbeat_is_answered_with_an_acknowledgement),
		cmocka_unit_test(test_what_comes_before_connect_is_kept_and_handed_over_after_it),
		cmocka_unit_test(test_messages_arrive_also_empty_ones_and_are_never_sent_again),
		cmocka_unit_test(test_acknowledgements_of_what_was_never_sent_are_ignored),
		cmocka_unit_test(test_packets_in_flight_at_a_change_of_remote_are_sent_again_to_the_old_one),
		cmocka_unit_test(test_a_probe_that_is_acknowledged_after_a_change_of_remote_says_nothing),
		cmocka_unit_test(test_refused_packets_come_again_when_the_socket_takes_more),
		cmocka_unit_test(test_a_closed_socket_closes_its_streams),
		cmocka_unit_test(test_a_stream_may_be_freed_in_its_events),
		cmocka_unit_test(test_a_relayed_packet_goes_on_as_it_was_but_for_the_id),
		cmocka_unit_test(test_relaying_keeps_to_its_rate),
		cmocka_unit_test(test_sequence_numbers_wrap),
		cmocka_unit_test(test_ids_are_unique_and_streams_are_counted),
		cmocka_unit_test(test_pieces_are_released_once_whatever_becomes_of_them),
		cmocka_unit_test(test_a_write_past_the_bound_is_refused),
		cmocka_unit_test(test_drained_is_told_when_the_rest_is_small),
		cmocka_unit_test(test_no_failed_allocation_loses_anything),
		cmocka_unit_test(test_a_session_or_stream_without_memory_is_not_there),
	};
	return cmocka_run_group_tests_name("wire/udx_stream", tests, NULL, NULL);
}
