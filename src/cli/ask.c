#include "cli/ask.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/door.h"
#include "cli/terminal.h"

#define ANSWER_BYTES_MAX (16u << 20)

static int fail_no_gateway(const struct hf_cli *cli, struct hf_failure *failure)
{
	return hf_fail(failure, HF_ENOTFOUND, "No gateway runs on %s.", cli->config->data);
}

/* An unhealthy gateway answers with status 503, and reasons. */
static int read_answer(struct hf_slice text, unsigned status, json_t **answer, struct hf_failure *failure)
{
	*answer = json_loadb((const char *)text.data, text.length, 0, NULL);
	if (*answer && (status / 100 == 2 || (status == 503 && json_object_get(*answer, "reasons"))))
		return HF_OK;
	json_decref(*answer);
	*answer = NULL;
	return hf_cli_door_refusal(text, status, failure);
}

json_t *hf_cli_ask(struct hf_cli *cli, const char *what, json_t *arguments, struct hf_failure *failure)
{
	unsigned status = 0;
	struct hf_buffer text = {0};
	json_t *answer = NULL;
	bool is_post = arguments != NULL, is_here = !hf_cli_door_is_remote(cli);
	char *body = is_post ? json_dumps(arguments, JSON_COMPACT) : NULL;
	json_decref(arguments);
	const struct hf_cli_question question = {.what = what, .content_type = is_post ? "application/json" : NULL,
		.body = hf_slice_text(body ? body : ""), .answer_bytes_max = ANSWER_BYTES_MAX};
	if (is_post && !body)
		failure->code = hf_fail(failure, HF_ENOMEM, "Out of memory.");
	else if (is_here && !hf_cli_door_is_there(cli))
		failure->code = fail_no_gateway(cli, failure);
	else
		failure->code = hf_cli_door_ask(cli, &question, &status, &text, failure);
	if (failure->code == HF_EADDR && is_here)
		failure->code = fail_no_gateway(cli, failure); /* one was killed, and its socket is left */
	if (failure->code == HF_OK)
		failure->code = read_answer(hf_buffer_slice(&text), status, &answer, failure);
	hf_buffer_free(&text);
	free(body);
	return answer;
}

int hf_cli_show(struct hf_cli *cli, json_t *answer, const struct hf_failure *failure)
{
	if (!answer)
		return hf_cli_fail(failure);
	if (cli->json)
		hf_terminal_json(answer);
	else
		hf_terminal_facts(answer);
	json_decref(answer);
	return HF_CLI_OK;
}

int hf_cli_show_done(struct hf_cli *cli, json_t *answer, const char *done, const struct hf_failure *failure)
{
	if (!answer || cli->json)
		return hf_cli_show(cli, answer, failure);
	puts(done);
	json_decref(answer);
	return HF_CLI_OK;
}
