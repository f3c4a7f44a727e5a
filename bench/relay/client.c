/* client: see client.h. A connection's receive state is the frame header being gathered, the bytes of the frame still
 * to come and the message so far. Invariant: frame_left_bytes > 0 only while frame_header_bytes is 0. */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BUFFER_BYTES (256u * 1024)
#define POLL_EVENT_COUNT 256
#define HANDSHAKE_BYTES_MAX 4096u

int64_t hf_bench_now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

bool hf_bench_hub_open(struct hf_bench_hub *hub)
{
	*hub = (struct hf_bench_hub){.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
	hub->read_buffer = malloc(READ_BUFFER_BYTES);
	return hub->epoll_fd >= 0 && hub->read_buffer;
}

void hf_bench_hub_close(struct hf_bench_hub *hub)
{
	close(hub->epoll_fd);
	free(hub->read_buffer);
}

static void drop(struct hf_bench_conn *conn)
{
	if (conn->fd < 0)
		return;
	close(conn->fd);
	conn->fd = -1;
	conn->hub->lost_count++;
}

static enum hf_bench_kind kind_of(const char *head, size_t bytes)
{
	const char *quote = memchr(head, '"', bytes < 8 ? bytes : 8);
	if (!quote || quote + 3 > head + bytes)
		return HF_BENCH_OTHER;
	switch (quote[1]) {
	case 'E':
		return quote[2] == 'V' ? HF_BENCH_EVENT : HF_BENCH_EOSE;
	case 'O':
		return HF_BENCH_OK;
	case 'C':
		return quote[2] == 'L' ? HF_BENCH_CLOSED : HF_BENCH_OTHER;
	case 'N':
		return HF_BENCH_NOTICE;
	case 'A':
		return HF_BENCH_AUTH;
	}
	return HF_BENCH_OTHER;
}

static void queue_frame(struct hf_bench_conn *conn, uint8_t first, const char *const parts[3], const size_t bytes[3])
{
	uint64_t count = bytes[0] + bytes[1] + bytes[2];
	size_t need = conn->out_end + 14 + count;
	if (need > conn->out_capacity_bytes) {
		conn->out_capacity_bytes = need * 2;
		conn->out = realloc(conn->out, conn->out_capacity_bytes);
		if (!conn->out)
			abort();
	}
	uint8_t *to = (uint8_t *)conn->out + conn->out_end;
	*to++ = first;
	if (count < 126) {
		*to++ = (uint8_t)(0x80 | count);
	} else if (count < 65536) {
		*to++ = 0x80 | 126;
		*to++ = (uint8_t)(count >> 8);
		*to++ = (uint8_t)count;
	} else {
		*to++ = 0x80 | 127;
		for (int shift = 56; shift >= 0; shift -= 8)
			*to++ = (uint8_t)(count >> shift);
	}
	memset(to, 0, 4); /* the mask */
	to += 4;
	for (size_t i = 0; i < 3; i++) {
		if (bytes[i])
			memcpy(to, parts[i], bytes[i]);
		to += bytes[i];
	}
	conn->out_end = (size_t)(to - (uint8_t *)conn->out);
}

void hf_bench_conn_text(struct hf_bench_conn *conn, const char *a, size_t a_bytes, const char *b, size_t b_bytes,
	const char *c, size_t c_bytes)
{
	queue_frame(conn, 0x81, (const char *const[3]){a, b, c}, (const size_t[3]){a_bytes, b_bytes, c_bytes});
}

void hf_bench_conn_string(struct hf_bench_conn *conn, const char *text)
{
	hf_bench_conn_text(conn, text, strlen(text), NULL, 0, NULL, 0);
}

void hf_bench_conn_deflated(struct hf_bench_conn *conn, const char *bytes, size_t count)
{
	queue_frame(conn, 0xc1, (const char *const[3]){bytes, NULL, NULL}, (const size_t[3]){count, 0, 0});
}

void hf_bench_conn_flush(struct hf_bench_conn *conn)
{
	while (conn->fd >= 0 && conn->out_begin < conn->out_end) {
		ssize_t sent =
			send(conn->fd, conn->out + conn->out_begin, conn->out_end - conn->out_begin, MSG_NOSIGNAL);
		if (sent < 0) {
			if (errno != EAGAIN)
				drop(conn);
			break;
		}
		conn->out_begin += (size_t)sent;
	}
	if (conn->out_begin == conn->out_end)
		conn->out_begin = conn->out_end = 0;
	bool await = conn->out_end > 0;
	if (conn->fd >= 0 && await != conn->writable_awaited) {
		struct epoll_event event = {.events = EPOLLIN | (await ? (uint32_t)EPOLLOUT : 0u), .data.ptr = conn};
		epoll_ctl(conn->hub->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
		conn->writable_awaited = await;
	}
}

static void finish_message(struct hf_bench_conn *conn, const char *head, size_t head_bytes)
{
	struct hf_bench_message message = {
		.kind = conn->message_compressed ? HF_BENCH_OTHER : kind_of(head, head_bytes),
		.compressed = conn->message_compressed,
		.head = head,
		.head_bytes = head_bytes,
		.bytes = conn->message_bytes,
	};
	conn->message_bytes = conn->head_bytes = 0;
	if (conn->hub->on_message)
		conn->hub->on_message(conn, &message);
}

static void take_control(struct hf_bench_conn *conn, unsigned opcode)
{
	if (opcode == 9)
		queue_frame(conn, 0x8a, (const char *const[3]){NULL, NULL, NULL}, (const size_t[3]){0, 0, 0});
	else if (opcode == 8)
		drop(conn);
}

/* Bytes of the header that `have` bytes of it announce. */
static size_t header_bytes(const uint8_t *header, size_t have)
{
	if (have < 2)
		return 2;
	unsigned length = header[1] & 127;
	return length < 126 ? 2 : length == 126 ? 4 : 10;
}

static uint64_t payload_bytes(const uint8_t *header, size_t header_count)
{
	if (header_count == 2)
		return header[1] & 127;
	uint64_t length = 0;
	for (size_t i = 2; i < header_count; i++)
		length = length << 8 | header[i];
	return length;
}

/* Takes what of the current frame's payload is in the buffer; returns the bytes used. */
static size_t take_payload(struct hf_bench_conn *conn, const char *bytes, size_t count)
{
	size_t part = count < conn->frame_left_bytes ? count : (size_t)conn->frame_left_bytes;
	unsigned opcode = conn->frame_header[0] & 15;
	bool whole = part == conn->frame_left_bytes;
	bool last = conn->frame_header[0] & 0x80;
	conn->frame_left_bytes -= part;
	if (opcode >= 8) {
		if (whole)
			take_control(conn, opcode);
		return part;
	}
	bool direct = whole && last && conn->message_bytes == 0;
	conn->message_bytes += part;
	if (direct) {
		finish_message(conn, bytes, part);
		return part;
	}
	size_t room = HF_BENCH_HEAD_BYTES_MAX - conn->head_bytes;
	size_t kept = part < room ? part : room;
	memcpy(conn->head + conn->head_bytes, bytes, kept);
	conn->head_bytes += kept;
	if (whole && last)
		finish_message(conn, conn->head, conn->head_bytes);
	return part;
}

static void take_bytes(struct hf_bench_conn *conn, const char *bytes, size_t count)
{
	while (count > 0 && conn->fd >= 0) {
		if (conn->frame_left_bytes > 0) {
			size_t used = take_payload(conn, bytes, count);
			bytes += used;
			count -= used;
			continue;
		}
		conn->frame_header[conn->frame_header_bytes++] = (uint8_t)*bytes++;
		count--;
		size_t need = header_bytes(conn->frame_header, conn->frame_header_bytes);
		if (conn->frame_header_bytes < need)
			continue;
		conn->frame_header_bytes = 0;
		conn->frame_left_bytes = payload_bytes(conn->frame_header, need);
		if ((conn->frame_header[0] & 15) == 1)
			conn->message_compressed = conn->frame_header[0] & 0x40;
		if (conn->frame_left_bytes == 0)
			take_payload(conn, bytes, 0);
	}
}

static void read_some(struct hf_bench_conn *conn)
{
	ssize_t count = recv(conn->fd, conn->hub->read_buffer, READ_BUFFER_BYTES, 0);
	if (count < 0 && errno == EAGAIN)
		return;
	if (count <= 0) {
		drop(conn);
		return;
	}
	take_bytes(conn, conn->hub->read_buffer, (size_t)count);
	if (conn->hub->on_round)
		conn->hub->on_round(conn);
}

void hf_bench_hub_poll(struct hf_bench_hub *hub, int64_t timeout_us)
{
	struct epoll_event events[POLL_EVENT_COUNT];
	if (timeout_us < 0)
		timeout_us = 0;
	struct timespec timeout = {.tv_sec = timeout_us / 1000000, .tv_nsec = timeout_us % 1000000 * 1000};
	int count = epoll_pwait2(hub->epoll_fd, events, POLL_EVENT_COUNT, &timeout, NULL);
	for (int i = 0; i < count; i++) {
		struct hf_bench_conn *conn = events[i].data.ptr;
		if (conn->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
			read_some(conn);
		if (conn->fd >= 0 && conn->out_end > 0)
			hf_bench_conn_flush(conn);
	}
}

static int connect_local(int port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Leaves in `reply` the response and in *body what followed it; false unless it is a 101. */
static bool shake_hands(int fd, int port, bool offer_deflate, char *reply, size_t *body, size_t *end)
{
	char request[512];
	int bytes = snprintf(request, sizeof(request),
		"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
		port, offer_deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" : "");
	if (send(fd, request, (size_t)bytes, MSG_NOSIGNAL) != bytes)
		return false;
	for (*end = 0; *end < HANDSHAKE_BYTES_MAX;) {
		ssize_t count = recv(fd, reply + *end, HANDSHAKE_BYTES_MAX - *end, 0);
		if (count <= 0)
			return false;
		*end += (size_t)count;
		char *blank = memmem(reply, *end, "\r\n\r\n", 4);
		if (blank) {
			*body = (size_t)(blank - reply) + 4;
			return !strncmp(reply, "HTTP/1.1 101", 12);
		}
	}
	return false;
}

struct hf_bench_conn *hf_bench_conn_open(struct hf_bench_hub *hub, int port, bool offer_deflate)
{
	char reply[HANDSHAKE_BYTES_MAX + 1] = {0};
	size_t body = 0, end = 0;
	int fd = connect_local(port), one = 1;
	struct hf_bench_conn *conn = calloc(1, sizeof(*conn));
	if (fd < 0 || !conn || !shake_hands(fd, port, offer_deflate, reply, &body, &end)) {
		fprintf(stderr, "relay: cannot open a WebSocket to port %d: %s %.60s\n", port, strerror(errno), reply);
		if (fd >= 0)
			close(fd);
		free(conn);
		return NULL;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	conn->hub = hub;
	conn->fd = fd;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
	epoll_ctl(hub->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	take_bytes(conn, reply + body, end - body);
	reply[body] = 0;
	conn->deflate = strcasestr(reply, "permessage-deflate") != NULL;
	return conn;
}

void hf_bench_conn_close(struct hf_bench_conn *conn)
{
	if (!conn)
		return;
	if (conn->fd >= 0)
		close(conn->fd);
	free(conn->out);
	free(conn);
}

bool hf_bench_conns_open(struct hf_bench_hub *hub, struct hf_bench_conn **conns, size_t count, int port, bool deflate)
{
	for (size_t i = 0; i < count; i++) {
		conns[i] = hf_bench_conn_open(hub, port, deflate);
		if (!conns[i]) {
			hf_bench_conns_close(conns, i);
			return false;
		}
		conns[i]->number = i;
	}
	return true;
}

void hf_bench_conns_close(struct hf_bench_conn **conns, size_t count)
{
	for (size_t i = 0; i < count; i++)
		hf_bench_conn_close(conns[i]);
}

uint64_t hf_bench_conn_segments(const struct hf_bench_conn *conn)
{
	struct tcp_info info = {0};
	socklen_t bytes = sizeof(info);
	if (conn->fd < 0 || getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &bytes))
		return 0;
	return info.tcpi_data_segs_in;
}
