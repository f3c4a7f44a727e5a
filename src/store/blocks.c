#include "store/blocks.h"
#include "store/record.h"

#include <pthread.h>
#include <stdlib.h>

struct hf_blocks {
	uint64_t position;
};
int hf_blocks_open(struct hf_blocks **out, const struct hf_blocks_options *options, const uint32_t *runs, size_t run_count, uint64_t position, struct hf_failure *failure)
{
	*out = calloc(1, sizeof **out);
	return *out ? HF_OK : HF_ENOMEM;
}
void hf_blocks_close(struct hf_blocks *blocks) { free(blocks); }
uint64_t hf_blocks_position(struct hf_blocks *blocks) { return blocks->position; }
int hf_blocks_apply(struct hf_blocks *blocks, const struct hf_log_record *record, uint64_t *dead_position) { return HF_OK; }
int hf_blocks_length(struct hf_blocks *blocks, uint64_t log, uint64_t *length) { return HF_ENOTFOUND; }
int hf_blocks_find(struct hf_blocks *blocks, uint64_t log, uint64_t index, enum hf_read_mode mode, uint64_t *position) { return HF_ENOTFOUND; }
int hf_blocks_checkpoint(struct hf_blocks *blocks, bool all, uint64_t applied, uint32_t *runs, size_t max, size_t *count, uint64_t *position) { *count = 0; *position = applied; return HF_OK; }
void hf_blocks_release_old(struct hf_blocks *blocks) {}
uint64_t hf_blocks_file_bytes(struct hf_blocks *blocks) { return 0; }
