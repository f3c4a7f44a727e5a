/* Modules are linked into one list when they first log, under the mutex that also orders lines. A level that is
 * off costs one relaxed load. The fields are formatted once as key=value text; for JSON that text is
 * taken apart again, so that a caller writes one format. */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/utf8.h"

#define LINE_BYTES_MAX 4096
#define FIELDS_BYTES_MAX 2048
#define OVERRIDES_COUNT_MAX 64
#define NAME_BYTES_MAX 31

struct override {
	char module[NAME_BYTES_MAX + 1];
	int level;
};

static struct {
	pthread_mutex_t mutex;
	struct hf_log_module *modules;
	int level;
	bool json;
	struct override overrides[OVERRIDES_COUNT_MAX];
	size_t override_count;
	void (*sink)(void *context, const char *line, unsigned length);
	void *sink_context;
} state = {.mutex = PTHREAD_MUTEX_INITIALIZER, .level = HF_LOG_INFO};

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};
#define LEVEL_COUNT (sizeof level_names / sizeof *level_names)

static int level_for(const char *module)
{
	for (size_t i = 0; i < state.override_count; i++) {
		if (strcmp(state.overrides[i].module, module) == 0)
			return state.overrides[i].level;
	}
	return state.level;
}

static int level_from_name(const char *name, size_t length)
{
	for (size_t i = 0; i < LEVEL_COUNT; i++) {
		if (strlen(level_names[i]) == length && strncasecmp(level_names[i], name, length) == 0)
			return (int)i;
	}
	return -1;
}

/* One part between commas: a level, or module=level. */
static bool parse_part(const char *part, size_t length, int *level, struct override *overrides, size_t *count)
{
	const char *equals = memchr(part, '=', length);
	if (!equals) {
		*level = level_from_name(part, length);
		return *level >= 0;
	}
	size_t name_length = (size_t)(equals - part);
	int named = level_from_name(equals + 1, length - name_length - 1);
	if (named < 0 || name_length == 0 || name_length > NAME_BYTES_MAX || *count == OVERRIDES_COUNT_MAX)
		return false;
	struct override *fresh = &overrides[(*count)++];
	memcpy(fresh->module, part, name_length);
	fresh->module[name_length] = '\0';
	fresh->level = named;
	return true;
}

int hf_log_configure(const char *specification, bool json, const char **bad)
{
	struct override overrides[OVERRIDES_COUNT_MAX];
	size_t count = 0;
	int level = HF_LOG_INFO;
	for (const char *part = specification; *part;) {
		size_t length = strcspn(part, ",");
		if (!parse_part(part, length, &level, overrides, &count)) {
			if (bad)
				*bad = part;
			return HF_EINVAL;
		}
		part += length;
		part += *part == ',';
	}
	pthread_mutex_lock(&state.mutex);
	state.level = level;
	state.json = json;
	state.override_count = count;
	memcpy(state.overrides, overrides, count * sizeof *overrides);
	for (struct hf_log_module *module = state.modules; module; module = module->next)
		atomic_store_explicit(&module->level, level_for(module->name), memory_order_relaxed);
	pthread_mutex_unlock(&state.mutex);
	return HF_OK;
}

void hf_log_set_sink(void (*sink)(void *context, const char *line, unsigned length), void *context)
{
	pthread_mutex_lock(&state.mutex);
	state.sink = sink;
	state.sink_context = context;
	pthread_mutex_unlock(&state.mutex);
}

static int register_module(struct hf_log_module *module)
{
	pthread_mutex_lock(&state.mutex);
	int level = atomic_load_explicit(&module->level, memory_order_relaxed);
	if (level < 0) {
		module->next = state.modules;
		state.modules = module;
		level = level_for(module->name);
		atomic_store_explicit(&module->level, level, memory_order_relaxed);
	}
	pthread_mutex_unlock(&state.mutex);
	return level;
}

bool hf_log_enabled(struct hf_log_module *module, enum hf_log_level level)
{
	int threshold = atomic_load_explicit(&module->level, memory_order_relaxed);
	if (threshold < 0)
		threshold = register_module(module);
	return (int)level <= threshold;
}

/* A line under construction; what does not fit is cut, and two bytes stay for the end of the line. */
struct line {
	char text[LINE_BYTES_MAX];
	size_t length;
};

static void put(struct line *line, const char *text, size_t length)
{
	size_t room = sizeof line->text - 2 - line->length;
	if (length > room)
		length = room;
	memcpy(line->text + line->length, text, length);
	line->length += length;
}

static void put_text(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

/* Bytes from outside must not end the line, move a terminal's cursor, or break the JSON. */
static void put_escaped(struct line *line, const char *text, size_t length, bool json)
{
	bool utf8 = hf_utf8_valid((const uint8_t *)text, length);
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];
		char escape[8];
		int size = 0;
		if (json && (c == '"' || c == '\\'))
			size = snprintf(escape, sizeof escape, "\\%c", c);
		else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
			size = snprintf(escape, sizeof escape, json ? "\\u%04x" : "\\x%02x", c);
		/* An escape or a character is put whole or not at all. */
		size_t needed = size ? (size_t)size : c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
		if (line->length + needed > sizeof line->text - 16)
			return;
		put(line, size ? escape : text + i, size ? (size_t)size : 1);
	}
}

static void put_time(struct line *line)
{
	struct timespec now;
	struct tm utc;
	char text[40];
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + length, sizeof text - length, ".%03uZ", (unsigned)(now.tv_nsec / 1000000));
	put_text(line, text);
}

static bool is_json_number(const char *text, size_t length)
{
	size_t digits_from = length > 0 && text[0] == '-';
	size_t digits = length - digits_from;
	if (digits == 0 || digits > 15 || (digits > 1 && text[digits_from] == '0'))
		return false;
	for (size_t i = digits_from; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
	}
	return true;
}

static void put_json_member(struct line *line, const char *key, size_t key_length, const char *value,
			    size_t value_length, bool quoted)
{
	put_text(line, ",\"");
	put_escaped(line, key, key_length, true);
	put_text(line, "\":");
	if (!quoted && is_json_number(value, value_length)) {
		put(line, value, value_length);
		return;
	}
	put_text(line, "\"");
	put_escaped(line, value, value_length, true);
	put_text(line, "\"");
}

/* key=value key="with spaces" …; a word without = is a key with an empty value. */
static void put_json_fields(struct line *line, const char *p)
{
	/* A member is only begun where it surely fits, so that a long line is still one JSON object. */
	while (*p) {
		p += strspn(p, " ");
		size_t key_length = strcspn(p, "= ");
		if (key_length == 0 && *p != '=')
			break;
		const char *key = p;
		p += key_length;
		bool quoted = p[0] == '=' && p[1] == '"';
		p += (*p == '=') + quoted;
		size_t length = quoted ? strcspn(p, "\"") : strcspn(p, " ");
		if (line->length + 6 * (key_length + length) + 32 > sizeof line->text)
			break;
		put_json_member(line, key, key_length, p, length, quoted);
		p += length;
		p += quoted && *p == '"';
	}
}

static void build(struct line *line, const char *module, enum hf_log_level level, const char *message,
		  const char *fields)
{
	bool json = state.json;
	line->length = 0;
	put_text(line, json ? "{\"time\":\"" : "");
	put_time(line);
	put_text(line, json ? "\",\"level\":\"" : " ");
	put_text(line, level_names[level]);
	put_text(line, json ? "\",\"module\":\"" : " ");
	put_text(line, module);
	put_text(line, json ? "\",\"message\":\"" : ": ");
	put_escaped(line, message, strnlen(message, LINE_BYTES_MAX / 4), json);
	if (json) {
		put_text(line, "\"");
		put_json_fields(line, fields);
	} else if (*fields) {
		put_text(line, " ");
		put_escaped(line, fields, strlen(fields), false);
	}
	if (json)
		line->text[line->length++] = '}';
	line->text[line->length++] = '\n';
}

void hf_log_write(struct hf_log_module *module, enum hf_log_level level, const char *message, const char *fields, ...)
{
	char formatted[FIELDS_BYTES_MAX] = "";
	struct line line;
	if (fields) {
		va_list arguments;
		va_start(arguments, fields);
		vsnprintf(formatted, sizeof formatted, fields, arguments);
		va_end(arguments);
	}
	pthread_mutex_lock(&state.mutex);
	build(&line, module->name, level, message, formatted);
	if (state.sink)
		state.sink(state.sink_context, line.text, (unsigned)line.length);
	/* A log that cannot be written cannot be reported either. */
	else if (write(STDERR_FILENO, line.text, line.length) < 0)
		(void)0;
	pthread_mutex_unlock(&state.mutex);
}
