/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/schema_fixture.h"

static const char applied[] =
	"select string_agg(name, ' ' order by number) from drover.schema_version";
static const char public_tables[] =
	"select count(*) from pg_catalog.pg_tables where schemaname = 'public'";
/* Changes when a table or column of Cinder's is made again, altered or dropped. */
static const char public_fingerprint[] =
	"select md5(string_agg(c.oid || c.relname || a.attname || a.atttypid ||"
	"    a.atttypmod || a.attnotnull, ' ' order by c.oid, a.attnum))"
	" from pg_catalog.pg_class c join pg_catalog.pg_attribute a"
	"    on a.attrelid = c.oid"
	" where c.relnamespace = 'public'::regnamespace";

static void an_empty_database_gets_everything(void **state)
{
	struct fixture *f = *state;
	struct error err;

	assert_state(f, SCHEMA_EMPTY);
	assert_begins(sync_says(f),
		"made 36 tables of the Block Storage schema\n"
		"applied 0002-drover\n"
		"applied 0003-life\n");
	assert_state(f, SCHEMA_DROVER);
	assert_int_equal(schema_check(f->db, &err), 0);
	assert_query(f->db, public_tables, "36");
	AUTO(free) char *names = query_text(f->db, applied);
	assert_begins(names, "0001-cinder 0002-drover");
	assert_query(f->db,
		"select count(*) from public.volume_types where name = '__DEFAULT__'",
		"1");
}

static void a_second_sync_does_nothing(void **state)
{
	struct fixture *f = *state;

	sync_says(f);
	AUTO(free) char *before = query_text(f->db, public_fingerprint);
	assert_string_equal(sync_says(f), "nothing to do: the schema is current\n");
	assert_query(f->db, public_fingerprint, before);
	assert_query(f->db, "select count(*) from public.volume_types", "1");
	assert_query(f->db,
		"select count(*) - count(distinct number)"
		" from drover.schema_version",
		"0");
}

static void a_cinder_database_gets_only_our_schema(void **state)
{
	struct fixture *f = *state;

	run_script(f->db, schema_files[0].sql);
	assert_state(f, SCHEMA_CINDER);
	AUTO(free) char *before = query_text(f->db, public_fingerprint);
	assert_begins(sync_says(f),
		"left Cinder's 36 tables as they are\n"
		"applied 0002-drover\n"
		"applied 0003-life\n");
	assert_query(f->db, public_fingerprint, before);
	AUTO(free) char *names = query_text(f->db, applied);
	assert_begins(names, "0002-drover");
	assert_state(f, SCHEMA_DROVER);
}

static void more_tables_and_columns_do_not_disturb(void **state)
{
	struct fixture *f = *state;

	run_script(f->db, schema_files[0].sql);
	run_script(f->db,
		"create table public.migrate_version (version int);"
		" alter table public.volumes add column local_note text");
	sync_says(f);
	assert_state(f, SCHEMA_DROVER);
}

static void the_tables_of_an_extension_are_nothing(void **state)
{
	struct fixture *f = *state;

	run_script(f->db, "create extension pg_stat_statements schema public");
	assert_state(f, SCHEMA_EMPTY);
	run_script(f->db, "create table public.somebody (id int)");
	assert_sync_refused(f, "table alembic_version is missing:");
}

/* One line of schema_cinder_columns after the other. */
static bool next_column(const char **at, char table[64], char column[64])
{
	int length = 0;

	if (sscanf(*at, "%63[^.].%63[^\n]\n%n", table, column, &length) != 2)
		return false;
	*at += length;
	return true;
}

static void every_missing_column_is_refused_by_name(void **state)
{
	struct fixture *f = *state;
	char table[64], column[64], want[256];
	const char *at = schema_cinder_columns;
	unsigned count = 0;

	run_script(f->db, schema_files[0].sql);
	while (next_column(&at, table, column)) {
		run_format(f->db, "alter table public.\"%s\" rename column \"%s\" to x",
			table, column);
		snprintf(want, sizeof(want),
			"column %s.%s is missing: finish 'cinder-manage db sync'",
			table, column);
		assert_sync_refused(f, want);
		assert_check_refused(f, want);
		run_format(f->db, "alter table public.\"%s\" rename column x to \"%s\"",
			table, column);
		count++;
	}
	AUTO(free)
	char *columns = query_text(f->db,
		"select count(*) from information_schema.columns"
		" where table_schema = 'public'");
	assert_int_equal(count, atoi(columns));
	assert_state(f, SCHEMA_CINDER);
}

static void every_missing_table_is_refused_by_name(void **state)
{
	struct fixture *f = *state;
	char table[64], column[64], last[64] = "", want[256];
	const char *at = schema_cinder_columns;
	unsigned count = 0;

	run_script(f->db, schema_files[0].sql);
	while (next_column(&at, table, column)) {
		if (strcmp(table, last) == 0)
			continue;
		strcpy(last, table);
		run_format(f->db, "alter table public.\"%s\" rename to x", table);
		snprintf(want, sizeof(want), "table %s is missing:", table);
		assert_sync_refused(f, want);
		run_format(f->db, "alter table public.x rename to \"%s\"", table);
		count++;
	}
	assert_int_equal(count, 36);
}

static void a_dropped_column_of_a_table_in_use_is_refused(void **state)
{
	struct fixture *f = *state;

	sync_says(f);
	run_script(f->db, "alter table public.volumes drop column service_uuid");
	assert_sync_refused(f, "column volumes.service_uuid is missing:");
	assert_check_refused(f, "column volumes.service_uuid is missing:");
}

static void our_schema_without_cinders_tables_is_refused(void **state)
{
	struct fixture *f = *state;

	sync_says(f);
	run_script(f->db, "drop schema public cascade; create schema public");
	assert_sync_refused(f, "table alembic_version is missing:");
}

static void a_newer_cinder_is_refused(void **state)
{
	struct fixture *f = *state;

	run_script(f->db, schema_files[0].sql);
	run_script(f->db,
		"update public.alembic_version set version_num = 'feed';"
		" alter table public.volumes drop column ec2_id");
	assert_sync_refused(
		f, "the database is of a newer Cinder, at migration 'feed',");
	assert_query(f->db, "select to_regnamespace('drover') is null", "t");
}

static void a_cinder_upgraded_beside_us_is_refused(void **state)
{
	struct fixture *f = *state;

	sync_says(f);
	run_script(f->db, "update public.alembic_version set version_num = 'feed'");
	assert_sync_refused(f, "the database is of a newer Cinder,");
	assert_check_refused(f, "the database is of a newer Cinder,");
}

static void an_unfinished_cinder_is_refused(void **state)
{
	static const char want[] = "Cinder's migration 'c92a3e68beed' is not applied:";
	struct fixture *f = *state;

	run_script(f->db, schema_files[0].sql);
	run_script(f->db,
		"update public.alembic_version set version_num = '921e1a36b076'");
	assert_sync_refused(f, want);
	run_script(f->db, "delete from public.alembic_version");
	assert_sync_refused(f, want);
}

static void a_newer_drover_is_refused(void **state)
{
	struct fixture *f = *state;

	sync_says(f);
	run_script(f->db, "insert into drover.schema_version values (9000, 'later')");
	assert_sync_refused(
		f, "the schema 'drover' is of a newer Drover, at number 9000");
	assert_check_refused(f, "the schema 'drover' is of a newer Drover,");
}

static void a_strangers_schema_of_our_name_is_refused(void **state)
{
	static const char want[] =
		"the schema 'drover' was not made by 'drover db sync':";
	struct fixture *f = *state;

	run_script(f->db, schema_files[0].sql);
	run_script(f->db, "create schema drover");
	assert_sync_refused(f, want);
	run_script(f->db, "create table drover.schema_version (number int, name text)");
	assert_sync_refused(f, want);
}

static void the_check_says_what_to_run(void **state)
{
	struct fixture *f = *state;

	assert_check_refused(f, "the database is empty: run 'drover db sync'");
	run_script(f->db, schema_files[0].sql);
	assert_check_refused(f,
		"the database does not have Drover's tables yet: run 'drover db sync'");
}

#define TEST(name) cmocka_unit_test_setup(name, empty_database)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_database_gets_everything),
		TEST(a_second_sync_does_nothing),
		TEST(a_cinder_database_gets_only_our_schema),
		TEST(more_tables_and_columns_do_not_disturb),
		TEST(the_tables_of_an_extension_are_nothing),
		TEST(every_missing_column_is_refused_by_name),
		TEST(every_missing_table_is_refused_by_name),
		TEST(a_dropped_column_of_a_table_in_use_is_refused),
		TEST(our_schema_without_cinders_tables_is_refused),
		TEST(a_newer_cinder_is_refused),
		TEST(a_cinder_upgraded_beside_us_is_refused),
		TEST(an_unfinished_cinder_is_refused),
		TEST(a_newer_drover_is_refused),
		TEST(a_strangers_schema_of_our_name_is_refused),
		TEST(the_check_says_what_to_run),
	};

	if (!getenv("DROVER_TEST_DATABASE")) {
		puts("skipped, because DROVER_TEST_DATABASE is not set");
		return 77;
	}
	return cmocka_run_group_tests(tests, make_database, drop_database);
}
