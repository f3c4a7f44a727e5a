/* chunk: memory for blocks that come from peers. A value that lies in a chunk goes to the disk from there: a proof that names it
 * (hf_proof.block.chunk) is stored without a copy. The memory is used again by the corestore. On the corestore's thread only.
 */
#ifndef HF_DATA_HYPERCORE_CHUNK_H
#define HF_DATA_HYPERCORE_CHUNK_H

#include "base/bytes.h"

struct hf_corestore;

struct hf_core_chunk {
	struct hf_corestore *store;
	uint32_t references;
	struct hf_buffer bytes; /* may be filled until the first proof that names it is given to a core */
};

int hf_core_chunk_new(struct hf_corestore *store, struct hf_core_chunk **out); /* with one reference. HF_ENOMEM */
void hf_core_chunk_unref(struct hf_core_chunk *chunk); /* NULL is fine */

#endif
