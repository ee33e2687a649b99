/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/deletes.h"

#include <string.h>

#include "common/store/connections.h"
#include "common/store/garbage.h"
#include "common/store/snapshots.h"

struct deletion {
	const char *volume_id, *request_id, *status;
	bool from_api, cascade, count_gib;
	enum admission *out;
	const struct error *why; /* of a refusal */
};

static int check_unused(struct db *db, const struct volume *volume, struct error *err)
{
	const char *name = volume_called(volume);
	char who[256];

	if (volume->exports > 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot be deleted: it is connected", name);
	if (volume->attachments == 0 && strcmp(volume->attach_status, "attached") != 0)
		return 0;
	if (store_volume_attached_to(db, volume->id, who, sizeof(who), err) < 0)
		return -1;
	return error_set(err, ERR_INVALID_VOLUME,
		"volume '%s' cannot be deleted: it is attached to %s", name, who);
}

/* Of a migration of a Cinder: its target, or what its switch has left of its source. */
static bool is_temporary(const struct volume *volume)
{
	return strncmp(volume->migration_status, "target:", 7) == 0 ||
		strcmp(volume->migration_status, "deleting") == 0;
}

/* The API tier writes a status of its own before it asks. Without that the request is one
 * that was refused or given up before: the volume is in use again. Cinder's own services
 * write none when they remove a temporary volume. */
static bool status_allows(const struct volume *volume, bool from_api)
{
	static const char *const asked[] = { "deleting", "error_managing_deleting" };
	static const char *const allowed[] = { "available", "error", "error_deleting",
		"error_restoring", "error_extending", "error_managing", "creating" };
	bool ok = false;

	for (unsigned i = 0; i < ARRAY_SIZE(asked); i++)
		ok = ok || (from_api && strcmp(volume->status, asked[i]) == 0);
	if (from_api && !is_temporary(volume))
		return ok;
	for (unsigned i = 0; i < ARRAY_SIZE(allowed); i++)
		ok = ok || strcmp(volume->status, allowed[i]) == 0;
	return ok;
}

static int check_deletable(struct db *db, const struct volume *volume,
	const struct deletion *what, struct error *err)
{
	const char *name = volume_called(volume);
	bool target = strncmp(volume->migration_status, "target:", 7) == 0;

	/* A forced one does not wait until the volume is made. */
	if (what->from_api && strcmp(volume->status, "deleting") == 0 && !target &&
		store_create_cancel_locked(db, volume->id, err) < 0)
		return -1;
	if (store_volume_idle(db, volume, "be deleted", err) < 0)
		return -1;
	if (target && !what->from_api)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot be deleted: it is the target of a "
			"migration",
			name);
	if (volume->snapshots > 0 && !what->cascade)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot be deleted: it has snapshots", name);
	/* A temporary one's bytes are nobody's; who was to write them may have died. */
	if (check_unused(db, volume, err) < 0 ||
		(!is_temporary(volume) &&
			store_connection_none(db, volume, "be deleted", err) < 0))
		return -1;
	if (!status_allows(volume, what->from_api))
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot be deleted: its status is '%s'", name,
			volume->status);
	return 0;
}

static int insert_deleted(struct db *db, const struct volume *volume,
	const struct address *address, const char *request_id, struct error *err)
{
	static const char sql[] =
		"insert into drover.operation (id, kind, volume_id, host, request_id,"
		" phase, finished_at)"
		" values ($1, 'delete_volume', $2, $3, $4, 'done', now())";
	char id[UUID_TEXT_SIZE];

	uuid_make(id);
	return db_run(db, sql, err, id, volume->id, address->backend, request_id);
}

/* A volume without a host was never made. */
static int leave_object(struct db *db, const struct volume *volume,
	const char *request_id, struct error *err)
{
	struct address address;

	if (!volume->host[0])
		return 0;
	if (address_parse(volume->host, &address, err) < 0)
		return error_context(err, "delete volume '%s'", volume->id);
	if (insert_deleted(db, volume, &address, request_id, err) < 0)
		return -1;
	return store_garbage_add_volume_locked(
		db, volume, address.backend, NULL, 0, "deleted", err);
}

static int delete_body(struct db *db, void *arg, struct error *err)
{
	const struct deletion *what = arg;
	struct volume volume;
	int found = store_volume_get_locked(db, what->volume_id, &volume, err);
	int known = found < 0 ? -1
			      : store_operation_known(db, what->volume_id,
					"delete_volume", what->request_id, err);

	if (known < 0)
		return -1;
	*what->out = known || !found ? DUPLICATE : ADMITTED;
	if (known)
		return 0;
	if (!found)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%.36s' could not be found", what->volume_id);
	if (check_deletable(db, &volume, what, err) < 0)
		return -1;
	if (what->cascade &&
		store_snapshot_delete_all_locked(db, &volume, what->count_gib, err) < 0)
		return -1;
	if (leave_object(db, &volume, what->request_id, err) < 0 ||
		store_volume_delete_locked(db, &volume, err) < 0)
		return -1;
	return store_notify(db, DONE_CHANNEL, volume.id, err);
}

int store_delete_volume(struct db *db, const char *volume_id, const char *request_id,
	bool from_api, enum admission *out, struct error *err)
{
	struct deletion what = { .volume_id = volume_id,
		.request_id = request_id,
		.from_api = from_api,
		.out = out };

	return db_transact(db, delete_body, &what, err);
}

int store_delete_cascade(struct db *db, const char *volume_id, const char *request_id,
	bool count_gib, enum admission *out, struct error *err)
{
	struct deletion what = { .volume_id = volume_id,
		.request_id = request_id,
		.from_api = true,
		.cascade = true,
		.count_gib = count_gib,
		.out = out };

	return db_transact(db, delete_body, &what, err);
}

static int refused_body(struct db *db, void *arg, struct error *err)
{
	/* What status a snapshot had is not remembered: one that was finished had this. */
	static const char sql[] =
		"update public.snapshots set updated_at = localtimestamp,"
		" status = case when progress = '100%' then 'available'"
		"  else 'error' end"
		" where volume_id = $1 and not deleted and status = 'deleting'";
	const struct deletion *what = arg;
	struct volume volume;
	int found = store_volume_get_locked(db, what->volume_id, &volume, err);
	int known = found <= 0 ? found
			       : store_operation_known(db, volume.id, "delete_volume",
					 what->request_id, err);

	if (found <= 0 || known != 0)
		return found < 0 || known < 0 ? -1 : 0;
	/* Known from now on: what comes again later deletes nothing. */
	if (store_operation_refused_locked(db, &volume, "delete_volume", NULL,
		    what->request_id, what->why, err) < 0)
		return -1;
	if (what->cascade && db_run(db, sql, err, volume.id) < 0)
		return -1;
	return store_volume_put_back(db, volume.id,
		strcmp(volume.status, "error_managing_deleting") == 0 ? volume.status
								      : what->status,
		NULL, err);
}

int store_delete_refused(struct db *db, const struct delete_refusal *refusal,
	const struct error *why, struct error *err)
{
	struct deletion what = { .volume_id = refusal->volume_id,
		.request_id = refusal->request_id,
		.status = refusal->unmanage ? "unmanaging" : "deleting",
		.cascade = refusal->cascade,
		.why = why };

	return db_transact(db, refused_body, &what, err);
}
