/* registry: the records in memory, their names, and who hears of them. They follow the shared state: a record is made anew from its text
 * whenever that changes, whoever changed it. */
#include "service/gateway/registry_private.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "codec/bech32.h"

static struct hf_log_module log_module = HF_LOG_MODULE("registry");

/* ---- Names ---- */

static int hex_digit(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static bool is_edge(uint8_t c) { return c == '/' || c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

int hf_registry_normalize(struct hf_slice name, char out[static HF_REGISTRY_PATH_BYTES_MAX + 1])
{
	const uint8_t *query = name.length > 0 ? memchr(name.data, '?', name.length) : NULL;
	size_t from = 0, end = query ? (size_t)(query - name.data) : name.length, length = 0;
	while (from < end && is_edge(name.data[from]))
		from++;
	while (end > from && is_edge(name.data[end - 1]))
		end--;
	for (; from < end; from++) {
		uint8_t c = name.data[from];
		if (c == '%') {
			if (end - from < 3 || hex_digit(name.data[from + 1]) < 0 || hex_digit(name.data[from + 2]) < 0)
				return HF_EMALFORMED;
			c = (uint8_t)(hex_digit(name.data[from + 1]) * 16 + hex_digit(name.data[from + 2]));
			from += 2;
		}
		if (c == '\0')
			return HF_EMALFORMED;
		if (length == HF_REGISTRY_PATH_BYTES_MAX)
			return HF_ETOOBIG;
		out[length++] = (char)c;
	}
	out[length] = '\0';
	char *slash = strchr(out, ':') ? NULL : strchr(out, '/');
	if (slash)
		*slash = ':';
	return length > 0 ? HF_OK : HF_EMALFORMED;
}

bool hf_registry_owns_name(const struct hf_registration *record, struct hf_slice name)
{
	char npub[HF_BECH32_KEY_TEXT_BYTES];
	if (!record->has_owner)
		return false;
	hf_bech32_encode_key(npub, "npub", record->owner);
	size_t length = strlen(npub);
	return name.length > length && memcmp(name.data, npub, length) == 0 && name.data[length] == ':';
}

/* A name that is another record's stays so, unless this one's owner has proved the key that the name begins with. */
static int add_name(struct hf_registry *g, struct hf_registry_record *r, struct hf_slice given)
{
	char text[HF_REGISTRY_PATH_BYTES_MAX + 1];
	if (r->name_count == HF_REGISTRY_NAMES_MAX || hf_registry_normalize(given, text) < 0)
		return HF_OK;
	struct hf_slice name = hf_slice_text(text);
	struct hf_registry_name *known = hf_map_get(&g->names, name);
	if (known && (known->record == r || !hf_registry_owns_name(&r->view, name) || hf_registry_owns_name(&known->record->view, name)))
		return HF_OK;
	struct hf_registry_name *n = malloc(sizeof *n + name.length);
	if (!n)
		return HF_ENOMEM;
	n->record = r;
	n->length = name.length;
	memcpy(n->text, text, name.length);
	if (known)
		hf_map_remove(&g->names, name); /* freed with its own record */
	if (hf_map_put(&g->names, hf_slice(n->text, n->length), n, NULL) < 0) {
		free(n);
		return HF_ENOMEM;
	}
	r->names[r->name_count++] = n;
	return HF_OK;
}

/* The path of a URL, behind its host. */
static struct hf_slice path_of_url(const char *url)
{
	const char *host = strstr(url, "://"), *path = strchr(host ? host + 3 : url, '/');
	return hf_slice_text(path ? path : "");
}

static int add_names(struct hf_registry *g, struct hf_registry_record *r)
{
	struct hf_slice drive = {0};
	int status = add_name(g, r, hf_slice_text(r->view.key));
	hf_canonical_plain(r->view.metadata, "driveIdentifier", &drive);
	const struct hf_slice others[] = {hf_slice_text(r->view.identifier), hf_slice_text(r->view.path),
		path_of_url(r->view.connection_url), drive};
	for (size_t i = 0; i < r->view.alias_count && status == HF_OK; i++)
		status = add_name(g, r, hf_slice_text(r->aliases[i]));
	for (size_t i = 0; i < sizeof others / sizeof *others && status == HF_OK; i++)
		status = add_name(g, r, others[i]);
	return status;
}

static void drop_names(struct hf_registry *g, struct hf_registry_record *r)
{
	for (size_t i = 0; i < r->name_count; i++) {
		struct hf_slice name = hf_slice(r->names[i]->text, r->names[i]->length);
		if (hf_map_get(&g->names, name) == r->names[i])
			hf_map_remove(&g->names, name);
	}
}

/* ---- Following the state ---- */

static void drop_record(struct hf_registry *g, struct hf_registry_record *r)
{
	drop_names(g, r);
	hf_registry_unindex(g, r);
	hf_map_remove(&g->records, hf_slice_text(r->view.key));
}

/* The record instead of the one of its key that there was. HF_ENOMEM: that one stays. */
static int replace_record(struct hf_registry *g, struct hf_registry_record *r)
{
	struct hf_registry_record *old = hf_registry_at(g, hf_slice_text(r->view.key));
	int status = hf_registry_link(g, r);
	if (status < 0)
		return status;
	if (old)
		drop_record(g, old); /* which leaves room in the map for its successor */
	hf_registry_record_free(old);
	hf_registry_index(g, r);
	status = hf_map_put(&g->records, hf_slice_text(r->view.key), r, NULL);
	if (status < 0)
		hf_registry_unindex(g, r);
	hf_gauge_set(&g->records_gauge, (int64_t)g->records.count);
	return status;
}

static int take_record(struct hf_registry *g, struct hf_slice key, struct hf_slice value)
{
	struct hf_registry_record *r;
	struct hf_state_entry entry;
	int status = hf_registry_record_read(key, value, &r);
	if (status < 0) {
		hf_log_warn(&log_module, "a registration cannot be read", "key=\"%.*s\" error=%s", (int)key.length, (const char *)key.data,
			hf_error_name(status));
		return status;
	}
	if (hf_state_get(g->state, HF_STATE_RECORDS, key, &entry) == HF_OK) {
		r->view.revision = entry.revision;
		r->view.expires_ms = entry.end_ms;
	}
	status = replace_record(g, r);
	if (status < 0) {
		hf_registry_record_free(r);
		return status;
	}
	status = add_names(g, r);
	for (size_t i = 0; i < g->listener_count; i++)
		if (g->listeners[i].changed)
			g->listeners[i].changed(g->listeners[i].context, &r->view);
	return status;
}

static void forget_record(struct hf_registry *g, struct hf_slice key)
{
	struct hf_registry_record *r = hf_registry_at(g, key);
	if (!r)
		return;
	drop_record(g, r);
	hf_gauge_set(&g->records_gauge, (int64_t)g->records.count);
	for (size_t i = 0; i < g->listener_count; i++)
		if (g->listeners[i].removed)
			g->listeners[i].removed(g->listeners[i].context, r->view.key);
	hf_registry_record_free(r);
}

static int state_changed(void *context, enum hf_state_space space, struct hf_slice key, struct hf_slice value)
{
	if (space == HF_STATE_RECORDS && value.data)
		return take_record(context, key, value);
	if (space == HF_STATE_RECORDS)
		forget_record(context, key);
	return HF_OK;
}

static void state_closing(void *context) { hf_registry_end_merges(context); }

/* ---- Reading ---- */

struct hf_registry_record *hf_registry_at(const struct hf_registry *g, struct hf_slice key)
{
	return hf_map_get(&g->records, key);
}

bool hf_registry_is_alive(const struct hf_registry *g, const struct hf_registry_record *r)
{
	return r->view.expires_ms == 0 || r->view.expires_ms > hf_env_wall_ms(g->env);
}

const struct hf_registration *hf_registry_find(struct hf_registry *g, struct hf_slice name)
{
	char text[HF_REGISTRY_PATH_BYTES_MAX + 1];
	struct hf_registry_record *r = hf_registry_at(g, name);
	if (!r && hf_registry_normalize(name, text) == HF_OK) {
		struct hf_registry_name *found = hf_map_get(&g->names, hf_slice_text(text));
		r = found ? found->record : NULL;
	}
	return r && hf_registry_is_alive(g, r) ? &r->view : NULL;
}

const struct hf_registration *hf_registry_after(struct hf_registry *g, struct hf_slice key)
{
	for (struct hf_ordered_node *node = hf_ordered_after(&g->order, key); node; node = hf_ordered_after(&g->order, node->key)) {
		const struct hf_registry_record *r = HF_CONTAINER_OF(node, struct hf_registry_record, order);
		if (hf_registry_is_alive(g, r))
			return &r->view;
	}
	return NULL;
}

const struct hf_registration *hf_registry_after_open(struct hf_registry *g, struct hf_slice key)
{
	for (struct hf_ordered_node *node = hf_ordered_after(&g->open, key); node; node = hf_ordered_after(&g->open, node->key)) {
		const struct hf_registry_record *r = HF_CONTAINER_OF(node, struct hf_registry_record, open);
		if (hf_registry_is_alive(g, r))
			return &r->view;
	}
	return NULL;
}

uint64_t hf_registry_count(const struct hf_registry *g) { return g->records.count; }
uint64_t hf_registry_served_count(const struct hf_registry *g) { return g->served_count; }

bool hf_registry_is_peer_of(const struct hf_registration *record, const uint8_t peer[static 32])
{
	for (size_t i = 0; i < record->peer_count; i++)
		if (memcmp(record->peers[i].key, peer, 32) == 0)
			return record->peers[i].is_proved;
	return false;
}

bool hf_registry_may_change(const struct hf_registration *record, const struct hf_registry_principal *by)
{
	if (by->is_operator)
		return true;
	if (record->has_owner_peer)
		return by->has_peer && memcmp(by->peer, record->owner_peer, 32) == 0;
	return by->knows_secret;
}

/* ---- The whole ---- */

int hf_registry_listen(struct hf_registry *g, const struct hf_registry_events *events)
{
	if (g->listener_count == HF_REGISTRY_LISTENERS_MAX)
		return HF_ENOMEM;
	g->listeners[g->listener_count++] = *events;
	return HF_OK;
}

/* What cannot be read stays out; without memory for all that can, there is no beginning. */
static int load(struct hf_registry *g)
{
	struct hf_state_entry entry;
	size_t cursor = 0;
	int r = HF_OK;
	while (r != HF_ENOMEM && hf_state_next_entry(g->state, HF_STATE_RECORDS, &cursor, &entry))
		r = take_record(g, entry.key, entry.value);
	return r == HF_ENOMEM ? r : HF_OK;
}

int hf_registry_new(struct hf_registry **out, const struct hf_registry_options *o)
{
	struct hf_registry *g = calloc(1, sizeof *g);
	uint64_t seed;
	*out = NULL;
	if (!g)
		return HF_ENOMEM;
	g->loop = o->loop;
	g->env = hf_loop_env(o->loop);
	g->state = o->state;
	g->metrics = o->metrics;
	g->record_age_ms = o->record_age_ms ? o->record_age_ms : HF_REGISTRY_RECORD_AGE_MS;
	g->record_count_max = o->record_count_max ? o->record_count_max : HF_REGISTRY_RECORD_COUNT_MAX;
	g->records_per_peer_max = o->records_per_peer_max ? o->records_per_peer_max : HF_REGISTRATION_RELAY_COUNT_MAX;
	g->env->random(g->env, &seed, sizeof seed);
	hf_map_init(&g->records, seed);
	hf_map_init(&g->names, seed);
	hf_map_init(&g->peers, seed);
	g->order.seed = g->open.seed = seed;
	hf_gauge_register(g->metrics, &g->records_gauge, "holdfast_registry_records", "", "Relays that are registered");
	hf_counter_register(g->metrics, &g->merged, "holdfast_registry_merges_total", "", "Registrations of a relay that were taken");
	hf_counter_register(g->metrics, &g->refused, "holdfast_registry_refused_total", "", "Registrations of a relay that were refused");
	int r = load(g);
	if (r == HF_OK)
		r = hf_state_listen(g->state, &(struct hf_state_events){.changed = state_changed, .closing = state_closing, .context = g});
	if (r < 0) {
		hf_registry_free(g);
		return r;
	}
	*out = g;
	return HF_OK;
}

void hf_registry_free(struct hf_registry *g)
{
	size_t cursor = 0;
	void *item;
	if (!g)
		return;
	hf_metric_unregister(g->metrics, &g->records_gauge.link);
	hf_metric_unregister(g->metrics, &g->merged.link);
	hf_metric_unregister(g->metrics, &g->refused.link);
	while ((item = hf_map_next(&g->records, &cursor)) != NULL)
		hf_registry_record_free(item);
	hf_registry_free_peers(g);
	hf_map_free(&g->records);
	hf_map_free(&g->names);
	free(g);
}
