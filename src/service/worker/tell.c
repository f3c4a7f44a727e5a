/* tell: tells relays where clients find ours: those of worker.discovery_relays, "gateway" among them for the relays of our gateways. Of
 * each relay that everybody may read, and each gateway that has it, one event of kind 30166 is published, signed with the relay's identity:
 * "d" is the address, "h" and "hypertuna" the identifier, as Hypertuna's clients look for them. It replaces the one before.
 *
 * One round at a time, one relay after another: connect, publish all, wait for each OK. A round is due when what there is to say is another
 * than before, and once in TELL_MS; what failed is tried again later each time. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "crypto/hash.h"
#include "crypto/schnorr.h"
#include "net/websocket.h"
#include "service/worker/internal.h"

#define TELL_MS 3600000u
#define LOOK_MS 5000u             /* for whether there is something else to say */
#define ANSWER_MS 10000u          /* that one relay has, from connecting on */
#define TARGET_COUNT_MAX 16u
#define EVENT_COUNT_MAX 64u
#define KIND 30166

static struct hf_log_module log_module = HF_LOG_MODULE("worker");

struct hf_worker_teller {
	struct hf_worker_node *node;
	struct hf_schnorr *schnorr;
	struct hf_websocket *ws;
	bool is_connecting, is_freed, is_in_round, has_failed;
	struct hf_timer timeout;
	char targets[TARGET_COUNT_MAX][HF_WORKER_URL_BYTES_MAX];
	size_t target_count, target_at;
	struct hf_buffer texts;       /* messages, one after another */
	size_t ends[EVENT_COUNT_MAX], event_count, answered_count;
	uint8_t digest[32];           /* of what was told in the last round that did not fail */
	uint64_t look_due_us, tell_due_us;
	uint32_t failures;
	struct hf_counter told, refused;
};

/* ---- What there is to say ---- */

int hf_worker_address(const struct hf_worker_gateway *g, const struct hf_worker_relay *relay, char out[static 2 * HF_WORKER_URL_BYTES_MAX])
{
	const char *base = g->base_url[0] ? g->base_url : g->url, *host = strstr(base, "://");
	const char *path = relay->settings->gateway_path[0] ? relay->settings->gateway_path : relay->identifier;
	if (!host)
		return HF_ENOTFOUND;
	size_t origin = (size_t)(host - base) + 3 + strcspn(host + 3, "/");
	size_t base_length = g->base_url[0] ? strlen(base) : origin;
	int length = snprintf(out, 2 * HF_WORKER_URL_BYTES_MAX, "%.*s/%s", (int)base_length, base, path + (path[0] == '/'));
	char *colon = path == relay->identifier ? strchr(out + base_length, ':') : NULL;
	if (colon)
		*colon = '/';
	return length > 0 && (size_t)length < 2 * HF_WORKER_URL_BYTES_MAX ? HF_OK : HF_ETOOBIG;
}

static int write_tags(const struct hf_worker_relay *relay, const char *address, struct hf_buffer *out)
{
	const char *const tags[][2] = {{"d", address}, {"hypertuna", relay->identifier}, {"h", relay->identifier}, {"i", "hypertuna:relay"}};
	int r = hf_buffer_append_text(out, "[");
	for (size_t i = 0; r == HF_OK && i < sizeof tags / sizeof *tags; i++) {
		r = hf_buffer_printf(out, "%s[\"%s\",", i > 0 ? "," : "", tags[i][0]);
		if (r == HF_OK)
			r = hf_json_append_string(out, hf_slice_text(tags[i][1]));
		if (r == HF_OK)
			r = hf_buffer_append_text(out, "]");
	}
	return r == HF_OK ? hf_buffer_append_text(out, "]") : r;
}

static int write_event(struct hf_worker_teller *t, size_t relay, struct hf_slice tags, struct hf_buffer *out)
{
	const struct hf_worker_draft draft = {.kind = KIND, .tags = tags};
	int r = hf_buffer_append_text(out, "[\"EVENT\",");
	if (r == HF_OK)
		r = hf_worker_sign_event(t->node, t->schnorr, relay, &draft, out);
	return r == HF_OK ? hf_buffer_append_text(out, "]") : r;
}

/* Each event's tags, and what they are about, to `said`; with messages, the events too. */
static int say_all(struct hf_worker_teller *t, struct hf_buffer *said, bool with_messages)
{
	struct hf_worker_node *node = t->node;
	char address[2 * HF_WORKER_URL_BYTES_MAX];
	int r = HF_OK;
	for (size_t i = 0; r == HF_OK && i < node->relay_count; i++)
		for (size_t k = 0; r == HF_OK && k < node->gateway_count; k++) {
			const struct hf_worker_gateway *g = &node->gateways[k];
			size_t before = said->length;
			if (node->relays[i].settings->token || g->is_free || !g->is_registered || hf_worker_address(g, &node->relays[i], address) < 0)
				continue;
			r = write_tags(&node->relays[i], address, said);
			if (r < 0 || !with_messages || t->event_count == EVENT_COUNT_MAX)
				continue;
			r = write_event(t, i, hf_slice(said->data + before, said->length - before), &t->texts);
			if (r == HF_OK)
				t->ends[t->event_count++] = t->texts.length;
		}
	return r;
}

static void add_target(struct hf_worker_teller *t, const char *url)
{
	for (size_t i = 0; i < t->target_count; i++)
		if (strcmp(t->targets[i], url) == 0)
			return;
	if (url[0] && t->target_count < TARGET_COUNT_MAX)
		snprintf(t->targets[t->target_count++], HF_WORKER_URL_BYTES_MAX, "%s", url);
}

static void list_targets(struct hf_worker_teller *t)
{
	struct hf_worker_node *node = t->node;
	t->target_count = 0;
	for (const char *list = node->options.config->worker_discovery_relays; *list;) {
		char one[HF_WORKER_URL_BYTES_MAX];
		size_t length = strcspn(list, ", ");
		snprintf(one, sizeof one, "%.*s", (int)length, list);
		if (strcmp(one, "gateway") != 0)
			add_target(t, one);
		for (size_t k = 0; strcmp(one, "gateway") == 0 && k < node->gateway_count; k++)
			if (!node->gateways[k].is_free && node->gateways[k].is_registered)
				add_target(t, node->gateways[k].url);
		list += length + strspn(list + length, ", ");
	}
}

/* ---- The round ---- */

static void next_target(struct hf_worker_teller *t);

static void end_round(struct hf_worker_teller *t)
{
	uint64_t now_us = hf_loop_now_us(t->node->loop);
	t->is_in_round = false;
	hf_buffer_free(&t->texts);
	t->failures = t->has_failed ? t->failures + 1 : 0;
	t->tell_due_us = now_us + (t->has_failed ? hf_worker_retry_ms(t->node, t->failures) : hf_worker_jitter(t->node, TELL_MS)) * 1000;
}

static void end_target(struct hf_worker_teller *t, const char *why)
{
	hf_loop_timer_cancel(t->node->loop, &t->timeout);
	if (why) {
		t->has_failed = true;
		hf_log_info(&log_module, "a relay was not told where ours are", "relay=%s reason=\"%s\"", t->targets[t->target_at], why);
	}
	t->target_at++;
	next_target(t);
}

static void on_message(void *context, struct hf_websocket *ws, bool is_text, struct hf_slice message)
{
	struct hf_worker_teller *t = context;
	json_t *frame = is_text && !t->is_freed ? json_loadb((const char *)message.data, message.length, JSON_ALLOW_NUL, NULL) : NULL;
	const char *type = json_string_value(json_array_get(frame, 0)), *reason = json_string_value(json_array_get(frame, 3));
	if (type && strcmp(type, "OK") == 0 && t->answered_count < t->event_count) {
		bool is_taken = json_is_true(json_array_get(frame, 2));
		hf_counter_add(is_taken ? &t->told : &t->refused, 1);
		if (!is_taken)
			hf_log_info(&log_module, "a relay does not take where ours are", "relay=%s reason=\"%.100s\"", t->targets[t->target_at],
				reason ? reason : "");
		if (++t->answered_count == t->event_count)
			hf_websocket_close(ws, 1000, "");
	}
	json_decref(frame);
}

static void on_closed(void *context, struct hf_websocket *ws, uint16_t code)
{
	struct hf_worker_teller *t = context;
	t->ws = NULL;
	if (t->is_freed)
		free(t);
	else
		end_target(t, t->answered_count == t->event_count ? NULL : "it did not answer");
}

static const struct hf_websocket_handler handler = {.message = on_message, .closed = on_closed};

static void on_opened(void *context, struct hf_websocket *ws, int status, const char *detail)
{
	struct hf_worker_teller *t = context;
	t->is_connecting = false;
	t->ws = ws;
	if (t->is_freed) {
		if (ws)
			hf_websocket_close(ws, 1001, ""); /* freed when it has closed */
		else
			free(t);
		return;
	}
	if (!ws) {
		end_target(t, detail);
		return;
	}
	for (size_t i = 0, begin = 0; i < t->event_count && t->ws; begin = t->ends[i++])
		hf_websocket_send_text(t->ws, hf_slice(t->texts.data + begin, t->ends[i] - begin));
}

/* While it connects, its own end is waited for. */
static void on_timeout(struct hf_timer *timer)
{
	struct hf_worker_teller *t = HF_CONTAINER_OF(timer, struct hf_worker_teller, timeout);
	if (t->ws)
		hf_websocket_close(t->ws, 1001, "");
}

static void next_target(struct hf_worker_teller *t)
{
	static const struct hf_websocket_limits limits = {0}; /* the defaults */
	if (t->target_at == t->target_count) {
		end_round(t);
		return;
	}
	t->answered_count = 0;
	t->is_connecting = true;
	hf_loop_timer_set(t->node->loop, &t->timeout, ANSWER_MS);
	if (hf_websocket_connect(t->node->loop, t->targets[t->target_at], NULL, &limits, &handler, t, on_opened) == HF_OK)
		return;
	t->is_connecting = false;
	end_target(t, "its address cannot be used");
}

void hf_worker_teller_tick(struct hf_worker_teller *t, uint64_t now_us)
{
	struct hf_buffer said = {0};
	uint8_t digest[32];
	if (!t || t->is_in_round || now_us < t->look_due_us)
		return;
	t->look_due_us = now_us + LOOK_MS * 1000;
	list_targets(t);
	int r = say_all(t, &said, false);
	for (size_t i = 0; r == HF_OK && i < t->target_count; i++)
		r = hf_buffer_append_text(&said, t->targets[i]);
	hf_blake2b(digest, sizeof digest, hf_slice(NULL, 0), hf_buffer_slice(&said));
	bool is_due = now_us >= t->tell_due_us || (t->failures == 0 && memcmp(digest, t->digest, sizeof digest) != 0);
	if (r == HF_OK && is_due && t->target_count > 0) {
		hf_buffer_clear(&said);
		hf_buffer_clear(&t->texts); /* of a round for which there was no memory */
		t->event_count = 0;
		r = say_all(t, &said, true);
		if (r == HF_OK && t->event_count > 0) {
			memcpy(t->digest, digest, sizeof digest);
			t->is_in_round = true;
			t->has_failed = false;
			t->target_at = 0;
			next_target(t);
		}
	}
	hf_buffer_free(&said);
}

/* ---- Life ---- */

int hf_worker_teller_new(struct hf_worker_teller **out, struct hf_worker_node *node, struct hf_failure *failure)
{
	static const char name[] = "holdfast_worker_told_total", help[] = "Answers of relays that were told where ours are";
	const char *list = node->options.config->worker_discovery_relays;
	*out = NULL;
	if (!list[0] || !node->options.identity_keys)
		return HF_OK;
	while (*list) {
		char one[HF_WORKER_URL_BYTES_MAX];
		size_t length = strcspn(list, ", ");
		snprintf(one, sizeof one, "%.*s", (int)length, list);
		if (length >= sizeof one || (length > 0 && strcmp(one, "gateway") != 0 && !hf_announcement_url_is_good(one, true)))
			return hf_fail(failure, HF_EINVAL, "worker.discovery_relays has \"%.80s\", which is no address of a relay: write wss://host, or "
				"gateway for the gateways' own relays.", one);
		list += length + strspn(list + length, ", ");
	}
	struct hf_worker_teller *t = calloc(1, sizeof *t);
	if (!t || hf_schnorr_new(&t->schnorr, node->env, 0) < 0) {
		free(t);
		return hf_fail(failure, HF_ENOMEM, "The worker cannot start: %s.", hf_error_text(HF_ENOMEM));
	}
	t->node = node;
	t->timeout.fire = on_timeout;
	t->tell_due_us = UINT64_MAX;
	if (node->options.metrics) {
		hf_counter_register(node->options.metrics, &t->told, name, "result=\"ok\"", help);
		hf_counter_register(node->options.metrics, &t->refused, name, "result=\"refused\"", help);
	}
	*out = t;
	return HF_OK;
}

void hf_worker_teller_free(struct hf_worker_teller *t)
{
	if (!t)
		return;
	hf_loop_timer_cancel(t->node->loop, &t->timeout);
	if (t->node->options.metrics) {
		hf_metric_unregister(t->node->options.metrics, &t->told.link);
		hf_metric_unregister(t->node->options.metrics, &t->refused.link);
	}
	hf_buffer_free(&t->texts);
	hf_schnorr_free(t->schnorr);
	t->is_freed = true;
	if (t->ws)
		hf_websocket_close(t->ws, 1001, "");
	else if (!t->is_connecting)
		free(t);
}
