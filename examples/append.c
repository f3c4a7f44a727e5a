/* append: makes a core by name in a directory, or opens it again, and appends the lines of standard input, a block each. Prints
 * the core's key, which others fetch it by, and its length.
 *
 *     append DIRECTORY NAME < lines.txt
 */
#include <holdfast/core_key.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "home.h"

/* A corestore makes cores of one store. `blocking`: reads wait for the disk, as suits a program without a loop. */
static int open_core(struct home *home, const char *name, struct hf_corestore **cores, struct hf_core **core, struct hf_failure *failure)
{
	struct hf_corestore_options options = {.size = sizeof options, .store = home->store, .env = &home->env,
		.primary_key = hf_slice(home->primary_key, sizeof home->primary_key), .blocking = true};
	struct hf_core_options which = {.size = sizeof which, .name = hf_slice_text(name)};
	int status = hf_corestore_open(cores, &options, failure);

	return status == HF_OK ? hf_corestore_get(*cores, &which, core, failure) : status;
}

/* Appending changes memory and stages; a commit writes what is staged, all of it or nothing. */
static int append_lines(struct hf_core *core, FILE *input)
{
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	int status = HF_OK;

	while (status == HF_OK && (length = getline(&line, &capacity, input)) >= 0) {
		struct hf_slice block = hf_slice(line, (size_t)length - (length > 0 && line[length - 1] == '\n'));

		status = hf_core_append(core, &block, 1, NULL);
		if (status == HF_EBUSY) { /* HF_CORE_STAGED_BYTES_MAX is reached */
			status = hf_core_commit_wait(core, HF_DURABLE_OS);
			if (status == HF_OK)
				status = hf_core_append(core, &block, 1, NULL);
		}
	}
	free(line);
	/* Synced: when this returns, a cut of power takes nothing of it away. */
	return status == HF_OK ? hf_core_commit_wait(core, HF_DURABLE_DISK) : status;
}

int main(int argc, char **argv)
{
	struct home home;
	struct hf_corestore *cores = NULL;
	struct hf_core *core = NULL;
	struct hf_failure failure = {0};
	int status;

	if (argc != 3) {
		fprintf(stderr, "usage: append DIRECTORY NAME < lines\n");
		return 2;
	}
	if (home_open(&home, argv[1], &failure) != HF_OK) {
		fprintf(stderr, "append: %s\n", failure.text);
		return 1;
	}
	status = open_core(&home, argv[2], &cores, &core, &failure);
	if (status == HF_OK) {
		status = append_lines(core, stdin);
		if (status != HF_OK)
			hf_fail(&failure, status, "The lines were not appended: %s.", hf_error_text(status));
	}
	if (status == HF_OK) {
		char key[HF_CORE_ID_BYTES];

		hf_core_key_encode(key, hf_core_key(core));
		printf("key %s\nlength %" PRIu64 "\n", key, hf_core_length(core));
	} else {
		fprintf(stderr, "append: %s\n", failure.text);
	}
	/* In the opposite order of opening. */
	hf_core_unref(core);
	if (cores != NULL)
		hf_corestore_close(cores);
	home_close(&home);
	return status == HF_OK ? 0 : 1;
}
