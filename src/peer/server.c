#include <stdlib.h>

#include "base/options.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "peer/server_private.h"

static const struct hf_dht_listener listener = {.handshake = hf_server_on_handshake, .holepunch = hf_server_on_holepunch};

static void forget_all(struct hf_dht_server *server)
{
	while (server->handshakes != NULL)
		hf_server_forget(server->handshakes);
}

/* ---- Announcing ---- */

static void on_announced(void *context, size_t relay_count)
{
	struct hf_dht_server *server = context;
	bool is_first = !server->is_listening;

	server->is_listening = true;
	if (is_first && server->options.events->listening != NULL)
		server->options.events->listening(server->options.context, server, relay_count);
}

static void on_stopped(void *context)
{
	struct hf_dht_server *server = context;
	const struct hf_dht_server_events *events = server->options.events;

	if (!server->is_closing)
		return;
	if (events->closed != NULL)
		events->closed(server->options.context, server);
	hf_dht_server_free(server);
}

static const struct hf_announcer_events announcer_events = {.announced = on_announced, .stopped = on_stopped};

/* ---- Life ---- */

static int begin(struct hf_dht_server *server)
{
	struct hf_dht_connector *connector = server->connector;
	uint64_t seed;

	connector->host->env->random(connector->host->env, &seed, sizeof seed);
	hf_map_init(&server->by_message, seed);
	hf_blake2b(server->target, sizeof server->target, hf_slice(NULL, 0),
		hf_slice(hf_sign_public_key(server->secret_key), HF_SIGN_PUBLIC_BYTES));
	int error = hf_dht_node_listen(connector->node, server->target, &listener, server);
	if (error != HF_OK)
		return error;
	error = hf_announcer_new(&server->announcer, connector->node, server->secret_key, server->target, &announcer_events, server);
	if (error != HF_OK)
		hf_dht_node_unlisten(connector->node, server->target);
	return error;
}

int hf_dht_server_listen(struct hf_dht_server **out, struct hf_dht_connector *connector,
	const struct hf_dht_server_options *options, struct hf_failure *failure)
{
	struct hf_dht_server *server = calloc(1, sizeof *server);

	*out = NULL;
	int error = server != NULL ? hf_options_take(&server->options, sizeof server->options, options) : HF_ENOMEM;
	if (error == HF_OK && (server->options.secret_key == NULL || server->options.events == NULL))
		error = HF_EINVAL;
	if (error == HF_OK) {
		server->connector = connector;
		memcpy(server->secret_key, server->options.secret_key, sizeof server->secret_key);
		if (server->options.relay_through != NULL)
			memcpy(server->relay_key, server->options.relay_through, sizeof server->relay_key);
		error = begin(server);
	}
	if (error != HF_OK) {
		free(server);
		return hf_fail(failure, error, "cannot listen for peers: %s",
			error == HF_EEXISTS ? "this key is listened for already" : hf_error_text(error));
	}
	HF_LIST_PUSH(connector->servers, server);
	connector->stats.server_count++;
	*out = server;
	return HF_OK;
}

void hf_dht_server_free(struct hf_dht_server *server)
{
	if (server == NULL)
		return;
	forget_all(server);
	hf_dht_node_unlisten(server->connector->node, server->target);
	hf_announcer_free(server->announcer);
	hf_map_free(&server->by_message);
	HF_LIST_REMOVE(server->connector->servers, server);
	server->connector->stats.server_count--;
	hf_wipe(server, sizeof *server);
	free(server);
}

void hf_dht_server_close(struct hf_dht_server *server)
{
	if (server->is_closing)
		return;
	server->is_closing = true;
	server->is_listening = false;
	forget_all(server);
	hf_announcer_stop(server->announcer);
}

void hf_dht_server_suspend(struct hf_dht_server *server)
{
	if (server->is_closing || server->is_suspended)
		return;
	server->is_suspended = true;
	server->is_listening = false;
	forget_all(server);
	hf_announcer_stop(server->announcer);
}

void hf_dht_server_resume(struct hf_dht_server *server)
{
	if (!server->is_suspended)
		return;
	server->is_suspended = false;
	hf_announcer_refresh(server->announcer);
}

void hf_dht_server_refresh(struct hf_dht_server *server)
{
	if (!server->is_suspended && !server->is_closing)
		hf_announcer_refresh(server->announcer);
}

/* ---- What there is to know ---- */

bool hf_dht_server_is_listening(const struct hf_dht_server *server)
{
	return server->is_listening;
}

const uint8_t *hf_dht_server_public_key(const struct hf_dht_server *server)
{
	return hf_sign_public_key(server->secret_key);
}

size_t hf_dht_server_relays(const struct hf_dht_server *server, struct hf_address out[static HF_DHT_SERVER_RELAYS_MAX])
{
	struct hf_dht_punch_relay relays[HF_ANNOUNCER_RELAYS];
	size_t known = hf_announcer_relays(server->announcer, relays);
	size_t count = hf_dht_node_remote_address(server->connector->node, &out[0]) ? 1 : 0;

	for (size_t i = 0; i < known && count < HF_DHT_SERVER_RELAYS_MAX; i++)
		out[count++] = relays[i].relay;
	return count;
}
