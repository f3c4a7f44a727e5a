/* table: all commands. */
#ifndef HF_CLI_TABLE_H
#define HF_CLI_TABLE_H

#include "cli/command.h"

extern const struct hf_cli_command hf_cli_commands[];
extern const size_t hf_cli_command_count;

#endif
