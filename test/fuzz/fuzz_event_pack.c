/* fuzz_event_pack: any bytes as a stored payload. What unpacks is an event: it packs, unpacks and prints to the same.
 * Covers: src/data/event/pack.c src/data/event/packed.c src/data/event/json.c src/data/event/tags.c */
#include "fuzz.h"

#include "data/event/packed.h"

static void check_same(const struct hf_event *a, const struct hf_event *b)
{
	FUZZ_CHECK(memcmp(a->id, b->id, 32) == 0 && memcmp(a->pubkey, b->pubkey, 32) == 0);
	FUZZ_CHECK(memcmp(a->sig, b->sig, 64) == 0);
	FUZZ_CHECK(a->created_at == b->created_at && a->kind == b->kind);
	FUZZ_CHECK(hf_slice_equal(a->tags, b->tags) && hf_slice_equal(a->content, b->content));
}

/* The walkers over text and over the stored form agree. */
static void check_tags(const struct hf_event *event, struct hf_slice payload)
{
	struct hf_packed packed;
	struct hf_packed_tag stored;
	struct hf_tag tag;
	struct hf_slice value;
	size_t cursor = 0;
	FUZZ_CHECK(hf_packed_open(payload, &packed) == HF_OK);
	while (hf_event_next_tag(event, &cursor, &tag)) {
		FUZZ_CHECK(hf_packed_next_tag(&packed.tags, &stored) == 1);
		FUZZ_CHECK(stored.element_count == tag.element_count && hf_packed_tag_letter(&stored) == tag.letter);
		FUZZ_CHECK(hf_packed_compare(&stored.name, tag.name) == 0);
		FUZZ_CHECK(hf_packed_compare(&stored.value, tag.value) == 0);
		if (tag.letter != 0 && tag.element_count > 1)
			FUZZ_CHECK(hf_event_payload_has_tag(payload, tag.letter, tag.value));
	}
	FUZZ_CHECK(hf_packed_next_tag(&packed.tags, &stored) == 0);
	hf_event_is_protected(event);
	hf_event_find_tag(event, "d", &value);
}

/* The text is what a client could have sent: canonical, so writing it canonically changes nothing. */
static void check_text(const struct hf_event *event, struct hf_slice json_text)
{
	struct hf_json json;
	hf_json_init(&json, json_text, 4);
	FUZZ_CHECK(hf_json_skip(&json) == HF_OK && json.at == json.end);
	uint8_t id[32];
	FUZZ_CHECK(hf_event_peek_id(json_text, id) && memcmp(id, event->id, 32) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_slice payload = hf_slice(data, size);
	struct hf_buffer text = {0}, json = {0}, again = {0}, text_again = {0}, json_again = {0};
	struct hf_event event, event_again;
	struct hf_event_meta meta, meta_again;
	int unpacked = hf_event_unpack(payload, &text, &event, &meta);
	int printed = hf_event_payload_to_json(payload, &json);
	uint64_t expiration = hf_event_payload_expiration(payload);
	hf_event_payload_has_tag(payload, 'e', HF_SLICE_LITERAL("ab"));
	if (unpacked == HF_OK) {
		FUZZ_CHECK(printed == HF_OK);
		FUZZ_CHECK(hf_event_pack(&event, &meta, &again) == HF_OK);
		FUZZ_CHECK(hf_event_unpack(hf_buffer_slice(&again), &text_again, &event_again, &meta_again) == HF_OK);
		check_same(&event, &event_again);
		FUZZ_CHECK(hf_slice_equal(meta.extensions, meta_again.extensions));
		FUZZ_CHECK(hf_event_payload_expiration(hf_buffer_slice(&again)) == hf_event_expiration(&event));
		FUZZ_CHECK(expiration == UINT64_MAX || expiration == hf_event_expiration(&event));
		FUZZ_CHECK(hf_event_to_json(&event, &json_again) == HF_OK);
		FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&json), hf_buffer_slice(&json_again)));
		check_tags(&event, hf_buffer_slice(&again));
		check_text(&event, hf_buffer_slice(&json));
		FUZZ_CHECK(hf_event_unpack_head(payload, &event_again, NULL) == HF_OK);
	}
	hf_buffer_free(&text);
	hf_buffer_free(&json);
	hf_buffer_free(&again);
	hf_buffer_free(&text_again);
	hf_buffer_free(&json_again);
	return 0;
}
