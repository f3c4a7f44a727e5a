/* Tokens: every refusal by its name, one user's token beside another's, sequences, quarantine, signed frames; in the store, and between
 * two gateways that share a Redis. */
#include "registrar_fixture.h"

#define RELAY "1111111111111111111111111111111111111111111111111111111111111111"
#define USER_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define USER_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void expect_refusal(struct desk *d, int status, int expected, const char *name)
{
	if (status != expected || strcmp(refusal_of(d), name) != 0)
		fail_msg("%d %s instead of %d %s", status, d->body, expected, name);
}

static const char *verdict(struct desk *d, const char *relay, const char *token)
{
	struct hf_token_claims claims;
	const char *refusal;
	return hf_tokens_verify(d->tokens, hf_slice_text(relay), hf_slice_text(token), &claims, &refusal) == HF_OK ? "" : refusal;
}

/* A desk with a relay of peer 1's. */
static struct desk *begin(const char *redis_url)
{
	struct desk *d = desk_new(redis_url, "secret", "", true, false);
	struct peer peer = peer_of(1);
	assert_int_equal(register_relays(d, &peer, "[{\"relayKey\":\"" RELAY "\"},\"other\"]"), 200);
	return d;
}

static void issue(struct desk *d, const struct peer *peer, const char *user, char token[static HF_CLIENT_TOKEN_BYTES_MAX])
{
	char fields[256];
	snprintf(fields, sizeof fields, ",\"relayKey\":\"" RELAY "\",\"relayAuthToken\":\"worker-token\",\"pubkey\":\"%s\"", user);
	if (token_by(d, peer, HF_REGISTRAR_ISSUE, fields) != 200)
		fail_msg("%s", d->body);
	copy_token(d, token);
}

static int refresh(struct desk *d, const struct peer *peer, const char *token)
{
	char fields[HF_CLIENT_TOKEN_BYTES_MAX + 128];
	snprintf(fields, sizeof fields, ",\"relayKey\":\"" RELAY "\",\"token\":\"%s\"", token);
	return token_by(d, peer, HF_REGISTRAR_REFRESH, fields);
}

static void test_a_token_lets_its_user_in_and_carries_no_secret(void **state)
{
	struct desk *d = begin(NULL);
	struct peer peer = peer_of(1);
	char token[HF_CLIENT_TOKEN_BYTES_MAX];
	struct hf_token_claims claims;
	const char *refusal;
	uint64_t expires_ms, after_ms;
	issue(d, &peer, USER_A, token);
	assert_true(hf_canonical_u64(hf_slice_text(d->body), "expiresAt", &expires_ms));
	assert_true(hf_canonical_u64(hf_slice_text(d->body), "refreshAfter", &after_ms));
	assert_int_equal(expires_ms - after_ms, HF_TOKEN_REFRESH_WINDOW_MS);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(hf_tokens_verify(d->tokens, HF_SLICE_LITERAL(RELAY), hf_slice_text(token), &claims, &refusal), HF_OK);
		assert_string_equal(claims.relay_auth_token, "worker-token");
		assert_string_equal(claims.relay_key, RELAY);
		assert_string_equal(claims.scope, "relay-access");
		assert_int_equal(claims.sequence, 1);
		assert_int_equal(claims.expires_ms, expires_ms);
		assert_true(claims.has_pubkey && claims.pubkey[0] == 0xaa && claims.has_peer);
		assert_memory_equal(claims.peer, peer.key, 32);
		desk_restart(d);
	}
	assert_null(strstr(token, "d29ya2Vy")); /* "worker" in base64, wherever it would begin */
	desk_free(d);
}

static void test_what_does_not_let_in_has_a_name(void **state)
{
	struct desk *d = begin(NULL);
	struct peer peer = peer_of(1);
	char token[HF_CLIENT_TOKEN_BYTES_MAX], newer[HF_CLIENT_TOKEN_BYTES_MAX], text[HF_CLIENT_TOKEN_BYTES_MAX];
	struct hf_buffer forged = {0};
	issue(d, &peer, USER_A, token);
	assert_string_equal(verdict(d, RELAY, ""), "token-required");
	assert_string_equal(verdict(d, RELAY, "abc"), "token-invalid");
	hf_client_token_make(HF_SLICE_LITERAL("{\"id\":\"00112233445566778899aabbccddeeff\"}"), HF_SLICE_LITERAL("secret"), &forged);
	snprintf(text, sizeof text, "%.*s", (int)forged.length, (char *)forged.data);
	assert_string_equal(verdict(d, RELAY, text), "token-invalid");
	hf_buffer_free(&forged);
	assert_string_equal(verdict(d, "other", token), "relay-mismatch");
	assert_string_equal(verdict(d, RELAY, token), "");
	assert_int_equal(refresh(d, &peer, token), 200);
	copy_token(d, newer);
	assert_string_not_equal(token, newer);
	assert_string_equal(verdict(d, RELAY, token), ""); /* until the new one was used */
	assert_string_equal(verdict(d, RELAY, newer), "");
	assert_string_equal(verdict(d, RELAY, token), "token-stale");
	clock_ahead_ms = HF_TOKEN_TTL_MS + 1000;
	assert_string_equal(verdict(d, RELAY, newer), "token-expired");
	clock_ahead_ms = 0;
	assert_int_equal(token_by(d, &peer, HF_REGISTRAR_REVOKE, ",\"relayKey\":\"" RELAY "\""), 200);
	assert_string_equal(verdict(d, RELAY, newer), "token-revoked");
	/* Swept long after its end, it is not known any more. */
	struct hf_token_claims claims;
	const char *name;
	char id[33] = {0};
	assert_true(hf_tokens_after(d->tokens, (struct hf_slice){0}, &claims, &name));
	assert_string_equal(name, "revoked");
	hf_hex_encode(id, claims.id, 16);
	const struct hf_state_op gone = {.kind = HF_STATE_DELETE, .space = HF_STATE_TOKENS, .key = hf_slice_text(id)};
	assert_int_equal(commit_ops(d->ground, &gone, 1), HF_OK);
	assert_string_equal(verdict(d, RELAY, newer), "token-unknown");
	desk_free(d);
}

static void test_another_key_signs_from_now_on_by_the_old_ones_word(void **state)
{
	struct desk *d = begin(NULL);
	struct peer peer = peer_of(1), next = peer_of(9);
	struct hf_buffer frame = {0};
	uint8_t before[32], told[32] = {0};
	uint64_t sequence;
	memcpy(before, hf_tokens_signer(d->tokens), sizeof before);
	assert_int_equal(token_by(d, &peer, HF_REGISTRAR_ISSUE, ",\"relayKey\":\"" RELAY "\",\"relayAuthToken\":\"x\""), 200);
	assert_int_equal(hf_tokens_change_signer(d->tokens, next.secret, &frame), HF_OK);
	assert_memory_equal(hf_tokens_signer(d->tokens), next.key, 32);
	assert_int_equal(hf_signer_frame_verify(hf_buffer_slice(&frame), before, told), HF_OK);
	assert_memory_equal(told, next.key, 32);
	/* Nobody else's word counts, nor one that was changed. */
	assert_int_equal(hf_signer_frame_verify(hf_buffer_slice(&frame), next.key, told), HF_EBADSIG);
	assert_int_equal(hf_token_frame_verify(hf_buffer_slice(&frame), before, 0, &sequence), HF_EMALFORMED);
	char *at = strstr((char *)frame.data, "next");
	at[8] ^= 1;
	assert_int_not_equal(hf_signer_frame_verify(hf_buffer_slice(&frame), before, told), HF_OK);
	hf_buffer_free(&frame);
	assert_int_equal(token_by(d, &peer, HF_REGISTRAR_REVOKE, ",\"relayKey\":\"" RELAY "\""), 200);
	assert_int_equal(d->revoked.count, 1);
	assert_int_equal(hf_token_frame_verify(hf_slice_text(d->revoked.frame), next.key, 0, &sequence), HF_OK);
	assert_int_equal(hf_token_frame_verify(hf_slice_text(d->revoked.frame), before, 0, &sequence), HF_EBADSIG);
	desk_free(d);
}

static void test_requests_are_refused_by_name(void **state)
{
	struct desk *d = begin(NULL);
	struct peer peer = peer_of(1), stranger = peer_of(2);
	static const char good[] = ",\"relayKey\":\"" RELAY "\",\"relayAuthToken\":\"x\"";
	expect_refusal(d, post_token(d, HF_REGISTRAR_ISSUE, "["), 400, "malformed");
	expect_refusal(d, post_token(d, HF_REGISTRAR_ISSUE, "{\"payload\":1}"), 400, "malformed");
	expect_refusal(d, post_token(d, HF_REGISTRAR_ISSUE, "{\"payload\":{}}"), 401, "signature-missing");
	expect_refusal(d, post_token(d, HF_REGISTRAR_ISSUE, "{\"payload\":{},\"signature\":\"00\"}"), 401, "signature-invalid");
	expect_refusal(d, post_token(d, HF_REGISTRAR_ISSUE, "{\"payload\":{\"peerKey\":\"x\"},\"signature\":\"00\"}"), 400, "malformed");
	expect_refusal(d, token_by(d, &stranger, HF_REGISTRAR_ISSUE, good), 403, "not-allowed");
	/* The record is a peer's, so the secret alone does not do. */
	expect_refusal(d, token_by(d, NULL, HF_REGISTRAR_ISSUE, good), 403, "not-allowed");
	expect_refusal(d, token_by(d, &peer, HF_REGISTRAR_ISSUE, ",\"relayKey\":\"none\",\"relayAuthToken\":\"x\""), 404, "relay-not-registered");
	expect_refusal(d, token_by(d, &peer, HF_REGISTRAR_ISSUE, ",\"relayKey\":\"" RELAY "\""), 400, "malformed");
	expect_refusal(d, token_by(d, &peer, HF_REGISTRAR_ISSUE, ",\"relayKey\":\"" RELAY "\",\"relayAuthToken\":\"x\",\"pubkey\":\"x\""), 400, "malformed");
	expect_refusal(d, token_by(d, &peer, HF_REGISTRAR_ISSUE, ",\"relayKey\":\"" RELAY "\",\"relayAuthToken\":\"x\",\"ttlSeconds\":1"), 400, "ttl-invalid");
	expect_refusal(d, token_by(d, &peer, HF_REGISTRAR_ISSUE, ",\"relayKey\":\"" RELAY "\",\"relayAuthToken\":\"x\",\"ttlSeconds\":3601"), 400, "ttl-invalid");
	/* A request for one thing is none for another, nor a second time. */
	char *body = request_body(d, &peer, NULL, "issue", good);
	expect_refusal(d, post_token(d, HF_REGISTRAR_REVOKE, body), 400, "action-mismatch");
	assert_int_equal(post_token(d, HF_REGISTRAR_ISSUE, body), 200);
	expect_refusal(d, post_token(d, HF_REGISTRAR_ISSUE, body), 401, "replayed");
	free(body);
	body = request_body(d, &peer, NULL, "issue", good);
	clock_ahead_ms = HF_REGISTRATION_AGE_MS_MAX + 1000;
	expect_refusal(d, post_token(d, HF_REGISTRAR_ISSUE, body), 401, "stale");
	clock_ahead_ms = 0;
	free(body);
	expect_refusal(d, token_by(d, &peer, HF_REGISTRAR_REVOKE, ",\"relayKey\":\"" RELAY "\",\"tokenId\":\"00\""), 400, "no-active-token");
	expect_refusal(d, token_by(d, &stranger, HF_REGISTRAR_REVOKE, ",\"relayKey\":\"" RELAY "\""), 403, "not-allowed");
	expect_refusal(d, token_by(d, &peer, HF_REGISTRAR_REVOKE, ",\"relayKey\":\"none\""), 404, "relay-not-registered");
	desk_free(d);
}

static void test_payloads_without_nonce_need_the_switch(void **state)
{
	static const char body_format[] = "{\"payload\":%s,\"signature\":\"%s\"}";
	static const char payload[] = "{\"relayAuthToken\":\"x\",\"relayKey\":\"shared\"}";
	char signature[HF_SCHEME_A_BYTES + 1] = {0}, body[512];
	hf_scheme_a_sign(signature, HF_SLICE_LITERAL("secret"), hf_slice_text(payload));
	snprintf(body, sizeof body, body_format, payload, signature);
	for (int compatible = 0; compatible < 2; compatible++) {
		struct desk *d = desk_new(NULL, "secret", "", false, compatible);
		char registration[256], *text;
		struct hf_buffer canonical = {0}, out = {0};
		snprintf(registration, sizeof registration, "{\"relayKey\":\"shared\",\"nonce\":\"001122334455667788990011\",\"issuedAt\":%llu}",
			(unsigned long long)now_of(d));
		hf_canonical(hf_slice_text(registration), &canonical);
		char shared[HF_SCHEME_A_BYTES + 1] = {0};
		hf_scheme_a_sign(shared, HF_SLICE_LITERAL("secret"), hf_buffer_slice(&canonical));
		hf_buffer_printf(&out, "{\"registration\":%s,\"signature\":\"%s\"}", registration, shared);
		hf_buffer_append(&out, "", 1);
		text = (char *)out.data;
		assert_int_equal(post_registration(d, text, NULL), 200);
		int status = post_token(d, HF_REGISTRAR_ISSUE, body);
		if (compatible)
			assert_int_equal(status, 200);
		else
			expect_refusal(d, status, 401, "freshness-required");
		hf_buffer_free(&canonical);
		hf_buffer_free(&out);
		desk_free(d);
	}
}

static void test_users_and_peers_do_not_touch_each_others_tokens(void **state)
{
	struct desk *d = begin(NULL);
	struct peer owner = peer_of(1), second = peer_of(2);
	struct hf_buffer consent = {0}, relays = {0};
	char a[HF_CLIENT_TOKEN_BYTES_MAX], b[HF_CLIENT_TOKEN_BYTES_MAX], c[HF_CLIENT_TOKEN_BYTES_MAX];
	hf_registration_make_consent(HF_SLICE_LITERAL(RELAY), owner.secret, second.key, now_of(d), &consent);
	hf_buffer_printf(&relays, "[{\"relayKey\":\"" RELAY "\",\"consent\":%.*s}]", (int)consent.length, (char *)consent.data);
	hf_buffer_append(&relays, "", 1);
	assert_int_equal(register_relays(d, &second, (char *)relays.data), 200);
	issue(d, &owner, USER_A, a);
	issue(d, &owner, USER_B, b);
	issue(d, &second, USER_B, c);
	assert_string_equal(verdict(d, RELAY, a), "");
	assert_string_equal(verdict(d, RELAY, b), "");
	assert_string_equal(verdict(d, RELAY, c), "");
	/* Another peer cannot refresh or end what it was not issued. */
	expect_refusal(d, refresh(d, &second, a), 403, "not-allowed");
	assert_int_equal(token_by(d, &second, HF_REGISTRAR_REVOKE, ",\"relayKey\":\"" RELAY "\",\"pubkey\":\"" USER_B "\",\"reason\":\"left\""), 200);
	assert_int_equal(d->revoked.count, 1);
	assert_string_equal(d->revoked.reason, "left");
	assert_string_equal(verdict(d, RELAY, b), "");
	assert_string_equal(verdict(d, RELAY, c), "token-revoked");
	expect_refusal(d, token_by(d, &second, HF_REGISTRAR_REVOKE, ",\"relayKey\":\"" RELAY "\",\"pubkey\":\"" USER_A "\""), 403, "not-allowed");
	/* The owner ends all that are left. */
	assert_int_equal(token_by(d, &owner, HF_REGISTRAR_REVOKE, ",\"relayKey\":\"" RELAY "\""), 200);
	assert_non_null(strstr(d->body, "\"disconnected\":2"));
	assert_int_equal(d->revoked.count, 3);
	hf_buffer_free(&consent);
	hf_buffer_free(&relays);
	desk_free(d);
}

/* The later one has ended, and is not swept yet; the earlier one must not be spared for it. */
static void test_a_revocation_of_all_passes_over_what_has_ended(void **state)
{
	struct desk *d = begin(NULL);
	struct peer owner = peer_of(1);
	char lasting[HF_CLIENT_TOKEN_BYTES_MAX];
	issue(d, &owner, USER_A, lasting);
	assert_int_equal(token_by(d, &owner, HF_REGISTRAR_ISSUE,
		",\"relayKey\":\"" RELAY "\",\"relayAuthToken\":\"worker-token\",\"pubkey\":\"" USER_B "\",\"ttlSeconds\":10"), 200);
	clock_ahead_ms = 10000 + 60000 + 1000; /* it, and as long as it is known by its name */
	assert_string_equal(verdict(d, RELAY, lasting), "");
	if (token_by(d, &owner, HF_REGISTRAR_REVOKE, ",\"relayKey\":\"" RELAY "\"") != 200)
		fail_msg("%s", d->body);
	assert_string_equal(verdict(d, RELAY, lasting), "token-revoked");
	clock_ahead_ms = 0;
	desk_free(d);
}

static void test_sequences_rise_and_frames_are_signed(void **state)
{
	struct desk *d = begin(NULL);
	struct peer peer = peer_of(1), other = peer_of(9);
	char token[HF_CLIENT_TOKEN_BYTES_MAX], text[1024];
	uint64_t sequence;
	for (int i = 0; i < 3; i++)
		issue(d, &peer, USER_A, token);
	assert_non_null(strstr(d->body, "\"sequence\":3"));
	desk_restart(d);
	assert_int_equal(refresh(d, &peer, token), 200);
	assert_non_null(strstr(d->body, "\"sequence\":4"));
	assert_int_equal(token_by(d, &peer, HF_REGISTRAR_REVOKE, ",\"relayKey\":\"" RELAY "\""), 200);
	assert_int_equal(d->revoked.sequence, 5);
	struct hf_slice frame = hf_slice_text(d->revoked.frame);
	assert_int_equal(hf_token_frame_verify(frame, d->gateway_key, 4, &sequence), HF_OK);
	assert_int_equal(sequence, 5);
	assert_int_equal(hf_token_frame_verify(frame, d->gateway_key, 5, &sequence), HF_EDUPLICATE);
	assert_int_equal(hf_token_frame_verify(frame, other.key, 4, &sequence), HF_EBADSIG);
	snprintf(text, sizeof text, "%s", d->revoked.frame);
	*strstr(text, "revoked\"") = 'R';
	assert_int_equal(hf_token_frame_verify(hf_slice_text(text), d->gateway_key, 4, &sequence), HF_EBADSIG);
	assert_int_equal(hf_token_frame_verify(HF_SLICE_LITERAL("[\"TOKEN\",\"REVOKED\",{}]"), d->gateway_key, 0, &sequence), HF_EMALFORMED);
	assert_int_equal(hf_token_frame_verify(HF_SLICE_LITERAL("[\"TOKEN\"]"), d->gateway_key, 0, &sequence), HF_EMALFORMED);
	desk_free(d);
}

static void test_refreshes_that_fail_again_and_again_are_quarantined(void **state)
{
	struct desk *d = begin(NULL);
	struct peer peer = peer_of(1);
	char token[HF_CLIENT_TOKEN_BYTES_MAX], newer[HF_CLIENT_TOKEN_BYTES_MAX];
	issue(d, &peer, USER_A, token);
	assert_int_equal(refresh(d, &peer, token), 200);
	copy_token(d, newer);
	assert_string_equal(verdict(d, RELAY, newer), "");
	for (unsigned i = 0; i < HF_TOKEN_REFRESH_FAILURES_MAX; i++) {
		expect_refusal(d, refresh(d, &peer, i == 0 ? "rubbish" : token), 400, i == 0 ? "token-invalid" : "token-mismatch");
		/* The count is committed on its own. */
		assert_int_equal(commit_ops(d->ground, &(struct hf_state_op){.kind = HF_STATE_DELETE, .space = HF_STATE_NONCES, .key = HF_SLICE_LITERAL("x")}, 1),
			HF_OK);
	}
	expect_refusal(d, refresh(d, &peer, newer), 403, "quarantined");
	expect_refusal(d, token_by(d, &peer, HF_REGISTRAR_ISSUE, ",\"relayKey\":\"" RELAY "\",\"relayAuthToken\":\"x\""), 403, "quarantined");
	assert_string_equal(verdict(d, RELAY, newer), ""); /* who is in stays in */
	clock_ahead_ms = HF_TOKEN_QUARANTINE_MS + 1000;
	assert_int_equal(refresh(d, &peer, newer), 200);
	clock_ahead_ms = 0;
	desk_free(d);
}

static void note_removed(void *context, int status, const char *refusal) { assert_int_equal(status, HF_OK); }

static void test_tokens_end_with_their_relay(void **state)
{
	struct desk *d = begin(NULL);
	struct peer peer = peer_of(1);
	const struct hf_registry_principal operator = {.is_operator = true};
	char token[HF_CLIENT_TOKEN_BYTES_MAX];
	const char *refusal;
	issue(d, &peer, USER_A, token);
	assert_int_equal(hf_registry_remove(d->registry, HF_SLICE_LITERAL(RELAY), &operator, note_removed, NULL, &refusal), HF_OK);
	int over = 0;
	for (int i = 0; i < 30000 && !over; i++) {
		hf_loop_poll(d->ground->loop, false);
		over = d->revoked.count == 1;
		usleep(1000);
	}
	assert_string_equal(d->revoked.reason, "relay-removed");
	assert_string_equal(verdict(d, RELAY, token), "token-revoked");
	desk_free(d);
}

/* ---- Two gateways ---- */

static void test_a_revocation_at_one_gateway_is_heard_at_the_other(void **state)
{
	struct redis_server redis;
	redis_new(&redis);
	struct desk *a = begin(redis.url), *b = desk_new(redis.url, "secret", "", true, false);
	struct peer peer = peer_of(1);
	char token[HF_CLIENT_TOKEN_BYTES_MAX], newer[HF_CLIENT_TOKEN_BYTES_MAX];
	issue(a, &peer, USER_A, token);
	for (int i = 0; i < 30000 && verdict(b, RELAY, token)[0]; i++) {
		hf_loop_poll(b->ground->loop, false);
		usleep(1000);
	}
	assert_string_equal(verdict(b, RELAY, token), "");
	/* Refreshed at the other one; numbers go on. */
	assert_int_equal(refresh(b, &peer, token), 200);
	assert_non_null(strstr(b->body, "\"sequence\":2"));
	copy_token(b, newer);
	uint64_t before = hf_env_monotonic_ms(&a->ground->env);
	assert_int_equal(token_by(b, &peer, HF_REGISTRAR_REVOKE, ",\"relayKey\":\"" RELAY "\""), 200);
	int heard = 0;
	while (!heard && hf_env_monotonic_ms(&a->ground->env) - before < WAIT_MS) {
		hf_loop_poll(a->ground->loop, false);
		heard = a->revoked.count > 0;
		usleep(500);
	}
	assert_true(heard);
	assert_int_equal(a->revoked.sequence, 3);
	assert_string_equal(verdict(a, RELAY, newer), "token-revoked");
	/* A body that one of them took is no news to the other. */
	char *body = body_of(a, &peer, "[\"third\"]", NULL);
	assert_int_equal(post_registration(a, body, NULL), 200);
	expect_refusal(b, post_registration(b, body, NULL), 401, "replayed");
	free(body);
	desk_free(a);
	desk_free(b);
	redis_end(&redis);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_token_lets_its_user_in_and_carries_no_secret),
		cmocka_unit_test(test_what_does_not_let_in_has_a_name),
		cmocka_unit_test(test_another_key_signs_from_now_on_by_the_old_ones_word),
		cmocka_unit_test(test_requests_are_refused_by_name),
		cmocka_unit_test(test_payloads_without_nonce_need_the_switch),
		cmocka_unit_test(test_users_and_peers_do_not_touch_each_others_tokens),
		cmocka_unit_test(test_a_revocation_of_all_passes_over_what_has_ended),
		cmocka_unit_test(test_sequences_rise_and_frames_are_signed),
		cmocka_unit_test(test_refreshes_that_fail_again_and_again_are_quarantined),
		cmocka_unit_test(test_tokens_end_with_their_relay),
		cmocka_unit_test(test_a_revocation_at_one_gateway_is_heard_at_the_other),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
