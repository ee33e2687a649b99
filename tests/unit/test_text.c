/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/auto.h"
#include "common/text.h"

static void a_uuid_is_recognised_and_never_the_same(void **state)
{
	char one[UUID_TEXT_SIZE], two[UUID_TEXT_SIZE], hex[HEX_ID_SIZE];

	uuid_make(one);
	uuid_make(two);
	hex_id_make(hex);
	assert_true(uuid_is(one));
	assert_string_not_equal(one, two);
	assert_int_equal(one[14], '4');
	assert_int_equal(strlen(hex), 32);
	assert_int_equal(strspn(hex, "0123456789abcdef"), 32);
}

static void what_only_looks_like_a_uuid_is_none(void **state)
{
	assert_true(uuid_is("0F0E0D0C-0000-4000-8000-00000000000a"));
	assert_false(uuid_is(NULL));
	assert_false(uuid_is(""));
	assert_false(uuid_is("0f0e0d0c-0000-4000-8000-00000000000"));
	assert_false(uuid_is("0f0e0d0c-0000-4000-8000-00000000000g"));
	assert_false(uuid_is("0f0e0d0c00000-4000-8000-00000000000a"));
	assert_false(uuid_is("0f0e0d0c-0000-4000-8000-00000000000a "));
}

static void whole_numbers_are_read_to_the_last_digit(void **state)
{
	static const char *const bad[] = { "", "-", "+", " 1", "1 ", "1.0", "1e3",
		"0x1", "--1", "9223372036854775808", "-9223372036854775809",
		"99999999999999999999999" };
	int64_t n = 0;

	assert_int_equal(text_to_int("-42", INT64_MIN, INT64_MAX, &n, NULL), 0);
	assert_int_equal(n, -42);
	assert_int_equal(
		text_to_int("9223372036854775807", INT64_MIN, INT64_MAX, &n, NULL), 0);
	assert_true(n == INT64_MAX);
	assert_int_equal(
		text_to_int("-9223372036854775808", INT64_MIN, INT64_MAX, &n, NULL), 0);
	assert_true(n == INT64_MIN);
	n = 7;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = { 0 };
		assert_int_equal(
			text_to_int(bad[i], INT64_MIN, INT64_MAX, &n, &err), -1);
		assert_int_equal(err.code, ERR_INVALID_INPUT);
		assert_int_equal(n, 7);
	}
}

static void a_number_out_of_bounds_names_the_bounds(void **state)
{
	struct error err = { 0 };
	int64_t n;

	assert_int_equal(text_to_int("11", 1, 10, &n, &err), -1);
	assert_string_equal(err.text, "11 is outside 1 to 10");
}

static void fractions_are_finite_and_decimal(void **state)
{
	static const char *const bad[] = { "", ".", "-", "inf", "nan", "1e", "1e999",
		" 1", "1 ", "0x10", "1,5", "1.5.2" };
	double d = 0;

	assert_int_equal(text_to_double("-1.5e2", &d, NULL), 0);
	assert_true(d > -150.001 && d < -149.999);
	assert_int_equal(text_to_double(".5", &d, NULL), 0);
	assert_true(d > 0.499 && d < 0.501);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(text_to_double(bad[i], &d, NULL), -1);
}

static void sizes_read_as_people_say_them(void **state)
{
	char out[SIZE_TEXT_SIZE];

	assert_string_equal(text_size(out, 0), "0 B");
	assert_string_equal(text_size(out, 1023), "1023 B");
	assert_string_equal(text_size(out, 1024), "1.0 KiB");
	assert_string_equal(text_size(out, 1536 * 1024), "1.5 MiB");
	assert_string_equal(text_size(out, (1 << 20) - 1), "1.0 MiB");
	assert_string_equal(text_size(out, 40ULL << 40), "40.0 TiB");
	assert_string_equal(text_size(out, UINT64_MAX), "16.0 EiB");
	assert_string_equal(NUM(INT64_MIN), "-9223372036854775808");
}

static void sizes_are_written_as_people_write_them(void **state)
{
	static const char *const bad[] = { "", "K", "1X", "1KK", "1 K", "-1", "+1",
		"1k", "1.5G", "0x10", "9000000T", "9999999999999999999" };
	uint64_t bytes = 7;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = { 0 };

		assert_int_equal(text_to_bytes(bad[i], &bytes, &err), -1);
		assert_int_equal(err.code, ERR_USAGE);
		assert_int_equal(bytes, 7);
	}
	assert_int_equal(text_to_bytes("0", &bytes, NULL), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(text_to_bytes("4096", &bytes, NULL), 0);
	assert_int_equal(bytes, 4096);
	assert_int_equal(text_to_bytes("3K", &bytes, NULL), 0);
	assert_int_equal(bytes, 3072);
	assert_int_equal(text_to_bytes("8388607T", &bytes, NULL), 0);
	assert_true(bytes == 8388607ULL << 40);
}

static void a_slip_of_the_finger_is_one_step_away(void **state)
{
	assert_int_equal(text_distance("host", "host", 3), 0);
	assert_int_equal(text_distance("host", "hots", 3), 1);
	assert_int_equal(text_distance("host", "hst", 3), 1);
	assert_int_equal(text_distance("host", "hosts", 3), 1);
	assert_int_equal(text_distance("", "abc", 9), 3);
	assert_int_equal(text_distance("kitten", "sitting", 9), 3);
	assert_int_equal(text_distance("abcdef", "uvwxyz", 2), 3);
}

static void only_harmless_names_are_safe(void **state)
{
	char longest[257];

	memset(longest, 'a', sizeof(longest));
	longest[255] = '\0';
	assert_true(name_is_safe(longest));
	longest[255] = 'a';
	longest[256] = '\0';
	assert_false(name_is_safe(longest));
	assert_true(name_is_safe("server1@fast#pool_a-1.x+y:z"));
	assert_true(name_is_safe("..."));
	assert_false(name_is_safe(NULL));
	assert_false(name_is_safe(""));
	assert_false(name_is_safe("."));
	assert_false(name_is_safe(".."));
	assert_false(name_is_safe("a/b"));
	assert_false(name_is_safe("a b"));
	assert_false(name_is_safe("a\n"));
	assert_false(name_is_safe("caf\u00e9"));
}

static void utf8_is_taken_strictly(void **state)
{
	static const struct {
		const char *text;
		size_t size;
	} cases[] = {
		{ "a", 1 },
		{ "\u00e9", 2 },
		{ "\u20ac", 3 },
		{ "\U0001f600", 4 },
		{ "\x80", 0 },
		{ "\xc0\x80", 0 },
		{ "\xe0\x80\x80", 0 },
		{ "\xed\xa0\x80", 0 },
		{ "\xf4\x90\x80\x80", 0 },
		{ "\xff", 0 },
		{ "\xe2\x82", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(text_utf8_size(cases[i].text, strlen(cases[i].text)),
			cases[i].size);
	assert_int_equal(text_utf8_size("", 0), 0);
}

static void the_clock_never_goes_back(void **state)
{
	double before = clock_seconds();

	assert_true(clock_seconds() >= before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_uuid_is_recognised_and_never_the_same),
		cmocka_unit_test(what_only_looks_like_a_uuid_is_none),
		cmocka_unit_test(whole_numbers_are_read_to_the_last_digit),
		cmocka_unit_test(a_number_out_of_bounds_names_the_bounds),
		cmocka_unit_test(fractions_are_finite_and_decimal),
		cmocka_unit_test(sizes_read_as_people_say_them),
		cmocka_unit_test(sizes_are_written_as_people_write_them),
		cmocka_unit_test(a_slip_of_the_finger_is_one_step_away),
		cmocka_unit_test(only_harmless_names_are_safe),
		cmocka_unit_test(utf8_is_taken_strictly),
		cmocka_unit_test(the_clock_never_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
