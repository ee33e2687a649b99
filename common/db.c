/* SPDX-License-Identifier: Apache-2.0 */
#include "common/db.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/text.h"

#define CONNECT_SECONDS 5.0
/* Well above the server's own statement_timeout (5 s). */
#define ANSWER_SECONDS 15.0
/* Schema files set a longer one. */
#define SCRIPT_SECONDS 90.0
#define RETRY_SECONDS 1.0
#define TRANSACTION_TRIES 5
#define MAX_PREPARED 256
#define MAX_CHANNELS 8

struct db {
	char *conninfo;
	char *application;
	PGconn *conn;
	bool in_transaction;
	bool warned; /* a WARNING came since the flag was cleared */
	unsigned generation;
	double next_try; /* monotonic; connecting before that is refused */
	void (*on_connect)(void *arg);
	void *on_connect_arg;
	char *channels[MAX_CHANNELS];
	/* Statements prepared on this connection, by the address of their text, which is
	 * a constant of the program. */
	const char *prepared[MAX_PREPARED];
	unsigned prepared_count;
	uint64_t commits;
	double commit_seconds;
	unsigned tries; /* of a transaction */
	unsigned lock_ms; /* 0: as the connection string says */
};

int db_new(const char *conninfo, const char *application, struct db **out,
	struct error *err)
{
	AUTO(db_free) struct db *db = calloc(1, sizeof(*db));

	if (!db)
		return error_no_memory(err);
	db->conninfo = strdup(conninfo);
	db->application = strdup(application);
	if (!db->conninfo || !db->application)
		return error_no_memory(err);
	db->tries = TRANSACTION_TRIES;
	*out = steal(db);
	return 0;
}

void db_set_impatient(struct db *db, unsigned lock_ms)
{
	db->tries = 1;
	db->lock_ms = lock_ms;
}

/* in_transaction stays: the body of a transaction must not go on outside of it. */
static void disconnect(struct db *db)
{
	PQfinish(db->conn);
	db->conn = NULL;
	db->prepared_count = 0;
}

void db_free(struct db *db)
{
	if (!db)
		return;
	disconnect(db);
	for (unsigned i = 0; i < MAX_CHANNELS; i++)
		free(db->channels[i]);
	free(db->conninfo);
	free(db->application);
	free(db);
}

void db_on_connect(struct db *db, void (*on_connect)(void *arg), void *arg)
{
	db->on_connect = on_connect;
	db->on_connect_arg = arg;
}

bool db_is_connected(const struct db *db)
{
	return db->conn && PQstatus(db->conn) == CONNECTION_OK;
}

unsigned db_generation(const struct db *db)
{
	return db->generation;
}

int db_fd(const struct db *db)
{
	return db->conn ? PQsocket(db->conn) : -1;
}

bool db_in_transaction(const struct db *db)
{
	return db->in_transaction;
}

void db_commit_stats(const struct db *db, uint64_t *count, double *seconds)
{
	*count = db->commits;
	*seconds = db->commit_seconds;
}

/* A commit that warns may not be replicated: libpq tells by a notice only. */
static void on_notice(void *arg, const PGresult *notice)
{
	struct db *db = arg;
	const char *severity =
		PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);

	if (severity && strcmp(severity, "WARNING") == 0) {
		db->warned = true;
		log_warning("the database warns: %s", text ? text : "");
	}
}

/* One line of libpq's often several. */
static int set_unavailable(struct db *db, const char *doing, struct error *err)
{
	const char *text = db->conn ? PQerrorMessage(db->conn) : "no answer in time";
	size_t length = strcspn(text, "\n");

	error_set(err, ERR_DB_UNAVAILABLE, "%s: %.*s", doing, (int)length, text);
	disconnect(db);
	db->next_try = clock_seconds() + RETRY_SECONDS;
	return -1;
}

/* 0, or -1 when nothing happened until the deadline. */
static int wait_socket(PGconn *conn, PostgresPollingStatusType want, double deadline)
{
	struct pollfd fd = { .fd = PQsocket(conn),
		.events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT };
	int ready;

	do {
		double left = deadline - clock_seconds();

		ready = left > 0 ? poll(&fd, 1, (int)(left * 1000) + 1) : 0;
	} while (ready < 0 && errno == EINTR);
	return ready > 0 ? 0 : -1;
}

/* PQconnectdb bounds each host's connect_timeout but rounds it up to two seconds for
 * every address and ignores it while the server is silent after accepting; this bounds
 * the whole. */
static int connect_bounded(struct db *db, struct error *err)
{
	const char *const keys[] = { "dbname", "fallback_application_name", NULL };
	const char *const values[] = { db->conninfo, db->application, NULL };
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;
	double deadline = clock_seconds() + CONNECT_SECONDS;

	db->conn = PQconnectStartParams(keys, values, 1);
	if (!db->conn)
		return error_no_memory(err);
	if (PQstatus(db->conn) == CONNECTION_BAD)
		return set_unavailable(db, "cannot connect to the database", err);
	PQsetNoticeReceiver(db->conn, on_notice, db);
	while (state != PGRES_POLLING_OK) {
		if (wait_socket(db->conn, state, deadline) < 0) {
			disconnect(db);
			db->next_try = clock_seconds() + RETRY_SECONDS;
			return error_set(err, ERR_DB_UNAVAILABLE,
				"cannot connect to the database: no answer in %.0f s",
				CONNECT_SECONDS);
		}
		state = PQconnectPoll(db->conn);
		if (state == PGRES_POLLING_FAILED)
			return set_unavailable(
				db, "cannot connect to the database", err);
	}
	return 0;
}

int db_wait(struct db *db, const volatile bool *stop, struct error *err)
{
	const struct timespec nap = { .tv_nsec = 100000000 };
	double next_line = 0;

	while (db_connect(db, err) < 0) {
		if (err->code != ERR_DB_UNAVAILABLE || (stop && *stop))
			return -1;
		if (clock_seconds() >= next_line) {
			if (strcmp(err->text, "the database is away") != 0) {
				log_warning("waiting for the database: %s", err->text);
				next_line = clock_seconds() + 60;
			}
		}
		nanosleep(&nap, NULL);
	}
	return 0;
}

static enum error_code code_of(const char *state)
{
	if (!state)
		return ERR_DATABASE;
	/* deadlock, lock not available, serialization failure */
	if (strcmp(state, "40P01") == 0 || strcmp(state, "55P03") == 0 ||
		strcmp(state, "40001") == 0)
		return ERR_DB_RETRY;
	/* shutdown, crash, cannot connect now, read-only after a failover, time-out; short
	 * of disk, memory or connections (53), its own disk fails (58): it may come back */
	if (strncmp(state, "57P", 3) == 0 || strncmp(state, "53", 2) == 0 ||
		strncmp(state, "58", 2) == 0 || strncmp(state, "08", 2) == 0 ||
		strcmp(state, "25006") == 0 || strcmp(state, "57014") == 0)
		return ERR_DB_UNAVAILABLE;
	return ERR_DATABASE;
}

static int set_failed(
	struct db *db, const PGresult *result, const char *sql, struct error *err)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	enum error_code code = code_of(state);

	if (PQstatus(db->conn) != CONNECTION_OK)
		return set_unavailable(db, "lost the connection to the database", err);
	error_set(err, code, "the database refused a statement: %s [%s] in '%.60s'",
		primary ? primary : PQresultErrorMessage(result), state ? state : "?",
		sql);
	if (code == ERR_DB_UNAVAILABLE && !db->in_transaction)
		disconnect(db);
	return -1;
}

/* The answer to what was sent. statement_timeout and keepalives do not end the wait for a
 * server whose processes are stopped, or for a COMMIT that no standby confirms. NULL when
 * none came; the connection is closed then, for an answer may come yet. */
static PGresult *get_answer(struct db *db, int sent, double seconds)
{
	double deadline = clock_seconds() + seconds;
	AUTO(PQclear) PGresult *answer = NULL;
	PGresult *next;

	while (sent) {
		while (PQisBusy(db->conn)) {
			if (wait_socket(db->conn, PGRES_POLLING_READING, deadline) <
				0) {
				disconnect(db);
				return NULL;
			}
			if (!PQconsumeInput(db->conn))
				break;
		}
		next = PQgetResult(db->conn);
		if (!next)
			break;
		/* What follows an error is that the connection closed. */
		if (answer && PQresultStatus(answer) == PGRES_FATAL_ERROR) {
			PQclear(next);
			continue;
		}
		PQclear(answer);
		answer = next;
	}
	return steal(answer);
}

static PGresult *send_script(struct db *db, const char *sql, double seconds)
{
	return get_answer(db, PQsendQuery(db->conn, sql), seconds);
}

static int script(struct db *db, const char *sql, double seconds, struct error *err)
{
	AUTO(PQclear) PGresult *result = send_script(db, sql, seconds);

	if (PQresultStatus(result) != PGRES_COMMAND_OK &&
		PQresultStatus(result) != PGRES_TUPLES_OK)
		return set_failed(db, result, sql, err);
	return 0;
}

static int listen_on(struct db *db, const char *channel, struct error *err)
{
	AUTO(free) char *sql = text_format("listen %s", channel);

	if (!sql)
		return error_no_memory(err);
	return script(db, sql, ANSWER_SECONDS, err);
}

/* A commit that is acknowledged must be durable, whatever the server's or the role's
 * default is; a stronger default stays. */
static int set_session(struct db *db, struct error *err)
{
	static const char durable[] =
		"select set_config('synchronous_commit', 'on', false)"
		" where current_setting('synchronous_commit') in ('off', 'local')";
	char patience[64];

	if (script(db, durable, ANSWER_SECONDS, err) < 0)
		return -1;
	if (!db->lock_ms)
		return 0;
	snprintf(patience, sizeof(patience), "set lock_timeout = '%ums'", db->lock_ms);
	return script(db, patience, ANSWER_SECONDS, err);
}

/* Without it a connection is not used. */
static int set_up(struct db *db, struct error *err)
{
	if (set_session(db, err) < 0)
		return -1;
	for (unsigned i = 0; i < MAX_CHANNELS && db->channels[i]; i++)
		if (listen_on(db, db->channels[i], err) < 0)
			return -1;
	return 0;
}

int db_connect(struct db *db, struct error *err)
{
	if (db_is_connected(db))
		return 0;
	if (db->in_transaction)
		return error_set(err, ERR_DB_UNAVAILABLE,
			"the connection to the database broke in a transaction");
	disconnect(db);
	if (clock_seconds() < db->next_try)
		return error_set(err, ERR_DB_UNAVAILABLE, "the database is away");
	if (connect_bounded(db, err) < 0)
		return -1;
	if (set_up(db, err) < 0) {
		disconnect(db);
		db->next_try = clock_seconds() + RETRY_SECONDS;
		return -1;
	}
	db->generation++;
	db->next_try = 0;
	if (db->on_connect)
		db->on_connect(db->on_connect_arg);
	return 0;
}

static int ensure_prepared(
	struct db *db, const char *sql, int count, char name[24], struct error *err)
{
	unsigned i;

	for (i = 0; i < db->prepared_count; i++)
		if (db->prepared[i] == sql)
			break;
	if (i == MAX_PREPARED)
		return 0;
	snprintf(name, 24, "s%u", i);
	if (i < db->prepared_count)
		return 1;
	AUTO(PQclear)
	PGresult *result = get_answer(
		db, PQsendPrepare(db->conn, name, sql, count, NULL), ANSWER_SECONDS);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		return set_failed(db, result, sql, err);
	db->prepared[db->prepared_count++] = sql;
	return 1;
}

static int execute(struct db *db, const char *sql, PGresult **rows, struct error *err,
	const char *const *params, int count)
{
	AUTO(PQclear) PGresult *result = NULL;
	char name[24];
	int prepared;

	if (db_connect(db, err) < 0)
		return -1;
	/* params[0] is a filler that makes an empty list legal. */
	prepared = ensure_prepared(db, sql, count, name, err);
	if (prepared < 0)
		return -1;
	result = get_answer(db,
		prepared ? PQsendQueryPrepared(
				   db->conn, name, count, params + 1, NULL, NULL, 0)
			 : PQsendQueryParams(db->conn, sql, count, NULL, params + 1,
				   NULL, NULL, 0),
		ANSWER_SECONDS);
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		*rows = steal(result);
		return 0;
	default:
		return set_failed(db, result, sql, err);
	}
}

int db_query_params(struct db *db, const char *sql, PGresult **rows, struct error *err,
	const char *const *params, int count)
{
	if (execute(db, sql, rows, err, params, count) < 0)
		return -1;
	return PQntuples(*rows);
}

int db_run_params(struct db *db, const char *sql, struct error *err,
	const char *const *params, int count)
{
	AUTO(PQclear) PGresult *result = NULL;

	if (execute(db, sql, &result, err, params, count) < 0)
		return -1;
	return atoi(PQcmdTuples(result));
}

int db_script(struct db *db, const char *sql, struct error *err)
{
	if (db_connect(db, err) < 0)
		return -1;
	return script(db, sql, SCRIPT_SECONDS, err);
}

static int begin(struct db *db, bool synchronous, struct error *err)
{
	assert(!db->in_transaction);
	if (db_connect(db, err) < 0 ||
		script(db,
			synchronous ? "begin"
				    : "begin; set local synchronous_commit = off",
			ANSWER_SECONDS, err) < 0)
		return -1;
	db->in_transaction = true;
	return 0;
}

static void roll_back(struct db *db)
{
	struct error ignored;

	db->in_transaction = false;
	if (db_is_connected(db))
		script(db, "rollback", ANSWER_SECONDS, &ignored);
	else
		disconnect(db);
	if (db->conn && PQtransactionStatus(db->conn) != PQTRANS_IDLE)
		disconnect(db);
}

static int commit(struct db *db, struct error *err)
{
	AUTO(PQclear) PGresult *result = NULL;
	double started = clock_seconds();
	bool ok;

	db->warned = false;
	if (db->conn)
		result = send_script(db, "commit", ANSWER_SECONDS);
	db->commits++;
	db->commit_seconds += clock_seconds() - started;
	db->in_transaction = false;
	ok = PQresultStatus(result) == PGRES_COMMAND_OK;
	if (ok && !db->warned && strcmp(PQcmdStatus(result), "COMMIT") == 0)
		return 0;
	if (ok && !db->warned)
		return error_set(err, ERR_DATABASE, "the database rolled back");
	/* A deferred constraint, for one, is surely not committed. A server that shuts
	 * down says so before the connection is seen to break: that is unknown. */
	if (!ok && PQstatus(db->conn) == CONNECTION_OK &&
		code_of(PQresultErrorField(result, PG_DIAG_SQLSTATE)) !=
			ERR_DB_UNAVAILABLE)
		return set_failed(db, result, "commit", err);
	disconnect(db);
	return error_set(err, ERR_DB_UNKNOWN, "the outcome of a commit is unknown: %s",
		ok ? "it may not be replicated" : "no answer came");
}

static int transact(struct db *db, bool synchronous,
	int (*body)(struct db *db, void *arg, struct error *err), void *arg,
	struct error *err)
{
	int result = -1;

	for (unsigned i = 0; i < db->tries; i++) {
		if (begin(db, synchronous, err) < 0)
			return -1;
		result = body(db, arg, err);
		if (result >= 0) {
			if (commit(db, err) == 0)
				return result;
			result = -1;
		} else {
			roll_back(db);
		}
		if (err->code != ERR_DB_RETRY)
			break;
		const struct timespec nap = { .tv_nsec = 20000000 << i };
		nanosleep(&nap, NULL);
	}
	return result;
}

int db_transact(struct db *db, int (*body)(struct db *db, void *arg, struct error *err),
	void *arg, struct error *err)
{
	return transact(db, true, body, arg, err);
}

int db_transact_async(struct db *db,
	int (*body)(struct db *db, void *arg, struct error *err), void *arg,
	struct error *err)
{
	return transact(db, false, body, arg, err);
}

int db_listen(struct db *db, const char *channel, struct error *err)
{
	unsigned i = 0;

	while (i < MAX_CHANNELS && db->channels[i]) {
		if (strcmp(db->channels[i], channel) == 0)
			return 0;
		i++;
	}
	assert(i < MAX_CHANNELS);
	db->channels[i] = strdup(channel);
	if (!db->channels[i])
		return error_no_memory(err);
	/* db_connect listens on all channels when it has to connect. */
	if (!db_is_connected(db))
		return db_connect(db, err);
	return listen_on(db, channel, err);
}

bool db_notification(struct db *db, char *channel, size_t channel_size, char *payload,
	size_t payload_size)
{
	PGnotify *notify;

	if (!db_is_connected(db))
		return false;
	if (!PQconsumeInput(db->conn)) {
		disconnect(db);
		return false;
	}
	notify = PQnotifies(db->conn);
	if (!notify)
		return false;
	snprintf(channel, channel_size, "%s", notify->relname);
	snprintf(payload, payload_size, "%s", notify->extra ? notify->extra : "");
	PQfreemem(notify);
	return true;
}

static int column_of(const PGresult *rows, const char *column)
{
	int number = PQfnumber(rows, column);

	if (number < 0) {
		log_error("a statement has no column '%s'", column);
		abort();
	}
	return number;
}

const char *row_text(const PGresult *rows, int row, const char *column)
{
	int number = column_of(rows, column);

	return PQgetisnull(rows, row, number) ? NULL : PQgetvalue(rows, row, number);
}

const char *row_text_or(
	const PGresult *rows, int row, const char *column, const char *fallback)
{
	const char *text = row_text(rows, row, column);

	return text ? text : fallback;
}

int64_t row_int(const PGresult *rows, int row, const char *column)
{
	const char *text = row_text(rows, row, column);

	return text ? strtoll(text, NULL, 10) : 0;
}

bool row_bool(const PGresult *rows, int row, const char *column)
{
	const char *text = row_text(rows, row, column);

	return text && text[0] == 't';
}

double row_double(const PGresult *rows, int row, const char *column)
{
	const char *text = row_text(rows, row, column);

	return text ? strtod(text, NULL) : 0;
}

bool row_null(const PGresult *rows, int row, const char *column)
{
	return PQgetisnull(rows, row, column_of(rows, column));
}
