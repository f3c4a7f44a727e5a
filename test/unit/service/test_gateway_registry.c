/* Registration: what is taken, what is refused and by which name, whose a record is, and that nothing is lost by merging. */
#include "registrar_fixture.h"

#include "crypto/schnorr.h"
#include "data/hypercore/manifest.h"

#define RELAY "1111111111111111111111111111111111111111111111111111111111111111"

static void expect_refusal(struct desk *d, int status, int expected, const char *name)
{
	if (status != expected || strcmp(refusal_of(d), name) != 0)
		fail_msg("%d %s instead of %d %s", status, d->body, expected, name);
}

static bool metadata_has(struct desk *d, const char *relay, const char *part)
{
	const struct hf_registration *record = hf_registry_find(d->registry, hf_slice_text(relay));
	assert_non_null(record);
	return memmem(record->metadata.data, record->metadata.length, part, strlen(part)) != NULL;
}

static void test_a_relay_is_found_by_all_its_names_after_registration_and_restart(void **state)
{
	struct desk *d = desk_new(NULL, "", "", true, false);
	struct peer peer = peer_of(1);
	static const char relays[] = "[{\"relayKey\":\"" RELAY "\",\"identifier\":\"npub1abc:myRelay\",\"name\":\"My\\n\\u00e9\",\"isPublic\":true,"
		"\"requiresAuth\":false,\"pathAliases\":[\"old/place\",\"short\"],\"metadata\":{\"connectionUrl\":\"wss://h/far/away?token=x\",\"future\":[1]}}]";
	static const char *const names[] = {RELAY, "npub1abc:myRelay", "/npub1abc/myRelay?token=1", "npub1abc%3AmyRelay", "old/place", "/short/", "far/away"};
	assert_int_equal(register_relays(d, &peer, relays), 200);
	assert_non_null(strstr(d->body, "\"status\":\"ok\""));
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
			const struct hf_registration *record = hf_registry_find(d->registry, hf_slice_text(names[i]));
			assert_non_null(record);
			assert_string_equal(record->key, RELAY);
			assert_string_equal(record->name, "My\n\xc3\xa9");
			assert_string_equal(record->path, "npub1abc/myRelay");
			assert_true(record->is_public && !record->requires_auth && record->has_relay_key && record->has_owner_peer);
			assert_memory_equal(record->owner_peer, peer.key, 32);
			assert_int_equal(record->peer_count, 1);
			assert_true(record->peers[0].is_proved);
			assert_true(hf_registry_is_peer_of(record, peer.key));
		}
		assert_true(metadata_has(d, RELAY, "\"future\":[1]"));
		assert_null(hf_registry_find(d->registry, HF_SLICE_LITERAL("npub1abc/other")));
		assert_null(hf_registry_find(d->registry, HF_SLICE_LITERAL("")));
		desk_restart(d);
	}
	desk_free(d);
}

static void test_merging_never_wipes(void **state)
{
	struct desk *d = desk_new(NULL, "", "", true, false);
	struct peer peer = peer_of(1);
	assert_int_equal(register_relays(d, &peer, "[{\"relayKey\":\"" RELAY "\",\"name\":\"A\",\"unknown\":{\"deep\":1},\"metadataUpdatedAt\":100}]"), 200);
	assert_int_equal(register_relays(d, &peer, "[{\"relayKey\":\"" RELAY "\",\"name\":\"\",\"description\":\"B\"}]"), 200);
	assert_true(metadata_has(d, RELAY, "\"unknown\":{\"deep\":1}"));
	assert_true(metadata_has(d, RELAY, "\"name\":\"A\""));
	assert_true(metadata_has(d, RELAY, "\"description\":\"B\""));
	/* Older news of the metadata do not replace newer ones; other members do. */
	assert_int_equal(register_relays(d, &peer, "[{\"relayKey\":\"" RELAY "\",\"name\":\"older\",\"metadataUpdatedAt\":99,\"more\":2}]"), 200);
	assert_true(metadata_has(d, RELAY, "\"name\":\"A\""));
	assert_true(metadata_has(d, RELAY, "\"more\":2"));
	/* What gateways note is no peer's to write. */
	assert_int_equal(register_relays(d, &peer, "[{\"relayKey\":\"" RELAY "\",\"gatewayPendingWrites\":true,\"peerStates\":{}}]"), 200);
	assert_false(metadata_has(d, RELAY, "gatewayPendingWrites"));
	assert_false(metadata_has(d, RELAY, "nonce"));
	/* By its identifier alone it is the same record. */
	assert_int_equal(register_relays(d, &peer, "[{\"relayKey\":\"" RELAY "\",\"identifier\":\"npub1x:r\"}]"), 200);
	assert_int_equal(register_relays(d, &peer, "[{\"identifier\":\"npub1x:r\",\"name\":\"C\"}, \"npub1x:r\"]"), 200);
	assert_int_equal(hf_registry_count(d->registry), 1);
	assert_true(metadata_has(d, RELAY, "\"name\":\"C\""));
	desk_free(d);
}

static void test_bodies_that_are_not_right_are_refused_by_name(void **state)
{
	struct desk *d = desk_new(NULL, "secret", "", true, false);
	struct peer peer = peer_of(1), other = peer_of(2);
	char *body = body_of(d, &peer, "[{\"relayKey\":\"" RELAY "\"}]", NULL);
	expect_refusal(d, post_registration(d, "{", NULL), 400, "malformed");
	expect_refusal(d, post_registration(d, "[]", NULL), 400, "malformed");
	expect_refusal(d, post_registration(d, "{\"registration\":1,\"signature\":\"\"}", NULL), 400, "malformed");
	expect_refusal(d, post_registration(d, "{\"registration\":{\"version\":2}}", NULL), 400, "unsupported-version");
	expect_refusal(d, post_registration(d, "{\"publicKey\":\"" RELAY "\",\"relays\":[]}", peer.key), 401, "unsigned");
	expect_refusal(d, post_registration(d, body, other.key), 401, "peer-mismatch");
	char *signature = strstr(body, "\"signature\":\"") + 13;
	signature[0] ^= 1;
	expect_refusal(d, post_registration(d, body, NULL), 401, "signature-invalid");
	signature[0] ^= 1;
	char *relay = strstr(body, RELAY);
	relay[0] = '2';
	expect_refusal(d, post_registration(d, body, NULL), 401, "signature-invalid");
	relay[0] = '1';
	clock_ahead_ms += HF_REGISTRATION_AGE_MS_MAX + 1000;
	expect_refusal(d, post_registration(d, body, NULL), 401, "stale");
	clock_ahead_ms = 0;
	assert_int_equal(post_registration(d, body, NULL), 200);
	expect_refusal(d, post_registration(d, body, NULL), 401, "replayed");
	free(body);
	body = body_of(d, &peer, "[{\"relayKey\":\"" RELAY "\"}]", "wrong");
	expect_refusal(d, post_registration(d, body, NULL), 401, "signature-invalid");
	free(body);
	d->gateway_key[0] ^= 1; /* made for another gateway: the desk has its own copy */
	body = body_of(d, &peer, "[{\"relayKey\":\"" RELAY "\"}]", NULL);
	expect_refusal(d, post_registration(d, body, NULL), 401, "gateway-mismatch");
	free(body);
	d->gateway_key[0] ^= 1;
	static const char *const malformed[] = {"[{}]", "[{\"relayKey\":\"\"}]", "[{\"relayKey\":\"a b\"}]", "[1]", "[{\"relayKey\":\"a\\\"b\"}]"};
	for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
		expect_refusal(d, register_relays(d, &peer, malformed[i]), 400, "malformed");
	assert_int_equal(hf_registry_count(d->registry), 1);
	desk_free(d);
}

static void test_who_may_register_is_the_operators_choice(void **state)
{
	struct peer peer = peer_of(1), other = peer_of(2);
	struct desk *d = desk_new(NULL, "secret", peer.hex, false, false);
	assert_int_equal(register_relays(d, &peer, "[{\"relayKey\":\"a\"}]"), 200);
	expect_refusal(d, register_relays(d, &other, "[{\"relayKey\":\"b\"}]"), 403, "not-admitted");
	char *body = body_of(d, &other, "[{\"relayKey\":\"b\"}]", "secret");
	assert_int_equal(post_registration(d, body, NULL), 200);
	free(body);
	desk_free(d);
	struct hf_failure failure = {0};
	d = desk_new(NULL, "", "", false, false);
	expect_refusal(d, register_relays(d, &peer, "[{\"relayKey\":\"a\"}]"), 403, "not-admitted");
	d->options.allow = "npub1xx";
	assert_int_equal(hf_registrar_reconfigure(d->registrar, &d->options, &failure), HF_EINVAL);
	assert_non_null(strstr(failure.text, "npub1xx"));
	desk_free(d);
}

/* ---- Whose a record is ---- */

static char *entry_with(const char *relay, const char *name, struct hf_buffer *value)
{
	struct hf_buffer out = {0};
	hf_buffer_printf(&out, "[{\"relayKey\":\"%s\",\"name\":\"by joiner\",\"%s\":%.*s}]", relay, name, (int)value->length, (char *)value->data);
	hf_buffer_append(&out, "", 1);
	hf_buffer_free(value);
	return (char *)out.data;
}

static void test_nobody_takes_anothers_relay(void **state)
{
	struct desk *d = desk_new(NULL, "secret", "", true, false);
	struct peer owner = peer_of(1), thief = peer_of(2);
	struct hf_buffer text = {0};
	assert_int_equal(register_relays(d, &owner, "[{\"relayKey\":\"" RELAY "\",\"identifier\":\"npub1abc:r\",\"name\":\"mine\"}]"), 200);
	expect_refusal(d, register_relays(d, &thief, "[{\"relayKey\":\"" RELAY "\",\"name\":\"stolen\"}]"), 403, "consent-required");
	expect_refusal(d, register_relays(d, &thief, "[{\"relayKey\":\"npub1abc:r\",\"name\":\"stolen\"}]"), 403, "consent-required");
	expect_refusal(d, register_relays(d, &thief, "[{\"relayKey\":\"other\",\"identifier\":\"npub1abc:r\"}]"), 409, "identifier-taken");
	expect_refusal(d, register_relays(d, &thief, "[{\"relayKey\":\"other\",\"metadata\":{\"gatewayPath\":\"/npub1abc/r\"}}]"), 409, "identifier-taken");
	/* The secret lets in to the desk, not into another's record. */
	char *body = body_of(d, &thief, "[{\"relayKey\":\"" RELAY "\"}]", "secret");
	expect_refusal(d, post_registration(d, body, NULL), 403, "consent-required");
	free(body);
	/* A consent that somebody else gave, or that is for somebody else. */
	hf_registration_make_consent(HF_SLICE_LITERAL(RELAY), thief.secret, thief.key, now_of(d), &text);
	char *relays = entry_with(RELAY, "consent", &text);
	expect_refusal(d, register_relays(d, &thief, relays), 403, "consent-required");
	free(relays);
	text = (struct hf_buffer){0};
	hf_registration_make_consent(HF_SLICE_LITERAL(RELAY), owner.secret, owner.key, now_of(d), &text);
	relays = entry_with(RELAY, "consent", &text);
	expect_refusal(d, register_relays(d, &thief, relays), 401, "consent-invalid");
	free(relays);
	text = (struct hf_buffer){0};
	hf_registration_make_consent(HF_SLICE_LITERAL("another"), owner.secret, thief.key, now_of(d), &text);
	relays = entry_with(RELAY, "consent", &text);
	expect_refusal(d, register_relays(d, &thief, relays), 401, "consent-invalid");
	free(relays);
	/* A proof by a key that is not the relay's. */
	text = (struct hf_buffer){0};
	uint8_t key[32];
	hf_hex_decode(key, RELAY, 32);
	hf_registration_make_proof(key, (struct hf_slice){0}, thief.secret, thief.key, now_of(d), &text);
	relays = entry_with(RELAY, "proof", &text);
	expect_refusal(d, register_relays(d, &thief, relays), 401, "proof-invalid");
	free(relays);
	const struct hf_registration *record = hf_registry_find(d->registry, HF_SLICE_LITERAL(RELAY));
	assert_string_equal(record->name, "mine");
	assert_int_equal(record->peer_count, 1);
	assert_memory_equal(record->owner_peer, owner.key, 32);
	desk_free(d);
}

static void test_a_second_peer_joins_with_the_owners_consent_and_changes_nothing(void **state)
{
	struct desk *d = desk_new(NULL, "", "", true, false);
	struct peer owner = peer_of(1), second = peer_of(2);
	struct hf_buffer text = {0};
	assert_int_equal(register_relays(d, &owner, "[{\"relayKey\":\"" RELAY "\",\"name\":\"mine\"}]"), 200);
	hf_registration_make_consent(HF_SLICE_LITERAL(RELAY), owner.secret, second.key, now_of(d), &text);
	char *relays = entry_with(RELAY, "consent", &text);
	assert_int_equal(register_relays(d, &second, relays), 200);
	free(relays);
	const struct hf_registration *record = hf_registry_find(d->registry, HF_SLICE_LITERAL(RELAY));
	assert_int_equal(record->peer_count, 2);
	assert_string_equal(record->name, "mine");
	assert_true(hf_registry_is_peer_of(record, second.key));
	/* From then on it needs no consent to say that it is there. */
	assert_int_equal(register_relays(d, &second, "[{\"relayKey\":\"" RELAY "\",\"name\":\"theirs\"}]"), 200);
	assert_string_equal(hf_registry_find(d->registry, HF_SLICE_LITERAL(RELAY))->name, "mine");
	desk_free(d);
}

static void test_the_relays_own_core_says_whose_it_is(void **state)
{
	struct desk *d = desk_new(NULL, "", "", true, false);
	struct peer squatter = peer_of(1), owner = peer_of(2), second = peer_of(3), core = peer_of(4);
	uint8_t bytes[HF_MANIFEST_DEFAULT_BYTES], key[32];
	char hex[65] = {0}, relays_text[256];
	struct hf_manifest manifest;
	struct hf_buffer encoded = {0}, text = {0};
	hf_manifest_default(&manifest, bytes, core.key);
	assert_int_equal(hf_manifest_key(&manifest, key), HF_OK);
	assert_int_equal(hf_manifest_encode(&manifest, &encoded), HF_OK);
	hf_hex_encode(hex, key, 32);
	snprintf(relays_text, sizeof relays_text, "[{\"relayKey\":\"%s\",\"name\":\"squatted\"}]", hex);
	assert_int_equal(register_relays(d, &squatter, relays_text), 200);
	hf_registration_make_proof(key, hf_buffer_slice(&encoded), core.secret, owner.key, now_of(d), &text);
	char *relays = entry_with(hex, "proof", &text);
	assert_int_equal(register_relays(d, &owner, relays), 200);
	free(relays);
	const struct hf_registration *record = hf_registry_find(d->registry, hf_slice_text(hex));
	assert_memory_equal(record->owner_peer, owner.key, 32);
	assert_string_equal(record->name, "by joiner");
	/* The squatter is a peer by its own word only until now; it may not change anything any more. */
	assert_int_equal(register_relays(d, &squatter, relays_text), 200);
	assert_string_equal(hf_registry_find(d->registry, hf_slice_text(hex))->name, "by joiner");
	/* A second peer with a proof joins; the owner stays. */
	text = (struct hf_buffer){0};
	hf_registration_make_proof(key, hf_buffer_slice(&encoded), core.secret, second.key, now_of(d), &text);
	relays = entry_with(hex, "proof", &text);
	assert_int_equal(register_relays(d, &second, relays), 200);
	free(relays);
	record = hf_registry_find(d->registry, hf_slice_text(hex));
	assert_memory_equal(record->owner_peer, owner.key, 32);
	assert_true(hf_registry_is_peer_of(record, second.key));
	/* A core from before manifests: its key is its signer's. */
	text = (struct hf_buffer){0};
	hf_registration_make_proof(core.key, (struct hf_slice){0}, core.secret, owner.key, now_of(d), &text);
	relays = entry_with(core.hex, "proof", &text);
	assert_int_equal(register_relays(d, &owner, relays), 200);
	free(relays);
	hf_buffer_free(&encoded);
	desk_free(d);
}

/* ---- The shared secret, as Hypertuna's workers use it ---- */

static char *shared_body(const char *registration, const char *secret)
{
	struct hf_buffer canonical = {0}, out = {0};
	char signature[HF_SCHEME_A_BYTES + 1] = {0};
	assert_int_equal(hf_canonical(hf_slice_text(registration), &canonical), HF_OK);
	hf_scheme_a_sign(signature, hf_slice_text(secret), hf_buffer_slice(&canonical));
	hf_buffer_printf(&out, "{\"registration\":%s,\"signature\":\"%s\"}", registration, signature);
	hf_buffer_append(&out, "", 1);
	hf_buffer_free(&canonical);
	return (char *)out.data;
}

static int post_shared(struct desk *d, const char *secret, const char *format_fields, bool is_fresh)
{
	char registration[1024];
	if (is_fresh)
		snprintf(registration, sizeof registration, "{\"nonce\":\"%024x\",\"issuedAt\":%llu%s}", d->nonce++, (unsigned long long)now_of(d),
			format_fields);
	else
		snprintf(registration, sizeof registration, "{\"issued\":1%s}", format_fields);
	char *body = shared_body(registration, secret);
	int status = post_registration(d, body, NULL);
	free(body);
	return status;
}

static void test_the_secret_registers_for_all_who_know_it(void **state)
{
	struct desk *d = desk_new(NULL, "secret", "", false, false);
	struct peer peer = peer_of(1), stranger = peer_of(2);
	char fields[512];
	snprintf(fields, sizeof fields, ",\"relayKey\":\"npub1abc:r\",\"peers\":[\"%s\"],\"metadata\":{\"name\":\"A\"},\"escrow\":{\"enabled\":false}", peer.hex);
	expect_refusal(d, post_shared(d, "wrong", fields, true), 401, "signature-invalid");
	expect_refusal(d, post_shared(d, "secret", fields, false), 401, "freshness-required");
	assert_int_equal(post_shared(d, "secret", fields, true), 200);
	const struct hf_registration *record = hf_registry_find(d->registry, HF_SLICE_LITERAL("npub1abc/r"));
	assert_string_equal(record->principal, "secret");
	assert_false(record->has_owner_peer);
	assert_int_equal(record->peer_count, 1);
	assert_false(hf_registry_is_peer_of(record, peer.key));
	assert_true(metadata_has(d, "npub1abc/r", "\"escrow\""));
	assert_int_equal(post_shared(d, "secret", ",\"relayKey\":\"npub1abc:r\",\"metadata\":{\"name\":\"B\"}", true), 200);
	assert_true(metadata_has(d, "npub1abc/r", "\"name\":\"B\""));
	/* A peer that it names, and that proves itself, takes it; then the secret alone does not do. */
	char *body = body_of(d, &peer, "[{\"relayKey\":\"npub1abc:r\"}]", "secret");
	assert_int_equal(post_registration(d, body, NULL), 200);
	free(body);
	record = hf_registry_find(d->registry, HF_SLICE_LITERAL("npub1abc/r"));
	assert_memory_equal(record->owner_peer, peer.key, 32);
	expect_refusal(d, post_shared(d, "secret", ",\"relayKey\":\"npub1abc:r\",\"metadata\":{\"name\":\"C\"}", true), 403, "not-owner");
	body = body_of(d, &stranger, "[{\"relayKey\":\"npub1abc:r\"}]", "secret");
	expect_refusal(d, post_registration(d, body, NULL), 403, "consent-required");
	free(body);
	desk_free(d);
}

static void test_only_the_switch_lets_unsigned_bodies_in(void **state)
{
	struct desk *d = desk_new(NULL, "secret", "", false, true);
	struct peer peer = peer_of(1), other = peer_of(2), owner = peer_of(3);
	char body[512];
	snprintf(body, sizeof body, "{\"publicKey\":\"%s\",\"relays\":[\"npub1a:one\",{\"identifier\":\"npub1a:two\",\"name\":\"Two\"}],\"mode\":\"hyperswarm\"}", peer.hex);
	assert_int_equal(post_registration(d, body, peer.key), 200);
	assert_int_equal(hf_registry_count(d->registry), 2);
	expect_refusal(d, post_registration(d, body, other.key), 401, "peer-mismatch");
	expect_refusal(d, post_registration(d, body, NULL), 401, "unsigned");
	snprintf(body, sizeof body, "{\"publicKey\":\"%s\",\"relays\":[\"npub1a:one\"]}", other.hex);
	assert_int_equal(post_registration(d, body, other.key), 200);
	assert_int_equal(hf_registry_find(d->registry, HF_SLICE_LITERAL("npub1a:one"))->peer_count, 2);
	assert_int_equal(post_shared(d, "secret", ",\"relayKey\":\"npub1a:three\"", false), 200);
	/* Against a record that a key proved it does not help. */
	char *ours = body_of(d, &owner, "[{\"relayKey\":\"npub1b:x\",\"name\":\"X\"}]", "secret");
	assert_int_equal(post_registration(d, ours, NULL), 200);
	free(ours);
	snprintf(body, sizeof body, "{\"publicKey\":\"%s\",\"relays\":[{\"identifier\":\"npub1b:x\",\"name\":\"stolen\"}]}", other.hex);
	expect_refusal(d, post_registration(d, body, other.key), 403, "consent-required");
	desk_free(d);
}

/* ---- Owners of Nostr keys ---- */

static char *owner_event(struct desk *d, struct hf_schnorr *schnorr, const uint8_t secret[32], const uint8_t digest[32], unsigned kind)
{
	char pubkey[65] = {0}, payload[65] = {0}, id[65] = {0}, signature[129] = {0}, canonical[512];
	uint8_t bytes[64], hash[32];
	char *out = malloc(1024);
	uint64_t at = now_of(d) / 1000;
	assert_int_equal(hf_schnorr_public_key(schnorr, bytes, secret), HF_OK);
	hf_hex_encode(pubkey, bytes, 32);
	hf_hex_encode(payload, digest, 32);
	snprintf(canonical, sizeof canonical, "[0,\"%s\",%llu,%u,[[\"payload\",\"%s\"]],\"\"]", pubkey, (unsigned long long)at, kind, payload);
	hf_sha256(hash, hf_slice_text(canonical));
	assert_int_equal(hf_schnorr_sign(schnorr, bytes, hash, secret), HF_OK);
	hf_hex_encode(id, hash, 32);
	hf_hex_encode(signature, bytes, 64);
	snprintf(out, 1024, "{\"id\":\"%s\",\"pubkey\":\"%s\",\"created_at\":%llu,\"kind\":%u,\"tags\":[[\"payload\",\"%s\"]],\"content\":\"\",\"sig\":\"%s\"}", id,
		pubkey, (unsigned long long)at, kind, payload, signature);
	return out;
}

static void test_an_owner_signs_the_very_registration(void **state)
{
	struct desk *d = desk_new(NULL, "", "", true, false);
	struct peer peer = peer_of(1);
	struct hf_schnorr *schnorr;
	uint8_t secret[32] = {0, 5}, pubkey[32], digest[32];
	hf_schnorr_new(&schnorr, &d->ground->env, 0);
	hf_schnorr_public_key(schnorr, pubkey, secret);
	for (int round = 0; round < 3; round++) {
		struct hf_buffer out = {0};
		struct hf_registration_draft draft = {.relays = HF_SLICE_LITERAL("[{\"relayKey\":\"owned\"}]"), .peer_secret_key = peer.secret, .now_ms = now_of(d),
			.more = HF_SLICE_LITERAL("{\"address\":\"127.0.0.1:1945\"}"), .nonce = {(uint8_t)round}};
		assert_int_equal(hf_registration_digest(&draft, digest), HF_OK);
		digest[0] ^= round == 1; /* of something else */
		char *event = owner_event(d, schnorr, secret, digest, round == 2 ? 1 : HF_REGISTRATION_OWNER_KIND);
		draft.owner_event = hf_slice_text(event);
		assert_int_equal(hf_registration_make(&draft, &out), HF_OK);
		hf_buffer_append(&out, "", 1);
		int status = post_registration(d, (char *)out.data, NULL);
		if (round == 0)
			assert_int_equal(status, 200);
		else
			expect_refusal(d, status, 401, "owner-invalid");
		free(event);
		hf_buffer_free(&out);
	}
	const struct hf_registration *record = hf_registry_find(d->registry, HF_SLICE_LITERAL("owned"));
	assert_true(record->has_owner);
	assert_memory_equal(record->owner, pubkey, 32);
	struct hf_registration_draft wrong = {.relays = HF_SLICE_LITERAL("{}"), .peer_secret_key = peer.secret};
	assert_int_equal(hf_registration_digest(&wrong, digest), HF_EMALFORMED);
	wrong.relays = HF_SLICE_LITERAL("[]");
	wrong.more = HF_SLICE_LITERAL("[]");
	assert_int_equal(hf_registration_digest(&wrong, digest), HF_EMALFORMED);
	hf_schnorr_free(schnorr);
	desk_free(d);
}

/* ---- Removal ---- */

static int delete_relay(struct desk *d, const struct peer *peer, const char *secret, const char *relay, bool is_fresh)
{
	char text[512], nonce[32], at[24], signature[HF_KEY_SIGNATURE_TEXT_BYTES + 1] = {0};
	struct hf_buffer canonical = {0};
	snprintf(nonce, sizeof nonce, "%024x", d->nonce++);
	snprintf(at, sizeof at, "%llu", (unsigned long long)now_of(d));
	if (is_fresh)
		snprintf(text, sizeof text, "{\"action\":\"delete\",\"nonce\":\"%s\",\"issuedAt\":%s%s%s%s,\"relayKey\":\"%s\"}", nonce, at,
			peer ? ",\"peerKey\":\"" : "", peer ? peer->hex : "", peer ? "\"" : "", relay);
	else
		snprintf(text, sizeof text, "{\"relayKey\":\"%s\"}", relay);
	assert_int_equal(hf_canonical(hf_slice_text(text), &canonical), HF_OK);
	if (peer)
		hf_key_sign(signature, HF_SIGNED_REQUEST, hf_buffer_slice(&canonical), peer->secret);
	else
		hf_scheme_a_sign(signature, hf_slice_text(secret), hf_buffer_slice(&canonical));
	struct hf_registrar_removal removal = {.relay_key = hf_slice_text(relay), .signature = hf_slice_text(signature)};
	if (is_fresh) {
		removal.nonce = hf_slice_text(nonce);
		removal.issued_at = hf_slice_text(at);
		removal.peer = hf_slice_text(peer ? peer->hex : "");
	}
	hf_registrar_remove(d->registrar, &removal, note_answer, d);
	int status = answer_of(d);
	hf_buffer_free(&canonical);
	return status;
}

static void test_only_the_owner_removes_a_relay(void **state)
{
	struct desk *d = desk_new(NULL, "secret", "", true, false);
	struct peer owner = peer_of(1), other = peer_of(2);
	assert_int_equal(register_relays(d, &owner, "[{\"relayKey\":\"" RELAY "\"}]"), 200);
	expect_refusal(d, delete_relay(d, &other, NULL, RELAY, true), 403, "not-owner");
	expect_refusal(d, delete_relay(d, NULL, "secret", RELAY, true), 403, "not-owner");
	expect_refusal(d, delete_relay(d, NULL, "wrong", RELAY, true), 401, "signature-invalid");
	expect_refusal(d, delete_relay(d, NULL, "secret", RELAY, false), 401, "freshness-required");
	expect_refusal(d, delete_relay(d, &owner, NULL, "unknown", true), 404, "relay-not-registered");
	assert_int_equal(delete_relay(d, &owner, NULL, RELAY, true), 200);
	assert_null(hf_registry_find(d->registry, HF_SLICE_LITERAL(RELAY)));
	desk_free(d);
	/* Signed for ever, as Hypertuna's workers do it. */
	d = desk_new(NULL, "secret", "", true, true);
	assert_int_equal(post_shared(d, "secret", ",\"relayKey\":\"npub1abc:myRelay\"", true), 200);
	assert_int_equal(delete_relay(d, NULL, "secret", "npub1abc:myRelay", false), 200);
	desk_free(d);
}

static void test_counts_are_bounded(void **state)
{
	struct desk *d = desk_new(NULL, "", "", true, false);
	struct peer peer = peer_of(1);
	struct hf_buffer relays = {0};
	hf_buffer_append_text(&relays, "[");
	for (int i = 0; i <= HF_REGISTRATION_RELAY_COUNT_MAX; i++)
		hf_buffer_printf(&relays, "%s\"r%d\"", i ? "," : "", i);
	hf_buffer_append(&relays, "]", 2);
	expect_refusal(d, register_relays(d, &peer, (char *)relays.data), 413, "too-large");
	relays.data[relays.length - 7] = ']'; /* without the last one: ,"r256"] */
	relays.data[relays.length - 8] = ' ';
	hf_buffer_clear(&relays);
	hf_buffer_append_text(&relays, "[");
	for (int i = 0; i < HF_REGISTRATION_RELAY_COUNT_MAX; i++)
		hf_buffer_printf(&relays, "%s\"r%d\"", i ? "," : "", i);
	hf_buffer_append(&relays, "]", 2);
	assert_int_equal(register_relays(d, &peer, (char *)relays.data), 200);
	expect_refusal(d, register_relays(d, &peer, "[\"one-more\"]"), 429, "too-many-relays");
	hf_buffer_free(&relays);
	desk_free(d);
}

static void test_reachability_is_noted_and_forgotten(void **state)
{
	struct desk *d = desk_new(NULL, "", "", true, false);
	struct peer peer = peer_of(1);
	assert_int_equal(register_relays(d, &peer, "[\"a\"]"), 200);
	hf_registry_peer_is_reachable(d->registry, peer.key, false);
	assert_true(hf_registry_find(d->registry, HF_SLICE_LITERAL("a"))->peers[0].unreachable_since_ms > 0);
	assert_int_equal(register_relays(d, &peer, "[\"a\"]"), 200);
	assert_true(hf_registry_find(d->registry, HF_SLICE_LITERAL("a"))->peers[0].unreachable_since_ms > 0);
	hf_registry_peer_is_reachable(d->registry, peer.key, true);
	hf_registry_peer_is_reachable(d->registry, peer.key, true);
	assert_int_equal(hf_registry_find(d->registry, HF_SLICE_LITERAL("a"))->peers[0].unreachable_since_ms, 0);
	desk_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_relay_is_found_by_all_its_names_after_registration_and_restart),
		cmocka_unit_test(test_merging_never_wipes),
		cmocka_unit_test(test_bodies_that_are_not_right_are_refused_by_name),
		cmocka_unit_test(test_who_may_register_is_the_operators_choice),
		cmocka_unit_test(test_nobody_takes_anothers_relay),
		cmocka_unit_test(test_a_second_peer_joins_with_the_owners_consent_and_changes_nothing),
		cmocka_unit_test(test_the_relays_own_core_says_whose_it_is),
		cmocka_unit_test(test_the_secret_registers_for_all_who_know_it),
		cmocka_unit_test(test_only_the_switch_lets_unsigned_bodies_in),
		cmocka_unit_test(test_an_owner_signs_the_very_registration),
		cmocka_unit_test(test_only_the_owner_removes_a_relay),
		cmocka_unit_test(test_counts_are_bounded),
		cmocka_unit_test(test_reachability_is_noted_and_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
