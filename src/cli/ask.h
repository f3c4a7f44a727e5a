/* ask: a gateway that runs, as an object: what operators' commands are made of. (door.h has the ways there) */
#ifndef HF_CLI_ASK_H
#define HF_CLI_ASK_H

#include <jansson.h>

#include "cli/command.h"

/* One question: what stands after /admin/, and takes the arguments; NULL: it is asked with GET. The answer, which is the caller's, or NULL
 * with the failure; HF_ENOTFOUND: no gateway runs on the data directory. */
json_t *hf_cli_ask(struct hf_cli *cli, const char *what, json_t *arguments, struct hf_failure *failure);

/* Takes an answer, or NULL with the failure: prints it as JSON or as facts, or what went wrong. The exit code. */
int hf_cli_show(struct hf_cli *cli, json_t *answer, const struct hf_failure *failure);
/* The same of something that answers only that it is done, which `done` says to people. */
int hf_cli_show_done(struct hf_cli *cli, json_t *answer, const char *done, const struct hf_failure *failure);

#endif
