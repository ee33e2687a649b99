/* SPDX-License-Identifier: Apache-2.0 */
/* orphans.h - migrations whose source host is gone: somebody else takes them back.
 *
 * S must not be held by a dead host. Any manager may do it, and it is safe when the host is
 * not dead at all: the epoch is raised, so its worker can change no row any more, and T
 * becomes garbage, which is touched only when its exports are closed.
 */
#ifndef COMMON_STORE_ORPHANS_H
#define COMMON_STORE_ORPHANS_H

#include <stdbool.h>

#include "common/db.h"
#include "common/error.h"
#include "common/store/migrations.h"

/* A backend whose manager has no lease now, and something waits for it: a migration before
 * its switch, or a volume in starting. */
struct silent {
	char host[ADDRESS_SIZE]; /* "server1@fast" */
	char expired_at
		[40]; /* when its lease ended; the same text: no sign of life since */
	bool released; /* it was stopped in good order */
};
/* *list is malloc'd. */
int store_silent_list(struct db *db, struct silent **list, struct error *err);

struct orphan {
	char id[UUID_TEXT_SIZE]; /* of the operation */
	char volume_id[UUID_TEXT_SIZE];
};
/* The migrations that wait for it; *list is malloc'd. */
int store_orphan_list(struct db *db, const struct silent *silent, struct orphan **list,
	struct error *err);
/* Take one back if its host has shown no sign of life since: 1 done, 0 it has, or the
 * migration has ended. seconds: how long it was waited for, for the reason. One
 * transaction. */
int store_orphan_take_back(struct db *db, const struct orphan *orphan,
	const struct silent *silent, double seconds, bool keep_result,
	struct error *err);

#endif
