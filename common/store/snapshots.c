/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots that come; those that go are in snapshot_delete.c. */
#include "common/store/snapshots.h"

#include <string.h>

#include "common/store/garbage.h"
#include "common/store/messages.h"
#include "common/store/sources.h"

#define COPY(field) \
	text_copy(out->field, sizeof(out->field), row_text_or(rows, 0, #field, ""))

int store_snapshot_get(
	struct db *db, const char *id, struct snapshot *out, struct error *err)
{
	static const char sql[] =
		"select id, volume_id, project_id, status, progress, volume_size,"
		" use_quota from public.snapshots where id = $1 and not deleted";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, id);

	if (count < 0)
		return error_context(err, "read snapshot '%.36s'", id);
	if (count == 0)
		return 0;
	memset(out, 0, sizeof(*out));
	COPY(id);
	COPY(volume_id);
	COPY(project_id);
	COPY(status);
	COPY(progress);
	out->size_gib = row_int(rows, 0, "volume_size");
	out->use_quota = row_bool(rows, 0, "use_quota");
	return 1;
}

static int not_found(const char *id, struct error *err)
{
	return error_set(
		err, ERR_SNAPSHOT_NOT_FOUND, "snapshot '%.36s' could not be found", id);
}

int store_snapshot_require_locked(
	struct db *db, const char *id, struct snapshot *out, struct error *err)
{
	static const char sql[] = "select 1 from public.snapshots where id = $1"
				  " and not deleted for update";
	AUTO(PQclear) PGresult *rows = NULL;
	int found = db_query(db, sql, &rows, err, id);

	if (found < 0)
		return error_context(err, "lock snapshot '%.36s'", id);
	if (found > 0)
		found = store_snapshot_get(db, id, out, err);
	if (found == 0)
		return not_found(id, err);
	return found < 0 ? -1 : 0;
}

/* The volume's row is locked before the snapshot's; which one it is never changes. *volume
 * is cleared when its row is gone. */
static int lock_both(struct db *db, const char *id, struct volume *volume,
	struct snapshot *snapshot, struct error *err)
{
	int found = store_snapshot_get(db, id, snapshot, err);

	if (found == 0)
		return not_found(id, err);
	if (found < 0)
		return -1;
	memset(volume, 0, sizeof(*volume));
	if (store_volume_get_locked(db, snapshot->volume_id, volume, err) < 0)
		return -1;
	return store_snapshot_require_locked(db, id, snapshot, err);
}

static int forget_worker(struct db *db, const char *id, struct error *err)
{
	static const char sql[] = "delete from public.workers where"
				  " resource_type = 'Snapshot' and resource_id = $1";

	return db_run(db, sql, err, id) < 0 ? -1 : 0;
}

/* ---- admission ---- */

struct admit {
	const char *id, *request_id;
	enum admission *out;
	const struct error *why; /* of a refusal */
};

static int check_admissible(struct db *db, const struct volume *volume,
	const struct snapshot *snapshot, struct error *err)
{
	static const char doing[] = "get a snapshot";

	if (strcmp(snapshot->status, "creating") != 0)
		return error_set(err, ERR_INVALID_SNAPSHOT,
			"snapshot '%s' has status '%s', not creating", snapshot->id,
			snapshot->status);
	if (!volume->id[0])
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%s' could not be found", snapshot->volume_id);
	if (store_volume_free(db, volume, VOLUME_READ, doing, err) < 0)
		return -1;
	if (strncmp(volume->migration_status, "target:", 7) == 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot %s: it is the target of a migration",
			volume_called(volume), doing);
	return volume_check_raw(volume, doing, err);
}

static int insert_operation(struct db *db, const struct volume *volume,
	const struct admit *what, struct error *err)
{
	static const char sql[] =
		"insert into drover.operation (id, kind, volume_id, snapshot_id, host,"
		" request_id) values ($1, 'create_snapshot', $2, $3, $4, $5)";
	char id[UUID_TEXT_SIZE];
	struct address address;

	if (address_parse(volume->host, &address, err) < 0)
		return error_context(err, "make snapshot '%s'", what->id);
	uuid_make(id);
	if (db_run(db, sql, err, id, volume->id, what->id, address.backend,
		    what->request_id) < 0 ||
		store_source_insert_locked(db, id, volume->id, NULL, err) < 0)
		return -1;
	return store_notify(db, WORK_CHANNEL, address.backend, err);
}

static int admit_body(struct db *db, void *arg, struct error *err)
{
	const struct admit *what = arg;
	struct volume volume;
	struct snapshot snapshot;
	int known;

	if (lock_both(db, what->id, &volume, &snapshot, err) < 0)
		return -1;
	known = store_operation_known(
		db, snapshot.volume_id, "create_snapshot", what->request_id, err);
	if (known < 0)
		return -1;
	*what->out = known ? DUPLICATE : ADMITTED;
	if (known)
		return 0;
	if (check_admissible(db, &volume, &snapshot, err) < 0)
		return -1;
	return insert_operation(db, &volume, what, err);
}

int store_snapshot_admit(struct db *db, const char *id, const char *request_id,
	enum admission *out, struct error *err)
{
	struct admit what = { .id = id, .request_id = request_id, .out = out };

	return db_transact(db, admit_body, &what, err);
}

/* It could not be made; returns whether its status was changed. */
static int set_error(
	struct db *db, const char *id, const char *request_id, struct error *err)
{
	static const char sql[] =
		"update public.snapshots set status = 'error',"
		" updated_at = localtimestamp"
		" where id = $1 and not deleted and status = 'creating'";
	int changed = db_run(db, sql, err, id);

	if (changed > 0 &&
		store_message_snapshot(db, id, request_id, MESSAGE_SNAPSHOT_CREATE,
			MESSAGE_SNAPSHOT_CREATE_FAILED, err) < 0)
		return -1;
	return changed < 0 || forget_worker(db, id, err) < 0 ? -1 : changed;
}

static int refuse_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] = "select 1 from drover.operation"
				  " where snapshot_id = $1 and finished_at is null";
	const struct admit *what = arg;
	AUTO(PQclear) PGresult *rows = NULL;
	struct snapshot snapshot;
	struct volume volume;
	int busy;

	if (lock_both(db, what->id, &volume, &snapshot, err) < 0)
		return err->code == ERR_SNAPSHOT_NOT_FOUND ? 0 : -1;
	busy = db_query(db, sql, &rows, err, what->id);
	if (busy != 0)
		return busy < 0 ? -1 : 0;
	if (volume.id[0] &&
		store_operation_refused_locked(db, &volume, "create_snapshot", what->id,
			what->request_id, what->why, err) < 0)
		return -1;
	return set_error(db, what->id, what->request_id, err);
}

int store_snapshot_refuse(struct db *db, const char *id, const char *request_id,
	const struct error *why, struct error *err)
{
	struct admit what = { .id = id, .request_id = request_id, .why = why };

	return db_transact(db, refuse_body, &what, err);
}

/* ---- for its worker ---- */

static int finish(struct db *db, const struct operation *op, struct error *err)
{
	static const char sql[] =
		"update public.snapshots p set status = 'available',"
		" progress = '100%', updated_at = localtimestamp,"
		" encryption_key_id = v.encryption_key_id from public.volumes v"
		" where p.id = $1 and v.id = p.volume_id and not p.deleted"
		" and p.status = 'creating'";
	/* What its volume's image said, for volumes that are made from it. */
	static const char glance[] =
		"insert into public.volume_glance_metadata (created_at, deleted,"
		"  snapshot_id, key, value)"
		" select localtimestamp, false, $1::text, g.key, g.value"
		" from public.volume_glance_metadata g"
		" join public.volumes v on v.id = g.volume_id and v.bootable"
		" where g.volume_id = $2::text and not g.deleted"
		" and not exists (select 1 from public.volume_glance_metadata m"
		"  where m.snapshot_id = $1::text and m.key = g.key and not m.deleted)";

	if (db_run(db, sql, err, op->snapshot_id) < 0 ||
		db_run(db, glance, err, op->snapshot_id, op->volume_id) < 0)
		return -1;
	return forget_worker(db, op->snapshot_id, err);
}

static int done_body(struct db *db, void *arg, struct error *err)
{
	struct operation *op = arg;
	struct snapshot snapshot;
	struct volume volume;
	int before;

	if (lock_both(db, op->snapshot_id, &volume, &snapshot, err) < 0)
		return -1;
	before = store_operation_is_moved(db, op, PHASE_DONE, err);
	if (before != 0)
		return before < 0 ? -1 : 0;
	if (store_operation_move_locked(db, op, PHASE_DONE, NULL, err) < 0 ||
		finish(db, op, err) < 0)
		return -1;
	return store_notify(db, DONE_CHANNEL, op->volume_id, err);
}

int store_snapshot_done(struct db *db, struct operation *op, struct error *err)
{
	return db_transact(db, done_body, op, err);
}

struct failing {
	struct operation *op;
	const struct error *why;
};

static int failed_body(struct db *db, void *arg, struct error *err)
{
	const struct failing *what = arg;
	struct operation *op = what->op;
	struct snapshot snapshot;
	struct volume volume;

	/* Its row may be gone, what was made is not. */
	if (lock_both(db, op->snapshot_id, &volume, &snapshot, err) < 0 &&
		err->code != ERR_SNAPSHOT_NOT_FOUND)
		return -1;
	if (store_operation_lock(db, op, err) < 0)
		return -1;
	if (op->phase == PHASE_FAILED)
		return 0; /* its commit was made after all */
	if (store_operation_end_locked(db, op, PHASE_FAILED, what->why, err) < 0 ||
		set_error(db, op->snapshot_id, op->request_id, err) < 0 ||
		store_garbage_add_snapshot_locked(db, op->snapshot_id, op->host, op->id,
			"could not be made", err) < 0)
		return -1;
	return store_notify(db, DONE_CHANNEL, op->volume_id, err);
}

int store_snapshot_failed(
	struct db *db, struct operation *op, const struct error *why, struct error *err)
{
	struct failing what = { op, why };

	return db_transact(db, failed_body, &what, err);
}
