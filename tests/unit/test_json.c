/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"

/* Parse a copy without a NUL behind it, so that reading too far is seen. */
static int parse(
	const char *text, size_t length, struct json_object **out, struct error *err)
{
	AUTO(free) char *copy = malloc(length ? length : 1);

	assert_non_null(copy);
	memcpy(copy, text, length);
	return json_parse(copy, length, out, err);
}

static struct json_object *parsed(const char *text)
{
	struct json_object *out = NULL;
	struct error err = { 0 };

	if (parse(text, strlen(text), &out, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return out;
}

static void good_json_comes_back_as_it_was(void **state)
{
	static const char *const same[] = { "{}", "[]", "null", "true", "false", "0",
		"-1", "1.5", "\"a/b\"", "\"\u00e9\"", "[1,2,{\"a\":null}]",
		"9223372036854775807", "-9223372036854775808", "\"\\u0000\"" };

	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		AUTO(json_object_put) struct json_object *o = parsed(same[i]);
		AUTO(free) char *text = json_text(o);
		assert_string_equal(text, same[i]);
	}
}

static void space_may_stand_around_a_value(void **state)
{
	AUTO(json_object_put) struct json_object *o = parsed(" \r\n\t{ \"a\" : 1 } \n");
	AUTO(free) char *text = json_text(o);

	assert_string_equal(text, "{\"a\":1}");
}

static void bad_json_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{ "", "empty JSON" },
		{ "  ", "empty JSON" },
		{ "{", "unfinished JSON at byte 1" },
		{ "[NaN]", "unexpected text in JSON at byte 1" },
		{ "[Infinity]", "unexpected text in JSON at byte 1" },
		{ "[-Infinity]", "malformed number in JSON at byte 2" },
		{ "[nan]", "unexpected text in JSON at byte 1" },
		{ "[True]", "unexpected text in JSON at byte 1" },
		{ "[12345678901234567890123]",
			"integer beyond 64 bits in JSON at byte 1" },
		{ "[9223372036854775808]", "integer beyond 64 bits in JSON at byte 1" },
		{ "[1e999]", "number that is too large in JSON at byte 1" },
		{ "[1.]", "malformed number in JSON at byte 3" },
		{ "[.5]", "unexpected text in JSON at byte 1" },
		{ "[+1]", "unexpected text in JSON at byte 1" },
		{ "{'a':1}", "unexpected text in JSON at byte 1" },
		{ "/* c */ 1", "unexpected text in JSON at byte 0" },
		{ "\"\xff\"", "invalid UTF-8 in JSON at byte 1" },
		{ "\"\xed\xa0\x80\"", "invalid UTF-8 in JSON at byte 1" },
		{ "\"a\nb\"", "control character in JSON at byte 2" },
		{ "\"abc", "unfinished string in JSON at byte 4" },
		{ "{\"a\":", "unfinished JSON at byte 5" },
		{ "[1]]", NULL },
		{ "{} {}", NULL },
		{ "1 2", NULL },
		{ "[1,]", NULL },
		{ "{\"a\":1,}", NULL },
		{ "[1 2]", NULL },
		{ "{\"a\" 1}", NULL },
		{ "{1:2}", NULL },
		{ "01", "malformed number in JSON at byte 2" },
		{ "[01]", NULL },
		{ "\"\\q\"", NULL },
		{ "\"\\u12g4\"", NULL },
		{ "]", NULL },
		{ ",", NULL },
		{ "truefalse", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct json_object *out = (void *)&cases;
		struct error err = { 0 };
		if (parse(cases[i].text, strlen(cases[i].text), &out, &err) == 0)
			fail_msg("%s was taken", cases[i].text);
		assert_int_equal(err.code, ERR_INVALID_INPUT);
		assert_ptr_equal(out, &cases);
		if (cases[i].reason)
			assert_string_equal(err.text, cases[i].reason);
	}
}

static void a_nul_in_the_text_is_refused(void **state)
{
	struct json_object *out = NULL;

	assert_int_equal(parse("[1\0]", 4, &out, NULL), -1);
	assert_int_equal(parse("[1]\0", 4, &out, NULL), -1);
	assert_int_equal(parse("\"\0\"", 3, &out, NULL), -1);
}

static void depth_ends_at_sixty_four(void **state)
{
	char text[2 * (JSON_MAX_DEPTH + 1)];
	struct json_object *out = NULL;
	struct error err = { 0 };
	int depth = JSON_MAX_DEPTH;

	memset(text, '[', (size_t)depth);
	memset(text + depth, ']', (size_t)depth);
	assert_int_equal(parse(text, 2 * (size_t)depth, &out, &err), 0);
	json_object_put(out);
	depth++;
	memset(text, '[', (size_t)depth);
	memset(text + depth, ']', (size_t)depth);
	assert_int_equal(parse(text, 2 * (size_t)depth, &out, &err), -1);
	assert_string_equal(err.text, "nesting too deep in JSON at byte 64");
}

static void members_are_typed(void **state)
{
	AUTO(json_object_put)
	struct json_object *o = parsed("{\"s\":\"x\",\"i\":5,\"b\":true,\"d\":1.5,"
				       "\"o\":{},\"a\":[],\"n\":null}");
	struct json_object *child = NULL;
	const char *text = NULL;
	int64_t number = 0;
	double fraction = 0;
	bool flag = false;

	assert_int_equal(json_get_string(o, "s", &text, NULL), 0);
	assert_string_equal(text, "x");
	assert_int_equal(json_get_int(o, "i", 0, 9, &number, NULL), 0);
	assert_int_equal(number, 5);
	assert_int_equal(json_get_bool_or(o, "b", false, &flag, NULL), 0);
	assert_true(flag);
	assert_int_equal(json_get_double_or(o, "d", 0, &fraction, NULL), 0);
	assert_true(fraction > 1.4 && fraction < 1.6);
	assert_int_equal(json_get_double_or(o, "i", 0, &fraction, NULL), 0);
	assert_true(fraction > 4.9 && fraction < 5.1);
	assert_int_equal(json_get_object(o, "o", &child, NULL), 0);
	assert_int_equal(json_get_array(o, "a", &child, NULL), 0);
}

static void a_wrong_type_names_the_member(void **state)
{
	AUTO(json_object_put)
	struct json_object *o = parsed(
		"{\"s\":\"1\",\"i\":1,\"d\":1.0,\"b\":true,\"z\":\"a\\u0000b\"}");
	struct json_object *child;
	struct error err = { 0 };
	const char *text;
	int64_t number;
	double fraction;
	bool flag;

	assert_int_equal(json_get_string(o, "i", &text, &err), -1);
	assert_string_equal(err.text, "'i' is not a string");
	assert_int_equal(json_get_string(o, "z", &text, &err), -1);
	assert_string_equal(err.text, "'z' holds a NUL");
	assert_int_equal(json_get_int(o, "s", 0, 9, &number, &err), -1);
	assert_string_equal(err.text, "'s' is not an integer");
	assert_int_equal(json_get_int(o, "d", 0, 9, &number, &err), -1);
	assert_int_equal(json_get_int(o, "b", 0, 9, &number, &err), -1);
	assert_int_equal(json_get_int(o, "i", 5, 9, &number, &err), -1);
	assert_string_equal(err.text, "'i' is 1, outside 5 to 9");
	assert_int_equal(json_get_bool_or(o, "i", true, &flag, &err), -1);
	assert_int_equal(json_get_double_or(o, "s", 0, &fraction, &err), -1);
	assert_int_equal(json_get_object(o, "s", &child, &err), -1);
	assert_int_equal(json_get_array(o, "s", &child, &err), -1);
	assert_int_equal(json_get_string_or(o, "i", "x", &text, &err), -1);
	assert_int_equal(json_get_int_or(o, "s", 0, 9, 3, &number, &err), -1);
}

static void a_missing_or_null_member_takes_the_default(void **state)
{
	AUTO(json_object_put) struct json_object *o = parsed("{\"n\":null}");
	static const char *const keys[] = { "n", "missing" };
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *text = NULL;
		int64_t number = 0;
		bool flag = false;
		assert_int_equal(json_get_string(o, keys[i], &text, &err), -1);
		assert_non_null(strstr(err.text, keys[i]));
		assert_int_equal(json_get_int(o, keys[i], 0, 9, &number, &err), -1);
		assert_int_equal(json_get_string_or(o, keys[i], "d", &text, NULL), 0);
		assert_string_equal(text, "d");
		assert_int_equal(
			json_get_int_or(o, keys[i], 0, 1, 7, &number, NULL), 0);
		assert_int_equal(number, 7);
		assert_int_equal(json_get_bool_or(o, keys[i], true, &flag, NULL), 0);
		assert_true(flag);
	}
	assert_int_equal(json_get_string(NULL, "a", &(const char *) { 0 }, &err), -1);
}

static void what_is_added_is_printed(void **state)
{
	AUTO(json_object_put) struct json_object *o = json_object_new_object();

	json_add_string(o, "s", "a/b\n");
	json_add_string(o, "none", NULL);
	json_add_int(o, "i", INT64_MIN);
	json_add_bool(o, "b", true);
	json_add_double(o, "d", 0.5);
	json_add(o, "l", json_object_new_array());
	AUTO(free) char *text = json_text(o);
	assert_string_equal(text,
		"{\"s\":\"a/b\\n\",\"none\":null,\"i\":-9223372036854775808,"
		"\"b\":true,\"d\":0.5,\"l\":[]}");
	AUTO(free) char *nothing = json_text(NULL);
	assert_string_equal(nothing, "null");
}

static void a_cut_character_does_not_spoil_the_message(void **state)
{
	AUTO(json_object_put) struct json_object *o = json_object_new_object();
	struct json_object *again = NULL;

	json_add_string(o, "s", "\xe2\x82\xac and \xe2\x82");
	AUTO(free) char *text = json_text(o);
	assert_string_equal(text, "{\"s\":\"\xe2\x82\xac and ??\"}");
	assert_int_equal(parse(text, strlen(text), &again, NULL), 0);
	json_object_put(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_json_comes_back_as_it_was),
		cmocka_unit_test(space_may_stand_around_a_value),
		cmocka_unit_test(bad_json_is_refused_with_its_place),
		cmocka_unit_test(a_nul_in_the_text_is_refused),
		cmocka_unit_test(depth_ends_at_sixty_four),
		cmocka_unit_test(members_are_typed),
		cmocka_unit_test(a_wrong_type_names_the_member),
		cmocka_unit_test(a_missing_or_null_member_takes_the_default),
		cmocka_unit_test(what_is_added_is_printed),
		cmocka_unit_test(a_cut_character_does_not_spoil_the_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
