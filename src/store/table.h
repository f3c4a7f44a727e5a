/* table: the small ordered maps, wholly in memory. (Private to store/.)
 *
 * All tables of a store are one skip list ordered by (table, key), under one read-write lock. The state is what the log's
 * table records say; a snapshot file spares the next open from reading them all.
 *
 * Directory `table/`, file "<number in 8 hex digits>.tbl":
 *   "HFTBL\0\0\1" (8), store uuid (16), position le64: every table record below it is in the file; entry count le64; then
 *   for each entry, in order: table le32, key length le16, zero le16, value length le32, key, value; crc32c le32 of all before it.
 */
#ifndef HF_STORE_TABLE_H
#define HF_STORE_TABLE_H

#include <pthread.h>

#include "store/store.h"

#define HF_TABLE_LEVELS_MAX 20

struct hf_table_node;
struct hf_tables {
	pthread_rwlock_t lock;
	struct hf_table_node *head[HF_TABLE_LEVELS_MAX];
	uint64_t random;
	size_t count;
	uint64_t bytes;    /* keys and values */
	uint64_t position; /* table records below it are applied */
};

int hf_tables_init(struct hf_tables *tables);
void hf_tables_free(struct hf_tables *tables);
/* Without the lock's help: the caller is the only one who changes, and these take it for writing. */
int hf_tables_put(struct hf_tables *tables, uint32_t table, struct hf_slice key, struct hf_slice value);
void hf_tables_delete(struct hf_tables *tables, uint32_t table, struct hf_slice key);
/* value is appended to *value, which may be NULL. HF_ENOTFOUND, HF_ENOMEM. */
int hf_tables_get(struct hf_tables *tables, uint32_t table, struct hf_slice key, struct hf_buffer *value);
int hf_tables_scan(struct hf_tables *tables, uint32_t table, struct hf_slice from,
	int (*each)(void *context, struct hf_slice key, struct hf_slice value), void *context);
/* As scan, over all tables. */
int hf_tables_each(struct hf_tables *tables,
	int (*each)(void *context, uint32_t table, struct hf_slice key, struct hf_slice value), void *context);

/* Appends the whole file to *out. */
int hf_tables_encode(struct hf_tables *tables, const uint8_t uuid[static 16], uint64_t *position, struct hf_buffer *out);
/* Into empty tables. HF_ECORRUPT, HF_ENOMEM. */
int hf_tables_decode(struct hf_tables *tables, const uint8_t uuid[static 16], struct hf_slice file);

#endif
