/* policy: what is refused by looking at the event and at who sends it, before a signature is checked. */
#include "service/relay/internal.h"

#include <stdio.h>

#include "codec/hex.h"

#define KIND_AUTH 22242

int hf_relay_policy_set(struct hf_relay_policy *policy, struct hf_env *env, const struct hf_config *config,
	const struct hf_config_relay *settings, struct hf_failure *failure)
{
	struct hf_relay_policy new = {
		.limits = {.event_bytes_max = settings->event_bytes_max, .filter_count_max = (uint32_t)settings->filters_max,
			.filter_items_max = (uint32_t)settings->filter_items_max},
		.subscriptions_max = (uint32_t)settings->subscriptions_max,
		.in_flight_max = (uint32_t)settings->in_flight_max,
		.ingest_queue_max = (uint32_t)config->ingest_queue_max,
		.limit_max = settings->limit_max,
		.created_at_ahead_s = settings->created_at_ahead_ms / 1000,
		.query_timeout_us = settings->query_timeout_ms * 1000,
		.sweep_interval_ms = settings->sweep_interval_ms,
		.auth_window_s = settings->auth_window_ms / 1000,
		.auth = settings->auth,
		.private_reads = settings->private_reads,
	};
	if (strlen(settings->public_url) >= sizeof new.public_url)
		return hf_fail(failure, HF_ETOOBIG, "relay.public_url is longer than %zu characters.", sizeof new.public_url - 1);
	snprintf(new.public_url, sizeof new.public_url, "%s", settings->public_url);
	int r = hf_relay_writers_new(&new.writers, env, settings, failure);
	if (r == HF_OK)
		*policy = new;
	return r;
}

/* ---- Members ---- */

/* Where the key is, or would be. */
static size_t member_place(const struct hf_relay *relay, const uint8_t key[static 32], bool *is_there)
{
	size_t low = 0, high = relay->members.length / 32;
	*is_there = false;
	while (low < high && !*is_there) {
		size_t middle = low + (high - low) / 2;
		int order = memcmp(relay->members.data + middle * 32, key, 32);
		*is_there = order == 0;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return high;
}

int hf_relay_add_member(struct hf_relay *relay, const uint8_t key[static 32])
{
	struct hf_buffer *members = &relay->members;
	bool is_there;
	size_t at = member_place(relay, key, &is_there) * 32, length = members->length;
	if (is_there)
		return HF_OK;
	if (length / 32 >= HF_RELAY_MEMBER_COUNT_MAX)
		return HF_ETOOBIG;
	int r = hf_buffer_append(members, key, 32);
	if (r < 0)
		return r;
	memmove(members->data + at + 32, members->data + at, length - at);
	memcpy(members->data + at, key, 32);
	return HF_OK;
}

bool hf_relay_lists(const struct hf_relay *relay, const uint8_t key[static 32])
{
	return !hf_relay_writers_is_open(relay->policy.writers) && !hf_relay_writers_refuse(relay->policy.writers, key);
}

static const char *refuse_author(const struct hf_relay *relay, const uint8_t key[static 32])
{
	const char *refusal = hf_relay_writers_refuse(relay->policy.writers, key);
	bool is_member = false;
	if (refusal && hf_relay_writers_is_of_members(relay->policy.writers))
		member_place(relay, key, &is_member);
	return is_member ? NULL : refusal;
}

/* ---- Events ---- */

static bool has_key(const struct hf_relay_auth *auth, const uint8_t key[static 32])
{
	for (uint32_t i = 0; auth && i < auth->key_count; i++)
		if (memcmp(auth->keys[i], key, 32) == 0)
			return true;
	return false;
}

const char *hf_relay_policy_refuses(const struct hf_relay *relay, const struct hf_relay_connection *c, const struct hf_event *event)
{
	uint64_t now_s = hf_env_wall_s(relay->env);
	if (event->kind == KIND_AUTH)
		return "invalid: kind 22242 is for AUTH messages and never stored";
	if (event->created_at > now_s + relay->policy.created_at_ahead_s)
		return "invalid: created_at is too far in the future";
	if (hf_event_expiration(event) <= now_s)
		return "invalid: the event has expired";
	const char *refusal = c->speaks_for_relay ? NULL : refuse_author(relay, event->pubkey);
	if (refusal)
		return refusal;
	if (hf_event_is_protected(event) && !has_key(c->auth, event->pubkey))
		return c->auth ? "restricted: a protected event is taken from its author only"
			: "auth-required: a protected event is taken from its author only";
	return NULL;
}

bool hf_relay_auth_is_involved(const struct hf_relay_auth *auth, const struct hf_event *event)
{
	if (!auth || has_key(auth, event->pubkey))
		return auth != NULL;
	struct hf_tag tag;
	size_t cursor = 0;
	uint8_t key[32];
	while (hf_event_next_tag(event, &cursor, &tag))
		if (tag.letter == 'p' && tag.value.length == 64 && hf_hex_decode(key, tag.value.data, 32) && has_key(auth, key))
			return true;
	return false;
}

bool hf_relay_auth_is_involved_payload(const struct hf_relay_auth *auth, const struct hf_event *head, struct hf_slice payload)
{
	if (!auth || has_key(auth, head->pubkey))
		return auth != NULL;
	for (uint32_t i = 0; i < auth->key_count; i++) {
		char hex[64];
		hf_hex_encode(hex, auth->keys[i], 32);
		if (hf_event_payload_has_tag(payload, 'p', hf_slice(hex, sizeof hex)))
			return true;
	}
	return false;
}

bool hf_relay_policy_only_private(const struct hf_filter *filters, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (filters[i].kind_count == 0)
			return false;
		for (uint32_t k = 0; k < filters[i].kind_count; k++)
			if (!hf_relay_kind_is_private(filters[i].kinds[k]))
				return false;
	}
	return true;
}
