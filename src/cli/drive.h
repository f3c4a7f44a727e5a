/* drive: what the commands on drives have in common: which drive, where it is, and its pages of entries and bytes of files. */
#ifndef HF_CLI_DRIVE_H
#define HF_CLI_DRIVE_H

#include "cli/remote.h"
#include "data/hyperdrive/drive.h"

#define HF_CLI_DRIVE_PART_BYTES (4u << 20) /* of files that are put or read in parts */

struct hf_cli_drive {
	struct hf_cli *cli;
	json_t *arguments;       /* of an action: which drive, and at which version */
	unsigned next;           /* the first argument after KEY */
	struct hf_cli_target target;
	struct hf_cli_remote remote;
	bool is_remote;          /* wherever it is, not here: what fetch wants */
	struct hf_drive *kept;   /* holds its cores open from one action to the next; NULL when a gateway is asked */
};
/* KEY or --name, --encryption-key and --at. False: what is wrong has been said, and the exit code is HF_CLI_USAGE. */
bool hf_cli_drive_read(struct hf_cli *cli, struct hf_cli_drive *drive);
void hf_cli_drive_free(struct hf_cli_drive *drive); /* zeroed is fine */
/* Opens the data directory, or with --tcp or --bootstrap the drive at a peer. False: why has been said, and *code is the exit code. */
bool hf_cli_drive_open(struct hf_cli_drive *drive, int *code);
void hf_cli_drive_close(struct hf_cli_drive *drive);

/* Runs an action with the drive's arguments and these (taken), and gives the object that it answers; NULL: it failed. */
json_t *hf_cli_drive_ask(struct hf_cli_drive *drive, const char *action, json_t *more, struct hf_slice data, struct hf_failure *failure);

/* ---- Pages (drive_read.c) ---- */

/* Entries of drive/list and drive/diff, one after the other, page by page. Zero-initialise but for drive, action and more. */
struct hf_cli_drive_walk {
	struct hf_cli_drive *drive;
	const char *action;
	json_t *more;            /* its arguments beside the drive's; taken */
	struct hf_buffer page;
	size_t at;
	json_t *after;           /* where the next page begins; NULL: at the front */
	bool is_started, is_last;
};
/* The next object, owned by the caller. NULL: the end, or a failure. */
json_t *hf_cli_drive_walk_next(struct hf_cli_drive_walk *walk, struct hf_failure *failure);
void hf_cli_drive_walk_free(struct hf_cli_drive_walk *walk);

/* ---- Files (drive_copy.c) ---- */

/* Gives the bytes of a file, which {"path"} or {"blob"}, "start" and "length" in more (taken) say, to take, whose negative return ends
 * it. */
int hf_cli_drive_copy(struct hf_cli_drive *drive, json_t *more, int (*take)(void *context, struct hf_slice bytes), void *context,
	struct hf_failure *failure);

/* A file on its way into the drive. */
struct hf_cli_drive_put {
	struct hf_cli_drive *drive;
	json_t *file;            /* {"path", "executable", …}, as of drive/change; owned by the caller */
	const char *note;        /* by which it is found again when it is interrupted; NULL: it is not to be */
	json_t *blob;            /* what has been written of it; NULL: nothing */
	struct hf_buffer bytes;
	bool is_synced;
};
/* HF_ECANCELED: another wrote into the drive meanwhile; begin again. */
int hf_cli_drive_put_add(struct hf_cli_drive_put *put, struct hf_slice bytes, struct hf_failure *failure);
int hf_cli_drive_put_end(struct hf_cli_drive_put *put, struct hf_failure *failure);
void hf_cli_drive_put_free(struct hf_cli_drive_put *put);

#endif
