/* One channel of hypertuna-relay-v2 whose remote is the input: messages of each type, as JSON, and acts of ours. No request may be
 * answered twice, none forgotten; telemetry and handshakes that are taken can be written and read again.
 *
 * Covers: src/wire/relay_channel.c src/wire/relay_message.c src/wire/relay_handshake.c src/wire/relay_json.c src/wire/telemetry.c
 */
#include "fuzz.h"

#include "wire/relay_channel.h"

#define REQUESTS_MAX 64

struct host;
struct asked {
	struct host *host;
	uint64_t id;
	bool is_cancelled, has_ended;
};

struct host {
	struct hf_protomux *mux;
	struct hf_relay_channel *channel;
	struct asked asked[REQUESTS_MAX];
	unsigned asked_count;
	uint64_t last_call, now_us;
	uint8_t answer;
	bool fails;
};

static int on_send(void *owner, const struct iovec *parts, int count)
{
	return ((struct host *)owner)->fails ? HF_EIO : HF_OK;
}

static bool on_congested(void *owner)
{
	return false;
}

static void on_error(void *owner, const struct hf_failure *failure)
{
}

static const struct hf_protomux_events mux_events = {.send = on_send, .is_congested = on_congested, .error = on_error};

static void release(struct host *h)
{
	struct hf_relay_channel *channel = h->channel;

	h->channel = NULL;
	hf_relay_channel_free(channel);
}

static void answer(struct host *h, uint64_t call, struct hf_slice body)
{
	const struct hf_http_field field = {HF_SLICE_LITERAL("a"), HF_SLICE_LITERAL("b")};
	const struct hf_relay_response response = {.status = 200, .fields = &field, .field_count = h->answer & 1, .body = body};

	hf_relay_channel_answer(h->channel, call, &response);
}

static int on_opened(void *context, struct hf_relay_channel *channel, const struct hf_relay_handshake *theirs)
{
	struct hf_relay_handshake again, ours = *theirs;
	struct hf_buffer text = {0};

	ours.members = hf_slice(NULL, 0);
	FUZZ_CHECK(hf_relay_handshake_write(&ours, &text) == HF_OK);
	FUZZ_CHECK(hf_relay_handshake_parse(hf_buffer_slice(&text), &again) == HF_OK);
	FUZZ_CHECK(again.role == theirs->role && again.capabilities == theirs->capabilities && again.bee.has_key == theirs->bee.has_key);
	hf_buffer_free(&text);
	return HF_OK;
}

static void on_request(void *context, struct hf_relay_channel *channel, uint64_t call, const struct hf_relay_request *request)
{
	struct host *h = context;

	FUZZ_CHECK(request->method.length > 0 && request->path.length > 0 && request->path.data[0] == '/');
	for (size_t i = 0; i < request->field_count; i++)
		FUZZ_CHECK(hf_http_field_is_strict(&request->fields[i]));
	h->last_call = call;
	if (h->answer & 2)
		answer(h, call, request->body);
	if (h->answer & 4)
		release(h);
}

static void on_telemetry(void *context, struct hf_relay_channel *channel, const struct hf_telemetry *telemetry)
{
	struct hf_buffer text = {0};
	struct hf_telemetry again;

	FUZZ_CHECK(telemetry->failure_rate >= 0 && telemetry->failure_rate <= 1);
	FUZZ_CHECK(telemetry->latency_ms <= HF_TELEMETRY_LATENCY_MS_MAX && telemetry->in_flight_jobs <= HF_TELEMETRY_JOBS_MAX);
	FUZZ_CHECK(hf_telemetry_write(telemetry, telemetry->bee_key, &text) == HF_OK);
	FUZZ_CHECK(hf_telemetry_parse(hf_buffer_slice(&text), &again) == HF_OK);
	FUZZ_CHECK(again.bee_length == telemetry->bee_length && again.reported_at_ms == telemetry->reported_at_ms);
	hf_buffer_free(&text);
}

static void on_frame(void *context, struct hf_relay_channel *channel, struct hf_slice json)
{
	hf_relay_channel_send_frame(channel, json);
}

static void on_closed(void *context, struct hf_relay_channel *channel, enum hf_channel_end end)
{
	FUZZ_CHECK(!hf_relay_channel_is_open(channel));
}

static void on_reply(void *context, int result, const struct hf_relay_response *response)
{
	struct asked *asked = context;

	FUZZ_CHECK(!asked->is_cancelled && !asked->has_ended);
	FUZZ_CHECK(response == NULL || result == HF_OK);
	asked->has_ended = true;
	if (asked->host->answer & 8 && asked->host->channel != NULL)
		release(asked->host);
}

static uint64_t wall_ms(void *context)
{
	return 1;
}

static void ask(struct host *h, uint8_t choice)
{
	const struct hf_relay_request request = {
		.method = HF_SLICE_LITERAL("GET"), .path = HF_SLICE_LITERAL("/"), .body = HF_SLICE_LITERAL("b")};
	struct asked *asked = &h->asked[h->asked_count];
	uint64_t deadline_us = choice & 1 ? h->now_us + choice : HF_RELAY_CHANNEL_NEVER;

	if (h->asked_count == REQUESTS_MAX)
		return;
	*asked = (struct asked){.host = h, .id = UINT64_MAX};
	h->asked_count++; /* the reply may come from inside */
	int status = choice & 2 ? hf_relay_channel_check_health(h->channel, deadline_us, on_reply, asked) :
		hf_relay_channel_request(h->channel, &request, deadline_us, on_reply, asked, &asked->id);
	if (status != HF_OK) {
		FUZZ_CHECK(!asked->has_ended);
		h->asked_count--;
	}
}

static void act(struct host *h, unsigned what, uint8_t choice)
{
	struct hf_relay_channel_stats stats;

	switch (what) {
	case 0: ask(h, choice); break;
	case 1: h->answer = choice; break;
	case 2: answer(h, h->last_call, HF_SLICE_LITERAL("late")); break;
	case 3:
		if (choice < h->asked_count && !h->asked[choice].has_ended && h->asked[choice].id != UINT64_MAX) {
			h->asked[choice].is_cancelled = true;
			hf_relay_channel_cancel(h->channel, h->asked[choice].id);
		}
		break;
	case 4:
		h->now_us += choice;
		if (hf_relay_channel_deadline(h->channel) <= h->now_us)
			hf_relay_channel_tick(h->channel, h->now_us);
		break;
	case 5: h->fails = choice & 1; break;
	case 6: release(h); break;
	default:
		hf_relay_channel_stats(h->channel, &stats);
		FUZZ_CHECK(stats.calls <= HF_RELAY_CHANNEL_CALLS_MAX);
		break;
	}
}

static void hear(struct host *h, unsigned type, const uint8_t *data, size_t length)
{
	const uint8_t head[] = {1, (uint8_t)type};
	struct hf_buffer message = {0};
	struct hf_compact_writer out = hf_compact_writer(&message);

	hf_compact_write_fixed(&out, head, sizeof head);
	hf_compact_write_buffer(&out, hf_slice(data, length));
	if (hf_protomux_recv(h->mux, hf_buffer_slice(&message)) == HF_OK && h->channel == NULL)
		h->last_call = 0;
	hf_buffer_free(&message);
}

static void open_remote(struct host *h, const uint8_t *data, size_t length)
{
	static const char head[] = "\0\1\1\x12hypertuna-relay-v2";
	struct hf_buffer message = {0};
	struct hf_compact_writer out = hf_compact_writer(&message);

	hf_compact_write_fixed(&out, head, sizeof head); /* with its final 0: the empty id */
	hf_compact_write_buffer(&out, hf_slice(data, length));
	hf_protomux_recv(h->mux, hf_buffer_slice(&message));
	hf_buffer_free(&message);
}

/* The handshake up to the first line break; then acts, each two bytes, and messages: 'A' to 'F' by type, and the text
 * up to a line break. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct hf_relay_channel_events events = {
		.opened = on_opened, .request = on_request, .telemetry = on_telemetry, .frame = on_frame, .closed = on_closed};
	const struct hf_relay_handshake handshake = {.capabilities = HF_RELAY_CAPABILITIES};
	struct host h = {0};
	const struct hf_relay_channel_options options = {
		.handshake = &handshake, .body_bytes_max = 512, .wall_ms = wall_ms, .events = &events, .context = &h};
	const uint8_t *at = data, *end = data + size;

	if (hf_protomux_new(&mux_events, &h, 1, NULL, &h.mux) != HF_OK || hf_relay_channel_new(h.mux, &options, &h.channel) != HF_OK)
		abort();
	for (bool is_first = true; at < end; is_first = false) {
		const uint8_t *line = memchr(at, '\n', (size_t)(end - at));
		size_t length = (size_t)((line != NULL ? line : end) - at);

		if (is_first)
			open_remote(&h, at, length);
		else if (length > 0 && *at >= 'A' && *at <= 'F')
			hear(&h, (unsigned)(*at - 'A'), at + 1, length - 1);
		else if (length > 1 && h.channel != NULL)
			act(&h, *at & 7, at[1]);
		at += length + 1;
	}
	if (h.channel != NULL)
		release(&h);
	for (unsigned i = 0; i < h.asked_count; i++)
		FUZZ_CHECK(h.asked[i].has_ended != h.asked[i].is_cancelled);
	hf_protomux_free(h.mux);
	return 0;
}
