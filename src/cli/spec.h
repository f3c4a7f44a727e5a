/* spec: what the table of commands says, taken apart, for all that is made of it: help, man pages, completion. */
#ifndef HF_CLI_SPEC_H
#define HF_CLI_SPEC_H

#include "cli/command.h"

/* What stands for a value: of an option, or an argument. */
enum hf_cli_value_kind { HF_CLI_VALUE_TEXT, HF_CLI_VALUE_FILE, HF_CLI_VALUE_DIRECTORY, HF_CLI_VALUE_WORDS, HF_CLI_VALUE_SETTING };

#define HF_CLI_VALUE_BYTES 48

/* An option, without the dashes. */
struct hf_cli_option_spec {
	char name[HF_CONFIG_FLAG_BYTES];
	char value[HF_CLI_VALUE_BYTES];  /* "FILE"; "" when it takes none */
	enum hf_cli_value_kind kind;
	const char *text;                /* what it does */
	bool is_optional;                /* its value may be left out */
};
struct hf_cli_argument_spec {
	char name[HF_CLI_VALUE_BYTES];   /* without brackets and dots */
	enum hf_cli_value_kind kind;
	bool is_optional, repeats;
};

/* Own options of a command first, then those that it shares with others, but not settings. each may be called with the same struct. */
void hf_cli_each_option(const struct hf_cli_command *command, void (*each)(void *context, const struct hf_cli_option_spec *option),
	void *context);
/* Every setting as an option. */
void hf_cli_each_setting(void (*each)(void *context, const struct hf_cli_option_spec *option), void *context);
/* The arguments in their order; returns how many there are. */
size_t hf_cli_arguments(const struct hf_cli_command *command, struct hf_cli_argument_spec out[static HF_CLI_ARGUMENT_COUNT_MAX]);

/* The first word of a command's words, into out. */
#define HF_CLI_WORD_BYTES 32
char *hf_cli_family(const struct hf_cli_command *command, char out[static HF_CLI_WORD_BYTES]);
/* The second word, or NULL. */
const char *hf_cli_second_word(const struct hf_cli_command *command);
/* Whether no command above this one in the table has the same first word. */
bool hf_cli_is_first_of_family(size_t index);

#endif
