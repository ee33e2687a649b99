/* SPDX-License-Identifier: Apache-2.0 */
/* looks.h - is the object of a volume where its rows say? Asked by the loop, answered by a
 * worker, which alone touches storage. */
#ifndef COMMON_STORE_LOOKS_H
#define COMMON_STORE_LOOKS_H

#include "common/db.h"
#include "common/error.h"
#include "common/store/volumes.h"
#include "common/text.h"

/* 1: it was made by us, or somebody has looked. 0: somebody has to look; that is asked for, ask again.
 * -1: the last look failed, with its reason; asking again means another look. */
int store_look_ask(struct db *db, const struct volume *volume, struct error *err);
/* The volumes of a backend that are to be looked at; *list is malloc'd. */
struct look {
	char volume_id[UUID_TEXT_SIZE];
};
int store_look_due(
	struct db *db, const char *backend, struct look **list, struct error *err);
/* why NULL: the object was found. */
int store_look_done(struct db *db, const char *volume_id, const struct error *why,
	struct error *err);

#endif
