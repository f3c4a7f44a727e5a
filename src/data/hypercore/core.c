#include "data/hypercore/core_private.h"

#include <stdlib.h>

/* ---- Life ---- */

int hf_core_new(struct hf_corestore *store, struct hf_core **out)
{
	struct hf_core *core = calloc(1, sizeof *core);

	if (core == NULL)
		return HF_ENOMEM;
	core->references = 1;
	core->store = store;
	core->cache_tag = store->next_tag++;
	store->env->random(store->env, &core->waiters.seed, sizeof core->waiters.seed);
	core->blocks.pages.seed = core->waiters.seed;
	*out = core;
	return HF_OK;
}

void hf_core_free(struct hf_core *core)
{
	hf_batch_free(core->staged);
	hf_corestore_free_key_slot(core->store, core->secret_key);
	hf_corestore_free_key_slot(core->store, (uint8_t *)core->cipher);
	hf_corestore_free_key_slot(core->store, core->encryption_key);
	hf_buffer_free(&core->manifest_bytes);
	hf_buffer_free(&core->signature);
	hf_buffer_free(&core->committed_signature);
	hf_buffer_free(&core->user_data);
	hf_buffer_free(&core->shelf_scratch);
	hf_bitfield_free(&core->blocks);
	hf_u64_map_free(&core->waiters);
	free(core->shelves);
	hf_proof_check_free(&core->check);
	free(core);
}

struct hf_core *hf_core_ref(struct hf_core *core)
{
	core->references++;
	return core;
}

void hf_core_unref(struct hf_core *core)
{
	if (core == NULL || --core->references > 0)
		return;
	/* The commit holds a reference until it is back; should it fail to start, what was staged is lost with the core. */
	if (core->staged != NULL && !core->is_frozen && !core->has_failed) {
		core->references = 1;
		hf_core_commit(core, HF_DURABLE_OS, NULL, NULL);
		if (--core->references > 0)
			return;
	}
	hf_map_remove(&core->store->open, hf_slice(core->discovery_key, sizeof core->discovery_key));
	hf_core_free(core);
}

/* ---- From the store ---- */

static int read_fact(struct hf_core *core, uint64_t fact, enum hf_read_mode mode, struct hf_buffer *out)
{
	int status = hf_store_log_get(core->store->store, hf_layout_log(core->number, HF_LAYOUT_FACTS), fact, mode, out);

	return hf_core_cold(core, status, HF_LAYOUT_FACTS, fact);
}

static int load_head(struct hf_core *core, enum hf_read_mode mode, struct hf_layout_head *head)
{
	int status;

	hf_buffer_clear(&core->store->scratch);
	status = read_fact(core, HF_LAYOUT_HEAD, mode, &core->store->scratch);
	if (status == HF_OK)
		status = hf_layout_head_decode(head, hf_buffer_slice(&core->store->scratch));
	hf_buffer_clear(&core->signature);
	if (status == HF_OK)
		status = hf_buffer_append(&core->signature, head->signature.data, head->signature.length);
	if (status == HF_OK)
		core->has_shelf = head->has_shelf;
	if (status == HF_OK)
		core->is_frozen = head->is_frozen;
	return status;
}

static int note_run(void *context, uint64_t from, uint64_t to)
{
	return hf_bitfield_set(context, from, to);
}

static int load_blocks(struct hf_core *core, const struct hf_layout_head *head)
{
	struct hf_cold cold = {.kind = HF_COLD_RUNS, .log = hf_layout_log(core->number, HF_LAYOUT_BLOCKS), .index = head->contiguous,
		.to = head->length};
	int status;

	hf_bitfield_free(&core->blocks);
	status = hf_bitfield_set(&core->blocks, 0, head->contiguous);
	if (status == HF_OK && head->contiguous < head->length)
		status = hf_store_log_runs(core->store->store, cold.log, cold.index, cold.to, core->store->read_mode, note_run, &core->blocks);
	return status == HF_EWAIT ? hf_corestore_cold(core->store, &cold) : status;
}

/* The roots are found like any nodes: in a tree that has the length but no roots yet. */
static int load_tree(struct hf_core *core, const struct hf_layout_head *head)
{
	struct hf_flat_roots at = {.end = 2 * head->length};
	struct hf_tree *tree = &core->check.tree;
	uint64_t index, bytes = 0;
	int status = HF_OK;

	core->tree = (struct hf_tree){.length = head->length, .fork = head->fork};
	*tree = (struct hf_tree){.length = head->length, .fork = head->fork, .byte_length = head->byte_length};
	while (status == HF_OK && hf_flat_roots_next(&at, &index)) {
		struct hf_tree_node *root = &tree->roots[tree->root_count++];

		status = hf_core_node(core, index, root);
		bytes += root->size;
	}
	if (status == HF_ENOTFOUND || (status == HF_OK && bytes != head->byte_length))
		status = HF_ECORRUPT;
	hf_tree_copy(&core->tree, tree);
	return status;
}

int hf_core_load(struct hf_core *core, enum hf_read_mode mode)
{
	enum hf_read_mode old_mode = core->store->read_mode;
	struct hf_layout_head head;
	struct hf_buffer manifest = {0};
	int status = load_head(core, mode, &head);

	core->store->read_mode = mode;
	hf_core_forget_cached(core);
	if (status == HF_OK)
		status = load_blocks(core, &head);
	if (status == HF_OK)
		status = load_tree(core, &head);
	if (status == HF_OK && !core->has_manifest) {
		status = read_fact(core, HF_LAYOUT_MANIFEST, mode, &manifest);
		/* An empty one says that the core is a compat one. */
		if (status == HF_OK)
			status = hf_core_use_manifest(core, manifest.length > 0 ? hf_buffer_slice(&manifest) : hf_slice(NULL, 0));
		else if (status == HF_ENOTFOUND)
			status = HF_OK;
	}
	hf_buffer_clear(&core->user_data);
	if (status == HF_OK) {
		status = read_fact(core, HF_LAYOUT_USER_DATA, mode, &core->user_data);
		status = status == HF_ENOTFOUND ? HF_OK : status;
	}
	if (status == HF_OK) {
		hf_tree_copy(&core->committed_tree, &core->tree);
		hf_buffer_clear(&core->committed_signature);
		status = hf_buffer_append(&core->committed_signature, core->signature.data, core->signature.length);
	}
	hf_buffer_free(&manifest);
	core->store->read_mode = old_mode;
	return status;
}

static enum hf_block_cipher_kind cipher_kind(const struct hf_core *core)
{
	return core->is_compat ? HF_BLOCK_CIPHER_COMPAT : HF_BLOCK_CIPHER_CORE;
}

/* The manifest has come, and with it the answer whether the core is a compat one. */
static void settle_cipher(struct hf_core *core)
{
	hf_block_cipher_init(core->cipher, cipher_kind(core), core->encryption_key, core->key);
	hf_corestore_free_key_slot(core->store, core->encryption_key);
	core->encryption_key = NULL;
}

int hf_core_use_manifest(struct hf_core *core, struct hf_slice encoded)
{
	struct hf_buffer bytes = {0};
	struct hf_manifest manifest;
	int status = hf_manifest_of_key(&manifest, core->key, encoded, core->default_manifest);

	if (status == HF_OK)
		status = hf_manifest_encode(&manifest, &bytes);
	if (status == HF_OK)
		status = hf_manifest_decode(&manifest, hf_buffer_slice(&bytes));
	if (status != HF_OK) {
		hf_buffer_free(&bytes);
		return status;
	}
	hf_buffer_free(&core->manifest_bytes);
	core->manifest_bytes = bytes;
	core->manifest = manifest;
	core->has_manifest = true;
	core->is_compat = hf_manifest_is_compat(&manifest, core->key);
	if (core->encryption_key != NULL)
		settle_cipher(core);
	return HF_OK;
}

/* ---- What it is ---- */

const uint8_t *hf_core_key(const struct hf_core *core) { return core->key; }
const uint8_t *hf_core_discovery_key(const struct hf_core *core) { return core->discovery_key; }
struct hf_corestore *hf_core_store(const struct hf_core *core) { return core->store; }
const struct hf_manifest *hf_core_manifest(const struct hf_core *core) { return core->has_manifest ? &core->manifest : NULL; }
bool hf_core_is_compat(const struct hf_core *core) { return core->is_compat; }
bool hf_core_is_encrypted(const struct hf_core *core) { return core->cipher != NULL; }
uint64_t hf_core_padding(const struct hf_core *core) { return core->cipher == NULL ? 0 : HF_BLOCK_PADDING_BYTES; }
bool hf_core_is_frozen(const struct hf_core *core) { return core->is_frozen; }
const struct hf_tree *hf_core_tree(const struct hf_core *core) { return &core->tree; }
const struct hf_tree *hf_core_committed_tree(const struct hf_core *core) { return &core->committed_tree; }
struct hf_slice hf_core_signature(const struct hf_core *core) { return hf_buffer_slice(&core->committed_signature); }
const struct hf_bitfield *hf_core_blocks(const struct hf_core *core) { return &core->blocks; }

uint64_t hf_core_prologue_length(const struct hf_core *core)
{
	return core->has_manifest && !core->is_compat && core->manifest.has_prologue ? core->manifest.prologue.length : 0;
}

bool hf_core_is_writable(const struct hf_core *core)
{
	struct hf_manifest_signer signer;

	return core->secret_key != NULL && core->has_manifest && core->manifest.signer_count == 1 &&
		hf_manifest_signer(&core->manifest, 0, &signer) &&
		memcmp(hf_sign_public_key(core->secret_key), signer.public_key, HF_SIGN_PUBLIC_BYTES) == 0;
}

uint64_t hf_core_byte_length(const struct hf_core *core)
{
	return core->tree.byte_length - hf_core_padding(core) * core->tree.length;
}

/* No block is held before the manifest is, so that until then any cipher will do; key: what is kept for the right one. */
static int use_cipher(struct hf_core *core, const struct hf_block_cipher *cipher, const uint8_t *key)
{
	uint8_t *slot = hf_corestore_key_slot(core->store), *kept = key == NULL ? NULL : hf_corestore_key_slot(core->store);

	if (slot == NULL || (key != NULL && kept == NULL)) {
		hf_corestore_free_key_slot(core->store, slot);
		return HF_ENOMEM;
	}
	memcpy(slot, cipher, sizeof *cipher);
	core->cipher = (struct hf_block_cipher *)slot;
	if (key != NULL)
		memcpy(kept, key, HF_ENCRYPTION_KEY_BYTES);
	core->encryption_key = kept;
	return HF_OK;
}

int hf_core_set_encryption_key(struct hf_core *core, const uint8_t key[static 32], bool is_block_key)
{
	struct hf_block_cipher cipher;
	int status = HF_OK;

	_Static_assert(sizeof cipher <= HF_SIGN_SECRET_BYTES, "a cipher fits into a slot for keys");
	hf_block_cipher_init(&cipher, is_block_key ? HF_BLOCK_CIPHER_BLOCK_KEY : cipher_kind(core), key, core->key);
	if (core->cipher != NULL)
		status = hf_bytes_equal_secret(core->cipher, &cipher, sizeof cipher) ? HF_OK : HF_EEXISTS;
	else
		status = use_cipher(core, &cipher, is_block_key || core->has_manifest ? NULL : key);
	hf_wipe(&cipher, sizeof cipher);
	return status;
}

void hf_core_freeze(struct hf_core *core)
{
	if (core->is_frozen)
		return;
	core->is_frozen = true;
	hf_core_commit_frozen(core, false);
	hf_core_emit(core, HF_CORE_FROZEN, 0, 0);
}

/* ---- Listeners and waiters ---- */

/* One event on its way: whom to tell next. */
struct hf_core_emission {
	struct hf_core_emission *outer;
	struct hf_core_listener *next;
};

void hf_core_listen(struct hf_core *core, struct hf_core_listener *listener)
{
	HF_LIST_PUSH(core->listeners, listener);
}

void hf_core_unlisten(struct hf_core *core, struct hf_core_listener *listener)
{
	for (struct hf_core_emission *emission = core->emission; emission != NULL; emission = emission->outer)
		if (emission->next == listener)
			emission->next = listener->next;
	HF_LIST_REMOVE(core->listeners, listener);
	listener->next = listener->previous = NULL;
}

static void tell_listeners(struct hf_core *core, enum hf_core_event event, uint64_t from, uint64_t to)
{
	struct hf_core_emission emission = {.outer = core->emission, .next = core->listeners};
	struct hf_core_listener *listener;

	core->emission = &emission;
	while ((listener = emission.next) != NULL) {
		emission.next = listener->next;
		listener->event(listener, event, from, to);
	}
	core->emission = emission.outer;
}

static void wake_waiter(struct hf_core *core, struct hf_core_waiter *waiter)
{
	HF_LIST_PUSH(core->ready, waiter);
	core->store->has_ready = true;
}

/* All who wait for blocks of [from, to) are called at the next poll. */
static void wake_waiters(struct hf_core *core, uint64_t from, uint64_t to)
{
	if (to - from <= core->waiters.count) {
		for (uint64_t index = from; index < to; index++) {
			uint64_t *first = hf_u64_map_get(&core->waiters, index);
			struct hf_core_waiter *next, *waiter = first == NULL ? NULL : (struct hf_core_waiter *)(uintptr_t)*first;

			if (first != NULL)
				hf_u64_map_remove(&core->waiters, index);
			for (; waiter != NULL; waiter = next) {
				next = waiter->next;
				wake_waiter(core, waiter);
			}
		}
		return;
	}
	struct hf_u64_slot *slot;
	size_t cursor = 0;

	while ((slot = hf_u64_map_next(&core->waiters, &cursor)) != NULL) {
		if (slot->key < from || slot->key >= to)
			continue;
		wake_waiters(core, slot->key, slot->key + 1);
		cursor = 0;
	}
}

void hf_core_emit(struct hf_core *core, enum hf_core_event event, uint64_t from, uint64_t to)
{
	if (event == HF_CORE_HELD && core->waiters.count > 0)
		wake_waiters(core, from, to);
	if (event == HF_CORE_TRUNCATED || event == HF_CORE_FROZEN)
		wake_waiters(core, event == HF_CORE_FROZEN ? 0 : from, UINT64_MAX);
	tell_listeners(core, event, from, to);
}

void hf_core_wait(struct hf_core *core, struct hf_core_waiter *waiter, uint64_t index)
{
	uint64_t *first = hf_bitfield_get(&core->blocks, index) || core->is_frozen ? NULL : hf_u64_map_put(&core->waiters, index);

	waiter->index = index;
	if (first == NULL) {
		wake_waiter(core, waiter);
		hf_corestore_wake(core->store);
		return;
	}
	waiter->previous = NULL;
	waiter->next = (struct hf_core_waiter *)(uintptr_t)*first;
	if (waiter->next != NULL)
		waiter->next->previous = waiter;
	*first = (uintptr_t)waiter;
	if (waiter->next == NULL)
		hf_core_emit(core, HF_CORE_WANTED, index, index + 1);
}

void hf_core_wait_cancel(struct hf_core *core, struct hf_core_waiter *waiter)
{
	uint64_t *first = hf_u64_map_get(&core->waiters, waiter->index);

	if (waiter->next != NULL)
		waiter->next->previous = waiter->previous;
	if (waiter->previous != NULL)
		waiter->previous->next = waiter->next;
	if (core->ready == waiter)
		core->ready = waiter->next;
	if (first != NULL && *first == (uintptr_t)waiter) {
		*first = (uintptr_t)waiter->next;
		if (waiter->next == NULL) {
			hf_u64_map_remove(&core->waiters, waiter->index);
			hf_core_emit(core, HF_CORE_UNWANTED, waiter->index, waiter->index + 1);
		}
	}
	waiter->next = waiter->previous = NULL;
}

bool hf_core_next_wanted(const struct hf_core *core, size_t *cursor, uint64_t *index)
{
	const struct hf_u64_slot *slot = hf_u64_map_next(&core->waiters, cursor);

	if (slot != NULL)
		*index = slot->key;
	return slot != NULL;
}

void hf_core_deliver_ready(struct hf_core *core)
{
	struct hf_core_waiter *waiter;

	hf_core_ref(core);
	while ((waiter = core->ready) != NULL) {
		int status = core->is_frozen ? HF_ECANCELED : hf_bitfield_get(&core->blocks, waiter->index) ? HF_OK : HF_ENOTFOUND;

		core->ready = waiter->next;
		if (core->ready != NULL)
			core->ready->previous = NULL;
		waiter->next = waiter->previous = NULL;
		waiter->ready(waiter, status);
	}
	hf_core_unref(core);
}
