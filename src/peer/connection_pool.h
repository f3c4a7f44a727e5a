/* connection_pool: one connection with each peer, dialled or accepted, however often one asks for it. (npm hyperdht 6, ConnectionPool) For
 * who uses the connector itself; a swarm has its own rule.
 *
 *     hf_dht_pool_new(&pool, connector, &events, context);
 *     hf_dht_pool_dial(pool, &options);                     // HF_EEXISTS: there is one, or it is being made
 *     … in the server's `connection`: if (!hf_dht_pool_accept(pool, server, socket)) return; …
 *     hf_dht_pool_find(pool, key);
 *
 * Of two connections with a peer the newer one stays, if both were begun by the same side; else the one that the smaller key began,
 * which both sides come to. The other one ends with HF_EEXISTS. Sockets are their owners' as ever: the pool only observes them.
 */
#ifndef HF_PEER_CONNECTION_POOL_H
#define HF_PEER_CONNECTION_POOL_H

#include "peer/connector.h"

#define HF_DHT_POOL_COUNT_MAX 65536u

struct hf_dht_pool;

/* One that is open, and the only one with its peer. */
typedef void (*hf_dht_pool_opened)(void *context, struct hf_peer_socket *socket);

/* opened may be NULL. HF_ENOMEM. */
HF_API int hf_dht_pool_new(struct hf_dht_pool **out, struct hf_dht_connector *connector, hf_dht_pool_opened opened, void *context);
/* Its dials are cancelled; sockets stay. Before the connector; NULL is fine. */
HF_API void hf_dht_pool_free(struct hf_dht_pool *pool);
/* As hf_dht_dial, and the events of the options come as from it; a dial that gives way to the peer's own fails with HF_EEXISTS.
 * HF_EEXISTS: the peer is connected, or being so; HF_EBUSY: HF_DHT_POOL_COUNT_MAX; errors of hf_dht_dial. */
HF_API int hf_dht_pool_dial(struct hf_dht_pool *pool, const struct hf_dht_dial_options *options);
/* Of a socket from the server's `connection`. False: it was one too many, and is freed. */
HF_API bool hf_dht_pool_accept(struct hf_dht_pool *pool, const struct hf_dht_server *server, struct hf_peer_socket *socket);
/* The socket with that peer, open or about to be; NULL: there is none, or none yet. */
HF_API struct hf_peer_socket *hf_dht_pool_find(const struct hf_dht_pool *pool, const uint8_t key[static HF_SIGN_PUBLIC_BYTES]);
HF_API size_t hf_dht_pool_count(const struct hf_dht_pool *pool); /* peers that are connected, or being so */

#endif
