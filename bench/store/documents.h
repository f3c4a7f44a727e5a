/* documents: what bench/store fills a store with. Synthetic events of 570 bytes with 6 or 7 terms; everything about
 * number n follows from n, so that every read can be judged. */
#ifndef HF_BENCH_DOCUMENTS_H
#define HF_BENCH_DOCUMENTS_H

#include "../group.h"

#define DOCUMENT_BYTES 570
#define BLOCK_BYTES 100
#define BATCH_MAX 1000
#define AUTHOR_COUNT 20000u

extern const struct hf_store_schema hf_documents_schema;

uint64_t hf_documents_mix(uint64_t n, uint64_t salt);
void hf_documents_id(uint64_t number, uint8_t id[static HF_STORE_ID_BYTES]);
uint64_t hf_documents_rank(uint64_t number);
/* Terms that queries ask for. */
uint64_t hf_documents_author_kind(uint64_t author);
uint64_t hf_documents_e(uint64_t value);
uint64_t hf_documents_p(uint64_t person);
uint64_t hf_documents_kind(void);
/* The number of a payload; UINT64_MAX when a single byte of it is not as it was written. */
uint64_t hf_documents_number(struct hf_slice payload);

struct hf_batch;
struct hf_change {
	struct hf_commit commit; /* first */
	struct hf_batch *batch;
	uint64_t number;
};
/* Up to BATCH_MAX changes, one group. */
struct hf_batch {
	struct hf_group group;
	uint64_t log_count; /* for blocks: number n goes to log n % log_count */
	unsigned count;
	struct hf_change changes[BATCH_MAX];
};

struct hf_batch *hf_batch_new(uint64_t log_count);
void hf_batch_free(struct hf_batch *batch);
void hf_batch_put(struct hf_batch *batch, uint64_t number);
void hf_batch_delete(struct hf_batch *batch, uint64_t number);
void hf_batch_append(struct hf_batch *batch, uint64_t number);
/* Commits what was added, durable on disk, and empties the batch. Ends the program when a commit fails. */
void hf_batch_run(struct hf_batch *batch, struct hf_store *store);

#endif
