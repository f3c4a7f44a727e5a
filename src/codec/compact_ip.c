#include "codec/compact_ip.h"

static size_t family_bytes(uint8_t family)
{
	return family == 4 ? 4 : 16;
}

struct hf_compact_ip hf_compact_read_ip(struct hf_compact_reader *in, enum hf_compact_ip_form form)
{
	struct hf_compact_ip ip = {.family = (uint8_t)form};

	if (form == HF_COMPACT_IP)
		ip.family = (uint8_t)hf_compact_read_uint_bits(in, 8);
	if (ip.family != 4 && ip.family != 6) {
		hf_compact_fail(in, HF_EMALFORMED);
		return (struct hf_compact_ip){0};
	}
	const uint8_t *bytes = hf_compact_read_fixed(in, family_bytes(ip.family));
	if (bytes == NULL)
		return (struct hf_compact_ip){0};
	memcpy(ip.bytes, bytes, family_bytes(ip.family));
	return ip;
}

struct hf_compact_ip hf_compact_read_ip_address(struct hf_compact_reader *in, enum hf_compact_ip_form form)
{
	struct hf_compact_ip ip = hf_compact_read_ip(in, form);

	ip.port = (uint16_t)hf_compact_read_uint_bits(in, 16);
	return in->status == HF_OK ? ip : (struct hf_compact_ip){0};
}

void hf_compact_write_ip(struct hf_compact_writer *out, enum hf_compact_ip_form form, const struct hf_compact_ip *ip)
{
	bool is_family = ip->family == 4 || ip->family == 6;

	if (out->status == HF_OK && (!is_family || (form != HF_COMPACT_IP && (uint8_t)form != ip->family)))
		out->status = HF_EINVAL;
	if (form == HF_COMPACT_IP)
		hf_compact_write_uint_bits(out, ip->family, 8);
	hf_compact_write_fixed(out, ip->bytes, family_bytes(ip->family));
}

void hf_compact_write_ip_address(struct hf_compact_writer *out, enum hf_compact_ip_form form, const struct hf_compact_ip *ip)
{
	hf_compact_write_ip(out, form, ip);
	hf_compact_write_uint_bits(out, ip->port, 16);
}
