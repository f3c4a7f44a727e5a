/* peer_transport: what a peer socket needs of the ordered byte stream below it, TCP (peer_tcp.c) or UDX (peer_udx.c). Private to net/.
 *
 * `finish` and `close` are the last calls: the transport goes on by itself then and tells nothing more. What it has to tell comes from the
 * loop only, through the calls at the end of this file.
 */
#ifndef HF_NET_PEER_TRANSPORT_H
#define HF_NET_PEER_TRANSPORT_H

#include "net/memory.h"
#include "net/peer_socket.h"
#include "net/udp.h"

struct hf_peer_transport {
	/* Takes all slices and one reference to the chunk of each, or, on HF_ENOMEM, those before the one at *taken. */
	int (*send)(void *wire, const struct hf_secret_stream_slice *slices, size_t count, size_t *taken);
	size_t (*pending_bytes)(const void *wire);   /* that wait here */
	size_t (*untaken_bytes)(const void *wire);   /* and with the system, and on their way: not taken by the remote */
	void (*set_timeout)(void *wire, uint64_t delay_ms); /* replaces the last one */
	void (*read)(void *wire, bool on);
	int (*send_datagram)(void *wire, struct hf_slice datagram); /* NULL: there are none */
	size_t (*datagram_bytes_max)(const void *wire);
	void (*finish)(void *wire); /* sends what waits, then ends */
	void (*close)(void *wire);  /* drops it */
};

struct hf_peer_begin {
	const struct hf_peer_transport *transport;
	void *wire;
	const struct hf_address *address;        /* of the remote */
	bool is_initiator;
	const struct hf_noise_result *handshake; /* NULL: it is to be done on the stream */
};

/* A socket that is not connected; host: NULL for the options' loop. HF_EINVAL, HF_ENOMEM. */
int hf_peer_socket_new(struct hf_peer_socket **out, const struct hf_peer_socket_options *options, struct hf_udp_host *host);
/* What connects it; only `close` is called of it. */
void hf_peer_socket_connecting(struct hf_peer_socket *socket, const struct hf_peer_transport *transport, void *wire);
/* Begins on a connected stream, which stays the caller's on HF_ENOMEM. */
int hf_peer_socket_begin(struct hf_peer_socket *socket, const struct hf_peer_begin *begin);
/* Then, once the transport tells the socket what comes. */
void hf_peer_socket_start(struct hf_peer_socket *socket);
/* It cannot be connected: tells `closed`. */
void hf_peer_socket_refuse(struct hf_peer_socket *socket, int error, const char *why);
const struct hf_peer_socket_options *hf_peer_socket_get_options(const struct hf_peer_socket *socket);

/* ---- What a transport tells ---- */

void hf_peer_socket_on_read(void *socket, uint8_t *data, size_t length);
void hf_peer_socket_on_end(void *socket, int error); /* HF_ECLOSED: no more will come; else it is broken */
void hf_peer_socket_on_timeout(void *socket);
void hf_peer_socket_on_progress(void *socket); /* some or all of what waited was sent */
void hf_peer_socket_on_datagram(void *socket, uint8_t *data, size_t length);
void hf_peer_socket_on_move(void *socket, const struct hf_address *remote); /* the remote is elsewhere now */

#endif
