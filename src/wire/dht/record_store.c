#include "wire/dht/record_store.h"

#include <stdlib.h>

#include "crypto/hash.h"
#include "wire/dht/topics.h"

/* A route is kept as where its announce came from and the peer's record; a refresh as the target, whether it is a route, and the record. */
#define ROUTE_HEAD_BYTES HF_DHT_ADDRESS_BYTES
#define REFRESH_HEAD_BYTES (HF_DHT_ID_BYTES + 1)

struct hf_dht_record_store {
	struct hf_env *env;
	struct hf_dht_topics topics;
	struct hf_dht_cache routes, bumps, refreshes, mutables, immutables;
};

int hf_dht_record_store_new(struct hf_dht_record_store **out, size_t count_max, struct hf_env *env)
{
	struct hf_dht_record_store *store = calloc(1, sizeof *store);
	uint64_t now_ms = hf_env_monotonic_ms(env), seed;

	*out = store;
	if (!store)
		return HF_ENOMEM;
	env->random(env, &seed, sizeof seed);
	store->env = env;
	hf_dht_topics_init(&store->topics, count_max, HF_DHT_RECORD_LIFE_MS, seed, now_ms);
	hf_dht_cache_init(&store->routes, count_max, HF_DHT_RECORD_LIFE_MS, seed, now_ms);
	hf_dht_cache_init(&store->bumps, count_max, HF_DHT_RECORD_LIFE_MS, seed, now_ms);
	hf_dht_cache_init(&store->refreshes, count_max, HF_DHT_RECORD_LIFE_MS, seed, now_ms);
	hf_dht_cache_init(&store->mutables, (count_max + 1) / 2, HF_DHT_VALUE_LIFE_MS, seed, now_ms);
	hf_dht_cache_init(&store->immutables, (count_max + 1) / 2, HF_DHT_VALUE_LIFE_MS, seed, now_ms);
	return HF_OK;
}

void hf_dht_record_store_free(struct hf_dht_record_store *store)
{
	if (!store)
		return;
	hf_dht_topics_free(&store->topics);
	hf_dht_cache_free(&store->routes);
	hf_dht_cache_free(&store->bumps);
	hf_dht_cache_free(&store->refreshes);
	hf_dht_cache_free(&store->mutables);
	hf_dht_cache_free(&store->immutables);
	free(store);
}

void hf_dht_record_store_tick(struct hf_dht_record_store *store)
{
	uint64_t now_ms = hf_env_monotonic_ms(store->env);

	hf_dht_topics_tick(&store->topics, now_ms);
	hf_dht_cache_tick(&store->routes, now_ms);
	hf_dht_cache_tick(&store->bumps, now_ms);
	hf_dht_cache_tick(&store->refreshes, now_ms);
	hf_dht_cache_tick(&store->mutables, now_ms);
	hf_dht_cache_tick(&store->immutables, now_ms);
}

static bool is_hash_of(const uint8_t *target, const void *data, size_t length)
{
	uint8_t hash[HF_DHT_ID_BYTES];

	hf_blake2b(hash, sizeof hash, (struct hf_slice){0}, hf_slice(data, length));
	return memcmp(hash, target, sizeof hash) == 0;
}

/* ---- Announces ---- */

struct record {
	size_t length;
	uint8_t bytes[HF_DHT_PEER_BYTES_MAX];
};

/* The peer with its first few relays. */
static void make_record(struct record *record, const struct hf_dht_peer *peer)
{
	size_t count = hf_dht_closer_count(peer->relays);

	count = count < HF_DHT_RECORD_RELAYS_MAX ? count : HF_DHT_RECORD_RELAYS_MAX;
	memcpy(record->bytes, peer->public_key, HF_SIGN_PUBLIC_BYTES);
	record->bytes[HF_SIGN_PUBLIC_BYTES] = (uint8_t)count;
	if (count > 0)
		memcpy(record->bytes + HF_SIGN_PUBLIC_BYTES + 1, peer->relays.data, count * HF_DHT_ADDRESS_BYTES);
	record->length = HF_SIGN_PUBLIC_BYTES + 1 + count * HF_DHT_ADDRESS_BYTES;
}

static int put_route(
	struct hf_dht_record_store *store, const uint8_t *target, const struct hf_address *from, const struct record *record)
{
	uint8_t bytes[ROUTE_HEAD_BYTES + HF_DHT_PEER_BYTES_MAX];

	memcpy(bytes, hf_dht_ipv4(from), 4);
	hf_store_le16(bytes + 4, from->port);
	memcpy(bytes + ROUTE_HEAD_BYTES, record->bytes, record->length);
	hf_dht_topics_remove(&store->topics, target, record->bytes);
	return hf_dht_cache_put(&store->routes, target, hf_slice(bytes, ROUTE_HEAD_BYTES + record->length));
}

static void raise_bump(struct hf_dht_record_store *store, const uint8_t *target, uint64_t bump)
{
	struct hf_slice current = hf_dht_cache_get(&store->bumps, target);
	uint8_t bytes[8];

	if (bump <= (current.data ? hf_load_le64(current.data) : 0) || bump > hf_env_wall_ms(store->env) + HF_DHT_BUMP_DRIFT_MS)
		return;
	hf_store_le64(bytes, bump);
	hf_dht_cache_put(&store->bumps, target, hf_slice(bytes, sizeof bytes));
}

static int put_refresh(
	struct hf_dht_record_store *store, const uint8_t *key, const uint8_t *target, bool is_route, const struct record *record)
{
	uint8_t bytes[REFRESH_HEAD_BYTES + HF_DHT_PEER_BYTES_MAX];

	memcpy(bytes, target, HF_DHT_ID_BYTES);
	bytes[HF_DHT_ID_BYTES] = is_route;
	memcpy(bytes + REFRESH_HEAD_BYTES, record->bytes, record->length);
	return hf_dht_cache_put(&store->refreshes, key, hf_slice(bytes, REFRESH_HEAD_BYTES + record->length));
}

/* An announce anew without a signature: who shows what the last announce was a hash of may renew it. */
static int refresh(struct hf_dht_record_store *store, const struct hf_dht_store_request *request, const uint8_t *preimage)
{
	uint8_t key[HF_DHT_ID_BYTES], target[HF_DHT_ID_BYTES];
	struct record record;
	int r;

	hf_blake2b(key, sizeof key, (struct hf_slice){0}, hf_slice(preimage, 32));
	struct hf_slice kept = hf_dht_cache_get(&store->refreshes, key);
	if (!kept.data)
		return HF_ENOTFOUND;
	bool is_route = kept.data[HF_DHT_ID_BYTES];
	memcpy(target, kept.data, sizeof target);
	record.length = kept.length - REFRESH_HEAD_BYTES;
	memcpy(record.bytes, kept.data + REFRESH_HEAD_BYTES, record.length);
	if (is_route)
		r = put_route(store, target, request->from, &record);
	else
		r = hf_dht_topics_put(&store->topics, target, record.bytes, hf_slice(record.bytes, record.length));
	hf_dht_cache_remove(&store->refreshes, key);
	return r < 0 ? r : put_refresh(store, preimage, target, is_route, &record);
}

static int check(const struct hf_dht_store_request *request, enum hf_dht_command command, const struct hf_dht_announce *announce)
{
	uint8_t signable[HF_DHT_SIGNABLE_BYTES];

	if (!announce->has_peer || !announce->signature)
		return HF_EMALFORMED;
	hf_dht_announce_signable(signable, command, request->target, request->id, request->token, announce->peer.bytes,
		announce->refresh);
	return hf_verify(announce->signature, hf_slice(signable, sizeof signable), announce->peer.public_key);
}

int hf_dht_record_store_announce(struct hf_dht_record_store *store, const struct hf_dht_store_request *request)
{
	struct hf_dht_announce announce;
	struct record record;
	int r = hf_dht_announce_read(request->value, &announce);

	if (r < 0)
		return r;
	if (!announce.has_peer && announce.refresh)
		return refresh(store, request, announce.refresh);
	r = check(request, HF_DHT_ANNOUNCE, &announce);
	if (r < 0)
		return r;
	make_record(&record, &announce.peer);
	bool is_route = is_hash_of(request->target, record.bytes, HF_SIGN_PUBLIC_BYTES);
	if (is_route) {
		r = put_route(store, request->target, request->from, &record);
	} else {
		raise_bump(store, request->target, announce.bump);
		r = hf_dht_topics_put(&store->topics, request->target, record.bytes, hf_slice(record.bytes, record.length));
	}
	if (r == HF_OK && announce.refresh)
		r = put_refresh(store, announce.refresh, request->target, is_route, &record);
	return r;
}

void hf_dht_record_store_remove(
	struct hf_dht_record_store *store, const uint8_t target[static HF_DHT_ID_BYTES], const uint8_t public_key[static HF_SIGN_PUBLIC_BYTES])
{
	if (is_hash_of(target, public_key, HF_SIGN_PUBLIC_BYTES))
		hf_dht_cache_remove(&store->routes, target);
	hf_dht_topics_remove(&store->topics, target, public_key);
}

int hf_dht_record_store_unannounce(struct hf_dht_record_store *store, const struct hf_dht_store_request *request)
{
	struct hf_dht_announce announce;
	int r = hf_dht_announce_read(request->value, &announce);

	if (r == HF_OK)
		r = check(request, HF_DHT_UNANNOUNCE, &announce);
	if (r == HF_OK)
		hf_dht_record_store_remove(store, request->target, announce.peer.public_key);
	return r;
}

/* ---- Lookups ---- */

struct hf_slice hf_dht_record_store_route(
	struct hf_dht_record_store *store, const uint8_t target[static HF_DHT_ID_BYTES], struct hf_address *relay)
{
	struct hf_slice route = hf_dht_cache_get(&store->routes, target);

	if (!route.data)
		return route;
	*relay = hf_dht_closer_at(route, 0);
	return hf_slice(route.data + ROUTE_HEAD_BYTES, route.length - ROUTE_HEAD_BYTES);
}

int hf_dht_record_store_lookup(struct hf_dht_record_store *store, const uint8_t target[static HF_DHT_ID_BYTES], struct hf_buffer *out)
{
	struct hf_buffer records = {0};
	struct hf_address relay;
	size_t count;
	uint64_t random;

	store->env->random(store->env, &random, sizeof random);
	int r = hf_dht_topics_sample(&store->topics, target, random, HF_DHT_K, &records, &count);
	struct hf_slice route = hf_dht_record_store_route(store, target, &relay);
	if (r == HF_OK && route.data && count < HF_DHT_K) {
		r = hf_buffer_append(&records, route.data, route.length);
		count++;
	}
	if (r == HF_OK && count == 0)
		r = HF_ENOTFOUND;
	if (r == HF_OK) {
		struct hf_slice bump = hf_dht_cache_get(&store->bumps, target);
		r = hf_dht_lookup_reply_write(hf_buffer_slice(&records), count, bump.data ? hf_load_le64(bump.data) : 0, out);
	}
	hf_buffer_free(&records);
	return r;
}

/* ---- Values ---- */

int hf_dht_record_store_put_mutable(
	struct hf_dht_record_store *store, const uint8_t target[static HF_DHT_ID_BYTES], struct hf_slice value, uint64_t *error)
{
	uint8_t signable[HF_DHT_SIGNABLE_BYTES];
	struct hf_dht_mutable put, kept;
	int r = hf_dht_mutable_put_read(value, &put);

	if (r < 0)
		return r;
	if (!is_hash_of(target, put.public_key, HF_SIGN_PUBLIC_BYTES))
		return HF_EBADSIG;
	hf_dht_mutable_signable(signable, put.seq, put.value);
	r = hf_verify(put.signature, hf_slice(signable, sizeof signable), put.public_key);
	if (r < 0)
		return r;
	struct hf_slice bytes = hf_dht_cache_get(&store->mutables, target);
	if (bytes.data && hf_dht_mutable_read(bytes, &kept) == HF_OK) {
		*error = put.seq < kept.seq ? HF_DHT_SEQ_TOO_LOW
			: put.seq == kept.seq && !hf_slice_equal(put.value, kept.value) ? HF_DHT_SEQ_REUSED : HF_DHT_OK;
		if (*error != HF_DHT_OK)
			return HF_EDENIED;
	}
	struct hf_buffer out = {0};
	r = hf_dht_mutable_write(&put, &out);
	if (r == HF_OK)
		r = hf_dht_cache_put(&store->mutables, target, hf_buffer_slice(&out));
	hf_buffer_free(&out);
	return r;
}

struct hf_slice hf_dht_record_store_get_mutable(
	struct hf_dht_record_store *store, const uint8_t target[static HF_DHT_ID_BYTES], uint64_t seq_min)
{
	struct hf_slice bytes = hf_dht_cache_get(&store->mutables, target);
	struct hf_dht_mutable kept;

	if (bytes.data && hf_dht_mutable_read(bytes, &kept) == HF_OK && kept.seq >= seq_min)
		return bytes;
	return (struct hf_slice){0};
}

int hf_dht_record_store_put_immutable(
	struct hf_dht_record_store *store, const uint8_t target[static HF_DHT_ID_BYTES], struct hf_slice value)
{
	if (!is_hash_of(target, value.data, value.length))
		return HF_EBADSIG;
	return hf_dht_cache_put(&store->immutables, target, value);
}

struct hf_slice hf_dht_record_store_get_immutable(struct hf_dht_record_store *store, const uint8_t target[static HF_DHT_ID_BYTES])
{
	return hf_dht_cache_get(&store->immutables, target);
}

void hf_dht_record_store_read_figures(const struct hf_dht_record_store *store, struct hf_dht_record_store_figures *figures)
{
	const struct hf_dht_cache *caches[] = {&store->routes, &store->bumps, &store->refreshes, &store->mutables, &store->immutables};
	size_t record_bytes = 2 * HF_DHT_ID_BYTES + HF_DHT_PEER_BYTES_MAX;

	*figures = (struct hf_dht_record_store_figures){
		.records = hf_dht_topics_count(&store->topics),
		.routes = hf_dht_cache_count(&store->routes),
		.mutables = hf_dht_cache_count(&store->mutables),
		.immutables = hf_dht_cache_count(&store->immutables),
		.evicted = store->topics.evicted,
	};
	figures->bytes = figures->records * record_bytes;
	for (size_t i = 0; i < sizeof caches / sizeof *caches; i++) {
		figures->bytes += caches[i]->entry_bytes;
		figures->evicted += caches[i]->evicted;
	}
}
