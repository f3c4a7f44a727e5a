/* fuzz_nostr: any text as a client's message. No mutation hits a right hash, so an event that fails only there is
 * decoded again with its id put right.
 * Covers: src/wire/nostr.c src/data/event/parse.c src/data/event/tags.c */
#include "fuzz.h"

#include "codec/hex.h"
#include "crypto/hash.h"
#include "wire/nostr.h"

static const struct hf_nostr_limits limits = {
	.event_bytes_max = 64 << 10, .filter_count_max = 10, .filter_items_max = 500, .takes_resume = true};

/* Puts the hash of the event that was just refused for its id into the message. False when its id is not in it. */
static bool put_id_right(uint8_t *message, size_t size, const struct hf_event *event)
{
	struct hf_buffer text = {0};
	uint8_t hash[32], wrong[64], pubkey[64];
	hf_hex_encode(wrong, event->id, 32);
	hf_hex_encode(pubkey, event->pubkey, 32);
	hf_buffer_printf(&text, "[0,\"%.64s\",%llu,%u,", (const char *)pubkey, (unsigned long long)event->created_at,
		event->kind);
	hf_buffer_append(&text, event->tags.data, event->tags.length);
	hf_buffer_append(&text, ",\"", 2);
	hf_buffer_append(&text, event->content.data, event->content.length);
	hf_buffer_append(&text, "\"]", 2);
	hf_sha256(hash, hf_buffer_slice(&text));
	hf_buffer_free(&text);
	uint8_t *at = memmem(message, size, wrong, 64);
	if (at != NULL)
		hf_hex_encode(at, hash, 32);
	return at != NULL;
}

/* An accepted event, printed, is accepted again and is the same. */
static void check_event(const struct hf_event *event)
{
	struct hf_buffer json_text = {0}, text = {0};
	struct hf_json json;
	struct hf_event again;
	const char *reason;
	FUZZ_CHECK(hf_event_to_json(event, &json_text) == HF_OK);
	hf_json_init(&json, hf_buffer_slice(&json_text), 8);
	FUZZ_CHECK(hf_event_parse(&json, &text, HF_EVENT_BYTES_MAX, &again, &reason) == HF_OK);
	FUZZ_CHECK(hf_slice_equal(event->tags, again.tags) && hf_slice_equal(event->content, again.content));
	hf_nostr_check_auth(event, "challenge", "wss://relay.example.com", event->created_at, 600, &reason);
	hf_buffer_free(&json_text);
	hf_buffer_free(&text);
}

static bool append_comma(struct hf_buffer *out) { return hf_buffer_append(out, ",", 1) == HF_OK; }

/* Whatever the client sent, every answer is JSON. */
static void check_answer(const struct hf_nostr_message *message, const struct hf_nostr_error *error)
{
	struct hf_slice id = error != NULL ? error->subscription_id : message->subscription_id;
	const char *reason = error != NULL ? error->reason : "";
	struct hf_buffer out = {0};
	struct hf_json json;
	FUZZ_CHECK(hf_buffer_append(&out, "[", 1) == HF_OK);
	FUZZ_CHECK(hf_nostr_append_closed(&out, id, reason) == HF_OK && append_comma(&out));
	FUZZ_CHECK(hf_nostr_append_eose(&out, id) == HF_OK && append_comma(&out));
	FUZZ_CHECK(hf_nostr_append_count(&out, id, 7) == HF_OK && append_comma(&out));
	FUZZ_CHECK(hf_nostr_append_ok(&out, message->event.id, false, reason) == HF_OK && append_comma(&out));
	FUZZ_CHECK(hf_nostr_append_notice(&out, reason) == HF_OK && append_comma(&out));
	FUZZ_CHECK(hf_nostr_append_auth(&out, reason) == HF_OK && append_comma(&out));
	FUZZ_CHECK(hf_nostr_append_event_head(&out, id) == HF_OK);
	FUZZ_CHECK(hf_buffer_append_text(&out, "{}" HF_NOSTR_EVENT_TAIL "]") == HF_OK);
	hf_json_init(&json, hf_buffer_slice(&out), 8);
	FUZZ_CHECK(hf_json_skip(&json) == HF_OK && json.at == json.end);
	hf_buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_buffer text = {0};
	struct hf_arena arena = {.limit_bytes = 4 << 20};
	struct hf_nostr_message message;
	struct hf_nostr_error error;
	uint8_t *copy = malloc(size > 0 ? size : 1);
	FUZZ_CHECK(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	struct hf_slice input = hf_slice(copy, size);
	int status = hf_nostr_decode(input, &limits, &text, &arena, &message, &error);
	if (status < 0 && strcmp(error.reason, "invalid: id is not the hash of the event") == 0 &&
		put_id_right(copy, size, &message.event)) {
		hf_arena_reset(&arena);
		status = hf_nostr_decode(input, &limits, &text, &arena, &message, &error);
	}
	if (status < 0) {
		FUZZ_CHECK(error.reason != NULL && strchr(error.reason, ':') != NULL && text.length == 0);
		FUZZ_CHECK(error.refusal != HF_NOSTR_REFUSE_CLOSED || error.subscription_id.length > 0);
	} else {
		FUZZ_CHECK(message.subscription_id.length <= HF_NOSTR_SUBSCRIPTION_ID_BYTES_MAX);
		if (message.type == HF_NOSTR_EVENT || message.type == HF_NOSTR_AUTH)
			check_event(&message.event);
	}
	check_answer(&message, status < 0 ? &error : NULL);
	free(copy);
	hf_buffer_free(&text);
	hf_arena_free(&arena);
	return 0;
}
