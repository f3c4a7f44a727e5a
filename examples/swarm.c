/* swarm: keeps a core with everybody who has its key, wherever they are: brings what is missing, follows as it grows, and gives it to
 * others.
 *
 *     swarm DIRECTORY HOST:PORT KEY    HOST:PORT is any node of the network, as `holdfast dht testnet` prints it; ends when interrupted
 *
 * Prints the core's length whenever all of it is there.
 */
#include <holdfast/core_host.h>
#include <holdfast/core_key.h>
#include <holdfast/secret.h>
#include <holdfast/swarm.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "home.h"

#define LOOK_MS 100
#define GOODBYE_MS 3000

struct program {
	struct hf_timer look; /* first, so that a pointer to it is one to the program */
	struct hf_download download;
	struct home home;
	struct hf_loop *loop;
	struct hf_core_host *host;
	struct hf_core *core;
	struct hf_replication *replication;
	struct hf_udx_net *net;         /* streams over datagrams, */
	struct hf_dht_node *node;       /* who is where, */
	struct hf_dht_connector *ways;  /* how to get there, */
	struct hf_swarm *swarm;         /* and whom to be connected with */
	uint8_t secret_key[HF_SIGN_SECRET_BYTES];
	uint64_t printed_length;
	bool is_over;
	struct hf_failure failure;
};

static void on_look(struct hf_timer *timer)
{
	struct program *p = (struct program *)(void *)timer;
	uint64_t length = hf_core_length(p->core);

	if (length > p->printed_length && hf_bitfield_next_clear(hf_core_blocks(p->core), 0, length) == length) {
		printf("length %" PRIu64 "\n", length);
		fflush(stdout);
		p->printed_length = length;
	}
	hf_loop_timer_set(p->loop, timer, LOOK_MS);
}

static void on_signal(void *context, int signal_number)
{
	struct program *p = context;

	(void)signal_number;
	hf_loop_stop(p->loop);
}

static int open_core(struct program *p, const char *text)
{
	struct hf_core_host_options host = {.size = sizeof host, .store = p->home.store, .blocking = true,
		.primary_key = hf_slice(p->home.primary_key, sizeof p->home.primary_key)};
	uint8_t key[HF_CORE_KEY_BYTES], public_key[HF_SIGN_PUBLIC_BYTES];
	struct hf_core_options which = {.size = sizeof which, .key = key};
	int status;

	if (hf_core_key_decode(key, hf_slice_text(text)) != HF_OK)
		return hf_fail(&p->failure, HF_EINVAL, "%s is not the key of a core.", text);
	if (hf_loop_new(&p->loop, &p->home.env) != HF_OK)
		return hf_fail(&p->failure, HF_ENOMEM, "The loop cannot start.");
	hf_loop_on_signal(p->loop, SIGTERM, on_signal, p);
	hf_loop_on_signal(p->loop, SIGINT, on_signal, p);
	hf_sign_keypair_generate(public_key, p->secret_key, &p->home.env);
	host.loop = p->loop;
	status = hf_core_host_new(&p->host, &host, &p->failure);
	if (status == HF_OK)
		status = hf_corestore_get(hf_core_host_cores(p->host), &which, &p->core, &p->failure);
	if (status == HF_OK)
		status = hf_replicator_join(hf_core_host_replicator(p->host), p->core, &p->replication);
	if (status != HF_OK)
		return status;
	p->download = (struct hf_download){.from = 0, .to = UINT64_MAX}; /* all there is, and will be */
	hf_download_start(p->replication, &p->download);
	p->look.fire = on_look;
	return hf_loop_timer_set(p->loop, &p->look, LOOK_MS);
}

static int join_swarm(struct program *p, const char *bootstrap)
{
	struct hf_address first;
	struct hf_dht_node_options node = {.size = sizeof node, .bootstrap = &first, .bootstrap_count = 1};
	struct hf_dht_connector_options ways = {.size = sizeof ways, .loop = p->loop};
	struct hf_peer_socket_options socket = {.size = sizeof socket, .loop = p->loop, .events = &hf_core_host_socket_events,
		.context = p->host};
	struct hf_swarm_options swarm = {.size = sizeof swarm, .static_secret = p->secret_key, .socket = &socket};
	struct hf_swarm_session *session;
	int status = hf_address_parse(bootstrap, &first, &p->failure);

	if (status == HF_OK && (status = hf_udx_net_new(&p->net, hf_udp_host_of_loop(p->loop), NULL)) != HF_OK)
		return hf_fail(&p->failure, status, "Out of memory.");
	node.net = p->net;
	if (status == HF_OK)
		status = hf_dht_node_new(&p->node, &node, &p->failure);
	ways.node = p->node;
	if (status == HF_OK)
		status = hf_dht_connector_new(&p->ways, &ways, &p->failure);
	swarm.connector = p->ways;
	if (status == HF_OK)
		status = hf_swarm_new(&p->swarm, &swarm, &p->failure);
	/* The topic is a hash of the key: who hears of it cannot read the core. */
	return status == HF_OK ? hf_swarm_join(p->swarm, hf_core_discovery_key(p->core), HF_SWARM_SERVER | HF_SWARM_CLIENT, 0, &session)
		: status;
}

static void on_over(void *context)
{
	((struct program *)context)->is_over = true;
}

static void on_goodbye(struct hf_timer *timer)
{
	on_over(timer);
}

static void close_all(struct program *p)
{
	if (p->swarm != NULL) {
		hf_swarm_close(p->swarm, on_over, p);
		p->look.fire = on_goodbye;
		hf_loop_timer_set(p->loop, &p->look, GOODBYE_MS);
		while (!p->is_over)
			hf_loop_poll(p->loop, true);
	}
	if (p->loop != NULL)
		hf_loop_timer_cancel(p->loop, &p->look);
	if (p->host != NULL)
		hf_core_host_close_sockets(p->host);
	hf_swarm_free(p->swarm);
	hf_dht_connector_free(p->ways);
	hf_dht_node_free(p->node);
	hf_udx_net_free(p->net);
	if (p->replication != NULL)
		hf_download_cancel(&p->download);
	hf_replication_leave(p->replication);
	hf_core_unref(p->core);
	hf_core_host_free(p->host);
	if (p->loop != NULL)
		hf_loop_free(p->loop);
	hf_wipe(p->secret_key, sizeof p->secret_key);
	home_close(&p->home);
}

int main(int argc, char **argv)
{
	struct program p = {0};
	int status;

	if (argc != 4) {
		fprintf(stderr, "usage: swarm DIRECTORY HOST:PORT KEY\n");
		return 2;
	}
	status = home_open(&p.home, argv[1], &p.failure);
	if (status == HF_OK) {
		status = open_core(&p, argv[3]);
		if (status == HF_OK)
			status = join_swarm(&p, argv[2]);
		if (status == HF_OK)
			hf_loop_run(p.loop); /* until interrupted */
		close_all(&p);
	}
	if (status != HF_OK)
		fprintf(stderr, "swarm: %s\n", p.failure.text[0] ? p.failure.text : hf_error_text(status));
	return status == HF_OK ? 0 : 1;
}
