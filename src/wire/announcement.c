/* One table of fields serves reading, writing and the text that is signed, as all three go by the same order. */
#include "wire/announcement.h"

#include <stddef.h>

#include "base/utf8.h"
#include "codec/compact.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "crypto/hash.h"

#define EXTENSION_NAME "holdfast/1"
#define SUCCESSION_NAME "holdfast-gateway-succession-v1"
#define SEAL_NAME "holdfast-announcement-v1"

enum field_type { KEY, OPTIONAL_KEY, UINT, BOOL, NAME, URL, SIGNATURE };

struct field {
	const char *name; /* in the signed text; NULL: it is not in it */
	enum field_type type;
	size_t offset;
	size_t flag;      /* of optional keys: whether there is one */
};

#define AT(member) offsetof(struct hf_announcement, member)

static const struct field fields[] = {
	{"gatewayId", KEY, AT(gateway_key), 0},
	{"timestamp", UINT, AT(timestamp_ms), 0},
	{"ttl", UINT, AT(ttl_s), 0},
	{"publicUrl", URL, AT(public_url), 0},
	{"wsUrl", URL, AT(ws_url), 0},
	{"secretUrl", URL, AT(secret_url), 0},
	{"secretHash", NAME, AT(secret_hash), 0},
	{"openAccess", BOOL, AT(is_open), 0},
	{"sharedSecretVersion", NAME, AT(secret_version), 0},
	{"displayName", NAME, AT(display_name), 0},
	{"region", NAME, AT(region), 0},
	{"protocolVersion", UINT, AT(protocol_version), 0},
	{NULL, SIGNATURE, AT(signature), 0},
	{NULL, KEY, AT(signature_key), 0},
	/* From here on only if bytes remain, and signed only if they say something. */
	{"relayKey", OPTIONAL_KEY, AT(relay_key), AT(has_relay_key)},
	{"relayDiscoveryKey", OPTIONAL_KEY, AT(relay_discovery_key), AT(has_relay_discovery_key)},
	{"relayReplicationTopic", NAME, AT(replication_topic), 0},
	{"relayTokenTtl", UINT, AT(token_ttl_s), 0},
	{"relayTokenRefreshWindow", UINT, AT(token_refresh_window_s), 0},
	{"dispatcherMaxConcurrent", UINT, AT(max_concurrent), 0},
	{"dispatcherInFlightWeight", UINT, AT(in_flight_weight), 0},
	{"dispatcherLatencyWeight", UINT, AT(latency_weight), 0},
	{"dispatcherFailureWeight", UINT, AT(failure_weight), 0},
	{"dispatcherReassignLagBlocks", UINT, AT(reassign_lag_blocks), 0},
	{"dispatcherCircuitBreakerThreshold", UINT, AT(breaker_threshold), 0},
	{"dispatcherCircuitBreakerTimeoutMs", UINT, AT(breaker_timeout_ms), 0},
};
#define FIELD_COUNT (sizeof fields / sizeof *fields)
#define TAIL_AT 14u

/* ---- Reading ---- */

static bool is_text(struct hf_slice text)
{
	if (!hf_utf8_valid(text.data, text.length))
		return false;
	for (size_t i = 0; i < text.length; i++) {
		uint8_t c = text.data[i], before = i > 0 ? text.data[i - 1] : 0;
		if (c < 0x20 || c == 0x7f || (before == 0xc2 && c < 0xa0)) /* the last: U+0080 to U+009F */
			return false;
	}
	return true;
}

static void read_text(struct hf_compact_reader *in, char *out, size_t bytes_max)
{
	struct hf_slice text = hf_compact_read_buffer(in);
	if (text.length > bytes_max)
		hf_compact_fail(in, HF_ETOOBIG);
	else if (in->status == HF_OK && !is_text(text))
		hf_compact_fail(in, HF_EMALFORMED);
	if (in->status != HF_OK)
		return;
	memcpy(out, text.data, text.length);
	out[text.length] = '\0';
}

/* flag: NULL where there has to be something. */
static void read_hex(struct hf_compact_reader *in, uint8_t *out, size_t length, bool *flag)
{
	struct hf_slice text = hf_compact_read_buffer(in);
	if (flag && text.length == 0)
		return;
	if (in->status == HF_OK && (text.length != 2 * length || !hf_hex_decode(out, text.data, length)))
		hf_compact_fail(in, HF_EMALFORMED);
	if (flag)
		*flag = in->status == HF_OK;
}

static void read_field(struct hf_compact_reader *in, const struct field *field, struct hf_announcement *a)
{
	uint8_t *at = (uint8_t *)a + field->offset;
	uint64_t number;
	bool truth;
	switch (field->type) {
	case KEY: read_hex(in, at, HF_SIGN_PUBLIC_BYTES, NULL); break;
	case OPTIONAL_KEY: read_hex(in, at, HF_SIGN_PUBLIC_BYTES, (bool *)((uint8_t *)a + field->flag)); break;
	case SIGNATURE: read_hex(in, at, HF_SIGN_SIGNATURE_BYTES, NULL); break;
	case NAME: read_text(in, (char *)at, HF_ANNOUNCEMENT_NAME_BYTES_MAX); break;
	case URL: read_text(in, (char *)at, HF_ANNOUNCEMENT_URL_BYTES_MAX); break;
	case UINT:
		number = hf_compact_read_uint(in);
		memcpy(at, &number, sizeof number);
		break;
	case BOOL:
		truth = hf_compact_read_bool(in);
		memcpy(at, &truth, sizeof truth);
		break;
	}
}

static void hash_sealed(uint8_t out[static 32], struct hf_slice bytes)
{
	hf_blake2b(out, 32, HF_SLICE_LITERAL(SEAL_NAME), bytes);
}

static void read_extension(struct hf_compact_reader *in, struct hf_slice all, struct hf_announcement *a)
{
	hf_compact_read_buffer(in);
	a->has_extension = true;
	a->predecessor_count = hf_compact_read_count(in, HF_ANNOUNCEMENT_PREDECESSOR_COUNT_MAX,
		HF_SIGN_PUBLIC_BYTES + 1 + HF_SIGN_SIGNATURE_BYTES);
	for (size_t i = 0; in->status == HF_OK && i < a->predecessor_count; i++) {
		struct hf_announcement_predecessor *p = &a->predecessors[i];
		const uint8_t *key = hf_compact_read_fixed(in, sizeof p->key);
		p->since_ms = hf_compact_read_uint(in);
		const uint8_t *signature = hf_compact_read_fixed(in, sizeof p->signature);
		if (in->status != HF_OK)
			return;
		memcpy(p->key, key, sizeof p->key);
		memcpy(p->signature, signature, sizeof p->signature);
	}
	hash_sealed(a->sealed, hf_slice(all.data, in->status == HF_OK ? (size_t)(in->at - all.data) : 0));
	const uint8_t *seal = hf_compact_read_fixed(in, sizeof a->seal);
	if (seal)
		memcpy(a->seal, seal, sizeof a->seal);
}

/* What others may write there is no concern of ours. */
static bool is_extension(const struct hf_compact_reader *in)
{
	static const char name[] = "\x0a" EXTENSION_NAME;
	return hf_compact_left(in) >= sizeof name - 1 && memcmp(in->at, name, sizeof name - 1) == 0;
}

int hf_announcement_decode(struct hf_slice bytes, struct hf_announcement *announcement)
{
	struct hf_compact_reader in = hf_compact_reader(bytes);
	*announcement = (struct hf_announcement){0};
	if (bytes.length > HF_ANNOUNCEMENT_BYTES_MAX)
		return HF_ETOOBIG;
	for (size_t i = 0; i < FIELD_COUNT && in.status == HF_OK; i++)
		if (i < TAIL_AT || hf_compact_left(&in) > 0)
			read_field(&in, &fields[i], announcement);
	if (in.status == HF_OK && is_extension(&in))
		read_extension(&in, bytes, announcement);
	return in.status;
}

/* ---- Writing ---- */

static void write_hex(struct hf_compact_writer *out, const void *bytes, size_t length)
{
	char text[2 * HF_SIGN_SIGNATURE_BYTES];
	hf_hex_encode(text, bytes, length);
	hf_compact_write_buffer(out, hf_slice(text, 2 * length));
}

static uint64_t number_of(const struct hf_announcement *a, const struct field *field)
{
	uint64_t number;
	memcpy(&number, (const uint8_t *)a + field->offset, sizeof number);
	return field->offset == AT(protocol_version) && number == 0 ? 1 : number;
}

static bool flag_of(const struct hf_announcement *a, size_t offset)
{
	return *(const bool *)((const uint8_t *)a + offset);
}

static void write_field(struct hf_compact_writer *out, const struct field *field, const struct hf_announcement *a)
{
	const uint8_t *at = (const uint8_t *)a + field->offset;
	switch (field->type) {
	case KEY: write_hex(out, at, HF_SIGN_PUBLIC_BYTES); break;
	case OPTIONAL_KEY: write_hex(out, at, flag_of(a, field->flag) ? HF_SIGN_PUBLIC_BYTES : 0); break;
	case SIGNATURE: write_hex(out, at, HF_SIGN_SIGNATURE_BYTES); break;
	case NAME:
	case URL: hf_compact_write_buffer(out, hf_slice_text((const char *)at)); break;
	case UINT: hf_compact_write_uint(out, number_of(a, field)); break;
	case BOOL: hf_compact_write_bool(out, flag_of(a, field->offset)); break;
	}
}

/* All but the seal. */
static int encode_open(const struct hf_announcement *a, struct hf_buffer *out)
{
	struct hf_compact_writer writer = hf_compact_writer(out);
	for (size_t i = 0; i < FIELD_COUNT; i++)
		write_field(&writer, &fields[i], a);
	if (!a->has_extension)
		return writer.status;
	hf_compact_write_buffer(&writer, HF_SLICE_LITERAL(EXTENSION_NAME));
	hf_compact_write_uint(&writer, a->predecessor_count);
	for (size_t i = 0; i < a->predecessor_count; i++) {
		hf_compact_write_fixed(&writer, a->predecessors[i].key, sizeof a->predecessors[i].key);
		hf_compact_write_uint(&writer, a->predecessors[i].since_ms);
		hf_compact_write_fixed(&writer, a->predecessors[i].signature, sizeof a->predecessors[i].signature);
	}
	return writer.status;
}

int hf_announcement_encode(const struct hf_announcement *a, struct hf_buffer *out)
{
	int r = encode_open(a, out);
	return r == HF_OK && a->has_extension ? hf_buffer_append(out, a->seal, sizeof a->seal) : r;
}

/* ---- What is signed ---- */

static bool says_something(const struct hf_announcement *a, const struct field *field)
{
	switch (field->type) {
	case OPTIONAL_KEY: return flag_of(a, field->flag);
	case UINT: return number_of(a, field) != 0;
	default: return ((const char *)a + field->offset)[0] != '\0';
	}
}

static int put_value(const struct hf_announcement *a, const struct field *field, struct hf_buffer *out)
{
	char hex[2 * HF_SIGN_PUBLIC_BYTES];
	switch (field->type) {
	case UINT: return hf_buffer_printf(out, "%llu", (unsigned long long)number_of(a, field));
	case BOOL: return hf_buffer_append_text(out, flag_of(a, field->offset) ? "true" : "false");
	case KEY:
	case OPTIONAL_KEY:
		hf_hex_encode(hex, (const uint8_t *)a + field->offset, HF_SIGN_PUBLIC_BYTES);
		return hf_json_append_string(out, hf_slice(hex, sizeof hex));
	default: return hf_json_append_string(out, hf_slice_text((const char *)a + field->offset));
	}
}

int hf_announcement_signed_text(const struct hf_announcement *a, struct hf_buffer *out)
{
	int r = hf_buffer_append_text(out, "{");
	for (size_t i = 0; r == HF_OK && i < FIELD_COUNT; i++) {
		if (!fields[i].name || (i >= TAIL_AT && !says_something(a, &fields[i])))
			continue;
		r = hf_buffer_printf(out, "%s\"%s\":", i > 0 ? "," : "", fields[i].name);
		if (r == HF_OK)
			r = put_value(a, &fields[i], out);
	}
	return r == HF_OK ? hf_buffer_append_text(out, "}") : r;
}

#define SUCCESSION_BYTES (sizeof SUCCESSION_NAME - 1 + 2 * HF_SIGN_PUBLIC_BYTES + sizeof(uint64_t))

static void write_succession(uint8_t out[static SUCCESSION_BYTES], const uint8_t old_key[static 32], const uint8_t new_key[static 32],
	uint64_t since_ms)
{
	memcpy(out, SUCCESSION_NAME, sizeof SUCCESSION_NAME - 1);
	out += sizeof SUCCESSION_NAME - 1;
	memcpy(out, old_key, 32);
	memcpy(out + 32, new_key, 32);
	for (size_t i = 0; i < sizeof since_ms; i++)
		out[64 + i] = (uint8_t)(since_ms >> (8 * i));
}

int hf_announcement_add_predecessor(struct hf_announcement *a, const uint8_t old_secret[static HF_SIGN_SECRET_BYTES],
	const uint8_t new_key[static HF_SIGN_PUBLIC_BYTES], uint64_t since_ms)
{
	uint8_t text[SUCCESSION_BYTES];
	if (a->predecessor_count == HF_ANNOUNCEMENT_PREDECESSOR_COUNT_MAX)
		return HF_ETOOBIG;
	struct hf_announcement_predecessor *p = &a->predecessors[a->predecessor_count++];
	a->has_extension = true;
	memcpy(p->key, hf_sign_public_key(old_secret), sizeof p->key);
	p->since_ms = since_ms;
	write_succession(text, p->key, new_key, since_ms);
	hf_sign(p->signature, hf_slice(text, sizeof text), old_secret);
	return HF_OK;
}

int hf_announcement_sign(struct hf_announcement *a, const uint8_t secret_key[static HF_SIGN_SECRET_BYTES])
{
	struct hf_buffer text = {0};
	memcpy(a->gateway_key, hf_sign_public_key(secret_key), sizeof a->gateway_key);
	memcpy(a->signature_key, a->gateway_key, sizeof a->signature_key);
	int r = hf_announcement_signed_text(a, &text);
	if (r == HF_OK)
		hf_sign(a->signature, hf_buffer_slice(&text), secret_key);
	hf_buffer_clear(&text);
	if (r == HF_OK && a->has_extension)
		r = encode_open(a, &text);
	if (r == HF_OK && a->has_extension) {
		hash_sealed(a->sealed, hf_buffer_slice(&text));
		hf_sign(a->seal, hf_slice(a->sealed, sizeof a->sealed), secret_key);
	}
	hf_buffer_free(&text);
	return r;
}

/* ---- What is believed ---- */

const char *hf_announcement_refusal_name(enum hf_announcement_refusal refusal)
{
	static const char *const names[HF_ANNOUNCEMENT_REFUSAL_COUNT] = {"taken", "size", "malformed", "keys", "signature", "ttl", "expired",
		"future", "url", "stale", "slow", "memory"};
	return (unsigned)refusal < HF_ANNOUNCEMENT_REFUSAL_COUNT ? names[refusal] : NULL;
}

bool hf_announcement_url_is_good(const char *url, bool is_ws)
{
	static const char *const schemes[2][2] = {{"https://", "http://"}, {"wss://", "ws://"}};
	for (size_t i = 0; i < 2; i++) {
		size_t length = strlen(schemes[is_ws][i]);
		if (strncmp(url, schemes[is_ws][i], length) != 0)
			continue;
		const char *rest = url + length;
		for (const char *at = rest; *at; at++)
			if (*at <= ' ' || *at > '~' || strchr("\"'<>\\^`{|}@$;", *at))
				return false;
		return strcspn(rest, "/?#:") > 0;
	}
	return false;
}

static enum hf_announcement_refusal check_signatures(const struct hf_announcement *a)
{
	struct hf_buffer text = {0};
	int r = hf_announcement_signed_text(a, &text);
	if (r == HF_OK)
		r = hf_verify(a->signature, hf_buffer_slice(&text), a->signature_key);
	hf_buffer_free(&text);
	if (r == HF_OK && a->has_extension)
		r = hf_verify(a->seal, hf_slice(a->sealed, sizeof a->sealed), a->gateway_key);
	return r == HF_OK ? HF_ANNOUNCEMENT_TAKEN : r == HF_ENOMEM ? HF_ANNOUNCEMENT_UNCHECKED : HF_ANNOUNCEMENT_BAD_SIGNATURE;
}

enum hf_announcement_refusal hf_announcement_check(const struct hf_announcement *a, uint64_t now_ms, bool takes_foreign_key)
{
	if (!takes_foreign_key && memcmp(a->gateway_key, a->signature_key, sizeof a->gateway_key) != 0)
		return HF_ANNOUNCEMENT_KEYS_DIFFER;
	enum hf_announcement_refusal refusal = check_signatures(a);
	if (refusal != HF_ANNOUNCEMENT_TAKEN)
		return refusal;
	if (a->ttl_s == 0 || a->ttl_s > HF_ANNOUNCEMENT_TTL_S_MAX)
		return HF_ANNOUNCEMENT_BAD_TTL;
	if (a->timestamp_ms > now_ms + HF_ANNOUNCEMENT_SKEW_MS)
		return HF_ANNOUNCEMENT_FROM_FUTURE;
	if (hf_announcement_expiry_ms(a) + HF_ANNOUNCEMENT_SKEW_MS < now_ms)
		return HF_ANNOUNCEMENT_EXPIRED;
	bool is_good = hf_announcement_url_is_good(a->ws_url, true) && (!a->public_url[0] || hf_announcement_url_is_good(a->public_url, false))
		&& (!a->secret_url[0] || hf_announcement_url_is_good(a->secret_url, false));
	return is_good ? HF_ANNOUNCEMENT_TAKEN : HF_ANNOUNCEMENT_BAD_URL;
}

bool hf_announcement_succeeds(const struct hf_announcement *a, const uint8_t key[static HF_SIGN_PUBLIC_BYTES], uint64_t *since_ms)
{
	uint8_t text[SUCCESSION_BYTES];
	for (size_t i = 0; i < a->predecessor_count; i++) {
		const struct hf_announcement_predecessor *p = &a->predecessors[i];
		if (memcmp(p->key, key, sizeof p->key) != 0)
			continue;
		write_succession(text, p->key, a->gateway_key, p->since_ms);
		*since_ms = p->since_ms;
		return hf_verify(p->signature, hf_slice(text, sizeof text), p->key) == HF_OK;
	}
	return false;
}
