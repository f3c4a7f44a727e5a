/* terminal: progress and facts. */
#include "cli/terminal.h"

#include <time.h>
#include <unistd.h>

#include "base/text.h"

#define QUIET_US 1000000
#define REDRAW_US 100000
#define LOG_US_MAX 30000000 /* between lines where there is no terminal */
#define LABEL_WIDTH 20

void hf_progress_begin(struct hf_progress *p, struct hf_env *env, const char *unit)
{
	*p = (struct hf_progress){.env = env, .unit = unit, .started_us = hf_env_monotonic_us(env), .is_terminal = isatty(STDERR_FILENO) == 1};
}

static void print_amounts(const struct hf_progress *p, uint64_t done, double rate)
{
	char amount[32], speed[32];
	if (strcmp(p->unit, "bytes") == 0)
		fprintf(stderr, "%s, %s/s", hf_text_from_bytes(amount, sizeof amount, done), hf_text_from_bytes(speed, sizeof speed, (uint64_t)rate));
	else
		fprintf(stderr, "%llu %s, %.0f %s/s", (unsigned long long)done, p->unit, rate, p->unit);
}

void hf_progress_show(struct hf_progress *p, uint64_t done, uint64_t total)
{
	uint64_t now_us = hf_env_monotonic_us(p->env), taken_us = now_us - p->started_us;
	uint64_t wait_us = p->is_terminal ? REDRAW_US : p->drawn_us ? p->drawn_us - p->started_us : 0;
	if (taken_us < QUIET_US || now_us - p->drawn_us < (wait_us < LOG_US_MAX ? wait_us : LOG_US_MAX))
		return;
	p->drawn_us = now_us;
	p->is_drawn = p->is_terminal;
	double rate = (double)done * 1e6 / (double)taken_us;
	fputs(p->is_terminal ? "\r\033[K" : "", stderr);
	print_amounts(p, done, rate);
	if (total > done && rate > 0)
		fprintf(stderr, ", %.0f %%, %.0f s left", 100.0 * (double)done / (double)total, (double)(total - done) / rate);
	else if (total > done)
		fputs(", 0 %, not known how long is left", stderr);
	if (!p->is_terminal)
		fputc('\n', stderr);
	fflush(stderr);
}

void hf_progress_end(struct hf_progress *p)
{
	if (p->is_drawn)
		fputs("\r\033[K", stderr);
	p->is_drawn = false;
}

void hf_terminal_text(FILE *out, struct hf_slice text)
{
	for (size_t i = 0; i < text.length; i++) {
		uint8_t byte = text.data[i];
		if (byte < ' ' || byte == 0x7f)
			fprintf(out, "\\x%02x", byte);
		else if (byte == 0xc2 && i + 1 < text.length && text.data[i + 1] < 0xa0) /* U+0080 to U+009F are commands too */
			fprintf(out, "\\xc2\\x%02x", text.data[++i]);
		else
			putc(byte, out);
	}
}

void hf_terminal_json(const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT);
	puts(text ? text : "{}");
	free(text);
}

void hf_terminal_fail(const char *sentence)
{
	fputs("holdfast: ", stderr);
	hf_terminal_text(stderr, hf_slice_text(sentence));
	putc('\n', stderr);
}

static void print_label(const char *key, bool is_bytes)
{
	int width = 0;
	for (const char *c = key; *c && !(is_bytes && strcmp(c, "_bytes") == 0); c++, width++)
		putchar(*c == '_' ? ' ' : *c);
	printf("%*s", width < LABEL_WIDTH ? LABEL_WIDTH - width : 1, "");
}

static void print_number(json_int_t number)
{
	char digits[32];
	int length = snprintf(digits, sizeof digits, "%lld", (long long)number);
	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0 && digits[i - 1] != '-')
			putchar(',');
		putchar(digits[i]);
	}
}

static void print_value(const char *key, json_t *value, bool is_bytes)
{
	char size[32], date[32];
	time_t seconds = (time_t)json_integer_value(value);
	struct tm parts;
	if (is_bytes)
		printf("%s", hf_text_from_bytes(size, sizeof size, (uint64_t)json_integer_value(value)));
	else if (strstr(key, "created_at") && seconds > 0 && gmtime_r(&seconds, &parts) &&
		strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S UTC", &parts) > 0)
		printf("%s", date);
	else if (json_is_integer(value))
		print_number(json_integer_value(value));
	else if (json_is_boolean(value))
		printf("%s", json_is_true(value) ? "yes" : "no");
	else if (json_is_string(value))
		hf_terminal_text(stdout, hf_slice(json_string_value(value), json_string_length(value)));
}

void hf_terminal_facts(json_t *object)
{
	const char *key;
	json_t *value;
	json_object_foreach(object, key, value) {
		bool is_bytes = strstr(key, "_bytes") && json_is_integer(value);
		if (json_is_array(value))
			continue;
		print_label(key, is_bytes && strcmp(key + strlen(key) - 6, "_bytes") == 0);
		if (json_is_object(value)) {
			const char *inner;
			json_t *part;
			const char *comma = "";
			json_object_foreach(value, inner, part) {
				printf("%s%s: ", comma, inner);
				print_value(inner, part, false);
				comma = ", ";
			}
		} else {
			print_value(key, value, is_bytes);
		}
		putchar('\n');
	}
}
