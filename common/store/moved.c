/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/moved.h"

#include <stdio.h>

#include "common/store/services.h"
#include "common/text.h"

int store_request_known(struct db *db, const char *volume_id, const char *kind,
	const char *request_id, struct error *err)
{
	static const char sql[] = "select 1 from drover.operation where volume_id = $1"
				  " and kind = $2 and request_id = $3";
	AUTO(PQclear) PGresult *rows = NULL;

	return db_query(db, sql, &rows, err, volume_id, kind, request_id);
}

int store_service_rpc_version(struct db *db, const char *backend,
	char out[RPC_VERSION_SIZE], struct error *err)
{
	static const char sql[] =
		"select rpc_current_version as version from public.services"
		" where host = $1 and \"binary\" = '" VOLUME_BINARY "'"
		" and not deleted order by updated_at desc nulls last limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, backend);

	if (count < 0)
		return error_context(err, "look for the service '%s'", backend);
	if (count > 0)
		text_copy(out, RPC_VERSION_SIZE, row_text_or(rows, 0, "version", ""));
	return count;
}

int store_volume_refresh_object(
	struct db *db, const char *id, struct json_object *data, struct error *err)
{
	static const char *const members[] = { "host", "cluster_name",
		"availability_zone", "service_uuid", "_name_id", "provider_location",
		"provider_id", "provider_auth", "provider_geometry",
		"replication_status", "replication_extended_status",
		"replication_driver_data" };
	static const char sql[] =
		"select host, cluster_name, availability_zone, service_uuid, _name_id,"
		" provider_location, provider_id, provider_auth, provider_geometry,"
		" replication_status, replication_extended_status,"
		" replication_driver_data"
		" from public.volumes where id = $1 and not deleted";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, id);

	if (count < 0)
		return error_context(err, "read volume '%s'", id);
	for (size_t i = 0; count > 0 && i < ARRAY_SIZE(members); i++) {
		const char *member = members[i];

		if (!json_object_object_get_ex(data, member, NULL))
			continue;
		if (row_null(rows, 0, member))
			json_add(data, member, NULL);
		else
			json_add_string(data, member, row_text(rows, 0, member));
	}
	return 0;
}
