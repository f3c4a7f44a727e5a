/* store: the commands on the store as a whole, and on a relay's. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/target.h"
#include "cli/terminal.h"

/* ---- One action, one object ---- */

static void print_object(struct hf_cli *cli, struct hf_buffer *out)
{
	json_error_t error;
	json_t *object = NULL;
	if (cli->json)
		fwrite(out->data, 1, out->length, stdout);
	else if ((object = json_loadb((const char *)out->data, out->length, 0, &error)) != NULL)
		hf_terminal_facts(object);
	json_decref(object);
}

static void show_progress(void *context, uint64_t done, uint64_t total)
{
	hf_progress_show(context, done, total);
}

static int run_object(struct hf_cli *cli, const char *action, json_t *arguments, struct hf_slice data)
{
	struct hf_cli_target target;
	struct hf_failure failure = {0};
	struct hf_progress progress;
	struct hf_buffer out = {0};
	char *line = arguments ? json_dumps(arguments, JSON_COMPACT) : NULL;
	json_decref(arguments);
	int r = line ? hf_cli_target_open(&target, cli, false, &failure) : hf_fail(&failure, HF_ENOMEM, "Out of memory.");
	if (r == HF_OK) {
		hf_progress_begin(&progress, &cli->env, "events");
		target.progress = show_progress;
		target.context = &progress;
		r = hf_cli_target_run(&target, action, line, data, &out, &failure);
		hf_progress_end(&progress);
		hf_cli_target_close(&target);
	}
	free(line);
	if (out.length > 0)
		print_object(cli, &out);
	hf_buffer_free(&out);
	failure.code = r;
	return r < 0 ? hf_cli_fail(&failure) : HF_CLI_OK;
}

static json_t *relay_arguments(const struct hf_cli *cli)
{
	const char *relay = hf_cli_option(cli, "relay");
	return json_pack("{s:s}", "relay", relay ? relay : "main");
}

int hf_cli_relay_stats(struct hf_cli *cli)
{
	return run_object(cli, "relay/stats", relay_arguments(cli), (struct hf_slice){0});
}

int hf_cli_relay_info(struct hf_cli *cli)
{
	return run_object(cli, "relay/info", relay_arguments(cli), (struct hf_slice){0});
}

int hf_cli_relay_rebuild(struct hf_cli *cli)
{
	const char *what = cli->argument_count > 0 ? cli->arguments[0] : "index";
	struct hf_failure failure = {.code = HF_EINVAL};
	if (strcmp(what, "bee") == 0)
		return run_object(cli, "relay/rebuild-bee", relay_arguments(cli), (struct hf_slice){0});
	if (strcmp(what, "index") != 0) {
		hf_fail(&failure, HF_EINVAL, "\"%s\" cannot be rebuilt; write index or bee.", what);
		return hf_cli_fail(&failure);
	}
	return run_object(cli, "relay/rebuild", relay_arguments(cli), (struct hf_slice){0});
}

int hf_cli_store_stats(struct hf_cli *cli)
{
	return run_object(cli, "store/stats", json_object(), (struct hf_slice){0});
}

int hf_cli_store_compact(struct hf_cli *cli)
{
	return run_object(cli, "store/compact", json_object(), (struct hf_slice){0});
}

int hf_cli_store_backup(struct hf_cli *cli)
{
	char path[HF_PATH_BYTES_MAX], here[HF_PATH_BYTES_MAX];
	if (cli->argument_count == 0) {
		fprintf(stderr, "holdfast: name the directory to make: `holdfast store backup DIRECTORY`.\n");
		return HF_CLI_USAGE;
	}
	const char *given = cli->arguments[0];
	if (given[0] != '/' && !getcwd(here, sizeof here))
		here[0] = '\0';
	int length = given[0] == '/' ? snprintf(path, sizeof path, "%s", given) : snprintf(path, sizeof path, "%s/%s", here, given);
	if (length >= (int)sizeof path) {
		fprintf(stderr, "holdfast: the path is too long.\n");
		return HF_CLI_USAGE;
	}
	return run_object(cli, "store/backup", json_pack("{s:s}", "directory", path), (struct hf_slice){0});
}

/* ---- Verifying ---- */

/* A backup that was not written must not be told sound: opening the directory would make a store there, and find it empty. */
static int demand_store(const struct hf_cli *cli, struct hf_failure *failure)
{
	char format[HF_PATH_BYTES_MAX], path[HF_PATH_BYTES_MAX];
	const char *data = cli->config->data;
	if (snprintf(path, sizeof path, "%s/store", data) < (int)sizeof path &&
		snprintf(format, sizeof format, "%s/FORMAT", data) < (int)sizeof format && access(format, F_OK) == 0 && access(path, F_OK) < 0 &&
		errno == ENOENT)
		return hf_fail(failure, HF_ENOTFOUND, "There is no store in %s.", data);
	return HF_OK;
}

int hf_cli_store_verify(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	struct hf_buffer out = {0};
	json_error_t error;
	int r = demand_store(cli, &failure);
	if (r == HF_OK)
		r = hf_cli_target_ask(cli, "store/verify", "{}", (struct hf_slice){0}, &out, &failure);
	json_t *object = out.length ? json_loadb((const char *)out.data, out.length, 0, &error) : NULL;
	bool is_sound = r == HF_OK && json_is_true(json_object_get(object, "sound"));
	if (cli->json) {
		if (out.length > 0)
			fwrite(out.data, 1, out.length, stdout);
	} else if (object) {
		json_t *faults = json_object_get(object, "faults");
		for (size_t i = 0; i < json_array_size(faults); i++)
			puts(json_string_value(json_array_get(faults, i)));
		if (is_sound)
			puts("The store is sound: every file, checksum and index entry was read and agrees.");
		else
			printf("%lld faults.\n", (long long)json_integer_value(json_object_get(object, "fault_count")));
	}
	bool has_result = object != NULL;
	json_decref(object);
	hf_buffer_free(&out);
	if (has_result)
		return is_sound ? HF_CLI_OK : HF_CLI_CORRUPT;
	failure.code = r;
	return hf_cli_fail(&failure);
}

/* ---- Asking a relay ---- */

/* The filters given as arguments, a line each. */
static int filter_lines(const struct hf_cli *cli, struct hf_buffer *lines)
{
	int r = HF_OK;
	for (size_t i = 0; r == HF_OK && i < cli->argument_count; i++) {
		r = hf_buffer_append_text(lines, cli->arguments[i]);
		for (size_t k = 0; k < lines->length; k++)
			lines->data[k] = lines->data[k] == '\n' ? ' ' : lines->data[k];
		if (r == HF_OK && i + 1 < cli->argument_count)
			r = hf_buffer_append(lines, "\v", 1);
	}
	for (size_t k = 0; k < lines->length; k++)
		lines->data[k] = lines->data[k] == '\v' ? '\n' : lines->data[k];
	return r;
}

int hf_cli_relay_count(struct hf_cli *cli)
{
	struct hf_buffer lines = {0};
	int code = HF_CLI_FAILED;
	if (filter_lines(cli, &lines) == HF_OK)
		code = run_object(cli, "relay/count", relay_arguments(cli), hf_buffer_slice(&lines));
	hf_buffer_free(&lines);
	return code;
}

static int write_out(void *context, struct hf_buffer *out)
{
	size_t written = out->length ? fwrite(out->data, 1, out->length, stdout) : 0;
	bool complete = written == out->length;
	hf_buffer_clear(out);
	return complete ? HF_OK : HF_EIO;
}

int hf_cli_relay_scan(struct hf_cli *cli)
{
	struct hf_cli_target target;
	struct hf_failure failure = {0};
	struct hf_buffer lines = {0}, out = {0};
	const char *limit = hf_cli_option(cli, "limit");
	json_t *arguments = relay_arguments(cli);
	if (limit)
		json_object_set_new(arguments, "limit", json_integer(atoll(limit)));
	char *line = json_dumps(arguments, JSON_COMPACT);
	json_decref(arguments);
	int r = line && filter_lines(cli, &lines) == HF_OK ? hf_cli_target_open(&target, cli, false, &failure)
		: hf_fail(&failure, HF_ENOMEM, "Out of memory.");
	if (r == HF_OK) {
		target.flush = write_out;
		r = hf_cli_target_run(&target, "relay/scan", line, hf_buffer_slice(&lines), &out, &failure);
		if (r == HF_OK)
			r = write_out(NULL, &out);
		hf_cli_target_close(&target);
	}
	free(line);
	hf_buffer_free(&lines);
	hf_buffer_free(&out);
	failure.code = r;
	return r < 0 ? hf_cli_fail(&failure) : HF_CLI_OK;
}
