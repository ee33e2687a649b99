/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/looks.h"

#include <stdlib.h>

#include "common/address.h"
#include "common/store/operations.h"

struct ask {
	const struct volume *volume;
	struct address address;
	struct error why; /* of the last look */
};

/* Made by us, or looked at. A row of drover.object alone may be what was found by name, and
 * found wanting. */
static int is_known(struct db *db, const struct ask *ask, struct error *err)
{
	static const char sql[] =
		"select 1 where exists (select 1 from drover.operation"
		"  where volume_id = $2 and kind = 'create_volume')"
		" or exists (select 1 from drover.migration where temporary_id = $2)"
		" or exists (select 1 from drover.look where found and host = $1"
		"  and volume_id = $3 and name_id = $2)";
	AUTO(PQclear) PGresult *rows = NULL;

	return db_query(db, sql, &rows, err, ask->address.backend, ask->volume->name_id,
		ask->volume->id);
}

/* 1 and ask->why: it failed; that is told once. */
static int take_failure(struct db *db, struct ask *ask, struct error *err)
{
	static const char sql[] = "delete from drover.look where volume_id = $1"
				  " and error is not null returning error_code, error";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, ask->volume->id);

	if (count > 0)
		error_set(&ask->why,
			error_code_from_name(row_text(rows, 0, "error_code")), "%s",
			row_text(rows, 0, "error"));
	return count;
}

static int ask_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"insert into drover.look (volume_id, host, name_id)"
		" values ($1, $2, $3) on conflict (volume_id) do update"
		" set host = $2, name_id = $3, found = false"
		" where look.host <> $2 or look.name_id <> $3";
	struct ask *ask = arg;
	int known = is_known(db, ask, err), failed;

	error_clear(&ask->why);
	if (known != 0)
		return known;
	failed = take_failure(db, ask, err);
	if (failed != 0)
		return failed < 0 ? -1 : 0;
	if (db_run(db, sql, err, ask->volume->id, ask->address.backend,
		    ask->volume->name_id) < 0)
		return -1;
	return store_notify(db, WORK_CHANNEL, ask->address.backend, err);
}

int store_look_ask(struct db *db, const struct volume *volume, struct error *err)
{
	struct ask ask = { .volume = volume };
	int known;

	if (address_parse(volume->host, &ask.address, err) < 0)
		return error_context(err, "connect volume '%s'", volume->id);
	known = db_transact(db, ask_body, &ask, err);
	if (known != 0 || ask.why.code == ERR_NONE)
		return known;
	*err = ask.why;
	return -1;
}

int store_look_due(
	struct db *db, const char *backend, struct look **list, struct error *err)
{
	static const char sql[] =
		"select volume_id from drover.look where host = $1"
		" and error is null and not found order by asked_at limit 1000";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, backend);

	if (count < 0)
		return error_context(err, "see what is to be looked at");
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++)
		text_copy((*list)[i].volume_id, sizeof((*list)[i].volume_id),
			row_text(rows, i, "volume_id"));
	return count;
}

int store_look_done(struct db *db, const char *volume_id, const struct error *why,
	struct error *err)
{
	static const char found[] =
		"update drover.look set found = true where volume_id = $1";
	static const char failed[] =
		"update drover.look set error_code = $2, error = $3"
		" where volume_id = $1";
	int done = why ? db_run(db, failed, err, volume_id, error_code_name(why->code),
				 why->text)
		       : db_run(db, found, err, volume_id);

	return done < 0 ? -1 : 0;
}
