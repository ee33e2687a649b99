/* SPDX-License-Identifier: Apache-2.0 */
/* How an older database gets later files, with small files of our own in place of the
 * embedded ones: the linker then leaves those out. */
#include "tests/integration/schema_fixture.h"

const struct schema_file schema_files[] = {
	{ 1, "0001-cinder",
		"create table public.alembic_version (version_num text);"
		" insert into public.alembic_version values ('c92a3e68beed')" },
	{ 2, "0002-drover",
		"create schema drover;"
		" create table drover.schema_version (number int primary key,"
		"    name text not null, applied_at timestamptz not null default "
		"now())" },
	{ 3, "0003-third", "create table drover.third (id int)" },
	{ 5, "0005-fifth",
		"alter table drover.third rename to fifth;"
		" create table drover.other (id int)" },
};
const unsigned schema_file_count = ARRAY_SIZE(schema_files);
const char schema_cinder_columns[] = "alembic_version.version_num\n";

static const char numbers[] = "select string_agg(number::text, ' ' order by number) "
			      "from drover.schema_version";

static int make_second(void **state)
{
	struct fixture *f = *state;

	empty_database(state);
	run_script(f->db, schema_files[0].sql);
	run_script(f->db, schema_files[1].sql);
	run_script(f->db,
		"insert into drover.schema_version (number, name)"
		" values (2, '0002-drover')");
	return 0;
}

static void an_older_schema_gets_the_later_files_in_order(void **state)
{
	struct fixture *f = *state;

	assert_state(f, SCHEMA_OLDER);
	assert_check_refused(f,
		"Drover's tables are of an earlier version: run"
		" 'drover db sync'");
	assert_string_equal(sync_says(f), "applied 0003-third\napplied 0005-fifth\n");
	assert_query(f->db, numbers, "2 3 5");
	assert_query(f->db, "select to_regclass('drover.fifth') is not null", "t");
	assert_state(f, SCHEMA_DROVER);
	assert_string_equal(sync_says(f), "nothing to do: the schema is current\n");
}

static void a_sync_that_fails_changes_nothing(void **state)
{
	struct fixture *f = *state;

	run_script(f->db, "create table drover.other (mine text)");
	assert_sync_refused(f, "apply schema file '0005-fifth': ");
	assert_query(f->db, numbers, "2");
	assert_query(f->db, "select to_regclass('drover.third') is null", "t");
	assert_state(f, SCHEMA_OLDER);
	run_script(f->db, "drop table drover.other");
	sync_says(f);
	assert_state(f, SCHEMA_DROVER);
}

static void nobody_has_to_listen(void **state)
{
	struct fixture *f = *state;
	struct error err;

	assert_int_equal(schema_sync(f->db, NULL, NULL, &err), 0);
	assert_state(f, SCHEMA_DROVER);
}

#define TEST(name) cmocka_unit_test_setup(name, make_second)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_older_schema_gets_the_later_files_in_order),
		TEST(a_sync_that_fails_changes_nothing),
		TEST(nobody_has_to_listen),
	};

	if (!getenv("DROVER_TEST_DATABASE")) {
		puts("skipped, because DROVER_TEST_DATABASE is not set");
		return 77;
	}
	return cmocka_run_group_tests(tests, make_database, drop_database);
}
