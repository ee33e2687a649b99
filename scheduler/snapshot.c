/* SPDX-License-Identifier: Apache-2.0 */
/* create_snapshot: is there room for it where its volume is? Then the volume's manager
 * makes it; else it is in error. */
#include <string.h>

#include "common/log.h"
#include "common/store/refusals.h"
#include "common/text.h"
#include "scheduler/scheduler.h"

static int cast_snapshot(struct scheduler *s, const struct rpc_request *request,
	const struct volume *volume, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	struct json_object *object;

	if (json_get_object(request->args, "snapshot", &object, err) < 0)
		return -1;
	json_add(args, "snapshot", json_object_get(object));
	return request_cast(
		s, request, volume->host, "create_snapshot", "3.0", args, err);
}

static int snapshot_with(struct scheduler *s, const struct rpc_request *request,
	const struct volume *volume, const struct facts *facts, struct error *err)
{
	const struct placement asked = { .size_gib = volume->size_gib };
	struct pool *pool;
	int rc = request_own_pool(s, facts, volume, &asked, &pool, err);

	if (rc != STEP_DONE)
		return rc;
	if (cast_snapshot(s, request, volume, err) < 0)
		return STEP_FAILED;
	pool->capacity.placed += (double)volume->size_gib;
	log_info("snapshot handed on volume=%s host=%s request=%s", volume->id,
		volume->host, request->request_id);
	return STEP_DONE;
}

/* The message names the backend too; but the volume may have moved since. */
static int try_snapshot(
	struct scheduler *s, const struct rpc_request *request, struct error *err)
{
	struct volume volume;
	struct facts facts;
	int rc;

	if (request_volume(s, request, &volume, err) < 0 ||
		facts_read(s, &facts, err) < 0)
		return STEP_FAILED;
	rc = snapshot_with(s, request, &volume, &facts, err);
	facts_clear(&facts);
	return rc;
}

static int snapshot_id(struct json_object *args, const char **out, struct error *err)
{
	struct json_object *object;

	if (json_get_object(args, "snapshot", &object, err) < 0 ||
		json_get_string(object_data(object), "id", out, err) < 0)
		return -1;
	return uuid_is(*out) ? 0
			     : error_set(err, ERR_INVALID_INPUT,
				       "'%.64s' is no id of a snapshot", *out);
}

int create_snapshot(
	struct scheduler *s, const struct rpc_request *request, struct error *err)
{
	struct error why;
	const char *id;
	int rc;

	if (snapshot_id(request->args, &id, err) < 0)
		return STEP_FAILED;
	rc = try_snapshot(s, request, &why);
	if (rc != STEP_FAILED)
		return rc;
	if (error_must_wait(&why)) {
		*err = why;
		return rc;
	}
	if (store_refuse_snapshot(s->db, id, err) < 0)
		return STEP_FAILED;
	log_warning("snapshot not made snapshot=%s request=%s reason='%s'", id,
		request->request_id, why.text);
	return STEP_DONE;
}
