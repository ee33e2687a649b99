/* SPDX-License-Identifier: Apache-2.0 */
/* connect.h - exports as people ask for them: to connect, and to give a connection up.
 *
 * Each function is one transaction. Rows only: their owner opens and closes (exports.h).
 */
#ifndef COMMON_STORE_CONNECT_H
#define COMMON_STORE_CONNECT_H

#include <stdbool.h>

#include "common/db.h"
#include "common/error.h"
#include "common/rpc.h"
#include "common/store/attachments.h"
#include "common/store/exports.h"

/* drover connect: the volume becomes attaching with an attachment of host peer, and an
 * export is wanted. *read_only is what was asked for, and then what it became: a read-only
 * volume is served so. ERR_INVALID_VOLUME when the volume is migrating, not available ...
 * id is filled in. */
int store_export_connect(struct db *db, const char *volume_id, const char *peer,
	bool *read_only, char id[UUID_TEXT_SIZE], struct error *err);
/* drover disconnect: its exports are to be closed, their attachments detached then; what was
 * handed out without an export is over. Returns how many exports; ERR_INVALID_VOLUME when
 * there is neither. */
int store_export_disconnect(struct db *db, const char *volume_id, struct error *err);

/* Who connected has lost interest before it was open: only this one is closed. */
struct export;
int store_export_give_up(struct db *db, const struct export *export, struct error *err);

/* Who asks, by message. */
struct connect_request {
	const char *volume_id, *request_id;
	const char *peer; /* the connector's host */
	struct rpc_address reply;
	bool certificates; /* the peer is on another host */
	/* attachment_update only */
	const char *attachment_id; /* else NULL */
	struct json_object *connector;
};
/* initialize_connection and attachment_update: *out is the export of that peer, or of that
 * attachment; the caller in reply is told when it is open or failed, at once when it is
 * open already (then out->state says so). Read-only as the volume, and as the mode of the
 * attachment. The status of the volume is the API tier's business until it is open.
 * ERR_DB_RETRY while another one for the same has to be closed first; ERR_INVALID_VOLUME
 * when the volume is migrating, or this very request was answered and its connection is
 * closed again. */
int store_export_want(struct db *db, const struct connect_request *request,
	struct export *out, struct error *err);

/* ---- disconnect.c ---- */

/* What is given up; reply: who is told when all of these are closed, may be empty. */
struct disconnect_request {
	const char *volume_id;
	const char *attachment_id; /* the export of this one */
	bool loose; /* those without an attachment, of this peer, of all when NULL */
	const char *peer;
	struct rpc_address reply;
};
/* attachment_delete, terminate_connection, remove_export; with loose, connections that
 * were handed out without an export are over too. *list (malloc'd) are the exports
 * as they were before: who still waited for one to open should hear of it. Returns how
 * many there are to be closed. */
int store_export_close(struct db *db, const struct disconnect_request *request,
	struct export **list, struct error *err);
/* detach_volume; attachment_id NULL: the only one. Its export is closed, with the last
 * attachment those without one too; then the attachment is over. 0: it is already.
 * ERR_INVALID_VOLUME when there are several. */
int store_export_detach(struct db *db, const char *volume_id, const char *attachment_id,
	const struct rpc_address *reply, struct export **list, struct error *err);

#endif
