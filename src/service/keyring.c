/* keyring: a key's file is replaced as a whole, so that a crash leaves the old record or the new one. */
#include "service/keyring.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

struct loading {
	struct hf_keys *keys;
	const struct hf_datadir *directory;
	const char *folder;
	struct hf_failure *failure;
};

static int path_of(const struct hf_datadir *d, const char *folder, const char *name, char out[static HF_PATH_BYTES_MAX])
{
	int length = snprintf(out, HF_PATH_BYTES_MAX, "%s/%s%s%s", d->path, folder, name ? "/" : "", name ? name : "");
	return length < HF_PATH_BYTES_MAX ? HF_OK : HF_ETOOBIG;
}

static int load_one(void *context, const char *name)
{
	struct loading *l = context;
	char path[HF_PATH_BYTES_MAX];
	struct hf_buffer record = {0};
	struct stat status;
	size_t length = strlen(name);
	if (length < 4 || strcmp(name + length - 4, ".key") != 0)
		return HF_OK;
	int r = path_of(l->directory, l->folder, name, path);
	if (r == HF_OK && stat(path, &status) == 0 && (status.st_mode & 077))
		return hf_fail(l->failure, HF_EDENIED, "The key file %s can be read by others; make it 0600.", path);
	if (r == HF_OK)
		r = hf_fs_read_all(l->directory->env->fs, path, HF_KEY_RECORD_BYTES_MAX, &record);
	if (r == HF_OK)
		r = hf_keys_load(l->keys, hf_buffer_slice(&record));
	if (record.data)
		hf_wipe(record.data, record.capacity);
	hf_buffer_free(&record);
	return r < 0 ? hf_fail(l->failure, r, "The key file %s cannot be used: %s.", path, hf_error_text(r)) : HF_OK;
}

int hf_keyring_open(struct hf_keys **out, const struct hf_datadir *directory, const char *folder, struct hf_failure *failure)
{
	char path[HF_PATH_BYTES_MAX];
	struct hf_fs *fs = directory->env->fs;
	*out = NULL;
	int r = path_of(directory, folder, NULL, path);
	if (r == HF_OK)
		r = fs->make_directory(fs, path, 0700);
	if (r < 0 && r != HF_EEXISTS)
		return hf_fail(failure, r, "Making %s/%s failed: %s.", directory->path, folder, hf_error_text(r));
	r = hf_keys_new(out);
	if (r < 0)
		return hf_fail(failure, r, "Out of memory while loading keys.");
	struct loading loading = {*out, directory, folder, failure};
	r = fs->list(fs, path, load_one, &loading);
	if (r < 0) {
		if (failure && !failure->text[0])
			hf_fail(failure, r, "Reading %s failed: %s.", path, hf_error_text(r));
		hf_keys_free(*out);
		*out = NULL;
	}
	return r;
}

int hf_keyring_save(struct hf_keys *keys, const struct hf_datadir *directory, const char *folder, struct hf_failure *failure)
{
	for (struct hf_key *key; (key = hf_keys_next_unsaved(keys)) != NULL;) {
		char name[HF_KEY_FILE_NAME_BYTES], path[HF_PATH_BYTES_MAX];
		struct hf_secret record = {0};
		hf_key_file_name(key, name);
		int r = path_of(directory, folder, name, path);
		if (r == HF_OK)
			r = hf_key_encode(key, &record);
		if (r == HF_OK)
			r = hf_fs_replace(directory->env->fs, path, record.data, record.length);
		hf_secret_free(&record);
		if (r < 0)
			return hf_fail(failure, r, "Writing the key file %s failed: %s.", path, hf_error_text(r));
		hf_key_saved(key);
	}
	return HF_OK;
}

int hf_keyring_ensure(struct hf_keys *keys, const struct hf_datadir *directory, const char *folder, enum hf_key_purpose purpose,
	struct hf_failure *failure)
{
	if (hf_keys_active(keys, purpose))
		return HF_OK;
	int r = hf_keys_generate(keys, directory->env, purpose, NULL);
	if (r == HF_OK)
		r = hf_keys_rotate(keys, purpose, hf_env_wall_ms(directory->env));
	if (r < 0)
		return hf_fail(failure, r, "Making the %s key failed: %s.", hf_key_purpose_name(purpose), hf_error_text(r));
	return hf_keyring_save(keys, directory, folder, failure);
}
