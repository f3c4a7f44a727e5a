/* Both versions begin with bytes that no HTTP request and no TLS handshake begins with, so the first byte that differs refuses. */
#include "wire/proxy_protocol.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/crc32c.h"

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

#define BINARY_HEAD_BYTES 16u
#define TLV_HEAD_BYTES 3u
#define TLV_CRC32C 0x03

enum { COMMAND_LOCAL = 0, COMMAND_PROXY = 1 };
enum { FAMILY_UNSPECIFIED = 0, FAMILY_IPV4 = 1, FAMILY_IPV6 = 2, FAMILY_UNIX = 3 };
enum { TRANSPORT_STREAM = 1, TRANSPORT_DATAGRAM = 2 };

static void set_ipv4(struct hf_address *address, const uint8_t ip[static 4])
{
	memset(address->ip, 0, 10);
	memset(address->ip + 10, 0xff, 2);
	memcpy(address->ip + 12, ip, 4);
}

static uint16_t read_u16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

/* ---- Version 1: a line of text ---- */

/* Cuts off the text before the next space, as a string; false when there is none, or it is too long. */
static bool cut_word(struct hf_slice *rest, char out[static INET6_ADDRSTRLEN])
{
	const uint8_t *space = memchr(rest->data, ' ', rest->length);
	size_t length = space ? (size_t)(space - rest->data) : rest->length;
	if (length == 0 || length >= INET6_ADDRSTRLEN || memchr(rest->data, 0, length))
		return false;
	memcpy(out, rest->data, length);
	out[length] = 0;
	*rest = hf_slice(rest->data + length + (space ? 1 : 0), rest->length - length - (space ? 1 : 0));
	return true;
}

/* inet_pton takes what the protocol does: no zeroes in front in IPv4, one double colon in IPv6; and "::1.2.3.4", which does no harm. */
static bool read_ip(struct hf_slice *rest, int family, struct hf_address *address)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t ip[16];
	if (!cut_word(rest, text) || inet_pton(family, text, ip) != 1)
		return false;
	if (family == AF_INET)
		set_ipv4(address, ip);
	else
		memcpy(address->ip, ip, 16);
	return true;
}

static bool read_port(struct hf_slice *rest, uint16_t *port)
{
	char text[INET6_ADDRSTRLEN];
	uint32_t number = 0;
	if (!cut_word(rest, text) || strlen(text) > 5 || (text[0] == '0' && text[1]))
		return false;
	for (const char *digit = text; *digit; digit++) {
		if (*digit < '0' || *digit > '9')
			return false;
		number = number * 10 + (uint32_t)(*digit - '0');
	}
	*port = (uint16_t)number;
	return number <= UINT16_MAX;
}

static bool starts_with(struct hf_slice line, const char *text)
{
	return line.length >= strlen(text) && memcmp(line.data, text, strlen(text)) == 0;
}

/* Without its CR LF. */
static int read_line(struct hf_slice line, struct hf_proxy_header *header)
{
	static const char unknown[] = "PROXY UNKNOWN", tcp4[] = "PROXY TCP4 ", tcp6[] = "PROXY TCP6 ";
	struct hf_address destination;
	if (starts_with(line, unknown) && (line.length == sizeof unknown - 1 || line.data[sizeof unknown - 1] == ' '))
		return HF_OK;
	if (!starts_with(line, tcp4) && !starts_with(line, tcp6))
		return HF_EMALFORMED;
	int family = starts_with(line, tcp4) ? AF_INET : AF_INET6;
	struct hf_slice rest = hf_slice(line.data + sizeof tcp4 - 1, line.length - (sizeof tcp4 - 1));
	header->has_source = read_ip(&rest, family, &header->source) && read_ip(&rest, family, &destination) &&
		read_port(&rest, &header->source.port) && read_port(&rest, &destination.port) && rest.length == 0 &&
		line.data[line.length - 1] != ' ';
	return header->has_source ? HF_OK : HF_EMALFORMED;
}

static int read_text(struct hf_slice data, struct hf_proxy_header *header)
{
	static const char beginning[] = "PROXY ";
	size_t seen = data.length < sizeof beginning - 1 ? data.length : sizeof beginning - 1;
	size_t within = data.length < HF_PROXY_LINE_BYTES_MAX ? data.length : HF_PROXY_LINE_BYTES_MAX;
	if (memcmp(data.data, beginning, seen) != 0)
		return HF_EMALFORMED;
	const uint8_t *end = memchr(data.data, '\n', within);
	if (!end)
		return data.length >= HF_PROXY_LINE_BYTES_MAX ? HF_ETOOBIG : HF_EWAIT;
	size_t length = (size_t)(end - data.data);
	if (length == 0 || end[-1] != '\r')
		return HF_EMALFORMED;
	header->version = 1;
	header->length = length + 1;
	return read_line(hf_slice(data.data, length - 1), header);
}

/* ---- Version 2: binary ---- */

/* The checksum is of the header with zeroes in its own place. */
static bool is_sum_right(struct hf_slice header, size_t at)
{
	static const uint8_t zeroes[4];
	uint32_t sum = hf_crc32c(0, header.data, at);
	sum = hf_crc32c(sum, zeroes, sizeof zeroes);
	sum = hf_crc32c(sum, header.data + at + 4, header.length - at - 4);
	const uint8_t *told = header.data + at;
	return sum == ((uint32_t)told[0] << 24 | (uint32_t)told[1] << 16 | (uint32_t)told[2] << 8 | told[3]);
}

static int check_facts(struct hf_slice header, size_t at)
{
	while (at < header.length) {
		if (header.length - at < TLV_HEAD_BYTES)
			return HF_EMALFORMED;
		uint8_t type = header.data[at];
		size_t length = read_u16(header.data + at + 1);
		at += TLV_HEAD_BYTES;
		if (length > header.length - at || (type == TLV_CRC32C && length != 4))
			return HF_EMALFORMED;
		if (type == TLV_CRC32C && !is_sum_right(header, at))
			return HF_ECORRUPT;
		at += length;
	}
	return HF_OK;
}

static int read_addresses(struct hf_slice header, struct hf_proxy_header *out)
{
	static const size_t sizes[] = {[FAMILY_UNSPECIFIED] = 0, [FAMILY_IPV4] = 12, [FAMILY_IPV6] = 36, [FAMILY_UNIX] = 216};
	unsigned family = header.data[13] >> 4, transport = header.data[13] & 15;
	const uint8_t *addresses = header.data + BINARY_HEAD_BYTES;
	if (family > FAMILY_UNIX || transport > TRANSPORT_DATAGRAM)
		return HF_EMALFORMED;
	if (header.length - BINARY_HEAD_BYTES < sizes[family])
		return HF_EMALFORMED;
	if (family == FAMILY_UNSPECIFIED) /* what follows has no known form */
		return HF_OK;
	out->has_source = transport == TRANSPORT_STREAM && family != FAMILY_UNIX;
	if (out->has_source && family == FAMILY_IPV4) {
		set_ipv4(&out->source, addresses);
		out->source.port = read_u16(addresses + 8);
	} else if (out->has_source) {
		memcpy(out->source.ip, addresses, 16);
		out->source.port = read_u16(addresses + 32);
	}
	return check_facts(header, BINARY_HEAD_BYTES + sizes[family]);
}

static int read_binary(struct hf_slice data, struct hf_proxy_header *out)
{
	size_t seen = data.length < sizeof signature ? data.length : sizeof signature;
	if (memcmp(data.data, signature, seen) != 0)
		return HF_EMALFORMED;
	if (data.length > 12 && (data.data[12] >> 4 != 2 || (data.data[12] & 15) > COMMAND_PROXY))
		return HF_EMALFORMED;
	if (data.length < BINARY_HEAD_BYTES)
		return HF_EWAIT;
	size_t length = BINARY_HEAD_BYTES + read_u16(data.data + 14);
	if (length > HF_PROXY_HEADER_BYTES_MAX)
		return HF_ETOOBIG;
	if (data.length < length)
		return HF_EWAIT;
	out->version = 2;
	out->length = length;
	return (data.data[12] & 15) == COMMAND_LOCAL ? HF_OK : read_addresses(hf_slice(data.data, length), out);
}

int hf_proxy_header_read(struct hf_slice data, struct hf_proxy_header *header)
{
	*header = (struct hf_proxy_header){0};
	if (data.length == 0)
		return HF_EWAIT;
	return data.data[0] == signature[0] ? read_binary(data, header) : read_text(data, header);
}
