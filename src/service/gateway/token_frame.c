/* token_frame: what the holder of a token is told when it has ended, and who signs that from now on, signed so that nobody on the way can
 * say it. */
#include "service/gateway/tokens.h"

#include "codec/hex.h"

/* The frame; signature NULL: the text that is signed. */
static int write_frame(const char *gateway, struct hf_slice relay, struct hf_slice reason, uint64_t sequence, uint64_t now_ms,
	const char *signature, struct hf_buffer *out)
{
	int r = hf_buffer_printf(out, "[\"TOKEN\",\"REVOKED\",{\"gateway\":\"%s\",\"issuedAt\":%llu,\"reason\":", gateway,
		(unsigned long long)now_ms);
	if (r == HF_OK)
		r = hf_json_append_string(out, reason);
	if (r == HF_OK)
		r = hf_buffer_append_text(out, ",\"relay\":");
	if (r == HF_OK)
		r = hf_json_append_string(out, relay);
	if (r == HF_OK)
		r = hf_buffer_printf(out, ",\"sequence\":%llu", (unsigned long long)sequence);
	if (r == HF_OK && signature)
		r = hf_buffer_printf(out, ",\"signature\":\"%s\"", signature);
	return r == HF_OK ? hf_buffer_append_text(out, "}]") : r;
}

int hf_token_frame_make(const uint8_t signing_key[static HF_SIGN_SECRET_BYTES], struct hf_slice relay_key, struct hf_slice reason,
	uint64_t sequence, uint64_t now_ms, struct hf_buffer *out)
{
	struct hf_buffer text = {0};
	char gateway[65] = {0}, signature[HF_KEY_SIGNATURE_TEXT_BYTES + 1] = {0};
	hf_hex_encode(gateway, hf_sign_public_key(signing_key), 32);
	int r = write_frame(gateway, relay_key, reason, sequence, now_ms, NULL, &text);
	if (r == HF_OK)
		r = hf_key_sign(signature, HF_SIGNED_CONTROL, hf_buffer_slice(&text), signing_key);
	if (r == HF_OK)
		r = write_frame(gateway, relay_key, reason, sequence, now_ms, signature, out);
	hf_buffer_free(&text);
	return r;
}

int hf_signer_frame_make(const uint8_t signing_key[static HF_SIGN_SECRET_BYTES], const uint8_t next_key[static 32], uint64_t now_ms,
	struct hf_buffer *out)
{
	struct hf_buffer text = {0};
	char gateway[65] = {0}, next[65] = {0}, signature[HF_KEY_SIGNATURE_TEXT_BYTES + 1] = {0};
	hf_hex_encode(gateway, hf_sign_public_key(signing_key), 32);
	hf_hex_encode(next, next_key, 32);
	int r = hf_buffer_printf(&text, "[\"GATEWAY\",\"SIGNER\",{\"gateway\":\"%s\",\"issuedAt\":%llu,\"next\":\"%s\"}]", gateway,
		(unsigned long long)now_ms, next);
	if (r == HF_OK)
		r = hf_key_sign(signature, HF_SIGNED_CONTROL, hf_buffer_slice(&text), signing_key);
	if (r == HF_OK) /* without the end, "}]" */
		r = hf_buffer_printf(out, "%.*s,\"signature\":\"%s\"}]", (int)text.length - 2, (char *)text.data, signature);
	hf_buffer_free(&text);
	return r;
}

/* The canonical frame's object, if its first two items are these texts and there is no fourth. */
static bool find_body(struct hf_slice frame, const char *first, const char *second, struct hf_slice *body)
{
	struct hf_slice items[4], words[2];
	size_t cursor = 0, count = 0;
	while (count < 4 && hf_canonical_next_item(frame, &cursor, &items[count]))
		count++;
	*body = count == 3 ? items[2] : (struct hf_slice){0};
	for (size_t i = 0; i < 2 && count == 3; i++) {
		if (!hf_canonical_is_string(items[i]))
			return false;
		words[i] = hf_slice(items[i].data + 1, items[i].length - 2);
	}
	return count == 3 && hf_slice_equal(words[0], hf_slice_text(first)) && hf_slice_equal(words[1], hf_slice_text(second)) &&
		hf_canonical_is_object(*body);
}

/* Is its object signed by the gateway, which it names? HF_EMALFORMED, HF_EBADSIG, HF_ENOMEM. */
static int open_frame(struct hf_slice frame, const char *first, const char *second, const uint8_t gateway_key[static 32],
	struct hf_slice *body)
{
	static const char *const unsigned_part[] = {"signature", NULL};
	struct hf_buffer text = {0};
	struct hf_slice signature;
	uint8_t named[32];
	if (!find_body(frame, first, second, body) || !hf_canonical_plain(*body, "signature", &signature) ||
		!hf_canonical_hex(*body, "gateway", named, sizeof named))
		return HF_EMALFORMED;
	if (memcmp(named, gateway_key, sizeof named) != 0)
		return HF_EBADSIG;
	int r = hf_buffer_printf(&text, "[\"%s\",\"%s\",", first, second);
	if (r == HF_OK)
		r = hf_canonical_without(*body, unsigned_part, &text);
	if (r == HF_OK)
		r = hf_buffer_append_text(&text, "]");
	if (r == HF_OK)
		r = hf_key_verify(signature, HF_SIGNED_CONTROL, hf_buffer_slice(&text), gateway_key);
	hf_buffer_free(&text);
	return r;
}

int hf_token_frame_verify(struct hf_slice frame, const uint8_t gateway_key[static 32], uint64_t highest, uint64_t *sequence)
{
	struct hf_buffer canonical = {0};
	struct hf_slice body;
	int r = hf_canonical(frame, &canonical);
	if (r == HF_OK)
		r = open_frame(hf_buffer_slice(&canonical), "TOKEN", "REVOKED", gateway_key, &body);
	if (r == HF_OK && !hf_canonical_u64(body, "sequence", sequence))
		r = HF_EMALFORMED;
	hf_buffer_free(&canonical);
	return r == HF_OK && *sequence <= highest ? HF_EDUPLICATE : r;
}

int hf_signer_frame_verify(struct hf_slice frame, const uint8_t gateway_key[static 32], uint8_t next_key[static 32])
{
	struct hf_buffer canonical = {0};
	struct hf_slice body;
	int r = hf_canonical(frame, &canonical);
	if (r == HF_OK)
		r = open_frame(hf_buffer_slice(&canonical), "GATEWAY", "SIGNER", gateway_key, &body);
	if (r == HF_OK && !hf_canonical_hex(body, "next", next_key, 32))
		r = HF_EMALFORMED;
	hf_buffer_free(&canonical);
	return r;
}
