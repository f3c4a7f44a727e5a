/* completion: the table of commands as scripts by which shells complete. What a script does is written here once, as text; what it knows
 * comes from the table, a few words for each command. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/spec.h"
#include "cli/table.h"

/* Text between single quotes; also kills what means something to zsh's _arguments when for_zsh. */
static void quoted(const char *text, bool for_zsh)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", stdout);
		else if (for_zsh && strchr("[]:\\", *text))
			printf("\\%c", *text);
		else
			putchar(*text);
	}
}

/* Whether there are commands below the first word. */
static bool has_second(const char *family)
{
	char other[HF_CLI_WORD_BYTES];
	for (size_t i = 0; i < hf_cli_command_count; i++)
		if (hf_cli_second_word(&hf_cli_commands[i]) && strcmp(hf_cli_family(&hf_cli_commands[i], other), family) == 0)
			return true;
	return false;
}

static void each_family(void (*each)(const char *family, const struct hf_cli_command *first))
{
	for (size_t i = 0; i < hf_cli_command_count; i++) {
		char family[HF_CLI_WORD_BYTES];
		if (hf_cli_is_first_of_family(i))
			each(hf_cli_family(&hf_cli_commands[i], family), &hf_cli_commands[i]);
	}
}

/* ---- bash ---- */

static void bash_option(void *context, const struct hf_cli_option_spec *option)
{
	printf("--%s%s ", option->name, option->value[0] && !option->is_optional ? "=" : "");
}

static void bash_kind(enum hf_cli_value_kind kind, const char *value)
{
	static const char *const names[] = {"@none", "@file", "@directory", NULL, "@setting"};
	fputs(names[kind] ? names[kind] : value, stdout);
}

static void bash_value(void *context, const struct hf_cli_option_spec *option)
{
	if (option->kind == HF_CLI_VALUE_TEXT)
		return;
	printf("--%s:", option->name);
	bash_kind(option->kind, option->value);
	putchar(' ');
}

static void bash_command(const struct hf_cli_command *command)
{
	struct hf_cli_argument_spec arguments[HF_CLI_ARGUMENT_COUNT_MAX];
	size_t count = hf_cli_arguments(command, arguments);
	printf("\t'%s')\n\t\toptions='", command->words);
	hf_cli_each_option(command, bash_option, NULL);
	fputs("' values='", stdout);
	hf_cli_each_option(command, bash_value, NULL);
	printf("'%s\n\t\targuments=(", command->wants_config ? " settings=yes" : "");
	for (size_t i = 0; i < count; i++) {
		fputs(i ? " '" : "'", stdout);
		bash_kind(arguments[i].kind, arguments[i].name);
		putchar('\'');
	}
	printf(")%s ;;\n", count && arguments[count - 1].repeats ? " repeats=yes" : "");
}

static void bash_family(const char *family, const struct hf_cli_command *first)
{
	char other[HF_CLI_WORD_BYTES];
	if (!has_second(family))
		return;
	printf("\t%s) second='", family);
	for (size_t i = 0; i < hf_cli_command_count; i++)
		if (hf_cli_second_word(&hf_cli_commands[i]) && strcmp(hf_cli_family(&hf_cli_commands[i], other), family) == 0)
			printf("%s ", hf_cli_second_word(&hf_cli_commands[i]));
	fputs("' ;;\n", stdout);
}

static void print_word(const char *family, const struct hf_cli_command *first)
{
	printf("%s ", family);
}

static void print_setting_name(void)
{
	for (size_t i = 0; i < hf_setting_count; i++)
		printf("%s.%s ", hf_settings[i].section, hf_settings[i].name);
}

static const char bash_head[] =
	"# Completion of holdfast for bash; `holdfast completion bash` prints it.\n"
	"\n"
	"# What can stand for a value: $1 says of which kind it is, $2 is what has been typed of it.\n"
	"_holdfast_offer() {\n"
	"\tcase $1 in\n"
	"\t'' | @none) ;;\n"
	"\t@file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$2\") ;;\n"
	"\t@directory) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- \"$2\") ;;\n"
	"\t@setting) mapfile -t COMPREPLY < <(compgen -W \"$_holdfast_setting_names\" -- \"$2\") ;;\n"
	"\t*) mapfile -t COMPREPLY < <(compgen -W \"${1//|/ }\" -- \"$2\") ;;\n"
	"\tesac\n"
	"}\n"
	"\n"
	"# The kind of the value of option $1 among $2, a list of OPTION:KIND.\n"
	"_holdfast_kind() {\n"
	"\tlocal entry\n"
	"\tfor entry in $2; do\n"
	"\t\t[[ ${entry%%:*} == \"$1\" ]] && printf '%s' \"${entry#*:}\"\n"
	"\tdone\n"
	"}\n"
	"\n"
	"_holdfast() {\n"
	"\tlocal word second='' command='' options='' values='' settings='' repeats='' pending='' i at=1 stand=0\n"
	"\tlocal -a words=() arguments=()\n"
	"\tCOMPREPLY=()\n"
	"\t# readline parts words at = and :, which belong into ours.\n"
	"\tfor ((i = 1; i <= COMP_CWORD; i++)); do\n"
	"\t\tword=${COMP_WORDS[i]}\n"
	"\t\tif [[ ${#words[@]} -gt 0 && ( $word == [=:]* || ${words[-1]} == --*= || ${words[-1]} == *: ) ]]; then\n"
	"\t\t\twords[-1]+=$word\n"
	"\t\telse\n"
	"\t\t\twords+=(\"$word\")\n"
	"\t\tfi\n"
	"\tdone\n"
	"\tlocal count=${#words[@]} last=${words[-1]-}\n"
	"\tif ((count == 1)); then\n"
	"\t\t_holdfast_offer \"$_holdfast_first\" \"$last\"\n"
	"\t\treturn\n"
	"\tfi\n"
	"\tcase ${words[0]} in\n";
static const char bash_second[] =
	"\tesac\n"
	"\tif [[ -n $second && $count == 2 ]]; then\n"
	"\t\t_holdfast_offer \"$second --help\" \"$last\"\n"
	"\t\treturn\n"
	"\tfi\n"
	"\tcommand=${words[0]}\n"
	"\t[[ -z $second ]] || command+=\" ${words[1]}\" at=2\n"
	"\tcase $command in\n";
static const char bash_tail[] =
	"\tesac\n"
	"\tif [[ -n $settings ]]; then\n"
	"\t\toptions+=$_holdfast_settings values+=$_holdfast_setting_values\n"
	"\tfi\n"
	"\tfor ((i = at; i < count - 1; i++)); do\n"
	"\t\tword=${words[i]}\n"
	"\t\tif [[ -n $pending ]]; then\n"
	"\t\t\tpending=\n"
	"\t\telif [[ $word == --* ]]; then\n"
	"\t\t\t[[ \" $options\" == *\" $word= \"* ]] && pending=$word\n"
	"\t\telse\n"
	"\t\t\t((++stand))\n"
	"\t\tfi\n"
	"\tdone\n"
	"\tif [[ -n $pending ]]; then\n"
	"\t\t_holdfast_offer \"$(_holdfast_kind \"$pending\" \"$values\")\" \"$last\"\n"
	"\telif [[ $last == --*=* ]]; then\n"
	"\t\t_holdfast_offer \"$(_holdfast_kind \"${last%%=*}\" \"$values\")\" \"${last#*=}\"\n"
	"\t\t[[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=(\"${COMPREPLY[@]/#/${last%%=*}=}\")\n"
	"\telif [[ $last == -* ]]; then\n"
	"\t\t_holdfast_offer \"$options\" \"$last\"\n"
	"\t\t[[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null\n"
	"\telse\n"
	"\t\t[[ -n $repeats && $stand -ge ${#arguments[@]} ]] && stand=$((${#arguments[@]} - 1))\n"
	"\t\t_holdfast_offer \"${arguments[stand]-}\" \"$last\"\n"
	"\tfi\n"
	"\treturn 0\n"
	"}\n"
	"complete -F _holdfast holdfast\n";

static void print_bash(void)
{
	fputs(bash_head, stdout);
	each_family(bash_family);
	fputs(bash_second, stdout);
	for (size_t i = 0; i < hf_cli_command_count; i++)
		bash_command(&hf_cli_commands[i]);
	fputs(bash_tail, stdout);
	fputs("_holdfast_first='", stdout);
	each_family(print_word);
	fputs("--help --version'\n_holdfast_settings='", stdout);
	hf_cli_each_setting(bash_option, NULL);
	fputs("'\n_holdfast_setting_values='", stdout);
	hf_cli_each_setting(bash_value, NULL);
	fputs("'\n_holdfast_setting_names='", stdout);
	print_setting_name();
	fputs("'\n", stdout);
}

/* ---- zsh ---- */

static void zsh_action(enum hf_cli_value_kind kind, const char *value)
{
	if (kind == HF_CLI_VALUE_FILE)
		fputs("_files", stdout);
	else if (kind == HF_CLI_VALUE_DIRECTORY)
		fputs("_files -/", stdout);
	else if (kind == HF_CLI_VALUE_SETTING)
		fputs("($names)", stdout);
	else if (kind == HF_CLI_VALUE_WORDS) {
		putchar('(');
		for (; *value; value++)
			putchar(*value == '|' ? ' ' : *value);
		putchar(')');
	}
}

static void zsh_option(void *context, const struct hf_cli_option_spec *option)
{
	printf("%s'*--%s%s[", (const char *)context, option->name, option->value[0] ? option->is_optional ? "=-" : "=" : "");
	quoted(option->text, true);
	putchar(']');
	if (option->value[0]) {
		fputs(option->is_optional ? "::" : ":", stdout);
		quoted(option->value, true);
		putchar(':');
		zsh_action(option->kind, option->value);
	}
	putchar('\'');
}

static void zsh_command(const struct hf_cli_command *command)
{
	struct hf_cli_argument_spec arguments[HF_CLI_ARGUMENT_COUNT_MAX];
	size_t count = hf_cli_arguments(command, arguments);
	printf("\t'%s')\n\t\t_arguments -S", command->words);
	if (command->wants_config)
		fputs(" \"$settings[@]\"", stdout);
	hf_cli_each_option(command, zsh_option, (void *)" \\\n\t\t\t");
	for (size_t i = 0; i < count; i++) {
		const struct hf_cli_argument_spec *argument = &arguments[i];
		bool is_setting = argument->kind == HF_CLI_VALUE_SETTING;
		fputs(" \\\n\t\t\t", stdout);
		fputs(is_setting ? "\"" : "'", stdout);
		if (argument->repeats)
			fputs("*:", stdout);
		else
			printf("%zu%s", i + 1, argument->is_optional ? "::" : ":");
		quoted(argument->name, true);
		putchar(':');
		zsh_action(argument->kind, argument->name);
		fputs(is_setting ? "\"" : "'", stdout);
	}
	fputs(" ;;\n", stdout);
}

static void zsh_entry(const char *word, const struct hf_cli_command *command)
{
	printf("\t\t'%s:", word);
	quoted(command->summary, false);
	fputs("'\n", stdout);
}

static void zsh_first(const char *family, const struct hf_cli_command *first)
{
	if (!has_second(family)) {
		zsh_entry(family, first);
		return;
	}
	char other[HF_CLI_WORD_BYTES];
	printf("\t\t'%s:", family);
	for (size_t i = 0, shown = 0; i < hf_cli_command_count; i++)
		if (hf_cli_second_word(&hf_cli_commands[i]) && strcmp(hf_cli_family(&hf_cli_commands[i], other), family) == 0)
			printf("%s%s", shown++ ? ", " : "", hf_cli_second_word(&hf_cli_commands[i]));
	fputs("'\n", stdout);
}

static void zsh_family(const char *family, const struct hf_cli_command *first)
{
	char other[HF_CLI_WORD_BYTES];
	if (!has_second(family))
		return;
	printf("\t%s)\n\t\tsecond=(\n", family);
	for (size_t i = 0; i < hf_cli_command_count; i++)
		if (hf_cli_second_word(&hf_cli_commands[i]) && strcmp(hf_cli_family(&hf_cli_commands[i], other), family) == 0)
			zsh_entry(hf_cli_second_word(&hf_cli_commands[i]), &hf_cli_commands[i]);
	fputs("\t\t) ;;\n", stdout);
}

static void print_zsh(void)
{
	fputs("#compdef holdfast\n# Completion of holdfast for zsh; `holdfast completion zsh` prints it.\n\n_holdfast() {\n"
		"\tlocal -a first second settings\n\tlocal command=$words[2] names=\"", stdout);
	print_setting_name();
	fputs("\"\n\tfirst=(\n", stdout);
	each_family(zsh_first);
	fputs("\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe -t commands command first\n\t\treturn\n\tfi\n\tcase $command in\n", stdout);
	each_family(zsh_family);
	fputs("\tesac\n\tif (( $#second )); then\n\t\tif (( CURRENT == 3 )); then\n\t\t\t_describe -t commands command second\n\t\t\treturn\n"
		"\t\tfi\n"
		"\t\tcommand+=\" $words[3]\"\n\t\tshift words\n\t\t(( CURRENT-- ))\n\tfi\n\tshift words\n\t(( CURRENT-- ))\n\tsettings=(", stdout);
	hf_cli_each_setting(zsh_option, (void *)"\n\t\t");
	fputs("\n\t)\n\tcase $command in\n", stdout);
	for (size_t i = 0; i < hf_cli_command_count; i++)
		zsh_command(&hf_cli_commands[i]);
	fputs("\tesac\n}\n\nif [[ $funcstack[1] == _holdfast ]]; then\n\t_holdfast \"$@\"\nelse\n\tcompdef _holdfast holdfast\nfi\n", stdout);
}

/* ---- fish ---- */

static void fish_value(enum hf_cli_value_kind kind, const char *value)
{
	if (kind == HF_CLI_VALUE_DIRECTORY)
		fputs(" -a '(__fish_complete_directories)'", stdout);
	else if (kind == HF_CLI_VALUE_SETTING)
		fputs(" -a \"$__holdfast_setting_names\"", stdout);
	else if (kind == HF_CLI_VALUE_WORDS) {
		fputs(" -a '", stdout);
		for (; *value; value++)
			putchar(*value == '|' ? ' ' : *value);
		putchar('\'');
	}
}

static void fish_quoted(const char *text)
{
	for (; *text; text++)
		printf(*text == '\'' || *text == '\\' ? "\\%c" : "%c", *text);
}

static void fish_option(void *context, const struct hf_cli_option_spec *option)
{
	printf("complete -c holdfast -n '%s' -l %s", (const char *)context, option->name);
	if (option->kind == HF_CLI_VALUE_FILE)
		fputs(" -r -F", stdout);
	else if (option->value[0] && !option->is_optional) {
		fputs(" -x", stdout);
		fish_value(option->kind, option->value);
	}
	fputs(" -d '", stdout);
	fish_quoted(option->text);
	fputs("'\n", stdout);
}

static void fish_first(const char *family, const struct hf_cli_command *first)
{
	printf("complete -c holdfast -n '__holdfast_at 1' -a %s", family);
	if (!has_second(family)) {
		fputs(" -d '", stdout);
		fish_quoted(first->summary);
		putchar('\'');
	}
	putchar('\n');
}

static void fish_command(const struct hf_cli_command *command)
{
	struct hf_cli_argument_spec arguments[HF_CLI_ARGUMENT_COUNT_MAX];
	char condition[96], family[HF_CLI_WORD_BYTES];
	size_t count = hf_cli_arguments(command, arguments);
	const char *second = hf_cli_second_word(command);
	if (second) {
		printf("complete -c holdfast -n '__holdfast_at 2 %s' -a %s -d '", hf_cli_family(command, family), second);
		fish_quoted(command->summary);
		fputs("'\n", stdout);
	}
	snprintf(condition, sizeof condition, "__holdfast_is %s", command->words);
	hf_cli_each_option(command, fish_option, condition);
	for (size_t i = 0; i < count; i++)
		if (arguments[i].kind != HF_CLI_VALUE_TEXT) {
			printf("complete -c holdfast -n '%s'", condition);
			fputs(arguments[i].kind == HF_CLI_VALUE_FILE ? " -F" : "", stdout);
			fish_value(arguments[i].kind, arguments[i].name);
			putchar('\n');
		}
}

static const char fish_head[] =
	"# Completion of holdfast for fish; `holdfast completion fish` prints it.\n\n"
	"# Whether so many words stand before the one that is typed, holdfast and the command's first word among them.\n"
	"function __holdfast_at\n"
	"\tset -l words (commandline -opc)\n"
	"\ttest (count $words) -eq $argv[1]; and test \"$words[2..]\" = \"$argv[2..]\"\n"
	"end\n\n"
	"function __holdfast_is\n"
	"\tset -l words (commandline -opc)\n"
	"\tset -l end (math (count $argv) + 1)\n"
	"\ttest (count $words) -ge $end; and test \"$words[2..$end]\" = \"$argv\"\n"
	"end\n\n"
	"function __holdfast_takes_settings\n"
	"\tfor command in $__holdfast_configured\n"
	"\t\t__holdfast_is (string split ' ' $command); and return\n"
	"\tend\n"
	"\treturn 1\n"
	"end\n\n";

static void print_fish(void)
{
	fputs(fish_head, stdout);
	fputs("set -g __holdfast_setting_names '", stdout);
	print_setting_name();
	fputs("'\nset -g __holdfast_configured", stdout);
	for (size_t i = 0; i < hf_cli_command_count; i++)
		if (hf_cli_commands[i].wants_config)
			printf(" '%s'", hf_cli_commands[i].words);
	fputs("\n\ncomplete -c holdfast -e\ncomplete -c holdfast -f\n", stdout);
	each_family(fish_first);
	for (size_t i = 0; i < hf_cli_command_count; i++)
		fish_command(&hf_cli_commands[i]);
	hf_cli_each_setting(fish_option, (void *)"__holdfast_takes_settings");
}

int hf_cli_completion(struct hf_cli *cli)
{
	const char *shell = cli->argument_count > 0 ? cli->arguments[0] : "";
	if (strcmp(shell, "bash") == 0)
		print_bash();
	else if (strcmp(shell, "zsh") == 0)
		print_zsh();
	else if (strcmp(shell, "fish") == 0)
		print_fish();
	else {
		fprintf(stderr, "holdfast: name the shell: `holdfast completion bash`, zsh or fish.\n");
		return HF_CLI_USAGE;
	}
	return HF_CLI_OK;
}
