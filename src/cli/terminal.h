/* terminal: what a person watching sees: progress of long work, and facts as a list. */
#ifndef HF_CLI_TERMINAL_H
#define HF_CLI_TERMINAL_H

#include <jansson.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/env.h"

/* Once the work has taken a second: a line on standard error, on a terminal drawn again at most ten times a second, elsewhere followed by
 * others in growing intervals. */
struct hf_progress {
	struct hf_env *env;
	const char *unit;   /* "events" */
	uint64_t started_us, drawn_us;
	bool is_terminal, is_drawn;
};
void hf_progress_begin(struct hf_progress *progress, struct hf_env *env, const char *unit);
void hf_progress_show(struct hf_progress *progress, uint64_t done, uint64_t total); /* total 0: not known */
void hf_progress_end(struct hf_progress *progress); /* wipes the line */

/* One line for each member of the object: numbers grouped by thousands, …_bytes as sizes, …created_at as dates. */
void hf_terminal_facts(json_t *object);

void hf_terminal_json(const json_t *value); /* on one line */

/* Text of others; what a terminal could take for a command is written \\xNN. */
void hf_terminal_text(FILE *out, struct hf_slice text);
/* "holdfast: ", the sentence and a newline, to standard error; a sentence may have names of others in it. */
void hf_terminal_fail(const char *sentence);

#endif
