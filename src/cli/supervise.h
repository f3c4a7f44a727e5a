/* supervise: several parts of Holdfast as processes of their own, started one after the other and kept running.
 *
 * Each part is this program with other arguments. The next is started when the one before has printed the line that says it serves. A part
 * that ends is started again, after a wait that grows while it keeps ending; one that refuses its arguments, its configuration or its
 * data directory is not, and ends all. What the parts print goes to standard error, each line after its part's name.
 *
 * SIGINT and SIGTERM end them, the last first, each given time to end in order; a second one ends all at once. SIGHUP is passed on. Should
 * this process be killed, the parts are told to end, too.
 */
#ifndef HF_CLI_SUPERVISE_H
#define HF_CLI_SUPERVISE_H

#include <sys/types.h>

#include "base/env.h"

#define HF_SUPERVISE_PART_COUNT_MAX 8
#define HF_SUPERVISE_LINE_BYTES 1024   /* of a part's output; longer ones are broken */
#define HF_SUPERVISE_WAIT_MS_MIN 250   /* before a part is started again, and doubled each time up to */
#define HF_SUPERVISE_WAIT_MS_MAX 10000
#define HF_SUPERVISE_PROVEN_MS 30000   /* one that ran so long begins with the least wait again */
#define HF_SUPERVISE_END_MS 15000      /* to end in order */

struct hf_part {
	const char *name;
	const char *const *arguments;  /* after the program's name; NULL at the end */
	const char *ready;             /* how the line begins that says it serves */
	bool takes_reload;             /* SIGHUP means something to it */
	/* Private. */
	pid_t process;                 /* 0: not running */
	int output;
	size_t line_length;
	uint64_t started_ms, start_at_ms, wait_ms;
	bool is_ready;
	char line[HF_SUPERVISE_LINE_BYTES];
};

struct hf_supervise_options {
	struct hf_env *env;
	struct hf_part *parts;         /* zeroed but for the first members */
	size_t count;
	/* Every line of a part that is not ready yet. May be NULL. */
	void (*heard)(void *context, const struct hf_part *part, const char *line);
	/* All parts serve, for the first time. What it returns other than 0 ends them. */
	int (*ready)(void *context);
	void *context;
};
/* Runs until told to end. An exit code: of the part that could not go on, or 0. */
int hf_supervise(const struct hf_supervise_options *options);

#endif
