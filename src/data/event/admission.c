/* admission: the stage function and what it looks up.
 *
 * Invariants that keep it cheap: at most one live version of a replaceable or addressable event exists, as every
 * version was admitted here, so the first live hit of its term is the one to compare with. A deletion is looked for
 * only where the index counts say that its author has deleted something, and that something names this event.
 *
 * What a commit removes is collected first and distinct: a stage does not see its own operations. */
#include "data/event/admission.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/hex.h"
#include "data/event/removals.h"
#include "data/event/terms.h"

#define KIND_DELETION 5
#define ADDRESS_HEAD_BYTES_MAX (10 + 1 + 64 + 1)

_Static_assert(offsetof(struct hf_admission, commit) == 0, "done and stage cast");

static const char REASON_DELETED[] = "blocked: the author has deleted this event";
static const char REASON_NEWER[] = "duplicate: a newer version of this event is kept";
static const char REASON_EXPIRED[] = "invalid: the event has expired";

/* ---- Preparing ---- */

int hf_admission_prepare(struct hf_admission *a, const struct hf_store *store)
{
	if (a->prepared)
		return a->prepared < 0 ? a->prepared : HF_OK;
	uint64_t terms[HF_STORE_TERM_COUNT_MAX], expiration;
	int r = hf_kind_is_ephemeral(a->event->kind) ? HF_EINVAL :
		hf_event_terms(store, a->event, terms, &a->term_count, &expiration);
	if (r == HF_OK && expiration <= a->meta.received_ms / 1000) {
		a->reason = REASON_EXPIRED;
		r = HF_EDENIED;
	}
	if (r == HF_OK) {
		a->terms = a->inline_terms;
		if (a->term_count > HF_ADMISSION_TERMS_INLINE_COUNT)
			a->terms = malloc(a->term_count * sizeof *terms);
		r = a->terms ? HF_OK : HF_ENOMEM;
	}
	if (r == HF_OK) {
		memcpy(a->terms, terms, a->term_count * sizeof *terms);
		a->author_deletions = hf_term_author_kind(store, a->event->pubkey, KIND_DELETION);
		if (expiration != UINT64_MAX)
			a->meta.flags |= HF_EVENT_HAS_EXPIRATION;
		r = hf_event_pack(a->event, &a->meta, &a->payload);
	}
	a->prepared = r == HF_OK ? 1 : r;
	return r;
}

void hf_admission_clear(struct hf_admission *a)
{
	if (a->terms != a->inline_terms)
		free(a->terms);
	a->terms = NULL;
	hf_buffer_free(&a->payload);
	a->payload = (struct hf_buffer){0};
	a->prepared = 0;
}

/* ---- Looking up ---- */

struct found {
	uint8_t id[32];
	uint64_t created_at;
};

/* The newest document of the query that is_it accepts: HF_OK, HF_ENOTFOUND or an error. */
static int find_newest(struct hf_snapshot *snapshot, const struct hf_query *query,
	bool (*is_it)(const void *context, const struct hf_event *event), const void *context, struct found *found)
{
	struct hf_buffer payload = {0}, text = {0};
	struct hf_cursor *cursor = NULL;
	int r = hf_cursor_open(&cursor, snapshot, query, HF_READ_BLOCKING);
	while (r == HF_OK) {
		struct hf_doc doc;
		struct hf_event event;
		r = hf_cursor_next(cursor, &payload, &doc);
		hf_buffer_clear(&text);
		if (r == HF_OK)
			r = hf_event_unpack(doc.payload, &text, &event, NULL);
		if (r == HF_OK && is_it(context, &event)) {
			memcpy(found->id, event.id, 32);
			found->created_at = event.created_at;
			break;
		}
		if (r == HF_ECORRUPT || r == HF_EMALFORMED || r == HF_EVERSION) /* what cannot be read decides nothing */
			r = HF_OK;
	}
	hf_cursor_close(cursor);
	hf_buffer_free(&payload);
	hf_buffer_free(&text);
	return r;
}

/* ---- Addresses: "<kind>:<pubkey>:<d>", where d is the tag's canonical text ---- */

struct address {
	uint32_t kind;
	const uint8_t *pubkey;
	struct hf_slice d;
};

static struct address address_of(const struct hf_event *event)
{
	struct address address = {event->kind, event->pubkey, {NULL, 0}};
	if (hf_kind_is_addressable(event->kind) && !hf_event_find_tag(event, "d", &address.d))
		address.d = hf_slice(NULL, 0);
	return address;
}

static bool is_version(const void *context, const struct hf_event *event)
{
	const struct address *wanted = context;
	struct address have = address_of(event);
	return have.kind == wanted->kind && memcmp(have.pubkey, wanted->pubkey, 32) == 0 && hf_slice_equal(have.d, wanted->d);
}

/* The one live version of the address with created_at up to until. */
static int find_version(struct hf_tx *tx, uint32_t collection, const struct address *address, uint64_t until,
	struct found *found)
{
	struct hf_store *store = hf_tx_store(tx);
	struct hf_snapshot *snapshot = hf_tx_snapshot(tx);
	uint64_t term;
	if (hf_kind_is_addressable(address->kind)) {
		int r = hf_term_address(store, address->pubkey, address->kind, address->d, &term);
		if (r < 0)
			return r;
	} else {
		term = hf_term_author_kind(store, address->pubkey, address->kind);
	}
	if (hf_snapshot_estimate(snapshot, collection, term) == 0)
		return HF_ENOTFOUND;
	struct hf_query query;
	query.collection = collection;
	query.clause_count = 1;
	query.clauses[0] = (struct hf_clause){&term, 1};
	query.rank_min = 0;
	query.rank_max = until;
	return find_newest(snapshot, &query, is_version, address, found);
}

/* Reads "<kind>:<pubkey>:<d>" of that author; replaceable kinds have an empty d, whose colon may be missing. False
 * when it is not the address of a replaceable or addressable event of the author. */
static bool parse_address(struct hf_slice text, const uint8_t pubkey[static 32], struct address *address)
{
	size_t digits = 0;
	uint32_t kind = 0;
	while (digits < text.length && digits < 6 && text.data[digits] >= '0' && text.data[digits] <= '9')
		kind = kind * 10 + (uint32_t)(text.data[digits++] - '0');
	if (digits == 0 || (digits > 1 && text.data[0] == '0'))
		return false;
	uint8_t author[32];
	if (text.length < digits + 65 || text.data[digits] != ':' || !hf_hex_decode(author, text.data + digits + 1, 32))
		return false;
	struct hf_slice rest = hf_slice(text.data + digits + 65, text.length - digits - 65);
	if (memcmp(author, pubkey, 32) != 0 || (rest.length > 0 && rest.data[0] != ':'))
		return false;
	address->kind = kind;
	address->pubkey = pubkey;
	address->d = rest.length > 1 ? hf_slice(rest.data + 1, rest.length - 1) : hf_slice(NULL, 0);
	return hf_kind_is_addressable(kind) ? rest.length > 0 : hf_kind_is_replaceable(kind) && address->d.length == 0;
}

/* ---- Was it deleted before it came? ---- */

struct deletion_of {
	const struct hf_event *event;
	char letter; /* which tag names it: e or a */
};

static bool names_id(struct hf_slice value, const uint8_t id[static 32])
{
	uint8_t named[32];
	return value.length == 64 && hf_hex_decode(named, value.data, 32) && memcmp(named, id, 32) == 0;
}

static bool names_address(struct hf_slice value, const struct hf_event *event)
{
	struct address address;
	return parse_address(value, event->pubkey, &address) && is_version(&address, event);
}

static bool is_deletion(const void *context, const struct hf_event *event)
{
	const struct deletion_of *of = context;
	if (event->kind != KIND_DELETION || memcmp(event->pubkey, of->event->pubkey, 32) != 0)
		return false;
	struct hf_tag tag;
	size_t cursor = 0;
	while (hf_event_next_tag(event, &cursor, &tag)) {
		if (tag.letter != of->letter)
			continue;
		if (tag.letter == 'e' ? names_id(tag.value, of->event->id) : names_address(tag.value, of->event))
			return true;
	}
	return false;
}

/* HF_OK when a deletion of the author names the event by one of these tag values; HF_ENOTFOUND. */
static int find_deletion(const struct hf_admission *a, struct hf_tx *tx, char letter, const uint64_t *terms,
	uint32_t term_count)
{
	struct hf_snapshot *snapshot = hf_tx_snapshot(tx);
	bool named = false;
	for (uint32_t i = 0; i < term_count; i++)
		named = named || hf_snapshot_estimate(snapshot, a->collection, terms[i]) > 0;
	if (!named)
		return HF_ENOTFOUND;
	struct hf_query query;
	query.collection = a->collection;
	query.clause_count = 2;
	query.clauses[0] = (struct hf_clause){&a->author_deletions, 1};
	query.clauses[1] = (struct hf_clause){terms, term_count};
	query.rank_min = letter == 'a' ? a->event->created_at : 0;
	query.rank_max = UINT64_MAX;
	struct deletion_of of = {a->event, letter};
	struct found found;
	return find_newest(snapshot, &query, is_deletion, &of, &found);
}

static int find_deletion_by_address(const struct hf_admission *a, struct hf_tx *tx)
{
	struct address address = address_of(a->event);
	struct hf_buffer text = {0};
	char hex[65] = {0};
	hf_hex_encode(hex, a->event->pubkey, 32);
	int r = hf_buffer_printf(&text, "%" PRIu32 ":%s:", address.kind, hex);
	if (r == HF_OK)
		r = hf_buffer_append(&text, address.d.data, address.d.length);
	if (r == HF_OK) {
		/* As written with its last colon, and for replaceable kinds also without. */
		bool both = hf_kind_is_replaceable(address.kind);
		uint64_t terms[2] = {hf_term_tag(hf_tx_store(tx), 'a', hf_buffer_slice(&text))};
		if (both)
			terms[1] = hf_term_tag(hf_tx_store(tx), 'a', hf_slice(text.data, text.length - 1));
		r = find_deletion(a, tx, 'a', terms, both ? 2 : 1);
	}
	hf_buffer_free(&text);
	return r;
}

static bool is_versioned(uint32_t kind)
{
	return hf_kind_is_replaceable(kind) || hf_kind_is_addressable(kind);
}

/* HF_OK: not deleted. */
static int check_deleted(struct hf_admission *a, struct hf_tx *tx)
{
	if (a->event->kind == KIND_DELETION ||
		hf_snapshot_estimate(hf_tx_snapshot(tx), a->collection, a->author_deletions) == 0)
		return HF_OK;
	char hex[64];
	hf_hex_encode(hex, a->event->id, 32);
	uint64_t by_id = hf_term_tag(hf_tx_store(tx), 'e', hf_slice(hex, sizeof hex));
	int r = find_deletion(a, tx, 'e', &by_id, 1);
	if (r == HF_ENOTFOUND && is_versioned(a->event->kind))
		r = find_deletion_by_address(a, tx);
	if (r == HF_OK) {
		a->reason = REASON_DELETED;
		return HF_EDENIED;
	}
	return r == HF_ENOTFOUND ? HF_OK : r;
}

/* ---- What it removes ---- */

/* *removed: the ids of what went, for who follows the relay. */
static int remove_one(struct hf_admission *a, struct hf_tx *tx, const uint8_t id[static 32], struct hf_buffer *removed)
{
	int r = hf_tx_delete(tx, a->collection, id);
	if (r == HF_ENOTFOUND)
		return HF_OK;
	if (r == HF_OK)
		r = hf_buffer_append(removed, id, 32);
	if (r == HF_OK)
		a->removed_count++;
	return r;
}

static int replace_version(struct hf_admission *a, struct hf_tx *tx, struct hf_buffer *removed)
{
	struct address address = address_of(a->event);
	struct found kept;
	int r = find_version(tx, a->collection, &address, UINT64_MAX, &kept);
	if (r < 0)
		return r == HF_ENOTFOUND ? HF_OK : r;
	int order = memcmp(kept.id, a->event->id, 32);
	if (order == 0)
		return HF_EDUPLICATE;
	if (kept.created_at > a->event->created_at || (kept.created_at == a->event->created_at && order < 0)) {
		a->reason = REASON_NEWER;
		return HF_EDENIED;
	}
	return remove_one(a, tx, kept.id, removed);
}

/* Appends the id that the tag gives cause to delete, if any, to victims. */
static int find_victim(const struct hf_admission *a, struct hf_tx *tx, const struct hf_tag *tag,
	struct hf_buffer *payload, struct hf_buffer *victims)
{
	struct found found;
	struct address address;
	int r = HF_ENOTFOUND;
	if (tag->letter == 'e' && tag->value.length == 64 && hf_hex_decode(found.id, tag->value.data, 32)) {
		struct hf_doc doc;
		struct hf_event head;
		struct hf_event_meta meta;
		r = hf_snapshot_get(hf_tx_snapshot(tx), a->collection, found.id, HF_READ_BLOCKING, payload, &doc);
		if (r == HF_OK && (hf_event_unpack_head(doc.payload, &head, &meta) < 0 || head.kind == KIND_DELETION ||
			memcmp(head.pubkey, a->event->pubkey, 32) != 0))
			r = HF_ENOTFOUND;
	} else if (tag->letter == 'a' && parse_address(tag->value, a->event->pubkey, &address)) {
		r = find_version(tx, a->collection, &address, a->event->created_at, &found);
	}
	if (r == HF_OK)
		return hf_buffer_append(victims, found.id, 32);
	return r == HF_ENOTFOUND || r == HF_ECORRUPT ? HF_OK : r;
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

static int carry_out(struct hf_admission *a, struct hf_tx *tx, struct hf_buffer *removed)
{
	struct hf_buffer victims = {0}, payload = {0};
	struct hf_tag tag;
	size_t cursor = 0;
	int r = HF_OK;
	while (r == HF_OK && hf_event_next_tag(a->event, &cursor, &tag))
		r = find_victim(a, tx, &tag, &payload, &victims);
	if (victims.length > 32)
		qsort(victims.data, victims.length / 32, 32, compare_ids);
	for (size_t i = 0; r == HF_OK && i < victims.length; i += 32)
		if (i == 0 || memcmp(victims.data + i, victims.data + i - 32, 32) != 0)
			r = remove_one(a, tx, victims.data + i, removed);
	hf_buffer_free(&victims);
	hf_buffer_free(&payload);
	return r;
}

/* ---- The stage ---- */

/* Puts the event in the place of what it replaces and deletes. */
static int change(struct hf_admission *a, struct hf_tx *tx, struct hf_buffer *removed)
{
	int r = is_versioned(a->event->kind) ? replace_version(a, tx, removed) : HF_OK;
	if (r < 0)
		return r;
	struct hf_doc_key key = {.rank = a->event->created_at, .terms = a->terms, .term_count = a->term_count};
	memcpy(key.id, a->event->id, 32);
	struct iovec payload = {a->payload.data, a->payload.length};
	r = hf_tx_put(tx, a->collection, &key, &payload, 1, &a->position);
	if (r == HF_EEXISTS)
		return HF_EDUPLICATE;
	if (r == HF_OK && a->event->kind == KIND_DELETION)
		r = carry_out(a, tx, removed);
	return r == HF_OK ? hf_removals_note(tx, a->collection, hf_buffer_slice(removed)) : r;
}

static int stage(struct hf_commit *commit, struct hf_tx *tx)
{
	struct hf_admission *a = (struct hf_admission *)(void *)commit;
	struct hf_buffer removed = {0};
	int r = hf_admission_prepare(a, hf_tx_store(tx));
	if (r == HF_OK)
		r = check_deleted(a, tx);
	if (r == HF_OK)
		r = change(a, tx, &removed);
	hf_buffer_free(&removed);
	return r;
}

void hf_admission_init(struct hf_admission *a, void (*done)(struct hf_commit *commit, int status))
{
	a->commit.next = NULL;
	a->commit.stage = stage;
	a->commit.done = done;
	a->commit.status = HF_OK;
	a->position = 0;
	a->removed_count = 0;
	a->reason = NULL;
	a->payload = (struct hf_buffer){0};
	a->terms = NULL;
	a->term_count = 0;
	a->prepared = 0;
}

/* ---- Sweeping what expired ---- */

struct sweep {
	struct hf_store *store;
	uint32_t collection;
	uint64_t now_s;
	size_t batch;
	struct hf_buffer victims; /* ids */
	int removed_count;
};

/* Adds the expired events of an hour. HF_EBUSY when the batch was full before all were seen. */
static int sweep_hour(struct sweep *s, struct hf_snapshot *snapshot, uint64_t term)
{
	struct hf_buffer payload = {0};
	struct hf_cursor *cursor = NULL;
	struct hf_query query;
	query.collection = s->collection;
	query.clause_count = 1;
	query.clauses[0] = (struct hf_clause){&term, 1};
	query.rank_min = 0;
	query.rank_max = UINT64_MAX;
	int r = hf_cursor_open(&cursor, snapshot, &query, HF_READ_BLOCKING);
	while (r == HF_OK) {
		struct hf_doc doc;
		struct hf_event head;
		r = hf_cursor_next(cursor, &payload, &doc);
		if (r == HF_ECORRUPT) {
			r = HF_OK;
			continue;
		}
		if (r < 0)
			break;
		if (hf_event_unpack_head(doc.payload, &head, NULL) < 0 || head.kind == KIND_DELETION ||
			hf_event_payload_expiration(doc.payload) > s->now_s)
			continue;
		r = s->victims.length / 32 == s->batch ? HF_EBUSY : hf_buffer_append(&s->victims, head.id, 32);
	}
	hf_cursor_close(cursor);
	hf_buffer_free(&payload);
	return r == HF_ENOTFOUND ? HF_OK : r;
}

static int sweep_stage(void *context, struct hf_tx *tx)
{
	struct sweep *s = context;
	size_t kept = 0;
	for (size_t i = 0; i < s->victims.length; i += 32) {
		int r = hf_tx_delete(tx, s->collection, s->victims.data + i);
		if (r < 0 && r != HF_ENOTFOUND)
			return r;
		if (r == HF_OK)
			memmove(s->victims.data + 32 * kept++, s->victims.data + i, 32);
	}
	s->removed_count = (int)kept;
	return hf_removals_note(tx, s->collection, hf_slice(s->victims.data, 32 * kept));
}

int hf_admission_sweep_expired(struct hf_store *store, uint32_t collection, uint64_t now_s, uint64_t *hour_from,
	uint32_t batch)
{
	struct sweep s = {.store = store, .collection = collection, .now_s = now_s, .batch = batch};
	struct hf_snapshot *snapshot = hf_store_snapshot(store);
	if (!snapshot)
		return HF_ENOMEM;
	int r = HF_OK;
	uint64_t hour = *hour_from, last = now_s / 3600;
	while (r == HF_OK && hour <= last) {
		uint64_t era = hour / HF_EXPIRY_ERA_HOURS, era_end = (era + 1) * HF_EXPIRY_ERA_HOURS;
		if (hf_snapshot_estimate(snapshot, collection, hf_term_expiry_era(store, era)) == 0) {
			hour = era_end;
			continue;
		}
		for (; r == HF_OK && hour < era_end && hour <= last; hour += r == HF_OK) {
			uint64_t term = hf_term_expiry_hour(store, hour);
			if (hf_snapshot_estimate(snapshot, collection, term) > 0)
				r = sweep_hour(&s, snapshot, term);
		}
	}
	hf_snapshot_release(snapshot);
	if ((r == HF_OK || r == HF_EBUSY) && s.victims.length > 0)
		r = hf_store_commit_wait(store, HF_DURABLE_OS, sweep_stage, &s);
	else if (r == HF_EBUSY)
		r = HF_OK;
	hf_buffer_free(&s.victims);
	if (r < 0)
		return r;
	/* The present hour is not over. */
	*hour_from = hour < last ? hour : last;
	return s.removed_count;
}
