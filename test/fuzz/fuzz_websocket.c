/* Frames from bytes, fed whole and cut; both ways must hand over the same messages and answer the same. The first byte
 * chooses role, deflate and the cut. Offers of extensions are read from the same bytes.
 *
 * Covers: src/wire/websocket.c src/wire/websocket_deflate.c
 */
#include "fuzz.h"

#include "base/utf8.h"
#include "wire/websocket.h"
#include "wire/websocket_deflate.h"

#define MESSAGE_BYTES_MAX 2000

struct heard {
	struct hf_buffer messages, output;
};

static void on_message(void *context, bool is_text, struct hf_slice message)
{
	struct heard *h = context;
	uint8_t head[5] = {is_text};
	FUZZ_CHECK(message.length <= MESSAGE_BYTES_MAX);
	FUZZ_CHECK(!is_text || hf_utf8_valid(message.data, message.length));
	hf_store_le32(head + 1, (uint32_t)message.length);
	hf_buffer_append(&h->messages, head, sizeof head);
	hf_buffer_append(&h->messages, message.data, message.length);
}

static void on_output(void *context, struct hf_slice frame)
{
	hf_buffer_append(&((struct heard *)context)->output, frame.data, frame.length);
}

static void on_mask(void *context, uint8_t mask[static 4])
{
	memset(mask, 5, 4);
}

static const struct hf_websocket_events events = {.message = on_message, .output = on_output, .mask = on_mask};

static int run(const uint8_t *data, size_t size, enum hf_websocket_role role, struct hf_websocket_deflate *deflate,
	size_t step, struct heard *h)
{
	struct hf_websocket_session s;
	int result = HF_OK;
	*h = (struct heard){0};
	hf_websocket_session_init(&s, role, MESSAGE_BYTES_MAX, &events, h);
	s.deflate = deflate;
	for (size_t at = 0; at < size && result == HF_OK; at += step) {
		size_t piece = size - at < step ? size - at : step;
		uint8_t *copy = malloc(piece);
		memcpy(copy, data + at, piece);
		result = hf_websocket_session_recv(&s, copy, piece);
		free(copy);
	}
	FUZZ_CHECK(result == HF_OK || hf_websocket_session_is_over(&s));
	FUZZ_CHECK(s.message.length <= MESSAGE_BYTES_MAX + HF_WEBSOCKET_CONTROL_BYTES_MAX);
	hf_websocket_session_free(&s);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct hf_websocket_deflate *deflate;
	struct heard whole, cut;
	const char *answer;
	if (size < 2 || (!deflate && hf_websocket_deflate_new(&deflate)))
		return 0;
	enum hf_websocket_role role = data[0] & 1 ? HF_WEBSOCKET_CLIENT : HF_WEBSOCKET_SERVER;
	struct hf_websocket_deflate *use = data[0] & 2 ? deflate : NULL;
	int first = run(data + 1, size - 1, role, use, size, &whole);
	int second = run(data + 1, size - 1, role, use, 1 + (data[0] >> 2) % 32, &cut);
	FUZZ_CHECK(first == second);
	FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&whole.messages), hf_buffer_slice(&cut.messages)));
	FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&whole.output), hf_buffer_slice(&cut.output)));
	if (hf_websocket_deflate_accept(hf_slice(data + 1, size - 1), &answer))
		FUZZ_CHECK(hf_websocket_deflate_confirm(hf_slice_text(answer)));
	hf_buffer_free(&whole.messages);
	hf_buffer_free(&whole.output);
	hf_buffer_free(&cut.messages);
	hf_buffer_free(&cut.output);
	return 0;
}
