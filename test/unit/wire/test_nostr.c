/* nostr: which messages are taken, how the others are answered, what the answers look like, and NIP-42's checks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/hex.h"
#include "crypto/hash.h"
#include "support/fail_alloc.h"
#include "wire/nostr.h"

#define KEY "aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899"
#define ID "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

struct fixture {
	struct hf_buffer text;
	struct hf_arena arena;
	struct hf_nostr_message message;
	struct hf_nostr_error error;
	char *copy;
};

static int decode_bytes(struct fixture *f, struct hf_slice text)
{
	static const struct hf_nostr_limits limits = {.event_bytes_max = 64 << 10, .filter_count_max = 3, .filter_items_max = 5};
	/* Exactly as long as the text, so that a sanitizer sees a byte read past it. */
	free(f->copy);
	f->copy = malloc(text.length + 1);
	memcpy(f->copy + 1, text.data, text.length);
	hf_buffer_clear(&f->text);
	hf_arena_reset(&f->arena);
	return hf_nostr_decode(hf_slice(f->copy + 1, text.length), &limits, &f->text, &f->arena, &f->message, &f->error);
}

static int decode(struct fixture *f, const char *text) { return decode_bytes(f, hf_slice_text(text)); }

static void release(struct fixture *f)
{
	hf_buffer_free(&f->text);
	hf_arena_free(&f->arena);
	free(f->copy);
}

static void assert_slice(struct hf_slice slice, const char *expected)
{
	assert_int_equal(slice.length, strlen(expected));
	assert_memory_equal(slice.data, expected, slice.length);
}

static void append_event(struct hf_buffer *out, unsigned kind, const char *tags)
{
	struct hf_buffer text = {0};
	uint8_t id[32], digits[64];
	hf_buffer_printf(&text, "[0,\"%s\",1700000000,%u,%s,\"\"]", KEY, kind, tags);
	hf_sha256(id, hf_buffer_slice(&text));
	hf_hex_encode(digits, id, 32);
	hf_buffer_printf(out, "{\"id\":\"%.64s\",\"pubkey\":\"%s\",\"created_at\":1700000000,\"kind\":%u,\"tags\":%s,"
		"\"content\":\"\",\"sig\":\"%s\"}", (char *)digits, KEY, kind, tags, KEY KEY);
	hf_buffer_free(&text);
}

static void test_events_are_decoded(void **state)
{
	(void)state;
	struct fixture f = {0};
	struct hf_buffer text = {0};
	static const char *const frames[][2] = {{"[\"EVENT\",", "]"}, {" \t\r\n [ \"EVENT\" , ", " ]\n "}, {"[\"AUTH\",", "]"}};
	for (size_t i = 0; i < 3; i++) {
		hf_buffer_clear(&text);
		hf_buffer_append_text(&text, frames[i][0]);
		append_event(&text, 7, "[[\"e\",\"x\"]]");
		hf_buffer_append_text(&text, frames[i][1]);
		assert_int_equal(decode_bytes(&f, hf_buffer_slice(&text)), HF_OK);
		assert_int_equal(f.message.type, i == 2 ? HF_NOSTR_AUTH : HF_NOSTR_EVENT);
		assert_int_equal(f.message.event.kind, 7);
		assert_slice(f.message.event.tags, "[[\"e\",\"x\"]]");
	}
	hf_buffer_free(&text);
	release(&f);
}

static void test_requests_are_decoded(void **state)
{
	(void)state;
	struct fixture f = {0};
	assert_int_equal(decode(&f, "[\"REQ\",\"s\\n\\u0041\\/\",{\"kinds\":[1]}, {} ,{\"limit\":0}]"), HF_OK);
	assert_int_equal(f.message.type, HF_NOSTR_REQ);
	assert_slice(f.message.subscription_id, "s\\nA/");
	assert_int_equal(f.message.filter_count, 3);
	assert_int_equal(f.message.filters[0].kinds[0], 1);
	assert_int_equal(f.message.filters[2].limit, 0);
	assert_int_equal(decode(&f, "[\"COUNT\",\"c\",{}]"), HF_OK);
	assert_int_equal(f.message.type, HF_NOSTR_COUNT);
	assert_int_equal(decode(&f, "[\"CLOSE\",\"c\"] "), HF_OK);
	assert_int_equal(f.message.type, HF_NOSTR_CLOSE);
	assert_slice(f.message.subscription_id, "c");
	release(&f);
}

static void test_resume_is_a_request_for_what_arrived_lately_too(void **state)
{
	static const struct hf_nostr_limits limits = {
		.event_bytes_max = 64 << 10, .filter_count_max = 1, .filter_items_max = 1, .takes_resume = true};
	static const char *const refused[] = {"[\"RESUME\",\"s\"]", "[\"RESUME\",\"s\",{}]", "[\"RESUME\",\"s\",0,{}]", "[\"RESUME\",\"s\",-1,{}]",
		"[\"RESUME\",\"s\",7]", "[\"RESUME\",\"s\",{},7,8,{}]", "[\"RESUME\",\"s\",{},7,{},{}]", "[\"RESUME\",\"s\",{\"kinds\":[1,2,3]},7,{}]",
		"[\"REQ\",\"s\",{},7,{}]", "[\"RESUME\",\"s\",{},\"7\",{}]"};
	struct fixture f = {0};
	struct hf_slice text = HF_SLICE_LITERAL("[\"RESUME\",\"s\",{\"kinds\":[1],\"limit\":5},7,{\"kinds\":[1]}]");
	assert_int_equal(hf_nostr_decode(text, &limits, &f.text, &f.arena, &f.message, &f.error), HF_OK);
	assert_int_equal(f.message.type, HF_NOSTR_REQ);
	assert_slice(f.message.subscription_id, "s");
	assert_int_equal(f.message.filter_count, 2); /* twice as many as a REQ may have */
	assert_int_equal(f.message.filters[0].limit, 5);
	assert_int_equal(f.message.filters[0].arrived_within_s, 0);
	assert_int_equal(f.message.filters[1].arrived_within_s, 7);
	text = HF_SLICE_LITERAL("[\"RESUME\",\"s\",7,{}]");
	assert_int_equal(hf_nostr_decode(text, &limits, &f.text, &f.arena, &f.message, &f.error), HF_OK);
	assert_int_equal(f.message.filter_count, 1);
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		assert_true(hf_nostr_decode(hf_slice_text(refused[i]), &limits, &f.text, &f.arena, &f.message, &f.error) < 0);
		assert_int_equal(f.error.refusal, HF_NOSTR_REFUSE_CLOSED);
	}
	assert_int_equal(decode(&f, "[\"RESUME\",\"s\",7,{}]"), HF_EINVAL); /* who is no gateway */
	release(&f);
}

static void test_subscription_ids_have_1_to_64_characters(void **state)
{
	(void)state;
	static const struct {
		const char *character;
		unsigned count;
		bool good;
	} cases[] = {{"x", 0, false}, {"x", 1, true}, {"x", 64, true}, {"x", 65, false}, {"\xc3\xa9", 64, true},
		{"\xf0\x9f\x98\x80", 64, true}, {"\xf0\x9f\x98\x80", 65, false}, {"\\ud83d\\ude00", 64, true},
		{"\\ud83d\\ude00", 65, false}, {"\\u0000", 64, true}, {"\\n", 65, false}};
	struct fixture f = {0};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct hf_buffer text = {0};
		hf_buffer_append_text(&text, "[\"CLOSE\",\"");
		for (unsigned n = 0; n < cases[i].count; n++)
			hf_buffer_append_text(&text, cases[i].character);
		hf_buffer_append_text(&text, "\"]");
		assert_int_equal(decode_bytes(&f, hf_buffer_slice(&text)) == HF_OK, cases[i].good);
		assert_true(f.message.subscription_id.length <= HF_NOSTR_SUBSCRIPTION_ID_BYTES_MAX);
		if (!cases[i].good)
			assert_string_equal(f.error.reason, "invalid: a subscription id must be a string of 1 to 64 characters");
		hf_buffer_free(&text);
	}
	release(&f);
}

static void test_refusals_say_what_and_to_whom(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum hf_nostr_refusal refusal;
		const char *reason;
	} cases[] = {
		{"", HF_NOSTR_REFUSE_NOTICE, "invalid: the message is not well-formed JSON"},
		{"   ", HF_NOSTR_REFUSE_NOTICE, "invalid: the message is not well-formed JSON"},
		{"nonsense", HF_NOSTR_REFUSE_NOTICE, "invalid: the message is not well-formed JSON"},
		{"{}", HF_NOSTR_REFUSE_NOTICE, "invalid: a message must be a JSON array"},
		{"\"REQ\"", HF_NOSTR_REFUSE_NOTICE, "invalid: a message must be a JSON array"},
		{"[", HF_NOSTR_REFUSE_NOTICE, "invalid: the message is not well-formed JSON"},
		{"[]", HF_NOSTR_REFUSE_NOTICE, "invalid: a message must begin with its type, a string"},
		{"[1]", HF_NOSTR_REFUSE_NOTICE, "invalid: a message must begin with its type, a string"},
		{"[\"req\"]", HF_NOSTR_REFUSE_NOTICE, "unsupported: this relay knows EVENT, REQ, COUNT, CLOSE and AUTH"},
		{"[\"NEG-OPEN\",\"x\",{}]", HF_NOSTR_REFUSE_NOTICE, "unsupported: this relay knows EVENT, REQ, COUNT, CLOSE and AUTH"},
		{"[\"EVENT\"]", HF_NOSTR_REFUSE_NOTICE, "invalid: the message has no event"},
		{"[\"EVENT\",1]", HF_NOSTR_REFUSE_NOTICE, "invalid: an event must be a JSON object"},
		{"[\"EVENT\",{}]", HF_NOSTR_REFUSE_NOTICE, "invalid: the event has no id"},
		{"[\"EVENT\",{\"id\":\"" ID "\"}]", HF_NOSTR_REFUSE_OK, "invalid: the event has no pubkey"},
		{"[\"AUTH\",{\"kind\":65536,\"id\":\"" ID "\"}]", HF_NOSTR_REFUSE_OK, "invalid: kind is above 65535"},
		{"[\"AUTH\",\"challenge\"]", HF_NOSTR_REFUSE_NOTICE, "invalid: an event must be a JSON object"},
		{"[\"REQ\"]", HF_NOSTR_REFUSE_NOTICE, "invalid: a subscription id must be a string of 1 to 64 characters"},
		{"[\"REQ\",{}]", HF_NOSTR_REFUSE_NOTICE, "invalid: a subscription id must be a string of 1 to 64 characters"},
		{"[\"REQ\",\"\",{}]", HF_NOSTR_REFUSE_NOTICE, "invalid: a subscription id must be a string of 1 to 64 characters"},
		{"[\"REQ\",\"x\"]", HF_NOSTR_REFUSE_CLOSED, "invalid: at least one filter is needed"},
		{"[\"REQ\",\"x\",1]", HF_NOSTR_REFUSE_CLOSED, "invalid: a filter must be a JSON object"},
		{"[\"REQ\",\"x\",{\"kinds\":[65536]}]", HF_NOSTR_REFUSE_CLOSED, "invalid: kinds must be whole numbers from 0 to 65535"},
		{"[\"REQ\",\"x\",{\"search\":\"y\"}]", HF_NOSTR_REFUSE_CLOSED, "unsupported: this relay has no full-text search"},
		{"[\"REQ\",\"x\",{},{},{},{}]", HF_NOSTR_REFUSE_CLOSED, "invalid: too many filters"},
		{"[\"REQ\",\"x\",{\"kinds\":[1,2,3],\"#t\":[\"a\",\"b\",\"c\"]}]", HF_NOSTR_REFUSE_CLOSED,
			"invalid: the filters have too many values"},
		{"[\"REQ\",\"x\",{}", HF_NOSTR_REFUSE_CLOSED, "invalid: the filter is not well-formed JSON"},
		{"[\"REQ\",\"x\",{}] []", HF_NOSTR_REFUSE_CLOSED, "invalid: the message is not well-formed JSON"},
		{"[\"REQ\",\"x\",{},]", HF_NOSTR_REFUSE_CLOSED, "invalid: the filter is not well-formed JSON"},
		{"[\"COUNT\",\"x\",{\"ids\":[\"\"]}]", HF_NOSTR_REFUSE_CLOSED,
			"invalid: ids and authors must be 64 lower-case hex digits each"},
		{"[\"CLOSE\",1]", HF_NOSTR_REFUSE_NOTICE, "invalid: a subscription id must be a string of 1 to 64 characters"},
		{"[\"CLOSE\",\"x\",1]", HF_NOSTR_REFUSE_NOTICE, "invalid: the message has too many elements"},
		{"[\"CLOSE\",\"x\"", HF_NOSTR_REFUSE_NOTICE, "invalid: the message is not well-formed JSON"},
	};
	struct fixture f = {0};
	uint8_t id[32];
	assert_true(hf_hex_decode(id, ID, 32));
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_true(decode(&f, cases[i].text) < 0);
		if (f.error.refusal != cases[i].refusal || strcmp(f.error.reason, cases[i].reason) != 0)
			fail_msg("%s: %d %s", cases[i].text, f.error.refusal, f.error.reason);
		if (f.error.refusal == HF_NOSTR_REFUSE_OK)
			assert_memory_equal(f.error.event_id, id, 32);
		if (f.error.refusal == HF_NOSTR_REFUSE_CLOSED)
			assert_slice(f.error.subscription_id, "x");
		assert_int_equal(f.text.length, 0);
	}
	release(&f);
}

/* Values of all lists of all filters of a decoded message. */
static uint64_t value_count(const struct hf_nostr_message *m)
{
	uint64_t count = 0;
	for (uint32_t i = 0; i < m->filter_count; i++) {
		const struct hf_filter *filter = &m->filters[i];
		count += (uint64_t)filter->id_count + filter->author_count + filter->kind_count;
		for (uint32_t t = 0; t < filter->tag_count; t++)
			count += filter->tags[t].value_count;
	}
	return count;
}

static void test_values_of_all_filters_together_are_bounded(void **state)
{
	(void)state;
	struct fixture f = {0};
	assert_int_equal(decode(&f, "[\"REQ\",\"x\",{\"kinds\":[1,2,3]},{\"#t\":[\"a\"],\"kinds\":[1]}]"), HF_OK);
	assert_int_equal(value_count(&f.message), 5);
	assert_int_equal(decode(&f, "[\"COUNT\",\"x\",{\"kinds\":[1,2,3]},{\"#t\":[\"a\"],\"kinds\":[1,2]}]"), HF_ETOOBIG);
	assert_string_equal(f.error.reason, "invalid: the filters have too many values");
	assert_int_equal(decode(&f, "[\"REQ\",\"x\",{\"kinds\":[1,1,1]},{\"kinds\":[1,1,1]}]"), HF_ETOOBIG);
	release(&f);
}

/* What the largest message may make a loop do, counted: no more values are kept, sorted and filed than the limit, in no more
 * memory than their lists take, however many the message has. */
static void test_a_request_of_a_mebibyte_is_bounded_work(void **state)
{
	(void)state;
	enum { ITEMS_MAX = 10000, FILTERS = 20, FITTING = ITEMS_MAX / FILTERS };
	static const struct hf_nostr_limits limits = {.event_bytes_max = 64 << 10, .filter_count_max = FILTERS, .filter_items_max = ITEMS_MAX};
	for (int fits = 0; fits < 2; fits++) {
		struct fixture f = {0};
		struct hf_buffer text = {0};
		hf_buffer_append_text(&text, "[\"REQ\",\"x\"");
		for (uint32_t i = 0; i < FILTERS; i++) {
			hf_buffer_append_text(&text, ",{\"#t\":[");
			size_t end = (i + 1) * (size_t)(1 << 20) / FILTERS - 32;
			for (uint32_t n = 0; fits ? n < FITTING : text.length < end; n++)
				hf_buffer_printf(&text, "%s\"%x\"", n ? "," : "", n);
			hf_buffer_append_text(&text, "]}");
		}
		hf_buffer_append_text(&text, "]");
		int r = hf_nostr_decode(hf_buffer_slice(&text), &limits, &f.text, &f.arena, &f.message, &f.error);
		assert_int_equal(r, fits ? HF_OK : HF_ETOOBIG);
		assert_in_range(value_count(&f.message), fits ? ITEMS_MAX : 0, ITEMS_MAX);
		/* A value: 16 bytes for its text, 16 for its slice in lists that double. */
		assert_true(f.arena.used_bytes < (size_t)ITEMS_MAX * (16 + 4 * 16) + 64 * sizeof(struct hf_filter));
		hf_buffer_free(&text);
		release(&f);
	}
}

static void test_events_with_something_behind_them_are_refused(void **state)
{
	(void)state;
	struct fixture f = {0};
	struct hf_buffer text = {0};
	hf_buffer_append_text(&text, "[\"EVENT\",");
	append_event(&text, 1, "[]");
	hf_buffer_append_text(&text, ",1]");
	assert_int_equal(decode_bytes(&f, hf_buffer_slice(&text)), HF_EMALFORMED);
	assert_int_equal(f.error.refusal, HF_NOSTR_REFUSE_OK);
	assert_string_equal(f.error.reason, "invalid: the message has too many elements");
	assert_int_equal(f.text.length, 0);
	hf_buffer_free(&text);
	release(&f);
}

static void test_deep_nesting_is_refused(void **state)
{
	(void)state;
	static const char *const starts[] = {"", "[\"EVENT\",{\"x\":", "[\"REQ\",\"x\",{\"ids\":", "[\"CLOSE\","};
	struct fixture f = {0};
	for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
		struct hf_buffer text = {0};
		hf_buffer_append_text(&text, starts[i]);
		for (int depth = 0; depth < 100000; depth++)
			hf_buffer_append(&text, "[", 1);
		assert_true(decode_bytes(&f, hf_buffer_slice(&text)) < 0);
		assert_memory_equal(f.error.reason, "invalid: ", 9);
		hf_buffer_free(&text);
	}
	release(&f);
}

static void test_answers(void **state)
{
	(void)state;
	struct hf_buffer out = {0};
	struct hf_slice id = HF_SLICE_LITERAL("s\\n");
	uint8_t event_id[32];
	assert_true(hf_hex_decode(event_id, ID, 32));
	assert_int_equal(hf_nostr_append_ok(&out, event_id, true, NULL), HF_OK);
	assert_int_equal(hf_nostr_append_ok(&out, event_id, false, "invalid: \"x\"\n\x01"), HF_OK);
	assert_int_equal(hf_nostr_append_eose(&out, id), HF_OK);
	assert_int_equal(hf_nostr_append_closed(&out, id, "error: y"), HF_OK);
	assert_int_equal(hf_nostr_append_notice(&out, "z"), HF_OK);
	assert_int_equal(hf_nostr_append_count(&out, id, UINT64_MAX), HF_OK);
	assert_int_equal(hf_nostr_append_auth(&out, "challenge"), HF_OK);
	assert_int_equal(hf_nostr_append_event_head(&out, id), HF_OK);
	assert_int_equal(hf_buffer_append_text(&out, "{}" HF_NOSTR_EVENT_TAIL), HF_OK);
	assert_slice(hf_buffer_slice(&out), "[\"OK\",\"" ID "\",true,\"\"][\"OK\",\"" ID "\",false,\"invalid: \\\"x\\\"\\n\\u0001\"]"
		"[\"EOSE\",\"s\\n\"][\"CLOSED\",\"s\\n\",\"error: y\"][\"NOTICE\",\"z\"][\"COUNT\",\"s\\n\",{\"count\":18446744073709551615}]"
		"[\"AUTH\",\"challenge\"][\"EVENT\",\"s\\n\",{}]");
	hf_buffer_free(&out);
}

static void test_authentication_is_for_this_relay_challenge_and_time(void **state)
{
	(void)state;
#define CHALLENGE "[\"challenge\",\"abc\"]"
	static const struct {
		const char *tags, *relay_url, *reason;
	} cases[] = {
		{"[[\"relay\",\"wss://relay.example.com/\"]," CHALLENGE "]", "wss://relay.example.com", NULL},
		{"[[\"relay\",\"ws://RELAY.example.com:443/path?x\"]," CHALLENGE "]", "wss://relay.example.com/other", NULL},
		{"[[\"relay\",\"wss://relay.example.com.\"]," CHALLENGE "]", "wss://relay.example.com", NULL},
		{"[[\"relay\",\"ws://[::1]:7777\"]," CHALLENGE "]", "ws://[::1]", NULL},
		{"[[\"relay\",\"ws://anything\"]," CHALLENGE "]", NULL, NULL},
		{"[[\"relay\",\"wss://relay.example.com@evil.example\"]," CHALLENGE "]", "wss://relay.example.com", "another relay"},
		{"[[\"relay\",\"wss://user@relay.example.com\"]," CHALLENGE "]", "wss://relay.example.com", NULL},
		{"[[\"relay\",\"wss://relay.example.com:x@evil.example\"]," CHALLENGE "]", "wss://relay.example.com", "another relay"},
		{"[[\"relay\",\"wss://relay.example.com.evil.example\"]," CHALLENGE "]", "wss://relay.example.com", "another relay"},
		{"[[\"relay\",\"wss://evil.example/relay.example.com\"]," CHALLENGE "]", "wss://relay.example.com", "another relay"},
		{"[[\"relay\",\"relay.example.com\"]," CHALLENGE "]", "wss://relay.example.com", "not an address"},
		{"[[\"relay\"]," CHALLENGE "]", "wss://relay.example.com", "not an address"},
		{"[[\"relay\",\"\"]," CHALLENGE "]", NULL, "not an address"},
		{"[" CHALLENGE "]", "wss://relay.example.com", "no relay tag"},
		{"[[\"relay\",\"wss://relay.example.com\"]]", "wss://relay.example.com", "challenge"},
		{"[[\"relay\",\"wss://relay.example.com\"],[\"challenge\",\"abd\"]]", "wss://relay.example.com", "challenge"},
		{"[[\"relay\",\"wss://relay.example.com\"],[\"challenge\"]]", "wss://relay.example.com", "challenge"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct hf_event event = {.kind = 22242, .created_at = 1000, .tags = hf_slice_text(cases[i].tags)};
		const char *reason = "";
		int status = hf_nostr_check_auth(&event, "abc", cases[i].relay_url, 1000, 600, &reason);
		assert_int_equal(status, cases[i].reason == NULL ? HF_OK : HF_EDENIED);
		if (cases[i].reason != NULL)
			assert_non_null(strstr(reason, cases[i].reason));
	}
	struct hf_event event = {.kind = 22242, .created_at = 1000, .tags = hf_slice_text(cases[0].tags)};
	const char *reason;
	assert_int_equal(hf_nostr_check_auth(&event, "abc", NULL, 1600, 600, &reason), HF_OK);
	assert_int_equal(hf_nostr_check_auth(&event, "abc", NULL, 1601, 600, &reason), HF_EDENIED);
	assert_int_equal(hf_nostr_check_auth(&event, "abc", NULL, 400, 600, &reason), HF_OK);
	assert_int_equal(hf_nostr_check_auth(&event, "abc", NULL, 399, 600, &reason), HF_EDENIED);
	event.kind = 1;
	assert_int_equal(hf_nostr_check_auth(&event, "abc", NULL, 1000, 600, &reason), HF_EDENIED);
}

static void assert_decoding_survives_failed_allocations(struct hf_slice text)
{
	for (uint64_t n = 1;; n++) {
		struct fixture f = {0};
		fail_alloc_arm(n, false);
		int status = hf_nostr_decode(text, &(struct hf_nostr_limits){64 << 10, 20, 240}, &f.text, &f.arena, &f.message,
			&f.error);
		bool failed = fail_alloc_disarm();
		assert_int_equal(status, failed ? HF_ENOMEM : HF_OK);
		if (failed)
			assert_memory_equal(f.error.reason, "error: ", 7);
		release(&f);
		if (!failed)
			break;
	}
}

static void test_failed_allocations_are_answered(void **state)
{
	(void)state;
	struct hf_buffer text = {0}, out = {0};
	hf_buffer_append_text(&text, "[\"EVENT\",");
	append_event(&text, 1, "[[\"t\",\"x\"]]");
	hf_buffer_append_text(&text, "]");
	assert_decoding_survives_failed_allocations(hf_buffer_slice(&text));
	hf_buffer_clear(&text);
	hf_buffer_append_text(&text, "[\"REQ\",\"\\u0041\"");
	for (int i = 0; i < 20; i++)
		hf_buffer_append_text(&text, ",{\"kinds\":[1,2,3,4,5,6,7,8,9],\"#t\":[\"a\",\"b\"],\"ids\":[\"" KEY "\"]}");
	hf_buffer_append_text(&text, "]");
	assert_decoding_survives_failed_allocations(hf_buffer_slice(&text));
	fail_alloc_arm(1, false);
	int status = hf_nostr_append_notice(&out, "x");
	assert_true(fail_alloc_disarm());
	assert_int_equal(status, HF_ENOMEM);
	assert_int_equal(out.length, 0);
	hf_buffer_free(&text);
	hf_buffer_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events_are_decoded),
		cmocka_unit_test(test_requests_are_decoded),
		cmocka_unit_test(test_resume_is_a_request_for_what_arrived_lately_too),
		cmocka_unit_test(test_subscription_ids_have_1_to_64_characters),
		cmocka_unit_test(test_refusals_say_what_and_to_whom),
		cmocka_unit_test(test_values_of_all_filters_together_are_bounded),
		cmocka_unit_test(test_a_request_of_a_mebibyte_is_bounded_work),
		cmocka_unit_test(test_events_with_something_behind_them_are_refused),
		cmocka_unit_test(test_deep_nesting_is_refused),
		cmocka_unit_test(test_failed_allocations_are_answered),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_authentication_is_for_this_relay_challenge_and_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
