/* Whether a worker that has streams is still there, within a second. It is asked for a sign of life time and again; until it answers, or
 * anything else comes of it, it counts as silent once it has taken longer than usual. Its sessions need not wait for a connection to die.
 */
#include "service/gateway/workers_private.h"

#define ASK_MS 250u           /* between an answer and the next question */
#define PATIENCE_MS 500u      /* before it is silent; and */
#define PATIENCE_FACTOR 4u    /* so many times what it took of late; and */
#define PATIENCE_MS_FIRST 2000u /* before the first answer */
#define LATE_MS 400u          /* a turn that comes so late: we slept ourselves, and what was said meanwhile is still to be read */

static bool is_asked(const struct hf_worker *worker)
{
	return worker->is_connected && !worker->has_ended && worker->channel && worker->socket && !worker->is_hypertuna &&
	       worker->stream_count > 0;
}

static void on_answer(void *context, int result, const struct hf_relay_response *response)
{
	struct hf_worker *worker = context;
	uint64_t took_us = hf_loop_now_us(worker->pool->options.loop) - worker->asked_us;
	worker->asked_us = 0;
	if (result == HF_OK)
		worker->answer_us = worker->answer_us ? worker->answer_us - worker->answer_us / 8 + took_us / 8 : took_us;
	hf_worker_checked(worker, result);
}

static void ask(struct hf_worker *worker, uint64_t now_us)
{
	if (worker->asked_us || now_us - worker->pulsed_us < ASK_MS * 1000u)
		return;
	worker->pulsed_us = worker->asked_us = now_us;
	if (hf_worker_check(worker, on_answer) < 0)
		worker->asked_us = 0;
}

static uint64_t patience_us(const struct hf_worker *worker)
{
	uint64_t usual_us = worker->answer_us ? worker->answer_us * PATIENCE_FACTOR : PATIENCE_MS_FIRST * 1000u;
	return usual_us > PATIENCE_MS * 1000u ? usual_us : PATIENCE_MS * 1000u;
}

static void listen_to(struct hf_worker *worker, uint64_t now_us)
{
	uint64_t bytes = worker->socket ? hf_peer_socket_received_bytes(worker->socket) : 0;
	if (bytes == worker->heard_bytes)
		return;
	worker->heard_bytes = bytes;
	worker->heard_us = now_us;
}

static void look(struct hf_worker *worker, uint64_t now_us)
{
	const struct hf_workers_options *o = &worker->pool->options;
	uint64_t since_us = worker->heard_us > worker->asked_us ? worker->heard_us : worker->asked_us;
	bool is_silent = worker->asked_us && now_us - since_us > patience_us(worker);
	if (is_silent == worker->is_silent)
		return;
	worker->is_silent = is_silent;
	if (!is_silent)
		return;
	hf_counter_add(&worker->pool->silent, 1);
	if (o->events->silent)
		o->events->silent(o->context, worker);
}

static void on_pulse(struct hf_timer *timer)
{
	struct hf_workers *pool = HF_CONTAINER_OF(timer, struct hf_workers, pulse);
	uint64_t now_us = hf_loop_now_us(pool->options.loop);
	bool is_late = now_us - pool->pulsed_us > (HF_WORKERS_PULSE_MS + LATE_MS) * 1000u, goes_on = false;
	for (struct hf_worker *worker = pool->workers, *next; worker; worker = next) {
		next = worker->next;
		listen_to(worker, now_us);
		if (is_late)
			worker->heard_us = now_us;
		if (!is_asked(worker) && !worker->is_silent)
			continue;
		goes_on = true;
		if (is_asked(worker))
			ask(worker, now_us);
		if (!worker->has_ended)
			look(worker, now_us);
	}
	pool->pulsed_us = now_us;
	if (goes_on)
		hf_loop_timer_set(pool->options.loop, &pool->pulse, HF_WORKERS_PULSE_MS); /* its place was just left: there is memory */
	else
		pool->pulsed_us = 0;
}

void hf_workers_pulse(struct hf_workers *pool)
{
	pool->pulse.fire = on_pulse;
	if (pool->pulsed_us == 0 && hf_loop_timer_set(pool->options.loop, &pool->pulse, HF_WORKERS_PULSE_MS) == HF_OK)
		pool->pulsed_us = hf_loop_now_us(pool->options.loop);
}

bool hf_worker_is_silent(const struct hf_worker *worker)
{
	return worker->is_silent;
}
