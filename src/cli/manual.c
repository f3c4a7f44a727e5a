/* manual: manual pages in mdoc: holdfast.1, a page for each family of commands, and holdfast.conf.5. What they say stands in the table of
 * commands and that of settings. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/manual_text.h"
#include "cli/spec.h"
#include "cli/table.h"

#define PAGE_BYTES 64
#define PAGE_DATE "November 28, 2026" /* mdoc wants one; that of the version */

static void print_title(const char *name, const char *section, const char *what)
{
	char upper[PAGE_BYTES];
	size_t i = 0;
	for (; name[i] && i + 1 < sizeof upper; i++)
		upper[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 'a' + 'A') : name[i];
	upper[i] = '\0';
	printf(".Dd " PAGE_DATE "\n.Dt ");
	hf_manual_word(upper);
	printf(" %s\n.Os Holdfast " HF_VERSION "\n.Sh NAME\n.Nm ", section);
	hf_manual_word(name);
	fputs("\n.Nd ", stdout);
	hf_manual_line(what);
}

static const char exit_codes[] =
	".Sh EXIT STATUS\n.Bl -tag -width Ds\n"
	".It 0\nDone.\n.It 1\nFailed; a sentence on standard error says why.\n.It 2\nAn unknown command, option or argument.\n"
	".It 3\nThe configuration has an error.\n.It 4\nThe data directory is not there, in use, or of another format.\n"
	".It 5\nStored bytes do not match their checksums.\n.El\n";

static const char environment[] =
	".Sh ENVIRONMENT\n.Bl -tag -width Ds\n"
	".It Ev HOLDFAST_CONFIG\nThe configuration file, as\n.Fl \\-config\nnames it.\n"
	".It Ev HOLDFAST_SECTION_NAME\nAny setting: see\n.Xr holdfast.conf 5 .\n.El\n";

/* ---- A family ---- */

static void print_option(void *context, const struct hf_cli_option_spec *option)
{
	fputs(".It Fl \\-", stdout);
	hf_manual_word(option->name);
	if (option->value[0]) {
		fputs(" Ns = Ns Ar ", stdout);
		hf_manual_word(option->value);
	}
	putchar('\n');
	hf_manual_line(option->text);
}

static void print_usage(const struct hf_cli_command *command)
{
	fputs(".Nm holdfast\n.Cm ", stdout);
	hf_manual_word(command->words);
	fputs("\n", stdout);
	if (command->arguments[0]) {
		fputs(".Ar ", stdout);
		hf_manual_word(command->arguments);
		putchar('\n');
	}
	fputs(".Op Ar options\n", stdout);
}

static bool is_of_family(const struct hf_cli_command *command, const char *family)
{
	char own[HF_CLI_WORD_BYTES];
	return strcmp(hf_cli_family(command, own), family) == 0;
}

static void print_command(const struct hf_cli_command *command)
{
	fputs(".Ss holdfast ", stdout);
	hf_manual_word(command->words);
	if (command->arguments[0]) {
		putchar(' ');
		hf_manual_word(command->arguments);
	}
	putchar('\n');
	char summary[256];
	snprintf(summary, sizeof summary, "%s.", command->summary);
	hf_manual_line(summary);
	if (command->details) {
		if (command->details[0] != ' ')
			fputs(".Pp\n", stdout);
		hf_manual_paragraphs(command->details);
	}
	fputs(".Bl -tag -width Ds\n", stdout);
	hf_cli_each_option(command, print_option, NULL);
	if (command->wants_config)
		fputs(".It Fl \\-data Ns = Ns Ar DIRECTORY\nThe data directory.\n"
			".It Fl \\-SECTION\\-NAME Ns = Ns Ar VALUE\nAny setting of\n.Xr holdfast.conf 5 .\n", stdout);
	fputs(".El\n", stdout);
}

/* What the page is for: the one command's summary, or the words of all. */
static void family_summary(const char *family, size_t size, char *out)
{
	size_t used = 0, count = 0;
	for (size_t i = 0; i < hf_cli_command_count; i++) {
		const struct hf_cli_command *command = &hf_cli_commands[i];
		const char *second = hf_cli_second_word(command);
		if (!is_of_family(command, family) || used >= size)
			continue;
		if (second)
			used += (size_t)snprintf(out + used, size - used, "%s%s", count++ ? ", " : "the commands ", second);
		else
			used += (size_t)snprintf(out, size, "%s", command->summary);
	}
}

static void print_family(const char *page, const char *family)
{
	char summary[512];
	family_summary(family, sizeof summary, summary);
	print_title(page, "1", summary);
	fputs(".Sh SYNOPSIS\n", stdout);
	for (size_t i = 0; i < hf_cli_command_count; i++)
		if (is_of_family(&hf_cli_commands[i], family))
			print_usage(&hf_cli_commands[i]);
	fputs(".Sh DESCRIPTION\nAn option may stand anywhere behind the command's words.\n"
		"Output that a program may read goes to standard output,\n"
		"everything else to standard error.\n", stdout);
	for (size_t i = 0; i < hf_cli_command_count; i++)
		if (is_of_family(&hf_cli_commands[i], family))
			print_command(&hf_cli_commands[i]);
	fputs(environment, stdout);
	fputs(exit_codes, stdout);
	fputs(".Sh SEE ALSO\n.Xr holdfast 1 ,\n.Xr holdfast.conf 5\n", stdout);
}

/* ---- The whole ---- */

static int compare_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

#define FAMILY_COUNT_MAX 64

static void print_references(void)
{
	char families[FAMILY_COUNT_MAX][HF_CLI_WORD_BYTES];
	size_t count = 0;
	for (size_t i = 0; i < hf_cli_command_count && count < FAMILY_COUNT_MAX; i++)
		if (hf_cli_is_first_of_family(i))
			hf_cli_family(&hf_cli_commands[i], families[count++]);
	qsort(families, count, sizeof *families, compare_text);
	for (size_t i = 0; i < count; i++)
		printf(".Xr holdfast\\-%s 1 ,\n", families[i]);
}

static void print_all(void)
{
	print_title("holdfast", "1", "an always-on peer: Nostr relays, Hypercores, and relays on members' machines");
	fputs(".Sh SYNOPSIS\n.Nm\n.Cm command\n.Op Ar options\n.Op Ar arguments\n.Nm\n.Fl \\-help\n.Nm\n.Fl \\-version\n"
		".Sh DESCRIPTION\nHoldfast keeps what communities share reachable without owning it.\n"
		".Pp\nThe options of each command are in the page of its first word:\n.Xr holdfast\\-core 1\nhas those of\n.Cm core create .\n"
		"Settings come from a configuration file, the environment and the command line, in rising order; they are in\n"
		".Xr holdfast.conf 5 .\n.Pp\n"
		"Commands that need the data directory work on it when it is free, and through the running gateway when it is in use.\n"
		".Sh COMMANDS\n.Bl -tag -width Ds\n", stdout);
	for (size_t i = 0; i < hf_cli_command_count; i++) {
		fputs(".It Cm ", stdout);
		hf_manual_word(hf_cli_commands[i].words);
		if (hf_cli_commands[i].arguments[0]) {
			fputs(" Ar ", stdout);
			hf_manual_word(hf_cli_commands[i].arguments);
		}
		putchar('\n');
		hf_manual_line(hf_cli_commands[i].summary);
	}
	fputs(".El\n", stdout);
	fputs(environment, stdout);
	fputs(exit_codes, stdout);
	fputs(".Sh SEE ALSO\n", stdout);
	print_references();
	fputs(".Xr holdfast.conf 5\n", stdout);
}

/* ---- The configuration ---- */

static void print_setting(const struct hf_setting *setting)
{
	char flag[HF_CONFIG_FLAG_BYTES], variable[HF_CONFIG_FLAG_BYTES], range[HF_CONFIG_RANGE_BYTES];
	fputs(".It Va ", stdout);
	hf_manual_word(setting->name);
	fputs("\n", stdout);
	hf_manual_line(setting->reason);
	fputs(".br\n", stdout);
	hf_manual_word(hf_config_kind_text(setting));
	if (hf_config_range_text(setting, range)[0]) {
		fputs(", ", stdout);
		hf_manual_word(range);
	}
	fputs("; default: ", stdout);
	hf_manual_word(setting->default_text[0] ? setting->default_text : "(empty)");
	fputs(setting->reloadable ? "; SIGHUP applies a change\n.br\n" : "\n.br\n", stdout);
	hf_manual_word(hf_config_flag_text(setting, flag));
	fputs(", ", stdout);
	hf_manual_word(hf_config_variable_text(setting, variable));
	putchar('\n');
}

static void print_configuration(void)
{
	print_title("holdfast.conf", "5", "settings of Holdfast");
	fputs(".Sh DESCRIPTION\n"
		"A value comes from its default, this file, the environment or the command line; the later wins.\n"
		"What is unknown or wrong is refused with its place and the nearest known name.\n"
		".Pp\nThe file has sections in brackets and lines of\n.Va name\n=\n.Ar value .\n"
		"A semicolon or # begins a comment.\nThere is one section\n.Bq relay Ar NAME\nfor each relay;\n.Bq relay\nis the relay main.\n"
		"Sizes are 64k, 25 MB, 1 GiB (powers of 1024), times 250ms, 10s, 15m, 2h, 7d, switches yes and no.\n"
		".Pp\nFor relays other than main flags and variables have the relay's name behind the section's:\n"
		".Fl \\-relay\\-side\\-name ,\n.Ev HOLDFAST_RELAY_SIDE_NAME .\n", stdout);
	const char *section = "";
	for (size_t i = 0; i < hf_setting_count; i++) {
		if (strcmp(section, hf_settings[i].section) != 0) {
			fputs(section[0] ? ".El\n" : "", stdout);
			section = hf_settings[i].section;
			printf(".Ss [%s]\n.Bl -tag -width Ds\n", strcmp(section, "relay") == 0 ? "relay NAME" : section);
		}
		print_setting(&hf_settings[i]);
	}
	fputs(".El\n.Sh FILES\n.Bl -tag -width Ds\n"
		".It Pa /etc/holdfast/holdfast.conf\nThe file that the Debian package's units name.\n.El\n"
		".Sh SEE ALSO\n.Xr holdfast 1 ,\n.Xr holdfast\\-config 1 ,\n.Xr holdfast\\-gateway 1\n", stdout);
}

/* ---- Which ---- */

static void each_family(void (*each)(size_t index, void *context), void *context)
{
	for (size_t i = 0; i < hf_cli_command_count; i++)
		if (hf_cli_is_first_of_family(i))
			each(i, context);
}

static void print_page_name(size_t index, void *context)
{
	char family[HF_CLI_WORD_BYTES];
	printf("holdfast-%s.1\n", hf_cli_family(&hf_cli_commands[index], family));
}

static void find_page(size_t index, void *context)
{
	char family[HF_CLI_WORD_BYTES], page[PAGE_BYTES];
	const char **name = context;
	snprintf(page, sizeof page, "holdfast-%s", hf_cli_family(&hf_cli_commands[index], family));
	size_t length = strlen(page);
	if (!*name || strncmp(*name, page, length) != 0 || ((*name)[length] && strcmp(*name + length, ".1") != 0))
		return;
	print_family(page, family);
	*name = NULL;
}

int hf_cli_manual(struct hf_cli *cli)
{
	const char *name = cli->argument_count > 0 ? cli->arguments[0] : NULL;
	if (!name) {
		puts("holdfast.1");
		each_family(print_page_name, NULL);
		puts("holdfast.conf.5");
		return HF_CLI_OK;
	}
	if (strcmp(name, "holdfast") == 0 || strcmp(name, "holdfast.1") == 0)
		print_all();
	else if (strcmp(name, "holdfast.conf") == 0 || strcmp(name, "holdfast.conf.5") == 0)
		print_configuration();
	else {
		each_family(find_page, &name);
		if (name) {
			fprintf(stderr, "holdfast: there is no manual page \"%s\"; `holdfast manual` lists them.\n", name);
			return HF_CLI_USAGE;
		}
	}
	return HF_CLI_OK;
}
