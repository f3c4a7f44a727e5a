/* admin_guard: the cheap checks come first, so that a signature is only checked for a request that names this gateway, this very moment and
 * a key that is let in; the token is compared by hashes, in constant time. */
#include "service/gateway/admin_guard.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/bech32.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "wire/nip98.h"

#define FAILING_COUNT 256 /* addresses that are remembered; of those that share a place the oldest is forgotten */
#define FAILING_WAYS 4
#define MS_US 1000u
#define IPV6_SUBSCRIBER_BYTES 8
#define CERTIFICATE_SEPARATOR "|"
#define WHO_BYTES (HF_TLS_SUBJECT_BYTES + 16)

struct admin_key {
	uint8_t key[32];
	char npub[HF_BECH32_KEY_TEXT_BYTES];
};

struct credentials {
	struct admin_key keys[HF_ADMIN_KEY_COUNT_MAX];
	size_t key_count;
	bool has_token;
	uint8_t token[HF_SHA256_BYTES];
	char *certificates; /* the list; NULL: none */
};

struct failing {
	uint8_t ip[16];
	uint64_t since_us;
	uint32_t count; /* 0: free */
};

struct seen {
	uint8_t id[32];
	uint64_t until_s;
};

struct hf_admin_guard {
	struct hf_env *env;
	struct hf_schnorr *schnorr;
	struct credentials credentials;
	struct failing failing[FAILING_COUNT];
	struct seen seen[HF_ADMIN_SEEN_COUNT_MAX];
	size_t seen_count;
	struct hf_counter refused[HF_ADMIN_REFUSAL_COUNT];
	struct hf_metrics *metrics;
	uint64_t started_s;
	uint64_t seed;
	char who[WHO_BYTES]; /* whose certificate was let in last */
};

const char *hf_admin_refusal_name(enum hf_admin_refusal refusal)
{
	static const char *const names[] = {"missing", "token", "signature", "replayed", "foreign", "throttled", "certificate"};
	return names[refusal];
}

/* ---- Tokens in files ---- */

static bool is_token(struct hf_slice text)
{
	bool is_right = text.length >= HF_ADMIN_TOKEN_BYTES_MIN && text.length <= HF_ADMIN_TOKEN_BYTES_MAX;
	for (size_t i = 0; is_right && i < text.length; i++)
		is_right = text.data[i] > ' ' && text.data[i] < 127;
	return is_right;
}

int hf_admin_token_read(struct hf_env *env, const char *path, struct hf_buffer *out, struct hf_failure *failure)
{
	struct stat status;
	hf_buffer_clear(out);
	if (stat(path, &status) == 0 && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return hf_fail(failure, HF_EDENIED, "%s can be read by others; `chmod 600` it.", path);
	int r = hf_fs_read_all(env->fs, path, 2 * HF_ADMIN_TOKEN_BYTES_MAX, out);
	if (r < 0)
		return hf_fail(failure, r, "The token file %s cannot be read: %s.", path, hf_error_text(r));
	while (out->length > 0 && out->data[out->length - 1] <= ' ')
		out->length--;
	if (!is_token(hf_buffer_slice(out)))
		return hf_fail(failure, HF_EINVAL, "%s holds no token: one line of %d to %d characters. `holdfast admin token` makes one.", path,
			HF_ADMIN_TOKEN_BYTES_MIN, HF_ADMIN_TOKEN_BYTES_MAX);
	return HF_OK;
}

int hf_admin_token_make(struct hf_env *env, const char *path, struct hf_failure *failure)
{
	uint8_t secret[32];
	char line[2 * sizeof secret + 1];
	int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0 && access(path, F_OK) == 0)
		return hf_fail(failure, HF_EEXISTS, "%s is there already.", path);
	if (file < 0)
		return hf_fail(failure, HF_EIO, "%s cannot be made: %m.", path);
	env->random(env, secret, sizeof secret);
	hf_hex_encode(line, secret, sizeof secret);
	line[2 * sizeof secret] = '\n';
	bool is_written = write(file, line, sizeof line) == (ssize_t)sizeof line && fsync(file) == 0;
	close(file);
	return is_written ? HF_OK : hf_fail(failure, HF_EIO, "%s cannot be written.", path);
}

/* ---- Credentials ---- */

static bool read_key(struct hf_slice text, struct admin_key *out)
{
	bool is_right = text.length == 64 ? hf_hex_decode(out->key, text.data, 32) : hf_bech32_decode_key(out->key, "npub", text) == HF_OK;
	if (is_right)
		hf_bech32_encode_key(out->npub, "npub", out->key);
	return is_right;
}

static int read_keys(struct credentials *c, const char *list, struct hf_failure *failure)
{
	for (const char *at = list; *at;) {
		size_t length = strcspn(at, ", ");
		if (length > 0 && c->key_count == HF_ADMIN_KEY_COUNT_MAX)
			return hf_fail(failure, HF_ETOOBIG, "admin.keys has more than %d entries.", HF_ADMIN_KEY_COUNT_MAX);
		if (length > 0 && !read_key(hf_slice(at, length), &c->keys[c->key_count++]))
			return hf_fail(failure, HF_EINVAL, "admin.keys has \"%.*s\"; write npub1… or 64 hex digits.", (int)length, at);
		at += length;
		at += strspn(at, ", ");
	}
	return HF_OK;
}

/* The next entry of the list, without white space around it; false at the end. */
static bool next_certificate(const char **list, struct hf_slice *entry)
{
	while (*list && **list) {
		size_t length = strcspn(*list, CERTIFICATE_SEPARATOR);
		*entry = hf_slice(*list, length);
		*list += length;
		*list += **list != '\0';
		while (entry->length > 0 && entry->data[0] == ' ')
			*entry = hf_slice(entry->data + 1, entry->length - 1);
		while (entry->length > 0 && entry->data[entry->length - 1] == ' ')
			entry->length--;
		if (entry->length > 0)
			return true;
	}
	return false;
}

/* With colons between the bytes, as tools print them, or without. */
static bool read_fingerprint(struct hf_slice text, uint8_t out[static HF_SHA256_BYTES])
{
	char digits[2 * HF_SHA256_BYTES];
	size_t count = 0;
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] == ':')
			continue;
		if (count == sizeof digits)
			return false;
		digits[count++] = (char)tolower(text.data[i]);
	}
	return count == sizeof digits && hf_hex_decode(out, digits, HF_SHA256_BYTES);
}

static int read_certificates(struct credentials *c, const char *list, struct hf_failure *failure)
{
	struct hf_slice entry;
	uint8_t fingerprint[HF_SHA256_BYTES];
	for (const char *at = list; next_certificate(&at, &entry);)
		if (!read_fingerprint(entry, fingerprint) && !memchr(entry.data, '=', entry.length))
			return hf_fail(failure, HF_EINVAL, "admin.certificates has \"%.*s\"; write a subject like CN=ada,O=Village, or a SHA-256 fingerprint.",
				(int)entry.length, (const char *)entry.data);
	c->certificates = list[0] ? strdup(list) : NULL;
	return c->certificates || !list[0] ? HF_OK : hf_fail(failure, HF_ENOMEM, "Out of memory.");
}

static int read_credentials(struct credentials *c, const struct hf_admin_guard_options *o, struct hf_failure *failure)
{
	struct hf_buffer token = {0};
	*c = (struct credentials){0};
	int r = read_keys(c, o->keys, failure);
	if (r == HF_OK && o->token_file[0])
		r = hf_admin_token_read(o->env, o->token_file, &token, failure);
	if (r == HF_OK && o->token_file[0]) {
		hf_sha256(c->token, hf_buffer_slice(&token));
		c->has_token = true;
		explicit_bzero(token.data, token.length);
	}
	hf_buffer_free(&token);
	return r == HF_OK ? read_certificates(c, o->certificates, failure) : r;
}

static bool is_same(const struct credentials *a, const struct credentials *b)
{
	bool same = a->key_count == b->key_count && a->has_token == b->has_token && memcmp(a->token, b->token, sizeof a->token) == 0;
	for (size_t i = 0; same && i < a->key_count; i++)
		same = memcmp(a->keys[i].key, b->keys[i].key, 32) == 0;
	return same && strcmp(a->certificates ? a->certificates : "", b->certificates ? b->certificates : "") == 0;
}

int hf_admin_guard_reconfigure(struct hf_admin_guard *g, const struct hf_admin_guard_options *options, bool *was_changed,
	struct hf_failure *failure)
{
	struct credentials credentials;
	int r = read_credentials(&credentials, options, failure);
	*was_changed = r == HF_OK && !is_same(&credentials, &g->credentials);
	if (r < 0)
		return r;
	free(g->credentials.certificates);
	g->credentials = credentials;
	return HF_OK;
}

static void count_in(struct hf_admin_guard *g, struct hf_metrics *metrics)
{
	static const char *const labels[] = {"reason=\"missing\"", "reason=\"token\"", "reason=\"signature\"", "reason=\"replayed\"",
		"reason=\"foreign\"", "reason=\"throttled\"", "reason=\"certificate\""};
	g->metrics = metrics;
	for (int i = 0; i < HF_ADMIN_REFUSAL_COUNT; i++)
		hf_counter_register(metrics, &g->refused[i], "holdfast_admin_refused_total", labels[i],
			"Requests that were not let in to administration over HTTP");
}

int hf_admin_guard_new(struct hf_admin_guard **out, const struct hf_admin_guard_options *options, struct hf_failure *failure)
{
	struct hf_admin_guard *g = calloc(1, sizeof *g);
	int r = g ? hf_schnorr_new(&g->schnorr, options->env, 0) : HF_ENOMEM;
	if (r < 0)
		hf_fail(failure, r, "Out of memory while opening administration.");
	else
		r = read_credentials(&g->credentials, options, failure);
	if (r < 0) {
		hf_admin_guard_free(g);
		return r;
	}
	g->env = options->env;
	count_in(g, options->metrics);
	g->started_s = hf_env_wall_s(g->env);
	g->env->random(g->env, &g->seed, sizeof g->seed);
	*out = g;
	return HF_OK;
}

void hf_admin_guard_free(struct hf_admin_guard *g)
{
	if (!g)
		return;
	for (int i = 0; i < HF_ADMIN_REFUSAL_COUNT; i++)
		hf_metric_unregister(g->metrics, &g->refused[i].link);
	hf_schnorr_free(g->schnorr);
	free(g->credentials.certificates);
	free(g);
}

/* ---- Failures ---- */

static void subscriber(const struct hf_address *address, uint8_t ip[static 16])
{
	memcpy(ip, address->ip, 16);
	if (!hf_address_is_ipv4(address))
		memset(ip + IPV6_SUBSCRIBER_BYTES, 0, 16 - IPV6_SUBSCRIBER_BYTES);
}

static bool is_over(const struct hf_admin_guard *g, const struct failing *f)
{
	return hf_env_monotonic_us(g->env) - f->since_us >= (uint64_t)HF_ADMIN_FAILURES_MS * MS_US;
}

/* The entry of the address, or the one that would be given up for it. */
static struct failing *find(struct hf_admin_guard *g, const struct hf_address *address)
{
	uint8_t text[24], hash[HF_SHA256_BYTES];
	subscriber(address, text);
	memcpy(text + 16, &g->seed, sizeof g->seed);
	hf_sha256(hash, hf_slice(text, sizeof text));
	struct failing *first = &g->failing[hash[0] / FAILING_WAYS * FAILING_WAYS], *oldest = first;
	for (size_t i = 0; i < FAILING_WAYS; i++) {
		if (first[i].count > 0 && memcmp(first[i].ip, text, 16) == 0)
			return &first[i];
		if (first[i].since_us < oldest->since_us)
			oldest = &first[i];
	}
	return oldest;
}

static bool is_of(const struct failing *f, const struct hf_address *address)
{
	uint8_t ip[16];
	subscriber(address, ip);
	return f->count > 0 && memcmp(f->ip, ip, 16) == 0;
}

static bool is_throttled(struct hf_admin_guard *g, const struct hf_address *address)
{
	const struct failing *f = find(g, address);
	return is_of(f, address) && f->count >= HF_ADMIN_FAILURES_MAX && !is_over(g, f);
}

static void note_failure(struct hf_admin_guard *g, const struct hf_address *address)
{
	struct failing *f = find(g, address);
	if (!is_of(f, address) || is_over(g, f)) {
		*f = (struct failing){.since_us = hf_env_monotonic_us(g->env)};
		subscriber(address, f->ip);
	}
	f->count++;
}

bool hf_admin_guard_next_failing(struct hf_admin_guard *g, size_t *cursor, struct hf_address *address, uint32_t *failures)
{
	while (*cursor < FAILING_COUNT) {
		const struct failing *f = &g->failing[(*cursor)++];
		if (f->count == 0 || is_over(g, f))
			continue;
		*address = (struct hf_address){0};
		memcpy(address->ip, f->ip, 16);
		*failures = f->count;
		return true;
	}
	return false;
}

/* ---- Once only ---- */

static bool remember(struct hf_admin_guard *g, const struct hf_event *event, uint64_t now_s)
{
	for (size_t i = 0; i < g->seen_count;) {
		if (memcmp(g->seen[i].id, event->id, 32) == 0)
			return false;
		if (g->seen[i].until_s < now_s)
			g->seen[i] = g->seen[--g->seen_count];
		else
			i++;
	}
	if (g->seen_count == HF_ADMIN_SEEN_COUNT_MAX)
		return false;
	struct seen *seen = &g->seen[g->seen_count++];
	memcpy(seen->id, event->id, 32);
	seen->until_s = event->created_at + HF_NIP98_WINDOW_S;
	return true;
}

/* ---- Attempts ---- */

static bool check_token(const struct hf_admin_guard *g, struct hf_slice token)
{
	uint8_t hash[HF_SHA256_BYTES];
	hf_sha256(hash, token);
	return g->credentials.has_token && hf_bytes_equal_secret(hash, g->credentials.token, sizeof hash);
}

static const struct admin_key *find_key(const struct hf_admin_guard *g, const uint8_t key[static 32])
{
	for (size_t i = 0; i < g->credentials.key_count; i++)
		if (memcmp(g->credentials.keys[i].key, key, 32) == 0)
			return &g->credentials.keys[i];
	return NULL;
}

/* NULL with the refusal. */
static const char *check_event(struct hf_admin_guard *g, const struct hf_nip98 *nip98, const struct hf_admin_attempt *a,
	enum hf_admin_refusal *refusal)
{
	const struct hf_nip98_request request = {.method = a->method, .url = a->url, .body = a->body, .now_s = hf_env_wall_s(g->env)};
	const struct admin_key *key = find_key(g, nip98->event.pubkey);
	const char *reason;
	*refusal = HF_ADMIN_SIGNATURE;
	if (!key || a->url.length == 0 || hf_nip98_check(nip98, &request, &reason) < 0 || nip98->event.created_at < g->started_s)
		return NULL;
	if (hf_nip98_verify(nip98, g->schnorr) < 0)
		return NULL;
	*refusal = HF_ADMIN_REPLAYED;
	return remember(g, &nip98->event, request.now_s) ? key->npub : NULL;
}

static const char *check_signature(struct hf_admin_guard *g, const struct hf_admin_attempt *a, enum hf_admin_refusal *refusal)
{
	struct hf_nip98 nip98;
	*refusal = HF_ADMIN_SIGNATURE;
	if (hf_nip98_parse(&nip98, a->authorization) < 0)
		return NULL;
	const char *who = check_event(g, &nip98, a, refusal);
	hf_nip98_free(&nip98);
	return who;
}

static const char *check_credential(struct hf_admin_guard *g, const struct hf_admin_attempt *a, enum hf_admin_refusal *refusal)
{
	static const char scheme[] = "Bearer ";
	size_t prefix = sizeof scheme - 1;
	if (a->authorization.length < prefix || strncasecmp((const char *)a->authorization.data, scheme, prefix) != 0)
		return check_signature(g, a, refusal);
	*refusal = HF_ADMIN_TOKEN;
	return check_token(g, hf_slice(a->authorization.data + prefix, a->authorization.length - prefix)) ? "token" : NULL;
}

const char *hf_admin_guard_certificate(struct hf_admin_guard *g, const struct hf_tls_client *certificate)
{
	struct hf_slice entry;
	uint8_t fingerprint[HF_SHA256_BYTES];
	for (const char *at = g->credentials.certificates; next_certificate(&at, &entry);) {
		bool is_named = read_fingerprint(entry, fingerprint) ? memcmp(fingerprint, certificate->fingerprint, sizeof fingerprint) == 0
			: hf_slice_equal(entry, hf_slice_text(certificate->subject));
		if (!is_named)
			continue;
		snprintf(g->who, sizeof g->who, "certificate %.*s", (int)entry.length, (const char *)entry.data);
		return g->who;
	}
	return NULL;
}

static bool is_let_in(struct hf_admin_guard *g, const struct hf_admin_attempt *a, const char **who, enum hf_admin_refusal *refusal)
{
	if (!a->is_foreign && !a->authorization.data && a->certificate) {
		*refusal = HF_ADMIN_CERTIFICATE;
		*who = hf_admin_guard_certificate(g, a->certificate);
		return *who != NULL;
	}
	*refusal = a->is_foreign ? HF_ADMIN_FOREIGN : !a->authorization.data ? HF_ADMIN_MISSING : HF_ADMIN_THROTTLED;
	if (a->is_foreign || !a->authorization.data || is_throttled(g, a->address))
		return false;
	*who = check_credential(g, a, refusal);
	if (!*who)
		note_failure(g, a->address);
	return *who != NULL;
}

int hf_admin_guard_check(struct hf_admin_guard *g, const struct hf_admin_attempt *attempt, const char **who, enum hf_admin_refusal *refusal)
{
	*who = NULL;
	if (is_let_in(g, attempt, who, refusal))
		return HF_OK;
	hf_counter_add(&g->refused[*refusal], 1);
	return HF_EDENIED;
}

uint64_t hf_admin_guard_refused(const struct hf_admin_guard *g, enum hf_admin_refusal refusal)
{
	return atomic_load_explicit(&g->refused[refusal].value, HF_RELAXED);
}
