/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/orphans.h"

#include <stdio.h>
#include <stdlib.h>

/* The work of a manager that was never there is not waited for by anybody; one that
 * released its lease ended in good order and is as silent. */
#define SILENT \
	" o.kind = 'migrate_volume' and o.finished_at is null" \
	" and o.phase in ('queued', 'preparing', 'copying', 'sealing')" \
	" and exists (select 1 from drover.manager m where m.host = o.host" \
	"  and m.expires_at < now() - make_interval(secs => $1::float8))"

int store_orphan_list(
	struct db *db, double seconds, struct orphan **list, struct error *err)
{
	static const char sql[] =
		"select o.id, o.volume_id, o.host from drover.operation o where" SILENT
		" order by o.created_at limit 100";
	AUTO(PQclear) PGresult *rows = NULL;
	char text[32];
	int count;

	snprintf(text, sizeof(text), "%.3f", seconds);
	count = db_query(db, sql, &rows, err, text);
	if (count < 0)
		return error_context(err, "look for migrations of hosts that are gone");
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++) {
		struct orphan *orphan = &(*list)[i];

		text_copy(orphan->id, sizeof(orphan->id), row_text(rows, i, "id"));
		text_copy(orphan->volume_id, sizeof(orphan->volume_id),
			row_text(rows, i, "volume_id"));
		text_copy(
			orphan->host, sizeof(orphan->host), row_text(rows, i, "host"));
	}
	return count;
}

struct taking {
	const struct orphan *orphan;
	double seconds;
	bool keep_result, done;
};

static int take_back_body(struct db *db, void *arg, struct error *err)
{
	static const char claim[] =
		"update drover.operation o set epoch = " NEXT_EPOCH
		" where o.id = $2::uuid and" SILENT " returning o.epoch";
	struct taking *what = arg;
	AUTO(PQclear) PGresult *rows = NULL;
	struct volume volume;
	struct migration m;
	struct error why;
	char text[32];
	int count;

	what->done = false;
	count = store_migration_get(db, what->orphan->id, &m, err);
	if (count <= 0)
		return count;
	/* The lock order is S, T, ours. */
	if (store_volume_get_locked(db, m.op.volume_id, &volume, err) < 0 ||
		store_volume_get_locked(db, m.temporary_id, &volume, err) < 0)
		return -1;
	snprintf(text, sizeof(text), "%.3f", what->seconds);
	count = db_query(db, claim, &rows, err, text, m.op.id);
	if (count <= 0)
		return count;
	m.op.epoch = row_int(rows, 0, "epoch");
	error_set(&why, ERR_TIMEOUT,
		"the manager of '%s' has been silent for more than %.0f s", m.op.host,
		what->seconds);
	what->done = true;
	return store_migration_roll_back_locked(
		db, &m, PHASE_FAILED, &why, what->keep_result, err);
}

int store_orphan_take_back(struct db *db, const struct orphan *orphan, double seconds,
	bool keep_result, struct error *err)
{
	struct taking what = { orphan, seconds, keep_result, false };

	if (db_transact(db, take_back_body, &what, err) < 0)
		return error_context(err, "take back the migration of volume '%s'",
			orphan->volume_id);
	return what.done;
}
