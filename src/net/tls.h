/* tls: a server's certificate, reloadable while connections live, and a client's trust. OpenSSL 3, TLS 1.2 and up. */
#ifndef HF_NET_TLS_H
#define HF_NET_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct hf_tls;

int hf_tls_server_new(
	struct hf_tls **out, const char *certificate_path, const char *key_path, struct hf_failure *failure);
/* A server asks its clients for a certificate that an authority in the PEM file ca_path has issued; crl_path (may be NULL): what was
 * revoked, of every authority in use. is_required: none is refused; else only wrong ones are. Nothing is resumed then, so that each
 * connection is checked by the files as they are. hf_tls_reload reads these files, too. */
int hf_tls_ask_clients(struct hf_tls *tls, const char *ca_path, const char *crl_path, bool is_required, struct hf_failure *failure);
/* On failure the old certificate stays in use. */
int hf_tls_reload(struct hf_tls *tls, struct hf_failure *failure);
/* Unix time at which a server's certificate expires; 0 when it cannot be told. */
uint64_t hf_tls_certificate_end_s(const struct hf_tls *tls);
/* A certificate that a client has proved to own. */
#define HF_TLS_SUBJECT_BYTES 512
struct hf_tls_client {
	uint8_t fingerprint[32];            /* SHA-256 of the certificate */
	char subject[HF_TLS_SUBJECT_BYTES]; /* as RFC 2253 writes it, in UTF-8; "" when it is empty or too long */
};
/* ca_path NULL: the system's. */
int hf_tls_client_new(struct hf_tls **out, const char *ca_path, struct hf_failure *failure);
/* A client shows a certificate (PEM, with its chain) to servers that ask for one. */
int hf_tls_show_certificate(struct hf_tls *tls, const char *certificate_path, const char *key_path, struct hf_failure *failure);
void hf_tls_free(struct hf_tls *tls);

#endif
