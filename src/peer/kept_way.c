/* Ways to peers that both sides keep open for the next time: few, so that a list will do. (spec: swarm, 4.14) */
#include <stdlib.h>

#include "peer/punch_socket.h"

struct hf_dht_kept_way {
	uint8_t key[HF_SIGN_PUBLIC_BYTES];
	struct hf_dht_kept_way *next, *previous;
	struct hf_udx_path way;
};

static void drop(struct hf_dht_connector *connector, struct hf_dht_kept_way *kept)
{
	HF_LIST_REMOVE(connector->ways, kept);
	connector->way_count--;
	free(kept);
}

static struct hf_dht_kept_way *find(struct hf_dht_connector *connector, const uint8_t *key)
{
	struct hf_dht_kept_way *kept = connector->ways;

	while (kept != NULL && memcmp(kept->key, key, sizeof kept->key) != 0)
		kept = kept->next;
	return kept;
}

static void drop_oldest(struct hf_dht_connector *connector)
{
	struct hf_dht_kept_way *kept = connector->ways;

	while (kept->next != NULL)
		kept = kept->next;
	drop(connector, kept);
}

void hf_dht_way_keep(struct hf_dht_connector *connector, const uint8_t key[static HF_SIGN_PUBLIC_BYTES], const struct hf_udx_path *way)
{
	struct hf_punch_socket *socket = hf_punch_socket_of(connector, way->socket);
	struct hf_dht_kept_way *kept;

	hf_dht_way_forget(connector, key);
	if (connector->way_count == HF_DHT_WAYS_MAX)
		drop_oldest(connector);
	kept = calloc(1, sizeof *kept);
	if (kept == NULL)
		return;
	memcpy(kept->key, key, sizeof kept->key);
	kept->way = *way;
	HF_LIST_PUSH(connector->ways, kept);
	connector->way_count++;
	if (socket != NULL)
		socket->is_reusable = true;
}

/* The node's sockets are others after it was suspended. */
static bool is_open(struct hf_dht_connector *connector, const void *udx_socket)
{
	return hf_punch_socket_of(connector, udx_socket) != NULL || udx_socket == hf_dht_node_server_socket(connector->node) ||
	       udx_socket == hf_dht_node_client_socket(connector->node);
}

bool hf_dht_way_recall(
	struct hf_dht_connector *connector, const uint8_t key[static HF_SIGN_PUBLIC_BYTES], struct hf_udx_path *way)
{
	const struct hf_dht_kept_way *kept = find(connector, key);

	if (kept == NULL || !is_open(connector, kept->way.socket))
		return false;
	*way = kept->way;
	return true;
}

void hf_dht_way_forget(struct hf_dht_connector *connector, const uint8_t key[static HF_SIGN_PUBLIC_BYTES])
{
	struct hf_dht_kept_way *kept = find(connector, key);

	if (kept != NULL)
		drop(connector, kept);
}

void hf_dht_way_forget_socket(struct hf_dht_connector *connector, const void *udx_socket)
{
	struct hf_dht_kept_way *next;

	for (struct hf_dht_kept_way *kept = connector->ways; kept != NULL; kept = next) {
		next = kept->next;
		if (udx_socket == NULL || kept->way.socket == udx_socket)
			drop(connector, kept);
	}
}
