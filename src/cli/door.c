/* door: one request to a gateway. A token goes over TLS only, but for this machine. */
#include "cli/door.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "codec/bech32.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "net/http_client.h"
#include "service/gateway/admin_guard.h"
#include "wire/nip98.h"

#define KEY_FILE_BYTES_MAX 256
#define URL_BYTES 512

static bool is_this_machine(const char *url)
{
	return strncmp(url, "http://127.", 11) == 0 || strncmp(url, "http://[::1]", 12) == 0 || strncmp(url, "http://localhost", 16) == 0;
}

static int add_token(struct hf_cli *cli, const char *url, const char *path, struct hf_buffer *fields, struct hf_failure *failure)
{
	struct hf_buffer token = {0};
	if (strncmp(url, "https://", 8) != 0 && !is_this_machine(url))
		return hf_fail(failure, HF_EINVAL, "The token would be readable on the way to %s; use https://, or --nostr-key.", url);
	int r = hf_admin_token_read(&cli->env, path, &token, failure);
	if (r == HF_OK && (r = hf_buffer_printf(fields, "Authorization: Bearer %.*s\r\n", (int)token.length, (const char *)token.data)) < 0)
		hf_fail(failure, r, "Out of memory.");
	if (token.length > 0)
		hf_wipe(token.data, token.length);
	hf_buffer_free(&token);
	return r;
}

int hf_cli_read_nostr_key(struct hf_cli *cli, const char *path, struct hf_secret *secret, struct hf_failure *failure)
{
	struct hf_buffer text = {0};
	int r = hf_fs_read_all(cli->env.fs, path, KEY_FILE_BYTES_MAX, &text);
	if (r < 0)
		return hf_fail(failure, r, "%s cannot be read: %s.", path, hf_error_text(r));
	while (text.length > 0 && text.data[text.length - 1] <= ' ')
		text.length--;
	bool is_key = text.length == 64 ? hf_hex_decode(secret->data, text.data, 32)
		: hf_bech32_decode_key(secret->data, "nsec", hf_buffer_slice(&text)) == HF_OK;
	if (text.length > 0)
		hf_wipe(text.data, text.length);
	hf_buffer_free(&text);
	return is_key ? HF_OK : hf_fail(failure, HF_EINVAL, "%s holds neither an nsec1… nor 64 hex digits.", path);
}

static int add_signature(struct hf_cli *cli, const struct hf_http_client_request *request, const char *path, struct hf_buffer *fields,
	struct hf_failure *failure)
{
	struct hf_schnorr *schnorr = NULL;
	struct hf_secret secret = {0};
	struct hf_nip98_request signed_request = {.method = hf_slice_text(request->method), .url = hf_slice_text(request->url),
		.body = request->body, .now_s = hf_env_wall_s(&cli->env)};
	int r = hf_schnorr_new(&schnorr, &cli->env, 0);
	if (r == HF_OK)
		r = hf_secret_new(&secret, HF_SCHNORR_SECRET_BYTES);
	if (r < 0)
		hf_fail(failure, r, "Out of memory.");
	else
		r = hf_cli_read_nostr_key(cli, path, &secret, failure);
	if (r == HF_OK) {
		hf_buffer_append_text(fields, "Authorization: ");
		r = hf_nip98_make(fields, schnorr, secret.data, &signed_request);
		if (r < 0 || (r = hf_buffer_append_text(fields, "\r\n")) < 0)
			hf_fail(failure, r, "The request cannot be signed: %s.", hf_error_text(r));
	}
	hf_secret_free(&secret);
	hf_schnorr_free(schnorr);
	return r;
}

static int add_credential(struct hf_cli *cli, const struct hf_http_client_request *request, struct hf_buffer *fields,
	struct hf_failure *failure)
{
	const char *token = hf_cli_option(cli, "token-file"), *key = hf_cli_option(cli, "nostr-key");
	const char *certificate = hf_cli_option(cli, "certificate"), *certificate_key = hf_cli_option(cli, "certificate-key");
	if ((token != NULL) + (key != NULL) + (certificate != NULL) != 1 || !certificate != !certificate_key)
		return hf_fail(failure, HF_EINVAL, "With --url comes one of --token-file, --nostr-key, and --certificate with --certificate-key.");
	if (certificate)
		return HF_OK;
	return token ? add_token(cli, request->url, token, fields, failure) : add_signature(cli, request, key, fields, failure);
}

/* NULL where nothing is special about it. */
static int make_tls(struct hf_cli *cli, struct hf_tls **out, struct hf_failure *failure)
{
	const char *ca = hf_cli_option(cli, "ca"), *certificate = hf_cli_option(cli, "certificate");
	if (!ca && !certificate)
		return HF_OK;
	int r = hf_tls_client_new(out, ca, failure);
	return r == HF_OK && certificate ? hf_tls_show_certificate(*out, certificate, hf_cli_option(cli, "certificate-key"), failure) : r;
}

static int ask_elsewhere(struct hf_cli *cli, const struct hf_cli_question *q, struct hf_http_client_request *request, unsigned *status,
	struct hf_buffer *out, struct hf_failure *failure)
{
	const char *base = hf_cli_option(cli, "url");
	struct hf_buffer fields = {0};
	struct hf_tls *tls = NULL;
	char url[URL_BYTES];
	size_t length = strlen(base);
	while (length > 0 && base[length - 1] == '/')
		length--;
	if ((strncmp(base, "http://", 7) != 0 && strncmp(base, "https://", 8) != 0) || length + strlen(q->what) + 16 > sizeof url)
		return hf_fail(failure, HF_EINVAL, "\"%s\" is not the http:// or https:// address of a gateway.", base);
	snprintf(url, sizeof url, "%.*s/api/admin/%s", (int)length, base, q->what);
	request->url = url;
	int r = hf_crypto_init();
	if (r == HF_OK)
		r = add_credential(cli, request, &fields, failure);
	if (r == HF_OK)
		r = make_tls(cli, &tls, failure);
	if (r == HF_OK)
		r = hf_buffer_append(&fields, "", 1);
	request->extra_headers = (const char *)fields.data;
	request->tls = tls;
	if (r == HF_OK)
		r = hf_http_client_fetch(&cli->env, request, status, out, failure);
	hf_tls_free(tls);
	if (fields.length > 0)
		hf_wipe(fields.data, fields.length);
	hf_buffer_free(&fields);
	return r;
}

static bool socket_path(const struct hf_cli *cli, char path[static HF_PATH_BYTES_MAX])
{
	return snprintf(path, HF_PATH_BYTES_MAX, "%s/admin.sock", cli->config->data) < HF_PATH_BYTES_MAX;
}

bool hf_cli_door_is_there(const struct hf_cli *cli)
{
	char path[HF_PATH_BYTES_MAX];
	return socket_path(cli, path) && access(path, F_OK) == 0;
}

int hf_cli_door_ask(struct hf_cli *cli, const struct hf_cli_question *q, unsigned *status, struct hf_buffer *out,
	struct hf_failure *failure)
{
	char url[URL_BYTES], path[HF_PATH_BYTES_MAX];
	struct hf_http_client_request request = {.size = sizeof request, .method = q->content_type ? "POST" : "GET",
		.content_type = q->content_type, .body = q->body, .timeout_ms = q->timeout_ms, .body_bytes_max = q->answer_bytes_max};
	if (hf_cli_door_is_remote(cli))
		return ask_elsewhere(cli, q, &request, status, out, failure);
	if (!socket_path(cli, path))
		return hf_fail(failure, HF_ETOOBIG, "The path of %s is too long.", cli->config->data);
	snprintf(url, sizeof url, "http://localhost/admin/%s", q->what);
	request.url = url;
	request.unix_path = path;
	return hf_http_client_fetch(&cli->env, &request, status, out, failure);
}

int hf_cli_door_refusal(struct hf_slice body, unsigned status, struct hf_failure *failure)
{
	json_t *object = body.length > 0 ? json_loadb((const char *)body.data, body.length, 0, NULL) : NULL;
	const char *text = json_string_value(json_object_get(object, "error"));
	int code = (int)json_integer_value(json_object_get(object, "status"));
	int r = text ? hf_fail(failure, code < 0 ? code : HF_EIO, "%s", text)
		: hf_fail(failure, HF_EIO, "The gateway answered with HTTP status %u.", status);
	json_decref(object);
	return r;
}
