#include "peer/connection_pool.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "base/options.h"

struct entry {
	struct hf_dht_pool *pool;
	uint8_t key[HF_SIGN_PUBLIC_BYTES]; /* the peer's */
	struct hf_dht_dial *dial;          /* until there is a socket */
	struct hf_peer_socket *socket;
	struct hf_peer_socket_observer observer;
	const struct hf_dht_dial_events *events; /* of the dial's user */
	void *context;
	bool is_dialled;
};

struct hf_dht_pool {
	struct hf_dht_connector *connector;
	hf_dht_pool_opened opened;
	void *context;
	struct hf_map entries; /* by the peer's key */
};

static struct entry *find(const struct hf_dht_pool *pool, const uint8_t *key)
{
	return hf_map_get(&pool->entries, hf_slice(key, HF_SIGN_PUBLIC_BYTES));
}

static struct entry *add(struct hf_dht_pool *pool, const uint8_t *key, bool is_dialled)
{
	struct entry *entry = calloc(1, sizeof *entry);

	if (entry == NULL)
		return NULL;
	entry->pool = pool;
	entry->is_dialled = is_dialled;
	memcpy(entry->key, key, sizeof entry->key);
	if (hf_map_put(&pool->entries, hf_slice(entry->key, sizeof entry->key), entry, NULL) == HF_OK)
		return entry;
	free(entry);
	return NULL;
}

static void drop(struct entry *entry)
{
	hf_map_remove(&entry->pool->entries, hf_slice(entry->key, sizeof entry->key));
	free(entry);
}

/* ---- Sockets ---- */

static void on_opened(struct hf_peer_socket_observer *observer, struct hf_peer_socket *socket)
{
	struct hf_dht_pool *pool = HF_CONTAINER_OF(observer, struct entry, observer)->pool;

	if (pool->opened != NULL)
		pool->opened(pool->context, socket);
}

static void on_closed(struct hf_peer_socket_observer *observer, struct hf_peer_socket *socket, int code, const char *why)
{
	drop(HF_CONTAINER_OF(observer, struct entry, observer));
}

static void adopt(struct entry *entry, struct hf_peer_socket *socket)
{
	entry->dial = NULL;
	entry->socket = socket;
	entry->observer = (struct hf_peer_socket_observer){.opened = on_opened, .closed = on_closed};
	hf_peer_socket_observe(socket, &entry->observer);
}

/* Another connection stays: this one's owner hears of it. */
static void give_up(struct entry *entry)
{
	static const char why[] = "There is another connection with the peer, which stays.";
	struct entry old = *entry;

	if (old.socket != NULL)
		hf_peer_socket_observe(old.socket, NULL);
	drop(entry);
	if (old.socket != NULL) {
		hf_peer_socket_fail(old.socket, HF_EEXISTS, why);
		return;
	}
	struct hf_dht_dial_failure failure = {.code = HF_EEXISTS, .why = why};
	old.events->failed(old.context, old.dial, &failure);
	hf_dht_dial_cancel(old.dial);
}

/* ---- Dialling ---- */

static void on_connected(void *context, struct hf_dht_dial *dial, struct hf_peer_socket *socket)
{
	struct entry *entry = context;

	adopt(entry, socket);
	entry->events->connected(entry->context, dial, socket);
}

static void on_failed(void *context, struct hf_dht_dial *dial, const struct hf_dht_dial_failure *failure)
{
	struct entry old = *(struct entry *)context;

	drop(context);
	old.events->failed(old.context, dial, failure);
}

int hf_dht_pool_dial(struct hf_dht_pool *pool, const struct hf_dht_dial_options *given)
{
	static const struct hf_dht_dial_events events = {.connected = on_connected, .failed = on_failed};
	struct hf_dht_dial_options options;
	int error = hf_options_take(&options, sizeof options, given);

	if (error != HF_OK || options.public_key == NULL || options.events == NULL)
		return error != HF_OK ? error : HF_EINVAL;
	if (find(pool, options.public_key) != NULL)
		return HF_EEXISTS;
	if (pool->entries.count >= HF_DHT_POOL_COUNT_MAX)
		return HF_EBUSY;
	struct entry *entry = add(pool, options.public_key, true);
	if (entry == NULL)
		return HF_ENOMEM;
	entry->events = options.events;
	entry->context = options.context;
	options.events = &events;
	options.context = entry;
	error = hf_dht_dial(&entry->dial, pool->connector, &options);
	if (error != HF_OK)
		drop(entry);
	return error;
}

/* ---- Accepting ---- */

bool hf_dht_pool_accept(struct hf_dht_pool *pool, const struct hf_dht_server *server, struct hf_peer_socket *socket)
{
	const uint8_t *key = hf_peer_socket_remote_key(socket);
	struct entry *entry = find(pool, key);
	bool is_kept = entry == NULL || !entry->is_dialled || memcmp(hf_dht_server_public_key(server), key, HF_SIGN_PUBLIC_BYTES) > 0;

	if (is_kept && entry != NULL) {
		give_up(entry);
		entry = NULL;
	}
	if (is_kept && find(pool, key) == NULL && pool->entries.count < HF_DHT_POOL_COUNT_MAX)
		entry = add(pool, key, false);
	else
		entry = NULL;
	if (entry == NULL) {
		hf_peer_socket_free(socket);
		return false;
	}
	adopt(entry, socket);
	return true;
}

/* ---- The whole ---- */

int hf_dht_pool_new(struct hf_dht_pool **out, struct hf_dht_connector *connector, hf_dht_pool_opened opened, void *context)
{
	struct hf_dht_pool *pool = *out = calloc(1, sizeof *pool);
	struct hf_env *env = hf_udx_net_host(hf_dht_node_net(hf_dht_connector_node(connector)))->env;
	uint64_t seed;

	if (pool == NULL)
		return HF_ENOMEM;
	env->random(env, &seed, sizeof seed);
	hf_map_init(&pool->entries, seed);
	pool->connector = connector;
	pool->opened = opened;
	pool->context = context;
	return HF_OK;
}

void hf_dht_pool_free(struct hf_dht_pool *pool)
{
	struct entry *entry;

	if (pool == NULL)
		return;
	for (size_t cursor = 0; (entry = hf_map_next(&pool->entries, &cursor)); cursor = 0) {
		if (entry->socket != NULL)
			hf_peer_socket_observe(entry->socket, NULL);
		hf_dht_dial_cancel(entry->dial);
		drop(entry);
	}
	hf_map_free(&pool->entries);
	free(pool);
}

struct hf_peer_socket *hf_dht_pool_find(const struct hf_dht_pool *pool, const uint8_t key[static HF_SIGN_PUBLIC_BYTES])
{
	const struct entry *entry = find(pool, key);

	return entry != NULL ? entry->socket : NULL;
}

size_t hf_dht_pool_count(const struct hf_dht_pool *pool)
{
	return pool->entries.count;
}
