/* core_host: a corestore and its replicator, alive on a loop: commits come back, what peers brought is committed at the end of each iteration,
 * connections are attached as they open.
 */
#ifndef HF_PEER_CORE_HOST_H
#define HF_PEER_CORE_HOST_H

#include "net/peer_socket.h"
#include "peer/replicator.h"

struct hf_core_host;

struct hf_core_host_options {
	size_t size;                 /* sizeof this struct */
	struct hf_loop *loop;        /* its environment has an executor, for cold reads */
	struct hf_store *store;      /* borrowed; see hf_corestore_options */
	struct hf_slice primary_key; /* 32 bytes */
	bool (*may_serve)(void *context, const uint8_t discovery_key[static 32]); /* see hf_replicator_options */
	void *context;
};
int hf_core_host_new(struct hf_core_host **out, const struct hf_core_host_options *options, struct hf_failure *failure);
/* Commits what is staged and waits for it. Sockets are closed, cores left and released before. NULL is fine. */
void hf_core_host_free(struct hf_core_host *host);
struct hf_corestore *hf_core_host_cores(struct hf_core_host *host);
struct hf_replicator *hf_core_host_replicator(struct hf_core_host *host);

/* For an opened socket; the stream goes into hf_replicator_detach when it has closed. */
int hf_core_host_attach(struct hf_core_host *host, struct hf_peer_socket *socket, struct hf_replicator_stream **stream);

#endif
