/* Who is called because records name them: once for all records, no more than the bounds allow, and no longer than a record names them. */
#include "registrar_fixture.h"

#include "service/gateway/dials.h"

#define CALLED_MAX 256

static uint8_t called[CALLED_MAX][32];
static size_t called_count, calls, ends;
static uint8_t here[32];
static bool all_known;

static size_t find_called(const uint8_t peer[static 32])
{
	size_t i = 0;
	while (i < called_count && memcmp(called[i], peer, 32) != 0)
		i++;
	return i;
}

static bool is_called(const uint8_t peer[static 32]) { return find_called(peer) < called_count; }

static bool knows(void *context, const struct hf_registration *record)
{
	struct desk *d = context;
	return all_known || (d && hf_registrar_knows(d->registrar, record));
}

static bool is_here(void *context, const uint8_t peer[static 32]) { return memcmp(peer, here, 32) == 0; }

static int want(void *context, const uint8_t peer[static 32])
{
	assert_true(called_count < CALLED_MAX && !is_called(peer));
	memcpy(called[called_count++], peer, 32);
	calls++;
	return HF_OK;
}

static void unwant(void *context, const uint8_t peer[static 32])
{
	size_t i = find_called(peer);
	assert_true(i < called_count);
	memcpy(called[i], called[--called_count], 32);
	ends++;
}

static struct hf_dials *new_dials(struct desk *d)
{
	const struct hf_dials_options options = {.size = sizeof options, .knows = knows, .is_here = is_here, .want = want, .unwant = unwant,
		.context = d};
	struct hf_dials *dials;
	called_count = calls = ends = 0;
	memset(here, 0xee, sizeof here);
	all_known = d == NULL;
	assert_int_equal(hf_dials_new(&dials, &options), HF_OK);
	return dials;
}

/* ---- Records that a test makes up ---- */

static struct hf_registration record_of(const char *key, const char *principal, struct hf_registration_peer *peers, size_t count, uint8_t first)
{
	for (size_t i = 0; i < count; i++) {
		peers[i] = (struct hf_registration_peer){0};
		memset(peers[i].key, (int)(first + i), 32);
	}
	return (struct hf_registration){.key = key, .principal = principal, .peers = peers, .peer_count = count};
}

static void test_a_peer_of_several_records_is_let_go_with_the_last(void **state)
{
	struct hf_dials *dials = new_dials(NULL);
	struct hf_registration_peer peers[3];
	struct hf_registration a = record_of("a", "peer:1", peers, 2, 1), b = record_of("b", "peer:2", peers, 2, 1);
	hf_dials_take(dials, &a);
	hf_dials_take(dials, &b);
	hf_dials_take(dials, &b);
	assert_int_equal(calls, 2);
	hf_dials_drop(dials, "a");
	hf_dials_drop(dials, "a");
	assert_int_equal(called_count, 2);
	hf_dials_drop(dials, "b");
	assert_int_equal(called_count, 0);
	hf_dials_free(dials);
}

static void test_a_record_that_is_replaced_lets_go_whom_it_names_no_more(void **state)
{
	struct hf_dials *dials = new_dials(NULL);
	struct hf_registration_peer peers[3];
	struct hf_registration a = record_of("a", "secret", peers, 3, 1);
	hf_dials_take(dials, &a);
	a = record_of("a", "secret", peers, 2, 3);
	hf_dials_take(dials, &a);
	assert_int_equal(called_count, 2);
	assert_true(is_called(peers[0].key) && is_called(peers[1].key));
	assert_int_equal(calls, 4);
	a.peer_count = 0;
	hf_dials_take(dials, &a);
	assert_int_equal(called_count, 0);
	struct hf_dials_stats stats;
	hf_dials_stats(dials, &stats);
	assert_int_equal(stats.wanted, 0);
	hf_dials_free(dials);
}

static void test_who_is_here_is_not_called(void **state)
{
	struct hf_dials *dials = new_dials(NULL);
	struct hf_registration_peer peers[2];
	struct hf_registration a = record_of("a", "secret", peers, 2, 1);
	memset(here, 1, sizeof here);
	hf_dials_take(dials, &a);
	assert_int_equal(called_count, 1);
	assert_false(is_called(peers[0].key));
	hf_dials_free(dials);
}

static void test_a_record_has_few_calls_and_those_who_proved_their_key_go_first(void **state)
{
	struct hf_dials *dials = new_dials(NULL);
	struct hf_registration_peer peers[60];
	struct hf_registration a = record_of("a", "secret", peers, 60, 1);
	peers[58].is_proved = peers[59].is_proved = true;
	hf_dials_take(dials, &a);
	assert_int_equal(called_count, HF_DIALS_RECORD_MAX);
	assert_true(is_called(peers[58].key) && is_called(peers[59].key));
	struct hf_dials_stats stats;
	hf_dials_stats(dials, &stats);
	assert_int_equal(stats.refused, 60 - HF_DIALS_RECORD_MAX);
	hf_dials_free(dials);
}

static void test_a_principal_has_a_bound_over_all_its_records_and_gets_it_back(void **state)
{
	struct hf_dials *dials = new_dials(NULL);
	struct hf_registration_peer peers[8];
	for (unsigned i = 0; i < 20; i++) {
		char key[8];
		snprintf(key, sizeof key, "r%u", i);
		struct hf_registration a = record_of(key, "peer:1", peers, 8, (uint8_t)(1 + 8 * i));
		hf_dials_take(dials, &a);
	}
	assert_int_equal(called_count, HF_DIALS_PRINCIPAL_MAX);
	struct hf_registration other = record_of("other", "peer:2", peers, 8, 200);
	hf_dials_take(dials, &other);
	assert_int_equal(called_count, HF_DIALS_PRINCIPAL_MAX + 8);
	hf_dials_drop(dials, "r0");
	struct hf_registration again = record_of("r19", "peer:1", peers, 8, 153);
	hf_dials_take(dials, &again);
	assert_int_equal(called_count, HF_DIALS_PRINCIPAL_MAX + 8);
	assert_true(is_called(peers[0].key));
	hf_dials_free(dials);
}

/* ---- Records that strangers make ---- */

static void register_one(struct desk *d, uint8_t number, const char *relay)
{
	char relays[128];
	struct peer peer = peer_of(number);
	snprintf(relays, sizeof relays, "[{\"relayKey\":\"%s\"}]", relay);
	assert_int_equal(register_relays(d, &peer, relays), 200);
}

static void test_strangers_share_a_small_bound_where_registration_is_open(void **state)
{
	struct peer listed = peer_of(250);
	struct desk *d = desk_new(NULL, "", listed.hex, true, false);
	struct hf_dials *dials = new_dials(d);
	struct hf_dials_stats stats;
	char relay[16];
	assert_int_equal(hf_dials_follow(dials, d->registry), HF_OK);
	for (unsigned i = 0; i < 60; i++) {
		snprintf(relay, sizeof relay, "relay%u", i);
		register_one(d, (uint8_t)i, relay);
	}
	assert_int_equal(called_count, HF_DIALS_STRANGERS_MAX);
	register_one(d, 250, "listed");
	assert_int_equal(called_count, HF_DIALS_STRANGERS_MAX + 1);
	assert_true(is_called(listed.key));
	hf_dials_stats(dials, &stats);
	assert_int_equal(stats.strangers, HF_DIALS_STRANGERS_MAX);
	assert_int_equal(stats.wanted, HF_DIALS_STRANGERS_MAX + 1);
	hf_dials_free(dials);
	desk_free(d);
}

static void note_removed(void *context, int status, const char *refusal) { *(struct outcome *)context = (struct outcome){1, status, 0}; }

static void test_nobody_is_called_for_a_record_that_was_removed_or_has_ended(void **state)
{
	struct desk *d = desk_new(NULL, "", "", true, false);
	struct hf_dials *dials = new_dials(d);
	const struct hf_registry_principal operator = {.is_operator = true};
	struct outcome outcome = {0};
	const char *refusal;
	register_one(d, 1, "before"); /* those that are there are taken, too */
	assert_int_equal(hf_dials_follow(dials, d->registry), HF_OK);
	register_one(d, 2, "after");
	assert_int_equal(called_count, 2);
	assert_int_equal(hf_registry_remove(d->registry, HF_SLICE_LITERAL("after"), &operator, note_removed, &outcome, &refusal), HF_OK);
	turn_until(d->ground, NULL, &outcome.is_done);
	assert_int_equal(called_count, 1);
	struct hf_state_entry entry;
	assert_int_equal(hf_state_get(d->ground->state, HF_STATE_RECORDS, HF_SLICE_LITERAL("before"), &entry), HF_OK);
	const struct hf_state_op ended = {.kind = HF_STATE_DELETE_IF, .space = HF_STATE_RECORDS, .key = HF_SLICE_LITERAL("before"),
		.revision = entry.revision}; /* what the sweep does with a record whose time is over */
	assert_int_equal(commit_ops(d->ground, &ended, 1), HF_OK);
	assert_int_equal(called_count, 0);
	assert_int_equal(ends, 2);
	hf_dials_free(dials);
	desk_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_peer_of_several_records_is_let_go_with_the_last),
		cmocka_unit_test(test_a_record_that_is_replaced_lets_go_whom_it_names_no_more),
		cmocka_unit_test(test_who_is_here_is_not_called),
		cmocka_unit_test(test_a_record_has_few_calls_and_those_who_proved_their_key_go_first),
		cmocka_unit_test(test_a_principal_has_a_bound_over_all_its_records_and_gets_it_back),
		cmocka_unit_test(test_strangers_share_a_small_bound_where_registration_is_open),
		cmocka_unit_test(test_nobody_is_called_for_a_record_that_was_removed_or_has_ended),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
