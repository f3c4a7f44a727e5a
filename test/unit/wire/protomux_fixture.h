/* protomux_fixture: two muxes and the frames between them, which wait until they are delivered; what happens to channels is written
 * down as text. */
#ifndef TEST_UNIT_WIRE_PROTOMUX_FIXTURE_H
#define TEST_UNIT_WIRE_PROTOMUX_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/protomux.h"

#define SIDE_FRAMES_MAX 512

struct side {
	struct hf_protomux *mux;
	struct side *other;
	struct hf_buffer frames[SIDE_FRAMES_MAX]; /* sent */
	unsigned frame_count, delivered;
	struct hf_buffer log;
	const void *last_part; /* of the last frame */
	int last_part_count;
	int send_error;
	bool is_congested, keeps_nothing;
	unsigned frees_at;     /* the mux, when so many more lines have been written; 0: never */
	struct hf_channel *channel; /* the last that was opened by side_open */
	int result;            /* of that */
	int answer;            /* of notify */
	const struct hf_channel_options *accepts; /* notify opens it */
	char closes_at;        /* first letter of the line at which the channel is closed */
	int fails_with;        /* returned by message */
};

__attribute__((format(printf, 2, 3))) static inline void side_log(struct side *s, const char *format, ...)
{
	char line[600];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	hf_buffer_append_text(&s->log, line);
	hf_buffer_append_text(&s->log, "\n");
	if (s->frees_at > 0 && --s->frees_at == 0) {
		hf_protomux_free(s->mux);
		s->mux = NULL;
	}
}

static inline const char *side_hex(struct hf_slice bytes)
{
	static char text[256];
	size_t length = bytes.length < 100 ? bytes.length : 100;

	for (size_t i = 0; i < length; i++)
		sprintf(text + 2 * i, "%02x", bytes.data[i]);
	text[2 * length] = 0;
	return text;
}

static inline int side_send(void *owner, const struct iovec *parts, int count)
{
	struct side *s = owner;

	if (s->send_error != HF_OK)
		return s->send_error;
	s->last_part = parts[count - 1].iov_base;
	s->last_part_count = count;
	if (s->keeps_nothing)
		return HF_OK;
	assert_true(s->frame_count < SIDE_FRAMES_MAX);
	struct hf_buffer *frame = &s->frames[s->frame_count++];

	hf_buffer_clear(frame);
	for (int i = 0; i < count; i++)
		if (hf_buffer_append(frame, parts[i].iov_base, parts[i].iov_len) != HF_OK)
			return HF_ENOMEM;
	return HF_OK;
}

static inline bool side_is_congested(void *owner)
{
	return ((struct side *)owner)->is_congested;
}

static inline void side_pause(void *owner, bool paused)
{
	side_log(owner, paused ? "pause" : "resume");
}

static inline void side_error(void *owner, const struct hf_failure *failure)
{
	side_log(owner, "error %s %s", hf_error_name(failure->code), failure->text);
}

static const struct hf_protomux_events side_events = {
	.send = side_send, .is_congested = side_is_congested, .pause = side_pause, .error = side_error};

static inline void side_init(struct side *s, struct side *other, const struct hf_protomux_limits *limits)
{
	*s = (struct side){.other = other};
	assert_int_equal(hf_protomux_new(&side_events, s, 1, limits, &s->mux), HF_OK);
}

static inline void side_done(struct side *s)
{
	s->frees_at = 0;
	hf_protomux_free(s->mux);
	for (unsigned i = 0; i < SIDE_FRAMES_MAX; i++)
		hf_buffer_free(&s->frames[i]);
	hf_buffer_free(&s->log);
}

/* Gives the frames of `from` that were not given yet to the other, each in memory of its own size. */
static inline int side_deliver(struct side *from)
{
	int result = HF_OK;

	while (from->delivered < from->frame_count) {
		struct hf_slice frame = hf_buffer_slice(&from->frames[from->delivered++]);

		if (from->other->mux == NULL)
			continue;
		uint8_t *copy = malloc(frame.length);

		memcpy(copy, frame.data, frame.length);
		result = hf_protomux_recv(from->other->mux, hf_slice(copy, frame.length));
		free(copy);
	}
	return result;
}

static inline void side_exchange(struct side *a, struct side *b)
{
	while (a->delivered < a->frame_count || b->delivered < b->frame_count) {
		side_deliver(a);
		side_deliver(b);
	}
}

/* Feeds a frame given in hex. */
static inline int side_recv(struct side *s, const char *hex)
{
	size_t length = strlen(hex) / 2;
	uint8_t *bytes = malloc(length);

	for (size_t i = 0; i < length; i++) {
		char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
		bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	int result = hf_protomux_recv(s->mux, hf_slice(bytes, length));

	free(bytes);
	return result;
}

/* The frames that were sent and not delivered, in hex, each on a line; they count as delivered then. */
static inline void side_expect_sent(struct side *s, const char *expected)
{
	struct hf_buffer text = {0};

	for (; s->delivered < s->frame_count; s->delivered++) {
		hf_buffer_append_text(&text, side_hex(hf_buffer_slice(&s->frames[s->delivered])));
		hf_buffer_append_text(&text, "\n");
	}
	hf_buffer_append(&text, "", 1);
	assert_string_equal((const char *)text.data, expected);
	hf_buffer_free(&text);
}

/* What was written down since the last time. */
static inline void side_expect(struct side *s, const char *expected)
{
	hf_buffer_append(&s->log, "", 1);
	assert_string_equal((const char *)s->log.data, expected);
	hf_buffer_clear(&s->log);
}

/* ---- A channel that writes down what it hears; its context is the side ---- */

static inline void side_channel_line(struct side *s, struct hf_channel *channel, const char *line)
{
	side_log(s, "%s", line);
	if (s->closes_at == line[0])
		hf_channel_close(channel);
}

static inline int side_on_open(struct hf_channel *channel, void *context, struct hf_slice handshake)
{
	char line[300];

	snprintf(line, sizeof line, "open %s", side_hex(handshake));
	side_channel_line(context, channel, line);
	return HF_OK;
}

static inline int side_on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct side *s = context;
	char line[300];

	snprintf(line, sizeof line, "message %u %s", type, side_hex(body));
	side_channel_line(s, channel, line);
	return s->fails_with;
}

static inline void side_on_close(struct hf_channel *channel, void *context, enum hf_channel_end end)
{
	static const char *const ends[] = {"local", "remote", "destroyed"};
	char line[64];

	assert_true(hf_channel_is_closed(channel));
	assert_false(hf_channel_is_open(channel));
	snprintf(line, sizeof line, "close %s", ends[end]);
	side_channel_line(context, channel, line);
}

static inline void side_on_drain(struct hf_channel *channel, void *context)
{
	side_channel_line(context, channel, "drain");
}

static const struct hf_channel_events side_channel_events = {
	.message_types = 2, .open = side_on_open, .message = side_on_message, .close = side_on_close, .drain = side_on_drain};

static inline struct hf_channel_options side_options(struct side *s, const char *protocol, const char *id, const char *handshake)
{
	return (struct hf_channel_options){
		.protocol = hf_slice_text(protocol),
		.id = hf_slice_text(id),
		.handshake = hf_slice_text(handshake),
		.events = &side_channel_events,
		.context = s,
	};
}

static inline struct hf_channel *side_open(struct side *s, const char *protocol, const char *id, const char *handshake)
{
	struct hf_channel_options options = side_options(s, protocol, id, handshake);

	s->result = hf_protomux_open(s->mux, &options, &s->channel);
	return s->result == HF_OK ? s->channel : NULL;
}

static inline int side_notify(void *context, struct hf_protomux *mux, struct hf_slice protocol, struct hf_slice id)
{
	struct side *s = context;
	const struct hf_channel_options *accepts = s->accepts;

	side_log(s, "notify %.*s %.*s", (int)protocol.length, (const char *)protocol.data, (int)id.length, (const char *)id.data);
	if (accepts != NULL && s->mux != NULL)
		s->result = hf_protomux_open(mux, accepts, &s->channel);
	return s->answer;
}

static inline int side_say(struct hf_channel *channel, uint32_t type, const char *body)
{
	struct iovec part = {(void *)body, strlen(body)};

	return hf_channel_send(channel, type, &part, 1);
}

static inline void sides_begin(struct side *a, struct side *b)
{
	side_init(a, b, NULL);
	side_init(b, a, NULL);
}

static inline void sides_end(struct side *a, struct side *b)
{
	side_done(a);
	side_done(b);
}

#endif
