/* SPDX-License-Identifier: Apache-2.0 */
/* marker.h - is this directory the one that the backend used before?
 *
 * A file system that is not mounted leaves a bare mount point that looks like a healthy
 * backend without volumes. So a backend's directory holds a marker, the file
 * ".drover-backend" with a UUID, and state_path/backends/NAME on this host records that
 * UUID. Once there is a record, only a directory with that marker is used.
 *
 * directory is file_directory, open. Without a state_path there is neither marker nor
 * record. Several processes may be here at once, on several hosts too.
 */
#ifndef VOLUME_MANAGER_DRIVERS_MARKER_H
#define VOLUME_MANAGER_DRIVERS_MARKER_H

#include "common/error.h"
#include "common/settings.h"

/* 1: it is, 0: there is no record yet. ERR_BACKEND when it is not. */
int marker_verify(
	const struct backend_settings *settings, int directory, struct error *err);
/* When there is no record: write one of the marker that is there, or first make that.
 * Both are durable then. */
int marker_claim(
	const struct backend_settings *settings, int directory, struct error *err);

#endif
