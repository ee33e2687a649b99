/* SPDX-License-Identifier: Apache-2.0 */
/* details.h - what hangs on a volume and is shown with it. */
#ifndef COMMON_STORE_DETAILS_H
#define COMMON_STORE_DETAILS_H

#include "common/db.h"
#include "common/error.h"
#include "common/text.h"

struct detail {
	char key[256], value[256];
};
/* The metadata that users gave the volume / the extra specs of a volume type, by key;
 * *list is malloc'd. */
int store_metadata_list(
	struct db *db, const char *volume_id, struct detail **list, struct error *err);
int store_type_spec_list(struct db *db, const char *volume_type_id,
	struct detail **list, struct error *err);

#endif
