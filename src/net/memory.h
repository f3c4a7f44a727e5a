/* memory: what all connections of a loop hold beyond their structs, and the bound on it.
 *
 * Each connection has bounds of its own; a thousand greedy ones together would still fill the machine. So whoever holds
 * memory for a connection (queues here, an owner's requests through hf_memory_change) says so, by kind. From seven eighths of
 * the bound on, `relieve` is called at the end of the iteration and told how many bytes should go, down to three quarters:
 * a server then disconnects those that hold most (hf_http_server_relieve). At the bound itself, owners refuse what they can
 * refuse, and hf_websocket_send_room has no room for who has not yet read what was sent before.
 *
 * Bytes are those asked of the allocator. Messages shared by many count once. Belongs to the loop's thread.
 */
#ifndef HF_NET_MEMORY_H
#define HF_NET_MEMORY_H

#include "base/metrics.h"
#include "net/loop.h"

enum hf_memory_kind {
	HF_MEMORY_SEND,     /* queues of what is to be sent */
	HF_MEMORY_RECEIVE,  /* messages and requests that have not come whole */
	HF_MEMORY_REQUESTS, /* what owners hold: subscriptions, queries and their results */
	HF_MEMORY_KIND_COUNT
};

struct hf_memory {
	size_t used_bytes, max_bytes;
	size_t kinds[HF_MEMORY_KIND_COUNT];
	struct hf_loop *loop;
	struct hf_loop_deferred relief;
	void (*relieve)(void *context, size_t bytes); /* NULL: nobody does */
	void *context;
	struct hf_metrics *registry;
	struct hf_gauge gauges[HF_MEMORY_KIND_COUNT], max_gauge;
};

struct hf_memory *hf_loop_memory(struct hf_loop *loop);
/* 0: no bound, which is how a loop begins. */
void hf_memory_limit(struct hf_memory *memory, size_t max_bytes, void (*relieve)(void *context, size_t bytes), void *context);
/* Takes *held, what the caller had said before, to `bytes`. */
void hf_memory_change(struct hf_memory *memory, enum hf_memory_kind kind, size_t *held, size_t bytes);
void hf_memory_hold(struct hf_memory *memory, enum hf_memory_kind kind, size_t bytes);
void hf_memory_release(struct hf_memory *memory, enum hf_memory_kind kind, size_t bytes);
/* Would so much more be past the bound? */
static inline bool hf_memory_lacks(const struct hf_memory *memory, size_t more)
{
	return memory->max_bytes > 0 && (memory->used_bytes > memory->max_bytes || more > memory->max_bytes - memory->used_bytes);
}
/* holdfast_memory_bytes{kind=…}, holdfast_memory_max_bytes. */
void hf_memory_register(struct hf_memory *memory, struct hf_metrics *registry);
void hf_memory_unregister(struct hf_memory *memory);

#endif
