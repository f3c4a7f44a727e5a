/* actions_read: counting, scanning and exporting the events of a relay. */
#include "data/event/query.h"
#include "service/actions_private.h"

#define FILTER_COUNT_MAX 64
#define FILTER_MEMORY_BYTES_MAX (64u << 20)
#define FLUSH_BYTES (256u << 10)
#define SCAN_BYTES_MAX (256u << 20)   /* of a result that stays in memory */
#define STEP_VISITS 100000

struct reading {
	struct hf_action_call *call;
	struct hf_arena arena;
	struct hf_filter filters[FILTER_COUNT_MAX];
	uint32_t filter_count;
	uint64_t count, next, total;
};

static int parse_filters(struct hf_action_run *run, struct reading *reading)
{
	struct hf_slice data = run->data, line;
	reading->arena.limit_bytes = FILTER_MEMORY_BYTES_MAX;
	while (hf_action_next_line(&data, &line)) {
		const char *reason = "invalid: not JSON";
		struct hf_json json;
		if (line.length == 0)
			continue;
		if (reading->filter_count == FILTER_COUNT_MAX)
			return hf_fail(&run->call->failure, HF_ETOOBIG, "There are more than %d filters.", FILTER_COUNT_MAX);
		hf_json_init(&json, line, HF_JSON_DEPTH_MAX);
		uint32_t items_left = HF_FILTER_ITEMS_MAX;
		int r = hf_filter_parse(&json, &reading->arena, &reading->filters[reading->filter_count++], &items_left, &reason);
		if (r < 0)
			return hf_fail(&run->call->failure, r == HF_ENOMEM ? r : HF_EINVAL, "The filter %.*s is not right: %s.",
				line.length < 100 ? (int)line.length : 100, (const char *)line.data, reason);
	}
	if (reading->filter_count == 0)
		reading->filters[reading->filter_count++] = (struct hf_filter){.until = UINT64_MAX, .limit = UINT64_MAX};
	return HF_OK;
}

/* One event as a line; what cannot be read is left out. */
static int append_event(struct reading *reading, const struct hf_doc *doc)
{
	struct hf_action_call *call = reading->call;
	size_t before = call->out.length;
	int r = hf_event_payload_to_json(doc->payload, &call->out);
	if (r == HF_OK)
		r = hf_buffer_append(&call->out, "\n", 1);
	if (r < 0) {
		call->out.length = before;
		return r == HF_ENOMEM ? r : HF_OK;
	}
	reading->count++;
	if (call->flush && call->out.length >= FLUSH_BYTES)
		r = call->flush(call->context, &call->out);
	if (call->progress)
		call->progress(call->context, reading->count, reading->total);
	return r;
}

static int emit(void *context, const struct hf_doc *doc)
{
	struct reading *reading = context;
	if (reading->call->out.length > SCAN_BYTES_MAX)
		return hf_fail(&reading->call->failure, HF_ETOOBIG, "The result is larger than %u MiB; ask for less, or stop the gateway first.",
			SCAN_BYTES_MAX >> 20);
	return append_event(reading, doc);
}

static int run_query(struct hf_action_run *run, struct reading *reading, bool count_only, uint64_t limit)
{
	struct hf_action_call *call = run->call;
	struct hf_event_query *query = NULL;
	struct hf_snapshot *snapshot = hf_store_snapshot(call->store);
	struct hf_event_query_options options = {.collection = run->collection, .filters = reading->filters,
		.filter_count = reading->filter_count, .limit_max = limit, .now_s = hf_env_wall_s(call->env), .count_only = count_only,
		.emit = emit, .context = reading};
	int r = snapshot ? hf_event_query_open(&query, call->store, snapshot, &options) : HF_ENOMEM;
	if (r == HF_OK)
		do {
			r = hf_event_query_step(query, HF_READ_BLOCKING, STEP_VISITS);
		} while (r == HF_EBUSY);
	if (r == HF_OK && count_only)
		reading->count = hf_event_query_count(query);
	hf_event_query_close(query);
	return r;
}

int hf_action_count(struct hf_action_run *run)
{
	struct reading reading = {.call = run->call};
	int r = parse_filters(run, &reading);
	if (r == HF_OK)
		r = run_query(run, &reading, true, UINT64_MAX);
	hf_arena_free(&reading.arena);
	return r < 0 ? r : hf_action_append(&run->call->out, json_pack("{s:I}", "count", (json_int_t)reading.count));
}

int hf_action_scan(struct hf_action_run *run)
{
	struct reading reading = {.call = run->call};
	json_t *limit = json_object_get(run->arguments, "limit");
	int r = parse_filters(run, &reading);
	if (r == HF_OK)
		r = run_query(run, &reading, false, json_is_integer(limit) ? (uint64_t)json_integer_value(limit) : UINT64_MAX);
	hf_arena_free(&reading.arena);
	return r;
}

static int export_one(void *context, const struct hf_doc *doc)
{
	struct reading *reading = context;
	if (reading->call->page_bytes_max && reading->call->out.length >= reading->call->page_bytes_max) {
		reading->next = doc->position;
		return 1;
	}
	return append_event(reading, doc);
}

int hf_action_export(struct hf_action_run *run)
{
	struct hf_action_call *call = run->call;
	struct reading reading = {.call = call};
	struct hf_snapshot *snapshot = hf_store_snapshot(call->store);
	if (!snapshot)
		return HF_ENOMEM;
	reading.total = hf_snapshot_doc_count(snapshot, run->collection);
	int r = hf_snapshot_scan(snapshot, run->collection, (uint64_t)json_integer_value(json_object_get(run->arguments, "from")), export_one,
		&reading);
	hf_snapshot_release(snapshot);
	if (r < 0)
		return r;
	return hf_action_append(&call->out, r > 0 ? json_pack("{s:I}", "next", (json_int_t)reading.next) : json_pack("{s:n}", "next"));
}
