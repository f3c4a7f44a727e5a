/* nostr_frame: what is read of messages that are only passed on, and asking again since a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/nostr_frame.h"

#define ID "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct hf_nostr_frame frame;

/* On memory of its own length, so that a sanitizer sees a byte read past it. */
static int read_text(const char *text)
{
	static char *copy;
	free(copy);
	copy = malloc(strlen(text) + 1);
	memcpy(copy + 1, text, strlen(text));
	return hf_nostr_frame_read(hf_slice(copy + 1, strlen(text)), &frame);
}

static void assert_slice(struct hf_slice slice, const char *expected)
{
	assert_int_equal(slice.length, strlen(expected));
	assert_memory_equal(slice.data, expected, slice.length);
}

static void test_types_and_their_parts_are_read(void **state)
{
	static const struct {
		const char *text, *subscription;
		enum hf_nostr_frame_type type;
		bool has_event, is_accepted;
	} cases[] = {
		{"[\"EVENT\",{\"kind\":1,\"id\":\"" ID "\",\"created_at\":77,\"tags\":[[\"id\",\"x\"]]}]", "", HF_NOSTR_FRAME_EVENT, true, false},
		{" [ \"EVENT\" , \"s\" , {\"created_at\":77,\"id\":\"" ID "\"} ] ", "s", HF_NOSTR_FRAME_EVENT, true, false},
		{"[\"EVENT\",\"s\",{\"id\":\"short\",\"created_at\":-7}]", "s", HF_NOSTR_FRAME_EVENT, false, false},
		{"[\"EVENT\",\"s\",{\"id\":{\"id\":1},\"created_at\":[77]}]", "s", HF_NOSTR_FRAME_EVENT, false, false},
		{"[\"EVENT\",\"s\"]", "s", HF_NOSTR_FRAME_EVENT, false, false},
		{"[\"REQ\",\"a\\u0062\",{\"ids\":[]},{}]", "ab", HF_NOSTR_FRAME_REQ, false, false},
		{"[\"REQ\"]", "", HF_NOSTR_FRAME_REQ, false, false},
		{"[\"REQ\",7,\"late\"]", "", HF_NOSTR_FRAME_REQ, false, false},
		{"[\"COUNT\",\"c\",{\"count\":1}]", "c", HF_NOSTR_FRAME_COUNT, false, false},
		{"[\"CLOSE\",\"c\"]", "c", HF_NOSTR_FRAME_CLOSE, false, false},
		{"[\"EOSE\",\"c\"]", "c", HF_NOSTR_FRAME_EOSE, false, false},
		{"[\"CLOSED\",\"c\",\"error: x\"]", "c", HF_NOSTR_FRAME_CLOSED, false, false},
		{"[\"OK\",\"" ID "\",true,\"\"]", "", HF_NOSTR_FRAME_OK, true, true},
		{"[\"OK\",\"" ID "\",false,true]", "", HF_NOSTR_FRAME_OK, true, false},
		{"[\"NOTICE\",\"c\"]", "", HF_NOSTR_FRAME_NOTICE, false, false},
		{"[\"AUTH\",{\"id\":\"" ID "\"}]", "", HF_NOSTR_FRAME_AUTH, true, false},
		{"[\"TOKEN\",\"REVOKED\",{}]", "", HF_NOSTR_FRAME_TOKEN, false, false},
		{"[\"event\",{}]", "", HF_NOSTR_FRAME_OTHER, false, false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(read_text(cases[i].text), HF_OK);
		assert_int_equal(frame.type, cases[i].type);
		assert_slice(frame.subscription_id, cases[i].subscription);
		assert_int_equal(frame.has_event, cases[i].has_event);
		assert_int_equal(frame.is_accepted, cases[i].is_accepted);
		assert_int_equal(frame.created_at_s, cases[i].type == HF_NOSTR_FRAME_EVENT && cases[i].has_event ? 77 : 0);
		if (cases[i].has_event)
			assert_int_equal(frame.event_id[1], 0x11);
	}
	assert_int_equal(read_text("[\"AUTH-TOKEN\",\"a.b\"]"), HF_OK);
	assert_slice(frame.text, "a.b");
}

static void test_what_is_no_message_is_told_from_what_is_no_json(void **state)
{
	static const char *const no_json[] = {"", "{", "[", "[\"REQ\",\"a\",{]", "[\"REQ\",\"a\"", "[\"REQ\"] x", "[1", "[\"EVENT\",{\"id\"}]", "nul"};
	static const char *const no_message[] = {"{}", "[]", "[1]", "\"REQ\"", "[[\"REQ\"]]", "{\"a\":[1,{}]}", "null"};
	for (size_t i = 0; i < sizeof no_json / sizeof *no_json; i++)
		assert_int_equal(read_text(no_json[i]), HF_EMALFORMED);
	for (size_t i = 0; i < sizeof no_message / sizeof *no_message; i++)
		assert_int_equal(read_text(no_message[i]), HF_EINVAL);
}

static void test_a_subscription_id_that_is_too_long_is_none(void **state)
{
	char text[1200] = "[\"CLOSE\",\"";
	memset(text + 10, 'x', 1000);
	strcpy(text + 1010, "\"]");
	assert_int_equal(read_text(text), HF_OK);
	assert_int_equal(frame.subscription_id.length, 0);
}

static void test_asking_again_since_a_time(void **state)
{
	static const char *const cases[][2] = {
		{"[\"REQ\",\"s\",{}]", "[\"REQ\",\"s\",{\"since\":100}]"},
		{"[\"REQ\",\"s\",{\"limit\":5,\"kinds\":[1, 2],\"since\":7},{\"since\":200}]",
			"[\"REQ\",\"s\",{\"kinds\":[1, 2],\"since\":100},{\"since\":200}]"},
		{"[\"REQ\",\"a\\\"b\",{\"#e\" : [\"x\"],\"until\":9}]", "[\"REQ\",\"a\\\"b\",{\"#e\":[\"x\"],\"until\":9,\"since\":100}]"},
		{"[\"REQ\",\"s\",{\"since\":\"x\"}]", "[\"REQ\",\"s\",{\"since\":100}]"},
		{"[\"REQ\",\"s\",{\"sinc\\u0065\":7,\"\\u006cimit\":1}]", "[\"REQ\",\"s\",{\"since\":100}]"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct hf_buffer out = {0};
		assert_int_equal(hf_nostr_frame_append_since(&out, hf_slice_text(cases[i][0]), 100), HF_OK);
		assert_slice(hf_buffer_slice(&out), cases[i][1]);
		hf_buffer_free(&out);
	}
}

static void test_resuming_where_another_left(void **state)
{
	static const struct {
		const char *request;
		uint64_t since_s;
		const char *resume;
	} cases[] = {
		{"[\"REQ\",\"s\",{}]", 0, "[\"RESUME\",\"s\",{},65,{}]"},
		{"[\"REQ\",\"s\",{\"limit\":5,\"kinds\":[1, 2],\"since\":7},{\"since\":200}]", 0,
			"[\"RESUME\",\"s\",{\"limit\":5,\"kinds\":[1, 2],\"since\":7},{\"since\":200},65,{\"kinds\":[1, 2],\"since\":7},{\"since\":200}]"},
		{"[\"REQ\",\"a\\\"b\",{\"#e\" : [\"x\"],\"limit\":9}]", 100,
			"[\"RESUME\",\"a\\\"b\",{\"#e\":[\"x\"],\"since\":100},65,{\"#e\":[\"x\"]}]"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct hf_buffer out = {0};
		assert_int_equal(hf_nostr_frame_append_resume(&out, hf_slice_text(cases[i].request), cases[i].since_s, 65), HF_OK);
		assert_slice(hf_buffer_slice(&out), cases[i].resume);
		assert_int_equal(hf_nostr_frame_read(hf_buffer_slice(&out), &frame), HF_OK);
		assert_int_equal(frame.type, HF_NOSTR_FRAME_RESUME);
		hf_buffer_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types_and_their_parts_are_read),
		cmocka_unit_test(test_what_is_no_message_is_told_from_what_is_no_json),
		cmocka_unit_test(test_a_subscription_id_that_is_too_long_is_none),
		cmocka_unit_test(test_asking_again_since_a_time),
		cmocka_unit_test(test_resuming_where_another_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
