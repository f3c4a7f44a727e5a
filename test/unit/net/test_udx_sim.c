/* UDX streams over networks that lose, reorder, repeat, delay and throttle, in virtual time: all bytes arrive, in order, once; the same
 * seed gives the same run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/udx_net.h"
#include "sim_net.h"

#define MIB (1u << 20)
#define S UINT64_C(1000000)
#define TABLE_BYTES 4099u /* a prime: no packet begins where an earlier one did */
#define BLOCK_BYTES 16384u

static uint8_t table[TABLE_BYTES + BLOCK_BYTES * 4];

static int set_up(void **state)
{
	uint32_t x = 1;
	(void)state;
	for (size_t i = 0; i < TABLE_BYTES; i++) {
		x = x * 1664525 + 1013904223;
		table[i] = (uint8_t)(x >> 24);
	}
	for (size_t i = TABLE_BYTES; i < sizeof table; i++)
		table[i] = table[i - TABLE_BYTES];
	return 0;
}

struct world;
struct side {
	struct world *world;
	struct side *other;
	struct hf_udp_host *host;
	struct hf_udx_net *net;
	struct hf_udx_socket *socket;
	struct hf_udx_stream *stream;
	uint64_t to_write, written, received;
	uint64_t released;
	bool has_ended, is_closed, has_changed, never_ends;
	int code;
	uint64_t closed_us;
	unsigned messages;
	struct hf_udx_stats stats; /* as it closed */
};
struct world {
	struct sim_net *net;
	struct side a, b;
	bool is_over;
};

static void on_release(void *owner)
{
	((struct side *)owner)->released++;
}

static void fill(struct side *s)
{
	while (s->written < s->to_write && hf_udx_stream_unsent_bytes(s->stream) < 2 * HF_UDX_LOW_BYTES) {
		size_t length = s->to_write - s->written < BLOCK_BYTES ? (size_t)(s->to_write - s->written) : BLOCK_BYTES;
		/* Pieces of all sizes, copied ones and others. */
		size_t first = length > 700 ? 300 + (s->written / 7) % 400 : length / 2, second = length - first > 9 ? 9 : 0;
		const uint8_t *from = table + s->written % TABLE_BYTES;
		struct hf_udx_piece pieces[] = {
			{hf_slice(from, first), s, on_release},
			{hf_slice(from + first, second), s, on_release},
			{hf_slice(from + first + second, length - first - second), s, on_release},
		};
		assert_int_equal(hf_udx_stream_write(s->stream, pieces, 3), HF_OK);
		s->written += length;
	}
	if (s->written == s->to_write && !s->never_ends)
		hf_udx_stream_end(s->stream);
}

static void on_data(void *context, struct hf_udx_stream *stream, uint8_t *data, size_t length)
{
	struct side *s = context;
	(void)stream;
	assert_true(length <= 65507);
	assert_true(s->received + length <= s->other->written);
	assert_memory_equal(data, table + s->received % TABLE_BYTES, length);
	s->received += length;
	memset(data, 0, length); /* it may be written to */
}

static void on_end(void *context, struct hf_udx_stream *stream)
{
	(void)stream;
	((struct side *)context)->has_ended = true;
}

static void on_drained(void *context, struct hf_udx_stream *stream)
{
	(void)stream;
	fill(context);
}

static void on_message(void *context, struct hf_udx_stream *stream, uint8_t *data, size_t length)
{
	(void)stream, (void)data, (void)length;
	((struct side *)context)->messages++;
}

static void on_changed(void *context, struct hf_udx_stream *stream)
{
	(void)stream;
	((struct side *)context)->has_changed = true;
}

static void on_closed(void *context, struct hf_udx_stream *stream, int code)
{
	struct side *s = context;
	hf_udx_stream_read_stats(stream, &s->stats);
	s->is_closed = true;
	s->code = code;
	s->closed_us = sim_net_now_us(s->world->net);
	hf_udx_stream_free(stream);
	s->stream = NULL;
	s->world->is_over = s->world->a.is_closed && s->world->b.is_closed;
}

static bool on_firewall(void *context, struct hf_udx_stream *stream, const struct hf_udx_path *from)
{
	(void)context, (void)stream, (void)from;
	return true;
}

static const struct hf_udx_events events = {.data = on_data,
	.end = on_end,
	.drained = on_drained,
	.message = on_message,
	.firewall = on_firewall,
	.remote_changed = on_changed,
	.closed = on_closed};

static void open_side(struct world *w, struct side *s, struct side *other, const char *ip, const struct sim_link *link,
	const struct hf_udx_options *options)
{
	struct hf_address any;
	assert_int_equal(hf_address_parse("0.0.0.0:0", &any, NULL), HF_OK);
	*s = (struct side){.world = w, .other = other, .host = sim_net_host(w->net, ip)};
	sim_net_set_link(s->host, link);
	assert_int_equal(hf_udx_net_new(&s->net, s->host, options), HF_OK);
	assert_int_equal(hf_udx_socket_open(&s->socket, s->net, &any, NULL, NULL, NULL), HF_OK);
	assert_int_equal(hf_udx_stream_new(&s->stream, hf_udx_net_session(s->net), 0, &events, s), HF_OK);
}

static void connect_side(struct side *s)
{
	struct hf_udx_path path = {s->socket, *hf_udx_socket_address(s->other->socket)};
	assert_int_equal(hf_udx_stream_connect(s->stream, &path, hf_udx_stream_id(s->other->stream)), HF_OK);
}

static void open_world(struct world *w, uint64_t seed, const struct sim_link *link, const struct hf_udx_options *options)
{
	*w = (struct world){.net = sim_net_new(seed)};
	open_side(w, &w->a, &w->b, "10.0.0.1", link, options);
	open_side(w, &w->b, &w->a, "10.0.0.2", link, options);
	connect_side(&w->a);
	connect_side(&w->b);
}

static void close_world(struct world *w)
{
	hf_udx_stream_free(w->a.stream);
	hf_udx_stream_free(w->b.stream);
	hf_udx_net_free(w->a.net);
	hf_udx_net_free(w->b.net);
	sim_net_free(w->net);
}

struct outcome {
	uint64_t trace, us;
	struct hf_udx_stats stats;
	struct sim_counters counters;
};

/* Both ways as many bytes as said, until both sides have closed. */
static struct outcome transfer(uint64_t seed, const struct sim_link *link, uint64_t bytes_a, uint64_t bytes_b)
{
	struct world w;
	struct outcome outcome;
	open_world(&w, seed, link, NULL);
	w.a.to_write = bytes_a;
	w.b.to_write = bytes_b;
	fill(&w.a);
	fill(&w.b);
	sim_net_run(w.net, 3600 * S, &w.is_over);
	assert_true(w.is_over);
	assert_int_equal(w.a.code, HF_OK);
	assert_int_equal(w.b.code, HF_OK);
	assert_true(w.a.has_ended && w.b.has_ended);
	assert_int_equal(w.a.received, bytes_b);
	assert_int_equal(w.b.received, bytes_a);
	outcome.us = sim_net_now_us(w.net);
	outcome.trace = sim_net_trace(w.net);
	outcome.stats = w.a.stats;
	sim_net_counters(w.net, &outcome.counters);
	close_world(&w);
	assert_int_equal(w.a.released, 3 * ((bytes_a + BLOCK_BYTES - 1) / BLOCK_BYTES));
	assert_int_equal(w.b.released, 3 * ((bytes_b + BLOCK_BYTES - 1) / BLOCK_BYTES));
	return outcome;
}

/* Bytes in a second of virtual time. */
static double rate(uint64_t bytes, const struct outcome *o)
{
	return (double)bytes * 1e6 / (double)o->us;
}

static void show(const char *what, uint64_t bytes, const struct outcome *o)
{
	print_message("%-28s %7.3f s, %8.2f MB/s, sent %6llu lost %5llu full %5llu big %2llu, again %u, rtt %u us, window %u, packet %u\n", what,
		(double)o->us / 1e6, (double)bytes / (double)o->us, (unsigned long long)o->counters.sent, (unsigned long long)o->counters.lost,
		(unsigned long long)o->counters.queue_full, (unsigned long long)o->counters.too_big, (unsigned)o->stats.retransmitted_packets,
		o->stats.rtt_us, o->stats.window_packets, o->stats.packet_bytes);
}

static const struct {
	const char *name;
	struct sim_link link;
	uint32_t kib;
} networks[] = {
	{"perfect", {0}, 4096},
	{"delay", {.delay_us = 20000}, 4096},
	{"jitter", {.delay_us = 10000, .jitter_us = 8000}, 4096},
	{"loss 1 %", {.delay_us = 10000, .loss_permille = 10}, 4096},
	{"loss 10 %", {.delay_us = 5000, .loss_permille = 100}, 1024},
	{"loss 30 %", {.delay_us = 5000, .loss_permille = 300}, 128},
	{"reordering", {.delay_us = 5000, .reorder_permille = 50, .reorder_us = 3000}, 4096},
	{"duplication", {.delay_us = 5000, .duplicate_permille = 100}, 4096},
	{"10 Mbit/s", {.delay_us = 20000, .bytes_per_s = 1250000}, 4096},
	{"100 Mbit/s, short queue", {.delay_us = 20000, .bytes_per_s = 12500000, .queue_bytes = 65536}, 16384},
	{"1 Gbit/s", {.delay_us = 2000, .bytes_per_s = 125000000, .queue_bytes = 1000000}, 32768},
	{"path of 1300", {.delay_us = 5000, .mtu = 1300}, 4096},
	{"sockets that refuse", {.delay_us = 5000, .refuse_every = 50}, 4096},
	{"all of it", {.delay_us = 8000, .jitter_us = 4000, .loss_permille = 20, .duplicate_permille = 20, .reorder_permille = 20,
			      .reorder_us = 5000, .bytes_per_s = 5000000, .mtu = 1400, .refuse_every = 100}, 1024},
};
#define NETWORK_COUNT (sizeof networks / sizeof *networks)

static void test_all_bytes_arrive_in_order_over_every_network(void **state)
{
	(void)state;
	for (size_t i = 0; i < NETWORK_COUNT; i++) {
		uint64_t bytes = networks[i].kib * UINT64_C(1024);
		struct outcome one = transfer(1 + i, &networks[i].link, bytes, 0);
		show(networks[i].name, bytes, &one);
		transfer(100 + i, &networks[i].link, bytes / 4 + 13, bytes / 4 + 1);
	}
}

static void test_the_same_seed_gives_the_same_run(void **state)
{
	const struct sim_link *link = &networks[NETWORK_COUNT - 1].link;
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct outcome one = transfer(seed, link, 200000 + seed, 100000), two = transfer(seed, link, 200000 + seed, 100000);
		struct outcome other = transfer(seed + 1000, link, 200000 + seed, 100000);
		assert_true(one.trace == two.trace && one.us == two.us);
		assert_true(one.trace != other.trace);
	}
}

static void test_many_seeds_over_a_bad_network(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct sim_link link = {.delay_us = seed * 37 % 9000, .jitter_us = seed * 91 % 5000, .loss_permille = seed % 7 * 30,
			.duplicate_permille = seed % 5 * 20, .reorder_permille = seed % 3 * 40, .reorder_us = seed * 53 % 7000,
			.bytes_per_s = seed % 4 ? 0 : 500000 * seed, .queue_bytes = 40000, .mtu = seed % 6 ? 0 : 1201 + seed,
			.refuse_every = seed % 11 ? 0 : 13};
		transfer(seed, &link, seed * seed * 7, seed % 9 * 20000);
	}
}

static void test_the_rate_is_near_what_the_link_gives(void **state)
{
	struct sim_link link = {.delay_us = 15000, .bytes_per_s = 12500000, .queue_bytes = 400000};
	(void)state;
	struct outcome one = transfer(1, &link, 32 * MIB, 0);
	assert_true(rate(32 * MIB, &one) > 0.85 * 12500000);
	assert_true(one.stats.retransmitted_packets < one.stats.sent_packets / 12);
	/* A link that loses by itself is not a link that is full. */
	link.loss_permille = 10;
	one = transfer(2, &link, 32 * MIB, 0);
	assert_true(rate(32 * MIB, &one) > 0.75 * 12500000);
	/* Not even at 5 % over a long way. */
	link = (struct sim_link){.delay_us = 50000, .bytes_per_s = 12500000, .queue_bytes = 1250000, .loss_permille = 50};
	one = transfer(4, &link, 64 * MIB, 0);
	assert_true(rate(64 * MIB, &one) > 0.7 * 12500000);
	/* What is in flight stays near what the link holds: 375 KB, and the queue is not kept full. */
	link = (struct sim_link){.delay_us = 15000, .bytes_per_s = 12500000, .queue_bytes = 4000000};
	one = transfer(3, &link, 64 * MIB, 0);
	assert_true(one.stats.rtt_us < 100000);
}

static void test_packets_grow_to_what_the_path_takes_and_no_further(void **state)
{
	static const unsigned mtus[] = {1200, 1231, 1232, 1300, 1499, 1500, 9000};
	static const unsigned found[] = {1200, 1200, 1232, 1296, 1488, 1500, 1500};
	(void)state;
	for (size_t i = 0; i < sizeof mtus / sizeof *mtus; i++) {
		struct sim_link link = {.delay_us = 2000, .mtu = mtus[i], .bytes_per_s = 12500000};
		struct outcome one = transfer(i, &link, 8 * MIB, 0);
		assert_int_equal(one.stats.packet_bytes, found[i]);
		assert_int_equal(one.counters.too_big, mtus[i] >= 1500 ? 0 : 3);
		assert_int_equal(one.stats.timeouts, 0);
	}
}

static void test_a_cut_link_ends_both_streams_with_a_timeout(void **state)
{
	struct sim_link link = {.delay_us = 5000};
	struct world w;
	(void)state;
	open_world(&w, 1, &link, NULL);
	w.a.to_write = w.b.to_write = 64 * MIB;
	fill(&w.a);
	fill(&w.b);
	sim_net_run(w.net, 50000, NULL);
	link.is_cut = true;
	sim_net_set_link(w.a.host, &link);
	sim_net_set_link(w.b.host, &link);
	sim_net_run(w.net, 3600 * S, &w.is_over);
	assert_true(w.is_over);
	assert_int_equal(w.a.code, HF_ETIMEOUT);
	assert_int_equal(w.b.code, HF_ETIMEOUT);
	assert_true(w.a.closed_us < 20 * S);
	close_world(&w);
}

static void test_a_cut_that_ends_in_time_loses_nothing(void **state)
{
	struct sim_link link = {.delay_us = 5000};
	struct world w;
	(void)state;
	open_world(&w, 1, &link, NULL);
	w.a.to_write = w.b.to_write = 8 * MIB;
	fill(&w.a);
	fill(&w.b);
	for (int i = 0; i < 3; i++) {
		link.is_cut = !link.is_cut;
		sim_net_run(w.net, 30000 + i * 4 * S, &w.is_over);
		sim_net_set_link(w.a.host, &link);
		sim_net_set_link(w.b.host, &link);
	}
	link.is_cut = false;
	sim_net_set_link(w.a.host, &link);
	sim_net_set_link(w.b.host, &link);
	sim_net_run(w.net, 3600 * S, &w.is_over);
	assert_int_equal(w.a.code, HF_OK);
	assert_int_equal(w.b.code, HF_OK);
	assert_int_equal(w.a.received, 8 * MIB);
	close_world(&w);
}

static void test_a_reader_that_pauses_holds_up_the_writer_within_the_bound(void **state)
{
	struct sim_link link = {.delay_us = 3000, .loss_permille = 20};
	struct hf_udx_options options = {.receive_bytes_max = 300000};
	struct hf_udx_stats stats;
	struct world w;
	(void)state;
	open_world(&w, 9, &link, &options);
	w.a.to_write = 4 * MIB;
	fill(&w.a);
	fill(&w.b);
	for (int i = 0; i < 20 && !w.b.is_closed; i++) {
		hf_udx_stream_pause(w.b.stream);
		sim_net_run(w.net, (uint64_t)(i + 1) * 5 * S, &w.is_over);
		if (w.b.is_closed)
			break;
		hf_udx_stream_read_stats(w.b.stream, &stats);
		assert_true(stats.kept_bytes <= HF_UDX_EARLY_FACTOR * 300000 + 1500);
		hf_udx_stream_resume(w.b.stream);
		sim_net_run(w.net, (uint64_t)(i + 1) * 5 * S + 20000, &w.is_over);
	}
	sim_net_run(w.net, 3600 * S, &w.is_over);
	assert_int_equal(w.b.received, 4 * MIB);
	assert_int_equal(w.a.code, HF_OK);
	close_world(&w);
}

static void test_many_streams_on_one_socket_fill_the_link_and_all_finish(void **state)
{
	enum { COUNT = 50 };
	static struct side sides[2][COUNT];
	struct sim_link link = {.delay_us = 4000, .bytes_per_s = 12500000, .loss_permille = 2};
	struct world w;
	uint64_t last_us = 0;
	(void)state;
	open_world(&w, 4, &link, NULL);
	for (int i = 0; i < COUNT; i++) {
		for (int j = 0; j < 2; j++) {
			struct side *s = &sides[j][i];
			*s = j ? w.b : w.a;
			s->other = &sides[!j][i];
			s->to_write = j ? 0 : MIB / 2;
			assert_int_equal(hf_udx_stream_new(&s->stream, hf_udx_net_session(s->net), 0, &events, s), HF_OK);
		}
		connect_side(&sides[0][i]);
		connect_side(&sides[1][i]);
	}
	for (int i = 0; i < COUNT; i++) {
		fill(&sides[0][i]);
		fill(&sides[1][i]);
	}
	sim_net_run(w.net, 60 * S, NULL);
	for (int i = 0; i < COUNT; i++) {
		assert_true(sides[0][i].is_closed && sides[1][i].is_closed);
		assert_int_equal(sides[1][i].received, MIB / 2);
		last_us = sides[1][i].closed_us > last_us ? sides[1][i].closed_us : last_us;
	}
	assert_true(last_us < 5 * S); /* 25 MiB in 2.1 s at best; a second later when the last packet of one is lost */
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_bytes_arrive_in_order_over_every_network),
		cmocka_unit_test(test_the_same_seed_gives_the_same_run),
		cmocka_unit_test(test_many_seeds_over_a_bad_network),
		cmocka_unit_test(test_the_rate_is_near_what_the_link_gives),
		cmocka_unit_test(test_packets_grow_to_what_the_path_takes_and_no_further),
		cmocka_unit_test(test_a_cut_link_ends_both_streams_with_a_timeout),
		cmocka_unit_test(test_a_cut_that_ends_in_time_loses_nothing),
		cmocka_unit_test(test_a_reader_that_pauses_holds_up_the_writer_within_the_bound),
		cmocka_unit_test(test_many_streams_on_one_socket_fill_the_link_and_all_finish),
	};
	return cmocka_run_group_tests_name("net/udx_sim", tests, set_up, NULL);
}
