/* discover: gateways by what they announce. (docs/discovery.md)
 *
 * What is announced of a gateway that we know, by worker.gateways or from before, tells where its relay is and which bee it has, and, in
 * the words of the key that we know, which key has come in its place. A gateway that we do not know is taken only if discovery.trusted
 * names it, or says any. All that was chosen is kept in a file, so that a restart needs nobody's word.
 *
 * Announcements of the first generation name a key at which no worker can dial: such a gateway finds us, and is known by its bee. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "codec/core_key.h"
#include "codec/hex.h"
#include "service/json_hex.h"
#include "service/worker/internal.h"

#define GATEWAYS_FILE "worker-gateways.json"
#define GATEWAYS_BYTES_MAX (1u << 20)
#define TRUSTED_TEXT_BYTES 80
#define SWEEP_MS 5000u
#define SILENT_MS_MIN 5000u /* an announcement counts at least so long */

static struct hf_log_module log_module = HF_LOG_MODULE("worker");

/* ---- Whom we take ---- */

int hf_worker_discover_configure(struct hf_worker_node *node, struct hf_failure *failure)
{
	for (const char *list = node->options.config->discovery_trusted; *list;) {
		char one[TRUSTED_TEXT_BYTES];
		size_t length = strcspn(list, ", ");
		snprintf(one, sizeof one, "%.*s", (int)length, list);
		if (length > 0 && strcmp(one, "any") == 0)
			node->trusts_any = true;
		else if (length > 0 && node->trusted_count == HF_WORKER_TRUSTED_COUNT_MAX)
			return hf_fail(failure, HF_ETOOBIG, "discovery.trusted has more than %u keys.", HF_WORKER_TRUSTED_COUNT_MAX);
		else if (length > 0 && hf_core_key_decode(node->trusted[node->trusted_count++], hf_slice_text(one)) < 0)
			return hf_fail(failure, HF_EINVAL, "discovery.trusted has \"%s\", which is no key: write keys of gateways, or any.", one);
		list += length + strspn(list + length, ", ");
	}
	return HF_OK;
}

static bool is_named_key(const struct hf_worker_node *node, const uint8_t key[static 32])
{
	for (size_t i = 0; i < node->trusted_count; i++)
		if (memcmp(node->trusted[i], key, 32) == 0)
			return true;
	return false;
}

/* By its key, or as the successor of a key; *predecessor is that then. */
static bool is_trusted(const struct hf_worker_node *node, const struct hf_announcement *a, enum hf_worker_rank *rank,
	const uint8_t **predecessor, uint64_t *since_ms)
{
	*predecessor = NULL;
	*rank = HF_WORKER_NAMED;
	if (is_named_key(node, a->gateway_key))
		return true;
	for (size_t i = 0; i < node->trusted_count; i++)
		if (hf_announcement_succeeds(a, node->trusted[i], since_ms)) {
			*predecessor = node->trusted[i];
			return true;
		}
	*rank = HF_WORKER_STRANGER;
	return node->trusts_any;
}

enum hf_worker_rank hf_worker_rank_of(const struct hf_worker_gateway *g)
{
	if (g->is_configured || g->is_named)
		return g->is_configured ? HF_WORKER_CONFIGURED : HF_WORKER_NAMED;
	return g->is_discovered ? HF_WORKER_STRANGER : HF_WORKER_VISITOR;
}

static bool is_or_was(const struct hf_worker_gateway *g, const uint8_t key[static 32])
{
	for (size_t i = 0; i < g->predecessor_count; i++)
		if (memcmp(g->predecessors[i], key, 32) == 0)
			return true;
	return memcmp(g->key, key, 32) == 0;
}

size_t hf_worker_owed_count(const struct hf_worker_node *node)
{
	size_t owed = 0;
	for (size_t i = 0; i < node->trusted_count; i++) {
		bool is_there = false;
		for (size_t k = 0; k < node->gateway_count && !is_there; k++)
			is_there = !node->gateways[k].is_free && is_or_was(&node->gateways[k], node->trusted[i]);
		owed += !is_there;
	}
	return owed;
}

/* ---- The file ---- */

static json_t *keys_of(const struct hf_worker_gateway *g)
{
	json_t *list = json_array();
	for (size_t i = 0; list && i < g->predecessor_count; i++)
		json_array_append_new(list, hf_json_hex(g->predecessors[i], 32));
	return list;
}

static json_t *record_of(const struct hf_worker_gateway *g)
{
	json_t *record = json_pack("{s:o, s:s, s:s, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:o}", "key", hf_json_hex(g->key, 32), "name", g->name,
		"region", g->region, "url", g->base_url, "configured", g->is_configured, "hypertuna", g->is_by_bee, "timestamp",
		(json_int_t)g->announced_ms, "first_heard", (json_int_t)g->first_ms, "last_heard", (json_int_t)g->heard_ms, "since",
		(json_int_t)g->succession_ms, "predecessors", keys_of(g));
	if (record && g->replica)
		json_object_set_new(record, "bee", hf_json_hex(g->replica->key, 32));
	return record;
}

static void save(struct hf_worker_node *node)
{
	char path[HF_PATH_BYTES_MAX];
	json_t *all = json_array();
	for (size_t i = 0; all && i < node->gateway_count; i++)
		if (!node->gateways[i].is_free && (node->gateways[i].announced_ms > 0 || node->gateways[i].predecessor_count > 0))
			json_array_append_new(all, record_of(&node->gateways[i]));
	char *text = all ? json_dumps(all, JSON_INDENT(1)) : NULL;
	json_decref(all);
	int r = text ? hf_path_join(path, node->options.directory, GATEWAYS_FILE) : HF_ENOMEM;
	if (r == HF_OK)
		r = hf_fs_replace(node->env->fs, path, text, strlen(text));
	if (r < 0)
		hf_log_error(&log_module, "the list of gateways was not written", "reason=\"%s\"", hf_error_text(r));
	free(text);
}

static bool read_key(uint8_t out[static 32], const json_t *value)
{
	const char *text = json_string_value(value);
	return text && strlen(text) == 64 && hf_hex_decode(out, text, 32);
}

static void read_text(char *out, size_t bytes, const json_t *value)
{
	const char *text = json_string_value(value);
	snprintf(out, bytes, "%s", text ? text : "");
}

/* One that is configured by this key or an earlier one; else it is taken for one that was heard of, if it may be still. */
static struct hf_worker_gateway *place_of(struct hf_worker_node *node, const json_t *record, const uint8_t key[static 32])
{
	struct hf_worker_gateway *gateway = hf_worker_find_gateway(node, key);
	bool is_named = is_named_key(node, key);
	json_t *predecessor;
	size_t i;
	json_array_foreach(json_object_get(record, "predecessors"), i, predecessor) {
		uint8_t old[32];
		if (!read_key(old, predecessor))
			continue;
		gateway = gateway ? gateway : hf_worker_find_gateway(node, old);
		is_named = is_named || is_named_key(node, old);
	}
	bool is_usable = node->is_compatible || !json_is_true(json_object_get(record, "hypertuna"));
	if (gateway || !node->options.config->worker_discover || !(is_named || node->trusts_any) || !is_usable)
		return gateway;
	return hf_worker_add_gateway(node, key, is_named ? HF_WORKER_NAMED : HF_WORKER_STRANGER);
}

static void note_predecessor(struct hf_worker_gateway *g, const uint8_t key[static 32])
{
	for (size_t i = 0; i < g->predecessor_count; i++)
		if (memcmp(g->predecessors[i], key, 32) == 0)
			return;
	/* The first stays: it may be what is configured. */
	if (g->predecessor_count == HF_ANNOUNCEMENT_PREDECESSOR_COUNT_MAX) {
		memmove(g->predecessors[1], g->predecessors[2], (HF_ANNOUNCEMENT_PREDECESSOR_COUNT_MAX - 2) * sizeof g->predecessors[0]);
		g->predecessor_count--;
	}
	memcpy(g->predecessors[g->predecessor_count++], key, 32);
}

static void set_url(struct hf_worker_gateway *g)
{
	const char *path = g->alias_count > 0 ? g->aliases[0] : g->is_hypertuna || g->is_by_bee ? "relay" : "";
	char url[HF_WORKER_URL_BYTES_MAX];
	if (g->has_own_url || !g->base_url[0])
		return;
	int length = snprintf(url, sizeof url, "%s%s%.200s", g->base_url, path[0] && path[0] != '/' ? "/" : "", path);
	if (length > 0 && (size_t)length < sizeof url)
		snprintf(g->url, sizeof g->url, "%s", url);
}

void hf_worker_discover_aliases(struct hf_worker_gateway *gateway)
{
	set_url(gateway);
}

static void load_one(struct hf_worker_node *node, const json_t *record)
{
	uint8_t key[32], old[32];
	json_t *predecessor;
	size_t i;
	struct hf_worker_gateway *g = read_key(key, json_object_get(record, "key")) ? place_of(node, record, key) : NULL;
	if (!g)
		return;
	memcpy(g->key, key, sizeof g->key);
	json_array_foreach(json_object_get(record, "predecessors"), i, predecessor)
		if (read_key(old, predecessor))
			note_predecessor(g, old);
	g->announced_ms = (uint64_t)json_integer_value(json_object_get(record, "timestamp"));
	g->succession_ms = (uint64_t)json_integer_value(json_object_get(record, "since"));
	g->first_ms = (uint64_t)json_integer_value(json_object_get(record, "first_heard"));
	g->heard_ms = (uint64_t)json_integer_value(json_object_get(record, "last_heard"));
	g->is_by_bee = json_is_true(json_object_get(record, "hypertuna"));
	read_text(g->name, sizeof g->name, json_object_get(record, "name"));
	read_text(g->region, sizeof g->region, json_object_get(record, "region"));
	read_text(g->base_url, sizeof g->base_url, json_object_get(record, "url"));
	set_url(g);
	g->has_stored_bee = read_key(g->stored_bee, json_object_get(record, "bee"));
}

int hf_worker_discover_load(struct hf_worker_node *node, struct hf_failure *failure)
{
	char path[HF_PATH_BYTES_MAX];
	struct hf_buffer text = {0};
	json_t *record;
	size_t i;
	int r = hf_path_join(path, node->options.directory, GATEWAYS_FILE);
	if (r == HF_OK)
		r = hf_fs_read_all(node->env->fs, path, GATEWAYS_BYTES_MAX, &text);
	json_t *all = r == HF_OK ? json_loadb((const char *)text.data, text.length, 0, NULL) : NULL;
	hf_buffer_free(&text);
	if (r == HF_ENOTFOUND)
		return HF_OK;
	if (!all)
		return hf_fail(failure, r < 0 ? r : HF_ECORRUPT, "%s cannot be read; it holds gateways that were heard of, and new keys.", path);
	json_array_foreach(all, i, record)
		load_one(node, record);
	json_decref(all);
	return HF_OK;
}

/* ---- Connections ---- */

/* One that was there before we knew whose it is has said no to the channel: another one is made. */
static void reach(struct hf_worker_node *node, struct hf_worker_gateway *g)
{
	if (!node->options.swarm || g->is_by_bee)
		return;
	struct hf_peer_socket *socket = hf_swarm_find(node->options.swarm, g->key);
	hf_swarm_join_peer(node->options.swarm, g->key);
	for (struct hf_worker_link *link = node->links; socket && link; link = link->next)
		if (link->socket == socket)
			socket = NULL;
	if (socket)
		hf_peer_socket_close(socket);
}

static void leave(struct hf_worker_node *node, const struct hf_worker_gateway *g)
{
	if (node->options.swarm && !g->is_by_bee && (g->is_configured || g->is_discovered))
		hf_swarm_leave_peer(node->options.swarm, g->key);
	if (g->link && g->link->socket)
		hf_peer_socket_close(g->link->socket);
}

static void follow(struct hf_worker_node *node, struct hf_worker_gateway *g, const struct hf_announcement *a, uint64_t since_ms)
{
	hf_log_warn(&log_module, "a gateway goes on under another key, as its old one has said",
		"old=%02x%02x%02x%02x… new=%02x%02x%02x%02x…", g->key[0], g->key[1], g->key[2], g->key[3], a->gateway_key[0], a->gateway_key[1],
		a->gateway_key[2], a->gateway_key[3]);
	leave(node, g);
	note_predecessor(g, g->key);
	memcpy(g->key, a->gateway_key, sizeof g->key);
	g->succession_ms = since_ms;
	g->has_signing_key = false;
	hf_counter_add(&node->stats.gateways_followed, 1);
	reach(node, g);
	hf_worker_save_sequences(node);
}

/* The gateway that it speaks of in the words of a key that we know it by. */
static struct hf_worker_gateway *find_predecessor(struct hf_worker_node *node, const struct hf_announcement *a, uint64_t *since_ms)
{
	uint64_t latest_ms = hf_env_wall_ms(node->env) + HF_ANNOUNCEMENT_SKEW_MS;
	for (size_t i = 0; i < node->gateway_count; i++) {
		struct hf_worker_gateway *g = &node->gateways[i];
		bool does = !g->is_free && !g->is_leaving && hf_announcement_succeeds(a, g->key, since_ms);
		for (size_t k = 0; !g->is_free && !g->is_leaving && !does && k < g->predecessor_count; k++)
			does = hf_announcement_succeeds(a, g->predecessors[k], since_ms);
		if (does && *since_ms > g->succession_ms && *since_ms <= latest_ms)
			return g;
	}
	return NULL;
}

/* ---- Hearing ---- */

/* One of the first generation that has found us before we heard of it, under a key that it has until it ends. */
static struct hf_worker_gateway *take_connected(struct hf_worker_node *node, const struct hf_announcement *a)
{
	for (size_t i = 0; !a->has_extension && a->has_relay_key && i < node->gateway_count; i++) {
		struct hf_worker_gateway *g = &node->gateways[i];
		if (g->is_free || g->is_leaving || g->is_configured || g->is_by_bee || !g->is_hypertuna || !g->link || !g->replica
			|| memcmp(g->replica->key, a->relay_key, sizeof a->relay_key) != 0)
			continue;
		memcpy(g->key, a->gateway_key, sizeof g->key);
		g->is_by_bee = g->is_discovered = true;
		return g;
	}
	return NULL;
}

static struct hf_worker_gateway *take_new(struct hf_worker_node *node, const struct hf_announcement *a)
{
	const uint8_t *predecessor;
	enum hf_worker_rank rank;
	struct hf_failure failure = {0};
	uint64_t since_ms = 0;
	if (!is_trusted(node, a, &rank, &predecessor, &since_ms))
		return NULL;
	struct hf_worker_gateway *g = take_connected(node, a);
	if (g) {
		g->is_named = rank == HF_WORKER_NAMED;
		return g;
	}
	g = hf_worker_add_gateway(node, a->gateway_key, rank);
	if (!g) {
		if (!node->was_told_full)
			hf_log_warn(&log_module, "a gateway was heard of, and there is no place for it", "gateways_max=%u", HF_WORKER_GATEWAY_COUNT_MAX);
		node->was_told_full = true;
		return NULL;
	}
	g->is_by_bee = !a->has_extension;
	if (predecessor) {
		note_predecessor(g, predecessor);
		g->succession_ms = since_ms;
	}
	if (hf_worker_grants_new(node, g, &failure) < 0)
		hf_log_warn(&log_module, "tokens of a gateway are not kept", "reason=\"%s\"", failure.text);
	hf_log_info(&log_module, "a gateway was heard of, and is taken", "gateway=%02x%02x%02x%02x… url=%s", g->key[0], g->key[1], g->key[2],
		g->key[3], a->ws_url);
	reach(node, g);
	return g;
}

static bool says_something_new(const struct hf_worker_gateway *g, const struct hf_announcement *a)
{
	return g->announced_ms == 0 || strcmp(g->base_url, a->ws_url) != 0 || strcmp(g->name, a->display_name) != 0
		|| (a->has_relay_key && (!g->replica || memcmp(g->replica->key, a->relay_key, sizeof a->relay_key) != 0));
}

static void learn(struct hf_worker_node *node, struct hf_worker_gateway *g, const struct hf_announcement *a)
{
	uint64_t kept_ms = a->ttl_s * 1000 > SILENT_MS_MIN ? a->ttl_s * 1000 : SILENT_MS_MIN;
	bool is_news = says_something_new(g, a);
	g->expiry_us = hf_loop_now_us(node->loop) + kept_ms * 1000;
	g->heard_ms = hf_env_wall_ms(node->env);
	if (g->first_ms == 0 || g->first_ms > g->heard_ms)
		g->first_ms = g->heard_ms;
	if (a->timestamp_ms <= g->announced_ms) /* what we have heard already, from before a restart perhaps */
		return;
	g->announced_ms = a->timestamp_ms;
	snprintf(g->name, sizeof g->name, "%s", a->display_name);
	snprintf(g->region, sizeof g->region, "%s", a->region);
	if (strlen(a->ws_url) < sizeof g->base_url)
		snprintf(g->base_url, sizeof g->base_url, "%s", a->ws_url);
	set_url(g);
	if (a->has_relay_key)
		hf_worker_gateway_learn_bee(node, g, a->relay_key);
	if (is_news)
		save(node);
}

static bool is_put_aside(const struct hf_worker_node *node, const uint8_t key[static 32])
{
	for (size_t i = 0; i < node->gateway_count; i++)
		for (size_t k = 0; k < node->gateways[i].predecessor_count; k++)
			if (memcmp(node->gateways[i].predecessors[k], key, 32) == 0)
				return true;
	return false;
}

static bool on_heard(void *context, const struct hf_announcement *a, const uint8_t advertiser[static 32])
{
	struct hf_worker_node *node = context;
	uint64_t since_ms = 0;
	if (node->is_ending || (!a->has_extension && !node->is_compatible) || is_put_aside(node, a->gateway_key))
		return false;
	struct hf_worker_gateway *g = hf_worker_find_gateway(node, a->gateway_key);
	bool was_known = g != NULL;
	if (!g && (g = find_predecessor(node, a, &since_ms)) != NULL)
		follow(node, g, a, since_ms);
	if (!g)
		g = take_new(node, a);
	if (!g)
		return false;
	learn(node, g, a);
	if (!was_known)
		save(node);
	return true;
}

/* ---- Giving up ---- */

static bool is_read(const struct hf_worker_gateway *g) { return g->replica && g->replica->readers; }

static bool is_given_up(struct hf_worker_node *node, struct hf_worker_gateway *g, uint64_t now_us)
{
	if (g->link || now_us < g->expiry_us)
		g->away_since_us = now_us;
	if (g->link || is_read(g))
		return false;
	uint64_t known_ms = g->heard_ms > g->first_ms ? g->heard_ms - g->first_ms : 0;
	return g->is_leaving || hf_worker_place_is_lost(hf_worker_rank_of(g), known_ms, (now_us - g->away_since_us) / 1000,
		node->options.config->worker_gateway_forget_ms);
}

void hf_worker_give_up(struct hf_worker_node *node, struct hf_worker_gateway *g)
{
	hf_log_info(&log_module, "a gateway is given up", "gateway=%02x%02x%02x%02x… reason=%s", g->key[0], g->key[1], g->key[2], g->key[3],
		g->is_leaving ? "its place is another's" : "silent and away");
	leave(node, g);
	hf_worker_replica_free(g->replica);
	hf_worker_publisher_free(g->publisher);
	hf_worker_grants_free(g);
	free(g->sequences);
	*g = (struct hf_worker_gateway){.is_free = true};
	node->was_told_full = false;
	hf_counter_add(&node->stats.gateways_dropped, 1);
}

void hf_worker_discover_tick(struct hf_worker_node *node, uint64_t now_us)
{
	bool has_changed = false;
	if (now_us < node->sweep_due_us)
		return;
	node->sweep_due_us = now_us + SWEEP_MS * 1000;
	for (size_t i = 0; i < node->gateway_count; i++)
		if (!node->gateways[i].is_free && is_given_up(node, &node->gateways[i], now_us)) {
			hf_worker_give_up(node, &node->gateways[i]);
			has_changed = true;
		}
	if (has_changed)
		save(node);
}

/* ---- Life ---- */

/* A gateway of the first generation that was announced is known by its bee when it comes. */
struct hf_worker_gateway *hf_worker_find_by_bee(struct hf_worker_node *node, const struct hf_relay_bee_info *bee)
{
	for (size_t i = 0; bee->has_key && i < node->gateway_count; i++) {
		struct hf_worker_gateway *g = &node->gateways[i];
		if (g->is_by_bee && !g->is_free && !g->is_leaving && !g->link && g->replica && memcmp(g->replica->key, bee->key, sizeof bee->key) == 0)
			return g;
	}
	return NULL;
}

int hf_worker_discover_start(struct hf_worker_node *node, struct hf_failure *failure)
{
	static const struct hf_discovery_events events = {.heard = on_heard};
	const struct hf_config *c = node->options.config;
	uint64_t now_us = hf_loop_now_us(node->loop);
	for (size_t i = 0; i < node->gateway_count; i++) {
		struct hf_worker_gateway *g = &node->gateways[i];
		g->away_since_us = now_us;
		if (g->has_stored_bee)
			hf_worker_gateway_learn_bee(node, g, g->stored_bee);
	}
	if (!c->worker_discover || !node->options.connector)
		return HF_OK;
	struct hf_discovery_options options = {.size = sizeof options, .loop = node->loop, .connector = node->options.connector,
		.interval_ms = (uint32_t)c->worker_discover_interval_ms, .takes_foreign_keys = node->is_compatible, .metrics = node->options.metrics,
		.events = &events, .context = node};
	int r = hf_discovery_new(&node->discovery, &options, failure);
	if (r == HF_OK)
		hf_discovery_look(node->discovery);
	return r;
}

void hf_worker_discover_end(struct hf_worker_node *node)
{
	hf_discovery_free(node->discovery);
	node->discovery = NULL;
}
