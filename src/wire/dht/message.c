#include "wire/dht/message.h"

#include "crypto/hash.h"

/* The low half of the first byte is the version, the high half says what it is. */
enum { FIRST_REQUEST = 0x03, FIRST_REPLY = 0x13 };
enum { HAS_ID = 1, HAS_TOKEN = 2, IS_INTERNAL = 4, HAS_TARGET = 8, HAS_VALUE = 16, HAS_CLOSER = 4, HAS_ERROR = 8 };

const char *hf_dht_command_name(unsigned index)
{
	static const char *const names[HF_DHT_COMMAND_COUNT] = {"ping", "ping_nat", "find_node", "down_hint", "delayed_ping", "peer_handshake",
		"peer_holepunch", "find_peer", "lookup", "announce", "unannounce", "mutable_put", "mutable_get", "immutable_put", "immutable_get",
		"plugin"};

	return index < HF_DHT_COMMAND_COUNT ? names[index] : "unknown";
}

/* ---- Reading ---- */

static void read_request(struct hf_compact_reader *in, uint64_t flags, struct hf_dht_message *message)
{
	message->is_internal = (flags & IS_INTERNAL) != 0;
	message->command = hf_compact_read_uint(in);
	if (flags & HAS_TARGET)
		message->target = hf_compact_read_fixed(in, HF_DHT_ID_BYTES);
}

static void read_reply(struct hf_compact_reader *in, uint64_t flags, struct hf_dht_message *message)
{
	if (flags & HAS_CLOSER) {
		size_t count = hf_compact_read_count(in, HF_COMPACT_ARRAY_COUNT_MAX, HF_DHT_ADDRESS_BYTES);
		size_t length = count * HF_DHT_ADDRESS_BYTES;
		message->closer = hf_slice(hf_compact_read_fixed(in, length), length);
	}
	if (flags & HAS_ERROR)
		message->error = hf_compact_read_uint(in);
}

int hf_dht_message_read(struct hf_slice datagram, struct hf_dht_message *message)
{
	struct hf_compact_reader in = hf_compact_reader(datagram);
	uint64_t first = hf_compact_read_uint_bits(&in, 8), flags;

	*message = (struct hf_dht_message){.is_reply = first == FIRST_REPLY};
	if (first != FIRST_REQUEST && first != FIRST_REPLY)
		return HF_EMALFORMED;
	flags = hf_compact_read_uint(&in);
	message->tid = (uint16_t)hf_compact_read_uint_bits(&in, 16);
	message->to = hf_dht_read_address(&in);
	if (flags & HAS_ID)
		message->id = hf_compact_read_fixed(&in, HF_DHT_ID_BYTES);
	if (flags & HAS_TOKEN)
		message->token = hf_compact_read_fixed(&in, HF_DHT_TOKEN_BYTES);
	if (message->is_reply)
		read_reply(&in, flags, message);
	else
		read_request(&in, flags, message);
	message->has_value = (flags & HAS_VALUE) != 0;
	if (message->has_value)
		message->value = hf_compact_read_buffer(&in);
	return in.status;
}

struct hf_address hf_dht_closer_at(struct hf_slice closer, size_t at)
{
	const uint8_t *bytes = closer.data + at * HF_DHT_ADDRESS_BYTES;

	return hf_dht_address(bytes, hf_load_le16(bytes + 4));
}

/* ---- Writing ---- */

static uint64_t flags_of(const struct hf_dht_message *m)
{
	uint64_t flags = (m->id ? HAS_ID : 0) | (m->token ? HAS_TOKEN : 0) | (m->has_value ? HAS_VALUE : 0);

	if (m->is_reply)
		return flags | (m->closer.length > 0 ? HAS_CLOSER : 0) | (m->error > 0 ? HAS_ERROR : 0);
	return flags | (m->is_internal ? IS_INTERNAL : 0) | (m->target ? HAS_TARGET : 0);
}

int hf_dht_message_write(const struct hf_dht_message *message, struct hf_buffer *out)
{
	struct hf_compact_writer w = hf_compact_writer(out);

	hf_compact_write_uint_bits(&w, message->is_reply ? FIRST_REPLY : FIRST_REQUEST, 8);
	hf_compact_write_uint(&w, flags_of(message));
	hf_compact_write_uint_bits(&w, message->tid, 16);
	hf_dht_write_address(&w, &message->to);
	if (message->id)
		hf_compact_write_fixed(&w, message->id, HF_DHT_ID_BYTES);
	if (message->token)
		hf_compact_write_fixed(&w, message->token, HF_DHT_TOKEN_BYTES);
	if (!message->is_reply)
		hf_compact_write_uint(&w, message->command);
	if (!message->is_reply && message->target)
		hf_compact_write_fixed(&w, message->target, HF_DHT_ID_BYTES);
	if (message->is_reply && message->closer.length > 0) {
		hf_compact_write_uint(&w, hf_dht_closer_count(message->closer));
		hf_compact_write_fixed(&w, message->closer.data, message->closer.length);
	}
	if (message->is_reply && message->error > 0)
		hf_compact_write_uint(&w, message->error);
	if (message->has_value)
		hf_compact_write_buffer(&w, message->value);
	return w.status;
}

/* ---- Ids ---- */

void hf_dht_id(uint8_t id[static HF_DHT_ID_BYTES], const struct hf_address *address)
{
	uint8_t bytes[HF_DHT_ADDRESS_BYTES];

	memcpy(bytes, hf_dht_ipv4(address), 4);
	hf_store_le16(bytes + 4, address->port);
	hf_blake2b(id, HF_DHT_ID_BYTES, (struct hf_slice){0}, hf_slice(bytes, sizeof bytes));
}

int hf_dht_compare(const uint8_t target[static HF_DHT_ID_BYTES], const uint8_t a[static HF_DHT_ID_BYTES],
	const uint8_t b[static HF_DHT_ID_BYTES])
{
	for (size_t i = 0; i < HF_DHT_ID_BYTES; i++)
		if (a[i] != b[i])
			return (target[i] ^ a[i]) - (target[i] ^ b[i]);
	return 0;
}
