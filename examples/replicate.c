/* replicate: exchanges a core with peers over TCP, as the hypercore packages do.
 *
 *     replicate serve DIRECTORY HOST:PORT KEY    gives a core that is in the directory to whoever connects, until it is interrupted
 *     replicate fetch DIRECTORY HOST:PORT KEY    connects to a peer, brings all of a core into the directory, and ends
 *
 * All of it happens on one loop, on one thread: calls only begin things, callbacks tell how they went.
 */
#include <holdfast/core_host.h>
#include <holdfast/core_key.h>
#include <holdfast/secret.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "home.h"

#define LOOK_MS 50
#define PATIENCE_MS 10000 /* for a peer to say that it has the core */

struct program {
	struct hf_timer look; /* first, so that a pointer to it is one to the program */
	struct hf_download download;
	struct home home;
	struct hf_loop *loop;
	struct hf_core_host *host; /* a corestore and its replicator, on the loop */
	struct hf_core *core;
	struct hf_replication *replication; /* the core, joined: peers are asked for it, and served */
	struct hf_peer_listener *listener;
	struct hf_peer_socket *dialled;
	uint8_t secret_key[HF_SIGN_SECRET_BYTES]; /* who we are to peers: here, somebody new each time */
	bool is_fetching, is_asked, is_done;
	unsigned waited_ms;
	struct hf_failure failure;
};

static void finish(struct program *p, int code, const char *sentence)
{
	if (p->is_done)
		return;
	p->is_done = true;
	hf_fail(&p->failure, code, "%s", sentence);
	hf_loop_stop(p->loop);
}

/* ---- What peers do ---- */

static void on_opened(void *context, struct hf_peer_socket *socket)
{
	char address[HF_ADDRESS_TEXT_BYTES];

	(void)context;
	fprintf(stderr, "connected to %s\n", hf_address_text(hf_peer_socket_address(socket), true, address));
}

static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct program *p = context;

	fprintf(stderr, "a connection has ended: %s\n", why);
	if (socket != p->dialled)
		return;
	p->dialled = NULL; /* the socket goes when we return */
	finish(p, code == HF_OK ? HF_ECLOSED : code, why);
}

/* ---- Fetching ---- */

/* All blocks are held and committed. */
static void on_downloaded(struct hf_download *download)
{
	struct program *p = (struct program *)(void *)((char *)download - offsetof(struct program, download));

	finish(p, HF_OK, "");
}

/* The peer has told how long the core is, and proved it. */
static void on_heard(void *context)
{
	struct program *p = context;

	if (hf_core_length(p->core) == 0) {
		finish(p, HF_OK, "");
		return;
	}
	p->download = (struct hf_download){.from = 0, .to = hf_core_length(p->core), .done = on_downloaded};
	hf_download_start(p->replication, &p->download);
}

/* Waits for a peer that has the core; a peer that has not says nothing. */
static void on_look(struct hf_timer *timer)
{
	struct program *p = (struct program *)(void *)timer;

	if (!p->is_asked && hf_replication_peer_count(p->replication) > 0) {
		p->is_asked = true;
		if (hf_replication_update(p->replication, on_heard, p) != HF_OK)
			finish(p, HF_ENOMEM, "Out of memory.");
	}
	if (!p->is_asked && (p->waited_ms += LOOK_MS) >= PATIENCE_MS)
		finish(p, HF_ETIMEOUT, "The peer does not have the core.");
	if (!p->is_asked)
		hf_loop_timer_set(p->loop, timer, LOOK_MS);
}

/* ---- Beginning and ending ---- */

static void on_signal(void *context, int signal_number)
{
	struct program *p = context;

	(void)signal_number;
	if (p->is_fetching)
		finish(p, HF_ECANCELED, "Interrupted.");
	else
		finish(p, HF_OK, "");
}

static int open_host(struct program *p)
{
	struct hf_core_host_options options = {.size = sizeof options, .store = p->home.store, .blocking = true,
		.primary_key = hf_slice(p->home.primary_key, sizeof p->home.primary_key), .opened = on_opened, .closed = on_closed,
		.context = p};
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES];

	if (hf_loop_new(&p->loop, &p->home.env) != HF_OK)
		return hf_fail(&p->failure, HF_ENOMEM, "The loop cannot start.");
	hf_loop_on_signal(p->loop, SIGTERM, on_signal, p);
	hf_loop_on_signal(p->loop, SIGINT, on_signal, p);
	hf_sign_keypair_generate(public_key, p->secret_key, &p->home.env);
	options.loop = p->loop;
	return hf_core_host_new(&p->host, &options, &p->failure);
}

static int join_core(struct program *p, const char *text)
{
	uint8_t key[HF_CORE_KEY_BYTES];
	struct hf_core_options which = {.size = sizeof which, .key = key, .must_exist = !p->is_fetching};
	int status;

	if (hf_core_key_decode(key, hf_slice_text(text)) != HF_OK)
		return hf_fail(&p->failure, HF_EINVAL, "%s is not the key of a core.", text);
	status = hf_corestore_get(hf_core_host_cores(p->host), &which, &p->core, &p->failure);
	return status == HF_OK ? hf_replicator_join(hf_core_host_replicator(p->host), p->core, &p->replication) : status;
}

static int meet_peers(struct program *p, const char *address)
{
	struct hf_peer_socket_options options = {.size = sizeof options, .loop = p->loop, .static_secret = p->secret_key,
		.events = &hf_core_host_socket_events, .context = p->host};
	struct hf_address bound;
	char text[HF_ADDRESS_TEXT_BYTES];
	int status;

	if (p->is_fetching) {
		p->look.fire = on_look;
		hf_loop_timer_set(p->loop, &p->look, LOOK_MS);
		return hf_peer_socket_connect(&p->dialled, &options, address, &p->failure);
	}
	status = hf_peer_listener_new(&p->listener, &options, address, &bound, &p->failure);
	if (status == HF_OK) {
		printf("listening on %s\n", hf_address_text(&bound, true, text));
		fflush(stdout);
	}
	return status;
}

static void close_all(struct program *p)
{
	if (p->loop != NULL)
		hf_loop_timer_cancel(p->loop, &p->look);
	hf_peer_listener_free(p->listener);
	if (p->dialled != NULL && hf_peer_socket_mux(p->dialled) == NULL)
		hf_peer_socket_free(p->dialled); /* not opened, so the host does not know it */
	if (p->host != NULL)
		hf_core_host_close_sockets(p->host);
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
	struct program p = {.is_fetching = argc == 5 && strcmp(argv[1], "fetch") == 0};
	int status;

	if (argc != 5 || (!p.is_fetching && strcmp(argv[1], "serve") != 0)) {
		fprintf(stderr, "usage: replicate serve|fetch DIRECTORY HOST:PORT KEY\n");
		return 2;
	}
	status = home_open(&p.home, argv[2], &p.failure);
	if (status != HF_OK) {
		fprintf(stderr, "replicate: %s\n", p.failure.text);
		return 1;
	}
	status = open_host(&p);
	if (status == HF_OK)
		status = join_core(&p, argv[4]);
	if (status == HF_OK)
		status = meet_peers(&p, argv[3]);
	if (status == HF_OK) {
		hf_loop_run(p.loop); /* until finish */
		status = p.failure.code;
	}
	if (status != HF_OK)
		fprintf(stderr, "replicate: %s\n", p.failure.text[0] ? p.failure.text : hf_error_text(status));
	else if (p.is_fetching)
		printf("length %" PRIu64 "\n", hf_core_length(p.core));
	close_all(&p);
	return status == HF_OK ? 0 : 1;
}
