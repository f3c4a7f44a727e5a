/* Cores on loops of their own, joined over TCP on loopback. */
#ifndef HF_TEST_HOST_FIXTURE_H
#define HF_TEST_HOST_FIXTURE_H

#include "../data/core_fixture.h"

#include "crypto/sign.h"
#include "peer/core_host.h"

struct peer {
	struct core_node node;
	struct hf_loop *loop;
	struct hf_core_host *host;
	uint8_t secret[HF_SIGN_SECRET_BYTES];
	struct hf_core *core;
	struct hf_replication *replication;
	unsigned opened, closed;
	int code;
	struct hf_peer_socket *socket;
	bool refuses;
};

static inline void on_opened(void *context, struct hf_peer_socket *socket)
{
	struct peer *peer = context;

	peer->opened++;
	peer->socket = socket;
	if (peer->refuses)
		hf_peer_socket_close(socket);
}

static inline void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct peer *peer = context;

	(void)socket;
	assert_true(why[0] != 0);
	peer->closed++;
	peer->code = code;
	peer->socket = NULL;
}

static inline void open_peer(struct peer *peer, uint8_t key_byte)
{
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES];
	struct hf_failure failure = {0};
	struct hf_store_options store = {.size = sizeof store, .env = &peer->node.env, .schema = {.describe = hf_corestore_describe}};
	struct hf_core_host_options options = {.size = sizeof options, .opened = on_opened, .closed = on_closed, .context = peer};

	*peer = (struct peer){0};
	hf_env_system(&peer->node.env);
	peer->node.env.executor = hf_executor_inline();
	strcpy(peer->node.directory, "/tmp/hf-host-XXXXXX");
	assert_non_null(mkdtemp(peer->node.directory));
	memset(peer->node.primary_key, key_byte, sizeof peer->node.primary_key);
	store.directory = peer->node.directory;
	hf_sign_keypair_generate(public_key, peer->secret, &peer->node.env);
	assert_int_equal(hf_loop_new(&peer->loop, &peer->node.env), HF_OK);
	assert_int_equal(hf_store_open(&peer->node.store, &store, &failure), HF_OK);
	options.loop = peer->loop;
	options.store = peer->node.store;
	options.primary_key = hf_slice(peer->node.primary_key, 32);
	assert_int_equal(hf_core_host_new(&peer->host, &options, &failure), HF_OK);
	peer->node.cores = hf_core_host_cores(peer->host);
}

static inline void close_peer(struct peer *peer)
{
	hf_core_host_close_sockets(peer->host);
	hf_replication_leave(peer->replication);
	hf_core_unref(peer->core);
	hf_core_host_free(peer->host);
	hf_store_close(peer->node.store);
	scratch_remove(peer->node.directory);
	hf_loop_free(peer->loop);
}

static inline void join(struct peer *peer, const uint8_t *key)
{
	peer->core = key == NULL ? core_by_name(&peer->node, "log") : core_by_key(&peer->node, key);
	assert_int_equal(hf_replicator_join(hf_core_host_replicator(peer->host), peer->core, &peer->replication), HF_OK);
}

static inline struct hf_peer_socket_options socket_options(struct peer *peer)
{
	return (struct hf_peer_socket_options){.size = sizeof(struct hf_peer_socket_options), .loop = peer->loop,
		.static_secret = peer->secret, .events = &hf_core_host_socket_events, .context = peer->host};
}

static inline void turn_until(struct peer *a, struct peer *b, bool (*enough)(struct peer *a, struct peer *b))
{
	uint64_t until = hf_env_monotonic_ms(&a->node.env) + 20000;

	while (!enough(a, b)) {
		assert_true(hf_env_monotonic_ms(&a->node.env) < until);
		hf_loop_poll(a->loop, false);
		hf_loop_poll(b->loop, false);
	}
}

static inline void dial(struct peer *from, const struct hf_address *address)
{
	char text[HF_ADDRESS_TEXT_BYTES];
	struct hf_peer_socket_options options = socket_options(from);
	struct hf_peer_socket *socket;

	assert_int_equal(hf_peer_socket_connect(&socket, &options, hf_address_text(address, true, text), NULL), HF_OK);
}

static inline struct hf_peer_listener *listen_on(struct peer *peer, struct hf_address *address)
{
	struct hf_peer_socket_options options = socket_options(peer);
	struct hf_peer_listener *listener;

	assert_int_equal(hf_peer_listener_new(&listener, &options, "127.0.0.1:0", address, NULL), HF_OK);
	return listener;
}

#endif
