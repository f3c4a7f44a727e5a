/* drive_private: what the parts of a drive share. (Private to hyperdrive/.) */
#ifndef HF_DATA_HYPERDRIVE_DRIVE_PRIVATE_H
#define HF_DATA_HYPERDRIVE_DRIVE_PRIVATE_H

#include "data/hyperdrive/drive.h"

/* Keys of files begin with this in the bee. */
#define HF_DRIVE_PREFIX "files"
#define HF_DRIVE_PREFIX_BYTES sizeof HF_DRIVE_PREFIX /* with its NUL */

struct hf_drive {
	struct hf_corestore *cores;
	struct hf_core *db, *blobs; /* blobs NULL: not known yet */
	struct hf_bee *bee;
	bool is_encrypted, has_name_space;
	uint8_t encryption_key[32], name_space[HF_NAMESPACE_BYTES];
	struct hf_buffer key;       /* of the bee, of the last name */
	struct hf_buffer value, scratch, target;
};

/* Makes drive->key that of the name. */
int hf_drive_key(struct hf_drive *drive, struct hf_slice name);
/* The entry in a bee's. The link may come to lie in *scratch. */
int hf_drive_entry_of(const struct hf_bee_entry *found, struct hf_buffer *scratch, struct hf_drive_entry *entry);
/* The same for lists, which go on past what cannot be read. */
int hf_drive_entry_in_list(const struct hf_bee_entry *found, struct hf_buffer *scratch, struct hf_drive_entry *entry);
/* The range of all names below a folder; its bounds lie in *bytes, which is cleared first. */
int hf_drive_range(struct hf_slice folder, struct hf_buffer *bytes, struct hf_bee_range *range);

#endif
