#include "wire/dht/address.h"

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

/* ---- On the wire ---- */

static struct hf_address read_form(struct hf_compact_reader *in, size_t ip_bytes)
{
	const uint8_t *bytes = hf_compact_read_fixed(in, ip_bytes + 2);
	struct hf_address address = {.port = 0};

	if (bytes == NULL)
		return address;
	if (ip_bytes == 4)
		memcpy(address.ip, mapped, sizeof mapped);
	memcpy(address.ip + sizeof address.ip - ip_bytes, bytes, ip_bytes);
	address.port = hf_load_le16(bytes + ip_bytes);
	return address;
}

static void write_form(struct hf_compact_writer *out, const struct hf_address *address, size_t ip_bytes)
{
	if (ip_bytes == 4 && out->status == HF_OK && !hf_address_is_ipv4(address))
		out->status = HF_EINVAL;
	hf_compact_write_fixed(out, address->ip + sizeof address->ip - ip_bytes, ip_bytes);
	hf_compact_write_uint_bits(out, address->port, 16);
}

static void read_list(struct hf_compact_reader *in, struct hf_dht_addresses *addresses, size_t ip_bytes)
{
	size_t count = hf_compact_read_count(in, HF_COMPACT_ARRAY_COUNT_MAX, ip_bytes + 2);

	addresses->count = 0;
	for (size_t i = 0; i < count && in->status == HF_OK; i++) {
		struct hf_address address = read_form(in, ip_bytes);
		if (addresses->count < HF_DHT_ADDRESSES_MAX)
			addresses->list[addresses->count++] = address;
	}
}

static void write_list(struct hf_compact_writer *out, const struct hf_address *list, size_t count, size_t ip_bytes)
{
	hf_compact_write_uint(out, count);
	for (size_t i = 0; i < count; i++)
		write_form(out, &list[i], ip_bytes);
}

struct hf_address hf_dht_read_address(struct hf_compact_reader *in)
{
	return read_form(in, 4);
}

void hf_dht_write_address(struct hf_compact_writer *out, const struct hf_address *address)
{
	write_form(out, address, 4);
}

void hf_dht_read_addresses(struct hf_compact_reader *in, struct hf_dht_addresses *addresses)
{
	read_list(in, addresses, 4);
}

void hf_dht_write_addresses(struct hf_compact_writer *out, const struct hf_address *list, size_t count)
{
	write_list(out, list, count, 4);
}

void hf_dht_read_addresses6(struct hf_compact_reader *in, struct hf_dht_addresses *addresses)
{
	read_list(in, addresses, 16);
}

void hf_dht_write_addresses6(struct hf_compact_writer *out, const struct hf_address *list, size_t count)
{
	write_list(out, list, count, 16);
}

/* ---- As values ---- */

struct hf_address hf_dht_address(const uint8_t ipv4[static 4], uint16_t port)
{
	struct hf_address address = {.port = port};

	memcpy(address.ip, mapped, sizeof mapped);
	memcpy(address.ip + sizeof mapped, ipv4, 4);
	return address;
}

bool hf_dht_same_host(const struct hf_address *a, const struct hf_address *b)
{
	return memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

bool hf_dht_addresses_have(const struct hf_dht_addresses *addresses, const struct hf_address *address)
{
	for (size_t i = 0; i < addresses->count; i++)
		if (hf_address_equal(&addresses->list[i], address))
			return true;
	return false;
}

bool hf_dht_addresses_add(struct hf_dht_addresses *addresses, const struct hf_address *address)
{
	if (addresses->count == HF_DHT_ADDRESSES_MAX || hf_dht_addresses_have(addresses, address))
		return false;
	addresses->list[addresses->count++] = *address;
	return true;
}

/* ---- Kinds ---- */

struct range {
	uint8_t ip[4];
	uint8_t prefix_bits;
};

static const struct range private_ranges[] = {
	{{10, 0, 0, 0}, 8}, {{100, 64, 0, 0}, 10}, {{127, 0, 0, 0}, 8}, {{169, 254, 0, 0}, 16}, {{172, 16, 0, 0}, 12}, {{192, 168, 0, 0}, 16},
};
static const struct range reserved_ranges[] = {
	{{0, 0, 0, 0}, 8}, {{192, 0, 0, 0}, 24}, {{192, 0, 2, 0}, 24}, {{198, 18, 0, 0}, 15}, {{198, 51, 100, 0}, 24}, {{203, 0, 113, 0}, 24},
	{{224, 0, 0, 0}, 4}, {{240, 0, 0, 0}, 4},
};

static bool is_in(const struct hf_address *address, const struct range *ranges, size_t count)
{
	uint32_t ip = hf_load_be32(hf_dht_ipv4(address));

	for (size_t i = 0; i < count; i++)
		if ((ip ^ hf_load_be32(ranges[i].ip)) >> (32 - ranges[i].prefix_bits) == 0)
			return true;
	return false;
}

bool hf_dht_address_is_private(const struct hf_address *address)
{
	return hf_address_is_ipv4(address) && is_in(address, private_ranges, sizeof private_ranges / sizeof *private_ranges);
}

bool hf_dht_address_is_reserved(const struct hf_address *address)
{
	return !hf_address_is_ipv4(address) || is_in(address, reserved_ranges, sizeof reserved_ranges / sizeof *reserved_ranges);
}

bool hf_dht_address_is_bogon(const struct hf_address *address)
{
	return hf_dht_address_is_private(address) || hf_dht_address_is_reserved(address);
}
