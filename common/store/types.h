/* SPDX-License-Identifier: Apache-2.0 */
/* types.h - what a volume's type and origin say about where it may be. */
#ifndef COMMON_STORE_TYPES_H
#define COMMON_STORE_TYPES_H

#include "common/db.h"
#include "common/error.h"
#include "common/json.h"
#include "common/store/volumes.h"

/* The extra specs of a type as an object of texts, the caller's; empty when there is no
 * such type. */
int store_type_specs(struct db *db, const char *type_id, struct json_object **out,
	struct error *err);
/* Where the snapshot or volume lives that it is made from: "server1@fast#pool"; empty when
 * it is made from nothing. ERR_NOT_FOUND: its origin is gone. */
int store_volume_origin(struct db *db, const struct volume *volume,
	char out[ADDRESS_SIZE], struct error *err);

#endif
