/* nip98: HTTP requests signed with a Nostr key: "Authorization: Nostr <base64 of an event>". (NIP-98)
 *
 * The event is of kind 27235 and names the URL, the method (clients write it small, too), and the hash of the body when there is one.
 * Whether its key may do what is asked, and whether the event was shown before, is the caller's to decide.
 */
#ifndef HF_WIRE_NIP98_H
#define HF_WIRE_NIP98_H

#include "crypto/schnorr.h"
#include "data/event/event.h"

#define HF_NIP98_KIND 27235
#define HF_NIP98_FIELD_BYTES_MAX 8192 /* the whole value of the header field */
#define HF_NIP98_WINDOW_S 60          /* that created_at may be from now */

struct hf_nip98 {
	struct hf_event event;
	struct hf_buffer text; /* that its slices point into */
};
/* Takes a field's value apart; hf_nip98_free after HF_OK. HF_EINVAL: it is of another scheme; HF_EMALFORMED, HF_ETOOBIG, HF_ENOMEM. */
int hf_nip98_parse(struct hf_nip98 *out, struct hf_slice field);
void hf_nip98_free(struct hf_nip98 *nip98);

struct hf_nip98_request {
	struct hf_slice method, url; /* the whole URL, with its query */
	struct hf_slice body;        /* empty: none */
	uint64_t now_s;              /* Unix seconds */
};
/* Does the event let in this request now? Not the signature. HF_EDENIED with *reason, a sentence. */
int hf_nip98_check(const struct hf_nip98 *nip98, const struct hf_nip98_request *request, const char **reason);
/* HF_EBADSIG. */
int hf_nip98_verify(const struct hf_nip98 *nip98, struct hf_schnorr *schnorr);

/* Appends the field's value for a request, signed. HF_EINVAL: the secret is none, or method or URL are not printable ASCII without
 * quotes; HF_ENOMEM. */
int hf_nip98_make(struct hf_buffer *out, struct hf_schnorr *schnorr, const uint8_t secret[static HF_SCHNORR_SECRET_BYTES],
	const struct hf_nip98_request *request);

#endif
