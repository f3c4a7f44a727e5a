/* env: what the outside world hands in: clock, random source, files and the executor.
 *
 * On libuv and real threads in the daemon; inline and seeded in tests and the simulator. Nothing in the
 * library reads a clock, draws a random number, opens a file or starts work on another thread but
 * through it.
 */
#ifndef HF_BASE_ENV_H
#define HF_BASE_ENV_H

#include "base/file.h"

/* Work for another thread. The struct is embedded in what the work is about; run is called once on a
 * worker; what run does to come back (a mailbox, a commit) is its own affair. */
struct hf_work {
	void (*run)(struct hf_work *work);
	struct hf_work *next;
};

struct hf_executor {
	void *context;
	/* Queues work; HF_EBUSY when the bounded queue is full (nothing is queued then). */
	int (*submit)(struct hf_executor *executor, struct hf_work *work);
	unsigned worker_count;
};

struct hf_env {
	void *context;
	uint64_t (*monotonic_us)(struct hf_env *env); /* timers */
	uint64_t (*wall_ms)(struct hf_env *env);      /* Unix milliseconds: expiry, dates */
	void (*random)(struct hf_env *env, void *out, size_t length);
	struct hf_fs *fs;
	struct hf_executor *executor; /* signature checks and long scans; may be inline */
};

static inline uint64_t hf_env_monotonic_us(struct hf_env *env) { return env->monotonic_us(env); }
static inline uint64_t hf_env_monotonic_ms(struct hf_env *env) { return env->monotonic_us(env) / 1000; }
static inline uint64_t hf_env_wall_ms(struct hf_env *env) { return env->wall_ms(env); }
static inline uint64_t hf_env_wall_s(struct hf_env *env) { return env->wall_ms(env) / 1000; }

/* Real clocks, getrandom, real files; executor left NULL for the caller to set. */
HF_API void hf_env_system(struct hf_env *env);

/* A pool of threads over a bounded queue, first in first out. Names the threads "hf-<name>-<n>". stop
 * runs what is queued, joins the threads and frees the pool. */
HF_API int hf_executor_start(struct hf_executor **out, const char *name, unsigned worker_count, size_t queue_count_max);
HF_API void hf_executor_stop(struct hf_executor *executor);
/* Runs work inside submit. For tests and tools. */
HF_API struct hf_executor *hf_executor_inline(void);

#endif
