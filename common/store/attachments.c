/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/attachments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/operations.h"

#define COLUMNS \
	"id, volume_id, instance_uuid, attached_host, mountpoint, attach_status," \
	" attach_mode, connection_info is null and attach_mode is null" \
	"  and attach_status = 'reserved' as made_now," \
	" to_char(attach_time, 'YYYY-MM-DD\"T\"HH24:MI:SS.US') as attached_text" \
	" from public.volume_attachment "

/* made_now: as soon as the API tier has an answer it writes mode and connection_info. */
#define COPY(field, column) \
	text_copy(out->field, sizeof(out->field), row_text_or(rows, row, column, ""))

static void attachment_from_row(const PGresult *rows, int row, struct attachment *out)
{
	COPY(id, "id");
	COPY(volume_id, "volume_id");
	COPY(server_id, "instance_uuid");
	COPY(host_name, "attached_host");
	COPY(device, "mountpoint");
	COPY(status, "attach_status");
	COPY(mode, "attach_mode");
	COPY(attached_at, "attached_text");
	out->mode_null = row_null(rows, row, "attach_mode");
	out->made_now = row_bool(rows, row, "made_now");
}

int store_attachment_list(struct db *db, const char *volume_id,
	struct attachment **list, struct error *err)
{
	static const char sql[] =
		"select " COLUMNS "where volume_id = $1 and not deleted"
		" order by created_at, id";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, volume_id);

	if (count < 0)
		return error_context(
			err, "read the attachments of volume '%.36s'", volume_id);
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++)
		attachment_from_row(rows, i, &(*list)[i]);
	return count;
}

int store_attachment_get(
	struct db *db, const char *id, struct attachment *out, struct error *err)
{
	static const char sql[] = "select " COLUMNS "where id = $1 and not deleted";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, id);

	if (count < 0)
		return error_context(err, "read attachment '%.36s'", id);
	if (count > 0)
		attachment_from_row(rows, 0, out);
	return count;
}

int store_attachment_require(struct db *db, const char *id, const char *volume_id,
	struct attachment *out, struct error *err)
{
	int found = store_attachment_get(db, id, out, err);

	if (found < 0)
		return -1;
	/* These two are Cinder's sentences. */
	if (found == 0)
		return error_set(err, ERR_ATTACHMENT_NOT_FOUND,
			"Volume attachment could not be found with filter: "
			"attachment_id = %.64s.",
			id);
	if (strcmp(out->volume_id, volume_id) != 0)
		return error_set(err, ERR_INVALID_INPUT,
			"Invalid input received: Mismatched volume and attachment");
	return 0;
}

/* A guest copies by itself: its target, and its source, which it still has. */
static int is_guests_copy(
	struct db *db, const struct volume *volume, const char *host, struct error *err)
{
	static const char sql[] =
		"select 1 from drover.operation o"
		" join drover.migration m on m.operation_id = o.id"
		" join drover.swap w on w.operation_id = o.id"
		" where (o.volume_id = $1 or m.temporary_id = $1)"
		" and m.route = 'compute' and o.finished_at is null"
		" and o.phase <> 'settling' and (m.temporary_id = $1 or exists"
		"  (select 1 from public.volume_attachment a"
		"  where a.id = w.attachment_id and a.volume_id = $1"
		"  and a.attached_host = $2 and not a.deleted)) limit 1";
	AUTO(PQclear) PGresult *rows = NULL;

	return db_query(db, sql, &rows, err, volume->id, host);
}

int store_connect_free(
	struct db *db, const struct volume *volume, const char *host, struct error *err)
{
	int found = is_guests_copy(db, volume, host, err);

	if (found != 0)
		return found < 0 ? -1 : 0;
	return store_volume_free(db, volume, VOLUME_WRITE, "be connected", err);
}

/* ---- what a connection depends on ---- */

void connection_facts_clear(struct connection_facts *facts)
{
	json_object_put(facts->qos_specs);
	memset(facts, 0, sizeof(*facts));
}

int store_connection_facts(struct db *db, const char *volume_id,
	struct connection_facts *out, struct error *err)
{
	/* The order of access_mode is Cinder's: an old attachment's mode counts more. */
	static const char sql[] =
		"with meta as (select key, value from public.volume_admin_metadata"
		"  where volume_id = $1 and not deleted)"
		" select v.provider_location, v.size,"
		" v.encryption_key_id is not null as encrypted,"
		" coalesce((select value from meta where key = 'format' limit 1), 'raw')"
		"  as format,"
		" coalesce((select value from meta where key = 'attached_mode' limit 1),"
		"  (select 'ro' from meta where key = 'readonly' and value = 'True'"
		"   limit 1), 'rw') as access_mode,"
		" exists (select 1 from meta where key = 'readonly'"
		"  and value <> 'True') as writable,"
		" exists (select 1 from public.volume_type_extra_specs s"
		"  where s.volume_type_id = v.volume_type_id and not s.deleted"
		"  and s.key = 'cacheable' and s.value = '<is> True') as cacheable,"
		" (select json_object_agg(q.key, q.value)::text"
		"  from public.volume_types t join public.quality_of_service_specs q"
		"   on q.specs_id = t.qos_specs_id and not q.deleted"
		"  where t.id = v.volume_type_id and q.key is not null"
		"  and q.key <> 'consumer' and exists (select 1"
		"   from public.quality_of_service_specs c"
		"   where c.specs_id = t.qos_specs_id and not c.deleted"
		"   and c.key = 'consumer' and c.value in ('front-end', 'both')))"
		"  as qos_specs"
		" from public.volumes v where v.id = $1 and not v.deleted";
	const int row = 0;
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, volume_id);
	const char *qos;

	if (count < 0)
		return error_context(err, "read volume '%.36s'", volume_id);
	if (count == 0)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%.36s' could not be found", volume_id);
	memset(out, 0, sizeof(*out));
	COPY(provider_location, "provider_location");
	COPY(format, "format");
	out->read_only = strcmp(row_text(rows, 0, "access_mode"), "ro") == 0;
	out->writable = row_bool(rows, 0, "writable");
	out->cacheable = row_bool(rows, 0, "cacheable");
	out->encrypted = row_bool(rows, 0, "encrypted");
	out->size_gib = row_int(rows, 0, "size");
	qos = row_text_or(rows, 0, "qos_specs", NULL);
	return qos ? json_parse(qos, strlen(qos), &out->qos_specs, err) : 0;
}

/* ---- the status of the volume ---- */

int store_attachment_statuses_locked(
	struct db *db, const char *volume_id, bool available_too, struct error *err)
{
	static const char sql[] =
		"with now as (select coalesce((select a.attach_status"
		"  from public.volume_attachment a where a.volume_id = $1"
		"  and not a.deleted and a.attach_status not like 'error\\_%'"
		"  order by a.attach_status collate \"C\" limit 1), 'detached') as a)"
		" update public.volumes v set updated_at = localtimestamp,"
		" attach_status = now.a, status = case"
		"  when now.a = 'attached' then 'in-use'"
		"  when now.a <> 'detached' then now.a"
		"  when $2::bool or coalesce(v.migration_status, '') in"
		"   ('success', 'error') or (coalesce(v.migration_status, '') = ''"
		"   and v.status <> 'uploading') then 'available'"
		"  else v.status end"
		" from now where v.id = $1 and not v.deleted";

	return db_run(db, sql, err, volume_id, BOOL_TEXT(available_too));
}

static int mark_volume(struct db *db, const char *volume_id, const char *status,
	const char *attach_status, struct error *err)
{
	static const char sql[] =
		"update public.volumes set status = $2, attach_status = $3,"
		" updated_at = localtimestamp where id = $1 and not deleted";

	return db_run(db, sql, err, volume_id, status, attach_status);
}

/* ---- attachment_update ---- */

int store_attachment_mode(const struct attachment *attachment,
	struct json_object *connector, struct json_object **out, const char **mode,
	struct error *err)
{
	AUTO(json_object_put) struct json_object *copy = NULL;
	struct json_object *said;

	if (json_object_deep_copy(connector, &copy, NULL) < 0)
		return error_no_memory(err);
	if (strcmp(attachment->mode, "null") != 0) {
		*mode = attachment->mode_null ? NULL : attachment->mode;
		json_object_object_del(copy, "mode");
		json_add(copy, "mode", *mode ? json_object_new_string(*mode) : NULL);
	} else if (!json_object_object_get_ex(copy, "mode", &said)) {
		*mode = "rw";
	} else {
		*mode = NULL;
		if (said && json_get_string(copy, "mode", mode, err) < 0)
			return error_context(err, "connector");
	}
	if (*mode && strlen(*mode) > ATTACH_MODE_MAX)
		return error_set(
			err, ERR_INVALID_INPUT, "the connector's mode is too long");
	json_object_put(*out);
	*out = steal(copy);
	return 0;
}

int store_attachment_attaching_locked(struct db *db, const char *id,
	const char *volume_id, const char *connector, const char *mode,
	struct error *err)
{
	/* The mode in a connector is the attachment's, from the second time on. */
	static const char sql[] =
		"update public.volume_attachment set attach_status = 'attaching',"
		" volume_id = $2, connector = $3, attach_mode = $4,"
		" attached_host = coalesce($3::json->>'host', ''),"
		" mountpoint = coalesce($3::json->>'mountpoint', 'na'),"
		" attach_time = localtimestamp, updated_at = localtimestamp"
		" where id = $1 and not deleted and (attach_status <> 'attached'"
		"  or nullif(connector, '')::jsonb - 'mode'"
		"   is distinct from $3::jsonb - 'mode')";
	int changed = db_run(db, sql, err, id, volume_id, connector, mode);

	if (changed <= 0)
		return changed;
	return mark_volume(db, volume_id, "attaching", "attaching", err);
}

static int connect_body(struct db *db, void *arg, struct error *err)
{
	const struct attachment_request *request = arg;
	AUTO(json_object_put) struct json_object *connector = NULL;
	AUTO(free) char *text = NULL;
	struct attachment attachment;
	struct volume volume;
	const char *mode, *host;

	if (store_volume_require_locked(db, request->volume_id, &volume, err) < 0 ||
		store_attachment_require(
			db, request->attachment_id, volume.id, &attachment, err) < 0)
		return -1;
	if (strcmp(volume.host, request->volume_host) != 0)
		return error_set(err, ERR_DB_RETRY, "volume '%s' has moved to '%s'",
			volume.id, volume.host);
	if (json_get_string_or(request->connector, "host", "", &host, err) < 0 ||
		store_connect_free(db, &volume, host, err) < 0 ||
		store_attachment_mode(
			&attachment, request->connector, &connector, &mode, err) < 0)
		return -1;
	text = json_text(connector);
	if (!text)
		return error_no_memory(err);
	return store_attachment_attaching_locked(
		db, attachment.id, volume.id, text, mode, err);
}

int store_attachment_connect(
	struct db *db, const struct attachment_request *request, struct error *err)
{
	struct attachment_request what = *request;

	return db_transact(db, connect_body, &what, err);
}

int store_attachment_told(
	struct db *db, const char *id, struct json_object *info, struct error *err)
{
	static const char sql[] =
		"update public.volume_attachment set connection_info = $2,"
		" updated_at = localtimestamp where id = $1 and not deleted";
	AUTO(free) char *text = json_text(info);

	if (!text)
		return error_no_memory(err);
	return db_run(db, sql, err, id, text) < 0 ? -1 : 0;
}

int store_attachment_unmark_locked(struct db *db, const char *id, struct error *err)
{
	static const char sql[] =
		"update public.volume_attachment set attach_status = 'reserved',"
		" connector = null, attach_mode = case when connection_info is null"
		"  then null else attach_mode end, attached_host = null,"
		" mountpoint = null, attach_time = null, updated_at = localtimestamp"
		" where id = $1 and not deleted and attach_status = 'attaching'"
		" and coalesce(connection_info, '') in ('', 'null', '{}')"
		" returning volume_id";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, id);

	if (count <= 0)
		return count;
	return store_attachment_statuses_locked(
		db, row_text(rows, 0, "volume_id"), true, err);
}

static int put_back_body(struct db *db, void *arg, struct error *err)
{
	struct attachment attachment;
	const char *id = arg;
	struct volume volume;
	int found = store_attachment_get(db, id, &attachment, err);

	if (found > 0)
		found = store_volume_get_locked(db, attachment.volume_id, &volume, err);
	if (found > 0)
		found = store_attachment_get(db, id, &attachment, err);
	if (found <= 0 || !attachment.made_now)
		return found < 0 ? -1 : 0;
	if (store_attachment_delete_locked(db, id, err) < 0)
		return -1;
	if (strcmp(volume.status, "reserved") == 0 &&
		store_attachment_statuses_locked(db, volume.id, true, err) < 0)
		return -1;
	return 1;
}

int store_attachment_put_back(struct db *db, const char *id, struct error *err)
{
	char copy[UUID_TEXT_SIZE];

	text_copy(copy, sizeof(copy), id);
	if (db_in_transaction(db))
		return put_back_body(db, copy, err);
	return db_transact(db, put_back_body, copy, err);
}

/* ---- the end of one ---- */

int store_attachment_delete_locked(struct db *db, const char *id, struct error *err)
{
	static const char sql[] =
		"update public.volume_attachment set attach_status = 'detached',"
		" detach_time = localtimestamp, updated_at = localtimestamp,"
		" deleted = true, deleted_at = localtimestamp"
		" where id = $1 and not deleted";

	return db_run(db, sql, err, id);
}

int store_attachment_detached_locked(
	struct db *db, const char *volume_id, const char *id, struct error *err)
{
	/* Of the old attachments there is one mode for all. */
	static const char mode[] =
		"update public.volume_admin_metadata set deleted = true,"
		" deleted_at = localtimestamp where volume_id = $1"
		" and key = 'attached_mode' and not deleted and not exists (select 1"
		"  from public.volume_attachment a where a.volume_id = $1"
		"  and not a.deleted and a.attach_status = 'attached')";

	if (id && store_attachment_delete_locked(db, id, err) < 0)
		return -1;
	if (store_attachment_statuses_locked(db, volume_id, false, err) < 0)
		return -1;
	return db_run(db, mode, err, volume_id);
}

/* ---- the command line's own ---- */

int store_attachment_insert_locked(struct db *db, const char *volume_id,
	const char *host, bool read_only, char id[UUID_TEXT_SIZE], struct error *err)
{
	static const char sql[] =
		"insert into public.volume_attachment (id, volume_id, attached_host,"
		" mountpoint, attach_mode, attach_status, connector, created_at,"
		" deleted) values ($1, $2, $3, 'na', $4, 'attaching',"
		" json_build_object('host', $3::varchar, 'nbd', true)::text,"
		" localtimestamp, false)";

	uuid_make(id);
	if (db_run(db, sql, err, id, volume_id, host, read_only ? "ro" : "rw") < 0)
		return -1;
	return mark_volume(db, volume_id, "attaching", "attaching", err);
}

int store_attachment_attached_locked(
	struct db *db, const char *volume_id, const char *id, struct error *err)
{
	static const char attachment[] =
		"update public.volume_attachment set attach_status = 'attached',"
		" attach_time = localtimestamp, updated_at = localtimestamp"
		" where id = $1 and not deleted and attach_status <> 'attached'";
	static const char volume[] =
		"update public.volumes set status = 'in-use',"
		" attach_status = 'attached', updated_at = localtimestamp"
		" where id = $1 and not deleted and status = 'attaching'";

	if (db_run(db, attachment, err, id) < 0)
		return -1;
	return db_run(db, volume, err, volume_id);
}

int store_attachment_detaching_locked(
	struct db *db, const char *volume_id, struct error *err)
{
	static const char sql[] =
		"update public.volumes set status = 'detaching',"
		" attach_status = 'detaching', updated_at = localtimestamp"
		" where id = $1 and not deleted and status in ('in-use', 'attaching')";

	return db_run(db, sql, err, volume_id);
}
