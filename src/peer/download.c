/* What users of a replication wait for: downloads, seeks, and to hear how long a core is. */
#include "peer/replicator_private.h"

#include <stdlib.h>

static bool is_running(const struct hf_download *download)
{
	return download->replication != NULL;
}

static void unlink_download(struct hf_download *download)
{
	struct hf_shared_core *shared = download->replication->shared;

	HF_LIST_REMOVE(shared->downloads, download);
	download->replication = NULL;
}

static bool is_complete(const struct hf_shared_core *shared, const struct hf_download *download)
{
	return download->to != UINT64_MAX && hf_bitfield_next_clear(hf_core_blocks(shared->core), download->from, download->to) >= download->to &&
		hf_core_uncommitted_bytes(shared->core) == 0;
}

void hf_shared_core_check_downloads(struct hf_shared_core *shared)
{
	for (struct hf_download *download = shared->downloads, *next; download != NULL; download = next) {
		next = download->next;
		if (!is_complete(shared, download))
			continue;
		unlink_download(download);
		download->done(download);
		next = shared->downloads; /* it may have cancelled others */
	}
}

void hf_download_start(struct hf_replication *replication, struct hf_download *download)
{
	struct hf_shared_core *shared = replication->shared;
	struct hf_download **place = &shared->downloads;

	download->replication = replication;
	download->previous = NULL;
	download->next = NULL;
	for (; *place != NULL; place = &(*place)->next)
		download->previous = *place;
	*place = download;
	hf_shared_core_schedule(shared);
}

void hf_download_cancel(struct hf_download *download)
{
	if (is_running(download))
		unlink_download(download);
}

void hf_seek_wait_start(struct hf_replication *replication, struct hf_seek_wait *wait)
{
	struct hf_shared_core *shared = replication->shared;

	wait->replication = replication;
	wait->is_asked = false;
	HF_LIST_PUSH(shared->seeks, wait);
	hf_shared_core_schedule(shared);
}

void hf_seek_wait_cancel(struct hf_seek_wait *wait)
{
	if (wait->replication == NULL)
		return;
	struct hf_shared_core *shared = wait->replication->shared;

	HF_LIST_REMOVE(shared->seeks, wait);
	wait->replication = NULL;
}

void hf_shared_core_unask_seeks(struct hf_shared_core *shared, uint64_t bytes)
{
	for (struct hf_seek_wait *wait = shared->seeks; wait != NULL; wait = wait->next)
		if (wait->bytes == bytes)
			wait->is_asked = false;
	hf_shared_core_schedule(shared);
}

/* Whatever it came for: what others asked for may be what a seek needs, and be here before what was asked for the seek. */
void hf_shared_core_check_seeks(struct hf_shared_core *shared)
{
	struct hf_core_place place;

	for (struct hf_seek_wait *wait = shared->seeks, *next; wait != NULL; wait = next) {
		next = wait->next;
		int status = hf_core_seek(shared->core, wait->bytes, &place);

		if (status == HF_EWAIT && place.from == place.to)
			hf_shared_core_need_thaw(shared);
		if (status == HF_EWAIT || status == HF_ENOTFOUND)
			continue;
		hf_seek_wait_cancel(wait);
		wait->done(wait);
		next = shared->seeks; /* it may have cancelled others */
	}
}

/* ---- Hearing ---- */

/* Whether a peer may still tell of more than we have. */
static bool may_tell_more(const struct hf_core_peer *peer)
{
	const struct hf_tree *tree = hf_core_committed_tree(peer->shared->core);

	if (!peer->is_open || !peer->remote_synced)
		return true;
	/* Nor from one that has refused to prove what it told of. */
	if (peer->is_paused || !peer->remote_uploading || peer->length_acked == UINT64_MAX)
		return false;
	return peer->remote_fork > tree->fork || (peer->remote_fork == tree->fork && peer->remote_length > tree->length &&
		peer->remote_can_upgrade);
}

/* Since when, by a clock that may not have been read when it began. */
static bool is_older_than(uint64_t *since_ms, uint64_t now_ms, uint64_t limit_ms)
{
	if (*since_ms == 0)
		*since_ms = now_ms;
	return *since_ms + limit_ms <= now_ms;
}

static bool is_any_to_be_heard(struct hf_shared_core *shared)
{
	bool is_any = false;

	for (struct hf_core_peer *peer = shared->peers; peer != NULL; peer = peer->next)
		is_any |= !is_older_than(&peer->heard_ms, shared->replicator->now_ms, HF_REPLICATOR_UPDATE_SILENCE_MS) && may_tell_more(peer);
	return is_any;
}

/* All updaters, or those alone that have waited for too long. */
static void take_heard(struct hf_shared_core *shared, bool is_any_to_be_heard)
{
	struct hf_updater *updater, **place = &shared->updaters;

	while ((updater = *place) != NULL) {
		if (!is_older_than(&updater->started_ms, shared->replicator->now_ms, HF_REPLICATOR_UPDATE_MS_MAX) && is_any_to_be_heard) {
			place = &updater->next;
			continue;
		}
		*place = updater->next;
		updater->next = shared->heard;
		shared->heard = updater;
	}
}

void hf_shared_core_check_updaters(struct hf_shared_core *shared)
{
	struct hf_updater *updater;

	if (shared->updaters == NULL || shared->heard != NULL)
		return;
	/* A callback may leave the replication of another, or ask again. */
	take_heard(shared, is_any_to_be_heard(shared));
	while ((updater = shared->heard) != NULL) {
		shared->heard = updater->next;
		if (updater->heard != NULL)
			updater->heard(updater->context);
		free(updater);
	}
}

int hf_replication_update(struct hf_replication *replication, void (*heard)(void *context), void *context)
{
	struct hf_updater *updater = calloc(1, sizeof *updater);

	if (updater == NULL)
		return HF_ENOMEM;
	*updater = (struct hf_updater){.next = replication->shared->updaters, .replication = replication, .heard = heard, .context = context};
	replication->shared->updaters = updater;
	hf_shared_core_schedule(replication->shared);
	return HF_OK;
}
