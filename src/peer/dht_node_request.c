/* Requests under way are in chains by the low bits of their tid, which no two of them share. One that finds the window full waits in line;
 * its timer starts when it is sent. */
#include <stdlib.h>

#include "peer/dht_node_private.h"

#define SLOT_MS 750u

/* ---- The window ---- */

static void turn_window(struct hf_dht_node *node)
{
	struct hf_dht_window *w = &node->window;
	uint64_t slot = hf_udp_now_ms(node->host) / SLOT_MS;

	for (unsigned i = 0; i < 4 && w->slot < slot; i++) {
		w->slot++;
		w->total -= w->counts[w->slot & 3];
		w->counts[w->slot & 3] = 0;
	}
	w->slot = slot;
}

static bool is_full(struct hf_dht_node *node)
{
	turn_window(node);
	return node->window.total >= 2 * HF_DHT_WINDOW_MAX || node->window.counts[node->window.slot & 3] >= HF_DHT_WINDOW_MAX;
}

static void count_sent(struct hf_dht_node *node)
{
	turn_window(node);
	node->window.counts[node->window.slot & 3]++;
	node->window.total++;
}

static void count_answered(struct hf_dht_node *node)
{
	turn_window(node);
	if (node->window.counts[node->window.slot & 3] == 0)
		return;
	node->window.counts[node->window.slot & 3]--;
	node->window.total--;
}

/* ---- Chains ---- */

static struct hf_dht_request **chain_of(struct hf_dht_node *node, uint16_t tid)
{
	return &node->by_tid[tid % HF_DHT_TID_CHAINS];
}

static struct hf_dht_request *find(struct hf_dht_node *node, uint16_t tid)
{
	struct hf_dht_request *request = *chain_of(node, tid);

	while (request && request->in.tid != tid)
		request = request->in.next;
	return request;
}

static void link_in(struct hf_dht_node *node, struct hf_dht_request *request)
{
	do
		request->in.tid = node->next_tid++;
	while (find(node, request->in.tid));
	HF_LIST_PUSH_BY(*chain_of(node, request->in.tid), request, in.next, in.previous);
	request->in.node = node;
	node->inflight_count++;
}

static void leave_line(struct hf_dht_node *node, struct hf_dht_request *request)
{
	struct hf_dht_request **at = &node->waiting_first, *last = NULL;

	if (!request->in.is_waiting)
		return;
	while (*at != request) {
		last = *at;
		at = &(*at)->in.wait_next;
	}
	*at = request->in.wait_next;
	if (node->waiting_last == request)
		node->waiting_last = last;
	request->in.is_waiting = false;
	node->waiting_count--;
}

/* From here on the struct is its owner's again. */
static void take_out(struct hf_dht_request *request)
{
	struct hf_dht_node *node = request->in.node;

	leave_line(node, request);
	hf_udp_timer_cancel(node->host, &request->in.timer);
	HF_LIST_REMOVE_BY(*chain_of(node, request->in.tid), request, in.next, in.previous);
	hf_buffer_free(&request->in.datagram);
	request->in.node = NULL;
	node->inflight_count--;
}

/* ---- Sending ---- */

static void send_now(struct hf_dht_node *node, struct hf_dht_request *request)
{
	request->in.sent_count++;
	request->in.sent_us = hf_udp_now_us(node->host);
	count_sent(node);
	hf_dht_node_send(node, request->in.socket, &request->to, hf_buffer_slice(&request->in.datagram), request->ttl);
	if (hf_udp_timer_set(node->host, &request->in.timer, request->timeout_ms ? request->timeout_ms : HF_DHT_TIMEOUT_MS) < 0)
		request->in.fails = HF_ENOMEM; /* it ends with the next change of its fortune: an answer, or the end of the node */
}

static void wait_in_line(struct hf_dht_node *node, struct hf_dht_request *request)
{
	request->in.wait_next = NULL;
	*(node->waiting_last ? &node->waiting_last->in.wait_next : &node->waiting_first) = request;
	node->waiting_last = request;
	request->in.is_waiting = true;
	node->waiting_count++;
	if (node->drain.place == 0)
		hf_udp_timer_set(node->host, &node->drain, SLOT_MS);
}

static void send_or_wait(struct hf_dht_node *node, struct hf_dht_request *request)
{
	if (!request->force && is_full(node))
		wait_in_line(node, request);
	else
		send_now(node, request);
}

static void on_drain(struct hf_timer *timer)
{
	struct hf_dht_node *node = HF_CONTAINER_OF(timer, struct hf_dht_node, drain);

	while (node->waiting_first && !is_full(node)) {
		struct hf_dht_request *request = node->waiting_first;
		leave_line(node, request);
		send_now(node, request);
	}
	if (node->waiting_first)
		hf_udp_timer_set(node->host, timer, SLOT_MS);
}

void hf_dht_node_init_requests(struct hf_dht_node *node)
{
	node->env->random(node->env, &node->next_tid, sizeof node->next_tid);
	node->drain.fire = on_drain;
}

/* ---- Ending ---- */

static void finish(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	take_out(request);
	request->done(request, code, reply);
}

static void time_out(struct hf_dht_node *node, struct hf_dht_request *request)
{
	uint8_t id[HF_DHT_ID_BYTES];

	node->stats.timeouts++;
	node->stats.timed_out[hf_dht_command_index(request->is_internal, request->command)]++;
	count_answered(node);
	if (request->is_of_table) {
		hf_dht_id(id, &request->to);
		struct hf_dht_entry *entry = hf_dht_table_get(&node->table, id);
		if (entry)
			hf_dht_table_remove(&node->table, entry);
	}
	finish(request, HF_ETIMEOUT, NULL);
}

static void on_timer(struct hf_timer *timer)
{
	struct hf_dht_request *request = HF_CONTAINER_OF(timer, struct hf_dht_request, in.timer);
	struct hf_dht_node *node = request->in.node;
	bool is_first = request->in.sent_count == 1;

	if (request->in.fails < 0) {
		finish(request, request->in.fails, NULL);
		return;
	}
	if (request->once || request->in.sent_count > request->retries) {
		time_out(node, request);
		return;
	}
	node->stats.retries++;
	send_or_wait(node, request);
	if (is_first && request->slow)
		request->slow(request);
}

void hf_dht_node_fail_requests(struct hf_dht_node *node, const struct hf_udx_socket *socket, int code)
{
	for (unsigned i = 0; i < HF_DHT_TID_CHAINS; i++)
		for (struct hf_dht_request *request = node->by_tid[i]; request; request = request->in.next) {
			if (socket && request->in.socket != socket)
				continue;
			leave_line(node, request);
			request->in.fails = code;
			hf_udp_timer_set(node->host, &request->in.timer, 0);
		}
}

void hf_dht_node_drop_requests(struct hf_dht_node *node)
{
	for (unsigned i = 0; i < HF_DHT_TID_CHAINS; i++)
		while (node->by_tid[i])
			take_out(node->by_tid[i]);
	hf_udp_timer_cancel(node->host, &node->drain);
}

void hf_dht_node_take_reply(struct hf_dht_node *node, struct hf_udx_socket *socket, const struct hf_address *from,
	const uint8_t *id, const struct hf_dht_message *message)
{
	struct hf_dht_request *request = find(node, message->tid);

	if (!request || request->in.sent_count == 0 || request->in.fails < 0) {
		node->stats.stale_replies++;
		return;
	}
	node->stats.replies++;
	node->stats.answered[hf_dht_command_index(request->is_internal, request->command)]++;
	count_answered(node);
	struct hf_dht_reply reply = {
		.from = *from,
		.to = message->to,
		.socket = socket,
		.id = id,
		.token = message->token,
		.closer = message->closer,
		.error = message->error,
		.has_value = message->has_value,
		.value = message->value,
		.rtt_ms = (uint32_t)((hf_udp_now_us(node->host) - request->in.sent_us) / 1000),
	};
	if (socket == hf_dht_node_socket(node))
		hf_dht_node_told_address(node, from, &message->to);
	hf_dht_node_heard(node, socket == hf_dht_node_socket(node), from, id, &message->to);
	finish(request, HF_OK, &reply);
}

/* ---- Starting and cancelling ---- */

static int encode(struct hf_dht_node *node, struct hf_dht_request *request)
{
	struct hf_dht_message message = {
		.tid = request->in.tid,
		.to = request->to,
		.id = hf_dht_node_visible_id(node, request->in.socket),
		.token = request->token,
		.has_value = request->has_value,
		.value = request->value,
		.is_internal = request->is_internal,
		.command = request->command,
		.target = request->target,
	};
	int r = hf_dht_message_write(&message, &request->in.datagram);

	return r < 0 ? r : request->in.datagram.length > HF_DHT_DATAGRAM_BYTES_MAX ? HF_ETOOBIG : HF_OK;
}

int hf_dht_request_start(struct hf_dht_node *node, struct hf_dht_request *request)
{
	memset(&request->in, 0, sizeof request->in);
	if (!hf_address_is_ipv4(&request->to) || request->to.port == 0)
		return HF_EADDR;
	if (node->is_suspended)
		return HF_ECANCELED;
	if (node->inflight_count >= HF_DHT_INFLIGHT_COUNT_MAX)
		return HF_EBUSY;
	request->in.socket = request->socket ? request->socket : hf_dht_node_socket(node);
	if (request->retries == 0)
		request->retries = HF_DHT_RETRIES;
	request->in.timer.fire = on_timer;
	link_in(node, request);
	int r = encode(node, request);
	if (r < 0) {
		take_out(request);
		return r;
	}
	node->stats.requests++;
	send_or_wait(node, request);
	return HF_OK;
}

void hf_dht_request_cancel(struct hf_dht_request *request)
{
	struct hf_dht_node *node = request->in.node;

	if (!node)
		return;
	count_answered(node);
	take_out(request);
}

int hf_dht_ping(struct hf_dht_node *node, struct hf_dht_request *request, const struct hf_address *to, struct hf_udx_socket *socket)
{
	request->to = *to;
	request->socket = socket;
	request->is_internal = true;
	request->command = HF_DHT_PING;
	request->target = request->token = NULL;
	request->has_value = false;
	return hf_dht_request_start(node, request);
}

/* ---- Chores ---- */

static void chore_done(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	(void)code;
	(void)reply;
	hf_dht_chore_free(HF_CONTAINER_OF(request, struct hf_dht_chore, request));
}

struct hf_dht_chore *hf_dht_chore_new(struct hf_dht_node *node, const struct hf_address *to, enum hf_dht_internal_command command)
{
	struct hf_dht_chore *chore = calloc(1, sizeof *chore);

	if (!chore)
		return NULL;
	chore->node = node;
	chore->request.to = *to;
	chore->request.is_internal = true;
	chore->request.command = (uint8_t)command;
	chore->request.done = chore_done;
	HF_LIST_PUSH(node->chores, chore);
	return chore;
}

bool hf_dht_chore_start(struct hf_dht_chore *chore)
{
	if (hf_dht_request_start(chore->node, &chore->request) == HF_OK)
		return true;
	hf_dht_chore_free(chore);
	return false;
}

void hf_dht_chore_free(struct hf_dht_chore *chore)
{
	HF_LIST_REMOVE(chore->node->chores, chore);
	free(chore);
}
