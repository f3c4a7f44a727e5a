/* core_net: what serve and fetch have in common. */
#ifndef HF_CLI_CORE_NET_H
#define HF_CLI_CORE_NET_H

#include <stdio.h>

#include "cli/core.h"
#include "service/core_node.h"
#include "service/swarm_config.h"

struct hf_cli_endpoint {
	const char *address; /* of TCP */
	bool dials, initiates, keeps;
	bool is_swarm;       /* peers are found by the key of what is wanted, through these */
	struct hf_swarm_bootstrap bootstrap;
	uint8_t relay[HF_SIGN_PUBLIC_BYTES];
	bool has_relay;
};

/* Whether what is asked for is to be read at peers: --tcp or --bootstrap. */
bool hf_cli_core_is_remote(const struct hf_cli *cli);
/* --tcp, --initiator and --responder, or --bootstrap and what the configuration says; false when it has been said what is wrong. */
bool hf_cli_core_endpoint(const struct hf_cli *cli, bool dials, struct hf_cli_endpoint *out);
/* Whether the value of an option is an address; false when it has been said that it is none. */
bool hf_cli_core_address(const struct hf_cli *cli, const char *option, const char *text);
/* Listens, and says where on out, or dials, or takes part in the swarm. */
int hf_cli_core_open_endpoint(struct hf_cli *cli, struct hf_core_node *node, const struct hf_cli_endpoint *endpoint, FILE *out,
	struct hf_failure *failure);
void hf_cli_core_print_listening(const struct hf_cli *cli, FILE *out, const struct hf_address *bound);
/* --timeout, in seconds. */
bool hf_cli_core_timeout(const struct hf_cli *cli, uint64_t *seconds);
/* Forgets a core of which nothing came. The node is closed: its replicator lingers on cores that it has joined. */
void hf_cli_core_drop(struct hf_cli *cli, const uint8_t discovery_key[static 32]);
/* Why what came could not be kept: status as HF_CORE_FAILED has it. Returns the code. */
int hf_cli_core_not_kept(struct hf_failure *failure, uint64_t status);
void hf_cli_core_log_came(const struct hf_core_node_peer *peer);
void hf_cli_core_log_left(const struct hf_core_node_peer *peer, int code, const char *why);

#endif
