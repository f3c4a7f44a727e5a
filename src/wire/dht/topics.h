/* topics: which peers are at which topics, newest record of each, in two generations as in cache.h; a topic's peers are given by chance.
 * (npm record-cache)
 */
#ifndef HF_WIRE_DHT_TOPICS_H
#define HF_WIRE_DHT_TOPICS_H

#include "base/map.h"
#include "wire/dht/record.h"

/* One generation. */
struct hf_dht_topic_set {
	struct hf_map records; /* by topic and key: struct hf_dht_topic_record */
	struct hf_map topics;  /* by topic: struct hf_dht_topic */
};
struct hf_dht_topics {
	struct hf_dht_topic_set young, old;
	uint64_t life_ms, turned_ms, evicted;
	size_t count_max;
};

void hf_dht_topics_init(struct hf_dht_topics *topics, size_t count_max, uint64_t life_ms, uint64_t seed, uint64_t now_ms);
void hf_dht_topics_free(struct hf_dht_topics *topics);
static inline size_t hf_dht_topics_count(const struct hf_dht_topics *topics)
{
	return topics->young.records.count + topics->old.records.count;
}
/* Adds or renews; bytes: at most HF_DHT_PEER_BYTES_MAX. HF_ENOMEM changes nothing. */
int hf_dht_topics_put(struct hf_dht_topics *topics, const uint8_t topic[static HF_DHT_ID_BYTES],
	const uint8_t public_key[static HF_SIGN_PUBLIC_BYTES], struct hf_slice bytes);
void hf_dht_topics_remove(struct hf_dht_topics *topics, const uint8_t topic[static HF_DHT_ID_BYTES],
	const uint8_t public_key[static HF_SIGN_PUBLIC_BYTES]);
/* Appends the bytes of up to count_max peers, by a random number; *count is how many. HF_ENOMEM. */
int hf_dht_topics_sample(const struct hf_dht_topics *topics, const uint8_t topic[static HF_DHT_ID_BYTES], uint64_t random,
	size_t count_max, struct hf_buffer *out, size_t *count);
void hf_dht_topics_tick(struct hf_dht_topics *topics, uint64_t now_ms);

#endif
