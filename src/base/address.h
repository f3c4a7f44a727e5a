/* address: where a peer is, as a value: textual addresses, ranges, and the address that a request really came from. */
#ifndef HF_BASE_ADDRESS_H
#define HF_BASE_ADDRESS_H

#include <sys/socket.h>

#include "base/bytes.h"
#include "base/error.h"

#define HF_ADDRESS_TEXT_BYTES 64

struct hf_address {
	uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint16_t port;
};
struct hf_address_range {
	uint8_t ip[16];
	uint8_t prefix_bits; /* of 128 */
};
enum hf_address_class { HF_ADDRESS_LOOPBACK, HF_ADDRESS_PRIVATE, HF_ADDRESS_PUBLIC };

/* "127.0.0.1:7777", "[::1]:80", ":7777" (any), numeric only. */
HF_API int hf_address_parse(const char *text, struct hf_address *address, struct hf_failure *failure);
HF_API int hf_address_range_parse(const char *text, struct hf_address_range *range); /* "10.0.0.0/8", "::1" */
HF_API bool hf_address_in_range(const struct hf_address *address, const struct hf_address_range *range);
HF_API enum hf_address_class hf_address_class(const struct hf_address *address);
HF_API bool hf_address_is_ipv4(const struct hf_address *address);
HF_API bool hf_address_equal(const struct hf_address *a, const struct hf_address *b); /* IP and port */
HF_API char *hf_address_text(const struct hf_address *address, bool with_port, char out[static HF_ADDRESS_TEXT_BYTES]);
HF_API void hf_address_from_sockaddr(struct hf_address *address, const struct sockaddr *from);
HF_API socklen_t hf_address_to_sockaddr(const struct hf_address *address, struct sockaddr_storage *to);
/* X-Forwarded-For: walks the list from the right while the hop is trusted; the first untrusted one is the client. */
HF_API void hf_address_forwarded(struct hf_address *client, struct hf_slice header, const struct hf_address_range *trusted,
	size_t trusted_count);

#endif
