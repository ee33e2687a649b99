/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

#define PRINT_FLAGS JSON_C_TO_STRING_NOSLASHESCAPE

DEFINE_AUTO(struct json_tokener *, json_tokener_free)

/* What the tokener does not check is checked before it: a walk over the words, numbers
 * and strings. How they nest is the tokener's business. */
struct scan {
	const char *text;
	size_t length, at;
};

static char peek(const struct scan *s)
{
	return s->at < s->length ? s->text[s->at] : '\0';
}

static int bad(const struct scan *s, const char *what, struct error *err)
{
	return error_set(err, ERR_INVALID_INPUT, "%s in JSON at byte %zu", what, s->at);
}

static int scan_string(struct scan *s, struct error *err)
{
	s->at++;
	while (s->at < s->length) {
		const unsigned char *p = (const unsigned char *)s->text + s->at;
		size_t size = text_utf8_size((const char *)p, s->length - s->at);
		if (!size)
			return bad(s, "invalid UTF-8", err);
		if (*p < 0x20)
			return bad(s, "control character", err);
		if (*p == '"') {
			s->at++;
			return 0;
		}
		if (*p == '\\' && s->at + 1 < s->length && p[1] >= 0x20 && p[1] < 0x80)
			size = 2;
		s->at += size;
	}
	return bad(s, "unfinished string", err);
}

static bool scan_digits(struct scan *s)
{
	size_t start = s->at;

	while (peek(s) >= '0' && peek(s) <= '9')
		s->at++;
	return s->at > start;
}

/* RFC 8259's number; *whole tells whether it has neither fraction nor exponent. */
static bool scan_number_form(struct scan *s, bool *whole)
{
	*whole = true;
	if (peek(s) == '-')
		s->at++;
	char first = peek(s);
	size_t start = s->at;
	if (!scan_digits(s) || (first == '0' && s->at > start + 1))
		return false;
	if (peek(s) == '.') {
		*whole = false;
		s->at++;
		if (!scan_digits(s))
			return false;
	}
	if (peek(s) == 'e' || peek(s) == 'E') {
		*whole = false;
		s->at++;
		if (peek(s) == '+' || peek(s) == '-')
			s->at++;
		if (!scan_digits(s))
			return false;
	}
	return true;
}

static int scan_number(struct scan *s, struct error *err)
{
	struct scan start = *s;
	char number[400];
	bool whole;

	if (!scan_number_form(s, &whole))
		return bad(s, "malformed number", err);
	size_t size = s->at - start.at;
	if (size >= sizeof(number))
		return bad(&start, "number of too many digits", err);
	memcpy(number, start.text + start.at, size);
	number[size] = '\0';

	errno = 0;
	if (whole) {
		(void)strtoimax(number, NULL, 10);
		if (errno)
			return bad(&start, "integer beyond 64 bits", err);
	} else if (!isfinite(strtod(number, NULL))) {
		return bad(&start, "number that is too large", err);
	}
	return 0;
}

static int scan_word(struct scan *s, struct error *err)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t size = strlen(words[i]);
		if (size <= s->length - s->at &&
			memcmp(s->text + s->at, words[i], size) == 0) {
			s->at += size;
			return 0;
		}
	}
	return bad(s, "unexpected text", err);
}

static int scan_text(const char *text, size_t length, struct error *err)
{
	struct scan s = { .text = text, .length = length };

	while (s.at < s.length) {
		char c = peek(&s);
		int rc = 0;
		if (c && strchr("{}[]:, \t\r\n", c))
			s.at++;
		else if (c == '"')
			rc = scan_string(&s, err);
		else if (c == '-' || (c >= '0' && c <= '9'))
			rc = scan_number(&s, err);
		else
			rc = scan_word(&s, err);
		if (rc < 0)
			return -1;
	}
	return 0;
}

static size_t without_trailing_space(const char *text, size_t length)
{
	while (length && text[length - 1] && strchr(" \t\r\n", text[length - 1]))
		length--;
	return length;
}

int json_parse(
	const char *text, size_t length, struct json_object **out, struct error *err)
{
	AUTO(json_object_put) struct json_object *value = NULL;

	length = without_trailing_space(text, length);
	if (!length)
		return error_set(err, ERR_INVALID_INPUT, "empty JSON");
	if (length >= INT_MAX)
		return error_set(err, ERR_INVALID_INPUT, "JSON of %zu bytes", length);
	if (scan_text(text, length, err) < 0)
		return -1;

	AUTO(json_tokener_free)
	struct json_tokener *tokener = json_tokener_new_ex(JSON_MAX_DEPTH);
	if (!tokener)
		return error_no_memory(err);
	json_tokener_set_flags(
		tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	value = json_tokener_parse_ex(tokener, text, (int)length);
	size_t end = json_tokener_get_parse_end(tokener);
	/* A number at the very end is finished only by what follows it. */
	if (json_tokener_get_error(tokener) == json_tokener_continue)
		value = json_tokener_parse_ex(tokener, "", 1);
	enum json_tokener_error why = json_tokener_get_error(tokener);
	if (why == json_tokener_continue || why == json_tokener_error_parse_eof)
		return error_set(
			err, ERR_INVALID_INPUT, "unfinished JSON at byte %zu", length);
	if (why != json_tokener_success)
		return error_set(err, ERR_INVALID_INPUT, "%s in JSON at byte %zu",
			json_tokener_error_desc(why), end);
	if (end != length)
		return error_set(err, ERR_INVALID_INPUT,
			"more than one value in JSON at byte %zu", end);
	*out = steal(value);
	return 0;
}

/* NULL for a missing or null member. */
static struct json_object *member(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_is_type(o, json_type_object))
		return NULL;
	json_object_object_get_ex(o, key, &value);
	return value;
}

static int missing(const char *key, struct error *err)
{
	return error_set(err, ERR_INVALID_INPUT, "'%s' is missing", key);
}

static int not_a(const char *what, const char *key, struct error *err)
{
	return error_set(err, ERR_INVALID_INPUT, "'%s' is not %s", key, what);
}

static int to_string(
	struct json_object *value, const char *key, const char **out, struct error *err)
{
	if (!json_object_is_type(value, json_type_string))
		return not_a("a string", key, err);
	const char *text = json_object_get_string(value);
	if (strlen(text) != (size_t)json_object_get_string_len(value))
		return error_set(err, ERR_INVALID_INPUT, "'%s' holds a NUL", key);
	*out = text;
	return 0;
}

static int to_int(struct json_object *value, const char *key, int64_t min, int64_t max,
	int64_t *out, struct error *err)
{
	if (!json_object_is_type(value, json_type_int))
		return not_a("an integer", key, err);
	int64_t number = json_object_get_int64(value);
	if (number < min || number > max)
		return error_set(err, ERR_INVALID_INPUT,
			"'%s' is %" PRId64 ", outside %" PRId64 " to %" PRId64, key,
			number, min, max);
	*out = number;
	return 0;
}

int json_get_string(
	struct json_object *o, const char *key, const char **out, struct error *err)
{
	struct json_object *value = member(o, key);

	return value ? to_string(value, key, out, err) : missing(key, err);
}

int json_get_string_or(struct json_object *o, const char *key, const char *fallback,
	const char **out, struct error *err)
{
	struct json_object *value = member(o, key);

	if (value)
		return to_string(value, key, out, err);
	*out = fallback;
	return 0;
}

int json_get_int(struct json_object *o, const char *key, int64_t min, int64_t max,
	int64_t *out, struct error *err)
{
	struct json_object *value = member(o, key);

	return value ? to_int(value, key, min, max, out, err) : missing(key, err);
}

int json_get_int_or(struct json_object *o, const char *key, int64_t min, int64_t max,
	int64_t fallback, int64_t *out, struct error *err)
{
	struct json_object *value = member(o, key);

	if (value)
		return to_int(value, key, min, max, out, err);
	*out = fallback;
	return 0;
}

int json_get_bool_or(struct json_object *o, const char *key, bool fallback, bool *out,
	struct error *err)
{
	struct json_object *value = member(o, key);

	if (value && !json_object_is_type(value, json_type_boolean))
		return not_a("true or false", key, err);
	*out = value ? json_object_get_boolean(value) : fallback;
	return 0;
}

int json_get_double_or(struct json_object *o, const char *key, double fallback,
	double *out, struct error *err)
{
	struct json_object *value = member(o, key);

	if (value && !json_object_is_type(value, json_type_double) &&
		!json_object_is_type(value, json_type_int))
		return not_a("a number", key, err);
	double number = value ? json_object_get_double(value) : fallback;
	if (value && !isfinite(number))
		return not_a("a finite number", key, err);
	*out = number;
	return 0;
}

int json_get_object(struct json_object *o, const char *key, struct json_object **out,
	struct error *err)
{
	struct json_object *value = member(o, key);

	if (!value)
		return missing(key, err);
	if (!json_object_is_type(value, json_type_object))
		return not_a("an object", key, err);
	*out = value;
	return 0;
}

int json_get_array(struct json_object *o, const char *key, struct json_object **out,
	struct error *err)
{
	struct json_object *value = member(o, key);

	if (!value)
		return missing(key, err);
	if (!json_object_is_type(value, json_type_array))
		return not_a("an array", key, err);
	*out = value;
	return 0;
}

static char *print(struct json_object *o, int flags)
{
	const char *text = json_object_to_json_string_ext(o, flags);

	return text ? strdup(text) : NULL;
}

char *json_text(struct json_object *o)
{
	return print(o, PRINT_FLAGS | JSON_C_TO_STRING_PLAIN);
}

char *json_text_pretty(struct json_object *o)
{
	return print(
		o, PRINT_FLAGS | JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
}

void json_add(struct json_object *o, const char *key, struct json_object *value)
{
	if (json_object_object_add(o, key, value) < 0)
		abort();
}

static void json_add_new(
	struct json_object *o, const char *key, struct json_object *new)
{
	if (!new)
		abort();
	json_add(o, key, new);
}

/* Texts of errors are cut to fit and may end inside a character; one such byte would
 * make the whole message unreadable for the peer. */
static void make_utf8(char *text, size_t length)
{
	for (size_t at = 0; at < length;) {
		size_t size = text_utf8_size(text + at, length - at);
		if (!size)
			text[at] = '?';
		at += size ? size : 1;
	}
}

void json_add_string(struct json_object *o, const char *key, const char *value)
{
	AUTO(free) char *copy = value ? strdup(value) : NULL;

	if (!value) {
		json_add(o, key, NULL);
		return;
	}
	if (!copy)
		abort();
	make_utf8(copy, strlen(copy));
	json_add_new(o, key, json_object_new_string(copy));
}

void json_add_int(struct json_object *o, const char *key, int64_t value)
{
	json_add_new(o, key, json_object_new_int64(value));
}

void json_add_bool(struct json_object *o, const char *key, bool value)
{
	json_add_new(o, key, json_object_new_boolean(value));
}

void json_add_double(struct json_object *o, const char *key, double value)
{
	json_add_new(o, key, json_object_new_double(value));
}
