/* SPDX-License-Identifier: Apache-2.0 */
/* moved.h - requests about a volume that lives on another backend by now. */
#ifndef COMMON_STORE_MOVED_H
#define COMMON_STORE_MOVED_H

#include "common/db.h"
#include "common/error.h"
#include "common/json.h"

#define RPC_VERSION_SIZE 37

/* Was this request written down as an operation before? kind is the name of the method. */
int store_request_known(struct db *db, const char *volume_id, const char *kind,
	const char *request_id, struct error *err);

/* The RPC version that the volume service of a backend speaks; "" when its row does not
 * say. 1, or 0: there is no such service. */
int store_service_rpc_version(struct db *db, const char *backend,
	char out[RPC_VERSION_SIZE], struct error *err);

/* Bring the members of a Volume object that a migration changes up to date with the row;
 * members that data does not have are not added. */
int store_volume_refresh_object(
	struct db *db, const char *id, struct json_object *data, struct error *err);

#endif
