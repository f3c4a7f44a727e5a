/* compact_ip: the addresses of the package compact-encoding: ipv4, ipv6 and ip, bare and with a port. */
#ifndef HF_CODEC_COMPACT_IP_H
#define HF_CODEC_COMPACT_IP_H

#include "codec/compact.h"

/* In network byte order; of IPv4 the first four bytes. */
struct hf_compact_ip {
	uint8_t family; /* 4 or 6 */
	uint8_t bytes[16];
	uint16_t port;
};

/* What stands in the bytes: an address of a known family, or one that says which (HF_EMALFORMED for one that is neither). */
enum hf_compact_ip_form { HF_COMPACT_IP, HF_COMPACT_IPV4 = 4, HF_COMPACT_IPV6 = 6 };

/* Without a port (0), and with one. After a failure the address is all zero. */
struct hf_compact_ip hf_compact_read_ip(struct hf_compact_reader *in, enum hf_compact_ip_form form);
struct hf_compact_ip hf_compact_read_ip_address(struct hf_compact_reader *in, enum hf_compact_ip_form form);
/* HF_EINVAL when the family is another than the form's, or neither. */
void hf_compact_write_ip(struct hf_compact_writer *out, enum hf_compact_ip_form form, const struct hf_compact_ip *ip);
void hf_compact_write_ip_address(struct hf_compact_writer *out, enum hf_compact_ip_form form, const struct hf_compact_ip *ip);

#endif
