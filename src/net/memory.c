/* The count is a sum of what each holder says; relief is deferred, so that no connection ends inside somebody's call. */
#include "net/memory.h"

#include <assert.h>

#include "base/list.h"
#include "net/loop_private.h"

static size_t part(const struct hf_memory *memory, unsigned eighths)
{
	return memory->max_bytes / 8 * eighths;
}

static bool is_high(const struct hf_memory *memory)
{
	return memory->max_bytes > 0 && memory->used_bytes > part(memory, 7);
}

static void run_relief(struct hf_loop_deferred *deferred)
{
	struct hf_memory *memory = HF_CONTAINER_OF(deferred, struct hf_memory, relief);
	if (is_high(memory) && memory->relieve)
		memory->relieve(memory->context, memory->used_bytes - part(memory, 6));
}

struct hf_memory *hf_loop_memory(struct hf_loop *loop)
{
	return &loop->memory;
}

void hf_memory_limit(struct hf_memory *memory, size_t max_bytes, void (*relieve)(void *context, size_t bytes), void *context)
{
	memory->max_bytes = max_bytes;
	memory->relieve = relieve;
	memory->context = context;
	memory->relief.run = run_relief;
}

void hf_memory_hold(struct hf_memory *memory, enum hf_memory_kind kind, size_t bytes)
{
	memory->kinds[kind] += bytes;
	memory->used_bytes += bytes;
	if (is_high(memory))
		hf_loop_defer(memory->loop, &memory->relief);
}

void hf_memory_release(struct hf_memory *memory, enum hf_memory_kind kind, size_t bytes)
{
	assert(memory->kinds[kind] >= bytes);
	memory->kinds[kind] -= bytes;
	memory->used_bytes -= bytes;
}

void hf_memory_change(struct hf_memory *memory, enum hf_memory_kind kind, size_t *held, size_t bytes)
{
	if (bytes > *held)
		hf_memory_hold(memory, kind, bytes - *held);
	else
		hf_memory_release(memory, kind, *held - bytes);
	*held = bytes;
}

static int64_t read_size(void *context)
{
	return (int64_t)*(const size_t *)context;
}

void hf_memory_register(struct hf_memory *memory, struct hf_metrics *registry)
{
	static const char *const labels[] = {"kind=\"send\"", "kind=\"receive\"", "kind=\"requests\""};
	memory->registry = registry;
	for (size_t i = 0; i < HF_MEMORY_KIND_COUNT; i++) {
		memory->gauges[i] = (struct hf_gauge){.read = read_size, .context = &memory->kinds[i]};
		hf_gauge_register(registry, &memory->gauges[i], "holdfast_memory_bytes", labels[i], "Bytes that all connections together hold");
	}
	memory->max_gauge = (struct hf_gauge){.read = read_size, .context = &memory->max_bytes};
	hf_gauge_register(registry, &memory->max_gauge, "holdfast_memory_max_bytes", "", "The bound on the sum of holdfast_memory_bytes");
}

void hf_memory_unregister(struct hf_memory *memory)
{
	if (!memory->registry)
		return;
	for (size_t i = 0; i < HF_MEMORY_KIND_COUNT; i++)
		hf_metric_unregister(memory->registry, &memory->gauges[i].link);
	hf_metric_unregister(memory->registry, &memory->max_gauge.link);
	memory->registry = NULL;
}
