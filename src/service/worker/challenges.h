/* challenges: what those who want to join a relay have yet to answer. One for each of their keys, bound to the peer that asked; it ends
 * after a while, with its last attempt, or with the answer. Without I/O. (Gateway specification, section 1.9)
 */
#ifndef HF_SERVICE_WORKER_CHALLENGES_H
#define HF_SERVICE_WORKER_CHALLENGES_H

#include "base/env.h"
#include "base/error.h"

#define HF_CHALLENGE_BYTES 32
#define HF_CHALLENGE_TEXT_BYTES (2 * HF_CHALLENGE_BYTES + 1)
#define HF_CHALLENGE_TTL_US UINT64_C(300000000)
#define HF_CHALLENGE_ATTEMPT_COUNT_MAX 5u
#define HF_CHALLENGE_COUNT_MAX 1024u
#define HF_CHALLENGE_PEER_COUNT_MAX 64u /* of them, that one peer has asked for */

struct hf_challenges;

/* For whom, where, and by what. */
struct hf_challenge_owner {
	uint8_t pubkey[32];
	uint8_t peer[32];     /* the key of the connection that it is to be answered on */
	uint8_t event_id[32]; /* of the request, which is good for one challenge */
	size_t relay;
};
struct hf_challenge {
	struct hf_challenge_owner owner;
	char text[HF_CHALLENGE_TEXT_BYTES]; /* small hex digits */
	uint64_t expires_us;                /* monotonic */
	unsigned attempt_count;
};

/* env gives random bytes; borrowed until free. HF_ENOMEM. */
int hf_challenges_new(struct hf_challenges **out, struct hf_env *env);
void hf_challenges_free(struct hf_challenges *challenges); /* NULL is fine */

/* Draws one, in place of what the same key had. *out is good until the next call. HF_EBUSY: there are too many, in all or of this peer;
 * HF_ENOMEM. */
int hf_challenges_give(struct hf_challenges *challenges, const struct hf_challenge_owner *owner, uint64_t now_us,
	const struct hf_challenge **out);
/* What this very request was given before, if it is still to be answered; else NULL. */
const struct hf_challenge *hf_challenges_given(const struct hf_challenges *challenges, const struct hf_challenge_owner *owner,
	uint64_t now_us);
/* An attempt to answer: counts it. NULL: there is none, of this peer, or it has expired, or was tried too often, with which it ends. */
const struct hf_challenge *hf_challenges_try(struct hf_challenges *challenges, const uint8_t pubkey[static 32],
	const uint8_t peer[static 32], uint64_t now_us);
/* It was answered. */
void hf_challenges_end(struct hf_challenges *challenges, const uint8_t pubkey[static 32]);
/* Ends those that have expired. */
void hf_challenges_sweep(struct hf_challenges *challenges, uint64_t now_us);
size_t hf_challenges_count(const struct hf_challenges *challenges);

#endif
