/* NIP-42 through the gateway. The challenge is the session's own, drawn here and given to each worker that gets the session, so that a
 * client's answer is good at the next one, too: clients answer once for a connection and are not to be asked again (nostr-tools never
 * answers a second time). What was answered is said again to a new worker before anything else is. Where that does not take it (it is too
 * old by then), the client is asked anew. */
#include "service/gateway/front_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/hex.h"

struct auth {
	struct auth *next;
	uint8_t id[32];
	bool is_told;    /* the client knows what became of it */
	bool is_waited_for;
	uint32_t length;
	uint8_t message[];
};

struct hf_front_auths {
	struct hf_front_session *session;
	struct auth *first;
	uint32_t count, waiting_count; /* waiting: for what a new worker says to what is said again */
	size_t bytes;
	struct hf_timer timer;
};

static void drop(struct hf_front_auths *auths, struct auth **at)
{
	struct auth *auth = *at;
	*at = auth->next;
	auths->count--;
	auths->bytes -= sizeof *auth + auth->length;
	auths->waiting_count -= auth->is_waited_for;
	free(auth);
}

/* The new worker has said all, or says nothing: what waited goes out. */
static void go_on(struct hf_front_auths *auths)
{
	hf_loop_timer_cancel(auths->session->front->options.loop, &auths->timer);
	for (struct auth *auth = auths->first; auth; auth = auth->next)
		auth->is_waited_for = false;
	auths->waiting_count = 0;
	hf_front_items_dispatch(auths->session);
}

static void on_timer(struct hf_timer *timer)
{
	go_on(HF_CONTAINER_OF(timer, struct hf_front_auths, timer));
}

static struct hf_front_auths *auths_of(struct hf_front_session *s)
{
	if (!s->auths && (s->auths = calloc(1, sizeof *s->auths))) {
		s->auths->session = s;
		s->auths->timer.fire = on_timer;
	}
	return s->auths;
}

static int note(struct hf_front_session *s, const struct hf_nostr_frame *frame, struct hf_slice message)
{
	struct hf_front_auths *auths = auths_of(s);
	struct auth *auth = auths ? calloc(1, sizeof *auth + message.length) : NULL, **end;
	if (!auth)
		return HF_ENOMEM;
	if (auths->count == HF_FRONT_AUTH_COUNT_MAX)
		drop(auths, &auths->first); /* as the relay does it */
	memcpy(auth->id, frame->event_id, sizeof auth->id);
	auth->length = (uint32_t)message.length;
	memcpy(auth->message, message.data, message.length);
	for (end = &auths->first; *end; end = &(*end)->next)
		continue;
	*end = auth;
	auths->count++;
	auths->bytes += sizeof *auth + auth->length;
	return HF_OK;
}

void hf_front_auth_take(struct hf_front_session *s, const struct hf_nostr_frame *frame, struct hf_slice message)
{
	bool is_noted = frame->has_event && message.length <= HF_FRONT_AUTH_BYTES_MAX;
	if (is_noted && note(s, frame, message) < 0)
		hf_front_session_close(s, 1011, "Internal error"); /* what a worker says to it would not find its way */
	else if (s->stream)
		hf_front_session_post(s, message);
}

bool hf_front_auth_holds(const struct hf_front_session *s)
{
	return s->auths && s->auths->waiting_count > 0;
}

void hf_front_auth_repeat(struct hf_front_session *s)
{
	struct hf_front_auths *auths = s->auths;
	if (!auths)
		return;
	auths->waiting_count = 0;
	for (struct auth *auth = auths->first; auth; auth = auth->next) {
		auth->is_waited_for = true;
		auths->waiting_count++;
	}
	if (auths->waiting_count > 0)
		hf_loop_timer_set(s->front->options.loop, &auths->timer, HF_FRONT_AUTH_WAIT_MS);
	for (struct auth *auth = auths->first; auth && s->stream; auth = auth->next)
		hf_front_session_post(s, hf_slice(auth->message, auth->length));
}

static int append_challenge(struct hf_front_session *s, struct hf_buffer *out)
{
	char hex[2 * sizeof s->challenge + 1] = "";
	hf_hex_encode(hex, s->challenge, sizeof s->challenge);
	return hf_nostr_append_auth(out, hex);
}

/* A worker has another challenge where it does not know that the session has one: then the client is to answer that. */
void hf_front_auth_challenged(struct hf_front_session *s, struct hf_slice message)
{
	struct hf_buffer own = {0};
	append_challenge(s, &own);
	bool is_own = hf_slice_equal(hf_buffer_slice(&own), message);
	if (!is_own || !s->has_challenged)
		hf_websocket_send_text(s->ws, message);
	s->has_challenged |= is_own;
	hf_buffer_free(&own);
}

bool hf_front_auth_answered(struct hf_front_session *s, const struct hf_nostr_frame *frame, struct hf_slice message)
{
	struct hf_front_auths *auths = s->auths;
	struct auth **at = auths ? &auths->first : NULL;
	while (at && *at && memcmp((*at)->id, frame->event_id, 32) != 0)
		at = &(*at)->next;
	if (!at || !*at)
		return false;
	struct auth *auth = *at;
	bool was_told = auth->is_told, was_waited_for = auth->is_waited_for;
	if (!was_told)
		hf_websocket_send_text(s->ws, message);
	auth->is_told = true;
	auth->is_waited_for = false;
	auths->waiting_count -= was_waited_for;
	if (!frame->is_accepted)
		drop(auths, at);
	if (!frame->is_accepted && was_told)
		hf_front_session_say(s, append_challenge(s, &s->front->scratch));
	if (was_waited_for && auths->waiting_count == 0)
		go_on(auths);
	return true;
}

size_t hf_front_auth_bytes(const struct hf_front_session *s)
{
	return s->auths ? sizeof *s->auths + s->auths->bytes : 0;
}

void hf_front_auth_free(struct hf_front_session *s)
{
	struct hf_front_auths *auths = s->auths;
	if (!auths)
		return;
	hf_loop_timer_cancel(s->front->options.loop, &auths->timer);
	while (auths->first)
		drop(auths, &auths->first);
	free(auths);
	s->auths = NULL;
}
