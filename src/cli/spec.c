#include "cli/spec.h"

#include <ctype.h>
#include <stdio.h>

#include "cli/table.h"

static const char *const config_options[] = {"config=FILE\0the configuration file", NULL};
static const char *const common_options[] = {"json\0print JSON", "help\0print how it is used", NULL};

static bool is_words(const char *value)
{
	for (const char *c = value; *c; c++)
		if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '|')
			return false;
	return strchr(value, '|') != NULL;
}

static enum hf_cli_value_kind kind_of(const char *value)
{
	if (strcmp(value, "FILE") == 0)
		return HF_CLI_VALUE_FILE;
	if (strcmp(value, "DIRECTORY") == 0 || strcmp(value, "FOLDER") == 0)
		return HF_CLI_VALUE_DIRECTORY;
	if (strcmp(value, "SETTING") == 0)
		return HF_CLI_VALUE_SETTING;
	return is_words(value) ? HF_CLI_VALUE_WORDS : HF_CLI_VALUE_TEXT;
}

static void each_of(const char *const *options, void (*each)(void *context, const struct hf_cli_option_spec *option), void *context)
{
	for (; options && *options; options++) {
		size_t length = strcspn(*options, "=");
		struct hf_cli_option_spec spec = {.text = *options + strlen(*options) + 1};
		snprintf(spec.name, sizeof spec.name, "%.*s", (int)length, *options);
		snprintf(spec.value, sizeof spec.value, "%s", *options + length + ((*options)[length] == '='));
		spec.kind = kind_of(spec.value);
		each(context, &spec);
	}
}

void hf_cli_each_option(const struct hf_cli_command *command, void (*each)(void *context, const struct hf_cli_option_spec *option),
	void *context)
{
	each_of(command->options, each, context);
	if (command->wants_config)
		each_of(config_options, each, context);
	each_of(common_options, each, context);
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), of_end = strlen(end);
	return length >= of_end && strcmp(text + length - of_end, end) == 0;
}

/* Settings say what they take in words for people; which of them are paths their names tell. */
static void describe_value(const struct hf_setting *setting, struct hf_cli_option_spec *spec)
{
	static const char *const values[] = {"TEXT", "TEXT", "NUMBER", "SIZE", "TIME", "yes|no"};
	const char *name = setting->name;
	bool is_file = setting->type == HF_SETTING_TEXT && (ends_with(name, "_file") || (strncmp(name, "tls_", 4) == 0 &&
		strcmp(name, "tls_listen") != 0 && !ends_with(name, "_required")));
	bool is_directory = strcmp(setting->section, "gateway") == 0 && strcmp(name, "data") == 0;
	snprintf(spec->value, sizeof spec->value, "%s", is_file ? "FILE" : is_directory ? "DIRECTORY" : values[setting->type]);
	spec->kind = kind_of(spec->value);
	spec->is_optional = setting->type == HF_SETTING_BOOL;
}

void hf_cli_each_setting(void (*each)(void *context, const struct hf_cli_option_spec *option), void *context)
{
	for (size_t i = 0; i < hf_setting_count; i++) {
		char flag[HF_CONFIG_FLAG_BYTES];
		struct hf_cli_option_spec spec = {.text = hf_settings[i].reason};
		snprintf(spec.name, sizeof spec.name, "%s", hf_config_flag_text(&hf_settings[i], flag) + strlen("--"));
		describe_value(&hf_settings[i], &spec);
		each(context, &spec);
	}
}

size_t hf_cli_arguments(const struct hf_cli_command *command, struct hf_cli_argument_spec out[static HF_CLI_ARGUMENT_COUNT_MAX])
{
	size_t count = 0;
	bool is_optional = false;
	for (const char *at = command->arguments; *at && count < HF_CLI_ARGUMENT_COUNT_MAX; at += strspn(at, " ")) {
		struct hf_cli_argument_spec *argument = &out[count++];
		size_t length = strcspn(at, " ");
		is_optional = is_optional || *at == '[';
		size_t from = *at == '[', end = length;
		while (end > from && (at[end - 1] == ']' || at[end - 1] == '.'))
			end--;
		snprintf(argument->name, sizeof argument->name, "%.*s", (int)(end - from), at + from);
		argument->repeats = memmem(at + end, length - end, "...", 3) != NULL;
		argument->is_optional = is_optional;
		argument->kind = kind_of(argument->name);
		at += length;
	}
	return count;
}

char *hf_cli_family(const struct hf_cli_command *command, char out[static HF_CLI_WORD_BYTES])
{
	snprintf(out, HF_CLI_WORD_BYTES, "%.*s", (int)strcspn(command->words, " "), command->words);
	return out;
}

const char *hf_cli_second_word(const struct hf_cli_command *command)
{
	const char *blank = strchr(command->words, ' ');
	return blank ? blank + 1 : NULL;
}

bool hf_cli_is_first_of_family(size_t index)
{
	char family[HF_CLI_WORD_BYTES], other[HF_CLI_WORD_BYTES];
	hf_cli_family(&hf_cli_commands[index], family);
	for (size_t i = 0; i < index; i++)
		if (strcmp(hf_cli_family(&hf_cli_commands[i], other), family) == 0)
			return false;
	return true;
}
