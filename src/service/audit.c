/* audit: a record gets its number and its predecessor's hash on the store's writer, so the order of commits is the chain's. */
#include "service/audit.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/list.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "service/gateway/canonical.h"

#define HEAD_BYTES (8 + HF_SHA256_BYTES)
#define KIND_BYTES_MAX 64

struct hf_audit {
	struct hf_store *store;
	struct hf_env *env;
	struct hf_metrics *metrics;
	HF_ATOMIC(uint32_t) queued_count;
	HF_ATOMIC(uint64_t) lost_count; /* since the last record that said so */
	pthread_mutex_t mutex;          /* of what follows */
	void (*written_to)(void *context, uint64_t number, struct hf_slice record);
	void *listener;
	struct hf_counter written, lost;
};

struct entry {
	struct hf_commit commit;
	struct hf_audit *audit;
	uint64_t at_ms, lost;
	struct hf_buffer fields, record; /* as it is written */
	uint64_t number;
	char kind[KIND_BYTES_MAX + 1];
};

/* ---- Writing ---- */

static int read_head(struct hf_tx *tx, uint64_t *number, uint8_t hash[static HF_SHA256_BYTES])
{
	struct hf_buffer value = {0};
	int r = hf_tx_table_get(tx, HF_AUDIT_TABLE, HF_SLICE_LITERAL("head"), &value);
	*number = 0;
	memset(hash, 0, HF_SHA256_BYTES);
	if (r == HF_OK && value.length == HEAD_BYTES) {
		*number = hf_load_le64(value.data);
		memcpy(hash, value.data + 8, HF_SHA256_BYTES);
	}
	hf_buffer_free(&value);
	return r == HF_ENOTFOUND ? HF_OK : r;
}

static int write_record(const struct entry *e, uint64_t number, const uint8_t previous[static HF_SHA256_BYTES], struct hf_buffer *out)
{
	char hex[2 * HF_SHA256_BYTES + 1] = {0};
	hf_hex_encode(hex, previous, HF_SHA256_BYTES);
	int r = hf_buffer_printf(out, "{\"at\":%llu,\"fields\":%.*s,\"kind\":\"%s\"", (unsigned long long)e->at_ms, (int)e->fields.length,
		(char *)e->fields.data, e->kind);
	if (r == HF_OK && e->lost > 0)
		r = hf_buffer_printf(out, ",\"lost\":%llu", (unsigned long long)e->lost);
	return r == HF_OK ? hf_buffer_printf(out, ",\"previous\":\"%s\",\"seq\":%llu}", hex, (unsigned long long)number) : r;
}

static int stage(struct hf_commit *commit, struct hf_tx *tx)
{
	struct entry *e = HF_CONTAINER_OF(commit, struct entry, commit);
	uint8_t head[HEAD_BYTES], previous[HF_SHA256_BYTES];
	uint64_t number;
	int r = read_head(tx, &number, previous);
	hf_buffer_clear(&e->record);
	e->number = number;
	if (r == HF_OK)
		r = write_record(e, number, previous, &e->record);
	if (r == HF_OK) {
		const struct iovec block = {e->record.data, e->record.length};
		hf_store_le64(head, number + 1);
		hf_sha256(head + 8, hf_buffer_slice(&e->record));
		r = hf_tx_log_put(tx, HF_AUDIT_LOG, number, &block, 1);
	}
	if (r == HF_OK)
		r = hf_tx_table_put(tx, HF_AUDIT_TABLE, HF_SLICE_LITERAL("head"), hf_slice(head, sizeof head));
	if (r == HF_OK && number >= HF_AUDIT_KEEP_COUNT)
		r = hf_tx_log_clear(tx, HF_AUDIT_LOG, number - HF_AUDIT_KEEP_COUNT, number - HF_AUDIT_KEEP_COUNT + 1);
	return r;
}

static void free_entry(struct entry *e)
{
	hf_buffer_free(&e->fields);
	hf_buffer_free(&e->record);
	free(e);
}

static void note_lost(struct hf_audit *a, uint64_t count)
{
	atomic_fetch_add(&a->lost_count, count);
	hf_counter_add(&a->lost, 1);
}

static void tell(struct hf_audit *a, const struct entry *e)
{
	hf_counter_add(&a->written, 1);
	pthread_mutex_lock(&a->mutex);
	if (a->written_to)
		a->written_to(a->listener, e->number, hf_buffer_slice(&e->record));
	pthread_mutex_unlock(&a->mutex);
}

void hf_audit_listen(struct hf_audit *a, void (*written)(void *context, uint64_t number, struct hf_slice record), void *context)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->mutex);
	a->written_to = written;
	a->listener = context;
	pthread_mutex_unlock(&a->mutex);
}

static void done(struct hf_commit *commit, int status)
{
	struct entry *e = HF_CONTAINER_OF(commit, struct entry, commit);
	struct hf_audit *a = e->audit;
	if (status == HF_OK)
		tell(a, e);
	else
		note_lost(a, e->lost + 1);
	free_entry(e);
	atomic_fetch_sub(&a->queued_count, 1);
}

static struct entry *new_entry(struct hf_audit *a, const char *kind, struct hf_slice fields)
{
	struct entry *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->audit = a;
	e->at_ms = hf_env_wall_ms(a->env);
	for (size_t i = 0; kind[i] && i < KIND_BYTES_MAX; i++)
		e->kind[i] = kind[i];
	if (fields.length > HF_AUDIT_FIELDS_BYTES_MAX || hf_canonical(fields, &e->fields) < 0 ||
		!hf_canonical_is_object(hf_buffer_slice(&e->fields))) {
		free_entry(e);
		return NULL;
	}
	return e;
}

void hf_audit_write(struct hf_audit *a, const char *kind, struct hf_slice fields)
{
	if (!a)
		return;
	struct entry *e = atomic_load(&a->queued_count) < HF_AUDIT_QUEUE_COUNT_MAX ? new_entry(a, kind, fields) : NULL;
	if (!e) {
		note_lost(a, 1);
		return;
	}
	e->lost = atomic_exchange(&a->lost_count, 0);
	atomic_fetch_add(&a->queued_count, 1);
	e->commit = (struct hf_commit){.stage = stage, .done = done, .durability = HF_DURABLE_OS};
	hf_store_submit(a->store, &e->commit);
}

int hf_audit_open(struct hf_audit **out, struct hf_store *store, struct hf_env *env, struct hf_metrics *metrics)
{
	struct hf_audit *a = *out = calloc(1, sizeof *a);
	if (!a)
		return HF_ENOMEM;
	a->store = store;
	a->env = env;
	a->metrics = metrics;
	pthread_mutex_init(&a->mutex, NULL);
	hf_counter_register(metrics, &a->written, "holdfast_audit_records_total", "", "Records of the audit log");
	hf_counter_register(metrics, &a->lost, "holdfast_audit_lost_total", "", "Records of the audit log that could not be written");
	return HF_OK;
}

static int stage_nothing(void *context, struct hf_tx *tx) { return HF_OK; }

/* Commits end in order, so one more ends after all that are queued. */
void hf_audit_close(struct hf_audit *a)
{
	if (!a)
		return;
	hf_store_commit_wait(a->store, HF_DURABLE_DISK, stage_nothing, NULL);
	hf_metric_unregister(a->metrics, &a->written.link);
	hf_metric_unregister(a->metrics, &a->lost.link);
	pthread_mutex_destroy(&a->mutex);
	free(a);
}

/* ---- Reading ---- */

struct reading {
	int (*each)(void *context, uint64_t number, struct hf_slice record, const uint8_t hash[static 32]);
	void *context;
	struct hf_audit_check *check;
	uint64_t from, next;
	uint8_t hash[HF_SHA256_BYTES]; /* of the record before `next` */
	bool has_hash;
};

static void note_fault(struct reading *r, uint64_t number)
{
	if (r->check->is_sound)
		r->check->fault = number;
	r->check->is_sound = false;
}

static int take_record(void *context, uint64_t index, struct hf_slice block)
{
	struct reading *r = context;
	uint8_t previous[HF_SHA256_BYTES];
	uint64_t number;
	if (r->check->count == 0)
		r->check->from = index;
	bool fits = hf_canonical_u64(block, "seq", &number) && number == index && hf_canonical_hex(block, "previous", previous, sizeof previous);
	bool follows = fits && (r->has_hash ? index == r->next && memcmp(previous, r->hash, sizeof previous) == 0 : true);
	if (!follows)
		note_fault(r, index);
	hf_sha256(r->hash, block);
	r->has_hash = true;
	r->next = index + 1;
	r->check->count++;
	return r->each && index >= r->from ? r->each(r->context, index, block, r->hash) : HF_OK;
}

/* The end as it was committed with the newest record. */
static int check_head(struct hf_store *store, struct reading *r)
{
	struct hf_buffer value = {0};
	int status = hf_store_table_get(store, HF_AUDIT_TABLE, HF_SLICE_LITERAL("head"), &value);
	bool fits = status == HF_OK ? value.length == HEAD_BYTES && hf_load_le64(value.data) == r->next &&
		memcmp(value.data + 8, r->hash, HF_SHA256_BYTES) == 0 : status == HF_ENOTFOUND && r->check->count == 0;
	if (!fits)
		note_fault(r, r->next);
	memcpy(r->check->head, r->hash, HF_SHA256_BYTES);
	hf_buffer_free(&value);
	return status == HF_ENOTFOUND ? HF_OK : status;
}

int hf_audit_read(struct hf_store *store, uint64_t from, int (*each)(void *context, uint64_t number, struct hf_slice record,
	const uint8_t hash[static 32]), void *context, struct hf_audit_check *check)
{
	struct reading reading = {.each = each, .context = context, .check = check, .from = from, .has_hash = true};
	uint64_t at = 0, length = 0;
	*check = (struct hf_audit_check){.is_sound = true};
	int r = hf_store_log_length(store, HF_AUDIT_LOG, &length);
	if (r == HF_ENOTFOUND)
		r = HF_OK;
	/* Older ones were forgotten: what the oldest that is left follows on is not known. */
	reading.has_hash = length <= HF_AUDIT_KEEP_COUNT;
	while (r == HF_OK && at < length) {
		r = hf_store_log_read(store, HF_AUDIT_LOG, &at, length, HF_READ_BLOCKING, take_record, &reading);
		if (r == HF_ECORRUPT) {
			note_fault(&reading, at++);
			r = HF_OK;
		} else if (r == HF_OK) {
			break;
		}
	}
	return r == HF_OK ? check_head(store, &reading) : r;
}

struct tail {
	int (*each)(void *context, uint64_t number, struct hf_slice record);
	void *context;
};

static int pass(void *context, uint64_t index, struct hf_slice block)
{
	const struct tail *tail = context;
	return tail->each(tail->context, index, block);
}

int hf_audit_tail(struct hf_store *store, uint64_t count, int (*each)(void *context, uint64_t number, struct hf_slice record),
	void *context)
{
	struct tail tail = {each, context};
	uint64_t length = 0;
	int r = hf_store_log_length(store, HF_AUDIT_LOG, &length);
	uint64_t at = length > count ? length - count : 0;
	if (r == HF_OK && at < length)
		r = hf_store_log_read(store, HF_AUDIT_LOG, &at, length, HF_READ_BLOCKING, pass, &tail);
	return r == HF_ENOTFOUND ? HF_OK : r;
}
