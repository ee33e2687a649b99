/* SPDX-License-Identifier: Apache-2.0 */
/* deletes.h - a volume goes: its row and what hangs on it, at once; its object becomes
 * garbage of its backend. */
#ifndef COMMON_STORE_DELETES_H
#define COMMON_STORE_DELETES_H

#include <stdbool.h>

#include "common/db.h"
#include "common/error.h"
#include "common/store/operations.h"

/* One transaction. From the status that the API tier wrote (deleting, or
 * error_managing_deleting), where a volume that is just being made may be meant; or, when
 * from_api is false (the command line) and for a temporary volume of a Cinder, from any
 * status that allows deletion. ERR_INVALID_VOLUME in one sentence otherwise; then nothing
 * was changed. ERR_VOLUME_NOT_FOUND. */
int store_delete_volume(struct db *db, const char *volume_id, const char *request_id,
	bool from_api, enum admission *out, struct error *err);

/* The same with all snapshots, which the API tier has set to deleting;
 * ERR_INVALID_SNAPSHOT when one is not. count_gib: snapshots count as gigabytes. */
int store_delete_cascade(struct db *db, const char *volume_id, const char *request_id,
	bool count_gib, enum admission *out, struct error *err);

struct delete_refusal {
	const char *volume_id, *request_id;
	bool unmanage, cascade; /* as the request has them */
};

/* It was refused, and stays so when it comes again: the volume and its snapshots are what
 * they were. Returns whether the volume's status was changed. */
int store_delete_refused(struct db *db, const struct delete_refusal *refusal,
	const struct error *why, struct error *err);

#endif
