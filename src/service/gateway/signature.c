/* signature: HMAC and Ed25519 around canonical text, and the two parts of a client token. */
#include "service/gateway/signature.h"

#include "codec/base64.h"
#include "codec/hex.h"
#include "crypto/hash.h"

void hf_scheme_a_sign(char out[static HF_SCHEME_A_BYTES], struct hf_slice secret, struct hf_slice canonical)
{
	uint8_t mac[HF_SHA256_BYTES];
	hf_hmac_sha256(mac, secret, canonical);
	hf_hex_encode(out, mac, sizeof mac);
}

bool hf_scheme_a_verify(struct hf_slice signature, struct hf_slice secret, struct hf_slice canonical)
{
	char expected[HF_SCHEME_A_BYTES];
	if (secret.length == 0 || signature.length != sizeof expected)
		return false;
	hf_scheme_a_sign(expected, secret, canonical);
	return hf_bytes_equal_secret(expected, signature.data, sizeof expected);
}

/* ---- Keys ---- */

static int join(const char *purpose, struct hf_slice message, struct hf_buffer *out)
{
	int r = hf_buffer_append_text(out, purpose);
	return r == HF_OK ? hf_buffer_append(out, message.data, message.length) : r;
}

int hf_key_sign(char out[static HF_KEY_SIGNATURE_TEXT_BYTES], const char *purpose, struct hf_slice message,
	const uint8_t secret_key[static HF_SIGN_SECRET_BYTES])
{
	struct hf_buffer signed_text = {0};
	uint8_t signature[HF_SIGN_SIGNATURE_BYTES];
	int r = join(purpose, message, &signed_text);
	if (r == HF_OK) {
		hf_sign(signature, hf_buffer_slice(&signed_text), secret_key);
		hf_hex_encode(out, signature, sizeof signature);
	}
	hf_buffer_free(&signed_text);
	return r;
}

int hf_key_verify(struct hf_slice signature, const char *purpose, struct hf_slice message,
	const uint8_t public_key[static HF_SIGN_PUBLIC_BYTES])
{
	struct hf_buffer signed_text = {0};
	uint8_t bytes[HF_SIGN_SIGNATURE_BYTES];
	if (signature.length != HF_KEY_SIGNATURE_TEXT_BYTES || !hf_hex_decode(bytes, signature.data, sizeof bytes))
		return HF_EBADSIG;
	int r = join(purpose, message, &signed_text);
	if (r == HF_OK)
		r = hf_verify(bytes, hf_buffer_slice(&signed_text), public_key);
	hf_buffer_free(&signed_text);
	return r;
}

/* ---- Client tokens: base64url without padding, by way of the standard alphabet ---- */

static void to_url(uint8_t *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
}

/* False for characters that only the standard alphabet has. */
static bool from_url(uint8_t *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '+' || text[i] == '/' || text[i] == '=')
			return false;
		text[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	}
	return true;
}

int hf_client_token_make(struct hf_slice payload, struct hf_slice secret, struct hf_buffer *out)
{
	size_t encoded = HF_BASE64_ENCODED_BYTES(payload.length);
	if (encoded + 1 + HF_SCHEME_A_BYTES > HF_CLIENT_TOKEN_BYTES_MAX)
		return HF_ETOOBIG;
	if (hf_buffer_reserve(out, encoded + 1 + HF_SCHEME_A_BYTES) < 0)
		return HF_ENOMEM;
	uint8_t *text = out->data + out->length;
	hf_base64_encode(text, payload.data, payload.length);
	while (encoded > 0 && text[encoded - 1] == '=')
		encoded--;
	to_url(text, encoded);
	text[encoded] = '.';
	hf_scheme_a_sign((char *)text + encoded + 1, secret, payload);
	out->length += encoded + 1 + HF_SCHEME_A_BYTES;
	return HF_OK;
}

static int decode_payload(struct hf_slice part, struct hf_buffer *out)
{
	uint8_t padded[HF_CLIENT_TOKEN_BYTES_MAX + 4];
	size_t length = part.length;
	if (length % 4 == 1)
		return HF_EMALFORMED;
	memcpy(padded, part.data, length);
	if (!from_url(padded, length))
		return HF_EMALFORMED;
	while (length % 4 != 0)
		padded[length++] = '=';
	if (hf_buffer_reserve(out, HF_BASE64_DECODED_BYTES_MAX(length)) < 0)
		return HF_ENOMEM;
	size_t decoded;
	if (!hf_base64_decode(out->data + out->length, padded, length, &decoded))
		return HF_EMALFORMED;
	out->length += decoded;
	return HF_OK;
}

/* The HMAC is over the bytes as they were sent; what is given back is their canonical text, of which nothing can be wrong. */
int hf_client_token_open(struct hf_slice token, struct hf_slice secret, struct hf_buffer *payload)
{
	struct hf_buffer sent = {0};
	if (token.length > HF_CLIENT_TOKEN_BYTES_MAX)
		return HF_ETOOBIG;
	if (token.length < HF_SCHEME_A_BYTES + 2 || token.data[token.length - HF_SCHEME_A_BYTES - 1] != '.')
		return HF_EMALFORMED;
	struct hf_slice part = hf_slice(token.data, token.length - HF_SCHEME_A_BYTES - 1);
	int r = decode_payload(part, &sent);
	if (r == HF_OK && !hf_scheme_a_verify(hf_slice(part.data + part.length + 1, HF_SCHEME_A_BYTES), secret, hf_buffer_slice(&sent)))
		r = HF_EBADSIG;
	if (r == HF_OK)
		r = hf_canonical(hf_buffer_slice(&sent), payload);
	hf_buffer_free(&sent);
	return r;
}
