/* TLS on the server and the client, with certificates made here. */
#include "net_fixture.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "net/http_client.h"

static char directory[] = "/tmp/hf-tls-XXXXXX";
static char certificate_path[64], key_path[64];
static char big[3 << 20];

/* A self-signed certificate for localhost and 127.0.0.1. */
static void write_certificate(long serial)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	X509_NAME *name = X509_get_subject_name(certificate);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
	X509_add_ext(certificate, names, -1);
	X509_EXTENSION_free(names);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	FILE *stream = fopen(certificate_path, "w");
	PEM_write_X509(stream, certificate);
	fclose(stream);
	stream = fopen(key_path, "w");
	PEM_write_PrivateKey(stream, key, NULL, NULL, 0, NULL, NULL);
	fclose(stream);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static int make_files(void **state)
{
	if (!mkdtemp(directory))
		return 1;
	snprintf(certificate_path, sizeof certificate_path, "%s/cert.pem", directory);
	snprintf(key_path, sizeof key_path, "%s/key.pem", directory);
	return 0;
}

static int remove_files(void **state)
{
	unlink(certificate_path);
	unlink(key_path);
	return rmdir(directory);
}

static void hello(void *context, struct hf_http_exchange *x)
{
	hf_http_respond(x, 200, "text/plain", HF_SLICE_LITERAL("hello"), NULL);
}
static void large(void *context, struct hf_http_exchange *x)
{
	hf_http_respond_static(x, "application/octet-stream", hf_slice(big, sizeof big), NULL);
}
static void echo(void *context, struct hf_http_exchange *x)
{
	hf_http_respond(x, 200, NULL, hf_http_body(x), NULL);
}
static void ws_message(void *context, struct hf_websocket *ws, bool is_text, struct hf_slice message)
{
	hf_websocket_send_text(ws, message);
}
static void ws_closed(void *context, struct hf_websocket *ws, uint16_t code) {}
static const struct hf_websocket_handler echo_handler = {.message = ws_message, .closed = ws_closed};
static void upgrade(void *context, struct hf_http_exchange *x)
{
	struct hf_websocket *ws;
	hf_http_upgrade(x, &echo_handler, NULL, &ws);
}
static const struct hf_http_route routes[] = {
	HF_ROUTE("GET", "/", HF_ACCESS_PUBLIC, hello),
	HF_ROUTE("GET", "/large", HF_ACCESS_PUBLIC, large),
	HF_ROUTE("POST", "/echo", HF_ACCESS_PUBLIC, echo),
	HF_ROUTE("GET", "/ws", HF_ACCESS_PUBLIC, upgrade),
};

struct secure {
	struct fixture f;
	struct hf_tls *server_tls, *client_tls;
	struct hf_address address;
};

static void open_secure(struct secure *s)
{
	struct hf_failure failure = {0};
	write_certificate(1);
	s->f.options.routes = routes;
	s->f.options.route_count = 4;
	fixture_open(&s->f);
	assert_int_equal(hf_tls_server_new(&s->server_tls, certificate_path, key_path, &failure), HF_OK);
	assert_int_equal(hf_tls_client_new(&s->client_tls, certificate_path, &failure), HF_OK);
	hf_address_parse("127.0.0.1:0", &s->address, NULL);
	assert_int_equal(hf_http_server_listen(s->f.server, &s->address, s->server_tls, &s->address, &failure), HF_OK);
}

static void close_secure(struct secure *s)
{
	fixture_close(&s->f);
	hf_tls_free(s->server_tls);
	hf_tls_free(s->client_tls);
}

struct answer {
	bool is_done;
	int error;
	unsigned status;
	struct hf_buffer body;
	char detail[160];
};

static void on_answer(void *context, const struct hf_http_client_answer *answer)
{
	struct answer *a = context;
	a->is_done = true;
	a->error = answer->error;
	a->status = answer->status;
	hf_buffer_append(&a->body, answer->body.data, answer->body.length);
	snprintf(a->detail, sizeof a->detail, "%s", answer->detail ? answer->detail : "");
}

static struct answer fetch(struct secure *s, const char *host, const char *path, struct hf_slice body)
{
	struct answer a = {0};
	struct hf_http_client *client;
	char url[128];
	snprintf(url, sizeof url, "https://%s:%u%s", host, s->address.port, path);
	struct hf_http_client_request request = {
		.size = sizeof request,
		.url = url,
		.tls = s->client_tls,
		.body = body,
		.method = body.length ? "POST" : "GET",
	};
	assert_int_equal(hf_http_client_start(&client, s->f.loop, &request, on_answer, &a, NULL), HF_OK);
	while (!a.is_done)
		hf_loop_poll(s->f.loop, true);
	return a;
}

static void test_requests_and_answers_pass_through_tls(void **state)
{
	struct secure s = {0};
	open_secure(&s);
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)(i * 2654435761u >> 9);
	struct answer a = fetch(&s, "localhost", "/", hf_slice(NULL, 0));
	assert_int_equal(a.error, HF_OK);
	assert_int_equal(a.body.length, 5);
	hf_buffer_free(&a.body);
	a = fetch(&s, "127.0.0.1", "/large", hf_slice(NULL, 0));
	assert_int_equal(a.error, HF_OK);
	assert_int_equal(a.body.length, sizeof big);
	assert_memory_equal(a.body.data, big, sizeof big);
	hf_buffer_free(&a.body);
	a = fetch(&s, "127.0.0.1", "/echo", hf_slice(big, 1000000));
	assert_int_equal(a.error, HF_OK);
	assert_int_equal(a.body.length, 1000000);
	assert_memory_equal(a.body.data, big, 1000000);
	hf_buffer_free(&a.body);
	close_secure(&s);
}

static void test_wrong_certificates_are_refused(void **state)
{
	struct secure s = {0};
	open_secure(&s);
	/* The server gets another certificate, which the client does not trust. */
	write_certificate(2);
	assert_int_equal(hf_tls_reload(s.server_tls, NULL), HF_OK);
	struct answer a = fetch(&s, "localhost", "/", hf_slice(NULL, 0));
	assert_int_equal(a.error, HF_EDENIED);
	assert_string_equal(a.detail, "self-signed certificate");
	/* Trusted again, but under a name that it is not for: 127.0.0.2 is this machine, too. */
	hf_tls_free(s.client_tls);
	assert_int_equal(hf_tls_client_new(&s.client_tls, certificate_path, NULL), HF_OK);
	a = fetch(&s, "localhost", "/", hf_slice(NULL, 0));
	assert_int_equal(a.error, HF_OK);
	hf_buffer_free(&a.body);
	struct hf_address other;
	hf_address_parse("127.0.0.2:0", &other, NULL);
	assert_int_equal(hf_http_server_listen(s.f.server, &other, s.server_tls, &s.address, NULL), HF_OK);
	a = fetch(&s, "127.0.0.2", "/", hf_slice(NULL, 0));
	assert_int_equal(a.error, HF_EDENIED);
	assert_string_equal(a.detail, "IP address mismatch");
	close_secure(&s);
}

static void test_a_bad_reload_keeps_the_old_certificate(void **state)
{
	struct secure s = {0};
	struct hf_failure failure = {0};
	open_secure(&s);
	FILE *stream = fopen(certificate_path, "w");
	fputs("nonsense\n", stream);
	fclose(stream);
	assert_int_equal(hf_tls_reload(s.server_tls, &failure), HF_EINVAL);
	assert_non_null(strstr(failure.text, certificate_path));
	struct answer a = fetch(&s, "localhost", "/", hf_slice(NULL, 0));
	assert_int_equal(a.error, HF_OK);
	hf_buffer_free(&a.body);
	struct hf_tls *tls;
	assert_int_equal(hf_tls_server_new(&tls, "/nowhere", "/nowhere", &failure), HF_EINVAL);
	close_secure(&s);
}

struct guest {
	struct hf_websocket *ws;
	bool is_opened, is_closed;
	struct hf_buffer heard;
};
static void guest_message(void *context, struct hf_websocket *ws, bool is_text, struct hf_slice message)
{
	hf_buffer_append(&((struct guest *)context)->heard, message.data, message.length);
}
static void guest_closed(void *context, struct hf_websocket *ws, uint16_t code)
{
	((struct guest *)context)->is_closed = true;
}
static void guest_opened(void *context, struct hf_websocket *ws, int status, const char *detail)
{
	((struct guest *)context)->ws = ws;
	((struct guest *)context)->is_opened = true;
	assert_int_equal(status, HF_OK);
}
static const struct hf_websocket_handler guest_handler = {.message = guest_message, .closed = guest_closed};

static void test_websockets_outlive_a_reload(void **state)
{
	struct secure s = {0};
	struct guest g = {0};
	struct hf_websocket_limits limits = {0};
	char url[64];
	open_secure(&s);
	snprintf(url, sizeof url, "wss://localhost:%u/ws", s.address.port);
	assert_int_equal(
		hf_websocket_connect(s.f.loop, url, s.client_tls, &limits, &guest_handler, &g, guest_opened), HF_OK);
	while (!g.is_opened)
		hf_loop_poll(s.f.loop, true);
	write_certificate(3);
	assert_int_equal(hf_tls_reload(s.server_tls, NULL), HF_OK);
	for (int i = 0; i < 500; i++) {
		memset(big, 'a' + i % 26, 1000);
		assert_int_equal(hf_websocket_send_text(g.ws, hf_slice(big, 1000)), HF_OK);
	}
	while (g.heard.length < 500000)
		hf_loop_poll(s.f.loop, true);
	hf_websocket_close(g.ws, 1000, NULL);
	while (!g.is_closed)
		hf_loop_poll(s.f.loop, true);
	hf_buffer_free(&g.heard);
	close_secure(&s);
}

static void test_what_is_not_tls_is_closed(void **state)
{
	struct secure s = {0};
	open_secure(&s);
	s.f.address = s.address;
	int fd = dial(&s.f);
	say_text(&s.f, fd, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	expect_closed(&s.f, fd);
	close(fd);
	char garbage[100000];
	for (size_t i = 0; i < sizeof garbage; i++)
		garbage[i] = (char)(i * 2654435761u >> 7);
	memcpy(garbage, "\x16\x03\x01\x3f\xff", 5);
	fd = dial(&s.f);
	say(&s.f, fd, garbage, sizeof garbage);
	expect_closed(&s.f, fd);
	close(fd);
	/* A client hello that never ends is bounded by the time for a head. */
	s.f.options.header_timeout_ms = 100;
	hf_http_server_reconfigure(s.f.server, &s.f.options);
	fd = dial(&s.f);
	say(&s.f, fd, "\x16\x03\x01", 3);
	expect_closed(&s.f, fd);
	close(fd);
	close_secure(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_and_answers_pass_through_tls),
		cmocka_unit_test(test_wrong_certificates_are_refused),
		cmocka_unit_test(test_a_bad_reload_keeps_the_old_certificate),
		cmocka_unit_test(test_websockets_outlive_a_reload),
		cmocka_unit_test(test_what_is_not_tls_is_closed),
	};
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
