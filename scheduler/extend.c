/* SPDX-License-Identifier: Apache-2.0 */
/* extend_volume: is there room for more where the volume is? Then its manager extends it;
 * else the volume and its quota are put back. */
#include <string.h>

#include "common/log.h"
#include "common/store/growth.h"
#include "common/store/messages.h"
#include "common/store/types.h"
#include "scheduler/scheduler.h"

#define SIZE_MAX_GIB (1LL << 40)

static int cast_extend(struct scheduler *s, const struct rpc_request *request,
	const struct volume *volume, int64_t size_gib, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	struct json_object *object, *reservations = NULL;

	if (json_get_object(request->args, "volume", &object, err) < 0)
		return -1;
	json_object_object_get_ex(request->args, "reservations", &reservations);
	json_add(args, "volume", json_object_get(object));
	json_add_int(args, "new_size", size_gib);
	json_add(args, "reservations", json_object_get(reservations));
	return request_cast(
		s, request, volume->host, "extend_volume", "3.0", args, err);
}

static int extend_with(struct scheduler *s, const struct rpc_request *request,
	const struct volume *volume, int64_t size_gib, const struct facts *facts,
	struct json_object *specs, struct error *err)
{
	const struct placement asked = {
		.size_gib = size_gib - volume->size_gib,
		.specs = specs,
		.attached_grows = strcmp(volume->attach_status, "detached") != 0,
	};
	struct pool *pool;
	int rc = request_own_pool(s, facts, volume, &asked, &pool, err);

	if (rc != STEP_DONE)
		return rc;
	if (cast_extend(s, request, volume, size_gib, err) < 0)
		return STEP_FAILED;
	pool->capacity.placed += (double)asked.size_gib;
	log_info("extension handed on volume=%s host=%s from=%lld to=%lld request=%s",
		volume->id, volume->host, (long long)volume->size_gib,
		(long long)size_gib, request->request_id);
	return STEP_DONE;
}

static int try_extend(
	struct scheduler *s, const struct rpc_request *request, struct error *err)
{
	AUTO(json_object_put) struct json_object *specs = NULL;
	struct volume volume;
	struct facts facts;
	int64_t size_gib;
	int rc;

	if (request_volume(s, request, &volume, err) < 0 ||
		json_get_int(
			request->args, "new_size", 1, SIZE_MAX_GIB, &size_gib, err) < 0)
		return STEP_FAILED;
	if (strcmp(volume.status, "extending") != 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"it is not to be extended: its status is '%s'", volume.status);
	if (size_gib <= volume.size_gib)
		return error_set(err, ERR_INVALID_INPUT,
			"it has %lld GiB, which is not below %lld",
			(long long)volume.size_gib, (long long)size_gib);
	if (store_type_specs(s->db, volume.volume_type_id, &specs, err) < 0 ||
		facts_read(s, &facts, err) < 0)
		return STEP_FAILED;
	rc = extend_with(s, request, &volume, size_gib, &facts, specs, err);
	facts_clear(&facts);
	return rc;
}

static int refuse(struct scheduler *s, const struct rpc_request *request,
	const struct error *why, struct error *err)
{
	struct reserved reserved = { .count = 0 };
	struct growth_request growth = { .request_id = request->request_id,
		.reservations = reserved.uuids,
		.detail = MESSAGE_NO_BACKEND };

	reserved_add(&reserved, request->args, "reservations");
	if (request_volume_id(request->args, &growth.volume_id, err) < 0 ||
		scheduler_check_ready(s, err) < 0 ||
		store_growth_refuse(s->db, &growth, false, why, err) < 0)
		return STEP_FAILED;
	request_log_refused(request, growth.volume_id, why);
	return STEP_DONE;
}

int extend_volume(
	struct scheduler *s, const struct rpc_request *request, struct error *err)
{
	struct error why;
	int rc = try_extend(s, request, &why);

	if (rc != STEP_FAILED)
		return rc;
	if (error_must_wait(&why)) {
		*err = why;
		return rc;
	}
	return refuse(s, request, &why, err);
}
