/* fuzz_json: walks any text, token by token, and checks what it says about strings.
 * Covers: src/codec/json.c src/codec/json_string.c */
#include "fuzz.h"

#include "base/utf8.h"
#include "codec/json.h"

/* A string's spellings agree: canonical text decodes to the same, is scanned as canonical, and is what is appended. */
static void check_string(const struct hf_json_token *token)
{
	size_t length = token->raw.length;
	uint8_t *canonical = malloc(length + 1), *decoded = malloc(length + 1), *again = malloc(length + 1);
	FUZZ_CHECK(canonical != NULL && decoded != NULL && again != NULL);
	size_t canonical_length = hf_json_canonical(token->raw, canonical);
	size_t decoded_length = hf_json_unescape(token->raw, decoded);
	FUZZ_CHECK(canonical_length <= length && decoded_length <= length);
	FUZZ_CHECK(hf_utf8_valid(decoded, decoded_length));
	FUZZ_CHECK(hf_json_unescape(hf_slice(canonical, canonical_length), again) == decoded_length);
	FUZZ_CHECK(decoded_length == 0 || memcmp(again, decoded, decoded_length) == 0);
	unsigned features = 0;
	canonical[canonical_length] = '"';
	const uint8_t *end = canonical + canonical_length;
	FUZZ_CHECK(hf_json_scan_string(canonical, end + 1, &features) == end);
	FUZZ_CHECK((features & HF_JSON_LOOSE) == 0);
	if ((token->features & HF_JSON_LOOSE) == 0)
		FUZZ_CHECK(hf_slice_equal(token->raw, hf_slice(canonical, canonical_length)));
	struct hf_buffer text = {0};
	FUZZ_CHECK(hf_json_append_string(&text, hf_slice(decoded, decoded_length)) == HF_OK);
	FUZZ_CHECK(hf_slice_equal(hf_slice(text.data + 1, text.length - 2), hf_slice(canonical, canonical_length)));
	hf_buffer_free(&text);
	free(canonical);
	free(decoded);
	free(again);
}

static void check_number(const struct hf_json_token *token)
{
	uint64_t value;
	uint8_t digits[HF_JSON_U64_BYTES_MAX];
	if (hf_json_u64(token->raw, &value) == HF_OK)
		FUZZ_CHECK(hf_slice_equal(token->raw, hf_slice(digits, hf_json_write_u64(digits, value))));
}

static int walk(struct hf_slice text, uint32_t depth_max)
{
	struct hf_json json;
	struct hf_json_token token;
	int status;
	hf_json_init(&json, text, depth_max);
	while ((status = hf_json_next(&json, &token)) == HF_OK && token.type != HF_JSON_END) {
		FUZZ_CHECK(json.depth <= depth_max && json.at <= json.end);
		if (token.type == HF_JSON_STRING)
			check_string(&token);
		else if (token.type == HF_JSON_NUMBER)
			check_number(&token);
	}
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_slice text = hf_slice(data, size);
	struct hf_json json;
	struct hf_json_token token;
	int walked = walk(text, 16);
	hf_json_init(&json, text, 16);
	int skipped = hf_json_skip(&json);
	if (skipped == HF_OK)
		skipped = hf_json_next(&json, &token);
	FUZZ_CHECK(walked == skipped);
	/* Leaving the outermost level ends at the same place as walking out of it. */
	hf_json_init(&json, text, 16);
	if (hf_json_next(&json, &token) == HF_OK && hf_json_leave(&json) == HF_OK)
		FUZZ_CHECK(json.depth == 0);
	hf_json_close_value(&json, json.at);
	return 0;
}
