/* Every decoder of hypercore/alpha; the first byte chooses. What was read is written, read and written again: both writings are the
 * same, and the written message is never longer than what it was read from, for what is accepted is at least the canonical form.
 *
 * Covers: src/wire/replication.c src/data/hypercore/tree_node.c
 */
#include "fuzz.h"

#include "wire/replication.h"

static void walk(const struct hf_node_list *list)
{
	struct hf_compact_reader at = hf_compact_reader(list->encoded);
	struct hf_tree_node node;
	struct hf_buffer again = {0};
	struct hf_compact_writer out = hf_compact_writer(&again);
	size_t count = 0;

	while (hf_node_list_next(&at, &node)) {
		hf_tree_node_write(&out, &node);
		count++;
	}
	FUZZ_CHECK(at.status == HF_OK && count == list->count && again.length <= list->encoded.length);
	hf_buffer_free(&again);
}

static void check_data(const struct hf_replication_data *m)
{
	struct hf_buffer scratch = {0}, whole = {0}, joined = {0};
	struct hf_compact_writer out = hf_compact_writer(&whole);
	struct iovec parts[HF_REPLICATION_DATA_PARTS];
	int count = hf_replication_data_parts(m, &scratch, parts);

	hf_replication_write_data(&out, m);
	for (int i = 0; i < count; i++)
		hf_buffer_append(&joined, parts[i].iov_base, parts[i].iov_len);
	FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&joined), hf_buffer_slice(&whole)));
	walk(&m->proof.block.nodes);
	walk(&m->proof.hash.nodes);
	walk(&m->proof.seek.nodes);
	walk(&m->proof.upgrade.nodes);
	walk(&m->proof.upgrade.additional_nodes);
	hf_buffer_free(&scratch);
	hf_buffer_free(&whole);
	hf_buffer_free(&joined);
}

#define MESSAGE(number, name) \
	case number: { \
		struct hf_replication_##name m; \
		int status = hf_replication_read_##name(body, &m); \
		if (status == HF_OK) \
			hf_replication_write_##name(out, &m); \
		return status; \
	}

static int pass(unsigned type, struct hf_slice body, struct hf_compact_writer *out)
{
	switch (type) {
	MESSAGE(HF_REPLICATION_SYNC, sync)
	MESSAGE(HF_REPLICATION_REQUEST, request)
	MESSAGE(HF_REPLICATION_CANCEL, cancel)
	case HF_REPLICATION_DATA: {
		struct hf_replication_data m;
		int status = hf_replication_read_data(body, &m);
		if (status == HF_OK) {
			hf_replication_write_data(out, &m);
			check_data(&m);
		}
		return status;
	}
	MESSAGE(HF_REPLICATION_NO_DATA, no_data)
	MESSAGE(HF_REPLICATION_WANT, want)
	MESSAGE(HF_REPLICATION_BITFIELD, bitfield)
	MESSAGE(HF_REPLICATION_RANGE, range)
	MESSAGE(HF_REPLICATION_EXTENSION, extension)
	MESSAGE(HF_REPLICATION_TYPES, handshake)
	default: return HF_EINVAL;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_buffer first = {0}, second = {0};
	struct hf_compact_writer out = hf_compact_writer(&first), again = hf_compact_writer(&second);

	if (size == 0)
		return 0;
	unsigned type = data[0] % (HF_REPLICATION_TYPES + 1);

	if (pass(type, hf_slice(data + 1, size - 1), &out) == HF_OK) {
		FUZZ_CHECK(out.status == HF_OK);
		/* A no-data message may have left its flags out. */
		FUZZ_CHECK(first.length <= size - 1 || type == HF_REPLICATION_NO_DATA);
		FUZZ_CHECK(pass(type, hf_buffer_slice(&first), &again) == HF_OK);
		FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&first), hf_buffer_slice(&second)));
	}
	hf_buffer_free(&first);
	hf_buffer_free(&second);
	return 0;
}
