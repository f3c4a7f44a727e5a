#include "peer/replicator_private.h"

#include <stdlib.h>

#include "base/options.h"

#define LINGER_MS_MIN 20000 /* how long we still say that we download after the last one left, plus up to as much again */

struct hf_pending_open {
	struct hf_pending_open *next;
	uint8_t discovery_key[32];
};

/* ---- Pending work ---- */

void hf_replicator_pend(struct hf_replicator *replicator)
{
	if (replicator->is_pending)
		return;
	replicator->is_pending = true;
	if (replicator->options.on_pending != NULL)
		replicator->options.on_pending(replicator->options.context);
}

void hf_shared_core_watch(struct hf_shared_core *shared)
{
	if (shared->is_watched)
		return;
	shared->is_watched = true;
	HF_LIST_PUSH_BY(shared->replicator->watched, shared, next_watched, previous_watched);
}

static void unwatch(struct hf_shared_core *shared)
{
	if (!shared->is_watched)
		return;
	shared->is_watched = false;
	HF_LIST_REMOVE_BY(shared->replicator->watched, shared, next_watched, previous_watched);
}

void hf_shared_core_schedule(struct hf_shared_core *shared)
{
	struct hf_replicator *replicator = shared->replicator;

	hf_shared_core_watch(shared);
	if (!shared->needs_schedule) {
		shared->needs_schedule = true;
		shared->next_due = NULL;
		*replicator->due_end = shared;
		replicator->due_end = &shared->next_due;
	}
	hf_replicator_pend(replicator);
}

static void need_thaw(struct hf_replicator *replicator)
{
	replicator->needs_thaw = true;
	hf_replicator_pend(replicator);
}

void hf_shared_core_need_thaw(struct hf_shared_core *shared)
{
	shared->is_cold = true;
	hf_shared_core_watch(shared);
	need_thaw(shared->replicator);
}

static void answer_pending_opens(struct hf_replicator_stream *stream);

/* Frees the core peers that have closed. Only while nothing walks over peers. */
void hf_replicator_reap(struct hf_replicator *replicator)
{
	struct hf_core_peer *peer;

	while ((peer = replicator->closed) != NULL) {
		replicator->closed = peer->next_closed;
		hf_core_peer_free(peer);
	}
}

static void thaw_core(struct hf_shared_core *shared)
{
	shared->is_cold = false;
	for (struct hf_core_peer *peer = shared->peers, *next; peer != NULL; peer = next) {
		struct hf_protomux *mux = peer->stream->mux;

		next = peer->next;
		hf_protomux_cork(mux);
		hf_core_peer_thawed(peer);
		hf_protomux_uncork(mux);
	}
	hf_shared_core_schedule(shared);
}

/* Everything that waited for the disk is tried again. As in a tick, no core lets go of another. */
static void thawed(struct hf_corestore_thaw *thaw)
{
	struct hf_replicator *replicator = HF_CONTAINER_OF(thaw, struct hf_replicator, thaw);

	replicator->is_thawing = false;
	for (struct hf_replicator_stream *stream = replicator->streams; stream != NULL; stream = stream->next)
		answer_pending_opens(stream);
	for (struct hf_shared_core *shared = replicator->watched, *next; shared != NULL; shared = next) {
		next = shared->next_watched;
		if (shared->is_cold)
			thaw_core(shared);
	}
}

/* Peers are asked in the order of the list. Without this, the same two that never answer could hand a request to each other for ever. */
static void put_late_last(struct hf_shared_core *shared)
{
	struct hf_core_peer *late = NULL, **late_end = &late, *last = NULL;

	if (!shared->has_late)
		return;
	shared->has_late = false;
	for (struct hf_core_peer *peer = shared->peers, *next; peer != NULL; peer = next) {
		next = peer->next;
		if (!peer->is_late) {
			last = peer;
			continue;
		}
		peer->is_late = false;
		HF_LIST_REMOVE(shared->peers, peer);
		peer->next = NULL;
		*late_end = peer;
		late_end = &peer->next;
	}
	if (last == NULL)
		shared->peers = late;
	else
		last->next = late;
	for (; late != NULL; last = late, late = late->next)
		late->previous = last;
}

static void flush_core(struct hf_shared_core *shared)
{
	if (shared->needs_commit) {
		shared->needs_commit = false;
		hf_core_commit(shared->core, HF_DURABLE_OS, NULL, NULL);
	}
	put_late_last(shared);
	hf_shared_core_check_seeks(shared);
	for (struct hf_core_peer *peer = shared->peers, *next; peer != NULL; peer = next) {
		next = peer->next;
		hf_core_peer_schedule(peer);
	}
	hf_shared_core_check_updaters(shared);
	hf_shared_core_check_downloads(shared);
}

/* Those that have become due by now: what they do may make others due, or themselves again, and that is for the next flush. */
static void flush_due(struct hf_replicator *replicator)
{
	struct hf_shared_core *shared = replicator->due, *next;

	replicator->due = NULL;
	replicator->due_end = &replicator->due;
	for (; shared != NULL; shared = next) {
		next = shared->next_due;
		shared->needs_schedule = false;
		flush_core(shared);
		hf_shared_core_release(shared);
	}
}

void hf_replicator_flush(struct hf_replicator *replicator, uint64_t now_ms)
{
	replicator->is_pending = false;
	replicator->now_ms = now_ms;
	hf_replicator_take_held(replicator);
	hf_replicator_reap(replicator);
	for (struct hf_replicator_stream *stream = replicator->streams; stream != NULL; stream = stream->next) {
		hf_protomux_cork(stream->mux);
		stream->is_corked = true; /* a callback may attach another */
	}
	flush_due(replicator);
	for (struct hf_replicator_stream *stream = replicator->streams, *next; stream != NULL; stream = next) {
		next = stream->next;
		if (stream->is_corked)
			hf_protomux_uncork(stream->mux);
		stream->is_corked = false;
	}
	if (!replicator->needs_thaw || replicator->is_thawing)
		return;
	replicator->thaw.done = thawed;
	if (hf_corestore_thaw(replicator->cores, &replicator->thaw) == HF_OK) {
		replicator->is_thawing = true;
		replicator->needs_thaw = false;
	}
}

/* ---- Time ---- */

/* We stop saying that we download; a channel that neither side needs is closed. */
static void become_idle(struct hf_shared_core *shared)
{
	shared->is_downloading = false;
	for (struct hf_core_peer *peer = shared->peers, *next; peer != NULL; peer = next) {
		next = peer->next;
		if (peer->is_open && !peer->remote_downloading && peer->remote_synced)
			hf_channel_close(peer->channel);
		else if (peer->is_open)
			hf_core_peer_signal(peer);
	}
}

/* Somebody who owes an answer may have to be replaced, and nothing else tells of that. */
static bool is_owed_something(const struct hf_shared_core *shared)
{
	return shared->in_flight.count > 0 || shared->upgrade_peer != NULL || shared->seeks != NULL;
}

/* Nobody has it joined, and peers are still told that we download. */
static bool is_lingering(const struct hf_shared_core *shared)
{
	return shared->replications == NULL && shared->is_downloading;
}

bool hf_shared_core_needs_tick(const struct hf_shared_core *shared)
{
	if (is_owed_something(shared) || is_lingering(shared) || shared->search != NULL || shared->updaters != NULL || shared->is_cold)
		return true;
	for (const struct hf_core_peer *peer = shared->peers; peer != NULL; peer = peer->next)
		if (peer->questions != NULL || peer->conflict_asked)
			return true;
	return false;
}

static void tick_core(struct hf_shared_core *shared)
{
	hf_shared_core_check_search(shared);
	if (is_owed_something(shared))
		hf_shared_core_schedule(shared);
	hf_shared_core_check_updaters(shared);
	for (struct hf_core_peer *peer = shared->peers, *next; peer != NULL; peer = next) {
		next = peer->next;
		hf_core_peer_answer(peer);
		hf_core_peer_check_conflict(peer);
	}
	if (is_lingering(shared) && shared->idle_at_ms <= shared->replicator->now_ms)
		become_idle(shared);
}

/* What is done to one core does not let go of another, and those that it has watched stand in front. */
void hf_replicator_tick(struct hf_replicator *replicator, uint64_t now_ms)
{
	replicator->now_ms = now_ms;
	hf_replicator_reap(replicator);
	for (struct hf_shared_core *shared = replicator->watched, *next; shared != NULL; shared = next) {
		next = shared->next_watched;
		tick_core(shared);
		if (!hf_shared_core_needs_tick(shared))
			unwatch(shared);
		hf_shared_core_release(shared);
	}
	if (replicator->needs_thaw)
		hf_replicator_pend(replicator);
}

void hf_replicator_count_end(struct hf_replicator *replicator, int code)
{
	/* Not HF_EDENIED: so ends whom we have sent away. */
	if (code == HF_EMALFORMED || code == HF_ETOOBIG || code == HF_EBADSIG || code == HF_EVERSION)
		replicator->stats.peers_failed++;
}

/* ---- Shared cores ---- */

bool hf_shared_core_is_active(const struct hf_shared_core *shared)
{
	return shared->replications != NULL && !shared->is_withheld && !hf_core_is_frozen(shared->core);
}

static void for_each_peer(struct hf_shared_core *shared, void (*act)(struct hf_core_peer *peer))
{
	for (struct hf_core_peer *peer = shared->peers, *next; peer != NULL; peer = next) {
		next = peer->next;
		if (peer->is_open)
			act(peer);
	}
}

static void close_channel(struct hf_core_peer *peer)
{
	hf_channel_close(peer->channel);
}

static void on_core_event(struct hf_core_listener *listener, enum hf_core_event event, uint64_t from, uint64_t to)
{
	struct hf_shared_core *shared = HF_CONTAINER_OF(listener, struct hf_shared_core, listener);
	uint64_t *place;

	switch (event) {
	case HF_CORE_HELD:
		for (struct hf_core_peer *peer = shared->peers; peer != NULL; peer = peer->next)
			if (peer->is_open)
				hf_core_peer_tell_held(peer, from, to);
		for (uint64_t block = from; block < to && shared->wanted.count > 0; block++)
			hf_u64_map_remove(&shared->wanted, block);
		hf_shared_core_check_downloads(shared);
		hf_shared_core_schedule(shared); /* there may not have been room to ask for more until this was committed */
		return;
	case HF_CORE_CLEARED:
	case HF_CORE_TRUNCATED:
		hf_shared_core_take_waiters(shared);
		for (struct hf_core_peer *peer = shared->peers; peer != NULL; peer = peer->next) {
			if (peer->is_open && to > from)
				hf_core_peer_send_range(peer, true, from, to - from);
			if (peer->sent_contiguous > from)
				peer->sent_contiguous = from;
		}
		if (event == HF_CORE_TRUNCATED)
			for_each_peer(shared, hf_core_peer_signal);
		hf_shared_core_schedule(shared);
		return;
	case HF_CORE_GREW:
	case HF_CORE_MANIFEST:
		for_each_peer(shared, hf_core_peer_signal);
		hf_shared_core_schedule(shared);
		return;
	case HF_CORE_WANTED:
		place = hf_u64_map_put(&shared->wanted, from);
		if (place != NULL)
			hf_shared_core_schedule(shared);
		return;
	case HF_CORE_UNWANTED:
		hf_u64_map_remove(&shared->wanted, from);
		hf_shared_core_cancel_block(shared, from);
		hf_shared_core_schedule(shared); /* the request may have been for a download or for more of the tree, too */
		return;
	case HF_CORE_FROZEN:
		for_each_peer(shared, close_channel);
		return;
	case HF_CORE_FAILED:
		hf_shared_core_take_waiters(shared);
		hf_shared_core_schedule(shared);
		return;
	}
}

void hf_shared_core_take_waiters(struct hf_shared_core *shared)
{
	uint64_t block;
	size_t cursor = 0;

	while (hf_core_next_wanted(shared->core, &cursor, &block))
		if (hf_u64_map_get(&shared->in_flight, block) == NULL)
			hf_u64_map_put(&shared->wanted, block);
}

int hf_shared_core_get(struct hf_replicator *replicator, struct hf_core *core, struct hf_shared_core **out)
{
	struct hf_slice key = hf_slice(hf_core_discovery_key(core), 32);
	struct hf_shared_core *shared = hf_map_get(&replicator->by_discovery_key, key);

	*out = shared;
	if (shared != NULL)
		return HF_OK;
	shared = calloc(1, sizeof *shared);
	if (shared == NULL || hf_map_put(&replicator->by_discovery_key, key, shared, NULL) != HF_OK) {
		free(shared);
		return HF_ENOMEM;
	}
	shared->replicator = replicator;
	shared->core = hf_core_ref(core);
	shared->listener.event = on_core_event;
	hf_core_listen(core, &shared->listener);
	HF_LIST_PUSH(replicator->shared, shared);
	hf_shared_core_take_waiters(shared);
	hf_shared_core_watch(shared); /* and released, should nobody come to need it */
	*out = shared;
	return HF_OK;
}

void hf_shared_core_release(struct hf_shared_core *shared)
{
	struct hf_replicator *replicator = shared->replicator;

	if (shared->needs_schedule || shared->replications != NULL || shared->peers != NULL)
		return;
	if (shared->is_downloading && shared->idle_at_ms > replicator->now_ms)
		return;
	hf_shared_core_drop_search(shared);
	hf_core_unlisten(shared->core, &shared->listener);
	hf_map_remove(&replicator->by_discovery_key, hf_slice(hf_core_discovery_key(shared->core), 32));
	HF_LIST_REMOVE(replicator->shared, shared);
	unwatch(shared);
	hf_u64_map_free(&shared->in_flight);
	hf_u64_map_free(&shared->wanted);
	hf_core_unref(shared->core);
	free(shared);
}

/* ---- Joining ---- */

/* On every stream that has none. */
static void open_channels(struct hf_shared_core *shared)
{
	struct hf_replicator_stream *stream = shared->replicator->streams;

	for (; stream != NULL && hf_shared_core_is_active(shared); stream = stream->next)
		hf_core_peer_open(stream, shared);
}

int hf_replicator_join(struct hf_replicator *replicator, struct hf_core *core, struct hf_replication **out)
{
	struct hf_replication *replication = calloc(1, sizeof *replication);
	struct hf_shared_core *shared;

	if (replication == NULL || hf_shared_core_get(replicator, core, &shared) != HF_OK) {
		free(replication);
		return HF_ENOMEM;
	}
	bool was_downloading = shared->is_downloading;

	replication->shared = shared;
	HF_LIST_PUSH(shared->replications, replication);
	shared->is_downloading = true;
	open_channels(shared);
	if (!was_downloading)
		for_each_peer(shared, hf_core_peer_signal);
	hf_shared_core_schedule(shared);
	*out = replication;
	return HF_OK;
}

static void drop_updaters(const struct hf_replication *replication, struct hf_updater **place)
{
	struct hf_updater *updater;

	while ((updater = *place) != NULL) {
		if (updater->replication != replication) {
			place = &updater->next;
			continue;
		}
		*place = updater->next;
		free(updater);
	}
}

void hf_replication_leave(struct hf_replication *replication)
{
	if (replication == NULL)
		return;
	struct hf_shared_core *shared = replication->shared;
	struct hf_replicator *replicator = shared->replicator;
	uint32_t random;

	for (struct hf_download *download = shared->downloads, *next; download != NULL; download = next) {
		next = download->next;
		if (download->replication == replication)
			hf_download_cancel(download);
	}
	for (struct hf_seek_wait *wait = shared->seeks, *next; wait != NULL; wait = next) {
		next = wait->next;
		if (wait->replication == replication)
			hf_seek_wait_cancel(wait);
	}
	for (struct hf_extension *extension = shared->extensions, *next; extension != NULL; extension = next) {
		next = extension->next;
		if (extension->replication == replication)
			hf_replication_remove_extension(replication, extension);
	}
	drop_updaters(replication, &shared->updaters);
	drop_updaters(replication, &shared->heard);
	if (replication->previous == NULL && replication->next == NULL)
		hf_replication_allow_push(replication, false);
	HF_LIST_REMOVE(shared->replications, replication);
	free(replication);
	if (shared->replications == NULL) {
		shared->is_withheld = false;
		replicator->options.env->random(replicator->options.env, &random, sizeof random);
		shared->idle_at_ms = replicator->now_ms + LINGER_MS_MIN + random % LINGER_MS_MIN;
		if (shared->peers == NULL)
			shared->is_downloading = false;
	}
	hf_shared_core_schedule(shared);
}

void hf_replication_withhold(struct hf_replication *replication, bool withheld)
{
	struct hf_shared_core *shared = replication->shared;

	if (shared->is_withheld == withheld)
		return;
	shared->is_withheld = withheld;
	if (withheld)
		for_each_peer(shared, close_channel);
	else
		open_channels(shared);
}

struct hf_core *hf_replication_core(const struct hf_replication *replication)
{
	return replication->shared->core;
}

uint32_t hf_replication_peer_count(const struct hf_replication *replication)
{
	uint32_t count = 0;

	for (const struct hf_core_peer *peer = replication->shared->peers; peer != NULL; peer = peer->next)
		count += peer->is_open;
	return count;
}

/* ---- Streams ---- */

static int open_if_kept(struct hf_replicator_stream *stream, const uint8_t discovery_key[static 32])
{
	struct hf_replicator *replicator = stream->replicator;
	struct hf_core_options options = {.size = sizeof options, .discovery_key = discovery_key, .must_exist = true};
	struct hf_shared_core *shared = hf_map_get(&replicator->by_discovery_key, hf_slice(discovery_key, 32));
	struct hf_core *core;
	int status;

	if (shared != NULL)
		return shared->is_withheld || hf_core_is_frozen(shared->core) ? HF_ENOTFOUND : hf_core_peer_open(stream, shared);
	if (replicator->options.may_serve != NULL && !replicator->options.may_serve(replicator->options.context, discovery_key))
		return HF_ENOTFOUND;
	status = hf_corestore_get(replicator->cores, &options, &core, NULL);
	if (status != HF_OK)
		return status;
	status = hf_core_is_frozen(core) ? HF_ENOTFOUND : hf_shared_core_get(replicator, core, &shared);
	if (status == HF_OK)
		status = hf_core_peer_open(stream, shared);
	hf_core_unref(core);
	return status;
}

/* The remote opened a channel that we had not. */
static int on_remote_open(void *context, struct hf_protomux *mux, struct hf_slice protocol, struct hf_slice id)
{
	struct hf_replicator_stream *stream = context;
	struct hf_pending_open *pending;
	int status;

	(void)mux;
	(void)protocol;
	hf_replicator_reap(stream->replicator); /* who opens and closes without end must not fill the memory meanwhile */
	if (id.length != 32)
		return HF_EMALFORMED;
	status = open_if_kept(stream, id.data);
	if (status != HF_EWAIT)
		return HF_OK; /* what was not opened is rejected */
	pending = calloc(1, sizeof *pending);
	if (pending == NULL)
		return HF_ENOMEM;
	memcpy(pending->discovery_key, id.data, 32);
	pending->next = stream->pending;
	stream->pending = pending;
	need_thaw(stream->replicator);
	return HF_EWAIT;
}

static void answer_pending_opens(struct hf_replicator_stream *stream)
{
	struct hf_pending_open *pending = stream->pending, *next;

	stream->pending = NULL;
	for (; pending != NULL; pending = next) {
		int status = open_if_kept(stream, pending->discovery_key);

		next = pending->next;
		if (status == HF_EWAIT) {
			pending->next = stream->pending;
			stream->pending = pending;
			need_thaw(stream->replicator);
			continue;
		}
		if (status != HF_OK)
			hf_protomux_reject(stream->mux, HF_SLICE_LITERAL(HF_REPLICATION_PROTOCOL), hf_slice(pending->discovery_key, 32));
		free(pending);
	}
}

int hf_replicator_attach(struct hf_replicator *replicator, const struct hf_replicator_stream_options *options,
	struct hf_replicator_stream **out)
{
	struct hf_replicator_stream *stream = calloc(1, sizeof *stream);
	int status;

	if (stream == NULL)
		return HF_ENOMEM;
	stream->replicator = replicator;
	stream->mux = options->mux;
	stream->is_initiator = options->is_initiator;
	memcpy(stream->handshake_hash, options->handshake_hash, sizeof stream->handshake_hash);
	status = hf_protomux_pair(stream->mux, HF_SLICE_LITERAL(HF_REPLICATION_PROTOCOL), hf_slice(NULL, 0), on_remote_open, stream);
	if (status != HF_OK) {
		free(stream);
		return status;
	}
	HF_LIST_PUSH(replicator->streams, stream);
	replicator->stats.streams++;
	hf_protomux_cork(stream->mux);
	for (struct hf_shared_core *shared = replicator->shared; shared != NULL; shared = shared->next)
		if (hf_shared_core_is_active(shared))
			hf_core_peer_open(stream, shared);
	*out = stream;
	hf_protomux_uncork(stream->mux);
	return HF_OK;
}

void hf_replicator_detach(struct hf_replicator_stream *stream)
{
	if (stream == NULL)
		return;
	struct hf_replicator *replicator = stream->replicator;
	struct hf_pending_open *next;

	if (stream->is_corked)
		hf_protomux_uncork(stream->mux);
	hf_replicator_count_end(replicator, hf_protomux_error(stream->mux));
	hf_protomux_unpair(stream->mux, HF_SLICE_LITERAL(HF_REPLICATION_PROTOCOL), hf_slice(NULL, 0));
	while (stream->peers != NULL)
		hf_channel_close(stream->peers->channel);
	for (; stream->pending != NULL; stream->pending = next) {
		next = stream->pending->next;
		free(stream->pending);
	}
	HF_LIST_REMOVE(replicator->streams, stream);
	replicator->stats.streams--;
	free(stream);
	hf_replicator_pend(replicator);
}

/* ---- Life ---- */

int hf_replicator_new(struct hf_replicator **out, const struct hf_replicator_options *given)
{
	struct hf_replicator_options options;
	struct hf_replicator *replicator;
	uint64_t seed;
	int status = hf_options_take(&options, sizeof options, given);

	if (status != HF_OK)
		return status;
	replicator = calloc(1, sizeof *replicator);
	if (replicator == NULL)
		return HF_ENOMEM;
	replicator->options = options;
	replicator->cores = options.cores;
	replicator->due_end = &replicator->due;
	options.env->random(options.env, &seed, sizeof seed);
	hf_map_init(&replicator->by_discovery_key, seed);
	*out = replicator;
	return HF_OK;
}

void hf_replicator_free(struct hf_replicator *replicator)
{
	if (replicator == NULL)
		return;
	for (struct hf_shared_core *shared = replicator->shared, *next; shared != NULL; shared = next) {
		next = shared->next;
		shared->is_downloading = shared->needs_schedule = false;
		hf_shared_core_release(shared);
	}
	hf_replicator_reap(replicator);
	hf_map_free(&replicator->by_discovery_key);
	hf_core_chunk_unref(replicator->held.chunk);
	hf_buffer_free(&replicator->scratch);
	hf_buffer_free(&replicator->node_scratch);
	free(replicator);
}

void hf_replicator_stats(const struct hf_replicator *replicator, struct hf_replicator_stats *stats)
{
	*stats = replicator->stats;
}

void hf_replication_stats(const struct hf_replication *replication, struct hf_replicator_stats *stats)
{
	*stats = replication->shared->stats;
}
