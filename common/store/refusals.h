/* SPDX-License-Identifier: Apache-2.0 */
/* refusals.h - rows that the API tier wrote before a request, set to what they are when
 * the request is refused. Each is one transaction and can be run again; a row that was
 * changed meanwhile stays what it is. */
#ifndef COMMON_STORE_REFUSALS_H
#define COMMON_STORE_REFUSALS_H

#include "common/db.h"
#include "common/error.h"

/* A snapshot that is not made: status error. One that is being made, by a first try of the
 * same request, goes on to be. */
int store_refuse_snapshot(struct db *db, const char *id, struct error *err);
/* A volume that is not taken over: status error_managing. */
int store_refuse_manage(struct db *db, const char *id, struct error *err);
/* A backup that is not made: status error with the reason, and its volume is put back. */
int store_refuse_backup(
	struct db *db, const char *id, const char *reason, struct error *err);
/* A snapshot that its volume is not set back to: status available. */
int store_refuse_revert(struct db *db, const char *snapshot_id, struct error *err);
/* A group or group snapshot that is not made, changed or removed: status error. */
int store_refuse_group(struct db *db, const char *id, struct error *err);

#endif
