/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/exports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/attachments.h"
#include "common/store/operations.h"

void export_uri(const struct export *export, char out[EXPORT_URI_SIZE])
{
	const bool v6 = strchr(export->address, ':');

	snprintf(out, EXPORT_URI_SIZE, "%s://%s%s%s:%lld/%s",
		export->certificates ? "nbds" : "nbd", v6 ? "[" : "", export->address,
		v6 ? "]" : "", (long long)export->port, export->id);
}

#define COLUMNS \
	"id, volume_id, host, kind, attachment_id, peer, state, address, error," \
	" reply_queue, reply_id, reply_for, read_only, pid, pid_start, boot_id, port," \
	" tls_key, detach_id, request_id, connector is not null as attach," \
	" certificates," \
	" to_char(created_at, 'YYYY-MM-DD\"T\"HH24:MI:SS') as created_text"

#define COPY(field, column) \
	text_copy(out->field, sizeof(out->field), row_text_or(rows, row, column, ""))

static void export_from_row(const PGresult *rows, int row, struct export *out)
{
	memset(out, 0, sizeof(*out));
	COPY(id, "id");
	COPY(volume_id, "volume_id");
	COPY(host, "host");
	COPY(kind, "kind");
	COPY(attachment_id, "attachment_id");
	COPY(peer, "peer");
	COPY(state, "state");
	COPY(address, "address");
	COPY(error, "error");
	COPY(reply_queue, "reply_queue");
	COPY(reply_id, "reply_id");
	COPY(reply_for, "reply_for");
	COPY(detach_id, "detach_id");
	COPY(request_id, "request_id");
	COPY(boot_id, "boot_id");
	COPY(tls_key, "tls_key");
	COPY(created_at, "created_text");
	out->read_only = row_bool(rows, row, "read_only");
	out->attach = row_bool(rows, row, "attach");
	out->certificates = row_bool(rows, row, "certificates");
	out->pid = row_int(rows, row, "pid");
	out->pid_start = row_int(rows, row, "pid_start");
	out->port = row_int(rows, row, "port");
}

int store_export_get(
	struct db *db, const char *id, struct export *out, struct error *err)
{
	static const char sql[] =
		"select " COLUMNS " from drover.export where id = $1::uuid";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, id);

	if (count > 0)
		export_from_row(rows, 0, out);
	return count;
}

static int list_from(PGresult *rows, int count, struct export **list, struct error *err)
{
	*list = calloc((size_t)count + 1, sizeof(**list));
	if (!*list)
		return error_no_memory(err);
	for (int i = 0; i < count; i++)
		export_from_row(rows, i, &(*list)[i]);
	return count;
}

int store_export_list(
	struct db *db, const char *backend, struct export **list, struct error *err)
{
	static const char sql[] =
		"select " COLUMNS " from drover.export where closed_at is null"
		" and ($1::text is null or host = $1) order by created_at, id"
		" limit 100000";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, backend);

	if (count < 0)
		return error_context(err, "list exports");
	return list_from(rows, count, list, err);
}

int store_export_connected(struct db *db, const char *volume_id,
	const char *attachment_id, const char *peer, bool loose, bool all,
	struct export **list, struct error *err)
{
	static const char sql[] =
		"select " COLUMNS " from drover.export where volume_id = $1"
		" and kind = 'attachment' and closed_at is null and ($5::bool"
		"  or attachment_id = $2 or ($4::bool and attachment_id is null"
		"   and ($3::text is null or peer = $3)))"
		" order by created_at, id limit 100000";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, volume_id, attachment_id, peer,
		BOOL_TEXT(loose), BOOL_TEXT(all));

	if (count < 0)
		return error_context(err, "look for the exports of '%s'", volume_id);
	return list_from(rows, count, list, err);
}

int store_export_unanswered(
	struct db *db, const char *backend, struct export **list, struct error *err)
{
	/* Who waits until all are closed hears it once. */
	static const char sql[] =
		"select " COLUMNS " from drover.export e where e.host = $1"
		" and e.reply_id is not null and (e.state = 'closed'"
		"  or (e.state = 'open' and e.reply_for <> '" REPLY_CLOSED "'))"
		" and (e.reply_for <> '" REPLY_CLOSED "' or not exists ("
		"  select 1 from drover.export o where o.reply_id = e.reply_id"
		"  and o.id <> e.id and o.reply_for = '" REPLY_CLOSED "'"
		"  and (o.closed_at is null or o.id < e.id)))"
		" order by e.created_at limit 1000";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, backend);

	if (count < 0)
		return error_context(err, "look for unanswered exports");
	return list_from(rows, count, list, err);
}

int store_export_answered(struct db *db, const struct export *export, struct error *err)
{
	static const char sql[] =
		"update drover.export set reply_id = null, reply_queue = null"
		" where reply_id = $2 and (id = $1::uuid or ($3 = '" REPLY_CLOSED "'"
		"  and reply_for = '" REPLY_CLOSED "' and host = $4))";

	return db_run(db, sql, err, export->id, export->reply_id, export->reply_for,
		       export->host) < 0
		? -1
		: 0;
}

struct opened {
	const struct export *export, *read;
};

/* Lock the volume that the export is of, gone or not: the lock order is S, then ours. The
 * switch of a migration makes T's exports S's. 1 and both as they are now; 0: there is no
 * such export. */
static int lock_volume(struct db *db, const char *id, struct export *out,
	struct volume *volume, struct error *err)
{
	char volume_id[UUID_TEXT_SIZE];
	int found = store_export_get(db, id, out, err);

	if (found <= 0)
		return found;
	text_copy(volume_id, sizeof(volume_id), out->volume_id);
	memset(volume, 0, sizeof(*volume));
	if (store_volume_get_locked(db, volume_id, volume, err) < 0)
		return -1;
	found = store_export_get(db, id, out, err);
	if (found > 0 && strcmp(out->volume_id, volume_id) != 0)
		return error_set(err, ERR_DB_RETRY,
			"export '%s' has become another volume's", id);
	return found;
}

/* The API tier asked for it, and completes it when it knows the answer. */
static int mark_attaching(struct db *db, const struct export *export, struct error *err)
{
	static const char sql[] =
		"select connector, attach_mode from drover.export where id = $1::uuid";
	AUTO(PQclear) PGresult *rows = NULL;

	if (db_query(db, sql, &rows, err, export->id) < 0)
		return -1;
	return store_attachment_attaching_locked(db, export->attachment_id,
		export->volume_id, row_text(rows, 0, "connector"),
		row_text_or(rows, 0, "attach_mode", NULL), err);
}

static int mark_attached(
	struct db *db, const struct export *export, bool is_new, struct error *err)
{
	if (export->attach)
		return is_new ? mark_attaching(db, export, err) : 0;
	if (!export->attachment_id[0])
		return 0;
	return store_attachment_attached_locked(
		db, export->volume_id, export->attachment_id, err);
}

/* An attachment that was reserved only can be deleted without a word to us: then nobody
 * would ever close this. 1: it is gone, 0. */
static int is_abandoned(struct db *db, const struct export *export, struct error *err)
{
	static const char sql[] = "update drover.export set state = 'closing'"
				  " where id = $1::uuid and state = 'wanted'";
	struct attachment attachment;
	int found;

	if (!export->attach)
		return 0;
	found = store_attachment_get(db, export->attachment_id, &attachment, err);
	if (found != 0)
		return found < 0 ? -1 : 0;
	if (db_run(db, sql, err, export->id) < 0 ||
		store_notify(db, WORK_CHANNEL, export->host, err) < 0)
		return -1;
	return 1;
}

static int opened_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"update drover.export set state = 'open', pid = $2::int,"
		" pid_start = $3::bigint, boot_id = $4, address = $5, port = $6::int,"
		" opened_at = now(), error = null where id = $1::uuid"
		" and ((state = $7 and coalesce(pid, 0) = $8::int"
		"   and coalesce(pid_start, 0) = $9::bigint)"
		"  or (state = 'open' and pid = $2::int and pid_start = $3::bigint))";
	const struct opened *what = arg;
	const struct export *export = what->export;
	bool is_new = strcmp(what->read->state, "wanted") == 0;
	struct volume volume;
	struct export now;
	int count;

	count = lock_volume(db, export->id, &now, &volume, err);
	if (count <= 0)
		return count;
	count = is_new ? is_abandoned(db, export, err) : 0;
	if (count != 0)
		return count < 0 ? -1 : 0;
	count = db_run(db, sql, err, export->id, NUM(export->pid),
		NUM(export->pid_start), export->boot_id, export->address,
		NUM(export->port), what->read->state, NUM(what->read->pid),
		NUM(what->read->pid_start));
	if (count <= 0)
		return count;
	if (mark_attached(db, &now, is_new, err) < 0 ||
		store_notify(db, DONE_CHANNEL, now.volume_id, err) < 0 ||
		store_notify(db, WORK_CHANNEL, export->host, err) < 0)
		return -1;
	return 1;
}

int store_export_opened(struct db *db, const struct export *export,
	const struct export *read, struct error *err)
{
	struct opened what = { export, read };

	return db_transact(db, opened_body, &what, err);
}

int store_export_restart(struct db *db, const char *id, struct error *err)
{
	static const char sql[] =
		"update drover.export set restarts = case when opened_at <"
		"  now() - interval '60 s' then 1 else restarts + 1 end,"
		" not_before = now() + make_interval(secs => case when opened_at <"
		"  now() - interval '60 s' then 0 else"
		"  least(60, 0.25 * power(2, least(restarts, 10))) end)"
		" where id = $1::uuid and closed_at is null and not_before <= now()";

	return db_run(db, sql, err, id);
}

struct closed {
	const char *id, *error;
};

/* The attachment goes with the last of its exports. A status that somebody else has given
 * the volume stays. */
static int end_attachment(struct db *db, const struct export *export,
	const struct volume *volume, struct error *err)
{
	static const char sql[] = "select 1 from drover.export where detach_id = $1"
				  " and closed_at is null limit 1";
	static const char *const ours[] = { "in-use", "attaching", "detaching",
		"reserved", "available" };
	AUTO(PQclear) PGresult *rows = NULL;
	int left = db_query(db, sql, &rows, err, export->detach_id);
	bool is_ours = false;

	if (left != 0)
		return left < 0 ? -1 : 0;
	for (unsigned i = 0; i < ARRAY_SIZE(ours); i++)
		is_ours = is_ours || strcmp(volume->status, ours[i]) == 0;
	if (is_ours)
		return store_attachment_detached_locked(
			db, volume->id, export->detach_id, err);
	return store_attachment_delete_locked(db, export->detach_id, err);
}

static int closed_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"update drover.export set state = 'closed', closed_at = now(),"
		" error = $2 where id = $1::uuid and closed_at is null";
	const struct closed *what = arg;
	struct volume volume;
	struct export export;
	int count = lock_volume(db, what->id, &export, &volume, err);

	if (count <= 0)
		return count;
	count = db_run(db, sql, err, what->id, what->error);
	if (count <= 0)
		return count;
	if (export.detach_id[0] && end_attachment(db, &export, &volume, err) < 0)
		return -1;
	if (export.attach && what->error &&
		(store_attachment_unmark_locked(db, export.attachment_id, err) < 0 ||
			store_attachment_put_back(db, export.attachment_id, err) < 0))
		return -1;
	return store_notify(db, DONE_CHANNEL, export.volume_id, err);
}

int store_export_closed(
	struct db *db, const char *id, const char *error, struct error *err)
{
	struct closed what = { id, error };

	return db_transact(db, closed_body, &what, err) < 0 ? -1 : 0;
}
