/* UDX streams packet by packet: order, ends, timeouts, windows, firewall, changes of path, relaying. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "udx_pair.h"
#include "wire/udx/udx_private.h"

#define S UINT64_C(1000000)

static const struct hf_udx_events other_events = {0};

static void test_both_ends_close_when_both_have_ended(void **state)
{
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	assert_int_equal(hf_udx_stream_write_copy(p.a.stream, hf_slice_text("hello")), HF_OK);
	hf_udx_stream_end(p.a.stream);
	assert_int_equal(hf_udx_stream_write_copy(p.a.stream, hf_slice_text("late")), HF_ECLOSED);
	pair_settle(&p);
	assert_int_equal(p.b.end_count, 1);
	assert_int_equal(p.a.closed_count + p.b.closed_count, 0);
	assert_int_equal(hf_udx_stream_write_copy(p.b.stream, hf_slice_text("world")), HF_OK);
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
	assert_int_equal(pair_header(lost).ack, 1);
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
	hf_udx_stream_write_copy(p.a.stream, hf_slice_text("never sent"));
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
	hf_udx_stream_write_copy(p.a.stream, hf_slice_text("hey"));
	uint64_t start_us = p.now_us;
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(pair_wait_deaf(&p, &p.a, start_us + seconds[i] * S + 100000 - p.now_us), 1);
		assert_int_equal(pair_header(hf_slice(p.packet, HF_UDX_HEADER_BYTES)).seq, 0);
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
		assert_true(pair_feed(&p, HF_UDX_DATA, seq + 1, 0, 1, hf_slice(payload, length)));
		assert_true(pair_feed(&p, HF_UDX_DATA, seq, 0, 1, hf_slice(payload, length)));
		seq += 2;
		assert_int_equal(p.a.data.length, 2 * length);
		if (length) {
			assert_memory_equal(p.a.data.data, payload, length);
			assert_memory_equal(p.a.data.data + length, payload, length);
		}
		assert_int_equal(pair_header(pair_pull_one(&p, &p.a)).ack, seq);
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
	assert_int_equal(pair_header(pair_pull_one(&p, &p.a)).ack, 1);
	pair_close(&p);
}

static void test_the_sender_stops_at_a_closed_window_and_asks(void **state)
{
	static uint8_t payload[50000];
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	hf_udx_stream_write_copy(p.a.stream, hf_slice_text("x"));
	assert_int_equal(pair_drop(&p, &p.a), 1);
	pair_feed(&p, 0, 0, 1, 0, hf_slice(NULL, 0)); /* acknowledged, and no more */
	hf_udx_stream_write_copy(p.a.stream, hf_slice(payload, sizeof payload));
	assert_int_equal(pair_wait_deaf(&p, &p.a, 900000), 0);
	assert_int_equal(pair_wait_deaf(&p, &p.a, 200000), 1);
	assert_int_equal(pair_header(hf_slice(p.packet, HF_UDX_HEADER_BYTES)).type, HF_UDX_HEARTBEAT);
	assert_int_equal(pair_wait_deaf(&p, &p.a, 4 * S), 2);
	/* Less than a packet's room is room for one. */
	pair_feed(&p, 0, 0, 1, 1, hf_slice(NULL, 0));
	assert_int_equal(pair_drop(&p, &p.a), 1);
	assert_int_equal(pair_header(hf_slice(p.packet, HF_UDX_HEADER_BYTES)).type, HF_UDX_DATA);
	pair_close(&p);
}

static void test_a_heartbeat_is_answered_with_an_acknowledgement(void **state)
{
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	pair_feed(&p, HF_UDX_HEARTBEAT, 77, 99, 5, hf_slice_text("ignored"));
	struct hf_udx_header header = pair_header(pair_pull_one(&p, &p.a));
	assert_int_equal(header.type, 0);
	assert_int_equal(header.ack, 0);
	hf_udx_stream_set_keep_alive(p.a.stream, 100);
	assert_int_equal(pair_wait_deaf(&p, &p.a, 350000), 3);
	assert_int_equal(pair_header(hf_slice(p.packet, HF_UDX_HEADER_BYTES)).type, HF_UDX_HEARTBEAT);
	hf_udx_stream_set_keep_alive(p.a.stream, 0);
	assert_int_equal(pair_wait_deaf(&p, &p.a, 350000), 0);
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
		assert_int_equal(hf_udx_stream_send_message(p.a.stream, hf_slice_text("m")), HF_OK);
	assert_int_equal(pair_carry(&p, &p.a), HF_UDX_MESSAGE_COUNT_MAX);
	pair_close(&p);
}

static void test_acknowledgements_of_what_was_never_sent_are_ignored(void **state)
{
	struct pair p;
	uint8_t blocks[16];
	(void)state;
	pair_open(&p, 0, 0);
	hf_udx_stream_write_copy(p.a.stream, hf_slice_text("one"));
	assert_int_equal(pair_drop(&p, &p.a), 1);
	pair_feed(&p, 0, 0, 2, 1, hf_slice(NULL, 0));
	pair_feed(&p, 0, 0, 0x80000000, 1, hf_slice(NULL, 0));
	hf_udx_block_encode((struct hf_udx_block){0, 2}, blocks);
	hf_udx_block_encode((struct hf_udx_block){1, 0}, blocks + 8);
	pair_feed(&p, HF_UDX_SACK, 0, 0, 1, hf_slice(blocks, sizeof blocks));
	assert_int_equal(hf_udx_stream_pending_bytes(p.a.stream), 3);
	pair_feed(&p, 0, 0, 1, 1, hf_slice(NULL, 0));
	assert_int_equal(hf_udx_stream_pending_bytes(p.a.stream), 0);
	pair_close(&p);
}

static void test_packets_in_flight_at_a_change_of_remote_are_sent_again_to_the_old_one(void **state)
{
	struct hf_udx_packet packets[HF_UDX_SEND_COUNT_MAX];
	struct pair p;
	(void)state;
	pair_open(&p, 0, 0);
	hf_udx_stream_write_copy(p.a.stream, hf_slice_text("old"));
	assert_int_equal(pair_drop(&p, &p.a), 1);
	struct hf_udx_path path = p.a.path;
	path.remote.port = 99;
	assert_int_equal(hf_udx_stream_change_remote(p.a.stream, &path, 1234), HF_OK);
	hf_udx_stream_write_copy(p.a.stream, hf_slice_text("new"));
	assert_int_equal(hf_udx_send(p.a.udx, p.now_us, packets, HF_UDX_SEND_COUNT_MAX), 1);
	assert_int_equal(packets[0].remote.port, 99);
	assert_int_equal(p.a.changed_count, 0);
	p.now_us += S;
	hf_udx_tick(p.a.udx, p.now_us);
	assert_int_equal(hf_udx_send(p.a.udx, p.now_us, packets, HF_UDX_SEND_COUNT_MAX), 1);
	assert_int_equal(packets[0].remote.port, 2);
	assert_int_equal(pair_header(hf_slice(packets[0].pieces[0].iov_base, HF_UDX_HEADER_BYTES)).id, hf_udx_stream_id(p.b.stream));
	pair_feed(&p, 0, 0, 1, 100000, hf_slice(NULL, 0));
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
	hf_udx_stream_write_copy(p.a.stream, hf_slice_text("x"));
	pair_settle(&p);
	hf_udx_stream_write_copy(p.a.stream, hf_slice(payload, sizeof payload));
	size_t sent = pair_drop(&p, &p.a); /* a probe among them */
	assert_int_equal(hf_udx_stream_change_remote(p.a.stream, &p.a.path, hf_udx_stream_id(p.b.stream)), HF_OK);
	pair_feed(&p, 0, 0, 1 + (uint32_t)sent, 100000, hf_slice(NULL, 0));
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
		assert_int_equal(pair_header(hf_slice(packets[i].pieces[0].iov_base, HF_UDX_HEADER_BYTES)).seq, i + 2);
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
	pair_feed(&p, HF_UDX_DATA, 1, 0, 1, hf_slice_text("two"));
	pair_feed(&p, HF_UDX_DATA | HF_UDX_END, 2, 0, 1, hf_slice_text("three"));
	uint32_t id = hf_udx_stream_id(p.a.stream);
	pair_feed(&p, HF_UDX_DATA, 0, 0, 1, hf_slice_text("one"));
	assert_int_equal(p.a.data.length, 3);
	assert_int_equal(p.a.end_count + p.a.closed_count, 0);
	assert_int_equal(pair_header(pair_pull_one(&p, &p.a)).type, HF_UDX_DESTROY);
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
	pair_feed(&p, HF_UDX_DATA, 5, 6, 7, hf_slice_text("dropped: the other is not connected"));
	assert_int_equal(pair_drop(&p, &p.a), 0);
	path = p.a.path;
	path.remote.port = 77;
	assert_int_equal(hf_udx_stream_connect(other, &path, 0xabcdef), HF_OK);
	pair_feed(&p, HF_UDX_DATA | HF_UDX_HEARTBEAT, 5, 6, 7, hf_slice_text("passes"));
	struct hf_slice sent = pair_pull_one(&p, &p.a);
	struct hf_udx_header header = pair_header(sent);
	assert_int_equal(header.id, 0xabcdef);
	assert_int_equal(header.type, HF_UDX_DATA | HF_UDX_HEARTBEAT);
	assert_true(header.seq == 5 && header.ack == 6 && header.window_bytes == 7);
	assert_memory_equal(sent.data + HF_UDX_HEADER_BYTES, "passes", 6);
	assert_int_equal(hf_udx_stream_relayed_bytes(p.a.stream), 26);
	assert_int_equal(p.a.data.length, 0);
	/* DESTROY passes, too, and ends the relaying; nothing is said of our own. */
	pair_feed(&p, HF_UDX_DESTROY, 9, 0, 0, hf_slice(NULL, 0));
	assert_int_equal(pair_header(pair_pull_one(&p, &p.a)).type, HF_UDX_DESTROY);
	assert_int_equal(p.a.code, HF_ECLOSED);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ends_close_when_both_have_ended),
		cmocka_unit_test(test_an_end_that_comes_again_after_the_close_is_acknowledged_again),
		cmocka_unit_test(test_destroy_is_told_once_and_resets_the_other_end),
		cmocka_unit_test(test_the_seventh_timeout_closes_the_stream),
		cmocka_unit_test(test_packets_of_every_length_arrive),
		cmocka_unit_test(test_data_offset_is_skipped_and_too_large_a_one_drops_the_packet),
		cmocka_unit_test(test_the_sender_stops_at_a_closed_window_and_asks),
		cmocka_unit_test(test_a_heartbeat_is_answered_with_an_acknowledgement),
		cmocka_unit_test(test_messages_arrive_also_empty_ones_and_are_never_sent_again),
		cmocka_unit_test(test_acknowledgements_of_what_was_never_sent_are_ignored),
		cmocka_unit_test(test_packets_in_flight_at_a_change_of_remote_are_sent_again_to_the_old_one),
		cmocka_unit_test(test_a_probe_that_is_acknowledged_after_a_change_of_remote_says_nothing),
		cmocka_unit_test(test_refused_packets_come_again_when_the_socket_takes_more),
		cmocka_unit_test(test_a_closed_socket_closes_its_streams),
		cmocka_unit_test(test_a_stream_may_be_freed_in_its_events),
		cmocka_unit_test(test_a_relayed_packet_goes_on_as_it_was_but_for_the_id),
		cmocka_unit_test(test_sequence_numbers_wrap),
	};
	return cmocka_run_group_tests_name("wire/udx_stream", tests, NULL, NULL);
}
