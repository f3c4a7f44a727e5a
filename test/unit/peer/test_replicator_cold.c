/* A corestore whose reads do not wait, over a disk on which every first read is cold: opening, serving and verifying go on once
 * it has been thawed. */
#include "../data/core_fixture.h"

#include "peer/replicator.h"
#include "support/cold_fs.h"

#define BLOCKS 300
#define PEERS 2

/* ---- Peers ---- */

struct peer {
	struct core_node node;
	struct hf_replicator *replicator;
	struct hf_core *core;
	struct hf_replication *replication;
	struct hf_replicator_stream *stream;
	struct hf_protomux *mux;
	struct peer *other;
	struct hf_buffer letters; /* to it, each with a le32 length in front */
	bool pending;
	char failure[HF_FAILURE_TEXT_BYTES];
};

static struct peer peers[PEERS];
static struct hf_executor *executor;
static struct hf_download download;
static uint64_t now_ms;

static void open_resident(struct core_node *node)
{
	struct hf_failure failure = {0};
	struct hf_store_options options = {.size = sizeof options, .directory = node->directory, .env = &node->env,
		.schema = {.describe = hf_corestore_describe}, .no_background = true};
	struct hf_corestore_options cores = {.size = sizeof cores, .env = &node->env, .primary_key = hf_slice(node->primary_key, 32)};

	if (hf_store_open(&node->store, &options, &failure) != HF_OK)
		fail_msg("%s", failure.text);
	cores.store = node->store;
	if (hf_corestore_open(&node->cores, &cores, &failure) != HF_OK)
		fail_msg("%s", failure.text);
}

static int send_letter(void *owner, const struct iovec *parts, int count)
{
	struct hf_buffer *letters = &((struct peer *)owner)->other->letters;
	size_t at = letters->length;

	hf_buffer_append(letters, "\0\0\0", 4);
	for (int i = 0; i < count; i++)
		hf_buffer_append(letters, parts[i].iov_base, parts[i].iov_len);
	hf_store_le32(letters->data + at, (uint32_t)(letters->length - at - 4));
	return HF_OK;
}

static bool is_congested(void *owner)
{
	(void)owner;
	return false;
}

static void on_error(void *owner, const struct hf_failure *failure)
{
	struct peer *peer = owner;

	snprintf(peer->failure, sizeof peer->failure, "%s", failure->text);
}

static void on_pending(void *context)
{
	((struct peer *)context)->pending = true;
}

static void add_replicator(struct peer *peer)
{
	struct hf_replicator_options options = {.size = sizeof options, .cores = peer->node.cores, .env = &peer->node.env, .on_pending = on_pending,
		.context = peer};

	assert_int_equal(hf_replicator_new(&peer->replicator, &options), HF_OK);
}

static void connect_both(void)
{
	static const struct hf_protomux_events events = {.send = send_letter, .is_congested = is_congested, .error = on_error};
	static const uint8_t hash[HF_HANDSHAKE_HASH_BYTES] = {7};

	for (int i = 0; i < PEERS; i++) {
		struct hf_replicator_stream_options options = {.is_initiator = i == 0, .handshake_hash = hash};

		peers[i].other = &peers[1 - i];
		assert_int_equal(hf_protomux_new(&events, &peers[i], 1, NULL, &peers[i].mux), HF_OK);
		options.mux = peers[i].mux;
		assert_int_equal(hf_replicator_attach(peers[i].replicator, &options, &peers[i].stream), HF_OK);
	}
}

static void run(unsigned rounds)
{
	cold_is_turning = true;
	while (rounds-- > 0) {
		for (int i = 0; i < PEERS; i++) {
			struct hf_buffer letters = peers[i].letters;

			peers[i].letters = (struct hf_buffer){0};
			for (size_t at = 0; at < letters.length; at += 4 + hf_load_le32(letters.data + at))
				hf_protomux_recv(peers[i].mux, hf_slice(letters.data + at + 4, hf_load_le32(letters.data + at)));
			hf_buffer_free(&letters);
			hf_replicator_tick(peers[i].replicator, now_ms);
			if (peers[i].pending) {
				peers[i].pending = false;
				hf_replicator_flush(peers[i].replicator, now_ms);
			}
			hf_replicator_tick(peers[i].replicator, now_ms); /* the disk may take longer than from one tick to the next */
			hf_corestore_settle(peers[i].node.cores);
		}
		now_ms += 10;
	}
	cold_is_turning = false;
}

static int thawed_count, sought_count;

static void count_thawed(struct hf_corestore_thaw *thaw)
{
	(void)thaw;
	thawed_count++;
}

/* What a caller does that gets HF_EWAIT. */
static void thaw(struct hf_corestore *cores)
{
	struct hf_corestore_thaw waiting = {.done = count_thawed};
	int before = thawed_count;

	assert_int_equal(hf_corestore_thaw(cores, &waiting), HF_OK);
	hf_corestore_settle(cores);
	assert_int_equal(thawed_count, before + 1);
}

static struct hf_core *open_cold(struct core_node *node, const uint8_t *key)
{
	struct hf_core_options options = {.size = sizeof options, .key = key};
	struct hf_core *core;
	int status, rounds = 0;

	cold_is_turning = true;
	while ((status = hf_corestore_get(node->cores, &options, &core, NULL)) == HF_EWAIT) {
		thaw(node->cores);
		assert_true(++rounds < 100);
	}
	cold_is_turning = false;
	assert_int_equal(status, HF_OK);
	return core;
}

static void append(struct hf_core *core, uint64_t to)
{
	static char bytes[5000];

	for (uint64_t i = hf_core_length(core); i < to; i++) {
		struct hf_slice block = hf_slice(bytes, i % 4 == 3 ? sizeof bytes : 30);

		memset(bytes, (int)i, sizeof bytes);
		assert_int_equal(hf_core_append(core, &block, 1, NULL), HF_OK);
	}
	core_commit(core);
}

/* The reader knows the tree of what there is: the writer has to find out whether its own is the continuation of that. */
static void take_tree(struct hf_core *writer)
{
	struct hf_proof_request request = {.has_upgrade = true, .upgrade = {0, hf_core_length(writer)}, .wants_manifest = true};
	struct hf_core *reader = core_by_key(&peers[1].node, hf_core_key(writer));
	struct hf_buffer bytes = {0};
	struct hf_proof proof;
	bool grew;

	assert_int_equal(hf_core_prove(writer, 0, &request, &bytes, &proof), HF_OK);
	assert_int_equal(hf_core_put_proof(reader, &proof, &grew, NULL), HF_OK);
	core_commit(reader);
	hf_core_unref(reader);
	hf_buffer_free(&bytes);
}

static void reopen_cold(struct core_node *node)
{
	core_node_close(node);
	open_resident(node);
	cold_cool_down();
}

static void make_nodes(void)
{
	assert_int_equal(hf_executor_start(&executor, "thaw", 1, 64), HF_OK);
	cold_fs_init();
	for (int i = 0; i < PEERS; i++) {
		core_node_make(&peers[i].node, (uint8_t)(i + 1));
		core_node_close(&peers[i].node);
		peers[i].node.env.fs = &cold_fs;
		peers[i].node.env.executor = executor;
		core_node_open(&peers[i].node);
	}
}

static void remove_nodes(void)
{
	for (int i = 0; i < PEERS; i++)
		core_node_remove(&peers[i].node);
	hf_executor_stop(executor);
}

static void disconnect_both(void)
{
	for (int i = 0; i < PEERS; i++) {
		hf_replicator_detach(peers[i].stream);
		hf_protomux_free(peers[i].mux);
		hf_replicator_free(peers[i].replicator);
	}
	for (int i = 0; i < PEERS; i++)
		hf_buffer_free(&peers[i].letters);
}

static void test_cold_cores_are_opened_served_and_verified(void **state)
{
	uint8_t key[32], hash[2][32];
	struct hf_buffer x = {0};

	(void)state;
	make_nodes();
	struct hf_core *writer = core_by_name(&peers[0].node, "log");

	memcpy(key, hf_core_key(writer), 32);
	append(writer, BLOCKS / 3 + 5);
	take_tree(writer);
	append(writer, BLOCKS);
	hf_tree_hash(hf_core_tree(writer), hash[0]);
	hf_core_unref(writer);
	reopen_cold(&peers[0].node);
	reopen_cold(&peers[1].node);
	for (int round = 0; round < 3; round++) {
		uint64_t waits_before = cold_waits;

		add_replicator(&peers[0]);
		add_replicator(&peers[1]);
		peers[1].core = open_cold(&peers[1].node, key);
		assert_int_equal(hf_replicator_join(peers[1].replicator, peers[1].core, &peers[1].replication), HF_OK);
		/* The first third, then another, then all of it: what came before is cold when the next is verified. */
		download = (struct hf_download){.from = round < 2 ? (uint64_t)(2 - round) * BLOCKS / 3 : 0, .to = UINT64_MAX, .is_random = round == 1};
		hf_download_start(peers[1].replication, &download);
		connect_both();
		run(400);
		assert_string_equal(peers[0].failure, "");
		assert_string_equal(peers[1].failure, "");
		assert_int_equal(hf_bitfield_next_clear(hf_core_blocks(peers[1].core), download.from, BLOCKS), BLOCKS);
		assert_true(cold_waits > waits_before);
		hf_download_cancel(&download);
		hf_replication_leave(peers[1].replication);
		disconnect_both();
		if (round == 2)
			break;
		hf_core_unref(peers[1].core);
		hf_corestore_settle(peers[1].node.cores);
		reopen_cold(&peers[0].node);
		reopen_cold(&peers[1].node);
	}
	hf_tree_hash(hf_core_tree(peers[1].core), hash[1]);
	assert_memory_equal(hash[0], hash[1], 32);
	cold_cool_down();
	for (uint64_t i = 0; i < BLOCKS; i++) {
		int status;

		hf_buffer_clear(&x);
		while ((status = hf_core_get(peers[1].core, i, &x)) == HF_EWAIT)
			thaw(peers[1].node.cores);
		assert_int_equal(status, HF_OK);
		assert_int_equal(x.length, i % 4 == 3 ? 5000 : 30);
		assert_int_equal(x.data[0], (uint8_t)i);
	}
	assert_int_equal(cold_stalls, 0);
	print_message("%llu cold reads, %d thaws\n", (unsigned long long)cold_waits, thawed_count);
	hf_buffer_free(&x);
	hf_core_unref(peers[1].core);
	remove_nodes();
}

static void count_sought(struct hf_seek_wait *wait)
{
	(void)wait;
	sought_count++;
}

/* What it needs is all here, and nobody else reads the disk. */
static void test_a_seek_in_a_cold_core_needs_nobody_else(void **state)
{
	struct hf_seek_wait wait = {.bytes = 30, .done = count_sought};
	struct hf_core_place place;
	uint8_t key[32];

	(void)state;
	make_nodes();
	struct hf_core *writer = core_by_name(&peers[0].node, "log");

	memcpy(key, hf_core_key(writer), 32);
	append(writer, BLOCKS);
	hf_core_unref(writer);
	reopen_cold(&peers[0].node);
	add_replicator(&peers[0]);
	add_replicator(&peers[1]); /* not connected */
	peers[0].core = open_cold(&peers[0].node, key);
	assert_int_equal(hf_replicator_join(peers[0].replicator, peers[0].core, &peers[0].replication), HF_OK);
	cold_cool_down();
	assert_int_equal(hf_core_seek(peers[0].core, wait.bytes, &place), HF_EWAIT);
	hf_seek_wait_start(peers[0].replication, &wait);
	run(100);
	hf_seek_wait_cancel(&wait);
	assert_int_equal(sought_count, 1);
	hf_replication_leave(peers[0].replication);
	for (int i = 0; i < PEERS; i++)
		hf_replicator_free(peers[i].replicator);
	hf_core_unref(peers[0].core);
	remove_nodes();
}

/* Two openings of one core, both before it has been read. Our mux sends no such second one, and so does not know what is rejected. */
static void test_the_second_channel_for_a_cold_core_is_rejected(void **state)
{
	static const uint8_t hash[HF_HANDSHAKE_HASH_BYTES] = {7};
	struct hf_buffer frame = {0};
	struct hf_compact_writer out = hf_compact_writer(&frame);
	struct hf_replication_handshake handshake = {.seeks = true};
	struct hf_core *writer;

	(void)state;
	make_nodes();
	writer = core_by_name(&peers[0].node, "log");
	append(writer, 10);
	hf_replication_capability(handshake.capability, hash, false, hf_core_key(writer));
	hf_compact_write_uint(&out, 0); /* about channels: */
	hf_compact_write_uint(&out, 1); /* open */
	hf_compact_write_uint(&out, 1); /* as this */
	hf_compact_write_buffer(&out, HF_SLICE_LITERAL(HF_REPLICATION_PROTOCOL));
	hf_compact_write_buffer(&out, hf_slice(hf_core_discovery_key(writer), 32));
	hf_replication_write_handshake(&out, &handshake);
	hf_core_unref(writer);
	reopen_cold(&peers[0].node);
	add_replicator(&peers[0]);
	add_replicator(&peers[1]);
	connect_both();
	for (frame.data[2] = 1; frame.data[2] <= 2; frame.data[2]++)
		assert_int_equal(hf_protomux_recv(peers[0].mux, hf_buffer_slice(&frame)), HF_OK);
	run(100);
	assert_non_null(strstr(peers[1].failure, "rejected channel 2,"));
	disconnect_both();
	hf_buffer_free(&frame);
	remove_nodes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cold_cores_are_opened_served_and_verified),
		cmocka_unit_test(test_a_seek_in_a_cold_core_needs_nobody_else),
		cmocka_unit_test(test_the_second_channel_for_a_cold_core_is_rejected),
	};

	if (hf_crypto_init() != HF_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
