/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/details.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/text.h"

#define COPY(field, column) \
	text_copy(out->field, sizeof(out->field), row_text_or(rows, row, column, ""))

static int detail_list(struct db *db, const char *sql, const char *id,
	struct detail **list, struct error *err)
{
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, id);

	if (count < 0)
		return -1;
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int row = 0; row < count; row++) {
		struct detail *out = &(*list)[row];

		COPY(key, "key");
		COPY(value, "value");
	}
	return count;
}

int store_metadata_list(
	struct db *db, const char *volume_id, struct detail **list, struct error *err)
{
	static const char sql[] = "select key, value from public.volume_metadata"
				  " where volume_id = $1 and not deleted and key is "
				  "not null order by key";

	return detail_list(db, sql, volume_id, list, err);
}

int store_type_spec_list(struct db *db, const char *volume_type_id,
	struct detail **list, struct error *err)
{
	static const char sql[] =
		"select key, value from public.volume_type_extra_specs where"
		" volume_type_id = $1 and not deleted and key is not null order by key";

	return detail_list(db, sql, volume_type_id, list, err);
}
