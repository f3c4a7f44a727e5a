#include "service/core_metrics.h"

#define COUNTER(name, labels, help, field) HF_METRIC_COUNTER("holdfast_replication_" name, labels, help, struct hf_replicator_stats, field)
#define GAUGE(name, labels, help, field) HF_METRIC_GAUGE("holdfast_replication_" name, labels, help, struct hf_replicator_stats, field)

static const struct hf_metric_row rows[] = {
	GAUGE("streams", "", "Connections with peers", streams),
	GAUGE("channels", "", "Cores open with peers, each counted for each peer", channels),
	COUNTER("blocks_total", "direction=\"sent\"", "Blocks of cores", blocks_sent),
	COUNTER("blocks_total", "direction=\"received\"", "Blocks of cores", blocks_received),
	COUNTER("bytes_total", "direction=\"sent\"", "Bytes in these blocks", bytes_sent),
	COUNTER("bytes_total", "direction=\"received\"", "Bytes in these blocks", bytes_received),
	COUNTER("requests_total", "direction=\"sent\"", "Requests for blocks and proofs", requests_sent),
	COUNTER("requests_total", "direction=\"received\"", "Requests for blocks and proofs", requests_received),
	COUNTER("refused_total", "direction=\"sent\"", "Requests that could not be answered", refused_sent),
	COUNTER("refused_total", "direction=\"received\"", "Requests that could not be answered", refused_received),
	COUNTER("false_proofs_total", "", "Proofs of peers that did not hold", proofs_false),
	COUNTER("peers_failed_total", "", "Peers disconnected for breaking the protocol", peers_failed),
	COUNTER("channels_rejected_total", "", "Cores that peers did not open", channels_rejected),
};

static void read_stats(void *context, void *snapshot)
{
	hf_replicator_stats(hf_core_host_replicator(context), snapshot);
}

int hf_core_metrics_new(struct hf_metric_table **out, struct hf_metrics *registry, struct hf_core_host *host)
{
	int r = hf_metric_table_new(out, registry, sizeof(struct hf_replicator_stats), read_stats, host);
	if (r == HF_OK)
		r = hf_metric_table_add(*out, rows, sizeof rows / sizeof *rows);
	if (r < 0) {
		hf_metric_table_free(*out);
		*out = NULL;
	}
	return r;
}
