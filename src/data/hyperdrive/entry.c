/* Entries as JSON. */
#include "data/hyperdrive/entry.h"

#include "base/utf8.h"
#include "data/hyperblobs/json_name.h"

/* ---- Reading ---- */

static bool next_is_null(struct hf_json *json)
{
	return hf_json_open_value(json) == HF_OK && json->at < json->end && *json->at == 'n';
}

static int read_link(struct hf_json *json, struct hf_buffer *scratch, struct hf_drive_entry *entry)
{
	struct hf_json_token token;

	if (hf_json_next(json, &token) != HF_OK || token.type != HF_JSON_STRING)
		return HF_EMALFORMED;
	/* The package's own test is whether it is truthy. */
	entry->has_link = token.raw.length > 0;
	entry->link = token.raw;
	if ((token.features & HF_JSON_ESCAPES) == 0)
		return HF_OK;
	hf_buffer_clear(scratch);
	if (hf_buffer_reserve(scratch, token.raw.length) != HF_OK)
		return HF_ENOMEM;
	scratch->length = hf_json_unescape(token.raw, scratch->data);
	entry->link = hf_buffer_slice(scratch);
	return HF_OK;
}

static int read_metadata(struct hf_json *json, struct hf_drive_entry *entry)
{
	if (hf_json_open_value(json) != HF_OK)
		return HF_EMALFORMED;
	const uint8_t *start = json->at;

	if (hf_json_skip(json) != HF_OK)
		return HF_EMALFORMED;
	entry->metadata = hf_slice(start, (size_t)(json->at - start));
	return HF_OK;
}

static int read_member(struct hf_json *json, const struct hf_json_token *name, struct hf_buffer *scratch, struct hf_drive_entry *entry)
{
	struct hf_json_token value;
	bool is_null = next_is_null(json);

	if (hf_json_name_is(name, "executable")) {
		if (hf_json_next(json, &value) != HF_OK)
			return HF_EMALFORMED;
		entry->is_executable = value.type == HF_JSON_TRUE;
		return is_null || value.type == HF_JSON_TRUE || value.type == HF_JSON_FALSE ? HF_OK : HF_EMALFORMED;
	}
	if (hf_json_name_is(name, "linkname")) {
		entry->has_link = false;
		if (!is_null)
			return read_link(json, scratch, entry);
	} else if (hf_json_name_is(name, "blob")) {
		entry->has_blob = !is_null;
		if (!is_null)
			return hf_blob_id_read(json, &entry->blob);
	} else if (hf_json_name_is(name, "metadata")) {
		entry->metadata = hf_slice(NULL, 0);
		if (!is_null)
			return read_metadata(json, entry);
	}
	return hf_json_skip(json) == HF_OK ? HF_OK : HF_EMALFORMED;
}

int hf_drive_entry_decode(struct hf_slice value, struct hf_buffer *scratch, struct hf_drive_entry *entry)
{
	struct hf_json json;
	struct hf_json_token token;
	int status;

	*entry = (struct hf_drive_entry){.seq = entry->seq, .name = entry->name};
	hf_json_init(&json, value, HF_JSON_DEPTH_MAX);
	if (value.length > HF_DRIVE_ENTRY_BYTES_MAX || hf_json_next(&json, &token) != HF_OK || token.type != HF_JSON_OBJECT)
		return HF_EMALFORMED;
	while ((status = hf_json_next(&json, &token)) == HF_OK && token.type != HF_JSON_OBJECT_END)
		if ((status = read_member(&json, &token, scratch, entry)) != HF_OK)
			return status;
	return status == HF_OK && hf_json_next(&json, &token) == HF_OK ? HF_OK : HF_EMALFORMED;
}

/* ---- Writing ---- */

/* A string from its opening quote on, in the one form that the package writes. *at goes behind it. */
static int append_string(const uint8_t **at, const uint8_t *end, struct hf_buffer *out)
{
	unsigned features = 0;
	const uint8_t *start = *at + 1, *quote = hf_json_scan_string(start, end, &features);
	struct hf_slice raw = hf_slice(start, (size_t)(quote - start));

	if (hf_buffer_reserve(out, raw.length + 2) != HF_OK)
		return HF_ENOMEM;
	out->data[out->length++] = '"';
	out->length += hf_json_canonical(raw, out->data + out->length);
	out->data[out->length++] = '"';
	*at = quote + 1;
	return HF_OK;
}

/* Without white space. text has been looked at: it is one value. */
static int append_value(struct hf_slice text, struct hf_buffer *out)
{
	const uint8_t *at = text.data, *end = text.data + text.length;
	int status = HF_OK;

	while (at < end && status == HF_OK) {
		if (*at == '"')
			status = append_string(&at, end, out);
		else if (*at++ > ' ')
			status = hf_buffer_append(out, at - 1, 1);
	}
	return status;
}

static int append_metadata(struct hf_slice text, struct hf_buffer *out)
{
	struct hf_json json;
	struct hf_json_token token;

	if (text.length == 0)
		return hf_buffer_append_text(out, "null");
	if (text.length > HF_DRIVE_METADATA_BYTES_MAX)
		return HF_ETOOBIG;
	hf_json_init(&json, text, HF_JSON_DEPTH_MAX - 1);
	if (hf_json_skip(&json) != HF_OK || hf_json_next(&json, &token) != HF_OK)
		return HF_EINVAL;
	return append_value(text, out);
}

int hf_drive_entry_encode(const struct hf_drive_entry *entry, struct hf_buffer *out)
{
	int status = hf_buffer_printf(out, "{\"executable\":%s,\"linkname\":", entry->is_executable ? "true" : "false");

	if (status == HF_OK)
		status = entry->has_link ? hf_json_append_string(out, entry->link) : hf_buffer_append_text(out, "null");
	if (status == HF_OK)
		status = hf_buffer_append_text(out, ",\"blob\":");
	if (status == HF_OK)
		status = entry->has_blob ? hf_blob_id_encode(&entry->blob, out) : hf_buffer_append_text(out, "null");
	if (status == HF_OK)
		status = hf_buffer_append_text(out, ",\"metadata\":");
	if (status == HF_OK)
		status = append_metadata(entry->metadata, out);
	return status == HF_OK ? hf_buffer_append(out, "}", 1) : status;
}
