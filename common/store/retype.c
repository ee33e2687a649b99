/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/retype.h"

#include <stdio.h>
#include <string.h>

#include "common/store/quotas.h"

/* ---- reservations ---- */

static int add_ids(const char *const *ids, char *out, size_t *length, struct error *err)
{
	for (; ids && *ids; ids++) {
		if (!uuid_is(*ids))
			return error_set(err, ERR_INVALID_INPUT,
				"'%.64s' is no id of a reservation", *ids);
		if (*length + UUID_TEXT_SIZE + 1 >= RESERVATIONS_TEXT_SIZE)
			return error_set(err, ERR_INVALID_INPUT,
				"there are more than %d reservations",
				RESERVATIONS_MAX);
		*length += (size_t)snprintf(out + *length,
			RESERVATIONS_TEXT_SIZE - *length, "%s%s",
			*length > 1 ? "," : "", *ids);
	}
	return 0;
}

/* "{id,id}" of both lists. */
static int reservations_text(const struct retype_request *request,
	char out[RESERVATIONS_TEXT_SIZE], struct error *err)
{
	size_t length = 1;

	out[0] = '{';
	if (add_ids(request->reservations, out, &length, err) < 0 ||
		add_ids(request->old_reservations, out, &length, err) < 0)
		return -1;
	snprintf(out + length, RESERVATIONS_TEXT_SIZE - length, "}");
	return 0;
}

static int settle_given(struct db *db, const struct retype_request *request,
	int (*settle)(
		struct db *db, const char *const *reservations, struct error *err),
	struct error *err)
{
	if (settle(db, request->reservations, err) < 0)
		return -1;
	return settle(db, request->old_reservations, err);
}

static int settle_of_migration(struct db *db, const struct migration *m,
	int (*settle)(struct db *db, const char *reservation, struct error *err),
	struct error *err)
{
	static const char sql[] =
		"select unnest(reservations) as uuid from drover.migration"
		" where operation_id = $1::uuid";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, m->op.id);

	return count < 0 ? -1 : store_quota_each(db, rows, settle, err);
}

/* ---- the type ---- */

/* The new type's name; what it says of multiattach counts only once it is the volume's. */
#define MULTIATTACH_OF(type) \
	" coalesce((select bool_or(lower(replace(x.value, ' ', '')) = '<is>true')" \
	"  from public.volume_type_extra_specs x where x.volume_type_id = " type \
	"  and x.key = 'multiattach' and not x.deleted), false)"

/* Both types encrypt alike, which is: not at all. */
static int check_types(struct db *db, const struct volume *volume,
	const char *new_type_id, struct error *err)
{
	static const char sql[] =
		"select t.name, exists (select 1 from public.encryption e"
		"  where e.volume_type_id in ($1, $2) and not e.deleted) as encrypted"
		" from public.volume_types t where t.id = $1 and not t.deleted";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, new_type_id, volume->volume_type_id);

	if (count < 0)
		return -1;
	if (count == 0)
		return error_set(err, ERR_NOT_FOUND,
			"volume type '%.36s' could not be found", new_type_id);
	if (row_bool(rows, 0, "encrypted"))
		return error_set(err, ERR_NOT_SUPPORTED,
			"volume '%s' cannot be retyped: types with encryption are not "
			"supported",
			volume_called(volume));
	return 0;
}

static bool stays(const struct volume *volume, const char *target)
{
	const char *pool = strchr(volume->host, '#'), *wanted = strchr(target, '#');

	return address_same_backend(volume->host, target) &&
		(!pool || !wanted || strcmp(pool, wanted) == 0);
}

/* There is no migration, but the request is known from now on. */
static int insert_done(struct db *db, const struct volume *volume,
	const struct retype_request *request, struct error *err)
{
	static const char sql[] =
		"insert into drover.operation (id, kind, volume_id, host, request_id,"
		" phase, finished_at)"
		" values ($1, 'migrate_volume', $2, $3, $4, 'done', clock_timestamp())";
	struct address address;
	char id[UUID_TEXT_SIZE];

	if (address_parse(volume->host, &address, err) < 0)
		return error_context(err, "retype volume '%s'", volume->id);
	uuid_make(id);
	return db_run(db, sql, err, id, volume->id, address.backend,
		       request->migration.request_id) < 0
		? -1
		: 0;
}

static int retype_in_place(struct db *db, const struct volume *volume,
	const struct retype_request *request, struct error *err)
{
	static const char type[] =
		"update public.volumes set volume_type_id = $2::varchar,"
		" multiattach =" MULTIATTACH_OF(
			"$2") ", status = coalesce(nullif(previous_status,"
			      " 'retyping'), case when $3::bool then 'in-use' else 'available' end),"
			      " updated_at = localtimestamp where id = $1";

	if (store_volume_idle(db, volume, "be retyped", err) < 0 ||
		db_run(db, type, err, volume->id, request->new_type_id,
			BOOL_TEXT(volume->attachments > 0)) < 0 ||
		insert_done(db, volume, request, err) < 0)
		return -1;
	return settle_given(db, request, store_quota_commit_all, err);
}

static int retype_by_migration(struct db *db, const struct volume *volume,
	const struct retype_request *request, const char *reservations,
	enum admission *admission, struct error *err)
{
	static const char sql[] =
		"update drover.migration m set new_type_id = $3,"
		" reservations = $4::varchar[] from drover.operation o"
		" where o.volume_id = $1 and o.kind = 'migrate_volume'"
		" and o.request_id = $2 and m.operation_id = o.id";

	if (request->never)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot be retyped: it would have to move to '%s', "
			"and the migration policy is 'never'",
			volume_called(volume), request->migration.target);
	if (store_migration_admit_locked(db, &request->migration, admission, err) < 0)
		return -1;
	if (*admission == DUPLICATE)
		return 0;
	if (db_run(db, sql, err, volume->id, request->migration.request_id,
		    request->new_type_id, reservations) < 0)
		return -1;
	return settle_given(db, request, store_quota_hold_all, err);
}

struct retype {
	const struct retype_request *request;
	enum retyped *out;
	const struct error *why;
};

static int retype_body(struct db *db, void *arg, struct error *err)
{
	const struct retype *what = arg;
	const struct retype_request *request = what->request;
	char reservations[RESERVATIONS_TEXT_SIZE];
	enum admission admission = ADMITTED;
	struct address target;
	struct volume volume;
	int known;

	if (reservations_text(request, reservations, err) < 0 ||
		address_parse(request->migration.target, &target, err) < 0 ||
		store_target_lock(db, target.backend, err) < 0 ||
		store_volume_require_locked(
			db, request->migration.volume_id, &volume, err) < 0)
		return -1;
	known = store_migration_is_known(db, &request->migration, err);
	*what->out = RETYPED_BEFORE;
	if (known)
		return known < 0 ? -1 : 0;
	if (strcmp(volume.status, "retyping") != 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' is not to be retyped: its status is '%s'",
			volume_called(&volume), volume.status);
	if (check_types(db, &volume, request->new_type_id, err) < 0)
		return -1;
	*what->out = RETYPED_IN_PLACE;
	if (stays(&volume, request->migration.target))
		return retype_in_place(db, &volume, request, err);
	*what->out = RETYPED_BY_MIGRATION;
	return retype_by_migration(db, &volume, request, reservations, &admission, err);
}

int store_retype(struct db *db, const struct retype_request *request, enum retyped *out,
	struct error *err)
{
	struct retype what = { request, out, NULL };

	return db_transact(db, retype_body, &what, err);
}

/* ---- back ---- */

static int put_back_type(struct db *db, const char *volume_id, struct error *err)
{
	static const char sql[] =
		"update public.volumes v set multiattach =" MULTIATTACH_OF(
			"v.volume_type_id") " where v.id = $1 and not v.deleted";

	return db_run(db, sql, err, volume_id);
}

/* For store_retype_correct(). */
static int note_refused(
	struct db *db, const struct retype_request *request, struct error *err)
{
	static const char sql[] =
		"update drover.migration m set new_type_id = $3 from drover.operation o"
		" where o.volume_id = $1 and o.kind = 'migrate_volume'"
		" and o.request_id = $2 and m.operation_id = o.id";

	if (!request->new_type_id || !uuid_is(request->new_type_id))
		return 0;
	return db_run(db, sql, err, request->migration.volume_id,
		       request->migration.request_id, request->new_type_id) < 0
		? -1
		: 0;
}

static int refuse_body(struct db *db, void *arg, struct error *err)
{
	const struct retype *what = arg;
	const struct retype_request *request = what->request;
	const struct migration_request *migration = &request->migration;
	struct volume volume;
	int found = store_volume_get_locked(db, migration->volume_id, &volume, err);
	int known = found <= 0 ? found : store_migration_is_known(db, migration, err);

	if (found < 0 || known < 0)
		return -1;
	if (known > 0)
		return 0;
	/* Ids that are none are found nowhere. */
	if (settle_given(db, request, store_quota_roll_back_all, err) < 0)
		return -1;
	if (!found || strcmp(volume.status, "retyping") != 0)
		return 0;
	if (store_volume_put_back(db, volume.id, "retyping", NULL, err) < 0 ||
		put_back_type(db, volume.id, err) < 0)
		return -1;
	if (store_migration_refuse_locked(db, migration, what->why, err) < 0)
		return -1;
	return note_refused(db, request, err);
}

int store_retype_refuse(struct db *db, const struct retype_request *request,
	const struct error *why, struct error *err)
{
	struct retype what = { request, NULL, why };

	return db_transact(db, refuse_body, &what, err) < 0 ? -1 : 0;
}

int store_retype_correct(struct db *db, const char *backend, struct error *err)
{
	static const char sql[] =
		"update public.volumes v set updated_at = localtimestamp,"
		" multiattach = not v.multiattach where not v.deleted"
		" and split_part(v.host, '#', 1) = $1 and v.status <> 'retyping'"
		" and exists (select 1 from drover.operation o join drover.migration m"
		"  on m.operation_id = o.id where o.volume_id = v.id"
		"  and m.new_type_id is not null and o.phase in ('failed', 'cancelled')"
		"  and o.finished_at > now() - interval '10 minutes')"
		" and not exists (select 1 from drover.operation o"
		"  where o.volume_id = v.id and o.finished_at is null)"
		" and v.multiattach <>" MULTIATTACH_OF("v.volume_type_id");

	return db_run(db, sql, err, backend);
}

/* ---- with a migration ---- */

int store_retype_switch_locked(
	struct db *db, const struct migration *m, struct error *err)
{
	static const char type[] =
		"update public.volumes v set volume_type_id = m.new_type_id,"
		" multiattach =" MULTIATTACH_OF(
			"m.new_type_id") " from drover.migration m where v.id = $1"
					 " and m.operation_id = $2::uuid and m.new_type_id is not null";

	if (db_run(db, type, err, m->op.volume_id, m->op.id) < 0)
		return -1;
	return settle_of_migration(db, m, store_quota_commit, err);
}

int store_retype_release_locked(
	struct db *db, const struct migration *m, struct error *err)
{
	static const char changes[] =
		"select 1 from drover.migration where operation_id = $1::uuid"
		" and new_type_id is not null";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, changes, &rows, err, m->op.id);

	if (count <= 0)
		return count;
	if (settle_of_migration(db, m, store_quota_roll_back, err) < 0)
		return -1;
	return put_back_type(db, m->op.volume_id, err) < 0 ? -1 : 0;
}
