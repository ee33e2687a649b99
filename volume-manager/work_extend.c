/* SPDX-License-Identifier: Apache-2.0 */
/* extend_volume: the object grows, durably, and then the row does. */
#include <stdio.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/store/growth.h"
#include "volume-manager/work.h"

static int grow_object(struct work *work, const struct operation *op,
	const char *name_id, uint64_t size, struct error *err)
{
	AUTO(work_unlock) struct work_lock lock = { .fd = -1 };
	AUTO(backend_close) struct backend *backend = NULL;
	struct object_row object;
	struct object_id id;

	if (work_lock_object(work, name_id, &lock, err) < 0 ||
		work_backend_open(work, op->host, &backend, err) < 0 ||
		work_find_object(work, backend, name_id, &object, err) < 0)
		return -1;
	snprintf(id.text, sizeof(id.text), "%s", object.identity);
	return backend_grow(backend, object.name, &id, size, err);
}

static int extend(struct work *work, struct operation *op, struct error *err)
{
	struct volume volume;
	int64_t new_size = 0;
	int found = work_sure(
		work, store_volume_get(work->db, op->volume_id, &volume, err), err);

	if (found == 0)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%s' is not there any more", op->volume_id);
	if (found > 0)
		found = work_sure(
			work, store_growth_get(work->db, op, &new_size, err), err);
	if (found == 0)
		return error_set(
			err, ERR_INTERNAL, "operation '%s' has no new size", op->id);
	if (found < 0)
		return -1;
	if (op->attempts >= work->settings->worker_attempts)
		return error_set(err, ERR_INTERNAL, "its worker died %lld times",
			(long long)op->attempts);
	if (grow_object(work, op, volume.name_id, (uint64_t)new_size << 30, err) < 0 ||
		fault_point("extend.grown", err) < 0 ||
		work_sure(work, store_growth_done(work->db, op, err), err) < 0)
		return -1;
	log_info("volume extended id=%s size_gib=%lld", op->volume_id,
		(long long)new_size);
	return 0;
}

int work_extend(struct work *work, struct operation *op)
{
	struct error err, why;

	if (extend(work, op, &why) == 0)
		return WORK_DONE;
	if (work_stopping(work))
		return WORK_STOPPED;
	if (why.code == ERR_FENCED)
		return log_warning("%s", why.text), WORK_DONE;
	error_context(&why, "extend volume '%s'", op->volume_id);
	log_error("%s", why.text);
	if (work_sure(work, store_growth_failed(work->db, op, &why, &err), &err) < 0)
		return log_error("%s", err.text), WORK_FAILED;
	return WORK_DONE;
}
