/* SPDX-License-Identifier: Apache-2.0 */
/* The RPC methods of a volume service: migration-spec 8.2. Each is one short transaction;
 * objects in messages are hints, the rows count. A refused request puts back what the API
 * tier wrote before it. One for a volume that lives on another host by now is sent on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/envelope.h"
#include "common/log-levels.h"
#include "common/log.h"
#include "common/store/migrations.h"
#include "common/store/services.h"
#include "common/store/volumes.h"
#include "volume-manager/manager.h"
#include "volume-manager/methods.h"
#include "volume-manager/methods_connect.h"

int methods_volume_id(const struct rpc_request *request, const char *key,
	const char **out, struct error *err)
{
	struct json_object *object, *data;
	char plain[64];

	snprintf(plain, sizeof(plain), "%s_id", key);
	if (json_object_object_get_ex(request->args, key, &object) && object) {
		if (json_get_object(request->args, key, &object, err) < 0 ||
			json_get_object(object, "versioned_object.data", &data, err) <
				0 ||
			json_get_string(data, "id", out, err) < 0)
			return error_context(err, "argument '%s'", key);
	} else {
		if (!json_object_object_get(request->args, plain))
			snprintf(plain, sizeof(plain), "volume_id");
		if (json_get_string(request->args, plain, out, err) < 0)
			return -1;
	}
	if (!uuid_is(*out))
		return error_set(err, ERR_INVALID_INPUT,
			"argument '%s' has no volume id but '%.64s'", key, *out);
	return 0;
}

int methods_volume(struct manager *manager, const char *id, struct volume *volume,
	struct error *err)
{
	int found = store_volume_get(manager->db, id, volume, err);

	if (found == 0)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%s' could not be found", id);
	return found < 0 ? -1 : 0;
}

struct manager *methods_manager(void *arg)
{
	const struct managed *managed = arg;

	return managed->manager;
}

bool methods_must_wait(const struct error *err)
{
	return err->code == ERR_DB_UNAVAILABLE || err->code == ERR_DB_UNKNOWN ||
		err->code == ERR_DB_RETRY || err->code == ERR_BROKER;
}

int methods_put_back(struct manager *manager, const char *id, const char *status,
	const char *const *reservations, struct error *err)
{
	struct error why = *err;

	if (methods_must_wait(err))
		return -1;
	if (store_volume_put_back(manager->db, id, status, reservations, err) < 0 &&
		methods_must_wait(err))
		return -1;
	*err = why;
	return -1;
}

/* ---- migration ---- */

/* A pool of ours is known by name; other hosts' pools are checked where they are. */
static int check_pool(struct manager *manager, const char *target, struct error *err)
{
	const struct managed *managed;
	struct address address;

	if (address_parse(target, &address, err) < 0)
		return -1;
	managed = manager_find(manager, target);
	/* Without a pool the admission says what is missing. */
	if (!managed || !address.pool[0] ||
		strcmp(managed->settings->volume_backend_name, address.pool) == 0)
		return 0;
	return error_set(err, ERR_INVALID_HOST, "backend '%s' has no pool '%s'",
		address.backend, address.pool);
}

static int read_request(const struct rpc_request *request,
	struct migration_request *migration, struct error *err)
{
	struct json_object *host;

	if (json_get_object(request->args, "host", &host, err) < 0 ||
		json_get_string(host, "host", &migration->target, err) < 0)
		return -1;
	return json_get_bool_or(request->args, "force_host_copy", false,
		&migration->force_host_copy, err);
}

static int migrate_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	struct migration_request migration = {
		.request_id = request->request_id,
		.service_down_time = manager->settings->service_down_time,
		.keep_result = manager->settings->migration_result_keep,
	};
	enum admission admission;
	struct error why;
	int moved;

	if (methods_volume_id(request, "volume", &migration.volume_id, err) < 0)
		return -1;
	moved = read_request(request, &migration, err) < 0
		? -1
		: forward_if_moved(manager, request, migration.volume_id, err);
	if (moved > 0)
		return moved;
	if (moved == 0 && check_pool(manager, migration.target, err) == 0 &&
		store_migration_admit(manager->db, &migration, &admission, err) == 0) {
		log_info("migrate_volume volume=%s target=%s request=%s%s",
			migration.volume_id, migration.target, request->request_id,
			admission == DUPLICATE ? " duplicate" : "");
		return RPC_DONE;
	}
	if (methods_must_wait(err))
		return -1;
	why = *err;
	if (store_migration_refuse(manager->db, &migration, &why, err) < 0)
		return -1;
	*err = why;
	return -1;
}

/* ---- the rest ---- */

void methods_reservations(struct json_object *args, const char *key,
	const char *out[METHODS_RESERVATIONS + 1])
{
	struct json_object *list;
	size_t n = 0;

	out[0] = NULL;
	if (!json_object_object_get_ex(args, key, &list) ||
		!json_object_is_type(list, json_type_array))
		return;
	for (size_t i = 0;
		i < json_object_array_length(list) && n < METHODS_RESERVATIONS; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (json_object_is_type(item, json_type_string))
			out[n++] = json_object_get_string(item);
	}
	out[n] = NULL;
}

int methods_refuse_changed(struct manager *manager, const struct rpc_request *request,
	const char *status, const char *doing, struct error *err)
{
	const char *reservations[METHODS_RESERVATIONS + 1];
	struct volume volume;
	const char *id;
	int moved;

	if (methods_volume_id(request, "volume", &id, err) < 0)
		return -1;
	methods_reservations(request->args, "reservations", reservations);
	moved = forward_if_moved(manager, request, id, err);
	if (moved)
		return moved > 0
			? moved
			: methods_put_back(manager, id, status, reservations, err);
	if (methods_volume(manager, id, &volume, err) < 0)
		return -1;
	if (store_volume_idle(manager->db, &volume, doing, err) == 0)
		error_set(err, ERR_NOT_SUPPORTED,
			"volume '%s' cannot %s: '%s' is not supported", id, doing,
			request->method);
	return methods_put_back(manager, id, status, reservations, err);
}

const struct rpc_method manager_methods[] = {
	{ "create_volume", methods_create_volume },
	{ "delete_volume", methods_delete_volume },
	{ "initialize_connection", methods_initialize_connection },
	{ "terminate_connection", methods_terminate_connection },
	{ "remove_export", methods_remove_export },
	{ "attach_volume", methods_attach_volume },
	{ "detach_volume", methods_detach_volume },
	{ "attachment_update", methods_attachment_update },
	{ "attachment_delete", methods_attachment_delete },
	{ "migrate_volume", migrate_volume },
	{ "get_capabilities", methods_get_capabilities },
	{ "publish_service_capabilities", methods_publish_capabilities },
	{ "extend_volume", methods_extend_volume },
	{ "retype", methods_retype },
	/* These name a volume. */
	{ "create_snapshot", methods_create_snapshot },
	{ "delete_snapshot", methods_delete_snapshot },
	{ "migrate_volume_completion", methods_migrate_volume_completion },
	{ "update_migrated_volume", methods_update_migrated_volume },
	{ "extend_volume_completion", methods_extend_completion },
	{ "copy_volume_to_image", methods_refuse_upload },
	{ "accept_transfer", methods_accept_transfer },
	{ "revert_to_snapshot", methods_refuse_revert },
	{ "reimage", methods_refuse_reimage },
	{ "secure_file_operations_enabled", methods_secure_file_operations },
	/* Known, and answered "not supported" at once. */
	{ "initialize_connection_snapshot", NULL },
	{ "terminate_connection_snapshot", NULL },
	{ "remove_export_snapshot", NULL },
	{ "manage_existing", methods_refuse_manage },
	{ "manage_existing_snapshot", methods_refuse_manage_snapshot },
	{ "get_manageable_volumes", NULL },
	{ "get_manageable_snapshots", NULL },
	{ "get_backup_device", methods_refuse_backup_device },
	{ "freeze_host", methods_freeze_host },
	{ "thaw_host", methods_thaw_host },
	{ "failover", methods_refuse_failover },
	{ "failover_host", methods_refuse_failover },
	{ "failover_completed", NULL },
	{ "enable_replication", NULL },
	{ "disable_replication", NULL },
	{ "failover_replication", NULL },
	{ "list_replication_targets", NULL },
	{ "create_group", methods_refuse_group },
	{ "delete_group", methods_refuse_group },
	{ "update_group", methods_refuse_group },
	{ "create_group_from_src", methods_refuse_group },
	{ "create_group_snapshot", methods_refuse_group },
	{ "delete_group_snapshot", methods_refuse_group },
	{ "do_cleanup", methods_do_cleanup },
	{ "set_log_levels", log_levels_set },
	{ "get_log_levels", log_levels_get },
	{ NULL, NULL },
};
