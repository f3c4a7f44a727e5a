#include "service/metrics_http.h"

#define CONNECTIONS_MAX 16

void hf_metrics_http_answer(struct hf_metrics *metrics, struct hf_http_exchange *exchange)
{
	struct hf_buffer text = {0};

	if (hf_metrics_print(metrics, &text) == HF_OK)
		hf_http_respond(exchange, 200, "text/plain; version=0.0.4", hf_buffer_slice(&text), NULL);
	else
		hf_http_respond(exchange, 503, "text/plain", HF_SLICE_LITERAL("out of memory\n"), NULL);
	hf_buffer_free(&text);
}

static void handle(void *context, struct hf_http_exchange *exchange)
{
	hf_metrics_http_answer(context, exchange);
}

int hf_metrics_http_listen(struct hf_http_server **out, struct hf_loop *loop, struct hf_metrics *metrics, const char *text,
	struct hf_address *bound, struct hf_failure *failure)
{
	static const struct hf_http_route route = HF_ROUTE("GET", "/metrics", HF_ACCESS_LOCAL, handle);
	struct hf_http_server_options options = {.size = sizeof options, .loop = loop, .routes = &route, .route_count = 1, .context = metrics,
		.connection_count_max = CONNECTIONS_MAX};
	struct hf_address address;
	int r = hf_address_parse(text, &address, failure);

	*out = NULL;
	if (r < 0)
		return r;
	if (hf_address_class(&address) != HF_ADDRESS_LOOPBACK)
		return hf_fail(failure, HF_EINVAL, "Metrics are told at loopback addresses only, like 127.0.0.1:9777, not at \"%.60s\".", text);
	r = hf_http_server_new(out, &options);
	if (r < 0)
		return hf_fail(failure, r, "The HTTP server cannot start: %s.", hf_error_text(r));
	r = hf_http_server_listen(*out, &address, NULL, bound, failure);
	if (r < 0) {
		hf_http_server_free(*out);
		*out = NULL;
	}
	return r;
}
