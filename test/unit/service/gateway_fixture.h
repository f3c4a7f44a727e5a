/* gateway_fixture: a loop, a store and the shared state on it or on a Redis of the test's own, and a clock that a test can put forward. */
#ifndef HF_TEST_GATEWAY_FIXTURE_H
#define HF_TEST_GATEWAY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/hash.h"
#include "service/gateway/state.h"
#include "support/quiet.h"
#include "support/scratch.h"

#define WAIT_MS 60000

static uint64_t clock_ahead_ms;
static uint64_t (*real_wall_ms)(struct hf_env *env);
static uint64_t moved_wall_ms(struct hf_env *env) { return real_wall_ms(env) + clock_ahead_ms; }

/* ---- Redis ---- */

struct redis_server {
	pid_t pid;
	char directory[SCRATCH_PATH_BYTES], url[SCRATCH_PATH_BYTES + 32], socket[SCRATCH_PATH_BYTES + 16];
};

static inline void redis_start(struct redis_server *r)
{
	if ((r->pid = fork()) == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
			_exit(1);
		execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", r->socket, "--dir", r->directory, "--save", "", "--appendonly", "no",
			(char *)NULL);
		_exit(1);
	}
	for (int i = 0; i < 3000 && access(r->socket, R_OK | W_OK) != 0; i++)
		usleep(10000);
	assert_int_equal(access(r->socket, R_OK | W_OK), 0);
}

static inline void redis_stop(struct redis_server *r)
{
	if (r->pid <= 0)
		return;
	kill(r->pid, SIGKILL);
	waitpid(r->pid, NULL, 0);
	r->pid = 0;
	unlink(r->socket);
}

static inline void redis_new(struct redis_server *r)
{
	*r = (struct redis_server){0};
	scratch_make(r->directory);
	snprintf(r->socket, sizeof r->socket, "%s/redis.sock", r->directory);
	snprintf(r->url, sizeof r->url, "unix://%s", r->socket);
	redis_start(r);
}

static inline void redis_end(struct redis_server *r)
{
	redis_stop(r);
	scratch_remove(r->directory);
}

/* ---- A gateway's ground ---- */

struct ground {
	struct hf_env env;
	char scratch[SCRATCH_PATH_BYTES], store_path[SCRATCH_PATH_BYTES + 8];
	struct hf_loop *loop;
	struct hf_store *store;
	struct hf_state *state;
	const char *redis_url;
};

static inline int describe_nothing(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload, struct hf_doc_key *key,
	uint64_t *terms)
{
	return HF_EMALFORMED;
}

static inline void ground_open_store(struct ground *g)
{
	struct hf_failure failure = {0};
	struct hf_store_options options = {.size = sizeof options, .directory = g->store_path, .env = &g->env, .schema = {.describe = describe_nothing}};
	if (hf_store_open(&g->store, &options, &failure) < 0)
		fail_msg("%s", failure.text);
}

static inline void ground_open_state(struct ground *g)
{
	struct hf_failure failure = {0};
	struct hf_state_options options = {.size = sizeof options, .loop = g->loop, .store = g->store, .redis_url = g->redis_url};
	if (hf_state_open(&g->state, &options, &failure) < 0)
		fail_msg("%s", failure.text);
}

static inline struct ground *ground_new(const char *redis_url)
{
	struct ground *g = calloc(1, sizeof *g);
	hf_crypto_init();
	quiet_log();
	hf_env_system(&g->env);
	real_wall_ms = g->env.wall_ms;
	g->env.wall_ms = moved_wall_ms;
	g->redis_url = redis_url;
	scratch_make(g->scratch);
	snprintf(g->store_path, sizeof g->store_path, "%s/store", g->scratch);
	assert_int_equal(hf_loop_new(&g->loop, &g->env), HF_OK);
	ground_open_store(g);
	ground_open_state(g);
	return g;
}

static inline void ground_free(struct ground *g)
{
	hf_state_close(g->state);
	hf_store_close(g->store);
	hf_loop_free(g->loop);
	scratch_remove(g->scratch);
	free(g);
}

/* Turns the loops (b may be NULL) until *flag is set. */
static inline void turn_until(struct ground *a, struct ground *b, const int *flag)
{
	uint64_t until = hf_env_monotonic_ms(&a->env) + WAIT_MS;
	while (!*flag && hf_env_monotonic_ms(&a->env) < until) {
		hf_loop_poll(a->loop, false);
		if (b)
			hf_loop_poll(b->loop, false);
		usleep(200);
	}
	assert_true(*flag);
}

/* ---- Changes that are waited for ---- */

struct outcome {
	int is_done, status;
	uint64_t number;
};
static inline void note_status(void *context, int status) { *(struct outcome *)context = (struct outcome){1, status, 0}; }
static inline void note_number(void *context, int status, uint64_t number) { *(struct outcome *)context = (struct outcome){1, status, number}; }

static inline int commit_ops(struct ground *g, const struct hf_state_op *ops, size_t count)
{
	struct outcome outcome = {0};
	int r = hf_state_commit(g->state, ops, count, note_status, &outcome);
	if (r < 0)
		return r;
	turn_until(g, NULL, &outcome.is_done);
	return outcome.status;
}

static inline uint64_t next_number(struct ground *g, const char *key)
{
	struct outcome outcome = {0};
	assert_int_equal(hf_state_next(g->state, hf_slice_text(key), note_number, &outcome), HF_OK);
	turn_until(g, NULL, &outcome.is_done);
	assert_int_equal(outcome.status, HF_OK);
	return outcome.number;
}

#endif
