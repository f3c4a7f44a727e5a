/* The data directory: who may use it, what it must say, and its key ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/hash.h"
#include "service/keyring.h"
#include "support/scratch.h"

struct fixture {
	struct hf_env env;
	char scratch[SCRATCH_PATH_BYTES], path[SCRATCH_PATH_BYTES + 8];
	struct hf_failure failure;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	assert_int_equal(hf_crypto_init(), HF_OK);
	hf_env_system(&f->env);
	scratch_make(f->scratch);
	snprintf(f->path, sizeof f->path, "%s/data", f->scratch);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	scratch_remove(f->scratch);
	free(f);
	return 0;
}

static void write_file(const struct fixture *f, const char *name, const char *text)
{
	char path[SCRATCH_PATH_BYTES + 64];
	snprintf(path, sizeof path, "%s/%s", f->path, name);
	FILE *file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
}

static void test_it_is_made_closed_to_others_and_locked(void **state)
{
	struct fixture *f = *state;
	struct hf_datadir first, second;
	struct stat status;
	char expected[32];
	assert_int_equal(hf_datadir_open(&first, &f->env, f->path, true, &f->failure), HF_OK);
	assert_int_equal(stat(f->path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0700);
	assert_int_equal(hf_datadir_open(&second, &f->env, f->path, true, &f->failure), HF_EBUSY);
	snprintf(expected, sizeof expected, "process %ld", (long)getpid());
	assert_non_null(strstr(f->failure.text, expected));
	hf_datadir_close(&first);
	assert_int_equal(hf_datadir_open(&second, &f->env, f->path, false, &f->failure), HF_OK);
	hf_datadir_close(&second);
}

static void test_a_missing_one_is_made_only_when_asked(void **state)
{
	struct fixture *f = *state;
	struct hf_datadir d;
	assert_int_equal(hf_datadir_open(&d, &f->env, f->path, false, &f->failure), HF_ENOTFOUND);
	assert_int_equal(access(f->path, F_OK), -1);
}

static void test_an_unknown_format_is_refused(void **state)
{
	struct fixture *f = *state;
	struct hf_datadir d;
	assert_int_equal(hf_datadir_open(&d, &f->env, f->path, true, &f->failure), HF_OK);
	hf_datadir_close(&d);
	write_file(f, "FORMAT", "holdfast 2\n");
	assert_int_equal(hf_datadir_open(&d, &f->env, f->path, true, &f->failure), HF_EVERSION);
	assert_non_null(strstr(f->failure.text, "format 2"));
	write_file(f, "FORMAT", "something else\n");
	assert_int_equal(hf_datadir_open(&d, &f->env, f->path, true, &f->failure), HF_ECORRUPT);
	write_file(f, "FORMAT", "");
	assert_int_equal(hf_datadir_open(&d, &f->env, f->path, true, &f->failure), HF_ECORRUPT);
}

static void test_a_directory_with_strangers_in_it_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct hf_datadir d;
	mkdir(f->path, 0755);
	write_file(f, "thesis.txt", "x");
	assert_int_equal(hf_datadir_open(&d, &f->env, f->path, true, &f->failure), HF_EEXISTS);
	assert_non_null(strstr(f->failure.text, "thesis.txt"));
}

static void test_keys_are_made_once_and_found_again(void **state)
{
	struct fixture *f = *state;
	struct hf_datadir d;
	uint8_t public_key[32];
	assert_int_equal(hf_datadir_open(&d, &f->env, f->path, true, &f->failure), HF_OK);
	for (int round = 0; round < 2; round++) {
		struct hf_keys *keys;
		assert_int_equal(hf_keyring_open(&keys, &d, "keys", &f->failure), HF_OK);
		assert_int_equal(hf_keyring_ensure(keys, &d, "keys", HF_KEY_RELAY_IDENTITY, &f->failure), HF_OK);
		const struct hf_key *key = hf_keys_active(keys, HF_KEY_RELAY_IDENTITY);
		assert_non_null(key);
		if (round == 0)
			memcpy(public_key, key->public_key, 32);
		else
			assert_memory_equal(public_key, key->public_key, 32);
		hf_keys_free(keys);
	}
	hf_datadir_close(&d);
}

static void test_key_files_that_others_can_read_or_that_are_damaged_are_refused(void **state)
{
	struct fixture *f = *state;
	struct hf_datadir d;
	struct hf_keys *keys;
	struct hf_key *key;
	char name[HF_KEY_FILE_NAME_BYTES], path[SCRATCH_PATH_BYTES + 128];
	assert_int_equal(hf_datadir_open(&d, &f->env, f->path, true, &f->failure), HF_OK);
	assert_int_equal(hf_keyring_open(&keys, &d, "keys", &f->failure), HF_OK);
	assert_int_equal(hf_keys_generate(keys, &f->env, HF_KEY_STORE_PRIMARY, &key), HF_OK);
	hf_key_file_name(key, name);
	assert_int_equal(hf_keyring_save(keys, &d, "keys", &f->failure), HF_OK);
	hf_keys_free(keys);
	snprintf(path, sizeof path, "%s/keys/%s", f->path, name);
	chmod(path, 0644);
	assert_int_equal(hf_keyring_open(&keys, &d, "keys", &f->failure), HF_EDENIED);
	assert_non_null(strstr(f->failure.text, name));
	chmod(path, 0600);
	FILE *file = fopen(path, "r+");
	fseek(file, 70, SEEK_SET);
	int byte = fgetc(file);
	fseek(file, 70, SEEK_SET);
	fputc(byte ^ 1, file);
	fclose(file);
	f->failure = (struct hf_failure){0};
	assert_int_equal(hf_keyring_open(&keys, &d, "keys", &f->failure), HF_ECORRUPT);
	assert_non_null(strstr(f->failure.text, name));
	hf_datadir_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_it_is_made_closed_to_others_and_locked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_missing_one_is_made_only_when_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_unknown_format_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_directory_with_strangers_in_it_is_left_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_keys_are_made_once_and_found_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_key_files_that_others_can_read_or_that_are_damaged_are_refused, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
