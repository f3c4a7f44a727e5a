/* The loop: order of deferred work, timers, mail from other threads, signals, stopping. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/loop.h"

static struct hf_env env;
static char order[64];
static size_t order_length;

struct step {
	struct hf_loop_deferred deferred;
	struct hf_timer timer;
	struct hf_loop *loop;
	struct step *also;   /* deferred by this one */
	struct step *cancel; /* cancelled by this one */
	char name;
};

static void note(char name)
{
	if (order_length < sizeof order - 1)
		order[order_length++] = name;
	order[order_length] = 0;
}

static void run_step(struct hf_loop_deferred *deferred)
{
	struct step *step = (struct step *)deferred;
	note(step->name);
	if (step->also)
		hf_loop_defer(step->loop, &step->also->deferred);
	if (step->cancel)
		hf_loop_cancel_deferred(step->loop, &step->cancel->deferred);
}

static void fire_step(struct hf_timer *timer)
{
	struct step *step = (struct step *)(void *)((char *)timer - offsetof(struct step, timer));
	note(step->name);
	if (step->also)
		hf_loop_defer(step->loop, &step->also->deferred);
}

static struct hf_loop *open_loop(struct step *steps, size_t count)
{
	struct hf_loop *loop;
	hf_env_system(&env);
	assert_int_equal(hf_loop_new(&loop, &env), HF_OK);
	for (size_t i = 0; i < count; i++)
		steps[i] = (struct step){
			.deferred.run = run_step, .timer.fire = fire_step, .loop = loop, .name = (char)('a' + i)};
	order_length = 0;
	order[0] = 0;
	return loop;
}

static void test_deferred_work_runs_in_order_and_once(void **state)
{
	struct step steps[5];
	struct hf_loop *loop = open_loop(steps, 5);
	steps[0].also = &steps[4];
	steps[1].cancel = &steps[2];
	for (size_t i = 0; i < 4; i++)
		hf_loop_defer(loop, &steps[i].deferred);
	hf_loop_defer(loop, &steps[0].deferred);
	hf_loop_poll(loop, false);
	assert_string_equal(order, "abde");
	/* One that defers itself for ever does not hold the loop, and is not forgotten. */
	steps[0].also = &steps[0];
	hf_loop_defer(loop, &steps[0].deferred);
	hf_loop_poll(loop, false);
	assert_true(order_length < 50);
	size_t before = order_length;
	hf_loop_poll(loop, true);
	assert_true(order_length > before);
	hf_loop_cancel_deferred(loop, &steps[0].deferred);
	hf_loop_cancel_deferred(loop, &steps[0].deferred);
	hf_loop_free(loop);
}

static void test_timers_fire_in_order_and_their_deferred_work_before_the_wait(void **state)
{
	struct step steps[4];
	struct hf_loop *loop = open_loop(steps, 4);
	hf_loop_timer_set(loop, &steps[0].timer, 200);
	hf_loop_timer_set(loop, &steps[1].timer, 10);
	hf_loop_timer_set(loop, &steps[2].timer, 20);
	hf_loop_timer_cancel(loop, &steps[2].timer);
	steps[1].also = &steps[3];
	uint64_t start = hf_env_monotonic_ms(&env);
	while (order_length < 2)
		hf_loop_poll(loop, true);
	assert_true(hf_env_monotonic_ms(&env) - start >= 9);
	while (order_length < 3)
		hf_loop_poll(loop, true);
	assert_string_equal(order, "bda");
	assert_true(hf_env_monotonic_ms(&env) - start >= 199);
	hf_loop_free(loop);
}

struct letter {
	struct hf_loop_mail mail;
	struct hf_loop *loop;
	unsigned number;
};
static unsigned letter_count, letter_disorder;
#define LETTERS 20000
static struct letter letters[LETTERS];

static void deliver(struct hf_loop_mail *mail)
{
	struct letter *letter = (struct letter *)mail;
	letter_disorder += letter->number != letter_count++;
	if (letter_count == LETTERS)
		hf_loop_stop(letter->loop);
}

static void *post_all(void *context)
{
	for (unsigned i = 0; i < LETTERS; i++) {
		letters[i] = (struct letter){.mail.deliver = deliver, .loop = context, .number = i};
		if (i % 10 == 9) {
			for (unsigned j = i - 4; j < i; j++)
				letters[j].mail.mail.next = &letters[j + 1].mail.mail;
			hf_loop_post_chain(context, &letters[i - 4].mail, &letters[i].mail);
		} else if (i % 10 < 5) {
			hf_loop_post(context, &letters[i].mail);
		}
	}
	return NULL;
}

static void test_mail_from_another_thread_keeps_its_order(void **state)
{
	struct hf_loop *loop = open_loop(NULL, 0);
	pthread_t thread;
	letter_count = letter_disorder = 0;
	assert_int_equal(pthread_create(&thread, NULL, post_all, loop), 0);
	assert_int_equal(hf_loop_run(loop), HF_OK);
	pthread_join(thread, NULL);
	assert_int_equal(letter_count, LETTERS);
	assert_int_equal(letter_disorder, 0);
	hf_loop_free(loop);
}

static void on_signal(void *context, int signal_number)
{
	note(signal_number == SIGHUP ? 'h' : 't');
	if (signal_number == SIGTERM)
		hf_loop_stop(context);
}

static void test_signals_arrive_on_the_loop(void **state)
{
	struct hf_loop *loop = open_loop(NULL, 0);
	assert_int_equal(hf_loop_on_signal(loop, SIGHUP, on_signal, loop), HF_OK);
	assert_int_equal(hf_loop_on_signal(loop, SIGTERM, on_signal, loop), HF_OK);
	assert_int_equal(hf_loop_on_signal(loop, SIGTERM, on_signal, loop), HF_OK);
	kill(getpid(), SIGHUP);
	kill(getpid(), SIGTERM);
	hf_loop_run(loop);
	assert_non_null(strchr(order, 'h'));
	assert_non_null(strchr(order, 't'));
	assert_int_equal(order_length, 2);
	hf_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deferred_work_runs_in_order_and_once),
		cmocka_unit_test(test_timers_fire_in_order_and_their_deferred_work_before_the_wait),
		cmocka_unit_test(test_mail_from_another_thread_keeps_its_order),
		cmocka_unit_test(test_signals_arrive_on_the_loop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
