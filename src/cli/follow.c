#include "cli/follow.h"

#include <stdio.h>
#include <sys/stat.h>

#include "cli/remote.h"

#define LOOK_MS 100 /* between looks */

static struct timespec lock_time(const struct hf_cli_follow *f)
{
	char path[HF_PATH_BYTES_MAX];
	struct stat status = {0};
	if (snprintf(path, sizeof path, "%s/LOCK", f->cli->config->data) >= (int)sizeof path || stat(path, &status) < 0)
		return (struct timespec){0};
	return status.st_mtim;
}

/* Waits a moment; HF_ECANCELED when it is time to end. */
static int pause_a_moment(const struct hf_cli_follow *f, struct hf_failure *failure)
{
	struct timespec moment = {.tv_nsec = LOOK_MS * 1000000L};
	if (f->target.remote)
		return hf_cli_remote_linger(f->target.remote, LOOK_MS, failure);
	return sigtimedwait(&f->signals, NULL, &moment) > 0 ? HF_ECANCELED : HF_OK;
}

static void let_go(struct hf_cli_follow *f)
{
	bool was_ours = !hf_cli_target_is_gateway(&f->target);
	hf_cli_target_close(&f->target);
	f->is_open = false;
	f->lock_changed = was_ours ? lock_time(f) : (struct timespec){0};
}

/* Opens the directory if there may be something new; HF_EWAIT when not, or when somebody holds it who answers nothing. */
static int take_again(struct hf_cli_follow *f, struct hf_failure *failure)
{
	struct timespec changed = lock_time(f);
	if (f->has_looked && changed.tv_sec == f->lock_changed.tv_sec && changed.tv_nsec == f->lock_changed.tv_nsec)
		return HF_EWAIT;
	int r = hf_cli_target_open(&f->target, f->cli, false, failure);
	f->is_open = r == HF_OK;
	return r == HF_EBUSY && f->has_looked ? HF_EWAIT : r;
}

/* HF_OK when it is time to end. */
static int run(struct hf_cli_follow *f, struct hf_failure *failure)
{
	for (int r = HF_OK;; r = HF_OK) {
		bool was_open = f->is_open;
		if (!f->is_open)
			r = take_again(f, failure);
		if (r == HF_OK)
			r = f->look(f->context, failure);
		f->has_looked |= r == HF_OK;
		/* The process that was asked has gone: whoever holds the directory now, or nobody, is asked next. */
		bool is_gone = r < 0 && was_open && f->is_open && hf_cli_target_is_gateway(&f->target);
		if (r < 0 && r != HF_EWAIT && !is_gone)
			return r;
		if (f->is_once)
			return HF_OK;
		if (f->is_open && !f->target.remote && (is_gone || !hf_cli_target_is_gateway(&f->target)))
			let_go(f);
		r = pause_a_moment(f, failure);
		if (r < 0)
			return r == HF_ECANCELED ? HF_OK : r;
	}
}

int hf_cli_follow(struct hf_cli_follow *f)
{
	struct hf_failure failure = {0};
	sigemptyset(&f->signals);
	sigaddset(&f->signals, SIGTERM);
	sigaddset(&f->signals, SIGINT);
	if (!f->is_once && !f->is_open)
		sigprocmask(SIG_BLOCK, &f->signals, NULL);
	failure.code = run(f, &failure);
	bool was_open = f->is_open;
	if (f->is_open)
		hf_cli_target_close(&f->target);
	f->is_open = false;
	return failure.code == HF_OK ? HF_CLI_OK : was_open ? hf_cli_core_fail(&failure) : hf_cli_fail(&failure);
}
