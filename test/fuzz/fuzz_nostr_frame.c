/* fuzz_nostr_frame: any text as a message that is passed on. What is read as a REQ can be asked again since a time, and is then a REQ of the
 * same subscription that is well-formed; so can it be resumed, which a relay takes if it took the REQ.
 * Covers: src/wire/nostr_frame.c */
#include "fuzz.h"

#include "wire/nostr_frame.h"

static int decode(struct hf_slice message)
{
	static const struct hf_nostr_limits limits = {
		.event_bytes_max = 64 << 10, .filter_count_max = 10, .filter_items_max = 500, .takes_resume = true};
	struct hf_arena arena = {.limit_bytes = 8 << 20};
	struct hf_buffer text = {0};
	struct hf_nostr_message decoded;
	struct hf_nostr_error error;
	int status = hf_nostr_decode(message, &limits, &text, &arena, &decoded, &error);
	hf_arena_free(&arena);
	hf_buffer_free(&text);
	return status;
}

static void check_relay(struct hf_slice request, struct hf_slice resume)
{
	FUZZ_CHECK(decode(request) != HF_OK || decode(resume) == HF_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_nostr_frame frame, again;
	struct hf_buffer out = {0};
	struct hf_slice message = hf_slice(data, size);
	if (hf_nostr_frame_read(message, &frame) == HF_OK && frame.type == HF_NOSTR_FRAME_REQ && frame.subscription_id.length > 0 &&
		hf_nostr_frame_append_since(&out, message, 1700000000) == HF_OK) {
		FUZZ_CHECK(hf_nostr_frame_read(hf_buffer_slice(&out), &again) == HF_OK);
		FUZZ_CHECK(again.type == HF_NOSTR_FRAME_REQ && hf_slice_equal(again.subscription_id, frame.subscription_id));
		hf_buffer_clear(&out);
		FUZZ_CHECK(hf_nostr_frame_append_resume(&out, message, size % 2 ? 1700000000 : 0, 65) == HF_OK);
		FUZZ_CHECK(hf_nostr_frame_read(hf_buffer_slice(&out), &again) == HF_OK);
		FUZZ_CHECK(again.type == HF_NOSTR_FRAME_RESUME);
		check_relay(message, hf_buffer_slice(&out));
	}
	hf_buffer_free(&out);
	return 0;
}
