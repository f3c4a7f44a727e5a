#include "peer/punch_socket.h"

#include <stdlib.h>

static void on_datagram(void *context, struct hf_udx_socket *udx, const struct hf_address *from, uint8_t *data, size_t length)
{
	struct hf_punch_socket *socket = context;

	if (length > 1)
		hf_dht_node_receive(socket->connector->node, udx, from, data, length);
	else if (length == 1 && socket->probed != NULL)
		socket->probed(socket->context, socket, from);
}

static const struct hf_udx_socket_events events = {.datagram = on_datagram};

void hf_punch_socket_close(struct hf_punch_socket *socket)
{
	struct hf_dht_connector *connector = socket->connector;

	hf_udp_timer_cancel(connector->host, &socket->linger);
	HF_LIST_REMOVE(connector->sockets, socket);
	connector->stats.socket_count--;
	hf_dht_way_forget_socket(connector, socket->udx);
	hf_dht_node_forget_socket(connector->node, socket->udx);
	hf_udx_socket_close(socket->udx);
	free(socket);
}

static void on_linger(struct hf_timer *timer)
{
	hf_punch_socket_close(HF_CONTAINER_OF(timer, struct hf_punch_socket, linger));
}

int hf_punch_socket_open(struct hf_punch_socket **out, struct hf_dht_connector *connector)
{
	struct hf_punch_socket *socket = calloc(1, sizeof *socket);
	struct hf_dht_node_state state;
	struct hf_failure failure;

	*out = NULL;
	if (socket == NULL)
		return HF_ENOMEM;
	hf_dht_node_read_state(connector->node, &state);
	state.server.port = 0;
	int error = hf_udx_socket_open(&socket->udx, hf_dht_node_net(connector->node), &state.server, &events, socket, &failure);
	if (error != HF_OK) {
		free(socket);
		return error;
	}
	socket->connector = connector;
	socket->references = 1;
	socket->linger.fire = on_linger;
	HF_LIST_PUSH(connector->sockets, socket);
	connector->stats.socket_count++;
	*out = socket;
	return HF_OK;
}

struct hf_punch_socket *hf_punch_socket_ref(struct hf_punch_socket *socket)
{
	hf_udp_timer_cancel(socket->connector->host, &socket->linger);
	socket->references++;
	return socket;
}

void hf_punch_socket_unref(struct hf_punch_socket *socket)
{
	if (socket == NULL || --socket->references > 0)
		return;
	socket->probed = NULL;
	if (!socket->is_reusable || hf_udp_timer_set(socket->connector->host, &socket->linger, HF_PUNCH_LINGER_MS) != HF_OK)
		hf_punch_socket_close(socket);
}

struct hf_punch_socket *hf_punch_socket_of(struct hf_dht_connector *connector, const void *udx)
{
	struct hf_punch_socket *socket = connector->sockets;

	while (socket != NULL && socket->udx != udx)
		socket = socket->next;
	return socket;
}

void hf_punch_socket_probe(struct hf_punch_socket *socket, const struct hf_address *to, bool far)
{
	static const uint8_t probe = 0;

	hf_udx_socket_send_one(socket->udx, to, hf_slice(&probe, 1), far ? 0 : HF_PUNCH_PROBE_TTL);
}
