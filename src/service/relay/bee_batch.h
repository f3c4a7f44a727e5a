/* bee_batch: what a relay's bee gets next: read from the store, on a thread that may wait. (Private to service/relay/.) */
#ifndef HF_SERVICE_RELAY_BEE_BATCH_H
#define HF_SERVICE_RELAY_BEE_BATCH_H

#include "data/event/event.h"
#include "store/store.h"

#define HF_BEE_BATCH_ROWS_MAX 16384         /* no further event is begun past it */
#define HF_BEE_BATCH_BYTES_MAX (8u << 20)

/* Rows as bytes: key length le32, value length le32, key, value; and again. */
struct hf_bee_rows {
	struct hf_buffer bytes;
	size_t at, count; /* at: where the next one begins */
};
int hf_bee_rows_add(void *rows, struct hf_slice key, struct hf_slice value); /* for hf_relay_bee_rows */
/* The next, taken off; false at the end. Borrowed until the next add. */
bool hf_bee_rows_next(struct hf_bee_rows *rows, struct hf_slice *key, struct hf_slice *value);
void hf_bee_rows_clear(struct hf_bee_rows *rows);

struct hf_bee_batch {
	/* Asked. */
	struct hf_store *store;
	uint32_t collection;
	uint64_t from;              /* the bee is true up to this position */
	uint64_t now_s;
	uint32_t event_count_max;
	bool leaves_out_private;
	struct hf_buffer forget;    /* notes of removals that are in the bee: positions */
	/* Answered. */
	uint64_t to;                /* and with this batch, up to this one */
	bool is_complete;           /* there is nothing behind it that the snapshot had */
	struct hf_buffer notes;     /* positions of the notes of removals that were read */
	struct hf_buffer removed;   /* ids that are gone */
	struct hf_bee_rows rows;    /* of the events that came */
	uint32_t event_count;
	uint64_t doc_count;         /* of the relay, about */
	/* Scratch. */
	struct hf_buffer text, json;
};
/* Forgets what is to be forgotten, and reads. What was answered before is thrown away. HF_EIO, HF_ENOMEM, HF_ECLOSED. */
int hf_bee_batch_collect(struct hf_bee_batch *batch);
void hf_bee_batch_free(struct hf_bee_batch *batch);

#endif
