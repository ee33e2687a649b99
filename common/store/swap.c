/* SPDX-License-Identifier: Apache-2.0 */
/* Attached volumes of guests without Nova: what Nova would write of T's attachment is written
 * here, and what the hypervisor says. Lock order: S, T, ours. */
#include <string.h>

#include "common/hypervisor.h"
#include "common/store/attachments.h"
#include "common/store/compute.h"
#include "common/store/migration_parts.h"

/* ---- T's attachment ---- */

struct reserving {
	struct migration *m;
	const char *hypervisor;
	char *id;
};

static int insert_attachment(struct db *db, const struct migration *m,
	const struct swap *swap, const char *id, struct error *err)
{
	static const char attachment[] =
		"insert into public.volume_attachment (id, volume_id, instance_uuid,"
		" attach_status, attach_mode, created_at, deleted)"
		" values ($1, $2, $3, 'reserved', $4, localtimestamp, false)";
	static const char volume[] =
		"update public.volumes set status = 'reserved',"
		" updated_at = localtimestamp where id = $1 and not deleted"
		" and status = 'available'";
	const char *mode = strcmp(swap->guest.mode, "ro") == 0 ? "ro" : "rw";
	int count = db_run(db, volume, err, m->temporary_id);

	if (count == 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"the temporary volume '%s' is not available any more",
			m->temporary_id);
	return count < 0 ? -1
			 : db_run(db, attachment, err, id, m->temporary_id,
				   swap->guest.server_id, mode);
}

static int reserve_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"update drover.swap set hypervisor = $2, target_attachment_id = $3"
		" where operation_id = $1::uuid";
	const struct reserving *what = arg;
	struct migration *m = what->m;
	struct volume source, temporary;
	struct swap swap;

	if (store_part_source(db, m, &source, err) < 0 ||
		store_volume_get_locked(db, m->temporary_id, &temporary, err) < 0 ||
		store_operation_lock(db, &m->op, err) < 0 ||
		store_part_unchanged(m, &source, PHASE_SWAPPING, err) < 0 ||
		store_swap_read(db, m, &swap, err) < 0)
		return -1;
	if (swap.target_attachment_id[0])
		text_copy(what->id, UUID_TEXT_SIZE, swap.target_attachment_id);
	else if (insert_attachment(db, m, &swap, what->id, err) < 0)
		return -1;
	/* Once it was asked, it stays that one. */
	return swap.asked ? 0
			  : db_run(db, sql, err, m->op.id, what->hypervisor, what->id);
}

int store_swap_reserve(struct db *db, struct migration *m, const char *hypervisor,
	char attachment_id[UUID_TEXT_SIZE], struct error *err)
{
	struct reserving what = { m, hypervisor, attachment_id };

	uuid_make(attachment_id);
	return db_transact(db, reserve_body, &what, err) < 0 ? -1 : 0;
}

/* ---- what the hypervisor says ---- */

struct saying {
	const struct migration *m;
	const struct swap_status *status;
};

static int said_body(struct db *db, void *arg, struct error *err)
{
	/* What the guest writes meanwhile is copied too: the total grows. */
	static const char progress[] =
		"update drover.migration set position = case when $3::bigint > 0 then"
		"  least(size_bytes, (size_bytes::numeric * $2::bigint / $3::bigint)"
		"   ::bigint) else position end,"
		" copied = $2::bigint, rate = greatest(0, $2::bigint - copied)"
		"  / greatest(0.001, extract(epoch from clock_timestamp()"
		"   - coalesce(progress_at, copy_started_at, clock_timestamp()))),"
		" progress_at = clock_timestamp() where operation_id = $1::uuid"
		" and $3::bigint > 0";
	static const char said[] =
		"update drover.swap set said = $2, said_at = clock_timestamp(),"
		" forgotten = forgotten or ($2 = 'none' and accepted_at is not null)"
		" where operation_id = $1::uuid";
	const struct saying *what = arg;
	const struct swap_status *status = what->status;
	const struct migration *m = what->m;

	if (store_operation_check_locked(db, &m->op, err) < 0 ||
		db_run(db, progress, err, m->op.id, NUM(status->done),
			NUM(status->total)) < 0)
		return -1;
	return db_run(db, said, err, m->op.id, swap_state_name(status->state)) < 0 ? -1
										   : 0;
}

int store_swap_said(struct db *db, const struct migration *m,
	const struct swap_status *status, struct error *err)
{
	struct saying what = { m, status };

	return db_transact_async(db, said_body, &what, err);
}

/* ---- the ends ---- */

/* The device in the guest and the mode are what they were. */
static int point_to_target(struct db *db, const struct migration *m,
	const struct swap *swap, struct error *err)
{
	static const char sql[] =
		"update public.volume_attachment s set connector = t.connector,"
		" attached_host = t.attached_host, updated_at = localtimestamp,"
		" connection_info = case when t.connection_info like '{%' then"
		"  ((t.connection_info::jsonb || jsonb_build_object('attachment_id', s.id))"
		"   || case when t.connection_info::jsonb ? 'volume_id' then"
		"    jsonb_build_object('volume_id', s.volume_id) else '{}' end)::text"
		"  else t.connection_info end"
		" from public.volume_attachment t where t.id = $3 and t.volume_id = $4"
		" and not t.deleted and s.id = $1 and s.volume_id = $2"
		" and not s.deleted";

	return db_run(db, sql, err, swap->guest.attachment_id, m->op.volume_id,
		swap->target_attachment_id, m->temporary_id);
}

int store_swap_keep_attachment(struct db *db, const struct migration *m,
	const struct swap *swap, struct error *err)
{
	/* Those of S are closed, and no attachment goes with them. */
	static const char old[] =
		"update drover.export set attachment_id = null, detach_id = null"
		" where volume_id = $1 and attachment_id = $2 and closed_at is null";
	static const char new[] =
		"update drover.export set attachment_id = $3 where volume_id = $1"
		" and attachment_id = $2 and closed_at is null";
	int count = point_to_target(db, m, swap, err);

	/* Detached meanwhile: then the guest is attached by that of T. */
	if (count <= 0)
		return count;
	if (db_run(db, old, err, m->op.volume_id, swap->guest.attachment_id) < 0 ||
		db_run(db, new, err, m->temporary_id, swap->target_attachment_id,
			swap->guest.attachment_id) < 0)
		return -1;
	return store_attachment_delete_locked(db, swap->target_attachment_id, err);
}

int store_swap_end_attachment(struct db *db, const struct migration *m,
	const struct swap *swap, struct error *err)
{
	static const char exports[] =
		"update drover.export set state = 'closing' where volume_id = $1"
		" and attachment_id = $2 and closed_at is null returning host";
	AUTO(PQclear) PGresult *rows = NULL;
	int count;

	if (!swap->target_attachment_id[0])
		return 0;
	count = db_query(
		db, exports, &rows, err, m->temporary_id, swap->target_attachment_id);
	for (int i = 0; i < count; i++)
		if (store_notify(db, WORK_CHANNEL, row_text_or(rows, i, "host", ""),
			    err) < 0)
			return -1;
	return count < 0
		? -1
		: store_attachment_delete_locked(db, swap->target_attachment_id, err);
}
