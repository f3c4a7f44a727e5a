/* doubt: nodes that name nodes which are not there. A node that lies, or whose table is far out of date, shows it in what becomes of those
 * that it names when they are asked in turn; whoever walks through the network sees that without asking for more.
 *
 * What is remembered is bounded: of nodes whose addresses fall together the one that was judged longest ago is forgotten. Time is counted
 * in ticks of the owner.
 */
#ifndef HF_WIRE_DHT_DOUBT_H
#define HF_WIRE_DHT_DOUBT_H

#include "wire/dht/message.h"

#define HF_DHT_DOUBT_SETS 64u
#define HF_DHT_DOUBT_WAYS 4u
#define HF_DHT_DOUBT_TICKS 120u /* ten minutes after what it named last it has another chance */

struct hf_dht_doubt {
	struct hf_dht_doubt_node {
		uint64_t key; /* 0: free */
		uint16_t alive, dead;
		uint32_t tick;
	} nodes[HF_DHT_DOUBT_SETS][HF_DHT_DOUBT_WAYS];
};

/* Of the nodes that it named, so many answered and so many did not. */
void hf_dht_doubt_add(struct hf_dht_doubt *doubt, const struct hf_address *node, unsigned alive, unsigned dead, uint32_t tick);
/* It is not to be relied on. */
bool hf_dht_doubt_has(const struct hf_dht_doubt *doubt, const struct hf_address *node, uint32_t tick);

#endif
