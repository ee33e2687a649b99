/* SPDX-License-Identifier: Apache-2.0 */
/* RPC methods: volumes are made, grow and go. */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/store/deletes.h"
#include "common/store/growth.h"
#include "common/store/messages.h"
#include "common/store/operations.h"
#include "common/store/refusals.h"
#include "volume-manager/manager.h"
#include "volume-manager/methods.h"

#define DUPLICATE_MARK(admission) ((admission) == DUPLICATE ? " duplicate" : "")

/* ---- create ---- */

/* The scheduler of a Cinder does not know what we cannot: an empty volume is no image. */
static int check_origin(const struct rpc_request *request, struct error *err)
{
	static const struct {
		const char *key, *from;
	} origins[] = { { "image_id", "an image" }, { "backup_id", "a backup" },
		{ "cgsnapshot_id", "a snapshot of a consistency group" },
		{ "source_replicaid", "a replica" } };
	struct json_object *spec = NULL, *data = NULL;

	json_object_object_get_ex(request->args, "request_spec", &spec);
	if (json_object_object_get_ex(spec, "versioned_object.data", &data))
		spec = data;
	for (unsigned i = 0; i < ARRAY_SIZE(origins); i++)
		if (json_object_object_get(spec, origins[i].key))
			return error_set(err, ERR_NOT_SUPPORTED,
				"a volume made from %s is not supported",
				origins[i].from);
	return 0;
}

/* Always -1, with the same *err, or one to wait for. */
static int refuse_create(struct manager *manager, const struct rpc_request *request,
	const char *id, struct error *err)
{
	struct error why = *err;

	if (methods_must_wait(err) ||
		store_create_refuse(manager->db, id, request->request_id, &why, err) <
			0)
		return -1;
	*err = why;
	return -1;
}

int methods_create_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	enum admission admission;
	const char *id;

	if (methods_volume_id(request, "volume", &id, err) < 0)
		return -1;
	if (check_origin(request, err) < 0 ||
		store_create_admit(
			manager->db, id, request->request_id, &admission, err) < 0)
		return refuse_create(manager, request, id, err);
	log_info("create_volume volume=%s request=%s%s", id, request->request_id,
		DUPLICATE_MARK(admission));
	return RPC_DONE;
}

/* ---- delete ---- */

struct delete_request {
	const char *id;
	bool unmanage, cascade;
};

static int read_delete(const struct rpc_request *request, struct delete_request *out,
	struct error *err)
{
	if (methods_volume_id(request, "volume", &out->id, err) < 0 ||
		json_get_bool_or(request->args, "unmanage_only", false, &out->unmanage,
			err) < 0 ||
		json_get_bool_or(request->args, "cascade", false, &out->cascade, err) <
			0)
		return -1;
	return 0;
}

/* What the API tier has written before is put back. Always -1. */
static int refuse_delete(struct manager *manager, const struct rpc_request *request,
	const struct delete_request *what, struct error *err)
{
	const struct delete_refusal refusal = { what->id, request->request_id,
		what->unmanage, what->cascade };
	struct error why = *err;

	if (methods_must_wait(err))
		return -1;
	if (store_delete_refused(manager->db, &refusal, &why, err) < 0 &&
		methods_must_wait(err))
		return -1;
	*err = why;
	return -1;
}

static int admit_delete(struct manager *manager, const struct rpc_request *request,
	const struct delete_request *what, enum admission *admission, struct error *err)
{
	if (what->unmanage)
		return error_set(err, ERR_NOT_SUPPORTED,
			"volume '%s' cannot be given away: unmanage_only is not "
			"supported",
			what->id);
	if (what->cascade)
		return store_delete_cascade(manager->db, what->id, request->request_id,
			!manager->settings->no_snapshot_gb_quota, admission, err);
	return store_delete_volume(
		manager->db, what->id, request->request_id, true, admission, err);
}

int methods_delete_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	struct delete_request what = { .unmanage = false };
	enum admission admission;
	int moved;

	if (read_delete(request, &what, err) < 0)
		return -1;
	moved = forward_if_moved(manager, request, what.id, err);
	if (moved)
		return moved > 0 ? moved : refuse_delete(manager, request, &what, err);
	if (admit_delete(manager, request, &what, &admission, err) < 0)
		return err->code == ERR_VOLUME_NOT_FOUND
			? RPC_DONE
			: refuse_delete(manager, request, &what, err);
	log_info("delete_volume volume=%s request=%s%s", what.id, request->request_id,
		DUPLICATE_MARK(admission));
	return RPC_DONE;
}

/* ---- extend ---- */

/* A driver that cannot is a failure, as in Cinder; else the volume is what it was. */
static int refuse_extend(
	struct manager *manager, const struct growth_request *growth, struct error *err)
{
	struct error why = *err;
	bool failed = err->code == ERR_NOT_SUPPORTED;

	if (methods_must_wait(err))
		return -1;
	if (store_growth_refuse(manager->db, growth, failed, &why, err) < 0)
		return -1;
	*err = why;
	return -1;
}

int methods_extend_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	const char *reservations[METHODS_RESERVATIONS + 1];
	struct growth_request growth = { .request_id = request->request_id,
		.reservations = reservations };
	enum admission admission;
	int moved;

	if (methods_volume_id(request, "volume", &growth.volume_id, err) < 0)
		return -1;
	methods_reservations(request->args, "reservations", reservations);
	moved = forward_if_moved(manager, request, growth.volume_id, err);
	if (moved > 0)
		return moved;
	if (moved < 0 ||
		json_get_int(request->args, "new_size", 1, INT32_MAX, &growth.new_size,
			err) < 0 ||
		store_growth_admit(manager->db, &growth, &admission, err) < 0)
		return refuse_extend(manager, &growth, err);
	log_info("extend_volume volume=%s size_gib=%lld request=%s%s", growth.volume_id,
		(long long)growth.new_size, request->request_id,
		DUPLICATE_MARK(admission));
	return RPC_DONE;
}

/* Newer Novas tell with it that a guest's disk has grown, which we never ask for. */
int methods_extend_completion(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	return methods_refuse_changed(
		methods_manager(arg), request, "extending", "be extended", err);
}

/* ---- small ones ---- */

/* Whether a backup may read the volume's file only as an unprivileged user. */
int methods_secure_file_operations(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	const char *id;
	int moved;

	if (methods_volume_id(request, "volume", &id, err) < 0)
		return -1;
	moved = forward_if_moved(methods_manager(arg), request, id, err);
	if (moved)
		return moved;
	*result = json_object_new_boolean(false);
	return RPC_DONE;
}

/* Backups are not served; a cinder-backup that does not wait for the answer learns it from
 * its row. */
int methods_refuse_backup_device(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	struct json_object *backup, *data;
	struct error why;
	const char *id;

	if (json_get_object(request->args, "backup", &backup, err) < 0 ||
		json_get_object(backup, "versioned_object.data", &data, err) < 0 ||
		json_get_string(data, "id", &id, err) < 0)
		return error_context(err, "argument 'backup'");
	error_set(&why, ERR_NOT_SUPPORTED,
		"backups of volumes are not supported by this service");
	if (store_refuse_backup(manager->db, id, why.text, err) < 0)
		return -1;
	*err = why;
	return -1;
}
