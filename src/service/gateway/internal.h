/* internal: what the parts of the gateway share. (Private to service/gateway/.) */
#ifndef HF_SERVICE_GATEWAY_INTERNAL_H
#define HF_SERVICE_GATEWAY_INTERNAL_H

#include <jansson.h>

#include "net/http_server.h"
#include "net/memory.h"
#include "net/notify.h"
#include "peer/core_host.h"
#include "service/datadir.h"
#include "service/gateway/admin_guard.h"
#include "service/gateway/gateway.h"
#include "service/keyring.h"
#include "service/relay/relay.h"

#define HF_GATEWAY_PROXY_COUNT_MAX 64
#define HF_GATEWAY_LISTEN_COUNT_MAX 16
#define HF_GATEWAY_ADMIN_PATH_BYTES 48
#define HF_GATEWAY_SNAPSHOT_WORKERS_MAX 256

/* What the audit log has been told of so far. */
struct hf_tally {
	struct hf_timer timer;
	uint64_t refused[HF_CONFIG_RELAY_COUNT_MAX][HF_RELAY_REFUSAL_COUNT];
	uint64_t proofs_false, peers_failed;
	uint64_t admin_refused[HF_ADMIN_REFUSAL_COUNT];
};

/* What vitals.c keeps between readings. */
struct hf_vitals {
	struct hf_metric_table *table;
	uint64_t started_ms, clock_steps, reload_failures;
	int64_t clock_ahead_ms; /* of the monotonic clock */
	bool has_reload_failed; /* the last one */
};

struct hf_gateway {
	const struct hf_gateway_options *options;
	struct hf_config *config;
	struct hf_config *first_config; /* what it began with: for actions on other threads, which a reload must not disturb */
	struct hf_env env;
	struct hf_datadir directory;
	struct hf_keys *keys;
	struct hf_metrics *metrics;
	struct hf_store *store;
	struct hf_executor *verify, *query, *admin;
	struct hf_loop *loop;
	struct hf_notify *notify; /* NULL: nobody wants to be told how it goes */
	struct hf_tls *tls;
	struct hf_http_server *server, *admin_server, *metrics_server;
	struct hf_core_host *cores;    /* with the bees of relays; NULL when there are none and nobody is listened for */
	struct hf_metric_table *core_metrics;
	struct hf_peer_listener *core_listeners[HF_GATEWAY_LISTEN_COUNT_MAX];
	size_t core_listener_count;
	struct hf_worker_node *worker; /* NULL: it is none */
	struct hf_swarm_node *swarm;   /* where peers find them; NULL: nowhere */
	struct hf_advertiser *advertiser; /* NULL: it is not announced */
	/* Relays on members' machines; NULL when workers.enabled is not set, tokens also without tokens.enabled. */
	struct hf_state *state;        /* shared with other gateways, where Redis is configured */
	struct hf_registry *registry;
	struct hf_tokens *tokens;
	struct hf_registrar *registrar;
	struct hf_workers *workers;
	struct hf_dials *dials;
	struct hf_front *front;
	struct hf_audit *audit;
	struct hf_tally tally;
	struct hf_vitals vitals;
	/* Administration over HTTP. */
	struct hf_admin_guard *guard;  /* NULL: it is closed */
	struct hf_admin_events *events;
	char (*admin_paths)[HF_GATEWAY_ADMIN_PATH_BYTES]; /* of routes */
	struct hf_secret bee_keys[HF_CONFIG_RELAY_COUNT_MAX]; /* while relays are opened; a worker keeps them */
	struct hf_secret identity_keys[HF_CONFIG_RELAY_COUNT_MAX]; /* of a worker that tells others of its relays */
	struct hf_relay *relays[HF_CONFIG_RELAY_COUNT_MAX];
	uint8_t identities[HF_CONFIG_RELAY_COUNT_MAX][32];
	size_t relay_count;
	struct hf_address_range proxies[HF_GATEWAY_PROXY_COUNT_MAX];
	size_t proxy_count;
	struct hf_http_route *routes, *admin_routes;
	size_t route_count, admin_route_count;
	char listen_url[96];           /* of the first listener */
	char admin_path[HF_PATH_BYTES_MAX];
	struct hf_timer drain_timer;
	uint64_t started_us, drain_deadline_us;
	uint32_t admin_job_count;      /* administration that is away on a worker */
	bool is_draining, is_drained;
};

/* ---- setup.c ---- */
int hf_gateway_open(struct hf_gateway *gateway, struct hf_failure *failure);
int hf_gateway_watch_signals(struct hf_gateway *gateway, struct hf_failure *failure);
void hf_gateway_close(struct hf_gateway *gateway);
int hf_gateway_parse_proxies(struct hf_gateway *gateway, const struct hf_config *config, struct hf_failure *failure);
/* Puts gateway.memory_max in force. */
void hf_gateway_limit_memory(struct hf_gateway *gateway);
void hf_gateway_server_options(struct hf_gateway *gateway, struct hf_http_server_options *options);
struct hf_relay_options hf_gateway_relay_options(struct hf_gateway *gateway, const struct hf_config *config, size_t index);

/* Calls each for every entry of a list of addresses; what it returns below 0 ends it and is returned. */
int hf_gateway_each_address(const char *list, int (*each)(void *context, const char *address, struct hf_failure *failure), void *context,
	struct hf_failure *failure);

/* ---- cores.c ---- */
/* The host, when the configuration has something for it; before the relays. */
int hf_gateway_open_cores(struct hf_gateway *gateway, struct hf_failure *failure);
int hf_gateway_listen_cores(struct hf_gateway *gateway, struct hf_failure *failure);
int hf_gateway_join_swarm(struct hf_gateway *gateway, struct hf_failure *failure);
/* Nobody is listened to any more, and all who are connected are let go. */
void hf_gateway_close_peers(struct hf_gateway *gateway);
void hf_gateway_close_cores(struct hf_gateway *gateway);
/* The cores that are to be found by others: of each relay its bee. *cursor starts at 0; NULL at the end. */
const uint8_t *hf_gateway_next_public_core(const struct hf_gateway *gateway, size_t *cursor, uint8_t discovery_key[static 32]);

/* ---- announce.c ---- */
#define HF_GATEWAY_SECRET_PATH "/.well-known/hypertuna-gateway-secret"
/* If it is configured; when all that is announced is there. */
int hf_gateway_start_announcing(struct hf_gateway *gateway, struct hf_failure *failure);
/* The route at which the secret of registrations is given to everybody; NULL: it is not. */
const struct hf_http_route *hf_gateway_secret_route(const struct hf_gateway *gateway);

/* ---- members.c ---- */
/* After the swarm was joined. */
int hf_gateway_open_members(struct hf_gateway *gateway, struct hf_failure *failure);
int hf_gateway_reconfigure_members(struct hf_gateway *gateway, const struct hf_config *config, struct hf_failure *failure);
/* Takes its work away and ends its connection; not connected is fine. */
void hf_gateway_dismiss_worker(struct hf_gateway *gateway, const uint8_t peer[static 32], const char *why);
/* Answers what waits for a commit, turning the loop; while the servers are there. After it nothing is taken any more. */
void hf_gateway_settle_members(struct hf_gateway *gateway);
/* When clients are gone, and before peers are. */
void hf_gateway_close_members(struct hf_gateway *gateway);
extern const struct hf_http_route hf_gateway_member_routes[]; /* behind all others */
extern const size_t hf_gateway_member_route_count;
/* ---- worker_role.c ---- */
#define HF_GATEWAY_WORKER_ROUTE_COUNT 4
extern const struct hf_http_route hf_gateway_worker_routes[HF_GATEWAY_WORKER_ROUTE_COUNT]; /* for clients here */
int hf_gateway_open_worker(struct hf_gateway *gateway, struct hf_failure *failure); /* if it is one; last */
void hf_gateway_handle_worker(void *context, struct hf_http_exchange *exchange);

/* Makes the routes of the server for clients anew, where administration was turned on or off. */
int hf_gateway_make_routes(struct hf_gateway *gateway);

/* ---- gateway.c ---- */
int hf_gateway_reload(struct hf_gateway *gateway, struct hf_failure *failure);
void hf_gateway_drain(struct hf_gateway *gateway);
/* Each setting that is another in config than when the gateway started, and changes only with a restart. relay: NULL outside "relay". */
void hf_gateway_each_restart(const struct hf_gateway *gateway, const struct hf_config *config,
	void (*each)(void *context, const char *setting, const char *relay), void *context);

/* ---- rotation.c ---- */
/* Takes into use what was rotated, as far as it can be. HF_EDENIED, HF_ECORRUPT, HF_ENOMEM with the sentence: the old keys stay. */
int hf_gateway_reload_keys(struct hf_gateway *gateway, struct hf_failure *failure);
/* The same for keys that were rotated and are in use only after a restart; relay: the one whose bee they begin. */
void hf_gateway_each_key_restart(const struct hf_gateway *gateway, void (*each)(void *context, const char *what, const char *relay),
	void *context);

/* ---- tally.c ---- */
int hf_gateway_start_tally(struct hf_gateway *gateway);
void hf_gateway_tally(struct hf_gateway *gateway); /* now */

/* ---- vitals.c ---- */
int hf_gateway_open_vitals(struct hf_gateway *gateway); /* after all that it looks at; HF_ENOMEM */
void hf_gateway_close_vitals(struct hf_gateway *gateway);
void hf_gateway_watch_clock(struct hf_gateway *gateway); /* from time to time */
void hf_gateway_note_reload(struct hf_gateway *gateway, int status);

/* ---- health.c ---- */
#define HF_HEALTH_REASON_COUNT_MAX 16
struct hf_health_reason {
	const char *name; /* for programs: few, and always the same */
	char sentence[192];
};
struct hf_health {
	bool is_ready;    /* to be sent clients */
	size_t count;     /* none: all is well */
	struct hf_health_reason reasons[HF_HEALTH_REASON_COUNT_MAX];
};
void hf_gateway_health(const struct hf_gateway *gateway, struct hf_health *health);
void hf_gateway_handle_health(void *context, struct hf_http_exchange *exchange);
void hf_gateway_handle_admin_health(void *context, struct hf_http_exchange *exchange);

json_t *hf_gateway_health_json(const struct hf_gateway *gateway);

/* ---- admin_members.c ---- */
void hf_gateway_handle_workers(void *context, struct hf_http_exchange *exchange);
void hf_gateway_handle_dispatcher(void *context, struct hf_http_exchange *exchange);
json_t *hf_gateway_workers_json(struct hf_gateway *gateway);    /* with what the dispatcher knows of each; at most SNAPSHOT_WORKERS_MAX */
json_t *hf_gateway_dispatcher_json(struct hf_gateway *gateway); /* null: there is none */

/* ---- admin_snapshot.c ---- */
json_t *hf_gateway_snapshot(struct hf_gateway *gateway);
void hf_gateway_handle_snapshot(void *context, struct hf_http_exchange *exchange);

/* ---- admin_events.c ---- */
int hf_gateway_open_events(struct hf_gateway *gateway);
void hf_gateway_handle_events(void *context, struct hf_http_exchange *exchange);
void hf_gateway_end_events(struct hf_gateway *gateway, bool with_snapshot); /* every reader; later ones are taken */
bool hf_gateway_events_are_idle(const struct hf_gateway *gateway);
/* Nobody watches any more, nor may; records that are on their way come with the loop. */
void hf_gateway_hush_events(struct hf_gateway *gateway);
void hf_gateway_close_events(struct hf_gateway *gateway); /* after the servers */

/* ---- admin_http.c ---- */
/* Makes the guard, changes it or takes it away, as the configuration says. */
int hf_gateway_configure_guard(struct hf_gateway *gateway, const struct hf_config *config, struct hf_failure *failure);
bool hf_gateway_authorize(void *context, struct hf_http_exchange *exchange);
/* Who was let in to watch still would be: false when it was by a certificate that is not good or not named any more. */
bool hf_gateway_may_watch(struct hf_gateway *gateway, struct hf_http_exchange *exchange);
const char *hf_gateway_who(const struct hf_http_exchange *exchange); /* whom the guard let in with it, or "admin.sock" */
/* Appends the routes of administration and the dashboard; `routes` has room for _admin_http_route_count. HF_ENOMEM. */
size_t hf_gateway_admin_http_route_count(const struct hf_gateway *gateway);
int hf_gateway_add_admin_http_routes(struct hf_gateway *gateway, struct hf_http_route *routes, size_t *count);
/* Answers with an error: what went wrong by number and as a sentence; fields as of hf_http_respond. */
void hf_gateway_refuse(struct hf_http_exchange *exchange, int status, int code, const char *sentence, const char *fields);
void hf_gateway_handle_link(void *context, struct hf_http_exchange *exchange);

/* ---- dashboard.c ---- */
#define HF_GATEWAY_DASHBOARD_ROUTE_COUNT 2
extern const struct hf_http_route hf_gateway_dashboard_routes[HF_GATEWAY_DASHBOARD_ROUTE_COUNT];

/* ---- admin.c ---- */
/* Takes value; NULL: there was no memory for it. */
void hf_gateway_respond_json(struct hf_http_exchange *exchange, json_t *value);
json_t *hf_gateway_relay_json(const struct hf_relay *relay);
/* Writes what an operator did into the audit log. Takes fields; exchange NULL: they say already by whom. */
void hf_gateway_note_act(struct hf_gateway *gateway, struct hf_http_exchange *exchange, const char *kind, json_t *fields);
extern const struct hf_http_route hf_gateway_admin_routes[];
extern const size_t hf_gateway_admin_route_count;
extern const struct hf_http_route hf_gateway_metrics_route; /* of the listeners for metrics */

#endif
