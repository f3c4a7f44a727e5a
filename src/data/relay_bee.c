/* All keys but the first end alike, so they are written from the front into one buffer. */
#include "data/relay_bee.h"

#include <inttypes.h>

#include "codec/hex.h"

struct rows {
	const struct hf_event *event;
	int (*row)(void *context, struct hf_slice key, struct hf_slice value);
	void *context;
	struct hf_buffer key;
	char id[64 + 1];
};

/* The row of the key that was begun. */
static int finish(struct rows *r, int status)
{
	if (status == HF_OK)
		status = hf_buffer_printf(&r->key, "created_at:%010" PRIu64 ":id:%s", r->event->created_at, r->id);
	if (status == HF_OK)
		status = r->row(r->context, hf_buffer_slice(&r->key), hf_slice(r->id, 64));
	hf_buffer_clear(&r->key);
	return status;
}

static int append_unescaped(struct hf_buffer *out, struct hf_slice raw)
{
	int status = hf_buffer_reserve(out, raw.length);
	if (status == HF_OK && raw.length > 0)
		out->length += hf_json_unescape(raw, out->data + out->length);
	return status;
}

static int tag_row(struct rows *r, const struct hf_tag *tag)
{
	int status = hf_buffer_append_text(&r->key, "tagKey:");
	if (status == HF_OK)
		status = append_unescaped(&r->key, tag->name);
	if (status == HF_OK)
		status = hf_buffer_append_text(&r->key, ":tagValue:");
	if (status == HF_OK)
		status = append_unescaped(&r->key, tag->value);
	if (status == HF_OK)
		status = hf_buffer_append_text(&r->key, ":");
	return finish(r, status);
}

static int index_rows(struct rows *r)
{
	const struct hf_event *event = r->event;
	char pubkey[64 + 1] = {0};
	struct hf_tag tag;
	size_t cursor = 0;
	int status = finish(r, HF_OK);
	hf_hex_encode(pubkey, event->pubkey, 32);
	if (status == HF_OK)
		status = finish(r, hf_buffer_printf(&r->key, "kind:%05" PRIu32 ":", event->kind));
	if (status == HF_OK)
		status = finish(r, hf_buffer_printf(&r->key, "pubkey:%s:", pubkey));
	while (status == HF_OK && hf_event_next_tag(event, &cursor, &tag))
		if (tag.element_count > 1)
			status = tag_row(r, &tag);
	return status;
}

int hf_relay_bee_rows(const struct hf_event *event, struct hf_slice json,
	int (*row)(void *context, struct hf_slice key, struct hf_slice value), void *context)
{
	struct rows r = {.event = event, .row = row, .context = context};
	hf_hex_encode(r.id, event->id, 32);
	int status = row(context, hf_slice(event->id, 32), json);
	if (status == HF_OK)
		status = index_rows(&r);
	hf_buffer_free(&r.key);
	return status;
}
