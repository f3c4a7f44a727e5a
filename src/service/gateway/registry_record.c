/* registry_record: a record's text and back. What is kept is the canonical object
 *   {"key", "metadata": {}, "owner": {"isCore", "peer", "pubkey"}, "peers": {"<hex>": {"joined", "proved", "seen"}}, "principal",
 *    "registeredAt", "updatedAt", ...}
 * and every object in it keeps members that nobody here knows. */
#include "service/gateway/registry_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/hex.h"

/* ---- Reading ---- */

/* A text of the view, unescaped behind what memory holds already; room was made. */
static const char *take_text(struct hf_registry_record *r, struct hf_slice object, const char *name)
{
	struct hf_slice raw;
	if (!hf_canonical_raw(object, name, &raw))
		return "";
	char *text = (char *)r->memory.data + r->memory.length;
	size_t length = raw.length > 0 ? hf_json_unescape(raw, (uint8_t *)text) : 0;
	text[length] = '\0';
	r->memory.length += length + 1;
	return strlen(text) == length ? text : "";
}

static size_t count_members(struct hf_slice object)
{
	struct hf_slice name, value;
	size_t count = 0, cursor = 0;
	while (hf_canonical_next_member(object, &cursor, &name, &value))
		count++;
	return count;
}

/* In the one form in which it is written, so that no peer is there twice. */
static bool is_key_text(struct hf_slice name)
{
	size_t i = 0;
	while (i < name.length && (name.data[i] < 'A' || name.data[i] > 'F'))
		i++;
	return name.length == 64 && i == name.length;
}

static int take_peers(struct hf_registry_record *r, struct hf_slice record)
{
	struct hf_slice peers, name, value;
	size_t cursor = 0;
	hf_canonical_member(record, "peers", &peers);
	size_t count = count_members(peers);
	count = count < HF_REGISTRY_PEERS_MAX ? count : HF_REGISTRY_PEERS_MAX;
	r->peers = calloc(count + 1, sizeof *r->peers);
	r->naming = calloc(count + 1, sizeof *r->naming);
	if (!r->peers || !r->naming)
		return HF_ENOMEM;
	r->view.peers = r->peers;
	while (r->view.peer_count < count && hf_canonical_next_member(peers, &cursor, &name, &value)) {
		struct hf_registration_peer *p = &r->peers[r->view.peer_count];
		*p = (struct hf_registration_peer){0};
		if (!is_key_text(name) || !hf_hex_decode(p->key, name.data, 32))
			continue;
		p->is_proved = hf_canonical_bool(value, "proved", false);
		hf_canonical_u64(value, "joined", &p->joined_ms);
		hf_canonical_u64(value, "seen", &p->seen_ms);
		r->view.peer_count++;
	}
	return HF_OK;
}

/* "seg0:seg1" as a path. */
static const char *path_of(struct hf_registry_record *r, struct hf_slice metadata)
{
	const char *given = take_text(r, metadata, "gatewayPath"), *from = r->view.identifier[0] ? r->view.identifier : r->view.key;
	if (given[0])
		return given + strspn(given, "/");
	char *text = (char *)r->memory.data + r->memory.length;
	size_t length = strlen(from);
	memcpy(text, from, length + 1);
	r->memory.length += length + 1;
	char *colon = strchr(text, ':');
	if (colon)
		*colon = '/';
	return text;
}

static void take_aliases(struct hf_registry_record *r, struct hf_slice metadata)
{
	struct hf_slice aliases, item;
	size_t cursor = 0;
	hf_canonical_member(metadata, "pathAliases", &aliases);
	while (r->view.alias_count < HF_REGISTRY_ALIASES_MAX && hf_canonical_next_item(aliases, &cursor, &item)) {
		if (!hf_canonical_is_string(item) || item.length <= 2)
			continue;
		char *text = (char *)r->memory.data + r->memory.length;
		size_t length = hf_json_unescape(hf_slice(item.data + 1, item.length - 2), (uint8_t *)text);
		text[length] = '\0';
		r->memory.length += length + 1;
		r->aliases[r->view.alias_count++] = text;
	}
}

static void take_owner(struct hf_registry_record *r, struct hf_slice record)
{
	struct hf_slice owner;
	hf_canonical_member(record, "owner", &owner);
	r->view.has_owner_peer = hf_canonical_hex(owner, "peer", r->view.owner_peer, 32);
	r->view.has_owner = hf_canonical_hex(owner, "pubkey", r->view.owner, 32);
	r->is_core_owner = hf_canonical_bool(owner, "isCore", false);
}

static int fill_view(struct hf_registry_record *r, struct hf_slice key, struct hf_slice record)
{
	struct hf_registration *v = &r->view;
	v->record = record;
	v->aliases = r->aliases;
	hf_canonical_member(record, "metadata", &v->metadata);
	v->key = take_text(r, record, "key");
	v->has_relay_key = key.length == 64 && hf_hex_decode(v->relay_key, key.data, 32);
	v->identifier = take_text(r, v->metadata, "identifier");
	if (!v->identifier[0] && strchr(v->key, ':'))
		v->identifier = v->key;
	v->name = take_text(r, v->metadata, "name");
	v->description = take_text(r, v->metadata, "description");
	v->avatar_url = take_text(r, v->metadata, "avatarUrl");
	v->connection_url = take_text(r, v->metadata, "connectionUrl");
	v->principal = take_text(r, record, "principal");
	v->path = path_of(r, v->metadata);
	take_aliases(r, v->metadata);
	v->is_public = hf_canonical_bool(v->metadata, "isPublic", false);
	v->requires_auth = hf_canonical_bool(v->metadata, "requiresAuth", true);
	v->is_gateway_replica = hf_canonical_bool(v->metadata, "isGatewayReplica", false);
	v->delegates_requests = hf_canonical_bool(v->metadata, "delegateReqToPeers", false);
	hf_canonical_u64(record, "registeredAt", &v->registered_ms);
	hf_canonical_u64(record, "updatedAt", &v->updated_ms);
	take_owner(r, record);
	return take_peers(r, record);
}

int hf_registry_record_read(struct hf_slice key, struct hf_slice text, struct hf_registry_record **out)
{
	struct hf_registry_record *r = calloc(1, sizeof *r);
	struct hf_slice kept_key;
	*out = NULL;
	/* Each text of the view is part of the record's, or the path, which is made of one of them; each has a NUL behind it. */
	if (!r || hf_buffer_reserve(&r->memory, 3 * text.length + HF_REGISTRY_NAMES_MAX + 16) < 0 ||
		hf_buffer_append(&r->memory, text.data, text.length) < 0) {
		hf_registry_record_free(r);
		return HF_ENOMEM;
	}
	struct hf_slice record = hf_buffer_slice(&r->memory);
	if (!hf_canonical_is_object(record) || !hf_canonical_plain(record, "key", &kept_key) || !hf_slice_equal(key, kept_key)) {
		hf_registry_record_free(r);
		return HF_EMALFORMED;
	}
	if (fill_view(r, kept_key, record) < 0) {
		hf_registry_record_free(r);
		return HF_ENOMEM;
	}
	*out = r;
	return HF_OK;
}

void hf_registry_record_free(struct hf_registry_record *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->name_count; i++)
		free(r->names[i]);
	hf_buffer_free(&r->memory);
	free(r->peers);
	free(r->naming);
	free(r);
}

/* ---- Writing ---- */

/* What describes the request and not the relay, and what only gateways write. */
static const char *const not_metadata[] = {"relayKey", "proof", "consent", "metadata", "peers", "nonce", "issuedAt", "peerStates",
	"lastPeerUpdateAt", "ownerPeerKey", "gatewayPendingWrites", "gatewayPendingReason", "gatewayPendingTypes", "gatewayPendingSince",
	"gatewayPendingUpdatedAt", "gatewayPendingDriveIdentifier", "gatewayDriveVersion", "gatewayLeaseVersion", "gatewayLeaseActive", NULL};
static const char *const of_the_metadata_event[] = {"name", "description", "avatarUrl", "isPublic", "metadataUpdatedAt",
	"metadataEventId", NULL};
static const char *const only_name[] = {"name", NULL}, *const only_identifier[] = {"identifier", NULL};

/* Replaces *text by what is left of it without names. */
static int strip(struct hf_buffer *text, const char *const *names)
{
	struct hf_buffer less = {0};
	int r = hf_canonical_without(hf_buffer_slice(text), names, &less);
	hf_buffer_free(text);
	*text = less;
	return r;
}

/* What the entry says of the relay: its members and those of its "metadata". */
static int said_metadata(struct hf_slice entry, struct hf_slice old, struct hf_buffer *out)
{
	struct hf_slice inner, text;
	uint64_t said_ms, known_ms;
	hf_canonical_member(entry, "metadata", &inner);
	int r = hf_canonical_merge(entry, hf_canonical_is_object(inner) ? inner : HF_SLICE_LITERAL("{}"), out);
	if (r == HF_OK)
		r = strip(out, not_metadata);
	struct hf_slice said = hf_buffer_slice(out);
	bool is_old = r == HF_OK && hf_canonical_u64(old, "metadataUpdatedAt", &known_ms) &&
		hf_canonical_u64(said, "metadataUpdatedAt", &said_ms) && said_ms < known_ms;
	bool is_nameless = r == HF_OK && hf_canonical_raw(said, "name", &text) && text.length == 0;
	bool has_bad_identifier = r == HF_OK && hf_canonical_member(said, "identifier", &text) &&
		(!hf_canonical_plain(said, "identifier", &text) || text.length > HF_REGISTRATION_KEY_BYTES_MAX);
	if (is_old)
		r = strip(out, of_the_metadata_event);
	else if (is_nameless)
		r = strip(out, only_name);
	return r == HF_OK && has_bad_identifier ? strip(out, only_identifier) : r;
}

static int write_metadata(const struct hf_registry_merge *m, struct hf_slice old, bool is_owner, struct hf_buffer *out)
{
	struct hf_buffer said = {0};
	if (!is_owner)
		return hf_buffer_append(out, old.data, old.length);
	int r = said_metadata(hf_buffer_slice(&m->entry), old, &said);
	if (r == HF_OK)
		r = hf_canonical_merge(old, hf_buffer_slice(&said), out);
	hf_buffer_free(&said);
	return r;
}

/* A peer's entry, new or seen again, put into *peers. */
static int put_peer(struct hf_buffer *peers, const uint8_t key[static 32], bool is_proved, uint64_t now_ms)
{
	struct hf_buffer entry = {0}, whole = {0}, both = {0};
	struct hf_slice old;
	char name[65] = {0};
	uint64_t joined_ms = now_ms;
	hf_hex_encode(name, key, 32);
	if (!hf_canonical_member(hf_buffer_slice(peers), name, &old))
		old = HF_SLICE_LITERAL("{}");
	hf_canonical_u64(old, "joined", &joined_ms);
	is_proved = is_proved || hf_canonical_bool(old, "proved", false);
	int r = hf_buffer_printf(&entry, "{\"joined\":%llu,\"proved\":%s,\"seen\":%llu}", (unsigned long long)joined_ms,
		is_proved ? "true" : "false",
		(unsigned long long)now_ms);
	if (r == HF_OK)
		r = hf_buffer_printf(&whole, "{\"%s\":", name);
	if (r == HF_OK)
		r = hf_canonical_merge(old, hf_buffer_slice(&entry), &whole);
	if (r == HF_OK)
		r = hf_buffer_append_text(&whole, "}");
	if (r == HF_OK)
		r = hf_canonical_merge(hf_buffer_slice(peers), hf_buffer_slice(&whole), &both);
	hf_buffer_free(&entry);
	hf_buffer_free(&whole);
	hf_buffer_free(peers);
	*peers = both;
	return r;
}

/* Those of old who were heard of, and who came now. */
static int write_peers(const struct hf_registry_merge *m, const struct hf_registry_record *old, uint64_t now_ms, uint64_t age_ms,
	struct hf_buffer *out)
{
	char texts[HF_REGISTRY_PEERS_MAX][65];
	const char *silent[HF_REGISTRY_PEERS_MAX + 1] = {NULL};
	struct hf_slice peers = HF_SLICE_LITERAL("{}");
	size_t count = 0;
	if (old)
		hf_canonical_member(old->view.record, "peers", &peers);
	for (size_t i = 0; old && i < old->view.peer_count; i++)
		if (old->peers[i].seen_ms + age_ms < now_ms) {
			hf_hex_encode(texts[count], old->peers[i].key, 32);
			texts[count][64] = '\0';
			silent[count] = texts[count];
			count++;
		}
	int r = hf_canonical_without(peers, silent, out);
	if (r == HF_OK && m->has_peer)
		r = put_peer(out, m->peer, true, now_ms);
	for (size_t i = 0; r == HF_OK && i < m->claimed_peer_count; i++)
		r = put_peer(out, m->claimed_peers[i], false, now_ms);
	return r;
}

/* The owner as it was, with what is proved now. */
static int write_owner(const struct hf_registry_merge *m, const struct hf_registry_record *old, bool is_owner, bool becomes_owner,
	struct hf_buffer *out)
{
	struct hf_slice known = HF_SLICE_LITERAL("{}"), found;
	struct hf_buffer now = {0};
	char hex[65] = {0};
	if (old && hf_canonical_member(old->view.record, "owner", &found))
		known = found;
	int r = hf_buffer_append_text(&now, "{");
	if (r == HF_OK && becomes_owner) {
		hf_hex_encode(hex, m->peer, 32);
		r = hf_buffer_printf(&now, "\"peer\":\"%s\",\"isCore\":%s", hex, m->has_proof ? "true" : "false");
	} else if (r == HF_OK && is_owner && m->has_peer && m->has_proof) {
		r = hf_buffer_append_text(&now, "\"isCore\":true");
	}
	if (r == HF_OK && is_owner && m->has_owner) {
		hf_hex_encode(hex, m->owner, 32);
		r = hf_buffer_printf(&now, "%s\"pubkey\":\"%s\"", now.length > 1 ? "," : "", hex);
	}
	if (r == HF_OK)
		r = hf_buffer_append_text(&now, "}");
	if (r == HF_OK)
		r = hf_canonical_merge(known, hf_buffer_slice(&now), out);
	hf_buffer_free(&now);
	return r;
}

static int write_principal(const struct hf_registry_merge *m, const struct hf_registry_record *old, bool becomes_owner,
	struct hf_buffer *out)
{
	char hex[65] = {0};
	if (becomes_owner) {
		hf_hex_encode(hex, m->peer, 32);
		return hf_buffer_printf(out, "peer:%s", hex);
	}
	return hf_buffer_append_text(out, old ? old->view.principal : m->form == HF_REGISTRATION_UNSIGNED ? "channel" : "secret");
}

struct parts {
	struct hf_buffer metadata, peers, owner, principal, newer;
};

static int write_parts(const struct hf_registry_merge *m, const struct hf_registry_record *old, bool is_owner, bool becomes_owner,
	uint64_t now_ms, uint64_t age_ms, struct parts *p)
{
	struct hf_slice metadata = old && old->view.metadata.length ? old->view.metadata : HF_SLICE_LITERAL("{}");
	int r = write_metadata(m, metadata, is_owner, &p->metadata);
	if (r == HF_OK)
		r = write_peers(m, old, now_ms, age_ms, &p->peers);
	if (r == HF_OK)
		r = write_owner(m, old, is_owner, becomes_owner, &p->owner);
	if (r == HF_OK)
		r = write_principal(m, old, becomes_owner, &p->principal);
	if (r == HF_OK)
		r = hf_buffer_printf(&p->newer, "{\"key\":\"%.*s\",\"metadata\":%.*s,\"owner\":%.*s,\"peers\":%.*s,\"principal\":\"%.*s\","
			"\"registeredAt\":%llu,\"updatedAt\":%llu}", (int)m->key.length, (char *)m->key.data, (int)p->metadata.length,
			(char *)p->metadata.data, (int)p->owner.length, (char *)p->owner.data, (int)p->peers.length, (char *)p->peers.data,
			(int)p->principal.length, (char *)p->principal.data, (unsigned long long)(old ? old->view.registered_ms : now_ms),
			(unsigned long long)now_ms);
	return r;
}

int hf_registry_write(const struct hf_registry_merge *m, const struct hf_registry_record *old, bool is_owner, bool becomes_owner,
	uint64_t now_ms, uint64_t age_ms, struct hf_buffer *out, const char **refusal)
{
	struct parts p = {0};
	int r = write_parts(m, old, is_owner, becomes_owner, now_ms, age_ms, &p);
	if (r == HF_OK && count_members(hf_buffer_slice(&p.peers)) > HF_REGISTRY_PEERS_MAX) {
		*refusal = "too-many-peers";
		r = HF_ETOOBIG;
	}
	if (r == HF_OK)
		r = hf_canonical_merge(old ? old->view.record : HF_SLICE_LITERAL("{}"), hf_buffer_slice(&p.newer), out);
	if ((r == HF_OK && out->length > HF_REGISTRY_RECORD_BYTES_MAX) || (r == HF_ETOOBIG && !*refusal)) {
		*refusal = "record-too-large";
		r = HF_ETOOBIG;
	}
	hf_buffer_free(&p.metadata);
	hf_buffer_free(&p.peers);
	hf_buffer_free(&p.owner);
	hf_buffer_free(&p.principal);
	hf_buffer_free(&p.newer);
	return r;
}
