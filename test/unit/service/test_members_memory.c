/* Each allocation between a request and its answer fails once, on whichever thread makes it: who asks is answered, with what was asked for or
 * a refusal that says so; what is told is true at once; what is known is what is kept; and the next request is taken. That nothing leaks
 * is for the sanitizer. */
#include "registrar_fixture.h"

#include "support/fail_alloc.h"

#define ALLOCATION_COUNT_MAX 2000
#define QUIET_ROUNDS 3 /* other threads allocate too: one round without a failure may be luck */
#define TOLD_MS 3000

#define RELAY "1111111111111111111111111111111111111111111111111111111111111111"

struct tally {
	unsigned rounds, refused;
};

static void expect_memory_refusal(struct desk *d, int status)
{
	const char *refusal = refusal_of(d);
	if (status != 503 || (refusal[0] && strcmp(refusal, "out-of-memory") != 0 && strcmp(refusal, "state-unavailable") != 0 &&
		strcmp(refusal, "busy") != 0))
		fail_msg("%d %s", status, d->body);
}

/* ---- What is known is what is kept ---- */

static bool registry_agrees(struct desk *d)
{
	struct hf_state_entry entry;
	size_t cursor = 0, count = 0, served = 0;
	for (; hf_state_next_entry(d->ground->state, HF_STATE_RECORDS, &cursor, &entry); count++) {
		const struct hf_registration *record = hf_registry_find(d->registry, entry.key);
		if (!record || record->revision != entry.revision || hf_registry_find(d->registry, hf_slice_text(record->path)) != record)
			return false;
		for (size_t i = 0; i < record->peer_count; i++) {
			const struct hf_registration *named = hf_registry_after_of_peer(d->registry, record->peers[i].key, (struct hf_slice){0});
			while (named && named != record)
				named = hf_registry_after_of_peer(d->registry, record->peers[i].key, hf_slice_text(named->key));
			if (!named)
				return false;
		}
		served += record->peer_count > 0;
	}
	return hf_registry_count(d->registry) == count && hf_registry_served_count(d->registry) <= served;
}

static bool tokens_agree(struct desk *d)
{
	struct hf_state_entry entry;
	struct hf_token_claims claims;
	const char *name;
	uint64_t sequence;
	size_t known = 0;
	char id[2 * HF_TOKEN_ID_BYTES + 1] = "";
	for (; hf_tokens_after(d->tokens, hf_slice_text(id), &claims, &name); known++) {
		hf_hex_encode(id, claims.id, sizeof claims.id);
		if (hf_state_get(d->ground->state, HF_STATE_TOKENS, hf_slice_text(id), &entry) < 0 ||
			!hf_canonical_u64(entry.value, "sequence", &sequence) || sequence != claims.sequence)
			return false;
	}
	return hf_state_count(d->ground->state, HF_STATE_TOKENS) == known;
}

static void expect_agreement(struct desk *d)
{
	uint64_t until_ms = hf_env_monotonic_ms(&d->ground->env) + TOLD_MS;
	while (!(registry_agrees(d) && tokens_agree(d)) && hf_env_monotonic_ms(&d->ground->env) < until_ms) {
		hf_loop_poll(d->ground->loop, false);
		usleep(1000);
	}
	assert_true(registry_agrees(d) && tokens_agree(d));
}

/* ---- Registration ---- */

/* One relay of which the last letter changes, so that each is new, or the same one again. */
static int register_failing(struct desk *d, const struct peer *peer, uint64_t n, bool is_new, bool by_channel, bool *has_failed)
{
	char relays[512];
	snprintf(relays, sizeof relays, "[{\"relayKey\":\"relay-%llu\",\"metadata\":{\"identifier\":\"npub1abc:%s-%llu\",\"name\":\"n%llu\","
		"\"pathAliases\":[\"p/%s%llu\"]}}]", (unsigned long long)(is_new ? n : 0), by_channel ? "c" : "h", (unsigned long long)(is_new ? n : 0),
		(unsigned long long)n, by_channel ? "c" : "h", (unsigned long long)n);
	char *body = body_of(d, peer, relays, NULL);
	fail_alloc_arm(n, true);
	int status = post_registration(d, body, by_channel ? peer->key : NULL);
	*has_failed = fail_alloc_disarm();
	free(body);
	if (status != 200)
		expect_memory_refusal(d, status);
	if (!*has_failed && status != 200)
		fail_msg("%d %s with all the memory that it wanted", status, d->body);
	expect_agreement(d);
	if (status != 200 && register_relays(d, peer, relays) != 200)
		fail_msg("%s after round %llu", d->body, (unsigned long long)n);
	char key[32];
	snprintf(key, sizeof key, "relay-%llu", (unsigned long long)(is_new ? n : 0));
	assert_non_null(hf_registry_find(d->registry, hf_slice_text(key)));
	return status;
}

static void fail_registrations(bool is_new, bool by_channel)
{
	struct desk *d = desk_new(NULL, "", "", true, false);
	struct peer peer = peer_of(1);
	struct tally tally = {0};
	assert_int_equal(register_relays(d, &peer, "[\"relay-0\"]"), 200);
	for (unsigned quiet = 0; quiet < QUIET_ROUNDS; tally.rounds++) {
		bool has_failed;
		struct peer other = is_new ? peer_of((uint8_t)(2 + tally.rounds % 250)) : peer;
		assert_true(tally.rounds < ALLOCATION_COUNT_MAX);
		tally.refused += register_failing(d, &other, tally.rounds + 1, is_new, by_channel, &has_failed) != 200;
		quiet = has_failed ? 0 : quiet + 1;
	}
	print_message("%u rounds, %u registrations refused\n", tally.rounds, tally.refused);
	assert_true(tally.refused > 10);
	desk_restart(d);
	expect_agreement(d);
	desk_free(d);
}

static void test_each_allocation_of_a_new_registration_fails_cleanly(void **state)
{
	fail_registrations(true, false);
}

static void test_each_allocation_of_a_registration_on_the_channel_fails_cleanly(void **state)
{
	fail_registrations(true, true);
}

static void test_each_allocation_of_a_renewed_registration_fails_cleanly(void **state)
{
	fail_registrations(false, false);
}

/* ---- Tokens ---- */

#define ISSUE_FIELDS ",\"relayKey\":\"" RELAY "\",\"relayAuthToken\":\"x\""

static const char *verdict(struct desk *d, const char *token)
{
	struct hf_token_claims claims;
	const char *refusal = "";
	return hf_tokens_verify(d->tokens, HF_SLICE_LITERAL(RELAY), hf_slice_text(token), &claims, &refusal) == HF_OK ? "" : refusal;
}

struct token_round {
	struct desk *d;
	struct peer peer;
	char token[HF_CLIENT_TOKEN_BYTES_MAX], fields[HF_CLIENT_TOKEN_BYTES_MAX + 256];
	struct tally tally;
};

/* The request with the n-th allocation failing: its status. */
static int ask_failing(struct token_round *r, uint64_t n, enum hf_registrar_token_request request, const char *fields, bool *has_failed)
{
	static const char *const actions[] = {"", "issue", "refresh", "revoke"};
	char *body = request_body(r->d, &r->peer, "", actions[request], fields);
	fail_alloc_arm(n, true);
	int status = post_token(r->d, request, body);
	*has_failed = fail_alloc_disarm();
	free(body);
	if (status != 200)
		expect_memory_refusal(r->d, status);
	if (!*has_failed && status != 200)
		fail_msg("%d %s with all the memory that it wanted", status, r->d->body);
	r->tally.refused += status != 200;
	return status;
}

static void issue(struct token_round *r)
{
	assert_int_equal(token_by(r->d, &r->peer, HF_REGISTRAR_ISSUE, ISSUE_FIELDS), 200);
	copy_token(r->d, r->token);
}

static void round_of_issue(struct token_round *r, uint64_t n, bool *has_failed)
{
	int status = ask_failing(r, n, HF_REGISTRAR_ISSUE, ISSUE_FIELDS, has_failed);
	if (status == 200)
		copy_token(r->d, r->token);
	expect_agreement(r->d);
	if (status == 200)
		assert_string_equal(verdict(r->d, r->token), "");
	issue(r);
	assert_string_equal(verdict(r->d, r->token), "");
}

static void round_of_refresh(struct token_round *r, uint64_t n, bool *has_failed)
{
	char newer[HF_CLIENT_TOKEN_BYTES_MAX];
	issue(r);
	snprintf(r->fields, sizeof r->fields, ",\"relayKey\":\"" RELAY "\",\"token\":\"%s\"", r->token);
	int status = ask_failing(r, n, HF_REGISTRAR_REFRESH, r->fields, has_failed);
	if (status == 200)
		copy_token(r->d, newer);
	expect_agreement(r->d);
	assert_string_equal(verdict(r->d, r->token), ""); /* until its successor is used */
	if (status == 200)
		assert_string_equal(verdict(r->d, newer), "");
	else
		assert_int_equal(token_by(r->d, &r->peer, HF_REGISTRAR_REFRESH, r->fields), 200);
}

static void round_of_revocation(struct token_round *r, uint64_t n, bool *has_failed)
{
	issue(r);
	unsigned before = r->d->revoked.count;
	int status = ask_failing(r, n, HF_REGISTRAR_REVOKE, ",\"relayKey\":\"" RELAY "\"", has_failed);
	/* What was answered holds now, not when there is memory again. */
	if (status == 200) {
		assert_string_equal(verdict(r->d, r->token), "token-revoked");
		assert_true(r->d->revoked.count > before);
	}
	expect_agreement(r->d);
	if (status != 200)
		assert_int_equal(token_by(r->d, &r->peer, HF_REGISTRAR_REVOKE, ",\"relayKey\":\"" RELAY "\""), 200);
	assert_string_equal(verdict(r->d, r->token), "token-revoked");
	assert_int_equal(r->d->revoked.count, before + 1); /* told once */
}

static void fail_tokens(void (*round)(struct token_round *r, uint64_t n, bool *has_failed))
{
	static struct token_round r;
	r = (struct token_round){.d = desk_new(NULL, "", "", true, false), .peer = peer_of(1)};
	assert_int_equal(register_relays(r.d, &r.peer, "[\"" RELAY "\"]"), 200);
	for (unsigned quiet = 0; quiet < QUIET_ROUNDS; r.tally.rounds++) {
		bool has_failed;
		assert_true(r.tally.rounds < ALLOCATION_COUNT_MAX);
		round(&r, r.tally.rounds + 1, &has_failed);
		quiet = has_failed ? 0 : quiet + 1;
	}
	print_message("%u rounds, %u requests refused\n", r.tally.rounds, r.tally.refused);
	assert_true(r.tally.refused > 10);
	desk_restart(r.d);
	expect_agreement(r.d);
	desk_free(r.d);
}

static void test_each_allocation_of_an_issue_fails_cleanly(void **state) { fail_tokens(round_of_issue); }
static void test_each_allocation_of_a_refresh_fails_cleanly(void **state) { fail_tokens(round_of_refresh); }
static void test_each_allocation_of_a_revocation_fails_cleanly(void **state) { fail_tokens(round_of_revocation); }

/* ---- The start ---- */

static void test_each_allocation_of_a_start_fails_cleanly(void **state)
{
	struct desk *d = desk_new(NULL, "secret", "", true, false);
	struct peer peer = peer_of(1);
	bool has_failed = true;
	uint64_t n = 1;
	assert_int_equal(register_relays(d, &peer, "[\"" RELAY "\",\"b\",\"c\"]"), 200);
	for (int i = 0; i < 3; i++)
		assert_int_equal(token_by(d, &peer, HF_REGISTRAR_ISSUE, ISSUE_FIELDS), 200);
	desk_end(d);
	ground_open_state(d->ground);
	for (; has_failed; n++) {
		struct hf_registry_options registry = {.size = sizeof registry, .loop = d->ground->loop, .state = d->ground->state};
		fail_alloc_arm(n, false);
		int r = hf_registry_new(&d->registry, &registry);
		has_failed = fail_alloc_disarm();
		assert_int_equal(r, has_failed ? HF_ENOMEM : HF_OK);
	}
	for (n = 1, has_failed = true; has_failed; n++) {
		struct hf_failure failure = {0};
		struct hf_tokens_options tokens = {.size = sizeof tokens, .loop = d->ground->loop, .state = d->ground->state, .registry = d->registry,
			.signing_key = d->gateway_secret};
		fail_alloc_arm(n, false);
		int r = hf_tokens_new(&d->tokens, &tokens, &failure);
		has_failed = fail_alloc_disarm();
		assert_true(has_failed ? r < 0 && failure.text[0] : r == HF_OK);
	}
	d->options.tokens = d->tokens;
	d->options.registry = d->registry;
	d->options.state = d->ground->state;
	assert_int_equal(hf_audit_open(&d->audit, d->ground->store, &d->ground->env, NULL), HF_OK);
	d->options.audit = d->audit;
	for (n = 1, has_failed = true; has_failed; n++) {
		struct hf_failure failure = {0};
		fail_alloc_arm(n, false);
		int r = hf_registrar_new(&d->registrar, &d->options, &failure);
		has_failed = fail_alloc_disarm();
		assert_true(has_failed ? r == HF_ENOMEM && failure.text[0] : r == HF_OK);
	}
	expect_agreement(d);
	assert_int_equal(register_relays(d, &peer, "[\"d\"]"), 200);
	desk_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_of_a_new_registration_fails_cleanly),
		cmocka_unit_test(test_each_allocation_of_a_registration_on_the_channel_fails_cleanly),
		cmocka_unit_test(test_each_allocation_of_a_renewed_registration_fails_cleanly),
		cmocka_unit_test(test_each_allocation_of_an_issue_fails_cleanly),
		cmocka_unit_test(test_each_allocation_of_a_refresh_fails_cleanly),
		cmocka_unit_test(test_each_allocation_of_a_revocation_fails_cleanly),
		cmocka_unit_test(test_each_allocation_of_a_start_fails_cleanly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
