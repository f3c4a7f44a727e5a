/* metrics_http: a registry of metrics over HTTP, as Prometheus asks for it. */
#ifndef HF_SERVICE_METRICS_HTTP_H
#define HF_SERVICE_METRICS_HTTP_H

#include "base/metrics.h"
#include "net/http_server.h"

/* Answers an exchange with all that is registered. */
void hf_metrics_http_answer(struct hf_metrics *metrics, struct hf_http_exchange *exchange);
/* A server of its own at a loopback address, "127.0.0.1:9777", for GET /metrics and nothing else. The registry outlives it. HF_EINVAL (not
 * a loopback address), HF_EADDR, HF_ENOMEM. */
int hf_metrics_http_listen(struct hf_http_server **out, struct hf_loop *loop, struct hf_metrics *metrics, const char *address,
	struct hf_address *bound, struct hf_failure *failure);

#endif
