/* SPDX-License-Identifier: Apache-2.0 */
/* Admission: what is checked, and how a request that fails is taken back. */
#include "common/store/migrations.h"

#include <stdio.h>
#include <string.h>

#include "common/store/connections.h"
#include "common/store/migration_parts.h"
#include "common/store/services.h"
#include "common/store/compute.h"

static bool one_of(const char *text, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(text, *list) == 0)
			return true;
	return false;
}

/* ---- what the volume's row says ---- */

static int check_migration_status(
	const struct volume *volume, bool starting, struct error *err)
{
	static const char *const idle[] = { "", "deleting", "error", "success", NULL };
	const char *now = volume->migration_status;

	if (strncmp(now, "target:", 7) == 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot be migrated: it is the target of a "
			"migration",
			volume_called(volume));
	if (one_of(now, idle) || (starting && strcmp(now, "starting") == 0))
		return 0;
	return error_set(err, ERR_INVALID_VOLUME,
		"volume '%s' is already migrating: its migration_status is '%s'",
		volume_called(volume), now);
}

/* Compute may be able to move it. */
static int check_attachments(
	struct db *db, const struct volume *volume, struct error *err)
{
	struct guest guest;

	if (volume->attachments == 0 && strcmp(volume->status, "in-use") != 0)
		return 0;
	return store_compute_check(db, volume, &guest, err);
}

static int check_status(const struct volume *volume, bool starting, struct error *err)
{
	/* Its attachments were looked at before. */
	if (strcmp(volume->status, "in-use") == 0)
		return 0;
	/* lock_volume: the API tier has made an available volume "maintenance". */
	if (strcmp(volume->status, "available") == 0 ||
		(starting && strcmp(volume->status, "maintenance") == 0))
		return 0;
	return error_set(err, ERR_INVALID_VOLUME,
		"volume '%s' cannot be migrated: its status is '%s', it must be "
		"available",
		volume_called(volume), volume->status);
}

static int check_volume(
	struct db *db, const struct volume *volume, bool starting, struct error *err)
{
	static const char *const unreplicated[] = { "", "disabled", "not-capable",
		NULL };

	if (check_migration_status(volume, starting, err) < 0 ||
		store_volume_idle(db, volume, "be migrated", err) < 0)
		return -1;
	if (volume->snapshots > 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot be migrated: it has snapshots",
			volume_called(volume));
	if (volume->group_id[0] || volume->consistencygroup_id[0])
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot be migrated: it is in a group",
			volume_called(volume));
	if (!one_of(volume->replication_status, unreplicated))
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot be migrated: it is replicated",
			volume_called(volume));
	if (volume_check_raw(volume, "be migrated", err) < 0)
		return -1;
	if (check_attachments(db, volume, err) < 0)
		return -1;
	/* A connection without attachment: somebody may be writing. */
	if (volume->exports > 0 && volume->attachments == 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot be migrated: it is connected",
			volume_called(volume));
	if (volume->attachments == 0 &&
		store_connection_none(db, volume, "be migrated", err) < 0)
		return -1;
	return check_status(volume, starting, err);
}

/* ---- what the services' rows say ---- */

static int check_service(struct db *db, const char *backend, const char *role,
	double service_down_time, struct service *service, struct error *err)
{
	int found = store_service_get(db, backend, service_down_time, service, err);

	if (found < 0)
		return -1;
	if (!found)
		return error_set(err, ERR_INVALID_HOST,
			"%s '%s' is unknown; 'drover service list' shows all", role,
			backend);
	if (!service->up)
		return error_set(err, ERR_INVALID_HOST,
			"%s '%s' is down: its last heartbeat was at %s", role, backend,
			service->updated_at);
	return 0;
}

static int check_target(struct db *db, const struct address *target,
	double service_down_time, struct error *err)
{
	struct service service;

	if (check_service(db, target->backend, "target", service_down_time, &service,
		    err) < 0)
		return -1;
	if (service.disabled)
		return error_set(err, ERR_INVALID_HOST, "target '%s' is disabled%s%s",
			target->backend, service.disabled_reason[0] ? ": " : "",
			service.disabled_reason);
	if (service.frozen)
		return error_set(err, ERR_INVALID_HOST, "target '%s' is frozen",
			target->backend);
	return 0;
}

static int check_place(
	const struct volume *volume, const struct address *target, struct error *err)
{
	const char *pool = strchr(volume->host, '#');

	if (!address_same_backend(volume->host, target->backend))
		return 0;
	/* The own backend without its pool would be a copy onto itself (W-16). */
	if (target->pool[0] && pool && strcmp(pool + 1, target->pool) != 0)
		return 0;
	return error_set(err, ERR_INVALID_HOST, "volume '%s' is already on '%s'",
		volume_called(volume), volume->host);
}

int store_migration_check(struct db *db, const struct volume *volume,
	const struct address *target, double service_down_time, bool starting,
	struct error *err)
{
	struct address source;
	struct service service;

	if (check_volume(db, volume, starting, err) < 0)
		return -1;
	if (address_parse(volume->host, &source, err) < 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot be migrated: it is on no backend",
			volume_called(volume));
	if (target &&
		(check_place(volume, target, err) < 0 ||
			check_target(db, target, service_down_time, err) < 0))
		return -1;
	return check_service(db, source.backend, "the volume's own backend",
		service_down_time, &service, err);
}

/* ---- begin: what the API tier does ---- */

struct begin {
	const char *volume_id, *target;
	bool lock_volume;
	double service_down_time;
	const struct migration_wish *wish;
};

static int begin_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"update public.volumes set migration_status = 'starting',"
		" previous_status = status, updated_at = localtimestamp,"
		" status = case when $2::bool and status = 'available'"
		"  then 'maintenance' else status end where id = $1";
	const struct begin *what = arg;
	struct address target;
	struct volume volume;

	if (what->target && address_parse(what->target, &target, err) < 0)
		return -1;
	if (store_volume_require_locked(db, what->volume_id, &volume, err) < 0)
		return -1;
	if (store_migration_check(db, &volume, what->target ? &target : NULL,
		    what->service_down_time, false, err) < 0)
		return -1;
	if (what->wish &&
		store_wish_add_locked(db, &volume, what->wish->request_id,
			what->wish->rate_limit, what->service_down_time, err) < 0)
		return -1;
	return db_run(db, sql, err, volume.id, BOOL_TEXT(what->lock_volume));
}

int store_migration_begin_with(struct db *db, const char *volume_id, const char *target,
	bool lock_volume, double service_down_time, const struct migration_wish *wish,
	struct error *err)
{
	struct begin what = { volume_id, target, lock_volume, service_down_time, wish };

	return db_transact(db, begin_body, &what, err) < 0 ? -1 : 0;
}

int store_migration_begin(struct db *db, const char *volume_id, const char *target,
	bool lock_volume, double service_down_time, struct error *err)
{
	return store_migration_begin_with(
		db, volume_id, target, lock_volume, service_down_time, NULL, err);
}

/* ---- admit ---- */

struct admit {
	const struct migration_request *request;
	enum admission *out;
	const struct error *why; /* of a refusal */
};

int store_migration_is_known(
	struct db *db, const struct migration_request *request, struct error *err)
{
	return store_operation_known(
		db, request->volume_id, "migrate_volume", request->request_id, err);
}

int store_target_lock(struct db *db, const char *target, struct error *err)
{
	static const char sql[] = "select pg_advisory_xact_lock("
				  "hashtextextended('drover:target:' || $1, 0))";
	AUTO(PQclear) PGresult *rows = NULL;

	return db_query(db, sql, &rows, err, target) < 0 ? -1 : 0;
}

/* The source needs a manager of ours; the target may be a Python service's. */
static int check_manager(struct db *db, const struct address *source,
	const struct address *target, double down_time, bool *peer, struct error *err)
{
	struct service from, to;

	if (store_service_get(db, source->backend, down_time, &from, err) < 0 ||
		store_service_get(db, target->backend, down_time, &to, err) < 0)
		return -1;
	if (!from.drover)
		return error_set(err, ERR_INVALID_HOST,
			"no drover-volume-manager runs the volume's own backend '%s'",
			source->backend);
	*peer = !to.drover;
	return 0;
}

/* The status that the volume gets back when it is over. */
static const char *status_before(const struct volume *volume)
{
	if (strcmp(volume->status, "maintenance") != 0 &&
		strcmp(volume->status, "retyping") != 0)
		return volume->status;
	return volume->previous_status[0] ? volume->previous_status : "available";
}

static int insert_migration(struct db *db, const struct volume *volume,
	const struct address *source, const struct migration_request *request,
	bool peer, struct error *err)
{
	static const char operation[] =
		"insert into drover.operation (id, kind, volume_id, host, request_id,"
		" saved_status) values ($1, 'migrate_volume', $2, $3, $4, $5)";
	static const char migration[] =
		"insert into drover.migration (operation_id, source, target,"
		" source_name_id, force_host_copy, lock_volume, temporary_id, "
		"size_bytes, peer) values ($1::uuid, $2, $3, $4, $5::bool, $6::bool,"
		" $7, $8::bigint * 1073741824, $9::bool)";
	static const char mark[] =
		"update public.volumes set migration_status = 'starting',"
		" previous_status = $2, updated_at = localtimestamp where id = $1";
	bool locked = strcmp(volume->status, "maintenance") == 0;
	char id[UUID_TEXT_SIZE], temporary[UUID_TEXT_SIZE];

	uuid_make(id);
	uuid_make(temporary);
	if (db_run(db, operation, err, id, volume->id, source->backend,
		    request->request_id, status_before(volume)) < 0 ||
		db_run(db, migration, err, id, volume->host, request->target,
			volume->name_id, BOOL_TEXT(request->force_host_copy),
			BOOL_TEXT(locked), temporary, NUM(volume->size_gib),
			BOOL_TEXT(peer)) < 0 ||
		store_wish_take_locked(db, volume->id, request->request_id, id, err) <
			0 ||
		db_run(db, mark, err, volume->id, status_before(volume)) < 0)
		return -1;
	if (volume->attachments > 0 &&
		store_compute_admit_locked(db, volume, id, err) < 0)
		return -1;
	return store_notify(db, WORK_CHANNEL, source->backend, err);
}

/* Under the lock of the target: has it filled up since the scheduler looked? */
static int check_room(struct db *db, const struct migration_request *request,
	const struct volume *volume, struct error *err)
{
	AUTO(free) struct pool_load *list = NULL;
	double now = 0;
	int count;

	if (!request->room_known)
		return 0;
	count = store_pool_load(db, &list, err);
	for (int i = 0; i < count; i++)
		if (strcmp(list[i].pool, request->target) == 0)
			now = (double)list[i].size_gib;
	if (count < 0)
		return -1;
	if (now - request->seen_gib + (double)volume->size_gib <= request->room_gib)
		return 0;
	return error_set(err, ERR_DB_RETRY,
		"pool '%s' has no room for %lld GiB any more", request->target,
		(long long)volume->size_gib);
}

/* A volume that is retyped is looked at as what it was before. */
static int check_asked(struct db *db, const struct volume *volume,
	const struct address *target, const struct migration_request *request,
	struct error *err)
{
	bool starting = strcmp(volume->migration_status, "starting") == 0;
	struct volume before = *volume;

	if (strcmp(volume->status, "retyping") == 0)
		text_copy(before.status, sizeof(before.status), status_before(volume));
	return store_migration_check(
		db, &before, target, request->service_down_time, starting, err);
}

int store_migration_admit_locked(struct db *db, const struct migration_request *request,
	enum admission *out, struct error *err)
{
	struct address source, target;
	struct volume volume;
	bool peer = false;
	int known;

	if (address_parse(request->target, &target, err) < 0 ||
		store_target_lock(db, target.backend, err) < 0 ||
		store_volume_require_locked(db, request->volume_id, &volume, err) < 0)
		return -1;
	known = store_migration_is_known(db, request, err);
	if (known < 0)
		return -1;
	*out = known ? DUPLICATE : ADMITTED;
	if (known)
		return 0;
	if (check_asked(db, &volume, &target, request, err) < 0)
		return -1;
	if (!target.pool[0])
		return error_set(err, ERR_INVALID_HOST,
			"target '%s' names no pool: the scheduler chooses one",
			request->target);
	if (address_parse(volume.host, &source, err) < 0 ||
		check_manager(db, &source, &target, request->service_down_time, &peer,
			err) < 0)
		return -1;
	if (check_room(db, request, &volume, err) < 0)
		return -1;
	return insert_migration(db, &volume, &source, request, peer, err);
}

static int admit_body(struct db *db, void *arg, struct error *err)
{
	const struct admit *what = arg;

	return store_migration_admit_locked(db, what->request, what->out, err);
}

int store_migration_admit(struct db *db, const struct migration_request *request,
	enum admission *out, struct error *err)
{
	struct admit what = { request, out, NULL };

	return db_transact(db, admit_body, &what, err);
}

/* ---- refuse ---- */

static int release_refused(
	struct db *db, const struct volume *volume, bool keep_result, struct error *err)
{
	static const char sql[] =
		"update public.volumes set updated_at = localtimestamp,"
		" migration_status = case when $2::bool then 'error' end,"
		" status = case when status = 'maintenance'"
		"  then coalesce(nullif(previous_status, ''), 'available')"
		"  else status end"
		" where id = $1 and migration_status = 'starting'";

	int changed = db_run(db, sql, err, volume->id, BOOL_TEXT(keep_result));

	if (changed > 0 && store_part_free_source(db, volume->id, err) < 0)
		return -1;
	return changed;
}

static int insert_refused(struct db *db, const struct volume *volume,
	const struct migration_request *request, const struct error *why,
	struct error *err)
{
	static const char operation[] =
		"insert into drover.operation (id, kind, volume_id, host, request_id,"
		" phase, error_code, reason, finished_at) values ($1, 'migrate_volume',"
		" $2, $3, $4, 'failed', $5, $6, clock_timestamp())"
		" on conflict (volume_id, kind, request_id) do nothing";
	static const char migration[] =
		"insert into drover.migration (operation_id, source, target,"
		" force_host_copy) values ($1::uuid, $2, left($3, 255), $4::bool)";
	struct address source;
	char id[UUID_TEXT_SIZE];
	int count;

	if (address_parse(volume->host, &source, NULL) < 0)
		return 0;
	uuid_make(id);
	count = db_run(db, operation, err, id, volume->id, source.backend,
		request->request_id, error_code_name(why->code), why->text);
	if (count <= 0)
		return count;
	return db_run(db, migration, err, id, volume->host, request->target,
		BOOL_TEXT(request->force_host_copy));
}

int store_migration_refuse_locked(struct db *db,
	const struct migration_request *request, const struct error *why,
	struct error *err)
{
	struct volume volume;
	struct error busy;
	int found = store_volume_get_locked(db, request->volume_id, &volume, err);
	int known = found <= 0 ? found : store_migration_is_known(db, request, err);

	if (found <= 0 || known != 0)
		return found < 0 || known < 0 ? -1 : 0;
	if (insert_refused(db, &volume, request, why, err) < 0 ||
		store_wish_drop_locked(db, volume.id, request->request_id, err) < 0)
		return -1;
	/* What runs on the volume is not this request's to set back. */
	if (store_volume_idle(db, &volume, "be migrated", &busy) < 0)
		return busy.code == ERR_INVALID_VOLUME ? 0 : (*err = busy, -1);
	if (release_refused(db, &volume, request->keep_result, err) < 0)
		return -1;
	return store_notify(db, DONE_CHANNEL, volume.id, err);
}

static int refuse_body(struct db *db, void *arg, struct error *err)
{
	const struct admit *what = arg;

	return store_migration_refuse_locked(db, what->request, what->why, err);
}

int store_migration_refuse(struct db *db, const struct migration_request *request,
	const struct error *why, struct error *err)
{
	struct admit what = { request, NULL, why };

	return db_transact(db, refuse_body, &what, err) < 0 ? -1 : 0;
}

int store_migration_cancel(struct db *db, const char *volume_id, struct error *err)
{
	static const char sql[] =
		"update drover.operation set cancel = true, not_before = now(),"
		" updated_at = clock_timestamp()"
		" where volume_id = $1 and kind = 'migrate_volume'"
		" and finished_at is null and phase in"
		" ('queued', 'preparing', 'copying', 'swapping', 'held', 'sealing')"
		" returning host";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, volume_id);

	if (count < 0)
		return error_context(err, "cancel the migration of '%s'", volume_id);
	if (count == 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' has no migration that could be cancelled",
			volume_id);
	return store_notify(db, WORK_CHANNEL, row_text_or(rows, 0, "host", ""), err);
}

/* ---- lost requests ---- */

static int set_lost_back(
	struct db *db, const char *volume_id, bool keep_result, struct error *err)
{
	char request_id[REQUEST_ID_SIZE];
	struct migration_request request = { .volume_id = volume_id,
		.request_id = request_id,
		.target = "",
		.keep_result = keep_result };
	char id[UUID_TEXT_SIZE];
	struct error why;

	uuid_make(id);
	snprintf(request_id, sizeof(request_id), "lost-%s", id);
	error_set(&why, ERR_TIMEOUT,
		"the request to migrate volume '%s' was lost: nobody took it up",
		volume_id);
	return store_migration_refuse(db, &request, &why, err);
}

int store_migration_set_lost_back(struct db *db, const char *backend, double seconds,
	bool keep_result, struct error *err)
{
	static const char sql[] =
		"select v.id from public.volumes v where not v.deleted"
		" and v.migration_status = 'starting'"
		" and split_part(v.host, '#', 1) = $1"
		" and v.updated_at < localtimestamp - make_interval(secs => $2::float8)"
		" and not exists (select 1 from drover.operation o"
		"  where o.volume_id = v.id and o.finished_at is null"
		"  and o.phase <> 'settling') limit 100";
	AUTO(PQclear) PGresult *rows = NULL;
	char text[32];
	int count, failed = 0;

	snprintf(text, sizeof(text), "%.3f", seconds);
	count = db_query(db, sql, &rows, err, backend, text);
	/* One that is locked by somebody does not keep the others waiting. */
	for (int i = 0; i < count; i++)
		failed += set_lost_back(db, row_text_or(rows, i, "id", ""), keep_result,
				  err) < 0;
	if (count < 0 || store_wish_drop_lost(db, seconds, err) < 0)
		return -1;
	return failed ? -1 : count;
}
