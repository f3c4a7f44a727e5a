/* One queue of timers holds what machines wait for and packets on their way. Work that was deferred runs when all that is due at an instant
 * has happened, as at the end of a loop's iteration. */
#include "sim_net.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/u64_map.h"

#define START_US 1000000u /* no clock begins at 0 */
#define QUEUE_BYTES 262144u
#define HEADER_BYTES 28u
#define REFUSED_US 1000u
#define FIRST_PORT 40000u

struct sim_host {
	struct hf_udp_host host;
	struct hf_env env;
	struct sim_net *net;
	struct sim_host *next;
	uint8_t ip[16];
	struct sim_link link;
	bool is_firewalled;
	struct hf_u64_map asked; /* of a firewall: our port, the other's address and port */
	uint64_t busy_until_us, last_arrival_us;
	uint64_t sent_count;
	uint16_t next_port;
};
struct sim_udp {
	struct hf_udp udp;
	struct sim_host *host;
	struct sim_udp *next, *previous;
	const struct hf_udp_events *events;
	void *context;
	struct hf_timer writable;
	uint64_t refuses_until_us;
	unsigned calls;
	bool is_closed;
};
struct sim_packet {
	struct hf_timer timer;
	struct sim_net *net;
	struct sim_packet *next, *previous;
	struct hf_address from, to;
	size_t length;
	uint8_t data[];
};
struct sim_net {
	struct sim_host *hosts;
	struct sim_udp *sockets;
	struct hf_u64_map by_address;
	struct sim_packet *packets;
	struct hf_timers timers;
	struct hf_loop_deferred *deferred_first, **deferred_last;
	struct sim_host *parted[2];
	uint64_t now_us, random, trace;
	struct sim_counters counters;
};

/* Not of malloc's kind: tests that have allocations fail (fail_alloc.h) mean those of what is simulated. */
static void *obtain(size_t size)
{
	void *memory = aligned_alloc(16, (size + 15) / 16 * 16);
	assert(memory);
	return memset(memory, 0, size);
}

static uint64_t draw(struct sim_net *net)
{
	uint64_t x = net->random += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

uint32_t sim_net_random(struct sim_net *net, uint32_t bound)
{
	return (uint32_t)(draw(net) % bound);
}

static bool happens(struct sim_net *net, uint32_t permille)
{
	return permille > 0 && sim_net_random(net, 1000) < permille;
}

static void trace(struct sim_net *net, const void *data, size_t length)
{
	const uint8_t *bytes = data;
	for (size_t i = 0; i < length; i++)
		net->trace = (net->trace ^ bytes[i]) * UINT64_C(0x100000001b3);
}

/* ---- Packets ---- */

static uint64_t key_of(const struct hf_address *address)
{
	return (uint64_t)hf_load_be32(address->ip + 12) << 16 | address->port;
}

static struct sim_udp *find_socket(struct sim_net *net, const struct hf_address *address)
{
	const uint64_t *found = hf_u64_map_get(&net->by_address, key_of(address));
	return found ? (struct sim_udp *)(uintptr_t)*found : NULL;
}

static uint64_t *asked_place(struct sim_host *host, uint16_t port, const struct hf_address *other, bool add)
{
	uint64_t key = (uint64_t)port << 48 | key_of(other);
	return add ? hf_u64_map_put(&host->asked, key) : hf_u64_map_get(&host->asked, key);
}

static void release_socket(struct sim_udp *u)
{
	struct sim_net *net = u->host->net;
	if (!u->is_closed || u->calls > 0)
		return;
	hf_timer_cancel(&net->timers, &u->writable);
	HF_LIST_REMOVE(net->sockets, u);
	free(u);
}

static void arrive(struct hf_timer *timer)
{
	struct sim_packet *packet = HF_CONTAINER_OF(timer, struct sim_packet, timer);
	struct sim_net *net = packet->net;
	struct sim_udp *u = find_socket(net, &packet->to);
	if (u && u->host->is_firewalled && !asked_place(u->host, packet->to.port, &packet->from, false))
		u = NULL;
	HF_LIST_REMOVE(net->packets, packet);
	if (u) {
		struct hf_udp_datagram datagram = {packet->from, packet->data, packet->length};
		trace(net, &net->now_us, sizeof net->now_us);
		trace(net, &packet->to.port, sizeof packet->to.port);
		trace(net, packet->data, packet->length);
		net->counters.delivered++;
		u->udp.counters.received_packets++;
		u->udp.counters.received_bytes += packet->length;
		u->calls++;
		u->events->received(u->context, &u->udp, &datagram, 1);
		u->calls--;
		release_socket(u);
	} else {
		net->counters.unreachable++;
	}
	free(packet);
}

static void put_on_its_way(struct sim_udp *u, const struct hf_udp_packet *out, uint64_t at_us)
{
	struct sim_net *net = u->host->net;
	size_t length = 0;
	for (size_t i = 0; i < out->piece_count; i++)
		length += out->pieces[i].iov_len;
	struct sim_packet *packet = obtain(sizeof *packet + length);
	packet->timer.fire = arrive;
	packet->net = net;
	packet->from = u->udp.address;
	packet->to = out->address;
	for (size_t i = 0; i < out->piece_count; i++) {
		memcpy(packet->data + packet->length, out->pieces[i].iov_base, out->pieces[i].iov_len);
		packet->length += out->pieces[i].iov_len;
	}
	HF_LIST_PUSH(net->packets, packet);
	if (hf_timer_set(&net->timers, &packet->timer, at_us) == HF_OK)
		return;
	HF_LIST_REMOVE(net->packets, packet); /* without memory it is lost */
	free(packet);
}

static bool is_parted(const struct sim_host *from, const struct hf_address *to)
{
	const struct sim_net *net = from->net;
	const struct sim_host *other = from == net->parted[0] ? net->parted[1] : from == net->parted[1] ? net->parted[0] : NULL;
	return other && memcmp(other->ip, to->ip, sizeof other->ip) == 0;
}

/* When a packet arrives; 0: it does not. */
static uint64_t arrival(struct sim_host *host, const struct hf_address *to, size_t bytes)
{
	struct sim_net *net = host->net;
	const struct sim_link *link = &host->link;
	uint64_t start_us = host->busy_until_us > net->now_us ? host->busy_until_us : net->now_us;
	if (link->is_cut || is_parted(host, to) || happens(net, link->loss_permille)) {
		net->counters.lost++;
		return 0;
	}
	if (link->mtu && bytes > link->mtu) {
		net->counters.too_big++;
		return 0;
	}
	if (link->bytes_per_s) {
		uint64_t queued = (start_us - net->now_us) * link->bytes_per_s / 1000000;
		if (queued + bytes > (link->queue_bytes ? link->queue_bytes : QUEUE_BYTES)) {
			net->counters.queue_full++;
			return 0;
		}
		start_us += bytes * 1000000 / link->bytes_per_s;
		host->busy_until_us = start_us;
	}
	uint64_t at_us = start_us + link->delay_us + (link->jitter_us ? sim_net_random(net, link->jitter_us) : 0);
	if (happens(net, link->reorder_permille))
		return at_us + link->reorder_us;
	if (at_us <= host->last_arrival_us)
		at_us = host->last_arrival_us + 1;
	host->last_arrival_us = at_us;
	return at_us;
}

static size_t send_packets(struct hf_udp *udp, const struct hf_udp_packet *packets, size_t count)
{
	struct sim_udp *u = (struct sim_udp *)(void *)udp;
	struct sim_net *net = u->host->net;
	for (size_t i = 0; i < count; i++) {
		size_t bytes = HEADER_BYTES;
		if (u->refuses_until_us > net->now_us) {
			net->counters.refused += count - i;
			udp->counters.refused_packets += count - i;
			return i;
		}
		for (size_t j = 0; j < packets[i].piece_count; j++)
			bytes += packets[i].pieces[j].iov_len;
		net->counters.sent++;
		udp->counters.sent_packets++;
		udp->counters.sent_bytes += bytes - HEADER_BYTES;
		if (u->host->link.refuse_every && ++u->host->sent_count % u->host->link.refuse_every == 0) {
			u->refuses_until_us = net->now_us + REFUSED_US;
			hf_timer_set(&net->timers, &u->writable, u->refuses_until_us);
		}
		uint64_t *asked = u->host->is_firewalled ? asked_place(u->host, udp->address.port, &packets[i].address, true) : NULL;
		assert(asked || !u->host->is_firewalled);
		if (asked)
			*asked = 1;
		uint64_t at_us = arrival(u->host, &packets[i].address, bytes);
		if (at_us)
			put_on_its_way(u, &packets[i], at_us);
		if (at_us && happens(net, u->host->link.duplicate_permille))
			put_on_its_way(u, &packets[i], at_us + 1 + sim_net_random(net, 2000));
	}
	return count;
}

static void on_writable(struct hf_timer *timer)
{
	struct sim_udp *u = HF_CONTAINER_OF(timer, struct sim_udp, writable);
	if (u->events->writable)
		u->events->writable(u->context, &u->udp);
}

static void close_socket(struct hf_udp *udp)
{
	struct sim_udp *u = (struct sim_udp *)(void *)udp;
	u->is_closed = true;
	hf_u64_map_remove(&u->host->net->by_address, key_of(&udp->address));
	release_socket(u);
}

static const struct hf_udp_ops udp_ops = {.send = send_packets, .close = close_socket};

/* ---- Machines ---- */

static struct sim_host *to_sim_host(struct hf_udp_host *host)
{
	return (struct sim_host *)(void *)host;
}

static int open_socket(struct hf_udp_host *host, struct hf_udp **out, const struct hf_udp_options *options, struct hf_failure *failure)
{
	struct sim_host *h = to_sim_host(host);
	struct sim_udp *u = obtain(sizeof *u);
	u->udp = (struct hf_udp){.ops = &udp_ops, .host = host, .address = options->address};
	memcpy(u->udp.address.ip, h->ip, sizeof h->ip);
	do {
		if (options->address.port == 0)
			u->udp.address.port = h->next_port++;
	} while (options->address.port == 0 && find_socket(h->net, &u->udp.address));
	if (find_socket(h->net, &u->udp.address)) {
		free(u);
		return hf_fail(failure, HF_EADDR, "The port is in use");
	}
	uint64_t *place = hf_u64_map_put(&h->net->by_address, key_of(&u->udp.address));
	if (!place) {
		free(u);
		return hf_fail(failure, HF_ENOMEM, "Out of memory");
	}
	u->host = h;
	u->events = options->events;
	u->context = options->context;
	u->writable.fire = on_writable;
	*place = (uintptr_t)u;
	HF_LIST_PUSH(h->net->sockets, u);
	*out = &u->udp;
	return HF_OK;
}

static int timer_set(struct hf_udp_host *host, struct hf_timer *timer, uint64_t delay_us)
{
	struct sim_net *net = to_sim_host(host)->net;
	return hf_timer_set(&net->timers, timer, net->now_us + delay_us);
}

static void timer_cancel(struct hf_udp_host *host, struct hf_timer *timer)
{
	hf_timer_cancel(&to_sim_host(host)->net->timers, timer);
}

static uint64_t now_us(struct hf_udp_host *host)
{
	return to_sim_host(host)->net->now_us;
}

static void defer(struct hf_udp_host *host, struct hf_loop_deferred *deferred)
{
	struct sim_net *net = to_sim_host(host)->net;
	if (deferred->queued)
		return;
	deferred->queued = true;
	deferred->next = NULL;
	*net->deferred_last = deferred;
	net->deferred_last = &deferred->next;
}

static void cancel_deferred(struct hf_udp_host *host, struct hf_loop_deferred *deferred)
{
	struct sim_net *net = to_sim_host(host)->net;
	struct hf_loop_deferred **link = &net->deferred_first;
	if (!deferred->queued)
		return;
	while (*link != deferred)
		link = &(*link)->next;
	*link = deferred->next;
	if (net->deferred_last == &deferred->next)
		net->deferred_last = link;
	deferred->queued = false;
}

static const struct hf_udp_host_ops host_ops = {
	.open = open_socket,
	.timer_set = timer_set,
	.timer_cancel = timer_cancel,
	.now_us = now_us,
	.defer = defer,
	.cancel_deferred = cancel_deferred,
};

static uint64_t env_monotonic_us(struct hf_env *env)
{
	return ((struct sim_net *)env->context)->now_us;
}

static uint64_t env_wall_ms(struct hf_env *env)
{
	return UINT64_C(1700000000000) + env_monotonic_us(env) / 1000;
}

static void env_random(struct hf_env *env, void *out, size_t length)
{
	uint8_t *bytes = out;
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)draw(env->context);
}

static void set_ip(struct sim_host *host, const char *ip)
{
	char text[HF_ADDRESS_TEXT_BYTES];
	struct hf_address address;
	assert(strlen(ip) < sizeof text - 2);
	strcpy(text, ip);
	strcat(text, ":0");
	int code = hf_address_parse(text, &address, NULL);
	assert(code == HF_OK);
	(void)code;
	memcpy(host->ip, address.ip, sizeof host->ip);
}

void sim_net_firewall(struct hf_udp_host *host)
{
	to_sim_host(host)->is_firewalled = true;
}

void sim_net_part(struct sim_net *net, struct hf_udp_host *one, struct hf_udp_host *other)
{
	net->parted[0] = one ? to_sim_host(one) : NULL;
	net->parted[1] = other ? to_sim_host(other) : NULL;
}

void sim_net_move(struct hf_udp_host *host, const char *ip)
{
	struct sim_host *h = to_sim_host(host);
	set_ip(h, ip);
	for (struct sim_udp *u = h->net->sockets; u; u = u->next) {
		if (u->host != h || u->is_closed)
			continue;
		hf_u64_map_remove(&h->net->by_address, key_of(&u->udp.address));
		memcpy(u->udp.address.ip, h->ip, sizeof h->ip);
		uint64_t *place = hf_u64_map_put(&h->net->by_address, key_of(&u->udp.address));
		assert(place);
		*place = (uintptr_t)u;
	}
}

struct hf_udp_host *sim_net_host(struct sim_net *net, const char *ip)
{
	struct sim_host *host = obtain(sizeof *host);
	set_ip(host, ip);
	host->env = (struct hf_env){
		.context = net, .monotonic_us = env_monotonic_us, .wall_ms = env_wall_ms, .random = env_random};
	host->host = (struct hf_udp_host){&host_ops, &host->env};
	host->net = net;
	host->next_port = FIRST_PORT;
	host->next = net->hosts;
	net->hosts = host;
	return &host->host;
}

void sim_net_set_link(struct hf_udp_host *host, const struct sim_link *link)
{
	to_sim_host(host)->link = *link;
}

/* ---- The network ---- */

struct sim_net *sim_net_new(uint64_t seed)
{
	struct sim_net *net = obtain(sizeof *net);
	net->random = seed;
	net->now_us = START_US;
	net->trace = UINT64_C(0xcbf29ce484222325);
	net->deferred_last = &net->deferred_first;
	return net;
}

void sim_net_free(struct sim_net *net)
{
	struct sim_packet *packet;
	struct sim_host *host;
	assert(!net->sockets);
	hf_timers_free(&net->timers);
	hf_u64_map_free(&net->by_address);
	while ((packet = net->packets)) {
		HF_LIST_REMOVE(net->packets, packet);
		free(packet);
	}
	while ((host = net->hosts)) {
		net->hosts = host->next;
		hf_u64_map_free(&host->asked);
		free(host);
	}
	free(net);
}

static void run_deferred(struct sim_net *net)
{
	struct hf_loop_deferred *first;
	while ((first = net->deferred_first)) {
		net->deferred_first = first->next;
		if (!net->deferred_first)
			net->deferred_last = &net->deferred_first;
		first->next = NULL;
		first->queued = false;
		first->run(first);
	}
}

void sim_net_run(struct sim_net *net, uint64_t until_us, const bool *stop)
{
	run_deferred(net);
	while (!stop || !*stop) {
		uint64_t next_us = hf_timers_next_us(&net->timers);
		if (next_us == UINT64_MAX || next_us > START_US + until_us)
			break;
		if (next_us > net->now_us)
			net->now_us = next_us;
		hf_timers_run(&net->timers, net->now_us);
		run_deferred(net);
	}
	if (until_us != UINT64_MAX && (!stop || !*stop) && START_US + until_us > net->now_us)
		net->now_us = START_US + until_us;
}

void sim_net_jump(struct sim_net *net, uint64_t us)
{
	net->now_us += us;
}

uint64_t sim_net_now_us(const struct sim_net *net)
{
	return net->now_us - START_US;
}

uint64_t sim_net_trace(const struct sim_net *net)
{
	return net->trace;
}

void sim_net_counters(const struct sim_net *net, struct sim_counters *counters)
{
	*counters = net->counters;
}
