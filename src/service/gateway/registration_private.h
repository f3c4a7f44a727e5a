/* registration_private: between the two halves of registration. (Private to service/gateway/) */
#ifndef HF_SERVICE_GATEWAY_REGISTRATION_PRIVATE_H
#define HF_SERVICE_GATEWAY_REGISTRATION_PRIVATE_H

#include "service/gateway/registration.h"

int hf_registration_refuse(const char **refusal, const char *name, int status); /* returns status */
/* The relays of a body that is known to be somebody's, with their proofs and consents. */
int hf_registration_take_relays(struct hf_registration_body *body, uint64_t now_ms, const char **refusal);

#endif
