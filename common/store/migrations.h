/* SPDX-License-Identifier: Apache-2.0 */
/* migrations.h - the life of a migration in the database, from request to result. */
#ifndef COMMON_STORE_MIGRATIONS_H
#define COMMON_STORE_MIGRATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/address.h"
#include "common/db.h"
#include "common/error.h"
#include "common/store/operations.h"
#include "common/store/pace.h"
#include "common/store/volumes.h"

struct migration_request {
	const char *volume_id;
	const char *request_id;
	const char *target; /* host@backend#pool, or host@backend */
	bool force_host_copy;
	double service_down_time; /* settings */
	bool keep_result; /* migration_result = keep */
	/* What the scheduler saw on the pool when it chose (store_pool_load), and how many
	 * more GiB it takes. Admitted only if what came since leaves room:
	 * otherwise ERR_DB_RETRY, choose again. */
	bool room_known;
	double seen_gib, room_gib;
};

/* Everything that can be said about volume and target from the rows, one sentence for the
 * one reason: ERR_VOLUME_NOT_FOUND, ERR_INVALID_VOLUME, ERR_INVALID_HOST. Shared by the
 * command line, the scheduler and the manager. target may lack its pool. starting: the
 * API tier has already written migration_status = starting. */
int store_migration_check(struct db *db, const struct volume *volume,
	const struct address *target, double service_down_time, bool starting,
	struct error *err);

/* What the API tier does first: compare-and-set of migration_status to starting (and
 * status to maintenance with lock_volume), after store_migration_check(); target NULL: the
 * scheduler chooses. */
int store_migration_begin(struct db *db, const char *volume_id, const char *target,
	bool lock_volume, double service_down_time, struct error *err);
/* The same with a limit, in bytes per second (0: none), for what becomes of this request. */
struct migration_wish {
	const char *request_id;
	int64_t rate_limit;
};
int store_migration_begin_with(struct db *db, const char *volume_id, const char *target,
	bool lock_volume, double service_down_time, const struct migration_wish *wish,
	struct error *err);

/* Admit: one transaction that locks target and volume, checks, inserts operation and
 * migration (phase queued, T's id chosen) and notifies the source's manager. Failing it
 * changes nothing: call store_migration_refuse() then. */
int store_migration_admit(struct db *db, const struct migration_request *request,
	enum admission *out, struct error *err);

/* It was not admitted: the volume is set back to what it was before the request, when
 * nothing else runs on it, and the reason is stored as a finished migration. */
int store_migration_refuse(struct db *db, const struct migration_request *request,
	const struct error *why, struct error *err);

/* Parts of transactions that admit or refuse more than a migration. The lock of a target's
 * backend is taken before a volume's. */
int store_target_lock(struct db *db, const char *backend, struct error *err);
/* 1: the request was admitted or refused before. */
int store_migration_is_known(
	struct db *db, const struct migration_request *request, struct error *err);
int store_migration_admit_locked(struct db *db, const struct migration_request *request,
	enum admission *out, struct error *err);
int store_migration_refuse_locked(struct db *db,
	const struct migration_request *request, const struct error *why,
	struct error *err);

/* Ask for cancellation. ERR_INVALID_VOLUME when nothing runs that can be cancelled. */
int store_migration_cancel(struct db *db, const char *volume_id, struct error *err);

struct migration {
	struct operation op;
	char source[ADDRESS_SIZE], target[ADDRESS_SIZE];
	char route[16]; /* empty: not decided yet */
	char temporary_id[UUID_TEXT_SIZE];
	char source_name_id[UUID_TEXT_SIZE];
	char digest[40];
	char location
		[256]; /* of T's object, noted when T becomes available; may be empty */
	char created_at[40], finished_at[40];
	char error_code[40];
	char volume_name[256];
	bool force_host_copy, lock_volume;
	int64_t size_bytes, checkpoint, position, copied, skipped;
	double rate; /* bytes per second */
	int64_t rate_limit; /* the same, 0: none, or RATE_OF_BACKEND */
	bool paused; /* and not finished */
	double age_s, copy_s; /* since created (until finished); of the copy */
};

/* 1 and *out; 0 none. */
int store_migration_get(struct db *db, const char *operation_id, struct migration *out,
	struct error *err);
/* The newest one of a volume. */
int store_migration_last(
	struct db *db, const char *volume_id, struct migration *out, struct error *err);
/* Newest first; volume_id NULL: of all; *list is malloc'd. */
int store_migration_list(struct db *db, const char *volume_id, bool unfinished_only,
	int limit, struct migration **list, struct error *err);

/* GiB of unfinished migrations to each pool whose temporary volume is not made yet
 * (no object identity): what the pool's report cannot know. */
struct reservation {
	char target[ADDRESS_SIZE];
	int64_t size_gib;
};
int store_migration_reservations(
	struct db *db, struct reservation **list, struct error *err);

/* What is on each pool: all volumes there, temporary ones too, and the queued migrations to
 * it, whose temporary volume has no row yet. What no report can be late about. */
struct pool_load {
	char pool[ADDRESS_SIZE]; /* host@backend#pool */
	int64_t size_gib;
	int64_t volumes;
};
int store_pool_load(struct db *db, struct pool_load **list, struct error *err);

/* Volumes of a backend whose request was lost: migration_status is starting for longer
 * than seconds and no operation is there. They are set back, with that reason. Returns
 * how many. */
int store_migration_set_lost_back(struct db *db, const char *backend, double seconds,
	bool keep_result, struct error *err);

/* ---- for workers; each is a transaction of its own, each can be run again ---- */

/* queued -> preparing: checks again, S becomes migrating, T's row is inserted. */
int store_migration_prepare(struct db *db, struct migration *m, struct error *err);
/* preparing -> copying, with the route. */
int store_migration_start_copy(
	struct db *db, struct migration *m, const char *route, struct error *err);
/* The storage could not clone after all. */
int store_migration_set_route(
	struct db *db, struct migration *m, const char *route, struct error *err);
/* While something is waited for: ERR_FENCED when it is not ours or in another phase,
 * ERR_CANCELLED when somebody cancelled it or changed migration_status. m->rate_limit and
 * m->paused become what they are now. */
int store_migration_wanted(struct db *db, struct migration *m, struct error *err);
/* Only while the epoch is ours (ERR_FENCED). cancelled: ERR_CANCELLED. m->rate_limit and
 * m->paused become what they are now; on failure they stay. */
int store_migration_progress(struct db *db, struct migration *m, struct error *err);
int store_migration_checkpoint(struct db *db, struct migration *m, int64_t offset,
	const char *digest, struct error *err);
/* copying -> sealing: S becomes completing; the receipt is stored. 1: it is paused, nothing
 * was done. */
int store_migration_seal(
	struct db *db, struct migration *m, const char *digest, struct error *err);
/* 1: every export of S and T is closed, 0: not yet (they were asked to close). */
int store_migration_exports_closed(
	struct db *db, const struct migration *m, struct error *err);
/* finish_volume_migration: sealing -> settling. ERR_INVALID_VOLUME with the sentence when
 * S is not what was copied any more; ERR_CANCELLED; ERR_FENCED. */
int store_migration_switch(struct db *db, struct migration *m, bool keep_result,
	double source_keep, struct error *err);
int store_migration_done(struct db *db, struct migration *m, struct error *err);
/* Roll back: S released, T's row deleted, its object to garbage, in one transaction.
 * to: PHASE_FAILED or PHASE_CANCELLED. */
int store_migration_roll_back(struct db *db, struct migration *m, enum phase to,
	const struct error *why, bool keep_result, struct error *err);
/* The same as part of a transaction. */
int store_migration_roll_back_locked(struct db *db, struct migration *m, enum phase to,
	const struct error *why, bool keep_result, struct error *err);

#endif
