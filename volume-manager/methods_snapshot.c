/* SPDX-License-Identifier: Apache-2.0 */
/* RPC methods: snapshots come and go. */
#include "common/envelope.h"
#include "common/log.h"
#include "common/store/snapshots.h"
#include "volume-manager/manager.h"
#include "volume-manager/methods.h"

static int snapshot_id(
	const struct rpc_request *request, const char **out, struct error *err)
{
	struct json_object *object, *data;

	if (json_get_object(request->args, "snapshot", &object, err) < 0 ||
		json_get_object(object, "versioned_object.data", &data, err) < 0 ||
		json_get_string(data, "id", out, err) < 0)
		return error_context(err, "argument 'snapshot'");
	if (!uuid_is(*out))
		return error_set(err, ERR_INVALID_INPUT,
			"argument 'snapshot' has no snapshot's id but '%.64s'", *out);
	return 0;
}

/* As forward_if_moved(), for the volume of a snapshot; of one without a row the message's. */
static int forward(struct manager *manager, const struct rpc_request *request,
	const char *id, struct error *err)
{
	const char *volume_id = envelope_volume_id(request->args);
	struct snapshot snapshot;
	int found = store_snapshot_get(manager->db, id, &snapshot, err);

	if (found < 0)
		return -1;
	if (found > 0)
		volume_id = snapshot.volume_id;
	if (!volume_id || !uuid_is(volume_id))
		return 0;
	return forward_if_moved(manager, request, volume_id, err);
}

int methods_create_snapshot(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	enum admission admission;
	struct error why;
	const char *id;
	int moved;

	if (snapshot_id(request, &id, err) < 0)
		return -1;
	moved = forward(manager, request, id, err);
	if (moved > 0)
		return moved;
	if (moved == 0 &&
		store_snapshot_admit(
			manager->db, id, request->request_id, &admission, err) == 0) {
		log_info("create_snapshot snapshot=%s request=%s%s", id,
			request->request_id,
			admission == DUPLICATE ? " duplicate" : "");
		return RPC_DONE;
	}
	why = *err;
	if (methods_must_wait(err) ||
		store_snapshot_refuse(manager->db, id, request->request_id, &why, err) <
			0)
		return -1;
	*err = why;
	return -1;
}

/* What the API tier has written before is put back. Always -1. */
static int refuse_delete(struct manager *manager, const struct rpc_request *request,
	const char *id, bool unmanage, struct error *err)
{
	bool busy = err->code == ERR_SNAPSHOT_BUSY;
	struct error why = *err;
	int done;

	if (methods_must_wait(err))
		return -1;
	done = unmanage ? store_snapshot_unmanage_refused(manager->db, id, err)
			: store_snapshot_delete_refused(
				  manager->db, id, request->request_id, busy, err);
	if (done < 0)
		return -1;
	*err = why;
	return -1;
}

int methods_delete_snapshot(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	enum admission admission;
	bool unmanage = false;
	const char *id;
	int moved;

	if (snapshot_id(request, &id, err) < 0 ||
		json_get_bool_or(
			request->args, "unmanage_only", false, &unmanage, err) < 0)
		return -1;
	moved = forward(manager, request, id, err);
	if (moved)
		return moved > 0 ? moved
				 : refuse_delete(manager, request, id, unmanage, err);
	if (unmanage) {
		error_set(err, ERR_NOT_SUPPORTED,
			"snapshot '%s' cannot be given away: unmanage_only is not "
			"supported",
			id);
		return refuse_delete(manager, request, id, unmanage, err);
	}
	if (store_snapshot_delete(manager->db, id, request->request_id,
		    !manager->settings->no_snapshot_gb_quota, &admission, err) < 0)
		return refuse_delete(manager, request, id, unmanage, err);
	log_info("delete_snapshot snapshot=%s request=%s%s", id, request->request_id,
		admission == DUPLICATE ? " duplicate" : "");
	return RPC_DONE;
}
