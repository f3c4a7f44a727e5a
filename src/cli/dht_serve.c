/* dht_serve: nodes that run until they are told to end: one of a network, or a whole network on loopback. */
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/text.h"
#include "cli/dht.h"
#include "codec/hex.h"
#include "crypto/secret.h"
#include "net/interfaces.h"
#include "peer/relay_server.h"
#include "service/keyring.h"
#include "service/metrics_http.h"
#include "service/swarm_metrics.h"

#define TABLE_FILE "dht"
#define TABLE_BYTES_MAX 65536
#define SAVE_MS (10 * 60 * 1000)
#define NODES_MAX 2000
#define LINE_BYTES 256

/* ---- dht serve ---- */

struct serving {
	struct hf_cli_dht dht; /* first */
	struct hf_datadir directory;
	bool has_directory;
	char line[LINE_BYTES]; /* printed last */
	struct hf_buffer saved;
	struct hf_timer save;
	struct hf_interfaces_watch interfaces;
	uint8_t secret_key[HF_SIGN_SECRET_BYTES]; /* of the relay */
	struct hf_dht_connector *connector;
	struct hf_relay_server *relay;
	struct hf_metrics *registry;
	struct hf_swarm_metrics *metrics;
	struct hf_http_server *metrics_server;
};

static int open_directory(struct serving *s)
{
	const struct hf_cli *cli = s->dht.cli;
	struct hf_failure *failure = &s->dht.failure;
	struct hf_keys *keys = NULL;
	char path[HF_PATH_BYTES_MAX];
	bool is_given = false;

	for (size_t i = 0; i < cli->setting_count; i++)
		is_given |= strcmp(cli->settings[i].name, "data") == 0;
	if (!is_given)
		return HF_OK;
	int r = hf_datadir_open(&s->directory, &s->dht.cli->env, cli->config->data, true, failure);
	if (r < 0)
		return r;
	s->has_directory = true;
	r = hf_keyring_open(&keys, &s->directory, "keys", failure);
	if (r == HF_OK)
		r = hf_keyring_ensure(keys, &s->directory, "keys", HF_KEY_SWARM, failure);
	if (r == HF_OK)
		memcpy(s->secret_key, hf_keys_active(keys, HF_KEY_SWARM)->secret.data, sizeof s->secret_key);
	hf_keys_free(keys);
	if (r == HF_OK && hf_datadir_path(&s->directory, TABLE_FILE, path) == HF_OK && hf_fs_exists(cli->env.fs, path))
		r = hf_fs_read_all(cli->env.fs, path, TABLE_BYTES_MAX, &s->saved);
	return r;
}

static void save(struct serving *s)
{
	struct hf_buffer table = {0};
	char path[HF_PATH_BYTES_MAX];

	if (s->has_directory && s->dht.node && hf_dht_node_save(s->dht.node, &table) == HF_OK &&
		hf_datadir_path(&s->directory, TABLE_FILE, path) == HF_OK &&
		hf_fs_replace(s->dht.cli->env.fs, path, table.data, table.length) < 0)
		fprintf(stderr, "holdfast: the table of nodes cannot be written to %s.\n", path);
	hf_buffer_free(&table);
}

static void on_save(struct hf_timer *timer)
{
	struct serving *s = HF_CONTAINER_OF(timer, struct serving, save);

	save(s);
	hf_loop_timer_set(s->dht.loop, timer, SAVE_MS);
}

/* ---- What it tells of itself ---- */

static json_t *by_command(const uint64_t counts[static HF_DHT_COMMAND_COUNT + 1])
{
	json_t *object = json_object();

	for (unsigned i = 0; i <= HF_DHT_COMMAND_COUNT; i++)
		if (counts[i] > 0)
			json_object_set_new(object, hf_dht_command_name(i), json_integer((json_int_t)counts[i]));
	return object;
}

static json_t *drops(const struct hf_dht_node_stats *s)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "malformed", (json_int_t)s->malformed, "rate_limited",
		(json_int_t)s->rate_limited, "over_budget", (json_int_t)s->over_budget, "unsent", (json_int_t)s->unsent, "bad_token",
		(json_int_t)s->bad_tokens, "bad_signature", (json_int_t)s->bad_signatures, "bad_seq", (json_int_t)s->bad_seqs, "stale_reply",
		(json_int_t)s->stale_replies);
}

static json_t *streams(const struct hf_dht_node *node)
{
	struct hf_udx_counters c;

	hf_udx_read_counters(hf_udx_net_session(hf_dht_node_net(node)), &c);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I}}", "streams", (json_int_t)c.stream_count,
		"sent_packets", (json_int_t)c.sent_packets, "sent_bytes", (json_int_t)c.sent_bytes, "received_packets",
		(json_int_t)c.received_packets, "received_bytes", (json_int_t)c.received_bytes, "retransmitted", (json_int_t)c.retransmitted_packets,
		"relayed", (json_int_t)c.relayed_packets, "dropped", "malformed", (json_int_t)c.dropped_packets[HF_UDX_DROP_MALFORMED], "full",
		(json_int_t)c.dropped_packets[HF_UDX_DROP_FULL], "firewall", (json_int_t)c.dropped_packets[HF_UDX_DROP_FIREWALL], "relay_rate",
		(json_int_t)c.dropped_packets[HF_UDX_DROP_RELAY_RATE], "relay_full", (json_int_t)c.dropped_packets[HF_UDX_DROP_RELAY_FULL]);
}

json_t *hf_cli_dht_describe(const struct hf_dht_node *node)
{
	struct hf_dht_node_state state;
	struct hf_dht_node_stats stats;
	char id[2 * HF_DHT_ID_BYTES + 1] = {0};

	hf_dht_node_read_state(node, &state);
	hf_dht_node_read_stats(node, &stats);
	hf_hex_encode(id, state.id, sizeof state.id);
	return json_pack("{s:o, s:o*, s:b, s:b, s:b, s:b, s:s*, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}",
		"listening", hf_cli_dht_address(&state.server), "address", state.has_host ? hf_cli_dht_address(&state.seen) : NULL,
		"persistent", state.is_persistent, "bootstrapped", state.is_bootstrapped, "firewalled", state.is_firewalled,
		"online", state.is_online, "id", state.is_persistent ? id : NULL, "nodes", (json_int_t)stats.table_count,
		"queries", (json_int_t)stats.queries, "requests", (json_int_t)stats.requests, "replies", (json_int_t)stats.replies,
		"timeouts", (json_int_t)stats.timeouts, "received", (json_int_t)stats.received, "relayed", (json_int_t)stats.relayed,
		"records", (json_int_t)stats.records, "routes", (json_int_t)stats.routes, "mutables", (json_int_t)stats.mutables,
		"immutables", (json_int_t)stats.immutables, "answered", by_command(stats.answered), "timed_out", by_command(stats.timed_out),
		"served", by_command(stats.served), "dropped", drops(&stats), "udx", streams(node));
}

/* Whenever it is another than before. */
static void print_state(struct serving *s)
{
	struct hf_dht_node_state state;
	char server[HF_ADDRESS_TEXT_BYTES], seen[HF_ADDRESS_TEXT_BYTES], line[LINE_BYTES];

	hf_dht_node_read_state(s->dht.node, &state);
	hf_address_text(&state.server, true, server);
	hf_address_text(&state.seen, true, seen);
	snprintf(line, sizeof line, "listening on %s%s%s%s%s%s%s", server, state.has_host ? ", seen as " : "", state.has_host ? seen : "",
		state.is_persistent ? ", persistent" : ", ephemeral", state.is_firewalled ? "" : ", open",
		state.is_bootstrapped ? "" : ", looking around", state.is_online ? "" : ", offline");
	if (strcmp(line, s->line) == 0)
		return;
	memcpy(s->line, line, sizeof line);
	if (s->dht.cli->json)
		hf_cli_dht_print(hf_cli_dht_describe(s->dht.node));
	else
		puts(line);
	fflush(stdout);
}

static void on_changed(void *context, struct hf_dht_node *node)
{
	struct serving *s = context;

	(void)node;
	print_state(s);
}

static void on_interfaces_changed(struct hf_interfaces_watch *watch)
{
	hf_dht_node_network_changed(HF_CONTAINER_OF(watch, struct serving, interfaces)->dht.node);
}

/* ---- As a blind relay ---- */

static void on_relay_listening(void *context, struct hf_relay_server *relay, size_t relay_count)
{
	struct serving *s = context;
	char key[65] = {0};

	(void)relay_count;
	hf_hex_encode(key, hf_relay_server_public_key(relay), HF_SIGN_PUBLIC_BYTES);
	printf(s->dht.cli->json ? "{\"relay\":\"%s\"}\n" : "relay %s\n", key);
	fflush(stdout);
}

static int start_relay(struct serving *s)
{
	struct hf_dht_connector_options connector = {.size = sizeof connector, .node = s->dht.node, .loop = s->dht.loop};
	struct hf_relay_server_options relay = {.size = sizeof relay, .secret_key = s->secret_key, .listening = on_relay_listening, .context = s};
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES];
	const char *sessions = hf_cli_option(s->dht.cli, "relay-sessions"), *rate = hf_cli_option(s->dht.cli, "relay-rate");
	uint64_t count = 0, bytes_per_s = 0;

	if (!hf_cli_option(s->dht.cli, "relay"))
		return HF_OK;
	if (sessions && (hf_text_to_u64(sessions, &count) || count == 0 || count > UINT32_MAX))
		return hf_fail(&s->dht.failure, HF_EINVAL, "--relay-sessions is how many peers may use the relay at a time, not \"%.40s\".", sessions);
	if (rate && (hf_text_to_bytes(rate, &bytes_per_s) || bytes_per_s == 0 || bytes_per_s > UINT32_MAX))
		return hf_fail(&s->dht.failure, HF_EINVAL, "--relay-rate is what a stream may carry in a second, like \"1 MiB\", not \"%.40s\".", rate);
	relay.limits.session_count_max = (uint32_t)count;
	relay.bytes_per_s = (uint32_t)bytes_per_s;
	if (!s->has_directory)
		hf_sign_keypair_generate(public_key, s->secret_key, &s->dht.cli->env);
	int r = hf_dht_connector_new(&s->connector, &connector, &s->dht.failure);
	return r == HF_OK ? hf_relay_server_new(&s->relay, s->connector, &relay, &s->dht.failure) : r;
}

static void end_relay(struct serving *s)
{
	hf_relay_server_free(s->relay);
	hf_dht_connector_free(s->connector);
	hf_wipe(s->secret_key, sizeof s->secret_key);
}

/* ---- Metrics ---- */

static int start_metrics(struct serving *s)
{
	struct hf_swarm_metrics_sources sources = {.dht = s->dht.node, .connector = s->connector, .relay = s->relay};
	const char *address = hf_cli_option(s->dht.cli, "metrics");
	char where[HF_ADDRESS_TEXT_BYTES];
	struct hf_address bound;

	if (!address)
		return HF_OK;
	s->registry = hf_metrics_new();
	int r = s->registry ? hf_swarm_metrics_new(&s->metrics, s->registry, &sources) : HF_ENOMEM;
	if (r < 0)
		return hf_fail(&s->dht.failure, r, "Out of memory.");
	r = hf_metrics_http_listen(&s->metrics_server, s->dht.loop, s->registry, address, &bound, &s->dht.failure);
	if (r < 0)
		return r;
	hf_address_text(&bound, true, where);
	printf(s->dht.cli->json ? "{\"metrics\":\"http://%s/metrics\"}\n" : "metrics at http://%s/metrics\n", where);
	fflush(stdout);
	return HF_OK;
}

static void end_metrics(struct serving *s)
{
	if (s->metrics_server)
		hf_http_server_free(s->metrics_server);
	hf_swarm_metrics_free(s->metrics);
	hf_metrics_free(s->registry);
}

/* ---- The whole ---- */

static bool read_role(struct hf_cli *cli, struct hf_dht_node_options *options)
{
	const char *address = hf_cli_option(cli, "address");
	struct hf_failure failure = {0};
	char text[HF_ADDRESS_TEXT_BYTES];

	options->role = hf_cli_option(cli, "persistent") ? HF_DHT_PERSISTENT
		: hf_cli_option(cli, "ephemeral") ? HF_DHT_EPHEMERAL : HF_DHT_ADAPTIVE;
	options->is_open = hf_cli_option(cli, "open") != NULL;
	if (!address)
		return true;
	options->role = HF_DHT_BOOTSTRAPPER;
	snprintf(text, sizeof text, strchr(address, ':') ? "%.50s" : "%.50s:0", address);
	if (hf_address_parse(text, &options->address, &failure) == HF_OK && hf_address_is_ipv4(&options->address))
		return true;
	hf_cli_dht_usage(cli, "--address is the IPv4 address, with its port if that is another than --port, at which others see this node.");
	return false;
}

int hf_cli_dht_serve(struct hf_cli *cli)
{
	static const struct hf_dht_node_events events = {.bootstrapped = on_changed, .changed = on_changed};
	struct serving s = {.directory = {.lock_descriptor = -1}, .save = {.fire = on_save}};
	struct hf_dht_node_options options = {.events = &events, .context = &s};
	if (!read_role(cli, &options))
		return HF_CLI_USAGE;
	int code = hf_cli_dht_open(&s.dht, cli, false);
	if (code != HF_CLI_OK)
		return code;
	s.dht.keeps_on = true;
	s.dht.failure.code = open_directory(&s);
	if (s.dht.failure.code < 0)
		code = hf_cli_fail(&s.dht.failure);
	options.saved = hf_buffer_slice(&s.saved);
	if (code == HF_CLI_OK)
		code = hf_cli_dht_start(&s.dht, &options);
	if (code == HF_CLI_OK && ((s.dht.failure.code = start_relay(&s)) < 0 || (s.dht.failure.code = start_metrics(&s)) < 0))
		code = hf_cli_fail(&s.dht.failure);
	if (code == HF_CLI_OK) {
		print_state(&s);
		hf_loop_timer_set(s.dht.loop, &s.save, SAVE_MS);
		s.interfaces.changed = on_interfaces_changed;
		hf_interfaces_watch_start(&s.interfaces, hf_udp_host_of_loop(s.dht.loop));
		hf_loop_run(s.dht.loop);
		hf_interfaces_watch_stop(&s.interfaces);
		hf_loop_timer_cancel(s.dht.loop, &s.save);
		save(&s);
	}
	end_metrics(&s);
	end_relay(&s);
	hf_cli_dht_close(&s.dht);
	hf_buffer_free(&s.saved);
	hf_datadir_close(&s.directory);
	return code;
}

/* ---- dht testnet ---- */

struct testnet {
	struct hf_cli_dht dht; /* first */
	struct hf_dht_node **nodes;
	uint64_t count, ready;
};

static void print_testnet(const struct testnet *t)
{
	json_t *list = json_array();
	char text[HF_ADDRESS_TEXT_BYTES];

	for (uint64_t i = 0; i < t->count; i++)
		json_array_append_new(list, hf_cli_dht_address(hf_udx_socket_address(hf_dht_node_server_socket(t->nodes[i]))));
	if (t->dht.cli->json) {
		hf_cli_dht_print(json_pack("{s:O, s:O}", "bootstrap", json_array_get(list, 0), "nodes", list));
	} else {
		hf_address_text(hf_udx_socket_address(hf_dht_node_server_socket(t->nodes[0])), true, text);
		printf("%llu nodes; --bootstrap %s\n", (unsigned long long)t->count, text);
	}
	fflush(stdout);
	json_decref(list);
}

static int add_node(struct testnet *t, struct hf_dht_node_options *options);

/* One after another, so that each finds those before it. */
static void node_ready(void *context, struct hf_dht_node *node)
{
	struct testnet *t = context;
	struct hf_dht_node_options options = {.role = HF_DHT_PERSISTENT, .is_open = true, .only_port = true};

	(void)node;
	if (++t->ready < t->count)
		add_node(t, &options);
	else
		print_testnet(t);
}

static int add_node(struct testnet *t, struct hf_dht_node_options *options)
{
	static const struct hf_dht_node_events events = {.bootstrapped = node_ready};
	static const uint8_t loopback[4] = {127, 0, 0, 1};
	struct hf_failure failure = {0};

	options->size = sizeof *options;
	options->net = t->dht.net;
	options->events = &events;
	options->context = t;
	options->bind = hf_dht_address(loopback, options->bind.port);
	if (t->ready > 0) {
		options->bootstrap = hf_udx_socket_address(hf_dht_node_server_socket(t->nodes[0]));
		options->bootstrap_count = 1;
	}
	int r = hf_dht_node_new(&t->nodes[t->ready], options, &failure);
	if (r < 0)
		hf_cli_dht_end(&t->dht, r, "%s", failure.text);
	return r;
}

int hf_cli_dht_testnet(struct hf_cli *cli)
{
	static const uint8_t loopback[4] = {127, 0, 0, 1};
	struct testnet t = {.count = 0};
	struct hf_dht_node_options options = {.role = HF_DHT_BOOTSTRAPPER, .only_port = true, .address = hf_dht_address(loopback, 0)};
	const char *count = hf_cli_option(cli, "nodes");
	if ((count && hf_text_to_u64(count, &t.count) < 0) || (t.count = count ? t.count : 10) == 0 || t.count > NODES_MAX)
		return hf_cli_dht_usage(cli, "--nodes is a number from 1 to 2000.");
	if (!hf_cli_dht_bind(cli, &options.bind))
		return HF_CLI_USAGE;
	uint64_t nodes = t.count;
	int code = hf_cli_dht_open(&t.dht, cli, false);
	if (code != HF_CLI_OK)
		return code;
	t.count = nodes;
	t.nodes = calloc(nodes, sizeof(struct hf_dht_node *));
	if (t.nodes && add_node(&t, &options) == HF_OK) {
		hf_loop_run(t.dht.loop);
		t.dht.failure.code = t.dht.failure.text[0] ? t.dht.failure.code : HF_OK;
	}
	for (uint64_t i = 0; t.nodes && i < nodes; i++)
		hf_dht_node_free(t.nodes[i]);
	free(t.nodes);
	hf_cli_dht_close(&t.dht);
	return t.dht.failure.code < 0 ? hf_cli_fail(&t.dht.failure) : HF_CLI_OK;
}
