/* upgrade: brings a store of an older format up to date when it is opened. (Private to store/.)
 *
 * There is a step from each format to the next. A step writes new files and changes the manifest in memory to name them; the
 * manifest is replaced then, by a rename, and says the next format. Until then the store is of the old format, whatever
 * happens; after it the old files are swept away as those are that no manifest names. The data directory's LOCK is held.
 *
 *   1 to 2   block runs get restarts (block_run.h); log segments may be missing in the manifest (manifest.h)
 */
#ifndef HF_STORE_UPGRADE_H
#define HF_STORE_UPGRADE_H

#include "store/manifest.h"

struct hf_upgrade_step {
	const char *what; /* for the log: "block runs get restarts" */
	/* Files get numbers from store->next_file_number. On failure the manifest may be half changed. */
	int (*run)(struct hf_store *store, struct hf_manifest *manifest, struct hf_failure *failure);
};

/* steps[n - 1] makes format n + 1 of format n. */
extern const struct hf_upgrade_step hf_upgrade_steps[HF_STORE_FORMAT_VERSION - 1];

/* Takes steps until the manifest has the newest format, and writes it under that name (MANIFEST or MANIFEST.copy) after each.
 * HF_EVERSION when the store is open for reading only; what a step or a write fails with. */
int hf_store_upgrade(struct hf_store *store, const char *name, struct hf_manifest *manifest, const struct hf_upgrade_step *steps,
	uint32_t newest, struct hf_failure *failure);

#endif
