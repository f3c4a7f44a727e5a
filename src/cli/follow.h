/* follow: looks again and again at what another process may change, for `core tail --follow` and `bee watch`.
 *
 * On a free data directory it lets go of it while it waits, so that others can write. LOCK is written to by each who takes it, so there is
 * something new to look for once its time of change has moved. */
#ifndef HF_CLI_FOLLOW_H
#define HF_CLI_FOLLOW_H

#include <signal.h>
#include <time.h>

#include "cli/target.h"

struct hf_cli_follow {
	struct hf_cli *cli;
	bool is_once;                 /* look once, and end */
	/* Prints what is new; the target is open. */
	int (*look)(void *context, struct hf_failure *failure);
	void *context;
	struct hf_cli_target target; /* opened, and closed, by hf_cli_follow */
	bool is_open;                 /* but this one has been opened: a core at a peer, which is kept up with */
	/* Its own; zero at first. */
	sigset_t signals;
	struct timespec lock_changed;
	bool has_looked;
};

/* Until SIGTERM or SIGINT; gives the exit code. The target is closed. */
int hf_cli_follow(struct hf_cli_follow *follow);

#endif
