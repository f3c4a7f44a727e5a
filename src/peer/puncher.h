/* puncher: finds out what NAT its sockets are behind, and punches through ours and the remote's. (spec: swarm, 4.9 to 4.11)
 *
 * It knows nothing of messages: whoever exchanges them tells it what the remote is like, asks what we are like, and says when to punch.
 * Private to peer/.
 */
#ifndef HF_PEER_PUNCHER_H
#define HF_PEER_PUNCHER_H

#include "peer/punch_socket.h"
#include "wire/dht/holepunch.h"

#define HF_PUNCHER_BIRTHDAY_SOCKETS 256u
#define HF_PUNCHER_REOPENS_MAX 3u
#define HF_PUNCHER_CONSISTENT_TRIES 10u
#define HF_PUNCHER_CONSISTENT_MS 1000u
#define HF_PUNCHER_RANDOM_TRIES 3500u /* of ports; half of the package's pause, as each is as likely to hit, and as long */
#define HF_PUNCHER_RANDOM_MS 10u
#define HF_PUNCHER_BIRTHDAY_TRIES 1750u
#define HF_PUNCHER_BIRTHDAY_MS 20u
#define HF_PUNCHER_BIRTHDAY_PAUSE_MS 100u

struct hf_puncher;

struct hf_puncher_events {
	/* The remote's probe has come through; only on the side that has dialled. The puncher keeps its sockets until it is freed. */
	void (*connected)(void *context, struct hf_punch_socket *socket, const struct hf_address *from);
	void (*aborted)(void *context); /* all was tried */
	void (*analysed)(void *context, bool is_stable); /* after hf_puncher_analyse said HF_EWAIT */
};

/* Opens a socket and asks nodes what they see of it. HF_EADDR, HF_EBUSY, HF_ENOMEM. */
int hf_puncher_new(struct hf_puncher **out, struct hf_dht_connector *connector, bool is_initiator, uint64_t remote_firewall,
	const struct hf_puncher_events *events, void *context);
void hf_puncher_free(struct hf_puncher *puncher); /* no event comes any more; NULL is fine */

struct hf_punch_socket *hf_puncher_socket(const struct hf_puncher *puncher);
struct hf_dht_nat *hf_puncher_nat(struct hf_puncher *puncher);
uint64_t hf_puncher_remote_firewall(const struct hf_puncher *puncher);
bool hf_puncher_remote_is_punching(const struct hf_puncher *puncher);
bool hf_puncher_is_punching(const struct hf_puncher *puncher);
bool hf_puncher_is_connected(const struct hf_puncher *puncher);
/* Either side has random ports. */
bool hf_puncher_is_random(struct hf_puncher *puncher);

/* What the remote says of itself. verified: a host that it was proved to be at; NULL: none. What was verified once stays so. */
void hf_puncher_update_remote(struct hf_puncher *puncher, const struct hf_dht_punch *remote, const struct hf_address *verified);
/* A node sees the first socket there. */
void hf_puncher_sample(struct hf_puncher *puncher, const struct hf_address *seen, const struct hf_address *node);
/* HF_OK: it is known what NAT this is, and one can punch; HF_EADDR: it is not, or both are random; HF_EWAIT: `analysed` follows. With
 * may_reopen, sockets are tried anew rather than say HF_EADDR. */
int hf_puncher_analyse(struct hf_puncher *puncher, bool may_reopen);

void hf_puncher_probe(struct hf_puncher *puncher, const struct hf_address *to);
void hf_puncher_open_session(struct hf_puncher *puncher, const struct hf_address *to);
/* Begins. False: it cannot work with what is known of the remote. Again is fine. */
bool hf_puncher_punch(struct hf_puncher *puncher);

#endif
