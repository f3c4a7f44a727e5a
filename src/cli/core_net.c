/* core_net: where peers are: at an address over TCP, or in the swarm of a network that its bootstrap nodes stand for. */
#include "cli/core_net.h"

#include <stdlib.h>

#include "cli/core.h"
#include "cli/dht.h"

bool hf_cli_core_is_remote(const struct hf_cli *cli)
{
	return hf_cli_option(cli, "tcp") || hf_cli_option(cli, "bootstrap");
}

static bool read_swarm(const struct hf_cli *cli, bool dials, struct hf_cli_endpoint *out)
{
	struct hf_failure failure = {0};
	*out = (struct hf_cli_endpoint){.is_swarm = true, .dials = dials};
	if (hf_cli_option(cli, "initiator") || hf_cli_option(cli, "responder")) {
		hf_cli_core_usage(cli, "--initiator and --responder go with --tcp: in the swarm, who dials begins.");
		return false;
	}
	out->has_relay = hf_cli_option(cli, "relay") != NULL;
	if (out->has_relay && !hf_cli_dht_key(hf_cli_option(cli, "relay"), out->relay)) {
		hf_cli_core_usage(cli, "--relay is the public key of a blind relay: 52 characters of z-base-32, or 64 of hexadecimal.");
		return false;
	}
	if (hf_cli_bootstrap(cli, &out->bootstrap, &failure) < 0) {
		hf_cli_core_usage(cli, failure.text);
		return false;
	}
	if (out->bootstrap.count == 0) {
		hf_cli_core_usage(cli, "say where peers are: --tcp HOST:PORT for one, --bootstrap HOST:PORT for the network of that node, or --bootstrap "
			"public for everybody's.");
		return false;
	}
	return true;
}

bool hf_cli_core_address(const struct hf_cli *cli, const char *option, const char *text)
{
	const char *colon = strrchr(text, ':');
	char sentence[200];
	if (colon && colon != text && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1) && atol(colon + 1) <= 65535)
		return true;
	snprintf(sentence, sizeof sentence, "--%s is HOST:PORT, like 127.0.0.1:7001, not \"%.80s\".", option, text);
	hf_cli_core_usage(cli, sentence);
	return false;
}

static bool read_tcp(const struct hf_cli *cli, const char *tcp, bool dials, struct hf_cli_endpoint *out)
{
	bool is_initiator = hf_cli_option(cli, "initiator") != NULL, is_responder = hf_cli_option(cli, "responder") != NULL;
	if (is_initiator && is_responder) {
		hf_cli_core_usage(cli, "--initiator and --responder exclude each other.");
		return false;
	}
	if (!hf_cli_core_address(cli, "tcp", tcp))
		return false;
	*out = (struct hf_cli_endpoint){.address = tcp, .dials = dials, .initiates = is_initiator || (dials && !is_responder)};
	return true;
}

bool hf_cli_core_endpoint(const struct hf_cli *cli, bool dials, struct hf_cli_endpoint *out)
{
	const char *tcp = hf_cli_option(cli, "tcp");
	if (tcp && hf_cli_option(cli, "bootstrap")) {
		hf_cli_core_usage(cli, "--tcp and --bootstrap exclude each other.");
		return false;
	}
	return tcp ? read_tcp(cli, tcp, dials, out) : read_swarm(cli, dials, out);
}

void hf_cli_core_print_listening(const struct hf_cli *cli, FILE *out, const struct hf_address *bound)
{
	char text[HF_ADDRESS_TEXT_BYTES];
	fprintf(out, cli->json ? "{\"listening\":\"%s\"}\n" : "listening on %s\n", hf_address_text(bound, true, text));
	fflush(out);
}

int hf_cli_core_open_endpoint(struct hf_cli *cli, struct hf_core_node *node, const struct hf_cli_endpoint *endpoint, FILE *out,
	struct hf_failure *failure)
{
	struct hf_address bound;
	if (endpoint->is_swarm)
		return hf_core_node_swarm(node, &endpoint->bootstrap, endpoint->has_relay ? endpoint->relay : NULL, failure);
	if (endpoint->dials)
		return hf_core_node_dial(node, endpoint->address, endpoint->initiates, endpoint->keeps, failure);
	int r = hf_core_node_listen(node, endpoint->address, endpoint->initiates, &bound, failure);
	if (r == HF_OK)
		hf_cli_core_print_listening(cli, out, &bound);
	return r;
}
