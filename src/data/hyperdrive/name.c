/* Names, part by part. */
#include "data/hyperdrive/name.h"

#include "base/utf8.h"

#define REASON_BYTES 120 /* of a name, in a sentence */

static bool is_divider(uint8_t c)
{
	return c == '/' || c == '\\';
}

/* The part that begins at *at; *at goes behind the divider after it. */
static struct hf_slice next_part(struct hf_slice name, size_t *at)
{
	size_t start = *at, end = start;

	while (end < name.length && !is_divider(name.data[end]))
		end++;
	*at = end + 1;
	return end > start ? hf_slice(name.data + start, end - start) : hf_slice(NULL, 0);
}

/* Where the parts of a name begin that count: behind "file:", "C:", or "scheme://host". */
static size_t skip_scheme(struct hf_slice name)
{
	size_t at = 0;
	struct hf_slice first = next_part(name, &at);

	if (at > name.length || first.length == 0 || first.data[first.length - 1] != ':')
		return 0;
	if (first.length == 2 || hf_slice_equal(first, HF_SLICE_LITERAL("file:")))
		return at;
	for (int i = 0; i < 2 && at <= name.length; i++)
		next_part(name, &at);
	return at;
}

static bool is_absolute(struct hf_slice name)
{
	return skip_scheme(name) > 0 || (name.length > 0 && is_divider(name.data[0]));
}

/* Takes the last part away; false when there is none. */
static bool pop(struct hf_buffer *out, size_t base)
{
	if (out->length == base)
		return false;
	while (out->data[--out->length] != '/')
		;
	return true;
}

static int add_parts(struct hf_slice name, struct hf_buffer *out, size_t base)
{
	for (size_t at = skip_scheme(name); at <= name.length && name.length > 0;) {
		struct hf_slice part = next_part(name, &at);

		if (part.length == 0 || hf_slice_equal(part, HF_SLICE_LITERAL(".")))
			continue;
		if (hf_slice_equal(part, HF_SLICE_LITERAL(".."))) {
			if (!pop(out, base))
				return HF_EINVAL;
			continue;
		}
		if (hf_buffer_append(out, "/", 1) != HF_OK || hf_buffer_append(out, part.data, part.length) != HF_OK)
			return HF_ENOMEM;
	}
	return HF_OK;
}

static int check(struct hf_slice given)
{
	if (given.length > HF_DRIVE_NAME_BYTES_MAX)
		return HF_ETOOBIG;
	if (given.length > 0 && (memchr(given.data, 0, given.length) != NULL || !hf_utf8_valid(given.data, given.length)))
		return HF_EINVAL;
	return HF_OK;
}

static int settle(int status, struct hf_buffer *out, size_t base)
{
	if (status == HF_OK && out->length - base > HF_DRIVE_NAME_BYTES_MAX)
		status = HF_ETOOBIG;
	if (status != HF_OK)
		out->length = base;
	return status;
}

int hf_drive_folder(struct hf_slice given, struct hf_buffer *out)
{
	size_t base = out->length;
	int status = check(given);

	return status == HF_OK ? settle(add_parts(given, out, base), out, base) : status;
}

int hf_drive_name(struct hf_slice given, struct hf_buffer *out)
{
	size_t base = out->length;
	int status = hf_drive_folder(given, out);

	return status == HF_OK && out->length == base ? HF_EINVAL : status;
}

int hf_drive_resolve(struct hf_slice name, struct hf_slice target, struct hf_buffer *out)
{
	size_t base = out->length;
	int status = check(target);

	if (status == HF_OK && !is_absolute(target))
		status = add_parts(name, out, base);
	if (status == HF_OK)
		status = settle(add_parts(target, out, base), out, base);
	return status == HF_OK && out->length == base ? HF_EINVAL : status;
}

int hf_drive_name_fail(struct hf_failure *failure, int code, struct hf_slice given)
{
	int shown = given.length < REASON_BYTES ? (int)given.length : REASON_BYTES;
	const char *text = (const char *)given.data;

	if (code == HF_ETOOBIG)
		return hf_fail(failure, code, "A name in a drive has %d bytes at most.", HF_DRIVE_NAME_BYTES_MAX);
	if (given.length > 0 && memchr(given.data, 0, given.length) != NULL)
		return hf_fail(failure, code, "A name in a drive cannot have a NUL byte in it.");
	if (given.length > 0 && !hf_utf8_valid(given.data, given.length))
		return hf_fail(failure, code, "A name in a drive is written in UTF-8, and this one is not.");
	return hf_fail(failure, code, "\"%.*s\" is no name of a file: it is the root of the drive, or leads above it.", shown, shown ? text : "");
}

bool hf_drive_name_is_sound(struct hf_slice name)
{
	if (check(name) != HF_OK || name.length < 2 || name.data[0] != '/')
		return false;
	for (size_t at = 1; at <= name.length;) {
		struct hf_slice part = next_part(name, &at);

		if (part.length == 0 || hf_slice_equal(part, HF_SLICE_LITERAL(".")) || hf_slice_equal(part, HF_SLICE_LITERAL("..")))
			return false;
	}
	return memchr(name.data, '\\', name.length) == NULL;
}
