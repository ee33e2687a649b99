/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/operations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/garbage.h"
#include "common/store/messages.h"
#include "common/store/sources.h"

int store_notify(
	struct db *db, const char *channel, const char *payload, struct error *err)
{
	static const char sql[] = "select pg_notify($1, $2)";
	AUTO(PQclear) PGresult *rows = NULL;

	return db_query(db, sql, &rows, err, channel, payload) < 0 ? -1 : 0;
}

#define COLUMNS \
	"id, kind, volume_id, snapshot_id, host, request_id, phase, epoch, attempts, cancel," \
	" saved_status, reason, (select copies from drover.source" \
	"  where operation_id = drover.operation.id) as copies"

static void operation_from_row(const PGresult *rows, int row, struct operation *out)
{
	memset(out, 0, sizeof(*out));
	snprintf(out->id, sizeof(out->id), "%s", row_text_or(rows, row, "id", ""));
	snprintf(
		out->kind, sizeof(out->kind), "%s", row_text_or(rows, row, "kind", ""));
	snprintf(out->volume_id, sizeof(out->volume_id), "%s",
		row_text_or(rows, row, "volume_id", ""));
	snprintf(out->snapshot_id, sizeof(out->snapshot_id), "%s",
		row_text_or(rows, row, "snapshot_id", ""));
	snprintf(
		out->host, sizeof(out->host), "%s", row_text_or(rows, row, "host", ""));
	snprintf(out->request_id, sizeof(out->request_id), "%s",
		row_text_or(rows, row, "request_id", ""));
	snprintf(out->saved_status, sizeof(out->saved_status), "%s",
		row_text_or(rows, row, "saved_status", ""));
	snprintf(out->reason, sizeof(out->reason), "%s",
		row_text_or(rows, row, "reason", ""));
	out->phase = phase_from_name(row_text(rows, row, "phase"));
	out->epoch = row_int(rows, row, "epoch");
	out->attempts = row_int(rows, row, "attempts");
	out->cancel = row_bool(rows, row, "cancel");
	out->fills = !row_null(rows, row, "copies");
	out->copies = row_bool(rows, row, "copies");
}

int store_operation_known(struct db *db, const char *volume_id, const char *kind,
	const char *request_id, struct error *err)
{
	static const char sql[] = "select 1 from drover.operation where volume_id = $1"
				  " and kind = $2 and request_id = $3";
	AUTO(PQclear) PGresult *rows = NULL;

	return db_query(db, sql, &rows, err, volume_id, kind, request_id);
}

struct admit {
	const char *volume_id, *request_id;
	enum admission *out;
};

static int create_admit_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"insert into drover.operation (id, kind, volume_id, host, request_id,"
		" saved_status) values ($1, 'create_volume', $2, $3, $4, 'creating')";
	const struct admit *what = arg;
	struct address address;
	struct volume volume;
	char id[UUID_TEXT_SIZE];
	int found = store_volume_get_locked(db, what->volume_id, &volume, err);

	if (found < 0)
		return -1;
	if (!found)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%.36s' could not be found", what->volume_id);
	int known = store_operation_known(
		db, volume.id, "create_volume", what->request_id, err);
	if (known < 0)
		return -1;
	*what->out = known ? DUPLICATE : ADMITTED;
	if (known)
		return 0;
	if (strcmp(volume.status, "creating") != 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' has status '%s', not creating", volume.id,
			volume.status);
	if (address_parse(volume.host, &address, err) < 0)
		return error_context(err, "create volume '%s'", volume.id);
	if (store_volume_idle(db, &volume, "be created", err) < 0)
		return -1;
	uuid_make(id);
	if (db_run(db, sql, err, id, volume.id, address.backend, what->request_id) <
			0 ||
		store_source_admit_locked(db, id, &volume, err) < 0)
		return -1;
	return store_notify(db, WORK_CHANNEL, address.backend, err);
}

int store_create_admit(struct db *db, const char *volume_id, const char *request_id,
	enum admission *out, struct error *err)
{
	struct admit what = { volume_id, request_id, out };

	return db_transact(db, create_admit_body, &what, err);
}

int store_operation_refused_locked(struct db *db, const struct volume *volume,
	const char *kind, const char *snapshot_id, const char *request_id,
	const struct error *why, struct error *err)
{
	static const char sql[] =
		"insert into drover.operation (id, kind, volume_id, snapshot_id, host,"
		" request_id, phase, error_code, reason, finished_at) values ($1, $2,"
		" $3, $4, $5, $6, 'failed', $7, $8, clock_timestamp())"
		" on conflict (volume_id, kind, request_id) do nothing";
	struct address address;
	char id[UUID_TEXT_SIZE];

	if (address_parse(volume->host, &address, NULL) < 0)
		return 0;
	uuid_make(id);
	return db_run(db, sql, err, id, kind, volume->id, snapshot_id, address.backend,
		       request_id, error_code_name(why->code), why->text) < 0
		? -1
		: 0;
}

struct refuse {
	const char *volume_id, *request_id;
	const struct error *why;
};

static int create_refuse_body(struct db *db, void *arg, struct error *err)
{
	const struct refuse *what = arg;
	struct volume volume;
	int found = store_volume_get_locked(db, what->volume_id, &volume, err);

	if (found <= 0)
		return found;
	if (store_volume_idle(db, &volume, "be created", err) < 0)
		return err->code == ERR_INVALID_VOLUME ? 0 : -1;
	if (strcmp(volume.status, "creating") == 0 &&
		store_operation_refused_locked(db, &volume, "create_volume", NULL,
			what->request_id, what->why, err) < 0)
		return -1;
	return store_volume_create_failed(
		db, volume.id, what->request_id, MESSAGE_CREATE_FAILED, err);
}

int store_create_refuse(struct db *db, const char *volume_id, const char *request_id,
	const struct error *why, struct error *err)
{
	struct refuse what = { volume_id, request_id, why };

	return db_transact(db, create_refuse_body, &what, err) < 0 ? -1 : 0;
}

static const char *busy_with(const char *kind)
{
	return strcmp(kind, "create_snapshot") == 0  ? "a snapshot of it is being made"
		: strcmp(kind, "extend_volume") == 0 ? "it is being extended"
						     : "it is being created";
}

/* The row of the work that is in the way, as a sentence. */
static int is_busy(const struct volume *volume, const PGresult *rows, const char *doing,
	struct error *err)
{
	const char *kind = row_text_or(rows, 0, "kind", "");
	const char *name = volume_called(volume);

	if (row_bool(rows, 0, "temporary"))
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot %s: it is the target of a migration", name,
			doing);
	if (strcmp(kind, "migrate_volume") == 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot %s: it is already migrating to '%s'", name,
			doing, row_text_or(rows, 0, "target", "?"));
	if (row_bool(rows, 0, "elsewhere"))
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot %s: volume '%s' is being made from it",
			name, doing, row_text_or(rows, 0, "volume_id", "?"));
	return error_set(err, ERR_INVALID_VOLUME, "volume '%s' cannot %s: %s", name,
		doing, busy_with(kind));
}

int store_volume_free(struct db *db, const struct volume *volume, enum volume_use use,
	const char *doing, struct error *err)
{
	static const char sql[] =
		"select o.kind, o.volume_id, m.target,"
		" coalesce(m.temporary_id = $1, false) as temporary,"
		" o.volume_id <> $1 as elsewhere"
		" from drover.operation o"
		" left join drover.migration m on m.operation_id = o.id"
		" left join drover.source s on s.operation_id = o.id"
		" where (o.volume_id = $1 or m.temporary_id = $1 or s.volume_id = $1)"
		" and o.finished_at is null and o.phase <> 'settling'"
		" and (s.volume_id is distinct from $1 or case $2"
		"  when 'alone' then true when 'write' then s.copies else false end)"
		" order by temporary, elsewhere limit 1";
	static const char *const uses[] = { "alone", "write", "read" };
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, volume->id, uses[use]);

	return count <= 0 ? count : is_busy(volume, rows, doing, err);
}

int store_volume_idle(struct db *db, const struct volume *volume, const char *doing,
	struct error *err)
{
	return store_volume_free(db, volume, VOLUME_ALONE, doing, err);
}

int store_create_cancel_locked(struct db *db, const char *volume_id, struct error *err)
{
	static const char sql[] =
		"with old as (select id, phase from drover.operation"
		"  where volume_id = $1 and kind = 'create_volume'"
		"  and phase in ('queued', 'working') for update),"
		" ended as (update drover.operation o set phase = 'cancelled',"
		"  epoch = " NEXT_EPOCH ", finished_at = clock_timestamp(),"
		"  updated_at = clock_timestamp(), reason = $2"
		"  from old where o.id = old.id returning o.id, o.epoch, old.phase)"
		" insert into drover.transition (operation_id, epoch, from_phase,"
		"  to_phase, why) select id, epoch, phase, 'cancelled', $2 from ended";

	return db_run(db, sql, err, volume_id, "the volume was deleted");
}

int store_operation_due(struct db *db, const char *backend, int limit,
	struct operation **list, struct error *err)
{
	/* Creations and cancellations are short and do not wait behind what is filled,
	 * nor that behind long copies, however many there are. A phase that this program
	 * does not know is a later version's. */
	static const char sql[] =
		"with due as (select o.id as due_id, o.created_at as since,"
		"  case when o.cancel or (o.kind <> 'migrate_volume'"
		"    and s.operation_id is null) then 0"
		"   when o.kind <> 'migrate_volume' and not s.copies then 1 else 2 end"
		"   as class from drover.operation o"
		"  left join drover.source s on s.operation_id = o.id"
		"  where o.host = $1 and o.finished_at is null and o.not_before <= now()"
		"  and o.phase in ('queued', 'working', 'preparing', 'copying',"
		"   'swapping', 'held', 'sealing', 'settling')),"
		" first as (select *, row_number() over (partition by class"
		"   order by since, due_id) as nth from due)"
		" select " COLUMNS " from first"
		" join drover.operation on drover.operation.id = due_id"
		" where nth <= $2::int order by class, since, due_id";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, backend, NUM(limit));

	if (count < 0)
		return error_context(err, "look for work of '%s'", backend);
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++)
		operation_from_row(rows, i, &(*list)[i]);
	return count;
}

int store_operation_get(
	struct db *db, const char *id, struct operation *out, struct error *err)
{
	static const char sql[] =
		"select " COLUMNS " from drover.operation where id = $1::uuid";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, id);

	if (count > 0)
		operation_from_row(rows, 0, out);
	return count;
}

int store_operation_claim(struct db *db, const char *id, const char *owner,
	struct operation *out, struct error *err)
{
	static const char sql[] =
		"update drover.operation set epoch = " NEXT_EPOCH ","
		" claimed_at = clock_timestamp(), updated_at = clock_timestamp()"
		" where id = $1::uuid and finished_at is null and not_before <= now()"
		" and exists (select 1 from drover.manager m"
		"  where m.host = drover.operation.host and m.owner = $2::uuid"
		"  and m.expires_at > now()) returning " COLUMNS;
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, id, owner);

	if (count < 0)
		return error_context(err, "claim operation '%s'", id);
	if (count > 0)
		operation_from_row(rows, 0, out);
	return count;
}

int store_operation_delay(
	struct db *db, const struct operation *op, double seconds, struct error *err)
{
	static const char sql[] =
		"update drover.operation set attempts = attempts + 1,"
		" not_before = now() + make_interval(secs => $3::float8)"
		" where id = $1::uuid and epoch = $2::bigint and finished_at is null";
	char text[32];

	snprintf(text, sizeof(text), "%.3f", seconds);
	return db_run(db, sql, err, op->id, NUM(op->epoch), text);
}

int store_operation_lock(struct db *db, struct operation *op, struct error *err)
{
	static const char sql[] =
		"select " COLUMNS
		" from drover.operation where id = $1::uuid for update";
	AUTO(PQclear) PGresult *rows = NULL;
	struct operation fresh;

	if (db_query(db, sql, &rows, err, op->id) < 0)
		return -1;
	if (PQntuples(rows) == 0)
		return error_set(err, ERR_FENCED,
			"operation '%s' is not there any more", op->id);
	operation_from_row(rows, 0, &fresh);
	if (fresh.epoch != op->epoch)
		return error_set(err, ERR_FENCED,
			"operation '%s' was taken over (claim %lld, ours is %lld)",
			op->id, (long long)epoch_number(fresh.epoch),
			(long long)epoch_number(op->epoch));
	*op = fresh;
	return 0;
}

int store_operation_is_moved(
	struct db *db, struct operation *op, enum phase to, struct error *err)
{
	return store_operation_lock(db, op, err) < 0 ? -1 : op->phase == to;
}

static int check_body(struct db *db, void *arg, struct error *err)
{
	struct operation op = *(const struct operation *)arg;

	if (store_operation_lock(db, &op, err) < 0)
		return -1;
	if (phase_is_final(op.phase))
		return error_set(err, ERR_FENCED, "operation '%s' has ended: %s", op.id,
			op.reason[0] ? op.reason : phase_name(op.phase));
	return 0;
}

int store_operation_check_locked(
	struct db *db, const struct operation *op, struct error *err)
{
	return check_body(db, (void *)(uintptr_t)op, err);
}

int store_operation_check(struct db *db, const struct operation *op, struct error *err)
{
	return db_transact(db, check_body, (void *)(uintptr_t)op, err);
}

static int insert_transition(struct db *db, const struct operation *op, enum phase from,
	enum phase to, const char *why, struct error *err)
{
	static const char sql[] =
		"insert into drover.transition (operation_id, epoch, from_phase,"
		" to_phase, why) values ($1::uuid, $2::bigint, $3, $4, $5)";

	return db_run(db, sql, err, op->id, NUM(op->epoch), phase_name(from),
		phase_name(to), why);
}

int store_operation_move_locked(struct db *db, struct operation *op, enum phase to,
	const char *why, struct error *err)
{
	static const char sql[] =
		"update drover.operation set phase = $4, attempts = 0,"
		" updated_at = clock_timestamp(), reason = $6,"
		" finished_at = case when $5::bool then clock_timestamp() end"
		" where id = $1::uuid and epoch = $2::bigint and phase = $3"
		" and finished_at is null";
	const struct phase_step *step;
	enum phase from;
	int count;

	/* An earlier call has moved the struct on. Did its commit move the row? */
	if (op->phase == to && store_operation_lock(db, op, err) < 0)
		return -1;
	if (op->phase == to)
		return 0;
	from = op->phase;
	step = phase_step_find(op->kind, from, to);
	if (!step)
		return error_set(err, ERR_FENCED,
			"operation '%s' is in phase '%s', from where it cannot become "
			"'%s'",
			op->id, phase_name(from), phase_name(to));
	if (!why)
		why = step->why;
	count = db_run(db, sql, err, op->id, NUM(op->epoch), phase_name(from),
		phase_name(to), BOOL_TEXT(phase_is_final(to)),
		phase_is_final(to) && to != PHASE_DONE ? why : NULL);
	if (count < 0)
		return -1;
	if (count > 0) {
		op->phase = to;
		return insert_transition(db, op, from, to, why, err);
	}
	if (store_operation_lock(db, op, err) < 0)
		return -1;
	if (op->phase == to)
		return 0;
	return error_set(err, ERR_FENCED, "operation '%s' is in phase '%s', not '%s'",
		op->id, phase_name(op->phase), phase_name(from));
}

int store_operation_end_locked(struct db *db, struct operation *op, enum phase to,
	const struct error *why, struct error *err)
{
	static const char sql[] = "update drover.operation set error_code = $2,"
				  " reason = $3 where id = $1::uuid";

	if (store_operation_move_locked(db, op, to, why->text, err) < 0)
		return -1;
	return db_run(db, sql, err, op->id, error_code_name(why->code), why->text) < 0
		? -1
		: 0;
}

int store_operation_note(struct db *db, const struct operation *op, const char *reason,
	struct error *err)
{
	static const char sql[] =
		"update drover.operation set reason = $3 where id = $1::uuid"
		" and epoch = $2::bigint and finished_at is null";

	return db_run(db, sql, err, op->id, NUM(op->epoch), reason) < 0 ? -1 : 0;
}

static int start_body(struct db *db, void *arg, struct error *err)
{
	return store_operation_move_locked(db, arg, PHASE_WORKING, NULL, err);
}

int store_operation_start(struct db *db, struct operation *op, struct error *err)
{
	return db_transact(db, start_body, op, err);
}

struct creation {
	struct operation *op;
	const char *location;
};

static int create_done_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"update public.volumes set status = 'available',"
		" launched_at = localtimestamp, updated_at = localtimestamp,"
		" shared_targets = false, service_uuid = (select s.uuid from"
		"  public.services s where s.host = $2 and s.\"binary\" = "
		"'cinder-volume'"
		"  and not s.deleted limit 1)"
		" where id = $1 and not deleted and status = 'creating'";
	static const char forget[] = "delete from public.workers where"
				     " resource_type = 'Volume' and resource_id = $1";
	const struct creation *what = arg;
	struct operation *op = what->op;
	struct volume volume;
	int found = store_volume_get_locked(db, op->volume_id, &volume, err);
	int before = found < 0 ? -1 : store_operation_is_moved(db, op, PHASE_DONE, err);

	/* Since then it is its user's. */
	if (before != 0)
		return before < 0 ? -1 : 0;
	if (store_operation_move_locked(db, op, PHASE_DONE, NULL, err) < 0)
		return -1;
	if (!found)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%s' is not there any more", op->volume_id);
	if (db_run(db, sql, err, op->volume_id, op->host) < 0 ||
		store_volume_set_location_locked(
			db, op->volume_id, what->location, err) < 0 ||
		store_source_inherit_locked(db, op, err) < 0 ||
		db_run(db, forget, err, op->volume_id) < 0)
		return -1;
	return store_notify(db, DONE_CHANNEL, op->volume_id, err);
}

int store_create_done(
	struct db *db, struct operation *op, const char *location, struct error *err)
{
	struct creation what = { op, location };

	return db_transact(db, create_done_body, &what, err);
}

struct failing {
	struct operation *op;
	const struct error *why;
};

static int create_failed_body(struct db *db, void *arg, struct error *err)
{
	const struct failing *what = arg;
	struct operation *op = what->op;
	struct volume volume;
	int found = store_volume_get_locked(db, op->volume_id, &volume, err);

	if (found < 0 || store_operation_lock(db, op, err) < 0)
		return -1;
	if (op->phase == PHASE_FAILED)
		return 0; /* its commit was made after all */
	/* Its row may be gone, what was made is not. */
	if (!found) {
		memset(&volume, 0, sizeof(volume));
		text_copy(volume.id, sizeof(volume.id), op->volume_id);
		text_copy(volume.name_id, sizeof(volume.name_id), op->volume_id);
	}
	if (store_operation_end_locked(db, op, PHASE_FAILED, what->why, err) < 0)
		return -1;
	if (store_volume_create_failed(
		    db, op->volume_id, op->request_id, MESSAGE_CREATE_FAILED, err) < 0)
		return -1;
	if (store_garbage_add_volume_locked(
		    db, &volume, op->host, op->id, 0, "could not be created", err) < 0)
		return -1;
	return store_notify(db, DONE_CHANNEL, op->volume_id, err);
}

int store_create_failed(
	struct db *db, struct operation *op, const struct error *why, struct error *err)
{
	struct failing what = { op, why };

	return db_transact(db, create_failed_body, &what, err);
}

int store_operation_add_commits(struct db *db, const char *id, uint64_t count,
	double seconds, struct error *err)
{
	static const char sql[] =
		"update drover.operation set commits = commits + $2::bigint,"
		" commit_seconds = commit_seconds + $3::float8 where id = $1::uuid";
	char text[32];

	snprintf(text, sizeof(text), "%.6f", seconds);
	return db_run(db, sql, err, id, NUM((int64_t)count), text);
}
