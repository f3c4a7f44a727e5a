#include "store/upgrade.h"

#include <stdlib.h>

#include "store/block_run.h"

/* ---- 1 to 2 ---- */

static int copy_run(const struct hf_blocks_options *options, uint32_t number, uint32_t *copy, struct hf_failure *failure)
{
	struct hf_block_writer *writer = malloc(sizeof *writer);
	struct hf_block_run *run = NULL;
	int status = writer == NULL ? HF_ENOMEM : hf_block_run_open(&run, options, number, failure);

	if (status == HF_OK) {
		status = hf_block_writer_open(writer, options);
		if (status == HF_OK)
			status = hf_block_merge(&run, 1, false, writer);
		status = hf_block_writer_finish(writer, status);
		*copy = writer->number;
	}
	hf_block_run_unref(run);
	free(writer);
	return status;
}

static int add_restarts(struct hf_store *store, struct hf_manifest *m, struct hf_failure *failure)
{
	struct hf_blocks_options options = {.fs = store->env->fs, .directory = store->block_directory,
		.corrupt_count = &store->corrupt_count, .next_number = &store->next_file_number};
	int status = HF_OK;

	memcpy(options.uuid, m->uuid, sizeof options.uuid);
	for (size_t i = 0; i < m->run_count && status == HF_OK; i++)
		status = copy_run(&options, m->runs[i], &m->runs[i], failure);
	return status;
}

const struct hf_upgrade_step hf_upgrade_steps[HF_STORE_FORMAT_VERSION - 1] = {
	{"block runs get restarts", add_restarts},
};

/* ---- All steps ---- */

static int write_manifest(struct hf_store *store, const char *name, const struct hf_manifest *m)
{
	char path[HF_PATH_BYTES_MAX];
	struct hf_buffer text = {0};
	int status = hf_manifest_print(m, &text);

	if (status == HF_OK)
		status = hf_path_join(path, store->directory, name);
	if (status == HF_OK)
		status = hf_fs_replace(store->env->fs, path, text.data, text.length);
	hf_buffer_free(&text);
	return status;
}

static int take_step(struct hf_store *store, const char *name, struct hf_manifest *m, const struct hf_upgrade_step *step,
	struct hf_failure *failure)
{
	int status;

	atomic_store(&store->next_file_number, m->next_file);
	status = step->run(store, m, failure);
	m->next_file = atomic_load(&store->next_file_number);
	m->format++;
	if (status == HF_OK)
		status = write_manifest(store, name, m);
	if (status == HF_OK) {
		hf_log_info(&hf_store_module, "the store was upgraded", "format=%u what=\"%s\"", m->format, step->what);
		return HF_OK;
	}
	if (failure != NULL && failure->text[0] == '\0')
		hf_fail(failure, status, "the store in %s could not be upgraded to format %u (%s); it is as it was", store->directory,
			m->format, hf_error_text(status));
	return status;
}

int hf_store_upgrade(struct hf_store *store, const char *name, struct hf_manifest *m, const struct hf_upgrade_step *steps,
	uint32_t newest, struct hf_failure *failure)
{
	bool old = m->format < newest;
	int status = HF_OK;

	if (old && store->read_only)
		return hf_fail(failure, HF_EVERSION, "the store in %s has format %u and must be opened for writing once, to be upgraded to %u",
			store->directory, m->format, newest);
	while (status == HF_OK && m->format < newest)
		status = take_step(store, name, m, &steps[m->format - 1], failure);
	if (old && status == HF_OK && strcmp(name, "MANIFEST") == 0)
		status = write_manifest(store, "MANIFEST.copy", m); /* the old one names files that go now */
	return status;
}
