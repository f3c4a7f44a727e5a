/* fuzz_nip98: an Authorization field, and a request to hold it against. No mutation hits a right hash or base64 of a good event, so the
 * input is the event's JSON, whose id is put right, or after a 0 byte the field itself.
 * Covers: src/wire/nip98.c */
#include "fuzz.h"

#include "codec/base64.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "wire/nip98.h"

static struct hf_env env;
static struct hf_schnorr *schnorr;

static void look(struct hf_slice field)
{
	struct hf_nip98 nip98;
	struct hf_nip98_request request = {.method = HF_SLICE_LITERAL("GET"), .url = HF_SLICE_LITERAL("http://127.0.0.1:1/api/admin/stats")};
	const char *reason;
	if (hf_nip98_parse(&nip98, field) < 0)
		return;
	request.now_s = nip98.event.created_at;
	if (hf_nip98_check(&nip98, &request, &reason) == HF_OK)
		FUZZ_CHECK(nip98.event.kind == HF_NIP98_KIND);
	hf_event_find_tag(&nip98.event, "u", &request.url);
	hf_event_find_tag(&nip98.event, "method", &request.method);
	request.body = nip98.event.content;
	int r = hf_nip98_check(&nip98, &request, &reason);
	FUZZ_CHECK(r == HF_OK || reason != NULL);
	FUZZ_CHECK(hf_nip98_verify(&nip98, schnorr) <= HF_OK);
	hf_nip98_free(&nip98);
}

/* A field of the event, its id made its hash where it has one. */
static void look_at_event(struct hf_slice object)
{
	struct hf_buffer copy = {0}, text = {0}, field = {0};
	struct hf_json json;
	struct hf_event event = {0};
	const char *reason;
	uint8_t hash[32], wrong[64];
	FUZZ_CHECK(hf_buffer_append(&copy, object.data, object.length) == HF_OK);
	hf_json_init(&json, object, 8);
	if (hf_event_parse(&json, &text, HF_NIP98_FIELD_BYTES_MAX, &event, &reason) < 0 && text.length > 0) {
		hf_sha256(hash, hf_buffer_slice(&text));
		hf_hex_encode(wrong, event.id, 32);
		uint8_t *at = memmem(copy.data, copy.length, wrong, 64);
		if (at)
			hf_hex_encode(at, hash, 32);
	}
	FUZZ_CHECK(hf_buffer_append_text(&field, "Nostr ") == HF_OK);
	FUZZ_CHECK(hf_buffer_reserve(&field, HF_BASE64_ENCODED_BYTES(copy.length)) == HF_OK);
	field.length += hf_base64_encode(field.data + field.length, copy.data, copy.length);
	look(hf_buffer_slice(&field));
	hf_buffer_free(&copy);
	hf_buffer_free(&text);
	hf_buffer_free(&field);
}

/* What is signed for a URL is taken for it. */
static void sign(struct hf_slice url)
{
	static const uint8_t secret[32] = {[31] = 3};
	struct hf_buffer field = {0};
	struct hf_nip98 nip98;
	const char *reason;
	struct hf_nip98_request request = {.method = HF_SLICE_LITERAL("POST"), .url = url, .body = url, .now_s = 1700000000};
	if (url.length > 2000 || hf_nip98_make(&field, schnorr, secret, &request) < 0)
		return;
	FUZZ_CHECK(hf_nip98_parse(&nip98, hf_buffer_slice(&field)) == HF_OK);
	FUZZ_CHECK(hf_nip98_check(&nip98, &request, &reason) == HF_OK);
	FUZZ_CHECK(hf_nip98_verify(&nip98, schnorr) == HF_OK);
	hf_nip98_free(&nip98);
	hf_buffer_free(&field);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!schnorr) {
		hf_env_system(&env);
		FUZZ_CHECK(hf_schnorr_new(&schnorr, &env, 0) == HF_OK);
	}
	if (size > 0 && data[0] == 0)
		look(hf_slice(data + 1, size - 1));
	else if (size > 0 && data[0] == 'h')
		sign(hf_slice(data, size));
	else
		look_at_event(hf_slice(data, size));
	return 0;
}
