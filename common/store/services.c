/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/services.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct registration {
	const char *host, *binary, *zone, *version;
	char *uuid;
};

static int insert_service(
	struct db *db, struct registration *what, PGresult **rows, struct error *err)
{
	static const char sql[] =
		"insert into public.services (host, \"binary\", topic, report_count,"
		" created_at, updated_at, deleted, disabled, availability_zone,"
		" rpc_current_version, object_current_version, frozen, uuid,"
		" replication_status)"
		" values ($1, $2, $2, 0, localtimestamp, localtimestamp, false, false,"
		" $3, $4, $5, false, $6, $7) returning uuid";
	bool is_volume = strcmp(what->binary, VOLUME_BINARY) == 0;
	char uuid[UUID_TEXT_SIZE];

	uuid_make(uuid);
	return db_query(db, sql, rows, err, what->host, what->binary, what->zone,
		what->version, OBJECT_VERSION, uuid,
		is_volume ? "disabled" : "not-capable");
}

static int register_body(struct db *db, void *arg, struct error *err)
{
	/* The lock keeps two processes that start at once from inserting two rows:
	 * Cinder's table has no unique key on (host, binary). */
	static const char lock[] = "select pg_advisory_xact_lock("
				   "hashtextextended('drover:service:' || $1, 0))";
	static const char update[] =
		"update public.services set rpc_current_version = $3,"
		" object_current_version = $4, availability_zone = $5, topic = $2,"
		" report_count = report_count + 1, updated_at = localtimestamp"
		" where host = $1 and \"binary\" = $2 and not deleted returning uuid";
	struct registration *what = arg;
	AUTO(PQclear) PGresult *locked = NULL;
	AUTO(PQclear) PGresult *rows = NULL;

	if (db_query(db, lock, &locked, err, what->host) < 0)
		return -1;
	int count = db_query(db, update, &rows, err, what->host, what->binary,
		what->version, OBJECT_VERSION, what->zone);
	if (count == 0) {
		PQclear(steal(rows));
		count = insert_service(db, what, &rows, err);
	}
	if (count < 0)
		return -1;
	snprintf(what->uuid, UUID_TEXT_SIZE, "%s", row_text_or(rows, 0, "uuid", ""));
	return 0;
}

int store_service_register(struct db *db, const char *host, const char *binary,
	const char *availability_zone, const char *rpc_version,
	char uuid[UUID_TEXT_SIZE], struct error *err)
{
	struct registration what = { host, binary, availability_zone, rpc_version,
		uuid };

	if (db_transact(db, register_body, &what, err) < 0)
		return error_context(err, "register the service '%s'", host);
	return 0;
}

struct beat {
	const char *host, *binary;
};

static int beat_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"update public.services set report_count = report_count + 1,"
		" updated_at = localtimestamp"
		" where host = $1 and \"binary\" = $2 and not deleted";
	const struct beat *what = arg;

	return db_run(db, sql, err, what->host, what->binary);
}

int store_service_beat(
	struct db *db, const char *host, const char *binary, struct error *err)
{
	struct beat what = { host, binary };

	return db_transact_async(db, beat_body, &what, err);
}

int store_service_down(struct db *db, const char *host, const char *binary,
	double down_time, struct error *err)
{
	/* Cinder judges by updated_at, and by created_at too for migrations. */
	static const char sql[] =
		"update public.services set"
		" updated_at = localtimestamp - make_interval(secs => $3::float8 + 1),"
		" created_at = least(created_at,"
		" localtimestamp - make_interval(secs => $3::float8 + 1))"
		" where host = $1 and \"binary\" = $2 and not deleted";
	char seconds[32];

	snprintf(seconds, sizeof(seconds), "%.3f", down_time);
	return db_run(db, sql, err, host, binary, seconds) < 0 ? -1 : 0;
}

int store_service_freeze(
	struct db *db, const char *backend, bool frozen, struct error *err)
{
	/* updated_at is the heartbeat. What an administrator disabled for another reason
	 * is enabled by thawing too, as Cinder does it. */
	static const char sql[] =
		"update public.services set disabled = $2::bool, disabled_reason = $3,"
		" modified_at = localtimestamp where host = $1"
		" and \"binary\" = 'cinder-volume' and not deleted";

	return db_run(db, sql, err, backend, BOOL_TEXT(frozen), frozen ? "frozen" : "");
}

int store_service_not_failed_over(struct db *db, const char *backend, struct error *err)
{
	static const char sql[] =
		"update public.services set replication_status = 'disabled'"
		" where host = $1 and \"binary\" = 'cinder-volume' and not deleted"
		" and replication_status in ('failing-over', 'failover-error')";

	return db_run(db, sql, err, backend);
}

#define COLUMNS \
	"select s.id, s.uuid, s.host, s.\"binary\" as kind, s.availability_zone, " \
	"s.disabled," \
	" s.disabled_reason, s.frozen," \
	" to_char(s.updated_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.US') as updated_text," \
	" coalesce(s.updated_at, s.created_at) between" \
	"  localtimestamp - make_interval(secs => $1::float8)" \
	"  and localtimestamp + make_interval(secs => $1::float8) as up," \
	" m.owner::text as owner" \
	" from public.services s left join drover.manager m on m.host = s.host" \
	"  and s.\"binary\" = 'cinder-volume' and m.expires_at > now()"

static void service_from_row(const PGresult *rows, int row, struct service *out)
{
	memset(out, 0, sizeof(*out));
	out->id = row_int(rows, row, "id");
	snprintf(
		out->uuid, sizeof(out->uuid), "%s", row_text_or(rows, row, "uuid", ""));
	snprintf(
		out->host, sizeof(out->host), "%s", row_text_or(rows, row, "host", ""));
	snprintf(out->binary, sizeof(out->binary), "%s",
		row_text_or(rows, row, "kind", ""));
	snprintf(out->availability_zone, sizeof(out->availability_zone), "%s",
		row_text_or(rows, row, "availability_zone", ""));
	snprintf(out->disabled_reason, sizeof(out->disabled_reason), "%s",
		row_text_or(rows, row, "disabled_reason", ""));
	snprintf(out->updated_at, sizeof(out->updated_at), "%s",
		row_text_or(rows, row, "updated_text", ""));
	snprintf(out->owner, sizeof(out->owner), "%s",
		row_text_or(rows, row, "owner", ""));
	out->up = row_bool(rows, row, "up");
	out->disabled = row_bool(rows, row, "disabled");
	out->frozen = row_bool(rows, row, "frozen");
	out->drover = out->owner[0] != '\0';
}

int store_service_list(
	struct db *db, double down_time, struct service **list, struct error *err)
{
	static const char sql[] =
		COLUMNS " where not s.deleted order by s.\"binary\", s.host";
	AUTO(PQclear) PGresult *rows = NULL;
	char seconds[32];
	int count;

	snprintf(seconds, sizeof(seconds), "%.3f", down_time);
	count = db_query(db, sql, &rows, err, seconds);
	if (count < 0)
		return error_context(err, "list services");
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++)
		service_from_row(rows, i, &(*list)[i]);
	return count;
}

int store_service_get(struct db *db, const char *backend, double down_time,
	struct service *out, struct error *err)
{
	static const char sql[] =
		COLUMNS " where not s.deleted and s.topic = 'cinder-volume'"
			" and s.host = $2 order by up desc, s.id limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	char seconds[32];
	int count;

	snprintf(seconds, sizeof(seconds), "%.3f", down_time);
	count = db_query(db, sql, &rows, err, seconds, backend);
	if (count < 0)
		return error_context(err, "look for the service '%s'", backend);
	if (count > 0)
		service_from_row(rows, 0, out);
	return count > 0;
}

int store_lease_take(struct db *db, const char *backend, const char *owner, int pid,
	double seconds, char *holder, size_t size, struct error *err)
{
	static const char take[] =
		"insert into drover.manager as m (host, owner, pid, expires_at)"
		" values ($1, $2::uuid, $3::int, now() + make_interval(secs => "
		"$4::float8))"
		" on conflict (host) do update set owner = excluded.owner,"
		" pid = excluded.pid, renewed_at = now(), expires_at = "
		"excluded.expires_at,"
		" started_at = case when m.owner = excluded.owner then m.started_at"
		"  else now() end"
		" where m.owner = excluded.owner or m.expires_at < now()";
	static const char who[] =
		"select format('process %s, since %s', pid,"
		" to_char(started_at, 'YYYY-MM-DD HH24:MI:SS')) as holder"
		" from drover.manager where host = $1";
	AUTO(PQclear) PGresult *rows = NULL;
	char text[32];
	int count;

	snprintf(text, sizeof(text), "%.3f", seconds);
	count = db_run(db, take, err, backend, owner, NUM(pid), text);
	if (count < 0)
		return error_context(err, "take the lease on '%s'", backend);
	if (count > 0)
		return 1;
	if (db_query(db, who, &rows, err, backend) < 0)
		return -1;
	snprintf(holder, size, "%s",
		PQntuples(rows) ? row_text_or(rows, 0, "holder", "") : "");
	return 0;
}

int store_lease_release(
	struct db *db, const char *backend, const char *owner, struct error *err)
{
	static const char sql[] =
		"update drover.manager set expires_at = now() - interval '1 ms', pid = 0"
		" where host = $1 and owner = $2::uuid";

	return db_run(db, sql, err, backend, owner);
}
