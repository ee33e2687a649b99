/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/exports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/store/operations.h"

void export_uri(const struct export *export, char out[EXPORT_URI_SIZE])
{
	snprintf(out, EXPORT_URI_SIZE, "nbd://%s:%lld/%s", export->address,
		(long long)export->port, export->id);
}

#define COLUMNS \
	"id, volume_id, host, kind, attachment_id, peer, state, address, error," \
	" reply_queue, reply_id, read_only, pid, pid_start, boot_id, port, tls_key," \
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
	COPY(boot_id, "boot_id");
	COPY(tls_key, "tls_key");
	COPY(created_at, "created_text");
	out->read_only = row_bool(rows, row, "read_only");
	out->pid = row_int(rows, row, "pid");
	out->pid_start = row_int(rows, row, "pid_start");
	out->port = row_int(rows, row, "port");
}

static int insert_export(struct db *db, const struct volume *volume,
	const struct export *export, struct error *err)
{
	static const char sql[] =
		"insert into drover.export (id, volume_id, host, kind, attachment_id,"
		" peer, read_only, reply_queue, reply_id) values ($1::uuid, $2, $3,"
		" 'attachment', nullif($4, ''), $5, $6::bool, nullif($7, ''),"
		" nullif($8, ''))";
	struct address address;

	if (address_parse(volume->host, &address, err) < 0)
		return error_context(err, "connect volume '%s'", volume->id);
	if (db_run(db, sql, err, export->id, volume->id, address.backend,
		    export->attachment_id, export->peer, BOOL_TEXT(export->read_only),
		    export->reply_queue, export->reply_id) < 0)
		return -1;
	return store_notify(db, WORK_CHANNEL, address.backend, err);
}

struct connect {
	const char *volume_id, *peer;
	bool read_only;
	struct export export;
};

static int insert_attachment(struct db *db, const struct volume *volume,
	struct connect *what, struct error *err)
{
	static const char attachment[] =
		"insert into public.volume_attachment (id, volume_id, attached_host,"
		" mountpoint, attach_mode, attach_status, connector, created_at, "
		"deleted)"
		" values ($1, $2, $3, 'na', $4, 'attaching', $5, localtimestamp, "
		"false)";
	static const char mark[] = "update public.volumes set status = 'attaching',"
				   " attach_status = 'attaching', updated_at = "
				   "localtimestamp where id = $1";
	AUTO(json_object_put) struct json_object *connector = json_object_new_object();
	AUTO(free) char *text = NULL;

	json_add_string(connector, "host", what->peer);
	json_add_bool(connector, "nbd", true);
	text = json_text(connector);
	if (!text)
		return error_no_memory(err);
	uuid_make(what->export.attachment_id);
	if (db_run(db, attachment, err, what->export.attachment_id, volume->id,
		    what->peer, what->read_only ? "ro" : "rw", text) < 0)
		return -1;
	return db_run(db, mark, err, volume->id);
}

static int connect_body(struct db *db, void *arg, struct error *err)
{
	struct connect *what = arg;
	struct volume volume;

	if (store_volume_require_locked(db, what->volume_id, &volume, err) < 0 ||
		store_volume_idle(db, &volume, "be connected", err) < 0)
		return -1;
	if (strcmp(volume.status, "available") != 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot be connected: its status is '%s', it must "
			"be "
			"available",
			volume_called(&volume), volume.status);
	uuid_make(what->export.id);
	snprintf(what->export.peer, sizeof(what->export.peer), "%s", what->peer);
	what->export.read_only = what->read_only;
	if (insert_attachment(db, &volume, what, err) < 0)
		return -1;
	return insert_export(db, &volume, &what->export, err);
}

int store_export_connect(struct db *db, const char *volume_id, const char *peer,
	bool read_only, char id[UUID_TEXT_SIZE], struct error *err)
{
	struct connect what = {
		.volume_id = volume_id, .peer = peer, .read_only = read_only
	};

	if (db_transact(db, connect_body, &what, err) < 0)
		return -1;
	snprintf(id, UUID_TEXT_SIZE, "%s", what.export.id);
	return 0;
}

/* To closing; their owners are told. Returns how many. */
static int close_exports(
	struct db *db, const char *volume_id, const char *peer, struct error *err)
{
	static const char sql[] =
		"update drover.export set state = 'closing'"
		" where volume_id = $1 and kind = 'attachment' and closed_at is null"
		" and ($2::text is null or peer = $2) returning host";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, volume_id, peer);

	for (int i = 0; i < count; i++)
		if (store_notify(db, WORK_CHANNEL, row_text_or(rows, i, "host", ""),
			    err) < 0)
			return -1;
	return count;
}

static int disconnect_body(struct db *db, void *arg, struct error *err)
{
	static const char mark[] =
		"update public.volumes set status = 'detaching',"
		" attach_status = 'detaching', updated_at = localtimestamp"
		" where id = $1 and status in ('in-use', 'attaching')";
	const struct connect *what = arg;
	struct volume volume;
	int count;

	if (store_volume_require_locked(db, what->volume_id, &volume, err) < 0)
		return -1;
	count = close_exports(db, volume.id, NULL, err);
	if (count < 0)
		return -1;
	if (count == 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' is not connected", volume_called(&volume));
	return db_run(db, mark, err, volume.id) < 0 ? -1 : count;
}

int store_export_disconnect(struct db *db, const char *volume_id, struct error *err)
{
	struct connect what = { .volume_id = volume_id };

	return db_transact(db, disconnect_body, &what, err);
}

struct want {
	const struct volume *volume;
	struct export *out;
};

/* It is known. While it is not open yet the newest caller gets the answer: the one before
 * has given up, or would have had it. */
static int answer_later(
	struct db *db, const PGresult *rows, struct export *out, struct error *err)
{
	static const char sql[] =
		"update drover.export set reply_queue = nullif($2, ''),"
		" reply_id = nullif($3, '') where id = $1::uuid and state = 'wanted'";
	const struct export asked = *out;

	export_from_row(rows, 0, out);
	return db_run(db, sql, err, out->id, asked.reply_queue, asked.reply_id) < 0 ? -1
										    : 0;
}

static int want_body(struct db *db, void *arg, struct error *err)
{
	static const char known[] =
		"select " COLUMNS " from drover.export where volume_id = $1"
		" and peer = $2 and kind = 'attachment' and state in ('wanted', 'open')"
		" order by created_at limit 1";
	struct want *what = arg;
	AUTO(PQclear) PGresult *rows = NULL;
	struct volume volume;
	int count;

	if (store_volume_require_locked(db, what->volume->id, &volume, err) < 0 ||
		store_volume_idle(db, &volume, "be connected", err) < 0)
		return -1;
	count = db_query(db, known, &rows, err, volume.id, what->out->peer);
	if (count < 0)
		return -1;
	if (count > 0)
		return answer_later(db, rows, what->out, err);
	uuid_make(what->out->id);
	snprintf(what->out->state, sizeof(what->out->state), "wanted");
	return insert_export(db, &volume, what->out, err);
}

int store_export_want(struct db *db, const struct volume *volume, const char *peer,
	bool read_only, const char *reply_queue, const char *reply_id,
	struct export *out, struct error *err)
{
	struct want what = { volume, out };

	memset(out, 0, sizeof(*out));
	snprintf(out->peer, sizeof(out->peer), "%s", peer);
	snprintf(out->reply_queue, sizeof(out->reply_queue), "%s", reply_queue);
	snprintf(out->reply_id, sizeof(out->reply_id), "%s", reply_id);
	out->read_only = read_only;
	return db_transact(db, want_body, &what, err);
}

struct closing {
	const char *volume_id, *peer;
};

static int close_body(struct db *db, void *arg, struct error *err)
{
	const struct closing *what = arg;

	return close_exports(db, what->volume_id, what->peer, err);
}

int store_export_close(
	struct db *db, const char *volume_id, const char *peer, struct error *err)
{
	struct closing what = { volume_id, peer };

	return db_transact(db, close_body, &what, err);
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

int store_export_unanswered(
	struct db *db, const char *backend, struct export **list, struct error *err)
{
	static const char sql[] =
		"select " COLUMNS " from drover.export where host = $1"
		" and reply_id is not null and state in ('open', 'closed')"
		" order by created_at limit 1000";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, backend);

	if (count < 0)
		return error_context(err, "look for unanswered exports");
	return list_from(rows, count, list, err);
}

int store_export_answered(struct db *db, const char *id, struct error *err)
{
	static const char sql[] = "update drover.export set reply_id = null,"
				  " reply_queue = null where id = $1::uuid";

	return db_run(db, sql, err, id) < 0 ? -1 : 0;
}

struct opened {
	const struct export *export, *read;
};

static int lock_volume(struct db *db, const char *id, struct error *err)
{
	struct volume volume;

	/* Gone or not: the lock order is S, then ours. */
	return store_volume_get_locked(db, id, &volume, err) < 0 ? -1 : 0;
}

static int mark_attached(struct db *db, const struct export *export, struct error *err)
{
	static const char attachment[] =
		"update public.volume_attachment set attach_status = 'attached',"
		" attach_time = localtimestamp where id = nullif($1, '')"
		" and not deleted";
	static const char volume[] =
		"update public.volumes set status = 'in-use',"
		" attach_status = 'attached', updated_at = localtimestamp"
		" where id = $1 and status = 'attaching' and nullif($2, '') is not null";

	if (db_run(db, attachment, err, export->attachment_id) < 0)
		return -1;
	return db_run(db, volume, err, export->volume_id, export->attachment_id);
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
	int count;

	if (lock_volume(db, export->volume_id, err) < 0)
		return -1;
	count = db_run(db, sql, err, export->id, NUM(export->pid),
		NUM(export->pid_start), export->boot_id, export->address,
		NUM(export->port), what->read->state, NUM(what->read->pid),
		NUM(what->read->pid_start));
	if (count <= 0)
		return count;
	if (mark_attached(db, export, err) < 0 ||
		store_notify(db, DONE_CHANNEL, export->volume_id, err) < 0 ||
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

static int closed_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"update drover.export set state = 'closed', closed_at = now(),"
		" error = $2 where id = $1::uuid and closed_at is null"
		" returning volume_id, attachment_id";
	static const char attachment[] =
		"update public.volume_attachment set attach_status = 'detached',"
		" detach_time = localtimestamp, deleted = true,"
		" deleted_at = localtimestamp where id = $1 and not deleted";
	static const char volume[] =
		"update public.volumes v set status = 'available',"
		" attach_status = 'detached', updated_at = localtimestamp"
		" where id = $1 and status in ('in-use', 'attaching', 'detaching')"
		" and not exists (select 1 from public.volume_attachment a"
		"  where a.volume_id = v.id and not a.deleted)";
	const struct closed *what = arg;
	AUTO(PQclear) PGresult *rows = NULL;
	struct export export;
	int count = store_export_get(db, what->id, &export, err);

	if (count <= 0)
		return count;
	if (lock_volume(db, export.volume_id, err) < 0)
		return -1;
	count = db_query(db, sql, &rows, err, what->id, what->error);
	if (count <= 0)
		return count;
	if (!row_null(rows, 0, "attachment_id") &&
		(db_run(db, attachment, err, row_text(rows, 0, "attachment_id")) < 0 ||
			db_run(db, volume, err, row_text(rows, 0, "volume_id")) < 0))
		return -1;
	return store_notify(db, DONE_CHANNEL, row_text(rows, 0, "volume_id"), err);
}

int store_export_closed(
	struct db *db, const char *id, const char *error, struct error *err)
{
	struct closed what = { id, error };

	return db_transact(db, closed_body, &what, err) < 0 ? -1 : 0;
}
