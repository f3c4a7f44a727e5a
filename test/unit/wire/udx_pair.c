#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "udx_pair.h"

#define DELAY_US 1000

static void on_data(void *context, struct hf_udx_stream *stream, uint8_t *data, size_t length)
{
	struct pair_end *end = context;
	(void)stream;
	assert_int_equal(hf_buffer_append(&end->data, data, length), HF_OK);
	memset(data, 0xee, length);
	if (end->on_data)
		end->on_data(end);
}

static void on_end(void *context, struct hf_udx_stream *stream)
{
	(void)stream;
	((struct pair_end *)context)->end_count++;
}

static void on_drained(void *context, struct hf_udx_stream *stream)
{
	(void)stream;
	((struct pair_end *)context)->drained_count++;
}

static void on_message(void *context, struct hf_udx_stream *stream, uint8_t *data, size_t length)
{
	struct pair_end *end = context;
	(void)stream;
	end->message_count++;
	hf_buffer_clear(&end->last_message);
	assert_int_equal(hf_buffer_append(&end->last_message, data, length), HF_OK);
}

static bool on_firewall(void *context, struct hf_udx_stream *stream, const struct hf_udx_path *from)
{
	struct pair_end *end = context;
	(void)stream, (void)from;
	end->firewall_count++;
	return end->welcomes;
}

static void on_changed(void *context, struct hf_udx_stream *stream)
{
	(void)stream;
	((struct pair_end *)context)->changed_count++;
}

static void on_closed(void *context, struct hf_udx_stream *stream, int code)
{
	struct pair_end *end = context;
	end->closed_count++;
	end->code = code;
	if (end->keeps)
		return;
	hf_udx_stream_free(stream);
	end->stream = NULL;
}

const struct hf_udx_events end_events = {.data = on_data,
	.end = on_end,
	.drained = on_drained,
	.message = on_message,
	.firewall = on_firewall,
	.remote_changed = on_changed,
	.closed = on_closed};

static void draw(struct hf_env *env, void *out, size_t length)
{
	struct pair *p = env->context;
	for (size_t i = 0; i < length; i++) {
		p->random = p->random * UINT64_C(6364136223846793005) + 1442695040888963407;
		((uint8_t *)out)[i] = (uint8_t)(p->random >> 56);
	}
}

static uint64_t monotonic_us(struct hf_env *env)
{
	return ((struct pair *)env->context)->now_us;
}

static void on_wake(void *context)
{
	((struct pair_end *)context)->wake_count++;
}

static void open_end(struct pair *p, struct pair_end *end, uint32_t id, uint16_t port_of_other, const struct hf_udx_options *options)
{
	struct hf_udx_options own = options ? *options : (struct hf_udx_options){0};
	own.env = &p->env;
	own.wake = on_wake;
	own.context = end;
	end->pair = p;
	end->path.socket = end;
	assert_int_equal(hf_address_parse("192.0.2.1:0", &end->path.remote, NULL), HF_OK);
	end->path.remote.port = port_of_other;
	assert_int_equal(hf_udx_new(&end->udx, &own), HF_OK);
	assert_int_equal(hf_udx_stream_new(&end->stream, end->udx, id, &end_events, end), HF_OK);
}

void pair_open_unconnected(struct pair *p, uint32_t id_a, uint32_t id_b, const struct hf_udx_options *options)
{
	memset(p, 0, sizeof *p);
	p->now_us = 1000000;
	p->env = (struct hf_env){.context = p, .monotonic_us = monotonic_us, .random = draw};
	open_end(p, &p->a, id_a, 2, options);
	open_end(p, &p->b, id_b, 1, options);
}

static struct pair_end *other(struct pair_end *end)
{
	return end == &end->pair->a ? &end->pair->b : &end->pair->a;
}

void pair_connect(struct pair *p, struct pair_end *end)
{
	(void)p;
	assert_int_equal(hf_udx_stream_connect(end->stream, &end->path, hf_udx_stream_id(other(end)->stream)), HF_OK);
}

void pair_open(struct pair *p, uint32_t id_a, uint32_t id_b)
{
	pair_open_unconnected(p, id_a, id_b, NULL);
	pair_connect(p, &p->a);
	pair_connect(p, &p->b);
}

static void close_end(struct pair_end *end)
{
	hf_udx_stream_free(end->stream);
	hf_udx_free(end->udx);
	hf_buffer_free(&end->data);
	hf_buffer_free(&end->last_message);
}

void pair_close(struct pair *p)
{
	close_end(&p->a);
	close_end(&p->b);
}

static size_t flatten(struct pair *p, const struct hf_udx_packet *packet)
{
	size_t length = 0;
	for (size_t i = 0; i < packet->piece_count; i++) {
		memcpy(p->packet + length, packet->pieces[i].iov_base, packet->pieces[i].iov_len);
		length += packet->pieces[i].iov_len;
	}
	return length;
}

struct hf_slice pair_pull_one(struct pair *p, struct pair_end *end)
{
	struct hf_udx_packet packets[HF_UDX_SEND_COUNT_MAX], more[HF_UDX_SEND_COUNT_MAX];
	assert_int_equal(hf_udx_send(end->udx, p->now_us, packets, HF_UDX_SEND_COUNT_MAX), 1);
	assert_ptr_equal(packets[0].socket, end);
	struct hf_slice slice = hf_slice(p->packet, flatten(p, &packets[0]));
	assert_int_equal(hf_udx_send(end->udx, p->now_us, more, HF_UDX_SEND_COUNT_MAX), 0);
	return slice;
}

size_t pair_drop(struct pair *p, struct pair_end *end)
{
	struct hf_udx_packet packets[HF_UDX_SEND_COUNT_MAX];
	size_t count, total = 0;
	while ((count = hf_udx_send(end->udx, p->now_us, packets, HF_UDX_SEND_COUNT_MAX)) > 0) {
		flatten(p, &packets[count - 1]);
		total += count;
	}
	return total;
}

size_t pair_carry(struct pair *p, struct pair_end *from)
{
	struct hf_udx_packet packets[HF_UDX_SEND_COUNT_MAX];
	struct pair_end *to = other(from);
	size_t count, total = 0;
	while ((count = hf_udx_send(from->udx, p->now_us, packets, HF_UDX_SEND_COUNT_MAX)) > 0) {
		for (size_t i = 0; i < count; i++) {
			size_t length = flatten(p, &packets[i]);
			struct pair_end *at = packets[i].socket;
			hf_udx_recv(to->udx, p->now_us, other(at), &other(at)->path.remote, p->packet, length);
		}
		total += count;
	}
	return total;
}

void pair_settle(struct pair *p)
{
	for (int silent = 0; silent < 2;) {
		p->now_us += DELAY_US;
		hf_udx_tick(p->a.udx, p->now_us);
		hf_udx_tick(p->b.udx, p->now_us);
		silent = pair_carry(p, &p->a) + pair_carry(p, &p->b) == 0 ? silent + 1 : 0;
	}
}

size_t pair_wait_deaf(struct pair *p, struct pair_end *end, uint64_t us)
{
	uint64_t until_us = p->now_us + us;
	size_t total = pair_drop(p, end);
	while (hf_udx_deadline(end->udx) <= until_us) {
		if (hf_udx_deadline(end->udx) > p->now_us)
			p->now_us = hf_udx_deadline(end->udx);
		hf_udx_tick(end->udx, p->now_us);
		total += pair_drop(p, end);
	}
	p->now_us = until_us;
	return total;
}

bool pair_feed(struct pair *p, uint8_t type, uint32_t seq, uint32_t ack, uint32_t window, struct hf_slice payload)
{
	static uint8_t packet[65536];
	struct hf_udx_header header = {type, 0, hf_udx_stream_id(p->a.stream), window, seq, ack};
	hf_udx_header_encode(&header, packet);
	if (payload.length)
		memcpy(packet + HF_UDX_HEADER_BYTES, payload.data, payload.length);
	return hf_udx_recv(p->a.udx, p->now_us, &p->a, &p->a.path.remote, packet, HF_UDX_HEADER_BYTES + payload.length);
}

struct hf_udx_header pair_header(struct hf_slice packet)
{
	struct hf_udx_header header;
	assert_true(hf_udx_header_decode(&header, packet));
	return header;
}
