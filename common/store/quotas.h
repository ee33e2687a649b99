/* SPDX-License-Identifier: Apache-2.0 */
/* quotas.h - what projects use: quota_usages and reservations, as Cinder counts them.
 *
 * A reservation has added its delta, when positive, to "reserved"; committed, the delta
 * moves to "in_use". All are parts of transactions, together with the rows that they
 * count, so that usages equal the rows whatever crashes.
 */
#ifndef COMMON_STORE_QUOTAS_H
#define COMMON_STORE_QUOTAS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/db.h"
#include "common/error.h"

/* By uuid; one that was committed or rolled back before is nothing. */
int store_quota_commit(struct db *db, const char *reservation, struct error *err);
int store_quota_roll_back(struct db *db, const char *reservation, struct error *err);
/* It belongs to work that may take longer than reservations live: it does not expire. */
int store_quota_hold(struct db *db, const char *reservation, struct error *err);
/* The same for a list that ends with NULL; NULL is an empty one. */
int store_quota_commit_all(
	struct db *db, const char *const *reservations, struct error *err);
int store_quota_roll_back_all(
	struct db *db, const char *const *reservations, struct error *err);
int store_quota_hold_all(
	struct db *db, const char *const *reservations, struct error *err);
/* One of the first two for each row, which has a uuid. */
int store_quota_each(struct db *db, const PGresult *rows,
	int (*settle)(struct db *db, const char *reservation, struct error *err),
	struct error *err);

/* So many fewer "volumes" (or "snapshots") and gigabytes are in use, also of the type of
 * that name. */
int store_quota_give_back(struct db *db, const char *project_id, const char *resource,
	const char *volume_type, int64_t count, int64_t gib, struct error *err);

#endif
