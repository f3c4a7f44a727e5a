/* join: strangers who want to be members of our relays. (Gateway specification, section 1.9) A request is an event of kind 9021, whose
 * signature is checked, as of any event, when the relay stores it; until then it says nothing about whose it is. An open relay answers
 * with a challenge, and who meets it is a member: with a token, on the relay's list, told of in an event of kind 9000. A closed relay does
 * so for those whom its configuration lists; the others' requests wait in the relay for its owner.
 *
 * What the deployed joiners need beside that, the variant of the cipher, is taken with compatibility.hypertuna only; and only then does the
 * event of kind 9000 have the token in it, where they look for it.
 *
 * One event is good for one challenge: it lies in the relay, where others could take it from. Where a relay asks for tokens, the last
 * answer waits a moment for one that the gateway issues, which is what the new member shows to the gateway. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "codec/hex.h"
#include "service/json_hex.h"
#include "service/worker/internal.h"
#include "service/worker/join_message.h"

#define KIND_PUT_USER 9000
#define EVENT_BYTES_MAX 4096u /* of what a stranger has stored here */
#define GUEST_REQUESTS_PER_MINUTE 10u
#define GUESTS_REQUESTS_PER_MINUTE 120u /* of all guests together: they may come again under other keys */
#define GATEWAY_REQUESTS_PER_MINUTE 120u
#define GATEWAY_TOKEN_WAIT_US UINT64_C(5000000)

static struct hf_log_module log_module = HF_LOG_MODULE("worker");

/* A request whose event is on its way into the relay. */
struct hf_worker_joining {
	struct hf_worker_joining *next, *previous;
	struct hf_worker_node *node;
	struct hf_worker_link *link; /* NULL: it has gone */
	uint64_t call;
	struct hf_challenge_owner owner;
};

/* A new member whose answer waits for a gateway's token. */
struct hf_worker_joined {
	struct hf_worker_joined *next, *previous;
	struct hf_worker_link *link;
	uint64_t call, deadline_us;
	size_t relay;
	uint8_t pubkey[32];
	char token[HF_WORKER_MEMBER_TOKEN_BYTES];
};

/* ---- Answers ---- */

/* To nobody, when the link has gone meanwhile. */
static void answer(struct hf_worker_link *link, uint64_t call, int status, json_t *value)
{
	if (link && link->channel)
		hf_worker_respond_json(link, call, status, value);
	else
		json_decref(value);
}

static void refuse(struct hf_worker_link *link, uint64_t call, int status, const char *error)
{
	if (link)
		hf_counter_add(&link->node->stats.joins_refused, 1);
	answer(link, call, status, json_pack("{s:s}", "error", error));
}

static bool count_in(struct hf_worker_join_rate *rate, uint64_t now_us, uint32_t count_max)
{
	if (now_us >= rate->minute_us + 60000000 || rate->minute_us == 0)
		*rate = (struct hf_worker_join_rate){.minute_us = now_us};
	return ++rate->count <= count_max;
}

/* A few requests a minute, of all that a peer asks here, and of all guests. */
static bool may_ask(struct hf_worker_link *link, uint64_t call)
{
	uint64_t now_us = hf_loop_now_us(link->node->loop);
	bool is_in = count_in(&link->join_rate, now_us, link->gateway ? GATEWAY_REQUESTS_PER_MINUTE : GUEST_REQUESTS_PER_MINUTE) &&
		(link->gateway || count_in(&link->node->join_rate, now_us, GUESTS_REQUESTS_PER_MINUTE));
	if (!is_in)
		refuse(link, call, 429, "Too many requests");
	return is_in;
}

/* Who has got so far may stay for the rest. */
static void keep_guest(struct hf_worker_link *link)
{
	if (link && link->is_guest)
		link->guest_until_us = hf_loop_now_us(link->node->loop) + HF_WORKER_GUEST_IDLE_US;
}

/* ---- The request ---- */

static void give_challenge(struct hf_worker_joining *j, const struct hf_challenge *challenge)
{
	const struct hf_worker_relay *relay = &j->node->relays[j->owner.relay];
	keep_guest(j->link);
	answer(j->link, j->call, 200, json_pack("{s:s, s:o, s:s}", "challenge", challenge->text, "relayPubkey",
		hf_json_hex(hf_relay_identity(relay->relay), 32), "cipher", "aes-256-cbc"));
}

static bool gets_challenge(const struct hf_worker_relay *relay, const uint8_t pubkey[static 32])
{
	return strcmp(relay->settings->join, "open") == 0 || hf_relay_lists(relay->relay, pubkey);
}

static void on_stored(struct hf_worker_joining *j)
{
	struct hf_worker_node *node = j->node;
	const struct hf_challenge *challenge;
	if (!gets_challenge(&node->relays[j->owner.relay], j->owner.pubkey)) {
		hf_counter_add(&node->stats.joins_pending, 1);
		answer(j->link, j->call, 200, json_pack("{s:s}", "status", "pending"));
	} else if (hf_challenges_give(node->challenges, &j->owner, hf_loop_now_us(node->loop), &challenge) == HF_OK) {
		give_challenge(j, challenge);
	} else {
		refuse(j->link, j->call, 503, "Too many requests");
	}
}

/* It is in the relay already. Who sent it may not have heard the answer; or it is somebody else's, from the relay. */
static void on_known(struct hf_worker_joining *j)
{
	struct hf_worker_node *node = j->node;
	const struct hf_challenge *challenge = hf_challenges_given(node->challenges, &j->owner, hf_loop_now_us(node->loop));
	if (!gets_challenge(&node->relays[j->owner.relay], j->owner.pubkey))
		answer(j->link, j->call, 200, json_pack("{s:s}", "status", "pending"));
	else if (challenge)
		give_challenge(j, challenge);
	else
		refuse(j->link, j->call, 409, "This request was made before; sign a new one");
}

static void on_posted(void *context, int status, const char *reason)
{
	struct hf_worker_joining *j = context;
	if (!j->node->is_ending && status == HF_OK)
		on_stored(j);
	else if (!j->node->is_ending && status == HF_EDUPLICATE)
		on_known(j);
	else
		refuse(j->link, j->call, status == HF_EMALFORMED ? 400 : status == HF_EDENIED ? 403 : 503, reason[0] ? reason : "Internal error");
	HF_LIST_REMOVE(j->node->joinings, j);
	free(j);
}

static bool is_for(struct hf_worker_node *node, const struct hf_worker_relay *relay, const struct hf_event *event)
{
	struct hf_slice value;
	return hf_event_find_tag(event, "h", &value) && hf_worker_find_relay(node, value) == relay;
}

static bool is_fresh(struct hf_worker_node *node, const struct hf_worker_relay *relay, const struct hf_event *event)
{
	uint64_t now_s = hf_env_wall_s(node->env), window_s = relay->settings->auth_window_ms / 1000;
	return event->created_at + window_s >= now_s && event->created_at <= now_s + window_s;
}

static int post_request(struct hf_worker_link *link, uint64_t call, struct hf_worker_relay *relay, const struct hf_event *event)
{
	struct hf_worker_node *node = link->node;
	struct hf_buffer text = {0};
	struct hf_worker_joining *j = calloc(1, sizeof *j);
	int r = j ? hf_event_to_json(event, &text) : HF_ENOMEM;
	if (r == HF_OK) {
		*j = (struct hf_worker_joining){.node = node, .link = link, .call = call, .owner = {.relay = (size_t)(relay - node->relays)}};
		memcpy(j->owner.pubkey, event->pubkey, 32);
		memcpy(j->owner.event_id, event->id, 32);
		memcpy(j->owner.peer, link->peer, 32);
		HF_LIST_PUSH(node->joinings, j);
		r = hf_worker_post(node, relay, hf_buffer_slice(&text), on_posted, j);
		if (r < 0)
			HF_LIST_REMOVE(node->joinings, j);
	}
	if (r < 0)
		free(j);
	hf_buffer_free(&text);
	return r;
}

void hf_worker_join_request(struct hf_worker_link *link, uint64_t call, struct hf_slice name, struct hf_slice body)
{
	struct hf_worker_node *node = link->node;
	struct hf_worker_relay *relay = hf_worker_find_relay(node, name);
	struct hf_join_request request = {0};
	const char *refusal = "Too large";
	if (!may_ask(link, call))
		return;
	if (!relay || !relay->settings->join[0]) {
		refuse(link, call, 404, "Relay not found");
		return;
	}
	int r = body.length > EVENT_BYTES_MAX ? HF_ETOOBIG : hf_join_request_parse(&request, body, &refusal);
	if (r < 0)
		refuse(link, call, r == HF_ETOOBIG ? 413 : r == HF_ENOMEM ? 503 : 400, r == HF_ETOOBIG ? "Too large" : refusal);
	else if (!is_for(node, relay, &request.event))
		refuse(link, call, 400, "The event is about another relay");
	else if (!is_fresh(node, relay, &request.event))
		refuse(link, call, 400, "The event is too old, or of the future");
	else if (post_request(link, call, relay, &request.event) < 0)
		refuse(link, call, 503, "Too many requests");
	hf_join_request_free(&request);
}

/* ---- Who is in ---- */

static void on_told(void *context, int status, const char *reason)
{
	if (status < 0 && status != HF_ECLOSED)
		hf_log_warn(&log_module, "a relay was not told of its new member", "reason=\"%.100s\"", reason);
}

/* ["p", key, role], and for Hypertuna's the token. */
static int tell(struct hf_worker_node *node, size_t index, const struct hf_worker_member *member)
{
	struct hf_worker_relay *relay = &node->relays[index];
	struct hf_buffer tags = {0}, event = {0};
	char key[65] = {0};
	hf_hex_encode(key, member->pubkey, 32);
	int r = hf_buffer_append_text(&tags, "[[\"h\",");
	if (r == HF_OK)
		r = hf_json_append_string(&tags, hf_slice_text(relay->identifier));
	if (r == HF_OK)
		r = node->is_compatible ? hf_buffer_printf(&tags, "],[\"p\",\"%s\",\"member\",\"%s\"]]", key, member->token)
			: hf_buffer_printf(&tags, "],[\"p\",\"%s\",\"member\"]]", key);
	const struct hf_worker_draft draft = {.kind = KIND_PUT_USER, .tags = hf_buffer_slice(&tags)};
	if (r == HF_OK)
		r = hf_worker_sign_event(node, node->schnorr, index, &draft, &event);
	if (r == HF_OK)
		r = hf_worker_post(node, relay, hf_buffer_slice(&event), on_told, NULL);
	hf_buffer_free(&tags);
	hf_buffer_free(&event);
	return r;
}

/* What a gateway has issued for a new member. */
struct pass {
	const struct hf_worker_gateway *gateway;
	const char *token; /* NULL: none has, so far */
	bool is_coming;    /* one may do so yet */
};

/* Where the member finds the relay: at the gateway whose token he gets, else at the one that he came by, or any; empty where none is
 * known. */
static void append_url(struct hf_worker_link *link, size_t relay, const char *token, const struct pass *pass, struct hf_buffer *out)
{
	struct hf_worker_node *node = link->node;
	char address[2 * HF_WORKER_URL_BYTES_MAX] = "";
	const struct hf_worker_gateway *first = pass->token ? pass->gateway : link->gateway;
	int r = first ? hf_worker_address(first, &node->relays[relay], address) : HF_ENOTFOUND;
	for (size_t i = 0; r < 0 && !pass->token && i < node->gateway_count; i++)
		if (!node->gateways[i].is_free)
			r = hf_worker_address(&node->gateways[i], &node->relays[relay], address);
	if (r == HF_OK)
		hf_buffer_printf(out, "%s?token=%s", address, pass->token ? pass->token : token);
}

static void welcome(struct hf_worker_link *link, uint64_t call, size_t index, const char *token, const struct pass *pass)
{
	const struct hf_worker_relay *relay = &link->node->relays[index];
	struct hf_buffer url = {0};
	append_url(link, index, token, pass, &url);
	answer(link, call, 200, json_pack("{s:b, s:o, s:s, s:s, s:s%}", "success", 1, "relayKey", hf_json_hex(relay->key, 32),
		"publicIdentifier", relay->identifier, "authToken", token, "relayUrl", url.data ? (const char *)url.data : "", url.length));
	hf_buffer_free(&url);
}

static struct pass find_pass(struct hf_worker_node *node, size_t relay, const uint8_t pubkey[static 32])
{
	struct pass pass = {0};
	for (size_t i = 0; !pass.token && i < node->gateway_count; i++) {
		pass.gateway = &node->gateways[i];
		pass.token = pass.gateway->is_free ? NULL : hf_worker_grant_token(&node->gateways[i], &node->relays[relay], pubkey, &pass.is_coming);
	}
	return pass;
}

/* Answers at once, or when a gateway has given its token. */
static void welcome_later(struct hf_worker_link *link, uint64_t call, size_t relay, const struct hf_worker_member *member)
{
	struct hf_worker_node *node = link->node;
	const struct pass pass = find_pass(node, relay, member->pubkey);
	struct hf_worker_joined *w = !pass.token && pass.is_coming ? calloc(1, sizeof *w) : NULL;
	if (!w) {
		welcome(link, call, relay, member->token, &pass);
		return;
	}
	*w = (struct hf_worker_joined){.link = link, .call = call, .relay = relay,
		.deadline_us = hf_loop_now_us(node->loop) + GATEWAY_TOKEN_WAIT_US};
	memcpy(w->pubkey, member->pubkey, sizeof w->pubkey);
	memcpy(w->token, member->token, sizeof w->token);
	HF_LIST_PUSH(node->joined, w);
}

void hf_worker_join_tick(struct hf_worker_node *node, uint64_t now_us)
{
	if (node->challenges)
		hf_challenges_sweep(node->challenges, now_us);
	for (struct hf_worker_joined *w = node->joined, *next; w; w = next) {
		next = w->next;
		const struct pass pass = find_pass(node, w->relay, w->pubkey);
		if (!pass.token && pass.is_coming && w->deadline_us > now_us)
			continue;
		HF_LIST_REMOVE(node->joined, w);
		welcome(w->link, w->call, w->relay, w->token, &pass);
		free(w);
	}
}

/* ---- The answer to a challenge ---- */

static bool meets(struct hf_worker_node *node, const struct hf_challenge *challenge, const struct hf_join_proof *proof)
{
	uint8_t key[32];
	const struct hf_secret *secret = &node->options.identity_keys[challenge->owner.relay];
	bool is_met = hf_schnorr_shared_x(node->schnorr, key, secret->data, challenge->owner.pubkey) == HF_OK &&
		hf_join_proof_meets(proof, challenge->text, key, node->public_key, node->is_compatible);
	hf_wipe(key, sizeof key);
	return is_met;
}

static void let_in(struct hf_worker_link *link, uint64_t call, const struct hf_challenge_owner *owner)
{
	struct hf_worker_node *node = link->node;
	struct hf_worker_relay *relay = &node->relays[owner->relay];
	const struct hf_worker_member *member;
	int r = hf_worker_admit(node, relay, owner->pubkey, &member);
	if (r < 0) {
		refuse(link, call, 503, r == HF_ETOOBIG ? "The relay has as many members as it can" : "Internal error");
		return;
	}
	keep_guest(link);
	hf_counter_add(&node->stats.joins, 1);
	hf_log_info(&log_module, "somebody has joined a relay", "relay=%s member=%02x%02x%02x%02x…", relay->settings->instance, owner->pubkey[0],
		owner->pubkey[1], owner->pubkey[2], owner->pubkey[3]);
	if (tell(node, owner->relay, member) < 0)
		on_told(NULL, HF_EBUSY, "busy");
	for (size_t i = 0; i < node->gateway_count && relay->settings->token; i++)
		if (!node->gateways[i].is_free && hf_worker_rank_of(&node->gateways[i]) != HF_WORKER_VISITOR) /* which only says that it is one */
			hf_worker_grant_add(node, &node->gateways[i], relay, owner->pubkey);
	welcome_later(link, call, owner->relay, member);
}

void hf_worker_join_verify(struct hf_worker_link *link, uint64_t call, struct hf_slice body)
{
	struct hf_worker_node *node = link->node;
	struct hf_join_proof proof;
	if (!may_ask(link, call))
		return;
	int r = hf_join_proof_parse(&proof, body);
	if (r < 0) {
		refuse(link, call, r == HF_ETOOBIG ? 413 : 400, r == HF_ETOOBIG ? "Too large" : "Missing required fields");
		return;
	}
	const struct hf_challenge *challenge = node->challenges
		? hf_challenges_try(node->challenges, proof.pubkey, link->peer, hf_loop_now_us(node->loop)) : NULL;
	if (!challenge) {
		refuse(link, call, 400, "Challenge not found or expired");
	} else if (!meets(node, challenge, &proof)) {
		refuse(link, call, 400, "Challenge verification failed");
	} else {
		struct hf_challenge_owner owner = challenge->owner;
		hf_challenges_end(node->challenges, owner.pubkey);
		let_in(link, call, &owner);
	}
}

/* ---- Life ---- */

static int check_setting(const struct hf_config_relay *settings, struct hf_failure *failure)
{
	const char *join = settings->join;
	return !join[0] || strcmp(join, "open") == 0 || strcmp(join, "closed") == 0 ? HF_OK
		: hf_fail(failure, HF_EINVAL, "relay.join is \"%.80s\"; write open or closed, or leave it out.", join);
}

int hf_worker_join_open(struct hf_worker_node *node, struct hf_failure *failure)
{
	int r = HF_OK;
	for (size_t i = 0; r == HF_OK && i < node->relay_count; i++) {
		r = check_setting(node->relays[i].settings, failure);
		node->takes_members |= node->relays[i].settings->join[0] != '\0';
	}
	if (r == HF_OK && node->takes_members)
		r = hf_challenges_new(&node->challenges, node->env);
	if (r == HF_OK && node->takes_members)
		r = hf_schnorr_new(&node->schnorr, node->env, 0);
	return r == HF_OK ? hf_worker_members_load(node, failure) : r;
}

void hf_worker_join_forget(struct hf_worker_link *link)
{
	struct hf_worker_node *node = link->node;
	for (struct hf_worker_joining *j = node->joinings; j; j = j->next)
		if (j->link == link)
			j->link = NULL;
	for (struct hf_worker_joined *w = node->joined, *next; w; w = next) {
		next = w->next;
		if (w->link != link)
			continue;
		HF_LIST_REMOVE(node->joined, w);
		free(w);
	}
}

void hf_worker_join_free(struct hf_worker_node *node)
{
	hf_challenges_free(node->challenges);
	hf_schnorr_free(node->schnorr);
	hf_worker_members_free(node);
}
