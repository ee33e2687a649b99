/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/refusals.h"

#include "common/store/volumes.h"

struct refusal {
	const char *id, *reason;
};

static int snapshot_body(struct db *db, void *arg, struct error *err)
{
	/* Whoever admits it locks its row. */
	static const char lock[] = "select 1 from public.snapshots where id = $1"
				   " and not deleted for update";
	static const char sql[] =
		"update public.snapshots p set status = 'error',"
		" updated_at = localtimestamp"
		" where p.id = $1 and not p.deleted and p.status = 'creating'"
		" and not exists (select 1 from drover.operation o"
		"  where o.snapshot_id = p.id and o.finished_at is null)";
	const struct refusal *what = arg;
	AUTO(PQclear) PGresult *rows = NULL;
	int found = db_query(db, lock, &rows, err, what->id);

	return found <= 0 ? found : db_run(db, sql, err, what->id);
}

int store_refuse_snapshot(struct db *db, const char *id, struct error *err)
{
	struct refusal what = { .id = id };

	return db_transact(db, snapshot_body, &what, err);
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
	int count = db_query(db, sql, &rows, err, what->id, what->reason);

	if (count <= 0)
		return count;
	return store_volume_put_back(
		db, row_text_or(rows, 0, "volume_id", ""), "backing-up", NULL, err);
}

int store_refuse_backup(
	struct db *db, const char *id, const char *reason, struct error *err)
{
	struct refusal what = { .id = id, .reason = reason };

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
