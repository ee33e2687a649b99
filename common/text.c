/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <uuid.h>

#include "common/auto.h"

char *text_format(const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	int length = vasprintf(&text, format, args);
	va_end(args);
	return length < 0 ? NULL : text;
}

void text_end_whole(char *text)
{
	size_t length = strlen(text), start = length;
	unsigned char first;
	size_t wanted;

	while (start > 0 && length - start < 3 &&
		((unsigned char)text[start - 1] & 0xc0) == 0x80)
		start--;
	if (start == 0)
		return;
	first = (unsigned char)text[start - 1];
	wanted = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
	if (length - (start - 1) < wanted)
		text[start - 1] = '\0';
}

void text_copy(char *out, size_t size, const char *text)
{
	size_t length = strnlen(text, size);

	if (length < size) {
		memcpy(out, text, length + 1);
		return;
	}
	memcpy(out, text, size - 1);
	out[size - 1] = '\0';
	text_end_whole(out);
}

void uuid_make(char out[UUID_TEXT_SIZE])
{
	uuid_t uuid;

	uuid_generate_random(uuid);
	uuid_unparse_lower(uuid, out);
}

void hex_id_make(char out[HEX_ID_SIZE])
{
	uuid_t uuid;

	uuid_generate_random(uuid);
	for (size_t i = 0; i < sizeof(uuid); i++)
		snprintf(out + 2 * i, 3, "%02x", uuid[i]);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool uuid_is(const char *text)
{
	if (!text || strlen(text) != UUID_TEXT_SIZE - 1)
		return false;
	for (int i = 0; i < UUID_TEXT_SIZE - 1; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? text[i] != '-' : !is_hex(text[i]))
			return false;
	}
	return true;
}

int text_to_int(
	const char *text, int64_t min, int64_t max, int64_t *out, struct error *err)
{
	const char *digits = text[0] == '-' || text[0] == '+' ? text + 1 : text;

	if (!*digits || digits[strspn(digits, "0123456789")])
		return error_set(
			err, ERR_INVALID_INPUT, "'%s' is not a whole number", text);
	errno = 0;
	intmax_t value = strtoimax(text, NULL, 10);
	if (errno || value < min || value > max)
		return error_set(err, ERR_INVALID_INPUT,
			"%s is outside %" PRId64 " to %" PRId64, text, min, max);
	*out = value;
	return 0;
}

static const char *skip_digits(const char *p, bool *any)
{
	while (is_digit(*p)) {
		*any = true;
		p++;
	}
	return p;
}

/* strtod takes more than we want: white space, "inf", hexadecimal digits. */
static bool looks_like_a_number(const char *p)
{
	bool mantissa = false, exponent = false;

	if (*p == '-' || *p == '+')
		p++;
	p = skip_digits(p, &mantissa);
	if (*p == '.')
		p = skip_digits(p + 1, &mantissa);
	if (!mantissa)
		return false;
	if (*p != 'e' && *p != 'E')
		return !*p;
	p++;
	if (*p == '-' || *p == '+')
		p++;
	p = skip_digits(p, &exponent);
	return exponent && !*p;
}

int text_to_double(const char *text, double *out, struct error *err)
{
	if (!looks_like_a_number(text))
		return error_set(err, ERR_INVALID_INPUT, "'%s' is not a number", text);

	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (!c)
		return error_no_memory(err);
	double value = strtod_l(text, NULL, c);
	freelocale(c);
	if (!isfinite(value))
		return error_set(err, ERR_INVALID_INPUT, "%s is too large", text);
	*out = value;
	return 0;
}

/* The power of two that a suffix stands for; -1: it is none. */
static int suffix_shift(const char *suffix)
{
	static const char letters[] = "KMGT";
	const char *found = suffix[0] ? strchr(letters, suffix[0]) : NULL;

	if (!suffix[0])
		return 0;
	return found && !suffix[1] ? 10 * (int)(found - letters + 1) : -1;
}

int text_to_bytes(const char *text, uint64_t *out, struct error *err)
{
	size_t digits = strspn(text, "0123456789");
	int shift = suffix_shift(text + digits);
	uint64_t number = 0;

	if (digits == 0 || digits > 18 || shift < 0)
		return error_set(err, ERR_USAGE,
			"'%.60s' is not a number of bytes like 4096 or 100M", text);
	for (size_t i = 0; i < digits; i++)
		number = number * 10 + (uint64_t)(text[i] - '0');
	if (number > (uint64_t)INT64_MAX >> shift)
		return error_set(err, ERR_USAGE, "'%.60s' is too many bytes", text);
	*out = number << shift;
	return 0;
}

const char *text_size(char out[SIZE_TEXT_SIZE], uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(out, SIZE_TEXT_SIZE, "%" PRIu64 " B", bytes);
		return out;
	}
	/* What would be printed as 1024.0 belongs to the next unit. */
	while (value >= 1023.95 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(out, SIZE_TEXT_SIZE, "%.1f %s", value, units[unit]);
	return out;
}

const char *num_text(char out[24], int64_t value)
{
	snprintf(out, 24, "%" PRId64, value);
	return out;
}

double clock_seconds(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
		abort();
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;
	return least < c ? least : c;
}

/* Three rows of the usual table are enough: a swap looks back two. */
unsigned text_distance(const char *a, const char *b, unsigned limit)
{
	enum { LONGEST = 255 };
	unsigned rows[3][LONGEST + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > LONGEST || nb > LONGEST)
		return strcmp(a, b) == 0 ? 0 : limit + 1;
	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned change = a[i - 1] != b[j - 1];
			row[j] = min3(
				row[j - 1] + 1, above[j] + 1, above[j - 1] + change);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
				a[i - 2] == b[j - 1]) {
				unsigned swap = rows[(i - 2) % 3][j - 2] + 1;
				row[j] = swap < row[j] ? swap : row[j];
			}
		}
	}
	unsigned distance = rows[na % 3][nb];
	return distance > limit ? limit + 1 : distance;
}

bool name_is_safe(const char *text)
{
	if (!text || !*text || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return false;
	if (strlen(text) > 255)
		return false;
	for (const char *p = text; *p; p++)
		if (!is_letter(*p) && !is_digit(*p) && !strchr("._-@#+:", *p))
			return false;
	return true;
}

size_t text_utf8_size(const char *text, size_t left)
{
	const unsigned char *p = (const unsigned char *)text;
	unsigned char low = 0x80, high = 0xbf;
	size_t length;

	if (!left)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		length = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		length = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		length = 4;
	else
		return 0;
	if (length > left)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return length;
}
