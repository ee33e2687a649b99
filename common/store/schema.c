/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/schema.h"

#include <stdio.h>
#include <string.h>

#include "common/db.h"
#include "common/text.h"

/* The migrations of Cinder 21, the release whose tables 0001-cinder.sql makes. */
#define CINDER_HEAD "c92a3e68beed"
#define CINDER_BEFORE "921e1a36b076"

#define NUMBER_EMPTY 0
#define NUMBER_CINDER 1
#define NUMBER_DROVER 2 /* the file that makes the schema "drover" */

static unsigned newest(void)
{
	return schema_files[schema_file_count - 1].number;
}

struct found {
	bool tables; /* in schema public, extensions' own not counted */
	bool cinder_version; /* public.alembic_version */
	bool drover; /* the schema */
	bool drover_version; /* drover.schema_version */
};

static int look(struct db *db, struct found *found, struct error *err)
{
	/* The catalogue itself: information_schema hides what others own. */
	static const char sql[] =
		"select exists (select from pg_catalog.pg_class c"
		"    where c.relnamespace = to_regnamespace('public')"
		"      and c.relkind in ('r', 'p', 'v', 'm', 'f')"
		"      and not exists (select from pg_catalog.pg_depend d"
		"          where d.classid = 'pg_catalog.pg_class'::regclass"
		"            and d.objid = c.oid and d.deptype = 'e')) as tables,"
		" exists (select from pg_catalog.pg_attribute"
		"    where attrelid = to_regclass('public.alembic_version')"
		"      and attname = 'version_num') as cinder_version,"
		" to_regnamespace('drover') is not null as drover,"
		" to_regclass('drover.schema_version') is not null as drover_version";
	AUTO(PQclear) PGresult *rows = NULL;

	if (db_query(db, sql, &rows, err) < 0)
		return -1;
	found->tables = row_bool(rows, 0, "tables");
	found->cinder_version = row_bool(rows, 0, "cinder_version");
	found->drover = row_bool(rows, 0, "drover");
	found->drover_version = row_bool(rows, 0, "drover_version");
	return 0;
}

/* A newer Cinder is told apart first, because it may have dropped columns. */
static int refuse_newer_cinder(struct db *db, bool *finished, struct error *err)
{
	static const char sql[] =
		"select version_num from public.alembic_version"
		" order by version_num = $1, version_num = $2 limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	const char *version = CINDER_BEFORE;
	int count = db_query(db, sql, &rows, err, CINDER_HEAD, CINDER_BEFORE);

	if (count < 0)
		return -1;
	if (count > 0)
		version = row_text(rows, 0, "version_num");
	*finished = strcmp(version, CINDER_HEAD) == 0;
	if (*finished || strcmp(version, CINDER_BEFORE) == 0)
		return 0;
	return error_set(err, ERR_DATABASE,
		"the database is of a newer Cinder, at migration '%s', and this Drover"
		" knows '%s': install a newer Drover",
		version, CINDER_HEAD);
}

static int refuse_missing(struct db *db, struct error *err)
{
	static const char sql[] =
		"select want, split_part(want, '.', 1) as of_table,"
		" exists (select from pg_catalog.pg_class"
		"    where relnamespace = to_regnamespace('public')"
		"      and relname = split_part(want, '.', 1)) as has_table"
		" from unnest(string_to_array(rtrim($1, e'\\n'), e'\\n'))"
		"    with ordinality as columns (want, place)"
		" where not exists (select from pg_catalog.pg_attribute a"
		"        join pg_catalog.pg_class c on c.oid = a.attrelid"
		"    where c.relnamespace = to_regnamespace('public')"
		"      and c.relname = split_part(want, '.', 1)"
		"      and a.attname = split_part(want, '.', 2)"
		"      and a.attnum > 0 and not a.attisdropped)"
		" order by place limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, schema_cinder_columns);
	bool has_table;

	if (count <= 0)
		return count;
	has_table = row_bool(rows, 0, "has_table");
	return error_set(err, ERR_DATABASE,
		"%s %s is missing: finish 'cinder-manage db sync' first, or use an "
		"empty"
		" database",
		has_table ? "column" : "table",
		row_text(rows, 0, has_table ? "want" : "of_table"));
}

static int check_cinder(struct db *db, const struct found *found, struct error *err)
{
	bool finished = false;

	if (found->cinder_version && refuse_newer_cinder(db, &finished, err) < 0)
		return -1;
	if (refuse_missing(db, err) < 0)
		return -1;
	if (!finished)
		return error_set(err, ERR_DATABASE,
			"Cinder's migration '%s' is not applied: finish"
			" 'cinder-manage db sync' first",
			CINDER_HEAD);
	return 0;
}

static int drover_number(
	struct db *db, const struct found *found, unsigned *number, struct error *err)
{
	static const char sql[] =
		"select coalesce(max(number), 0) as number from drover.schema_version";
	AUTO(PQclear) PGresult *rows = NULL;
	int64_t last = 0;

	if (found->drover_version) {
		if (db_query(db, sql, &rows, err) < 0)
			return -1;
		last = row_int(rows, 0, "number");
	}
	if (last > newest())
		return error_set(err, ERR_DATABASE,
			"the schema 'drover' is of a newer Drover, at number %lld, and"
			" this one knows %u: install a newer Drover",
			(long long)last, newest());
	if (last < NUMBER_DROVER)
		return error_set(err, ERR_DATABASE,
			"the schema 'drover' was not made by 'drover db sync':"
			" drop or rename it first");
	*number = (unsigned)last;
	return 0;
}

/* The number of the last file whose tables are there. */
static int find_number(struct db *db, unsigned *number, struct error *err)
{
	struct found found;

	if (look(db, &found, err) < 0)
		return -1;
	if (!found.tables && !found.drover) {
		*number = NUMBER_EMPTY;
		return 0;
	}
	if (check_cinder(db, &found, err) < 0)
		return -1;
	if (found.drover)
		return drover_number(db, &found, number, err);
	*number = NUMBER_CINDER;
	return 0;
}

int schema_inspect(struct db *db, enum schema_state *out, struct error *err)
{
	unsigned number;

	if (find_number(db, &number, err) < 0)
		return -1;
	if (number == NUMBER_EMPTY)
		*out = SCHEMA_EMPTY;
	else if (number == NUMBER_CINDER)
		*out = SCHEMA_CINDER;
	else
		*out = number < newest() ? SCHEMA_OLDER : SCHEMA_DROVER;
	return 0;
}

int schema_check(struct db *db, struct error *err)
{
	enum schema_state state;

	if (schema_inspect(db, &state, err) < 0)
		return -1;
	switch (state) {
	case SCHEMA_EMPTY:
		return error_set(err, ERR_DATABASE,
			"the database is empty: run 'drover db sync'");
	case SCHEMA_CINDER:
		return error_set(err, ERR_DATABASE,
			"the database does not have Drover's tables yet: run"
			" 'drover db sync'");
	case SCHEMA_OLDER:
		return error_set(err, ERR_DATABASE,
			"Drover's tables are of an earlier version: run"
			" 'drover db sync'");
	case SCHEMA_DROVER:
		break;
	}
	return 0;
}

/* Two at once: the second waits here and then sees what the first has made. */
static int lock(struct db *db, struct error *err)
{
	return db_script(db,
		"set local statement_timeout = '60s';"
		" set local lock_timeout = '30s';"
		" select pg_advisory_xact_lock(hashtextextended('drover db sync', 0))",
		err);
}

static int apply(struct db *db, unsigned after, struct error *err)
{
	static const char record[] =
		"insert into drover.schema_version (number, name) values ($1, $2)";
	const struct schema_file *end = schema_files + schema_file_count;

	for (const struct schema_file *file = schema_files; file < end; file++) {
		if (file->number > after && db_script(db, file->sql, err) < 0)
			return error_context(err, "apply schema file '%s'", file->name);
	}
	/* Only now, for the first file is older than the table. */
	for (const struct schema_file *file = schema_files; file < end; file++) {
		if (file->number > after &&
			db_run(db, record, err, NUM(file->number), file->name) < 0)
			return -1;
	}
	return 0;
}

static int sync_body(struct db *db, void *arg, struct error *err)
{
	unsigned *number = arg;

	if (lock(db, err) < 0 || find_number(db, number, err) < 0)
		return -1;
	return apply(db, *number, err);
}

/* "volumes.id" and "volumes.host" are one table. */
static unsigned count_cinder_tables(void)
{
	const char *table = "";
	size_t length = 0;
	unsigned count = 0;

	for (const char *line = schema_cinder_columns; *line;
		line = strchr(line, '\n') + 1) {
		if (length && strncmp(line, table, length) == 0)
			continue;
		table = line;
		length = strcspn(line, ".") + 1;
		count++;
	}
	return count;
}

static void say_made(
	unsigned after, void (*say)(const char *line, void *arg), void *arg)
{
	char line[128];

	if (after == newest()) {
		say("nothing to do: the schema is current", arg);
		return;
	}
	if (after <= NUMBER_CINDER) {
		snprintf(line, sizeof(line),
			after == NUMBER_EMPTY
				? "made %u tables of the Block Storage schema"
				: "left Cinder's %u tables as they are",
			count_cinder_tables());
		say(line, arg);
	}
	for (unsigned i = 0; i < schema_file_count; i++) {
		if (schema_files[i].number <= after ||
			schema_files[i].number < NUMBER_DROVER)
			continue;
		snprintf(line, sizeof(line), "applied %s", schema_files[i].name);
		say(line, arg);
	}
}

int schema_sync(struct db *db, void (*say)(const char *line, void *arg), void *arg,
	struct error *err)
{
	unsigned number = NUMBER_EMPTY;

	if (db_transact(db, sync_body, &number, err) < 0)
		return -1;
	if (say)
		say_made(number, say, arg);
	return 0;
}
