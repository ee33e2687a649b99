/* SPDX-License-Identifier: Apache-2.0 */
/* location.h - where the bytes of a disk are, as QEMU on this host reaches them. */
#ifndef COMPUTE_LOCATION_H
#define COMPUTE_LOCATION_H

#include <limits.h>
#include <stdbool.h>

#include "common/error.h"
#include "common/json.h"
#include "common/settings.h"

enum location_kind {
	LOCATION_NONE,
	LOCATION_FILE,
	LOCATION_BLOCK, /* a block device */
	LOCATION_NBD, /* an NBD server on TCP */
	LOCATION_OTHER /* something that libvirt knows and we do not */
};

/* Fields that do not belong to the kind are empty. */
struct location {
	enum location_kind kind;
	char path[PATH_MAX]; /* file, block */
	char host[256], port[8], export[256]; /* NBD */
	bool tls; /* NBD: with libvirt's certificates */
};

bool location_equal(const struct location *a, const struct location *b);

/* For the state file: {kind, path | host, port, export, tls}. */
struct json_object *location_to_json(const struct location *location);
int location_from_json(struct json_object *o, struct location *out, struct error *err);

/* What the volume manager tells a host about a volume ({driver_volume_type, data} or the
 * flat form of attachments). Makes it reachable: an NFS share is mounted when it is not, a
 * path is looked at. ERR_INVALID_INPUT, ERR_NOT_SUPPORTED: nothing this host can use. */
int location_of_connection(const struct settings *settings, struct json_object *info,
	struct location *out, struct error *err);

#endif
