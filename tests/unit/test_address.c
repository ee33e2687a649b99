/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/address.h"
#include "common/auto.h"

static void an_address_is_split(void **state)
{
	static const struct {
		const char *text, *host, *backend, *pool;
	} cases[] = {
		{ "server1@fast#pool", "server1", "server1@fast", "pool" },
		{ "server1@fast", "server1", "server1@fast", "" },
		{ "a@b#c:d+e", "a", "a@b", "c:d+e" },
		{ "host.example.org@lvm-1#lvm_1", "host.example.org",
			"host.example.org@lvm-1", "lvm_1" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct address address;
		struct error err;

		if (address_parse(cases[i].text, &address, &err) < 0)
			fail_msg("%s", err.text);
		assert_string_equal(address.host, cases[i].host);
		assert_string_equal(address.backend, cases[i].backend);
		assert_string_equal(address.pool, cases[i].pool);
	}
}

static void anything_else_is_refused(void **state)
{
	static const char *const cases[] = { "", "server1", "@", "@fast", "server1@",
		"server1@#pool", "server1@fast#", "#pool", "server1#pool",
		"server1#a@fast", "a@b@c", "a@b#c@d", "a@b#c#d", "a@b ", " a@b",
		"a b@c", "a@b#c d", "a@b\n", "a@b\t#c", "a@b\x7f", "a@\xc3\xa9", "a@b'",
		"a@\"b", "a\\@b", "a@b/c", "a@b#*" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct address address = { "kept", "kept", "kept" };
		struct error err;

		if (address_parse(cases[i], &address, &err) == 0)
			fail_msg("'%s' was taken", cases[i]);
		assert_int_equal(err.code, ERR_INVALID_HOST);
		assert_non_null(strstr(err.text,
			"is not a target: write host@backend or host@backend#pool"));
		/* Untouched on failure. */
		assert_string_equal(address.host, "kept");
		assert_string_equal(address.backend, "kept");
		assert_string_equal(address.pool, "kept");
	}
}

static void its_length_is_bounded(void **state)
{
	char text[2 * ADDRESS_SIZE];
	struct address address;
	struct error err;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "a@", 2);
	text[ADDRESS_SIZE - 1] = '\0';
	assert_int_equal(address_parse(text, &address, &err), 0);
	assert_string_equal(address.backend, text);
	text[ADDRESS_SIZE - 1] = 'x';
	text[ADDRESS_SIZE] = '\0';
	assert_int_equal(address_parse(text, &address, &err), -1);
	assert_int_equal(err.code, ERR_INVALID_HOST);
	assert_string_equal(
		err.text, "a host name longer than 255 characters is not a target");
}

static void backends_are_compared_without_pools(void **state)
{
	(void)state;
	assert_true(address_same_backend("a@b#c", "a@b#d"));
	assert_true(address_same_backend("a@b", "a@b#d"));
	assert_true(address_same_backend("a@b", "a@b"));
	assert_false(address_same_backend("a@b", "a@bb"));
	assert_false(address_same_backend("a@bb#c", "a@b#c"));
	assert_false(address_same_backend("a@b#c", "x@b#c"));
}

static void a_missing_pool_stands_for_any(void **state)
{
	(void)state;
	assert_true(address_matches("a@b#c", "a@b#c"));
	assert_true(address_matches("a@b", "a@b#c"));
	assert_true(address_matches("a@b#c", "a@b"));
	assert_true(address_matches("a@b", "a@b"));
	assert_false(address_matches("a@b#c", "a@b#d"));
	assert_false(address_matches("a@b#c", "a@b#cc"));
	assert_false(address_matches("a@b", "a@c"));
}

static void the_topic_is_the_backends(void **state)
{
	char topic[ADDRESS_SIZE + 16];
	struct address address;
	struct error err;

	(void)state;
	assert_int_equal(address_parse("server1@fast#pool", &address, &err), 0);
	address_topic(&address, topic);
	assert_string_equal(topic, "cinder-volume.server1@fast");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_split),
		cmocka_unit_test(anything_else_is_refused),
		cmocka_unit_test(its_length_is_bounded),
		cmocka_unit_test(backends_are_compared_without_pools),
		cmocka_unit_test(a_missing_pool_stands_for_any),
		cmocka_unit_test(the_topic_is_the_backends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
