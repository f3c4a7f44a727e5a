/* actions_private: what the actions share. (Private to the files actions*.c.) */
#ifndef HF_SERVICE_ACTIONS_PRIVATE_H
#define HF_SERVICE_ACTIONS_PRIVATE_H

#include <jansson.h>

#include "service/actions.h"

/* A call with its input taken apart. */
struct hf_action_run {
	struct hf_action_call *call;
	json_t *arguments;
	struct hf_slice data;
	uint32_t collection; /* of the relay that the arguments name */
	struct hf_corestore *cores; /* of the actions on cores */
};

/* The next line without its end; false when there is none. */
bool hf_action_next_line(struct hf_slice *data, struct hf_slice *line);
/* Appends value as one line and frees it. */
int hf_action_append(struct hf_buffer *out, json_t *value);

int hf_action_import(struct hf_action_run *run);
int hf_action_count(struct hf_action_run *run);
int hf_action_scan(struct hf_action_run *run);
int hf_action_export(struct hf_action_run *run);

/* An argument, NULL when it is not there. */
const char *hf_action_text(const struct hf_action_run *run, const char *name);
int hf_action_number(struct hf_action_run *run, const char *name, uint64_t otherwise, uint64_t *out);
/* The core that "key", or "name" and "namespace", mean; with "encryption_key". HF_ENOTFOUND, HF_EINVAL, HF_EDENIED. */
int hf_action_open_core(struct hf_action_run *run, struct hf_core **out);
/* Whether it was made with an encryption key here. */
bool hf_action_core_is_sealed(struct hf_core *core);
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

#endif
