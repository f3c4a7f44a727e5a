/* A session is an SSL object between two memory BIOs. A reload makes a whole new SSL_CTX and swaps it in when it is
 * good; connections that live hold a reference to the old one. Records' buffers are given back when they are empty
 * (SSL_MODE_RELEASE_BUFFERS), as most connections are idle. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/tls_private.h"

struct hf_tls {
	SSL_CTX *context;
	bool is_server, requires_clients;
	char *certificate_path, *key_path, *ca_path, *crl_path; /* the last two: NULL when clients are not asked */
};

struct hf_tls_session {
	const struct hf_tls *server; /* NULL: we are the client */
	SSL *ssl;
	BIO *in, *out; /* owned by ssl */
	bool is_failed, is_shut, has_no_certificate;
};

static const char *openssl_reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	return reason ? reason : "unknown reason";
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_length, const unsigned char *in,
	unsigned in_length, void *unused)
{
	static const unsigned char ours[] = "\x08http/1.1";
	(void)ssl;
	(void)unused;
	unsigned char *chosen;
	if (SSL_select_next_proto(&chosen, out_length, ours, sizeof ours - 1, in, in_length) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *new_context(const SSL_METHOD *method)
{
	SSL_CTX *context = SSL_CTX_new(method);
	if (!context)
		return NULL;
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_mode(context,
		SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	return context;
}

static int load_revoked(SSL_CTX *context, const char *path, struct hf_failure *failure)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context);
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
	if (!lookup || X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) < 1)
		return hf_fail(failure, HF_EINVAL, "cannot read the revoked certificates in %s: %s; it must be a PEM file", path, openssl_reason());
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
	return HF_OK;
}

/* Without tickets and a cache there is no session to resume, so none outlives its certificate. */
static int load_clients(SSL_CTX *context, const struct hf_tls *tls, struct hf_failure *failure)
{
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(tls->ca_path);
	if (!names || SSL_CTX_load_verify_locations(context, tls->ca_path, NULL) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return hf_fail(failure, HF_EINVAL, "cannot read the clients' authorities in %s: %s; it must be a PEM file", tls->ca_path,
			openssl_reason());
	}
	SSL_CTX_set_client_CA_list(context, names);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (tls->requires_clients ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
	SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(context, 0);
	return tls->crl_path ? load_revoked(context, tls->crl_path, failure) : HF_OK;
}

/* A certificate with its key, of either side. */
static int load_pair(SSL_CTX *context, const char *certificate_path, const char *key_path, struct hf_failure *failure)
{
	if (SSL_CTX_use_certificate_chain_file(context, certificate_path) != 1)
		return hf_fail(failure, HF_EINVAL, "cannot use the TLS certificate %s: %s; it must be a PEM file with the whole chain",
			certificate_path, openssl_reason());
	if (SSL_CTX_use_PrivateKey_file(context, key_path, SSL_FILETYPE_PEM) != 1)
		return hf_fail(failure, HF_EINVAL, "cannot use the TLS key %s: %s; it must be the PEM key of %s", key_path, openssl_reason(),
			certificate_path);
	return HF_OK;
}

static int load_server_context(SSL_CTX **out, const struct hf_tls *tls, struct hf_failure *failure)
{
	ERR_clear_error();
	SSL_CTX *context = new_context(TLS_server_method());
	if (!context)
		return hf_fail(failure, HF_ENOMEM, "cannot set up TLS: out of memory");
	int error = load_pair(context, tls->certificate_path, tls->key_path, failure);
	if (!error && tls->ca_path)
		error = load_clients(context, tls, failure);
	if (error) {
		SSL_CTX_free(context);
		ERR_clear_error();
		return error;
	}
	SSL_CTX_set_alpn_select_cb(context, choose_alpn, NULL);
	/* Resumption by ticket only: no session is kept for a client that went away. */
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	*out = context;
	return HF_OK;
}

int hf_tls_server_new(
	struct hf_tls **out, const char *certificate_path, const char *key_path, struct hf_failure *failure)
{
	struct hf_tls *tls = calloc(1, sizeof *tls);
	if (!tls)
		return hf_fail(failure, HF_ENOMEM, "cannot set up TLS: out of memory");
	tls->is_server = true;
	tls->certificate_path = strdup(certificate_path);
	tls->key_path = strdup(key_path);
	int error = tls->certificate_path && tls->key_path
			    ? HF_OK
			    : hf_fail(failure, HF_ENOMEM, "cannot set up TLS: out of memory");
	if (!error)
		error = load_server_context(&tls->context, tls, failure);
	if (error) {
		hf_tls_free(tls);
		return error;
	}
	*out = tls;
	return HF_OK;
}

int hf_tls_reload(struct hf_tls *tls, struct hf_failure *failure)
{
	SSL_CTX *context;
	if (!tls->is_server)
		return HF_EINVAL;
	int error = load_server_context(&context, tls, failure);
	if (error)
		return error;
	SSL_CTX_free(tls->context);
	tls->context = context;
	return HF_OK;
}

int hf_tls_ask_clients(struct hf_tls *tls, const char *ca_path, const char *crl_path, bool is_required, struct hf_failure *failure)
{
	free(tls->ca_path);
	free(tls->crl_path);
	tls->ca_path = strdup(ca_path);
	tls->crl_path = crl_path ? strdup(crl_path) : NULL;
	tls->requires_clients = is_required;
	if (!tls->ca_path || (crl_path && !tls->crl_path))
		return hf_fail(failure, HF_ENOMEM, "cannot set up TLS: out of memory");
	return hf_tls_reload(tls, failure);
}

uint64_t hf_tls_certificate_end_s(const struct hf_tls *tls)
{
	const X509 *certificate = SSL_CTX_get0_certificate(tls->context);
	struct tm end = {0};
	if (!certificate || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1)
		return 0;
	time_t seconds = timegm(&end);
	return seconds > 0 ? (uint64_t)seconds : 0;
}

int hf_tls_client_new(struct hf_tls **out, const char *ca_path, struct hf_failure *failure)
{
	struct hf_tls *tls = calloc(1, sizeof *tls);
	if (!tls)
		return hf_fail(failure, HF_ENOMEM, "cannot set up TLS: out of memory");
	tls->context = new_context(TLS_client_method());
	if (!tls->context) {
		free(tls);
		return hf_fail(failure, HF_ENOMEM, "cannot set up TLS: out of memory");
	}
	ERR_clear_error();
	int loaded = ca_path ? SSL_CTX_load_verify_locations(tls->context, ca_path, NULL)
			     : SSL_CTX_set_default_verify_paths(tls->context);
	if (loaded != 1) {
		int error = hf_fail(failure, HF_EINVAL, "cannot read the trusted certificates in %s: %s",
			ca_path ? ca_path : "the system's store", openssl_reason());
		ERR_clear_error();
		hf_tls_free(tls);
		return error;
	}
	SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
	*out = tls;
	return HF_OK;
}

int hf_tls_show_certificate(struct hf_tls *tls, const char *certificate_path, const char *key_path, struct hf_failure *failure)
{
	ERR_clear_error();
	int error = load_pair(tls->context, certificate_path, key_path, failure);
	ERR_clear_error();
	return error;
}

void hf_tls_free(struct hf_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->context);
	free(tls->certificate_path);
	free(tls->key_path);
	free(tls->ca_path);
	free(tls->crl_path);
	free(tls);
}

/* ---- Sessions ---- */

static int expect_host(SSL *ssl, const char *host)
{
	static const unsigned char alpn[] = "\x08http/1.1";
	unsigned char ip[16];
	if (SSL_set_alpn_protos(ssl, alpn, sizeof alpn - 1) != 0)
		return HF_ENOMEM;
	if (inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1 ? HF_OK : HF_ENOMEM;
	if (SSL_set_tlsext_host_name(ssl, host) != 1 || SSL_set1_host(ssl, host) != 1)
		return HF_ENOMEM;
	return HF_OK;
}

int hf_tls_session_new(struct hf_tls_session **out, struct hf_tls *tls, const char *host)
{
	struct hf_tls_session *s = calloc(1, sizeof *s);
	if (!s)
		return HF_ENOMEM;
	s->ssl = SSL_new(tls->context);
	s->in = BIO_new(BIO_s_mem());
	s->out = BIO_new(BIO_s_mem());
	if (!s->ssl || !s->in || !s->out) {
		BIO_free(s->in);
		BIO_free(s->out);
		SSL_free(s->ssl);
		free(s);
		return HF_ENOMEM;
	}
	SSL_set_bio(s->ssl, s->in, s->out);
	if (tls->is_server)
		SSL_set_accept_state(s->ssl);
	else
		SSL_set_connect_state(s->ssl);
	s->server = tls->is_server ? tls : NULL;
	int error = tls->is_server ? HF_OK : expect_host(s->ssl, host);
	if (error) {
		hf_tls_session_free(s);
		return error;
	}
	if (!tls->is_server)
		SSL_do_handshake(s->ssl); /* puts the first flight into `out` */
	*out = s;
	return HF_OK;
}

void hf_tls_session_free(struct hf_tls_session *s)
{
	if (!s)
		return;
	SSL_free(s->ssl);
	free(s);
}

int hf_tls_session_recv(struct hf_tls_session *s, struct hf_slice ciphertext)
{
	return BIO_write(s->in, ciphertext.data, (int)ciphertext.length) == (int)ciphertext.length ? HF_OK : HF_ENOMEM;
}

int hf_tls_session_read(struct hf_tls_session *s, uint8_t *out, size_t capacity, size_t *length)
{
	*length = 0;
	ERR_clear_error();
	int result = SSL_read_ex(s->ssl, out, capacity, length);
	if (result == 1)
		return HF_OK;
	switch (SSL_get_error(s->ssl, result)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return HF_OK;
	case SSL_ERROR_ZERO_RETURN:
		return HF_ECLOSED;
	default:
		s->is_failed = true;
		s->has_no_certificate = ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
		return HF_EMALFORMED;
	}
}

int hf_tls_session_write(struct hf_tls_session *s, struct hf_slice plain, size_t *accepted)
{
	*accepted = 0;
	if (plain.length == 0)
		return HF_OK;
	ERR_clear_error();
	while (*accepted < plain.length) {
		size_t written = 0;
		int result = SSL_write_ex(s->ssl, plain.data + *accepted, plain.length - *accepted, &written);
		if (result != 1) {
			int reason = SSL_get_error(s->ssl, result);
			return reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE ? HF_OK : HF_ECLOSED;
		}
		*accepted += written;
	}
	return HF_OK;
}

void hf_tls_session_shutdown(struct hf_tls_session *s)
{
	if (!s->is_failed && !s->is_shut && SSL_is_init_finished(s->ssl))
		SSL_shutdown(s->ssl);
	s->is_shut = true;
	ERR_clear_error();
}

int hf_tls_session_take(struct hf_tls_session *s, struct hf_buffer *out)
{
	size_t pending = BIO_ctrl_pending(s->out);
	if (pending == 0)
		return HF_OK;
	int error = hf_buffer_reserve(out, pending);
	if (error)
		return error;
	int length = BIO_read(s->out, out->data + out->length, (int)pending);
	out->length += length > 0 ? (size_t)length : 0;
	return HF_OK;
}

bool hf_tls_session_is_established(const struct hf_tls_session *s)
{
	return SSL_is_init_finished(s->ssl);
}

static bool is_good_now(const struct hf_tls_session *s, X509 *certificate)
{
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	bool is_good = check && X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(s->server->context), certificate,
		SSL_get_peer_cert_chain(s->ssl)) == 1 && X509_STORE_CTX_set_default(check, "ssl_client") == 1 && X509_verify_cert(check) == 1;
	X509_STORE_CTX_free(check);
	ERR_clear_error();
	return is_good;
}

/* What is special in it is escaped, so that two names are never written alike. */
static void write_subject(const X509 *certificate, char out[static HF_TLS_SUBJECT_BYTES])
{
	char *text;
	BIO *memory = BIO_new(BIO_s_mem());
	int length = memory ? X509_NAME_print_ex(memory, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) : -1;
	long written = length > 0 ? BIO_get_mem_data(memory, &text) : 0;
	bool fits = written > 0 && written < HF_TLS_SUBJECT_BYTES;
	if (fits)
		memcpy(out, text, (size_t)written);
	out[fits ? written : 0] = '\0';
	BIO_free(memory);
}

bool hf_tls_session_client(const struct hf_tls_session *s, struct hf_tls_client *out)
{
	X509 *certificate = s->server && SSL_is_init_finished(s->ssl) ? SSL_get0_peer_certificate(s->ssl) : NULL;
	if (!certificate || SSL_get_verify_result(s->ssl) != X509_V_OK || !is_good_now(s, certificate))
		return false;
	write_subject(certificate, out->subject);
	return X509_digest(certificate, EVP_sha256(), out->fingerprint, NULL) == 1;
}

enum hf_tls_refusal hf_tls_session_refusal(const struct hf_tls_session *s)
{
	if (!s->is_failed || s->has_no_certificate)
		return s->is_failed ? HF_TLS_NO_CERTIFICATE : HF_TLS_NOT_REFUSED;
	switch (SSL_get_verify_result(s->ssl)) {
	case X509_V_OK:
		return HF_TLS_NOT_REFUSED;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return HF_TLS_EXPIRED;
	case X509_V_ERR_CERT_REVOKED:
		return HF_TLS_REVOKED;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		return HF_TLS_UNKNOWN_AUTHORITY;
	default:
		return HF_TLS_WRONG;
	}
}

const char *hf_tls_session_error(const struct hf_tls_session *s)
{
	long verdict = SSL_get_verify_result(s->ssl);
	if (s->has_no_certificate)
		return "no certificate was given";
	return verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) : "TLS handshake failed";
}
