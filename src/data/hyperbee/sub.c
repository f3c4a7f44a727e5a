#include "data/hyperbee/sub.h"

#include "base/utf8.h"
#include "codec/compact_any.h"
#include "codec/json.h"

/* ---- Subs ---- */

int hf_bee_sub_init(struct hf_bee_sub *sub, enum hf_bee_sub_kind kind, const struct hf_bee_sub *parent, struct hf_slice name,
	uint8_t separator)
{
	size_t parent_length = parent == NULL ? 0 : parent->prefix.length;

	*sub = (struct hf_bee_sub){.kind = kind};
	if (separator == UINT8_MAX)
		return HF_EINVAL;
	if (hf_buffer_reserve(&sub->prefix, parent_length + name.length + 1) != HF_OK)
		return HF_ENOMEM;
	if (parent_length > 0)
		hf_buffer_append(&sub->prefix, parent->prefix.data, parent_length);
	if (name.length > 0)
		hf_buffer_append(&sub->prefix, name.data, name.length);
	hf_buffer_append(&sub->prefix, &separator, 1);
	return HF_OK;
}

void hf_bee_sub_free(struct hf_bee_sub *sub)
{
	hf_buffer_free(&sub->prefix);
}

int hf_bee_sub_key(const struct hf_bee_sub *sub, struct hf_slice key, struct hf_buffer *out)
{
	int status = hf_buffer_reserve(out, sub->prefix.length + key.length);

	if (status != HF_OK)
		return status;
	hf_buffer_append(out, sub->prefix.data, sub->prefix.length);
	if (key.length > 0)
		hf_buffer_append(out, key.data, key.length);
	return HF_OK;
}

int hf_bee_sub_strip(const struct hf_bee_sub *sub, struct hf_slice key, struct hf_slice *out)
{
	size_t length = sub->prefix.length;

	if (key.length < length || memcmp(key.data, sub->prefix.data, length) != 0)
		return HF_EINVAL;
	*out = hf_slice(key.data + length, key.length - length);
	return HF_OK;
}

/* Room was made before. */
static struct hf_slice bound(const struct hf_bee_sub *sub, struct hf_slice key, struct hf_buffer *bytes)
{
	size_t start = bytes->length;

	hf_bee_sub_key(sub, key, bytes);
	return hf_slice(bytes->data + start, bytes->length - start);
}

int hf_bee_sub_range(const struct hf_bee_sub *sub, const struct hf_bee_range *range, struct hf_buffer *bytes, struct hf_bee_range *out)
{
	static const uint8_t zero;
	struct hf_slice low = range->has_gt ? range->gt : range->gte, high = range->has_lt ? range->lt : range->lte, placed;
	bool has_low = range->has_gt || range->has_gte, has_high = range->has_lt || range->has_lte;

	if (!has_low)
		low = hf_slice(&zero, sub->kind == HF_BEE_SUB);
	if (!has_high)
		high = hf_slice(NULL, 0);
	hf_buffer_clear(bytes);
	if (hf_buffer_reserve(bytes, 2 * sub->prefix.length + low.length + high.length) != HF_OK)
		return HF_ENOMEM;
	*out = (struct hf_bee_range){.reverse = range->reverse, .has_limit = range->has_limit, .limit = range->limit};
	placed = bound(sub, low, bytes);
	out->has_gt = has_low ? range->has_gt : sub->kind == HF_BEE_SUB;
	out->has_gte = !out->has_gt;
	out->gt = out->gte = placed;
	placed = bound(sub, high, bytes);
	if (!has_high)
		bytes->data[bytes->length - 1]++;
	out->has_lt = has_high ? range->has_lt : true;
	out->has_lte = !out->has_lt;
	out->lt = out->lte = placed;
	return HF_OK;
}

/* ---- Encodings ---- */

static int check_any(struct hf_slice bytes)
{
	struct hf_compact_reader in = hf_compact_reader(bytes);
	struct hf_compact_any_reader any = hf_compact_any_reader(&in);
	struct hf_compact_any_token token;
	int status;

	do
		status = hf_compact_any_next(&any, &token);
	while (status == HF_OK && token.type != HF_COMPACT_ANY_END);
	return status == HF_OK && hf_compact_left(&in) == 0 ? HF_OK : HF_EMALFORMED;
}

int hf_bee_encoding_check(enum hf_bee_encoding encoding, struct hf_slice bytes)
{
	struct hf_compact_reader in = hf_compact_reader(bytes);

	switch (encoding) {
	case HF_BEE_BINARY: return HF_OK;
	case HF_BEE_UTF8: return hf_utf8_valid(bytes.data, bytes.length) ? HF_OK : HF_EMALFORMED;
	case HF_BEE_COMPACT_ANY: return check_any(bytes);
	case HF_BEE_JSON: break;
	}
	hf_compact_read_raw_json(&in);
	return in.status == HF_OK ? HF_OK : HF_EMALFORMED;
}
