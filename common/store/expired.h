/* SPDX-License-Identifier: Apache-2.0 */
/* expired.h - rows that have had their time. Any scheduler does it, as Cinder's would. */
#ifndef COMMON_STORE_EXPIRED_H
#define COMMON_STORE_EXPIRED_H

#include "common/db.h"
#include "common/error.h"

/* Quota reservations whose request was never finished: rolled back. Returns how many
 * quotas got something back. */
int store_expire_reservations(struct db *db, struct error *err);
/* User messages; returns how many. */
int store_expire_messages(struct db *db, struct error *err);

#endif
