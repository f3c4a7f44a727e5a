/* remote: a core at a peer, read sparsely: only the blocks that an action looks at are fetched, and kept in the data directory. */
#ifndef HF_CLI_REMOTE_H
#define HF_CLI_REMOTE_H

#include <jansson.h>

#include "cli/core_net.h"

struct hf_cli_remote {
	struct hf_cli *cli;
	struct hf_cli_endpoint endpoint;
	struct hf_core_node *node;
	struct hf_core *core;
	struct hf_replication *replication;
	struct hf_core_listener listener, other_listener;
	struct hf_core *other;   /* a second core that belongs to it: see hf_cli_remote_join; NULL: none */
	struct hf_replication *other_replication;
	struct hf_bee_asker *asker;
	struct hf_failure lost;  /* what ended it: the connection is lost, or what came cannot be kept; HF_OK so far */
	struct hf_timer timer;
	uint64_t timeout_us, moved_us, moved_blocks;
	bool is_heard, is_interrupted;
};

/* Connects to --tcp and learns how long the core is that arguments name. *code is the exit code when this fails, which has been said. */
bool hf_cli_remote_open(struct hf_cli_remote *remote, struct hf_cli *cli, const json_t *arguments, int *code);
void hf_cli_remote_close(struct hf_cli_remote *remote);
/* Has a second core exchanged as well, and learns how long it is. Takes a reference to it. */
int hf_cli_remote_join(struct hf_cli_remote *remote, struct hf_core *core, struct hf_failure *failure);
/* One turn of the loop, of 20 ms at most. HF_ECLOSED: the connection was lost; HF_ENOSPC; HF_ETIMEOUT: nothing came for --timeout seconds;
 * HF_ECANCELED: SIGINT or SIGTERM came. */
int hf_cli_remote_turn(struct hf_cli_remote *remote, struct hf_failure *failure);
/* Turns for so long, whether something comes or not; what hf_cli_remote_turn gives, but HF_ETIMEOUT. */
int hf_cli_remote_linger(struct hf_cli_remote *remote, uint64_t ms, struct hf_failure *failure);

#endif
