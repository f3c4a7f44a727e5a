/* tls_private: one TLS connection as a session without I/O: ciphertext in and out of memory. Private to net/. */
#ifndef HF_NET_TLS_PRIVATE_H
#define HF_NET_TLS_PRIVATE_H

#include "base/bytes.h"
#include "net/tls.h"

struct hf_tls_session;

/* host is the name to send and to check, for clients. tls of a server must outlive its sessions. */
int hf_tls_session_new(struct hf_tls_session **out, struct hf_tls *tls, const char *host);
void hf_tls_session_free(struct hf_tls_session *session);
int hf_tls_session_recv(struct hf_tls_session *session, struct hf_slice ciphertext); /* HF_ENOMEM */
/* *length plain bytes; 0 when more ciphertext is needed. HF_ECLOSED after close_notify, HF_EMALFORMED on an alert or a
 * failed handshake. */
int hf_tls_session_read(struct hf_tls_session *session, uint8_t *out, size_t capacity, size_t *length);
/* *accepted is less than given only while the handshake is not done. */
int hf_tls_session_write(struct hf_tls_session *session, struct hf_slice plain, size_t *accepted);
void hf_tls_session_shutdown(struct hf_tls_session *session);
/* Appends the ciphertext to be sent. */
int hf_tls_session_take(struct hf_tls_session *session, struct hf_buffer *out);
bool hf_tls_session_is_established(const struct hf_tls_session *session);
/* The client's certificate, checked anew by the authorities and lists that are in force now. False: none, or one that would be refused. */
bool hf_tls_session_client(const struct hf_tls_session *session, struct hf_tls_client *out);
/* Why a client's certificate was refused; HF_TLS_NOT_REFUSED when it was not for that. */
enum hf_tls_refusal {
	HF_TLS_NOT_REFUSED, HF_TLS_NO_CERTIFICATE, HF_TLS_EXPIRED, HF_TLS_REVOKED, HF_TLS_UNKNOWN_AUTHORITY, HF_TLS_WRONG, HF_TLS_REFUSAL_COUNT
};
enum hf_tls_refusal hf_tls_session_refusal(const struct hf_tls_session *session);
const char *hf_tls_session_error(const struct hf_tls_session *session); /* why it failed, for a person */

#endif
