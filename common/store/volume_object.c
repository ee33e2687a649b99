/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/volume_object.h"

#include <string.h>

#define DATE(column) \
	"to_char(v." column ", 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as " column

int store_volume_object(
	struct db *db, const char *id, struct json_object **out, struct error *err)
{
	/* Dates without parts of a second, as the objects have them. */
	static const char sql[] =
		"select row_to_json(o)::text as data from (select v.id, v._name_id,"
		" v.ec2_id, v.user_id, v.project_id, v.use_quota, v.snapshot_id,"
		" v.cluster_name, v.host, v.size, v.availability_zone, v.status,"
		" v.attach_status, v.migration_status, v.display_name,"
		" v.display_description, v.provider_id, v.provider_location,"
		" v.provider_auth, v.provider_geometry, v.volume_type_id,"
		" v.source_volid, v.encryption_key_id, v.consistencygroup_id,"
		" v.group_id, v.deleted, v.bootable, v.multiattach,"
		" v.replication_status, v.replication_extended_status,"
		" v.replication_driver_data, v.previous_status, v.service_uuid,"
		" v.shared_targets, " DATE("scheduled_at") ", " DATE("launched_at") ", " DATE(
			"terminated_at") ", " DATE("created_at") ", " DATE("updated_at") ", " DATE("deleted_at") " from public.volumes v where v.id = $1 and not v.deleted) o";
	AUTO(json_object_put) struct json_object *data = NULL;
	AUTO(PQclear) PGresult *rows = NULL;
	struct json_object *object;
	const char *text;
	int count = db_query(db, sql, &rows, err, id);

	if (count <= 0)
		return count < 0 ? error_context(err, "read volume '%.36s'", id) : 0;
	text = row_text(rows, 0, "data");
	if (json_parse(text, strlen(text), &data, err) < 0)
		return error_context(err, "read volume '%.36s'", id);
	object = json_object_new_object();
	json_add_string(object, "versioned_object.name", "Volume");
	json_add_string(object, "versioned_object.namespace", "cinder");
	json_add_string(object, "versioned_object.version", "1.9");
	json_add(object, "versioned_object.data", steal(data));
	*out = object;
	return 1;
}
