/* dht_node: a node of HyperDHT: it asks other nodes, answers them, keeps records for them once it may, and passes the handshakes of
 * peers on. (spec: swarm, 2, 3, 4.2, 4.8; npm dht-rpc 6, hyperdht 6)
 *
 *     hf_dht_node_new(&node, {.net = net, .bootstrap = …}, &failure);
 *     … events->bootstrapped: the table has been filled …
 *     requests; queries (dht_node_query.h); lookups and announces (dht_node_lookup.h); puts and gets (dht_node_value.h)
 *     hf_dht_node_free(node);
 *
 * It has two sockets: `server` on a known port, and `client` on any. As long as it may be firewalled it asks from the client socket,
 * so that what others then reach at the server socket shows whether it can be reached. It is ephemeral at first: nobody puts it into
 * a table. Once it has been up for 20 minutes, knows its address and can be reached, it becomes persistent (its id is the hash of its
 * address) and stores records; options can have that at once or never. Nothing is asked of anybody but the bootstrap nodes, those
 * given, and whom they name: without bootstrap nodes it waits for others to come.
 *
 * Everything here belongs to the loop. Calls start things and return; callbacks come later, never from inside the call that
 * started it (but _cancel and _free, which tell nobody). In a callback anything may be started, cancelled and freed, the node too.
 * Structs that are embedded (requests, queries, …) must stay where they are until their `done` was called or they were cancelled; those
 * not started are zero. IPv4 only: addresses of another family are refused with HF_EADDR.
 */
#ifndef HF_PEER_DHT_NODE_H
#define HF_PEER_DHT_NODE_H

#include "net/udx_net.h"
#include "wire/dht/holepunch.h"
#include "wire/dht/message.h"

#define HF_DHT_PORT 49737u            /* the package's, and the four behind it */
#define HF_DHT_PORT_TRIES 5u
#define HF_DHT_BOOTSTRAP_COUNT_MAX 32u
#define HF_DHT_TIMEOUT_MS 1000u       /* of one transmission */
#define HF_DHT_RETRIES 3u             /* transmissions after the first */
#define HF_DHT_QUERY_RETRIES 5u
#define HF_DHT_WINDOW_MAX 80u         /* requests sent in 750 ms; twice that in 3 s */
#define HF_DHT_INFLIGHT_COUNT_MAX 16384u /* requests that wait, sent or not */
#define HF_DHT_PING_DELAY_MS_MAX 10000u
#define HF_DHT_RECORD_COUNT_MAX 65536u
#define HF_DHT_RATE_PER_S 200u        /* requests that one host may make; the rest is dropped and counted */
#define HF_DHT_UNPROVEN_BYTES_PER_S 65536u /* to a /24 whose hosts may not have asked for it; the rest is dropped and counted */

struct hf_dht_node;

enum hf_dht_role {
	HF_DHT_ADAPTIVE,    /* ephemeral; persistent when it has proved itself */
	HF_DHT_EPHEMERAL,   /* for ever: what a short-lived tool is */
	HF_DHT_PERSISTENT,  /* as soon as it knows its address */
	HF_DHT_BOOTSTRAPPER, /* persistent at once, at `address`: the first node of a network */
};

struct hf_dht_node_events {
	/* The table has been filled as well as could be, once after each start. May be NULL, as all of them. */
	void (*bootstrapped)(void *context, struct hf_dht_node *node);
	/* Something of hf_dht_node_state is another than before. */
	void (*changed)(void *context, struct hf_dht_node *node);
	/* A datagram of one byte: somebody punches. */
	void (*probe)(void *context, struct hf_dht_node *node, struct hf_udx_socket *socket, const struct hf_address *from);
	/* Time was lost (the machine slept): addresses and connections are to be tried anew. */
	void (*woke)(void *context, struct hf_dht_node *node);
};

struct hf_dht_node_options {
	size_t size;                       /* sizeof this struct */
	struct hf_udx_net *net;            /* outlives the node */
	struct hf_address bind;            /* all zero: 0.0.0.0. port 0: HF_DHT_PORT and the four behind it, then any */
	bool only_port;                    /* bind.port and no other: HF_EADDR when it is taken. With port 0: any, without trying the known ones */
	enum hf_dht_role role;
	bool is_open;                      /* can be reached for sure: no check */
	struct hf_address address;         /* of a bootstrapper: as others see it */
	const struct hf_address *bootstrap; /* copied */
	size_t bootstrap_count;
	bool bootstrap_is_pending;         /* hf_dht_node_set_bootstrap follows; until then queries that know nobody to ask wait */
	struct hf_slice saved;             /* what hf_dht_node_save gave; nodes to begin with. What cannot be read is ignored. */
	uint32_t rate_per_s;               /* requests taken of one host; 0: HF_DHT_RATE_PER_S. Loopback is not limited. */
	uint32_t record_count_max;         /* of each kind, half of it of values; 0: HF_DHT_RECORD_COUNT_MAX */
	const struct hf_dht_node_events *events; /* may be NULL */
	void *context;
};

/* Binds its sockets and begins to look for its neighbours. HF_EINVAL, HF_EADDR (cannot be bound), HF_ENOMEM. */
HF_API int hf_dht_node_new(struct hf_dht_node **out, const struct hf_dht_node_options *options, struct hf_failure *failure);
/* Requests and queries that are under way are forgotten; nothing is called any more. NULL is fine. */
HF_API void hf_dht_node_free(struct hf_dht_node *node);
/* Closes the sockets; what is under way ends with HF_ECANCELED. Resuming binds the same ports if they can be had and looks for neighbours
 * again; errors as hf_dht_node_new, it stays suspended then. */
HF_API void hf_dht_node_suspend(struct hf_dht_node *node);
HF_API int hf_dht_node_resume(struct hf_dht_node *node, struct hf_failure *failure);
/* Other bootstrap nodes than before: it begins with them, unless it knows others already. HF_EINVAL: not IPv4, or too many. */
HF_API int hf_dht_node_set_bootstrap(struct hf_dht_node *node, const struct hf_address *bootstrap, size_t count);
/* Appends up to 200 nodes, the latest heard first, for options.saved. HF_ENOMEM. */
HF_API int hf_dht_node_save(const struct hf_dht_node *node, struct hf_buffer *out);
/* Adds a node to the table unheard, as one that was named in a configuration or found on the local network. */
HF_API void hf_dht_node_add(struct hf_dht_node *node, const struct hf_address *address);

/* ---- What it knows of itself ---- */

struct hf_dht_node_state {
	bool is_bootstrapped, is_persistent, is_firewalled, is_suspended;
	bool is_online;   /* false: nothing answers */
	bool is_degraded; /* more than half of all requests are lost */
	bool has_host;    /* seen.ip is known */
	bool has_port;    /* seen.port, too. Host without port: each destination sees another port (randomised). */
	struct hf_address seen;
	struct hf_address server, client; /* as bound */
	uint8_t id[HF_DHT_ID_BYTES];      /* of the table; others see it when is_persistent */
};
HF_API void hf_dht_node_read_state(const struct hf_dht_node *node, struct hf_dht_node_state *state);
/* Where others reach the server socket: public, not firewalled, and its port is the one bound. False: nowhere for sure. */
HF_API bool hf_dht_node_remote_address(const struct hf_dht_node *node, struct hf_address *address);
HF_API struct hf_udx_socket *hf_dht_node_server_socket(const struct hf_dht_node *node); /* NULL when suspended */
HF_API struct hf_udx_socket *hf_dht_node_client_socket(const struct hf_dht_node *node);
HF_API struct hf_udx_socket *hf_dht_node_socket(const struct hf_dht_node *node); /* what it asks from: one of the two */
HF_API struct hf_udx_net *hf_dht_node_net(const struct hf_dht_node *node);
/* Nodes of the table, the latest heard first; returns how many. */
HF_API size_t hf_dht_node_recent(const struct hf_dht_node *node, struct hf_dht_contact *out, size_t count_max);

/* Tells the node of a change of networks (interfaces): it samples its address anew and calls `changed`. */
HF_API void hf_dht_node_network_changed(struct hf_dht_node *node);

/* ---- Requests ---- */

struct hf_dht_reply {
	struct hf_address from; /* whom it came from: not always whom was asked */
	struct hf_address to;   /* ourselves, as the other side sees us */
	struct hf_udx_socket *socket; /* that it came in on */
	const uint8_t *id;      /* HF_DHT_ID_BYTES, checked against from; NULL: it is ephemeral */
	const uint8_t *token;   /* HF_DHT_TOKEN_BYTES; NULL */
	struct hf_slice closer; /* hf_dht_closer_count, hf_dht_closer_at */
	uint64_t error;         /* enum hf_dht_error, or one not known */
	bool has_value;
	struct hf_slice value;
	uint32_t rtt_ms;        /* since it was sent last */
};

struct hf_dht_request {
	/* Given before the start. target, token and value are borrowed until hf_dht_request_start returns. */
	struct hf_address to;
	bool is_internal;
	bool has_value;
	uint8_t command;         /* enum hf_dht_command, or hf_dht_internal_command */
	bool force;              /* does not wait for the window */
	bool once;               /* not sent again */
	bool is_of_table;        /* a node that does not answer is taken out of the table */
	uint8_t retries;         /* 0: HF_DHT_RETRIES; see once */
	uint8_t ttl;             /* 0: the usual one */
	uint32_t timeout_ms;     /* of one transmission; 0: HF_DHT_TIMEOUT_MS */
	const uint8_t *target, *token;
	struct hf_slice value;
	struct hf_udx_socket *socket; /* NULL: hf_dht_node_socket. Not closed before the request is done. */
	/* HF_OK with the reply (its error field is the caller's to look at), which is borrowed; HF_ETIMEOUT, HF_ECANCELED (suspended),
	 * HF_ECLOSED (its socket was). */
	void (*done)(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply);
	/* A first transmission has had no answer in its time. May be NULL. */
	void (*slow)(struct hf_dht_request *request);
	/* Ours. */
	struct {
		struct hf_dht_node *node; /* NULL: not under way */
		struct hf_udx_socket *socket;
		struct hf_dht_request *next, *previous; /* of all with its tid's low bits */
		struct hf_dht_request *wait_next;
		struct hf_timer timer;
		struct hf_buffer datagram;
		uint64_t sent_us;
		uint16_t tid;
		uint8_t sent_count;
		bool is_waiting;
		int fails; /* with which it ends soon; HF_OK: it goes on */
	} in;
};

/* HF_EADDR (not IPv4, port 0), HF_ETOOBIG (more than a datagram), HF_EBUSY (HF_DHT_INFLIGHT_COUNT_MAX), HF_ECANCELED (suspended),
 * HF_ENOMEM: done is not called then. */
HF_API int hf_dht_request_start(struct hf_dht_node *node, struct hf_dht_request *request);
HF_API void hf_dht_request_cancel(struct hf_dht_request *request); /* done is not called; not under way is fine */
static inline bool hf_dht_request_is_active(const struct hf_dht_request *request) { return request->in.node != NULL; }
/* A ping from `socket` (NULL: the usual); shorthand. */
HF_API int hf_dht_ping(struct hf_dht_node *node, struct hf_dht_request *request, const struct hf_address *to, struct hf_udx_socket *socket);

/* ---- Sockets of others ---- */

/* A datagram that came on a socket that the caller has opened on the node's net (a puncher's): replies find their request, requests are
 * served. Datagrams of one byte are not the node's: the caller looks first. */
HF_API void hf_dht_node_receive(
	struct hf_dht_node *node, struct hf_udx_socket *socket, const struct hf_address *from, uint8_t *data, size_t length);
/* Before such a socket is closed: requests that were sent from it end with HF_ECLOSED. */
HF_API void hf_dht_node_forget_socket(struct hf_dht_node *node, struct hf_udx_socket *socket);

/* ---- Servers of this process: what comes for them through other nodes (4.2 and 4.8, rows S) ---- */

/* How a message came, and thereby how its answer goes. Plain values: copy it and answer later. */
struct hf_dht_route {
	uint8_t target[HF_DHT_ID_BYTES];
	struct hf_address from;       /* the node that passed it on, or the client itself */
	struct hf_address to;         /* ourselves as `from` sees us */
	struct hf_udx_socket *socket; /* that it came in on */
	enum hf_dht_hop hop;
	uint16_t tid;
	bool is_relayed;              /* peer is the client, as the relay sees it; else it is `from` */
	struct hf_address peer;
	bool has_relay;               /* a second relay, which gets the answer */
	struct hf_address relay;
};
struct hf_dht_listener {
	/* bytes are borrowed. Answer with hf_dht_answer_handshake, at once or later; or not at all. */
	void (*handshake)(void *context, const struct hf_dht_route *route, struct hf_slice noise);
	void (*holepunch)(void *context, const struct hf_dht_route *route, uint64_t id, struct hf_slice payload);
};
/* What comes for target (the hash of a public key) goes to the listener, however the node is reached, until unlisten. One a target:
 * HF_EEXISTS. HF_ENOMEM. */
HF_API int hf_dht_node_listen(
	struct hf_dht_node *node, const uint8_t target[static HF_DHT_ID_BYTES], const struct hf_dht_listener *listener, void *context);
HF_API void hf_dht_node_unlisten(struct hf_dht_node *node, const uint8_t target[static HF_DHT_ID_BYTES]);
/* socket: what the answer leaves from, which tells the client where the server is; NULL: what it came in on. HF_ENOMEM; lost otherwise is
 * as lost on the way. */
HF_API int hf_dht_answer_handshake(
	struct hf_dht_node *node, const struct hf_dht_route *route, struct hf_slice noise, struct hf_udx_socket *socket);
HF_API int hf_dht_answer_holepunch(
	struct hf_dht_node *node, const struct hf_dht_route *route, struct hf_slice payload, struct hf_udx_socket *socket);

/* As this node would be asked with FIND_PEER: whether it keeps an announce for target, and through which address it is reached. */
HF_API bool hf_dht_node_find_local(const struct hf_dht_node *node, const uint8_t target[static HF_DHT_ID_BYTES], struct hf_address *relay);

/* ---- Figures ---- */

struct hf_dht_node_stats {
	size_t table_count, inflight_count, waiting_count, query_count;
	uint64_t queries;                     /* all so far */
	uint64_t requests, replies, timeouts, retries;
	uint64_t received, sent;              /* datagrams of the DHT */
	uint64_t malformed;                   /* dropped: not readable */
	uint64_t rate_limited;                /* dropped: too many of one host */
	uint64_t over_budget;                 /* not sent: too many bytes to a network whose hosts have not shown that they asked */
	uint64_t unsent;                      /* dropped: the system took no more */
	uint64_t bad_tokens, bad_signatures, bad_seqs, stale_replies;
	/* By hf_dht_command_index; the last one: commands that nobody knows. */
	uint64_t served[HF_DHT_COMMAND_COUNT + 1];                               /* requests of others that were taken */
	uint64_t answered[HF_DHT_COMMAND_COUNT + 1], timed_out[HF_DHT_COMMAND_COUNT + 1]; /* requests of ours */
	uint64_t relayed;                     /* handshakes and holepunches passed on */
	uint64_t down_hints;                  /* sent */
	size_t records, routes, mutables, immutables;
	uint64_t records_evicted;
	size_t record_bytes;                  /* memory of all records */
};
HF_API void hf_dht_node_read_stats(const struct hf_dht_node *node, struct hf_dht_node_stats *stats);

#endif
