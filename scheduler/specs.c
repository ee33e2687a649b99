/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/specs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What Python's split() and strip() take away, as far as it is ASCII. */
#define BLANKS " \t\n\v\f\r\x1c\x1d\x1e\x1f"
#define NUMBER_SIZE 512 /* longer texts are no numbers */
#define KEY_SIZE 256 /* longer ones are in no database */

struct text {
	const char *at;
	size_t length;
};

enum operator{
	NO_OPERATOR,
	IS_IN,
	IS_SAME_TRUTH,
	IS_ONE_OF,
	/* of numbers */
	NUMBER_EQUAL,
	NUMBER_UNEQUAL,
	NUMBER_AT_LEAST,
	NUMBER_AT_MOST,
	/* of texts */
	TEXT_EQUAL,
	TEXT_UNEQUAL,
	TEXT_BELOW,
	TEXT_AT_MOST,
	TEXT_ABOVE,
	TEXT_AT_LEAST,
};

static const struct {
	const char *word;
	enum operator operator;
} operators[] = {
	{ "=", NUMBER_AT_LEAST }, /* older than ">=", and so it stayed */
	{ "<in>", IS_IN },
	{ "<is>", IS_SAME_TRUTH },
	{ "<or>", IS_ONE_OF },
	{ "==", NUMBER_EQUAL },
	{ "!=", NUMBER_UNEQUAL },
	{ ">=", NUMBER_AT_LEAST },
	{ "<=", NUMBER_AT_MOST },
	{ "s==", TEXT_EQUAL },
	{ "s!=", TEXT_UNEQUAL },
	{ "s<", TEXT_BELOW },
	{ "s<=", TEXT_AT_MOST },
	{ "s>", TEXT_ABOVE },
	{ "s>=", TEXT_AT_LEAST },
};

/* ---- texts ---- */

static bool next_word(const char **at, struct text *out)
{
	*at += strspn(*at, BLANKS);
	out->at = *at;
	out->length = strcspn(*at, BLANKS);
	*at += out->length;
	return out->length > 0;
}

static bool equals(struct text a, const char *b)
{
	return a.length == strlen(b) && memcmp(a.at, b, a.length) == 0;
}

/* By code points, which is the order of UTF-8's bytes. */
static int compare(struct text a, struct text b)
{
	int order = memcmp(a.at, b.at, a.length < b.length ? a.length : b.length);

	if (order != 0 || a.length == b.length)
		return order;
	return a.length < b.length ? -1 : 1;
}

static bool get_text(struct json_object *value, struct text *out)
{
	if (!json_object_is_type(value, json_type_string))
		return false;
	out->at = json_object_get_string(value);
	out->length = (size_t)json_object_get_string_len(value);
	return true;
}

static bool is_blank(char c)
{
	return c && strchr(BLANKS, c);
}

static struct text stripped(struct text t)
{
	while (t.length > 0 && is_blank(*t.at)) {
		t.at++;
		t.length--;
	}
	while (t.length > 0 && is_blank(t.at[t.length - 1]))
		t.length--;
	return t;
}

/* ---- numbers, as Python's float() reads them ---- */

/* Digits, with single '_' between them, from *from to *to. Is there one? */
static bool take_digits(const char **from, char **to)
{
	const char *start = *from;

	while (**from >= '0' && **from <= '9') {
		*(*to)++ = *(*from)++;
		if (**from == '_' && (*from)[1] >= '0' && (*from)[1] <= '9')
			(*from)++;
	}
	return *from > start;
}

static bool take_exponent(const char **from, char **to)
{
	if (**from != 'e' && **from != 'E')
		return true;
	*(*to)++ = *(*from)++;
	if (**from == '+' || **from == '-')
		*(*to)++ = *(*from)++;
	return take_digits(from, to);
}

static bool is_decimal(const char *from, char *to)
{
	bool digits = take_digits(&from, &to);

	if (*from == '.') {
		*to++ = *from++;
		digits = take_digits(&from, &to) || digits;
	}
	digits = digits && take_exponent(&from, &to) && *from == '\0';
	*to = '\0';
	return digits;
}

static bool read_number(struct text t, double *out)
{
	char text[NUMBER_SIZE], digits[NUMBER_SIZE];
	const char *at = text;

	t = stripped(t);
	if (t.length == 0 || t.length >= sizeof(text) || memchr(t.at, '\0', t.length))
		return false;
	memcpy(text, t.at, t.length);
	text[t.length] = '\0';
	at += *at == '+' || *at == '-';
	if (strcasecmp(at, "nan") == 0)
		*out = NAN;
	else if (strcasecmp(at, "inf") == 0 || strcasecmp(at, "infinity") == 0)
		*out = INFINITY;
	else if (is_decimal(at, digits))
		*out = strtod(digits, NULL);
	else
		return false;
	if (*text == '-')
		*out = -*out;
	return true;
}

static bool get_number(struct json_object *value, double *out)
{
	struct text text;

	if (get_text(value, &text))
		return read_number(text, out);
	if (json_object_is_type(value, json_type_boolean)) {
		*out = json_object_get_boolean(value);
		return true;
	}
	if (!json_object_is_type(value, json_type_int) &&
		!json_object_is_type(value, json_type_double))
		return false;
	*out = json_object_get_double(value);
	return true;
}

/* ---- truth, as oslo's bool_from_string() sees it ---- */

static bool names_truth(struct text t)
{
	static const char *const words[] = { "1", "t", "true", "on", "y", "yes" };

	t = stripped(t);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (t.length == strlen(words[i]) &&
			strncasecmp(t.at, words[i], t.length) == 0)
			return true;
	return false;
}

static bool is_truth(struct json_object *value)
{
	struct text text;

	if (json_object_is_type(value, json_type_boolean))
		return json_object_get_boolean(value);
	if (json_object_is_type(value, json_type_int))
		return json_object_get_int64(value) == 1;
	return get_text(value, &text) && names_truth(text);
}

/* ---- the operators ---- */

static bool holds(struct json_object *value, struct text wanted)
{
	struct text text;

	if (get_text(value, &text))
		return memmem(text.at, text.length, wanted.at, wanted.length);
	if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			if (get_text(json_object_array_get_idx(value, i), &text) &&
				compare(text, wanted) == 0)
				return true;
		return false;
	}
	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, member)
		{
			(void)member;
			if (equals(wanted, key))
				return true;
		}
	}
	return false;
}

/* "<or> a <or> b": every second word counts, whatever stands between them. */
static bool is_one_of(struct json_object *value, const char *rest)
{
	struct text text, word;

	if (!get_text(value, &text))
		return false;
	while (next_word(&rest, &word)) {
		if (compare(text, word) == 0)
			return true;
		if (!next_word(&rest, &word))
			return false;
	}
	return false;
}

static bool compare_numbers(
	enum operator operator, struct json_object * value, struct text wanted)
{
	double a, b;

	if (!get_number(value, &a) || !read_number(wanted, &b))
		return false;
	switch (operator) {
	case NUMBER_EQUAL:
		return a == b;
	case NUMBER_UNEQUAL:
		return a != b;
	case NUMBER_AT_LEAST:
		return a >= b;
	default:
		return a <= b;
	}
}

static bool compare_texts(
	enum operator operator, struct json_object * value, struct text wanted)
{
	struct text text;
	int order;

	if (!get_text(value, &text))
		return operator== TEXT_UNEQUAL;
	order = compare(text, wanted);
	switch (operator) {
	case TEXT_EQUAL:
		return order == 0;
	case TEXT_UNEQUAL:
		return order != 0;
	case TEXT_BELOW:
		return order < 0;
	case TEXT_AT_MOST:
		return order <= 0;
	case TEXT_ABOVE:
		return order > 0;
	default:
		return order >= 0;
	}
}

static enum operator find_operator(struct text word)
{
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
		if (equals(word, operators[i].word))
			return operators[i].operator;
	return NO_OPERATOR;
}

bool spec_matches(struct json_object *value, const char *required)
{
	const char *rest = required;
	enum operator operator;
	struct text word, text;

	if (!required)
		return !value;
	next_word(&rest, &word);
	operator= find_operator(word);
	if (operator== NO_OPERATOR)
		return get_text(value, &text) && equals(text, required);
	if (!value)
		return false;
	if (operator== IS_ONE_OF)
		return is_one_of(value, rest);
	/* Words behind the first one are ignored. */
	if (!next_word(&rest, &word))
		return false;
	if (operator== IS_IN)
		return holds(value, word);
	if (operator== IS_SAME_TRUTH)
		return is_truth(value) == names_truth(word);
	return operator<TEXT_EQUAL ? compare_numbers(operator, value, word)
				   : compare_texts(operator, value, word);
}

/* ---- all specs of a type ---- */

/* Where in the capabilities it is to be found; NULL: it is not about them. */
static const char *path_of(const char *key)
{
	static const char scope[] = "capabilities";
	size_t first = strcspn(key, ":");

	if (first == strlen(scope) && strncmp(key, scope, first) == 0)
		return key[first] ? key + first + 1 : key + first;
	return key[first] ? NULL : key;
}

/* "a:b": member b of member a. An empty path is all of them. */
static bool look_up(
	struct json_object *from, const char *path, bool all, struct json_object **out)
{
	for (;;) {
		size_t length = strcspn(path, ":");
		char key[KEY_SIZE];

		if (all)
			break;
		if (length >= sizeof(key) ||
			!json_object_is_type(from, json_type_object))
			return false;
		memcpy(key, path, length);
		key[length] = '\0';
		if (!json_object_object_get_ex(from, key, &from))
			return false;
		if (!path[length])
			break;
		path += length + 1;
	}
	*out = from;
	return true;
}

/* Of a list, one value is enough. */
static bool any_matches(struct json_object *value, const char *required)
{
	if (!json_object_is_type(value, json_type_array))
		return spec_matches(value, required);
	for (size_t i = 0; i < json_object_array_length(value); i++)
		if (spec_matches(json_object_array_get_idx(value, i), required))
			return true;
	return false;
}

static bool is_met(
	struct json_object *capabilities, const char *key, struct json_object *required)
{
	const char *path = path_of(key);
	bool all = strcmp(key, "capabilities") == 0;
	struct json_object *value;

	if (!path)
		return true;
	if (required && !json_object_is_type(required, json_type_string))
		return false;
	return look_up(capabilities, path, all, &value) &&
		any_matches(value, required ? json_object_get_string(required) : NULL);
}

bool specs_are_met(struct json_object *capabilities, struct json_object *specs,
	char *why, size_t size)
{
	if (!specs)
		return true;
	json_object_object_foreach(specs, key, required)
	{
		if (is_met(capabilities, key, required))
			continue;
		snprintf(why, size,
			"does not meet '%.64s' = '%.64s' of the volume's type", key,
			required ? json_object_get_string(required) : "");
		return false;
	}
	return true;
}
