/* Terms: what an event is found by, and that a stored payload gives the same ones again. */
#include "event_relay.h"

static struct relay relay;

static int open_relay(void **state)
{
	relay_new(&relay, 64, true);
	return 0;
}

static int close_relay(void **state)
{
	relay_free(&relay);
	return 0;
}

static bool has(const uint64_t *terms, uint32_t count, uint64_t term)
{
	uint32_t found = 0;
	for (uint32_t i = 0; i < count; i++)
		found += terms[i] == term;
	assert_true(found <= 1);
	return found == 1;
}

static void event_of(struct hf_event *event, uint32_t kind, const char *tags)
{
	memset(event, 0, sizeof *event);
	memset(event->pubkey, 0xaa, 32);
	event->kind = kind;
	event->created_at = 1000;
	event->tags = hf_slice_text(tags);
}

static void test_author_kind_and_letters_are_terms(void **state)
{
	struct hf_event event;
	uint64_t terms[HF_STORE_TERM_COUNT_MAX], expiration, address;
	uint32_t count;
	event_of(&event, 1, "[[\"t\",\"x\"],[\"t\",\"x\"],[\"T\",\"x\"],[\"client\",\"c\"],[\"-\"]]");
	assert_int_equal(hf_event_terms(relay.store, &event, terms, &count, &expiration), HF_OK);
	assert_int_equal(count, 5);
	assert_true(expiration == UINT64_MAX);
	assert_true(has(terms, count, hf_term_author(relay.store, event.pubkey)));
	assert_true(has(terms, count, hf_term_kind(relay.store, 1)));
	assert_true(has(terms, count, hf_term_author_kind(relay.store, event.pubkey, 1)));
	assert_true(has(terms, count, hf_term_tag(relay.store, 't', HF_SLICE_LITERAL("x"))));
	assert_true(has(terms, count, hf_term_tag(relay.store, 'T', HF_SLICE_LITERAL("x"))));
	assert_false(has(terms, count, hf_term_tag(relay.store, 'e', HF_SLICE_LITERAL("x"))));
	assert_int_equal(hf_term_address(relay.store, event.pubkey, 1, hf_slice(NULL, 0), &address), HF_OK);
	assert_false(has(terms, count, address));
}

static void test_an_address_is_the_first_d_or_empty(void **state)
{
	static const struct {
		const char *tags, *d;
	} cases[] = {
		{"[]", ""}, {"[[\"d\"]]", ""}, {"[[\"d\",\"\"]]", ""},
		{"[[\"t\",\"x\"],[\"d\",\"first\"],[\"d\",\"second\"]]", "first"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct hf_event event;
		uint64_t terms[HF_STORE_TERM_COUNT_MAX], address;
		uint32_t count;
		event_of(&event, 30023, cases[i].tags);
		assert_int_equal(hf_event_terms(relay.store, &event, terms, &count, NULL), HF_OK);
		assert_int_equal(hf_term_address(relay.store, event.pubkey, 30023, hf_slice_text(cases[i].d), &address), HF_OK);
		assert_true(has(terms, count, address));
	}
}

static void test_an_expiration_is_in_its_hour_and_era(void **state)
{
	struct hf_event event;
	uint64_t terms[HF_STORE_TERM_COUNT_MAX], expiration;
	uint32_t count;
	event_of(&event, 1, "[[\"expiration\",\"7200123\"]]");
	assert_int_equal(hf_event_terms(relay.store, &event, terms, &count, &expiration), HF_OK);
	assert_true(expiration == 7200123);
	assert_true(has(terms, count, hf_term_expiry_hour(relay.store, 2000)));
	assert_true(has(terms, count, hf_term_expiry_era(relay.store, 2000 / HF_EXPIRY_ERA_HOURS)));
}

static void test_many_tags_are_distinct_terms(void **state)
{
	struct hf_buffer tags = {0};
	struct hf_event event;
	uint64_t terms[HF_STORE_TERM_COUNT_MAX];
	uint32_t count;
	for (int i = 0; i < HF_EVENT_TAG_COUNT_MAX; i++)
		assert_int_equal(hf_buffer_printf(&tags, "%s[\"t\",\"%d\"]", i ? "," : "[", i / 2), HF_OK);
	assert_int_equal(hf_buffer_append(&tags, "]", 2), HF_OK);
	event_of(&event, 1, (const char *)tags.data);
	assert_int_equal(hf_event_terms(relay.store, &event, terms, &count, NULL), HF_OK);
	assert_int_equal(count, 3 + HF_EVENT_TAG_COUNT_MAX / 2);
	assert_true(has(terms, count, hf_term_tag(relay.store, 't', HF_SLICE_LITERAL("999"))));
	hf_buffer_free(&tags);
}

static void test_a_value_of_any_length_is_a_term(void **state)
{
	enum { LENGTH = 100000 };
	char *text = malloc(LENGTH + 1);
	assert_non_null(text);
	memset(text, 'a', LENGTH);
	uint64_t first = hf_term_tag(relay.store, 'd', hf_slice(text, LENGTH)), address, other;
	assert_int_equal(hf_term_address(relay.store, (const uint8_t *)text, 30000, hf_slice(text, LENGTH), &address), HF_OK);
	text[LENGTH - 1] = 'b';
	assert_true(first != hf_term_tag(relay.store, 'd', hf_slice(text, LENGTH)));
	assert_int_equal(hf_term_address(relay.store, (const uint8_t *)text, 30000, hf_slice(text, LENGTH), &other), HF_OK);
	assert_true(address != other);
	free(text);
}

static void test_describe_says_what_admission_indexed(void **state)
{
	struct model m;
	model_new(&m, 5);
	for (int i = 0; i < 200; i++) {
		const struct model_event *e = model_make(&m);
		struct hf_buffer payload = {0};
		struct hf_event_meta meta = {.received_ms = 1};
		uint64_t terms[HF_STORE_TERM_COUNT_MAX], again[HF_STORE_TERM_COUNT_MAX];
		uint32_t count;
		struct hf_doc_key key;
		assert_int_equal(hf_event_pack(&e->event, &meta, &payload), HF_OK);
		assert_int_equal(hf_event_terms(relay.store, &e->event, terms, &count, NULL), HF_OK);
		assert_int_equal(hf_event_describe(NULL, relay.store, 1, hf_buffer_slice(&payload), &key, again), HF_OK);
		assert_int_equal(key.term_count, count);
		assert_ptr_equal(key.terms, again);
		assert_memory_equal(again, terms, count * sizeof *terms);
		assert_memory_equal(key.id, e->event.id, 32);
		assert_true(key.rank == e->event.created_at);
		assert_true(hf_event_describe(NULL, relay.store, 1, hf_slice(payload.data, 20), &key, again) < 0);
		hf_buffer_free(&payload);
		m.count++;
	}
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_author_kind_and_letters_are_terms),
		cmocka_unit_test(test_an_address_is_the_first_d_or_empty),
		cmocka_unit_test(test_an_expiration_is_in_its_hour_and_era),
		cmocka_unit_test(test_many_tags_are_distinct_terms),
		cmocka_unit_test(test_a_value_of_any_length_is_a_term),
		cmocka_unit_test(test_describe_says_what_admission_indexed),
	};
	return cmocka_run_group_tests(tests, open_relay, close_relay);
}
