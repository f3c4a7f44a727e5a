/* audit: the commands on the audit log. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/target.h"
#include "cli/terminal.h"

/* The last line of a page, taken off it; the page's other lines stay. */
static json_t *take_last_line(struct hf_buffer *page)
{
	size_t end = page->length, from;
	if (end > 0 && page->data[end - 1] == '\n')
		end--;
	for (from = end; from > 0 && page->data[from - 1] != '\n'; from--)
		continue;
	json_t *last = json_loadb((const char *)page->data + from, end - from, 0, NULL);
	page->length = from;
	return last;
}

/* One page to standard output. *from: where the next begins; false at the end. */
static bool export_page(struct hf_cli *cli, struct hf_cli_target *target, json_int_t *from, int *status, struct hf_failure *failure)
{
	struct hf_buffer page = {0};
	char arguments[64];
	snprintf(arguments, sizeof arguments, "{\"from\":%lld}", (long long)*from);
	*status = hf_cli_target_run(target, "audit/export", arguments, (struct hf_slice){0}, &page, failure);
	json_t *end = *status == HF_OK && page.length > 0 ? take_last_line(&page) : NULL;
	json_t *next = json_object_get(end, "next");
	if (*status == HF_OK && page.length > 0)
		fwrite(page.data, 1, page.length, stdout);
	bool goes_on = json_is_integer(next);
	*from = goes_on ? json_integer_value(next) : *from;
	if (end && !goes_on)
		fprintf(stderr, "holdfast: %lld records; the newest one's hash is %s\n", (long long)json_integer_value(json_object_get(end, "records")),
			json_string_value(json_object_get(end, "head")));
	json_decref(end);
	hf_buffer_free(&page);
	return goes_on;
}

int hf_cli_audit_export(struct hf_cli *cli)
{
	struct hf_cli_target target;
	struct hf_failure failure = {0};
	json_int_t from = 0;
	int r = hf_cli_target_open(&target, cli, false, &failure);
	if (r == HF_OK) {
		while (export_page(cli, &target, &from, &r, &failure))
			continue;
		hf_cli_target_close(&target);
	}
	failure.code = r;
	return r < 0 ? hf_cli_fail(&failure) : HF_CLI_OK;
}

int hf_cli_audit_verify(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	struct hf_buffer out = {0};
	int r = hf_cli_target_ask(cli, "audit/verify", "{}", (struct hf_slice){0}, &out, &failure);
	json_t *facts = out.length > 0 ? json_loadb((const char *)out.data, out.length, 0, NULL) : NULL;
	if (facts && cli->json)
		fwrite(out.data, 1, out.length, stdout);
	else if (facts)
		hf_terminal_facts(facts);
	/* A gateway gives the result and no error. */
	if (r == HF_OK && facts && !json_is_true(json_object_get(facts, "sound")))
		r = hf_fail(&failure, HF_ECORRUPT, "The audit log was changed: record %lld does not fit the one before it.",
			(long long)json_integer_value(json_object_get(facts, "fault")));
	json_decref(facts);
	hf_buffer_free(&out);
	failure.code = r;
	return r < 0 ? hf_cli_fail(&failure) : HF_CLI_OK;
}

int hf_cli_audit_tail(struct hf_cli *cli)
{
	struct hf_failure failure = {0};
	struct hf_buffer out = {0};
	char arguments[64];
	const char *count = hf_cli_option(cli, "count");
	snprintf(arguments, sizeof arguments, "{\"count\":%lu}", count ? strtoul(count, NULL, 10) : 20ul);
	int r = hf_cli_target_ask(cli, "audit/tail", arguments, (struct hf_slice){0}, &out, &failure);
	if (r == HF_OK && out.length > 0)
		fwrite(out.data, 1, out.length, stdout);
	hf_buffer_free(&out);
	failure.code = r;
	return r < 0 ? hf_cli_fail(&failure) : HF_CLI_OK;
}
