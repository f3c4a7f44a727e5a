/* blobs: Hyperblobs: byte strings of any length in a core, each a run of consecutive blocks.
 *
 * A blob is known by its id: which blocks, and which bytes of the core. Blocks have HF_BLOB_BLOCK_BYTES, the last one is shorter, an
 * empty blob has none. A blob with a MAP has in its blocks a list of other blocks of the core that are its content, so that equal blocks
 * are kept once. The format is npm hyperblobs 2's, and the same writes give the same blocks. Specification, Hypercore, section 9.1.
 *
 * Ids come from outside: numbers that do not fit each other or the core make HF_EMALFORMED and nothing worse.
 */
#ifndef HF_DATA_HYPERBLOBS_BLOBS_H
#define HF_DATA_HYPERBLOBS_BLOBS_H

#include "data/hypercore/core.h"

#define HF_BLOB_BLOCK_BYTES 65536
#define HF_BLOB_NUMBER_MAX 9007199254740991ull  /* of JavaScript */
#define HF_BLOB_AHEAD_COUNT 64                  /* blocks that a reader wants beyond the one that it waits for */
#define HF_BLOB_MAP_BLOCK_COUNT_MAX 64          /* blocks that a map may have */
#define HF_BLOB_MAP_ENTRY_COUNT_MAX 8192        /* in one of them */

struct hf_blob_map;

/* ---- Ids ---- */

struct hf_blob_id {
	uint64_t block_offset, block_count;
	uint64_t byte_offset, byte_length; /* without the padding of encryption; with a map, of the map */
	bool has_map;
};
/* A JSON object alone. Members may be in any order; unknown ones are skipped. HF_EMALFORMED: not an object, one of the four numbers is
 * missing, or they cannot be. */
HF_API int hf_blob_id_decode(struct hf_slice text, struct hf_blob_id *id);
HF_API int hf_blob_id_encode(const struct hf_blob_id *id, struct hf_buffer *out); /* appends, as the package writes it; HF_ENOMEM */

/* ---- Writing ---- */

/* Writes one blob as its bytes come. Its blocks are staged in the core as they become full: commit them now and then (hf_core_commit),
 * and the rest at the end. Blocks of a blob that is given up stay in the core, as in the package. */
struct hf_blob_writer {
	struct hf_core *core;      /* borrowed */
	size_t block_bytes;
	struct hf_blob_id id;      /* as far as it has come */
	struct hf_buffer rest;     /* less than a block */
	struct hf_blob_map *map;   /* NULL: none is written */
};
struct hf_blob_write_options {
	size_t block_bytes;        /* 0: HF_BLOB_BLOCK_BYTES */
	bool has_map;
	bool dedups;               /* with a map: blocks that this blob has already are not written again */
	const struct hf_blob_id *earlier; /* with dedups: nor are those of this blob, as of the file that is written anew; NULL: none */
};
/* options may be NULL. HF_EDENIED: the core is not writable; HF_EINVAL: block_bytes is more than a block can have; HF_EWAIT: a block of
 * the earlier blob is not held here, and hf_core_get says of it what else there may be; HF_ENOMEM. */
HF_API int hf_blob_writer_start(struct hf_blob_writer *writer, struct hf_core *core, const struct hf_blob_write_options *options);
/* Goes on with a blob whose first blocks are the last of the core. HF_EINVAL: they are not. */
HF_API int hf_blob_writer_resume(struct hf_blob_writer *writer, struct hf_core *core, uint64_t block_offset, uint64_t byte_offset);
/* HF_EBUSY: too much is staged; nothing was taken, commit and call again. HF_ECANCELED: the core has grown by another's hand, so that
 * the blob would have a gap; begin again. HF_ETOOBIG: a map would be too large. HF_ENOMEM, and what hf_core_append gives. */
HF_API int hf_blob_writer_add(struct hf_blob_writer *writer, struct hf_slice bytes);
/* As hf_blob_writer_add; with HF_OK the writer is done and freed. */
HF_API int hf_blob_writer_end(struct hf_blob_writer *writer, struct hf_blob_id *id);
HF_API void hf_blob_writer_free(struct hf_blob_writer *writer); /* gives it up; a zeroed or ended one is fine */

/* All of a blob at once, or nothing: for blobs that fit what may be staged. HF_EBUSY: commit and call again. */
HF_API int hf_blob_put(struct hf_core *core, struct hf_slice bytes, struct hf_blob_id *id);

/* ---- Reading ---- */

struct hf_blob_range {
	uint64_t start, length; /* bytes; to the end where length is more than there is */
};

/* Gives a blob's bytes, block by block. */
struct hf_blob_reader;
/* range NULL: all of it. Takes a reference to the core. HF_EMALFORMED: the id cannot be; HF_ENOMEM. Reads nothing yet. */
HF_API int hf_blob_read(struct hf_core *core, const struct hf_blob_id *id, const struct hf_blob_range *range, struct hf_blob_reader **out);
/* The next bytes, borrowed until the next call. HF_ENOTFOUND: that was all. HF_EWAIT: see hf_blob_reader_wait. HF_EMALFORMED: the blocks
 * are not what the id says; and what hf_core_get gives. */
HF_API int hf_blob_reader_next(struct hf_blob_reader *reader, struct hf_slice *bytes);
/* After HF_EWAIT: has the missing block fetched (or thawed), and up to HF_BLOB_AHEAD_COUNT further ones of the range, which from then on
 * go on ahead of the reading. ready is called once, later, when hf_blob_reader_next may be called again; status as of hf_core_waiter.
 * HF_EBUSY, HF_ENOMEM as of hf_bee_wait. */
HF_API int hf_blob_reader_wait(struct hf_blob_reader *reader, void (*ready)(void *context, int status), void *context);
/* The block that it waits for. */
HF_API uint64_t hf_blob_reader_needed(const struct hf_blob_reader *reader);
HF_API void hf_blob_reader_free(struct hf_blob_reader *reader); /* wants nothing any more; NULL is fine */

/* How long the content is: byte_length, or what the map says. HF_EWAIT with *needed set, HF_EMALFORMED. */
HF_API int hf_blob_length(struct hf_core *core, const struct hf_blob_id *id, uint64_t *length, uint64_t *needed);
/* Whether all its blocks are held. HF_EWAIT, HF_EMALFORMED: with a map. */
HF_API int hf_blob_is_held(struct hf_core *core, const struct hf_blob_id *id, bool *is_held);
/* Forgets its blocks, also those that a map shares with other blobs, as the package does. Staged, as hf_core_clear. */
HF_API int hf_blob_clear(struct hf_core *core, const struct hf_blob_id *id);

#endif
