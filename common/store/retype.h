/* SPDX-License-Identifier: Apache-2.0 */
/* retype.h - giving a volume another type, where it is or together with a migration. */
#ifndef COMMON_STORE_RETYPE_H
#define COMMON_STORE_RETYPE_H

#include <stdbool.h>

#include "common/db.h"
#include "common/error.h"
#include "common/store/migrations.h"

/* Ids of reservations as the text of an array, for statements. */
#define RESERVATIONS_MAX 128
#define RESERVATIONS_TEXT_SIZE (RESERVATIONS_MAX * UUID_TEXT_SIZE + 3)

struct retype_request {
	/* volume, request, target and settings; what the scheduler saw is not used */
	struct migration_request migration;
	const char *new_type_id;
	bool never; /* migration_policy */
	/* What the API tier reserved for the new type and (negative) of the old one: each
	 * ends with NULL. */
	const char *const *reservations, *const *old_reservations;
};

enum retyped { RETYPED_IN_PLACE, RETYPED_BY_MIGRATION, RETYPED_BEFORE };

/* One transaction: where the target is the volume's own pool, the row takes the type, the
 * status it had, and the reservations are committed. Otherwise a migration is admitted that
 * does so in its switch. ERR_INVALID_VOLUME, ERR_INVALID_HOST, ERR_NOT_FOUND (no such type)
 * change nothing: call store_retype_refuse() then. */
int store_retype(struct db *db, const struct retype_request *request, enum retyped *out,
	struct error *err);
/* Status, multiattach and reservations are what they were; the reason is stored as that of
 * a migration that failed when there would have been one. */
int store_retype_refuse(struct db *db, const struct retype_request *request,
	const struct error *why, struct error *err);

/* The API tier writes multiattach of the new type after it has asked, which may be after the
 * retype was refused or taken back: what is so on this backend is what its type says
 * again. Returns how many were not. */
int store_retype_correct(struct db *db, const char *backend, struct error *err);

/* Parts of a migration's transactions; a no-op for one that changes no type. */
int store_retype_switch_locked(
	struct db *db, const struct migration *m, struct error *err);
int store_retype_release_locked(
	struct db *db, const struct migration *m, struct error *err);

#endif
