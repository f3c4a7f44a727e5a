/* A map by key, and a list from the oldest to the newest, which is the order in which they expire. */
#include "service/worker/challenges.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "codec/hex.h"

struct entry {
	struct hf_challenge challenge; /* first */
	struct entry *next, *previous; /* next: older */
};

struct hf_challenges {
	struct hf_env *env;
	struct hf_map by_key;
	struct entry *newest, *oldest;
};

static struct hf_slice key_of(const uint8_t pubkey[static 32])
{
	return hf_slice(pubkey, 32);
}

static void unlink_entry(struct hf_challenges *c, struct entry *e)
{
	if (c->oldest == e)
		c->oldest = e->previous;
	HF_LIST_REMOVE(c->newest, e);
}

static void end_entry(struct hf_challenges *c, struct entry *e)
{
	hf_map_remove(&c->by_key, key_of(e->challenge.owner.pubkey));
	unlink_entry(c, e);
	free(e);
}

int hf_challenges_new(struct hf_challenges **out, struct hf_env *env)
{
	uint64_t seed;
	struct hf_challenges *c = calloc(1, sizeof *c);
	*out = c;
	if (!c)
		return HF_ENOMEM;
	env->random(env, &seed, sizeof seed);
	hf_map_init(&c->by_key, seed);
	c->env = env;
	return HF_OK;
}

void hf_challenges_free(struct hf_challenges *c)
{
	while (c && c->oldest)
		end_entry(c, c->oldest);
	if (c)
		hf_map_free(&c->by_key);
	free(c);
}

void hf_challenges_sweep(struct hf_challenges *c, uint64_t now_us)
{
	while (c->oldest && c->oldest->challenge.expires_us <= now_us)
		end_entry(c, c->oldest);
}

/* Beside the one that would be replaced. */
static size_t count_of_peer(const struct hf_challenges *c, const uint8_t peer[static 32], const struct entry *replaced)
{
	size_t count = 0;
	for (const struct entry *e = c->newest; e; e = e->next)
		count += e != replaced && memcmp(e->challenge.owner.peer, peer, 32) == 0;
	return count;
}

static int new_entry(struct hf_challenges *c, const uint8_t pubkey[static 32], struct entry **out)
{
	struct entry *e = c->by_key.count < HF_CHALLENGE_COUNT_MAX ? calloc(1, sizeof *e) : NULL;
	*out = e;
	if (!e)
		return c->by_key.count < HF_CHALLENGE_COUNT_MAX ? HF_ENOMEM : HF_EBUSY;
	memcpy(e->challenge.owner.pubkey, pubkey, 32);
	if (hf_map_put(&c->by_key, key_of(e->challenge.owner.pubkey), e, NULL) == HF_OK)
		return HF_OK;
	free(e);
	return HF_ENOMEM;
}

int hf_challenges_give(struct hf_challenges *c, const struct hf_challenge_owner *owner, uint64_t now_us, const struct hf_challenge **out)
{
	uint8_t bytes[HF_CHALLENGE_BYTES];
	hf_challenges_sweep(c, now_us);
	struct entry *e = hf_map_get(&c->by_key, key_of(owner->pubkey));
	if (count_of_peer(c, owner->peer, e) >= HF_CHALLENGE_PEER_COUNT_MAX)
		return HF_EBUSY;
	if (e) {
		unlink_entry(c, e);
	} else {
		int r = new_entry(c, owner->pubkey, &e);
		if (r < 0)
			return r;
	}
	e->challenge = (struct hf_challenge){.owner = *owner, .expires_us = now_us + HF_CHALLENGE_TTL_US};
	c->env->random(c->env, bytes, sizeof bytes);
	hf_hex_encode(e->challenge.text, bytes, sizeof bytes);
	HF_LIST_PUSH(c->newest, e);
	if (!c->oldest)
		c->oldest = e;
	*out = &e->challenge;
	return HF_OK;
}

static struct entry *find(const struct hf_challenges *c, const uint8_t pubkey[static 32], const uint8_t peer[static 32], uint64_t now_us)
{
	struct entry *e = hf_map_get(&c->by_key, key_of(pubkey));
	return e && e->challenge.expires_us > now_us && memcmp(e->challenge.owner.peer, peer, 32) == 0 ? e : NULL;
}

const struct hf_challenge *hf_challenges_given(const struct hf_challenges *c, const struct hf_challenge_owner *owner, uint64_t now_us)
{
	const struct entry *e = find(c, owner->pubkey, owner->peer, now_us);
	bool is_same = e && memcmp(e->challenge.owner.event_id, owner->event_id, 32) == 0 && e->challenge.owner.relay == owner->relay;
	return is_same ? &e->challenge : NULL;
}

const struct hf_challenge *hf_challenges_try(struct hf_challenges *c, const uint8_t pubkey[static 32], const uint8_t peer[static 32],
	uint64_t now_us)
{
	struct entry *e = find(c, pubkey, peer, now_us);
	if (e && ++e->challenge.attempt_count > HF_CHALLENGE_ATTEMPT_COUNT_MAX) {
		end_entry(c, e);
		e = NULL;
	}
	return e ? &e->challenge : NULL;
}

void hf_challenges_end(struct hf_challenges *c, const uint8_t pubkey[static 32])
{
	struct entry *e = hf_map_get(&c->by_key, key_of(pubkey));
	if (e)
		end_entry(c, e);
}

size_t hf_challenges_count(const struct hf_challenges *c)
{
	return c->by_key.count;
}
