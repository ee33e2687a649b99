/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/volumes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/messages.h"
#include "common/store/quotas.h"

/* Columns are read by these names in store_volume_from_row(). */
#define COLUMNS \
	"v.id, v._name_id, v.display_name, v.display_description, v.project_id," \
	" v.user_id, v.host, v.cluster_name, v.status, v.previous_status," \
	" v.attach_status, v.migration_status, v.availability_zone, v.volume_type_id," \
	" t.name as volume_type, v.snapshot_id, v.source_volid, v.group_id," \
	" v.consistencygroup_id, v.replication_status," \
	" v.encryption_key_id is not null as encrypted, v.size, v.bootable," \
	" v.provider_location," \
	" v.multiattach, v.use_quota, v.deleted," \
	" to_char(v.created_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.US') as created_text," \
	" (select m.value from public.volume_admin_metadata m where m.volume_id = " \
	"v.id" \
	"  and m.key = 'format' and not m.deleted limit 1) as format," \
	" (select count(*) from public.snapshots s where s.volume_id = v.id" \
	"  and not s.deleted) as snapshots," \
	" (select count(*) from public.snapshots s where s.volume_id = v.id" \
	"  and not s.deleted and (coalesce(s.status, '') not in ('creating', 'error')" \
	"   or exists (select 1 from drover.object b where b.volume_id = s.id)))" \
	"  as snapshot_objects," \
	" (select count(*) from public.volume_attachment a where a.volume_id = v.id" \
	"  and not a.deleted) as attachments," \
	" (select count(*) from public.volume_attachment a where a.volume_id = v.id" \
	"  and not a.deleted and (nullif(a.connector, '') is not null" \
	"  or a.attach_status in ('attached', 'attaching'))) as connected," \
	" (select count(*) from drover.export e where e.volume_id = v.id" \
	"  and e.closed_at is null and e.kind = 'attachment') as exports" \
	" from public.volumes v left join public.volume_types t" \
	" on t.id = v.volume_type_id "

#define COPY(field, column) \
	text_copy(out->field, sizeof(out->field), row_text_or(rows, row, column, ""))

void store_volume_from_row(const PGresult *rows, int row, struct volume *out)
{
	memset(out, 0, sizeof(*out));
	COPY(id, "id");
	out->has_name_id = !row_null(rows, row, "_name_id");
	COPY(name_id, out->has_name_id ? "_name_id" : "id");
	COPY(display_name, "display_name");
	COPY(display_description, "display_description");
	COPY(project_id, "project_id");
	COPY(user_id, "user_id");
	COPY(host, "host");
	COPY(cluster_name, "cluster_name");
	COPY(status, "status");
	COPY(previous_status, "previous_status");
	COPY(attach_status, "attach_status");
	COPY(migration_status, "migration_status");
	COPY(availability_zone, "availability_zone");
	COPY(volume_type_id, "volume_type_id");
	COPY(volume_type, "volume_type");
	COPY(snapshot_id, "snapshot_id");
	COPY(source_volid, "source_volid");
	COPY(group_id, "group_id");
	COPY(consistencygroup_id, "consistencygroup_id");
	COPY(replication_status, "replication_status");
	COPY(format, "format");
	COPY(provider_location, "provider_location");
	COPY(created_at, "created_text");
	out->size_gib = row_int(rows, row, "size");
	out->bootable = row_bool(rows, row, "bootable");
	out->multiattach = row_bool(rows, row, "multiattach");
	out->encrypted = row_bool(rows, row, "encrypted");
	out->use_quota = row_bool(rows, row, "use_quota");
	out->deleted = row_bool(rows, row, "deleted");
	out->snapshots = row_int(rows, row, "snapshots");
	out->snapshot_objects = row_int(rows, row, "snapshot_objects");
	out->attachments = row_int(rows, row, "attachments");
	out->connected = row_int(rows, row, "connected");
	out->exports = row_int(rows, row, "exports");
}

static int first(PGresult *rows, struct volume *out)
{
	if (PQntuples(rows) == 0)
		return 0;
	store_volume_from_row(rows, 0, out);
	return 1;
}

int store_volume_get(
	struct db *db, const char *id, struct volume *out, struct error *err)
{
	static const char sql[] = "select " COLUMNS "where v.id = $1 and not v.deleted";
	AUTO(PQclear) PGresult *rows = NULL;

	if (db_query(db, sql, &rows, err, id) < 0)
		return error_context(err, "read volume '%.36s'", id);
	return first(rows, out);
}

int store_volume_get_locked(
	struct db *db, const char *id, struct volume *out, struct error *err)
{
	/* Two statements: after waiting for a lock, a statement sees the locked row as it
	 * is now but everything else as it was when the statement began. */
	static const char sql[] = "select 1 from public.volumes v where v.id = $1"
				  " and not v.deleted for update";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, id);

	if (count < 0)
		return error_context(err, "lock volume '%.36s'", id);
	return count == 0 ? 0 : store_volume_get(db, id, out, err);
}

int store_volume_require_locked(
	struct db *db, const char *id, struct volume *out, struct error *err)
{
	int found = store_volume_get_locked(db, id, out, err);

	if (found == 0)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%.36s' could not be found", id);
	return found < 0 ? -1 : 0;
}

const char *volume_called(const struct volume *volume)
{
	return volume->display_name[0] ? volume->display_name : volume->id;
}

int volume_check_raw(const struct volume *volume, const char *doing, struct error *err)
{
	if (!volume->format[0] || strcmp(volume->format, "raw") == 0)
		return 0;
	return error_set(err, ERR_INVALID_VOLUME,
		"volume '%s' cannot %s: its format is '%s', not raw",
		volume_called(volume), doing, volume->format);
}

int store_volume_find(
	struct db *db, const char *id_or_name, struct volume *out, struct error *err)
{
	static const char sql[] =
		"select " COLUMNS
		"where not v.deleted and (v.id = $1 or (v.display_name = $1 and"
		" coalesce(v.migration_status, '') not like 'target:%'))"
		" order by (v.id = $1) desc, v.created_at limit 2";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, id_or_name);

	if (count < 0)
		return error_context(err, "look for volume '%.64s'", id_or_name);
	if (count == 0)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"there is no volume '%.64s'; 'drover list' shows all",
			id_or_name);
	store_volume_from_row(rows, 0, out);
	if (count > 1 && strcmp(out->id, id_or_name) != 0)
		return error_set(err, ERR_AMBIGUOUS,
			"several volumes are named '%.64s': use the id", id_or_name);
	return 0;
}

int store_volume_list(
	struct db *db, bool temporary_too, struct volume **list, struct error *err)
{
	static const char sql[] =
		"select " COLUMNS "where not v.deleted and ($1::bool or"
		" coalesce(v.migration_status, '') not like 'target:%')"
		" order by v.created_at, v.id limit $2::int";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(
		db, sql, &rows, err, BOOL_TEXT(temporary_too), NUM(VOLUME_LIST_MAX));

	if (count < 0)
		return error_context(err, "list volumes");
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++)
		store_volume_from_row(rows, i, &(*list)[i]);
	return count;
}

int store_volume_create(struct db *db, struct volume_create *create, struct error *err)
{
	static const char sql[] =
		"insert into public.volumes (id, user_id, project_id, size, status,"
		" attach_status, display_name, availability_zone, volume_type_id,"
		" created_at, deleted, bootable, multiattach, use_quota)"
		" select $1, $2, $3, $4::int, 'creating', 'detached', $5, $6, t.id,"
		" localtimestamp, false, false, false, false"
		" from public.volume_types t where t.name = $7 and not t.deleted";
	const char *type = create->volume_type ? create->volume_type : "__DEFAULT__";
	int count;

	uuid_make(create->id);
	count = db_run(db, sql, err, create->id, create->user_id, create->project_id,
		NUM(create->size_gib), create->display_name, create->availability_zone,
		type);
	if (count < 0)
		return error_context(err, "create a volume");
	if (count == 0)
		return error_set(
			err, ERR_NOT_FOUND, "there is no volume type '%.64s'", type);
	return 0;
}

int store_volume_place(struct db *db, const char *id, const char *host,
	const char *availability_zone, struct error *err)
{
	static const char sql[] =
		"update public.volumes set host = $2, scheduled_at = localtimestamp,"
		" updated_at = localtimestamp, availability_zone = coalesce($3,"
		" availability_zone) where id = $1 and not deleted"
		" and status = 'creating' and host is null";

	return db_run(db, sql, err, id, host, availability_zone);
}

struct create_failed {
	const char *id, *request_id, *detail;
};

static int forget_worker(struct db *db, const char *id, struct error *err)
{
	static const char sql[] = "delete from public.workers where"
				  " resource_type = 'Volume' and resource_id = $1";

	return db_run(db, sql, err, id);
}

static int create_failed_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"update public.volumes set status = 'error', updated_at = "
		"localtimestamp"
		" where id = $1 and not deleted and status = 'creating'";
	const struct create_failed *what = arg;
	int changed = db_run(db, sql, err, what->id);

	if (changed < 0)
		return -1;
	if (changed > 0 && what->detail &&
		store_message_volume(db, what->id, what->request_id,
			strcmp(what->detail, MESSAGE_CREATE_FAILED) == 0
				? MESSAGE_CREATE
				: MESSAGE_SCHEDULE,
			what->detail, err) < 0)
		return -1;
	return forget_worker(db, what->id, err) < 0 ? -1 : changed;
}

int store_volume_create_failed(struct db *db, const char *id, const char *request_id,
	const char *detail, struct error *err)
{
	struct create_failed what = { id, request_id, detail };

	if (db_in_transaction(db))
		return create_failed_body(db, &what, err);
	return db_transact(db, create_failed_body, &what, err);
}

struct put_back {
	const char *id, *status_now;
	const char *const *reservations;
};

/* What a volume of this row is when nothing is done to it. */
#define RESTING_STATUS \
	"(select case when v.launched_at is null then 'error'" \
	"  when bool_or(a.attach_status = 'attached') then 'in-use'" \
	"  when bool_or(a.attach_status = 'attaching') and $2 <> 'attaching'" \
	"   then 'attaching'" \
	"  when bool_or(a.attach_status = 'detaching') then 'detaching'" \
	"  when bool_or(a.attach_status = 'reserved') then 'reserved'" \
	"  else 'available' end from public.volume_attachment a" \
	"  where a.volume_id = v.id and not a.deleted)"

static int put_back_body(struct db *db, void *arg, struct error *err)
{
	/* saved_status of a running operation is what the volume had before it; one that
	 * settles has given it back. Only for these requests the API tier remembers
	 * previous_status; with others it may be of any earlier one. */
	static const char sql[] =
		"update public.volumes v set updated_at = localtimestamp,"
		" terminated_at = null,"
		" status = coalesce((select o.saved_status from drover.operation o"
		"  where o.volume_id = v.id and o.finished_at is null"
		"  and o.phase <> 'settling' and o.saved_status is not null limit 1),"
		"  case when $2 in ('extending', 'maintenance', 'retyping', 'uploading',"
		"   'downloading', 'backing-up') then nullif(v.previous_status, $2) end,"
		"  case $2 when 'error_managing_deleting' then 'error_managing' end,"
		"  " RESTING_STATUS "),"
		" previous_status = case when $2 = 'extending' then null"
		"  else v.previous_status end"
		" where v.id = $1 and not v.deleted and v.status = $2";
	const struct put_back *what = arg;
	int changed = db_run(db, sql, err, what->id, what->status_now);

	if (changed < 0)
		return -1;
	if (store_quota_roll_back_all(db, what->reservations, err) < 0)
		return -1;
	return forget_worker(db, what->id, err) < 0 ? -1 : changed;
}

int store_volume_put_back(struct db *db, const char *id, const char *status_now,
	const char *const *reservations, struct error *err)
{
	struct put_back what = { id, status_now, reservations };

	if (db_in_transaction(db))
		return put_back_body(db, &what, err);
	return db_transact(db, put_back_body, &what, err);
}

int store_volume_attached_to(
	struct db *db, const char *id, char *out, size_t size, struct error *err)
{
	static const char sql[] =
		"select coalesce(string_agg(case when instance_uuid is not null"
		"  then 'server ' || instance_uuid"
		"  else 'host ' || coalesce(attached_host, 'unknown') end, ', '"
		"  order by created_at), '') as who"
		" from public.volume_attachment where volume_id = $1 and not deleted";
	AUTO(PQclear) PGresult *rows = NULL;

	if (db_query(db, sql, &rows, err, id) < 0)
		return -1;
	snprintf(out, size, "%s", row_text_or(rows, 0, "who", ""));
	return 0;
}

int store_volume_usage(struct db *db, const char *backend, int64_t *gib, int64_t *count,
	struct error *err)
{
	static const char sql[] =
		"select coalesce(sum(size), 0) as gib, count(*) as count"
		" from public.volumes where not deleted"
		" and split_part(host, '#', 1) = $1";
	AUTO(PQclear) PGresult *rows = NULL;

	if (db_query(db, sql, &rows, err, backend) < 0)
		return -1;
	*gib = row_int(rows, 0, "gib");
	*count = row_int(rows, 0, "count");
	return 0;
}

int store_volume_set_location_locked(
	struct db *db, const char *id, const char *location, struct error *err)
{
	static const char sql[] =
		"update public.volumes set provider_location = $2,"
		" updated_at = localtimestamp where id = $1 and not deleted"
		" and provider_location is distinct from $2";
	static const char format[] =
		"insert into public.volume_admin_metadata (created_at, deleted,"
		" volume_id, key, value) select localtimestamp, false, v.id, 'format',"
		" 'raw' from public.volumes v where v.id = $1 and not v.deleted"
		" and not exists (select 1 from public.volume_admin_metadata m"
		"  where m.volume_id = v.id and m.key = 'format' and not m.deleted)";

	if (!location[0])
		return 0;
	if (db_run(db, sql, err, id, location) < 0 || db_run(db, format, err, id) < 0)
		return error_context(err, "note where volume '%s' is", id);
	return 0;
}

int store_volume_delete_locked(
	struct db *db, const struct volume *volume, struct error *err)
{
	static const char *const statements[] = {
		"update public.volumes set status = 'deleted', deleted = true,"
		" deleted_at = localtimestamp, attach_status = 'detached',"
		" terminated_at = coalesce(terminated_at, localtimestamp),"
		" migration_status = null where id = $1 and not deleted",
		"update public.volume_metadata set deleted = true,"
		" deleted_at = localtimestamp where volume_id = $1 and not deleted",
		"update public.volume_admin_metadata set deleted = true,"
		" deleted_at = localtimestamp where volume_id = $1 and not deleted",
		"update public.volume_glance_metadata set deleted = true,"
		" deleted_at = localtimestamp where volume_id = $1 and not deleted",
		"update public.transfers set deleted = true,"
		" deleted_at = localtimestamp where volume_id = $1 and not deleted",
		"update public.volume_attachment set deleted = true,"
		" deleted_at = localtimestamp, attach_status = 'detached',"
		" detach_time = localtimestamp where volume_id = $1 and not deleted",
	};

	for (unsigned i = 0; i < ARRAY_SIZE(statements); i++)
		if (db_run(db, statements[i], err, volume->id) < 0)
			return error_context(err, "delete volume '%s'", volume->id);
	/* One that could not be managed was never counted. */
	if (volume->use_quota &&
		strcmp(volume->status, "error_managing_deleting") != 0 &&
		store_quota_give_back(db, volume->project_id, "volumes",
			volume->volume_type, 1, volume->size_gib, err) < 0)
		return -1;
	return forget_worker(db, volume->id, err) < 0 ? -1 : 0;
}
