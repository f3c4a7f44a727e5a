/* bee: a database of keys and values that others read a part of.
 *
 *     bee put DIRECTORY NAME < lines                  makes a bee by name, or opens it again, and puts lines "key TAB value", as one batch
 *     bee get DIRECTORY HOST:PORT KEY key...          reads keys of a bee at a peer, fetching only the blocks that this takes
 *
 * `replicate serve` gives a bee to peers like any core.
 */
#include <holdfast/bee.h>
#include <holdfast/core_host.h>
#include <holdfast/core_key.h>
#include <holdfast/secret.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "home.h"

#define LOOK_MS 50
#define PATIENCE_MS 10000 /* for a peer to say that it has the core */

/* ---- Putting: without a loop ---- */

/* Puts gather as one batch, flushing appends its blocks to the core, and a commit writes them: whoever reads sees all of it or nothing. */
static int put_lines(struct hf_bee *bee, FILE *input)
{
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	int status = HF_OK;

	while (status == HF_OK && (length = getline(&line, &capacity, input)) >= 0) {
		char *tab = memchr(line, '\t', (size_t)length);

		if (tab == NULL)
			continue;
		struct hf_slice value = hf_slice(tab + 1, (size_t)(line + length - tab - 1) - (line[length - 1] == '\n'));

		status = hf_bee_put(bee, hf_slice(line, (size_t)(tab - line)), &value, NULL);
	}
	free(line);
	if (status == HF_OK)
		status = hf_bee_flush(bee);
	return status == HF_OK ? hf_core_commit_wait(hf_bee_core(bee), HF_DURABLE_DISK) : status;
}

static int put(struct home *home, const char *name, struct hf_failure *failure)
{
	struct hf_corestore_options store = {.size = sizeof store, .store = home->store, .env = &home->env,
		.primary_key = hf_slice(home->primary_key, sizeof home->primary_key), .blocking = true};
	struct hf_core_options which = {.size = sizeof which, .name = hf_slice_text(name)};
	struct hf_bee_options options = {.size = sizeof options};
	struct hf_corestore *cores = NULL;
	struct hf_bee *bee = NULL;
	char key[HF_CORE_ID_BYTES];
	int status = hf_corestore_open(&cores, &store, failure);

	if (status == HF_OK)
		status = hf_corestore_get(cores, &which, &options.core, failure);
	if (status == HF_OK)
		status = hf_bee_open(&bee, &options); /* with a reference of its own on the core */
	if (status == HF_OK)
		status = put_lines(bee, stdin);
	if (status == HF_OK) {
		hf_core_key_encode(key, hf_core_key(options.core));
		printf("key %s\nversion %" PRIu64 "\n", key, hf_bee_version(bee));
	}
	hf_bee_close(bee);
	hf_core_unref(options.core);
	hf_corestore_close(cores);
	return status;
}

/* ---- Getting: on a loop ---- */

struct reader {
	struct hf_timer look; /* first, so that a pointer to it is one to the reader */
	struct hf_bee_waiter waiter;
	struct hf_loop *loop;
	struct hf_core_host *host;
	struct hf_core *core;
	struct hf_replication *replication;
	struct hf_bee_asker *asker; /* asks peers which blocks a get will come to */
	struct hf_bee *bee;
	struct hf_peer_socket *dialled;
	uint8_t secret_key[HF_SIGN_SECRET_BYTES];
	char **keys;
	int key_count;
	unsigned waited_ms;
	bool is_asked;
	struct hf_failure failure;
};

static void end(struct reader *r, int code, const char *sentence)
{
	hf_fail(&r->failure, code, "%s", sentence);
	hf_loop_stop(r->loop);
}

static void get_next(struct reader *r);

/* The block that the get stopped at is here: it is made again, and goes on from what it has decoded. */
static void on_block(struct hf_bee_waiter *waiter, int status)
{
	struct reader *r = waiter->context;

	if (status == HF_OK)
		get_next(r);
	else
		end(r, status, hf_error_text(status));
}

static void get_next(struct reader *r)
{
	struct hf_bee_entry entry;

	for (; r->key_count > 0; r->keys++, r->key_count--) {
		int status = hf_bee_get(hf_bee_latest(r->bee), hf_slice_text(*r->keys), &entry);

		if (status == HF_EWAIT)
			status = hf_bee_wait(r->bee, &r->waiter);
		else if (status == HF_OK)
			printf("%s\t%.*s\n", *r->keys, (int)entry.value.length, (const char *)entry.value.data);
		else if (status == HF_ENOTFOUND)
			printf("%s is not there\n", *r->keys);
		if (r->waiter.is_waiting)
			return;
		if (status != HF_OK && status != HF_ENOTFOUND) {
			end(r, status, hf_error_text(status));
			return;
		}
	}
	end(r, HF_OK, "");
}

/* The peer has told how long the core is, and proved it. */
static void on_heard(void *context)
{
	get_next(context);
}

static void on_look(struct hf_timer *timer)
{
	struct reader *r = (struct reader *)(void *)timer;

	if (hf_replication_peer_count(r->replication) > 0) {
		if (hf_replication_update(r->replication, on_heard, r) != HF_OK)
			end(r, HF_ENOMEM, "Out of memory.");
		return;
	}
	if ((r->waited_ms += LOOK_MS) >= PATIENCE_MS)
		end(r, HF_ETIMEOUT, "The peer does not have the bee.");
	hf_loop_timer_set(r->loop, timer, LOOK_MS);
}

static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct reader *r = context;

	if (socket == r->dialled)
		r->dialled = NULL; /* the socket goes when we return */
	end(r, code == HF_OK ? HF_ECLOSED : code, why);
}

static int open_reader(struct reader *r, struct home *home, const char *address, const char *text)
{
	struct hf_core_host_options host = {.size = sizeof host, .store = home->store, .blocking = true,
		.primary_key = hf_slice(home->primary_key, sizeof home->primary_key), .closed = on_closed, .context = r};
	struct hf_peer_socket_options socket = {.size = sizeof socket, .static_secret = r->secret_key, .events = &hf_core_host_socket_events};
	struct hf_bee_options bee = {.size = sizeof bee};
	uint8_t key[HF_CORE_KEY_BYTES], public_key[HF_SIGN_PUBLIC_BYTES];
	struct hf_core_options which = {.size = sizeof which, .key = key};

	if (hf_core_key_decode(key, hf_slice_text(text)) != HF_OK)
		return hf_fail(&r->failure, HF_EINVAL, "%s is not the key of a core.", text);
	if (hf_loop_new(&r->loop, &home->env) != HF_OK)
		return hf_fail(&r->failure, HF_ENOMEM, "The loop cannot start.");
	hf_sign_keypair_generate(public_key, r->secret_key, &home->env);
	host.loop = socket.loop = r->loop;
	int status = hf_core_host_new(&r->host, &host, &r->failure);

	if (status == HF_OK)
		status = hf_corestore_get(hf_core_host_cores(r->host), &which, &r->core, &r->failure);
	if (status == HF_OK)
		status = hf_replicator_join(hf_core_host_replicator(r->host), r->core, &r->replication);
	if (status == HF_OK)
		status = hf_bee_hints_ask(hf_core_host_bee_hints(r->host), r->replication, &r->asker);
	if (status != HF_OK)
		return status;
	bee.core = r->core;
	bee.hinter = hf_bee_asker_hinter(r->asker);
	r->waiter.ready = on_block;
	r->waiter.context = r;
	r->look.fire = on_look;
	socket.context = r->host;
	status = hf_bee_open(&r->bee, &bee);
	if (status == HF_OK)
		status = hf_loop_timer_set(r->loop, &r->look, LOOK_MS);
	return status == HF_OK ? hf_peer_socket_connect(&r->dialled, &socket, address, &r->failure) : status;
}

/* In the opposite order of opening. */
static void close_reader(struct reader *r)
{
	hf_bee_wait_cancel(&r->waiter);
	if (r->loop != NULL)
		hf_loop_timer_cancel(r->loop, &r->look);
	if (r->dialled != NULL && hf_peer_socket_mux(r->dialled) == NULL)
		hf_peer_socket_free(r->dialled); /* not opened, so the host does not know it */
	if (r->host != NULL)
		hf_core_host_close_sockets(r->host);
	hf_bee_close(r->bee);
	hf_bee_asker_free(r->asker);
	hf_replication_leave(r->replication);
	hf_core_unref(r->core);
	hf_core_host_free(r->host);
	if (r->loop != NULL)
		hf_loop_free(r->loop);
	hf_wipe(r->secret_key, sizeof r->secret_key);
}

static int get(struct home *home, char **arguments, int key_count, struct hf_failure *failure)
{
	struct reader reader = {.keys = arguments + 2, .key_count = key_count};
	int status = open_reader(&reader, home, arguments[0], arguments[1]);

	if (status == HF_OK) {
		hf_loop_run(reader.loop); /* until end */
		status = reader.failure.code;
	}
	close_reader(&reader);
	*failure = reader.failure;
	return status;
}

int main(int argc, char **argv)
{
	bool is_put = argc == 4 && strcmp(argv[1], "put") == 0, is_get = argc > 5 && strcmp(argv[1], "get") == 0;
	struct hf_failure failure = {0};
	struct home home;
	int status;

	if (!is_put && !is_get) {
		fprintf(stderr, "usage: bee put DIRECTORY NAME < lines\n       bee get DIRECTORY HOST:PORT KEY key...\n");
		return 2;
	}
	status = home_open(&home, argv[2], &failure);
	if (status == HF_OK) {
		status = is_put ? put(&home, argv[3], &failure) : get(&home, argv + 3, argc - 5, &failure);
		home_close(&home);
	}
	if (status != HF_OK)
		fprintf(stderr, "bee: %s\n", failure.text[0] ? failure.text : hf_error_text(status));
	return status == HF_OK ? 0 : 1;
}
