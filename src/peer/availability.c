/* Who has what: ranges, bitfields and wants, theirs and ours. (spec 5.4) */
#include "peer/replicator_private.h"

#include <stdlib.h>

#define NEAR_END_BLOCKS 256 /* changes this near to the end are told without having been asked for */
#define WANT_SIZES_MAX 4
#define WANT_ANYS_MAX 16

/* ---- What they have ---- */

/* Each peer may have its pages, and all of a stream together theirs, but each one at least. */
static void limit_pages(struct hf_core_peer *peer)
{
	struct hf_bitfield *bits = &peer->remote_blocks;
	size_t others = peer->stream->remote_page_count - bits->pages.count;
	size_t left = others < HF_REPLICATOR_STREAM_PAGES_MAX ? HF_REPLICATOR_STREAM_PAGES_MAX - others : 1;

	bits->page_count_max = left < HF_REPLICATOR_REMOTE_PAGES_MAX ? left : HF_REPLICATOR_REMOTE_PAGES_MAX;
}

/* Setting bits past what we keep of one peer is no fault: we only know less. */
static int note_held(struct hf_core_peer *peer, uint64_t from, uint64_t to)
{
	size_t before = peer->remote_blocks.pages.count;
	int status;

	limit_pages(peer);
	status = hf_bitfield_set(&peer->remote_blocks, from, to);
	peer->stream->remote_page_count += peer->remote_blocks.pages.count - before;
	return status == HF_ETOOBIG ? HF_OK : status;
}

/* Where the hole cannot be kept, nothing is known from it on, and it may be asked about again. */
int hf_core_peer_note_dropped(struct hf_core_peer *peer, uint64_t from, uint64_t to)
{
	size_t before = peer->remote_blocks.pages.count;
	int status;

	limit_pages(peer);
	status = hf_bitfield_clear(&peer->remote_blocks, from, to);
	if (status == HF_ETOOBIG) {
		hf_bitfield_truncate(&peer->remote_blocks, from);
		hf_u64_map_clear(&peer->asked_units);
		status = HF_OK;
	}
	peer->stream->remote_page_count += peer->remote_blocks.pages.count - before;
	return status;
}

int hf_core_peer_on_range(struct hf_core_peer *peer, struct hf_slice body)
{
	struct hf_replication_range range;
	int status = hf_replication_read_range(body, &range);
	uint64_t end;

	if (status != HF_OK)
		return hf_core_peer_fail(peer, status, "its range message is malformed");
	end = range.length > HF_COMPACT_UINT_MAX - range.start ? HF_COMPACT_UINT_MAX : range.start + range.length;
	if (range.drop)
		status = hf_core_peer_note_dropped(peer, range.start, end);
	else
		status = note_held(peer, range.start, end);
	if (status == HF_OK && !range.drop)
		hf_core_peer_schedule(peer);
	return status;
}

int hf_core_peer_on_bitfield(struct hf_core_peer *peer, struct hf_slice body)
{
	struct hf_replication_bitfield field;
	int status = hf_replication_read_bitfield(body, &field);

	if (status != HF_OK)
		return hf_core_peer_fail(peer, status, "its bitfield message is malformed");
	status = hf_core_peer_note_dropped(peer, field.start, field.start + field.words.length * 8);
	for (size_t i = 0; i < field.words.length && status == HF_OK; i += 4) {
		uint32_t word = hf_load_le32(field.words.data + i);
		uint64_t base = field.start + i * 8;

		while (word != 0 && status == HF_OK) {
			unsigned from = (unsigned)__builtin_ctz(word), run = ~(word >> from) == 0 ? 32 - from : (unsigned)__builtin_ctz(~(word >> from));

			if (from + run > 32)
				run = 32 - from;
			status = note_held(peer, base + from, base + from + run);
			word = from + run == 32 ? 0 : word & (uint32_t)(~(uint64_t)0 << (from + run));
		}
	}
	if (status == HF_OK)
		hf_core_peer_schedule(peer);
	return status;
}

void hf_core_peer_ask_about(struct hf_core_peer *peer, uint64_t block)
{
	uint64_t unit = block / HF_PEER_WANT_BLOCKS;
	struct hf_replication_want want = {.start = unit * HF_PEER_WANT_BLOCKS, .length = HF_PEER_WANT_BLOCKS};

	if (hf_u64_map_get(&peer->asked_units, unit) != NULL || peer->asked_units.count >= HF_REPLICATOR_WANTS_MAX)
		return;
	if (hf_u64_map_put(&peer->asked_units, unit) == NULL)
		return;
	hf_replication_write_want(hf_core_peer_begin(peer, HF_REPLICATION_WANT), &want);
	hf_core_peer_end(peer);
}

/* ---- What we have ---- */

void hf_core_peer_send_range(struct hf_core_peer *peer, bool drop, uint64_t start, uint64_t length)
{
	struct hf_replication_range range = {.drop = drop, .start = start, .length = length};

	if (!drop && start == 0 && length > peer->sent_contiguous)
		peer->sent_contiguous = length;
	hf_replication_write_range(hf_core_peer_begin(peer, HF_REPLICATION_RANGE), &range);
	hf_core_peer_end(peer);
}

static bool wants_some_of(const struct hf_core_peer *peer, uint64_t from, uint64_t to)
{
	for (uint32_t i = 0; i < peer->want_count; i++)
		if (from < peer->wants[i].start + peer->wants[i].length && to > peer->wants[i].start)
			return true;
	return peer->wants_all;
}

void hf_core_peer_tell_held(struct hf_core_peer *peer, uint64_t from, uint64_t to)
{
	const struct hf_core *core = peer->shared->core;
	uint64_t length = hf_core_committed_tree(core)->length, contiguous = hf_core_blocks(core)->contiguous;

	if (contiguous >= length) {
		if (length > peer->sent_contiguous)
			hf_core_peer_send_range(peer, false, 0, length);
		return;
	}
	if (to + NEAR_END_BLOCKS < length && !wants_some_of(peer, from, to))
		return;
	if (hf_bitfield_next_clear(&peer->remote_blocks, from, to) >= to)
		return;
	hf_core_peer_send_range(peer, false, from, to - from);
}

static int send_bitfield(struct hf_core_peer *peer, uint64_t start, uint64_t end)
{
	const struct hf_bitfield *blocks = hf_core_blocks(peer->shared->core);
	struct hf_buffer *words = &peer->shared->replicator->scratch;
	struct hf_replication_bitfield field = {.start = start};

	hf_buffer_clear(words);
	for (uint64_t index = start; index < end; index += 32) {
		uint8_t word[4];

		hf_store_le32(word, hf_bitfield_word(blocks, index));
		if (hf_buffer_append(words, word, sizeof word) != HF_OK)
			return HF_ENOMEM;
	}
	field.words = hf_buffer_slice(words);
	hf_replication_write_bitfield(hf_core_peer_begin(peer, HF_REPLICATION_BITFIELD), &field);
	return hf_core_peer_end(peer);
}

/* What we have of one span. The bits are clipped to our length and rounded out to whole words. */
static int answer_want(struct hf_core_peer *peer, const struct hf_peer_want *want)
{
	const struct hf_bitfield *blocks = hf_core_blocks(peer->shared->core);
	uint64_t length = hf_core_committed_tree(peer->shared->core)->length;
	uint64_t contiguous = blocks->contiguous < length ? blocks->contiguous : length;
	uint64_t start = want->start & ~(uint64_t)31, end = want->start + want->length;
	int status = HF_OK;

	if (end < contiguous || contiguous == length || (want->any && want->start < contiguous)) {
		hf_core_peer_send_range(peer, false, 0, contiguous);
		return HF_OK;
	}
	if (end > length)
		end = length;
	if (want->any) {
		uint64_t first = hf_bitfield_next_set(blocks, want->start, end);

		if (first < end)
			hf_core_peer_send_range(peer, false, first, 1);
		return HF_OK;
	}
	while (start < end && status == HF_OK) {
		uint64_t part = end - start > HF_PEER_WANT_BLOCKS ? HF_PEER_WANT_BLOCKS : end - start;

		status = send_bitfield(peer, start, start + (part + 31) / 32 * 32);
		start += part;
	}
	return status;
}

/* Whether the wants are still few and regular enough to be kept. */
static bool can_keep(const struct hf_core_peer *peer, const struct hf_peer_want *want)
{
	uint64_t sizes[WANT_SIZES_MAX];
	uint32_t size_count = 0, any_count = 0;

	if (peer->want_count >= HF_REPLICATOR_WANTS_MAX)
		return false;
	if (!want->any && (want->length < 32 || (want->length & (want->length - 1)) != 0 || want->start % want->length != 0))
		return false;
	for (uint32_t i = 0; i <= peer->want_count; i++) {
		const struct hf_peer_want *at = i < peer->want_count ? &peer->wants[i] : want;
		uint32_t j = 0;

		any_count += at->any;
		while (j < size_count && sizes[j] != at->length)
			j++;
		if (j < size_count)
			continue;
		if (size_count == WANT_SIZES_MAX)
			return false;
		sizes[size_count++] = at->length;
	}
	return any_count <= WANT_ANYS_MAX;
}

static int keep_want(struct hf_core_peer *peer, const struct hf_peer_want *want)
{
	if (peer->wants_all)
		return HF_OK;
	if (!can_keep(peer, want)) {
		peer->wants_all = true;
		peer->want_count = 0;
		return HF_OK;
	}
	if (peer->wants == NULL && (peer->wants = malloc(HF_REPLICATOR_WANTS_MAX * sizeof *peer->wants)) == NULL)
		return HF_ENOMEM;
	peer->wants[peer->want_count++] = *want;
	return HF_OK;
}

int hf_core_peer_on_want(struct hf_core_peer *peer, struct hf_slice body)
{
	struct hf_replication_want message;
	int status = hf_replication_read_want(body, &message);
	struct hf_peer_want want;

	if (status != HF_OK || message.start > HF_COMPACT_UINT_MAX - message.length)
		return hf_core_peer_fail(peer, HF_EMALFORMED, "its want message is malformed");
	if (!message.any && message.length > HF_PEER_WANT_BLOCKS)
		return HF_OK;
	want = (struct hf_peer_want){message.start, message.length, message.any, .is_due = hf_protomux_is_congested(peer->stream->mux)};
	status = keep_want(peer, &want);
	peer->has_due_wants |= want.is_due;
	/* An answer is far longer than its question: it waits for room. Who wants everything has to ask again. */
	return status == HF_OK && !want.is_due ? answer_want(peer, &want) : status;
}

void hf_core_peer_answer_wants(struct hf_core_peer *peer)
{
	bool is_congested = false;

	for (uint32_t i = 0; peer->has_due_wants && i < peer->want_count && peer->is_open; i++) {
		struct hf_peer_want *want = &peer->wants[i];

		is_congested = hf_protomux_is_congested(peer->stream->mux);
		if (is_congested)
			break;
		if (want->is_due)
			answer_want(peer, want);
		want->is_due = false;
	}
	peer->has_due_wants &= is_congested;
}

int hf_core_peer_on_unwant(struct hf_core_peer *peer, struct hf_slice body)
{
	struct hf_replication_want message;
	int status = hf_replication_read_want(body, &message);

	if (status != HF_OK)
		return hf_core_peer_fail(peer, status, "its unwant message is malformed");
	for (uint32_t i = 0; i < peer->want_count; i++) {
		if (peer->wants[i].start != message.start || peer->wants[i].length != message.length || peer->wants[i].any != message.any)
			continue;
		peer->wants[i] = peer->wants[--peer->want_count];
		break;
	}
	return HF_OK;
}
