/* registration_relay: the relays of a registration: their keys, and what proves that the peer may speak for them. */
#include "service/gateway/registration_private.h"

#include <stdlib.h>

#include "codec/hex.h"
#include "data/hypercore/manifest.h"

#define PROOF_BYTES 72

/* ---- Making ---- */

static void write_proof_message(uint8_t out[static PROOF_BYTES], const uint8_t relay_key[static 32], const uint8_t peer[static 32],
	uint64_t issued_ms)
{
	memcpy(out, relay_key, 32);
	memcpy(out + 32, peer, 32);
	hf_store_le64(out + 64, issued_ms);
}

int hf_registration_make_proof(const uint8_t relay_key[static 32], struct hf_slice manifest, const uint8_t core_secret_key[static 64],
	const uint8_t peer[static 32], uint64_t now_ms, struct hf_buffer *out)
{
	uint8_t message[PROOF_BYTES];
	char signature[HF_KEY_SIGNATURE_TEXT_BYTES + 1] = {0};
	write_proof_message(message, relay_key, peer, now_ms);
	int r = hf_key_sign(signature, HF_SIGNED_RELAY_PROOF, hf_slice(message, sizeof message), core_secret_key);
	if (r == HF_OK)
		r = hf_buffer_printf(out, "{\"issuedAt\":%llu,", (unsigned long long)now_ms);
	if (r == HF_OK && manifest.length > 0) {
		r = hf_buffer_append_text(out, "\"manifest\":\"");
		if (r == HF_OK)
			r = hf_buffer_reserve(out, 2 * manifest.length);
		if (r == HF_OK) {
			hf_hex_encode(out->data + out->length, manifest.data, manifest.length);
			out->length += 2 * manifest.length;
			r = hf_buffer_append_text(out, "\",");
		}
	}
	return r == HF_OK ? hf_buffer_printf(out, "\"signature\":\"%s\"}", signature) : r;
}

/* The text that a consent signs. */
static int write_consent(struct hf_slice relay_key, const uint8_t peer[static 32], uint64_t issued_ms, struct hf_buffer *out)
{
	char hex[65] = {0};
	hf_hex_encode(hex, peer, 32);
	return hf_buffer_printf(out, "{\"issuedAt\":%llu,\"peer\":\"%s\",\"relayKey\":\"%.*s\"}", (unsigned long long)issued_ms, hex,
		(int)relay_key.length, (const char *)relay_key.data);
}

int hf_registration_make_consent(struct hf_slice relay_key, const uint8_t owner_secret_key[static 64], const uint8_t peer[static 32],
	uint64_t now_ms, struct hf_buffer *out)
{
	struct hf_buffer text = {0};
	char signature[HF_KEY_SIGNATURE_TEXT_BYTES + 1] = {0}, owner[65] = {0};
	hf_hex_encode(owner, hf_sign_public_key(owner_secret_key), 32);
	int r = write_consent(relay_key, peer, now_ms, &text);
	if (r == HF_OK)
		r = hf_key_sign(signature, HF_SIGNED_CONSENT, hf_buffer_slice(&text), owner_secret_key);
	if (r == HF_OK)
		r = hf_buffer_printf(out, "{\"issuedAt\":%llu,\"owner\":\"%s\",\"signature\":\"%s\"}", (unsigned long long)now_ms, owner, signature);
	hf_buffer_free(&text);
	return r;
}

/* ---- Checking ---- */

static bool is_of_age(struct hf_slice object, uint64_t now_ms, uint64_t *issued_ms)
{
	return hf_canonical_u64(object, "issuedAt", issued_ms) && *issued_ms <= now_ms + HF_REGISTRATION_AGE_MS_MAX &&
		*issued_ms + HF_REGISTRATION_PROOF_AGE_MS_MAX >= now_ms;
}

/* HF_OK: one of those who alone may sign the core of that key has signed this. HF_EBADSIG, HF_ENOMEM. */
static int check_core_signature(const uint8_t key[static 32], struct hf_slice manifest_bytes, struct hf_slice signature,
	struct hf_slice message)
{
	uint8_t bytes[HF_MANIFEST_DEFAULT_BYTES];
	struct hf_manifest manifest;
	struct hf_manifest_signer signer;
	int r = HF_EBADSIG;
	if (hf_manifest_of_key(&manifest, key, manifest_bytes, bytes) < 0)
		return r;
	if (!hf_manifest_is_compat(&manifest, key) && manifest.quorum != 1)
		return r;
	for (uint64_t i = 0; r == HF_EBADSIG && hf_manifest_signer(&manifest, i, &signer); i++)
		r = hf_key_verify(signature, HF_SIGNED_RELAY_PROOF, message, signer.public_key);
	return r;
}

static int check_proof(const struct hf_registration_body *b, const struct hf_registration_relay *relay, struct hf_slice proof,
	uint64_t now_ms)
{
	uint8_t key[32], message[PROOF_BYTES], manifest[1024];
	struct hf_slice signature, hex;
	uint64_t issued_ms;
	if (!b->has_peer || relay->key.length != 64 || !hf_hex_decode(key, relay->key.data, 32) || !is_of_age(proof, now_ms, &issued_ms) ||
		!hf_canonical_plain(proof, "signature", &signature))
		return HF_EBADSIG;
	struct hf_slice encoded = {0};
	if (hf_canonical_plain(proof, "manifest", &hex)) {
		if (hex.length % 2 != 0 || hex.length / 2 > sizeof manifest || !hf_hex_decode(manifest, hex.data, hex.length / 2))
			return HF_EBADSIG;
		encoded = hf_slice(manifest, hex.length / 2);
	}
	write_proof_message(message, key, b->peer, issued_ms);
	return check_core_signature(key, encoded, signature, hf_slice(message, sizeof message));
}

static int check_consent(struct hf_registration_body *b, struct hf_registration_relay *relay, struct hf_slice consent, uint64_t now_ms,
	const char **refusal)
{
	struct hf_buffer text = {0};
	struct hf_slice signature;
	uint64_t issued_ms;
	int r = HF_EBADSIG;
	if (b->has_peer && is_of_age(consent, now_ms, &issued_ms) && hf_canonical_plain(consent, "signature", &signature) &&
		hf_canonical_hex(consent, "owner", relay->consent_owner, 32)) {
		r = write_consent(relay->key, b->peer, issued_ms, &text);
		if (r == HF_OK)
			r = hf_key_verify(signature, HF_SIGNED_CONSENT, hf_buffer_slice(&text), relay->consent_owner);
		hf_buffer_free(&text);
	}
	relay->has_consent = r == HF_OK;
	return r == HF_EBADSIG ? hf_registration_refuse(refusal, "consent-invalid", r) : r;
}

/* What stands in JSON as it is: no quote, no backslash, no control character. */
static bool is_key_text(struct hf_slice key)
{
	if (key.length == 0 || key.length > HF_REGISTRATION_KEY_BYTES_MAX)
		return false;
	for (size_t i = 0; i < key.length; i++)
		if (key.data[i] <= ' ' || key.data[i] == '"' || key.data[i] == '\\' || key.data[i] == 0x7f)
			return false;
	return true;
}

static int take_relay(struct hf_registration_body *b, struct hf_slice item, uint64_t now_ms, const char **refusal)
{
	struct hf_registration_relay *relay = &b->relays[b->relay_count++];
	struct hf_slice found;
	relay->entry = hf_canonical_is_object(item) ? item : HF_SLICE_LITERAL("{}");
	if (hf_canonical_is_string(item))
		relay->key = hf_slice(item.data + 1, item.length - 2);
	else if (!hf_canonical_plain(item, "relayKey", &relay->key))
		hf_canonical_plain(item, "identifier", &relay->key);
	if (!is_key_text(relay->key))
		return hf_registration_refuse(refusal, "malformed", HF_EMALFORMED);
	if (hf_canonical_member(relay->entry, "proof", &found)) {
		int r = check_proof(b, relay, found, now_ms);
		relay->has_proof = r == HF_OK;
		if (r < 0)
			return r == HF_ENOMEM ? r : hf_registration_refuse(refusal, "proof-invalid", HF_EBADSIG);
	}
	return hf_canonical_member(relay->entry, "consent", &found) ? check_consent(b, relay, found, now_ms, refusal) : HF_OK;
}

int hf_registration_take_relays(struct hf_registration_body *b, uint64_t now_ms, const char **refusal)
{
	struct hf_slice relays, item;
	size_t count = 0, cursor = 0;
	bool is_one = b->form == HF_REGISTRATION_SHARED;
	if (!is_one && (!hf_canonical_member(b->registration, "relays", &relays) || !hf_canonical_is_array(relays)))
		return hf_registration_refuse(refusal, "malformed", HF_EMALFORMED);
	while (!is_one && hf_canonical_next_item(relays, &cursor, &item))
		count++;
	if (count > HF_REGISTRATION_RELAY_COUNT_MAX)
		return hf_registration_refuse(refusal, "too-large", HF_ETOOBIG);
	b->relays = calloc(is_one || count == 0 ? 1 : count, sizeof *b->relays);
	if (!b->relays)
		return HF_ENOMEM;
	if (is_one)
		return take_relay(b, b->registration, now_ms, refusal);
	int r = HF_OK;
	for (cursor = 0; r == HF_OK && hf_canonical_next_item(relays, &cursor, &item);)
		r = take_relay(b, item, now_ms, refusal);
	return r;
}
