/* token: what an operator asks a running gateway about its tokens, registrations and routes. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/target.h"
#include "cli/terminal.h"

/* The answer of a gateway that runs; NULL with the failure. */
static json_t *ask(struct hf_cli *cli, const char *action, json_t *arguments, struct hf_failure *failure)
{
	struct hf_cli_target target;
	struct hf_buffer out = {0};
	char *line = arguments ? json_dumps(arguments, JSON_COMPACT) : NULL;
	json_t *answer = NULL;
	bool is_open = false;
	json_decref(arguments);
	int r = line ? hf_cli_target_open(&target, cli, false, failure) : hf_fail(failure, HF_ENOMEM, "Out of memory.");
	is_open = r == HF_OK;
	if (is_open && !hf_cli_target_is_gateway(&target))
		r = hf_fail(failure, HF_ENOTFOUND, "No gateway runs on %s.", cli->config->data);
	else if (is_open && (r = hf_cli_target_run(&target, action, line, (struct hf_slice){0}, &out, failure)) == HF_OK)
		answer = json_loadb((const char *)out.data, out.length, 0, NULL);
	if (is_open)
		hf_cli_target_close(&target);
	if (r < 0)
		failure->code = r;
	hf_buffer_free(&out);
	free(line);
	return answer;
}

/* A list's objects, one a line: its members in the order of names, or all of it as JSON. */
static int show_list(struct hf_cli *cli, json_t *answer, const char *member, const char *const *names, const struct hf_failure *failure)
{
	json_t *item;
	size_t i;
	if (!answer)
		return hf_cli_fail(failure);
	if (cli->json) {
		char *text = json_dumps(answer, JSON_COMPACT);
		puts(text ? text : "{}");
		free(text);
	} else {
		json_array_foreach(json_object_get(answer, member), i, item) {
			for (const char *const *name = names; *name; name++) {
				json_t *value = json_object_get(item, *name);
				const char *text = json_string_value(value);
				if (name != names)
					putchar(' ');
				if (text)
					hf_terminal_text(stdout, hf_slice_text(text[0] ? text : "-"));
				else
					printf("%lld", (long long)json_integer_value(value));
			}
			putchar('\n');
		}
	}
	json_decref(answer);
	return HF_CLI_OK;
}

int hf_cli_admin_tokens(struct hf_cli *cli)
{
	static const char *const names[] = {"id", "state", "sequence", "expires_at", "relay", NULL};
	struct hf_failure failure = {0};
	return show_list(cli, ask(cli, "tokens/list", json_object(), &failure), "tokens", names, &failure);
}

int hf_cli_admin_routes(struct hf_cli *cli)
{
	static const char *const names[] = {"server", "access", "method", "path", NULL};
	struct hf_failure failure = {0};
	return show_list(cli, ask(cli, "gateway/routes", json_object(), &failure), "routes", names, &failure);
}

int hf_cli_admin_registrations(struct hf_cli *cli)
{
	static const char *const names[] = {"relay", "path", "peers", "principal", NULL};
	struct hf_failure failure = {0};
	return show_list(cli, ask(cli, "registry/list", json_object(), &failure), "relays", names, &failure);
}

static int show_facts(struct hf_cli *cli, json_t *answer, const struct hf_failure *failure)
{
	if (!answer)
		return hf_cli_fail(failure);
	if (cli->json) {
		char *text = json_dumps(answer, JSON_COMPACT);
		puts(text ? text : "{}");
		free(text);
	} else {
		hf_terminal_facts(answer);
	}
	json_decref(answer);
	return HF_CLI_OK;
}

static int need_relay(const char *command)
{
	fprintf(stderr, "holdfast: name the relay: `holdfast %s RELAY`.\n", command);
	return HF_CLI_USAGE;
}

int hf_cli_admin_revoke(struct hf_cli *cli)
{
	static const char *const options[][2] = {{"id", "tokenId"}, {"peer", "peer"}, {"user", "pubkey"}, {"reason", "reason"}};
	struct hf_failure failure = {0};
	if (cli->argument_count == 0)
		return need_relay("admin revoke");
	json_t *arguments = json_pack("{s:s}", "relayKey", cli->arguments[0]);
	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		if (hf_cli_option(cli, options[i][0]))
			json_object_set_new(arguments, options[i][1], json_string(hf_cli_option(cli, options[i][0])));
	return show_facts(cli, ask(cli, "tokens/revoke", arguments, &failure), &failure);
}

int hf_cli_admin_unregister(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	if (cli->argument_count == 0)
		return need_relay("admin unregister");
	return show_facts(cli, ask(cli, "registry/remove", json_pack("{s:s}", "relayKey", cli->arguments[0]), &failure), &failure);
}
