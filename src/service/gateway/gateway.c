/* gateway: lifecycle. Everything here runs on the loop; signals arrive there too. */
#include "service/gateway/gateway.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "service/aliases.h"
#include "service/gateway/internal.h"

#define DESCRIPTORS_BESIDE_CONNECTIONS 256 /* listeners, the store's files, spare */

static struct hf_log_module log_module = HF_LOG_MODULE("gateway");

/* ---- Ending ---- */

static void on_drained(void *context)
{
	struct hf_gateway *g = context;
	g->is_drained = true;
	hf_loop_stop(g->loop);
}

void hf_gateway_drain(struct hf_gateway *g)
{
	if (g->is_draining)
		return;
	g->is_draining = true;
	hf_log_info(&log_module, "draining", NULL);
	hf_notify_stopping(g->notify);
	hf_gateway_end_events(g, true);
	hf_http_server_drain(g->server, (uint32_t)g->config->drain_timeout_ms, on_drained, g);
}

static void on_end_signal(void *context, int signal_number)
{
	struct hf_gateway *g = context;
	if (g->is_draining)
		hf_loop_stop(g->loop);
	else
		hf_gateway_drain(g);
}

/* ---- Changing ---- */

static int apply(struct hf_gateway *g, struct hf_config *config, struct hf_failure *failure)
{
	if (config->relay_count != g->relay_count)
		return hf_fail(failure, HF_EINVAL, "Relays cannot be added or taken away while running; start the gateway again.");
	for (size_t i = 0; i < g->relay_count; i++)
		if (strcmp(config->relays[i]->instance, hf_relay_instance(g->relays[i])) != 0)
			return hf_fail(failure, HF_EINVAL, "Relays cannot be renamed while running; start the gateway again.");
	int r = hf_gateway_parse_proxies(g, config, failure);
	size_t changed = 0;
	for (; r == HF_OK && changed < g->relay_count; changed++) {
		struct hf_relay_options options = hf_gateway_relay_options(g, config, changed);
		r = hf_relay_reconfigure(g->relays[changed], &options, failure);
	}
	if (r == HF_OK)
		r = hf_gateway_reconfigure_members(g, config, failure);
	if (r == HF_OK && (r = hf_gateway_configure_guard(g, config, failure)) < 0)
		hf_gateway_reconfigure_members(g, g->config, NULL);
	if (r == HF_OK)
		return r;
	hf_gateway_parse_proxies(g, g->config, NULL);
	while (changed-- > 0) {
		struct hf_relay_options options = hf_gateway_relay_options(g, g->config, changed);
		hf_relay_reconfigure(g->relays[changed], &options, NULL);
	}
	return r;
}

static bool is_changed(const struct hf_setting *s, const struct hf_config *before, const struct hf_config *after, size_t relay)
{
	char old[HF_CONFIG_VALUE_BYTES], new[HF_CONFIG_VALUE_BYTES];
	bool of_relay = strcmp(s->section, "relay") == 0;
	hf_config_value_text(before, of_relay ? before->relays[relay] : NULL, s, old);
	hf_config_value_text(after, of_relay ? after->relays[relay] : NULL, s, new);
	return strcmp(old, new) != 0;
}

void hf_gateway_each_restart(const struct hf_gateway *g, const struct hf_config *config,
	void (*each)(void *context, const char *setting, const char *relay), void *context)
{
	size_t relay_count = config->relay_count < g->relay_count ? config->relay_count : g->relay_count;
	for (size_t i = 0; i < hf_setting_count; i++) {
		const struct hf_setting *s = &hf_settings[i];
		bool of_relay = strcmp(s->section, "relay") == 0;
		char name[64];
		snprintf(name, sizeof name, "%s.%s", s->section, s->name);
		for (size_t k = 0; !s->reloadable && k < (of_relay ? relay_count : 1); k++)
			if (is_changed(s, g->first_config, config, k))
				each(context, name, of_relay ? config->relays[k]->instance : NULL);
	}
	hf_gateway_each_key_restart(g, each, context);
}

/* Says which changes have to wait, so that nobody takes what is configured for what is in force. */
static void warn_of_restart(void *context, const char *setting, const char *relay)
{
	hf_log_warn(&log_module, "something changes only with a restart", "setting=\"%s\" relay=%s", setting, relay ? relay : "");
}

/* A key that was revoked must not stay because a certificate cannot be read, nor the other way round: each is tried. */
static int reload_keys(struct hf_gateway *g, struct hf_failure *failure)
{
	int r = hf_gateway_reload_keys(g, failure);
	if (r < 0)
		hf_log_error(&log_module, "the old keys stay in use", "reason=\"%s\"", failure->text);
	return r;
}

static int reload_tls(struct hf_gateway *g, struct hf_failure *failure)
{
	struct hf_failure own = {0};
	int r = g->tls ? hf_tls_reload(g->tls, &own) : HF_OK;
	if (r < 0)
		hf_log_error(&log_module, "the old certificate stays in use", "reason=\"%s\"", own.text);
	if (r < 0 && failure)
		*failure = own;
	return r;
}

static int reload(struct hf_gateway *g, struct hf_failure *failure)
{
	struct hf_config *config = NULL;
	const char *bad;
	int r = g->options->load(g->options->context, &config, failure);
	if (r == HF_OK)
		r = apply(g, config, failure);
	if (r < 0) {
		hf_config_free(config);
		hf_log_configure(g->config->log_level, g->config->log_json, &bad);
		hf_log_error(&log_module, "reload refused; the old settings stay", "reason=\"%s\"", failure->text);
		return r;
	}
	if (g->config != g->first_config)
		hf_config_free(g->config);
	g->config = config;
	hf_log_configure(config->log_level, config->log_json, &bad);
	hf_gateway_each_restart(g, config, warn_of_restart, NULL);
	struct hf_http_server_options options;
	if (hf_gateway_make_routes(g) < 0)
		hf_log_error(&log_module, "out of memory; some routes are gone until the next reload", NULL);
	hf_gateway_server_options(g, &options);
	hf_http_server_reconfigure(g->server, &options);
	hf_gateway_limit_memory(g);
	r = reload_keys(g, failure);
	int of_tls = reload_tls(g, r < 0 ? NULL : failure);
	if (r == HF_OK)
		r = of_tls;
	if (r == HF_OK)
		hf_log_info(&log_module, "reloaded", NULL);
	return r;
}

int hf_gateway_reload(struct hf_gateway *g, struct hf_failure *failure)
{
	int r = reload(g, failure);
	hf_gateway_note_reload(g, r);
	return r;
}

static void on_reload_signal(void *context, int signal_number)
{
	struct hf_gateway *g = context;
	struct hf_failure failure = {0};
	if (g->is_draining)
		return;
	hf_notify_reloading(g->notify);
	hf_gateway_reload(g, &failure);
	hf_notify_ready(g->notify);
}

/* ---- Running ---- */

int hf_gateway_watch_signals(struct hf_gateway *g, struct hf_failure *failure)
{
	signal(SIGPIPE, SIG_IGN);
	int r = hf_loop_on_signal(g->loop, SIGTERM, on_end_signal, g);
	if (r == HF_OK)
		r = hf_loop_on_signal(g->loop, SIGINT, on_end_signal, g);
	if (r == HF_OK)
		r = hf_loop_on_signal(g->loop, SIGHUP, on_reload_signal, g);
	return r == HF_OK ? HF_OK : hf_fail(failure, r, "Watching for signals failed: %s.", hf_error_text(r));
}

/* Many systems start a program with 1,024 descriptors and let it ask for more; each connection takes one. */
static void raise_descriptor_limit(const struct hf_config *config)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t)config->connections_max + DESCRIPTORS_BESIDE_CONNECTIONS;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted)
		hf_log_info(&log_module, "the limit of open files is under connections_max; further connections are refused there",
			"open_files=%llu connections_max=%llu", (unsigned long long)limit.rlim_cur, (unsigned long long)config->connections_max);
}

static void log_alias(void *context, const struct hf_alias_use *use)
{
	hf_log_warn(&log_module, "a name of the deployed gateway is in the environment", "variable=%s notice=\"%s\"", use->variable,
		use->sentence);
}

static void log_start(const struct hf_gateway *g)
{
	struct hf_store_stats stats;
	hf_store_stats(g->store, &stats);
	hf_log_info(&log_module, "started", "data=\"%s\" events=%llu replayed=%llu relays=%zu start_ms=%llu", g->directory.path,
		(unsigned long long)stats.doc_count, (unsigned long long)stats.replayed_records, g->relay_count,
		(unsigned long long)(hf_env_monotonic_us((struct hf_env *)&g->env) - g->started_us) / 1000);
}

int hf_gateway_run(const struct hf_gateway_options *options, struct hf_failure *failure)
{
	struct hf_gateway *g = calloc(1, sizeof *g);
	if (!g) {
		hf_config_free(options->config);
		return hf_fail(failure, HF_ENOMEM, "Out of memory while starting.");
	}
	g->options = options;
	g->config = g->first_config = options->config;
	g->directory.lock_descriptor = -1;
	hf_aliases_each_use(g->config, environ, log_alias, NULL);
	raise_descriptor_limit(g->config);
	int r = hf_gateway_open(g, failure);
	if (r == HF_OK)
		r = hf_notify_new(&g->notify, g->loop, failure);
	if (r == HF_OK) {
		log_start(g);
		hf_notify_ready(g->notify);
		r = hf_loop_run(g->loop);
		if (r < 0)
			hf_fail(failure, r, "The event loop failed: %s.", hf_error_text(r));
	}
	g->is_draining = true; /* signals that come now find nothing to do */
	hf_notify_free(g->notify);
	hf_gateway_close(g);
	if (r == HF_OK)
		hf_log_info(&log_module, "ended", NULL);
	free(g);
	return r;
}
