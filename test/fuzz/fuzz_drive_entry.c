/* fuzz_drive_entry: any value of a drive's key is an entry that goes around or an error; any text is a name that stays what it is, below the
 * root, or an error. The input is both.
 * Covers: src/data/hyperdrive/entry.c src/data/hyperdrive/name.c */
#include "fuzz.h"

#include "data/hyperdrive/entry.h"
#include "data/hyperdrive/name.h"

static void check_same(const struct hf_drive_entry *a, const struct hf_drive_entry *b)
{
	FUZZ_CHECK(a->is_executable == b->is_executable && a->has_link == b->has_link && a->has_blob == b->has_blob);
	FUZZ_CHECK(!a->has_link || hf_slice_equal(a->link, b->link));
	FUZZ_CHECK(!a->has_blob || (a->blob.block_offset == b->blob.block_offset && a->blob.block_count == b->blob.block_count
		&& a->blob.byte_offset == b->blob.byte_offset && a->blob.byte_length == b->blob.byte_length && a->blob.has_map == b->blob.has_map));
}

/* What was read is written in one form, which reads the same and is written the same. */
static void try_entry(struct hf_slice value)
{
	struct hf_buffer scratch = {0}, text = {0}, scratch_again = {0}, again = {0};
	struct hf_drive_entry entry = {.seq = 7}, decoded = {.seq = 7};
	int status = hf_drive_entry_decode(value, &scratch, &entry);

	FUZZ_CHECK(status == HF_OK || status == HF_EMALFORMED);
	if (status == HF_OK) {
		status = hf_drive_entry_encode(&entry, &text);
		/* Metadata may be too deep or too long for us to write. */
		FUZZ_CHECK(status == HF_OK || (entry.metadata.length > 0 && (status == HF_EINVAL || status == HF_ETOOBIG)));
	}
	if (status == HF_OK) {
		FUZZ_CHECK(hf_drive_entry_decode(hf_buffer_slice(&text), &scratch_again, &decoded) == HF_OK);
		check_same(&entry, &decoded);
		FUZZ_CHECK(hf_drive_entry_encode(&decoded, &again) == HF_OK);
		FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&text), hf_buffer_slice(&again)));
	}
	hf_buffer_free(&scratch);
	hf_buffer_free(&scratch_again);
	hf_buffer_free(&text);
	hf_buffer_free(&again);
}

static void expect_name_status(int status)
{
	FUZZ_CHECK(status == HF_OK || status == HF_EINVAL || status == HF_ETOOBIG);
}

static void try_name(struct hf_slice given)
{
	struct hf_buffer name = {0}, again = {0}, folder = {0};
	struct hf_failure failure;
	int status = hf_drive_name(given, &name);

	expect_name_status(status);
	FUZZ_CHECK(status == HF_OK || name.length == 0);
	if (status == HF_OK) {
		FUZZ_CHECK(hf_drive_name_is_sound(hf_buffer_slice(&name)));
		FUZZ_CHECK(hf_drive_name(hf_buffer_slice(&name), &again) == HF_OK);
		FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&name), hf_buffer_slice(&again)));
		FUZZ_CHECK(hf_drive_folder(given, &folder) == HF_OK && hf_slice_equal(hf_buffer_slice(&name), hf_buffer_slice(&folder)));
	} else {
		FUZZ_CHECK(hf_drive_name_fail(&failure, status, given) == status && failure.text[0] != '\0');
	}
	if (hf_drive_name_is_sound(given)) {
		hf_buffer_clear(&again);
		FUZZ_CHECK(hf_drive_name(given, &again) == HF_OK && hf_slice_equal(given, hf_buffer_slice(&again)));
	}
	hf_buffer_clear(&again);
	status = hf_drive_resolve(HF_SLICE_LITERAL("/folder/link"), given, &again);
	expect_name_status(status);
	FUZZ_CHECK(status != HF_OK || hf_drive_name_is_sound(hf_buffer_slice(&again)));
	hf_buffer_free(&name);
	hf_buffer_free(&again);
	hf_buffer_free(&folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_entry(hf_slice(data, size));
	try_name(hf_slice(data, size));
	return 0;
}
