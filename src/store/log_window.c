/* Reading through a mapping, of pages that were read before.
 *
 * A read call costs more than most records are long. A mapping costs nothing, but waits for the disk on a page that is not
 * in memory, which a loop must not. So each page is read by a call first (which says HF_EWAIT when it is cold), and
 * through the mapping from then on: what was just read is what the kernel drops last. Every now and then all pages are
 * read by calls again, so that a page that fell out of use is not taken for a resident one. The window is of the whole
 * segment as it may grow; nothing beyond the bytes written is ever looked at.
 *
 * A disk that fails such a page later ends the process, as it does for index segments. */
#include "store/log_segment.h"

#include <stdlib.h>

#define PAGE_BYTES 4096u
#define PREFETCH_LINES 4
#define READS_PER_PAGE_MAX 8 /* on average, before all pages are read by calls again */

struct hf_log_window {
	const uint8_t *map;
	uint64_t bytes;
	_Atomic uint64_t reads; /* about: concurrent ones may count once */
	size_t word_count;
	_Atomic uint64_t pages[]; /* a bit a page: was read by a call */
};

static struct hf_log_window *open_window(struct hf_log_segment *segment)
{
	uint64_t bytes, most = segment->log->options.segment_bytes_max + HF_LOG_FILE_HEADER_BYTES;

	if (hf_file_size(&segment->file, &bytes) != HF_OK)
		return NULL;
	if (bytes < most)
		bytes = most;
	size_t word_count = bytes / PAGE_BYTES / 64 + 1;
	struct hf_log_window *window = calloc(1, sizeof *window + word_count * sizeof window->pages[0]);

	if (window == NULL)
		return NULL;
	window->bytes = bytes;
	window->word_count = word_count;
	if (hf_file_map(&segment->file, bytes, &window->map) != HF_OK) {
		free(window);
		return NULL;
	}
	return window;
}

static void close_window(struct hf_log_segment *segment, struct hf_log_window *window)
{
	hf_file_unmap(&segment->file, window->map, window->bytes);
	free(window);
}

void hf_log_window_close(struct hf_log_segment *segment)
{
	struct hf_log_window *window = atomic_load_explicit(&segment->window, memory_order_acquire);

	if (window != NULL)
		close_window(segment, window);
}

void hf_log_window_note(struct hf_log_segment *segment, uint64_t offset, size_t length)
{
	struct hf_log_window *window = atomic_load_explicit(&segment->window, memory_order_acquire), *none = NULL;

	if (window == NULL) {
		window = open_window(segment);
		if (window == NULL)
			return; /* reads go on by calls */
		if (!atomic_compare_exchange_strong(&segment->window, &none, window)) {
			close_window(segment, window);
			window = none;
		}
	}
	if (length == 0 || offset + length > window->bytes)
		return;
	for (uint64_t page = offset / PAGE_BYTES; page <= (offset + length - 1) / PAGE_BYTES; page++)
		atomic_fetch_or_explicit(&window->pages[page / 64], (uint64_t)1 << page % 64, memory_order_relaxed);
}

static bool was_read(const struct hf_log_window *window, uint64_t offset, size_t length)
{
	if (window == NULL || length == 0 || offset + length > window->bytes)
		return false;
	for (uint64_t page = offset / PAGE_BYTES; page <= (offset + length - 1) / PAGE_BYTES; page++)
		if ((atomic_load_explicit(&window->pages[page / 64], memory_order_relaxed) >> page % 64 & 1) == 0)
			return false;
	return true;
}

bool hf_log_window_has(struct hf_log_segment *segment, uint64_t offset, size_t length)
{
	return was_read(atomic_load_explicit(&segment->window, memory_order_acquire), offset, length);
}

bool hf_log_window_read(struct hf_log_segment *segment, uint8_t *data, size_t length, uint64_t offset)
{
	struct hf_log_window *window = atomic_load_explicit(&segment->window, memory_order_acquire);

	if (!was_read(window, offset, length))
		return false;
	memcpy(data, window->map + offset, length);
	uint64_t reads = atomic_load_explicit(&window->reads, memory_order_relaxed) + 1;

	if (reads > window->bytes / PAGE_BYTES * READS_PER_PAGE_MAX) {
		reads = 0;
		for (size_t i = 0; i < window->word_count; i++)
			atomic_store_explicit(&window->pages[i], 0, memory_order_relaxed);
	}
	atomic_store_explicit(&window->reads, reads, memory_order_relaxed);
	return true;
}

size_t hf_log_window_record_bytes(struct hf_log_segment *segment, uint64_t offset)
{
	struct hf_log_window *window = atomic_load_explicit(&segment->window, memory_order_acquire);

	if (!was_read(window, offset, HF_LOG_RECORD_HEADER_BYTES))
		return 0;
	size_t payload = hf_load_le32(window->map + offset + 4);

	return payload <= HF_LOG_PAYLOAD_BYTES_MAX ? HF_LOG_RECORD_HEADER_BYTES + payload : 0;
}

void hf_log_window_prefetch(struct hf_log_segment *segment, uint64_t offset)
{
	struct hf_log_window *window = atomic_load_explicit(&segment->window, memory_order_acquire);

	if (!was_read(window, offset, 1))
		return;
	for (unsigned line = 0; line < PREFETCH_LINES; line++)
		__builtin_prefetch(window->map + offset + line * 64);
}
