/* event_pack: random events come back from their stored form byte for byte, forms agree with each other, packing is as
 * small as promised, and damaged payloads are refused or at least harmless. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/event/packed.h"
#include "event_text.h"
#include "support/fail_alloc.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t random_below(uint64_t bound)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % bound;
}

/* Canonical text of every kind that packing looks at: hex runs of all lengths, odd ones, escapes, words. */
static void append_random_text(struct hf_buffer *out, unsigned pieces)
{
	static const char *const words[] = {"", "a", "wss://relay.example.com/", "\\n", "\\\"", "\\\\", "\\u0007", "\\u001f",
		"30023:", "\xc3\xa9", "\xf0\x9f\x98\x80", "\x7f", "ABCDEF", " ", "[\\\"x\\\",", "g"};
	while (pieces-- > 0) {
		if (random_below(2) == 0) {
			hf_buffer_append_text(out, words[random_below(sizeof words / sizeof *words)]);
			continue;
		}
		uint64_t length = random_below(4) == 0 ? random_below(200) : random_below(3) * 32 + random_below(3);
		for (uint64_t i = 0; i < length; i++)
			hf_buffer_append(out, &"0123456789abcdef"[random_below(16)], 1);
	}
}

static void make_random_event(struct hf_buffer *tags, struct hf_buffer *content, struct hf_event *event)
{
	hf_buffer_clear(tags);
	hf_buffer_clear(content);
	hf_buffer_append_text(tags, "[");
	uint64_t tag_count = random_below(12), longest = random_below(50) == 0 ? 300 : 5;
	for (uint64_t i = 0; i < tag_count; i++) {
		hf_buffer_append_text(tags, i > 0 ? ",[" : "[");
		for (uint64_t j = 0, count = 1 + random_below(longest); j < count; j++) {
			hf_buffer_append_text(tags, j > 0 ? ",\"" : "\"");
			append_random_text(tags, (unsigned)random_below(4));
			hf_buffer_append_text(tags, "\"");
		}
		hf_buffer_append_text(tags, "]");
	}
	hf_buffer_append_text(tags, "]");
	append_random_text(content, (unsigned)random_below(20));
	for (size_t i = 0; i < 32; i++)
		event->id[i] = event->pubkey[i] = event->sig[i] = event->sig[63 - i] = (uint8_t)random_below(256);
	event->created_at = random_below(2) ? random_below(300) : random_below(HF_EVENT_TIME_S_MAX + 1);
	event->kind = (uint32_t)random_below(HF_EVENT_KIND_MAX + 1);
	event->tags = hf_buffer_slice(tags);
	event->content = hf_buffer_slice(content);
}

static void assert_same_event(const struct hf_event *a, const struct hf_event *b)
{
	assert_memory_equal(a->id, b->id, 32);
	assert_memory_equal(a->pubkey, b->pubkey, 32);
	assert_memory_equal(a->sig, b->sig, 64);
	assert_int_equal(a->created_at, b->created_at);
	assert_int_equal(a->kind, b->kind);
	assert_true(hf_slice_equal(a->tags, b->tags));
	assert_true(hf_slice_equal(a->content, b->content));
}

/* The walkers over text and over the stored form see the same tags. */
static void assert_same_tags(const struct hf_event *event, struct hf_slice payload)
{
	struct hf_packed packed;
	struct hf_packed_tag stored;
	struct hf_tag tag;
	size_t cursor = 0;
	assert_int_equal(hf_packed_open(payload, &packed), HF_OK);
	while (hf_event_next_tag(event, &cursor, &tag)) {
		assert_int_equal(hf_packed_next_tag(&packed.tags, &stored), 1);
		assert_int_equal(stored.element_count, tag.element_count);
		assert_int_equal(hf_packed_tag_letter(&stored), tag.letter);
		assert_int_equal(hf_packed_compare(&stored.name, tag.name), 0);
		assert_int_equal(hf_packed_compare(&stored.value, tag.value), 0);
		struct hf_slice other = HF_SLICE_LITERAL("30023:7");
		int order = hf_slice_compare(tag.value, other), packed_order = hf_packed_compare(&stored.value, other);
		assert_int_equal(order < 0 ? -1 : order > 0, packed_order < 0 ? -1 : packed_order > 0);
	}
	assert_int_equal(hf_packed_next_tag(&packed.tags, &stored), 0);
}

static void test_random_events_come_back(void **state)
{
	(void)state;
	struct hf_buffer tags = {0}, content = {0}, payload = {0}, text = {0}, json = {0}, stored_json = {0};
	for (int i = 0; i < 20000; i++) {
		struct hf_event event, back;
		struct hf_event_meta meta = {.received_ms = random_below(UINT64_C(1) << 48), .source = (uint8_t)random_below(256),
			.flags = (uint8_t)random_below(256)}, meta_back;
		if (random_below(3) == 0)
			meta.extensions = HF_SLICE_LITERAL("\x01\x03" "abc" "\x85\x01\x00");
		make_random_event(&tags, &content, &event);
		hf_buffer_clear(&payload);
		hf_buffer_clear(&text);
		hf_buffer_clear(&json);
		hf_buffer_clear(&stored_json);
		assert_int_equal(hf_event_pack(&event, &meta, &payload), HF_OK);
		assert_true(payload.length <= 160 + meta.extensions.length + tags.length + content.length);
		assert_int_equal(hf_event_unpack(hf_buffer_slice(&payload), &text, &back, &meta_back), HF_OK);
		assert_same_event(&event, &back);
		assert_true(meta.received_ms == meta_back.received_ms && meta.source == meta_back.source);
		assert_int_equal(meta.flags & ~HF_EVENT_HAS_EXPIRATION, meta_back.flags & ~HF_EVENT_HAS_EXPIRATION);
		assert_true(hf_slice_equal(meta.extensions, meta_back.extensions));
		assert_int_equal(hf_event_to_json(&event, &json), HF_OK);
		assert_int_equal(hf_event_payload_to_json(hf_buffer_slice(&payload), &stored_json), HF_OK);
		assert_true(hf_slice_equal(hf_buffer_slice(&json), hf_buffer_slice(&stored_json)));
		assert_same_tags(&event, hf_buffer_slice(&payload));
	}
	hf_buffer_free(&tags);
	hf_buffer_free(&content);
	hf_buffer_free(&payload);
	hf_buffer_free(&text);
	hf_buffer_free(&json);
	hf_buffer_free(&stored_json);
}

static void pack_text(const char *tags, const char *content, struct hf_buffer *payload)
{
	struct hf_event event = {.created_at = 1700000000, .kind = 1, .tags = hf_slice_text(tags),
		.content = hf_slice_text(content)};
	struct hf_event_meta meta = {.received_ms = 1700000000000, .source = HF_SOURCE_PUBLIC};
	assert_int_equal(hf_event_pack(&event, &meta, payload), HF_OK);
}

static void test_hex_is_packed(void **state)
{
	(void)state;
	struct hf_buffer plain = {0}, hex = {0}, inside = {0};
	pack_text("[]", "", &plain);
	assert_int_equal(plain.length, 10 + 128 + 5 + 1 + 1 + 1);
	pack_text("[[\"e\",\"" TEST_PUBKEY "\"]]", "", &hex);
	assert_int_equal(hex.length, plain.length + 1 + 2 + 33);
	pack_text("[[\"a\",\"30023:" TEST_PUBKEY ":name\"]]", "note " TEST_PUBKEY " and " TEST_PUBKEY, &inside);
	assert_true(inside.length <= plain.length + 1 + 2 + 1 + 7 + 34 + 6 + 2 + 6 + 34 + 6 + 33);
	hf_buffer_free(&plain);
	hf_buffer_free(&hex);
	hf_buffer_free(&inside);
}

static void test_expiration_and_tags_are_read_from_the_stored_form(void **state)
{
	(void)state;
	static const struct {
		const char *tags;
		uint64_t time_s;
	} cases[] = {
		{"[]", UINT64_MAX},
		{"[[\"expiration\",\"1700000001\"]]", 1700000001},
		{"[[\"e\",\"x\"],[\"expiration\",\"7\",\"x\"],[\"expiration\",\"8\"]]", 7},
		{"[[\"expiration\",\"soon\"]]", UINT64_MAX},
		{"[[\"expiration\"]]", UINT64_MAX},
		{"[[\"expiration\",\"1111111111111111111111111111111111111111111111111111111111111111\"]]", UINT64_MAX},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct hf_buffer payload = {0};
		struct hf_event event;
		struct hf_event_meta meta;
		pack_text(cases[i].tags, "", &payload);
		assert_true(hf_event_payload_expiration(hf_buffer_slice(&payload)) == cases[i].time_s);
		assert_int_equal(hf_event_unpack_head(hf_buffer_slice(&payload), &event, &meta), HF_OK);
		assert_int_equal(meta.flags, cases[i].time_s == UINT64_MAX ? 0 : HF_EVENT_HAS_EXPIRATION);
		assert_false(hf_event_payload_has_tag(hf_buffer_slice(&payload), 'p', HF_SLICE_LITERAL("x")));
		hf_buffer_free(&payload);
	}
	struct hf_buffer payload = {0};
	pack_text("[[\"p\"],[\"p\",\"" TEST_PUBKEY "\"],[\"P\",\"x\"]]", "", &payload);
	assert_true(hf_event_payload_has_tag(hf_buffer_slice(&payload), 'p', HF_SLICE_LITERAL(TEST_PUBKEY)));
	assert_true(hf_event_payload_has_tag(hf_buffer_slice(&payload), 'P', HF_SLICE_LITERAL("x")));
	assert_false(hf_event_payload_has_tag(hf_buffer_slice(&payload), 'p', HF_SLICE_LITERAL("x")));
	assert_false(hf_event_payload_has_tag(hf_buffer_slice(&payload), 'p', HF_SLICE_LITERAL("")));
	hf_buffer_free(&payload);
}

static void test_meta_that_does_not_fit_is_refused(void **state)
{
	(void)state;
	struct hf_event event = {.tags = HF_SLICE_LITERAL("[]")};
	struct hf_buffer payload = {0};
	static const uint8_t long_field[HF_EVENT_EXTENSION_BYTES_MAX + 1];
	struct hf_event_meta cases[] = {{.received_ms = UINT64_C(1) << 48}, {.extensions = HF_SLICE_LITERAL("\x01\x05" "abc")},
		{.extensions = {long_field, sizeof long_field}}, {.extensions = HF_SLICE_LITERAL("\x01")}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(hf_event_pack(&event, &cases[i], &payload), HF_EINVAL);
	assert_int_equal(payload.length, 0);
	hf_buffer_free(&payload);
}

/* Whatever the bytes are, what is unpacked is an event that packs and unpacks to the same. */
static void check_payload(const uint8_t *data, size_t length)
{
	struct hf_buffer text = {0}, json = {0}, again = {0}, text_again = {0};
	struct hf_event event, event_again;
	struct hf_event_meta meta;
	uint8_t *copy = malloc(length > 0 ? length : 1);
	memcpy(copy, data, length);
	struct hf_slice payload = hf_slice(copy, length);
	int status = hf_event_unpack(payload, &text, &event, &meta);
	if (hf_event_payload_to_json(payload, &json) < 0) {
		assert_int_equal(json.length, 0);
		assert_true(status < 0);
	}
	hf_event_payload_expiration(payload);
	hf_event_payload_has_tag(payload, 'e', HF_SLICE_LITERAL("abcdef"));
	if (status == HF_OK) {
		assert_int_equal(hf_event_pack(&event, &meta, &again), HF_OK);
		assert_int_equal(hf_event_unpack(hf_buffer_slice(&again), &text_again, &event_again, &meta), HF_OK);
		assert_same_event(&event, &event_again);
	} else {
		assert_int_equal(text.length, 0);
	}
	free(copy);
	hf_buffer_free(&text);
	hf_buffer_free(&json);
	hf_buffer_free(&again);
	hf_buffer_free(&text_again);
}

static void test_damaged_payloads_are_harmless(void **state)
{
	(void)state;
	struct hf_buffer tags = {0}, content = {0}, payload = {0};
	for (int i = 0; i < 300; i++) {
		struct hf_event event;
		struct hf_event_meta meta = {.received_ms = 1, .extensions = HF_SLICE_LITERAL("\x01\x03" "abc")};
		make_random_event(&tags, &content, &event);
		hf_buffer_clear(&payload);
		assert_int_equal(hf_event_pack(&event, &meta, &payload), HF_OK);
		for (int j = 0; j < 40; j++) {
			size_t place = random_below(2) ? random_below(payload.length) : 138 + random_below(payload.length - 138);
			uint8_t kept = payload.data[place];
			payload.data[place] ^= (uint8_t)(1 + random_below(255));
			check_payload(payload.data, payload.length);
			payload.data[place] = kept;
			check_payload(payload.data, random_below(payload.length));
		}
	}
	hf_buffer_free(&tags);
	hf_buffer_free(&content);
	hf_buffer_free(&payload);
}

static void test_unknown_versions_and_impossible_fields_are_refused(void **state)
{
	(void)state;
	struct hf_buffer payload = {0}, text = {0};
	struct hf_event event;
	pack_text("[]", "", &payload);
	payload.data[0] = 2;
	assert_int_equal(hf_event_unpack(hf_buffer_slice(&payload), &text, &event, NULL), HF_EVERSION);
	assert_int_equal(hf_event_payload_to_json(hf_buffer_slice(&payload), &text), HF_EVERSION);
	payload.data[0] = 1;
	assert_int_equal(hf_event_unpack(hf_slice(NULL, 0), &text, &event, NULL), HF_EMALFORMED);

	/* The bytes behind created_at: kind, tags, content. */
	static const struct {
		const char *bytes;
		size_t length;
	} bad[] = {
		{"\x80\x80\x04\x00\x00", 5}, /* kind 65536 */
		{"\x01\x05\x00", 3},         /* tags longer than the payload */
		{"\x01\x00", 2},             /* no content */
		{"\x01\x00\x00\x00", 4},     /* bytes behind the content */
		{"\x01\x01\x00\x00", 4},     /* a tag without elements */
		{"\x01\x02\x01\x04\x00", 5}, /* an element that ends outside the tags */
		{"\x01\x03\x01\x04\"\x00", 6},   /* a quote inside a string */
		{"\x01\x03\x01\x04\x01\x00", 6}, /* a control character inside a string */
		{"\x01\x00\x04\"", 4},
		{"\x01\x00\x08\\/", 5},      /* not canonical */
		{"\x01\x04\x01\x08\\/\x00", 7},
		{"\x01\x00\x04\xff", 4},     /* not UTF-8 */
		{"\x01\x00\x06\x05", 4},     /* a segment longer than its string */
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		payload.length = 10 + 128 + 5;
		hf_buffer_append(&payload, bad[i].bytes, bad[i].length);
		assert_int_equal(hf_event_unpack(hf_buffer_slice(&payload), &text, &event, NULL), HF_EMALFORMED);
		assert_int_equal(text.length, 0);
	}
	hf_buffer_free(&payload);
	hf_buffer_free(&text);
}

/* Parses, packs, unpacks and prints; the first error. */
static int go_round(struct hf_slice object)
{
	struct hf_buffer text = {0}, payload = {0}, unpacked = {0}, json_text = {0};
	struct hf_event event;
	struct hf_event_meta meta = {.received_ms = 1};
	struct hf_json json;
	const char *reason;
	hf_json_init(&json, object, 8);
	int status = hf_event_parse(&json, &text, HF_EVENT_BYTES_MAX, &event, &reason);
	if (status == HF_OK)
		status = hf_event_pack(&event, &meta, &payload);
	if (status == HF_OK)
		status = hf_event_unpack(hf_buffer_slice(&payload), &unpacked, &event, &meta);
	if (status == HF_OK)
		status = hf_event_payload_to_json(hf_buffer_slice(&payload), &json_text);
	if (status == HF_OK)
		status = hf_event_to_json(&event, &json_text);
	hf_buffer_free(&text);
	hf_buffer_free(&payload);
	hf_buffer_free(&unpacked);
	hf_buffer_free(&json_text);
	return status;
}

static void test_failed_allocations_leak_nothing(void **state)
{
	(void)state;
	struct hf_buffer object = {0};
	/* Hashed verbatim, which takes one more buffer. */
	test_event_append(&object, TEST_PUBKEY, 1, 1, "[[\"t\",\"x\"]]", "\\u0001", NULL, "\x01");
	for (uint64_t n = 1;; n++) {
		fail_alloc_arm(n, false);
		int status = go_round(hf_buffer_slice(&object));
		bool failed = fail_alloc_disarm();
		assert_int_equal(status, failed ? HF_ENOMEM : HF_OK);
		if (!failed) {
			assert_in_range(n, 6, 20);
			break;
		}
	}
	hf_buffer_free(&object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_events_come_back),
		cmocka_unit_test(test_hex_is_packed),
		cmocka_unit_test(test_expiration_and_tags_are_read_from_the_stored_form),
		cmocka_unit_test(test_meta_that_does_not_fit_is_refused),
		cmocka_unit_test(test_damaged_payloads_are_harmless),
		cmocka_unit_test(test_failed_allocations_leak_nothing),
		cmocka_unit_test(test_unknown_versions_and_impossible_fields_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
