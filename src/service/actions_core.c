/* actions_core: which core is meant, making one, and telling what it is. What is done with blocks: actions_core_blocks.c. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "codec/core_key.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "service/actions_private.h"
#include "service/keyring.h"

#define HEX_BYTES_MAX (2 * HF_MANIFEST_BYTES_MAX)
#define SECRET_FILE_BYTES_MAX 256
#define CHECK_NAME HF_SLICE_LITERAL("holdfast/encryption-check")

/* ---- The corestore ---- */

static int open_ring(struct hf_keys **keys, struct hf_datadir *directory, struct hf_env *env, const struct hf_config *config,
	struct hf_failure *failure)
{
	*directory = (struct hf_datadir){.env = env, .lock_descriptor = -1};
	snprintf(directory->path, sizeof directory->path, "%s", config->data);
	return hf_keyring_open(keys, directory, "keys", failure);
}

int hf_action_open_cores(struct hf_corestore **out, const struct hf_corestore_options *wanted, const struct hf_config *config,
	struct hf_failure *failure)
{
	struct hf_corestore_options options = *wanted;
	struct hf_datadir directory;
	struct hf_keys *keys;
	int r = open_ring(&keys, &directory, options.env, config, failure);
	if (r < 0)
		return r;
	r = hf_keyring_ensure(keys, &directory, "keys", HF_KEY_STORE_PRIMARY, failure);
	if (r == HF_OK) {
		options.primary_key = hf_secret_slice(&hf_keys_active(keys, HF_KEY_STORE_PRIMARY)->secret);
		r = hf_corestore_open(out, &options, failure);
	}
	hf_keys_free(keys);
	return r;
}

/* ---- Reading arguments ---- */

const char *hf_action_text(const struct hf_action_run *run, const char *name)
{
	return json_string_value(json_object_get(run->arguments, name));
}

int hf_action_number(struct hf_action_run *run, const char *name, uint64_t otherwise, uint64_t *out)
{
	json_t *value = json_object_get(run->arguments, name);
	*out = otherwise;
	if (!value || json_is_null(value))
		return HF_OK;
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return hf_fail(&run->call->failure, HF_EINVAL, "\"%s\" is a whole number from 0 on.", name);
	*out = (uint64_t)json_integer_value(value);
	return HF_OK;
}

/* Hexadecimal of either case. */
static bool decode_hex(uint8_t *out, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		char pair[2] = {text[2 * i], text[2 * i + 1]};
		for (int k = 0; k < 2; k++)
			pair[k] = pair[k] >= 'A' && pair[k] <= 'F' ? (char)(pair[k] + 'a' - 'A') : pair[k];
		if (!hf_hex_decode(out + i, pair, 1))
			return false;
	}
	return true;
}

int hf_action_read_32(struct hf_action_run *run, const char *name, uint8_t out[static 32], bool *given)
{
	const char *text = hf_action_text(run, name);
	*given = text != NULL;
	if (text && (strlen(text) != 64 || !decode_hex(out, text, 32)))
		return hf_fail(&run->call->failure, HF_EINVAL, "The %s is not right: write 32 bytes as 64 characters of hexadecimal.", name);
	return HF_OK;
}

static struct hf_slice name_of(const struct hf_action_run *run)
{
	const char *name = hf_action_text(run, "name");
	return name ? hf_slice_text(name) : (struct hf_slice){0};
}

/* ---- Encryption: a core's own note tells a wrong key, or none, from the right one ---- */

static void encryption_check(uint8_t out[static 32], const uint8_t key[static 32])
{
	hf_blake2b(out, 32, hf_slice(key, 32), CHECK_NAME);
}

/* is_made: the core is being made with this key. One that we write and made without takes none: what is appended next, by whoever shares
 * the open core, would be encrypted among blocks that are not. */
static int use_encryption_key(struct hf_action_run *run, struct hf_core *core, const uint8_t *key, bool is_made)
{
	struct hf_buffer note = {0};
	uint8_t check[32];
	int r = hf_core_get_user_data(core, CHECK_NAME, &note);
	bool is_noted = r == HF_OK;
	if (r == HF_ENOTFOUND)
		r = HF_OK;
	if (key)
		encryption_check(check, key);
	if (r == HF_OK && key && is_noted && (note.length != sizeof check || !hf_bytes_equal_secret(note.data, check, sizeof check)))
		r = hf_fail(&run->call->failure, HF_EDENIED, "That is not the encryption key which the core was made with.");
	if (r == HF_OK && key && !is_noted && !is_made && hf_core_is_writable(core))
		r = hf_fail(&run->call->failure, HF_EDENIED, "The core was made without an encryption key; leave it out.");
	hf_buffer_free(&note);
	if (r == HF_OK && key)
		r = hf_core_set_encryption_key(core, key, false);
	if (r == HF_EEXISTS)
		hf_fail(&run->call->failure, r, "The core is open with another encryption key.");
	return r;
}

bool hf_action_core_is_sealed(struct hf_core *core)
{
	struct hf_buffer note = {0};
	bool is_noted = hf_core_get_user_data(core, CHECK_NAME, &note) == HF_OK;
	hf_buffer_free(&note);
	return is_noted;
}

/* ---- Opening ---- */

int hf_action_open_core(struct hf_action_run *run, struct hf_core **out)
{
	struct hf_failure *failure = &run->call->failure;
	struct hf_core_options options = {.size = sizeof options, .must_exist = true, .name = name_of(run)};
	uint8_t key[HF_CORE_KEY_BYTES], name_space[HF_NAMESPACE_BYTES], encryption_key[32];
	const char *text = hf_action_text(run, "key");
	char id[HF_CORE_ID_BYTES] = {0};
	bool has_namespace = false, has_encryption_key = false;
	if (!text && !options.name.data)
		return hf_fail(failure, HF_EINVAL, "Name a core by its key, or with --name.");
	if (text && hf_core_key_decode(key, hf_slice_text(text)) < 0)
		return hf_fail(failure, HF_EINVAL, "\"%.80s\" is no core key: that is 52 characters of z-base-32, or 64 of hexadecimal.", text);
	int r = hf_action_read_32(run, "namespace", name_space, &has_namespace);
	if (r == HF_OK)
		r = hf_action_read_32(run, "encryption_key", encryption_key, &has_encryption_key);
	if (r < 0)
		return r;
	if (text) {
		options.key = key;
		hf_core_key_encode(id, key);
	} else if (has_namespace) {
		options.name_space = name_space;
	}
	r = hf_corestore_get(run->cores, &options, out, failure);
	if (r == HF_ENOTFOUND && text)
		return hf_fail(failure, r, "There is no core %s here; `holdfast core list` shows those that are, `holdfast core fetch` brings one.", id);
	if (r == HF_ENOTFOUND)
		return hf_fail(failure, r, "There is no core called \"%.*s\" here; `holdfast core create --name` makes one.", (int)options.name.length,
			(const char *)options.name.data);
	if (r < 0)
		return r;
	r = use_encryption_key(run, *out, has_encryption_key ? encryption_key : NULL, false);
	hf_wipe(encryption_key, sizeof encryption_key);
	if (r < 0)
		hf_core_unref(*out);
	return r;
}

/* ---- Making ---- */

/* What a core is made of. */
struct making {
	struct hf_core_options options;
	struct hf_manifest manifest;
	struct hf_buffer manifest_bytes;
	struct hf_secret secret_key;
	uint8_t name_space[HF_NAMESPACE_BYTES], encryption_key[32];
	bool has_encryption_key;
};

/* 64 bytes, or hexadecimal of those or of the 32 bytes of the seed. */
static int read_secret(const uint8_t *bytes, size_t length, uint8_t secret_key[static HF_SIGN_SECRET_BYTES])
{
	uint8_t seed[HF_SIGN_SEED_BYTES], public_key[HF_SIGN_PUBLIC_BYTES], given[HF_SIGN_SECRET_BYTES];
	while (length != HF_SIGN_SECRET_BYTES && length > 0 && (bytes[length - 1] == '\n' || bytes[length - 1] == '\r'))
		length--;
	const char *text = (const char *)bytes;
	bool known = false, is_seed = length == 2 * HF_SIGN_SEED_BYTES && decode_hex(given, text, HF_SIGN_SEED_BYTES);
	if (is_seed || (length == 2 * HF_SIGN_SECRET_BYTES && decode_hex(given, text, HF_SIGN_SECRET_BYTES)))
		known = true;
	else if ((known = length == HF_SIGN_SECRET_BYTES))
		memcpy(given, bytes, sizeof given);
	memcpy(seed, given, sizeof seed);
	if (known)
		hf_sign_keypair_from_seed(public_key, secret_key, seed);
	if (known && !is_seed && memcmp(public_key, given + HF_SIGN_SEED_BYTES, sizeof public_key) != 0)
		known = false;
	hf_wipe(seed, sizeof seed);
	hf_wipe(given, sizeof given);
	return known ? HF_OK : HF_EMALFORMED;
}

static int read_secret_file(struct hf_action_run *run, struct making *making, const char *path)
{
	uint8_t bytes[SECRET_FILE_BYTES_MAX];
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = descriptor < 0 ? -1 : read(descriptor, bytes, sizeof bytes);
	if (descriptor >= 0)
		close(descriptor);
	int r = length < 0 ? hf_fail(&run->call->failure, HF_EIO, "The secret key file %s cannot be read.", path) : HF_OK;
	if (r == HF_OK)
		r = read_secret(bytes, (size_t)length, making->secret_key.data);
	hf_wipe(bytes, sizeof bytes);
	if (r == HF_EMALFORMED)
		hf_fail(&run->call->failure, r,
			"%s holds no Ed25519 secret key: that is 64 bytes, or 128 characters of hexadecimal, or 64 of the seed.", path);
	return r;
}

/* The key of the ring that is a signer of the manifest, if there is one. */
static bool find_signer(const struct hf_keys *keys, const struct hf_manifest *manifest, uint8_t secret_key[static HF_SIGN_SECRET_BYTES])
{
	struct hf_manifest_signer signer;
	for (uint64_t i = 0; hf_manifest_signer(manifest, i, &signer); i++) {
		size_t cursor = 0;
		for (const struct hf_key *key; (key = hf_keys_next_accepted(keys, HF_KEY_CORE_SIGNER, &cursor)) != NULL;)
			if (memcmp(key->public_key, signer.public_key, HF_SIGN_PUBLIC_BYTES) == 0) {
				memcpy(secret_key, key->secret.data, HF_SIGN_SECRET_BYTES);
				return true;
			}
	}
	return false;
}

static int read_manifest(struct hf_action_run *run, struct making *making, const char *text)
{
	struct hf_failure *failure = &run->call->failure;
	struct hf_datadir directory;
	struct hf_keys *keys;
	size_t length = strlen(text) / 2;
	if (strlen(text) % 2 || length == 0 || 2 * length > HEX_BYTES_MAX || hf_buffer_reserve(&making->manifest_bytes, length) < 0)
		return hf_fail(failure, HF_EINVAL, "The manifest is not right: write its encoding in hexadecimal.");
	making->manifest_bytes.length = length;
	if (!decode_hex(making->manifest_bytes.data, text, length))
		return hf_fail(failure, HF_EINVAL, "The manifest is not right: it has characters that are not hexadecimal.");
	int r = hf_manifest_decode(&making->manifest, hf_buffer_slice(&making->manifest_bytes));
	if (r < 0)
		return hf_fail(failure, HF_EINVAL, "The manifest cannot be read: %s.", hf_error_text(r));
	making->options.manifest = &making->manifest;
	if (making->options.secret_key)
		return HF_OK;
	r = open_ring(&keys, &directory, run->call->env, run->call->config, failure);
	if (r == HF_OK && find_signer(keys, &making->manifest, making->secret_key.data))
		making->options.secret_key = making->secret_key.data;
	if (r == HF_OK)
		hf_keys_free(keys);
	return r;
}

static int read_making(struct hf_action_run *run, struct making *making)
{
	struct hf_failure *failure = &run->call->failure;
	const char *manifest = hf_action_text(run, "manifest"), *path = hf_action_text(run, "secret_key_file");
	uint64_t version;
	bool has_namespace = false;
	making->options = (struct hf_core_options){.size = sizeof making->options, .name = name_of(run),
		.compat = json_is_true(json_object_get(run->arguments, "compat"))};
	if (making->options.name.length > HF_CORESTORE_NAME_BYTES_MAX)
		return hf_fail(failure, HF_ETOOBIG, "A name has %d bytes at most.", HF_CORESTORE_NAME_BYTES_MAX);
	if (making->options.name.data && (manifest || path))
		return hf_fail(failure, HF_EINVAL,
			"A core with a name gets its key from the name: leave out --name, or --manifest and --secret-key-file.");
	int r = hf_action_number(run, "manifest_version", 0, &version);
	making->options.manifest_version = (unsigned)version;
	if (r == HF_OK && version > 2)
		r = hf_fail(failure, HF_EINVAL, "Manifests are made in version 1 or 2; others can be given with --manifest.");
	if (r == HF_OK)
		r = hf_action_read_32(run, "namespace", making->name_space, &has_namespace);
	if (r == HF_OK)
		r = hf_action_read_32(run, "encryption_key", making->encryption_key, &making->has_encryption_key);
	if (r == HF_OK && has_namespace)
		making->options.name_space = making->name_space;
	if (r == HF_OK && (path || manifest || !making->options.name.data))
		r = hf_secret_new(&making->secret_key, HF_SIGN_SECRET_BYTES);
	if (r == HF_OK && path && (r = read_secret_file(run, making, path)) == HF_OK)
		making->options.secret_key = making->secret_key.data;
	if (r == HF_OK && manifest)
		return read_manifest(run, making, manifest);
	if (r == HF_OK && !path && !making->options.name.data) {
		uint8_t public_key[HF_SIGN_PUBLIC_BYTES];
		hf_sign_keypair_generate(public_key, making->secret_key.data, run->call->env);
		making->options.secret_key = making->secret_key.data;
	}
	return r;
}

static int make(struct hf_action_run *run, struct making *making, int (*fill)(struct hf_action_run *run, struct hf_core *core),
	struct hf_core **core, bool *is_new)
{
	struct hf_failure *failure = &run->call->failure;
	uint8_t check[32];
	bool is_empty;
	making->options.must_exist = true;
	int r = hf_corestore_get(run->cores, &making->options, core, failure);
	*is_new = r == HF_ENOTFOUND;
	if (*is_new) {
		failure->text[0] = '\0';
		making->options.must_exist = false;
		r = hf_corestore_get(run->cores, &making->options, core, failure);
	}
	if (r < 0)
		return r;
	is_empty = hf_core_length(*core) == 0;
	r = use_encryption_key(run, *core, making->has_encryption_key ? making->encryption_key : NULL, is_empty);
	if (r == HF_OK && is_empty && making->has_encryption_key) {
		encryption_check(check, making->encryption_key);
		r = hf_core_set_user_data(*core, CHECK_NAME, hf_slice(check, sizeof check));
	}
	if (r == HF_OK && fill)
		r = fill(run, *core);
	if (r == HF_OK)
		r = hf_core_commit_wait(*core, HF_DURABLE_DISK);
	if (r < 0)
		hf_core_unref(*core);
	return r;
}

int hf_action_make_core(struct hf_action_run *run, int (*fill)(struct hf_action_run *run, struct hf_core *core))
{
	struct making making = {0};
	struct hf_core *core;
	bool is_new = false;
	int r = read_making(run, &making);
	if (r == HF_OK)
		r = make(run, &making, fill, &core, &is_new);
	hf_secret_free(&making.secret_key);
	hf_wipe(&making.encryption_key, sizeof making.encryption_key);
	hf_buffer_free(&making.manifest_bytes);
	if (r < 0)
		return r;
	json_t *facts = hf_action_core_facts(run, core);
	if (facts)
		json_object_set_new(facts, "created", json_boolean(is_new));
	hf_core_unref(core);
	return hf_action_append(&run->call->out, facts);
}

int hf_action_core_create(struct hf_action_run *run)
{
	return hf_action_make_core(run, NULL);
}

/* ---- What it is ---- */

static json_t *signers_of(const struct hf_manifest *manifest)
{
	json_t *list = json_array();
	struct hf_manifest_signer signer;
	for (uint64_t i = 0; hf_manifest_signer(manifest, i, &signer); i++)
		json_array_append_new(list, json_pack("{s:o, s:o}", "public_key", hf_json_hex(signer.public_key, 32),
			"namespace", hf_json_hex(signer.signer_namespace, 32)));
	return list;
}

/* Its name, as the store has it. */
static void add_name(const struct hf_core *core, json_t *facts)
{
	struct hf_buffer bytes = {0};
	struct hf_core_entry entry;
	if (hf_corestore_entry(hf_core_store(core), hf_core_discovery_key(core), &bytes, &entry) == HF_OK && entry.name.length > 0) {
		json_object_set_new(facts, "name", json_stringn((const char *)entry.name.data, entry.name.length));
		json_object_set_new(facts, "namespace", hf_json_hex(entry.name_space, HF_NAMESPACE_BYTES));
	}
	hf_buffer_free(&bytes);
}

json_t *hf_action_core_facts(struct hf_action_run *run, struct hf_core *core)
{
	const struct hf_tree *tree = hf_core_tree(core);
	const struct hf_bitfield *blocks = hf_core_blocks(core);
	const struct hf_manifest *manifest = hf_core_manifest(core);
	char id[HF_CORE_ID_BYTES];
	uint8_t hash[HF_TREE_HASH_BYTES];
	hf_core_key_encode(id, hf_core_key(core));
	hf_tree_hash(tree, hash);
	json_t *facts = json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:b, s:b, s:b}", "key", id, "discovery_key",
		hf_json_hex(hf_core_discovery_key(core), 32), "length", (json_int_t)tree->length, "byte_length", (json_int_t)tree->byte_length,
		"fork", (json_int_t)tree->fork, "contiguous_length", (json_int_t)blocks->contiguous,
		"blocks_held", (json_int_t)hf_bitfield_count(blocks), "tree_hash", hf_json_hex(hash, sizeof hash), "writable",
		hf_core_is_writable(core), "encrypted", hf_core_is_encrypted(core) || hf_action_core_is_sealed(core), "compat", hf_core_is_compat(core));
	if (!facts)
		return NULL;
	add_name(core, facts);
	if (hf_core_is_frozen(core))
		json_object_set_new(facts, "frozen", json_true());
	if (manifest) {
		json_object_set_new(facts, "manifest_version", json_integer(manifest->version));
		json_object_set_new(facts, "quorum", json_integer((json_int_t)manifest->quorum));
		json_object_set_new(facts, "signers", signers_of(manifest));
	}
	return facts;
}

int hf_action_core_info(struct hf_action_run *run)
{
	struct hf_core *core;
	int r = hf_action_open_core(run, &core);
	if (r < 0)
		return r;
	json_t *facts = hf_action_core_facts(run, core);
	hf_core_unref(core);
	return hf_action_append(&run->call->out, facts);
}

static int list_one(void *context, const struct hf_core_entry *entry)
{
	struct hf_action_run *run = context;
	struct hf_core_options options = {.size = sizeof options, .discovery_key = entry->discovery_key, .must_exist = true};
	struct hf_core *core;
	int r = hf_corestore_get(run->cores, &options, &core, &run->call->failure);
	if (r < 0)
		return r;
	r = hf_action_append(&run->call->out, hf_action_core_facts(run, core));
	hf_core_unref(core);
	return r == HF_OK && run->call->flush ? run->call->flush(run->call->context, &run->call->out) : r;
}

int hf_action_core_list(struct hf_action_run *run)
{
	return hf_corestore_list(run->cores, list_one, run);
}
