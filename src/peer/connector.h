/* connector: connections to peers by their public key, through HyperDHT: dialling, and servers that can be dialled. (spec: swarm, 4; npm
 * hyperdht 6)
 *
 *     hf_dht_connector_new(&connector, {.node, .loop}, &failure);
 *     hf_dht_dial(&dial, connector, {.public_key, .secret_key, .socket = {… events …}, .events = …});
 *     hf_dht_server_listen(&server, connector, {.secret_key, .socket = {…}, .events = …}, &failure);
 *     …
 *     hf_dht_server_free, hf_dht_dial_cancel, sockets closed or freed
 *     hf_dht_connector_free(connector);
 *
 * What comes of either is a struct hf_peer_socket over UDX: its events and context are those of the options, as over TCP, so that a
 * core_host takes it as it is. Whoever stands between (a swarm) sees each socket in `connected` and `connection`, before it is opened,
 * and may observe it there (hf_peer_socket_observe), fail it, or free it.
 *
 * A dial asks nodes that know the peer to pass a handshake on, and then takes the first way that works: directly, when one side can be
 * reached; over the local network; by punching a hole through both NATs; through a blind relay that one side has named, which is left
 * again when a direct way is found later. A server is announced at the three nodes nearest to the hash of its key, which know the way to
 * it, and stays so.
 *
 * Streams of one's own beside a connection, unencrypted, are UDX streams (wire/udx/udx.h) of the same session: both sides make one
 * (hf_udx_stream_new on hf_udx_net_session(hf_dht_node_net(node))), tell each other their ids over the connection, and connect them by its
 * way: hf_udx_stream_path(hf_peer_socket_udx_stream(socket)). They end with ECLOSED when the connection's own socket goes.
 *
 * Everything belongs to the node's loop. Calls start things; callbacks come from the loop, never from inside the call that started it. In
 * any callback anything may be started, cancelled and freed.
 */
#ifndef HF_PEER_CONNECTOR_H
#define HF_PEER_CONNECTOR_H

#include "net/peer_udx.h"
#include "peer/dht_node.h"

#define HF_DHT_DIAL_RELAYS_MAX 8u            /* of a hint; three is what servers have */
#define HF_DHT_DIAL_COUNT_MAX 4096u          /* that are under way, of one connector */
#define HF_DHT_SERVER_RELAYS_MAX 3u
#define HF_DHT_SERVER_HANDSHAKE_COUNT_MAX 1024u /* that a server keeps, those that are over for 10 s included; more are ignored */
#define HF_DHT_SERVER_HANDSHAKES_PER_HOST_MAX 64u
#define HF_DHT_PASSIVE_TIMEOUT_MS 10000u     /* for a peer that has to reach us */
#define HF_DHT_HANDSHAKE_CLEAR_MS 10000u
#define HF_DHT_RELAY_PAIR_TIMEOUT_MS 15000u
#define HF_DHT_RELAY_CACHE_COUNT 512u        /* keys whose relay nodes are remembered */
#define HF_DHT_RANDOM_PUNCH_GAP_MS 20000u    /* between two punches through a NAT with random ports */

struct hf_dht_connector;
struct hf_dht_dial;
struct hf_dht_server;

/* ---- The connector ---- */

struct hf_dht_connector_options {
	size_t size; /* sizeof this struct */
	struct hf_dht_node *node; /* outlives the connector */
	struct hf_loop *loop;     /* of the node; NULL in a simulated network: secret_stream_pool is given then */
	struct hf_secret_stream_pool *secret_stream_pool;
	const struct hf_address *local_addresses; /* instead of those of the system's interfaces; copied; ports are ours */
	size_t local_address_count;
	uint32_t random_punch_gap_ms; /* 0: HF_DHT_RANDOM_PUNCH_GAP_MS */
};
HF_API int hf_dht_connector_new(
	struct hf_dht_connector **out, const struct hf_dht_connector_options *options, struct hf_failure *failure);
/* Dials are cancelled, servers freed. Its sockets (hf_peer_socket) were closed and freed before, and what they had to send is dropped.
 * NULL is fine. */
HF_API void hf_dht_connector_free(struct hf_dht_connector *connector);
HF_API struct hf_dht_node *hf_dht_connector_node(const struct hf_dht_connector *connector);

struct hf_dht_connector_stats {
	uint64_t dials, dials_connected, dials_failed; /* of all so far */
	uint64_t handshakes, handshakes_refused;       /* of servers: first ones; those ignored for a bound or by firewall */
	uint64_t handshakes_repeated, handshakes_forged; /* answered as before; not from who they say */
	uint64_t connections;
	/* By the way they took at first, dialled or accepted. */
	uint64_t ways_open, ways_local, ways_punched, ways_relayed;
	uint64_t upgrades;                             /* relayed at first, direct later */
	uint64_t punches_consistent, punches_random, punches_later, punches_failed;
	size_t dial_count, server_count, handshake_count, socket_count; /* now; sockets: those of punches */
};
HF_API void hf_dht_connector_read_stats(const struct hf_dht_connector *connector, struct hf_dht_connector_stats *stats);

/* ---- Dialling ---- */

/* As the package names them: hf_dht_connect_error_name gives "PEER_NOT_FOUND". */
enum hf_dht_connect_error {
	HF_DHT_PEER_NOT_FOUND = 1,
	HF_DHT_PEER_CONNECTION_FAILED,
	HF_DHT_SERVER_INCOMPATIBLE,
	HF_DHT_SERVER_ERROR,
	HF_DHT_CANNOT_HOLEPUNCH,
	HF_DHT_HOLEPUNCH_ABORTED,
	HF_DHT_HOLEPUNCH_INVALID,
	HF_DHT_HOLEPUNCH_PROBE_TIMEOUT,
	HF_DHT_HOLEPUNCH_DOUBLE_RANDOMIZED_NATS,
	HF_DHT_REMOTE_ABORTED,
	HF_DHT_REMOTE_NOT_HOLEPUNCHING,
	HF_DHT_REMOTE_NOT_HOLEPUNCHABLE,
	HF_DHT_RELAY_ABORTED,
	HF_DHT_SUSPENDED,
	HF_DHT_CONNECT_ERROR_END, /* not one */
};
HF_API const char *hf_dht_connect_error_name(enum hf_dht_connect_error error);

struct hf_dht_dial_failure {
	int code; /* HF_ENOTFOUND, HF_ETIMEOUT, HF_EDENIED, HF_EVERSION, HF_EADDR (no way leads there), HF_ECANCELED, HF_ENOMEM */
	enum hf_dht_connect_error error; /* 0: none of the package's */
	const char *why;                 /* one sentence */
};
/* One of the two comes, once, and the dial is gone when it returns. */
struct hf_dht_dial_events {
	/* The way is there; the socket lives on by itself and opens when the remote has spoken. */
	void (*connected)(void *context, struct hf_dht_dial *dial, struct hf_peer_socket *socket);
	void (*failed)(void *context, struct hf_dht_dial *dial, const struct hf_dht_dial_failure *failure);
};
struct hf_dht_dial_options {
	size_t size; /* sizeof this struct */
	const uint8_t *public_key;   /* whom: HF_SIGN_PUBLIC_BYTES; copied */
	const uint8_t *secret_key;   /* who we are to it: HF_SIGN_SECRET_BYTES; copied */
	const struct hf_address *relays; /* nodes that may know the way, asked first; copied */
	size_t relay_count;
	const uint8_t *relay_through; /* public key of a blind relay to fall back on; copied; NULL: none, unless the server names one */
	bool no_local;                /* does not try addresses of the local network */
	bool reusable_socket;         /* asks the other side to keep the way open for a while after the end */
	/* loop, observer, events and context are used, limits, times and pool as far as set; static_secret is not. */
	struct hf_peer_socket_options socket;
	const struct hf_dht_dial_events *events;
	void *context;
};
/* HF_EINVAL, HF_EBUSY (HF_DHT_DIAL_COUNT_MAX), HF_ECANCELED (the node is suspended), HF_ENOMEM: no event comes. */
HF_API int hf_dht_dial(struct hf_dht_dial **out, struct hf_dht_connector *connector, const struct hf_dht_dial_options *options);
HF_API void hf_dht_dial_cancel(struct hf_dht_dial *dial); /* no event comes; NULL is fine */
HF_API const uint8_t *hf_dht_dial_public_key(const struct hf_dht_dial *dial);

/* ---- Servers ---- */

/* Two sides that are about to punch a hole: what NATs they are behind, and where. */
struct hf_dht_punch_sides {
	uint64_t remote_firewall, own_firewall; /* enum hf_dht_firewall */
	const struct hf_dht_addresses *remote, *own;
};
struct hf_dht_server_events {
	/* True: ignores who knocks, without a word. NULL: all are welcome. The key is proved only once the socket opens. */
	bool (*firewall)(void *context, struct hf_dht_server *server, const uint8_t remote_key[static HF_SIGN_PUBLIC_BYTES],
		const struct hf_address *from);
	/* False: no hole is punched for this client, who is told so. NULL: all that ask for one get it. The server is not freed in it. */
	bool (*holepunch)(void *context, struct hf_dht_server *server, const struct hf_dht_punch_sides *sides);
	/* A socket, before it is opened: its remote key is known (hf_peer_socket_remote_key), and proved when it opens. May be NULL. */
	void (*connection)(void *context, struct hf_dht_server *server, struct hf_peer_socket *socket);
	/* The first announce is done: at `relay_count` nodes, or at none. Again after resume. May be NULL. */
	void (*listening)(void *context, struct hf_dht_server *server, size_t relay_count);
	/* hf_dht_server_close is done, unannounced; the server is gone when it returns. Needed for that call. */
	void (*closed)(void *context, struct hf_dht_server *server);
};
struct hf_dht_server_options {
	size_t size; /* sizeof this struct */
	const uint8_t *secret_key;    /* HF_SIGN_SECRET_BYTES; copied */
	const uint8_t *relay_through; /* public key of a blind relay to name to those who dial; copied; NULL: none */
	bool no_local;                /* does not tell addresses of the local network */
	bool no_punch;                /* waits for the client instead */
	bool reusable_socket;
	struct hf_peer_socket_options socket; /* of each connection; as of a dial, without observer */
	const struct hf_dht_server_events *events;
	void *context;
};
/* It can be dialled as soon as it is announced: `listening`. HF_EINVAL, HF_EEXISTS (the key listens already), HF_ENOMEM. */
HF_API int hf_dht_server_listen(struct hf_dht_server **out, struct hf_dht_connector *connector,
	const struct hf_dht_server_options *options, struct hf_failure *failure);
/* Handshakes that have not led to a connection are forgotten; connections stay. close unannounces, which takes a round trip or a few
 * seconds, and calls `closed`; free does not. NULL is fine. */
HF_API void hf_dht_server_close(struct hf_dht_server *server);
HF_API void hf_dht_server_free(struct hf_dht_server *server);
/* Unannounces and answers nobody, until resume, which announces again. */
HF_API void hf_dht_server_suspend(struct hf_dht_server *server);
HF_API void hf_dht_server_resume(struct hf_dht_server *server);
HF_API void hf_dht_server_refresh(struct hf_dht_server *server); /* announces again, soon */
HF_API bool hf_dht_server_is_listening(const struct hf_dht_server *server); /* was announced */
HF_API const uint8_t *hf_dht_server_public_key(const struct hf_dht_server *server);
/* Nodes through which it is reached, and its own address first when it can be reached directly: for announces of topics. */
HF_API size_t hf_dht_server_relays(const struct hf_dht_server *server, struct hf_address out[static HF_DHT_SERVER_RELAYS_MAX]);

#endif
