/* dht_node_query: an iterative query: the nodes nearest to a target, each asked the same, and what they said; then, for an announce or a
 * put, something told to each of them with the token that it gave. (spec: swarm, 2.8)
 */
#ifndef HF_PEER_DHT_NODE_QUERY_H
#define HF_PEER_DHT_NODE_QUERY_H

#include "peer/dht_node.h"
#include "wire/dht/walk.h"

struct hf_dht_query {
	/* Given before the start. value is borrowed until done. */
	uint8_t target[HF_DHT_ID_BYTES];
	bool is_internal;
	uint8_t command;
	bool has_value;
	bool only_closest; /* nobody but the start nodes is asked */
	bool force;        /* does not wait for the window, and asks each once */
	bool is_background; /* gives way to other traffic */
	uint8_t retries;   /* 0: HF_DHT_QUERY_RETRIES */
	struct hf_slice value;
	const struct hf_dht_contact *start; /* copied; the nearest of an earlier query, at most HF_DHT_K are taken */
	size_t start_count;
	/* A reply without error, borrowed. May be NULL. */
	void (*reply)(struct hf_dht_query *query, const struct hf_dht_reply *reply);
	/* The commit phase, called for each of the nearest nodes: appends what is sent to it, with target, its token and commit_command.
	 * HF_OK, or a negative code to leave it out. NULL: there is none. */
	int (*commit)(struct hf_dht_query *query, const struct hf_dht_closest *to, struct hf_buffer *value);
	uint8_t commit_command;
	/* Each commit's answer. May be NULL. */
	void (*committed)(struct hf_dht_query *query, const struct hf_dht_closest *to, int code, const struct hf_dht_reply *reply);
	/* HF_OK; HF_ENOTFOUND: there was nobody to commit to; with commits that all failed what the last said (HF_ETIMEOUT, HF_EDENIED for an
	 * error reply); HF_ECANCELED (suspended), HF_ENOMEM. The nearest nodes are still there when it is called, not after. */
	void (*done)(struct hf_dht_query *query, int code);
	/* Ours. */
	struct hf_dht_query_run *run; /* NULL: not under way */
	const struct hf_dht_walk *walk; /* good from the start until done returns */
};

/* HF_ENOMEM, HF_ECANCELED (suspended), HF_EBUSY: done is not called then. */
HF_API int hf_dht_query_start(struct hf_dht_node *node, struct hf_dht_query *query);
HF_API void hf_dht_query_cancel(struct hf_dht_query *query); /* done is not called; not under way is fine */
static inline bool hf_dht_query_is_active(const struct hf_dht_query *query) { return query->run != NULL; }
/* The nearest nodes that answered without error so far, nearest first, at most HF_DHT_K; also from within done. */
HF_API const struct hf_dht_closest *hf_dht_query_closest(const struct hf_dht_query *query, size_t *count);
/* Their contacts, to start the next query with; returns how many. */
HF_API size_t hf_dht_query_contacts(const struct hf_dht_query *query, struct hf_dht_contact out[static HF_DHT_K]);
struct hf_dht_query_figures {
	uint32_t asked, answered, failed, hops; /* hops: the longest chain of nodes that named one another */
};
HF_API void hf_dht_query_read_figures(const struct hf_dht_query *query, struct hf_dht_query_figures *figures);

#endif
