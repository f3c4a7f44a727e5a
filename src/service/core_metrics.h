/* core_metrics: what is exchanged with peers, as metrics (holdfast_replication_…), of the cores of one host. */
#ifndef HF_SERVICE_CORE_METRICS_H
#define HF_SERVICE_CORE_METRICS_H

#include "base/metric_table.h"
#include "peer/core_host.h"

/* The registry is printed on the host's thread; the table is freed before the host. HF_ENOMEM. */
int hf_core_metrics_new(struct hf_metric_table **out, struct hf_metrics *registry, struct hf_core_host *host);

#endif
