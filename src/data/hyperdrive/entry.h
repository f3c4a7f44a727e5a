/* entry: what a drive knows of one name: the value of its key in the bee, a JSON object.
 *
 * Readers take members in any order, missing ones (as nothing) and unknown ones; writers write what the package does. Specification,
 * Hypercore, section 9.2.
 */
#ifndef HF_DATA_HYPERDRIVE_ENTRY_H
#define HF_DATA_HYPERDRIVE_ENTRY_H

#include "data/hyperblobs/blobs.h"

#define HF_DRIVE_ENTRY_BYTES_MAX (256u << 10)   /* of the JSON; longer ones are HF_EMALFORMED */
#define HF_DRIVE_METADATA_BYTES_MAX (128u << 10) /* that we write */

struct hf_drive_entry {
	uint64_t seq;             /* the bee's block */
	struct hf_slice name;     /* normalised, if a package wrote it: check foreign ones with hf_drive_name_is_sound */
	bool is_executable;
	bool has_link, has_blob;
	bool is_unreadable;       /* in lists and differences: its value is not that of an entry, and what follows is empty */
	struct hf_slice link;     /* what a symbolic link stands for */
	struct hf_blob_id blob;
	struct hf_slice metadata; /* JSON text; empty: null */
};

/* All but seq and name. The link lies in *scratch (cleared first) if it had to be decoded, metadata in value. HF_EMALFORMED, HF_ENOMEM. */
HF_API int hf_drive_entry_decode(struct hf_slice value, struct hf_buffer *scratch, struct hf_drive_entry *entry);
/* Appends the JSON text. HF_EINVAL: the metadata is not one JSON value; HF_ETOOBIG: it is too long; HF_ENOMEM. */
HF_API int hf_drive_entry_encode(const struct hf_drive_entry *entry, struct hf_buffer *out);

#endif
