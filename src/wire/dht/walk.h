/* walk: which nodes an iterative query asks next, and which are the nearest that have answered. No I/O: whoever runs it asks, and
 * tells of answers and silence. (spec: swarm, 2.8)
 *
 * Candidates are a stack: what was named last is asked first. One that is not nearer than the twenty nearest that answered is passed
 * over. At most HF_DHT_WALK_COUNT_MAX nodes are looked at, so that liars cannot keep a query going.
 */
#ifndef HF_WIRE_DHT_WALK_H
#define HF_WIRE_DHT_WALK_H

#include "base/u64_map.h"
#include "wire/dht/message.h"

#define HF_DHT_WALK_COUNT_MAX 4096u
#define HF_DHT_WALK_CONCURRENCY 10u
#define HF_DHT_WALK_SLOW_CONCURRENCY 3u      /* after a first batch of given nodes, until ten have answered */
#define HF_DHT_WALK_BACKGROUND_CONCURRENCY 2u

/* One of the nearest nodes that answered. */
struct hf_dht_closest {
	struct hf_dht_contact node;
	struct hf_address to; /* ourselves, as it sees us */
	bool has_token;
	uint8_t token[HF_DHT_TOKEN_BYTES];
};

enum hf_dht_walk_state {
	HF_DHT_WALK_GOES_ON,
	HF_DHT_WALK_WANTS_MORE, /* too few of the given nodes answered: add the table's, then go on */
	HF_DHT_WALK_FINISHED,
};

struct hf_dht_walk_node;
struct hf_dht_walk_reference;
struct hf_dht_walk {
	uint8_t target[HF_DHT_ID_BYTES], own_id[HF_DHT_ID_BYTES];
	bool only_given; /* no node is added any more */
	bool is_from_table;
	uint8_t concurrency;
	/* A node that `told` had named does not answer. May be NULL. */
	void (*down)(void *context, const struct hf_dht_contact *told, const struct hf_address *dead);
	void *context;
	struct hf_dht_closest closest[HF_DHT_K];
	size_t closest_count;
	uint32_t asked, answered, failed, hops;
	/* Ours. */
	struct hf_dht_walk_node *nodes;
	struct hf_dht_walk_reference *references;
	uint32_t *pending;
	size_t node_count, node_capacity, reference_count, reference_capacity, pending_count, pending_capacity;
	struct hf_u64_map by_address;
	uint32_t inflight, slow;
	bool is_slowed, is_started;
};

HF_API void hf_dht_walk_init(
	struct hf_dht_walk *walk, const uint8_t target[static HF_DHT_ID_BYTES], const uint8_t own_id[static HF_DHT_ID_BYTES]);
HF_API void hf_dht_walk_free(struct hf_dht_walk *walk);
/* A node to ask, from the caller; the one added last is asked first. HF_OK also when it is known or not near enough. HF_ENOMEM. */
HF_API int hf_dht_walk_add(struct hf_dht_walk *walk, const struct hf_dht_contact *contact);
/* How many more the caller should add at the start. */
HF_API size_t hf_dht_walk_room(const struct hf_dht_walk *walk);
/* The next to ask now, by its number, which `answered` and the others take; false: not now. */
HF_API bool hf_dht_walk_next(struct hf_dht_walk *walk, uint32_t *number, struct hf_dht_contact *contact);
/* After next gave false. */
HF_API enum hf_dht_walk_state hf_dht_walk_state(const struct hf_dht_walk *walk);
/* message is a reply that came from `from`; id is its own when that was checked, else NULL. HF_ENOMEM: some that it names are forgotten. */
HF_API int hf_dht_walk_answered(struct hf_dht_walk *walk, uint32_t number, const struct hf_address *from, const uint8_t *id,
	const struct hf_dht_message *message);
HF_API void hf_dht_walk_slow(struct hf_dht_walk *walk, uint32_t number);   /* no answer in the time of the first transmission */
HF_API void hf_dht_walk_failed(struct hf_dht_walk *walk, uint32_t number, bool timed_out);
/* What has become of the nodes that a node, number below node_count, has named: so many answered, so many did not. Returns its address. */
HF_API const struct hf_address *hf_dht_walk_named(const struct hf_dht_walk *walk, size_t number, unsigned *alive, unsigned *dead);

#endif
