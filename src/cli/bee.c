/* bee: which bee is meant, and the commands that print what one action tells. */
#include "cli/bee.h"

#include <stdio.h>

#include "cli/terminal.h"

static bool read_encoding(struct hf_cli *cli, const char *option, enum hf_bee_encoding *out)
{
	const char *text = hf_cli_option(cli, option);
	char sentence[160];
	*out = HF_BEE_UTF8;
	for (enum hf_bee_encoding encoding = HF_BEE_BINARY; encoding <= HF_BEE_COMPACT_ANY; encoding++)
		if (text && strcmp(text, hf_cli_bee_encoding_name(encoding)) == 0) {
			*out = encoding;
			return true;
		}
	snprintf(sentence, sizeof sentence, "--%s is binary, utf-8, json or any, not \"%.40s\".", option, text ? text : "");
	if (text)
		hf_cli_core_usage(cli, sentence);
	return !text;
}

/* --sub, once for each level. */
static bool read_subs(struct hf_cli *cli, struct hf_cli_bee *bee)
{
	for (size_t i = 0; i < cli->option_count; i++) {
		struct hf_bee_sub inner;
		if (strcmp(cli->options[i].name, "sub") != 0)
			continue;
		if (hf_bee_sub_init(&inner, HF_BEE_SUB, bee->has_sub ? &bee->sub : NULL, hf_slice_text(cli->options[i].value), 0) < 0)
			return false;
		hf_bee_sub_free(&bee->sub);
		bee->sub = inner;
		bee->has_sub = true;
	}
	return true;
}

bool hf_cli_bee_read(struct hf_cli *cli, struct hf_cli_bee *bee)
{
	uint64_t version;
	*bee = (struct hf_cli_bee){.cli = cli};
	if (!read_encoding(cli, "key-encoding", &bee->key_encoding) || !read_encoding(cli, "value-encoding", &bee->value_encoding) ||
		!hf_cli_core_option_number(cli, "at", UINT64_MAX, &version) || !read_subs(cli, bee))
		return false;
	bee->arguments = hf_cli_core_arguments(cli, &bee->next);
	if (bee->arguments && version != UINT64_MAX)
		json_object_set_new(bee->arguments, "at", json_integer((json_int_t)version));
	return bee->arguments != NULL;
}

void hf_cli_bee_free(struct hf_cli_bee *bee)
{
	json_decref(bee->arguments);
	hf_bee_sub_free(&bee->sub);
	*bee = (struct hf_cli_bee){0};
}

bool hf_cli_bee_open(const struct hf_cli_bee *bee, struct hf_cli_remote *remote, struct hf_cli_target *target, int *code)
{
	struct hf_failure failure = {0};
	if (hf_cli_core_is_remote(bee->cli)) {
		*target = (struct hf_cli_target){.cli = bee->cli, .remote = remote, .directory = {.lock_descriptor = -1}};
		return hf_cli_remote_open(remote, bee->cli, bee->arguments, code);
	}
	failure.code = hf_cli_target_open(target, bee->cli, false, &failure);
	*code = failure.code < 0 ? hf_cli_fail(&failure) : HF_CLI_OK;
	return failure.code == HF_OK;
}

int hf_cli_bee_create(struct hf_cli *cli)
{
	return hf_cli_core_create_as(cli, "bee/create");
}

int hf_cli_bee_info(struct hf_cli *cli)
{
	return hf_cli_core_info_as(cli, "bee/info");
}
