/* Addresses of our own on local networks. What is told to those who dial has shown that it is reached, at least by ourselves: a byte that
 * is sent to it comes back. Behind some firewalls and virtual networks none does, and a peer would wait for nothing. */
#include <stdlib.h>

#include "net/interfaces.h"
#include "peer/connector_private.h"

static size_t interfaces(struct hf_dht_connector *connector, struct hf_address *out)
{
	uint64_t now_ms = hf_dht_connector_now_ms(connector);

	if (connector->interfaces_ms == 0 || now_ms >= connector->interfaces_ms + HF_DHT_INTERFACES_MS) {
		connector->interface_count = hf_interfaces_ipv4(connector->interfaces, HF_DHT_LOCAL_ADDRESSES_MAX);
		connector->interfaces_ms = now_ms;
	}
	memcpy(out, connector->interfaces, connector->interface_count * sizeof *out);
	return connector->interface_count;
}

void hf_dht_local_addresses(struct hf_dht_connector *connector, struct hf_dht_addresses *out)
{
	static const uint8_t any[4], loopback[4] = {127, 0, 0, 1};
	struct hf_dht_node_state state;

	hf_dht_node_read_state(connector->node, &state);
	out->count = 0;
	if (hf_address_class(&state.server) == HF_ADDRESS_LOOPBACK) {
		out->list[out->count++] = state.server;
		return;
	}
	if (connector->local_address_count > 0 || memcmp(hf_dht_ipv4(&state.server), any, sizeof any) != 0) {
		out->count = connector->local_address_count > 0 ? connector->local_address_count : 1;
		memcpy(out->list, connector->local_address_count > 0 ? connector->local_addresses : &state.server,
			out->count * sizeof *out->list);
	} else {
		out->count = interfaces(connector, out->list);
	}
	if (out->count == 0)
		out->list[out->count++] = hf_dht_address(loopback, 0);
	for (size_t i = 0; i < out->count; i++)
		out->list[i].port = state.server.port;
}

static unsigned octets_alike(const struct hf_address *a, const struct hf_address *b)
{
	unsigned count = 0;

	while (count < 3 && hf_dht_ipv4(a)[count] == hf_dht_ipv4(b)[count])
		count++;
	return count;
}

bool hf_dht_match_address(const struct hf_dht_addresses *ours, const struct hf_dht_addresses *theirs, struct hf_address *out)
{
	unsigned best = 0;

	for (size_t i = 0; i < ours->count; i++)
		for (size_t j = 0; j < theirs->count; j++) {
			unsigned alike = octets_alike(&ours->list[i], &theirs->list[j]);
			if (alike <= best)
				continue;
			best = alike;
			*out = theirs->list[j];
		}
	return best > 0;
}

/* ---- Checking ---- */

static void on_datagram(void *context, struct hf_udx_socket *socket, const struct hf_address *from, uint8_t *data, size_t length)
{
	struct hf_dht_own_address *own = context;

	if (length == 1 && hf_dht_same_host(from, &own->address))
		own->is_reached = true;
}

static void end_check(struct hf_dht_own_address *own)
{
	hf_udp_timer_cancel(own->connector->host, &own->timer);
	hf_udx_socket_close(own->socket);
	own->socket = NULL;
}

static void on_timer(struct hf_timer *timer)
{
	end_check(HF_CONTAINER_OF(timer, struct hf_dht_own_address, timer));
}

/* Whatever fails here leaves it unreached. */
static void begin_check(struct hf_dht_own_address *own)
{
	static const struct hf_udx_socket_events events = {.datagram = on_datagram};
	struct hf_address at = own->address;

	at.port = 0;
	own->timer.fire = on_timer;
	if (hf_udx_socket_open(&own->socket, hf_dht_node_net(own->connector->node), &at, &events, own, NULL) < 0)
		return;
	at.port = hf_udx_socket_address(own->socket)->port;
	hf_udx_socket_send_one(own->socket, &at, hf_slice((const uint8_t *)"", 1), 0);
	if (hf_udp_timer_set(own->connector->host, &own->timer, HF_DHT_OWN_ADDRESS_MS) < 0)
		end_check(own);
}

static struct hf_dht_own_address *find_own(struct hf_dht_connector *connector, const struct hf_address *address)
{
	for (size_t i = 0; i < connector->own_count; i++)
		if (hf_dht_same_host(&connector->own[i]->address, address))
			return connector->own[i];
	return NULL;
}

static struct hf_dht_own_address *add_own(struct hf_dht_connector *connector, const struct hf_address *address)
{
	struct hf_dht_own_address *own;

	if (connector->own_count == HF_DHT_LOCAL_ADDRESSES_MAX) /* those that the machine had before */
		hf_dht_local_forget(connector);
	own = calloc(1, sizeof *own);
	if (own == NULL)
		return NULL;
	own->connector = connector;
	own->address = *address;
	connector->own[connector->own_count++] = own;
	begin_check(own);
	return own;
}

void hf_dht_local_check(struct hf_dht_connector *connector)
{
	struct hf_dht_addresses unused;

	hf_dht_reached_addresses(connector, &unused);
}

void hf_dht_local_forget(struct hf_dht_connector *connector)
{
	while (connector->own_count > 0) {
		struct hf_dht_own_address *own = connector->own[--connector->own_count];
		end_check(own);
		free(own);
	}
}

void hf_dht_reached_addresses(struct hf_dht_connector *connector, struct hf_dht_addresses *out)
{
	struct hf_dht_addresses all;

	out->count = 0;
	hf_dht_local_addresses(connector, &all);
	for (size_t i = 0; i < all.count; i++) {
		struct hf_dht_own_address *own = find_own(connector, &all.list[i]);
		if (own == NULL)
			own = add_own(connector, &all.list[i]);
		if (own != NULL && own->is_reached)
			out->list[out->count++] = all.list[i];
	}
}
