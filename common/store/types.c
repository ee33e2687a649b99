/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/types.h"

#include <stdio.h>

int store_type_specs(
	struct db *db, const char *type_id, struct json_object **out, struct error *err)
{
	static const char sql[] =
		"select key, value from public.volume_type_extra_specs"
		" where volume_type_id = $1 and not deleted order by id";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, type_id);

	if (count < 0)
		return error_context(err, "read the type '%.36s'", type_id);
	*out = json_object_new_object();
	for (int i = 0; i < count; i++)
		json_add_string(*out, row_text_or(rows, i, "key", ""),
			row_text(rows, i, "value"));
	return 0;
}

int store_volume_origin(struct db *db, const struct volume *volume,
	char out[ADDRESS_SIZE], struct error *err)
{
	static const char sql[] =
		"select host from public.volumes where not deleted and id ="
		" coalesce((select volume_id from public.snapshots where id = $1"
		"  and not deleted), nullif($2, ''))";
	AUTO(PQclear) PGresult *rows = NULL;
	int count;

	out[0] = '\0';
	if (!volume->snapshot_id[0] && !volume->source_volid[0])
		return 0;
	count = db_query(
		db, sql, &rows, err, volume->snapshot_id, volume->source_volid);
	if (count < 0)
		return error_context(err, "look for the origin of '%s'", volume->id);
	if (count == 0)
		return error_set(err, ERR_NOT_FOUND,
			"what volume '%s' is made from is not there any more",
			volume->id);
	text_copy(out, ADDRESS_SIZE, row_text_or(rows, 0, "host", ""));
	return 0;
}
