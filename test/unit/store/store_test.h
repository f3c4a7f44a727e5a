/* What the store's tests share: documents whose payload tells their own key, and a directory to work in. */
#ifndef HF_TEST_STORE_TEST_H
#define HF_TEST_STORE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/map.h"
#include "store/store.h"

#define TEST_TERMS 3
#define TEST_HEAD_BYTES (HF_STORE_ID_BYTES + 8 + 8 * TEST_TERMS)
#define TEST_KEY_LOGS 1000

/* A document is made from a number: id, rank and terms follow from it. */
struct test_doc {
	uint64_t number;
	uint64_t terms[TEST_TERMS];
	struct hf_doc_key key;
	uint8_t payload[TEST_HEAD_BYTES + 600];
	size_t length;
};

static inline void test_doc_make(struct test_doc *doc, uint64_t number)
{
	memset(doc, 0, sizeof *doc);
	doc->number = number;
	for (int i = 0; i < 4; i++)
		hf_store_be64(doc->key.id + 8 * i, hf_hash64(&number, sizeof number, 100 + (uint64_t)i));
	doc->key.rank = 1000000 + hf_hash64(&number, sizeof number, 7) % 5000;
	doc->terms[0] = 1 + number % 7;
	doc->terms[1] = 100 + number % 31;
	doc->terms[2] = 10000 + number;
	doc->key.terms = doc->terms;
	doc->key.term_count = TEST_TERMS;
	memcpy(doc->payload, doc->key.id, HF_STORE_ID_BYTES);
	hf_store_le64(doc->payload + HF_STORE_ID_BYTES, doc->key.rank);
	for (int i = 0; i < TEST_TERMS; i++)
		hf_store_le64(doc->payload + HF_STORE_ID_BYTES + 8 + 8 * i, doc->terms[i]);
	doc->length = TEST_HEAD_BYTES + hf_hash64(&number, sizeof number, 9) % 600;
	for (size_t i = TEST_HEAD_BYTES; i < doc->length; i++)
		doc->payload[i] = (uint8_t)(number + i);
}

static int test_describe(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
	struct hf_doc_key *key, uint64_t *terms)
{
	(void)context;
	(void)store;
	(void)collection;
	if (payload.length < TEST_HEAD_BYTES)
		return HF_EMALFORMED;
	memcpy(key->id, payload.data, HF_STORE_ID_BYTES);
	key->rank = hf_load_le64(payload.data + HF_STORE_ID_BYTES);
	for (int i = 0; i < TEST_TERMS; i++)
		terms[i] = hf_load_le64(payload.data + HF_STORE_ID_BYTES + 8 + 8 * i);
	key->terms = terms;
	key->term_count = TEST_TERMS;
	return HF_OK;
}

static inline struct hf_store_options test_options(struct hf_env *env, const char *directory)
{
	return (struct hf_store_options){
		.size = sizeof(struct hf_store_options), .directory = directory, .env = env, .schema = {.describe = test_describe},
	};
}

static inline void test_directory(char path[64])
{
	strcpy(path, "/tmp/hf-store-XXXXXX");
	assert_non_null(mkdtemp(path));
}

static inline void test_remove(const char *path)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf '%s'", path);
	assert_int_equal(system(command), 0);
}

/* ---- Commits that do one thing ---- */

struct test_change {
	uint32_t collection;
	uint64_t first, count; /* documents to put */
	bool remove;
};

static inline int test_stage(void *context, struct hf_tx *tx)
{
	struct test_change *change = context;
	struct test_doc doc;
	int status = HF_OK;

	for (uint64_t i = 0; i < change->count && status == HF_OK; i++) {
		test_doc_make(&doc, change->first + i);
		if (change->remove)
			status = hf_tx_delete(tx, change->collection, doc.key.id);
		else
			status = hf_tx_put(tx, change->collection, &doc.key, &(struct iovec){doc.payload, doc.length}, 1, NULL);
	}
	return status;
}

static inline int test_put(struct hf_store *store, uint32_t collection, uint64_t first, uint64_t count)
{
	return hf_store_commit_wait(store, HF_DURABLE_DISK, test_stage, &(struct test_change){collection, first, count, false});
}

static inline int test_delete(struct hf_store *store, uint32_t collection, uint64_t first, uint64_t count)
{
	return hf_store_commit_wait(store, HF_DURABLE_DISK, test_stage, &(struct test_change){collection, first, count, true});
}

/* HF_OK when the document is there, byte for byte. */
static inline int test_get(struct hf_snapshot *snapshot, uint32_t collection, uint64_t number)
{
	struct hf_buffer scratch = {0};
	struct test_doc doc;
	struct hf_doc found;
	int status;

	test_doc_make(&doc, number);
	status = hf_snapshot_get(snapshot, collection, doc.key.id, HF_READ_BLOCKING, &scratch, &found);
	if (status == HF_OK) {
		assert_true(hf_slice_equal(found.payload, hf_slice(doc.payload, doc.length)));
		assert_int_equal(found.rank, doc.key.rank);
	}
	hf_buffer_free(&scratch);
	return status;
}

/* Counts what a query gives, checking the order. */
static inline uint64_t test_query(struct hf_snapshot *snapshot, uint32_t collection, uint64_t term)
{
	struct hf_query query = {.collection = collection, .rank_max = UINT64_MAX};
	struct hf_buffer scratch = {0};
	struct hf_cursor *cursor;
	struct hf_doc doc;
	uint64_t count = 0, rank = UINT64_MAX;
	int status;

	if (term != 0) {
		query.clause_count = 1;
		query.clauses[0] = (struct hf_clause){&term, 1};
	}
	assert_int_equal(hf_cursor_open(&cursor, snapshot, &query, HF_READ_BLOCKING), HF_OK);
	while ((status = hf_cursor_next(cursor, &scratch, &doc)) == HF_OK) {
		assert_true(doc.rank <= rank);
		rank = doc.rank;
		count++;
	}
	assert_int_equal(status, HF_ENOTFOUND);
	hf_cursor_close(cursor);
	hf_buffer_free(&scratch);
	return count;
}

#endif
