/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/growth.h"

#include <string.h>

#include "common/json.h"
#include "common/store/messages.h"
#include "common/store/quotas.h"

/* A volume's object has fewer than 2^62 bytes. */
#define SIZE_MAX_GIB INT32_MAX

struct admit {
	const struct growth_request *request;
	enum admission *out;
	bool failed;
	const struct error *why; /* of a refusal */
};

static int check_unused(struct db *db, const struct volume *volume, struct error *err)
{
	char who[256];

	if (volume->exports > 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot be extended: it is connected",
			volume_called(volume));
	if (volume->attachments == 0)
		return 0;
	if (store_volume_attached_to(db, volume->id, who, sizeof(who), err) < 0)
		return -1;
	return error_set(err, ERR_NOT_SUPPORTED,
		"volume '%s' cannot be extended while it is attached to %s",
		volume_called(volume), who);
}

static int check_growable(
	struct db *db, const struct volume *volume, int64_t new_size, struct error *err)
{
	static const char doing[] = "be extended";

	if (strcmp(volume->status, "extending") != 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' has status '%s', not extending",
			volume_called(volume), volume->status);
	if (store_volume_idle(db, volume, doing, err) < 0)
		return -1;
	if (new_size <= volume->size_gib || new_size > SIZE_MAX_GIB)
		return error_set(err, ERR_INVALID_INPUT,
			"the new size must be greater than the current size "
			"(current: %lld, extended: %lld)",
			(long long)volume->size_gib, (long long)new_size);
	if (check_unused(db, volume, err) < 0)
		return -1;
	return volume_check_raw(volume, doing, err);
}

static int insert_growth(struct db *db, const char *id, const struct volume *volume,
	const struct growth_request *request, struct error *err)
{
	static const char sql[] =
		"insert into drover.growth (operation_id, old_size, new_size,"
		" reservations) select $1::uuid, $2::int, $3::int,"
		" array(select jsonb_array_elements_text($4::jsonb))";
	AUTO(json_object_put) struct json_object *list = json_object_new_array();
	const char *const *reservation = request->reservations;
	AUTO(free) char *text = NULL;

	for (; reservation && *reservation; reservation++)
		json_object_array_add(list, json_object_new_string(*reservation));
	text = json_text(list);
	if (!text)
		return error_no_memory(err);
	if (db_run(db, sql, err, id, NUM(volume->size_gib), NUM(request->new_size),
		    text) < 0)
		return -1;
	return store_quota_hold_all(db, request->reservations, err);
}

static int admit_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"insert into drover.operation (id, kind, volume_id, host, request_id,"
		" saved_status) values ($1, 'extend_volume', $2, $3, $4, 'extending')";
	const struct admit *what = arg;
	const struct growth_request *request = what->request;
	struct address address;
	struct volume volume;
	char id[UUID_TEXT_SIZE];
	int known;

	if (store_volume_require_locked(db, request->volume_id, &volume, err) < 0)
		return -1;
	known = store_operation_known(
		db, volume.id, "extend_volume", request->request_id, err);
	if (known < 0)
		return -1;
	*what->out = known ? DUPLICATE : ADMITTED;
	if (known)
		return 0;
	if (check_growable(db, &volume, request->new_size, err) < 0)
		return -1;
	if (address_parse(volume.host, &address, err) < 0)
		return error_context(err, "extend volume '%s'", volume.id);
	uuid_make(id);
	if (db_run(db, sql, err, id, volume.id, address.backend, request->request_id) <
			0 ||
		insert_growth(db, id, &volume, request, err) < 0)
		return -1;
	return store_notify(db, WORK_CHANNEL, address.backend, err);
}

int store_growth_admit(struct db *db, const struct growth_request *request,
	enum admission *out, struct error *err)
{
	struct admit what = { .request = request, .out = out };

	return db_transact(db, admit_body, &what, err);
}

/* Status error_extending and the message; returns whether the status was changed. */
static int set_error(
	struct db *db, const char *id, const char *request_id, struct error *err)
{
	static const char sql[] =
		"update public.volumes set status = 'error_extending',"
		" updated_at = localtimestamp"
		" where id = $1 and not deleted and status = 'extending'";
	int changed = db_run(db, sql, err, id);

	if (changed > 0 &&
		store_message_volume(db, id, request_id, MESSAGE_EXTEND,
			MESSAGE_EXTEND_FAILED, err) < 0)
		return -1;
	return changed;
}

static int refuse_body(struct db *db, void *arg, struct error *err)
{
	const struct admit *what = arg;
	const struct growth_request *request = what->request;
	struct volume volume;
	int found = store_volume_get_locked(db, request->volume_id, &volume, err);
	int known = found <= 0 ? found
			       : store_operation_known(db, volume.id, "extend_volume",
					 request->request_id, err);
	int changed;

	if (found < 0 || known < 0)
		return -1;
	/* Admitted after all, or refused before: what it has reserved is settled there. */
	if (known)
		return 0;
	if (store_quota_roll_back_all(db, request->reservations, err) < 0)
		return -1;
	if (!found)
		return 0;
	if (store_operation_refused_locked(db, &volume, "extend_volume", NULL,
		    request->request_id, what->why, err) < 0)
		return -1;
	if (what->failed)
		return set_error(db, volume.id, request->request_id, err) < 0 ? -1 : 0;
	changed = store_volume_put_back(db, volume.id, "extending", NULL, err);
	if (changed <= 0)
		return changed;
	return store_message_volume(db, volume.id, request->request_id, MESSAGE_EXTEND,
		request->detail ? request->detail : MESSAGE_EXTEND_FAILED, err);
}

int store_growth_refuse(struct db *db, const struct growth_request *request,
	bool failed, const struct error *why, struct error *err)
{
	struct admit what = { .request = request, .failed = failed, .why = why };

	return db_transact(db, refuse_body, &what, err);
}

/* ---- for its worker ---- */

int store_growth_get(
	struct db *db, const struct operation *op, int64_t *new_size, struct error *err)
{
	static const char sql[] = "select new_size from drover.growth"
				  " where operation_id = $1::uuid";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, op->id);

	if (count > 0)
		*new_size = row_int(rows, 0, "new_size");
	return count;
}

static int settle_quota(struct db *db, const struct operation *op,
	int (*settle)(struct db *db, const char *reservation, struct error *err),
	struct error *err)
{
	static const char sql[] = "select unnest(reservations) as uuid"
				  " from drover.growth where operation_id = $1::uuid";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, op->id);

	return count < 0 ? -1 : store_quota_each(db, rows, settle, err);
}

static int done_body(struct db *db, void *arg, struct error *err)
{
	/* A status that an administrator has reset meanwhile is his. */
	static const char sql[] =
		"update public.volumes v set size = g.new_size,"
		" updated_at = localtimestamp, status = case when v.status <>"
		"  'extending' then v.status when exists (select 1 from"
		"   public.volume_attachment a where a.volume_id = v.id"
		"   and not a.deleted) then 'in-use' else 'available' end"
		" from drover.growth g where v.id = $2 and g.operation_id = $1::uuid"
		" and not v.deleted";
	struct operation *op = arg;
	struct volume volume;
	int found = store_volume_get_locked(db, op->volume_id, &volume, err);
	int before = found < 0 ? -1 : store_operation_is_moved(db, op, PHASE_DONE, err);

	/* It may have grown on since. */
	if (before != 0)
		return before < 0 ? -1 : 0;
	if (!found)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%s' is not there any more", op->volume_id);
	if (store_operation_move_locked(db, op, PHASE_DONE, NULL, err) < 0 ||
		db_run(db, sql, err, op->id, op->volume_id) < 0 ||
		settle_quota(db, op, store_quota_commit, err) < 0)
		return -1;
	return store_notify(db, DONE_CHANNEL, op->volume_id, err);
}

int store_growth_done(struct db *db, struct operation *op, struct error *err)
{
	return db_transact(db, done_body, op, err);
}

struct failing {
	struct operation *op;
	const struct error *why;
};

static int failed_body(struct db *db, void *arg, struct error *err)
{
	const struct failing *what = arg;
	struct operation *op = what->op;
	struct volume volume;

	/* Its row may be gone; what was reserved for it is given back all the same. */
	if (store_volume_get_locked(db, op->volume_id, &volume, err) < 0 ||
		store_operation_lock(db, op, err) < 0)
		return -1;
	if (op->phase == PHASE_FAILED)
		return 0; /* its commit was made after all */
	if (store_operation_end_locked(db, op, PHASE_FAILED, what->why, err) < 0 ||
		settle_quota(db, op, store_quota_roll_back, err) < 0 ||
		set_error(db, op->volume_id, op->request_id, err) < 0)
		return -1;
	return store_notify(db, DONE_CHANNEL, op->volume_id, err);
}

int store_growth_failed(
	struct db *db, struct operation *op, const struct error *why, struct error *err)
{
	struct failing what = { op, why };

	return db_transact(db, failed_body, &what, err);
}
