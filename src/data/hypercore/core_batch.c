/* A batch gathers operations with their bytes until it is submitted as one commit; then its head, the pages of loose nodes that it
 * changed and its signature are added. The writer only walks the operations, in order. What came back is taken over by the core
 * in hf_batch_deliver, in order of submission. */
#include "data/hypercore/core_private.h"

#include <stdlib.h>

static void free_pages(struct hf_batch *batch)
{
	struct hf_u64_slot *slot;
	size_t cursor = 0;

	while ((slot = hf_u64_map_next(&batch->pages, &cursor)) != NULL)
		free((void *)(uintptr_t)slot->value);
	hf_u64_map_free(&batch->pages);
}

/* The one that was used last. */
static void take_spare(struct hf_corestore *store, struct hf_buffer *data)
{
	if (store->spare_count == 0)
		return;
	*data = store->spares[--store->spare_count];
	store->spare_bytes -= data->capacity;
}

static void keep_spare(struct hf_corestore *store, struct hf_buffer *data)
{
	if (store->spare_count == HF_CORE_SPARE_COUNT || data->capacity > HF_CORE_SPARE_BYTES_MAX ||
		store->spare_bytes + data->capacity > HF_CORE_SPARES_BYTES_MAX || data->capacity == 0) {
		hf_buffer_free(data);
		return;
	}
	hf_buffer_clear(data);
	store->spare_bytes += data->capacity;
	store->spares[store->spare_count++] = *data;
	*data = (struct hf_buffer){.data = NULL};
}

int hf_core_chunk_new(struct hf_corestore *store, struct hf_core_chunk **out)
{
	struct hf_core_chunk *chunk = calloc(1, sizeof *chunk);

	*out = chunk;
	if (chunk == NULL)
		return HF_ENOMEM;
	chunk->store = store;
	chunk->references = 1;
	take_spare(store, &chunk->bytes);
	return HF_OK;
}

void hf_core_chunk_unref(struct hf_core_chunk *chunk)
{
	if (chunk == NULL || --chunk->references > 0)
		return;
	keep_spare(chunk->store, &chunk->bytes);
	free(chunk);
}

void hf_batch_free(struct hf_batch *batch)
{
	if (batch == NULL)
		return;
	free_pages(batch);
	hf_u64_map_free(&batch->block_ops);
	keep_spare(batch->core->store, &batch->data);
	for (size_t i = 0; i < batch->chunk_count; i++)
		hf_core_chunk_unref(batch->chunks[i]);
	free(batch->chunks);
	hf_buffer_free(&batch->signature);
	free(batch->ops);
	free(batch->dones);
	free(batch);
}

static size_t batch_bytes(const struct hf_batch *batch)
{
	return batch->data.length + batch->outside_bytes;
}

size_t hf_core_staged_bytes(const struct hf_core *core)
{
	return core->staged == NULL ? 0 : batch_bytes(core->staged);
}

size_t hf_core_uncommitted_bytes(const struct hf_core *core)
{
	return core->in_flight_bytes + hf_core_staged_bytes(core);
}

static int new_batch(struct hf_core *core, struct hf_batch **out)
{
	struct hf_batch *batch = calloc(1, sizeof *batch);

	if (batch == NULL)
		return HF_ENOMEM;
	batch->core = core;
	batch->cut = HF_CORE_NO_CUT;
	take_spare(core->store, &batch->data);
	core->staged = *out = batch;
	return HF_OK;
}

int hf_core_stage(struct hf_core *core, struct hf_batch **out)
{
	if (core->is_frozen)
		return HF_EDENIED;
	if (core->has_failed || hf_core_staged_bytes(core) > HF_CORE_STAGED_BYTES_MAX)
		return HF_EBUSY;
	*out = core->staged;
	return core->staged == NULL ? new_batch(core, out) : HF_OK;
}

/* The last thing of adding one that can fail. */
static int add_op(struct hf_batch *batch, const struct hf_batch_op *op)
{
	int status = hf_array_reserve(&batch->ops, &batch->op_capacity, batch->op_count + 1, sizeof *batch->ops);

	if (status == HF_OK && op->kind == HF_BATCH_PUT && op->log == HF_LAYOUT_BLOCKS) {
		uint64_t *place = hf_u64_map_put(&batch->block_ops, op->index);

		if (place == NULL)
			return HF_ENOMEM;
		*place = batch->op_count + 1;
	}
	if (status == HF_OK)
		batch->ops[batch->op_count++] = *op;
	return status;
}

int hf_batch_add(struct hf_batch *batch, const struct hf_batch_op *op, const struct iovec *parts, int part_count)
{
	struct hf_batch_op added = *op;
	int status;

	added.offset = batch->data.length;
	added.length = 0;
	for (int i = 0; i < part_count; i++)
		added.length += parts[i].iov_len;
	status = hf_buffer_reserve(&batch->data, added.length);
	if (status == HF_OK)
		status = add_op(batch, &added);
	for (int i = 0; i < part_count && status == HF_OK; i++)
		if (parts[i].iov_len > 0)
			hf_buffer_append(&batch->data, parts[i].iov_base, parts[i].iov_len);
	return status;
}

int hf_batch_add_outside(struct hf_batch *batch, const struct hf_batch_op *op, struct hf_slice bytes, struct hf_core_chunk *chunk)
{
	bool is_new = batch->chunk_count == 0 || batch->chunks[batch->chunk_count - 1] != chunk;
	struct hf_batch_op added = *op;
	int status = hf_array_reserve(&batch->chunks, &batch->chunk_capacity, batch->chunk_count + 1, sizeof *batch->chunks);

	added.outside = bytes.data;
	added.length = bytes.length;
	if (status == HF_OK)
		status = add_op(batch, &added);
	if (status != HF_OK)
		return status;
	batch->outside_bytes += bytes.length;
	if (is_new) {
		chunk->references++;
		batch->chunks[batch->chunk_count++] = chunk;
	}
	return HF_OK;
}

struct hf_slice hf_batch_bytes(const struct hf_batch *batch, const struct hf_batch_op *op)
{
	if (op->length == 0)
		return hf_slice(NULL, 0);
	return hf_slice(op->outside != NULL ? op->outside : batch->data.data + op->offset, op->length);
}

struct hf_batch_mark hf_batch_mark(const struct hf_batch *batch)
{
	return (struct hf_batch_mark){batch->op_count, batch->data.length, batch->outside_bytes};
}

void hf_batch_take_back(struct hf_core *core, struct hf_batch *batch, struct hf_batch_mark mark)
{
	struct hf_u64_slot *slot;
	size_t cursor = 0;

	for (size_t i = mark.op_count; i < batch->op_count; i++)
		if (batch->ops[i].kind == HF_BATCH_PUT && batch->ops[i].log == HF_LAYOUT_BLOCKS)
			hf_u64_map_remove(&batch->block_ops, batch->ops[i].index);
	batch->op_count = mark.op_count;
	batch->data.length = mark.data_length;
	batch->outside_bytes = mark.outside_bytes;
	while ((slot = hf_u64_map_next(&batch->pages, &cursor)) != NULL)
		hf_layout_page_cut((struct hf_layout_page *)(uintptr_t)slot->value, core->tree.length);
}

/* ---- On the writer's thread ---- */

/* There is nothing to take away from a log that nothing was put into. */
static int unless_absent(int status)
{
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static int carry_out(struct hf_tx *tx, const struct hf_batch *batch, const struct hf_batch_op *op)
{
	static const char next[] = "next";
	const uint8_t *data = hf_batch_bytes(batch, op).data;
	uint64_t log = hf_layout_log(batch->core->number, op->log);
	struct hf_doc_key key = {.rank = batch->core->number};
	struct iovec body = {(void *)(uintptr_t)data, op->length};

	switch (op->kind) {
	case HF_BATCH_PUT: return hf_tx_log_put_shared(tx, log, op->index, hf_slice(data, op->length));
	case HF_BATCH_TRUNCATE: return unless_absent(hf_tx_log_truncate(tx, log, op->index));
	case HF_BATCH_CLEAR: return unless_absent(hf_tx_log_clear(tx, log, op->index, op->to));
	case HF_BATCH_DROP: return unless_absent(hf_tx_log_drop(tx, log));
	case HF_BATCH_TABLE: return hf_tx_table_put(tx, HF_LAYOUT_TABLE, hf_slice_text(next), hf_slice(data, op->length));
	case HF_BATCH_DOCUMENT:
		memcpy(key.id, data, sizeof key.id);
		body = (struct iovec){(void *)(uintptr_t)(data + sizeof key.id), op->length - sizeof key.id};
		return hf_tx_put(tx, op->log, &key, &body, 1, NULL);
	}
	return HF_EINVAL;
}

static int stage(struct hf_commit *commit, struct hf_tx *tx)
{
	struct hf_batch *first = (struct hf_batch *)commit, *batch;
	int status = HF_OK;

	for (batch = first; batch != NULL; batch = batch->together)
		if (batch->core->has_failed)
			status = HF_ECANCELED;
	for (batch = first; batch != NULL; batch = batch->together)
		for (size_t i = 0; i < batch->op_count && status == HF_OK; i++)
			status = carry_out(tx, batch, &batch->ops[i]);
	for (batch = first; batch != NULL && status != HF_OK; batch = batch->together)
		batch->core->has_failed = true;
	return status;
}

static void done(struct hf_commit *commit, int status)
{
	struct hf_batch *batch = (struct hf_batch *)commit, *next;
	struct hf_corestore *store = batch->core->store;

	pthread_mutex_lock(&store->mutex);
	for (; batch != NULL; batch = next) {
		next = batch->together;
		if (status != HF_OK)
			batch->core->has_failed = true;
		batch->status = status;
		batch->is_finished = true;
		/* Posted under the lock, so that who waits for it finds it in the mailbox. */
		hf_mailbox_post(&store->mailbox, &batch->mail.mail);
	}
	pthread_cond_broadcast(&store->finished);
	pthread_mutex_unlock(&store->mutex);
}

/* ---- Coming back ---- */

/* Whether the block that an operation puts has not been cleared, cut off or put again by a later one of its batch. */
static bool is_live(const struct hf_batch *batch, size_t op)
{
	const uint64_t *place = hf_u64_map_get(&batch->block_ops, batch->ops[op].index);

	return place != NULL && *place == op + 1;
}

static void emit_held(struct hf_core *core, const struct hf_batch *batch)
{
	uint64_t from = 0, to = 0;

	for (size_t i = 0; i < batch->op_count; i++) {
		const struct hf_batch_op *op = &batch->ops[i];

		if (op->kind == HF_BATCH_CLEAR && op->log == HF_LAYOUT_BLOCKS)
			hf_core_emit(core, HF_CORE_CLEARED, op->index, op->to);
		if (op->kind != HF_BATCH_PUT || op->log != HF_LAYOUT_BLOCKS || !is_live(batch, i))
			continue;
		if (op->index == to && to > from) {
			to++;
			continue;
		}
		if (to > from)
			hf_core_emit(core, HF_CORE_HELD, from, to);
		from = op->index;
		to = from + 1;
	}
	if (to > from)
		hf_core_emit(core, HF_CORE_HELD, from, to);
}

static void take_over(struct hf_core *core, struct hf_batch *batch)
{
	struct hf_buffer old_signature = core->committed_signature;
	uint64_t old_length = core->committed_tree.length;
	struct hf_u64_slot *slot;
	size_t cursor = 0;

	core->committed_signature = batch->signature;
	batch->signature = old_signature;
	hf_tree_copy(&core->committed_tree, &batch->tree);
	core->shelf_committed = batch->shelf_next;
	if (batch->cut != HF_CORE_NO_CUT)
		hf_core_forget_cached(core);
	else
		while ((slot = hf_u64_map_next(&batch->pages, &cursor)) != NULL)
			hf_core_cache_page(core, (const void *)(uintptr_t)slot->value);
	if (batch->manifest_changed)
		hf_core_emit(core, HF_CORE_MANIFEST, 0, 0);
	if (batch->cut != HF_CORE_NO_CUT) {
		hf_core_emit(core, HF_CORE_TRUNCATED, batch->cut, batch->old_length);
		old_length = batch->cut;
	}
	emit_held(core, batch);
	if (core->committed_tree.length > old_length)
		hf_core_emit(core, HF_CORE_GREW, old_length, core->committed_tree.length);
}

/* What is staged goes with it. Should it not work, the core is frozen as long as it is open. */
void hf_core_commit_frozen(struct hf_core *core, bool is_retry)
{
	struct hf_batch *batch = core->staged;

	if (core->has_failed || (batch == NULL && new_batch(core, &batch) != HF_OK))
		return;
	batch->head_changed = true;
	batch->is_retry = is_retry;
	hf_core_commit(core, HF_DURABLE_OS, NULL, NULL);
}

/* The last of the batches after a failure is back: memory is what the store has again. */
static void recover(struct hf_core *core, bool may_retry)
{
	bool was_frozen = core->is_frozen;
	int status;

	hf_batch_free(core->staged);
	core->staged = NULL;
	core->has_manifest = false;
	/* What cannot be read is left alone from now on. */
	if (hf_core_load(core, HF_READ_BLOCKING) != HF_OK) {
		hf_core_freeze(core); /* of which nothing is written, as has_failed still stands */
		was_frozen = false;
	}
	hf_core_recover_shelf(core);
	core->has_failed = false;
	core->is_frozen |= was_frozen;
	if (was_frozen && may_retry)
		hf_core_commit_frozen(core, true);
	status = core->failed_status;
	core->failed_status = HF_OK;
	hf_core_emit(core, HF_CORE_FAILED, (uint64_t)-(int64_t)status, 0);
}

static void deliver(struct hf_core_mail *mail)
{
	struct hf_batch *batch = HF_CONTAINER_OF(mail, struct hf_batch, mail);
	struct hf_core *core = batch->core;

	core->in_flight = batch->next;
	if (core->in_flight == NULL)
		core->in_flight_last = NULL;
	core->store->in_flight_count--;
	core->in_flight_bytes -= batch_bytes(batch);
	/* Those behind it were given up for its sake. */
	if (batch->status != HF_OK && (batch->status != HF_ECANCELED || core->failed_status == HF_OK))
		core->failed_status = batch->status;
	if (batch->status == HF_OK)
		take_over(core, batch);
	else if (core->in_flight == NULL)
		recover(core, !batch->is_retry);
	for (size_t i = 0; i < batch->done_count; i++)
		batch->dones[i].done(batch->dones[i].context, batch->status);
	hf_batch_free(batch);
	hf_core_unref(core);
}

/* ---- Submitting ---- */

static int add_pages(struct hf_batch *batch)
{
	uint8_t bytes[HF_LAYOUT_PAGE_BYTES_MAX];
	struct hf_u64_slot *slot;
	size_t cursor = 0;
	int status = HF_OK;

	while (status == HF_OK && (slot = hf_u64_map_next(&batch->pages, &cursor)) != NULL) {
		const struct hf_layout_page *page = (const void *)(uintptr_t)slot->value;
		struct iovec part = {bytes, hf_layout_page_encode(page, bytes)};
		struct hf_batch_op op = {.kind = HF_BATCH_PUT, .log = HF_LAYOUT_TREE, .index = page->number, .to = page->number + 1};

		if (page->present == 0)
			op.kind = HF_BATCH_CLEAR;
		status = hf_batch_add(batch, &op, &part, page->present != 0);
	}
	return status;
}

static int put_fact(struct hf_batch *batch, uint64_t fact, struct hf_slice value)
{
	struct hf_batch_op op = {.kind = HF_BATCH_PUT, .log = HF_LAYOUT_FACTS, .index = fact};
	struct iovec part = {(void *)(uintptr_t)value.data, value.length};

	return hf_batch_add(batch, &op, &part, 1);
}

/* As it is when the batch is submitted: a core that was made earlier may be committed later, and must not set the number back. */
static int add_number(struct hf_batch *batch, uint64_t next)
{
	struct hf_batch_op op = {.kind = HF_BATCH_TABLE};
	uint8_t bytes[8];
	struct iovec part = {bytes, sizeof bytes};

	hf_store_le64(bytes, next);
	return hf_batch_add(batch, &op, &part, 1);
}

static int add_head(struct hf_core *core, struct hf_batch *batch)
{
	struct hf_layout_head head = {.fork = core->tree.fork, .length = core->tree.length, .byte_length = core->tree.byte_length,
		.contiguous = core->blocks.contiguous, .has_shelf = core->has_shelf, .is_frozen = core->is_frozen,
		.signature = hf_buffer_slice(&core->signature)};
	int status;

	hf_buffer_clear(&core->store->scratch);
	status = hf_layout_head_encode(&head, &core->store->scratch);
	return status == HF_OK ? put_fact(batch, HF_LAYOUT_HEAD, hf_buffer_slice(&core->store->scratch)) : status;
}

/* As the core's one signer. */
static int sign(struct hf_core *core)
{
	uint8_t tree_hash[HF_TREE_HASH_BYTES], signable[HF_SIGNABLE_BYTES_MAX], signature[HF_SIGN_SIGNATURE_BYTES];
	struct hf_signature_part part = {.signature = signature};
	size_t length;

	hf_tree_hash(&core->tree, tree_hash);
	length = hf_signature_signable(signable, &core->manifest, core->key, 0, tree_hash, core->tree.length, core->tree.fork);
	hf_sign(signature, hf_slice(signable, length), core->secret_key);
	hf_buffer_clear(&core->signature);
	return hf_signature_assemble(&core->manifest, core->key, &part, 1, &core->signature);
}

static int complete(struct hf_core *core, struct hf_batch *batch)
{
	int status = batch->needs_signature ? sign(core) : HF_OK;

	if (status == HF_OK)
		status = add_pages(batch);
	if (status == HF_OK && batch->manifest_changed)
		status = put_fact(batch, HF_LAYOUT_MANIFEST, core->is_compat ? hf_slice("", 0) : hf_buffer_slice(&core->manifest_bytes));
	if (status == HF_OK && batch->user_data_changed)
		status = put_fact(batch, HF_LAYOUT_USER_DATA, hf_buffer_slice(&core->user_data));
	if (status == HF_OK && batch->head_changed)
		status = add_head(core, batch);
	if (status == HF_OK && batch->is_new)
		status = add_number(batch, core->store->next_number);
	if (status == HF_OK)
		status = hf_buffer_append(&batch->signature, core->signature.data, core->signature.length);
	hf_tree_copy(&batch->tree, &core->tree);
	batch->shelf_next = core->shelf_next;
	return status;
}

static int add_done(struct hf_batch *batch, void (*function)(void *context, int status), void *context)
{
	if (function == NULL)
		return HF_OK;
	int status = hf_array_reserve(&batch->dones, &batch->done_capacity, batch->done_count + 1, sizeof *batch->dones);

	if (status == HF_OK)
		batch->dones[batch->done_count++] = (struct hf_batch_done){function, context};
	return status;
}

/* Takes the staged batch out of the core, ready for the writer. An empty one when nothing is staged. */
static int prepare(struct hf_core *core, enum hf_durability durability, struct hf_batch **out)
{
	struct hf_batch *batch;
	int status = core->staged != NULL ? HF_OK : hf_core_stage(core, &batch);

	if (status != HF_OK)
		return status;
	batch = core->staged;
	status = complete(core, batch);
	/* What is staged cannot be half undone: the writer is told to give it up, and the core is read anew. */
	if (status != HF_OK) {
		core->has_failed = true;
		core->failed_status = status;
	}
	batch->commit = (struct hf_commit){.stage = stage, .done = done, .durability = durability};
	batch->mail.deliver = deliver;
	batch->core = hf_core_ref(core);
	core->staged = NULL;
	if (core->in_flight_last != NULL)
		core->in_flight_last->next = batch;
	else
		core->in_flight = batch;
	core->in_flight_last = batch;
	core->store->in_flight_count++;
	core->in_flight_bytes += batch_bytes(batch);
	*out = batch;
	return HF_OK;
}

/* The batches of one or two cores, as one; *out is what is submitted. The last one has the done. */
static int prepare_both(struct hf_core *first, struct hf_core *second, enum hf_durability durability,
	void (*function)(void *context, int status), void *context, struct hf_batch **out)
{
	struct hf_core *last = second != NULL ? second : first;
	struct hf_batch *batch;
	int status = first->staged != NULL ? HF_OK : hf_core_stage(first, &batch);

	if (status == HF_OK && last->staged == NULL)
		status = hf_core_stage(last, &batch);
	if (status == HF_OK)
		status = add_done(last->staged, function, context);
	if (status == HF_OK)
		status = prepare(first, durability, out);
	if (status == HF_OK && second != NULL && (status = prepare(second, durability, &batch)) == HF_OK)
		(*out)->together = batch;
	return status;
}

static int commit(struct hf_core *first, struct hf_core *second, enum hf_durability durability,
	void (*function)(void *context, int status), void *context)
{
	struct hf_batch *batch;
	int status = prepare_both(first, second, durability, function, context, &batch);

	if (status == HF_OK)
		hf_store_submit(first->store->store, &batch->commit);
	return status;
}

int hf_core_commit(struct hf_core *core, enum hf_durability durability, void (*function)(void *context, int status), void *context)
{
	return commit(core, NULL, durability, function, context);
}

int hf_core_commit_both(struct hf_core *first, struct hf_core *second, enum hf_durability durability,
	void (*function)(void *context, int status), void *context)
{
	return commit(first, second, durability, function, context);
}

struct waiting {
	int status;
};

static void note_status(void *context, int status)
{
	((struct waiting *)context)->status = status;
}

static int commit_wait(struct hf_core *first, struct hf_core *second, enum hf_durability durability)
{
	struct waiting waiting = {.status = HF_OK};
	struct hf_corestore *store = first->store;
	struct hf_batch *batch;
	int status = prepare_both(first, second, durability, note_status, &waiting, &batch);

	if (status != HF_OK)
		return status;
	if (!hf_store_commit_now(store->store, &batch->commit)) {
		pthread_mutex_lock(&store->mutex);
		while (!batch->is_finished)
			pthread_cond_wait(&store->finished, &store->mutex);
		pthread_mutex_unlock(&store->mutex);
	}
	hf_corestore_poll(store);
	return waiting.status;
}

int hf_core_commit_wait(struct hf_core *core, enum hf_durability durability)
{
	return commit_wait(core, NULL, durability);
}

int hf_core_commit_both_wait(struct hf_core *first, struct hf_core *second, enum hf_durability durability)
{
	return commit_wait(first, second, durability);
}
