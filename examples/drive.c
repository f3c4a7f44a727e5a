/* drive: a file system that others read a part of.
 *
 *     drive put DIRECTORY NAME PATH < content          makes a drive by name, or opens it again, and puts a file
 *     drive cat DIRECTORY HOST:PORT KEY PATH           reads a file of a drive at a peer, fetching only the blocks that this takes
 *
 * `replicate serve` gives a drive to peers: it names one core and serves all that are in the directory, the drive's blobs too.
 */
#include <holdfast/core_host.h>
#include <holdfast/core_key.h>
#include <holdfast/drive.h>
#include <holdfast/secret.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "home.h"

#define LOOK_MS 50
#define PATIENCE_MS 10000 /* for a peer to say that it has the drive */
#define PIECE_BYTES 65536

/* ---- Putting: without a loop ---- */

/* The blob is written as its bytes come, its entry put at the end, and both committed together: nobody sees one without the other. Large
 * files are committed now and then, so that memory stays bounded; blocks without an entry are nothing to readers. */
static int put_file(struct hf_drive *drive, const char *path, FILE *input)
{
	static uint8_t piece[PIECE_BYTES];
	struct hf_blob_writer writer;
	struct hf_blob_id id;
	size_t length;
	int status = hf_drive_ready(drive);

	if (status == HF_OK)
		status = hf_blob_writer_start(&writer, hf_drive_blobs(drive), NULL);
	while (status == HF_OK && (length = fread(piece, 1, sizeof piece, input)) > 0) {
		status = hf_blob_writer_add(&writer, hf_slice(piece, length));
		if (status == HF_OK && hf_core_staged_bytes(hf_drive_blobs(drive)) > HF_CORE_STAGED_BYTES_MAX / 4)
			status = hf_core_commit_wait(hf_drive_blobs(drive), HF_DURABLE_OS);
	}
	if (status == HF_OK)
		status = hf_blob_writer_end(&writer, &id);
	hf_blob_writer_free(&writer);
	if (status == HF_OK)
		status = hf_drive_put_blob(drive, hf_slice_text(path), NULL, &id);
	if (status == HF_OK)
		status = hf_bee_flush(hf_drive_bee(drive));
	return status == HF_OK ? hf_drive_commit_wait(drive, HF_DURABLE_DISK) : status;
}

static int put(struct home *home, const char *name, const char *path, struct hf_failure *failure)
{
	struct hf_corestore_options store = {.size = sizeof store, .store = home->store, .env = &home->env,
		.primary_key = hf_slice(home->primary_key, sizeof home->primary_key), .blocking = true};
	struct hf_drive_options options = {.size = sizeof options};
	struct hf_drive *drive = NULL;
	uint8_t name_space[HF_NAMESPACE_BYTES] = {0};
	char key[HF_CORE_ID_BYTES];
	int status = hf_corestore_open(&options.cores, &store, failure);

	/* The drive of a namespace, as in the package: `new Hyperdrive(store.namespace(name))`. */
	hf_corestore_namespace(name_space, name_space, hf_slice_text(name));
	options.name_space = name_space;
	if (status == HF_OK)
		status = hf_drive_open(&drive, &options, failure);
	if (status == HF_OK) {
		status = put_file(drive, path, stdin);
		if (status == HF_EINVAL || status == HF_ETOOBIG)
			hf_drive_name_fail(failure, status, hf_slice_text(path));
	}
	if (status == HF_OK) {
		hf_core_key_encode(key, hf_core_key(hf_drive_core(drive)));
		printf("key %s\nversion %" PRIu64 "\n", key, hf_bee_version(hf_drive_bee(drive)));
	}
	hf_drive_close(drive);
	hf_corestore_close(options.cores);
	return status;
}

/* ---- Reading: on a loop ---- */

struct reader {
	struct hf_timer look; /* first, so that a pointer to it is one to the reader */
	struct hf_bee_waiter waiter;
	struct hf_loop *loop;
	struct hf_core_host *host;
	struct hf_drive *drive;
	struct hf_replication *bee, *blobs; /* both cores, joined */
	struct hf_blob_reader *file;
	struct hf_peer_socket *dialled;
	uint8_t secret_key[HF_SIGN_SECRET_BYTES];
	const char *path;
	unsigned waited_ms;
	struct hf_failure failure;
};

static void end(struct reader *r, int code, const char *sentence)
{
	hf_fail(&r->failure, code, "%s", sentence);
	hf_loop_stop(r->loop);
}

static int go_on(struct reader *r);

/* Runs what has been waited for again. What it has decoded is kept, so it goes on from there. */
static void again(struct reader *r, int status)
{
	if (status == HF_OK)
		status = go_on(r);
	if (status == HF_ENOTFOUND)
		end(r, status, "There is no such file in the drive.");
	else if (status != HF_EWAIT && status != HF_OK)
		end(r, status, hf_error_text(status));
}

static void on_entry_block(struct hf_bee_waiter *waiter, int status)
{
	again(waiter->context, status);
}

static void on_file_block(void *context, int status)
{
	again(context, status);
}

/* The file's bytes; HF_EWAIT: a block is on its way. Those after it are asked for ahead. */
static int write_out(struct reader *r)
{
	struct hf_slice bytes;
	int status;

	while ((status = hf_blob_reader_next(r->file, &bytes)) == HF_OK)
		fwrite(bytes.data, 1, bytes.length, stdout);
	if (status == HF_EWAIT) {
		status = hf_blob_reader_wait(r->file, on_file_block, r);
		return status == HF_OK ? HF_EWAIT : status;
	}
	if (status != HF_ENOTFOUND)
		return status;
	end(r, HF_OK, "");
	return HF_OK;
}

/* First which core has the blobs, then the file's entry, links followed, then its bytes. */
static int find_file(struct reader *r)
{
	struct hf_drive_entry entry;
	int status = hf_drive_ready(r->drive);

	if (status == HF_OK && r->blobs == NULL)
		status = hf_replicator_join(hf_core_host_replicator(r->host), hf_drive_blobs(r->drive), &r->blobs);
	if (status == HF_OK)
		status = hf_drive_follow(r->drive, hf_bee_latest(hf_drive_bee(r->drive)), hf_slice_text(r->path), &entry);
	return status == HF_OK ? hf_drive_read(r->drive, &entry, NULL, &r->file) : status;
}

static int go_on(struct reader *r)
{
	int status = r->file == NULL ? find_file(r) : HF_OK;

	if (status == HF_EWAIT) {
		status = hf_bee_wait(hf_drive_bee(r->drive), &r->waiter);
		return status == HF_OK ? HF_EWAIT : status;
	}
	return status == HF_OK ? write_out(r) : status;
}

/* The peer has told how long the bee is, and proved it. */
static void on_heard(void *context)
{
	again(context, HF_OK);
}

static void on_look(struct hf_timer *timer)
{
	struct reader *r = (struct reader *)(void *)timer;

	if (hf_replication_peer_count(r->bee) > 0) {
		if (hf_replication_update(r->bee, on_heard, r) != HF_OK)
			end(r, HF_ENOMEM, "Out of memory.");
		return;
	}
	if ((r->waited_ms += LOOK_MS) >= PATIENCE_MS)
		end(r, HF_ETIMEOUT, "The peer does not have the drive.");
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
	uint8_t key[HF_CORE_KEY_BYTES], public_key[HF_SIGN_PUBLIC_BYTES];
	struct hf_drive_options drive = {.size = sizeof drive, .key = key};

	if (hf_core_key_decode(key, hf_slice_text(text)) != HF_OK)
		return hf_fail(&r->failure, HF_EINVAL, "%s is not the key of a drive.", text);
	if (hf_loop_new(&r->loop, &home->env) != HF_OK)
		return hf_fail(&r->failure, HF_ENOMEM, "The loop cannot start.");
	hf_sign_keypair_generate(public_key, r->secret_key, &home->env);
	host.loop = socket.loop = r->loop;
	int status = hf_core_host_new(&r->host, &host, &r->failure);

	if (status != HF_OK)
		return status;
	drive.cores = hf_core_host_cores(r->host);
	status = hf_drive_open(&r->drive, &drive, &r->failure);
	if (status == HF_OK)
		status = hf_replicator_join(hf_core_host_replicator(r->host), hf_drive_core(r->drive), &r->bee);
	r->waiter.ready = on_entry_block;
	r->waiter.context = r;
	r->look.fire = on_look;
	socket.context = r->host;
	if (status == HF_OK)
		status = hf_loop_timer_set(r->loop, &r->look, LOOK_MS);
	return status == HF_OK ? hf_peer_socket_connect(&r->dialled, &socket, address, &r->failure) : status;
}

/* In the opposite order of opening. */
static void close_reader(struct reader *r)
{
	hf_blob_reader_free(r->file);
	hf_bee_wait_cancel(&r->waiter);
	if (r->loop != NULL)
		hf_loop_timer_cancel(r->loop, &r->look);
	if (r->dialled != NULL && hf_peer_socket_mux(r->dialled) == NULL)
		hf_peer_socket_free(r->dialled); /* not opened, so the host does not know it */
	if (r->host != NULL)
		hf_core_host_close_sockets(r->host);
	hf_replication_leave(r->blobs);
	hf_replication_leave(r->bee);
	hf_drive_close(r->drive);
	hf_core_host_free(r->host);
	if (r->loop != NULL)
		hf_loop_free(r->loop);
	hf_wipe(r->secret_key, sizeof r->secret_key);
}

static int cat(struct home *home, char **arguments, struct hf_failure *failure)
{
	struct reader reader = {.path = arguments[2]};
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
	bool is_put = argc == 5 && strcmp(argv[1], "put") == 0, is_cat = argc == 6 && strcmp(argv[1], "cat") == 0;
	struct hf_failure failure = {0};
	struct home home;
	int status;

	if (!is_put && !is_cat) {
		fprintf(stderr, "usage: drive put DIRECTORY NAME PATH < content\n       drive cat DIRECTORY HOST:PORT KEY PATH\n");
		return 2;
	}
	status = home_open(&home, argv[2], &failure);
	if (status == HF_OK) {
		status = is_put ? put(&home, argv[3], argv[4], &failure) : cat(&home, argv + 3, &failure);
		home_close(&home);
	}
	if (status != HF_OK)
		fprintf(stderr, "drive: %s\n", failure.text[0] ? failure.text : hf_error_text(status));
	return status == HF_OK ? 0 : 1;
}
