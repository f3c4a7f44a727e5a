/* state_store: the state in the gateway's own store, one table. The table's key is the space's letter and the key; "#" is the newest
 * revision. Conditions are looked at where changes are made, on the store's writer. */
#include "service/gateway/state_private.h"

#include "base/list.h"

#define HEAD_BYTES 16 /* le64 revision, le64 end */
#define KEY_BYTES_MAX (1 + HF_STATE_KEY_BYTES_MAX)

static struct hf_slice table_key(enum hf_state_space space, struct hf_slice key, uint8_t out[static KEY_BYTES_MAX])
{
	out[0] = (uint8_t)space;
	memcpy(out + 1, key.data, key.length);
	return hf_slice(out, key.length + 1);
}

static int next_revision(struct hf_tx *tx, uint64_t *revision)
{
	struct hf_buffer value = {0};
	uint8_t bytes[8];
	int r = hf_tx_table_get(tx, HF_STATE_TABLE, HF_SLICE_LITERAL("#"), &value);
	if (r < 0 && r != HF_ENOTFOUND)
		return r;
	*revision = (r == HF_OK && value.length == sizeof bytes ? hf_load_le64(value.data) : 0) + 1;
	hf_buffer_free(&value);
	hf_store_le64(bytes, *revision);
	return hf_tx_table_put(tx, HF_STATE_TABLE, HF_SLICE_LITERAL("#"), hf_slice(bytes, sizeof bytes));
}

/* Revision and end of what is there; 0 when there is nothing. */
static int look(struct hf_tx *tx, struct hf_slice key, uint64_t *revision, uint64_t *end_ms)
{
	struct hf_buffer value = {0};
	int r = hf_tx_table_get(tx, HF_STATE_TABLE, key, &value);
	*revision = r == HF_OK && value.length >= HEAD_BYTES ? hf_load_le64(value.data) : 0;
	*end_ms = *revision ? hf_load_le64(value.data + 8) : 0;
	hf_buffer_free(&value);
	return r == HF_ENOTFOUND ? HF_OK : r;
}

static int check_op(struct hf_tx *tx, const struct hf_state_change *c, const struct hf_state_op *op)
{
	uint8_t bytes[KEY_BYTES_MAX];
	uint64_t revision, end_ms;
	int r = look(tx, table_key(op->space, op->key, bytes), &revision, &end_ms);
	bool is_there = revision != 0 && (end_ms == 0 || end_ms > c->now_ms);
	if (r < 0)
		return r;
	if (op->kind == HF_STATE_PUT_NEW)
		return is_there ? HF_EEXISTS : HF_OK;
	if (op->kind == HF_STATE_PUT_IF)
		return (is_there ? revision : 0) == op->revision ? HF_OK : HF_EBUSY;
	return op->kind != HF_STATE_DELETE_IF || revision == op->revision ? HF_OK : HF_EBUSY;
}

static int put(struct hf_tx *tx, struct hf_slice key, uint64_t revision, uint64_t end_ms, struct hf_slice value)
{
	struct hf_buffer text = {0};
	uint8_t head[HEAD_BYTES];
	hf_store_le64(head, revision);
	hf_store_le64(head + 8, end_ms);
	int r = hf_buffer_append(&text, head, sizeof head);
	if (r == HF_OK)
		r = hf_buffer_append(&text, value.data, value.length);
	if (r == HF_OK)
		r = hf_tx_table_put(tx, HF_STATE_TABLE, key, hf_buffer_slice(&text));
	hf_buffer_free(&text);
	return r;
}

static int make_op(struct hf_tx *tx, const struct hf_state_change *c, const struct hf_state_op *op)
{
	uint8_t bytes[KEY_BYTES_MAX];
	struct hf_slice key = table_key(op->space, op->key, bytes);
	if (op->kind <= HF_STATE_PUT_IF)
		return put(tx, key, c->revision, op->end_ms, op->value);
	int r = hf_tx_table_delete(tx, HF_STATE_TABLE, key);
	return r == HF_ENOTFOUND ? HF_OK : r;
}

/* A sequence's number is where others have their revision. */
static int stage_next(struct hf_tx *tx, struct hf_state_change *c)
{
	uint8_t bytes[KEY_BYTES_MAX];
	struct hf_slice key = table_key(HF_STATE_SEQUENCES, c->ops[0].key, bytes);
	uint64_t end_ms;
	int r = look(tx, key, &c->number, &end_ms);
	return r < 0 ? r : put(tx, key, ++c->number, 0, (struct hf_slice){0});
}

static int stage_change(struct hf_tx *tx, struct hf_state_change *c)
{
	int r = HF_OK;
	for (size_t i = 0; i < c->op_count && r == HF_OK; i++)
		r = check_op(tx, c, &c->ops[i]);
	if (r == HF_OK)
		r = next_revision(tx, &c->revision);
	for (size_t i = 0; i < c->op_count && r == HF_OK; i++)
		r = make_op(tx, c, &c->ops[i]);
	return r;
}

/* HF_EBUSY of a stage means something to the store, so ours is kept back from it. */
static int stage(struct hf_commit *commit, struct hf_tx *tx)
{
	struct hf_state_change *c = HF_CONTAINER_OF(commit, struct hf_state_change, commit);
	c->status = c->is_next ? stage_next(tx, c) : stage_change(tx, c);
	return c->status == HF_EBUSY ? HF_ECANCELED : c->status;
}

static void committed(struct hf_commit *commit, int status)
{
	struct hf_state_change *c = HF_CONTAINER_OF(commit, struct hf_state_change, commit);
	if (c->status == HF_OK)
		c->status = status;
	hf_state_return(c);
}

static void submit(struct hf_state *s, struct hf_state_change *c)
{
	c->commit = (struct hf_commit){.stage = stage, .done = committed, .durability = HF_DURABLE_DISK};
	hf_store_submit(s->store, &c->commit);
}

/* ---- At the start ---- */

struct asked_secret {
	struct hf_slice key;
	uint8_t bytes[32];
};

static int stage_secret(void *context, struct hf_tx *tx)
{
	struct asked_secret *asked = context;
	struct hf_buffer value = {0};
	int r = hf_tx_table_get(tx, HF_STATE_TABLE, asked->key, &value);
	if (r == HF_OK && value.length == HEAD_BYTES + sizeof asked->bytes)
		memcpy(asked->bytes, value.data + HEAD_BYTES, sizeof asked->bytes);
	else if (r == HF_ENOTFOUND)
		r = put(tx, asked->key, 1, 0, hf_slice(asked->bytes, sizeof asked->bytes));
	else if (r == HF_OK)
		r = HF_ECORRUPT;
	hf_buffer_free(&value);
	return r;
}

static int secret(struct hf_state *s, const char *name, uint8_t out[static 32], struct hf_failure *failure)
{
	uint8_t bytes[KEY_BYTES_MAX];
	struct asked_secret asked = {.key = table_key(HF_STATE_SECRETS, hf_slice_text(name), bytes)};
	s->env->random(s->env, asked.bytes, sizeof asked.bytes);
	int r = hf_store_commit_wait(s->store, HF_DURABLE_DISK, stage_secret, &asked);
	memcpy(out, asked.bytes, sizeof asked.bytes);
	return r < 0 ? hf_fail(failure, r, "The secret %s cannot be kept in the store: %s.", name, hf_error_text(r)) : HF_OK;
}

static int load_one(void *context, struct hf_slice key, struct hf_slice value)
{
	struct hf_state *s = context;
	enum hf_state_space space = key.length > 1 ? (enum hf_state_space)key.data[0] : 0;
	if (hf_state_space_index(space) < 0 || value.length < HEAD_BYTES || space == HF_STATE_SEQUENCES || space == HF_STATE_SECRETS)
		return HF_OK;
	return hf_state_apply(s, space, hf_slice(key.data + 1, key.length - 1), hf_slice(value.data + HEAD_BYTES, value.length - HEAD_BYTES),
		hf_load_le64(value.data), hf_load_le64(value.data + 8));
}

static const struct hf_state_place place = {.submit = submit, .secret = secret};

int hf_state_store_open(struct hf_state *s, struct hf_failure *failure)
{
	s->place = &place;
	s->is_connected = true;
	int r = hf_store_table_scan(s->store, HF_STATE_TABLE, (struct hf_slice){0}, load_one, s);
	return r < 0 ? hf_fail(failure, r, "Registrations cannot be read from the store: %s.", hf_error_text(r)) : HF_OK;
}
