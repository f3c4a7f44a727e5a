/* The pool is one mutex, one condition and one list; work is coarse (a batch of signatures, a slice of a
 * scan), so the lock is taken some ten thousand times a second at most. A submit signals only when a
 * worker sleeps. */
#include "base/env.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t system_monotonic_us(struct hf_env *env)
{
	return clock_ns(CLOCK_MONOTONIC) / 1000;
}

static uint64_t system_wall_ms(struct hf_env *env)
{
	return clock_ns(CLOCK_REALTIME) / 1000000;
}

static void system_random(struct hf_env *env, void *out, size_t length)
{
	uint8_t *p = out;
	while (length > 0) {
		ssize_t n = getrandom(p, length, 0);
		/* Without random numbers no key is safe; the call cannot fail but for a signal. */
		if (n < 0) {
			if (errno != EINTR)
				abort();
			continue;
		}
		p += n;
		length -= (size_t)n;
	}
}

void hf_env_system(struct hf_env *env)
{
	*env = (struct hf_env){
		.monotonic_us = system_monotonic_us,
		.wall_ms = system_wall_ms,
		.random = system_random,
		.fs = hf_fs_system(),
	};
}

struct pool {
	struct hf_executor executor;
	pthread_mutex_t mutex;
	pthread_cond_t arrived;
	struct hf_work *first, **last_next;
	size_t count, count_max;
	unsigned idle_count;
	bool stopping;
	pthread_t threads[];
};

static void *pool_worker(void *context)
{
	struct pool *pool = context;
	pthread_mutex_lock(&pool->mutex);
	for (;;) {
		while (!pool->first && !pool->stopping) {
			pool->idle_count++;
			pthread_cond_wait(&pool->arrived, &pool->mutex);
			pool->idle_count--;
		}
		struct hf_work *work = pool->first;
		if (!work)
			break;
		pool->first = work->next;
		if (!pool->first)
			pool->last_next = &pool->first;
		pool->count--;
		pthread_mutex_unlock(&pool->mutex);
		work->run(work);
		pthread_mutex_lock(&pool->mutex);
	}
	pthread_mutex_unlock(&pool->mutex);
	return NULL;
}

static int pool_submit(struct hf_executor *executor, struct hf_work *work)
{
	struct pool *pool = executor->context;
	pthread_mutex_lock(&pool->mutex);
	if (pool->count == pool->count_max || pool->stopping) {
		pthread_mutex_unlock(&pool->mutex);
		return HF_EBUSY;
	}
	work->next = NULL;
	*pool->last_next = work;
	pool->last_next = &work->next;
	pool->count++;
	bool sleeper = pool->idle_count > 0;
	pthread_mutex_unlock(&pool->mutex);
	if (sleeper)
		pthread_cond_signal(&pool->arrived);
	return HF_OK;
}

static void join_and_free(struct pool *pool)
{
	pthread_mutex_lock(&pool->mutex);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->arrived);
	pthread_mutex_unlock(&pool->mutex);
	for (unsigned i = 0; i < pool->executor.worker_count; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_cond_destroy(&pool->arrived);
	pthread_mutex_destroy(&pool->mutex);
	free(pool);
}

static bool start_thread(struct pool *pool, const char *name, unsigned number)
{
	char title[16]; /* what the kernel keeps */
	if (pthread_create(&pool->threads[number], NULL, pool_worker, pool) != 0)
		return false;
	snprintf(title, sizeof title, "hf-%.8s-%u", name, number % 1000);
	pthread_setname_np(pool->threads[number], title);
	return true;
}

int hf_executor_start(struct hf_executor **out, const char *name, unsigned worker_count, size_t queue_count_max)
{
	*out = NULL;
	if (worker_count == 0 || worker_count > 1024 || queue_count_max == 0)
		return HF_EINVAL;
	struct pool *pool = calloc(1, sizeof *pool + worker_count * sizeof pool->threads[0]);
	if (!pool)
		return HF_ENOMEM;
	pool->executor = (struct hf_executor){.context = pool, .submit = pool_submit};
	pool->last_next = &pool->first;
	pool->count_max = queue_count_max;
	pthread_mutex_init(&pool->mutex, NULL);
	pthread_cond_init(&pool->arrived, NULL);

	/* Signals belong to the program's own threads. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (pool->executor.worker_count < worker_count && start_thread(pool, name, pool->executor.worker_count))
		pool->executor.worker_count++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pool->executor.worker_count < worker_count) {
		join_and_free(pool);
		return HF_EBUSY;
	}
	*out = &pool->executor;
	return HF_OK;
}

void hf_executor_stop(struct hf_executor *executor)
{
	if (executor && executor->submit == pool_submit)
		join_and_free(executor->context);
}

static int inline_submit(struct hf_executor *executor, struct hf_work *work)
{
	work->run(work);
	return HF_OK;
}

struct hf_executor *hf_executor_inline(void)
{
	static struct hf_executor executor = {.submit = inline_submit, .worker_count = 0};
	return &executor;
}
