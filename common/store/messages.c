/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/messages.h"

#include "common/text.h"

#define INSERT \
	"insert into public.messages (id, project_id, request_id, resource_type," \
	" resource_uuid, event_id, message_level, created_at, deleted, expires_at," \
	" detail_id, action_id) select $1, r.project_id, $3, t.type, r.id," \
	" 'VOLUME_' || t.type || '_' || $4 || '_' || $5, 'ERROR', localtimestamp," \
	" false, localtimestamp + interval '30 days', $5, $4 from "

static int insert(struct db *db, const char *sql, const char *resource_id,
	const char *request_id, const char *action, const char *detail,
	struct error *err)
{
	char id[UUID_TEXT_SIZE];

	uuid_make(id);
	return db_run(db, sql, err, id, resource_id, request_id, action, detail) < 0
		? -1
		: 0;
}

int store_message_volume(struct db *db, const char *volume_id, const char *request_id,
	const char *action, const char *detail, struct error *err)
{
	static const char sql[] =
		INSERT "public.volumes r, (values ('VOLUME')) as t (type)"
		       " where r.id = $2 and r.project_id is not null";

	return insert(db, sql, volume_id, request_id, action, detail, err);
}

int store_message_snapshot(struct db *db, const char *snapshot_id,
	const char *request_id, const char *action, const char *detail,
	struct error *err)
{
	static const char sql[] =
		INSERT "public.snapshots r, (values ('VOLUME_SNAPSHOT')) as t (type)"
		       " where r.id = $2 and r.project_id is not null";

	return insert(db, sql, snapshot_id, request_id, action, detail, err);
}
