/* join_message: what is said when somebody joins a relay, as JSON bodies, read and written; no I/O. (Gateway specification, section 1.9)
 *
 *     joiner  POST /post/join/<relay>   {"event": a signed event of kind 9021}
 *     host    {"status":"pending"}, or {"challenge","relayPubkey"}; of ours also "cipher":"aes-256-cbc"
 *     joiner  POST /verify-ownership    {"pubkey","ciphertext","iv"}: the challenge's text under the key that both have in common
 *     host    {"success":true,"relayKey","publicIdentifier","authToken","relayUrl"}
 *
 * Where a host does not say "cipher", it is Hypertuna's, with the cipher of section 1.10.
 */
#ifndef HF_SERVICE_WORKER_JOIN_MESSAGE_H
#define HF_SERVICE_WORKER_JOIN_MESSAGE_H

#include "crypto/cbc.h"
#include "data/event/event.h"
#include "service/worker/challenges.h"

#define HF_JOIN_KIND 9021
#define HF_JOIN_BODY_BYTES_MAX (64u << 10)
#define HF_JOIN_CIPHERTEXT_BYTES HF_CBC_ENCRYPTED_BYTES(HF_CHALLENGE_TEXT_BYTES - 1)
#define HF_JOIN_TEXT_BYTES_MAX 1024u /* of each text in the host's last answer */

/* ---- For the host ---- */

struct hf_join_request {
	struct hf_event event; /* points into text */
	struct hf_buffer text;
};
/* Everything but the signature. *refusal: what the joiner is told. HF_EINVAL: something is missing, or the kind is another; HF_EMALFORMED;
 * HF_ETOOBIG; HF_ENOMEM. Free it in any case. */
int hf_join_request_parse(struct hf_join_request *out, struct hf_slice body, const char **refusal);
void hf_join_request_free(struct hf_join_request *request);

struct hf_join_proof {
	uint8_t pubkey[32], iv[HF_CBC_BLOCK_BYTES], ciphertext[HF_JOIN_CIPHERTEXT_BYTES];
	bool is_right; /* in form: else iv and ciphertext are nothing, and no challenge is met by them */
};
/* HF_EINVAL: a member is missing, or pubkey is no key; HF_ETOOBIG. */
int hf_join_proof_parse(struct hf_join_proof *out, struct hf_slice body);
/* Whether it is the challenge under the key, in AES-256-CBC or, if accepted, Hypertuna's variant. What is wrong takes as long.
 *
 * In AES it is the challenge for this host (its swarm key), as hexadecimal of BLAKE2b-256 of the challenge's text and the key: so a host
 * that hands somebody else's challenge on cannot use the answer there. In the variant it is the text itself, and cannot be bound so. */
bool hf_join_proof_meets(const struct hf_join_proof *proof, const char challenge[static HF_CHALLENGE_TEXT_BYTES],
	const uint8_t key[static HF_CBC_KEY_BYTES], const uint8_t host[static 32], bool accepts_variant);

/* ---- For the joiner ---- */

/* Appends the body that makes a request of an event (its JSON). HF_ENOMEM. */
int hf_join_request_make(struct hf_slice event, struct hf_buffer *out);

struct hf_join_answer {
	bool is_pending; /* the rest is nothing then */
	char challenge[HF_CHALLENGE_TEXT_BYTES];
	uint8_t relay_pubkey[32];
	enum hf_cbc_cipher cipher;
};
/* HF_EMALFORMED, HF_ETOOBIG; HF_EVERSION: a cipher that is not known. */
int hf_join_answer_parse(struct hf_join_answer *out, struct hf_slice body);

/* Appends the body with the challenge, for that host, under the key. HF_ENOMEM. */
int hf_join_proof_make(const struct hf_join_answer *answer, const uint8_t pubkey[static 32], const uint8_t key[static HF_CBC_KEY_BYTES],
	const uint8_t iv[static HF_CBC_BLOCK_BYTES], const uint8_t host[static 32], struct hf_buffer *out);

struct hf_join_membership {
	uint8_t relay_key[32];
	char identifier[HF_JOIN_TEXT_BYTES_MAX], token[HF_JOIN_TEXT_BYTES_MAX], url[HF_JOIN_TEXT_BYTES_MAX]; /* url may be "" */
};
/* HF_EMALFORMED, HF_ETOOBIG. */
int hf_join_membership_parse(struct hf_join_membership *out, struct hf_slice body);
/* The sentence of {"error": …}, without what a terminal would obey; "" where there is none. */
void hf_join_error_parse(char out[static HF_JOIN_TEXT_BYTES_MAX], struct hf_slice body);

#endif
