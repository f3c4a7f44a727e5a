/* server_private: a server, and the handshakes of those who knock, which it keeps so that the same message gets the same answer. Private to
 * peer/.
 */
#ifndef HF_PEER_SERVER_PRIVATE_H
#define HF_PEER_SERVER_PRIVATE_H

#include "base/map.h"
#include "peer/announcer.h"
#include "peer/path.h"
#include "peer/puncher.h"
#include "peer/relay_use.h"

#define HF_SERVER_WAITING_MAX 4u /* messages of a punch that wait for what the NAT is */

/* A message of the client's that is answered once it is known what NAT we are behind. */
struct hf_server_waiting {
	struct hf_dht_route route;
	struct hf_dht_punch punch;
};

struct hf_server_handshake {
	struct hf_dht_server *server;
	struct hf_server_handshake *next, *previous;
	uint32_t id;          /* what the client calls it when it punches */
	struct hf_buffer key; /* message 1 */
	struct hf_buffer answer; /* message 2; empty: it is ignored */
	struct hf_address client;
	uint8_t remote_key[HF_SIGN_PUBLIC_BYTES];
	struct hf_path *path; /* NULL: it is over, or refused */
	bool is_clearing;     /* nothing more comes of it; kept for repeated messages */
	bool answers_from_puncher;
	struct hf_timer timer; /* a way has to be found until then; or it is cleared */
	struct hf_puncher *puncher;
	uint8_t punch_secret[HF_DHT_SECRET_BYTES], token_secret[HF_DHT_SECRET_BYTES];
	uint64_t round;
	struct hf_server_waiting waiting[HF_SERVER_WAITING_MAX];
	size_t waiting_count;
	struct hf_relay_use *relay_use;
};

struct hf_dht_server {
	struct hf_dht_connector *connector;
	struct hf_dht_server *next, *previous;
	struct hf_dht_server_options options;
	uint8_t secret_key[HF_SIGN_SECRET_BYTES], relay_key[HF_SIGN_PUBLIC_BYTES], target[HF_DHT_ID_BYTES];
	struct hf_announcer *announcer;
	bool is_listening, is_suspended, is_closing;
	struct hf_map by_message;
	struct hf_server_handshake *handshakes;
	struct hf_server_handshake *by_id[HF_DHT_SERVER_HANDSHAKE_COUNT_MAX];
	size_t handshake_count;
};

void hf_server_on_handshake(void *context, const struct hf_dht_route *route, struct hf_slice noise);
void hf_server_on_holepunch(void *context, const struct hf_dht_route *route, uint64_t id, struct hf_slice payload);
void hf_server_forget(struct hf_server_handshake *handshake); /* frees it */
void hf_server_clear_later(struct hf_server_handshake *handshake);
/* No way was found in time, or all were tried. */
void hf_server_give_up(struct hf_server_handshake *handshake);
int hf_server_begin_punching(struct hf_server_handshake *handshake, uint64_t remote_firewall);

#endif
