/* Bodies are objects of a few members; each is looked for by its name, the last of a name counts, and others are skipped. Whoever answers
 * a challenge knows its text, so the host makes the ciphertext that it expects and compares: there is no padding to be probed. */
#include "service/worker/join_message.h"

#include "codec/base64.h"
#include "codec/hex.h"
#include "crypto/hash.h"

#define EVENT_DEPTH_MAX 8
#define CIPHER_NAME "aes-256-cbc"

/* ---- Members ---- */

struct member {
	const char *name;
	struct hf_slice value; /* its JSON text; data NULL: it is not there */
};

static void note(struct member *members, size_t count, struct hf_slice name, struct hf_slice value)
{
	for (size_t i = 0; i < count; i++)
		if (hf_slice_equal(name, hf_slice_text(members[i].name)))
			members[i].value = value;
}

static int read_members(struct hf_slice body, struct member *members, size_t count)
{
	struct hf_json json;
	struct hf_json_token token;
	if (body.length > HF_JOIN_BODY_BYTES_MAX)
		return HF_ETOOBIG;
	hf_json_init(&json, body, HF_JSON_DEPTH_MAX);
	int r = hf_json_next(&json, &token);
	if (r == HF_OK && token.type != HF_JSON_OBJECT)
		r = HF_EMALFORMED;
	while (r == HF_OK && (r = hf_json_next(&json, &token)) == HF_OK && token.type != HF_JSON_OBJECT_END) {
		struct hf_slice name = token.raw;
		r = hf_json_open_value(&json);
		const uint8_t *from = json.at;
		if (r == HF_OK)
			r = hf_json_skip(&json);
		if (r == HF_OK)
			note(members, count, name, hf_slice(from, (size_t)(json.at - from)));
	}
	return r == HF_OK ? hf_json_next(&json, &token) : r; /* nothing may follow */
}

/* The inside of a string, or nothing. */
static struct hf_slice string_of(const struct member *m)
{
	bool is_string = m->value.length >= 2 && m->value.data[0] == '"';
	return is_string ? hf_slice(m->value.data + 1, m->value.length - 2) : hf_slice(NULL, 0);
}

static bool read_key(const struct member *m, uint8_t key[static 32])
{
	struct hf_slice text = string_of(m);
	return text.length == 64 && hf_hex_decode(key, text.data, 32);
}

static bool read_base64(const struct member *m, uint8_t *out, size_t length)
{
	uint8_t bytes[HF_JOIN_CIPHERTEXT_BYTES + 4];
	struct hf_slice text = string_of(m);
	size_t decoded = 0;
	bool is_right = text.length == HF_BASE64_ENCODED_BYTES(length) && hf_base64_decode(bytes, text.data, text.length, &decoded) &&
		decoded == length;
	if (is_right)
		memcpy(out, bytes, length);
	return is_right;
}

static bool read_text(const struct member *m, char out[static HF_JOIN_TEXT_BYTES_MAX])
{
	struct hf_slice text = string_of(m);
	out[0] = '\0';
	if (text.length >= HF_JOIN_TEXT_BYTES_MAX)
		return false;
	size_t length = text.length > 0 ? hf_json_unescape(text, (uint8_t *)out) : 0;
	out[length] = '\0';
	for (size_t i = 0; i < length; i++)
		if ((uint8_t)out[i] < 0x20 || out[i] == 0x7f)
			return false;
	return true;
}

/* ---- The host's side ---- */

int hf_join_request_parse(struct hf_join_request *out, struct hf_slice body, const char **refusal)
{
	struct member event = {"event", {0}};
	struct hf_json json;
	const char *reason;
	*out = (struct hf_join_request){0};
	*refusal = "Missing required fields";
	int r = read_members(body, &event, 1);
	if (r < 0 || event.value.length == 0 || event.value.data[0] != '{')
		return r < 0 ? r : HF_EINVAL;
	*refusal = "Invalid event";
	hf_json_init(&json, event.value, EVENT_DEPTH_MAX);
	r = hf_event_parse(&json, &out->text, HF_JOIN_BODY_BYTES_MAX, &out->event, &reason);
	if (r < 0)
		return r;
	*refusal = "Invalid event kind";
	return out->event.kind == HF_JOIN_KIND ? HF_OK : HF_EINVAL;
}

void hf_join_request_free(struct hf_join_request *request)
{
	hf_buffer_free(&request->text);
}

int hf_join_proof_parse(struct hf_join_proof *out, struct hf_slice body)
{
	struct member m[] = {{"pubkey", {0}}, {"ciphertext", {0}}, {"iv", {0}}};
	*out = (struct hf_join_proof){0};
	int r = read_members(body, m, 3);
	if (r < 0)
		return r == HF_ETOOBIG ? r : HF_EINVAL;
	if (!read_key(&m[0], out->pubkey) || string_of(&m[1]).length == 0 || string_of(&m[2]).length == 0)
		return HF_EINVAL;
	bool has_text = read_base64(&m[1], out->ciphertext, sizeof out->ciphertext), has_iv = read_base64(&m[2], out->iv, sizeof out->iv);
	out->is_right = has_text && has_iv;
	return HF_OK;
}

/* What is encrypted. */
static void write_text(char out[static HF_CHALLENGE_TEXT_BYTES], enum hf_cbc_cipher cipher,
	const char challenge[static HF_CHALLENGE_TEXT_BYTES], const uint8_t host[static 32])
{
	struct hf_blake2b hash;
	uint8_t bound[32];
	memcpy(out, challenge, HF_CHALLENGE_TEXT_BYTES);
	if (cipher != HF_CBC_AES_256)
		return;
	hf_blake2b_init(&hash, sizeof bound, (struct hf_slice){0});
	hf_blake2b_update(&hash, challenge, HF_CHALLENGE_TEXT_BYTES - 1);
	hf_blake2b_update(&hash, host, 32);
	hf_blake2b_final(&hash, bound, sizeof bound);
	hf_hex_encode(out, bound, sizeof bound);
}

bool hf_join_proof_meets(const struct hf_join_proof *proof, const char challenge[static HF_CHALLENGE_TEXT_BYTES],
	const uint8_t key[static HF_CBC_KEY_BYTES], const uint8_t host[static 32], bool accepts_variant)
{
	static const enum hf_cbc_cipher ciphers[] = {HF_CBC_HYPERTUNA, HF_CBC_AES_256};
	uint8_t expected[HF_JOIN_CIPHERTEXT_BYTES];
	bool is_met = false;
	for (size_t i = 0; i < sizeof ciphers / sizeof *ciphers; i++) {
		char text[HF_CHALLENGE_TEXT_BYTES];
		write_text(text, ciphers[i], challenge, host);
		hf_cbc_encrypt(expected, ciphers[i], key, proof->iv, hf_slice(text, sizeof text - 1));
		bool is_same = hf_bytes_equal_secret(expected, proof->ciphertext, sizeof expected);
		is_met |= is_same & (accepts_variant | (ciphers[i] == HF_CBC_AES_256));
	}
	return is_met && proof->is_right;
}

/* ---- The joiner's side ---- */

int hf_join_request_make(struct hf_slice event, struct hf_buffer *out)
{
	int r = hf_buffer_append_text(out, "{\"event\":");
	if (r == HF_OK)
		r = hf_buffer_append(out, event.data, event.length);
	return r == HF_OK ? hf_buffer_append_text(out, "}") : r;
}

int hf_join_answer_parse(struct hf_join_answer *out, struct hf_slice body)
{
	struct member m[] = {{"status", {0}}, {"challenge", {0}}, {"relayPubkey", {0}}, {"cipher", {0}}};
	uint8_t bytes[HF_CHALLENGE_BYTES];
	*out = (struct hf_join_answer){0};
	int r = read_members(body, m, 4);
	if (r < 0)
		return r;
	struct hf_slice challenge = string_of(&m[1]);
	out->is_pending = challenge.length == 0 && hf_slice_equal(string_of(&m[0]), HF_SLICE_LITERAL("pending"));
	if (out->is_pending)
		return HF_OK;
	if (challenge.length != sizeof out->challenge - 1 || !hf_hex_decode(bytes, challenge.data, sizeof bytes) ||
		!read_key(&m[2], out->relay_pubkey))
		return HF_EMALFORMED;
	memcpy(out->challenge, challenge.data, challenge.length);
	out->cipher = m[3].value.data ? HF_CBC_AES_256 : HF_CBC_HYPERTUNA;
	return !m[3].value.data || hf_slice_equal(string_of(&m[3]), HF_SLICE_LITERAL(CIPHER_NAME)) ? HF_OK : HF_EVERSION;
}

int hf_join_proof_make(const struct hf_join_answer *answer, const uint8_t pubkey[static 32], const uint8_t key[static HF_CBC_KEY_BYTES],
	const uint8_t iv[static HF_CBC_BLOCK_BYTES], const uint8_t host[static 32], struct hf_buffer *out)
{
	uint8_t bytes[HF_JOIN_CIPHERTEXT_BYTES];
	char text[HF_CHALLENGE_TEXT_BYTES], pubkey_text[65] = {0};
	char ciphertext[HF_BASE64_ENCODED_BYTES(sizeof bytes) + 1] = {0}, iv_text[HF_BASE64_ENCODED_BYTES(16) + 1] = {0};
	write_text(text, answer->cipher, answer->challenge, host);
	hf_cbc_encrypt(bytes, answer->cipher, key, iv, hf_slice(text, sizeof text - 1));
	hf_hex_encode(pubkey_text, pubkey, 32);
	hf_base64_encode(ciphertext, bytes, sizeof bytes);
	hf_base64_encode(iv_text, iv, HF_CBC_BLOCK_BYTES);
	return hf_buffer_printf(out, "{\"pubkey\":\"%s\",\"ciphertext\":\"%s\",\"iv\":\"%s\"}", pubkey_text, ciphertext, iv_text);
}

int hf_join_membership_parse(struct hf_join_membership *out, struct hf_slice body)
{
	struct member m[] = {{"success", {0}}, {"relayKey", {0}}, {"publicIdentifier", {0}}, {"authToken", {0}}, {"relayUrl", {0}}};
	*out = (struct hf_join_membership){0};
	int r = read_members(body, m, 5);
	if (r < 0)
		return r;
	bool is_whole = hf_slice_equal(m[0].value, HF_SLICE_LITERAL("true")) && read_key(&m[1], out->relay_key) &&
		read_text(&m[2], out->identifier) && read_text(&m[3], out->token) && read_text(&m[4], out->url);
	return is_whole && out->token[0] ? HF_OK : HF_EMALFORMED;
}

void hf_join_error_parse(char out[static HF_JOIN_TEXT_BYTES_MAX], struct hf_slice body)
{
	struct member error = {"error", {0}};
	out[0] = '\0';
	if (read_members(body, &error, 1) < 0 || !read_text(&error, out))
		out[0] = '\0';
}
