/* Of the nodes that an honest one names few are gone: those that went since it heard them last. */
#include "wire/dht/doubt.h"

#define DEAD_MIN 3u        /* before that it may be chance */
#define DEAD_FOR_ONE 2u    /* alive */
#define COUNT_MAX 64u      /* then what is old counts half */

static uint64_t key_of(const struct hf_address *address)
{
	return (uint64_t)hf_load_be32(hf_dht_ipv4(address)) << 16 | address->port;
}

static size_t set_of(uint64_t key)
{
	return key * UINT64_C(0x9e3779b97f4a7c15) >> 58;
}

static bool is_old(const struct hf_dht_doubt_node *node, uint32_t tick)
{
	return tick - node->tick > HF_DHT_DOUBT_TICKS;
}

/* That of a key, or what it may take the place of. */
static struct hf_dht_doubt_node *place_of(struct hf_dht_doubt *doubt, uint64_t key, uint32_t tick)
{
	struct hf_dht_doubt_node *set = doubt->nodes[set_of(key)], *oldest = set;

	for (unsigned i = 0; i < HF_DHT_DOUBT_WAYS; i++) {
		if (set[i].key == key)
			return &set[i];
		if (set[i].key == 0 || (oldest->key != 0 && tick - set[i].tick > tick - oldest->tick))
			oldest = &set[i];
	}
	*oldest = (struct hf_dht_doubt_node){.key = key, .tick = tick};
	return oldest;
}

void hf_dht_doubt_add(struct hf_dht_doubt *doubt, const struct hf_address *address, unsigned alive, unsigned dead, uint32_t tick)
{
	struct hf_dht_doubt_node *node = place_of(doubt, key_of(address), tick);

	if (is_old(node, tick))
		node->alive = node->dead = 0;
	while (node->alive + node->dead > COUNT_MAX) {
		node->alive /= 2;
		node->dead /= 2;
	}
	node->alive = (uint16_t)(node->alive + (alive < COUNT_MAX ? alive : COUNT_MAX));
	node->dead = (uint16_t)(node->dead + (dead < COUNT_MAX ? dead : COUNT_MAX));
	node->tick = tick;
}

bool hf_dht_doubt_has(const struct hf_dht_doubt *doubt, const struct hf_address *address, uint32_t tick)
{
	uint64_t key = key_of(address);
	const struct hf_dht_doubt_node *set = doubt->nodes[set_of(key)];

	for (unsigned i = 0; i < HF_DHT_DOUBT_WAYS; i++)
		if (set[i].key == key)
			return !is_old(&set[i], tick) && set[i].dead >= DEAD_MIN && set[i].dead > DEAD_FOR_ONE * set[i].alive;
	return false;
}
