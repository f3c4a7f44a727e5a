/* config_report: what a configuration must meet as a whole, and how it is shown and explained. */
#include "service/config.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/text.h"
#include "data/corestore.h"
#include "base/address.h"

static bool is_of_relay(const struct hf_setting *s)
{
	return strcmp(s->section, "relay") == 0;
}

/* ---- Checking ---- */

static const char *where(const struct hf_config *config, const struct hf_config_relay *relay, const char *section, const char *name)
{
	return hf_config_origin(config, relay, hf_config_find(section, name));
}

/* The next word of a list that commas and blanks part, cut to the room in out; moves *list past it. False at the end. */
static bool next_word(const char **list, size_t size, char *out)
{
	*list += strspn(*list, ", ");
	size_t length = strcspn(*list, ", ");
	snprintf(out, size, "%.*s", (int)(length < size ? length : size - 1), *list);
	*list += length;
	return length > 0;
}

static int check_addresses(const struct hf_config *config, const char *name, const char *list, struct hf_failure *failure)
{
	char word[HF_ADDRESS_TEXT_BYTES];
	struct hf_address_range range;
	struct hf_address address;
	bool is_range = strcmp(name, "trusted_proxies") == 0;
	while (next_word(&list, sizeof word, word))
		if ((is_range ? hf_address_range_parse(word, &range) : hf_address_parse(word, &address, NULL)) < 0)
			return hf_fail(failure, HF_EINVAL, "%s: gateway.%s has \"%s\"; write %s.", where(config, NULL, "gateway", name), name, word,
				is_range ? "addresses or networks like 10.0.0.0/8 or ::1" : "addresses like 127.0.0.1:7777 or [::1]:7777");
	return HF_OK;
}

/* Whoever can reach them may read them, so they are not offered to other machines. */
static int check_metrics_addresses(const struct hf_config *config, struct hf_failure *failure)
{
	char word[HF_ADDRESS_TEXT_BYTES];
	struct hf_address address;
	for (const char *list = config->metrics_listen; next_word(&list, sizeof word, word);)
		if (hf_address_parse(word, &address, NULL) == HF_OK && hf_address_class(&address) != HF_ADDRESS_LOOPBACK)
			return hf_fail(failure, HF_EINVAL, "%s: gateway.metrics_listen has \"%s\"; it takes loopback addresses only, like 127.0.0.1:9777.",
				where(config, NULL, "gateway", "metrics_listen"), word);
	return HF_OK;
}

/* What stands before the paths of requests, so without one of its own. */
static int check_admin_url(const struct hf_config *config, struct hf_failure *failure)
{
	const char *url = config->admin_public_url, *host = strstr(url, "://");
	bool is_http = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
	size_t length = host ? strcspn(host + 3, "/?#") : 0;
	if (url[0] && (!is_http || length == 0 || (host[3 + length] && strcmp(host + 3 + length, "/") != 0)))
		return hf_fail(failure, HF_EINVAL, "%s: admin.public_url is \"%s\"; write https:// and the name, without a path.",
			where(config, NULL, "admin", "public_url"), url);
	return HF_OK;
}

static void path_of(const struct hf_config_relay *relay, char out[static HF_CONFIG_VALUE_BYTES])
{
	if (relay->path[0])
		snprintf(out, HF_CONFIG_VALUE_BYTES, "%s", relay->path);
	else
		snprintf(out, HF_CONFIG_VALUE_BYTES, "/%s", strcmp(relay->instance, "main") == 0 ? "" : relay->instance);
}

static int check_writers(const struct hf_config *config, const struct hf_config_relay *relay, struct hf_failure *failure)
{
	char word[80];
	for (const char *list = relay->writers; next_word(&list, sizeof word, word);)
		if (strlen(word) != 64 || strspn(word, "0123456789abcdef") != 64)
			return hf_fail(failure, HF_EINVAL, "%s: relay.writers has \"%s\"; write keys as 64 small hex digits.",
				where(config, relay, "relay", "writers"), word);
	return HF_OK;
}

static int check_path(const struct hf_config *config, const struct hf_config_relay *relay, struct hf_failure *failure)
{
	char path[HF_CONFIG_VALUE_BYTES];
	path_of(relay, path);
	if (strcmp(path, "/health") == 0 || (hf_config_is_administered(config) && strcmp(path, "/dashboard") == 0))
		return hf_fail(failure, HF_EINVAL, "%s: relay \"%s\" cannot be at %s, which the gateway answers itself.",
			where(config, relay, "relay", "path"), relay->instance, path);
	if (path[0] != '/' || strpbrk(path, "?#* "))
		return hf_fail(failure, HF_EINVAL, "%s: relay.path is \"%s\"; it begins with / and has no blank, ?, # or *.",
			where(config, relay, "relay", "path"), path);
	return HF_OK;
}

static int check_relay(const struct hf_config *config, size_t index, struct hf_failure *failure)
{
	char path[HF_CONFIG_VALUE_BYTES], other_path[HF_CONFIG_VALUE_BYTES];
	const struct hf_config_relay *relay = config->relays[index];
	uint64_t number = relay->number || index > 0 ? relay->number : 1;
	if (number == 0)
		return hf_fail(failure, HF_EINVAL, "Relay \"%s\" has no number; give it one that no other relay has, and never change it.",
			relay->instance);
	if (number == HF_CORESTORE_COLLECTION || number == HF_CORESTORE_NAMES_COLLECTION)
		return hf_fail(failure, HF_EINVAL, "Relay \"%s\" has the number %llu, under which the store keeps cores; give it another one.",
			relay->instance, (unsigned long long)number);
	int r = check_path(config, relay, failure);
	if (r == HF_OK)
		r = check_writers(config, relay, failure);
	if (r < 0)
		return r;
	if (relay->public_url[0] && strncmp(relay->public_url, "ws://", 5) != 0 && strncmp(relay->public_url, "wss://", 6) != 0)
		return hf_fail(failure, HF_EINVAL, "%s: relay.public_url is \"%s\"; write the ws:// or wss:// address that clients use.",
			where(config, relay, "relay", "public_url"), relay->public_url);
	if (relay->pubkey[0] && (strlen(relay->pubkey) != 64 || strspn(relay->pubkey, "0123456789abcdef") != 64))
		return hf_fail(failure, HF_EINVAL, "%s: relay.pubkey is \"%s\"; write 64 small hex digits.",
			where(config, relay, "relay", "pubkey"), relay->pubkey);
	if (relay->policy[0] && strcmp(relay->policy, "open") != 0 && strcmp(relay->policy, "admin") != 0 &&
		strcmp(relay->policy, "allow") != 0 && strcmp(relay->policy, "members") != 0)
		return hf_fail(failure, HF_EINVAL, "%s: relay.policy is \"%s\"; write open, admin, allow or members.",
			where(config, relay, "relay", "policy"), relay->policy);
	if (relay->event_bytes_max > config->message_bytes_max)
		return hf_fail(failure, HF_EINVAL, "%s: relay.event_max is above websocket.message_max, so such events could never arrive.",
			where(config, relay, "relay", "event_max"));
	for (size_t i = 0; i < index; i++) {
		const struct hf_config_relay *other = config->relays[i];
		uint64_t other_number = other->number || i > 0 ? other->number : 1;
		if (other_number == number)
			return hf_fail(failure, HF_EINVAL, "Relays \"%s\" and \"%s\" both have number %llu.", other->instance, relay->instance,
				(unsigned long long)number);
		path_of(relay, path);
		path_of(other, other_path);
		if (strcmp(path, other_path) == 0)
			return hf_fail(failure, HF_EINVAL, "Relays \"%s\" and \"%s\" are both at %s.", other->instance, relay->instance, path);
	}
	return HF_OK;
}

int hf_config_check(const struct hf_config *config, struct hf_failure *failure)
{
	const char *bad = NULL;
	if (!config->tls_certificate[0] != !config->tls_key[0] || (config->tls_listen[0] && !config->tls_key[0]))
		return hf_fail(failure, HF_EINVAL, "gateway.tls_listen, tls_certificate and tls_key are set together or not at all.");
	bool asks_clients = strcmp(config->tls_client, "ask") == 0 || strcmp(config->tls_client, "require") == 0;
	if (!asks_clients && strcmp(config->tls_client, "off") != 0)
		return hf_fail(failure, HF_EINVAL, "gateway.tls_client is off, ask or require, not \"%s\".", config->tls_client);
	if (asks_clients != (config->tls_client_ca[0] != 0) || (asks_clients && !config->tls_listen[0]))
		return hf_fail(failure, HF_EINVAL, "gateway.tls_client and tls_client_ca are set together, with tls_listen, or not at all.");
	if (config->admin_certificates[0] && !asks_clients)
		return hf_fail(failure, HF_EINVAL, "%s: admin.certificates needs gateway.tls_client: ask or require, and whom it trusts.",
			where(config, NULL, "admin", "certificates"));
	if (strcmp(config->proxy_protocol, "no") != 0 && !config->trusted_proxies[0])
		return hf_fail(failure, HF_EINVAL, "gateway.proxy_protocol needs trusted_proxies: who is believed.");
	if (hf_log_configure(config->log_level, config->log_json, &bad) < 0)
		return hf_fail(failure, HF_EINVAL, "%s: log.level has \"%s\"; write error, warn, info, debug or trace.",
			where(config, NULL, "log", "level"), bad ? bad : config->log_level);
	int r = check_addresses(config, "listen", config->listen, failure);
	if (r == HF_OK)
		r = check_addresses(config, "tls_listen", config->tls_listen, failure);
	if (r == HF_OK)
		r = check_addresses(config, "metrics_listen", config->metrics_listen, failure);
	if (r == HF_OK)
		r = check_addresses(config, "cores_listen", config->cores_listen, failure);
	if (r == HF_OK)
		r = check_metrics_addresses(config, failure);
	if (r == HF_OK && config->workers && !config->swarm)
		r = hf_fail(failure, HF_EINVAL, "%s: workers.enabled needs gateway.swarm, where workers are met.",
			where(config, NULL, "workers", "enabled"));
	if (r == HF_OK && config->discovery_announce && !config->swarm)
		r = hf_fail(failure, HF_EINVAL, "%s: discovery.announce needs gateway.swarm, where it is heard.",
			where(config, NULL, "discovery", "announce"));
	if (r == HF_OK && config->discovery_share_secret && !config->hypertuna)
		r = hf_fail(failure, HF_EINVAL, "%s: discovery.share_secret gives the secret to everybody, which only Hypertuna's peers need: it goes "
			"with compatibility.hypertuna.", where(config, NULL, "discovery", "share_secret"));
	if (r == HF_OK)
		r = check_admin_url(config, failure);
	if (r == HF_OK)
		r = check_addresses(config, "trusted_proxies", config->trusted_proxies, failure);
	if (r < 0)
		return r;
	for (size_t i = 0; i < config->relay_count; i++) {
		r = check_relay(config, i, failure);
		if (r < 0)
			return r;
	}
	return HF_OK;
}

/* ---- Showing ---- */

static void section_title(const struct hf_setting *s, const struct hf_config_relay *relay, char out[static 64])
{
	snprintf(out, 64, "%s%s%s", s->section, relay ? " " : "", relay ? relay->instance : "");
}

static int show_one(const struct hf_config *config, const struct hf_config_relay *relay, const struct hf_setting *s,
	const char **title_before, char title[static 64], struct hf_buffer *out)
{
	char text[HF_CONFIG_VALUE_BYTES];
	int r = HF_OK;
	section_title(s, relay, title);
	if (!*title_before || strcmp(*title_before, title) != 0)
		r = hf_buffer_printf(out, "%s[%s]\n", *title_before ? "\n" : "", title);
	*title_before = title;
	hf_config_value_text(config, relay, s, text);
	int width = (int)(strlen(s->name) + strlen(text)) + 3;
	return r < 0 ? r : hf_buffer_printf(out, "%s = %s%*s ; %s\n", s->name, text, width < 48 ? 48 - width : 0, "",
		hf_config_origin(config, relay, s));
}

static int show_text(const struct hf_config *config, struct hf_buffer *out)
{
	char titles[2][64];
	const char *before = NULL;
	int r = HF_OK;
	unsigned turn = 0;
	for (size_t i = 0; r == HF_OK && i < hf_setting_count; i++)
		if (!is_of_relay(&hf_settings[i]))
			r = show_one(config, NULL, &hf_settings[i], &before, titles[turn++ & 1], out);
	for (size_t k = 0; k < config->relay_count; k++)
		for (size_t i = 0; r == HF_OK && i < hf_setting_count; i++)
			if (is_of_relay(&hf_settings[i]))
				r = show_one(config, config->relays[k], &hf_settings[i], &before, titles[turn++ & 1], out);
	return r;
}

static json_t *value_json(const struct hf_config *config, const struct hf_config_relay *relay, const struct hf_setting *s)
{
	const char *field = (relay ? (const char *)relay : (const char *)config) + s->offset;
	if (s->type == HF_SETTING_TEXT || s->type == HF_SETTING_SECRET) {
		const char *text;
		memcpy(&text, field, sizeof text);
		return json_string(s->type == HF_SETTING_SECRET && text[0] ? "(set)" : text);
	}
	if (s->type == HF_SETTING_BOOL) {
		bool on;
		memcpy(&on, field, sizeof on);
		return json_boolean(on);
	}
	uint64_t number;
	memcpy(&number, field, sizeof number);
	return json_integer((json_int_t)number);
}

static json_t *section_json(const struct hf_config *config, const struct hf_config_relay *relay, const char *section)
{
	json_t *object = json_object();
	for (size_t i = 0; i < hf_setting_count; i++) {
		const struct hf_setting *s = &hf_settings[i];
		if (strcmp(s->section, section) == 0)
			json_object_set_new(object, s->name, json_pack("{s:o, s:s}", "value", value_json(config, relay, s), "from",
				hf_config_origin(config, relay, s)));
	}
	return object;
}

static int append_json(json_t *value, struct hf_buffer *out)
{
	char *text = value ? json_dumps(value, JSON_INDENT(2)) : NULL;
	json_decref(value);
	int r = text ? hf_buffer_append_text(out, text) : HF_ENOMEM;
	free(text);
	return r == HF_OK ? hf_buffer_append_text(out, "\n") : r;
}

int hf_config_show(const struct hf_config *config, bool json, struct hf_buffer *out)
{
	if (!json)
		return show_text(config, out);
	json_t *root = json_object(), *relays = json_object();
	for (size_t i = 0; i < hf_setting_count; i++)
		if (!is_of_relay(&hf_settings[i]) && !json_object_get(root, hf_settings[i].section))
			json_object_set_new(root, hf_settings[i].section, section_json(config, NULL, hf_settings[i].section));
	for (size_t i = 0; i < config->relay_count; i++)
		json_object_set_new(relays, config->relays[i]->instance, section_json(config, config->relays[i], "relay"));
	json_object_set_new(root, "relay", relays);
	return append_json(root, out);
}

/* ---- Explaining ---- */

const char *hf_config_kind_text(const struct hf_setting *s)
{
	static const char *const kinds[] = {"text", "text, not shown", "a number", "a size (64k, 1 GiB)", "a time (250ms, 10s, 15m)", "yes or no"};
	return kinds[s->type];
}

char *hf_config_variable_text(const struct hf_setting *s, char out[static HF_CONFIG_FLAG_BYTES])
{
	snprintf(out, HF_CONFIG_FLAG_BYTES, "HOLDFAST_%s_%s", s->section, s->name);
	for (char *c = out; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return out;
}

char *hf_config_flag_text(const struct hf_setting *s, char out[static HF_CONFIG_FLAG_BYTES])
{
	bool is_short = strcmp(s->section, "gateway") == 0 && (strcmp(s->name, "data") == 0 || strcmp(s->name, "listen") == 0);
	snprintf(out, HF_CONFIG_FLAG_BYTES, "--%s%s%s", is_short ? "" : s->section, is_short ? "" : "-", s->name);
	for (char *c = out; *c; c++)
		*c = *c == '_' ? '-' : *c;
	return out;
}

static int explain_text(const struct hf_setting *s, struct hf_buffer *out)
{
	char variable[HF_CONFIG_FLAG_BYTES], flag[HF_CONFIG_FLAG_BYTES];
	hf_config_variable_text(s, variable);
	hf_config_flag_text(s, flag);
	return hf_buffer_printf(out, "%s.%s\n  %s\n  %s; default: %s\n  %s, %s%s\n\n", s->section, s->name, s->reason, hf_config_kind_text(s),
		s->default_text[0] ? s->default_text : "(empty)", flag, variable, s->reloadable ? "; SIGHUP applies a change" : "");
}

static json_t *explain_json(const struct hf_setting *s)
{
	char variable[HF_CONFIG_FLAG_BYTES], flag[HF_CONFIG_FLAG_BYTES];
	hf_config_variable_text(s, variable);
	hf_config_flag_text(s, flag);
	json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b}", "section", s->section, "name", s->name, "kind",
		hf_config_kind_text(s), "default", s->default_text, "reason", s->reason, "environment", variable, "flag", flag,
		"reloadable", s->reloadable);
	if (s->max) {
		json_object_set_new(object, "min", json_integer((json_int_t)s->min));
		if (s->max != UINT64_MAX)
			json_object_set_new(object, "max", json_integer((json_int_t)s->max));
	}
	return object;
}

static bool is_named(const struct hf_setting *s, const char *name)
{
	size_t section = strlen(s->section);
	return !name || strcmp(name, s->name) == 0 || strcmp(name, s->section) == 0 ||
		(strncmp(name, s->section, section) == 0 && name[section] == '.' && strcmp(name + section + 1, s->name) == 0);
}

int hf_config_explain(const char *name, bool json, struct hf_buffer *out, struct hf_failure *failure)
{
	json_t *list = json ? json_array() : NULL;
	const char *names[128];
	size_t count = 0, found = 0;
	int r = HF_OK;
	for (size_t i = 0; r == HF_OK && i < hf_setting_count; i++) {
		const struct hf_setting *s = &hf_settings[i];
		if (count < 128)
			names[count++] = s->name;
		if (!is_named(s, name))
			continue;
		found++;
		if (json)
			json_array_append_new(list, explain_json(s));
		else
			r = explain_text(s, out);
	}
	if (found == 0) {
		json_decref(list);
		const char *dot = strrchr(name, '.'), *near = hf_text_nearest(dot ? dot + 1 : name, names, count);
		return hf_fail(failure, HF_ENOTFOUND, "There is no setting \"%s\"%s%s%s", name, near ? "; did you mean \"" : ".", near ? near : "",
			near ? "\"?" : "");
	}
	return json ? append_json(list, out) : r;
}

/* ---- An example ---- */

#define EXAMPLE_WIDTH 110u

/* Comment lines, broken between words. */
static int append_comment(const char *text, struct hf_buffer *out)
{
	int r = HF_OK;
	while (r == HF_OK && *text) {
		size_t length = strlen(text), end = length;
		if (length > EXAMPLE_WIDTH)
			for (end = EXAMPLE_WIDTH; end > 0 && text[end] != ' '; end--)
				;
		end = end ? end : length;
		r = hf_buffer_printf(out, "; %.*s\n", (int)end, text);
		text += end + (text[end] == ' ');
	}
	return r;
}

static int example_one(const struct hf_setting *s, struct hf_buffer *out)
{
	char range[HF_CONFIG_RANGE_BYTES], text[HF_CONFIG_VALUE_BYTES];
	hf_config_range_text(s, range);
	snprintf(text, sizeof text, "%s", s->reason);
	text[0] = (char)toupper((unsigned char)text[0]);
	int r = append_comment(text, out);
	if (r == HF_OK)
		r = hf_buffer_printf(out, "; (%s%s%s%s)\n", hf_config_kind_text(s), range[0] ? ", " : "", range, s->reloadable ? "; reloads" : "");
	return r < 0 ? r : hf_buffer_printf(out, ";%s =%s%s\n\n", s->name, s->default_text[0] ? " " : "", s->default_text);
}

int hf_config_example(struct hf_buffer *out)
{
	const char *section = "";
	int r = hf_buffer_append_text(out, "; Every setting of Holdfast with what it is for and its default.\n"
		"; To change one, take the semicolon away in front of it.\n"
		"; What \"reloads\" is applied by SIGHUP (systemctl reload holdfast), the rest by a restart.\n"
		"; `holdfast config check --config FILE` says whether a file is right, `holdfast doctor --config FILE` whether it is wise.\n\n");
	for (size_t i = 0; r == HF_OK && i < hf_setting_count; i++) {
		if (strcmp(section, hf_settings[i].section) != 0) {
			section = hf_settings[i].section;
			if (strcmp(section, "relay") == 0)
				r = hf_buffer_append_text(out, "; The relay main. For each further one a section [relay NAME], with a number of its own.\n");
			if (r == HF_OK)
				r = hf_buffer_printf(out, "[%s]\n", section);
		}
		if (r == HF_OK)
			r = example_one(&hf_settings[i], out);
	}
	return r;
}
