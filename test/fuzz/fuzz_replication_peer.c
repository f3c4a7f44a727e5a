/* fuzz_replication_peer: remotes that have shaken hands and may say anything. The first byte sets things up; then each step is a
 * byte and what it takes: messages made by the writer's own code with bytes of them changed, raw frames, time, and what a local
 * user does. We serve one core and read another, of whose writer there are three histories: the true one, a later fork, and one
 * that it should not have signed. Whatever comes, all blocks and nodes that the reader holds are of one of them.
 * Covers: src/peer/availability.c src/peer/core_peer.c src/peer/download.c src/peer/fetch.c src/peer/fork.c src/peer/replicator.c
 * src/peer/serve.c */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "peer/replicator.h"
#include "support/scratch.h"

#define BLOCKS 40
#define HISTORIES 3
#define REMOTES 2
#define ASKED_MAX 64
#define WAITS_MAX 4
#define STEPS_MAX 400
#define RUNS_PER_STORE 2000

enum { SERVED, READ, CHANNELS };
enum { SYNC, DATA, PUSHED, RANGE, REQUEST, WANT, BITFIELD, NO_DATA, CANCEL, EXTENSION, RAW, MESSAGE, CLOSE, REOPEN, TIME, LOCAL, CONGEST, HONEST, KINDS };

struct node {
	char directory[64];
	struct hf_store *store;
	struct hf_corestore *cores;
};

/* A remote's end of a stream, and ours. */
struct remote {
	struct hf_protomux *mux, *ours;
	struct hf_replicator_stream *stream;
	struct hf_channel *channels[CHANNELS];
	struct hf_replication_request asked[ASKED_MAX];
	size_t asked_count;
	bool is_congested, has_failed, cannot_send;
	struct hf_buffer to_us, to_them; /* messages with a le32 length in front */
};

struct wait {
	struct hf_core_waiter waiter;
	bool is_waiting;
};

static struct hf_env env;
static struct node histories[HISTORIES], ours;
static struct hf_core *writers[HISTORIES], *served, *reader;
static const uint8_t hash[HF_HANDSHAKE_HASH_BYTES] = {1, 2, 3};
static struct remote remotes[REMOTES];
static struct hf_replicator *replicator;
static struct hf_replication *replication;
static struct hf_download downloads[WAITS_MAX];
static struct hf_seek_wait seeks[WAITS_MAX];
static struct wait waits[WAITS_MAX];
static struct hf_extension extension;
static const uint8_t *input, *input_end;
static uint64_t now_ms;
static bool is_pending;
static struct hf_fs fs;
static struct hf_env our_env;
static _Atomic unsigned cold_left; /* reads that would have to wait */

static uint8_t byte(void)
{
	return input < input_end ? *input++ : 0;
}

/* Mostly small, now and then anything. */
static uint64_t number(uint64_t usual)
{
	uint8_t first = byte();
	uint64_t value = 0;

	if (first < 224)
		return first % (usual + 3);
	for (unsigned i = 0; i < (first & 7u); i++)
		value = value << 8 | byte();
	return value & HF_COMPACT_UINT_MAX;
}

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

static void forget_line(void *context, const char *line, unsigned length)
{
	(void)context;
	(void)line;
	(void)length;
}

static void start(void)
{
	static bool started;

	if (started)
		return;
	started = true;
	hf_log_set_sink(forget_line, NULL);
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

/* ---- The remotes ---- */

static int put_letter(struct hf_buffer *letters, const struct iovec *parts, int count)
{
	size_t at = letters->length;

	FUZZ_CHECK(hf_buffer_append(letters, "\0\0\0", 4) == HF_OK);
	for (int i = 0; i < count; i++)
		FUZZ_CHECK(hf_buffer_append(letters, parts[i].iov_base, parts[i].iov_len) == HF_OK);
	hf_store_le32(letters->data + at, (uint32_t)(letters->length - at - 4));
	FUZZ_CHECK(letters->length < (64u << 20));
	return HF_OK;
}

static int send_to_us(void *owner, const struct iovec *parts, int count)
{
	return put_letter(&((struct remote *)owner)->to_us, parts, count);
}

static int send_to_them(void *owner, const struct iovec *parts, int count)
{
	struct remote *remote = owner;

	return remote->cannot_send ? HF_EIO : put_letter(&remote->to_them, parts, count);
}

static bool is_never_congested(void *owner)
{
	(void)owner;
	return false;
}

static bool is_congested(void *owner)
{
	return ((struct remote *)owner)->is_congested;
}

static void on_error(void *owner, const struct hf_failure *failure)
{
	(void)failure;
	((struct remote *)owner)->has_failed = true;
}

static void carry(struct remote *remote)
{
	struct hf_buffer letters;

	for (int way = 0; way < 2; way++) {
		struct hf_buffer *from = way == 0 ? &remote->to_us : &remote->to_them;

		letters = *from;
		*from = (struct hf_buffer){0};
		for (size_t at = 0; at < letters.length;) {
			uint32_t length = hf_load_le32(letters.data + at);

			if (way == 0 ? !remote->has_failed : true)
				hf_protomux_recv(way == 0 ? remote->ours : remote->mux, hf_slice(letters.data + at + 4, length));
			at += 4 + length;
		}
		hf_buffer_free(&letters);
	}
}

static int on_remote_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct remote *remote = context;

	if (type == HF_REPLICATION_REQUEST && channel == remote->channels[READ] && remote->asked_count < ASKED_MAX &&
		hf_replication_read_request(body, &remote->asked[remote->asked_count]) == HF_OK)
		remote->asked_count++;
	return HF_OK;
}

static void on_remote_close(struct hf_channel *channel, void *context, enum hf_channel_end end)
{
	struct remote *remote = context;

	(void)end;
	for (int i = 0; i < CHANNELS; i++)
		if (remote->channels[i] == channel)
			remote->channels[i] = NULL;
}

static void open_channel(struct remote *remote, int which, bool lies)
{
	static const struct hf_channel_events events = {.message_types = HF_REPLICATION_TYPES, .message = on_remote_message, .close = on_remote_close};
	struct hf_core *core = which == READ ? reader : served;
	struct hf_replication_handshake handshake = {.seeks = true};
	struct hf_buffer bytes = {0};
	struct hf_compact_writer out = hf_compact_writer(&bytes);
	struct hf_channel_options options = {.protocol = HF_SLICE_LITERAL(HF_REPLICATION_PROTOCOL),
		.id = hf_slice(hf_core_discovery_key(core), lies && byte() % 2 == 0 ? byte() % 40 % 33 : 32), .events = &events, .context = remote};

	if (remote->channels[which] != NULL)
		return;
	hf_replication_capability(handshake.capability, hash, false, hf_core_key(core));
	if (lies)
		handshake.capability[byte() % 32] ^= byte();
	hf_replication_write_handshake(&out, &handshake);
	options.handshake = hf_buffer_slice(&bytes);
	if (lies && byte() % 4 == 0)
		options.handshake.length = byte() % 33;
	if (hf_protomux_open(remote->mux, &options, &remote->channels[which]) != HF_OK)
		remote->channels[which] = NULL;
	hf_buffer_free(&bytes);
}

static void connect_remote(struct remote *remote)
{
	static const struct hf_protomux_events their_events = {.send = send_to_us, .is_congested = is_never_congested, .error = on_error};
	static const struct hf_protomux_events our_events = {.send = send_to_them, .is_congested = is_congested, .error = on_error};
	struct hf_replicator_stream_options options = {.is_initiator = true, .handshake_hash = hash};

	*remote = (struct remote){0};
	FUZZ_CHECK(hf_protomux_new(&their_events, remote, 1, NULL, &remote->mux) == HF_OK);
	FUZZ_CHECK(hf_protomux_new(&our_events, remote, 2, NULL, &remote->ours) == HF_OK);
	options.mux = remote->ours;
	FUZZ_CHECK(hf_replicator_attach(replicator, &options, &remote->stream) == HF_OK);
	open_channel(remote, SERVED, false);
	open_channel(remote, READ, false);
}

static void disconnect_remote(struct remote *remote)
{
	hf_replicator_detach(remote->stream);
	hf_protomux_free(remote->ours);
	hf_protomux_free(remote->mux);
	hf_buffer_free(&remote->to_us);
	hf_buffer_free(&remote->to_them);
}

/* ---- What they say ---- */

/* Up to three bytes of it changed, or its end cut off. */
static void say(struct remote *remote, int which, uint32_t type, struct hf_buffer *body)
{
	uint8_t changes = byte();
	struct iovec part;

	for (unsigned i = 0; i < (changes & 3u) && changes < 128 && body->length > 0; i++)
		body->data[(byte() | byte() << 8) % body->length] ^= byte();
	part = (struct iovec){body->data, changes == 64 && body->length > 0 ? byte() % body->length : body->length};
	if (remote->channels[which] != NULL)
		hf_channel_send(remote->channels[which], type, &part, 1);
	hf_buffer_free(body);
}

static void draw_request(struct hf_replication_request *request)
{
	uint8_t flags = byte();

	*request = (struct hf_replication_request){.id = number(5), .fork = number(1), .priority = flags >> 7};
	request->proof.has_block = flags & 1;
	request->proof.block.index = number(BLOCKS);
	request->proof.block.nodes = number(5);
	request->proof.has_hash = !request->proof.has_block && flags & 2;
	request->proof.hash.index = number(2 * BLOCKS);
	request->proof.hash.nodes = number(5);
	request->proof.has_seek = flags & 4;
	request->proof.seek.bytes = number(250);
	request->proof.has_upgrade = flags & 8;
	request->proof.upgrade.start = number(BLOCKS);
	request->proof.upgrade.length = number(BLOCKS);
	request->proof.wants_manifest = flags & 16;
}

/* An answer by one of the histories: to what we asked, or to anything. */
static void say_data(struct remote *remote, bool is_asked)
{
	uint8_t which = byte();
	struct hf_core *writer = writers[which % HISTORIES];
	struct hf_replication_data data = {.request = which & 32 ? 0 : 1};
	struct hf_replication_request request;
	struct hf_buffer bytes = {0}, body = {0};
	struct hf_compact_writer out = hf_compact_writer(&body);

	if (is_asked && remote->asked_count > 0) {
		size_t i = which / HISTORIES % remote->asked_count;

		request = remote->asked[i];
		remote->asked[i] = remote->asked[--remote->asked_count];
		data.request = request.id;
	} else {
		draw_request(&request);
		if (which & 64)
			data.request = request.id;
	}
	if (hf_core_prove(writer, hf_core_fork(writer), &request.proof, &bytes, &data.proof) == HF_OK) {
		if (which & 128)
			data.proof.fork = request.fork;
		hf_replication_write_data(&out, &data);
		say(remote, READ, HF_REPLICATION_DATA, &body);
	}
	hf_buffer_free(&bytes);
	hf_buffer_free(&body);
}

static void say_sync(struct remote *remote, int which)
{
	uint8_t flags = byte();
	const struct hf_core *writer = writers[flags / 64 % HISTORIES];
	struct hf_replication_sync sync = {.can_upgrade = !(flags & 1), .is_uploading = !(flags & 2), .is_downloading = !(flags & 4),
		.has_manifest = !(flags & 8), .fork = hf_core_fork(writer), .length = hf_core_length(writer)};
	struct hf_buffer body = {0};
	struct hf_compact_writer out = hf_compact_writer(&body);

	sync.remote_length = hf_core_length(which == READ ? reader : served);
	if (flags & 16)
		sync.length = number(BLOCKS);
	if (flags & 32) {
		sync.fork = number(2);
		sync.remote_length = number(BLOCKS);
	}
	hf_replication_write_sync(&out, &sync);
	say(remote, which, HF_REPLICATION_SYNC, &body);
}

static void say_other(struct remote *remote, int which, unsigned kind)
{
	struct hf_buffer body = {0};
	struct hf_compact_writer out = hf_compact_writer(&body);
	struct hf_replication_request request;
	uint8_t words[40];
	uint64_t unit = (uint64_t)1 << (byte() % 22);

	switch (kind) {
	case RANGE:
		hf_replication_write_range(&out, &(struct hf_replication_range){.drop = byte() % 3 == 0, .start = number(BLOCKS), .length = number(BLOCKS)});
		say(remote, which, HF_REPLICATION_RANGE, &body);
		return;
	case REQUEST:
		draw_request(&request);
		hf_replication_write_request(&out, &request);
		say(remote, which, HF_REPLICATION_REQUEST, &body);
		return;
	case WANT:
		hf_replication_write_want(&out, &(struct hf_replication_want){.start = number(2) * unit, .length = byte() % 4 ? unit : number(64),
			.any = byte() % 5 == 0});
		say(remote, which, byte() % 4 ? HF_REPLICATION_WANT : HF_REPLICATION_UNWANT, &body);
		return;
	case BITFIELD:
		for (size_t i = 0; i < sizeof words; i++)
			words[i] = byte();
		hf_replication_write_bitfield(&out, &(struct hf_replication_bitfield){.start = 32 * number(3), .words = hf_slice(words, byte() % 10 * 4)});
		say(remote, which, HF_REPLICATION_BITFIELD, &body);
		return;
	case NO_DATA:
		hf_replication_write_no_data(&out, &(struct hf_replication_no_data){.request = number(40), .reason = byte() % 3});
		say(remote, which, HF_REPLICATION_NO_DATA, &body);
		return;
	case CANCEL:
		hf_replication_write_cancel(&out, &(struct hf_replication_cancel){.request = number(5)});
		say(remote, which, HF_REPLICATION_CANCEL, &body);
		return;
	default:
		hf_replication_write_extension(&out, &(struct hf_replication_extension){.name = byte() % 2 ? HF_SLICE_LITERAL("echo") : hf_slice("", 0),
			.message = HF_SLICE_LITERAL("hello")});
		say(remote, which, HF_REPLICATION_EXTENSION, &body);
	}
}

static void say_raw(struct remote *remote, int which, bool is_message)
{
	struct hf_buffer body = {0};
	uint8_t length = byte(), type = byte();

	for (unsigned i = 0; i < length && input < input_end; i++)
		FUZZ_CHECK(hf_buffer_append(&body, input++, 1) == HF_OK);
	if (is_message) {
		say(remote, which, type % (HF_REPLICATION_TYPES + 1), &body);
		return;
	}
	put_letter(&remote->to_us, &(struct iovec){body.data, body.length}, 1);
	hf_buffer_free(&body);
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

/* The seek is made again: with the answer of the same place it must not go round for ever. */
static void on_seek(struct hf_seek_wait *wait)
{
	struct hf_core_place place;

	if (hf_core_seek(reader, wait->bytes, &place) == HF_EWAIT)
		hf_seek_wait_start(replication, wait);
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

static void congest(struct remote *remote)
{
	uint8_t how = byte();

	remote->is_congested = how % 4 == 1;
	if (!remote->is_congested && !remote->has_failed)
		hf_protomux_drained(remote->ours);
	if (how == 255)
		remote->cannot_send = true;
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
	if (byte() % 4 != 0)
		flush();
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
