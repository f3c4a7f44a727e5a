/* http_head: the start line and fields of a message from contiguous bytes. Private to wire/http.
 *
 * The only user of http-parser: another parser takes its place by replacing http_head.c.
 */
#ifndef HF_WIRE_HTTP_HEAD_H
#define HF_WIRE_HTTP_HEAD_H

#include "wire/http.h"

struct hf_http_head {
	struct hf_slice method, target;
	unsigned status, major_version, minor_version;
	bool keep_alive, upgrade;
	struct hf_http_field fields[HF_HTTP_FIELD_COUNT_MAX];
	size_t field_count;
};

/* head ends with its empty line. Slices point into it. HF_EMALFORMED, or HF_ETOOBIG for too many fields. */
int hf_http_head_parse(struct hf_slice head, enum hf_http_role role, struct hf_http_head *out);

#endif
