/* What others ask: sorted, limited, answered. Nothing is answered that was not readable as a whole, and what is wrong with proofs is met
 * with silence, as in the package. */
#include <stdlib.h>

#include "peer/dht_node_private.h"

/* ---- Replies ---- */

/* Addresses of requests can be forged: no network gets more from us than the budget because somebody asked in its name. */
bool hf_dht_node_may_send(struct hf_dht_node *node, const struct hf_address *to, size_t length)
{
	if (hf_address_class(to) == HF_ADDRESS_LOOPBACK || hf_dht_rate_take_network(&node->unproven, to, hf_udp_now_ms(node->host),
		(uint32_t)length, HF_DHT_UNPROVEN_BYTES_PER_S))
		return true;
	node->stats.over_budget++;
	return false;
}

/* Tokens turn with time, when somebody looks. */
static struct hf_dht_tokens *tokens_now(struct hf_dht_node *node)
{
	uint64_t ticks = (hf_udp_now_ms(node->host) - node->token_ms) / HF_DHT_TOKEN_TICK_MS;

	node->token_ms += ticks * HF_DHT_TOKEN_TICK_MS;
	/* Behind two turns nothing is left of the old secrets. */
	for (uint64_t i = 0; i < ticks && i < 2 * HF_DHT_TOKEN_TICKS; i++)
		hf_dht_tokens_tick(&node->tokens);
	return &node->tokens;
}

static struct hf_slice closer_to(struct hf_dht_node *node, const uint8_t *target, uint8_t out[static HF_DHT_K * HF_DHT_ADDRESS_BYTES])
{
	const struct hf_dht_entry *entries[HF_DHT_K];
	size_t count = hf_dht_table_closest(&node->table, target, entries, HF_DHT_K);

	for (size_t i = 0; i < count; i++) {
		memcpy(out + i * HF_DHT_ADDRESS_BYTES, hf_dht_ipv4(&entries[i]->contact.address), 4);
		hf_store_le16(out + i * HF_DHT_ADDRESS_BYTES + 4, entries[i]->contact.address.port);
	}
	return hf_slice(out, count * HF_DHT_ADDRESS_BYTES);
}

void hf_dht_node_reply(struct hf_dht_node *node, const struct hf_dht_served *served, uint64_t error, const struct hf_slice *value,
	unsigned parts)
{
	uint8_t token[HF_DHT_TOKEN_BYTES], closer[HF_DHT_K * HF_DHT_ADDRESS_BYTES];
	struct hf_dht_message reply = {
		.is_reply = true,
		.tid = served->message->tid,
		.to = served->from,
		.id = hf_dht_node_visible_id(node, served->socket),
		.error = error,
		.has_value = value != NULL,
	};

	if (value)
		reply.value = *value;
	if (parts & HF_DHT_WITH_TOKEN) {
		hf_dht_token_make(tokens_now(node), token, &served->from);
		reply.token = token;
	}
	if ((parts & HF_DHT_WITH_CLOSER) && served->message->target)
		reply.closer = closer_to(node, served->message->target, closer);
	hf_buffer_clear(&node->datagram);
	/* A token that came with the request was good, or has been refused in few bytes: its sender does receive at its address. */
	if (hf_dht_message_write(&reply, &node->datagram) == HF_OK &&
		(served->message->token || hf_dht_node_may_send(node, &served->from, node->datagram.length)))
		hf_dht_node_send(node, served->socket, &served->from, hf_buffer_slice(&node->datagram), 0);
}

/* ---- Internal commands ---- */

static void end_delayed_ping(struct hf_dht_delayed_ping *ping)
{
	HF_LIST_REMOVE(ping->node->delayed_pings, ping);
	ping->node->delayed_ping_count--;
	hf_udp_timer_cancel(ping->node->host, &ping->timer);
	free(ping);
}

static void on_delayed_ping(struct hf_timer *timer)
{
	struct hf_dht_delayed_ping *ping = HF_CONTAINER_OF(timer, struct hf_dht_delayed_ping, timer);
	struct hf_dht_message message = {.tid = ping->tid};
	struct hf_dht_served served = {.socket = ping->socket, .from = ping->from, .message = &message};

	hf_dht_node_reply(ping->node, &served, HF_DHT_OK, NULL, 0);
	end_delayed_ping(ping);
}

void hf_dht_node_drop_delayed_pings(struct hf_dht_node *node, const struct hf_udx_socket *socket)
{
	for (struct hf_dht_delayed_ping *ping = node->delayed_pings, *next; ping; ping = next) {
		next = ping->next;
		if (!socket || ping->socket == socket)
			end_delayed_ping(ping);
	}
}

static void serve_delayed_ping(struct hf_dht_node *node, const struct hf_dht_served *served)
{
	struct hf_slice value = served->message->value;
	struct hf_dht_delayed_ping *ping;

	if (value.length < 4 || hf_load_le32(value.data) > HF_DHT_PING_DELAY_MS_MAX || node->delayed_ping_count >= HF_DHT_DELAYED_PINGS_MAX)
		return;
	ping = calloc(1, sizeof *ping);
	if (!ping)
		return;
	ping->node = node;
	ping->timer.fire = on_delayed_ping;
	ping->socket = served->socket;
	ping->from = served->from;
	ping->tid = served->message->tid;
	if (hf_udp_timer_set(node->host, &ping->timer, hf_load_le32(value.data)) < 0) {
		free(ping);
		return;
	}
	HF_LIST_PUSH(node->delayed_pings, ping);
	node->delayed_ping_count++;
}

static void serve_ping_nat(struct hf_dht_node *node, const struct hf_dht_served *served)
{
	struct hf_slice value = served->message->value;
	struct hf_dht_served other = *served;

	if (value.length < 2 || hf_load_le16(value.data) == 0)
		return;
	other.from.port = hf_load_le16(value.data);
	hf_dht_node_reply(node, &other, HF_DHT_OK, NULL, 0);
}

static void serve_down_hint(struct hf_dht_node *node, const struct hf_dht_served *served)
{
	uint8_t id[HF_DHT_ID_BYTES];
	struct hf_dht_entry *entry;

	if (served->message->value.length < HF_DHT_ADDRESS_BYTES)
		return;
	struct hf_address down = hf_dht_closer_at(served->message->value, 0);
	hf_dht_id(id, &down);
	entry = node->checks < HF_DHT_CHECKS_MAX ? hf_dht_table_get(&node->table, id) : NULL;
	if (entry && (entry->pinged_tick < node->tick || entry->down_hints == 0)) {
		entry->down_hints++;
		hf_dht_node_check(node, entry);
	}
	hf_dht_node_reply(node, served, HF_DHT_OK, NULL, 0);
}

static void serve_internal(struct hf_dht_node *node, const struct hf_dht_served *served)
{
	uint64_t command = served->message->command;

	switch (command) {
	case HF_DHT_PING:
		hf_dht_node_reply(node, served, HF_DHT_OK, NULL, 0);
		break;
	case HF_DHT_PING_NAT:
		serve_ping_nat(node, served);
		break;
	case HF_DHT_FIND_NODE:
		if (served->message->target)
			hf_dht_node_reply(node, served, HF_DHT_OK, NULL, HF_DHT_WITH_CLOSER);
		break;
	case HF_DHT_DOWN_HINT:
		serve_down_hint(node, served);
		break;
	case HF_DHT_DELAYED_PING:
		serve_delayed_ping(node, served);
		break;
	default:
		hf_dht_node_reply(node, served, HF_DHT_UNKNOWN_COMMAND, NULL, HF_DHT_WITH_CLOSER);
	}
}

/* ---- Records ---- */

static void reply_value(struct hf_dht_node *node, const struct hf_dht_served *served, struct hf_slice value)
{
	hf_dht_node_reply(node, served, HF_DHT_OK, value.data ? &value : NULL, HF_DHT_WITH_TOKEN | HF_DHT_WITH_CLOSER);
}

static void serve_find_peer(struct hf_dht_node *node, const struct hf_dht_served *served)
{
	struct hf_address relay;

	if (served->message->target)
		reply_value(node, served, hf_dht_record_store_route(node->records, served->message->target, &relay));
}

static void serve_lookup(struct hf_dht_node *node, const struct hf_dht_served *served)
{
	if (!served->message->target)
		return;
	hf_buffer_clear(&node->value);
	int r = hf_dht_record_store_lookup(node->records, served->message->target, &node->value);
	reply_value(node, served, r == HF_OK ? hf_buffer_slice(&node->value) : (struct hf_slice){0});
}

static void serve_announce(struct hf_dht_node *node, const struct hf_dht_served *served)
{
	const struct hf_dht_message *m = served->message;
	struct hf_dht_store_request request = {.target = m->target, .id = node->table.id, .token = m->token, .from = &served->from,
		.value = m->value};

	if (!m->target || !m->token || !m->has_value)
		return;
	int r = m->command == HF_DHT_ANNOUNCE ? hf_dht_record_store_announce(node->records, &request)
		: hf_dht_record_store_unannounce(node->records, &request);
	node->stats.bad_signatures += r == HF_EBADSIG;
	if (r == HF_OK)
		hf_dht_node_reply(node, served, HF_DHT_OK, NULL, 0);
}

static void serve_put(struct hf_dht_node *node, const struct hf_dht_served *served)
{
	const struct hf_dht_message *m = served->message;
	uint64_t error = HF_DHT_OK;
	int r;

	if (!m->target || !m->token || !m->has_value)
		return;
	if (m->command == HF_DHT_MUTABLE_PUT)
		r = hf_dht_record_store_put_mutable(node->records, m->target, m->value, &error);
	else
		r = hf_dht_record_store_put_immutable(node->records, m->target, m->value);
	node->stats.bad_signatures += r == HF_EBADSIG;
	node->stats.bad_seqs += r == HF_EDENIED;
	if (r == HF_OK)
		hf_dht_node_reply(node, served, HF_DHT_OK, NULL, HF_DHT_WITH_TOKEN | HF_DHT_WITH_CLOSER);
	else if (r == HF_EDENIED)
		hf_dht_node_reply(node, served, error, NULL, HF_DHT_WITH_CLOSER);
}

static void serve_get(struct hf_dht_node *node, const struct hf_dht_served *served)
{
	const struct hf_dht_message *m = served->message;
	struct hf_compact_reader in = hf_compact_reader(m->value);

	if (!m->target)
		return;
	if (m->command == HF_DHT_IMMUTABLE_GET) {
		reply_value(node, served, hf_dht_record_store_get_immutable(node->records, m->target));
		return;
	}
	uint64_t seq_min = hf_compact_read_uint(&in);
	if (m->has_value && in.status == HF_OK)
		reply_value(node, served, hf_dht_record_store_get_mutable(node->records, m->target, seq_min));
}

/* Commands that need records; false: not known here. */
static bool serve_records(struct hf_dht_node *node, const struct hf_dht_served *served)
{
	if (node->is_ephemeral || !node->records)
		return false;
	switch (served->message->command) {
	case HF_DHT_FIND_PEER:
		serve_find_peer(node, served);
		return true;
	case HF_DHT_LOOKUP:
		serve_lookup(node, served);
		return true;
	case HF_DHT_ANNOUNCE:
	case HF_DHT_UNANNOUNCE:
		serve_announce(node, served);
		return true;
	case HF_DHT_MUTABLE_PUT:
	case HF_DHT_IMMUTABLE_PUT:
		serve_put(node, served);
		return true;
	case HF_DHT_MUTABLE_GET:
	case HF_DHT_IMMUTABLE_GET:
		serve_get(node, served);
		return true;
	case HF_DHT_PLUGIN: /* there is none */
		return true;
	default:
		return false;
	}
}

static void serve_command(struct hf_dht_node *node, const struct hf_dht_served *served)
{
	uint64_t command = served->message->command;

	if (command == HF_DHT_PEER_HANDSHAKE)
		hf_dht_node_serve_handshake(node, served);
	else if (command == HF_DHT_PEER_HOLEPUNCH)
		hf_dht_node_serve_holepunch(node, served);
	else if (!serve_records(node, served))
		hf_dht_node_reply(node, served, HF_DHT_UNKNOWN_COMMAND, NULL, HF_DHT_WITH_CLOSER);
}

/* ---- Receiving ---- */

static void serve(struct hf_dht_node *node, const struct hf_dht_served *served)
{
	const struct hf_dht_message *m = served->message;

	if (hf_address_class(&served->from) != HF_ADDRESS_LOOPBACK &&
		!hf_dht_rate_take(&node->rate, &served->from, hf_udp_now_ms(node->host), 1, node->rate_per_s)) {
		node->stats.rate_limited++;
		return;
	}
	if (m->token && !hf_dht_token_is_good(tokens_now(node), m->token, &served->from)) {
		node->stats.bad_tokens++;
		if (hf_dht_node_may_send(node, &served->from, HF_DHT_REFUSAL_BYTES))
			hf_dht_node_reply(node, served, HF_DHT_INVALID_TOKEN, NULL, HF_DHT_WITH_TOKEN | HF_DHT_WITH_CLOSER);
		return;
	}
	if (served->id)
		hf_dht_node_heard(node, served->socket == hf_dht_node_socket(node), &served->from, served->id, &m->to);
	node->stats.served[hf_dht_command_index(m->is_internal, m->command)]++;
	if (m->is_internal)
		serve_internal(node, served);
	else
		serve_command(node, served);
}

void hf_dht_node_receive(
	struct hf_dht_node *node, struct hf_udx_socket *socket, const struct hf_address *from, uint8_t *data, size_t length)
{
	uint8_t expected[HF_DHT_ID_BYTES];
	struct hf_dht_message message;

	if (node->is_suspended || from->port == 0 || !hf_address_is_ipv4(from))
		return;
	node->stats.received++;
	if (hf_dht_message_read(hf_slice(data, length), &message) < 0) {
		node->stats.malformed++;
		return;
	}
	if (socket == node->server)
		hf_dht_node_seen_on_server(node, from);
	if (message.id) {
		hf_dht_id(expected, from);
		if (memcmp(expected, message.id, sizeof expected) != 0)
			message.id = NULL;
	}
	struct hf_dht_served served = {.socket = socket, .from = *from, .id = message.id, .message = &message};
	if (message.is_reply)
		hf_dht_node_take_reply(node, socket, from, message.id, &message);
	else
		serve(node, &served);
}
