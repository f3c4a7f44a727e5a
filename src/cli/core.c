/* core: the commands that are one action on a core and print what comes of it. */
#include "cli/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/terminal.h"
#include "codec/core_key.h"

/* ---- In common ---- */

int hf_cli_core_usage(const struct hf_cli *cli, const char *sentence)
{
	fprintf(stderr, "holdfast: %s `holdfast %s --help` shows how.\n", sentence, cli->command->words);
	return HF_CLI_USAGE;
}

int hf_cli_core_fail(const struct hf_failure *failure)
{
	hf_terminal_fail(failure->text[0] ? failure->text : hf_error_text(failure->code));
	return failure->code == HF_ECORRUPT ? HF_CLI_CORRUPT : HF_CLI_FAILED;
}

static bool is_key_hex(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64;
}

bool hf_cli_core_hex(uint8_t *out, const char *text, size_t length)
{
	char pair[3] = {0}, *end;
	for (size_t i = 0; i < length; i++) {
		memcpy(pair, text + 2 * i, 2);
		out[i] = (uint8_t)strtoul(pair, &end, 16);
		if (end != pair + 2 || pair[0] == '+' || pair[0] == '-' || pair[0] == ' ')
			return false;
	}
	return true;
}

json_t *hf_cli_core_arguments(struct hf_cli *cli, unsigned *next)
{
	const char *name = hf_cli_option(cli, "name"), *name_space = hf_cli_option(cli, "namespace");
	const char *encryption_key = hf_cli_option(cli, "encryption-key");
	uint8_t key[32];
	char sentence[256];
	*next = name ? 0 : 1;
	if (name && !name[0]) {
		hf_cli_core_usage(cli, "--name is empty.");
		return NULL;
	}
	/* Where KEY is left out there is one argument fewer; more could only be a KEY that nobody would look at. */
	if (name && cli->argument_count == cli->command->argument_count_max && cli->argument_count < HF_CLI_ARGUMENT_COUNT_MAX) {
		hf_cli_core_usage(cli, "--name stands in the place of KEY: give one of them.");
		return NULL;
	}
	if (!name && cli->argument_count == 0) {
		hf_cli_core_usage(cli, "say which core: its KEY, or --name NAME.");
		return NULL;
	}
	if (!name && hf_core_key_decode(key, hf_slice_text(cli->arguments[0])) < 0) {
		snprintf(sentence, sizeof sentence, "\"%.80s\" is no core key: that is 52 characters of z-base-32, or 64 of hexadecimal.",
			cli->arguments[0]);
		hf_cli_core_usage(cli, sentence);
		return NULL;
	}
	if ((encryption_key && !is_key_hex(encryption_key)) || (name_space && !is_key_hex(name_space))) {
		hf_cli_core_usage(cli, "--encryption-key and --namespace are 32 bytes each, written as 64 characters of hexadecimal.");
		return NULL;
	}
	return json_pack("{s:s*, s:s*, s:s*, s:s*}", "key", name ? NULL : cli->arguments[0], "name", name, "namespace", name_space,
		"encryption_key",
		encryption_key);
}

bool hf_cli_core_number(const struct hf_cli *cli, unsigned at, const char *what, uint64_t *out)
{
	char sentence[200];
	if (at < cli->argument_count && hf_text_to_u64(cli->arguments[at], out) == HF_OK && *out <= INT64_MAX)
		return true;
	if (at < cli->argument_count)
		snprintf(sentence, sizeof sentence, "%s is a whole number from 0 on, not \"%.80s\".", what, cli->arguments[at]);
	else
		snprintf(sentence, sizeof sentence, "%s is missing.", what);
	hf_cli_core_usage(cli, sentence);
	return false;
}

bool hf_cli_core_option_number(const struct hf_cli *cli, const char *option, uint64_t otherwise, uint64_t *out)
{
	const char *text = hf_cli_option(cli, option);
	char sentence[200];
	*out = otherwise;
	if (!text || (hf_text_to_u64(text, out) == HF_OK && *out <= INT64_MAX))
		return true;
	snprintf(sentence, sizeof sentence, "--%s is a whole number from 0 on, not \"%.80s\".", option, text);
	hf_cli_core_usage(cli, sentence);
	return false;
}

static bool range_number(const char *text, size_t length, uint64_t *out)
{
	char digits[24];
	snprintf(digits, sizeof digits, "%.*s", (int)length, text);
	return length > 0 && length < sizeof digits && hf_text_to_u64(digits, out) == HF_OK && *out < INT64_MAX;
}

bool hf_cli_core_range(const char *text, struct hf_cli_range *range)
{
	const char *dots = strstr(text, "..");
	size_t length = strlen(text), before = dots ? (size_t)(dots - text) : length;
	*range = (struct hf_cli_range){0, UINT64_MAX};
	if (before > 0 && !range_number(text, before, &range->from))
		return false;
	if (!dots) {
		range->to = range->from + 1;
		return length > 0;
	}
	if (dots[2] && !range_number(dots + 2, length - before - 2, &range->to))
		return false;
	return range->to >= range->from && length > 2;
}

int hf_cli_core_run(struct hf_cli_target *target, const char *action, const json_t *arguments, struct hf_slice data, struct hf_buffer *out,
	struct hf_failure *failure)
{
	char *line = json_dumps(arguments, JSON_COMPACT);
	int r = line ? hf_cli_target_run(target, action, line, data, out, failure) : hf_fail(failure, HF_ENOMEM, "Out of memory.");
	free(line);
	failure->code = r;
	return r;
}

int hf_cli_core_ask(struct hf_cli_target *target, const char *action, const json_t *arguments, struct hf_slice data, struct hf_buffer *out,
	json_t **head, size_t *body, struct hf_failure *failure)
{
	json_error_t error;
	hf_buffer_clear(out);
	json_decref(*head);
	*head = NULL;
	int r = hf_cli_core_run(target, action, arguments, data, out, failure);
	if (r < 0)
		return r;
	const uint8_t *end = out->length ? memchr(out->data, '\n', out->length) : NULL;
	*head = end ? json_loadb((const char *)out->data, (size_t)(end - out->data), 0, &error) : NULL;
	if (!*head)
		return failure->code = hf_fail(failure, HF_EMALFORMED, "The answer of the process that holds the data directory cannot be read.");
	*body = (size_t)(end - out->data) + 1;
	return HF_OK;
}

/* Runs one action, takes arguments, and gives the exit code; out has the answer. */
static int run_once(struct hf_cli *cli, const char *action, json_t *arguments, bool create, struct hf_buffer *out)
{
	struct hf_cli_target target;
	struct hf_failure failure = {0};
	if (!arguments)
		return HF_CLI_USAGE;
	failure.code = hf_cli_target_open(&target, cli, create, &failure);
	if (failure.code < 0) {
		json_decref(arguments);
		return hf_cli_fail(&failure);
	}
	hf_cli_core_run(&target, action, arguments, (struct hf_slice){0}, out, &failure);
	json_decref(arguments);
	hf_cli_target_close(&target);
	return failure.code < 0 ? hf_cli_core_fail(&failure) : HF_CLI_OK;
}

static json_t *read_object(const struct hf_buffer *out)
{
	json_error_t error;
	return json_loadb((const char *)out->data, out->length, 0, &error);
}

/* Prints the answer: as it is, or as facts. */
static int print_once(struct hf_cli *cli, const char *action, json_t *arguments)
{
	struct hf_buffer out = {0};
	int code = run_once(cli, action, arguments, false, &out);
	json_t *facts = code == HF_CLI_OK && !cli->json ? read_object(&out) : NULL;
	if (code == HF_CLI_OK && cli->json)
		fwrite(out.data, 1, out.length, stdout);
	else if (facts)
		hf_terminal_facts(facts);
	json_decref(facts);
	hf_buffer_free(&out);
	return code;
}

/* ---- Making ---- */

static bool absolute_path(const char *given, char out[static HF_PATH_BYTES_MAX])
{
	char here[HF_PATH_BYTES_MAX] = {0};
	if (given[0] != '/' && !getcwd(here, sizeof here))
		return false;
	return snprintf(out, HF_PATH_BYTES_MAX, "%s%s%s", here, given[0] == '/' ? "" : "/", given) < HF_PATH_BYTES_MAX;
}

int hf_cli_core_create_as(struct hf_cli *cli, const char *action)
{
	const char *file = hf_cli_option(cli, "secret-key-file"), *encryption_key = hf_cli_option(cli, "encryption-key");
	const char *name_space = hf_cli_option(cli, "namespace"), *manifest = hf_cli_option(cli, "manifest"), *name = hf_cli_option(cli, "name");
	char path[HF_PATH_BYTES_MAX];
	struct hf_buffer out = {0};
	uint64_t version;
	if (!hf_cli_core_option_number(cli, "manifest-version", 0, &version))
		return HF_CLI_USAGE;
	if (name && !name[0])
		return hf_cli_core_usage(cli, "--name is empty; leave it out for a core without a name.");
	if (file && !absolute_path(file, path))
		return hf_cli_core_usage(cli, "the path of --secret-key-file is too long.");
	if ((encryption_key && !is_key_hex(encryption_key)) || (name_space && !is_key_hex(name_space)))
		return hf_cli_core_usage(cli, "--encryption-key and --namespace are 32 bytes each, written as 64 characters of hexadecimal.");
	if (manifest && (!manifest[0] || strlen(manifest) % 2 || manifest[strspn(manifest, "0123456789abcdefABCDEF")]))
		return hf_cli_core_usage(cli, "--manifest is the encoding of a manifest, in hexadecimal.");
	json_t *arguments = json_pack("{s:s*, s:s*, s:s*, s:s*, s:s*, s:b, s:I}", "name", name, "namespace", name_space,
		"manifest", manifest, "secret_key_file", file ? path : NULL, "encryption_key", encryption_key, "compat",
		hf_cli_option(cli, "compat") != NULL, "manifest_version", (json_int_t)version);
	int code = run_once(cli, action, arguments, true, &out);
	json_t *facts = code == HF_CLI_OK ? read_object(&out) : NULL;
	if (code == HF_CLI_OK && cli->json)
		fwrite(out.data, 1, out.length, stdout);
	else if (facts)
		puts(json_string_value(json_object_get(facts, "key")));
	if (facts && !json_is_true(json_object_get(facts, "created")))
		fprintf(stderr, "holdfast: the core was there already; nothing was changed.\n");
	json_decref(facts);
	hf_buffer_free(&out);
	return code;
}

int hf_cli_core_create(struct hf_cli *cli)
{
	return hf_cli_core_create_as(cli, "core/create");
}

/* ---- Telling ---- */

int hf_cli_core_info_as(struct hf_cli *cli, const char *action)
{
	unsigned next;
	struct hf_buffer out = {0};
	int code = run_once(cli, action, hf_cli_core_arguments(cli, &next), false, &out);
	json_t *facts = code == HF_CLI_OK ? read_object(&out) : NULL, *signer;
	size_t i;
	if (code == HF_CLI_OK && cli->json) {
		fwrite(out.data, 1, out.length, stdout);
	} else if (facts) {
		hf_terminal_facts(facts);
		json_array_foreach(json_object_get(facts, "signers"), i, signer)
			printf("signer %-12zu %s\n", i, json_string_value(json_object_get(signer, "public_key")));
	}
	json_decref(facts);
	hf_buffer_free(&out);
	return code;
}

int hf_cli_core_info(struct hf_cli *cli)
{
	return hf_cli_core_info_as(cli, "core/info");
}

static void print_row(const json_t *facts)
{
	char size[32];
	const char *name = json_string_value(json_object_get(facts, "name"));
	uint64_t bytes = (uint64_t)json_integer_value(json_object_get(facts, "byte_length"));
	printf("%s %10lld %10lld %10s  %s%s\n", json_string_value(json_object_get(facts, "key")),
		(long long)json_integer_value(json_object_get(facts, "length")), (long long)json_integer_value(json_object_get(facts, "blocks_held")),
		hf_text_from_bytes(size, sizeof size, bytes), json_is_true(json_object_get(facts, "writable")) ? "w " : "- ", name ? name : "");
}

int hf_cli_core_list(struct hf_cli *cli)
{
	struct hf_buffer out = {0};
	json_error_t error;
	int code = run_once(cli, "core/list", json_object(), false, &out);
	if (code == HF_CLI_OK && cli->json && out.length > 0)
		fwrite(out.data, 1, out.length, stdout);
	else if (code == HF_CLI_OK && !cli->json)
		printf("%-52s %10s %10s %10s  %s\n", "key", "blocks", "held", "bytes", "w name");
	for (const char *at = (const char *)out.data, *end = at + out.length; code == HF_CLI_OK && !cli->json && at && at < end;) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		json_t *facts = json_loadb(at, (size_t)((stop ? stop : end) - at), 0, &error);
		if (facts)
			print_row(facts);
		json_decref(facts);
		at = stop ? stop + 1 : end;
	}
	hf_buffer_free(&out);
	return code;
}

/* A number that stands among the arguments, and the field that it goes into. */
struct number {
	const char *name, *field;
};

/* What names the core, and `count` numbers behind it. NULL: it has been said what is wrong. */
static json_t *arguments_with(struct hf_cli *cli, const struct number *numbers, unsigned count)
{
	unsigned next;
	uint64_t value;
	json_t *arguments = hf_cli_core_arguments(cli, &next);
	for (unsigned i = 0; arguments && i < count; i++) {
		if (!hf_cli_core_number(cli, next + i, numbers[i].name, &value)) {
			json_decref(arguments);
			return NULL;
		}
		json_object_set_new(arguments, numbers[i].field, json_integer((json_int_t)value));
	}
	return arguments;
}

int hf_cli_core_seek(struct hf_cli *cli)
{
	json_t *arguments = arguments_with(cli, &(struct number){"BYTES", "bytes"}, 1);
	return arguments ? print_once(cli, "core/seek", arguments) : HF_CLI_USAGE;
}

/* ---- Changing ---- */

int hf_cli_core_truncate(struct hf_cli *cli)
{
	uint64_t fork;
	json_t *arguments = arguments_with(cli, &(struct number){"LENGTH", "length"}, 1);
	if (!arguments || !hf_cli_core_option_number(cli, "fork", UINT64_MAX, &fork)) {
		json_decref(arguments);
		return HF_CLI_USAGE;
	}
	if (fork != UINT64_MAX)
		json_object_set_new(arguments, "fork", json_integer((json_int_t)fork));
	return print_once(cli, "core/truncate", arguments);
}

int hf_cli_core_clear(struct hf_cli *cli)
{
	json_t *arguments = arguments_with(cli, (const struct number[]){{"START", "from"}, {"END", "to"}}, 2);
	return arguments ? print_once(cli, "core/clear", arguments) : HF_CLI_USAGE;
}

/* ---- Verifying ---- */

struct verifying {
	uint64_t blocks, bytes, faults;
	json_int_t next;
};

/* Takes in what one call found; prints its faults, in JSON only counts them. */
static void print_text(FILE *out, const json_t *text, const char *end)
{
	hf_terminal_text(out, hf_slice(json_string_value(text), json_string_length(text)));
	fputs(end, out);
}

static int take_verified(struct hf_cli *cli, struct verifying *v, const struct hf_buffer *out, struct hf_progress *progress)
{
	json_t *report = read_object(out), *next = json_object_get(report, "next"), *faults = json_object_get(report, "faults"), *fault;
	size_t i;
	if (!report)
		return HF_EMALFORMED;
	v->blocks += (uint64_t)json_integer_value(json_object_get(report, "blocks"));
	v->bytes += (uint64_t)json_integer_value(json_object_get(report, "bytes"));
	v->faults += json_array_size(faults);
	v->next = json_is_integer(next) ? json_integer_value(next) : -1;
	if (json_array_size(faults) > 0)
		hf_progress_end(progress);
	json_array_foreach(faults, i, fault)
		print_text(cli->json ? stderr : stdout, fault, "\n");
	hf_progress_show(progress, v->blocks, (uint64_t)json_integer_value(json_object_get(report, "blocks_held")));
	json_decref(report);
	return HF_OK;
}

int hf_cli_core_verify(struct hf_cli *cli)
{
	unsigned next;
	struct verifying v = {0};
	struct hf_cli_target target;
	struct hf_failure failure = {0};
	struct hf_progress progress;
	json_t *arguments = hf_cli_core_arguments(cli, &next);
	if (!arguments)
		return HF_CLI_USAGE;
	failure.code = hf_cli_target_open(&target, cli, false, &failure);
	if (failure.code < 0) {
		json_decref(arguments);
		return hf_cli_fail(&failure);
	}
	hf_progress_begin(&progress, &cli->env, "blocks");
	for (int r = HF_OK; r == HF_OK && v.next >= 0;) {
		struct hf_buffer out = {0};
		json_object_set_new(arguments, "from", json_integer(v.next));
		r = hf_cli_core_run(&target, "core/verify", arguments, (struct hf_slice){0}, &out, &failure);
		if (r == HF_OK)
			failure.code = r = take_verified(cli, &v, &out, &progress);
		hf_buffer_free(&out);
	}
	hf_progress_end(&progress);
	hf_cli_target_close(&target);
	json_decref(arguments);
	if (failure.code < 0)
		return hf_cli_core_fail(&failure);
	if (cli->json)
		printf("{\"sound\":%s,\"blocks\":%llu,\"bytes\":%llu,\"fault_count\":%llu}\n", v.faults ? "false" : "true", (unsigned long long)v.blocks,
			(unsigned long long)v.bytes, (unsigned long long)v.faults);
	else if (v.faults)
		printf("%llu faults.\n", (unsigned long long)v.faults);
	else
		printf("The core is sound: its signature, and all %llu blocks held, agree with its tree.\n", (unsigned long long)v.blocks);
	return v.faults ? HF_CLI_CORRUPT : HF_CLI_OK;
}
