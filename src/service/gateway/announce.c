/* announce: what this gateway announces: its addresses, its relay's bee, what tokens and work are like; and, where Hypertuna's peers are to
 * come without being invited, the secret they register with. */
#include "service/gateway/internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "service/gateway/advertise.h"
#include "service/swarm_node.h"

#define VERSION_CHARACTERS 24 /* of the secret's hash */

/* ---- Addresses ---- */

/* "https" for "wss" and the other way round, without '/' at the end. What is given has one of the four schemes, or none that is good. */
static void write_url(char out[static HF_ANNOUNCEMENT_URL_BYTES_MAX + 1], const char *url, bool is_ws)
{
	const char *rest = strstr(url, "://");
	bool is_tls = strncmp(url, "https:", 6) == 0 || strncmp(url, "wss:", 4) == 0;
	size_t length = rest ? strlen(rest) : 0;
	out[0] = '\0';
	while (length > 3 && rest[length - 1] == '/')
		length--;
	if (length > 3 && length < HF_ANNOUNCEMENT_URL_BYTES_MAX - 8)
		snprintf(out, HF_ANNOUNCEMENT_URL_BYTES_MAX + 1, "%s%s%.*s", is_ws ? "ws" : "http", is_tls ? "s" : "", (int)length, rest);
}

static const char *own_url(const struct hf_gateway *g)
{
	const struct hf_config *c = g->config;
	return c->discovery_public_url[0] ? c->discovery_public_url : c->relays[0]->public_url[0] ? c->relays[0]->public_url : g->listen_url;
}

/* As much of it as fits, without what nobody would read out: control characters, and half of one that was cut. */
static void write_name(char out[static HF_ANNOUNCEMENT_NAME_BYTES_MAX + 1], const char *name)
{
	size_t length = 0;
	for (; *name && length < HF_ANNOUNCEMENT_NAME_BYTES_MAX; name++)
		if ((unsigned char)*name >= ' ' && *name != 0x7f)
			out[length++] = *name;
	while (length > 0 && !hf_utf8_valid((const uint8_t *)out, length))
		length--;
	out[length] = '\0';
}

/* ---- The secret ---- */

static bool shares_secret(const struct hf_gateway *g)
{
	return g->first_config->discovery_announce && g->first_config->discovery_share_secret && g->first_config->hypertuna && g->registrar
		&& g->config->registration_secret[0];
}

static void describe_secret(const struct hf_gateway *g, struct hf_announcement *a)
{
	uint8_t hash[HF_SHA256_BYTES];
	char hex[2 * HF_SHA256_BYTES + 1] = {0};
	if (!shares_secret(g) || !a->public_url[0])
		return;
	hf_sha256(hash, hf_slice_text(g->config->registration_secret));
	hf_hex_encode(hex, hash, sizeof hash);
	snprintf(a->secret_hash, sizeof a->secret_hash, "%s", hex);
	snprintf(a->secret_version, sizeof a->secret_version, "%.*s", VERSION_CHARACTERS, hex);
	int length = snprintf(a->secret_url, sizeof a->secret_url, "%s" HF_GATEWAY_SECRET_PATH, a->public_url);
	if (length < 0 || (size_t)length >= sizeof a->secret_url)
		a->secret_url[0] = '\0';
}

/* ---- All of it ---- */

static void describe_relay(const struct hf_gateway *g, struct hf_announcement *a)
{
	struct hf_relay_bee_facts facts;
	if (!hf_relay_bee(g->relays[0]))
		return;
	hf_relay_bee_facts(hf_relay_bee(g->relays[0]), &facts);
	a->has_relay_key = a->has_relay_discovery_key = true;
	memcpy(a->relay_key, facts.key, sizeof a->relay_key);
	memcpy(a->relay_discovery_key, facts.discovery_key, sizeof a->relay_discovery_key);
	hf_hex_encode(a->replication_topic, facts.discovery_key, sizeof facts.discovery_key);
}

static void describe_work(const struct hf_config *c, struct hf_announcement *a)
{
	if (c->tokens) {
		a->token_ttl_s = c->token_ttl_ms / 1000;
		a->token_refresh_window_s = c->token_refresh_window_ms / 1000;
	}
	if (!c->workers)
		return;
	a->max_concurrent = c->dispatcher_in_flight_max;
	a->reassign_lag_blocks = c->dispatcher_reassign_lag;
	a->breaker_threshold = c->dispatcher_failures_max;
	a->breaker_timeout_ms = c->dispatcher_open_ms;
}

/* Those that were put aside and whose secret is there still say that this key is the one now. */
static void describe_predecessors(const struct hf_gateway *g, struct hf_announcement *a)
{
	const struct hf_key *active = hf_keys_active(g->keys, HF_KEY_SWARM), *key;
	size_t cursor = 0;
	while ((key = hf_keys_next_accepted(g->keys, HF_KEY_SWARM, &cursor)) != NULL)
		if (key->state == HF_KEY_RETIRING && key->secret.length == HF_SIGN_SECRET_BYTES
			&& hf_announcement_add_predecessor(a, key->secret.data, active->public_key, active->activated_ms) < 0)
			return;
}

static void describe(void *context, struct hf_announcement *a, uint64_t *refresh_ms)
{
	const struct hf_gateway *g = context;
	const struct hf_config *c = g->config;
	const char *name = c->discovery_display_name[0] ? c->discovery_display_name : c->relays[0]->name;
	*refresh_ms = c->discovery_refresh_ms;
	a->ttl_s = c->discovery_ttl_ms / 1000;
	write_url(a->public_url, own_url(g), false);
	write_url(a->ws_url, own_url(g), true);
	write_name(a->display_name, name);
	write_name(a->region, c->discovery_region);
	describe_secret(g, a);
	a->is_open = g->registrar && (c->registration_open || a->secret_url[0] != '\0');
	describe_relay(g, a);
	describe_work(c, a);
	describe_predecessors(g, a);
}

int hf_gateway_start_announcing(struct hf_gateway *g, struct hf_failure *failure)
{
	char url[HF_ANNOUNCEMENT_URL_BYTES_MAX + 1];
	if (!g->config->discovery_announce)
		return HF_OK;
	write_url(url, own_url(g), true);
	if (!hf_announcement_url_is_good(url, true))
		return hf_fail(failure, HF_EINVAL, "The gateway has no address to announce: set discovery.public_url to where clients reach it.");
	struct hf_advertiser_options options = {.size = sizeof options, .loop = g->loop, .connector = hf_swarm_node_connector(g->swarm),
		.secret_key = hf_keys_active(g->keys, HF_KEY_SWARM)->secret.data, .metrics = g->metrics, .describe = describe, .context = g};
	return hf_advertiser_new(&g->advertiser, &options, failure);
}

/* ---- For Hypertuna's peers, who do not ask anybody ---- */

static void handle_secret(void *context, struct hf_http_exchange *exchange)
{
	struct hf_gateway *g = context;
	struct hf_announcement a = {0};
	char id[65] = {0};
	write_url(a.public_url, own_url(g), false);
	write_url(a.ws_url, own_url(g), true);
	describe_secret(g, &a);
	hf_hex_encode(id, hf_keys_active(g->keys, HF_KEY_SWARM)->public_key, 32);
	json_t *answer = !a.secret_url[0] ? json_pack("{s:s}", "error", "secret-unavailable")
		: json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "gatewayId", id, "sharedSecret", g->config->registration_secret, "version",
			a.secret_version, "hash", a.secret_hash, "wsUrl", a.ws_url, "publicUrl", a.public_url, "timestamp",
			(json_int_t)hf_env_wall_ms(&g->env));
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	hf_http_respond(exchange, text && a.secret_url[0] ? 200 : 503, "application/json", hf_slice_text(text ? text : "{}"),
		"Cache-Control: no-store\r\n");
	free(text);
	json_decref(answer);
}

static const struct hf_http_route secret_route = HF_ROUTE("GET", HF_GATEWAY_SECRET_PATH, HF_ACCESS_PUBLIC, handle_secret);

const struct hf_http_route *hf_gateway_secret_route(const struct hf_gateway *g)
{
	return shares_secret(g) ? &secret_route : NULL;
}
