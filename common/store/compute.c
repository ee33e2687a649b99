/* SPDX-License-Identifier: Apache-2.0 */
/* Attached volumes: which ones Compute can move, and the question to it. */
#include "common/store/compute.h"

#include <stdio.h>
#include <string.h>

#include "common/store/migration_parts.h"

int store_compute_offer(struct db *db, const char *backend, const char *owner,
	const char *compute_api, struct error *err)
{
	static const char sql[] =
		"update drover.manager set compute_api = $3 where host = $1"
		" and owner = $2::uuid and compute_api <> $3";

	return db_run(db, sql, err, backend, owner, compute_api) < 0 ? -1 : 0;
}

/* ---- admission ---- */

static int refuse(const struct volume *volume, struct error *err, const char *why)
{
	return error_set(err, ERR_INVALID_VOLUME, "volume '%s' cannot be migrated: %s",
		volume_called(volume), why);
}

static int refuse_attached(
	struct db *db, const struct volume *volume, struct error *err)
{
	char who[256];

	if (store_volume_attached_to(db, volume->id, who, sizeof(who), err) < 0)
		return -1;
	return error_set(err, ERR_INVALID_VOLUME,
		"volume '%s' cannot be migrated: it is attached to %s; detach it first",
		volume_called(volume), who[0] ? who : "somebody");
}

/* 1: its manager asks somebody. */
static int has_compute(struct db *db, const struct volume *volume, struct error *err)
{
	static const char sql[] =
		"select 1 from drover.manager where host = split_part($1, '#', 1)"
		" and compute_api <> 'none'";
	AUTO(PQclear) PGresult *rows = NULL;

	return db_query(db, sql, &rows, err, volume->host);
}

static int check_one(const struct volume *volume, const PGresult *rows, int count,
	struct guest *out, struct error *err)
{
	char text[160];

	if (count != 1) {
		snprintf(text, sizeof(text),
			"it has %d attachments, and Compute can move a volume with one",
			count);
		return refuse(volume, err, text);
	}
	if (row_null(rows, 0, "instance_uuid"))
		return refuse(volume, err,
			"it is attached to a host without a server, which Compute knows "
			"nothing of");
	if (!uuid_is(row_text(rows, 0, "instance_uuid")))
		return refuse(volume, err, "the id of its server is none");
	if (strcmp(row_text_or(rows, 0, "attach_status", ""), "attached") != 0)
		return refuse(volume, err, "it is being attached or detached");
	text_copy(out->attachment_id, sizeof(out->attachment_id),
		row_text_or(rows, 0, "id", ""));
	text_copy(out->server_id, sizeof(out->server_id),
		row_text_or(rows, 0, "instance_uuid", ""));
	text_copy(
		out->mode, sizeof(out->mode), row_text_or(rows, 0, "attach_mode", ""));
	return 0;
}

/* The guest's host is connected, and nobody else. By the older way its connection does not
 * tell whose it is. */
static int check_others(struct db *db, const struct volume *volume, struct error *err)
{
	static const char sql[] =
		"select peer from drover.export where volume_id = $1"
		" and kind = 'attachment' and closed_at is null"
		" union select peer from drover.connection where volume_id = $1"
		" and closed_at is null";
	AUTO(PQclear) PGresult *rows = NULL;
	char text[640];
	int count = db_query(db, sql, &rows, err, volume->id);

	if (count < 2)
		return count < 0 ? -1 : 0;
	snprintf(text, sizeof(text), "it is connected to several hosts, '%s' and '%s'",
		row_text_or(rows, 0, "peer", ""), row_text_or(rows, 1, "peer", ""));
	return refuse(volume, err, text);
}

int store_compute_check(struct db *db, const struct volume *volume, struct guest *out,
	struct error *err)
{
	static const char sql[] =
		"select id, instance_uuid, attach_status, attach_mode"
		" from public.volume_attachment where volume_id = $1 and not deleted"
		" order by created_at";
	AUTO(PQclear) PGresult *rows = NULL;
	int asks = has_compute(db, volume, err), count;

	if (asks <= 0)
		return asks < 0 ? -1 : refuse_attached(db, volume, err);
	count = db_query(db, sql, &rows, err, volume->id);
	if (count < 0)
		return -1;
	memset(out, 0, sizeof(*out));
	if (count == 0)
		return refuse_attached(db, volume, err);
	if (check_one(volume, rows, count, out, err) < 0 ||
		check_others(db, volume, err) < 0)
		return -1;
	/* LUKS is in the way of the guest's own copy: W-46. */
	if (volume->encrypted)
		return refuse(volume, err,
			"it is attached and encrypted, which Compute cannot move");
	return 0;
}

int store_compute_admit_locked(struct db *db, const struct volume *volume,
	const char *operation_id, struct error *err)
{
	static const char route[] = "update drover.migration set route = 'compute'"
				    " where operation_id = $1::uuid";
	static const char swap[] =
		"insert into drover.swap (operation_id, attachment_id, server_id,"
		" attach_mode, api) select $1::uuid, $2, $3, nullif($4, ''),"
		" compute_api from drover.manager where host = split_part($5, '#', 1)";
	struct guest guest;

	if (store_compute_check(db, volume, &guest, err) < 0 ||
		db_run(db, route, err, operation_id) < 0)
		return -1;
	return db_run(db, swap, err, operation_id, guest.attachment_id, guest.server_id,
		       guest.mode, volume->host) < 0
		? -1
		: 0;
}

/* A volume that is copied by us must not be written to by somebody who was told how. */
static int check_not_connected(
	struct db *db, const struct volume *volume, struct error *err)
{
	static const char sql[] =
		"select peer from drover.export where volume_id = $1"
		" and kind = 'attachment' and closed_at is null"
		" union all select peer from drover.connection where volume_id = $1"
		" and closed_at is null limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	char text[320];
	int count = db_query(db, sql, &rows, err, volume->id);

	if (count <= 0)
		return count;
	snprintf(text, sizeof(text), "it is still connected to '%s'",
		row_text_or(rows, 0, "peer", ""));
	return refuse(volume, err, text);
}

static int other_route(struct db *db, struct migration *m, const struct volume *volume,
	struct error *err)
{
	static const char route[] = "update drover.migration set route = null"
				    " where operation_id = $1::uuid";
	static const char swap[] =
		"delete from drover.swap where operation_id = $1::uuid";

	if (check_not_connected(db, volume, err) < 0 ||
		db_run(db, route, err, m->op.id) < 0 ||
		db_run(db, swap, err, m->op.id) < 0)
		return -1;
	return 0;
}

int store_compute_route(struct db *db, struct migration *m, struct error *err)
{
	static const char sql[] = "select route from drover.migration"
				  " where operation_id = $1::uuid";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, m->op.id);

	if (count > 0)
		text_copy(
			m->route, sizeof(m->route), row_text_or(rows, 0, "route", ""));
	return count < 0 ? -1 : 0;
}

int store_compute_prepare_locked(struct db *db, struct migration *m,
	const struct volume *volume, struct error *err)
{
	static const char sql[] =
		"select 1 from drover.swap where operation_id = $1::uuid"
		" and attachment_id = $2 and server_id = $3";
	AUTO(PQclear) PGresult *rows = NULL;
	struct guest guest;
	int same;

	if (volume->attachments == 0 && strcmp(volume->status, "available") == 0)
		return other_route(db, m, volume, err);
	if (store_compute_check(db, volume, &guest, err) < 0)
		return -1;
	same = db_query(
		db, sql, &rows, err, m->op.id, guest.attachment_id, guest.server_id);
	if (same == 0)
		return refuse(
			volume, err, "it was attached to another server meanwhile");
	return same < 0 ? -1 : 1;
}

/* ---- while Compute has it ---- */

#define COPY(field, column) \
	text_copy(out->field, sizeof(out->field), row_text_or(rows, row, column, ""))

static void swap_from_row(const PGresult *rows, int row, struct swap *out)
{
	memset(out, 0, sizeof(*out));
	COPY(guest.attachment_id, "attachment_id");
	COPY(guest.server_id, "server_id");
	COPY(guest.mode, "attach_mode");
	COPY(target_status, "target_status");
	COPY(hypervisor, "hypervisor");
	COPY(target_attachment_id, "target_attachment_id");
	COPY(said, "said");
	out->rpc = strcmp(row_text(rows, row, "api"), "rpc") == 0;
	out->others = row_int(rows, row, "others");
	out->said_s = row_double(rows, row, "said_s");
	out->forgotten = row_bool(rows, row, "forgotten");
	out->rate_limit = store_pace_limit_of(rows, row);
	out->asks = row_int(rows, row, "asks");
	out->asked = !row_null(rows, row, "asked_s");
	out->accepted = !row_null(rows, row, "accepted_s");
	out->completed = !row_null(rows, row, "completed_s");
	out->asked_s = row_double(rows, row, "asked_s");
	out->accepted_s = row_double(rows, row, "accepted_s");
	out->completed_s = row_double(rows, row, "completed_s");
	out->quiet_s = row_double(rows, row, "quiet_s");
	out->failed = row_bool(rows, row, "failed");
	out->cancel = row_bool(rows, row, "cancel");
	out->connected = row_bool(rows, row, "connected");
	out->attached = row_bool(rows, row, "attached");
	out->live = row_int(rows, row, "live");
	out->source_attached = row_bool(rows, row, "source_attached");
	out->source_others = row_int(rows, row, "source_others");
	out->unlisted = row_bool(rows, row, "unlisted");
	out->peer = row_bool(rows, row, "peer");
	/* The end of T's attachments does not put its status back, as long as it has a
	 * migration_status: it tells how far they came. Without any it is reserved by the
	 * older way. */
	out->was_attached = out->attached || strcmp(out->target_status, "in-use") == 0;
	out->touched = row_bool(rows, row, "touched") || out->was_attached;
	snprintf(out->looks, sizeof(out->looks), "%s %d%d%d%d %lld %lld%s%s",
		out->target_status, out->connected, out->attached, out->source_attached,
		out->failed, (long long)out->live, (long long)out->source_others,
		out->said[0] ? " " : "", out->said);
	if (strcmp(out->looks, row_text_or(rows, row, "seen", "")) != 0)
		out->quiet_s = 0;
}

int store_swap_read(
	struct db *db, const struct migration *m, struct swap *out, struct error *err)
{
	static const char sql[] =
		"with t as (select id, status from public.volumes where id = $2"
		"  and not deleted), a as (select * from public.volume_attachment"
		"  where volume_id = $2), e as (select closed_at, attachment_id from drover.export"
		"  where volume_id = $2 and kind = 'attachment'), c as (select closed_at"
		"  from drover.connection where volume_id = $2)"
		" select w.attachment_id, w.server_id, w.attach_mode, w.asks, w.failed,"
		" w.api, w.hypervisor, w.target_attachment_id, w.said,"
		" w.forgotten, m.rate_limit,"
		" extract(epoch from clock_timestamp()"
		"  - coalesce(w.said_at, w.asked_at)) as said_s,"
		" (select count(*) from a where not deleted"
		"   and id is distinct from w.target_attachment_id)"
		"  + (select count(*) from e where closed_at is null"
		"   and attachment_id is distinct from w.target_attachment_id)"
		"  + (select count(*) from c where closed_at is null) as others,"
		" w.seen, o.cancel, m.peer, coalesce((select status from t), 'gone')"
		"  as target_status,"
		" extract(epoch from clock_timestamp() - w.asked_at) as asked_s,"
		" extract(epoch from clock_timestamp() - w.accepted_at) as accepted_s,"
		" extract(epoch from clock_timestamp() - w.completed_at) as completed_s,"
		" extract(epoch from clock_timestamp() - w.seen_at) as quiet_s,"
		" exists (select 1 from a) or exists (select 1 from e)"
		"  or exists (select 1 from c) or coalesce((select status from t),"
		"  'available') not in ('available', 'creating') as touched,"
		" exists (select 1 from a where nullif(connector, '') is not null)"
		"  or exists (select 1 from e) or exists (select 1 from c) as connected,"
		" exists (select 1 from a where not deleted"
		"  and attach_status = 'attached' and instance_uuid = w.server_id)"
		"  as attached,"
		" (select count(*) from a where not deleted)"
		"  + (select count(*) from e where closed_at is null)"
		"  + (select count(*) from c where closed_at is null)"
		"  + (select count(*) from t where status not in ('available',"
		"   'creating', 'error') and not exists (select 1 from a)) as live,"
		" exists (select 1 from public.volume_attachment s"
		"  where s.id = w.attachment_id and s.volume_id = o.volume_id"
		"  and not s.deleted) as source_attached,"
		" (select count(*) from public.volume_attachment s"
		"  where s.volume_id = o.volume_id and s.id <> w.attachment_id"
		"  and not s.deleted) as source_others,"
		" not exists (select 1 from a) as unlisted"
		" from drover.swap w join drover.operation o on o.id = w.operation_id"
		" join drover.migration m on m.operation_id = o.id"
		" where w.operation_id = $1::uuid";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, m->op.id, m->temporary_id);

	if (count < 0)
		return error_context(err, "look at migration '%s'", m->op.id);
	if (count > 0)
		swap_from_row(rows, 0, out);
	return count;
}

struct looking {
	const struct migration *m;
	struct swap *out;
	int found;
};

static int get_body(struct db *db, void *arg, struct error *err)
{
	static const char note[] =
		"update drover.swap set looked_at = clock_timestamp(),"
		" seen_at = case when seen = $2 then seen_at"
		"  else clock_timestamp() end, seen = $2 where operation_id = $1::uuid";
	struct looking *what = arg;
	const struct migration *m = what->m;

	if (store_operation_check_locked(db, &m->op, err) < 0)
		return -1;
	what->found = store_swap_read(db, m, what->out, err);
	if (what->found <= 0)
		return what->found;
	return db_run(db, note, err, m->op.id, what->out->looks) < 0 ? -1 : 0;
}

int store_swap_get(
	struct db *db, const struct migration *m, struct swap *out, struct error *err)
{
	struct looking what = { m, out, 0 };

	return db_transact(db, get_body, &what, err) < 0 ? -1 : what.found;
}

static int begin_body(struct db *db, void *arg, struct error *err)
{
	static const char ready[] =
		"update public.volumes set status = 'available',"
		" launched_at = localtimestamp, updated_at = localtimestamp"
		" where id = $1 and not deleted";
	/* How S may be written to holds for its successor, before anybody connects. The API
	 * tier says 'ro' in an attachment whenever S has a "readonly", even "False". */
	static const char access[] =
		"insert into public.volume_admin_metadata (created_at, deleted,"
		" volume_id, key, value) select localtimestamp, false, $2::varchar, x.key,"
		" x.value from (select s.key, s.value"
		"  from public.volume_admin_metadata s where s.volume_id = $1"
		"  and not s.deleted and s.key in ('readonly', 'attached_mode')"
		"  union select 'attached_mode', 'ro' from drover.swap w"
		"  where w.operation_id = $3::uuid and w.attach_mode = 'ro'"
		"  and not exists (select 1 from public.volume_admin_metadata s"
		"   where s.volume_id = $1 and not s.deleted"
		"   and (s.key = 'attached_mode'"
		"    or s.key = 'readonly' and s.value <> 'True'))) x"
		" where not exists (select 1 from public.volume_admin_metadata t"
		"  where t.volume_id = $2 and t.key = x.key and not t.deleted)";
	struct migration *m = arg;
	struct volume volume;
	int done;

	if (store_part_source(db, m, &volume, err) < 0)
		return -1;
	done = store_part_at(db, m, PHASE_SWAPPING, err);
	if (done)
		return done < 0 ? -1 : 0;
	if (store_part_unchanged(m, &volume, PHASE_PREPARING, err) < 0 ||
		db_run(db, ready, err, m->temporary_id) < 0 ||
		store_volume_set_location_locked(
			db, m->temporary_id, m->location, err) < 0 ||
		db_run(db, access, err, m->op.volume_id, m->temporary_id, m->op.id) < 0)
		return -1;
	return store_operation_move_locked(db, &m->op, PHASE_SWAPPING, NULL, err);
}

int store_swap_begin(struct db *db, struct migration *m, struct error *err)
{
	return db_transact(db, begin_body, m, err);
}

/* The API tier lets others attach a volume meanwhile: the guest's copy would miss what they
 * write. */
static int check_still_alone(
	struct db *db, const struct migration *m, struct error *err)
{
	struct swap swap;
	int found = store_swap_read(db, m, &swap, err);

	if (found > 0 && swap.source_others > 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' was attached to somebody else meanwhile",
			m->op.volume_id);
	return found < 0 ? -1 : 0;
}

static int ask_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"update drover.swap set asks = asks + 1, asked_at = clock_timestamp()"
		" where operation_id = $1::uuid";
	static const char begins[] = "update drover.migration set copy_started_at ="
				     " coalesce(copy_started_at, clock_timestamp())"
				     " where operation_id = $1::uuid";
	struct migration *m = arg;
	struct volume volume;

	if (store_part_source(db, m, &volume, err) < 0 ||
		store_operation_lock(db, &m->op, err) < 0 ||
		store_part_unchanged(m, &volume, PHASE_SWAPPING, err) < 0 ||
		check_still_alone(db, m, err) < 0)
		return -1;
	return db_run(db, sql, err, m->op.id) < 0 ||
			db_run(db, begins, err, m->op.id) < 0
		? -1
		: 0;
}

int store_swap_ask(struct db *db, struct migration *m, struct error *err)
{
	return db_transact(db, ask_body, m, err);
}

int store_swap_unanswered(struct db *db, const struct migration *m, struct error *err)
{
	static const char sql[] =
		"update drover.swap w set asked_at = clock_timestamp()"
		" from drover.operation o where o.id = $1::uuid"
		" and o.epoch = $2::bigint and w.operation_id = o.id"
		" and w.accepted_at is null";

	return db_run(db, sql, err, m->op.id, NUM(m->op.epoch)) < 0 ? -1 : 0;
}

int store_swap_accepted(struct db *db, const struct migration *m, struct error *err)
{
	/* Asked, though a database that failed over may have forgotten that. */
	static const char sql[] =
		"with o as (update drover.operation set reason = null"
		"  where id = $1::uuid and epoch = $2::bigint returning id)"
		" update drover.swap w set asks = greatest(w.asks, 1),"
		" asked_at = coalesce(w.asked_at, clock_timestamp()),"
		" accepted_at = coalesce(w.accepted_at, clock_timestamp())"
		" from o where w.operation_id = o.id";
	int count = db_run(db, sql, err, m->op.id, NUM(m->op.epoch));

	if (count == 0)
		return error_set(
			err, ERR_FENCED, "operation '%s' was taken over", m->op.id);
	return count < 0 ? -1 : 0;
}

int store_swap_later(
	struct db *db, const struct migration *m, double seconds, struct error *err)
{
	/* What came since it was looked at is not waited with. */
	static const char sql[] =
		"update drover.operation o set attempts = 0, not_before = case"
		" when w.completed_at >= w.looked_at or m.pace_at >= w.looked_at"
		" then now() else now() + make_interval(secs => $3::float8) end"
		" from drover.swap w, drover.migration m where o.id = $1::uuid"
		" and o.epoch = $2::bigint and w.operation_id = o.id"
		" and m.operation_id = o.id and o.finished_at is null";
	char text[32];

	snprintf(text, sizeof(text), "%.3f", seconds);
	return db_run(db, sql, err, m->op.id, NUM(m->op.epoch), text) < 0 ? -1 : 0;
}

struct holding {
	struct migration *m;
	const char *reason;
};

static int hold_body(struct db *db, void *arg, struct error *err)
{
	const struct holding *what = arg;
	struct migration *m = what->m;

	if (store_operation_lock(db, &m->op, err) < 0)
		return -1;
	if (m->op.phase != PHASE_HELD &&
		store_operation_move_locked(db, &m->op, PHASE_HELD, what->reason, err) <
			0)
		return -1;
	if (store_operation_note(db, &m->op, what->reason, err) < 0)
		return -1;
	return store_notify(db, DONE_CHANNEL, m->op.volume_id, err);
}

int store_swap_hold(
	struct db *db, struct migration *m, const char *reason, struct error *err)
{
	struct holding what = { m, reason };

	return db_transact(db, hold_body, &what, err);
}
