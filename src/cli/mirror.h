/* mirror: what both directions of `drive mirror` have in common. */
#ifndef HF_CLI_MIRROR_H
#define HF_CLI_MIRROR_H

#include "cli/drive.h"
#include "cli/terminal.h"
#include "service/folder.h"

struct hf_mirror {
	struct hf_cli *cli;
	struct hf_cli_drive drive;
	struct hf_folder folder;
	struct hf_progress progress;
	json_t *ignored;          /* normalised names, as texts */
	bool is_dry, keeps, syncs; /* keeps: what the source does not have is not removed */
	bool is_over;             /* whatever fails now ends it */
	uint64_t files, added, changed, removed, failed, bytes, done_bytes, total_bytes;
	struct hf_failure failure; /* what ended it */
};

/* Counts and says what has been done, or would be: "add", "change", "remove"; bytes that were written for it. */
void hf_mirror_tell(struct hf_mirror *mirror, const char *what, struct hf_slice name, uint64_t bytes);
/* Says what is wrong with one file. HF_OK: the others can be gone on with; else what ends it all, in mirror->failure. */
int hf_mirror_fail(struct hf_mirror *mirror, const struct hf_failure *failure);
bool hf_mirror_is_ignored(const struct hf_mirror *mirror, struct hf_slice name);
void hf_mirror_show(struct hf_mirror *mirror, uint64_t more_bytes);

/* How a file in the drive, NULL without one, differs from one in the folder. */
enum hf_mirror_difference { HF_MIRROR_SAME, HF_MIRROR_OTHER, HF_MIRROR_MODE };
int hf_mirror_compare(struct hf_mirror *mirror, struct hf_slice name, const json_t *in_drive, const struct hf_folder_entry *in_folder,
	enum hf_mirror_difference *out, struct hf_failure *failure);
/* Whether the first so many bytes of a blob are those of a file, and where not exactly that many are asked for, whether it is as long. */
int hf_mirror_same_content(struct hf_mirror *mirror, json_t *blob, int descriptor, uint64_t length, bool *is_same,
	struct hf_failure *failure);
uint64_t hf_mirror_size(const json_t *entry); /* of the blob of an entry; of one with a map, of the map */

/* The entry of a name in the drive; NULL with failure->code HF_OK when there is none. */
json_t *hf_mirror_find(struct hf_mirror *mirror, struct hf_slice name, struct hf_failure *failure);

int hf_mirror_into_drive(struct hf_mirror *mirror);
int hf_mirror_into_folder(struct hf_mirror *mirror);

#endif
