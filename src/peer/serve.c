/* Answering. A request is answered as it comes; what must wait (for a cold disk, for room in the stream, or before it is refused) stands
 * in a queue that keeps urgent ones in front. (spec 5.6) */
#include "peer/replicator_private.h"

#include <stdlib.h>

#define REFUSAL_DELAY_MS_MIN 200
#define REFUSAL_DELAY_MS_MAX 5000

static void send_no_data(struct hf_core_peer *peer, uint64_t request, enum hf_replication_reason reason)
{
	struct hf_replication_no_data message = {.request = request, .reason = reason};

	HF_SHARED_CORE_COUNT(peer->shared, refused_sent, 1);
	hf_replication_write_no_data(hf_core_peer_begin(peer, HF_REPLICATION_NO_DATA), &message);
	hf_core_peer_end(peer);
}

int hf_core_peer_send_data(struct hf_core_peer *peer, uint64_t request, const struct hf_proof *proof)
{
	struct hf_replicator *replicator = peer->shared->replicator;
	struct hf_replication_data message = {.request = request, .proof = *proof};
	struct iovec parts[HF_REPLICATION_DATA_PARTS];
	const struct hf_tree *tree = hf_core_committed_tree(peer->shared->core);
	int count;

	hf_buffer_clear(&replicator->scratch);
	count = hf_replication_data_parts(&message, &replicator->scratch, parts);
	if (count < 0)
		return count;
	if (proof->has_block) {
		HF_SHARED_CORE_COUNT(peer->shared, blocks_sent, 1);
		HF_SHARED_CORE_COUNT(peer->shared, bytes_sent, proof->block.value.length);
	}
	if (proof->has_upgrade) { /* proofs lead to the end of the tree */
		peer->given_length = tree->length;
		peer->given_fork = tree->fork;
	}
	return hf_channel_send(peer->channel, HF_REPLICATION_DATA, parts, count);
}

/* The manifest alone, where the rest cannot be had. */
static bool send_manifest(struct hf_core_peer *peer, const struct hf_replication_request *request)
{
	const struct hf_core *core = peer->shared->core;
	struct hf_proof_request only = {.wants_manifest = true};
	struct hf_proof proof;
	uint64_t fork = hf_core_committed_tree(core)->fork;

	if (!request->proof.wants_manifest || hf_core_manifest(core) == NULL || hf_core_is_compat(core))
		return false;
	hf_buffer_clear(&peer->shared->replicator->node_scratch);
	if (hf_core_prove(peer->shared->core, fork, &only, &peer->shared->replicator->node_scratch, &proof) != HF_OK || !proof.has_manifest)
		return false;
	hf_core_peer_send_data(peer, request->id, &proof);
	return true;
}

/* Who had more of the tree pushed since it asked could not use a proof that begins before that; nor tie to its tree a block that is in
 * that part, were it not told how. Who goes over to our fork, or compares the trees (id 0), needs all of ours. */
static void go_on_from_what_was_given(const struct hf_core_peer *peer, const struct hf_replication_request *request,
	struct hf_proof_request *asked)
{
	uint64_t given = hf_core_peer_given_length(peer);

	if (!peer->remote_allows_push || request->id == 0 || request->fork != peer->remote_fork)
		return;
	if (!asked->has_upgrade || given <= asked->upgrade.start || given - asked->upgrade.start >= asked->upgrade.length)
		return;
	if (asked->has_block && asked->block.index >= asked->upgrade.start && asked->block.index < given)
		asked->block.nodes = hf_path_length(asked->block.index, given);
	asked->upgrade.length -= given - asked->upgrade.start;
	asked->upgrade.start = given;
}

/* HF_OK: answered. HF_EWAIT: cold. HF_EINVAL: to be refused after a while. */
static int answer(struct hf_core_peer *peer, const struct hf_replication_request *request)
{
	struct hf_replicator *replicator = peer->shared->replicator;
	struct hf_proof_request asked = request->proof;
	struct hf_proof proof;
	int status;

	go_on_from_what_was_given(peer, request, &asked);
	hf_buffer_clear(&replicator->node_scratch);
	status = hf_core_prove(peer->shared->core, request->fork, &asked, &replicator->node_scratch, &proof);
	switch (status) {
	case HF_OK: return hf_core_peer_send_data(peer, request->id, &proof);
	case HF_EWAIT:
		hf_shared_core_need_thaw(peer->shared);
		return status;
	case HF_EINVAL:
	case HF_ENOMEM: return status;
	default:
		/* Peers of the package give up who has told them 32 times that something is not available. What they asked of a fork that we have
		 * left meanwhile, or are leaving, is nobody's fault. */
		if (!send_manifest(peer, request))
			send_no_data(peer, request->id, request->fork < hf_core_fork(peer->shared->core) ? HF_REPLICATION_NO_REASON
				: HF_REPLICATION_NOT_AVAILABLE);
		return HF_OK;
	}
}

/* ---- The queue ---- */

static int enqueue(struct hf_core_peer *peer, const struct hf_replication_request *request, uint64_t refuse_at_ms)
{
	struct hf_peer_question **place = peer->questions_end, *question = malloc(sizeof *question);

	if (question == NULL)
		return HF_ENOMEM;
	*question = (struct hf_peer_question){.request = *request, .refuse_at_ms = refuse_at_ms};
	if (request->priority > 0)
		for (place = &peer->questions; *place != NULL && (*place)->request.priority > 0;)
			place = &(*place)->next;
	question->next = *place;
	*place = question;
	if (question->next == NULL)
		peer->questions_end = &question->next;
	peer->question_count++;
	peer->stream->question_count++;
	hf_shared_core_watch(peer->shared);
	return HF_OK;
}

static void remove_question(struct hf_core_peer *peer, struct hf_peer_question **place)
{
	struct hf_peer_question *question = *place;

	*place = question->next;
	if (question->next == NULL)
		peer->questions_end = place;
	if (peer->channel != NULL) { /* else they are out of the stream's count */
		peer->question_count--;
		peer->stream->question_count--;
	}
	free(question);
}

void hf_core_peer_drop_questions(struct hf_core_peer *peer)
{
	while (peer->questions != NULL)
		remove_question(peer, &peer->questions);
}

static void cancel(struct hf_core_peer *peer, uint64_t id)
{
	for (struct hf_peer_question **place = &peer->questions; *place != NULL; place = &(*place)->next) {
		if ((*place)->request.id != id)
			continue;
		remove_question(peer, place);
		return;
	}
}

/* Answers that there is no such proof come ever later; who goes on asking is given up. */
static int refuse_later(struct hf_core_peer *peer, struct hf_peer_question *question)
{
	uint64_t delay_ms = REFUSAL_DELAY_MS_MIN * (uint64_t)(1 + peer->refused_count);

	if (++peer->refused_count > HF_REPLICATOR_REFUSALS_MAX)
		return hf_core_peer_fail(peer, HF_ETOOBIG, "it goes on sending requests that no peer can answer");
	question->refuse_at_ms = peer->shared->replicator->now_ms + (delay_ms < REFUSAL_DELAY_MS_MAX ? delay_ms : REFUSAL_DELAY_MS_MAX);
	return HF_OK;
}

/* True when the question is dealt with. */
static bool deal_with(struct hf_core_peer *peer, struct hf_peer_question *question, int *status)
{
	if (question->refuse_at_ms > 0) {
		if (question->refuse_at_ms > peer->shared->replicator->now_ms)
			return false;
		send_no_data(peer, question->request.id, HF_REPLICATION_INVALID_REQUEST);
		return true;
	}
	if (question->is_cold)
		return false;
	*status = answer(peer, &question->request);
	question->is_cold = *status == HF_EWAIT;
	if (question->is_cold)
		return false;
	if (*status == HF_EINVAL) {
		*status = refuse_later(peer, question);
		return false;
	}
	return true;
}

void hf_core_peer_answer(struct hf_core_peer *peer)
{
	struct hf_peer_question **place = &peer->questions;
	int status = HF_OK;

	if (peer->questions == NULL || !peer->is_open)
		return;
	hf_protomux_cork(peer->stream->mux);
	while (peer->is_open && *place != NULL && status == HF_OK && !hf_protomux_is_congested(peer->stream->mux)) {
		if (deal_with(peer, *place, &status))
			remove_question(peer, place);
		else
			place = &(*place)->next;
		if (status == HF_EWAIT)
			status = HF_OK;
	}
	if (status != HF_OK && peer->is_open)
		hf_core_peer_fail(peer, status, "a request could not be answered");
	hf_protomux_uncork(peer->stream->mux);
}

void hf_core_peer_thawed(struct hf_core_peer *peer)
{
	for (struct hf_peer_question *question = peer->questions; question != NULL; question = question->next)
		question->is_cold = false;
	if (peer->upgrade_is_cold)
		hf_core_peer_signal(peer);
	hf_core_peer_answer(peer);
}

/* ---- Messages ---- */

int hf_core_peer_on_request(struct hf_core_peer *peer, struct hf_slice body)
{
	struct hf_replication_request request;
	int status = hf_replication_read_request(body, &request);

	if (status != HF_OK)
		return hf_core_peer_fail(peer, status, "its request message is malformed");
	HF_SHARED_CORE_COUNT(peer->shared, requests_received, 1);
	if (peer->question_count > 0)
		cancel(peer, request.id);
	if (peer->question_count >= HF_REPLICATOR_REQUESTS_MAX || peer->stream->question_count >= HF_REPLICATOR_STREAM_REQUESTS_MAX)
		return hf_core_peer_fail(peer, HF_ETOOBIG, "it has too many requests open");
	if (peer->questions != NULL || hf_protomux_is_congested(peer->stream->mux)) {
		status = enqueue(peer, &request, 0);
		if (status == HF_OK)
			hf_core_peer_answer(peer);
		return status;
	}
	status = answer(peer, &request);
	if (status != HF_EWAIT && status != HF_EINVAL)
		return status;
	bool is_refused = status == HF_EINVAL;

	status = enqueue(peer, &request, 0);
	if (status == HF_OK)
		peer->questions->is_cold = !is_refused;
	return status == HF_OK && is_refused ? refuse_later(peer, peer->questions) : status;
}

int hf_core_peer_on_cancel(struct hf_core_peer *peer, struct hf_slice body)
{
	struct hf_replication_cancel message;
	int status = hf_replication_read_cancel(body, &message);

	if (status != HF_OK)
		return hf_core_peer_fail(peer, status, "its cancel message is malformed");
	cancel(peer, message.request);
	return HF_OK;
}
