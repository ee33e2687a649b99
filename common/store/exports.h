/* SPDX-License-Identifier: Apache-2.0 */
/* exports.h - volumes served over NBD: wanted and closed by rows, opened by their owner. */
#ifndef COMMON_STORE_EXPORTS_H
#define COMMON_STORE_EXPORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/address.h"
#include "common/db.h"
#include "common/error.h"
#include "common/store/volumes.h"
#include "common/text.h"

struct export
{
	char id[UUID_TEXT_SIZE]; /* also the NBD export's name */
	char volume_id[UUID_TEXT_SIZE];
	char host[ADDRESS_SIZE]; /* backend that serves it */
	char kind[16]; /* "attachment", "migration" */
	char attachment_id[UUID_TEXT_SIZE];
	char peer[256];
	char state[16]; /* "wanted", "open", "closing", "closed" */
	char address[64];
	char error[ERROR_TEXT_SIZE];
	char reply_queue[128], reply_id[64];
	char created_at[40];
	bool read_only;
	char tls_key[80]; /* empty: no TLS */
	char boot_id[40]; /* of the machine's run that pid and pid_start belong to */
	int64_t pid, pid_start, port;
};
#define EXPORT_URI_SIZE 192
/* "nbd://127.0.0.1:10809/6f…" of an open export. */
void export_uri(const struct export *export, char out[EXPORT_URI_SIZE]);

/* drover connect: the volume becomes attaching with an attachment of host peer, and an
 * export is wanted; one transaction. ERR_INVALID_VOLUME when the volume is migrating, not
 * available ... id is filled in. */
int store_export_connect(struct db *db, const char *volume_id, const char *peer,
	bool read_only, char id[UUID_TEXT_SIZE], struct error *err);
/* drover disconnect: its exports are to be closed, the volume is detaching. Returns how
 * many; ERR_INVALID_VOLUME when none is there or the volume is migrating. */
int store_export_disconnect(struct db *db, const char *volume_id, struct error *err);

/* initialize_connection: the status of the volume is the API tier's business. When the
 * peer has an open or wanted one already, that is *out. */
int store_export_want(struct db *db, const struct volume *volume, const char *peer,
	bool read_only, const char *reply_queue, const char *reply_id,
	struct export *out, struct error *err);
/* terminate_connection (peer) and remove_export (peer NULL). Returns how many. */
int store_export_close(
	struct db *db, const char *volume_id, const char *peer, struct error *err);

int store_export_get(
	struct db *db, const char *id, struct export *out, struct error *err);
/* Not closed ones of a backend (NULL: all); *list is malloc'd. */
int store_export_list(
	struct db *db, const char *backend, struct export **list, struct error *err);

/* Open or failed ones whose initialize_connection waits for an answer; and that it was
 * given. */
int store_export_unanswered(
	struct db *db, const char *backend, struct export **list, struct error *err);
int store_export_answered(struct db *db, const char *id, struct error *err);

/* For the owner. Opened: the server process is running; an attachment becomes attached,
 * its volume in-use. Only while the row is as read: read has state, pid and start time
 * from then; or when it is this process already. 1, or 0: it is not wanted any more, or
 * another process serves it. */
int store_export_opened(struct db *db, const struct export *export,
	const struct export *read, struct error *err);
/* May an open one whose process has ended be started again now? 1 yes (and it is counted:
 * the next time later, up to a minute), 0 not yet. */
int store_export_restart(struct db *db, const char *id, struct error *err);
/* Its server is gone and was reaped; its volume is available again. error NULL: it was
 * asked to close. */
int store_export_closed(
	struct db *db, const char *id, const char *error, struct error *err);

#endif
