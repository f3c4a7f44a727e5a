/* core_append: appending, as a part of serving. */
#ifndef HF_CLI_CORE_APPEND_H
#define HF_CLI_CORE_APPEND_H

#include <stdatomic.h>

#include "cli/command.h"

/* As `core append`, on any thread, until the input ends or *stop is true. */
int hf_cli_core_append_until(struct hf_cli *cli, atomic_bool *stop);
/* Serves meanwhile, and goes on after the end of the input. */
int hf_cli_core_append_serving(struct hf_cli *cli);

#endif
