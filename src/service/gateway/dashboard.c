/* dashboard: the page with which a gateway is watched and steered: files that are built in, for anybody, as they are nothing without a
 * credential. Nothing of other origins is loaded, and no page of theirs frames it. */
#include <stdio.h>

#include "codec/hex.h"
#include "crypto/hash.h"
#include "service/gateway/dashboard_files.h"
#include "service/gateway/internal.h"

#define PREFIX "/dashboard"
#define TAG_BYTES 16

static const char policy[] = "Content-Security-Policy: default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
	"Referrer-Policy: no-referrer\r\nCache-Control: no-cache\r\nVary: Accept-Encoding\r\n";

static const struct hf_dashboard_file *find(struct hf_slice path)
{
	size_t prefix = sizeof PREFIX - 1;
	struct hf_slice name = HF_SLICE_LITERAL("index.html");
	if (path.length > prefix + 1)
		name = hf_slice(path.data + prefix + 1, path.length - prefix - 1);
	for (size_t i = 0; i < hf_dashboard_file_count; i++)
		if (hf_slice_equal(name, hf_slice_text(hf_dashboard_files[i].name)))
			return &hf_dashboard_files[i];
	return NULL;
}

static bool contains(struct hf_slice text, const char *word)
{
	return text.length > 0 && memmem(text.data, text.length, word, strlen(word)) != NULL;
}

/* "gzip" in the list, and not told to keep away with a weight of nothing. */
static bool takes_gzip(struct hf_slice accepted)
{
	const uint8_t *at = accepted.length > 0 ? memmem(accepted.data, accepted.length, "gzip", 4) : NULL;
	struct hf_slice rest = at ? hf_slice(at + 4, (size_t)(accepted.data + accepted.length - at - 4)) : (struct hf_slice){0};
	const uint8_t *comma = rest.length > 0 ? memchr(rest.data, ',', rest.length) : NULL;
	if (comma)
		rest.length = (size_t)(comma - rest.data);
	return at && (!contains(rest, "q=0") || contains(rest, "q=0."));
}

static void handle_dashboard(void *context, struct hf_http_exchange *x)
{
	const struct hf_dashboard_file *file = find(hf_http_path(x));
	uint8_t hash[HF_SHA256_BYTES];
	char tag[2 * TAG_BYTES + 3], fields[512];
	if (!file) {
		hf_http_respond(x, 404, "text/plain", HF_SLICE_LITERAL("not found\n"), NULL);
		return;
	}
	bool is_packed = takes_gzip(hf_http_header(x, "Accept-Encoding"));
	struct hf_slice body = is_packed ? file->packed : file->plain;
	hf_sha256(hash, body);
	hf_hex_encode(tag + 1, hash, TAG_BYTES);
	tag[0] = tag[2 * TAG_BYTES + 1] = '"';
	tag[2 * TAG_BYTES + 2] = '\0';
	snprintf(fields, sizeof fields, "%sETag: %s\r\n%s", policy, tag, is_packed ? "Content-Encoding: gzip\r\n" : "");
	if (contains(hf_http_header(x, "If-None-Match"), tag))
		hf_http_respond(x, 304, NULL, (struct hf_slice){0}, fields);
	else
		hf_http_respond(x, 200, file->content_type, body, fields);
}

const struct hf_http_route hf_gateway_dashboard_routes[HF_GATEWAY_DASHBOARD_ROUTE_COUNT] = {
	HF_ROUTE("GET", PREFIX, HF_ACCESS_PUBLIC, handle_dashboard),
	HF_ROUTE("GET", PREFIX "/*", HF_ACCESS_PUBLIC, handle_dashboard),
};
