/* routing: the nodes that a node knows, in rows by how many leading bits their ids share with its own. (spec: swarm, 2.7)
 *
 * A row holds HF_DHT_K nodes, sorted by id. When it is full, a new node does not come in unless an old one goes, which is its owner's to
 * decide. Beside the rows, nodes are in the order in which they were heard last. Time is counted in ticks of the owner.
 */
#ifndef HF_WIRE_DHT_ROUTING_H
#define HF_WIRE_DHT_ROUTING_H

#include "wire/dht/message.h"

#define HF_DHT_ROW_COUNT 256u

struct hf_dht_entry {
	struct hf_dht_contact contact;
	uint32_t sampled_tick; /* it told us our address; 0: never */
	uint32_t added_tick;
	uint32_t pinged_tick;  /* we dealt with it last */
	uint32_t seen_tick;    /* we heard from it last */
	uint32_t down_hints;   /* others said that it is dead */
	struct hf_dht_entry *older, *newer;
};
struct hf_dht_row {
	uint8_t count;
	struct hf_dht_entry *entries[HF_DHT_K];
};
struct hf_dht_table {
	uint8_t id[HF_DHT_ID_BYTES];
	struct hf_dht_row **rows; /* row_count of them; NULL: empty */
	size_t row_count, row_capacity, count;
	struct hf_dht_entry *oldest, *latest;
};

void hf_dht_table_init(struct hf_dht_table *table, const uint8_t id[static HF_DHT_ID_BYTES]);
void hf_dht_table_free(struct hf_dht_table *table);
/* Leading bits in common with the table's own id, at most 255. */
unsigned hf_dht_table_row_of(const struct hf_dht_table *table, const uint8_t id[static HF_DHT_ID_BYTES]);
struct hf_dht_entry *hf_dht_table_get(const struct hf_dht_table *table, const uint8_t id[static HF_DHT_ID_BYTES]);
/* HF_OK; HF_EEXISTS (there already, or our own id), HF_EBUSY (its row is full), HF_ENOMEM. *entry (may be NULL) is the new one. */
int hf_dht_table_add(
	struct hf_dht_table *table, const struct hf_dht_contact *contact, uint32_t tick, struct hf_dht_entry **entry);
void hf_dht_table_remove(struct hf_dht_table *table, struct hf_dht_entry *entry); /* frees it */
void hf_dht_table_heard(struct hf_dht_table *table, struct hf_dht_entry *entry);  /* it is the latest now */
/* The row that an id belongs to; NULL when it is empty. */
const struct hf_dht_row *hf_dht_table_row(const struct hf_dht_table *table, const uint8_t id[static HF_DHT_ID_BYTES]);
/* Up to count_max nodes for a target: of its row, the rows before it downwards, then those behind it upwards. Not sorted. */
size_t hf_dht_table_closest(const struct hf_dht_table *table, const uint8_t target[static HF_DHT_ID_BYTES],
	const struct hf_dht_entry **out, size_t count_max);
/* One of all, by a random number; NULL when there is none. */
struct hf_dht_entry *hf_dht_table_pick(const struct hf_dht_table *table, uint64_t random);
/* Goes over to another id; what does not fit any more is dropped. */
int hf_dht_table_rekey(struct hf_dht_table *table, const uint8_t id[static HF_DHT_ID_BYTES]);

#endif
