/* SPDX-License-Identifier: Apache-2.0 */
/* Reading migrations. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/migrations.h"

#define SELECT \
	"select o.id, o.kind, o.volume_id, o.host, o.request_id, o.phase, o.epoch," \
	" o.attempts, o.cancel, o.saved_status, o.reason, o.error_code," \
	" m.source, m.target, m.route, m.temporary_id, m.source_name_id," \
	" m.force_host_copy, m.lock_volume, m.size_bytes, m.checkpoint, m.digest," \
	" m.position, m.copied, m.skipped, m.rate, m.rate_limit," \
	" m.paused and o.finished_at is null as paused, v.display_name," \
	" to_char(o.created_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS') as created_text," \
	" to_char(o.finished_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS') as finished_text," \
	" extract(epoch from coalesce(o.finished_at, clock_timestamp())" \
	"  - o.created_at) as age_s," \
	" extract(epoch from coalesce(m.copy_finished_at, o.finished_at," \
	"  clock_timestamp()) - m.copy_started_at) as copy_s" \
	" from drover.operation o join drover.migration m on m.operation_id = o.id" \
	" left join public.volumes v on v.id = o.volume_id "

#define COPY(field, column) \
	text_copy(out->field, sizeof(out->field), row_text_or(rows, row, column, ""))

static void migration_from_row(const PGresult *rows, int row, struct migration *out)
{
	memset(out, 0, sizeof(*out));
	COPY(op.id, "id");
	COPY(op.kind, "kind");
	COPY(op.volume_id, "volume_id");
	COPY(op.host, "host");
	COPY(op.request_id, "request_id");
	COPY(op.saved_status, "saved_status");
	COPY(op.reason, "reason");
	out->op.phase = phase_from_name(row_text(rows, row, "phase"));
	out->op.epoch = row_int(rows, row, "epoch");
	out->op.attempts = row_int(rows, row, "attempts");
	out->op.cancel = row_bool(rows, row, "cancel");
	COPY(source, "source");
	COPY(target, "target");
	COPY(route, "route");
	COPY(temporary_id, "temporary_id");
	COPY(source_name_id, "source_name_id");
	COPY(digest, "digest");
	COPY(created_at, "created_text");
	COPY(finished_at, "finished_text");
	COPY(error_code, "error_code");
	COPY(volume_name, "display_name");
	out->force_host_copy = row_bool(rows, row, "force_host_copy");
	out->lock_volume = row_bool(rows, row, "lock_volume");
	out->size_bytes = row_int(rows, row, "size_bytes");
	out->checkpoint = row_int(rows, row, "checkpoint");
	out->position = row_int(rows, row, "position");
	out->copied = row_int(rows, row, "copied");
	out->skipped = row_int(rows, row, "skipped");
	out->rate = row_double(rows, row, "rate");
	out->rate_limit = store_pace_limit_of(rows, row);
	out->paused = row_bool(rows, row, "paused");
	out->age_s = row_double(rows, row, "age_s");
	out->copy_s = row_double(rows, row, "copy_s");
}

int store_migration_get(struct db *db, const char *operation_id, struct migration *out,
	struct error *err)
{
	static const char sql[] = SELECT "where o.id = $1::uuid";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, operation_id);

	if (count < 0)
		return error_context(err, "read migration '%.36s'", operation_id);
	if (count > 0)
		migration_from_row(rows, 0, out);
	return count;
}

int store_migration_last(
	struct db *db, const char *volume_id, struct migration *out, struct error *err)
{
	static const char sql[] =
		SELECT "where o.volume_id = $1 order by o.finished_at is null desc,"
		       " o.created_at desc, o.id limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, volume_id);

	if (count < 0)
		return error_context(err, "read the migrations of '%.36s'", volume_id);
	if (count > 0)
		migration_from_row(rows, 0, out);
	return count;
}

int store_migration_list(struct db *db, const char *volume_id, bool unfinished_only,
	int limit, struct migration **list, struct error *err)
{
	static const char sql[] =
		SELECT "where ($1::text is null or o.volume_id = $1)"
		       " and (not $2::bool or o.finished_at is null)"
		       " order by o.created_at desc, o.id limit $3::int";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(
		db, sql, &rows, err, volume_id, BOOL_TEXT(unfinished_only), NUM(limit));

	if (count < 0)
		return error_context(err, "list migrations");
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++)
		migration_from_row(rows, i, &(*list)[i]);
	return count;
}

int store_migration_reservations(
	struct db *db, struct reservation **list, struct error *err)
{
	static const char sql[] =
		"select m.target, sum(m.size_bytes / 1073741824)::bigint as gib"
		" from drover.operation o join drover.migration m"
		"  on m.operation_id = o.id left join drover.object b"
		"  on b.host = split_part(m.target, '#', 1)"
		"  and b.volume_id = m.temporary_id"
		" where o.finished_at is null and b.identity is null"
		" and m.target is not null and o.phase in ('queued', 'preparing')"
		" group by m.target";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err);

	if (count < 0)
		return error_context(err, "read reservations");
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++) {
		snprintf((*list)[i].target, sizeof((*list)[i].target), "%s",
			row_text_or(rows, i, "target", ""));
		(*list)[i].size_gib = row_int(rows, i, "gib");
	}
	return count;
}

int store_pool_load(struct db *db, struct pool_load **list, struct error *err)
{
	static const char sql[] =
		"select pool, sum(gib)::bigint as gib, count(*) as volumes from ("
		"  select host as pool, size as gib from public.volumes"
		"   where not deleted and host is not null"
		"  union all"
		"  select m.target, m.size_bytes / 1073741824 from drover.operation o"
		"   join drover.migration m on m.operation_id = o.id"
		"   where o.finished_at is null and o.phase = 'queued'"
		"   and m.target is not null) load group by pool";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err);

	if (count < 0)
		return error_context(err, "read the load of the pools");
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++) {
		snprintf((*list)[i].pool, sizeof((*list)[i].pool), "%s",
			row_text_or(rows, i, "pool", ""));
		(*list)[i].size_gib = row_int(rows, i, "gib");
		(*list)[i].volumes = row_int(rows, i, "volumes");
	}
	return count;
}
