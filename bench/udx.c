/* udx: what UDX streams carry, and what they hold.
 *
 *     udx loopback [--bytes N]     from one process to another over 127.0.0.1, both lines
 *     udx send    --bind IP:PORT --remote IP:PORT --id N --remote-id M (--bytes N | --seconds S)
 *     udx receive --bind IP:PORT --remote IP:PORT --id N --remote-id M
 *     udx idle [--count N]         bytes of memory for each connected stream that is silent
 *
 * Each line is a JSON object: bytes, seconds, rate (bytes/s), retransmitted, rtt_ms, cpu_s, rss_kib. The sender ends the stream when it is
 * done, and the receiver is done when the stream has ended. A sender's seconds are until all is acknowledged.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/udx_net.h"

#define BLOCK_BYTES 65536u
#define LINGER_MS 500 /* so that the other side gets the last acknowledgement */

struct options {
	struct hf_address bind, remote;
	uint32_t id, remote_id;
	uint64_t bytes;
	double seconds;
	unsigned count;
};
struct run {
	struct options options;
	struct hf_env env;
	struct hf_loop *loop;
	struct hf_udx_net *net;
	struct hf_udx_socket *socket;
	struct hf_udx_stream *stream;
	uint64_t written, received, start_us, end_us;
	struct hf_udx_stats stats;
	struct hf_timer linger;
	bool is_sender;
	int code, ready;
};

static uint8_t block[BLOCK_BYTES];

static void die(const char *what)
{
	fprintf(stderr, "udx: %s\n", what);
	exit(2);
}

static void fill(struct run *r)
{
	uint64_t now_us = hf_env_monotonic_us(&r->env);
	bool is_timed = r->options.seconds > 0;
	while (is_timed || r->written < r->options.bytes) {
		size_t length = BLOCK_BYTES;
		if (!is_timed && r->options.bytes - r->written < length)
			length = (size_t)(r->options.bytes - r->written);
		if (is_timed && (double)(now_us - r->start_us) > r->options.seconds * 1e6)
			break;
		if (hf_udx_stream_unsent_bytes(r->stream) > 4 * HF_UDX_LOW_BYTES)
			return;
		if (hf_udx_stream_write(r->stream, &(struct hf_udx_piece){.bytes = hf_slice(block, length)}, 1))
			die("a write was refused");
		r->written += length;
	}
	hf_udx_stream_end(r->stream);
}

static void on_drained(void *context, struct hf_udx_stream *stream)
{
	(void)stream;
	fill(context);
}

static void on_data(void *context, struct hf_udx_stream *stream, uint8_t *data, size_t length)
{
	struct run *r = context;
	(void)stream, (void)data;
	if (r->received == 0)
		r->start_us = hf_env_monotonic_us(&r->env);
	r->received += length;
}

static void on_end(void *context, struct hf_udx_stream *stream)
{
	struct run *r = context;
	if (!r->is_sender)
		r->end_us = hf_env_monotonic_us(&r->env);
	hf_udx_stream_end(stream);
}

static void on_linger(struct hf_timer *timer)
{
	struct run *r = (struct run *)(void *)((char *)timer - offsetof(struct run, linger));
	hf_loop_stop(r->loop);
}

static void on_closed(void *context, struct hf_udx_stream *stream, int code)
{
	struct run *r = context;
	hf_udx_stream_read_stats(stream, &r->stats);
	r->code = code;
	if (r->end_us == 0)
		r->end_us = hf_env_monotonic_us(&r->env);
	if (r->is_sender)
		hf_loop_stop(r->loop);
	else
		hf_loop_timer_set(r->loop, &r->linger, LINGER_MS);
}

static const struct hf_udx_events events = {.data = on_data, .end = on_end, .drained = on_drained, .closed = on_closed};

static int report(const struct run *r)
{
	struct rusage usage;
	uint64_t bytes = r->is_sender ? r->stats.sent_bytes : r->received;
	double seconds = (double)(r->end_us - r->start_us) / 1e6;
	getrusage(RUSAGE_SELF, &usage);
	double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	printf("{\"mode\":\"%s\",\"bytes\":%llu,\"seconds\":%.3f,\"rate\":%.0f,\"retransmitted\":%llu,\"rtt_ms\":%.3f,\"cpu_s\":%.3f,"
	       "\"rss_kib\":%ld,\"packet\":%u,\"code\":\"%s\"}\n",
		r->is_sender ? "send" : "receive", (unsigned long long)bytes, seconds, (double)bytes / (seconds > 0 ? seconds : 1),
		(unsigned long long)r->stats.retransmitted_packets, r->stats.rtt_us / 1000.0, cpu, usage.ru_maxrss, r->stats.packet_bytes,
		hf_error_name(r->code));
	fflush(stdout);
	return r->code == HF_OK ? 0 : 1;
}

static void begin(struct run *r)
{
	struct hf_failure failure = {0};
	hf_env_system(&r->env);
	if (hf_loop_new(&r->loop, &r->env) || hf_udx_net_new(&r->net, hf_udp_host_of_loop(r->loop), NULL))
		die("out of memory");
	if (hf_udx_socket_open(&r->socket, r->net, &r->options.bind, NULL, NULL, &failure))
		die(failure.text);
	if (hf_udx_stream_new(&r->stream, hf_udx_net_session(r->net), r->options.id, &events, r))
		die("no stream");
	r->linger.fire = on_linger;
}

static int run(struct run *r)
{
	struct hf_udx_path path = {r->socket, r->options.remote};
	if (hf_udx_stream_connect(r->stream, &path, r->options.remote_id))
		die("cannot connect");
	r->start_us = hf_env_monotonic_us(&r->env);
	if (r->is_sender)
		fill(r);
	hf_loop_run(r->loop);
	int code = report(r);
	hf_udx_stream_free(r->stream);
	hf_udx_net_free(r->net);
	hf_loop_free(r->loop);
	return code;
}

static int loopback(const struct options *options)
{
	struct run receiver = {.options = *options}, sender = {.options = *options, .is_sender = true};
	int pipes[2][2];
	sender.options.id = receiver.options.remote_id = 1;
	sender.options.remote_id = receiver.options.id = 2;
	hf_address_parse("127.0.0.1:0", &sender.options.bind, NULL);
	receiver.options.bind = sender.options.bind;
	if (pipe(pipes[0]) || pipe(pipes[1]))
		die("no pipe");
	pid_t child = fork();
	struct run *r = child ? &sender : &receiver;
	int in = pipes[child ? 0 : 1][0], out = pipes[child ? 1 : 0][1], status = 0;
	begin(r);
	struct hf_address bound = *hf_udx_socket_address(r->socket);
	if (write(out, &bound, sizeof bound) != sizeof bound || read(in, &r->options.remote, sizeof bound) != sizeof bound)
		die("the other process is gone");
	int code = run(r);
	if (!child)
		exit(code);
	waitpid(child, &status, 0);
	return code || status;
}

static int idle(const struct options *options)
{
	struct run r = {.options = *options};
	struct hf_udx_stream **streams = calloc(options->count, sizeof *streams);
	if (!streams)
		die("out of memory");
	hf_address_parse("127.0.0.1:0", &r.options.bind, NULL);
	begin(&r);
	struct hf_udx_path path = {r.socket, *hf_udx_socket_address(r.socket)};
	size_t before = mallinfo2().uordblks;
	for (unsigned i = 0; i < options->count; i++) {
		if (hf_udx_stream_new(&streams[i], hf_udx_net_session(r.net), 0, &events, &r))
			die("no stream");
		if (hf_udx_stream_connect(streams[i], &path, i))
			die("cannot connect");
	}
	hf_loop_poll(r.loop, false);
	printf("{\"mode\":\"idle\",\"count\":%u,\"bytes\":%.0f}\n", options->count,
		(double)(mallinfo2().uordblks - before) / options->count);
	for (unsigned i = 0; i < options->count; i++)
		hf_udx_stream_free(streams[i]);
	free(streams);
	hf_udx_stream_free(r.stream);
	hf_udx_net_free(r.net);
	hf_loop_free(r.loop);
	return 0;
}

static void parse(struct options *options, int argc, char **argv)
{
	for (int i = 2; i + 1 < argc; i += 2) {
		const char *name = argv[i], *value = argv[i + 1];
		struct hf_failure failure;
		int code = HF_OK;
		if (strcmp(name, "--bind") == 0)
			code = hf_address_parse(value, &options->bind, &failure);
		else if (strcmp(name, "--remote") == 0)
			code = hf_address_parse(value, &options->remote, &failure);
		else if (strcmp(name, "--id") == 0)
			options->id = (uint32_t)strtoul(value, NULL, 10);
		else if (strcmp(name, "--remote-id") == 0)
			options->remote_id = (uint32_t)strtoul(value, NULL, 10);
		else if (strcmp(name, "--bytes") == 0)
			options->bytes = strtoull(value, NULL, 10);
		else if (strcmp(name, "--seconds") == 0)
			options->seconds = strtod(value, NULL);
		else if (strcmp(name, "--count") == 0)
			options->count = (unsigned)strtoul(value, NULL, 10);
		else
			die("unknown option");
		if (code)
			die(failure.text);
	}
}

int main(int argc, char **argv)
{
	struct options options = {.bytes = UINT64_C(1) << 30, .count = 10000};
	const char *mode = argc > 1 ? argv[1] : "";
	parse(&options, argc, argv);
	if (strcmp(mode, "loopback") == 0)
		return loopback(&options);
	if (strcmp(mode, "idle") == 0)
		return idle(&options);
	struct run r = {.options = options, .is_sender = strcmp(mode, "send") == 0};
	if (!r.is_sender && strcmp(mode, "receive") != 0)
		die("say loopback, send, receive or idle");
	begin(&r);
	return run(&r);
}
