/* SPDX-License-Identifier: Apache-2.0 */
/* Connections are given up: their exports are to be closed, and what goes with them. */
#include <stdlib.h>
#include <string.h>

#include "common/store/connect.h"
#include "common/store/connections.h"
#include "common/store/operations.h"

struct closing {
	const struct disconnect_request *request;
	bool all; /* whatever its attachment */
	const char *detach_id; /* what goes when they are closed; "": each its own */
	struct export *list;
	int count;
};

static int close_one(struct db *db, const struct closing *what,
	const struct export *export, struct error *err)
{
	static const char sql[] =
		"update drover.export set state = 'closing',"
		" detach_id = case when $2 = '' then attachment_id"
		"  else coalesce($2, detach_id) end,"
		" reply_queue = nullif($3, ''), reply_id = nullif($4, ''),"
		" reply_for = '" REPLY_CLOSED "' where id = $1::uuid";
	const struct rpc_address *reply = &what->request->reply;

	if (db_run(db, sql, err, export->id, what->detach_id, reply->queue, reply->id) <
		0)
		return -1;
	return store_notify(db, WORK_CHANNEL, export->host, err);
}

/* To closing; their owners are told. */
static int close_exports(struct db *db, struct closing *what, struct error *err)
{
	const struct disconnect_request *request = what->request;

	free(what->list);
	what->list = NULL;
	what->count =
		store_export_connected(db, request->volume_id, request->attachment_id,
			request->peer, request->loose, what->all, &what->list, err);
	for (int i = 0; i < what->count; i++)
		if (close_one(db, what, &what->list[i], err) < 0)
			return -1;
	return what->count;
}

static int transact_closing(struct db *db,
	int (*body)(struct db *db, void *arg, struct error *err), struct closing *what,
	struct export **list, struct error *err)
{
	int count = db_transact(db, body, what, err);

	if (count < 0 || !list)
		free(what->list);
	else
		*list = what->list;
	return count;
}

static int disconnect_body(struct db *db, void *arg, struct error *err)
{
	struct closing *what = arg;
	struct volume volume;
	bool attached = false;
	int count, plain;

	if (store_volume_require_locked(db, what->request->volume_id, &volume, err) < 0)
		return -1;
	plain = store_connections_close_locked(db, volume.id, NULL, err);
	count = plain < 0 ? -1 : close_exports(db, what, err);
	if (count < 0)
		return -1;
	if (count + plain == 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' is not connected", volume_called(&volume));
	for (int i = 0; i < count; i++)
		attached = attached || what->list[i].attachment_id[0];
	if (attached && store_attachment_detaching_locked(db, volume.id, err) < 0)
		return -1;
	return count;
}

int store_export_disconnect(struct db *db, const char *volume_id, struct error *err)
{
	struct disconnect_request request = { .volume_id = volume_id };
	struct closing what = { .request = &request, .all = true, .detach_id = "" };

	return transact_closing(db, disconnect_body, &what, NULL, err);
}

static int close_body(struct db *db, void *arg, struct error *err)
{
	struct closing *what = arg;
	const struct disconnect_request *request = what->request;
	struct volume volume;

	/* Gone or not: the lock order is S, then ours. */
	if (store_volume_get_locked(db, request->volume_id, &volume, err) < 0 ||
		(request->loose &&
			store_connections_close_locked(
				db, request->volume_id, request->peer, err) < 0))
		return -1;
	return close_exports(db, what, err);
}

int store_export_close(struct db *db, const struct disconnect_request *request,
	struct export **list, struct error *err)
{
	struct closing what = { .request = request };

	return transact_closing(db, close_body, &what, list, err);
}

int store_export_give_up(struct db *db, const struct export *export, struct error *err)
{
	struct disconnect_request request = {
		.volume_id = export->volume_id,
		.attachment_id = export->attachment_id,
	};
	struct closing what = { .request = &request };

	return transact_closing(db, close_body, &what, NULL, err) < 0 ? -1 : 0;
}

struct detach {
	struct closing closing;
	struct disconnect_request request;
	const char *wanted; /* attachment_id as asked for */
	char id[UUID_TEXT_SIZE];
};

/* 1 and the id; 0 there is none. */
static int find_attachment(struct db *db, struct detach *what,
	const struct attachment *list, int count, struct error *err)
{
	const char *volume_id = what->request.volume_id;
	struct attachment attachment;
	int found;

	if (!what->wanted && count > 1)
		return error_set(err, ERR_INVALID_VOLUME,
			"Invalid volume: Detach volume failed: More than one "
			"attachment, but no attachment_id provided.");
	if (!what->wanted) {
		text_copy(what->id, sizeof(what->id), count ? list[0].id : "");
		return count;
	}
	found = store_attachment_get(db, what->wanted, &attachment, err);
	if (found <= 0)
		return found;
	text_copy(what->id, sizeof(what->id), attachment.id);
	/* The same check as for every other use of an attachment. */
	return store_attachment_require(db, what->id, volume_id, &attachment, err) < 0
		? -1
		: 1;
}

static int detach_body(struct db *db, void *arg, struct error *err)
{
	struct detach *what = container_of(arg, struct detach, closing);
	AUTO(free) struct attachment *list = NULL;
	const char *volume_id = what->request.volume_id;
	struct volume volume;
	int count, found;

	if (store_volume_require_locked(db, volume_id, &volume, err) < 0)
		return -1;
	count = store_attachment_list(db, volume_id, &list, err);
	if (count < 0)
		return -1;
	found = find_attachment(db, what, list, count, err);
	if (found < 0)
		return -1;
	what->request.attachment_id = found ? what->id : NULL;
	what->request.loose = count <= 1;
	what->closing.detach_id = found ? what->id : NULL;
	/* Without any attachment it is the older way's, and was never completed. */
	if ((found || !what->wanted) && what->request.loose &&
		store_connections_close_locked(db, volume_id, NULL, err) < 0)
		return -1;
	if (found) {
		count = close_exports(db, &what->closing, err);
		if (count != 0)
			return count;
	}
	return store_attachment_detached_locked(
		       db, volume_id, found ? what->id : NULL, err) < 0
		? -1
		: 0;
}

int store_export_detach(struct db *db, const char *volume_id, const char *attachment_id,
	const struct rpc_address *reply, struct export **list, struct error *err)
{
	struct detach what = { .wanted = attachment_id };

	what.request.volume_id = volume_id;
	what.request.reply = *reply;
	what.closing.request = &what.request;
	return transact_closing(db, detach_body, &what.closing, list, err);
}
