/* Numbers are read digit by digit with an overflow check, never by strtoull, which takes signs and spaces. */
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"

#define NAME_BYTES_MAX 63
#define DISTANCE_MAX 3

/* Reads digits; *text moves to the first byte after them. */
static int take_number(const char **text, uint64_t *value)
{
	const char *p = *text;
	if (*p < '0' || *p > '9')
		return HF_EINVAL;
	uint64_t result = 0;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(result, 10u, &result) ||
		    __builtin_add_overflow(result, (uint64_t)(*p - '0'), &result))
			return HF_ETOOBIG;
	}
	*text = p;
	*value = result;
	return HF_OK;
}

int hf_text_to_u64(const char *text, uint64_t *value)
{
	uint64_t result;
	int error = take_number(&text, &result);
	if (error)
		return error;
	if (*text)
		return HF_EINVAL;
	*value = result;
	return HF_OK;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int to_units(const char *text, const struct unit *units, size_t count, uint64_t *value)
{
	uint64_t number;
	int error = take_number(&text, &number);
	if (error)
		return error;
	while (*text == ' ')
		text++;
	for (size_t i = 0; i < count; i++) {
		if (strcasecmp(text, units[i].name) != 0)
			continue;
		uint64_t result;
		if (__builtin_mul_overflow(number, units[i].factor, &result))
			return HF_ETOOBIG;
		*value = result;
		return HF_OK;
	}
	return HF_EINVAL;
}

#define KIB ((uint64_t)1024)

int hf_text_to_bytes(const char *text, uint64_t *bytes)
{
	static const struct unit units[] = {
		{"", 1}, {"b", 1},
		{"k", KIB}, {"kb", KIB}, {"kib", KIB},
		{"m", KIB * KIB}, {"mb", KIB * KIB}, {"mib", KIB * KIB},
		{"g", KIB * KIB * KIB}, {"gb", KIB * KIB * KIB}, {"gib", KIB * KIB * KIB},
		{"t", KIB * KIB * KIB * KIB}, {"tb", KIB * KIB * KIB * KIB}, {"tib", KIB * KIB * KIB * KIB},
	};
	return to_units(text, units, sizeof units / sizeof *units, bytes);
}

int hf_text_to_ms(const char *text, uint64_t *ms)
{
	static const struct unit units[] = {
		{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 86400 * 1000},
	};
	return to_units(text, units, sizeof units / sizeof *units, ms);
}

bool hf_text_to_bool(const char *text, bool *value)
{
	static const char *const words[][2] = {{"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"}};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		for (int truth = 0; truth < 2; truth++) {
			if (strcasecmp(text, words[i][truth]) == 0) {
				*value = truth;
				return true;
			}
		}
	}
	return false;
}

char *hf_text_from_bytes(char *out, size_t size, uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	if (bytes < KIB) {
		snprintf(out, size, "%u B", (unsigned)bytes);
		return out;
	}
	double value = (double)bytes / (double)KIB;
	size_t unit = 0;
	/* 1023.95 would be printed as 1024.0. */
	while (value >= 1023.95 && unit + 1 < sizeof units / sizeof *units) {
		value /= (double)KIB;
		unit++;
	}
	snprintf(out, size, "%.1f %s", value, units[unit]);
	return out;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Levenshtein, one row at a time. Both are at most NAME_BYTES_MAX long. */
static size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t row[NAME_BYTES_MAX + 1];
	for (size_t j = 0; j <= b_length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
		}
	}
	return row[b_length];
}

const char *hf_text_nearest(const char *name, const char *const *candidates, size_t count)
{
	size_t length = strlen(name);
	if (length > NAME_BYTES_MAX)
		return NULL;
	const char *nearest = NULL;
	size_t distance_min = least(DISTANCE_MAX, length / 2) + 1;
	for (size_t i = 0; i < count; i++) {
		size_t candidate_length = strlen(candidates[i]);
		if (candidate_length > NAME_BYTES_MAX)
			continue;
		size_t distance = edit_distance(name, length, candidates[i], candidate_length);
		if (distance < distance_min) {
			distance_min = distance;
			nearest = candidates[i];
		}
	}
	return nearest;
}
