/* registry: which relays are known, by whom they are served, and who may say so. (Gateway specification, sections 1.7, 4.3 and 5.1)
 *
 * A record belongs to the peer whose key it was first proved by, or whom the relay's own core names; nobody else changes it. Another peer
 * joins with the owner's consent or the core's proof. A record of the shared secret (nobody's key was proved) belongs to all who know
 * the secret until a peer that it names proves itself. Merging adds and replaces fields and never takes away those that it does not
 * know; a record stays when its peers are gone, until nobody has spoken for it for record_age_ms.
 *
 * Reading is synchronous, from memory. One loop.
 */
#ifndef HF_SERVICE_GATEWAY_REGISTRY_H
#define HF_SERVICE_GATEWAY_REGISTRY_H

#include "service/gateway/registration.h"
#include "service/gateway/state.h"

#define HF_REGISTRY_RECORD_COUNT_MAX 65536
#define HF_REGISTRY_PEERS_MAX 64         /* of one relay */
#define HF_REGISTRY_ALIASES_MAX 16       /* of one relay */
#define HF_REGISTRY_PATH_BYTES_MAX 512
#define HF_REGISTRY_RECORD_AGE_MS (30ull * 86400u * 1000u)
#define HF_REGISTRY_MERGE_TRIES_MAX 8    /* when other gateways change the same record meanwhile */

struct hf_registry;

struct hf_registration_peer {
	uint8_t key[32];
	bool is_proved;          /* by its own signature or channel; else only named by who knows the secret */
	uint64_t joined_ms, seen_ms, unreachable_since_ms; /* 0: reachable as far as is known */
};

/* A record as it is read. Texts end with a NUL and are "" when missing. */
struct hf_registration {
	const char *key;          /* relay key in hexadecimal, or an identifier */
	const char *identifier;   /* "npub1…:name", or "" */
	const char *path;         /* where clients find it: of gatewayPath, else of the identifier, else of the key; without '/' in front */
	const char *name, *description, *avatar_url, *connection_url;
	const char *const *aliases; /* further paths */
	size_t alias_count;
	bool has_relay_key;
	uint8_t relay_key[32];    /* when key is 64 hex digits */
	bool is_public, requires_auth, is_gateway_replica, delegates_requests;
	const struct hf_registration_peer *peers;
	size_t peer_count;
	bool has_owner_peer, has_owner;
	uint8_t owner_peer[32];   /* whose record it is */
	uint8_t owner[32];        /* Nostr key, proved */
	const char *principal;    /* "peer:<hex>", "secret" */
	struct hf_slice metadata; /* canonical object, with members nobody here knows */
	struct hf_slice record;   /* the whole, canonical, as it is kept */
	uint64_t registered_ms, updated_ms, expires_ms, revision;
};

struct hf_registry_events {
	/* New or changed, here or at another gateway. */
	void (*changed)(void *context, const struct hf_registration *record);
	void (*removed)(void *context, const char *key);
	void *context;
};

struct hf_registry_options {
	size_t size;
	struct hf_loop *loop;
	struct hf_state *state;      /* borrowed */
	struct hf_metrics *metrics;  /* may be NULL */
	uint64_t record_age_ms;      /* 0: HF_REGISTRY_RECORD_AGE_MS */
	uint64_t record_count_max;   /* 0: HF_REGISTRY_RECORD_COUNT_MAX */
	uint64_t records_per_peer_max; /* 0: HF_REGISTRATION_RELAY_COUNT_MAX */
};
int hf_registry_new(struct hf_registry **out, const struct hf_registry_options *options);
/* After the state was closed, which ends merges that wait. NULL is fine. */
void hf_registry_free(struct hf_registry *registry);
int hf_registry_listen(struct hf_registry *registry, const struct hf_registry_events *events); /* several may; HF_ENOMEM */

/* By a key, an identifier, an alias or a path as it stands in a URL (percent-decoded or not, with or without '/' in front, query and all).
 * Borrowed until the next turn of the loop. NULL: not known. */
const struct hf_registration *hf_registry_find(struct hf_registry *registry, struct hf_slice name);
/* The one whose key comes next behind this one, which need not be there; the empty key: the first. NULL at the end. Who goes on with the
 * key of the last one sees all that were there all the time once, whatever comes and goes meanwhile. */
const struct hf_registration *hf_registry_after(struct hf_registry *registry, struct hf_slice key);
/* The same of those that everybody may read and of which a peer is here, and of those that name a peer. */
const struct hf_registration *hf_registry_after_open(struct hf_registry *registry, struct hf_slice key);
const struct hf_registration *hf_registry_after_of_peer(struct hf_registry *registry, const uint8_t peer[static 32], struct hf_slice key);
uint64_t hf_registry_count(const struct hf_registry *registry);        /* also of those that end within the next sweep */
uint64_t hf_registry_served_count(const struct hf_registry *registry); /* of which a peer is here */

/* May this peer speak for the record: its owner, or a peer that was let in and proved its key? */
bool hf_registry_is_peer_of(const struct hf_registration *record, const uint8_t peer[static 32]);

/* Merges one relay of a body that was let in. done is called once, later: HF_OK; HF_EDENIED: the record is another's (refusal
 * "not-owner", "consent-required"); HF_ETOOBIG ("too-many-relays", "too-many-peers", "record-too-large"); HF_EEXISTS ("identifier-taken");
 * HF_EBUSY, HF_EIO ("state-unavailable"), HF_ENOMEM. body is borrowed for the call. An error that is returned at once: done is not called,
 * *refusal is its name. */
typedef void hf_registry_done(void *context, int status, const char *refusal);
int hf_registry_merge(struct hf_registry *registry, const struct hf_registration_body *body, size_t relay_index, hf_registry_done *done,
	void *context, const char **refusal);

/* Who asks for something to be done with a record. */
struct hf_registry_principal {
	bool has_peer, knows_secret, is_operator;
	uint8_t peer[32];
};
/* The owner; a record without one: who knows the secret; the operator always. */
bool hf_registry_may_change(const struct hf_registration *record, const struct hf_registry_principal *principal);
/* Removes it. HF_ENOTFOUND, HF_EDENIED ("not-owner") at once. */
int hf_registry_remove(struct hf_registry *registry, struct hf_slice key, const struct hf_registry_principal *principal,
	hf_registry_done *done, void *context, const char **refusal);
/* A peer is here and well, or not any more: noted in all its records, in memory of this gateway only. The records stay. HF_ENOMEM: it is
 * not known that it is here. */
int hf_registry_peer_is_reachable(struct hf_registry *registry, const uint8_t peer[static 32], bool is_reachable);

/* The name of section 1.7: trimmed, cut at '?', percent-decoded, '/' in front and behind dropped; two or more segments without ':' are
 * joined as "seg0:seg1/…". HF_EMALFORMED, HF_ETOOBIG. */
int hf_registry_normalize(struct hf_slice name, char out[static HF_REGISTRY_PATH_BYTES_MAX + 1]);

#endif
