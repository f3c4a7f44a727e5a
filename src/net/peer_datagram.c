/* Messages beside the stream: sealed each on its own, lost or overtaken as it happens. */
#include "net/peer_socket.h"

#include <stdlib.h>

#include "net/peer_socket_private.h"
#include "net/peer_transport.h"

static int make_cipher(struct hf_peer_socket *socket)
{
	if (socket->cipher)
		return HF_OK;
	socket->cipher = malloc(sizeof *socket->cipher);
	if (!socket->cipher)
		return HF_ENOMEM;
	hf_datagram_cipher_init(
		socket->cipher, hf_secret_stream_handshake_hash(socket->secret), socket->is_initiator, hf_peer_socket_env(socket));
	return HF_OK;
}

size_t hf_peer_socket_datagram_bytes_max(const struct hf_peer_socket *socket)
{
	if (!socket->mux || !socket->transport || !socket->transport->send_datagram)
		return 0;
	size_t bytes = socket->transport->datagram_bytes_max(socket->wire);
	bytes = bytes < HF_PEER_SOCKET_DATAGRAM_BYTES_MAX + HF_DATAGRAM_OVERHEAD_BYTES
		? bytes : HF_PEER_SOCKET_DATAGRAM_BYTES_MAX + HF_DATAGRAM_OVERHEAD_BYTES;
	return bytes > HF_DATAGRAM_OVERHEAD_BYTES ? bytes - HF_DATAGRAM_OVERHEAD_BYTES : 0;
}

int hf_peer_socket_send_datagram(struct hf_peer_socket *socket, struct hf_slice datagram)
{
	uint8_t sealed[HF_PEER_SOCKET_DATAGRAM_BYTES_MAX + HF_DATAGRAM_OVERHEAD_BYTES];
	if (socket->is_ending)
		return HF_ECLOSED;
	if (!socket->mux)
		return HF_EWAIT;
	if (!socket->transport->send_datagram)
		return HF_EINVAL;
	if (datagram.length > hf_peer_socket_datagram_bytes_max(socket))
		return HF_ETOOBIG;
	int error = make_cipher(socket);
	if (!error)
		error = hf_datagram_seal(socket->cipher, datagram, sealed);
	return error ? error
		     : socket->transport->send_datagram(socket->wire, hf_slice(sealed, datagram.length + HF_DATAGRAM_OVERHEAD_BYTES));
}

void hf_peer_socket_on_datagram(void *owner, uint8_t *data, size_t length)
{
	struct hf_peer_socket *socket = owner;
	if (socket->is_ending || !socket->mux || !socket->options.events->datagram || make_cipher(socket))
		return;
	if (hf_datagram_open(socket->cipher, hf_slice(data, length), data))
		return;
	socket->depth++;
	socket->is_unsettled = true;
	hf_peer_socket_defer(socket);
	socket->options.events->datagram(socket->options.context, socket, hf_slice(data, length - HF_DATAGRAM_OVERHEAD_BYTES));
	hf_peer_socket_leave(socket);
}

