#include "wire/dht/holepunch.h"

#include "crypto/hash.h"

enum punch_flags { CONNECTED = 1, PUNCHING = 2, ADDRESSES = 4, REMOTE_ADDRESS = 8, TOKEN = 16, REMOTE_TOKEN = 32 };
enum envelope_flags { PEER_ADDRESS = 1 };

/* ---- The payload ---- */

int hf_dht_punch_encode(const struct hf_dht_punch *punch, struct hf_buffer *buffer)
{
	struct hf_compact_writer out = hf_compact_writer(buffer);

	hf_compact_write_uint(&out, (punch->is_connected ? CONNECTED : 0u) | (punch->is_punching ? PUNCHING : 0u) |
		(punch->has_addresses ? ADDRESSES : 0u) | (punch->has_remote_address ? REMOTE_ADDRESS : 0u) |
		(punch->has_token ? TOKEN : 0u) | (punch->has_remote_token ? REMOTE_TOKEN : 0u));
	hf_compact_write_uint(&out, punch->error);
	hf_compact_write_uint(&out, punch->firewall);
	hf_compact_write_uint(&out, punch->round);
	if (punch->has_addresses)
		hf_dht_write_addresses(&out, punch->addresses.list, punch->addresses.count);
	if (punch->has_remote_address)
		hf_dht_write_address(&out, &punch->remote_address);
	if (punch->has_token)
		hf_compact_write_fixed(&out, punch->token, sizeof punch->token);
	if (punch->has_remote_token)
		hf_compact_write_fixed(&out, punch->remote_token, sizeof punch->remote_token);
	return out.status;
}

static void read_token(struct hf_compact_reader *in, uint8_t out[static HF_DHT_SECRET_BYTES])
{
	const uint8_t *bytes = hf_compact_read_fixed(in, HF_DHT_SECRET_BYTES);

	if (bytes != NULL)
		memcpy(out, bytes, HF_DHT_SECRET_BYTES);
}

int hf_dht_punch_decode(struct hf_slice bytes, struct hf_dht_punch *punch)
{
	struct hf_compact_reader in = hf_compact_reader(bytes);
	uint64_t flags = hf_compact_read_uint(&in);

	memset(punch, 0, sizeof *punch);
	punch->error = hf_compact_read_uint(&in);
	punch->firewall = hf_compact_read_uint(&in);
	punch->round = hf_compact_read_uint(&in);
	punch->is_connected = flags & CONNECTED;
	punch->is_punching = flags & PUNCHING;
	punch->has_addresses = flags & ADDRESSES;
	punch->has_remote_address = flags & REMOTE_ADDRESS;
	punch->has_token = flags & TOKEN;
	punch->has_remote_token = flags & REMOTE_TOKEN;
	if (punch->has_addresses)
		hf_dht_read_addresses(&in, &punch->addresses);
	if (punch->has_remote_address)
		punch->remote_address = hf_dht_read_address(&in);
	if (punch->has_token)
		read_token(&in, punch->token);
	if (punch->has_remote_token)
		read_token(&in, punch->remote_token);
	return in.status;
}

/* ---- Sealed ---- */

int hf_dht_punch_seal(const struct hf_dht_punch *punch, const uint8_t nonce[static HF_BOX_NONCE_BYTES],
	const uint8_t secret[static HF_DHT_SECRET_BYTES], struct hf_buffer *out)
{
	struct hf_buffer plain = {0};
	int error = hf_dht_punch_encode(punch, &plain);

	if (error == HF_OK)
		error = hf_buffer_reserve(out, plain.length + HF_DHT_PUNCH_OVERHEAD_BYTES);
	if (error == HF_OK) {
		memcpy(out->data + out->length, nonce, HF_BOX_NONCE_BYTES);
		hf_box_seal(out->data + out->length + HF_BOX_NONCE_BYTES, hf_buffer_slice(&plain), nonce, secret);
		out->length += plain.length + HF_DHT_PUNCH_OVERHEAD_BYTES;
	}
	hf_buffer_free(&plain);
	return error;
}

int hf_dht_punch_open(struct hf_slice sealed, const uint8_t secret[static HF_DHT_SECRET_BYTES], struct hf_dht_punch *punch)
{
	uint8_t plain[HF_DHT_PUNCH_BYTES_MAX];

	if (sealed.length <= HF_DHT_PUNCH_OVERHEAD_BYTES)
		return HF_EMALFORMED;
	if (sealed.length > sizeof plain)
		return HF_ETOOBIG;
	int error = hf_box_open(plain, hf_slice(sealed.data + HF_BOX_NONCE_BYTES, sealed.length - HF_BOX_NONCE_BYTES),
		sealed.data, secret);
	return error == HF_OK ? hf_dht_punch_decode(hf_slice(plain, sealed.length - HF_DHT_PUNCH_OVERHEAD_BYTES), punch) : error;
}

void hf_dht_punch_token(uint8_t out[static HF_DHT_SECRET_BYTES], const struct hf_address *host,
	const uint8_t secret[static HF_DHT_SECRET_BYTES])
{
	char text[HF_ADDRESS_TEXT_BYTES];

	hf_blake2b(out, HF_DHT_SECRET_BYTES, hf_slice(secret, HF_DHT_SECRET_BYTES),
		hf_slice_text(hf_address_text(host, false, text)));
}

/* ---- The envelope ---- */

int hf_dht_peer_holepunch_encode(const struct hf_dht_peer_holepunch *message, struct hf_buffer *buffer)
{
	struct hf_compact_writer out = hf_compact_writer(buffer);

	hf_compact_write_uint(&out, message->has_peer_address ? PEER_ADDRESS : 0);
	hf_compact_write_uint(&out, message->hop);
	hf_compact_write_uint(&out, message->id);
	hf_compact_write_buffer(&out, message->payload);
	if (message->has_peer_address)
		hf_dht_write_address(&out, &message->peer_address);
	return out.status;
}

int hf_dht_peer_holepunch_decode(struct hf_slice value, struct hf_dht_peer_holepunch *message)
{
	struct hf_compact_reader in = hf_compact_reader(value);
	uint64_t flags = hf_compact_read_uint(&in), hop = hf_compact_read_uint(&in);

	*message = (struct hf_dht_peer_holepunch){.hop = (enum hf_dht_hop)hop, .id = hf_compact_read_uint(&in)};
	message->payload = hf_compact_read_buffer(&in);
	message->has_peer_address = flags & PEER_ADDRESS;
	if (message->has_peer_address)
		message->peer_address = hf_dht_read_address(&in);
	if (in.status == HF_OK && hop > HF_DHT_REPLY)
		return HF_EMALFORMED;
	return in.status;
}
