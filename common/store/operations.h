/* SPDX-License-Identifier: Apache-2.0 */
/* operations.h - work as rows: admitting it, claiming it, moving it from phase to phase. */
#ifndef COMMON_STORE_OPERATIONS_H
#define COMMON_STORE_OPERATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/address.h"
#include "common/db.h"
#include "common/error.h"
#include "common/phase.h"
#include "common/store/volumes.h"
#include "common/text.h"

/* The channel of NOTIFY: its payload is the backend that has work ("server1@fast"). */
#define WORK_CHANNEL "drover_work"
/* The channel for people who watch: payload is the volume's id. */
#define DONE_CHANNEL "drover_done"

#define REQUEST_ID_SIZE 256

/* An epoch is the number of the claim and 32 random bits: no two claims have the same one,
 * not even when a fail-over of the database has forgotten the first. SQL for the next. */
#define NEXT_EPOCH \
	"(((epoch >> 32) + 1) << 32) | floor(random() * 4294967296.0)::bigint"
static inline int64_t epoch_number(int64_t epoch)
{
	return epoch >> 32;
}

struct operation {
	char id[UUID_TEXT_SIZE];
	char kind[32];
	char volume_id[UUID_TEXT_SIZE];
	char snapshot_id[UUID_TEXT_SIZE]; /* of create_snapshot, delete_snapshot */
	char host[ADDRESS_SIZE]; /* backend whose manager carries it out */
	char request_id[REQUEST_ID_SIZE];
	char saved_status[64];
	char reason[ERROR_TEXT_SIZE];
	enum phase phase;
	int64_t epoch, attempts;
	bool cancel;
	bool fills, copies; /* has a source; whose bytes are copied (sources.h) */
};

/* What became of a request. */
enum admission {
	ADMITTED,
	DUPLICATE, /* this request id is known: nothing was done again */
};

/* A volume that the scheduler has placed is to be made on its host: one transaction that
 * checks the row (status creating, host set), and what it is made from when it is made from
 * a snapshot or a volume, and inserts the operation. */
int store_create_admit(struct db *db, const char *volume_id, const char *request_id,
	enum admission *out, struct error *err);

/* It was not admitted: status error and a user message, unless another request's creation
 * is under way. */
int store_create_refuse(struct db *db, const char *volume_id, const char *request_id,
	const struct error *why, struct error *err);

/* What somebody wants to do with a volume while others work on it. */
enum volume_use {
	VOLUME_ALONE, /* move, grow or remove it: nothing else may run */
	VOLUME_WRITE, /* its bytes: not while they are copied, but a clone of the storage is
			 of one moment */
	VOLUME_READ, /* its bytes: others may read it too */
};
/* Is there unfinished work that forbids this use? ERR_INVALID_VOLUME with the sentence
 * ("volume 'x' cannot be moved: ..."), 0 when it is free. doing: "be deleted". The answer
 * stays true while the volume's row is locked. */
int store_volume_free(struct db *db, const struct volume *volume, enum volume_use use,
	const char *doing, struct error *err);
/* The same for VOLUME_ALONE. */
int store_volume_idle(struct db *db, const struct volume *volume, const char *doing,
	struct error *err);

/* Is it still unfinished and ours? ERR_FENCED. _locked: part of a transaction, and it stays
 * so until that ends. */
int store_operation_check_locked(
	struct db *db, const struct operation *op, struct error *err);
int store_operation_check(struct db *db, const struct operation *op, struct error *err);

/* Unfinished operations of the backend that are due: short ones, those that are filled from
 * a source, long ones; at most limit of each, oldest first. */
int store_operation_due(struct db *db, const char *backend, int limit,
	struct operation **list, struct error *err);
/* 1 and *out; 0 when there is none of that id. */
int store_operation_get(
	struct db *db, const char *id, struct operation *out, struct error *err);
/* Raise the epoch; 1 and *out, 0 when it is finished or not due, or when owner does not
 * have the lease on its backend (any more). */
int store_operation_claim(struct db *db, const char *id, const char *owner,
	struct operation *out, struct error *err);
/* Its worker died: count that, try again after some seconds. Only while the epoch is
 * ours. */
int store_operation_delay(
	struct db *db, const struct operation *op, double seconds, struct error *err);

/* Move on: compare-and-set of epoch and phase, the step must be in the table. Part of a
 * transaction. ERR_FENCED when another worker has it. When the move was made before
 * (the outcome of its commit was unknown), that is success. op->phase is set. */
int store_operation_move_locked(struct db *db, struct operation *op, enum phase to,
	const char *why, struct error *err);
/* Lock the row and check epoch and phase: ERR_FENCED; the fresh row goes to *op. */
int store_operation_lock(struct db *db, struct operation *op, struct error *err);
/* store_operation_lock(), and 1 when it is in that phase: the outcome of the commit that
 * moved it there was unknown, what belongs to it is done and may have changed since. */
int store_operation_is_moved(
	struct db *db, struct operation *op, enum phase to, struct error *err);
/* store_operation_move_locked() to failed or cancelled, with the code and the sentence for people. */
int store_operation_end_locked(struct db *db, struct operation *op, enum phase to,
	const struct error *why, struct error *err);

/* Why it does not go on, for people; it stays unfinished. */
int store_operation_note(struct db *db, const struct operation *op, const char *reason,
	struct error *err);

/* Was this request written down before? Part of a transaction that has locked the volume. */
int store_operation_known(struct db *db, const char *volume_id, const char *kind,
	const char *request_id, struct error *err);
/* A request that was not admitted is a failed operation: with its reason, and known when it
 * comes again. snapshot_id may be NULL. Part of a transaction. */
int store_operation_refused_locked(struct db *db, const struct volume *volume,
	const char *kind, const char *snapshot_id, const char *request_id,
	const struct error *why, struct error *err);
/* queued -> working. */
int store_operation_start(struct db *db, struct operation *op, struct error *err);
/* A volume that is being made shall not be, as it is deleted: its worker finds itself
 * fenced. Part of a transaction; 1 there was one. */
int store_create_cancel_locked(struct db *db, const char *volume_id, struct error *err);
/* create_volume: the volume is there (available), its object at location (may be empty) /
 * could not be made (error). */
int store_create_done(
	struct db *db, struct operation *op, const char *location, struct error *err);
int store_create_failed(struct db *db, struct operation *op, const struct error *why,
	struct error *err);

/* Add what a worker has counted (db_commit_stats). */
int store_operation_add_commits(struct db *db, const char *id, uint64_t count,
	double seconds, struct error *err);

int store_notify(
	struct db *db, const char *channel, const char *payload, struct error *err);

#endif
