/* SPDX-License-Identifier: Apache-2.0 */
/* methods.h - what the RPC methods of a volume service have in common.
 *
 * In the loop's thread; each method is one short transaction. Texts that are handed out are
 * borrowed from the request.
 */
#ifndef VOLUME_MANAGER_METHODS_H
#define VOLUME_MANAGER_METHODS_H

#include <stdbool.h>

#include "common/error.h"
#include "common/rpc.h"
#include "common/store/volumes.h"

struct manager;

#define METHODS_RESERVATIONS 64

/* A service's argument is the backend that was asked. */
struct manager *methods_manager(void *arg);

/* The checked id of a volume: "key": {"versioned_object.data": {"id": ...}}, or a plain
 * key_id or volume_id. */
int methods_volume_id(const struct rpc_request *request, const char *key,
	const char **out, struct error *err);
/* ERR_VOLUME_NOT_FOUND when there is no row. */
int methods_volume(struct manager *manager, const char *id, struct volume *volume,
	struct error *err);

/* The message is kept and tried again: nothing may be put back because of such an error. */
bool methods_must_wait(const struct error *err);

/* What the API tier has written before a request that is refused with *err is undone, see
 * store_volume_put_back(). Always -1, with the same *err, or one to wait for. */
int methods_put_back(struct manager *manager, const char *id, const char *status,
	const char *const *reservations, struct error *err);
/* The list under key ends with NULL in out; what is not a list of strings counts as none. */
void methods_reservations(struct json_object *args, const char *key,
	const char *out[METHODS_RESERVATIONS + 1]);
/* Not supported, but the API tier has changed the row and reserved quota: put back. While a
 * migration runs that is the reason given. doing: "be extended". */
int methods_refuse_changed(struct manager *manager, const struct rpc_request *request,
	const char *status, const char *doing, struct error *err);

/* migrate_volume_completion, see methods_compute.c. */
int methods_migrate_volume_completion(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err);

/* retype, see methods_retype.c. */
int methods_retype(void *arg, const struct rpc_request *message,
	struct json_object **result, struct error *err);

/* What a Python source asks of its target, see methods_peer.c. */
int methods_update_migrated_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err);

/* methods_service.c: about the service, and what it does not serve. */
#define METHOD(name) \
	int name(void *arg, const struct rpc_request *request, \
		struct json_object **result, struct error *err)
METHOD(methods_get_capabilities);
METHOD(methods_publish_capabilities);
METHOD(methods_freeze_host);
METHOD(methods_thaw_host);
METHOD(methods_do_cleanup);
METHOD(methods_accept_transfer);
METHOD(methods_refuse_failover);
METHOD(methods_refuse_upload);
METHOD(methods_refuse_reimage);
METHOD(methods_refuse_revert);
METHOD(methods_refuse_manage);
METHOD(methods_refuse_manage_snapshot);
METHOD(methods_refuse_group);
#undef METHOD

/* methods_volume.c and methods_snapshot.c: the life of volumes. */
#define METHOD(name) \
	int name(void *arg, const struct rpc_request *request, \
		struct json_object **result, struct error *err)
METHOD(methods_create_volume);
METHOD(methods_delete_volume);
METHOD(methods_extend_volume);
METHOD(methods_extend_completion);
METHOD(methods_secure_file_operations);
METHOD(methods_refuse_backup_device);
METHOD(methods_create_snapshot);
METHOD(methods_delete_snapshot);
#undef METHOD

#endif
