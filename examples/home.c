#include "home.h"

#include <errno.h>
#include <fcntl.h>
#include <holdfast/hash.h>
#include <holdfast/secret.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A store belongs to one process. The library leaves it to the program to see to that: here with a lock that the kernel lets go
 * of however the process ends. */
static int lock_directory(struct home *home, const char *directory, struct hf_failure *failure)
{
	char path[HF_PATH_BYTES_MAX];

	if (mkdir(directory, 0700) < 0 && errno != EEXIST)
		return hf_fail(failure, hf_error_from_errno(errno), "%s cannot be made.", directory);
	if (hf_path_join(path, directory, "LOCK") != HF_OK)
		return hf_fail(failure, HF_ETOOBIG, "The path is too long.");
	home->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (home->lock < 0 || flock(home->lock, LOCK_EX | LOCK_NB) < 0)
		return hf_fail(failure, HF_EBUSY, "%s is in use by another process, or cannot be written to.", directory);
	return HF_OK;
}

/* Drawn once, then read again: the same name gives the same core as long as this file is there. */
static int read_primary_key(struct home *home, const char *directory, struct hf_failure *failure)
{
	char path[HF_PATH_BYTES_MAX];
	struct hf_buffer bytes = {0};
	int status = hf_path_join(path, directory, "primary-key");

	if (status == HF_OK)
		status = hf_fs_read_all(home->env.fs, path, sizeof home->primary_key, &bytes);
	if (status == HF_ENOTFOUND) {
		home->env.random(&home->env, home->primary_key, sizeof home->primary_key);
		status = hf_fs_replace(home->env.fs, path, home->primary_key, sizeof home->primary_key);
	} else if (status == HF_OK && bytes.length == sizeof home->primary_key) {
		memcpy(home->primary_key, bytes.data, sizeof home->primary_key);
		hf_wipe(bytes.data, bytes.length);
	} else if (status == HF_OK) {
		status = HF_EMALFORMED;
	}
	hf_buffer_free(&bytes);
	return status == HF_OK ? HF_OK : hf_fail(failure, status, "%s: %s.", path, hf_error_text(status));
}

int home_open(struct home *home, const char *directory, struct hf_failure *failure)
{
	char path[HF_PATH_BYTES_MAX];
	/* Option structs begin with their size; members that are not named are zero, which means the default. The schema is how the
	 * store asks what its documents are; those of a corestore are known to hf_corestore_describe. */
	struct hf_store_options options = {.size = sizeof options, .directory = path, .env = &home->env,
		.schema = {.describe = hf_corestore_describe}};
	int status;

	*home = (struct home){.lock = -1};
	if (hf_crypto_init() != HF_OK)
		return hf_fail(failure, HF_EIO, "The system has no random source.");
	hf_env_system(&home->env);
	home->env.executor = hf_executor_inline(); /* no threads for work of ours */
	status = lock_directory(home, directory, failure);
	if (status == HF_OK)
		status = read_primary_key(home, directory, failure);
	if (status == HF_OK && hf_path_join(path, directory, "store") != HF_OK)
		status = hf_fail(failure, HF_ETOOBIG, "The path is too long.");
	if (status == HF_OK)
		status = hf_store_open(&home->store, &options, failure);
	if (status != HF_OK)
		home_close(home);
	return status;
}

void home_close(struct home *home)
{
	if (home->store != NULL)
		hf_store_close(home->store);
	hf_wipe(home->primary_key, sizeof home->primary_key);
	if (home->lock >= 0)
		close(home->lock);
}
