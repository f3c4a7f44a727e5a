/* Hyperblobs and Hyperdrive against vectors of the packages, written by us and read from theirs. */
#include "drive_fixture.h"

#include "codec/hex.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "support/vectors.h"

static struct core_node node;
static size_t block_count, entry_count, range_count;

static struct hf_core *new_core(void)
{
	static uint8_t seed[32];
	uint8_t public_key[32], secret_key[64];
	struct hf_core_options options = {.size = sizeof options, .secret_key = secret_key};
	struct hf_failure failure = {0};
	struct hf_core *core;

	seed[0]++;
	hf_sign_keypair_from_seed(public_key, secret_key, seed);
	if (hf_corestore_get(node.cores, &options, &core, &failure) != HF_OK)
		fail_msg("%s", failure.text);
	return core;
}

static void expect_bytes(const json_t *item, struct hf_slice bytes)
{
	uint8_t hash[32];

	assert_int_equal(bytes.length, vectors_uint(item, "byteLength"));
	if (json_object_get(item, "hex") != NULL) {
		vectors_expect(item, "hex", bytes.data, bytes.length);
		return;
	}
	hf_blake2b(hash, sizeof hash, hf_slice(NULL, 0), bytes);
	vectors_expect(item, "hash", hash, sizeof hash);
}

static void expect_blocks(struct hf_core *core, const json_t *blocks)
{
	struct hf_buffer block = {0};
	const json_t *item;
	size_t i;

	assert_int_equal(hf_core_length(core), json_array_size(blocks));
	json_array_foreach(blocks, i, item) {
		hf_buffer_clear(&block);
		assert_int_equal(hf_core_get_stored(core, i, &block), HF_OK);
		expect_bytes(item, hf_buffer_slice(&block));
		block_count++;
	}
	hf_buffer_free(&block);
}

/* ---- Blobs ---- */

static void pattern(struct hf_buffer *out, size_t length, unsigned factor)
{
	hf_buffer_clear(out);
	assert_int_equal(hf_buffer_reserve(out, length), HF_OK);
	for (size_t i = 0; i < length; i++)
		out->data[i] = (uint8_t)(i * factor + (i >> 8));
	out->length = length;
}

static void content_of(struct hf_buffer *out, const json_t *put)
{
	static const char *const texts[] = {"hello world", "", "0123456789abcdefghijklmno", "aaaaaaaaaabbbbbbbbbbaaaaaaaaaa"};
	uint64_t length = vectors_uint(put, "byteLength");
	uint8_t hash[32];

	hf_buffer_clear(out);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (strlen(texts[i]) == length)
			hf_buffer_append_text(out, texts[i]);
	if (length > 60000)
		pattern(out, length, length == 65536 ? 3 : length == 65537 ? 5 : 7);
	hf_blake2b(hash, sizeof hash, hf_slice(NULL, 0), hf_buffer_slice(out));
	vectors_expect(put, "contentHash", hash, sizeof hash);
}

static void expect_id(const json_t *put, const struct hf_blob_id *id)
{
	struct hf_buffer text = {0};
	struct hf_blob_id decoded;

	assert_int_equal(hf_blob_id_encode(id, &text), HF_OK);
	expect_text(hf_buffer_slice(&text), vectors_text(put, "idJson"));
	assert_int_equal(hf_blob_id_decode(hf_buffer_slice(&text), &decoded), HF_OK);
	assert_memory_equal(&decoded, id, sizeof decoded);
	hf_buffer_free(&text);
}

/* In pieces of so many bytes. */
static void write_blob(struct hf_core *core, const json_t *put, struct hf_slice content, size_t piece, struct hf_blob_id *id)
{
	const json_t *options = json_object_get(put, "options");
	struct hf_blob_write_options write = {.has_map = json_is_true(json_object_get(options, "blockMap")),
		.dedups = json_is_true(json_object_get(options, "dedup")),
		.block_bytes = (size_t)json_integer_value(json_object_get(options, "blockSize"))};
	struct hf_blob_writer writer;

	assert_int_equal(hf_blob_writer_start(&writer, core, &write), HF_OK);
	for (size_t at = 0; at < content.length; at += piece) {
		size_t left = content.length - at;

		assert_int_equal(hf_blob_writer_add(&writer, hf_slice(content.data + at, left < piece ? left : piece)), HF_OK);
	}
	assert_int_equal(hf_blob_writer_end(&writer, id), HF_OK);
}

static void expect_content(struct hf_core *core, const json_t *put, struct hf_slice content)
{
	const json_t *expected = vectors_get(put, "id");
	struct hf_buffer out = {0};
	struct hf_blob_reader *reader;
	struct hf_blob_id id;
	uint64_t length, needed;
	bool is_held;
	char *text = json_dumps(expected, JSON_COMPACT);

	assert_int_equal(hf_blob_id_decode(hf_slice_text(text), &id), HF_OK);
	assert_int_equal(hf_blob_read(core, &id, NULL, &reader), HF_OK);
	assert_int_equal(blob_read_all(reader, &out), HF_OK);
	assert_true(hf_slice_equal(hf_buffer_slice(&out), content));
	assert_int_equal(hf_blob_length(core, &id, &length, &needed), HF_OK);
	assert_int_equal(length, content.length);
	assert_int_equal(hf_blob_is_held(core, &id, &is_held), HF_OK);
	assert_true(is_held);
	hf_blob_reader_free(reader);
	hf_buffer_free(&out);
	free(text);
}

static void expect_range(struct hf_core *core, const json_t *item)
{
	const json_t *options = vectors_get(item, "options");
	struct hf_blob_range range = {.start = vectors_uint(options, "start"), .length = UINT64_MAX};
	struct hf_blob_reader *reader;
	struct hf_buffer out = {0};
	struct hf_blob_id id;
	char *text = json_dumps(vectors_get(item, "id"), JSON_COMPACT);

	if (json_object_get(options, "length") != NULL)
		range.length = vectors_uint(options, "length");
	if (json_object_get(options, "end") != NULL)
		range.length = vectors_uint(options, "end") + 1 - range.start;
	assert_int_equal(hf_blob_id_decode(hf_slice_text(text), &id), HF_OK);
	assert_int_equal(hf_blob_read(core, &id, &range, &reader), HF_OK);
	assert_int_equal(blob_read_all(reader, &out), HF_OK);
	vectors_expect(item, "hex", out.data, out.length);
	range_count++;
	hf_blob_reader_free(reader);
	hf_buffer_free(&out);
	free(text);
}

static void test_the_same_blobs_give_the_package_s_blocks_and_ids(void **state)
{
	static const size_t pieces[] = {1000000, 65536, 7777};
	json_t *file = vectors_load("hypercore/hyperblobs.json"), *puts = vectors_array(file, "puts", 8), *item;
	struct hf_buffer content = {0};
	size_t i;

	(void)state;
	block_count = range_count = 0;
	for (size_t n = 0; n < sizeof pieces / sizeof *pieces; n++) {
		struct hf_core *core = new_core();
		struct hf_blob_id id;

		json_array_foreach(puts, i, item) {
			content_of(&content, item);
			write_blob(core, item, hf_buffer_slice(&content), pieces[n], &id);
			expect_id(item, &id);
			assert_int_equal(hf_core_length(core), vectors_uint(item, "coreLengthAfter"));
		}
		expect_blocks(core, vectors_array(file, "blocks", 17));
		json_array_foreach(puts, i, item) {
			content_of(&content, item);
			expect_content(core, item, hf_buffer_slice(&content));
		}
		json_array_foreach(vectors_array(file, "ranges", 3), i, item)
			expect_range(core, item);
		hf_core_unref(core);
	}
	assert_int_equal(block_count, 3 * 17);
	assert_int_equal(range_count, 3 * 3);
	hf_buffer_free(&content);
	json_decref(file);
}

/* ---- Drives ---- */

static void operand(struct hf_buffer *out, const json_t *value)
{
	const char *text = vectors_text(value, "hexOrPattern");

	hf_buffer_clear(out);
	if (strcmp(text, "70000 bytes of 0x62") == 0) {
		assert_int_equal(hf_buffer_reserve(out, 70000), HF_OK);
		memset(out->data, 0x62, 70000);
		out->length = 70000;
		return;
	}
	vectors_from_hex(out, text);
}

static void apply(struct hf_drive *drive, const json_t *operation)
{
	const char *kind = json_string_value(json_array_get(operation, 0)), *name = json_string_value(json_array_get(operation, 1));
	const json_t *value = json_array_get(operation, 2), *options = json_array_get(operation, 3);
	struct hf_buffer content = {0};

	if (strcmp(kind, "put") == 0) {
		char *metadata = json_dumps(json_object_get(options, "metadata"), JSON_ENCODE_ANY);
		struct hf_drive_properties properties = {.is_executable = json_is_true(json_object_get(options, "executable")),
			.metadata = metadata != NULL ? hf_slice_text(metadata) : hf_slice(NULL, 0)};

		operand(&content, value);
		assert_int_equal(hf_drive_put(drive, hf_slice_text(name), &properties, hf_buffer_slice(&content)), HF_OK);
		free(metadata);
	} else if (strcmp(kind, "symlink") == 0) {
		drive_link(drive, name, json_string_value(value));
	} else {
		assert_string_equal(kind, "del");
		assert_int_equal(drive_del(drive, name), HF_OK);
	}
	assert_int_equal(hf_bee_flush(hf_drive_bee(drive)), HF_OK);
	hf_buffer_free(&content);
}

static void expect_core(struct hf_core *core, const json_t *expected)
{
	struct hf_buffer manifest = {0};
	uint8_t hash[32];

	vectors_expect(expected, "key", hf_core_key(core), 32);
	vectors_expect(expected, "discoveryKey", hf_core_discovery_key(core), 32);
	assert_int_equal(hf_manifest_encode(hf_core_manifest(core), &manifest), HF_OK);
	vectors_expect(expected, "manifest", manifest.data, manifest.length);
	hf_tree_hash(hf_core_tree(core), hash);
	vectors_expect(expected, "treeHash", hash, sizeof hash);
	expect_blocks(core, vectors_get(expected, "blocks"));
	hf_buffer_free(&manifest);
}

static void expect_entry(const json_t *expected, const struct hf_drive_entry *entry)
{
	const json_t *value = vectors_get(expected, "value"), *link = json_object_get(value, "linkname");
	struct hf_buffer text = {0};
	char *value_text = json_dumps(value, JSON_COMPACT);

	assert_int_equal(entry->seq, vectors_uint(expected, "seq"));
	expect_text(entry->name, vectors_text(expected, "key"));
	assert_int_equal(entry->has_link, json_is_string(link));
	assert_int_equal(hf_drive_entry_encode(entry, &text), HF_OK);
	expect_text(hf_buffer_slice(&text), value_text);
	entry_count++;
	hf_buffer_free(&text);
	free(value_text);
}

static void expect_names(struct hf_slice found, const json_t *expected)
{
	struct hf_buffer text = {0};
	const json_t *item;
	size_t i;

	json_array_foreach(expected, i, item) {
		hf_buffer_append_text(&text, json_string_value(item));
		hf_buffer_append_text(&text, " ");
	}
	hf_buffer_append(&text, "", 1);
	expect_text(found, (const char *)text.data);
	hf_buffer_free(&text);
}

static void expect_lists(struct hf_drive *drive, const json_t *expected)
{
	struct hf_drive_list_options options = {.is_shallow = true};
	struct hf_buffer names = {0};
	struct hf_bee_view *view;
	const json_t *item;
	size_t i;

	drive_names(drive, hf_bee_latest(hf_drive_bee(drive)), &options, true, &names);
	expect_names(hf_buffer_slice(&names), vectors_array(expected, "readdir", 5));
	json_array_foreach(vectors_array(expected, "listings", 3), i, item) {
		options.folder = hf_slice_text(vectors_text(item, "folder"));
		options.is_shallow = json_is_false(json_object_get(vectors_get(item, "opts"), "recursive"));
		drive_names(drive, hf_bee_latest(hf_drive_bee(drive)), &options, false, &names);
		expect_names(hf_buffer_slice(&names), vectors_get(item, "keys"));
	}
	item = vectors_get(expected, "checkout");
	options = (struct hf_drive_list_options){.is_shallow = false};
	assert_int_equal(hf_bee_checkout(hf_drive_bee(drive), vectors_uint(item, "version"), &view), HF_OK);
	drive_names(drive, view, &options, false, &names);
	expect_names(hf_buffer_slice(&names), vectors_get(item, "entries"));
	hf_bee_view_free(view);
	hf_buffer_free(&names);
}

static void expect_entries(struct hf_drive *drive, const json_t *expected)
{
	struct hf_drive_list_options all = {.is_shallow = false};
	struct hf_drive_list *list;
	struct hf_drive_entry entry;
	const json_t *item;
	size_t i;

	assert_int_equal(hf_drive_list(drive, hf_bee_latest(hf_drive_bee(drive)), &all, &list), HF_OK);
	json_array_foreach(expected, i, item) {
		assert_int_equal(hf_drive_list_next(list, &entry), HF_OK);
		expect_entry(item, &entry);
	}
	assert_int_equal(hf_drive_list_next(list, &entry), HF_ENOTFOUND);
	hf_drive_list_free(list);
}

static void expect_diff(struct hf_drive *drive, const json_t *expected)
{
	struct hf_drive_difference found;
	struct hf_drive_diff *diff;
	struct hf_bee_view *view;
	const json_t *item;
	size_t i;

	assert_int_equal(hf_bee_checkout(hf_drive_bee(drive), 5, &view), HF_OK);
	assert_int_equal(hf_drive_diff(drive, hf_bee_latest(hf_drive_bee(drive)), view, hf_slice_text("/"), hf_slice(NULL, 0), &diff), HF_OK);
	json_array_foreach(expected, i, item) {
		const json_t *left = vectors_get(item, "left"), *right = vectors_get(item, "right");

		assert_int_equal(hf_drive_diff_next(diff, &found), HF_OK);
		assert_int_equal(found.has_left, !json_is_null(left));
		assert_int_equal(found.has_right, !json_is_null(right));
		if (found.has_left)
			expect_entry(left, &found.left);
		if (found.has_right)
			expect_entry(right, &found.right);
	}
	assert_int_equal(hf_drive_diff_next(diff, &found), HF_ENOTFOUND);
	hf_drive_diff_free(diff);
	hf_bee_view_free(view);
}

static void expect_files(struct hf_drive *drive, const json_t *read)
{
	struct hf_bee_view *latest = hf_bee_latest(hf_drive_bee(drive));
	struct hf_buffer content = {0};
	struct hf_drive_entry entry;

	assert_int_equal(hf_drive_entry(drive, latest, hf_slice_text("hello.txt"), &entry), HF_OK);
	assert_int_equal(drive_get(drive, &entry, &content), HF_OK);
	vectors_expect(read, "/hello.txt", content.data, content.length);
	assert_int_equal(hf_drive_entry(drive, latest, hf_slice_text("/link"), &entry), HF_OK);
	assert_int_equal(drive_get(drive, &entry, &content), HF_ENOTFOUND);
	assert_int_equal(hf_drive_follow(drive, latest, hf_slice_text("/link"), &entry), HF_OK);
	assert_int_equal(drive_get(drive, &entry, &content), HF_OK);
	vectors_expect(read, "/link (followed)", content.data, content.length);
	hf_buffer_free(&content);
}

static void expect_drive(struct hf_drive *drive, const json_t *expected)
{
	vectors_expect(expected, "driveKey", hf_core_key(hf_drive_core(drive)), 32);
	vectors_expect(expected, "contentKey", hf_core_key(hf_drive_blobs(drive)), 32);
	assert_int_equal(hf_bee_version(hf_drive_bee(drive)), vectors_uint(expected, "version"));
	expect_core(hf_drive_core(drive), vectors_get(expected, "db"));
	expect_core(hf_drive_blobs(drive), vectors_get(expected, "blobs"));
	expect_entries(drive, vectors_array(expected, "entries", 6));
	expect_lists(drive, expected);
	expect_diff(drive, vectors_array(expected, "diffFromVersion5", 3));
	expect_files(drive, vectors_get(expected, "read"));
}

static void run_drive(const json_t *expected)
{
	static const uint8_t root[HF_NAMESPACE_BYTES];
	struct hf_drive_options options = {.size = sizeof options}, by_key = {.size = sizeof by_key, .must_exist = true};
	uint8_t name_space[HF_NAMESPACE_BYTES], encryption_key[32], key[32];
	struct hf_drive *drive;
	json_t *operation;
	size_t i;

	core_node_make(&node, 0x61);
	hf_corestore_namespace(name_space, root, hf_slice_text("my-drive"));
	if (strncmp(vectors_text(expected, "variant"), "namespace", 9) == 0)
		options.name_space = name_space;
	if (json_is_string(vectors_get(expected, "encryptionKey"))) {
		vectors_bytes(encryption_key, sizeof encryption_key, expected, "encryptionKey");
		options.encryption_key = by_key.encryption_key = encryption_key;
	}
	drive = drive_open(&node, &options);
	json_array_foreach(vectors_array(expected, "ops", 9), i, operation)
		apply(drive, operation);
	expect_drive(drive, expected);
	assert_int_equal(hf_drive_commit_wait(drive, HF_DURABLE_OS), HF_OK);
	hf_drive_close(drive);
	/* By its key alone, from the disk. */
	core_node_close(&node);
	core_node_open(&node);
	vectors_bytes(key, sizeof key, expected, "driveKey");
	by_key.key = key;
	drive = drive_open(&node, &by_key);
	expect_drive(drive, expected);
	assert_true(hf_core_is_writable(hf_drive_blobs(drive)));
	hf_drive_close(drive);
	core_node_remove(&node);
}

static void test_the_same_operations_give_the_package_s_drive(void **state)
{
	json_t *file = vectors_load("hypercore/hyperdrive.json"), *item;
	size_t i;

	(void)state;
	block_count = entry_count = 0;
	json_array_foreach(vectors_array(file, "drives", 3), i, item)
		run_drive(item);
	assert_int_equal(block_count, 3 * 2 * (10 + 7));
	assert_int_equal(entry_count, 3 * 2 * (6 + 4));
	json_decref(file);
}

static int make(void **state)
{
	(void)state;
	core_node_make(&node, 7);
	return 0;
}

static int end(void **state)
{
	(void)state;
	core_node_remove(&node);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_same_blobs_give_the_package_s_blocks_and_ids, make, end),
		cmocka_unit_test(test_the_same_operations_give_the_package_s_drive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
