/* core_fetch: brings a core, or some of its blocks, from a peer. It waits until a peer has the core, hears how long it is, and ends when
 * all that was asked for is held and committed; with --live it follows the core until it is interrupted. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/core_net.h"
#include "base/list.h"
#include "cli/terminal.h"
#include "codec/core_key.h"

#define LOOK_MS 20
#define TIMEOUT_S 30
#define TIMEOUT_S_MAX 1000000

enum step { WAITING, HEARING, DOWNLOADING, DONE };

struct fetching;
struct part {
	struct hf_download download; /* first */
	struct fetching *fetching;
};

struct fetching {
	struct hf_cli *cli;
	struct hf_cli_endpoint endpoint;
	const char *serve; /* where it listens, too; NULL: nowhere */
	struct hf_core_node *node;
	struct hf_core *core;
	struct hf_core_listener listener;
	struct hf_replication *replication;
	struct hf_cli_range ranges[HF_CLI_BLOCK_RANGE_COUNT_MAX];
	struct part parts[HF_CLI_BLOCK_RANGE_COUNT_MAX];
	size_t range_count, part_count, done_count; /* no range: the whole core */
	enum step step;
	bool is_live;
	uint64_t timeout_us, moved_us, moved_blocks; /* when something came the last time, and how much had */
	uint64_t heard_length, heard_fork, to_fetch;
	struct hf_timer look;
	struct hf_progress progress;
	struct hf_failure failure;
};

static void fail(struct fetching *f, int code, const char *sentence)
{
	if (f->step == DONE)
		return;
	f->step = DONE;
	f->failure.code = hf_fail(&f->failure, code, "%s", sentence);
	hf_core_node_stop(f->node);
}

static void finish(struct fetching *f)
{
	f->step = DONE;
	if (!f->is_live)
		hf_core_node_stop(f->node);
}

int hf_cli_core_not_kept(struct hf_failure *failure, uint64_t status)
{
	int code = -(int)status;
	if (code == HF_ENOSPC)
		return hf_fail(failure, code, "What came was not stored: the disk, or the quota of store.quota, is full.");
	return hf_fail(failure, code, "What came was not stored: %s.", hf_error_text(code));
}

/* It would come again and again. */
static void on_core(struct hf_core_listener *listener, enum hf_core_event event, uint64_t from, uint64_t to)
{
	struct fetching *f = HF_CONTAINER_OF(listener, struct fetching, listener);
	struct hf_failure failure;
	(void)to;
	if (event != HF_CORE_FAILED)
		return;
	hf_cli_core_not_kept(&failure, from);
	fail(f, failure.code, failure.text);
}

/* ---- Blocks ---- */

static void part_done(struct hf_download *download)
{
	struct fetching *f = ((struct part *)(void *)download)->fetching;
	if (++f->done_count == f->part_count)
		finish(f);
}

static void start_part(struct fetching *f, uint64_t from, uint64_t to)
{
	struct part *part = &f->parts[f->part_count++];
	*part = (struct part){.download = {.from = from, .to = to, .done = part_done}, .fetching = f};
	hf_download_start(f->replication, &part->download);
}

static void cancel_parts(struct fetching *f)
{
	for (size_t i = 0; i < f->part_count; i++)
		hf_download_cancel(&f->parts[i].download);
	f->part_count = f->done_count = 0;
}

static uint64_t count_missing(const struct fetching *f, uint64_t from, uint64_t to)
{
	const struct hf_bitfield *held = hf_core_blocks(f->core);
	uint64_t count = 0;
	for (uint64_t at = hf_bitfield_next_clear(held, from, to); at < to;) {
		uint64_t end = hf_bitfield_next_set(held, at, to);
		count += end - at;
		at = hf_bitfield_next_clear(held, end, to);
	}
	return count;
}

/* What was asked for, now that the length is known. */
static void start_parts(struct fetching *f)
{
	struct hf_cli_range whole = {0, UINT64_MAX};
	const struct hf_cli_range *ranges = f->range_count ? f->ranges : &whole;
	char sentence[160];
	f->step = DOWNLOADING;
	f->heard_length = hf_core_length(f->core);
	f->heard_fork = hf_core_fork(f->core);
	f->to_fetch = 0;
	for (size_t i = 0; i < (f->range_count ? f->range_count : 1); i++) {
		uint64_t to = ranges[i].to == UINT64_MAX ? f->heard_length : ranges[i].to;
		if (to > f->heard_length || ranges[i].from > to) {
			snprintf(sentence, sizeof sentence, "The core has %llu blocks, counted from 0; --blocks asks for more.",
				(unsigned long long)f->heard_length);
			fail(f, HF_ENOTFOUND, sentence);
			return;
		}
		f->to_fetch += count_missing(f, ranges[i].from, to);
		if (to > ranges[i].from)
			start_part(f, ranges[i].from, to);
	}
	if (f->part_count == 0)
		finish(f);
}

/* ---- Steps ---- */

static void heard(void *context)
{
	struct fetching *f = context;
	if (f->step == HEARING)
		f->step = hf_replication_peer_count(f->replication) > 0 ? DOWNLOADING : WAITING;
	if (f->step == DOWNLOADING)
		start_parts(f);
}

static void hear(struct fetching *f)
{
	f->step = HEARING;
	if (hf_replication_update(f->replication, heard, f) < 0)
		fail(f, HF_ENOMEM, "Out of memory.");
}

/* The sentence for waiting in vain. */
static void say_not_found(const struct hf_cli_endpoint *endpoint, const char *what, uint64_t waited_s, char *sentence, size_t bytes)
{
	if (endpoint->is_swarm)
		snprintf(sentence, bytes, "Nobody was found in the swarm who has %s (waited %llu seconds; --timeout).", what,
			(unsigned long long)waited_s);
	else if (endpoint->dials)
		snprintf(sentence, bytes, "The peer at %s does not say whether it has %s (waited %llu seconds; --timeout).", endpoint->address, what,
			(unsigned long long)waited_s);
	else
		snprintf(sentence, bytes, "No peer that came to %s has %s (waited %llu seconds; --timeout).", endpoint->address, what,
			(unsigned long long)waited_s);
}

static void check_time(struct fetching *f, uint64_t blocks)
{
	uint64_t now_us = hf_env_monotonic_us(&f->cli->env);
	char sentence[240], what[80], id[HF_CORE_ID_BYTES];
	if (blocks != f->moved_blocks || f->moved_us == 0) {
		f->moved_blocks = blocks;
		f->moved_us = now_us;
	}
	if (f->is_live || now_us - f->moved_us < f->timeout_us)
		return;
	hf_core_key_encode(id, hf_core_key(f->core));
	if (f->step == DOWNLOADING)
		snprintf(sentence, sizeof sentence, "No block came for %llu seconds: nobody who is connected has what is missing.",
			(unsigned long long)(f->timeout_us / 1000000));
	else {
		snprintf(what, sizeof what, "the core %s", id);
		say_not_found(&f->endpoint, what, f->timeout_us / 1000000, sentence, sizeof sentence);
	}
	fail(f, HF_ETIMEOUT, sentence);
}

/* The one peer that there is has said that it does not open the core. */
static void check_rejected(struct fetching *f, const struct hf_replicator_stats *stats)
{
	char sentence[200], id[HF_CORE_ID_BYTES];
	if (f->is_live || f->endpoint.is_swarm || !f->endpoint.dials || f->step != WAITING || stats->channels_rejected == 0 || stats->channels > 0)
		return;
	hf_core_key_encode(id, hf_core_key(f->core));
	snprintf(sentence, sizeof sentence, "The peer at %s does not have the core %s.", f->endpoint.address, id);
	fail(f, HF_ENOTFOUND, sentence);
}

/* Blocks that were named need nobody who tells how long the core is. */
static bool is_all_here(const struct fetching *f)
{
	for (size_t i = 0; i < f->range_count; i++)
		if (f->ranges[i].to > hf_core_length(f->core) || f->ranges[i].from > f->ranges[i].to ||
			count_missing(f, f->ranges[i].from, f->ranges[i].to) > 0)
			return false;
	return f->range_count > 0;
}

static void on_look(struct hf_timer *timer)
{
	struct fetching *f = HF_CONTAINER_OF(timer, struct fetching, look);
	struct hf_replicator_stats stats;
	if (!f->is_live && f->step == WAITING && is_all_here(f))
		finish(f);
	hf_replication_stats(f->replication, &stats);
	if (!f->is_live && f->step == WAITING && hf_replication_peer_count(f->replication) > 0)
		hear(f);
	/* A fork took blocks that were waited for: what there is now is asked for instead. */
	if (!f->is_live && f->step == DOWNLOADING && hf_core_fork(f->core) != f->heard_fork) {
		cancel_parts(f);
		hear(f);
	}
	check_rejected(f, &stats);
	if (f->step != DONE)
		check_time(f, stats.blocks_received);
	if (f->step == DOWNLOADING || f->is_live)
		hf_progress_show(&f->progress, stats.blocks_received, f->to_fetch);
	hf_loop_timer_set(hf_core_node_loop(f->node), timer, LOOK_MS);
}

/* ---- Peers ---- */

static void came(void *context, const struct hf_core_node_peer *peer)
{
	const struct fetching *f = context;
	if (f->is_live)
		hf_cli_core_log_came(peer);
}

static void left(void *context, const struct hf_core_node_peer *peer, int code, const char *why)
{
	struct fetching *f = context;
	char sentence[HF_FAILURE_TEXT_BYTES];
	if (f->is_live || f->endpoint.keeps || !peer->is_dialled) {
		hf_cli_core_log_left(peer, code, why);
		return;
	}
	snprintf(sentence, sizeof sentence, peer->remote_key ? "The connection to %s ended: %.200s" : "There is no connection to %s: %.200s",
		peer->address,
		why && why[0] ? why : hf_error_text(code));
	fail(f, code == HF_OK ? HF_ECLOSED : code, sentence);
}

/* ---- The command ---- */

/* "3..7,50,99" */
static bool read_blocks(struct fetching *f)
{
	const char *text = hf_cli_option(f->cli, "blocks");
	while (text && *text) {
		size_t length = strcspn(text, ",");
		char one[64];
		snprintf(one, sizeof one, "%.*s", (int)length, text);
		if (f->range_count == HF_CLI_BLOCK_RANGE_COUNT_MAX || length >= sizeof one || !hf_cli_core_range(one, &f->ranges[f->range_count++])) {
			hf_cli_core_usage(f->cli, "--blocks is written like 7 or 3..9 or 3.., with commas between, at most 64 of them.");
			return false;
		}
		text += length;
		text += *text == ',';
	}
	return true;
}

bool hf_cli_core_timeout(const struct hf_cli *cli, uint64_t *seconds)
{
	bool ok = hf_cli_core_option_number(cli, "timeout", TIMEOUT_S, seconds);
	*seconds = *seconds < TIMEOUT_S_MAX ? *seconds : TIMEOUT_S_MAX;
	return ok;
}

static bool read_options(struct fetching *f, uint8_t key[static 32], uint8_t encryption_key[static 32], bool *is_encrypted)
{
	struct hf_cli *cli = f->cli;
	const char *encryption_text = hf_cli_option(cli, "encryption-key");
	uint64_t seconds;
	if (!hf_cli_core_endpoint(cli, hf_cli_option(cli, "listen") == NULL, &f->endpoint) || !read_blocks(f) ||
		!hf_cli_core_timeout(cli, &seconds))
		return false;
	if (cli->argument_count == 0 || hf_core_key_decode(key, hf_slice_text(cli->arguments[0])) < 0) {
		hf_cli_core_usage(cli, "give the KEY of the core: 52 characters of z-base-32, or 64 of hexadecimal.");
		return false;
	}
	*is_encrypted = encryption_text != NULL;
	if (encryption_text && (strlen(encryption_text) != 64 || !hf_cli_core_hex(encryption_key, encryption_text, 32))) {
		hf_cli_core_usage(cli, "--encryption-key is 32 bytes, written as 64 characters of hexadecimal.");
		return false;
	}
	f->is_live = hf_cli_option(cli, "live") != NULL;
	f->serve = hf_cli_option(cli, "serve");
	if (f->serve && (!f->is_live || !f->endpoint.dials || f->endpoint.is_swarm)) {
		hf_cli_core_usage(cli, "--serve goes with --live and --tcp, and not with --listen, which serves by itself.");
		return false;
	}
	if (f->serve && !hf_cli_core_address(cli, "serve", f->serve))
		return false;
	f->endpoint.keeps = f->is_live;
	f->timeout_us = seconds * 1000000;
	return true;
}

static int start(struct fetching *f, const uint8_t *key, const uint8_t *encryption_key, struct hf_failure *failure)
{
	struct hf_core_options options = {.size = sizeof options, .key = key, .encryption_key = encryption_key};
	int r = hf_corestore_get(hf_core_node_cores(f->node), &options, &f->core, failure);
	if (r == HF_OK) {
		f->listener.event = on_core;
		hf_core_listen(f->core, &f->listener);
		r = hf_replicator_join(hf_core_node_replicator(f->node), f->core, &f->replication);
	}
	if (r == HF_OK)
		r = hf_cli_core_open_endpoint(f->cli, f->node, &f->endpoint, f->is_live ? stdout : stderr, failure);
	if (r == HF_OK && f->endpoint.is_swarm)
		r = hf_core_node_join(f->node, hf_core_discovery_key(f->core), HF_SWARM_CLIENT | (f->is_live ? HF_SWARM_SERVER : 0), failure);
	if (r == HF_OK && f->serve) {
		struct hf_cli_endpoint serve = {.address = f->serve};
		r = hf_cli_core_open_endpoint(f->cli, f->node, &serve, stdout, failure);
	}
	if (r < 0)
		return r;
	f->look.fire = on_look;
	hf_progress_begin(&f->progress, &f->cli->env, "blocks");
	for (size_t i = 0; f->is_live && i < (f->range_count ? f->range_count : 1); i++)
		start_part(f, f->range_count ? f->ranges[i].from : 0, f->range_count ? f->ranges[i].to : UINT64_MAX);
	return hf_loop_timer_set(hf_core_node_loop(f->node), &f->look, 0);
}

static void print_result(const struct fetching *f, const struct hf_replicator_stats *stats)
{
	char id[HF_CORE_ID_BYTES];
	hf_core_key_encode(id, hf_core_key(f->core));
	printf(f->cli->json ? "{\"key\":\"%s\",\"length\":%llu,\"fork\":%llu,\"blocks_fetched\":%llu,\"bytes_fetched\":%llu}\n"
		: "%s: %llu blocks on fork %llu; %llu blocks fetched, %llu bytes\n", id, (unsigned long long)hf_core_length(f->core),
		(unsigned long long)hf_core_fork(f->core), (unsigned long long)stats->blocks_received, (unsigned long long)stats->bytes_received);
}

static void let_go(struct fetching *f)
{
	cancel_parts(f);
	hf_replication_leave(f->replication);
	hf_core_unlisten(f->core, &f->listener);
	hf_core_unref(f->core);
}

void hf_cli_core_drop(struct hf_cli *cli, const uint8_t discovery_key[static 32])
{
	struct hf_failure ignored = {0};
	struct hf_cli_target target;
	if (hf_cli_target_open(&target, cli, false, &ignored) < 0)
		return;
	struct hf_corestore_options options = {.size = sizeof options, .store = target.store, .env = &cli->env, .blocking = true};
	if (target.store && hf_action_open_cores(&target.cores, &options, cli->config, &ignored) == HF_OK)
		hf_corestore_drop(target.cores, discovery_key);
	hf_cli_target_close(&target);
}

int hf_cli_core_fetch(struct hf_cli *cli)
{
	struct fetching f = {.cli = cli};
	struct hf_core_node_options options = {.size = sizeof options, .env = &cli->env, .config = cli->config, .create = true, .came = came,
		.left = left, .context = &f};
	struct hf_replicator_stats stats = {0};
	uint8_t key[32], discovery_key[32], encryption_key[32];
	bool is_encrypted;
	if (!read_options(&f, key, encryption_key, &is_encrypted))
		return HF_CLI_USAGE;
	f.failure.code = hf_core_node_open(&f.node, &options, &f.failure);
	if (f.failure.code < 0)
		return hf_cli_fail(&f.failure);
	int r = start(&f, key, is_encrypted ? encryption_key : NULL, &f.failure);
	f.failure.code = r;
	if (r == HF_OK)
		hf_core_node_run(f.node);
	hf_progress_end(&f.progress);
	hf_loop_timer_cancel(hf_core_node_loop(f.node), &f.look);
	if (f.replication)
		hf_replication_stats(f.replication, &stats);
	if (f.failure.code == HF_OK && f.step != DONE && !f.is_live)
		f.failure.code = hf_fail(&f.failure, HF_ECANCELED, "Interrupted; what has come is kept.");
	bool is_empty = f.core && f.failure.code < 0 && hf_core_length(f.core) == 0 && !hf_core_manifest(f.core);
	if (f.core) {
		if (f.failure.code == HF_OK)
			print_result(&f, &stats);
		hf_discovery_key(discovery_key, key);
		let_go(&f);
	}
	hf_core_node_close(f.node);
	if (is_empty)
		hf_cli_core_drop(cli, discovery_key);
	return f.failure.code < 0 ? hf_cli_core_fail(&f.failure) : HF_CLI_OK;
}
