#include "peer/dht_node_value.h"

#include "base/list.h"
#include "crypto/hash.h"
#include "peer/dht_node_private.h"
#include "wire/dht/record.h"

/* ---- Putting ---- */

static void hash_of(uint8_t out[static HF_DHT_ID_BYTES], struct hf_slice bytes)
{
	hf_blake2b(out, HF_DHT_ID_BYTES, (struct hf_slice){0}, bytes);
}

static int commit(struct hf_dht_query *query, const struct hf_dht_closest *to, struct hf_buffer *out)
{
	struct hf_dht_value *value = HF_CONTAINER_OF(query, struct hf_dht_value, query);
	struct hf_dht_mutable put = {.public_key = value->public_key, .seq = value->seq, .value = value->value, .signature = value->signature};

	(void)to;
	if (query->commit_command == HF_DHT_MUTABLE_PUT)
		return hf_dht_mutable_put_write(&put, out);
	return hf_buffer_append(out, value->value.data, value->value.length);
}

static void committed(struct hf_dht_query *query, const struct hf_dht_closest *to, int code, const struct hf_dht_reply *reply)
{
	struct hf_dht_value *value = HF_CONTAINER_OF(query, struct hf_dht_value, query);

	(void)to;
	value->stored_count += code == HF_OK;
	if (code == HF_EDENIED)
		value->value_error = reply->error;
}

static void put_done(struct hf_dht_query *query, int code)
{
	struct hf_dht_value *value = HF_CONTAINER_OF(query, struct hf_dht_value, query);

	value->done(value, code);
}

static int start(struct hf_dht_node *node, struct hf_dht_value *value, const uint8_t *target, enum hf_dht_command get,
	enum hf_dht_command put)
{
	struct hf_dht_query *query = &value->query;

	hf_buffer_clear(&value->found);
	value->has_found = false;
	value->found_seq = value->value_error = value->stored_count = 0;
	query->command = (uint8_t)get;
	query->only_closest = value->only_closest;
	query->start = value->start;
	query->start_count = value->start_count;
	memcpy(query->target, target, HF_DHT_ID_BYTES);
	if (get == HF_DHT_MUTABLE_GET) {
		query->has_value = true;
		query->value = hf_slice(value->seq_bytes, hf_compact_put_uint(value->seq_bytes, put == get ? value->seq : 0));
	}
	if (put != get) {
		query->commit = commit;
		query->commit_command = (uint8_t)put;
		query->committed = committed;
		query->done = put_done;
	}
	return hf_dht_query_start(node, query);
}

int hf_dht_mutable_put(struct hf_dht_node *node, struct hf_dht_value *value)
{
	uint8_t signable[HF_DHT_SIGNABLE_BYTES], target[HF_DHT_ID_BYTES];

	if (value->value.length > HF_DHT_VALUE_BYTES_MAX)
		return HF_ETOOBIG;
	if (!value->secret_key || value->seq > HF_COMPACT_UINT_MAX)
		return HF_EINVAL;
	memcpy(value->public_key, hf_sign_public_key(value->secret_key), sizeof value->public_key);
	hf_dht_mutable_signable(signable, value->seq, value->value);
	hf_sign(value->signature, hf_slice(signable, sizeof signable), value->secret_key);
	hash_of(target, hf_slice(value->public_key, sizeof value->public_key));
	value->query = (struct hf_dht_query){.run = NULL};
	return start(node, value, target, HF_DHT_MUTABLE_GET, HF_DHT_MUTABLE_PUT);
}

int hf_dht_immutable_put(struct hf_dht_node *node, struct hf_dht_value *value)
{
	if (value->value.length > HF_DHT_VALUE_BYTES_MAX)
		return HF_ETOOBIG;
	hash_of(value->hash, value->value);
	value->query = (struct hf_dht_query){.run = NULL};
	return start(node, value, value->hash, HF_DHT_IMMUTABLE_GET, HF_DHT_IMMUTABLE_PUT);
}

/* ---- Getting ---- */

static void end_get(struct hf_dht_value *value)
{
	hf_dht_query_cancel(&value->query);
	value->done(value, HF_OK);
}

static void keep(struct hf_dht_value *value, struct hf_slice bytes, uint64_t seq)
{
	hf_buffer_clear(&value->found);
	if (hf_buffer_append(&value->found, bytes.data, bytes.length) < 0)
		return;
	value->found_seq = seq;
	value->has_found = true;
}

static void mutable_came(struct hf_dht_query *query, const struct hf_dht_reply *reply)
{
	struct hf_dht_value *value = HF_CONTAINER_OF(query, struct hf_dht_value, query);
	uint8_t signable[HF_DHT_SIGNABLE_BYTES];
	struct hf_dht_mutable found;

	if (!reply->has_value || hf_dht_mutable_read(reply->value, &found) < 0 || found.seq < value->seq ||
		(value->has_found && found.seq <= value->found_seq))
		return;
	hf_dht_mutable_signable(signable, found.seq, found.value);
	if (hf_verify(found.signature, hf_slice(signable, sizeof signable), value->public_key) < 0)
		return;
	keep(value, found.value, found.seq);
	memcpy(value->signature, found.signature, sizeof value->signature);
	if (value->first && value->has_found)
		end_get(value);
}

static void immutable_came(struct hf_dht_query *query, const struct hf_dht_reply *reply)
{
	struct hf_dht_value *value = HF_CONTAINER_OF(query, struct hf_dht_value, query);
	uint8_t hash[HF_DHT_ID_BYTES];

	if (!reply->has_value)
		return;
	hash_of(hash, reply->value);
	if (memcmp(hash, value->hash, sizeof hash) != 0)
		return;
	keep(value, reply->value, 0);
	if (value->has_found)
		end_get(value);
}

static void get_done(struct hf_dht_query *query, int code)
{
	struct hf_dht_value *value = HF_CONTAINER_OF(query, struct hf_dht_value, query);

	value->done(value, code == HF_OK && !value->has_found ? HF_ENOTFOUND : code);
}

int hf_dht_mutable_get(struct hf_dht_node *node, struct hf_dht_value *value)
{
	uint8_t target[HF_DHT_ID_BYTES];

	if (value->seq > HF_COMPACT_UINT_MAX)
		return HF_EINVAL;
	hash_of(target, hf_slice(value->public_key, sizeof value->public_key));
	value->query = (struct hf_dht_query){.reply = mutable_came, .done = get_done};
	return start(node, value, target, HF_DHT_MUTABLE_GET, HF_DHT_MUTABLE_GET);
}

int hf_dht_immutable_get(struct hf_dht_node *node, struct hf_dht_value *value)
{
	value->query = (struct hf_dht_query){.reply = immutable_came, .done = get_done};
	return start(node, value, value->hash, HF_DHT_IMMUTABLE_GET, HF_DHT_IMMUTABLE_GET);
}

void hf_dht_value_free(struct hf_dht_value *value)
{
	hf_dht_query_cancel(&value->query);
	hf_buffer_free(&value->found);
}
