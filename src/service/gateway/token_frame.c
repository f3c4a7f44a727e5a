/* token_frame: what the holder of a token is told when it has ended, signed so that nobody on the way can say it. */
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

/* The canonical frame's object, if it is such a frame. */
static bool find_body(struct hf_slice frame, struct hf_slice *body)
{
	struct hf_slice items[4];
	size_t cursor = 0, count = 0;
	while (count < 4 && hf_canonical_next_item(frame, &cursor, &items[count]))
		count++;
	*body = count == 3 ? items[2] : (struct hf_slice){0};
	return count == 3 && hf_slice_equal(items[0], HF_SLICE_LITERAL("\"TOKEN\"")) && hf_slice_equal(items[1],
		HF_SLICE_LITERAL("\"REVOKED\"")) &&
		hf_canonical_is_object(*body);
}

static int verify_canonical(struct hf_slice frame, const uint8_t gateway_key[static 32], uint64_t highest, uint64_t *sequence)
{
	static const char *const unsigned_part[] = {"signature", NULL};
	struct hf_buffer text = {0};
	struct hf_slice body, signature;
	uint8_t named[32];
	if (!find_body(frame, &body) || !hf_canonical_u64(body, "sequence", sequence) || !hf_canonical_plain(body, "signature", &signature) ||
		!hf_canonical_hex(body, "gateway", named, sizeof named))
		return HF_EMALFORMED;
	if (memcmp(named, gateway_key, sizeof named) != 0)
		return HF_EBADSIG;
	int r = hf_buffer_append_text(&text, "[\"TOKEN\",\"REVOKED\",");
	if (r == HF_OK)
		r = hf_canonical_without(body, unsigned_part, &text);
	if (r == HF_OK)
		r = hf_buffer_append_text(&text, "]");
	if (r == HF_OK)
		r = hf_key_verify(signature, HF_SIGNED_CONTROL, hf_buffer_slice(&text), gateway_key);
	hf_buffer_free(&text);
	return r == HF_OK && *sequence <= highest ? HF_EDUPLICATE : r;
}

int hf_token_frame_verify(struct hf_slice frame, const uint8_t gateway_key[static 32], uint64_t highest, uint64_t *sequence)
{
	struct hf_buffer canonical = {0};
	int r = hf_canonical(frame, &canonical);
	if (r == HF_OK)
		r = verify_canonical(hf_buffer_slice(&canonical), gateway_key, highest, sequence);
	hf_buffer_free(&canonical);
	return r;
}
