#include "service/action_http.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

void hf_action_http_name(struct hf_http_exchange *exchange, char out[static HF_ACTION_NAME_BYTES])
{
	static const char marker[] = "/admin/"; /* over HTTP it is behind /api */
	struct hf_slice path = hf_http_path(exchange);
	const uint8_t *name = (const uint8_t *)memmem(path.data, path.length, marker, sizeof marker - 1) + sizeof marker - 1;
	snprintf(out, HF_ACTION_NAME_BYTES, "%.*s", (int)(path.data + path.length - name), (const char *)name);
}

void hf_action_http_fail(struct hf_http_exchange *exchange, const struct hf_failure *failure)
{
	bool is_of_the_call = failure->code == HF_EINVAL || failure->code == HF_ENOTFOUND || failure->code == HF_EWAIT;
	json_t *body = json_pack("{s:i, s:s}", "status", failure->code, "error", failure->text);
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	hf_http_respond(exchange, is_of_the_call ? 400 : 500, "application/json",
		text ? hf_slice_text(text) : HF_SLICE_LITERAL("{}"), NULL);
	free(text);
}

void hf_action_http_answer(struct hf_http_exchange *exchange, struct hf_action_call *call, int status)
{
	if (call->out.length > 0 && (status == HF_OK || status == HF_ECORRUPT))
		hf_http_respond(exchange, 200, "application/x-ndjson", hf_buffer_slice(&call->out), NULL);
	else if (status == HF_OK)
		hf_http_respond(exchange, 204, "application/x-ndjson", (struct hf_slice){0}, NULL);
	else
		hf_action_http_fail(exchange, &call->failure);
	hf_buffer_free(&call->out);
}
