/* Messages of the extension hyperbee. What was read is written, read and written again, part by part: both writings are the same. The numbers
 * in packed lists are sound once the message is.
 *
 * Covers: src/wire/bee_hint.c
 */
#include "fuzz.h"

#include "codec/protobuf.h"
#include "wire/bee_hint.h"

#define NUMBERS_MAX 4096

static uint64_t numbers[NUMBERS_MAX];

static size_t unpack(struct hf_slice packed)
{
	struct hf_protobuf_reader in = hf_protobuf_reader(packed);
	size_t count = 0;

	while (in.at < in.end) {
		uint64_t number = hf_protobuf_read_varint(&in);

		if (count < NUMBERS_MAX)
			numbers[count++] = number;
	}
	FUZZ_CHECK(in.status == HF_OK);
	return count;
}

static void write_parts(const struct hf_bee_hint *hint, struct hf_buffer parts[3])
{
	if (hint->has_get)
		FUZZ_CHECK(hf_bee_hint_encode_get(hint->get.version, hint->get.key, &parts[0]) == HF_OK);
	if (hint->has_range)
		FUZZ_CHECK(hf_bee_hint_encode_range(hint->range.version, &hint->range.range, numbers, unpack(hint->range.checkpoint), &parts[1]) == HF_OK);
	if (hint->has_cache)
		FUZZ_CHECK(hf_bee_hint_encode_cache(numbers, unpack(hint->cache.blocks), &parts[2]) == HF_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_buffer once[3] = {{0}}, again[3] = {{0}};
	struct hf_bee_hint hint, part;

	if (hf_bee_hint_decode(hf_slice(data, size), &hint) != HF_OK)
		return 0;
	write_parts(&hint, once);
	for (int i = 0; i < 3; i++) {
		if (once[i].length == 0)
			continue;
		FUZZ_CHECK(hf_bee_hint_decode(hf_buffer_slice(&once[i]), &part) == HF_OK);
		FUZZ_CHECK(part.has_get == (i == 0) && part.has_range == (i == 1) && part.has_cache == (i == 2));
		write_parts(&part, again);
		FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&once[i]), hf_buffer_slice(&again[i])));
	}
	for (int i = 0; i < 3; i++) {
		hf_buffer_free(&once[i]);
		hf_buffer_free(&again[i]);
	}
	return 0;
}
