/* core_node: a process that keeps a data directory's cores with peers, and works on them for others through admin.sock while it does: `core
 * serve` and `core fetch`.
 *
 * Peers come over TCP, where it listens or keeps a connection to one address, or are found by the keys of cores in the swarm. All of it
 * belongs to the thread that runs it.
 */
#ifndef HF_SERVICE_CORE_NODE_H
#define HF_SERVICE_CORE_NODE_H

#include "peer/core_host.h"
#include "service/config.h"
#include "service/swarm_node.h"

struct hf_core_node;

struct hf_core_node_peer {
	const char *address;       /* "127.0.0.1:7001" */
	const uint8_t *remote_key; /* HF_SIGN_PUBLIC_BYTES; NULL: it never got so far */
	bool is_dialled;
};

struct hf_core_node_options {
	size_t size; /* sizeof this struct */
	struct hf_env *env;
	const struct hf_config *config; /* borrowed */
	bool create;                    /* make the data directory when it is missing */
	bool (*may_serve)(void *context, const uint8_t discovery_key[static 32]); /* NULL: every core */
	/* Each may be NULL. A dialled peer that could not be reached only leaves. */
	void (*came)(void *context, const struct hf_core_node_peer *peer);
	void (*left)(void *context, const struct hf_core_node_peer *peer, int code, const char *why);
	void *context;
};

/* Takes LOCK; errors as of hf_datadir_open and hf_store_open. */
int hf_core_node_open(struct hf_core_node **out, const struct hf_core_node_options *options, struct hf_failure *failure);
/* Ends connections and commits what is staged. Cores were left and released before. NULL is fine. */
void hf_core_node_close(struct hf_core_node *node);
struct hf_loop *hf_core_node_loop(struct hf_core_node *node);
/* Their reads wait for the disk until hf_core_node_run. */
struct hf_corestore *hf_core_node_cores(struct hf_core_node *node);
struct hf_replicator *hf_core_node_replicator(struct hf_core_node *node);
struct hf_bee_hints *hf_core_node_bee_hints(struct hf_core_node *node);

/* address as of hf_peer_listener_new; at most one. HF_EADDR, HF_EDENIED, HF_ENOMEM. */
int hf_core_node_listen(struct hf_core_node *node, const char *address, bool initiates, struct hf_address *bound,
	struct hf_failure *failure);
/* At most one. keeps: when the connection ends it is made again, after a wait that grows. */
int hf_core_node_dial(struct hf_core_node *node, const char *address, bool initiates, bool keeps, struct hf_failure *failure);
/* Takes part in the swarm: with no bootstrap node it asks nobody, and waits for others to come. relay as in hf_swarm_node_options.
 * Once. Errors as of hf_swarm_node_new. */
int hf_core_node_swarm(struct hf_core_node *node, const struct hf_swarm_bootstrap *bootstrap, const uint8_t *relay,
	struct hf_failure *failure);
/* Looks for those who have a core (HF_SWARM_CLIENT), and lets itself be found as one that has it (HF_SWARM_SERVER). HF_ENOMEM. */
int hf_core_node_join(struct hf_core_node *node, const uint8_t discovery_key[static 32], unsigned roles, struct hf_failure *failure);
struct hf_swarm *hf_core_node_peers(struct hf_core_node *node); /* NULL: it does not take part */
/* Until SIGTERM, SIGINT or hf_core_node_stop. */
int hf_core_node_run(struct hf_core_node *node);
void hf_core_node_stop(struct hf_core_node *node);

#endif
