/* admin: what a running gateway answers who operates it: on admin.sock everything, over HTTP (admin_http.c) what is HF_ACCESS_ADMIN here.
 * Short things are answered on the loop; what reads or writes the store is an action that runs on the administration's own thread, one at
 * a time. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/action_http.h"
#include "base/list.h"
#include "service/audit.h"
#include "service/gateway/internal.h"
#include "service/metrics_http.h"

#define EXPORT_PAGE_BYTES (4u << 20)

/* An action that is away on the administration's thread. */
struct job {
	struct hf_work work;
	struct hf_loop_mail mail;
	struct hf_gateway *gateway;
	struct hf_http_exchange *exchange;
	struct hf_action_call call;
	struct hf_buffer input;
	int status;
	char name[HF_ACTION_NAME_BYTES];
};

static void handle_metrics(void *context, struct hf_http_exchange *exchange)
{
	struct hf_gateway *g = context;
	hf_metrics_http_answer(g->metrics, exchange);
}

void hf_gateway_respond_json(struct hf_http_exchange *exchange, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
	json_decref(value);
	hf_http_respond(exchange, text ? 200 : 503, "application/json", text ? hf_slice_text(text) : HF_SLICE_LITERAL("{}"), NULL);
	free(text);
}

static void add_name(void *context, const char *setting, const char *relay)
{
	json_array_append_new(context, relay ? json_sprintf("%s of relay %s", setting, relay) : json_string(setting));
}

json_t *hf_gateway_relay_json(const struct hf_relay *relay)
{
	struct hf_relay_stats s;
	json_t *refusals = json_object();
	hf_relay_stats(relay, &s);
	for (size_t i = 0; i < HF_RELAY_REFUSAL_COUNT; i++)
		json_object_set_new(refusals, hf_relay_refusal_name(i), json_integer((json_int_t)s.refused[i]));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I}", "connections", (json_int_t)s.connection_count,
		"subscriptions", (json_int_t)s.subscription_count, "in_flight", (json_int_t)s.in_flight_count, "stored", (json_int_t)s.stored_count,
		"duplicates", (json_int_t)s.duplicate_count, "ephemeral", (json_int_t)s.ephemeral_count, "refused", (json_int_t)s.refused_count,
		"refusals", refusals, "delivered", (json_int_t)s.delivered_count, "queries", (json_int_t)s.query_count);
}

/* What happened since the start, a relay each. */
static void handle_stats(void *context, struct hf_http_exchange *exchange)
{
	struct hf_gateway *g = context;
	json_t *relays = json_object();
	for (size_t i = 0; i < g->relay_count; i++)
		json_object_set_new(relays, hf_relay_instance(g->relays[i]), hf_gateway_relay_json(g->relays[i]));
	json_t *body = json_pack("{s:s, s:I, s:b, s:o}", "version", HF_VERSION, "up_ms",
		(json_int_t)((hf_env_monotonic_us(&g->env) - g->started_us) / 1000), "draining", g->is_draining, "relays", relays);
	hf_gateway_respond_json(exchange, body);
}

static void handle_config(void *context, struct hf_http_exchange *exchange)
{
	const struct hf_gateway *g = context;
	struct hf_buffer out = {0};
	if (hf_config_show(g->config, true, &out) == HF_OK)
		hf_http_respond(exchange, 200, "application/json", hf_buffer_slice(&out), NULL);
	else
		hf_http_respond(exchange, 503, "application/json", HF_SLICE_LITERAL("{}"), NULL);
	hf_buffer_free(&out);
}

void hf_gateway_note_act(struct hf_gateway *g, struct hf_http_exchange *exchange, const char *kind, json_t *fields)
{
	if (fields && exchange)
		json_object_set_new(fields, "by", json_string(hf_gateway_who(exchange)));
	char *text = fields ? json_dumps(fields, JSON_COMPACT) : NULL;
	hf_audit_write(g->audit, kind, hf_slice_text(text ? text : "{}"));
	free(text);
	json_decref(fields);
}

static void handle_reload(void *context, struct hf_http_exchange *exchange)
{
	struct hf_failure failure = {0};
	json_t *fields = json_pack("{s:s}", "by", hf_gateway_who(exchange));
	bool is_done = hf_gateway_reload(context, &failure) == HF_OK;
	hf_gateway_note_act(context, NULL, is_done ? "admin.reload" : "admin.reload-refused", fields);
	if (!is_done) {
		hf_action_http_fail(exchange, &failure);
		return;
	}
	json_t *waiting = json_array();
	hf_gateway_each_restart(context, ((const struct hf_gateway *)context)->config, add_name, waiting);
	hf_gateway_respond_json(exchange, json_pack("{s:i, s:o}", "status", 0, "needs_restart", waiting));
}

static void handle_drain(void *context, struct hf_http_exchange *exchange)
{
	hf_gateway_note_act(context, exchange, "admin.drain", json_object());
	hf_http_respond(exchange, 202, "application/json", HF_SLICE_LITERAL("{\"status\":0}\n"), NULL);
	hf_gateway_drain(context);
}

/* What a reload would do, without doing it. */
static void handle_check(void *context, struct hf_http_exchange *exchange)
{
	struct hf_gateway *g = context;
	struct hf_failure failure = {0};
	struct hf_config *config = NULL;
	if (g->options->load(g->options->context, &config, &failure) < 0) {
		hf_action_http_fail(exchange, &failure);
		return;
	}
	json_t *waiting = json_array();
	hf_gateway_each_restart(g, config, add_name, waiting);
	hf_config_free(config);
	hf_gateway_respond_json(exchange, json_pack("{s:o}", "needs_restart", waiting));
}

/* ---- A relay's bee, which is the loop's ---- */

/* The relay that the first line of the body names; answers when there is none. */
static struct hf_relay *named_relay(struct hf_gateway *g, struct hf_http_exchange *exchange)
{
	struct hf_slice body = hf_http_body(exchange);
	struct hf_failure failure = {0};
	json_t *arguments = json_loadb((const char *)body.data, body.length, JSON_DISABLE_EOF_CHECK, NULL);
	const char *name = json_string_value(json_object_get(arguments, "relay"));
	struct hf_relay *found = NULL;
	for (size_t i = 0; i < g->relay_count; i++)
		if (strcmp(hf_relay_instance(g->relays[i]), name ? name : "main") == 0)
			found = g->relays[i];
	if (!found) {
		hf_fail(&failure, HF_ENOTFOUND, "There is no relay \"%s\" in the configuration.", name ? name : "main");
		hf_action_http_fail(exchange, &failure);
	}
	json_decref(arguments);
	return found;
}

static void handle_relay_info(void *context, struct hf_http_exchange *exchange)
{
	struct hf_relay *relay = named_relay(context, exchange);
	struct hf_relay_bee_facts facts;
	if (!relay)
		return;
	bool has_bee = hf_relay_bee(relay) != NULL;
	if (has_bee)
		hf_relay_bee_facts(hf_relay_bee(relay), &facts);
	hf_gateway_respond_json(exchange, hf_action_relay_facts(hf_relay_instance(relay), hf_relay_identity(relay), has_bee ? &facts : NULL,
		true));
}

/* The bee of the relay that is named, something to be done to it; answers when there is none. */
static struct hf_relay_bee *named_bee(struct hf_gateway *g, struct hf_http_exchange *exchange, const char *act)
{
	struct hf_relay *relay = named_relay(g, exchange);
	struct hf_failure failure = {0};
	if (!relay)
		return NULL;
	if (hf_relay_bee(relay)) {
		hf_gateway_note_act(g, exchange, act, json_pack("{s:s}", "relay", hf_relay_instance(relay)));
		return hf_relay_bee(relay);
	}
	hf_fail(&failure, HF_ENOTFOUND, "The relay has no bee; it is made with relay.bee = yes.");
	hf_action_http_fail(exchange, &failure);
	return NULL;
}

static void handle_rebuild_bee(void *context, struct hf_http_exchange *exchange)
{
	struct hf_relay_bee *bee = named_bee(context, exchange, "admin.rebuild-bee");
	if (!bee)
		return;
	hf_relay_bee_rebuild(bee);
	hf_gateway_respond_json(exchange, json_pack("{s:b}", "begun", true));
}

static void set_paused(struct hf_gateway *g, struct hf_http_exchange *exchange, bool is_paused)
{
	struct hf_relay_bee *bee = named_bee(g, exchange, is_paused ? "admin.pause" : "admin.resume");
	if (!bee)
		return;
	hf_relay_bee_pause(bee, is_paused);
	hf_gateway_respond_json(exchange, json_pack("{s:b}", "paused", is_paused));
}

static void handle_pause(void *context, struct hf_http_exchange *exchange)
{
	set_paused(context, exchange, true);
}

static void handle_resume(void *context, struct hf_http_exchange *exchange)
{
	set_paused(context, exchange, false);
}

/* ---- Actions ---- */

static void job_done(struct hf_loop_mail *mail)
{
	struct job *job = HF_CONTAINER_OF(mail, struct job, mail);
	job->gateway->admin_job_count--;
	hf_action_http_answer(job->exchange, &job->call, job->status);
	hf_buffer_free(&job->input);
	free(job);
}

static void run_job(struct hf_work *work)
{
	struct job *job = (struct job *)(void *)work;
	job->status = hf_action_run(job->name, &job->call);
	hf_loop_post(job->gateway->loop, &job->mail);
}

/* The cores are the loop's where it has some. Who administers makes it wait. */
static void run_on_loop(struct hf_gateway *g, struct hf_http_exchange *exchange, struct job *job)
{
	struct hf_corestore *cores = hf_core_host_cores(g->cores);
	struct hf_action_call call = {.env = &g->env, .store = g->store, .config = g->first_config, .cores = cores,
		.input = hf_buffer_slice(&job->input), .page_bytes_max = EXPORT_PAGE_BYTES};
	bool was_blocking = hf_corestore_set_blocking(cores, true);
	int status = hf_action_run(job->name, &call);
	hf_corestore_set_blocking(cores, was_blocking);
	hf_action_http_answer(exchange, &call, status);
	hf_buffer_free(&job->input);
	free(job);
}

static void handle_action(void *context, struct hf_http_exchange *exchange)
{
	struct hf_gateway *g = context;
	struct hf_slice body = hf_http_body(exchange);
	struct hf_failure failure = {.code = HF_ENOMEM, .text = "The gateway is out of memory."};
	struct job *job = calloc(1, sizeof *job);
	if (!job || hf_buffer_append(&job->input, body.data, body.length) < 0) {
		free(job);
		hf_action_http_fail(exchange, &failure);
		return;
	}
	hf_action_http_name(exchange, job->name);
	if (g->cores && hf_action_is_on_cores(job->name)) {
		run_on_loop(g, exchange, job);
		return;
	}
	job->work.run = run_job;
	job->mail.deliver = job_done;
	job->gateway = g;
	job->exchange = exchange;
	job->call = (struct hf_action_call){.env = &g->env, .store = g->store, .executor = g->verify, .config = g->first_config,
		.input = hf_buffer_slice(&job->input), .page_bytes_max = EXPORT_PAGE_BYTES};
	g->admin_job_count++;
	if (g->admin->submit(g->admin, &job->work) < 0) {
		job->status = hf_fail(&job->call.failure, HF_EBUSY, "The gateway has too much administration to do; try again.");
		job_done(&job->mail);
	}
}

const struct hf_http_route hf_gateway_admin_routes[] = {
	HF_ROUTE("GET", "/admin/metrics", HF_ACCESS_ADMIN, handle_metrics),
	HF_ROUTE("GET", "/admin/stats", HF_ACCESS_ADMIN, handle_stats),
	HF_ROUTE("GET", "/admin/config", HF_ACCESS_ADMIN, handle_config),
	HF_ROUTE("GET", "/admin/health", HF_ACCESS_ADMIN, hf_gateway_handle_admin_health),
	HF_ROUTE("GET", "/admin/workers", HF_ACCESS_ADMIN, hf_gateway_handle_workers),
	HF_ROUTE("GET", "/admin/dispatcher", HF_ACCESS_ADMIN, hf_gateway_handle_dispatcher),
	HF_ROUTE("GET", "/admin/worker", HF_ACCESS_ADMIN, hf_gateway_handle_worker),
	HF_ROUTE("GET", "/admin/snapshot", HF_ACCESS_ADMIN, hf_gateway_handle_snapshot),
	HF_ROUTE("GET", "/admin/events", HF_ACCESS_ADMIN, hf_gateway_handle_events),
	HF_ROUTE("GET", "/admin/link", HF_ACCESS_SOCKET, hf_gateway_handle_link),
	HF_ROUTE("POST", "/admin/check", HF_ACCESS_ADMIN, handle_check),
	HF_ROUTE("POST", "/admin/reload", HF_ACCESS_ADMIN, handle_reload),
	HF_ROUTE("POST", "/admin/drain", HF_ACCESS_ADMIN, handle_drain),
	HF_ROUTE("POST", "/admin/relay/info", HF_ACCESS_ADMIN, handle_relay_info),
	HF_ROUTE("POST", "/admin/relay/rebuild-bee", HF_ACCESS_ADMIN, handle_rebuild_bee),
	HF_ROUTE("POST", "/admin/relay/pause", HF_ACCESS_ADMIN, handle_pause),
	HF_ROUTE("POST", "/admin/relay/resume", HF_ACCESS_ADMIN, handle_resume),
	HF_ROUTE("POST", "/admin/store/stats", HF_ACCESS_ADMIN, handle_action),
	HF_ROUTE("POST", "/admin/audit/*", HF_ACCESS_ADMIN, handle_action),
	/* They name files, carry keys and what people keep, or take long: for who is on the machine. */
	HF_ROUTE("POST", "/admin/relay/*", HF_ACCESS_SOCKET, handle_action),
	HF_ROUTE("POST", "/admin/store/*", HF_ACCESS_SOCKET, handle_action),
	HF_ROUTE("POST", "/admin/core/*", HF_ACCESS_SOCKET, handle_action),
	HF_ROUTE("POST", "/admin/bee/*", HF_ACCESS_SOCKET, handle_action),
	HF_ROUTE("POST", "/admin/drive/*", HF_ACCESS_SOCKET, handle_action),
};
/* Local, though it listens on loopback addresses only: pages elsewhere can make a browser here ask for it, and somebody may put a
 * proxy in front. */
const struct hf_http_route hf_gateway_metrics_route = HF_ROUTE("GET", "/metrics", HF_ACCESS_LOCAL, handle_metrics);
const size_t hf_gateway_admin_route_count = sizeof hf_gateway_admin_routes / sizeof *hf_gateway_admin_routes;
