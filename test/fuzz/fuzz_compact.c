/* Compact encoding: the first byte chooses what is read. What was accepted is written again and read again with the same result.
 *
 * Covers: src/codec/compact.c src/codec/compact_any.c src/codec/compact_ip.c src/codec/zbase32.c src/codec/core_key.c
 */
#include "fuzz.h"

#include "codec/compact_any.h"
#include "codec/compact_ip.h"
#include "codec/core_key.h"
#include "codec/zbase32.h"

/* Reads a program of types from the bytes themselves and writes each value anew. */
static void read_integers(struct hf_compact_reader *in, struct hf_compact_writer *out)
{
	while (in->status == HF_OK && hf_compact_left(in) > 0) {
		uint64_t type = hf_compact_read_uint_bits(in, 8);
		unsigned bits = 8 + 8 * (unsigned)(type / 16 % 8);
		switch (type % 8) {
		case 0: hf_compact_write_uint(out, hf_compact_read_uint(in)); break;
		case 1: hf_compact_write_int(out, hf_compact_read_int(in)); break;
		case 2: hf_compact_write_uint_bits(out, hf_compact_read_uint_bits(in, bits), bits); break;
		case 3: hf_compact_write_int_bits(out, hf_compact_read_int_bits(in, bits), bits); break;
		case 4: hf_compact_write_uint_be_bits(out, hf_compact_read_uint_be_bits(in, bits / 64 * 32 + 32), bits / 64 * 32 + 32); break;
		case 5: {
			uint64_t value = hf_compact_read_lexint(in);
			if (value <= UINT32_MAX)
				hf_compact_write_lexint(out, value);
			break;
		}
		case 6: hf_compact_write_float64(out, hf_compact_read_float64(in)); break;
		default: hf_compact_write_float32(out, hf_compact_read_float32(in));
		}
	}
}

static void read_buffers(struct hf_compact_reader *in, struct hf_compact_writer *out)
{
	uint64_t bit_count;
	size_t count;

	hf_compact_write_bool(out, hf_compact_read_bool(in));
	hf_compact_write_buffer(out, hf_compact_read_buffer(in));
	struct hf_slice bits = hf_compact_read_bit_array(in, &bit_count);
	hf_compact_write_bit_array(out, bits.data, bit_count);
	struct hf_slice words = hf_compact_read_uint32_array(in, &count);
	uint32_t *copy = malloc(words.length + 1);
	FUZZ_CHECK(copy != NULL);
	if (words.length > 0)
		memcpy(copy, words.data, words.length);
	hf_compact_write_uint32_array(out, copy, count);
	free(copy);
	struct hf_compact_reader frame = hf_compact_read_frame(in);
	size_t begun = hf_compact_frame_begin(out);
	struct hf_slice rest = hf_compact_read_raw(&frame);
	hf_compact_write_fixed(out, rest.data, rest.length);
	hf_compact_frame_end(out, begun);
}

static void write_token(struct hf_compact_writer *out, const struct hf_compact_any_token *token, bool is_member)
{
	if (is_member)
		hf_compact_write_any_key(out, token->key);
	switch (token->type) {
	case HF_COMPACT_ANY_NULL: hf_compact_write_any_null(out); break;
	case HF_COMPACT_ANY_BOOL: hf_compact_write_any_bool(out, token->boolean); break;
	case HF_COMPACT_ANY_STRING: hf_compact_write_any_string(out, token->bytes); break;
	case HF_COMPACT_ANY_BUFFER: hf_compact_write_any_buffer(out, token->bytes); break;
	case HF_COMPACT_ANY_UINT: hf_compact_write_any_integer(out, (int64_t)token->uint); break;
	case HF_COMPACT_ANY_INT: hf_compact_write_any_integer(out, token->integer); break;
	case HF_COMPACT_ANY_DATE: hf_compact_write_any_date(out, token->integer); break;
	case HF_COMPACT_ANY_FLOAT64: hf_compact_write_any_float64(out, token->number); break;
	case HF_COMPACT_ANY_ARRAY: hf_compact_write_any_array(out, token->count); break;
	case HF_COMPACT_ANY_OBJECT: hf_compact_write_any_object(out, token->count); break;
	default: break;
	}
}

static void read_any(struct hf_compact_reader *in, struct hf_compact_writer *out)
{
	struct hf_compact_any_reader any = hf_compact_any_reader(in);
	struct hf_compact_any_token token;

	do {
		bool in_object = any.depth > 0 && any.left[any.depth - 1] > 0 && (any.objects >> (any.depth - 1) & 1) != 0;
		hf_compact_any_next(&any, &token);
		FUZZ_CHECK(any.depth <= HF_COMPACT_ANY_DEPTH_MAX);
		if (in->status == HF_OK)
			write_token(out, &token, in_object);
	} while (token.type != HF_COMPACT_ANY_END);
}

static void read_ips(struct hf_compact_reader *in, struct hf_compact_writer *out)
{
	static const enum hf_compact_ip_form forms[] = {HF_COMPACT_IP, HF_COMPACT_IPV4, HF_COMPACT_IPV6};

	for (size_t i = 0; i < 3 && in->status == HF_OK; i++) {
		struct hf_compact_ip ip = hf_compact_read_ip(in, forms[i]);
		if (in->status == HF_OK)
			hf_compact_write_ip(out, forms[i], &ip);
		ip = hf_compact_read_ip_address(in, forms[i]);
		if (in->status == HF_OK)
			hf_compact_write_ip_address(out, forms[i], &ip);
	}
}

static void read_texts(struct hf_compact_reader *in, struct hf_compact_writer *out)
{
	hf_compact_write_buffer(out, hf_compact_read_json(in));
	size_t count = hf_compact_read_count(in, 4, 2);
	struct hf_compact_pair pairs[4];
	for (size_t i = 0; i < count; i++)
		pairs[i] = hf_compact_read_string_pair(in);
	hf_compact_write_string_record(out, pairs, count);
	struct hf_slice rest = hf_compact_read_raw_json(in);
	hf_compact_write_fixed(out, rest.data, rest.length);
}

static void (*const readers[])(struct hf_compact_reader *in, struct hf_compact_writer *out) = {
	read_integers, read_buffers, read_any, read_ips, read_texts};

/* Written anew, a message is in its shortest form, which stays as it is; integers are written without the types in between. */
static void check_around(size_t which, struct hf_slice bytes)
{
	struct hf_buffer first = {0}, second = {0};
	struct hf_compact_reader in = hf_compact_reader(bytes);
	struct hf_compact_writer out = hf_compact_writer(&first), again = hf_compact_writer(&second);

	readers[which](&in, &out);
	if (in.status == HF_OK && out.status == HF_OK && which != 0) {
		in = hf_compact_reader(hf_buffer_slice(&first));
		readers[which](&in, &again);
		FUZZ_CHECK(in.status == HF_OK && again.status == HF_OK);
		FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&first), hf_buffer_slice(&second)));
	}
	hf_buffer_free(&first);
	hf_buffer_free(&second);
}

static void check_key(struct hf_slice text)
{
	uint8_t key[32], again[32], decoded[64], encoded[128];
	char id[HF_CORE_ID_BYTES];

	if (hf_core_key_decode(key, text) == HF_OK) {
		hf_core_key_encode(id, key);
		FUZZ_CHECK(hf_core_key_decode(again, hf_slice_text(id)) == HF_OK && memcmp(key, again, 32) == 0);
	}
	if (text.length > 64)
		return;
	hf_zbase32_encode(encoded, text.data, text.length);
	FUZZ_CHECK(hf_zbase32_decode(decoded, encoded, HF_ZBASE32_ENCODED_BYTES(text.length)));
	FUZZ_CHECK(hf_slice_equal(hf_slice(decoded, text.length), text));
	hf_zbase32_decode(decoded, text.data, text.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t count = sizeof readers / sizeof *readers;

	if (size == 0)
		return 0;
	if (data[0] % (count + 1) == count)
		check_key(hf_slice(data + 1, size - 1));
	else
		check_around(data[0] % (count + 1), hf_slice(data + 1, size - 1));
	return 0;
}
