/* dht_node_lookup: who is at a topic: looking it up, announcing and unannouncing; and where a peer is. (spec: swarm, 3 and 4.5)
 *
 * Embedded like a query; see dht_node.h.
 */
#ifndef HF_PEER_DHT_NODE_LOOKUP_H
#define HF_PEER_DHT_NODE_LOOKUP_H

#include "peer/dht_node_query.h"
#include "wire/dht/record.h"

enum hf_dht_lookup_kind {
	HF_DHT_LOOK_UP,    /* who is at the topic */
	HF_DHT_ADD,        /* look up, and announce our key there */
	HF_DHT_REMOVE,     /* look up, and take our key away from wherever it is */
	HF_DHT_FIND,       /* target is the hash of a key: where that peer is announced */
};

struct hf_dht_lookup;
struct hf_dht_lookup_clearing;

struct hf_dht_lookup {
	/* Given before the start. */
	enum hf_dht_lookup_kind kind;
	uint8_t target[HF_DHT_ID_BYTES];
	const uint8_t *secret_key;          /* of ADD and REMOVE: HF_SIGN_SECRET_BYTES, borrowed until done */
	struct hf_address relays[HF_DHT_RECORD_RELAYS_MAX]; /* of ADD: the nodes that our server is announced at */
	size_t relay_count;
	uint64_t bump;                      /* of ADD; 0: none */
	bool clear;                         /* of ADD: first away from where it is already, as the first announce after a start does */
	bool only_closest, force;           /* as in a query */
	const struct hf_dht_contact *start; /* as in a query */
	size_t start_count;
	/* Peers that one node knows of at the topic; of FIND the one peer. All borrowed; at most HF_DHT_LOOKUP_PEERS_MAX of a reply. May be
	 * NULL. */
	void (*peers)(struct hf_dht_lookup *lookup, const struct hf_dht_reply *reply, const struct hf_dht_peer *peers, size_t count);
	/* As hf_dht_query's; of ADD one announce that was accepted is enough for HF_OK. */
	void (*done)(struct hf_dht_lookup *lookup, int code);
	/* Results, good from done on. */
	struct hf_dht_contact closest[HF_DHT_K]; /* to start the next one with */
	size_t closest_count;
	uint64_t bump_seen; /* the greatest that was heard */
	/* Ours. */
	struct hf_dht_node *node;
	struct hf_dht_query query;
	struct hf_dht_lookup_clearing *clearings;
	bool is_found_out; /* the query is done, clearing is not */
	int code;
};

/* HF_EINVAL (no key), and as hf_dht_query_start. */
HF_API int hf_dht_lookup_start(struct hf_dht_node *node, struct hf_dht_lookup *lookup);
HF_API void hf_dht_lookup_cancel(struct hf_dht_lookup *lookup); /* done is not called; not under way is fine */
static inline bool hf_dht_lookup_is_active(const struct hf_dht_lookup *lookup)
{
	return lookup->query.run != NULL || lookup->clearings != NULL;
}

/* One ANNOUNCE, or UNANNOUNCE, to a node that gave us a token; for announcers. request is as in dht_node.h with to, done and what is wanted
 * of the rest set; command, target, token and value are set here. Errors as hf_dht_request_start. */
HF_API int hf_dht_announce_at(struct hf_dht_node *node, struct hf_dht_request *request, bool remove,
	const uint8_t target[static HF_DHT_ID_BYTES], const uint8_t id[static HF_DHT_ID_BYTES], const uint8_t token[static HF_DHT_TOKEN_BYTES],
	const uint8_t secret_key[static HF_SIGN_SECRET_BYTES], const struct hf_address *relays, size_t relay_count);

#endif
