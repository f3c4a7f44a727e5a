/* address: addresses in messages of HyperDHT, six bytes each, and what kind of place an IPv4 address is. (spec: swarm, 0.1 and 0.3)
 *
 * Port numbers are little-endian while addresses are in network order. IPv4 is all that dht-rpc speaks of; IPv6 exists in one field of
 * handshakes that nobody fills.
 */
#ifndef HF_WIRE_DHT_ADDRESS_H
#define HF_WIRE_DHT_ADDRESS_H

#include "base/address.h"
#include "codec/compact.h"

#define HF_DHT_ADDRESS_BYTES 6u
#define HF_DHT_ADDRESSES_MAX 16u /* kept of a list; what comes after is read and forgotten */

struct hf_dht_addresses {
	size_t count;
	struct hf_address list[HF_DHT_ADDRESSES_MAX];
};

/* After a failure the address is all zero. */
HF_API struct hf_address hf_dht_read_address(struct hf_compact_reader *in);
/* HF_EINVAL for one that is not IPv4. */
HF_API void hf_dht_write_address(struct hf_compact_writer *out, const struct hf_address *address);
/* A count and so many. */
HF_API void hf_dht_read_addresses(struct hf_compact_reader *in, struct hf_dht_addresses *addresses);
HF_API void hf_dht_write_addresses(struct hf_compact_writer *out, const struct hf_address *list, size_t count);
HF_API void hf_dht_read_addresses6(struct hf_compact_reader *in, struct hf_dht_addresses *addresses);
HF_API void hf_dht_write_addresses6(struct hf_compact_writer *out, const struct hf_address *list, size_t count);

static inline const uint8_t *hf_dht_ipv4(const struct hf_address *address) { return address->ip + 12; }
HF_API struct hf_address hf_dht_address(const uint8_t ipv4[static 4], uint16_t port);
HF_API bool hf_dht_same_host(const struct hf_address *a, const struct hf_address *b);
/* Adds one unless it is there already or the list is full; whether it was added. */
HF_API bool hf_dht_addresses_add(struct hf_dht_addresses *addresses, const struct hf_address *address);
HF_API bool hf_dht_addresses_have(const struct hf_dht_addresses *addresses, const struct hf_address *address);

/* A network of one's own; a range that nobody owns; either. What is not IPv4 is reserved. */
HF_API bool hf_dht_address_is_private(const struct hf_address *address);
HF_API bool hf_dht_address_is_reserved(const struct hf_address *address);
HF_API bool hf_dht_address_is_bogon(const struct hf_address *address);

#endif
