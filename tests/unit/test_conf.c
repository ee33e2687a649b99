/* SPDX-License-Identifier: Apache-2.0 */
/* How values are read is compared with oslo.config itself by compare_oslo_config.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/conf.h"
#include "common/log.h"

struct values {
	char *name;
	int64_t count;
	double ratio;
	bool flag;
	char **list;
};

static const struct option options[] = {
	{ "name", OPTION_STRING, offsetof(struct values, name), "$path/x", 0, 0, "" },
	{ "count", OPTION_INT, offsetof(struct values, count), "3", 1, 10, "" },
	{ "ratio", OPTION_FLOAT, offsetof(struct values, ratio), "1.5", 0, 2, "" },
	{ "flag", OPTION_BOOL, offsetof(struct values, flag), "true", 0, 0, "" },
	{ "list", OPTION_LIST, offsetof(struct values, list), NULL, 0, 0, "" },
	{ .name = "path", .type = OPTION_STRING, .fallback = "/var" },
	{ .name = "my_ip", .type = OPTION_IGNORED },
};
/* path and my_ip are there to be referred to. */
#define READABLE 5

static struct conf *conf_of(const char *text)
{
	struct conf *conf = NULL;
	struct error err = { 0 };

	if (conf_parse("t.conf", text, strlen(text), &conf, &err) < 0)
		fail_msg("%s", err.text);
	return conf;
}

static void assert_refused(const char *text, const char *reason)
{
	struct conf *conf = NULL;
	struct error err = { 0 };

	assert_int_equal(conf_parse("t.conf", text, strlen(text), &conf, &err), -1);
	assert_int_equal(err.code, ERR_CONFIG);
	assert_string_equal(err.text, reason);
	assert_null(conf);
}

static void assert_value(const struct conf *conf, const char *section,
	const char *fallback, const char *name, const char *expected)
{
	AUTO(free) char *value = NULL;
	struct error err = { 0 };

	if (conf_get(conf, section, fallback, name, &value, NULL, &err) < 0)
		fail_msg("%s", err.text);
	if (expected)
		assert_string_equal(value, expected);
	else
		assert_null(value);
}

static void every_error_names_file_and_line(void **state)
{
	assert_refused(
		"[DEFAULT]\n\nnonsense\n", "t.conf:3: neither '=' nor ':' found");
	assert_refused("\n[DEFAULT\n", "t.conf:2: a section must end with ']'");
	assert_refused("[]\n", "t.conf:1: the section has no name");
	assert_refused("[a]\n=1\n", "t.conf:2: the option has no name");
	assert_refused("[a]\n  b\n", "t.conf:2: a continuation line continues nothing");
	assert_refused("\nname = 1\n# end\n",
		"t.conf:2: option 'name' stands before the first [section]");
	assert_refused("[a]\nb=\xff\n", "t.conf:2: not UTF-8");
}

static void a_nul_is_refused(void **state)
{
	struct conf *conf = NULL;
	struct error err = { 0 };

	assert_int_equal(conf_parse("t.conf", "[a]\nb=1\0", 8, &conf, &err), -1);
	assert_string_equal(err.text, "t.conf:2: a NUL byte");
}

static void a_value_tells_where_it_stands(void **state)
{
	AUTO(conf_free) struct conf *conf = conf_of("[a]\nb=1\nb=2\n 3\n\n[c]\n");
	AUTO(free) char *value = NULL;
	const char *where = NULL;

	assert_int_equal(conf_get(conf, "a", NULL, "b", &value, &where, NULL), 0);
	assert_string_equal(value, "2\n3");
	assert_string_equal(where, "t.conf:3");
	assert_true(conf_has_section(conf, "c"));
	assert_false(conf_has_section(conf, "d"));
	assert_string_equal(conf_section(conf, 0), "a");
	assert_string_equal(conf_section(conf, 1), "c");
	assert_null(conf_section(conf, 2));
}

static void backend_defaults_lie_beneath_a_backend(void **state)
{
	AUTO(conf_free)
	struct conf *conf = conf_of(
		"[backend_defaults]\nx=1\ny=1\n[fast]\nx=2\n[slow]\ny=$x\nx=3\n");

	assert_value(conf, "fast", "backend_defaults", "x", "2");
	assert_value(conf, "fast", "backend_defaults", "y", "1");
	assert_value(conf, "fast", "backend_defaults", "z", NULL);
	assert_value(conf, "fast", NULL, "y", NULL);
	assert_value(conf, "slow", "backend_defaults", "y", "3");
}

static void a_bad_reference_is_named(void **state)
{
	AUTO(conf_free)
	struct conf *conf =
		conf_of("[DEFAULT]\na=$b\nb=$c\nc=$a\nd=$nothing\ne=$d\nf=${x.y}\n");
	AUTO(free) char *value = NULL;
	struct error err = { 0 };

	assert_int_equal(conf_get(conf, "DEFAULT", NULL, "d", &value, NULL, &err), -1);
	assert_int_equal(err.code, ERR_CONFIG);
	assert_string_equal(
		err.text, "t.conf:5: option 'd': '$nothing' names no option");
	assert_int_equal(conf_get(conf, "DEFAULT", NULL, "e", &value, NULL, &err), -1);
	assert_string_equal(
		err.text, "t.conf:6: option 'e': '$d': '$nothing' names no option");
	assert_int_equal(conf_get(conf, "DEFAULT", NULL, "f", &value, NULL, &err), -1);
	assert_int_equal(conf_get(conf, "DEFAULT", NULL, "a", &value, NULL, &err), -1);
	assert_non_null(strstr(err.text, "refers to itself in a circle"));
	assert_null(value);
}

static void references_that_multiply_are_stopped(void **state)
{
	char text[4096] = "[DEFAULT]\nv0 = x\n";
	AUTO(free) char *value = NULL;
	struct error err = { 0 };

	for (int i = 1; i < 30; i++)
		sprintf(text + strlen(text), "v%d = $v%d$v%d\n", i, i - 1, i - 1);
	AUTO(conf_free) struct conf *conf = conf_of(text);
	assert_int_equal(
		conf_get(conf, "DEFAULT", NULL, "v29", &value, NULL, &err), -1);
	assert_non_null(strstr(err.text, "too many references"));
}

static void references_see_defaults(void **state)
{
	AUTO(conf_free)
	struct conf *conf = conf_of("[s]\na=$path/a\nb=$my_ip\nc=<$list>\n");
	AUTO(free) char *value = NULL;
	struct error err = { 0 };

	assert_int_equal(
		conf_add_defaults(conf, "DEFAULT", options, ARRAY_SIZE(options), NULL),
		0);
	assert_value(conf, "s", NULL, "a", "/var/a");
	assert_value(conf, "s", NULL, "c", "<>");
	assert_int_equal(conf_get(conf, "s", NULL, "b", &value, NULL, &err), -1);
	assert_string_equal(err.text, "t.conf:3: option 'b': '$my_ip' is set nowhere");
}

static void a_struct_is_filled_from_file_and_defaults(void **state)
{
	AUTO(conf_free)
	struct conf *conf =
		conf_of("[DEFAULT]\npath=/p\n[s]\ncount = 7\nlist = a, b\nratio =\n");
	struct values v = { 0 };
	struct error err = { 0 };

	if (conf_read(conf, "s", NULL, options, READABLE, &v, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(v.name, "/p/x");
	assert_int_equal(v.count, 7);
	assert_true(v.ratio > 1.4 && v.ratio < 1.6);
	assert_true(v.flag);
	assert_string_equal(v.list[0], "a");
	assert_string_equal(v.list[1], "b");
	assert_null(v.list[2]);
	conf_clear(options, READABLE, &v);
	assert_null(v.name);
	assert_null(v.list);
}

static void a_bad_value_names_line_option_and_reason(void **state)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{ "count = 11", "t.conf:2: option 'count': 11 is outside 1 to 10" },
		{ "count = x", "t.conf:2: option 'count': 'x' is not a whole number" },
		{ "ratio = 2.5", "t.conf:2: option 'ratio': 2.5 is outside 0 to 2" },
		{ "ratio = inf", "t.conf:2: option 'ratio': 'inf' is not a number" },
		{ "flag = maybe",
			"t.conf:2: option 'flag': 'maybe' is neither true nor false" },
		{ "name = $zz", "t.conf:2: option 'name': '$zz' names no option" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[128];
		snprintf(text, sizeof(text), "[s]\n%s\n[DEFAULT]\npath=p\n",
			cases[i].text);
		AUTO(conf_free) struct conf *conf = conf_of(text);
		struct values v = { 0 };
		struct error err = { 0 };
		assert_int_equal(
			conf_read(conf, "s", NULL, options, READABLE, &v, &err), -1);
		assert_int_equal(err.code, ERR_CONFIG);
		assert_string_equal(err.text, cases[i].reason);
		conf_clear(options, READABLE, &v);
	}
}

static char *write_file(const char *text)
{
	char *path = strdup("/tmp/test_conf.XXXXXX");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

static void later_files_win(void **state)
{
	AUTO(free) char *one = write_file("[a]\nx=1\ny=1\n");
	AUTO(free) char *two = write_file("[A]\nx=2\n");
	const char *paths[] = { one, two };
	AUTO(conf_free) struct conf *conf = NULL;

	assert_int_equal(conf_load(paths, 2, &conf, NULL), 0);
	assert_value(conf, "a", NULL, "x", "2");
	assert_value(conf, "a", NULL, "y", "1");
	unlink(one);
	unlink(two);
}

static void a_missing_file_is_named(void **state)
{
	const char *paths[] = { "/nonexistent/drover.conf" };
	struct conf *conf = NULL;
	struct error err = { 0 };

	assert_int_equal(conf_load(paths, 1, &conf, &err), -1);
	assert_string_equal(err.text,
		"cannot read '/nonexistent/drover.conf': No such file or directory");
	paths[0] = "/";
	assert_int_equal(conf_load(paths, 1, &conf, &err), -1);
	assert_string_equal(err.text, "cannot read '/': Is a directory");
}

/* What the log says while warn runs; the caller frees it. */
static char *logged(const struct conf *conf, void (*warn)(const struct conf *conf))
{
	AUTO(free) char *path = write_file("");
	char *text = calloc(1, 4096);

	assert_int_equal(log_to_file(path), 0);
	warn(conf);
	log_to_file(NULL);
	AUTO(fclose) FILE *file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(text, 1, 4095, file) < 4095);
	unlink(path);
	return text;
}

static void warn_options(const struct conf *conf)
{
	const struct option_table tables[] = { { options, ARRAY_SIZE(options) },
		{ 0 } };

	conf_warn_unknown(conf, "s", tables);
}

static void an_unknown_key_names_the_nearest_one(void **state)
{
	AUTO(conf_free)
	struct conf *conf = conf_of(
		"[s]\nconut=1\nname=2\nmy_ip=3\nconut=4\nquite_else=5\n[t]\nuhu=1\n");
	AUTO(free) char *text = logged(conf, warn_options);
	const char *once = strstr(text,
		"t.conf:5: unknown option 'conut' in [s], ignored;"
		" the nearest known one is 'count'");

	assert_non_null(once);
	assert_null(strstr(text, "t.conf:2:"));
	assert_non_null(strstr(text, "unknown option 'quite_else' in [s], ignored"));
	assert_null(strstr(text, "'name'"));
	assert_null(strstr(text, "'my_ip'"));
	assert_null(strstr(text, "uhu"));
}

static void warn_about_sections(const struct conf *conf)
{
	static const char *const known[] = { "DEFAULT", "fast", NULL };

	conf_warn_sections(conf, known);
}

static void a_section_that_nobody_reads_is_named(void **state)
{
	AUTO(conf_free)
	struct conf *conf = conf_of("[DEFAULT]\n[Fast]\n[odd]\n[odd]\n");
	AUTO(free) char *text = logged(conf, warn_about_sections);

	assert_non_null(strstr(text, "t.conf:3: nothing reads section [odd]"));
	assert_null(strstr(text, "t.conf:4:"));
	assert_null(strstr(text, "ast"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_names_file_and_line),
		cmocka_unit_test(a_nul_is_refused),
		cmocka_unit_test(a_value_tells_where_it_stands),
		cmocka_unit_test(backend_defaults_lie_beneath_a_backend),
		cmocka_unit_test(a_bad_reference_is_named),
		cmocka_unit_test(references_that_multiply_are_stopped),
		cmocka_unit_test(references_see_defaults),
		cmocka_unit_test(a_struct_is_filled_from_file_and_defaults),
		cmocka_unit_test(a_bad_value_names_line_option_and_reason),
		cmocka_unit_test(later_files_win),
		cmocka_unit_test(a_missing_file_is_named),
		cmocka_unit_test(an_unknown_key_names_the_nearest_one),
		cmocka_unit_test(a_section_that_nobody_reads_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
