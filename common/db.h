/* SPDX-License-Identifier: Apache-2.0 */
/* db.h - one PostgreSQL connection, with bounded waits.
 *
 * The only file besides store/ that sees libpq. Blocking, one thread at a time; every
 * wait is bounded by the connection string's time-outs (url.h). A lost connection is
 * opened again by the next statement outside a transaction, at most once a second;
 * meanwhile statements fail at once with ERR_DB_UNAVAILABLE.
 */
#ifndef COMMON_DB_H
#define COMMON_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "common/auto.h"
#include "common/error.h"

DEFINE_AUTO(PGresult *, PQclear)

struct db;

/* Remember the connection string; does not connect. */
int db_new(const char *conninfo, const char *application, struct db **out,
	struct error *err);
void db_free(struct db *db);
/* For a loop, which others wait for: locked rows are waited for lock_ms instead of the
 * connection string's lock_timeout, and a transaction is tried once. Before connecting. */
void db_set_impatient(struct db *db, unsigned lock_ms);
DEFINE_AUTO(struct db *, db_free)

/* Connect now if there is no connection. Calls on_connect (if set) after each new
 * connection: LISTEN again, rescan. */
int db_connect(struct db *db, struct error *err);
/* Try every second until it works or *stop becomes true; logs the first failure and then
 * one line a minute. For workers, which have nothing else to do. */
int db_wait(struct db *db, const volatile bool *stop, struct error *err);
void db_on_connect(struct db *db, void (*on_connect)(void *arg), void *arg);
bool db_is_connected(const struct db *db);
/* Counts connections made; a change means that LISTEN and session state were lost. */
unsigned db_generation(const struct db *db);
/* Descriptor of the connection for a loop's watcher, -1 when there is none. */
int db_fd(const struct db *db);

/* One statement. Parameters are text, const char * each, NULL for null, as many as follow
 * err: db_query(db, sql, &rows, err, id, NUM(5)). *rows is the caller's to PQclear.
 * Returns the number of rows. Statements are prepared once for each connection. */
#define db_query(db, sql, rows, err, ...) \
	db_query_params(db, sql, rows, err, \
		(const char *const[]) { NULL, ##__VA_ARGS__ }, \
		(int)(sizeof((const char *const[]) { NULL, ##__VA_ARGS__ }) / \
			sizeof(const char *)) - \
			1)
/* The same without rows: the number of rows changed. */
#define db_run(db, sql, err, ...) \
	db_run_params(db, sql, err, (const char *const[]) { NULL, ##__VA_ARGS__ }, \
		(int)(sizeof((const char *const[]) { NULL, ##__VA_ARGS__ }) / \
			sizeof(const char *)) - \
			1)
int db_query_params(struct db *db, const char *sql, PGresult **rows, struct error *err,
	const char *const *params, int count);
int db_run_params(struct db *db, const char *sql, struct error *err,
	const char *const *params, int count);
/* Several statements without parameters or results, not prepared (schema files). */
int db_script(struct db *db, const char *sql, struct error *err);

/* Run body in a transaction and commit. Deadlocks, lock time-outs and serialization
 * failures run body again, at most five times. A COMMIT whose outcome is unknown (the
 * connection broke, or it warned that it may not be replicated) gives ERR_DB_UNKNOWN:
 * then read the rows on the fresh connection and decide. body must use this db, must not
 * commit, and must be able to run again; what it put into outputs is overwritten then.
 * body returning -1 rolls back. Transactions do not nest. */
int db_transact(struct db *db, int (*body)(struct db *db, void *arg, struct error *err),
	void *arg, struct error *err);
/* The same with synchronous_commit off: heartbeats and progress. */
int db_transact_async(struct db *db,
	int (*body)(struct db *db, void *arg, struct error *err), void *arg,
	struct error *err);
bool db_in_transaction(const struct db *db);

/* Commits made and seconds spent in them, for the benchmark. */
void db_commit_stats(const struct db *db, uint64_t *count, double *seconds);

/* LISTEN on a channel of ours (a constant name), now and after each reconnect. */
int db_listen(struct db *db, const char *channel, struct error *err);
/* Read what has arrived; true for each notification, its payload copied (cut to size). */
bool db_notification(struct db *db, char *channel, size_t channel_size, char *payload,
	size_t payload_size);

/* Columns of a row, by name; a name that the statement does not have is our mistake and
 * aborts. NULL for SQL null. Borrowed until PQclear. */
const char *row_text(const PGresult *rows, int row, const char *column);
const char *row_text_or(
	const PGresult *rows, int row, const char *column, const char *fallback);
int64_t row_int(const PGresult *rows, int row, const char *column); /* null: 0 */
bool row_bool(const PGresult *rows, int row, const char *column); /* null: false */
double row_double(const PGresult *rows, int row, const char *column);
bool row_null(const PGresult *rows, int row, const char *column);

#endif
