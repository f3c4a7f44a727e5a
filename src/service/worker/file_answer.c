/* file_answer: one answer from a drive: the file is looked for under the names that it may have, then its bytes go out as its reader takes
 * them. Ranges, ETag and HEAD as of any file of ours. Nothing of a file is kept here but the block in hand. */
#include "service/worker/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"

#define NAME_COUNT_MAX 2
#define ETAG_BYTES 80
#define FIELD_COUNT 4
#define TURN_BLOCK_COUNT 8 /* that go out before others have a turn */

struct hf_worker_answer {
	struct hf_worker_node *node;
	struct hf_drive *drive;
	const struct hf_worker_sink *sink;
	void *link;
	struct hf_buffer names[NAME_COUNT_MAX];
	size_t name_count, name_at;
	struct hf_buffer range, if_none_match;
	struct hf_bee_waiter waiter;
	struct hf_timer turn;
	struct hf_blob_reader *reader;
	struct hf_slice rest;        /* of the reader's, that the sink has not taken */
	const char *content_type, *cache_control;
	uint64_t length, first, last; /* what of it is sent */
	int wait_status;
	bool is_head, is_stepping, is_over;
};

static void step(struct hf_worker_answer *a);

/* ---- Ending ---- */

static void free_answer(struct hf_worker_answer *a)
{
	hf_bee_wait_cancel(&a->waiter);
	hf_blob_reader_free(a->reader);
	hf_loop_timer_cancel(a->node->loop, &a->turn);
	for (size_t i = 0; i < NAME_COUNT_MAX; i++)
		hf_buffer_free(&a->names[i]);
	hf_buffer_free(&a->range);
	hf_buffer_free(&a->if_none_match);
	free(a);
}

static void finish(struct hf_worker_answer *a, int status)
{
	if (a->is_over)
		return;
	a->is_over = true;
	if (status < 0)
		hf_counter_add(&a->node->stats.file_failures, 1);
	else
		hf_counter_add(&a->node->stats.files, 1);
	a->sink->end(a->link, status);
	if (!a->is_stepping)
		free_answer(a);
}

void hf_worker_answer_cancel(struct hf_worker_answer *a)
{
	if (!a)
		return;
	a->is_over = true;
	if (!a->is_stepping)
		free_answer(a);
}

static void say(const struct hf_worker_sink *sink, void *link, int status, const char *text)
{
	sink->head(link, status, "text/plain; charset=utf-8", strlen(text), NULL, 0);
	sink->body(link, hf_slice_text(text));
	sink->end(link, HF_OK);
}

static void refuse(struct hf_worker_answer *a, int status, const char *text)
{
	a->is_over = true;
	hf_counter_add(&a->node->stats.file_failures, 1);
	say(a->sink, a->link, status, text);
}

/* ---- The head ---- */

static const char *type_of(struct hf_slice name)
{
	static const struct { const char *ending, *type; } types[] = {{"jpg", "image/jpeg"}, {"jpeg", "image/jpeg"}, {"png", "image/png"},
		{"gif", "image/gif"}, {"webp", "image/webp"}, {"pdf", "application/pdf"}, {"txt", "text/plain; charset=utf-8"},
		{"mp4", "video/mp4"}, {"webm", "video/webm"}, {"mp3", "audio/mpeg"}, {"ogg", "audio/ogg"}};
	const uint8_t *dot = name.length ? memrchr(name.data, '.', name.length) : NULL;
	struct hf_slice ending = dot ? hf_slice(dot + 1, (size_t)(name.data + name.length - dot - 1)) : hf_slice(NULL, 0);
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (hf_http_name_equal(ending, types[i].ending))
			return types[i].type;
	return "application/octet-stream";
}

static bool read_digits(struct hf_slice *text, uint64_t *number)
{
	size_t count = 0;
	*number = 0;
	for (; count < text->length && text->data[count] >= '0' && text->data[count] <= '9'; count++)
		*number = *number < UINT64_MAX / 16 ? *number * 10 + (uint64_t)(text->data[count] - '0') : UINT64_MAX;
	*text = hf_slice(text->data + count, text->length - count);
	return count > 0;
}

/* "bytes=1-2", "bytes=1-", "bytes=-2". (RFC 9110, 14.1.2) 200: all of it; 206; 416. */
static int choose_range(struct hf_worker_answer *a)
{
	struct hf_slice text = hf_buffer_slice(&a->range);
	uint64_t from, to;
	a->first = 0;
	a->last = a->length - (a->length > 0);
	if (text.length < 7 || memcmp(text.data, "bytes=", 6) != 0)
		return 200;
	text = hf_slice(text.data + 6, text.length - 6);
	bool has_from = read_digits(&text, &from);
	if (text.length == 0 || text.data[0] != '-')
		return 200;
	text = hf_slice(text.data + 1, text.length - 1);
	bool has_to = read_digits(&text, &to);
	if (text.length > 0 || (!has_from && !has_to) || (has_from && has_to && to < from))
		return 200;
	if (has_from ? from >= a->length : to == 0 || a->length == 0)
		return 416;
	a->first = has_from ? from : to < a->length ? a->length - to : 0;
	if (has_from && has_to && to < a->length)
		a->last = to;
	return 206;
}

/* The bytes at a place of a core do not change but with its fork. */
static void write_etag(const struct hf_worker_answer *a, const struct hf_blob_id *blob, char out[static ETAG_BYTES])
{
	const uint8_t *key = hf_core_key(hf_drive_core(a->drive));
	uint64_t fork = hf_drive_blobs(a->drive) ? hf_core_fork(hf_drive_blobs(a->drive)) : 0;
	snprintf(out, ETAG_BYTES, "\"%02x%02x%02x%02x-%" PRIx64 "-%" PRIx64 "-%" PRIx64 "\"", key[0], key[1], key[2], key[3], fork,
		blob->byte_offset, blob->byte_length);
}

static bool has_tag(const struct hf_buffer *field, const char *tag)
{
	struct hf_slice text = hf_buffer_slice(field);
	return (text.length == 1 && text.data[0] == '*') || (text.length > 0 && memmem(text.data, text.length, tag, strlen(tag)) != NULL);
}

static struct hf_http_field field(const char *name, const char *value)
{
	return (struct hf_http_field){hf_slice_text(name), hf_slice_text(value)};
}

/* Sends the head. False: no body follows. */
static bool send_head(struct hf_worker_answer *a, const struct hf_drive_entry *entry)
{
	char etag[ETAG_BYTES], content_range[96];
	struct hf_http_field fields[FIELD_COUNT] = {{{0}}, field("accept-ranges", "bytes"), field("cache-control", a->cache_control)};
	size_t count = 3;
	write_etag(a, &entry->blob, etag);
	fields[0] = field("etag", etag);
	int status = has_tag(&a->if_none_match, etag) ? 304 : choose_range(a);
	if (status == 206)
		snprintf(content_range, sizeof content_range, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, a->first, a->last, a->length);
	else
		snprintf(content_range, sizeof content_range, "bytes */%" PRIu64, a->length);
	if (status == 206 || status == 416)
		fields[count++] = field("content-range", content_range);
	uint64_t length = status == 304 || status == 416 || a->length == 0 ? 0 : a->last - a->first + 1;
	a->sink->head(a->link, status, a->content_type, length, fields, count);
	return length > 0 && !a->is_head;
}

/* ---- Looking, reading ---- */

static void on_turn(struct hf_timer *timer)
{
	struct hf_worker_answer *a = HF_CONTAINER_OF(timer, struct hf_worker_answer, turn);
	if (a->wait_status < 0)
		finish(a, a->wait_status);
	else
		step(a);
}

static void go_on_later(struct hf_worker_answer *a, int status)
{
	a->wait_status = status;
	hf_loop_timer_set(a->node->loop, &a->turn, 0);
}

static void on_bee_ready(struct hf_bee_waiter *waiter, int status)
{
	go_on_later(waiter->context, status);
}

static void on_blob_ready(void *context, int status)
{
	go_on_later(context, status);
}

static int find_file(struct hf_worker_answer *a, struct hf_drive_entry *entry)
{
	int r = HF_ENOTFOUND;
	while (a->name_at < a->name_count) {
		r = hf_drive_follow(a->drive, hf_bee_latest(hf_drive_bee(a->drive)), hf_buffer_slice(&a->names[a->name_at]), entry);
		if (r != HF_ENOTFOUND && r != HF_EINVAL && r != HF_ETOOBIG)
			return r;
		a->name_at++;
	}
	return HF_ENOTFOUND;
}

/* Sends the head, and opens what follows it. HF_ENOTFOUND: there is no such file. */
static int begin_file(struct hf_worker_answer *a)
{
	struct hf_drive_entry entry;
	uint64_t needed;
	int r = find_file(a, &entry);
	if (r < 0 || !entry.has_blob)
		return r < 0 ? r : HF_ENOTFOUND;
	a->length = entry.blob.byte_length;
	if (entry.blob.has_map && hf_drive_blobs(a->drive))
		r = hf_blob_length(hf_drive_blobs(a->drive), &entry.blob, &a->length, &needed);
	if (r < 0)
		return r == HF_EWAIT ? HF_EBUSY : r;
	if (!send_head(a, &entry)) {
		finish(a, HF_OK);
		return HF_OK;
	}
	struct hf_blob_range range = {.start = a->first, .length = a->last - a->first + 1};
	r = hf_drive_read(a->drive, &entry, &range, &a->reader);
	if (r < 0)
		finish(a, r);
	return HF_OK;
}

static void open_file(struct hf_worker_answer *a)
{
	int r = begin_file(a);
	if (r == HF_EWAIT)
		r = hf_bee_wait(hf_drive_bee(a->drive), &a->waiter);
	if (r == HF_ENOTFOUND)
		refuse(a, 404, "File not found\n");
	else if (r < 0)
		refuse(a, r == HF_EBUSY ? 503 : 500, "The file cannot be read\n");
}

static void read_file(struct hf_worker_answer *a)
{
	for (unsigned i = 0; i < TURN_BLOCK_COUNT && !a->is_over; i++) {
		int r = a->rest.length > 0 ? HF_OK : hf_blob_reader_next(a->reader, &a->rest);
		if (r == HF_EWAIT) {
			r = hf_blob_reader_wait(a->reader, on_blob_ready, a);
			if (r < 0)
				finish(a, r);
			return;
		}
		if (r < 0) {
			finish(a, r == HF_ENOTFOUND ? HF_OK : r);
			return;
		}
		size_t length = a->rest.length;
		r = a->sink->body(a->link, a->rest);
		if (r == HF_EBUSY)
			return; /* writable comes */
		if (r < 0) {
			finish(a, r);
			return;
		}
		hf_counter_add(&a->node->stats.file_bytes, length);
		a->rest.length = 0;
	}
	if (!a->is_over)
		go_on_later(a, HF_OK);
}

static void step(struct hf_worker_answer *a)
{
	a->is_stepping = true;
	if (!a->reader)
		open_file(a);
	if (a->reader && !a->is_over)
		read_file(a);
	a->is_stepping = false;
	if (a->is_over)
		free_answer(a);
}

void hf_worker_answer_writable(struct hf_worker_answer *a)
{
	if (a && a->rest.length > 0 && !a->is_over)
		go_on_later(a, HF_OK);
}

/* ---- What is asked for ---- */

struct path {
	struct hf_slice segments[8];
	size_t count;
};

static bool cut(struct hf_slice text, struct path *path)
{
	*path = (struct path){.count = 0};
	while (text.length > 0) {
		const uint8_t *slash = memchr(text.data, '/', text.length);
		size_t length = slash ? (size_t)(slash - text.data) : text.length;
		if (length > 0 && path->count == sizeof path->segments / sizeof *path->segments)
			return false;
		if (length > 0)
			path->segments[path->count++] = hf_slice(text.data, length);
		text = hf_slice(text.data + length + (slash != NULL), text.length - length - (slash != NULL));
	}
	return true;
}

/* "/a/b" of segments that are decoded once more where they were encoded. */
static int add_name(struct hf_worker_answer *a, const struct hf_slice *segments, size_t count)
{
	struct hf_buffer *name = &a->names[a->name_count++];
	int r = HF_OK;
	for (size_t i = 0; r == HF_OK && i < count; i++) {
		r = hf_buffer_append_text(name, "/");
		if (r == HF_OK)
			r = hf_worker_append_decoded(name, segments[i]);
	}
	return r;
}

/* Of a relay's drive: the path alone, and behind the relay's name, as Hypertuna's workers keep it. */
static struct hf_worker_answer *ask_drive(struct hf_worker_node *node, const struct path *path, struct hf_slice auth_token, int *status)
{
	struct hf_worker_relay *relay = path->count > 2 ? hf_worker_find_relay(node, path->segments[1]) : NULL;
	*status = !relay || !relay->drive ? 404 : hf_worker_relay_admits(node, relay, auth_token) ? 200 : 403;
	struct hf_worker_answer *a = *status == 200 ? calloc(1, sizeof *a) : NULL;
	if (!a)
		return NULL;
	a->node = node;
	a->drive = relay->drive;
	a->cache_control = relay->settings->token ? "private, max-age=300" : "public, max-age=300";
	if (add_name(a, path->segments + 2, path->count - 2) < 0 || add_name(a, path->segments + 1, path->count - 1) < 0) {
		free_answer(a);
		return NULL;
	}
	return a;
}

static struct hf_worker_answer *ask_avatar(struct hf_worker_node *node, const struct path *path, int *status)
{
	const struct hf_slice global[] = {HF_SLICE_LITERAL("global"), path->segments[1]};
	*status = node->avatars && path->count > 1 && path->count <= 3 ? 200 : 404;
	struct hf_worker_answer *a = *status == 200 ? calloc(1, sizeof *a) : NULL;
	if (!a)
		return NULL;
	a->node = node;
	a->drive = node->avatars;
	a->cache_control = "public, max-age=60";
	if (add_name(a, path->segments + 1, path->count - 1) < 0 || (path->count == 2 && add_name(a, global, 2) < 0)) {
		free_answer(a);
		return NULL;
	}
	return a;
}

void hf_worker_answer(struct hf_worker_node *node, const struct hf_worker_question *question, const struct hf_worker_sink *sink, void *link,
	struct hf_worker_answer **out)
{
	struct path path;
	int status = 404;
	struct hf_worker_answer *a = NULL;
	*out = NULL;
	if (cut(question->path, &path) && path.count > 1 && hf_slice_equal(path.segments[0], HF_SLICE_LITERAL("drive")))
		a = ask_drive(node, &path, question->auth_token, &status);
	else if (path.count > 1 && hf_slice_equal(path.segments[0], HF_SLICE_LITERAL("pfp")))
		a = ask_avatar(node, &path, &status);
	if (!a) {
		hf_counter_add(&node->stats.file_failures, 1);
		say(sink, link, status == 200 ? 503 : status, status == 403 ? "Authentication required\n" : status == 404 ? "File not found\n"
			: "out of memory\n");
		return;
	}
	a->sink = sink;
	a->link = link;
	a->is_head = question->is_head;
	a->turn.fire = on_turn;
	a->waiter.ready = on_bee_ready;
	a->waiter.context = a;
	a->content_type = type_of(path.segments[path.count - 1]);
	if (question->range.length > 0)
		hf_buffer_append(&a->range, question->range.data, question->range.length);
	if (question->if_none_match.length > 0)
		hf_buffer_append(&a->if_none_match, question->if_none_match.data, question->if_none_match.length);
	*out = a;
	go_on_later(a, HF_OK);
}
