/* Requests and health checks of ours are found by the id that they were sent with; calls of the remote by a number of our own, since
 * nothing keeps it from using an id twice. While `uses` is not 0, a callback is under way, and the channel stays where it is.
 */
#include "wire/relay_channel.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "base/timers.h"
#include "wire/relay_json.h"
#include "wire/relay_message.h"

enum { MESSAGE_REQUEST, MESSAGE_RESPONSE, MESSAGE_FRAME, MESSAGE_HEALTH, MESSAGE_HEALTH_REPLY, MESSAGE_TELEMETRY, MESSAGE_TYPES };

struct request {
	struct hf_timer timer;
	struct hf_relay_channel *owner;
	uint64_t id;
	hf_relay_channel_reply *reply;
	void *context;
	bool is_health, is_sent;
};
struct call {
	uint64_t number;
	uint64_t id; /* the remote's */
};

struct hf_relay_channel {
	struct hf_channel *channel; /* NULL: closed */
	struct hf_relay_channel_options options;
	struct hf_relay_message message; /* being read */
	struct hf_map requests, calls;
	struct hf_timers timers;
	uint64_t next_id, last_call;
	struct hf_relay_channel_stats stats;
	uint32_t uses;
	bool is_freed;
};

static struct hf_slice key_of(const uint64_t *number)
{
	return hf_slice(number, sizeof *number);
}

static void leave(struct hf_relay_channel *c)
{
	if (--c->uses > 0 || !c->is_freed)
		return;
	hf_map_free(&c->requests);
	hf_map_free(&c->calls);
	hf_timers_free(&c->timers);
	hf_relay_message_free(&c->message);
	free(c);
}

/* ---- Sending: JSON, with its length in front ---- */

struct sending {
	struct hf_relay_channel *c;
	struct hf_compact_writer *out;
	size_t begun;
};

static struct hf_buffer *begin(struct sending *sending, struct hf_relay_channel *c, uint32_t type)
{
	sending->c = c;
	sending->out = hf_channel_begin(c->channel, type);
	sending->begun = hf_compact_frame_begin(sending->out);
	return sending->out->out;
}

static int end(struct sending *sending, int status)
{
	if (sending->out->status == HF_OK)
		sending->out->status = status;
	hf_compact_frame_end(sending->out, sending->begun);
	return hf_channel_end(sending->c->channel);
}

static int send_text(struct hf_relay_channel *c, uint32_t type, struct hf_slice json, size_t bytes_max)
{
	uint8_t head[HF_COMPACT_UINT_BYTES_MAX];
	const struct iovec parts[] = {{head, hf_compact_put_uint(head, json.length)}, {(void *)json.data, json.length}};

	if (c->channel == NULL)
		return HF_ECLOSED;
	return json.length > bytes_max ? HF_ETOOBIG : hf_channel_send(c->channel, type, parts, 2);
}

int hf_relay_channel_send_telemetry(struct hf_relay_channel *c, struct hf_slice json)
{
	return send_text(c, MESSAGE_TELEMETRY, json, HF_TELEMETRY_BYTES_MAX);
}

int hf_relay_channel_send_frame(struct hf_relay_channel *c, struct hf_slice json)
{
	return send_text(c, MESSAGE_FRAME, json, HF_RELAY_CHANNEL_FRAME_BYTES_MAX);
}

static int put_response(struct hf_relay_channel *c, uint64_t id, const struct hf_relay_response *response)
{
	struct sending sending;
	struct hf_buffer *out = begin(&sending, c, MESSAGE_RESPONSE);

	return end(&sending, hf_relay_message_write_response(out, id, response));
}

static int put_refusal(struct hf_relay_channel *c, uint64_t id, int status, const char *body)
{
	const struct hf_http_field type = {HF_SLICE_LITERAL("content-type"), HF_SLICE_LITERAL("application/json")};
	const struct hf_relay_response response = {.status = status, .fields = &type, .field_count = 1, .body = hf_slice_text(body)};

	return put_response(c, id, &response);
}

static int put_time(struct hf_relay_channel *c, struct hf_buffer *out)
{
	return hf_relay_json_put_time(out, "timestamp", c->options.wall_ms(c->options.context));
}

static int put_health(struct hf_relay_channel *c, uint64_t id)
{
	struct sending sending;
	struct hf_buffer *out = begin(&sending, c, MESSAGE_HEALTH);
	int status = hf_buffer_printf(out, "{\"id\":%llu", (unsigned long long)id);

	if (status == HF_OK)
		status = put_time(c, out);
	return end(&sending, status == HF_OK ? hf_buffer_append_text(out, "}") : status);
}

static int put_health_reply(struct hf_relay_channel *c, uint64_t id)
{
	struct sending sending;
	struct hf_buffer *out = begin(&sending, c, MESSAGE_HEALTH_REPLY);
	int status = hf_buffer_printf(out, "{\"id\":%llu,\"status\":\"healthy\"", (unsigned long long)id);

	if (status == HF_OK)
		status = put_time(c, out);
	if (status == HF_OK)
		status = hf_buffer_append_text(out, ",\"services\":{\"relay\":\"active\",\"protocol\":\"connected\"}}");
	return end(&sending, status);
}

/* ---- Answering ---- */

static void forget_call(struct hf_relay_channel *c, struct call *call)
{
	hf_map_remove(&c->calls, key_of(&call->number));
	free(call);
}

int hf_relay_channel_answer(struct hf_relay_channel *c, uint64_t number, const struct hf_relay_response *response)
{
	const struct hf_slice nothing = {0};
	struct call *call;
	int status;

	if (c->channel == NULL)
		return HF_ECLOSED;
	call = hf_map_get(&c->calls, key_of(&number));
	if (call == NULL)
		return HF_ENOTFOUND;
	if (response->status < 100 || response->status > 599)
		return HF_EINVAL;
	status = hf_relay_message_check(nothing, nothing, response->fields, response->field_count, response->body.length);
	if (status != HF_OK)
		return status;
	uint64_t id = call->id;
	c->uses++;
	status = put_response(c, id, response);
	if (status == HF_OK && (call = hf_map_get(&c->calls, key_of(&number))) != NULL)
		forget_call(c, call);
	leave(c);
	return status;
}

static int add_call(struct hf_relay_channel *c, uint64_t id, uint64_t *number)
{
	struct call *call = malloc(sizeof *call);

	if (call == NULL)
		return HF_ENOMEM;
	*call = (struct call){.number = c->last_call + 1, .id = id};
	if (hf_map_put(&c->calls, key_of(&call->number), call, NULL) != HF_OK) {
		free(call);
		return HF_ENOMEM;
	}
	*number = ++c->last_call;
	return HF_OK;
}

static int take_request(struct hf_relay_channel *c, struct hf_slice json)
{
	struct hf_relay_message *message = &c->message;
	uint64_t number;
	int status = hf_relay_message_read(json, message);

	if (status == HF_OK && (!hf_http_method_is_strict(message->method) || !hf_http_target_is_strict(message->path)))
		status = HF_EMALFORMED;
	if (status != HF_OK)
		return status;
	c->stats.requests_received++;
	if (message->is_body_too_big) {
		c->stats.bodies_refused++;
		return put_refusal(c, message->id, 413, "{\"error\":\"body-too-large\"}");
	}
	if (c->calls.count >= HF_RELAY_CHANNEL_CALLS_MAX) {
		c->stats.calls_refused++;
		return put_refusal(c, message->id, 503, "{\"error\":\"too-many-requests\"}");
	}
	status = add_call(c, message->id, &number);
	if (status != HF_OK)
		return status;
	const struct hf_relay_request request = {.method = message->method, .path = message->path, .fields = message->fields,
		.field_count = message->field_count, .body = hf_buffer_slice(&message->body)};
	c->options.events->request(c->options.context, c, number, &request);
	return HF_OK;
}

/* ---- Asking ---- */

static void forget(struct request *request)
{
	hf_map_remove(&request->owner->requests, key_of(&request->id));
	hf_timer_cancel(&request->owner->timers, &request->timer);
}

static void finish(struct request *request, int result, const struct hf_relay_response *response)
{
	forget(request);
	request->reply(request->context, result, response);
	free(request);
}

static void on_deadline(struct hf_timer *timer)
{
	struct request *request = HF_CONTAINER_OF(timer, struct request, timer);

	request->owner->stats.timeouts++;
	finish(request, HF_ETIMEOUT, NULL);
}

static int new_request(struct hf_relay_channel *c, uint64_t deadline_us, hf_relay_channel_reply *reply, void *context, struct request **out)
{
	struct request *request;
	int status;

	if (c->channel == NULL)
		return HF_ECLOSED;
	if (c->requests.count >= HF_RELAY_CHANNEL_REQUESTS_MAX)
		return HF_EBUSY;
	request = calloc(1, sizeof *request);
	if (request == NULL)
		return HF_ENOMEM;
	*request = (struct request){.timer = {.fire = on_deadline}, .owner = c, .id = c->next_id, .reply = reply, .context = context};
	status = hf_map_put(&c->requests, key_of(&request->id), request, NULL);
	if (status == HF_OK && deadline_us != HF_RELAY_CHANNEL_NEVER) {
		status = hf_timer_set(&c->timers, &request->timer, deadline_us);
		if (status != HF_OK)
			forget(request);
	}
	if (status != HF_OK) {
		free(request);
		return status;
	}
	*out = request;
	return HF_OK;
}

/* Only a request that was sent is ended when the channel closes, from within of put or later. */
static int sent(struct request *request, int status, uint64_t *id)
{
	struct hf_relay_channel *c = request->owner;

	if (status != HF_OK) {
		forget(request);
		free(request);
		return status;
	}
	request->is_sent = true;
	c->next_id = request->id + 1;
	c->stats.requests_sent++;
	if (id != NULL)
		*id = request->id;
	return HF_OK;
}

int hf_relay_channel_request(struct hf_relay_channel *c, const struct hf_relay_request *asked, uint64_t deadline_us,
	hf_relay_channel_reply *reply, void *context, uint64_t *id)
{
	struct request *request;
	struct sending sending;
	int status = hf_relay_message_check(asked->method, asked->path, asked->fields, asked->field_count, asked->body.length);

	if (status == HF_OK)
		status = new_request(c, deadline_us, reply, context, &request);
	if (status != HF_OK)
		return status;
	c->uses++;
	struct hf_buffer *out = begin(&sending, c, MESSAGE_REQUEST);
	status = sent(request, end(&sending, hf_relay_message_write_request(out, request->id, asked)), id);
	leave(c);
	return status;
}

int hf_relay_channel_check_health(struct hf_relay_channel *c, uint64_t deadline_us, hf_relay_channel_reply *reply, void *context)
{
	struct request *request;
	int status = new_request(c, deadline_us, reply, context, &request);

	if (status != HF_OK)
		return status;
	request->is_health = true;
	c->uses++;
	status = sent(request, put_health(c, request->id), NULL);
	leave(c);
	return status;
}

void hf_relay_channel_cancel(struct hf_relay_channel *c, uint64_t id)
{
	struct request *request = hf_map_get(&c->requests, key_of(&id));

	if (request == NULL)
		return;
	forget(request);
	free(request);
}

uint64_t hf_relay_channel_deadline(const struct hf_relay_channel *c)
{
	return hf_timers_next_us(&c->timers);
}

void hf_relay_channel_tick(struct hf_relay_channel *c, uint64_t now_us)
{
	c->uses++;
	hf_timers_run(&c->timers, now_us);
	leave(c);
}

static int take_response(struct hf_relay_channel *c, struct hf_slice json)
{
	struct hf_relay_message *message = &c->message;
	int status = hf_relay_message_read(json, message);
	struct request *request;

	if (status != HF_OK)
		return status;
	if (message->status != 0 && (message->status < 100 || message->status > 599))
		return HF_EMALFORMED;
	request = hf_map_get(&c->requests, key_of(&message->id));
	if (request == NULL || request->is_health)
		return HF_OK;
	const struct hf_relay_response response = {.status = message->status != 0 ? (int)message->status : 200, .fields = message->fields,
		.field_count = message->field_count, .body = hf_buffer_slice(&message->body)};
	if (message->is_body_too_big)
		c->stats.bodies_refused++;
	finish(request, message->is_body_too_big ? HF_ETOOBIG : HF_OK, message->is_body_too_big ? NULL : &response);
	return HF_OK;
}

static int take_health_reply(struct hf_relay_channel *c, struct hf_slice json)
{
	struct hf_relay_message *message = &c->message;
	int status = hf_relay_message_read(json, message);
	struct request *request;

	if (status != HF_OK)
		return status;
	request = hf_map_get(&c->requests, key_of(&message->id));
	if (request != NULL && request->is_health)
		finish(request, message->is_unhealthy ? HF_EDENIED : HF_OK, NULL);
	return HF_OK;
}

/* ---- What is neither ---- */

static int take_frame(struct hf_relay_channel *c, struct hf_slice json)
{
	struct hf_json in;
	struct hf_json_token token;

	if (json.length > HF_RELAY_CHANNEL_FRAME_BYTES_MAX)
		return HF_ETOOBIG;
	hf_json_init(&in, json, HF_RELAY_JSON_DEPTH_MAX);
	int status = hf_json_skip(&in);
	if (status == HF_OK)
		status = hf_json_next(&in, &token);
	if (status == HF_OK && c->options.events->frame != NULL)
		c->options.events->frame(c->options.context, c, json);
	return status;
}

static int take_telemetry(struct hf_relay_channel *c, struct hf_slice json)
{
	struct hf_telemetry telemetry;

	if (hf_telemetry_parse(json, &telemetry) != HF_OK)
		c->stats.telemetry_refused++;
	else if (c->options.events->telemetry != NULL)
		c->options.events->telemetry(c->options.context, c, &telemetry);
	return HF_OK;
}

static int take_health(struct hf_relay_channel *c, struct hf_slice json)
{
	int status = hf_relay_message_read(json, &c->message);

	return status == HF_OK ? put_health_reply(c, c->message.id) : status;
}

/* ---- The channel ---- */

static int on_open(struct hf_channel *channel, void *context, struct hf_slice body)
{
	struct hf_relay_channel *c = context;
	struct hf_compact_reader in = hf_compact_reader(body);
	struct hf_slice json = hf_compact_read_buffer(&in);
	struct hf_relay_handshake theirs;
	int status = in.status;

	if (status == HF_OK)
		status = hf_relay_handshake_parse(json, &theirs);
	if (status != HF_OK)
		return status;
	c->uses++;
	if (!c->is_freed)
		status = c->options.events->opened(c->options.context, c, &theirs);
	leave(c);
	return status;
}

static int on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	static int (*const take[MESSAGE_TYPES])(struct hf_relay_channel *, struct hf_slice) = {
		take_request, take_response, take_frame, take_health, take_health_reply, take_telemetry};
	struct hf_relay_channel *c = context;
	struct hf_compact_reader in = hf_compact_reader(body);
	struct hf_slice json = hf_compact_read_buffer(&in);
	int status = in.status;

	if (status != HF_OK)
		return status;
	c->uses++;
	status = take[type](c, json);
	hf_relay_message_rest(&c->message);
	leave(c);
	return status == HF_ECLOSED ? HF_OK : status;
}

static struct request *any_sent_request(const struct hf_relay_channel *c)
{
	struct request *request;
	size_t cursor = 0;

	while ((request = hf_map_next(&c->requests, &cursor)) != NULL && !request->is_sent) {
	}
	return request;
}

static void on_close(struct hf_channel *channel, void *context, enum hf_channel_end how)
{
	struct hf_relay_channel *c = context;
	struct request *request;
	struct call *call;
	size_t cursor = 0;

	c->channel = NULL;
	c->uses++;
	while ((call = hf_map_next(&c->calls, &cursor)) != NULL)
		free(call);
	hf_map_free(&c->calls);
	while ((request = any_sent_request(c)) != NULL)
		finish(request, HF_ECLOSED, NULL);
	if (c->options.events->closed != NULL && !c->is_freed)
		c->options.events->closed(c->options.context, c, how);
	leave(c);
}

static const struct hf_channel_events channel_events = {
	.message_types = MESSAGE_TYPES, .open = on_open, .message = on_message, .close = on_close};

static int write_handshake(const struct hf_relay_handshake *handshake, struct hf_buffer *out)
{
	struct hf_compact_writer writer = hf_compact_writer(out);
	size_t begun = hf_compact_frame_begin(&writer);

	if (writer.status == HF_OK)
		writer.status = hf_relay_handshake_write(handshake, out);
	hf_compact_frame_end(&writer, begun);
	return writer.status;
}

static struct hf_relay_channel *new_channel(const struct hf_relay_channel_options *options)
{
	struct hf_relay_channel *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->options = *options;
	c->options.handshake = NULL;
	c->message.body_bytes_max = options->body_bytes_max > 0 && options->body_bytes_max < HF_RELAY_CHANNEL_BODY_BYTES_MAX ?
		options->body_bytes_max : HF_RELAY_CHANNEL_BODY_BYTES_MAX;
	c->uses = 1;
	return c;
}

int hf_relay_channel_new(struct hf_protomux *mux, const struct hf_relay_channel_options *options, struct hf_relay_channel **out)
{
	struct hf_relay_channel *c = new_channel(options);
	struct hf_buffer handshake = {0};
	int status;

	*out = c;
	if (c == NULL)
		return HF_ENOMEM;
	status = write_handshake(options->handshake, &handshake);
	if (status == HF_OK) {
		const struct hf_channel_options channel = {.protocol = HF_SLICE_LITERAL(HF_RELAY_CHANNEL_PROTOCOL),
			.handshake = hf_buffer_slice(&handshake), .events = &channel_events, .context = c};

		status = hf_protomux_open(mux, &channel, &c->channel);
	}
	hf_buffer_free(&handshake);
	if (status != HF_OK)
		c->is_freed = true;
	if (status != HF_OK && status != HF_ECANCELED)
		*out = NULL;
	leave(c);
	return status;
}

void hf_relay_channel_free(struct hf_relay_channel *c)
{
	if (c == NULL || c->is_freed)
		return;
	c->is_freed = true;
	c->uses++;
	if (c->channel != NULL)
		hf_channel_close(c->channel);
	leave(c);
}

bool hf_relay_channel_is_open(const struct hf_relay_channel *c)
{
	return c->channel != NULL && hf_channel_is_open(c->channel);
}

void hf_relay_channel_stats(const struct hf_relay_channel *c, struct hf_relay_channel_stats *stats)
{
	*stats = c->stats;
	stats->outstanding = (uint32_t)c->requests.count;
	stats->calls = (uint32_t)c->calls.count;
}
