/* SPDX-License-Identifier: Apache-2.0 */
/* details.h - what hangs on a volume and is shown with it. */
#ifndef COMMON_STORE_DETAILS_H
#define COMMON_STORE_DETAILS_H

#include "common/db.h"
#include "common/error.h"
#include "common/text.h"

/* Empty text for null. */
struct attachment {
	char id[UUID_TEXT_SIZE];
	char server_id[UUID_TEXT_SIZE];
	char host_name[256];
	char device[256];
	char status[64], mode[64];
	char attached_at[40];
};
/* Those that are not deleted, oldest first; *list is malloc'd. Returns their number. */
int store_attachment_list(struct db *db, const char *volume_id,
	struct attachment **list, struct error *err);

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
