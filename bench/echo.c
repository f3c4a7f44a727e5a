/* echo: what the network layer costs by itself. A server on one loop and plain blocking clients on threads:
 *
 *     echo [--seconds N] [--idle N]
 *
 * prints messages per second and CPU of the server's thread per echoed message (700 bytes, 8 connections, 64 in
 * flight), per delivery of one shared message to 1,000 connections, and the memory that an idle connection holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "net/http_server.h"
#include "wire/websocket.h"

#define MESSAGE_BYTES 700
#define CONNECTION_COUNT 8
#define IN_FLIGHT 64
#define BROADCAST_COUNT 1000
#define HANDSHAKE                                                                                                      \
	"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "                \
	"dGhlIHNhbXBsZSBub25jZQ==\r\n"                                                                                 \
	"Sec-WebSocket-Version: 13\r\n%s\r\n"

struct server {
	struct hf_env env;
	struct hf_loop *loop;
	struct hf_http_server *http;
	struct hf_address address;
	pthread_t thread;
	struct hf_websocket **members;
	size_t member_count, member_capacity;
	uint64_t message_count;
	unsigned broadcast_left;
	struct hf_loop_mail mail;
	struct hf_timer timer;
};
static struct server server;

static double seconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double server_cpu(void)
{
	clockid_t clock;
	pthread_getcpuclockid(server.thread, &clock);
	return seconds(clock);
}

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- Server ---- */

static void on_message(void *context, struct hf_websocket *ws, bool is_text, struct hf_slice message)
{
	(void)context;
	(void)is_text;
	__atomic_fetch_add(&server.message_count, 1, __ATOMIC_RELAXED);
	hf_websocket_send_text(ws, message);
}

static void on_closed(void *context, struct hf_websocket *ws, uint16_t code)
{
	(void)context;
	(void)code;
	for (size_t i = 0; i < server.member_count; i++)
		if (server.members[i] == ws) {
			server.members[i] = server.members[--server.member_count];
			return;
		}
}

static const struct hf_websocket_handler handler = {.message = on_message, .closed = on_closed};

static void on_request(void *context, struct hf_http_exchange *x)
{
	(void)context;
	struct hf_websocket *ws;
	if (server.member_count == server.member_capacity) {
		server.member_capacity = server.member_capacity ? server.member_capacity * 2 : 1024;
		server.members = realloc(server.members, server.member_capacity * sizeof(void *));
	}
	if (hf_http_upgrade(x, &handler, NULL, &ws) == HF_OK)
		server.members[server.member_count++] = ws;
}

/* One message to everybody in each turn of the loop, until all were sent. */
static void broadcast(struct hf_timer *timer)
{
	char text[MESSAGE_BYTES];
	memset(text, 'x', sizeof text);
	struct hf_slice part = hf_slice(text, sizeof text);
	struct hf_websocket_message *message = hf_websocket_message_new(server.loop, &part, 1);
	for (size_t i = 0; i < server.member_count; i++)
		hf_websocket_send_shared(server.members[i], message);
	hf_websocket_message_unref(message);
	if (--server.broadcast_left)
		hf_loop_timer_set(server.loop, timer, 5);
}

static void start_broadcast(struct hf_loop_mail *mail)
{
	(void)mail;
	broadcast(&server.timer);
}

static void *serve(void *unused)
{
	(void)unused;
	hf_loop_run(server.loop);
	return NULL;
}

static void start_server(void)
{
	static const struct hf_http_route routes[] = {HF_ROUTE("GET", "/", HF_ACCESS_PUBLIC, on_request)};
	struct hf_failure failure = {0};
	hf_env_system(&server.env);
	hf_loop_new(&server.loop, &server.env);
	struct hf_http_server_options options = {
		.size = sizeof options,
		.loop = server.loop,
		.routes = routes,
		.route_count = 1,
		.websocket.deflate = true,
	};
	hf_http_server_new(&server.http, &options);
	hf_address_parse("127.0.0.1:0", &server.address, &failure);
	if (hf_http_server_listen(server.http, &server.address, NULL, &server.address, &failure)) {
		fprintf(stderr, "%s\n", failure.text);
		exit(1);
	}
	server.timer.fire = broadcast;
	server.mail.deliver = start_broadcast;
	pthread_create(&server.thread, NULL, serve, NULL);
}

/* ---- Clients ---- */

static int dial(const char *fields)
{
	struct sockaddr_storage name;
	socklen_t length = hf_address_to_sockaddr(&server.address, &name);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
	if (fd < 0 || connect(fd, (struct sockaddr *)&name, length))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	char request[400], answer[600];
	int request_length = snprintf(request, sizeof request, HANDSHAKE, fields);
	if (write(fd, request, (size_t)request_length) != request_length)
		die("write");
	ssize_t got = read(fd, answer, sizeof answer - 1);
	if (got < 12 || memcmp(answer + 9, "101", 3) != 0)
		die("handshake");
	return fd;
}

static void write_all(int fd, const uint8_t *data, size_t length)
{
	while (length) {
		ssize_t written = write(fd, data, length);
		if (written <= 0)
			die("write");
		data += written;
		length -= (size_t)written;
	}
}

static int echo_seconds;

/* Keeps IN_FLIGHT messages on the way. */
static void *echo_client(void *unused)
{
	(void)unused;
	static const uint8_t mask[4] = {9, 8, 7, 6};
	uint8_t frames[IN_FLIGHT][8 + MESSAGE_BYTES];
	uint8_t *answer = malloc(1 << 20);
	for (size_t i = 0; i < IN_FLIGHT; i++) {
		size_t header = hf_websocket_frame_header(frames[i], HF_WEBSOCKET_TEXT, false, MESSAGE_BYTES, mask);
		memset(frames[i] + header, 'a', MESSAGE_BYTES);
		hf_websocket_mask(frames[i] + header, MESSAGE_BYTES, mask);
	}
	int fd = dial("");
	size_t pending = 0;
	double until = seconds(CLOCK_MONOTONIC) + echo_seconds;
	write_all(fd, frames[0], sizeof frames);
	while (seconds(CLOCK_MONOTONIC) < until) {
		ssize_t got = read(fd, answer, 1 << 20);
		if (got <= 0)
			die("read");
		pending += (size_t)got;
		size_t whole = pending / (4 + MESSAGE_BYTES);
		pending %= 4 + MESSAGE_BYTES;
		for (size_t left = whole; left;) {
			size_t batch = left < IN_FLIGHT ? left : IN_FLIGHT;
			write_all(fd, frames[0], batch * sizeof frames[0]);
			left -= batch;
		}
	}
	close(fd);
	free(answer);
	return NULL;
}

static void bench_echo(void)
{
	pthread_t threads[CONNECTION_COUNT];
	double cpu = server_cpu(), start = seconds(CLOCK_MONOTONIC);
	for (size_t i = 0; i < CONNECTION_COUNT; i++)
		pthread_create(&threads[i], NULL, echo_client, NULL);
	for (size_t i = 0; i < CONNECTION_COUNT; i++)
		pthread_join(threads[i], NULL);
	uint64_t count = __atomic_load_n(&server.message_count, __ATOMIC_RELAXED);
	printf("echo: %.0f messages/s, %.2f us CPU of the loop per message\n",
		(double)count / (seconds(CLOCK_MONOTONIC) - start), (server_cpu() - cpu) * 1e6 / (double)count);
}

static void drain_sockets(int *fds, size_t count, uint64_t bytes)
{
	struct epoll_event event = {.events = EPOLLIN}, ready[256];
	char *buffer = malloc(1 << 16);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < count; i++) {
		event.data.fd = fds[i];
		epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event);
	}
	while (bytes) {
		int found = epoll_wait(epoll, ready, 256, 5000);
		if (found <= 0)
			die("nothing came");
		for (int i = 0; i < found; i++) {
			ssize_t got = read(ready[i].data.fd, buffer, 1 << 16);
			if (got <= 0)
				die("read");
			bytes -= (uint64_t)got;
		}
	}
	close(epoll);
	free(buffer);
}

static void bench_broadcast(void)
{
	int fds[BROADCAST_COUNT];
	for (size_t i = 0; i < BROADCAST_COUNT; i++)
		fds[i] = dial("");
	unsigned rounds = (unsigned)echo_seconds * 50;
	server.broadcast_left = rounds;
	double cpu = server_cpu(), start = seconds(CLOCK_MONOTONIC);
	hf_loop_post(server.loop, &server.mail);
	uint64_t deliveries = (uint64_t)rounds * BROADCAST_COUNT;
	drain_sockets(fds, BROADCAST_COUNT, deliveries * (4 + MESSAGE_BYTES));
	printf("broadcast to %d: %.0f deliveries/s, %.2f us CPU of the loop per delivery\n", BROADCAST_COUNT,
		(double)deliveries / (seconds(CLOCK_MONOTONIC) - start),
		(server_cpu() - cpu) * 1e6 / (double)deliveries);
	for (size_t i = 0; i < BROADCAST_COUNT; i++)
		close(fds[i]);
}

static long anonymous_kilobytes(void)
{
	char line[256];
	long kilobytes = 0;
	FILE *status = fopen("/proc/self/status", "r");
	while (status && fgets(line, sizeof line, status))
		sscanf(line, "RssAnon: %ld", &kilobytes);
	if (status)
		fclose(status);
	return kilobytes;
}

/* The clients live in a child, so that only the server's memory is counted. With deflate each one says something first.
 */
static void bench_idle(size_t count, bool deflate)
{
	int ready[2], done[2];
	char byte;
	if (pipe(ready) || pipe(done))
		die("pipe");
	usleep(300000);
	malloc_trim(0); /* what the round before gave back is not ours to use again */
	long before = anonymous_kilobytes();
	pid_t child = fork();
	if (child == 0) {
		static const uint8_t mask[4];
		int *fds = malloc(count * sizeof *fds);
		for (size_t i = 0; i < count; i++) {
			fds[i] = dial(deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
			uint8_t frame[14 + MESSAGE_BYTES] = {0}, answer[1000];
			size_t length =
				hf_websocket_frame_header(frame, HF_WEBSOCKET_TEXT, false, MESSAGE_BYTES, mask) +
				MESSAGE_BYTES;
			write_all(fds[i], frame, length);
			if (read(fds[i], answer, sizeof answer) <= 0)
				die("read");
		}
		if (write(ready[1], "r", 1) != 1 || read(done[0], &byte, 1) != 1)
			die("pipe");
		_exit(0);
	}
	if (read(ready[0], &byte, 1) != 1)
		die("pipe");
	usleep(300000);
	printf("idle%s: %zu connections, %.0f bytes each\n", deflate ? " with deflate used" : "", count,
		(double)(anonymous_kilobytes() - before) * 1024 / (double)count);
	if (write(done[1], "d", 1) != 1)
		die("pipe");
	waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
	size_t idle_count = 5000;
	echo_seconds = 3;
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seconds") == 0)
			echo_seconds = atoi(argv[i + 1]);
		else if (strcmp(argv[i], "--idle") == 0)
			idle_count = (size_t)atoi(argv[i + 1]);
	}
	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	start_server();
	bench_idle(idle_count, false);
	bench_idle(idle_count, true);
	bench_echo();
	bench_broadcast();
	hf_loop_stop(server.loop);
	pthread_join(server.thread, NULL);
	hf_http_server_free(server.http);
	hf_loop_free(server.loop);
	free(server.members);
	return 0;
}
