/* swarm_private: a swarm's peers, topics and connections. Private to the swarm. */
#ifndef HF_PEER_SWARM_PRIVATE_H
#define HF_PEER_SWARM_PRIVATE_H

#include "base/map.h"
#include "peer/dht_node_lookup.h"
#include "peer/swarm.h"

struct hf_swarm_topic;
struct hf_swarm_connection;

/* A peer that is connected, was found, or was asked for. Gone when nothing holds it: see hf_swarm_peer_settle. */
struct hf_swarm_peer {
	struct hf_swarm *swarm;
	struct hf_swarm_peer *next, *previous; /* of the explicit ones */
	struct hf_swarm_connection *connection; /* the one that counts */
	uint32_t connection_count;              /* with those that are about to go */
	struct hf_swarm_topic **topics;
	size_t topic_count, topic_capacity;
	struct hf_timer retry;
	size_t queue_place;
	uint64_t flush_tick;
	uint64_t connected_ms, disconnected_ms;
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES];
	struct hf_address relays[HF_DHT_RECORD_RELAYS_MAX];
	uint8_t relay_count;
	uint8_t attempts, priority;
	bool is_proven, is_client, is_explicit, is_banned, is_queued, is_waiting, needs_relay;
};

enum { HF_SWARM_PRIORITY_LOW, HF_SWARM_PRIORITY_NORMAL, HF_SWARM_PRIORITY_HIGH, HF_SWARM_PRIORITY_VERY_HIGH, HF_SWARM_PRIORITY_COUNT };

/* Peers to be tried: any of those with the highest priority comes next. */
struct hf_swarm_queue {
	struct {
		struct hf_swarm_peer **peers;
		size_t count, capacity;
	} levels[HF_SWARM_PRIORITY_COUNT];
	size_t count;
};

/* One that is being made, or lives. */
struct hf_swarm_connection {
	struct hf_peer_socket_observer observer;
	struct hf_swarm_connection *next, *previous;
	struct hf_swarm *swarm;
	struct hf_swarm_peer *peer;
	struct hf_dht_dial *dial;      /* until there is a socket */
	struct hf_peer_socket *socket;
	bool is_server, is_open, is_ending;
	bool is_connecting;            /* ours, and not open yet */
	bool is_from_queue;
};

struct hf_swarm_session {
	struct hf_swarm_session *next, *previous;
	struct hf_swarm_topic *topic;
	unsigned roles;
};

/* A topic that is joined, or was: it is held by the peers found for it, and by its lookup. */
struct hf_swarm_topic {
	struct hf_swarm *swarm;
	struct hf_swarm_topic *next, *previous; /* of those that were left */
	struct hf_swarm_session *sessions;
	struct hf_swarm_wait *waits; /* for the look under way */
	struct hf_dht_lookup lookup;
	struct hf_timer timer;
	uint64_t timer_due_ms;
	struct hf_dht_contact closest[HF_DHT_K]; /* of the last look */
	size_t closest_count;
	size_t peer_references;
	uint32_t limit, left; /* of peers to take up: at each look, at this one */
	uint8_t id[32];
	unsigned roles;         /* as of the look under way or the last */
	int start_code;         /* HF_OK, or why the last look could not be begun */
	uint8_t second_looks;   /* made so far: see swarm_topic.c */
	bool is_joined;
	bool is_looking;        /* lookup is under way: a look, or it is_taken_back */
	bool is_taken_back;
	bool waits_for_server;
	bool is_announced_once, needs_unannounce;
};

struct hf_swarm {
	struct hf_swarm_options options;
	struct hf_peer_socket_options socket;
	struct hf_protomux_limits limits;
	struct hf_udp_host *host;
	struct hf_dht_node *node;
	struct hf_dht_server *server;
	struct hf_map peers;  /* by public key */
	struct hf_map topics; /* by id, those that are joined */
	struct hf_swarm_topic *left;
	size_t busy_joined, busy_left; /* topics that are looked at, or wait for that */
	struct hf_swarm_peer *explicit_peers;
	struct hf_swarm_queue queue;
	struct hf_swarm_connection *connections;
	struct hf_swarm_wait *looking, *trying; /* the two steps of hf_swarm_wait */
	struct hf_swarm_wait *finished;         /* to be told */
	struct hf_loop_deferred deferred;
	uint64_t flush_tick;
	uint64_t backoff_ms[4];
	uint32_t explicit_count;
	struct hf_swarm_stats stats;
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES], secret[HF_SIGN_SECRET_BYTES];
	bool is_ready;  /* the server is announced */
	bool is_draining, is_suspended, is_closing;
	void (*rested)(void *context); /* of hf_swarm_close or hf_swarm_suspend */
	void *rested_context;
};

/* ---- Peers and their queue (swarm_peers.c): no network ---- */

struct hf_swarm_peer *hf_swarm_peer_find(const struct hf_swarm *swarm, const uint8_t public_key[static 32]);
/* Found or made; NULL when it is ourselves, there are too many, or no memory. */
struct hf_swarm_peer *hf_swarm_peer_take(struct hf_swarm *swarm, const uint8_t public_key[static 32]);
/* Frees a peer that nothing holds any more. */
void hf_swarm_peer_settle(struct hf_swarm_peer *peer);
void hf_swarm_peer_free(struct hf_swarm_peer *peer); /* not taken out of the map, its topics not released */
int hf_swarm_peer_add_topic(struct hf_swarm_peer *peer, struct hf_swarm_topic *topic);
/* Found anew: what went wrong before is forgotten. */
void hf_swarm_peer_reset(struct hf_swarm_peer *peer);
void hf_swarm_peer_connected(struct hf_swarm_peer *peer, uint64_t now_ms);
void hf_swarm_peer_disconnected(struct hf_swarm_peer *peer, uint64_t now_ms);
/* Whether it may be queued; sets its priority then. */
bool hf_swarm_peer_is_due(struct hf_swarm_peer *peer);
/* How long it is left alone; 0: it is not tried again by itself. */
uint64_t hf_swarm_peer_retry_ms(const struct hf_swarm_peer *peer, const uint64_t backoff_ms[static 4], uint32_t random);
bool hf_swarm_peer_has_live_topic(const struct hf_swarm_peer *peer);

int hf_swarm_queue_add(struct hf_swarm_queue *queue, struct hf_swarm_peer *peer);
void hf_swarm_queue_remove(struct hf_swarm_queue *queue, struct hf_swarm_peer *peer);
struct hf_swarm_peer *hf_swarm_queue_take(struct hf_swarm_queue *queue, uint32_t random); /* NULL: empty */
void hf_swarm_queue_free(struct hf_swarm_queue *queue);

/* ---- Topics (swarm_topic.c) ---- */

void hf_swarm_topic_refresh(struct hf_swarm_topic *topic);
/* The same, also while a look is under way: what it was told may not be true any more. */
void hf_swarm_topic_look_again(struct hf_swarm_topic *topic);
void hf_swarm_topic_take_back(struct hf_swarm_topic *topic);
void hf_swarm_topic_release(struct hf_swarm_topic *topic); /* by a peer */
void hf_swarm_topics_leave(struct hf_swarm *swarm);        /* all; their sessions are gone */
void hf_swarm_topics_free(struct hf_swarm *swarm);         /* all, whatever holds them */
void hf_swarm_topics_server_ready(struct hf_swarm *swarm);

/* ---- Connections (swarm.c) ---- */

/* A peer was found for a topic. */
void hf_swarm_found(struct hf_swarm *swarm, struct hf_swarm_topic *topic, const struct hf_dht_peer *found);
void hf_swarm_attempt(struct hf_swarm *swarm); /* as many connections as may be begun */
uint32_t hf_swarm_random(struct hf_swarm *swarm);
int hf_swarm_listen(struct hf_swarm *swarm);   /* HF_OK: it is announced; HF_EWAIT: it is to be; what hf_dht_server_listen returns */

/* ---- Waiting (swarm_wait.c) ---- */

void hf_swarm_wait_push(struct hf_swarm_wait **list, struct hf_swarm_wait *wait);
void hf_swarm_wait_finish(struct hf_swarm *swarm, struct hf_swarm_wait *wait, int code);
bool hf_swarm_has_room(const struct hf_swarm *swarm); /* for one connection more of ours */
void hf_swarm_finish_if_full(struct hf_swarm *swarm);
void hf_swarm_tried(struct hf_swarm *swarm, const struct hf_swarm_peer *peer); /* an attempt has ended, either way */
void hf_swarm_settle(struct hf_swarm *swarm);  /* something has ended that may be waited for */
void hf_swarm_run_deferred(struct hf_loop_deferred *deferred);

#endif
