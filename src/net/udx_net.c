/* The pump: what comes is eaten at once, what is to be sent is sent at the end of the iteration, so that one acknowledgement answers all
 * that came in it. A socket that is closed in the middle of an event goes at the end of the next pump. */
#include "net/udx_net.h"

#include <assert.h>
#include <stdlib.h>

#include "base/list.h"

#define BATCH_COUNT_MAX 64 /* of one pump; then others have their turn */

struct hf_udx_net {
	struct hf_udp_host *host;
	struct hf_udx *session;
	struct hf_udx_socket *sockets;
	struct hf_loop_deferred pump;
	struct hf_timer timer;
	uint64_t deadline_us; /* that the timer is set to */
	struct hf_udp_counters closed; /* of sockets that are gone */
	bool is_busy;    /* inside of the session: it must not be entered again */
	bool has_closing;
};
struct hf_udx_socket {
	struct hf_udx_net *net;
	struct hf_udp *udp;
	struct hf_udx_socket *next, *previous;
	const struct hf_udx_socket_events *events;
	void *context;
	bool is_closing;
};

static uint64_t now_us(const struct hf_udx_net *net)
{
	return hf_env_monotonic_us(net->host->env);
}

static void set_timer(struct hf_udx_net *net)
{
	uint64_t deadline_us = hf_udx_deadline(net->session);
	if (deadline_us == net->deadline_us)
		return;
	net->deadline_us = deadline_us;
	if (deadline_us == UINT64_MAX) {
		hf_udp_timer_cancel(net->host, &net->timer);
		return;
	}
	uint64_t now = hf_udp_now_us(net->host);
	/* Without memory for the timer, the next packet that comes or goes is what moves time on. */
	if (hf_udp_timer_set_us(net->host, &net->timer, deadline_us > now ? deadline_us - now : 0))
		net->deadline_us = UINT64_MAX;
}

static bool send_batch(struct hf_udx_net *net)
{
	struct hf_udx_packet packets[HF_UDX_SEND_COUNT_MAX];
	struct hf_udp_packet out[HF_UDX_SEND_COUNT_MAX];
	size_t count = hf_udx_send(net->session, now_us(net), packets, HF_UDX_SEND_COUNT_MAX);
	if (count == 0)
		return false;
	for (size_t i = 0; i < count; i++)
		out[i] = (struct hf_udp_packet){packets[i].remote, packets[i].pieces, packets[i].piece_count, 0};
	struct hf_udx_socket *socket = packets[0].socket;
	hf_udx_refused(net->session, count - hf_udp_send(socket->udp, out, count));
	return true;
}

static void add_counters(struct hf_udp_counters *sum, const struct hf_udp_counters *more)
{
	sum->sent_packets += more->sent_packets;
	sum->sent_bytes += more->sent_bytes;
	sum->received_packets += more->received_packets;
	sum->received_bytes += more->received_bytes;
	sum->refused_packets += more->refused_packets;
	sum->failed_packets += more->failed_packets;
	sum->send_calls += more->send_calls;
	sum->receive_calls += more->receive_calls;
}

static void remove_socket(struct hf_udx_socket *socket)
{
	struct hf_udx_net *net = socket->net;
	hf_udx_forget_socket(net->session, socket);
	add_counters(&net->closed, &socket->udp->counters);
	HF_LIST_REMOVE(net->sockets, socket);
	hf_udp_close(socket->udp);
	free(socket);
}

static void send_all(struct hf_udx_net *net)
{
	int batches = 0;
	assert(!net->is_busy);
	net->is_busy = true;
	while (batches < BATCH_COUNT_MAX && send_batch(net))
		batches++;
	net->is_busy = false;
	if (batches == BATCH_COUNT_MAX)
		hf_udp_defer(net->host, &net->pump);
}

static void pump(struct hf_udx_net *net)
{
	send_all(net);
	if (net->has_closing) {
		net->has_closing = false;
		for (struct hf_udx_socket *socket = net->sockets, *next; socket; socket = next) {
			next = socket->next;
			if (socket->is_closing)
				remove_socket(socket);
		}
		hf_udp_defer(net->host, &net->pump);
	}
	set_timer(net);
}

static void on_deferred(struct hf_loop_deferred *deferred)
{
	pump(HF_CONTAINER_OF(deferred, struct hf_udx_net, pump));
}

static void on_timer(struct hf_timer *timer)
{
	struct hf_udx_net *net = HF_CONTAINER_OF(timer, struct hf_udx_net, timer);
	net->deadline_us = UINT64_MAX;
	net->is_busy = true;
	hf_udx_tick(net->session, now_us(net));
	net->is_busy = false;
	hf_udp_defer(net->host, &net->pump);
}

static void on_wake(void *context)
{
	struct hf_udx_net *net = context;
	hf_udp_defer(net->host, &net->pump);
}

int hf_udx_net_new(struct hf_udx_net **out, struct hf_udp_host *host, const struct hf_udx_options *options)
{
	struct hf_udx_options own = options ? *options : (struct hf_udx_options){0};
	struct hf_udx_net *net = calloc(1, sizeof *net);
	if (!net)
		return HF_ENOMEM;
	net->host = host;
	net->deadline_us = UINT64_MAX;
	net->pump.run = on_deferred;
	net->timer.fire = on_timer;
	own.env = host->env;
	own.wake = on_wake;
	own.context = net;
	int code = hf_udx_new(&net->session, &own);
	if (code) {
		free(net);
		return code;
	}
	*out = net;
	return HF_OK;
}

void hf_udx_net_free(struct hf_udx_net *net)
{
	if (!net)
		return;
	send_all(net);
	while (net->sockets)
		remove_socket(net->sockets);
	hf_udp_cancel_deferred(net->host, &net->pump);
	hf_udp_timer_cancel(net->host, &net->timer);
	hf_udx_free(net->session);
	free(net);
}

struct hf_udx *hf_udx_net_session(struct hf_udx_net *net)
{
	return net->session;
}

struct hf_udp_host *hf_udx_net_host(struct hf_udx_net *net)
{
	return net->host;
}

void hf_udx_net_read_counters(const struct hf_udx_net *net, struct hf_udp_counters *counters)
{
	*counters = net->closed;
	for (const struct hf_udx_socket *socket = net->sockets; socket; socket = socket->next)
		add_counters(counters, &socket->udp->counters);
}

/* ---- Sockets ---- */

static void on_received(void *context, struct hf_udp *udp, const struct hf_udp_datagram *datagrams, size_t count)
{
	struct hf_udx_socket *socket = context;
	struct hf_udx_net *net = socket->net;
	uint64_t now = now_us(net);
	(void)udp;
	net->is_busy = true;
	for (size_t i = 0; i < count && !socket->is_closing; i++) {
		const struct hf_udp_datagram *d = &datagrams[i];
		if (!hf_udx_recv(net->session, now, socket, &d->from, d->data, d->length) && socket->events && socket->events->datagram)
			socket->events->datagram(socket->context, socket, &d->from, d->data, d->length);
	}
	net->is_busy = false;
	hf_udp_defer(net->host, &net->pump);
}

static void on_writable(void *context, struct hf_udp *udp)
{
	struct hf_udx_socket *socket = context;
	(void)udp;
	hf_udx_writable(socket->net->session, socket);
	hf_udp_defer(socket->net->host, &socket->net->pump);
}

static const struct hf_udp_events udp_events = {.received = on_received, .writable = on_writable};

int hf_udx_socket_open(struct hf_udx_socket **out, struct hf_udx_net *net, const struct hf_address *address,
	const struct hf_udx_socket_events *events, void *context, struct hf_failure *failure)
{
	struct hf_udx_socket *socket = calloc(1, sizeof *socket);
	if (!socket)
		return HF_ENOMEM;
	struct hf_udp_options options = {.address = *address, .events = &udp_events, .context = socket};
	int code = hf_udp_open(net->host, &socket->udp, &options, failure);
	if (code) {
		free(socket);
		return code;
	}
	socket->net = net;
	socket->events = events;
	socket->context = context;
	HF_LIST_PUSH(net->sockets, socket);
	*out = socket;
	return HF_OK;
}

void hf_udx_socket_close(struct hf_udx_socket *socket)
{
	if (!socket || socket->is_closing)
		return;
	struct hf_udx_net *net = socket->net;
	socket->is_closing = true;
	socket->events = NULL;
	net->has_closing = true;
	if (!net->is_busy)
		pump(net);
	else
		hf_udp_defer(net->host, &net->pump);
}

const struct hf_address *hf_udx_socket_address(const struct hf_udx_socket *socket)
{
	return hf_udp_address(socket->udp);
}

struct hf_udx_net *hf_udx_socket_net(const struct hf_udx_socket *socket)
{
	return socket->net;
}

const struct hf_udp_counters *hf_udx_socket_counters(const struct hf_udx_socket *socket)
{
	return &socket->udp->counters;
}

size_t hf_udx_socket_send(struct hf_udx_socket *socket, const struct hf_udp_packet *packets, size_t count)
{
	return hf_udp_send(socket->udp, packets, count);
}

bool hf_udx_socket_send_one(struct hf_udx_socket *socket, const struct hf_address *to, struct hf_slice bytes, uint8_t ttl)
{
	struct iovec piece = {(void *)(uintptr_t)bytes.data, bytes.length};
	struct hf_udp_packet packet = {*to, &piece, bytes.length > 0, ttl};
	return hf_udp_send(socket->udp, &packet, 1) == 1;
}

void hf_udx_socket_set_events(struct hf_udx_socket *socket, const struct hf_udx_socket_events *events, void *context)
{
	socket->events = events;
	socket->context = context;
}
