/* up: all of it on one machine: a private network, a gateway and a worker with something to see, each as a process of its own. */
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/address.h"
#include "cli/supervise.h"
#include "cli/target.h"
#include "cli/terminal.h"
#include "codec/hex.h"
#include "service/gateway/admin_guard.h"
#include "service/keyring.h"

#define NETWORK_NODES "3"
#define NETWORK_PORT 49737   /* the DHT's; another one when it is taken */
#define RELAY_LINE "holdfast: relay at "

#define WORKER_LINE "holdfast: worker "
#define WORKER_PATH "notes"  /* as worker_conf has it */
#define FILES "files"
#define WELCOME_FILE "welcome.txt"
#define REGISTERED_MS 15000  /* to wait for the worker's relay to be known at the gateway; then it is told anyway */
#define LOOK_MS 50
#define LINK_BYTES 512

#define MADE_BY "# Made by `holdfast up` when it first started here, and yours since. `holdfast config explain` tells what can be set.\n\n"

static const char gateway_conf[] = MADE_BY
	"[gateway]\n"
	"swarm = yes\n"
	"\n"
	"[relay]\n"
	"bee = yes\n"
	"\n"
	"[workers]\n"
	"enabled = yes\n"
	"\n"
	"[tokens]\n"
	"enabled = yes\n"
	"\n"
	"[discovery]\n"
	"announce = yes\n";

static const char worker_conf[] = MADE_BY
	"[gateway]\n"
	"listen = 127.0.0.1:0\n"
	"\n"
	"[worker]\n"
	"discover = yes\n"
	"discovery_relays = gateway\n"
	"\n"
	"[relay]\n"
	"name = Notes of a member\n"
	"description = A relay on a member's own machine, reached through the gateway.\n"
	"gateway_path = " WORKER_PATH "\n"
	"drive = " FILES "\n";

static const char welcome[] = "This file is in a drive on the worker, and came to you through the gateway.\n"
	"Put others beside it with `holdfast drive put`.\n";

enum { NETWORK, GATEWAY, WORKER, PART_COUNT };

struct up {
	struct hf_cli *cli;
	char gateway_data[HF_PATH_BYTES_MAX], gateway_config[HF_PATH_BYTES_MAX];
	char worker_data[HF_PATH_BYTES_MAX], worker_config[HF_PATH_BYTES_MAX];
	char gateway_key[65], worker_key[65];
	char token_path[HF_PATH_BYTES_MAX];
	char network_port[8], bootstrap[HF_ADDRESS_TEXT_BYTES], url[128], gateway[256];
	const char *network_arguments[8], *gateway_arguments[16], *worker_arguments[12];
	struct hf_part parts[PART_COUNT];
};

/* The key by which peers know the process that will use the directory. */
static int make_key(struct up *u, const char *path, char out[static 65], struct hf_failure *failure)
{
	struct hf_datadir directory;
	struct hf_keys *keys = NULL;
	int r = hf_datadir_open(&directory, &u->cli->env, path, true, failure);
	if (r < 0)
		return r;
	r = hf_keyring_open(&keys, &directory, "keys", failure);
	if (r == HF_OK)
		r = hf_keyring_ensure(keys, &directory, "keys", HF_KEY_SWARM, failure);
	if (r == HF_OK) {
		hf_hex_encode(out, hf_keys_active(keys, HF_KEY_SWARM)->public_key, 32);
		out[64] = '\0';
	}
	hf_keys_free(keys);
	hf_datadir_close(&directory);
	return r;
}

/* ---- Asking a part, or working on its directory while it is not there ---- */

static int run_action(struct up *u, char *data, const char *action, const char *arguments, struct hf_slice input, struct hf_buffer *out,
	struct hf_failure *failure)
{
	char *own = u->cli->config->data;
	u->cli->config->data = data;
	int r = hf_cli_target_ask(u->cli, action, arguments, input, out, failure);
	u->cli->config->data = own;
	return r;
}

/* Something to see in the worker's drive, once. */
static int put_welcome(struct up *u, struct hf_failure *failure)
{
	struct hf_buffer out = {0};
	char arguments[160];
	int r = run_action(u, u->worker_data, "drive/create", "{\"name\":\"" FILES "\"}", (struct hf_slice){0}, &out, failure);
	hf_buffer_clear(&out);
	if (r == HF_OK)
		r = run_action(u, u->worker_data, "drive/info", "{\"name\":\"" FILES "\"}", (struct hf_slice){0}, &out, failure);
	json_t *facts = r == HF_OK ? json_loadb((const char *)out.data, out.length, 0, NULL) : NULL;
	bool is_new = json_integer_value(json_object_get(facts, "version")) <= 1;
	json_decref(facts);
	hf_buffer_clear(&out);
	snprintf(arguments, sizeof arguments, "{\"name\":\"" FILES "\",\"files\":[{\"path\":\"/" WELCOME_FILE "\",\"size\":%zu}]}",
		sizeof welcome - 1);
	if (r == HF_OK && is_new)
		r = run_action(u, u->worker_data, "drive/change", arguments, hf_slice(welcome, sizeof welcome - 1), &out, failure);
	hf_buffer_free(&out);
	return r;
}

/* ---- What is started ---- */

/* Not over what is there: it is the user's. */
static int write_once(const struct up *u, const char *path, const char *text, struct hf_failure *failure)
{
	struct hf_fs *fs = u->cli->env.fs;
	int r = hf_fs_exists(fs, path) ? HF_OK : hf_fs_replace(fs, path, text, strlen(text));
	return r < 0 ? hf_fail(failure, r, "%s cannot be written: %s.", path, hf_error_text(r)) : r;
}

/* What opens the dashboard. Once: a link that was kept stays good. */
static int make_token(struct up *u, struct hf_failure *failure)
{
	snprintf(u->token_path, sizeof u->token_path, "%.500s/admin.token", u->cli->config->data);
	int r = hf_fs_exists(u->cli->env.fs, u->token_path) ? HF_OK : hf_admin_token_make(&u->cli->env, u->token_path, failure);
	return r < 0 ? hf_fail(failure, r, "%s cannot be made.", u->token_path) : r;
}

static int prepare_folder(struct up *u, struct hf_failure *failure)
{
	const char *data = u->cli->config->data;
	struct hf_fs *fs = u->cli->env.fs;
	char format[HF_PATH_BYTES_MAX];
	if (strlen(data) > sizeof format / 2)
		return hf_fail(failure, HF_ETOOBIG, "The path of the data directory is too long.");
	snprintf(format, sizeof format, "%.500s/FORMAT", data);
	if (hf_fs_exists(fs, format))
		return hf_fail(failure, HF_EEXISTS, "%s is the data directory of a gateway alone: start it with `holdfast gateway --data %s`, or name "
			"another directory.", data, data);
	int r = fs->make_directory(fs, data, 0700);
	if (r < 0 && r != HF_EEXISTS)
		return hf_fail(failure, r, "%s cannot be made: %s.", data, hf_error_text(r));
	snprintf(u->gateway_data, sizeof u->gateway_data, "%.500s/gateway", data);
	snprintf(u->gateway_config, sizeof u->gateway_config, "%.500s/gateway.conf", data);
	snprintf(u->worker_data, sizeof u->worker_data, "%.500s/worker", data);
	snprintf(u->worker_config, sizeof u->worker_config, "%.500s/worker.conf", data);
	r = write_once(u, u->gateway_config, gateway_conf, failure);
	if (r == HF_OK)
		r = write_once(u, u->worker_config, worker_conf, failure);
	if (r == HF_OK)
		r = make_token(u, failure);
	if (r == HF_OK)
		r = make_key(u, u->gateway_data, u->gateway_key, failure);
	if (r == HF_OK)
		r = make_key(u, u->worker_data, u->worker_key, failure);
	return r == HF_OK ? put_welcome(u, failure) : r;
}

static bool is_port_free(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_free = probe >= 0 && bind(probe, (const struct sockaddr *)&address, sizeof address) == 0;
	if (probe >= 0)
		close(probe);
	return is_free;
}

static void plan_network(struct up *u)
{
	const char **a = u->network_arguments;
	snprintf(u->network_port, sizeof u->network_port, "%d", is_port_free(NETWORK_PORT) ? NETWORK_PORT : 0);
	*a++ = "dht";
	*a++ = "testnet";
	*a++ = "--nodes";
	*a++ = NETWORK_NODES;
	*a++ = "--port";
	*a++ = u->network_port;
	u->parts[NETWORK] = (struct hf_part){.name = "network", .arguments = u->network_arguments, .ready = NETWORK_NODES " nodes"};
}

static void plan_gateway(struct up *u)
{
	const char **a = u->gateway_arguments;
	*a++ = "gateway";
	*a++ = "--config";
	*a++ = u->cli->config_path ? u->cli->config_path : u->gateway_config;
	*a++ = "--data";
	*a++ = u->gateway_data;
	*a++ = "--listen";
	*a++ = u->cli->config->listen;
	*a++ = "--swarm-bootstrap";
	*a++ = u->bootstrap;
	*a++ = "--registration-allow";
	*a++ = u->worker_key;
	*a++ = "--admin-token-file";
	*a++ = u->token_path;
	u->parts[GATEWAY] = (struct hf_part){.name = "gateway", .arguments = u->gateway_arguments, .ready = RELAY_LINE, .takes_reload = true};
}

static void plan_worker(struct up *u)
{
	const char **a = u->worker_arguments;
	*a++ = "worker";
	*a++ = "--config";
	*a++ = u->worker_config;
	*a++ = "--data";
	*a++ = u->worker_data;
	*a++ = "--swarm-bootstrap";
	*a++ = u->bootstrap;
	*a++ = "--worker-gateways";
	*a++ = u->gateway;
	u->parts[WORKER] = (struct hf_part){.name = "worker", .arguments = u->worker_arguments, .ready = WORKER_LINE, .takes_reload = true};
}

/* ---- What is told ---- */

static void heard(void *context, const struct hf_part *part, const char *line)
{
	struct up *u = context;
	const char *bootstrap = strstr(line, "--bootstrap ");
	if (part == &u->parts[NETWORK] && bootstrap)
		snprintf(u->bootstrap, sizeof u->bootstrap, "%s", bootstrap + strlen("--bootstrap "));
	if (part == &u->parts[GATEWAY] && strncmp(line, RELAY_LINE, strlen(RELAY_LINE)) == 0) {
		snprintf(u->url, sizeof u->url, "%.*s", (int)strcspn(line + strlen(RELAY_LINE), ","), line + strlen(RELAY_LINE));
		snprintf(u->gateway, sizeof u->gateway, "%s@%s", u->gateway_key, u->url);
	}
}

/* NULL with the reason told. */
static json_t *ask_gateway(struct up *u, const char *action)
{
	struct hf_buffer out = {0};
	struct hf_failure failure = {0};
	int r = run_action(u, u->gateway_data, action, "{}", (struct hf_slice){0}, &out, &failure);
	json_t *answer = r == HF_OK ? json_loadb((const char *)out.data, out.length, 0, NULL) : NULL;
	hf_buffer_free(&out);
	if (r < 0)
		hf_terminal_fail(failure.text);
	return answer;
}

static bool is_registered(struct up *u)
{
	size_t i;
	json_t *record, *answer = ask_gateway(u, "registry/list");
	bool is_there = !answer;
	json_array_foreach(json_object_get(answer, "relays"), i, record)
		is_there = is_there || strcmp(json_string_value(json_object_get(record, "path")), WORKER_PATH) == 0;
	json_decref(answer);
	return is_there;
}

static void wait_for_worker(struct up *u)
{
	uint64_t end_ms = hf_env_monotonic_ms(&u->cli->env) + REGISTERED_MS;
	while (!is_registered(u) && hf_env_monotonic_ms(&u->cli->env) < end_ms)
		nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000}, NULL);
}

/* The link to the dashboard, with its token; "" when it cannot be read. */
static void make_link(const struct up *u, char out[static LINK_BYTES])
{
	struct hf_buffer token = {0};
	struct hf_failure failure = {0};
	out[0] = '\0';
	if (hf_admin_token_read(&u->cli->env, u->token_path, &token, &failure) == HF_OK)
		snprintf(out, LINK_BYTES, "http%s/dashboard#token=%.*s", u->url + strlen("ws"), (int)token.length, (const char *)token.data);
	hf_buffer_free(&token);
}

static void print_json(const struct up *u, json_t *relay)
{
	char link[LINK_BYTES];
	make_link(u, link);
	json_t *facts = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:O}", "data", u->cli->config->data, "bootstrap", u->bootstrap,
		"relay", u->url, "gateway_data", u->gateway_data, "gateway_key", u->gateway_key, "worker_data", u->worker_data,
		"worker_key", u->worker_key, "worker_path", "/" WORKER_PATH, "dashboard", link, "relay_info", relay);
	char *text = facts ? json_dumps(facts, JSON_COMPACT) : NULL;
	if (text)
		puts(text);
	free(text);
	json_decref(facts);
}

static void print_text(const struct up *u, json_t *relay)
{
	const char *bee = json_string_value(json_object_get(json_object_get(relay, "bee"), "key"));
	char link[LINK_BYTES];
	make_link(u, link);
	printf("\nHoldfast is up; its data is in %s, and ^C ends it.\n\n", u->cli->config->data);
	printf("  dashboard  %s\n", link);
	printf("  page       http%s\n", u->url + strlen("ws"));
	printf("  relay      %s   for any Nostr client\n", u->url);
	if (bee)
		printf("  its bee    %s   for any Hyperbee peer that begins at %s\n", bee, u->bootstrap);
	printf("  a member's %s/%s   served by the worker, through the gateway\n", u->url, WORKER_PATH);
	printf("  a file     http%s/drive/%s/%s\n", u->url + strlen("ws"), WORKER_PATH, WELCOME_FILE);
	/* By the name that it was started with: after `make run` there is a build/holdfast, and none in PATH. */
	const char *program = program_invocation_name;
	printf("\n  try        %s admin workers --data %s\n", program, u->gateway_data);
	printf("             %s gateways list --bootstrap %s\n", program, u->bootstrap);
	if (bee)
		printf("             %s bee list --key-encoding binary --data %s/copy --bootstrap %s %s\n", program, u->cli->config->data,
			u->bootstrap, bee);
	putchar('\n');
}

static int ready(void *context)
{
	struct up *u = context;
	wait_for_worker(u);
	json_t *relay = ask_gateway(u, "relay/info");
	if (!relay)
		return HF_CLI_FAILED;
	if (u->cli->json)
		print_json(u, relay);
	else
		print_text(u, relay);
	fflush(stdout);
	json_decref(relay);
	return 0;
}

int hf_cli_up(struct hf_cli *cli)
{
	struct up u = {.cli = cli};
	struct hf_failure failure = {0};
	if (prepare_folder(&u, &failure) < 0)
		return hf_cli_fail(&failure);
	plan_network(&u);
	plan_gateway(&u);
	plan_worker(&u);
	struct hf_supervise_options options = {.env = &cli->env, .parts = u.parts, .count = PART_COUNT, .heard = heard,
		.ready = ready, .context = &u};
	return hf_supervise(&options);
}
