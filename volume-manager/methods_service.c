/* SPDX-License-Identifier: Apache-2.0 */
/* RPC methods about the service itself, and those that it does not serve but for which the
 * API tier has changed rows before. */
#include <string.h>

#include "common/log.h"
#include "common/store/refusals.h"
#include "common/store/services.h"
#include "common/text.h"
#include "volume-manager/manager.h"
#include "volume-manager/methods.h"

/* ---- what it is ---- */

static void add_property(struct json_object *properties, const char *name,
	const char *title, const char *description)
{
	struct json_object *o = json_object_new_object();

	json_add_string(o, "title", title);
	json_add_string(o, "description", description);
	json_add_string(o, "type", "boolean");
	json_add(properties, name, o);
}

int methods_get_capabilities(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct json_object *properties = json_object_new_object();

	add_property(properties, "thin_provisioning", "Thin Provisioning",
		"Sets thin provisioning.");
	add_property(properties, "compression", "Compression", "Enables compression.");
	add_property(properties, "qos", "QoS", "Enables QoS.");
	add_property(properties, "replication_enabled", "Replication",
		"Enables replication.");
	*result = reports_capabilities(arg);
	json_add(*result, "properties", properties);
	return RPC_DONE;
}

int methods_publish_capabilities(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	reports_look(methods_manager(arg));
	return RPC_DONE;
}

/* ---- frozen ---- */

static int freeze(struct managed *managed, bool frozen, struct json_object **result,
	struct error *err)
{
	const char *host = managed->settings->host;
	int changed = store_service_freeze(managed->manager->db, host, frozen, err);

	if (changed < 0)
		return RPC_FAILED;
	log_info("backend is %s host=%s", frozen ? "frozen" : "thawed", host);
	*result = json_object_new_boolean(changed > 0);
	return RPC_DONE;
}

int methods_freeze_host(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	return freeze(arg, true, result, err);
}

int methods_thaw_host(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	return freeze(arg, false, result, err);
}

/* ---- nothing to do ---- */

/* Work that was cut off is found by its rows: nothing is left over. */
int methods_do_cleanup(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	return RPC_DONE;
}

/* Backends do not know whose a volume is. */
int methods_accept_transfer(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	struct volume volume;
	const char *id;
	int moved;

	if (methods_volume_id(request, "volume", &id, err) < 0)
		return RPC_FAILED;
	moved = forward_if_moved(manager, request, id, err);
	if (moved)
		return moved;
	return methods_volume(manager, id, &volume, err) < 0 ? RPC_FAILED : RPC_DONE;
}

/* ---- not served ---- */

static int refused(const struct rpc_request *request, struct error *err)
{
	return error_set(err, ERR_NOT_SUPPORTED,
		"'%s' is not supported by this service", request->method);
}

static int object_id(const struct rpc_request *request, const char *name,
	const char **out, struct error *err)
{
	struct json_object *object, *data;

	if (json_get_object(request->args, name, &object, err) < 0 ||
		json_get_object(object, "versioned_object.data", &data, err) < 0 ||
		json_get_string(data, "id", out, err) < 0)
		return error_context(err, "argument '%s'", name);
	return uuid_is(*out)
		? 0
		: error_set(err, ERR_INVALID_INPUT,
			  "argument '%s' has no id but '%.64s'", name, *out);
}

int methods_refuse_failover(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	const struct managed *managed = arg;

	if (store_service_not_failed_over(
		    managed->manager->db, managed->settings->host, err) < 0)
		return RPC_FAILED;
	return refused(request, err);
}

/* The volume has a status of the request's own. */
static int refuse_volume(struct manager *manager, const struct rpc_request *request,
	const char *status, struct error *err)
{
	const char *id;
	int moved;

	if (methods_volume_id(request, "volume", &id, err) < 0)
		return RPC_FAILED;
	moved = forward_if_moved(manager, request, id, err);
	if (moved > 0)
		return moved;
	if (moved == 0)
		refused(request, err);
	return methods_put_back(manager, id, status, NULL, err);
}

int methods_refuse_upload(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	return refuse_volume(methods_manager(arg), request, "uploading", err);
}

int methods_refuse_reimage(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	return refuse_volume(methods_manager(arg), request, "downloading", err);
}

int methods_refuse_revert(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	struct error why;
	const char *snapshot;
	int rc = refuse_volume(manager, request, "reverting", err);

	if (rc != RPC_FAILED || methods_must_wait(err))
		return rc;
	why = *err;
	if (object_id(request, "snapshot", &snapshot, err) == 0 &&
		store_refuse_revert(manager->db, snapshot, err) < 0 &&
		methods_must_wait(err))
		return RPC_FAILED;
	*err = why;
	return RPC_FAILED;
}

int methods_refuse_manage(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	const char *id;

	if (object_id(request, "volume", &id, err) < 0 ||
		store_refuse_manage(methods_manager(arg)->db, id, err) < 0)
		return RPC_FAILED;
	return refused(request, err);
}

int methods_refuse_manage_snapshot(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	const char *id;

	if (object_id(request, "snapshot", &id, err) < 0 ||
		store_refuse_snapshot(methods_manager(arg)->db, id, err) < 0)
		return RPC_FAILED;
	return refused(request, err);
}

int methods_refuse_group(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	const char *key =
		strstr(request->method, "group_snapshot") ? "group_snapshot" : "group";
	const char *id;

	if (object_id(request, key, &id, err) < 0 ||
		store_refuse_group(methods_manager(arg)->db, id, err) < 0)
		return RPC_FAILED;
	return refused(request, err);
}
