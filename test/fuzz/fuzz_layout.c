/* fuzz_layout: whatever stands in the store where a core's records should be is refused or read within bounds; what was read is
 * written as it would be read again. The first byte says what the rest is.
 * Covers: src/data/hypercore/layout.c */
#include "fuzz.h"

#include <string.h>

#include "data/hypercore/layout.h"

enum { PAGE, BLOCK, HEAD, CORE, NAME, PLACE, KINDS };

static void check_page(struct hf_slice bytes)
{
	static struct hf_layout_page page, again;
	uint8_t out[HF_LAYOUT_PAGE_BYTES_MAX];
	uint64_t length = bytes.length > 0 ? bytes.data[bytes.length - 1] : 0, present;
	size_t written;

	page.number = hf_layout_page_number((unsigned)(length % 9), length / 3);
	if (hf_layout_page_decode(&page, bytes) != HF_OK)
		return;
	written = hf_layout_page_encode(&page, out);
	FUZZ_CHECK(written <= sizeof out && hf_layout_page_decode(&again, hf_slice(out, written)) == HF_OK && again.present == page.present);
	present = page.present;
	hf_layout_page_cut(&page, length);
	FUZZ_CHECK((page.present & ~present) == 0);
	for (unsigned i = 0; i < HF_LAYOUT_PAGE_NODES; i++)
		if (page.present >> i & 1)
			FUZZ_CHECK(hf_flat_right_span(hf_layout_page_node(page.number, i)) / 2 < length);
}

static void check_block(struct hf_slice bytes)
{
	struct hf_tree_node nodes[HF_TREE_APPEND_NODES_MAX];
	uint8_t head[HF_LAYOUT_BLOCK_HEAD_BYTES_MAX];
	struct hf_slice value, again;
	uint64_t block = bytes.length > 0 ? bytes.data[bytes.length - 1] : 0;
	unsigned count;

	if (hf_layout_block_decode(bytes, block, nodes, &count, &value) != HF_OK) {
		FUZZ_CHECK(hf_layout_block_decode(bytes, block, NULL, NULL, &value) != HF_OK);
		return;
	}
	FUZZ_CHECK(hf_layout_block_decode(bytes, block, NULL, NULL, &again) == HF_OK && hf_slice_equal(value, again));
	FUZZ_CHECK(value.data + value.length == bytes.data + bytes.length && count <= HF_TREE_APPEND_NODES_MAX);
	FUZZ_CHECK(hf_layout_block_encode(nodes, count, head) <= bytes.length - value.length);
}

static void check_head(struct hf_slice bytes)
{
	struct hf_layout_head head, again;
	struct hf_buffer out = {0};

	if (hf_layout_head_decode(&head, bytes) != HF_OK)
		return;
	FUZZ_CHECK(head.contiguous <= head.length && head.length <= HF_TREE_LENGTH_MAX);
	FUZZ_CHECK(hf_layout_head_encode(&head, &out) == HF_OK && hf_layout_head_decode(&again, hf_buffer_slice(&out)) == HF_OK);
	FUZZ_CHECK(again.length == head.length && again.fork == head.fork && hf_slice_equal(again.signature, head.signature));
	FUZZ_CHECK(again.has_shelf == head.has_shelf && again.is_frozen == head.is_frozen);
	hf_buffer_free(&out);
}

static void check_core(struct hf_slice bytes)
{
	struct hf_layout_core core, again;
	struct hf_buffer out = {0};

	if (hf_layout_core_decode(&core, bytes) != HF_OK)
		return;
	FUZZ_CHECK(hf_layout_core_encode(&core, &out) == HF_OK && hf_layout_core_decode(&again, hf_buffer_slice(&out)) == HF_OK);
	FUZZ_CHECK(again.number == core.number && memcmp(again.key, core.key, HF_CORE_KEY_BYTES) == 0);
	FUZZ_CHECK((again.name_space == NULL) == (core.name_space == NULL) && (core.name_space == NULL || hf_slice_equal(again.name, core.name)));
	hf_buffer_free(&out);
}

static void check_name(struct hf_slice bytes)
{
	struct hf_layout_name name, again;
	struct hf_buffer out = {0};
	uint8_t id[32], id_again[32];

	if (hf_layout_name_decode(&name, bytes) != HF_OK)
		return;
	FUZZ_CHECK(hf_layout_name_encode(&name, &out) == HF_OK && hf_layout_name_decode(&again, hf_buffer_slice(&out)) == HF_OK);
	hf_layout_name_id(id, name.name_space, name.name);
	hf_layout_name_id(id_again, again.name_space, again.name);
	FUZZ_CHECK(memcmp(id, id_again, sizeof id) == 0);
	hf_buffer_free(&out);
}

/* Every node has one place. */
static void check_place(struct hf_slice bytes)
{
	uint64_t index;
	unsigned within;

	if (bytes.length < 8)
		return;
	index = hf_load_le64(bytes.data) % (2 * HF_TREE_LENGTH_MAX);
	FUZZ_CHECK(hf_layout_page_node(hf_layout_page_of(index, &within), within) == index && within < HF_LAYOUT_PAGE_NODES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[KINDS])(struct hf_slice bytes) = {[PAGE] = check_page, [BLOCK] = check_block, [HEAD] = check_head,
		[CORE] = check_core, [NAME] = check_name, [PLACE] = check_place};

	if (size > 0)
		checks[data[0] % KINDS](hf_slice(data + 1, size - 1));
	return 0;
}
