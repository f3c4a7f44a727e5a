/* registry_peers: the records of each peer, and what is counted of them, so that no question walks over all records. A peer is known here
 * while a record points to it or while it is here itself. */
#include "service/gateway/registry_private.h"

#include <stdlib.h>

#include "base/list.h"

struct hf_registry_peer *hf_registry_peer_at(const struct hf_registry *g, const uint8_t key[static 32])
{
	return hf_map_get(&g->peers, hf_slice(key, 32));
}

static struct hf_registry_peer *ensure_peer(struct hf_registry *g, const uint8_t key[static 32])
{
	struct hf_registry_peer *p = hf_registry_peer_at(g, key);
	if (p)
		return p;
	p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	memcpy(p->key, key, sizeof p->key);
	p->naming.seed = g->peers.seed;
	if (hf_map_put(&g->peers, hf_slice(p->key, sizeof p->key), p, NULL) < 0) {
		free(p);
		return NULL;
	}
	return p;
}

static void release_peer(struct hf_registry *g, struct hf_registry_peer *p)
{
	if (p->reference_count > 0 || p->is_here)
		return;
	hf_map_remove(&g->peers, hf_slice(p->key, sizeof p->key));
	free(p);
}

/* ---- Records ---- */

static void unlink_peers(struct hf_registry *g, struct hf_registry_record *r)
{
	for (size_t i = 0; i < r->view.peer_count; i++)
		if (r->naming[i].peer) {
			r->naming[i].peer->reference_count--;
			release_peer(g, r->naming[i].peer);
			r->naming[i].peer = NULL;
		}
	if (r->owner) {
		r->owner->reference_count--;
		release_peer(g, r->owner);
		r->owner = NULL;
	}
}

int hf_registry_link(struct hf_registry *g, struct hf_registry_record *r)
{
	bool is_whole = true;
	if (r->view.has_owner_peer) {
		r->owner = ensure_peer(g, r->view.owner_peer);
		is_whole = r->owner != NULL;
		if (r->owner)
			r->owner->reference_count++;
	}
	for (size_t i = 0; i < r->view.peer_count && is_whole; i++) {
		r->naming[i] = (struct hf_registry_naming){.record = r, .peer = ensure_peer(g, r->peers[i].key)};
		is_whole = r->naming[i].peer != NULL;
		if (is_whole)
			r->naming[i].peer->reference_count++;
	}
	if (!is_whole)
		unlink_peers(g, r);
	return is_whole ? HF_OK : HF_ENOMEM;
}

/* One peer more (1) or less (-1) of the record is here. */
static void count_here(struct hf_registry *g, struct hf_registry_record *r, int change)
{
	bool was_served = r->here_count > 0, is_open = r->view.is_public && !r->view.requires_auth;
	r->here_count += (size_t)change;
	bool is_served = r->here_count > 0;
	if (is_served == was_served)
		return;
	g->served_count += is_served ? 1 : (uint64_t)-1;
	if (is_open && is_served)
		hf_ordered_put(&g->open, &r->open, hf_slice_text(r->view.key));
	else if (is_open)
		hf_ordered_remove(&g->open, &r->open);
}

void hf_registry_index(struct hf_registry *g, struct hf_registry_record *r)
{
	struct hf_slice key = hf_slice_text(r->view.key);
	hf_ordered_put(&g->order, &r->order, key);
	if (r->owner)
		r->owner->owned_count++;
	for (size_t i = 0; i < r->view.peer_count; i++) {
		struct hf_registry_peer *p = r->naming[i].peer;
		r->peers[i].unreachable_since_ms = p->unreachable_since_ms;
		hf_ordered_put(&p->naming, &r->naming[i].link, key);
		p->unowned_count += r->owner == NULL;
		if (p->is_here)
			count_here(g, r, 1);
	}
}

void hf_registry_unindex(struct hf_registry *g, struct hf_registry_record *r)
{
	hf_ordered_remove(&g->order, &r->order);
	if (r->owner)
		r->owner->owned_count--;
	for (size_t i = 0; i < r->view.peer_count; i++) {
		struct hf_registry_peer *p = r->naming[i].peer;
		if (p->is_here)
			count_here(g, r, -1);
		hf_ordered_remove(&p->naming, &r->naming[i].link);
		p->unowned_count -= r->owner == NULL;
	}
	unlink_peers(g, r);
}

/* ---- Peers ---- */

static struct hf_registry_naming *naming_after(const struct hf_registry_peer *p, struct hf_slice key)
{
	struct hf_ordered_node *node = hf_ordered_after(&p->naming, key);
	return node ? HF_CONTAINER_OF(node, struct hf_registry_naming, link) : NULL;
}

int hf_registry_peer_is_reachable(struct hf_registry *g, const uint8_t key[static 32], bool is_reachable)
{
	struct hf_registry_peer *p = is_reachable ? ensure_peer(g, key) : hf_registry_peer_at(g, key);
	if (!p)
		return is_reachable ? HF_ENOMEM : HF_OK;
	bool is_other = p->is_here != is_reachable;
	p->is_here = is_reachable;
	p->unreachable_since_ms = is_reachable ? 0 : p->unreachable_since_ms ? p->unreachable_since_ms : hf_env_wall_ms(g->env);
	for (struct hf_registry_naming *n = naming_after(p, (struct hf_slice){0}); n; n = naming_after(p, n->link.key)) {
		n->record->peers[n - n->record->naming].unreachable_since_ms = p->unreachable_since_ms;
		if (is_other)
			count_here(g, n->record, is_reachable ? 1 : -1);
	}
	release_peer(g, p);
	return HF_OK;
}

const struct hf_registration *hf_registry_after_of_peer(struct hf_registry *g, const uint8_t key[static 32], struct hf_slice after)
{
	const struct hf_registry_peer *p = hf_registry_peer_at(g, key);
	struct hf_registry_naming *n = p ? naming_after(p, after) : NULL;
	while (n && !hf_registry_is_alive(g, n->record))
		n = naming_after(p, n->link.key);
	return n ? &n->record->view : NULL;
}

void hf_registry_free_peers(struct hf_registry *g)
{
	size_t cursor = 0;
	for (void *p; (p = hf_map_next(&g->peers, &cursor)) != NULL;)
		free(p);
	hf_map_free(&g->peers);
}
