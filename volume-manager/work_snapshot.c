/* SPDX-License-Identifier: Apache-2.0 */
/* create_snapshot: an object of its own with what the volume holds. */
#include "common/fault.h"
#include "common/log.h"
#include "common/store/snapshots.h"
#include "volume-manager/work.h"

static int check_wanted(
	struct work *work, const struct operation *op, struct error *err)
{
	struct snapshot snapshot;
	int found = work_sure(work,
		store_snapshot_get(work->db, op->snapshot_id, &snapshot, err), err);

	if (found == 0)
		return error_set(err, ERR_SNAPSHOT_NOT_FOUND,
			"snapshot '%s' is not there any more", op->snapshot_id);
	if (found > 0 && op->attempts >= work->settings->worker_attempts)
		return error_set(err, ERR_INTERNAL, "its worker died %lld times",
			(long long)op->attempts);
	return found < 0 ? -1 : 0;
}

static int make(struct work *work, struct operation *op, struct error *err)
{
	AUTO(backend_close) struct backend *backend = NULL;
	struct object_row object;

	if (check_wanted(work, op, err) < 0 ||
		work_backend_open(work, op->host, &backend, err) < 0 ||
		work_make_filled(work, backend, op, backend_snapshot_name,
			op->snapshot_id, 0, &object, err) < 0 ||
		fault_point("snapshot.made", err) < 0)
		return -1;
	return work_sure(work, store_snapshot_done(work->db, op, err), err);
}

int work_snapshot(struct work *work, struct operation *op)
{
	struct error err, why;

	if (make(work, op, &why) == 0) {
		log_info("snapshot made id=%s volume=%s host=%s", op->snapshot_id,
			op->volume_id, op->host);
		return WORK_DONE;
	}
	if (work_stopping(work))
		return WORK_STOPPED;
	if (why.code == ERR_FENCED)
		return log_warning("%s", why.text), WORK_DONE;
	error_context(&why, "make snapshot '%s'", op->snapshot_id);
	log_error("%s", why.text);
	if (work_sure(work, store_snapshot_failed(work->db, op, &why, &err), &err) < 0)
		return log_error("%s", err.text), WORK_FAILED;
	return WORK_DONE;
}
