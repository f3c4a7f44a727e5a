/* One rpc whose remote is the input: acts of ours, and messages of the remote's on its channel. No request may be answered twice,
 * none forgotten.
 *
 * Covers: src/wire/protomux_rpc.c
 */
#include "fuzz.h"

#include "wire/protomux_rpc.h"

#define REQUESTS_MAX 64

struct host;
struct asked {
	struct host *host;
	uint64_t id;
	bool is_cancelled, has_ended;
};

struct host {
	struct hf_protomux *mux;
	struct hf_protomux_rpc *rpc;
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

static const struct hf_protomux_events events = {.send = on_send, .is_congested = on_congested, .error = on_error};

static void release(struct host *h)
{
	struct hf_protomux_rpc *rpc = h->rpc;

	h->rpc = NULL;
	hf_protomux_rpc_free(rpc);
}

static void answer(struct host *h, uint64_t call, uint8_t how, struct hf_slice value)
{
	const struct hf_protomux_rpc_error error = {
		.message = value,
		.code = how & 4 ? value : hf_slice(NULL, 0),
		.has_cause = how & 8,
		.cause_message = value,
		.cause_context = how & 16 ? value : hf_slice(NULL, 0),
	};

	if (how & 2)
		hf_protomux_rpc_answer_error(h->rpc, call, &error);
	else
		hf_protomux_rpc_answer(h->rpc, call, value);
}

static void handle(void *context, struct hf_protomux_rpc *rpc, uint64_t call, struct hf_slice value)
{
	struct host *h = context;

	h->last_call = call;
	if (h->answer & 1)
		answer(h, call, h->answer, value);
	if (h->answer & 32)
		release(h);
}

static void on_reply(void *context, int result, struct hf_slice value, const struct hf_protomux_rpc_error *error)
{
	struct asked *asked = context;
	struct host *h = asked->host;

	FUZZ_CHECK(!asked->is_cancelled && !asked->has_ended);
	asked->has_ended = true;
	FUZZ_CHECK(result == HF_OK || (error == NULL && value.length == 0));
	if (h->answer & 64 && h->rpc != NULL)
		release(h);
}

static int on_open(void *context, struct hf_protomux_rpc *rpc, struct hf_slice handshake)
{
	return handshake.length == 1 ? HF_EDENIED : HF_OK;
}

static void on_close(void *context, struct hf_protomux_rpc *rpc)
{
	FUZZ_CHECK(hf_protomux_rpc_is_closed(rpc));
}

static const struct hf_protomux_rpc_method methods[] = {{HF_SLICE_LITERAL("m"), handle}, {HF_SLICE_LITERAL("n"), handle}};

static void ask(struct host *h, uint8_t choice)
{
	uint64_t deadline_us = choice & 1 ? h->now_us + choice : HF_PROTOMUX_RPC_NEVER;
	struct asked *asked = &h->asked[h->asked_count];

	if (h->asked_count == REQUESTS_MAX)
		return;
	asked->host = h;
	if (hf_protomux_rpc_request(h->rpc, HF_SLICE_LITERAL("m"), HF_SLICE_LITERAL("v"), deadline_us, on_reply, asked, &asked->id) == HF_OK)
		h->asked_count++;
}

static void cancel(struct host *h, unsigned index)
{
	if (index >= h->asked_count || h->asked[index].has_ended)
		return;
	h->asked[index].is_cancelled = true;
	hf_protomux_rpc_cancel(h->rpc, h->asked[index].id);
}

static void act(struct host *h, unsigned what, uint8_t choice)
{
	switch (what) {
	case 0: ask(h, choice); break;
	case 1: h->answer = choice; break;
	case 2: answer(h, h->last_call, choice, HF_SLICE_LITERAL("late")); break;
	case 3: cancel(h, choice); break;
	case 4:
		h->now_us += choice;
		if (hf_protomux_rpc_deadline(h->rpc) <= h->now_us)
			hf_protomux_rpc_tick(h->rpc, h->now_us);
		FUZZ_CHECK(h->rpc == NULL || hf_protomux_rpc_deadline(h->rpc) > h->now_us);
		break;
	case 5: hf_protomux_rpc_event(h->rpc, HF_SLICE_LITERAL("m"), HF_SLICE_LITERAL("v")); break;
	case 6: hf_protomux_rpc_end(h->rpc); break;
	case 7: h->fails = choice & 1; break;
	case 8: release(h); break;
	default: break;
	}
}

static void hear(struct host *h, unsigned what, const uint8_t *data, size_t length)
{
	struct hf_buffer message = {0};

	if (what != 15) /* requests and answers; else anything */
		hf_buffer_append(&message, what & 1 ? "\1\1" : "\1\0", 2);
	hf_buffer_append(&message, data, length);
	if (message.length > 0)
		hf_protomux_recv(h->mux, hf_buffer_slice(&message));
	hf_buffer_free(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct hf_protomux_rpc_options options = {
		.methods = methods, .method_count = 2, .open = on_open, .close = on_close, .context = NULL};
	struct host h = {0};
	struct hf_protomux_rpc_options own = options;

	own.context = &h;
	if (hf_protomux_new(&events, &h, 1, NULL, &h.mux) != HF_OK || hf_protomux_rpc_new(h.mux, &own, &h.rpc) != HF_OK)
		abort();
	hf_protomux_recv(h.mux, HF_SLICE_LITERAL("\0\1\1\x0cprotomux-rpc\0"));
	for (size_t at = 0; at + 2 <= size;) {
		unsigned what = data[at] & 15;
		uint8_t choice = data[at + 1];

		at += 2;
		if (what >= 12) {
			size_t length = size - at < choice ? size - at : choice;

			hear(&h, what, data + at, length);
			at += length;
		} else if (h.rpc != NULL)
			act(&h, what, choice);
	}
	if (h.rpc != NULL)
		release(&h);
	for (unsigned i = 0; i < h.asked_count; i++)
		FUZZ_CHECK(h.asked[i].has_ended != h.asked[i].is_cancelled);
	hf_protomux_free(h.mux);
	return 0;
}
