/* A query is a walk (wire/dht/walk.h) and the requests that it has under way. It is not touched any more once its owner has cancelled it:
 * `query` is NULL then, and whoever is up the stack frees the run. */
#include "peer/dht_node_private.h"

#include <stdlib.h>

#define BACKGROUND_INFLIGHT 3u /* with fewer requests than that under way nobody is disturbed */

struct ask {
	struct hf_dht_request request;
	struct hf_dht_query_run *run;
	struct ask *next, *previous;
	uint32_t number; /* of the walk's node, or of the nearest to commit to */
};

struct hf_dht_query_run {
	struct hf_dht_node *node;
	struct hf_dht_query *query; /* NULL: cancelled */
	struct hf_dht_query_run *next, *previous;
	struct hf_dht_walk walk;
	struct ask *asks;
	struct hf_loop_deferred deferred; /* the beginning */
	unsigned busy;                    /* calls up the stack */
	bool is_committing, is_second; /* second: it has begun anew */
	bool has_given; /* nodes to begin with */
	bool is_parked; /* until there are bootstrap nodes */
	unsigned commits_pending, commits_done;
	int commit_code;
};

/* ---- Ending ---- */

static void free_ask(struct ask *ask)
{
	HF_LIST_REMOVE(ask->run->asks, ask);
	free(ask);
}

static void drop_asks(struct hf_dht_query_run *run)
{
	while (run->asks) {
		hf_dht_request_cancel(&run->asks->request);
		free_ask(run->asks);
	}
}

static void free_run(struct hf_dht_query_run *run)
{
	hf_dht_walk_free(&run->walk);
	free(run);
}

/* Takes it from its query and its node. Who is up the stack frees it, or the caller. */
static struct hf_dht_query *detach(struct hf_dht_query_run *run)
{
	struct hf_dht_query *query = run->query;

	hf_udp_cancel_deferred(run->node->host, &run->deferred);
	drop_asks(run);
	HF_LIST_REMOVE(run->node->queries, run);
	run->node->stats.query_count--;
	query->run = NULL;
	run->query = NULL;
	return query;
}

void hf_dht_query_cancel(struct hf_dht_query *query)
{
	struct hf_dht_query_run *run = query->run;

	if (!run)
		return;
	detach(run);
	query->walk = NULL;
	if (run->busy == 0)
		free_run(run);
}

void hf_dht_node_drop_queries(struct hf_dht_node *node)
{
	while (node->queries)
		hf_dht_query_cancel(node->queries->query);
}

/* From here on the query is its owner's again, who may free it or start it anew in done; the walk is there until done returns. */
static void finish(struct hf_dht_query_run *run, int code)
{
	struct hf_dht_query *query = detach(run);

	run->busy++;
	query->done(query, code);
	run->busy--;
	if (run->busy == 0)
		free_run(run);
}

/* ---- Committing ---- */

static void end_of_commits(struct hf_dht_query_run *run)
{
	if (run->commits_pending == 0)
		finish(run, run->commits_done > 0 ? HF_OK : run->commit_code);
}

static void commit_done(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct ask *ask = HF_CONTAINER_OF(request, struct ask, request);
	struct hf_dht_query_run *run = ask->run;
	struct hf_dht_query *query = run->query;
	const struct hf_dht_closest *to = &run->walk.closest[ask->number];

	free_ask(ask);
	run->commits_pending--;
	if (code == HF_OK && reply->error != HF_DHT_OK)
		code = HF_EDENIED;
	if (code == HF_OK)
		run->commits_done++;
	else
		run->commit_code = code;
	run->busy++;
	if (query->committed)
		query->committed(query, to, code, reply);
	run->busy--;
	if (run->query)
		end_of_commits(run);
	else if (run->busy == 0)
		free_run(run);
}

static struct ask *new_ask(struct hf_dht_query_run *run, uint32_t number, const struct hf_address *to)
{
	struct ask *ask = calloc(1, sizeof *ask);

	if (!ask)
		return NULL;
	ask->run = run;
	ask->number = number;
	ask->request.to = *to;
	ask->request.target = run->query->target;
	HF_LIST_PUSH(run->asks, ask);
	return ask;
}

static int commit_to(struct hf_dht_query_run *run, uint32_t number)
{
	struct hf_dht_query *query = run->query;
	const struct hf_dht_closest *to = &run->walk.closest[number];
	struct hf_buffer value = {0};
	int r = to->has_token ? query->commit(query, to, &value) : HF_EDENIED;
	struct ask *ask = r == HF_OK ? new_ask(run, number, &to->node.address) : NULL;

	if (r == HF_OK && !ask)
		r = HF_ENOMEM;
	if (r == HF_OK) {
		ask->request.command = query->commit_command;
		ask->request.token = to->token;
		ask->request.has_value = true;
		ask->request.value = hf_buffer_slice(&value);
		ask->request.done = commit_done;
		r = hf_dht_request_start(run->node, &ask->request);
		if (r < 0)
			free_ask(ask);
	}
	hf_buffer_free(&value);
	return r;
}

static void commit(struct hf_dht_query_run *run)
{
	int r;

	run->is_committing = true;
	run->commit_code = HF_ENOTFOUND;
	drop_asks(run);
	for (uint32_t i = 0; i < run->walk.closest_count; i++) {
		r = commit_to(run, i);
		if (r == HF_OK)
			run->commits_pending++;
		else
			run->commit_code = r;
	}
	end_of_commits(run);
}

/* ---- Asking ---- */

static void pump(struct hf_dht_query_run *run);

static void ask_slow(struct hf_dht_request *request)
{
	struct ask *ask = HF_CONTAINER_OF(request, struct ask, request);

	hf_dht_walk_slow(&ask->run->walk, ask->number);
	pump(ask->run);
}

static void ask_done(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct ask *ask = HF_CONTAINER_OF(request, struct ask, request);
	struct hf_dht_query_run *run = ask->run;
	struct hf_dht_query *query = run->query;
	uint32_t number = ask->number;

	free_ask(ask);
	if (code < 0)
		hf_dht_walk_failed(&run->walk, number, code == HF_ETIMEOUT);
	if (code == HF_ECANCELED) {
		finish(run, code);
		return;
	}
	if (code == HF_OK) {
		struct hf_dht_message message = {.to = reply->to, .token = reply->token, .closer = reply->closer, .error = reply->error};
		hf_dht_walk_answered(&run->walk, number, &reply->from, reply->id, &message);
		run->busy++;
		if (query->reply && reply->error == HF_DHT_OK)
			query->reply(query, reply);
		run->busy--;
	}
	if (run->query)
		pump(run);
	else if (run->busy == 0)
		free_run(run);
}

static int ask(struct hf_dht_query_run *run, uint32_t number, const struct hf_address *to)
{
	const struct hf_dht_query *query = run->query;
	struct ask *ask = hf_dht_node_is_bad(to) || hf_dht_node_is_doubted(run->node, to) ? NULL : new_ask(run, number, to);
	int r;

	if (!ask)
		return HF_ENOMEM;
	ask->request.is_internal = query->is_internal;
	ask->request.command = query->command;
	ask->request.has_value = query->has_value;
	ask->request.value = query->value;
	ask->request.force = ask->request.once = query->force;
	ask->request.is_of_table = true;
	ask->request.retries = query->retries ? query->retries : HF_DHT_QUERY_RETRIES;
	ask->request.done = ask_done;
	ask->request.slow = ask_slow;
	r = hf_dht_request_start(run->node, &ask->request);
	if (r < 0)
		free_ask(ask);
	return r;
}

static void on_down(void *context, const struct hf_dht_contact *told, const struct hf_address *dead)
{
	struct hf_dht_node *node = ((struct hf_dht_query_run *)context)->node;
	uint8_t value[HF_DHT_ADDRESS_BYTES];
	struct hf_dht_chore *chore;

	if (node->down_hints_left == 0 || node->is_suspended)
		return;
	chore = hf_dht_chore_new(node, &told->address, HF_DHT_DOWN_HINT);
	if (!chore)
		return;
	node->down_hints_left--;
	node->stats.down_hints++;
	memcpy(value, hf_dht_ipv4(dead), 4);
	hf_store_le16(value + 4, dead->port);
	chore->request.has_value = true;
	chore->request.value = hf_slice(value, sizeof value);
	hf_dht_chore_start(chore);
}

static void add_from_table(struct hf_dht_query_run *run)
{
	const struct hf_dht_entry *entries[HF_DHT_K];
	size_t room = hf_dht_walk_room(&run->walk);
	size_t count = hf_dht_table_closest(&run->node->table, run->walk.target, entries, room);

	run->walk.is_from_table = true;
	for (size_t i = 0; i < count; i++)
		hf_dht_walk_add(&run->walk, &entries[i]->contact);
}

static void add_bootstrap(struct hf_dht_query_run *run)
{
	for (size_t i = 0; i < run->node->bootstrap_count; i++) {
		struct hf_dht_contact contact = {.address = run->node->bootstrap[i]};
		hf_dht_id(contact.id, &contact.address);
		hf_dht_walk_add(&run->walk, &contact);
	}
}

/* What the walk has shown of those that it went by; returns whether most of the nearest are not to be relied on. */
static bool is_misled(struct hf_dht_query_run *run)
{
	unsigned alive, dead, doubted = 0;

	for (size_t i = 0; i < run->walk.node_count; i++) {
		const struct hf_address *address = hf_dht_walk_named(&run->walk, i, &alive, &dead);
		hf_dht_node_judge(run->node, address, alive, dead);
	}
	for (size_t i = 0; i < run->walk.closest_count; i++)
		doubted += hf_dht_node_is_doubted(run->node, &run->walk.closest[i].node.address);
	return 2 * doubted > run->walk.closest_count;
}

/* Those that are doubted now are passed by. */
static void begin_anew(struct hf_dht_query_run *run)
{
	struct hf_dht_walk before = run->walk, *walk = &run->walk;

	drop_asks(run);
	run->is_second = true;
	hf_dht_walk_init(walk, run->query->target, run->node->table.id);
	walk->down = on_down;
	walk->context = run;
	walk->asked = before.asked;
	walk->answered = before.answered;
	walk->failed = before.asked - before.answered;
	walk->hops = before.hops;
	hf_dht_walk_free(&before);
	add_from_table(run);
	add_bootstrap(run);
}

static void pump(struct hf_dht_query_run *run)
{
	struct hf_dht_contact contact;
	uint32_t number;
	enum hf_dht_walk_state state;

	if (run->is_committing)
		return;
	do {
		if (run->query->is_background)
			run->walk.concurrency = run->node->inflight_count < BACKGROUND_INFLIGHT ? HF_DHT_WALK_CONCURRENCY
				: HF_DHT_WALK_BACKGROUND_CONCURRENCY;
		while (hf_dht_walk_next(&run->walk, &number, &contact))
			if (ask(run, number, &contact.address) < 0)
				hf_dht_walk_failed(&run->walk, number, false);
		state = hf_dht_walk_state(&run->walk);
		if (state == HF_DHT_WALK_WANTS_MORE)
			add_from_table(run);
	} while (state == HF_DHT_WALK_WANTS_MORE);
	if (state != HF_DHT_WALK_FINISHED)
		return;
	if (is_misled(run) && !run->is_second && !run->query->only_closest) {
		begin_anew(run);
		pump(run);
		return;
	}
	if (run->query->commit)
		commit(run);
	else
		finish(run, HF_OK);
}

/* ---- Starting ---- */

static void on_begin(struct hf_loop_deferred *deferred)
{
	struct hf_dht_query_run *run = HF_CONTAINER_OF(deferred, struct hf_dht_query_run, deferred);

	run->is_parked = run->node->bootstrap_is_pending && run->node->table.count == 0 && !run->has_given;
	if (run->node->is_suspended)
		finish(run, HF_ECANCELED);
	else if (!run->is_parked)
		pump(run);
}

void hf_dht_node_begin_queries(struct hf_dht_node *node)
{
	for (struct hf_dht_query_run *run = node->queries; run; run = run->next)
		if (run->is_parked) {
			add_bootstrap(run);
			hf_udp_defer(node->host, &run->deferred);
		}
}

int hf_dht_query_start(struct hf_dht_node *node, struct hf_dht_query *query)
{
	struct hf_dht_query_run *run;
	size_t given = query->start_count < HF_DHT_K ? query->start_count : HF_DHT_K;

	query->run = NULL;
	query->walk = NULL;
	if (node->is_suspended)
		return HF_ECANCELED;
	run = calloc(1, sizeof *run);
	if (!run)
		return HF_ENOMEM;
	run->node = node;
	run->query = query;
	run->deferred.run = on_begin;
	hf_dht_walk_init(&run->walk, query->target, node->table.id);
	run->walk.down = on_down;
	run->walk.context = run;
	run->has_given = given > 0;
	for (size_t i = given; i-- > 0;)
		hf_dht_walk_add(&run->walk, &query->start[i]);
	run->walk.only_given = query->only_closest;
	if (hf_dht_walk_room(&run->walk) > 0)
		add_from_table(run);
	if (hf_dht_walk_room(&run->walk) > 0)
		add_bootstrap(run);
	query->run = run;
	query->walk = &run->walk;
	HF_LIST_PUSH(node->queries, run);
	node->stats.queries++;
	node->stats.query_count++;
	node->refresh_ticks = node->refresh_every_ticks;
	hf_udp_defer(node->host, &run->deferred);
	return HF_OK;
}

/* ---- Results ---- */

const struct hf_dht_closest *hf_dht_query_closest(const struct hf_dht_query *query, size_t *count)
{
	*count = query->walk ? query->walk->closest_count : 0;
	return query->walk ? query->walk->closest : NULL;
}

size_t hf_dht_query_contacts(const struct hf_dht_query *query, struct hf_dht_contact out[static HF_DHT_K])
{
	size_t count;
	const struct hf_dht_closest *closest = hf_dht_query_closest(query, &count);

	for (size_t i = 0; i < count; i++)
		out[i] = closest[i].node;
	return count;
}

void hf_dht_query_read_figures(const struct hf_dht_query *query, struct hf_dht_query_figures *figures)
{
	const struct hf_dht_walk *walk = query->walk;

	*figures = (struct hf_dht_query_figures){0};
	if (walk)
		*figures = (struct hf_dht_query_figures){walk->asked, walk->answered, walk->failed, walk->hops};
}
