/* Packets become messages of sendmmsg. A run of packets to one address, all of one size but the last, which may be shorter, becomes one
 * message that the kernel cuts up (UDP_SEGMENT); it passes through routing and, on loopback, to the receiver as one. Where that is refused
 * the run is sent packet by packet, and if the system does not know it at all, it is not tried again. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>

#include "net/udp_private.h"

#define MESSAGE_COUNT 64u
#define PIECE_COUNT 1024u /* IOV_MAX */
#define SEGMENT_COUNT_MAX 64u /* UDP_MAX_SEGMENTS of older kernels */
#define RUN_BYTES_MAX 65000u
#define CONTROL_BYTES 64u

struct hf_udp_sender {
	bool has_no_segmentation;
	struct mmsghdr messages[MESSAGE_COUNT];
	unsigned packet_counts[MESSAGE_COUNT]; /* of each message */
	struct sockaddr_storage names[MESSAGE_COUNT];
	_Alignas(struct cmsghdr) uint8_t controls[MESSAGE_COUNT][CONTROL_BYTES];
	struct iovec pieces[PIECE_COUNT];
};

struct hf_udp_sender *hf_udp_sender_new(void)
{
	return calloc(1, sizeof(struct hf_udp_sender));
}

void hf_udp_sender_free(struct hf_udp_sender *sender)
{
	free(sender);
}

static size_t packet_bytes(const struct hf_udp_packet *packet)
{
	size_t bytes = 0;
	for (size_t i = 0; i < packet->piece_count; i++)
		bytes += packet->pieces[i].iov_len;
	return bytes;
}

/* How many packets, from the first on, can be one message. */
static unsigned run_length(const struct hf_udp_packet *packets, size_t count, size_t first_bytes)
{
	size_t total = first_bytes, pieces = packets->piece_count;
	unsigned length = 1;
	while (length < count && length < SEGMENT_COUNT_MAX && first_bytes > 0) {
		const struct hf_udp_packet *packet = &packets[length];
		size_t bytes = packet_bytes(packet);
		if (packet->ttl != packets->ttl || bytes == 0 || bytes > first_bytes || total + bytes > RUN_BYTES_MAX ||
			pieces + packet->piece_count > PIECE_COUNT || !hf_address_equal(&packet->address, &packets->address))
			break;
		total += bytes;
		pieces += packet->piece_count;
		length++;
		if (bytes < first_bytes)
			break;
	}
	return length;
}

static void add_control(struct msghdr *message, uint8_t *space, int level, int type, const void *value, size_t length)
{
	struct cmsghdr *control = (struct cmsghdr *)(void *)(space + message->msg_controllen);
	message->msg_control = space;
	message->msg_controllen += CMSG_SPACE(length);
	control->cmsg_level = level;
	control->cmsg_type = type;
	control->cmsg_len = CMSG_LEN(length);
	memcpy(CMSG_DATA(control), value, length);
}

/* Fills message `at` with `count` packets; their pieces go to `pieces`. Returns how many pieces there are. */
static size_t fill(struct hf_udp_sender *sender, size_t at, const struct hf_udp_packet *packets, unsigned count, size_t segment,
	struct iovec *pieces)
{
	struct msghdr *message = &sender->messages[at].msg_hdr;
	size_t piece_count = 0;
	for (unsigned i = 0; i < count; i++) {
		memcpy(pieces + piece_count, packets[i].pieces, packets[i].piece_count * sizeof *pieces);
		piece_count += packets[i].piece_count;
	}
	*message = (struct msghdr){.msg_name = &sender->names[at], .msg_iov = pieces, .msg_iovlen = piece_count};
	message->msg_namelen = hf_address_to_sockaddr(&packets->address, &sender->names[at]);
	if (count > 1)
		add_control(message, sender->controls[at], SOL_UDP, UDP_SEGMENT, &(uint16_t){(uint16_t)segment}, sizeof(uint16_t));
	if (packets->ttl && packets->ttl != HF_UDP_TTL) {
		int ttl = packets->ttl;
		bool is_ipv4 = hf_address_is_ipv4(&packets->address);
		add_control(message, sender->controls[at], is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6, is_ipv4 ? IP_TTL : IPV6_HOPLIMIT, &ttl,
			sizeof ttl);
	}
	sender->packet_counts[at] = count;
	return piece_count;
}

/* Fills messages; returns how many, and in *taken the packets in them. */
static unsigned fill_all(struct hf_udp_sender *sender, const struct hf_udp_packet *packets, size_t count, size_t *taken)
{
	unsigned messages = 0;
	size_t pieces = 0, at = 0;
	while (at < count && messages < MESSAGE_COUNT && pieces + packets[at].piece_count <= PIECE_COUNT) {
		size_t bytes = packet_bytes(&packets[at]);
		unsigned run = 1;
		if (!sender->has_no_segmentation)
			run = run_length(packets + at, count - at, bytes);
		size_t needed = 0;
		for (unsigned i = 0; i < run; i++)
			needed += packets[at + i].piece_count;
		if (pieces + needed > PIECE_COUNT)
			break;
		pieces += fill(sender, messages++, packets + at, run, bytes, sender->pieces + pieces);
		at += run;
	}
	*taken = at;
	return messages;
}

static bool is_full(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK;
}

static void count_sent(struct hf_udp_counters *counters, const struct hf_udp_packet *packets, size_t count)
{
	counters->sent_packets += count;
	for (size_t i = 0; i < count; i++)
		counters->sent_bytes += packet_bytes(&packets[i]);
}

/* Each packet by itself; how many are done with. */
static size_t send_singly(struct hf_udp_sender *sender, int fd, struct hf_udp_counters *counters, const struct hf_udp_packet *packets,
	size_t count)
{
	for (size_t i = 0; i < count; i++) {
		ssize_t sent;
		fill(sender, 0, packets + i, 1, 0, sender->pieces);
		do
			sent = sendmsg(fd, &sender->messages[0].msg_hdr, 0);
		while (sent < 0 && errno == EINTR);
		counters->send_calls++;
		if (sent < 0 && is_full(errno))
			return i;
		if (sent < 0)
			counters->failed_packets++;
		else
			count_sent(counters, packets + i, 1);
	}
	return count;
}

size_t hf_udp_sender_send(struct hf_udp_sender *sender, int fd, struct hf_udp_counters *counters, const struct hf_udp_packet *packets,
	size_t count)
{
	size_t done = 0, taken;
	while (done < count) {
		if (packets[done].piece_count > PIECE_COUNT) {
			counters->failed_packets++;
			done++;
			continue;
		}
		unsigned messages = fill_all(sender, packets + done, count - done, &taken);
		int sent = sendmmsg(fd, sender->messages, messages, 0);
		counters->send_calls++;
		for (int i = 0; i < sent; i++) {
			count_sent(counters, packets + done, sender->packet_counts[i]);
			done += sender->packet_counts[i];
		}
		if (sent > 0 || errno == EINTR)
			continue;
		if (is_full(errno))
			return done;
		unsigned run = sender->packet_counts[0];
		uint64_t failed_before = counters->failed_packets;
		bool is_unknown = run > 1 && (errno == EIO || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOPROTOOPT);
		size_t singles = send_singly(sender, fd, counters, packets + done, run);
		done += singles;
		if (singles < run)
			return done;
		/* It was not a packet that is too large for the link. */
		if (is_unknown && counters->failed_packets == failed_before)
			sender->has_no_segmentation = true;
	}
	return done;
}
