/* peer_socket_private: what the parts of a peer socket share, and what a listener has of its connections. Private to net/. */
#ifndef HF_NET_PEER_SOCKET_PRIVATE_H
#define HF_NET_PEER_SOCKET_PRIVATE_H

#include "crypto/datagram_cipher.h"
#include "net/loop_private.h"
#include "net/peer_socket.h"
#include "net/stream.h"
#include "net/udp.h"

struct hf_peer_transport;

struct hf_peer_socket {
	struct hf_peer_socket_options options;
	struct hf_protomux_limits limits;
	struct hf_peer_listener *listener;      /* NULL: we have dialled, or it is gone */
	struct hf_peer_socket *previous, *next; /* in the listener's list */
	struct hf_udp_host *host;               /* of a socket over UDX */
	const struct hf_peer_transport *transport; /* NULL: there is none yet, or no more */
	void *wire;
	struct hf_secret_stream *secret;
	struct hf_protomux *mux;
	struct hf_datagram_cipher *cipher; /* made with the first datagram, either way */
	struct hf_loop_deferred deferred;
	struct hf_address address;
	uint64_t timer_ms;              /* what the transport's timer is set to */
	uint64_t opened_by_ms;          /* when the handshake has to be finished */
	uint64_t moved_ms;              /* when the remote last took something, or had all */
	size_t left_bytes;              /* not taken by the remote, at the last look */
	size_t sent_held, gathered_held; /* counted in the loop's memory */
	int code;                       /* what it ends as */
	char *why;                      /* NULL: there was no memory for it */
	uint32_t depth;                 /* of calls under way that go on to use the socket */
	bool is_initiator, is_congested, is_unsettled;
	bool is_ending;                 /* it ends as `code` says, and hears nothing more */
	bool is_dropped;                /* and what waits is dropped then */
	bool is_over;                   /* `closed` is being told */
	bool is_freed;
};

static inline uint64_t hf_peer_socket_now_ms(const struct hf_peer_socket *socket)
{
	return socket->host ? hf_udp_now_ms(socket->host) : hf_loop_now_us(socket->options.loop) / 1000;
}

static inline void hf_peer_socket_defer(struct hf_peer_socket *socket)
{
	if (socket->host)
		hf_udp_defer(socket->host, &socket->deferred);
	else
		hf_loop_defer(socket->options.loop, &socket->deferred);
}

static inline struct hf_env *hf_peer_socket_env(const struct hf_peer_socket *socket)
{
	return socket->host ? socket->host->env : hf_loop_env(socket->options.loop);
}

extern const struct hf_secret_stream_events hf_peer_socket_secret_events;
void hf_peer_socket_run_deferred(struct hf_loop_deferred *deferred);
void hf_peer_socket_set_timer(struct hf_peer_socket *socket);
/* The first reason is the one that is told; at the end of the iteration. */
__attribute__((format(printf, 3, 4))) void hf_peer_socket_end_as(struct hf_peer_socket *socket, int code, const char *format, ...);
/* One of the calls that hold the socket is done with it: socket->depth. */
void hf_peer_socket_leave(struct hf_peer_socket *socket);

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
void hf_peer_socket_list(struct hf_peer_socket *socket, struct hf_peer_listener *listener);
/* Lets go of all connections: those that are not open yet are freed. */
void hf_peer_sockets_orphan(struct hf_peer_listener *listener);

#endif
