/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/doctor.h"

#include <stdlib.h>

#include "common/text.h"

/* Each gives kind, name, what and next. Drover's own rows mean nothing to Cinder; of the
 * tables they share, it does not go on with work that another service has begun. */
static const char *const to_leave[] = {
	"select 'operation' as kind, o.id::text as name,"
	" o.kind || ' of volume ' || o.volume_id || ' on ' || o.host || ' is '"
	"  || o.phase as what,"
	" case when o.kind = 'migrate_volume' and o.phase <> 'settling'"
	"  then 'wait for it (drover watch), or drover cancel ' || o.volume_id"
	"  else 'wait for it' end as next"
	" from drover.operation o where o.finished_at is null order by o.created_at",

	"select 'export' as kind, e.id::text as name,"
	" 'volume ' || e.volume_id || ' is open for ' || e.peer || ' by '"
	"  || e.host || ', over NBD' as what,"
	" 'drover disconnect ' || e.volume_id || ', on ' || e.peer as next"
	" from drover.export e where e.closed_at is null order by e.created_at",

	"select 'leftover' as kind, g.name, 'is not removed yet from ' || g.host"
	"  || coalesce(': ' || g.last_error, '') as what,"
	" 'wait, or drover garbage remove ' || g.name as next"
	" from drover.garbage g where g.removed_at is null order by g.created_at",

	"select 'volume' as kind, v.id as name, 'is ' || v.status ||"
	"  coalesce(', migration_status ' || v.migration_status, '') ||"
	"  ': somebody works on it' as what,"
	" 'wait, or cinder reset-state ' || v.id as next"
	" from public.volumes v where not v.deleted and (v.status in ('creating',"
	"  'deleting', 'attaching', 'detaching', 'extending', 'retyping',"
	"  'maintenance') or v.migration_status in ('starting', 'migrating',"
	"  'completing') or v.migration_status like 'target:%')"
	" order by v.created_at, v.id",

	"select 'snapshot' as kind, s.id as name, 'is ' || s.status"
	"  || ': somebody works on it' as what,"
	" 'wait, or cinder snapshot-reset-state ' || s.id as next"
	" from public.snapshots s where not s.deleted and s.status in ('creating',"
	"  'deleting', 'updating') order by s.created_at, s.id",

	/* Cinder's file systems hold a snapshot as a chain of qcow2 files. */
	"select 'snapshot' as kind, s.id as name, 'of volume ' || s.volume_id"
	"  || ' was made by Drover, as a file of its own: Cinder can neither use'"
	"  || ' nor remove it' as what,"
	" 'cinder snapshot-delete ' || s.id || ', while Drover runs' as next"
	" from public.snapshots s join drover.object o on o.volume_id = s.id"
	" where not s.deleted order by s.created_at, s.id",

	/* Of the drivers that both have, all find a volume by it. */
	"select 'volume' as kind, v.id as name, 'is on ' || v.host || ', where it'"
	"  || ' has no provider_location: no driver of Cinder finds it' as what,"
	" 'drover migrate ' || v.id || ' to a backend that Cinder has' as next"
	" from public.volumes v where not v.deleted and v.status <> 'error'"
	" and v.host is not null and v.provider_location is null"
	" and exists (select 1 from drover.manager m"
	"  where m.host = split_part(v.host, '#', 1))"
	" order by v.created_at, v.id",

	"select 'manager' as kind, m.host as name,"
	" 'is run by drover-volume-manager' as what,"
	" 'stop it: systemctl stop drover-volume-manager' as next"
	" from drover.manager m where m.expires_at > now() and m.pid <> 0"
	" order by m.host",
};

/* What is tried again and again, and what was left by it. */
static const char *const of_work[] = {
	"select 'operation' as kind, o.id::text as name,"
	" '(' || o.kind || ' of volume ' || o.volume_id || ') was tried '"
	"  || o.attempts || ' times' || coalesce(': ' || o.reason, '') as what,"
	" '' as next from drover.operation o where o.finished_at is null"
	" and o.attempts >= 3 order by o.created_at",

	"select 'leftover' as kind, g.name, 'of ' || g.host || ' was tried '"
	"  || g.attempts || ' times' || coalesce(': ' || g.last_error, '') as what,"
	" '' as next from drover.garbage g where g.removed_at is null"
	" and g.attempts >= 3 order by g.created_at",

	"select 'export' as kind, e.id::text as name, 'of volume ' || e.volume_id"
	"  || ' was started ' || e.restarts || ' times'"
	"  || coalesce(': ' || e.error, '') as what, '' as next"
	" from drover.export e where e.closed_at is null and e.restarts >= 3"
	" order by e.created_at",
};

static int ask(struct db *db, const char *question, struct obstacle **list, int count,
	struct error *err)
{
	AUTO(PQclear) PGresult *rows = NULL;
	int more = db_query(db, question, &rows, err);
	struct obstacle *all;

	if (more < 0)
		return error_context(err, "look for work that is not done");
	if (more > OBSTACLE_LIST_MAX - count)
		more = OBSTACLE_LIST_MAX - count;
	all = reallocarray(*list, (size_t)(count + more) + 1, sizeof(*all));
	if (!all)
		return error_no_memory(err);
	*list = all;
	for (int i = 0; i < more; i++) {
		struct obstacle *one = &all[count + i];

		text_copy(one->kind, sizeof(one->kind), row_text(rows, i, "kind"));
		text_copy(one->name, sizeof(one->name), row_text(rows, i, "name"));
		text_copy(one->what, sizeof(one->what), row_text(rows, i, "what"));
		text_copy(one->next, sizeof(one->next), row_text(rows, i, "next"));
	}
	return count + more;
}

static int ask_all(struct db *db, const char *const *questions, unsigned number,
	struct obstacle **list, struct error *err)
{
	AUTO(free) struct obstacle *all = NULL;
	int count = 0;

	for (unsigned i = 0; i < number && count >= 0; i++)
		count = ask(db, questions[i], &all, count, err);
	if (count >= 0)
		*list = steal(all);
	return count;
}

int store_obstacles(struct db *db, struct obstacle **list, struct error *err)
{
	return ask_all(db, to_leave, ARRAY_SIZE(to_leave), list, err);
}

int store_troubles(struct db *db, struct obstacle **list, struct error *err)
{
	return ask_all(db, of_work, ARRAY_SIZE(of_work), list, err);
}
