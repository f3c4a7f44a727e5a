/* signature: what requests to a gateway are signed by. (Gateway specification, sections 4.1 and 4.2)
 *
 *   scheme A     hex HMAC-SHA-256 of the canonical text under a shared secret: shows that the sender knows the secret, no more
 *   a key's      hex Ed25519 over a purpose's name and the canonical text: shows who the sender is. The name keeps a signature that was
 *                made for one purpose from being used for another.
 *   client token what a client shows at the door: base64url of the canonical payload, ".", scheme A of it
 */
#ifndef HF_SERVICE_GATEWAY_SIGNATURE_H
#define HF_SERVICE_GATEWAY_SIGNATURE_H

#include "crypto/sign.h"
#include "service/gateway/canonical.h"

#define HF_SCHEME_A_BYTES 64           /* in hexadecimal */
#define HF_KEY_SIGNATURE_TEXT_BYTES 128
#define HF_CLIENT_TOKEN_BYTES_MAX 4096 /* the text */

/* The names of purposes. */
#define HF_SIGNED_REGISTRATION "holdfast-registration-v1"
#define HF_SIGNED_REQUEST "holdfast-request-v1"       /* of tokens, and for removal */
#define HF_SIGNED_RELAY_PROOF "holdfast-relay-proof-v1"
#define HF_SIGNED_CONSENT "holdfast-consent-v1"
#define HF_SIGNED_CONTROL "holdfast-control-v1"       /* of control frames, by the gateway */

/* canonical: the text itself, as hf_canonical gave it. */
void hf_scheme_a_sign(char out[static HF_SCHEME_A_BYTES], struct hf_slice secret, struct hf_slice canonical);
/* In a time that does not depend on where they differ. False for an empty secret. */
bool hf_scheme_a_verify(struct hf_slice signature, struct hf_slice secret, struct hf_slice canonical);

int hf_key_sign(char out[static HF_KEY_SIGNATURE_TEXT_BYTES], const char *purpose, struct hf_slice message,
	const uint8_t secret_key[static HF_SIGN_SECRET_BYTES]); /* HF_ENOMEM */
/* HF_OK, HF_EBADSIG or HF_ENOMEM. */
int hf_key_verify(struct hf_slice signature, const char *purpose, struct hf_slice message,
	const uint8_t public_key[static HF_SIGN_PUBLIC_BYTES]);

/* Appends the token of a payload, which is canonical text. HF_ETOOBIG, HF_ENOMEM. */
int hf_client_token_make(struct hf_slice payload, struct hf_slice secret, struct hf_buffer *out);
/* Appends the payload, in canonical text, of a token whose HMAC is right. HF_EMALFORMED, HF_EBADSIG, HF_ETOOBIG, HF_ENOMEM; on error
 * *payload is as it was. */
int hf_client_token_open(struct hf_slice token, struct hf_slice secret, struct hf_buffer *payload);

#endif
