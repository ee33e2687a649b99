/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/connect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/operations.h"

/* connector and mode: of attachment_update, else NULL. */
static int insert_export(struct db *db, const struct volume *volume,
	const struct export *export, const char *connector, const char *mode,
	struct error *err)
{
	static const char sql[] =
		"insert into drover.export (id, volume_id, host, kind, attachment_id,"
		" peer, read_only, reply_queue, reply_id, reply_for, detach_id,"
		" request_id, connector, attach_mode, certificates) values ($1::uuid, $2, $3,"
		" 'attachment', nullif($4, ''), $5, $6::bool, nullif($7, ''),"
		" nullif($8, ''), $9, nullif($10, ''), nullif($11, ''), $12, $13,"
		" $14::bool)";
	struct address address;

	if (address_parse(volume->host, &address, err) < 0)
		return error_context(err, "connect volume '%s'", volume->id);
	if (db_run(db, sql, err, export->id, volume->id, address.backend,
		    export->attachment_id, export->peer, BOOL_TEXT(export->read_only),
		    export->reply_queue, export->reply_id, export->reply_for,
		    export->detach_id, export->request_id, connector, mode,
		    BOOL_TEXT(export->certificates)) < 0)
		return -1;
	return store_notify(db, WORK_CHANNEL, address.backend, err);
}

/* ---- the command line ---- */

struct connect {
	const char *volume_id, *peer;
	bool *read_only;
	struct export export;
};

/* Whoever may write to a volume that is read-only does so by mistake. */
static int is_read_only(
	struct db *db, const char *volume_id, bool *read_only, struct error *err)
{
	struct connection_facts facts;

	if (store_connection_facts(db, volume_id, &facts, err) < 0)
		return -1;
	*read_only = *read_only || facts.read_only;
	connection_facts_clear(&facts);
	return 0;
}

static int connect_body(struct db *db, void *arg, struct error *err)
{
	struct connect *what = arg;
	struct export *export = &what->export;
	struct volume volume;

	if (store_volume_require_locked(db, what->volume_id, &volume, err) < 0 ||
		store_volume_free(db, &volume, VOLUME_WRITE, "be connected", err) < 0)
		return -1;
	if (strcmp(volume.status, "available") != 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' cannot be connected: its status is '%s', it must "
			"be "
			"available",
			volume_called(&volume), volume.status);
	export->read_only = *what->read_only;
	uuid_make(export->id);
	text_copy(export->peer, sizeof(export->peer), what->peer);
	text_copy(export->reply_for, sizeof(export->reply_for), REPLY_CONNECTION);
	if (is_read_only(db, volume.id, &export->read_only, err) < 0 ||
		store_attachment_insert_locked(db, volume.id, what->peer,
			export->read_only, export->attachment_id, err) < 0)
		return -1;
	/* Nobody but us knows this attachment: it goes with its export. */
	memcpy(export->detach_id, export->attachment_id, UUID_TEXT_SIZE);
	return insert_export(db, &volume, export, NULL, NULL, err);
}

int store_export_connect(struct db *db, const char *volume_id, const char *peer,
	bool *read_only, char id[UUID_TEXT_SIZE], struct error *err)
{
	struct connect what = {
		.volume_id = volume_id, .peer = peer, .read_only = read_only
	};

	if (db_transact(db, connect_body, &what, err) < 0)
		return -1;
	*read_only = what.export.read_only;
	snprintf(id, UUID_TEXT_SIZE, "%s", what.export.id);
	return 0;
}

/* ---- to connect, by message ---- */

struct want {
	const struct connect_request *request;
	struct export *out; /* first as it is asked for */
	struct attachment attachment; /* with attachment_id */
	struct json_object *noted; /* the connector as it is kept */
	const char *mode; /* of the attachment */
	char *connector; /* text of noted */
	bool again; /* another one is to be closed first */
};

/* The attachment is asked for again, perhaps by another connector. */
static int update_open(
	struct db *db, const struct want *what, const char *id, struct error *err)
{
	static const char sql[] =
		"update drover.export set connector = $2, attach_mode = $3, peer = $4"
		" where id = $1::uuid";

	if (db_run(db, sql, err, id, what->connector, what->mode, what->out->peer) < 0)
		return -1;
	return store_attachment_attaching_locked(db, what->attachment.id,
		what->request->volume_id, what->connector, what->mode, err);
}

/* It is known. While it is not open yet the newest caller gets the answer: the one before
 * has given up, or would have had it. */
static int take_known(
	struct db *db, struct want *what, const struct export *known, struct error *err)
{
	static const char later[] =
		"update drover.export set reply_queue = nullif($2, ''),"
		" reply_id = nullif($3, ''), reply_for = $4, connector = $5,"
		" attach_mode = $6, peer = $7 where id = $1::uuid"
		" and state = 'wanted'";
	static const char close[] = "update drover.export set state = 'closing'"
				    " where id = $1::uuid";
	const struct export *asked = what->out;
	int done = 0;

	if (strcmp(known->state, "closing") == 0 ||
		known->read_only != asked->read_only ||
		known->certificates != asked->certificates) {
		what->again = true;
		if (db_run(db, close, err, known->id) < 0)
			return -1;
		return store_notify(db, WORK_CHANNEL, known->host, err);
	}
	if (strcmp(known->state, "open") != 0)
		done = db_run(db, later, err, known->id, asked->reply_queue,
			asked->reply_id, asked->reply_for, what->connector, what->mode,
			asked->peer);
	else if (what->request->attachment_id)
		done = update_open(db, what, known->id, err);
	if (done < 0)
		return -1;
	return store_export_get(db, known->id, what->out, err) < 0 ? -1 : 0;
}

/* A message that comes late and again must not open what was closed since. */
static int check_over(struct db *db, const struct export *asked, const char *volume_id,
	struct error *err)
{
	static const char sql[] =
		"select 1 from drover.export where volume_id = $1 and peer = $2"
		" and kind = 'attachment' and request_id = $3"
		" and attachment_id is not distinct from nullif($4, '')"
		" and closed_at is not null and error is null limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, volume_id, asked->peer,
		asked->request_id, asked->attachment_id);

	if (count > 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' was connected by this request before, and "
			"disconnected since",
			volume_id);
	return count;
}

/* What the attachment asks for, beyond a plain connection. */
static int read_attachment(struct db *db, struct want *what,
	const struct connection_facts *facts, struct error *err)
{
	const struct connect_request *request = what->request;
	struct json_object *said = json_object_object_get(request->connector, "mode");
	bool ro = json_object_is_type(said, json_type_string) &&
		strcmp(json_object_get_string(said), "ro") == 0;
	struct export *asked = what->out;

	if (store_attachment_require(db, request->attachment_id, request->volume_id,
		    &what->attachment, err) < 0 ||
		store_attachment_mode(&what->attachment, request->connector,
			&what->noted, &what->mode, err) < 0)
		return -1;
	text_copy(asked->attachment_id, sizeof(asked->attachment_id),
		what->attachment.id);
	/* cinder-api gives "ro" to the attachments of every volume of which it was ever said
	 * whether it is read-only, even that it is not: then this is nobody's wish. */
	asked->read_only = facts->read_only || ro ||
		(what->mode && strcmp(what->mode, "ro") == 0 && !facts->writable);
	free(what->connector);
	what->connector = json_text(what->noted);
	return what->connector ? 0 : error_no_memory(err);
}

static int read_request(struct db *db, struct want *what, struct error *err)
{
	const struct connect_request *request = what->request;
	struct export *asked = what->out;
	struct connection_facts facts;
	int done = 0;

	memset(asked, 0, sizeof(*asked));
	text_copy(asked->volume_id, sizeof(asked->volume_id), request->volume_id);
	text_copy(asked->peer, sizeof(asked->peer), request->peer);
	text_copy(asked->reply_queue, sizeof(asked->reply_queue), request->reply.queue);
	text_copy(asked->reply_id, sizeof(asked->reply_id), request->reply.id);
	text_copy(asked->request_id, sizeof(asked->request_id), request->request_id);
	text_copy(asked->reply_for, sizeof(asked->reply_for),
		request->attachment_id ? REPLY_ATTACHMENT : REPLY_CONNECTION);
	if (store_connection_facts(db, request->volume_id, &facts, err) < 0)
		return -1;
	asked->read_only = facts.read_only;
	asked->certificates = request->certificates;
	if (request->attachment_id)
		done = read_attachment(db, what, &facts, err);
	connection_facts_clear(&facts);
	return done;
}

/* 1 and *known: the export of the attachment; or of the peer, but not one that closes: that
 * is of a connection before. */
static int find_known(struct db *db, const struct export *asked, struct export *known,
	struct error *err)
{
	static const char sql[] =
		"select id from drover.export where volume_id = $1"
		" and kind = 'attachment' and closed_at is null"
		" and (attachment_id = $3 or ($3 = '' and attachment_id is null"
		"  and peer = $2 and state <> 'closing'))"
		" order by created_at limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, asked->volume_id, asked->peer,
		asked->attachment_id);

	if (count <= 0)
		return count;
	return store_export_get(db, row_text(rows, 0, "id"), known, err);
}

static int want_body(struct db *db, void *arg, struct error *err)
{
	struct want *what = arg;
	struct export *asked = what->out;
	struct export known;
	struct volume volume;
	int found;

	what->again = false;
	if (store_volume_require_locked(db, what->request->volume_id, &volume, err) <
			0 ||
		read_request(db, what, err) < 0 ||
		store_connect_free(db, &volume, what->request->peer, err) < 0)
		return -1;
	found = find_known(db, asked, &known, err);
	if (found != 0)
		return found < 0 ? -1 : take_known(db, what, &known, err);
	if (check_over(db, asked, volume.id, err) < 0)
		return -1;
	uuid_make(asked->id);
	snprintf(asked->state, sizeof(asked->state), "wanted");
	return insert_export(db, &volume, asked, what->connector, what->mode, err);
}

int store_export_want(struct db *db, const struct connect_request *request,
	struct export *out, struct error *err)
{
	struct want what = { .request = request, .out = out };
	int done = db_transact(db, want_body, &what, err);

	free(what.connector);
	json_object_put(what.noted);
	if (done < 0 || !what.again)
		return done < 0 ? -1 : 0;
	return error_set(err, ERR_DB_RETRY,
		"volume '%s' is still connected to '%s' in another way",
		request->volume_id, request->peer);
}
