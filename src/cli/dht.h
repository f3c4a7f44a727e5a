/* dht: what the commands on the DHT have in common: a node on a loop. */
#ifndef HF_CLI_DHT_H
#define HF_CLI_DHT_H

#include <jansson.h>

#include "cli/command.h"
#include "net/loop.h"
#include "peer/dht_node.h"
#include "service/swarm_resolver.h"

struct hf_cli_dht {
	struct hf_cli *cli;
	struct hf_loop *loop;
	struct hf_udx_net *net;
	struct hf_dht_node *node;
	struct hf_swarm_resolver *resolver;
	struct hf_swarm_bootstrap bootstrap;
	bool keeps_on; /* a bootstrap node that cannot be found is no reason to end */
	int code; /* how it ended; stays HF_ECANCELED when it was interrupted */
	struct hf_failure failure;
};

/* The nodes that --bootstrap names or, when it is not given, the configuration; maybe none. Errors as of hf_swarm_bootstrap_add. */
int hf_cli_bootstrap(const struct hf_cli *cli, struct hf_swarm_bootstrap *bootstrap, struct hf_failure *failure);
/* The loop with its signals, and the bootstrap nodes of options and configuration. Returns an exit code; what is wrong has been said. */
int hf_cli_dht_open(struct hf_cli_dht *dht, struct hf_cli *cli, bool needs_bootstrap);
/* Starts a node; options are completed with the net, the bootstrap nodes and what --host and --port say. */
int hf_cli_dht_start(struct hf_cli_dht *dht, struct hf_dht_node_options *options);
void hf_cli_dht_close(struct hf_cli_dht *dht);
/* Ends the loop with a code and, for a failure, a sentence. */
void hf_cli_dht_end(struct hf_cli_dht *dht, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Runs the loop to its end and gives the exit code. */
int hf_cli_dht_run(struct hf_cli_dht *dht);
int hf_cli_dht_usage(const struct hf_cli *cli, const char *sentence);
/* 32 bytes in hexadecimal or z-base-32. */
bool hf_cli_dht_key(const char *text, uint8_t key[static 32]);
/* --host and --port into an address; false when it has been said what is wrong. */
bool hf_cli_dht_bind(const struct hf_cli *cli, struct hf_address *address);
void hf_cli_dht_print(json_t *object); /* one line; takes it */
json_t *hf_cli_dht_describe(const struct hf_dht_node *node); /* its state and figures */
json_t *hf_cli_dht_address(const struct hf_address *address); /* "a.b.c.d:port" */

#endif
