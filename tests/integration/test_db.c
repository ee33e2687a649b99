/* SPDX-License-Identifier: Apache-2.0 */
/* Statements, transactions and notifications on a server that is well. */
#include "tests/integration/schema_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static int reset(void **state)
{
	struct fixture *f = *state;

	run_script(f->db,
		"drop table if exists thing, parent cascade;"
		" create table thing (id int primary key, text text)");
	return 0;
}

/* Another session, with time-outs of its own. */
static struct db *open_with(struct fixture *f, const char *options)
{
	AUTO(free)
	char *own = url_with_database(getenv("DROVER_TEST_DATABASE"), f->name);
	AUTO(free) char *plain = NULL;
	AUTO(free) char *conninfo = NULL;
	struct db *db = NULL;
	struct error err;

	if (url_to_conninfo(own, &plain, &err) < 0)
		fail_msg("%s", err.text);
	conninfo = text_format("%s options='%s'", plain, options);
	if (db_new(conninfo, "test", &db, &err) < 0 || db_connect(db, &err) < 0)
		fail_msg("%s", err.text);
	return db;
}

/* ---- statements ---- */

static void values_come_back_as_they_are(void **state)
{
	static const char sql[] =
		"select $1::text as text, $2::bigint as number, $3::bool as yes,"
		" $4::float8 as ratio, $5::text as nothing, $5::bigint as no_number,"
		" $5::bool as no, $5::float8 as no_ratio";
	struct fixture *f = *state;
	AUTO(PQclear) PGresult *rows = NULL;
	struct error err;

	assert_int_equal(db_query(f->db, sql, &rows, &err, "it's; -- \xc3\xa9",
				 NUM(INT64_MIN), BOOL_TEXT(true), "0.5", NULL),
		1);
	assert_string_equal(row_text(rows, 0, "text"), "it's; -- \xc3\xa9");
	assert_true(row_int(rows, 0, "number") == INT64_MIN);
	assert_true(row_bool(rows, 0, "yes"));
	assert_true(row_double(rows, 0, "ratio") == 0.5);
	assert_null(row_text(rows, 0, "nothing"));
	assert_true(row_null(rows, 0, "nothing"));
	assert_false(row_null(rows, 0, "text"));
	assert_string_equal(row_text_or(rows, 0, "nothing", "none"), "none");
	assert_string_equal(row_text_or(rows, 0, "text", ""), "it's; -- \xc3\xa9");
	assert_int_equal(row_int(rows, 0, "no_number"), 0);
	assert_false(row_bool(rows, 0, "no"));
	assert_true(row_double(rows, 0, "no_ratio") == 0);
}

static void rows_are_counted(void **state)
{
	static const char insert[] =
		"insert into thing select n, 'x' from generate_series(1, $1::int) n";
	static const char update[] = "update thing set text = 'y' where id <= $1::int";
	static const char select[] = "select id from thing where id <= $1::int";
	static const char all[] = "select id from thing";
	struct fixture *f = *state;
	AUTO(PQclear) PGresult *some = NULL;
	AUTO(PQclear) PGresult *every = NULL;
	struct error err;

	assert_int_equal(db_run(f->db, insert, &err, NUM(3)), 3);
	assert_int_equal(db_run(f->db, update, &err, NUM(2)), 2);
	assert_int_equal(db_run(f->db, update, &err, NUM(0)), 0);
	assert_int_equal(db_query(f->db, select, &some, &err, NUM(1)), 1);
	assert_int_equal(db_query(f->db, all, &every, &err), 3);
}

static void a_refused_statement_says_why_and_leaves_the_connection(void **state)
{
	static const char insert[] = "insert into thing (id) values (1)";
	struct fixture *f = *state;
	unsigned generation = db_generation(f->db);
	struct error err;

	assert_int_equal(db_run(f->db, insert, &err), 1);
	assert_int_equal(db_run(f->db, insert, &err), -1);
	assert_int_equal(err.code, ERR_DATABASE);
	assert_string_equal(err.text,
		"the database refused a statement: duplicate key value violates unique"
		" constraint \"thing_pkey\" [23505] in"
		" 'insert into thing (id) values (1)'");
	assert_int_equal(db_script(f->db, "selec 1", &err), -1);
	assert_int_equal(err.code, ERR_DATABASE);
	assert_query(f->db, "select 1", "1");
	assert_int_equal(db_generation(f->db), generation);
}

/* More statements than are kept prepared, twice. */
static void any_number_of_statements_is_fine(void **state)
{
	struct fixture *f = *state;
	char *statements[300];
	struct error err;

	for (int i = 0; i < 300; i++)
		statements[i] = text_format("select %d as n", i);
	for (int i = 0; i < 600; i++) {
		AUTO(PQclear) PGresult *rows = NULL;

		assert_int_equal(db_query(f->db, statements[i % 300], &rows, &err), 1);
		assert_int_equal(row_int(rows, 0, "n"), i % 300);
	}
	/* The statements must live as long as their connection. */
	db_free(f->db);
	AUTO(free)
	char *own = url_with_database(getenv("DROVER_TEST_DATABASE"), f->name);
	f->db = open_db(own);
	for (int i = 0; i < 300; i++)
		free(statements[i]);
}

static void a_statement_is_ended_in_time(void **state)
{
	static const char sleep[] = "select pg_sleep(30)";
	struct fixture *f = *state;
	AUTO(db_free) struct db *db = open_with(f, "-c statement_timeout=200ms");
	AUTO(PQclear) PGresult *rows = NULL;
	double started = clock_seconds();
	struct error err;

	assert_int_equal(db_query(db, sleep, &rows, &err), -1);
	assert_int_equal(err.code, ERR_DB_UNAVAILABLE);
	assert_true(clock_seconds() - started < 10);
	assert_query(db, "select 1", "1");
}

/* After a failover the old connection may lead to a standby. */
static void a_read_only_server_counts_as_away(void **state)
{
	static const char insert[] = "insert into thing (id) values (1)";
	struct fixture *f = *state;
	AUTO(db_free) struct db *db = open_with(f, "");
	struct error err;

	run_script(db, "set default_transaction_read_only = on");
	assert_int_equal(db_run(db, insert, &err), -1);
	assert_int_equal(err.code, ERR_DB_UNAVAILABLE);
	assert_false(db_is_connected(db));
	assert_int_equal(db_run(db, insert, &err), 1);
}

/* ---- transactions ---- */

struct script {
	const char *sql;
	int result, calls;
	atomic_int *barrier; /* wait for a second one in the first call, after sql */
	const char *then;
};

static void meet(atomic_int *barrier)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	double deadline = clock_seconds() + 20;

	(*barrier)++;
	while (*barrier < 2 && clock_seconds() < deadline)
		nanosleep(&nap, NULL);
}

static int run_body(struct db *db, void *arg, struct error *err)
{
	struct script *script = arg;

	assert_true(db_in_transaction(db));
	script->calls++;
	if (db_script(db, script->sql, err) < 0)
		return -1;
	if (script->barrier && script->calls == 1)
		meet(script->barrier);
	if (script->then && db_script(db, script->then, err) < 0)
		return -1;
	if (script->result < 0)
		return error_set(err, ERR_INVALID_VOLUME, "no");
	return script->result;
}

static void a_transaction_commits_and_gives_the_bodys_result(void **state)
{
	struct fixture *f = *state;
	struct script script = { .sql = "insert into thing (id) values (1)",
		.result = 7 };
	uint64_t before, after;
	double seconds, more;
	struct error err;

	db_commit_stats(f->db, &before, &seconds);
	assert_int_equal(db_transact(f->db, run_body, &script, &err), 7);
	assert_false(db_in_transaction(f->db));
	assert_query(f->db, "select count(*) from thing", "1");
	db_commit_stats(f->db, &after, &more);
	assert_int_equal(after, before + 1);
	assert_true(more > seconds);
}

static void a_failing_body_is_rolled_back_and_not_repeated(void **state)
{
	struct fixture *f = *state;
	struct script script = { .sql = "insert into thing (id) values (2)",
		.result = -1 };
	struct error err;

	assert_int_equal(db_transact(f->db, run_body, &script, &err), -1);
	assert_int_equal(err.code, ERR_INVALID_VOLUME);
	assert_string_equal(err.text, "no");
	assert_int_equal(script.calls, 1);
	assert_false(db_in_transaction(f->db));
	assert_query(f->db, "select count(*) from thing", "0");
}

static void only_heartbeats_do_not_wait_for_the_disk(void **state)
{
	static const char see[] =
		"insert into thing values (3, current_setting('synchronous_commit'))"
		" on conflict (id) do update set text = excluded.text";
	struct fixture *f = *state;
	struct script script = { .sql = see };
	struct error err;

	assert_int_equal(db_transact(f->db, run_body, &script, &err), 0);
	assert_query(f->db, "select text from thing", "on");
	assert_int_equal(db_transact_async(f->db, run_body, &script, &err), 0);
	assert_query(f->db, "select text from thing", "off");
	assert_int_equal(db_transact(f->db, run_body, &script, &err), 0);
	assert_query(f->db, "select text from thing", "on");
}

/* Whatever the server's or the role's default is; a stronger one stays. */
static void commits_are_durable_in_every_session(void **state)
{
	struct fixture *f = *state;
	AUTO(db_free) struct db *off = open_with(f, "-c synchronous_commit=off");
	AUTO(db_free) struct db *local = open_with(f, "-c synchronous_commit=local");
	AUTO(db_free)
	struct db *strong = open_with(f, "-c synchronous_commit=remote_apply");

	assert_query(off, "show synchronous_commit", "on");
	assert_query(local, "show synchronous_commit", "on");
	assert_query(strong, "show synchronous_commit", "remote_apply");
}

static void a_deferred_constraint_is_a_certain_failure(void **state)
{
	struct fixture *f = *state;
	struct script script = { .sql = "insert into thing (id) values (1)" };
	struct error err;

	run_script(f->db,
		"create table parent (id int primary key);"
		" alter table thing add constraint needs_parent foreign key"
		"  (id) references parent deferrable initially deferred");
	assert_int_equal(db_transact(f->db, run_body, &script, &err), -1);
	assert_int_equal(err.code, ERR_DATABASE);
	assert_int_equal(script.calls, 1);
	assert_true(db_is_connected(f->db));
	assert_query(f->db, "select count(*) from thing", "0");
}

static void serialization_failures_are_repeated_five_times(void **state)
{
	struct fixture *f = *state;
	struct script script = {
		.sql = "insert into thing (id) values (1);"
		       " do $$ begin raise sqlstate '40001'; end $$",
	};
	struct error err;

	assert_int_equal(db_transact(f->db, run_body, &script, &err), -1);
	assert_int_equal(err.code, ERR_DB_RETRY);
	assert_int_equal(script.calls, 5);
	assert_query(f->db, "select count(*) from thing", "0");
}

static void a_serialization_failure_of_the_commit_is_repeated(void **state)
{
	struct fixture *f = *state;
	struct script script = { .sql = "insert into thing (id) values (1)" };
	struct error err;

	run_script(f->db,
		"create sequence if not exists tries; select setval('tries', 1);"
		" create or replace function late() returns trigger language plpgsql"
		"  as $$ begin if nextval('tries') < 4 then raise sqlstate '40001';"
		"  end if; return new; end $$;"
		" create constraint trigger late after insert on thing"
		"  deferrable initially deferred for each row execute function late()");
	assert_int_equal(db_transact(f->db, run_body, &script, &err), 0);
	assert_int_equal(script.calls, 3);
	assert_query(f->db, "select count(*) from thing", "1");
}

struct session {
	struct db *db;
	struct script script;
	int result;
	struct error err;
};

static void *run_session(void *arg)
{
	struct session *session = arg;

	session->result =
		db_transact(session->db, run_body, &session->script, &session->err);
	return NULL;
}

static void the_victim_of_a_deadlock_tries_again(void **state)
{
	struct fixture *f = *state;
	AUTO(db_free) struct db *second = open_with(f, "-c deadlock_timeout=100ms");
	atomic_int barrier = 0;
	struct session a = { .db = f->db,
		.script = { .sql = "update thing set text = text || 'a' where id = 1",
			.then = "update thing set text = text || 'a' where id = 2",
			.barrier = &barrier } };
	struct session b = { .db = second,
		.script = { .sql = "update thing set text = text || 'b' where id = 2",
			.then = "update thing set text = text || 'b' where id = 1",
			.barrier = &barrier } };
	pthread_t thread;

	run_script(f->db, "insert into thing values (1, ''), (2, '')");
	assert_int_equal(pthread_create(&thread, NULL, run_session, &a), 0);
	run_session(&b);
	pthread_join(thread, NULL);
	assert_int_equal(a.result, 0);
	assert_int_equal(b.result, 0);
	assert_true(a.script.calls + b.script.calls >= 3);
	assert_query(
		f->db, "select string_agg(length(text)::text, ',') from thing", "2,2");
}

static void a_lock_that_stays_is_given_up_after_five_tries(void **state)
{
	struct fixture *f = *state;
	AUTO(db_free) struct db *second = open_with(f, "-c lock_timeout=50ms");
	struct script script = { .sql = "update thing set text = 'x'" };
	struct error err;

	run_script(f->db, "insert into thing (id) values (1)");
	run_script(f->db, "begin; update thing set text = 'held'");
	assert_int_equal(db_transact(second, run_body, &script, &err), -1);
	assert_int_equal(err.code, ERR_DB_RETRY);
	assert_int_equal(script.calls, 5);
	run_script(f->db, "rollback");
	assert_int_equal(db_transact(second, run_body, &script, &err), 0);
	assert_query(f->db, "select text from thing", "x");
}

static void who_is_impatient_tries_once(void **state)
{
	struct fixture *f = *state;
	AUTO(free)
	char *own = url_with_database(getenv("DROVER_TEST_DATABASE"), f->name);
	AUTO(free) char *conninfo = NULL;
	AUTO(db_free) struct db *second = NULL;
	struct script script = { .sql = "update thing set text = 'x'" };
	double started;
	struct error err;

	assert_int_equal(url_to_conninfo(own, &conninfo, &err), 0);
	assert_int_equal(db_new(conninfo, "test", &second, &err), 0);
	db_set_impatient(second, 100);
	assert_query(second, "show lock_timeout", "100ms");
	run_script(f->db, "insert into thing (id) values (1)");
	run_script(f->db, "begin; update thing set text = 'held'");
	started = clock_seconds();
	assert_int_equal(db_transact(second, run_body, &script, &err), -1);
	assert_true(clock_seconds() - started < 2);
	assert_int_equal(err.code, ERR_DB_RETRY);
	assert_int_equal(script.calls, 1);
	run_script(f->db, "rollback");
	assert_int_equal(db_transact(second, run_body, &script, &err), 0);
}

static void a_lock_that_goes_away_is_waited_for(void **state)
{
	struct fixture *f = *state;
	AUTO(db_free) struct db *second = open_with(f, "-c lock_timeout=400ms");
	const struct timespec nap = { .tv_nsec = 600000000 };
	struct session session = { .db = second,
		.script = { .sql = "update thing set text = 'x'" } };
	pthread_t thread;

	run_script(f->db, "insert into thing (id) values (1)");
	run_script(f->db, "begin; update thing set text = 'held'");
	assert_int_equal(pthread_create(&thread, NULL, run_session, &session), 0);
	nanosleep(&nap, NULL); /* longer than one try and shorter than five */
	run_script(f->db, "rollback");
	pthread_join(thread, NULL);
	assert_int_equal(session.result, 0);
	assert_in_range(session.script.calls, 2, 5);
	assert_query(f->db, "select text from thing", "x");
}

/* ---- notifications ---- */

static bool wait_for_notice(struct db *db, char channel[64], char *payload, size_t size)
{
	const struct timespec nap = { .tv_nsec = 5000000 };
	double deadline = clock_seconds() + 10;

	while (!db_notification(db, channel, 64, payload, size)) {
		if (clock_seconds() > deadline)
			return false;
		nanosleep(&nap, NULL);
	}
	return true;
}

static void notifications_arrive_in_order(void **state)
{
	struct fixture *f = *state;
	AUTO(db_free) struct db *second = open_with(f, "");
	char channel[64], payload[64], small[4];
	struct error err;

	assert_int_equal(db_listen(second, "drover_one", &err), 0);
	assert_int_equal(db_listen(second, "drover_one", &err), 0);
	assert_int_equal(db_listen(second, "drover_two", &err), 0);
	assert_false(db_notification(second, channel, 64, payload, 64));
	assert_true(db_fd(second) >= 0);
	run_script(f->db,
		"notify drover_one, 'first'; notify other, 'not ours';"
		" notify drover_two, 'second'; notify drover_two");
	assert_true(wait_for_notice(second, channel, payload, sizeof(payload)));
	assert_string_equal(channel, "drover_one");
	assert_string_equal(payload, "first");
	assert_true(wait_for_notice(second, channel, small, sizeof(small)));
	assert_string_equal(channel, "drover_two");
	assert_string_equal(small, "sec");
	assert_true(wait_for_notice(second, channel, payload, sizeof(payload)));
	assert_string_equal(payload, "");
	assert_false(db_notification(second, channel, 64, payload, 64));
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(values_come_back_as_they_are),
		TEST(rows_are_counted),
		TEST(a_refused_statement_says_why_and_leaves_the_connection),
		TEST(any_number_of_statements_is_fine),
		TEST(a_statement_is_ended_in_time),
		TEST(a_read_only_server_counts_as_away),
		TEST(a_transaction_commits_and_gives_the_bodys_result),
		TEST(a_failing_body_is_rolled_back_and_not_repeated),
		TEST(only_heartbeats_do_not_wait_for_the_disk),
		TEST(commits_are_durable_in_every_session),
		TEST(a_deferred_constraint_is_a_certain_failure),
		TEST(serialization_failures_are_repeated_five_times),
		TEST(a_serialization_failure_of_the_commit_is_repeated),
		TEST(the_victim_of_a_deadlock_tries_again),
		TEST(a_lock_that_stays_is_given_up_after_five_tries),
		TEST(who_is_impatient_tries_once),
		TEST(a_lock_that_goes_away_is_waited_for),
		TEST(notifications_arrive_in_order),
	};

	if (!getenv("DROVER_TEST_DATABASE")) {
		puts("skipped, because DROVER_TEST_DATABASE is not set");
		return 77;
	}
	return cmocka_run_group_tests(tests, make_database, drop_database);
}
