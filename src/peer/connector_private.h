/* connector_private: what dials and servers share: the sockets of punches, nodes that led to a peer before, limits. Private to peer/. */
#ifndef HF_PEER_CONNECTOR_PRIVATE_H
#define HF_PEER_CONNECTOR_PRIVATE_H

#include "base/list.h"
#include "base/map.h"
#include "peer/connector.h"
#include "wire/dht/nat.h"

#define HF_DHT_LOCAL_ADDRESSES_MAX 8u
#define HF_DHT_INTERFACES_MS 2000u /* how long what the system says of them is taken for true */
#define HF_DHT_WAYS_MAX 256u /* kept open; the oldest is forgotten */

#define HF_DHT_OWN_ADDRESS_MS 500u /* for a byte to ourselves */

/* One of this machine's; a byte is on its way to it while it has a socket. */
struct hf_dht_own_address {
	struct hf_dht_connector *connector;
	struct hf_address address;
	struct hf_udx_socket *socket;
	struct hf_timer timer;
	bool is_reached;
};

struct hf_dht_relay_memory;
struct hf_dht_kept_way;

struct hf_dht_connector {
	struct hf_dht_connector_options options;
	struct hf_dht_node *node;
	struct hf_udp_host *host;
	struct hf_dht_dial *dials;
	struct hf_dht_server *servers;
	struct hf_punch_socket *sockets;
	struct hf_path *paths;
	struct hf_map relay_memories; /* by public key */
	struct hf_dht_relay_memory *newest, *oldest;
	struct hf_dht_kept_way *ways;
	size_t way_count;
	struct hf_address local_addresses[HF_DHT_LOCAL_ADDRESSES_MAX];
	size_t local_address_count;
	struct hf_address interfaces[HF_DHT_LOCAL_ADDRESSES_MAX]; /* as of interfaces_ms */
	size_t interface_count;
	uint64_t interfaces_ms;
	struct hf_dht_own_address *own[HF_DHT_LOCAL_ADDRESSES_MAX];
	size_t own_count;
	uint64_t random_punched_ms; /* when the last one ended; 0: never */
	unsigned random_punches;    /* under way */
	struct hf_dht_connector_stats stats;
};

static inline uint64_t hf_dht_connector_now_ms(const struct hf_dht_connector *connector) { return hf_udp_now_ms(connector->host); }

/* ---- Nodes that led to a peer ---- */

/* Remembers them for the next dial. Without memory it is forgotten. */
void hf_dht_relays_remember(struct hf_dht_connector *connector, const uint8_t key[static HF_SIGN_PUBLIC_BYTES],
	const struct hf_address *relays, size_t count);
size_t hf_dht_relays_recall(struct hf_dht_connector *connector, const uint8_t key[static HF_SIGN_PUBLIC_BYTES],
	struct hf_address out[static HF_DHT_DIAL_RELAYS_MAX]);

/* ---- Ways that are kept open ---- */

/* Both sides want the way to be found again: the next dial tries it first. */
void hf_dht_way_keep(struct hf_dht_connector *connector, const uint8_t key[static HF_SIGN_PUBLIC_BYTES], const struct hf_udx_path *way);
bool hf_dht_way_recall(
	struct hf_dht_connector *connector, const uint8_t key[static HF_SIGN_PUBLIC_BYTES], struct hf_udx_path *way);
void hf_dht_way_forget(struct hf_dht_connector *connector, const uint8_t key[static HF_SIGN_PUBLIC_BYTES]);
/* All over a socket that goes; NULL: all. */
void hf_dht_way_forget_socket(struct hf_dht_connector *connector, const void *udx_socket);

/* ---- Addresses of our own ---- */

/* Those of the interfaces, with the port of the node's server socket; only loopback when it is bound to that. */
void hf_dht_local_addresses(struct hf_dht_connector *connector, struct hf_dht_addresses *out);
/* Those of them at which we reach ourselves. It is found out when an address is new, and takes a moment. */
void hf_dht_reached_addresses(struct hf_dht_connector *connector, struct hf_dht_addresses *out);
void hf_dht_local_check(struct hf_dht_connector *connector); /* begins to find it out */
void hf_dht_local_forget(struct hf_dht_connector *connector);
/* The remote's address on a network that we are on, too: the one with most leading octets alike. False: there is none. */
bool hf_dht_match_address(const struct hf_dht_addresses *ours, const struct hf_dht_addresses *theirs, struct hf_address *out);

/* ---- Limits ---- */

/* Whether a punch through random ports may begin now. */
bool hf_dht_may_punch_randomly(const struct hf_dht_connector *connector);
/* Between 10 and 20 s. */
uint32_t hf_dht_later_ms(struct hf_dht_connector *connector);
uint64_t hf_dht_random(struct hf_dht_connector *connector, uint64_t below);

#endif
