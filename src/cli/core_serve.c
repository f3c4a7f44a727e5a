/* core_serve: cores for peers to fetch, until a signal comes; and appending while they do. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "cli/core_append.h"
#include "cli/core_net.h"
#include "cli/terminal.h"
#include "codec/core_key.h"
#include "codec/hex.h"
#include "data/hyperdrive/drive.h"

struct serving {
	struct hf_cli *cli;
	struct hf_core_node *node;
	uint8_t (*keys)[32]; /* discovery keys; none: all cores */
	size_t key_count;
	bool are_drives;     /* the keys that are named: their blobs are served as well */
	/* Appending, on a thread of its own: through admin.sock, like any other process. */
	pthread_t appender;
	atomic_bool is_stopping;
	int append_code;
	bool is_appending;
	struct hf_swarm_wait wait; /* for being announced */
};

/* ---- Telling of peers ---- */

void hf_cli_core_log_came(const struct hf_core_node_peer *peer)
{
	char key[65] = {0};
	hf_hex_encode(key, peer->remote_key, 32);
	fprintf(stderr, "peer %s came, key %s\n", peer->address, key);
}

void hf_cli_core_log_left(const struct hf_core_node_peer *peer, int code, const char *why)
{
	const char *end = why && why[0] ? why : hf_error_text(code);
	size_t length = strlen(end);
	fprintf(stderr, "peer %s %s: ", peer->address[0] ? peer->address : "unknown", peer->remote_key ? "left" : "was not let in");
	hf_terminal_text(stderr, hf_slice(end, length));
	fprintf(stderr, "%s (%s)\n", length && end[length - 1] == '.' ? "" : ".", hf_error_name(code));
}

static void came(void *context, const struct hf_core_node_peer *peer)
{
	hf_cli_core_log_came(peer);
}

static void left(void *context, const struct hf_core_node_peer *peer, int code, const char *why)
{
	hf_cli_core_log_left(peer, code, why);
}

/* ---- Serving ---- */

static bool may_serve(void *context, const uint8_t discovery_key[static 32])
{
	const struct serving *s = context;
	for (size_t i = 0; i < s->key_count; i++)
		if (memcmp(s->keys[i], discovery_key, 32) == 0)
			return true;
	return s->key_count == 0;
}

/* The core of a drive's blobs. It follows from the drive's without its encryption key; only old ones must be asked. */
static int add_blobs(struct serving *s, const struct hf_core *core, struct hf_failure *failure)
{
	struct hf_drive_options options = {.size = sizeof options, .cores = hf_core_node_cores(s->node), .key = hf_core_key(core)};
	struct hf_drive *drive;
	uint8_t key[HF_CORE_KEY_BYTES];
	int r = hf_core_manifest(core) ? hf_drive_blobs_key(hf_core_manifest(core), hf_core_key(core), key) : HF_EINVAL;
	if (r < 0) {
		r = hf_drive_open(&drive, &options, failure);
		if (r == HF_OK && hf_drive_blobs(drive))
			memcpy(key, hf_core_key(hf_drive_blobs(drive)), sizeof key);
		else if (r == HF_OK)
			r = hf_fail(failure, HF_ENOTFOUND, "The blobs of a drive that is named cannot be found: its first block is not here.");
		if (r == HF_OK)
			hf_drive_close(drive);
	}
	if (r == HF_OK)
		hf_discovery_key(s->keys[s->key_count++], key);
	return r;
}

/* The cores that are named; each must be here. */
static int read_keys(struct serving *s, struct hf_failure *failure)
{
	const struct hf_cli *cli = s->cli;
	size_t named = s->key_count;
	for (size_t i = 0; i < named; i++) {
		uint8_t key[32];
		struct hf_core *core;
		struct hf_core_options options = {.size = sizeof options, .key = key, .must_exist = true};
		hf_core_key_decode(key, hf_slice_text(cli->arguments[i]));
		int r = hf_corestore_get(hf_core_node_cores(s->node), &options, &core, failure);
		if (r == HF_ENOTFOUND)
			hf_fail(failure, r, "There is no core %s here; `holdfast core list` shows those that are.", cli->arguments[i]);
		if (r < 0)
			return r;
		memcpy(s->keys[i], hf_core_discovery_key(core), 32);
		if (s->are_drives)
			r = add_blobs(s, core, failure);
		hf_core_unref(core);
		if (r < 0)
			return r;
	}
	return HF_OK;
}

static bool check_keys(const struct hf_cli *cli)
{
	uint8_t key[32];
	char sentence[256];
	for (size_t i = 0; i < cli->argument_count; i++)
		if (hf_core_key_decode(key, hf_slice_text(cli->arguments[i])) < 0) {
			snprintf(sentence, sizeof sentence, "\"%.80s\" is no core key: that is 52 characters of z-base-32, or 64 of hexadecimal.",
				cli->arguments[i]);
			hf_cli_core_usage(cli, sentence);
			return false;
		}
	return true;
}

static int open_node(struct serving *s, struct hf_failure *failure)
{
	struct hf_core_node_options options = {.size = sizeof options, .env = &s->cli->env, .config = s->cli->config,
		.create = s->key_count == 0 && !s->is_appending, /* what is named must be there */
		.may_serve = may_serve,
		.came = came, .left = left, .context = s};
	return hf_core_node_open(&s->node, &options, failure);
}

/* ---- Being found ---- */

#define TOPIC_COUNT_MAX 1024 /* of all cores; more must be named */

struct joining {
	struct serving *s;
	struct hf_failure *failure;
	size_t count;
};

static int join_one(void *context, const struct hf_core_entry *entry)
{
	struct joining *j = context;
	if (j->count++ == TOPIC_COUNT_MAX)
		return hf_fail(j->failure, HF_ETOOBIG, "There are more than %d cores here: name those that are to be found in the swarm.",
			TOPIC_COUNT_MAX);
	return hf_core_node_join(j->s->node, entry->discovery_key, HF_SWARM_SERVER | HF_SWARM_CLIENT, j->failure);
}

static void announced(struct hf_swarm_wait *wait, int code)
{
	struct serving *s = HF_CONTAINER_OF(wait, struct serving, wait);
	struct hf_swarm_stats stats;
	FILE *out = s->is_appending ? stderr : stdout;
	hf_swarm_stats(hf_core_node_peers(s->node), &stats);
	fprintf(out, s->cli->json ? "{\"announced\":%u}\n" : "%u %s can be found in the swarm\n", stats.topics,
		stats.topics == 1 ? "core" : "cores");
	fflush(out);
}

/* Under the keys that are named, or those of all cores. The blobs of a drive come over the same connections. */
static int join_topics(struct serving *s, struct hf_failure *failure)
{
	struct joining j = {.s = s, .failure = failure};
	int r = s->key_count == 0 ? hf_corestore_list(hf_core_node_cores(s->node), join_one, &j) : HF_OK;
	for (size_t i = 0; r == HF_OK && s->key_count > 0 && i < s->cli->argument_count; i++)
		r = hf_core_node_join(s->node, s->keys[i], HF_SWARM_SERVER | HF_SWARM_CLIENT, failure);
	s->wait.done = announced;
	if (r == HF_OK)
		hf_swarm_wait_topics(hf_core_node_peers(s->node), &s->wait);
	return r;
}

/* ---- Appending meanwhile ---- */

static void *run_appender(void *context)
{
	struct serving *s = context;
	s->append_code = hf_cli_core_append_until(s->cli, &s->is_stopping);
	if (s->append_code != HF_CLI_OK)
		kill(getpid(), SIGTERM);
	return NULL;
}

static int run(struct serving *s, struct hf_failure *failure)
{
	if (s->is_appending && pthread_create(&s->appender, NULL, run_appender, s) != 0)
		return hf_fail(failure, HF_ENOMEM, "Starting a thread failed.");
	int r = hf_core_node_run(s->node);
	return r < 0 ? hf_fail(failure, r, "The event loop cannot start.") : r;
}

static int serve(struct serving *s, struct hf_cli_endpoint *endpoint)
{
	struct hf_failure failure = {0};
	int code = HF_CLI_OK, r = open_node(s, &failure);
	endpoint->keeps = true;
	if (r < 0) {
		failure.code = r;
		return hf_cli_fail(&failure);
	}
	r = read_keys(s, &failure);
	if (r == HF_OK)
		r = hf_cli_core_open_endpoint(s->cli, s->node, endpoint, s->is_appending ? stderr : stdout, &failure);
	if (r == HF_OK && endpoint->is_swarm)
		r = join_topics(s, &failure);
	if (r == HF_OK)
		r = run(s, &failure);
	failure.code = r;
	if (r < 0)
		code = hf_cli_core_fail(&failure);
	if (s->is_appending && s->appender) {
		atomic_store(&s->is_stopping, true);
		while (pthread_tryjoin_np(s->appender, NULL) != 0)
			hf_loop_poll(hf_core_node_loop(s->node), false);
		code = code == HF_CLI_OK ? s->append_code : code;
	}
	hf_core_node_close(s->node);
	return code;
}

static int serve_named(struct hf_cli *cli, bool are_drives)
{
	struct serving s = {.cli = cli, .are_drives = are_drives};
	struct hf_cli_endpoint endpoint;
	if (!hf_cli_core_endpoint(cli, hf_cli_option(cli, "connect") != NULL, &endpoint) || !check_keys(cli))
		return HF_CLI_USAGE;
	s.key_count = cli->argument_count;
	s.keys = calloc(2 * s.key_count + 1, sizeof *s.keys);
	int code = s.keys ? serve(&s, &endpoint) : HF_CLI_FAILED;
	free(s.keys);
	return code;
}

int hf_cli_core_serve(struct hf_cli *cli)
{
	return serve_named(cli, false);
}

int hf_cli_drive_serve(struct hf_cli *cli)
{
	return serve_named(cli, true);
}

int hf_cli_core_append_serving(struct hf_cli *cli)
{
	struct serving s = {.cli = cli, .is_appending = true};
	struct hf_cli_endpoint endpoint;
	if (!hf_cli_core_endpoint(cli, false, &endpoint))
		return HF_CLI_USAGE;
	return serve(&s, &endpoint);
}
