/* SPDX-License-Identifier: Apache-2.0 */
/* The command line's tables, its options, and what it sends to the scheduler. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/fields.h"
#include "cli/options.h"
#include "cli/table.h"
#include "cli/versioned.h"

static void assert_printable(const char *text, const char *expected)
{
	AUTO(free) char *printable = text_printable(text);

	assert_string_equal(printable, expected);
}

static void what_a_terminal_would_obey_is_escaped(void **state)
{
	assert_printable("plain \303\244 \342\202\254", "plain \303\244 \342\202\254");
	assert_printable("a\x1b[31mb\n\tc\x7f", "a\\x1b[31mb\\x0a\\x09c\\x7f");
	assert_printable("\302\233c", "\\u009bc");
	assert_printable("\342\200\256evil", "\\u202eevil");
	assert_printable("cut \303", "cut \\xc3");
	assert_printable("\377\300\200", "\\xff\\xc0\\x80");
}

static char *printed(const struct table *table)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	table_print(table, out);
	fclose(out);
	return text;
}

static void a_property_table_is_as_cinders(void **state)
{
	AUTO(table_free) struct table *table = TABLE("Property", "Value");
	AUTO(free) char *text = NULL;

	table_property(table, "os-vol-host-attr:host", "server1@lvmstorage-1");
	table_property(table, "size", "2");
	table_property(table, "snapshot_id", text_or_none(""));
	text = printed(table);
	assert_string_equal(text,
		"+-----------------------+----------------------+\n"
		"| Property              | Value                |\n"
		"+-----------------------+----------------------+\n"
		"| os-vol-host-attr:host | server1@lvmstorage-1 |\n"
		"| size                  | 2                    |\n"
		"| snapshot_id           | None                 |\n"
		"+-----------------------+----------------------+\n");
}

static void a_column_is_as_wide_as_its_widest_character(void **state)
{
	AUTO(table_free) struct table *table = TABLE("Name", "Size");
	AUTO(free) char *text = NULL;

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		skip();
	table_add(table, "\346\227\245\346\234\254\350\252\236"); /* two columns each */
	table_add_int(table, 7);
	table_add(table, "\303\244\303\266");
	table_add_int(table, 16384);
	text = printed(table);
	assert_string_equal(text,
		"+--------+-------+\n"
		"| Name   | Size  |\n"
		"+--------+-------+\n"
		"| \346\227\245\346\234\254\350\252\236 | 7     |\n"
		"| \303\244\303\266     | 16384 |\n"
		"+--------+-------+\n");
}

static int parse(struct options *options, char **argv, struct error *err)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	return options_parse(argc, argv, options, err);
}

static void options_stand_before_or_behind_the_verb(void **state)
{
	char *argv[] = { "drover", "--config-file", "a", "--wait", "migrate",
		"--config-file=b", "v", "--json", "--", "--target", NULL };
	struct options options;
	struct error err;

	assert_int_equal(parse(&options, argv, &err), 0);
	assert_true(options_has(&options, OPT_WAIT));
	assert_true(options_has(&options, OPT_JSON));
	assert_false(options_has(&options, OPT_TARGET));
	assert_int_equal(options.config_file_count, 2);
	assert_string_equal(options.config_files[0], "a");
	assert_string_equal(options.config_files[1], "b");
	assert_int_equal(options.word_count, 3);
	assert_string_equal(options.words[0], "migrate");
	assert_string_equal(options.words[2], "--target");
	options_clear(&options);
}

static void assert_usage(char *option, char *next, const char *expected)
{
	char *argv[] = { "drover", "list", option, next, NULL };
	struct options options;
	struct error err;

	assert_int_equal(parse(&options, argv, &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
	assert_non_null(strstr(err.text, expected));
	options_clear(&options);
}

static void a_wrong_option_is_explained(void **state)
{
	assert_usage("--jsn", NULL, "'--json'");
	assert_usage("--frobnicate", NULL, "unknown option '--frobnicate'");
	assert_usage("--json=1", NULL, "takes no value");
	assert_usage("--name", NULL, "needs a value");
	assert_usage("-1", NULL, "unknown option '-1'");
}

static void a_name_that_was_cut_is_valid_json(void **state)
{
	AUTO(json_object_put) struct json_object *o = json_object_new_object();
	AUTO(free) char *text = NULL;

	fields_text(o, "cut", "x\303");
	fields_text(o, "empty", "");
	fields_text(o, "whole", "\303\244");
	text = json_text(o);
	assert_string_equal(
		text, "{\"cut\":\"x\\\\xc3\",\"empty\":null,\"whole\":\"\303\244\"}");
}

/* ---- against messages of cinder-api ---- */

static struct json_object *captured_args(const char *name)
{
	const char *srcdir = getenv("srcdir");
	AUTO(free)
	char *path = text_format("%s/tests/data/wire/%s", srcdir ? srcdir : ".", name);
	AUTO(fclose) FILE *in = fopen(path, "r");
	static char text[65536];
	struct json_object *whole = NULL, *message, *args;
	struct error err;

	assert_non_null(in);
	assert_int_equal(
		json_parse(text, fread(text, 1, sizeof(text), in), &whole, &err), 0);
	assert_int_equal(json_get_object(whole, "message", &message, &err), 0);
	assert_int_equal(json_get_object(message, "args", &args, &err), 0);
	json_object_get(args);
	json_object_put(whole);
	return args;
}

/* Every member of ours is in theirs, of the same type wherever both have a value. */
static void assert_part_of(struct json_object *ours, struct json_object *theirs)
{
	json_object_object_foreach(ours, key, value)
	{
		struct json_object *other = NULL;

		if (strcmp(key, "resource_backend") == 0)
			continue; /* only with a target; the capture had none */
		if (!json_object_object_get_ex(theirs, key, &other))
			fail_msg("cinder-api does not send '%s'", key);
		if (!value || !other)
			continue;
		if (json_object_get_type(value) != json_object_get_type(other))
			fail_msg("'%s' has another type", key);
		if (json_object_is_type(value, json_type_object) &&
			strcmp(key, "extra_specs") != 0 && strcmp(key, "metadata") != 0)
			assert_part_of(value, other);
	}
}

static void fill(struct volume *volume)
{
	memset(volume, 0, sizeof(*volume));
	strcpy(volume->id, "9d5bf922-6364-4a78-a9e4-5a1fb0474ed6");
	strcpy(volume->name_id, "133d1f56-9ffc-4f57-8798-d5217d851862");
	strcpy(volume->volume_type_id, "941609d6-01e4-4e3e-8a19-fd1f53b1069e");
	strcpy(volume->volume_type, "gold");
	strcpy(volume->display_name, "v1");
	strcpy(volume->host, "server1@fast#fast");
	strcpy(volume->status, "available");
	strcpy(volume->migration_status, "starting");
	strcpy(volume->availability_zone, "nova");
	strcpy(volume->created_at, "2024-05-01T12:00:00.123456");
	volume->has_name_id = true;
	volume->size_gib = 3;
}

static void create_volume_has_the_form_of_cinder_apis(void **state)
{
	AUTO(json_object_put)
	struct json_object *theirs = captured_args("scheduler-create_volume.json");
	AUTO(json_object_put) struct json_object *ours = NULL;
	AUTO(free) char *text = NULL;
	struct volume volume;

	fill(&volume);
	ours = versioned_create(&volume, "server1@fast");
	assert_int_equal(
		json_object_object_length(ours), json_object_object_length(theirs));
	assert_part_of(ours, theirs);
	text = json_text(ours);
	assert_non_null(strstr(text, "\"resource_backend\":\"server1@fast\""));
	assert_non_null(strstr(text, "\"created_at\":\"2024-05-01T12:00:00Z\""));
	assert_non_null(strstr(text, "\"size\":3"));
}

static void migrate_volume_has_the_form_of_cinder_apis(void **state)
{
	static const struct detail specs[] = { { "volume_backend_name", "fast" } };
	AUTO(json_object_put)
	struct json_object *theirs = captured_args("scheduler-migrate_volume.json");
	AUTO(json_object_put) struct json_object *ours = NULL;
	AUTO(free) char *text = NULL;
	struct volume volume;

	fill(&volume);
	ours = versioned_migrate(&volume, "server1@slow", true, specs, 1);
	assert_int_equal(
		json_object_object_length(ours), json_object_object_length(theirs));
	assert_part_of(ours, theirs);
	text = json_text(ours);
	assert_non_null(strstr(text, "\"backend\":\"server1@slow\""));
	assert_non_null(strstr(text, "\"force_copy\":true"));
	assert_non_null(
		strstr(text, "\"_name_id\":\"133d1f56-9ffc-4f57-8798-d5217d851862\""));
	assert_non_null(
		strstr(text, "\"extra_specs\":{\"volume_backend_name\":\"fast\"}"));
}

static void migrate_to_the_best_names_no_backend(void **state)
{
	AUTO(json_object_put) struct json_object *ours = NULL;
	struct json_object *backend = NULL;
	struct volume volume;

	fill(&volume);
	ours = versioned_migrate(&volume, NULL, false, NULL, 0);
	assert_true(json_object_object_get_ex(ours, "backend", &backend));
	assert_null(backend);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_terminal_would_obey_is_escaped),
		cmocka_unit_test(a_property_table_is_as_cinders),
		cmocka_unit_test(a_column_is_as_wide_as_its_widest_character),
		cmocka_unit_test(options_stand_before_or_behind_the_verb),
		cmocka_unit_test(a_wrong_option_is_explained),
		cmocka_unit_test(a_name_that_was_cut_is_valid_json),
		cmocka_unit_test(create_volume_has_the_form_of_cinder_apis),
		cmocka_unit_test(migrate_volume_has_the_form_of_cinder_apis),
		cmocka_unit_test(migrate_to_the_best_names_no_backend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
