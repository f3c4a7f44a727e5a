/* Reading blocks, places and notes. */
#include "data/hypercore/core_private.h"

int hf_core_get_stored(struct hf_core *core, uint64_t index, struct hf_buffer *block)
{
	struct hf_slice record, value;
	int status;

	if (index >= core->tree.length)
		return HF_ENOTFOUND;
	status = hf_core_block_record(core, index, &record);
	if (status == HF_ENOTFOUND)
		return HF_EWAIT;
	if (status == HF_OK)
		status = hf_layout_block_decode(record, index, NULL, NULL, &value);
	return status == HF_OK ? hf_buffer_append(block, value.data, value.length) : status;
}

/* Opens what was appended to *block from `start` on. */
int hf_core_decrypt(const struct hf_core *core, uint64_t index, struct hf_buffer *block, size_t start)
{
	size_t length = block->length - start;

	if (core->cipher == NULL)
		return HF_OK;
	if (hf_block_decrypt(core->cipher, block->data + start, length, index) != HF_OK) {
		block->length = start;
		return HF_EMALFORMED;
	}
	memmove(block->data + start, block->data + start + HF_BLOCK_PADDING_BYTES, length - HF_BLOCK_PADDING_BYTES);
	block->length -= HF_BLOCK_PADDING_BYTES;
	return HF_OK;
}

int hf_core_get(struct hf_core *core, uint64_t index, struct hf_buffer *block)
{
	size_t start = block->length;
	int status = hf_core_get_stored(core, index, block);

	return status == HF_OK ? hf_core_decrypt(core, index, block, start) : status;
}

int hf_core_seek(struct hf_core *core, uint64_t bytes, struct hf_core_place *place)
{
	struct hf_tree_reader reader = hf_core_nodes(core);
	struct hf_seek found;
	int status = hf_seek(&core->tree, &reader, bytes, hf_core_padding(core), &found);

	if (status == HF_EWAIT)
		place->from = place->to = 0;
	if (status != HF_OK)
		return status;
	*place = (struct hf_core_place){.block = found.block, .offset = found.offset};
	if (!found.needs_network)
		return HF_OK;
	place->from = found.start;
	place->to = found.end;
	return HF_EWAIT;
}

int hf_core_tree_at(struct hf_core *core, uint64_t length, struct hf_tree *tree)
{
	struct hf_tree_reader reader = hf_core_nodes(core);

	return hf_tree_at(&core->tree, &reader, length, tree);
}

int hf_core_get_user_data(struct hf_core *core, struct hf_slice name, struct hf_buffer *value)
{
	struct hf_compact_reader in = hf_compact_reader(hf_buffer_slice(&core->user_data));

	while (hf_compact_left(&in) > 0) {
		struct hf_slice found = hf_compact_read_buffer(&in), bytes = hf_compact_read_buffer(&in);

		if (in.status == HF_OK && hf_slice_equal(found, name))
			return hf_buffer_append(value, bytes.data, bytes.length);
	}
	return HF_ENOTFOUND;
}
