/* One channel: its opening, what is said of lengths and forks, and which message goes where. (spec 5.1, 5.3, 5.11) */
#include "peer/replicator_private.h"

#include <stdlib.h>

/* ---- Sync ---- */

static bool tree_is_ahead(const struct hf_core_peer *peer, const struct hf_tree *tree)
{
	return tree->fork == peer->remote_fork && tree->length > peer->remote_length;
}

/* Whether we can prove that our tree extends the remote's; remembered in upgradable_*. Where the disk has to be asked for that, it is
 * found out, and told, once it has answered. */
static bool can_upgrade_remote(struct hf_core_peer *peer)
{
	const struct hf_tree *tree = hf_core_committed_tree(peer->shared->core);
	int status = peer->remote_fork == tree->fork ? hf_core_can_upgrade_from(peer->shared->core, peer->remote_length) : HF_ENOTFOUND;

	peer->upgrade_is_cold = status == HF_EWAIT;
	if (status == HF_EWAIT)
		hf_shared_core_need_thaw(peer->shared);
	if (status == HF_OK) {
		peer->upgradable_length = peer->remote_length;
		peer->upgradable_fork = peer->remote_fork;
	}
	return status == HF_OK;
}

void hf_core_peer_sync(struct hf_core_peer *peer)
{
	struct hf_shared_core *shared = peer->shared;
	const struct hf_tree *tree = hf_core_committed_tree(shared->core);
	struct hf_replication_sync sync = {.fork = tree->fork, .length = tree->length, .is_uploading = true,
		.is_downloading = shared->is_downloading};

	/* Who has not said anything yet is taken to be on fork 0. The package asks as often as it may at once for what it is told that it can be
	 * given across forks. */
	if (tree->fork != peer->remote_fork)
		peer->can_upgrade = false;
	sync.remote_length = peer->remote_synced && tree->fork == peer->remote_fork ? peer->remote_length : 0;
	sync.can_upgrade = peer->can_upgrade;
	sync.allows_push = shared->allows_push && shared->is_downloading;
	peer->told_push |= sync.allows_push;
	sync.has_manifest = hf_core_manifest(shared->core) != NULL && !hf_core_is_compat(shared->core);
	hf_replication_write_sync(hf_core_peer_begin(peer, HF_REPLICATION_SYNC), &sync);
	hf_core_peer_end(peer);
}

void hf_core_peer_signal(struct hf_core_peer *peer)
{
	if (peer->remote_synced && tree_is_ahead(peer, hf_core_committed_tree(peer->shared->core)) && !peer->can_upgrade)
		peer->can_upgrade = can_upgrade_remote(peer);
	hf_core_peer_sync(peer);
}

static int on_sync(struct hf_core_peer *peer, struct hf_slice body)
{
	struct hf_shared_core *shared = peer->shared;
	const struct hf_tree *tree = hf_core_committed_tree(shared->core);
	struct hf_replication_sync sync;
	int status = hf_replication_read_sync(body, &sync);

	if (status != HF_OK)
		return hf_core_peer_fail(peer, status, "its sync message is malformed");
	bool length_changed = !peer->remote_synced || sync.length != peer->remote_length, same = sync.fork == tree->fork;

	if (peer->remote_synced && sync.fork != peer->remote_fork)
		hf_core_peer_leave_fork(peer);
	peer->remote_fork = sync.fork;
	peer->remote_length = sync.length;
	peer->remote_can_upgrade = sync.can_upgrade;
	peer->remote_uploading = sync.is_uploading;
	peer->remote_downloading = sync.is_downloading;
	peer->remote_has_manifest = sync.has_manifest;
	peer->remote_allows_push = sync.allows_push;
	peer->remote_synced = true;
	if (!sync.is_downloading && !shared->is_downloading) {
		hf_channel_close(peer->channel);
		return HF_OK;
	}
	peer->length_acked = same ? sync.remote_length : 0;
	if (sync.fork > hf_core_fork(shared->core))
		hf_core_peer_on_fork(peer);
	peer->can_upgrade = length_changed && same ? can_upgrade_remote(peer) : peer->can_upgrade && same;
	if (tree_is_ahead(peer, tree))
		hf_core_peer_signal(peer);
	hf_core_peer_schedule(peer); /* closed: nothing */
	/* Somebody may be waiting to hear that there is nothing new. */
	if (shared->updaters != NULL)
		hf_shared_core_schedule(shared);
	return HF_OK;
}

/* ---- Sending ---- */

struct hf_compact_writer *hf_core_peer_begin(struct hf_core_peer *peer, enum hf_replication_type type)
{
	struct hf_compact_writer *nowhere = &peer->shared->replicator->nowhere;

	*nowhere = (struct hf_compact_writer){.status = HF_ECLOSED};
	peer->begun = peer->channel;
	return peer->begun == NULL ? nowhere : hf_channel_begin(peer->begun, type);
}

int hf_core_peer_end(struct hf_core_peer *peer)
{
	return peer->begun == NULL ? HF_ECLOSED : hf_channel_end(peer->begun);
}

/* ---- Extensions ---- */

static struct hf_extension *find_extension(struct hf_extension *extension, struct hf_slice name)
{
	while (extension != NULL && !hf_slice_equal(hf_slice_text(extension->name), name))
		extension = extension->next;
	return extension;
}

static int on_extension(struct hf_core_peer *peer, struct hf_slice body)
{
	struct hf_replication_extension message;
	int status = hf_replication_read_extension(body, &message);

	if (status == HF_OK && message.name.length > 0) {
		hf_buffer_clear(&peer->extension_in);
		status = hf_buffer_append(&peer->extension_in, message.name.data, message.name.length);
	}
	if (status != HF_OK)
		return hf_core_peer_fail(peer, status, "its extension message is malformed");
	struct hf_extension *extension = find_extension(peer->shared->extensions, hf_buffer_slice(&peer->extension_in));

	if (extension == NULL)
		extension = find_extension(peer->shared->replicator->extensions, hf_buffer_slice(&peer->extension_in));
	if (extension != NULL)
		extension->message(extension, peer->shared->core, peer->channel, message.message);
	return HF_OK;
}

int hf_extension_send(struct hf_extension *extension, struct hf_channel *to, struct hf_slice message)
{
	struct hf_core_peer *peer = hf_channel_context(to);
	struct hf_replication_extension out = {.name = hf_slice_text(extension->name), .message = message};
	int status;

	if (hf_slice_equal(out.name, hf_buffer_slice(&peer->extension_out))) {
		out.name = hf_slice(NULL, 0);
	} else {
		hf_buffer_clear(&peer->extension_out);
		status = hf_buffer_append(&peer->extension_out, out.name.data, out.name.length);
		if (status != HF_OK)
			return status;
	}
	hf_replication_write_extension(hf_channel_begin(to, HF_REPLICATION_EXTENSION), &out);
	status = hf_channel_end(to);
	if (status != HF_OK)
		hf_buffer_clear(&peer->extension_out); /* the remote has not got the name */
	return status;
}

void hf_extension_broadcast(struct hf_extension *extension, struct hf_replication *replication, struct hf_slice message)
{
	for (struct hf_core_peer *peer = replication->shared->peers; peer != NULL; peer = peer->next)
		if (peer->is_open)
			hf_extension_send(extension, peer->channel, message);
}

void hf_replicator_add_extension(struct hf_replicator *replicator, struct hf_extension *extension)
{
	extension->next = replicator->extensions;
	replicator->extensions = extension;
}

void hf_replication_add_extension(struct hf_replication *replication, struct hf_extension *extension)
{
	extension->replication = replication;
	extension->next = replication->shared->extensions;
	replication->shared->extensions = extension;
}

void hf_replication_remove_extension(struct hf_replication *replication, struct hf_extension *extension)
{
	struct hf_extension **place = &replication->shared->extensions;

	while (*place != NULL && *place != extension)
		place = &(*place)->next;
	if (*place != NULL)
		*place = extension->next;
	extension->replication = NULL;
}

/* ---- The channel ---- */

int hf_core_peer_fail(struct hf_core_peer *peer, int status, const char *sentence)
{
	hf_protomux_fail(peer->stream->mux, status, "core replication: %s", sentence);
	return status;
}

static int on_open(struct hf_channel *channel, void *context, struct hf_slice handshake)
{
	struct hf_core_peer *peer = context;
	struct hf_core *core = peer->shared->core;
	struct hf_replication_handshake theirs;
	uint8_t expected[HF_REPLICATION_CAPABILITY_BYTES];

	(void)channel;
	if (hf_replication_read_handshake(handshake, &theirs) != HF_OK)
		return hf_core_peer_fail(peer, HF_EMALFORMED, "its handshake is malformed");
	hf_replication_capability(expected, peer->stream->handshake_hash, !peer->stream->is_initiator, hf_core_key(core));
	if (!hf_bytes_equal_secret(expected, theirs.capability, sizeof expected))
		return hf_core_peer_fail(peer, HF_EBADSIG, "it does not know the core's key");
	peer->is_open = true;
	peer->can_upgrade = hf_core_can_upgrade_from(core, 0) == HF_OK;
	hf_protomux_cork(peer->stream->mux);
	hf_core_peer_sync(peer);
	if (hf_core_blocks(core)->contiguous > 0) {
		uint64_t contiguous = hf_core_blocks(core)->contiguous, length = hf_core_committed_tree(core)->length;

		contiguous = contiguous < length ? contiguous : length;
		hf_core_peer_send_range(peer, false, 0, contiguous);
	}
	hf_protomux_uncork(peer->stream->mux);
	hf_core_peer_schedule(peer);
	return HF_OK;
}

static int on_data(struct hf_core_peer *peer, struct hf_slice body)
{
	struct hf_replication_data message;
	int status = hf_replication_read_data(body, &message);

	return hf_core_peer_on_data(peer, status, &message);
}

static int on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	static int (*const handlers[HF_REPLICATION_TYPES])(struct hf_core_peer *peer, struct hf_slice body) = {
		[HF_REPLICATION_SYNC] = on_sync,
		[HF_REPLICATION_REQUEST] = hf_core_peer_on_request,
		[HF_REPLICATION_CANCEL] = hf_core_peer_on_cancel,
		[HF_REPLICATION_DATA] = on_data,
		[HF_REPLICATION_NO_DATA] = hf_core_peer_on_no_data,
		[HF_REPLICATION_WANT] = hf_core_peer_on_want,
		[HF_REPLICATION_UNWANT] = hf_core_peer_on_unwant,
		[HF_REPLICATION_BITFIELD] = hf_core_peer_on_bitfield,
		[HF_REPLICATION_RANGE] = hf_core_peer_on_range,
		[HF_REPLICATION_EXTENSION] = on_extension,
	};
	struct hf_core_peer *peer = context;

	(void)channel;
	peer->heard_ms = peer->shared->replicator->now_ms;
	if (type == HF_REPLICATION_DATA && hf_core_peer_hold(peer, body))
		return HF_OK;
	if (peer->shared->replicator->held.peer == peer)
		hf_replicator_take_held(peer->shared->replicator);
	return peer->is_open ? handlers[type](peer, body) : HF_OK;
}

static void unlink_peer(struct hf_core_peer *peer)
{
	HF_LIST_REMOVE(peer->shared->peers, peer);
	HF_LIST_REMOVE_BY(peer->stream->peers, peer, next_of_stream, previous_of_stream);
}

void hf_core_peer_free(struct hf_core_peer *peer)
{
	hf_core_peer_drop_questions(peer);
	hf_u64_map_free(&peer->asked_units);
	hf_u64_map_free(&peer->pushed_early);
	hf_buffer_free(&peer->extension_in);
	hf_buffer_free(&peer->extension_out);
	free(peer->slots);
	free(peer->wants);
	free(peer);
}

static void on_close(struct hf_channel *channel, void *context, enum hf_channel_end end)
{
	struct hf_core_peer *peer = context;
	struct hf_shared_core *shared = peer->shared;
	struct hf_replicator_stream *stream = peer->stream;
	bool was_open = peer->is_open;

	(void)channel;
	peer->is_open = false;
	peer->channel = NULL;
	if (end == HF_CHANNEL_LOCAL)
		hf_core_peer_drop_held(peer);
	else if (shared->replicator->held.peer == peer)
		hf_replicator_take_held(shared->replicator);
	hf_core_peer_leave_fork(peer);
	hf_core_peer_drop_requests(peer);
	unlink_peer(peer);
	stream->remote_page_count -= peer->remote_blocks.pages.count;
	stream->question_count -= peer->question_count;
	hf_bitfield_free(&peer->remote_blocks);
	peer->next_closed = shared->replicator->closed;
	shared->replicator->closed = peer;
	HF_SHARED_CORE_COUNT(shared, channels, -1);
	if (shared->replications == NULL && shared->peers == NULL) /* there is nobody to say it to, and perhaps no tick that would end it */
		shared->is_downloading = false;
	if (end == HF_CHANNEL_REMOTE && !was_open)
		HF_SHARED_CORE_COUNT(shared, channels_rejected, 1);
	/* It went because it thought that neither side needs the channel; we do. */
	if (end == HF_CHANNEL_REMOTE && was_open && hf_shared_core_is_active(shared))
		hf_core_peer_open(stream, shared);
	hf_shared_core_schedule(shared);
}

static void on_drain(struct hf_channel *channel, void *context)
{
	(void)channel;
	hf_core_peer_answer_wants(context);
	hf_core_peer_answer(context);
}

static const struct hf_channel_events channel_events = {
	.message_types = HF_REPLICATION_TYPES, .open = on_open, .message = on_message, .close = on_close, .drain = on_drain,
};

/* By the shorter of the two lists: a stream may have the channels of a hundred thousand cores, or a core those of all streams. */
static bool has_channel(const struct hf_replicator_stream *stream, const struct hf_shared_core *shared)
{
	const struct hf_core_peer *of_stream = stream->peers, *of_core = shared->peers;

	for (; of_stream != NULL && of_core != NULL; of_stream = of_stream->next_of_stream, of_core = of_core->next)
		if (of_stream->shared == shared || of_core->stream == stream)
			return true;
	return false;
}

int hf_core_peer_open(struct hf_replicator_stream *stream, struct hf_shared_core *shared)
{
	static const struct hf_slice alias = {(const uint8_t *)HF_REPLICATION_ALIAS, sizeof HF_REPLICATION_ALIAS - 1};
	struct hf_replication_handshake ours = {.seeks = true};
	uint8_t bytes[HF_REPLICATION_HANDSHAKE_BYTES + 8];
	struct hf_buffer handshake = {.data = bytes, .capacity = sizeof bytes};
	struct hf_compact_writer writer = hf_compact_writer(&handshake);
	struct hf_core_peer *peer;
	int status;

	if (has_channel(stream, shared))
		return HF_EEXISTS;
	peer = calloc(1, sizeof *peer);
	if (peer == NULL)
		return HF_ENOMEM;
	peer->shared = shared;
	peer->stream = stream;
	peer->remote_uploading = peer->remote_downloading = true;
	peer->remote_blocks.page_count_max = HF_REPLICATOR_REMOTE_PAGES_MAX;
	peer->window = HF_REPLICATOR_WINDOW_START;
	peer->first_free = HF_PEER_NO_SLOT;
	peer->next_order = 1;
	peer->questions_end = &peer->questions;
	stream->replicator->options.env->random(stream->replicator->options.env, &peer->remote_blocks.pages.seed, sizeof(uint64_t));
	HF_LIST_PUSH(shared->peers, peer);
	HF_LIST_PUSH_BY(stream->peers, peer, next_of_stream, previous_of_stream);
	HF_SHARED_CORE_COUNT(shared, channels, 1);
	hf_replication_capability(ours.capability, stream->handshake_hash, stream->is_initiator, hf_core_key(shared->core));
	hf_replication_write_handshake(&writer, &ours);
	struct hf_channel_options options = {.protocol = HF_SLICE_LITERAL(HF_REPLICATION_PROTOCOL), .id =
		hf_slice(hf_core_discovery_key(shared->core), 32),
		.handshake = hf_buffer_slice(&handshake), .aliases = &alias, .alias_count = 1, .events = &channel_events, .context = peer};

	/* HF_ECANCELED: a callback has closed it again, and the peer is gone. */
	status = hf_protomux_open(stream->mux, &options, &peer->channel);
	if (status == HF_OK || status == HF_ECANCELED)
		return HF_OK;
	unlink_peer(peer);
	HF_SHARED_CORE_COUNT(shared, channels, -1);
	free(peer);
	return status;
}
