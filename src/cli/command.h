/* command: the one table of commands, and what they have in common: options, help, exit codes.
 *
 * Output that a program may read goes to standard output, everything else to standard error. */
#ifndef HF_CLI_COMMAND_H
#define HF_CLI_COMMAND_H

#include "base/env.h"
#include "service/config.h"

enum hf_cli_exit {
	HF_CLI_OK = 0,
	HF_CLI_FAILED = 1,   /* the sentence on standard error says why */
	HF_CLI_USAGE = 2,    /* an unknown command, option or argument */
	HF_CLI_CONFIG = 3,   /* the configuration has an error */
	HF_CLI_DATA = 4,     /* the data directory is not there, in use, or of another format */
	HF_CLI_CORRUPT = 5,  /* stored bytes do not match their checksums */
};

#define HF_CLI_OPTION_COUNT_MAX 32
#define HF_CLI_ARGUMENT_COUNT_MAX 16

struct hf_cli_option {
	const char *name, *value;
};

struct hf_cli {
	struct hf_env env;
	const struct hf_cli_command *command;
	struct hf_config *config;     /* loaded before the command runs, if it wants it */
	const char *config_path;      /* --config or HOLDFAST_CONFIG; NULL without */
	bool json;
	struct hf_cli_option options[HF_CLI_OPTION_COUNT_MAX]; /* the command's own */
	size_t option_count;
	struct hf_cli_option settings[HF_CLI_OPTION_COUNT_MAX]; /* flags that set the configuration */
	size_t setting_count;
	const char *arguments[HF_CLI_ARGUMENT_COUNT_MAX];
	size_t argument_count;
};

struct hf_cli_command {
	const char *words;            /* "relay import" */
	int (*run)(struct hf_cli *cli); /* returns an exit code */
	const char *arguments;        /* "[FILTER]", for the usage line */
	unsigned argument_count_max;
	const char *const *options;   /* own options: "name=VALUE\0what it does" or "name\0…"; NULL at the end */
	bool wants_config;
	const char *summary;
	const char *details;          /* paragraphs and examples; may be NULL */
	bool loads_config;            /* by itself, as it has something to say of a wrong one */
};

int hf_cli_run(int argc, char **argv);
/* The value of one of the command's own options; "" when it was given without one, NULL when not at all. */
const char *hf_cli_option(const struct hf_cli *cli, const char *name);
/* Defaults, file, environment and flags. */
int hf_cli_load_config(struct hf_cli *cli, struct hf_config **out, struct hf_failure *failure);
/* Prints the sentence and gives the exit code that fits. */
int hf_cli_fail(const struct hf_failure *failure);

int hf_cli_gateway(struct hf_cli *cli);
int hf_cli_worker(struct hf_cli *cli);
int hf_cli_up(struct hf_cli *cli);
int hf_cli_admin_status(struct hf_cli *cli);
int hf_cli_admin_health(struct hf_cli *cli);
int hf_cli_admin_workers(struct hf_cli *cli);
int hf_cli_admin_dispatcher(struct hf_cli *cli);
int hf_cli_admin_pause(struct hf_cli *cli);
int hf_cli_admin_resume(struct hf_cli *cli);
int hf_cli_admin_drain(struct hf_cli *cli);
int hf_cli_admin_check(struct hf_cli *cli);
int hf_cli_admin_reload(struct hf_cli *cli);
int hf_cli_doctor(struct hf_cli *cli);
int hf_cli_config_aliases(struct hf_cli *cli);
int hf_cli_config_example(struct hf_cli *cli);
int hf_cli_completion(struct hf_cli *cli);
int hf_cli_manual(struct hf_cli *cli);
int hf_cli_admin_token(struct hf_cli *cli);
int hf_cli_admin_link(struct hf_cli *cli);
int hf_cli_config_show(struct hf_cli *cli);
int hf_cli_config_check(struct hf_cli *cli);
int hf_cli_config_explain(struct hf_cli *cli);
int hf_cli_core_create(struct hf_cli *cli);
int hf_cli_core_info(struct hf_cli *cli);
int hf_cli_core_list(struct hf_cli *cli);
int hf_cli_core_append(struct hf_cli *cli);
int hf_cli_core_serve(struct hf_cli *cli);
int hf_cli_core_fetch(struct hf_cli *cli);
int hf_cli_core_get(struct hf_cli *cli);
int hf_cli_core_tail(struct hf_cli *cli);
int hf_cli_core_seek(struct hf_cli *cli);
int hf_cli_core_truncate(struct hf_cli *cli);
int hf_cli_core_clear(struct hf_cli *cli);
int hf_cli_core_verify(struct hf_cli *cli);
int hf_cli_bee_create(struct hf_cli *cli);
int hf_cli_bee_put(struct hf_cli *cli);
int hf_cli_bee_get(struct hf_cli *cli);
int hf_cli_bee_del(struct hf_cli *cli);
int hf_cli_bee_list(struct hf_cli *cli);
int hf_cli_bee_watch(struct hf_cli *cli);
int hf_cli_bee_diff(struct hf_cli *cli);
int hf_cli_bee_history(struct hf_cli *cli);
int hf_cli_bee_info(struct hf_cli *cli);
int hf_cli_drive_create(struct hf_cli *cli);
int hf_cli_drive_info(struct hf_cli *cli);
int hf_cli_drive_put(struct hf_cli *cli);
int hf_cli_drive_get(struct hf_cli *cli);
int hf_cli_drive_cat(struct hf_cli *cli);
int hf_cli_drive_ls(struct hf_cli *cli);
int hf_cli_drive_rm(struct hf_cli *cli);
int hf_cli_drive_clear(struct hf_cli *cli);
int hf_cli_drive_truncate(struct hf_cli *cli);
int hf_cli_drive_diff(struct hf_cli *cli);
int hf_cli_drive_watch(struct hf_cli *cli);
int hf_cli_drive_serve(struct hf_cli *cli);
int hf_cli_drive_fetch(struct hf_cli *cli);
int hf_cli_drive_mirror(struct hf_cli *cli);
int hf_cli_dht_serve(struct hf_cli *cli);
int hf_cli_dht_testnet(struct hf_cli *cli);
int hf_cli_dht_lookup(struct hf_cli *cli);
int hf_cli_dht_announce(struct hf_cli *cli);
int hf_cli_dht_put(struct hf_cli *cli);
int hf_cli_dht_get(struct hf_cli *cli);
int hf_cli_dht_ping(struct hf_cli *cli);
int hf_cli_dht_stats(struct hf_cli *cli);
int hf_cli_admin_tokens(struct hf_cli *cli);
int hf_cli_admin_revoke(struct hf_cli *cli);
int hf_cli_admin_registrations(struct hf_cli *cli);
int hf_cli_admin_unregister(struct hf_cli *cli);
int hf_cli_admin_routes(struct hf_cli *cli);
int hf_cli_audit_export(struct hf_cli *cli);
int hf_cli_audit_verify(struct hf_cli *cli);
int hf_cli_audit_tail(struct hf_cli *cli);
int hf_cli_key_new(struct hf_cli *cli);
int hf_cli_key_rotate(struct hf_cli *cli);
int hf_cli_key_revoke(struct hf_cli *cli);
int hf_cli_gateways_list(struct hf_cli *cli);
int hf_cli_key_show(struct hf_cli *cli);
int hf_cli_key_convert(struct hf_cli *cli);
int hf_cli_relay_join(struct hf_cli *cli);
int hf_cli_relay_import(struct hf_cli *cli);
int hf_cli_relay_export(struct hf_cli *cli);
int hf_cli_relay_scan(struct hf_cli *cli);
int hf_cli_relay_count(struct hf_cli *cli);
int hf_cli_relay_stats(struct hf_cli *cli);
int hf_cli_relay_info(struct hf_cli *cli);
int hf_cli_relay_rebuild(struct hf_cli *cli);
int hf_cli_store_verify(struct hf_cli *cli);
int hf_cli_store_backup(struct hf_cli *cli);
int hf_cli_store_compact(struct hf_cli *cli);
int hf_cli_store_stats(struct hf_cli *cli);

#endif
