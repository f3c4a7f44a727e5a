/* segment_builder: writes a segment file from front to back. (Private to store/; format in segment.h.)
 *
 * Calls come in this order: open; column values of RANK, end_column; of POSITION, end_column; ties; ids; begin_terms,
 * then for each term of exactly the promised number list_add..., end_list; finish. Any error ends the build: call
 * abandon. Output goes through a bounded buffer, and each slice is handed to the disk at once so that the sync at the
 * end is short and does not hold up commits.
 */
#ifndef HF_STORE_SEGMENT_BUILDER_H
#define HF_STORE_SEGMENT_BUILDER_H

#include "store/segment.h"

#define HF_SEGMENT_BUFFER_BYTES (256u << 10)

struct hf_segment_stream {
	struct hf_file *file;
	uint8_t *buffer;
	size_t capacity, used;
	uint64_t offset; /* in the file, of the buffer's first byte */
};

struct hf_segment_builder {
	struct hf_fs *fs;
	struct hf_file file;
	char path[HF_PATH_BYTES_MAX];
	const char *directory;
	uint32_t number, collection;
	uint64_t seed;
	uint32_t doc_count, term_count;
	struct hf_segment_stream main, terms;
	uint64_t section[HF_SECTION_COUNT], section_bytes[HF_SECTION_COUNT];
	uint64_t least[2], most[2]; /* of RANK and POSITION */

	struct hf_buffer heads; /* of the column under way */
	uint64_t values[HF_SEGMENT_GROUP_DOCS];
	uint32_t value_count;
	uint32_t *directory_table; /* of ids or terms, under way */
	uint32_t directory_bits, directory_next, entry_count;
	uint32_t docs[HF_SEGMENT_GROUP_DOCS]; /* of the list under way */
	uint32_t list_count;
	uint64_t list_start;
	struct hf_buffer skips;
};

int hf_segment_builder_open(struct hf_segment_builder *b, struct hf_fs *fs, const char *directory, uint32_t number,
	uint32_t collection, uint64_t seed, uint32_t doc_count);
/* Values of a column in order of document number. */
int hf_segment_builder_value(struct hf_segment_builder *b, enum hf_segment_section section, uint64_t value);
int hf_segment_builder_end_column(struct hf_segment_builder *b, enum hf_segment_section section);
int hf_segment_builder_tie(struct hf_segment_builder *b, uint32_t tie);
/* Ascending by hash. The first call ends the ties. */
int hf_segment_builder_id(struct hf_segment_builder *b, uint32_t hash, uint32_t doc);
int hf_segment_builder_begin_terms(struct hf_segment_builder *b, uint32_t term_count);
/* Ascending documents of the present list. */
int hf_segment_builder_list_add(struct hf_segment_builder *b, uint32_t doc);
/* Ends the list; terms ascend. An empty list is written as such. */
int hf_segment_builder_end_list(struct hf_segment_builder *b, uint64_t term40);
/* Writes the tables and syncs the file and its directory. *file_bytes: its size. */
int hf_segment_builder_finish(struct hf_segment_builder *b, uint64_t *file_bytes);
/* Frees; with `remove`, also unlinks the file. */
void hf_segment_builder_close(struct hf_segment_builder *b, bool remove);

#endif
