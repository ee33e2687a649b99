/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that come late: the volume has moved to another host since the sender looked.
 * Such a request goes on to the manager that owns the volume now, once, with its ids and
 * its reply address: the answer goes straight to the caller, and a duplicate is known
 * there as it would be here. One that was sent on already is refused, so that no two
 * managers can play ball with it. */
#include <string.h>

#include "common/envelope.h"
#include "common/log.h"
#include "common/store/moved.h"
#include "common/store/volumes.h"
#include "volume-manager/manager.h"

/* The message's Volume object is as old as the request; a Python service believes it. */
static int refresh_object(
	struct manager *manager, const struct rpc_request *request, struct error *err)
{
	static const char *const names[] = { "volume", "vref", "new_volume" };
	struct json_object *object, *data;
	const char *id;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		object = json_object_object_get(request->args, names[i]);
		if (!json_object_is_type(object, json_type_object) ||
			json_get_object(object, "versioned_object.data", &data, NULL) <
				0 ||
			json_get_string(data, "id", &id, NULL) < 0 || !uuid_is(id))
			continue;
		if (store_volume_refresh_object(manager->db, id, data, err) < 0)
			return -1;
	}
	return 0;
}

static int send_on(struct manager *manager, const struct rpc_request *request,
	const char *id, const struct address *owner, struct error *err)
{
	char topic[ADDRESS_SIZE + 16], version[RPC_VERSION_SIZE];
	int found =
		store_service_rpc_version(manager->db, owner->backend, version, err);

	if (found < 0)
		return -1;
	if (!found)
		return error_set(err, ERR_INVALID_HOST,
			"volume '%s' is on '%s' now, which has no service", id,
			owner->backend);
	if (version[0] && !version_is_served(version, request->version))
		return error_set(err, ERR_UNSUPPORTED_VERSION,
			"volume '%s' is on '%s' now, which speaks version %.16s, not "
			"%.16s",
			id, owner->backend, version, request->version);
	if (refresh_object(manager, request, err) < 0)
		return -1;
	address_topic(owner, topic);
	if (rpc_forward(manager->rpc, request, topic, owner->host, err) < 0)
		return -1;
	log_info("request sent on method=%s volume=%s to=%s request=%s",
		request->method, id, owner->backend, request->request_id);
	return RPC_LATER;
}

int forward_if_moved(struct manager *manager, const struct rpc_request *request,
	const char *id, struct error *err)
{
	struct address owner;
	struct volume volume;
	int found = store_volume_get(manager->db, id, &volume, err), known;

	if (found < 0)
		return -1;
	/* Unknown, or not placed yet: what is to be done needs no owner. */
	if (!found || address_parse(volume.host, &owner, NULL) < 0 ||
		manager_find(manager, volume.host))
		return 0;
	known = store_request_known(
		manager->db, id, request->method, request->request_id, err);
	if (known < 0)
		return -1;
	if (known) {
		log_info("%s volume=%s request=%s duplicate", request->method, id,
			request->request_id);
		rpc_reply(manager->rpc, &request->reply, NULL, NULL);
		return RPC_LATER;
	}
	if (request->forwarded)
		return error_set(err, ERR_INVALID_HOST,
			"volume '%s' is on '%s' and not here, where this request was "
			"sent on to",
			id, volume.host);
	return send_on(manager, request, id, &owner, err);
}
