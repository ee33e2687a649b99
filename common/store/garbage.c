/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/garbage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/operations.h"

int store_object_get(struct db *db, const char *backend, const char *name_id,
	struct object_row *out, struct error *err)
{
	static const char sql[] = "select name, identity from drover.object"
				  " where host = $1 and volume_id = $2"
				  " order by created_at desc limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, backend, name_id);

	out->location[0] = '\0';
	if (count <= 0)
		return count;
	snprintf(out->name, sizeof(out->name), "%s", row_text_or(rows, 0, "name", ""));
	snprintf(out->identity, sizeof(out->identity), "%s",
		row_text_or(rows, 0, "identity", ""));
	return 1;
}

int store_object_hint(struct db *db, const char *backend, const char *name_id,
	struct object_hint *out, struct error *err)
{
	/* A volume that was deleted is still known by its row. */
	static const char sql[] =
		"select v.provider_location, m.value as format from public.volumes v"
		" left join public.volume_admin_metadata m on m.volume_id = v.id"
		"  and m.key = 'format' and not m.deleted"
		" where coalesce(v._name_id, v.id) = $2"
		" and split_part(v.host, '#', 1) = $1 order by v.deleted limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, backend, name_id);

	memset(out, 0, sizeof(*out));
	if (count <= 0)
		return count;
	text_copy(out->location, sizeof(out->location),
		row_text_or(rows, 0, "provider_location", ""));
	text_copy(out->format, sizeof(out->format), row_text_or(rows, 0, "format", ""));
	return 1;
}

struct object_change {
	const struct operation *op;
	const char *backend, *name, *value;
};

static int plan_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"insert into drover.object (host, name, volume_id) values ($1, $2, $3)"
		" on conflict (host, name) do nothing";
	const struct object_change *what = arg;

	if (what->op && store_operation_check_locked(db, what->op, err) < 0)
		return -1;
	return db_run(db, sql, err, what->backend, what->name, what->value) < 0 ? -1
										: 0;
}

int store_object_plan(struct db *db, const struct operation *op, const char *backend,
	const char *name, const char *name_id, struct error *err)
{
	struct object_change what = { op, backend, name, name_id };

	return db_transact(db, plan_body, &what, err);
}

static int identify_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] = "update drover.object set identity = $3"
				  " where host = $1 and name = $2";
	const struct object_change *what = arg;
	int count;

	if (what->op && store_operation_check_locked(db, what->op, err) < 0)
		return -1;
	count = db_run(db, sql, err, what->backend, what->name, what->value);
	if (count == 0)
		return error_set(err, ERR_FENCED,
			"object '%s' of '%s' is not written down any more", what->name,
			what->backend);
	return count < 0 ? -1 : 0;
}

int store_object_identify(struct db *db, const struct operation *op,
	const char *backend, const char *name, const char *identity, struct error *err)
{
	struct object_change what = { op, backend, name, identity };

	return db_transact(db, identify_body, &what, err);
}

int store_garbage_add_volume_locked(struct db *db, const struct volume *volume,
	const char *backend, const char *operation_id, double keep_seconds,
	const char *reason, struct error *err)
{
	static const char sql[] =
		"insert into drover.garbage (host, name, trash_name, identity, by_name,"
		" volume_id, operation_id, reason, remove_after)"
		" select $1, coalesce(o.name, 'volume-' || $2::text),"
		" 'trash-' || $2::text || '-' || substr(md5($3::text), 1, 8),"
		" o.identity, o.name is null, $2, $4::uuid, $5,"
		" now() + make_interval(secs => $6::float8)"
		" from (select 1) one left join drover.object o"
		"  on o.host = $1 and o.volume_id = $2"
		" on conflict (host, name) where removed_at is null do update set"
		" identity = coalesce(drover.garbage.identity, excluded.identity),"
		" by_name = drover.garbage.by_name and excluded.by_name,"
		" operation_id = excluded.operation_id, reason = excluded.reason,"
		" remove_after = greatest(drover.garbage.remove_after,"
		"  excluded.remove_after), not_before = now()";
	char token[UUID_TEXT_SIZE], keep[32];

	uuid_make(token);
	snprintf(keep, sizeof(keep), "%.3f", keep_seconds);
	if (db_run(db, sql, err, backend, volume->name_id, token, operation_id, reason,
		    keep) < 0)
		return error_context(err, "note the leftover of '%s'", volume->id);
	return store_notify(db, WORK_CHANNEL, backend, err);
}

int store_garbage_add_snapshot_locked(struct db *db, const char *snapshot_id,
	const char *backend, const char *operation_id, const char *reason,
	struct error *err)
{
	static const char sql[] =
		"insert into drover.garbage (host, name, trash_name, identity,"
		" volume_id, operation_id, reason)"
		" select o.host, o.name,"
		" 'trash-' || o.volume_id || '-' || substr(md5($3::text), 1, 8),"
		" o.identity, o.volume_id, $4::uuid, $5 from drover.object o"
		" where o.host = $1 and o.volume_id = $2"
		" on conflict (host, name) where removed_at is null do update set"
		" identity = coalesce(drover.garbage.identity, excluded.identity),"
		" operation_id = excluded.operation_id, reason = excluded.reason,"
		" not_before = now()";
	char token[UUID_TEXT_SIZE];

	uuid_make(token);
	if (db_run(db, sql, err, backend, snapshot_id, token, operation_id, reason) < 0)
		return error_context(
			err, "note the leftover of snapshot '%s'", snapshot_id);
	return store_notify(db, WORK_CHANNEL, backend, err);
}

/* What was copied to may be all that is left when the source is gone for good: it is renamed,
 * and removed when the source's manager is there again. */
#define DUE \
	"(not g.quarantined and g.remove_after <= now()" \
	"  and not exists (select 1 from drover.migration km" \
	"  join drover.operation ko on ko.id = km.operation_id" \
	"  join drover.manager kl on kl.host = ko.host" \
	"  where km.operation_id = g.operation_id and km.temporary_id = g.volume_id" \
	"  and km.copy_started_at is not null and kl.expires_at < now()))"

#define COLUMNS \
	"g.id, g.host, g.name, g.trash_name, g.identity, g.by_name, g.volume_id," \
	" g.operation_id, g.reason, g.state, g.quarantined, g.epoch, g.attempts," \
	" g.last_error," \
	" " DUE " as due," \
	" to_char(g.created_at, 'YYYY-MM-DD\"T\"HH24:MI:SS') as created_text," \
	" extract(epoch from now() - g.created_at) as age_s," \
	" greatest(0, extract(epoch from (case when g.state = 'renamed' then" \
	"  greatest(g.not_before, g.remove_after) else g.not_before end) - now()))" \
	"  as wait_s"

#define COPY(field, column) \
	text_copy(out->field, sizeof(out->field), row_text_or(rows, row, column, ""))

static void garbage_from_row(const PGresult *rows, int row, struct garbage *out)
{
	const char *state = row_text_or(rows, row, "state", "");

	memset(out, 0, sizeof(*out));
	COPY(id, "id");
	COPY(host, "host");
	COPY(name, "name");
	COPY(trash_name, "trash_name");
	COPY(identity, "identity");
	COPY(volume_id, "volume_id");
	COPY(operation_id, "operation_id");
	COPY(reason, "reason");
	COPY(last_error, "last_error");
	COPY(created_at, "created_text");
	out->state = strcmp(state, "waiting") == 0 ? GARBAGE_WAITING
		: strcmp(state, "renamed") == 0    ? GARBAGE_RENAMED
						   : GARBAGE_REMOVED;
	out->by_name = row_bool(rows, row, "by_name");
	out->due = row_bool(rows, row, "due");
	out->quarantined = row_bool(rows, row, "quarantined");
	out->epoch = row_int(rows, row, "epoch");
	out->attempts = row_int(rows, row, "attempts");
	out->age_s = row_double(rows, row, "age_s");
	out->wait_s = row_double(rows, row, "wait_s");
}

static int list_from(
	PGresult *rows, int count, struct garbage **list, struct error *err)
{
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++)
		garbage_from_row(rows, i, &(*list)[i]);
	return count;
}

int store_garbage_due(struct db *db, const char *backend, int limit,
	struct garbage **list, struct error *err)
{
	static const char sql[] =
		"select " COLUMNS " from drover.garbage g where g.host = $1"
		" and g.removed_at is null and g.not_before <= now()"
		" and not exists (select 1 from drover.operation o"
		"  where o.id = g.operation_id and o.finished_at is null)"
		" and not g.quarantined and not exists (select 1 from drover.export e"
		"  where e.volume_id = g.volume_id and e.host = g.host"
		"  and e.closed_at is null)"
		" and (g.state = 'waiting' or " DUE ")"
		" order by g.created_at, g.id limit $2::int";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, backend, NUM(limit));

	if (count < 0)
		return error_context(err, "look for leftovers of '%s'", backend);
	return list_from(rows, count, list, err);
}

int store_garbage_list(
	struct db *db, const char *backend, struct garbage **list, struct error *err)
{
	static const char sql[] =
		"select " COLUMNS " from drover.garbage g where g.removed_at is null"
		" and ($1::text is null or g.host = $1) order by g.created_at, g.id"
		" limit 100000";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, backend);

	if (count < 0)
		return error_context(err, "list leftovers");
	return list_from(rows, count, list, err);
}

static int hurry_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"update drover.garbage g set operation_id = null, remove_after = now(),"
		" not_before = now(), quarantined = false where g.removed_at is null"
		" and $1 in (g.id::text, g.name, g.trash_name)"
		" and not exists (select 1 from drover.operation o"
		"  where o.id = g.operation_id and o.finished_at is null) returning g.host";
	AUTO(PQclear) PGresult *rows = NULL;
	const char *which = arg;
	int count = db_query(db, sql, &rows, err, which);

	if (count < 0)
		return -1;
	if (count == 0)
		return error_set(err, ERR_NOT_FOUND,
			"no leftover '%.300s' waits for its removal; 'drover garbage' "
			"lists them",
			which);
	if (count > 1)
		return error_set(err, ERR_AMBIGUOUS,
			"%d leftovers are called '%.300s': name one by its id, 'drover "
			"garbage --json' shows it",
			count, which);
	return store_notify(db, WORK_CHANNEL, row_text(rows, 0, "host"), err);
}

int store_garbage_hurry(struct db *db, const char *which, struct error *err)
{
	return db_transact(db, hurry_body, (void *)(uintptr_t)which, err);
}

int store_garbage_of_operation(struct db *db, const char *operation_id,
	const char *backend, struct garbage *out, struct error *err)
{
	static const char sql[] =
		"select " COLUMNS
		" from drover.garbage g where g.operation_id = $1::uuid"
		" and g.host = $2 and g.removed_at is null limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, operation_id, backend);

	if (count > 0)
		garbage_from_row(rows, 0, out);
	return count;
}

int store_garbage_claim(
	struct db *db, const char *id, struct garbage *out, struct error *err)
{
	static const char sql[] =
		"update drover.garbage g set epoch = g.epoch + 1,"
		" attempts = g.attempts + 1,"
		" not_before = now() + make_interval(secs =>"
		"  least(600, power(2, least(g.attempts, 10))))"
		" where g.id = $1::uuid and g.removed_at is null returning " COLUMNS;
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, id);

	if (count < 0)
		return error_context(err, "claim the leftover '%s'", id);
	if (count > 0)
		garbage_from_row(rows, 0, out);
	return count;
}

int store_garbage_in_use(
	struct db *db, const struct garbage *garbage, struct error *err)
{
	/* coalesce(_name_id, id) is what object names are based on. A snapshot that could
	 * not be made keeps its row, in status error, and has no use for its object. */
	static const char sql[] =
		"select 1 from public.volumes v where not v.deleted"
		" and split_part(v.host, '#', 1) = $1"
		" and coalesce(v._name_id, v.id) = $2 union all"
		" select 1 from public.snapshots p where not p.deleted and p.id = $2"
		" and not (p.status in ('error', 'error_deleting', 'deleting')"
		"  and exists (select 1 from drover.operation o where"
		"  o.snapshot_id = p.id and o.kind = 'create_snapshot'"
		"  and o.phase = 'failed')) limit 1";
	AUTO(PQclear) PGresult *rows = NULL;

	return db_query(db, sql, &rows, err, garbage->host, garbage->volume_id);
}

static int fenced(const struct garbage *garbage, struct error *err)
{
	return error_set(
		err, ERR_FENCED, "leftover '%s' was taken over", garbage->name);
}

int store_garbage_refresh(struct db *db, struct garbage *garbage, struct error *err)
{
	static const char sql[] =
		"update drover.garbage g set identity = coalesce(g.identity,"
		"  (select o.identity from drover.object o"
		"   where o.host = g.host and o.name = g.name))"
		" where g.id = $1::uuid and g.epoch = $2::bigint"
		" and g.removed_at is null returning " COLUMNS;
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, garbage->id, NUM(garbage->epoch));

	if (count == 0)
		return fenced(garbage, err);
	if (count > 0)
		garbage_from_row(rows, 0, garbage);
	return count < 0 ? -1 : 0;
}

int store_garbage_identify(struct db *db, const struct garbage *garbage,
	const char *name, const char *identity, struct error *err)
{
	static const char sql[] =
		"update drover.garbage set identity = $3, name = $4, by_name = false"
		" where id = $1::uuid and epoch = $2::bigint";
	int count =
		db_run(db, sql, err, garbage->id, NUM(garbage->epoch), identity, name);

	if (count == 0)
		return fenced(garbage, err);
	return count < 0 ? -1 : 0;
}

int store_garbage_renamed(struct db *db, struct garbage *garbage, struct error *err)
{
	static const char sql[] =
		"update drover.garbage set state = 'renamed', attempts = 0,"
		" not_before = now(), last_error = null"
		" where id = $1::uuid and epoch = $2::bigint and state <> 'removed'";
	int count = db_run(db, sql, err, garbage->id, NUM(garbage->epoch));

	if (count == 0)
		return fenced(garbage, err);
	if (count > 0)
		garbage->state = GARBAGE_RENAMED;
	return count < 0 ? -1 : 0;
}

/* Was it us, with a commit whose outcome was unknown? */
static int removed_before(struct db *db, struct garbage *garbage, struct error *err)
{
	static const char sql[] = "select 1 from drover.garbage where id = $1::uuid"
				  " and epoch = $2::bigint and removed_at is not null";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, garbage->id, NUM(garbage->epoch));

	if (count == 0)
		return fenced(garbage, err);
	if (count > 0)
		garbage->state = GARBAGE_REMOVED;
	return count < 0 ? -1 : 0;
}

static int removed_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"update drover.garbage set state = 'removed', removed_at = now(),"
		" last_error = null where id = $1::uuid and epoch = $2::bigint"
		" and removed_at is null";
	static const char forget[] =
		"delete from drover.object where host = $1 and name = $2"
		" and identity is not distinct from nullif($3, '')";
	struct garbage *garbage = arg;
	int count = db_run(db, sql, err, garbage->id, NUM(garbage->epoch));

	if (count == 0)
		return removed_before(db, garbage, err);
	if (count < 0 ||
		db_run(db, forget, err, garbage->host, garbage->name,
			garbage->identity) < 0)
		return -1;
	garbage->state = GARBAGE_REMOVED;
	return 0;
}

int store_garbage_removed(struct db *db, struct garbage *garbage, struct error *err)
{
	return db_transact(db, removed_body, garbage, err);
}

int store_garbage_failed(struct db *db, const struct garbage *garbage,
	const char *reason, struct error *err)
{
	static const char sql[] = "update drover.garbage set last_error = $3"
				  " where id = $1::uuid and epoch = $2::bigint";

	return db_run(db, sql, err, garbage->id, NUM(garbage->epoch), reason) < 0 ? -1
										  : 0;
}
