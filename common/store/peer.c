/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a Cinder source ---- */

struct exchange {
	const char *volume_id, *new_volume_id;
};

static int exchange_rows(struct db *db, const struct exchange *what, struct error *err)
{
	/* Each is read as it was before the statement. */
	static const char sql[] =
		"update public.volumes v set _name_id = coalesce(o._name_id, o.id),"
		" provider_location = o.provider_location,"
		" updated_at = localtimestamp from public.volumes o"
		" where v.id in ($1, $2) and o.id in ($1, $2) and o.id <> v.id";
	int count = db_run(db, sql, err, what->volume_id, what->new_volume_id);

	if (count == 2 || count < 0)
		return count < 0 ? -1 : 0;
	return error_set(err, ERR_INTERNAL, "the exchange changed %d rows", count);
}

static int exchange_body(struct db *db, void *arg, struct error *err)
{
	const struct exchange *what = arg;
	struct volume volume, new_volume;
	char expected[64];

	if (store_volume_require_locked(db, what->volume_id, &volume, err) < 0 ||
		store_volume_require_locked(db, what->new_volume_id, &new_volume, err) <
			0)
		return -1;
	snprintf(expected, sizeof(expected), "target:%s", volume.id);
	if (strcmp(new_volume.migration_status, expected) != 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' is not the target of a migration of '%s': its "
			"migration_status is '%s'",
			new_volume.id, volume.id, new_volume.migration_status);
	/* The call came again. */
	if (strcmp(volume.name_id, new_volume.id) == 0)
		return 0;
	return exchange_rows(db, what, err);
}

int store_peer_exchange(struct db *db, const char *volume_id, const char *new_volume_id,
	struct error *err)
{
	struct exchange what = { volume_id, new_volume_id };

	return db_transact(db, exchange_body, &what, err) < 0 ? -1 : 0;
}

/* ---- a Cinder target ---- */

int store_peer_is(struct db *db, const struct migration *m, struct error *err)
{
	static const char sql[] = "select peer from drover.migration"
				  " where operation_id = $1::uuid";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, m->op.id);

	return count <= 0 ? count : row_bool(rows, 0, "peer");
}

int store_peer_leftovers(struct db *db, const char *backend,
	struct peer_leftover **list, struct error *err)
{
	static const char sql[] =
		"select v.id, o.id as operation_id from drover.operation o"
		" join drover.migration m on m.operation_id = o.id"
		" join public.volumes v on v.id = m.temporary_id"
		" where o.host = $1 and m.peer and o.phase in ('failed', 'cancelled')"
		" and not v.deleted and v.migration_status like 'target:%'"
		" order by o.created_at limit 100";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, backend), kept = 0;

	if (count < 0)
		return error_context(err, "look for what Cinder is to delete");
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++) {
		struct peer_leftover *one = &(*list)[kept];
		int found = store_volume_get(
			db, row_text(rows, i, "id"), &one->volume, err);

		if (found < 0)
			return -1;
		text_copy(one->operation_id, sizeof(one->operation_id),
			row_text(rows, i, "operation_id"));
		kept += found;
	}
	return kept;
}
