/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that break, servers that are away, stopped or silent. */
#include "tests/integration/relay.h"
#include "tests/integration/schema_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

struct lost {
	struct fixture *fixture;
	struct db *admin; /* straight to the server */
	struct relay *relay;
	struct db *db; /* through the relay */
};

static int open_all(void **state)
{
	AUTO(free) char *conninfo = NULL;
	struct lost *l = calloc(1, sizeof(*l));
	void *fixture = NULL;
	struct error err;

	if (!l || make_database(&fixture) < 0)
		return -1;
	l->fixture = fixture;
	l->admin = l->fixture->db;
	AUTO(free)
	char *own = url_with_database(getenv("DROVER_TEST_DATABASE"), l->fixture->name);
	if (url_to_conninfo(own, &conninfo, &err) < 0)
		fail_msg("%s", err.text);
	l->relay = relay_start(conninfo);
	*state = l;
	return 0;
}

static int close_all(void **state)
{
	struct lost *l = *state;
	void *fixture;

	if (!l)
		return 0;
	fixture = l->fixture;
	relay_stop(l->relay);
	free(l);
	return drop_database(&fixture);
}

static int begin_test(void **state)
{
	struct lost *l = *state;
	AUTO(free) char *conninfo = relay_conninfo(l->relay);
	struct error err;

	run_script(l->admin,
		"drop table if exists thing;"
		" create table thing (id int)");
	relay_set(l->relay, RELAY_PASS);
	if (db_new(conninfo, "lost", &l->db, &err) < 0 || db_connect(l->db, &err) < 0)
		fail_msg("%s", err.text);
	return 0;
}

static int end_test(void **state)
{
	struct lost *l = *state;

	db_free(l->db);
	l->db = NULL;
	return 0;
}

static void terminate_sessions(struct lost *l)
{
	static const char sql[] =
		"select pg_terminate_backend(pid, 10000) from pg_stat_activity"
		" where application_name = 'lost'";
	AUTO(PQclear) PGresult *rows = NULL;
	struct error err;

	assert_int_equal(db_query(l->admin, sql, &rows, &err), 1);
	assert_string_equal(PQgetvalue(rows, 0, 0), "t");
}

/* It is refused for a second; then it works. */
static void assert_works_again(struct lost *l)
{
	struct error err;

	if (db_wait(l->db, NULL, &err) < 0)
		fail_msg("%s", err.text);
	assert_query(l->db, "select 1", "1");
	assert_false(db_in_transaction(l->db));
}

static void a_lost_connection_is_opened_again_after_a_second(void **state)
{
	static const char one[] = "select 1";
	struct lost *l = *state;
	unsigned generation = db_generation(l->db);
	AUTO(PQclear) PGresult *rows = NULL;
	struct error err;

	assert_query(l->db, one, "1");
	terminate_sessions(l);
	assert_int_equal(db_query(l->db, one, &rows, &err), -1);
	assert_int_equal(err.code, ERR_DB_UNAVAILABLE);
	assert_false(db_is_connected(l->db));
	assert_int_equal(db_fd(l->db), -1);
	/* Not at once: many callers would make many connections. */
	assert_int_equal(db_query(l->db, one, &rows, &err), -1);
	assert_int_equal(err.code, ERR_DB_UNAVAILABLE);
	assert_string_equal(err.text, "the database is away");
	assert_works_again(l);
	assert_int_equal(db_generation(l->db), generation + 1);
	/* Prepared on the old connection, and again on the new one. */
	assert_query(l->db, one, "1");
}

/* ---- in a transaction ---- */

struct stubborn {
	struct lost *l;
	int calls;
};

/* A body that does not care about errors must not get outside of its transaction. */
static int stubborn_body(struct db *db, void *arg, struct error *err)
{
	static const char insert[] = "insert into thing values (1)";
	const struct timespec nap = { .tv_nsec = 300000000 };
	struct stubborn *stubborn = arg;

	stubborn->calls++;
	assert_int_equal(db_run(db, insert, err), 1);
	terminate_sessions(stubborn->l);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(db_run(db, insert, err), -1);
		assert_int_equal(err->code, ERR_DB_UNAVAILABLE);
		assert_true(db_in_transaction(db));
		nanosleep(&nap, NULL);
	}
	return 0;
}

static void nothing_of_a_broken_transaction_remains(void **state)
{
	struct lost *l = *state;
	struct stubborn stubborn = { l, 0 };
	struct error err;

	assert_int_equal(db_transact(l->db, stubborn_body, &stubborn, &err), -1);
	/* The commit had no connection to go to; nothing tells it from one that broke. */
	assert_int_equal(err.code, ERR_DB_UNKNOWN);
	assert_int_equal(stubborn.calls, 1);
	assert_works_again(l);
	assert_query(l->admin, "select count(*) from thing", "0");
}

static int dying_body(struct db *db, void *arg, struct error *err)
{
	static const char insert[] = "insert into thing values (1)";
	struct stubborn *stubborn = arg;

	stubborn->calls++;
	assert_int_equal(db_run(db, insert, err), 1);
	terminate_sessions(stubborn->l);
	return db_run(db, insert, err);
}

static void a_connection_lost_in_the_body_is_not_unknown(void **state)
{
	struct lost *l = *state;
	struct stubborn stubborn = { l, 0 };
	struct error err;

	assert_int_equal(db_transact(l->db, dying_body, &stubborn, &err), -1);
	assert_int_equal(err.code, ERR_DB_UNAVAILABLE);
	assert_int_equal(stubborn.calls, 1);
	assert_works_again(l);
	assert_query(l->admin, "select count(*) from thing", "0");
}

/* ---- the commit ---- */

static int insert_body(struct db *db, void *arg, struct error *err)
{
	static const char insert[] = "insert into thing values (1)";
	int *calls = arg;

	(*calls)++;
	return db_run(db, insert, err);
}

static void assert_unknown(struct lost *l)
{
	struct error err;
	int calls = 0;

	assert_int_equal(db_transact(l->db, insert_body, &calls, &err), -1);
	if (err.code != ERR_DB_UNKNOWN)
		fail_msg("%s: %s", error_code_name(err.code), err.text);
	assert_int_equal(calls, 1);
	assert_false(db_in_transaction(l->db));
}

static void a_commit_whose_answer_is_lost_is_unknown(void **state)
{
	struct lost *l = *state;

	relay_set(l->relay, RELAY_DROP_ANSWER);
	assert_unknown(l);
	assert_query(l->admin, "select count(*) from thing", "1");
	relay_set(l->relay, RELAY_PASS);
	assert_works_again(l);
	assert_query(l->db, "select count(*) from thing", "1");
}

static void a_commit_that_never_arrives_is_unknown_too(void **state)
{
	struct lost *l = *state;

	relay_set(l->relay, RELAY_DROP_COMMIT);
	assert_unknown(l);
	relay_set(l->relay, RELAY_PASS);
	assert_works_again(l);
	assert_query(l->db, "select count(*) from thing", "0");
}

static void a_session_ended_in_its_commit_is_unknown(void **state)
{
	struct lost *l = *state;

	run_script(l->admin,
		"create or replace function end_session() returns trigger"
		"  language plpgsql as $$ begin"
		"  perform pg_terminate_backend(pg_backend_pid()); return new; end $$;"
		" create constraint trigger ending after insert on thing deferrable"
		"  initially deferred for each row execute function end_session()");
	assert_unknown(l);
	assert_works_again(l);
	assert_query(l->db, "select count(*) from thing", "0");
}

/* A COMMIT that is no longer awaited by a standby says COMMIT, and warns. */
static void *cancel_waiting(void *arg)
{
	static const char sql[] =
		"select pg_cancel_backend(pid) from pg_stat_activity"
		" where application_name = 'lost' and wait_event = 'SyncRep'";
	const struct timespec nap = { .tv_nsec = 20000000 };
	struct lost *l = arg;
	double deadline = clock_seconds() + 10;
	struct error err;
	int count;

	do {
		AUTO(PQclear) PGresult *rows = NULL;

		nanosleep(&nap, NULL);
		count = db_query(l->admin, sql, &rows, &err);
	} while (count == 0 && clock_seconds() < deadline);
	return NULL;
}

static void want_standby(struct lost *l, bool wanted)
{
	const struct timespec nap = { .tv_nsec = 20000000 };

	run_script(l->admin,
		wanted ? "set synchronous_commit = local"
		       : "alter system reset synchronous_standby_names");
	if (wanted)
		run_script(l->admin,
			"alter system set synchronous_standby_names = 'missing'");
	run_script(l->admin, "select pg_reload_conf()");
	/* Each process reads it when it gets to it. */
	for (int i = 0; i < 500; i++) {
		AUTO(free)
		char *now = query_text(l->db, "show synchronous_standby_names");

		if ((strcmp(now, "missing") == 0) == wanted)
			return;
		nanosleep(&nap, NULL);
	}
	fail_msg("the server does not read its configuration");
}

static void a_commit_that_warns_is_unknown(void **state)
{
	struct lost *l = *state;
	pthread_t thread;

	want_standby(l, true);
	assert_int_equal(pthread_create(&thread, NULL, cancel_waiting, l), 0);
	assert_unknown(l);
	pthread_join(thread, NULL);
	assert_works_again(l);
	assert_query(l->db, "select count(*) from thing", "1");
	want_standby(l, false);
}

static int end_standby_test(void **state)
{
	struct lost *l = *state;
	struct error err;

	/* Whatever happened: other commits must not wait for it. */
	db_script(l->admin, "alter system reset synchronous_standby_names", &err);
	db_script(l->admin, "select pg_reload_conf()", &err);
	return end_test(state);
}

/* ---- servers that do not answer ---- */

static void a_frozen_server_is_given_up(void **state)
{
	static const char one[] = "select 1";
	struct lost *l = *state;
	AUTO(PQclear) PGresult *rows = NULL;
	double started = clock_seconds();
	struct error err;

	relay_set(l->relay, RELAY_FREEZE);
	assert_int_equal(db_query(l->db, one, &rows, &err), -1);
	assert_int_equal(err.code, ERR_DB_UNAVAILABLE);
	assert_string_equal(
		err.text, "lost the connection to the database: no answer in time");
	assert_true(clock_seconds() - started < 25);
	relay_set(l->relay, RELAY_PASS);
	assert_works_again(l);
}

static void a_commit_without_an_answer_is_unknown(void **state)
{
	struct lost *l = *state;
	double started = clock_seconds();

	run_script(l->admin,
		"create or replace function wait() returns trigger language plpgsql"
		"  as $$ begin perform pg_advisory_lock(7); return new; end $$;"
		" create constraint trigger waiting after insert on thing deferrable"
		"  initially deferred for each row execute function wait();"
		" select pg_advisory_lock(7)");
	run_script(l->db, "set lock_timeout = 0; set statement_timeout = 0");
	assert_unknown(l);
	assert_true(clock_seconds() - started < 25);
	run_script(l->admin, "select pg_advisory_unlock(7)");
	assert_works_again(l);
}

/* A listening socket that nobody accepts from: the kernel connects, nothing answers. */
static void a_server_that_never_answers_is_given_up(void **state)
{
	struct sockaddr_in any = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	AUTO(fd) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(any);
	AUTO(db_free) struct db *db = NULL;
	double started = clock_seconds();
	struct error err;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&any, size), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &size), 0);
	AUTO(free)
	char *conninfo =
		text_format("host=127.0.0.1 port=%d dbname=x", ntohs(any.sin_port));
	assert_int_equal(db_new(conninfo, "lost", &db, &err), 0);
	assert_int_equal(db_connect(db, &err), -1);
	assert_int_equal(err.code, ERR_DB_UNAVAILABLE);
	assert_string_equal(
		err.text, "cannot connect to the database: no answer in 5 s");
	assert_true(clock_seconds() - started < 8);
	/* And not again for a second. */
	assert_int_equal(db_connect(db, &err), -1);
	assert_string_equal(err.text, "the database is away");
}

static void count_call(void *arg)
{
	(*(int *)arg)++;
}

static void a_refused_connection_fails_at_once(void **state)
{
	struct lost *l = *state;
	AUTO(free) char *conninfo = relay_conninfo(l->relay);
	AUTO(db_free) struct db *db = NULL;
	double started = clock_seconds();
	int connected = 0;
	struct error err;

	relay_set(l->relay, RELAY_REFUSE);
	assert_int_equal(db_new(conninfo, "lost", &db, &err), 0);
	db_on_connect(db, count_call, &connected);
	assert_int_equal(db_connect(db, &err), -1);
	assert_int_equal(err.code, ERR_DB_UNAVAILABLE);
	assert_begins(err.text, "cannot connect to the database: ");
	assert_true(clock_seconds() - started < 3);
	assert_int_equal(connected, 0);
	assert_int_equal(db_generation(db), 0);
}

/* ---- waiting, listening ---- */

static void *let_through(void *arg)
{
	const struct timespec nap = { .tv_sec = 1, .tv_nsec = 500000000 };
	struct lost *l = arg;

	nanosleep(&nap, NULL);
	relay_set(l->relay, RELAY_PASS);
	return NULL;
}

static void waiting_ends_when_the_database_is_back(void **state)
{
	static const char one[] = "select 1";
	struct lost *l = *state;
	AUTO(PQclear) PGresult *rows = NULL;
	int connected = 0;
	pthread_t thread;
	struct error err;

	db_on_connect(l->db, count_call, &connected);
	relay_set(l->relay, RELAY_REFUSE);
	assert_int_equal(pthread_create(&thread, NULL, let_through, l), 0);
	assert_int_equal(db_query(l->db, one, &rows, &err), -1);
	assert_int_equal(db_wait(l->db, NULL, &err), 0);
	pthread_join(thread, NULL);
	assert_true(db_is_connected(l->db));
	assert_int_equal(connected, 1);
}

static volatile bool stop;

static void *set_stop(void *arg)
{
	const struct timespec nap = { .tv_nsec = 300000000 };

	(void)arg;
	nanosleep(&nap, NULL);
	stop = true;
	return NULL;
}

static void waiting_can_be_stopped(void **state)
{
	static const char one[] = "select 1";
	struct lost *l = *state;
	AUTO(PQclear) PGresult *rows = NULL;
	pthread_t thread;
	struct error err;

	relay_set(l->relay, RELAY_REFUSE);
	assert_int_equal(db_query(l->db, one, &rows, &err), -1);
	assert_int_equal(pthread_create(&thread, NULL, set_stop, NULL), 0);
	assert_int_equal(db_wait(l->db, &stop, &err), -1);
	assert_int_equal(err.code, ERR_DB_UNAVAILABLE);
	pthread_join(thread, NULL);
}

static void listening_goes_on_after_a_reconnect(void **state)
{
	static const char mine[] = "select string_agg(channel, ' ' order by channel)"
				   " from pg_listening_channels() as channel";
	struct lost *l = *state;
	char channel[64], payload[64];
	struct error err;

	assert_int_equal(db_listen(l->db, "drover_one", &err), 0);
	assert_int_equal(db_listen(l->db, "drover_two", &err), 0);
	terminate_sessions(l);
	/* Reading finds the end of the connection, too. */
	for (int i = 0; i < 1000 && db_is_connected(l->db); i++)
		assert_false(db_notification(l->db, channel, 64, payload, 64));
	assert_false(db_is_connected(l->db));
	assert_works_again(l);
	assert_query(l->db, mine, "drover_one drover_two");
	run_script(l->db, "notify drover_two, 'heard'");
	assert_true(db_notification(l->db, channel, 64, payload, 64));
	assert_string_equal(payload, "heard");
}

static void listening_begins_without_a_connection(void **state)
{
	struct lost *l = *state;
	AUTO(free) char *conninfo = relay_conninfo(l->relay);
	AUTO(db_free) struct db *db = NULL;
	struct error err;

	assert_int_equal(db_new(conninfo, "lost", &db, &err), 0);
	assert_false(db_is_connected(db));
	assert_int_equal(db_listen(db, "drover_one", &err), 0);
	assert_query(db, "select pg_listening_channels()", "drover_one");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_lost_connection_is_opened_again_after_a_second),
		TEST(nothing_of_a_broken_transaction_remains),
		TEST(a_connection_lost_in_the_body_is_not_unknown),
		TEST(a_commit_whose_answer_is_lost_is_unknown),
		TEST(a_commit_that_never_arrives_is_unknown_too),
		TEST(a_session_ended_in_its_commit_is_unknown),
		cmocka_unit_test_setup_teardown(
			a_commit_that_warns_is_unknown, begin_test, end_standby_test),
		TEST(a_frozen_server_is_given_up),
		TEST(a_commit_without_an_answer_is_unknown),
		TEST(a_server_that_never_answers_is_given_up),
		TEST(a_refused_connection_fails_at_once),
		TEST(waiting_ends_when_the_database_is_back),
		TEST(waiting_can_be_stopped),
		TEST(listening_goes_on_after_a_reconnect),
		TEST(listening_begins_without_a_connection),
	};

	if (!getenv("DROVER_TEST_DATABASE")) {
		puts("skipped, because DROVER_TEST_DATABASE is not set");
		return 77;
	}
	return cmocka_run_group_tests(tests, open_all, close_all);
}
