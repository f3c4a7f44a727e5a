/* A skip list: nodes hold their key, and their value apart so that replacing it moves nothing. */
#include "store/table.h"

#include <stdlib.h>

#include "base/crc32c.h"

#define FILE_HEADER_BYTES 40
#define ENTRY_HEADER_BYTES 12

static const uint8_t magic[8] = {'H', 'F', 'T', 'B', 'L', 0, 0, 1};

struct hf_table_node {
	uint32_t table;
	uint16_t key_bytes;
	uint8_t levels;
	uint32_t value_bytes;
	uint8_t *value;
	uint8_t *key;
	struct hf_table_node *next[];
};

int hf_tables_init(struct hf_tables *tables)
{
	memset(tables, 0, sizeof *tables);
	tables->random = 0x9e3779b97f4a7c15u;
	return pthread_rwlock_init(&tables->lock, NULL) == 0 ? HF_OK : HF_ENOMEM;
}

static void node_free(struct hf_table_node *node)
{
	free(node->value);
	free(node);
}

void hf_tables_free(struct hf_tables *tables)
{
	struct hf_table_node *node = tables->head[0];

	while (node != NULL) {
		struct hf_table_node *next = node->next[0];

		node_free(node);
		node = next;
	}
	pthread_rwlock_destroy(&tables->lock);
	memset(tables, 0, sizeof *tables);
}

static int node_compare(const struct hf_table_node *node, uint32_t table, struct hf_slice key)
{
	if (node->table != table)
		return node->table < table ? -1 : 1;
	return hf_slice_compare(hf_slice(node->key, node->key_bytes), key);
}

/* The first node at or after (table, key). places, when given, gets the links that lead there, one a level. */
static struct hf_table_node *seek(struct hf_tables *tables, uint32_t table, struct hf_slice key, struct hf_table_node ***places)
{
	struct hf_table_node **links = tables->head;

	for (int level = HF_TABLE_LEVELS_MAX - 1; level >= 0; level--) {
		while (links[level] != NULL && node_compare(links[level], table, key) < 0)
			links = links[level]->next;
		if (places != NULL)
			places[level] = &links[level];
	}
	return links[0];
}

static int random_levels(struct hf_tables *tables)
{
	int levels = 1;

	tables->random ^= tables->random << 13;
	tables->random ^= tables->random >> 7;
	tables->random ^= tables->random << 17;
	for (uint64_t bits = tables->random; levels < HF_TABLE_LEVELS_MAX && (bits & 3) == 0; bits >>= 2)
		levels++;
	return levels;
}

static struct hf_table_node *node_new(struct hf_tables *tables, uint32_t table, struct hf_slice key)
{
	int levels = random_levels(tables);
	size_t links = sizeof(struct hf_table_node *) * (size_t)levels;
	struct hf_table_node *node = malloc(sizeof *node + links + key.length);

	if (node == NULL)
		return NULL;
	*node = (struct hf_table_node){.table = table, .key_bytes = (uint16_t)key.length, .levels = (uint8_t)levels};
	node->key = (uint8_t *)node + sizeof *node + links;
	if (key.length > 0)
		memcpy(node->key, key.data, key.length);
	return node;
}

static int put_locked(struct hf_tables *tables, uint32_t table, struct hf_slice key, struct hf_slice value)
{
	struct hf_table_node **places[HF_TABLE_LEVELS_MAX];
	struct hf_table_node *node = seek(tables, table, key, places);
	uint8_t *copy = malloc(value.length + 1);

	if (copy == NULL)
		return HF_ENOMEM;
	if (value.length > 0)
		memcpy(copy, value.data, value.length);
	if (node == NULL || node_compare(node, table, key) != 0) {
		node = node_new(tables, table, key);
		if (node == NULL) {
			free(copy);
			return HF_ENOMEM;
		}
		for (int level = 0; level < node->levels; level++) {
			node->next[level] = *places[level];
			*places[level] = node;
		}
		tables->count++;
		tables->bytes += key.length;
	}
	tables->bytes += value.length;
	tables->bytes -= node->value_bytes;
	free(node->value);
	node->value = copy;
	node->value_bytes = (uint32_t)value.length;
	return HF_OK;
}

int hf_tables_put(struct hf_tables *tables, uint32_t table, struct hf_slice key, struct hf_slice value)
{
	pthread_rwlock_wrlock(&tables->lock);
	int status = put_locked(tables, table, key, value);

	pthread_rwlock_unlock(&tables->lock);
	return status;
}

void hf_tables_delete(struct hf_tables *tables, uint32_t table, struct hf_slice key)
{
	struct hf_table_node **places[HF_TABLE_LEVELS_MAX];

	pthread_rwlock_wrlock(&tables->lock);
	struct hf_table_node *node = seek(tables, table, key, places);

	if (node != NULL && node_compare(node, table, key) == 0) {
		for (int level = 0; level < node->levels; level++)
			*places[level] = node->next[level];
		tables->count--;
		tables->bytes -= (uint64_t)node->key_bytes + node->value_bytes;
		node_free(node);
	}
	pthread_rwlock_unlock(&tables->lock);
}

int hf_tables_get(struct hf_tables *tables, uint32_t table, struct hf_slice key, struct hf_buffer *value)
{
	int status = HF_ENOTFOUND;

	pthread_rwlock_rdlock(&tables->lock);
	struct hf_table_node *node = seek(tables, table, key, NULL);

	if (node != NULL && node_compare(node, table, key) == 0)
		status = value == NULL ? HF_OK : hf_buffer_append(value, node->value, node->value_bytes);
	pthread_rwlock_unlock(&tables->lock);
	return status;
}

int hf_tables_scan(struct hf_tables *tables, uint32_t table, struct hf_slice from,
	int (*each)(void *context, struct hf_slice key, struct hf_slice value), void *context)
{
	int status = 0;

	pthread_rwlock_rdlock(&tables->lock);
	struct hf_table_node *node = seek(tables, table, from, NULL);

	for (; status == 0 && node != NULL && node->table == table; node = node->next[0])
		status = each(context, hf_slice(node->key, node->key_bytes), hf_slice(node->value, node->value_bytes));
	pthread_rwlock_unlock(&tables->lock);
	return status;
}

int hf_tables_each(struct hf_tables *tables,
	int (*each)(void *context, uint32_t table, struct hf_slice key, struct hf_slice value), void *context)
{
	int status = 0;

	pthread_rwlock_rdlock(&tables->lock);
	for (struct hf_table_node *node = tables->head[0]; status == 0 && node != NULL; node = node->next[0])
		status = each(context, node->table, hf_slice(node->key, node->key_bytes), hf_slice(node->value, node->value_bytes));
	pthread_rwlock_unlock(&tables->lock);
	return status;
}

/* ---- The snapshot file ---- */

static int encode_node(const struct hf_table_node *node, struct hf_buffer *out)
{
	uint8_t header[ENTRY_HEADER_BYTES];
	int status;

	hf_store_le32(header, node->table);
	hf_store_le16(header + 4, node->key_bytes);
	hf_store_le16(header + 6, 0);
	hf_store_le32(header + 8, node->value_bytes);
	status = hf_buffer_append(out, header, sizeof header);
	if (status == HF_OK)
		status = hf_buffer_append(out, node->key, node->key_bytes);
	if (status == HF_OK)
		status = hf_buffer_append(out, node->value, node->value_bytes);
	return status;
}

int hf_tables_encode(struct hf_tables *tables, const uint8_t uuid[static 16], uint64_t *position, struct hf_buffer *out)
{
	uint8_t header[FILE_HEADER_BYTES], sum[4];
	size_t start = out->length;
	int status;

	pthread_rwlock_rdlock(&tables->lock);
	*position = tables->position;
	memcpy(header, magic, sizeof magic);
	memcpy(header + 8, uuid, 16);
	hf_store_le64(header + 24, tables->position);
	hf_store_le64(header + 32, tables->count);
	status = hf_buffer_append(out, header, sizeof header);
	for (struct hf_table_node *node = tables->head[0]; status == HF_OK && node != NULL; node = node->next[0])
		status = encode_node(node, out);
	pthread_rwlock_unlock(&tables->lock);
	if (status != HF_OK)
		return status;
	hf_store_le32(sum, hf_crc32c(0, out->data + start, out->length - start));
	return hf_buffer_append(out, sum, sizeof sum);
}

int hf_tables_decode(struct hf_tables *tables, const uint8_t uuid[static 16], struct hf_slice file)
{
	if (file.length < FILE_HEADER_BYTES + 4 || memcmp(file.data, magic, sizeof magic) != 0 || memcmp(file.data + 8, uuid, 16) != 0)
		return HF_ECORRUPT;
	const uint8_t *at = file.data + FILE_HEADER_BYTES, *end = file.data + file.length - 4;

	if (hf_load_le32(end) != hf_crc32c(0, file.data, file.length - 4))
		return HF_ECORRUPT;
	tables->position = hf_load_le64(file.data + 24);
	for (uint64_t count = hf_load_le64(file.data + 32); count > 0; count--) {
		if ((size_t)(end - at) < ENTRY_HEADER_BYTES)
			return HF_ECORRUPT;
		uint32_t table = hf_load_le32(at);
		size_t key_bytes = hf_load_le16(at + 4), value_bytes = hf_load_le32(at + 8);

		at += ENTRY_HEADER_BYTES;
		if (key_bytes > HF_STORE_TABLE_KEY_BYTES_MAX || (size_t)(end - at) < key_bytes || (size_t)(end - at) - key_bytes < value_bytes)
			return HF_ECORRUPT;
		int status = hf_tables_put(tables, table, hf_slice(at, key_bytes), hf_slice(at + key_bytes, value_bytes));

		if (status != HF_OK)
			return status;
		at += key_bytes + value_bytes;
	}
	return at == end ? HF_OK : HF_ECORRUPT;
}
