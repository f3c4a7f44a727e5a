/* websocket_deflate: permessage-deflate. (RFC 7692)
 *
 * Without context takeover a connection holds no window: one struct hf_websocket_deflate serves all connections of a loop, and a compressed
 * message can be shared by all of them. Made at the first negotiation: about 300 kB. With takeover a connection has one of its own, which
 * remembers what was said in it: it compresses better, and can share nothing. It begins with the first message each way.
 */
#ifndef HF_WIRE_WEBSOCKET_DEFLATE_H
#define HF_WIRE_WEBSOCKET_DEFLATE_H

#include "base/bytes.h"
#include "base/error.h"

/* Messages shorter than this are sent as they are: the gain is less than the cost. */
#define HF_WEBSOCKET_DEFLATE_BYTES_MIN 200

struct hf_websocket_deflate;

/* What two sides agreed on. */
struct hf_websocket_deflate_terms {
	bool server_takeover, client_takeover; /* either: the connection needs a struct hf_websocket_deflate of its own */
	uint8_t server_bits, client_bits;      /* windows, 9 to 15 */
};

int hf_websocket_deflate_new(struct hf_websocket_deflate **out);
/* A server's, of one connection. */
int hf_websocket_deflate_new_own(struct hf_websocket_deflate **out, const struct hf_websocket_deflate_terms *terms);
/* Bytes that it holds now, but for what compressing and inflating made grow. */
size_t hf_websocket_deflate_bytes(const struct hf_websocket_deflate *deflate);
bool hf_websocket_deflate_has_output(const struct hf_websocket_deflate *deflate); /* what was compressed is remembered */
/* The connection is idle: frees what is not needed for what the client may send, once nothing was compressed since the last call. */
void hf_websocket_deflate_rest(struct hf_websocket_deflate *deflate);
bool hf_websocket_deflate_keeps_output(const struct hf_websocket_deflate *deflate); /* what it compresses must be sent, in order */
void hf_websocket_deflate_free(struct hf_websocket_deflate *deflate);
/* Inflates one message (without its 00 00 ff ff tail); *message is valid until the next call. HF_ETOOBIG past
 * length_bytes_max, HF_EMALFORMED, HF_ENOMEM. */
int hf_websocket_inflate(struct hf_websocket_deflate *deflate, struct hf_slice compressed, size_t length_bytes_max,
	struct hf_slice *message);
/* Compresses one message; *compressed is valid until the next call. */
int hf_websocket_deflate(struct hf_websocket_deflate *deflate, struct hf_slice message, struct hf_slice *compressed);
/* Give back what compressing, or inflating, made grow: all of what is a connection's own. */
void hf_websocket_deflate_trim(struct hf_websocket_deflate *deflate);
void hf_websocket_inflate_trim(struct hf_websocket_deflate *deflate);

/* Server: whether any offer in the value of Sec-WebSocket-Extensions can be accepted, with takeover where the client has nothing against
 * it when takes_over. */
#define HF_WEBSOCKET_DEFLATE_ANSWER_BYTES 160
bool hf_websocket_deflate_accept(struct hf_slice offers, bool takes_over, struct hf_websocket_deflate_terms *terms,
	char answer[static HF_WEBSOCKET_DEFLATE_ANSWER_BYTES]);
/* Client: what to offer, and whether the server's answer keeps to it. */
#define HF_WEBSOCKET_DEFLATE_OFFER "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
bool hf_websocket_deflate_confirm(struct hf_slice answer);

#endif
