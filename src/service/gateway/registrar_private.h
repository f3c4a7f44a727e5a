/* registrar_private: between the parts of the registrar. (Private to service/gateway/) */
#ifndef HF_SERVICE_GATEWAY_REGISTRAR_PRIVATE_H
#define HF_SERVICE_GATEWAY_REGISTRAR_PRIVATE_H

#include "crypto/secret.h"
#include "service/gateway/registrar.h"

#define HF_REGISTRAR_NAME_BYTES 72 /* "peer:" and a key */

struct hf_registrar {
	struct hf_env *env;
	struct hf_state *state;
	struct hf_registry *registry;
	struct hf_tokens *tokens;
	struct hf_audit *audit;
	struct hf_metrics *metrics;
	struct hf_secret secret;
	struct hf_registration_door door;
	struct hf_schnorr *schnorr;
	uint8_t gateway_key[32];
	uint8_t allow[HF_REGISTRAR_ALLOW_COUNT_MAX][32];
	size_t allow_count;
	bool is_open;
	uint32_t pending_count;
	int (*describe)(void *context, struct hf_buffer *out);
	void *describe_context;
	struct hf_counter requests, refused;
};

/* Answers {"error": refusal} with the status that goes with it; NULL: no memory. */
void hf_registrar_refuse(struct hf_registrar *registrar, hf_registrar_answer *answer, void *context, const char *refusal);
/* done later: HF_OK, HF_EEXISTS: it was seen. An error at once: done is not called. */
int hf_registrar_take_nonce(struct hf_registrar *registrar, const char *principal, const char *nonce,
	void (*done)(void *context, int status), void *context);
/* "peer:<hex>", "secret" or "operator". */
void hf_registrar_name(const struct hf_registry_principal *by, char out[static HF_REGISTRAR_NAME_BYTES]);

#endif
