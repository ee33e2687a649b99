/* SPDX-License-Identifier: Apache-2.0 */
/* volume_object.h - a row of volumes as the versioned object that Python services take. */
#ifndef COMMON_STORE_VOLUME_OBJECT_H
#define COMMON_STORE_VOLUME_OBJECT_H

#include "common/db.h"
#include "common/error.h"
#include "common/json.h"

/* Volume 1.9 with all its columns; its type, metadata and attachments are left out, which
 * the other side reads itself. 1 and *out, the caller's; 0 when there is no such row. */
int store_volume_object(
	struct db *db, const char *id, struct json_object **out, struct error *err);

#endif
