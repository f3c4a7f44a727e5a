/* udx_net: UDX streams on datagram sockets. It gives each datagram that comes to the session (wire/udx/udx.h), and what is not UDX to the
 * socket's owner; it sends what the session has, in batches, at the end of each iteration, and moves the session's one timer.
 *
 * Streams are made and used with the calls of wire/udx/udx.h on hf_udx_net_session; whatever they queue goes out by itself. The
 * socket of a struct hf_udx_path is a struct hf_udx_socket. A stream may get packets on any socket of the same hf_udx_net.
 */
#ifndef HF_NET_UDX_NET_H
#define HF_NET_UDX_NET_H

#include "net/udp.h"
#include "wire/udx/udx.h"

struct hf_udx_net;
struct hf_udx_socket;

struct hf_udx_socket_events {
	/* Not UDX: of another protocol, or for a stream that is no more. The bytes may be written to and are borrowed. The socket may be
	 * closed here. */
	void (*datagram)(void *context, struct hf_udx_socket *socket, const struct hf_address *from, uint8_t *data, size_t length);
};

/* options may be NULL; its env, wake and context are set here. */
HF_API int hf_udx_net_new(struct hf_udx_net **out, struct hf_udp_host *host, const struct hf_udx_options *options);
/* Frees the session and closes its sockets. Streams are freed before (asserted by the session); what they queued last (DESTROY) is sent
 * once more before. Not from an event. NULL is fine. */
HF_API void hf_udx_net_free(struct hf_udx_net *net);
HF_API struct hf_udx *hf_udx_net_session(struct hf_udx_net *net);
HF_API struct hf_udp_host *hf_udx_net_host(struct hf_udx_net *net);

/* Of all its sockets so far, those that are closed included. */
HF_API void hf_udx_net_read_counters(const struct hf_udx_net *net, struct hf_udp_counters *counters);

/* Binds; errors as hf_udp_open. events may be NULL: what is not UDX is dropped. */
HF_API int hf_udx_socket_open(struct hf_udx_socket **out, struct hf_udx_net *net, const struct hf_address *address,
	const struct hf_udx_socket_events *events, void *context, struct hf_failure *failure);
/* Streams whose path it is are closed with HF_ECLOSED by the session; what was pending for it is sent once more before. NULL is fine. */
HF_API void hf_udx_socket_close(struct hf_udx_socket *socket);
HF_API const struct hf_address *hf_udx_socket_address(const struct hf_udx_socket *socket); /* as bound */
HF_API struct hf_udx_net *hf_udx_socket_net(const struct hf_udx_socket *socket);
HF_API const struct hf_udp_counters *hf_udx_socket_counters(const struct hf_udx_socket *socket);
/* Datagrams of the owner's own, at once. Returns how many went; the rest is dropped by whoever calls. */
HF_API size_t hf_udx_socket_send(struct hf_udx_socket *socket, const struct hf_udp_packet *packets, size_t count);
/* One datagram in one piece; whether it went. ttl 0: the usual one. */
HF_API bool hf_udx_socket_send_one(
	struct hf_udx_socket *socket, const struct hf_address *to, struct hf_slice bytes, uint8_t ttl);
HF_API void hf_udx_socket_set_events(struct hf_udx_socket *socket, const struct hf_udx_socket_events *events, void *context);

#endif
