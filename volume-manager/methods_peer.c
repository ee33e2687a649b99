/* SPDX-License-Identifier: Apache-2.0 */
/* What a Python cinder-volume asks of the target of its migration. */
#include "common/log.h"
#include "common/store/peer.h"
#include "volume-manager/manager.h"
#include "volume-manager/methods.h"

int methods_update_migrated_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	const char *id, *new_id;
	int moved;

	if (methods_volume_id(request, "volume", &id, err) < 0 ||
		methods_volume_id(request, "new_volume", &new_id, err) < 0)
		return -1;
	/* It is the owner of the new volume that is asked. */
	moved = forward_if_moved(manager, request, new_id, err);
	if (moved)
		return moved;
	if (store_peer_exchange(manager->db, id, new_id, err) < 0)
		return -1;
	log_info("update_migrated_volume volume=%s name_id=%s request=%s", id, new_id,
		request->request_id);
	return RPC_DONE;
}
