/* post: an event of ours, or that somebody brought us, is stored in one of our relays: by a connection of its own, which the relay gives no
 * say to what its policy says of authors. The signature is checked as of any event. What became of it is told in the deferred round. */
#include "service/worker/internal.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "codec/hex.h"
#include "crypto/hash.h"

struct hf_worker_post {
	struct hf_worker_post *next, *previous;
	struct hf_worker_node *node;
	struct hf_relay_connection *connection;
	struct hf_loop_deferred settle;
	hf_worker_posted *done;
	void *context;
	int status;
	char reason[HF_WORKER_REASON_BYTES];
	bool is_over;
};

static void end_post(struct hf_worker_post *p)
{
	hf_worker_posted *done = p->done;
	void *context = p->context;
	char reason[HF_WORKER_REASON_BYTES];
	int status = p->is_over ? p->status : HF_ECLOSED;
	snprintf(reason, sizeof reason, "%s", p->reason);
	HF_LIST_REMOVE(p->node->posts, p);
	p->node->post_count--;
	hf_loop_cancel_deferred(p->node->loop, &p->settle);
	hf_relay_connection_closed(p->connection);
	free(p);
	done(context, status, reason);
}

static void settle(struct hf_loop_deferred *deferred)
{
	end_post(HF_CONTAINER_OF(deferred, struct hf_worker_post, settle));
}

static void conclude(struct hf_worker_post *p, int status, const char *reason)
{
	if (p->is_over)
		return;
	p->is_over = true;
	p->status = status;
	snprintf(p->reason, sizeof p->reason, "%s", reason);
	hf_loop_defer(p->node->loop, &p->settle);
}

/* ---- What the relay says ---- */

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static int status_of(bool is_taken, const char *reason)
{
	if (is_taken)
		return begins(reason, "duplicate:") ? HF_EDUPLICATE : HF_OK;
	return begins(reason, "invalid:") ? HF_EMALFORMED : begins(reason, "error:") || begins(reason, "rate-limited:") ? HF_EBUSY : HF_EDENIED;
}

static int take_text(void *link, struct hf_slice text)
{
	struct hf_worker_post *p = link;
	json_t *frame = json_loadb((const char *)text.data, text.length, JSON_ALLOW_NUL, NULL);
	const char *type = json_string_value(json_array_get(frame, 0)), *reason = json_string_value(json_array_get(frame, 3));
	if (type && strcmp(type, "OK") == 0)
		conclude(p, status_of(json_is_true(json_array_get(frame, 2)), reason ? reason : ""), reason ? reason : "");
	else if (type && strcmp(type, "NOTICE") == 0)
		conclude(p, HF_EMALFORMED, "invalid: it is no event");
	else if (!frame)
		conclude(p, HF_EBUSY, "error: out of memory"); /* no other answer comes */
	json_decref(frame);
	return HF_OK;
}

static int take_shared(void *link, struct hf_websocket_message *message)
{
	return take_text(link, hf_websocket_message_payload(message));
}

static size_t room(void *link)
{
	return HF_EVENT_BYTES_MAX;
}

/* There is one event, and nothing after it. */
static void pause_or_resume(void *link)
{
}

static void take_close(void *link, uint16_t code, const char *reason)
{
	conclude(link, HF_ECLOSED, reason);
}

static const struct hf_relay_transport transport = {.send_shared = take_shared, .send_text = take_text, .room = room,
	.pause = pause_or_resume, .resume = pause_or_resume, .close = take_close};

/* ---- Beginning, ending ---- */

int hf_worker_post(struct hf_worker_node *node, struct hf_worker_relay *relay, struct hf_slice event, hf_worker_posted *done,
	void *context)
{
	struct hf_buffer message = {0};
	struct hf_relay_client client = {.transport = &transport, .source = HF_SOURCE_PUBLIC, .speaks_for_relay = true};
	if (node->post_count >= HF_WORKER_POST_COUNT_MAX || node->is_ending)
		return node->is_ending ? HF_ECLOSED : HF_EBUSY;
	struct hf_worker_post *p = calloc(1, sizeof *p);
	int r = p ? hf_buffer_printf(&message, "[\"EVENT\",%.*s]", (int)event.length, (const char *)event.data) : HF_ENOMEM;
	if (r == HF_OK) {
		*p = (struct hf_worker_post){.node = node, .settle = {.run = settle}, .done = done, .context = context};
		client.link = p;
		r = hf_relay_connect(relay->relay, &client, &p->connection);
	}
	if (r < 0) {
		hf_buffer_free(&message);
		free(p);
		return r;
	}
	HF_LIST_PUSH(node->posts, p);
	node->post_count++;
	hf_relay_connection_message(p->connection, true, hf_buffer_slice(&message));
	hf_relay_connection_read_end(p->connection);
	hf_buffer_free(&message);
	return HF_OK;
}

void hf_worker_posts_end(struct hf_worker_node *node)
{
	while (node->posts)
		end_post(node->posts);
}

/* ---- Events of our own ---- */

int hf_worker_sign_event(struct hf_worker_node *node, struct hf_schnorr *schnorr, size_t relay, const struct hf_worker_draft *draft,
	struct hf_buffer *out)
{
	struct hf_buffer text = {0};
	uint8_t id[32], signature[HF_SCHNORR_SIGNATURE_BYTES];
	char id_hex[65] = {0}, author[65] = {0}, signature_hex[2 * HF_SCHNORR_SIGNATURE_BYTES + 1] = {0};
	unsigned long long now_s = hf_env_wall_s(node->env);
	hf_hex_encode(author, hf_relay_identity(node->relays[relay].relay), 32);
	int r = hf_buffer_printf(&text, "[0,\"%s\",%llu,%u,%.*s,\"\"]", author, now_s, draft->kind, (int)draft->tags.length,
		(const char *)draft->tags.data);
	if (r == HF_OK) {
		hf_sha256(id, hf_buffer_slice(&text));
		r = hf_schnorr_sign(schnorr, signature, id, node->options.identity_keys[relay].data);
	}
	hf_buffer_free(&text);
	if (r < 0)
		return r;
	hf_hex_encode(id_hex, id, sizeof id);
	hf_hex_encode(signature_hex, signature, sizeof signature);
	return hf_buffer_printf(out,
		"{\"id\":\"%s\",\"pubkey\":\"%s\",\"created_at\":%llu,\"kind\":%u,\"tags\":%.*s,\"content\":\"\",\"sig\":\"%s\"}",
		id_hex, author, now_s, draft->kind, (int)draft->tags.length, (const char *)draft->tags.data, signature_hex);
}
