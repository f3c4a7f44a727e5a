#include "crypto/keys.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "support/fail_alloc.h"

static struct hf_env env;
static struct hf_keys *keys;

static int set_up(void **state)
{
	hf_env_system(&env);
	return hf_keys_new(&keys);
}

static int tear_down(void **state)
{
	hf_keys_free(keys);
	return 0;
}

static struct hf_key *generate(enum hf_key_purpose purpose)
{
	struct hf_key *key;
	assert_int_equal(hf_keys_generate(keys, &env, purpose, &key), HF_OK);
	return key;
}

static size_t accepted_count(enum hf_key_purpose purpose)
{
	size_t cursor = 0, count = 0;
	while (hf_keys_next_accepted(keys, purpose, &cursor))
		count++;
	return count;
}

static void test_rotation_overlaps_until_revoked(void **state)
{
	struct hf_key *first = generate(HF_KEY_SWARM);
	assert_null(hf_keys_active(keys, HF_KEY_SWARM));
	assert_int_equal(hf_keys_rotate(keys, HF_KEY_SWARM, 1000), HF_OK);
	assert_ptr_equal(hf_keys_active(keys, HF_KEY_SWARM), first);
	assert_int_equal(hf_keys_rotate(keys, HF_KEY_SWARM, 1500), HF_ENOTFOUND);

	struct hf_key *second = generate(HF_KEY_SWARM);
	assert_int_equal(accepted_count(HF_KEY_SWARM), 2);
	assert_int_equal(hf_keys_rotate(keys, HF_KEY_SWARM, 2000), HF_OK);
	assert_ptr_equal(hf_keys_active(keys, HF_KEY_SWARM), second);
	assert_int_equal(first->state, HF_KEY_RETIRING);
	assert_int_equal(accepted_count(HF_KEY_SWARM), 2);

	assert_int_equal(hf_keys_revoke_retired(keys, 2099, 100), 0);
	assert_int_equal(hf_keys_revoke_retired(keys, 2100, 100), 1);
	assert_int_equal(first->state, HF_KEY_REVOKED);
	assert_null(first->secret.data);
	assert_int_equal(accepted_count(HF_KEY_SWARM), 1);
	assert_int_equal(accepted_count(HF_KEY_TLS), 0);
	assert_int_equal(hf_keys_revoke(keys, second->id, 3000), HF_OK);
	assert_null(hf_keys_active(keys, HF_KEY_SWARM));
	assert_int_equal(hf_keys_revoke(keys, (const uint8_t[HF_KEY_ID_BYTES]){0}, 3000), HF_ENOTFOUND);
}

static void test_records_round_trip(void **state)
{
	static const enum hf_key_purpose purposes[] = {HF_KEY_SWARM, HF_KEY_STORE_PRIMARY, HF_KEY_GATEWAY_SIGNING,
						       HF_KEY_RELAY_IDENTITY};
	struct hf_keys *loaded;
	assert_int_equal(hf_keys_new(&loaded), HF_OK);
	for (size_t i = 0; i < 4; i++)
		generate(purposes[i]);
	assert_int_equal(hf_keys_generate(keys, &env, HF_KEY_TLS, NULL), HF_EINVAL);
	assert_int_equal(hf_keys_add(keys, &env, HF_KEY_TLS, hf_slice(NULL, 0), HF_SLICE_LITERAL("-----BEGIN"), NULL),
			 HF_OK);
	assert_int_equal(hf_keys_rotate(keys, HF_KEY_RELAY_IDENTITY, 5), HF_OK);
	size_t saved = 0;
	for (struct hf_key *key; (key = hf_keys_next_unsaved(keys)); saved++) {
		struct hf_secret record, again;
		if (saved == 0)
			assert_int_equal(key->state, HF_KEY_ACTIVE);
		assert_int_equal(hf_key_encode(key, &record), HF_OK);
		assert_int_equal(hf_keys_load(loaded, hf_secret_slice(&record)), HF_OK);
		assert_int_equal(hf_keys_load(loaded, hf_secret_slice(&record)), HF_EEXISTS);
		const struct hf_key *copy = hf_keys_find(loaded, key->id);
		assert_int_equal(hf_key_encode(copy, &again), HF_OK);
		assert_true(hf_secret_equal(&record, &again));
		hf_secret_free(&record);
		hf_secret_free(&again);
		hf_key_saved(key);
	}
	assert_int_equal(saved, 5);
	assert_null(hf_keys_next_unsaved(loaded));
	hf_keys_free(loaded);
}

static void test_lost_half_of_a_rotation_is_made_good(void **state)
{
	struct hf_secret before, after;
	struct hf_key *first = generate(HF_KEY_STORE_PRIMARY), *second = generate(HF_KEY_STORE_PRIMARY);
	first->made_ms = 0;
	assert_int_equal(hf_keys_rotate(keys, HF_KEY_STORE_PRIMARY, 10), HF_OK);
	assert_int_equal(hf_key_encode(first, &before), HF_OK);
	assert_int_equal(hf_keys_rotate(keys, HF_KEY_STORE_PRIMARY, 20), HF_OK);
	assert_int_equal(hf_key_encode(second, &after), HF_OK);
	for (int order = 0; order < 2; order++) {
		struct hf_keys *loaded;
		assert_int_equal(hf_keys_new(&loaded), HF_OK);
		assert_int_equal(hf_keys_load(loaded, hf_secret_slice(order ? &after : &before)), HF_OK);
		assert_int_equal(hf_keys_load(loaded, hf_secret_slice(order ? &before : &after)), HF_OK);
		const struct hf_key *active = hf_keys_active(loaded, HF_KEY_STORE_PRIMARY);
		assert_memory_equal(active->id, second->id, HF_KEY_ID_BYTES);
		const struct hf_key *retiring = hf_keys_next_unsaved(loaded);
		assert_memory_equal(retiring->id, first->id, HF_KEY_ID_BYTES);
		assert_int_equal(retiring->state, HF_KEY_RETIRING);
		assert_int_equal(retiring->retired_ms, 20);
		hf_keys_free(loaded);
	}
	hf_secret_free(&before);
	hf_secret_free(&after);
}

static void test_damaged_records_are_refused(void **state)
{
	struct hf_secret record;
	struct hf_keys *loaded;
	assert_int_equal(hf_keys_new(&loaded), HF_OK);
	assert_int_equal(hf_key_encode(generate(HF_KEY_RELAY_IDENTITY), &record), HF_OK);
	for (size_t i = 0; i < record.length; i++) {
		record.data[i] ^= 0x10;
		assert_int_equal(hf_keys_load(loaded, hf_secret_slice(&record)),
				 i < 8 ? HF_EMALFORMED : i < 10 ? HF_EVERSION : HF_ECORRUPT);
		record.data[i] ^= 0x10;
	}
	for (size_t length = 0; length < record.length; length++)
		assert_int_not_equal(hf_keys_load(loaded, hf_slice(record.data, length)), HF_OK);
	hf_secret_free(&record);
	hf_keys_free(loaded);
}

static void test_file_names(void **state)
{
	char name[HF_KEY_FILE_NAME_BYTES];
	struct hf_key key = {.purpose = HF_KEY_GATEWAY_SIGNING, .id = {0xab, 1}};
	hf_key_file_name(&key, name);
	assert_string_equal(name, "gateway-signing-ab010000000000000000000000000000.key");
	assert_null(hf_key_purpose_name(99));
	assert_string_equal(hf_key_state_name(HF_KEY_RETIRING), "retiring");
}

static void test_full_ring_refuses(void **state)
{
	for (size_t i = 0; i < HF_KEYS_COUNT_MAX; i++)
		assert_int_equal(hf_keys_add(keys, &env, HF_KEY_TLS, hf_slice(NULL, 0), HF_SLICE_LITERAL("x"), NULL),
				 HF_OK);
	assert_int_equal(hf_keys_generate(keys, &env, HF_KEY_SWARM, NULL), HF_ETOOBIG);
}

static void test_failed_allocation_adds_nothing(void **state)
{
	for (uint64_t n = 1;; n++) {
		size_t cursor = 0;
		fail_alloc_arm(n, false);
		int error = hf_keys_generate(keys, &env, HF_KEY_RELAY_IDENTITY, NULL);
		if (!fail_alloc_disarm()) {
			assert_int_equal(error, HF_OK);
			assert_true(n > 3);
			return;
		}
		assert_int_equal(error, HF_ENOMEM);
		assert_null(hf_keys_next(keys, &cursor));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rotation_overlaps_until_revoked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_records_round_trip, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lost_half_of_a_rotation_is_made_good, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged_records_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_file_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_ring_refuses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failed_allocation_adds_nothing, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
