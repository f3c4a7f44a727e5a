/* Two muxes. The input is a list of acts, each a byte and what it needs: local acts on either side, frames between them delivered,
 * and raw frames that one gets as if from a hostile remote. A side that was given none may only fail for a bound: what we say, we
 * understand.
 *
 * Covers: src/wire/protomux.c src/wire/protomux_channel.c src/wire/protomux_pairing.c src/wire/protomux_send.c
 */
#include "fuzz.h"

#include "wire/protomux.h"

#define FRAMES_MAX 64
#define CHANNELS_MAX 32

struct side {
	struct hf_protomux *mux;
	struct hf_channel *channels[CHANNELS_MAX];
	struct hf_buffer frames[FRAMES_MAX];
	unsigned frame_count, corked;
	uint8_t answer;    /* what callbacks do */
	bool is_clean;     /* has only heard what the other said */
	bool has_failed;
};

static const struct hf_protomux_limits limits = {.channels_max = 16, .pending_opens_max = 4, .pending_bytes_max = 40000};
static const struct hf_slice names[] = {
	{(const uint8_t *)"p", 1}, {(const uint8_t *)"q", 1}, {(const uint8_t *)"", 0}, {(const uint8_t *)"alias", 5}};

static int on_send(void *owner, const struct iovec *parts, int count)
{
	struct side *s = owner;

	if (s->frame_count == FRAMES_MAX)
		return HF_EBUSY;
	struct hf_buffer *frame = &s->frames[s->frame_count++];

	hf_buffer_clear(frame);
	for (int i = 0; i < count; i++)
		hf_buffer_append(frame, parts[i].iov_base, parts[i].iov_len);
	return HF_OK;
}

static bool on_congested(void *owner)
{
	return false;
}

static void on_pause(void *owner, bool paused)
{
}

static void on_error(void *owner, const struct hf_failure *failure)
{
	struct side *s = owner;

	FUZZ_CHECK(!s->has_failed && failure->text[0] != 0);
	FUZZ_CHECK(!s->is_clean || failure->code == HF_ETOOBIG || failure->code == HF_EBUSY);
	s->has_failed = true;
	if (s->answer & 64) {
		hf_protomux_free(s->mux);
		s->mux = NULL;
	}
}

static const struct hf_protomux_events events = {.send = on_send, .is_congested = on_congested, .pause = on_pause, .error = on_error};

static void react(struct side *s, struct hf_channel *channel, unsigned bit)
{
	struct iovec part = {"reply", 5};

	if (s->answer & 16 && bit == 16)
		hf_channel_send(channel, 1, &part, 1);
	if (s->answer & bit)
		hf_channel_close(channel);
	if (s->answer & 128 && s->answer & bit && s->mux != NULL) {
		hf_protomux_free(s->mux);
		s->mux = NULL;
	}
}

static int on_open(struct hf_channel *channel, void *context, struct hf_slice handshake)
{
	FUZZ_CHECK(handshake.length <= HF_PROTOMUX_HANDSHAKE_BYTES_MAX);
	react(context, channel, 4);
	return HF_OK;
}

static int on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct side *s = context;

	FUZZ_CHECK(type < 3 && !hf_channel_is_closed(channel));
	react(s, channel, 8);
	if (type == 2 && body.length > 0 && body.data[0] == 'e') {
		s->is_clean = false;
		return HF_EDENIED;
	}
	return HF_OK;
}

static void on_close(struct hf_channel *channel, void *context, enum hf_channel_end end)
{
	struct side *s = context;

	for (unsigned i = 0; i < CHANNELS_MAX; i++)
		if (s->channels[i] == channel)
			s->channels[i] = NULL;
	react(s, channel, 32);
}

static void on_drain(struct hf_channel *channel, void *context)
{
	react(context, channel, 16);
}

static const struct hf_channel_events channel_events = {
	.message_types = 3, .open = on_open, .message = on_message, .close = on_close, .drain = on_drain};

static int open_channel(struct side *s, uint8_t choice)
{
	const struct hf_channel_options options = {
		.protocol = names[choice & 1],
		.id = names[1 + (choice >> 1 & 1)],
		.handshake = names[3],
		.aliases = &names[3],
		.alias_count = choice >> 2 & 1,
		.may_repeat = choice & 8,
		.events = &channel_events,
		.context = s,
	};

	for (unsigned i = 0; i < CHANNELS_MAX; i++)
		if (s->channels[i] == NULL) {
			int error = hf_protomux_open(s->mux, &options, &s->channels[i]);

			if (error != HF_OK)
				s->channels[i] = NULL;
			return error;
		}
	return HF_EBUSY;
}

static int on_notify(void *context, struct hf_protomux *mux, struct hf_slice protocol, struct hf_slice id)
{
	struct side *s = context;

	if (s->answer & 1)
		open_channel(s, (uint8_t)((protocol.data[0] == 'q') | (id.length == 0) << 1 | 8));
	return s->answer & 2 ? HF_EWAIT : HF_OK;
}

static void deliver(struct side *from, struct side *to)
{
	for (unsigned i = 0; i < from->frame_count && to->mux != NULL; i++) {
		int error = hf_protomux_recv(to->mux, hf_buffer_slice(&from->frames[i]));

		FUZZ_CHECK(error == HF_OK || to->has_failed || to->mux == NULL);
	}
	from->frame_count = 0;
}

static void say(struct side *s, uint8_t choice, size_t bytes)
{
	static uint8_t body[20000];
	struct hf_channel *channel = s->channels[choice % CHANNELS_MAX];
	struct iovec parts[] = {{body, bytes}, {"x", 1}};

	if (channel == NULL)
		return;
	if (choice & 32) {
		struct hf_compact_writer *out = hf_channel_begin(channel, choice >> 6);
		hf_compact_write_fixed(out, body, bytes);
		hf_compact_write_uint(out, choice == 255 ? UINT64_MAX : bytes);
		hf_channel_end(channel);
	} else
		hf_channel_send(channel, choice >> 6, parts, 2);
}

static void cork(struct side *s, bool corks)
{
	if (corks && s->corked < 3) {
		s->corked++;
		hf_protomux_cork(s->mux);
	} else if (!corks && s->corked > 0) {
		s->corked--;
		hf_protomux_uncork(s->mux);
	}
}

static void act(struct side *s, struct side *other, unsigned what, uint8_t choice)
{
	switch (what) {
	case 0: open_channel(s, choice); break;
	case 1: say(s, choice, choice); break;
	case 2: deliver(other, s); break;
	case 3:
		if (s->channels[choice % CHANNELS_MAX] != NULL)
			hf_channel_close(s->channels[choice % CHANNELS_MAX]);
		break;
	case 4: cork(s, choice & 1); break;
	case 5: hf_protomux_pair(s->mux, names[choice & 1], names[1 + (choice >> 1 & 1)], on_notify, s); break;
	case 6: hf_protomux_reject(s->mux, names[choice & 1], names[1 + (choice >> 1 & 1)]); break;
	case 7: s->answer = choice; break;
	case 8: hf_protomux_drained(s->mux); break;
	case 9: hf_protomux_unpair(s->mux, names[choice & 1], names[1 + (choice >> 1 & 1)]); break;
	case 10: say(s, choice, 20000); break;
	default: break;
	}
}

static void begin(struct side *s)
{
	*s = (struct side){.is_clean = true};
	if (hf_protomux_new(&events, s, 1, &limits, &s->mux) != HF_OK)
		abort();
	FUZZ_CHECK(!hf_protomux_is_congested(s->mux));
}

static void end(struct side *s)
{
	s->answer &= 127 - 64;
	FUZZ_CHECK(s->mux == NULL || hf_protomux_channel_count(s->mux) <= limits.channels_max);
	hf_protomux_free(s->mux);
	for (unsigned i = 0; i < FRAMES_MAX; i++)
		hf_buffer_free(&s->frames[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct side sides[2];

	begin(&sides[0]);
	begin(&sides[1]);
	for (size_t at = 0; at + 2 <= size;) {
		struct side *s = &sides[data[at] & 1], *other = &sides[~data[at] & 1];
		unsigned what = data[at] >> 1 & 15;
		uint8_t choice = data[at + 1];

		at += 2;
		if (what == 15) { /* raw, of `choice` bytes */
			size_t length = size - at < choice ? size - at : choice;
			uint8_t *copy = malloc(length);

			if (length > 0)
				memcpy(copy, data + at, length);
			s->is_clean = other->is_clean = false;
			if (s->mux != NULL)
				hf_protomux_recv(s->mux, hf_slice(copy, length));
			free(copy);
			at += length;
		} else if (s->mux != NULL)
			act(s, other, what, choice);
	}
	end(&sides[0]);
	end(&sides[1]);
	return 0;
}
