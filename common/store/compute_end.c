/* SPDX-License-Identifier: Apache-2.0 */
/* Attached volumes: how it ends. Lock order: S, T, ours. */
#include <stdio.h>
#include <string.h>

#include "common/store/attachments.h"
#include "common/store/compute.h"
#include "common/store/garbage.h"
#include "common/store/migration_parts.h"
#include "common/store/retype.h"

struct ending {
	struct migration *m;
	bool keep_result, quarantine, server_gone, unused;
	double source_keep;
	enum phase to;
	const struct error *why;
	const char *moved; /* who says that it has; NULL: the attachments */
};

/* S and T locked; the operation's row as it is now, whoever had it: a claim of our own. */
static int take_over(struct db *db, struct migration *m, struct volume *source,
	struct volume *temporary, struct error *err)
{
	static const char sql[] =
		"update drover.operation set epoch = " NEXT_EPOCH
		", not_before = now(),"
		" updated_at = clock_timestamp() where id = $1::uuid returning epoch";
	AUTO(PQclear) PGresult *rows = NULL;

	if (store_volume_get_locked(db, m->op.volume_id, source, err) < 0 ||
		store_volume_get_locked(db, m->temporary_id, temporary, err) < 0 ||
		db_query(db, sql, &rows, err, m->op.id) < 0)
		return -1;
	m->op.epoch = row_int(rows, 0, "epoch");
	return store_operation_lock(db, &m->op, err);
}

/* ---- the switch ---- */

/* Their servers end, and their owners are told. */
static int close_exports(struct db *db, const char *volume_id, struct error *err)
{
	static const char sql[] =
		"update drover.export set state = 'closing' where volume_id = $1"
		" and kind = 'attachment' and closed_at is null returning host";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, volume_id);

	for (int i = 0; i < count; i++)
		if (store_notify(db, WORK_CHANNEL, row_text_or(rows, i, "host", ""),
			    err) < 0)
			return -1;
	return count < 0 ? -1 : 0;
}

/* The guest has left S: so has what it was connected by. */
static int end_old(
	struct db *db, const struct migration *m, const char *old, struct error *err)
{
	static const char connections[] =
		"update drover.connection set closed_at = now() where volume_id = $1"
		" and closed_at is null and exists (select 1 from drover.connection t"
		"  where t.volume_id = $2 and t.closed_at is null)";
	static const char attachment[] =
		"update public.volume_attachment s set attach_status = 'detached',"
		" detach_time = localtimestamp, updated_at = localtimestamp,"
		" deleted = true, deleted_at = localtimestamp"
		" where s.id = $3 and s.volume_id = $1 and not s.deleted"
		" and exists (select 1 from public.volume_attachment t"
		"  where t.volume_id = $2 and not t.deleted)";

	if (close_exports(db, m->op.volume_id, err) < 0 ||
		db_run(db, connections, err, m->op.volume_id, m->temporary_id) < 0 ||
		db_run(db, attachment, err, m->op.volume_id, m->temporary_id, old) < 0)
		return -1;
	return 0;
}

/* What the guest is connected to T by is S's from now on, with its ids. It uses that, whether
 * somebody has said so or not. Without Nova nobody but us knows those ids: S's stay. */
static int take_attachments(struct db *db, const struct migration *m,
	const struct swap *swap, struct error *err)
{
	const struct guest *guest = &swap->guest;
	static const char attachments[] =
		"update public.volume_attachment set volume_id = $1,"
		" updated_at = localtimestamp, attach_mode = case when $3 = 'ro'"
		"  then 'ro' else attach_mode end, attach_status = case when"
		"  attach_status = 'attaching' and nullif(connector, '') is not null"
		"  then 'attached' else attach_status end"
		" where volume_id = $2 and not deleted";
	static const char exports[] =
		"update drover.export set volume_id = $1 where volume_id = $2"
		" and kind = 'attachment' and closed_at is null";
	static const char connections[] =
		"update drover.connection set volume_id = $1 where volume_id = $2"
		" and closed_at is null";

	if (swap->rpc && store_swap_keep_attachment(db, m, swap, err) < 0)
		return -1;
	if (end_old(db, m, guest->attachment_id, err) < 0 ||
		db_run(db, attachments, err, m->op.volume_id, m->temporary_id,
			guest->mode) < 0 ||
		db_run(db, exports, err, m->op.volume_id, m->temporary_id) < 0 ||
		db_run(db, connections, err, m->op.volume_id, m->temporary_id) < 0)
		return -1;
	return 0;
}

/* The guest runs on T: nothing that was asked for meanwhile can be in the way. */
static int make_switch(struct db *db, const struct ending *what,
	const struct volume *source, const struct volume *temporary,
	const struct swap *swap, const char *why, struct error *err)
{
	static const char done[] =
		"update drover.migration set copy_finished_at = clock_timestamp()"
		" where operation_id = $1::uuid";
	struct migration *m = what->m;
	struct address address;

	if (!source->id[0] || !temporary->id[0])
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%s' is not there any more",
			source->id[0] ? m->temporary_id : m->op.volume_id);
	if (address_parse(source->host, &address, err) < 0 ||
		take_attachments(db, m, swap, err) < 0 ||
		store_part_take_placement(db, m, what->keep_result, err) < 0 ||
		store_retype_switch_locked(db, m, err) < 0 ||
		store_attachment_statuses_locked(db, source->id, false, err) < 0 ||
		db_run(db, done, err, m->op.id) < 0)
		return -1;
	if (store_volume_delete_locked(db, temporary, err) < 0 ||
		store_garbage_add_volume_locked(db, source, address.backend, m->op.id,
			what->source_keep, "moved away", err) < 0)
		return -1;
	if (store_operation_move_locked(db, &m->op, PHASE_SETTLING, why, err) < 0)
		return -1;
	return store_notify(db, WORK_CHANNEL, m->op.host, err);
}

/* S and T (gone or not) are locked, and what the rows say is read. 1: it is in phase to. */
static int lock_ends(struct db *db, struct migration *m, enum phase to,
	struct volume *source, struct volume *temporary, struct swap *swap,
	struct error *err)
{
	int done;

	if (store_volume_get_locked(db, m->op.volume_id, source, err) < 0 ||
		store_volume_get_locked(db, m->temporary_id, temporary, err) < 0)
		return -1;
	done = store_part_at(db, m, to, err);
	if (done)
		return done;
	return store_swap_read(db, m, swap, err) < 0 ? -1 : 0;
}

static int switch_body(struct db *db, void *arg, struct error *err)
{
	const struct ending *what = arg;
	struct migration *m = what->m;
	struct volume source = { .id = "" }, temporary = { .id = "" };
	struct swap swap;
	int done = lock_ends(db, m, PHASE_SETTLING, &source, &temporary, &swap, err);

	if (done)
		return done < 0 ? -1 : 0;
	if (swap.source_others > 0 ||
		(!swap.rpc && (!swap.attached || swap.source_attached)))
		return error_set(err, ERR_INVALID_VOLUME,
			"the attachments of volume '%s' have changed", m->op.volume_id);
	return make_switch(db, what, &source, &temporary, &swap,
		what->moved ? what->moved
			    : "the attachments say that the guest runs on the "
			      "temporary volume",
		err);
}

int store_swap_switch(struct db *db, struct migration *m, bool keep_result,
	double source_keep, struct error *err)
{
	struct ending what = {
		.m = m, .keep_result = keep_result, .source_keep = source_keep
	};

	return db_transact(db, switch_body, &what, err);
}

int store_swap_moved(struct db *db, struct migration *m, bool keep_result,
	double source_keep, const char *why, struct error *err)
{
	struct ending what = { .m = m,
		.keep_result = keep_result,
		.source_keep = source_keep,
		.moved = why };

	return db_transact(db, switch_body, &what, err);
}

/* ---- the way back ---- */

/* What may be in use is left alone, and its row with it. */
static int keep_temporary(struct db *db, const struct migration *m,
	const struct volume *temporary, const char *reason, struct error *err)
{
	static const char quarantine[] =
		"update drover.garbage set quarantined = true, reason = $3"
		" where host = $1 and volume_id = $2 and removed_at is null";
	static const char connections[] =
		"update drover.connection set closed_at = now() where volume_id = $1"
		" and closed_at is null";
	struct address address;

	if (address_parse(m->target, &address, err) < 0 ||
		close_exports(db, temporary->id, err) < 0 ||
		db_run(db, connections, err, temporary->id) < 0 ||
		store_garbage_add_volume_locked(
			db, temporary, address.backend, m->op.id, 0, reason, err) < 0 ||
		db_run(db, quarantine, err, address.backend, temporary->name_id,
			reason) < 0)
		return -1;
	return store_volume_delete_locked(db, temporary, err);
}

static int drop(struct db *db, const struct ending *what,
	const struct volume *temporary, const struct swap *swap, struct error *err)
{
	if (!what->quarantine || swap->peer)
		return store_part_drop_temporary(db, what->m, temporary, err);
	return keep_temporary(db, what->m, temporary,
		"a guest may have written to it; 'drover garbage remove' when it has not",
		err);
}

static int end_back(struct db *db, const struct ending *what,
	const struct volume *source, const struct volume *temporary,
	const struct swap *swap, struct error *err)
{
	struct migration *m = what->m;

	if (store_part_release_source(db, m, what->keep_result, err) < 0 ||
		store_retype_release_locked(db, m, err) < 0 ||
		(temporary->id[0] && drop(db, what, temporary, swap, err) < 0))
		return -1;
	/* Its guest may have gone meanwhile. */
	if (source->id[0] &&
		store_attachment_statuses_locked(db, source->id, false, err) < 0)
		return -1;
	if (store_operation_end_locked(db, &m->op, what->to, what->why, err) < 0)
		return -1;
	return store_notify(db, DONE_CHANNEL, m->op.volume_id, err);
}

/* The worker has looked a while ago: is it still so? */
static int check_unused(const struct migration *m, const struct swap *swap,
	bool quarantine, struct error *err)
{
	if (swap->live > 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"the temporary volume '%s' is attached", m->temporary_id);
	if (swap->was_attached)
		return error_set(err, ERR_INVALID_VOLUME,
			"the guest has used the temporary volume '%s'",
			m->temporary_id);
	if (quarantine && swap->peer)
		return error_set(err, ERR_INVALID_VOLUME,
			"a guest may have used the temporary volume '%s'",
			m->temporary_id);
	return 0;
}

static int give_up_body(struct db *db, void *arg, struct error *err)
{
	struct ending *what = arg;
	struct migration *m = what->m;
	struct volume source = { .id = "" }, temporary = { .id = "" };
	struct swap swap;
	int done = lock_ends(db, m, what->to, &source, &temporary, &swap, err);

	if (done)
		return done < 0 ? -1 : 0;
	what->quarantine = swap.connected && !what->server_gone;
	if (check_unused(m, &swap, what->quarantine, err) < 0)
		return -1;
	return end_back(db, what, &source, &temporary, &swap, err);
}

int store_swap_give_up(struct db *db, struct migration *m, enum phase to,
	bool server_gone, const struct error *why, bool keep_result, struct error *err)
{
	struct ending what = { .m = m,
		.keep_result = keep_result,
		.server_gone = server_gone,
		.to = to,
		.why = why };

	return db_transact(db, give_up_body, &what, err);
}

static int take_back_body(struct db *db, void *arg, struct error *err)
{
	struct ending *what = arg;
	struct migration *m = what->m;
	struct volume source = { .id = "" }, temporary = { .id = "" };
	struct swap swap;
	int done = lock_ends(db, m, what->to, &source, &temporary, &swap, err);

	if (done)
		return done < 0 ? -1 : 0;
	if (swap.others > 0 || (!what->unused && swap.peer))
		return error_set(err, ERR_INVALID_VOLUME,
			"somebody else may use the temporary volume '%s'",
			m->temporary_id);
	what->quarantine = !what->unused;
	if (store_swap_end_attachment(db, m, &swap, err) < 0)
		return -1;
	return end_back(db, what, &source, &temporary, &swap, err);
}

int store_swap_take_back(struct db *db, struct migration *m, enum phase to, bool unused,
	const struct error *why, bool keep_result, struct error *err)
{
	struct ending what = { .m = m,
		.keep_result = keep_result,
		.unused = unused,
		.to = to,
		.why = why };

	return db_transact(db, take_back_body, &what, err);
}

/* ---- migrate_volume_completion ---- */

struct completing {
	const struct completion *completion;
	int known;
};

static int find(struct db *db, const struct completion *completion, struct migration *m,
	struct error *err)
{
	static const char sql[] =
		"select o.id from drover.operation o join drover.migration m"
		" on m.operation_id = o.id where o.volume_id = $1"
		" and m.temporary_id = $2 order by o.created_at desc limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(
		db, sql, &rows, err, completion->volume_id, completion->new_volume_id);

	if (count <= 0)
		return count;
	return store_migration_get(db, row_text(rows, 0, "id"), m, err);
}

/* Its worker looks what is true of it. */
static int note(
	struct db *db, const struct migration *m, bool failed, struct error *err)
{
	static const char sql[] =
		"update drover.swap set completed_at = clock_timestamp(),"
		" failed = $2::bool where operation_id = $1::uuid"
		" and completed_at is null";

	if (db_run(db, sql, err, m->op.id, BOOL_TEXT(failed)) < 0)
		return -1;
	return store_notify(db, WORK_CHANNEL, m->op.host, err);
}

/* Of a guest without Nova only its hypervisor can say it: what an administrator sends by the
 * API would be believed when it is silent. */
static int note_moved(struct db *db, const struct migration *m, const struct swap *swap,
	const char *host, struct error *err)
{
	if (host && strcmp(host, swap->hypervisor) == 0)
		return note(db, m, false, err);
	return error_set(err, ERR_INVALID_VOLUME,
		"only drover-compute on host '%s' can say that volume '%s' has moved",
		swap->hypervisor, m->op.volume_id);
}

/* An administrator may have sent it, too early. */
static int check_success(
	const struct migration *m, const struct swap *swap, struct error *err)
{
	const char *volume = m->op.volume_id;

	if (swap->source_others > 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' is attached to somebody else, too: what he wrote is "
			"not on the temporary volume '%s'",
			volume, m->temporary_id);
	if (swap->failed && !swap->attached)
		return error_set(err, ERR_INVALID_VOLUME,
			"Compute has said before that the migration of volume '%s' "
			"failed",
			volume);
	if (!swap->asked)
		return error_set(err, ERR_INVALID_VOLUME,
			"Compute was not asked yet to migrate volume '%s'", volume);
	/* Who asked a hypervisor asks it again; before there were attachments in the API,
	 * T's status and a connection told. */
	if (swap->attached || swap->rpc ||
		(swap->unlisted && swap->live > 0 && (swap->connected || swap->peer)))
		return 0;
	return error_set(err, ERR_INVALID_VOLUME,
		"the migration of volume '%s' is not complete: the guest is not attached "
		"to the temporary volume '%s'",
		volume, m->temporary_id);
}

static int complete(struct db *db, const struct completion *completion,
	struct migration *m, const struct volume *source,
	const struct volume *temporary, struct error *err)
{
	static const char noted[] =
		"update drover.swap set completed_at = clock_timestamp()"
		" where operation_id = $1::uuid";
	struct ending what = { .m = m,
		.keep_result = completion->keep_result,
		.source_keep = completion->source_keep };
	struct swap swap;
	int found = store_swap_read(db, m, &swap, err);

	if (found < 0)
		return -1;
	if (found == 0 || (m->op.phase != PHASE_SWAPPING && m->op.phase != PHASE_HELD))
		return error_set(err, ERR_INVALID_VOLUME,
			"the migration of volume '%s' is '%s': there is nothing to "
			"complete",
			m->op.volume_id, phase_name(m->op.phase));
	if (completion->failed)
		return note(db, m, true, err);
	if (check_success(m, &swap, err) < 0)
		return -1;
	if (swap.rpc)
		return note_moved(db, m, &swap, completion->host, err);
	if (db_run(db, noted, err, m->op.id) < 0)
		return -1;
	return make_switch(db, &what, source, temporary, &swap,
		"Compute has moved the guest to the temporary volume", err);
}

static int complete_body(struct db *db, void *arg, struct error *err)
{
	struct completing *what = arg;
	struct volume source = { .id = "" }, temporary = { .id = "" };
	struct migration m;

	what->known = find(db, what->completion, &m, err);
	if (what->known <= 0)
		return what->known;
	if (take_over(db, &m, &source, &temporary, err) < 0)
		return -1;
	switch (m.op.phase) {
	case PHASE_SETTLING:
	case PHASE_DONE:
		return 0; /* it came again */
	case PHASE_FAILED:
	case PHASE_CANCELLED:
		return error_set(err, ERR_INVALID_VOLUME,
			"the migration of volume '%s' has ended: %s", m.op.volume_id,
			m.op.reason);
	default:
		return complete(db, what->completion, &m, &source, &temporary, err);
	}
}

int store_swap_complete(
	struct db *db, const struct completion *completion, struct error *err)
{
	struct completing what = { completion, 0 };

	return db_transact(db, complete_body, &what, err) < 0 ? -1 : what.known;
}

/* ---- an operator's word ---- */

struct resolving {
	const char *volume_id;
	bool moved, keep_result;
	double source_keep;
};

/* Nobody else can hold one whose manager is gone. */
static bool is_resolvable(struct db *db, const struct migration *m, struct error *err)
{
	static const char sql[] = "select 1 from drover.manager where host = $1"
				  " and expires_at > now()";
	AUTO(PQclear) PGresult *rows = NULL;

	if (m->op.phase == PHASE_HELD)
		return true;
	return m->op.phase == PHASE_SWAPPING &&
		db_query(db, sql, &rows, err, m->op.host) == 0;
}

static int resolve_body(struct db *db, void *arg, struct error *err)
{
	const struct resolving *what = arg;
	struct volume source = { .id = "" }, temporary = { .id = "" };
	struct migration m;
	struct swap swap;
	struct error why;
	enum phase was;
	int found = store_migration_last(db, what->volume_id, &m, err);

	if (found < 0)
		return -1;
	if (!found || !is_resolvable(db, &m, err))
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' has no migration that is held", what->volume_id);
	was = m.op.phase;
	if (take_over(db, &m, &source, &temporary, err) < 0 ||
		store_swap_read(db, &m, &swap, err) < 0)
		return -1;
	if (m.op.phase != was)
		return error_set(err, ERR_INVALID_VOLUME,
			"the migration of volume '%s' is not held any more: it is '%s'",
			what->volume_id, phase_name(m.op.phase));
	if (!what->moved && !swap.failed && (swap.rpc ? swap.others : swap.live) > 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"the temporary volume '%s' of volume '%s' is attached, and "
			"Compute has not said that it failed: end that first (cinder "
			"attachment-list --volume-id %s)",
			m.temporary_id, what->volume_id, m.temporary_id);
	error_set(&why, ERR_COMPUTE,
		"an operator says that the guest has stayed where it was");
	struct ending ending = { .m = &m,
		.keep_result = what->keep_result,
		.source_keep = what->source_keep,
		.quarantine = true,
		.to = m.op.cancel ? PHASE_CANCELLED : PHASE_FAILED,
		.why = &why };
	if (!what->moved && swap.rpc &&
		store_swap_end_attachment(db, &m, &swap, err) < 0)
		return -1;
	if (!what->moved)
		return end_back(db, &ending, &source, &temporary, &swap, err);
	return make_switch(db, &ending, &source, &temporary, &swap,
		"an operator says that the guest runs on the temporary volume", err);
}

int store_swap_resolve(struct db *db, const char *volume_id, bool moved,
	bool keep_result, double source_keep, struct error *err)
{
	struct resolving what = { volume_id, moved, keep_result, source_keep };

	return db_transact(db, resolve_body, &what, err);
}
