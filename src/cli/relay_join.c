/* relay join: a Nostr key becomes a member of a relay on somebody's machine. The peer that asks is a new one each time. */
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "cli/dht.h"
#include "cli/door.h"
#include "cli/terminal.h"
#include "codec/hex.h"
#include "crypto/sign.h"
#include "service/swarm_node.h"
#include "service/worker/joiner.h"

#define TIMEOUT_MS 60000u

struct joining {
	struct hf_cli_dht dht; /* first */
	struct hf_swarm_node *swarm;
	struct hf_joiner *joiner;
	struct hf_timer timeout;
	struct hf_secret nostr_key;
	uint8_t swarm_secret[HF_SIGN_SECRET_BYTES], host[32];
	const char *relay;
	bool is_over;
};

/* ---- What came of it ---- */

static void print_membership(const struct joining *j, const struct hf_join_membership *m)
{
	char key[65] = {0};
	hf_hex_encode(key, m->relay_key, 32);
	if (j->dht.cli->json) {
		hf_cli_dht_print(json_pack("{s:s, s:s, s:s, s:s, s:s}", "status", "member", "relay", key, "identifier", m->identifier, "token", m->token,
			"url", m->url));
		return;
	}
	printf("member of  ");
	hf_terminal_text(stdout, hf_slice_text(m->identifier));
	printf("\n    key    %s\n    token  ", key);
	hf_terminal_text(stdout, hf_slice_text(m->token));
	printf("\n    url    ");
	hf_terminal_text(stdout, hf_slice_text(m->url[0] ? m->url : "(the host knows none)"));
	printf("\n");
}

static void on_done(void *context, int code, const struct hf_join_membership *membership, const char *why)
{
	struct joining *j = context;
	if (code == HF_OK) {
		print_membership(j, membership);
		hf_cli_dht_end(&j->dht, HF_OK, "%s", "");
	} else if (code == HF_EWAIT) {
		if (j->dht.cli->json)
			hf_cli_dht_print(json_pack("{s:s}", "status", "pending"));
		else
			printf("The request is stored and waits for the relay's owner. Ask again when you are on the list.\n");
		hf_cli_dht_end(&j->dht, HF_OK, "%s", "");
	} else {
		hf_cli_dht_end(&j->dht, code, "The host does not let you in: %.200s%s", why,
			code == HF_EVERSION ? "; with --compatibility-hypertuna Hypertuna's is." : ".");
	}
}

static void on_timeout(struct hf_timer *timer)
{
	struct joining *j = HF_CONTAINER_OF(timer, struct joining, timeout);
	hf_cli_dht_end(&j->dht, HF_ETIMEOUT, "%s", j->joiner ? "The host does not answer." : "The host cannot be reached.");
}

/* ---- The connection ---- */

static void on_opened(void *context, struct hf_peer_socket *socket)
{
	static const struct hf_joiner_events events = {.done = on_done};
	struct joining *j = context;
	struct hf_joiner_options options = {.size = sizeof options, .loop = j->dht.loop, .socket = socket, .identifier = j->relay,
		.secret = j->nostr_key.data, .accepts_variant = j->dht.cli->config->hypertuna, .events = &events, .context = j};
	if (j->joiner || j->is_over || memcmp(hf_peer_socket_remote_key(socket), j->host, sizeof j->host) != 0)
		return;
	int r = hf_joiner_new(&j->joiner, &options);
	if (r < 0)
		hf_cli_dht_end(&j->dht, r, "The host cannot be asked: %s.", hf_error_text(r));
}

static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct joining *j = context;
	if (j->joiner && !j->is_over)
		hf_cli_dht_end(&j->dht, HF_ECLOSED, "The connection with the host has ended: %s.", why);
}

static int start(struct joining *j, struct hf_failure *failure)
{
	static const struct hf_peer_socket_events events = {.opened = on_opened, .closed = on_closed};
	const struct hf_peer_socket_options socket = {.size = sizeof socket, .loop = j->dht.loop, .static_secret = j->swarm_secret,
		.events = &events, .context = j};
	struct hf_swarm_node_options options = {.size = sizeof options, .loop = j->dht.loop, .static_secret = j->swarm_secret,
		.bootstrap = &j->dht.bootstrap, .socket = &socket};
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES];
	hf_sign_keypair_generate(public_key, j->swarm_secret, &j->dht.cli->env);
	int r = hf_swarm_node_new(&j->swarm, &options, failure);
	if (r < 0)
		return r;
	r = hf_swarm_join_peer(hf_swarm_node_swarm(j->swarm), j->host);
	if (r == HF_OK)
		r = hf_loop_timer_set(j->dht.loop, &j->timeout, TIMEOUT_MS);
	return r < 0 ? hf_fail(failure, r, "The host cannot be looked for: %s.", hf_error_text(r)) : HF_OK;
}

static int run(struct joining *j, struct hf_cli *cli, const char *key_file)
{
	int code = hf_cli_dht_open(&j->dht, cli, true);
	if (code != HF_CLI_OK)
		return code;
	struct hf_failure *failure = &j->dht.failure;
	failure->code = hf_secret_new(&j->nostr_key, HF_SCHNORR_SECRET_BYTES) < 0 ? hf_fail(failure, HF_ENOMEM, "Out of memory.")
		: hf_cli_read_nostr_key(cli, key_file, &j->nostr_key, failure);
	if (failure->code == HF_OK)
		failure->code = start(j, failure);
	code = failure->code == HF_OK ? hf_cli_dht_run(&j->dht) : hf_cli_fail(failure);
	j->is_over = true;
	hf_joiner_free(j->joiner);
	hf_loop_timer_cancel(j->dht.loop, &j->timeout);
	hf_swarm_node_leave(j->swarm);
	hf_swarm_node_free(j->swarm);
	hf_cli_dht_close(&j->dht);
	hf_secret_free(&j->nostr_key);
	hf_wipe(j->swarm_secret, sizeof j->swarm_secret);
	return code;
}

int hf_cli_relay_join(struct hf_cli *cli)
{
	struct joining j = {.timeout = {.fire = on_timeout}};
	const char *key_file = hf_cli_option(cli, "nostr-key");
	if (cli->argument_count != 2 || !key_file || !key_file[0])
		return hf_cli_dht_usage(cli, "name the host's key, the relay, and with --nostr-key the file with your key.");
	if (!hf_cli_dht_key(cli->arguments[0], j.host))
		return hf_cli_dht_usage(cli, "HOST is the key of a worker, 64 hexadecimal digits or 52 of z-base-32.");
	j.relay = cli->arguments[1];
	return run(&j, cli, key_file);
}
