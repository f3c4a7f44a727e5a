/* tags: one scanner for text from outside, which checks, and one walker for text that was checked. The walker is
 * still bounded by the slice, so that even damaged text could only end it early. */
#include "data/event/tags.h"

static const char not_tags[] = "invalid: tags must be an array of arrays of strings";

static inline const uint8_t *skip_space(const uint8_t *at, const uint8_t *end, bool *skipped)
{
	while (at < end && *at <= ' ' && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) {
		*skipped = true;
		at++;
	}
	return at;
}

/* One tag from its opening bracket on: the place behind it, or NULL. */
static const uint8_t *scan_tag(const uint8_t *at, const uint8_t *end, struct hf_tags_scan *scan, const char **reason)
{
	*reason = not_tags;
	if (at == end || *at != '[')
		return NULL;
	at = skip_space(at + 1, end, &scan->has_space);
	if (at < end && *at == ']') {
		*reason = "invalid: a tag needs at least one string";
		return NULL;
	}
	for (;;) {
		if (at == end || *at != '"')
			return NULL;
		at = hf_json_scan_string(at + 1, end, &scan->features);
		if (at == NULL) {
			*reason = "invalid: a string in tags is not well-formed";
			return NULL;
		}
		at = skip_space(at + 1, end, &scan->has_space);
		if (at == end || (*at != ',' && *at != ']'))
			return NULL;
		if (*at++ == ']')
			return at;
		at = skip_space(at, end, &scan->has_space);
	}
}

int hf_tags_scan(const uint8_t *at, const uint8_t *end, struct hf_tags_scan *scan, const char **reason)
{
	*scan = (struct hf_tags_scan){0};
	*reason = not_tags;
	if (at == end || *at != '[')
		return HF_EMALFORMED;
	at = skip_space(at + 1, end, &scan->has_space);
	if (at < end && *at == ']') {
		scan->end = at + 1;
		return HF_OK;
	}
	for (;;) {
		at = scan_tag(at, end, scan, reason);
		if (at == NULL)
			return HF_EMALFORMED;
		if (++scan->tag_count > HF_EVENT_TAG_COUNT_MAX) {
			*reason = "invalid: too many tags";
			return HF_ETOOBIG;
		}
		at = skip_space(at, end, &scan->has_space);
		*reason = not_tags;
		if (at == end || (*at != ',' && *at != ']'))
			return HF_EMALFORMED;
		if (*at++ == ']')
			break;
		at = skip_space(at, end, &scan->has_space);
	}
	scan->end = at;
	return HF_OK;
}

size_t hf_tags_canonical(struct hf_slice raw, uint8_t *out)
{
	const uint8_t *at = raw.data, *end = raw.data + raw.length;
	uint8_t *to = out;
	unsigned features = 0;
	while (at < end) {
		if (*at == '"') {
			const uint8_t *quote = hf_json_scan_string(at + 1, end, &features);
			if (quote == NULL)
				break;
			*to++ = '"';
			to += hf_json_canonical(hf_slice(at + 1, (size_t)(quote - at - 1)), to);
			*to++ = '"';
			at = quote + 1;
		} else if (*at > ' ') {
			*to++ = *at++;
		} else {
			at++;
		}
	}
	return (size_t)(to - out);
}

static char tag_letter(struct hf_slice name)
{
	if (name.length != 1)
		return 0;
	uint8_t lower = name.data[0] | 0x20;
	return lower >= 'a' && lower <= 'z' ? (char)name.data[0] : 0;
}

bool hf_event_next_tag(const struct hf_event *event, size_t *cursor, struct hf_tag *tag)
{
	/* Canonical text: the cursor is at the [ or , before a tag. */
	const uint8_t *start = event->tags.data, *end = start + event->tags.length, *at = start + *cursor;
	unsigned features = 0;
	if (event->tags.length - *cursor < 4 || at[1] != '[')
		return false;
	*tag = (struct hf_tag){0};
	const uint8_t *opening = ++at;
	do {
		const uint8_t *body = at + 2;
		if (end - at < 2 || (at = hf_json_scan_string(body, end, &features)) == NULL)
			return false;
		if (tag->element_count < 2)
			*(tag->element_count == 0 ? &tag->name : &tag->value) = hf_slice(body, (size_t)(at - body));
		tag->element_count++;
		at++;
	} while (at < end && *at == ',');
	if (at == end)
		return false;
	at++;
	tag->raw = hf_slice(opening, (size_t)(at - opening));
	tag->letter = tag_letter(tag->name);
	*cursor = (size_t)(at - start);
	return true;
}

bool hf_event_find_tag(const struct hf_event *event, const char *name, struct hf_slice *value)
{
	struct hf_slice wanted = hf_slice_text(name);
	struct hf_tag tag;
	size_t cursor = 0;
	while (hf_event_next_tag(event, &cursor, &tag)) {
		if (hf_slice_equal(tag.name, wanted)) {
			*value = tag.value;
			return true;
		}
	}
	return false;
}

uint64_t hf_event_expiration(const struct hf_event *event)
{
	struct hf_slice value;
	uint64_t time_s;
	if (!hf_event_find_tag(event, "expiration", &value) || hf_json_u64(value, &time_s) < 0)
		return UINT64_MAX;
	return time_s;
}

bool hf_event_is_protected(const struct hf_event *event)
{
	struct hf_slice value;
	return hf_event_find_tag(event, "-", &value);
}
