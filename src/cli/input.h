/* input: what a command reads from standard input or a file and works on in batches. What was read is to be committed whenever the input
 * pauses, so that whoever follows sees it soon. */
#ifndef HF_CLI_INPUT_H
#define HF_CLI_INPUT_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "base/error.h"

/* Zero-initialise, and set stop. */
struct hf_cli_input {
	struct hf_buffer bytes;           /* read, and not consumed yet */
	int descriptor;
	uint64_t read_bytes, total_bytes; /* total 0: not known */
	bool at_end;
	atomic_bool *stop;                /* true: the input ends here; NULL: nobody stops it */
};

/* path NULL: standard input. */
int hf_cli_input_open(struct hf_cli_input *input, const char *path, struct hf_failure *failure);
void hf_cli_input_close(struct hf_cli_input *input);
bool hf_cli_input_is_terminal(const struct hf_cli_input *input);
/* Whether nothing comes for a moment. */
bool hf_cli_input_pauses(const struct hf_cli_input *input);
/* Waits for more, and reads what there is. */
int hf_cli_input_read(struct hf_cli_input *input, struct hf_failure *failure);
/* The line at bytes.data + at, without its end; *used with it. False when more must be read. Longer than bytes_max: it is cut there. */
bool hf_cli_input_line(const struct hf_cli_input *input, size_t at, size_t bytes_max, size_t *length, size_t *used);

#endif
