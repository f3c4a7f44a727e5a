/* All addresses are 16 bytes, IPv4 mapped into ::ffff:0:0/96, so that ranges and comparisons have one form. */
#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/text.h"

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

static bool is_ipv4(const uint8_t ip[16])
{
	return memcmp(ip, mapped_prefix, sizeof mapped_prefix) == 0;
}

/* text is a host without brackets. */
static bool parse_ip(const char *text, uint8_t ip[16])
{
	memcpy(ip, mapped_prefix, sizeof mapped_prefix);
	return inet_pton(AF_INET, text, ip + 12) == 1 || inet_pton(AF_INET6, text, ip) == 1;
}

int hf_address_parse(const char *text, struct hf_address *address, struct hf_failure *failure)
{
	char host[HF_ADDRESS_TEXT_BYTES];
	const char *colon = strrchr(text, ':');
	uint64_t port;
	if (!colon || (size_t)(colon - text) >= sizeof host)
		return hf_fail(failure, HF_EADDR,
			"\"%.64s\" is not an address: write HOST:PORT, such as 127.0.0.1:7777", text);
	size_t length = (size_t)(colon - text);
	const char *start = text;
	if (length >= 2 && text[0] == '[' && colon[-1] == ']') {
		start++;
		length -= 2;
	} else if (memchr(text, ':', length)) {
		return hf_fail(failure, HF_EADDR,
			"\"%.64s\" is not an address: put IPv6 addresses in brackets, such as [::1]:7777", text);
	}
	memcpy(host, start, length);
	host[length] = 0;
	if (hf_text_to_u64(colon + 1, &port) || port > 65535)
		return hf_fail(failure, HF_EADDR, "\"%.64s\" is not a port: write a number from 0 to 65535", colon + 1);
	memset(address, 0, sizeof *address);
	address->port = (uint16_t)port;
	if (length == 0)
		return HF_OK;
	if (strcmp(host, "localhost") == 0)
		memcpy(host, "127.0.0.1", sizeof "127.0.0.1");
	if (!parse_ip(host, address->ip))
		return hf_fail(failure, HF_EADDR,
			"\"%.64s\" is not an IP address: names are not looked up here, write 127.0.0.1 or [::1]", host);
	return HF_OK;
}

bool hf_address_is_ipv4(const struct hf_address *address)
{
	return is_ipv4(address->ip);
}

bool hf_address_equal(const struct hf_address *a, const struct hf_address *b)
{
	return a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

int hf_address_range_parse(const char *text, struct hf_address_range *range)
{
	char host[HF_ADDRESS_TEXT_BYTES];
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	uint64_t bits = 128;
	if (length >= sizeof host)
		return HF_EINVAL;
	memcpy(host, text, length);
	host[length] = 0;
	if (!parse_ip(host, range->ip))
		return HF_EINVAL;
	bool is_short = strchr(host, ':') == NULL;
	if (slash && (hf_text_to_u64(slash + 1, &bits) || bits > (is_short ? 32 : 128)))
		return HF_EINVAL;
	range->prefix_bits = (uint8_t)(slash && is_short ? bits + 96 : bits);
	return HF_OK;
}

bool hf_address_in_range(const struct hf_address *address, const struct hf_address_range *range)
{
	size_t whole = range->prefix_bits / 8;
	unsigned rest = range->prefix_bits % 8;
	if (memcmp(address->ip, range->ip, whole) != 0)
		return false;
	return rest == 0 || ((address->ip[whole] ^ range->ip[whole]) >> (8 - rest)) == 0;
}

enum hf_address_class hf_address_class(const struct hf_address *address)
{
	static const struct {
		struct hf_address_range range;
		enum hf_address_class class;
	} classes[] = {
		{{{[10] = 0xff, 0xff, 127}, 104}, HF_ADDRESS_LOOPBACK},
		{{{[15] = 1}, 128}, HF_ADDRESS_LOOPBACK},
		{{{[10] = 0xff, 0xff, 10}, 104}, HF_ADDRESS_PRIVATE},
		{{{[10] = 0xff, 0xff, 172, 16}, 108}, HF_ADDRESS_PRIVATE},
		{{{[10] = 0xff, 0xff, 192, 168}, 112}, HF_ADDRESS_PRIVATE},
		{{{[10] = 0xff, 0xff, 169, 254}, 112}, HF_ADDRESS_PRIVATE},
		{{{[10] = 0xff, 0xff, 100, 64}, 106}, HF_ADDRESS_PRIVATE}, /* RFC 6598 */
		{{{0xfc}, 7}, HF_ADDRESS_PRIVATE},
		{{{0xfe, 0x80}, 10}, HF_ADDRESS_PRIVATE},
	};
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (hf_address_in_range(address, &classes[i].range))
			return classes[i].class;
	return HF_ADDRESS_PUBLIC;
}

char *hf_address_text(const struct hf_address *address, bool with_port, char out[static HF_ADDRESS_TEXT_BYTES])
{
	char ip[INET6_ADDRSTRLEN];
	bool is_short = is_ipv4(address->ip);
	if (is_short)
		inet_ntop(AF_INET, address->ip + 12, ip, sizeof ip);
	else
		inet_ntop(AF_INET6, address->ip, ip, sizeof ip);
	if (with_port)
		snprintf(out, HF_ADDRESS_TEXT_BYTES, is_short ? "%s:%u" : "[%s]:%u", ip, address->port);
	else
		snprintf(out, HF_ADDRESS_TEXT_BYTES, "%s", ip);
	return out;
}

void hf_address_from_sockaddr(struct hf_address *address, const struct sockaddr *from)
{
	memset(address, 0, sizeof *address);
	if (from->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;
		memcpy(address->ip, mapped_prefix, sizeof mapped_prefix);
		memcpy(address->ip + 12, &in->sin_addr, 4);
		address->port = ntohs(in->sin_port);
	} else if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;
		memcpy(address->ip, &in6->sin6_addr, 16);
		address->port = ntohs(in6->sin6_port);
	}
}

socklen_t hf_address_to_sockaddr(const struct hf_address *address, struct sockaddr_storage *to)
{
	memset(to, 0, sizeof *to);
	if (is_ipv4(address->ip)) {
		struct sockaddr_in *in = (struct sockaddr_in *)to;
		in->sin_family = AF_INET;
		in->sin_port = htons(address->port);
		memcpy(&in->sin_addr, address->ip + 12, 4);
		return sizeof *in;
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(address->port);
	memcpy(&in6->sin6_addr, address->ip, 16);
	return sizeof *in6;
}

static bool is_trusted(const struct hf_address *address, const struct hf_address_range *trusted, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (hf_address_in_range(address, &trusted[i]))
			return true;
	return false;
}

/* One element of the list: an address, maybe with a port or in brackets. */
static bool parse_forwarded(struct hf_slice item, struct hf_address *address)
{
	char text[HF_ADDRESS_TEXT_BYTES];
	while (item.length && (*item.data == ' ' || *item.data == '\t'))
		item.data++, item.length--;
	while (item.length && (item.data[item.length - 1] == ' ' || item.data[item.length - 1] == '\t'))
		item.length--;
	if (item.length == 0 || item.length >= sizeof text || memchr(item.data, 0, item.length))
		return false;
	memcpy(text, item.data, item.length);
	text[item.length] = 0;
	memset(address, 0, sizeof *address);
	if (parse_ip(text, address->ip))
		return true;
	return text[0] != ':' && hf_address_parse(text, address, NULL) == HF_OK;
}

void hf_address_forwarded(
	struct hf_address *client, struct hf_slice header, const struct hf_address_range *trusted, size_t trusted_count)
{
	while (header.length && is_trusted(client, trusted, trusted_count)) {
		size_t start = header.length;
		while (start > 0 && header.data[start - 1] != ',')
			start--;
		struct hf_address hop;
		if (!parse_forwarded(hf_slice(header.data + start, header.length - start), &hop))
			return;
		*client = hop;
		header.length = start ? start - 1 : 0;
	}
}
