/* Drives in a store of their own, for tests. */
#ifndef HF_TEST_DRIVE_FIXTURE_H
#define HF_TEST_DRIVE_FIXTURE_H

#include "core_fixture.h"

#include "data/hyperdrive/drive.h"

static inline struct hf_drive *drive_open(struct core_node *node, const struct hf_drive_options *wanted)
{
	struct hf_drive_options options = wanted != NULL ? *wanted : (struct hf_drive_options){.key = NULL};
	struct hf_failure failure = {0};
	struct hf_drive *drive;

	options.size = sizeof options;
	options.cores = node->cores;
	if (hf_drive_open(&drive, &options, &failure) != HF_OK)
		fail_msg("%s", failure.text);
	return drive;
}

static inline void drive_put(struct hf_drive *drive, const char *name, struct hf_slice content)
{
	assert_int_equal(hf_drive_put(drive, hf_slice_text(name), NULL, content), HF_OK);
	assert_int_equal(hf_bee_flush(hf_drive_bee(drive)), HF_OK);
}

static inline void drive_link(struct hf_drive *drive, const char *name, const char *target)
{
	assert_int_equal(hf_drive_symlink(drive, hf_slice_text(name), hf_slice_text(target), hf_slice(NULL, 0)), HF_OK);
	assert_int_equal(hf_bee_flush(hf_drive_bee(drive)), HF_OK);
}

static inline int drive_del(struct hf_drive *drive, const char *name)
{
	int status = hf_drive_del(drive, hf_slice_text(name));

	assert_int_equal(hf_bee_flush(hf_drive_bee(drive)), HF_OK);
	return status;
}

/* All that a reader gives, after emptying *out. */
static inline int blob_read_all(struct hf_blob_reader *reader, struct hf_buffer *out)
{
	struct hf_slice bytes;
	int status;

	hf_buffer_clear(out);
	while ((status = hf_blob_reader_next(reader, &bytes)) == HF_OK)
		assert_int_equal(hf_buffer_append(out, bytes.data, bytes.length), HF_OK);
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static inline int drive_get(struct hf_drive *drive, const struct hf_drive_entry *entry, struct hf_buffer *out)
{
	struct hf_blob_reader *reader;
	int status = hf_drive_read(drive, entry, NULL, &reader);

	if (status != HF_OK)
		return status;
	status = blob_read_all(reader, out);
	hf_blob_reader_free(reader);
	return status;
}

/* The names that a list gives, with a space behind each. */
static inline void drive_names(struct hf_drive *drive, struct hf_bee_view *view, const struct hf_drive_list_options *options,
	bool children, struct hf_buffer *out)
{
	struct hf_drive_list *list;
	struct hf_drive_entry entry;
	bool is_folder;
	int status;

	hf_buffer_clear(out);
	assert_int_equal(hf_drive_list(drive, view, options, &list), HF_OK);
	while ((status = hf_drive_list_next(list, &entry)) == HF_OK) {
		struct hf_slice name = children ? hf_drive_list_child(list, &is_folder) : entry.name;

		hf_buffer_append(out, name.data, name.length);
		hf_buffer_append_text(out, " ");
	}
	assert_int_equal(status, HF_ENOTFOUND);
	hf_drive_list_free(list);
}

static inline void expect_text(struct hf_slice found, const char *expected)
{
	if (!hf_slice_equal(found, hf_slice_text(expected)))
		fail_msg("\"%.*s\" instead of \"%s\"", (int)found.length, (const char *)found.data, expected);
}

#endif
