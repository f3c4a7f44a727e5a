/* target: the data directory that a command works on: itself when LOCK is free, else the gateway that holds it; or with --url a gateway
 * elsewhere (door.h). */
#ifndef HF_CLI_TARGET_H
#define HF_CLI_TARGET_H

#include "cli/command.h"
#include "service/actions.h"
#include "service/datadir.h"

struct hf_cli_remote;

struct hf_cli_target {
	struct hf_cli *cli;
	struct hf_cli_remote *remote;    /* not NULL: a core at a peer is worked on; see hf_cli_bee_open */
	struct hf_datadir directory;
	struct hf_store *store;          /* NULL when a gateway is asked */
	struct hf_corestore *cores;      /* opened with the first action on cores */
	struct hf_executor *executor;
	/* For actions that stream, on a free directory only. */
	int (*flush)(void *context, struct hf_buffer *out);
	void (*progress)(void *context, uint64_t done, uint64_t total);
	void *context;
};

/* create: make the data directory when it is missing. Errors are as of hf_datadir_open and hf_store_open; HF_EBUSY when
 * another process holds LOCK and answers at no admin.sock. */
int hf_cli_target_open(struct hf_cli_target *target, struct hf_cli *cli, bool create, struct hf_failure *failure);
void hf_cli_target_close(struct hf_cli_target *target);
static inline bool hf_cli_target_is_gateway(const struct hf_cli_target *target) { return !target->store && !target->remote; }
/* Runs an action; out is appended to. arguments: one line of JSON. data: what follows it. */
int hf_cli_target_run(struct hf_cli_target *target, const char *action, const char *arguments, struct hf_slice data,
	struct hf_buffer *out, struct hf_failure *failure);
/* Opens what is there, runs one action, and closes. */
int hf_cli_target_ask(struct hf_cli *cli, const char *action, const char *arguments, struct hf_slice data, struct hf_buffer *out,
	struct hf_failure *failure);

#endif
