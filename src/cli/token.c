/* token: what an operator asks a running gateway about its tokens, registrations and routes. */
#include <jansson.h>
#include <stdio.h>

#include "base/text.h"
#include "cli/ask.h"
#include "cli/terminal.h"

#define PAGE_COUNT_MAX 1000 /* that a gateway gives at once */

/* A list's objects, one a line: its members in the order of names. */
static void print_items(const json_t *items, const char *const *names)
{
	json_t *item;
	size_t i;
	json_array_foreach(items, i, item) {
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

int hf_cli_admin_routes(struct hf_cli *cli)
{
	static const char *const names[] = {"server", "access", "method", "path", NULL};
	struct hf_failure failure = {0};
	json_t *answer = hf_cli_ask(cli, "gateway/routes", json_object(), &failure);
	if (!answer)
		return hf_cli_fail(&failure);
	if (cli->json)
		hf_terminal_json(answer);
	else
		print_items(json_object_get(answer, "routes"), names);
	json_decref(answer);
	return HF_CLI_OK;
}

/* ---- Lists that come in pages ---- */

struct listing {
	struct hf_cli *cli;
	const char *action, *member, *const *names;
	uint64_t left;  /* items that are wanted still */
	json_t *after;  /* where the next page begins; NULL: at the first item, and after the last page */
	json_t *items;  /* with --json: all so far */
};

static int read_limit(struct listing *l)
{
	const char *text = hf_cli_option(l->cli, "limit");
	l->left = UINT64_MAX;
	if (!text || (hf_text_to_u64(text, &l->left) == HF_OK && l->left > 0))
		return HF_CLI_OK;
	fprintf(stderr, "holdfast: --limit takes a number from 1 on, not \"%.40s\".\n", text);
	return HF_CLI_USAGE;
}

static bool take_page(struct listing *l, struct hf_failure *failure)
{
	json_t *arguments = json_pack("{s:I}", "limit", (json_int_t)(l->left < PAGE_COUNT_MAX ? l->left : PAGE_COUNT_MAX));
	if (l->after)
		json_object_set(arguments, "after", l->after);
	json_t *answer = hf_cli_ask(l->cli, l->action, arguments, failure);
	if (!answer)
		return false;
	json_t *items = json_object_get(answer, l->member), *next = json_object_get(answer, "next");
	bool has_more = json_is_string(next) && !json_equal(next, l->after);
	l->left -= json_array_size(items) < l->left ? json_array_size(items) : l->left;
	if (l->items)
		json_array_extend(l->items, items);
	else
		print_items(items, l->names);
	json_decref(l->after);
	l->after = has_more ? json_incref(next) : NULL;
	json_decref(answer);
	return true;
}

static int list(struct hf_cli *cli, const char *action, const char *member, const char *const *names)
{
	struct listing l = {.cli = cli, .action = action, .member = member, .names = names, .items = cli->json ? json_array() : NULL};
	struct hf_failure failure = {0};
	bool is_right = true;
	int code = read_limit(&l);
	if (hf_cli_option(cli, "after"))
		l.after = json_string(hf_cli_option(cli, "after"));
	while (code == HF_CLI_OK && (is_right = take_page(&l, &failure)) && l.after && l.left > 0)
		;
	if (!is_right)
		code = hf_cli_fail(&failure);
	if (code == HF_CLI_OK && cli->json) {
		json_t *whole = json_pack("{s:O, s:o}", member, l.items, "next", l.after ? json_incref(l.after) : json_null());
		hf_terminal_json(whole);
		json_decref(whole);
	} else if (code == HF_CLI_OK && l.after) {
		fprintf(stderr, "holdfast: there are more, behind --after ");
		hf_terminal_text(stderr, hf_slice_text(json_string_value(l.after)));
		fprintf(stderr, "\n");
	}
	json_decref(l.after);
	json_decref(l.items);
	return code;
}

int hf_cli_admin_tokens(struct hf_cli *cli)
{
	static const char *const names[] = {"id", "state", "sequence", "expires_at", "relay", NULL};
	return list(cli, "tokens/list", "tokens", names);
}

int hf_cli_admin_registrations(struct hf_cli *cli)
{
	static const char *const names[] = {"relay", "path", "peers", "principal", NULL};
	return list(cli, "registry/list", "relays", names);
}

/* ---- Acts ---- */

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
	return hf_cli_show(cli, hf_cli_ask(cli, "tokens/revoke", arguments, &failure), &failure);
}

int hf_cli_admin_unregister(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	if (cli->argument_count == 0)
		return need_relay("admin unregister");
	return hf_cli_show(cli, hf_cli_ask(cli, "registry/remove", json_pack("{s:s}", "relayKey", cli->arguments[0]), &failure), &failure);
}
