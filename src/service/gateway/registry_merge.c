/* registry_merge: who may change a record, and the change itself. A change is made on what is known here and committed only if that was
 * still so; otherwise it is judged and made again. */
#include "service/gateway/registry_private.h"

#include <stdlib.h>

#include "base/list.h"

#define RETRY_MS 15 /* times the tries: until another gateway's change has come */

struct verdict {
	bool is_owner, becomes_owner;
};

/* ---- Who may ---- */

static int refuse(const char **refusal, const char *name, int status)
{
	*refusal = name;
	return status;
}

static bool names_peer(const struct hf_registration *record, const uint8_t peer[static 32])
{
	for (size_t i = 0; i < record->peer_count; i++)
		if (memcmp(record->peers[i].key, peer, 32) == 0)
			return true;
	return false;
}

static int judge_new(const struct hf_registry *g, const struct hf_registry_merge *m, struct verdict *v, const char **refusal)
{
	const struct hf_registry_peer *peer = m->has_peer ? hf_registry_peer_at(g, m->peer) : NULL;
	uint64_t owned = !peer ? 0 : m->form == HF_REGISTRATION_OURS ? peer->owned_count : peer->unowned_count;
	v->is_owner = true;
	v->becomes_owner = m->has_peer && m->form == HF_REGISTRATION_OURS;
	if (g->records.count >= g->record_count_max || owned >= g->records_per_peer_max)
		return refuse(refusal, "too-many-relays", HF_ETOOBIG);
	return HF_OK;
}

/* The record has no owner: whoever could have made it may change it, and a peer's signature makes it that peer's. */
static int judge_unowned(const struct hf_registry_merge *m, const struct hf_registration *record, struct verdict *v, const char **refusal)
{
	bool may_own = m->form == HF_REGISTRATION_OURS && (m->has_proof || m->knows_secret || names_peer(record, m->peer));
	v->is_owner = may_own || m->form != HF_REGISTRATION_OURS;
	v->becomes_owner = may_own;
	return v->is_owner ? HF_OK : refuse(refusal, "not-owner", HF_EDENIED);
}

static int judge_owned(const struct hf_registry_merge *m, const struct hf_registry_record *record, struct verdict *v, const char **refusal)
{
	const struct hf_registration *view = &record->view;
	if (!m->has_peer)
		return refuse(refusal, "not-owner", HF_EDENIED);
	v->is_owner = memcmp(m->peer, view->owner_peer, 32) == 0;
	v->becomes_owner = !v->is_owner && m->has_proof && !record->is_core_owner;
	v->is_owner = v->is_owner || v->becomes_owner;
	if (v->is_owner || m->has_proof || hf_registry_is_peer_of(view, m->peer))
		return HF_OK;
	if (m->has_consent && memcmp(m->consent_owner, view->owner_peer, 32) == 0)
		return HF_OK;
	return refuse(refusal, "consent-required", HF_EDENIED);
}

/* A name that another record has, unless it is the owner's own. */
static bool is_taken(const struct hf_registry *g, const struct hf_registry_merge *m, const struct hf_registry_record *own,
	struct hf_slice name)
{
	char text[HF_REGISTRY_PATH_BYTES_MAX + 1];
	struct hf_registration claim = {.has_owner = m->has_owner};
	memcpy(claim.owner, m->owner, sizeof claim.owner);
	if (name.length == 0 || hf_registry_normalize(name, text) < 0)
		return false;
	const struct hf_registry_name *known = hf_map_get(&g->names, hf_slice_text(text));
	return known && known->record != own && (!hf_registry_owns_name(&claim, hf_slice_text(text)) ||
		hf_registry_owns_name(&known->record->view, hf_slice_text(text)));
}

static int judge_names(const struct hf_registry *g, const struct hf_registry_merge *m, const struct hf_registry_record *own,
	const char **refusal)
{
	static const char *const names[] = {"identifier", "gatewayPath"};
	struct hf_slice entry = hf_buffer_slice(&m->entry), metadata, name;
	hf_canonical_member(entry, "metadata", &metadata);
	for (size_t i = 0; i < 2; i++)
		if ((hf_canonical_plain(entry, names[i], &name) && is_taken(g, m, own, name)) ||
			(hf_canonical_plain(metadata, names[i], &name) && is_taken(g, m, own, name)))
			return refuse(refusal, "identifier-taken", HF_EEXISTS);
	return HF_OK;
}

static int judge(const struct hf_registry *g, const struct hf_registry_merge *m, const struct hf_registry_record *record, struct verdict *v,
	const char **refusal)
{
	*v = (struct verdict){0};
	int r = !record ? judge_new(g, m, v, refusal) : record->view.has_owner_peer ? judge_owned(m, record, v, refusal) :
		judge_unowned(m, &record->view, v, refusal);
	return r == HF_OK && v->is_owner ? judge_names(g, m, record, refusal) : r;
}

/* ---- The change ---- */

static void free_merge(struct hf_registry_merge *m)
{
	hf_loop_timer_cancel(m->registry->loop, &m->timer);
	HF_LIST_REMOVE(m->registry->merges, m);
	hf_buffer_free(&m->key);
	hf_buffer_free(&m->entry);
	free(m);
}

static int try_merge(struct hf_registry_merge *m, const char **refusal);

static void finish(struct hf_registry_merge *m, int status, const char *refusal)
{
	hf_counter_add(status == HF_OK ? &m->registry->merged : &m->registry->refused, 1);
	m->done(m->context, status, refusal);
	free_merge(m);
}

static void try_again(struct hf_timer *timer)
{
	struct hf_registry_merge *m = HF_CONTAINER_OF(timer, struct hf_registry_merge, timer);
	const char *refusal = NULL;
	int r = try_merge(m, &refusal);
	if (r < 0)
		finish(m, r, refusal ? refusal : "state-unavailable");
}

static void committed(void *context, int status)
{
	struct hf_registry_merge *m = context;
	if (status == HF_EBUSY && ++m->tries < HF_REGISTRY_MERGE_TRIES_MAX &&
		hf_loop_timer_set(m->registry->loop, &m->timer, RETRY_MS * m->tries) == HF_OK)
		return;
	finish(m, status, status == HF_OK ? NULL : "state-unavailable");
}

/* The record of the key; or, where peers know a relay by its identifier only, the one that has it. */
static struct hf_registry_record *find_record(const struct hf_registry *g, struct hf_slice key)
{
	char text[HF_REGISTRY_PATH_BYTES_MAX + 1];
	struct hf_registry_record *record = hf_registry_at(g, key);
	if (record || hf_registry_normalize(key, text) < 0)
		return record;
	const struct hf_registry_name *name = hf_map_get(&g->names, hf_slice_text(text));
	return name ? name->record : NULL;
}

/* The same, unless nobody has spoken for it for too long. */
static struct hf_registry_record *find_alive(const struct hf_registry *g, struct hf_slice key)
{
	struct hf_registry_record *record = find_record(g, key);
	return record && record->view.expires_ms != 0 && record->view.expires_ms <= hf_env_wall_ms(g->env) ? NULL : record;
}

static int try_merge(struct hf_registry_merge *m, const char **refusal)
{
	struct hf_registry *g = m->registry;
	struct hf_registry_record *record = find_alive(g, hf_buffer_slice(&m->key));
	struct hf_buffer text = {0};
	struct verdict v;
	uint64_t now_ms = hf_env_wall_ms(g->env);
	int r = judge(g, m, record, &v, refusal);
	if (r == HF_OK && record) {
		hf_buffer_clear(&m->key);
		r = hf_buffer_append_text(&m->key, record->view.key);
	}
	if (r == HF_OK)
		r = hf_registry_write(m, record, v.is_owner, v.becomes_owner, now_ms, g->record_age_ms, &text, refusal);
	if (r == HF_OK) {
		const struct hf_state_op op = {.kind = HF_STATE_PUT_IF, .space = HF_STATE_RECORDS, .key = hf_buffer_slice(&m->key),
			.value = hf_buffer_slice(&text), .revision = record ? record->view.revision : 0, .end_ms = now_ms + g->record_age_ms};
		r = hf_state_commit(g->state, &op, 1, committed, m);
	}
	hf_buffer_free(&text);
	return r;
}

static struct hf_registry_merge *new_merge(struct hf_registry *g, const struct hf_registration_body *b,
	const struct hf_registration_relay *relay)
{
	struct hf_registry_merge *m = calloc(1, sizeof *m);
	if (!m)
		return NULL;
	m->registry = g;
	HF_LIST_PUSH(g->merges, m);
	m->timer.fire = try_again;
	m->form = b->form;
	m->has_peer = b->has_peer;
	m->knows_secret = b->knows_secret;
	m->has_owner = b->has_owner;
	m->has_proof = relay->has_proof;
	m->has_consent = relay->has_consent;
	memcpy(m->peer, b->peer, sizeof m->peer);
	memcpy(m->owner, b->owner, sizeof m->owner);
	memcpy(m->consent_owner, relay->consent_owner, sizeof m->consent_owner);
	memcpy(m->claimed_peers, b->claimed_peers, sizeof m->claimed_peers);
	m->claimed_peer_count = b->claimed_peer_count;
	if (hf_buffer_append(&m->key, relay->key.data, relay->key.length) < 0 ||
		hf_buffer_append(&m->entry, relay->entry.data, relay->entry.length) < 0) {
		free_merge(m);
		return NULL;
	}
	return m;
}

int hf_registry_merge(struct hf_registry *g, const struct hf_registration_body *body, size_t relay_index, hf_registry_done *done,
	void *context, const char **refusal)
{
	*refusal = NULL;
	struct hf_registry_merge *m = new_merge(g, body, &body->relays[relay_index]);
	if (!m)
		return HF_ENOMEM;
	m->done = done;
	m->context = context;
	int r = try_merge(m, refusal);
	if (r < 0) {
		hf_counter_add(&g->refused, 1);
		if (!*refusal && r != HF_ENOMEM)
			*refusal = "state-unavailable";
		free_merge(m);
	}
	return r;
}

void hf_registry_end_merges(struct hf_registry *g)
{
	while (g->merges)
		finish(g->merges, HF_ECLOSED, "state-unavailable");
}

/* ---- Removal ---- */

struct removal {
	hf_registry_done *done;
	void *context;
};

static void removed(void *context, int status)
{
	struct removal *removal = context;
	removal->done(removal->context, status, status == HF_OK ? NULL : "state-unavailable");
	free(removal);
}

int hf_registry_remove(struct hf_registry *g, struct hf_slice key, const struct hf_registry_principal *by, hf_registry_done *done,
	void *context, const char **refusal)
{
	const struct hf_registry_record *record = find_alive(g, key);
	*refusal = NULL;
	if (!record)
		return refuse(refusal, "relay-not-registered", HF_ENOTFOUND);
	if (!hf_registry_may_change(&record->view, by))
		return refuse(refusal, "not-owner", HF_EDENIED);
	struct removal *removal = malloc(sizeof *removal);
	if (!removal)
		return HF_ENOMEM;
	*removal = (struct removal){done, context};
	const struct hf_state_op op = {.kind = HF_STATE_DELETE, .space = HF_STATE_RECORDS, .key = hf_slice_text(record->view.key)};
	int r = hf_state_commit(g->state, &op, 1, removed, removal);
	if (r < 0) {
		free(removal);
		*refusal = r == HF_ENOMEM ? NULL : "state-unavailable";
	}
	return r;
}
