/* swarm: finds the peers of topics and keeps connections with them, by the rules of Hyperswarm. (npm hyperswarm 4; spec: network layer,
 * section 5)
 *
 *     hf_swarm_new(&swarm, {… .connector, .static_secret, .events, .context …}, &failure);
 *     hf_swarm_join(swarm, topic, HF_SWARM_SERVER | HF_SWARM_CLIENT, 0, &session);
 *     … connections come as struct hf_peer_socket, each told to the events given, as over TCP …
 *     hf_swarm_close(swarm, closed, context);      // says goodbye to the network
 *     hf_swarm_free(swarm);
 *
 * There is one connection with a peer, however many topics it was found for. Where both sides have dialled, both keep the one that the
 * side with the greater public key began. Who cannot be reached is tried again, later each time, until it is found anew.
 *
 * It all belongs to the thread of its connector. Callbacks come from the loop only.
 */
#ifndef HF_PEER_SWARM_H
#define HF_PEER_SWARM_H

#include "peer/connector.h"

#define HF_SWARM_CONNECTION_COUNT_MAX 64u /* a peer that was asked for by its key counts more: see hf_swarm_join_peer */
#define HF_SWARM_PARALLEL_COUNT_MAX 3u    /* connections being made at a time */
#define HF_SWARM_PEER_COUNT_MAX 16384u    /* known at a time; further ones are not taken up, and counted */
#define HF_SWARM_PEER_TOPIC_COUNT_MAX 64u /* for which a peer was found */
#define HF_SWARM_REFRESH_MS 600000u       /* between looks at a topic, and up to */
#define HF_SWARM_REFRESH_JITTER_MS 120000u /* more */
#define HF_SWARM_PROVEN_MS 15000u         /* a connection that lasted so long makes the next attempt a first one */
#define HF_SWARM_ATTEMPT_COUNT_MAX 3u     /* in vain: not tried again before it is found again */

struct hf_swarm;
struct hf_swarm_session;

enum hf_swarm_role { HF_SWARM_SERVER = 1, HF_SWARM_CLIENT = 2 };

struct hf_swarm_options {
	size_t size;                       /* sizeof this struct */
	struct hf_dht_connector *connector; /* borrowed, with its node */
	const uint8_t *static_secret;      /* HF_SIGN_SECRET_BYTES; copied */
	uint32_t connection_count_max;     /* where no more are begun; 0: HF_SWARM_CONNECTION_COUNT_MAX. Those that come in are taken */
	uint32_t parallel_count_max;       /* 0: HF_SWARM_PARALLEL_COUNT_MAX */
	uint32_t server_connection_count_max, client_connection_count_max; /* 0: no bound of their own */
	/* Of every connection; their `opened` comes when the remote has proved its key. loop, static_secret and listener_initiates are
	 * not looked at. */
	const struct hf_peer_socket_options *socket;
	/* Whether a peer is not to be connected with: it is banned then. NULL: none. */
	bool (*refuses)(void *context, const uint8_t public_key[static 32]);
	/* The key of a blind relay for connections with a peer; forced: they could not be made without. NULL, or NULL returned: none. */
	const uint8_t *(*relay_through)(void *context, bool forced);
	/* Something of the stats has changed. May be NULL. */
	void (*changed)(void *context);
	void *context;
};
/* HF_ENOMEM, HF_EINVAL. */
HF_API int hf_swarm_new(struct hf_swarm **out, const struct hf_swarm_options *options, struct hf_failure *failure);
/* Leaves all topics, whose sessions are gone with it, stops listening, ends all connections, then calls closed: the network has been
 * told, as far as it answers. */
HF_API void hf_swarm_close(struct hf_swarm *swarm, void (*closed)(void *context), void *context);
/* At once; nobody is told, no event comes. Sockets that are open stay, and are their owner's to free. NULL is fine. */
HF_API void hf_swarm_free(struct hf_swarm *swarm);

/* ---- Topics ---- */

/* roles: who is to find whom: servers are announced, clients look for servers. Several sessions of a topic add up. limit: peers that are
 * taken up at each look; 0: all. HF_EINVAL: no role; HF_ECLOSED, HF_ENOMEM. */
HF_API int hf_swarm_join(struct hf_swarm *swarm, const uint8_t topic[static 32], unsigned roles, uint32_t limit,
	struct hf_swarm_session **out);
/* Looks and announces now, in the roles given. Errors as above. */
HF_API int hf_swarm_session_refresh(struct hf_swarm_session *session, unsigned roles, uint32_t limit);
/* With the last session of a topic it is taken back from the network, in the background. */
HF_API void hf_swarm_leave(struct hf_swarm_session *session);

/* What is waited for. Embedded. */
struct hf_swarm_wait {
	struct hf_swarm_wait *next, *previous;
	/* HF_OK; HF_EIO: nobody could be told or asked; HF_ECLOSED; HF_EEXISTS: the connector listens for the swarm's key already, and HF_ENOMEM:
	 * with these two it is tried again every 10 to 20 s. */
	void (*done)(struct hf_swarm_wait *wait, int code);
	struct hf_swarm_wait **list; /* the rest is the swarm's; NULL: not waiting */
	uint64_t tick;
	size_t missing;
	int code;
	bool is_for_topics;
};
/* Until the session's topic has been announced and looked up. `done` never comes from inside of the call. */
HF_API void hf_swarm_session_wait(struct hf_swarm_session *session, struct hf_swarm_wait *wait);
/* Until all topics are. */
HF_API void hf_swarm_wait_topics(struct hf_swarm *swarm, struct hf_swarm_wait *wait);
/* And until every peer found by then has been tried once. */
HF_API void hf_swarm_wait(struct hf_swarm *swarm, struct hf_swarm_wait *wait);
HF_API void hf_swarm_wait_cancel(struct hf_swarm_wait *wait);

/* ---- Peers ---- */

/* Keeps a connection with a peer of which only the key is known, past all bounds but PARALLEL. With 1, 2 to 3, or 4 and more such peers,
 * every connection counts 2, 3 or 4 times towards connection_count_max, so that there is room for them. HF_EINVAL: our own key. */
HF_API int hf_swarm_join_peer(struct hf_swarm *swarm, const uint8_t public_key[static 32]);
HF_API void hf_swarm_leave_peer(struct hf_swarm *swarm, const uint8_t public_key[static 32]);
/* Ends what connection there is; none is made any more until it is lifted. */
HF_API int hf_swarm_ban(struct hf_swarm *swarm, const uint8_t public_key[static 32], bool is_banned);
/* The socket of a peer that is connected, or NULL. */
HF_API struct hf_peer_socket *hf_swarm_find(struct hf_swarm *swarm, const uint8_t public_key[static 32]);
/* *cursor starts at 0; NULL at the end. */
HF_API struct hf_peer_socket *hf_swarm_next(struct hf_swarm *swarm, size_t *cursor);

/* ---- Sleep ---- */

/* Takes everything back from the network and ends all connections; what was joined stays joined. done may be NULL. */
HF_API void hf_swarm_suspend(struct hf_swarm *swarm, void (*done)(void *context), void *context);
HF_API void hf_swarm_resume(struct hf_swarm *swarm);
/* The address has changed, or the network is back: connections show whether they live, topics are looked at again. */
HF_API void hf_swarm_network_changed(struct hf_swarm *swarm);

struct hf_swarm_stats {
	uint64_t client_attempted, client_opened, client_closed;
	uint64_t server_opened, server_closed;
	uint64_t duplicates_closed, refused, banned;
	uint64_t peers_not_taken;   /* HF_SWARM_PEER_COUNT_MAX */
	uint32_t topics, peers, queued, connecting, connections, server_connections, client_connections; /* now */
};
HF_API void hf_swarm_stats(const struct hf_swarm *swarm, struct hf_swarm_stats *stats);

#endif
