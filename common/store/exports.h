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
	char reply_for[16]; /* what is answered: REPLY_... */
	char detach_id
		[UUID_TEXT_SIZE]; /* the attachment that goes when this is closed */
	char request_id[256]; /* that wanted it */
	char created_at[40];
	bool read_only;
	bool attach; /* asked for by attachment_update */
	bool certificates; /* for a guest of another host, who shows one */
	char tls_key[80]; /* empty: no TLS */
	char boot_id[40]; /* of the machine's run that pid and pid_start belong to */
	int64_t pid, pid_start, port;
};

#define REPLY_CONNECTION "connection" /* connection info: driver_volume_type, data */
#define REPLY_ATTACHMENT "attachment" /* the same, flat, with attachment_id */
#define REPLY_CLOSED "closed" /* nothing, when all of them are closed */

#define EXPORT_URI_SIZE 192
/* "nbd://127.0.0.1:10809/6f…" of an open export. */
void export_uri(const struct export *export, char out[EXPORT_URI_SIZE]);

int store_export_get(
	struct db *db, const char *id, struct export *out, struct error *err);
/* Not closed ones of a backend (NULL: all); *list is malloc'd. */
int store_export_list(
	struct db *db, const char *backend, struct export **list, struct error *err);

/* Attachments' exports of a volume that are not closed: all, or that of an attachment (may
 * be NULL), and those without one (loose) of a peer, of all peers when that is NULL. */
int store_export_connected(struct db *db, const char *volume_id,
	const char *attachment_id, const char *peer, bool loose, bool all,
	struct export **list, struct error *err);

/* Whose callers can be answered: open or failed ones that somebody waits for, and closed
 * ones whose closing was waited for (one, when several have the same caller); and that
 * the answer was given. */
int store_export_unanswered(
	struct db *db, const char *backend, struct export **list, struct error *err);
int store_export_answered(
	struct db *db, const struct export *export, struct error *err);

/* For the owner. Opened: the server process is running; the command line's attachment
 * becomes attached, its volume in-use; the API tier's attaching, once. Only while the row is as read: read has state, pid and start time
 * from then; or when it is this process already. 1, or 0: it is not wanted any more, or
 * another process serves it. */
int store_export_opened(struct db *db, const struct export *export,
	const struct export *read, struct error *err);
/* May an open one whose process has ended be started again now? 1 yes (and it is counted:
 * the next time later, up to a minute), 0 not yet. */
int store_export_restart(struct db *db, const char *id, struct error *err);
/* Its server is gone and was reaped; the attachment in detach_id is over. error NULL: it was
 * asked to close; else it could not be opened, and what the API tier has written for it is
 * put back. */
int store_export_closed(
	struct db *db, const char *id, const char *error, struct error *err);

#endif
