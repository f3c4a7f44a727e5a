/* actions: taking the input apart, the table, and the actions on the store as a whole. */
#include "service/actions.h"

#include <stdio.h>
#include <stdlib.h>

#include "data/event/event.h"
#include "service/actions_private.h"

bool hf_action_next_line(struct hf_slice *data, struct hf_slice *line)
{
	if (data->length == 0)
		return false;
	const uint8_t *end = memchr(data->data, '\n', data->length);
	size_t length = end ? (size_t)(end - data->data) : data->length, used = end ? length + 1 : length;
	*line = hf_slice(data->data, length > 0 && data->data[length - 1] == '\r' ? length - 1 : length);
	data->data += used;
	data->length -= used;
	return true;
}

int hf_action_append(struct hf_buffer *out, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
	json_decref(value);
	int r = text ? hf_buffer_append_text(out, text) : HF_ENOMEM;
	free(text);
	return r == HF_OK ? hf_buffer_append(out, "\n", 1) : r;
}

/* ---- The store ---- */

static int store_stats(struct hf_action_run *run)
{
	struct hf_store_stats s;
	hf_store_stats(run->call->store, &s);
	return hf_action_append(&run->call->out, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
		"events", (json_int_t)s.doc_count, "dead_events", (json_int_t)s.dead_count, "disk_bytes", (json_int_t)s.disk_bytes,
		"log_bytes", (json_int_t)s.log_bytes, "log_live_bytes", (json_int_t)s.log_live_bytes, "index_bytes", (json_int_t)s.index_bytes,
		"table_bytes", (json_int_t)s.table_bytes, "log_segments", (json_int_t)s.log_segment_count,
		"index_segments", (json_int_t)s.segment_count, "position", (json_int_t)s.position, "commits", (json_int_t)s.commit_count,
		"groups", (json_int_t)s.group_count, "syncs", (json_int_t)s.sync_count, "corrupt", (json_int_t)s.corrupt_count));
}

struct faults {
	json_t *list;
	uint64_t count;
};

static void note_fault(void *context, const char *sentence)
{
	struct faults *f = context;
	if (f->count++ < HF_ACTION_FAULT_COUNT_MAX)
		json_array_append_new(f->list, json_string(sentence));
}

static int store_verify(struct hf_action_run *run)
{
	struct faults faults = {.list = json_array()};
	int r = hf_store_verify(run->call->store, note_fault, &faults);
	if (r < 0 && r != HF_ECORRUPT) {
		json_decref(faults.list);
		return hf_fail(&run->call->failure, r, "The store could not be verified: %s.", hf_error_text(r));
	}
	if (r == HF_ECORRUPT)
		hf_fail(&run->call->failure, r, "The store has %llu faults; what is named is not served, the rest is readable.",
			(unsigned long long)faults.count);
	int appended = hf_action_append(&run->call->out, json_pack("{s:b, s:I, s:o}", "sound", r == HF_OK, "fault_count",
		(json_int_t)faults.count, "faults", faults.list));
	return appended < 0 ? appended : r;
}

static int store_compact(struct hf_action_run *run)
{
	struct hf_store_stats before, after;
	hf_store_stats(run->call->store, &before);
	int r = hf_store_compact(run->call->store, &run->call->failure);
	if (r < 0)
		return r;
	hf_store_stats(run->call->store, &after);
	return hf_action_append(&run->call->out, json_pack("{s:I, s:I}", "disk_bytes_before", (json_int_t)before.disk_bytes,
		"disk_bytes_after", (json_int_t)after.disk_bytes));
}

static int store_backup(struct hf_action_run *run)
{
	const char *directory = json_string_value(json_object_get(run->arguments, "directory"));
	if (!directory || directory[0] != '/')
		return hf_fail(&run->call->failure, HF_EINVAL, "A backup needs the absolute path of a new directory.");
	int r = hf_store_backup(run->call->store, directory, &run->call->failure);
	return r < 0 ? r : hf_action_append(&run->call->out, json_pack("{s:s}", "directory", directory));
}

/* ---- A relay as a whole ---- */

struct census {
	struct hf_action_call *call;
	uint64_t *kinds; /* by kind */
	uint64_t events, payload_bytes, oldest, newest, total;
};

static int take_census(void *context, const struct hf_doc *doc)
{
	struct census *c = context;
	struct hf_event head;
	if (hf_event_unpack_head(doc->payload, &head, NULL) < 0)
		return HF_OK;
	c->kinds[head.kind]++;
	c->payload_bytes += doc->payload.length;
	c->oldest = c->events == 0 || head.created_at < c->oldest ? head.created_at : c->oldest;
	c->newest = head.created_at > c->newest ? head.created_at : c->newest;
	c->events++;
	if (c->call->progress)
		c->call->progress(c->call->context, c->events, c->total);
	return HF_OK;
}

/* The most frequent kinds, most frequent first. */
static json_t *frequent_kinds(const struct census *c)
{
	json_t *kinds = json_object();
	uint64_t below = UINT64_MAX;
	for (unsigned n = 0; n < HF_ACTION_KIND_COUNT_MAX && below > 1;) {
		uint64_t most = 0;
		for (uint32_t kind = 0; kind <= HF_EVENT_KIND_MAX; kind++)
			most = c->kinds[kind] > most && c->kinds[kind] < below ? c->kinds[kind] : most;
		for (uint32_t kind = 0; most > 0 && kind <= HF_EVENT_KIND_MAX && n < HF_ACTION_KIND_COUNT_MAX; kind++)
			if (c->kinds[kind] == most) {
				char name[16];
				snprintf(name, sizeof name, "%u", kind);
				json_object_set_new(kinds, name, json_integer((json_int_t)most));
				n++;
			}
		if (most == 0)
			break;
		below = most;
	}
	return kinds;
}

static int relay_stats(struct hf_action_run *run)
{
	struct hf_action_call *call = run->call;
	struct hf_snapshot *snapshot = hf_store_snapshot(call->store);
	struct census census = {.call = call, .kinds = calloc(HF_EVENT_KIND_MAX + 1, sizeof *census.kinds)};
	int r = snapshot && census.kinds ? HF_OK : HF_ENOMEM;
	if (r == HF_OK) {
		census.total = hf_snapshot_doc_count(snapshot, run->collection);
		r = hf_snapshot_scan(snapshot, run->collection, 0, take_census, &census);
	}
	if (snapshot)
		hf_snapshot_release(snapshot);
	if (r == HF_OK)
		r = hf_action_append(&call->out, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "relay",
			json_string_value(json_object_get(run->arguments, "relay")), "number", (json_int_t)run->collection, "events",
			(json_int_t)census.events, "event_bytes", (json_int_t)census.payload_bytes, "oldest_created_at", (json_int_t)census.oldest,
			"newest_created_at", (json_int_t)census.newest, "kinds", frequent_kinds(&census)));
	free(census.kinds);
	return r;
}

static int relay_rebuild(struct hf_action_run *run)
{
	struct hf_action_call *call = run->call;
	int r = hf_store_rebuild_index(call->store, run->collection, call->progress, call->context);
	if (r < 0)
		return hf_fail(&call->failure, r, "The index could not be rebuilt: %s.", hf_error_text(r));
	struct hf_snapshot *snapshot = hf_store_snapshot(call->store);
	uint64_t events = snapshot ? hf_snapshot_doc_count(snapshot, run->collection) : 0;
	if (snapshot)
		hf_snapshot_release(snapshot);
	return hf_action_append(&call->out, json_pack("{s:I}", "events", (json_int_t)events));
}

/* ---- The door ---- */

enum subject { OF_STORE, OF_RELAY, OF_CORES };

static const struct action {
	const char *name;
	int (*run)(struct hf_action_run *run);
	enum subject subject;
} actions[] = {
	{"relay/stats", relay_stats, OF_RELAY},          {"relay/count", hf_action_count, OF_RELAY},
	{"relay/scan", hf_action_scan, OF_RELAY},        {"relay/export", hf_action_export, OF_RELAY},
	{"relay/import", hf_action_import, OF_RELAY},    {"relay/rebuild", relay_rebuild, OF_RELAY},
	{"relay/info", hf_action_relay_info, OF_RELAY},  {"relay/rebuild-bee", hf_action_relay_rebuild_bee, OF_RELAY},
	{"store/stats", store_stats, OF_STORE},          {"store/verify", store_verify, OF_STORE},
	{"store/compact", store_compact, OF_STORE},      {"store/backup", store_backup, OF_STORE},
	{"audit/export", hf_action_audit_export, OF_STORE}, {"audit/verify", hf_action_audit_verify, OF_STORE},
	{"audit/tail", hf_action_audit_tail, OF_STORE},
	{"core/create", hf_action_core_create, OF_CORES}, {"core/info", hf_action_core_info, OF_CORES},
	{"core/list", hf_action_core_list, OF_CORES},    {"core/append", hf_action_core_append, OF_CORES},
	{"core/get", hf_action_core_get, OF_CORES},      {"core/seek", hf_action_core_seek, OF_CORES},
	{"core/truncate", hf_action_core_truncate, OF_CORES}, {"core/clear", hf_action_core_clear, OF_CORES},
	{"core/verify", hf_action_core_verify, OF_CORES},
	{"bee/create", hf_action_bee_create, OF_CORES},  {"bee/info", hf_action_bee_info, OF_CORES},
	{"bee/change", hf_action_bee_change, OF_CORES},  {"bee/get", hf_action_bee_get, OF_CORES},
	{"bee/list", hf_action_bee_list, OF_CORES},      {"bee/diff", hf_action_bee_diff, OF_CORES},
	{"bee/history", hf_action_bee_history, OF_CORES},
	{"drive/create", hf_action_drive_create, OF_CORES}, {"drive/info", hf_action_drive_info, OF_CORES},
	{"drive/change", hf_action_drive_change, OF_CORES}, {"drive/write", hf_action_drive_write, OF_CORES},
	{"drive/unfinished", hf_action_drive_unfinished, OF_CORES}, {"drive/clear", hf_action_drive_clear, OF_CORES},
	{"drive/list", hf_action_drive_list, OF_CORES}, {"drive/entry", hf_action_drive_entry, OF_CORES},
	{"drive/get", hf_action_drive_get, OF_CORES},   {"drive/diff", hf_action_drive_diff, OF_CORES},
	{"drive/truncate", hf_action_drive_truncate, OF_CORES},
};

static int run_on_cores(struct hf_action_run *run, const struct action *action)
{
	struct hf_action_call *call = run->call;
	struct hf_corestore_options options = {.size = sizeof options, .store = call->store, .env = call->env, .blocking = true};
	run->cores = call->cores;
	int r = run->cores ? HF_OK : hf_action_open_cores(&run->cores, &options, call->config, &call->failure);
	if (r == HF_OK)
		r = action->run(run);
	if (!call->cores)
		hf_corestore_close(run->cores);
	return r;
}

static int find_relay(struct hf_action_run *run)
{
	const struct hf_config *config = run->call->config;
	const char *name = json_string_value(json_object_get(run->arguments, "relay"));
	for (size_t i = 0; i < config->relay_count; i++)
		if (strcmp(config->relays[i]->instance, name ? name : "main") == 0) {
			run->collection = config->relays[i]->number ? (uint32_t)config->relays[i]->number : 1;
			if (!name)
				json_object_set_new(run->arguments, "relay", json_string("main"));
			return HF_OK;
		}
	return hf_fail(&run->call->failure, HF_ENOTFOUND, "There is no relay \"%s\" in the configuration.", name);
}

static const struct action *find_action(const char *name)
{
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
	return NULL;
}

bool hf_action_is_on_cores(const char *name)
{
	const struct action *action = find_action(name);
	return action && action->subject == OF_CORES;
}

int hf_action_run(const char *name, struct hf_action_call *call)
{
	struct hf_action_run run = {.call = call, .data = call->input};
	struct hf_slice line = {0};
	json_error_t error;
	const struct action *action = find_action(name);
	if (!action)
		return hf_fail(&call->failure, HF_ENOTFOUND, "There is no action \"%s\".", name);
	hf_action_next_line(&run.data, &line);
	run.arguments = line.length ? json_loadb((const char *)line.data, line.length, 0, &error) : json_object();
	if (!json_is_object(run.arguments)) {
		json_decref(run.arguments);
		return hf_fail(&call->failure, HF_EINVAL, "The first line of an action's input is a JSON object.");
	}
	int r = action->subject == OF_RELAY ? find_relay(&run) : HF_OK;
	if (r == HF_OK)
		r = action->subject == OF_CORES ? run_on_cores(&run, action) : action->run(&run);
	if (r < 0 && !call->failure.text[0])
		hf_fail(&call->failure, r, "%s failed: %s.", name, hf_error_text(r));
	json_decref(run.arguments);
	return r;
}
