/* doctor: findings are collected, and shown in the order in which they were found. */
#include "cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/address.h"
#include "cli/terminal.h"

char *hf_doctor_text(char out[static HF_DOCTOR_TEXT_BYTES], const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(out, HF_DOCTOR_TEXT_BYTES, format, arguments);
	va_end(arguments);
	return out;
}

static const char *const level_names[] = {"ok", "warning", "fault"};

static void add(struct hf_doctor *d, enum hf_doctor_level level, const char *check, const char *what, const char *why, const char *mend)
{
	json_t *finding = json_pack("{s:s, s:s, s:s}", "check", check, "level", level_names[level], "what", what);
	if (finding && why)
		json_object_set_new(finding, "why", json_string(why));
	if (finding && mend)
		json_object_set_new(finding, "mend", json_string(mend));
	json_array_append_new(d->findings, finding);
	d->counts[level]++;
}

void hf_doctor_ok(struct hf_doctor *d, const char *check, const char *what)
{
	add(d, HF_DOCTOR_OK, check, what, NULL, NULL);
}

static int code_of(const char *check)
{
	static const struct { const char *check; int code; } codes[] = {
		{"configuration", HF_CLI_CONFIG}, {"data directory", HF_CLI_DATA}, {"lock", HF_CLI_DATA}, {"store", HF_CLI_CORRUPT}};
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (strcmp(codes[i].check, check) == 0)
			return codes[i].code;
	return HF_CLI_FAILED;
}

void hf_doctor_find(struct hf_doctor *d, enum hf_doctor_level level, const char *check, const char *what, const char *why, const char *mend)
{
	add(d, level, check, what, why, mend);
	if (d->code == HF_CLI_OK && (level == HF_DOCTOR_FAULT || (level == HF_DOCTOR_WARNING && hf_cli_option(d->cli, "strict"))))
		d->code = level == HF_DOCTOR_FAULT ? code_of(check) : HF_CLI_FAILED;
}

static const struct hf_setting *find_setting(const char *section, const char *name)
{
	for (size_t i = 0; i < hf_setting_count; i++)
		if (strcmp(hf_settings[i].section, section) == 0 && strcmp(hf_settings[i].name, name) == 0)
			return &hf_settings[i];
	return NULL;
}

char *hf_doctor_set(const struct hf_doctor *d, const char *section, const char *name, const char *value,
	char out[static HF_DOCTOR_TEXT_BYTES])
{
	char flag[HF_CONFIG_FLAG_BYTES];
	const struct hf_setting *s = find_setting(section, name);
	const char *file = d->config->file_path;
	const char *origin = s ? hf_config_origin(d->config, strcmp(section, "relay") == 0 ? d->config->relays[0] : NULL, s) : "default";
	const char *then = !s || !s->reloadable ? "sudo systemctl restart holdfast" : "sudo systemctl reload holdfast";
	size_t length = file ? strlen(file) : 0;
	if (file && strncmp(origin, file, length) == 0 && origin[length] == ':')
		return hf_doctor_text(out, "sudo sed -i \"%ss|.*|%s = %s|\" %s && %s", origin + length + 1, name, value, file, then);
	if (strncmp(origin, "HOLDFAST_", strlen("HOLDFAST_")) == 0)
		return hf_doctor_text(out, "export %s=\"%s\"  # where it is set now; then start again", origin, value);
	if (file && strncmp(origin, "--", 2) != 0)
		return hf_doctor_text(out, "printf \"\\n[%s]\\n%s = %s\\n\" | sudo tee -a %s && %s", section, name, value, file, then);
	return hf_doctor_text(out, "start it with %s=\"%s\"", s ? hf_config_flag_text(s, flag) : name, value);
}

bool hf_doctor_read_number(const char *path, const char *name, uint64_t *number)
{
	char line[256];
	unsigned long long value;
	size_t length = strlen(name);
	bool is_found = false;
	FILE *file = fopen(path, "re");
	while (file && !is_found && fgets(line, sizeof line, file))
		is_found = strncmp(line, name, length) == 0 && sscanf(line + length, " %llu", &value) == 1;
	if (file)
		fclose(file);
	if (is_found)
		*number = value;
	return is_found;
}

bool hf_doctor_next_word(const char **list, size_t size, char *out)
{
	*list += strspn(*list, ", \t");
	size_t length = strcspn(*list, ", \t");
	snprintf(out, size, "%.*s", (int)(length < size ? length : size - 1), *list);
	*list += length;
	return length > 0;
}

static bool reaches_others(const char *list)
{
	char word[HF_ADDRESS_TEXT_BYTES];
	struct hf_address address;
	while (hf_doctor_next_word(&list, sizeof word, word))
		if (hf_address_parse(word, &address, NULL) == HF_OK && hf_address_class(&address) != HF_ADDRESS_LOOPBACK)
			return true;
	return false;
}

bool hf_doctor_is_public(const struct hf_doctor *d)
{
	return reaches_others(d->config->listen) || reaches_others(d->config->tls_listen) || d->config->trusted_proxies[0] ||
		strncmp(d->config->relays[0]->public_url, "wss://", 6) == 0;
}

/* ---- Showing ---- */

static void print_lines(const char *title, const char *text)
{
	while (*text) {
		size_t length = strcspn(text, "\n");
		printf("    %-5s %.*s\n", title, (int)length, text);
		text += length + (text[length] == '\n');
		title = "";
	}
}

static void print_finding(const json_t *finding)
{
	const char *level = json_string_value(json_object_get(finding, "level"));
	const char *why = json_string_value(json_object_get(finding, "why")), *mend = json_string_value(json_object_get(finding, "mend"));
	printf("%-8s %s: ", strcmp(level, "fault") == 0 ? "FAULT" : level, json_string_value(json_object_get(finding, "check")));
	hf_terminal_text(stdout, hf_slice_text(json_string_value(json_object_get(finding, "what"))));
	putchar('\n');
	print_lines("why:", why ? why : "");
	print_lines("mend:", mend ? mend : "");
}

static void print_findings(const struct hf_doctor *d)
{
	size_t i;
	json_t *finding;
	json_array_foreach(d->findings, i, finding)
		print_finding(finding);
	if (d->counts[HF_DOCTOR_FAULT] + d->counts[HF_DOCTOR_WARNING] == 0)
		printf("\nAll is well: %zu checks.\n", d->counts[HF_DOCTOR_OK]);
	else
		printf("\n%zu faults, %zu warnings, %zu well.\n", d->counts[HF_DOCTOR_FAULT], d->counts[HF_DOCTOR_WARNING], d->counts[HF_DOCTOR_OK]);
}

static void print_json(const struct hf_doctor *d)
{
	json_t *answer = json_pack("{s:O, s:I, s:I}", "findings", d->findings, "faults", (json_int_t)d->counts[HF_DOCTOR_FAULT],
		"warnings", (json_int_t)d->counts[HF_DOCTOR_WARNING]);
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	puts(text ? text : "{}");
	free(text);
	json_decref(answer);
}

/* ---- Running ---- */

static int load(struct hf_doctor *d)
{
	struct hf_failure failure = {0};
	d->is_config_right = hf_cli_load_config(d->cli, &d->config, &failure) == HF_OK;
	if (d->is_config_right)
		return HF_OK;
	hf_doctor_find(d, HF_DOCTOR_FAULT, "configuration", failure.text, "No part of Holdfast starts with a configuration that it does not "
		"understand.",
		d->cli->config_path ? HF_DOCTOR_TEXT("${EDITOR:-nano} %s && holdfast config check --config %s", d->cli->config_path, d->cli->config_path)
			: "holdfast config check");
	return hf_config_new(&d->config);
}

int hf_cli_doctor(struct hf_cli *cli)
{
	struct hf_doctor d = {.cli = cli, .findings = json_array()};
	if (!d.findings || load(&d) < 0) {
		json_decref(d.findings);
		return HF_CLI_FAILED;
	}
	/* The commands below find the configuration where others do. */
	cli->config = d.config;
	hf_doctor_look_at_data(&d);
	hf_doctor_look_at_configuration(&d);
	hf_doctor_look_at_machine(&d);
	hf_doctor_look_at_network(&d);
	if (cli->json)
		print_json(&d);
	else
		print_findings(&d);
	json_decref(d.findings);
	json_decref(d.health);
	return d.code;
}
