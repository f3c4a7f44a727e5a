/* admin: what a running gateway answers on admin.sock. Short things are answered on the loop; what reads or writes the
 * store is an action that runs on the administration's own thread, one at a time. */
#include <jansson.h>
#include <stdlib.h>

#include "service/gateway/internal.h"

void hf_gateway_handle_metrics(void *context, struct hf_http_exchange *exchange)
{
	struct hf_gateway *g = context;
	struct hf_buffer text = {0};
	if (hf_metrics_print(g->metrics, &text) == HF_OK)
		hf_http_respond(exchange, 200, "text/plain; version=0.0.4", hf_buffer_slice(&text), NULL);
	else
		hf_http_respond(exchange, 503, "text/plain", HF_SLICE_LITERAL("out of memory\n"), NULL);
	hf_buffer_free(&text);
}

static void respond_failure(struct hf_http_exchange *exchange, const struct hf_failure *failure)
{
	json_t *body = json_pack("{s:i, s:s}", "status", failure->code, "error", failure->text);
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	hf_http_respond(exchange, failure->code == HF_EINVAL || failure->code == HF_ENOTFOUND ? 400 : 500, "application/json",
		text ? hf_slice_text(text) : HF_SLICE_LITERAL("{}"), NULL);
	free(text);
}

static void handle_config(void *context, struct hf_http_exchange *exchange)
{
	const struct hf_gateway *g = context;
	struct hf_buffer out = {0};
	if (hf_config_show(g->config, true, &out) == HF_OK)
		hf_http_respond(exchange, 200, "application/json", hf_buffer_slice(&out), NULL);
	else
		hf_http_respond(exchange, 503, "application/json", HF_SLICE_LITERAL("{}"), NULL);
	hf_buffer_free(&out);
}

static void handle_reload(void *context, struct hf_http_exchange *exchange)
{
	struct hf_failure failure = {0};
	if (hf_gateway_reload(context, &failure) < 0)
		respond_failure(exchange, &failure);
	else
		hf_http_respond(exchange, 200, "application/json", HF_SLICE_LITERAL("{\"status\":0}\n"), NULL);
}

static void handle_drain(void *context, struct hf_http_exchange *exchange)
{
	hf_http_respond(exchange, 202, "application/json", HF_SLICE_LITERAL("{\"status\":0}\n"), NULL);
	hf_gateway_drain(context);
}

const struct hf_http_route hf_gateway_admin_routes[] = {
	HF_ROUTE("GET", "/admin/metrics", HF_ACCESS_ADMIN, hf_gateway_handle_metrics),
	HF_ROUTE("GET", "/admin/config", HF_ACCESS_ADMIN, handle_config),
	HF_ROUTE("POST", "/admin/reload", HF_ACCESS_ADMIN, handle_reload),
	HF_ROUTE("POST", "/admin/drain", HF_ACCESS_ADMIN, handle_drain),
};
const size_t hf_gateway_admin_route_count = sizeof hf_gateway_admin_routes / sizeof *hf_gateway_admin_routes;
