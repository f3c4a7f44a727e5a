/* WebSocket sessions: messages whole, in fragments and in pieces; every malformed frame; deflate and its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/websocket.h"
#include "wire/websocket_deflate.h"

#define MESSAGE_BYTES_MAX 100000

/* What a session said, as text lines that can be compared. */
struct recorder {
	struct hf_websocket_session session;
	struct hf_buffer messages; /* type byte, length, bytes */
	struct hf_buffer output;
	unsigned message_count, pong_count, close_at_message;
};

static void on_message(void *context, bool is_text, struct hf_slice message)
{
	struct recorder *r = context;
	uint8_t head[9] = {is_text ? 't' : 'b'};
	hf_store_le64(head + 1, message.length);
	hf_buffer_append(&r->messages, head, 9);
	hf_buffer_append(&r->messages, message.data, message.length);
	if (++r->message_count == r->close_at_message)
		hf_websocket_session_close(&r->session, 1000, NULL);
}

static void on_output(void *context, struct hf_slice frame)
{
	hf_buffer_append(&((struct recorder *)context)->output, frame.data, frame.length);
}

static void on_pong(void *context)
{
	((struct recorder *)context)->pong_count++;
}

static void on_mask(void *context, uint8_t mask[static 4])
{
	memcpy(mask, "\x01\x02\x03\x04", 4);
}

static const struct hf_websocket_events events = {
	.message = on_message, .output = on_output, .pong = on_pong, .mask = on_mask};

static void begin(struct recorder *r, enum hf_websocket_role role, struct hf_websocket_deflate *deflate)
{
	*r = (struct recorder){0};
	hf_websocket_session_init(&r->session, role, MESSAGE_BYTES_MAX, &events, r);
	r->session.deflate = deflate;
}

static void end(struct recorder *r)
{
	hf_websocket_session_free(&r->session);
	hf_buffer_free(&r->messages);
	hf_buffer_free(&r->output);
}

/* Feeds a copy in pieces of `step` bytes, each in a block of its own size. */
static int feed(struct recorder *r, struct hf_slice bytes, size_t step)
{
	int result = HF_OK;
	for (size_t at = 0; at < bytes.length && result == HF_OK; at += step) {
		size_t piece = bytes.length - at < step ? bytes.length - at : step;
		uint8_t *copy = malloc(piece);
		memcpy(copy, bytes.data + at, piece);
		result = hf_websocket_session_recv(&r->session, copy, piece);
		free(copy);
	}
	return result;
}

/* Appends a frame; masked unless mask is NULL. */
static void put(struct hf_buffer *out, unsigned first_byte, const void *payload, size_t length, const uint8_t *mask)
{
	uint8_t header[HF_WEBSOCKET_HEADER_BYTES_MAX];
	size_t header_length = hf_websocket_frame_header(header, HF_WEBSOCKET_TEXT, false, length, mask);
	header[0] = (uint8_t)first_byte;
	hf_buffer_append(out, header, header_length);
	size_t start = out->length;
	hf_buffer_append(out, payload, length);
	if (mask)
		hf_websocket_mask(out->data + start, length, mask);
}

static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};

static void assert_message(struct recorder *r, size_t *at, char type, const void *bytes, size_t length)
{
	assert_true(r->messages.length >= *at + 9 + length);
	assert_int_equal(r->messages.data[*at], type);
	assert_int_equal(hf_load_le64(r->messages.data + *at + 1), length);
	assert_memory_equal(r->messages.data + *at + 9, bytes, length);
	*at += 9 + length;
}

static void test_messages_of_every_length_come_whole(void **state)
{
	static const size_t lengths[] = {0, 1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 125, 126, 127, 128, 65535, 65536, 70000};
	static const size_t steps[] = {1, 2, 3, 13, 14, 15, 1000, 65536, 1000000};
	uint8_t *payload = malloc(70000);
	for (size_t i = 0; i < 70000; i++)
		payload[i] = (uint8_t)(i * 7 % 128);
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
		for (size_t j = 0; j < sizeof steps / sizeof *steps; j++)
			for (int is_client = 0; is_client < 2; is_client++) {
				struct recorder r;
				struct hf_buffer bytes = {0};
				size_t at = 0;
				begin(&r, is_client ? HF_WEBSOCKET_CLIENT : HF_WEBSOCKET_SERVER, NULL);
				put(&bytes, 0x81, payload, lengths[i], is_client ? NULL : mask);
				put(&bytes, 0x82, payload, lengths[i], is_client ? NULL : mask);
				assert_int_equal(feed(&r, hf_buffer_slice(&bytes), steps[j]), HF_OK);
				assert_message(&r, &at, 't', payload, lengths[i]);
				assert_message(&r, &at, 'b', payload, lengths[i]);
				assert_null(r.session.message.data); /* nothing is kept */
				hf_buffer_free(&bytes);
				end(&r);
			}
	free(payload);
}

static void test_a_whole_frame_is_not_copied(void **state)
{
	struct recorder r;
	struct hf_buffer bytes = {0};
	begin(&r, HF_WEBSOCKET_SERVER, NULL);
	put(&bytes, 0x81, "hello", 5, mask);
	assert_int_equal(hf_websocket_session_recv(&r.session, bytes.data, bytes.length), HF_OK);
	assert_memory_equal(bytes.data + 6, "hello", 5); /* unmasked where it lies */
	assert_null(r.session.message.data);
	hf_buffer_free(&bytes);
	end(&r);
}

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 8;
}

/* Random messages in random fragments with random control frames between, cut at random: always the same messages. */
static void test_fragments_and_cuts_do_not_matter(void **state)
{
	unsigned seed = 42;
	for (int round = 0; round < 3000; round++) {
		struct hf_buffer bytes = {0}, expected = {0};
		unsigned ping_count = 0, message_count = 1 + next_random(&seed) % 4;
		for (unsigned m = 0; m < message_count; m++) {
			char text[600];
			size_t length = next_random(&seed) % sizeof text;
			bool is_text = next_random(&seed) % 2;
			for (size_t i = 0; i < length; i++)
				text[i] = (char)('a' + next_random(&seed) % 26);
			/* Characters of several bytes, which fragments may cut. */
			for (size_t i = 0; i + 4 < length; i += 5 + next_random(&seed) % 20)
				memcpy(text + i, i % 2 ? "\xe2\x82\xac" : "\xf0\x9f\x98\x80", i % 2 ? 3 : 4);
			uint8_t head[9] = {is_text ? 't' : 'b'};
			hf_store_le64(head + 1, length);
			hf_buffer_append(&expected, head, 9);
			hf_buffer_append(&expected, text, length);
			unsigned opcode = is_text ? 1 : 2;
			size_t at = 0;
			while (next_random(&seed) % 3) {
				size_t piece = next_random(&seed) % (length - at + 1);
				uint8_t m4[4] = {(uint8_t)next_random(&seed), (uint8_t)next_random(&seed), 0, 9};
				put(&bytes, opcode, text + at, piece, m4);
				at += piece;
				opcode = 0;
				if (next_random(&seed) % 2) {
					put(&bytes, 0x89, text, length < 125 ? length : 125, m4);
					ping_count++;
				}
			}
			put(&bytes, 0x80 | opcode, text + at, length - at, mask);
		}
		struct recorder r;
		begin(&r, HF_WEBSOCKET_SERVER, NULL);
		for (size_t at = 0; at < bytes.length;) {
			size_t piece = 1 + next_random(&seed) % 200;
			if (piece > bytes.length - at)
				piece = bytes.length - at;
			assert_int_equal(feed(&r, hf_slice(bytes.data + at, piece), piece), HF_OK);
			at += piece;
		}
		assert_int_equal(r.messages.length, expected.length);
		assert_memory_equal(r.messages.data, expected.data, expected.length);
		unsigned pong_count = 0;
		for (size_t at = 0; at < r.output.length; at += 2 + r.output.data[at + 1], pong_count++)
			assert_int_equal(r.output.data[at], 0x8a);
		assert_int_equal(pong_count, ping_count);
		assert_null(r.session.message.data);
		end(&r);
		hf_buffer_free(&bytes);
		hf_buffer_free(&expected);
	}
}

struct bad_frame {
	const char *bytes;
	size_t length;
	uint16_t code;
};
#define BAD(text, code_)                                                                                               \
	{                                                                                                              \
		text, sizeof(text) - 1, code_                                                                          \
	}
#define MASK0 "\0\0\0\0"

static void assert_refused(
	const struct bad_frame *bad, enum hf_websocket_role role, struct hf_websocket_deflate *deflate)
{
	for (size_t step = 1; step <= bad->length; step++) {
		struct recorder r;
		begin(&r, role, deflate);
		int result = feed(&r, hf_slice(bad->bytes, bad->length), step);
		size_t skip = role == HF_WEBSOCKET_CLIENT ? 6 : 2;
		bool has_close = r.output.length >= skip + 2 && r.output.data[0] == 0x88;
		uint16_t code = has_close ? hf_load_be16(r.output.data + skip) : 0;
		if (role == HF_WEBSOCKET_CLIENT)
			code ^= 0x0102;
		if (result >= 0 || result == HF_ECLOSED || code != bad->code || r.session.close_code != bad->code)
			fail_msg("frame %02x %02x, step %zu: result %d, code %u", (uint8_t)bad->bytes[0],
				(uint8_t)bad->bytes[1], step, result, code);
		assert_true(hf_websocket_session_is_over(&r.session));
		uint8_t more[] = {0x81, 0x80, 0, 0, 0, 0};
		unsigned count = r.message_count;
		hf_websocket_session_recv(&r.session, more, sizeof more);
		assert_int_equal(r.message_count, count); /* deaf from here on */
		end(&r);
	}
}

static void test_every_malformed_frame_is_refused(void **state)
{
	static const struct bad_frame table[] = {
		BAD("\x81\x00", 1002),       /* unmasked from a client */
		BAD("\xc1\x80" MASK0, 1002), /* reserved bits without an extension */
		BAD("\xa1\x80" MASK0, 1002),
		BAD("\x91\x80" MASK0, 1002),
		BAD("\xf1\x80" MASK0, 1002),
		BAD("\x83\x80" MASK0, 1002), /* opcodes that do not exist */
		BAD("\x84\x80" MASK0, 1002),
		BAD("\x85\x80" MASK0, 1002),
		BAD("\x86\x80" MASK0, 1002),
		BAD("\x87\x80" MASK0, 1002),
		BAD("\x8b\x80" MASK0, 1002),
		BAD("\x8c\x80" MASK0, 1002),
		BAD("\x8d\x80" MASK0, 1002),
		BAD("\x8e\x80" MASK0, 1002),
		BAD("\x8f\x80" MASK0, 1002),
		BAD("\x80\x80" MASK0, 1002), /* continuation of nothing */
		BAD("\x00\x80" MASK0, 1002),
		BAD("\x01\x80" MASK0 "\x81\x80" MASK0, 1002), /* a message inside a message */
		BAD("\x01\x80" MASK0 "\x82\x80" MASK0, 1002),
		BAD("\x09\x80" MASK0, 1002), /* fragmented control frames */
		BAD("\x08\x80" MASK0, 1002),
		BAD("\x0a\x80" MASK0, 1002),
		BAD("\x89\xfe\x00\x7e" MASK0, 1002), /* long control frames */
		BAD("\x88\xfe\x01\x00" MASK0, 1002),
		BAD("\x8a\xff\0\0\0\0\0\1\0\0" MASK0, 1002),
		BAD("\xc9\x80" MASK0, 1002),         /* compressed control frame */
		BAD("\x81\xfe\x00\x7d" MASK0, 1002), /* lengths not in their shortest form */
		BAD("\x81\xfe\x00\x00" MASK0, 1002),
		BAD("\x81\xff\0\0\0\0\0\0\xff\xff" MASK0, 1002),
		BAD("\x81\xff\0\0\0\0\0\0\0\x01" MASK0, 1002),
		BAD("\x81\xff\x80\0\0\0\0\0\0\0" MASK0, 1009), /* beyond every limit */
		BAD("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff" MASK0, 1009),
		BAD("\x81\xff\0\0\0\0\0\1\x86\xa1" MASK0, 1009), /* one more than 100,000 */
		BAD("\x81\x81" MASK0 "\xff", 1007),              /* not UTF-8 */
		BAD("\x81\x82" MASK0 "\xc0\x80", 1007),
		BAD("\x81\x83" MASK0 "\xed\xa0\x80", 1007),
		BAD("\x81\x84" MASK0 "\xf4\x90\x80\x80", 1007),
		BAD("\x81\x82" MASK0 "\xe2\x82", 1007),
		BAD("\x01\x82" MASK0 "\xe2\x82\x80\x80" MASK0, 1007), /* cut off in the last fragment */
		BAD("\x01\x82" MASK0 "\xe2\x82\x80\x81" MASK0 "a", 1007),
		BAD("\x01\x81" MASK0 "\xff", 1007), /* refused before the message is whole */
		BAD("\x88\x81" MASK0 "\x03", 1002), /* close frames */
		BAD("\x88\x82" MASK0 "\x03\xec", 1002),
		BAD("\x88\x82" MASK0 "\x03\xed", 1002),
		BAD("\x88\x82" MASK0 "\x03\xee", 1002),
		BAD("\x88\x82" MASK0 "\x03\xf7", 1002),
		BAD("\x88\x82" MASK0 "\x03\xe7", 1002),
		BAD("\x88\x82" MASK0 "\x00\x00", 1002),
		BAD("\x88\x82" MASK0 "\x0b\xb7", 1002),
		BAD("\x88\x82" MASK0 "\x13\x88", 1002),
		BAD("\x88\x82" MASK0 "\xff\xff", 1002),
		BAD("\x88\x83" MASK0 "\x03\xe8\xff", 1007),
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		assert_refused(&table[i], HF_WEBSOCKET_SERVER, NULL);
	static const struct bad_frame client_table[] = {
		BAD("\x81\x80" MASK0, 1002), BAD("\x89\x80" MASK0, 1002), BAD("\xc1\x01x", 1002)};
	for (size_t i = 0; i < sizeof client_table / sizeof *client_table; i++)
		assert_refused(&client_table[i], HF_WEBSOCKET_CLIENT, NULL);
}

static void test_fragments_together_keep_the_limit(void **state)
{
	struct recorder r;
	struct hf_buffer bytes = {0};
	char *block = calloc(1, 60000);
	begin(&r, HF_WEBSOCKET_SERVER, NULL);
	put(&bytes, 0x02, block, 60000, mask);
	put(&bytes, 0x80, block, 40001, mask);
	assert_int_equal(feed(&r, hf_buffer_slice(&bytes), 5000), HF_ETOOBIG);
	assert_int_equal(r.session.close_code, 1009);
	assert_null(r.session.message.data);
	free(block);
	hf_buffer_free(&bytes);
	end(&r);
}

static void test_close_is_echoed_and_ends_everything(void **state)
{
	static const unsigned codes[] = {
		1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999};
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		struct recorder r;
		struct hf_buffer bytes = {0};
		uint8_t payload[] = {(uint8_t)(codes[i] >> 8), (uint8_t)codes[i], 'b', 'y', 'e'};
		begin(&r, HF_WEBSOCKET_SERVER, NULL);
		put(&bytes, 0x88, payload, sizeof payload, mask);
		put(&bytes, 0x81, "late", 4, mask);
		assert_int_equal(feed(&r, hf_buffer_slice(&bytes), 1000), HF_ECLOSED);
		assert_int_equal(r.session.close_code, codes[i]);
		assert_int_equal(r.message_count, 0);
		assert_int_equal(r.output.length, 4);
		assert_int_equal(hf_load_be16(r.output.data + 2), codes[i]);
		end(&r);
		hf_buffer_free(&bytes);
	}
	struct recorder r;
	uint8_t empty[] = {0x88, 0x80, 1, 2, 3, 4};
	begin(&r, HF_WEBSOCKET_SERVER, NULL);
	assert_int_equal(hf_websocket_session_recv(&r.session, empty, sizeof empty), HF_ECLOSED);
	assert_int_equal(r.session.close_code, HF_WEBSOCKET_CLOSE_NONE);
	assert_int_equal(r.output.length, 2);
	end(&r);
}

static void test_our_close_waits_for_theirs_and_hears_nothing_else(void **state)
{
	struct recorder r;
	struct hf_buffer bytes = {0};
	begin(&r, HF_WEBSOCKET_SERVER, NULL);
	r.close_at_message = 1;
	put(&bytes, 0x81, "one", 3, mask);
	put(&bytes, 0x81, "two", 3, mask);
	put(&bytes, 0x89, "ping", 4, mask);
	put(&bytes, 0x88, "\x03\xe8", 2, mask);
	assert_int_equal(feed(&r, hf_buffer_slice(&bytes), 1000), HF_ECLOSED);
	assert_int_equal(r.message_count, 1);
	assert_int_equal(r.output.length, 4); /* one close frame, no pong, no second close */
	assert_true(hf_websocket_session_is_over(&r.session));
	hf_buffer_free(&bytes);
	end(&r);
}

static void test_close_reasons_are_cut_between_characters(void **state)
{
	struct recorder r;
	char reason[200];
	memset(reason, 'a', 122);
	strcpy(reason + 122, "\xe2\x82\xac and more");
	begin(&r, HF_WEBSOCKET_SERVER, NULL);
	hf_websocket_session_close(&r.session, 1008, reason);
	assert_int_equal(r.output.data[1], 124);
	end(&r);
}

static void test_wide_mask_is_the_plain_mask(void **state)
{
	uint8_t data[200], expected[200];
	for (size_t length = 0; length < sizeof data; length++) {
		for (size_t i = 0; i < length; i++) {
			data[i] = (uint8_t)(i * 31);
			expected[i] = data[i] ^ mask[i % 4];
		}
		hf_websocket_mask(data, length, mask);
		assert_memory_equal(data, expected, length);
	}
}

/* ---- Deflate ---- */

static void test_compressed_messages_are_inflated(void **state)
{
	struct hf_websocket_deflate *deflate;
	assert_int_equal(hf_websocket_deflate_new(&deflate), HF_OK);
	char text[5000];
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)('a' + i * i % 17);
	for (size_t length = 0; length < sizeof text; length += 1 + length / 3)
		for (size_t step = 1; step < 6000; step = step * 3 + 1) {
			struct recorder r;
			struct hf_slice packed;
			struct hf_buffer bytes = {0};
			size_t at = 0;
			begin(&r, HF_WEBSOCKET_SERVER, deflate);
			assert_int_equal(hf_websocket_deflate(deflate, hf_slice(text, length), &packed), HF_OK);
			/* Twice, to see that no context is carried over; in two fragments, of which only the first is
			 * marked. */
			put(&bytes, 0xc1, packed.data, packed.length, mask);
			put(&bytes, 0x41, packed.data, packed.length / 2, mask);
			put(&bytes, 0x80, packed.data + packed.length / 2, packed.length - packed.length / 2, mask);
			put(&bytes, 0x81, "plain", 5, mask);
			assert_int_equal(feed(&r, hf_buffer_slice(&bytes), step), HF_OK);
			assert_message(&r, &at, 't', text, length);
			assert_message(&r, &at, 't', text, length);
			assert_message(&r, &at, 't', "plain", 5);
			hf_buffer_free(&bytes);
			end(&r);
		}
	hf_websocket_deflate_free(deflate);
}

static void test_zip_bombs_and_broken_streams_are_refused(void **state)
{
	struct hf_websocket_deflate *deflate;
	struct hf_slice packed;
	struct recorder r;
	struct hf_buffer bytes = {0};
	assert_int_equal(hf_websocket_deflate_new(&deflate), HF_OK);
	uint8_t *zeros = calloc(1, 20 << 20);
	assert_int_equal(hf_websocket_deflate(deflate, hf_slice(zeros, 20 << 20), &packed), HF_OK);
	assert_true(packed.length < MESSAGE_BYTES_MAX);
	put(&bytes, 0xc2, packed.data, packed.length, mask);
	begin(&r, HF_WEBSOCKET_SERVER, deflate);
	assert_int_equal(feed(&r, hf_buffer_slice(&bytes), 100000), HF_ETOOBIG);
	assert_int_equal(r.session.close_code, 1009);
	end(&r);
	/* Exactly the limit is fine, one more is not. */
	struct hf_slice message;
	for (size_t length = 4095; length <= 4097; length++) {
		hf_websocket_deflate(deflate, hf_slice(zeros, length), &packed);
		struct hf_buffer copy = {0};
		hf_buffer_append(&copy, packed.data, packed.length);
		assert_int_equal(hf_websocket_inflate(deflate, hf_buffer_slice(&copy), 4096, &message),
			length <= 4096 ? HF_OK : HF_ETOOBIG);
		hf_buffer_free(&copy);
	}
	free(zeros);
	hf_buffer_free(&bytes);
	static const struct bad_frame table[] = {
		BAD("\xc1\x84" MASK0 "\xff\xff\xff\xff", 1007),
		BAD("\xc1\x81" MASK0 "\x07", 1007),
		BAD("\x41\x80" MASK0 "\xc0\x80" MASK0, 1002), /* marked in the middle */
		BAD("\xc1\x87" MASK0 "\xfa\xff\xff\xff\xff\xff\xff", 1007),
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		assert_refused(&table[i], HF_WEBSOCKET_SERVER, deflate);
	/* Compressed text that is not UTF-8. */
	hf_websocket_deflate(deflate, HF_SLICE_LITERAL("\xff\xfe"), &packed);
	put(&bytes, 0xc1, packed.data, packed.length, mask);
	begin(&r, HF_WEBSOCKET_SERVER, deflate);
	assert_int_equal(feed(&r, hf_buffer_slice(&bytes), 3), HF_EMALFORMED);
	assert_int_equal(r.session.close_code, 1007);
	end(&r);
	hf_buffer_free(&bytes);
	hf_websocket_deflate_free(deflate);
}

static void test_offers_are_judged(void **state)
{
	static const struct {
		const char *offer;
		bool is_accepted;
	} table[] = {
		{"permessage-deflate", true},
		{"permessage-deflate; client_max_window_bits", true},
		{"permessage-deflate; client_max_window_bits=10; server_no_context_takeover", true},
		{"permessage-deflate; server_max_window_bits=15", true},
		{"permessage-deflate; server_max_window_bits=\"15\"", true},
		{"x-webkit-deflate-frame, permessage-deflate; client_max_window_bits", true},
		{"permessage-deflate; server_max_window_bits=10, permessage-deflate", true},
		{"permessage-deflate; server_max_window_bits=10", false},
		{"permessage-deflate; unknown", false},
		{"permessage-deflate; client_max_window_bits=7", false},
		{"permessage-deflate; client_max_window_bits=16", false},
		{"permessage-deflate; client_max_window_bits=", false},
		{"permessage-deflate; server_no_context_takeover=1", false},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", false},
		{"", false},
		{",;=,;", false},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct hf_websocket_deflate_terms terms;
		char answer[HF_WEBSOCKET_DEFLATE_ANSWER_BYTES];
		if (hf_websocket_deflate_accept(hf_slice_text(table[i].offer), false, &terms, answer) != table[i].is_accepted)
			fail_msg("%s", table[i].offer);
		if (table[i].is_accepted)
			assert_true(hf_websocket_deflate_confirm(hf_slice_text(answer)));
	}
	assert_false(hf_websocket_deflate_confirm(HF_SLICE_LITERAL("permessage-deflate")));
}

static void test_windows_and_takeover_are_agreed_on(void **state)
{
	static const struct {
		const char *offer, *answer;
	} table[] = {
		{"permessage-deflate", "permessage-deflate; server_max_window_bits=12"},
		{"permessage-deflate; client_max_window_bits", "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"},
		{"permessage-deflate; client_max_window_bits=9; server_max_window_bits=10",
			"permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"},
		{"permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover; server_max_window_bits=12"},
		{"permessage-deflate; client_no_context_takeover; server_max_window_bits=15",
			"permessage-deflate; client_no_context_takeover; server_max_window_bits=12"},
		{"permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
			"permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		{"permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=9",
			"permessage-deflate; server_max_window_bits=9"},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct hf_websocket_deflate_terms terms;
		char answer[HF_WEBSOCKET_DEFLATE_ANSWER_BYTES];
		assert_true(hf_websocket_deflate_accept(hf_slice_text(table[i].offer), true, &terms, answer));
		assert_string_equal(answer, table[i].answer);
	}
	struct hf_websocket_deflate_terms terms;
	char answer[HF_WEBSOCKET_DEFLATE_ANSWER_BYTES];
	assert_false(hf_websocket_deflate_accept(HF_SLICE_LITERAL("permessage-deflate; server_max_window_bits=8"), true, &terms, answer));
}

/* What one side's compressor remembers, the other's needs: messages one after another, by every window. */
static void test_a_message_refers_to_those_before_it(void **state)
{
	char text[160];
	uint32_t random = 1;
	for (size_t i = 0; i < sizeof text; i++) {
		random = random * 1664525 + 1013904223;
		text[i] = (char)('a' + (random >> 16) % 26);
	}
	for (uint8_t bits = 9; bits <= 15; bits++) {
		const struct hf_websocket_deflate_terms terms = {.server_takeover = true, .client_takeover = true, .server_bits = bits, .client_bits = bits};
		struct hf_websocket_deflate *out, *in;
		size_t first = 0, later = 0;
		assert_int_equal(hf_websocket_deflate_new_own(&out, &terms), HF_OK);
		assert_int_equal(hf_websocket_deflate_new_own(&in, &terms), HF_OK);
		for (int round = 0; round < 20; round++) {
			struct hf_slice packed, message;
			size_t length = 100 + (size_t)round;
			assert_int_equal(hf_websocket_deflate(out, hf_slice(text, length), &packed), HF_OK);
			*(round ? &later : &first) += packed.length;
			assert_int_equal(hf_websocket_inflate(in, packed, 4096, &message), HF_OK);
			assert_true(hf_slice_equal(message, hf_slice(text, length)));
			hf_websocket_deflate_trim(out);
			hf_websocket_inflate_trim(in);
		}
		assert_true(later / 19 * 3 < first);
		hf_websocket_deflate_free(out);
		hf_websocket_deflate_free(in);
	}
}

/* An idle connection keeps what the other side may refer to, and no more; it goes on as if nothing had been. */
static void test_an_idle_connection_frees_what_nobody_refers_to(void **state)
{
	const struct hf_websocket_deflate_terms terms = {.server_takeover = true, .client_takeover = true, .server_bits = 12, .client_bits = 12};
	const struct hf_slice text = HF_SLICE_LITERAL("the same words again, and again the same words, and the same words again");
	struct hf_websocket_deflate *server, *client;
	struct hf_slice packed, message;
	size_t first = 0;
	assert_int_equal(hf_websocket_deflate_new_own(&server, &terms), HF_OK);
	assert_int_equal(hf_websocket_deflate_new_own(&client, &terms), HF_OK);
	size_t empty = hf_websocket_deflate_bytes(server);
	assert_in_range(empty, 1, 1000);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(hf_websocket_deflate(client, text, &packed), HF_OK);
		assert_int_equal(hf_websocket_inflate(server, packed, 4096, &message), HF_OK);
		assert_true(hf_slice_equal(message, text));
		size_t reading = hf_websocket_deflate_bytes(server);
		assert_false(hf_websocket_deflate_has_output(server));
		for (int i = 0; i < 2; i++) {
			assert_int_equal(hf_websocket_deflate(server, text, &packed), HF_OK);
			first = round == 0 && i == 0 ? packed.length : first;
			assert_true(i == 0 ? packed.length == first : packed.length < first);
			assert_int_equal(hf_websocket_inflate(client, packed, 4096, &message), HF_OK);
			assert_true(hf_slice_equal(message, text));
		}
		assert_true(hf_websocket_deflate_bytes(server) > 2 * reading);
		hf_websocket_deflate_rest(server); /* something was sent since the one before */
		assert_true(hf_websocket_deflate_bytes(server) > 2 * reading);
		hf_websocket_deflate_rest(server);
		assert_int_equal(hf_websocket_deflate_bytes(server), reading);
	}
	hf_websocket_deflate_free(server);
	hf_websocket_deflate_free(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_of_every_length_come_whole),
		cmocka_unit_test(test_a_whole_frame_is_not_copied),
		cmocka_unit_test(test_fragments_and_cuts_do_not_matter),
		cmocka_unit_test(test_every_malformed_frame_is_refused),
		cmocka_unit_test(test_fragments_together_keep_the_limit),
		cmocka_unit_test(test_close_is_echoed_and_ends_everything),
		cmocka_unit_test(test_our_close_waits_for_theirs_and_hears_nothing_else),
		cmocka_unit_test(test_close_reasons_are_cut_between_characters),
		cmocka_unit_test(test_wide_mask_is_the_plain_mask),
		cmocka_unit_test(test_compressed_messages_are_inflated),
		cmocka_unit_test(test_zip_bombs_and_broken_streams_are_refused),
		cmocka_unit_test(test_offers_are_judged),
		cmocka_unit_test(test_windows_and_takeover_are_agreed_on),
		cmocka_unit_test(test_an_idle_connection_frees_what_nobody_refers_to),
		cmocka_unit_test(test_a_message_refers_to_those_before_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
