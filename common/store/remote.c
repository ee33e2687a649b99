/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int store_remote_alive(
	struct db *db, const char *address, bool *released, struct error *err)
{
	static const char sql[] =
		"select expires_at > now() as alive, pid = 0 as released"
		" from drover.manager where host = split_part($1, '#', 1)";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, address);

	*released = count > 0 && row_bool(rows, 0, "released");
	return count > 0 ? row_bool(rows, 0, "alive") : count;
}

int store_remote_is(struct db *db, const struct migration *m, struct error *err)
{
	/* Also when one is silent just now: whose it is does not change by that. */
	static const char sql[] =
		"select s.owner <> t.owner as remote from drover.manager s,"
		" drover.manager t where s.host = split_part($1, '#', 1)"
		" and t.host = split_part($2, '#', 1)";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, m->source, m->target);

	if (count < 0)
		return -1;
	if (count == 0)
		return error_set(err, ERR_INVALID_HOST,
			"'%s' or '%s' has never had a manager of Drover", m->source,
			m->target);
	return row_bool(rows, 0, "remote");
}

/* ---- T ---- */

static int create_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"insert into drover.operation (id, kind, volume_id, host, request_id,"
		" saved_status) values ($1, 'create_volume', $2, split_part($3, '#', 1),"
		" 'migration-' || $4, 'available')"
		" on conflict (volume_id, kind, request_id) do nothing";
	struct migration *m = arg;
	char id[UUID_TEXT_SIZE], backend[ADDRESS_SIZE];

	if (store_operation_lock(db, &m->op, err) < 0)
		return -1;
	uuid_make(id);
	if (db_run(db, sql, err, id, m->temporary_id, m->target, m->op.id) < 0)
		return -1;
	snprintf(backend, sizeof(backend), "%.*s", (int)strcspn(m->target, "#"),
		m->target);
	return store_notify(db, WORK_CHANNEL, backend, err);
}

int store_remote_create(struct db *db, struct migration *m, struct error *err)
{
	return db_transact(db, create_body, m, err);
}

int store_remote_created(struct db *db, const struct migration *m, struct error *err)
{
	static const char sql[] =
		"select v.status, c.reason, o.cancel or s.migration_status is distinct from"
		" 'migrating' as cancel from drover.operation o"
		" join public.volumes s on s.id = o.volume_id"
		" left join public.volumes v on v.id = $3 and not v.deleted"
		" left join drover.operation c on c.volume_id = $3"
		"  and c.kind = 'create_volume'"
		" where o.id = $1::uuid and o.epoch = $2::bigint";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(
		db, sql, &rows, err, m->op.id, NUM(m->op.epoch), m->temporary_id);

	if (count < 0)
		return -1;
	if (count == 0)
		return error_set(
			err, ERR_FENCED, "operation '%s' was taken over", m->op.id);
	if (row_bool(rows, 0, "cancel"))
		return error_set(err, ERR_CANCELLED, "the migration was cancelled");
	const char *status = row_text_or(rows, 0, "status", "gone");
	if (strcmp(status, "available") == 0)
		return 1;
	if (strcmp(status, "creating") == 0)
		return 0;
	return error_set(err, ERR_BACKEND, "target: %s",
		row_text_or(rows, 0, "reason", "the temporary volume is gone"));
}

/* ---- the export ---- */

struct wanting {
	const struct migration *m;
	const char *peer, *key;
	struct export *out;
};

static int close_others(struct db *db, const struct migration *m, struct error *err)
{
	static const char close[] =
		"update drover.export set state = 'closing' where volume_id = $1"
		" and kind = 'migration' and closed_at is null"
		" and state in ('wanted', 'open') and ($2::bigint < 0 or epoch is distinct from $2::bigint)"
		" returning host";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, close, &rows, err, m->temporary_id, NUM(m->op.epoch));

	for (int i = 0; i < count; i++)
		if (store_notify(db, WORK_CHANNEL, row_text(rows, i, "host"), err) < 0)
			return -1;
	return count;
}

static int export_body(struct db *db, void *arg, struct error *err)
{
	static const char others[] =
		"select id, state, epoch is not distinct from $2::bigint as ours"
		" from drover.export where volume_id = $1 and closed_at is null";
	static const char insert[] =
		"insert into drover.export (id, volume_id, host, kind, peer, epoch,"
		" operation_id, tls_key) values ($1, $2, split_part($3, '#', 1),"
		" 'migration', $4, $5::bigint, $6::uuid, nullif($7, ''))";
	struct wanting *what = arg;
	const struct migration *m = what->m;
	struct operation op = m->op;
	AUTO(PQclear) PGresult *rows = NULL;
	char id[UUID_TEXT_SIZE], backend[ADDRESS_SIZE];
	int count;

	if (store_operation_lock(db, &op, err) < 0 || close_others(db, m, err) < 0)
		return -1;
	count = db_query(db, others, &rows, err, m->temporary_id, NUM(m->op.epoch));
	if (count < 0)
		return -1;
	if (count == 1 && row_bool(rows, 0, "ours") &&
		strcmp(row_text(rows, 0, "state"), "closing") != 0)
		return store_export_get(db, row_text(rows, 0, "id"), what->out, err);
	if (count > 0)
		return 0;
	uuid_make(id);
	snprintf(backend, sizeof(backend), "%.*s", (int)strcspn(m->target, "#"),
		m->target);
	if (db_run(db, insert, err, id, m->temporary_id, m->target, what->peer,
		    NUM(m->op.epoch), m->op.id, what->key) < 0 ||
		store_notify(db, WORK_CHANNEL, backend, err) < 0)
		return -1;
	return store_export_get(db, id, what->out, err);
}

int store_remote_export(struct db *db, const struct migration *m, const char *peer,
	const char *key, struct export *out, struct error *err)
{
	struct wanting what = { m, peer, key, out };

	return db_transact(db, export_body, &what, err);
}

static int unexport_body(struct db *db, void *arg, struct error *err)
{
	struct migration all = *(const struct migration *)arg;

	all.op.epoch = -1;
	return close_others(db, &all, err) < 0 ? -1 : 0;
}

int store_remote_unexport(struct db *db, const struct migration *m, struct error *err)
{
	return db_transact(db, unexport_body, (void *)(uintptr_t)m, err);
}

/* ---- reading back ---- */

struct asking {
	const struct migration *m;
	int64_t from, to;
	int64_t *id;
};

static int ask_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"insert into drover.read_back (operation_id, epoch, volume_id, host,"
		" from_offset, to_offset) select o.id, o.epoch, $3,"
		" split_part($4, '#', 1), $5::bigint, $6::bigint from drover.operation o"
		" where o.id = $1::uuid and o.epoch = $2::bigint and o.phase = 'copying'"
		" returning id, host";
	static const char old[] =
		"delete from drover.read_back where operation_id = $1::uuid";
	struct asking *what = arg;
	const struct migration *m = what->m;
	AUTO(PQclear) PGresult *rows = NULL;
	int count;

	if (db_run(db, old, err, m->op.id) < 0)
		return -1;
	count = db_query(db, sql, &rows, err, m->op.id, NUM(m->op.epoch),
		m->temporary_id, m->target, NUM(what->from), NUM(what->to));
	if (count < 0)
		return -1;
	if (count == 0)
		return error_set(
			err, ERR_FENCED, "operation '%s' was taken over", m->op.id);
	*what->id = row_int(rows, 0, "id");
	return store_notify(db, WORK_CHANNEL, row_text(rows, 0, "host"), err);
}

int store_read_back_ask(struct db *db, const struct migration *m, int64_t from,
	int64_t to, int64_t *id, struct error *err)
{
	struct asking what = { m, from, to, id };

	return db_transact(db, ask_body, &what, err);
}

int store_read_back_take(struct db *db, int64_t id, char **digests, struct error *err)
{
	/* Read, not taken away: the answer may be lost on the way. Old ones go with the next
	 * question, and when the copy is sealed. */
	static const char sql[] =
		"select answered_at is not null as answered, digests, reason"
		" from drover.read_back where id = $1::bigint";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, NUM(id));

	if (count < 0)
		return -1;
	if (count == 0)
		return error_set(err, ERR_NOT_FOUND,
			"the question to read back is not there any more");
	if (!row_bool(rows, 0, "answered"))
		return 0;
	if (row_null(rows, 0, "digests"))
		return error_set(err, ERR_BACKEND, "target: %s",
			row_text_or(rows, 0, "reason", "it cannot be read back"));
	*digests = strdup(row_text(rows, 0, "digests"));
	return *digests ? 1 : error_no_memory(err);
}

static void read_back_from_row(const PGresult *rows, int row, struct read_back *out)
{
	out->id = row_int(rows, row, "id");
	text_copy(out->operation_id, sizeof(out->operation_id),
		row_text_or(rows, row, "operation_id", ""));
	text_copy(out->volume_id, sizeof(out->volume_id),
		row_text_or(rows, row, "volume_id", ""));
	text_copy(out->host, sizeof(out->host), row_text_or(rows, row, "host", ""));
	out->from = row_int(rows, row, "from_offset");
	out->to = row_int(rows, row, "to_offset");
}

#define COLUMNS "id, operation_id, volume_id, host, from_offset, to_offset"

int store_read_back_due(
	struct db *db, const char *backend, struct read_back **list, struct error *err)
{
	static const char sql[] =
		"select distinct on (operation_id) " COLUMNS " from drover.read_back"
		" where host = $1 and answered_at is null order by operation_id, id";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, backend);

	if (count < 0)
		return error_context(err, "look for questions to '%s'", backend);
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++)
		read_back_from_row(rows, i, &(*list)[i]);
	return count;
}

int store_read_back_next(struct db *db, const char *operation_id, struct read_back *out,
	struct error *err)
{
	static const char sql[] = "select " COLUMNS " from drover.read_back"
				  " where operation_id = $1::uuid"
				  " and answered_at is null order by id limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, operation_id);

	if (count > 0)
		read_back_from_row(rows, 0, out);
	return count;
}

int store_read_back_over(struct db *db, const char *operation_id, struct error *err)
{
	static const char sql[] = "select 1 from drover.operation where id = $1::uuid"
				  " and phase = 'copying' and finished_at is null";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, operation_id);

	return count < 0 ? -1 : count == 0;
}

int store_read_back_answer(struct db *db, int64_t id, const char *digests,
	const char *reason, struct error *err)
{
	static const char sql[] =
		"update drover.read_back set digests = $2, reason = $3,"
		" answered_at = clock_timestamp() where id = $1::bigint"
		" and answered_at is null";

	return db_run(db, sql, err, NUM(id), digests, reason) < 0 ? -1 : 0;
}
