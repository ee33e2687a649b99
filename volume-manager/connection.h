/* SPDX-License-Identifier: Apache-2.0 */
/* connection.h - connection info: what a host needs to know to connect a volume.
 *
 * Made from rows and settings; no storage is touched. Results are new objects, the
 * caller's.
 */
#ifndef VOLUME_MANAGER_CONNECTION_H
#define VOLUME_MANAGER_CONNECTION_H

#include "common/error.h"
#include "common/json.h"
#include "common/settings.h"
#include "common/store/attachments.h"
#include "common/store/exports.h"
#include "common/store/volumes.h"

/* Do hosts reach the storage by themselves, several at once? Then NBD is not all there is. */
bool connection_is_shared(const struct backend_settings *settings);

/* An open export: {driver_volume_type, data}. */
struct json_object *connection_nbd(
	const struct export *export, const struct connection_facts *facts);

/* A share, as Cinder's NFS driver gives it. */
struct connection_share {
	const char *name; /* of the file */
	const char *mount_point_base;
	bool known; /* the share is one of the configured ones */
	const char *options; /* of it; NULL: none */
};
struct json_object *connection_nfs(
	const struct connection_share *share, const struct connection_facts *facts);

/* Is an object a file of the machine that the manager runs on? */
bool connection_is_file(const struct backend_settings *settings);
/* A file of the host itself. */
struct json_object *connection_local(
	const char *path, const struct connection_facts *facts);

/* What the backend offers to those who do not speak NBD. ERR_INVALID_INPUT when that is
 * nothing; host is the connector's, local: it is on that machine and takes a file. */
int connection_info(const struct backend_settings *settings,
	const struct volume *volume, const struct connection_facts *facts,
	const char *host, bool local, struct json_object **out, struct error *err);

/* What the storage says against it, as a Cinder does whose driver fails: ERR_BACKEND with its
 * sentence around the reason in *err. Always -1. */
int connection_failed(struct error *err);

/* The form of attachment_update: the members of data beside the others, attachment_id
 * behind them. Takes info over. */
struct json_object *connection_flat(
	struct json_object *info, const char *attachment_id);

/* QoS specs for the front end of a volume of so many GiB: limits per GiB become limits.
 * NULL for NULL. */
struct json_object *connection_qos(struct json_object *specs, int64_t size_gib);

#endif
