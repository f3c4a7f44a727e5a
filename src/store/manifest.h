/* manifest: what the store consists of. (Private to store/.)
 *
 * File MANIFEST in the store's directory, replaced as a whole (write, sync, rename, sync of the directory). Lines of text:
 *
 *   holdfast-store <format version>
 *   uuid <32 hex digits>
 *   seed <16 hex digits>                   of the keyed hashes of ids and terms
 *   next-file <number>                     no index, table or block file has this number or a higher one
 *   synced <position>                      everything below was on the disk
 *   replay <position>                      where opening begins to read the log
 *   counted <position>                     garbage of delete records below it is in the log lines
 *   log <number> <generation> <base> <length> <dead bytes>
 *                                          a segment whose number is missing between two of them held nothing that lives
 *                                          and is gone for good; one that is named and has no file is lost
 *   collection <number> <position>         every document of it below position is in its segments, or dead
 *   segment <number> <tier> <documents> <dead> <file bytes> <highest position> <generation of the dead file or 0>
 *                                          of the collection line above it
 *   tables <file number> <position>        0 0: none
 *   block-position <position>              every block record below it is in the runs
 *   blocks <file number>                   of a run; oldest first
 *   crc <8 hex digits>                     crc32c of all lines before it
 *
 * MANIFEST.copy is the same once more, written after it; it is used when MANIFEST does not match its checksum or is missing.
 *
 * Unknown words are refused: a later format has a higher version. Older ones are understood: format 1 is the same, but names
 * every log segment.
 */
#ifndef HF_STORE_MANIFEST_H
#define HF_STORE_MANIFEST_H

#include "store/state.h"

#define HF_MANIFEST_BYTES_MAX (16u << 20)

struct hf_manifest_segment {
	uint32_t collection;
	uint32_t dead_generation;
	struct hf_index_segment_info info;
};

struct hf_manifest {
	uint32_t format; /* 1 to HF_STORE_FORMAT_VERSION */
	uint8_t uuid[HF_LOG_UUID_BYTES];
	uint64_t seed;
	uint32_t next_file;
	uint64_t synced, replay, counted;
	struct hf_log_segment_info *logs;
	size_t log_count;
	bool collection_present[HF_STORE_COLLECTION_COUNT_MAX];
	uint64_t collection_position[HF_STORE_COLLECTION_COUNT_MAX];
	struct hf_manifest_segment *segments;
	size_t segment_count;
	uint32_t table_file;
	uint64_t table_position;
	uint64_t block_position;
	uint32_t *runs;
	size_t run_count;
};

/* HF_ECORRUPT, or HF_EVERSION when the format is newer, with a sentence; HF_ENOMEM. */
int hf_manifest_parse(struct hf_manifest *manifest, struct hf_slice text, struct hf_failure *failure);
int hf_manifest_print(const struct hf_manifest *manifest, struct hf_buffer *out);
void hf_manifest_free(struct hf_manifest *manifest);

/* Unlinks the files of the store's folders that the manifest makes needless (sweep.c). */
void hf_store_sweep(struct hf_store *store, const struct hf_manifest *manifest);

/* Grow the lists by one zeroed entry; NULL when out of memory. */
struct hf_log_segment_info *hf_manifest_add_log(struct hf_manifest *manifest);
struct hf_manifest_segment *hf_manifest_add_segment(struct hf_manifest *manifest);
uint32_t *hf_manifest_add_run(struct hf_manifest *manifest);

#endif
