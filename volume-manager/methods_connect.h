/* SPDX-License-Identifier: Apache-2.0 */
/* methods_connect.h - the RPC methods that connect and attach volumes (methods_connect.c),
 * and that undo it (methods_disconnect.c). */
#ifndef VOLUME_MANAGER_METHODS_CONNECT_H
#define VOLUME_MANAGER_METHODS_CONNECT_H

#include "common/rpc.h"

int methods_initialize_connection(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err);
int methods_terminate_connection(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err);
int methods_remove_export(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err);
int methods_attachment_update(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err);
int methods_attachment_delete(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err);
int methods_attach_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err);
int methods_detach_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err);

/* attachment_id, checked. ERR_ATTACHMENT_NOT_FOUND for what is no id. */
int methods_attachment_id(
	const struct rpc_request *request, const char **out, struct error *err);

#endif
