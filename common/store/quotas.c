/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/quotas.h"

#include "common/text.h"

int store_quota_commit(struct db *db, const char *reservation, struct error *err)
{
	static const char sql[] =
		"with gone as (update public.reservations set deleted = true,"
		"  deleted_at = localtimestamp, updated_at = localtimestamp"
		"  where uuid = $1 and not deleted returning usage_id, delta)"
		" update public.quota_usages u set updated_at = localtimestamp,"
		" in_use = greatest(0, in_use + gone.delta),"
		" reserved = greatest(0, reserved - greatest(0, gone.delta)) from gone"
		" where u.id = gone.usage_id";

	return db_run(db, sql, err, reservation) < 0 ? -1 : 0;
}

int store_quota_roll_back(struct db *db, const char *reservation, struct error *err)
{
	/* Only positive deltas were added to "reserved". */
	static const char sql[] =
		"with gone as (update public.reservations set deleted = true,"
		"  deleted_at = localtimestamp, updated_at = updated_at"
		"  where uuid = $1 and not deleted returning usage_id, delta)"
		" update public.quota_usages u set reserved = greatest(0, reserved -"
		"  gone.delta), updated_at = localtimestamp from gone"
		" where u.id = gone.usage_id and gone.delta > 0";

	return db_run(db, sql, err, reservation) < 0 ? -1 : 0;
}

int store_quota_hold(struct db *db, const char *reservation, struct error *err)
{
	static const char sql[] =
		"update public.reservations set updated_at = localtimestamp,"
		" expire = localtimestamp + interval '10 years'"
		" where uuid = $1 and not deleted";

	return db_run(db, sql, err, reservation) < 0 ? -1 : 0;
}

int store_quota_hold_all(
	struct db *db, const char *const *reservations, struct error *err)
{
	for (; reservations && *reservations; reservations++)
		if (store_quota_hold(db, *reservations, err) < 0)
			return -1;
	return 0;
}

int store_quota_commit_all(
	struct db *db, const char *const *reservations, struct error *err)
{
	for (; reservations && *reservations; reservations++)
		if (store_quota_commit(db, *reservations, err) < 0)
			return -1;
	return 0;
}

int store_quota_roll_back_all(
	struct db *db, const char *const *reservations, struct error *err)
{
	for (; reservations && *reservations; reservations++)
		if (store_quota_roll_back(db, *reservations, err) < 0)
			return -1;
	return 0;
}

int store_quota_each(struct db *db, const PGresult *rows,
	int (*settle)(struct db *db, const char *reservation, struct error *err),
	struct error *err)
{
	for (int i = 0; i < PQntuples(rows); i++)
		if (settle(db, row_text(rows, i, "uuid"), err) < 0)
			return -1;
	return 0;
}

int store_quota_give_back(struct db *db, const char *project_id, const char *resource,
	const char *volume_type, int64_t count, int64_t gib, struct error *err)
{
	static const char sql[] =
		"update public.quota_usages set updated_at = localtimestamp,"
		" in_use = greatest(0, in_use - case"
		"  when resource like 'gigabytes%' then $5::int else $4::int end)"
		" where project_id = $1 and not deleted and resource in"
		" ($2::text, 'gigabytes', $2::text || '_' || $3::text,"
		"  'gigabytes_' || $3::text)";

	return db_run(db, sql, err, project_id, resource, volume_type, NUM(count),
		       NUM(gib)) < 0
		? -1
		: 0;
}
