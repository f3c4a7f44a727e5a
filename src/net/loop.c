/* Deferred work runs after the wait, when all sockets that were ready have been served, and once more before the next
 * wait, for what timers deferred. Timers are one heap behind one timerfd, set anew before a wait only for a deadline that is
 * earlier than what it is set to: most timers are moved on before they are due. */
#include "net/loop_private.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "net/stream.h"
#include "net/tls.h"
#include "net/udp_private.h"
#include "wire/secret_stream.h"
#include "wire/websocket_deflate.h"

#define DEFERRED_ROUNDS_MAX 16

struct hf_loop_signal {
	uv_signal_t handle;
	void (*on_signal)(void *context, int signal_number);
	void *context;
	struct hf_loop_signal *next;
};

static void stop_being_busy(uv_idle_t *handle)
{
	uv_idle_stop(handle);
}

static void run_deferred(struct hf_loop *loop)
{
	for (int round = 0; round < DEFERRED_ROUNDS_MAX && loop->deferred_first; round++) {
		struct hf_loop_deferred *first;
		/* Work deferred from here on belongs to the next round; a mark at the end of this one stays valid when
		 * entries are cancelled. */
		struct hf_loop_deferred mark = {.queued = true};
		*loop->deferred_last = &mark;
		loop->deferred_last = &mark.next;
		while ((first = loop->deferred_first) != &mark) {
			loop->deferred_first = first->next;
			first->next = NULL;
			first->queued = false;
			first->run(first);
		}
		loop->deferred_first = mark.next;
		if (!loop->deferred_first)
			loop->deferred_last = &loop->deferred_first;
	}
	if (loop->deferred_first)
		uv_idle_start(&loop->busy, stop_being_busy);
}

static void run_timers(uv_poll_t *clock, int status, int events)
{
	struct hf_loop *loop = clock->loop->data;
	uint64_t expirations;
	(void)status;
	(void)events;
	if (read(loop->clock_fd, &expirations, sizeof expirations) < 0)
		return; /* not due after all */
	loop->now_us = 0;
	loop->clock_deadline_us = UINT64_MAX;
	hf_timers_run(&loop->timers, hf_loop_now_us(loop));
}

static void set_clock(struct hf_loop *loop)
{
	uint64_t deadline_us = hf_timers_next_us(&loop->timers);
	if (deadline_us >= loop->clock_deadline_us)
		return;
	loop->clock_deadline_us = deadline_us;
	uint64_t now_us = hf_loop_now_us(loop), delay_us = deadline_us > now_us ? deadline_us - now_us : 0;
	struct itimerspec setting = {.it_value = {.tv_sec = (time_t)(delay_us / 1000000), .tv_nsec = (long)(delay_us % 1000000 * 1000 + 1)}};
	timerfd_settime(loop->clock_fd, 0, &setting, NULL); /* fails for bad arguments only; 0 ns would be none */
}

static void before_wait(uv_prepare_t *handle)
{
	struct hf_loop *loop = handle->loop->data;
	run_deferred(loop);
	set_clock(loop);
	loop->now_us = 0;
}

static void after_wait(uv_check_t *handle)
{
	struct hf_loop *loop = handle->loop->data;
	run_deferred(loop);
	loop->now_us = 0;
}

static void deliver_mail(uv_async_t *handle)
{
	struct hf_loop *loop = handle->loop->data;
	if (atomic_load_explicit(&loop->stop_asked, memory_order_acquire))
		uv_stop(&loop->uv);
	struct hf_mail *mail = hf_mailbox_take(&loop->mailbox);
	while (mail) {
		struct hf_mail *next = mail->next;
		struct hf_loop_mail *letter = (struct hf_loop_mail *)mail;
		letter->deliver(letter);
		mail = next;
	}
}

static void wake(void *context)
{
	struct hf_loop *loop = context;
	uv_async_send(&loop->wake);
}

static void close_embedded(uv_handle_t *handle)
{
	uv_close(handle, NULL);
}

static void adopt(void *handle)
{
	((uv_handle_t *)handle)->data = (void *)close_embedded;
}

int hf_loop_new(struct hf_loop **out, struct hf_env *env)
{
	struct hf_loop *loop = calloc(1, sizeof *loop);
	if (!loop)
		return HF_ENOMEM;
	loop->read_buffer = malloc(HF_LOOP_READ_BYTES);
	loop->clock_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (!loop->read_buffer || loop->clock_fd < 0 || hf_stream_pool_new(&loop->pool, &loop->memory) || uv_loop_init(&loop->uv)) {
		hf_stream_pool_free(loop->pool);
		if (loop->clock_fd >= 0)
			close(loop->clock_fd);
		free(loop->read_buffer);
		free(loop);
		return HF_ENOMEM;
	}
	loop->env = env;
	loop->memory.loop = loop;
	loop->uv.data = loop;
	loop->deferred_last = &loop->deferred_first;
	loop->clock_deadline_us = UINT64_MAX;
	hf_mailbox_init(&loop->mailbox, wake, loop);
	uv_async_init(&loop->uv, &loop->wake, deliver_mail);
	uv_prepare_init(&loop->uv, &loop->before_wait);
	uv_check_init(&loop->uv, &loop->after_wait);
	uv_idle_init(&loop->uv, &loop->busy);
	uv_poll_init(&loop->uv, &loop->clock, loop->clock_fd);
	adopt(&loop->wake);
	adopt(&loop->before_wait);
	adopt(&loop->after_wait);
	adopt(&loop->busy);
	adopt(&loop->clock);
	uv_prepare_start(&loop->before_wait, before_wait);
	uv_check_start(&loop->after_wait, after_wait);
	uv_poll_start(&loop->clock, UV_READABLE, run_timers);
	signal(SIGPIPE, SIG_IGN);
	*out = loop;
	return HF_OK;
}

int hf_loop_run(struct hf_loop *loop)
{
	while (!atomic_load_explicit(&loop->stop_asked, memory_order_acquire))
		uv_run(&loop->uv, UV_RUN_DEFAULT);
	atomic_store_explicit(&loop->stop_asked, false, memory_order_release);
	return HF_OK;
}

void hf_loop_stop(struct hf_loop *loop)
{
	atomic_store_explicit(&loop->stop_asked, true, memory_order_release);
	uv_async_send(&loop->wake);
}

int hf_loop_poll(struct hf_loop *loop, bool wait)
{
	uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
	return HF_OK;
}

static void abandon(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle))
		((hf_handle_abandon)handle->data)(handle);
}

void hf_loop_free(struct hf_loop *loop)
{
	if (!loop)
		return;
	loop->is_ending = true;
	uv_walk(&loop->uv, abandon, NULL);
	while (uv_loop_close(&loop->uv) == UV_EBUSY)
		uv_run(&loop->uv, UV_RUN_DEFAULT);
	while (loop->signals) {
		struct hf_loop_signal *next = loop->signals->next;
		free(loop->signals);
		loop->signals = next;
	}
	hf_timers_free(&loop->timers);
	hf_websocket_deflate_free(loop->deflate);
	hf_tls_free(loop->client_tls);
	assert(loop->memory.used_bytes == 0); /* whoever held some for a connection has let go */
	hf_stream_pool_free(loop->pool);
	hf_secret_stream_pool_free(loop->secret_stream_pool);
	hf_udp_host_free(loop->udp_host);
	close(loop->clock_fd);
	free(loop->read_buffer);
	free(loop);
}

struct hf_env *hf_loop_env(struct hf_loop *loop)
{
	return loop->env;
}

uint64_t hf_loop_now_us(struct hf_loop *loop)
{
	if (loop->now_us == 0)
		loop->now_us = hf_env_monotonic_us(loop->env);
	return loop->now_us;
}

void hf_loop_post(struct hf_loop *loop, struct hf_loop_mail *mail)
{
	hf_mailbox_post(&loop->mailbox, &mail->mail);
}

void hf_loop_post_chain(struct hf_loop *loop, struct hf_loop_mail *first, struct hf_loop_mail *last)
{
	hf_mailbox_post_chain(&loop->mailbox, &first->mail, &last->mail);
}

void hf_loop_defer(struct hf_loop *loop, struct hf_loop_deferred *deferred)
{
	if (deferred->queued)
		return;
	deferred->queued = true;
	deferred->next = NULL;
	*loop->deferred_last = deferred;
	loop->deferred_last = &deferred->next;
}

void hf_loop_cancel_deferred(struct hf_loop *loop, struct hf_loop_deferred *deferred)
{
	if (!deferred->queued)
		return;
	struct hf_loop_deferred **link = &loop->deferred_first;
	while (*link != deferred)
		link = &(*link)->next;
	*link = deferred->next;
	if (loop->deferred_last == &deferred->next)
		loop->deferred_last = link;
	deferred->queued = false;
	deferred->next = NULL;
}

int hf_loop_timer_set(struct hf_loop *loop, struct hf_timer *timer, uint64_t delay_ms)
{
	return hf_timer_set(&loop->timers, timer, hf_loop_now_us(loop) + delay_ms * 1000);
}

void hf_loop_timer_cancel(struct hf_loop *loop, struct hf_timer *timer)
{
	hf_timer_cancel(&loop->timers, timer);
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
	struct hf_loop_signal *s = (struct hf_loop_signal *)handle;
	s->on_signal(s->context, signal_number);
}

int hf_loop_on_signal(
	struct hf_loop *loop, int signal_number, void (*callback)(void *context, int signal_number), void *context)
{
	struct hf_loop_signal *s = loop->signals;
	while (s && s->handle.signum != signal_number)
		s = s->next;
	if (s) {
		s->on_signal = callback;
		s->context = context;
		return HF_OK;
	}
	s = calloc(1, sizeof *s);
	if (!s)
		return HF_ENOMEM;
	s->on_signal = callback;
	s->context = context;
	s->next = loop->signals;
	uv_signal_init(&loop->uv, &s->handle);
	adopt(&s->handle);
	loop->signals = s;
	return uv_signal_start(&s->handle, on_signal, signal_number) ? HF_EINVAL : HF_OK;
}
