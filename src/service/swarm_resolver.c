/* Each name is on its own: looked up, or first its suggested address is pinged. When none is under way the round is over. */
#include "service/swarm_resolver.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "net/resolve.h"

struct name {
	struct hf_swarm_resolver *resolver;
	struct hf_swarm_bootstrap_node *node;
	struct hf_dht_request ping; /* at the suggested address */
	struct hf_resolve *lookup;
	bool is_found; /* it has answered at its address, or its name has one */
};

struct hf_swarm_resolver {
	struct hf_loop *loop;
	struct hf_dht_node *dht;
	const struct hf_swarm_resolver_events *events;
	void *context;
	struct hf_swarm_bootstrap bootstrap;
	struct name names[HF_SWARM_BOOTSTRAP_COUNT_MAX];
	size_t count, busy;
	bool has_news, is_first_round_over;
	uint32_t retry_ms;
	struct hf_timer timer;
	char sentence[HF_FAILURE_TEXT_BYTES];
};

bool hf_swarm_resolver_is_needed_first(const struct hf_swarm_bootstrap *bootstrap)
{
	struct hf_address known[HF_SWARM_BOOTSTRAP_COUNT_MAX];

	return bootstrap->count > 0 && hf_swarm_bootstrap_addresses(bootstrap, known) == 0;
}

/* ---- Rounds ---- */

static void end_round(struct hf_swarm_resolver *r)
{
	struct hf_address known[HF_SWARM_BOOTSTRAP_COUNT_MAX];
	size_t count = hf_swarm_bootstrap_addresses(&r->bootstrap, known);
	bool has_news = r->has_news, is_complete = true;

	for (size_t i = 0; i < r->count; i++)
		is_complete = is_complete && r->names[i].is_found;
	if (!is_complete) {
		hf_loop_timer_set(r->loop, &r->timer, r->retry_ms);
		r->retry_ms = 2 * r->retry_ms < HF_SWARM_RESOLVE_RETRY_MS_MAX ? 2 * r->retry_ms : HF_SWARM_RESOLVE_RETRY_MS_MAX;
	}
	bool is_news = has_news || !r->is_first_round_over;
	r->has_news = false;
	r->is_first_round_over = true;
	if (count == 0 && r->events->failed)
		r->events->failed(r->context, r->sentence); /* before queries that have waited end, with nobody to ask */
	if (is_news)
		hf_dht_node_set_bootstrap(r->dht, known, count);
	if (has_news && r->events->found)
		r->events->found(r->context);
}

/* May be the end of the round, which may be the end of the resolver. */
static void end_of(struct name *name)
{
	struct hf_swarm_resolver *r = name->resolver;

	if (--r->busy == 0)
		end_round(r);
}

/* ---- Names ---- */

static void on_resolved(void *context, int code, const struct hf_address *address, const char *why)
{
	struct name *name = context;
	struct hf_address *known = &name->node->address;
	struct hf_address found = *address;

	name->lookup = NULL;
	if (code < 0) {
		snprintf(name->resolver->sentence, sizeof name->resolver->sentence, "The bootstrap node %.200s cannot be found: %s.",
			name->node->name, why);
	} else {
		found.port = known->port;
		name->is_found = true;
		name->resolver->has_news |= !hf_address_equal(&found, known);
		*known = found;
	}
	end_of(name);
}

static void look_up(struct name *name)
{
	if (hf_resolve_start(&name->lookup, name->resolver->loop, name->node->name, on_resolved, name) < 0)
		end_of(name);
}

static void on_pong(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct name *name = HF_CONTAINER_OF(request, struct name, ping);

	name->is_found = code == HF_OK;
	if (name->is_found)
		end_of(name);
	else
		look_up(name);
}

static void begin_round(struct hf_swarm_resolver *r)
{
	r->busy = 1; /* so that it does not end while it begins */
	for (size_t i = 0; i < r->count; i++) {
		struct name *name = &r->names[i];
		if (name->is_found)
			continue;
		r->busy++;
		name->ping = (struct hf_dht_request){.done = on_pong};
		if (!hf_address_is_ipv4(&name->node->address) || hf_dht_ping(r->dht, &name->ping, &name->node->address, NULL) < 0)
			look_up(name);
	}
	if (--r->busy == 0)
		end_round(r);
}

static void on_timer(struct hf_timer *timer)
{
	begin_round(HF_CONTAINER_OF(timer, struct hf_swarm_resolver, timer));
}

/* ---- Life ---- */

int hf_swarm_resolver_new(struct hf_swarm_resolver **out, struct hf_loop *loop, struct hf_dht_node *dht,
	const struct hf_swarm_bootstrap *bootstrap, const struct hf_swarm_resolver_events *events, void *context)
{
	struct hf_swarm_resolver *r = NULL;

	*out = NULL;
	for (size_t i = 0; i < bootstrap->count; i++) {
		if (!bootstrap->nodes[i].name[0])
			continue;
		if (!r && !(r = calloc(1, sizeof *r)))
			return HF_ENOMEM;
		r->names[r->count++] = (struct name){.resolver = r, .node = &r->bootstrap.nodes[i]};
	}
	if (!r)
		return HF_OK;
	r->loop = loop;
	r->dht = dht;
	r->events = events;
	r->context = context;
	r->bootstrap = *bootstrap;
	r->retry_ms = HF_SWARM_RESOLVE_RETRY_MS_MIN;
	r->timer.fire = on_timer;
	*out = r;
	int error = hf_loop_timer_set(loop, &r->timer, 0);
	if (error < 0) {
		hf_swarm_resolver_free(r);
		*out = NULL;
	}
	return error;
}

void hf_swarm_resolver_free(struct hf_swarm_resolver *r)
{
	if (!r)
		return;
	hf_loop_timer_cancel(r->loop, &r->timer);
	for (size_t i = 0; i < r->count; i++) {
		hf_dht_request_cancel(&r->names[i].ping);
		hf_resolve_cancel(r->names[i].lookup);
	}
	free(r);
}
