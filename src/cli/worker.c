/* worker: the command that serves relays and files by way of gateways. */
#include "service/worker/worker.h"

#include "cli/command.h"
#include "service/gateway/gateway.h"

static int load(void *context, struct hf_config **out, struct hf_failure *failure)
{
	int r = hf_cli_load_config(context, out, failure);
	if (r == HF_OK && (r = hf_worker_config_prepare(*out, failure)) < 0) {
		hf_config_free(*out);
		*out = NULL;
	}
	return r;
}

int hf_cli_worker(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	struct hf_gateway_options options = {.size = sizeof options, .config = cli->config, .load = load, .context = cli, .is_worker = true};
	failure.code = hf_worker_config_prepare(cli->config, &failure);
	if (failure.code < 0)
		return hf_cli_fail(&failure);
	cli->config = NULL;
	failure.code = hf_gateway_run(&options, &failure);
	return failure.code == HF_OK ? HF_CLI_OK : hf_cli_fail(&failure);
}
