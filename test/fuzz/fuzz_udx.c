/* UDX sessions. The input is a program. Session A has four streams, session B one: stream 0 of A and that of B are connected, and their packets
 * are carried, lost, repeated and put out of order as the program says; what either reads is the beginning of what the other
 * wrote, whatever happens. The other streams of A get packets of any kind from nobody; they may relay, move, pause, end and be freed.
 * The program may let allocations fail.
 *
 * Covers: src/wire/udx/ack.c src/wire/udx/batch.c src/wire/udx/bbr.c src/wire/udx/flight.c src/wire/udx/mtu.c src/wire/udx/packet.c
 * src/wire/udx/parting.c src/wire/udx/receive.c src/wire/udx/relay.c src/wire/udx/send.c src/wire/udx/stream.c
 * src/wire/udx/timeouts.c src/wire/udx/udx.c src/wire/udx/write.c
 */
#include "fuzz.h"

#include "support/fail_alloc.h"
#include "wire/udx/packet.h"
#include "wire/udx/udx.h"

#define STREAM_COUNT 4
#define TRANSIT_COUNT 128
#define TABLE_BYTES 4099u
#define WRITE_BYTES_MAX (1u << 20) /* of the pair, each way */
#define STEP_COUNT_MAX 4000

struct input {
	const uint8_t *data;
	size_t length;
};
struct transit {
	bool to_a;
	size_t length;
	uint8_t data[HF_UDX_PACKET_BYTES_MAX];
};
struct end {
	struct hf_udx *udx;
	struct hf_udx_stream *streams[STREAM_COUNT];
	uint64_t written, read, released, pieces; /* of stream 0 */
	bool frees_in_events, welcomes;
	unsigned changed;
};

static struct hf_env env;
static uint64_t now_us, random_state;
static struct end a, b;
static struct transit *transits[TRANSIT_COUNT];
static size_t transit_count;
static uint8_t table[TABLE_BYTES + 70000];
static uint8_t scratch[65536];

static unsigned next(struct input *in)
{
	if (in->length == 0)
		return 0;
	in->length--;
	return *in->data++;
}

static unsigned next2(struct input *in)
{
	unsigned high = next(in);
	return high << 8 | next(in);
}

static uint64_t clock_us(struct hf_env *unused)
{
	(void)unused;
	return now_us;
}

static void draw(struct hf_env *unused, void *out, size_t length)
{
	(void)unused;
	for (size_t i = 0; i < length; i++) {
		random_state = random_state * UINT64_C(6364136223846793005) + 1;
		((uint8_t *)out)[i] = (uint8_t)(random_state >> 56);
	}
}

/* ---- Events ---- */

static struct end *owner_of(struct hf_udx_stream *stream, size_t *at)
{
	for (*at = 0; *at < STREAM_COUNT; ++*at) {
		if (a.streams[*at] == stream)
			return &a;
		if (b.streams[*at] == stream)
			return &b;
	}
	FUZZ_CHECK(false); /* an event of a stream that was freed */
	return NULL;
}

static void maybe_free(struct hf_udx_stream *stream)
{
	size_t at;
	struct end *end = owner_of(stream, &at);
	if (!end->frees_in_events || at == 0)
		return;
	hf_udx_stream_free(stream);
	end->streams[at] = NULL;
}

static void on_data(void *context, struct hf_udx_stream *stream, uint8_t *data, size_t length)
{
	struct end *end = context;
	size_t at;
	FUZZ_CHECK(owner_of(stream, &at) == end && length > 0);
	if (at == 0) {
		FUZZ_CHECK(end->read + length <= (end == &a ? b : a).written);
		FUZZ_CHECK(memcmp(data, table + end->read % TABLE_BYTES, length) == 0);
		end->read += length;
	}
	memset(data, 0x55, length);
	maybe_free(stream);
}

static void on_plain(void *context, struct hf_udx_stream *stream)
{
	(void)context;
	maybe_free(stream);
}

static void on_message(void *context, struct hf_udx_stream *stream, uint8_t *data, size_t length)
{
	(void)context;
	memset(data, 0x66, length);
	maybe_free(stream);
}

static bool on_firewall(void *context, struct hf_udx_stream *stream, const struct hf_udx_path *from)
{
	struct end *end = context;
	if (end->welcomes && !hf_udx_stream_is_connected(stream) && end->changed++ % 2)
		hf_udx_stream_connect(stream, from, 0x77);
	bool welcome = end->welcomes;
	maybe_free(stream);
	return welcome;
}

static void on_closed(void *context, struct hf_udx_stream *stream, int code)
{
	size_t at;
	struct end *end = owner_of(stream, &at), *other = end == &a ? &b : &a;
	(void)context;
	if (at == 0 && code == HF_OK)
		FUZZ_CHECK(end->read == other->written);
	hf_udx_stream_free(stream);
	end->streams[at] = NULL;
}

static const struct hf_udx_events events = {.data = on_data,
	.end = on_plain,
	.drained = on_plain,
	.message = on_message,
	.firewall = on_firewall,
	.remote_changed = on_plain,
	.closed = on_closed};

static void on_release(void *owner)
{
	((struct end *)owner)->released++;
}

/* ---- The network ---- */

static struct hf_udx_path path_of(bool is_a, unsigned socket)
{
	struct hf_udx_path path = {(void *)(uintptr_t)(1 + socket), {{0}, 0}};
	memcpy(path.remote.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1", 16);
	path.remote.port = is_a ? 2 : 1;
	if (socket == 2)
		path.remote.ip[0] = 0x20;
	return path;
}

static void recv_at(bool is_a, unsigned socket, uint8_t *data, size_t length)
{
	struct hf_udx_path path = path_of(is_a, socket);
	struct hf_udx *udx = is_a ? a.udx : b.udx;
	/* A copy of its size, so that reading past it is seen. */
	uint8_t *copy = malloc(length + 1);
	if (!copy)
		return;
	memcpy(copy, data, length);
	hf_udx_recv(udx, now_us, path.socket, &path.remote, copy, length);
	free(copy);
}

static void pull(bool is_a, unsigned refuse)
{
	struct hf_udx_packet packets[HF_UDX_SEND_COUNT_MAX];
	struct hf_udx *udx = is_a ? a.udx : b.udx;
	size_t count;
	while ((count = hf_udx_send(udx, now_us, packets, HF_UDX_SEND_COUNT_MAX)) > 0) {
		size_t taken = refuse && count > refuse ? count - refuse : count;
		for (size_t i = 0; i < taken; i++) {
			struct transit *t = transit_count < TRANSIT_COUNT ? malloc(sizeof *t) : NULL;
			size_t length = 0;
			FUZZ_CHECK(packets[i].socket == packets[0].socket);
			for (size_t j = 0; j < packets[i].piece_count; j++) {
				const struct iovec *piece = &packets[i].pieces[j];
				FUZZ_CHECK(length + piece->iov_len <= sizeof scratch);
				memcpy(scratch + length, piece->iov_base, piece->iov_len);
				length += piece->iov_len;
			}
			if (t && length <= sizeof t->data) {
				t->to_a = !is_a;
				t->length = length;
				memcpy(t->data, scratch, length);
				transits[transit_count++] = t;
			} else {
				free(t);
			}
		}
		if (taken < count) {
			hf_udx_refused(udx, count - taken);
			refuse = 0;
		}
	}
}

static void take_out(size_t at, bool delivers, bool keeps)
{
	struct transit *t = transits[at];
	if (!keeps) {
		memmove(transits + at, transits + at + 1, (transit_count - at - 1) * sizeof *transits);
		transit_count--;
	}
	if (delivers)
		recv_at(t->to_a, 0, t->data, t->length);
	if (!keeps)
		free(t);
}

static void move_time(uint64_t us)
{
	now_us += us;
	hf_udx_tick(a.udx, now_us);
	hf_udx_tick(b.udx, now_us);
}

/* Everything arrives for a while. */
static void settle(unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		pull(true, 0);
		pull(false, 0);
		while (transit_count)
			take_out(0, true, false);
		move_time(3000);
	}
}

/* ---- The program ---- */

static void write_some(struct end *end, size_t at, size_t length, unsigned kind)
{
	struct hf_udx_stream *stream = end->streams[at];
	const uint8_t *from = table + (at == 0 ? end->written % TABLE_BYTES : 0);
	if (!stream || (at == 0 && end->written + length > WRITE_BYTES_MAX))
		return;
	size_t first = kind % 3 == 0 ? length / 3 : 0;
	struct hf_udx_piece pieces[2] = {
		{hf_slice(from, first), end, on_release},
		{hf_slice(from + first, length - first), end, on_release},
	};
	uint64_t before = end->released;
	int code = kind % 4 == 3 ? hf_udx_stream_write_copy(stream, hf_slice(from, length)) : hf_udx_stream_write(stream, pieces, 2);
	if (code)
		FUZZ_CHECK(end->released == before);
	else if (kind % 4 != 3)
		end->pieces += 2;
	if (!code && at == 0)
		end->written += length;
}

static void attack(struct input *in, size_t at)
{
	static uint8_t packet[65536];
	struct hf_udx_header header;
	if (!a.streams[at])
		return;
	header.type = (uint8_t)next(in);
	header.data_offset = (uint8_t)(next(in) % 8 == 0 ? next(in) : 0);
	header.id = hf_udx_stream_id(a.streams[at]);
	header.window_bytes = next(in) * 100u;
	header.seq = (uint32_t)(int8_t)next(in);
	header.ack = (uint32_t)(int8_t)next(in);
	if (next(in) % 16 == 0)
		header.seq ^= next2(in) << 16;
	size_t length = next(in) % 16 == 0 ? next2(in) % 60000 : next(in);
	hf_udx_header_encode(&header, packet);
	for (size_t i = 0; i < length && i < 64; i++)
		packet[HF_UDX_HEADER_BYTES + i] = i % 4 ? 0 : (uint8_t)next(in);
	recv_at(true, next(in) % 8 == 0, packet, HF_UDX_HEADER_BYTES + length);
}

static void make_stream(size_t at, unsigned choice)
{
	struct hf_udx_path path = path_of(true, choice % 3);
	if (a.streams[at] || hf_udx_stream_new(&a.streams[at], a.udx, choice % 4 == 0 ? (uint32_t)at + 100 : 0, &events, &a)) {
		hf_udx_stream_free(a.streams[at]);
		a.streams[at] = NULL;
		return;
	}
	if (choice & 8)
		hf_udx_stream_connect(a.streams[at], &path, 0x1000 + choice);
}

static void act_on_stream(struct hf_udx_stream *stream, unsigned action, struct input *in)
{
	struct hf_udx_stats stats;
	switch (action) {
	case 0:
		hf_udx_stream_end(stream);
		break;
	case 1:
		hf_udx_stream_destroy(stream);
		break;
	case 2:
		hf_udx_stream_send_message(stream, hf_slice(table, next2(in) % 1400));
		break;
	case 3:
		hf_udx_stream_pause(stream);
		break;
	case 4:
		hf_udx_stream_resume(stream);
		break;
	case 5:
		hf_udx_stream_set_keep_alive(stream, next(in));
		break;
	default:
		hf_udx_stream_read_stats(stream, &stats);
		FUZZ_CHECK(stats.kept_bytes <= HF_UDX_EARLY_FACTOR * 262144 + 65536);
		FUZZ_CHECK(stats.packet_bytes >= 1200 && stats.packet_bytes <= HF_UDX_PACKET_BYTES_MAX);
		FUZZ_CHECK(hf_udx_stream_unsent_bytes(stream) <= hf_udx_stream_pending_bytes(stream));
	}
}

static void change_remote(size_t at, unsigned socket)
{
	struct hf_udx_path path = path_of(true, socket % 3);
	/* That of the pair stays where B hears it. */
	if (a.streams[at])
		hf_udx_stream_change_remote(a.streams[at], at ? &path : hf_udx_stream_path(a.streams[0]), at ? socket : 2);
}

static void step(struct input *in)
{
	unsigned choice = next(in), argument = choice >> 4;
	size_t at = argument % STREAM_COUNT;
	struct end *end = argument & 8 ? &b : &a;
	switch (choice & 15) {
	case 0:
		write_some(end, 0, next2(in) % 20000, argument);
		break;
	case 1:
		write_some(&a, at, next2(in), next(in));
		break;
	case 2:
		pull(true, argument & 4 ? argument : 0);
		break;
	case 3:
		pull(false, argument & 4 ? argument : 0);
		break;
	case 4:
		if (transit_count)
			take_out(next(in) % transit_count, argument != 0, argument >= 13);
		break;
	case 5:
		settle(1 + argument);
		break;
	case 6:
		move_time((uint64_t)next(in) << argument);
		break;
	case 7:
	case 8:
	case 9:
		attack(in, 1 + at % 3);
		break;
	case 10:
		if (end->streams[0] && argument < 15)
			act_on_stream(end->streams[0], 2 + argument % 5, in);
		else if (end->streams[0])
			act_on_stream(end->streams[0], next(in) % 4 ? 0 : 1, in);
		break;
	case 11:
		if (a.streams[1 + at % 3])
			act_on_stream(a.streams[1 + at % 3], next(in) % 8, in);
		break;
	case 12:
		make_stream(1 + at % 3, next(in));
		break;
	case 13:
		if (argument & 1)
			change_remote(at, next(in));
		else if (a.streams[1] && a.streams[2])
			hf_udx_stream_relay_to(a.streams[1 + (argument >> 1) % 2], argument & 4 ? NULL : a.streams[2 - (argument >> 1) % 2]);
		break;
	case 14:
		if (argument == 0)
			hf_udx_forget_socket(a.udx, (void *)(uintptr_t)(2 + next(in) % 2));
		else
			hf_udx_writable(argument & 1 ? a.udx : b.udx, (void *)(uintptr_t)(1 + argument / 2 % 3));
		break;
	default:
		a.frees_in_events = argument & 1;
		a.welcomes = argument & 2;
		if (argument & 4)
			fail_alloc_arm(1 + next(in), false);
	}
}

static void open_all(void)
{
	struct hf_udx_options options = {.env = &env, .receive_bytes_max = 262144, .stream_count_max = 8};
	struct hf_udx_path path_a = path_of(true, 0), path_b = path_of(false, 0);
	a = b = (struct end){0};
	env = (struct hf_env){.monotonic_us = clock_us, .random = draw};
	now_us = 1000000;
	random_state = 1;
	FUZZ_CHECK(hf_udx_new(&a.udx, &options) == HF_OK && hf_udx_new(&b.udx, &options) == HF_OK);
	FUZZ_CHECK(hf_udx_stream_new(&a.streams[0], a.udx, 1, &events, &a) == HF_OK);
	FUZZ_CHECK(hf_udx_stream_new(&b.streams[0], b.udx, 2, &events, &b) == HF_OK);
	hf_udx_stream_connect(a.streams[0], &path_a, 2);
	hf_udx_stream_connect(b.streams[0], &path_b, 1);
	for (size_t i = 1; i < STREAM_COUNT; i++)
		make_stream(i, i == 3 ? 1 : 8 + (unsigned)i);
}

static void close_all(void)
{
	for (size_t i = 0; i < STREAM_COUNT; i++) {
		hf_udx_stream_free(a.streams[i]);
		hf_udx_stream_free(b.streams[i]);
		a.streams[i] = b.streams[i] = NULL;
	}
	while (transit_count)
		take_out(0, false, false);
	FUZZ_CHECK(a.released == a.pieces && b.released == b.pieces);
	hf_udx_free(a.udx);
	hf_udx_free(b.udx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	static bool has_table;
	struct input in = {data, length};
	for (size_t i = 0; !has_table && i < sizeof table; i++)
		table[i] = (uint8_t)(i % TABLE_BYTES * 2654435761u >> 13);
	has_table = true;
	open_all();
	for (unsigned steps = 0; in.length > 0 && steps < STEP_COUNT_MAX; steps++)
		step(&in);
	fail_alloc_disarm();
	settle(20);
	close_all();
	return 0;
}
