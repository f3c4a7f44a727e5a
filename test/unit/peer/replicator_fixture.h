/* replicator_fixture: replicators joined by muxes in one process: messages are carried by hand, so that every step can be looked at. */
#ifndef HF_TEST_REPLICATOR_FIXTURE_H
#define HF_TEST_REPLICATOR_FIXTURE_H

#include "../data/core_fixture.h"

#include "peer/replicator_private.h"

#define PEERS_MAX 4

struct letter {
	struct letter *next;
	uint64_t sent_ms;
	size_t length;
	uint8_t data[];
};

/* One end of a stream. */
struct end {
	struct end *other;
	struct hf_protomux *mux;
	struct hf_replicator_stream *stream;
	struct letter *first, **last;
	uint64_t delay_ms; /* of what comes to it */
	char failure[HF_FAILURE_TEXT_BYTES];
};

struct peer {
	struct core_node node;
	struct hf_replicator *replicator;
	struct hf_core *core;
	struct hf_replication *replication;
	bool pending;
};

/* Outlive the tests, whose teardown cancels them. */
static struct hf_download downloads[4];

static struct end ends[16];
static size_t end_count;
static struct peer peers[PEERS_MAX];
static size_t peer_count;
static uint64_t now_ms;

static inline int send_letter(void *owner, const struct iovec *parts, int count)
{
	struct end *end = owner;
	size_t length = 0;
	struct letter *letter;

	if (end->other->mux == NULL)
		return HF_OK;

	for (int i = 0; i < count; i++)
		length += parts[i].iov_len;
	letter = malloc(sizeof *letter + length);
	letter->next = NULL;
	letter->sent_ms = now_ms;
	letter->length = 0;
	for (int i = 0; i < count; i++) {
		memcpy(letter->data + letter->length, parts[i].iov_base, parts[i].iov_len);
		letter->length += parts[i].iov_len;
	}
	*end->other->last = letter;
	end->other->last = &letter->next;
	return HF_OK;
}

static inline bool is_congested(void *owner)
{
	(void)owner;
	return false;
}

static inline void on_error(void *owner, const struct hf_failure *failure)
{
	struct end *end = owner;

	snprintf(end->failure, sizeof end->failure, "%s", failure->text);
}

static inline void on_pending(void *context)
{
	((struct peer *)context)->pending = true;
}

static const struct hf_protomux_events mux_events = {.send = send_letter, .is_congested = is_congested, .error = on_error};

static inline struct peer *add_peer(void)
{
	struct peer *peer = &peers[peer_count++];
	struct hf_replicator_options options = {.size = sizeof options, .env = &peer->node.env, .on_pending = on_pending, .context = peer};

	memset(peer, 0, sizeof *peer);
	core_node_make(&peer->node, (uint8_t)peer_count);
	options.cores = peer->node.cores;
	assert_int_equal(hf_replicator_new(&peer->replicator, &options), HF_OK);
	return peer;
}

static inline struct end *connect_with(struct peer *a, struct peer *b, const uint8_t *hash_a, const uint8_t *hash_b)
{
	struct end *x = &ends[end_count++], *y = &ends[end_count++];
	struct hf_replicator_stream_options options = {.is_initiator = true, .handshake_hash = hash_a};

	*x = (struct end){.other = y, .last = &x->first};
	*y = (struct end){.other = x, .last = &y->first};
	hf_protomux_new(&mux_events, x, 1, NULL, &x->mux);
	hf_protomux_new(&mux_events, y, 2, NULL, &y->mux);
	options.mux = x->mux;
	assert_int_equal(hf_replicator_attach(a->replicator, &options, &x->stream), HF_OK);
	options = (struct hf_replicator_stream_options){.mux = y->mux, .handshake_hash = hash_b};
	assert_int_equal(hf_replicator_attach(b->replicator, &options, &y->stream), HF_OK);
	return x;
}

static inline struct end *connect_peers(struct peer *a, struct peer *b)
{
	static const uint8_t hash[HF_HANDSHAKE_HASH_BYTES] = {7};

	return connect_with(a, b, hash, hash);
}

/* Joins a replicator to a remote that the test plays: it knows the key of the core, and shakes hands as it should. What it hears goes to events.
 * Returns our end; the other is the remote's. */
static inline struct end *meet_remote(struct peer *ours, const struct hf_protomux_events *mux_of_ours, struct hf_core *core,
	const struct hf_channel_events *events, void *context, struct hf_channel **channel)
{
	static const uint8_t hash[HF_HANDSHAKE_HASH_BYTES] = {7};
	struct end *end = &ends[end_count++], *remote = &ends[end_count++];
	struct hf_replicator_stream_options stream = {.is_initiator = true, .handshake_hash = hash};
	struct hf_replication_handshake handshake = {.seeks = true};
	struct hf_buffer bytes = {0};
	struct hf_compact_writer out = hf_compact_writer(&bytes);

	*end = (struct end){.other = remote, .last = &end->first};
	*remote = (struct end){.other = end, .last = &remote->first};
	hf_protomux_new(mux_of_ours, end, 1, NULL, &end->mux);
	hf_protomux_new(&mux_events, remote, 2, NULL, &remote->mux);
	stream.mux = end->mux;
	assert_int_equal(hf_replicator_attach(ours->replicator, &stream, &end->stream), HF_OK);
	hf_replication_capability(handshake.capability, hash, false, hf_core_key(core));
	hf_replication_write_handshake(&out, &handshake);
	struct hf_channel_options options = {.protocol = HF_SLICE_LITERAL(HF_REPLICATION_PROTOCOL),
		.id = hf_slice(hf_core_discovery_key(core), 32), .handshake = hf_buffer_slice(&bytes), .events = events, .context = context};

	assert_int_equal(hf_protomux_open(remote->mux, &options, channel), HF_OK);
	hf_buffer_free(&bytes);
	return end;
}

static inline bool deliver_some(void)
{
	bool any = false;

	for (size_t i = 0; i < end_count; i++) {
		struct letter *letter = ends[i].first;

		if (letter == NULL || letter->sent_ms + ends[i].delay_ms > now_ms)
			continue;
		any = true;
		ends[i].first = letter->next;
		if (letter->next == NULL)
			ends[i].last = &ends[i].first;
		if (ends[i].mux != NULL)
			hf_protomux_recv(ends[i].mux, hf_slice(letter->data, letter->length));
		free(letter);
	}
	return any;
}

/* What time may change is looked at by the next tick, and what nobody needs any more is on its way out. */
static inline void assert_none_is_forgotten(struct hf_replicator *replicator)
{
	for (struct hf_shared_core *shared = replicator->shared; shared != NULL; shared = shared->next) {
		assert_true(shared->is_watched || !hf_shared_core_needs_tick(shared));
		assert_true(shared->is_watched || shared->needs_schedule || shared->replications != NULL || shared->peers != NULL);
	}
}

static inline void settle(void)
{
	for (bool any = true; any;) {
		any = deliver_some();
		for (size_t i = 0; i < peer_count; i++) {
			assert_none_is_forgotten(peers[i].replicator);
			hf_replicator_tick(peers[i].replicator, now_ms);
			assert_none_is_forgotten(peers[i].replicator);
			if (peers[i].pending) {
				peers[i].pending = false;
				any = true;
				hf_replicator_flush(peers[i].replicator, now_ms);
			}
			hf_corestore_settle(peers[i].node.cores);
			any |= peers[i].pending;
			assert_none_is_forgotten(peers[i].replicator);
		}
		now_ms++;
	}
}

/* So many rounds of everybody: with a remote that goes on without end, settle would not come to rest. */
static inline void turn(unsigned rounds)
{
	for (; rounds > 0; rounds--) {
		deliver_some();
		for (size_t i = 0; i < peer_count; i++) {
			assert_none_is_forgotten(peers[i].replicator);
			hf_replicator_tick(peers[i].replicator, now_ms);
			assert_none_is_forgotten(peers[i].replicator);
			peers[i].pending = false;
			hf_replicator_flush(peers[i].replicator, now_ms);
			hf_corestore_settle(peers[i].node.cores);
			assert_none_is_forgotten(peers[i].replicator);
		}
	}
}

/* As many milliseconds with a round in each. */
static inline void turn_loop(unsigned rounds)
{
	for (; rounds > 0; rounds--, now_ms++)
		turn(1);
}

static inline void join(struct peer *peer, const uint8_t *key)
{
	peer->core = key == NULL ? core_by_name(&peer->node, "log") : core_by_key(&peer->node, key);
	assert_int_equal(hf_replicator_join(peer->replicator, peer->core, &peer->replication), HF_OK);
}

static inline void drop_end(struct end *end)
{
	struct letter *letter;
	struct hf_protomux *mux = end->mux;

	end->mux = NULL;
	hf_replicator_detach(end->stream);
	hf_protomux_free(mux);
	end->stream = NULL;
	while ((letter = end->first) != NULL) {
		end->first = letter->next;
		free(letter);
	}
	end->last = &end->first;
}

static inline int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < end_count; i++)
		drop_end(&ends[i]);
	for (size_t i = 0; i < peer_count; i++) {
		hf_replication_leave(peers[i].replication);
		hf_replicator_free(peers[i].replicator);
		hf_core_unref(peers[i].core);
		core_node_remove(&peers[i].node);
	}
	end_count = peer_count = 0;
	return 0;
}

/* Everything but that commits come back. */
static inline void settle_before_commits(void)
{
	for (bool any = true; any;) {
		any = deliver_some();
		for (size_t i = 0; i < peer_count; i++) {
			any |= peers[i].pending;
			if (peers[i].pending) {
				peers[i].pending = false;
				hf_replicator_flush(peers[i].replicator, now_ms);
			}
		}
	}
}

static inline void append_numbers(struct peer *peer, int count)
{
	for (int i = 0; i < count; i++) {
		char text[40];
		struct hf_slice block;

		snprintf(text, sizeof text, "block %llu of fork %llu", (unsigned long long)hf_core_length(peer->core), (unsigned long long)hf_core_fork(peer->core));
		block = hf_slice_text(text);
		assert_int_equal(hf_core_append(peer->core, &block, 1, NULL), HF_OK);
	}
	core_commit(peer->core);
}

/* One writes so many blocks, the other joins the core; they are not connected yet. */
static inline void start_pair(struct peer *writer, struct peer *reader, int block_count)
{
	join(writer, NULL);
	append_numbers(writer, block_count);
	join(reader, hf_core_key(writer->core));
}

static inline void assert_same_cores(struct hf_core *a, struct hf_core *b)
{
	uint8_t hash_a[32], hash_b[32];
	struct hf_buffer x = {0}, y = {0};

	assert_int_equal(hf_core_length(a), hf_core_length(b));
	assert_int_equal(hf_core_fork(a), hf_core_fork(b));
	hf_tree_hash(hf_core_tree(a), hash_a);
	hf_tree_hash(hf_core_tree(b), hash_b);
	assert_memory_equal(hash_a, hash_b, 32);
	for (uint64_t i = 0; i < hf_core_length(a); i++) {
		hf_buffer_clear(&x);
		hf_buffer_clear(&y);
		assert_int_equal(hf_core_get(a, i, &x), HF_OK);
		assert_int_equal(hf_core_get(b, i, &y), HF_OK);
		assert_int_equal(x.length, y.length);
		assert_memory_equal(x.data, y.data, x.length);
	}
	hf_buffer_free(&x);
	hf_buffer_free(&y);
}

static inline struct hf_download *new_download(struct hf_download download)
{
	static size_t next;

	downloads[next % 4] = download;
	return &downloads[next++ % 4];
}

static int done_count;

static inline void count_done(struct hf_download *download)
{
	(void)download;
	done_count++;
}

static inline void count_heard(void *context)
{
	(void)context;
	done_count++;
}

#endif
