/* fuzz_nostr_frame: any text as a message that is passed on. What is read as a REQ can be asked again since a time, and is then a REQ of the
 * same subscription that is well-formed.
 * Covers: src/wire/nostr_frame.c */
#include "fuzz.h"

#include "wire/nostr_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_nostr_frame frame, again;
	struct hf_buffer out = {0};
	struct hf_slice message = hf_slice(data, size);
	if (hf_nostr_frame_read(message, &frame) == HF_OK && frame.type == HF_NOSTR_FRAME_REQ && frame.subscription_id.length > 0 &&
		hf_nostr_frame_append_since(&out, message, 1700000000) == HF_OK) {
		FUZZ_CHECK(hf_nostr_frame_read(hf_buffer_slice(&out), &again) == HF_OK);
		FUZZ_CHECK(again.type == HF_NOSTR_FRAME_REQ && hf_slice_equal(again.subscription_id, frame.subscription_id));
	}
	hf_buffer_free(&out);
	return 0;
}
