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

struct orphan {
	char id[UUID_TEXT_SIZE]; /* of the operation */
	char volume_id[UUID_TEXT_SIZE];
	char host[ADDRESS_SIZE]; /* whose manager is silent */
};

/* Migrations before the switch whose source's manager has had no lease for so many seconds;
 * *list is malloc'd. */
int store_orphan_list(
	struct db *db, double seconds, struct orphan **list, struct error *err);
/* Take one back if that is still so: 1 done, 0 its host is alive, or it has ended. One
 * transaction. */
int store_orphan_take_back(struct db *db, const struct orphan *orphan, double seconds,
	bool keep_result, struct error *err);

#endif
