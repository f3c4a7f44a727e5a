/* Datagram sockets of a loop. Receiving goes through one buffer of the loop's, large enough for several of the largest datagrams: with
 * UDP_GRO the kernel hands over a train of packets of one size as one, which is cut up again here. Sending does the reverse: a run of
 * packets of equal size to one address is one message with UDP_SEGMENT. (udp(7)) */
#include "net/udp_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"

#define RECEIVE_COUNT 16u            /* messages of one recvmmsg */
#define RECEIVE_BYTES 65536u         /* of each */
#define RECEIVE_TURN_BYTES 524288u   /* then others have their turn */
#define DATAGRAM_COUNT 64u           /* of one callback */
#define CONTROL_BYTES 64u

struct loop_host {
	struct hf_udp_host host;
	struct hf_loop *loop;
	uint8_t *buffer;
	struct sockaddr_storage names[RECEIVE_COUNT];
	uint8_t controls[RECEIVE_COUNT][CONTROL_BYTES];
	struct hf_udp_sender *sender;
};
struct loop_udp {
	struct hf_udp udp;
	uv_poll_t poll;
	int fd;
	bool is_waiting; /* for room in the system's buffer */
	const struct hf_udp_events *events; /* NULL: closed */
	void *context;
};

static struct loop_udp *to_loop_udp(struct hf_udp *udp)
{
	return (struct loop_udp *)(void *)udp;
}

static struct loop_host *to_loop_host(struct hf_udp_host *host)
{
	return (struct loop_host *)(void *)host;
}

/* ---- Receiving ---- */

/* The size of the packets that a message was put together from; its length when it is one. */
static size_t segment_bytes(struct msghdr *message, size_t length)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
		if (control->cmsg_level != SOL_UDP || control->cmsg_type != UDP_GRO)
			continue;
		int size;
		memcpy(&size, CMSG_DATA(control), sizeof size);
		if (size > 0)
			return (size_t)size;
	}
	return length;
}

static void hand_over(struct loop_udp *u, const struct hf_udp_datagram *datagrams, size_t count)
{
	if (u->events && count > 0)
		u->events->received(u->context, &u->udp, datagrams, count);
}

static void cut_up(struct loop_udp *u, struct mmsghdr *messages, size_t count)
{
	struct hf_udp_datagram datagrams[DATAGRAM_COUNT];
	size_t waiting = 0;
	for (size_t i = 0; i < count; i++) {
		struct hf_address from;
		uint8_t *data = messages[i].msg_hdr.msg_iov->iov_base;
		size_t left = messages[i].msg_len, step = segment_bytes(&messages[i].msg_hdr, left);
		hf_address_from_sockaddr(&from, messages[i].msg_hdr.msg_name);
		u->udp.counters.received_bytes += left;
		do {
			if (waiting == DATAGRAM_COUNT) {
				hand_over(u, datagrams, waiting);
				waiting = 0;
			}
			size_t length = left < step ? left : step;
			datagrams[waiting++] = (struct hf_udp_datagram){from, data, length};
			u->udp.counters.received_packets++;
			data += length;
			left -= length;
		} while (left > 0);
	}
	hand_over(u, datagrams, waiting);
}

/* Bytes received; 0: nothing is there. */
static size_t receive(struct loop_udp *u)
{
	struct loop_host *host = to_loop_host(u->udp.host);
	struct mmsghdr messages[RECEIVE_COUNT];
	struct iovec pieces[RECEIVE_COUNT];
	size_t bytes = 0;
	for (size_t i = 0; i < RECEIVE_COUNT; i++) {
		pieces[i] = (struct iovec){host->buffer + i * RECEIVE_BYTES, RECEIVE_BYTES};
		messages[i].msg_hdr = (struct msghdr){.msg_name = &host->names[i],
			.msg_namelen = sizeof host->names[i],
			.msg_iov = &pieces[i],
			.msg_iovlen = 1,
			.msg_control = host->controls[i],
			.msg_controllen = CONTROL_BYTES};
	}
	int count = recvmmsg(u->fd, messages, RECEIVE_COUNT, 0, NULL);
	u->udp.counters.receive_calls++;
	if (count <= 0)
		return 0;
	for (int i = 0; i < count; i++)
		bytes += messages[i].msg_len + 1;
	cut_up(u, messages, (size_t)count);
	return (unsigned)count == RECEIVE_COUNT ? bytes : 0;
}

/* ---- Sending ---- */

static void watch(struct loop_udp *u);

static size_t send_packets(struct hf_udp *udp, const struct hf_udp_packet *packets, size_t count)
{
	struct loop_udp *u = to_loop_udp(udp);
	struct loop_host *host = to_loop_host(udp->host);
	size_t done = hf_udp_sender_send(host->sender, u->fd, &udp->counters, packets, count);
	if (done < count) {
		udp->counters.refused_packets += count - done;
		u->is_waiting = true;
		watch(u);
	}
	return done;
}

/* ---- The poll handle ---- */

static void on_ready(uv_poll_t *poll, int status, int ready)
{
	struct loop_udp *u = HF_CONTAINER_OF(poll, struct loop_udp, poll);
	size_t turn = 0, bytes = 1;
	if (status < 0 || ready & UV_READABLE)
		while (u->events && turn < RECEIVE_TURN_BYTES && (bytes = receive(u)) > 0)
			turn += bytes;
	if (!u->events || !(ready & UV_WRITABLE) || !u->is_waiting)
		return;
	u->is_waiting = false;
	watch(u);
	if (u->events->writable)
		u->events->writable(u->context, &u->udp);
}

static void watch(struct loop_udp *u)
{
	uv_poll_start(&u->poll, UV_READABLE | (u->is_waiting ? UV_WRITABLE : 0), on_ready);
}

static void free_handle(uv_handle_t *handle)
{
	free(HF_CONTAINER_OF(handle, struct loop_udp, poll));
}

static void abandon(uv_handle_t *handle)
{
	struct loop_udp *u = HF_CONTAINER_OF(handle, struct loop_udp, poll);
	u->events = NULL;
	uv_poll_stop(&u->poll);
	close(u->fd);
	uv_close(handle, free_handle);
}

static void close_udp(struct hf_udp *udp)
{
	abandon((uv_handle_t *)&to_loop_udp(udp)->poll);
}

/* ---- Opening ---- */

static const struct hf_udp_ops udp_ops = {.send = send_packets, .close = close_udp};

/* Without the right to force them, buffers are cut to what the system allows. */
static void set_buffer(int fd, int force, int option, int bytes)
{
	if (setsockopt(fd, SOL_SOCKET, force, &bytes, sizeof bytes))
		setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes);
}

static void set_options(int fd, bool is_ipv4, const struct hf_udp_options *options)
{
	int on = 1, probe4 = IP_PMTUDISC_PROBE, probe6 = IPV6_PMTUDISC_PROBE;
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF,
		(int)(options->receive_buffer_bytes ? options->receive_buffer_bytes : HF_UDP_RECEIVE_BUFFER_BYTES));
	set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF,
		(int)(options->send_buffer_bytes ? options->send_buffer_bytes : HF_UDP_SEND_BUFFER_BYTES));
	setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on); /* Linux 5.0 */
	if (is_ipv4) {
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &probe4, sizeof probe4);
		return;
	}
	setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe6, sizeof probe6);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
}

static int bind_socket(int *out, const struct hf_udp_options *options, struct hf_address *bound, struct hf_failure *failure)
{
	struct sockaddr_storage name;
	char text[HF_ADDRESS_TEXT_BYTES];
	bool is_ipv4 = hf_address_is_ipv4(&options->address);
	socklen_t length = hf_address_to_sockaddr(&options->address, &name);
	hf_address_text(&options->address, true, text);
	int fd = socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return hf_fail(failure, HF_EBUSY, "No socket can be had for %s: %s", text, strerror(errno));
	set_options(fd, is_ipv4, options);
	if (bind(fd, (struct sockaddr *)&name, length) || getsockname(fd, (struct sockaddr *)&name, &(socklen_t){sizeof name})) {
		int code = hf_fail(failure, HF_EADDR, "UDP %s cannot be bound: %s", text, strerror(errno));
		close(fd);
		return code;
	}
	hf_address_from_sockaddr(bound, (struct sockaddr *)&name);
	*out = fd;
	return HF_OK;
}

static int open_udp(struct hf_udp_host *host, struct hf_udp **out, const struct hf_udp_options *options, struct hf_failure *failure)
{
	struct loop_host *h = to_loop_host(host);
	struct loop_udp *u = calloc(1, sizeof *u);
	if (!u)
		return HF_ENOMEM;
	int code = bind_socket(&u->fd, options, &u->udp.address, failure);
	if (code) {
		free(u);
		return code;
	}
	if (uv_poll_init(&h->loop->uv, &u->poll, u->fd)) {
		close(u->fd);
		free(u);
		return hf_fail(failure, HF_EBUSY, "A UDP socket cannot be watched");
	}
	u->udp.ops = &udp_ops;
	u->udp.host = host;
	u->events = options->events;
	u->context = options->context;
	u->poll.data = (void *)abandon;
	watch(u);
	*out = &u->udp;
	return HF_OK;
}

/* ---- The host ---- */

static int timer_set(struct hf_udp_host *host, struct hf_timer *timer, uint64_t delay_us)
{
	struct hf_loop *loop = to_loop_host(host)->loop;
	return hf_timer_set(&loop->timers, timer, hf_loop_now_us(loop) + delay_us);
}

static void timer_cancel(struct hf_udp_host *host, struct hf_timer *timer)
{
	hf_timer_cancel(&to_loop_host(host)->loop->timers, timer);
}

static uint64_t now_us(struct hf_udp_host *host)
{
	return hf_loop_now_us(to_loop_host(host)->loop);
}

static void defer(struct hf_udp_host *host, struct hf_loop_deferred *deferred)
{
	hf_loop_defer(to_loop_host(host)->loop, deferred);
}

static void cancel_deferred(struct hf_udp_host *host, struct hf_loop_deferred *deferred)
{
	hf_loop_cancel_deferred(to_loop_host(host)->loop, deferred);
}

static const struct hf_udp_host_ops host_ops = {
	.open = open_udp,
	.timer_set = timer_set,
	.timer_cancel = timer_cancel,
	.now_us = now_us,
	.defer = defer,
	.cancel_deferred = cancel_deferred,
};

struct hf_udp_host *hf_udp_host_of_loop(struct hf_loop *loop)
{
	if (loop->udp_host)
		return loop->udp_host;
	struct loop_host *host = calloc(1, sizeof *host);
	if (!host)
		return NULL;
	host->buffer = malloc(RECEIVE_COUNT * RECEIVE_BYTES);
	host->sender = hf_udp_sender_new();
	host->host = (struct hf_udp_host){&host_ops, loop->env};
	host->loop = loop;
	loop->udp_host = &host->host;
	if (!host->buffer || !host->sender) {
		hf_udp_host_free(&host->host);
		loop->udp_host = NULL;
	}
	return loop->udp_host;
}

void hf_udp_host_free(struct hf_udp_host *host)
{
	if (!host)
		return;
	struct loop_host *h = to_loop_host(host);
	hf_udp_sender_free(h->sender);
	free(h->buffer);
	free(h);
}
