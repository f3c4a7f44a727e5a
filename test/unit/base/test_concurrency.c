/* mailbox and executor, from several threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/env.h"
#include "base/mailbox.h"

#define POSTER_COUNT 3
#define MAIL_COUNT 5000

struct letter {
	struct hf_mail mail;
	int poster, number;
};

static struct hf_mailbox box;
static _Atomic int wake_count;
static struct letter letters[POSTER_COUNT][MAIL_COUNT];

static void wake(void *context)
{
	atomic_fetch_add((_Atomic int *)context, 1);
}

/* Singly, and in chains of three. */
static void *post_all(void *context)
{
	struct letter *mine = context;
	int i = 0;
	while (i < MAIL_COUNT) {
		if (i % 2 || i + 3 > MAIL_COUNT) {
			hf_mailbox_post(&box, &mine[i++].mail);
			continue;
		}
		mine[i].mail.next = &mine[i + 1].mail;
		mine[i + 1].mail.next = &mine[i + 2].mail;
		hf_mailbox_post_chain(&box, &mine[i].mail, &mine[i + 2].mail);
		i += 3;
	}
	return NULL;
}

static void test_mail_arrives_once_and_in_order_of_each_poster(void **state)
{
	pthread_t threads[POSTER_COUNT];
	int next[POSTER_COUNT] = {0}, total = 0, batches = 0;
	hf_mailbox_init(&box, wake, &wake_count);
	assert_null(hf_mailbox_take(&box));
	for (int p = 0; p < POSTER_COUNT; p++) {
		for (int i = 0; i < MAIL_COUNT; i++)
			letters[p][i] = (struct letter){.poster = p, .number = i};
		assert_int_equal(pthread_create(&threads[p], NULL, post_all, letters[p]), 0);
	}
	while (total < POSTER_COUNT * MAIL_COUNT) {
		struct hf_mail *mail = hf_mailbox_take(&box);
		batches += mail != NULL;
		for (; mail; mail = mail->next, total++) {
			struct letter *letter = (struct letter *)mail;
			assert_int_equal(letter->number, next[letter->poster]++);
		}
	}
	for (int p = 0; p < POSTER_COUNT; p++)
		pthread_join(threads[p], NULL);
	assert_int_equal(atomic_load(&wake_count), batches);
}

struct task {
	struct hf_work work;
	_Atomic int *sum;
	_Atomic int *gate;
};

static void add_one(struct hf_work *work)
{
	struct task *task = (struct task *)work;
	while (task->gate && atomic_load(task->gate) == 0)
		usleep(100);
	atomic_fetch_add(task->sum, 1);
}

static void test_pool_runs_all_and_refuses_past_its_bound(void **state)
{
	enum { COUNT = 200 };
	static struct task tasks[COUNT];
	struct hf_executor *pool;
	_Atomic int sum = 0, gate = 0;
	assert_int_equal(hf_executor_start(&pool, "test", 0, 1), HF_EINVAL);
	assert_int_equal(hf_executor_start(&pool, "test", 2, 10), HF_OK);
	assert_int_equal(pool->worker_count, 2);
	int accepted = 0;
	for (int i = 0; i < 20; i++) {
		tasks[i] = (struct task){.work.run = add_one, .sum = &sum, .gate = &gate};
		accepted += pool->submit(pool, &tasks[i].work) == HF_OK;
	}
	/* The queue holds ten, and up to two are running. */
	assert_in_range(accepted, 10, 12);
	atomic_store(&gate, 1);
	for (int i = 20; i < COUNT; i++) {
		tasks[i] = (struct task){.work.run = add_one, .sum = &sum};
		while (pool->submit(pool, &tasks[i].work) == HF_EBUSY)
			usleep(10);
		accepted++;
	}
	hf_executor_stop(pool);
	assert_int_equal(atomic_load(&sum), accepted);
}

static void test_inline_executor_runs_at_once(void **state)
{
	_Atomic int sum = 0;
	struct task task = {.work.run = add_one, .sum = &sum};
	struct hf_executor *executor = hf_executor_inline();
	assert_int_equal(executor->submit(executor, &task.work), HF_OK);
	assert_int_equal(atomic_load(&sum), 1);
	hf_executor_stop(executor);
}

static void test_system_environment(void **state)
{
	struct hf_env env;
	uint8_t a[32] = {0}, b[32] = {0};
	hf_env_system(&env);
	uint64_t before = hf_env_monotonic_us(&env);
	assert_true(hf_env_monotonic_us(&env) >= before);
	assert_true(hf_env_wall_s(&env) > 1600000000);
	env.random(&env, a, sizeof a);
	env.random(&env, b, sizeof b);
	assert_memory_not_equal(a, b, sizeof a);
	assert_ptr_equal(env.fs, hf_fs_system());
	assert_null(env.executor);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mail_arrives_once_and_in_order_of_each_poster),
		cmocka_unit_test(test_pool_runs_all_and_refuses_past_its_bound),
		cmocka_unit_test(test_inline_executor_runs_at_once),
		cmocka_unit_test(test_system_environment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
