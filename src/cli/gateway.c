/* gateway: the command that serves, and those that look at the configuration. */
#include "service/gateway/gateway.h"

#include <stdio.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/terminal.h"
#include "service/aliases.h"

static int load(void *context, struct hf_config **out, struct hf_failure *failure)
{
	return hf_cli_load_config(context, out, failure);
}

int hf_cli_gateway(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	struct hf_gateway_options options = {.size = sizeof options, .config = cli->config, .load = load, .context = cli};
	cli->config = NULL;
	failure.code = hf_gateway_run(&options, &failure);
	return failure.code == HF_OK ? HF_CLI_OK : hf_cli_fail(&failure);
}

static int print(int status, struct hf_buffer *out, const struct hf_failure *failure)
{
	if (status == HF_OK && out->length > 0)
		fwrite(out->data, 1, out->length, stdout);
	hf_buffer_free(out);
	if (status == HF_OK)
		return HF_CLI_OK;
	hf_terminal_fail(failure && failure->text[0] ? failure->text : hf_error_text(status));
	return status == HF_ENOTFOUND ? HF_CLI_USAGE : HF_CLI_FAILED;
}

int hf_cli_config_show(struct hf_cli *cli)
{
	struct hf_buffer out = {0};
	int r = hf_config_show(cli->config, cli->json, &out);
	return print(r, &out, NULL);
}

static void tell_alias(void *context, const struct hf_alias_use *use)
{
	fprintf(stderr, "holdfast: %s\n", use->sentence);
}

int hf_cli_config_check(struct hf_cli *cli)
{
	hf_aliases_each_use(cli->config, environ, tell_alias, NULL);
	if (cli->json)
		puts("{\"status\":0}");
	else
		puts("The configuration is right.");
	return HF_CLI_OK;
}

int hf_cli_config_explain(struct hf_cli *cli)
{
	struct hf_buffer out = {0};
	struct hf_failure failure = {0};
	int r = hf_config_explain(cli->argument_count ? cli->arguments[0] : NULL, cli->json, &out, &failure);
	return print(r, &out, &failure);
}

int hf_cli_config_example(struct hf_cli *cli)
{
	struct hf_buffer out = {0};
	int r = hf_config_example(&out);
	return print(r, &out, NULL);
}

int hf_cli_config_aliases(struct hf_cli *cli)
{
	struct hf_buffer out = {0};
	int r = hf_aliases_show(cli->json, &out);
	return print(r, &out, NULL);
}
