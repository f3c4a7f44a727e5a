/* admin_guard: who is let in to administer the gateway over HTTP: who has the token, who signs requests with a key that is named, and whose
 * connection has a certificate that is named. (NIP-98; docs/administration.md)
 *
 * Ten failures of an address within a minute, and nothing from there is looked at until the minute is over. What let in once does not let
 * in again where it is a signature. No sockets; one loop.
 */
#ifndef HF_SERVICE_GATEWAY_ADMIN_GUARD_H
#define HF_SERVICE_GATEWAY_ADMIN_GUARD_H

#include "base/address.h"
#include "base/env.h"
#include "base/metrics.h"
#include "net/tls.h"

#define HF_ADMIN_KEY_COUNT_MAX 64
#define HF_ADMIN_TOKEN_BYTES_MIN 32
#define HF_ADMIN_TOKEN_BYTES_MAX 256
#define HF_ADMIN_FAILURES_MAX 10
#define HF_ADMIN_FAILURES_MS 60000u
#define HF_ADMIN_SEEN_COUNT_MAX 2048 /* signed requests that are remembered, as long as they could be shown again; more are refused */

struct hf_admin_guard;

struct hf_admin_guard_options {
	size_t size;
	struct hf_env *env;
	struct hf_metrics *metrics; /* may be NULL */
	const char *keys;       /* npub1… or 64 hex digits, separated by commas; "" is none */
	const char *token_file; /* "": none */
	const char *certificates; /* subjects as RFC 2253 writes them, or SHA-256 fingerprints, separated by |; "": none */
};
/* HF_EINVAL and others with the sentence: a key or certificate that is none, a file that cannot be read, is open to others, or holds no
 * token. */
int hf_admin_guard_new(struct hf_admin_guard **out, const struct hf_admin_guard_options *options, struct hf_failure *failure);
/* Reads all of it again; *was_changed: they are others now. On error the old ones stay. */
int hf_admin_guard_reconfigure(struct hf_admin_guard *guard, const struct hf_admin_guard_options *options, bool *was_changed,
	struct hf_failure *failure);
void hf_admin_guard_free(struct hf_admin_guard *guard); /* NULL is fine */

struct hf_admin_attempt {
	const struct hf_address *address;
	struct hf_slice authorization; /* the field's value; data NULL: there is none */
	const struct hf_tls_client *certificate; /* of the connection itself; looked at where there is no authorization; NULL: none */
	struct hf_slice method, url;   /* url empty: not known, and no signature is for it */
	struct hf_slice body;
	bool is_foreign;               /* it comes from a page of another origin, which must not do with the credential what it asks */
};

enum hf_admin_refusal {
	HF_ADMIN_MISSING,   /* no credential, which is no failure */
	HF_ADMIN_TOKEN,     /* another token */
	HF_ADMIN_SIGNATURE, /* no signed request, or not for this one, or not by a key that is named */
	HF_ADMIN_REPLAYED,  /* it let in before */
	HF_ADMIN_FOREIGN,
	HF_ADMIN_THROTTLED,
	HF_ADMIN_CERTIFICATE, /* one that is not named, and nothing beside it, which is no failure */
	HF_ADMIN_REFUSAL_COUNT
};
const char *hf_admin_refusal_name(enum hf_admin_refusal refusal); /* "missing" */

/* HF_OK and *who: "token", "npub1…" or "certificate CN=…", valid until the next call. HF_EDENIED and *refusal. */
int hf_admin_guard_check(struct hf_admin_guard *guard, const struct hf_admin_attempt *attempt, const char **who,
	enum hf_admin_refusal *refusal);
/* Whether a certificate is named, as above without counting: for what goes on after it was let in. NULL: it is not. */
const char *hf_admin_guard_certificate(struct hf_admin_guard *guard, const struct hf_tls_client *certificate);
uint64_t hf_admin_guard_refused(const struct hf_admin_guard *guard, enum hf_admin_refusal refusal); /* since the start */
/* Addresses with failures lately: *cursor starts at 0; false at the end. */
bool hf_admin_guard_next_failing(struct hf_admin_guard *guard, size_t *cursor, struct hf_address *address, uint32_t *failures);

/* Makes a file with a new token, for its owner alone. HF_EEXISTS: one is there, and stays. */
int hf_admin_token_make(struct hf_env *env, const char *path, struct hf_failure *failure);
/* What a token file holds, without white space around it; *out is cleared first. The same errors as above. */
int hf_admin_token_read(struct hf_env *env, const char *path, struct hf_buffer *out, struct hf_failure *failure);

#endif
