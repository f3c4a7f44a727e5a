/* drive_put: a file, or standard input, into a drive; and symbolic links. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cli/drive.h"
#include "cli/input.h"
#include "cli/terminal.h"

struct putting {
	struct hf_cli_drive drive;
	struct hf_cli_input input;
	struct hf_cli_drive_put put;
	struct hf_progress progress;
};

static int put_all(struct putting *p, struct hf_failure *failure)
{
	int r = HF_OK;
	while (r == HF_OK && !p->input.at_end) {
		r = hf_cli_input_read(&p->input, failure);
		if (r == HF_OK)
			r = hf_cli_drive_put_add(&p->put, hf_buffer_slice(&p->input.bytes), failure);
		hf_buffer_clear(&p->input.bytes);
		hf_progress_show(&p->progress, p->input.read_bytes, p->input.total_bytes);
	}
	return failure->code = r == HF_OK ? hf_cli_drive_put_end(&p->put, failure) : r;
}

static int put_input(struct putting *p, const char *path, struct hf_failure *failure)
{
	struct stat status;
	failure->code = hf_cli_input_open(&p->input, path, failure);
	if (failure->code < 0)
		return failure->code;
	if (path && fstat(p->input.descriptor, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & S_IXUSR))
		json_object_set_new(p->put.file, "executable", json_true());
	if (hf_cli_input_is_terminal(&p->input))
		fprintf(stderr, "Write what the file is to hold; end with Ctrl-D.\n");
	hf_progress_begin(&p->progress, &p->drive.cli->env, "bytes");
	int r = put_all(p, failure);
	hf_progress_end(&p->progress);
	hf_cli_input_close(&p->input);
	return r;
}

static int report(struct putting *p)
{
	struct hf_failure failure = {0};
	json_t *facts = hf_cli_drive_ask(&p->drive, "drive/info", json_object(), (struct hf_slice){0}, &failure);
	if (!facts)
		return hf_cli_core_fail(&failure);
	printf(p->drive.cli->json ? "{\"put\":%d,\"version\":%lld}\n" : "%d file put; the drive is at version %lld\n", 1,
		(long long)json_integer_value(json_object_get(facts, "version")));
	json_decref(facts);
	return HF_CLI_OK;
}

static int put_file(struct putting *p, const char *path)
{
	const char *link = hf_cli_option(p->drive.cli, "link");
	struct hf_failure failure = {0};
	int code = HF_CLI_OK;
	if (!hf_cli_drive_open(&p->drive, &code))
		return code;
	if (link) {
		json_object_set_new(p->put.file, "link", json_string(link));
		hf_cli_drive_put_end(&p->put, &failure);
	} else {
		put_input(p, path, &failure);
	}
	code = failure.code < 0 ? hf_cli_core_fail(&failure) : report(p);
	hf_cli_drive_close(&p->drive);
	return code;
}

int hf_cli_drive_put(struct hf_cli *cli)
{
	struct putting p = {.input = {.descriptor = -1}};
	int code = HF_CLI_USAGE;
	if (!hf_cli_drive_read(cli, &p.drive))
		return code;
	unsigned next = p.drive.next;
	if (cli->argument_count <= next) {
		hf_cli_core_usage(cli, "say under which path the file is to be in the drive.");
	} else {
		p.put = (struct hf_cli_drive_put){.drive = &p.drive, .is_synced = hf_cli_option(cli, "disk") != NULL,
			.file = json_pack("{s:s, s:b, s:s*}", "path", cli->arguments[next], "executable", hf_cli_option(cli, "executable") != NULL, "metadata",
				hf_cli_option(cli, "metadata"))};
		code = put_file(&p, cli->argument_count > next + 1 ? cli->arguments[next + 1] : NULL);
		json_decref(p.put.file);
		hf_cli_drive_put_free(&p.put);
	}
	hf_cli_drive_free(&p.drive);
	return code;
}
