/* SPDX-License-Identifier: Apache-2.0 */
/* schema.h - makes the tables, and tells whether they are there.
 *
 * The files of schema/ are part of the program. Number 1 is Cinder's tables; the rest
 * is the PostgreSQL schema "drover", which exists only together with a complete Cinder
 * database. drover.schema_version says which files were applied.
 */
#ifndef COMMON_STORE_SCHEMA_H
#define COMMON_STORE_SCHEMA_H

#include "common/error.h"

struct db;

enum schema_state {
	SCHEMA_EMPTY, /* no tables at all */
	SCHEMA_CINDER, /* a complete Cinder database, nothing of ours */
	SCHEMA_OLDER, /* complete, with a schema "drover" of an earlier version */
	SCHEMA_DROVER /* complete and current */
};

/* What the database is. Any other state fails with ERR_DATABASE and a sentence that
 * names what is missing or newer, and what to do. */
int schema_inspect(struct db *db, enum schema_state *out, struct error *err);

/* Bring the database to SCHEMA_DROVER in one transaction; a refused or failed sync
 * changes nothing. Several at once are safe: one works, the others find nothing to do.
 * After the commit say (may be NULL) is called with each line for the operator, also
 * when there was nothing to do. ERR_DB_UNKNOWN: run it again. */
int schema_sync(struct db *db, void (*say)(const char *line, void *arg), void *arg,
	struct error *err);

/* For a daemon that starts: fails with a sentence unless SCHEMA_DROVER. */
int schema_check(struct db *db, struct error *err);

/* The embedded files, by rising number. */
struct schema_file {
	unsigned number;
	const char *name; /* "0001-cinder" */
	const char *sql;
};
extern const struct schema_file schema_files[];
extern const unsigned schema_file_count;

/* What a complete Cinder database has: "table.column", each followed by a newline, the
 * columns of a table in one run; made from 0001-cinder.sql. */
extern const char schema_cinder_columns[];

#endif
