/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that are given up. The caller is answered when what served him is gone: what
 * he does next with the volume is not refused because of it. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/store/connect.h"
#include "volume-manager/manager.h"
#include "volume-manager/methods.h"
#include "volume-manager/methods_connect.h"

/* Who waits for one of these to open waits in vain now. */
static void tell_abandoned(
	struct manager *manager, const struct export *list, int count)
{
	struct rpc_address to;
	struct error why;

	for (int i = 0; i < count; i++) {
		if (!list[i].reply_id[0] ||
			strcmp(list[i].reply_for, REPLY_CLOSED) == 0)
			continue;
		text_copy(to.queue, sizeof(to.queue), list[i].reply_queue);
		text_copy(to.id, sizeof(to.id), list[i].reply_id);
		error_set(&why, ERR_BACKEND,
			"volume '%s' cannot be connected: it was disconnected meanwhile",
			list[i].volume_id);
		rpc_reply(manager->rpc, &to, NULL, &why);
	}
}

/* count: how many are closing. */
static int closing(const struct rpc_request *request, struct manager *manager,
	const char *id, const struct export *list, int count)
{
	tell_abandoned(manager, list, count);
	log_info("%s volume=%s closing=%d request=%s", request->method, id, count,
		request->request_id);
	return count > 0 ? RPC_LATER : RPC_DONE;
}

static int disconnect(struct manager *manager, const struct rpc_request *request,
	struct disconnect_request *what, struct error *err)
{
	AUTO(free) struct export *list = NULL;
	int count;

	what->reply = request->reply;
	count = store_export_close(manager->db, what, &list, err);
	if (count < 0)
		return -1;
	return closing(request, manager, what->volume_id, list, count);
}

/* Without a connector (forced): every host's. A connector without a host has connected
 * nothing of ours. */
static int peer_of(
	const struct rpc_request *request, const char **peer, struct error *err)
{
	struct json_object *connector = NULL;

	*peer = NULL;
	if (!json_object_object_get_ex(request->args, "connector", &connector) ||
		!connector)
		return 0;
	if (json_get_object(request->args, "connector", &connector, err) < 0 ||
		json_get_string_or(connector, "host", "", peer, err) < 0)
		return error_context(err, "connector");
	return 0;
}

/* The volume that is named; 0: there is more to do, else the request was sent on to the
 * owner of the volume, and that is its answer. */
static int begin(struct manager *manager, const struct rpc_request *request,
	struct disconnect_request *what, struct error *err)
{
	struct volume volume;
	int moved;

	if (methods_volume_id(request, "volume", &what->volume_id, err) < 0)
		return -1;
	moved = forward_if_moved(manager, request, what->volume_id, err);
	if (moved)
		return moved;
	return methods_volume(manager, what->volume_id, &volume, err) < 0 ? -1 : 0;
}

int methods_terminate_connection(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	struct disconnect_request what = { .loose = true };
	int moved = begin(manager, request, &what, err);

	if (moved)
		return moved;
	if (peer_of(request, &what.peer, err) < 0)
		return -1;
	return disconnect(manager, request, &what, err);
}

int methods_remove_export(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	struct disconnect_request what = { .loose = true };
	int moved = begin(manager, request, &what, err);

	return moved ? moved : disconnect(manager, request, &what, err);
}

/* The row is the API tier's: it ends the attachment when it has the answer. */
int methods_attachment_delete(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	struct disconnect_request what = { .loose = false };
	struct attachment attachment;
	int moved;

	if (methods_volume_id(request, "vref", &what.volume_id, err) < 0 ||
		methods_attachment_id(request, &what.attachment_id, err) < 0)
		return -1;
	moved = forward_if_moved(manager, request, what.volume_id, err);
	if (moved)
		return moved;
	if (store_attachment_require(manager->db, what.attachment_id, what.volume_id,
		    &attachment, err) < 0)
		return -1;
	return disconnect(manager, request, &what, err);
}

int methods_detach_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	AUTO(free) struct export *list = NULL;
	const char *id, *attachment_id;
	int moved, count;

	if (methods_volume_id(request, "volume", &id, err) < 0 ||
		json_get_string_or(
			request->args, "attachment_id", NULL, &attachment_id, err) < 0)
		return -1;
	moved = forward_if_moved(manager, request, id, err);
	if (moved)
		return moved;
	count = store_export_detach(
		manager->db, id, attachment_id, &request->reply, &list, err);
	if (count < 0)
		return -1;
	return closing(request, manager, id, list, count);
}
