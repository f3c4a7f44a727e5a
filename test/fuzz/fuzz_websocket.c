/* Frames from bytes, fed whole and cut; both ways must hand over the same messages and answer the same. The same bytes are also a
 * message of our own, which must come back from its frame as it was, and offers of extensions.
 *
 * Input: choices, the cut, which allocation fails (0: none), then the bytes. After a failed allocation nothing is compared.
 *
 * Covers: src/wire/websocket.c src/wire/websocket_deflate.c
 */
#include "fuzz.h"

#include "base/map.h"
#include "base/utf8.h"
#include "support/fail_alloc.h"
#include "wire/websocket.h"
#include "wire/websocket_deflate.h"

#define HEAD_BYTES 3
#define SMALL_BYTES_MAX 2000
#define LARGE_BYTES_MAX 100000
#define LONG_MESSAGE_BYTES 70000 /* a length of 64 bits in the header, and more than the shared buffers keep */

enum { AS_CLIENT = 1, WITH_DEFLATE = 2, CLOSES_FIRST = 4, LARGE_LIMIT = 8, LONG_MESSAGE = 16 };

struct heard {
	struct hf_websocket_session session;
	uint64_t messages, output, pongs; /* digests, as a failing allocation must not be ours */
	uint64_t message_count, last_length, last_digest;
	bool closes;
};

static void on_message(void *context, bool is_text, struct hf_slice message)
{
	struct heard *h = context;
	FUZZ_CHECK(message.length <= h->session.message_bytes_max);
	FUZZ_CHECK(!is_text || hf_utf8_valid(message.data, message.length));
	FUZZ_CHECK(!h->session.close_sent);
	h->message_count++;
	h->last_length = message.length;
	h->last_digest = hf_hash64(message.data, message.length, 0);
	h->messages = hf_hash64(message.data, message.length, h->messages + is_text);
	if (!h->closes)
		return;
	/* A reason longer than fits, of characters of two bytes. */
	char reason[200] = "x";
	for (size_t i = 1; i + 2 < sizeof reason; i += 2)
		memcpy(reason + i, "\xc3\xa9", 2);
	reason[199] = 0;
	hf_websocket_session_ping(&h->session);
	hf_websocket_session_close(&h->session, HF_WEBSOCKET_CLOSE_GOING_AWAY, reason + message.length % 2);
	hf_websocket_session_ping(&h->session);
}

static void on_output(void *context, struct hf_slice frame)
{
	struct heard *h = context;
	FUZZ_CHECK(frame.length >= 2 && frame.length <= 2 + 4 + HF_WEBSOCKET_CONTROL_BYTES_MAX);
	h->output = hf_hash64(frame.data, frame.length, h->output);
}

static void on_pong(void *context)
{
	((struct heard *)context)->pongs++;
}

static void on_mask(void *context, uint8_t mask[static 4])
{
	(void)context;
	memset(mask, 5, 4);
}

static const struct hf_websocket_events events = {
	.message = on_message, .output = on_output, .pong = on_pong, .mask = on_mask};

static int feed(struct heard *h, const uint8_t *data, size_t size, size_t step)
{
	static uint8_t copy[LARGE_BYTES_MAX];
	int result = HF_OK;
	for (size_t at = 0; at < size && result == HF_OK; at += step) {
		size_t piece = size - at < step ? size - at : step;
		uint8_t *end = copy + sizeof copy - piece; /* reading past the piece is an error */
		memcpy(end, data + at, piece);
		result = hf_websocket_session_recv(&h->session, end, piece);
	}
	if (result != HF_OK)
		FUZZ_CHECK(hf_websocket_session_recv(&h->session, copy, sizeof copy) == HF_ECLOSED);
	FUZZ_CHECK(h->session.message.length <= h->session.message_bytes_max + HF_WEBSOCKET_CONTROL_BYTES_MAX);
	if (result < 0)
		FUZZ_CHECK(hf_websocket_session_is_over(&h->session));
	return result;
}

static int run(struct hf_slice data, uint8_t choices, struct hf_websocket_deflate *deflate, size_t step, struct heard *h)
{
	*h = (struct heard){.closes = choices & CLOSES_FIRST};
	hf_websocket_session_init(&h->session, choices & AS_CLIENT ? HF_WEBSOCKET_CLIENT : HF_WEBSOCKET_SERVER,
		choices & LARGE_LIMIT ? LARGE_BYTES_MAX : SMALL_BYTES_MAX, &events, h);
	h->session.deflate = deflate;
	int result = feed(h, data.data, data.length, step);
	hf_websocket_session_free(&h->session);
	return result;
}

/* One message, framed as the side that `choices` names would, and read by the other. */
static void check_sent(struct hf_slice message, uint8_t choices, struct hf_websocket_deflate *deflate, size_t step)
{
	static uint8_t frame[HF_WEBSOCKET_HEADER_BYTES_MAX + LARGE_BYTES_MAX];
	static const uint8_t mask[4] = {1, 2, 3, 4};
	bool is_client = choices & AS_CLIENT;
	struct hf_slice payload = message;
	struct heard h = {0};
	if (deflate) {
		int error = hf_websocket_deflate(deflate, message, &payload);
		FUZZ_CHECK(error == HF_OK || error == HF_ENOMEM);
		if (error)
			return;
	}
	size_t header = hf_websocket_frame_header(frame, HF_WEBSOCKET_BINARY, deflate != NULL, payload.length, is_client ? mask : NULL);
	memcpy(frame + header, payload.data, payload.length);
	if (is_client)
		hf_websocket_mask(frame + header, payload.length, mask);
	hf_websocket_session_init(&h.session, is_client ? HF_WEBSOCKET_SERVER : HF_WEBSOCKET_CLIENT, LARGE_BYTES_MAX, &events, &h);
	h.session.deflate = deflate;
	int result = feed(&h, frame, header + payload.length, step);
	FUZZ_CHECK(result == HF_OK || result == HF_ENOMEM);
	if (result == HF_OK)
		FUZZ_CHECK(h.message_count == 1 && h.last_length == message.length &&
			   h.last_digest == hf_hash64(message.data, message.length, 0));
	hf_websocket_session_free(&h.session);
}

static void check_own_message(struct hf_slice data, uint8_t choices, struct hf_websocket_deflate *deflate, size_t step)
{
	static uint8_t repeated[LONG_MESSAGE_BYTES];
	if (!(choices & LONG_MESSAGE)) {
		check_sent(hf_slice(data.data, data.length < LONG_MESSAGE_BYTES ? data.length : LONG_MESSAGE_BYTES), choices, deflate, step);
		return;
	}
	for (size_t i = 0; i < sizeof repeated; i += data.length)
		memcpy(repeated + i, data.data, sizeof repeated - i < data.length ? sizeof repeated - i : data.length);
	check_sent(hf_slice(repeated, sizeof repeated), choices, deflate, step * 1000);
	if (deflate)
		hf_websocket_deflate_trim(deflate);
}

static void check_compared(struct hf_slice data, uint8_t choices, size_t step)
{
	static struct hf_websocket_deflate *shared;
	struct heard whole, cut;
	if (!shared && hf_websocket_deflate_new(&shared))
		return;
	struct hf_websocket_deflate *deflate = choices & WITH_DEFLATE ? shared : NULL;
	int first = run(data, choices, deflate, data.length, &whole), second = run(data, choices, deflate, step, &cut);
	FUZZ_CHECK(first == second && first != HF_ENOMEM);
	FUZZ_CHECK(whole.messages == cut.messages && whole.message_count == cut.message_count);
	FUZZ_CHECK(whole.output == cut.output && whole.pongs == cut.pongs);
	FUZZ_CHECK(whole.session.close_code == cut.session.close_code);
	check_own_message(data, choices, deflate, step);
}

static void check_failing(struct hf_slice data, uint8_t choices, size_t step, uint8_t failing)
{
	struct hf_websocket_deflate *deflate = NULL;
	struct heard heard;
	fail_alloc_arm(failing, false);
	int result = choices & WITH_DEFLATE ? hf_websocket_deflate_new(&deflate) : HF_OK;
	if (result == HF_OK)
		result = run(data, choices, deflate, step, &heard);
	if (result != HF_ENOMEM)
		check_own_message(data, choices, deflate, step);
	bool failed = fail_alloc_disarm();
	FUZZ_CHECK(failed || result != HF_ENOMEM);
	hf_websocket_deflate_free(deflate);
}

/* The same message three times between two that remember, by any windows; and bytes of nobody's that one of them is to inflate. */
static void check_takeover(struct hf_slice data, uint8_t step)
{
	const struct hf_websocket_deflate_terms terms = {.server_takeover = true, .client_takeover = step & 1, .server_bits = (uint8_t)(9 + step % 7),
		.client_bits = 15};
	struct hf_websocket_deflate *out = NULL, *in = NULL;
	const struct hf_websocket_deflate_terms reader = {.client_takeover = true, .server_bits = 9, .client_bits = terms.server_bits};
	struct hf_slice packed, message;
	if (hf_websocket_deflate_new_own(&out, &terms) == HF_OK && hf_websocket_deflate_new_own(&in, &reader) == HF_OK) {
		FUZZ_CHECK(hf_websocket_deflate_keeps_output(out));
		for (int i = 0; i < 3; i++) {
			FUZZ_CHECK(hf_websocket_deflate(out, data, &packed) == HF_OK);
			FUZZ_CHECK(hf_websocket_inflate(in, packed, data.length, &message) == HF_OK && hf_slice_equal(message, data));
			hf_websocket_deflate_trim(out);
			hf_websocket_inflate_trim(in);
			FUZZ_CHECK(hf_websocket_deflate_bytes(out) < 200000);
			if (step & 2)
				hf_websocket_deflate_rest(out);
		}
		int error = hf_websocket_inflate(in, data, 65536, &message);
		FUZZ_CHECK(error == HF_OK || error == HF_EMALFORMED || error == HF_ETOOBIG);
	}
	hf_websocket_deflate_free(out);
	hf_websocket_deflate_free(in);
}

static void check_offers(struct hf_slice bytes)
{
	struct hf_websocket_deflate_terms terms;
	char answer[HF_WEBSOCKET_DEFLATE_ANSWER_BYTES];
	if (hf_websocket_deflate_accept(bytes, false, &terms, answer))
		FUZZ_CHECK(hf_websocket_deflate_confirm(hf_slice_text(answer)) && !terms.server_takeover && !terms.client_takeover);
	if (hf_websocket_deflate_accept(bytes, true, &terms, answer)) {
		FUZZ_CHECK(terms.server_bits >= 9 && terms.server_bits <= 15 && terms.client_bits >= 8 && terms.client_bits <= 15);
		FUZZ_CHECK(strlen(answer) + 1 < sizeof answer);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size <= HEAD_BYTES)
		return 0;
	uint8_t choices = data[0], failing = data[2];
	size_t step = 1 + data[1] % 128;
	struct hf_slice bytes = hf_slice(data + HEAD_BYTES, size - HEAD_BYTES);
	if (failing)
		check_failing(bytes, choices, step, failing);
	else
		check_compared(bytes, choices, step);
	if (choices & WITH_DEFLATE && !failing)
		check_takeover(bytes, data[1]);
	check_offers(bytes);
	return 0;
}
