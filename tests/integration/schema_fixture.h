/* SPDX-License-Identifier: Apache-2.0 */
/* schema_fixture.h - a database of its own for a test program of the schema, and checks
 * of what schema_sync says and refuses. */
#ifndef TESTS_INTEGRATION_SCHEMA_FIXTURE_H
#define TESTS_INTEGRATION_SCHEMA_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/db.h"
#include "common/store/schema.h"
#include "common/text.h"
#include "common/url.h"

struct fixture {
	struct db *admin, *db;
	char *name;
	char said[1024]; /* the lines, each with a newline */
};

static inline void run_script(struct db *db, const char *sql)
{
	struct error err;

	if (db_script(db, sql, &err) < 0)
		fail_msg("%s", err.text);
}

__attribute__((format(printf, 2, 3))) static inline void run_format(
	struct db *db, const char *format, ...)
{
	char sql[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	run_script(db, sql);
}

static inline struct db *open_db(const char *url)
{
	AUTO(free) char *conninfo = NULL;
	struct db *db = NULL;
	struct error err;

	if (url_to_conninfo(url, &conninfo, &err) < 0 ||
		db_new(conninfo, "test", &db, &err) < 0 || db_connect(db, &err) < 0)
		fail_msg("%s", err.text);
	return db;
}

/* The URL of another database of the same server. */
static inline char *url_with_database(const char *url, const char *name)
{
	const char *server = strstr(url, "://");
	size_t length;

	assert_non_null(server);
	length = (size_t)(server + 3 - url);
	length += strcspn(url + length, "/?");
	return text_format("%.*s/%s%s", (int)length, url, name, strchr(url, '?') ?: "");
}

static inline int make_database(void **state)
{
	const char *url = getenv("DROVER_TEST_DATABASE");
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->admin = open_db(url);
	f->name = text_format("schema_%d", getpid());
	run_format(f->admin, "create database %s template template0", f->name);
	AUTO(free) char *own = url_with_database(url, f->name);
	f->db = open_db(own);
	*state = f;
	return 0;
}

static inline int drop_database(void **state)
{
	struct fixture *f = *state;

	if (!f)
		return 0; /* it could not be made */
	db_free(f->db);
	run_format(f->admin, "drop database %s", f->name);
	db_free(f->admin);
	free(f->name);
	free(f);
	return 0;
}

static inline int empty_database(void **state)
{
	struct fixture *f = *state;

	run_script(f->db,
		"drop schema if exists drover cascade; drop schema public cascade;"
		" create schema public");
	return 0;
}

static inline void keep_line(const char *line, void *arg)
{
	struct fixture *f = arg;
	size_t used = strlen(f->said);

	snprintf(f->said + used, sizeof(f->said) - used, "%s\n", line);
}

static inline const char *sync_says(struct fixture *f)
{
	struct error err;

	f->said[0] = '\0';
	if (schema_sync(f->db, keep_line, f, &err) < 0)
		fail_msg("%s", err.text);
	return f->said;
}

/* The text begins so. */
static inline void assert_begins(const char *text, const char *beginning)
{
	if (strncmp(text, beginning, strlen(beginning)) != 0)
		fail_msg("'%s' does not begin with '%s'", text, beginning);
}

static inline void assert_sync_refused(struct fixture *f, const char *beginning)
{
	struct error err;

	f->said[0] = '\0';
	assert_int_equal(schema_sync(f->db, keep_line, f, &err), -1);
	assert_int_equal(err.code, ERR_DATABASE);
	assert_begins(err.text, beginning);
	assert_string_equal(f->said, "");
}

static inline void assert_check_refused(struct fixture *f, const char *beginning)
{
	struct error err;

	assert_int_equal(schema_check(f->db, &err), -1);
	assert_begins(err.text, beginning);
}

static inline void assert_state(struct fixture *f, enum schema_state want)
{
	enum schema_state state;
	struct error err;

	if (schema_inspect(f->db, &state, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(state, want);
}

/* One value, copied; NULL becomes "". */
static inline char *query_text(struct db *db, const char *sql)
{
	AUTO(PQclear) PGresult *rows = NULL;
	struct error err;

	if (db_query(db, sql, &rows, &err) != 1)
		fail_msg("no single row from '%s'", sql);
	return strdup(PQgetvalue(rows, 0, 0));
}

static inline void assert_query(struct db *db, const char *sql, const char *want)
{
	AUTO(free) char *got = query_text(db, sql);

	assert_string_equal(got, want);
}

#endif
