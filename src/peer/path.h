/* path: the way between two peers who know each other's keys and stream ids: a UDX stream that is connected over the first way found,
 * becomes a peer socket with that, and may go over to a better way later. Dials and servers make one for each handshake. Private to
 * peer/.
 *
 * From its socket on it lives by itself, until the stream is gone; whoever made it may let go of it.
 */
#ifndef HF_PEER_PATH_H
#define HF_PEER_PATH_H

#include "peer/punch_socket.h"

#define HF_PATH_SOCKETS_MAX 4u

struct hf_path;

enum hf_way { HF_WAY_OPEN, HF_WAY_LOCAL, HF_WAY_PUNCHED, HF_WAY_HEARD, HF_WAY_RELAYED };

struct hf_path_events {
	/* There is a socket; it may be freed here. */
	void (*connected)(void *context, struct hf_peer_socket *socket, bool is_direct);
	/* A direct way was found after a relayed one, and taken. */
	void (*upgraded)(void *context);
	/* What came last came by it: the relay is not needed any more. */
	void (*confirmed)(void *context);
	/* The socket is over, or there was no memory for one (it never came): nothing is heard any more. */
	void (*over)(void *context, int code);
};

/* A stream of its own, unconnected. options: of the socket. HF_EBUSY (too many streams), HF_ENOMEM. */
int hf_path_new(struct hf_path **out, struct hf_dht_connector *connector, bool is_initiator,
	const struct hf_peer_socket_options *options, const struct hf_path_events *events, void *context);
/* No event comes any more. Before there is a socket the path goes, after that it lives on. NULL is fine. */
void hf_path_release(struct hf_path *path);
/* At the end of all: of a connector that goes while streams linger. */
void hf_path_abandon(struct hf_path *path);
uint32_t hf_path_stream_id(const struct hf_path *path);
struct hf_udx_stream *hf_path_stream(const struct hf_path *path);

/* What the handshake has come to: only from then on ways are taken. Copied. is_kept: both sides want a direct way to be found again. */
void hf_path_set_keys(struct hf_path *path, const struct hf_noise_result *keys, uint32_t remote_id, bool is_kept);
/* The remote has spoken already, by a way that is taken now. False: it has not. */
bool hf_path_take_heard(struct hf_path *path);
/* A direct way; the first one is taken. The path may be gone when this returns, and so may all that its owner has. */
void hf_path_found(struct hf_path *path, void *udx_socket, const struct hf_address *remote, enum hf_way way);
/* A way over a relay, which knows our stream as relay_id's other side. Only when there is none yet. */
void hf_path_relayed(struct hf_path *path, const struct hf_udx_path *relay, uint32_t relay_id);
/* The relay has let go of us, and with that of the streams that it joined: while there is no other way, what runs over it ends soon. */
void hf_path_relay_lost(struct hf_path *path);
bool hf_path_is_connected(const struct hf_path *path);
bool hf_path_is_direct(const struct hf_path *path);

#endif
