/* What a relay keeps, refuses and removes. (NIP-01, 09, 40) */
#include "event_relay.h"
#include "support/fail_alloc.h"

#define AUTHOR 1
#define STRANGER 2
#define REPLACEABLE 10002
#define ADDRESSABLE 30023

static struct relay relay;

static int open_relay(void **state)
{
	relay_new(&relay, 8, true);
	return 0;
}

static int close_relay(void **state)
{
	relay_free(&relay);
	return 0;
}

/* An event whose id is filled with one byte: the lower, the lower the id. */
static void make(struct model_event *e, uint8_t id, uint32_t author, uint32_t kind, uint64_t created_at)
{
	memset(e, 0, sizeof *e);
	memset(e->event.id, id, 32);
	model_author(e->event.pubkey, author);
	e->event.kind = kind;
	e->event.created_at = created_at;
	model_finish(e);
}

static void tag(struct model_event *e, const char *name, const char *value)
{
	model_add_tag(e, name, value);
	model_finish(e);
}

static void tag_id(struct model_event *e, const struct model_event *named)
{
	char hex[65];
	model_hex(hex, named->event.id, 32);
	tag(e, "e", hex);
}

static void tag_address(struct model_event *e, uint32_t kind, uint32_t author, const char *rest)
{
	char hex[65], text[112];
	uint8_t pubkey[32];
	model_author(pubkey, author);
	model_hex(hex, pubkey, 32);
	snprintf(text, sizeof text, "%u:%s%s", kind, hex, rest);
	tag(e, "a", text);
}

static int admit(const struct model_event *e)
{
	return relay_admit(&relay, &e->event);
}

static bool kept(const struct model_event *e)
{
	return relay_has(&relay, e->event.id);
}

static void test_a_copy_is_a_duplicate(void **state)
{
	struct model_event e;
	make(&e, 1, AUTHOR, 1, 100);
	assert_int_equal(admit(&e), HF_OK);
	assert_int_equal(admit(&e), HF_EDUPLICATE);
	make(&e, 2, AUTHOR, REPLACEABLE, 100);
	assert_int_equal(admit(&e), HF_OK);
	assert_int_equal(admit(&e), HF_EDUPLICATE);
}

static void test_the_newest_version_stays_and_ties_go_to_the_lowest_id(void **state)
{
	static const uint32_t kinds[] = {0, 3, REPLACEABLE, ADDRESSABLE};
	for (size_t i = 0; i < MODEL_COUNT(kinds); i++) {
		struct model_event old, new, tie_lower, tie_higher, stranger;
		uint8_t base = (uint8_t)(16 * i);
		make(&old, base + 1, AUTHOR, kinds[i], 100);
		make(&new, base + 5, AUTHOR, kinds[i], 200);
		make(&tie_lower, base + 4, AUTHOR, kinds[i], 200);
		make(&tie_higher, base + 6, AUTHOR, kinds[i], 200);
		make(&stranger, base + 7, STRANGER, kinds[i], 50);
		assert_int_equal(admit(&stranger), HF_OK);
		assert_int_equal(admit(&old), HF_OK);
		assert_int_equal(admit(&new), HF_OK);
		assert_false(kept(&old));
		assert_int_equal(admit(&old), HF_EDENIED);
		assert_int_equal(admit(&tie_higher), HF_EDENIED);
		assert_int_equal(admit(&tie_lower), HF_OK);
		assert_false(kept(&new));
		assert_true(kept(&tie_lower));
		assert_true(kept(&stranger));
	}
}

static void test_a_missing_d_is_an_empty_d(void **state)
{
	struct model_event none, empty, other;
	make(&none, 1, AUTHOR, ADDRESSABLE, 100);
	make(&empty, 2, AUTHOR, ADDRESSABLE, 101);
	tag(&empty, "d", "");
	make(&other, 3, AUTHOR, ADDRESSABLE, 50);
	tag(&other, "d", "other");
	assert_int_equal(admit(&none), HF_OK);
	assert_int_equal(admit(&empty), HF_OK);
	assert_int_equal(admit(&other), HF_OK);
	assert_false(kept(&none));
	assert_true(kept(&empty));
	assert_true(kept(&other));
}

static void test_an_author_deletes_by_id(void **state)
{
	struct model_event mine, theirs, deletion;
	make(&mine, 1, AUTHOR, 1, 100);
	make(&theirs, 2, STRANGER, 1, 100);
	make(&deletion, 3, AUTHOR, 5, 50);
	tag_id(&deletion, &mine);
	tag_id(&deletion, &mine);
	tag_id(&deletion, &theirs);
	tag(&deletion, "e", "not an id");
	assert_int_equal(admit(&mine), HF_OK);
	assert_int_equal(admit(&theirs), HF_OK);
	assert_int_equal(admit(&deletion), HF_OK);
	assert_false(kept(&mine));
	assert_true(kept(&theirs));
	assert_true(kept(&deletion));
	assert_int_equal(admit(&mine), HF_EDENIED);
}

static void test_a_refusal_has_a_reason(void **state)
{
	struct model_event mine, deletion;
	make(&mine, 1, AUTHOR, 1, 100);
	make(&deletion, 3, AUTHOR, 5, 50);
	tag_id(&deletion, &mine);
	assert_int_equal(admit(&deletion), HF_OK);
	struct relay_admission a;
	relay_prepare(&a, &mine.event);
	relay_run(&relay, &a, 1);
	assert_int_equal(a.status, HF_EDENIED);
	assert_string_equal(a.admission.reason, "blocked: the author has deleted this event");
	hf_admission_clear(&a.admission);
	hf_admission_clear(&a.admission);
}

static void test_a_deletion_may_come_first(void **state)
{
	struct model_event mine, theirs, deletion;
	make(&mine, 1, AUTHOR, 1, 100);
	make(&theirs, 2, STRANGER, 1, 100);
	make(&deletion, 3, AUTHOR, 5, 50);
	tag_id(&deletion, &mine);
	tag_id(&deletion, &theirs);
	assert_int_equal(admit(&deletion), HF_OK);
	assert_int_equal(admit(&mine), HF_EDENIED);
	assert_int_equal(admit(&theirs), HF_OK);
}

static void test_deletions_cannot_be_deleted(void **state)
{
	struct model_event mine, first, second, late;
	make(&mine, 1, AUTHOR, 1, 100);
	make(&first, 2, AUTHOR, 5, 110);
	make(&second, 3, AUTHOR, 5, 120);
	make(&late, 4, AUTHOR, 5, 130);
	tag_id(&first, &mine);
	tag_id(&second, &first);
	tag_id(&second, &late);
	assert_int_equal(admit(&first), HF_OK);
	assert_int_equal(admit(&second), HF_OK);
	assert_true(kept(&first));
	assert_int_equal(admit(&late), HF_OK);
	assert_int_equal(admit(&mine), HF_EDENIED);
}

static void test_an_address_is_deleted_up_to_the_deletion(void **state)
{
	struct model_event old, same_time, newer, other_d, deletion;
	make(&old, 1, AUTHOR, ADDRESSABLE, 100);
	make(&same_time, 2, AUTHOR, ADDRESSABLE, 200);
	make(&newer, 3, AUTHOR, ADDRESSABLE, 201);
	make(&other_d, 4, AUTHOR, ADDRESSABLE, 100);
	tag(&old, "d", "x:y");
	tag(&same_time, "d", "x:y");
	tag(&newer, "d", "x:y");
	tag(&other_d, "d", "x");
	make(&deletion, 5, AUTHOR, 5, 200);
	tag_address(&deletion, ADDRESSABLE, AUTHOR, ":x:y");
	assert_int_equal(admit(&old), HF_OK);
	assert_int_equal(admit(&other_d), HF_OK);
	assert_int_equal(admit(&deletion), HF_OK);
	assert_false(kept(&old));
	assert_true(kept(&other_d));
	assert_int_equal(admit(&same_time), HF_EDENIED);
	assert_int_equal(admit(&newer), HF_OK);
	assert_true(kept(&newer));
}

static void test_a_newer_version_survives_an_older_deletion(void **state)
{
	struct model_event newer, deletion;
	make(&newer, 1, AUTHOR, ADDRESSABLE, 201);
	make(&deletion, 2, AUTHOR, 5, 200);
	tag_address(&deletion, ADDRESSABLE, AUTHOR, ":");
	assert_int_equal(admit(&newer), HF_OK);
	assert_int_equal(admit(&deletion), HF_OK);
	assert_true(kept(&newer));
}

static void test_replaceable_kinds_are_deleted_by_address(void **state)
{
	static const char *const rests[] = {":", ""};
	for (uint8_t i = 0; i < 2; i++) {
		struct model_event e, deletion, again, later;
		uint32_t kind = i ? 0 : REPLACEABLE;
		make(&e, 16 * i + 1, AUTHOR, kind, 100);
		make(&deletion, 16 * i + 2, AUTHOR, 5, 150);
		make(&again, 16 * i + 3, AUTHOR, kind, 150);
		make(&later, 16 * i + 4, AUTHOR, kind, 151);
		tag_address(&deletion, kind, AUTHOR, rests[i]);
		assert_int_equal(admit(&e), HF_OK);
		assert_int_equal(admit(&deletion), HF_OK);
		assert_false(kept(&e));
		assert_int_equal(admit(&again), HF_EDENIED);
		assert_int_equal(admit(&later), HF_OK);
	}
}

static void test_addresses_of_others_and_of_other_kinds_delete_nothing(void **state)
{
	struct model_event theirs, note, listed, deletion;
	make(&theirs, 1, STRANGER, REPLACEABLE, 100);
	make(&note, 2, AUTHOR, 1, 100);
	make(&listed, 3, AUTHOR, REPLACEABLE, 100);
	make(&deletion, 4, AUTHOR, 5, 200);
	tag_address(&deletion, REPLACEABLE, STRANGER, ":");
	tag_address(&deletion, 1, AUTHOR, ":");
	tag_address(&deletion, 5, AUTHOR, ":");
	tag_address(&deletion, REPLACEABLE, AUTHOR, ":with a d");
	tag(&deletion, "a", "");
	tag(&deletion, "a", "10002");
	tag(&deletion, "a", "99999999999999999999:");
	assert_int_equal(admit(&theirs), HF_OK);
	assert_int_equal(admit(&note), HF_OK);
	assert_int_equal(admit(&listed), HF_OK);
	assert_int_equal(admit(&deletion), HF_OK);
	assert_true(kept(&theirs));
	assert_true(kept(&note));
	assert_true(kept(&listed));
	assert_true(kept(&deletion));
}

static void test_ephemeral_and_expired_events_are_refused(void **state)
{
	struct model_event ephemeral, expiring;
	make(&ephemeral, 1, AUTHOR, 20001, 100);
	assert_int_equal(admit(&ephemeral), HF_EINVAL);
	make(&expiring, 2, AUTHOR, 1, 100);
	tag(&expiring, "expiration", "1000");
	struct relay_admission a;
	relay_prepare(&a, &expiring.event);
	a.admission.meta.received_ms = 1000000;
	relay_run(&relay, &a, 1);
	assert_int_equal(a.status, HF_EDENIED);
	assert_string_equal(a.admission.reason, "invalid: the event has expired");
	hf_admission_clear(&a.admission);
	relay_prepare(&a, &expiring.event);
	a.admission.meta.received_ms = 999999;
	relay_run(&relay, &a, 1);
	assert_int_equal(a.status, HF_OK);
	hf_admission_clear(&a.admission);
}

static void test_a_sweep_removes_what_expired_and_nothing_else(void **state)
{
	enum { COUNT = 60, HOUR = 3600 };
	const uint64_t start = UINT64_C(480000) * HOUR;
	for (uint8_t i = 0; i < COUNT; i++) {
		struct model_event e;
		char text[24];
		make(&e, i, AUTHOR, i % 10 == 9 ? 5 : 1, 100 + i);
		snprintf(text, sizeof text, "%llu", (unsigned long long)(start + i * (HOUR / 4)));
		tag(&e, "expiration", text);
		assert_int_equal(admit(&e), HF_OK);
	}
	/* Up to and with number 20, of which 9 and 19 are deletions; then up to 40, in small batches. */
	uint64_t hour = 0, now = start + 20 * (HOUR / 4);
	assert_int_equal(hf_admission_sweep_expired(relay.store, RELAY_COLLECTION, now, &hour, 1000), 19);
	assert_int_equal(hf_admission_sweep_expired(relay.store, RELAY_COLLECTION, now, &hour, 1000), 0);
	assert_true(hour == now / HOUR);
	int removed = 0, r;
	now = start + 40 * (HOUR / 4);
	while ((r = hf_admission_sweep_expired(relay.store, RELAY_COLLECTION, now, &hour, 3)) > 0) {
		assert_true(r <= 3);
		removed += r;
	}
	assert_int_equal(r, 0);
	assert_int_equal(removed, 18);
	for (uint8_t i = 0; i < COUNT; i++) {
		uint8_t id[32];
		memset(id, i, 32);
		assert_int_equal(relay_has(&relay, id), i > 40 || i % 10 == 9);
	}
}

/* Each allocation of preparing and of the writer fails in turn: the event is then not kept, and can be sent again. */
static void test_each_failed_allocation_refuses_and_changes_nothing(void **state)
{
	struct model_event old, mine, deletion, new;
	make(&old, 1, AUTHOR, ADDRESSABLE, 100);
	make(&mine, 2, AUTHOR, 1, 100);
	make(&deletion, 3, AUTHOR, 5, 150);
	make(&new, 4, AUTHOR, ADDRESSABLE, 200);
	tag_id(&deletion, &mine);
	tag_address(&deletion, ADDRESSABLE, AUTHOR, ":other");
	const struct model_event *order[] = {&old, &mine, &deletion, &new};
	for (size_t i = 0; i < MODEL_COUNT(order); i++) {
		for (uint64_t n = 1;; n++) {
			struct relay_admission a;
			relay_prepare(&a, &order[i]->event);
			fail_alloc_arm(n, true);
			int r = hf_admission_prepare(&a.admission, relay.store);
			if (r == HF_OK) {
				relay_run(&relay, &a, 1);
				r = a.status;
			}
			bool failed = fail_alloc_disarm();
			hf_admission_clear(&a.admission);
			if (r == HF_OK) /* what failed did without */
				break;
			assert_true(failed);
			assert_int_equal(r, HF_ENOMEM);
			assert_false(kept(order[i]));
		}
		assert_true(kept(order[i]));
		assert_int_equal(kept(&old), i < 3);
		assert_int_equal(kept(&mine), i == 1);
	}
}

static void test_random_events_end_as_in_the_naive_relay(void **state)
{
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct relay random;
		struct model m;
		model_new(&m, seed);
		relay_new(&random, 8 + 16 * (uint32_t)(seed % 3), seed % 4 != 0);
		for (int round = 0; round < 4; round++) {
			relay_grow(&random, &m, 200);
			for (uint32_t i = 0; i < m.count; i++) {
				bool alive = false; /* copies share an id */
				for (uint32_t j = 0; j < m.count; j++)
					alive = alive || (m.events[j].alive && memcmp(m.events[j].event.id, m.events[i].event.id, 32) == 0);
				assert_int_equal(relay_has(&random, m.events[i].event.id), alive);
			}
			if (round == 1)
				hf_store_abandon(random.store);
			else
				hf_store_close(random.store);
			relay_open(&random);
		}
		relay_free(&random);
		model_free(&m);
	}
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, open_relay, close_relay)
	const struct CMUnitTest tests[] = {
		FRESH(test_a_copy_is_a_duplicate),
		FRESH(test_the_newest_version_stays_and_ties_go_to_the_lowest_id),
		FRESH(test_a_missing_d_is_an_empty_d),
		FRESH(test_an_author_deletes_by_id),
		FRESH(test_a_refusal_has_a_reason),
		FRESH(test_a_deletion_may_come_first),
		FRESH(test_deletions_cannot_be_deleted),
		FRESH(test_an_address_is_deleted_up_to_the_deletion),
		FRESH(test_a_newer_version_survives_an_older_deletion),
		FRESH(test_replaceable_kinds_are_deleted_by_address),
		FRESH(test_addresses_of_others_and_of_other_kinds_delete_nothing),
		FRESH(test_ephemeral_and_expired_events_are_refused),
		FRESH(test_a_sweep_removes_what_expired_and_nothing_else),
		FRESH(test_each_failed_allocation_refuses_and_changes_nothing),
		cmocka_unit_test(test_random_events_end_as_in_the_naive_relay),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
