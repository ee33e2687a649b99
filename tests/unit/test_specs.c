/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "scheduler/specs.h"

static struct json_object *parse(const char *text)
{
	struct json_object *o = NULL;
	struct error err;

	if (json_parse(text, strlen(text), &o, &err) < 0)
		fail_msg("%s", err.text);
	return o;
}

struct sample {
	const char *value; /* JSON */
	const char *required;
	bool met;
};

static void check(const struct sample *samples, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		AUTO(json_object_put)
		struct json_object *value = parse(samples[i].value);

		if (spec_matches(value, samples[i].required) != samples[i].met)
			fail_msg("%s is %smet by %s", samples[i].required,
				samples[i].met ? "not " : "", samples[i].value);
	}
}

static void without_an_operator_the_texts_are_equal(void **state)
{
	static const struct sample samples[] = {
		{ "\"fast\"", "fast", true },
		{ "\"fast\"", "Fast", false },
		{ "\"fast disk\"", "fast disk", true },
		{ "\"fast\"", "fast ", false },
		{ "\"\"", "", true },
		{ "true", "True", false },
		{ "5", "5", false },
		{ "null", "null", false },
		{ "null", NULL, true },
		{ "\"\"", NULL, false },
		{ "\"<IN> a\"", "<IN> a", true },
	};

	check(samples, ARRAY_SIZE(samples));
}

static void numbers_are_compared_as_numbers(void **state)
{
	static const struct sample samples[] = {
		{ "5", ">= 5", true },
		{ "5", "= 5", true },
		{ "6", "= 5", true }, /* the old form of >= */
		{ "4", "= 5", false },
		{ "\"10\"", ">= 9", true },
		{ "10.5", "<= 10.5", true },
		{ "10.5", "<= 1.04e1", false },
		{ "1", "== 1.0", true },
		{ "true", "== 1", true },
		{ "1", "!= 1", false },
		{ "\"x\"", "!= 1", false },
		{ "1", "!= x", false },
		{ "\" 7 \"", "== 7", true },
		{ "1000", "== 1_000", true },
		{ "1000", "== 1__000", false },
		{ "16", "== 0x10", false },
		{ "\"infinite\"", ">= 1", false },
		{ "\"inf\"", ">= 1e308", true },
		{ "\"nan\"", "!= 0", true },
		{ "\"nan\"", "== nan", false },
		{ "-1", "== -1", true },
		{ "1", "== .1e+1", true },
		{ "1", "== .", false },
		{ "1", "==", false },
		{ "1", "== 1 2", true }, /* only the first word counts */
		{ "null", ">= 1", false },
		{ "{}", ">= 1", false },
		{ "5", "> 4", false }, /* no operator */
		{ "5", "< 6", false },
	};

	check(samples, ARRAY_SIZE(samples));
}

static void texts_are_compared_as_texts(void **state)
{
	static const struct sample samples[] = {
		{ "\"10\"", "s>= 9", false },
		{ "\"b\"", "s> a", true },
		{ "\"b\"", "s>= b", true },
		{ "\"b\"", "s< b", false },
		{ "\"b\"", "s<= b", true },
		{ "\"a\"", "s< aa", true },
		{ "\"b\"", "s== b", true },
		{ "\"b\"", "s!= b", false },
		{ "5", "s== 5", false },
		{ "5", "s!= 5", true },
		{ "null", "s!= a", false },
		{ "\"\xc3\xa9\"", "s> z", true },
	};

	check(samples, ARRAY_SIZE(samples));
}

static void parts_truth_and_choices(void **state)
{
	static const struct sample samples[] = {
		{ "\"abc\"", "<in> b", true },
		{ "\"abc\"", "<in> d", false },
		{ "{\"b\": 1}", "<in> b", true },
		{ "5", "<in> 5", false },
		{ "\"abc\"", "<in>", false },
		{ "true", "<is> True", true },
		{ "true", "<is> yes", true },
		{ "true", "<is> False", false },
		{ "false", "<is> nonsense", true },
		{ "\"True\"", "<is> true", true },
		{ "1", "<is> on", true },
		{ "1.0", "<is> on", false }, /* its text is 1.0 */
		{ "null", "<is> False", false },
		{ "\"a\"", "<or> a <or> b", true },
		{ "\"b\"", "<or> a <or> b", true },
		{ "\"<or>\"", "<or> a <or> b", false },
		{ "\"b\"", "<or> a, b", false }, /* b is where <or> belongs */
		{ "\"c\"", "<or> a b c", true },
		{ "\"b\"", "<or> a b c", false },
		{ "\"a\"", "<or>", false },
		{ "1", "<or> 1", false },
	};

	check(samples, ARRAY_SIZE(samples));
}

static void assert_met(const char *specs_text, bool met)
{
	static const char capabilities_text[] =
		"{\"name\": \"fast\", \"protocols\": [\"NFS\", \"nfs\"], \"none\": null,"
		" \"empty\": [], \"deep\": {\"er\": {\"size\": 5}},"
		" \"thin_provisioning_support\": true, \"capabilities\": \"own\"}";
	AUTO(json_object_put)
	struct json_object *capabilities = parse(capabilities_text);
	AUTO(json_object_put) struct json_object *specs = parse(specs_text);
	char why[256] = "";

	if (specs_are_met(capabilities, specs, why, sizeof(why)) != met)
		fail_msg("%s: %s", specs_text, why);
	assert_true(met == (why[0] == '\0'));
}

static void all_specs_about_pools_are_met(void **state)
{
	assert_met("{}", true);
	assert_met("null", true);
	assert_met("{\"name\": \"fast\"}", true);
	assert_met("{\"name\": \"fast\", \"other\": \"x\"}", false);
	assert_met("{\"capabilities:name\": \"fast\"}", true);
	assert_met("{\"capabilities:name\": \"slow\"}", false);
	assert_met("{\"provisioning:type\": \"thick\"}", true);
	assert_met("{\"vendor:name\": \"slow\"}", true);
	assert_met("{\"capabilities:deep:er:size\": \">= 5\"}", true);
	assert_met("{\"capabilities:deep:er:size\": \">= 6\"}", false);
	assert_met("{\"capabilities:deep:er\": \"<in> size\"}", true);
	assert_met("{\"capabilities:name:length\": \"4\"}", false);
	assert_met("{\"protocols\": \"nfs\"}", true);
	assert_met("{\"protocols\": \"<or> iSCSI <or> NFS\"}", true);
	assert_met("{\"protocols\": \"s!= nfs\"}", true); /* one value is enough */
	assert_met("{\"empty\": \"\"}", false);
	assert_met("{\"none\": null}", true);
	assert_met("{\"none\": \"<is> False\"}", false);
	assert_met("{\"thin_provisioning_support\": \"<is> True\"}", true);
	/* The scope without a name is all of them. */
	assert_met("{\"capabilities\": \"<in> deep\"}", true);
	assert_met("{\"capabilities\": \"own\"}", false);
	assert_met("{\"capabilities:capabilities\": \"own\"}", true);
	assert_met("{\"name\": 5}", false);
}

static void the_reason_names_what_is_not_met(void **state)
{
	AUTO(json_object_put) struct json_object *capabilities = parse("{\"a\": 1}");
	AUTO(json_object_put)
	struct json_object *specs = parse("{\"a\": \">= 1\", \"b\": \"<is> True\"}");
	char why[256];

	assert_false(specs_are_met(capabilities, specs, why, sizeof(why)));
	assert_string_equal(
		why, "does not meet 'b' = '<is> True' of the volume's type");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_an_operator_the_texts_are_equal),
		cmocka_unit_test(numbers_are_compared_as_numbers),
		cmocka_unit_test(texts_are_compared_as_texts),
		cmocka_unit_test(parts_truth_and_choices),
		cmocka_unit_test(all_specs_about_pools_are_met),
		cmocka_unit_test(the_reason_names_what_is_not_met),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
