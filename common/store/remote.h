/* SPDX-License-Identifier: Apache-2.0 */
/* remote.h - what the two managers of a migration between hosts say to each other: rows.
 *
 * The source's worker asks, the target's manager does: makes T (an operation of its own),
 * opens and closes the export of T, reads back from its own disk.
 */
#ifndef COMMON_STORE_REMOTE_H
#define COMMON_STORE_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/db.h"
#include "common/error.h"
#include "common/store/exports.h"
#include "common/store/migrations.h"

/* 1: the target's backend belongs to another manager than the source's (by the leases), 0:
 * to the same; ERR_INVALID_HOST when one never had a manager. */
int store_remote_is(struct db *db, const struct migration *m, struct error *err);
/* Is the lease of a backend alive? 1 or 0; *released: its manager was stopped in good
 * order. */
int store_remote_alive(
	struct db *db, const char *address, bool *released, struct error *err);

/* Ask the target's manager to make T; asking again is nothing. A transaction. */
int store_remote_create(struct db *db, struct migration *m, struct error *err);
/* 1: T is there, 0: not yet; ERR_BACKEND with the target's reason when it cannot be made.
 * ERR_CANCELLED and ERR_FENCED as in store_migration_progress. */
int store_remote_created(struct db *db, const struct migration *m, struct error *err);

/* Ask for an export of T for this epoch. Those of earlier epochs, and any other, are closed
 * first: 0 while one is not closed yet. 1: *out is wanted or open. key: hex digits of a
 * new TLS-PSK key, empty: no TLS. A transaction. */
int store_remote_export(struct db *db, const struct migration *m, const char *peer,
	const char *key, struct export *out, struct error *err);
/* Close every export of T. */
int store_remote_unexport(struct db *db, const struct migration *m, struct error *err);

/* One question to the target: the digests of [from, to) as its disk has them. */
struct read_back {
	int64_t id;
	char operation_id[UUID_TEXT_SIZE];
	char volume_id[UUID_TEXT_SIZE]; /* T */
	char host[ADDRESS_SIZE]; /* backend */
	int64_t from, to;
};
int store_read_back_ask(struct db *db, const struct migration *m, int64_t from,
	int64_t to, int64_t *id, struct error *err);
/* 1 and *digests (malloc'd text), 0 not yet; ERR_BACKEND with the target's reason,
 * ERR_NOT_FOUND when the question is lost: ask again. */
int store_read_back_take(struct db *db, int64_t id, char **digests, struct error *err);
/* For the target: operations with unanswered questions to a backend; *list (malloc'd) has
 * one entry for each. */
int store_read_back_due(
	struct db *db, const char *backend, struct read_back **list, struct error *err);
/* 1 and the oldest unanswered one of an operation; 0 none. */
int store_read_back_next(struct db *db, const char *operation_id, struct read_back *out,
	struct error *err);
/* 1: the copy is over, nothing more will be asked; 0: it is not. */
int store_read_back_over(struct db *db, const char *operation_id, struct error *err);
/* digests NULL: it failed, with this reason. */
int store_read_back_answer(struct db *db, int64_t id, const char *digests,
	const char *reason, struct error *err);

#endif
