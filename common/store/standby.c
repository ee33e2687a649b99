/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/standby.h"

#include "common/text.h"

int store_standby_ask(struct db *db, struct standby_mark *mark,
	enum standby_answer *out, char name[64], struct error *err)
{
	/* Whoever replays is a standby: a base backup, an archive (pg_receivewal), a
	 * subscriber are none. Rows that the role may not see have no state. */
	static const char sql[] =
		"with mark as (select coalesce(nullif($1, '')::pg_lsn,"
		"  pg_current_wal_flush_lsn()) as lsn)"
		" select max(mark.lsn::text) as lsn,"
		" count(r.pid) filter (where r.state is null) as hidden,"
		" min(r.application_name) filter (where (r.flush_lsn < mark.lsn"
		"   and r.replay_lsn is not null)"
		"  or (r.flush_lsn is null"
		"   and r.backend_start > now() - interval '10 s')) as behind"
		" from mark left join (select s.* from pg_stat_replication s"
		"  where s.state is distinct from 'backup' and not exists"
		"   (select 1 from pg_replication_slots p where p.active_pid = s.pid"
		"    and p.slot_type = 'logical')) r on true";
	AUTO(PQclear) PGresult *rows = NULL;

	if (mark->generation != db_generation(db))
		mark->lsn[0] = '\0';
	if (db_query(db, sql, &rows, err, mark->lsn) < 0)
		return error_context(err, "ask for the database's standbys");
	text_copy(name, 64, row_text_or(rows, 0, "behind", ""));
	/* The statement may have connected anew: then the mark is another server's. */
	if (mark->lsn[0] && mark->generation != db_generation(db)) {
		mark->lsn[0] = '\0';
		*out = STANDBY_BEHIND;
		return 0;
	}
	mark->generation = db_generation(db);
	text_copy(mark->lsn, sizeof(mark->lsn), row_text_or(rows, 0, "lsn", ""));
	*out = !row_null(rows, 0, "behind")      ? STANDBY_BEHIND
		: row_int(rows, 0, "hidden") > 0 ? STANDBY_HIDDEN
						 : STANDBY_HAS;
	return 0;
}
