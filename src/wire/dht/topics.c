#include "wire/dht/topics.h"

#include <stdlib.h>

#include "base/array.h"

#define KEY_BYTES (HF_DHT_ID_BYTES + HF_SIGN_PUBLIC_BYTES)

struct hf_dht_topic_record {
	uint8_t key[KEY_BYTES]; /* topic and public key */
	uint32_t place;         /* in its topic */
	uint8_t length;
	uint8_t bytes[HF_DHT_PEER_BYTES_MAX];
};
struct hf_dht_topic {
	uint8_t id[HF_DHT_ID_BYTES];
	struct hf_dht_topic_record **records;
	size_t count, capacity;
};

/* ---- One generation ---- */

static struct hf_dht_topic *find_topic(const struct hf_dht_topic_set *set, const uint8_t *id)
{
	return hf_map_get(&set->topics, hf_slice(id, HF_DHT_ID_BYTES));
}

static struct hf_dht_topic *make_topic(struct hf_dht_topic_set *set, const uint8_t *id)
{
	struct hf_dht_topic *topic = find_topic(set, id);

	if (topic)
		return topic;
	topic = calloc(1, sizeof *topic);
	if (!topic)
		return NULL;
	memcpy(topic->id, id, HF_DHT_ID_BYTES);
	if (hf_map_put(&set->topics, hf_slice(topic->id, HF_DHT_ID_BYTES), topic, NULL) < 0) {
		free(topic);
		return NULL;
	}
	return topic;
}

static void free_topic(struct hf_dht_topic_set *set, struct hf_dht_topic *topic)
{
	hf_map_remove(&set->topics, hf_slice(topic->id, HF_DHT_ID_BYTES));
	free(topic->records);
	free(topic);
}

static void remove_record(struct hf_dht_topic_set *set, const uint8_t *key)
{
	struct hf_dht_topic_record *record = hf_map_remove(&set->records, hf_slice(key, KEY_BYTES));
	struct hf_dht_topic *topic = record ? find_topic(set, record->key) : NULL;

	if (!record)
		return;
	topic->records[record->place] = topic->records[--topic->count];
	topic->records[record->place]->place = record->place;
	if (topic->count == 0)
		free_topic(set, topic);
	free(record);
}

static int add_record(struct hf_dht_topic_set *set, const uint8_t *key, struct hf_slice bytes)
{
	struct hf_dht_topic *topic = make_topic(set, key);
	struct hf_dht_topic_record *record = topic ? calloc(1, sizeof *record) : NULL;

	if (!record || hf_array_reserve(&topic->records, &topic->capacity, topic->count + 1, sizeof *topic->records) < 0)
		goto fail;
	memcpy(record->key, key, KEY_BYTES);
	if (hf_map_put(&set->records, hf_slice(record->key, KEY_BYTES), record, NULL) < 0)
		goto fail;
	record->length = (uint8_t)bytes.length;
	memcpy(record->bytes, bytes.data, bytes.length);
	record->place = (uint32_t)topic->count;
	topic->records[topic->count++] = record;
	return HF_OK;
fail:
	if (topic && topic->count == 0)
		free_topic(set, topic);
	free(record);
	return HF_ENOMEM;
}

static void drop_set(struct hf_dht_topic_set *set)
{
	size_t cursor = 0;

	for (struct hf_dht_topic_record *record; (record = hf_map_next(&set->records, &cursor));)
		free(record);
	cursor = 0;
	for (struct hf_dht_topic *topic; (topic = hf_map_next(&set->topics, &cursor));) {
		free(topic->records);
		free(topic);
	}
	hf_map_free(&set->records);
	hf_map_free(&set->topics);
}

/* ---- Both ---- */

static void init_set(struct hf_dht_topic_set *set, uint64_t seed)
{
	hf_map_init(&set->records, seed);
	hf_map_init(&set->topics, seed);
}

void hf_dht_topics_init(struct hf_dht_topics *topics, size_t count_max, uint64_t life_ms, uint64_t seed, uint64_t now_ms)
{
	*topics = (struct hf_dht_topics){.life_ms = life_ms, .turned_ms = now_ms, .count_max = count_max};
	init_set(&topics->young, seed);
	init_set(&topics->old, seed);
}

void hf_dht_topics_free(struct hf_dht_topics *topics)
{
	drop_set(&topics->young);
	drop_set(&topics->old);
}

static void turn(struct hf_dht_topics *topics)
{
	uint64_t seed = topics->young.records.seed;

	drop_set(&topics->old);
	topics->old = topics->young;
	init_set(&topics->young, seed);
}

static void make_key(uint8_t key[static KEY_BYTES], const uint8_t *topic, const uint8_t *public_key)
{
	memcpy(key, topic, HF_DHT_ID_BYTES);
	memcpy(key + HF_DHT_ID_BYTES, public_key, HF_SIGN_PUBLIC_BYTES);
}

int hf_dht_topics_put(struct hf_dht_topics *topics, const uint8_t topic[static HF_DHT_ID_BYTES],
	const uint8_t public_key[static HF_SIGN_PUBLIC_BYTES], struct hf_slice bytes)
{
	uint8_t key[KEY_BYTES];
	struct hf_dht_topic_record *record;

	make_key(key, topic, public_key);
	record = hf_map_get(&topics->young.records, hf_slice(key, KEY_BYTES));
	if (record) {
		record->length = (uint8_t)bytes.length;
		memcpy(record->bytes, bytes.data, bytes.length);
		return HF_OK;
	}
	if (topics->young.records.count >= (topics->count_max + 1) / 2) {
		topics->evicted += topics->old.records.count;
		turn(topics);
	}
	int r = add_record(&topics->young, key, bytes);
	if (r == HF_OK)
		remove_record(&topics->old, key);
	return r;
}

void hf_dht_topics_remove(struct hf_dht_topics *topics, const uint8_t topic[static HF_DHT_ID_BYTES],
	const uint8_t public_key[static HF_SIGN_PUBLIC_BYTES])
{
	uint8_t key[KEY_BYTES];

	make_key(key, topic, public_key);
	remove_record(&topics->young, key);
	remove_record(&topics->old, key);
}

int hf_dht_topics_sample(const struct hf_dht_topics *topics, const uint8_t topic[static HF_DHT_ID_BYTES], uint64_t random,
	size_t count_max, struct hf_buffer *out, size_t *count)
{
	const struct hf_dht_topic *young = find_topic(&topics->young, topic), *old = find_topic(&topics->old, topic);
	size_t young_count = young ? young->count : 0, total = young_count + (old ? old->count : 0);
	int r = HF_OK;

	*count = total < count_max ? total : count_max;
	for (size_t i = 0; i < *count && r == HF_OK; i++) {
		size_t at = (random % total + i) % total;
		const struct hf_dht_topic_record *record = at < young_count ? young->records[at] : old->records[at - young_count];
		r = hf_buffer_append(out, record->bytes, record->length);
	}
	return r;
}

void hf_dht_topics_tick(struct hf_dht_topics *topics, uint64_t now_ms)
{
	if (now_ms - topics->turned_ms < topics->life_ms * 2 / 3)
		return;
	topics->turned_ms = now_ms;
	turn(topics);
}
