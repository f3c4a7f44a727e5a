/* core: what the commands on cores have in common: which core, which action, and how failing is told. */
#ifndef HF_CLI_CORE_H
#define HF_CLI_CORE_H

#include <jansson.h>

#include "cli/target.h"

#define HF_CLI_BLOCK_RANGE_COUNT_MAX 64

/* Blocks [from, to); to UINT64_MAX: to the end. */
struct hf_cli_range {
	uint64_t from, to;
};

/* The arguments of an action on the core that KEY or --name says, with --encryption-key; *next is the first argument after KEY.
 * NULL: what is wrong has been said, and the exit code is HF_CLI_USAGE. */
json_t *hf_cli_core_arguments(struct hf_cli *cli, unsigned *next);
/* A whole number: argument number at, or an option's value. False when it has been said what is wrong. */
bool hf_cli_core_number(const struct hf_cli *cli, unsigned at, const char *what, uint64_t *out);
bool hf_cli_core_option_number(const struct hf_cli *cli, const char *option, uint64_t otherwise, uint64_t *out);
/* "7", "3..9", "3..", "..9". */
bool hf_cli_core_range(const char *text, struct hf_cli_range *range);
/* 2 * length characters of hexadecimal, of either case. */
bool hf_cli_core_hex(uint8_t *out, const char *text, size_t length);
/* `core create` and `core info` with the action of another kind of core. */
int hf_cli_core_create_as(struct hf_cli *cli, const char *action);
int hf_cli_core_info_as(struct hf_cli *cli, const char *action);
/* Runs the action on an open target. */
int hf_cli_core_run(struct hf_cli_target *target, const char *action, const json_t *arguments, struct hf_slice data, struct hf_buffer *out,
	struct hf_failure *failure);
/* The same of an action whose answer begins with a line of JSON: *head, which is let go of first, as what is in *out; *body: where in *out
 * that which follows it begins. */
int hf_cli_core_ask(struct hf_cli_target *target, const char *action, const json_t *arguments, struct hf_slice data, struct hf_buffer *out,
	json_t **head, size_t *body, struct hf_failure *failure);
/* What is wrong with a core is HF_CLI_FAILED, whatever its code is elsewhere; only corruption has one of its own. */
int hf_cli_core_fail(const struct hf_failure *failure);
int hf_cli_core_usage(const struct hf_cli *cli, const char *sentence);

/* A page of blocks, of core/get. Zero-initialise; free at the end. */
struct hf_cli_page {
	struct hf_buffer out;
	json_t *head;
	size_t count;
	uint64_t to, length, fork;
	size_t at;              /* in out: the next block's first byte */
};
int hf_cli_core_page(struct hf_cli_target *target, json_t *arguments, uint64_t from, uint64_t to, bool is_partial, struct hf_cli_page *page,
	struct hf_failure *failure);
void hf_cli_core_page_free(struct hf_cli_page *page);

#endif
