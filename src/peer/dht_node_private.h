/* dht_node_private: the node as its parts see it.
 *
 * dht_node.c makes and ends it and tells of it; _request keeps what is under way; _serve answers others; _relay passes handshakes on;
 * _table keeps the routing table alive; _network finds out what the node is to others, and ticks.
 */
#ifndef HF_PEER_DHT_NODE_PRIVATE_H
#define HF_PEER_DHT_NODE_PRIVATE_H

#include "base/list.h"
#include "base/map.h"
#include "peer/dht_node_query.h"
#include "wire/dht/doubt.h"
#include "wire/dht/nat_sampler.h"
#include "wire/dht/rate.h"
#include "wire/dht/record_store.h"
#include "wire/dht/routing.h"
#include "wire/dht/token.h"

#define HF_DHT_TICK_MS 5000u
#define HF_DHT_SLEEP_MS (3u * HF_DHT_TICK_MS) /* so long without a tick: the machine slept */
#define HF_DHT_STABLE_TICKS 240u              /* 20 minutes */
#define HF_DHT_MORE_STABLE_TICKS (3u * HF_DHT_STABLE_TICKS)
#define HF_DHT_FORCED_TICKS 2u /* a persistent node that does not know its address yet looks again */
#define HF_DHT_REFRESH_TICKS 60u
#define HF_DHT_FIRST_REFRESH_TICKS 4u /* then twice as long each time: whoever was the first to make itself known is soon found out */
#define HF_DHT_OFFLINE_REFRESH_TICKS 3u
#define HF_DHT_RECENT_TICKS 12u
#define HF_DHT_OLD_TICKS 360u
#define HF_DHT_REPINGS_MAX 3u
#define HF_DHT_CHECKS_MAX 10u
#define HF_DHT_DOWN_HINTS_PER_TICK 50u
#define HF_DHT_FIREWALL_ASKED 5u
#define HF_DHT_FIREWALL_HOSTS_MAX 16u
#define HF_DHT_MOVED_HOSTS 3u  /* so many that see us elsewhere, with nobody between who does not: we have moved */
#define HF_DHT_MOVED_TICKS 12u /* between two such findings */
#define HF_DHT_TID_CHAINS 256u
#define HF_DHT_DELAYED_PINGS_MAX 1024u
#define HF_DHT_REFUSAL_BYTES 256u /* of the reply to a bad token, at most */
#define HF_DHT_SAVED_NODES_MAX 200u
#define HF_DHT_HEALTH_TICKS 4u

enum hf_dht_event { HF_DHT_EVENT_BOOTSTRAPPED = 1, HF_DHT_EVENT_CHANGED = 2, HF_DHT_EVENT_WOKE = 4 };

/* What the node asks for itself. */
struct hf_dht_chore {
	struct hf_dht_request request;
	struct hf_dht_node *node;
	struct hf_dht_chore *next, *previous;
	struct hf_dht_contact subject, other; /* whom it is about; who waits for its place */
};

struct hf_dht_delayed_ping {
	struct hf_dht_delayed_ping *next, *previous;
	struct hf_dht_node *node;
	struct hf_timer timer;
	struct hf_udx_socket *socket;
	struct hf_address from;
	uint16_t tid;
};

struct hf_dht_local_server {
	uint8_t target[HF_DHT_ID_BYTES];
	struct hf_dht_listener listener;
	void *context;
};

/* Requests of the last 3 seconds, in four parts. */
struct hf_dht_window {
	uint32_t counts[4], total;
	uint64_t slot; /* of 750 ms */
};

struct hf_dht_node {
	struct hf_udx_net *net;
	struct hf_udp_host *host;
	struct hf_env *env;
	const struct hf_dht_node_events *events;
	void *context;
	struct hf_address bind, own_address;
	bool only_port;
	enum hf_dht_role role;
	uint32_t rate_per_s, record_count_max;
	struct hf_address bootstrap[HF_DHT_BOOTSTRAP_COUNT_MAX];
	size_t bootstrap_count;
	bool bootstrap_is_pending;

	struct hf_udx_socket *server, *client;
	uint16_t server_port, client_port; /* as bound last */
	bool is_ephemeral, is_firewalled, is_bootstrapped, is_suspended, is_online, is_degraded;

	/* Table and address. */
	struct hf_dht_table table;
	struct hf_dht_doubt doubt;
	struct hf_nat_sampler nat;
	struct hf_address sampled[HF_DHT_BOOTSTRAP_COUNT_MAX]; /* nodes without id that told us our address */
	size_t sampled_count;
	uint32_t tick, refresh_ticks, refresh_every_ticks, stable_ticks, repings, checks, down_hints_left;
	struct hf_address moved_to, moved_told_by[HF_DHT_MOVED_HOSTS];
	uint32_t moved_count, moved_tick; /* who have told so by now; when it was found last */
	struct hf_address last_host;
	bool has_last_host;
	uint64_t last_tick_wall_ms;
	struct hf_timer ticker;

	/* Requests. */
	struct hf_dht_request *by_tid[HF_DHT_TID_CHAINS];
	struct hf_dht_request *waiting_first, *waiting_last;
	size_t inflight_count, waiting_count;
	struct hf_dht_window window;
	struct hf_timer drain;
	uint16_t next_tid;
	struct hf_dht_chore *chores;

	/* Serving. */
	struct hf_dht_tokens tokens;
	uint64_t token_ms;
	struct hf_dht_record_store *records; /* NULL as long as it never was persistent */
	struct hf_map local_servers;
	struct hf_dht_delayed_ping *delayed_pings;
	size_t delayed_ping_count;
	struct hf_dht_rate rate, unproven; /* requests of hosts; bytes to networks */
	struct hf_buffer value, datagram; /* scratch */

	/* Finding out. */
	struct hf_dht_query boot_query, refresh_query;
	unsigned boot_round;
	bool boot_asked, boot_tested, is_checking, check_only_firewall, check_is_of_boot;
	struct hf_nat_sampler check_nat;
	struct hf_address check_before; /* our address when the check began */
	unsigned check_asked, check_pending, check_count;
	struct hf_address check_hosts[HF_DHT_FIREWALL_HOSTS_MAX]; /* seen on the server socket meanwhile */
	size_t check_host_count;
	uint64_t replies_before, timeouts_before; /* at the last tick */
	uint8_t health[HF_DHT_HEALTH_TICKS];      /* of the last ticks, enum in dht_node_network.c */
	unsigned health_ticks, offline_ticks;

	struct hf_dht_query_run *queries;
	unsigned pending_events;
	struct hf_loop_deferred deferred;
	bool *is_freed; /* set for whoever calls out */
	struct hf_dht_node_stats stats;
};

/* ---- dht_node.c ---- */
void hf_dht_node_tell(struct hf_dht_node *node, enum hf_dht_event event); /* soon */
bool hf_dht_node_send(
	struct hf_dht_node *node, struct hf_udx_socket *socket, const struct hf_address *to, struct hf_slice bytes, uint8_t ttl);
static inline const uint8_t *hf_dht_node_visible_id(const struct hf_dht_node *node, const struct hf_udx_socket *socket)
{
	return !node->is_ephemeral && socket == node->server ? node->table.id : NULL;
}
int hf_dht_node_make_records(struct hf_dht_node *node); /* unless it has them; HF_ENOMEM */

/* ---- dht_node_request.c ---- */
void hf_dht_node_take_reply(struct hf_dht_node *node, struct hf_udx_socket *socket, const struct hf_address *from,
	const uint8_t *id, const struct hf_dht_message *message);
/* All requests end soon with code; socket: only those that were sent from it. */
void hf_dht_node_fail_requests(struct hf_dht_node *node, const struct hf_udx_socket *socket, int code);
void hf_dht_node_drop_requests(struct hf_dht_node *node); /* unheard */
void hf_dht_node_init_requests(struct hf_dht_node *node);
/* A request of the node's own, freed when it is done: start with hf_dht_chore_start. NULL: out of memory. */
struct hf_dht_chore *hf_dht_chore_new(struct hf_dht_node *node, const struct hf_address *to, enum hf_dht_internal_command command);
bool hf_dht_chore_start(struct hf_dht_chore *chore); /* false: it could not be, and is freed */
void hf_dht_chore_free(struct hf_dht_chore *chore);

/* ---- dht_node_serve.c ---- */
/* A request as it came in. */
struct hf_dht_served {
	struct hf_udx_socket *socket;
	struct hf_address from;
	const uint8_t *id; /* checked; NULL */
	const struct hf_dht_message *message;
};
enum hf_dht_reply_parts { HF_DHT_WITH_TOKEN = 1, HF_DHT_WITH_CLOSER = 2 };
/* value NULL: none. */
void hf_dht_node_reply(struct hf_dht_node *node, const struct hf_dht_served *served, uint64_t error, const struct hf_slice *value,
	unsigned parts);

void hf_dht_node_drop_delayed_pings(struct hf_dht_node *node, const struct hf_udx_socket *socket); /* NULL: of all sockets */

bool hf_dht_node_may_send(struct hf_dht_node *node, const struct hf_address *to, size_t length); /* within the budget; counts it */

/* ---- dht_node_relay.c ---- */
void hf_dht_node_serve_handshake(struct hf_dht_node *node, const struct hf_dht_served *served);
void hf_dht_node_serve_holepunch(struct hf_dht_node *node, const struct hf_dht_served *served);
void hf_dht_node_free_servers(struct hf_dht_node *node);

/* ---- dht_node_table.c ---- */
/* Somebody who shows its id was heard, or somebody told us our address. is_sample: on the socket that we ask from. */
void hf_dht_node_heard(
	struct hf_dht_node *node, bool is_sample, const struct hf_address *from, const uint8_t *id, const struct hf_address *to);
bool hf_dht_node_is_bad(const struct hf_address *address); /* never asked, never kept */
bool hf_dht_node_is_doubted(const struct hf_dht_node *node, const struct hf_address *address);
/* Of the nodes that it named, so many answered and so many did not. Whoever is doubted with that leaves the table. */
void hf_dht_node_judge(struct hf_dht_node *node, const struct hf_address *address, unsigned alive, unsigned dead);
void hf_dht_node_check(struct hf_dht_node *node, struct hf_dht_entry *entry); /* a ping; without an answer it is removed */
void hf_dht_node_ping_some(struct hf_dht_node *node);
void hf_dht_node_sample(struct hf_dht_node *node, const struct hf_address *to);

/* ---- dht_node_network.c ---- */
void hf_dht_node_start_ticking(struct hf_dht_node *node);
void hf_dht_node_bootstrap(struct hf_dht_node *node);
void hf_dht_node_refresh(struct hf_dht_node *node);
void hf_dht_node_told_address(struct hf_dht_node *node, const struct hf_address *from, const struct hf_address *to); /* by a reply */
void hf_dht_node_seen_on_server(struct hf_dht_node *node, const struct hf_address *from);
void hf_dht_node_woke(struct hf_dht_node *node);
uint32_t hf_dht_node_random_below(struct hf_dht_node *node, uint32_t bound);

/* ---- dht_node_query.c ---- */
void hf_dht_node_drop_queries(struct hf_dht_node *node); /* unheard */
void hf_dht_node_begin_queries(struct hf_dht_node *node); /* those that wait for bootstrap nodes */

#endif
