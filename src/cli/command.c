/* command: words are matched first, then options, which may stand anywhere after them. An option is one of the common ones,
 * one of the command's own, or a setting of the configuration; anything else is refused with the nearest name. */
#include "cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/spec.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "service/aliases.h"

/* ---- Help ---- */

static void print_general_help(FILE *out)
{
	fputs("Holdfast keeps what communities share reachable. Today it is a Nostr relay, and Hypercores,\n"
		"Hyperbees and Hyperdrives with their replication.\n\n"
		"  holdfast gateway --data data --listen 127.0.0.1:7777     serve a relay at ws://127.0.0.1:7777\n"
		"  holdfast relay import --data data < events.jsonl         take in events, one JSON object a line\n"
		"  holdfast relay count --data data '{\"kinds\":[1]}'         ask it something\n"
		"  holdfast core create --data data --name notes            make a core; prints its key\n"
		"  holdfast core append --data data --name notes < lines    put blocks into it\n"
		"  holdfast bee create --data data --name people            make a database of keys and values\n"
		"  holdfast drive put --data data --name docs /a a.txt      put a file into a drive\n\n"
		"Commands:\n", out);
	for (size_t i = 0; i < hf_cli_command_count; i++)
		fprintf(out, "  %-16s %s\n", hf_cli_commands[i].words, hf_cli_commands[i].summary);
	fputs("\n`holdfast COMMAND --help` tells more. Settings come from --config FILE, HOLDFAST_… variables and flags, in rising order;\n"
		"`holdfast config explain` lists them all. Commands that need the data directory work on it when it is free, and through\n"
		"the running gateway when it is in use.\n\n"
		"Exit codes: 0 done, 1 failed, 2 wrong use, 3 wrong configuration, 4 data directory not usable, 5 corruption found.\n", out);
}

static void print_option_help(void *context, const struct hf_cli_option_spec *option)
{
	char both[HF_CONFIG_FLAG_BYTES + HF_CLI_VALUE_BYTES + 1];
	snprintf(both, sizeof both, "%s%s%s", option->name, option->value[0] ? "=" : "", option->value);
	fprintf(context, "  --%-22s %s\n", both, option->text);
}

static void print_command_help(const struct hf_cli_command *command, FILE *out)
{
	fprintf(out, "holdfast %s%s%s [options]\n\n%s.\n", command->words, command->arguments[0] ? " " : "", command->arguments, command->summary);
	if (command->details)
		fprintf(out, "\n%s\n", command->details);
	fputs("\nOptions:\n", out);
	hf_cli_each_option(command, print_option_help, out);
	if (command->wants_config)
		fputs("  --data=DIR               the data directory\n"
			"  --SECTION-NAME=VALUE     any setting; `holdfast config explain` lists them\n", out);
}

/* ---- Failing ---- */

int hf_cli_fail(const struct hf_failure *failure)
{
	hf_terminal_fail(failure->text[0] ? failure->text : hf_error_text(failure->code));
	switch (failure->code) {
	case HF_OK: return HF_CLI_OK;
	case HF_EBUSY: case HF_EVERSION: case HF_EEXISTS: case HF_ENOTFOUND: return HF_CLI_DATA;
	case HF_ECORRUPT: return HF_CLI_CORRUPT;
	default: return HF_CLI_FAILED;
	}
}

static int fail_usage(const char *what, const char *name, const char *near)
{
	fprintf(stderr, "holdfast: there is no %s \"%s\"%s%s%s `holdfast --help` lists what there is.\n", what, name,
		near ? "; did you mean \"" : ".", near ? near : "", near ? "\"?" : "");
	return HF_CLI_USAGE;
}

/* ---- Options ---- */

/* The name's length in "name=VALUE". */
static size_t name_length(const char *option)
{
	return strcspn(option, "=");
}

static const char *own_option(const struct hf_cli_command *command, const char *name, size_t length)
{
	for (const char *const *option = command->options; option && *option; option++)
		if (name_length(*option) == length && strncmp(*option, name, length) == 0)
			return *option;
	return NULL;
}

#define OPTION_NAMES_MAX 16
#define NAMES_MAX 128 /* of commands */

/* Says what is meant, if it is near one of the command's own options. */
static bool guess_own(const struct hf_cli_command *command, const char *given)
{
	char names[OPTION_NAMES_MAX][32];
	const char *pointers[OPTION_NAMES_MAX];
	size_t count = 0;
	for (const char *const *option = command->options; option && *option && count < OPTION_NAMES_MAX; option++, count++) {
		snprintf(names[count], sizeof names[count], "%.*s", (int)name_length(*option), *option);
		pointers[count] = names[count];
	}
	const char *near = hf_text_nearest(given, pointers, count);
	if (near)
		fprintf(stderr, "holdfast: There is no flag --%s; did you mean --%s? `holdfast %s --help` lists the options.\n", given, near,
			command->words);
	return near != NULL;
}

/* One option at argv[*at], which begins with --. Moves *at past a value that stands on its own. */
static int take_option(struct hf_cli *cli, const struct hf_config *names, int argc, char **argv, int *at)
{
	char *name = argv[*at] + 2;
	char *equals = strchr(name, '=');
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	const char *own = own_option(cli->command, name, length);
	char copy[64];
	snprintf(copy, sizeof copy, "%.*s", (int)length, name);
	const struct hf_setting *setting = own || !cli->command->wants_config ? NULL : hf_config_find_flag(names, copy);
	bool is_config = !own && cli->command->wants_config && strcmp(copy, "config") == 0;
	bool is_json = !own && strcmp(copy, "json") == 0;
	if (!own && !setting && !is_config && !is_json && guess_own(cli->command, copy))
		return HF_CLI_USAGE;
	if (!own && !setting && !is_config && !is_json) {
		struct hf_failure failure = {0};
		struct hf_config *scratch = NULL;
		if (hf_config_new(&scratch) == HF_OK)
			hf_config_set_flag(scratch, copy, "", &failure);
		hf_config_free(scratch);
		fprintf(stderr, "holdfast: %s `holdfast %s --help` lists the options.\n", failure.text, cli->command->words);
		return HF_CLI_USAGE;
	}
	bool wants_value = own ? own[length] == '=' : is_config || (setting && setting->type != HF_SETTING_BOOL);
	const char *value = equals ? equals + 1 : wants_value && *at + 1 < argc ? argv[++*at] : wants_value ? NULL : setting ? "yes" : "";
	if (!value || cli->option_count == HF_CLI_OPTION_COUNT_MAX || cli->setting_count == HF_CLI_OPTION_COUNT_MAX) {
		fprintf(stderr, "holdfast: --%s %s.\n", copy, value ? "is one option too many" : "needs a value");
		return HF_CLI_USAGE;
	}
	if (is_json)
		cli->json = true;
	else if (is_config)
		cli->config_path = value;
	else {
		if (equals)
			*equals = '\0';
		*(own ? &cli->options[cli->option_count++] : &cli->settings[cli->setting_count++]) = (struct hf_cli_option){name, value};
	}
	return HF_CLI_OK;
}

static int take_rest(struct hf_cli *cli, int argc, char **argv, int at)
{
	struct hf_config *names = NULL;
	int code = HF_CLI_OK;
	bool only_arguments = false;
	if (hf_config_new(&names) < 0)
		return HF_CLI_FAILED;
	for (; code == HF_CLI_OK && at < argc; at++) {
		if (!only_arguments && strcmp(argv[at], "--") == 0) {
			only_arguments = true;
		} else if (!only_arguments && strncmp(argv[at], "--", 2) == 0) {
			code = take_option(cli, names, argc, argv, &at);
		} else if (cli->argument_count < cli->command->argument_count_max) {
			cli->arguments[cli->argument_count++] = argv[at];
		} else {
			fprintf(stderr, "holdfast: \"%s\" is one argument too many; see `holdfast %s --help`.\n", argv[at], cli->command->words);
			code = HF_CLI_USAGE;
		}
	}
	hf_config_free(names);
	return code;
}

const char *hf_cli_option(const struct hf_cli *cli, const char *name)
{
	for (size_t i = 0; i < cli->option_count; i++)
		if (strcmp(cli->options[i].name, name) == 0)
			return cli->options[i].value;
	return NULL;
}

int hf_cli_load_config(struct hf_cli *cli, struct hf_config **out, struct hf_failure *failure)
{
	struct hf_config *config = NULL;
	*out = NULL;
	int r = hf_config_new(&config);
	if (r < 0)
		return hf_fail(failure, r, "Out of memory while reading the configuration.");
	if (cli->config_path)
		r = hf_config_read_file(config, cli->config_path, failure);
	if (r == HF_OK)
		r = hf_config_read_environment(config, environ, failure);
	for (size_t i = 0; r == HF_OK && i < cli->setting_count; i++)
		r = hf_config_set_flag(config, cli->settings[i].name, cli->settings[i].value, failure);
	if (r == HF_OK)
		r = hf_aliases_apply(config, environ, failure);
	if (r == HF_OK)
		r = hf_config_check(config, failure);
	if (r < 0) {
		hf_config_free(config);
		return r;
	}
	*out = config;
	return HF_OK;
}

/* ---- Running ---- */

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

/* The command whose words stand at the front; *used of them. */
static const struct hf_cli_command *find_command(int argc, char **argv, int *used)
{
	char two[64];
	snprintf(two, sizeof two, "%.30s %.30s", argv[1], argc > 2 ? argv[2] : "");
	for (size_t i = 0; i < hf_cli_command_count; i++) {
		const char *words = hf_cli_commands[i].words;
		*used = strchr(words, ' ') ? 2 : 1;
		if (strcmp(words, *used == 2 ? two : argv[1]) == 0)
			return &hf_cli_commands[i];
	}
	return NULL;
}

static int fail_command(int argc, char **argv)
{
	const char *names[NAMES_MAX];
	char given[64];
	size_t count = 0, family = 0, length = strlen(argv[1]);
	for (; count < hf_cli_command_count && count < NAMES_MAX; count++) {
		names[count] = hf_cli_commands[count].words;
		family += strncmp(names[count], argv[1], length) == 0 && names[count][length] == ' ';
	}
	bool of_family = family > 0 && (argc < 3 || argv[2][0] == '-');
	if (of_family) {
		bool is_asked = argc > 2 && is_help(argv[2]);
		for (size_t i = 0; i < count; i++)
			if (strncmp(names[i], argv[1], length) == 0 && names[i][length] == ' ')
				fprintf(is_asked ? stdout : stderr, "  holdfast %-16s %s\n", names[i], hf_cli_commands[i].summary);
		return is_asked ? HF_CLI_OK : HF_CLI_USAGE;
	}
	bool has_second = argc > 2 && argv[2][0] != '-';
	snprintf(given, sizeof given, "%.30s%s%.30s", argv[1], has_second ? " " : "", has_second ? argv[2] : "");
	return fail_usage("command", given, hf_text_nearest(given, names, count));
}

/* A reader that has gone, as `head` does, misses nothing. */
static bool is_printed(void)
{
	bool is_ok = !ferror(stdout);
	return (fflush(stdout) == 0 || errno == EPIPE) && is_ok;
}

static int fail_printing(void)
{
	hf_terminal_fail("What was to be printed could not be written.");
	return HF_CLI_FAILED;
}

int hf_cli_run(int argc, char **argv)
{
	struct hf_cli cli = {0};
	int used = 0;
	if (argc < 2 || is_help(argv[1])) {
		print_general_help(argc < 2 ? stderr : stdout);
		return argc < 2 ? HF_CLI_USAGE : HF_CLI_OK;
	}
	if (strcmp(argv[1], "--version") == 0)
		argv[1] = (char *)"version";
	cli.command = find_command(argc, argv, &used);
	if (!cli.command)
		return fail_command(argc, argv);
	for (int i = used + 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (is_help(argv[i]) && argv[i][0] == '-') {
			print_command_help(cli.command, stdout);
			return HF_CLI_OK;
		}
	hf_env_system(&cli.env);
	cli.config_path = getenv("HOLDFAST_CONFIG");
	int code = take_rest(&cli, argc, argv, used + 1);
	struct hf_failure failure = {0};
	if (code == HF_CLI_OK && cli.command->wants_config && !cli.command->loads_config && hf_cli_load_config(&cli, &cli.config, &failure) < 0) {
		hf_terminal_fail(failure.text);
		code = HF_CLI_CONFIG;
	}
	if (code == HF_CLI_OK)
		code = cli.command->run(&cli);
	hf_config_free(cli.config);
	return is_printed() || code != HF_CLI_OK ? code : fail_printing();
}
