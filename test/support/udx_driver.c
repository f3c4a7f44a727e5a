/* Does to UDX streams of the program under test what it is told, for test/interop/lib/udx_driver.mjs: one JSON object a line in, one out. */
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "codec/hex.h"
#include "crypto/hash.h"
#include "net/udx_net.h"
#include "driver.h"

#define SOCKETS_MAX 8
#define STREAMS_MAX 64
#define BLOCK_BYTES 65536u

struct stream {
	struct hf_udx_stream *udx;
	uint32_t accept_id; /* connect to the source of the first packet, under this remote id */
	bool accepts;
	uint64_t received_bytes, to_generate;
	uint32_t random;
	bool ends_after, has_ended, is_closed, has_changed;
	int code;
	struct hf_sha256 hash;
	json_t *messages;
};

static struct hf_env env;
static struct hf_loop *loop;
static struct hf_udx_net *net;
static struct hf_udx_socket *sockets[SOCKETS_MAX];
static struct stream streams[STREAMS_MAX];

static uint32_t next_word(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

/* As long as the stream takes it. */
static void generate(struct stream *s)
{
	while (s->to_generate > 0 && hf_udx_stream_unsent_bytes(s->udx) < 4 * HF_UDX_LOW_BYTES) {
		size_t length = s->to_generate < BLOCK_BYTES ? (size_t)s->to_generate : BLOCK_BYTES;
		uint32_t *block = malloc(BLOCK_BYTES);
		if (!block)
			driver_die("out of memory");
		for (size_t i = 0; i < (length + 3) / 4; i++)
			block[i] = next_word(&s->random);
		struct hf_udx_piece piece = {hf_slice(block, length), block, free};
		if (hf_udx_stream_write(s->udx, &piece, 1))
			driver_die("a write was refused");
		s->to_generate -= length;
	}
	if (s->to_generate == 0 && s->ends_after)
		hf_udx_stream_end(s->udx);
}

static void on_data(void *context, struct hf_udx_stream *udx, uint8_t *data, size_t length)
{
	struct stream *s = context;
	(void)udx;
	s->received_bytes += length;
	hf_sha256_update(&s->hash, data, length);
}

static void on_end(void *context, struct hf_udx_stream *udx)
{
	(void)udx;
	((struct stream *)context)->has_ended = true;
}

static void on_drained(void *context, struct hf_udx_stream *udx)
{
	(void)udx;
	generate(context);
}

static void on_message(void *context, struct hf_udx_stream *udx, uint8_t *data, size_t length)
{
	struct stream *s = context;
	char *text = malloc(2 * length + 1); /* of no length, too */
	(void)udx;
	if (!text)
		driver_die("out of memory");
	hf_hex_encode(text, data, length);
	json_array_append_new(s->messages, json_stringn(text, 2 * length));
	free(text);
}

static bool on_firewall(void *context, struct hf_udx_stream *udx, const struct hf_udx_path *from)
{
	struct stream *s = context;
	if (!s->accepts)
		return false;
	if (!hf_udx_stream_is_connected(udx))
		return hf_udx_stream_connect(udx, from, s->accept_id) == HF_OK;
	return true;
}

static void on_changed(void *context, struct hf_udx_stream *udx)
{
	(void)udx;
	((struct stream *)context)->has_changed = true;
}

static void on_closed(void *context, struct hf_udx_stream *udx, int code)
{
	struct stream *s = context;
	s->is_closed = true;
	s->code = code;
	hf_udx_stream_free(udx);
	s->udx = NULL;
}

static const struct hf_udx_events events = {.data = on_data,
	.end = on_end,
	.drained = on_drained,
	.message = on_message,
	.firewall = on_firewall,
	.remote_changed = on_changed,
	.closed = on_closed};

static struct hf_udx_path path_of(const json_t *command)
{
	struct hf_udx_path path = {sockets[driver_number(command, "socket") % SOCKETS_MAX], {{0}, 0}};
	hf_address_parse("127.0.0.1:0", &path.remote, NULL);
	path.remote.port = (uint16_t)driver_number(command, "port");
	return path;
}

static void report(const struct stream *s, json_t *answer)
{
	struct hf_sha256 hash = s->hash;
	uint8_t digest[HF_SHA256_BYTES];
	char text[2 * HF_SHA256_BYTES];
	hf_sha256_final(&hash, digest);
	hf_hex_encode(text, digest, sizeof digest);
	json_object_set_new(answer, "received", json_integer((json_int_t)s->received_bytes));
	json_object_set_new(answer, "hash", json_stringn(text, sizeof text));
	json_object_set_new(answer, "ended", json_boolean(s->has_ended));
	json_object_set_new(answer, "changed", json_boolean(s->has_changed));
	json_object_set_new(answer, "closed", s->is_closed ? json_string(hf_error_name(s->code)) : json_null());
	json_object_set(answer, "messages", s->messages);
	if (!s->udx)
		return;
	struct hf_udx_stats stats;
	hf_udx_stream_read_stats(s->udx, &stats);
	json_object_set_new(answer, "mtu", json_integer(stats.packet_bytes));
	json_object_set_new(answer, "retransmitted", json_integer((json_int_t)stats.retransmitted_packets));
	json_object_set_new(answer, "pending", json_integer((json_int_t)hf_udx_stream_pending_bytes(s->udx)));
	json_object_set_new(answer, "connected", json_boolean(hf_udx_stream_is_connected(s->udx)));
}

static int do_open(struct stream *s, const json_t *command, json_t *answer)
{
	struct hf_address any;
	size_t at = 0;
	(void)s, (void)command;
	hf_address_parse("127.0.0.1:0", &any, NULL);
	while (sockets[at])
		at++;
	int code = hf_udx_socket_open(&sockets[at], net, &any, NULL, NULL, NULL);
	if (code)
		return code;
	json_object_set_new(answer, "socket", json_integer((json_int_t)at));
	json_object_set_new(answer, "port", json_integer(hf_udx_socket_address(sockets[at])->port));
	return HF_OK;
}

static int do_close_socket(struct stream *s, const json_t *command, json_t *answer)
{
	(void)s, (void)answer;
	hf_udx_socket_close(sockets[driver_number(command, "socket")]);
	sockets[driver_number(command, "socket")] = NULL;
	return HF_OK;
}

static int do_stream(struct stream *s, const json_t *command, json_t *answer)
{
	if (s->udx)
		hf_udx_stream_free(s->udx);
	json_decref(s->messages);
	*s = (struct stream){.messages = json_array()};
	hf_sha256_init(&s->hash);
	int code = hf_udx_stream_new(&s->udx, hf_udx_net_session(net), (uint32_t)driver_number(command, "id"), &events, s);
	if (!code)
		json_object_set_new(answer, "id", json_integer(hf_udx_stream_id(s->udx)));
	return code;
}

static int do_accept(struct stream *s, const json_t *command, json_t *answer)
{
	(void)answer;
	s->accepts = true;
	s->accept_id = (uint32_t)driver_number(command, "id");
	return HF_OK;
}

static int do_connect(struct stream *s, const json_t *command, json_t *answer)
{
	(void)answer;
	struct hf_udx_path path = path_of(command);
	return hf_udx_stream_connect(s->udx, &path, (uint32_t)driver_number(command, "id"));
}

static int do_change(struct stream *s, const json_t *command, json_t *answer)
{
	(void)answer;
	struct hf_udx_path path = path_of(command);
	return hf_udx_stream_change_remote(s->udx, &path, (uint32_t)driver_number(command, "id"));
}

static int do_generate(struct stream *s, const json_t *command, json_t *answer)
{
	(void)answer;
	s->to_generate = driver_number(command, "bytes");
	s->random = (uint32_t)driver_number(command, "seed");
	s->ends_after = json_is_true(json_object_get(command, "end"));
	generate(s);
	return HF_OK;
}

static struct hf_slice hex_of(const json_t *command, uint8_t *out, size_t room)
{
	const char *text = json_string_value(json_object_get(command, "hex"));
	size_t length = strlen(text) / 2;
	if (length > room || !hf_hex_decode(out, text, length))
		driver_die("bad hex");
	return hf_slice(out, length);
}

static int do_write(struct stream *s, const json_t *command, json_t *answer)
{
	uint8_t data[BLOCK_BYTES];
	(void)answer;
	return hf_udx_stream_write_copy(s->udx, hex_of(command, data, sizeof data));
}

static int do_message(struct stream *s, const json_t *command, json_t *answer)
{
	uint8_t data[BLOCK_BYTES];
	(void)answer;
	return hf_udx_stream_send_message(s->udx, hex_of(command, data, sizeof data));
}

static int do_end(struct stream *s, const json_t *command, json_t *answer)
{
	(void)command, (void)answer;
	hf_udx_stream_end(s->udx);
	return HF_OK;
}

static int do_destroy(struct stream *s, const json_t *command, json_t *answer)
{
	(void)command, (void)answer;
	hf_udx_stream_destroy(s->udx);
	return HF_OK;
}

static int do_pause(struct stream *s, const json_t *command, json_t *answer)
{
	(void)answer;
	if (json_is_true(json_object_get(command, "paused")))
		hf_udx_stream_pause(s->udx);
	else
		hf_udx_stream_resume(s->udx);
	return HF_OK;
}

static int do_keep_alive(struct stream *s, const json_t *command, json_t *answer)
{
	(void)answer;
	hf_udx_stream_set_keep_alive(s->udx, (uint32_t)driver_number(command, "ms"));
	return HF_OK;
}

static int do_relay(struct stream *s, const json_t *command, json_t *answer)
{
	(void)answer;
	return hf_udx_stream_relay_to(s->udx, streams[driver_number(command, "to") % STREAMS_MAX].udx);
}

static int do_state(struct stream *s, const json_t *command, json_t *answer)
{
	(void)command;
	report(s, answer);
	return HF_OK;
}

static const struct {
	const char *name;
	int (*run)(struct stream *s, const json_t *command, json_t *answer);
} commands[] = {
	{"open", do_open},
	{"close_socket", do_close_socket},
	{"stream", do_stream},
	{"accept", do_accept},
	{"connect", do_connect},
	{"change", do_change},
	{"generate", do_generate},
	{"write", do_write},
	{"message", do_message},
	{"end", do_end},
	{"destroy", do_destroy},
	{"pause", do_pause},
	{"keep_alive", do_keep_alive},
	{"relay", do_relay},
	{"state", do_state},
};

static int perform(const char *name, const json_t *command, json_t *answer)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(&streams[driver_number(command, "stream") % STREAMS_MAX], command, answer);
	return HF_ENOTFOUND;
}

int main(void)
{
	hf_env_system(&env);
	if (hf_crypto_init() || hf_loop_new(&loop, &env) || hf_udx_net_new(&net, hf_udp_host_of_loop(loop), NULL))
		driver_die("cannot start");
	driver_run(loop, perform);
	for (size_t i = 0; i < STREAMS_MAX; i++) {
		hf_udx_stream_free(streams[i].udx);
		json_decref(streams[i].messages);
	}
	hf_udx_net_free(net);
	hf_loop_free(loop);
	return 0;
}
