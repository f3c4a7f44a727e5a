/* registry_private: between the parts of the registry. (Private to service/gateway/) */
#ifndef HF_SERVICE_GATEWAY_REGISTRY_PRIVATE_H
#define HF_SERVICE_GATEWAY_REGISTRY_PRIVATE_H

#include "base/map.h"
#include "base/ordered.h"
#include "service/gateway/registry.h"

#define HF_REGISTRY_LISTENERS_MAX 8
#define HF_REGISTRY_RECORD_BYTES_MAX (64u << 10)
#define HF_REGISTRY_NAMES_MAX (HF_REGISTRY_ALIASES_MAX + 5)

/* A name by which a record is found, in the form of hf_registry_normalize. */
struct hf_registry_name {
	struct hf_registry_record *record;
	size_t length;
	char text[];
};

/* A peer that records name or belong to, or that is here. */
struct hf_registry_peer {
	uint8_t key[32];
	struct hf_ordered naming;     /* records that name it, by their keys: struct hf_registry_naming */
	uint64_t reference_count;     /* from records */
	uint64_t owned_count;         /* records that belong to it */
	uint64_t unowned_count;       /* records that belong to nobody and name it */
	uint64_t unreachable_since_ms;
	bool is_here;
};

/* One of the peers that a record names, in the record's order. */
struct hf_registry_naming {
	struct hf_ordered_node link;
	struct hf_registry_record *record;
	struct hf_registry_peer *peer;
};

/* A record as read, with all that it points to. */
struct hf_registry_record {
	struct hf_registration view;
	struct hf_registration_peer *peers;
	struct hf_registry_naming *naming; /* of each of them */
	struct hf_registry_peer *owner;    /* the peer that it belongs to; NULL: none */
	struct hf_ordered_node order, open;
	size_t here_count;                 /* peers of it that are here */
	const char *aliases[HF_REGISTRY_ALIASES_MAX];
	bool is_core_owner; /* the owner was proved by the relay's own core */
	struct hf_registry_name *names[HF_REGISTRY_NAMES_MAX];
	size_t name_count;
	struct hf_buffer memory; /* the record's text, then the texts of the view */
};

struct hf_registry {
	struct hf_loop *loop;
	struct hf_env *env;
	struct hf_state *state;
	struct hf_metrics *metrics;
	struct hf_map records;      /* by key */
	struct hf_map names;        /* by name: struct hf_registry_name */
	struct hf_map peers;        /* by key: struct hf_registry_peer */
	struct hf_ordered order;    /* records by key */
	struct hf_ordered open;     /* by key those that everybody may read and of which a peer is here */
	uint64_t served_count;
	struct hf_registry_events listeners[HF_REGISTRY_LISTENERS_MAX];
	size_t listener_count;
	struct hf_registry_merge *merges;
	uint64_t record_age_ms, record_count_max, records_per_peer_max;
	struct hf_gauge records_gauge;
	struct hf_counter merged, refused;
};

/* Makes a record of the text that is kept. HF_EMALFORMED, HF_ENOMEM. */
int hf_registry_record_read(struct hf_slice key, struct hf_slice text, struct hf_registry_record **out);
void hf_registry_record_free(struct hf_registry_record *record);
/* The record of exactly that key; NULL. */
struct hf_registry_record *hf_registry_at(const struct hf_registry *registry, struct hf_slice key);

/* ---- registry_peers.c ---- */
/* Makes the peers of a record known; once it can be found, it is to be among theirs and in order. HF_ENOMEM changes nothing. */
int hf_registry_link(struct hf_registry *registry, struct hf_registry_record *record);
void hf_registry_index(struct hf_registry *registry, struct hf_registry_record *record);
void hf_registry_unindex(struct hf_registry *registry, struct hf_registry_record *record); /* and its peers' links */
struct hf_registry_peer *hf_registry_peer_at(const struct hf_registry *registry, const uint8_t key[static 32]); /* NULL */
void hf_registry_free_peers(struct hf_registry *registry); /* at the end, with the map */
/* Has somebody spoken for it in time? */
bool hf_registry_is_alive(const struct hf_registry *registry, const struct hf_registry_record *record);

/* Does the name begin with the npub of the record's proved owner? */
bool hf_registry_owns_name(const struct hf_registration *record, struct hf_slice name);

/* One merge, kept until it is committed. */
struct hf_registry_merge {
	struct hf_registry_merge *next, *previous;
	struct hf_registry *registry;
	struct hf_timer timer;
	unsigned tries;
	enum hf_registration_form form;
	bool has_peer, knows_secret, has_owner, has_proof, has_consent;
	uint8_t peer[32], owner[32], consent_owner[32];
	uint8_t claimed_peers[HF_REGISTRATION_PEER_COUNT_MAX][32];
	size_t claimed_peer_count;
	struct hf_buffer key, entry;
	hf_registry_done *done;
	void *context;
};
/* Those that wait to be tried again end with HF_ECLOSED. */
void hf_registry_end_merges(struct hf_registry *registry);
/* What the record becomes. old may be NULL. is_owner: the merge may change more than its own peer's presence; becomes_owner: the
 * record is its peer's from now on. Appends canonical text. HF_ETOOBIG with *refusal. */
int hf_registry_write(const struct hf_registry_merge *merge, const struct hf_registry_record *old, bool is_owner, bool becomes_owner,
	uint64_t now_ms, uint64_t age_ms, struct hf_buffer *out, const char **refusal);

#endif
