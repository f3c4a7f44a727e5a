/* Who waits for what: for topics to have been looked up, for those found there to have been tried, for everything to be at rest. All of
 * it is told at the end of an iteration, one at a time, for whoever is told may free the swarm. */
#include "base/list.h"
#include "peer/swarm_private.h"

void hf_swarm_wait_push(struct hf_swarm_wait **list, struct hf_swarm_wait *wait)
{
	wait->list = list;
	HF_LIST_PUSH(*list, wait);
}

void hf_swarm_wait_cancel(struct hf_swarm_wait *wait)
{
	if (wait->list)
		HF_LIST_REMOVE(*wait->list, wait);
	wait->list = NULL;
}

void hf_swarm_wait_finish(struct hf_swarm *swarm, struct hf_swarm_wait *wait, int code)
{
	hf_swarm_wait_cancel(wait);
	wait->code = code;
	hf_swarm_wait_push(&swarm->finished, wait);
	hf_udp_defer(swarm->host, &swarm->deferred);
}

bool hf_swarm_has_room(const struct hf_swarm *swarm)
{
	uint32_t count = swarm->explicit_count, factor = count == 0 ? 1 : count < 2 ? 2 : count < 4 ? 3 : 4;
	return factor * swarm->stats.connections < swarm->options.connection_count_max &&
		(!swarm->options.client_connection_count_max || swarm->stats.client_connections < swarm->options.client_connection_count_max);
}

/* Where nobody more can be tried, nothing is left to wait for. */
void hf_swarm_finish_if_full(struct hf_swarm *swarm)
{
	while (swarm->stats.connecting == 0 && !hf_swarm_has_room(swarm) && swarm->trying)
		hf_swarm_wait_finish(swarm, swarm->trying, HF_OK);
}

static uint32_t unopened_count(const struct hf_swarm *swarm)
{
	uint32_t count = 0;
	for (const struct hf_swarm_connection *c = swarm->connections; c; c = c->next)
		count += !c->is_open;
	return count;
}

/* Topics have been looked up; now those found are tried. */
static void begin_trying(struct hf_swarm *swarm, struct hf_swarm_wait *wait)
{
	wait->missing = wait->is_for_topics ? 0 : swarm->queue.count + unopened_count(swarm);
	wait->tick = swarm->flush_tick++;
	hf_swarm_wait_cancel(wait);
	hf_swarm_wait_push(&swarm->trying, wait);
	if (wait->missing == 0)
		hf_swarm_wait_finish(swarm, wait, HF_OK);
}

void hf_swarm_wait_topics(struct hf_swarm *swarm, struct hf_swarm_wait *wait)
{
	wait->is_for_topics = true;
	hf_swarm_wait_push(&swarm->looking, wait);
	hf_swarm_settle(swarm);
}

void hf_swarm_wait(struct hf_swarm *swarm, struct hf_swarm_wait *wait)
{
	wait->is_for_topics = false;
	hf_swarm_wait_push(&swarm->looking, wait);
	hf_swarm_settle(swarm);
}

void hf_swarm_tried(struct hf_swarm *swarm, const struct hf_swarm_peer *peer)
{
	for (struct hf_swarm_wait *wait = swarm->trying, *next; wait; wait = next) {
		next = wait->next;
		if (peer->flush_tick <= wait->tick && --wait->missing == 0)
			hf_swarm_wait_finish(swarm, wait, HF_OK);
	}
}

/* ---- Rest ---- */

static bool is_at_rest(const struct hf_swarm *swarm)
{
	return !swarm->connections && swarm->busy_joined + swarm->busy_left == 0 && !(swarm->is_closing && swarm->server);
}

void hf_swarm_settle(struct hf_swarm *swarm)
{
	while (swarm->looking && swarm->busy_joined == 0)
		begin_trying(swarm, swarm->looking);
	hf_swarm_finish_if_full(swarm);
	if (swarm->rested && is_at_rest(swarm))
		hf_udp_defer(swarm->host, &swarm->deferred);
}

void hf_swarm_run_deferred(struct hf_loop_deferred *deferred)
{
	struct hf_swarm *swarm = HF_CONTAINER_OF(deferred, struct hf_swarm, deferred);
	void (*rested)(void *context) = swarm->rested;
	while (swarm->finished) {
		struct hf_swarm_wait *wait = swarm->finished;
		hf_swarm_wait_cancel(wait);
		/* It may free the swarm: the rest is told in the next round. */
		if (swarm->finished || rested)
			hf_udp_defer(swarm->host, deferred);
		wait->done(wait, wait->code);
		return;
	}
	if (rested && is_at_rest(swarm)) {
		swarm->rested = NULL;
		rested(swarm->rested_context);
	}
}
