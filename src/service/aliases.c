#include "service/aliases.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define PREFIX "GATEWAY_"

static const char *variable(char *const *environment, const char *name)
{
	size_t length = strlen(name);
	for (; *environment; environment++)
		if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
			return *environment + length + 1;
	return NULL;
}

static bool is_true(char *const *environment, const char *name)
{
	const char *value = variable(environment, name);
	return value && strcmp(value, "true") == 0;
}

/* ---- Values ---- */

/* There, only the literal true is yes. */
static bool flag(char *const *environment, const char *value, char *out, size_t size)
{
	snprintf(out, size, "%s", strcmp(value, "true") == 0 ? "yes" : "no");
	return true;
}

static bool only_on(char *const *environment, const char *value, char *out, size_t size)
{
	snprintf(out, size, "yes");
	return strcmp(value, "true") == 0;
}

static bool seconds(char *const *environment, const char *value, char *out, size_t size)
{
	snprintf(out, size, "%ss", value);
	return true;
}

static bool milliseconds(char *const *environment, const char *value, char *out, size_t size)
{
	snprintf(out, size, "%sms", value);
	return true;
}

static bool port(char *const *environment, const char *value, char *out, size_t size)
{
	snprintf(out, size, "0.0.0.0:%s", value);
	return !is_true(environment, "GATEWAY_TLS_ENABLED");
}

static bool tls_port(char *const *environment, const char *value, char *out, size_t size)
{
	snprintf(out, size, "0.0.0.0:%s", value);
	return is_true(environment, "GATEWAY_TLS_ENABLED");
}

static bool if_tls(char *const *environment, const char *value, char *out, size_t size)
{
	snprintf(out, size, "%s", value);
	return is_true(environment, "GATEWAY_TLS_ENABLED");
}

/* "https://relay.example.org" is where clients find wss://relay.example.org. */
static bool address(char *const *environment, const char *value, char *out, size_t size)
{
	bool is_http = strncmp(value, "http", 4) == 0;
	snprintf(out, size, "%s%s", is_http ? "ws" : "", is_http ? value + 4 : value);
	return true;
}

static bool path(char *const *environment, const char *value, char *out, size_t size)
{
	snprintf(out, size, "%s%s", value[0] == '/' ? "" : "/", value);
	return true;
}

static bool level(char *const *environment, const char *value, char *out, size_t size)
{
	bool is_quiet = strcmp(value, "fatal") == 0 || strcmp(value, "silent") == 0;
	snprintf(out, size, "%s", is_quiet ? "error" : value);
	return true;
}

/* ---- The table ---- */

#define NONE NULL, NULL, NULL
#define BLIND_PEER "blind peers are not in this version"
#define ESCROW "escrow is not in this version"
#define WEIGHT "workers are chosen by what is measured; there is nothing to weigh"
#define RATE "requests are limited by what they do: front.publish_..._max and front.subscribe_..._max"
#define THEIR_CORE "the gateway's bee has a key of the key ring and is kept in gateway.data"

const struct hf_alias hf_aliases[] = {
	{"PORT", "gateway", "listen", port, "0.0.0.0:PORT, unless GATEWAY_TLS_ENABLED is true"},
	{"PORT", "gateway", "tls_listen", tls_port, "0.0.0.0:PORT, when GATEWAY_TLS_ENABLED is true"},
	{"GATEWAY_PUBLIC_URL", "relay", "public_url", address, "https:// becomes wss://"},
	{"GATEWAY_TLS_ENABLED", NONE, "decides what PORT, GATEWAY_TLS_KEY and GATEWAY_TLS_CERT stand for"},
	{"GATEWAY_TLS_KEY", "gateway", "tls_key", if_tls, "when GATEWAY_TLS_ENABLED is true"},
	{"GATEWAY_TLS_CERT", "gateway", "tls_certificate", if_tls, "when GATEWAY_TLS_ENABLED is true"},
	{"GATEWAY_METRICS_ENABLED", NONE, "metrics are always kept, and told at admin.sock and gateway.metrics_listen only"},
	{"GATEWAY_METRICS_PATH", NONE, "metrics are at /metrics of gateway.metrics_listen, never where clients come in"},
	{"GATEWAY_REGISTRATION_SECRET", "registration", "secret", NULL, ""},
	{"GATEWAY_REGISTRATION_REDIS", "registration", "redis", NULL, ""},
	{"GATEWAY_REGISTRATION_REDIS_PREFIX", "registration", "redis_prefix", NULL, ""},
	{"GATEWAY_REGISTRATION_TTL", NONE, "registrations are kept for registration.record_age, and are not gone when a worker is silent for "
		"minutes"},
	{"GATEWAY_DEFAULT_TOKEN_TTL", "tokens", "ttl", seconds, "in seconds"},
	{"GATEWAY_TOKEN_REFRESH_WINDOW", "tokens", "refresh_window", seconds, "in seconds"},
	{"GATEWAY_RATELIMIT_ENABLED", NONE, RATE},
	{"GATEWAY_RATELIMIT_WINDOW", NONE, RATE},
	{"GATEWAY_RATELIMIT_MAX", NONE, RATE},
	{"GATEWAY_RELAY_STORAGE", NONE, "gateway.data names a directory of our own; their Hypercore storage cannot be read"},
	{"GATEWAY_RELAY_NAMESPACE", NONE, THEIR_CORE},
	{"GATEWAY_RELAY_ADMIN_PUBLIC_KEY", NONE, THEIR_CORE},
	{"GATEWAY_RELAY_ADMIN_SECRET_KEY", NONE, THEIR_CORE "; take it out of the environment"},
	{"GATEWAY_RELAY_SEED", NONE, THEIR_CORE "; it was not read there either"},
	{"GATEWAY_RELAY_STATS_INTERVAL_MS", NONE, "what there is to count is counted as it happens"},
	{"GATEWAY_RELAY_REPLICATION_TOPIC", NONE, "peers meet at the bee's own discovery key"},
	{"GATEWAY_RELAY_CANONICAL_PATH", "relay", "path", path, "with / in front"},
	{"GATEWAY_RELAY_ALIAS_PATHS", NONE, "a relay has one path: relay.path"},
	{"GATEWAY_FEATURE_HYPERBEE_RELAY", "relay", "bee", flag, ""},
	{"GATEWAY_FEATURE_HYPERBEE_RELAY", "gateway", "swarm", only_on, "true: peers find the bee in the network of swarm.bootstrap"},
	{"GATEWAY_FEATURE_RELAY_DISPATCHER", "workers", "enabled", flag, ""},
	{"GATEWAY_FEATURE_RELAY_DISPATCHER", "gateway", "swarm", only_on, "true: workers come by the network of swarm.bootstrap"},
	{"GATEWAY_FEATURE_RELAY_TOKEN_ENFORCEMENT", "tokens", "enabled", flag, ""},
	{"GATEWAY_DISPATCHER_MAX_CONCURRENT", "dispatcher", "in_flight_max", NULL, ""},
	{"GATEWAY_DISPATCHER_INFLIGHT_WEIGHT", NONE, WEIGHT},
	{"GATEWAY_DISPATCHER_LATENCY_WEIGHT", NONE, WEIGHT},
	{"GATEWAY_DISPATCHER_FAILURE_WEIGHT", NONE, WEIGHT},
	{"GATEWAY_DISPATCHER_REASSIGN_LAG", "dispatcher", "reassign_lag", NULL, ""},
	{"GATEWAY_DISPATCHER_CB_THRESHOLD", "dispatcher", "failures_max", NULL, ""},
	{"GATEWAY_DISPATCHER_CB_TIMEOUT_MS", "dispatcher", "rest", milliseconds, "in milliseconds"},
	{"GATEWAY_DISCOVERY_ENABLED", "discovery", "announce", flag, ""},
	{"GATEWAY_DISCOVERY_OPEN_ACCESS", NONE, "it gives the registration secret to everybody; who wants that says so by our name, "
		"discovery.share_secret"},
	{"GATEWAY_DISCOVERY_DISPLAY_NAME", "discovery", "display_name", NULL, ""},
	{"GATEWAY_DISCOVERY_REGION", "discovery", "region", NULL, ""},
	{"GATEWAY_DISCOVERY_TTL", "discovery", "ttl", seconds, "in seconds"},
	{"GATEWAY_DISCOVERY_REFRESH_MS", "discovery", "refresh", milliseconds, "in milliseconds"},
	{"GATEWAY_DISCOVERY_KEY_SEED", NONE, "the gateway's identity is the swarm key of its key ring"},
	{"GATEWAY_DISCOVERY_SECRET_PATH", NONE, "the path is fixed"},
	{"GATEWAY_DISCOVERY_SECRET_VERSION", NONE, "it is derived"},
	{"GATEWAY_DISCOVERY_PROTOCOL_VERSION", NONE, "it is fixed"},
	{"GATEWAY_BLINDPEER_ENABLED", NONE, BLIND_PEER},
	{"GATEWAY_BLINDPEER_STORAGE", NONE, BLIND_PEER},
	{"GATEWAY_BLINDPEER_MAX_BYTES", NONE, BLIND_PEER},
	{"GATEWAY_BLINDPEER_GC_INTERVAL_MS", NONE, BLIND_PEER},
	{"GATEWAY_BLINDPEER_DEDUPE_BATCH", NONE, BLIND_PEER},
	{"GATEWAY_BLINDPEER_STALE_TTL_MS", NONE, BLIND_PEER},
	{"GATEWAY_BLINDPEER_TRUSTED_PATH", NONE, BLIND_PEER},
	{"GATEWAY_ESCROW_ENABLED", NONE, ESCROW},
	{"GATEWAY_ESCROW_BASE_URL", NONE, ESCROW},
	{"GATEWAY_ESCROW_SHARED_SECRET", NONE, ESCROW},
	{"GATEWAY_ESCROW_CLIENT_ID", NONE, ESCROW},
	{"GATEWAY_ESCROW_TIMEOUT_MS", NONE, ESCROW},
	{"LOG_LEVEL", "log", "level", level, "fatal and silent are error"},
};
const size_t hf_alias_count = sizeof hf_aliases / sizeof *hf_aliases;

/* ---- Reading ---- */

static bool is_prefixed(const char *entry)
{
	return strncmp(entry, PREFIX, strlen(PREFIX)) == 0;
}

static const struct hf_alias *find_alias(const char *entry)
{
	size_t length = strcspn(entry, "=");
	for (size_t i = 0; i < hf_alias_count; i++)
		if (strlen(hf_aliases[i].variable) == length && strncmp(hf_aliases[i].variable, entry, length) == 0)
			return &hf_aliases[i];
	return NULL;
}

/* Whether this is the environment of a deployed gateway: it has a name that only that one reads. */
static bool is_theirs(char *const *environment)
{
	for (; *environment; environment++)
		if (is_prefixed(*environment) && find_alias(*environment))
			return true;
	return false;
}

static const char *origin_of(const struct hf_config *config, const struct hf_alias *alias)
{
	const struct hf_setting *setting = hf_config_find(alias->section, alias->name);
	return hf_config_origin(config, strcmp(alias->section, "relay") == 0 ? config->relays[0] : NULL, setting);
}

int hf_aliases_apply(struct hf_config *config, char *const *environment, struct hf_failure *failure)
{
	char translated[HF_CONFIG_VALUE_BYTES];
	int r = HF_OK;
	if (!is_theirs(environment))
		return HF_OK;
	for (size_t i = 0; r == HF_OK && i < hf_alias_count; i++) {
		const struct hf_alias *alias = &hf_aliases[i];
		const char *value = alias->section ? variable(environment, alias->variable) : NULL;
		if (!value || !value[0] || strcmp(origin_of(config, alias), "default") != 0)
			continue;
		if (!alias->translate)
			r = hf_config_set(config, alias->section, alias->name, value, alias->variable, failure);
		else if (alias->translate(environment, value, translated, sizeof translated))
			r = hf_config_set(config, alias->section, alias->name, translated, alias->variable, failure);
	}
	return r;
}

/* ---- Telling ---- */

static void tell_known(const struct hf_config *config, const struct hf_alias *alias, struct hf_alias_use *use)
{
	char name[HF_CONFIG_FLAG_BYTES];
	if (!alias->section) {
		snprintf(use->sentence, sizeof use->sentence, "%s has no counterpart: %s.", alias->variable, alias->note);
		return;
	}
	const struct hf_setting *setting = hf_config_find(alias->section, alias->name);
	const char *origin = origin_of(config, alias);
	use->is_used = strcmp(origin, alias->variable) == 0;
	hf_config_variable_text(setting, name);
	if (use->is_used)
		snprintf(use->sentence, sizeof use->sentence, "%s is taken as %s.%s; name it %s.", alias->variable, alias->section, alias->name, name);
	else if (strcmp(origin, "default") == 0)
		snprintf(use->sentence, sizeof use->sentence, "%s would be %s.%s: %s.", alias->variable, alias->section, alias->name,
			alias->note[0] ? alias->note : "it is empty");
	else
		snprintf(use->sentence, sizeof use->sentence, "%s is not read: %s.%s is set by %s.", alias->variable, alias->section, alias->name,
			origin);
}

/* A variable may stand for several settings; the first that it has set, or else the first, is told of. */
static const struct hf_alias *alias_in_use(const struct hf_config *config, const struct hf_alias *first)
{
	for (const struct hf_alias *alias = first; alias < hf_aliases + hf_alias_count && strcmp(alias->variable, first->variable) == 0; alias++)
		if (alias->section && strcmp(origin_of(config, alias), alias->variable) == 0)
			return alias;
	return first;
}

void hf_aliases_each_use(const struct hf_config *config, char *const *environment,
	void (*each)(void *context, const struct hf_alias_use *use), void *context)
{
	bool theirs = is_theirs(environment);
	for (; *environment; environment++) {
		const struct hf_alias *alias = find_alias(*environment);
		char name[HF_CONFIG_FLAG_BYTES];
		struct hf_alias_use use = {.variable = name};
		snprintf(name, sizeof name, "%.*s", (int)strcspn(*environment, "="), *environment);
		if (alias && (theirs || is_prefixed(*environment)))
			tell_known(config, alias_in_use(config, alias), &use);
		else if (!alias && is_prefixed(*environment))
			snprintf(use.sentence, sizeof use.sentence, "%s is no name that the deployed gateway has, and nothing reads it.", name);
		if (use.sentence[0])
			each(context, &use);
	}
}

static json_t *alias_json(const struct hf_alias *alias)
{
	json_t *object = json_pack("{s:s, s:s}", "variable", alias->variable, "note", alias->note);
	char name[HF_CONFIG_FLAG_BYTES];
	if (alias->section) {
		snprintf(name, sizeof name, "%s.%s", alias->section, alias->name);
		json_object_set_new(object, "setting", json_string(name));
	}
	return object;
}

int hf_aliases_show(bool json, struct hf_buffer *out)
{
	json_t *list = json_array();
	int r = list ? HF_OK : HF_ENOMEM;
	for (size_t i = 0; r == HF_OK && i < hf_alias_count; i++) {
		const struct hf_alias *alias = &hf_aliases[i];
		if (json)
			r = json_array_append_new(list, alias_json(alias)) < 0 ? HF_ENOMEM : HF_OK;
		else if (alias->section)
			r = hf_buffer_printf(out, "%s\n  %s.%s%s%s\n", alias->variable, alias->section, alias->name, alias->note[0] ? "; " : "", alias->note);
		else
			r = hf_buffer_printf(out, "%s\n  no counterpart: %s\n", alias->variable, alias->note);
	}
	char *text = r == HF_OK && json ? json_dumps(list, JSON_INDENT(2)) : NULL;
	if (r == HF_OK && json)
		r = text ? hf_buffer_printf(out, "%s\n", text) : HF_ENOMEM;
	free(text);
	json_decref(list);
	return r;
}
