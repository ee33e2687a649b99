/* SPDX-License-Identifier: Apache-2.0 */
/* migrate_volume_completion 3.0: Compute says what became of a guest's copy. It waits for the
 * answer, so the switch is all that is done before that. */
#include <string.h>

#include "common/log.h"
#include "common/store/compute.h"
#include "volume-manager/manager.h"
#include "volume-manager/methods.h"

/* Whatever the API tier was given: true, and every text but an empty one. */
static bool is_error(struct json_object *args)
{
	struct json_object *o = NULL;

	if (!json_object_object_get_ex(args, "error", &o) || !o)
		return false;
	switch (json_object_get_type(o)) {
	case json_type_boolean:
		return json_object_get_boolean(o);
	case json_type_int:
		return json_object_get_int64(o) != 0;
	case json_type_string:
		return json_object_get_string_len(o) > 0;
	default:
		return true;
	}
}

int methods_migrate_volume_completion(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	const struct settings *settings = manager->settings;
	struct completion completion = { .failed = is_error(request->args),
		.keep_result = settings->migration_result_keep,
		.source_keep = settings->source_keep };
	int known, moved;

	if (methods_volume_id(request, "volume", &completion.volume_id, err) < 0 ||
		methods_volume_id(
			request, "new_volume", &completion.new_volume_id, err) < 0 ||
		json_get_string_or(request->args, "host", NULL, &completion.host, err) <
			0)
		return -1;
	/* Ours by its rows, wherever the volume is by now. */
	known = store_swap_complete(manager->db, &completion, err);
	if (known < 0)
		return -1;
	moved = known ? 0
		      : forward_if_moved(manager, request, completion.volume_id, err);
	if (moved)
		return moved;
	if (!known)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' is not migrating to volume '%s'",
			completion.volume_id, completion.new_volume_id);
	log_info(
		"migrate_volume_completion volume=%s new_volume=%s error=%s request=%s",
		completion.volume_id, completion.new_volume_id,
		completion.failed ? "true" : "false", request->request_id);
	*result = json_object_new_string(completion.volume_id);
	return RPC_DONE;
}
