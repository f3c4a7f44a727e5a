/* Nodes of the DHT and streams whose memory runs out at any moment, and under floods: nothing breaks, nothing is leaked, nothing grows. */
#include "dht_fixture.h"

#include <malloc.h>

#include "support/fail_alloc.h"
#include "wire/udx/packet.h"

/* ---- Allocations that fail ---- */

static const uint8_t topic[32] = {7, 7, 7};

/* One that fails somewhere, from the n-th on in steps that grow, until a whole run has fewer. */
static uint64_t after(uint64_t n)
{
	return n + 1 + n / 60;
}

static size_t memory_in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static unsigned values_done, lookups_done, peers_found;

static void on_value(struct hf_dht_value *value, int code)
{
	values_done++;
}

static void on_peers(struct hf_dht_lookup *lookup, const struct hf_dht_reply *reply, const struct hf_dht_peer *peers, size_t count)
{
	peers_found += (unsigned)count;
}

static void on_looked(struct hf_dht_lookup *lookup, int code)
{
	lookups_done++;
}

static struct hf_dht_lookup lookup_of(enum hf_dht_lookup_kind kind, const uint8_t *secret)
{
	struct hf_dht_lookup lookup = {.kind = kind, .secret_key = secret, .peers = on_peers, .done = on_looked};

	memcpy(lookup.target, topic, sizeof topic);
	return lookup;
}

/* A node joins, announces, looks up, puts a value and is asked for it. */
static void live(struct dht_fixture *f, unsigned at)
{
	uint8_t seed[32] = {5}, key[32], secret[64];
	hf_sign_keypair_from_seed(key, secret, seed);
	struct hf_dht_lookup add = lookup_of(HF_DHT_ADD, secret), look = lookup_of(HF_DHT_LOOK_UP, NULL);
	struct hf_dht_value put = {.value = HF_SLICE_LITERAL("a value"), .done = on_value};
	unsigned started = 0;

	values_done = lookups_done = 0;
	if (hf_dht_lookup_start(f->nodes[at], &add) == HF_OK)
		started++;
	run_for(f, 3 * SECOND);
	if (hf_dht_lookup_start(f->nodes[1], &look) == HF_OK)
		started++;
	if (hf_dht_immutable_put(f->nodes[at], &put) == HF_OK)
		started += 100;
	run_for(f, 20 * SECOND);
	assert_int_equal(lookups_done + 100 * values_done, started); /* what was begun has an end */
	hf_dht_value_free(&put);
}

static void test_a_node_survives_any_allocation_that_fails(void **state)
{
	uint64_t n = 1;
	bool failed = true;
	unsigned runs = 0;
	size_t memory = 0;

	for (; failed; n = after(n), runs++) {
		if (runs == 1) /* what is made once has been made */
			memory = memory_in_use();
		struct dht_fixture f;
		struct hf_dht_node_options options = {.size = sizeof options, .role = HF_DHT_PERSISTENT, .is_open = true, .bootstrap_count = 1};
		begin_network(&f, 3);
		f.hosts[3] = sim_net_host(f.net, "20.0.0.4");
		assert_int_equal(hf_udx_net_new(&f.nets[3], f.hosts[3], NULL), HF_OK);
		f.count = 4;
		options.net = f.nets[3];
		options.bootstrap = &f.bootstrap;
		fail_alloc_arm(n, false);
		int code = hf_dht_node_new(&f.nodes[3], &options, NULL);
		assert_true(code == HF_OK || (code == HF_ENOMEM && !f.nodes[3]));
		if (code == HF_OK) {
			run_for(&f, 3 * SECOND);
			live(&f, 3);
		}
		failed = fail_alloc_disarm();
		if (code == HF_OK) { /* and goes on as if nothing had been */
			peers_found = 0;
			run_for(&f, 60 * SECOND);
			live(&f, 3);
			assert_true(peers_found > 0);
		}
		end_network(&f);
	}
	print_message("%u runs, with up to %llu allocations\n", runs, (unsigned long long)n);
	assert_int_equal(memory_in_use(), memory); /* nothing is left of any of them */
	assert_true(n > 50);
}

/* ---- Streams ---- */

#define BYTES 120000u

struct end {
	struct hf_udx_net *net;
	struct hf_udx_socket *socket;
	struct hf_udx_stream *stream;
	size_t received;
	bool is_closed, is_wrong;
	int code;
};

static void on_data(void *context, struct hf_udx_stream *stream, uint8_t *data, size_t length)
{
	struct end *end = context;

	for (size_t i = 0; i < length; i++)
		end->is_wrong |= data[i] != (uint8_t)((end->received + i) % 251);
	end->received += length;
}

static void on_closed(void *context, struct hf_udx_stream *stream, int code)
{
	struct end *end = context;

	end->is_closed = true;
	end->code = code;
}

static const struct hf_udx_events stream_events = {.data = on_data, .closed = on_closed};

static void open_end(struct sim_net *net, struct end *end, const char *ip)
{
	struct hf_address any = {{0}};

	*end = (struct end){0};
	struct hf_udp_host *host = sim_net_host(net, ip);
	sim_net_set_link(host, &(struct sim_link){.delay_us = 10000, .loss_permille = 50, .reorder_permille = 50, .reorder_us = 8000});
	assert_int_equal(hf_address_parse("0.0.0.0:0", &any, NULL), HF_OK);
	assert_int_equal(hf_udx_net_new(&end->net, host, NULL), HF_OK);
	assert_int_equal(hf_udx_socket_open(&end->socket, end->net, &any, NULL, NULL, NULL), HF_OK);
	assert_int_equal(hf_udx_stream_new(&end->stream, hf_udx_net_session(end->net), 0, &stream_events, end), HF_OK);
}

static void join_ends(struct end *one, struct end *other)
{
	struct hf_udx_path way = {one->socket, *hf_udx_socket_address(other->socket)};

	assert_int_equal(hf_udx_stream_connect(one->stream, &way, hf_udx_stream_id(other->stream)), HF_OK);
}

static void close_end(struct end *end)
{
	hf_udx_stream_free(end->stream);
	hf_udx_net_free(end->net);
}

static void test_a_stream_survives_any_allocation_that_fails(void **state)
{
	static uint8_t bytes[BYTES];
	uint64_t n = 1;
	bool failed = true;
	unsigned runs = 0, whole = 0;
	size_t memory = 0;

	for (size_t i = 0; i < BYTES; i++)
		bytes[i] = (uint8_t)(i % 251);
	for (; failed; n = after(n), runs++) {
		if (runs == 1)
			memory = memory_in_use();
		struct sim_net *net = sim_net_new(11);
		struct end a, b;
		open_end(net, &a, "10.0.0.1");
		open_end(net, &b, "10.0.0.2");
		join_ends(&a, &b);
		join_ends(&b, &a);
		for (size_t at = 0; at < BYTES / 2; at += 1000)
			assert_int_equal(hf_udx_stream_write_copy(a.stream, hf_slice(bytes + at, 1000)), HF_OK);
		fail_alloc_arm(n, false);
		for (size_t at = BYTES / 2; at < BYTES; at += 1000) {
			int code = hf_udx_stream_write_copy(a.stream, hf_slice(bytes + at, 1000));
			if (code == HF_ENOMEM) /* nothing of it was taken */
				code = hf_udx_stream_write_copy(a.stream, hf_slice(bytes + at, 1000));
			assert_int_equal(code, HF_OK);
		}
		hf_udx_stream_send_message(a.stream, hf_slice(bytes, 100));
		hf_udx_stream_end(a.stream);
		hf_udx_stream_end(b.stream);
		sim_net_run(net, 60 * SECOND, NULL);
		failed = fail_alloc_disarm();
		sim_net_run(net, 120 * SECOND, NULL);
		assert_false(a.is_wrong || b.is_wrong);
		assert_true(a.is_closed && b.is_closed);
		if (a.code == HF_OK)
			assert_int_equal(b.received, BYTES); /* what was acknowledged is there */
		whole += b.received == BYTES;
		close_end(&a);
		close_end(&b);
		sim_net_free(net);
	}
	assert_int_equal(memory_in_use(), memory);
	print_message("%u runs, %u of them whole, with up to %llu allocations\n", runs, whole, (unsigned long long)n);
	assert_true(n > 50 && whole == runs); /* as after a packet that was lost */
}

/* ---- Floods ---- */

static uint64_t all_served(const struct hf_dht_node_stats *stats)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i <= HF_DHT_COMMAND_COUNT; i++)
		sum += stats->served[i];
	return sum;
}

/* Requests and junk of every kind, from as many addresses as there are packets. */
static void test_a_flood_from_everywhere_leaves_a_node_as_it_was(void **state)
{
	struct dht_fixture f;
	uint8_t token[32] = {1}, target[32] = {0}, junk[100] = {0};
	struct hf_buffer datagram = {0};
	struct hf_address from = {{0}};

	begin_network(&f, 3);
	run_for(&f, 10 * SECOND);
	struct hf_dht_node_stats before = stats_of(&f, 0), now;
	size_t memory = memory_in_use();
	for (unsigned i = 0; i < 200000; i++) {
		static const uint8_t commands[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 200};
		uint8_t command = commands[i % sizeof commands], ip[4] = {30, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
		from = hf_dht_address(ip, (uint16_t)(1024 + i % 60000));
		memcpy(target, &i, sizeof i);
		hf_buffer_clear(&datagram);
		if (i % 10 == 9) {
			memset(junk, (int)i, sizeof junk);
			assert_int_equal(hf_buffer_append(&datagram, junk, i % sizeof junk), HF_OK);
		} else {
			struct hf_dht_message message = {.tid = (uint16_t)i, .to = address_of(&f, 0), .is_internal = command < 5,
				.command = command < 5 ? command : command - 5u, .target = target, .token = i % 3 == 0 ? token : NULL,
				.has_value = i % 2, .value = hf_slice(junk, i % 2 ? 40 : 0)};
			assert_int_equal(hf_dht_message_write(&message, &datagram), HF_OK);
		}
		hf_dht_node_receive(f.nodes[0], hf_dht_node_server_socket(f.nodes[0]), &from, datagram.data, datagram.length);
		if (i % 500 == 499)
			run_for(&f, SECOND / 100);
	}
	run_for(&f, 15 * SECOND);
	now = stats_of(&f, 0);
	print_message("memory +%zu KiB; served %llu, dropped: malformed %llu, bad token %llu, over budget %llu\n",
		(memory_in_use() - memory) / 1024, (unsigned long long)(all_served(&now) - all_served(&before)),
		(unsigned long long)now.malformed, (unsigned long long)now.bad_tokens, (unsigned long long)now.over_budget);
	assert_true(memory_in_use() < memory + (4u << 20));
	assert_true(now.malformed > 0 && now.bad_tokens > 0);
	/* Each is served, or dropped by a name. */
	uint64_t own = 2000; /* what the network itself asks meanwhile, at most */
	uint64_t told = all_served(&now) - all_served(&before) + now.malformed + now.bad_tokens + now.rate_limited + now.stale_replies;
	assert_true(told >= 200000 && told <= 200000 + own);
	assert_true(now.table_count <= before.table_count + 2);
	assert_int_equal(now.records, 0);
	hf_buffer_free(&datagram);
	end_network(&f);
}

static void test_a_flood_of_one_network_is_bounded_by_its_budget(void **state)
{
	struct dht_fixture f;
	struct hf_buffer datagram = {0};
	uint8_t target[32] = {9};

	begin_network(&f, 3);
	run_for(&f, 10 * SECOND);
	uint64_t sent = stats_of(&f, 0).sent;
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t ip[4] = {30, 1, 1, (uint8_t)i};
		struct hf_address from = hf_dht_address(ip, 4000);
		struct hf_dht_message message = {.tid = (uint16_t)i, .to = address_of(&f, 0), .is_internal = true, .command = HF_DHT_FIND_NODE,
			.target = target};
		hf_buffer_clear(&datagram);
		assert_int_equal(hf_dht_message_write(&message, &datagram), HF_OK);
		hf_dht_node_receive(f.nodes[0], hf_dht_node_server_socket(f.nodes[0]), &from, datagram.data, datagram.length);
	}
	struct hf_dht_node_stats now = stats_of(&f, 0);
	assert_true(now.over_budget > 0);
	assert_true(now.sent - sent < 3 * HF_DHT_UNPROVEN_BYTES_PER_S / 60);
	assert_true(now.sent - sent + now.over_budget + now.rate_limited >= 20000);
	hf_buffer_free(&datagram);
	end_network(&f);
}

static void put_packet(struct hf_udx *udx, void *socket, const struct hf_address *from, uint32_t id, uint32_t seq, uint8_t type, size_t payload)
{
	uint8_t bytes[1400] = {0};

	hf_udx_header_encode(&(struct hf_udx_header){.type = type, .id = id, .window_bytes = 1000000, .seq = seq}, bytes);
	hf_udx_recv(udx, 1, socket, from, bytes, HF_UDX_HEADER_BYTES + payload);
}

static void test_a_flood_on_a_stream_is_bounded_and_counted_by_reason(void **state)
{
	struct sim_net *net = sim_net_new(3);
	struct hf_udx_counters counters;
	struct end a, b;

	open_end(net, &a, "10.0.0.1");
	open_end(net, &b, "10.0.0.2");
	join_ends(&a, &b);
	struct hf_udx *udx = hf_udx_net_session(a.net);
	struct hf_address from = *hf_udx_socket_address(b.socket);
	uint32_t id = hf_udx_stream_id(a.stream);
	size_t memory = memory_in_use();
	for (uint32_t i = 0; i < 200000; i++)
		put_packet(udx, a.socket, &from, id, 1 + i * 7919u % 1000000u, HF_UDX_DATA, 1200);
	hf_udx_read_counters(udx, &counters);
	print_message("kept %llu KiB, memory +%zu KiB, dropped %llu\n", (unsigned long long)counters.kept_bytes / 1024,
		(memory_in_use() - memory) / 1024, (unsigned long long)counters.dropped_packets[HF_UDX_DROP_FULL]);
	assert_true(counters.kept_bytes <= (uint64_t)HF_UDX_RECEIVE_BYTES_MAX * HF_UDX_EARLY_FACTOR);
	assert_true(memory_in_use() - memory <= 2 * (size_t)HF_UDX_RECEIVE_BYTES_MAX * HF_UDX_EARLY_FACTOR);
	assert_true(counters.dropped_packets[HF_UDX_DROP_FULL] > 100000);
	assert_int_equal(counters.dropped_packets[HF_UDX_DROP_MALFORMED], 0);
	for (uint32_t i = 0; i < 10; i++)
		put_packet(udx, b.socket, &from, id, 1, HF_UDX_DATA, 100);
	for (uint32_t i = 0; i < 10; i++)
		put_packet(udx, a.socket, &from, id + 1, 1, HF_UDX_DATA, 100);
	hf_udx_read_counters(udx, &counters);
	assert_int_equal(counters.dropped_packets[HF_UDX_DROP_FIREWALL], 10); /* another socket; another stream is nobody's */
	close_end(&a);
	close_end(&b);
	sim_net_free(net);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_node_survives_any_allocation_that_fails),
		cmocka_unit_test(test_a_stream_survives_any_allocation_that_fails),
		cmocka_unit_test(test_a_flood_from_everywhere_leaves_a_node_as_it_was),
		cmocka_unit_test(test_a_flood_of_one_network_is_bounded_by_its_budget),
		cmocka_unit_test(test_a_flood_on_a_stream_is_bounded_and_counted_by_reason),
	};

	if (hf_crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
