/* documents: see documents.h. */
#include "documents.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"

#define HEAD_BYTES (HF_STORE_ID_BYTES + 8)
#define EVENTS_PER_SECOND 20

uint64_t hf_documents_mix(uint64_t n, uint64_t salt)
{
	return hf_hash64(&n, sizeof n, salt);
}

void hf_documents_id(uint64_t number, uint8_t id[static HF_STORE_ID_BYTES])
{
	for (uint64_t i = 0; i < 4; i++)
		hf_store_le64(id + 8 * i, hf_documents_mix(number, i + 1));
}

uint64_t hf_documents_rank(uint64_t number)
{
	return 1700000000 + number / EVENTS_PER_SECOND;
}

uint64_t hf_documents_author_kind(uint64_t author)
{
	return 3000000 + author * 10 + 1;
}

uint64_t hf_documents_e(uint64_t value)
{
	return ((uint64_t)4 << 32) + value % 500000;
}

uint64_t hf_documents_p(uint64_t person)
{
	return ((uint64_t)5 << 32) + person;
}

uint64_t hf_documents_kind(void)
{
	return 2000001;
}

static void document_key(uint64_t number, struct hf_doc_key *key, uint64_t terms[static 8])
{
	uint64_t author = hf_documents_mix(number, 9) % AUTHOR_COUNT, kind = number % 10 < 7 ? 1 : 7;

	hf_documents_id(number, key->id);
	key->rank = hf_documents_rank(number);
	key->terms = terms;
	key->term_count = 6 + number % 2;
	terms[0] = 1000000 + author;
	terms[1] = 2000000 + kind;
	terms[2] = 3000000 + author * 10 + kind;
	terms[3] = hf_documents_e(hf_documents_mix(number, 10));
	terms[4] = hf_documents_p(hf_documents_mix(number, 11) % AUTHOR_COUNT);
	terms[5] = ((uint64_t)6 << 32) + hf_documents_mix(number, 12) % 500000;
	terms[6] = ((uint64_t)7 << 32) + hf_documents_mix(number, 13) % 5000;
}

/* What follows the head: the same for all, but for where it starts. */
static uint8_t filling_table[DOCUMENT_BYTES + 256];

__attribute__((constructor)) static void fill_table(void)
{
	for (size_t i = 0; i < sizeof filling_table; i++)
		filling_table[i] = (uint8_t)(i * 7 + i / 256);
}

static const uint8_t *filling(uint64_t number)
{
	return filling_table + number % 256;
}

uint64_t hf_documents_number(struct hf_slice payload)
{
	uint8_t id[HF_STORE_ID_BYTES];

	if (payload.length != DOCUMENT_BYTES)
		return UINT64_MAX;
	uint64_t number = hf_load_le64(payload.data + HF_STORE_ID_BYTES);

	hf_documents_id(number, id);
	if (memcmp(payload.data, id, sizeof id) != 0 ||
	    memcmp(payload.data + HEAD_BYTES, filling(number), DOCUMENT_BYTES - HEAD_BYTES) != 0)
		return UINT64_MAX;
	return number;
}

/* ---- The store's questions ---- */

static int describe(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
	struct hf_doc_key *key, uint64_t *terms)
{
	if (payload.length != DOCUMENT_BYTES)
		return HF_EMALFORMED;
	document_key(hf_load_le64(payload.data + HF_STORE_ID_BYTES), key, terms);
	return HF_OK;
}

static int identify(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
	uint8_t id[static HF_STORE_ID_BYTES])
{
	if (payload.length != DOCUMENT_BYTES)
		return HF_EMALFORMED;
	memcpy(id, payload.data, HF_STORE_ID_BYTES);
	return HF_OK;
}

const struct hf_store_schema hf_documents_schema = {.describe = describe, .identify = identify};

/* ---- Changes ---- */

static int stage_put(struct hf_commit *commit, struct hf_tx *tx)
{
	uint64_t number = ((struct hf_change *)commit)->number, terms[8];
	struct hf_doc_key key;
	uint8_t head[HEAD_BYTES];

	document_key(number, &key, terms);
	memcpy(head, key.id, HF_STORE_ID_BYTES);
	hf_store_le64(head + HF_STORE_ID_BYTES, number);
	struct iovec slices[2] = {{head, sizeof head}, {(void *)filling(number), DOCUMENT_BYTES - sizeof head}};

	return hf_tx_put(tx, 0, &key, slices, 2, NULL);
}

static int stage_delete(struct hf_commit *commit, struct hf_tx *tx)
{
	uint8_t id[HF_STORE_ID_BYTES];

	hf_documents_id(((struct hf_change *)commit)->number, id);
	return hf_tx_delete(tx, 0, id);
}

static int stage_block(struct hf_commit *commit, struct hf_tx *tx)
{
	struct hf_change *change = (struct hf_change *)commit;
	struct iovec slice = {(void *)filling(change->number), BLOCK_BYTES};

	return hf_tx_log_append(tx, change->number % change->batch->log_count, &slice, 1, NULL);
}

static void change_done(struct hf_commit *commit, int status)
{
	hf_group_done(&((struct hf_change *)commit)->batch->group, status);
}

struct hf_batch *hf_batch_new(uint64_t log_count)
{
	struct hf_batch *batch = calloc(1, sizeof *batch);

	if (batch == NULL)
		abort();
	hf_group_init(&batch->group);
	batch->log_count = log_count;
	return batch;
}

void hf_batch_free(struct hf_batch *batch)
{
	free(batch);
}

static void add(struct hf_batch *batch, int (*stage)(struct hf_commit *commit, struct hf_tx *tx), uint64_t number)
{
	struct hf_change *change = &batch->changes[batch->count++];

	*change = (struct hf_change){.commit = {.stage = stage, .done = change_done, .durability = HF_DURABLE_DISK},
		.batch = batch, .number = number};
	if (batch->count > 1)
		change[-1].commit.next = &change->commit;
}

void hf_batch_put(struct hf_batch *batch, uint64_t number)
{
	add(batch, stage_put, number);
}

void hf_batch_delete(struct hf_batch *batch, uint64_t number)
{
	add(batch, stage_delete, number);
}

void hf_batch_append(struct hf_batch *batch, uint64_t number)
{
	add(batch, stage_block, number);
}

void hf_batch_run(struct hf_batch *batch, struct hf_store *store)
{
	unsigned count = batch->count;
	int status;

	if (count == 0)
		return;
	batch->count = 0;
	status = hf_group_run(&batch->group, store, &batch->changes[0].commit, &batch->changes[count - 1].commit, count);
	if (status != HF_OK) {
		fprintf(stderr, "bench/store: a commit failed: %s\n", hf_error_text(status));
		exit(1);
	}
}
