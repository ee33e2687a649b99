/* SPDX-License-Identifier: Apache-2.0 */
/* attach_volume, the older way to attach: one transaction does all. */
#include <string.h>

#include "common/store/attachments.h"

/* Objects as Cinder sends them: dates lose their fractions, what is not loaded is absent. */
#define DATE(column) "to_char(" column ", 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
#define OBJECT(name, version, data) \
	"json_build_object('versioned_object.name', '" name "'," \
	" 'versioned_object.namespace', 'cinder'," \
	" 'versioned_object.version', '" version "'," \
	" 'versioned_object.data', " data ")"

static int volume_object(
	struct db *db, const char *id, PGresult **rows, struct error *err)
{
	static const char sql[] = "select " OBJECT("Volume", "1.9",
		"json_build_object('id', v.id, '_name_id', v._name_id,"
		" 'ec2_id', v.ec2_id, 'user_id', v.user_id,"
		" 'project_id', v.project_id, 'use_quota', v.use_quota,"
		" 'snapshot_id', v.snapshot_id,"
		" 'cluster_name', v.cluster_name, 'host', v.host,"
		" 'size', v.size, 'availability_zone', v.availability_zone,"
		" 'status', v.status, 'attach_status', v.attach_status,"
		" 'migration_status', v.migration_status,"
		" 'scheduled_at', " DATE(
			"v.scheduled_at") ","
					  " 'launched_at', " DATE(
						  "v.launched_at") ","
								   " 'terminated_at', " DATE(
									   "v.terminated_at") ","
											      " 'display_name', v.display_name,"
											      " 'display_description', v.display_description,"
											      " 'provider_id', v.provider_id,"
											      " 'provider_location', v.provider_location,"
											      " 'provider_auth', v.provider_auth,"
											      " 'provider_geometry', v.provider_geometry,"
											      " 'volume_type_id', v.volume_type_id,"
											      " 'source_volid', v.source_volid,"
											      " 'encryption_key_id', v.encryption_key_id,"
											      " 'consistencygroup_id', v.consistencygroup_id,"
											      " 'group_id', v.group_id,"
											      " 'deleted', coalesce(v.deleted, false),"
											      " 'bootable', coalesce(v.bootable, false),"
											      " 'multiattach', coalesce(v.multiattach, false),"
											      " 'replication_status', v.replication_status,"
											      " 'replication_extended_status',"
											      "  v.replication_extended_status,"
											      " 'replication_driver_data', v.replication_driver_data,"
											      " 'previous_status', v.previous_status,"
											      " 'service_uuid', v.service_uuid,"
											      " 'shared_targets', v.shared_targets,"
											      " 'created_at', " DATE(
												      "v.created_at") ","
														      " 'updated_at', " DATE(
															      "v.updated_at") ","
																	      " 'deleted_at', " DATE(
																		      "v.deleted_at") ")") "::text as object from public.volumes v where v.id = $1";

	return db_query(db, sql, rows, err, id);
}

static int attachment_object(struct db *db, const char *id, const char *volume,
	struct json_object **out, struct error *err)
{
	/* Cinder has not read its row again: it says that it was never updated. */
	static const char sql[] = "select " OBJECT("VolumeAttachment", "1.3",
		"json_build_object('id', a.id, 'volume_id', a.volume_id,"
		" 'instance_uuid', a.instance_uuid,"
		" 'attached_host', a.attached_host,"
		" 'mountpoint', a.mountpoint,"
		" 'attach_time', " DATE(
			"a.attach_time") ","
					 " 'detach_time', " DATE(
						 "a.detach_time") ","
								  " 'attach_status', a.attach_status,"
								  " 'attach_mode', a.attach_mode, 'volume', $2::json,"
								  " 'connection_info', nullif(a.connection_info, '')::json,"
								  " 'connector', nullif(a.connector, '')::json,"
								  " 'created_at', " DATE(
									  "a.created_at") ","
											  " 'updated_at', null,"
											  " 'deleted_at', " DATE(
												  "a.deleted_at") ","
														  " 'deleted', coalesce(a.deleted, false))") "::text as object from public.volume_attachment a where a.id = $1";
	AUTO(PQclear) PGresult *rows = NULL;
	struct json_object *object = NULL;
	int count = db_query(db, sql, &rows, err, id, volume);
	const char *text;

	if (count < 0)
		return error_context(err, "read attachment '%.36s'", id);
	text = count ? row_text_or(rows, 0, "object", "null") : "null";
	if (json_parse(text, strlen(text), &object, err) < 0)
		return -1;
	json_object_put(*out);
	*out = object;
	return 0;
}

struct attach {
	const struct attach_request *request;
	struct json_object *object;
};

/* 1 and the id: this request, or one for the same server or host, has attached it. */
static int find_made(struct db *db, const struct attach_request *request,
	const char *who, char id[UUID_TEXT_SIZE], bool *known, struct error *err)
{
	static const char asked[] =
		"select attachment_id as id from drover.attach_request"
		" where volume_id = $1 and request_id = $2 and who = $3";
	static const char there[] =
		"select id from public.volume_attachment where volume_id = $1"
		" and not deleted and attach_status <> 'detached'"
		" and (instance_uuid = $2 or ($2::text is null"
		"  and attached_host is not distinct from $3))"
		" order by created_at limit 1";
	AUTO(PQclear) PGresult *first = NULL;
	AUTO(PQclear) PGresult *second = NULL;
	PGresult *rows;
	int count = db_query(
		db, asked, &first, err, request->volume_id, request->request_id, who);

	*known = count > 0;
	if (count == 0)
		count = db_query(db, there, &second, err, request->volume_id,
			request->server_id, request->host_name);
	rows = *known ? first : second;
	if (count > 0)
		text_copy(id, UUID_TEXT_SIZE, row_text(rows, 0, "id"));
	return count;
}

/* As Cinder takes them: with or without dashes. */
static bool is_uuid_like(const char *text)
{
	return uuid_is(text) ||
		(strlen(text) == 32 && strspn(text, "0123456789abcdefABCDEF") == 32);
}

static int check(struct db *db, const struct volume *volume,
	const struct attach_request *request, struct error *err)
{
	static const char sql[] =
		"select (select value from public.volume_admin_metadata"
		"  where volume_id = $1 and key = 'readonly' and not deleted limit 1)"
		" is not distinct from 'True' as read_only";
	const char *mode = request->mode ? request->mode : "None";
	AUTO(PQclear) PGresult *rows = NULL;

	if (strcmp(volume->status, "in-use") == 0 && !volume->multiattach &&
		!volume->migration_status[0])
		return error_set(err, ERR_INVALID_VOLUME,
			"Invalid volume: volume is already attached and multiple "
			"attachments are not enabled");
	if (request->server_id && !is_uuid_like(request->server_id))
		return error_set(err, ERR_INVALID_UUID,
			"Expected a UUID but received %.64s.", request->server_id);
	if (db_query(db, sql, &rows, err, volume->id) < 0)
		return -1;
	if (row_bool(rows, 0, "read_only") && strcmp(mode, "ro") != 0)
		return error_set(err, ERR_ATTACH_MODE,
			"Invalid attaching mode '%s' for volume %s.", mode, volume->id);
	return 0;
}

/* One that is being attached already, in another mode. */
static int check_mode(
	struct db *db, const struct volume *volume, const char *mode, struct error *err)
{
	static const char sql[] =
		"select 1 from public.volume_admin_metadata where volume_id = $1"
		" and key = 'attached_mode' and not deleted"
		" and coalesce(value, '') <> '' and value is distinct from $2";
	AUTO(PQclear) PGresult *rows = NULL;
	int count;

	if (strcmp(volume->status, "attaching") != 0)
		return 0;
	count = db_query(db, sql, &rows, err, volume->id, mode);
	if (count > 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"Invalid volume: being attached by different mode");
	return count;
}

static int set_attached_mode(
	struct db *db, const char *volume_id, const char *mode, struct error *err)
{
	static const char update[] =
		"update public.volume_admin_metadata set value = $2,"
		" updated_at = localtimestamp where volume_id = $1"
		" and key = 'attached_mode' and not deleted";
	static const char insert[] =
		"insert into public.volume_admin_metadata (created_at, deleted,"
		" volume_id, key, value)"
		" values (localtimestamp, false, $1, 'attached_mode', $2)";
	int changed = db_run(db, update, err, volume_id, mode);

	return changed ? changed : db_run(db, insert, err, volume_id, mode);
}

static int insert(struct db *db, const struct attach_request *request, const char *who,
	char id[UUID_TEXT_SIZE], struct error *err)
{
	static const char attachment[] =
		"insert into public.volume_attachment (id, volume_id, instance_uuid,"
		" attached_host, mountpoint, attach_mode, attach_time, attach_status,"
		" created_at, updated_at, deleted) values ($1, $2, $3, $4, $5, $6,"
		" localtimestamp, 'attached', localtimestamp, localtimestamp, false)";
	static const char made[] =
		"insert into drover.attach_request (volume_id, request_id, who,"
		" attachment_id) values ($1, $2, $3, $4)";
	static const char volume[] =
		"update public.volumes set status = 'in-use',"
		" attach_status = 'attached', updated_at = localtimestamp"
		" where id = $1";

	uuid_make(id);
	if (db_run(db, attachment, err, id, request->volume_id, request->server_id,
		    request->host_name, request->mountpoint, request->mode) < 0 ||
		db_run(db, made, err, request->volume_id, request->request_id, who,
			id) < 0 ||
		set_attached_mode(db, request->volume_id, request->mode, err) < 0)
		return -1;
	return db_run(db, volume, err, request->volume_id);
}

/* The status of a volume that is attached so already, as in Cinder; but a request that was
 * served before leaves all as it has become since. */
static int again(struct db *db, const char *volume_id, bool known, struct error *err)
{
	static const char sql[] =
		"update public.volumes set status = 'in-use',"
		" updated_at = localtimestamp where id = $1 and status <> 'in-use'";

	return known ? 0 : db_run(db, sql, err, volume_id);
}

static int attach_body(struct db *db, void *arg, struct error *err)
{
	struct attach *what = arg;
	const struct attach_request *request = what->request;
	const char *host = request->host_name ? request->host_name : "";
	const char *who = request->server_id ? request->server_id : host;
	AUTO(PQclear) PGresult *rows = NULL;
	char id[UUID_TEXT_SIZE] = "";
	struct volume volume;
	bool known = false;
	int found;

	if (store_volume_require_locked(db, request->volume_id, &volume, err) < 0)
		return -1;
	found = find_made(db, request, who, id, &known, err);
	if (found < 0 ||
		(!known &&
			(store_connect_free(db, &volume, request->host_name, err) < 0 ||
				check_mode(db, &volume, request->mode, err) < 0)))
		return -1;
	if (!found && check(db, &volume, request, err) < 0)
		return -1;
	/* The volume in the answer is as it was before. */
	if (volume_object(db, volume.id, &rows, err) < 0)
		return -1;
	if (found ? again(db, volume.id, known, err) < 0
		  : insert(db, request, who, id, err) < 0)
		return -1;
	return attachment_object(
		db, id, row_text(rows, 0, "object"), &what->object, err);
}

int store_attachment_attach(struct db *db, const struct attach_request *request,
	struct json_object **object, struct error *err)
{
	struct attach what = { .request = request };

	if (db_transact(db, attach_body, &what, err) < 0) {
		json_object_put(what.object);
		return -1;
	}
	*object = what.object;
	return 0;
}
