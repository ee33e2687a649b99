/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/history.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/text.h"

#define COPY(field, column) \
	text_copy(out->field, sizeof(out->field), row_text_or(rows, row, column, ""))

static void transition_from_row(const PGresult *rows, int row, struct transition *out)
{
	COPY(at, "at_text");
	COPY(from, "from_phase");
	COPY(to, "to_phase");
	COPY(why, "why");
	out->epoch = row_int(rows, row, "epoch");
}

int store_history(struct db *db, const char *operation_id, struct transition **list,
	struct error *err)
{
	static const char sql[] =
		"select to_char(at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"
		"  as at_text, epoch, from_phase, to_phase, why"
		" from drover.transition where operation_id = $1::uuid order by id";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, operation_id);

	if (count < 0)
		return error_context(err, "read the history of '%.36s'", operation_id);
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++)
		transition_from_row(rows, i, &(*list)[i]);
	return count;
}

int store_create_reason(
	struct db *db, const char *volume_id, char *out, size_t size, struct error *err)
{
	static const char sql[] =
		"select reason from drover.operation where volume_id = $1"
		" and kind = 'create_volume' and reason is not null"
		" order by created_at desc limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, volume_id);

	if (count > 0)
		snprintf(out, size, "%s", row_text(rows, 0, "reason"));
	return count;
}
