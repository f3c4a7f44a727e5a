/* Signatures, namespaces, tree hashes and block encryption, against vectors/hypercore. */
#include "support/vectors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/error.h"
#include "crypto/block_cipher.h"
#include "crypto/merkle_hash.h"
#include "crypto/namespace.h"
#include "crypto/sign.h"

static int set_up(void **state)
{
	*state = vectors_load("hypercore/crypto.json");
	return hf_crypto_init();
}

static int tear_down(void **state)
{
	json_decref(*state);
	return 0;
}

static void test_key_pairs_and_discovery_keys(void **state)
{
	json_t *pairs = vectors_array(*state, "keyPairs", 5), *pair;
	size_t i;

	json_array_foreach(pairs, i, pair) {
		uint8_t seed[32], public_key[32], secret_key[64], discovery_key[32];
		vectors_bytes(seed, 32, pair, "seed");
		hf_sign_keypair_from_seed(public_key, secret_key, seed);
		vectors_expect(pair, "publicKey", public_key, 32);
		vectors_expect(pair, "secretKey", secret_key, 64);
		assert_memory_equal(hf_sign_public_key(secret_key), public_key, 32);
		hf_discovery_key(discovery_key, public_key);
		vectors_expect(pair, "discoveryKeyOfPublicKey", discovery_key, 32);
	}
}

static void test_namespaces_are_what_their_labels_give(void **state)
{
	json_t *lists = vectors_array(*state, "namespaces", 4), *list, *id;
	size_t i, j, count = 0;

	json_array_foreach(lists, i, list) {
		json_array_foreach(vectors_get(list, "ids"), j, id) {
			uint8_t derived[32];
			hf_namespace_derive(derived, hf_slice_text(vectors_text(list, "name")), (uint8_t)j);
			vectors_expect(id, "value", derived, 32);
			assert_memory_equal(derived, hf_namespaces[count++], 32);
		}
	}
	assert_int_equal(count, HF_NAMESPACE_COUNT);
}

/* The data in every cut of three pieces. */
static void check_leaf(struct hf_slice data, const json_t *leaf)
{
	for (size_t a = 0; a <= data.length; a++)
		for (size_t b = a; b <= data.length; b++) {
			uint8_t *bytes = (uint8_t *)(uintptr_t)data.data, hash[32];
			struct iovec pieces[3] = {{bytes, a}, {bytes + a, b - a}, {bytes + b, data.length - b}};
			hf_leaf_hash(hash, pieces, 3);
			vectors_expect(leaf, "hash", hash, 32);
		}
}

static void test_leaf_hashes(void **state)
{
	json_t *leaves = vectors_array(*state, "leaf", 4), *leaf;
	struct hf_buffer data = {0};
	uint8_t hash[32];
	size_t i;

	json_array_foreach(leaves, i, leaf)
		check_leaf(vectors_hex(&data, leaf, "data"), leaf);
	hf_leaf_hash(hash, NULL, 0);
	vectors_expect(json_array_get(leaves, 0), "hash", hash, 32);
	hf_buffer_free(&data);
}

/* Around the size at which a leaf no longer fits one block, against the plain definition. */
static void test_leaf_of_any_length_is_the_hash_of_its_definition(void **state)
{
	uint8_t input[9 + 600], expected[32], hash[32];

	for (size_t i = 0; i < sizeof input; i++)
		input[i] = (uint8_t)(i * 7);
	for (size_t length = 0; length <= 600; length++) {
		struct iovec pieces[3] = {{input + 9, length / 3}, {NULL, 0}, {input + 9 + length / 3, length - length / 3}};
		input[0] = 0;
		hf_store_le64(input + 1, length);
		hf_blake2b(expected, 32, hf_slice(NULL, 0), hf_slice(input, 9 + length));
		hf_leaf_hash(hash, pieces, 3);
		assert_memory_equal(hash, expected, 32);
	}
}

/* Of every mixture of lengths, those in between too short to be hashed side by side. */
static void test_leaves_together_are_as_each_alone(void **state)
{
	static const size_t lengths[] = {65536, 1024, 1023, 0, 5000, 65536, 3, 1500, 1151, 1152, 20000, 65535};
	static uint8_t input[65536 + 64], hashes[40][32], expected[32];
	struct hf_slice blocks[40];

	for (size_t i = 0; i < sizeof input; i++)
		input[i] = (uint8_t)(i * i >> 7 ^ i);
	for (size_t count = 0; count <= 40; count++)
		for (size_t step = 1; step < 12; step += 2) {
			for (size_t i = 0; i < count; i++)
				blocks[i] = hf_slice(input + i, lengths[(count + i * step) % 12]);
			hf_leaf_hashes(hashes, blocks, count);
			for (size_t i = 0; i < count; i++) {
				hf_leaf_hash(expected, &(struct iovec){(void *)(uintptr_t)blocks[i].data, blocks[i].length}, 1);
				assert_memory_equal(hashes[i], expected, 32);
			}
		}
}

static void node_from(struct hf_merkle_node *node, const json_t *json)
{
	node->size = vectors_uint(json, "size");
	vectors_bytes(node->hash, 32, json, "hash");
}

static void test_parent_hashes(void **state)
{
	json_t *parents = vectors_array(*state, "parent", 1), *parent;
	size_t i;

	json_array_foreach(parents, i, parent) {
		struct hf_merkle_node left, right;
		node_from(&left, vectors_get(parent, "left"));
		node_from(&right, vectors_get(parent, "right"));
		assert_int_equal(left.size + right.size, vectors_uint(parent, "size"));
		hf_parent_hash(left.hash, &left, &right);
		vectors_expect(parent, "hash", left.hash, 32);
	}
}

static void test_tree_hashes(void **state)
{
	json_t *trees = vectors_array(*state, "tree", 2), *tree, *root;
	size_t i, j;

	json_array_foreach(trees, i, tree) {
		struct hf_tree_hash hash;
		uint8_t out[32];
		hf_tree_hash_init(&hash);
		json_array_foreach(vectors_get(tree, "roots"), j, root) {
			struct hf_merkle_node node;
			node_from(&node, root);
			hf_tree_hash_add(&hash, vectors_uint(root, "index"), &node);
		}
		hf_tree_hash_final(&hash, out);
		vectors_expect(tree, "hash", out, 32);
	}
}

static size_t signable_from(uint8_t *out, const json_t *json)
{
	uint8_t context[32], tree_hash[32];
	bool has_context = json_object_get(json, "context") != NULL;

	if (has_context)
		vectors_bytes(context, 32, json, "context");
	vectors_bytes(tree_hash, 32, json, "treeHash");
	return hf_signable(out, has_context ? context : NULL, tree_hash, vectors_uint(json, "length"), vectors_uint(json, "fork"));
}

/* The third is the legacy form, which is only here to be verified. */
static void test_signables_and_their_signatures(void **state)
{
	json_t *signables = vectors_array(*state, "signables", 3), *json;
	uint8_t seed[32], public_key[32], secret_key[64], signature[64];
	struct hf_buffer signable = {0};
	size_t i;

	memset(seed, 1, sizeof seed);
	hf_sign_keypair_from_seed(public_key, secret_key, seed);
	json_array_foreach(signables, i, json) {
		uint8_t built[HF_SIGNABLE_BYTES_MAX];
		struct hf_slice message = vectors_hex(&signable, json, "signable");
		vectors_expect(json, "signerPublicKey", public_key, 32);
		if (i < 2)
			vectors_expect(json, "signable", built, signable_from(built, json));
		hf_sign(signature, message, secret_key);
		vectors_expect(json, "signature", signature, 64);
		assert_int_equal(hf_verify(signature, message, public_key), HF_OK);
		signable.data[5] ^= 1;
		assert_int_equal(hf_verify(signature, message, public_key), HF_EBADSIG);
		signable.data[5] ^= 1;
		signature[40] ^= 1;
		assert_int_equal(hf_verify(signature, message, public_key), HF_EBADSIG);
	}
	hf_buffer_free(&signable);
}

static void test_replication_capability(void **state)
{
	json_t *capability = vectors_get(*state, "capability");
	uint8_t core_key[32], handshake_hash[64], out[32];

	vectors_bytes(core_key, 32, capability, "coreKey");
	vectors_bytes(handshake_hash, 64, capability, "handshakeHash");
	hf_replication_capability(out, handshake_hash, true, core_key);
	vectors_expect(capability, "initiator", out, 32);
	hf_replication_capability(out, handshake_hash, false, core_key);
	vectors_expect(capability, "responder", out, 32);
}

static void check_store_core(const uint8_t *primary_key, const json_t *core)
{
	uint8_t name_space[32] = {0}, seed[32], public_key[32], secret_key[64];
	struct hf_slice name = hf_slice_text(vectors_text(core, "name"));
	struct hf_buffer bytes = {0};
	json_t *part;
	size_t i;

	json_array_foreach(vectors_get(core, "namespacePath"), i, part)
		hf_corestore_namespace(name_space, name_space, json_is_string(part) ? hf_slice_text(json_string_value(part))
			: vectors_hex(&bytes, part, "hex"));
	hf_buffer_free(&bytes);
	vectors_expect(core, "namespace", name_space, 32);
	hf_corestore_seed(seed, primary_key, name_space, name);
	vectors_expect(core, "secretKeySeed", seed, 32);
	hf_sign_keypair_from_seed(public_key, secret_key, seed);
	vectors_expect(core, "publicKey", public_key, 32);
}

static void test_corestore_derives_the_keys_of_names(void **state)
{
	json_t *root = vectors_load("hypercore/corestore.json"), *store, *core;
	uint8_t primary_key[32], discovery_key[32], core_key[32];
	size_t i, j, count = 0;

	json_array_foreach(vectors_get(root, "stores"), i, store) {
		vectors_bytes(primary_key, 32, store, "primaryKey");
		json_array_foreach(vectors_get(store, "cores"), j, core) {
			check_store_core(primary_key, core);
			vectors_bytes(core_key, 32, core, "key");
			hf_discovery_key(discovery_key, core_key);
			vectors_expect(core, "discoveryKey", discovery_key, 32);
			count++;
		}
	}
	assert_int_equal(count, 18);
	json_decref(root);
}

static void check_block(const struct hf_block_cipher *cipher, const json_t *json)
{
	struct hf_buffer plain = {0}, block = {0};
	uint64_t index = vectors_uint(json, "index");

	vectors_hex(&plain, json, "plaintext");
	hf_buffer_reserve(&block, HF_BLOCK_PADDING_BYTES + plain.length);
	memcpy(block.data + HF_BLOCK_PADDING_BYTES, plain.data, plain.length);
	block.length = HF_BLOCK_PADDING_BYTES + plain.length;
	hf_block_encrypt(cipher, block.data, block.length, index, vectors_uint(json, "fork"));
	vectors_expect(json, "encryptedBlock", block.data, block.length);
	assert_int_equal(hf_block_decrypt(cipher, block.data, block.length, index), HF_OK);
	assert_memory_equal(block.data + HF_BLOCK_PADDING_BYTES, plain.data, plain.length);
	assert_int_equal(hf_block_decrypt(cipher, block.data, HF_BLOCK_PADDING_BYTES - 1, index), HF_EMALFORMED);
	hf_buffer_free(&plain);
	hf_buffer_free(&block);
}

static void test_block_encryption(void **state)
{
	json_t *root = vectors_load("hypercore/block-encryption.json"), *json;
	uint8_t encryption_key[32], core_key[32];
	size_t i;

	assert_int_equal(vectors_uint(root, "padding"), HF_BLOCK_PADDING_BYTES);
	json_array_foreach(vectors_array(root, "cases", 16), i, json) {
		bool is_block_key = vectors_bool(json, "isBlockKey");
		struct hf_block_cipher cipher;
		vectors_bytes(encryption_key, 32, json, "encryptionKey");
		vectors_bytes(core_key, 32, json, "hypercoreKey");
		hf_block_cipher_init(&cipher, is_block_key ? HF_BLOCK_CIPHER_BLOCK_KEY
			: vectors_bool(json, "compat") ? HF_BLOCK_CIPHER_COMPAT : HF_BLOCK_CIPHER_CORE, encryption_key, core_key);
		vectors_expect(json, "blockKey", cipher.block_key, 32);
		vectors_expect(json, "blindingKey", cipher.blinding_key, 32);
		check_block(&cipher, json);
	}
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_pairs_and_discovery_keys),
		cmocka_unit_test(test_namespaces_are_what_their_labels_give),
		cmocka_unit_test(test_leaf_hashes),
		cmocka_unit_test(test_leaves_together_are_as_each_alone),
		cmocka_unit_test(test_leaf_of_any_length_is_the_hash_of_its_definition),
		cmocka_unit_test(test_parent_hashes),
		cmocka_unit_test(test_tree_hashes),
		cmocka_unit_test(test_signables_and_their_signatures),
		cmocka_unit_test(test_replication_capability),
		cmocka_unit_test(test_corestore_derives_the_keys_of_names),
		cmocka_unit_test(test_block_encryption),
	};
	return cmocka_run_group_tests_name("hypercore", tests, set_up, tear_down);
}
