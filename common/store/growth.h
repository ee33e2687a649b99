/* SPDX-License-Identifier: Apache-2.0 */
/* growth.h - extend_volume in the database: the size, the status and the quota change in one
 * transaction, after the object has grown. */
#ifndef COMMON_STORE_GROWTH_H
#define COMMON_STORE_GROWTH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/db.h"
#include "common/error.h"
#include "common/store/operations.h"

struct growth_request {
	const char *volume_id;
	const char *request_id;
	int64_t new_size; /* GiB */
	const char *const *reservations; /* ends with NULL, or is NULL */
	/* What its user is told when it is refused (messages.h); NULL: that it failed. */
	const char *detail;
};

/* A volume (status extending) is to grow: one transaction that checks it and inserts the
 * operation. ERR_NOT_SUPPORTED when it is attached: its guest would not see the new size.
 * ERR_INVALID_VOLUME, ERR_INVALID_INPUT. Failing it changes nothing: call
 * store_growth_refuse() then. */
int store_growth_admit(struct db *db, const struct growth_request *request,
	enum admission *out, struct error *err);
/* Reservations are rolled back and a user message is written; nothing of a request that is
 * known already. failed: status
 * error_extending, as after a driver's failure; else the volume is what it was. */
int store_growth_refuse(struct db *db, const struct growth_request *request,
	bool failed, const struct error *why, struct error *err);

/* For its worker. 1 and the size to grow to, 0 none. */
int store_growth_get(struct db *db, const struct operation *op, int64_t *new_size,
	struct error *err);
/* It has grown: size, status, quota. */
int store_growth_done(struct db *db, struct operation *op, struct error *err);
/* It could not grow: status error_extending, reservations rolled back. */
int store_growth_failed(struct db *db, struct operation *op, const struct error *why,
	struct error *err);

#endif
