/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/connections.h"

#include <string.h>

#include "common/store/attachments.h"
#include "common/text.h"

static int check_over(
	struct db *db, const struct connection_request *request, struct error *err)
{
	static const char sql[] =
		"select 1 from drover.connection where volume_id = $1 and peer = $2"
		" and request_id = $3 and closed_at is not null limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, request->volume_id, request->peer,
		request->request_id);

	if (count > 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' was connected by this request before, and "
			"disconnected since",
			request->volume_id);
	return count;
}

static int hand_out_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"insert into drover.connection (volume_id, peer, request_id)"
		" select $1::varchar, $2::text, $3 where not exists (select 1"
		"  from drover.connection where volume_id = $1 and peer = $2"
		"  and closed_at is null)";
	const struct connection_request *request = arg;
	struct volume volume;

	if (store_volume_require_locked(db, request->volume_id, &volume, err) < 0)
		return -1;
	if (strcmp(volume.host, request->volume_host) != 0)
		return error_set(err, ERR_DB_RETRY, "volume '%s' has moved to '%s'",
			volume.id, volume.host);
	if (store_connect_free(db, &volume, request->peer, err) < 0 ||
		check_over(db, request, err) < 0)
		return -1;
	return db_run(db, sql, err, volume.id, request->peer, request->request_id);
}

int store_connection_hand_out(
	struct db *db, const struct connection_request *request, struct error *err)
{
	struct connection_request what = *request;

	return db_transact(db, hand_out_body, &what, err);
}

int store_connections_close_locked(
	struct db *db, const char *volume_id, const char *peer, struct error *err)
{
	static const char sql[] =
		"update drover.connection set closed_at = now() where volume_id = $1"
		" and closed_at is null and ($2::text is null or peer = $2)";

	return db_run(db, sql, err, volume_id, peer);
}

int store_connection_peer(struct db *db, const char *volume_id, char *peer, size_t size,
	struct error *err)
{
	static const char sql[] =
		"select peer from drover.connection where volume_id = $1"
		" and closed_at is null order by id limit 1";
	AUTO(PQclear) PGresult *rows = NULL;
	int count = db_query(db, sql, &rows, err, volume_id);

	if (count > 0)
		text_copy(peer, size, row_text(rows, 0, "peer"));
	return count;
}

int store_connection_none(struct db *db, const struct volume *volume, const char *doing,
	struct error *err)
{
	char peer[256];
	int found = store_connection_peer(db, volume->id, peer, sizeof(peer), err);

	if (found <= 0)
		return found;
	return error_set(err, ERR_INVALID_VOLUME,
		"volume '%s' cannot %s: it is connected to host '%s'; when that is over, "
		"'drover disconnect' says so",
		volume_called(volume), doing, peer[0] ? peer : "unknown");
}
