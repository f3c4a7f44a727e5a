#include "wire/dht/record.h"

#include "crypto/hash.h"
#include "crypto/namespace.h"

enum { HAS_PEER = 1, HAS_REFRESH = 2, HAS_SIGNATURE = 4, HAS_BUMP = 8 };

/* ---- Peers and announces ---- */

static void read_peer(struct hf_compact_reader *in, struct hf_dht_peer *peer)
{
	const uint8_t *begin = in->at;
	size_t count;

	peer->public_key = hf_compact_read_fixed(in, HF_SIGN_PUBLIC_BYTES);
	count = hf_compact_read_count(in, HF_COMPACT_ARRAY_COUNT_MAX, HF_DHT_ADDRESS_BYTES);
	peer->relays = hf_slice(hf_compact_read_fixed(in, count * HF_DHT_ADDRESS_BYTES), count * HF_DHT_ADDRESS_BYTES);
	peer->bytes = hf_slice(begin, in->status == HF_OK ? (size_t)(in->at - begin) : 0);
}

int hf_dht_peer_read(struct hf_slice bytes, struct hf_dht_peer *peer)
{
	struct hf_compact_reader in = hf_compact_reader(bytes);

	read_peer(&in, peer);
	return in.status;
}

int hf_dht_peer_write(
	const uint8_t public_key[static HF_SIGN_PUBLIC_BYTES], const struct hf_address *relays, size_t relay_count, struct hf_buffer *out)
{
	struct hf_compact_writer w = hf_compact_writer(out);

	hf_compact_write_fixed(&w, public_key, HF_SIGN_PUBLIC_BYTES);
	hf_dht_write_addresses(&w, relays, relay_count);
	return w.status;
}

int hf_dht_announce_read(struct hf_slice bytes, struct hf_dht_announce *announce)
{
	struct hf_compact_reader in = hf_compact_reader(bytes);
	uint64_t flags = hf_compact_read_uint(&in);

	*announce = (struct hf_dht_announce){.has_peer = (flags & HAS_PEER) != 0};
	if (announce->has_peer)
		read_peer(&in, &announce->peer);
	if (flags & HAS_REFRESH)
		announce->refresh = hf_compact_read_fixed(&in, 32);
	if (flags & HAS_SIGNATURE)
		announce->signature = hf_compact_read_fixed(&in, HF_SIGN_SIGNATURE_BYTES);
	if (flags & HAS_BUMP)
		announce->bump = hf_compact_read_uint(&in);
	return in.status;
}

int hf_dht_announce_write(const struct hf_dht_announce *announce, struct hf_buffer *out)
{
	struct hf_compact_writer w = hf_compact_writer(out);

	hf_compact_write_uint(&w, (announce->has_peer ? HAS_PEER : 0u) | (announce->refresh ? HAS_REFRESH : 0u) |
		(announce->signature ? HAS_SIGNATURE : 0u) | (announce->bump ? HAS_BUMP : 0u));
	if (announce->has_peer)
		hf_compact_write_fixed(&w, announce->peer.bytes.data, announce->peer.bytes.length);
	if (announce->refresh)
		hf_compact_write_fixed(&w, announce->refresh, 32);
	if (announce->signature)
		hf_compact_write_fixed(&w, announce->signature, HF_SIGN_SIGNATURE_BYTES);
	if (announce->bump)
		hf_compact_write_uint(&w, announce->bump);
	return w.status;
}

/* ---- Replies to lookups ---- */

int hf_dht_lookup_reply_read(struct hf_slice bytes, struct hf_dht_lookup_reply *reply)
{
	struct hf_compact_reader in = hf_compact_reader(bytes);
	size_t count = hf_compact_read_count(&in, HF_COMPACT_ARRAY_COUNT_MAX, HF_SIGN_PUBLIC_BYTES + 1);
	struct hf_dht_peer peer;

	reply->count = 0;
	reply->bump = 0;
	for (size_t i = 0; i < count && in.status == HF_OK; i++) {
		read_peer(&in, &peer);
		if (in.status == HF_OK && reply->count < HF_DHT_LOOKUP_PEERS_MAX)
			reply->peers[reply->count++] = peer;
	}
	if (in.status == HF_OK && hf_compact_left(&in) > 0) /* nodes of old do not have it */
		reply->bump = hf_compact_read_uint(&in);
	return in.status;
}

int hf_dht_lookup_reply_write(struct hf_slice records, size_t count, uint64_t bump, struct hf_buffer *out)
{
	struct hf_compact_writer w = hf_compact_writer(out);

	hf_compact_write_uint(&w, count);
	hf_compact_write_fixed(&w, records.data, records.length);
	hf_compact_write_uint(&w, bump);
	return w.status;
}

/* ---- Mutable values ---- */

static void read_mutable(struct hf_compact_reader *in, struct hf_dht_mutable *value)
{
	value->seq = hf_compact_read_uint(in);
	value->value = hf_compact_read_buffer(in);
	value->signature = hf_compact_read_fixed(in, HF_SIGN_SIGNATURE_BYTES);
}

static void write_mutable(struct hf_compact_writer *w, const struct hf_dht_mutable *value)
{
	hf_compact_write_uint(w, value->seq);
	hf_compact_write_buffer(w, value->value);
	hf_compact_write_fixed(w, value->signature, HF_SIGN_SIGNATURE_BYTES);
}

int hf_dht_mutable_put_read(struct hf_slice bytes, struct hf_dht_mutable *put)
{
	struct hf_compact_reader in = hf_compact_reader(bytes);

	put->public_key = hf_compact_read_fixed(&in, HF_SIGN_PUBLIC_BYTES);
	read_mutable(&in, put);
	return in.status;
}

int hf_dht_mutable_read(struct hf_slice bytes, struct hf_dht_mutable *value)
{
	struct hf_compact_reader in = hf_compact_reader(bytes);

	value->public_key = NULL;
	read_mutable(&in, value);
	return in.status;
}

int hf_dht_mutable_put_write(const struct hf_dht_mutable *put, struct hf_buffer *out)
{
	struct hf_compact_writer w = hf_compact_writer(out);

	hf_compact_write_fixed(&w, put->public_key, HF_SIGN_PUBLIC_BYTES);
	write_mutable(&w, put);
	return w.status;
}

int hf_dht_mutable_write(const struct hf_dht_mutable *value, struct hf_buffer *out)
{
	struct hf_compact_writer w = hf_compact_writer(out);

	write_mutable(&w, value);
	return w.status;
}

/* ---- Signatures ---- */

void hf_dht_namespace(uint8_t out[static 32], enum hf_dht_command command)
{
	hf_namespace_derive(out, HF_SLICE_LITERAL("hyperswarm/dht"), (uint8_t)command);
}

void hf_dht_announce_signable(uint8_t out[static HF_DHT_SIGNABLE_BYTES], enum hf_dht_command command,
	const uint8_t target[static HF_DHT_ID_BYTES], const uint8_t id[static HF_DHT_ID_BYTES], const uint8_t token[static HF_DHT_TOKEN_BYTES],
	struct hf_slice peer_bytes, const uint8_t *refresh)
{
	struct hf_blake2b hash;

	hf_dht_namespace(out, command);
	hf_blake2b_init(&hash, 32, (struct hf_slice){0});
	hf_blake2b_update(&hash, target, HF_DHT_ID_BYTES);
	hf_blake2b_update(&hash, id, HF_DHT_ID_BYTES);
	hf_blake2b_update(&hash, token, HF_DHT_TOKEN_BYTES);
	hf_blake2b_update(&hash, peer_bytes.data, peer_bytes.length);
	if (refresh)
		hf_blake2b_update(&hash, refresh, 32);
	hf_blake2b_final(&hash, out + 32, 32);
}

void hf_dht_mutable_signable(uint8_t out[static HF_DHT_SIGNABLE_BYTES], uint64_t seq, struct hf_slice value)
{
	uint8_t head[2 * HF_COMPACT_UINT_BYTES_MAX];
	size_t length = hf_compact_put_uint(head, seq);
	struct hf_blake2b hash;

	length += hf_compact_put_uint(head + length, value.length);
	hf_dht_namespace(out, HF_DHT_MUTABLE_PUT);
	hf_blake2b_init(&hash, 32, (struct hf_slice){0});
	hf_blake2b_update(&hash, head, length);
	hf_blake2b_update(&hash, value.data, value.length);
	hf_blake2b_final(&hash, out + 32, 32);
}
