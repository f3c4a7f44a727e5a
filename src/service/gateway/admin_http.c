/* admin_http: the door to administration where clients come in: who may pass, and the routes that are offered here, which are those of
 * admin.sock with /api in front. Without admin.keys, admin.token_file and admin.certificates there is none of it. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/gateway/api.h"
#include "service/gateway/internal.h"

#define PREFIX "/api"
#define DASHBOARD "/dashboard"

/* ---- Who may pass ---- */

int hf_gateway_configure_guard(struct hf_gateway *g, const struct hf_config *config, struct hf_failure *failure)
{
	struct hf_admin_guard_options options = {.size = sizeof options, .env = &g->env, .metrics = g->metrics, .keys = config->admin_keys,
		.token_file = config->admin_token_file, .certificates = config->admin_certificates};
	bool is_open = hf_config_is_administered(config);
	bool was_changed = true;
	int r = HF_OK;
	if (is_open && g->guard)
		r = hf_admin_guard_reconfigure(g->guard, &options, &was_changed, failure);
	else if (is_open)
		r = hf_admin_guard_new(&g->guard, &options, failure);
	if (r < 0)
		return r;
	if (!is_open) {
		hf_admin_guard_free(g->guard);
		g->guard = NULL;
	}
	if (was_changed)
		hf_gateway_end_events(g, false);
	return HF_OK;
}

const char *hf_gateway_who(const struct hf_http_exchange *x)
{
	const char *who = hf_http_who(x);
	return who ? who : "admin.sock";
}

void hf_gateway_refuse(struct hf_http_exchange *x, int status, int code, const char *sentence, const char *fields)
{
	json_t *body = json_pack("{s:i, s:s}", "status", code, "error", sentence);
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	hf_http_respond(x, status, "application/json", hf_slice_text(text ? text : "{}"), fields);
	free(text);
	json_decref(body);
}

static void refuse(struct hf_http_exchange *x, enum hf_admin_refusal refusal)
{
	if (refusal == HF_ADMIN_FOREIGN)
		hf_gateway_refuse(x, 403, HF_EDENIED, "The request comes from a page of another origin.", NULL);
	else if (refusal == HF_ADMIN_THROTTLED)
		hf_gateway_refuse(x, 429, HF_EBUSY, "There were too many failures from this address; try again in a minute.", "Retry-After: 60\r\n");
	else
		hf_gateway_refuse(x, 401, HF_EDENIED, "The request needs a token, a signature or a certificate that is right.",
			"WWW-Authenticate: Bearer realm=\"holdfast\", Nostr\r\n");
}

/* Without a slash at its end. */
static struct hf_slice public_url(const struct hf_gateway *g)
{
	struct hf_slice url = hf_slice_text(g->config->admin_public_url);
	while (url.length > 0 && url.data[url.length - 1] == '/')
		url.length--;
	return url;
}

/* Would a page of this origin have come here by this URL? */
static bool is_own_origin(const struct hf_gateway *g, struct hf_http_exchange *x, struct hf_slice origin)
{
	char base[HF_HTTP_BASE_URL_BYTES];
	hf_http_base_url(x, base);
	return hf_slice_equal(origin, public_url(g)) || (base[0] && hf_slice_equal(origin, hf_slice_text(base)));
}

/* What browsers say of who asks. Reading needs no such look: without CORS no page elsewhere gets to see it, nor sends the credential; but a
 * certificate they send with whatever any page asks. */
static bool is_foreign(const struct hf_gateway *g, struct hf_http_exchange *x, bool has_certificate)
{
	struct hf_slice method = hf_http_method(x), site = hf_http_header(x, "Sec-Fetch-Site"), origin = hf_http_header(x, "Origin");
	bool reads = hf_slice_equal(method, HF_SLICE_LITERAL("GET")) || hf_slice_equal(method, HF_SLICE_LITERAL("HEAD"));
	if (reads && !has_certificate)
		return false;
	if (site.data)
		return !hf_slice_equal(site, HF_SLICE_LITERAL("same-origin")) && !hf_slice_equal(site, HF_SLICE_LITERAL("none"));
	return origin.data && !is_own_origin(g, x, origin);
}

/* The URL that a signature must be for; nothing when that is not known. */
static int append_url(const struct hf_gateway *g, struct hf_http_exchange *x, struct hf_buffer *out)
{
	char base[HF_HTTP_BASE_URL_BYTES];
	struct hf_slice path = hf_http_path(x), query = hf_http_query(x), own = public_url(g);
	enum hf_http_base kind = hf_http_base_url(x, base);
	if (own.length == 0 && kind != HF_HTTP_BASE_FORWARDED && kind != HF_HTTP_BASE_LOCAL)
		return HF_OK;
	if (own.length == 0)
		own = hf_slice_text(base);
	return hf_buffer_printf(out, "%.*s%.*s%s%.*s", (int)own.length, (const char *)own.data, (int)path.length, (const char *)path.data,
		query.length > 0 ? "?" : "", (int)query.length, query.length > 0 ? (const char *)query.data : "");
}

bool hf_gateway_authorize(void *context, struct hf_http_exchange *x)
{
	struct hf_gateway *g = context;
	struct hf_buffer url = {0};
	enum hf_admin_refusal refusal = HF_ADMIN_MISSING;
	const char *who = NULL;
	struct hf_slice authorization = hf_http_header(x, "Authorization");
	struct hf_tls_client client;
	bool has_certificate = !authorization.data && g->config->admin_certificates[0] && hf_http_client_certificate(x, &client);
	struct hf_admin_attempt attempt = {.address = hf_http_client(x), .authorization = authorization,
		.certificate = has_certificate ? &client : NULL, .method = hf_http_method(x), .body = hf_http_body(x),
		.is_foreign = is_foreign(g, x, has_certificate)};
	int r = append_url(g, x, &url);
	attempt.url = hf_buffer_slice(&url);
	if (r == HF_OK)
		r = g->guard ? hf_admin_guard_check(g->guard, &attempt, &who, &refusal) : HF_EDENIED;
	hf_buffer_free(&url);
	if (r == HF_OK)
		r = hf_http_set_who(x, who);
	if (r == HF_ENOMEM)
		hf_gateway_refuse(x, 503, r, "There is no memory for the request.", NULL);
	else if (r < 0)
		refuse(x, refusal);
	return r == HF_OK;
}

bool hf_gateway_may_watch(struct hf_gateway *g, struct hf_http_exchange *x)
{
	struct hf_tls_client client;
	return !hf_http_who(x) || hf_http_header(x, "Authorization").data || (g->guard && hf_http_client_certificate(x, &client) &&
		hf_admin_guard_certificate(g->guard, &client));
}

/* ---- Routes ---- */

static size_t offered(const struct hf_http_route *routes, size_t count)
{
	size_t sum = 0;
	for (size_t i = 0; i < count; i++)
		sum += routes[i].access == HF_ACCESS_ADMIN;
	return sum;
}

size_t hf_gateway_admin_http_route_count(const struct hf_gateway *g)
{
	return g->guard ? HF_GATEWAY_DASHBOARD_ROUTE_COUNT + offered(hf_gateway_admin_routes, hf_gateway_admin_route_count) +
		offered(hf_gateway_api_admin_routes, hf_gateway_api_admin_route_count) : 0;
}

static void add(char (**path)[HF_GATEWAY_ADMIN_PATH_BYTES], struct hf_http_route *routes, size_t *count, const struct hf_http_route *all,
	size_t all_count)
{
	for (size_t i = 0; i < all_count; i++) {
		if (all[i].access != HF_ACCESS_ADMIN)
			continue;
		snprintf(**path, HF_GATEWAY_ADMIN_PATH_BYTES, PREFIX "%s", all[i].path);
		routes[*count] = all[i];
		routes[(*count)++].path = *(*path)++;
	}
}

int hf_gateway_add_admin_http_routes(struct hf_gateway *g, struct hf_http_route *routes, size_t *count)
{
	size_t all = hf_gateway_admin_http_route_count(g);
	char (*paths)[HF_GATEWAY_ADMIN_PATH_BYTES] = all > 0 ? calloc(all, sizeof *paths) : NULL, (*path)[HF_GATEWAY_ADMIN_PATH_BYTES] = paths;
	if (all == 0)
		return HF_OK;
	if (!paths)
		return HF_ENOMEM;
	g->admin_paths = paths;
	add(&path, routes, count, hf_gateway_admin_routes, hf_gateway_admin_route_count);
	add(&path, routes, count, hf_gateway_api_admin_routes, hf_gateway_api_admin_route_count);
	for (size_t i = 0; i < HF_GATEWAY_DASHBOARD_ROUTE_COUNT; i++)
		routes[(*count)++] = hf_gateway_dashboard_routes[i];
	return HF_OK;
}

/* ---- The link ---- */

/* Where the dashboard is, and the token for it: for who may read the data directory anyway. */
void hf_gateway_handle_link(void *context, struct hf_http_exchange *x)
{
	struct hf_gateway *g = context;
	struct hf_buffer token = {0};
	struct hf_failure failure = {0};
	struct hf_slice own = public_url(g);
	char url[sizeof g->listen_url + 8];
	bool has_token = g->guard && g->config->admin_token_file[0];
	if (!g->guard) {
		hf_gateway_refuse(x, 400, HF_ENOTFOUND, "There is no dashboard: admin.token_file, admin.keys and admin.certificates are not set.", NULL);
		return;
	}
	if (has_token && hf_admin_token_read(&g->env, g->config->admin_token_file, &token, &failure) < 0) {
		hf_buffer_free(&token);
		hf_gateway_refuse(x, 400, failure.code, failure.text, NULL);
		return;
	}
	snprintf(url, sizeof url, "http%s", g->listen_url[0] ? g->listen_url + strlen("ws") : "://127.0.0.1");
	json_t *body = own.length > 0 ? json_pack("{s:o}", "url", json_sprintf("%.*s" DASHBOARD, (int)own.length, (const char *)own.data))
		: json_pack("{s:o}", "url", json_sprintf("%s" DASHBOARD, url));
	if (has_token)
		json_object_set_new(body, "token", json_stringn((const char *)token.data, token.length));
	hf_buffer_free(&token);
	hf_gateway_respond_json(x, body);
}
