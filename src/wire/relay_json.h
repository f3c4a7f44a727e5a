/* relay_json: reading and writing the JSON objects of relay_channel and telemetry, member by member. */
#ifndef HF_WIRE_RELAY_JSON_H
#define HF_WIRE_RELAY_JSON_H

#include "codec/json.h"

#define HF_RELAY_JSON_DEPTH_MAX 16

/* One member that is looked for. */
struct hf_relay_json_member {
	const char *name;
	/* Reads the value that comes next into `at`. HF_EINVAL: well-formed, but not what it should be. */
	int (*read)(struct hf_json *in, const struct hf_relay_json_member *member, void *at);
	size_t offset; /* of `at` in what is read into */
	uint64_t max;
};

/* Reads a whole text, an object, into `out`; members that are not in the list are skipped, of several with one name the last counts.
 * HF_EMALFORMED: no such text, or, unless lenient, one of `read` refused; HF_ETOOBIG: too deep; else what `read` returned. */
int hf_relay_json_read(struct hf_slice text, const struct hf_relay_json_member *members, size_t count, bool is_lenient, void *out);

/* For `read`; null leaves what is there, as if the member were not. Of numbers, fractions are cut off; above max they are max. */
int hf_relay_json_u32(struct hf_json *in, const struct hf_relay_json_member *member, void *at);
int hf_relay_json_u64(struct hf_json *in, const struct hf_relay_json_member *member, void *at);
int hf_relay_json_rate(struct hf_json *in, const struct hf_relay_json_member *member, void *at); /* double, 0 to 1 */
int hf_relay_json_bool(struct hf_json *in, const struct hf_relay_json_member *member, void *at);
int hf_relay_json_key(struct hf_json *in, const struct hf_relay_json_member *member, void *at); /* 32 bytes in hex, any case */

/* Takes the object's or array's beginning for the value that comes next: HF_OK; HF_EINVAL and the value is skipped. */
int hf_relay_json_enter(struct hf_json *in, enum hf_json_type type);
/* The next value; of an object or array only its type, it is skipped. */
int hf_relay_json_scalar(struct hf_json *in, struct hf_json_token *token);
/* Appends the string's own bytes. HF_ENOMEM. */
int hf_relay_json_unescape(const struct hf_json_token *token, struct hf_buffer *out);

/* Appends `"name":value` with a comma in front unless an object has just begun. HF_ENOMEM. */
int hf_relay_json_put_u64(struct hf_buffer *out, const char *name, uint64_t value);
int hf_relay_json_put_bool(struct hf_buffer *out, const char *name, bool value);
int hf_relay_json_put_hex(struct hf_buffer *out, const char *name, const void *bytes, size_t length);
int hf_relay_json_put_text(struct hf_buffer *out, const char *name, struct hf_slice text); /* UTF-8 */
int hf_relay_json_put_time(struct hf_buffer *out, const char *name, uint64_t unix_ms);    /* "2026-01-31T12:00:00.000Z" */
int hf_relay_json_put_name(struct hf_buffer *out, const char *name);                     /* for a value that follows */

#endif
