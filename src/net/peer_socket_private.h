/* peer_socket_private: what a listener has of its connections. Private to net/. */
#ifndef HF_NET_PEER_SOCKET_PRIVATE_H
#define HF_NET_PEER_SOCKET_PRIVATE_H

#include "net/peer_socket.h"
#include "net/stream.h"

struct hf_peer_listener {
	uv_tcp_t tcp;
	uv_tcp_t spare; /* takes a connection that is turned away: libuv offers no other before */
	bool is_spare_busy, is_closed;
	bool is_waiting; /* a connection came while the spare was busy */
	struct hf_peer_socket_options options;
	struct hf_protomux_limits limits;
	struct hf_peer_socket *sockets;
	uint32_t socket_count;
};

/* Fills in what the options leave to us, and copies the limits they point to. */
int hf_peer_socket_options_take(
	struct hf_peer_socket_options *options, struct hf_protomux_limits *limits, const struct hf_peer_socket_options *given);
/* Begins on a stream that was just accepted. HF_ENOMEM leaves the stream with the caller. */
int hf_peer_socket_accept(struct hf_peer_listener *listener, struct hf_stream *stream);
/* Lets go of all connections: those that are not open yet are freed. */
void hf_peer_sockets_orphan(struct hf_peer_listener *listener);

#endif
