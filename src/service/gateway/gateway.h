/* gateway: the role that serves relays: it opens the data directory and what is in it, listens, and ends in order.
 *
 * SIGTERM and SIGINT drain: no new connections, WebSockets are closed with 1001, what is under way is committed and
 * answered, the store is closed. A second one ends at once. SIGHUP loads the configuration again and applies what can
 * be changed while running (settings marked so), and reads the TLS certificate anew.
 */
#ifndef HF_SERVICE_GATEWAY_GATEWAY_H
#define HF_SERVICE_GATEWAY_GATEWAY_H

#include "service/config.h"

struct hf_gateway_options {
	size_t size;
	struct hf_config *config;      /* taken: freed at the end */
	/* Loads the configuration again from the same places; for SIGHUP and `reload`. */
	int (*load)(void *context, struct hf_config **out, struct hf_failure *failure);
	void *context;
	bool is_worker;                /* it offers its relays to gateways, too; the configuration was prepared (hf_worker_config_prepare) */
};

/* Runs until told to end. HF_OK after an orderly end; else the sentence says what kept it from starting. */
int hf_gateway_run(const struct hf_gateway_options *options, struct hf_failure *failure);

#endif
