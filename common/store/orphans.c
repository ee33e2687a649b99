/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/orphans.h"

#include <stdlib.h>

#define BEFORE_THE_SWITCH \
	" o.kind = 'migrate_volume' and o.finished_at is null" \
	" and o.phase in ('queued', 'preparing', 'copying', 'sealing')"

int store_silent_list(struct db *db, struct silent **list, struct error *err)
{
	/* A backend that a Python service has now has a service that is up, and was so when
	 * the lease had ended: until then it may have been the manager itself. */
	static const char sql[] =
		"select m.host, m.expires_at::text as expired_at, m.pid = 0 as released"
		" from drover.manager m where m.expires_at < now()"
		" and not exists (select 1 from public.services s"
		"  where s.host = m.host and s.\"binary\" = 'cinder-volume'"
		"  and not s.deleted and s.updated_at > m.expires_at at time zone 'UTC'"
		"  and s.updated_at > localtimestamp - interval '60 s')"
		" and (exists (select 1 from drover.operation o"
		"   where o.host = m.host and" BEFORE_THE_SWITCH ")"
		"  or exists (select 1 from public.volumes v where not v.deleted"
		"   and v.migration_status = 'starting'"
		"   and split_part(v.host, '#', 1) = m.host))"
		" order by m.host limit 10000";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err);

	if (count < 0)
		return error_context(err, "look for hosts that are silent");
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++) {
		struct silent *silent = &(*list)[i];

		text_copy(
			silent->host, sizeof(silent->host), row_text(rows, i, "host"));
		text_copy(silent->expired_at, sizeof(silent->expired_at),
			row_text(rows, i, "expired_at"));
		silent->released = row_bool(rows, i, "released");
	}
	return count;
}

int store_orphan_list(struct db *db, const struct silent *silent, struct orphan **list,
	struct error *err)
{
	static const char sql[] =
		"select o.id, o.volume_id from drover.operation o where o.host = $1"
		" and" BEFORE_THE_SWITCH " order by o.created_at limit 1000";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, silent->host);

	if (count < 0)
		return error_context(err, "look for migrations of '%s'", silent->host);
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++) {
		struct orphan *orphan = &(*list)[i];

		text_copy(orphan->id, sizeof(orphan->id), row_text(rows, i, "id"));
		text_copy(orphan->volume_id, sizeof(orphan->volume_id),
			row_text(rows, i, "volume_id"));
	}
	return count;
}

struct taking {
	const struct orphan *orphan;
	const struct silent *silent;
	double seconds;
	bool keep_result, done;
};

static int take_back_body(struct db *db, void *arg, struct error *err)
{
	/* for share: it cannot show a sign of life until this is committed. */
	static const char still[] =
		"select 1 from drover.manager where host = $1"
		" and expires_at = $2::timestamptz and expires_at < now() for share";
	static const char claim[] =
		"update drover.operation o set epoch = " NEXT_EPOCH
		" where o.id = $1::uuid and" BEFORE_THE_SWITCH " returning o.epoch";
	struct taking *what = arg;
	AUTO(PQclear) PGresult *lease = NULL;
	AUTO(PQclear) PGresult *rows = NULL;
	struct volume volume;
	struct migration m;
	struct error why;
	int count;

	what->done = false;
	count = store_migration_get(db, what->orphan->id, &m, err);
	if (count <= 0)
		return count;
	/* The lock order is S, T, ours. */
	if (store_volume_get_locked(db, m.op.volume_id, &volume, err) < 0 ||
		store_volume_get_locked(db, m.temporary_id, &volume, err) < 0)
		return -1;
	count = db_query(
		db, still, &lease, err, what->silent->host, what->silent->expired_at);
	if (count > 0)
		count = db_query(db, claim, &rows, err, m.op.id);
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

int store_orphan_take_back(struct db *db, const struct orphan *orphan,
	const struct silent *silent, double seconds, bool keep_result,
	struct error *err)
{
	struct taking what = { orphan, silent, seconds, keep_result, false };

	if (db_transact(db, take_back_body, &what, err) < 0)
		return error_context(err, "take back the migration of volume '%s'",
			orphan->volume_id);
	return what.done;
}
