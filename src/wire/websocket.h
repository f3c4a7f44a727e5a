/* websocket: WebSocket frames, server and client, without I/O. (RFC 6455)
 *
 * The session eats what was read, unmasks in place and hands over whole messages; a message that lies whole in the
 * bytes given is never copied, and only an unfinished one is kept. Frames that the protocol itself owes (pong, the
 * close echo, the close that names an error) come out through `output`. Data frames are framed by the caller with
 * hf_websocket_frame_header, so that one frame can be shared by many connections.
 */
#ifndef HF_WIRE_WEBSOCKET_H
#define HF_WIRE_WEBSOCKET_H

#include "base/bytes.h"
#include "base/error.h"

#define HF_WEBSOCKET_CONTROL_BYTES_MAX 125
#define HF_WEBSOCKET_HEADER_BYTES_MAX 14

enum hf_websocket_role { HF_WEBSOCKET_SERVER, HF_WEBSOCKET_CLIENT };

enum hf_websocket_opcode {
	HF_WEBSOCKET_CONTINUATION = 0,
	HF_WEBSOCKET_TEXT = 1,
	HF_WEBSOCKET_BINARY = 2,
	HF_WEBSOCKET_CLOSE = 8,
	HF_WEBSOCKET_PING = 9,
	HF_WEBSOCKET_PONG = 10,
};

/* RFC 6455, 7.4.1. */
enum hf_websocket_close_code {
	HF_WEBSOCKET_CLOSE_NORMAL = 1000,
	HF_WEBSOCKET_CLOSE_GOING_AWAY = 1001,
	HF_WEBSOCKET_CLOSE_PROTOCOL = 1002,
	HF_WEBSOCKET_CLOSE_NONE = 1005,     /* a close frame without a code; never sent */
	HF_WEBSOCKET_CLOSE_ABNORMAL = 1006, /* no close frame; never sent */
	HF_WEBSOCKET_CLOSE_TEXT = 1007,     /* not UTF-8, or not inflatable */
	HF_WEBSOCKET_CLOSE_POLICY = 1008,
	HF_WEBSOCKET_CLOSE_TOO_BIG = 1009,
	HF_WEBSOCKET_CLOSE_INTERNAL = 1011,
};

struct hf_websocket_deflate; /* wire/websocket_deflate.h */

struct hf_websocket_events {
	/* One whole message; borrowed until return. The bytes may be written to. */
	void (*message)(void *context, bool is_text, struct hf_slice message);
	/* One whole frame to send, in order; borrowed until return. */
	void (*output)(void *context, struct hf_slice frame);
	void (*pong)(void *context); /* may be NULL */
	/* Clients: four unpredictable bytes for a control frame. (RFC 6455, 5.3) */
	void (*mask)(void *context, uint8_t mask[static 4]);
};

/* 104 bytes while idle, and nothing else. */
struct hf_websocket_session {
	const struct hf_websocket_events *events;
	void *context;
	struct hf_websocket_deflate *deflate; /* shared by all sessions of a loop; NULL: not negotiated */
	uint64_t inflated_bytes; /* in total; the caller may set it to 0 */
	struct hf_buffer message;             /* payload of earlier pieces; a partial control payload lies behind it */
	uint64_t remaining;                   /* payload bytes of the current frame still to come */
	uint32_t message_bytes_max;
	uint32_t utf8_state;
	uint8_t mask[4];
	uint8_t header[HF_WEBSOCKET_HEADER_BYTES_MAX];
	uint8_t header_length;
	uint8_t message_opcode; /* of the message in progress, 0: none */
	uint8_t frame_opcode;
	uint8_t control_length; /* bytes of a partial control payload */
	bool is_client : 1, in_frame : 1, is_final : 1, is_masked : 1, is_compressed : 1;
	bool close_sent : 1, close_received : 1;
	uint16_t close_code; /* received, or of the error found; 1006 before either */
};

void hf_websocket_session_init(struct hf_websocket_session *session, enum hf_websocket_role role,
	uint32_t message_bytes_max, const struct hf_websocket_events *events, void *context);
void hf_websocket_session_free(struct hf_websocket_session *session);
/* Eats all bytes; they are written to. Returns HF_OK, HF_ECLOSED once a close frame has come (it was answered), or an
 * error after the close frame that names it was put out: HF_EMALFORMED, HF_ETOOBIG, HF_ENOMEM. After anything but HF_OK
 * nothing more is eaten. Callbacks may call hf_websocket_session_close, but not _free. */
int hf_websocket_session_recv(struct hf_websocket_session *session, uint8_t *data, size_t length);
/* Puts out a close frame once. reason may be NULL; it is cut to 123 bytes. */
void hf_websocket_session_close(struct hf_websocket_session *session, uint16_t code, const char *reason);
void hf_websocket_session_ping(struct hf_websocket_session *session);
/* Whether the close handshake is complete or was broken off. */
bool hf_websocket_session_is_over(const struct hf_websocket_session *session);

/* Writes the header of an unfragmented frame; returns its length. mask NULL: unmasked (a server's frames). */
size_t hf_websocket_frame_header(uint8_t out[static HF_WEBSOCKET_HEADER_BYTES_MAX], enum hf_websocket_opcode opcode,
	bool is_compressed, uint64_t payload_length, const uint8_t *mask);
/* XORs data with the mask, beginning at mask[0]; eight bytes at a time and more. */
void hf_websocket_mask(uint8_t *data, size_t length, const uint8_t mask[static 4]);
/* Whether a code may stand in a close frame. (RFC 6455, 7.4) */
bool hf_websocket_close_code_is_valid(unsigned code);

#endif
