/* SPDX-License-Identifier: Apache-2.0 */
/* The transactions of a migration's worker: each moves the operation one phase on, or
 * back, together with the rows that users see. Lock order: S, T, ours. Those of attached
 * volumes are in compute.c. */
#include <stdio.h>
#include <string.h>

#include "common/store/compute.h"
#include "common/store/garbage.h"
#include "common/store/migration_parts.h"
#include "common/store/migrations.h"
#include "common/store/peer.h"
#include "common/store/retype.h"

/* A phase's transaction that was made before its commit's outcome was lost is found done
 * by the phase; then the rest of it was done too. */
int store_part_at(struct db *db, struct migration *m, enum phase to, struct error *err)
{
	if (store_operation_lock(db, &m->op, err) < 0)
		return -1;
	return m->op.phase == to;
}

int store_part_source(
	struct db *db, struct migration *m, struct volume *volume, struct error *err)
{
	int found = store_volume_get_locked(db, m->op.volume_id, volume, err);

	if (found == 0)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%s' is not there any more", m->op.volume_id);
	return found < 0 ? -1 : 0;
}

/* Is S still what was admitted? Checked when work begins and in the switch. */
static int check_source(
	const struct migration *m, const struct volume *volume, struct error *err)
{
	static const char *const allowed[] = { "available", "maintenance", "retyping",
		"reserved", "awaiting-transfer", NULL };
	bool attached = strcmp(m->route, "compute") == 0;
	bool ok = attached && strcmp(volume->status, "in-use") == 0;

	if (!address_matches(volume->host, m->source) ||
		strcmp(volume->name_id, m->source_name_id) != 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' is not where it was: it is on '%s' now",
			volume_called(volume), volume->host);
	if (volume->size_gib * INT64_C(1073741824) != m->size_bytes)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' was resized to %lld GiB meanwhile",
			volume_called(volume), (long long)volume->size_gib);
	/* Requests that were refused leave rows without objects. */
	if (volume->snapshot_objects > 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' got snapshots meanwhile", volume_called(volume));
	if (volume->connected > 0 && !attached)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' was attached meanwhile", volume_called(volume));
	if (volume->exports > 0 && !attached)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' was connected meanwhile", volume_called(volume));
	for (unsigned i = 0; allowed[i]; i++)
		ok = ok || strcmp(volume->status, allowed[i]) == 0;
	if (!ok)
		return error_set(err, ERR_INVALID_VOLUME,
			"the status of volume '%s' became '%s' meanwhile",
			volume_called(volume), volume->status);
	return 0;
}

/* An administrator's reset of migration_status means: stop. A row that is not in the phase any
 * more is another matter: a database that failed over has forgotten, or somebody else works.
 * m->op was read in this transaction. */
int store_part_unchanged(const struct migration *m, const struct volume *volume,
	enum phase phase, struct error *err)
{
	const char *expected = phase_migration_status(phase);

	if (m->op.cancel)
		return error_set(err, ERR_CANCELLED, "the migration was cancelled");
	if (m->op.phase != phase)
		return error_set(err, ERR_FENCED,
			"operation '%s' is in phase '%s', not '%s'", m->op.id,
			phase_name(m->op.phase), phase_name(phase));
	if (strcmp(volume->migration_status, expected) == 0)
		return 0;
	return error_set(err, ERR_CANCELLED,
		"migration_status of volume '%s' was changed from '%s' to '%s'",
		volume_called(volume), expected, volume->migration_status);
}

static int set_migration_status(
	struct db *db, const char *id, enum phase phase, struct error *err)
{
	static const char sql[] = "update public.volumes set migration_status = $2,"
				  " updated_at = localtimestamp where id = $1";

	return db_run(db, sql, err, id, phase_migration_status(phase));
}

/* ---- queued -> preparing ---- */

static int insert_temporary(struct db *db, const struct migration *m, struct error *err)
{
	/* Nothing of where S is (provider_*, service) goes to T: W-22. */
	static const char sql[] =
		"insert into public.volumes (id, user_id, project_id, size,"
		" availability_zone, status, attach_status, migration_status,"
		" display_name, display_description, volume_type_id, bootable,"
		" multiattach, encryption_key_id, host, scheduled_at, created_at,"
		" deleted, use_quota, service_uuid, shared_targets)"
		" select $2, v.user_id, v.project_id, v.size, "
		"coalesce(s.availability_zone,"
		" v.availability_zone), 'creating', 'detached', 'target:' || v.id,"
		" v.display_name, v.display_description, coalesce((select"
		"  m.new_type_id from drover.migration m where m.operation_id ="
		"  $4::uuid), v.volume_type_id), v.bootable,"
		" v.multiattach, v.encryption_key_id, $3, localtimestamp, "
		"localtimestamp,"
		" false, false, s.uuid, false"
		" from public.volumes v left join public.services s"
		"  on s.host = split_part($3, '#', 1) and s.topic = 'cinder-volume'"
		"  and not s.deleted"
		" where v.id = $1 limit 1";

	return db_run(
		db, sql, err, m->op.volume_id, m->temporary_id, m->target, m->op.id);
}

/* Attached volumes: still so? */
static int prepare_route(struct db *db, struct migration *m,
	const struct volume *volume, struct error *err)
{
	if (strcmp(m->route, "compute") != 0)
		return 0;
	return store_compute_prepare_locked(db, m, volume, err) < 0 ? -1 : 0;
}

static int prepare_body(struct db *db, void *arg, struct error *err)
{
	struct migration *m = arg;
	struct volume volume;
	int done;

	if (store_part_source(db, m, &volume, err) < 0)
		return -1;
	done = store_part_at(db, m, PHASE_PREPARING, err);
	if (done)
		return done < 0 ? -1 : 0;
	if (store_part_unchanged(m, &volume, PHASE_QUEUED, err) < 0 ||
		prepare_route(db, m, &volume, err) < 0 ||
		check_source(m, &volume, err) < 0 || insert_temporary(db, m, err) < 0 ||
		set_migration_status(db, volume.id, PHASE_PREPARING, err) < 0)
		return -1;
	return store_operation_move_locked(db, &m->op, PHASE_PREPARING, NULL, err);
}

int store_migration_prepare(struct db *db, struct migration *m, struct error *err)
{
	if (db_transact(db, prepare_body, m, err) < 0)
		return -1;
	return m->route[0] ? store_compute_route(db, m, err) : 0;
}

/* ---- preparing -> copying ---- */

static void take_pace(const PGresult *rows, struct migration *m)
{
	if (PQntuples(rows) == 0)
		return;
	m->rate_limit = store_pace_limit_of(rows, 0);
	m->paused = row_bool(rows, 0, "paused");
}

static int start_copy_body(struct db *db, void *arg, struct error *err)
{
	static const char route[] =
		"update drover.migration set route = $2,"
		" copy_started_at = clock_timestamp() where operation_id = $1::uuid"
		" returning rate_limit, paused";
	static const char ready[] =
		"update public.volumes set status = 'available',"
		" launched_at = localtimestamp, updated_at = localtimestamp"
		" where id = $1 and not deleted";
	AUTO(PQclear) PGresult *rows = NULL;
	struct migration *m = arg;
	struct volume volume;
	int done;

	if (store_part_source(db, m, &volume, err) < 0)
		return -1;
	done = store_part_at(db, m, PHASE_COPYING, err);
	if (done)
		return done < 0 ? -1 : 0;
	if (store_part_unchanged(m, &volume, PHASE_PREPARING, err) < 0 ||
		db_query(db, route, &rows, err, m->op.id, m->route) < 0)
		return -1;
	take_pace(rows, m);
	if (db_run(db, ready, err, m->temporary_id) < 0 ||
		store_volume_set_location_locked(
			db, m->temporary_id, m->location, err) < 0)
		return -1;
	return store_operation_move_locked(db, &m->op, PHASE_COPYING, NULL, err);
}

int store_migration_start_copy(
	struct db *db, struct migration *m, const char *route, struct error *err)
{
	snprintf(m->route, sizeof(m->route), "%s", route);
	return db_transact(db, start_copy_body, m, err);
}

int store_migration_set_route(
	struct db *db, struct migration *m, const char *route, struct error *err)
{
	static const char sql[] =
		"update drover.migration m set route = $3 from drover.operation o"
		" where m.operation_id = $1::uuid and o.id = m.operation_id"
		" and o.epoch = $2::bigint and o.phase = 'copying'";
	int count = db_run(db, sql, err, m->op.id, NUM(m->op.epoch), route);

	if (count == 0)
		return error_set(
			err, ERR_FENCED, "operation '%s' was taken over", m->op.id);
	if (count > 0)
		snprintf(m->route, sizeof(m->route), "%s", route);
	return count < 0 ? -1 : 0;
}

/* ---- while copying ---- */

static int cancel_or_fenced(
	PGresult *rows, const struct migration *m, struct error *err)
{
	if (PQntuples(rows) == 0)
		return error_set(
			err, ERR_FENCED, "operation '%s' was taken over", m->op.id);
	if (row_bool(rows, 0, "cancel"))
		return error_set(err, ERR_CANCELLED, "the migration was cancelled");
	return 0;
}

/* Also how fast it may go from now on. */
static int wanted_or_fenced(PGresult *rows, struct migration *m, struct error *err)
{
	int wanted = cancel_or_fenced(rows, m, err);

	if (wanted == 0)
		take_pace(rows, m);
	return wanted;
}

int store_migration_wanted(struct db *db, struct migration *m, struct error *err)
{
	static const char sql[] =
		"select o.cancel or coalesce(v.migration_status, '') <> $4 as cancel,"
		" m.rate_limit, m.paused from drover.operation o"
		" join drover.migration m on m.operation_id = o.id"
		" join public.volumes v on v.id = o.volume_id"
		" where o.id = $1::uuid and o.epoch = $2::bigint and o.phase = $3";
	AUTO(PQclear) PGresult *rows = NULL;

	if (db_query(db, sql, &rows, err, m->op.id, NUM(m->op.epoch),
		    phase_name(m->op.phase), phase_migration_status(m->op.phase)) < 0)
		return -1;
	return wanted_or_fenced(rows, m, err);
}

static int progress_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"with mine as (select id, cancel from drover.operation"
		"  where id = $1::uuid and epoch = $2::bigint and phase = 'copying')"
		" update drover.migration m set position = $3::bigint,"
		" copied = $4::bigint, skipped = $5::bigint, rate = $6::float8,"
		" progress_at = clock_timestamp() from mine"
		" where m.operation_id = mine.id returning mine.cancel or"
		" (select coalesce(v.migration_status, '') <> 'migrating'"
		"  from public.volumes v where v.id = $7) as cancel,"
		" m.rate_limit, m.paused";
	struct migration *m = arg;
	AUTO(PQclear) PGresult *rows = NULL;
	char rate[32];

	snprintf(rate, sizeof(rate), "%.1f", m->rate);
	if (db_query(db, sql, &rows, err, m->op.id, NUM(m->op.epoch), NUM(m->position),
		    NUM(m->copied), NUM(m->skipped), rate, m->op.volume_id) < 0)
		return -1;
	return wanted_or_fenced(rows, m, err);
}

int store_migration_progress(struct db *db, struct migration *m, struct error *err)
{
	return db_transact_async(db, progress_body, m, err);
}

struct checkpoint {
	struct migration *m;
	int64_t offset;
	const char *digest;
};

static int checkpoint_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"with mine as (update drover.operation set attempts = 0,"
		"  updated_at = clock_timestamp()"
		"  where id = $1::uuid and epoch = $2::bigint and phase = 'copying'"
		"  returning id, cancel)"
		" update drover.migration m set checkpoint = $3::bigint, digest = $4,"
		" position = greatest(position, $3::bigint) from mine"
		" where m.operation_id = mine.id returning mine.cancel";
	struct checkpoint *what = arg;
	AUTO(PQclear) PGresult *rows = NULL;

	if (db_query(db, sql, &rows, err, what->m->op.id, NUM(what->m->op.epoch),
		    NUM(what->offset), what->digest) < 0)
		return -1;
	return cancel_or_fenced(rows, what->m, err);
}

int store_migration_checkpoint(struct db *db, struct migration *m, int64_t offset,
	const char *digest, struct error *err)
{
	struct checkpoint what = { m, offset, digest };

	if (db_transact(db, checkpoint_body, &what, err) < 0)
		return -1;
	m->checkpoint = offset;
	snprintf(m->digest, sizeof(m->digest), "%s", digest);
	return 0;
}

/* ---- copying -> sealing ---- */

static int seal_body(struct db *db, void *arg, struct error *err)
{
	/* Asked twice when a commit's outcome was unknown, one is never fetched. */
	static const char questions[] =
		"delete from drover.read_back where operation_id = $1::uuid";
	static const char sql[] =
		"update drover.migration set digest = $2, checkpoint = size_bytes,"
		" position = size_bytes, copied = $3::bigint, skipped = $4::bigint,"
		" copy_finished_at = clock_timestamp() where operation_id = $1::uuid"
		" and not paused";
	struct migration *m = arg;
	struct volume volume;
	int done;

	if (store_part_source(db, m, &volume, err) < 0)
		return -1;
	done = store_part_at(db, m, PHASE_SEALING, err);
	if (done)
		return done < 0 ? -1 : 0;
	if (store_part_unchanged(m, &volume, PHASE_COPYING, err) < 0)
		return -1;
	done = db_run(
		db, sql, err, m->op.id, m->digest, NUM(m->copied), NUM(m->skipped));
	if (done <= 0)
		return done < 0 ? -1 : 1;
	if (db_run(db, questions, err, m->op.id) < 0 ||
		set_migration_status(db, volume.id, PHASE_SEALING, err) < 0)
		return -1;
	return store_operation_move_locked(db, &m->op, PHASE_SEALING, NULL, err) < 0
		? -1
		: 0;
}

int store_migration_seal(
	struct db *db, struct migration *m, const char *digest, struct error *err)
{
	snprintf(m->digest, sizeof(m->digest), "%s", digest);
	return db_transact(db, seal_body, m, err);
}

int store_migration_exports_closed(
	struct db *db, const struct migration *m, struct error *err)
{
	static const char close[] =
		"update drover.export set state = 'closing'"
		" where volume_id in ($1, $2) and kind = 'migration'"
		" and closed_at is null and state in ('wanted', 'open')"
		" returning host";
	static const char open[] = "select 1 from drover.export where volume_id in"
				   " ($1, $2) and closed_at is null limit 1";
	AUTO(PQclear) PGresult *closing = NULL;
	AUTO(PQclear) PGresult *rows = NULL;
	int count =
		db_query(db, close, &closing, err, m->op.volume_id, m->temporary_id);

	if (count < 0)
		return -1;
	for (int i = 0; i < count; i++)
		if (store_notify(db, WORK_CHANNEL, row_text(closing, i, "host"), err) <
			0)
			return -1;
	count = db_query(db, open, &rows, err, m->op.volume_id, m->temporary_id);
	return count < 0 ? -1 : count == 0;
}

/* ---- the switch ---- */

static int check_temporary(const struct migration *m, const struct volume *source,
	const struct volume *temporary, struct error *err)
{
	char expected[64];

	snprintf(expected, sizeof(expected), "target:%s", source->id);
	if (strcmp(temporary->status, "available") == 0 &&
		strcmp(temporary->migration_status, expected) == 0 &&
		strcmp(temporary->host, m->target) == 0 &&
		temporary->size_gib == source->size_gib && temporary->attachments == 0)
		return 0;
	return error_set(err, ERR_INVALID_VOLUME,
		"the temporary volume '%s' was changed: status '%s', migration_status "
		"'%s'",
		temporary->id, temporary->status, temporary->migration_status);
}

int store_part_free_source(struct db *db, const char *id, struct error *err)
{
	/* It is reserved a moment before it has the attachment that it is reserved for. */
	static const char sql[] =
		"update public.volumes v set status = 'available',"
		" attach_status = 'detached', updated_at = localtimestamp"
		" where v.id = $1 and not v.deleted"
		" and not exists (select 1 from public.volume_attachment a"
		"  where a.volume_id = v.id and not a.deleted)"
		" and (v.status in ('in-use', 'detaching') or v.status = 'reserved'"
		"  and exists (select 1 from public.volume_attachment a"
		"   where a.volume_id = v.id and a.deleted_at >= (select"
		"    max(o.created_at) at time zone 'UTC' from drover.operation o"
		"    where o.volume_id = v.id and o.kind = 'migrate_volume')))";

	return db_run(db, sql, err, id) < 0 ? -1 : 0;
}

int store_part_take_placement(
	struct db *db, const struct migration *m, bool keep_result, struct error *err)
{
	/* Placement moves, what users own stays: W-02. A status that the operation itself
	 * did not cause (a reservation) is the user's. */
	static const char sql[] =
		"update public.volumes s set host = t.host,"
		" cluster_name = t.cluster_name,"
		" availability_zone = t.availability_zone,"
		" service_uuid = t.service_uuid, shared_targets = t.shared_targets,"
		" provider_location = t.provider_location, provider_id = t.provider_id,"
		" provider_auth = t.provider_auth,"
		" provider_geometry = t.provider_geometry,"
		" replication_status = t.replication_status,"
		" replication_extended_status = t.replication_extended_status,"
		" replication_driver_data = t.replication_driver_data,"
		" _name_id = t.id, migration_status = case when $4::bool"
		"  then 'success' end,"
		" status = case when s.status in ('maintenance', 'retyping')"
		"  then $3 else s.status end,"
		" updated_at = localtimestamp"
		" from public.volumes t where s.id = $1 and t.id = $2";
	/* As Cinder's nfs has it and other drivers do not. */
	static const char format[] =
		"update public.volume_admin_metadata s set deleted = true,"
		" deleted_at = localtimestamp"
		" where s.volume_id = $1 and s.key = 'format' and not s.deleted"
		" and not exists (select 1 from public.volume_admin_metadata t"
		"  where t.volume_id = $2 and t.key = 'format' and not t.deleted"
		"  and t.value = s.value)";
	static const char new_format[] =
		"insert into public.volume_admin_metadata (created_at, deleted,"
		" volume_id, key, value) select localtimestamp, false, $1::varchar, 'format',"
		" t.value from public.volume_admin_metadata t where t.volume_id = $2"
		" and t.key = 'format' and not t.deleted and not exists"
		" (select 1 from public.volume_admin_metadata s where s.volume_id = $1::varchar"
		"  and s.key = 'format' and not s.deleted) limit 1";
	int count = db_run(db, sql, err, m->op.volume_id, m->temporary_id,
		m->op.saved_status, BOOL_TEXT(keep_result));

	if (count < 0 ||
		db_run(db, format, err, m->op.volume_id, m->temporary_id) < 0 ||
		db_run(db, new_format, err, m->op.volume_id, m->temporary_id) < 0)
		return -1;
	if (count != 1)
		return error_set(
			err, ERR_INTERNAL, "the switch changed %d rows", count);
	return store_part_free_source(db, m->op.volume_id, err);
}

struct change {
	struct migration *m;
	bool keep_result;
	double source_keep;
	enum phase to;
	const struct error *why;
};

/* Was S or T served to anybody but us at any time since the operation began? Then what was
 * copied may be older than what was written. */
static int check_exports(struct db *db, const struct migration *m, struct error *err)
{
	static const char sql[] =
		"with o as (select o.volume_id, coalesce(m.copy_started_at, o.created_at)"
		"  as began from drover.operation o join drover.migration m"
		"  on m.operation_id = o.id where o.id = $1::uuid)"
		" select 1 from drover.export e, o"
		" where e.volume_id in (o.volume_id, $2) and (e.closed_at is null"
		"  or (e.kind = 'attachment' and e.closed_at >= o.began))"
		" union all select 1 from drover.connection c, o"
		" where c.volume_id = o.volume_id"
		" and (c.closed_at is null or c.closed_at >= o.began) limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, m->op.id, m->temporary_id);

	if (count > 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' was connected while it was copied",
			m->op.volume_id);
	return count;
}

static int switch_body(struct db *db, void *arg, struct error *err)
{
	const struct change *what = arg;
	struct migration *m = what->m;
	struct volume source, temporary;
	struct address address;
	int done, found;

	if (store_part_source(db, m, &source, err) < 0)
		return -1;
	found = store_volume_get_locked(db, m->temporary_id, &temporary, err);
	done = found < 0 ? -1 : store_part_at(db, m, PHASE_SETTLING, err);
	if (done)
		return done < 0 ? -1 : 0;
	if (!found)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"the temporary volume '%s' is not there any more",
			m->temporary_id);
	if (store_part_unchanged(m, &source, PHASE_SEALING, err) < 0 ||
		check_exports(db, m, err) < 0 || check_source(m, &source, err) < 0 ||
		check_temporary(m, &source, &temporary, err) < 0 ||
		address_parse(source.host, &address, err) < 0)
		return -1;
	if (store_part_take_placement(db, m, what->keep_result, err) < 0 ||
		store_retype_switch_locked(db, m, err) < 0 ||
		store_volume_delete_locked(db, &temporary, err) < 0 ||
		store_garbage_add_volume_locked(db, &source, address.backend, m->op.id,
			what->source_keep, "moved away", err) < 0)
		return -1;
	return store_operation_move_locked(db, &m->op, PHASE_SETTLING, NULL, err);
}

int store_migration_switch(struct db *db, struct migration *m, bool keep_result,
	double source_keep, struct error *err)
{
	struct change what = { m, keep_result, source_keep, PHASE_SETTLING, NULL };

	return db_transact(db, switch_body, &what, err);
}

/* ---- settling -> done ---- */

static int done_body(struct db *db, void *arg, struct error *err)
{
	struct migration *m = arg;

	if (store_operation_move_locked(db, &m->op, PHASE_DONE, NULL, err) < 0)
		return -1;
	return store_notify(db, DONE_CHANNEL, m->op.volume_id, err);
}

int store_migration_done(struct db *db, struct migration *m, struct error *err)
{
	return db_transact(db, done_body, m, err);
}

/* ---- the way back ---- */

int store_part_release_source(
	struct db *db, const struct migration *m, bool keep_result, struct error *err)
{
	static const char sql[] =
		"update public.volumes set updated_at = localtimestamp,"
		" migration_status = case when migration_status in"
		"  ('starting', 'migrating', 'completing') then"
		"  case when $3::bool then 'error' end else migration_status end,"
		" status = case when status in ('maintenance', 'retyping') then $2"
		"  else status end where id = $1 and not deleted";

	if (db_run(db, sql, err, m->op.volume_id, m->op.saved_status,
		    BOOL_TEXT(keep_result)) < 0)
		return -1;
	return store_part_free_source(db, m->op.volume_id, err);
}

/* The target's manager may be about to make T, or serve it: that ends. Its worker finds
 * itself fenced. */
static int stop_remote(struct db *db, const struct migration *m, struct error *err)
{
	static const char creation[] =
		"update drover.operation set phase = 'cancelled', epoch = " NEXT_EPOCH
		","
		" finished_at = clock_timestamp(), reason = 'the migration was taken back'"
		" where volume_id = $1 and kind = 'create_volume'"
		" and finished_at is null";
	static const char questions[] =
		"delete from drover.read_back where operation_id = $1::uuid";

	if (db_run(db, creation, err, m->temporary_id) < 0 ||
		db_run(db, questions, err, m->op.id) < 0)
		return -1;
	return store_migration_exports_closed(db, m, err) < 0 ? -1 : 0;
}

/* Its manager deletes it, when it is asked to: store_peer_leftovers(). */
static int drop_at_peer(
	struct db *db, const struct volume *temporary, struct error *err)
{
	static const char sql[] =
		"update public.volumes set status = 'deleting',"
		" terminated_at = localtimestamp, updated_at = localtimestamp"
		" where id = $1 and not deleted";

	return db_run(db, sql, err, temporary->id);
}

int store_part_drop_temporary(struct db *db, const struct migration *m,
	const struct volume *temporary, struct error *err)
{
	struct address address;
	int peer = store_peer_is(db, m, err);

	if (peer)
		return peer < 0 ? -1 : drop_at_peer(db, temporary, err);

	if (address_parse(m->target, &address, err) < 0 || stop_remote(db, m, err) < 0)
		return -1;
	if (store_garbage_add_volume_locked(db, temporary, address.backend, m->op.id, 0,
		    "target of a migration that was taken back", err) < 0)
		return -1;
	return store_volume_delete_locked(db, temporary, err);
}

static int roll_back_body(struct db *db, void *arg, struct error *err)
{
	const struct change *what = arg;
	struct migration *m = what->m;
	struct volume source, temporary;
	int done, found;

	/* S may be gone: somebody deleted its row. T and the operation end all the same. */
	if (store_volume_get_locked(db, m->op.volume_id, &source, err) < 0)
		return -1;
	found = store_volume_get_locked(db, m->temporary_id, &temporary, err);
	if (found < 0)
		return -1;
	done = store_part_at(db, m, what->to, err);
	if (done)
		return done < 0 ? -1 : 0;
	if (!phase_can_cancel(m->op.phase))
		return error_set(err, ERR_FENCED,
			"operation '%s' is in phase '%s' and cannot be taken back",
			m->op.id, phase_name(m->op.phase));
	if (store_part_release_source(db, m, what->keep_result, err) < 0 ||
		store_retype_release_locked(db, m, err) < 0 ||
		(found && store_part_drop_temporary(db, m, &temporary, err) < 0) ||
		store_operation_end_locked(db, &m->op, what->to, what->why, err) < 0)
		return -1;
	return store_notify(db, DONE_CHANNEL, m->op.volume_id, err);
}

int store_migration_roll_back_locked(struct db *db, struct migration *m, enum phase to,
	const struct error *why, bool keep_result, struct error *err)
{
	struct change what = { m, keep_result, 0, to, why };

	return roll_back_body(db, &what, err);
}

int store_migration_roll_back(struct db *db, struct migration *m, enum phase to,
	const struct error *why, bool keep_result, struct error *err)
{
	struct change what = { m, keep_result, 0, to, why };

	return db_transact(db, roll_back_body, &what, err);
}
