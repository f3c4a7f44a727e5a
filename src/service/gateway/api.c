/* api: from an exchange to the registrar, and its answer back. */
#include "service/gateway/api.h"

#include "service/gateway/internal.h"
#include "service/gateway/registrar.h"

#define RELAYS_PREFIX "/api/relays/"

static void answer(void *context, int status, struct hf_slice body)
{
	hf_http_respond(context, status, "application/json", body, "Cache-Control: no-store\r\n");
}

/* The desk, or NULL after an answer. */
static struct hf_registrar *desk(struct hf_gateway *g, struct hf_http_exchange *x)
{
	if (!g->registrar)
		answer(x, 503, HF_SLICE_LITERAL("{\"error\":\"registration-disabled\"}"));
	return g->registrar;
}

static void handle_gateway(void *context, struct hf_http_exchange *x)
{
	struct hf_registrar *registrar = desk(context, x);
	struct hf_buffer out = {0};
	if (!registrar)
		return;
	int r = hf_registrar_describe(registrar, &out);
	answer(x, r == HF_OK ? 200 : 503, r == HF_OK ? hf_buffer_slice(&out) : HF_SLICE_LITERAL("{\"error\":\"out-of-memory\"}"));
	hf_buffer_free(&out);
}

static void handle_register(void *context, struct hf_http_exchange *x)
{
	struct hf_registrar *registrar = desk(context, x);
	if (registrar)
		hf_registrar_register(registrar, hf_http_body(x), NULL, answer, x);
}

static void handle_remove(void *context, struct hf_http_exchange *x)
{
	struct hf_registrar *registrar = desk(context, x);
	struct hf_slice path = hf_http_path(x);
	size_t prefix = sizeof RELAYS_PREFIX - 1;
	const struct hf_registrar_removal removal = {.relay_key = hf_slice(path.data + prefix, path.length > prefix ? path.length - prefix : 0),
		.signature = hf_http_header(x, "x-signature"), .nonce = hf_http_header(x, "x-nonce"), .issued_at = hf_http_header(x, "x-issued-at"),
		.peer = hf_http_header(x, "x-peer")};
	if (registrar)
		hf_registrar_remove(registrar, &removal, answer, x);
}

static void token_request(void *context, struct hf_http_exchange *x, enum hf_registrar_token_request request)
{
	struct hf_registrar *registrar = desk(context, x);
	if (registrar)
		hf_registrar_token(registrar, request, hf_http_body(x), NULL, answer, x);
}

static void handle_issue(void *context, struct hf_http_exchange *x) { token_request(context, x, HF_REGISTRAR_ISSUE); }
static void handle_refresh(void *context, struct hf_http_exchange *x) { token_request(context, x, HF_REGISTRAR_REFRESH); }
static void handle_revoke(void *context, struct hf_http_exchange *x) { token_request(context, x, HF_REGISTRAR_REVOKE); }

const struct hf_http_route hf_gateway_api_routes[] = {
	HF_ROUTE("GET", "/api/gateway", HF_ACCESS_PUBLIC, handle_gateway),
	HF_ROUTE("POST", "/api/relays", HF_ACCESS_SIGNED, handle_register),
	HF_ROUTE("DELETE", RELAYS_PREFIX "*", HF_ACCESS_SIGNED, handle_remove),
	HF_ROUTE("POST", "/api/relay-tokens/issue", HF_ACCESS_SIGNED, handle_issue),
	HF_ROUTE("POST", "/api/relay-tokens/refresh", HF_ACCESS_SIGNED, handle_refresh),
	HF_ROUTE("POST", "/api/relay-tokens/revoke", HF_ACCESS_SIGNED, handle_revoke),
};
const size_t hf_gateway_api_route_count = sizeof hf_gateway_api_routes / sizeof *hf_gateway_api_routes;
