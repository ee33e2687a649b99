/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/sources.h"

#include <stdio.h>
#include <string.h>

#include "common/store/connections.h"
#include "common/store/snapshots.h"

int store_source_insert_locked(struct db *db, const char *operation_id,
	const char *volume_id, const char *snapshot_id, struct error *err)
{
	static const char sql[] = "insert into drover.source (operation_id, volume_id,"
				  " snapshot_id) values ($1::uuid, $2, $3)";

	return db_run(db, sql, err, operation_id, volume_id, snapshot_id) < 0 ? -1 : 0;
}

/* ---- admission ---- */

static int check_size(const struct volume *made, const char *what, int64_t size_gib,
	struct error *err)
{
	if (made->size_gib >= size_gib)
		return 0;
	return error_set(err, ERR_INVALID_INPUT,
		"volume '%s' of %lld GiB is smaller than its %s, which has %lld GiB",
		volume_called(made), (long long)made->size_gib, what,
		(long long)size_gib);
}

static int admit_snapshot(struct db *db, const char *operation_id,
	const struct volume *made, struct error *err)
{
	struct snapshot snapshot;

	if (store_snapshot_require_locked(db, made->snapshot_id, &snapshot, err) < 0)
		return -1;
	if (strcmp(snapshot.status, "available") != 0)
		return error_set(err, ERR_INVALID_SNAPSHOT,
			"no volume can be made from snapshot '%s': its status is '%s'",
			snapshot.id, snapshot.status);
	if (check_size(made, "snapshot", snapshot.size_gib, err) < 0)
		return -1;
	return store_source_insert_locked(db, operation_id, NULL, snapshot.id, err);
}

static int admit_volume(struct db *db, const char *operation_id,
	const struct volume *made, struct error *err)
{
	static const char *const refused[] = { "creating", "deleting", "error",
		"error_deleting", "managing", "error_managing", "downloading",
		"restoring-backup", "error_restoring" };
	struct volume source;

	if (store_volume_require_locked(db, made->source_volid, &source, err) < 0 ||
		store_volume_free(db, &source, VOLUME_READ, "be copied", err) < 0 ||
		volume_check_raw(&source, "be copied", err) < 0)
		return -1;
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++)
		if (strcmp(source.status, refused[i]) == 0)
			return error_set(err, ERR_INVALID_VOLUME,
				"volume '%s' cannot be copied: its status is '%s'",
				volume_called(&source), source.status);
	if (check_size(made, "source", source.size_gib, err) < 0)
		return -1;
	return store_source_insert_locked(db, operation_id, source.id, NULL, err);
}

int store_source_admit_locked(struct db *db, const char *operation_id,
	const struct volume *made, struct error *err)
{
	/* A Cinder names where a temporary volume's data come from after it was made
	 * empty. */
	if (strncmp(made->migration_status, "target:", 7) == 0)
		return 0;
	if (made->snapshot_id[0])
		return admit_snapshot(db, operation_id, made, err);
	return made->source_volid[0] ? admit_volume(db, operation_id, made, err) : 0;
}

int store_source_inherit_locked(
	struct db *db, const struct operation *op, struct error *err)
{
	/* Of a snapshot: whether the volume that it is of can be booted. */
	static const char sql[] =
		"with origin as (select s.volume_id, s.snapshot_id"
		"  from drover.source s left join public.snapshots p"
		"   on p.id = s.snapshot_id"
		"  join public.volumes v on v.id = coalesce(s.volume_id, p.volume_id)"
		"  where s.operation_id = $1::uuid and v.bootable),"
		" marked as (update public.volumes set bootable = true"
		"  where id = $2 and exists (select 1 from origin))"
		" insert into public.volume_glance_metadata (created_at, deleted,"
		"  volume_id, key, value)"
		" select localtimestamp, false, $2, g.key, g.value from origin"
		" join public.volume_glance_metadata g on not g.deleted and"
		"  (g.volume_id = origin.volume_id"
		"   or g.snapshot_id = origin.snapshot_id)"
		" where not exists (select 1 from public.volume_glance_metadata m"
		"  where m.volume_id = $2 and m.key = g.key and not m.deleted)";

	return db_run(db, sql, err, op->id, op->volume_id) < 0 ? -1 : 0;
}

/* ---- for workers ---- */

int store_source_get(struct db *db, const struct operation *op, struct source *out,
	struct error *err)
{
	static const char sql[] =
		"select s.volume_id, s.snapshot_id, s.copies, s.checkpoint, s.digest,"
		" v.host, case when s.snapshot_id is null"
		"  then coalesce(v._name_id, v.id) else p.id end as name_id"
		" from drover.source s left join public.snapshots p"
		"  on p.id = s.snapshot_id and not p.deleted"
		" left join public.volumes v"
		"  on v.id = coalesce(s.volume_id, p.volume_id) and not v.deleted"
		" where s.operation_id = $1::uuid";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, op->id);

	if (count <= 0)
		return count;
	memset(out, 0, sizeof(*out));
	text_copy(out->volume_id, sizeof(out->volume_id),
		row_text_or(rows, 0, "volume_id", ""));
	text_copy(out->snapshot_id, sizeof(out->snapshot_id),
		row_text_or(rows, 0, "snapshot_id", ""));
	text_copy(out->host, sizeof(out->host), row_text_or(rows, 0, "host", ""));
	text_copy(out->name_id, sizeof(out->name_id),
		row_text_or(rows, 0, "name_id", ""));
	text_copy(out->digest, sizeof(out->digest), row_text_or(rows, 0, "digest", ""));
	out->copies = row_bool(rows, 0, "copies");
	out->checkpoint = row_int(rows, 0, "checkpoint");
	if (out->host[0] && out->name_id[0])
		return 1;
	return error_set(err, ERR_NOT_FOUND, "%s '%s' is not there any more",
		out->volume_id[0] ? "volume" : "snapshot",
		out->volume_id[0] ? out->volume_id : out->snapshot_id);
}

struct copying {
	const struct operation *op;
	struct source *source;
};

/* Somebody who has it, or was told where it is, may write it while it is copied. */
static int check_unused(struct db *db, const struct volume *volume, struct error *err)
{
	char peer[256];
	int told = store_connection_peer(db, volume->id, peer, sizeof(peer), err);

	if (told < 0)
		return -1;
	if (told > 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' is connected to host '%s' and '%s' cannot clone "
			"it in one moment; when that is over, 'drover disconnect' says "
			"so",
			volume_called(volume), peer[0] ? peer : "unknown",
			volume->host);
	if (volume->connected == 0 && volume->exports == 0 &&
		strcmp(volume->status, "in-use") != 0)
		return 0;
	return error_set(err, ERR_INVALID_VOLUME,
		"volume '%s' is in use and '%s' cannot clone it in one moment: detach "
		"it first",
		volume_called(volume), volume->host);
}

static int copy_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] = "update drover.source set copies = true"
				  " where operation_id = $1::uuid";
	const struct copying *what = arg;
	const char *volume_id = what->source->volume_id;
	struct volume volume;

	/* Nobody writes a snapshot. */
	if (volume_id[0] &&
		(store_volume_require_locked(db, volume_id, &volume, err) < 0 ||
			check_unused(db, &volume, err) < 0))
		return -1;
	if (store_operation_check_locked(db, what->op, err) < 0)
		return -1;
	return db_run(db, sql, err, what->op->id) < 0 ? -1 : 0;
}

int store_source_copy(struct db *db, const struct operation *op, struct source *source,
	struct error *err)
{
	struct copying what = { op, source };

	if (db_transact(db, copy_body, &what, err) < 0)
		return -1;
	source->copies = true;
	return 0;
}

int store_source_wanted(struct db *db, const struct operation *op, struct error *err)
{
	static const char sql[] = "select 1 from drover.operation where id = $1::uuid"
				  " and epoch = $2::bigint and finished_at is null";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, op->id, NUM(op->epoch));

	if (count == 0)
		return error_set(err, ERR_FENCED,
			"operation '%s' has ended or was taken over", op->id);
	return count < 0 ? -1 : 0;
}

struct checkpoint {
	const struct operation *op;
	int64_t offset;
	const char *digest;
	int percent;
};

static int checkpoint_body(struct db *db, void *arg, struct error *err)
{
	static const char mine[] = "update drover.operation set attempts = 0,"
				   " updated_at = clock_timestamp() where id = $1::uuid"
				   " and epoch = $2::bigint and finished_at is null";
	static const char sql[] =
		"update drover.source set checkpoint = $2::bigint, digest = $3"
		" where operation_id = $1::uuid";
	static const char shown[] =
		"update public.snapshots set progress = $2::int || '%',"
		" updated_at = localtimestamp where id = $1 and not deleted"
		" and status = 'creating'";
	const struct checkpoint *what = arg;
	const struct operation *op = what->op;
	int count;

	/* The snapshot's row before ours, as everywhere. */
	if (op->snapshot_id[0] &&
		db_run(db, shown, err, op->snapshot_id, NUM(what->percent)) < 0)
		return -1;
	count = db_run(db, mine, err, op->id, NUM(op->epoch));
	if (count == 0)
		return error_set(err, ERR_FENCED,
			"operation '%s' has ended or was taken over", op->id);
	if (count < 0)
		return -1;
	return db_run(db, sql, err, op->id, NUM(what->offset), what->digest) < 0 ? -1
										 : 0;
}

int store_source_checkpoint(struct db *db, const struct operation *op, int64_t offset,
	const char *digest, int percent, struct error *err)
{
	struct checkpoint what = { op, offset, digest, percent };

	return db_transact(db, checkpoint_body, &what, err);
}
