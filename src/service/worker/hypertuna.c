/* hypertuna: what gateways ask for in JSON. Those of Hypertuna have nothing else: a client's messages come as POST /post/relay, and what is
 * said to him is fetched with GET /get/relay. (Gateway specification, section 3.4)
 *
 * A client is a session, known by the relay's name and the connection's key. What it is told waits here; the answer to a POST has all that
 * waits once the message's own answer is in it, or after a while. Sessions that nobody asks for end. Relays are made by who runs the
 * worker, so what would make, join or end one is refused. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/list.h"
#include "codec/hex.h"
#include "service/worker/internal.h"

#define KEY_CHARACTERS 32
#define ROOM_BYTES (256u << 10)
#define QUEUE_BYTES_MAX (1u << 20)
#define ANSWER_WAIT_MS 10000u
#define SEGMENT_COUNT_MAX 6

struct hf_worker_hypertuna {
	struct hf_worker_hypertuna *next, *previous;
	struct hf_worker_node *node;
	struct hf_worker_link *link;     /* of the call; NULL: it has gone */
	struct hf_worker_client client;
	char key[KEY_CHARACTERS + 1];
	char *name;
	struct hf_buffer lines;          /* frames, each with a newline */
	uint64_t call, deadline_us, asked_us;
	const char *awaited[3];          /* how frames begin that end the wait; NULL: none */
	struct hf_loop_deferred answer;
	bool has_call, is_dead, wants_room;
};

/* ---- Answers ---- */

static void respond(struct hf_worker_link *link, uint64_t call, int status, const char *type, struct hf_slice body)
{
	const struct hf_http_field field = {HF_SLICE_LITERAL("content-type"), hf_slice_text(type)};
	struct hf_relay_response response = {.status = status, .fields = &field, .field_count = 1, .body = body};
	if (hf_relay_channel_answer(link->channel, call, &response) == HF_ETOOBIG) {
		response.status = 413;
		response.body = HF_SLICE_LITERAL("{\"error\":\"too-large\"}");
		hf_relay_channel_answer(link->channel, call, &response);
	}
}

static void respond_text(struct hf_worker_link *link, uint64_t call, int status, const char *json)
{
	respond(link, call, status, "application/json", hf_slice_text(json));
}

void hf_worker_respond_json(struct hf_worker_link *link, uint64_t call, int status, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
	json_decref(value);
	respond_text(link, call, text ? status : 503, text ? text : "{\"error\":\"out-of-memory\"}");
	free(text);
}

/* ---- Sessions ---- */

static void free_session(struct hf_worker_hypertuna *s)
{
	if (s->has_call && s->link)
		respond_text(s->link, s->call, 503, "[\"NOTICE\",\"going away\"]");
	hf_worker_client_closed(&s->client);
	hf_loop_cancel_deferred(s->node->loop, &s->answer);
	HF_LIST_REMOVE(s->node->hypertuna, s);
	s->node->session_count--;
	hf_gauge_add(&s->node->stats.sessions, -1);
	hf_buffer_free(&s->lines);
	free(s->name);
	free(s);
}

static void answer_post(struct hf_loop_deferred *deferred)
{
	struct hf_worker_hypertuna *s = HF_CONTAINER_OF(deferred, struct hf_worker_hypertuna, answer);
	if (s->has_call && s->link)
		respond(s->link, s->call, 200, "application/json", hf_buffer_slice(&s->lines));
	s->has_call = false;
	hf_buffer_clear(&s->lines);
	if (s->is_dead)
		free_session(s);
	else if (s->wants_room)
		hf_worker_client_writable(&s->client);
}

static bool begins(struct hf_slice text, const char *with)
{
	return with && text.length >= strlen(with) && memcmp(text.data, with, strlen(with)) == 0;
}

static void end_session(struct hf_worker_hypertuna *s)
{
	s->is_dead = true;
	hf_loop_defer(s->node->loop, &s->answer);
}

static int take_frame(struct hf_worker_hypertuna *s, struct hf_slice text)
{
	if (s->is_dead)
		return HF_ECLOSED;
	if (s->lines.length + text.length > QUEUE_BYTES_MAX) {
		end_session(s);
		return HF_EBUSY;
	}
	int r = hf_buffer_append(&s->lines, text.data, text.length);
	if (r == HF_OK)
		r = hf_buffer_append_text(&s->lines, "\n");
	for (size_t i = 0; r == HF_OK && s->has_call && i < 3; i++)
		if (begins(text, s->awaited[i]))
			hf_loop_defer(s->node->loop, &s->answer);
	return r;
}

static int transport_send_shared(void *link, struct hf_websocket_message *message)
{
	return take_frame(link, hf_websocket_message_payload(message));
}

static int transport_send_text(void *link, struct hf_slice text)
{
	return take_frame(link, text);
}

static size_t transport_room(void *link)
{
	struct hf_worker_hypertuna *s = link;
	s->wants_room = s->lines.length >= ROOM_BYTES;
	if (s->wants_room && s->has_call)
		hf_loop_defer(s->node->loop, &s->answer);
	return s->wants_room ? 0 : ROOM_BYTES - s->lines.length;
}

/* Who posts waits for the answer in any case. */
static void transport_pause(void *link)
{
}

static void transport_close(void *link, uint16_t code, const char *reason)
{
	end_session(link);
}

static const struct hf_relay_transport transport = {.send_shared = transport_send_shared, .send_text = transport_send_text,
	.room = transport_room, .pause = transport_pause, .resume = transport_pause, .close = transport_close};

static struct hf_worker_hypertuna *find_session(struct hf_worker_node *node, struct hf_slice name, const char *key)
{
	for (struct hf_worker_hypertuna *s = node->hypertuna; s; s = s->next)
		if (!s->is_dead && strcmp(s->key, key) == 0 && hf_slice_equal(name, hf_slice_text(s->name)))
			return s;
	return NULL;
}

static struct hf_worker_hypertuna *open_session(struct hf_worker_link *link, struct hf_slice name, const char *key, bool *is_known)
{
	struct hf_worker_node *node = link->node;
	struct hf_worker_relay *relay = hf_worker_find_relay(node, name);
	struct hf_worker_replica *replica = relay ? NULL : hf_worker_find_replica(node, name);
	*is_known = relay || replica;
	if (!*is_known || node->session_count >= HF_WORKER_HYPERTUNA_SESSION_COUNT_MAX)
		return NULL;
	struct hf_worker_hypertuna *s = calloc(1, sizeof *s);
	if (!s || !(s->name = strndup((const char *)name.data, name.length))) {
		free(s);
		return NULL;
	}
	s->node = node;
	s->answer.run = answer_post;
	snprintf(s->key, sizeof s->key, "%s", key);
	HF_LIST_PUSH(node->hypertuna, s);
	node->session_count++;
	hf_gauge_add(&node->stats.sessions, 1);
	hf_counter_add(&node->stats.sessions_opened, 1);
	struct hf_relay_client client = {.transport = &transport, .link = s, .url = hf_worker_url(link->gateway), .source = HF_SOURCE_PUBLIC};
	struct hf_worker_reader_options reader = {.transport = &transport, .link = s};
	int r = relay ? hf_relay_connect(relay->relay, &client, &s->client.connection) : hf_worker_reader_new(replica, &reader, &s->client.reader);
	if (r < 0) {
		free_session(s);
		return NULL;
	}
	return s;
}

void hf_worker_hypertuna_forget(struct hf_worker_link *link)
{
	for (struct hf_worker_hypertuna *s = link->node->hypertuna; s; s = s->next)
		if (s->link == link) {
			s->link = NULL;
			s->has_call = false;
		}
}

void hf_worker_hypertuna_tick(struct hf_worker_node *node, uint64_t now_us)
{
	for (struct hf_worker_hypertuna *s = node->hypertuna, *next; s; s = next) {
		next = s->next;
		if (s->has_call && s->deadline_us <= now_us)
			hf_loop_defer(node->loop, &s->answer);
		else if (!s->has_call && s->asked_us + HF_WORKER_HYPERTUNA_IDLE_MS * UINT64_C(1000) <= now_us)
			end_session(s);
	}
}

void hf_worker_hypertuna_free(struct hf_worker_node *node)
{
	while (node->hypertuna)
		free_session(node->hypertuna);
}

/* ---- Requests for relays ---- */

/* A text, or what JSON makes of a Buffer. */
static int append_message(const json_t *value, struct hf_buffer *out)
{
	json_t *data = json_object_get(value, "data"), *item;
	size_t i;
	if (json_is_string(value))
		return hf_buffer_append(out, json_string_value(value), json_string_length(value));
	if (!json_is_array(data))
		return HF_EMALFORMED;
	int r = hf_buffer_reserve(out, json_array_size(data));
	json_array_foreach(data, i, item) {
		if (r < 0 || !json_is_integer(item) || json_integer_value(item) < 0 || json_integer_value(item) > 255)
			return r < 0 ? r : HF_EMALFORMED;
		out->data[out->length++] = (uint8_t)json_integer_value(item);
	}
	return r;
}

static bool is_key(const char *text)
{
	return text && strlen(text) == KEY_CHARACTERS && hf_hex_run(text, KEY_CHARACTERS) == KEY_CHARACTERS;
}

static struct hf_slice header(const struct hf_relay_request *request, const char *name)
{
	for (size_t i = 0; i < request->field_count; i++)
		if (hf_http_name_equal(request->fields[i].name, name))
			return request->fields[i].value;
	return hf_slice(NULL, 0);
}

/* Refuses when the relay asks for a token that was not given. */
static bool may_enter(struct hf_worker_link *link, uint64_t call, const struct hf_relay_request *request, struct hf_slice name, int status)
{
	struct hf_worker_relay *relay = hf_worker_find_relay(link->node, name);
	struct hf_slice token = header(request, "x-auth-token");
	if (!relay || hf_worker_relay_admits(link->node, relay, token))
		return true;
	respond_text(link, call, status, token.length > 0 ? "[[\"NOTICE\",\"Invalid authentication\"]]"
		: "[[\"NOTICE\",\"Authentication required for read access\"]]");
	return false;
}

/* The gateway keeps a client's frames until it has read that the subscription is known. */
static void acknowledge(struct hf_worker_hypertuna *s, struct hf_slice message)
{
	json_t *frame = json_loadb((const char *)message.data, message.length, JSON_ALLOW_NUL, NULL);
	json_t *id = json_array_get(frame, 1);
	if (s->client.reader && begins(message, "[\"REQ\"") && json_is_string(id)) {
		json_t *ack = json_pack("[s, O, s]", "ACK", id, "registered");
		char *text = ack ? json_dumps(ack, JSON_COMPACT) : NULL;
		if (text)
			take_frame(s, hf_slice_text(text));
		free(text);
		json_decref(ack);
	}
	json_decref(frame);
}

static void hand_in(struct hf_worker_hypertuna *s, struct hf_worker_link *link, uint64_t call, struct hf_slice message)
{
	struct hf_worker_node *node = s->node;
	bool is_event = begins(message, "[\"EVENT\""), is_request = begins(message, "[\"REQ\"") || begins(message, "[\"COUNT\"");
	if (s->has_call)
		answer_post(&s->answer);
	s->link = link;
	s->call = call;
	s->has_call = true;
	s->asked_us = hf_loop_now_us(node->loop);
	s->deadline_us = s->asked_us + ANSWER_WAIT_MS * UINT64_C(1000);
	s->awaited[0] = is_event ? "[\"OK\"" : is_request ? "[\"EOSE\"" : NULL;
	s->awaited[1] = is_request ? "[\"CLOSED\"" : "[\"NOTICE\"";
	s->awaited[2] = is_request ? "[\"COUNT\"" : "[\"OK\"";
	acknowledge(s, message);
	hf_worker_client_message(&s->client, true, message);
	hf_worker_client_read_end(&s->client);
	if (!is_event && !is_request)
		hf_loop_defer(node->loop, &s->answer);
}

static void post_relay(struct hf_worker_link *link, uint64_t call, const struct hf_relay_request *request, struct hf_slice name)
{
	json_t *body = json_loadb((const char *)request->body.data, request->body.length, JSON_ALLOW_NUL, NULL);
	const char *key = json_string_value(json_object_get(body, "connectionKey"));
	struct hf_buffer message = {0};
	bool is_known = true;
	if (!is_key(key) || append_message(json_object_get(body, "message"), &message) < 0) {
		respond_text(link, call, 400, "[\"NOTICE\",\"Invalid request\"]");
	} else if (may_enter(link, call, request, name, 403)) {
		struct hf_worker_hypertuna *s = find_session(link->node, name, key);
		if (!s)
			s = open_session(link, name, key, &is_known);
		if (s)
			hand_in(s, link, call, hf_buffer_slice(&message));
		else
			respond_text(link, call, is_known ? 503 : 404, is_known ? "[\"NOTICE\",\"too many clients\"]" : "[\"NOTICE\",\"Relay not found\"]");
	}
	hf_buffer_free(&message);
	json_decref(body);
}

/* All that waits, as one array. */
static void get_relay(struct hf_worker_link *link, uint64_t call, const struct hf_relay_request *request, struct hf_slice name,
	struct hf_slice key_slice)
{
	char key[KEY_CHARACTERS + 1] = "";
	struct hf_buffer out = {0};
	if (key_slice.length == KEY_CHARACTERS)
		memcpy(key, key_slice.data, KEY_CHARACTERS);
	if (!may_enter(link, call, request, name, 200))
		return;
	struct hf_worker_hypertuna *s = find_session(link->node, name, key);
	if (!s) {
		bool is_known = hf_worker_find_relay(link->node, name) || hf_worker_find_replica(link->node, name);
		respond_text(link, call, is_known ? 200 : 404, is_known ? "[]" : "[\"NOTICE\",\"Relay not found\"]");
		return;
	}
	s->asked_us = hf_loop_now_us(s->node->loop);
	int r = hf_buffer_append_text(&out, "[");
	if (r == HF_OK && s->lines.length > 0)
		r = hf_buffer_append(&out, s->lines.data, s->lines.length - 1);
	for (size_t i = 0; i < out.length; i++)
		if (out.data[i] == '\n')
			out.data[i] = ','; /* a frame has none, but between frames */
	if (r == HF_OK)
		r = hf_buffer_append_text(&out, "]");
	if (r == HF_OK) {
		hf_buffer_clear(&s->lines);
		respond(link, call, 200, "application/json", hf_buffer_slice(&out));
	} else {
		respond_text(link, call, 503, "[\"NOTICE\",\"out of memory\"]");
	}
	hf_buffer_free(&out);
	if (s->wants_room)
		hf_worker_client_writable(&s->client);
}

/* ---- Files ---- */

/* A whole file in one answer. */
struct whole_file {
	struct hf_worker_link *link;
	uint64_t call;
	int status;
	struct hf_http_field fields[5];
	char texts[5][96];
	size_t field_count;
	struct hf_buffer body;
	struct hf_worker_answer *answer;
	struct whole_file *next, *previous;
};

static void add_field(struct whole_file *f, struct hf_slice name, struct hf_slice value)
{
	if (f->field_count == 5)
		return;
	char *text = f->texts[f->field_count];
	snprintf(text, sizeof f->texts[0], "%.*s", (int)value.length, (const char *)value.data);
	f->fields[f->field_count++] = (struct hf_http_field){name, hf_slice_text(text)};
}

static void file_head(void *link, int status, const char *content_type, uint64_t length, const struct hf_http_field *fields,
	size_t field_count)
{
	struct whole_file *f = link;
	f->status = length > HF_RELAY_CHANNEL_BODY_BYTES_MAX ? 413 : status;
	add_field(f, HF_SLICE_LITERAL("content-type"), hf_slice_text(content_type));
	for (size_t i = 0; i < field_count; i++)
		if (hf_http_name_equal(fields[i].name, "etag"))
			add_field(f, HF_SLICE_LITERAL("etag"), fields[i].value);
		else if (hf_http_name_equal(fields[i].name, "cache-control"))
			add_field(f, HF_SLICE_LITERAL("cache-control"), fields[i].value);
		else if (hf_http_name_equal(fields[i].name, "content-range"))
			add_field(f, HF_SLICE_LITERAL("content-range"), fields[i].value);
}

static int file_body(void *link, struct hf_slice bytes)
{
	struct whole_file *f = link;
	return f->status == 413 ? HF_ETOOBIG : hf_buffer_append(&f->body, bytes.data, bytes.length);
}

static void file_end(void *link, int status)
{
	struct whole_file *f = link;
	struct hf_relay_response response = {.status = f->status, .fields = f->fields, .field_count = f->field_count,
		.body = hf_buffer_slice(&f->body)};
	if (status < 0 && f->link)
		respond_text(f->link, f->call, f->status == 413 ? 413 : 502, "{\"error\":\"the file cannot be read\"}");
	else if (f->link)
		hf_relay_channel_answer(f->link->channel, f->call, &response);
	if (f->link)
		HF_LIST_REMOVE(f->link->whole_files, f);
	hf_buffer_free(&f->body);
	free(f);
}

static const struct hf_worker_sink file_sink = {.head = file_head, .body = file_body, .end = file_end};

static void get_file(struct hf_worker_link *link, uint64_t call, const struct hf_relay_request *request)
{
	struct hf_worker_question question = {.path = hf_worker_without_query(request->path), .range = header(request, "range"),
		.if_none_match = header(request, "if-none-match"), .auth_token = header(request, "x-auth-token")};
	struct whole_file *f = calloc(1, sizeof *f);
	struct hf_worker_answer *answer;
	if (!f) {
		respond_text(link, call, 503, "{\"error\":\"out-of-memory\"}");
		return;
	}
	f->link = link;
	f->call = call;
	HF_LIST_PUSH(link->whole_files, f);
	hf_worker_answer(link->node, &question, &file_sink, f, &answer);
	if (answer)
		f->answer = answer;
}

void hf_worker_whole_files_forget(struct hf_worker_link *link)
{
	while (link->whole_files) {
		struct whole_file *f = link->whole_files;
		HF_LIST_REMOVE(link->whole_files, f);
		hf_worker_answer_cancel(f->answer);
		hf_buffer_free(&f->body);
		free(f);
	}
}

/* ---- The rest ---- */

static json_t *now_text(struct hf_worker_node *node)
{
	char text[40];
	time_t seconds = (time_t)hf_env_wall_s(node->env);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
	return json_string(text);
}

static json_t *key_text(const uint8_t key[static 32])
{
	char text[65] = {0};
	hf_hex_encode(text, key, 32);
	return json_string(text);
}

static json_t *relay_list(struct hf_worker_node *node)
{
	json_t *list = json_array();
	for (size_t i = 0; list && i < node->relay_count; i++) {
		const struct hf_worker_relay *relay = &node->relays[i];
		json_array_append_new(list, json_pack("{s:o, s:s, s:s, s:s}", "relayKey", key_text(relay->key), "publicIdentifier", relay->identifier,
			"name", relay->settings->name, "description", relay->settings->description));
	}
	return list;
}

static void get_relays(struct hf_worker_link *link, uint64_t call)
{
	hf_worker_respond_json(link, call, 200, json_pack("{s:o, s:I}", "relays", relay_list(link->node), "count",
		(json_int_t)link->node->relay_count));
}

static void get_health(struct hf_worker_link *link, uint64_t call)
{
	struct hf_worker_node *node = link->node;
	json_t *keys = json_array();
	for (size_t i = 0; keys && !link->is_guest && i < node->relay_count; i++) /* who has a bee's key can read all of it */
		json_array_append_new(keys, key_text(node->relays[i].key));
	hf_worker_respond_json(link, call, 200, json_pack("{s:s, s:I, s:{s:I, s:o}, s:{s:s}, s:{s:o}, s:o}", "status", "healthy", "uptime",
		(json_int_t)((hf_env_monotonic_us(node->env) - node->started_us) / 1000000), "activeRelays", "count", (json_int_t)node->relay_count,
		"keys", keys, "services", "relay", "active", "config", "publicKey", key_text(node->public_key), "timestamp", now_text(node)));
}

static size_t cut(struct hf_slice path, struct hf_slice segments[static SEGMENT_COUNT_MAX])
{
	size_t count = 0;
	while (path.length > 0 && count < SEGMENT_COUNT_MAX) {
		const uint8_t *slash = memchr(path.data, '/', path.length);
		size_t length = slash ? (size_t)(slash - path.data) : path.length;
		if (length > 0)
			segments[count++] = hf_slice(path.data, length);
		path = hf_slice(path.data + length + (slash != NULL), path.length - length - (slash != NULL));
	}
	return count;
}

static bool is(struct hf_slice segment, const char *text)
{
	return hf_slice_equal(segment, hf_slice_text(text));
}

/* POST /post/join/<relay>, where the relay may have a '/' in it, and POST /verify-ownership. */
static bool take_join(struct hf_worker_link *link, uint64_t call, const struct hf_relay_request *request, const struct hf_slice *s,
	size_t count)
{
	bool asks = count >= 3 && is(s[0], "post") && is(s[1], "join"), verifies = count == 1 && is(s[0], "verify-ownership");
	if (!link->node->takes_members || !is(request->method, "POST") || (!asks && !verifies))
		return false;
	if (asks)
		hf_worker_join_request(link, call, hf_slice(s[2].data, (size_t)(s[count - 1].data + s[count - 1].length - s[2].data)), request->body);
	else
		hf_worker_join_verify(link, call, request->body);
	return true;
}

void hf_worker_request(struct hf_worker_link *link, uint64_t call, const struct hf_relay_request *request)
{
	struct hf_slice s[SEGMENT_COUNT_MAX] = {{0}};
	size_t count = cut(hf_worker_without_query(request->path), s);
	bool is_post = is(request->method, "POST");
	struct hf_worker_node *node = link->node;
	if (!link->is_open || node->is_ending)
		respond_text(link, call, 503, "{\"error\":\"not-ready\"}");
	else if (take_join(link, call, request, s, count))
		return;
	else if (link->is_guest && !(count == 1 && is(s[0], "health")))
		respond_text(link, call, 403, "{\"error\":\"this worker serves its gateways\"}");
	else if (count == 3 && is(s[0], "post") && is(s[1], "relay") && is_post)
		post_relay(link, call, request, s[2]);
	else if (count == 4 && is(s[0], "get") && is(s[1], "relay") && !is_post)
		get_relay(link, call, request, s[2], s[3]);
	else if (count >= 2 && (is(s[0], "drive") || is(s[0], "pfp")) && !is_post)
		get_file(link, call, request);
	else if (count == 1 && is(s[0], "health"))
		get_health(link, call);
	else if (count == 1 && is(s[0], "relays"))
		get_relays(link, call);
	else if (count == 1 && is(s[0], "register"))
		hf_worker_respond_json(link, call, 200, json_pack("{s:s, s:o}", "status", "acknowledged", "timestamp", now_text(node)));
	else if (count == 1 && is(s[0], "identify-gateway") && is_post)
		hf_worker_respond_json(link, call, 200, json_pack("{s:s, s:o, s:o}", "status", "identified", "relayPublicKey", key_text(node->public_key),
			"timestamp", now_text(node)));
	else if (count >= 1 && is(s[0], "relay"))
		respond_text(link, call, 403, "{\"error\":\"relays are made by who runs this worker\"}");
	else
		respond_text(link, call, 404, "{\"error\":\"not-found\"}");
}
