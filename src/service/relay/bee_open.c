/* Opening what a feeder works on, and telling how it is. The relay's removals are noted from before the first batch on; where that was
 * interrupted, nobody knows what the bee has too much, and it is made anew. */
#include <stdlib.h>
#include <stdio.h>

#include "base/log.h"
#include "crypto/secret.h"
#include "crypto/sign.h"
#include "data/event/removals.h"
#include "service/relay/bee_private.h"

static struct hf_log_module log_module = HF_LOG_MODULE("bee");

#define HEADER_BLOCKS 1

/* ---- Notes ---- */

void hf_bee_notes_encode(const struct hf_bee_notes *notes, uint8_t out[static HF_BEE_NOTES_BYTES])
{
	out[0] = HF_BEE_NOTES_VERSION;
	hf_store_le64(out + 1, notes->position);
	hf_store_le64(out + 9, notes->event_count);
}

static int read_notes(struct hf_core *core, struct hf_bee_notes *notes)
{
	struct hf_buffer bytes = {0};
	int r = hf_core_get_user_data(core, HF_BEE_NOTES_NAME, &bytes);
	*notes = (struct hf_bee_notes){0};
	if (r == HF_OK && (bytes.length != HF_BEE_NOTES_BYTES || bytes.data[0] != HF_BEE_NOTES_VERSION))
		r = HF_EVERSION;
	if (r == HF_OK)
		*notes = (struct hf_bee_notes){hf_load_le64(bytes.data + 1), hf_load_le64(bytes.data + 9)};
	hf_buffer_free(&bytes);
	return r == HF_ENOTFOUND ? HF_OK : r;
}

/* ---- The bee ---- */

static int truncate(struct hf_core *core)
{
	uint8_t bytes[HF_BEE_NOTES_BYTES];
	struct hf_bee_notes none = {0};
	int r = HF_OK;
	hf_bee_notes_encode(&none, bytes);
	if (hf_core_length(core) > HEADER_BLOCKS)
		r = hf_core_truncate(core, HEADER_BLOCKS, HF_CORE_NEXT_FORK);
	if (r == HF_OK)
		r = hf_core_set_user_data(core, HF_BEE_NOTES_NAME, hf_slice(bytes, sizeof bytes));
	return r == HF_OK ? hf_core_commit_wait(core, HF_DURABLE_DISK) : r;
}

int hf_bee_feeder_reopen(struct hf_relay_bee *bee, bool anew)
{
	struct hf_bee_options options = {.size = sizeof options, .core = bee->core};
	struct hf_corestore *cores = hf_core_host_cores(bee->host);
	hf_bee_wait_cancel(&bee->waiter);
	hf_bee_close(bee->bee);
	bee->bee = NULL;
	bool was_blocking = hf_corestore_set_blocking(cores, true);
	int r = anew ? truncate(bee->core) : HF_OK;
	if (r == HF_OK)
		r = read_notes(bee->core, &bee->committed);
	hf_corestore_set_blocking(cores, was_blocking);
	if (r == HF_OK)
		r = hf_bee_open(&bee->bee, &options);
	if (r == HF_OK && anew)
		hf_log_info(&log_module, "the bee is made anew", "relay=%s fork=%llu", bee->instance,
			(unsigned long long)hf_core_fork(bee->core));
	return r;
}

static int open_core(struct hf_relay_bee *bee, struct hf_failure *failure)
{
	struct hf_corestore *cores = hf_core_host_cores(bee->host);
	bool is_ours = memcmp(hf_sign_public_key(bee->secret_key), bee->key, 32) == 0; /* else the store has the secret */
	struct hf_core_options options = {.size = sizeof options, .key = is_ours ? NULL : bee->key,
		.secret_key = is_ours ? bee->secret_key : NULL, .compat = true};
	bool was_blocking = hf_corestore_set_blocking(cores, true);
	int r = hf_corestore_get(cores, &options, &bee->core, failure);
	if (r == HF_OK && !hf_core_is_writable(bee->core))
		r = hf_fail(failure, HF_EDENIED, "The key that relay %s's bee is signed with is not there.", bee->instance);
	hf_corestore_set_blocking(cores, was_blocking);
	return r;
}

static int keep_removals(void *context, struct hf_tx *tx)
{
	const struct hf_relay_bee *bee = context;
	return hf_removals_keep(tx, bee->collection, hf_slice(bee->key, sizeof bee->key));
}

/* The key that the bee began with, or the one that is given; and the core. */
static int open_all(struct hf_relay_bee *bee, struct hf_failure *failure)
{
	struct hf_buffer mark = {0};
	bool is_kept;
	int r = hf_removals_mark(bee->store, bee->collection, &is_kept, &mark);
	if (r == HF_OK && mark.length == sizeof bee->key)
		memcpy(bee->key, mark.data, sizeof bee->key);
	hf_buffer_free(&mark);
	if (r < 0 && r != HF_ENOTFOUND)
		return r;
	r = open_core(bee, failure);
	if (r == HF_OK)
		r = hf_bee_feeder_reopen(bee, !is_kept && hf_core_length(bee->core) > 0);
	if (r == HF_OK)
		r = hf_core_commit_wait(bee->core, HF_DURABLE_DISK);
	if (r == HF_OK && !is_kept)
		r = hf_store_commit_wait(bee->store, HF_DURABLE_DISK, keep_removals, bee);
	return r == HF_OK ? hf_replicator_join(hf_core_host_replicator(bee->host), bee->core, &bee->replication) : r;
}

/* ---- Facts ---- */

static uint64_t lag_ms(const struct hf_relay_bee *bee)
{
	uint64_t now_us = hf_env_monotonic_us(bee->env);
	return bee->since_us && now_us > bee->since_us ? (now_us - bee->since_us) / 1000 : 0;
}

static uint64_t lag_events(const struct hf_relay_bee *bee)
{
	return bee->noted_count - bee->fed_count + bee->backlog_count;
}

static int64_t read_blocks(void *context) { return (int64_t)hf_core_committed_tree(((struct hf_relay_bee *)context)->core)->length; }
static int64_t read_bytes(void *context) { return (int64_t)hf_core_committed_tree(((struct hf_relay_bee *)context)->core)->byte_length; }
static int64_t read_lag_events(void *context) { return (int64_t)lag_events(context); }
static int64_t read_lag_ms(void *context) { return (int64_t)lag_ms(context); }
static int64_t read_peers(void *context) { return hf_replication_peer_count(((struct hf_relay_bee *)context)->replication); }

static void gauge(struct hf_relay_bee *bee, struct hf_gauge *g, int64_t (*read)(void *context), const char *name, const char *help)
{
	g->read = read;
	g->context = bee;
	hf_gauge_register(bee->metrics.registry, g, name, bee->metrics.labels, help);
}

static void register_metrics(struct hf_relay_bee *bee, struct hf_metrics *r)
{
	const char *labels = bee->metrics.labels;
	bee->metrics.registry = r;
	snprintf(bee->metrics.labels, sizeof bee->metrics.labels, "relay=\"%s\"", bee->instance);
	hf_counter_register(r, &bee->metrics.puts, "holdfast_relay_bee_puts_total", labels, "Rows put into the relay's bee");
	hf_counter_register(r, &bee->metrics.deletes, "holdfast_relay_bee_deletes_total", labels, "Rows taken out of the relay's bee");
	hf_counter_register(r, &bee->metrics.batches, "holdfast_relay_bee_batches_total", labels, "Commits of the relay's bee");
	hf_counter_register(r, &bee->metrics.busy_us, "holdfast_relay_bee_busy_microseconds_total", labels,
		"Time of the loop that went into the relay's bee");
	hf_histogram_register(r, &bee->metrics.append_seconds, "holdfast_relay_bee_append_seconds", labels,
		"From a batch's first row to its commit, other work of the loop included");
	hf_histogram_register(r, &bee->metrics.commit_seconds, "holdfast_relay_bee_commit_seconds", labels, "Time of the batch's commit");
	gauge(bee, &bee->metrics.blocks, read_blocks, "holdfast_relay_bee_blocks", "Blocks of the relay's bee");
	gauge(bee, &bee->metrics.bytes, read_bytes, "holdfast_relay_bee_bytes", "Bytes in the blocks of the relay's bee");
	gauge(bee, &bee->metrics.lag_events, read_lag_events, "holdfast_relay_bee_lag_events", "Accepted events that are not in the bee yet");
	gauge(bee, &bee->metrics.lag_ms, read_lag_ms, "holdfast_relay_bee_lag_milliseconds", "Age of the oldest of them");
	gauge(bee, &bee->metrics.peers, read_peers, "holdfast_relay_bee_peers", "Peers that have the bee's channel open");
}

static void unregister_metrics(struct hf_relay_bee *bee)
{
	struct hf_metric_link *links[] = {&bee->metrics.puts.link, &bee->metrics.deletes.link, &bee->metrics.batches.link,
		&bee->metrics.busy_us.link, &bee->metrics.append_seconds.link, &bee->metrics.commit_seconds.link,
		&bee->metrics.blocks.link, &bee->metrics.bytes.link, &bee->metrics.lag_events.link, &bee->metrics.lag_ms.link,
		&bee->metrics.peers.link};
	for (size_t i = 0; bee->metrics.registry && i < sizeof links / sizeof *links; i++)
		hf_metric_unregister(bee->metrics.registry, links[i]);
}

static uint64_t value(const struct hf_counter *counter)
{
	return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

void hf_relay_bee_facts(const struct hf_relay_bee *bee, struct hf_relay_bee_facts *facts)
{
	const struct hf_tree *tree = hf_core_committed_tree(bee->core);
	*facts = (struct hf_relay_bee_facts){
		.version = tree->length, .fork = tree->fork, .byte_length = tree->byte_length, .event_count = bee->committed.event_count,
		.position = bee->committed.position, .lag_events = lag_events(bee), .lag_ms = lag_ms(bee), .put_count = value(&bee->metrics.puts),
		.delete_count = value(&bee->metrics.deletes), .batch_count = value(&bee->metrics.batches),
		.busy_us = value(&bee->metrics.busy_us), .peer_count = hf_replication_peer_count(bee->replication),
		.is_paused = bee->is_paused,
	};
	memcpy(facts->key, bee->key, 32);
	memcpy(facts->discovery_key, hf_core_discovery_key(bee->core), 32);
}

void hf_relay_bee_pause(struct hf_relay_bee *bee, bool is_paused)
{
	bee->is_paused = is_paused;
	hf_replication_withhold(bee->replication, is_paused);
}

/* ---- Life ---- */

int hf_relay_bee_new(struct hf_relay_bee **out, const struct hf_relay_bee_options *options, struct hf_failure *failure)
{
	struct hf_relay_bee *bee = calloc(1, sizeof *bee);
	if (!bee)
		return hf_fail(failure, HF_ENOMEM, "Out of memory while opening the bee of relay %s.", options->instance);
	bee->loop = options->loop;
	bee->env = hf_loop_env(options->loop);
	bee->store = bee->batch.store = options->store;
	bee->executor = options->executor;
	bee->host = options->host;
	bee->collection = bee->batch.collection = options->collection;
	bee->instance = options->instance;
	bee->settings = (struct hf_relay_bee_settings){.interval_ms = 50, .batch_count = 1000};
	memcpy(bee->secret_key, options->secret_key.data, sizeof bee->secret_key);
	memcpy(bee->key, hf_sign_public_key(bee->secret_key), sizeof bee->key);
	int r = open_all(bee, failure);
	hf_wipe(bee->secret_key, sizeof bee->secret_key);
	if (r < 0) {
		if (failure && !failure->text[0])
			hf_fail(failure, r, "The bee of relay %s cannot be opened: %s.", bee->instance, hf_error_text(r));
		hf_relay_bee_free(bee);
		return r;
	}
	register_metrics(bee, options->metrics);
	hf_bee_feeder_init(bee);
	*out = bee;
	return HF_OK;
}

void hf_relay_bee_free(struct hf_relay_bee *bee)
{
	if (!bee)
		return;
	unregister_metrics(bee);
	hf_loop_timer_cancel(bee->loop, &bee->timer);
	hf_bee_wait_cancel(&bee->waiter);
	hf_bee_close(bee->bee);
	hf_replication_leave(bee->replication);
	hf_core_unref(bee->core);
	hf_bee_batch_free(&bee->batch);
	hf_buffer_free(&bee->old_rows.bytes);
	hf_buffer_free(&bee->text);
	free(bee);
}

static int end_removals(void *context, struct hf_tx *tx)
{
	return hf_removals_end(tx, *(const uint32_t *)context);
}

int hf_relay_bee_forsake(struct hf_store *store, uint32_t collection)
{
	struct hf_buffer mark = {0};
	bool is_kept;
	int r = hf_removals_mark(store, collection, &is_kept, &mark);
	hf_buffer_free(&mark);
	if (r < 0)
		return r == HF_ENOTFOUND ? HF_OK : r;
	return is_kept ? hf_store_commit_wait(store, HF_DURABLE_DISK, end_removals, &collection) : HF_OK;
}

/* ---- For tools ---- */

static int open_by_mark(struct hf_corestore *cores, struct hf_store *store, uint32_t collection, struct hf_core **core,
	struct hf_failure *failure)
{
	struct hf_buffer mark = {0};
	bool is_kept;
	int r = hf_removals_mark(store, collection, &is_kept, &mark);
	if (r == HF_OK && mark.length == 32) {
		struct hf_core_options options = {.size = sizeof options, .key = mark.data, .compat = true, .must_exist = true};
		r = hf_corestore_get(cores, &options, core, failure);
	} else if (r == HF_OK || r == HF_ENOTFOUND) {
		r = hf_fail(failure, HF_ENOTFOUND, "The relay has no bee; relay.bee = yes makes it one when the gateway starts.");
	}
	hf_buffer_free(&mark);
	return r;
}

int hf_relay_bee_look(struct hf_corestore *cores, struct hf_store *store, uint32_t collection, struct hf_relay_bee_facts *facts,
	struct hf_failure *failure)
{
	struct hf_core *core;
	struct hf_bee_notes notes;
	int r = open_by_mark(cores, store, collection, &core, failure);
	if (r < 0)
		return r;
	r = read_notes(core, &notes);
	*facts = (struct hf_relay_bee_facts){.version = hf_core_length(core), .fork = hf_core_fork(core),
		.byte_length = hf_core_byte_length(core), .event_count = notes.event_count, .position = notes.position};
	memcpy(facts->key, hf_core_key(core), 32);
	memcpy(facts->discovery_key, hf_core_discovery_key(core), 32);
	hf_core_unref(core);
	return r;
}

int hf_relay_bee_reset(struct hf_corestore *cores, struct hf_store *store, uint32_t collection, struct hf_failure *failure)
{
	struct hf_core *core;
	int r = open_by_mark(cores, store, collection, &core, failure);
	if (r < 0)
		return r;
	r = truncate(core);
	hf_core_unref(core);
	return r;
}
