/* websocket_message: frames shared by many connections. Private to net/. */
#ifndef HF_NET_WEBSOCKET_MESSAGE_H
#define HF_NET_WEBSOCKET_MESSAGE_H

#include "net/websocket.h"
#include "wire/websocket.h"

struct hf_websocket_message {
	uint32_t references;
	bool is_incompressible; /* too short, or tried in vain */
	size_t payload_length, frame_length;
	struct hf_memory *memory; /* where it is counted */
	struct hf_shared *compressed; /* the compressed frame, NULL until somebody wanted it */
	uint8_t frame[];
};

/* The frame for a server's connection; compressed when deflate is given and it helps. Lives as long as the message. */
struct hf_slice hf_websocket_message_frame(struct hf_websocket_message *message, struct hf_websocket_deflate *deflate);
/* NULL when compressing does not help or fails. */
struct hf_shared *hf_websocket_compressed_frame(struct hf_websocket_deflate *deflate, struct hf_slice payload);

#endif
