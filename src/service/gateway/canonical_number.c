/* canonical_number: digits first, then where the point goes. The shortest digits are searched by their number: 17 always suffice. */
#include "service/gateway/canonical_number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DIGITS_MAX 17
#define TEXT_BYTES 40

struct decimal {
	char digits[DIGITS_MAX + 1];
	int count, point; /* the value is 0.digits times 10 to the point */
};

static double value_of(const struct decimal *d)
{
	char text[TEXT_BYTES];
	snprintf(text, sizeof text, "0.%se%d", d->digits, d->point);
	return strtod(text, NULL);
}

static void round_to(struct decimal *d, double value, int count)
{
	char text[TEXT_BYTES];
	snprintf(text, sizeof text, "%.*e", count - 1, value);
	d->digits[0] = text[0];
	memcpy(d->digits + 1, text + 2, (size_t)count - 1);
	d->digits[count] = '\0';
	d->count = count;
	d->point = atoi(strchr(text, 'e') + 1) + 1;
}

/* The next number of as many digits. False for 99…9. */
static bool step_up(struct decimal *d)
{
	int at = d->count - 1;
	while (at >= 0 && d->digits[at] == '9')
		d->digits[at--] = '0';
	if (at < 0)
		return false;
	d->digits[at]++;
	return true;
}

/* Above a power of two doubles lie twice as far apart as below it. So when the nearest decimal is below and already another double's, the
 * one above may still be this one's. */
static void shortest(struct decimal *d, double value)
{
	for (int count = 1; count <= DIGITS_MAX; count++) {
		round_to(d, value, count);
		if (value_of(d) == value)
			break;
		if (step_up(d) && value_of(d) == value)
			break;
	}
	while (d->count > 1 && d->digits[d->count - 1] == '0')
		d->digits[--d->count] = '\0';
}

static size_t place_point(const struct decimal *d, char *out, size_t size)
{
	int n = d->point, k = d->count;
	if (k <= n && n <= 21)
		return (size_t)snprintf(out, size, "%s%.*s", d->digits, n - k, "000000000000000000000");
	if (0 < n && n <= 21)
		return (size_t)snprintf(out, size, "%.*s.%s", n, d->digits, d->digits + n);
	if (-6 < n && n <= 0)
		return (size_t)snprintf(out, size, "0.%.*s%s", -n, "000000", d->digits);
	return (size_t)snprintf(out, size, "%c%s%se%c%d", d->digits[0], k > 1 ? "." : "", d->digits + 1, n > 0 ? '+' : '-', abs(n - 1));
}

size_t hf_canonical_number(double value, char out[static HF_CANONICAL_NUMBER_BYTES])
{
	struct decimal d;
	char text[HF_CANONICAL_NUMBER_BYTES + 1];
	size_t length = 0;
	if (!isfinite(value)) {
		memcpy(out, "null", 4);
		return 4;
	}
	if (value == 0) {
		out[0] = '0';
		return 1;
	}
	if (value < 0)
		text[length++] = '-';
	shortest(&d, fabs(value));
	length += place_point(&d, text + length, sizeof text - length);
	memcpy(out, text, length);
	return length;
}
