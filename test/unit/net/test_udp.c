/* Datagram sockets of the loop: every size, trains of packets that the kernel joins and cuts, what is refused and what is lost, and
 * closing in a callback; and UDX streams on them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/udx_net.h"

#define POLLS_MAX 20000

struct world {
	struct hf_env env;
	struct hf_loop *loop;
	struct hf_udp_host *host;
	struct hf_udp *a, *b;
	size_t count, bytes, last_length, callbacks;
	struct hf_address last_from;
	uint8_t expected; /* the first byte of the next datagram */
	bool checks_order, closes;
};

static void on_received(void *context, struct hf_udp *udp, const struct hf_udp_datagram *datagrams, size_t count)
{
	struct world *w = context;
	w->callbacks++;
	for (size_t i = 0; i < count; i++) {
		w->count++;
		w->bytes += datagrams[i].length;
		w->last_length = datagrams[i].length;
		w->last_from = datagrams[i].from;
		if (w->checks_order)
			assert_int_equal(datagrams[i].data[0], w->expected++);
		for (size_t j = 1; j < datagrams[i].length; j += 97)
			assert_int_equal(datagrams[i].data[j], (uint8_t)(datagrams[i].length + j));
		memset(datagrams[i].data, 0, datagrams[i].length);
	}
	if (w->closes && w->b) {
		hf_udp_close(udp);
		w->b = NULL;
	}
}

static const struct hf_udp_events events = {.received = on_received};

static struct hf_udp *open_udp(struct world *w, const char *address)
{
	struct hf_udp_options options = {.events = &events, .context = w};
	struct hf_failure failure = {0};
	struct hf_udp *udp;
	assert_int_equal(hf_address_parse(address, &options.address, NULL), HF_OK);
	assert_int_equal(hf_udp_open(w->host, &udp, &options, &failure), HF_OK);
	assert_true(hf_udp_address(udp)->port != 0);
	return udp;
}

static void open_world(struct world *w)
{
	*w = (struct world){0};
	hf_env_system(&w->env);
	assert_int_equal(hf_loop_new(&w->loop, &w->env), HF_OK);
	w->host = hf_udp_host_of_loop(w->loop);
	assert_non_null(w->host);
	w->a = open_udp(w, "127.0.0.1:0");
	w->b = open_udp(w, "127.0.0.1:0");
}

static void close_world(struct world *w)
{
	hf_udp_close(w->a);
	hf_udp_close(w->b);
	hf_loop_free(w->loop);
}

static void poll_until(struct world *w, size_t count)
{
	for (int i = 0; i < POLLS_MAX && w->count < count; i++)
		hf_loop_poll(w->loop, false);
	assert_int_equal(w->count, count);
}

static void fill(uint8_t *data, size_t length, uint8_t first)
{
	for (size_t i = 1; i < length; i++)
		data[i] = (uint8_t)(length + i);
	if (length)
		data[0] = first;
}

static void test_datagrams_of_every_size_pass(void **state)
{
	static uint8_t data[HF_UDP_DATAGRAM_BYTES_MAX + 1];
	struct world w;
	size_t sent = 0;
	(void)state;
	open_world(&w);
	for (size_t length = 0; length <= HF_UDP_DATAGRAM_BYTES_MAX; length += length < 2100 ? 1 : 1163) {
		fill(data, length, 0);
		struct iovec pieces[] = {{data, length / 3}, {data + length / 3, length - length / 3}};
		struct hf_udp_packet packet = {*hf_udp_address(w.b), pieces, 2, 0};
		assert_int_equal(hf_udp_send(w.a, &packet, 1), 1);
		poll_until(&w, ++sent);
		assert_int_equal(w.last_length, length);
		assert_true(hf_address_equal(&w.last_from, hf_udp_address(w.a)));
	}
	struct iovec piece = {data, sizeof data};
	struct hf_udp_packet packet = {*hf_udp_address(w.b), &piece, 1, 0};
	assert_int_equal(hf_udp_send(w.a, &packet, 1), 1);
	assert_int_equal(w.a->counters.failed_packets, 1);
	assert_int_equal(w.a->counters.sent_packets, sent);
	assert_int_equal(w.b->counters.received_packets, sent);
	close_world(&w);
}

/* As UDX sends them: full ones, a shorter one, others in between. */
static void test_trains_of_packets_arrive_one_by_one_and_in_order(void **state)
{
	enum { COUNT = 150 };
	static uint8_t data[COUNT][1500];
	struct iovec pieces[COUNT][3];
	struct hf_udp_packet packets[COUNT];
	struct world w;
	size_t bytes = 0;
	(void)state;
	open_world(&w);
	w.checks_order = true;
	for (size_t i = 0; i < COUNT; i++) {
		size_t length = i < 100 ? 1472 : i % 10 == 9 ? 1 + i : 300 + i / 10;
		fill(data[i], length, (uint8_t)i);
		pieces[i][0] = (struct iovec){data[i], length < 20 ? length : 20};
		pieces[i][1] = (struct iovec){data[i] + pieces[i][0].iov_len, (length - pieces[i][0].iov_len) / 2};
		pieces[i][2] = (struct iovec){data[i] + pieces[i][0].iov_len + pieces[i][1].iov_len,
			length - pieces[i][0].iov_len - pieces[i][1].iov_len};
		packets[i] = (struct hf_udp_packet){*hf_udp_address(w.b), pieces[i], 3, i == 50 ? 5 : 0};
		bytes += length;
	}
	assert_int_equal(hf_udp_send(w.a, packets, COUNT), COUNT);
	poll_until(&w, COUNT);
	assert_int_equal(w.bytes, bytes);
	assert_true(w.a->counters.send_calls <= 3);
	assert_true(w.callbacks < COUNT / 2);
	close_world(&w);
}

static void test_a_socket_may_be_closed_while_its_datagrams_are_handed_over(void **state)
{
	enum { COUNT = 200 };
	uint8_t data[1] = {0};
	struct iovec piece = {data, 1};
	struct hf_udp_packet packets[COUNT];
	struct world w;
	(void)state;
	open_world(&w);
	w.closes = true;
	for (size_t i = 0; i < COUNT; i++)
		packets[i] = (struct hf_udp_packet){*hf_udp_address(w.b), &piece, 1, 0};
	assert_int_equal(hf_udp_send(w.a, packets, COUNT), COUNT);
	for (int i = 0; i < 50; i++)
		hf_loop_poll(w.loop, false);
	assert_int_equal(w.callbacks, 1);
	close_world(&w);
}

static void test_a_port_in_use_and_an_address_that_is_not_ours_are_named(void **state)
{
	struct hf_udp_options options = {.events = &events};
	struct hf_failure failure = {0};
	struct hf_udp *udp;
	struct world w;
	(void)state;
	open_world(&w);
	options.address = *hf_udp_address(w.a);
	assert_int_equal(hf_udp_open(w.host, &udp, &options, &failure), HF_EADDR);
	assert_non_null(strstr(failure.text, "in use"));
	assert_int_equal(hf_address_parse("192.0.2.1:0", &options.address, NULL), HF_OK);
	assert_int_equal(hf_udp_open(w.host, &udp, &options, &failure), HF_EADDR);
	close_world(&w);
}

static void test_packets_without_a_way_are_lost_and_do_not_stop_the_others(void **state)
{
	uint8_t data[1] = {0};
	struct iovec piece = {data, 1};
	struct world w;
	(void)state;
	open_world(&w);
	struct hf_udp_packet packets[3] = {{*hf_udp_address(w.b), &piece, 1, 0}, {{{0}, 0}, &piece, 1, 0},
		{*hf_udp_address(w.b), &piece, 1, 0}};
	memset(packets[1].address.ip, 0x20, 16); /* IPv6 on an IPv4 socket */
	assert_int_equal(hf_udp_send(w.a, packets, 3), 3);
	poll_until(&w, 2);
	assert_int_equal(w.a->counters.failed_packets, 1);
	close_world(&w);
}

/* ---- UDX ---- */

struct peer {
	struct hf_udx_net *net;
	struct hf_udx_socket *socket;
	struct hf_udx_stream *stream;
	size_t received, datagrams;
	bool is_closed;
	int code;
};

static void on_data(void *context, struct hf_udx_stream *stream, uint8_t *data, size_t length)
{
	(void)stream, (void)data;
	((struct peer *)context)->received += length;
}

static void on_end(void *context, struct hf_udx_stream *stream)
{
	(void)context;
	hf_udx_stream_end(stream);
}

static void on_closed(void *context, struct hf_udx_stream *stream, int code)
{
	struct peer *p = context;
	p->is_closed = true;
	p->code = code;
	hf_udx_stream_free(stream);
	p->stream = NULL;
}

static const struct hf_udx_events udx_events = {.data = on_data, .end = on_end, .closed = on_closed};

static void on_datagram(void *context, struct hf_udx_socket *socket, const struct hf_address *from, uint8_t *data, size_t length)
{
	struct peer *p = context;
	(void)from, (void)data, (void)length;
	if (++p->datagrams == 3) {
		hf_udx_socket_close(socket);
		p->socket = NULL;
	}
}

static const struct hf_udx_socket_events socket_events = {.datagram = on_datagram};

static void open_peer_at(struct world *w, struct peer *p, const char *at)
{
	struct hf_address address;
	*p = (struct peer){0};
	assert_int_equal(hf_address_parse(at, &address, NULL), HF_OK);
	assert_int_equal(hf_udx_net_new(&p->net, w->host, NULL), HF_OK);
	assert_int_equal(hf_udx_socket_open(&p->socket, p->net, &address, &socket_events, p, NULL), HF_OK);
	assert_int_equal(hf_udx_stream_new(&p->stream, hf_udx_net_session(p->net), 0, &udx_events, p), HF_OK);
}

static void open_peer(struct world *w, struct peer *p)
{
	open_peer_at(w, p, "127.0.0.1:0");
}

static void connect_peers(struct peer *one, struct peer *two)
{
	struct hf_udx_path path = {one->socket, *hf_udx_socket_address(two->socket)};
	assert_int_equal(hf_udx_stream_connect(one->stream, &path, hf_udx_stream_id(two->stream)), HF_OK);
}

static void close_peer(struct peer *p)
{
	hf_udx_stream_free(p->stream);
	hf_udx_net_free(p->net);
}

static void carry(const char *at)
{
	static uint8_t block[1 << 20];
	struct peer one, two;
	struct world w;
	open_world(&w);
	open_peer_at(&w, &one, at);
	open_peer_at(&w, &two, at);
	connect_peers(&one, &two);
	connect_peers(&two, &one);
	for (int i = 0; i < 16; i++)
		assert_int_equal(
			hf_udx_stream_write(one.stream, &(struct hf_udx_piece){.bytes = hf_slice(block, sizeof block)}, 1), HF_OK);
	hf_udx_stream_end(one.stream);
	while (!one.is_closed || !two.is_closed)
		hf_loop_poll(w.loop, true);
	assert_int_equal(one.code, HF_OK);
	assert_int_equal(two.code, HF_OK);
	assert_int_equal(two.received, 16 * sizeof block);
	close_peer(&one);
	close_peer(&two);
	close_world(&w);
}

static void test_streams_carry_bytes_over_real_sockets(void **state)
{
	(void)state;
	carry("127.0.0.1:0");
}

/* An address that the system does not have. */
static void refuse(const char *text)
{
	struct world w;
	struct hf_udp_options options = {.events = &events};
	struct hf_udp *udp;
	open_world(&w);
	assert_int_equal(hf_address_parse(text, &options.address, NULL), HF_OK);
	assert_int_equal(hf_udp_open(hf_udp_host_of_loop(w.loop), &udp, &options, NULL), HF_EADDR);
	close_world(&w);
}

static bool has_ipv6(void)
{
	struct sockaddr_storage name;
	struct hf_address address;
	assert_int_equal(hf_address_parse("[::1]:0", &address, NULL), HF_OK);
	socklen_t length = hf_address_to_sockaddr(&address, &name);
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&name, length) == 0;
	if (fd >= 0)
		close(fd);
	return has;
}

static void test_streams_carry_bytes_over_ipv6(void **state)
{
	(void)state;
	refuse("[2001:db8::1]:0");
	if (has_ipv6())
		carry("[::1]:0");
	else
		refuse("[::1]:0");
}

static void test_what_is_not_udx_goes_to_the_owner_who_may_close_the_socket(void **state)
{
	struct peer one, two;
	struct world w;
	(void)state;
	open_world(&w);
	open_peer(&w, &one);
	open_peer(&w, &two);
	connect_peers(&two, &one);
	connect_peers(&one, &two);
	for (int i = 0; i < 5; i++)
		assert_true(hf_udx_socket_send_one(one.socket, hf_udx_socket_address(two.socket), HF_SLICE_LITERAL("\0"), 0));
	for (int i = 0; i < 100; i++)
		hf_loop_poll(w.loop, false);
	assert_int_equal(two.datagrams, 3);
	assert_true(two.is_closed);
	assert_int_equal(two.code, HF_ECLOSED);
	close_peer(&one);
	close_peer(&two);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_datagrams_of_every_size_pass),
		cmocka_unit_test(test_trains_of_packets_arrive_one_by_one_and_in_order),
		cmocka_unit_test(test_a_socket_may_be_closed_while_its_datagrams_are_handed_over),
		cmocka_unit_test(test_a_port_in_use_and_an_address_that_is_not_ours_are_named),
		cmocka_unit_test(test_packets_without_a_way_are_lost_and_do_not_stop_the_others),
		cmocka_unit_test(test_streams_carry_bytes_over_real_sockets),
		cmocka_unit_test(test_streams_carry_bytes_over_ipv6),
		cmocka_unit_test(test_what_is_not_udx_goes_to_the_owner_who_may_close_the_socket),
	};
	return cmocka_run_group_tests_name("net/udp", tests, NULL, NULL);
}
