/* joiner: asks a worker, over a connection that is open, for membership of one of its relays: sends a signed request, meets the challenge,
 * and tells what came of it. (Gateway specification, section 1.9; the host's side is in join.c)
 *
 * It all belongs to the socket's loop.
 */
#ifndef HF_SERVICE_WORKER_JOINER_H
#define HF_SERVICE_WORKER_JOINER_H

#include "crypto/schnorr.h"
#include "net/peer_socket.h"
#include "service/worker/join_message.h"

#define HF_JOINER_IDENTIFIER_BYTES_MAX 255u
#define HF_JOINER_TIMEOUT_MS 30000u /* of each of the two answers */

struct hf_joiner;

struct hf_joiner_events {
	/* Once, unless it was freed before. HF_OK, with the membership; HF_EWAIT: the request waits for the relay's owner; HF_EDENIED, with
	 * what the host says; HF_EVERSION: the host asks for what only compatibility.hypertuna gives; HF_EMALFORMED: its answer is none;
	 * HF_ETIMEOUT, HF_ECLOSED and others. The joiner may be freed in it. */
	void (*done)(void *context, int code, const struct hf_join_membership *membership, const char *why);
};

struct hf_joiner_options {
	size_t size; /* sizeof this struct */
	struct hf_loop *loop;
	struct hf_peer_socket *socket; /* opened; the joiner is to be freed when it closes */
	const char *identifier;        /* of the relay, as its host calls it, or its key in hexadecimal */
	const uint8_t *secret;         /* HF_SCHNORR_SECRET_BYTES: the Nostr key that is to be a member; borrowed until free */
	bool accepts_variant;          /* a host's cipher may be Hypertuna's */
	const struct hf_joiner_events *events;
	void *context;
};
/* HF_EINVAL: the identifier or the secret cannot be one; HF_ENOMEM, and errors of hf_relay_channel_new. */
int hf_joiner_new(struct hf_joiner **out, const struct hf_joiner_options *options);
void hf_joiner_free(struct hf_joiner *joiner); /* NULL is fine */

#endif
