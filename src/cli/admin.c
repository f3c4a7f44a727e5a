/* admin: what is asked of a gateway that runs. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/ask.h"
#include "cli/terminal.h"
#include "service/gateway/admin_guard.h"

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
	json_t *health = hf_cli_ask(cli, "health", NULL, &failure);
	if (!health)
		return hf_cli_fail(&failure);
	bool is_ready = json_is_true(json_object_get(health, "ready"));
	if (cli->json)
		hf_terminal_json(health);
	else
		print_health(health);
	json_decref(health);
	return is_ready ? HF_CLI_OK : HF_CLI_FAILED;
}

int hf_cli_admin_status(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	const char *name;
	json_t *facts, *status = hf_cli_ask(cli, "stats", NULL, &failure);
	if (!status || cli->json)
		return hf_cli_show(cli, status, &failure);
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
	json_t *answer = hf_cli_ask(cli, "workers", NULL, &failure);
	if (!answer || cli->json)
		return hf_cli_show(cli, answer, &failure);
	print_list(json_object_get(answer, "workers"), "worker", "peer");
	json_decref(answer);
	return HF_CLI_OK;
}

int hf_cli_admin_dispatcher(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	json_t *answer = hf_cli_ask(cli, "dispatcher", NULL, &failure);
	if (!answer || cli->json)
		return hf_cli_show(cli, answer, &failure);
	puts("jobs");
	hf_terminal_facts(json_object_get(answer, "jobs"));
	puts("\nsessions");
	hf_terminal_facts(json_object_get(answer, "sessions"));
	print_list(json_object_get(answer, "peers"), "worker", "peer");
	json_decref(answer);
	return HF_CLI_OK;
}

/* ---- What it is told ---- */

static int order(struct hf_cli *cli, const char *what, json_t *arguments, const char *done)
{
	struct hf_failure failure = {0};
	json_t *answer = hf_cli_ask(cli, what, arguments, &failure);
	return hf_cli_show_done(cli, answer, done, &failure);
}

static json_t *named_relay(const struct hf_cli *cli)
{
	const char *relay = hf_cli_option(cli, "relay");
	return json_pack("{s:s}", "relay", relay ? relay : "main");
}

int hf_cli_admin_pause(struct hf_cli *cli)
{
	return order(cli, "relay/pause", named_relay(cli), "Peers get nothing of the relay's bee until `holdfast admin resume` or a restart.");
}

int hf_cli_admin_resume(struct hf_cli *cli)
{
	return order(cli, "relay/resume", named_relay(cli), "Peers get the relay's bee again.");
}

int hf_cli_admin_drain(struct hf_cli *cli)
{
	return order(cli, "drain", json_object(), "The gateway lets its clients go and ends.");
}

/* The answer of check and of reload: all is right, and what waits for a restart. */
static int show_waiting(struct hf_cli *cli, const char *what, const char *right)
{
	struct hf_failure failure = {0};
	size_t i;
	json_t *name, *answer = hf_cli_ask(cli, what, json_object(), &failure);
	if (!answer || cli->json)
		return hf_cli_show(cli, answer, &failure);
	puts(right);
	json_array_foreach(json_object_get(answer, "needs_restart"), i, name)
		printf("  %s changes only with a restart\n", json_string_value(name));
	json_decref(answer);
	return HF_CLI_OK;
}

int hf_cli_admin_reload(struct hf_cli *cli)
{
	return show_waiting(cli, "reload", "The configuration is in force.");
}

int hf_cli_admin_check(struct hf_cli *cli)
{
	return show_waiting(cli, "check", "The configuration is right.");
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
	json_t *answer = hf_cli_ask(cli, "link", NULL, &failure);
	if (!answer || cli->json)
		return hf_cli_show(cli, answer, &failure);
	const char *token = json_string_value(json_object_get(answer, "token"));
	printf("%s%s%s\n", json_string_value(json_object_get(answer, "url")), token ? "#token=" : "", token ? token : "");
	json_decref(answer);
	return HF_CLI_OK;
}
