/* target: both ways run the same action; only the way there differs. */
#include "cli/target.h"

#include <unistd.h>

#include "cli/door.h"
#include "cli/remote.h"
#include "crypto/hash.h"

#define ACTION_TIMEOUT_MS (24u * 3600 * 1000)
#define ANSWER_BYTES_MAX (512u << 20)
#define WORK_COUNT_MAX 4096

int hf_cli_target_open(struct hf_cli_target *t, struct hf_cli *cli, bool create, struct hf_failure *failure)
{
	struct hf_failure locked = {0};
	*t = (struct hf_cli_target){.cli = cli, .directory = {.lock_descriptor = -1}};
	int r = hf_crypto_init();
	if (r < 0)
		return hf_fail(failure, r, "The system has no random source.");
	if (hf_cli_door_is_remote(cli))
		return HF_OK;
	r = hf_datadir_open(&t->directory, &cli->env, cli->config->data, create, &locked);
	if (r == HF_EBUSY && hf_cli_door_is_there(cli))
		return HF_OK;
	if (r < 0) {
		*failure = locked;
		return r;
	}
	r = hf_datadir_open_store(&t->directory, cli->config, NULL, false, &t->store, failure);
	if (r == HF_OK) {
		long cores = sysconf(_SC_NPROCESSORS_ONLN);
		r = hf_executor_start(&t->executor, "verify", cores > 0 && cores < 256 ? (unsigned)cores : 1, WORK_COUNT_MAX);
		if (r < 0)
			hf_fail(failure, r, "Starting worker threads failed: %s.", hf_error_text(r));
	}
	if (r < 0)
		hf_cli_target_close(t);
	return r;
}

void hf_cli_target_close(struct hf_cli_target *t)
{
	if (t->remote)
		hf_cli_remote_close(t->remote);
	if (t->executor)
		hf_executor_stop(t->executor);
	hf_corestore_close(t->cores);
	if (t->store)
		hf_store_close(t->store);
	hf_datadir_close(&t->directory);
	*t = (struct hf_cli_target){.directory = {.lock_descriptor = -1}};
}

static int make_input(struct hf_buffer *input, const char *arguments, struct hf_slice data)
{
	int r = hf_buffer_append_text(input, arguments);
	if (r == HF_OK)
		r = hf_buffer_append(input, "\n", 1);
	return r == HF_OK && data.length ? hf_buffer_append(input, data.data, data.length) : r;
}

/* The context of an action is the target. */
static int turn(void *context, struct hf_failure *failure)
{
	struct hf_cli_target *t = context;
	return hf_cli_remote_turn(t->remote, failure);
}

static int flush(void *context, struct hf_buffer *out)
{
	struct hf_cli_target *t = context;
	return t->flush(t->context, out);
}

static void progress(void *context, uint64_t done, uint64_t total)
{
	struct hf_cli_target *t = context;
	t->progress(t->context, done, total);
}

static int run_here(struct hf_cli_target *t, const char *action, struct hf_slice input, struct hf_buffer *out, struct hf_failure *failure)
{
	struct hf_corestore_options options = {.size = sizeof options, .store = t->store, .env = &t->cli->env, .blocking = true};
	struct hf_action_call call = {.env = &t->cli->env, .store = t->store, .executor = t->executor, .config = t->cli->config, .input = input,
		.flush = t->flush ? flush : NULL, .progress = t->progress ? progress : NULL, .context = t};
	if (hf_action_is_on_cores(action) && !t->cores && !t->remote) {
		int opened = hf_action_open_cores(&t->cores, &options, t->cli->config, failure);
		if (opened < 0)
			return opened;
	}
	call.cores = t->remote ? hf_core_node_cores(t->remote->node) : t->cores;
	call.turn = t->remote ? turn : NULL;
	call.hinter = t->remote ? hf_bee_asker_hinter(t->remote->asker) : NULL;
	int r = hf_action_run(action, &call);
	if (r < 0)
		*failure = call.failure;
	if (call.out.length > 0 && hf_buffer_append(out, call.out.data, call.out.length) < 0)
		r = hf_fail(failure, HF_ENOMEM, "Out of memory.");
	hf_buffer_free(&call.out);
	return r;
}

static int run_there(struct hf_cli_target *t, const char *action, struct hf_slice input, struct hf_buffer *out, struct hf_failure *failure)
{
	unsigned status = 0;
	struct hf_buffer body = {0};
	const struct hf_cli_question question = {.what = action, .content_type = "application/x-ndjson",
		.body = input, .timeout_ms = ACTION_TIMEOUT_MS, .answer_bytes_max = ANSWER_BYTES_MAX};
	int r = hf_cli_door_ask(t->cli, &question, &status, &body, failure);
	if (r == HF_OK && status != 200 && status != 204)
		r = hf_cli_door_refusal(hf_buffer_slice(&body), status, failure);
	else if (r == HF_OK && body.length > 0 && hf_buffer_append(out, body.data, body.length) < 0)
		r = hf_fail(failure, HF_ENOMEM, "Out of memory.");
	hf_buffer_free(&body);
	return r;
}

int hf_cli_target_run(struct hf_cli_target *t, const char *action, const char *arguments, struct hf_slice data,
	struct hf_buffer *out, struct hf_failure *failure)
{
	struct hf_buffer input = {0};
	int r = make_input(&input, arguments, data);
	if (r < 0)
		hf_fail(failure, r, "Out of memory.");
	else if (!hf_cli_target_is_gateway(t))
		r = run_here(t, action, hf_buffer_slice(&input), out, failure);
	else
		r = run_there(t, action, hf_buffer_slice(&input), out, failure);
	hf_buffer_free(&input);
	return r;
}

int hf_cli_target_ask(struct hf_cli *cli, const char *action, const char *arguments, struct hf_slice data, struct hf_buffer *out,
	struct hf_failure *failure)
{
	struct hf_cli_target target;
	int r = hf_cli_target_open(&target, cli, false, failure);
	if (r < 0)
		return r;
	r = hf_cli_target_run(&target, action, arguments, data, out, failure);
	hf_cli_target_close(&target);
	return r;
}
