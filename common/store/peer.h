/* SPDX-License-Identifier: Apache-2.0 */
/* peer.h - migrations whose other end is a Python cinder-volume. */
#ifndef COMMON_STORE_PEER_H
#define COMMON_STORE_PEER_H

#include "common/db.h"
#include "common/error.h"
#include "common/store/migrations.h"

/* update_migrated_volume: a Cinder source is about to make its switch; the volume takes the
 * name and the location of new_volume on its backend, and the other way round. Nothing is
 * renamed: _name_id tells. A second time nothing is changed. ERR_VOLUME_NOT_FOUND;
 * ERR_INVALID_VOLUME when new_volume is not the target of a migration of volume. */
int store_peer_exchange(struct db *db, const char *volume_id, const char *new_volume_id,
	struct error *err);

/* 1: the target was a Python service's when the migration was admitted; 0: a manager's. */
int store_peer_is(struct db *db, const struct migration *m, struct error *err);

/* Temporary volumes on Python services whose migration has ended without them; they are
 * asked to delete these until they are gone. */
struct peer_leftover {
	struct volume volume;
	char operation_id[UUID_TEXT_SIZE];
};
/* Of the operations of a backend; *list is malloc'd. */
int store_peer_leftovers(struct db *db, const char *backend,
	struct peer_leftover **list, struct error *err);

#endif
