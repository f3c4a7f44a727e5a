/* actions_private: what the actions share. (Private to the files actions*.c.) */
#ifndef HF_SERVICE_ACTIONS_PRIVATE_H
#define HF_SERVICE_ACTIONS_PRIVATE_H

#include <jansson.h>

#include "data/hyperbee/bee.h"
#include "data/hyperdrive/drive.h"
#include "service/actions.h"
#include "service/json_hex.h"

#define HF_ACTION_PAGE_BYTES (4u << 20)  /* of blocks or entries in an answer; one of them may be longer */
#define HF_ACTION_PAGE_COUNT_MAX 4096    /* of them in an answer */

/* A call with its input taken apart. */
struct hf_action_run {
	struct hf_action_call *call;
	json_t *arguments;
	struct hf_slice data;
	uint32_t collection; /* of the relay that the arguments name */
	struct hf_corestore *cores; /* of the actions on cores */
	struct hf_bee_waiter waiter; /* of those on bees */
	bool is_ready;
};

/* The next line without its end; false when there is none. */
bool hf_action_next_line(struct hf_slice *data, struct hf_slice *line);
/* Appends value as one line and frees it. */
int hf_action_append(struct hf_buffer *out, json_t *value);

int hf_action_audit_export(struct hf_action_run *run);
int hf_action_audit_verify(struct hf_action_run *run);
int hf_action_audit_tail(struct hf_action_run *run);
int hf_action_relay_info(struct hf_action_run *run);
int hf_action_relay_rebuild_bee(struct hf_action_run *run);
int hf_action_import(struct hf_action_run *run);
int hf_action_count(struct hf_action_run *run);
int hf_action_scan(struct hf_action_run *run);
int hf_action_export(struct hf_action_run *run);

/* An argument, NULL when it is not there. */
const char *hf_action_text(const struct hf_action_run *run, const char *name);
int hf_action_number(struct hf_action_run *run, const char *name, uint64_t otherwise, uint64_t *out);
/* 32 bytes in hexadecimal; *given is false when the argument is not there. */
int hf_action_read_32(struct hf_action_run *run, const char *name, uint8_t out[static 32], bool *given);
/* The core that "key", or "name" and "namespace", mean; with "encryption_key". HF_ENOTFOUND, HF_EINVAL, HF_EDENIED. */
int hf_action_open_core(struct hf_action_run *run, struct hf_core **out);
/* Whether it was made with an encryption key here. */
bool hf_action_core_is_sealed(struct hf_core *core);
/* core/create. fill (may be NULL) puts into the core, new or not, what belongs to its kind; it is committed with the core. */
int hf_action_make_core(struct hf_action_run *run, int (*fill)(struct hf_action_run *run, struct hf_core *core));
/* What it is, an object. */
json_t *hf_action_core_facts(struct hf_action_run *run, struct hf_core *core);

int hf_action_core_create(struct hf_action_run *run);
int hf_action_core_info(struct hf_action_run *run);
int hf_action_core_list(struct hf_action_run *run);
int hf_action_core_append(struct hf_action_run *run);
int hf_action_core_get(struct hf_action_run *run);
int hf_action_core_seek(struct hf_action_run *run);
int hf_action_core_truncate(struct hf_action_run *run);
int hf_action_core_clear(struct hf_action_run *run);
int hf_action_core_verify(struct hf_action_run *run);

/* The bee on the core that is meant. HF_EMALFORMED: that is another kind of core. */
int hf_action_open_bee(struct hf_action_run *run, struct hf_bee **out);
void hf_action_close_bee(struct hf_action_run *run, struct hf_bee *bee);
/* Whether an operation on a bee is to be made again: after HF_EWAIT, when the caller of the action waits for blocks. *status is what
 * waiting for them ended with. */
bool hf_action_bee_again(struct hf_action_run *run, struct hf_bee *bee, int *status);
/* The sentence for what an operation on a bee ended with; returns the action's code. */
int hf_action_bee_fail(struct hf_action_run *run, struct hf_bee *bee, int status);

int hf_action_bee_create(struct hf_action_run *run);
int hf_action_bee_info(struct hf_action_run *run);
int hf_action_bee_change(struct hf_action_run *run);
int hf_action_bee_get(struct hf_action_run *run);
int hf_action_bee_list(struct hf_action_run *run);
int hf_action_bee_diff(struct hf_action_run *run);
int hf_action_bee_history(struct hf_action_run *run);

/* The drive that is meant. HF_EMALFORMED: that is another kind of core. */
int hf_action_open_drive(struct hf_action_run *run, struct hf_drive **out);
void hf_action_close_drive(struct hf_action_run *run, struct hf_drive *drive);
/* As hf_action_bee_again, for the reader of a file. */
bool hf_action_blob_again(struct hf_action_run *run, struct hf_blob_reader *reader, int *status);
/* The sentence for what an operation on a drive ended with; returns the action's code. path: what it was about; may be empty. */
int hf_action_drive_fail(struct hf_action_run *run, struct hf_drive *drive, struct hf_slice path, int status);
/* The text of an argument, which may be empty. */
struct hf_slice hf_action_slice(const json_t *object, const char *name);
/* A blob's id as an argument. HF_EINVAL. */
int hf_action_read_blob(struct hf_action_run *run, const json_t *value, struct hf_blob_id *id);
json_t *hf_action_blob(const struct hf_blob_id *id);

int hf_action_drive_create(struct hf_action_run *run);
int hf_action_drive_info(struct hf_action_run *run);
int hf_action_drive_change(struct hf_action_run *run);
int hf_action_drive_write(struct hf_action_run *run);
int hf_action_drive_unfinished(struct hf_action_run *run);
int hf_action_drive_clear(struct hf_action_run *run);
int hf_action_drive_truncate(struct hf_action_run *run);
int hf_action_drive_list(struct hf_action_run *run);
int hf_action_drive_entry(struct hf_action_run *run);
int hf_action_drive_get(struct hf_action_run *run);
int hf_action_drive_diff(struct hf_action_run *run);

#endif
