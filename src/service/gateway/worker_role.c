/* worker_role: what makes a worker of this process: it offers its relays, and the files of its drives, to the gateways that it knows. */
#include "service/gateway/internal.h"

#include <stdio.h>

#include "crypto/sign.h"
#include "service/swarm_node.h"
#include "service/worker/worker.h"

static void handle_local(void *context, struct hf_http_exchange *exchange)
{
	struct hf_gateway *g = context;
	if (g->worker)
		hf_worker_node_answer(g->worker, exchange);
	else
		hf_http_respond(exchange, 503, "text/plain", HF_SLICE_LITERAL("starting\n"), NULL);
}

const struct hf_http_route hf_gateway_worker_routes[HF_GATEWAY_WORKER_ROUTE_COUNT] = {
	HF_ROUTE("GET", "/drive/*", HF_ACCESS_PUBLIC, handle_local),
	HF_ROUTE("GET", "/pfp/*", HF_ACCESS_PUBLIC, handle_local),
	HF_ROUTE("GET", "/gateway", HF_ACCESS_PUBLIC, handle_local),
	HF_ROUTE("GET", "/gateway/*", HF_ACCESS_PUBLIC, handle_local),
};

/* A relay's bee is signed with the key that it began with, which need not be the one that is active. */
static void keep_right_keys(struct hf_gateway *g)
{
	struct hf_relay_bee_facts facts;
	for (size_t i = 0; i < g->relay_count; i++) {
		struct hf_secret *key = &g->bee_keys[i];
		if (key->length != HF_SIGN_SECRET_BYTES || !hf_relay_bee(g->relays[i]))
			continue;
		hf_relay_bee_facts(hf_relay_bee(g->relays[i]), &facts);
		if (memcmp(hf_sign_public_key(key->data), facts.key, sizeof facts.key) != 0)
			hf_secret_free(key);
	}
}

int hf_gateway_open_worker(struct hf_gateway *g, struct hf_failure *failure)
{
	if (!g->options->is_worker)
		return HF_OK;
	keep_right_keys(g);
	struct hf_worker_node_options options = {.size = sizeof options, .loop = g->loop, .metrics = g->metrics, .config = g->first_config,
		.directory = g->directory.path, .cores = g->cores, .swarm = hf_swarm_node_swarm(g->swarm), .connector = hf_swarm_node_connector(g->swarm),
		.static_secret = hf_keys_active(g->keys, HF_KEY_SWARM)->secret.data, .relays = g->relays, .bee_keys = g->bee_keys,
		.identity_keys = g->identity_keys,
		.relay_count = g->relay_count};
	int r = hf_worker_node_new(&g->worker, &options, failure);
	if (r < 0)
		return r;
	const uint8_t *key = hf_keys_active(g->keys, HF_KEY_SWARM)->public_key;
	printf("holdfast: worker ");
	for (size_t i = 0; i < 32; i++)
		printf("%02x", key[i]);
	printf("\n");
	fflush(stdout);
	return HF_OK;
}

void hf_gateway_handle_worker(void *context, struct hf_http_exchange *exchange)
{
	struct hf_gateway *g = context;
	struct hf_buffer text = {0};
	if (g->worker && hf_worker_node_describe(g->worker, &text) == HF_OK)
		hf_http_respond(exchange, 200, "application/json", hf_buffer_slice(&text), NULL);
	else
		hf_http_respond(exchange, g->worker ? 503 : 404, "application/json", HF_SLICE_LITERAL("{\"error\":\"this is no worker\"}\n"), NULL);
	hf_buffer_free(&text);
}
