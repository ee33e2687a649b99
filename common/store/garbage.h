/* SPDX-License-Identifier: Apache-2.0 */
/* garbage.h - objects: written down before they exist, and until they are gone. */
#ifndef COMMON_STORE_GARBAGE_H
#define COMMON_STORE_GARBAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/address.h"
#include "common/db.h"
#include "common/error.h"
#include "common/store/operations.h"
#include "common/store/volumes.h"
#include "common/text.h"

/* An object that a backend of ours has or is about to have. */
struct object_row {
	char name[256];
	char identity[128]; /* empty: not made yet */
	char location[256]; /* where the driver has put it; filled in by workers */
};
/* What Cinder's tables say of an object that is not written down: 1, 0 nothing. */
struct object_hint {
	char location[256]; /* provider_location */
	char format[16]; /* admin metadata, empty: not known */
};
int store_object_hint(struct db *db, const char *backend, const char *name_id,
	struct object_hint *out, struct error *err);
/* 1 and *out, 0 when none is written down. name_id: the id its name is based on. */
int store_object_get(struct db *db, const char *backend, const char *name_id,
	struct object_row *out, struct error *err);
/* Write down that it will be made, by this operation; keeps an identity that is there. Then
 * what was made has an identity. ERR_FENCED when the operation has ended or is another
 * worker's; op NULL: an object that others made. */
int store_object_plan(struct db *db, const struct operation *op, const char *backend,
	const char *name, const char *name_id, struct error *err);
int store_object_identify(struct db *db, const struct operation *op,
	const char *backend, const char *name, const char *identity, struct error *err);

enum garbage_state { GARBAGE_WAITING, GARBAGE_RENAMED, GARBAGE_REMOVED };

struct garbage {
	char id[UUID_TEXT_SIZE];
	char host[ADDRESS_SIZE];
	char name[256], trash_name[256];
	char identity[128];
	char volume_id[UUID_TEXT_SIZE];
	char operation_id[UUID_TEXT_SIZE];
	char reason[256], last_error[ERROR_TEXT_SIZE];
	char created_at[40];
	enum garbage_state state;
	bool by_name;
	bool due; /* remove_after has come */
	bool quarantined; /* left alone until an operator says otherwise */
	int64_t epoch, attempts;
	double age_s;
	double wait_s; /* until it is tried again or may be removed */
};

/* The object of the volume on this backend becomes garbage; part of a transaction. It is
 * removed keep_seconds later at the earliest, and not before the operation (may be NULL)
 * has ended. */
int store_garbage_add_volume_locked(struct db *db, const struct volume *volume,
	const char *backend, const char *operation_id, double keep_seconds,
	const char *reason, struct error *err);

/* The same for the object of a snapshot; nothing when none was ever begun. */
int store_garbage_add_snapshot_locked(struct db *db, const char *snapshot_id,
	const char *backend, const char *operation_id, const char *reason,
	struct error *err);

/* Work of a backend that is due; *list is malloc'd. */
int store_garbage_due(struct db *db, const char *backend, int limit,
	struct garbage **list, struct error *err);
/* All that is not removed yet (backend NULL: everywhere). */
int store_garbage_list(
	struct db *db, const char *backend, struct garbage **list, struct error *err);
/* An operator says that it need not be kept: by its id, or the name it has or had. It is
 * removed as soon as its owner has looked again. ERR_NOT_FOUND; ERR_AMBIGUOUS. */
int store_garbage_hurry(struct db *db, const char *which, struct error *err);
/* The row that an operation left on a backend: 1 and *out, 0 none (any more). */
int store_garbage_of_operation(struct db *db, const char *operation_id,
	const char *backend, struct garbage *out, struct error *err);
/* Raise the epoch; 1 and *out, 0 when it is gone. */
int store_garbage_claim(
	struct db *db, const char *id, struct garbage *out, struct error *err);
/* A fresh look before touching the object: does any volume or snapshot still stand for it? 1 it
 * does (then nothing may be done), 0 it is free. */
int store_garbage_in_use(
	struct db *db, const struct garbage *garbage, struct error *err);
/* What was made since the row was written: the identity. Under the object's lock, when its
 * maker has ended. ERR_FENCED. */
int store_garbage_refresh(struct db *db, struct garbage *garbage, struct error *err);
int store_garbage_identify(struct db *db, const struct garbage *garbage,
	const char *name, const char *identity, struct error *err);
/* Compare-and-set on the epoch; ERR_FENCED when another worker has it. */
int store_garbage_renamed(struct db *db, struct garbage *garbage, struct error *err);
int store_garbage_removed(struct db *db, struct garbage *garbage, struct error *err);
/* It failed: try again later, longer each time (1 s ... 10 min). */
int store_garbage_failed(struct db *db, const struct garbage *garbage,
	const char *reason, struct error *err);

#endif
