/* Waiting for missing blocks. A thaw cannot be called off, so what stands in its line is a thing of its own that may lose its owner. */
#include "data/hyperbee/bee_private.h"

#include <stdlib.h>

#include "base/list.h"
#include "data/corestore.h"

struct hf_bee_thaw {
	struct hf_corestore_thaw thaw;
	struct hf_bee_waiter *owner; /* NULL: called off */
};

static void finish(struct hf_bee_waiter *waiter, int status)
{
	if (!waiter->is_waiting)
		return;
	waiter->is_waiting = false;
	waiter->ready(waiter, status);
}

static void on_block(struct hf_core_waiter *core_waiter, int status)
{
	struct hf_bee_want *want = HF_CONTAINER_OF(core_waiter, struct hf_bee_want, core);

	want->is_armed = false;
	if (core_waiter->index == want->owner->needed)
		finish(want->owner, status);
}

static void on_thawed(struct hf_corestore_thaw *corestore_thaw)
{
	struct hf_bee_thaw *thaw = (struct hf_bee_thaw *)corestore_thaw;
	struct hf_bee_waiter *owner = thaw->owner;

	free(thaw);
	if (owner == NULL)
		return;
	owner->thaw = NULL;
	finish(owner, HF_OK);
}

static int thaw(struct hf_bee *bee, struct hf_bee_waiter *waiter)
{
	struct hf_bee_thaw *thaw = calloc(1, sizeof *thaw);

	if (thaw == NULL)
		return HF_ENOMEM;
	*thaw = (struct hf_bee_thaw){.thaw.done = on_thawed, .owner = waiter};
	int status = hf_corestore_thaw(hf_core_store(bee->core), &thaw->thaw);

	if (status != HF_OK) {
		free(thaw);
		return status;
	}
	waiter->thaw = thaw;
	waiter->is_waiting = true;
	return HF_OK;
}

static bool is_wanted(const struct hf_bee *bee, uint64_t index)
{
	for (size_t i = 0; i < bee->want_count; i++)
		if (bee->wants[i] == index)
			return true;
	return false;
}

/* NULL: all are taken. */
static struct hf_bee_want *place_for(struct hf_bee_waiter *waiter, uint64_t index)
{
	struct hf_bee_want *free_place = NULL;

	for (size_t i = 0; i < HF_BEE_WANT_COUNT_MAX; i++) {
		struct hf_bee_want *want = &waiter->wants[i];

		if (want->is_armed && want->core.index == index)
			return want;
		if (!want->is_armed && free_place == NULL)
			free_place = want;
	}
	return free_place;
}

static void drop_unwanted(struct hf_bee_waiter *waiter, const struct hf_bee *bee)
{
	for (size_t i = 0; i < HF_BEE_WANT_COUNT_MAX; i++) {
		struct hf_bee_want *want = &waiter->wants[i];

		if (!want->is_armed || (bee != NULL && is_wanted(bee, want->core.index)))
			continue;
		want->is_armed = false;
		hf_core_wait_cancel(waiter->bee->core, &want->core);
	}
}

int hf_bee_wait(struct hf_bee *bee, struct hf_bee_waiter *waiter)
{
	waiter->bee = bee;
	drop_unwanted(waiter, bee);
	waiter->needed = bee->wants[0];
	if (bee->want_count == 0 || hf_bitfield_get(hf_core_blocks(bee->core), waiter->needed))
		return thaw(bee, waiter);
	waiter->is_waiting = true;
	for (size_t i = 0; i < bee->want_count; i++) {
		struct hf_bee_want *want = place_for(waiter, bee->wants[i]);

		if (want == NULL || want->is_armed)
			continue;
		want->owner = waiter;
		want->is_armed = true;
		want->core.ready = on_block;
		hf_core_wait(bee->core, &want->core, bee->wants[i]);
	}
	return HF_OK;
}

void hf_bee_wait_cancel(struct hf_bee_waiter *waiter)
{
	waiter->is_waiting = false;
	if (waiter->thaw != NULL)
		waiter->thaw->owner = NULL;
	waiter->thaw = NULL;
	if (waiter->bee != NULL)
		drop_unwanted(waiter, NULL);
}
