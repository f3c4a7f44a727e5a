/* replicator_puppet: remotes that are played by the test, beside a writer and a reader that are what they say. */
#ifndef HF_TEST_REPLICATOR_PUPPET_H
#define HF_TEST_REPLICATOR_PUPPET_H

#include "replicator_fixture.h"

#define PUPPETS_MAX 4
#define HEARD_MAX 4096

/* A remote that is played by the test. It notes what it is asked; what it answers is up to the test. */
struct puppet {
	struct hf_channel *channel;
	struct hf_replication_request requests[HEARD_MAX];
	struct hf_replication_no_data refusals[HEARD_MAX];
	size_t request_count, refusal_count;
	void (*on_request)(struct puppet *puppet, const struct hf_replication_request *request);
};

static struct puppet puppets[PUPPETS_MAX];
static size_t puppet_count;

static int hear_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct puppet *puppet = context;
	struct hf_replication_request *request = &puppet->requests[puppet->request_count];

	(void)channel;
	if (type == HF_REPLICATION_NO_DATA && puppet->refusal_count < HEARD_MAX)
		assert_int_equal(hf_replication_read_no_data(body, &puppet->refusals[puppet->refusal_count++]), HF_OK);
	if (type != HF_REPLICATION_REQUEST || puppet->request_count == HEARD_MAX)
		return HF_OK;
	assert_int_equal(hf_replication_read_request(body, request), HF_OK);
	puppet->request_count++;
	if (puppet->on_request != NULL)
		puppet->on_request(puppet, request);
	return HF_OK;
}

static const struct hf_channel_events puppet_events = {.message_types = HF_REPLICATION_TYPES, .message = hear_message};

static struct puppet *connect_puppet(struct peer *peer)
{
	struct puppet *puppet = &puppets[puppet_count++];

	memset(puppet, 0, sizeof *puppet);
	meet_remote(peer, &mux_events, peer->core, &puppet_events, puppet, &puppet->channel);
	return puppet;
}

static void claim_length(struct puppet *puppet, uint64_t fork, uint64_t length, uint64_t ours, bool uploads)
{
	struct hf_replication_sync sync = {.fork = fork, .length = length, .remote_length = ours, .can_upgrade = true,
		.is_uploading = uploads, .is_downloading = true, .has_manifest = true};

	hf_replication_write_sync(hf_channel_begin(puppet->channel, HF_REPLICATION_SYNC), &sync);
	hf_channel_end(puppet->channel);
}

/* That it has so many blocks, and knows how many we have. */
static void claim(struct puppet *puppet, uint64_t fork, uint64_t length, uint64_t ours, bool uploads)
{
	struct hf_replication_range range = {.start = 0, .length = length};

	hf_replication_write_range(hf_channel_begin(puppet->channel, HF_REPLICATION_RANGE), &range);
	hf_channel_end(puppet->channel);
	claim_length(puppet, fork, length, ours, uploads);
}

/* As the core proves it; with another block, if there is one. */
static void answer_with(struct puppet *puppet, struct hf_core *core, const struct hf_replication_request *request, struct hf_slice block)
{
	struct hf_buffer nodes = {0}, body = {0};
	struct hf_compact_writer out = hf_compact_writer(&body);
	struct hf_replication_data data = {.request = request->id};

	assert_int_equal(hf_core_prove(core, request->fork, &request->proof, &nodes, &data.proof), HF_OK);
	if (block.length > 0)
		data.proof.block.value = block;
	hf_replication_write_data(&out, &data);
	hf_channel_send(puppet->channel, HF_REPLICATION_DATA, &(struct iovec){body.data, body.length}, 1);
	hf_buffer_free(&nodes);
	hf_buffer_free(&body);
}

static inline void answer_truly(struct puppet *puppet, struct hf_core *core, const struct hf_replication_request *request)
{
	answer_with(puppet, core, request, hf_slice(NULL, 0));
}

static struct peer *writer, *reader;

/* The reader knows the tree of ten blocks, and has none of them. Puppets that come now are asked first. */
static void begin(void)
{
	puppet_count = 0;
	done_count = 0;
	now_ms = 1000000;
	writer = add_peer();
	reader = add_peer();
	start_pair(writer, reader, 10);
	connect_peers(writer, reader);
	settle();
	assert_int_equal(hf_core_length(reader->core), 10);
}

/* The same, with nobody left who could be asked but the puppets that come. */
static void begin_alone(void)
{
	begin();
	drop_end(&ends[1]);
	drop_end(&ends[0]);
}

static inline void truncate_writer(void)
{
	assert_int_equal(hf_core_truncate(writer->core, 4, HF_CORE_NEXT_FORK), HF_OK);
	append_numbers(writer, 4);
}

#endif
