/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/expired.h"

int store_expire_reservations(struct db *db, struct error *err)
{
	/* Only positive deltas were added to "reserved". */
	static const char sql[] =
		"with gone as (update public.reservations set deleted = true,"
		"  deleted_at = localtimestamp where not deleted"
		"  and expire < localtimestamp returning usage_id, delta),"
		" sums as (select usage_id, sum(greatest(delta, 0))::int as amount"
		"  from gone group by usage_id)"
		" update public.quota_usages u set updated_at = localtimestamp,"
		"  reserved = greatest(0, u.reserved - s.amount)"
		" from sums s where u.id = s.usage_id and s.amount > 0";

	return db_run(db, sql, err);
}

int store_expire_messages(struct db *db, struct error *err)
{
	static const char sql[] =
		"update public.messages set deleted = true, deleted_at = localtimestamp"
		" where not deleted and expires_at < localtimestamp";

	return db_run(db, sql, err);
}
