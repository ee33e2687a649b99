/* SPDX-License-Identifier: Apache-2.0 */
/* retype 3.5: another type for a volume, where it is or by a migration. */
#include <string.h>

#include "common/log.h"
#include "common/store/retype.h"
#include "volume-manager/manager.h"
#include "volume-manager/methods.h"

struct asked {
	struct retype_request request;
	const char *reservations[METHODS_RESERVATIONS + 1];
	const char *old_reservations[METHODS_RESERVATIONS + 1];
};

static int read_policy(struct json_object *args, bool *never, struct error *err)
{
	const char *policy;

	if (json_get_string_or(args, "migration_policy", "never", &policy, err) < 0)
		return -1;
	*never = strcmp(policy, "on-demand") != 0;
	if (!*never || strcmp(policy, "never") == 0)
		return 0;
	return error_set(err, ERR_INVALID_INPUT,
		"migration_policy is never or on-demand, not '%.32s'", policy);
}

static int read_asked(
	const struct rpc_request *message, struct asked *asked, struct error *err)
{
	struct retype_request *request = &asked->request;
	struct json_object *host;

	methods_reservations(message->args, "reservations", asked->reservations);
	methods_reservations(
		message->args, "old_reservations", asked->old_reservations);
	request->reservations = asked->reservations;
	request->old_reservations = asked->old_reservations;
	request->migration.request_id = message->request_id;
	request->migration.target = "";
	if (methods_volume_id(message, "volume", &request->migration.volume_id, err) <
			0 ||
		json_get_object(message->args, "host", &host, err) < 0 ||
		json_get_string(host, "host", &request->migration.target, err) < 0 ||
		json_get_string(
			message->args, "new_type_id", &request->new_type_id, err) < 0)
		return -1;
	if (!uuid_is(request->new_type_id))
		return error_set(err, ERR_INVALID_INPUT, "'%.64s' is no id of a type",
			request->new_type_id);
	return read_policy(message->args, &request->never, err);
}

static int refuse(struct manager *manager, const struct asked *asked, struct error *err)
{
	struct error why = *err;

	if (methods_must_wait(err) ||
		store_retype_refuse(manager->db, &asked->request, &why, err) < 0)
		return -1;
	*err = why;
	return -1;
}

int methods_retype(void *arg, const struct rpc_request *message,
	struct json_object **result, struct error *err)
{
	static const char *const outcomes[] = {
		[RETYPED_IN_PLACE] = "where it is",
		[RETYPED_BY_MIGRATION] = "by a migration",
		[RETYPED_BEFORE] = "duplicate",
	};
	struct manager *manager = methods_manager(arg);
	const struct settings *settings = manager->settings;
	struct asked asked = { .request.migration = {
				       .service_down_time = settings->service_down_time,
				       .keep_result = settings->migration_result_keep,
			       } };
	const char *id = NULL;
	enum retyped outcome;
	int moved;

	if (read_asked(message, &asked, err) < 0)
		return asked.request.migration.volume_id ? refuse(manager, &asked, err)
							 : -1;
	id = asked.request.migration.volume_id;
	moved = forward_if_moved(manager, message, id, err);
	if (moved)
		return moved > 0 ? moved : refuse(manager, &asked, err);
	if (store_retype(manager->db, &asked.request, &outcome, err) < 0)
		return refuse(manager, &asked, err);
	log_info("retype volume=%s type=%s target=%s request=%s: %s", id,
		asked.request.new_type_id, asked.request.migration.target,
		message->request_id, outcomes[outcome]);
	return RPC_DONE;
}
