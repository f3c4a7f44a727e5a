/* What a drive takes and refuses, and how it reads what is only partly there. */
#include "drive_fixture.h"

#define QUOTA_BYTES (1u << 20)
#define AFTER_BYTES 100000 /* of a file that comes after the one that is looked at */

/* ---- Names ---- */

static void test_names_are_normalised_as_the_package_does_it(void **state)
{
	static const char *const names[][2] = {
		{"/a", "/a"}, {"a", "/a"}, {"a/b//c/", "/a/b/c"}, {"./a/./b", "/a/b"}, {"/a/../b", "/b"}, {"a\\b", "/a/b"}, {"/..a/...", "/..a/..."},
		{"C:\\x\\y", "/x/y"}, {"file:///x", "/x"}, {"http://host/x/y", "/x/y"}, {"c:", "/c:"}, {"/c:/x", "/c:/x"}, {"a b", "/a b"},
		{"/\xc3\xa5", "/\xc3\xa5"},
	};
	struct hf_buffer out = {0};

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		hf_buffer_clear(&out);
		assert_int_equal(hf_drive_name(hf_slice_text(names[i][0]), &out), HF_OK);
		expect_text(hf_buffer_slice(&out), names[i][1]);
		assert_true(hf_drive_name_is_sound(hf_buffer_slice(&out)));
	}
	hf_buffer_free(&out);
}

static void expect_refused(struct hf_slice name, int status, const char *why)
{
	struct hf_buffer out = {0};
	struct hf_failure failure = {0};

	assert_int_equal(hf_drive_name(name, &out), status);
	assert_int_equal(out.length, 0);
	assert_int_equal(hf_drive_name_fail(&failure, status, name), status);
	assert_non_null(strstr(failure.text, why));
	hf_buffer_free(&out);
}

static void test_names_that_cannot_be_are_refused(void **state)
{
	static char name[HF_DRIVE_NAME_BYTES_MAX + 1];
	struct hf_buffer out = {0};

	(void)state;
	expect_refused(hf_slice_text(""), HF_EINVAL, "root");
	expect_refused(hf_slice_text("/"), HF_EINVAL, "root");
	expect_refused(hf_slice_text("/a/.."), HF_EINVAL, "root");
	expect_refused(hf_slice_text("../a"), HF_EINVAL, "above");
	expect_refused(hf_slice_text("/a/../../b"), HF_EINVAL, "above");
	expect_refused(hf_slice("/a\0b", 4), HF_EINVAL, "NUL");
	expect_refused(hf_slice_text("/\xff\xfe"), HF_EINVAL, "UTF-8");
	expect_refused(hf_slice_text("/\xed\xa0\x80"), HF_EINVAL, "UTF-8");
	memset(name, 'n', sizeof name);
	expect_refused(hf_slice(name, sizeof name), HF_ETOOBIG, "4095");
	expect_refused(hf_slice(name, sizeof name - 1), HF_ETOOBIG, "4095"); /* with the '/' in front */
	assert_int_equal(hf_drive_name(hf_slice(name, sizeof name - 2), &out), HF_OK);
	hf_buffer_clear(&out);
	assert_int_equal(hf_drive_folder(hf_slice_text("/"), &out), HF_OK);
	assert_int_equal(out.length, 0);
	assert_false(hf_drive_name_is_sound(hf_slice_text("/a/../b")));
	assert_false(hf_drive_name_is_sound(hf_slice_text("a")));
	assert_false(hf_drive_name_is_sound(hf_slice_text("/a\\b")));
	hf_buffer_free(&out);
}

/* ---- Links ---- */

static void test_links_are_followed_a_bounded_number_of_times(void **state)
{
	struct core_node node;
	struct hf_drive_entry entry;
	char name[16], target[16];

	(void)state;
	core_node_make(&node, 1);
	struct hf_drive *drive = drive_open(&node, NULL);

	drive_put(drive, "/file", hf_slice_text("x"));
	drive_link(drive, "/l1", "/file");
	for (int i = 2; i <= HF_DRIVE_LINK_COUNT_MAX; i++) {
		snprintf(name, sizeof name, "/l%d", i);
		snprintf(target, sizeof target, "../l%d", i - 1);
		drive_link(drive, name, target);
	}
	assert_int_equal(hf_drive_follow(drive, NULL, hf_slice_text("/l15"), &entry), HF_OK);
	expect_text(entry.name, "/file");
	assert_int_equal(hf_drive_follow(drive, NULL, hf_slice_text("/l16"), &entry), HF_ECANCELED);
	drive_link(drive, "/loop", "/loop");
	assert_int_equal(hf_drive_follow(drive, NULL, hf_slice_text("/loop"), &entry), HF_ECANCELED);
	drive_link(drive, "/up", "../../x");
	assert_int_equal(hf_drive_follow(drive, NULL, hf_slice_text("/up"), &entry), HF_EINVAL);
	drive_link(drive, "/dangling", "/nothing");
	assert_int_equal(hf_drive_follow(drive, NULL, hf_slice_text("/dangling"), &entry), HF_ENOTFOUND);
	assert_int_equal(hf_drive_symlink(drive, hf_slice_text("/e"), hf_slice_text(""), hf_slice(NULL, 0)), HF_EINVAL);
	assert_int_equal(hf_drive_symlink(drive, hf_slice_text("/e"), hf_slice("a\0", 2), hf_slice(NULL, 0)), HF_EINVAL);
	hf_drive_close(drive);
	core_node_remove(&node);
}

/* ---- Lists ---- */

static void test_lists_go_on_behind_a_name_and_leave_out_what_is_ignored(void **state)
{
	static const char *const names[] = {"/a/x", "/a/y/z", "/a-b", "/a", "/a0", "/b/c/d", "/b/e", "/c"};
	struct hf_slice ignore[] = {hf_slice_text("/b/c"), hf_slice_text("/a-")};
	struct hf_drive_list_options options = {.is_shallow = false};
	struct core_node node;
	struct hf_buffer found = {0};

	(void)state;
	core_node_make(&node, 1);
	struct hf_drive *drive = drive_open(&node, NULL);
	struct hf_bee_view *latest = hf_bee_latest(hf_drive_bee(drive));

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		drive_put(drive, names[i], hf_slice_text(names[i]));
	drive_names(drive, latest, &options, false, &found);
	expect_text(hf_buffer_slice(&found), "/a /a-b /a/x /a/y/z /a0 /b/c/d /b/e /c ");
	options.after = hf_slice_text("/a/x");
	drive_names(drive, latest, &options, false, &found);
	expect_text(hf_buffer_slice(&found), "/a/y/z /a0 /b/c/d /b/e /c ");
	options.ignore = ignore;
	options.ignore_count = 2;
	options.after = hf_slice(NULL, 0);
	drive_names(drive, latest, &options, false, &found);
	expect_text(hf_buffer_slice(&found), "/a /a-b /a/x /a/y/z /a0 /b/e /c ");
	options.is_shallow = true;
	options.ignore_count = 0;
	drive_names(drive, latest, &options, true, &found);
	expect_text(hf_buffer_slice(&found), "a a-b a a0 b c "); /* a is both a file and a folder; a0 comes right behind the folder */
	options.after = hf_slice_text("/a/x");
	drive_names(drive, latest, &options, true, &found);
	expect_text(hf_buffer_slice(&found), "a0 b c ");
	options.after = hf_slice(NULL, 0);
	options.folder = hf_slice_text("b");
	drive_names(drive, latest, &options, true, &found);
	expect_text(hf_buffer_slice(&found), "c e ");
	hf_buffer_free(&found);
	hf_drive_close(drive);
	core_node_remove(&node);
}

/* A key that no name of ours makes. */
static void put_raw(struct hf_drive *drive, struct hf_slice name)
{
	struct hf_slice value = hf_slice_text("{\"executable\":false,\"linkname\":null,\"blob\":null,\"metadata\":null}");
	struct hf_buffer key = {0};

	assert_int_equal(hf_buffer_append(&key, "files", sizeof "files"), HF_OK);
	assert_int_equal(hf_buffer_append(&key, name.data, name.length), HF_OK);
	assert_int_equal(hf_bee_put(hf_drive_bee(drive), hf_buffer_slice(&key), &value, NULL), HF_OK);
	assert_int_equal(hf_bee_flush(hf_drive_bee(drive)), HF_OK);
	hf_buffer_free(&key);
}

static void test_a_list_goes_on_behind_any_key_as_it_is(void **state)
{
	/* In their order. */
	static const char *const names[] = {"/a", "/b/../a", "/b/./x", "/b//c", "/b/\xff\xfe", "/b\\c", "/c"};
	size_t count = sizeof names / sizeof *names;
	struct hf_drive_list_options options = {.is_shallow = false};
	struct hf_drive_difference difference;
	struct hf_drive_list *list;
	struct hf_drive_diff *diff;
	struct hf_drive_entry entry;
	struct hf_bee_view *empty;
	struct core_node node;

	(void)state;
	core_node_make(&node, 1);
	struct hf_drive *drive = drive_open(&node, NULL);

	drive_put(drive, "/first", hf_slice_text("x"));
	assert_int_equal(drive_del(drive, "/first"), HF_OK);
	assert_int_equal(hf_bee_snapshot(hf_drive_bee(drive), &empty), HF_OK);
	struct hf_bee_view *latest = hf_bee_latest(hf_drive_bee(drive));

	for (size_t i = 0; i < count; i++)
		put_raw(drive, hf_slice_text(names[i]));
	for (size_t i = 0; i < count; i++) {
		options.after = hf_slice_text(i > 0 ? names[i - 1] : "");
		assert_int_equal(hf_drive_list(drive, latest, &options, &list), HF_OK);
		assert_int_equal(hf_drive_list_next(list, &entry), HF_OK);
		expect_text(entry.name, names[i]);
		hf_drive_list_free(list);
		assert_int_equal(hf_drive_diff(drive, latest, empty, options.folder, options.after, &diff), HF_OK);
		assert_int_equal(hf_drive_diff_next(diff, &difference), HF_OK);
		expect_text(difference.left.name, names[i]);
		hf_drive_diff_free(diff);
	}
	hf_bee_view_free(empty);
	hf_drive_close(drive);
	core_node_remove(&node);
}

static void test_a_list_does_not_go_on_behind_a_name_elsewhere(void **state)
{
	static const char *const names[] = {"/b", "/c", "/aaa", "/aaa0/x", "/a/../b/c", "/aa", "aaa/x", "/zzzzzzzz/y"};
	struct hf_drive_list_options options = {.folder = hf_slice_text("/aaa")};
	struct hf_buffer found = {0};
	struct hf_drive_list *list;
	struct hf_drive_diff *diff;
	struct core_node node;

	(void)state;
	core_node_make(&node, 1);
	struct hf_drive *drive = drive_open(&node, NULL);
	struct hf_bee_view *latest = hf_bee_latest(hf_drive_bee(drive));

	drive_put(drive, "/aaa/x/1", hf_slice_text("x"));
	drive_put(drive, "/aaa/y", hf_slice_text("y"));
	for (size_t i = 0; i < 2 * sizeof names / sizeof *names; i++) {
		options.is_shallow = i % 2 == 0;
		options.after = hf_slice_text(names[i / 2]);
		assert_int_equal(hf_drive_list(drive, latest, &options, &list), HF_EINVAL);
		assert_int_equal(hf_drive_diff(drive, latest, latest, options.folder, options.after, &diff), HF_EINVAL);
	}
	options.is_shallow = true;
	options.after = hf_slice_text("/aaa/");
	drive_names(drive, latest, &options, true, &found);
	expect_text(hf_buffer_slice(&found), "x y ");
	options.after = hf_slice_text("/aaa/x/1");
	drive_names(drive, latest, &options, true, &found);
	expect_text(hf_buffer_slice(&found), "y ");
	hf_buffer_free(&found);
	hf_drive_close(drive);
	core_node_remove(&node);
}

/* ---- Changing ---- */

static void test_a_refused_change_writes_nothing(void **state)
{
	struct hf_drive_properties wrong = {.metadata = hf_slice_text("{\"a\":")}, spaced = {.metadata = hf_slice_text(" { \"a\" : [ 1 ] } ")};
	struct core_node node;
	struct hf_drive_entry entry;

	(void)state;
	core_node_make(&node, 1);
	struct hf_drive *drive = drive_open(&node, NULL);

	assert_int_equal(hf_drive_put(drive, hf_slice_text("/a"), &wrong, hf_slice_text("x")), HF_EINVAL);
	assert_int_equal(hf_drive_put(drive, hf_slice_text("/.."), NULL, hf_slice_text("x")), HF_EINVAL);
	assert_int_equal(hf_drive_del(drive, hf_slice_text("/a")), HF_ENOTFOUND);
	assert_int_equal(hf_drive_clear(drive, hf_slice_text("/a")), HF_ENOTFOUND);
	assert_int_equal(hf_core_length(hf_drive_blobs(drive)), 0);
	assert_int_equal(hf_drive_put(drive, hf_slice_text("/a"), &spaced, hf_slice_text("x")), HF_OK);
	assert_int_equal(hf_drive_entry(drive, hf_bee_latest(hf_drive_bee(drive)), hf_slice_text("/a"), &entry), HF_ENOTFOUND);
	assert_int_equal(hf_drive_entry(drive, NULL, hf_slice_text("/a"), &entry), HF_OK);
	expect_text(entry.metadata, "{\"a\":[1]}");
	hf_bee_abandon(hf_drive_bee(drive));
	assert_int_equal(hf_drive_entry(drive, NULL, hf_slice_text("/a"), &entry), HF_ENOTFOUND);
	hf_drive_close(drive);
	core_node_remove(&node);
}

static void test_a_commit_that_fails_leaves_neither_entry_nor_blob(void **state)
{
	struct hf_store_options options = {.size = sizeof options, .quota_bytes = QUOTA_BYTES, .schema = {.describe = hf_corestore_describe}};
	struct hf_corestore_options cores = {.size = sizeof cores, .blocking = true};
	struct hf_buffer content = {0};
	struct hf_failure failure = {0};
	struct hf_drive_entry entry;
	struct core_node node;

	(void)state;
	core_node_make(&node, 1);
	core_node_close(&node);
	options.directory = node.directory;
	options.env = cores.env = &node.env;
	cores.primary_key = hf_slice(node.primary_key, 32);
	assert_int_equal(hf_store_open(&node.store, &options, &failure), HF_OK);
	cores.store = node.store;
	assert_int_equal(hf_corestore_open(&node.cores, &cores, &failure), HF_OK);
	struct hf_drive *drive = drive_open(&node, NULL);

	drive_put(drive, "/small", hf_slice_text("x"));
	assert_int_equal(hf_drive_commit_wait(drive, HF_DURABLE_OS), HF_OK);
	assert_int_equal(hf_buffer_reserve(&content, 2 * QUOTA_BYTES), HF_OK);
	memset(content.data, 7, 2 * QUOTA_BYTES);
	drive_put(drive, "/large", hf_slice(content.data, 2 * QUOTA_BYTES));
	assert_int_equal(hf_drive_commit_wait(drive, HF_DURABLE_OS), HF_ENOSPC);
	assert_int_equal(hf_drive_entry(drive, NULL, hf_slice_text("/large"), &entry), HF_ENOTFOUND);
	assert_int_equal(hf_drive_entry(drive, NULL, hf_slice_text("/small"), &entry), HF_OK);
	assert_int_equal(hf_core_length(hf_drive_blobs(drive)), 1);
	drive_put(drive, "/other", hf_slice_text("y"));
	assert_int_equal(hf_drive_commit_wait(drive, HF_DURABLE_OS), HF_OK);
	assert_int_equal(hf_core_length(hf_drive_blobs(drive)), 2);
	hf_drive_close(drive);
	hf_buffer_free(&content);
	core_node_remove(&node);
}

static void test_a_blob_goes_on_where_it_was_only_if_nothing_came_between(void **state)
{
	static uint8_t bytes[2 * HF_BLOB_BLOCK_BYTES];
	struct hf_blob_writer writer;
	struct core_node node;
	struct hf_blob_id id;

	(void)state;
	core_node_make(&node, 1);
	struct hf_core *core = core_by_name(&node, "blobs");

	assert_int_equal(hf_blob_put(core, hf_slice_text("before"), &id), HF_OK);
	assert_int_equal(hf_blob_writer_start(&writer, core, NULL), HF_OK);
	assert_int_equal(hf_blob_writer_add(&writer, hf_slice(bytes, sizeof bytes)), HF_OK);
	hf_blob_writer_free(&writer);
	assert_int_equal(hf_blob_writer_resume(&writer, core, 1, 6), HF_OK);
	assert_int_equal(writer.id.block_count, 2);
	assert_int_equal(hf_blob_writer_add(&writer, hf_slice_text("rest")), HF_OK);
	assert_int_equal(hf_blob_writer_end(&writer, &id), HF_OK);
	assert_int_equal(id.block_offset, 1);
	assert_int_equal(id.block_count, 3);
	assert_int_equal(id.byte_length, sizeof bytes + 4);
	assert_int_equal(hf_blob_writer_resume(&writer, core, 1, 6), HF_EINVAL);
	assert_int_equal(hf_blob_writer_resume(&writer, core, 9, 6), HF_EINVAL);
	assert_int_equal(hf_blob_writer_start(&writer, core, NULL), HF_OK);
	assert_int_equal(hf_blob_put(core, hf_slice_text("between"), &id), HF_OK);
	assert_int_equal(hf_blob_writer_add(&writer, hf_slice(bytes, sizeof bytes)), HF_ECANCELED);
	hf_blob_writer_free(&writer);
	hf_core_unref(core);
	core_node_remove(&node);
}

/* A map that names a block that no core can have. */
static void test_a_map_s_blocks_have_numbers_that_a_blob_can_have(void **state)
{
	static const uint8_t numbers[][9] = {{0xff, 255, 255, 255, 255, 255, 255, 255, 255}, {0xff, 0, 0, 0, 0, 0, 0, 0x20, 0},
		{0xff, 255, 255, 255, 255, 255, 255, 0x1f, 0}};
	static const int expected[] = {HF_ETOOBIG, HF_ETOOBIG, HF_EMALFORMED};
	struct core_node node;
	struct hf_blob_reader *reader;
	struct hf_slice bytes;

	(void)state;
	core_node_make(&node, 1);
	struct hf_core *core = core_by_name(&node, "blobs");

	for (unsigned i = 0; i < 3; i++) {
		uint8_t map[12] = {0, 1};
		struct hf_blob_id id = {.block_offset = i, .block_count = 1, .byte_offset = i * sizeof map, .byte_length = sizeof map, .has_map = true};

		memcpy(map + 2, numbers[i], 9);
		map[11] = 5; /* bytes */
		struct hf_slice block = hf_slice(map, sizeof map);

		assert_int_equal(hf_core_append(core, &block, 1, NULL), HF_OK);
		assert_int_equal(hf_blob_read(core, &id, NULL, &reader), HF_OK);
		assert_int_equal(hf_blob_reader_next(reader, &bytes), expected[i]);
		hf_blob_reader_free(reader);
	}
	hf_core_unref(core);
	core_node_remove(&node);
}

/* ---- Sparse ---- */

struct pair {
	struct core_node writer_node, reader_node;
	struct hf_drive *writer, *reader;
	size_t fetched;
	int ready_status;
	unsigned ready_count;
};

static void exchange(struct hf_core *source, struct hf_core *reader, const struct hf_proof_request *request)
{
	struct hf_buffer bytes = {0};
	struct hf_proof proof;
	bool grew;

	assert_int_equal(hf_core_prove(source, hf_core_fork(reader), request, &bytes, &proof), HF_OK);
	assert_int_equal(hf_core_put_proof(reader, &proof, &grew, NULL), HF_OK);
	hf_buffer_free(&bytes);
	core_commit(reader);
}

static void follow(struct hf_core *source, struct hf_core *reader)
{
	uint64_t length = hf_core_length(reader);
	struct hf_proof_request request = {.wants_manifest = true, .has_upgrade = true, .upgrade = {length, hf_core_length(source) - length}};

	exchange(source, reader, &request);
}

static void fetch(struct pair *pair, struct hf_core *source, struct hf_core *reader, uint64_t block)
{
	struct hf_proof_request request = {.has_block = true, .block.index = block};

	assert_int_equal(hf_core_missing_nodes(reader, block, &request.block.nodes), HF_OK);
	exchange(source, reader, &request);
	pair->fetched++;
}

static void make_pair(struct pair *pair, size_t file_bytes)
{
	struct hf_drive_options options = {.size = sizeof options};
	struct hf_buffer content = {0};

	*pair = (struct pair){.fetched = 0};
	core_node_make(&pair->writer_node, 1);
	core_node_make(&pair->reader_node, 2);
	pair->writer = drive_open(&pair->writer_node, NULL);
	assert_int_equal(hf_buffer_reserve(&content, file_bytes + AFTER_BYTES), HF_OK);
	for (size_t i = 0; i < file_bytes + AFTER_BYTES; i++)
		content.data[i] = (uint8_t)(i * 31 + (i >> 9));
	drive_put(pair->writer, "/before", hf_slice_text("some bytes before"));
	drive_put(pair->writer, "/file", hf_slice(content.data, file_bytes));
	drive_put(pair->writer, "/after", hf_slice(content.data, AFTER_BYTES));
	assert_int_equal(hf_drive_commit_wait(pair->writer, HF_DURABLE_OS), HF_OK);
	options.key = hf_core_key(hf_drive_core(pair->writer));
	pair->reader = drive_open(&pair->reader_node, &options);
	hf_buffer_free(&content);
}

static void end_pair(struct pair *pair)
{
	hf_drive_close(pair->writer);
	hf_drive_close(pair->reader);
	core_node_remove(&pair->writer_node);
	core_node_remove(&pair->reader_node);
}

static void fetch_bee(struct pair *pair)
{
	size_t count;
	uint64_t block = hf_bee_wants(hf_drive_bee(pair->reader), &count)[0];

	assert_in_range(count, 1, HF_BEE_WANT_COUNT_MAX);
	fetch(pair, hf_drive_core(pair->writer), hf_drive_core(pair->reader), block);
}

/* Until the drive knows its blobs, and the entry. */
static void find(struct pair *pair, const char *name, struct hf_drive_entry *entry)
{
	int status;

	assert_int_equal(hf_drive_ready(pair->reader), HF_ENOTFOUND);
	follow(hf_drive_core(pair->writer), hf_drive_core(pair->reader));
	while ((status = hf_drive_ready(pair->reader)) == HF_EWAIT)
		fetch_bee(pair);
	assert_int_equal(status, HF_OK);
	assert_ptr_not_equal(hf_drive_blobs(pair->reader), NULL);
	assert_memory_equal(hf_core_key(hf_drive_blobs(pair->reader)), hf_core_key(hf_drive_blobs(pair->writer)), 32);
	while ((status = hf_drive_entry(pair->reader, hf_bee_latest(hf_drive_bee(pair->reader)), hf_slice_text(name), entry)) == HF_EWAIT)
		fetch_bee(pair);
	assert_int_equal(status, HF_OK);
}

static void on_ready(void *context, int status)
{
	struct pair *pair = context;

	pair->ready_status = status;
	pair->ready_count++;
}

static size_t wanted(struct hf_core *core)
{
	size_t cursor = 0, count = 0;
	uint64_t block;

	while (hf_core_next_wanted(core, &cursor, &block))
		count++;
	return count;
}

static void test_a_range_of_a_sparse_file_takes_the_blocks_that_it_is_in(void **state)
{
	struct hf_blob_range range = {.start = 10 * HF_BLOB_BLOCK_BYTES - 5, .length = HF_BLOB_BLOCK_BYTES + 10};
	struct hf_blob_reader *reader;
	struct hf_drive_entry entry;
	struct hf_slice bytes;
	struct pair pair;
	uint64_t at = range.start;
	int status;

	(void)state;
	make_pair(&pair, 100 * HF_BLOB_BLOCK_BYTES - 1000);
	find(&pair, "/file", &entry);
	struct hf_core *blobs = hf_drive_blobs(pair.reader);

	pair.fetched = 0;
	assert_int_equal(hf_drive_read(pair.reader, &entry, &range, &reader), HF_OK);
	/* The bee may be ahead of what is known of the blobs. */
	assert_int_equal(hf_blob_reader_next(reader, &bytes), HF_EWAIT);
	follow(hf_drive_blobs(pair.writer), blobs);
	while ((status = hf_blob_reader_next(reader, &bytes)) != HF_ENOTFOUND) {
		if (status == HF_EWAIT) {
			unsigned before = pair.ready_count;

			assert_int_equal(hf_blob_reader_wait(reader, on_ready, &pair), HF_OK);
			assert_in_range(wanted(blobs), 1, 3);
			fetch(&pair, hf_drive_blobs(pair.writer), blobs, hf_blob_reader_needed(reader));
			hf_corestore_poll(pair.reader_node.cores);
			assert_int_equal(pair.ready_count, before + 1);
			assert_int_equal(pair.ready_status, HF_OK);
			continue;
		}
		assert_int_equal(status, HF_OK);
		for (size_t i = 0; i < bytes.length; i++, at++)
			assert_int_equal(bytes.data[i], (uint8_t)(at * 31 + (at >> 9)));
	}
	assert_int_equal(at, range.start + range.length);
	assert_int_equal(pair.fetched, 3);
	hf_blob_reader_free(reader);
	end_pair(&pair);
}

static void test_a_reader_wants_ahead_and_no_more_when_it_is_freed(void **state)
{
	struct hf_blob_reader *reader;
	struct hf_drive_entry entry;
	struct hf_slice bytes;
	struct pair pair;
	int status;
	size_t read = 0;

	(void)state;
	make_pair(&pair, 100 * HF_BLOB_BLOCK_BYTES);
	find(&pair, "/file", &entry);
	struct hf_core *blobs = hf_drive_blobs(pair.reader);

	follow(hf_drive_blobs(pair.writer), blobs);
	assert_int_equal(hf_drive_read(pair.reader, &entry, NULL, &reader), HF_OK);
	assert_int_equal(wanted(blobs), 0);
	while ((status = hf_blob_reader_next(reader, &bytes)) == HF_EWAIT || (status == HF_OK && ++read < 30)) {
		if (status == HF_OK)
			continue;
		assert_int_equal(hf_blob_reader_wait(reader, on_ready, &pair), HF_OK);
		assert_int_equal(wanted(blobs), HF_BLOB_AHEAD_COUNT);
		fetch(&pair, hf_drive_blobs(pair.writer), blobs, hf_blob_reader_needed(reader));
		hf_corestore_poll(pair.reader_node.cores);
	}
	assert_int_equal(status, HF_OK);
	assert_int_equal(wanted(blobs), HF_BLOB_AHEAD_COUNT);
	hf_blob_reader_free(reader);
	assert_int_equal(wanted(blobs), 0);
	end_pair(&pair);
}

static void test_another_mode_leaves_every_digit_of_the_metadata(void **state)
{
	struct core_node node;
	struct hf_drive_entry entry;
	struct hf_slice metadata = hf_slice_text("{\"n\":[18446744073709551617,0.1000,1e400],\"text\":\"\xc3\xa5\"}");
	struct hf_drive_properties properties = {.metadata = metadata};

	(void)state;
	core_node_make(&node, 1);
	struct hf_drive *drive = drive_open(&node, NULL);
	assert_int_equal(hf_drive_put(drive, hf_slice_text("/a"), &properties, hf_slice_text("content")), HF_OK);
	assert_int_equal(hf_drive_set_executable(drive, hf_slice_text("/a"), true), HF_OK); /* of what is pending, too */
	assert_int_equal(hf_bee_flush(hf_drive_bee(drive)), HF_OK);
	assert_int_equal(hf_drive_entry(drive, NULL, hf_slice_text("/a"), &entry), HF_OK);
	assert_true(entry.is_executable && entry.has_blob);
	assert_int_equal(entry.blob.byte_length, 7);
	assert_true(hf_slice_equal(entry.metadata, metadata));
	drive_link(drive, "/link", "/a");
	assert_int_equal(hf_drive_set_executable(drive, hf_slice_text("/link"), true), HF_EINVAL);
	assert_int_equal(hf_drive_set_executable(drive, hf_slice_text("/none"), true), HF_ENOTFOUND);
	hf_drive_close(drive);
	core_node_remove(&node);
}

static void test_a_drive_of_another_s_cannot_be_changed(void **state)
{
	struct hf_drive_entry entry;
	struct pair pair;

	(void)state;
	make_pair(&pair, 10);
	find(&pair, "/file", &entry);
	assert_int_equal(hf_drive_put(pair.reader, hf_slice_text("/x"), NULL, hf_slice_text("x")), HF_EDENIED);
	assert_int_equal(hf_drive_del(pair.reader, hf_slice_text("/file")), HF_EDENIED);
	end_pair(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_normalised_as_the_package_does_it),
		cmocka_unit_test(test_names_that_cannot_be_are_refused),
		cmocka_unit_test(test_links_are_followed_a_bounded_number_of_times),
		cmocka_unit_test(test_lists_go_on_behind_a_name_and_leave_out_what_is_ignored),
		cmocka_unit_test(test_a_list_goes_on_behind_any_key_as_it_is),
		cmocka_unit_test(test_a_list_does_not_go_on_behind_a_name_elsewhere),
		cmocka_unit_test(test_a_refused_change_writes_nothing),
		cmocka_unit_test(test_a_commit_that_fails_leaves_neither_entry_nor_blob),
		cmocka_unit_test(test_a_blob_goes_on_where_it_was_only_if_nothing_came_between),
		cmocka_unit_test(test_a_map_s_blocks_have_numbers_that_a_blob_can_have),
		cmocka_unit_test(test_a_range_of_a_sparse_file_takes_the_blocks_that_it_is_in),
		cmocka_unit_test(test_a_reader_wants_ahead_and_no_more_when_it_is_freed),
		cmocka_unit_test(test_another_mode_leaves_every_digit_of_the_metadata),
		cmocka_unit_test(test_a_drive_of_another_s_cannot_be_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
