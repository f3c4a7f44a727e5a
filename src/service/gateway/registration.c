/* registration: making a body, and taking one apart: which form it has, whose it is and whether it is new. Its relays are in
 * registration_relay.c. Everything is read from the canonical text of the whole body, so what is checked is what is used. */
#include "service/gateway/registration_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/hex.h"
#include "crypto/hash.h"
#include "data/event/event.h"

#define NONCE_TEXT_BYTES_MIN (2 * HF_REGISTRATION_NONCE_BYTES)

/* ---- Making ---- */

static int write_own_members(const struct hf_registration_draft *d, struct hf_buffer *out)
{
	char peer[65] = {0}, gateway[65] = {0}, nonce[2 * HF_REGISTRATION_NONCE_BYTES + 1] = {0};
	hf_hex_encode(peer, hf_sign_public_key(d->peer_secret_key), 32);
	hf_hex_encode(nonce, d->nonce, sizeof d->nonce);
	int r = hf_buffer_printf(out, "{\"version\":1,\"peer\":\"%s\",\"nonce\":\"%s\",\"issuedAt\":%llu,", peer, nonce,
		(unsigned long long)d->now_ms);
	if (r == HF_OK && d->gateway_key) {
		hf_hex_encode(gateway, d->gateway_key, 32);
		r = hf_buffer_printf(out, "\"gateway\":\"%s\",", gateway);
	}
	if (r == HF_OK)
		r = hf_buffer_append_text(out, "\"relays\":");
	if (r == HF_OK)
		r = hf_buffer_append(out, d->relays.data, d->relays.length);
	return r == HF_OK ? hf_buffer_append_text(out, "}") : r;
}

/* The registration that is signed. */
static int write_registration(const struct hf_registration_draft *d, struct hf_buffer *out)
{
	struct hf_buffer own = {0}, canonical = {0}, more = {0};
	struct hf_slice relays;
	int r = write_own_members(d, &own);
	if (r == HF_OK)
		r = hf_canonical(hf_buffer_slice(&own), &canonical);
	if (r == HF_OK && (!hf_canonical_member(hf_buffer_slice(&canonical), "relays", &relays) || !hf_canonical_is_array(relays)))
		r = HF_EMALFORMED;
	if (r == HF_OK && d->more.length > 0)
		r = hf_canonical(d->more, &more);
	if (r == HF_OK && more.length > 0 && !hf_canonical_is_object(hf_buffer_slice(&more)))
		r = HF_EMALFORMED;
	if (r == HF_OK)
		r = hf_canonical_merge(hf_buffer_slice(&more), hf_buffer_slice(&canonical), out);
	hf_buffer_free(&own);
	hf_buffer_free(&canonical);
	hf_buffer_free(&more);
	return r;
}

int hf_registration_digest(const struct hf_registration_draft *draft, uint8_t digest[static 32])
{
	struct hf_buffer text = {0};
	int r = write_registration(draft, &text);
	if (r == HF_OK)
		hf_sha256(digest, hf_buffer_slice(&text));
	hf_buffer_free(&text);
	return r;
}

int hf_registration_make(const struct hf_registration_draft *d, struct hf_buffer *out)
{
	struct hf_buffer text = {0}, event = {0};
	char signature[HF_KEY_SIGNATURE_TEXT_BYTES + 1] = {0}, shared[HF_SCHEME_A_BYTES + 1] = {0};
	size_t before = out->length;
	int r = write_registration(d, &text);
	struct hf_slice registration = hf_buffer_slice(&text);
	if (r == HF_OK)
		r = hf_key_sign(signature, HF_SIGNED_REGISTRATION, registration, d->peer_secret_key);
	if (r == HF_OK && d->owner_event.length > 0)
		r = hf_canonical(d->owner_event, &event);
	if (r == HF_OK)
		r = hf_buffer_printf(out, "{\"signature\":\"%s\",\"registration\":%.*s", signature, (int)text.length, (char *)text.data);
	if (r == HF_OK && d->secret.length > 0) {
		hf_scheme_a_sign(shared, d->secret, registration);
		r = hf_buffer_printf(out, ",\"secretSignature\":\"%s\"", shared);
	}
	if (r == HF_OK && event.length > 0)
		r = hf_buffer_printf(out, ",\"owner\":%.*s", (int)event.length, (char *)event.data);
	if (r == HF_OK)
		r = hf_buffer_append_text(out, "}");
	hf_buffer_free(&text);
	hf_buffer_free(&event);
	if (r < 0)
		out->length = before;
	return r;
}

/* ---- Taking apart ---- */

int hf_registration_refuse(const char **refusal, const char *name, int status)
{
	*refusal = name;
	return status;
}

/* nonce and issuedAt. Both may be missing only where is_optional says so; what is there must be right. */
static int check_freshness(struct hf_registration_body *b, uint64_t now_ms, bool is_optional, const char **refusal)
{
	struct hf_slice nonce, found;
	uint64_t issued_ms;
	bool has_nonce = hf_canonical_member(b->registration, "nonce", &found), has_time = hf_canonical_member(b->registration, "issuedAt",
		&found);
	if (!has_nonce || !has_time)
		return is_optional ? HF_OK : hf_registration_refuse(refusal, "freshness-required", HF_EDENIED);
	if (!hf_canonical_plain(b->registration, "nonce", &nonce) || nonce.length < NONCE_TEXT_BYTES_MIN || nonce.length >= sizeof b->nonce ||
		!hf_canonical_u64(b->registration, "issuedAt", &issued_ms))
		return hf_registration_refuse(refusal, "malformed", HF_EMALFORMED);
	if (issued_ms + HF_REGISTRATION_AGE_MS_MAX < now_ms || issued_ms > now_ms + HF_REGISTRATION_AGE_MS_MAX)
		return hf_registration_refuse(refusal, "stale", HF_EDENIED);
	snprintf(b->nonce, sizeof b->nonce, "%.*s", (int)nonce.length, (const char *)nonce.data);
	b->has_freshness = true;
	return HF_OK;
}

static int check_gateway(const struct hf_registration_body *b, const struct hf_registration_door *door, const char **refusal)
{
	struct hf_slice found;
	uint8_t key[32];
	if (!hf_canonical_member(b->registration, "gateway", &found))
		return HF_OK;
	if (!hf_canonical_hex(b->registration, "gateway", key, sizeof key))
		return hf_registration_refuse(refusal, "malformed", HF_EMALFORMED);
	if (!door->gateway_key || memcmp(key, door->gateway_key, sizeof key) != 0)
		return hf_registration_refuse(refusal, "gateway-mismatch", HF_EDENIED);
	return HF_OK;
}

/* Parsed and signed, of our kind and about this registration. */
static bool is_owner_event(const struct hf_registration_door *door, const struct hf_event *event, const struct hf_registration_body *b,
	uint64_t now_ms)
{
	uint8_t digest[32], said[32];
	struct hf_slice payload;
	uint64_t created_ms = event->created_at < UINT64_MAX / 1000 ? event->created_at * 1000 : UINT64_MAX;
	hf_sha256(digest, b->registration);
	if (event->kind != HF_REGISTRATION_OWNER_KIND || created_ms > now_ms + HF_REGISTRATION_AGE_MS_MAX ||
		created_ms + HF_REGISTRATION_AGE_MS_MAX < now_ms)
		return false;
	if (!hf_event_find_tag(event, "payload", &payload) || payload.length != 64 || !hf_hex_decode(said, payload.data, 32))
		return false;
	return memcmp(digest, said, sizeof said) == 0 && hf_schnorr_verify(door->schnorr, event->sig, event->id, event->pubkey) == HF_OK;
}

static int check_owner(struct hf_registration_body *b, const struct hf_registration_door *door, struct hf_slice body, uint64_t now_ms,
	const char **refusal)
{
	struct hf_slice text;
	struct hf_buffer memory = {0};
	struct hf_event event;
	struct hf_json json;
	const char *reason;
	if (!hf_canonical_member(body, "owner", &text))
		return HF_OK;
	hf_json_init(&json, text, HF_JSON_DEPTH_MAX);
	int r = hf_event_parse(&json, &memory, HF_CANONICAL_BYTES_MAX, &event, &reason);
	b->has_owner = r == HF_OK && door->schnorr && is_owner_event(door, &event, b, now_ms);
	if (b->has_owner)
		memcpy(b->owner, event.pubkey, sizeof b->owner);
	hf_buffer_free(&memory);
	return r == HF_ENOMEM ? r : b->has_owner ? HF_OK : hf_registration_refuse(refusal, "owner-invalid", HF_EBADSIG);
}

static int check_key_signature(struct hf_registration_body *b, struct hf_slice body, const char **refusal)
{
	struct hf_slice signature;
	if (!hf_canonical_hex(b->registration, "peer", b->peer, sizeof b->peer))
		return hf_registration_refuse(refusal, "malformed", HF_EMALFORMED);
	if (!hf_canonical_plain(body, "signature", &signature))
		return hf_registration_refuse(refusal, "signature-missing", HF_EDENIED);
	int r = hf_key_verify(signature, HF_SIGNED_REGISTRATION, b->registration, b->peer);
	if (r == HF_EBADSIG)
		return hf_registration_refuse(refusal, "signature-invalid", r);
	b->has_peer = r == HF_OK;
	return r;
}

static int open_ours(struct hf_registration_body *b, const struct hf_registration_door *door, struct hf_slice body,
	const uint8_t *channel_peer, uint64_t now_ms, const char **refusal)
{
	struct hf_slice signature;
	uint64_t version;
	if (!hf_canonical_u64(b->registration, "version", &version) || version != 1)
		return hf_registration_refuse(refusal, "unsupported-version", HF_EVERSION);
	int r = check_key_signature(b, body, refusal);
	if (r == HF_OK && channel_peer && memcmp(channel_peer, b->peer, sizeof b->peer) != 0)
		r = hf_registration_refuse(refusal, "peer-mismatch", HF_EDENIED);
	if (r == HF_OK)
		r = check_gateway(b, door, refusal);
	if (r == HF_OK)
		r = check_freshness(b, now_ms, false, refusal);
	if (r == HF_OK && hf_canonical_member(body, "secretSignature", &signature)) {
		b->knows_secret = hf_canonical_plain(body, "secretSignature", &signature) && hf_scheme_a_verify(signature, door->secret, b->registration);
		r = b->knows_secret ? HF_OK : hf_registration_refuse(refusal, "signature-invalid", HF_EBADSIG);
	}
	return r == HF_OK ? check_owner(b, door, body, now_ms, refusal) : r;
}

static int take_claimed_peers(struct hf_registration_body *b, const char **refusal)
{
	struct hf_slice peers, item;
	size_t cursor = 0;
	hf_canonical_member(b->registration, "peers", &peers);
	while (hf_canonical_next_item(peers, &cursor, &item)) {
		if (b->claimed_peer_count == HF_REGISTRATION_PEER_COUNT_MAX)
			return hf_registration_refuse(refusal, "too-large", HF_ETOOBIG);
		if (item.length != 66 || !hf_hex_decode(b->claimed_peers[b->claimed_peer_count], item.data + 1, 32))
			return hf_registration_refuse(refusal, "malformed", HF_EMALFORMED);
		b->claimed_peer_count++;
	}
	return HF_OK;
}

static int open_shared(struct hf_registration_body *b, const struct hf_registration_door *door, struct hf_slice body, uint64_t now_ms,
	const char **refusal)
{
	struct hf_slice signature;
	if (!hf_canonical_plain(body, "signature", &signature))
		return hf_registration_refuse(refusal, "signature-missing", HF_EDENIED);
	b->knows_secret = hf_scheme_a_verify(signature, door->secret, b->registration);
	if (!b->knows_secret)
		return hf_registration_refuse(refusal, "signature-invalid", HF_EBADSIG);
	int r = check_freshness(b, now_ms, door->is_compatible, refusal);
	return r == HF_OK ? take_claimed_peers(b, refusal) : r;
}

static int open_unsigned(struct hf_registration_body *b, const struct hf_registration_door *door, const uint8_t *channel_peer,
	const char **refusal)
{
	if (!door->is_compatible || !channel_peer)
		return hf_registration_refuse(refusal, "unsigned", HF_EDENIED);
	if (!hf_canonical_hex(b->registration, "publicKey", b->peer, sizeof b->peer))
		return hf_registration_refuse(refusal, "malformed", HF_EMALFORMED);
	if (memcmp(b->peer, channel_peer, sizeof b->peer) != 0)
		return hf_registration_refuse(refusal, "peer-mismatch", HF_EDENIED);
	b->has_peer = true;
	return HF_OK;
}

static int open_body(struct hf_registration_body *b, const struct hf_registration_door *door, const uint8_t *channel_peer, uint64_t now_ms,
	const char **refusal)
{
	struct hf_slice body = hf_buffer_slice(&b->text), found;
	int r;
	if (!hf_canonical_is_object(body))
		return hf_registration_refuse(refusal, "malformed", HF_EMALFORMED);
	if (!hf_canonical_member(body, "registration", &b->registration)) {
		b->registration = body;
		b->form = HF_REGISTRATION_UNSIGNED;
		r = open_unsigned(b, door, channel_peer, refusal);
	} else if (!hf_canonical_is_object(b->registration)) {
		r = hf_registration_refuse(refusal, "malformed", HF_EMALFORMED);
	} else if (hf_canonical_member(b->registration, "version", &found) || hf_canonical_member(b->registration, "peer", &found)) {
		b->form = HF_REGISTRATION_OURS;
		r = open_ours(b, door, body, channel_peer, now_ms, refusal);
	} else {
		b->form = HF_REGISTRATION_SHARED;
		r = open_shared(b, door, body, now_ms, refusal);
	}
	return r == HF_OK ? hf_registration_take_relays(b, now_ms, refusal) : r;
}

int hf_registration_open(struct hf_registration_body *b, const struct hf_registration_door *door, struct hf_slice text,
	const uint8_t *channel_peer, uint64_t now_ms, const char **refusal)
{
	*b = (struct hf_registration_body){0};
	*refusal = NULL;
	int r = hf_canonical(text, &b->text);
	if (r == HF_EMALFORMED || r == HF_ETOOBIG)
		return hf_registration_refuse(refusal, r == HF_ETOOBIG ? "too-large" : "malformed", r);
	return r == HF_OK ? open_body(b, door, channel_peer, now_ms, refusal) : r;
}

void hf_registration_body_free(struct hf_registration_body *b)
{
	free(b->relays);
	hf_buffer_free(&b->text);
	*b = (struct hf_registration_body){0};
}
