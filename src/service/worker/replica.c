/* replica: the bee of a gateway's relay, by its key, as far as it was asked for. Its length is kept up with while somebody has it; blocks
 * come when a reader wants them. It is read here and never written: nobody has the key.
 *
 * While somebody is live the follower reads what is new, one block for each event. A bee that is truncated (its gateway makes it anew) ends
 * all requests with a reason; they are asked again by who wants. */
#include "service/worker/internal.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "codec/core_key.h"

#define CACHE_BYTES_MAX (8u << 20)
#define FOLLOW_TURN_COUNT 256 /* events of one turn */

static struct hf_log_module log_module = HF_LOG_MODULE("worker");

static const char REASON_ANEW[] = "error: the relay's log was made anew; subscribe again";

/* ---- Following ---- */

static void stop_following(struct hf_worker_replica *replica)
{
	hf_bee_wait_cancel(&replica->follow_waiter);
	hf_loop_timer_cancel(replica->node->loop, &replica->turn);
	replica->is_following = false;
}

static void begin_anew(struct hf_worker_replica *replica)
{
	stop_following(replica);
	for (struct hf_worker_reader *reader = replica->readers; reader; reader = hf_worker_reader_next(reader))
		hf_worker_reader_cancel_all(reader, REASON_ANEW);
}

static void follow(struct hf_worker_replica *replica)
{
	const struct hf_event *event;
	int r = HF_OK;
	if (hf_subscriptions_count(replica->subscriptions) == 0 && replica->query_count == 0) {
		stop_following(replica); /* who comes next begins where the bee is then */
		return;
	}
	for (unsigned i = 0; r == HF_OK && i < FOLLOW_TURN_COUNT; i++) {
		r = hf_relay_bee_follower_next(&replica->follower, &event);
		if (r == HF_OK)
			hf_worker_deliver(replica, event, replica->follower.jumped_from - 1);
	}
	if (r == HF_OK)
		hf_loop_timer_set(replica->node->loop, &replica->turn, 0);
	else if (r == HF_EWAIT)
		r = hf_bee_wait(replica->bee, &replica->follow_waiter);
	else if (r == HF_ECANCELED)
		begin_anew(replica);
	if (r < 0 && r != HF_ECANCELED && r != HF_ENOTFOUND) {
		hf_log_warn(&log_module, "a gateway's bee cannot be followed", "reason=\"%s\"", hf_error_text(r));
		replica->errors++;
		begin_anew(replica);
	}
}

static void on_turn(struct hf_timer *timer)
{
	follow(HF_CONTAINER_OF(timer, struct hf_worker_replica, turn));
}

static void on_ready(struct hf_bee_waiter *waiter, int status)
{
	struct hf_worker_replica *replica = waiter->context;
	hf_loop_timer_set(replica->node->loop, &replica->turn, status < 0 ? replica->node->options.config->worker_replication_retry_ms : 0);
}

static void on_grew(void *context)
{
	struct hf_worker_replica *replica = context;
	replica->updated_ms = hf_env_wall_ms(replica->node->env);
	if (replica->is_following)
		hf_loop_timer_set(replica->node->loop, &replica->turn, 0);
}

void hf_worker_replica_follow(struct hf_worker_replica *replica)
{
	if (replica->is_following)
		return;
	hf_relay_bee_follow(&replica->follower, replica->bee, hf_bee_version(replica->bee));
	replica->is_following = true;
}

/* ---- Being found ---- */

static bool is_name_of(const struct hf_worker_replica *replica, struct hf_slice name)
{
	uint8_t key[32];
	const struct hf_worker_gateway *gateway = replica->gateway;
	if (name.length == 64 && hf_core_key_decode(key, name) == HF_OK)
		return memcmp(key, replica->key, sizeof key) == 0;
	for (size_t i = 0; i < gateway->alias_count; i++)
		if (hf_slice_equal(name, hf_slice_text(gateway->aliases[i])))
			return true;
	return hf_slice_equal(name, HF_SLICE_LITERAL("public-gateway:hyperbee")) ||
		hf_slice_equal(name, HF_SLICE_LITERAL("public-gateway/hyperbee")) || hf_slice_equal(name, HF_SLICE_LITERAL("relay"));
}

struct hf_worker_replica *hf_worker_find_replica(struct hf_worker_node *node, struct hf_slice name)
{
	while (name.length > 0 && name.data[0] == '/')
		name = hf_slice(name.data + 1, name.length - 1);
	for (struct hf_worker_replica *replica = node->replicas; replica; replica = replica->next)
		if (is_name_of(replica, name))
			return replica;
	return NULL;
}

uint64_t hf_worker_replica_lag(const struct hf_worker_replica *replica)
{
	uint64_t length = hf_core_length(replica->core);
	return replica->remote_length > length ? replica->remote_length - length : 0;
}

/* ---- Life ---- */

static int open_bee(struct hf_worker_replica *replica)
{
	struct hf_core_host *host = replica->node->options.cores;
	struct hf_corestore *cores = hf_core_host_cores(host);
	struct hf_failure failure = {0};
	struct hf_core_options core = {.size = sizeof core, .key = replica->key};
	bool was_blocking = hf_corestore_set_blocking(cores, true);
	int r = hf_corestore_get(cores, &core, &replica->core, &failure);
	hf_corestore_set_blocking(cores, was_blocking);
	if (r == HF_OK)
		r = hf_replicator_join(hf_core_host_replicator(host), replica->core, &replica->replication);
	if (r == HF_OK)
		r = hf_bee_hints_ask(hf_core_host_bee_hints(host), replica->replication, &replica->asker);
	if (r == HF_OK) {
		struct hf_bee_options bee = {.size = sizeof bee, .core = replica->core, .hinter = hf_bee_asker_hinter(replica->asker),
			.cache_bytes_max = CACHE_BYTES_MAX};
		r = hf_bee_open(&replica->bee, &bee);
	}
	struct hf_bee_range everything = {0};
	return r == HF_OK ? hf_bee_watch(replica->bee, &everything, on_grew, replica, &replica->watch) : r;
}

int hf_worker_replica_new(struct hf_worker_gateway *gateway, struct hf_worker_node *node, const uint8_t key[static 32])
{
	struct hf_worker_replica *replica = calloc(1, sizeof *replica);
	uint64_t seed;
	if (!replica)
		return HF_ENOMEM;
	replica->node = node;
	replica->gateway = gateway;
	memcpy(replica->key, key, sizeof replica->key);
	replica->turn.fire = on_turn;
	replica->follow_waiter.ready = on_ready;
	replica->follow_waiter.context = replica;
	node->env->random(node->env, &seed, sizeof seed);
	int r = hf_subscriptions_new(&replica->subscriptions, seed);
	if (r == HF_OK)
		r = open_bee(replica);
	if (r == HF_OK && node->options.swarm)
		r = hf_swarm_join(node->options.swarm, hf_core_discovery_key(replica->core), HF_SWARM_CLIENT, 0, &replica->session);
	HF_LIST_PUSH(node->replicas, replica);
	gateway->replica = replica;
	if (r < 0)
		hf_worker_replica_free(replica);
	return r;
}

/* What of a replica is of its bee. */
struct bee_parts {
	struct hf_core *core;
	struct hf_replication *replication;
	struct hf_bee_asker *asker;
	struct hf_bee *bee;
	struct hf_bee_watch *watch;
	struct hf_swarm_session *session;
};

static struct bee_parts take_parts(struct hf_worker_replica *r)
{
	struct bee_parts parts = {r->core, r->replication, r->asker, r->bee, r->watch, r->session};
	r->core = NULL;
	r->replication = NULL;
	r->asker = NULL;
	r->bee = NULL;
	r->watch = NULL;
	r->session = NULL;
	return parts;
}

static void free_parts(struct bee_parts *parts)
{
	if (parts->session)
		hf_swarm_leave(parts->session);
	hf_bee_watch_free(parts->watch);
	hf_bee_close(parts->bee);
	hf_bee_asker_free(parts->asker);
	hf_replication_leave(parts->replication);
	hf_core_unref(parts->core);
}

int hf_worker_replica_move(struct hf_worker_replica *replica, const uint8_t key[static 32])
{
	uint8_t old_key[32];
	begin_anew(replica);
	hf_relay_bee_follower_free(&replica->follower);
	struct bee_parts old = take_parts(replica), failed;
	memcpy(old_key, replica->key, sizeof old_key);
	memcpy(replica->key, key, sizeof replica->key);
	int r = open_bee(replica);
	if (r == HF_OK && replica->node->options.swarm)
		r = hf_swarm_join(replica->node->options.swarm, hf_core_discovery_key(replica->core), HF_SWARM_CLIENT, 0, &replica->session);
	if (r == HF_OK) {
		free_parts(&old);
		replica->remote_length = replica->updated_ms = 0;
		return r;
	}
	failed = take_parts(replica);
	free_parts(&failed);
	memcpy(replica->key, old_key, sizeof replica->key);
	replica->core = old.core;
	replica->replication = old.replication;
	replica->asker = old.asker;
	replica->bee = old.bee;
	replica->watch = old.watch;
	replica->session = old.session;
	return r;
}

void hf_worker_replica_leave(struct hf_worker_replica *replica)
{
	if (replica->session)
		hf_swarm_leave(replica->session);
	replica->session = NULL;
}

void hf_worker_replica_free(struct hf_worker_replica *replica)
{
	if (!replica)
		return;
	struct hf_worker_node *node = replica->node;
	stop_following(replica);
	replica->gateway->replica = NULL;
	HF_LIST_REMOVE(node->replicas, replica);
	hf_relay_bee_follower_free(&replica->follower);
	struct bee_parts parts = take_parts(replica);
	free_parts(&parts);
	hf_subscriptions_free(replica->subscriptions);
	free(replica);
}
