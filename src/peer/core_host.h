/* core_host: a corestore and its replicator, alive on a loop: commits come back as mail, what peers brought is committed at the end of
 * each iteration, sockets are attached when they open.
 *
 *     hf_core_host_new(&host, {… .loop, .store, .primary_key …}, &failure);
 *     hf_peer_listener_new(&listener, {… .events = &hf_core_host_socket_events, .context = host}, …);
 *     …
 *     hf_peer_listener_free(listener);
 *     hf_core_host_close_sockets(host);
 *     // leave and release all cores
 *     hf_core_host_free(host);
 */
#ifndef HF_PEER_CORE_HOST_H
#define HF_PEER_CORE_HOST_H

#include "net/peer_socket.h"
#include "peer/bee_hints.h"

struct hf_core_host;

struct hf_core_host_options {
	size_t size;                 /* sizeof this struct */
	struct hf_loop *loop;        /* its environment has an executor, for cold reads */
	struct hf_store *store;      /* borrowed; see hf_corestore_options */
	struct hf_slice primary_key; /* 32 bytes */
	bool blocking;               /* reads wait for the disk, and the loop with them: for tools */
	bool (*may_serve)(void *context, const uint8_t discovery_key[static 32]); /* see hf_replicator_options; may be NULL */
	/* The socket has been attached; closing it here refuses the peer. May be NULL. */
	void (*opened)(void *context, struct hf_peer_socket *socket);
	/* As in hf_peer_socket_events. May be NULL. */
	void (*closed)(void *context, struct hf_peer_socket *socket, int code, const char *why);
	void *context;
};
HF_API int hf_core_host_new(struct hf_core_host **out, const struct hf_core_host_options *options, struct hf_failure *failure);
/* Commits what is staged and waits for it. No core may be joined or open. Not from within the loop: turns it until the last wake
 * has come through. Sockets that are attached are freed. NULL is fine. */
HF_API void hf_core_host_free(struct hf_core_host *host);
/* Frees all attached sockets, unheard. */
HF_API void hf_core_host_close_sockets(struct hf_core_host *host);
HF_API struct hf_corestore *hf_core_host_cores(struct hf_core_host *host);
HF_API struct hf_replicator *hf_core_host_replicator(struct hf_core_host *host);
HF_API struct hf_bee_hints *hf_core_host_bee_hints(struct hf_core_host *host);

/* For the options of listeners and connections, with the hf_core_host as context. Such sockets are ended with hf_peer_socket_close;
 * their context is ours. */
HF_API_DATA const struct hf_peer_socket_events hf_core_host_socket_events;

#endif
