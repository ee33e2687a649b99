/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots that go. */
#include <string.h>

#include "common/store/garbage.h"
#include "common/store/messages.h"
#include "common/store/quotas.h"
#include "common/store/snapshots.h"

struct deletion {
	const char *id, *request_id;
	bool count_gib, busy;
	enum admission *out;
};

static int check_unread(
	struct db *db, const struct snapshot *snapshot, struct error *err)
{
	static const char sql[] = "select o.kind, o.volume_id from drover.operation o"
				  " left join drover.source s on s.operation_id = o.id"
				  " where (s.snapshot_id = $1 or o.snapshot_id = $1)"
				  " and o.finished_at is null limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, snapshot->id);

	if (count <= 0)
		return count;
	if (strcmp(row_text_or(rows, 0, "kind", ""), "create_volume") == 0)
		return error_set(err, ERR_SNAPSHOT_BUSY,
			"snapshot '%s' cannot be deleted: volume '%s' is being made "
			"from it",
			snapshot->id, row_text_or(rows, 0, "volume_id", "?"));
	return error_set(err, ERR_INVALID_SNAPSHOT,
		"snapshot '%s' cannot be deleted: it is being made", snapshot->id);
}

/* One that others made may be a link in a chain of files that the volume needs. */
static int check_ours(struct db *db, const struct snapshot *snapshot, struct error *err)
{
	static const char sql[] = "select 1 from drover.object where volume_id = $1"
				  " limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, snapshot->id);

	if (count != 0 || strcmp(snapshot->progress, "100%") != 0)
		return count < 0 ? -1 : 0;
	return error_set(err, ERR_NOT_SUPPORTED,
		"snapshot '%s' cannot be deleted: it was not made by this service",
		snapshot->id);
}

static int delete_rows(
	struct db *db, const struct snapshot *snapshot, struct error *err)
{
	static const char *const statements[] = {
		"update public.snapshots set status = 'deleted', deleted = true,"
		" deleted_at = localtimestamp where id = $1 and not deleted",
		"update public.snapshot_metadata set deleted = true,"
		" deleted_at = localtimestamp where snapshot_id = $1 and not deleted",
		"update public.volume_glance_metadata set deleted = true,"
		" deleted_at = localtimestamp where snapshot_id = $1 and not deleted",
		"delete from public.workers where resource_type = 'Snapshot'"
		" and resource_id = $1",
	};

	for (unsigned i = 0; i < ARRAY_SIZE(statements); i++)
		if (db_run(db, statements[i], err, snapshot->id) < 0)
			return error_context(err, "delete snapshot '%s'", snapshot->id);
	return 0;
}

/* Both rows are locked. */
static int delete_locked(struct db *db, const struct volume *volume,
	const struct snapshot *snapshot, bool count_gib, struct error *err)
{
	struct address address;

	if (strcmp(snapshot->status, "deleting") != 0)
		return error_set(err, ERR_INVALID_SNAPSHOT,
			"snapshot '%s' was found in state '%s' rather than 'deleting'",
			snapshot->id, snapshot->status);
	if (check_unread(db, snapshot, err) < 0 || check_ours(db, snapshot, err) < 0)
		return -1;
	if (volume->host[0] && address_parse(volume->host, &address, err) < 0)
		return error_context(err, "delete snapshot '%s'", snapshot->id);
	if (volume->host[0] &&
		store_garbage_add_snapshot_locked(
			db, snapshot->id, address.backend, NULL, "deleted", err) < 0)
		return -1;
	if (delete_rows(db, snapshot, err) < 0)
		return -1;
	if (!snapshot->use_quota)
		return 0;
	return store_quota_give_back(db, snapshot->project_id, "snapshots",
		volume->volume_type, 1, count_gib ? snapshot->size_gib : 0, err);
}

static int insert_deleted(struct db *db, const struct volume *volume,
	const struct deletion *what, struct error *err)
{
	static const char sql[] =
		"insert into drover.operation (id, kind, volume_id, snapshot_id, host,"
		" request_id, phase, finished_at)"
		" values ($1, 'delete_snapshot', $2, $3, $4, $5, 'done', now())";
	struct address address;
	char id[UUID_TEXT_SIZE];

	if (address_parse(volume->host, &address, NULL) < 0)
		return 0;
	uuid_make(id);
	return db_run(db, sql, err, id, volume->id, what->id, address.backend,
		what->request_id);
}

static int delete_body(struct db *db, void *arg, struct error *err)
{
	const struct deletion *what = arg;
	struct volume volume = { .id = "" };
	struct snapshot snapshot;
	int found = store_snapshot_get(db, what->id, &snapshot, err);

	*what->out = DUPLICATE;
	if (found <= 0)
		return found; /* it is gone, which was wanted */
	if (store_volume_get_locked(db, snapshot.volume_id, &volume, err) < 0)
		return -1;
	found = store_operation_known(
		db, snapshot.volume_id, "delete_snapshot", what->request_id, err);
	if (found != 0)
		return found < 0 ? -1 : 0;
	if (store_snapshot_require_locked(db, what->id, &snapshot, err) < 0)
		return err->code == ERR_SNAPSHOT_NOT_FOUND ? 0 : -1;
	*what->out = ADMITTED;
	if (delete_locked(db, &volume, &snapshot, what->count_gib, err) < 0 ||
		insert_deleted(db, &volume, what, err) < 0)
		return -1;
	return store_notify(db, DONE_CHANNEL, snapshot.volume_id, err);
}

int store_snapshot_delete(struct db *db, const char *id, const char *request_id,
	bool count_gib, enum admission *out, struct error *err)
{
	struct deletion what = { id, request_id, count_gib, false, out };

	return db_transact(db, delete_body, &what, err) < 0 ? -1 : 0;
}

int store_snapshot_delete_all_locked(
	struct db *db, const struct volume *volume, bool count_gib, struct error *err)
{
	static const char sql[] = "select id from public.snapshots where volume_id = $1"
				  " and not deleted order by id for update";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, volume->id);

	for (int i = 0; i < count; i++) {
		struct snapshot snapshot;

		if (store_snapshot_require_locked(
			    db, row_text(rows, i, "id"), &snapshot, err) < 0 ||
			delete_locked(db, volume, &snapshot, count_gib, err) < 0)
			return -1;
	}
	return count < 0 ? -1 : 0;
}

static int refused_body(struct db *db, void *arg, struct error *err)
{
	/* One that is just being made goes on to be. */
	static const char sql[] =
		"update public.snapshots p set updated_at = localtimestamp,"
		" status = case when exists (select 1 from drover.operation o"
		"   where o.snapshot_id = p.id and o.finished_at is null) then 'creating'"
		"  when $2::bool then 'available' else 'error_deleting' end"
		" where p.id = $1 and not p.deleted and p.status = 'deleting'";
	const struct deletion *what = arg;
	int changed = db_run(db, sql, err, what->id, BOOL_TEXT(what->busy));

	if (changed > 0 &&
		store_message_snapshot(db, what->id, what->request_id,
			MESSAGE_SNAPSHOT_DELETE,
			what->busy ? MESSAGE_SNAPSHOT_BUSY
				   : MESSAGE_SNAPSHOT_DELETE_FAILED,
			err) < 0)
		return -1;
	return changed < 0 ? -1 : 0;
}

int store_snapshot_delete_refused(struct db *db, const char *id, const char *request_id,
	bool busy, struct error *err)
{
	struct deletion what = { id, request_id, false, busy, NULL };

	return db_transact(db, refused_body, &what, err);
}

int store_snapshot_unmanage_refused(struct db *db, const char *id, struct error *err)
{
	static const char sql[] =
		"update public.snapshots set updated_at = localtimestamp,"
		" status = 'available'"
		" where id = $1 and not deleted and status in ('unmanaging', 'deleting')";

	return db_run(db, sql, err, id) < 0 ? -1 : 0;
}
