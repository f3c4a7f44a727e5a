/* replication_json: the messages of hypercore/alpha as the vectors show them. */
#ifndef TEST_UNIT_WIRE_REPLICATION_JSON_H
#define TEST_UNIT_WIRE_REPLICATION_JSON_H

#include "support/vectors.h"
#include "wire/replication.h"

static inline json_t *json_hex(struct hf_slice bytes)
{
	struct hf_buffer text = {0};

	hf_buffer_append(&text, "", 0);
	for (size_t i = 0; i < bytes.length; i++)
		hf_buffer_printf(&text, "%02x", bytes.data[i]);
	json_t *result = json_stringn(text.length > 0 ? (const char *)text.data : "", text.length);

	hf_buffer_free(&text);
	return result;
}

static inline json_t *json_nodes(const struct hf_node_list *list)
{
	struct hf_compact_reader at = hf_compact_reader(list->encoded);
	json_t *array = json_array();
	struct hf_tree_node node;

	while (hf_node_list_next(&at, &node))
		json_array_append_new(array, json_pack("{s:I, s:I, s:o}", "index", (json_int_t)node.index, "size", (json_int_t)node.size,
			"hash", json_hex(hf_slice(node.hash, sizeof node.hash))));
	return array;
}

static inline json_t *json_pair(bool is_there, const char *a, uint64_t x, const char *b, uint64_t y)
{
	return is_there ? json_pack("{s:I, s:I}", a, (json_int_t)x, b, (json_int_t)y) : json_null();
}

static inline json_t *json_request(const struct hf_replication_request *m)
{
	const struct hf_proof_request *p = &m->proof;

	return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:b, s:I}", "id", (json_int_t)m->id, "fork", (json_int_t)m->fork,
		"block", json_pair(p->has_block, "index", p->block.index, "nodes", p->block.nodes),
		"hash", json_pair(p->has_hash, "index", p->hash.index, "nodes", p->hash.nodes),
		"seek", json_pair(p->has_seek, "bytes", p->seek.bytes, "padding", p->seek.padding),
		"upgrade", json_pair(p->has_upgrade, "start", p->upgrade.start, "length", p->upgrade.length),
		"manifest", p->wants_manifest, "priority", (json_int_t)m->priority);
}

/* Without the manifest, which the vectors show decoded. */
static inline json_t *json_data(const struct hf_replication_data *m)
{
	const struct hf_proof *p = &m->proof;
	json_t *block = json_null(), *hash = json_null(), *seek = json_null(), *upgrade = json_null();

	if (p->has_block)
		block = json_pack("{s:I, s:o, s:o}", "index", (json_int_t)p->block.index, "value", json_hex(p->block.value), "nodes",
			json_nodes(&p->block.nodes));
	if (p->has_hash)
		hash = json_pack("{s:I, s:o}", "index", (json_int_t)p->hash.index, "nodes", json_nodes(&p->hash.nodes));
	if (p->has_seek)
		seek = json_pack("{s:I, s:o}", "bytes", (json_int_t)p->seek.bytes, "nodes", json_nodes(&p->seek.nodes));
	if (p->has_upgrade)
		upgrade = json_pack("{s:I, s:I, s:o, s:o, s:o}", "start", (json_int_t)p->upgrade.start, "length",
			(json_int_t)p->upgrade.length, "nodes", json_nodes(&p->upgrade.nodes), "additionalNodes",
			json_nodes(&p->upgrade.additional_nodes), "signature", json_hex(p->upgrade.signature));
	return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o}", "request", (json_int_t)m->request, "fork", (json_int_t)p->fork, "block", block,
		"hash", hash, "seek", seek, "upgrade", upgrade);
}

static inline json_t *json_bitfield(const struct hf_replication_bitfield *m)
{
	json_t *words = json_array();

	for (size_t i = 0; i < m->words.length; i += 4)
		json_array_append_new(words, json_integer(hf_load_le32(m->words.data + i)));
	return json_pack("{s:I, s:o}", "start", (json_int_t)m->start, "bitfield", words);
}

/* Any message of the channel: read once, written again by *out, and shown as JSON. */
#define REPLICATION_CASE(TYPE, name, shown) \
	case HF_REPLICATION_##TYPE: { \
		struct hf_replication_##name m; \
		*status = hf_replication_read_##name(body, &m); \
		if (*status != HF_OK) \
			return NULL; \
		hf_replication_write_##name(out, &m); \
		return shown; \
	}

static inline json_t *json_message(uint32_t type, struct hf_slice body, struct hf_compact_writer *out, int *status)
{
	switch (type) {
	REPLICATION_CASE(SYNC, sync, json_pack("{s:I, s:I, s:I, s:b, s:b, s:b, s:b, s:b}", "fork", (json_int_t)m.fork, "length",
		(json_int_t)m.length, "remoteLength", (json_int_t)m.remote_length, "canUpgrade", m.can_upgrade, "uploading",
		m.is_uploading, "downloading", m.is_downloading, "hasManifest", m.has_manifest, "allowPush", m.allows_push))
	REPLICATION_CASE(REQUEST, request, json_request(&m))
	REPLICATION_CASE(CANCEL, cancel, json_pack("{s:I}", "request", (json_int_t)m.request))
	REPLICATION_CASE(DATA, data, json_data(&m))
	REPLICATION_CASE(NO_DATA, no_data, json_pack("{s:I, s:I}", "request", (json_int_t)m.request, "reason", (json_int_t)m.reason))
	case HF_REPLICATION_UNWANT:
	REPLICATION_CASE(WANT, want, json_pack("{s:I, s:I, s:b}", "start", (json_int_t)m.start, "length", (json_int_t)m.length, "any", m.any))
	REPLICATION_CASE(BITFIELD, bitfield, json_bitfield(&m))
	REPLICATION_CASE(RANGE, range, json_pack("{s:b, s:I, s:I}", "drop", m.drop, "start", (json_int_t)m.start, "length", (json_int_t)m.length))
	REPLICATION_CASE(EXTENSION, extension, json_pack("{s:s%, s:o}", "name", (const char *)m.name.data, m.name.length, "message",
		json_hex(m.message)))
	default: *status = HF_EINVAL; return NULL;
	}
}

#endif
