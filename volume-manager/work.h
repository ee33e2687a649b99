/* SPDX-License-Identifier: Apache-2.0 */
/* work.h - one piece of work in a process of its own: what drover-worker does.
 *
 * Plain blocking code, one thread (copy/ may use more inside). Each kind of work reads
 * its row, does what the row's phase says, commits the next phase, and so on: starting,
 * going on after a crash and trying again are the same code.
 */
#ifndef VOLUME_MANAGER_WORK_H
#define VOLUME_MANAGER_WORK_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/db.h"
#include "common/error.h"
#include "common/settings.h"
#include "common/store/garbage.h"
#include "common/store/operations.h"
#include "volume-manager/backend.h"

/* Exit statuses of drover-worker that the manager knows. */
enum {
	WORK_DONE = 0, /* finished, or there was nothing to do (any more) */
	WORK_FAILED = 1, /* try again later; the log says why */
	WORK_BAD_USAGE = 2, /* configuration or arguments */
	WORK_STOPPED = 75, /* asked to stop in the middle: go on at any time */
};

/* The manager's end of the socketpair is descriptor 3 in the worker. */
#define WORK_FD 3

struct work_lock {
	int fd; /* -1: not held */
	char path[4096];
};

struct work {
	const struct settings *settings;
	const struct backend_settings *backends;
	size_t backend_count;
	struct db *db;
	struct work_lock lock; /* of this work */
};

/* SIGTERM came, or the manager is gone. */
bool work_stopping(const struct work *work);
/* ERR_CANCELLED-free way to say so: error "asked to stop", code ERR_TIMEOUT. */
int work_stop_error(struct error *err);

/* work_lock.c: what keeps two workers of one host off the same thing; waits until the other
 * one is dead. name is an id. */
int work_lock(
	struct work *work, const char *name, struct work_lock *out, struct error *err);
/* Whoever makes, renames or removes the object that is named after name_id. */
int work_lock_object(struct work *work, const char *name_id, struct work_lock *out,
	struct error *err);
/* The work is finished for ever: the lock's file goes too. */
void work_unlock_and_forget(struct work_lock *lock);
static inline void auto_work_unlock(struct work_lock *lock)
{
	work_unlock_and_forget(lock);
}

/* How long to nap before rows are looked at again that have been waited for so long: a
 * fifth of that, so that short waits stay short and long ones cost little. */
static inline unsigned work_poll_ms(double waited_s)
{
	return waited_s < 0.01 ? 2 : waited_s > 0.5 ? 100 : (unsigned)(waited_s * 200);
}

/* Ended early by a signal. */
void work_nap_ms(unsigned ms);

/* The key file of an export's TLS-PSK, readable by nobody else; one of that name is
 * replaced. key: hex digits. */
int work_write_psk(const char *path, const char *key, struct error *err);

/* work_standby.c: wait until every connected standby of the database has all that was
 * committed before. 0 they have; 1 our role may not see it (grant pg_monitor); ERR_TIMEOUT
 * when one is still behind after so many seconds. op, unless NULL: what it is waited for;
 * ERR_CANCELLED, ERR_FENCED. */
int work_wait_for_standbys(struct work *work, const struct operation *op,
	double seconds, struct error *err);

/* Run a store function again until the database has answered: connection lost, deadlock
 * and commits of unknown outcome are waited out. The functions of store/ decide by the
 * rows whether they were done before. */
#define work_sure(work, call, err) \
	__extension__({ \
		int sure_; \
		do \
			sure_ = (call); \
		while (sure_ < 0 && work_try_again(work, err)); \
		sure_; \
	})
bool work_try_again(struct work *work, struct error *err);

/* Settings of a backend by its address ("server1@fast" or with a pool); ERR_INVALID_HOST
 * when it is not in enabled_backends. */
int work_backend_settings(const struct work *work, const char *address,
	const struct backend_settings **out, struct error *err);
int work_backend_open(struct work *work, const char *address, struct backend **out,
	struct error *err);

/* How the name of an object is made: backend_object_name, backend_snapshot_name. */
typedef int (*object_namer)(const struct backend_settings *settings, const char *id,
	char *out, size_t size, struct error *err);

/* The object of name_id on an open backend: by the row in drover.object; one that Drover
 * did not make is looked for by name and written down. ERR_NOT_FOUND. */
int work_find_object(struct work *work, struct backend *backend, const char *name_id,
	struct object_row *out, struct error *err);
/* The same for any kind of object, and its size; size may be NULL. */
int work_find_named(struct work *work, struct backend *backend, object_namer namer,
	const char *name_id, struct object_row *out, uint64_t *size, struct error *err);
/* work_foreign.c, for an object that is not written down: what Cinder's tables say of it, and
 * the backend looks for it there. ERR_INVALID_VOLUME when they say that it is not raw. */
int work_foreign_look(struct work *work, struct backend *backend, const char *name_id,
	const char *name, struct object_hint *hint, struct error *err);
/* Where they say nothing of its format: ERR_INVALID_VOLUME when it looks like no raw one. */
int work_foreign_check(struct backend *backend, const char *name,
	const struct object_id *id, const struct object_hint *hint, struct error *err);
/* Make the object of name_id for op, or find that it was made: plan, create, identify.
 * ERR_FENCED when op has ended meanwhile. */
int work_make_object(struct work *work, struct backend *backend,
	const struct operation *op, const char *name_id, uint64_t size,
	struct object_row *out, struct error *err);
/* The same under work_lock_object(), which the caller holds; out has the name. */
int work_make_locked(struct work *work, struct backend *backend,
	const struct operation *op, const char *name_id, uint64_t size,
	struct object_row *out, struct error *err);
/* work_fill.c: make it, of this size at least, and fill it from op's source when it has
 * one: the storage clones, or the bytes are copied from the checkpoint on. */
int work_make_filled(struct work *work, struct backend *backend,
	const struct operation *op, object_namer namer, const char *name_id,
	uint64_t size, struct object_row *out, struct error *err);

/* The kinds of work; each returns an exit status. */
int work_operation(struct work *work, const char *id, int64_t epoch);
int work_create(struct work *work, struct operation *op);
int work_snapshot(struct work *work, struct operation *op);
int work_extend(struct work *work, struct operation *op);
int work_migrate(struct work *work, struct operation *op);
int work_garbage(struct work *work, const char *id);
int work_export(struct work *work, const char *id);
int work_read_back(struct work *work, const char *operation_id);
int work_look(struct work *work, const char *volume_id);
int work_stats(struct work *work, const char *backend);

/* Rename a leftover to its trash name; remove it. For settling and garbage. */
int work_retire(struct work *work, struct garbage *garbage, struct error *err);

#endif
