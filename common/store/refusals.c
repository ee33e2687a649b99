/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/refusals.h"

#include "common/store/messages.h"
#include "common/store/volumes.h"

struct refusal {
	const char *id, *status, *request_id, *action;
	const char *const *reservations;
};

static int volume_body(struct db *db, void *arg, struct error *err)
{
	const struct refusal *what = arg;
	int changed = store_volume_put_back(
		db, what->id, what->status, what->reservations, err);

	if (changed > 0 && what->action &&
		store_message_volume(db, what->id, what->request_id, what->action,
			MESSAGE_NO_BACKEND, err) < 0)
		return -1;
	return changed;
}

int store_refuse_volume(struct db *db, const char *id, const char *status,
	const char *const *reservations, const char *request_id, const char *action,
	struct error *err)
{
	struct refusal what = { id, status, request_id, action, reservations };

	return db_transact(db, volume_body, &what, err);
}

int store_refuse_snapshot(struct db *db, const char *id, struct error *err)
{
	static const char sql[] =
		"update public.snapshots set status = 'error',"
		" updated_at = localtimestamp"
		" where id = $1 and not deleted and status = 'creating'";

	return db_run(db, sql, err, id);
}

int store_refuse_revert(struct db *db, const char *snapshot_id, struct error *err)
{
	static const char sql[] =
		"update public.snapshots set status = 'available',"
		" updated_at = localtimestamp"
		" where id = $1 and not deleted and status = 'restoring'";

	return db_run(db, sql, err, snapshot_id);
}

int store_refuse_manage(struct db *db, const char *id, struct error *err)
{
	static const char sql[] =
		"update public.volumes set status = 'error_managing',"
		" updated_at = localtimestamp"
		" where id = $1 and not deleted and status in ('creating', 'managing')";

	return db_run(db, sql, err, id);
}

static int backup_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"update public.backups set status = 'error', fail_reason = left($2, 255),"
		" updated_at = localtimestamp"
		" where id = $1 and not deleted and status = 'creating'"
		" returning volume_id";
	const struct refusal *what = arg;
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, what->id, what->status);

	if (count <= 0)
		return count;
	return store_volume_put_back(
		db, row_text_or(rows, 0, "volume_id", ""), "backing-up", NULL, err);
}

int store_refuse_backup(
	struct db *db, const char *id, const char *reason, struct error *err)
{
	struct refusal what = { .id = id, .status = reason };

	return db_transact(db, backup_body, &what, err);
}

int store_refuse_group(struct db *db, const char *id, struct error *err)
{
	static const char group[] =
		"update public.groups set status = 'error', updated_at = localtimestamp"
		" where id = $1 and not deleted"
		" and status in ('creating', 'updating', 'deleting')";
	static const char snapshot[] =
		"update public.group_snapshots set status = 'error',"
		" updated_at = localtimestamp where id = $1 and not deleted"
		" and status in ('creating', 'deleting')";
	int changed = db_run(db, group, err, id);

	return changed == 0 ? db_run(db, snapshot, err, id) : changed;
}
