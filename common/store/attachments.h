/* SPDX-License-Identifier: Apache-2.0 */
/* attachments.h - who a volume is attached to, and its status because of that.
 *
 * Cinder's volume_attachment, the status and attach_status of the volume, and the admin
 * metadata attached_mode: nobody else writes them. The functions with "locked" in their
 * name are parts of a transaction that has locked the volume.
 */
#ifndef COMMON_STORE_ATTACHMENTS_H
#define COMMON_STORE_ATTACHMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/db.h"
#include "common/error.h"
#include "common/json.h"
#include "common/store/volumes.h"
#include "common/text.h"

#define ATTACHED_HOST_MAX 255 /* the columns' size */
#define ATTACH_MODE_MAX 36

/* Empty text for null. */
struct attachment {
	char id[UUID_TEXT_SIZE];
	char volume_id[UUID_TEXT_SIZE];
	char server_id[UUID_TEXT_SIZE];
	char host_name[256];
	char device[256];
	char status[64], mode[64];
	char attached_at[40];
	bool mode_null; /* no mode was said: not even "null" */
	bool made_now; /* by the request that is being served: nobody knows its id yet */
};
/* Those that are not deleted, oldest first; *list is malloc'd. Returns their number. */
int store_attachment_list(struct db *db, const char *volume_id,
	struct attachment **list, struct error *err);
/* 1 and *out; 0: there is none of that id (deleted ones do not count). */
int store_attachment_get(
	struct db *db, const char *id, struct attachment *out, struct error *err);
/* It has to be there: ERR_ATTACHMENT_NOT_FOUND; and of this volume: ERR_INVALID_INPUT. */
int store_attachment_require(struct db *db, const char *id, const char *volume_id,
	struct attachment *out, struct error *err);

/* May the volume be connected to host (NULL: not known) now? ERR_INVALID_VOLUME in one
 * sentence while it is being made or migrated; but the target of a guest's own copy may
 * be, and its source by hosts that were attached when it began. */
int store_connect_free(struct db *db, const struct volume *volume, const char *host,
	struct error *err);

/* What a connection to the volume depends on. */
struct connection_facts {
	char provider_location[256];
	char format[16]; /* "raw" unless noted otherwise */
	bool read_only; /* access_mode of a connection is "ro" */
	bool writable; /* somebody has said that it is not read-only */
	bool cacheable; /* the type allows it */
	bool encrypted;
	int64_t size_gib;
	struct json_object *qos_specs; /* for the front end, as in the rows; or NULL */
};
void connection_facts_clear(struct connection_facts *facts);
/* ERR_VOLUME_NOT_FOUND. */
int store_connection_facts(struct db *db, const char *volume_id,
	struct connection_facts *out, struct error *err);

/* ---- attachment_update ---- */

struct attachment_request {
	const char *volume_id, *attachment_id;
	const char
		*volume_host; /* what was looked at: ERR_DB_RETRY when it has moved */
	struct json_object *connector;
};
/* The mode the attachment gets: what was said when it was made, else the connector's, else
 * "rw"; NULL: null. *out is the connector with the first in it, as Cinder does; the
 * caller's; the mode is borrowed from it or from the attachment. ERR_INVALID_INPUT when
 * something does not fit its column. */
int store_attachment_mode(const struct attachment *attachment,
	struct json_object *connector, struct json_object **out, const char **mode,
	struct error *err);
/* The connector is kept, attachment and volume are attaching. When all of that was so
 * before, nothing is written: a duplicate does not undo "attached". */
int store_attachment_connect(
	struct db *db, const struct attachment_request *request, struct error *err);
int store_attachment_attaching_locked(struct db *db, const char *id,
	const char *volume_id, const char *connector, const char *mode,
	struct error *err);
/* What the API tier does with the answer: kept as connection_info. */
int store_attachment_told(
	struct db *db, const char *id, struct json_object *info, struct error *err);
/* It was not opened after all: reserved again, unless the API tier had an answer before. */
int store_attachment_unmark_locked(struct db *db, const char *id, struct error *err);
/* Was it made by the request that is refused now, and its volume reserved? Undone. Returns
 * how many. */
int store_attachment_put_back(struct db *db, const char *id, struct error *err);

/* ---- attach_volume and detach_volume ---- */

struct attach_request {
	const char *volume_id, *request_id;
	const char *server_id; /* NULL: a host is attached */
	const char *host_name, *mountpoint, *mode; /* NULL: null */
};
/* One transaction: attachment and volume become attached. *object is the VolumeAttachment as
 * Cinder answers, the caller's. ERR_INVALID_VOLUME, ERR_ATTACH_MODE, ERR_INVALID_UUID. */
int store_attachment_attach(struct db *db, const struct attach_request *request,
	struct json_object **object, struct error *err);
/* The attachment (there or not) is over: status of the volume from those that are left. */
int store_attachment_detached_locked(
	struct db *db, const char *volume_id, const char *id, struct error *err);

int store_attachment_delete_locked(struct db *db, const char *id, struct error *err);

/* attach_status of the volume is that of its attachments: attached before attaching before
 * detaching before reserved; none (but failed ones): detached. The status follows, but
 * "available" is not written while a migration runs, unless it is asked for. */
int store_attachment_statuses_locked(
	struct db *db, const char *volume_id, bool available_too, struct error *err);

/* ---- the command line's own ---- */

/* Insert an attachment of host, attaching; the volume is attaching. id is filled in. */
int store_attachment_insert_locked(struct db *db, const char *volume_id,
	const char *host, bool read_only, char id[UUID_TEXT_SIZE], struct error *err);
/* It is served: attached, in-use. */
int store_attachment_attached_locked(
	struct db *db, const char *volume_id, const char *id, struct error *err);
/* It is being given up. */
int store_attachment_detaching_locked(
	struct db *db, const char *volume_id, struct error *err);

#endif
