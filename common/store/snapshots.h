/* SPDX-License-Identifier: Apache-2.0 */
/* snapshots.h - rows of Cinder's snapshots table, and the work on them.
 *
 * A snapshot's object is named after the snapshot's id and is on the backend of its volume,
 * which cannot move while it has one. Locks: the volume's row, the snapshot's, ours.
 */
#ifndef COMMON_STORE_SNAPSHOTS_H
#define COMMON_STORE_SNAPSHOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/db.h"
#include "common/error.h"
#include "common/store/operations.h"
#include "common/store/volumes.h"
#include "common/text.h"

/* A copy of a row; empty text for null. */
struct snapshot {
	char id[UUID_TEXT_SIZE];
	char volume_id[UUID_TEXT_SIZE];
	char project_id[256];
	char status[64], progress[32];
	int64_t size_gib; /* of the volume when it was made */
	bool use_quota;
};

/* 1 and *out, or 0 when there is no such row (deleted ones do not count). */
int store_snapshot_get(
	struct db *db, const char *id, struct snapshot *out, struct error *err);
/* The row stays locked until the transaction ends. ERR_SNAPSHOT_NOT_FOUND. */
int store_snapshot_require_locked(
	struct db *db, const char *id, struct snapshot *out, struct error *err);

/* A snapshot (status creating) is to be made: one transaction that checks it and its volume
 * and inserts the operation. Failing it changes nothing: store_snapshot_refuse() then. */
int store_snapshot_admit(struct db *db, const char *id, const char *request_id,
	enum admission *out, struct error *err);
/* Status error, a user message, workers row gone; nothing when one is just being made, or
 * when its status is not creating. */
int store_snapshot_refuse(struct db *db, const char *id, const char *request_id,
	const struct error *why, struct error *err);
/* For its worker: it is there (available, 100%) / could not be made. ERR_SNAPSHOT_NOT_FOUND
 * when its row is gone: then it could not be made. */
int store_snapshot_done(struct db *db, struct operation *op, struct error *err);
int store_snapshot_failed(struct db *db, struct operation *op, const struct error *why,
	struct error *err);

/* One transaction: the row goes, quota is given back, the object becomes garbage. From
 * status deleting. count_gib: snapshots count as gigabytes. ERR_SNAPSHOT_BUSY,
 * ERR_INVALID_SNAPSHOT, ERR_NOT_SUPPORTED (made by somebody else): nothing was changed. */
int store_snapshot_delete(struct db *db, const char *id, const char *request_id,
	bool count_gib, enum admission *out, struct error *err);
/* All snapshots of a volume; part of the transaction that deletes it. */
int store_snapshot_delete_all_locked(
	struct db *db, const struct volume *volume, bool count_gib, struct error *err);
/* Its deletion was refused: status available when it was busy, else error_deleting; a user
 * message. */
int store_snapshot_delete_refused(struct db *db, const char *id, const char *request_id,
	bool busy, struct error *err);
/* Not to be deleted but only forgotten (status unmanaging), which is not served. */
int store_snapshot_unmanage_refused(struct db *db, const char *id, struct error *err);

#endif
