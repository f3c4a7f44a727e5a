/* The UDX packet codec on packets that udx-native sent and took; and the session on the recorded exchange of early packets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/vectors.h"
#include "udx_pair.h"
#include "wire/udx/packet.h"

#define SESSION_COUNT 11
#define PACKET_COUNT 110
#define CLIPPED_COUNT 20 /* of them: only their first 64 bytes are recorded */
#define BLOCK_COUNT 14

static struct hf_slice bytes_of(struct hf_buffer *buffer, const json_t *packet, bool *is_clipped)
{
	char text[256];
	const char *hex = vectors_text(packet, "hex");
	assert_true(strlen(hex) < sizeof text);
	strcpy(text, hex);
	*is_clipped = strstr(text, "...") != NULL;
	if (*is_clipped)
		*strstr(text, "...") = 0;
	return vectors_from_hex(buffer, text);
}

static size_t check_blocks(const json_t *fields, const struct hf_udx_header *header, struct hf_slice bytes)
{
	const json_t *sacks = json_object_get(fields, "sacks");
	struct hf_slice area = hf_udx_packet_blocks(header, bytes);
	assert_int_equal(json_array_size(sacks), area.length / HF_UDX_BLOCK_BYTES);
	for (size_t i = 0; i < json_array_size(sacks); i++) {
		uint8_t again[HF_UDX_BLOCK_BYTES];
		const uint8_t *at = area.data + i * HF_UDX_BLOCK_BYTES;
		struct hf_udx_block block = hf_udx_block_decode(at);
		assert_int_equal(block.start, json_integer_value(json_array_get(json_array_get(sacks, i), 0)));
		assert_int_equal(block.end, json_integer_value(json_array_get(json_array_get(sacks, i), 1)));
		hf_udx_block_encode(block, again);
		assert_memory_equal(again, at, sizeof again);
	}
	return json_array_size(sacks);
}

static void test_recorded_packets_decode_and_encode_to_the_same_bytes(void **state)
{
	json_t *vectors = vectors_load("swarm/udx-packets.json"), *session, *packet;
	size_t i, j, packets = 0, clipped = 0, blocks = 0;
	struct hf_buffer buffer = {0};
	(void)state;
	json_array_foreach(vectors_array(vectors, "sessions", SESSION_COUNT), i, session) {
		json_array_foreach(json_object_get(session, "packets"), j, packet) {
			const json_t *fields = vectors_get(packet, "fields");
			struct hf_udx_header header;
			struct hf_slice payload;
			uint8_t again[HF_UDX_HEADER_BYTES];
			bool is_clipped;
			struct hf_slice bytes = bytes_of(&buffer, packet, &is_clipped);
			assert_true(hf_udx_header_decode(&header, bytes));
			assert_int_equal(header.type, vectors_uint(fields, "type"));
			assert_int_equal(header.data_offset, vectors_uint(fields, "dataOffset"));
			assert_int_equal(header.id, vectors_uint(fields, "id"));
			assert_int_equal(header.window_bytes, vectors_uint(fields, "rwnd"));
			assert_int_equal(header.seq, vectors_uint(fields, "seq"));
			assert_int_equal(header.ack, vectors_uint(fields, "ack"));
			if (!is_clipped) {
				assert_true(hf_udx_packet_payload(&header, bytes, &payload));
				if (!(header.type & HF_UDX_SACK))
					assert_int_equal(payload.length, vectors_uint(fields, "payloadLength"));
			}
			if (header.type & HF_UDX_SACK)
				blocks += check_blocks(fields, &header, bytes);
			hf_udx_header_encode(&header, again);
			assert_memory_equal(again, bytes.data, sizeof again);
			packets++;
			clipped += is_clipped;
		}
	}
	assert_int_equal(packets, PACKET_COUNT);
	assert_int_equal(clipped, CLIPPED_COUNT);
	assert_int_equal(blocks, BLOCK_COUNT);
	hf_buffer_free(&buffer);
	json_decref(vectors);
}

/* What we answer to the recorded packets is what udx-native answered, but for the window, which is a constant of its own. */
static void test_early_packets_are_answered_with_the_recorded_blocks(void **state)
{
	json_t *vectors = vectors_load("swarm/udx-packets.json");
	json_t *packets = json_object_get(json_array_get(vectors_get(vectors, "sessions"), 1), "packets"), *packet;
	struct hf_buffer buffer = {0};
	struct pair p;
	size_t i, compared = 0;
	bool is_clipped;
	(void)state;
	pair_open(&p, 0x01020304, 0x0a0b0c0d);
	json_array_foreach(packets, i, packet) {
		struct hf_slice bytes = bytes_of(&buffer, packet, &is_clipped);
		if (strcmp(vectors_text(packet, "dir"), "-> udx-native") == 0) {
			uint8_t *copy = malloc(bytes.length);
			memcpy(copy, bytes.data, bytes.length);
			assert_true(hf_udx_recv(p.a.udx, p.now_us, &p.a, &p.b.path.remote, copy, bytes.length));
			free(copy);
			continue;
		}
		if (bytes.data[2] == HF_UDX_DESTROY)
			continue;
		struct hf_slice sent = pair_pull_one(&p, &p.a);
		assert_int_equal(sent.length, bytes.length);
		assert_memory_equal(sent.data, bytes.data, 8);
		assert_memory_equal(sent.data + 12, bytes.data + 12, bytes.length - 12);
		compared++;
	}
	assert_int_equal(compared, 9);
	assert_memory_equal(p.a.data.data, "abcdefgh", 8);
	pair_close(&p);
	hf_buffer_free(&buffer);
	json_decref(vectors);
}

static void test_what_is_not_udx_is_refused(void **state)
{
	uint8_t bytes[64] = {0xff, 1};
	struct hf_udx_header header;
	struct hf_slice payload;
	(void)state;
	for (size_t length = 0; length < HF_UDX_HEADER_BYTES; length++)
		assert_false(hf_udx_header_decode(&header, hf_slice(bytes, length)));
	assert_true(hf_udx_header_decode(&header, hf_slice(bytes, HF_UDX_HEADER_BYTES)));
	bytes[0] = 0xfe;
	assert_false(hf_udx_header_decode(&header, hf_slice(bytes, sizeof bytes)));
	bytes[0] = 0xff;
	bytes[1] = 2;
	assert_false(hf_udx_header_decode(&header, hf_slice(bytes, sizeof bytes)));
	header.data_offset = 44;
	assert_true(hf_udx_packet_payload(&header, hf_slice(bytes, sizeof bytes), &payload));
	assert_int_equal(payload.length, 0);
	header.data_offset = 45;
	assert_false(hf_udx_packet_payload(&header, hf_slice(bytes, sizeof bytes), &payload));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded_packets_decode_and_encode_to_the_same_bytes),
		cmocka_unit_test(test_early_packets_are_answered_with_the_recorded_blocks),
		cmocka_unit_test(test_what_is_not_udx_is_refused),
	};
	return cmocka_run_group_tests_name("wire/udx_packet", tests, NULL, NULL);
}
