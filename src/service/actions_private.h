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
};

/* The next line without its end; false when there is none. */
bool hf_action_next_line(struct hf_slice *data, struct hf_slice *line);
/* Appends value as one line and frees it. */
int hf_action_append(struct hf_buffer *out, json_t *value);

int hf_action_import(struct hf_action_run *run);
int hf_action_count(struct hf_action_run *run);
int hf_action_scan(struct hf_action_run *run);
int hf_action_export(struct hf_action_run *run);

#endif
