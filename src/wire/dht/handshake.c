#include "wire/dht/handshake.h"

#include "crypto/hash.h"

#define NAMESPACE_LABEL "hyperswarm/dht"
enum command { PEER_HANDSHAKE, PEER_HOLEPUNCH };

enum payload_flags {
	HOLEPUNCH = 1,
	ADDRESSES4 = 2,
	ADDRESSES6 = 4,
	UDX = 8,
	SECRET_STREAM = 16,
	RELAY_THROUGH = 32,
	RELAY_ADDRESSES = 64,
};
enum udx_features { REUSABLE_SOCKET = 1 };
enum envelope_flags { PEER_ADDRESS = 1, RELAY_ADDRESS = 2 };

#define PART_VERSION 1u /* of the parts udx, secret stream and relay through */

/* ---- Writing the payload ---- */

static uint64_t flags_of(const struct hf_dht_noise_payload *payload)
{
	return (payload->has_holepunch ? HOLEPUNCH : 0u) | (payload->addresses4.count > 0 ? ADDRESSES4 : 0u) |
	       (payload->addresses6.count > 0 ? ADDRESSES6 : 0u) | (payload->has_udx ? UDX : 0u) |
	       (payload->has_secret_stream ? SECRET_STREAM : 0u) | (payload->has_relay_through ? RELAY_THROUGH : 0u) |
	       (payload->has_relay_addresses ? RELAY_ADDRESSES : 0u);
}

static void write_holepunch(struct hf_compact_writer *out, const struct hf_dht_noise_payload *payload)
{
	hf_compact_write_uint(out, payload->holepunch.id);
	hf_compact_write_uint(out, payload->holepunch.relay_count);
	for (size_t i = 0; i < payload->holepunch.relay_count; i++) {
		hf_dht_write_address(out, &payload->holepunch.relays[i].relay);
		hf_dht_write_address(out, &payload->holepunch.relays[i].peer);
	}
}

static void write_udx(struct hf_compact_writer *out, const struct hf_dht_noise_payload *payload)
{
	hf_compact_write_uint(out, PART_VERSION);
	hf_compact_write_uint(out, payload->udx.reusable_socket ? REUSABLE_SOCKET : 0);
	hf_compact_write_uint(out, payload->udx.id);
	hf_compact_write_uint(out, payload->udx.seq);
}

static void write_relay_through(struct hf_compact_writer *out, const struct hf_dht_noise_payload *payload)
{
	hf_compact_write_uint(out, PART_VERSION);
	hf_compact_write_uint(out, 0);
	hf_compact_write_fixed(out, payload->relay_through.public_key, sizeof payload->relay_through.public_key);
	hf_compact_write_fixed(out, payload->relay_through.token, sizeof payload->relay_through.token);
}

int hf_dht_noise_encode(const struct hf_dht_noise_payload *payload, struct hf_buffer *buffer)
{
	struct hf_compact_writer out = hf_compact_writer(buffer);

	hf_compact_write_uint(&out, HF_DHT_NOISE_VERSION);
	hf_compact_write_uint(&out, flags_of(payload));
	hf_compact_write_uint(&out, payload->error);
	hf_compact_write_uint(&out, payload->firewall);
	if (payload->has_holepunch)
		write_holepunch(&out, payload);
	if (payload->addresses4.count > 0)
		hf_dht_write_addresses(&out, payload->addresses4.list, payload->addresses4.count);
	if (payload->addresses6.count > 0)
		hf_dht_write_addresses6(&out, payload->addresses6.list, payload->addresses6.count);
	if (payload->has_udx)
		write_udx(&out, payload);
	if (payload->has_secret_stream)
		hf_compact_write_uint(&out, PART_VERSION);
	if (payload->has_relay_through)
		write_relay_through(&out, payload);
	if (payload->has_relay_addresses)
		hf_dht_write_addresses(&out, payload->relay_addresses.list, payload->relay_addresses.count);
	return out.status;
}

/* ---- Reading it ---- */

static void read_holepunch(struct hf_compact_reader *in, struct hf_dht_noise_payload *payload)
{
	payload->holepunch.id = hf_compact_read_uint(in);
	size_t count = hf_compact_read_count(in, HF_COMPACT_ARRAY_COUNT_MAX, 2 * HF_DHT_ADDRESS_BYTES);
	for (size_t i = 0; i < count && in->status == HF_OK; i++) {
		struct hf_dht_punch_relay relay = {.relay = hf_dht_read_address(in)};
		relay.peer = hf_dht_read_address(in);
		if (payload->holepunch.relay_count < HF_DHT_PUNCH_RELAYS_MAX)
			payload->holepunch.relays[payload->holepunch.relay_count++] = relay;
	}
}

static uint32_t read_u32(struct hf_compact_reader *in)
{
	uint64_t number = hf_compact_read_uint(in);

	if (number > UINT32_MAX)
		hf_compact_fail(in, HF_ETOOBIG);
	return (uint32_t)number;
}

static void read_udx(struct hf_compact_reader *in, struct hf_dht_noise_payload *payload)
{
	hf_compact_read_uint(in); /* its version, which nobody looks at */
	payload->udx.reusable_socket = (hf_compact_read_uint(in) & REUSABLE_SOCKET) != 0;
	payload->udx.id = read_u32(in);
	payload->udx.seq = read_u32(in);
}

static void read_relay_through(struct hf_compact_reader *in, struct hf_dht_noise_payload *payload)
{
	hf_compact_read_uint(in); /* version and flags, which nobody looks at */
	hf_compact_read_uint(in);
	const uint8_t *bytes = hf_compact_read_fixed(in, sizeof payload->relay_through);
	if (bytes != NULL)
		memcpy(&payload->relay_through, bytes, sizeof payload->relay_through);
}

static void read_parts(struct hf_compact_reader *in, uint64_t flags, struct hf_dht_noise_payload *payload)
{
	payload->has_holepunch = flags & HOLEPUNCH;
	payload->has_udx = flags & UDX;
	payload->has_secret_stream = flags & SECRET_STREAM;
	payload->has_relay_through = flags & RELAY_THROUGH;
	payload->has_relay_addresses = flags & RELAY_ADDRESSES;
	if (payload->has_holepunch)
		read_holepunch(in, payload);
	if (flags & ADDRESSES4)
		hf_dht_read_addresses(in, &payload->addresses4);
	if (flags & ADDRESSES6)
		hf_dht_read_addresses6(in, &payload->addresses6);
	if (payload->has_udx)
		read_udx(in, payload);
	if (payload->has_secret_stream)
		hf_compact_read_uint(in); /* its version, which nobody looks at */
	if (payload->has_relay_through)
		read_relay_through(in, payload);
	if (payload->has_relay_addresses)
		hf_dht_read_addresses(in, &payload->relay_addresses);
}

int hf_dht_noise_decode(struct hf_slice bytes, struct hf_dht_noise_payload *payload)
{
	struct hf_compact_reader in = hf_compact_reader(bytes);

	memset(payload, 0, sizeof *payload);
	payload->version = hf_compact_read_uint(&in);
	if (in.status != HF_OK || payload->version != HF_DHT_NOISE_VERSION)
		return in.status;
	uint64_t flags = hf_compact_read_uint(&in);
	payload->error = hf_compact_read_uint(&in);
	payload->firewall = hf_compact_read_uint(&in);
	read_parts(&in, flags, payload);
	return in.status;
}

/* ---- Noise ---- */

void hf_dht_handshake_init(struct hf_noise *noise, const uint8_t static_secret[static HF_SIGN_SECRET_BYTES],
	const uint8_t *remote_key, struct hf_env *env)
{
	uint8_t prologue[HF_NAMESPACE_BYTES];
	struct hf_noise_options options = {
		.pattern = HF_NOISE_IK,
		.is_initiator = remote_key != NULL,
		.static_secret = static_secret,
		.remote_static = remote_key,
		.prologue = hf_slice(prologue, sizeof prologue),
		.env = env,
	};

	hf_namespace_derive(prologue, HF_SLICE_LITERAL(NAMESPACE_LABEL), PEER_HANDSHAKE);
	hf_noise_init(noise, &options);
}

void hf_dht_holepunch_secret(
	uint8_t out[static HF_DHT_SECRET_BYTES], const uint8_t handshake_hash[static HF_HANDSHAKE_HASH_BYTES])
{
	uint8_t name_space[HF_NAMESPACE_BYTES];

	hf_namespace_derive(name_space, HF_SLICE_LITERAL(NAMESPACE_LABEL), PEER_HOLEPUNCH);
	hf_blake2b(out, HF_DHT_SECRET_BYTES, hf_slice(handshake_hash, HF_HANDSHAKE_HASH_BYTES),
		hf_slice(name_space, sizeof name_space));
}

/* ---- The envelope ---- */

int hf_dht_peer_handshake_encode(const struct hf_dht_peer_handshake *message, struct hf_buffer *buffer)
{
	struct hf_compact_writer out = hf_compact_writer(buffer);

	hf_compact_write_uint(&out,
		(message->has_peer_address ? PEER_ADDRESS : 0u) | (message->has_relay_address ? RELAY_ADDRESS : 0u));
	hf_compact_write_uint(&out, message->hop);
	hf_compact_write_buffer(&out, message->noise);
	if (message->has_peer_address)
		hf_dht_write_address(&out, &message->peer_address);
	if (message->has_relay_address)
		hf_dht_write_address(&out, &message->relay_address);
	return out.status;
}

int hf_dht_peer_handshake_decode(struct hf_slice value, struct hf_dht_peer_handshake *message)
{
	struct hf_compact_reader in = hf_compact_reader(value);
	uint64_t flags = hf_compact_read_uint(&in), hop = hf_compact_read_uint(&in);

	*message = (struct hf_dht_peer_handshake){.hop = (enum hf_dht_hop)hop, .noise = hf_compact_read_buffer(&in)};
	message->has_peer_address = flags & PEER_ADDRESS;
	message->has_relay_address = flags & RELAY_ADDRESS;
	if (message->has_peer_address)
		message->peer_address = hf_dht_read_address(&in);
	if (message->has_relay_address)
		message->relay_address = hf_dht_read_address(&in);
	if (in.status == HF_OK && hop > HF_DHT_REPLY)
		return HF_EMALFORMED;
	return in.status;
}
