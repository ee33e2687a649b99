/* SPDX-License-Identifier: Apache-2.0 */
/* pace.h - how fast a migration may go, as operators want it: columns of its row. Whoever
 * copies finds them in struct migration and struct swap, again and again while it copies.
 */
#ifndef COMMON_STORE_PACE_H
#define COMMON_STORE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/db.h"
#include "common/error.h"
#include "common/store/volumes.h"

/* No limit of its own: what the source's backend is configured with counts. */
#define RATE_OF_BACKEND INT64_C(-1)

/* Bytes per second, 0: none, or RATE_OF_BACKEND. ERR_INVALID_VOLUME when the volume has no
 * migration, too late, or when nobody could make whoever copies follow it. */
int store_pace_limit(struct db *db, const struct volume *volume, int64_t rate_limit,
	struct error *err);
/* The same. What is paused already, or goes on already, stays so. */
int store_pace_pause(
	struct db *db, const struct volume *volume, bool paused, struct error *err);

/* ---- before there is a row: the wish of a request ---- */

/* Part of the transaction that begins it. ERR_INVALID_VOLUME when nobody would heed it. */
int store_wish_add_locked(struct db *db, const struct volume *volume,
	const char *request_id, int64_t rate_limit, double service_down_time,
	struct error *err);
/* It was admitted as this operation: the wish becomes the migration's. */
int store_wish_take_locked(struct db *db, const char *volume_id, const char *request_id,
	const char *operation_id, struct error *err);
/* It was refused. */
int store_wish_drop_locked(struct db *db, const char *volume_id, const char *request_id,
	struct error *err);
/* Those of requests that nobody has taken up for so many seconds, and that are not waited
 * for any more. */
int store_wish_drop_lost(struct db *db, double seconds, struct error *err);

/* Columns rate_limit and paused of a row that has them. */
int64_t store_pace_limit_of(const PGresult *rows, int row);

#endif
