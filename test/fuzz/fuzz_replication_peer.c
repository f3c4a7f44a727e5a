/* fuzz_replication_peer: remotes that have shaken hands and may say anything. The first byte sets things up; then each step is a
 * byte and what it takes: messages made by the writer's own code with bytes of them changed, raw frames, time, and what a local
 * user does. We serve one core and read another, of whose writer there are three histories: the true one, a later fork, and one
 * that it should not have signed. Whatever comes, all blocks and nodes that the reader holds are of one of them.
 * Covers: src/peer/answers.c src/peer/availability.c src/peer/core_peer.c src/peer/download.c src/peer/fetch.c src/peer/fork.c
 * src/peer/held_data.c src/peer/replicator.c src/peer/requests.c src/peer/serve.c */
#include "forged_remote.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/hypercore/signature.h"
#include "peer/replicator_private.h"
#include "support/quiet.h"
#include "support/scratch.h"

#define REMOTES 2
#define WAITS_MAX 4
#define STEPS_MAX 400
#define RUNS_PER_STORE 2000

struct node {
	char directory[64];
	struct hf_store *store;
	struct hf_corestore *cores;
};

struct wait {
	struct hf_core_waiter waiter;
	bool is_waiting;
};

static struct hf_env env;
static struct node histories[HISTORIES], ours;
static struct remote remotes[REMOTES];
static struct hf_replication *replication;
static struct hf_download downloads[WAITS_MAX];
static struct hf_seek_wait seeks[WAITS_MAX];
static struct wait waits[WAITS_MAX];
static struct hf_extension extension;
static uint64_t now_ms;
static bool is_pending;
static struct hf_fs fs;
static struct hf_env our_env;
static _Atomic unsigned cold_left; /* reads that would have to wait */

/* ---- Stores ---- */

static int read_resident(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done)
{
	if (cold_left == 0)
		return hf_fs_system()->pread_resident(file, data, length, offset, done);
	cold_left--;
	return HF_EWAIT;
}

static void open_node(struct node *node, uint8_t key_byte)
{
	struct hf_env *used = node == &ours ? &our_env : &env;
	struct hf_store_options options = {.size = sizeof options, .env = used, .schema = {.describe = hf_corestore_describe}, .no_background = true};
	uint8_t primary_key[32];
	struct hf_corestore_options cores = {.size = sizeof cores, .env = used, .primary_key = hf_slice(primary_key, 32), .blocking = node != &ours};

	snprintf(node->directory, sizeof node->directory, "%s/hf-fuzz-peer-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	FUZZ_CHECK(mkdtemp(node->directory) != NULL);
	options.directory = node->directory;
	memset(primary_key, key_byte, sizeof primary_key);
	FUZZ_CHECK(hf_store_open(&node->store, &options, NULL) == HF_OK);
	cores.store = node->store;
	FUZZ_CHECK(hf_corestore_open(&node->cores, &cores, NULL) == HF_OK);
}

static struct hf_core *open_core(struct node *node, const uint8_t *key)
{
	struct hf_core_options options = {.size = sizeof options, .key = key, .name = HF_SLICE_LITERAL("log")};
	struct hf_core *core;

	FUZZ_CHECK(hf_corestore_get(node->cores, &options, &core, NULL) == HF_OK);
	return core;
}

static void append(struct hf_core *core, unsigned count, char history)
{
	static char large[6000];

	for (unsigned i = 0; i < count; i++) {
		char text[64];
		struct hf_slice block = hf_slice_text(text);

		snprintf(text, sizeof text, "block %u of %c", (unsigned)hf_core_length(core), history);
		block = hf_slice_text(text);
		if (hf_core_length(core) % 16 == 5) {
			memset(large, history, sizeof large);
			block = hf_slice(large, sizeof large);
		}
		FUZZ_CHECK(hf_core_append(core, &block, 1, NULL) == HF_OK);
	}
	FUZZ_CHECK(hf_core_commit_wait(core, HF_DURABLE_OS) == HF_OK);
}

static void close_node(struct node *node)
{
	hf_corestore_close(node->cores);
	hf_store_close(node->store);
	scratch_remove(node->directory);
}

static void make_ours(void)
{
	open_node(&ours, 9);
	served = open_core(&ours, NULL);
	append(served, BLOCKS, 's');
	FUZZ_CHECK(hf_core_clear(served, 7, 9) == HF_OK);
	FUZZ_CHECK(hf_core_commit_wait(served, HF_DURABLE_OS) == HF_OK);
}

static void remove_all(void)
{
	for (int i = 0; i < HISTORIES; i++) {
		hf_core_unref(writers[i]);
		close_node(&histories[i]);
	}
	hf_core_unref(served);
	close_node(&ours);
}

static void start(void)
{
	static bool started;

	if (started)
		return;
	started = true;
	quiet_log();
	FUZZ_CHECK(hf_crypto_init() == HF_OK);
	hf_env_system(&env);
	our_env = env;
	fs = *hf_fs_system();
	fs.pread_resident = read_resident;
	our_env.fs = &fs;
	our_env.executor = hf_executor_inline();
	for (int i = 0; i < HISTORIES; i++) {
		open_node(&histories[i], 5);
		writers[i] = open_core(&histories[i], NULL);
		append(writers[i], i == 0 ? BLOCKS : 25, 'a');
	}
	FUZZ_CHECK(hf_core_truncate(writers[1], 21, HF_CORE_NEXT_FORK) == HF_OK);
	append(writers[1], 16, 'b');
	append(writers[2], 8, 'c');
	make_ours();
	atexit(remove_all);
}

/* ---- Us ---- */

static void on_ready(struct hf_core_waiter *waiter, int status)
{
	(void)status;
	((struct wait *)waiter)->is_waiting = false;
}

static void on_download(struct hf_download *download)
{
	FUZZ_CHECK(hf_bitfield_next_clear(hf_core_blocks(reader), download->from, download->to) == download->to);
}

static void on_seek(struct hf_seek_wait *wait)
{
	struct hf_core_place place;

	FUZZ_CHECK(hf_core_seek(reader, wait->bytes, &place) != HF_EWAIT);
}

static void on_heard(void *context)
{
	(void)context;
}

static void on_extension(struct hf_extension *from, struct hf_core *of, struct hf_channel *channel, struct hf_slice message)
{
	if (of != NULL)
		hf_extension_send(from, channel, message);
}

static void join(void)
{
	FUZZ_CHECK(hf_replicator_join(replicator, reader, &replication) == HF_OK);
	hf_replication_add_extension(replication, &extension);
}

static void leave(void)
{
	struct hf_replicator_stats stats;

	hf_replication_stats(replication, &stats);
	FUZZ_CHECK(stats.blocks_received <= stats.requests_sent && hf_replication_peer_count(replication) <= REMOTES);
	hf_replicator_stats(replicator, &stats);
	FUZZ_CHECK(stats.streams == REMOTES);
	hf_replication_remove_extension(replication, &extension);
	hf_replication_leave(replication);
}

static void flush(void);

/* Until we no longer say that we download. */
static void leave_for_long(void)
{
	leave();
	for (int i = 0; i < 3; i++) {
		now_ms += 30000;
		hf_replicator_tick(replicator, now_ms);
		flush();
	}
	join();
}

static void act(void)
{
	uint8_t what = byte();
	struct hf_download *download = &downloads[what / 16 % WAITS_MAX];
	struct hf_seek_wait *seek = &seeks[what / 16 % WAITS_MAX];
	struct wait *wait = &waits[what / 16 % WAITS_MAX];

	switch (what % 12) {
	case 0:
		hf_download_cancel(download);
		*download = (struct hf_download){.from = number(BLOCKS), .to = byte() % 2 ? UINT64_MAX : number(BLOCKS), .is_random = byte() % 2, .done = on_download};
		if (download->to >= download->from)
			hf_download_start(replication, download);
		return;
	case 1: hf_download_cancel(download); return;
	case 2:
		hf_seek_wait_cancel(seek);
		*seek = (struct hf_seek_wait){.bytes = number(250), .done = on_seek};
		hf_seek_wait_start(replication, seek);
		return;
	case 3:
		if (!wait->is_waiting) {
			wait->is_waiting = true;
			wait->waiter.ready = on_ready;
			hf_core_wait(reader, &wait->waiter, number(BLOCKS));
		}
		return;
	case 4:
		if (wait->is_waiting)
			hf_core_wait_cancel(reader, &wait->waiter);
		wait->is_waiting = false;
		return;
	case 5: FUZZ_CHECK(hf_replication_update(replication, on_heard, NULL) == HF_OK); return;
	case 6: hf_extension_broadcast(&extension, replication, HF_SLICE_LITERAL("to all")); return;
	case 7: hf_core_clear(reader, number(BLOCKS), number(BLOCKS)); hf_core_commit(reader, HF_DURABLE_OS, NULL, NULL); return;
	case 8: hf_seek_wait_cancel(seek); return;
	case 9: cold_left = byte() % 32; return;
	case 10:
		leave();
		join();
		return;
	default: leave_for_long(); return;
	}
}

static void flush(void)
{
	for (int i = 0; i < REMOTES; i++)
		carry(&remotes[i]);
	if (is_pending) {
		is_pending = false;
		hf_replicator_flush(replicator, now_ms);
	}
	hf_corestore_settle(ours.cores);
}

static void pass_time(void)
{
	now_ms += (uint64_t)byte() * 100;
	hf_replicator_tick(replicator, now_ms);
	flush();
}

static void check_that_none_is_forgotten(void)
{
	for (const struct hf_shared_core *shared = replicator->shared; shared != NULL; shared = shared->next)
		FUZZ_CHECK(shared->is_watched || !hf_shared_core_needs_tick(shared));
}

static void step(void)
{
	uint8_t op = byte();
	struct remote *remote = &remotes[op / 128];
	int which = op / 64 % 2 == 0 ? READ : SERVED;
	unsigned kind = op % 64 % KINDS;

	switch (kind) {
	case SYNC: say_sync(remote, which); break;
	case DATA: say_data(remote, true); break;
	case PUSHED: say_data(remote, false); break;
	case RAW: say_raw(remote, which, false); break;
	case MESSAGE: say_raw(remote, which, true); break;
	case CLOSE:
		if (remote->channels[which] != NULL)
			hf_channel_close(remote->channels[which]);
		break;
	case REOPEN: open_channel(remote, which, byte() % 8 == 0); break;
	case TIME: pass_time(); break;
	case LOCAL: act(); break;
	case CONGEST: congest(remote); break;
	case HONEST: /* so that long exchanges need few bytes */
		for (unsigned i = byte() % 64; i > 0 && remote->asked_count > 0; i--) {
			say_data(remote, true);
			flush();
		}
		break;
	default: say_other(remote, which, kind);
	}
	check_that_none_is_forgotten();
	if (byte() % 4 != 0)
		flush();
	check_that_none_is_forgotten();
}

/* ---- What has come of it ---- */

static void check_against(struct hf_core *writer)
{
	struct hf_buffer block = {0}, expected = {0};
	struct hf_tree_node node, true_node;

	for (uint64_t i = 0; i < hf_core_length(reader); i++) {
		if (!hf_bitfield_get(hf_core_blocks(reader), i))
			continue;
		hf_buffer_clear(&block);
		hf_buffer_clear(&expected);
		FUZZ_CHECK(hf_core_get_stored(reader, i, &block) == HF_OK);
		FUZZ_CHECK(hf_core_get_stored(writer, i, &expected) == HF_OK);
		FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&block), hf_buffer_slice(&expected)));
	}
	FUZZ_CHECK(hf_bitfield_next_set(hf_core_blocks(reader), hf_core_length(reader), UINT64_MAX) == UINT64_MAX);
	for (uint64_t i = 0; i < 2 * hf_core_length(reader); i++) {
		int status = hf_core_node(reader, i, &node);

		FUZZ_CHECK(status == HF_OK || status == HF_ENOTFOUND);
		if (status != HF_OK)
			continue;
		FUZZ_CHECK(hf_core_node(writer, i, &true_node) == HF_OK);
		FUZZ_CHECK(node.size == true_node.size && memcmp(node.hash, true_node.hash, sizeof node.hash) == 0);
	}
	hf_buffer_free(&block);
	hf_buffer_free(&expected);
}

static void check(void)
{
	uint8_t reader_hash[32], writer_hash[32];
	struct hf_tree tree;
	struct hf_slice signature = hf_core_signature(reader);

	if (hf_core_length(reader) == 0)
		return;
	FUZZ_CHECK(hf_core_manifest(reader) != NULL);
	FUZZ_CHECK(hf_signature_verify(hf_core_manifest(reader), hf_core_key(reader), hf_core_committed_tree(reader), signature) == HF_OK);
	hf_tree_hash(hf_core_tree(reader), reader_hash);
	for (int i = 0; i < HISTORIES; i++) {
		if (hf_core_fork(reader) != hf_core_fork(writers[i]) || hf_core_tree_at(writers[i], hf_core_length(reader), &tree) != HF_OK)
			continue;
		hf_tree_hash(&tree, writer_hash);
		if (memcmp(reader_hash, writer_hash, sizeof reader_hash) != 0)
			continue;
		check_against(writers[i]);
		return;
	}
	FUZZ_CHECK(false);
}

static void on_pending(void *context)
{
	(void)context;
	is_pending = true;
}

static void begin(void)
{
	struct hf_replicator_options options = {.size = sizeof options, .cores = ours.cores, .env = &env, .on_pending = on_pending};

	now_ms = 1;
	is_pending = false;
	reader = open_core(&ours, hf_core_key(writers[0]));
	FUZZ_CHECK(hf_replicator_new(&replicator, &options) == HF_OK);
	extension = (struct hf_extension){.name = "echo", .message = on_extension};
	join();
	for (int i = 0; i < REMOTES; i++)
		connect_remote(&remotes[i]);
	flush();
}

static void leave_at_end(void)
{
	hf_replication_remove_extension(replication, &extension);
	hf_replication_leave(replication);
}

static void end(void)
{
	uint8_t discovery_key[32];

	cold_left = 0;

	for (int i = 0; i < REMOTES; i++)
		disconnect_remote(&remotes[i]);
	for (int i = 0; i < WAITS_MAX; i++)
		if (waits[i].is_waiting)
			hf_core_wait_cancel(reader, &waits[i].waiter);
	memset(waits, 0, sizeof waits);
	leave_at_end();
	hf_replicator_free(replicator);
	hf_corestore_settle(ours.cores);
	check();
	memcpy(discovery_key, hf_core_discovery_key(reader), sizeof discovery_key);
	hf_core_unref(reader);
	hf_corestore_settle(ours.cores);
	FUZZ_CHECK(hf_corestore_drop(ours.cores, discovery_key) == HF_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned runs;

	start();
	if (++runs % RUNS_PER_STORE == 0) {
		hf_core_unref(served);
		close_node(&ours);
		make_ours();
	}
	input = data;
	input_end = data + size;
	begin();
	if (byte() % 2 == 0) { /* something to fetch */
		downloads[0] = (struct hf_download){.to = UINT64_MAX};
		hf_download_start(replication, &downloads[0]);
	}
	for (unsigned i = 0; i < STEPS_MAX && input < input_end; i++)
		step();
	flush();
	cold_left = 0;
	check();
	end();
	memset(downloads, 0, sizeof downloads);
	memset(seeks, 0, sizeof seeks);
	return 0;
}
