/* table: all commands, in the order in which --help lists them. */
#include "cli/table.h"

#include <stdio.h>

static int print_version(struct hf_cli *cli)
{
	if (cli->json)
		printf("{\"version\":\"%s\",\"store_format\":%d}\n", HF_VERSION, 1);
	else
		printf("holdfast %s\n", HF_VERSION);
	return HF_CLI_OK;
}

const struct hf_cli_command hf_cli_commands[] = {
	{"gateway", hf_cli_gateway, "", 0, NULL, true, "Serve the relays",
		"Prints what to open and runs until SIGTERM, which ends it in order. SIGHUP applies a changed configuration.\n\n"
		"  holdfast gateway --data data --listen 127.0.0.1:7777\n"
		"  holdfast gateway --data /var/lib/holdfast --listen 0.0.0.0:80 --config /etc/holdfast.conf\n"
		"  holdfast gateway --listen 127.0.0.1:0 --relay-name 'My relay' --store-quota 20GiB"},
	{"config show", hf_cli_config_show, "", 0, NULL, true, "Print every setting with its value and where that came from", NULL},
	{"config check", hf_cli_config_check, "", 0, NULL, true, "Say whether the configuration is right", NULL},
	{"config explain", hf_cli_config_explain, "[NAME]", 1, NULL, false, "Tell what the settings are for",
		"  holdfast config explain\n  holdfast config explain store\n  holdfast config explain relay.limit_max"},
	{"version", print_version, "", 0, NULL, false, "Print the version", NULL},
};
const size_t hf_cli_command_count = sizeof hf_cli_commands / sizeof *hf_cli_commands;
