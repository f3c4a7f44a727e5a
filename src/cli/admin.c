/* admin: what is asked of a gateway that runs. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/door.h"
#include "cli/target.h"
#include "cli/terminal.h"
#include "service/gateway/admin_guard.h"

#define ANSWER_BYTES_MAX (16u << 20)

/* The gateway that holds the data directory. HF_ENOTFOUND: none does. */
static int find(struct hf_cli *cli, char path[static HF_PATH_BYTES_MAX], struct hf_failure *failure)
{
	struct hf_cli_target target;
	int r = hf_cli_target_open(&target, cli, false, failure);
	if (r < 0)
		return r;
	bool is_gateway = hf_cli_target_is_gateway(&target);
	memcpy(path, target.admin_path, HF_PATH_BYTES_MAX);
	hf_cli_target_close(&target);
	return is_gateway ? HF_OK : hf_fail(failure, HF_ENOTFOUND, "No gateway runs on %s.", cli->config->data);
}

static int read_refusal(const json_t *answer, unsigned status, struct hf_failure *failure)
{
	const char *why = json_string_value(json_object_get(answer, "error"));
	int code = (int)json_integer_value(json_object_get(answer, "status"));
	return why ? hf_fail(failure, code < 0 ? code : HF_EIO, "%s", why)
		: hf_fail(failure, HF_EIO, "The gateway answered with HTTP status %u.", status);
}

/* One question; body NULL: GET. The answer, or NULL with the failure. An unhealthy gateway answers with status 503, and a body. */
static json_t *ask(struct hf_cli *cli, const char *what, const char *body, struct hf_failure *failure)
{
	char path[HF_PATH_BYTES_MAX];
	unsigned status = 0;
	struct hf_buffer text = {0};
	const struct hf_cli_question question = {.what = what, .socket_path = path, .content_type = body ? "application/json" : NULL,
		.body = hf_slice_text(body ? body : ""), .answer_bytes_max = ANSWER_BYTES_MAX};
	int r = find(cli, path, failure);
	if (r == HF_OK)
		r = hf_cli_door_ask(cli, &question, &status, &text, failure);
	json_t *answer = r == HF_OK ? json_loadb((const char *)text.data, text.length, 0, NULL) : NULL;
	hf_buffer_free(&text);
	bool is_answer = status / 100 == 2 || (status == 503 && json_object_get(answer, "reasons"));
	if (r == HF_OK && (!answer || !is_answer)) {
		read_refusal(answer, status, failure);
		json_decref(answer);
		answer = NULL;
	} else if (r < 0) {
		failure->code = r;
	}
	return answer;
}

static void print_json(json_t *answer)
{
	char *text = json_dumps(answer, JSON_COMPACT);
	puts(text ? text : "{}");
	free(text);
}

/* Prints the answer and lets it go. */
static int show(struct hf_cli *cli, json_t *answer, const struct hf_failure *failure)
{
	if (!answer)
		return hf_cli_fail(failure);
	if (cli->json)
		print_json(answer);
	else
		hf_terminal_facts(answer);
	json_decref(answer);
	return HF_CLI_OK;
}

/* One that answers only that it is done. */
static int order(struct hf_cli *cli, const char *what, const char *done)
{
	struct hf_failure failure = {0};
	json_t *answer = ask(cli, what, "{}", &failure);
	if (answer && !cli->json) {
		puts(done);
		json_decref(answer);
		return HF_CLI_OK;
	}
	return show(cli, answer, &failure);
}

/* ---- How it is ---- */

static void print_health(json_t *health)
{
	size_t i;
	json_t *reason;
	printf("status: %s\n", json_string_value(json_object_get(health, "status")));
	json_array_foreach(json_object_get(health, "reasons"), i, reason)
		printf("  %s: %s\n", json_string_value(json_object_get(reason, "name")), json_string_value(json_object_get(reason, "why")));
}

int hf_cli_admin_health(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	json_t *health = ask(cli, "health", NULL, &failure);
	if (!health)
		return hf_cli_fail(&failure);
	bool is_ready = json_is_true(json_object_get(health, "ready"));
	if (cli->json)
		print_json(health);
	else
		print_health(health);
	json_decref(health);
	return is_ready ? HF_CLI_OK : HF_CLI_FAILED;
}

int hf_cli_admin_status(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	const char *name;
	json_t *facts, *status = ask(cli, "stats", NULL, &failure);
	if (!status || cli->json)
		return show(cli, status, &failure);
	json_t *relays = json_incref(json_object_get(status, "relays"));
	json_object_del(status, "relays");
	hf_terminal_facts(status);
	json_object_foreach(relays, name, facts) {
		printf("\nrelay %s\n", name);
		hf_terminal_facts(facts);
	}
	json_decref(relays);
	json_decref(status);
	return HF_CLI_OK;
}

/* ---- Workers ---- */

/* A list in the answer, each entry as facts under its name. */
static void print_list(const json_t *list, const char *kind, const char *name)
{
	size_t i;
	json_t *entry;
	json_array_foreach(list, i, entry) {
		printf("\n%s %s\n", kind, json_string_value(json_object_get(entry, name)));
		json_object_del(entry, name);
		hf_terminal_facts(entry);
	}
	if (json_array_size(list) == 0)
		printf("no %s\n", kind);
}

int hf_cli_admin_workers(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	json_t *answer = ask(cli, "workers", NULL, &failure);
	if (!answer || cli->json)
		return show(cli, answer, &failure);
	print_list(json_object_get(answer, "workers"), "worker", "peer");
	json_decref(answer);
	return HF_CLI_OK;
}

int hf_cli_admin_dispatcher(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	json_t *answer = ask(cli, "dispatcher", NULL, &failure);
	if (!answer || cli->json)
		return show(cli, answer, &failure);
	puts("jobs");
	hf_terminal_facts(json_object_get(answer, "jobs"));
	puts("\nsessions");
	hf_terminal_facts(json_object_get(answer, "sessions"));
	print_list(json_object_get(answer, "peers"), "worker", "peer");
	json_decref(answer);
	return HF_CLI_OK;
}

/* ---- What it is told ---- */

static char *relay_body(const struct hf_cli *cli)
{
	const char *relay = hf_cli_option(cli, "relay");
	json_t *body = json_pack("{s:s}", "relay", relay ? relay : "main");
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	return text;
}

static int set_paused(struct hf_cli *cli, const char *what, const char *done)
{
	struct hf_failure failure = {0};
	char *body = relay_body(cli);
	json_t *answer = body ? ask(cli, what, body, &failure) : NULL;
	free(body);
	if (answer && !cli->json) {
		puts(done);
		json_decref(answer);
		return HF_CLI_OK;
	}
	return show(cli, answer, &failure);
}

int hf_cli_admin_pause(struct hf_cli *cli)
{
	return set_paused(cli, "relay/pause", "Peers get nothing of the relay's bee until `holdfast admin resume` or a restart.");
}

int hf_cli_admin_resume(struct hf_cli *cli)
{
	return set_paused(cli, "relay/resume", "Peers get the relay's bee again.");
}

int hf_cli_admin_drain(struct hf_cli *cli)
{
	return order(cli, "drain", "The gateway lets its clients go and ends.");
}

int hf_cli_admin_reload(struct hf_cli *cli)
{
	return order(cli, "reload", "The configuration is in force; `holdfast admin check` says what waits for a restart.");
}

int hf_cli_admin_check(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	size_t i;
	json_t *name, *answer = ask(cli, "check", "{}", &failure);
	if (!answer || cli->json)
		return show(cli, answer, &failure);
	puts("The configuration is right.");
	json_array_foreach(json_object_get(answer, "needs_restart"), i, name)
		printf("  %s changes only with a restart\n", json_string_value(name));
	json_decref(answer);
	return HF_CLI_OK;
}

/* ---- The token, and the dashboard ---- */

int hf_cli_admin_token(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	const char *path = cli->argument_count > 0 ? cli->arguments[0] : "admin.token";
	failure.code = hf_admin_token_make(&cli->env, path, &failure);
	if (failure.code < 0)
		return hf_cli_fail(&failure);
	printf("%s holds a new token: name it in admin.token_file.\n", path);
	return HF_CLI_OK;
}

int hf_cli_admin_link(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	json_t *answer = ask(cli, "link", NULL, &failure);
	if (!answer || cli->json)
		return show(cli, answer, &failure);
	const char *token = json_string_value(json_object_get(answer, "token"));
	printf("%s%s%s\n", json_string_value(json_object_get(answer, "url")), token ? "#token=" : "", token ? token : "");
	json_decref(answer);
	return HF_CLI_OK;
}
