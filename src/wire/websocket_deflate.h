/* websocket_deflate: permessage-deflate without context takeover. (RFC 7692)
 *
 * We always answer with server_no_context_takeover and client_no_context_takeover, so that a connection holds no
 * window: one struct hf_websocket_deflate serves all connections of a loop, and a compressed message can be shared by
 * all of them. Made at the first negotiation: about 300 kB.
 */
#ifndef HF_WIRE_WEBSOCKET_DEFLATE_H
#define HF_WIRE_WEBSOCKET_DEFLATE_H

#include "base/bytes.h"
#include "base/error.h"

/* Messages shorter than this are sent as they are: the gain is less than the cost. */
#define HF_WEBSOCKET_DEFLATE_BYTES_MIN 200

struct hf_websocket_deflate;

int hf_websocket_deflate_new(struct hf_websocket_deflate **out);
void hf_websocket_deflate_free(struct hf_websocket_deflate *deflate);
/* Inflates one message (without its 00 00 ff ff tail); *message is valid until the next call. HF_ETOOBIG past
 * length_bytes_max, HF_EMALFORMED, HF_ENOMEM. */
int hf_websocket_inflate(struct hf_websocket_deflate *deflate, struct hf_slice compressed, size_t length_bytes_max,
	struct hf_slice *message);
/* Compresses one message; *compressed is valid until the next call. */
int hf_websocket_deflate(struct hf_websocket_deflate *deflate, struct hf_slice message, struct hf_slice *compressed);
/* Gives back buffers that one large message made grow. */
void hf_websocket_deflate_trim(struct hf_websocket_deflate *deflate);

/* Server: whether any offer in the value of Sec-WebSocket-Extensions can be accepted; *answer gets the value to answer.
 */
bool hf_websocket_deflate_accept(struct hf_slice offers, const char **answer);
/* Client: what to offer, and whether the server's answer keeps to it. */
#define HF_WEBSOCKET_DEFLATE_OFFER "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
bool hf_websocket_deflate_confirm(struct hf_slice answer);

#endif
