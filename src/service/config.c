/* config: entries from three places go through one door, put(), which finds the setting, checks the value and
 * remembers where it came from. Places are applied in rising order, so the last one stays. */
#include "service/config.h"

#include <ctype.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"

#define FLAG_BYTES_MAX 128
#define NAME_COUNT_MAX 256 /* well above the number of settings */

static const char *const sections[] = {"gateway", "websocket", "store", "swarm", "workers", "registration", "tokens", "front",
	"dispatcher", "discovery", "worker", "admin", "compatibility", "log", "relay"};
#define SECTION_COUNT (sizeof sections / sizeof *sections)

static bool is_of_relay(const struct hf_setting *setting)
{
	return strcmp(setting->section, "relay") == 0;
}

/* ---- Values ---- */

static bool is_text(const struct hf_setting *s)
{
	return s->type == HF_SETTING_TEXT || s->type == HF_SETTING_SECRET;
}

static int parse_number(const struct hf_setting *s, const char *text, uint64_t *number)
{
	int r = s->type == HF_SETTING_NUMBER ? hf_text_to_u64(text, number) :
		s->type == HF_SETTING_BYTES ? hf_text_to_bytes(text, number) : hf_text_to_ms(text, number);
	return r < 0 ? r : *number < s->min || *number > s->max ? HF_ETOOBIG : HF_OK;
}

static const char *written(const struct hf_setting *s, uint64_t number, char out[static 48])
{
	static const struct { const char *unit; uint64_t size; } units[] = {
		{"T", UINT64_C(1) << 40}, {"G", 1u << 30}, {"M", 1u << 20}, {"k", 1u << 10},
		{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}};
	size_t from = s->type == HF_SETTING_BYTES ? 0 : 4, to = s->type == HF_SETTING_BYTES ? 4 : 8;
	for (size_t i = from; s->type != HF_SETTING_NUMBER && number > 0 && i < to; i++)
		if (number % units[i].size == 0) {
			snprintf(out, 48, "%llu%s%s", (unsigned long long)(number / units[i].size), units[i].unit, from ? "" : "iB");
			return out;
		}
	snprintf(out, 48, "%llu%s", (unsigned long long)number, s->type == HF_SETTING_DURATION && number ? "ms" : "");
	return out;
}

char *hf_config_range_text(const struct hf_setting *s, char out[static HF_CONFIG_RANGE_BYTES])
{
	char least[48], most[48];
	bool is_bound = s->type != HF_SETTING_BOOL && !is_text(s) && s->max != UINT64_MAX;
	snprintf(out, HF_CONFIG_RANGE_BYTES, "%s%s%s", is_bound ? written(s, s->min, least) : "", is_bound ? " to " : "",
		is_bound ? written(s, s->max, most) : "");
	return out;
}

static int fail_value(const struct hf_setting *s, const char *value, const char *origin, struct hf_failure *failure)
{
	char least[48], most[48];
	if (s->type == HF_SETTING_BOOL)
		return hf_fail(failure, HF_EINVAL, "%s: %s.%s is \"%s\"; write yes or no.", origin, s->section, s->name, value);
	const char *what = s->type == HF_SETTING_BYTES ? "a size like 64k or 1 GiB" :
		s->type == HF_SETTING_DURATION ? "a time like 250ms, 10s or 15m" : "a number";
	if (s->max == UINT64_MAX)
		return hf_fail(failure, HF_EINVAL, "%s: %s.%s is \"%s\"; write %s.", origin, s->section, s->name, value, what);
	return hf_fail(failure, HF_EINVAL, "%s: %s.%s is \"%s\"; write %s from %s to %s.", origin, s->section, s->name, value, what,
		written(s, s->min, least), written(s, s->max, most));
}

/* Writes the value into the struct that holds it. */
static int store_value(void *holder, const struct hf_setting *s, const char *value, const char *origin, struct hf_failure *failure)
{
	char *field = (char *)holder + s->offset;
	if (s->type == HF_SETTING_BOOL) {
		bool on;
		if (!hf_text_to_bool(value, &on))
			return fail_value(s, value, origin, failure);
		memcpy(field, &on, sizeof on);
	} else if (is_text(s)) {
		char *copy = strdup(value), *old;
		if (!copy)
			return hf_fail(failure, HF_ENOMEM, "Out of memory while reading the configuration.");
		memcpy(&old, field, sizeof old);
		free(old);
		memcpy(field, &copy, sizeof copy);
	} else {
		uint64_t number;
		if (parse_number(s, value, &number) < 0)
			return fail_value(s, value, origin, failure);
		memcpy(field, &number, sizeof number);
	}
	return HF_OK;
}

static char **origins_of(const struct hf_config *config, const struct hf_config_relay *relay, const struct hf_setting *s)
{
	return &(is_of_relay(s) ? relay->origins : config->origins)[s - hf_settings];
}

static int put(struct hf_config *config, struct hf_config_relay *relay, const struct hf_setting *s, const char *value,
	const char *origin, struct hf_failure *failure)
{
	int r = store_value(is_of_relay(s) ? (void *)relay : (void *)config, s, value, origin, failure);
	if (r < 0)
		return r;
	char *copy = strdup(origin);
	if (!copy)
		return hf_fail(failure, HF_ENOMEM, "Out of memory while reading the configuration.");
	char **at = origins_of(config, relay, s);
	free(*at);
	*at = copy;
	return HF_OK;
}

const char *hf_config_value_text(const struct hf_config *config, const struct hf_config_relay *relay,
	const struct hf_setting *s, char out[static HF_CONFIG_VALUE_BYTES])
{
	const char *field = (is_of_relay(s) ? (const char *)relay : (const char *)config) + s->offset;
	if (is_text(s)) {
		const char *text;
		memcpy(&text, field, sizeof text);
		snprintf(out, HF_CONFIG_VALUE_BYTES, "%s", s->type == HF_SETTING_SECRET && text[0] ? "(set)" : text);
	} else if (s->type == HF_SETTING_BOOL) {
		bool on;
		memcpy(&on, field, sizeof on);
		snprintf(out, HF_CONFIG_VALUE_BYTES, "%s", on ? "yes" : "no");
	} else {
		uint64_t number;
		char text[48];
		memcpy(&number, field, sizeof number);
		snprintf(out, HF_CONFIG_VALUE_BYTES, "%s", written(s, number, text));
	}
	return out;
}

const char *hf_config_origin(const struct hf_config *config, const struct hf_config_relay *relay, const struct hf_setting *s)
{
	const char *origin = *origins_of(config, relay, s);
	return origin ? origin : "default";
}

/* ---- Finding ---- */

const struct hf_setting *hf_config_find(const char *section, const char *name)
{
	for (size_t i = 0; i < hf_setting_count; i++)
		if (strcmp(hf_settings[i].section, section) == 0 && strcmp(hf_settings[i].name, name) == 0)
			return &hf_settings[i];
	return NULL;
}

static const char *nearest_name(const char *section, const char *name)
{
	const char *names[NAME_COUNT_MAX];
	size_t count = 0;
	for (size_t i = 0; i < hf_setting_count && count < NAME_COUNT_MAX; i++)
		if (strcmp(hf_settings[i].section, section) == 0)
			names[count++] = hf_settings[i].name;
	return hf_text_nearest(name, names, count);
}

static struct hf_config_relay *find_relay(const struct hf_config *config, const char *instance)
{
	for (size_t i = 0; i < config->relay_count; i++)
		if (strcmp(config->relays[i]->instance, instance) == 0)
			return config->relays[i];
	return NULL;
}

static void free_relay(struct hf_config_relay *relay)
{
	if (!relay)
		return;
	for (size_t i = 0; i < hf_setting_count; i++) {
		const struct hf_setting *s = &hf_settings[i];
		if (relay->origins)
			free(relay->origins[i]);
		if (is_of_relay(s) && is_text(s)) {
			char *text;
			memcpy(&text, (char *)relay + s->offset, sizeof text);
			free(text);
		}
	}
	free(relay->origins);
	free(relay);
}

static struct hf_config_relay *new_relay(const char *instance)
{
	struct hf_config_relay *relay = calloc(1, sizeof *relay);
	if (!relay)
		return NULL;
	snprintf(relay->instance, sizeof relay->instance, "%s", instance);
	relay->origins = calloc(hf_setting_count, sizeof *relay->origins);
	int r = relay->origins ? HF_OK : HF_ENOMEM;
	for (size_t i = 0; r == HF_OK && i < hf_setting_count; i++)
		if (is_of_relay(&hf_settings[i]))
			r = store_value(relay, &hf_settings[i], hf_settings[i].default_text, "default", NULL);
	if (r < 0) {
		free_relay(relay);
		return NULL;
	}
	return relay;
}

static bool is_instance_name(const char *name)
{
	size_t length = strlen(name);
	if (length == 0 || length > HF_CONFIG_NAME_BYTES_MAX || !islower((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]) && name[i] != '_')
			return false;
	return true;
}

static int relay_of_section(struct hf_config *config, const char *name, const char *origin, struct hf_config_relay **out,
	struct hf_failure *failure)
{
	if (!is_instance_name(name))
		return hf_fail(failure, HF_EINVAL, "%s: \"%s\" cannot name a relay; use up to %d small letters, digits and _.", origin,
			name, HF_CONFIG_NAME_BYTES_MAX);
	*out = find_relay(config, name);
	if (*out)
		return HF_OK;
	if (config->relay_count == HF_CONFIG_RELAY_COUNT_MAX)
		return hf_fail(failure, HF_ETOOBIG, "%s: there are more than %d relays.", origin, HF_CONFIG_RELAY_COUNT_MAX);
	*out = new_relay(name);
	if (!*out)
		return hf_fail(failure, HF_ENOMEM, "Out of memory while reading the configuration.");
	config->relays[config->relay_count++] = *out;
	return HF_OK;
}

/* ---- The file ---- */

struct file_reader {
	struct hf_config *config;
	struct hf_failure *failure;
	const char *path;
	const char *at, *end;
	unsigned line;
	int status;
};

static int check_section(struct file_reader *f, const char *line);

static char *read_line(char *out, int size, void *context)
{
	struct file_reader *f = context;
	if (f->status < 0 || f->at == f->end)
		return NULL;
	const char *stop = memchr(f->at, '\n', (size_t)(f->end - f->at));
	stop = stop ? stop + 1 : f->end;
	size_t length = (size_t)(stop - f->at);
	f->line++;
	if (length >= (size_t)size || memchr(f->at, '\0', length)) {
		f->status = hf_fail(f->failure, HF_EINVAL, "%s:%u: the line is longer than %d characters or not text.", f->path, f->line,
			HF_CONFIG_LINE_BYTES_MAX);
		return NULL;
	}
	memcpy(out, f->at, length);
	out[length] = '\0';
	f->at = stop;
	f->status = check_section(f, out);
	return f->status == HF_OK ? out : NULL;
}

/* The instance in `relay`, `relay NAME`, `relay "NAME"` or `relay.NAME`; false when it is not a relay's section. */
static bool instance_of_section(const char *section, char out[static HF_CONFIG_NAME_BYTES_MAX + 2])
{
	if (strncmp(section, "relay", 5) != 0 || (section[5] && section[5] != ' ' && section[5] != '.'))
		return false;
	const char *from = section + 5 + (section[5] == '.');
	while (*from == ' ')
		from++;
	size_t length = strlen(from);
	if (length >= 2 && from[0] == '"' && from[length - 1] == '"') {
		from++;
		length -= 2;
	}
	if (length > HF_CONFIG_NAME_BYTES_MAX)
		length = HF_CONFIG_NAME_BYTES_MAX + 1;
	snprintf(out, HF_CONFIG_NAME_BYTES_MAX + 2, "%.*s", section[5] ? (int)length : 4, section[5] ? from : "main");
	return true;
}

static int fail_name(const char *section, const char *name, const char *origin, struct hf_failure *failure)
{
	const char *near = nearest_name(section, name);
	for (size_t i = 0; !near && i < hf_setting_count; i++)
		if (strcmp(hf_settings[i].name, name) == 0)
			return hf_fail(failure, HF_EINVAL, "%s: there is no setting \"%s\" in [%s]; it belongs into [%s].", origin, name,
				section, hf_settings[i].section);
	if (near)
		return hf_fail(failure, HF_EINVAL, "%s: there is no setting \"%s\" in [%s]; did you mean \"%s\"?", origin, name, section, near);
	return hf_fail(failure, HF_EINVAL, "%s: there is no setting \"%s\" in [%s]; `holdfast config explain` lists them.", origin,
		name, section);
}

/* inih tells of a section only with its first entry, so what is wrong with the section itself would go unseen. */
static int check_section(struct file_reader *f, const char *line)
{
	char section[HF_CONFIG_LINE_BYTES_MAX + 2], instance[HF_CONFIG_NAME_BYTES_MAX + 2], origin[HF_CONFIG_ORIGIN_BYTES];
	struct hf_config_relay *relay;
	line += strspn(line, " \t");
	if (*line != '[')
		return HF_OK;
	snprintf(origin, sizeof origin, "%s:%u", f->path, f->line);
	size_t length = strcspn(++line, "]");
	if (line[length] != ']')
		return hf_fail(f->failure, HF_EINVAL, "%s: the name of the section does not end with ].", origin);
	snprintf(section, sizeof section, "%.*s", (int)length, line);
	if (instance_of_section(section, instance))
		return relay_of_section(f->config, instance, origin, &relay, f->failure);
	for (size_t i = 0; i < SECTION_COUNT; i++)
		if (strcmp(sections[i], section) == 0)
			return HF_OK;
	const char *near = hf_text_nearest(section, sections, SECTION_COUNT);
	return hf_fail(f->failure, HF_EINVAL, "%s: there is no section [%s]%s%s%s", origin, section, near ? "; did you mean [" : ".",
		near ? near : "", near ? "]?" : "");
}

static int take_entry(struct file_reader *f, const char *section, const char *name, const char *value)
{
	char origin[HF_CONFIG_ORIGIN_BYTES], instance[HF_CONFIG_NAME_BYTES_MAX + 2];
	struct hf_config_relay *relay = NULL;
	snprintf(origin, sizeof origin, "%s:%u", f->path, f->line);
	if (!*section)
		return hf_fail(f->failure, HF_EINVAL, "%s: \"%s\" stands before the first section; begin with [gateway] or another.",
			origin, name);
	if (instance_of_section(section, instance)) {
		int r = relay_of_section(f->config, instance, origin, &relay, f->failure);
		if (r < 0)
			return r;
		section = "relay";
	}
	const struct hf_setting *s = hf_config_find(section, name);
	if (!s)
		return fail_name(section, name, origin, f->failure);
	const char *earlier = *origins_of(f->config, relay, s);
	if (earlier)
		return hf_fail(f->failure, HF_EINVAL, "%s: %s.%s is set a second time; the first is at %s.", origin, section, name, earlier);
	return put(f->config, relay, s, value, origin, f->failure);
}

static int on_entry(void *context, const char *section, const char *name, const char *value)
{
	struct file_reader *f = context;
	if (f->status == HF_OK)
		f->status = take_entry(f, section, name, value);
	return f->status == HF_OK;
}

int hf_config_read_file(struct hf_config *config, const char *path, struct hf_failure *failure)
{
	struct hf_buffer text = {0};
	int r = hf_fs_read_all(hf_fs_system(), path, HF_CONFIG_FILE_BYTES_MAX, &text);
	if (r < 0) {
		hf_buffer_free(&text);
		return hf_fail(failure, r, "The configuration file %s cannot be read: %s.", path, hf_error_text(r));
	}
	struct file_reader f = {.config = config, .failure = failure, .path = path, .at = text.length ? (const char *)text.data : ""};
	f.end = f.at + text.length;
	int line = ini_parse_stream(read_line, &f, on_entry, &f);
	if (f.status == HF_OK && line > 0)
		f.status = hf_fail(failure, HF_EINVAL, "%s:%d: this is neither a [section] nor name = value.", path, line);
	else if (f.status == HF_OK && line < 0)
		f.status = hf_fail(failure, HF_ENOMEM, "Out of memory while reading the configuration.");
	hf_buffer_free(&text);
	if (f.status == HF_OK && !config->file_path && !(config->file_path = strdup(path)))
		return hf_fail(failure, HF_ENOMEM, "Out of memory while reading the configuration.");
	return f.status;
}

/* ---- Environment and flags: names joined by _ ---- */

/* "store_quota" and "relay_name"; "relay_<instance>_name" for an instance that the file has. */
static const struct hf_setting *find_joined(const struct hf_config *config, const char *joined, struct hf_config_relay **relay)
{
	*relay = config->relays[0];
	for (size_t i = 0; i < SECTION_COUNT; i++) {
		size_t length = strlen(sections[i]);
		if (strncmp(joined, sections[i], length) != 0 || joined[length] != '_')
			continue;
		const char *rest = joined + length + 1;
		const struct hf_setting *s = hf_config_find(sections[i], rest);
		for (size_t k = 0; !s && i == SECTION_COUNT - 1 && k < config->relay_count; k++) {
			size_t name = strlen(config->relays[k]->instance);
			if (strncmp(rest, config->relays[k]->instance, name) == 0 && rest[name] == '_' &&
				(s = hf_config_find("relay", rest + name + 1)) != NULL)
				*relay = config->relays[k];
		}
		return s;
	}
	return NULL;
}

static const char *nearest_joined(const char *joined, char joiner, char out[static FLAG_BYTES_MAX])
{
	char names[NAME_COUNT_MAX][FLAG_BYTES_MAX];
	const char *pointers[NAME_COUNT_MAX] = {"data", "listen"};
	size_t count = joiner == '-' ? 2 : 0; /* the short flags */
	for (size_t i = 0; i < hf_setting_count && count < NAME_COUNT_MAX; i++, count++) {
		snprintf(names[count], sizeof names[count], "%s_%s", hf_settings[i].section, hf_settings[i].name);
		pointers[count] = names[count];
	}
	const char *near = hf_text_nearest(joined, pointers, count);
	if (!near)
		return NULL;
	snprintf(out, FLAG_BYTES_MAX, "%s", near);
	for (char *c = out; *c; c++)
		*c = joiner == '-' ? (*c == '_' ? '-' : *c) : (char)toupper((unsigned char)*c);
	return out;
}

static bool join(const char *name, char from, char out[static FLAG_BYTES_MAX])
{
	if (strlen(name) >= FLAG_BYTES_MAX)
		return false;
	size_t i = 0;
	for (; name[i]; i++)
		out[i] = name[i] == from ? '_' : from == '_' ? (char)tolower((unsigned char)name[i]) : name[i];
	out[i] = '\0';
	return true;
}

int hf_config_read_environment(struct hf_config *config, char *const *environment, struct hf_failure *failure)
{
	static const char prefix[] = "HOLDFAST_";
	for (; *environment; environment++) {
		const char *equals = strchr(*environment, '=');
		if (strncmp(*environment, prefix, sizeof prefix - 1) != 0 || !equals)
			continue;
		char variable[FLAG_BYTES_MAX], joined[FLAG_BYTES_MAX], near[FLAG_BYTES_MAX];
		snprintf(variable, sizeof variable, "%.*s", (int)(equals - *environment), *environment);
		if (strcmp(variable, "HOLDFAST_CONFIG") == 0)
			continue;
		struct hf_config_relay *relay;
		const struct hf_setting *s = join(variable + sizeof prefix - 1, '_', joined) ? find_joined(config, joined, &relay) : NULL;
		if (!s) {
			bool known = nearest_joined(joined, '_', near) != NULL;
			return hf_fail(failure, HF_EINVAL, "The environment has %s, which is no setting%s%s%s", variable,
				known ? "; did you mean HOLDFAST_" : "", known ? near : "", known ? "?" : "; `holdfast config explain` lists them.");
		}
		int r = put(config, relay, s, equals + 1, variable, failure);
		if (r < 0)
			return r;
	}
	return HF_OK;
}

static const struct hf_setting *find_flag(const struct hf_config *config, const char *flag, struct hf_config_relay **relay)
{
	char joined[FLAG_BYTES_MAX];
	*relay = config->relays[0];
	if (strcmp(flag, "data") == 0 || strcmp(flag, "listen") == 0)
		return hf_config_find("gateway", flag);
	return join(flag, '-', joined) ? find_joined(config, joined, relay) : NULL;
}

const struct hf_setting *hf_config_find_flag(const struct hf_config *config, const char *flag)
{
	struct hf_config_relay *relay;
	return find_flag(config, flag, &relay);
}

int hf_config_set_flag(struct hf_config *config, const char *flag, const char *value, struct hf_failure *failure)
{
	struct hf_config_relay *relay;
	const struct hf_setting *s = find_flag(config, flag, &relay);
	char origin[FLAG_BYTES_MAX + 2], joined[FLAG_BYTES_MAX], near[FLAG_BYTES_MAX];
	if (!s) {
		bool known = join(flag, '-', joined) && nearest_joined(joined, '-', near);
		return hf_fail(failure, HF_EINVAL, "There is no flag --%s%s%s%s", flag, known ? "; did you mean --" : "", known ? near : "",
			known ? "?" : ".");
	}
	snprintf(origin, sizeof origin, "--%s", flag);
	return put(config, relay, s, value, origin, failure);
}

int hf_config_set(struct hf_config *config, const char *section, const char *name, const char *value, const char *origin,
	struct hf_failure *failure)
{
	const struct hf_setting *s = hf_config_find(section, name);
	return s ? put(config, config->relays[0], s, value, origin, failure) : fail_name(section, name, origin, failure);
}

/* ---- The whole ---- */

int hf_config_new(struct hf_config **out)
{
	struct hf_config *config = calloc(1, sizeof *config);
	*out = NULL;
	if (!config)
		return HF_ENOMEM;
	config->origins = calloc(hf_setting_count, sizeof *config->origins);
	int r = config->origins && (config->relays[0] = new_relay("main")) ? HF_OK : HF_ENOMEM;
	config->relay_count = config->relays[0] ? 1 : 0;
	for (size_t i = 0; r == HF_OK && i < hf_setting_count; i++)
		if (!is_of_relay(&hf_settings[i]))
			r = store_value(config, &hf_settings[i], hf_settings[i].default_text, "default", NULL);
	if (r < 0) {
		hf_config_free(config);
		return r;
	}
	*out = config;
	return HF_OK;
}

void hf_config_free(struct hf_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < hf_setting_count; i++) {
		const struct hf_setting *s = &hf_settings[i];
		if (config->origins)
			free(config->origins[i]);
		if (!is_of_relay(s) && is_text(s)) {
			char *text;
			memcpy(&text, (char *)config + s->offset, sizeof text);
			free(text);
		}
	}
	for (size_t i = 0; i < config->relay_count; i++)
		free_relay(config->relays[i]);
	free(config->origins);
	free(config->file_path);
	free(config);
}
