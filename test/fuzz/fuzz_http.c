/* Requests and responses from bytes, fed whole and cut; both ways must come to the same end, and a path that is handed
 * on is clean.
 *
 * Covers: src/wire/http.c src/wire/http_head.c
 */
#include "fuzz.h"

#include "wire/http.h"

#include <string.h>

/* Returns a digest of all that was understood. */
static uint64_t parse(const uint8_t *data, size_t size, enum hf_http_role role, bool to_head, size_t step, bool *refused)
{
	struct hf_http_limits limits = {.header_bytes_max = 512, .body_bytes_max = 300};
	struct hf_http_session *s;
	uint64_t digest = 14695981039346656037u;
	if (hf_http_session_new(&s, role, &limits))
		return 0;
	*refused = false;
	if (to_head)
		hf_http_session_expect_no_body(s);
	for (size_t at = 0; at < size;) {
		size_t consumed, piece = size - at < step ? size - at : step;
		int result = hf_http_session_recv(s, hf_slice(data + at, piece), &consumed);
		FUZZ_CHECK(consumed <= piece);
		at += consumed;
		if (result < 0) {
			unsigned status = hf_http_session_status(s);
			FUZZ_CHECK(status >= 400 && status < 600);
			FUZZ_CHECK(strcmp(hf_http_reason((int)status), "Status") != 0); /* the answer can say why */
			*refused = true;
			break;
		}
		if (result != HF_HTTP_MESSAGE)
			continue;
		const struct hf_http_message *m = hf_http_session_message(s);
		FUZZ_CHECK(role == HF_HTTP_CLIENT || m->path.length > 0);
		FUZZ_CHECK(m->path.length == 0 || (!memchr(m->path.data, 0, m->path.length) &&
							  (m->path.data[0] == '/' || m->path.data[0] == '*')));
		FUZZ_CHECK(m->body.length <= limits.body_bytes_max);
		for (size_t i = 0; i < m->body.length; i++)
			digest = (digest ^ m->body.data[i]) * 1099511628211u;
		for (size_t i = 0; i < m->path.length; i++)
			digest = (digest ^ m->path.data[i]) * 1099511628211u;
		for (size_t i = 0; i < m->field_count; i++)
			digest = (digest ^ m->fields[i].value.length ^ m->fields[i].name.length << 16) * 1099511628211u;
		hf_http_message_has_token(m, "Connection", "upgrade");
		hf_http_session_next(s);
	}
	if (!*refused)
		hf_http_session_end(s);
	hf_http_session_free(s);
	return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool whole_refused, cut_refused;
	if (size < 2)
		return 0;
	enum hf_http_role role = data[0] & 1 ? HF_HTTP_CLIENT : HF_HTTP_SERVER;
	bool to_head = role == HF_HTTP_CLIENT && data[0] & 32;
	uint64_t whole = parse(data + 1, size - 1, role, to_head, size, &whole_refused);
	uint64_t cut = parse(data + 1, size - 1, role, to_head, 1 + (data[0] >> 1) % 16, &cut_refused);
	FUZZ_CHECK(whole == cut && whole_refused == cut_refused);
	return 0;
}
