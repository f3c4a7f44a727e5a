/* admin_tokens: what an operator sees and does about registrations, tokens and routes, on admin.sock. */
#include "service/gateway/api.h"

#include <jansson.h>
#include <stdlib.h>

#include "codec/hex.h"
#include "service/action_http.h"
#include "service/gateway/internal.h"
#include "service/gateway/registrar.h"
#include "service/json_hex.h"

#define PAGE_COUNT_MAX 1000
#define PAGE_BYTES_MAX (1u << 20) /* about, of texts before they are escaped */
#define TOKEN_BYTES 400                      /* of one without its texts */
#define RECORD_BYTES 300

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

/* ---- Pages ---- */

/* A part of a list in the order of keys, which goes on behind the key that a request names. */
struct page {
	json_t *arguments, *list;
	struct hf_slice after; /* the last key that is in it; at first the request's */
	size_t count_max, bytes;
	bool has_more;
};

/* Answers when the request is no such thing. */
static bool begin_page(struct page *p, struct hf_http_exchange *x)
{
	struct hf_slice body = hf_http_body(x);
	json_t *arguments = json_loadb((const char *)body.data, body.length, JSON_DISABLE_EOF_CHECK, NULL);
	json_t *limit = json_object_get(arguments, "limit"), *after = json_object_get(arguments, "after");
	json_int_t count = limit ? json_integer_value(limit) : PAGE_COUNT_MAX;
	bool is_right = (body.length == 0 || json_is_object(arguments)) && count >= 1 && count <= PAGE_COUNT_MAX &&
		(!after || json_is_null(after) || json_is_string(after));
	*p = (struct page){.arguments = arguments, .list = json_array(), .count_max = (size_t)count};
	if (json_is_string(after))
		p->after = hf_slice(json_string_value(after), json_string_length(after));
	if (is_right && p->list)
		return true;
	json_decref(p->list);
	json_decref(arguments);
	fail(x, is_right ? HF_ENOMEM : HF_EINVAL, is_right ? "The gateway is out of memory."
		: "The request is {\"limit\", \"after\"}: a number from 1 to 1000, and what \"next\" of the page before was; both may be left out.");
	return false;
}

/* False: the page is full, and there is more. The key is borrowed until the page ends. */
static bool add_to_page(struct page *p, struct hf_slice key, json_t *facts, size_t bytes)
{
	p->has_more = json_array_size(p->list) >= p->count_max || (p->bytes > 0 && p->bytes + bytes > PAGE_BYTES_MAX) ||
		json_array_append(p->list, facts) < 0;
	json_decref(facts);
	if (p->has_more)
		return false;
	p->after = key;
	p->bytes += bytes;
	return true;
}

static void end_page(struct page *p, struct hf_http_exchange *x, const char *name)
{
	if (p->has_more && json_array_size(p->list) == 0) { /* where there is memory the first one fits */
		json_decref(p->list);
		json_decref(p->arguments);
		fail(x, HF_ENOMEM, "The gateway is out of memory.");
		return;
	}
	json_t *next = p->has_more ? json_stringn((const char *)p->after.data, p->after.length) : json_null();
	hf_gateway_respond_json(x, json_pack("{s:o, s:o}", name, p->list, "next", next));
	json_decref(p->arguments);
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
	struct hf_token_claims c;
	const char *state;
	struct page page;
	char id[2 * HF_TOKEN_ID_BYTES];
	if (!begin_page(&page, x))
		return;
	while (g->tokens && hf_tokens_after(g->tokens, page.after, &c, &state)) {
		size_t bytes = TOKEN_BYTES + strlen(c.relay_key) + strlen(c.scope);
		char next[sizeof id];
		hf_hex_encode(next, c.id, sizeof c.id);
		if (!add_to_page(&page, hf_slice(id, sizeof id), token_facts(&c, state), bytes))
			break;
		memcpy(id, next, sizeof id);
	}
	end_page(&page, x, "tokens");
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
	const struct hf_registration *r;
	struct page page;
	if (!begin_page(&page, x))
		return;
	while (g->registry && (r = hf_registry_after(g->registry, page.after)) != NULL) {
		size_t bytes = RECORD_BYTES + strlen(r->key) + strlen(r->path) + strlen(r->name) + strlen(r->principal);
		if (!add_to_page(&page, hf_slice_text(r->key), record_facts(r), bytes))
			break;
	}
	end_page(&page, x, "relays");
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
