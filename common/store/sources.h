/* SPDX-License-Identifier: Apache-2.0 */
/* sources.h - what a new object is filled from: a volume (for its snapshot, or for another
 * volume) or a snapshot. A row for each such operation; see store_volume_free() for what
 * it forbids others meanwhile. */
#ifndef COMMON_STORE_SOURCES_H
#define COMMON_STORE_SOURCES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/address.h"
#include "common/db.h"
#include "common/error.h"
#include "common/store/operations.h"
#include "common/store/volumes.h"
#include "common/text.h"

struct source {
	char volume_id[UUID_TEXT_SIZE]; /* empty: a snapshot is read */
	char snapshot_id[UUID_TEXT_SIZE];
	char host[ADDRESS_SIZE]; /* host@backend#pool of its object */
	char name_id[UUID_TEXT_SIZE]; /* what the object's name is based on */
	bool copies; /* its bytes are copied, the storage cannot clone them */
	int64_t checkpoint; /* all below is durable in the new object and was read back */
	char digest[40]; /* up to there */
};

/* A new volume's source, when it has one: checked, locked and written down. Part of the
 * transaction that inserts the operation. ERR_INVALID_VOLUME, ERR_INVALID_SNAPSHOT ... */
int store_source_admit_locked(struct db *db, const char *operation_id,
	const struct volume *made, struct error *err);
/* The operation reads this volume. Part of a transaction that has locked it. */
int store_source_insert_locked(struct db *db, const char *operation_id,
	const char *volume_id, const char *snapshot_id, struct error *err);
/* What a finished volume takes over from its source: bootable and what its image said. Part
 * of a transaction; nothing when it has none. */
int store_source_inherit_locked(
	struct db *db, const struct operation *op, struct error *err);

/* ---- for workers ---- */

/* 1 and *out, or 0: the object begins empty. ERR_NOT_FOUND when the source's row is gone. */
int store_source_get(struct db *db, const struct operation *op, struct source *out,
	struct error *err);
/* From now on nobody may write it. ERR_INVALID_VOLUME when somebody may be doing so. */
int store_source_copy(struct db *db, const struct operation *op, struct source *source,
	struct error *err);
/* ERR_FENCED when the operation is not ours any more, or ended. */
int store_source_wanted(struct db *db, const struct operation *op, struct error *err);
/* percent: shown as the snapshot's progress. */
int store_source_checkpoint(struct db *db, const struct operation *op, int64_t offset,
	const char *digest, int percent, struct error *err);

#endif
