#include "cli/remote.h"

#include <signal.h>
#include <stdio.h>

#include "base/list.h"
#include "codec/core_key.h"

#define TURN_MS 20

static void on_timer(struct hf_timer *timer)
{
	(void)timer;
}

static void on_signal(void *context, int signal_number)
{
	struct hf_cli_remote *remote = context;
	(void)signal_number;
	remote->is_interrupted = true;
}

static void left(void *context, const struct hf_core_node_peer *peer, int code, const char *why)
{
	struct hf_cli_remote *remote = context;
	int lost = code == HF_OK ? HF_ECLOSED : code;
	/* Another may come, or this one again. */
	if (remote->endpoint.keeps || remote->endpoint.is_swarm || !remote->endpoint.dials) {
		hf_cli_core_log_left(peer, code, why);
		return;
	}
	remote->lost.code = hf_fail(&remote->lost, lost,
		peer->remote_key ? "The connection to %s ended: %.200s" : "There is no connection to %s: %.200s", peer->address,
		why && why[0] ? why : hf_error_text(code));
}

static void on_core(struct hf_core_listener *listener, enum hf_core_event event, uint64_t from, uint64_t to)
{
	struct hf_cli_remote *remote = HF_CONTAINER_OF(listener, struct hf_cli_remote, listener);
	(void)to;
	if (event == HF_CORE_FAILED)
		remote->lost.code = hf_cli_core_not_kept(&remote->lost, from);
}

static void on_other(struct hf_core_listener *listener, enum hf_core_event event, uint64_t from, uint64_t to)
{
	on_core(&HF_CONTAINER_OF(listener, struct hf_cli_remote, other_listener)->listener, event, from, to);
}

static int turn(struct hf_cli_remote *remote, struct hf_failure *failure)
{
	struct hf_loop *loop = hf_core_node_loop(remote->node);
	int r = hf_loop_timer_set(loop, &remote->timer, TURN_MS);
	if (r == HF_OK)
		r = hf_loop_poll(loop, true);
	if (r < 0)
		return hf_fail(failure, r, "The event loop failed: %s.", hf_error_text(r));
	if (remote->is_interrupted)
		return hf_fail(failure, HF_ECANCELED, "Interrupted; what has come is kept.");
	if (remote->lost.code < 0)
		*failure = remote->lost;
	return remote->lost.code;
}

static uint64_t blocks_received(const struct hf_cli_remote *remote)
{
	struct hf_replicator_stats stats, others = {0};
	hf_replication_stats(remote->replication, &stats);
	if (remote->other_replication)
		hf_replication_stats(remote->other_replication, &others);
	return stats.blocks_received + others.blocks_received;
}

int hf_cli_remote_turn(struct hf_cli_remote *remote, struct hf_failure *failure)
{
	int r = turn(remote, failure);
	uint64_t now_us = hf_env_monotonic_us(&remote->cli->env), blocks = blocks_received(remote);
	if (blocks != remote->moved_blocks || remote->moved_us == 0) {
		remote->moved_blocks = blocks;
		remote->moved_us = now_us;
	}
	if (r == HF_OK && !remote->endpoint.keeps && now_us - remote->moved_us >= remote->timeout_us) {
		return hf_fail(failure, HF_ETIMEOUT, "%s%s %s the core, or what is missing of it (waited %llu seconds; --timeout).",
			remote->endpoint.is_swarm ? "Nobody was found in the swarm" : "The peer at ",
			remote->endpoint.is_swarm ? "" : remote->endpoint.address, remote->endpoint.is_swarm ? "who has" : "does not have",
			(unsigned long long)(remote->timeout_us / 1000000));
	}
	return r;
}

int hf_cli_remote_linger(struct hf_cli_remote *remote, uint64_t ms, struct hf_failure *failure)
{
	uint64_t end_us = hf_env_monotonic_us(&remote->cli->env) + 1000 * ms;
	int r;
	do
		r = turn(remote, failure);
	while (r == HF_OK && hf_env_monotonic_us(&remote->cli->env) < end_us);
	remote->moved_us = 0;
	return r;
}

/* ---- Opening ---- */

static void heard(void *context)
{
	struct hf_cli_remote *remote = context;
	remote->is_heard = true;
}

/* Until a peer has the core, and has told how long it is. */
static int hear(struct hf_cli_remote *remote, struct hf_replication *replication, struct hf_failure *failure)
{
	int r = HF_OK;
	while (r == HF_OK && hf_replication_peer_count(replication) == 0)
		r = hf_cli_remote_turn(remote, failure);
	remote->is_heard = false;
	if (r == HF_OK && hf_replication_update(replication, heard, remote) < 0)
		r = hf_fail(failure, HF_ENOMEM, "Out of memory.");
	while (r == HF_OK && !remote->is_heard)
		r = hf_cli_remote_turn(remote, failure);
	return r;
}

static int start(struct hf_cli_remote *remote, const uint8_t key[static HF_CORE_KEY_BYTES], struct hf_failure *failure)
{
	struct hf_core_options options = {.size = sizeof options, .key = key};
	struct hf_loop *loop = hf_core_node_loop(remote->node);
	int r = hf_corestore_get(hf_core_node_cores(remote->node), &options, &remote->core, failure);
	remote->timer.fire = on_timer;
	if (r == HF_OK) {
		remote->listener.event = on_core;
		hf_core_listen(remote->core, &remote->listener);
		r = hf_replicator_join(hf_core_node_replicator(remote->node), remote->core, &remote->replication);
	}
	if (r == HF_OK)
		r = hf_bee_hints_ask(hf_core_node_bee_hints(remote->node), remote->replication, &remote->asker);
	if (r == HF_OK)
		r = hf_loop_on_signal(loop, SIGTERM, on_signal, remote);
	if (r == HF_OK)
		r = hf_loop_on_signal(loop, SIGINT, on_signal, remote);
	if (r == HF_OK)
		r = hf_cli_core_open_endpoint(remote->cli, remote->node, &remote->endpoint, stderr, failure);
	if (r == HF_OK && remote->endpoint.is_swarm)
		r = hf_core_node_join(remote->node, hf_core_discovery_key(remote->core),
			HF_SWARM_CLIENT | (remote->endpoint.keeps ? HF_SWARM_SERVER : 0), failure);
	return r == HF_OK ? hear(remote, remote->replication, failure) : r;
}

int hf_cli_remote_join(struct hf_cli_remote *remote, struct hf_core *core, struct hf_failure *failure)
{
	int r = hf_replicator_join(hf_core_node_replicator(remote->node), core, &remote->other_replication);
	if (r < 0)
		return hf_fail(failure, r, "Out of memory.");
	remote->other = hf_core_ref(core);
	remote->other_listener.event = on_other;
	hf_core_listen(core, &remote->other_listener);
	return hear(remote, remote->other_replication, failure);
}

bool hf_cli_remote_open(struct hf_cli_remote *remote, struct hf_cli *cli, const json_t *arguments, int *code)
{
	struct hf_core_node_options options = {.size = sizeof options, .env = &cli->env, .config = cli->config, .create = true, .left = left,
		.context = remote};
	struct hf_failure failure = {0};
	const char *text = json_string_value(json_object_get(arguments, "key"));
	uint8_t key[HF_CORE_KEY_BYTES];
	uint64_t seconds;
	*remote = (struct hf_cli_remote){.cli = cli};
	*code = HF_CLI_USAGE;
	if (!text || hf_core_key_decode(key, hf_slice_text(text)) < 0) {
		hf_cli_core_usage(cli, "a core at a peer is named by its KEY.");
		return false;
	}
	if (!hf_cli_core_endpoint(cli, hf_cli_option(cli, "listen") == NULL, &remote->endpoint) || !hf_cli_core_timeout(cli, &seconds))
		return false;
	remote->timeout_us = seconds * 1000000;
	remote->endpoint.keeps = hf_cli_option(cli, "live") != NULL;
	failure.code = hf_core_node_open(&remote->node, &options, &failure);
	if (failure.code < 0) {
		*code = hf_cli_fail(&failure);
		return false;
	}
	failure.code = start(remote, key, &failure);
	if (failure.code == HF_OK)
		return true;
	*code = hf_cli_core_fail(&failure);
	hf_cli_remote_close(remote);
	return false;
}

void hf_cli_remote_close(struct hf_cli_remote *remote)
{
	struct hf_cli *cli = remote->cli;
	uint8_t discovery_key[32];
	bool is_empty = remote->core && hf_core_length(remote->core) == 0 && !hf_core_manifest(remote->core);
	if (remote->core)
		memcpy(discovery_key, hf_core_discovery_key(remote->core), 32);
	if (remote->node)
		hf_loop_timer_cancel(hf_core_node_loop(remote->node), &remote->timer);
	hf_replication_leave(remote->other_replication);
	if (remote->other)
		hf_core_unlisten(remote->other, &remote->other_listener);
	hf_core_unref(remote->other);
	hf_bee_asker_free(remote->asker);
	hf_replication_leave(remote->replication);
	if (remote->core)
		hf_core_unlisten(remote->core, &remote->listener);
	hf_core_unref(remote->core);
	hf_core_node_close(remote->node);
	*remote = (struct hf_cli_remote){.cli = cli};
	if (is_empty)
		hf_cli_core_drop(cli, discovery_key);
}
