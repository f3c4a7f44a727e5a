/* A question is answered by doing what it is about, on a bee that is opened for it, with a trace of the blocks that are looked at. */
#include "peer/bee_hints.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/u64_map.h"
#include "codec/protobuf.h"
#include "wire/bee_hint.h"

#define CHECKPOINT_COUNT_MAX (3 * HF_BEE_DEPTH_MAX)
#define ANSWER_CACHE_BYTES (1u << 20) /* decoded blocks of an answer */

struct hf_bee_hints {
	struct hf_extension extension;
	struct hf_bee_asker *askers;
	uint64_t read_count; /* since the last tick */
};

/* A block that an answer has named. */
struct fetch {
	struct hf_core_waiter waiter;
	struct fetch *next, *previous;
	struct hf_bee_asker *asker;
};

struct hf_bee_asker {
	struct hf_bee_hinter hinter;
	struct hf_bee_asker *next, *previous;
	struct hf_bee_hints *hints;
	struct hf_replication *replication;
	struct fetch *fetches;
	uint64_t fetch_count, allowed_count; /* allowed: blocks that answers may still name */
};

/* ---- Answering ---- */

struct answer {
	struct hf_bee_hints *hints;
	struct hf_u64_map seen;
	uint64_t blocks[HF_BEE_HINTS_ANSWER_COUNT_MAX];
	size_t count;
};

static bool is_exhausted(const struct answer *answer)
{
	return answer->count == HF_BEE_HINTS_ANSWER_COUNT_MAX || answer->hints->read_count >= HF_BEE_HINTS_READ_COUNT_MAX;
}

static void on_read(void *context, uint64_t seq)
{
	struct answer *answer = context;

	if (is_exhausted(answer) || hf_u64_map_get(&answer->seen, seq) != NULL || hf_u64_map_put(&answer->seen, seq) == NULL)
		return;
	answer->hints->read_count++;
	answer->blocks[answer->count++] = seq;
}

/* Sending may end the stream, and the channel with it. */
static void send_blocks(const struct answer *answer, struct hf_channel *to)
{
	struct hf_buffer message = {0};
	int status = HF_OK;

	for (size_t at = 0; status == HF_OK && at < answer->count; at += HF_BEE_HINT_BLOCK_COUNT_MAX) {
		size_t left = answer->count - at;

		hf_buffer_clear(&message);
		status = hf_bee_hint_encode_cache(answer->blocks + at, left < HF_BEE_HINT_BLOCK_COUNT_MAX ? left : HF_BEE_HINT_BLOCK_COUNT_MAX, &message);
		if (status == HF_OK)
			status = hf_extension_send(&answer->hints->extension, to, hf_buffer_slice(&message));
	}
	hf_buffer_free(&message);
}

static size_t read_checkpoint(struct hf_slice packed, uint64_t numbers[static CHECKPOINT_COUNT_MAX])
{
	struct hf_protobuf_reader in = hf_protobuf_reader(packed);
	size_t count = 0;

	while (in.at < in.end && count < CHECKPOINT_COUNT_MAX)
		numbers[count++] = hf_protobuf_read_varint(&in);
	return count;
}

static void answer_range(struct answer *answer, struct hf_bee_view *view, const struct hf_bee_hint *hint)
{
	uint64_t checkpoint[CHECKPOINT_COUNT_MAX];
	size_t count = read_checkpoint(hint->range.checkpoint, checkpoint);
	struct hf_bee_iterator *iterator;
	struct hf_bee_entry entry;
	int status = hf_bee_iterate(view, &hint->range.range, &iterator);

	if (status != HF_OK)
		return;
	status = hf_bee_iterator_resume(iterator, checkpoint, count);
	while (status == HF_OK && !is_exhausted(answer))
		status = hf_bee_iterator_next(iterator, &entry);
	hf_bee_iterator_free(iterator);
}

/* The bee as it was at the version that the question is about. HF_EINVAL: it is no bee, or has not come so far. */
static int open_view(struct hf_core *core, uint64_t version, struct hf_bee **bee, struct hf_bee_view **view)
{
	struct hf_bee_options options = {.size = sizeof options, .core = core, .cache_bytes_max = ANSWER_CACHE_BYTES};
	struct hf_bee_header header;
	int status = hf_bee_open(bee, &options);

	if (status != HF_OK)
		return status;
	status = version == 0 || hf_bee_get_header(*bee, &header) != HF_OK ? HF_EINVAL : hf_bee_checkout(*bee, version, view);
	if (status != HF_OK)
		hf_bee_close(*bee);
	return status;
}

static void answer_question(struct hf_bee_hints *hints, struct hf_core *core, struct hf_channel *from, const struct hf_bee_hint *hint)
{
	struct answer *answer = calloc(1, sizeof *answer);
	struct hf_bee *bee;
	struct hf_bee_view *view;
	struct hf_bee_entry entry;

	if (answer != NULL && open_view(core, hint->has_get ? hint->get.version : hint->range.version, &bee, &view) == HF_OK) {
		answer->hints = hints;
		hf_bee_view_trace(view, on_read, answer);
		if (hint->has_get)
			hf_bee_get(view, hint->get.key, &entry);
		else
			answer_range(answer, view, hint);
		hf_bee_view_free(view);
		hf_bee_close(bee);
		send_blocks(answer, from);
		hf_u64_map_free(&answer->seen);
	}
	free(answer);
}

/* ---- Asking ---- */

static void end_fetch(struct fetch *fetch)
{
	HF_LIST_REMOVE(fetch->asker->fetches, fetch);
	fetch->asker->fetch_count--;
	free(fetch);
}

static void on_block(struct hf_core_waiter *waiter, int status)
{
	(void)status;
	end_fetch(HF_CONTAINER_OF(waiter, struct fetch, waiter));
}

static void fetch_block(struct hf_bee_asker *asker, uint64_t seq)
{
	struct hf_core *core = hf_replication_core(asker->replication);

	if (asker->allowed_count == 0 || asker->fetch_count >= HF_BEE_HINTS_FETCH_COUNT_MAX)
		return;
	asker->allowed_count--;
	if (seq >= hf_core_length(core) || hf_bitfield_get(hf_core_blocks(core), seq))
		return;
	struct fetch *fetch = calloc(1, sizeof *fetch);

	if (fetch == NULL)
		return;
	fetch->asker = asker;
	fetch->waiter.ready = on_block;
	HF_LIST_PUSH(asker->fetches, fetch);
	asker->fetch_count++;
	hf_core_wait(core, &fetch->waiter, seq);
}

static void take_answer(struct hf_bee_hints *hints, struct hf_core *core, struct hf_slice blocks)
{
	struct hf_bee_asker *asker = hints->askers;

	while (asker != NULL && (hf_replication_core(asker->replication) != core || asker->allowed_count == 0))
		asker = asker->next;
	if (asker == NULL)
		return;
	struct hf_protobuf_reader in = hf_protobuf_reader(blocks);

	while (in.at < in.end)
		fetch_block(asker, hf_protobuf_read_varint(&in));
}

static void ask(struct hf_bee_asker *asker, struct hf_buffer *message, int status, uint64_t allowed_count)
{
	if (status == HF_OK) {
		asker->allowed_count = allowed_count;
		hf_extension_broadcast(&asker->hints->extension, asker->replication, hf_buffer_slice(message));
	}
	hf_buffer_free(message);
}

static void ask_get(struct hf_bee_hinter *hinter, uint64_t version, struct hf_slice key)
{
	struct hf_buffer message = {0};
	int status = hf_bee_hint_encode_get(version, key, &message);

	ask(HF_CONTAINER_OF(hinter, struct hf_bee_asker, hinter), &message, status, HF_BEE_HINTS_ANSWER_COUNT_MAX);
}

static void ask_range(struct hf_bee_hinter *hinter, uint64_t version, const struct hf_bee_range *range, const uint64_t *checkpoint,
	size_t checkpoint_count)
{
	struct hf_buffer message = {0};
	int status = hf_bee_hint_encode_range(version, range, checkpoint, checkpoint_count, &message);

	ask(HF_CONTAINER_OF(hinter, struct hf_bee_asker, hinter), &message, status, HF_BEE_HINTS_ANSWER_COUNT_MAX);
}

int hf_bee_hints_ask(struct hf_bee_hints *hints, struct hf_replication *replication, struct hf_bee_asker **out)
{
	struct hf_bee_asker *asker = calloc(1, sizeof *asker);

	if (asker == NULL)
		return HF_ENOMEM;
	asker->hinter = (struct hf_bee_hinter){.get = ask_get, .range = ask_range};
	asker->hints = hints;
	asker->replication = replication;
	HF_LIST_PUSH(hints->askers, asker);
	*out = asker;
	return HF_OK;
}

struct hf_bee_hinter *hf_bee_asker_hinter(struct hf_bee_asker *asker)
{
	return &asker->hinter;
}

void hf_bee_asker_free(struct hf_bee_asker *asker)
{
	if (asker == NULL)
		return;
	while (asker->fetches != NULL) {
		hf_core_wait_cancel(hf_replication_core(asker->replication), &asker->fetches->waiter);
		end_fetch(asker->fetches);
	}
	HF_LIST_REMOVE(asker->hints->askers, asker);
	free(asker);
}

/* ---- The extension ---- */

static void on_message(struct hf_extension *extension, struct hf_core *core, struct hf_channel *from, struct hf_slice message)
{
	struct hf_bee_hints *hints = HF_CONTAINER_OF(extension, struct hf_bee_hints, extension);
	struct hf_bee_hint hint;

	if (hf_bee_hint_decode(message, &hint) != HF_OK)
		return;
	if (hint.has_cache)
		take_answer(hints, core, hint.cache.blocks);
	if ((hint.has_get || hint.has_range) && hints->read_count < HF_BEE_HINTS_READ_COUNT_MAX)
		answer_question(hints, core, from, &hint);
}

int hf_bee_hints_new(struct hf_bee_hints **out, struct hf_replicator *replicator)
{
	struct hf_bee_hints *hints = calloc(1, sizeof *hints);

	if (hints == NULL)
		return HF_ENOMEM;
	hints->extension = (struct hf_extension){.name = HF_BEE_HINT_NAME, .message = on_message};
	hf_replicator_add_extension(replicator, &hints->extension);
	*out = hints;
	return HF_OK;
}

void hf_bee_hints_free(struct hf_bee_hints *hints)
{
	free(hints);
}

void hf_bee_hints_tick(struct hf_bee_hints *hints)
{
	hints->read_count = 0;
}
