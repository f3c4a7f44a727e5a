/* Manifests, both ways, and the keys that follow from them. */
#include "core_model.h"

#include "support/fail_alloc.h"
#include "support/vectors.h"

static int set_up(void **state) { return hf_crypto_init(); }

static void expect_signers(const json_t *expected, const struct hf_manifest *manifest)
{
	json_t *signers = vectors_array(expected, "signers", manifest->signer_count), *item;
	struct hf_manifest_signer signer;
	size_t i;

	json_array_foreach(signers, i, item) {
		assert_true(hf_manifest_signer(manifest, i, &signer));
		vectors_expect(item, "namespace", signer.signer_namespace, 32);
		vectors_expect(item, "publicKey", signer.public_key, 32);
	}
	assert_false(hf_manifest_signer(manifest, manifest->signer_count, &signer));
}

static void expect_manifest(const json_t *expected, const struct hf_manifest *manifest)
{
	json_t *prologue = vectors_get(expected, "prologue"), *linked = vectors_get(expected, "linked");

	assert_int_equal(manifest->version, vectors_uint(expected, "version"));
	assert_int_equal(manifest->allow_patch, vectors_bool(expected, "allowPatch"));
	assert_int_equal(manifest->quorum, vectors_uint(expected, "quorum"));
	expect_signers(expected, manifest);
	assert_int_equal(manifest->has_prologue, !json_is_null(prologue));
	if (manifest->has_prologue) {
		vectors_expect(prologue, "hash", manifest->prologue.hash, 32);
		assert_int_equal(manifest->prologue.length, vectors_uint(prologue, "length"));
	}
	assert_int_equal(manifest->has_linked, !json_is_null(linked));
	assert_int_equal(manifest->linked_count, json_array_size(linked));
	for (size_t i = 0; i < manifest->linked_count; i++) {
		struct hf_buffer key = {0};

		assert_memory_equal(vectors_from_hex(&key, json_string_value(json_array_get(linked, i))).data,
			manifest->linked.data + 32 * i, 32);
		hf_buffer_free(&key);
	}
	assert_int_equal(manifest->has_user_data, !json_is_null(vectors_get(expected, "userData")));
	if (manifest->has_user_data)
		vectors_expect(expected, "userData", manifest->user_data.data, manifest->user_data.length);
}

/* Made from its members, not from its encoding. */
static void build(const json_t *members, struct hf_manifest *out, struct hf_buffer *signers, struct hf_buffer *linked,
	struct hf_buffer *user_data)
{
	json_t *prologue = vectors_get(members, "prologue"), *item;
	size_t i;

	*out = (struct hf_manifest){.version = (uint32_t)vectors_uint(members, "version"), .quorum = vectors_uint(members, "quorum"),
		.allow_patch = vectors_bool(members, "allowPatch"), .has_prologue = !json_is_null(prologue),
		.has_linked = !json_is_null(vectors_get(members, "linked")),
		.has_user_data = !json_is_null(vectors_get(members, "userData"))};
	json_array_foreach(vectors_get(members, "signers"), i, item) {
		uint8_t signer_namespace[32], public_key[32];

		vectors_bytes(signer_namespace, 32, item, "namespace");
		vectors_bytes(public_key, 32, item, "publicKey");
		assert_int_equal(hf_manifest_signer_write(signers, signer_namespace, public_key), HF_OK);
		out->signer_count++;
	}
	out->signers = hf_buffer_slice(signers);
	if (out->has_prologue) {
		vectors_bytes(out->prologue.hash, 32, prologue, "hash");
		out->prologue.length = vectors_uint(prologue, "length");
	}
	json_array_foreach(vectors_get(members, "linked"), i, item) {
		struct hf_buffer key = {0};

		assert_int_equal(hf_buffer_append(linked, vectors_from_hex(&key, json_string_value(item)).data, 32), HF_OK);
		hf_buffer_free(&key);
		out->linked_count++;
	}
	out->linked = hf_buffer_slice(linked);
	if (out->has_user_data)
		out->user_data = vectors_hex(user_data, members, "userData");
}

static void test_manifests_and_keys_are_the_packages(void **state)
{
	json_t *file = vectors_load("hypercore/manifest.json"), *item;
	size_t i;

	json_array_foreach(vectors_array(file, "manifests", 12), i, item) {
		struct hf_buffer encoded = {0}, again = {0}, signers = {0}, linked = {0}, user_data = {0};
		struct hf_manifest manifest, built, of_key;
		uint8_t key[32], discovery_key[32], bytes[HF_MANIFEST_DEFAULT_BYTES];

		assert_int_equal(hf_manifest_decode(&manifest, vectors_hex(&encoded, item, "encoded")), HF_OK);
		expect_manifest(vectors_get(item, "manifest"), &manifest);
		assert_int_equal(hf_manifest_encode(&manifest, &again), HF_OK);
		vectors_expect(item, "encoded", again.data, again.length);
		build(vectors_get(item, "manifest"), &built, &signers, &linked, &user_data);
		hf_buffer_clear(&again);
		assert_int_equal(hf_manifest_encode(&built, &again), HF_OK);
		vectors_expect(item, "encoded", again.data, again.length);
		assert_int_equal(hf_manifest_key(&built, key), HF_OK);
		vectors_expect(item, "key", key, 32);
		hf_discovery_key(discovery_key, key);
		vectors_expect(item, "discoveryKey", discovery_key, 32);
		assert_false(hf_manifest_is_compat(&manifest, key));
		assert_int_equal(hf_manifest_of_key(&of_key, key, hf_buffer_slice(&encoded), bytes), HF_OK);
		key[31] ^= 1;
		assert_int_equal(hf_manifest_of_key(&of_key, key, hf_buffer_slice(&encoded), bytes), HF_EBADSIG);
		for (size_t length = 0; length < encoded.length; length++)
			assert_int_equal(hf_manifest_decode(&manifest, hf_slice(encoded.data, length)), HF_EMALFORMED);
		hf_buffer_free(&encoded);
		hf_buffer_free(&again);
		hf_buffer_free(&signers);
		hf_buffer_free(&linked);
		hf_buffer_free(&user_data);
	}
	json_decref(file);
}

static void test_defaults(void **state)
{
	json_t *file = vectors_load("hypercore/manifest.json"), *item = json_array_get(vectors_get(file, "manifests"), 0);
	json_t *signer = json_array_get(vectors_get(vectors_get(item, "manifest"), "signers"), 0);
	struct hf_manifest manifest;
	uint8_t public_key[32], bytes[HF_MANIFEST_DEFAULT_BYTES];

	vectors_bytes(public_key, 32, signer, "publicKey");
	hf_manifest_default(&manifest, bytes, public_key);
	vectors_expect(item, "encoded", bytes, sizeof bytes);
	expect_manifest(vectors_get(item, "manifest"), &manifest);
	assert_true(hf_manifest_is_compat(&manifest, public_key));
	memset(&manifest, 0, sizeof manifest);
	assert_int_equal(hf_manifest_of_key(&manifest, public_key, hf_slice(NULL, 0), bytes), HF_OK);
	assert_true(hf_manifest_is_compat(&manifest, public_key));
	assert_int_equal(hf_manifest_quorum_default(0), 0);
	assert_int_equal(hf_manifest_quorum_default(1), 1);
	assert_int_equal(hf_manifest_quorum_default(2), 2);
	assert_int_equal(hf_manifest_quorum_default(3), 2);
	json_decref(file);
}

static void expect_refused(const char *hex, int status)
{
	struct hf_buffer bytes = {0};
	struct hf_manifest manifest;

	assert_int_equal(hf_manifest_decode(&manifest, vectors_from_hex(&bytes, hex)), status);
	hf_buffer_free(&bytes);
}

static void test_what_nobody_defined_is_refused(void **state)
{
	struct hf_manifest manifest = {.version = 1, .has_linked = true};
	struct hf_buffer out = {0}, large = {0};
	struct hf_compact_writer writer = hf_compact_writer(&large);
	uint8_t key[32];

	expect_refused("", HF_EMALFORMED);
	expect_refused("0400000000", HF_EVERSION);
	expect_refused("0100010000", HF_EVERSION);
	expect_refused("000100", HF_EVERSION);
	expect_refused("000003", HF_EVERSION);
	expect_refused("0104000000", HF_EMALFORMED);
	expect_refused("0108000000", HF_EMALFORMED);
	expect_refused("01000000fdff00", HF_EMALFORMED);
	expect_refused("01000000fd0001", HF_ETOOBIG);
	expect_refused("ff00000000000040000000000000", HF_ETOOBIG);
	expect_refused("010000ff0000000000004000", HF_ETOOBIG);
	hf_compact_write_fixed(&writer, "\x02\x08\x00\x00\x00", 5);
	hf_compact_write_uint(&writer, HF_MANIFEST_USER_DATA_BYTES_MAX + 1);
	assert_int_equal(hf_buffer_reserve(&large, HF_MANIFEST_USER_DATA_BYTES_MAX + 1), HF_OK);
	memset(large.data + large.length, 7, HF_MANIFEST_USER_DATA_BYTES_MAX + 1);
	large.length += HF_MANIFEST_USER_DATA_BYTES_MAX + 1;
	assert_int_equal(hf_manifest_decode(&manifest, hf_buffer_slice(&large)), HF_ETOOBIG);

	manifest = (struct hf_manifest){.version = 1, .has_linked = true};
	assert_int_equal(hf_manifest_encode(&manifest, &out), HF_EINVAL);
	manifest = (struct hf_manifest){.version = 4};
	assert_int_equal(hf_manifest_encode(&manifest, &out), HF_EINVAL);
	manifest = (struct hf_manifest){.version = 2, .has_linked = true, .linked_count = 1};
	assert_int_equal(hf_manifest_encode(&manifest, &out), HF_EINVAL);
	manifest = (struct hf_manifest){.version = 1, .signer_count = 1, .quorum = 1};
	assert_int_equal(hf_manifest_key(&manifest, key), HF_EINVAL);
	manifest = (struct hf_manifest){.has_prologue = true, .signer_count = 1, .quorum = 1};
	assert_int_equal(hf_manifest_encode(&manifest, &out), HF_EINVAL);
	assert_int_equal(out.length, 0);
	hf_buffer_free(&out);
	hf_buffer_free(&large);
}

/* Peers may write numbers longer than need be; the key is that of the short form. */
static void test_long_encodings_have_the_key_of_the_short_one(void **state)
{
	struct core_signer signer;
	struct hf_manifest manifest;
	struct hf_buffer longer = {0};
	uint8_t seed[32] = {9}, key[32], bytes[HF_MANIFEST_DEFAULT_BYTES];

	core_signer_init(&signer, seed);
	for (size_t i = 0; i < 6; i++) {
		hf_buffer_clear(&longer);
		assert_int_equal(hf_buffer_append(&longer, signer.bytes, i), HF_OK);
		assert_int_equal(hf_buffer_append(&longer, "\xfd", 1), HF_OK);
		assert_int_equal(hf_buffer_append(&longer, signer.bytes + i, 1), HF_OK);
		assert_int_equal(hf_buffer_append(&longer, "\0", 1), HF_OK);
		assert_int_equal(hf_buffer_append(&longer, signer.bytes + i + 1, sizeof signer.bytes - i - 1), HF_OK);
		assert_int_equal(hf_manifest_of_key(&manifest, signer.key, hf_buffer_slice(&longer), bytes), HF_OK);
		assert_true(hf_manifest_is_compat(&manifest, signer.public_key));
	}
	hf_buffer_free(&longer);
	for (uint64_t n = 1;; n++) {
		fail_alloc_arm(n, false);
		int status = hf_manifest_key(&signer.manifest, key);

		if (!fail_alloc_disarm()) {
			assert_int_equal(status, HF_OK);
			break;
		}
		assert_int_equal(status, HF_ENOMEM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manifests_and_keys_are_the_packages),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_what_nobody_defined_is_refused),
		cmocka_unit_test(test_long_encodings_have_the_key_of_the_short_one),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
