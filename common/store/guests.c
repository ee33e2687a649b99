/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/guests.h"

#include <stdlib.h>
#include <string.h>

#include "common/store/operations.h"

struct asking {
	const char *volume_id, *instance_id, *mode;
	struct attachment *out;
};

/* 1 and *out: that of the instance, or the only one. */
static int find(struct db *db, const struct volume *volume, const char *instance_id,
	struct attachment *out, struct error *err)
{
	AUTO(free) struct attachment *list = NULL;
	int count = store_attachment_list(db, volume->id, &list, err);

	if (count < 0)
		return -1;
	if (!instance_id && count > 1)
		return error_set(err, ERR_AMBIGUOUS,
			"volume '%s' has %d attachments: of which instance?",
			volume_called(volume), count);
	for (int i = 0; i < count; i++)
		if (!instance_id || strcmp(list[i].server_id, instance_id) == 0) {
			*out = list[i];
			return 1;
		}
	return 0;
}

/* ---- to attach ---- */

static int check_attachable(
	struct db *db, const struct volume *volume, const char *mode, struct error *err)
{
	struct connection_facts facts;
	bool read_only;

	if (store_volume_free(db, volume, VOLUME_WRITE, "be attached", err) < 0 ||
		store_connection_facts(db, volume->id, &facts, err) < 0)
		return -1;
	read_only = facts.read_only;
	connection_facts_clear(&facts);
	if (strcmp(volume->status, "available") != 0 &&
		!(volume->multiattach && strcmp(volume->status, "in-use") == 0))
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot be attached: its status is '%s', it must be "
			"available",
			volume_called(volume), volume->status);
	if (read_only && strcmp(mode, "ro") != 0)
		return error_set(err, ERR_ATTACH_MODE,
			"volume '%s' is read-only: it can be attached with mode 'ro'",
			volume_called(volume));
	return 0;
}

static int insert(
	struct db *db, const struct asking *what, const char *mode, struct error *err)
{
	static const char attachment[] =
		"insert into public.volume_attachment (id, volume_id, instance_uuid,"
		" attach_status, attach_mode, connection_info, created_at, deleted)"
		" values ($1, $2, $3, 'reserved', $4, '{}', localtimestamp, false)";
	static const char volume[] =
		"update public.volumes set status = 'reserved',"
		" updated_at = localtimestamp where id = $1 and status = 'available'";
	char id[UUID_TEXT_SIZE];

	uuid_make(id);
	if (db_run(db, volume, err, what->volume_id) < 0 ||
		db_run(db, attachment, err, id, what->volume_id, what->instance_id,
			mode) < 0)
		return -1;
	return store_attachment_get(db, id, what->out, err) < 0 ? -1 : 0;
}

static int reserve_body(struct db *db, void *arg, struct error *err)
{
	const struct asking *what = arg;
	struct attachment *out = what->out;
	const char *mode = what->mode ? what->mode : "rw";
	struct volume volume;
	int found;

	if (store_volume_require_locked(db, what->volume_id, &volume, err) < 0)
		return -1;
	found = find(db, &volume, what->instance_id, out, err);
	if (found < 0)
		return -1;
	if (!found)
		return check_attachable(db, &volume, mode, err) < 0
			? -1
			: insert(db, what, mode, err);
	if (what->mode && strcmp(out->mode, mode) != 0)
		return error_set(err, ERR_ATTACH_MODE,
			"volume '%s' is attached to instance '%s' with mode '%s'",
			volume_called(&volume), what->instance_id, out->mode);
	if (strcmp(volume.status, "detaching") == 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' is being detached from instance '%s'",
			volume_called(&volume), what->instance_id);
	return 0;
}

int store_guest_reserve(struct db *db, const char *volume_id, const char *instance_id,
	const char *mode, struct attachment *out, struct error *err)
{
	struct asking what = { volume_id, instance_id, mode, out };

	return db_transact(db, reserve_body, &what, err) < 0 ? -1 : 0;
}

struct attached {
	const struct attachment *attachment;
	const char *device;
};

static int attached_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"update public.volume_attachment set attach_status = 'attached',"
		" mountpoint = $2, updated_at = localtimestamp"
		" where id = $1 and not deleted";
	const struct attached *what = arg;
	struct volume volume;
	int count;

	if (store_volume_require_locked(db, what->attachment->volume_id, &volume, err) <
		0)
		return -1;
	count = db_run(db, sql, err, what->attachment->id, what->device);
	if (count == 0)
		return error_set(err, ERR_NOT_FOUND,
			"attachment '%s' is not there any more", what->attachment->id);
	return count < 0 ? -1
			 : store_attachment_statuses_locked(db, volume.id, false, err);
}

int store_guest_attached(struct db *db, const struct attachment *attachment,
	const char *device, struct error *err)
{
	struct attached what = { attachment, device };

	return db_transact(db, attached_body, &what, err) < 0 ? -1 : 0;
}

/* ---- to detach ---- */

static int detaching_body(struct db *db, void *arg, struct error *err)
{
	/* Of the attachments' status Cinder knows no such value. */
	static const char sql[] =
		"update public.volumes set status = 'detaching',"
		" updated_at = localtimestamp where id = $1 and not deleted";
	const struct asking *what = arg;
	struct volume volume;
	int found;

	if (store_volume_require_locked(db, what->volume_id, &volume, err) < 0 ||
		store_volume_free(db, &volume, VOLUME_ALONE, "be detached", err) < 0)
		return -1;
	found = find(db, &volume, what->instance_id, what->out, err);
	if (found < 0)
		return -1;
	if (!found)
		return error_set(err, ERR_NOT_FOUND, "volume '%s' is not attached%s%s",
			volume_called(&volume),
			what->instance_id ? " to instance " : "",
			what->instance_id ? what->instance_id : "");
	if (!what->out->server_id[0])
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' is connected to host '%s', not to an instance: "
			"'drover disconnect' ends that",
			volume_called(&volume), what->out->host_name);
	return db_run(db, sql, err, volume.id) < 0 ? -1 : 0;
}

int store_guest_detaching(struct db *db, const char *volume_id, const char *instance_id,
	struct attachment *out, struct error *err)
{
	struct asking what = { volume_id, instance_id, NULL, out };

	return db_transact(db, detaching_body, &what, err) < 0 ? -1 : 0;
}

static int kept_body(struct db *db, void *arg, struct error *err)
{
	const struct attachment *attachment = arg;
	struct volume volume;

	if (store_volume_require_locked(db, attachment->volume_id, &volume, err) < 0)
		return -1;
	return store_attachment_statuses_locked(db, volume.id, false, err);
}

int store_guest_kept(
	struct db *db, const struct attachment *attachment, struct error *err)
{
	struct attachment what = *attachment;

	return db_transact(db, kept_body, &what, err) < 0 ? -1 : 0;
}

static int detached_body(struct db *db, void *arg, struct error *err)
{
	const struct attachment *attachment = arg;
	struct volume volume;

	if (store_volume_require_locked(db, attachment->volume_id, &volume, err) < 0)
		return -1;
	return store_attachment_detached_locked(
		       db, attachment->volume_id, attachment->id, err) < 0
		? -1
		: 0;
}

int store_guest_detached(
	struct db *db, const struct attachment *attachment, struct error *err)
{
	struct attachment what = *attachment;

	return db_transact(db, detached_body, &what, err) < 0 ? -1 : 0;
}
