/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.h - what is wrong, and what stands in the way of Cinder's own services taking over
 * again. */
#ifndef COMMON_STORE_DOCTOR_H
#define COMMON_STORE_DOCTOR_H

#include "common/db.h"
#include "common/error.h"

#define OBSTACLE_LIST_MAX 10000

struct obstacle {
	char kind[32]; /* "operation", "export", "leftover", "volume", ... */
	char name[256]; /* of the thing, by which it is found: an id, an object */
	char what[512]; /* why Cinder cannot go on with it, for people */
	char next[256]; /* what to do about it */
};

/* In the order in which they are best removed; *list is malloc'd. Returns their number,
 * 0: Cinder may be started. */
int store_obstacles(struct db *db, struct obstacle **list, struct error *err);
/* What is tried again and again; no next. The same otherwise. */
int store_troubles(struct db *db, struct obstacle **list, struct error *err);

#endif
