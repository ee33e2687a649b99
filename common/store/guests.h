/* SPDX-License-Identifier: Apache-2.0 */
/* guests.h - the attachments of instances that the command line makes and ends, without Nova.
 * Each function is one transaction, and can be run again. */
#ifndef COMMON_STORE_GUESTS_H
#define COMMON_STORE_GUESTS_H

#include "common/db.h"
#include "common/error.h"
#include "common/store/attachments.h"

/* The attachment of an instance, reserved; or the one that it has. mode: "rw", "ro", NULL: as
 * it is, else "rw". ERR_INVALID_VOLUME when the volume cannot be attached now, ERR_ATTACH_MODE. */
int store_guest_reserve(struct db *db, const char *volume_id, const char *instance_id,
	const char *mode, struct attachment *out, struct error *err);
/* The guest has it, as that device. */
int store_guest_attached(struct db *db, const struct attachment *attachment,
	const char *device, struct error *err);

/* That of an instance, or (NULL) the only one, is being detached. ERR_NOT_FOUND,
 * ERR_AMBIGUOUS, ERR_INVALID_VOLUME. */
int store_guest_detaching(struct db *db, const char *volume_id, const char *instance_id,
	struct attachment *out, struct error *err);
/* The guest keeps it. */
int store_guest_kept(
	struct db *db, const struct attachment *attachment, struct error *err);
/* It is over. */
int store_guest_detached(
	struct db *db, const struct attachment *attachment, struct error *err);

#endif
