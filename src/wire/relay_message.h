/* relay_message: the JSON of hypertuna-relay-v2's requests and responses. (Private to relay_channel.) */
#ifndef HF_WIRE_RELAY_MESSAGE_H
#define HF_WIRE_RELAY_MESSAGE_H

#include "wire/relay_channel.h"

/* Where a message is read into; kept between messages. */
struct hf_relay_message {
	uint64_t id;
	bool has_id, is_body_too_big, is_unhealthy;
	uint32_t status;
	struct hf_slice method, path; /* in `text` */
	struct hf_http_field fields[HF_RELAY_CHANNEL_FIELDS_MAX];
	size_t field_count;
	struct hf_buffer body;
	size_t body_bytes_max;
	struct hf_buffer text; /* all names and values, unescaped; reserved before, so that it does not move */
};

/* One message, without the length in front. A body above body_bytes_max is left out, and is_body_too_big set. HF_EMALFORMED, also
 * without an id; HF_ETOOBIG: a text or the fields beyond the limits; HF_ENOMEM. */
int hf_relay_message_read(struct hf_slice json, struct hf_relay_message *message);
/* Gives large memory back. */
void hf_relay_message_rest(struct hf_relay_message *message);
void hf_relay_message_free(struct hf_relay_message *message);

int hf_relay_message_check(struct hf_slice method, struct hf_slice path, const struct hf_http_field *fields, size_t count,
	size_t body_bytes);
/* Append the JSON text. HF_ENOMEM. */
int hf_relay_message_write_request(struct hf_buffer *out, uint64_t id, const struct hf_relay_request *request);
int hf_relay_message_write_response(struct hf_buffer *out, uint64_t id, const struct hf_relay_response *response);

#endif
