/* Requests of ours are found by their id, those of the remote by a number of our own, since nothing keeps it from using an id
 * twice. While `uses` is not 0, a callback is under way, and the rpc stays where it is.
 */
#include "wire/protomux_rpc.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/timers.h"

enum { MESSAGE_REQUEST, MESSAGE_RESPONSE, MESSAGE_TYPES };
enum { ERROR = 1, ERROR_HAS_CODE = 2, ERROR_HAS_CAUSE = 4, ERROR_CAUSE_HAS_CONTEXT = 8 };

struct request {
	struct hf_timer timer; /* first */
	struct hf_protomux_rpc *rpc;
	uint64_t id;
	hf_protomux_rpc_reply *reply;
	void *context;
	bool is_sent;
};
struct call {
	uint64_t number;
	uint64_t id; /* the remote's */
};

struct hf_protomux_rpc {
	struct hf_channel *channel; /* NULL: closed */
	struct hf_protomux_rpc_options options;
	struct hf_map requests, calls;
	struct hf_timers timers;
	uint64_t last_request, last_call;
	uint32_t uses;
	bool is_ending, is_freed;
};

static struct hf_slice key_of(const uint64_t *number)
{
	return hf_slice(number, sizeof *number);
}

static void leave(struct hf_protomux_rpc *rpc)
{
	if (--rpc->uses > 0 || !rpc->is_freed)
		return;
	hf_map_free(&rpc->requests);
	hf_map_free(&rpc->calls);
	hf_timers_free(&rpc->timers);
	free(rpc);
}

static void end_maybe(struct hf_protomux_rpc *rpc)
{
	if (rpc->is_ending && rpc->channel != NULL && rpc->requests.count == 0 && rpc->calls.count == 0)
		hf_channel_close(rpc->channel);
}

/* ---- Answering ---- */

static int put_error(struct hf_protomux_rpc *rpc, uint64_t id, const struct hf_protomux_rpc_error *error)
{
	struct hf_channel *channel = rpc->channel;
	struct hf_compact_writer *out = hf_channel_begin(channel, MESSAGE_RESPONSE);
	bool has_code = error->code.length > 0, has_context = error->has_cause && error->cause_context.length > 0;

	hf_compact_write_uint(out, ERROR | (has_code ? ERROR_HAS_CODE : 0) | (error->has_cause ? ERROR_HAS_CAUSE : 0) |
		(has_context ? ERROR_CAUSE_HAS_CONTEXT : 0));
	hf_compact_write_uint(out, id);
	hf_compact_write_buffer(out, error->message);
	if (has_code)
		hf_compact_write_buffer(out, error->code);
	if (error->has_cause) {
		hf_compact_write_buffer(out, error->cause_message);
		hf_compact_write_buffer(out, error->cause_code);
	}
	if (has_context)
		hf_compact_write_buffer(out, error->cause_context);
	return hf_channel_end(channel);
}

static int put_value(struct hf_protomux_rpc *rpc, uint64_t id, struct hf_slice value)
{
	uint8_t head[1 + HF_COMPACT_UINT_BYTES_MAX] = {0};
	const struct iovec parts[] = {
		{head, 1 + hf_compact_put_uint(head + 1, id)},
		{(void *)value.data, value.length},
	};

	return hf_channel_send(rpc->channel, MESSAGE_RESPONSE, parts, 2);
}

static int answer(struct hf_protomux_rpc *rpc, uint64_t number, struct hf_slice value, const struct hf_protomux_rpc_error *error)
{
	struct call *call;
	int result;

	if (number == 0)
		return HF_OK;
	if (rpc->channel == NULL)
		return HF_ECLOSED;
	call = hf_map_get(&rpc->calls, key_of(&number));
	if (call == NULL)
		return HF_ENOTFOUND;
	rpc->uses++;
	result = error != NULL ? put_error(rpc, call->id, error) : put_value(rpc, call->id, value);
	if (result == HF_OK) {
		hf_map_remove(&rpc->calls, key_of(&number));
		free(call);
		end_maybe(rpc);
	}
	leave(rpc);
	return result;
}

int hf_protomux_rpc_answer(struct hf_protomux_rpc *rpc, uint64_t call, struct hf_slice value)
{
	return answer(rpc, call, value, NULL);
}

int hf_protomux_rpc_answer_error(struct hf_protomux_rpc *rpc, uint64_t call, const struct hf_protomux_rpc_error *error)
{
	return answer(rpc, call, hf_slice(NULL, 0), error);
}

static const struct hf_protomux_rpc_method *find_method(const struct hf_protomux_rpc *rpc, struct hf_slice name)
{
	for (size_t i = 0; i < rpc->options.method_count; i++)
		if (hf_slice_equal(rpc->options.methods[i].name, name))
			return &rpc->options.methods[i];
	return NULL;
}

static int refuse_method(struct hf_protomux_rpc *rpc, uint64_t id, struct hf_slice method)
{
	struct hf_buffer text = {0};
	size_t shown = method.length < HF_PROTOMUX_RPC_METHOD_BYTES_MAX ? method.length : HF_PROTOMUX_RPC_METHOD_BYTES_MAX;
	int result = hf_buffer_printf(&text, "Unknown method '%.*s'", (int)shown, (const char *)method.data);
	struct hf_protomux_rpc_error error = {.message = hf_buffer_slice(&text), .code = HF_SLICE_LITERAL("UNKNOWN_METHOD")};

	if (result == HF_OK)
		result = put_error(rpc, id, &error);
	hf_buffer_free(&text);
	return result;
}

static int refuse_more(struct hf_protomux_rpc *rpc, uint64_t id)
{
	static const struct hf_protomux_rpc_error error = {
		.message = HF_SLICE_LITERAL("Request failed"),
		.code = HF_SLICE_LITERAL("REQUEST_ERROR"),
		.has_cause = true,
		.cause_message = HF_SLICE_LITERAL("Too many requests wait for an answer"),
		.cause_code = HF_SLICE_LITERAL("EBUSY"),
	};

	return put_error(rpc, id, &error);
}

static int add_call(struct hf_protomux_rpc *rpc, uint64_t id, uint64_t *number)
{
	struct call *call = malloc(sizeof *call);

	if (call == NULL)
		return HF_ENOMEM;
	*call = (struct call){.number = rpc->last_call + 1, .id = id};
	if (hf_map_put(&rpc->calls, key_of(&call->number), call, NULL) != HF_OK) {
		free(call);
		return HF_ENOMEM;
	}
	*number = ++rpc->last_call;
	return HF_OK;
}

static int take_request(struct hf_protomux_rpc *rpc, struct hf_slice body)
{
	struct hf_compact_reader in = hf_compact_reader(body);
	uint64_t id = hf_compact_read_uint(&in), number = 0;
	struct hf_slice name = hf_compact_read_buffer(&in), value = hf_compact_read_raw(&in);
	const struct hf_protomux_rpc_method *method = find_method(rpc, name);
	int error = in.status;

	if (error != HF_OK)
		return error;
	if (method == NULL)
		return id == 0 ? HF_OK : refuse_method(rpc, id, name);
	if (id != 0 && rpc->calls.count >= HF_PROTOMUX_RPC_CALLS_MAX)
		return refuse_more(rpc, id);
	if (id != 0)
		error = add_call(rpc, id, &number);
	if (error == HF_OK)
		method->handle(rpc->options.context, rpc, number, value);
	return error;
}

/* ---- Asking ---- */

static void forget(struct request *request)
{
	hf_map_remove(&request->rpc->requests, key_of(&request->id));
	hf_timer_cancel(&request->rpc->timers, &request->timer);
}

static void finish(struct request *request, int result, struct hf_slice value, const struct hf_protomux_rpc_error *error)
{
	forget(request);
	request->reply(request->context, result, value, error);
	free(request);
}

static void on_deadline(struct hf_timer *timer)
{
	struct request *request = (struct request *)timer;
	struct hf_protomux_rpc *rpc = request->rpc;

	finish(request, HF_ETIMEOUT, hf_slice(NULL, 0), NULL);
	end_maybe(rpc);
}

static int put_request(struct hf_protomux_rpc *rpc, uint64_t id, struct hf_slice method, struct hf_slice value)
{
	uint8_t head[2 * HF_COMPACT_UINT_BYTES_MAX];
	size_t id_bytes = hf_compact_put_uint(head, id);
	const struct iovec parts[] = {
		{head, id_bytes + hf_compact_put_uint(head + id_bytes, method.length)},
		{(void *)method.data, method.length},
		{(void *)value.data, value.length},
	};

	return hf_channel_send(rpc->channel, MESSAGE_REQUEST, parts, 3);
}

static int check(const struct hf_protomux_rpc *rpc, struct hf_slice method)
{
	if (rpc->channel == NULL)
		return HF_ECLOSED;
	return method.length > HF_PROTOMUX_RPC_METHOD_BYTES_MAX ? HF_EINVAL : HF_OK;
}

/* Takes it up in the map and the timers. */
static int register_request(struct request *request, uint64_t deadline_us)
{
	struct hf_protomux_rpc *rpc = request->rpc;
	int error = hf_map_put(&rpc->requests, key_of(&request->id), request, NULL);

	if (error != HF_OK || deadline_us == HF_PROTOMUX_RPC_NEVER)
		return error;
	error = hf_timer_set(&rpc->timers, &request->timer, deadline_us);
	if (error != HF_OK)
		forget(request);
	return error;
}

int hf_protomux_rpc_request(struct hf_protomux_rpc *rpc, struct hf_slice method, struct hf_slice value, uint64_t deadline_us,
	hf_protomux_rpc_reply *reply, void *context, uint64_t *id)
{
	struct request *request;
	int error = check(rpc, method);

	if (error == HF_OK && rpc->requests.count >= HF_PROTOMUX_RPC_REQUESTS_MAX)
		error = HF_EBUSY;
	if (error != HF_OK)
		return error;
	request = calloc(1, sizeof *request);
	if (request == NULL)
		return HF_ENOMEM;
	request->timer.fire = on_deadline;
	request->rpc = rpc;
	request->id = rpc->last_request + 1;
	request->reply = reply;
	request->context = context;
	error = register_request(request, deadline_us);
	if (error != HF_OK) {
		free(request);
		return error;
	}
	rpc->uses++;
	error = put_request(rpc, request->id, method, value);
	if (error != HF_OK) {
		forget(request);
		free(request);
	} else {
		request->is_sent = true;
		rpc->last_request = request->id;
		if (id != NULL)
			*id = request->id;
	}
	leave(rpc);
	return error;
}

int hf_protomux_rpc_event(struct hf_protomux_rpc *rpc, struct hf_slice method, struct hf_slice value)
{
	int error = check(rpc, method);

	return error != HF_OK ? error : put_request(rpc, 0, method, value);
}

void hf_protomux_rpc_cancel(struct hf_protomux_rpc *rpc, uint64_t id)
{
	struct request *request = hf_map_get(&rpc->requests, key_of(&id));

	if (request == NULL)
		return;
	forget(request);
	free(request);
	rpc->uses++;
	end_maybe(rpc);
	leave(rpc);
}

uint64_t hf_protomux_rpc_deadline(const struct hf_protomux_rpc *rpc)
{
	return hf_timers_next_us(&rpc->timers);
}

void hf_protomux_rpc_tick(struct hf_protomux_rpc *rpc, uint64_t now_us)
{
	rpc->uses++;
	hf_timers_run(&rpc->timers, now_us);
	leave(rpc);
}

static void read_error(struct hf_compact_reader *in, uint64_t flags, struct hf_protomux_rpc_error *error)
{
	*error = (struct hf_protomux_rpc_error){.message = hf_compact_read_buffer(in)};
	if ((flags & ERROR_HAS_CODE) != 0)
		error->code = hf_compact_read_buffer(in);
	if ((flags & ERROR_HAS_CAUSE) == 0)
		return;
	error->has_cause = true;
	error->cause_message = hf_compact_read_buffer(in);
	error->cause_code = hf_compact_read_buffer(in);
	if ((flags & ERROR_CAUSE_HAS_CONTEXT) != 0)
		error->cause_context = hf_compact_read_buffer(in);
}

static int take_response(struct hf_protomux_rpc *rpc, struct hf_slice body)
{
	struct hf_compact_reader in = hf_compact_reader(body);
	uint64_t flags = hf_compact_read_uint_bits(&in, 8), id = hf_compact_read_uint(&in);
	struct hf_protomux_rpc_error error;
	struct hf_slice value = {0};
	struct request *request;

	if ((flags & ERROR) != 0)
		read_error(&in, flags, &error);
	else
		value = hf_compact_read_raw(&in);
	if (in.status != HF_OK)
		return in.status;
	request = hf_map_get(&rpc->requests, key_of(&id));
	if (request != NULL) {
		finish(request, HF_OK, value, (flags & ERROR) != 0 ? &error : NULL);
		end_maybe(rpc);
	}
	return HF_OK;
}

/* ---- The channel ---- */

static int on_open(struct hf_channel *channel, void *context, struct hf_slice handshake)
{
	struct hf_protomux_rpc *rpc = context;
	int error = HF_OK;

	rpc->uses++;
	if (rpc->options.open != NULL)
		error = rpc->options.open(rpc->options.context, rpc, handshake);
	leave(rpc);
	return error;
}

static int on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct hf_protomux_rpc *rpc = context;
	int error;

	rpc->uses++;
	error = type == MESSAGE_REQUEST ? take_request(rpc, body) : take_response(rpc, body);
	leave(rpc);
	return error;
}

static struct request *any_sent_request(const struct hf_protomux_rpc *rpc)
{
	struct request *request;
	size_t cursor = 0;

	while ((request = hf_map_next(&rpc->requests, &cursor)) != NULL && !request->is_sent) {
	}
	return request;
}

static void on_close(struct hf_channel *channel, void *context, enum hf_channel_end end)
{
	struct hf_protomux_rpc *rpc = context;
	struct request *request;
	struct call *call;
	size_t cursor = 0;

	rpc->channel = NULL;
	rpc->uses++;
	while ((call = hf_map_next(&rpc->calls, &cursor)) != NULL)
		free(call);
	hf_map_free(&rpc->calls);
	while ((request = any_sent_request(rpc)) != NULL)
		finish(request, HF_ECLOSED, hf_slice(NULL, 0), NULL);
	if (rpc->options.close != NULL && !rpc->is_freed)
		rpc->options.close(rpc->options.context, rpc);
	leave(rpc);
}

static const struct hf_channel_events channel_events = {
	.message_types = MESSAGE_TYPES, .open = on_open, .message = on_message, .close = on_close};

int hf_protomux_rpc_new(struct hf_protomux *mux, const struct hf_protomux_rpc_options *options, struct hf_protomux_rpc **rpc)
{
	struct hf_protomux_rpc *r = calloc(1, sizeof *r);
	const struct hf_channel_options channel_options = {
		.protocol = options->protocol.length > 0 ? options->protocol : HF_SLICE_LITERAL("protomux-rpc"),
		.id = options->id,
		.handshake = options->handshake,
		.events = &channel_events,
		.context = r,
	};
	int error;

	*rpc = r;
	if (r == NULL)
		return HF_ENOMEM;
	r->options = *options;
	r->uses = 1;
	error = hf_protomux_open(mux, &channel_options, &r->channel);
	if (error != HF_OK)
		r->is_freed = true;
	if (error != HF_OK && error != HF_ECANCELED)
		*rpc = NULL;
	leave(r);
	return error;
}

void hf_protomux_rpc_free(struct hf_protomux_rpc *rpc)
{
	if (rpc == NULL || rpc->is_freed)
		return;
	rpc->is_freed = true;
	rpc->uses++;
	if (rpc->channel != NULL)
		hf_channel_close(rpc->channel);
	leave(rpc);
}

void hf_protomux_rpc_end(struct hf_protomux_rpc *rpc)
{
	rpc->is_ending = true;
	rpc->uses++;
	end_maybe(rpc);
	leave(rpc);
}

bool hf_protomux_rpc_is_closed(const struct hf_protomux_rpc *rpc)
{
	return rpc->channel == NULL;
}
