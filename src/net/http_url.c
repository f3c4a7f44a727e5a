/* Where a client asked, and with which certificate, as far as it can be known behind proxies: it cannot be told from the bytes of the
 * request alone, as any client may write what it likes into them. */
#include <stdio.h>

#include "net/http_private.h"

/* What the proxy itself has added is last, as with X-Forwarded-For. */
static struct hf_slice forwarded(const struct hf_http_message *m, const char *name)
{
	struct hf_slice value = {0};
	for (size_t i = m->field_count; i-- > 0 && !value.data;)
		if (hf_http_name_equal(m->fields[i].name, name))
			value = m->fields[i].value;
	for (size_t i = value.length; i-- > 0;)
		if (value.data[i] == ',') {
			value = hf_slice(value.data + i + 1, value.length - i - 1);
			break;
		}
	while (value.length > 0 && value.data[0] == ' ')
		value = hf_slice(value.data + 1, value.length - 1);
	return value;
}

static bool is_host(struct hf_slice text)
{
	bool is_right = text.length > 0 && text.length <= HF_HTTP_HOST_BYTES_MAX;
	for (size_t i = 0; is_right && i < text.length; i++) {
		uint8_t c = text.data[i];
		is_right = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || memchr(".-_:[]", c, 6) != NULL;
	}
	return is_right;
}

static bool is_from_proxy(const struct hf_http_exchange *x)
{
	const struct hf_http_server_options *o = &x->server->options;
	for (size_t i = 0; i < o->trusted_proxy_count; i++)
		if (hf_address_in_range(&x->stream->peer, &o->trusted_proxies[i]))
			return true;
	return false;
}

static bool was_passed_on(const struct hf_http_exchange *x)
{
	static const char *const names[] = {"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"};
	bool is_told = false;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		is_told |= hf_http_message_field(hf_http_exchange_message(x), names[i]).data != NULL;
	return is_told || is_from_proxy(x);
}

bool hf_http_client_certificate(struct hf_http_exchange *x, struct hf_tls_client *out)
{
	return x->stream && !x->is_unix && x->stream->tls && !was_passed_on(x) && hf_tls_session_client(x->stream->tls, out);
}

enum hf_http_base hf_http_base_url(struct hf_http_exchange *x, char out[static HF_HTTP_BASE_URL_BYTES])
{
	const struct hf_http_message *m = hf_http_exchange_message(x);
	struct hf_slice host = hf_http_message_field(m, "Host"), scheme = {0};
	struct hf_address address;
	out[0] = 0;
	if (!x->stream || x->is_unix)
		return HF_HTTP_BASE_NONE;
	bool from_proxy = is_from_proxy(x), is_secure = x->stream->tls != NULL;
	if (from_proxy && forwarded(m, "X-Forwarded-Host").length > 0)
		host = forwarded(m, "X-Forwarded-Host");
	if (from_proxy)
		scheme = forwarded(m, "X-Forwarded-Proto");
	if (scheme.length > 0)
		is_secure = hf_http_name_equal(scheme, "https") || hf_http_name_equal(scheme, "wss");
	if (!is_host(host))
		return HF_HTTP_BASE_NONE;
	snprintf(out, HF_HTTP_BASE_URL_BYTES, "http%s://%.*s", is_secure ? "s" : "", (int)host.length, (const char *)host.data);
	if (from_proxy)
		return HF_HTTP_BASE_FORWARDED;
	bool is_local = hf_http_host_address(host, &address) && hf_address_class(&address) == HF_ADDRESS_LOOPBACK;
	return is_local ? HF_HTTP_BASE_LOCAL : HF_HTTP_BASE_CLAIMED;
}
