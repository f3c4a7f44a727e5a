/* A record holds up to record_max claims, each on one peer and counted against one purse: its principal's, or the strangers'. A peer lives
 * as long as there are claims on it, a purse as long as something is taken from it. A claim keeps the purse that it was taken from. */
#include "service/gateway/dials.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/options.h"

struct wanted_peer {
	uint8_t key[32];
	uint32_t claim_count;
};

struct purse {
	uint32_t taken;
	bool is_strangers;
	size_t name_length;
	char name[];
};

struct claim {
	struct wanted_peer *peer;
	struct purse *purse;
};

struct claimant {
	uint32_t claim_count;
	struct claim claims[HF_DIALS_RECORD_MAX];
	size_t key_length;
	char key[];
};

struct hf_dials {
	struct hf_dials_options options;
	struct hf_map claimants, peers, purses;
	struct hf_gauge wanted;
	struct hf_counter refused;
};

/* ---- Purses ---- */

static struct hf_slice purse_name(const struct hf_dials *dials, const struct hf_registration *record, bool *is_strangers)
{
	*is_strangers = !dials->options.knows(dials->options.context, record);
	return hf_slice_text(*is_strangers ? "" : record->principal);
}

static struct purse *find_purse(struct hf_dials *dials, const struct hf_registration *record)
{
	bool is_strangers;
	struct hf_slice name = purse_name(dials, record, &is_strangers);
	struct purse *purse = hf_map_get(&dials->purses, name);
	if (purse)
		return purse;
	purse = malloc(sizeof *purse + name.length);
	if (!purse)
		return NULL;
	*purse = (struct purse){.is_strangers = is_strangers, .name_length = name.length};
	memcpy(purse->name, name.data, name.length);
	if (hf_map_put(&dials->purses, hf_slice(purse->name, name.length), purse, NULL) < 0) {
		free(purse);
		return NULL;
	}
	return purse;
}

static void release_purse(struct hf_dials *dials, struct purse *purse)
{
	if (purse->taken > 0)
		return;
	hf_map_remove(&dials->purses, hf_slice(purse->name, purse->name_length));
	free(purse);
}

static bool has_room(const struct hf_dials *dials, const struct purse *purse)
{
	return purse->taken < (purse->is_strangers ? dials->options.strangers_max : dials->options.principal_max);
}

/* ---- Claims ---- */

static struct wanted_peer *want(struct hf_dials *dials, const uint8_t key[static 32])
{
	struct wanted_peer *peer = hf_map_get(&dials->peers, hf_slice(key, 32));
	if (peer)
		return peer;
	if (dials->peers.count >= dials->options.dials_max) {
		hf_counter_add(&dials->refused, 1);
		return NULL;
	}
	peer = calloc(1, sizeof *peer);
	if (!peer)
		return NULL;
	memcpy(peer->key, key, sizeof peer->key);
	if (hf_map_put(&dials->peers, hf_slice(peer->key, 32), peer, NULL) < 0) {
		free(peer);
		return NULL;
	}
	if (dials->options.want(dials->options.context, key) == HF_OK) {
		hf_gauge_add(&dials->wanted, 1);
		return peer;
	}
	hf_map_remove(&dials->peers, hf_slice(peer->key, 32));
	free(peer);
	return NULL;
}

static void end_claim(struct hf_dials *dials, struct claim *claim)
{
	struct wanted_peer *peer = claim->peer;
	claim->purse->taken--;
	release_purse(dials, claim->purse);
	if (--peer->claim_count > 0)
		return;
	hf_map_remove(&dials->peers, hf_slice(peer->key, 32));
	hf_gauge_add(&dials->wanted, -1);
	dials->options.unwant(dials->options.context, peer->key);
	free(peer);
}

static bool has_claim(const struct claimant *c, const uint8_t key[static 32])
{
	for (uint32_t i = 0; i < c->claim_count; i++)
		if (memcmp(c->claims[i].peer->key, key, 32) == 0)
			return true;
	return false;
}

static bool names(const struct hf_registration *record, const uint8_t key[static 32])
{
	for (size_t i = 0; i < record->peer_count; i++)
		if (memcmp(record->peers[i].key, key, 32) == 0)
			return true;
	return false;
}

static void add_claim(struct hf_dials *dials, struct claimant *c, struct purse *purse, const uint8_t key[static 32])
{
	if (has_claim(c, key) || dials->options.is_here(dials->options.context, key))
		return;
	if (c->claim_count >= dials->options.record_max || !has_room(dials, purse)) {
		hf_counter_add(&dials->refused, 1);
		return;
	}
	struct wanted_peer *peer = want(dials, key);
	if (!peer)
		return;
	peer->claim_count++;
	purse->taken++;
	c->claims[c->claim_count++] = (struct claim){peer, purse};
}

/* Those not named any more, and all of them where the record's principal is another now. */
static void end_old_claims(struct hf_dials *dials, struct claimant *c, const struct hf_registration *record, const struct purse *purse)
{
	for (uint32_t i = 0; i < c->claim_count;) {
		if (c->claims[i].purse == purse && names(record, c->claims[i].peer->key)) {
			i++;
			continue;
		}
		end_claim(dials, &c->claims[i]);
		c->claims[i] = c->claims[--c->claim_count];
	}
}

/* ---- Records ---- */

static struct claimant *find_claimant(struct hf_dials *dials, const char *key)
{
	size_t length = strlen(key);
	struct claimant *c = hf_map_get(&dials->claimants, hf_slice(key, length));
	if (c)
		return c;
	c = calloc(1, sizeof *c + length);
	if (!c)
		return NULL;
	c->key_length = length;
	memcpy(c->key, key, length);
	if (hf_map_put(&dials->claimants, hf_slice(c->key, length), c, NULL) < 0) {
		free(c);
		return NULL;
	}
	return c;
}

static void drop_claimant(struct hf_dials *dials, struct claimant *c)
{
	while (c->claim_count > 0)
		end_claim(dials, &c->claims[--c->claim_count]);
	hf_map_remove(&dials->claimants, hf_slice(c->key, c->key_length));
	free(c);
}

void hf_dials_take(struct hf_dials *dials, const struct hf_registration *record)
{
	struct claimant *c = find_claimant(dials, record->key);
	struct purse *purse = c ? find_purse(dials, record) : NULL;
	if (purse)
		purse->taken++; /* held, whatever ends */
	if (c)
		end_old_claims(dials, c, record, purse);
	if (purse)
		purse->taken--;
	for (int proved = 1; purse && proved >= 0; proved--)
		for (size_t i = 0; i < record->peer_count; i++)
			if (record->peers[i].is_proved == (bool)proved)
				add_claim(dials, c, purse, record->peers[i].key);
	if (purse)
		release_purse(dials, purse);
	if (c && c->claim_count == 0)
		drop_claimant(dials, c);
}

void hf_dials_drop(struct hf_dials *dials, const char *key)
{
	struct claimant *c = hf_map_get(&dials->claimants, hf_slice_text(key));
	if (c)
		drop_claimant(dials, c);
}

void hf_dials_stats(const struct hf_dials *dials, struct hf_dials_stats *stats)
{
	const struct purse *strangers = hf_map_get(&dials->purses, hf_slice_text(""));
	*stats = (struct hf_dials_stats){
		.wanted = dials->peers.count, .strangers = strangers ? strangers->taken : 0, .refused = dials->refused.value};
}

static void on_changed(void *context, const struct hf_registration *record)
{
	hf_dials_take(context, record);
}

static void on_removed(void *context, const char *key)
{
	hf_dials_drop(context, key);
}

int hf_dials_follow(struct hf_dials *dials, struct hf_registry *registry)
{
	const struct hf_registry_events events = {.changed = on_changed, .removed = on_removed, .context = dials};
	const struct hf_registration *record = hf_registry_after(registry, (struct hf_slice){0});
	int r = hf_registry_listen(registry, &events);
	for (; r == HF_OK && record; record = hf_registry_after(registry, hf_slice_text(record->key)))
		hf_dials_take(dials, record);
	return r;
}

/* ---- Life ---- */

static void set_default(uint32_t *value, uint32_t other)
{
	*value = *value > 0 ? *value : other;
}

int hf_dials_new(struct hf_dials **out, const struct hf_dials_options *given)
{
	struct hf_dials *dials = calloc(1, sizeof *dials);
	*out = NULL;
	int r = dials ? hf_options_take(&dials->options, sizeof dials->options, given) : HF_ENOMEM;
	if (r < 0) {
		free(dials);
		return r;
	}
	struct hf_dials_options *o = &dials->options;
	set_default(&o->record_max, HF_DIALS_RECORD_MAX);
	set_default(&o->principal_max, HF_DIALS_PRINCIPAL_MAX);
	set_default(&o->strangers_max, HF_DIALS_STRANGERS_MAX);
	set_default(&o->dials_max, HF_DIALS_MAX);
	o->record_max = o->record_max < HF_DIALS_RECORD_MAX ? o->record_max : HF_DIALS_RECORD_MAX;
	hf_map_init(&dials->claimants, o->seed);
	hf_map_init(&dials->peers, o->seed);
	hf_map_init(&dials->purses, o->seed);
	hf_gauge_register(o->metrics, &dials->wanted, "gateway_dialled_peers", "", "Peers that are called because records name them");
	hf_counter_register(o->metrics, &dials->refused, "gateway_dials_refused_total", "", "Calls to peers of records that a bound forbade");
	*out = dials;
	return HF_OK;
}

static void free_all(struct hf_map *map)
{
	size_t cursor = 0;
	for (void *item; (item = hf_map_next(map, &cursor)) != NULL;)
		free(item);
	hf_map_free(map);
}

void hf_dials_free(struct hf_dials *dials)
{
	if (!dials)
		return;
	hf_metric_unregister(dials->options.metrics, &dials->wanted.link);
	hf_metric_unregister(dials->options.metrics, &dials->refused.link);
	free_all(&dials->claimants);
	free_all(&dials->peers);
	free_all(&dials->purses);
	free(dials);
}
