/* SPDX-License-Identifier: Apache-2.0 */
/* The target is a backend of a Python cinder-volume: T is made, connected and deleted by it
 * when it is asked over RPC, and written by us where the connection leads to. Everything
 * asked for may be asked for again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/rpc.h"
#include "common/store/peer.h"
#include "common/store/remote.h"
#include "common/store/volume_object.h"
#include "volume-manager/work_job.h"

/* A request that was sent is on its way for as long; then it was lost. */
#define ASKED_SECONDS 30.0

/* ---- asking ---- */

static int open_client(struct job *job, struct rpc_client **out, struct error *err)
{
	if (rpc_client_open(&job->work->settings->rpc, out, err) < 0)
		return error_context(err, "target");
	return 0;
}

static int t_object(struct job *job, struct json_object **out, struct error *err)
{
	struct work *work = job->work;
	int found = work_sure(work,
		store_volume_object(work->db, job->m.temporary_id, out, err), err);

	if (found == 0)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"the temporary volume '%s' is not there any more",
			job->m.temporary_id);
	return found < 0 ? -1 : 0;
}

struct peer_address {
	char topic[ADDRESS_SIZE + 16];
	struct address address;
};

static int peer_address(
	const struct job *job, struct peer_address *out, struct error *err)
{
	if (address_parse(job->m.target, &out->address, err) < 0)
		return -1;
	address_topic(&out->address, out->topic);
	return 0;
}

/* As os-brick describes a host; the peer looks at its name and address. */
static struct json_object *connector(const struct job *job)
{
	const struct settings *settings = job->work->settings;
	struct json_object *o = json_object_new_object();
	struct utsname name;

	json_add_string(o, "host", settings->host);
	json_add_string(o, "ip", settings->my_ip ? settings->my_ip : "127.0.0.1");
	json_add_string(o, "platform", uname(&name) == 0 ? name.machine : "unknown");
	json_add_string(o, "os_type", "linux");
	json_add_bool(o, "multipath", false);
	json_add_bool(o, "do_local_attach", false);
	return o;
}

/* ---- making T ---- */

static int ask_to_create(struct job *job, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	AUTO(rpc_client_close) struct rpc_client *client = NULL;
	struct json_object *volume = NULL;
	struct peer_address to;

	if (peer_address(job, &to, err) < 0 || t_object(job, &volume, err) < 0)
		return -1;
	json_add(args, "volume", volume);
	json_add(args, "request_spec", NULL);
	json_add(args, "filter_properties", NULL);
	json_add_bool(args, "allow_reschedule", false);
	if (open_client(job, &client, err) < 0)
		return -1;
	if (rpc_client_cast(client, to.topic, to.address.host, "create_volume", "3.0",
		    job->m.op.request_id, args, err) < 0)
		return error_context(err, "target");
	return fault_point("peer.created", err);
}

int peer_make_target(struct job *job, struct error *err)
{
	struct work *work = job->work;
	/* A worker before this one may have asked: a second request would fail T. */
	const double ask_after = epoch_number(job->m.op.epoch) > 1 ? ASKED_SECONDS : 0;
	const double began = clock_seconds();
	bool asked = false;
	double waited = 0;
	int made = work_sure(work, store_remote_created(work->db, &job->m, err), err);

	while (made == 0) {
		if (work_stopping(work))
			return work_stop_error(err);
		waited = clock_seconds() - began;
		if (!asked && waited >= ask_after) {
			if (ask_to_create(job, err) < 0)
				return -1;
			asked = true;
		}
		if (waited > work->settings->peer_timeout)
			return error_set(err, ERR_TIMEOUT,
				"target: '%s' has not made the temporary volume in "
				"%.0f s",
				job->m.target, waited);
		work_nap_ms(work_poll_ms(waited));
		made = work_sure(
			work, store_remote_created(work->db, &job->m, err), err);
	}
	return made < 0 ? -1 : 0;
}

/* ---- connecting ---- */

static int call(struct job *job, const char *method, struct json_object *args,
	struct json_object **result, struct error *err)
{
	AUTO(rpc_client_close) struct rpc_client *client = NULL;
	struct peer_address to;

	if (peer_address(job, &to, err) < 0 || open_client(job, &client, err) < 0)
		return -1;
	if (rpc_client_call(client, to.topic, to.address.host, method, "3.0", args,
		    result, err) < 0)
		return error_context(err, "target: %s", method);
	return 0;
}

static int read_info(struct json_object *info, const char **share, const char **name,
	struct error *err)
{
	const char *type, *format;
	struct json_object *data;

	if (json_get_string(info, "driver_volume_type", &type, err) < 0 ||
		json_get_object(info, "data", &data, err) < 0)
		return -1;
	if (strcmp(type, "nfs") != 0)
		return error_set(err, ERR_NOT_SUPPORTED,
			"the temporary volume is reached by '%.32s', which only "
			"drivers of Cinder can; NFS is possible",
			type);
	if (json_get_string(data, "export", share, err) < 0 ||
		json_get_string(data, "name", name, err) < 0 ||
		json_get_string_or(data, "format", "raw", &format, err) < 0)
		return -1;
	if (strcmp(format, "raw") == 0)
		return 0;
	return error_set(err, ERR_NOT_SUPPORTED,
		"the temporary volume has the format '%.32s', not raw", format);
}

/* The connection as a backend of driver nfs with this one share. */
struct peer_mount {
	struct backend_settings settings;
	char host[256], path[256], base[PATH_MAX], options[1024];
	char name[256]; /* of the file */
};

void peer_mount_free(struct peer_mount *mount)
{
	free(mount);
}

static int split_share(const char *share, struct peer_mount *mount, struct error *err)
{
	const char *colon = strstr(share, ":/");

	if (!colon || colon == share || strlen(share) >= sizeof(mount->path))
		return error_set(
			err, ERR_INVALID_INPUT, "'%.255s' is no NFS share", share);
	snprintf(mount->host, sizeof(mount->host), "%.*s", (int)(colon - share), share);
	text_copy(mount->path, sizeof(mount->path), colon + 1);
	return 0;
}

/* "-o vers=4.1,..." as Cinder has it. */
static void take_options(struct json_object *info, struct peer_mount *mount)
{
	struct json_object *data;
	const char *options;

	if (json_get_object(info, "data", &data, NULL) < 0 ||
		json_get_string_or(data, "options", "", &options, NULL) < 0)
		return;
	if (strncmp(options, "-o ", 3) == 0)
		options += 3;
	text_copy(mount->options, sizeof(mount->options), options);
}

static int fill_settings(struct job *job, struct json_object *info,
	struct peer_mount *mount, struct error *err)
{
	const struct settings *settings = job->work->settings;
	struct backend_settings *out = &mount->settings;
	const char *share, *name;

	if (read_info(info, &share, &name, err) < 0 ||
		split_share(share, mount, err) < 0)
		return -1;
	if (strchr(name, '/') || name[0] == '.' || !name[0] ||
		strlen(name) >= sizeof(mount->name))
		return error_set(
			err, ERR_INVALID_INPUT, "'%.255s' is no name of a file", name);
	text_copy(mount->name, sizeof(mount->name), name);
	take_options(info, mount);
	*out = *backend_settings_of(job->source);
	snprintf(mount->base, sizeof(mount->base), "%s",
		out->nfs_mount_point_base ? out->nfs_mount_point_base : "");
	out->name = out->host = job->m.target;
	out->volume_driver = "nfs";
	out->volume_backend_name = "";
	out->file_directory = NULL;
	out->nfs_shares_config = NULL;
	out->nfs_mount_point_base = mount->base;
	out->nfs_mount_options = out->nas_mount_options =
		mount->options[0] ? mount->options : NULL;
	out->nfs_mount_attempts = 3;
	out->nfs_sparsed_volumes = true;
	out->nfs_qcow2_volumes = false;
	out->nas_host = mount->host;
	out->nas_share_path = mount->path;
	out->nas_secure_file_operations = out->nas_secure_file_permissions = "auto";
	out->mount_helper = settings->mount_helper;
	return 0;
}

static int connect(struct job *job, struct json_object **info, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	struct json_object *volume = NULL;

	if (t_object(job, &volume, err) < 0)
		return -1;
	json_add(args, "volume", volume);
	json_add(args, "connector", connector(job));
	if (call(job, "initialize_connection", args, info, err) < 0)
		return -1;
	return fault_point("peer.connected", err);
}

int peer_open_target(struct job *job, struct endpoint *out, struct error *err)
{
	AUTO(json_object_put) struct json_object *info = NULL;
	struct object_id id;
	uint64_t size;
	int found;

	if (connect(job, &info, err) < 0)
		return -1;
	if (!job->peer_mount)
		job->peer_mount = calloc(1, sizeof(*job->peer_mount));
	if (!job->peer_mount)
		return error_no_memory(err);
	if (fill_settings(job, info, job->peer_mount, err) < 0 ||
		backend_open(&job->peer_mount->settings, &job->target, err) < 0)
		return error_context(err, "target");
	found = backend_find(job->target, job->peer_mount->name, NULL, &id, &size, err);
	if (found < 0)
		return error_context(err, "target");
	if (found == 0 || size < (uint64_t)job->m.size_bytes)
		return error_set(err, ERR_NOT_FOUND, "target: '%s' on '%s:%s' %s",
			job->peer_mount->name, job->peer_mount->host,
			job->peer_mount->path,
			found ? "is smaller than the volume" : "is not there");
	if (backend_endpoint(job->target, job->peer_mount->name, &id, out, err) < 0)
		return error_context(err, "target");
	return 0;
}

/* Before the switch, and on the way back: nothing of ours hangs on T. */
int peer_disconnect(struct job *job, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	struct json_object *result = NULL;

	if (job->target)
		backend_close(job->target);
	job->target = NULL;
	json_add_string(args, "volume_id", job->m.temporary_id);
	json_add(args, "connector", connector(job));
	json_add_bool(args, "force", true);
	if (call(job, "terminate_connection", args, &result, err) < 0)
		return -1;
	json_object_put(steal(result));
	json_object_object_del(args, "connector");
	json_object_object_del(args, "force");
	/* Not a cast: the switch deletes T's row, and it must have seen it. */
	if (call(job, "remove_export", args, &result, err) < 0)
		return -1;
	json_object_put(result);
	return 0;
}
