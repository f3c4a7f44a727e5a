#include "peer/relay_use.h"

#include <stdlib.h>

#include "wire/blind_relay.h"

struct hf_relay_use {
	struct hf_dht_connector *connector;
	const struct hf_relay_use_events *events; /* NULL: nobody listens */
	void *context;
	struct hf_dht_dial *dial;
	struct hf_peer_socket *socket;
	struct hf_blind_relay_client *client;
	struct hf_blind_relay_pair pair;
	uint8_t key[HF_SIGN_PUBLIC_BYTES];
	bool is_paired;
	struct hf_timer timer;
};

/* Once, from the loop: the owner then frees it. */
static void fail(struct hf_relay_use *use)
{
	const struct hf_relay_use_events *events = use->events;

	use->events = NULL;
	hf_udp_timer_cancel(use->connector->host, &use->timer);
	if (events != NULL)
		events->failed(use->context);
}

static void on_timer(struct hf_timer *timer)
{
	fail(HF_CONTAINER_OF(timer, struct hf_relay_use, timer));
}

/* ---- On the connection to the relay ---- */

static void on_paired(void *context, const struct hf_blind_relay_pair *pair)
{
	struct hf_relay_use *use = context;
	struct hf_udx_stream *stream = hf_peer_socket_udx_stream(use->socket);

	if (use->is_paired || use->events == NULL || stream == NULL || pair->is_initiator != use->pair.is_initiator ||
		memcmp(pair->token, use->pair.token, sizeof pair->token) != 0)
		return;
	use->is_paired = true;
	hf_udp_timer_cancel(use->connector->host, &use->timer);
	use->events->paired(use->context, hf_udx_stream_path(stream), pair->id);
}

static void on_client_closed(void *context)
{
	struct hf_relay_use *use = context;

	hf_blind_relay_client_free(use->client);
	use->client = NULL;
	fail(use);
}

static const struct hf_blind_relay_client_events client_events = {.paired = on_paired, .closed = on_client_closed};

static void on_opened(void *context, struct hf_peer_socket *socket)
{
	struct hf_relay_use *use = context;
	int error = hf_blind_relay_client_open(&use->client, hf_peer_socket_mux(socket), use->key, &client_events, use);

	if (error == HF_OK)
		error = hf_blind_relay_client_pair(use->client, &use->pair);
	if (error != HF_OK)
		fail(use);
}

static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct hf_relay_use *use = context;

	use->socket = NULL;
	fail(use);
}

static const struct hf_peer_socket_events socket_events = {.opened = on_opened, .closed = on_closed};

static void on_connected(void *context, struct hf_dht_dial *dial, struct hf_peer_socket *socket)
{
	struct hf_relay_use *use = context;

	use->dial = NULL;
	use->socket = socket;
}

static void on_dial_failed(void *context, struct hf_dht_dial *dial, const struct hf_dht_dial_failure *failure)
{
	struct hf_relay_use *use = context;

	use->dial = NULL;
	fail(use);
}

static const struct hf_dht_dial_events dial_events = {.connected = on_connected, .failed = on_dial_failed};

/* ---- Life ---- */

int hf_relay_use_new(struct hf_relay_use **out, struct hf_dht_connector *connector,
	const uint8_t relay_key[static HF_SIGN_PUBLIC_BYTES], const uint8_t secret_key[static HF_SIGN_SECRET_BYTES], bool is_initiator,
	const uint8_t token[static 32], uint32_t stream_id, const struct hf_relay_use_events *events, void *context)
{
	struct hf_relay_use *use = calloc(1, sizeof *use);
	struct hf_dht_dial_options options = {.size = sizeof options, .public_key = relay_key, .secret_key = secret_key,
		.socket = {.events = &socket_events, .context = use}, .events = &dial_events, .context = use};

	*out = NULL;
	if (use == NULL)
		return HF_ENOMEM;
	use->connector = connector;
	use->events = events;
	use->context = context;
	use->pair = (struct hf_blind_relay_pair){.is_initiator = is_initiator, .id = stream_id};
	memcpy(use->pair.token, token, sizeof use->pair.token);
	memcpy(use->key, hf_sign_public_key(secret_key), sizeof use->key);
	use->timer.fire = on_timer;
	int error = hf_dht_dial(&use->dial, connector, &options);
	if (error == HF_OK)
		error = hf_udp_timer_set(connector->host, &use->timer, HF_DHT_RELAY_PAIR_TIMEOUT_MS);
	if (error != HF_OK) {
		use->events = NULL;
		hf_relay_use_free(use);
		return error;
	}
	*out = use;
	return HF_OK;
}

static void let_go(struct hf_relay_use *use)
{
	use->events = NULL;
	hf_udp_timer_cancel(use->connector->host, &use->timer);
	hf_dht_dial_cancel(use->dial);
	use->dial = NULL;
}

void hf_relay_use_free(struct hf_relay_use *use)
{
	struct hf_peer_socket *socket;

	if (use == NULL)
		return;
	let_go(use);
	hf_blind_relay_client_free(use->client);
	socket = use->socket;
	free(use);
	hf_peer_socket_free(socket);
}

/* The socket's last words are for nobody. */
static void on_parted(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
}

static const struct hf_peer_socket_events parting_events = {.closed = on_parted};

void hf_relay_use_close(struct hf_relay_use *use)
{
	if (use == NULL)
		return;
	let_go(use);
	hf_blind_relay_client_free(use->client);
	if (use->socket != NULL) {
		hf_peer_socket_set_events(use->socket, &parting_events, NULL);
		hf_peer_socket_close(use->socket);
	}
	free(use);
}
