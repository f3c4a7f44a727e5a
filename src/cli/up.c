/* up: all of it on one machine: a private network, a gateway, and what else there is to see, each as a process of its own. */
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "cli/supervise.h"
#include "cli/target.h"
#include "cli/terminal.h"

#define NETWORK_NODES "3"
#define NETWORK_PORT 49737   /* the DHT's; another one when it is taken */
#define RELAY_LINE "holdfast: relay at "

static const char gateway_conf[] =
	"# Made by `holdfast up` when it first started here, and yours since. `holdfast config explain` tells what can be set.\n"
	"\n"
	"[gateway]\n"
	"swarm = yes\n"
	"\n"
	"[relay]\n"
	"bee = yes\n";

struct up {
	struct hf_cli *cli;
	char gateway_data[HF_PATH_BYTES_MAX], gateway_config[HF_PATH_BYTES_MAX];
	char network_port[8], bootstrap[HF_ADDRESS_TEXT_BYTES], url[128];
	const char *network_arguments[8], *gateway_arguments[12];
	struct hf_part parts[2];
};

/* ---- What is started ---- */

/* Not over what is there: it is the user's. */
static int write_once(const struct up *u, const char *path, const char *text, struct hf_failure *failure)
{
	struct hf_fs *fs = u->cli->env.fs;
	int r = hf_fs_exists(fs, path) ? HF_OK : hf_fs_replace(fs, path, text, strlen(text));
	return r < 0 ? hf_fail(failure, r, "%s cannot be written: %s.", path, hf_error_text(r)) : r;
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
	return write_once(u, u->gateway_config, gateway_conf, failure);
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
	u->parts[0] = (struct hf_part){.name = "network", .arguments = u->network_arguments, .ready = NETWORK_NODES " nodes"};
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
	u->parts[1] = (struct hf_part){.name = "gateway", .arguments = u->gateway_arguments, .ready = RELAY_LINE, .takes_reload = true};
}

/* ---- What is told ---- */

static void heard(void *context, const struct hf_part *part, const char *line)
{
	struct up *u = context;
	const char *bootstrap = strstr(line, "--bootstrap ");
	if (part == &u->parts[0] && bootstrap)
		snprintf(u->bootstrap, sizeof u->bootstrap, "%s", bootstrap + strlen("--bootstrap "));
	if (part == &u->parts[1] && strncmp(line, RELAY_LINE, strlen(RELAY_LINE)) == 0)
		snprintf(u->url, sizeof u->url, "%.*s", (int)strcspn(line + strlen(RELAY_LINE), ","), line + strlen(RELAY_LINE));
}

/* Of the gateway that has just started; NULL with the reason told. */
static json_t *ask_relay(struct up *u)
{
	struct hf_cli_target target;
	struct hf_buffer out = {0};
	struct hf_failure failure = {0};
	char *data = u->cli->config->data;
	u->cli->config->data = u->gateway_data;
	int r = hf_cli_target_open(&target, u->cli, false, &failure);
	if (r == HF_OK) {
		r = hf_cli_target_run(&target, "relay/info", "{}", hf_slice(NULL, 0), &out, &failure);
		hf_cli_target_close(&target);
	}
	u->cli->config->data = data;
	json_t *facts = r == HF_OK ? json_loadb((const char *)out.data, out.length, 0, NULL) : NULL;
	hf_buffer_free(&out);
	if (r < 0)
		hf_terminal_fail(failure.text);
	return facts;
}

static void print_json(const struct up *u, json_t *relay)
{
	json_t *facts = json_pack("{s:s, s:s, s:s, s:s, s:O}", "data", u->cli->config->data, "bootstrap", u->bootstrap, "relay", u->url,
		"gateway_data", u->gateway_data, "relay_info", relay);
	char *text = facts ? json_dumps(facts, JSON_COMPACT) : NULL;
	if (text)
		puts(text);
	free(text);
	json_decref(facts);
}

static void print_text(const struct up *u, json_t *relay)
{
	const char *bee = json_string_value(json_object_get(json_object_get(relay, "bee"), "key"));
	printf("\nHoldfast is up; its data is in %s, and ^C ends it.\n\n", u->cli->config->data);
	printf("  page       http%s\n", u->url + strlen("ws"));
	printf("  relay      %s   for any Nostr client\n", u->url);
	if (bee)
		printf("  its bee    %s   for any Hyperbee peer that begins at %s\n", bee, u->bootstrap);
	if (bee)
		printf("\n  try        holdfast bee list --bootstrap %s %s\n", u->bootstrap, bee);
	printf("%s             holdfast relay stats --data %s\n\n", bee ? "" : "\n", u->gateway_data);
}

static int ready(void *context)
{
	struct up *u = context;
	json_t *relay = ask_relay(u);
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
	struct hf_supervise_options options = {.env = &cli->env, .parts = u.parts, .count = sizeof u.parts / sizeof *u.parts, .heard = heard,
		.ready = ready, .context = &u};
	return hf_supervise(&options);
}
