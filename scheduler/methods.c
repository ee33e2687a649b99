/* SPDX-License-Identifier: Apache-2.0 */
/* The RPC methods of the topic cinder-scheduler, 3.12. */
#include "common/log-levels.h"
#include "common/store/refusals.h"
#include "common/text.h"
#include "scheduler/scheduler.h"

/* ---- reports ---- */

static int on_report(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct scheduler *s = arg;
	int taken = pools_report(&s->pools, request->args,
		s->settings->max_over_subscription_ratio, clock_seconds(), err);

	if (taken < 0)
		return RPC_FAILED;
	if (taken)
		rpc_try_again(s->rpc);
	return RPC_DONE;
}

/* ---- requests ---- */

/* What waits for reports stays the broker's until it is decided: this process may die. The
 * reports come by a queue of their own. */
static int run(struct scheduler *s, request_step step,
	const struct rpc_request *request, struct error *err)
{
	int rc = step(s, request, err);

	return rc == STEP_WAIT ? RPC_WAIT : rc;
}

static int on_create_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	return run(arg, create_volume, request, err);
}

static int on_migrate_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	return run(arg, migrate_volume, request, err);
}

static int on_extend_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	return run(arg, extend_volume, request, err);
}

static int on_create_snapshot(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	return run(arg, create_snapshot, request, err);
}

static int on_retype(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	return run(arg, retype_volume, request, err);
}

/* ---- what is not served: the rows that the API tier wrote get their last status ---- */

static int refused(const struct rpc_request *request, struct error *err)
{
	return error_set(err, ERR_NOT_SUPPORTED,
		"'%s' is not supported by this service", request->method);
}

/* The checked id of the object that is called name. */
static int object_id(struct scheduler *s, const struct rpc_request *request,
	const char *name, const char **out, struct error *err)
{
	struct json_object *object;

	if (json_get_object(request->args, name, &object, err) < 0 ||
		json_get_string(object_data(object), "id", out, err) < 0)
		return -1;
	if (!uuid_is(*out))
		return error_set(
			err, ERR_INVALID_INPUT, "'%.64s' is no id of a %s", *out, name);
	return scheduler_check_ready(s, err);
}

static int on_manage_existing(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct scheduler *s = arg;
	const char *id;

	if (object_id(s, request, "volume", &id, err) < 0 ||
		store_refuse_manage(s->db, id, err) < 0)
		return RPC_FAILED;
	return refused(request, err);
}

static int on_manage_existing_snapshot(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct scheduler *s = arg;
	const char *id;

	if (object_id(s, request, "snapshot", &id, err) < 0 ||
		store_refuse_snapshot(s->db, id, err) < 0)
		return RPC_FAILED;
	return refused(request, err);
}

static int on_create_group(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct scheduler *s = arg;
	const char *id;

	if (object_id(s, request, "group", &id, err) < 0 ||
		store_refuse_group(s->db, id, err) < 0)
		return RPC_FAILED;
	return refused(request, err);
}

static int on_create_backup(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct scheduler *s = arg;
	const char *id;

	if (object_id(s, request, "backup", &id, err) < 0 ||
		store_refuse_backup(s->db, id,
			"backups are not supported by this scheduler", err) < 0)
		return RPC_FAILED;
	return refused(request, err);
}

/* Work of this service that was cut off is found by its rows: nothing is left over. */
static int on_do_cleanup(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	return RPC_DONE;
}

const struct rpc_method scheduler_methods[] = {
	{ "create_volume", on_create_volume },
	{ "migrate_volume", on_migrate_volume },
	{ "migrate_volume_to_host", on_migrate_volume },
	{ "update_service_capabilities", on_report },
	{ "notify_service_capabilities", on_report },
	{ "get_pools", on_get_pools },
	{ "extend_volume", on_extend_volume },
	{ "retype", on_retype },
	{ "work_cleanup", on_work_cleanup },
	{ "do_cleanup", on_do_cleanup },
	{ "set_log_levels", log_levels_set },
	{ "get_log_levels", log_levels_get },
	{ "create_snapshot", on_create_snapshot },
	{ "validate_host_capacity", on_validate_host_capacity },
	/* Answered "not supported" at once. */
	{ "manage_existing", on_manage_existing },
	{ "manage_existing_snapshot", on_manage_existing_snapshot },
	{ "create_group", on_create_group },
	{ "create_backup", on_create_backup },
	{ NULL, NULL },
};
