#include "cli/dht.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "codec/core_key.h"
#include "crypto/hash.h"

/* ---- Arguments ---- */

int hf_cli_dht_usage(const struct hf_cli *cli, const char *sentence)
{
	fprintf(stderr, "holdfast: %s `holdfast %s --help` shows how.\n", sentence, cli->command->words);
	return HF_CLI_USAGE;
}

bool hf_cli_dht_key(const char *text, uint8_t key[static 32])
{
	return hf_core_key_decode(key, hf_slice_text(text)) == HF_OK;
}

bool hf_cli_dht_bind(const struct hf_cli *cli, struct hf_address *address)
{
	const char *host = hf_cli_option(cli, "host"), *port_text = hf_cli_option(cli, "port");
	struct hf_failure failure = {0};
	char text[HF_ADDRESS_TEXT_BYTES];
	uint64_t port = 0;

	if (port_text && (hf_text_to_u64(port_text, &port) < 0 || port > UINT16_MAX)) {
		hf_cli_dht_usage(cli, "--port is a number from 0 to 65535.");
		return false;
	}
	snprintf(text, sizeof text, "%.40s:0", host ? host : "0.0.0.0");
	if (hf_address_parse(text, address, &failure) < 0 || !hf_address_is_ipv4(address)) {
		hf_cli_dht_usage(cli, "--host is an IPv4 address of this machine.");
		return false;
	}
	address->port = (uint16_t)port;
	return true;
}

json_t *hf_cli_dht_address(const struct hf_address *address)
{
	char text[HF_ADDRESS_TEXT_BYTES];

	return json_string(hf_address_text(address, true, text));
}

void hf_cli_dht_print(json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT);

	puts(text ? text : "{}");
	fflush(stdout);
	free(text);
	json_decref(object);
}

/* ---- The loop ---- */

static void on_signal(void *context, int signal_number)
{
	struct hf_cli_dht *dht = context;

	(void)signal_number;
	hf_loop_stop(dht->loop);
}

int hf_cli_bootstrap(const struct hf_cli *cli, struct hf_swarm_bootstrap *bootstrap, struct hf_failure *failure)
{
	bool is_given = false;
	int r = HF_OK;

	*bootstrap = (struct hf_swarm_bootstrap){0};
	for (size_t i = 0; r == HF_OK && i < cli->option_count; i++)
		if (strcmp(cli->options[i].name, "bootstrap") == 0) {
			is_given = true;
			r = hf_swarm_bootstrap_add(bootstrap, cli->options[i].value, failure);
		}
	if (r == HF_OK && !is_given && cli->config)
		r = hf_swarm_bootstrap_add(bootstrap, cli->config->swarm_bootstrap, failure);
	failure->code = r;
	return r;
}

static int take_bootstrap(struct hf_cli_dht *dht, bool needs_bootstrap)
{
	int r = hf_cli_bootstrap(dht->cli, &dht->bootstrap, &dht->failure);

	if (r == HF_EINVAL)
		return hf_cli_dht_usage(dht->cli, dht->failure.text);
	if (r < 0)
		return hf_cli_fail(&dht->failure);
	if (needs_bootstrap && dht->bootstrap.count == 0)
		return hf_cli_dht_usage(dht->cli, "name a node to begin with: --bootstrap HOST:PORT, or swarm.bootstrap in the configuration.");
	return HF_CLI_OK;
}

int hf_cli_dht_open(struct hf_cli_dht *dht, struct hf_cli *cli, bool needs_bootstrap)
{
	*dht = (struct hf_cli_dht){.cli = cli, .code = HF_ECANCELED};
	int code = take_bootstrap(dht, needs_bootstrap);
	if (code != HF_CLI_OK)
		return code;
	int r = hf_crypto_init();
	if (r == HF_OK)
		r = hf_loop_new(&dht->loop, &cli->env);
	if (r == HF_OK)
		r = hf_udx_net_new(&dht->net, hf_udp_host_of_loop(dht->loop), NULL);
	if (r == HF_OK)
		r = hf_loop_on_signal(dht->loop, SIGTERM, on_signal, dht);
	if (r == HF_OK)
		r = hf_loop_on_signal(dht->loop, SIGINT, on_signal, dht);
	if (r == HF_OK)
		return HF_CLI_OK;
	dht->failure.code = hf_fail(&dht->failure, r, "The event loop cannot start.");
	hf_cli_dht_close(dht);
	return hf_cli_fail(&dht->failure);
}

/* Who only asks something has nobody to ask; who serves waits. */
static void on_no_node(void *context, const char *sentence)
{
	struct hf_cli_dht *dht = context;

	if (dht->keeps_on)
		fprintf(stderr, "holdfast: %s\n", sentence);
	else
		hf_cli_dht_end(dht, HF_EADDR, "%s", sentence);
}

static const struct hf_swarm_resolver_events resolver_events = {.failed = on_no_node};

int hf_cli_dht_start(struct hf_cli_dht *dht, struct hf_dht_node_options *options)
{
	struct hf_address known[HF_SWARM_BOOTSTRAP_COUNT_MAX];

	options->size = sizeof *options;
	options->net = dht->net;
	options->bootstrap = known;
	options->bootstrap_count = hf_swarm_bootstrap_addresses(&dht->bootstrap, known);
	options->bootstrap_is_pending = hf_swarm_resolver_is_needed_first(&dht->bootstrap);
	if (!hf_cli_dht_bind(dht->cli, &options->bind))
		return HF_CLI_USAGE;
	options->only_port = options->role == HF_DHT_EPHEMERAL || options->bind.port != 0;
	dht->failure.code = hf_dht_node_new(&dht->node, options, &dht->failure);
	options->bootstrap = NULL;
	options->bootstrap_count = 0;
	if (dht->failure.code == HF_OK && hf_swarm_resolver_new(&dht->resolver, dht->loop, dht->node, &dht->bootstrap, &resolver_events, dht) < 0)
		dht->failure.code = hf_fail(&dht->failure, HF_ENOMEM, "Out of memory.");
	return dht->failure.code < 0 ? hf_cli_fail(&dht->failure) : HF_CLI_OK;
}

void hf_cli_dht_close(struct hf_cli_dht *dht)
{
	hf_swarm_resolver_free(dht->resolver);
	hf_dht_node_free(dht->node);
	hf_udx_net_free(dht->net);
	if (dht->loop)
		hf_loop_free(dht->loop);
	dht->resolver = NULL;
	dht->node = NULL;
	dht->net = NULL;
	dht->loop = NULL;
}

void hf_cli_dht_end(struct hf_cli_dht *dht, int code, const char *format, ...)
{
	va_list arguments;

	if (dht->code != HF_ECANCELED) /* it has ended already, and something comes late */
		return;
	dht->code = dht->failure.code = code;
	va_start(arguments, format);
	vsnprintf(dht->failure.text, sizeof dht->failure.text, format, arguments);
	va_end(arguments);
	hf_loop_stop(dht->loop);
}

int hf_cli_dht_run(struct hf_cli_dht *dht)
{
	hf_loop_run(dht->loop);
	if (dht->code == HF_OK)
		return HF_CLI_OK;
	if (dht->code == HF_ECANCELED)
		dht->failure.code = hf_fail(&dht->failure, HF_ECANCELED, "Interrupted.");
	fprintf(stderr, "holdfast: %s\n", dht->failure.text);
	return HF_CLI_FAILED;
}
