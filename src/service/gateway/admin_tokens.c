/* admin_tokens: what an operator sees and does about registrations, tokens and routes, on admin.sock. */
#include "service/gateway/api.h"

#include <jansson.h>
#include <stdlib.h>

#include "codec/hex.h"
#include "service/action_http.h"
#include "service/gateway/internal.h"
#include "service/gateway/registrar.h"
#include "service/json_hex.h"

static void fail(struct hf_http_exchange *x, int code, const char *sentence)
{
	struct hf_failure failure = {0};
	hf_fail(&failure, code, "%s", sentence);
	hf_action_http_fail(x, &failure);
}

/* What was asked for, and by whom, for the audit log. */
static void note_request(struct hf_gateway *g, struct hf_http_exchange *x, const char *kind, struct hf_slice payload)
{
	hf_gateway_note_act(g, x, kind, json_loadb((const char *)payload.data, payload.length, 0, NULL));
}

/* ---- Routes ---- */

static const char *access_name(enum hf_access access)
{
	switch (access) {
	case HF_ACCESS_PUBLIC:
		return "public";
	case HF_ACCESS_SIGNED:
		return "signed";
	case HF_ACCESS_LOCAL:
		return "local";
	case HF_ACCESS_ADMIN:
		return "admin";
	case HF_ACCESS_SOCKET:
		return "socket";
	}
	return "none";
}

static void add_routes(json_t *list, const char *server, const struct hf_http_route *routes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "server", server, "method", routes[i].method, "path", routes[i].path,
			"access", access_name(routes[i].access)));
}

static void handle_routes(void *context, struct hf_http_exchange *x)
{
	struct hf_gateway *g = context;
	json_t *list = json_array();
	add_routes(list, "clients", g->routes, g->route_count);
	add_routes(list, "admin", g->admin_routes, g->admin_route_count);
	add_routes(list, "metrics", &hf_gateway_metrics_route, 1);
	hf_gateway_respond_json(x, json_pack("{s:o}", "routes", list));
}

/* ---- Tokens ---- */

static json_t *token_facts(const struct hf_token_claims *c, const char *state)
{
	json_t *facts = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o}", "relay", c->relay_key, "state", state, "scope", c->scope, "sequence",
		(json_int_t)c->sequence, "issued_at", (json_int_t)c->issued_ms, "expires_at", (json_int_t)c->expires_ms, "id",
		hf_json_hex(c->id, sizeof c->id));
	if (facts && c->has_peer)
		json_object_set_new(facts, "peer", hf_json_hex(c->peer, 32));
	if (facts && c->has_pubkey)
		json_object_set_new(facts, "pubkey", hf_json_hex(c->pubkey, 32));
	return facts;
}

static void handle_token_list(void *context, struct hf_http_exchange *x)
{
	struct hf_gateway *g = context;
	struct hf_token_claims claims;
	const char *state;
	size_t cursor = 0;
	json_t *list = json_array();
	while (g->tokens && hf_tokens_next(g->tokens, &cursor, &claims, &state))
		json_array_append_new(list, token_facts(&claims, state));
	hf_gateway_respond_json(x, json_pack("{s:o}", "tokens", list));
}

static void revoked(void *context, int status, const char *refusal, const struct hf_token_answer *a)
{
	if (status < 0)
		fail(context, status == HF_ENOTFOUND ? status : HF_EIO, refusal ? refusal : hf_error_text(status));
	else
		hf_gateway_respond_json(context, json_pack("{s:I, s:I}", "revoked", (json_int_t)a->count, "sequence", (json_int_t)a->sequence));
}

/* A peer whose tokens all end is not to serve anybody meanwhile. */
static void dismiss_named_peer(struct hf_gateway *g, struct hf_slice payload)
{
	uint8_t peer[32];
	json_t *object = json_loadb((const char *)payload.data, payload.length, 0, NULL);
	const char *text = json_string_value(json_object_get(object, "peer"));
	if (text && strlen(text) == 64 && hf_hex_decode(peer, text, sizeof peer))
		hf_gateway_dismiss_worker(g, peer, "Its tokens were revoked.");
	json_decref(object);
}

static void handle_token_revoke(void *context, struct hf_http_exchange *x)
{
	struct hf_gateway *g = context;
	const struct hf_registry_principal operator = {.is_operator = true};
	struct hf_buffer payload = {0};
	const char *refusal = NULL;
	int r = hf_canonical(hf_http_body(x), &payload);
	if (r == HF_OK && !g->tokens)
		fail(x, HF_ENOTFOUND, "The gateway issues no tokens: tokens.enabled is off.");
	else if (r < 0)
		fail(x, HF_EINVAL, "The request is no JSON object.");
	else if ((r = hf_tokens_revoke(g->tokens, &operator, hf_buffer_slice(&payload), revoked, x, &refusal)) < 0)
		fail(x, r == HF_ENOMEM ? r : HF_EINVAL, refusal ? refusal : hf_error_text(r));
	else {
		note_request(g, x, "operator.revoked", hf_buffer_slice(&payload));
		dismiss_named_peer(g, hf_buffer_slice(&payload));
	}
	hf_buffer_free(&payload);
}

/* ---- Registrations ---- */

static json_t *record_facts(const struct hf_registration *r)
{
	json_t *facts = json_pack("{s:s, s:s, s:s, s:b, s:b, s:I, s:s, s:I, s:I}", "relay", r->key, "path", r->path, "name", r->name, "public",
		r->is_public, "requires_auth", r->requires_auth, "peers", (json_int_t)r->peer_count, "principal", r->principal, "updated_at",
		(json_int_t)r->updated_ms, "expires_at", (json_int_t)r->expires_ms);
	if (facts && r->has_owner)
		json_object_set_new(facts, "owner", hf_json_hex(r->owner, 32));
	return facts;
}

static void handle_registry_list(void *context, struct hf_http_exchange *x)
{
	struct hf_gateway *g = context;
	const struct hf_registration *record;
	size_t cursor = 0;
	json_t *list = json_array();
	while (g->registry && (record = hf_registry_next(g->registry, &cursor)) != NULL)
		json_array_append_new(list, record_facts(record));
	hf_gateway_respond_json(x, json_pack("{s:o}", "relays", list));
}

static void removed(void *context, int status, const char *refusal)
{
	if (status < 0)
		fail(context, HF_EIO, refusal ? refusal : hf_error_text(status));
	else
		hf_gateway_respond_json(context, json_pack("{s:b}", "removed", true));
}

static void handle_registry_remove(void *context, struct hf_http_exchange *x)
{
	struct hf_gateway *g = context;
	const struct hf_registry_principal operator = {.is_operator = true};
	struct hf_buffer payload = {0};
	struct hf_slice key;
	const char *refusal = NULL;
	int r = hf_canonical(hf_http_body(x), &payload);
	bool is_right = r == HF_OK && hf_canonical_plain(hf_buffer_slice(&payload), "relayKey", &key) && key.length > 0;
	if (!g->registry)
		fail(x, HF_ENOTFOUND, "The gateway keeps no registrations.");
	else if (!is_right)
		fail(x, HF_EINVAL, "Name the relay by its key or identifier.");
	else if ((r = hf_registry_remove(g->registry, key, &operator, removed, x, &refusal)) < 0)
		fail(x, r == HF_ENOTFOUND ? r : HF_EIO, refusal ? refusal : hf_error_text(r));
	else
		note_request(g, x, "operator.removed", hf_buffer_slice(&payload));
	hf_buffer_free(&payload);
}

const struct hf_http_route hf_gateway_api_admin_routes[] = {
	HF_ROUTE("POST", "/admin/gateway/routes", HF_ACCESS_ADMIN, handle_routes),
	HF_ROUTE("POST", "/admin/tokens/list", HF_ACCESS_ADMIN, handle_token_list),
	HF_ROUTE("POST", "/admin/tokens/revoke", HF_ACCESS_ADMIN, handle_token_revoke),
	HF_ROUTE("POST", "/admin/registry/list", HF_ACCESS_ADMIN, handle_registry_list),
	HF_ROUTE("POST", "/admin/registry/remove", HF_ACCESS_ADMIN, handle_registry_remove),
};
const size_t hf_gateway_api_admin_route_count = sizeof hf_gateway_api_admin_routes / sizeof *hf_gateway_api_admin_routes;
