/* What is said for streams that are gone: DESTROY, once, and for a while an acknowledgement again for a remote that did not get our last
 * one and would otherwise wait until it times out. The oldest go first when there are too many. */
#include "wire/udx/udx_private.h"

#define LINGER_US 15000000u /* the remote's own patience: its timeouts at 1, 3, … 13 s */
#define COUNT_MAX 4096u

static void queue(struct hf_udx *udx, struct hf_udx_parting *parting)
{
	if (parting->is_queued)
		return;
	parting->is_queued = true;
	parting->next_queued = NULL;
	*udx->queued_last = parting;
	udx->queued_last = &parting->next_queued;
	hf_udx_wake(udx);
}

static void unqueue(struct hf_udx *udx, struct hf_udx_parting *parting)
{
	struct hf_udx_parting **link = &udx->queued_first;
	if (!parting->is_queued)
		return;
	while (*link != parting)
		link = &(*link)->next_queued;
	*link = parting->next_queued;
	if (udx->queued_last == &parting->next_queued)
		udx->queued_last = link;
	parting->is_queued = false;
}

void hf_udx_parting_free(struct hf_udx *udx, struct hf_udx_parting *parting)
{
	unqueue(udx, parting);
	if (parting->is_in_map)
		hf_u64_map_remove(&udx->streams, parting->local_id);
	if (udx->partings_last == parting)
		udx->partings_last = parting->previous;
	HF_LIST_REMOVE(udx->partings, parting);
	udx->parting_count--;
	free(parting);
}

/* When there is no memory for it, nothing is said: the remote finds out by its timeouts. */
void hf_udx_part(struct hf_udx_stream *stream, uint8_t type)
{
	struct hf_udx *udx = stream->udx;
	struct hf_udx_parting *parting = malloc(sizeof *parting);
	if (!parting)
		return;
	*parting = (struct hf_udx_parting){
		.path = stream->path,
		.header = {.type = type,
			.id = stream->remote_id,
			.window_bytes = udx->options.receive_bytes_max,
			.seq = stream->next_seq,
			.ack = stream->ack},
		.local_id = stream->id,
		.until_us = udx->now_us + LINGER_US,
	};
	HF_LIST_PUSH(udx->partings, parting);
	if (!udx->partings_last)
		udx->partings_last = parting;
	if (++udx->parting_count > COUNT_MAX)
		hf_udx_parting_free(udx, udx->partings_last);
	if (type == HF_UDX_DESTROY) {
		queue(udx, parting);
		return;
	}
	uint64_t *place = hf_u64_map_get(&udx->streams, stream->id);
	if (place) {
		*place = (uint64_t)(uintptr_t)parting | HF_UDX_PARTING_BIT;
		parting->is_in_map = true;
	}
}

void hf_udx_parting_recv(struct hf_udx *udx, struct hf_udx_parting *parting, const struct hf_udx_header *header)
{
	if (header->type & (HF_UDX_DATA | HF_UDX_END | HF_UDX_HEARTBEAT))
		queue(udx, parting);
}

void hf_udx_partings_send(struct hf_udx *udx)
{
	struct hf_udx_parting *parting;
	while ((parting = udx->queued_first) && hf_udx_batch_has_room(udx, parting->path.socket)) {
		hf_udx_batch_begin(udx, &parting->path, &parting->header, (struct hf_udx_built){NULL, 0, HF_UDX_BUILT_OTHER});
		unqueue(udx, parting);
		if (!parting->is_in_map)
			hf_udx_parting_free(udx, parting);
	}
}

void hf_udx_partings_expire(struct hf_udx *udx)
{
	struct hf_udx_parting *oldest;
	while ((oldest = udx->partings_last) && oldest->until_us <= udx->now_us)
		hf_udx_parting_free(udx, oldest);
}

void hf_udx_partings_forget_socket(struct hf_udx *udx, const void *socket)
{
	for (struct hf_udx_parting *parting = udx->partings, *next; parting; parting = next) {
		next = parting->next;
		if (parting->path.socket == socket)
			hf_udx_parting_free(udx, parting);
	}
}
