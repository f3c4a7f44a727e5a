/* dial_private: a dial, between finding the server and punching to it. Private to peer/. */
#ifndef HF_PEER_DIAL_PRIVATE_H
#define HF_PEER_DIAL_PRIVATE_H

#include "peer/dht_node_query.h"
#include "peer/path.h"
#include "peer/puncher.h"
#include "peer/relay_use.h"

#define HF_DIAL_ATTEMPTS_MAX 3u  /* handshakes under way at once, when there are nodes to begin with */
#define HF_DIAL_KEPT_WAY HF_DIAL_ATTEMPTS_MAX /* and one straight to where the peer was last time */
#define HF_DIAL_NODES_MAX 64u    /* that a dial asks for the peer */

struct hf_dial_attempt {
	struct hf_dht_dial *dial;
	struct hf_dht_request request;
	bool is_of_hint; /* asks nodes given beforehand, one after the other */
};

/* What is waited for while punching. */
enum hf_dial_step {
	HF_DIAL_NOT_PUNCHING,
	HF_DIAL_PROBE,         /* the server's answer to round 0 */
	HF_DIAL_PROBE_PAUSE,   /* the server has not found out about its NAT yet */
	HF_DIAL_ANALYSIS,
	HF_DIAL_REANALYSIS,    /* with other sockets */
	HF_DIAL_LATER_UPDATE,  /* the answer to: not now */
	HF_DIAL_LATER_PAUSE,
	HF_DIAL_PUNCH,         /* the answer to: now */
	HF_DIAL_PUNCHING,
	HF_DIAL_ABORT,         /* the answer to: never */
};

struct hf_dht_dial {
	struct hf_dht_connector *connector;
	struct hf_dht_dial *next, *previous;
	struct hf_dht_dial_options options;
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES], secret_key[HF_SIGN_SECRET_BYTES], relay_key[HF_SIGN_PUBLIC_BYTES];
	uint8_t relay_token[HF_DHT_SECRET_BYTES], target[HF_DHT_ID_BYTES];
	bool has_user; /* who has not heard of the outcome yet */
	struct hf_path *path;
	/* Finding it. */
	struct hf_noise noise;
	struct hf_buffer noise_message;
	uint64_t firewall; /* as we have told the server */
	struct hf_dht_query query;
	bool is_looking, has_second_query, found_record;
	struct hf_dial_attempt attempts[HF_DIAL_ATTEMPTS_MAX + 1];
	struct hf_address hints[HF_DHT_DIAL_RELAYS_MAX];
	size_t hint_count, hint_at;
	struct hf_address nodes[HF_DIAL_NODES_MAX]; /* that have its record, in the order of their answers */
	size_t node_count, node_at;
	/* What the server says. */
	bool is_answered, is_relayed, is_settled; /* settled: the way is found */
	struct hf_address relay, server, client;
	struct hf_udx_socket *answer_socket; /* that we had asked from */
	struct hf_dht_noise_payload payload;
	struct hf_dht_request local_ping;
	struct hf_address local;
	bool is_pinging;
	struct hf_timer passive;
	/* Punching. */
	struct hf_puncher *puncher;
	enum hf_dial_step step;
	struct hf_dht_request update;
	struct hf_timer pause;
	uint8_t punch_secret[HF_DHT_SECRET_BYTES], token_secret[HF_DHT_SECRET_BYTES];
	struct hf_dht_punch_relay server_relay;
	struct hf_address update_relay, update_peer; /* of the message that is under way */
	bool update_has_token;
	uint64_t round;
	bool may_probe_again, is_delayed, has_remote_token, has_reply_peer;
	uint8_t remote_token[HF_DHT_SECRET_BYTES];
	struct hf_address reply_peer;
	enum hf_dht_connect_error abort_error;
	/* A blind relay in between. */
	struct hf_relay_use *relay_use;
};

/* Ends it, unless another way is still being tried. The dial may be gone then. */
void hf_dial_fail(struct hf_dht_dial *dial, enum hf_dht_connect_error error, int code);
void hf_dial_destroy(struct hf_dht_dial *dial); /* unheard */
/* Frees what only finding a way needs. */
void hf_dial_settle(struct hf_dht_dial *dial);
/* Chooses among the ways once the server has answered. */
void hf_dial_choose_way(struct hf_dht_dial *dial);
void hf_dial_punch(struct hf_dht_dial *dial);
void hf_dial_stop_punching(struct hf_dht_dial *dial);

#endif
