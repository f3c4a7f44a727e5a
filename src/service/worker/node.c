/* node: the worker as a whole. What is due by the clock is looked at twice a second; what ends is freed in a deferred round, so that
 * nothing goes from under the feet of a callback. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/options.h"
#include "codec/bech32.h"
#include "codec/core_key.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "service/worker/internal.h"
#include "service/json_hex.h"

#define SEQUENCES_FILE "worker-sequences.json"
#define SEQUENCES_BYTES_MAX (1u << 20)
#define GATEWAY_TEXT_BYTES_MAX 400

static struct hf_log_module log_module = HF_LOG_MODULE("worker");

/* ---- Waiting ---- */

uint64_t hf_worker_jitter(struct hf_worker_node *node, uint64_t ms)
{
	uint32_t random;
	node->env->random(node->env, &random, sizeof random);
	return ms * 4 / 5 + ms * 2 / 5 * (random & 0xffff) / 0xffff;
}

uint64_t hf_worker_backoff_ms(uint64_t first_ms, uint64_t max_ms, uint32_t failures)
{
	uint64_t ms = failures < 16 ? first_ms << failures : max_ms;
	return ms < max_ms ? ms : max_ms;
}

uint64_t hf_worker_retry_ms(struct hf_worker_node *node, uint32_t failures)
{
	const struct hf_config *c = node->options.config;
	return hf_worker_jitter(node, hf_worker_backoff_ms(c->worker_retry_ms, c->worker_retry_max_ms, failures));
}

static void reap(struct hf_loop_deferred *deferred)
{
	struct hf_worker_node *node = HF_CONTAINER_OF(deferred, struct hf_worker_node, reap);
	hf_worker_session_free_dead(node);
	for (struct hf_worker_link *link = node->links, *next; link; link = next) {
		next = link->next;
		hf_worker_link_reap(link);
	}
}

void hf_worker_reap(struct hf_worker_node *node)
{
	hf_loop_defer(node->loop, &node->reap);
}

static void on_tick(struct hf_timer *timer)
{
	struct hf_worker_node *node = HF_CONTAINER_OF(timer, struct hf_worker_node, tick);
	uint64_t now_us = hf_loop_now_us(node->loop);
	for (struct hf_worker_link *link = node->links, *next; link; link = next) {
		next = link->next;
		hf_worker_link_tick(link, now_us);
	}
	hf_worker_hypertuna_tick(node, now_us);
	hf_worker_join_tick(node, now_us);
	hf_worker_tokens_save(node);
	hf_worker_discover_tick(node, now_us);
	hf_worker_teller_tick(node->teller, now_us);
	hf_loop_timer_set(node->loop, &node->tick, HF_WORKER_TICK_MS);
}

/* ---- Texts of requests ---- */

struct hf_slice hf_worker_without_query(struct hf_slice path)
{
	const uint8_t *mark = path.length ? memchr(path.data, '?', path.length) : NULL;
	return mark ? hf_slice(path.data, (size_t)(mark - path.data)) : path;
}

static int digit(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int hf_worker_append_decoded(struct hf_buffer *out, struct hf_slice text)
{
	int r = hf_buffer_reserve(out, text.length);
	for (size_t i = 0; r == HF_OK && i < text.length; i++) {
		bool is_code = text.data[i] == '%' && i + 2 < text.length && digit(text.data[i + 1]) >= 0 && digit(text.data[i + 2]) >= 0;
		out->data[out->length++] = is_code ? (uint8_t)(digit(text.data[i + 1]) * 16 + digit(text.data[i + 2])) : text.data[i];
		i += is_code ? 2 : 0;
	}
	return r;
}

struct hf_slice hf_worker_field(const struct hf_relay_stream_open *open, const char *name)
{
	for (size_t i = 0; i < open->field_count; i++)
		if (hf_http_name_equal(open->fields[i].name, name))
			return open->fields[i].value;
	return hf_slice(NULL, 0);
}

/* ---- Relays ---- */

/* "npub1…:name" is also a path, with '/' for ':'. */
static bool is_identifier(const struct hf_worker_relay *relay, struct hf_slice name)
{
	size_t length = strlen(relay->identifier), colon = strcspn(relay->identifier, ":");
	if (name.length != length)
		return false;
	for (size_t i = 0; i < length; i++)
		if (name.data[i] != (uint8_t)relay->identifier[i] && !(i == colon && name.data[i] == '/'))
			return false;
	return true;
}

static bool is_relay(const struct hf_worker_relay *relay, struct hf_slice name)
{
	uint8_t key[32];
	if (name.length == 64 && hf_hex_decode(key, name.data, 32))
		return memcmp(key, relay->key, sizeof key) == 0;
	const char *path = relay->settings->gateway_path;
	return is_identifier(relay, name) || (path[0] && hf_slice_equal(name, hf_slice_text(path + (path[0] == '/'))));
}

struct hf_worker_relay *hf_worker_find_relay(struct hf_worker_node *node, struct hf_slice name)
{
	struct hf_buffer decoded = {0};
	struct hf_worker_relay *found = NULL;
	while (name.length > 0 && name.data[0] == '/')
		name = hf_slice(name.data + 1, name.length - 1);
	if (name.length < HF_WORKER_IDENTIFIER_BYTES_MAX * 3 && hf_worker_append_decoded(&decoded, name) == HF_OK)
		for (size_t i = 0; i < node->relay_count && !found; i++)
			if (is_relay(&node->relays[i], hf_buffer_slice(&decoded)))
				found = &node->relays[i];
	hf_buffer_free(&decoded);
	return found;
}

void hf_worker_relay_token(struct hf_worker_node *node, const struct hf_worker_relay *relay, char out[static 65])
{
	static const char purpose[] = "holdfast-relay-token-v1";
	uint8_t text[sizeof purpose - 1 + 32], mac[32];
	memcpy(text, purpose, sizeof purpose - 1);
	memcpy(text + sizeof purpose - 1, relay->key, 32);
	hf_blake2b(mac, sizeof mac, hf_slice(node->options.static_secret, 32), hf_slice(text, sizeof text));
	hf_hex_encode(out, mac, sizeof mac);
	out[64] = '\0';
}

bool hf_worker_relay_admits(struct hf_worker_node *node, const struct hf_worker_relay *relay, struct hf_slice auth_token)
{
	char token[65];
	if (!relay->settings->token)
		return true;
	hf_worker_relay_token(node, relay, token);
	return (auth_token.length == 64 && hf_bytes_equal_secret(auth_token.data, token, 64)) || hf_worker_is_member_token(relay, auth_token);
}

static int take_relay(struct hf_worker_node *node, size_t i, struct hf_failure *failure)
{
	struct hf_worker_relay *relay = &node->relays[i];
	struct hf_relay_bee_facts facts;
	char npub[HF_BECH32_KEY_TEXT_BYTES];
	relay->relay = node->options.relays[i];
	relay->settings = node->options.config->relays[i];
	relay->bee_key = &node->options.bee_keys[i];
	if (!hf_relay_bee(relay->relay))
		return hf_fail(failure, HF_EINVAL, "Relay %s has no bee, by whose key a gateway knows it: set relay.bee = yes.",
			relay->settings->instance);
	hf_relay_bee_facts(hf_relay_bee(relay->relay), &facts);
	memcpy(relay->key, facts.key, sizeof relay->key);
	hf_bech32_encode_key(npub, "npub", hf_relay_identity(relay->relay));
	int length = relay->settings->identifier[0]
		? snprintf(relay->identifier, sizeof relay->identifier, "%s", relay->settings->identifier)
		: snprintf(relay->identifier, sizeof relay->identifier, "%s:%s", npub, relay->settings->instance);
	return (size_t)length < sizeof relay->identifier ? HF_OK
		: hf_fail(failure, HF_ETOOBIG, "relay.identifier is longer than %d characters.", HF_WORKER_IDENTIFIER_BYTES_MAX - 1);
}

/* ---- Gateways ---- */

struct hf_worker_gateway *hf_worker_find_gateway(struct hf_worker_node *node, const uint8_t key[static 32])
{
	for (size_t i = 0; i < node->gateway_count; i++)
		if (!node->gateways[i].is_free && !node->gateways[i].is_leaving && memcmp(node->gateways[i].key, key, 32) == 0)
			return &node->gateways[i];
	return NULL;
}

static void describe_place(struct hf_worker_node *node, const struct hf_worker_gateway *g, struct hf_worker_place *out)
{
	*out = (struct hf_worker_place){.is_free = g->is_free, .rank = hf_worker_rank_of(g), .is_leaving = g->is_leaving,
		.is_connected = g->link != NULL, .was_connected = g->was_connected, .is_read = g->replica && g->replica->readers,
		.known_ms = g->heard_ms > g->first_ms ? g->heard_ms - g->first_ms : 0,
		.taken_ms = (hf_loop_now_us(node->loop) - g->taken_us) / 1000};
}

/* The place of one of that rank, free now; NULL: none, or not yet. */
static struct hf_worker_gateway *make_room(struct hf_worker_node *node, enum hf_worker_rank rank)
{
	struct hf_worker_place places[HF_WORKER_GATEWAY_COUNT_MAX];
	bool has_leaver;
	for (size_t i = 0; i < HF_WORKER_GATEWAY_COUNT_MAX; i++)
		if (i < node->gateway_count)
			describe_place(node, &node->gateways[i], &places[i]);
		else
			places[i] = (struct hf_worker_place){.is_free = true};
	size_t place = hf_worker_place_for(places, HF_WORKER_GATEWAY_COUNT_MAX, rank, hf_worker_owed_count(node), &has_leaver);
	if (place == HF_WORKER_GATEWAY_COUNT_MAX)
		return NULL;
	struct hf_worker_gateway *g = &node->gateways[place];
	if (has_leaver && (g->link || places[place].is_read)) {
		g->is_leaving = true;
		if (g->link && g->link->socket)
			hf_peer_socket_close(g->link->socket);
		return NULL;
	}
	if (has_leaver)
		hf_worker_give_up(node, g);
	return g;
}

struct hf_worker_gateway *hf_worker_add_gateway(struct hf_worker_node *node, const uint8_t key[static 32], enum hf_worker_rank rank)
{
	uint64_t *sequences = calloc(node->relay_count + 1, sizeof *sequences), now_us = hf_loop_now_us(node->loop);
	struct hf_worker_gateway *gateway = sequences ? make_room(node, rank) : NULL;
	if (!gateway) {
		free(sequences);
		return NULL;
	}
	*gateway = (struct hf_worker_gateway){.sequences = sequences, .away_since_us = now_us, .taken_us = now_us,
		.is_configured = rank == HF_WORKER_CONFIGURED, .is_named = rank == HF_WORKER_NAMED,
		.is_discovered = rank == HF_WORKER_NAMED || rank == HF_WORKER_STRANGER};
	memcpy(gateway->key, key, sizeof gateway->key);
	node->gateway_count += gateway == &node->gateways[node->gateway_count];
	return gateway;
}

/* KEY, or KEY@URL of its relay. */
static int add_configured(struct hf_worker_node *node, char *text, struct hf_failure *failure)
{
	char *at = strchr(text, '@');
	uint8_t key[32];
	if (at)
		*at = '\0';
	if (hf_core_key_decode(key, hf_slice_text(text)) < 0)
		return hf_fail(failure, HF_EINVAL, "worker.gateways has \"%.80s\", which is no key: write KEY, or KEY@wss://host/path.", text);
	if (at && (strlen(at + 1) >= HF_WORKER_URL_BYTES_MAX || (strncmp(at + 1, "ws://", 5) != 0 && strncmp(at + 1, "wss://", 6) != 0)))
		return hf_fail(failure, HF_EINVAL, "worker.gateways has \"%.80s\", which is no address of a relay: write wss://host/path.", at + 1);
	if (hf_worker_find_gateway(node, key))
		return hf_fail(failure, HF_EEXISTS, "worker.gateways has %.80s twice.", text);
	struct hf_worker_gateway *gateway = hf_worker_add_gateway(node, key, HF_WORKER_CONFIGURED);
	if (!gateway)
		return hf_fail(failure, HF_ETOOBIG, "worker.gateways has more than %u entries.", HF_WORKER_GATEWAY_COUNT_MAX);
	gateway->has_own_url = at != NULL;
	if (at)
		snprintf(gateway->url, sizeof gateway->url, "%s", at + 1);
	return HF_OK;
}

static const char needs_gateways[] = "A worker needs to know its gateways: set worker.gateways to their keys, or have it listen to "
	"announcements with worker.discover and discovery.trusted.";

static bool may_hear_of_gateways(const struct hf_config *config)
{
	return config->hypertuna || (config->worker_discover && config->discovery_trusted[0]);
}

static int add_gateways(struct hf_worker_node *node, struct hf_failure *failure)
{
	int r = HF_OK;
	for (const char *list = node->options.config->worker_gateways; r == HF_OK && *list;) {
		char one[GATEWAY_TEXT_BYTES_MAX];
		size_t length = strcspn(list, ", ");
		snprintf(one, sizeof one, "%.*s", (int)length, list);
		if (length >= sizeof one)
			return hf_fail(failure, HF_ETOOBIG, "worker.gateways has an entry of more than %d characters.", GATEWAY_TEXT_BYTES_MAX - 1);
		if (length > 0)
			r = add_configured(node, one, failure);
		list += length + strspn(list + length, ", ");
	}
	if (r == HF_OK && node->gateway_count == 0 && !may_hear_of_gateways(node->options.config))
		return hf_fail(failure, HF_EINVAL, needs_gateways);
	return r;
}

/* ---- Sequences of control frames ---- */

static int sequences_path(const struct hf_worker_node *node, char out[static HF_PATH_BYTES_MAX])
{
	return hf_path_join(out, node->options.directory, SEQUENCES_FILE);
}

static json_t *sequences_of(const struct hf_worker_node *node, const struct hf_worker_gateway *gateway)
{
	json_t *object = json_object();
	char key[65] = {0};
	for (size_t i = 0; object && i < node->relay_count; i++)
		if (gateway->sequences[i] > 0) {
			hf_hex_encode(key, node->relays[i].key, 32);
			json_object_set_new(object, key, json_integer((json_int_t)gateway->sequences[i]));
		}
	return object;
}

static int save_sequences(struct hf_worker_node *node)
{
	char path[HF_PATH_BYTES_MAX], key[65] = {0};
	json_t *all = json_object();
	for (size_t i = 0; all && i < node->gateway_count; i++) {
		if (node->gateways[i].is_free)
			continue;
		hf_hex_encode(key, node->gateways[i].key, 32);
		json_object_set_new(all, key, sequences_of(node, &node->gateways[i]));
	}
	char *text = all ? json_dumps(all, JSON_INDENT(1)) : NULL;
	json_decref(all);
	int r = text ? sequences_path(node, path) : HF_ENOMEM;
	if (r == HF_OK)
		r = hf_fs_replace(node->env->fs, path, text, strlen(text));
	free(text);
	return r;
}

void hf_worker_save_sequences(struct hf_worker_node *node)
{
	int r = save_sequences(node);
	if (r < 0)
		hf_log_error(&log_module, "the sequence of a control frame was not saved", "reason=\"%s\"", hf_error_text(r));
}

static int load_sequences(struct hf_worker_node *node, struct hf_failure *failure)
{
	char path[HF_PATH_BYTES_MAX], gateway_key[65] = {0}, relay_key[65] = {0};
	struct hf_buffer text = {0};
	int r = sequences_path(node, path);
	if (r == HF_OK)
		r = hf_fs_read_all(node->env->fs, path, SEQUENCES_BYTES_MAX, &text);
	json_t *all = r == HF_OK ? json_loadb((const char *)text.data, text.length, 0, NULL) : NULL;
	hf_buffer_free(&text);
	if (r == HF_ENOTFOUND)
		return HF_OK;
	if (!all)
		return hf_fail(failure, r < 0 ? r : HF_ECORRUPT, "%s cannot be read; it holds what was heard of gateways' revocations.", path);
	for (size_t g = 0; g < node->gateway_count; g++) {
		hf_hex_encode(gateway_key, node->gateways[g].key, 32);
		const json_t *of_gateway = json_object_get(all, gateway_key);
		for (size_t i = 0; i < node->relay_count; i++) {
			hf_hex_encode(relay_key, node->relays[i].key, 32);
			node->gateways[g].sequences[i] = (uint64_t)json_integer_value(json_object_get(of_gateway, relay_key));
		}
	}
	json_decref(all);
	return HF_OK;
}

bool hf_worker_take_sequence(struct hf_worker_node *node, struct hf_worker_gateway *gateway, struct hf_slice relay_key, uint64_t sequence)
{
	struct hf_worker_relay *relay = hf_worker_find_relay(node, relay_key);
	uint64_t *highest = relay ? &gateway->sequences[relay - node->relays] : NULL;
	if (!highest || sequence <= *highest) {
		hf_counter_add(&node->stats.replays, 1);
		return false;
	}
	*highest = sequence;
	hf_worker_save_sequences(node);
	return true;
}

/* ---- Metrics ---- */

static void register_metrics(struct hf_worker_node *node)
{
	struct hf_metrics *m = node->options.metrics;
	struct hf_worker_stats *s = &node->stats;
	static const char sessions[] = "holdfast_worker_sessions_total", sessions_help[] = "Clients of gateways, by what became of them";
	static const char registrations[] = "holdfast_worker_registrations_total", registrations_help[] = "Registrations with gateways";
	static const char files[] = "holdfast_worker_files_total", files_help[] = "Answers to requests for files";
	static const char queries[] = "holdfast_worker_queries_total", queries_help[] = "Requests answered from replicas of gateways' relays";
	static const char joins[] = "holdfast_worker_joins_total", joins_help[] = "Requests to join a relay, by what became of them";
	static const char events[] = "holdfast_worker_published_total", events_help[] = "Events passed on to gateways' relays";
	if (!m)
		return;
	hf_counter_register(m, &s->sessions_opened, sessions, "result=\"opened\"", sessions_help);
	hf_counter_register(m, &s->sessions_refused, sessions, "result=\"refused\"", sessions_help);
	hf_counter_register(m, &s->sessions_slow, sessions, "result=\"slow\"", sessions_help);
	hf_counter_register(m, &s->registrations, registrations, "result=\"ok\"", registrations_help);
	hf_counter_register(m, &s->registration_failures, registrations, "result=\"failed\"", registrations_help);
	hf_counter_register(m, &s->files, files, "result=\"ok\"", files_help);
	hf_counter_register(m, &s->file_failures, files, "result=\"failed\"", files_help);
	hf_counter_register(m, &s->file_bytes, "holdfast_worker_file_bytes_total", "", "Bytes of files sent");
	hf_counter_register(m, &s->queries, queries, "result=\"ok\"", queries_help);
	hf_counter_register(m, &s->query_failures, queries, "result=\"failed\"", queries_help);
	hf_counter_register(m, &s->query_events, "holdfast_worker_query_events_total", "", "Stored events given from replicas");
	hf_counter_register(m, &s->delivered, "holdfast_worker_delivered_total", "", "Live events given from replicas");
	hf_counter_register(m, &s->published, events, "result=\"ok\"", events_help);
	hf_counter_register(m, &s->publish_failures, events, "result=\"failed\"", events_help);
	hf_counter_register(m, &s->replays, "holdfast_worker_replays_total", "", "Control frames of gateways that came again, or late");
	hf_counter_register(m, &s->foreign, "holdfast_worker_foreign_total", "", "Peers that are no gateway of ours");
	hf_counter_register(m, &s->gateways_followed, "holdfast_worker_gateways_followed_total", "", "Gateways that went on under a new key");
	hf_counter_register(m, &s->gateways_dropped, "holdfast_worker_gateways_dropped_total", "", "Gateways that were given up");
	hf_counter_register(m, &s->bees_moved, "holdfast_worker_bees_moved_total", "", "Times a gateway's relay had another bee");
	hf_counter_register(m, &s->joins, joins, "result=\"ok\"", joins_help);
	hf_counter_register(m, &s->joins_pending, joins, "result=\"pending\"", joins_help);
	hf_counter_register(m, &s->joins_refused, joins, "result=\"refused\"", joins_help);
	hf_gauge_register(m, &s->sessions, "holdfast_worker_sessions", "", "Clients of gateways now");
	hf_gauge_register(m, &s->queued_bytes, "holdfast_worker_queued_bytes", "", "Bytes that wait for clients of gateways");
	hf_gauge_register(m, &s->gateways, "holdfast_worker_gateways", "", "Gateways that are connected");
	hf_gauge_register(m, &s->readers, "holdfast_worker_readers", "", "Clients that read replicas of gateways' relays");
}

static void unregister_metrics(struct hf_worker_node *node)
{
	struct hf_worker_stats *s = &node->stats;
	struct hf_counter *counters[] = {&s->sessions_opened, &s->sessions_refused, &s->sessions_slow, &s->registrations,
		&s->registration_failures, &s->files, &s->file_failures, &s->file_bytes, &s->queries, &s->query_failures, &s->query_events,
		&s->delivered, &s->published, &s->publish_failures, &s->replays, &s->foreign, &s->gateways_followed, &s->gateways_dropped,
		&s->bees_moved, &s->joins, &s->joins_pending, &s->joins_refused};
	struct hf_gauge *gauges[] = {&s->sessions, &s->queued_bytes, &s->gateways, &s->readers};
	for (size_t i = 0; node->options.metrics && i < sizeof counters / sizeof *counters; i++)
		hf_metric_unregister(node->options.metrics, &counters[i]->link);
	for (size_t i = 0; node->options.metrics && i < sizeof gauges / sizeof *gauges; i++)
		hf_metric_unregister(node->options.metrics, &gauges[i]->link);
}

/* ---- Life ---- */

int hf_worker_config_prepare(struct hf_config *config, struct hf_failure *failure)
{
	for (size_t i = 0; i < config->relay_count; i++)
		config->relays[i]->bee = true;
	config->swarm = true;
	return config->worker_gateways[0] || may_hear_of_gateways(config) ? HF_OK : hf_fail(failure, HF_EINVAL, needs_gateways);
}

static int open_all(struct hf_worker_node *node, struct hf_failure *failure)
{
	int r = HF_OK;
	for (size_t i = 0; r == HF_OK && i < node->options.relay_count; i++, node->relay_count++)
		r = take_relay(node, i, failure);
	if (r == HF_OK)
		r = hf_worker_join_open(node, failure);
	if (r == HF_OK)
		r = hf_worker_discover_configure(node, failure);
	if (r == HF_OK)
		r = add_gateways(node, failure);
	if (r == HF_OK)
		r = hf_worker_discover_load(node, failure);
	if (r == HF_OK)
		r = load_sequences(node, failure);
	for (size_t i = 0; r == HF_OK && i < node->gateway_count; i++)
		r = hf_worker_grants_new(node, &node->gateways[i], failure);
	return r == HF_OK ? hf_worker_open_drives(node, failure) : r;
}

/* The meeting point of gateways and workers; and gateways that are known are looked for by their keys. */
static int join(struct hf_worker_node *node)
{
	uint8_t topic[32];
	if (!node->options.swarm)
		return HF_OK;
	hf_blake2b(topic, sizeof topic, hf_slice(NULL, 0), HF_SLICE_LITERAL(HF_RELAY_CHANNEL_TOPIC));
	int r = hf_swarm_join(node->options.swarm, topic, HF_SWARM_SERVER, 0, &node->topic);
	for (size_t i = 0; r == HF_OK && i < node->gateway_count; i++)
		if (!node->gateways[i].is_by_bee)
			r = hf_swarm_join_peer(node->options.swarm, node->gateways[i].key);
	return r;
}

int hf_worker_node_new(struct hf_worker_node **out, const struct hf_worker_node_options *given, struct hf_failure *failure)
{
	struct hf_worker_node_options options;
	uint8_t nested_public_key[32];
	*out = NULL;
	int r = hf_options_take(&options, sizeof options, given);
	struct hf_worker_node *node = r == HF_OK ? calloc(1, sizeof *node) : NULL;
	if (!node)
		return hf_fail(failure, r < 0 ? r : HF_ENOMEM, "The worker cannot start: %s.", hf_error_text(r < 0 ? r : HF_ENOMEM));
	node->options = options;
	node->loop = options.loop;
	node->env = hf_loop_env(options.loop);
	node->is_compatible = options.config->hypertuna;
	node->started_us = hf_env_monotonic_us(node->env);
	node->tick.fire = on_tick;
	node->reap.run = reap;
	node->arena.limit_bytes = HF_WORKER_FILTER_BYTES_MAX;
	memcpy(node->public_key, hf_sign_public_key(options.static_secret), sizeof node->public_key);
	hf_sign_keypair_generate(nested_public_key, node->bee_secret, node->env);
	node->relays = calloc(options.relay_count + 1, sizeof *node->relays);
	node->gateways = calloc(HF_WORKER_GATEWAY_COUNT_MAX, sizeof *node->gateways);
	r = node->relays && node->gateways ? hf_secret_stream_pool_new(&node->pool) : HF_ENOMEM;
	register_metrics(node);
	if (r == HF_OK)
		r = open_all(node, failure);
	if (r == HF_OK)
		r = join(node);
	if (r == HF_OK)
		r = hf_worker_discover_start(node, failure);
	if (r == HF_OK)
		r = hf_worker_teller_new(&node->teller, node, failure);
	if (r == HF_OK)
		r = hf_loop_timer_set(node->loop, &node->tick, HF_WORKER_TICK_MS);
	if (r < 0) {
		if (!failure->text[0])
			hf_fail(failure, r, "The worker cannot start: %s.", hf_error_text(r));
		hf_worker_node_end(node);
		hf_worker_node_free(node);
		return r;
	}
	*out = node;
	return HF_OK;
}

void hf_worker_node_socket_opened(struct hf_worker_node *node, struct hf_peer_socket *socket)
{
	if (node && !node->is_ending)
		hf_worker_link_open(node, socket);
}

void hf_worker_node_end(struct hf_worker_node *node)
{
	if (!node || node->is_ending)
		return;
	node->is_ending = true;
	hf_worker_tokens_save(node);
	hf_worker_discover_end(node);
	hf_worker_teller_free(node->teller);
	node->teller = NULL;
	hf_loop_timer_cancel(node->loop, &node->tick);
	for (size_t i = 0; i < node->gateway_count; i++)
		if ((node->gateways[i].is_configured || node->gateways[i].is_discovered) && node->topic)
			hf_swarm_leave_peer(node->options.swarm, node->gateways[i].key);
	if (node->topic)
		hf_swarm_leave(node->topic);
	node->topic = NULL;
	for (struct hf_worker_replica *replica = node->replicas; replica; replica = replica->next)
		hf_worker_replica_leave(replica);
	hf_worker_hypertuna_free(node);
	hf_worker_posts_end(node);
	for (struct hf_worker_link *link = node->links; link; link = link->next)
		hf_worker_sessions_end(link);
	hf_worker_session_free_dead(node);
	while (node->links)
		hf_worker_link_free(node->links);
	hf_worker_session_free_dead(node);
}

void hf_worker_node_free(struct hf_worker_node *node)
{
	if (!node)
		return;
	while (node->replicas)
		hf_worker_replica_free(node->replicas);
	for (size_t i = 0; i < node->gateway_count; i++) {
		hf_worker_publisher_free(node->gateways[i].publisher);
		hf_worker_grants_free(&node->gateways[i]);
		free(node->gateways[i].sequences);
	}
	hf_worker_close_drives(node);
	hf_worker_join_free(node);
	hf_loop_cancel_deferred(node->loop, &node->reap);
	unregister_metrics(node);
	hf_secret_stream_pool_free(node->pool);
	hf_wipe(node->bee_secret, sizeof node->bee_secret);
	hf_arena_free(&node->arena);
	hf_buffer_free(&node->text);
	hf_buffer_free(&node->json);
	hf_buffer_free(&node->reply);
	free(node->relays);
	free(node->gateways);
	free(node);
}

/* ---- Asking ---- */

static json_t *describe_replica(const struct hf_worker_replica *r)
{
	return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "key", hf_json_hex(r->key, 32),
		"length", (json_int_t)hf_core_length(r->core), "lag",
		(json_int_t)hf_worker_replica_lag(r), "served", (json_int_t)r->served, "events", (json_int_t)r->served_events, "errors",
		(json_int_t)r->errors, "peers", (json_int_t)hf_replication_peer_count(r->replication));
}

static json_t *describe_gateway(const struct hf_worker_gateway *g)
{
	json_t *facts = json_pack("{s:o, s:s, s:b, s:b, s:b, s:b, s:I, s:s}", "key", hf_json_hex(g->key, 32), "url", g->url, "configured",
		g->is_configured, "connected", g->link != NULL, "hypertuna", g->is_hypertuna, "registered", g->is_registered, "registered_at",
		(json_int_t)g->registered_ms, "refusal", g->refusal);
	if (facts && (g->announced_ms > 0 || g->predecessor_count > 0))
		json_object_set_new(facts, "announced", json_pack("{s:s, s:s, s:s, s:I, s:b, s:o}", "name", g->name, "region", g->region, "url",
			g->base_url, "at", (json_int_t)g->announced_ms, "only", g->is_discovered && !g->is_configured, "predecessor",
			g->predecessor_count > 0 ? hf_json_hex(g->predecessors[g->predecessor_count - 1], 32) : json_null()));
	if (facts && g->replica)
		json_object_set_new(facts, "replica", describe_replica(g->replica));
	return facts;
}

static json_t *describe_relay(const struct hf_worker_relay *relay)
{
	json_t *facts = json_pack("{s:s, s:o, s:s, s:b, s:s, s:I}", "relay", relay->settings->instance, "key", hf_json_hex(relay->key, 32),
		"identifier", relay->identifier, "token", relay->settings->token, "join", relay->settings->join, "members",
		(json_int_t)relay->member_count);
	if (facts && relay->drive)
		json_object_set_new(facts, "drive", hf_json_hex(hf_core_key(hf_drive_core(relay->drive)), 32));
	return facts;
}

int hf_worker_node_describe(struct hf_worker_node *node, struct hf_buffer *out)
{
	json_t *gateways = json_array(), *relays = json_array();
	for (size_t i = 0; i < node->gateway_count; i++)
		if (!node->gateways[i].is_free)
			json_array_append_new(gateways, describe_gateway(&node->gateways[i]));
	for (size_t i = 0; i < node->relay_count; i++)
		json_array_append_new(relays, describe_relay(&node->relays[i]));
	json_t *facts = json_pack("{s:o, s:o, s:o, s:I, s:I}", "key", hf_json_hex(node->public_key, 32), "gateways", gateways, "relays", relays,
		"sessions", (json_int_t)node->session_count, "queued_bytes", (json_int_t)node->queued_bytes);
	if (facts && node->avatars)
		json_object_set_new(facts, "avatars", hf_json_hex(hf_core_key(hf_drive_core(node->avatars)), 32));
	char *text = facts ? json_dumps(facts, JSON_COMPACT) : NULL;
	json_decref(facts);
	int r = text ? hf_buffer_append_text(out, text) : HF_ENOMEM;
	free(text);
	return r;
}
