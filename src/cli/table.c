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

static const char *const relay_options[] = {"relay=NAME\0the relay instance; main when left out", NULL};
static const char *const scan_options[] = {"relay=NAME\0the relay instance; main when left out",
	"limit=COUNT\0at most so many events a filter", NULL};

const struct hf_cli_command hf_cli_commands[] = {
	{"gateway", hf_cli_gateway, "", 0, NULL, true, "Serve the relays",
		"Prints what to open and runs until SIGTERM, which ends it in order. SIGHUP applies a changed configuration.\n\n"
		"  holdfast gateway --data data --listen 127.0.0.1:7777\n"
		"  holdfast gateway --data /var/lib/holdfast --listen 0.0.0.0:80 --config /etc/holdfast.conf\n"
		"  holdfast gateway --listen 127.0.0.1:0 --relay-name 'My relay' --store-quota 20GiB"},
	{"relay import", hf_cli_relay_import, "", 0, relay_options, true, "Take in events from standard input, one JSON object a line",
		"Signatures are checked on all processors. A line that is refused is reported with its number and reason and does\n"
		"not end the import. Events that are imported are not passed on to live subscriptions.\n\n"
		"  holdfast relay import --data data < events.jsonl\n"
		"  other-relay export | holdfast relay import --data data --json"},
	{"relay export", hf_cli_relay_export, "", 0, relay_options, true, "Write all events to standard output, in order of arrival",
		"  holdfast relay export --data data > events.jsonl\n"
		"  holdfast relay export --data data | zstd > events.jsonl.zst"},
	{"relay scan", hf_cli_relay_scan, "[FILTER...]", HF_CLI_ARGUMENT_COUNT_MAX, scan_options, true,
		"Write the events that match, newest first",
		"  holdfast relay scan --data data '{\"kinds\":[1],\"limit\":10}'"},
	{"relay count", hf_cli_relay_count, "[FILTER...]", HF_CLI_ARGUMENT_COUNT_MAX, relay_options, true, "Count the events that match",
		"  holdfast relay count --data data '{\"kinds\":[1],\"since\":1735689600}'"},
	{"relay stats", hf_cli_relay_stats, "", 0, relay_options, true, "Print what a relay holds",
		"  holdfast relay stats --data data\n"
		"  holdfast relay stats --data data --relay side --json"},
	{"relay rebuild", hf_cli_relay_rebuild, "", 0, relay_options, true, "Make a relay's index anew from the log",
		"For an index that `holdfast store verify` finds fault with. Nothing is lost: the log has all that the index has.\n\n"
		"  holdfast relay rebuild --data data"},
	{"store stats", hf_cli_store_stats, "", 0, NULL, true, "Print the store's sizes and counts",
		"  holdfast store stats --data data\n"
		"  holdfast store stats --data data --json"},
	{"store verify", hf_cli_store_verify, "", 0, NULL, true, "Read every file and check it against its checksums and the others",
		"Every fault is named with its file and place; exit code 5 when there is one.\n\n"
		"  holdfast store verify --data data"},
	{"store backup", hf_cli_store_backup, "DIRECTORY", 1, NULL, true, "Copy the store to a new directory, also while it is in use",
		"The copy opens as a store: put it into a data directory under the name store.\n\n"
		"  holdfast store backup /backup/holdfast-monday --data data"},
	{"store compact", hf_cli_store_compact, "", 0, NULL, true, "Give back the space of deleted and replaced events",
		"  holdfast store compact --data data"},
	{"key show", hf_cli_key_show, "", 0, NULL, true, "List the keys: purpose, state, id and public part",
		"  holdfast key show --data data"},
	{"config show", hf_cli_config_show, "", 0, NULL, true, "Print every setting with its value and where that came from",
		"What it prints is a configuration file.\n\n"
		"  holdfast config show --config /etc/holdfast.conf"},
	{"config check", hf_cli_config_check, "", 0, NULL, true, "Say whether the configuration is right",
		"Exit code 3 and the place of the first fault when it is not.\n\n"
		"  holdfast config check --config /etc/holdfast.conf"},
	{"config explain", hf_cli_config_explain, "[NAME]", 1, NULL, false, "Tell what the settings are for",
		"  holdfast config explain\n  holdfast config explain store\n  holdfast config explain relay.limit_max"},
	{"version", print_version, "", 0, NULL, false, "Print the version", NULL},
};
const size_t hf_cli_command_count = sizeof hf_cli_commands / sizeof *hf_cli_commands;
