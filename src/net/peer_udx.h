/* peer_udx: peer sockets over UDX streams. The handshake was done elsewhere (through nodes of a DHT), both sides send their header at
 * once, and datagrams beside the stream are possible; all else is as over TCP.
 */
#ifndef HF_NET_PEER_UDX_H
#define HF_NET_PEER_UDX_H

#include "net/peer_socket.h"
#include "net/udx_net.h"

#define HF_PEER_UDX_LINGER_MS 5000u /* without progress, after which a closed socket's stream is destroyed */

/* What whoever found the way for the stream goes on to hear of it. Any may be NULL. */
struct hf_peer_udx_watch {
	/* As in hf_udx_events. NULL: packets from elsewhere are dropped. */
	bool (*firewall)(void *context, struct hf_udx_stream *stream, const struct hf_udx_path *from);
	void (*remote_changed)(void *context, struct hf_udx_stream *stream);
	void (*heard)(void *context, struct hf_udx_stream *stream); /* data or a message has come; before the socket has it */
	void (*ended)(void *context); /* the socket is over; the stream may linger to send what waits */
	void (*gone)(void *context);  /* once and last, after it: so is the stream, and the sockets of its paths may be closed */
};

struct hf_peer_udx {
	struct hf_udp_host *host;
	struct hf_udx_stream *stream; /* connected */
	bool is_initiator;
	const struct hf_noise_result *handshake; /* copied */
	const struct hf_peer_udx_watch *watch;   /* may be NULL */
	void *context;                           /* of watch */
};

/* Takes the stream over. options->loop may be NULL when secret_stream_pool is given. HF_EINVAL, HF_ENOMEM: the stream stays the caller's
 * and no event comes. */
HF_API int hf_peer_socket_over_udx(
	struct hf_peer_socket **out, const struct hf_peer_socket_options *options, const struct hf_peer_udx *udx);
/* At once, with the socket if that is not over yet: for those that linger when all ends. */
HF_API void hf_peer_udx_destroy(struct hf_udx_stream *stream);
/* The stream of such a socket, to read of it; NULL over TCP, and once the socket ends. */
HF_API struct hf_udx_stream *hf_peer_socket_udx_stream(const struct hf_peer_socket *socket);

#endif
