/* net_fixture: a server on a loopback port and plain sockets as its clients, in one thread: the loop is turned while a
 * client waits. */
#ifndef HF_TEST_NET_FIXTURE_H
#define HF_TEST_NET_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/http_server.h"
#include "wire/websocket.h"

struct fixture {
	struct hf_env env;
	struct hf_loop *loop;
	struct hf_http_server *server;
	struct hf_address address;
	struct hf_http_server_options options;
};

static inline void fixture_open(struct fixture *f)
{
	struct hf_failure failure = {0};
	hf_env_system(&f->env);
	assert_int_equal(hf_loop_new(&f->loop, &f->env), HF_OK);
	f->options.size = sizeof f->options;
	f->options.loop = f->loop;
	assert_int_equal(hf_http_server_new(&f->server, &f->options), HF_OK);
	assert_int_equal(hf_address_parse("127.0.0.1:0", &f->address, &failure), HF_OK);
	assert_int_equal(hf_http_server_listen(f->server, &f->address, NULL, &f->address, &failure), HF_OK);
}

static inline void fixture_close(struct fixture *f)
{
	hf_http_server_free(f->server);
	hf_loop_free(f->loop);
}

static inline void turn(struct fixture *f, unsigned ms)
{
	uint64_t until = hf_env_monotonic_ms(&f->env) + ms;
	do {
		hf_loop_poll(f->loop, false);
		poll(NULL, 0, 1);
	} while (hf_env_monotonic_ms(&f->env) < until);
}

static inline int dial(struct fixture *f)
{
	struct sockaddr_storage name;
	socklen_t length = hf_address_to_sockaddr(&f->address, &name);
	int fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&name, length), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* Sends all of it, turning the loop while the socket is full. Stops early when the server closes. */
static inline void say(struct fixture *f, int fd, const void *data, size_t length)
{
	const uint8_t *at = data;
	while (length) {
		ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
		if (sent > 0) {
			at += sent;
			length -= (size_t)sent;
		} else if (errno != EAGAIN) {
			return;
		}
		hf_loop_poll(f->loop, false);
	}
}

static inline void say_text(struct fixture *f, int fd, const char *text)
{
	say(f, fd, text, strlen(text));
}

/* Reads what comes within `ms`, until `enough` says so or the server closes (*closed). */
static inline void hear(struct fixture *f, int fd, struct hf_buffer *out,
	bool (*enough)(const struct hf_buffer *out, const void *what), const void *what, unsigned ms, bool *closed)
{
	uint64_t until = hf_env_monotonic_ms(&f->env) + ms;
	*closed = false;
	while (hf_env_monotonic_ms(&f->env) < until && !(enough && enough(out, what))) {
		hf_loop_poll(f->loop, false);
		hf_buffer_reserve(out, 65536);
		ssize_t got = recv(fd, out->data + out->length, 65536, 0);
		if (got > 0)
			out->length += (size_t)got;
		else if (got == 0 || errno != EAGAIN) {
			*closed = true;
			return;
		} else {
			poll(NULL, 0, 1);
		}
	}
}

static inline bool holds(const struct hf_buffer *out, const void *what)
{
	return out->length && memmem(out->data, out->length, what, strlen(what));
}

static inline bool has_length(const struct hf_buffer *out, const void *what)
{
	return out->length >= *(const size_t *)what;
}

/* Waits for `text` in what the server says. */
static inline void expect(struct fixture *f, int fd, const char *text)
{
	struct hf_buffer out = {0};
	bool closed;
	hear(f, fd, &out, holds, text, 3000, &closed);
	if (!holds(&out, text))
		fail_msg("expected \"%s\", got \"%.*s\"%s", text, (int)out.length, (char *)out.data,
			closed ? " and the end" : "");
	hf_buffer_free(&out);
}

static inline void expect_closed(struct fixture *f, int fd)
{
	struct hf_buffer out = {0};
	bool closed;
	hear(f, fd, &out, NULL, NULL, 4000, &closed);
	assert_true(closed);
	hf_buffer_free(&out);
}

/* Sends a request on a connection of its own and waits until the answer holds `text`. */
static inline void ask(struct fixture *f, const char *request, const char *text)
{
	int fd = dial(f);
	say_text(f, fd, request);
	expect(f, fd, text);
	close(fd);
}

#define UPGRADE_HEAD                                                                                                   \
	"Host: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                                             \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

/* A WebSocket client on a plain socket, its handshake done. */
static inline int dial_websocket(struct fixture *f, const char *path, const char *more)
{
	char request[512];
	int fd = dial(f);
	snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" UPGRADE_HEAD "%s\r\n", path, more);
	say_text(f, fd, request);
	expect(f, fd, "\r\n\r\n");
	return fd;
}

/* Sends one masked frame. */
static inline void say_frame(struct fixture *f, int fd, unsigned first_byte, const void *payload, size_t length)
{
	static const uint8_t mask[4] = {1, 2, 3, 4};
	uint8_t *frame = malloc(HF_WEBSOCKET_HEADER_BYTES_MAX + length);
	size_t header = hf_websocket_frame_header(frame, HF_WEBSOCKET_TEXT, false, length, mask);
	frame[0] = (uint8_t)first_byte;
	memcpy(frame + header, payload, length);
	hf_websocket_mask(frame + header, length, mask);
	say(f, fd, frame, header + length);
	free(frame);
}

#endif
